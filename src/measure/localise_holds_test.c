/* localise_holds_test.c - what wrong elements hold and are made of is told where it is so,
 * and not where it is only nearly so or by accident. */
#include "localise_fixture.h"

/* Spoils the output of a case that is right. */
typedef void spoil(struct run *r);

struct expected {
    const char *id;
    spoil *spoil;
    const char *holds, *inputs; /* NULL: nothing is told */
};

static bool is_same(const char *a, const char *b) {
    return a && b ? kb_streq(a, b) : a == b;
}

static bool is_told(const struct expected *e) {
    struct run r;
    run_setup(&r, e->id);
    e->spoil(&r);
    localise(&r);
    assert_non_null(r.local);
    bool same = is_same(r.local->holds, e->holds) && is_same(r.local->inputs, e->inputs);
    if (!same)
        print_message("%s:\ngot  %s | %s\nwant %s | %s\n", e->id, r.local->holds,
                      r.local->inputs, e->holds, e->inputs);
    run_teardown(&r);
    return same;
}

static void check_all(const struct expected *list, size_t n) {
    bool all = true;
    for (size_t i = 0; i < n; i++)
        all &= is_told(&list[i]);
    assert_true(all);
}

/* ---- what belongs elsewhere ------------------------------------------------------------
 */

/* Element i gets what is right at `to(i)`, where that is one. */
static void move_all(struct run *r, int64_t (*to)(const struct run *, int64_t)) {
    for (int64_t i = 0; i < r->n; i++) {
        int64_t from = to(r, i);
        if (from >= 0 && from < r->n)
            kb_bits_put(r->spec->dtype, r->got, i, right_bits(r, from));
    }
}
static int64_t row_before(const struct run *r, int64_t i) {
    return i - r->columns;
}
static int64_t one_after(const struct run *r, int64_t i) {
    (void)r;
    return i + 1;
}
static int64_t pair(const struct run *r, int64_t i) {
    (void)r;
    return i ^ 1;
}
static int64_t other_half(const struct run *r, int64_t i) {
    return i / r->columns * r->columns + (i % r->columns + r->columns / 2) % r->columns;
}
static int64_t other_row_half(const struct run *r, int64_t i) {
    return (i + r->n / 2) % r->n;
}
static int64_t backwards_by_four(const struct run *r, int64_t i) {
    (void)r;
    return i ^ 3;
}
static int64_t transposed(const struct run *r, int64_t i) {
    int64_t rows = r->n / r->columns;
    return i % r->columns * rows + i / r->columns;
}
static void shift_rows(struct run *r) {
    move_all(r, row_before);
}
static void shift_elements(struct run *r) {
    move_all(r, one_after);
}
static void swap_pairs(struct run *r) {
    move_all(r, pair);
}
static void swap_halves(struct run *r) {
    move_all(r, other_half);
}
static void swap_row_halves(struct run *r) {
    move_all(r, other_row_half);
}
static void reverse_fours(struct run *r) {
    move_all(r, backwards_by_four);
}
static void transpose(struct run *r) {
    move_all(r, transposed);
}
static void last_row_again(struct run *r) {
    for (int64_t i = r->n - r->columns; i < r->n; i++)
        kb_bits_put(r->spec->dtype, r->got, i, right_bits(r, i - r->columns));
}

static void what_belongs_elsewhere_is_told_by_its_place(void **state) {
    (void)state;
    const struct expected list[] = {
        {"silu/84x64/fp32", shift_rows, "each holds what belongs to the row before", NULL},
        {"silu/84x64/bf16", shift_elements, "each holds what belongs 1 element after",
         NULL},
        {"silu/84x64/fp32", swap_pairs,
         "each holds what belongs to column ^ 1: pairs are swapped", NULL},
        {"silu/84x64/fp32", swap_halves,
         "each holds what belongs to the other half of the row", NULL},
        {"silu/84x64/fp32", swap_row_halves,
         "each holds what belongs to the other half of the rows", NULL},
        {"gelu/84x64/fp16", reverse_fours,
         "each holds what belongs to column ^ 3: groups of 4 are reversed", NULL},
        {"silu/84x64/fp32", transpose, "each holds what belongs to the transposed index",
         NULL},
        {"silu/84x64/fp16", last_row_again, "each holds what belongs to the row before",
         NULL},
        {"stream/64x64/bf16", shift_elements, "each holds what belongs 1 element after",
         NULL},
    };
    check_all(list, KB_COUNT(list));
}

/* ---- numbers ---------------------------------------------------------------------------
 */

