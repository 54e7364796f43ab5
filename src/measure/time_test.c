/* time_test.c - when sampling ends and what a time is worth, on a device whose timer gives
 * what a script says. */
#include "fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- scripts ----------------------------------------------------------------------- */

static double constant(int64_t i) {
    (void)i;
    return 1000;
}

/* Uniform in [-1, 1), the same for the same i. */
static double dice(int64_t i) {
    uint32_t r[4];

    kb_philox(11, 0, (uint64_t)i, r);
    return r[0] / 2147483648.0 - 1;
}

static double noisy_by_5_percent(int64_t i) {
    return 1000 * (1 + 0.05 * dice(i));
}

static double long_and_constant(int64_t i) {
    (void)i;
    return 1e5;
}

static double noisy_by_half(int64_t i) {
    return 1000 * (1 + 0.5 * dice(i));
}

/* By 1.1 % from sample to sample, over and over: warming up takes any number of them. */
static double rising(int64_t i) {
    return 1000 * exp2((double)(i % 8192) / 64);
}

/* Half as fast until the clocks have risen. */
static double slow_at_first(int64_t i) {
    return i < 20 ? 2000 : 1000;
}

static double not_a_time(int64_t i) {
    return i == 20 ? NAN : 1000;
}

static double no_time_at_all(int64_t i) {
    return i == 20 ? 0 : 1000;
}

static void run_script(struct fake *f, const struct fake_script *script) {
    fake_open(f, script);
    assert_true(fake_go(f));
}

static void assert_passed(const struct fake *f) {
    if (f->row.reason != KB_R_NONE)
        fail_msg("%s: %s", kb_reason_word(f->row.reason), f->row.text);
}

static const struct kb_time *graph_of(const struct fake *f) {
    assert_passed(f);
    assert_true(f->row.times[KB_GRAPH].there);
    return &f->row.times[KB_GRAPH];
}

/* ---- when sampling ends ------------------------------------------------------------ */

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

/* ---- what a time is worth ---------------------------------------------------------- */

static void ceiling_is_the_stream_kernels_time_over_this(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .stream_ns = 900};
    struct fake f;
    run_script(&f, &script);
    const struct kb_time *t = graph_of(&f);
    assert_true(t->ceiling_ns == 900 && t->ceiling == 0.9);
    assert_true(t->gb_per_s == 83 * 96 * 2 / 1000.0);
    assert_int_equal(t->quality, KB_Q_OK);
    /* Once per run: the same bytes are not streamed again. */
    assert_int_equal(f.device.streams_timed, 1);
    assert_true(fake_go(&f));
    assert_int_equal(f.device.streams_timed, 1);
    f.job.case_id = "silu/83x64/fp16"; /* other elements, the same bits to move */
    assert_true(fake_go(&f));
    assert_int_equal(f.device.streams_timed, 1);
    f.job.case_id = "silu/83x64/fp32";
    assert_true(fake_go(&f));
    assert_int_equal(f.device.streams_timed, 2);
    f.job.case_id = "silu/84x64/bf16";
    assert_true(fake_go(&f));
    assert_int_equal(f.device.streams_timed, 3);
    fake_free(&f);
}

static void
ceiling_of_matrix_work_is_what_tensor_cores_take_for_as_many_flops(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .stream_ns = 500};
    const struct fake_script slower = {.ns = constant, .stream_ns = 1e12};
    struct fake f;
    fake_open(&f, &script);
    f.job.case_id = "mla_prefill/4x8x1/bf16";
    assert_true(fake_go(&f));
    const struct kb_time *t = graph_of(&f);
    double flops = (double)f.row.flops;
    double of_mma = 2.0 * 128 * 256 * 16 * 1024 * (double)f.device.info.limits.sm_count;
    assert_string_equal(t->ceiling_op, "mma");
    assert_true(fabs(t->ceiling_ns / (500 * flops / of_mma) - 1) < 1e-12);
    assert_int_equal(t->quality, KB_Q_OK);
    assert_string_equal(f.row.limited_by, "compute");
    fake_free(&f);
    fake_open(&f, &slower);
    f.job.case_id = "mla_prefill/4x8x1/bf16";
    assert_true(fake_go(&f));
    assert_int_equal(graph_of(&f)->quality, KB_Q_SUSPECT);
    assert_non_null(strstr(graph_of(&f)->why, "faster than tensor cores"));
    fake_free(&f);
}

