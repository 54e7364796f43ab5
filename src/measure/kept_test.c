/* kept_test.c - what the reference says, kept from job to job: how often it is asked, and
 * that nobody can tell. */
#include "fake.h"
#include "group.h"
#include "toy_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { ROWS = 40, COLUMNS = 256, ELEMENTS = ROWS * COLUMNS };

/* ---- an output of a toy ---------------------------------------------------------------
 */

/* A toy whose elements are asked for by one thread, and counted. */
struct counting {
    struct toy toy; /* first: toy_reference takes it for one */
    int64_t asked;
};

static void count_reference(const struct kb_problem *p, const void *const *in,
                            const void *prepared, int t, int64_t first, int64_t count,
                            double *want, double *bound) {
    struct counting *c = (struct counting *)(uintptr_t)prepared;

    c->asked += count;
    toy_reference(p, in, prepared, t, first, count, want, bound);
}

static const enum kb_fill fills[] = {KB_FILL_NORMAL, KB_FILL_NAN};

static void counting_make(struct counting *c, enum kb_dtype dtype) {
    toy_make(&c->toy, dtype, ROWS, COLUMNS);
    c->asked = 0;
    c->toy.op.reference = count_reference;
    c->toy.op.fills = fills;
    c->toy.op.n_fills = KB_COUNT(fills);
    toy_perfect(&c->toy);
    c->toy.args.prepared = c;
}

/* All is dear enough. */
static struct kb_kept_all all_kept(void) {
    return (struct kb_kept_all){.on = true, .least_ns = 1e-6, .most_bytes = 1 << 20};
}

/* The toy's output by what is kept; how many elements the reference was asked for. */
static int64_t compare(struct counting *c, struct kb_kept_all *all,
                       struct kb_output_report *out) {
    struct kb_compare_args args = c->toy.args;

    args.kept = kb_kept_find(all, &args);
    c->asked = 0;
    kb_compare(&args, out);
    return c->asked;
}

static void assert_equal(const struct kb_output_report *a,
                         const struct kb_output_report *b) {
    const double x[] = {a->err_over_bound, a->ulp_max,        a->ulp_p99,      a->ulp_p50,
                        a->bias_ulp,       a->abs_max,        a->rel_max,      a->nmse,
                        a->want_rms,       a->tolerance_used, a->worst.want,   a->worst.got,
                        a->first[0].want,  a->first[0].got,   a->first[1].want};
    const double y[] = {b->err_over_bound, b->ulp_max,        b->ulp_p99,      b->ulp_p50,
                        b->bias_ulp,       b->abs_max,        b->rel_max,      b->nmse,
                        b->want_rms,       b->tolerance_used, b->worst.want,   b->worst.got,
                        b->first[0].want,  b->first[0].got,   b->first[1].want};
    const int64_t m[] = {a->checked,    a->over,    a->over_bound, a->kind_mismatches,
                         a->unwritten,  a->kept,    a->differing,  a->tolerance_over,
                         a->n_first,    a->touched, a->first_bad,  a->last_bad,
                         a->worst.index};
    const int64_t n[] = {b->checked,    b->over,    b->over_bound, b->kind_mismatches,
                         b->unwritten,  b->kept,    b->differing,  b->tolerance_over,
                         b->n_first,    b->touched, b->first_bad,  b->last_bad,
                         b->worst.index};

    assert_memory_equal(x, y, sizeof x); /* bit for bit, NaN too */
    assert_memory_equal(m, n, sizeof m);
}

static void the_second_asks_for_nothing_and_reports_the_same(void **state) {
    static const enum kb_dtype dtypes[] = {KB_BF16, KB_FP32, KB_E4M3};
    (void)state;
    for (size_t i = 0; i < KB_COUNT(dtypes); i++) {
        struct kb_kept_all all = all_kept(), none = {0};
        struct kb_output_report first, second, alone;
        struct counting c;
        counting_make(&c, dtypes[i]);
        c.toy.want[3] = 1e9; /* saturates in e4m3 */
        c.toy.want[4] = (double)NAN;
        c.toy.bound[5] = KB_KEEP;
        c.toy.want[6] += 0.01;
        c.toy.bound[6] = 0.5;
        toy_perfect(&c.toy);
        assert_true(compare(&c, &all, &first) >= ELEMENTS);
        assert_int_equal(compare(&c, &all, &second), 0);
        assert_true(compare(&c, &none, &alone) >= ELEMENTS);
        assert_int_equal(alone.over, 0);
        assert_equal(&first, &alone);
        assert_equal(&second, &alone);
        kb_kept_end(&all);
        toy_free(&c.toy);
    }
}

