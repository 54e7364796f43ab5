/* race_test.c - builds timed in turns, by a timer that gives what a script says: which is
 * called faster, what is measured again, and when it ends. */
#include "group_fixture.h"
#include "race.h"

/* The Makefile puts this clock in the place of the real one. */
static int64_t clock_ns;
int64_t __wrap_kb_now_ns(void);
int64_t __wrap_kb_now_ns(void) {
    return clock_ns += 100;
}

static double in_two_modes(int64_t i) {
    return i / 50 % 2 ? noisy(i) * 1.05 : noisy(i);
}

static void a_build_slower_by_3_percent_is_slower(void **state) {
    const struct fake_script script = {.ns = noisy, .slow_build = "other", .slower = 1.03};
    struct group g;
    (void)state;
    run_builds(&g, &script, two, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(g.rows[i].reason, KB_R_NONE);
        assert_true(g.rows[i].times[KB_GRAPH].there && g.rows[i].times[KB_COLD].there);
        assert_string_equal(g.rows[i].times[KB_GRAPH].stopped, "precision");
        assert_int_equal(g.rows[i].times[KB_GRAPH].quality, KB_Q_OK);
        assert_true(isfinite(g.rows[i].times[KB_GRAPH].ceiling_ns));
    }
    assert_null(g.rows[0].against);
    assert_string_equal(g.rows[1].against->build, "precise");
    assert_string_equal(g.rows[1].against->variant, g.rows[0].variant);
    assert_int_equal(g.rows[1].against->same_code, 0);
    assert_speed(&g, 1, KB_SLOWER, 1.03);
    assert_true(g.rows[1].against->speeds[KB_COLD].there);
    fake_free(&g.f);
}

static void a_faster_one_is_faster_though_clocks_change(void **state) {
    const struct fake_script script = {
        .ns = in_two_modes, .slow_build = "other", .slower = 0.97};
    struct group g;
    (void)state;
    run_builds(&g, &script, two, 2);
    assert_speed(&g, 1, KB_FASTER, 0.97);
    fake_free(&g.f);
}

static void equal_builds_are_the_same(void **state) {
    const struct fake_script script = {.ns = noisy, .slow_build = "none", .slower = 1};
    struct group g;
    (void)state;
    run_builds(&g, &script, two, 2);
    assert_speed(&g, 1, KB_SAME, 1);
    double detectable = g.rows[1].against->detectable[KB_GRAPH];
    assert_true(detectable > 0.01 && detectable < 0.03);
    fake_free(&g.f);
}

static void they_are_timed_in_turns(void **state) {
    const struct fake_script script = {.ns = noisy, .slow_build = "none", .slower = 1};
    struct group g;
    (void)state;
    run_builds(&g, &script, two, 2);
    /* In each block from A to B and back, or the other way round. */
    assert_true(g.f.device.turns >= 2 * 2 * (int)g.rows[1].against->speeds[KB_GRAPH].n);
    fake_free(&g.f);
}

static void a_limit_of_time_ends_it_with_the_reason(void **state) {
    const struct fake_script script = {.ns = in_two_modes};
    struct group g;
    (void)state;
    make_group(&g, &script, twice, 2);
    for (int i = 0; i < 2; i++) {
        g.jobs[i].precision = 1e-9;
        g.jobs[i].max_time_s = 1e-9;
    }
    assert_true(run_group(&g));
    assert_string_equal(g.rows[0].times[KB_GRAPH].stopped, "time");
    assert_int_equal(g.rows[0].times[KB_GRAPH].quality, KB_Q_NOISY);
    /* One block is too few for an interval, so equal builds are not known to be equal. */
    assert_int_equal(g.rows[1].against->speeds[KB_GRAPH].n, 1);
    assert_int_equal(g.rows[1].against->speeds[KB_GRAPH].verdict, KB_UNCLEAR);
    fake_free(&g.f);
}

/* ---- graphs that take times of their own ---- */

static double half_a_percent(uint64_t seed, int64_t i, int lane, int own) {
    uint32_t r[4];

    (void)lane, (void)own;
    kb_philox(seed, 5, (uint64_t)i, r);
    return exp(0.005 * sqrt(-2 * log((r[0] + 0.5) / 4294967296.0)) *
               cos(6.283185307179586 * (r[1] + 0.5) / 4294967296.0));
}

/* The first four of B: as many as the race has where nothing is doubted. */
static double the_first_of_b(uint64_t seed, int64_t i, int lane, int own) {
    (void)seed, (void)i;
    return lane == 1 && own < 4 ? 1.02 : 1;
}

/* Those that are made second, too. */
static double what_comes_second(uint64_t seed, int64_t i, int lane, int own) {
    return i % 2 ? 1.02 : the_first_of_b(seed, i, lane, own);
}

