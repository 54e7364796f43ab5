/* gate_test.c - the gate on made-up pairs of reports: limits on both sides, everything that
 * is named, what must not pass. */
#include "report/compare_fixture.h"

static const struct kb_limits_of_gate usual = {.slowdown = 0.03, .error_growth = 2};

static void want(const struct made_row *base, const struct made_row *fresh,
                 const struct kb_limits_of_gate *limits, enum kb_gate_verdict verdict,
                 int status) {
    struct gated g;
    gate_rows(&g, base, base ? 1 : 0, 3, fresh, fresh ? 1 : 0, limits);
    assert_int_equal(g.gate.pairs.n, 1);
    if (g.gate.verdicts[0] != verdict)
        fail_msg("%s is %s, wanted %s", base ? base->case_id : fresh->case_id,
                 kb_gate_word(g.gate.verdicts[0]), kb_gate_word(verdict));
    assert_int_equal(kb_gate_status(&g.gate), status);
    gated_free(&g);
}

/* ---- limits ------------------------------------------------------------------------ */

static void a_median_at_the_limit_passes_and_one_past_it_does_not(void **state) {
    (void)state;
    const double runs[] = {100000, 100000, 100000};
    const struct made_row base = {
        .case_id = "s/1/b", .ns = 100000, .runs = runs, .n_runs = 3, .half = 1e-4};
    struct made_row fresh = {.case_id = "s/1/b", .ns = 103000, .half = 1e-4};
    want(&base, &fresh, &usual, KB_GATE_UNCLEAR, 0);
    fresh.ns = 103000.1;
    want(&base, &fresh, &usual, KB_GATE_SLOWER, 2);
    fresh.ns = 100000 * 1.03;
    want(&base, &fresh, &usual, KB_GATE_UNCLEAR, 0);
    fresh.ns = 102000;
    want(&base, &fresh, &usual, KB_GATE_SAME, 0);
    fresh.ns = 100000 / 1.031;
    want(&base, &fresh, &usual, KB_GATE_FASTER, 0);
    fresh.ns = 100000 / 1.03;
    want(&base, &fresh, &usual, KB_GATE_SAME, 0);
    const struct kb_limits_of_gate five = {.slowdown = 0.05, .error_growth = 2};
    fresh.ns = 104000;
    want(&base, &fresh, &five, KB_GATE_SAME, 0);
    fresh.ns = 105000.1;
    want(&base, &fresh, &five, KB_GATE_SLOWER, 2);
}

static void an_error_at_the_limit_passes_and_one_past_it_does_not(void **state) {
    (void)state;
    const struct made_row base = {.case_id = "s/1/b", .ns = 1000, .error = 0.1};
    struct made_row fresh = base;
    fresh.error = 0.2;
    want(&base, &fresh, &usual, KB_GATE_SAME, 0);
    fresh.error = 0.2001;
    want(&base, &fresh, &usual, KB_GATE_COARSER, 2);
    const struct kb_limits_of_gate three = {.slowdown = 0.03, .error_growth = 3};
    want(&base, &fresh, &three, KB_GATE_SAME, 0);
    fresh.error = 0.3001;
    want(&base, &fresh, &three, KB_GATE_COARSER, 2);
}

static void an_error_next_to_none_does_not_grow(void **state) {
    (void)state;
    const struct made_row base = {.case_id = "s/1/b", .ns = 1000, .error = 1e-9};
    struct made_row fresh = base;
    fresh.error = 0.02;
    want(&base, &fresh, &usual, KB_GATE_SAME, 0);
    fresh.error = 0.0201;
    want(&base, &fresh, &usual, KB_GATE_COARSER, 2);
}

static void errors_of_more_and_of_fewer_elements_are_not_compared(void **state) {
    (void)state;
    const struct made_row base = {
        .case_id = "s/1/b", .ns = 1000, .error = 0.01, .checked = 4096};
    struct made_row fresh = base;
    fresh.error = 0.3;
    want(&base, &fresh, &usual, KB_GATE_COARSER, 2);
    fresh.checked = 42496;
    want(&base, &fresh, &usual, KB_GATE_SAME, 0);
    want(&fresh, &base, &usual, KB_GATE_SAME, 0);
}

