/* kept_test.c - what the reference says, kept from job to job: how often it is asked, and
 * that nobody can tell. */
#include "kept.h"
#include "toy_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { ROWS = 40, COLUMNS = 256, ELEMENTS = ROWS * COLUMNS };

/* ---- an output of a toy ---------------------------------------------------------------
 */

/* A toy whose elements are asked for by one thread, and counted; what is kept of them. */
struct counting {
    struct toy toy; /* first: toy_reference takes it for one */
    int64_t asked;
    struct kb_kept_all all, none;
    struct kb_output_report report;
};

static void count_reference(const struct kb_problem *p, const void *const *in,
                            const void *prepared, int t, int64_t first, int64_t count,
                            double *want, double *bound) {
    struct counting *c = (struct counting *)(uintptr_t)prepared;

    c->asked += count;
    toy_reference(p, in, prepared, t, first, count, want, bound);
}

static const enum kb_fill fills[] = {KB_FILL_NORMAL, KB_FILL_NAN};

/* All is dear enough. */
static struct kb_kept_all all_kept(void) {
    return (struct kb_kept_all){.on = true, .least_ns = 1e-6, .most_bytes = 1 << 20};
}

static void counting_make(struct counting *c, enum kb_dtype dtype) {
    *c = (struct counting){.all = all_kept()};
    toy_make(&c->toy, dtype, ROWS, COLUMNS);
    c->toy.op.reference = count_reference;
    c->toy.op.fills = fills;
    c->toy.op.n_fills = KB_COUNT(fills);
    toy_perfect(&c->toy);
    c->toy.args.prepared = c;
}

static void counting_free(struct counting *c) {
    kb_kept_end(&c->all);
    toy_free(&c->toy);
}

static int setup(void **state) {
    *state = test_calloc(1, sizeof(struct counting));
    counting_make(*state, KB_BF16);
    return 0;
}

static int teardown(void **state) {
    counting_free(*state);
    test_free(*state);
    return 0;
}

static void turn_into(struct counting *c, enum kb_dtype dtype) {
    counting_free(c);
    counting_make(c, dtype);
}

/* The toy's output by what is kept; how many elements the reference was asked for. */
static int64_t compare_by(struct counting *c, struct kb_kept_all *all,
                          struct kb_output_report *out) {
    struct kb_compare_args args = c->toy.args;

    args.kept = kb_kept_find(all, &args);
    c->asked = 0;
    kb_compare(&args, out);
    return c->asked;
}

static int64_t compare(struct counting *c) {
    return compare_by(c, &c->all, &c->report);
}

struct numbers {
    double d[15];
    int64_t n[13];
};

static struct numbers numbers_of(const struct kb_output_report *r) {
    return (struct numbers){
        {r->err_over_bound, r->ulp_max, r->ulp_p99, r->ulp_p50, r->bias_ulp, r->abs_max,
         r->rel_max, r->nmse, r->want_rms, r->tolerance_used, r->worst.want, r->worst.got,
         r->first[0].want, r->first[0].got, r->first[1].want},
        {r->checked, r->over, r->over_bound, r->kind_mismatches, r->unwritten, r->kept,
         r->differing, r->tolerance_over, r->n_first, r->touched, r->first_bad, r->last_bad,
         r->worst.index},
    };
}

/* Bit for bit, NaN too. */
static void assert_equal(const struct kb_output_report *a,
                         const struct kb_output_report *b) {
    struct numbers x = numbers_of(a), y = numbers_of(b);

    assert_memory_equal(&x, &y, sizeof x);
}

static void the_second_asks_for_nothing_and_reports_the_same(void **state) {
    struct counting *c = *state;
    static const enum kb_dtype dtypes[] = {KB_BF16, KB_FP32, KB_E4M3};
    for (size_t i = 0; i < KB_COUNT(dtypes); i++) {
        struct kb_output_report first, second, alone;
        turn_into(c, dtypes[i]);
        c->toy.want[3] = 1e9; /* saturates in e4m3 */
        c->toy.want[4] = (double)NAN;
        c->toy.bound[5] = KB_KEEP;
        c->toy.want[6] += 0.01;
        c->toy.bound[6] = 0.5;
        toy_perfect(&c->toy);
        assert_true(compare_by(c, &c->all, &first) >= ELEMENTS);
        assert_int_equal(compare_by(c, &c->all, &second), 0);
        assert_true(compare_by(c, &c->none, &alone) >= ELEMENTS);
        assert_int_equal(alone.over, 0);
        assert_equal(&first, &alone);
        assert_equal(&second, &alone);
    }
}