static void a_wrong_second_is_found_by_what_is_kept(void **state) {
    (void)state;
    struct kb_kept_all all = all_kept(), none = {0};
    struct kb_output_report report, alone;
    struct counting c;
    counting_make(&c, KB_BF16);
    compare(&c, &all, &report);
    assert_int_equal(report.over, 0);
    toy_put(&c.toy, 5000, 100);
    toy_put(&c.toy, ELEMENTS - 1, 100);
    assert_int_equal(compare(&c, &all, &report), 0);
    assert_int_equal(report.over, 2);
    assert_int_equal(report.first_bad, 5000);
    assert_int_equal(report.last_bad, ELEMENTS - 1);
    assert_true(report.first[0].want == c.toy.want[5000]);
    compare(&c, &none, &alone);
    assert_equal(&report, &alone);
    kb_kept_end(&all);
    toy_free(&c.toy);
}

static void a_wider_bound_of_the_second_is_its_own(void **state) {
    (void)state;
    struct kb_kept_all all = all_kept();
    struct kb_output_report report;
    struct counting c;
    counting_make(&c, KB_FP32);
    for (int64_t i = 0; i < ELEMENTS; i++)
        c.toy.bound[i] = 0.25;
    toy_put(&c.toy, 7, c.toy.want[7] + 0.5);
    compare(&c, &all, &report);
    assert_int_equal(report.over, 1);
    c.toy.args.bound_factor = 4;
    assert_int_equal(compare(&c, &all, &report), 0);
    assert_int_equal(report.over, 0);
    c.toy.args.bound_factor = 1;
    assert_int_equal(compare(&c, &all, &report), 0);
    assert_int_equal(report.over, 1);
    kb_kept_end(&all);
    toy_free(&c.toy);
}

static void other_inputs_are_asked_for_anew(void **state) {
    (void)state;
    struct kb_kept_all all = all_kept();
    struct kb_output_report report;
    struct counting c;
    counting_make(&c, KB_BF16);
    compare(&c, &all, &report);
    ((unsigned char *)c.toy.data[TOY_IN])[11] ^= 1;
    for (int64_t i = 0; i < ELEMENTS; i++)
        c.toy.want[i] += 1;
    assert_true(compare(&c, &all, &report) >= ELEMENTS);
    assert_int_equal(report.over, ELEMENTS);
    ((unsigned char *)c.toy.data[TOY_IN])[11] ^= 1; /* as at first: so are the answers */
    assert_int_equal(compare(&c, &all, &report), 0);
    assert_int_equal(report.over, 0);
    kb_kept_end(&all);
    toy_free(&c.toy);
}

static void another_shape_is_asked_for_anew(void **state) {
    (void)state;
    struct kb_kept_all all = all_kept();
    struct kb_output_report report;
    struct counting c;
    counting_make(&c, KB_BF16);
    compare(&c, &all, &report);
    c.toy.p.tensors[TOY_OUT].shape[0] = ROWS / 2; /* as in the first rows alone */
    c.toy.p.tensors[TOY_OUT].elements = ELEMENTS / 2;
    assert_true(compare(&c, &all, &report) >= ELEMENTS / 2);
    c.toy.c.fill = KB_FILL_NAN;
    assert_true(compare(&c, &all, &report) >= ELEMENTS / 2);
    kb_kept_end(&all);
    toy_free(&c.toy);
}

/* Whoever changes a copy of the arguments asks something else. */
static void changed_arguments_ask_the_reference(void **state) {
    (void)state;
    struct kb_kept_all all = all_kept();
    struct kb_output_report report;
    struct counting c;
    counting_make(&c, KB_BF16);
    struct kb_compare_args args = c.toy.args;
    args.kept = kb_kept_find(&all, &args);
    kb_compare(&args, &report);
    assert_int_equal(kb_compare_over(&args, 0, ELEMENTS), 0);
    c.asked = 0;
    assert_int_equal(kb_compare_over(&args, 0, ELEMENTS), 0);
    assert_int_equal(c.asked, 0);

    const void *in[TOY_TENSORS];
    unsigned char other[1] = {0};
    memcpy(in, args.in, sizeof in);
    in[TOY_IN] = other;
    struct kb_compare_args theirs = args;
    theirs.in = in;
    kb_compare_over(&theirs, 0, ELEMENTS);
    assert_int_equal(c.asked, ELEMENTS);
    struct kb_problem problem = c.toy.p; /* by a convention, for one */
    theirs = args;
    theirs.problem = &problem;
    kb_compare_over(&theirs, 0, ELEMENTS);
    assert_int_equal(c.asked, 2 * ELEMENTS);
    kb_kept_end(&all);
    toy_free(&c.toy);
}

