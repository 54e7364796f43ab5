/* distinct_test.c - of many jobs, which come to code that is new. */
#include "h200_fixture.h"
#include "session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct kb_job job(const char *id, const char *variant, const char *build) {
    return (struct kb_job){
        .case_id = id,
        .variant = variant,
        .build = build,
        .trusted_flags = true,
        .tags = "",
        .origin = "",
        .repeat_options = "",
        .seed = 1,
    };
}

static bool take(struct kb_distinct *d, const struct kb_device_info *device, const char *id,
                 const char *variant, const char *build) {
    struct kb_job asked = job(id, variant, build);
    return kb_distinct_take(d, device, &asked);
}

static void one_job_stands_for_its_code(void **state) {
    struct kb_distinct *d = kb_distinct_open();
    (void)state;
    assert_true(take(d, &h200, "silu/83x1024/bf16", "vec16", "precise"));
    assert_false(take(d, &h200, "silu/64x2048/bf16", "vec16", "precise"));
    assert_false(take(d, &h200, "silu/64x2048/bf16/layout=up_gate", "vec16", "precise"));
    assert_true(take(d, &h200, "silu/64x2048/fp16", "vec16", "precise"));
    assert_true(take(d, &h200, "gelu/64x2048/bf16", "vec16", "precise"));
    assert_true(take(d, &h200, "silu/64x2048/bf16", "vec8", "precise"));
    assert_true(take(d, &h200, "silu/64x2048/bf16", "vec16", "fast-math"));
    assert_true(take(d, &h200, "silu/64x2048/bf16", "vec16", "precise+KB_THREADS=64"));
    kb_distinct_close(d);
}

static void many_codes_are_told_apart(void **state) {
    struct kb_distinct *d = kb_distinct_open();
    char build[64];
    (void)state;
    for (int round = 0; round < 2; round++)
        for (int i = 1; i <= 300; i++) {
            snprintf(build, sizeof build, "precise+KB_THREADS=%d", i);
            assert_int_equal(take(d, &h200, "silu/8x64/bf16", "vec16", build), round == 0);
        }
    kb_distinct_close(d);
}

static void on_host_a_file_is_one_code(void **state) {
    struct kb_device_info host = h200;
    struct kb_distinct *d = kb_distinct_open();
    (void)state;
    memcpy(host.backend, "host", sizeof "host");
    assert_true(take(d, &host, "silu/83x1024/bf16", NULL, "precise"));
    assert_false(take(d, &host, "gelu/83x1022/fp32", NULL, "precise"));
    assert_true(take(d, &host, "stream/1024/bf16", NULL, "precise"));
    kb_distinct_close(d);
}

static void on_host_entries_that_depend_on_axes_are_codes_of_their_own(void **state) {
    struct kb_device_info host = h200;
    struct kb_distinct *d = kb_distinct_open();
    (void)state;
    memcpy(host.backend, "host", sizeof "host");
    assert_true(take(d, &host, "qknorm_rope/3x3x1x64/bf16", "block", "precise"));
    assert_false(take(d, &host, "qknorm_rope/7x3x1x64/bf16", "block", "precise"));
    assert_true(take(d, &host, "qknorm_rope/3x3x1x128/bf16", "block", "precise"));
    kb_distinct_close(d);
}

static void what_no_case_comes_to_is_left_once(void **state) {
    struct kb_distinct *d = kb_distinct_open();
    struct kb_job left;
    (void)state;
    assert_false(take(d, &h200, "silu/83x1024/bf16", "vec32", "precise"));
    assert_false(take(d, &h200, "silu/64x1024/bf16", "vec32", "precise"));
    assert_false(take(d, &h200, "silu/83x1022/bf16", "vec16", "precise"));
    assert_true(take(d, &h200, "silu/83x1024/bf16", "vec16", "precise"));
    assert_false(take(d, &h200, "silu/81x1022/bf16", "vec16", "precise"));
    assert_true(kb_distinct_left(d, &left));
    assert_string_equal(left.variant, "vec32");
    assert_string_equal(left.case_id, "silu/83x1024/bf16");
    assert_false(kb_distinct_left(d, &left));
    kb_distinct_close(d);
}

/* A row stands in a report once: who runs a job runs it on all devices. */
static void no_job_is_left_that_another_device_took_or_left(void **state) {
    struct kb_distinct *d = kb_distinct_open();
    struct kb_device_info host = h200;
    struct kb_job left;
    (void)state;
    memcpy(host.backend, "host", sizeof "host");
    assert_true(take(d, &h200, "silu/7x16/bf16", "tiny", "precise"));
    assert_false(take(d, &host, "silu/7x16/bf16", "tiny", "precise"));
    assert_false(kb_distinct_left(d, &left));
    assert_false(take(d, &h200, "silu/83x1024/bf16", "vec32", "precise"));
    assert_false(take(d, &host, "silu/83x1024/bf16", "vec32", "precise"));
    assert_true(kb_distinct_left(d, &left));
    assert_string_equal(left.variant, "vec32");
    assert_false(kb_distinct_left(d, &left));
    kb_distinct_close(d);
}

