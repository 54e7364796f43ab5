/* group_test.c - builds side by side on a device whose timer gives what a script says: who
 * is run and timed, and what is said of their outputs. */
#include "group_fixture.h"

/* ---- tests ----------------------------------------------------------------------------
 */

static void builds_that_are_run_once_are_held_against_each_other(void **state) {
    const struct fake_script script = {.ns = noisy, .slow_build = "none", .slower = 1};
    struct group g;
    (void)state;
    make_group(&g, &script, two, 2);
    for (int i = 0; i < 2; i++)
        g.jobs[i].one_run = true;
    assert_true(run_group(&g));
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
        make_group(&g, &scripts[k], two, 2);
        const char *path = kb_arena_printf(&g.f.arena, "%s/s.csv", temp.path);
        assert_true(kb_samples_begin(path, &err));
        for (int i = 0; i < 2; i++) {
            g.jobs[i].samples = path;
            g.jobs[i].methods = 1u << KB_GRAPH | 1u << KB_COLD;
        }
        bool ok = run_group(&g);
        assert_true(ok == (k == 0));
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

static void check_times_nothing(void **state) {
    const struct fake_script script = {.ns = noisy};
    struct group g;
    (void)state;
    make_group(&g, &script, twice, 2);
    for (int i = 0; i < 2; i++)
        g.jobs[i].mode = KB_CHECK;
    assert_true(run_group(&g));
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
        cmocka_unit_test(builds_that_are_run_once_are_held_against_each_other),
        cmocka_unit_test(each_is_held_against_the_first),
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
        cmocka_unit_test(check_times_nothing),
        cmocka_unit_test(rows_have_their_occupancy_alone_and_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