/* ---- what is no time --------------------------------------------------------------- */

static void what_is_no_time_never_passes_and_is_named(void **state) {
    (void)state;
    static const struct {
        const char *median, *words;
    } times[] = {
        {"null", "the new time is null"},
        {"0", "the new time is 0 ns"},
        {"-5", "the new time is -5 ns"},
        {"-0.0", "the new time is -0 ns"},
    };
    const struct made_row base = {.case_id = "s/1/b", .ns = 1000};
    for (size_t i = 0; i < KB_COUNT(times); i++) {
        const struct made_row fresh = {
            .case_id = "s/1/b", .ns = 1000, .median = times[i].median};
        struct gated g;
        want(&base, &fresh, &usual, KB_GATE_INVALID, 3);
        want(&fresh, &base, &usual, KB_GATE_INVALID, 3);
        gate_rows(&g, &base, 1, 3, &fresh, 1, &usual);
        assert_string_equal(g.gate.texts[0], times[i].words);
        gated_free(&g);
    }
}

static void a_sample_that_is_no_time_makes_the_row_invalid(void **state) {
    (void)state;
    const double samples[] = {1000, 1000, 0, 1000, 1000, 1000};
    const struct made_row base = {.case_id = "s/1/b", .ns = 1000};
    const struct made_row fresh = {
        .case_id = "s/1/b", .ns = 1000, .samples = samples, .n_samples = 6};
    want(&base, &fresh, &usual, KB_GATE_INVALID, 3);
}

static void a_time_that_no_memory_could_give_is_no_verdict(void **state) {
    (void)state;
    const struct made_row base = {.case_id = "s/1/b", .ns = 1000};
    struct made_row fresh = {.case_id = "s/1/b", .ns = 900, .quality = "suspect"};
    want(&base, &fresh, &usual, KB_GATE_INVALID, 3);
    fresh.ns = 1100;
    fresh.quality = "throttled"; /* the base was not */
    want(&base, &fresh, &usual, KB_GATE_UNCLEAR, 0);
}

static void
times_at_and_under_the_power_limit_are_not_held_against_each_other(void **state) {
    (void)state;
    const struct made_row base = {.case_id = "s/1/b", .ns = 1000};
    struct made_row paced = {.case_id = "s/1/b", .ns = 940, .duty = 0.5}, half = paced;
    struct gated g;
    want(&base, &paced, &usual, KB_GATE_INVALID, 3);
    want(&paced, &base, &usual, KB_GATE_INVALID, 3);
    half.duty = 0.25;
    want(&paced, &half, &usual, KB_GATE_INVALID, 3);
    want(&paced, &paced, &usual, KB_GATE_SAME, 0);
    gate_rows(&g, &base, 1, 3, &paced, 1, &usual);
    assert_string_equal(g.gate.texts[0],
                        "the new time is at a duty of 50 %, the baseline's time at 100 %");
    gated_free(&g);
}

static void times_of_buffers_that_the_l2_holds_are_not_held_against_others(void **state) {
    (void)state;
    const struct made_row past = {
        .case_id = "s/1/b", .ns = 1000, .sets = 30, .footprint = 3000};
    struct made_row more = past, few = past;
    struct gated g;
    more.sets = 40;
    more.footprint = 4000; /* there was more memory for them */
    few.sets = 10;
    few.footprint = 1000;
    want(&past, &more, &usual, KB_GATE_SAME, 0);
    want(&few, &past, &usual, KB_GATE_INVALID, 3);
    gate_rows(&g, &past, 1, 3, &few, 1, &usual);
    assert_string_equal(g.gate.texts[0],
                        "the new time is over 10 buffer sets (1.0 kB), the "
                        "baseline's time over 30 (3.0 kB)");
    gated_free(&g);
    more.footprint = 1050; /* as many bytes as the ten, or nearly */
    want(&few, &more, &usual, KB_GATE_SAME, 0);
}

