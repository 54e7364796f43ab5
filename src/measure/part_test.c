/* part_test.c - what tensors of a case and of its first rows have in common. */
#include "part.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct kb_tensor_spec spec_of(const char *shape) {
    struct kb_tensor_spec spec = {.dtype = KB_BF16, .role = KB_OUT, .elements = 1};
    assert_true(kb_shape_parse(shape, spec.shape, &spec.rank));
    for (int i = 0; i < spec.rank; i++)
        spec.elements *= spec.shape[i];
    return spec;
}

static struct kb_common common_of(const char *whole, const char *part, int64_t rows,
                                  int64_t first) {
    struct kb_tensor_spec a = spec_of(whole), b = spec_of(part);
    struct kb_common common;
    if (!kb_common_of(&a, &b, rows, first, &common))
        fail_msg("%s and %s have nothing in common", whole, part);
    return common;
}

static void assert_common(struct kb_common c, int64_t outer, int64_t units, size_t unit,
                          int64_t units_of_row) {
    assert_int_equal(c.outer, outer);
    assert_int_equal(c.units, units);
    assert_int_equal(c.unit, unit);
    assert_int_equal(c.units_of_row, units_of_row);
}

static void rows_are_found_by_the_axis_that_is_shorter(void **state) {
    (void)state;
    assert_common(common_of("83x512", "41x512", 83, 41), 1, 41, 1024, 1);
    assert_common(common_of("7x83", "7x41", 83, 41), 7, 41, 2, 1);
    assert_common(common_of("7x83x4", "7x1x4", 83, 1), 7, 1, 8, 1);
    assert_common(common_of("83", "1", 83, 1), 1, 1, 2, 1);
}

static void a_row_may_be_several_units(void **state) {
    (void)state;
    assert_common(common_of("332x64", "164x64", 83, 41), 1, 164, 128, 4);
}

static void padding_is_no_row(void **state) {
    (void)state;
    struct kb_common c = common_of("3x84", "3x44", 83, 41);
    assert_common(c, 3, 41, 2, 1);
    assert_int_equal(c.a_units, 84);
    assert_int_equal(c.b_units, 44);
    assert_common(common_of("3x8", "3x4", 6, 3), 3, 3, 2, 1);
}

static void groups_of_rows_are_fewer_than_rows(void **state) {
    (void)state;
    assert_common(common_of("6", "3", 83, 41), 1, 3, 2, 1);
}

static void leading_axes_may_be_one_in_the_part(void **state) {
    (void)state;
    assert_common(common_of("2x3x512", "4x512", 6, 4), 1, 4, 1024, 1);
}

static void what_does_not_shrink_does_not_know_of_rows(void **state) {
    (void)state;
    assert_common(common_of("64x2", "64x2", 83, 41), 1, 1, 256, 0);
}

static void other_shapes_are_no_batch(void **state) {
    (void)state;
    static const struct {
        const char *whole, *part;
    } pairs[] = {{"83x512", "41x256"}, {"41x512", "83x512"}};
    struct kb_common common;
    for (size_t i = 0; i < KB_COUNT(pairs); i++) {
        struct kb_tensor_spec a = spec_of(pairs[i].whole), b = spec_of(pairs[i].part);
        assert_false(kb_common_of(&a, &b, 83, 41, &common));
    }
    struct kb_tensor_spec a = spec_of("83x512"), b = spec_of("41x512");
    b.dtype = KB_FP32;
    assert_false(kb_common_of(&a, &b, 83, 41, &common));
    b = spec_of("41x512");
    b.absent = true;
    assert_false(kb_common_of(&a, &b, 83, 41, &common));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_found_by_the_axis_that_is_shorter),
        cmocka_unit_test(a_row_may_be_several_units),
        cmocka_unit_test(padding_is_no_row),
        cmocka_unit_test(groups_of_rows_are_fewer_than_rows),
        cmocka_unit_test(leading_axes_may_be_one_in_the_part),
        cmocka_unit_test(what_does_not_shrink_does_not_know_of_rows),
        cmocka_unit_test(other_shapes_are_no_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