static void what_is_a_ceiling_itself_has_none(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant};
    struct fake f;
    fake_open(&f, &script);
    f.job.case_id = "silu/32x512/bf16/filter=ids/skip=1"; /* no row is computed */
    assert_true(fake_go(&f));
    assert_true(graph_of(&f)->there && isnan(graph_of(&f)->ceiling_ns));
    assert_null(graph_of(&f)->ceiling_op);
    assert_int_equal(graph_of(&f)->quality, KB_Q_OK);
    fake_free(&f);
}

static void faster_than_the_stream_kernel_is_suspect_past_the_cache(void **state) {
    (void)state;
    const struct fake_script faster = {.ns = constant, .stream_ns = 1051};
    const struct fake_script as_fast = {.ns = constant, .stream_ns = 1050};
    const struct fake_script cached = {
        .ns = constant, .stream_ns = 1500, .footprint_bytes = 1 << 19};
    struct fake f;
    run_script(&f, &faster);
    assert_int_equal(graph_of(&f)->quality, KB_Q_SUSPECT);
    assert_string_equal(graph_of(&f)->why, "faster than a kernel that only moves its bytes "
                                           "(1.05 us): were they cold?");
    fake_free(&f);
    run_script(&f, &as_fast);
    assert_int_equal(graph_of(&f)->quality, KB_Q_OK);
    assert_null(graph_of(&f)->why);
    fake_free(&f);
    run_script(&f, &cached);
    assert_int_equal(graph_of(&f)->quality, KB_Q_OK);
    fake_free(&f);
}

/* A flush makes cold what is small, too. */
static void
cold_that_is_faster_than_the_stream_kernel_is_suspect_at_any_size(void **state) {
    (void)state;
    const struct fake_script script = {
        .ns = constant, .hot_ns = 950, .stream_ns = 1051, .footprint_bytes = 1 << 12};
    struct fake f;
    fake_open(&f, &script);
    f.job.methods = 1u << KB_COLD | 1u << KB_HOT;
    assert_true(fake_go(&f));
    assert_passed(&f);
    assert_int_equal(f.row.times[KB_COLD].quality, KB_Q_SUSPECT);
    assert_true(
        kb_starts_with(f.row.times[KB_COLD].why, "faster than a kernel that only "));
    assert_int_equal(f.row.times[KB_HOT].quality, KB_Q_OK);
    fake_free(&f);
}

static void cold_that_is_no_slower_than_hot_is_suspect_where_the_l2_holds_it(void **state) {
    (void)state;
    const struct {
        double stream_ns, hot_ns;
        int64_t footprint;
        enum kb_quality quality;
    } cases[] = {
        {900, 1000, 1 << 18, KB_Q_SUSPECT}, /* a quarter of the L2 */
        {900, 950, 1 << 18, KB_Q_OK},
        {900, 1000, (1 << 18) + 1, KB_Q_OK},
        {499, 1000, 1 << 18, KB_Q_OK}, /* it computes more than it moves */
    };
    for (size_t i = 0; i < KB_COUNT(cases); i++) {
        const struct fake_script script = {
            .ns = constant,
            .hot_ns = cases[i].hot_ns,
            .stream_ns = cases[i].stream_ns,
            .footprint_bytes = cases[i].footprint,
        };
        struct fake f;
        fake_open(&f, &script);
        f.job.methods |= 1u << KB_COLD | 1u << KB_HOT;
        assert_true(fake_go(&f));
        assert_passed(&f);
        assert_int_equal(f.row.times[KB_COLD].quality, cases[i].quality);
        assert_int_equal(graph_of(&f)->quality, KB_Q_OK);
        assert_int_equal(f.row.times[KB_HOT].quality, KB_Q_OK);
        if (cases[i].quality != KB_Q_OK)
            assert_non_null(strstr(f.row.times[KB_COLD].why, "no slower than hot"));
        fake_free(&f);
    }
}