/* ---- verdicts and cases ------------------------------------------------------------ */

static void wrong_rows_count_before_slow_ones(void **state) {
    (void)state;
    const struct made_row base = {.case_id = "s/1/b", .ns = 1000};
    struct made_row fresh = {.case_id = "s/1/b",
                             .verdict = "FAIL",
                             .reason = "9 of 9",
                             .reason_kind = "mismatch",
                             .untimed = true};
    want(&base, &fresh, &usual, KB_GATE_WRONG, 1);
    want(NULL, &fresh, &usual, KB_GATE_WRONG, 1);
    want(&fresh, &fresh, &usual, KB_GATE_WRONG, 1);
    fresh.verdict = "ERROR";
    fresh.reason_kind = "compile";
    want(&base, &fresh, &usual, KB_GATE_WRONG, 5);
    fresh.reason_kind = "timeout";
    want(&base, &fresh, &usual, KB_GATE_WRONG, 6);
    fresh.verdict = "MISTRUSTED";
    fresh.reason_kind = "impostor";
    want(&base, &fresh, &usual, KB_GATE_MISTRUSTED, 3);
    fresh.verdict = "SKIP";
    fresh.reason_kind = "memory";
    want(&base, &fresh, &usual, KB_GATE_MISSING, 1);
    want(&fresh, &fresh, &usual, KB_GATE_SAME, 3); /* nothing was checked */
}

static void a_missing_case_fails_and_an_extra_one_is_noted(void **state) {
    (void)state;
    const struct made_row rows[] = {{.case_id = "s/1/b", .ns = 1000},
                                    {.case_id = "s/2/b", .ns = 1000}};
    struct kb_limits_of_gate limits = usual;
    struct gated g;
    gate_rows(&g, rows, 2, 3, rows, 1, &limits);
    assert_int_equal(g.gate.count[KB_GATE_MISSING], 1);
    assert_int_equal(kb_gate_status(&g.gate), 1);
    gated_free(&g);
    limits.allow_missing = true;
    gate_rows(&g, rows, 2, 3, rows, 1, &limits);
    assert_int_equal(kb_gate_status(&g.gate), 0);
    gated_free(&g);
    gate_rows(&g, rows, 1, 3, rows, 2, &usual);
    assert_int_equal(g.gate.count[KB_GATE_EXTRA], 1);
    assert_int_equal(g.gate.n, 1);
    assert_int_equal(kb_gate_status(&g.gate), 0);
    gated_free(&g);
}

static void a_row_that_lost_its_time_is_missing(void **state) {
    (void)state;
    const struct made_row base[] = {{.case_id = "s/1/b", .ns = 1000},
                                    {.case_id = "s/2/b", .ns = 1000}};
    const struct made_row fresh[] = {{.case_id = "s/1/b", .untimed = true},
                                     {.case_id = "s/2/b", .ns = 1000}};
    struct gated g;
    gate_rows(&g, base, 2, 3, fresh, 2, &usual);
    assert_int_equal(g.gate.verdicts[0], KB_GATE_MISSING);
    assert_int_equal(kb_gate_status(&g.gate), 1);
    gated_free(&g);
    gate_rows(&g, base, 1, 3, fresh, 1, &usual); /* none has one: another method */
    assert_false(g.gate.comparable);
    assert_string_equal(g.gate.mismatches.items[0].field, "method");
    assert_int_equal(kb_gate_status(&g.gate), 3);
    gated_free(&g);
}

