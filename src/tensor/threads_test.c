/* threads_test.c - copies and comparisons by several threads are those of one. */
#include "tensor.h"

#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BYTES = (9 << 20) + 77 };

static void threads_follow_the_size_of_the_work(void **state) {
    (void)state;
    omp_set_num_threads(8);
    assert_int_equal(kb_threads(0), 1);
    assert_int_equal(kb_threads((1 << 15) - 1), 1);
    assert_int_equal(kb_threads(3 << 15), 4);
    assert_int_equal(kb_threads((int64_t)1 << 40), 8);
}

static void copy_moves_every_byte_and_none_beside(void **state) {
    (void)state;
    unsigned char *from = malloc(BYTES), *to = calloc(BYTES + 2, 1);
    omp_set_num_threads(3);
    for (size_t i = 0; i < BYTES; i++)
        from[i] = (unsigned char)(1 + i * 7 % 255);
    kb_copy(to + 1, from, BYTES);
    assert_memory_equal(to + 1, from, BYTES);
    assert_int_equal(to[0] + to[BYTES + 1], 0);
    free(to);
    free(from);
}

static void one_other_byte_anywhere_is_not_the_same(void **state) {
    (void)state;
    const size_t places[] = {0, 1, (2 << 20) - 1, 2 << 20, BYTES - 1};
    unsigned char *a = calloc(BYTES, 1), *b = calloc(BYTES, 1);
    omp_set_num_threads(3);
    assert_true(kb_same(a, b, BYTES));
    assert_true(kb_same(a, b, 0));
    for (size_t i = 0; i < KB_COUNT(places); i++) {
        b[places[i]] = 1;
        assert_false(kb_same(a, b, BYTES));
        b[places[i]] = 0;
    }
    b[BYTES - 1] = 1;
    assert_true(kb_same(a, b, BYTES - 1));
    free(b);
    free(a);
}

static void a_large_hash_is_that_of_all_bytes_by_any_number_of_threads(void **state) {
    (void)state;
    const size_t places[] = {0, (2 << 20) - 1, 2 << 20, BYTES - 1};
    unsigned char *data = calloc(BYTES, 1);
    omp_set_num_threads(3);
    struct kb_hash whole = kb_hash_large(data, BYTES), other;
    omp_set_num_threads(1);
    other = kb_hash_large(data, BYTES);
    assert_memory_equal(&whole, &other, sizeof whole);
    for (size_t i = 0; i < KB_COUNT(places); i++) {
        data[places[i]] = 1;
        other = kb_hash_large(data, BYTES);
        assert_memory_not_equal(&whole, &other, sizeof whole);
        data[places[i]] = 0;
    }
    other = kb_hash_large(data, BYTES - 1);
    assert_memory_not_equal(&whole, &other, sizeof whole);
    kb_hash_large(NULL, 0);
    free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_follow_the_size_of_the_work),
        cmocka_unit_test(copy_moves_every_byte_and_none_beside),
        cmocka_unit_test(one_other_byte_anywhere_is_not_the_same),
        cmocka_unit_test(a_large_hash_is_that_of_all_bytes_by_any_number_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
