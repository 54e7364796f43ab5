/* selftest_life_test.c - a selftest through the life of its cases, on a device that is
 * right: all of it is checked, timed and compared. What takes long to compute is left out.
 */
#include "fake.h"
#include "group.h"
#include "selftest.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MOST_BYTES = 1 << 20 };

static double steady(int64_t i) {
    (void)i;
    return 2000;
}

static bool is_small(const struct kb_job *job, struct kb_arena *arena) {
    struct kb_case *c = kb_arena_alloc(arena, sizeof *c);
    struct kb_problem *p = kb_arena_alloc(arena, sizeof *p);
    struct kb_complaints complaints = {0};
    struct kb_err err = {0};

    assert_true(kb_case_parse(job->case_id, arena, c, &complaints));
    assert_true(kb_case_resolve(c, p, &err));
    return p->bytes <= MOST_BYTES;
}

static bool run(void *context, const struct kb_job *jobs, int n, struct kb_arena *arena,
                struct kb_row *rows, struct kb_err *err) {
    struct fake *f = context;

    for (int i = 0; i < n; i++)
        rows[i] = (struct kb_row){.case_id = jobs[i].case_id, .reason = KB_R_MEMORY};
    if (!is_small(&jobs[0], arena))
        return true;
    f->device.case_id = jobs[0].case_id;
    f->device.runs = 0;
    if (n > 1)
        return kb_session_run_group(&f->session, jobs, n, arena, rows, err);
    kb_session_run(&f->session, &jobs[0], arena, &rows[0]);
    return true;
}

static void tell(void *context, const char *what) {
    (void)context, (void)what;
}

static void right_probes_are_timed_and_pairs_are_alike(void **state) {
    /* The two builds have flags, and so code, of their own: they are not IDENTICAL. */
    const struct fake_script script = {
        .ns = steady, .stream_ns = 2000, .slow_build = "none", .slower = 1};
    struct fake f;
    struct kb_arena arena = {0};
    struct kb_selftest t;
    struct kb_err err = {0};
    (void)state;
    fake_open(&f, &script);
    f.device.info.limits.sm_count = 1; /* a block of op mma is enough to compute */
    const struct kb_selftest_how how = {.run = run, .tell = tell, .context = &f, .seed = 1};
    assert_true(kb_selftest_run(&how, &f.device.info, &arena, &t, &err));
    assert_int_equal(f.device.timers_open, 0);
    assert_int_equal(t.status, 0);
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        assert_true(t.floors[m].null_ns > 9.9 && t.floors[m].timer_ns > 17.9);
    for (int d = 0; d < KB_ST_DTYPES; d++)
        assert_true(t.tflop_per_s[d] > 0);
    assert_true(isnan(t.gb_per_s[0][0]));
    assert_true(t.kernels[0].median_ns > 1999 && t.kernels[0].median_ns < 2001);
    assert_int_equal(t.kernels[0].twins.pairs, 40);
    assert_int_equal(t.kernels[0].twins.alarms, 0);
    assert_true(t.kernels[0].twins.smallest > 0.00999);
    kb_arena_free(&arena);
    fake_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_probes_are_timed_and_pairs_are_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
