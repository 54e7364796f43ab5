/* impostor_test.c - which wrong outputs a rule is tried on, which ones it lets pass. */
#include "toy_fixture.h"

#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct kb_impostors tried_on(struct toy *toy, struct kb_arena *arena) {
    struct kb_impostors out = {0};

    kb_impostors_try(&toy->args, 1, 0, 1, arena, &out);
    return out;
}

static bool has(const struct kb_impostors *found, const char *name) {
    for (size_t i = 0; i < found->let_through.count; i++)
        if (kb_streq(found->let_through.items[i], name))
            return true;
    return false;
}

/* Those that pass, by commas. */
static void assert_passed(struct toy *toy, const char *names) {
    struct kb_arena arena = {0};
    struct kb_impostors found = tried_on(toy, &arena);
    struct kb_buf text = {0};

    for (size_t i = 0; i < found.let_through.count; i++)
        kb_buf_printf(&text, "%s%s", i ? ", " : "", found.let_through.items[i]);
    assert_string_equal(kb_buf_text(&text), names);
    kb_buf_free(&text);
    kb_arena_free(&arena);
}

static void assert_counts(struct toy *toy, int tried, int left_out) {
    struct kb_arena arena = {0};
    struct kb_impostors found = tried_on(toy, &arena);

    assert_int_equal(found.tried, tried);
    assert_int_equal(found.left_out, left_out);
    kb_arena_free(&arena);
}

/* Numbers that no two elements share, some of them negative. */
static void make_plain(struct toy *toy, enum kb_dtype dtype, int64_t rows,
                       int64_t columns) {
    toy_make(toy, dtype, rows, columns);
    for (int64_t i = 0; i < toy->n; i++)
        toy->want[i] = (i % 3 ? 1 : -1) * (0.5 + (double)(i % 119) / 100);
    for (int64_t i = 0; i < 2 * toy->n; i++)
        kb_bits_put(KB_BF16, toy->data[TOY_IN], i, kb_encode(KB_BF16, 0.25 * (double)i));
}

static void a_rule_that_tells_right_from_wrong_lets_none_pass(void **state) {
    (void)state;
    const enum kb_dtype dtypes[] = {KB_BF16, KB_FP16, KB_FP32, KB_E4M3, KB_I32};
    for (size_t i = 0; i < KB_COUNT(dtypes); i++) {
        struct toy toy;
        make_plain(&toy, dtypes[i], 9, 31);
        for (int64_t k = 0; dtypes[i] == KB_I32 && k < toy.n; k++)
            toy.want[k] = (double)(k * 37 % 101);
        assert_passed(&toy, "");
        assert_counts(&toy, dtypes[i] == KB_I32 ? 7 : 8, 0); /* floats are no copy of ids */
        toy_free(&toy);
    }
}

static void a_tolerance_wider_than_the_numbers_lets_all_pass(void **state) {
    (void)state;
    struct toy toy;
    make_plain(&toy, KB_BF16, 9, 31);
    kb_poison(toy.data[TOY_IN], 0, 0);
    toy.args.tolerance = (struct kb_tolerance){KB_TOL_GIVEN, 1000, 0};
    assert_passed(&toy,
                  "all zeros, a copy of input, the mean of each row, the mean of all, "
                  "shifted by one element, shifted by one row, nothing in the last "
                  "140, one wrong element");
    toy_free(&toy);
}

/* An absolute part just past the largest number, nothing else. */
static void only_what_the_tolerance_covers_passes(void **state) {
    (void)state;
    struct toy toy;
    make_plain(&toy, KB_FP32, 9, 31);
    toy.args.tolerance = (struct kb_tolerance){KB_TOL_GIVEN, 1.7, 0};
    assert_passed(&toy, "all zeros, nothing in the last 140");
    toy.args.tolerance = (struct kb_tolerance){KB_TOL_GIVEN, 1.6, 0};
    assert_passed(&toy, "");
    toy.args.tolerance = (struct kb_tolerance){KB_TOL_GIVEN, 0, 1};
    assert_passed(&toy, "all zeros, nothing in the last 140");
    toy_free(&toy);
}