static void negate(struct run *r) {
    for (int64_t i = 0; i < r->n; i += 3)
        put(r, i, -value_at(r, i));
}
static void times_1_25(struct run *r) {
    for (int64_t i = 0; i < r->n; i++)
        put(r, i, 1.25 * value_at(r, i));
}
static void zero_rows(struct run *r) {
    for (int64_t i = 0; i < 8 * r->columns; i++)
        put(r, i, 0);
}
static void copy_up(struct run *r) {
    for (int64_t i = 0; i < r->n; i++)
        kb_bits_put(r->spec->dtype, r->got, i,
                    kb_bits_at(r->spec->dtype, r->initial[0],
                               (2 * (i / r->columns) + 1) * r->columns + i % r->columns));
}
static void nan_columns(struct run *r) {
    for (int64_t i = 3; i < r->n; i += 8)
        put(r, i, NAN);
}
static void no_nan(struct run *r) {
    for (int64_t i = 0; i < r->n; i++)
        if (isnan(value_at(r, i)))
            put(r, i, 0);
}
static void saturate(struct run *r) {
    for (int64_t i = 0; i < r->n; i++)
        if (isinf(value_at(r, i)))
            put(r, i, copysign(kb_max_finite(r->spec->dtype), value_at(r, i)));
}
/* The bits of what is wanted before rounding, cut. */
static void cut(struct run *r) {
    for (int64_t i = 0; i < r->n; i++) {
        double want, bound, value = value_at(r, i);
        r->c.op->reference(&r->p, r->args.in, NULL, r->args.tensor, i, 1, &want, &bound);
        if (fabs(value) > fabs(want))
            put(r, i, value - copysign(kb_ulp(r->spec->dtype, want), want));
    }
}
static void eight_bits_less(struct run *r) {
    for (int64_t i = 0; i < r->n; i++)
        kb_bits_put(r->spec->dtype, r->got, i,
                    kb_bits_at(r->spec->dtype, r->got, i) & ~255u);
}

static void wrong_numbers_are_told_by_what_they_have_in_common(void **state) {
    (void)state;
    const struct expected list[] = {
        {"silu/83x64/bf16", negate, "each holds the right number with the other sign",
         NULL},
        {"silu/83x64/bf16", times_1_25, "each holds 1.25 times the right number", NULL},
        {"silu/83x64/fp16", zero_rows, "each holds 0", NULL},
        {"silu/83x64/fp32", copy_up, "each holds a copy of up", NULL},
        {"silu/83x64/bf16", nan_columns, "each holds NaN, where a number is wanted", NULL},
        {"silu/64x128/bf16/fill=nan", no_nan, "each holds 0, where NaN is wanted", NULL},
        {"silu/64x128/fp16/fill=large", saturate,
         "each holds the largest finite number, where infinity is wanted",
         "all of them where gate > 0"},
        {"silu/83x64/bf16", cut,
         "each holds the next number towards 0: results are cut, not rounded", NULL},
        {"silu/83x64/fp32", eight_bits_less, "each holds a number whose last 8 bits are 0",
         NULL},
    };
    check_all(list, KB_COUNT(list));
}

/* ---- near misses -----------------------------------------------------------------------
 */

/* One in five is not what the other four are. */
static void shift_most_rows(struct run *r) {
    move_all(r, row_before);
    for (int64_t i = 0; i < r->n; i += 5)
        put(r, i, 3 * value_at(r, i) + 1);
}
static void one_as_before(struct run *r) {
    kb_bits_put(r->spec->dtype, r->got, 77, right_bits(r, 76));
}
static void times_0_9_to_1_1(struct run *r) {
    for (int64_t i = 0; i < r->n; i++)
        put(r, i, (0.9 + 0.2 * (double)(i % 7) / 6) * value_at(r, i));
}
/* What belongs to the row before is the same within a bound or two: nothing is known. */
static void three_off_by_a_little(struct run *r) {
    for (int64_t i = 5; i < 8; i++)
        put(r, i, value_at(r, i) * 1.02);
}

static void what_only_some_elements_hold_is_not_told(void **state) {
    (void)state;
    const struct expected list[] = {
        {"silu/84x64/fp32", shift_most_rows, NULL, NULL},
        {"silu/84x64/fp32", one_as_before, NULL, NULL},
        {"silu/84x64/fp32", times_0_9_to_1_1, NULL, NULL},
        {"silu/84x64/bf16", three_off_by_a_little, NULL, NULL},
    };
    check_all(list, KB_COUNT(list));
}

/* ---- what they are made of
 * ---------------------------------------------------------------
 */

