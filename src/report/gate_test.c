/* gate_test.c - the gate on made-up pairs of reports: limits on both sides, false alarms,
 * slowdowns that are found, everything that is named. */
#include "report/compare_fixture.h"

static const struct kb_limits_of_gate usual = {.slowdown = 0.03, .error_growth = 2};

/* Gate reports of these rows; the gate lives as long as the fixture. */
struct gated {
    struct kb_loaded base, fresh;
    struct kb_arena arena;
    struct kb_gate gate;
};

static void gate_rows(struct gated *g, const struct made_row *base, int n_base, int runs,
                      const struct made_row *fresh, int n_fresh,
                      const struct kb_limits_of_gate *limits) {
    *g = (struct gated){0};
    make_report("NVIDIA H200", runs, base, n_base, &g->base);
    make_report("NVIDIA H200", 1, fresh, n_fresh, &g->fresh);
    kb_gate_make(&g->base, &g->fresh, limits, NULL, 0, NULL, NULL, &g->arena, &g->gate);
}

static void gated_free(struct gated *g) {
    kb_loaded_free(&g->base);
    kb_loaded_free(&g->fresh);
    kb_arena_free(&g->arena);
}

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

/* ---- limits ----------------------------------------------------------------------------
 */

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

/* ---- what is no time -------------------------------------------------------------------
 */

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

/* ---- verdicts and cases ----------------------------------------------------------------
 */

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
    want(&fresh, &fresh, &usual, KB_GATE_SAME, 0);
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

/* ---- noise -----------------------------------------------------------------------------
 * Times as they differ between runs of a process: about a kernel's own time, by `spread`,
 * and within a run by less. */

enum { CASES = 100, BLOCKS = 12 };

enum noise { LOGNORMAL, BIMODAL, DRIFTING, MIXED };

/* A run's median against the kernel's own time. */
static double run_of(struct random *r, enum noise noise, double spread) {
    double x = normal(r);
    switch (noise) {
    case BIMODAL: /* one of two places, as by where buffers lie */
        return exp(spread * (uniform(r) < 0.5 ? -1 : 1) + 0.2 * spread * x);
    default:
        return exp(spread * x);
    }
}

/* Case i takes from 1 to 100 us; below 20 us runs differ by twice as much. */
static double time_of(int i) {
    return 1000 * pow(10, 2.0 * i / CASES);
}
static double spread_at(int i, enum noise noise, double spread) {
    double sd = time_of(i) > 20000 ? spread : 2 * spread;
    return noise == MIXED && i % 10 == 0 ? 3 * sd : sd; /* some kernels are restless */
}

static double middle(const double *x) {
    return fmax(fmin(x[0], x[1]), fmin(fmax(x[0], x[1]), x[2]));
}

/* Other times into a report that was made: reading it again would take most of the test. */
static void renew(struct kb_loaded *report, struct random *r, enum noise noise,
                  double spread, int n_runs) {
    for (int i = 0; i < CASES; i++) {
        struct kb_timing *t = &report->rows[i].times[0];
        double sd = spread_at(i, noise, spread), *runs = (double *)t->runs_ns;
        double *samples = (double *)t->samples_ns;
        for (int k = 0; k < 3; k++)
            runs[k] = time_of(i) * run_of(r, noise, sd);
        t->n_runs = n_runs == 3 ? 3 : 0;
        t->median_ns = n_runs == 3 ? middle(runs) : runs[0];
        t->low_ns = t->median_ns * (1 - 0.1 * sd);
        t->high_ns = t->median_ns * (1 + 0.1 * sd);
        for (int b = 0; b < BLOCKS; b++) {
            double drift = noise == DRIFTING ? sd * (b - BLOCKS / 2) / BLOCKS : 0;
            samples[b] = t->median_ns * exp(drift + 0.1 * sd * normal(r));
        }
    }
}

struct noisy {
    struct kb_loaded base, fresh;
    struct kb_arena arena;
    struct kb_gate gate;
};

static void noisy_make(struct noisy *n) {
    struct made_row rows[CASES];
    char ids[CASES][24];
    static const double ones[BLOCKS] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    for (int i = 0; i < CASES; i++) {
        snprintf(ids[i], sizeof ids[i], "s/%d/b", i);
        rows[i] = (struct made_row){.case_id = ids[i],
                                    .ns = 1,
                                    .samples = ones,
                                    .n_samples = BLOCKS,
                                    .runs = ones,
                                    .n_runs = 3};
    }
    *n = (struct noisy){0};
    make_report("NVIDIA H200", 3, rows, CASES, &n->base);
    make_report("NVIDIA H200", 1, rows, CASES, &n->fresh);
}

