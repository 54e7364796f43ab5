/* limit.c - how long a case may take where nobody said: a minute; on a CPU more where its
 * cost model says more, on a GPU where it may be timed for longer. */
#include "sampling.h"

enum {
    LEAST_MS = 60000,
    /* ten times what a check takes of two cores, all of its runs, where it is one of many
     * bytes or operations */
    NS_PER_FLOP = 20,
    NS_PER_BYTE = 500,
};

int64_t kb_work_limit_ms(const char *backend, const struct kb_problem *p) {
    double ms = ((double)p->flops * NS_PER_FLOP + (double)p->bytes * NS_PER_BYTE) / 1e6;
    const double most =
        1e10; /* in ns, and that of many cases together, it still is a number */

    if (!kb_streq(backend, "host") || ms <= LEAST_MS)
        return LEAST_MS;
    return (int64_t)(ms < most ? ms : most) / 1000 * 1000;
}

/* All of it that is not timing has half a minute. A method may take its longest time, and
 * its ceiling by the same method once more. */
static int64_t timing_limit_ms(const struct kb_job *job) {
    double s = 0;

    for (int m = 0; m < KB_METHOD_COUNT; m++)
        s += job->methods & 1u << m ? 2 * kb_max_time_s(job) : 0;
    s += job->energy ? 1 : 0;
    return job->mode == KB_BENCH ? LEAST_MS / 2 + (int64_t)(1e3 * s) : 0;
}

int64_t kb_job_limit_ms(const char *backend, const struct kb_job *job) {
    struct kb_complaints complaints = {0};
    struct kb_arena arena = {0};
    struct kb_case c = {0};
    struct kb_err err = {0};
    struct kb_problem *p = kb_arena_alloc(&arena, sizeof *p);
    int64_t ms = LEAST_MS, timing_ms = timing_limit_ms(job);

    if (kb_case_parse(job->case_id, &arena, &c, &complaints) &&
        kb_case_resolve(&c, p, &err))
        ms = kb_work_limit_ms(backend, p);
    if (!kb_streq(backend, "host") && timing_ms > ms)
        ms = timing_ms;
    kb_complaints_free(&complaints);
    kb_arena_free(&arena);
    return ms;
}