/* Tensor cores do not care where so few bytes come from. */
static void matrix_work_may_be_as_fast_cold_as_hot(void **state) {
    (void)state;
    struct fake_script script = {.ns = constant, .stream_ns = 500, .set_bytes = 1 << 12};
    struct fake f;
    for (int again = 0; again < 2; again++) { /* once to learn what 500 ns come to */
        fake_open(&f, &script);
        f.job.case_id = "mla_prefill/4x8x1/bf16";
        f.job.methods |= 1u << KB_COLD | 1u << KB_HOT;
        assert_true(fake_go(&f));
        assert_passed(&f);
        if (again)
            assert_true(fabs(graph_of(&f)->ceiling - 0.9) < 1e-6);
        script.stream_ns = 500 * 0.9 / graph_of(&f)->ceiling;
        assert_int_equal(graph_of(&f)->quality, KB_Q_OK);
        assert_int_equal(f.row.times[KB_COLD].quality, KB_Q_OK);
        fake_free(&f);
    }
}

static void rotation_that_is_no_slower_than_hot_is_suspect_past_the_l2(void **state) {
    (void)state;
    const struct {
        double hot_ns;
        int64_t footprint, set;
        enum kb_quality quality;
    } cases[] = {
        {1020, (1 << 20) + 1, 1 << 18, KB_Q_SUSPECT}, /* 1000 without its event pair */
        {950, (1 << 20) + 1, 1 << 18, KB_Q_OK},
        {1020, 1 << 20, 1 << 18, KB_Q_OK},             /* no more than the L2 holds */
        {1020, (1 << 20) + 1, (1 << 18) + 1, KB_Q_OK}, /* and hot is no hotter */
    };
    for (size_t i = 0; i < KB_COUNT(cases); i++) {
        const struct fake_script script = {
            .ns = constant,
            .hot_ns = cases[i].hot_ns,
            .footprint_bytes = cases[i].footprint,
            .set_bytes = cases[i].set,
        };
        struct fake f;
        fake_open(&f, &script);
        f.job.methods |= 1u << KB_HOT;
        assert_true(fake_go(&f));
        assert_int_equal(graph_of(&f)->quality, cases[i].quality);
        if (cases[i].quality != KB_Q_OK)
            assert_non_null(strstr(graph_of(&f)->why, "do they rotate?"));
        fake_free(&f);
    }
}

static void faster_than_an_empty_kernel_is_suspect(void **state) {
    (void)state;
    const struct fake_script under = {.ns = constant, .floor_ns = 1001};
    const struct fake_script at = {.ns = constant, .floor_ns = 1001, .tick_ns = 4};
    struct fake f;
    run_script(&f, &under);
    assert_int_equal(graph_of(&f)->quality, KB_Q_SUSPECT);
    assert_string_equal(graph_of(&f)->why, "an empty kernel takes longer: 1 us");
    fake_free(&f);
    run_script(&f, &at); /* within what the timer can tell */
    assert_int_equal(graph_of(&f)->quality, KB_Q_OK);
    fake_free(&f);
}

static void the_hosts_time_has_no_floor(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .floor_ns = 1001};
    struct fake f;
    fake_open(&f, &script);
    f.job.methods = 1u << KB_LAUNCH;
    assert_true(fake_go(&f));
    assert_passed(&f);
    assert_true(f.row.times[KB_LAUNCH].there && isnan(f.row.times[KB_LAUNCH].gb_per_s));
    assert_int_equal(f.row.times[KB_LAUNCH].quality, KB_Q_OK);
    fake_free(&f);
}