static void a_bound_is_held_to_it_as_well(void **state) {
    (void)state;
    struct toy toy;
    make_plain(&toy, KB_BF16, 9, 31);
    for (int64_t i = 0; i < toy.n; i++)
        toy.bound[i] = 2;
    struct kb_arena arena = {0};
    struct kb_impostors found = tried_on(&toy, &arena);
    assert_true(has(&found, "all zeros"));
    toy.args.bound_factor = 0.5;
    found = tried_on(&toy, &arena);
    assert_false(has(&found, "all zeros"));
    kb_arena_free(&arena);
    toy_free(&toy);
}

/* Only one element of many tells it from a right output: it is found wherever it is. */
static void one_element_that_differs_is_enough_anywhere(void **state) {
    (void)state;
    const int64_t places[] = {0, 255, 256, 4999, 300000, 399999};
    for (size_t i = 0; i < KB_COUNT(places); i++) {
        for (int threads = 1; threads <= 3; threads++) {
            struct toy toy;
            toy_make(&toy, KB_FP32, 1, 400000);
            memset(toy.want, 0, (size_t)toy.n * sizeof *toy.want);
            toy.want[places[i]] = 3;
            omp_set_num_threads(threads);
            assert_passed(&toy, "");
            toy.args.tolerance = (struct kb_tolerance){KB_TOL_GIVEN, 3, 0};
            struct kb_arena arena = {0};
            struct kb_impostors found = tried_on(&toy, &arena);
            assert_true(has(&found, "all zeros") && has(&found, "shifted by one element"));
            kb_arena_free(&arena);
            toy_free(&toy);
        }
    }
}

/* Of every ten elements some have a bound that takes anything. */
static void one_wrong_element_must_show_at_most_places(void **state) {
    (void)state;
    for (int64_t wide = 0; wide <= 9; wide += 3) {
        struct toy toy;
        struct kb_arena arena = {0};
        make_plain(&toy, KB_FP32, 50, 50);
        for (int64_t i = 0; i < toy.n; i++)
            toy.bound[i] = i % 10 < wide ? 1e30 : 0;
        for (toy.args.bound_factor = 1; toy.args.bound_factor < 9;
             toy.args.bound_factor++) {
            struct kb_impostors found = {0};
            uint64_t seed = (uint64_t)toy.args.bound_factor; /* another place */
            kb_impostors_try(&toy.args, 1, 0, seed, &arena, &found);
            assert_int_equal(found.let_through.count, wide > 5);
            assert_true(has(&found, "one wrong element") == (wide > 5));
        }
        kb_arena_free(&arena);
        toy_free(&toy);
    }
}

static void what_is_right_here_is_left_out(void **state) {
    (void)state;
    struct toy toy;
    toy_make(&toy, KB_BF16, 4, 8);
    for (int64_t i = 0; i < toy.n; i++)
        toy.want[i] = i % 2 ? 0.0 : -0.0; /* zeros, their shifts and means */
    kb_bits_put(KB_BF16, toy.data[TOY_IN], 0, 0x3f80);
    assert_passed(&toy, "");
    assert_counts(&toy, 2, 6); /* a copy of the input, one wrong element */
    for (int64_t i = 0; i < toy.n; i++)
        toy.want[i] = (double)(i / 8); /* each row one number */
    assert_passed(&toy, "");
    assert_counts(&toy, 7, 1);
    toy_free(&toy);
}

static void nan_is_nan_whatever_its_bits(void **state) {
    (void)state;
    struct toy toy;
    toy_make(&toy, KB_FP32, 1, 16);
    for (int64_t i = 0; i < toy.n; i++)
        toy.want[i] = i % 2 ? (double)NAN : -(double)NAN;
    assert_passed(&toy, "");
    assert_counts(&toy, 5, 1); /* shifted by one element it is the same */
    toy_free(&toy);
}

