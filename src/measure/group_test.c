/* group_test.c - builds side by side on a device whose timer gives what a script says: who
 * is timed, in turns, and what is said of the difference. */
#include "fake.h"
#include "group.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* By 1 %, another for each sample of a timer. */
static double noisy(int64_t i) {
    uint32_t r[4];

    kb_philox(11, 0, (uint64_t)i, r);
    return 1000 * (1 + 0.01 * (r[0] / 2147483648.0 - 1));
}

static double in_two_modes(int64_t i) {
    return i / 50 % 2 ? noisy(i) * 1.05 : noisy(i);
}

enum { MOST = 3 };

struct group {
    struct fake f;
    struct kb_job jobs[MOST];
    struct kb_row rows[MOST];
    int n;
    struct kb_err err;
};

static void run_builds(struct group *g, const struct fake_script *script,
                       const char *const *builds, int n) {
    fake_open(&g->f, script);
    g->n = n;
    g->err = (struct kb_err){0};
    for (int i = 0; i < n; i++) {
        g->jobs[i] = g->f.job;
        g->jobs[i].build = builds[i];
        g->jobs[i].trusted_flags = true;
        g->jobs[i].methods = 1u << KB_GRAPH | 1u << KB_COLD;
    }
    g->f.device.case_id = g->f.job.case_id;
    bool ok =
        kb_session_run_group(&g->f.session, g->jobs, n, &g->f.arena, g->rows, &g->err);
    assert_true(ok == !g->f.session.dead);
    assert_int_equal(g->f.device.timers_open, 0);
}

static const char *const two[] = {"precise", "other=-DOTHER=1"};

static void assert_speed(const struct group *g, int i, enum kb_speed_verdict verdict,
                         double ratio) {
    const struct kb_speed *s = &g->rows[i].against->speeds[KB_GRAPH];

    assert_true(s->there);
    if (s->verdict != verdict || !(fabs(s->ratio / ratio - 1) < 0.003))
        fail_msg("%s by %g, p %g", kb_speed_word(s->verdict), s->ratio, s->p);
    assert_true(s->low <= s->ratio && s->ratio <= s->high);
}

/* ---- tests ----------------------------------------------------------------------------
 */

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

static void builds_that_are_run_once_are_held_against_each_other(void **state) {
    const struct fake_script script = {.ns = noisy, .slow_build = "none", .slower = 1};
    struct group g;
    (void)state;
    fake_open(&g.f, &script);
    for (int i = 0; i < 2; i++) {
        g.jobs[i] = g.f.job;
        g.jobs[i].build = two[i];
        g.jobs[i].trusted_flags = true;
        g.jobs[i].one_run = true;
    }
    g.f.device.case_id = g.f.job.case_id;
    assert_true(kb_session_run_group(&g.f.session, g.jobs, 2, &g.f.arena, g.rows, &g.err));
    assert_int_equal(g.rows[0].orders, 0);
    assert_int_equal(g.rows[1].reason, KB_R_NONE);
    assert_int_equal(g.rows[1].against->differing, 0);
    assert_speed(&g, 1, KB_SAME, 1);
    fake_free(&g.f);
}