static void throttling_and_company_are_the_quality(void **state) {
    (void)state;
    const struct fake_script throttled = {.ns = constant, .throttle = 0x4};
    const struct fake_script shared = {
        .ns = constant, .throttle = 0x4, .other_processes = 1};
    const struct fake_script unknown = {
        .ns = constant, .throttle = KB_THROTTLE_UNKNOWN, .other_processes = -1};
    struct fake f;
    run_script(&f, &throttled);
    assert_int_equal(graph_of(&f)->quality, KB_Q_THROTTLED);
    assert_string_equal(graph_of(&f)->throttle, "power");
    assert_int_equal(graph_of(&f)->throttled, graph_of(&f)->n_taken);
    assert_string_equal(graph_of(&f)->why,
                        "clocks held back (power) for 73 of 73 samples, which count");
    fake_free(&f);
    run_script(&f, &shared);
    assert_int_equal(graph_of(&f)->quality, KB_Q_CONTENDED);
    assert_string_equal(graph_of(&f)->why,
                        "somebody else computes on this GPU: pid 4711 (python3)");
    fake_free(&f);
    run_script(&f, &unknown);
    assert_int_equal(graph_of(&f)->quality, KB_Q_OK);
    assert_string_equal(graph_of(&f)->throttle, "unknown"); /* which is not "none" */
    assert_int_equal(graph_of(&f)->throttled, 0);
    fake_free(&f);
}

/* The clocks are looked at after the first batch, and when all is done. */
static void samples_under_a_throttle_are_marked_and_counted(void **state) {
    (void)state;
    const struct fake_script script = {
        .ns = constant, .throttle = 0x40, .throttled_looks = 1};
    struct fake f;
    run_script(&f, &script);
    const struct kb_time *t = graph_of(&f);
    assert_int_equal(t->n_taken, 73); /* none is left out */
    assert_int_equal(t->throttled, 8);
    assert_int_equal(t->quality, KB_Q_THROTTLED);
    assert_string_equal(t->throttle, "thermal");
    assert_string_equal(t->why,
                        "clocks held back (thermal) for 8 of 73 samples, which count");
    fake_free(&f);
}

static void energy_is_of_the_first_method_that_is_launches_alone(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .joules = 0.0005};
    struct fake f;
    fake_open(&f, &script);
    f.job.methods = 1u << KB_PDL | 1u << KB_COLD | 1u << KB_HOT;
    assert_true(fake_go(&f));
    assert_true(f.device.energy_s == 0); /* it was not asked for */
    f.job.energy = true;
    assert_true(fake_go(&f));
    assert_passed(&f);
    assert_true(f.row.times[KB_PDL].energy_uj == 500);
    assert_true(isnan(f.row.times[KB_COLD].energy_uj));
    assert_true(isnan(f.row.times[KB_HOT].energy_uj));
    assert_true(f.device.energy_s == 1); /* once, and not of the stream kernel */
    fake_free(&f);
}

static void energy_that_cannot_be_had_is_a_warning(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .energy_err = KB_UNSUPPORTED};
    const struct fake_script lost = {.ns = constant, .energy_err = KB_DEVICE};
    struct fake f;
    fake_open(&f, &script);
    f.job.energy = true;
    assert_true(fake_go(&f));
    assert_true(graph_of(&f)->median_ns == 1000 && isnan(graph_of(&f)->energy_uj));
    assert_string_equal(f.row.warning, "no energy: the fake has none");
    fake_free(&f);
    fake_open(&f, &lost);
    f.job.energy = true;
    assert_true(fake_go(&f));
    assert_int_equal(f.row.reason, KB_R_LAUNCH);
    fake_free(&f);
}

