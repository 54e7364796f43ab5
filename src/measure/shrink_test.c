/* shrink_test.c - the smallest case that still fails, by kernels that are a rule: which
 * elements of which case are wrong. */
#include "session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* How a kernel does: a case, and which of its output's elements are wrong. */
struct kernel {
    bool (*wrong)(const struct kb_case *c, int64_t row, int64_t column);
    enum kb_reason (*ends)(
        const struct kb_case *c); /* before it is compared; NULL: never */
    int die_after;                /* from that run on none can be run any more; 0: never */
    int runs;
    struct kb_job last;
};

static bool is_wrong_at(const struct kernel *k, const struct kb_case *c, int64_t row,
                        int64_t column) {
    return k->wrong && k->wrong(c, row, column);
}

static void fill_output(const struct kernel *k, const struct kb_case *c,
                        const struct kb_problem *p, struct kb_arena *arena,
                        struct kb_row *row) {
    struct kb_output_report *o = &row->outputs[0];
    struct kb_local *local = kb_arena_alloc(arena, sizeof *local);
    int64_t columns = p->tensors[1].shape[p->tensors[1].rank - 1];
    row->n_outputs = 1;
    row->checked = true;
    o->elements = o->checked = p->tensors[1].elements;
    for (int64_t i = 0; i < o->elements; i++) {
        if (!is_wrong_at(k, c, i / columns, i % columns))
            continue;
        if (!o->over++)
            local->where = kb_arena_printf(arena, "from %lld", (long long)i);
    }
    local->pattern = o->over == o->checked ? KB_P_EVERYWHERE : KB_P_COLUMNS;
    o->local = o->over ? local : NULL;
    if (o->over)
        row->reason = KB_R_MISMATCH;
}

static bool run(void *context, const struct kb_job *job, int64_t timeout_ms,
                struct kb_arena *arena, struct kb_row *row) {
    struct kernel *k = context;
    struct kb_complaints complaints = {0};
    struct kb_err err = {0};
    struct kb_case *c = kb_arena_alloc(arena, sizeof *c);
    struct kb_problem *p = kb_arena_alloc(arena, sizeof *p);
    assert_true(timeout_ms > 0);
    if (k->die_after && k->runs >= k->die_after)
        return false;
    k->runs++;
    k->last = *job;
    assert_true(kb_case_parse(job->case_id, arena, c, &complaints));
    assert_true(kb_case_resolve(c, p, &err));
    *row = (struct kb_row){.variant = "v", .ms_check = 0.01};
    row->repeat = kb_arena_printf(arena, "kbench --case %s", job->case_id);
    row->reason = k->ends ? k->ends(c) : KB_R_NONE;
    if (row->reason == KB_R_NONE)
        fill_output(k, c, p, arena, row);
    return true;
}

struct looked {
    struct kb_arena arena;
    struct kernel kernel;
    const struct kb_smallest *smallest;
};

static void look(struct looked *l, const struct kernel *kernel, const char *id) {
    struct kb_job job = {.case_id = id, .build = "precise", .seed = 1};
    struct kb_shrink how = {.run = run, .budget_ms = 20000, .context = &l->kernel};
    struct kb_row row;
    *l = (struct looked){.kernel = *kernel};
    l->kernel.die_after = 0;
    assert_true(run(&l->kernel, &job, 1, &l->arena, &row));
    l->kernel.die_after = kernel->die_after;
    l->kernel.runs = 0;
    l->smallest = kb_shrink(&how, &job, &row, &l->arena);
}

static void check(const struct kernel *kernel, const char *id, const char *smallest,
                  const char *passes, const char *whole) {
    struct looked l;
    look(&l, kernel, id);
    assert_non_null(l.smallest);
    assert_string_equal(l.smallest->case_id, smallest);
    assert_string_equal(l.smallest->passes ? l.smallest->passes : "-",
                        passes ? passes : "-");
    assert_string_equal(l.smallest->whole ? l.smallest->whole : "-", whole ? whole : "-");
    assert_true(l.smallest->done);
    assert_in_range(l.smallest->tried, 1, l.kernel.runs);
    char *repeat = kb_arena_printf(&l.arena, "kbench --case %s", smallest);
    assert_string_equal(l.smallest->repeat, repeat);
    kb_arena_free(&l.arena);
}

