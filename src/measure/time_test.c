/* time_test.c - when sampling ends. */
#include "time_fixture.h"

static void constant_times_are_precise_after_the_fewest_samples(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant};
    struct fake f;
    run_script(&f, &script);
    const struct kb_time *t = graph_of(&f);
    assert_string_equal(t->stopped, "precision");
    assert_int_equal(t->quality, KB_Q_OK);
    /* 10 launches a sample: 10, 15, 22, 33, 49 samples take less than 0.5 ms */
    assert_int_equal(t->n, 730);
    assert_int_equal(t->n_taken, 73);
    assert_int_equal(t->throttled, 0);
    assert_null(t->why);
    assert_true(t->timer_ns == 18 && isnan(t->energy_uj));
    assert_true(t->median_ns == 1000 && t->low_ns == 1000 && t->high_ns == 1000);
    assert_true(t->min_ns == 1000 && isnan(t->p99_ns));
    assert_int_equal(t->sets, 7);
    assert_string_equal(t->cache, "rotated");
    assert_string_equal(t->throttle, "");
    assert_int_equal(t->sm_mhz_min, 1965);
    assert_int_equal(t->sm_mhz_max, 1980);
    fake_free(&f);
}

/* And the timed launches are held against it. */
static void a_case_that_is_run_once_is_timed(void **state) {
    (void)state;
    for (int wrong = 0; wrong < 2; wrong++) {
        const struct fake_script script = {.ns = constant, .timed_wrong = wrong};
        struct fake f;
        fake_open(&f, &script);
        f.job.one_run = true;
        assert_true(fake_go(&f));
        assert_int_equal(f.row.reason, wrong ? KB_R_TIMED_OUTPUT : KB_R_NONE);
        assert_int_equal(f.row.times[KB_GRAPH].there, !wrong);
        fake_free(&f);
    }
}

static void long_kernels_are_precise_after_the_fewest_samples(void **state) {
    (void)state;
    const struct fake_script script = {.ns = long_and_constant, .stream_ns = 9e4};
    struct fake f;
    run_script(&f, &script);
    assert_string_equal(graph_of(&f)->stopped, "precision");
    assert_int_equal(graph_of(&f)->n_taken, 10);
    fake_free(&f);
}

static void noise_is_sampled_until_the_interval_is_as_narrow_as_asked(void **state) {
    (void)state;
    const struct fake_script script = {.ns = noisy_by_5_percent};
    const double asked[] = {0.01, 0.004};
    int64_t before = 0;
    for (size_t i = 0; i < KB_COUNT(asked); i++) {
        struct fake f;
        fake_open(&f, &script);
        f.job.precision = asked[i];
        assert_true(fake_go(&f));
        const struct kb_time *t = graph_of(&f);
        assert_string_equal(t->stopped, "precision");
        assert_int_equal(t->quality, KB_Q_OK);
        assert_true((t->high_ns - t->low_ns) / 2 <= asked[i] * t->median_ns);
        assert_true(t->low_ns <= 1000 && 1000 <= t->high_ns);
        assert_true(t->n > before);
        before = t->n;
        fake_free(&f);
    }
}

static void precision_by_default_is_tighter_for_long_kernels(void **state) {
    (void)state;
    const struct fake_script script = {.ns = noisy_by_5_percent};
    struct fake f;
    run_script(&f, &script);
    const struct kb_time *t = graph_of(&f);
    double half = (t->high_ns - t->low_ns) / 2 / t->median_ns;
    assert_true(half <= 0.01 && half > 0.005);
    fake_free(&f);
}

static void much_noise_ends_with_the_samples_and_says_so(void **state) {
    (void)state;
    const struct fake_script script = {.ns = noisy_by_half};
    struct fake f;
    fake_open(&f, &script);
    f.job.precision = 0.001;
    assert_true(fake_go(&f));
    const struct kb_time *t = graph_of(&f);
    assert_string_equal(t->stopped, "samples");
    assert_int_equal(t->quality, KB_Q_NOISY);
    assert_int_equal(t->n, 40960);
    assert_true(t->p99_ns > 1400 && t->p99_ns < 1500);
    assert_int_equal(t->n_samples, KB_BLOCK_MEDIANS);
    fake_free(&f);
}

static void the_hosts_time_is_not_sampled_for_long(void **state) {
    (void)state;
    const struct fake_script script = {.ns = noisy_by_half};
    struct fake f;
    fake_open(&f, &script);
    f.job.precision = 0.001;
    f.job.methods = 1u << KB_LAUNCH;
    assert_true(fake_go(&f));
    assert_passed(&f);
    assert_int_equal(f.row.times[KB_LAUNCH].n_taken, 512);
    assert_string_equal(f.row.times[KB_LAUNCH].stopped, "samples");
    fake_free(&f);
}

static void no_time_left_ends_sampling_and_says_so(void **state) {
    (void)state;
    const struct fake_script script = {.ns = noisy_by_half};
    struct fake f;
    fake_open(&f, &script);
    f.job.precision = 0.001;
    f.job.max_time_s = 1e-9;
    assert_true(fake_go(&f));
    const struct kb_time *t = graph_of(&f);
    assert_string_equal(t->stopped, "time");
    assert_int_equal(t->quality, KB_Q_NOISY);
    assert_int_equal(t->n, 80);
    assert_true(t->low_ns < t->median_ns && t->median_ns < t->high_ns);
    fake_free(&f);
}