static void noisy_gate(struct noisy *n) {
    kb_arena_reset(&n->arena);
    kb_gate_make(&n->base, &n->fresh, &usual, NULL, 0, NULL, NULL, &n->arena, &n->gate);
}

static void noisy_free(struct noisy *n) {
    kb_loaded_free(&n->base);
    kb_loaded_free(&n->fresh);
    kb_arena_free(&n->arena);
}

static int alarms_in_1000(enum noise noise, double spread) {
    struct noisy n;
    struct random r = {1};
    int alarms = 0;
    noisy_make(&n);
    for (int i = 0; i < 1000; i++) {
        renew(&n.base, &r, noise, spread, 3);
        renew(&n.fresh, &r, noise, spread, 1);
        noisy_gate(&n);
        alarms += kb_gate_status(&n.gate) != 0;
    }
    noisy_free(&n);
    return alarms;
}

static void equal_kernels_raise_at_most_one_alarm_in_1000_gates(void **state) {
    (void)state;
    static const double spreads[] = {0.0025, 0.005, 0.01};
    for (size_t i = 0; i < KB_COUNT(spreads); i++)
        assert_in_range(alarms_in_1000(LOGNORMAL, spreads[i]), 0, 1);
    assert_in_range(alarms_in_1000(BIMODAL, 0.005), 0, 1);
    assert_in_range(alarms_in_1000(DRIFTING, 0.005), 0, 1);
}

/* Where a tenth of the kernels differs three times as much from run to run, three runs do
 * not tell which: kbench run --baseline measures again what looks slower. */
static void restless_kernels_raise_few_alarms(void **state) {
    (void)state;
    assert_in_range(alarms_in_1000(MIXED, 0.0025), 0, 20);
}

static void a_slowdown_of_6_percent_above_20_us_is_found_95_times_in_100(void **state) {
    (void)state;
    static const enum noise noises[] = {LOGNORMAL, BIMODAL, DRIFTING};
    for (size_t k = 0; k < KB_COUNT(noises); k++) {
        struct noisy n;
        struct random r = {99};
        int found = 0;
        noisy_make(&n);
        for (int i = 0; i < 100; i++) {
            int slow = 66 + i % (CASES - 66);
            struct kb_timing *t = &n.fresh.rows[slow].times[0];
            assert_true(time_of(slow) > 20000);
            renew(&n.base, &r, noises[k], 0.005, 3);
            renew(&n.fresh, &r, noises[k], 0.005, 1);
            t->median_ns *= 1.06;
            for (int b = 0; b < BLOCKS; b++)
                ((double *)t->samples_ns)[b] *= 1.06;
            noisy_gate(&n);
            found += n.gate.verdicts[slow] == KB_GATE_SLOWER;
            assert_true(n.gate.pairs.items[slow].shift.detectable > 0.03);
        }
        noisy_free(&n);
        assert_in_range(found, 95, 100);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_median_at_the_limit_passes_and_one_past_it_does_not),
        cmocka_unit_test(an_error_at_the_limit_passes_and_one_past_it_does_not),
        cmocka_unit_test(an_error_next_to_none_does_not_grow),
        cmocka_unit_test(what_is_no_time_never_passes_and_is_named),
        cmocka_unit_test(a_sample_that_is_no_time_makes_the_row_invalid),
        cmocka_unit_test(a_time_that_no_memory_could_give_is_no_verdict),
        cmocka_unit_test(wrong_rows_count_before_slow_ones),
        cmocka_unit_test(a_missing_case_fails_and_an_extra_one_is_noted),
        cmocka_unit_test(a_row_that_lost_its_time_is_missing),
        cmocka_unit_test(a_row_that_stands_twice_is_no_verdict),
        cmocka_unit_test(another_variant_of_a_case_is_compared_another_kernel_is_not),
        cmocka_unit_test(the_status_does_not_depend_on_the_count),
        cmocka_unit_test(another_gpu_is_not_comparable_unless_asked),
        cmocka_unit_test(what_is_unclear_fails_only_where_that_is_asked_for),
        cmocka_unit_test(equal_kernels_raise_at_most_one_alarm_in_1000_gates),
        cmocka_unit_test(restless_kernels_raise_few_alarms),
        cmocka_unit_test(a_slowdown_of_6_percent_above_20_us_is_found_95_times_in_100),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
