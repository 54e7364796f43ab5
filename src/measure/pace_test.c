#include "group_fixture.h"
#include "time_fixture.h"

static void the_gpu_is_busy_for_no_more_than_its_share(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .busy_ns = 50000};
    const double duties[] = {0.5, 0.2};
    for (size_t i = 0; i < KB_COUNT(duties); i++) {
        struct fake f;
        fake_open(&f, &script);
        f.job.duty = duties[i];
        f.job.max_time_s = 1e-9;
        assert_true(fake_go(&f));
        assert_true(graph_of(&f)->duty == duties[i]);
        double wall = (double)(f.device.last_at_ns - f.device.first_at_ns);
        assert_true((double)f.device.busy_ns <= duties[i] * wall);
        fake_free(&f);
    }
}

static void without_a_duty_there_is_no_pause_and_nothing_said(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant};
    struct fake f;
    run_script(&f, &script);
    assert_true(graph_of(&f)->duty == 0);
    assert_null(graph_of(&f)->why);
    assert_true(f.device.most >= 8);
    fake_free(&f);
}

static void nothing_keeps_the_gpu_busy_for_long_without_a_pause(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .busy_ns = 900000};
    struct fake f;
    fake_open(&f, &script);
    f.job.duty = 0.5;
    f.job.max_time_s = 0.05;
    assert_true(fake_go(&f));
    assert_true(f.device.most > 1 &&
                f.device.most <= 1 + 4); /* 4 ms of them, and the first */
    fake_free(&f);
}

/* The first sample after a pause is another one than those behind it. */
static void a_sample_behind_a_pause_is_none(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .first_ns = 1500};
    struct fake f;
    fake_open(&f, &script);
    f.job.duty = 0.5;
    assert_true(fake_go(&f));
    const struct kb_time *t = graph_of(&f);
    assert_true(t->min_ns == 1000 && t->high_ns == 1000 && t->median_ns == 1000);
    for (int i = 0; i < t->n_samples; i++)
        assert_true(t->samples_ns[i] == 1000);
    fake_free(&f);
    fake_open(&f, &script); /* where there is none, all count */
    assert_true(fake_go(&f));
    assert_true(graph_of(&f)->samples_ns[0] == 1500);
    fake_free(&f);
}

static void a_long_sample_counts_behind_a_pause_too(void **state) {
    (void)state;
    const struct fake_script script = {
        .ns = constant, .first_ns = 1500, .busy_ns = 5000000};
    struct fake f;
    fake_open(&f, &script);
    f.job.duty = 0.9;
    f.job.max_time_s = 1e-9;
    assert_true(fake_go(&f));
    assert_int_equal(f.device.most, 2); /* before it was known how long one takes: 1 + 1 */
    assert_true(graph_of(&f)->median_ns == 1500);
    fake_free(&f);
}

static void clocks_that_were_held_back_before_are_waited_for(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .throttle = 4, .throttled_looks = 5};
    struct fake f;
    fake_open(&f, &script);
    f.job.duty = 0.5;
    assert_true(fake_go(&f));
    assert_int_equal(graph_of(&f)->quality, KB_Q_OK);
    assert_string_equal(graph_of(&f)->throttle, "");
    assert_int_equal(graph_of(&f)->throttled, 0);
    assert_string_equal(graph_of(&f)->why, "busy for at most 50 % of the time");
    fake_free(&f);
    run_script(&f, &script); /* but not without a duty */
    assert_int_equal(graph_of(&f)->quality, KB_Q_THROTTLED);
    fake_free(&f);
}

static void clocks_that_are_never_let_go_throttle_a_time_of_pauses_too(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .throttle = 4};
    struct fake f;
    fake_open(&f, &script);
    f.job.duty = 0.5;
    assert_true(fake_go(&f));
    const struct kb_time *t = graph_of(&f);
    assert_int_equal(t->quality, KB_Q_THROTTLED);
    assert_int_equal(t->throttled, t->n_taken);
    assert_non_null(strstr(t->why, "samples, which count; busy for at most 50 %"));
    fake_free(&f);
}

static void the_hosts_time_has_no_pauses(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .first_ns = 1500};
    struct fake f;
    fake_open(&f, &script);
    f.job.duty = 0.5;
    f.job.methods = 1u << KB_LAUNCH;
    assert_true(fake_go(&f));
    assert_true(f.row.times[KB_LAUNCH].duty == 0);
    assert_true(f.row.times[KB_LAUNCH].samples_ns[0] == 1500);
    fake_free(&f);
}

/* By the same pauses, or it is a ceiling of something else. */
static void a_ceiling_has_the_pauses_of_what_it_is_held_against(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .stream_ns = 500};
    struct fake f;
    fake_open(&f, &script);
    for (int i = 0; i < 3; i++) {
        f.job.duty = i < 2 ? 0.5 : 0;
        assert_true(fake_go(&f));
        assert_passed(&f);
        assert_true(f.row.times[KB_GRAPH].ceiling_ns == 500);
        assert_int_equal(f.device.streams_timed, i < 2 ? 1 : 2);
    }
    fake_free(&f);
}

static void builds_side_by_side_have_the_same_pauses(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant,
                                       .busy_ns = 20000,
                                       .first_ns = 1500,
                                       .throttle = 4,
                                       .throttled_looks = 5};
    const char *builds[] = {"precise", "fast-math"};
    struct group g;
    make_group(&g, &script, builds, 2);
    for (int i = 0; i < 2; i++)
        g.jobs[i].duty = 0.5;
    run_group(&g);
    for (int i = 0; i < 2; i++) {
        const struct kb_time *t = &g.rows[i].times[KB_GRAPH];
        assert_true(t->there && t->duty == 0.5);
        assert_true(t->median_ns == 1000 && t->min_ns == 1000);
        assert_int_equal(t->throttled, 0);
    }
    double wall = (double)(g.f.device.last_at_ns - g.f.device.first_at_ns);
    assert_true((double)g.f.device.busy_ns <= 0.5 * wall);
    fake_free(&g.f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gpu_is_busy_for_no_more_than_its_share),
        cmocka_unit_test(without_a_duty_there_is_no_pause_and_nothing_said),
        cmocka_unit_test(nothing_keeps_the_gpu_busy_for_long_without_a_pause),
        cmocka_unit_test(a_sample_behind_a_pause_is_none),
        cmocka_unit_test(a_long_sample_counts_behind_a_pause_too),
        cmocka_unit_test(clocks_that_were_held_back_before_are_waited_for),
        cmocka_unit_test(clocks_that_are_never_let_go_throttle_a_time_of_pauses_too),
        cmocka_unit_test(the_hosts_time_has_no_pauses),
        cmocka_unit_test(a_ceiling_has_the_pauses_of_what_it_is_held_against),
        cmocka_unit_test(builds_side_by_side_have_the_same_pauses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
