/* time_worth_test.c - what a time is worth: its ceiling, its quality, what limits it; and
 * what is kept beside it. */
#include "time_fixture.h"

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
        double tick_ns;
    } cases[] = {
        {900, 1000, 1 << 18, KB_Q_SUSPECT, 0}, /* a quarter of the L2 */
        {900, 950, 1 << 18, KB_Q_OK, 0},
        {900, 990, 1 << 18, KB_Q_SUSPECT, 12}, /* as far as the timer can tell */
        {900, 1000, (1 << 18) + 1, KB_Q_OK, 0},
        {499, 1000, 1 << 18, KB_Q_OK, 0}, /* it computes more than it moves */
    };
    for (size_t i = 0; i < KB_COUNT(cases); i++) {
        const struct fake_script script = {
            .ns = constant,
            .hot_ns = cases[i].hot_ns,
            .stream_ns = cases[i].stream_ns,
            .footprint_bytes = cases[i].footprint,
            .tick_ns = cases[i].tick_ns,
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
        {1010, (1 << 20) + 1, 1 << 18, KB_Q_OK},       /* and 990 */
        {1020, 1 << 20, 1 << 18, KB_Q_OK},             /* no more than the L2 holds */
        {1020, (1 << 20) + 1, (1 << 18) + 1, KB_Q_OK}, /* and hot is no hotter */
    };
    for (size_t i = 0; i < KB_COUNT(cases); i++) {
        const struct fake_script script = {
            .ns = constant,
            .hot_ns = cases[i].hot_ns,
            .pair_ns = 20,
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
                        "somebody else computes on this GPU: pid 4711 (python3); clocks "
                        "held back (power) for 73 of 73 samples, which count");
    fake_free(&f);
    run_script(&f, &unknown);
    assert_int_equal(graph_of(&f)->quality, KB_Q_OK);
    assert_string_equal(graph_of(&f)->throttle, "unknown"); /* which is not "none" */
    assert_int_equal(graph_of(&f)->throttled, 0);
    fake_free(&f);
}

/* The clocks are looked at after the first batch, and when all is done. */
static void what_else_is_wrong_with_a_time_stands_behind_the_worst(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant,
                                       .floor_ns = 1001,
                                       .stream_ns = 1100,
                                       .throttle = 0x4,
                                       .other_processes = 1};
    struct fake f;
    run_script(&f, &script);
    assert_int_equal(graph_of(&f)->quality, KB_Q_SUSPECT);
    assert_string_equal(
        graph_of(&f)->why,
        "faster than a kernel that only moves its bytes (1.1 us): were they cold?; an "
        "empty kernel takes longer: 1 us; somebody else computes on this GPU: pid 4711 "
        "(python3); clocks held back (power) for 73 of 73 samples, which count");
    fake_free(&f);
}

/* Eight samples take longer than looks at the clocks are apart, as do the two after them.
 */
static void clocks_are_not_looked_at_after_the_last_sample_was(void **state) {
    (void)state;
    const struct fake_script script = {.ns = long_and_constant, .busy_ns = 6000000};
    struct fake f;
    fake_open(&f, &script);
    f.job.case_id = "silu/32x512/bf16/filter=ids/skip=1"; /* without a ceiling */
    assert_true(fake_go(&f));
    assert_int_equal(graph_of(&f)->n_taken, 10);
    assert_int_equal(f.device.clocks_read, 2);
    fake_free(&f);
}

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
    struct kb_temp temp;
    struct kb_buf text = {0};
    struct kb_err err = {0};
    struct fake f;
    assert_true(kb_temp_make(&temp, &err));
    fake_open(&f, &script);
    const char *path = kb_arena_printf(&f.arena, "%s/s.csv", temp.path);
    assert_true(kb_samples_begin(path, &err));
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
    kb_temp_free(&temp);
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

int main(void) {
    const struct CMUnitTest tests[] = {
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
        cmocka_unit_test(what_else_is_wrong_with_a_time_stands_behind_the_worst),
        cmocka_unit_test(clocks_are_not_looked_at_after_the_last_sample_was),
        cmocka_unit_test(samples_under_a_throttle_are_marked_and_counted),
        cmocka_unit_test(energy_is_of_the_first_method_that_is_launches_alone),
        cmocka_unit_test(energy_that_cannot_be_had_is_a_warning),
        cmocka_unit_test(every_sample_goes_into_the_file),
        cmocka_unit_test(an_event_pair_that_is_a_tenth_hides_bandwidth_and_ceiling),
        cmocka_unit_test(what_limits_a_kernel_is_told_from_floor_size_and_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