static void a_wrong_second_is_found_by_what_is_kept(void **state) {
    struct counting *c = *state;
    struct kb_output_report alone;
    compare(c);
    assert_int_equal(c->report.over, 0);
    toy_put(&c->toy, 5000, 100);
    toy_put(&c->toy, ELEMENTS - 1, 100);
    assert_int_equal(compare(c), 0);
    assert_int_equal(c->report.over, 2);
    assert_int_equal(c->report.first_bad, 5000);
    assert_int_equal(c->report.last_bad, ELEMENTS - 1);
    assert_true(c->report.first[0].want == c->toy.want[5000]);
    compare_by(c, &c->none, &alone);
    assert_equal(&c->report, &alone);
}

static void a_wider_bound_of_the_second_is_its_own(void **state) {
    struct counting *c = *state;
    turn_into(c, KB_FP32);
    for (int64_t i = 0; i < ELEMENTS; i++)
        c->toy.bound[i] = 0.25;
    toy_put(&c->toy, 7, c->toy.want[7] + 0.5);
    compare(c);
    assert_int_equal(c->report.over, 1);
    c->toy.args.bound_factor = 4;
    assert_int_equal(compare(c), 0);
    assert_int_equal(c->report.over, 0);
    c->toy.args.bound_factor = 1;
    assert_int_equal(compare(c), 0);
    assert_int_equal(c->report.over, 1);
}

static void other_inputs_are_asked_for_anew(void **state) {
    struct counting *c = *state;
    compare(c);
    ((unsigned char *)c->toy.data[TOY_IN])[11] ^= 1;
    for (int64_t i = 0; i < ELEMENTS; i++)
        c->toy.want[i] += 1;
    assert_true(compare(c) >= ELEMENTS);
    assert_int_equal(c->report.over, ELEMENTS);
    ((unsigned char *)c->toy.data[TOY_IN])[11] ^= 1; /* as at first: so are the answers */
    assert_int_equal(compare(c), 0);
    assert_int_equal(c->report.over, 0);
}

static void another_shape_is_asked_for_anew(void **state) {
    struct counting *c = *state;
    compare(c);
    c->toy.p.tensors[TOY_OUT].shape[0] = ROWS / 2; /* as in the first rows alone */
    c->toy.p.tensors[TOY_OUT].elements = ELEMENTS / 2;
    assert_true(compare(c) >= ELEMENTS / 2);
    c->toy.c.fill = KB_FILL_NAN;
    assert_true(compare(c) >= ELEMENTS / 2);
}

/* Whoever changes a copy of the arguments asks something else. */
static void changed_arguments_ask_the_reference(void **state) {
    struct counting *c = *state;
    struct kb_compare_args args = c->toy.args;
    args.kept = kb_kept_find(&c->all, &args);
    kb_compare(&args, &c->report);
    assert_int_equal(kb_compare_over(&args, 0, ELEMENTS), 0);
    c->asked = 0;
    assert_int_equal(kb_compare_over(&args, 0, ELEMENTS), 0);
    assert_int_equal(c->asked, 0);

    const void *in[TOY_TENSORS];
    unsigned char other[1] = {0};
    memcpy(in, args.in, sizeof in);
    in[TOY_IN] = other;
    struct kb_compare_args theirs = args;
    theirs.in = in;
    kb_compare_over(&theirs, 0, ELEMENTS);
    assert_int_equal(c->asked, ELEMENTS);
    struct kb_problem problem = c->toy.p; /* by a convention, for one */
    theirs = args;
    theirs.problem = &problem;
    kb_compare_over(&theirs, 0, ELEMENTS);
    assert_int_equal(c->asked, 2 * ELEMENTS);
}

static void what_the_kernel_left_counts_where_the_op_looks_at_it(void **state) {
    struct counting *c = *state;
    compare(c);
    memset(c->toy.data[TOY_OTHER], 1, ROWS * 4);
    assert_int_equal(compare(c), 0);
    c->toy.op.reads_outputs = true;
    compare(c);
    assert_int_equal(compare(c), 0);
    memset(c->toy.data[TOY_OTHER], 2, ROWS * 4);
    assert_true(compare(c) >= ELEMENTS);
}

/* ---- rows ------------------------------------------------------------------------------
 */

static int64_t rows[] = {0, 1, 7, 20, 21, 22, ROWS - 1};
static const struct kb_sampled sample = {KB_COUNT(rows), COLUMNS, rows};

