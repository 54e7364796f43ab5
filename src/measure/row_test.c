/* row_test.c - the row of a report as a line of JSON and back: nothing lost. */
#include "row_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Print, parse, print: the second line must be the first. Returns the row read. */
static struct kb_row round_trip(const struct kb_row *row, struct kb_arena *arena) {
    struct kb_row back;
    struct kb_err err = {0};
    char *first = line_of(row);

    assert_null(strchr(first, '\n'));
    if (!parse(first, arena, &back, &err))
        fail_msg("%s", err.msg);
    char *second = line_of(&back);
    assert_string_equal(first, second);
    free(first);
    free(second);
    return back;
}

static void assert_same_element(const struct kb_element *a, const struct kb_element *b) {
    assert_int_equal(a->index, b->index);
    assert_true(a->got == b->got || (isnan(a->got) && isnan(b->got)));
    assert_true(signbit(a->got) == signbit(b->got) || isnan(a->got));
    assert_true(a->want == b->want || (isnan(a->want) && isnan(b->want)));
    assert_int_equal(a->poison, b->poison);
}

static void assert_same_local(const struct kb_local *a, const struct kb_local *b) {
    assert_int_equal(a->pattern, b->pattern);
    assert_string_equal(a->where, b->where);
    assert_string_equal(a->why, b->why);
    assert_string_equal(a->inputs, b->inputs);
    assert_string_equal(a->holds, b->holds);
    assert_int_equal(a->named, b->named);
    assert_int_equal(a->inside, b->inside);
    assert_int_equal(a->right, b->right);
    assert_true(a->right_share == b->right_share && a->right_ulp == b->right_ulp);
    assert_int_equal(a->map.cell_rows, b->map.cell_rows);
    assert_int_equal(a->map.cell_columns, b->map.cell_columns);
    assert_int_equal(a->map.n_lines, b->map.n_lines);
    for (int i = 0; i < a->map.n_lines; i++) {
        assert_int_equal(a->map.first_rows[i], b->map.first_rows[i]);
        assert_string_equal(a->map.lines[i], b->map.lines[i]);
    }
}

static void assert_same_output(const struct kb_output_report *a,
                               const struct kb_output_report *b) {
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->dtype, b->dtype);
    assert_int_equal(a->rank, b->rank);
    assert_memory_equal(a->shape, b->shape, sizeof a->shape);
    assert_int_equal(a->elements, b->elements);
    assert_int_equal(a->checked, b->checked);
    assert_int_equal(a->over, b->over);
    assert_int_equal(a->over_bound, b->over_bound);
    assert_int_equal(a->kind_mismatches, b->kind_mismatches);
    assert_int_equal(a->unwritten, b->unwritten);
    assert_int_equal(a->differing, b->differing);
    assert_int_equal(a->kept, b->kept);
    assert_int_equal(a->touched, b->touched);
    assert_int_equal(a->follows != NULL, b->follows != NULL);
    if (a->follows)
        assert_string_equal(a->follows, b->follows);
    assert_int_equal(a->follows_over, b->follows_over);
    assert_int_equal(a->local != NULL, b->local != NULL);
    if (a->local)
        assert_same_local(a->local, b->local);
    assert_int_equal(a->exact, b->exact);
    assert_int_equal(a->first_bad, b->first_bad);
    assert_int_equal(a->last_bad, b->last_bad);
    assert_true(a->err_over_bound == b->err_over_bound && a->limit == b->limit);
    assert_true(a->ulp_max == b->ulp_max && a->ulp_p99 == b->ulp_p99);
    assert_true(a->ulp_p50 == b->ulp_p50 && a->nmse == b->nmse);
    assert_true(a->want_rms == b->want_rms);
    assert_true(a->bias_ulp == b->bias_ulp && a->abs_max == b->abs_max);
    assert_true(a->rel_max == b->rel_max && a->tolerance_used == b->tolerance_used);
    assert_int_equal(a->tolerance.rule, b->tolerance.rule);
    assert_true(a->tolerance.atol == b->tolerance.atol);
    assert_true(a->tolerance.rtol == b->tolerance.rtol);
    assert_int_equal(a->tolerance_over, b->tolerance_over);
    assert_same_element(&a->worst, &b->worst);
    assert_int_equal(a->n_first, b->n_first);
    for (int i = 0; i < a->n_first; i++)
        assert_same_element(&a->first[i], &b->first[i]);
}