/* ---- sizes -----------------------------------------------------------------------------
 */

static int64_t width(const struct kb_case *c) {
    return c->shape[c->rank - 1] / 2;
}
static int64_t rows(const struct kb_case *c) {
    int64_t n = 1;
    for (int i = 0; i < c->rank - 1; i++)
        n *= c->shape[i];
    return n;
}
static bool tail_of_8(const struct kb_case *c, int64_t row, int64_t column) {
    (void)row;
    return column >= width(c) / 8 * 8;
}
static bool rows_of_4(const struct kb_case *c, int64_t row, int64_t column) {
    (void)column;
    return row >= rows(c) / 4 * 4;
}
static bool past_row_1000(const struct kb_case *c, int64_t row, int64_t column) {
    (void)c, (void)column;
    return row >= 1000;
}
static bool only_all_of_it(const struct kb_case *c, int64_t row, int64_t column) {
    (void)row;
    return rows(c) == 7 && width(c) == 9 && column == 3;
}
static bool every(const struct kb_case *c, int64_t row, int64_t column) {
    (void)c, (void)row, (void)column;
    return true;
}

static void a_tail_shrinks_to_the_first_one_and_its_neighbour_passes(void **state) {
    (void)state;
    check(&(struct kernel){.wrong = tail_of_8}, "silu/83x1000/bf16", "silu/1x18/bf16",
          "silu/1x16/bf16", "silu/1x2/bf16");
}

static void rows_past_a_block_shrink_to_one_more_than_a_block(void **state) {
    (void)state;
    check(&(struct kernel){.wrong = rows_of_4}, "silu/83x1024/bf16", "silu/5x2/bf16",
          "silu/4x2/bf16", "silu/1x2/bf16");
}

static void what_needs_many_rows_is_halved_and_counted_down_to_them(void **state) {
    (void)state;
    struct looked l;
    check(&(struct kernel){.wrong = past_row_1000}, "silu/4099x64/bf16", "silu/1001x2/bf16",
          "silu/1000x2/bf16", NULL);
    look(&l, &(struct kernel){.wrong = past_row_1000}, "silu/4099x64/bf16");
    assert_true(l.kernel.runs < 120);
    kb_arena_free(&l.arena);
}

static void what_only_one_shape_shows_stays_as_it_is(void **state) {
    (void)state;
    check(&(struct kernel){.wrong = only_all_of_it}, "silu/7x18/bf16", "silu/7x18/bf16",
          "silu/7x16/bf16", NULL);
}

static void leading_axes_go_and_two_are_left(void **state) {
    (void)state;
    check(&(struct kernel){.wrong = tail_of_8}, "silu/2x3x500/bf16", "silu/1x18/bf16",
          "silu/1x16/bf16", "silu/1x2/bf16");
}

/* Nothing is right in the case itself, so nothing need be. */
static void what_fails_as_a_whole_shrinks_to_the_smallest_there_is(void **state) {
    (void)state;
    check(&(struct kernel){.wrong = every}, "silu/83x1000/bf16", "silu/1x2/bf16", NULL,
          NULL);
}

/* ---- parameters ------------------------------------------------------------------------
 */

static bool of_layout(const struct kb_case *c, int64_t row, int64_t column) {
    int layout;
    kb_op_param(c->op, "layout", &layout);
    return c->set[layout].v != 0 && row == 0 && column == 0;
}
static bool of_nan(const struct kb_case *c, int64_t row, int64_t column) {
    return c->fill == KB_FILL_NAN && row == 0 && column == 0;
}