static void every_sample_goes_into_the_file(void **state) {
    (void)state;
    const struct fake_script script = {
        .ns = noisy_by_5_percent, .throttle = 0x4, .throttled_looks = 1};
    char path[] = "/tmp/kb-samples-XXXXXX.csv";
    struct kb_buf text = {0};
    struct kb_err err = {0};
    struct fake f;
    int fd = mkstemps(path, 4);
    assert_true(fd >= 0);
    close(fd);
    assert_true(kb_samples_begin(path, &err));
    fake_open(&f, &script);
    f.job.samples = path;
    f.job.methods |= 1u << KB_HOT;
    assert_true(fake_go(&f));
    assert_passed(&f);
    assert_true(kb_file_read(path, 1 << 20, &text, &err));
    int64_t lines = 0, marked = 0;
    for (const char *at = text.data; (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
        marked += at[-1] == '1' && at[-2] == ',';
    }
    /* A line each, of the kernel alone and not of the stream kernel, and the head. */
    assert_int_equal(lines, 1 + graph_of(&f)->n_taken + f.row.times[KB_HOT].n_taken);
    assert_int_equal(marked, graph_of(&f)->throttled);
    assert_true(kb_starts_with(
        text.data, "case,device,build,variant,method,sample,ns,launches,throttled\n"
                   "silu/83x64/bf16,0,precise,"));
    unlink(path);
    kb_buf_free(&text);
    f.job.samples = "/no/such/folder/s.csv";
    assert_true(fake_go(&f));
    assert_passed(&f);
    assert_non_null(strstr(f.row.warning, "samples not kept: /no/such/folder/s.csv: "));
    fake_free(&f);
}

static void an_event_pair_that_is_a_tenth_hides_bandwidth_and_ceiling(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .floor_ns = 101};
    struct fake f;
    fake_open(&f, &script);
    f.job.methods |= 1u << KB_COLD;
    assert_true(fake_go(&f));
    const struct kb_time *cold = &f.row.times[KB_COLD];
    assert_true(isfinite(graph_of(&f)->gb_per_s) && isfinite(graph_of(&f)->ceiling));
    assert_true(cold->there && cold->median_ns == 1000 && cold->floor_ns == 101);
    assert_true(isnan(cold->gb_per_s) && isnan(cold->ceiling) && isnan(cold->ceiling_ns));
    assert_int_equal(f.device.streams_timed, 1); /* for the graph alone */
    fake_free(&f);
}

static void what_limits_a_kernel_is_told_from_floor_size_and_ceiling(void **state) {
    (void)state;
    const struct {
        const char *case_id, *limit;
        struct fake_script script;
    } cases[] = {
        {"silu/83x64/bf16", "launch", {.ns = constant, .floor_ns = 701}},
        {"silu/83x64/bf16", "latency", {.ns = constant, .stream_ns = 330}},
        {"silu/83x64/bf16", "compute", {.ns = constant, .stream_ns = 329}},
        {"silu/83x64/bf16",
         "latency",
         {.ns = constant, .floor_ns = 101, .stream_err = KB_MEMORY}},
        {"silu/83x64/bf16", NULL, {.ns = constant, .stream_err = KB_MEMORY}},
        {"silu/200x1024/bf16", "bandwidth", {.ns = constant, .stream_ns = 800}},
        {"silu/200x1024/bf16", "compute", {.ns = constant, .stream_ns = 799}},
        {"silu/200x1024/bf16", NULL, {.ns = constant, .stream_err = KB_MEMORY}},
    };
    for (size_t i = 0; i < KB_COUNT(cases); i++) {
        struct fake f;
        fake_open(&f, &cases[i].script);
        f.job.case_id = cases[i].case_id;
        f.job.mode = KB_BENCH;
        assert_true(fake_go(&f));
        assert_passed(&f);
        if (cases[i].limit)
            assert_string_equal(f.row.limited_by, cases[i].limit);
        else
            assert_null(f.row.limited_by);
        fake_free(&f);
    }
}

/* ---- what goes wrong --------------------------------------------------------------- */

static void assert_no_times(const struct fake *f) {
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        assert_false(f->row.times[m].there);
    assert_null(f->row.limited_by);
}

static void other_bits_from_the_timed_launches_are_a_failure_without_times(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .timed_wrong = true};
    struct fake f;
    run_script(&f, &script);
    assert_int_equal(f.row.reason, KB_R_TIMED_OUTPUT);
    assert_string_equal(f.row.text, "out: other bits from the launches timed by graph");
    assert_no_times(&f);
    assert_false(f.session.dead);
    fake_free(&f);
}

static void an_input_that_timed_launches_write_to_is_a_failure(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .timed_input = true};
    struct fake f;
    run_script(&f, &script);
    assert_int_equal(f.row.reason, KB_R_INPUT_CHANGED);
    assert_string_equal(f.row.text,
                        "input input was written to by launches timed by graph");
    assert_no_times(&f);
    fake_free(&f);
}