static void what_the_kernel_left_counts_where_the_op_looks_at_it(void **state) {
    (void)state;
    struct kb_kept_all all = all_kept();
    struct kb_output_report report;
    struct counting c;
    counting_make(&c, KB_BF16);
    compare(&c, &all, &report);
    memset(c.toy.data[TOY_OTHER], 1, ROWS * 4);
    assert_int_equal(compare(&c, &all, &report), 0);
    c.toy.op.reads_outputs = true;
    compare(&c, &all, &report);
    assert_int_equal(compare(&c, &all, &report), 0);
    memset(c.toy.data[TOY_OTHER], 2, ROWS * 4);
    assert_true(compare(&c, &all, &report) >= ELEMENTS);
    kb_kept_end(&all);
    toy_free(&c.toy);
}

/* ---- rows ------------------------------------------------------------------------------
 */

static void rows_that_are_checked_are_kept_and_their_neighbours(void **state) {
    static int64_t rows[] = {0, 1, 7, 20, 21, 22, ROWS - 1};
    const struct kb_sampled sample = {KB_COUNT(rows), COLUMNS, rows};
    (void)state;
    struct kb_kept_all all = all_kept(), none = {0};
    struct kb_arena arena = {0};
    struct counting c;
    int64_t asked[3];
    struct kb_impostors found[3];
    struct kb_output_report report[3];
    counting_make(&c, KB_BF16);
    c.toy.args.sample = &sample;
    for (int i = 0; i < 3; i++) { /* the last one without */
        struct kb_compare_args args = c.toy.args;
        args.kept = kb_kept_find(i < 2 ? &all : &none, &args);
        c.asked = 0;
        found[i] = (struct kb_impostors){0};
        kb_compare(&args, &report[i]);
        kb_impostors_try(&args, 1, 0, 1, &arena, &found[i]);
        asked[i] = c.asked;
        assert_int_equal(report[i].checked, (int64_t)KB_COUNT(rows) * COLUMNS);
        assert_equal(&report[i], &report[0]);
        assert_int_equal(found[i].tried, found[0].tried);
        assert_int_equal(found[i].left_out, found[0].left_out);
        assert_int_equal(found[i].let_through.count, found[0].let_through.count);
    }
    assert_int_equal(asked[1], 0);
    assert_true(asked[0] < asked[2]);
    toy_put(&c.toy, 21 * COLUMNS + 3, 100);
    compare(&c, &all, &report[0]);
    assert_int_equal(c.asked, 0);
    assert_int_equal(report[0].first_bad, 21 * COLUMNS + 3);
    kb_arena_free(&arena);
    kb_kept_end(&all);
    toy_free(&c.toy);
}

static void what_lies_between_rows_that_are_checked_is_not_kept(void **state) {
    static int64_t rows[] = {0, 1, 7, 20, 21, 22, ROWS - 1};
    const struct kb_sampled sample = {KB_COUNT(rows), COLUMNS, rows};
    (void)state;
    struct kb_kept_all all = all_kept();
    struct kb_output_report report;
    struct counting c;
    double want[2 * COLUMNS], bound[2 * COLUMNS];
    const int64_t there = 20 * COLUMNS + 1, half = 7 * COLUMNS + 1, none = 30 * COLUMNS;
    counting_make(&c, KB_BF16);
    c.toy.args.sample = &sample;
    struct kb_kept *kept = kb_kept_find(&all, &c.toy.args);
    c.toy.args.kept = kept;
    kb_compare(&c.toy.args, &report);
    assert_true(kb_kept_load(kept, there, 2 * COLUMNS, want, bound));
    assert_memory_equal(want, c.toy.want + there, sizeof want);
    assert_memory_equal(bound, c.toy.bound + there, sizeof bound);
    assert_false(kb_kept_load(kept, half, COLUMNS, want, bound));
    assert_false(kb_kept_load(kept, half - COLUMNS, COLUMNS, want, bound));
    assert_false(kb_kept_load(kept, none, 1, want, bound));
    kb_kept_add(kept, half, COLUMNS, c.toy.want + half, c.toy.bound + half);
    assert_true(kb_kept_load(kept, half + 2, COLUMNS - 2, want, bound));
    assert_memory_equal(want, c.toy.want + half + 2, (COLUMNS - 2) * sizeof *want);
    assert_false(kb_kept_load(kept, half + 2, COLUMNS - 1, want, bound));
    kb_kept_end(&all);
    toy_free(&c.toy);
}

/* ---- limits ---------------------------------------------------------------------------
 */

