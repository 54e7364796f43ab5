/* group_fixture.h - for tests: jobs side by side on the fake device. */
#ifndef KB_GROUP_FIXTURE_H
#define KB_GROUP_FIXTURE_H

#include "fake.h"
#include "group.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* By 1 %, another for each sample of a timer. */
static inline double noisy(int64_t i) {
    uint32_t r[4];

    kb_philox(11, 0, (uint64_t)i, r);
    return 1000 * (1 + 0.01 * (r[0] / 2147483648.0 - 1));
}

enum { MOST = 3 };

struct group {
    struct fake f;
    struct kb_job jobs[MOST];
    struct kb_row rows[MOST];
    int n;
    struct kb_err err;
};

/* Jobs of these builds, to be changed and run. */
static void make_group(struct group *g, const struct fake_script *script,
                       const char *const *builds, int n) {
    fake_open(&g->f, script);
    g->n = n;
    g->err = (struct kb_err){0};
    for (int i = 0; i < n; i++) {
        g->jobs[i] = g->f.job;
        g->jobs[i].build = builds[i];
        g->jobs[i].trusted_flags = true;
    }
}

/* False: the session has ended. */
static bool run_group(struct group *g) {
    g->f.device.case_id = g->jobs[0].case_id;
    bool ok =
        kb_session_run_group(&g->f.session, g->jobs, g->n, &g->f.arena, g->rows, &g->err);
    assert_true(ok == !g->f.session.dead);
    assert_int_equal(g->f.device.timers_open, 0);
    return ok;
}

static inline void run_builds(struct group *g, const struct fake_script *script,
                              const char *const *builds, int n) {
    make_group(g, script, builds, n);
    for (int i = 0; i < n; i++)
        g->jobs[i].methods = 1u << KB_GRAPH | 1u << KB_COLD;
    run_group(g);
}

static const char *const two[] __attribute__((unused)) = {"precise", "other=-DOTHER=1"};
static const char *const twice[] __attribute__((unused)) = {"precise", "precise"};

static inline void assert_speed(const struct group *g, int i, enum kb_speed_verdict verdict,
                                double ratio) {
    const struct kb_speed *s = &g->rows[i].against->speeds[KB_GRAPH];

    assert_true(s->there);
    if (s->verdict != verdict || !(fabs(s->ratio / ratio - 1) < 0.003))
        fail_msg("%s by %g, p %g", kb_speed_word(s->verdict), s->ratio, s->p);
    assert_true(s->low <= s->ratio && s->ratio <= s->high);
}

#endif