static void
in_place_the_timed_output_is_checked_and_the_row_says_what_was_read(void **state) {
    (void)state;
    for (int wrong = 0; wrong < 2; wrong++) {
        const struct fake_script script = {.ns = constant, .timed_wrong = wrong};
        struct fake f;
        fake_open(&f, &script);
        f.job.case_id = "silu/83x64/bf16/inplace=yes";
        assert_true(fake_go(&f));
        assert_int_equal(f.row.reason, wrong ? KB_R_TIMED_OUTPUT : KB_R_NONE);
        assert_int_equal(f.row.times[KB_GRAPH].there, !wrong);
        assert_non_null(strstr(f.row.warning, "each launch reads what the last one"));
        if (wrong)
            assert_string_equal(f.row.text,
                                "input: other bits from the launches timed by graph");
        fake_free(&f);
    }
}

static void
a_device_that_is_lost_while_sampling_ends_the_case_and_the_worker(void **state) {
    (void)state;
    const int64_t when[] = {1, 9, 30}; /* while warming up, and later */
    for (size_t i = 0; i < KB_COUNT(when); i++) {
        const struct fake_script script = {.ns = noisy_by_half, .fail_at = when[i]};
        struct fake f;
        run_script(&f, &script);
        assert_int_equal(f.row.reason, KB_R_LAUNCH);
        assert_non_null(strstr(f.row.text, "the fake device is lost"));
        assert_true(f.session.dead);
        assert_true(f.row.checked);
        assert_no_times(&f);
        fake_free(&f);
    }
}

static void a_time_that_is_none_ends_the_case(void **state) {
    (void)state;
    const struct fake_script nan_script = {.ns = not_a_time};
    const struct fake_script zero_script = {.ns = no_time_at_all};
    struct fake f;
    run_script(&f, &nan_script);
    assert_int_equal(f.row.reason, KB_R_LAUNCH);
    assert_no_times(&f);
    fake_free(&f);
    run_script(&f, &zero_script);
    assert_int_equal(f.row.reason, KB_R_LAUNCH);
    assert_non_null(strstr(f.row.text, "gave 0 ns"));
    fake_free(&f);
}

static void a_method_that_cannot_be_had_costs_its_number_only(void **state) {
    (void)state;
    const struct fake_script script = {
        .ns = constant, .open_err = KB_MEMORY, .open_err_method = KB_PDL};
    struct fake f;
    fake_open(&f, &script);
    f.job.methods = 1u << KB_GRAPH | 1u << KB_PDL | 1u << KB_HOT;
    assert_true(fake_go(&f));
    assert_passed(&f);
    assert_true(f.row.times[KB_GRAPH].there && f.row.times[KB_HOT].there);
    assert_false(f.row.times[KB_PDL].there);
    assert_string_equal(f.row.warning, "not timed by pdl: the fake timer does not open");
    assert_false(f.session.dead);
    fake_free(&f);
}

static void a_ceiling_that_cannot_be_had_is_a_warning(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .stream_err = KB_MEMORY};
    struct fake f;
    for (int again = 0; again < 2; again++) {
        if (!again)
            fake_open(&f, &script);
        assert_true(fake_go(&f));
        assert_true(isnan(graph_of(&f)->ceiling) && isnan(graph_of(&f)->ceiling_ns));
        assert_true(isfinite(graph_of(&f)->gb_per_s));
        assert_string_equal(f.row.warning,
                            "no ceiling by graph: the fake timer does not open");
    }
    fake_free(&f);
}

static void a_ceiling_that_is_no_good_time_is_a_warning(void **state) {
    (void)state;
    const struct fake_script script = {
        .ns = constant, .stream_ns = 600, .stream_noisy = true};
    struct fake f;
    fake_open(&f, &script);
    f.job.max_time_s = 1e-3;
    for (int again = 0; again < 2; again++) {
        assert_true(fake_go(&f));
        assert_int_equal(graph_of(&f)->quality, KB_Q_OK);
        assert_true(isfinite(graph_of(&f)->ceiling));
        assert_string_equal(f.row.warning, "the ceiling by graph is noisy itself");
    }
    fake_free(&f);
}

static void a_device_that_is_lost_under_the_ceiling_ends_the_case(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .stream_err = KB_DEVICE};
    struct fake f;
    run_script(&f, &script);
    assert_int_equal(f.row.reason, KB_R_LAUNCH);
    assert_true(f.session.dead);
    assert_no_times(&f);
    fake_free(&f);
}