static double source(const struct run *r, int64_t flat, int i) {
    struct kb_source sources[KB_MAX_SOURCES];
    int n = kb_problem_sources(&r->p, r->args.in, r->args.tensor, flat, sources);
    if (!n) /* between rows */
        return NAN;
    assert_true(n > i);
    return sources[i].value;
}
/* Off by 3 %, as a wrong constant is. */
static void spoil_where(struct run *r, bool (*is)(double gate, double up, int64_t i)) {
    for (int64_t i = 0; i < r->n; i++)
        if (is(source(r, i, 0), source(r, i, 1), i))
            put(r, i, value_at(r, i) * (i % 2 ? 1.03 : 0.96) + 1e-3);
}
static bool is_negative(double gate, double up, int64_t i) {
    (void)up;
    return i % 13 == 0 ? gate > 0.5 : i % 3 && gate < 0;
}
static bool is_below_minus_one(double gate, double up, int64_t i) {
    (void)up, (void)i;
    return gate < -1;
}
static bool is_far_up(double gate, double up, int64_t i) {
    (void)gate, (void)i;
    return fabs(up) > 1.5;
}
static bool is_nan_gate(double gate, double up, int64_t i) {
    (void)up, (void)i;
    return isnan(gate);
}
static bool is_third(double gate, double up, int64_t i) {
    (void)gate, (void)up;
    return i % 3 == 0;
}
static bool is_few(double gate, double up, int64_t i) {
    (void)up;
    return gate < 0 && i % 1000 == 7;
}
static void spoil_negative(struct run *r) {
    spoil_where(r, is_negative);
}
static void spoil_below(struct run *r) {
    spoil_where(r, is_below_minus_one);
}
static void spoil_far_up(struct run *r) {
    spoil_where(r, is_far_up);
}
static void spoil_nan(struct run *r) {
    for (int64_t i = 0; i < r->n; i++)
        if (is_nan_gate(source(r, i, 0), 0, i))
            put(r, i, 7);
}
static void spoil_third(struct run *r) {
    spoil_where(r, is_third);
}
static void spoil_few(struct run *r) {
    spoil_where(r, is_few);
}
/* Rows with expert 0 are computed with another one's weights, say. */
static void spoil_expert_0(struct run *r) {
    for (int64_t i = 0; i < r->n; i++)
        if (source(r, i, 2) == 0)
            put(r, i, value_at(r, i) * (i % 2 ? 1.03 : 0.96) + 1e-3);
}

static void spoil_row(struct run *r, int64_t row) {
    for (int64_t i = row * r->columns; i < (row + 1) * r->columns; i++)
        put(r, i, value_at(r, i) * (i % 2 ? 1.03 : 0.96) + 1e-3);
}
static void spoil_first_row(struct run *r) {
    spoil_row(r, 0);
}
/* The first that is computed at all. */
static void spoil_a_row(struct run *r) {
    double want, bound = KB_KEEP;
    int64_t row = -1;
    while (bound == KB_KEEP)
        r->c.op->reference(&r->p, r->args.in, NULL, r->args.tensor, ++row * r->columns, 1,
                           &want, &bound);
    spoil_row(r, row);
}

static void a_property_of_the_inputs_is_told_with_its_share(void **state) {
    (void)state;
    const struct expected list[] = {
        {"silu/83x256/fp32", spoil_negative, NULL, "93 % of them where gate < 0"},
        {"silu/83x256/fp32", spoil_below, NULL, "all of them where gate < -1"},
        {"silu/83x256/fp32", spoil_far_up, NULL,
         "all of them, and no others, where |up| > 1.5"},
        /* What lies between rows is made of nothing, and none of the right ones. */
        {"silu/83x256/fp32/out_pitch=320", spoil_far_up, NULL,
         "all of them, and no others, where |up| > 1.5"},
        {"silu/64x256/bf16/fill=nan", spoil_nan, "each holds 7, where NaN is wanted",
         "all of them, and no others, where gate is NaN"},
        {"silu/83x256/fp32/filter=ids", spoil_expert_0, NULL,
         "all of them where expert_ids is 0"},
        /* Three rows of one number each, of which one is wrong; a row has an id of its own.
         */
        {"silu/3x256/fp32/fill=constant", spoil_first_row, NULL, NULL},
        {"silu/83x256/fp32/filter=sorted", spoil_a_row, NULL, NULL},
        /* No property, and too few to tell. */
        {"silu/83x256/fp32", spoil_third, NULL, NULL},
        {"silu/83x256/fp32", spoil_few, NULL, NULL},
    };
    check_all(list, KB_COUNT(list));
}

/* ---- the rest
 * ----------------------------------------------------------------------------
 */

static void what_is_said_of_the_rest_is_said_of_right_elements_alone(void **state) {
    (void)state;
    struct run r;
    run_setup(&r, "silu/83x64/bf16");
    localise(&r);
    assert_null(r.local);
    double ulp = r.report.ulp_max, share = r.report.err_over_bound;
    zero_rows(&r);
    localise(&r);
    assert_true(r.report.ulp_max > 10);
    assert_true(r.local->right_ulp <= ulp && r.local->right_ulp > 0.4);
    assert_true(r.local->right_share <= share + 1e-12);
    assert_int_equal(r.local->right, r.n - r.report.over);
    for (int64_t i = 0; i < r.n; i++)
        put(&r, i, 1e6);
    localise(&r);
    assert_int_equal(r.local->right, 0);
    assert_true(isnan(r.local->right_ulp) && isnan(r.local->right_share));
    assert_string_equal(r.local->where, "every element");
    run_teardown(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_belongs_elsewhere_is_told_by_its_place),
        cmocka_unit_test(wrong_numbers_are_told_by_what_they_have_in_common),
        cmocka_unit_test(what_only_some_elements_hold_is_not_told),
        cmocka_unit_test(a_property_of_the_inputs_is_told_with_its_share),
        cmocka_unit_test(what_is_said_of_the_rest_is_said_of_right_elements_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
