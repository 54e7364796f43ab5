/* group_worker_test.c - jobs of one case in one worker: what they say of each other, and
 * what happens where the worker does not live through all of them. */
#include "worker_fixture.h"

enum { MOST = 4 };

static void run_variants(struct fixture *f, const char *const *names, int n,
                         int64_t timeout_ms, struct kb_row *rows) {
    struct kb_job jobs[MOST];

    for (int i = 0; i < n; i++)
        jobs[i] = job_of(f, names[i]);
    if (!kb_worker_run_group(f->worker, jobs, n, timeout_ms, &f->arena, rows, &f->err))
        fail_msg("%s", f->err.msg);
}

static void each_row_is_its_own_and_says_what_differs(void **state) {
    static const char *const names[] = {"good", "wrong", "wide", "crash"};
    struct fixture *f = *state;
    struct kb_row rows[MOST];
    start_worker(f, &(struct kb_exec_options){0});
    run_variants(f, names, 4, 60000, rows);
    assert_reason(&rows[0], KB_R_NONE, NULL);
    assert_null(rows[0].against);
    assert_reason(&rows[1], KB_R_MISMATCH, "1 of 56 elements");
    assert_string_equal(rows[1].against->build, "precise");
    assert_string_equal(rows[1].against->variant, "good");
    assert_int_equal(rows[1].against->elements, 56);
    assert_int_equal(rows[1].against->differing, 1);
    assert_null(rows[1].against->why);
    assert_reason(&rows[2], KB_R_VARIANT, NULL);
    assert_int_equal(rows[2].against->elements, -1);
    assert_reason(&rows[3], KB_R_CRASH, NULL);
    assert_int_equal(rows[3].against->elements, -1);
    assert_int_equal(kb_worker_restarts(f->worker), 0);
}

static void other_code_for_the_same_bits_is_not_the_same_code(void **state) {
    static const char *const names[] = {"good", "far", "good"};
    struct fixture *f = *state;
    struct kb_row rows[MOST];
    start_worker(f, &(struct kb_exec_options){0});
    run_variants(f, names, 3, 60000, rows);
    assert_int_equal(rows[1].against->differing, 0);
    assert_int_not_equal(rows[1].against->same_code, 1);
    assert_int_equal(rows[2].against->differing, 0);
}

static void one_that_hangs_does_not_cost_the_others(void **state) {
    static const char *const names[] = {"good", "hang"};
    struct fixture *f = *state;
    struct kb_row rows[MOST];
    start_worker(f, &(struct kb_exec_options){0});
    assert_good_passes(f);
    run_variants(f, names, 2, 500, rows);
    assert_reason(&rows[0], KB_R_NONE, NULL);
    assert_reason(&rows[1], KB_R_TIMEOUT, "still running after 0.5 s");
    assert_non_null(
        strstr(rows[1].against->why, "not side by side: still running after 1 s"));
    assert_string_equal(rows[1].against->variant, "good");
    assert_good_passes(f);
}

int main(int argc, char **argv) {
    int status;
    if (is_worker(argc, argv, &status))
        return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_is_its_own_and_says_what_differs),
        cmocka_unit_test(other_code_for_the_same_bits_is_not_the_same_code),
        cmocka_unit_test(one_that_hangs_does_not_cost_the_others),
    };
    return cmocka_run_group_tests(tests, open_folder, remove_folder);
}