static bool spoils_one(int run, int64_t i) {
    (void)run;
    return i == 1000;
}

static void a_wrong_kernel_is_timed_only_when_asked(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .spoils = spoils_one};
    struct fake f;
    run_script(&f, &script);
    assert_int_equal(f.row.reason, KB_R_MISMATCH);
    assert_int_equal(f.device.timers_opened, 0);
    assert_no_times(&f);
    f.job.time_failing = true;
    assert_true(fake_go(&f));
    assert_int_equal(f.row.reason, KB_R_MISMATCH);
    assert_true(f.row.times[KB_GRAPH].there);
    fake_free(&f);
}

static void nothing_launched_is_nothing_timed(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant};
    struct fake f;
    fake_open(&f, &script);
    f.job.case_id = "silu/0x64/bf16";
    assert_true(fake_go(&f));
    assert_passed(&f);
    assert_int_equal(f.device.timers_opened, 0);
    assert_no_times(&f);
    fake_free(&f);
}

static void check_and_build_time_nothing(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant};
    struct fake f;
    fake_open(&f, &script);
    f.job.mode = KB_CHECK;
    assert_true(fake_go(&f));
    assert_true(f.row.checked);
    f.job.mode = KB_BUILD_ONLY;
    assert_true(fake_go(&f));
    assert_passed(&f);
    assert_true(f.row.built && !f.row.checked);
    assert_int_equal(f.device.timers_opened, 0);
    fake_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constant_times_are_precise_after_the_fewest_samples),
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
        cmocka_unit_test(ceiling_is_the_stream_kernels_time_over_this),
        cmocka_unit_test(what_is_a_ceiling_itself_has_none),
        cmocka_unit_test(
            ceiling_of_matrix_work_is_what_tensor_cores_take_for_as_many_flops),
        cmocka_unit_test(faster_than_the_stream_kernel_is_suspect_past_the_cache),
        cmocka_unit_test(cold_that_is_faster_than_the_stream_kernel_is_suspect_at_any_size),
        cmocka_unit_test(cold_that_is_no_slower_than_hot_is_suspect_where_the_l2_holds_it),
        cmocka_unit_test(matrix_work_may_be_as_fast_cold_as_hot),
        cmocka_unit_test(rotation_that_is_no_slower_than_hot_is_suspect_past_the_l2),
        cmocka_unit_test(faster_than_an_empty_kernel_is_suspect),
        cmocka_unit_test(the_hosts_time_has_no_floor),
        cmocka_unit_test(throttling_and_company_are_the_quality),
        cmocka_unit_test(samples_under_a_throttle_are_marked_and_counted),
        cmocka_unit_test(energy_is_of_the_first_method_that_is_launches_alone),
        cmocka_unit_test(energy_that_cannot_be_had_is_a_warning),
        cmocka_unit_test(every_sample_goes_into_the_file),
        cmocka_unit_test(an_event_pair_that_is_a_tenth_hides_bandwidth_and_ceiling),
        cmocka_unit_test(what_limits_a_kernel_is_told_from_floor_size_and_ceiling),
        cmocka_unit_test(other_bits_from_the_timed_launches_are_a_failure_without_times),
        cmocka_unit_test(an_input_that_timed_launches_write_to_is_a_failure),
        cmocka_unit_test(
            in_place_the_timed_output_is_checked_and_the_row_says_what_was_read),
        cmocka_unit_test(a_device_that_is_lost_while_sampling_ends_the_case_and_the_worker),
        cmocka_unit_test(a_time_that_is_none_ends_the_case),
        cmocka_unit_test(a_method_that_cannot_be_had_costs_its_number_only),
        cmocka_unit_test(a_ceiling_that_cannot_be_had_is_a_warning),
        cmocka_unit_test(a_ceiling_that_is_no_good_time_is_a_warning),
        cmocka_unit_test(a_device_that_is_lost_under_the_ceiling_ends_the_case),
        cmocka_unit_test(a_wrong_kernel_is_timed_only_when_asked),
        cmocka_unit_test(nothing_launched_is_nothing_timed),
        cmocka_unit_test(check_and_build_time_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
