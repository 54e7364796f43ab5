/* time_wrong_test.c - times of what goes wrong: other bits, devices that are lost, methods
 * and ceilings that cannot be had. */
#include "time_fixture.h"

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

static void energy_is_of_the_next_where_the_first_cannot_be_had(void **state) {
    (void)state;
    const struct fake_script script = {
        .ns = constant, .open_err = KB_MEMORY, .open_err_method = KB_PDL, .joules = 0.0005};
    struct fake f;
    fake_open(&f, &script);
    f.job.energy = true;
    f.job.methods = 1u << KB_PDL | 1u << KB_COLD | 1u << KB_HOT;
    assert_true(fake_go(&f));
    assert_true(f.row.times[KB_HOT].energy_uj == 500);
    assert_true(isnan(f.row.times[KB_COLD].energy_uj));
    assert_true(f.device.energy_s == 1);
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
        cmocka_unit_test(other_bits_from_the_timed_launches_are_a_failure_without_times),
        cmocka_unit_test(an_input_that_timed_launches_write_to_is_a_failure),
        cmocka_unit_test(
            in_place_the_timed_output_is_checked_and_the_row_says_what_was_read),
        cmocka_unit_test(a_device_that_is_lost_while_sampling_ends_the_case_and_the_worker),
        cmocka_unit_test(a_time_that_is_none_ends_the_case),
        cmocka_unit_test(a_method_that_cannot_be_had_costs_its_number_only),
        cmocka_unit_test(energy_is_of_the_next_where_the_first_cannot_be_had),
        cmocka_unit_test(a_ceiling_that_cannot_be_had_is_a_warning),
        cmocka_unit_test(a_ceiling_that_is_no_good_time_is_a_warning),
        cmocka_unit_test(a_device_that_is_lost_under_the_ceiling_ends_the_case),
        cmocka_unit_test(a_wrong_kernel_is_timed_only_when_asked),
        cmocka_unit_test(nothing_launched_is_nothing_timed),
        cmocka_unit_test(check_and_build_time_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
