/* ceiling.c - what a kernel can at most be: the time of a kernel without maths that moves
 * the same bytes (op stream), or of tensor cores that do as many flops (op mma), timed by
 * the same code in the same run, once per case and method. */
#include "session.h"

#include <math.h>

/* Enough for some 0.2 ms: the launch is lost in it. */
enum { MMA_STEPS = 1024 };

const char *kb_ceiling_op(const struct kb_problem *problem) {
    if (problem->mma_flops > 0)
        return "mma";
    return problem->ceiling_pattern && problem->ceiling_elements > 0 ? "stream" : NULL;
}

bool kb_ceiling_job(const struct kb_problem *problem, int64_t sm_count,
                    struct kb_arena *arena, struct kb_job *out, struct kb_err *err) {
    const char *name = kb_ceiling_op(problem);
    const struct kb_op *op = name ? kb_op_find(name) : NULL;
    struct kb_case c;

    if (!op)
        return kb_fail(err, KB_UNSUPPORTED, "no kernel to measure it with");
    kb_case_start(&c, op);
    c.dtype = problem->c->dtype;
    if (problem->mma_flops > 0) {
        c.rank = 2;
        c.shape[0] = sm_count;
        c.shape[1] = MMA_STEPS;
    } else {
        /* One for all dtypes of the same size: bits are all that it sees. */
        c.dtype = kb_dtype_bytes(c.dtype) == 2 ? KB_BF16 : c.dtype;
        c.rank = 1;
        c.shape[0] = problem->ceiling_elements;
        if (!kb_case_set(&c, "pattern", problem->ceiling_pattern, err))
            return false;
    }
    *out = (struct kb_job){.case_id = kb_case_id(&c, arena), .build = "precise"};
    return true;
}

/* That job, as far as a plan. */
static bool plan_ceiling(struct kb_session *s, const struct kb_problem *problem,
                         struct kb_arena *arena, struct kb_asked *out, struct kb_err *err) {
    const struct kb_device_limits *limits = &s->backend->info(s->device)->limits;
    struct kb_job job;

    if (!kb_ceiling_job(problem, limits->sm_count, arena, &job, err) ||
        !kb_session_plan(s, s->backend->name, limits, &job, arena, out, err))
        return false;
    out->plan.label = NULL; /* of no case that was asked for */
    return true;
}

static bool time_ceiling(struct kb_session *s, const struct kb_job *job,
                         const struct kb_problem *problem, enum kb_method method,
                         struct kb_ceiling *out, enum kb_quality *quality,
                         struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_asked *asked = kb_arena_alloc(&arena, sizeof *asked);
    struct kb_built *built = NULL;
    struct kb_slab slab = {0};
    struct kb_time time;
    bool ok = false;

    if (!plan_ceiling(s, problem, &arena, asked, err) ||
        !kb_session_build(s, &asked->plan, &asked->build, &built, err) ||
        !kb_session_slab(s, &asked->problem, &asked->plan, job->seed, &slab, err))
        goto out;
    struct kb_timed timed = {&asked->plan, built->code, &slab, NULL};
    ok = kb_time_plan(s, job, &timed, method, NULL, &arena, &time, err);
    if (ok) {
        out->median_ns = time.median_ns;
        out->flops = asked->problem.flops;
        *quality = time.quality;
    }
out:
    kb_slab_free(&slab);
    kb_arena_free(&arena);
    return ok;
}

static struct kb_ceiling *find(const struct kb_session *s, const char *case_id,
                               enum kb_method method, const struct kb_job *job) {
    struct kb_ceiling *k = s->ceilings;

    while (k && !(kb_streq(k->case_id, case_id) && k->method == method &&
                  k->sets == job->sets && k->duty == job->duty))
        k = k->next;
    return k;
}

/* Timed and kept, or why it is not; NULL when the case ends with the error. */
static struct kb_ceiling *measure(struct kb_session *s, const struct kb_job *job,
                                  const struct kb_problem *problem, const char *case_id,
                                  enum kb_method method, struct kb_err *err) {
    struct kb_ceiling *k = kb_arena_alloc(&s->arena, sizeof *k);
    enum kb_quality quality = KB_Q_OK;
    struct kb_err why = {0};

    *k = (struct kb_ceiling){
        .case_id = kb_arena_strdup(&s->arena, case_id),
        .method = method,
        .sets = job->sets,
        .duty = job->duty,
        .median_ns = NAN,
        .next = s->ceilings,
    };
    if (!time_ceiling(s, job, problem, method, k, &quality, &why)) {
        kb_at(&why, "no ceiling by %s", kb_method_word(method));
        if (kb_ends_case(s, &why)) {
            *err = why;
            return NULL;
        }
    } else if (quality != KB_Q_OK) { /* the share of it is no better than it is */
        kb_fail(&why, KB_UNSUPPORTED, "the ceiling by %s is %s itself",
                kb_method_word(method), kb_quality_word(quality));
    }
    k->why = why.kind ? kb_arena_strdup(&s->arena, why.msg) : NULL;
    s->ceilings = k;
    return k;
}

bool kb_session_ceiling(struct kb_session *s, const struct kb_job *job,
                        const struct kb_problem *problem, enum kb_method method,
                        struct kb_arena *arena, struct kb_row *row, double *ns,
                        struct kb_err *err) {
    const struct kb_device_limits *limits = &s->backend->info(s->device)->limits;
    enum kb_method by = problem->mma_flops > 0 ? KB_GRAPH : method;
    struct kb_job asked;

    *ns = NAN;
    if (!kb_ceiling_op(problem))
        return true;
    if (!kb_ceiling_job(problem, limits->sm_count, arena, &asked, err))
        return false;
    struct kb_ceiling *k = find(s, asked.case_id, by, job);
    if (!k)
        k = measure(s, job, problem, asked.case_id, by, err);
    if (!k)
        return false;
    if (k->why)
        kb_row_warn(row, arena, k->why);
    *ns = problem->mma_flops > 0
              ? k->median_ns * (double)problem->mma_flops / (double)k->flops
              : k->median_ns;
    return true;
}

bool kb_session_ceiling_build(struct kb_session *s, const struct kb_problem *problem,
                              struct kb_arena *arena, struct kb_err *err) {
    struct kb_asked *asked = kb_arena_alloc(arena, sizeof *asked);
    struct kb_built *built;
    struct kb_err why = {0};

    if (!kb_ceiling_op(problem))
        return true;
    if (plan_ceiling(s, problem, arena, asked, &why) &&
        kb_session_build(s, &asked->plan, &asked->build, &built, &why))
        return true;
    kb_at(&why, "no ceiling");
    if (!kb_ends_case(s, &why))
        return true; /* the run that times it says so */
    *err = why;
    return false;
}