static void one_row_or_one_element_has_fewer(void **state) {
    (void)state;
    struct toy toy;
    make_plain(&toy, KB_BF16, 1, 31);
    assert_counts(&toy, 6, 0); /* no other row, no mean of it but that of all */
    toy_free(&toy);
    make_plain(&toy, KB_BF16, 1, 1);
    assert_counts(&toy, 3, 2); /* the mean and the neighbour are the element itself */
    assert_passed(&toy, "");
    toy_free(&toy);
    make_plain(&toy, KB_BF16, 0, 8);
    assert_counts(&toy, 0, 0);
    toy_free(&toy);
}

/* Where nothing may be written or any value passes, an impostor is as right as the rest: it
 * must show elsewhere. */
static void elements_that_are_not_judged_tell_nothing(void **state) {
    (void)state;
    const double any[] = {KB_KEEP, INFINITY};
    for (size_t k = 0; k < KB_COUNT(any); k++) {
        struct toy toy;
        make_plain(&toy, KB_FP32, 8, 64);
        for (int64_t i = 0; i < toy.n; i++)
            toy.bound[i] = any[k];
        assert_counts(&toy, 0, 8);
        assert_passed(&toy, "");
        toy.bound[300] = 0;
        assert_passed(&toy, "");
        assert_counts(&toy, 4, 4); /* shifts and means have no other element there */
        toy.args.tolerance = (struct kb_tolerance){KB_TOL_GIVEN, 9, 0};
        assert_passed(&toy, "all zeros, nothing in the last 256, one wrong element");
        toy_free(&toy);
    }
}

static void codes_are_told_apart_by_their_bits(void **state) {
    (void)state;
    struct toy toy;
    toy_make(&toy, KB_I32, 9, 31);
    toy.p.tensors[TOY_OUT].rule = KB_RULE_EXACT;
    assert_passed(&toy, "");
    assert_counts(&toy, 7, 0);
    toy.args.tolerance = (struct kb_tolerance){KB_TOL_GIVEN, 1000, 0}; /* is for numbers */
    assert_passed(&toy, "");
    toy_free(&toy);
}

/* ---- what an op adds --------------------------------------------------------------- */

static bool sums_in_bf16(const struct kb_problem *p, const void *const *in,
                         const void *prepared, int t, int64_t first, int64_t count,
                         double *got) {
    const struct toy *toy = prepared;

    (void)in, (void)t;
    for (int64_t i = 0; i < count; i++)
        got[i] = toy->want[first + i] * (1 + 0x1p-7);
    return p->tensors[TOY_OUT].shape[1] > 4;
}

static void low_precision_is_the_ops_to_make(void **state) {
    (void)state;
    struct toy toy;
    make_plain(&toy, KB_FP32, 9, 31);
    toy.op.low_precision = sums_in_bf16;
    assert_counts(&toy, 9, 0);
    assert_passed(&toy, "");
    toy.args.tolerance.rule = KB_TOL_PEER;
    assert_passed(&toy, "");
    toy.args.tolerance = (struct kb_tolerance){KB_TOL_GIVEN, 1e-2, 1e-2};
    assert_passed(&toy, "sums in bf16");
    toy_free(&toy);
    make_plain(&toy, KB_FP32, 9, 4); /* too few to tell */
    toy.op.low_precision = sums_in_bf16;
    assert_counts(&toy, 8, 1);
    toy_free(&toy);
}

/* ---- rows that are sampled --------------------------------------------------------- */

static void rows_that_are_not_checked_catch_nothing(void **state) {
    (void)state;
    struct toy toy;
    int64_t rows[] = {0, 3, 4, 8};
    const struct kb_sampled sample = {.n = 4, .length = 31, .items = rows};
    toy_make(&toy, KB_FP32, 9, 31);
    memset(toy.want, 0, (size_t)toy.n * sizeof *toy.want);
    toy.want[5 * 31] = toy.want[6 * 31 + 2] = 1;
    toy.args.sample = &sample;
    assert_counts(&toy, 3, 5); /* copy, one wrong; by one row, row 4 has a 1 from row 5 */
    toy.want[8 * 31 + 30] = 1; /* last of those that are checked */
    assert_passed(&toy, "");
    assert_counts(&toy, 8, 0);
    toy_free(&toy);
}