static void a_row_that_the_baseline_did_not_time_is_not_the_same(void **state) {
    (void)state;
    const struct made_row base[] = {{.case_id = "s/1/b", .ns = 1000},
                                    {.case_id = "s/2/b", .untimed = true},
                                    {.case_id = "s/3/b", .untimed = true}};
    const struct made_row fresh[] = {{.case_id = "s/1/b", .ns = 1000},
                                     {.case_id = "s/2/b", .ns = 1000},
                                     {.case_id = "s/3/b", .untimed = true}};
    struct kb_limits_of_gate limits = usual;
    struct gated g;
    gate_rows(&g, base, 3, 3, fresh, 3, &limits);
    assert_int_equal(g.gate.verdicts[1], KB_GATE_UNCLEAR);
    assert_string_equal(g.gate.texts[1], "the baseline has no time of it by graph");
    assert_int_equal(g.gate.verdicts[2], KB_GATE_SAME); /* nothing is launched, say */
    assert_int_equal(kb_gate_status(&g.gate), 0);
    assert_int_equal(g.gate.unclear_past, 0);
    gated_free(&g);
    limits.strict = true;
    gate_rows(&g, base, 3, 3, fresh, 3, &limits);
    assert_int_equal(kb_gate_status(&g.gate), 3);
    gated_free(&g);
}

static void a_row_that_stands_twice_is_no_verdict(void **state) {
    (void)state;
    const struct made_row rows[] = {{.case_id = "s/1/b", .ns = 1000},
                                    {.case_id = "s/1/b", .ns = 900}};
    struct gated g;
    gate_rows(&g, rows, 1, 3, rows, 2, &usual);
    assert_int_equal(g.gate.count[KB_GATE_INVALID], 1);
    assert_int_equal(kb_gate_status(&g.gate), 3);
    gated_free(&g);
}

static void another_variant_of_a_case_is_compared_another_kernel_is_not(void **state) {
    (void)state;
    const struct made_row base = {.case_id = "s/1/b", .ns = 1000};
    const struct made_row fresh = {.case_id = "s/1/b", .ns = 1100, .variant = "vec32"};
    struct gated g;
    gate_rows(&g, &base, 1, 3, &fresh, 1, &usual);
    assert_int_equal(g.gate.verdicts[0], KB_GATE_SLOWER);
    assert_string_equal(g.gate.pairs.items[0].differs, "variant vec16 -> vec32");
    gated_free(&g);
}

static void the_status_does_not_depend_on_the_count(void **state) {
    (void)state;
    static const int counts[] = {1, 255, 256, 257, 512};
    enum { MAX = 512 };
    struct made_row *base = calloc(MAX, sizeof *base), *fresh = calloc(MAX, sizeof *fresh);
    char(*ids)[24] = calloc(MAX, sizeof *ids);
    for (int i = 0; i < MAX; i++) {
        snprintf(ids[i], sizeof ids[i], "s/%d/b", i);
        base[i] = (struct made_row){.case_id = ids[i], .ns = 1000};
        fresh[i] = (struct made_row){.case_id = ids[i],
                                     .verdict = "FAIL",
                                     .reason = "no",
                                     .reason_kind = "mismatch",
                                     .untimed = true};
    }
    for (size_t k = 0; k < KB_COUNT(counts); k++) {
        struct gated g;
        gate_rows(&g, base, counts[k], 3, fresh, counts[k], &usual);
        assert_int_equal(g.gate.count[KB_GATE_WRONG], counts[k]);
        assert_int_equal(kb_gate_status(&g.gate), 1);
        gated_free(&g);
    }
    for (int i = 0; i < MAX; i++)
        fresh[i] = (struct made_row){.case_id = ids[i], .ns = 1200};
    struct gated g;
    gate_rows(&g, base, MAX, 3, fresh, MAX, &usual);
    assert_int_equal(g.gate.count[KB_GATE_SLOWER], MAX);
    assert_int_equal(kb_gate_status(&g.gate), 2);
    gated_free(&g);
    free(base);
    free(fresh);
    free(ids);
}