static void assert_same_time(const struct kb_time *a, const struct kb_time *b) {
    assert_int_equal(a->there, b->there);
    assert_true(a->median_ns == b->median_ns && a->min_ns == b->min_ns);
    assert_true(a->low_ns == b->low_ns && a->high_ns == b->high_ns);
    assert_true(a->p99_ns == b->p99_ns && a->gb_per_s == b->gb_per_s);
    assert_true(a->ceiling_ns == b->ceiling_ns && a->ceiling == b->ceiling);
    assert_true(
        kb_streq(a->ceiling_op ? a->ceiling_op : "", b->ceiling_op ? b->ceiling_op : ""));
    assert_true(a->floor_ns == b->floor_ns);
    assert_int_equal(a->n, b->n);
    assert_string_equal(a->stopped, b->stopped);
    assert_int_equal(a->quality, b->quality);
    assert_string_equal(a->cache, b->cache);
    assert_int_equal(a->sets, b->sets);
    assert_true(a->duty == b->duty);
    assert_int_equal(a->footprint_bytes, b->footprint_bytes);
    assert_int_equal(a->sm_mhz_min, b->sm_mhz_min);
    assert_int_equal(a->sm_mhz_max, b->sm_mhz_max);
    assert_string_equal(a->throttle, b->throttle);
    assert_int_equal(a->n_samples, b->n_samples);
    assert_memory_equal(a->samples_ns, b->samples_ns, sizeof a->samples_ns);
    assert_int_equal(a->n_runs, b->n_runs);
    assert_memory_equal(a->runs_ns, b->runs_ns, sizeof a->runs_ns);
}

static void assert_same_against(const struct kb_against *a, const struct kb_against *b) {
    assert_string_equal(a->build, b->build);
    assert_string_equal(a->variant, b->variant);
    assert_string_equal(a->why, b->why);
    assert_int_equal(a->same_code, b->same_code);
    assert_int_equal(a->elements, b->elements);
    assert_int_equal(a->differing, b->differing);
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const struct kb_speed *s = &a->speeds[m], *t = &b->speeds[m];
        assert_int_equal(s->there, t->there);
        assert_true(s->ratio == t->ratio);
        assert_true(s->p == t->p || (isnan(s->p) && isnan(t->p)));
        assert_true(s->low == t->low || (isnan(s->low) && isnan(t->low)));
        assert_true(s->high == t->high || (isnan(s->high) && isnan(t->high)));
        assert_int_equal(s->n, t->n);
        assert_int_equal(s->verdict, t->verdict);
        assert_true(a->detectable[m] == b->detectable[m]);
    }
}

static void assert_same_strings(const struct kb_strings *a, const struct kb_strings *b) {
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++)
        assert_string_equal(a->items[i], b->items[i]);
}

static void assert_same_head(const struct kb_row *a, const struct kb_row *b) {
    assert_string_equal(a->case_id, b->case_id);
    assert_string_equal(a->device, b->device);
    assert_string_equal(a->backend, b->backend);
    assert_string_equal(a->build, b->build);
    assert_string_equal(a->variant, b->variant);
    assert_string_equal(a->kernel, b->kernel);
    assert_string_equal(a->op, b->op);
    assert_string_equal(a->fill, b->fill);
    assert_string_equal(a->tags, b->tags);
    assert_string_equal(a->origin, b->origin);
    assert_string_equal(a->text, b->text);
    assert_string_equal(a->warning, b->warning);
    assert_string_equal(a->repeat, b->repeat);
    assert_int_equal(a->reason, b->reason);
    assert_int_equal(a->dtype, b->dtype);
    assert_int_equal(a->rank, b->rank);
    assert_memory_equal(a->shape, b->shape, sizeof a->shape);
    assert_true(a->seed == b->seed);
    assert_string_equal(a->load, b->load);
    assert_true(a->sample_rows == b->sample_rows);
    assert_same_strings(&a->set, &b->set);
    assert_same_strings(&a->axes, &b->axes);
    assert_same_strings(&a->flags, &b->flags);
}

static void every_field_of_a_row_comes_back(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    struct kb_row row = full_row(&arena);
    struct kb_row back = round_trip(&row, &arena);

    assert_same_head(&row, &back);
    assert_int_equal(back.n_outputs, 2);
    for (int i = 0; i < 2; i++)
        assert_same_output(&row.outputs[i], &back.outputs[i]);
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        assert_same_time(&row.times[m], &back.times[m]);
    assert_true(back.checked && back.built);
    assert_int_equal(back.unwritten, 3);
    assert_int_equal(back.out_of_bounds, 4);
    assert_int_equal(back.inputs_changed, 5);
    assert_int_equal(back.orders, 3);
    assert_int_equal(back.repeats, 22);
    assert_int_equal(back.n_shifts, 2);
    assert_memory_equal(back.shifts, row.shifts, sizeof row.shifts);
    assert_int_equal(back.n_batch, 2);
    assert_memory_equal(back.batch, row.batch, sizeof row.batch);
    assert_true(back.late_producer && back.other_inputs);
    assert_true(back.proved);
    assert_int_equal(back.impostors.tried, 7);
    assert_int_equal(back.impostors.left_out, 2);
    assert_same_against(row.against, back.against);
    assert_int_equal(row.occupancy.blocks_per_sm, back.occupancy.blocks_per_sm);
    assert_true(row.occupancy.share == back.occupancy.share);
    assert_true(row.occupancy.waves == back.occupancy.waves);
    assert_same_strings(&row.impostors.let_through, &back.impostors.let_through);
    assert_true(back.bytes == row.bytes && back.flops == row.flops);
    assert_string_equal(back.limited_by, "latency");
    assert_string_equal(back.code.source_hash, code.source_hash);
    assert_string_equal(back.code.code_hash, code.code_hash);
    assert_string_equal(back.code.key, code.key);
    assert_string_equal(back.code.arch, code.arch);
    assert_int_equal(back.code.registers, 22);
    assert_int_equal(back.code.spill_bytes, 8);
    assert_int_equal(back.code.shared_bytes, 1024);
    assert_int_equal(back.code.code_bytes, 5312);
    assert_true(back.code.compile_ms == 47.12 && back.code.load_ms == 0.5);
    assert_true(back.code.cached);
    assert_memory_equal(back.grid, row.grid, sizeof row.grid);
    assert_memory_equal(back.block, row.block, sizeof row.block);
    assert_int_equal(back.n_launches, 2);
    assert_true(back.ms_total == 830.5 && back.ms_build == 47.5);
    assert_true(back.ms_check == 12.25 && back.ms_time == 700.5);
    kb_arena_free(&arena);
}