/* ---- outputs that decide about each other ------------------------------------------ */

/* OTHER holds what a row of OUT was chosen to be: any of three is right, if OUT follows. */
static void linked_reference(const struct kb_problem *p, const void *const *in,
                             const void *prepared, int t, int64_t first, int64_t count,
                             double *want, double *bound) {
    const int32_t *chosen = in[TOY_OTHER];

    (void)prepared;
    for (int64_t i = first; i < first + count; i++, want++, bound++) {
        int64_t row = i / p->tensors[t].shape[1];
        *want = t == TOY_OTHER ? 1 : chosen[row] * 10 + (double)row;
        *bound = t == TOY_OTHER ? 1 : 0;
    }
}

static void what_an_output_lets_pass_another_may_show(void **state) {
    (void)state;
    struct toy toy;
    struct kb_arena arena = {0};
    toy_make(&toy, KB_FP32, 6, 2);
    toy.op.reference = linked_reference;
    toy.op.reads_outputs = true;
    for (int64_t row = 0; row < 6; row++) {
        kb_bits_put(KB_I32, toy.data[TOY_OTHER], row, (uint32_t)row % 3);
        for (int64_t i = 2 * row; i < 2 * row + 2; i++)
            toy_put(&toy, i, (double)(row % 3 * 10 + row));
    }
    struct kb_compare_args args[2] = {toy.args, toy.args};
    const void *in_of_other[TOY_TENSORS] = {toy.data[0], toy.data[TOY_OUT], NULL};
    args[1].tensor = TOY_OTHER;
    args[1].in = in_of_other;
    args[1].got = toy.data[TOY_OTHER];
    for (int i = 0; i < 2; i++) {
        struct kb_output_report report;
        kb_compare(&args[i], &report);
        assert_int_equal(report.over, 0);
    }
    struct kb_impostors found = {0};
    kb_impostors_try(args, 2, 1, 1, &arena, &found);
    assert_int_equal(found.let_through.count, 0);
    assert_int_equal(found.tried, 3);
    found = (struct kb_impostors){0};
    kb_impostors_try(&args[1], 1, 0, 1, &arena, &found); /* by itself it passes */
    assert_true(has(&found, "all zeros") && has(&found, "nothing in the last 3"));
    found = (struct kb_impostors){0};
    args[0].tolerance = (struct kb_tolerance){KB_TOL_GIVEN, 100, 0};
    kb_impostors_try(args, 2, 1, 1, &arena, &found);
    assert_true(has(&found, "other: all zeros"));
    kb_arena_free(&arena);
    toy_free(&toy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_that_tells_right_from_wrong_lets_none_pass),
        cmocka_unit_test(a_tolerance_wider_than_the_numbers_lets_all_pass),
        cmocka_unit_test(only_what_the_tolerance_covers_passes),
        cmocka_unit_test(a_bound_is_held_to_it_as_well),
        cmocka_unit_test(one_element_that_differs_is_enough_anywhere),
        cmocka_unit_test(one_wrong_element_must_show_at_most_places),
        cmocka_unit_test(what_is_right_here_is_left_out),
        cmocka_unit_test(nan_is_nan_whatever_its_bits),
        cmocka_unit_test(one_row_or_one_element_has_fewer),
        cmocka_unit_test(elements_that_are_not_judged_tell_nothing),
        cmocka_unit_test(codes_are_told_apart_by_their_bits),
        cmocka_unit_test(low_precision_is_the_ops_to_make),
        cmocka_unit_test(rows_that_are_not_checked_catch_nothing),
        cmocka_unit_test(what_an_output_lets_pass_another_may_show),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
