/* judge_test.c - the rule for one element. */
#include "judge.h"
#include "toy_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Does `got` pass where `want` is wanted, that near? */
static bool passes_by(enum kb_dtype dtype, struct kb_tolerance tolerance, double got,
                      double want, double bound) {
    struct toy toy;

    toy_make(&toy, dtype, 1, 1);
    toy.want[0] = want;
    toy.bound[0] = bound;
    toy.args.tolerance = tolerance;
    toy_put(&toy, 0, got);
    struct kb_output_report r = toy_report(&toy);
    assert_int_equal(r.checked, 1);
    assert_int_equal(kb_compare_over(&toy.args, 0, 1), r.over); /* by the definition */
    toy_free(&toy);
    return r.over == 0;
}

static bool passes(enum kb_dtype dtype, double got, double want, double bound) {
    return passes_by(dtype, (struct kb_tolerance){0}, got, want, bound);
}

static bool passes_given(double atol, double rtol, double got, double want) {
    return passes_by(KB_FP32, (struct kb_tolerance){KB_TOL_GIVEN, atol, rtol}, got, want,
                     0);
}

static void half_an_ulp_is_free_and_the_bound_comes_on_top(void **state) {
    (void)state;
    const double ulp = 0x1p-7; /* of bf16 from 1 on */
    assert_true(passes(KB_BF16, 1, 1 + ulp / 2, 0));
    assert_true(passes(KB_BF16, 1 + ulp, 1 + ulp / 2, 0));
    assert_false(passes(KB_BF16, 1 + ulp, 1 + 0.49 * ulp, 0));
    assert_true(passes(KB_BF16, 1 + ulp, 1 + 0.49 * ulp, 0.01 * ulp));
    assert_false(passes(KB_BF16, 1 + ulp, 1 + 0.49 * ulp, 0.0099 * ulp));
}

/* NaN compares false with anything: what is not found to be right is wrong. */
static void a_bound_that_is_no_bound_passes_nothing(void **state) {
    (void)state;
    assert_false(passes(KB_FP32, 2, 1, NAN));
    assert_false(passes(KB_FP32, 2, 1, -3));
    assert_true(passes(KB_FP32, 1, 1, NAN)); /* no error, whatever the bound */
}

static void a_tolerance_that_is_no_number_passes_nothing(void **state) {
    (void)state;
    assert_false(passes_given(0, INFINITY, 1, 0)); /* infinity times 0 */
    assert_false(passes_given(NAN, 0, 1, 2));
    assert_true(passes_given(INFINITY, 0, 1, 2));
    assert_false(passes_given(INFINITY, 0, NAN, 2));
}

/* Either may be enough, and they add up. */
static void a_tolerance_is_the_sum_of_its_two_parts(void **state) {
    (void)state;
    assert_true(passes_given(0.5, 0, 100.5, 100));
    assert_true(passes_given(0, 0.005, 100.5, 100));
    assert_true(passes_given(0.25, 0.0025, 100.5, 100));
    assert_false(passes_given(0.24, 0.0025, 100.5, 100));
    assert_false(passes_given(0.25, 0.0024, 100.5, 100));
    assert_true(passes_given(0.5, 0.5, 0.5, 0)); /* nothing is relative to 0 */
    assert_false(passes_given(0.25, 0.5, 0.5, 0));
}

static void zeros_of_either_sign_are_the_same_number(void **state) {
    (void)state;
    const enum kb_dtype dtypes[] = {KB_BF16, KB_FP16, KB_FP32, KB_E4M3};
    for (size_t i = 0; i < KB_COUNT(dtypes); i++) {
        assert_true(passes(dtypes[i], -0.0, 0.0, 0));
        assert_true(passes(dtypes[i], 0.0, -0.0, 0));
        assert_true(
            passes_by(dtypes[i], (struct kb_tolerance){KB_TOL_PEER, 0, 0}, -0.0, 1e-5, 0));
    }
}

