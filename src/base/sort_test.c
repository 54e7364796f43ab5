/* sort_test.c - numbers in order. */
#include "base.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void numbers_ascend_and_none_is_lost(void **state) {
    (void)state;
    double values[] = {3, -INFINITY, 1e-300, 3, -2, INFINITY, 0};
    const double sorted[] = {-INFINITY, -2, 0, 1e-300, 3, 3, INFINITY};
    kb_sort(values, KB_COUNT(values));
    for (size_t i = 0; i < KB_COUNT(sorted); i++)
        assert_true(values[i] == sorted[i]);
}

static void many_are_in_order_like_few(void **state) {
    (void)state;
    double values[1000];
    for (size_t i = 0; i < 1000; i++)
        values[i] = (double)(i * 7919 % 1000);
    kb_sort(values, 1000);
    for (size_t i = 0; i < 1000; i++)
        assert_true(values[i] == (double)i);
}

static void none_and_one_are_in_order(void **state) {
    (void)state;
    double one = 7;
    kb_sort(NULL, 0);
    kb_sort(&one, 1);
    assert_true(one == 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_ascend_and_none_is_lost),
        cmocka_unit_test(many_are_in_order_like_few),
        cmocka_unit_test(none_and_one_are_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