static void an_error_is_taken_once(void **state) {
    struct kb_distinct *d = kb_distinct_open();
    (void)state;
    assert_true(take(d, &h200, "silu/83x1024/bf16", "vec16", "precise+KB_THREADS=2048"));
    assert_false(take(d, &h200, "silu/64x1024/bf16", "vec16", "precise+KB_THREADS=2048"));
    assert_true(take(d, &h200, "silu/64x1024/bf16", "none", "precise"));
    kb_distinct_close(d);
}

/* Codes, repeats of them, variants that take no case, and errors. */
static int make_jobs(struct kb_arena *arena, struct kb_job *jobs, int n) {
    static const char *const ops[] = {"silu", "gelu", "gelu_tanh"};
    static const char *const dtypes[] = {"bf16", "fp16", "fp32"};
    static const char *const variants[] = {"vec16", "vec32", "scalar", "none", "vec8"};
    for (int i = 0; i < n; i++) {
        const char *id = kb_arena_printf(arena, "%s/%dx%d/%s", ops[i / 300 % 3], 1 + i % 50,
                                         i % 7 ? 1024 : 6, dtypes[i % 3]);
        jobs[i] = job(id, variants[i % 5],
                      kb_arena_printf(arena, "precise+KB_THREADS=%d", i % 13 * 256));
    }
    return n;
}

static void many_at_once_are_those_that_are_taken_one_by_one(void **state) {
    enum { MANY = 3000 };
    struct kb_arena arena = {0};
    struct kb_job *jobs = kb_arena_array(&arena, MANY, sizeof *jobs), left, wanted;
    (void)state;
    for (int threads = 1; threads <= 4; threads += 3) {
        struct kb_distinct *one = kb_distinct_open(), *all = kb_distinct_open();
        bool *taken = kb_arena_array(&arena, MANY, sizeof *taken);
        int n = make_jobs(&arena, jobs, MANY), count = 0, waiting = 0;
        kb_distinct_take_all(all, &h200, jobs, n / 2, threads, taken);
        kb_distinct_take_all(all, &h200, &jobs[n / 2], n - n / 2, threads, &taken[n / 2]);
        for (int i = 0; i < n; i++) {
            assert_int_equal(taken[i], kb_distinct_take(one, &h200, &jobs[i]));
            count += taken[i];
        }
        assert_true(count > 20 && count < n / 2);
        while (kb_distinct_left(one, &wanted)) {
            assert_true(kb_distinct_left(all, &left));
            assert_string_equal(left.case_id, wanted.case_id);
            assert_string_equal(left.build, wanted.build);
            waiting++;
        }
        assert_true(waiting);
        assert_false(kb_distinct_left(all, &left));
        kb_distinct_close(one);
        kb_distinct_close(all);
    }
    kb_arena_free(&arena);
}

static void what_one_device_takes_stays_taken_for_all(void **state) {
    struct kb_distinct *d = kb_distinct_open();
    struct kb_device_info other = h200;
    struct kb_job jobs[] = {job("silu/83x1024/bf16", "vec16", "precise"),
                            job("silu/64x1024/bf16", "vec16", "precise")};
    bool taken[2] = {false};
    (void)state;
    other.limits.sm = 100;
    kb_distinct_take_all(d, &h200, jobs, 1, 4, taken);
    assert_true(taken[0]);
    kb_distinct_take_all(d, &h200, jobs, 2, 4, taken);
    assert_true(taken[0]);
    assert_false(taken[1]);
    taken[0] = false;
    kb_distinct_take_all(d, &other, jobs, 2, 4, taken);
    assert_true(taken[0]);
    kb_distinct_close(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_job_stands_for_its_code),
        cmocka_unit_test(many_codes_are_told_apart),
        cmocka_unit_test(on_host_a_file_is_one_code),
        cmocka_unit_test(on_host_entries_that_depend_on_axes_are_codes_of_their_own),
        cmocka_unit_test(what_no_case_comes_to_is_left_once),
        cmocka_unit_test(no_job_is_left_that_another_device_took_or_left),
        cmocka_unit_test(an_error_is_taken_once),
        cmocka_unit_test(many_at_once_are_those_that_are_taken_one_by_one),
        cmocka_unit_test(what_one_device_takes_stays_taken_for_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