static void a_sign_counts_where_it_is_all_that_differs(void **state) {
    (void)state;
    assert_false(passes(KB_BF16, -1, 1, 0));
    assert_false(passes(KB_BF16, -INFINITY, INFINITY, 0));
    assert_false(passes(KB_FP16, -65504, 65520, 1e6));
}

static void infinity_is_right_where_the_bound_reaches_the_overflow(void **state) {
    (void)state;
    assert_true(passes(KB_FP16, INFINITY, 65500, 20));
    assert_false(passes(KB_FP16, INFINITY, 65500, 19));
    assert_false(passes(KB_FP16, INFINITY, 65500, 0));
    assert_true(passes(KB_FP16, 65504, 65540, 21)); /* 36 off, 16 of them half an ulp */
    assert_false(passes(KB_FP16, 65504, 65540, 19));
}

/* e4m3 has no infinity: what is past its end is its end. */
static void what_saturates_is_right_at_the_end_and_nowhere_else(void **state) {
    (void)state;
    const double beyond[] = {448, 463, 465, 1e6, INFINITY};
    for (size_t i = 0; i < KB_COUNT(beyond); i++) {
        assert_true(passes(KB_E4M3, 448, beyond[i], 0));
        assert_true(passes(KB_E4M3, -448, -beyond[i], 0));
        assert_false(passes(KB_E4M3, 416, beyond[i], 0));
        assert_false(passes(KB_E4M3, -448, beyond[i], 0));
        assert_false(passes(KB_E4M3, NAN, beyond[i], 0));
    }
    assert_true(passes(KB_E4M3, NAN, NAN, 0));
    assert_false(passes(KB_E4M3, 448, NAN, 0));
    assert_true(passes(KB_U8, 255, 300, 0));
    assert_true(passes(KB_U8, 0, -4, 0));
    assert_false(passes(KB_U8, 254, 300, 0));
}

/* A code may be off by steps, where the op's bound says so. */
static void integers_are_judged_in_steps(void **state) {
    (void)state;
    assert_true(passes(KB_U8, 127, 127.4, 0));
    assert_false(passes(KB_U8, 128, 127.4, 0));
    assert_true(passes(KB_U8, 128, 127, 0.5));
    assert_false(passes(KB_U8, 129, 127, 1));
    assert_true(passes(KB_I32, -5, -5, 0));
    assert_false(passes(KB_I32, -6, -5, 0));
}

static void equal_bits_are_wanted_unless_any_will_do(void **state) {
    (void)state;
    struct toy toy;
    toy_make(&toy, KB_I32, 1, 4);
    toy.p.tensors[TOY_OUT].rule = KB_RULE_EXACT;
    toy.want[0] = 4294967295.0; /* the bits of -1 */
    toy.bound[2] = INFINITY;
    toy_perfect(&toy);
    assert_int_equal(toy_report(&toy).over, 0);
    toy_put(&toy, 2, 77);
    assert_int_equal(toy_report(&toy).over, 0);
    toy_put(&toy, 0, -2);
    toy_put(&toy, 3, 77);
    struct kb_output_report r = toy_report(&toy);
    assert_int_equal(r.over, 2);
    assert_int_equal(r.first[0].index, 0);
    assert_true(r.first[0].want == 4294967295.0);
    toy_free(&toy);
}

static void what_may_not_be_written_keeps_its_bits(void **state) {
    (void)state;
    struct toy toy;
    unsigned char before[8];
    toy_make(&toy, KB_BF16, 1, 4);
    kb_poison(toy.data[TOY_OUT], 8, 0);
    memcpy(before, toy.data[TOY_OUT], sizeof before);
    for (int64_t i = 0; i < 4; i++)
        toy.bound[i] = KB_KEEP;
    toy.in[TOY_OUT] = before;
    assert_int_equal(toy_report(&toy).over, 0);
    assert_int_equal(toy_report(&toy).kept, 4);
    kb_bits_put(KB_BF16, toy.data[TOY_OUT], 2, 0x7fb2); /* another NaN */
    struct kb_output_report r = toy_report(&toy);
    assert_true(r.over == 1 && r.touched == 1 && r.kept == 4 && r.unwritten == 0);
    assert_int_equal(r.worst.index, 2);
    assert_int_equal(kb_compare_over(&toy.args, 0, 4), 1);
    toy_free(&toy);
}

