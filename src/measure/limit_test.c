/* limit_test.c - how long a case may take where nobody said. */
#include "session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static int64_t limit(const char *backend, const char *case_id) {
    const struct kb_job job = {.case_id = case_id, .build = "precise"};

    return kb_job_limit_ms(backend, &job);
}

static void a_small_case_has_a_minute(void **state) {
    (void)state;
    assert_int_equal(limit("host", "silu/7x16/bf16"), 60000);
    assert_int_equal(limit("host", "silu/0x1024/bf16"), 60000);
    assert_int_equal(limit("host", "mla_prefill/130x130x4/e4m3"), 60000);
}

static void more_work_on_a_cpu_has_more_time(void **state) {
    (void)state;
    /* 640 operations to a pair of 1024 * 1024 / 2 and a head, 20 ns each */
    assert_in_range(limit("host", "mla_prefill/1024x1024x16/e4m3"), 100000, 120000);
    assert_true(limit("host", "mla_prefill/1024x1024x32/e4m3") >
                limit("host", "mla_prefill/1024x1024x16/e4m3"));
    assert_int_equal(limit("host", "silu/1048576x512/bf16") % 1000, 0);
    assert_true(limit("host", "silu/1048576x512/bf16") > 60000); /* by its bytes */
}

static void on_a_gpu_all_have_a_minute(void **state) {
    (void)state;
    assert_int_equal(limit("cuda", "silu/7x16/bf16"), 60000);
    assert_int_equal(limit("cuda", "mla_prefill/4096x4096x128/e4m3"), 60000);
}

/* Else it would be killed for taking the time that it was given. */
static void what_may_be_timed_for_longer_has_that_time(void **state) {
    (void)state;
    struct kb_job job = {.case_id = "silu/7x16/bf16",
                         .build = "precise",
                         .mode = KB_BENCH,
                         .methods = 1u << KB_GRAPH | 1u << KB_COLD};
    assert_int_equal(kb_job_limit_ms("cuda", &job), 60000);
    job.methods = (1u << KB_METHOD_COUNT) - 1;
    assert_int_equal(kb_job_limit_ms("cuda", &job), 30000 + 6 * 2 * 5000);
    job.max_time_s = 30;
    job.energy = true;
    assert_int_equal(kb_job_limit_ms("cuda", &job), 30000 + 6 * 2 * 30000 + 1000);
    assert_int_equal(kb_job_limit_ms("host", &job), 60000);
    job.mode = KB_CHECK;
    assert_int_equal(kb_job_limit_ms("cuda", &job), 60000);
}

static void what_is_no_case_has_a_minute(void **state) {
    (void)state;
    assert_int_equal(limit("host", "nothing/1x2/bf16"), 60000);
}

static void work_beyond_count_has_a_limit_still(void **state) {
    (void)state;
    struct kb_problem p = {.flops = INT64_MAX, .bytes = INT64_MAX};

    /* of a whole group, in ns */
    assert_in_range(kb_work_limit_ms("host", &p), 60000,
                    INT64_MAX / 1000000 / KB_MAX_GROUP);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_case_has_a_minute),
        cmocka_unit_test(more_work_on_a_cpu_has_more_time),
        cmocka_unit_test(on_a_gpu_all_have_a_minute),
        cmocka_unit_test(what_may_be_timed_for_longer_has_that_time),
        cmocka_unit_test(what_is_no_case_has_a_minute),
        cmocka_unit_test(work_beyond_count_has_a_limit_still),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