static void a_drift_is_no_precision(void **state) {
    (void)state;
    const struct fake_script script = {.ns = rising};
    struct fake f;
    run_script(&f, &script);
    const struct kb_time *t = graph_of(&f);
    assert_string_equal(t->stopped, "samples");
    assert_int_equal(t->quality, KB_Q_NOISY);
    /* The block medians show it: 64 samples a block, each block twice the one before. */
    int doubled = 0;
    for (int i = 1; i < t->n_samples; i++)
        doubled += t->samples_ns[i] > 1.9 * t->samples_ns[i - 1];
    assert_true(doubled >= KB_BLOCK_MEDIANS - 3);
    fake_free(&f);
}

/* By 1.2 % after the first samples that count; 16 are for warming up. */
static double a_step_down(int64_t i) {
    return 1e5 * (i < 22 ? 1.006 : 0.994);
}

/* The first half and the second are further apart than the interval may be wide. */
static void a_step_is_sampled_past(void **state) {
    (void)state;
    const struct fake_script script = {.ns = a_step_down};
    struct fake f;
    fake_open(&f, &script);
    f.job.precision = 0.01;
    assert_true(fake_go(&f));
    const struct kb_time *t = graph_of(&f);
    assert_string_equal(t->stopped, "precision");
    assert_int_equal(t->n_taken, 33); /* then the high ones are few in both halves */
    fake_free(&f);
}

static void a_slow_start_is_left_behind(void **state) {
    (void)state;
    const struct fake_script script = {.ns = slow_at_first};
    struct fake f;
    run_script(&f, &script);
    const struct kb_time *t = graph_of(&f);
    assert_string_equal(t->stopped, "precision");
    assert_true(t->median_ns == 1000 && t->high_ns == 1000);
    fake_free(&f);
}

static void no_interval_is_narrower_than_the_tick(void **state) {
    (void)state;
    const struct fake_script fine = {.ns = constant, .tick_ns = 10};
    const struct fake_script coarse = {.ns = constant, .tick_ns = 100};
    struct fake f;
    run_script(&f, &fine);
    assert_string_equal(graph_of(&f)->stopped, "precision");
    assert_true(graph_of(&f)->low_ns == 995 && graph_of(&f)->high_ns == 1005);
    fake_free(&f);
    run_script(&f, &coarse);
    const struct kb_time *t = graph_of(&f);
    assert_string_equal(t->stopped, "tick");
    assert_int_equal(t->quality, KB_Q_NOISY);
    assert_true(t->low_ns == 950 && t->high_ns == 1050);
    assert_int_equal(t->n_taken, 73); /* no more than it takes */
    fake_free(&f);
}

static void block_medians_are_all_samples_where_there_are_few(void **state) {
    (void)state;
    const struct fake_script script = {.ns = noisy_by_5_percent};
    struct fake f;
    fake_open(&f, &script);
    f.job.max_time_s = 1e-9;
    f.job.precision = 1e-6;
    assert_true(fake_go(&f));
    const struct kb_time *t = graph_of(&f);
    assert_int_equal(t->n_samples, 8);
    int64_t first = f.device.samples - 8;
    for (int i = 0; i < 8; i++)
        assert_true(t->samples_ns[i] == noisy_by_5_percent(first + i));
    fake_free(&f);
}

static void a_device_that_was_just_busy_is_not_warmed_up_again(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant};
    struct fake f;
    run_script(&f, &script);
    assert_int_equal(f.device.samples, 8 + 8 + 73);
    assert_true(fake_go(&f));
    assert_int_equal(f.device.samples, 8 + 8 + 73 + 2 + 73);
    f.session.busy_ns -= INT64_C(2000000000);
    assert_true(fake_go(&f));
    assert_int_equal(f.device.samples, 2 * (8 + 8 + 73) + 2 + 73);
    fake_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constant_times_are_precise_after_the_fewest_samples),
        cmocka_unit_test(a_case_that_is_run_once_is_timed),
        cmocka_unit_test(long_kernels_are_precise_after_the_fewest_samples),
        cmocka_unit_test(noise_is_sampled_until_the_interval_is_as_narrow_as_asked),
        cmocka_unit_test(precision_by_default_is_tighter_for_long_kernels),
        cmocka_unit_test(much_noise_ends_with_the_samples_and_says_so),
        cmocka_unit_test(the_hosts_time_is_not_sampled_for_long),
        cmocka_unit_test(no_time_left_ends_sampling_and_says_so),
        cmocka_unit_test(a_drift_is_no_precision),
        cmocka_unit_test(a_step_is_sampled_past),
        cmocka_unit_test(a_slow_start_is_left_behind),
        cmocka_unit_test(no_interval_is_narrower_than_the_tick),
        cmocka_unit_test(block_medians_are_all_samples_where_there_are_few),
        cmocka_unit_test(a_device_that_was_just_busy_is_not_warmed_up_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