/* Of `runs` pairs, B taking `slower` times as long, those with this verdict; *renewed:
 * graphs that were made anew. */
static int count_runs(int runs, double slower, double (*graph)(uint64_t, int64_t, int, int),
                      enum kb_speed_verdict verdict, int *renewed) {
    int count = 0;

    *renewed = 0;
    for (int i = 0; i < runs; i++) {
        const struct fake_script script = {.ns = noisy,
                                           .slow_build = "other",
                                           .slower = slower,
                                           .graph = graph,
                                           .graph_seed = 700 + (uint64_t)i};
        struct group g;
        make_group(&g, &script, two, 2);
        for (int k = 0; k < 2; k++)
            g.jobs[k].one_run = true;
        assert_true(run_group(&g));
        count += g.rows[1].against->speeds[KB_GRAPH].verdict == verdict;
        *renewed += g.f.device.renewed;
        fake_free(&g.f);
    }
    return count;
}

static void graphs_half_a_percent_apart_raise_no_alarm(void **state) {
    int renewed;
    (void)state;
    assert_int_equal(count_runs(30, 1, half_a_percent, KB_SLOWER, &renewed), 0);
    assert_int_equal(count_runs(30, 1, half_a_percent, KB_FASTER, &renewed), 0);
    assert_in_range(count_runs(20, 1.03, half_a_percent, KB_SLOWER, &renewed), 19, 20);
}

static void a_doubtful_difference_is_measured_again_by_other_graphs(void **state) {
    int renewed;
    (void)state;
    assert_int_equal(count_runs(1, 1, the_first_of_b, KB_SAME, &renewed), 1);
    assert_int_equal(renewed, 2 * (3 + 24));
    assert_int_equal(count_runs(1, 1.03, NULL, KB_SLOWER, &renewed), 1);
    assert_int_equal(renewed, 2 * (3 + 24));
}

/* The first four of B as above, but in its favour. */
static double the_first_of_b_are_better(uint64_t seed, int64_t i, int lane, int own) {
    return 1 / the_first_of_b(seed, i, lane, own);
}

static void what_is_faster_is_doubted_like_what_is_slower(void **state) {
    int renewed;
    (void)state;
    assert_int_equal(count_runs(1, 1, the_first_of_b_are_better, KB_SAME, &renewed), 1);
    assert_int_equal(renewed, 2 * (3 + 24));
}

static void what_is_made_second_is_not_always_the_same(void **state) {
    int renewed;
    (void)state;
    assert_int_equal(count_runs(20, 1, what_comes_second, KB_SLOWER, &renewed), 0);
    assert_int_equal(count_runs(20, 1, what_comes_second, KB_FASTER, &renewed), 0);
}

static void what_no_graph_makes_is_not_measured_again(void **state) {
    int renewed;
    (void)state;
    assert_int_equal(count_runs(1, 1.2, NULL, KB_SLOWER, &renewed), 1);
    assert_int_equal(renewed, 2 * 3);
    assert_int_equal(count_runs(1, 1, NULL, KB_SAME, &renewed), 1);
    assert_int_equal(renewed, 2 * 3);
}

static void what_launches_one_by_one_is_not_measured_again(void **state) {
    const struct fake_script script = {.ns = noisy, .slow_build = "other", .slower = 1.03};
    struct group g;
    (void)state;
    run_builds(&g, &script, two, 2);
    const struct kb_speed *cold = &g.rows[1].against->speeds[KB_COLD];
    assert_int_equal(cold->verdict, KB_SLOWER);
    /* The blocks' own renewals by both methods, and again by graph. */
    assert_int_equal(g.f.device.renewed, 2 * (3 + 3 + 24));
    fake_free(&g.f);
}

/* ---- no longer than was asked ---- */

enum { BLOCK_MS = 4 }; /* two lanes, each visited twice, a sample a visit */

static double in_a_millisecond(int64_t i) {
    clock_ns += 1000000;
    return noisy(i);
}

/* B takes 3 % longer, and no time is ever as precise as asked. */
static void run_for(struct group *g, const struct fake_script *script,
                    enum kb_method method, int max_ms) {
    fake_open(&g->f, script);
    for (int i = 0; i < 2; i++) {
        g->jobs[i] = g->f.job;
        g->jobs[i].build = two[i];
        g->jobs[i].trusted_flags = true;
        g->jobs[i].methods = 1u << method;
        g->jobs[i].precision = 1e-9;
        g->jobs[i].max_time_s = max_ms / 1e3;
    }
    g->f.device.case_id = g->f.job.case_id;
    assert_true(
        kb_session_run_group(&g->f.session, g->jobs, 2, &g->f.arena, g->rows, &g->err));
    assert_string_equal(g->rows[1].times[method].stopped, "time");
}