static void where_any_value_passes_none_at_all_does_not(void **state) {
    (void)state;
    struct toy toy;
    toy_make(&toy, KB_FP16, 1, 4);
    toy_perfect(&toy);
    toy.bound[1] = INFINITY;
    toy_put(&toy, 1, NAN);
    assert_int_equal(toy_report(&toy).over, 0);
    kb_poison((char *)toy.data[TOY_OUT] + 2, 2, 0);
    struct kb_output_report r = toy_report(&toy);
    assert_true(r.over == 1 && r.unwritten == 1);
    toy_free(&toy);
}

static void where_any_code_passes_poison_is_one_too(void **state) {
    (void)state;
    struct toy toy;
    toy_make(&toy, KB_E4M3, 1, 4);
    toy_perfect(&toy);
    toy.want[1] = NAN;
    toy.bound[1] = INFINITY;
    toy_put(&toy, 1, NAN); /* 7f, which poison has as well */
    assert_true(kb_is_poison(KB_E4M3, kb_bits_at(KB_E4M3, toy.data[TOY_OUT], 1), 0));
    assert_int_equal(toy_report(&toy).over, 0);
    toy.bound[1] = 0;
    toy.want[1] = 2;
    assert_int_equal(toy_report(&toy).over, 1);
    toy_free(&toy);
}

static void the_factor_of_a_build_widens_the_bound_alone(void **state) {
    (void)state;
    struct toy toy;
    toy_make(&toy, KB_FP32, 1, 1);
    toy.want[0] = 1;
    toy.bound[0] = 0x1p-20;
    toy_put(&toy, 0, 1 + 8 * 0x1p-20);
    assert_int_equal(toy_report(&toy).over, 1);
    toy.args.bound_factor = 7;
    assert_int_equal(toy_report(&toy).over, 1);
    toy.args.bound_factor = 8;
    assert_int_equal(toy_report(&toy).over, 0);
    toy.args.tolerance = (struct kb_tolerance){KB_TOL_GIVEN, 0x1p-20, 0};
    assert_int_equal(toy_report(&toy).over, 1);
    toy_free(&toy);
}

/* The peers' numbers are those of the output's dtype, whatever others the op has. */
static void the_tolerance_is_that_of_the_outputs_own_dtype(void **state) {
    (void)state;
    struct toy toy;
    toy_make(&toy, KB_FP32, 1, 4); /* bf16 in */
    toy.args.tolerance.rule = KB_TOL_PEER;
    toy_perfect(&toy);
    toy_put(&toy, 1, 2 + 1e-3);
    struct kb_output_report r = toy_report(&toy);
    assert_true(r.tolerance.atol == 1e-4);
    assert_int_equal(r.over, 1);
    toy_free(&toy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_an_ulp_is_free_and_the_bound_comes_on_top),
        cmocka_unit_test(a_bound_that_is_no_bound_passes_nothing),
        cmocka_unit_test(a_tolerance_that_is_no_number_passes_nothing),
        cmocka_unit_test(a_tolerance_is_the_sum_of_its_two_parts),
        cmocka_unit_test(zeros_of_either_sign_are_the_same_number),
        cmocka_unit_test(a_sign_counts_where_it_is_all_that_differs),
        cmocka_unit_test(infinity_is_right_where_the_bound_reaches_the_overflow),
        cmocka_unit_test(what_saturates_is_right_at_the_end_and_nowhere_else),
        cmocka_unit_test(integers_are_judged_in_steps),
        cmocka_unit_test(equal_bits_are_wanted_unless_any_will_do),
        cmocka_unit_test(what_may_not_be_written_keeps_its_bits),
        cmocka_unit_test(where_any_value_passes_none_at_all_does_not),
        cmocka_unit_test(where_any_code_passes_poison_is_one_too),
        cmocka_unit_test(the_factor_of_a_build_widens_the_bound_alone),
        cmocka_unit_test(the_tolerance_is_that_of_the_outputs_own_dtype),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