static void parameters_that_do_not_matter_become_their_defaults(void **state) {
    (void)state;
    static const char id[] = "silu/7x16/bf16/fill=nan/layout=up_gate/round=act";
    check(&(struct kernel){.wrong = tail_of_8}, "silu/7x20/bf16/fill=nan/layout=up_gate",
          "silu/1x18/bf16", "silu/1x16/bf16", "silu/1x2/bf16");
    check(&(struct kernel){.wrong = of_layout}, id, "silu/1x4/bf16/layout=up_gate", NULL,
          "silu/1x2/bf16/layout=up_gate");
    check(&(struct kernel){.wrong = of_nan}, id, "silu/1x4/bf16/fill=nan", NULL,
          "silu/1x2/bf16/fill=nan");
}

/* ---- what goes wrong on the way --------------------------------------------------------
 */

/* A variant that is only for whole vectors: other shapes are skipped. */
static enum kb_reason skips_odd(const struct kb_case *c) {
    return width(c) % 8 ? KB_R_VARIANT : KB_R_NONE;
}
static enum kb_reason crashes_below_4_rows(const struct kb_case *c) {
    return rows(c) < 4 ? KB_R_CRASH : KB_R_NONE;
}
static bool last_row(const struct kb_case *c, int64_t row, int64_t column) {
    (void)column;
    return row == rows(c) - 1;
}

static bool of_second_list_item(const struct kb_case *c, int64_t row, int64_t column) {
    int lens;
    (void)row;
    kb_op_param(c->op, "q_lens", &lens);
    return c->set[lens].v > 1 && c->set[lens].items[1] > 4 && column == 0;
}

/* The axes that are the sums of the lists go with them. */
static void lists_get_shorter_and_their_axes_with_them(void **state) {
    (void)state;
    struct looked l;
    look(&l, &(struct kernel){.wrong = of_second_list_item},
         "mla_prefill/40x40x2/bf16/q_lens=8+16+4+12");
    assert_non_null(l.smallest);
    assert_string_equal(l.smallest->case_id, "mla_prefill/5x5x1/bf16/q_lens=0+5");
    kb_arena_free(&l.arena);
}

static void what_fails_otherwise_or_is_skipped_is_not_the_same_failure(void **state) {
    (void)state;
    check(&(struct kernel){.wrong = last_row, .ends = skips_odd}, "silu/83x1024/bf16",
          "silu/2x16/bf16", NULL, "silu/1x16/bf16");
    check(&(struct kernel){.wrong = last_row, .ends = crashes_below_4_rows},
          "silu/83x1024/bf16", "silu/4x2/bf16", NULL, NULL);
}

static void a_worker_that_is_lost_costs_what_was_not_yet_found(void **state) {
    (void)state;
    struct looked l;
    look(&l, &(struct kernel){.wrong = tail_of_8, .die_after = 4}, "silu/83x1000/bf16");
    assert_non_null(l.smallest);
    assert_false(l.smallest->done);
    assert_string_equal(l.smallest->case_id, "silu/1x1000/bf16");
    assert_int_equal(l.kernel.runs, 4);
    kb_arena_free(&l.arena);
}

static bool at_once(void) {
    return true;
}

static void an_interrupt_or_the_end_of_the_time_ends_the_search(void **state) {
    (void)state;
    struct kernel kernel = {.wrong = tail_of_8};
    struct kb_arena arena = {0};
    struct kb_job job = {.case_id = "silu/83x1000/bf16", .build = "precise"};
    struct kb_shrink how = {.run = run, .context = &kernel, .budget_ms = 0};
    struct kb_row row;
    assert_true(run(&kernel, &job, 1, &arena, &row));
    for (int i = 0; i < 2; i++) {
        const struct kb_smallest *smallest = kb_shrink(&how, &job, &row, &arena);
        assert_non_null(smallest);
        assert_false(smallest->done);
        assert_int_equal(smallest->tried, 0);
        assert_string_equal(smallest->case_id, "silu/83x1000/bf16");
        how = (struct kb_shrink){
            .run = run, .context = &kernel, .budget_ms = 20000, .stop = at_once};
    }
    kb_arena_free(&arena);
}