static void another_gpu_is_not_comparable_unless_asked(void **state) {
    (void)state;
    const struct made_row row = {.case_id = "s/1/b", .ns = 1000};
    const struct made_row slow = {.case_id = "s/1/b", .ns = 2000};
    struct kb_limits_of_gate limits = usual;
    struct gated g = {0};
    struct kb_buf words = {0};
    make_report("NVIDIA H200", 3, &row, 1, &g.base);
    make_report("NVIDIA L40S", 1, &slow, 1, &g.fresh);
    kb_gate_make(&g.base, &g.fresh, &limits, NULL, 0, NULL, NULL, &g.arena, &g.gate);
    assert_int_equal(kb_gate_status(&g.gate), 3);
    assert_int_equal(g.gate.count[KB_GATE_SLOWER], 0);
    kb_gate_words(&g.gate, &words);
    assert_string_equal(words.data, "not comparable: GPU NVIDIA H200 != NVIDIA L40S");
    limits.cross = true;
    kb_gate_make(&g.base, &g.fresh, &limits, NULL, 0, NULL, NULL, &g.arena, &g.gate);
    assert_int_equal(kb_gate_status(&g.gate), 2);
    kb_buf_free(&words);
    gated_free(&g);
}

/* A report whose text was changed by `from` and `to` against the same without. */
static void want_changed(const char *from, const char *to, bool of_base, int status,
                         const char *words) {
    const struct made_row row = {.case_id = "s/1/b", .ns = 1000};
    struct kb_buf text = {0}, said = {0};
    struct kb_err err = {0};
    struct gated g = {0};
    made_head("NVIDIA H200", 1, &text);
    add_made_row(&row, &text);
    kb_buf_puts(&text, "]}");
    const char *at = strstr(text.data, from);
    assert_non_null(at);
    struct kb_buf changed = {0};
    kb_buf_add(&changed, text.data, (size_t)(at - text.data));
    kb_buf_printf(&changed, "%s%s", to, at + strlen(from));
    struct kb_loaded *to_change = of_base ? &g.base : &g.fresh;
    if (!kb_loaded_of_text("base.json", of_base ? &changed : &text, &g.base, &err) ||
        !kb_loaded_of_text("new.json", of_base ? &text : &changed, &g.fresh, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(to_change->n_rows, 1);
    kb_gate_make(&g.base, &g.fresh, &usual, NULL, 0, NULL, NULL, &g.arena, &g.gate);
    kb_gate_words(&g.gate, &said);
    assert_string_equal(kb_buf_text(&said), words);
    assert_int_equal(kb_gate_status(&g.gate), status);
    kb_buf_free(&said);
    gated_free(&g);
}

static void times_of_a_gpu_that_is_not_named_are_not_comparable(void **state) {
    (void)state;
    static const char device[] = "{\"id\":\"0\",\"backend\":\"cuda\",\"name\":\"NVIDIA "
                                 "H200\",\"l2_bytes\":1000}";
    want_changed(device, "", false, 3, "not comparable: GPU NVIDIA H200 != not named");
    want_changed(device, "", true, 3, "not comparable: GPU not named != NVIDIA H200");
    want_changed("\"devices\":", "\"other\":", false, 3,
                 "not comparable: GPU NVIDIA H200 != not named");
    want_changed("\"device\":\"0\"", "\"device\":\"7\"", false, 1, "1 case is missing");
    want_changed("\"seconds\":1", "\"seconds\":2", false, 0, "");
}

static void an_error_or_an_interval_that_is_none_is_no_verdict(void **state) {
    (void)state;
    static const char invalid[] = "1 case has no time that can be compared";
    want_changed("\"err_over_bound\"", "\"other\"", false, 3, invalid);
    want_changed("\"err_over_bound\"", "\"other\"", true, 0, "");
    want_changed("\"ci95_ns\":[1000,1000]", "\"ci95_ns\":[-1e300,1e300]", false, 3,
                 invalid);
    want_changed("\"ci95_ns\":[1000,1000]", "\"ci95_ns\":[0,1000]", true, 3, invalid);
    want_changed("\"ci95_ns\":[1000,1000]", "\"ci95_ns\":[null,null]", false, 0, "");
}

static void a_method_of_the_baseline_that_is_gone_is_no_pass_by_another(void **state) {
    (void)state;
    static const char graph[] = "\"times\":{\"graph\":", one[] = "{\"median_ns\":1000}";
    char both[128];
    snprintf(both, sizeof both, "\"times\":{\"cold\":%s,\"graph\":", one);
    want_changed(graph, both, true, 0, "");
    want_changed(graph, both, false, 0, "");
    const struct made_row row = {.case_id = "s/1/b", .ns = 1000};
    struct kb_buf said = {0};
    struct gated g;
    gate_rows(&g, &row, 1, 3, &row, 1, &usual);
    struct kb_timing two[2] = {g.base.rows[0].times[0], g.base.rows[0].times[0]};
    two[1].method = KB_COLD;
    g.base.rows[0].times = two;
    g.base.rows[0].n_times = 2;
    g.fresh.rows[0].times[0].method = KB_COLD;
    kb_gate_make(&g.base, &g.fresh, &usual, NULL, 0, NULL, NULL, &g.arena, &g.gate);
    kb_gate_words(&g.gate, &said);
    assert_string_equal(kb_buf_text(&said), "not comparable: method graph, cold != cold");
    assert_int_equal(kb_gate_status(&g.gate), 3);
    const enum kb_method cold = KB_COLD; /* asked for, it is the user's to say */
    kb_gate_make(&g.base, &g.fresh, &usual, &cold, 1, NULL, NULL, &g.arena, &g.gate);
    assert_int_equal(kb_gate_status(&g.gate), 0);
    kb_buf_free(&said);
    gated_free(&g);
}

static void what_is_unclear_fails_only_where_that_is_asked_for(void **state) {
    (void)state;
    const struct made_row base = {.case_id = "s/1/b", .ns = 1050, .half = 0.03};
    const struct made_row fresh = {.case_id = "s/1/b", .ns = 1080, .half = 0.03};
    struct kb_limits_of_gate limits = usual;
    want(&base, &fresh, &limits, KB_GATE_UNCLEAR, 0);
    limits.strict = true;
    want(&base, &fresh, &limits, KB_GATE_UNCLEAR, 3);
    struct gated g;
    gate_rows(&g, &base, 1, 3, &fresh, 1, &limits);
    assert_true(g.gate.pairs.items[0].shift.wants_n > 40);
    assert_true(g.gate.pairs.items[0].shift.detectable > 0.03);
    gated_free(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_median_at_the_limit_passes_and_one_past_it_does_not),
        cmocka_unit_test(an_error_at_the_limit_passes_and_one_past_it_does_not),
        cmocka_unit_test(an_error_next_to_none_does_not_grow),
        cmocka_unit_test(errors_of_more_and_of_fewer_elements_are_not_compared),
        cmocka_unit_test(
            times_at_and_under_the_power_limit_are_not_held_against_each_other),
        cmocka_unit_test(times_of_buffers_that_the_l2_holds_are_not_held_against_others),
        cmocka_unit_test(what_is_no_time_never_passes_and_is_named),
        cmocka_unit_test(a_sample_that_is_no_time_makes_the_row_invalid),
        cmocka_unit_test(a_time_that_no_memory_could_give_is_no_verdict),
        cmocka_unit_test(wrong_rows_count_before_slow_ones),
        cmocka_unit_test(a_missing_case_fails_and_an_extra_one_is_noted),
        cmocka_unit_test(a_row_that_lost_its_time_is_missing),
        cmocka_unit_test(a_row_that_the_baseline_did_not_time_is_not_the_same),
        cmocka_unit_test(a_row_that_stands_twice_is_no_verdict),
        cmocka_unit_test(another_variant_of_a_case_is_compared_another_kernel_is_not),
        cmocka_unit_test(the_status_does_not_depend_on_the_count),
        cmocka_unit_test(another_gpu_is_not_comparable_unless_asked),
        cmocka_unit_test(times_of_a_gpu_that_is_not_named_are_not_comparable),
        cmocka_unit_test(an_error_or_an_interval_that_is_none_is_no_verdict),
        cmocka_unit_test(a_method_of_the_baseline_that_is_gone_is_no_pass_by_another),
        cmocka_unit_test(what_is_unclear_fails_only_where_that_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