static const struct fake_script slow_to_time = {
    .ns = in_a_millisecond, .slow_build = "other", .slower = 1.03};

static void what_is_measured_again_takes_what_is_left_of_the_time(void **state) {
    struct group g = {.n = 0};
    (void)state;
    run_for(&g, &slow_to_time, KB_GRAPH, 200);
    int first = (int)g.rows[0].times[KB_GRAPH].n_taken / 2;
    const struct kb_speed *speed = &g.rows[1].against->speeds[KB_GRAPH];
    assert_in_range(first * BLOCK_MS, 200, 200 + BLOCK_MS);
    assert_in_range(speed->n, KB_MIN_BLOCKS, 200 / BLOCK_MS);
    assert_int_equal(speed->verdict, KB_SLOWER);
    fake_free(&g.f);
}

static void where_too_little_is_left_it_is_unclear(void **state) {
    struct group g = {.n = 0};
    (void)state;
    run_for(&g, &slow_to_time, KB_GRAPH, 60);
    int first = (int)g.rows[0].times[KB_GRAPH].n_taken / 2;
    const struct kb_speed *speed = &g.rows[1].against->speeds[KB_GRAPH];
    assert_int_equal(first, KB_MIN_BLOCKS);
    assert_in_range((first + speed->n) * BLOCK_MS, 2 * 60, 2 * 60 + BLOCK_MS);
    assert_int_equal(speed->verdict, KB_UNCLEAR);
    fake_free(&g.f);
}

static void what_is_not_measured_again_has_all_of_the_time(void **state) {
    struct group g = {.n = 0};
    (void)state;
    run_for(&g, &slow_to_time, KB_COLD, 200);
    const struct kb_speed *speed = &g.rows[1].against->speeds[KB_COLD];
    assert_in_range(speed->n * BLOCK_MS, 2 * 200, 2 * 200 + BLOCK_MS);
    assert_int_equal(speed->verdict, KB_SLOWER);
    fake_free(&g.f);
}

/* Twenty blocks that all say the same have p 2e-6: less than 1 in 1000 runs over 100 rows,
 * but more than a sixteenth of it, since as often it may be looked at. */
static void a_verdict_makes_up_for_the_times_that_it_may_be_looked_for(void **state) {
    const struct fake_script script = {
        .ns = in_a_millisecond, .slow_build = "other", .slower = 1.2};
    (void)state;
    for (int blocks = 20; blocks <= 24; blocks += 4) {
        struct group g = {.n = 0};
        run_for(&g, &script, KB_COLD, 2 * blocks);
        const struct kb_speed *speed = &g.rows[1].against->speeds[KB_COLD];
        assert_in_range(speed->n, blocks, blocks + 1);
        assert_true(speed->p < 1e-5);
        assert_int_equal(speed->verdict, blocks < 24 ? KB_UNCLEAR : KB_SLOWER);
        fake_free(&g.f);
    }
}

static double constantly(int64_t i) {
    (void)i;
    return 1000;
}

static void a_ratio_is_no_better_known_than_the_timer_can_tell(void **state) {
    const struct fake_script script = {
        .ns = constantly, .slow_build = "none", .slower = 1, .tick_ns = 16};
    struct group g;
    (void)state;
    run_builds(&g, &script, two, 2);
    const struct kb_speed *speed = &g.rows[1].against->speeds[KB_GRAPH];
    assert_true(speed->low < 1 - 0.0075 && speed->high > 1 + 0.0075);
    assert_int_equal(speed->verdict, KB_SAME);
    fake_free(&g.f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_build_slower_by_3_percent_is_slower),
        cmocka_unit_test(a_faster_one_is_faster_though_clocks_change),
        cmocka_unit_test(equal_builds_are_the_same),
        cmocka_unit_test(they_are_timed_in_turns),
        cmocka_unit_test(a_limit_of_time_ends_it_with_the_reason),
        cmocka_unit_test(graphs_half_a_percent_apart_raise_no_alarm),
        cmocka_unit_test(a_doubtful_difference_is_measured_again_by_other_graphs),
        cmocka_unit_test(what_is_faster_is_doubted_like_what_is_slower),
        cmocka_unit_test(what_is_made_second_is_not_always_the_same),
        cmocka_unit_test(what_no_graph_makes_is_not_measured_again),
        cmocka_unit_test(what_launches_one_by_one_is_not_measured_again),
        cmocka_unit_test(what_is_measured_again_takes_what_is_left_of_the_time),
        cmocka_unit_test(where_too_little_is_left_it_is_unclear),
        cmocka_unit_test(what_is_not_measured_again_has_all_of_the_time),
        cmocka_unit_test(a_verdict_makes_up_for_the_times_that_it_may_be_looked_for),
        cmocka_unit_test(a_ratio_is_no_better_known_than_the_timer_can_tell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