static void a_row_that_only_began_comes_back(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    struct kb_row row = {
        .case_id = "silu/7x16/bf16",
        .device = "host",
        .backend = "host",
        .build = "precise",
        .op = "silu",
        .fill = "normal",
        .reason = KB_R_CRASH,
        .text = "the worker died",
        .repeat = "kbench --case silu/7x16/bf16",
    };
    struct kb_row back = round_trip(&row, &arena);
    assert_null(back.variant);
    assert_null(back.kernel);
    assert_null(back.warning);
    assert_null(back.limited_by);
    assert_false(back.checked || back.built);
    assert_int_equal(back.reason, KB_R_CRASH);
    kb_arena_free(&arena);
}

static void what_is_not_known_comes_back_as_not_known(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    struct kb_row row = full_row(&arena);
    struct kb_time *t = &row.times[KB_COLD];
    struct kb_output_report *o = &row.outputs[0];

    t->p99_ns = t->gb_per_s = t->ceiling_ns = t->ceiling = t->floor_ns = NAN;
    t->low_ns = t->high_ns = NAN;
    row.times[KB_HOT].there = false;
    row.code.registers = -1;
    row.code.spill_bytes = row.code.shared_bytes = row.code.code_bytes = -1;
    *row.code.code_hash = *row.code.key = '\0';
    o->err_over_bound = o->tolerance_used = INFINITY;
    struct kb_row back = round_trip(&row, &arena);
    const struct kb_time *bt = &back.times[KB_COLD];
    assert_true(isnan(bt->p99_ns) && isnan(bt->gb_per_s) && isnan(bt->ceiling_ns));
    assert_true(isnan(bt->ceiling) && isnan(bt->floor_ns));
    assert_true(isnan(bt->low_ns) && isnan(bt->high_ns));
    assert_false(back.times[KB_HOT].there);
    assert_int_equal(back.code.registers, -1);
    assert_int_equal(back.code.code_bytes, -1);
    assert_string_equal(back.code.code_hash, "");
    assert_true(isinf(back.outputs[0].err_over_bound));
    assert_true(isinf(back.outputs[0].tolerance_used));
    kb_arena_free(&arena);
}

static void every_reason_gives_its_verdict_and_comes_back(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    struct kb_row row = full_row(&arena);
    for (int r = 0; r < KB_REASON_COUNT; r++) {
        row.reason = (enum kb_reason)r;
        row.text = r ? "because" : NULL;
        assert_int_equal(round_trip(&row, &arena).reason, r);
    }
    kb_arena_free(&arena);
}

static void hostile_text_stays_in_its_line_and_comes_back_the_same(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    struct kb_row row = full_row(&arena);
    const char *hostile =
        "a\"b\\c\n\r\t\x1b[2J\x7f\xff\xc0\x80\xe2\x80\xae</script>,\"x\":1";

    row.case_id = row.device = row.build = row.variant = row.kernel = hostile;
    row.text = row.warning = row.repeat = row.origin = hostile;
    row.outputs[0].name = hostile;
    kb_strings_add(&row.flags, &arena, hostile);
    kb_strings_add(&row.set, &arena, "k\"ey\n=\x1b[31m\xff");
    char *line = line_of(&row);
    for (const char *p = line; *p; p++)
        assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
    assert_true(kb_utf8_valid(line, strlen(line)));
    free(line);
    round_trip(&row, &arena);
    kb_arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_of_a_row_comes_back),
        cmocka_unit_test(a_row_that_only_began_comes_back),
        cmocka_unit_test(what_is_not_known_comes_back_as_not_known),
        cmocka_unit_test(every_reason_gives_its_verdict_and_comes_back),
        cmocka_unit_test(hostile_text_stays_in_its_line_and_comes_back_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