/* A case that would take longer than is left is not begun. */
static void what_there_is_no_time_for_is_not_tried(void **state) {
    (void)state;
    struct kernel kernel = {.wrong = past_row_1000};
    struct kb_arena arena = {0};
    struct kb_job job = {.case_id = "silu/2000x2/bf16", .build = "precise"};
    struct kb_shrink how = {.run = run, .context = &kernel, .budget_ms = 5000};
    struct kb_row row;
    assert_true(run(&kernel, &job, 1, &arena, &row));
    row.ms_check = 40000; /* 20 ms a row */
    const struct kb_smallest *smallest = kb_shrink(&how, &job, &row, &arena);
    assert_string_equal(smallest->case_id, "silu/2000x2/bf16");
    assert_true(smallest->tried > 10);
    assert_false(smallest->done);
    kb_arena_free(&arena);
}

static void only_failures_are_made_smaller(void **state) {
    (void)state;
    static const enum kb_reason reasons[] = {KB_R_NONE,    KB_R_VARIANT,      KB_R_COMPILE,
                                             KB_R_TIMEOUT, KB_R_TIMED_OUTPUT, KB_R_LAUNCH};
    struct kernel kernel = {.wrong = tail_of_8};
    struct kb_arena arena = {0};
    struct kb_job job = {.case_id = "silu/83x1000/bf16", .build = "precise"};
    struct kb_shrink how = {.run = run, .context = &kernel, .budget_ms = 1000};
    for (size_t i = 0; i < KB_COUNT(reasons); i++) {
        struct kb_row row = {.reason = reasons[i], .variant = "v", .repeat = ""};
        assert_null(kb_shrink(&how, &job, &row, &arena));
    }
    assert_int_equal(kernel.runs, 0);
    kb_arena_free(&arena);
}

/* What the first run showed needs no others; what a later one showed does. */
static void cases_are_run_as_often_as_the_failure_needs(void **state) {
    (void)state;
    for (int orders = 0; orders < 2; orders++) {
        struct kernel kernel = {.wrong = tail_of_8};
        struct kb_arena arena = {0};
        struct kb_job job = {.case_id = "silu/8x36/bf16",
                             .build = "precise",
                             .mode = KB_BENCH,
                             .time_failing = true};
        struct kb_shrink how = {
            .run = run, .context = &kernel, .budget_ms = 1000, .loaded_only = true};
        struct kb_row row;
        assert_true(run(&kernel, &job, 1, &arena, &row));
        row.orders = orders;
        assert_non_null(kb_shrink(&how, &job, &row, &arena));
        assert_int_equal(kernel.last.one_run, orders == 0);
        assert_int_equal(kernel.last.mode, KB_CHECK);
        assert_string_equal(kernel.last.variant, "v");
        assert_true(kernel.last.loaded_only && !kernel.last.time_failing);
        kb_arena_free(&arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tail_shrinks_to_the_first_one_and_its_neighbour_passes),
        cmocka_unit_test(rows_past_a_block_shrink_to_one_more_than_a_block),
        cmocka_unit_test(what_needs_many_rows_is_halved_and_counted_down_to_them),
        cmocka_unit_test(what_only_one_shape_shows_stays_as_it_is),
        cmocka_unit_test(leading_axes_go_and_two_are_left),
        cmocka_unit_test(what_fails_as_a_whole_shrinks_to_the_smallest_there_is),
        cmocka_unit_test(parameters_that_do_not_matter_become_their_defaults),
        cmocka_unit_test(lists_get_shorter_and_their_axes_with_them),
        cmocka_unit_test(what_fails_otherwise_or_is_skipped_is_not_the_same_failure),
        cmocka_unit_test(a_worker_that_is_lost_costs_what_was_not_yet_found),
        cmocka_unit_test(an_interrupt_or_the_end_of_the_time_ends_the_search),
        cmocka_unit_test(what_there_is_no_time_for_is_not_tried),
        cmocka_unit_test(only_failures_are_made_smaller),
        cmocka_unit_test(cases_are_run_as_often_as_the_failure_needs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