static void what_is_cheap_or_too_large_is_not_kept(void **state) {
    (void)state;
    struct kb_kept_all cheap = all_kept(), large = all_kept(), budget = all_kept(),
                       off = {0};
    struct kb_output_report report;
    struct counting c;
    counting_make(&c, KB_BF16);
    cheap.least_ns = 1e12;
    large.most_bytes = ELEMENTS * 16 - 1;
    budget.most_bytes = 0;
    budget.memory_limit = 4 * (ELEMENTS * 16 - 1);
    struct kb_kept_all *const none[] = {&cheap, &large, &budget, &off};
    for (size_t i = 0; i < KB_COUNT(none); i++) {
        assert_null(kb_kept_find(none[i], &c.toy.args));
        assert_null(kb_kept_find(none[i], &c.toy.args));
        assert_int_equal(none[i]->bytes, 0);
        assert_true(compare(&c, none[i], &report) >= ELEMENTS);
        kb_kept_end(none[i]);
    }
    large = all_kept();
    large.most_bytes = ELEMENTS * 16;
    assert_non_null(kb_kept_find(&large, &c.toy.args));
    assert_int_equal(large.bytes, ELEMENTS * 16);
    c.toy.args.tensor = TOY_OTHER; /* the room is taken */
    assert_null(kb_kept_find(&large, &c.toy.args));
    kb_kept_end(&large);
    assert_int_equal(large.bytes, 0);
    toy_free(&c.toy);
}

/* ---- a group --------------------------------------------------------------------------
 */

static double steady(int64_t i) {
    return 1000 + (double)(i % 7);
}

struct group {
    struct fake f;
    struct kb_job jobs[3];
    struct kb_row rows[3];
};

static void run_group(struct group *g, const struct fake_script *script,
                      const char *case_id, double least_ns) {
    static const char *const builds[] = {"precise", "fast-math", "other=-DOTHER=1"};
    struct kb_err err = {0};

    fake_open(&g->f, script);
    g->f.job.case_id = case_id;
    g->f.job.mode = KB_CHECK;
    g->f.job.sample_rows = 0;
    g->f.session.kept.least_ns = least_ns;
    for (int i = 0; i < 3; i++) {
        g->jobs[i] = g->f.job;
        g->jobs[i].build = builds[i];
        g->jobs[i].trusted_flags = true;
    }
    g->f.device.case_id = case_id;
    assert_true(
        kb_session_run_group(&g->f.session, g->jobs, 3, &g->f.arena, g->rows, &err));
    assert_null(g->f.session.kept.first);
    assert_false(g->f.session.kept.on);
}

static void print_rows(struct group *g, struct kb_buf *out) {
    for (int i = 0; i < 3; i++) {
        struct kb_row *row = &g->rows[i];
        row->ms_total = row->ms_build = row->ms_check = row->ms_time = 0;
        kb_row_print(row, out);
        kb_buf_puts(out, "\n");
    }
}

static void rows_are_the_same_with_and_without(void **state) {
    static const char *const cases[] = {"silu/83x64/bf16", "silu_mul_quant/83x256/bf16",
                                        "moe_routing/33x64/bf16/ties=any",
                                        "mla_prefill/9x20x2/bf16/lse=e"};
    static const char *const wrong[] = {NULL, "fast-math", "other"};
    (void)state;
    for (size_t i = 0; i < KB_COUNT(cases) * KB_COUNT(wrong); i++) {
        const struct fake_script script = {.ns = steady,
                                           .wrong_build = wrong[i / KB_COUNT(cases)]};
        const char *case_id = cases[i % KB_COUNT(cases)];
        struct group with, without;
        struct kb_buf a = {0}, b = {0};
        run_group(&with, &script, case_id, 1e-6);
        run_group(&without, &script, case_id, 1e12);
        for (int k = 0; k < 3; k++) {
            bool is_wrong =
                script.wrong_build && kb_streq(with.rows[k].build, script.wrong_build);
            if (i % KB_COUNT(cases) < 2 || is_wrong)
                assert_int_equal(with.rows[k].reason != KB_R_NONE, is_wrong);
        }
        assert_true(with.f.session.kept.used >= 2); /* by the second and the third */
        assert_int_equal(without.f.session.kept.used, 0);
        print_rows(&with, &a);
        print_rows(&without, &b);
        assert_string_equal(a.data, b.data);
        kb_buf_free(&a);
        kb_buf_free(&b);
        fake_free(&with.f);
        fake_free(&without.f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_asks_for_nothing_and_reports_the_same),
        cmocka_unit_test(a_wrong_second_is_found_by_what_is_kept),
        cmocka_unit_test(a_wider_bound_of_the_second_is_its_own),
        cmocka_unit_test(other_inputs_are_asked_for_anew),
        cmocka_unit_test(another_shape_is_asked_for_anew),
        cmocka_unit_test(changed_arguments_ask_the_reference),
        cmocka_unit_test(what_the_kernel_left_counts_where_the_op_looks_at_it),
        cmocka_unit_test(rows_that_are_checked_are_kept_and_their_neighbours),
        cmocka_unit_test(what_lies_between_rows_that_are_checked_is_not_kept),
        cmocka_unit_test(what_is_cheap_or_too_large_is_not_kept),
        cmocka_unit_test(rows_are_the_same_with_and_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