static void rows_that_are_checked_are_kept_and_their_neighbours(void **state) {
    struct counting *c = *state;
    struct kb_arena arena = {0};
    int64_t asked[3];
    struct kb_impostors found[3];
    struct kb_output_report report[3];
    c->toy.args.sample = &sample;
    for (int i = 0; i < 3; i++) { /* the last one without */
        struct kb_compare_args args = c->toy.args;
        args.kept = kb_kept_find(i < 2 ? &c->all : &c->none, &args);
        c->asked = 0;
        found[i] = (struct kb_impostors){0};
        kb_compare(&args, &report[i]);
        kb_impostors_try(&args, 1, 0, 1, &arena, &found[i]);
        asked[i] = c->asked;
        assert_int_equal(report[i].checked, (int64_t)KB_COUNT(rows) * COLUMNS);
        assert_equal(&report[i], &report[0]);
        assert_int_equal(found[i].tried, found[0].tried);
        assert_int_equal(found[i].left_out, found[0].left_out);
        assert_int_equal(found[i].let_through.count, found[0].let_through.count);
    }
    assert_int_equal(asked[1], 0);
    assert_true(asked[0] < asked[2]);
    toy_put(&c->toy, 21 * COLUMNS + 3, 100);
    compare_by(c, &c->all, &report[0]);
    assert_int_equal(c->asked, 0);
    assert_int_equal(report[0].first_bad, 21 * COLUMNS + 3);
    kb_arena_free(&arena);
}

static void what_lies_between_rows_that_are_checked_is_not_kept(void **state) {
    struct counting *c = *state;
    double want[2 * COLUMNS], bound[2 * COLUMNS];
    const int64_t there = 20 * COLUMNS + 1, half = 7 * COLUMNS + 1, none = 30 * COLUMNS;
    c->toy.args.sample = &sample;
    struct kb_kept *kept = kb_kept_find(&c->all, &c->toy.args);
    c->toy.args.kept = kept;
    kb_compare(&c->toy.args, &c->report);
    assert_true(kb_kept_load(kept, there, 2 * COLUMNS, want, bound));
    assert_memory_equal(want, c->toy.want + there, sizeof want);
    assert_memory_equal(bound, c->toy.bound + there, sizeof bound);
    assert_false(kb_kept_load(kept, half, COLUMNS, want, bound));
    assert_false(kb_kept_load(kept, half - COLUMNS, COLUMNS, want, bound));
    assert_false(kb_kept_load(kept, none, 1, want, bound));
    kb_kept_add(kept, half, COLUMNS, c->toy.want + half, c->toy.bound + half);
    assert_true(kb_kept_load(kept, half + 2, COLUMNS - 2, want, bound));
    assert_memory_equal(want, c->toy.want + half + 2, (COLUMNS - 2) * sizeof *want);
    assert_false(kb_kept_load(kept, half + 2, COLUMNS - 1, want, bound));
}

/* ---- limits ---------------------------------------------------------------------------
 */

static void what_is_cheap_or_too_large_is_not_kept(void **state) {
    struct counting *c = *state;
    struct kb_kept_all cheap = all_kept(), large = all_kept(), budget = all_kept(),
                       off = {0};
    cheap.least_ns = 1e12;
    large.most_bytes = ELEMENTS * 16 - 1;
    budget.most_bytes = 0;
    budget.memory_limit = 4 * (ELEMENTS * 16 - 1);
    struct kb_kept_all *const none[] = {&cheap, &large, &budget, &off};
    for (size_t i = 0; i < KB_COUNT(none); i++) {
        assert_null(kb_kept_find(none[i], &c->toy.args));
        assert_null(kb_kept_find(none[i], &c->toy.args));
        assert_int_equal(none[i]->bytes, 0);
        assert_true(compare_by(c, none[i], &c->report) >= ELEMENTS);
        kb_kept_end(none[i]);
    }
    large = all_kept();
    large.most_bytes = ELEMENTS * 16;
    assert_non_null(kb_kept_find(&large, &c->toy.args));
    assert_int_equal(large.bytes, ELEMENTS * 16);
    c->toy.args.tensor = TOY_OTHER; /* the room is taken */
    assert_null(kb_kept_find(&large, &c->toy.args));
    kb_kept_end(&large);
    assert_int_equal(large.bytes, 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_second_asks_for_nothing_and_reports_the_same),
        TEST(a_wrong_second_is_found_by_what_is_kept),
        TEST(a_wider_bound_of_the_second_is_its_own),
        TEST(other_inputs_are_asked_for_anew),
        TEST(another_shape_is_asked_for_anew),
        TEST(changed_arguments_ask_the_reference),
        TEST(what_the_kernel_left_counts_where_the_op_looks_at_it),
        TEST(rows_that_are_checked_are_kept_and_their_neighbours),
        TEST(what_lies_between_rows_that_are_checked_is_not_kept),
        TEST(what_is_cheap_or_too_large_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