static void each_is_held_against_the_first(void **state) {
    static const char *const three[] = {"precise", "slow=-DSLOW=1", "other=-DOTHER=1"};
    const struct fake_script script = {.ns = noisy, .slow_build = "slow", .slower = 1.2};
    struct group g;
    (void)state;
    run_builds(&g, &script, three, 3);
    assert_speed(&g, 1, KB_SLOWER, 1.2);
    assert_speed(&g, 2, KB_SAME, 1);
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
        fake_open(&g.f, &script);
        for (int k = 0; k < 2; k++) {
            g.jobs[k] = g.f.job;
            g.jobs[k].build = two[k];
            g.jobs[k].trusted_flags = true;
            g.jobs[k].one_run = true;
        }
        g.f.device.case_id = g.f.job.case_id;
        assert_true(
            kb_session_run_group(&g.f.session, g.jobs, 2, &g.f.arena, g.rows, &g.err));
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

static void they_are_timed_in_turns(void **state) {
    const struct fake_script script = {.ns = noisy, .slow_build = "none", .slower = 1};
    struct group g;
    (void)state;
    run_builds(&g, &script, two, 2);
    /* In each block from A to B and back, or the other way round. */
    assert_true(g.f.device.turns >= 2 * 2 * (int)g.rows[1].against->speeds[KB_GRAPH].n);
    fake_free(&g.f);
}

/* The fake's hash is of the last flag: precise has -std=c++17. */
static void same_machine_code_is_identical(void **state) {
    static const char *const same[] = {"precise", "same=-std=c++17"};
    const struct fake_script script = {.ns = noisy, .slow_build = "none", .slower = 1};
    struct group g;
    (void)state;
    run_builds(&g, &script, same, 2);
    assert_int_equal(g.rows[1].against->same_code, 1);
    assert_speed(&g, 1, KB_IDENTICAL, 1);
    fake_free(&g.f);
}

static void code_without_a_hash_is_not_known_to_be_the_same(void **state) {
    const struct fake_script script = {.ns = noisy};
    struct group g;
    (void)state;
    run_builds(&g, &script, two, 2);
    assert_int_equal(g.rows[1].against->same_code, -1);
    fake_free(&g.f);
}

static void a_wrong_build_is_not_timed_and_its_bits_are_counted(void **state) {
    const struct fake_script script = {.ns = noisy, .wrong_build = "other"};
    struct group g;
    (void)state;
    run_builds(&g, &script, two, 2);
    assert_int_equal(g.rows[0].reason, KB_R_NONE);
    assert_int_equal(g.rows[1].reason, KB_R_MISMATCH);
    assert_true(g.rows[0].times[KB_GRAPH].there);
    assert_false(g.rows[1].times[KB_GRAPH].there);
    assert_int_equal(g.rows[1].against->elements, 83 * 32);
    assert_int_equal(g.rows[1].against->differing, 1);
    assert_false(g.rows[1].against->speeds[KB_GRAPH].there);
    fake_free(&g.f);
}

static void where_the_first_is_wrong_there_is_no_ratio(void **state) {
    static const char *const turned[] = {"other=-DOTHER=1", "precise"};
    const struct fake_script script = {.ns = noisy, .wrong_build = "other"};
    struct group g;
    (void)state;
    run_builds(&g, &script, turned, 2);
    assert_int_equal(g.rows[0].reason, KB_R_MISMATCH);
    assert_true(g.rows[1].times[KB_GRAPH].there);
    assert_false(g.rows[1].against->speeds[KB_GRAPH].there);
    fake_free(&g.f);
}

static void equal_bits_are_no_difference(void **state) {
    const struct fake_script script = {.ns = noisy};
    struct group g;
    (void)state;
    run_builds(&g, &script, two, 2);
    assert_int_equal(g.rows[1].against->elements, 83 * 32);
    assert_int_equal(g.rows[1].against->differing, 0);
    fake_free(&g.f);
}

static void other_bits_from_timed_launches_take_the_times_away(void **state) {
    const struct fake_script script = {.ns = noisy, .timed_wrong = true};
    struct group g;
    (void)state;
    run_builds(&g, &script, two, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(g.rows[i].reason, KB_R_TIMED_OUTPUT);
        assert_false(g.rows[i].times[KB_GRAPH].there || g.rows[i].times[KB_COLD].there);
    }
    assert_false(g.rows[1].against->speeds[KB_GRAPH].there);
    fake_free(&g.f);
}

static void a_method_that_cannot_be_had_is_a_warning(void **state) {
    const struct fake_script script = {
        .ns = noisy, .open_err = KB_UNSUPPORTED, .open_err_method = KB_COLD};
    struct group g;
    (void)state;
    run_builds(&g, &script, two, 2);
    for (int i = 0; i < 2; i++) {
        assert_true(g.rows[i].times[KB_GRAPH].there);
        assert_false(g.rows[i].times[KB_COLD].there);
        assert_non_null(strstr(g.rows[i].warning, "not timed by cold"));
    }
    fake_free(&g.f);
}

static void a_lost_device_ends_the_worker(void **state) {
    const struct fake_script script = {.ns = noisy, .fail_at = 30};
    struct group g;
    (void)state;
    run_builds(&g, &script, two, 2);
    assert_true(g.f.session.dead);
    assert_string_equal(g.err.msg, "not timed by graph: the fake device is lost");
    fake_free(&g.f);
}

/* Those that are run again, one by one, would be in the file twice. */
static void samples_are_kept_of_a_group_that_lived_to_its_end(void **state) {
    static const struct fake_script scripts[] = {
        {.ns = noisy},
        {.ns = noisy, .open_err = KB_DEVICE, .open_err_method = KB_COLD},
    };
    struct kb_temp temp;
    struct kb_err err = {0};
    (void)state;
    assert_true(kb_temp_make(&temp, &err));
    for (size_t k = 0; k < KB_COUNT(scripts); k++) {
        struct group g;
        struct kb_buf text = {0};
        fake_open(&g.f, &scripts[k]);
        const char *path = kb_arena_printf(&g.f.arena, "%s/s.csv", temp.path);
        g.f.job.samples = path;
        assert_true(kb_samples_begin(path, &err));
        for (int i = 0; i < 2; i++) {
            g.jobs[i] = g.f.job;
            g.jobs[i].build = two[i];
            g.jobs[i].trusted_flags = true;
            g.jobs[i].methods = 1u << KB_GRAPH | 1u << KB_COLD;
        }
        g.f.device.case_id = g.f.job.case_id;
        bool ok = kb_session_run_group(&g.f.session, g.jobs, 2, &g.f.arena, g.rows, &err);
        assert_true(ok == (k == 0));
        err = (struct kb_err){0};
        assert_true(kb_file_read(path, 1 << 24, &text, &err));
        assert_true(kb_starts_with(text.data, "case,device,"));
        assert_true(!strstr(text.data, ",graph,") == !ok);
        assert_true(!strstr(text.data, ",other,") == !ok);
        kb_buf_free(&text);
        fake_free(&g.f);
    }
    kb_temp_free(&temp);
}

static void one_lost_under_a_check_is_told_too(void **state) {
    const struct fake_script script = {.ns = noisy, .run_err = KB_DEVICE};
    struct group g;
    (void)state;
    run_builds(&g, &script, two, 2);
    assert_true(g.f.session.dead);
    assert_non_null(strstr(g.err.msg, "fake"));
    fake_free(&g.f);
}

static void a_limit_of_time_ends_it_with_the_reason(void **state) {
    const struct fake_script script = {.ns = in_two_modes};
    struct group g = {.n = 0};
    (void)state;
    fake_open(&g.f, &script);
    for (int i = 0; i < 2; i++) {
        g.jobs[i] = g.f.job;
        g.jobs[i].precision = 1e-9;
        g.jobs[i].max_time_s = 1e-9;
    }
    g.f.device.case_id = g.f.job.case_id;
    assert_true(kb_session_run_group(&g.f.session, g.jobs, 2, &g.f.arena, g.rows, &g.err));
    assert_string_equal(g.rows[0].times[KB_GRAPH].stopped, "time");
    assert_int_equal(g.rows[0].times[KB_GRAPH].quality, KB_Q_NOISY);
    /* One block is too few for an interval, so equal builds are not known to be equal. */
    assert_int_equal(g.rows[1].against->speeds[KB_GRAPH].n, 1);
    assert_int_equal(g.rows[1].against->speeds[KB_GRAPH].verdict, KB_UNCLEAR);
    fake_free(&g.f);
}

static void check_times_nothing(void **state) {
    const struct fake_script script = {.ns = noisy};
    struct group g;
    (void)state;
    fake_open(&g.f, &script);
    for (int i = 0; i < 2; i++) {
        g.jobs[i] = g.f.job;
        g.jobs[i].mode = KB_CHECK;
    }
    g.f.device.case_id = g.f.job.case_id;
    assert_true(kb_session_run_group(&g.f.session, g.jobs, 2, &g.f.arena, g.rows, &g.err));
    assert_int_equal(g.f.device.timers_opened, 0);
    assert_int_equal(g.rows[1].against->differing, 0);
    assert_false(g.rows[1].against->speeds[KB_GRAPH].there);
    fake_free(&g.f);
}

static void rows_have_their_occupancy_alone_and_side_by_side(void **state) {
    const struct fake_script script = {.ns = noisy};
    struct group g;
    (void)state;
    for (int n = 1; n <= 2; n++) {
        run_builds(&g, &script, two, n);
        for (int i = 0; i < n; i++)
            assert_int_equal(g.rows[i].occupancy.blocks_per_sm, 2);
        kb_session_run(&g.f.session, &g.jobs[0], &g.f.arena, &g.rows[0]);
        assert_int_equal(g.rows[0].occupancy.blocks_per_sm, 2);
        fake_free(&g.f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_build_slower_by_3_percent_is_slower),
        cmocka_unit_test(a_faster_one_is_faster_though_clocks_change),
        cmocka_unit_test(equal_builds_are_the_same),
        cmocka_unit_test(builds_that_are_run_once_are_held_against_each_other),
        cmocka_unit_test(each_is_held_against_the_first),
        cmocka_unit_test(graphs_half_a_percent_apart_raise_no_alarm),
        cmocka_unit_test(a_doubtful_difference_is_measured_again_by_other_graphs),
        cmocka_unit_test(what_is_made_second_is_not_always_the_same),
        cmocka_unit_test(what_no_graph_makes_is_not_measured_again),
        cmocka_unit_test(what_launches_one_by_one_is_not_measured_again),
        cmocka_unit_test(they_are_timed_in_turns),
        cmocka_unit_test(same_machine_code_is_identical),
        cmocka_unit_test(code_without_a_hash_is_not_known_to_be_the_same),
        cmocka_unit_test(a_wrong_build_is_not_timed_and_its_bits_are_counted),
        cmocka_unit_test(where_the_first_is_wrong_there_is_no_ratio),
        cmocka_unit_test(equal_bits_are_no_difference),
        cmocka_unit_test(other_bits_from_timed_launches_take_the_times_away),
        cmocka_unit_test(a_method_that_cannot_be_had_is_a_warning),
        cmocka_unit_test(a_lost_device_ends_the_worker),
        cmocka_unit_test(samples_are_kept_of_a_group_that_lived_to_its_end),
        cmocka_unit_test(one_lost_under_a_check_is_told_too),
        cmocka_unit_test(a_limit_of_time_ends_it_with_the_reason),
        cmocka_unit_test(check_times_nothing),
        cmocka_unit_test(rows_have_their_occupancy_alone_and_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
