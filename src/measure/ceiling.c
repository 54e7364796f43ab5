/* ceiling.c - the time of a kernel without maths that moves the same bytes: op stream,
 * timed by the same code and method in the same run, once per pattern, bytes and method. */
#include "session.h"

#include <math.h>

bool kb_ceiling_job(const struct kb_problem *problem, struct kb_arena *arena,
                    struct kb_job *out, struct kb_err *err) {
    const struct kb_op *op = kb_op_find("stream");
    struct kb_case c;

    if (!op || !problem->ceiling_pattern || problem->ceiling_elements <= 0)
        return kb_fail(err, KB_UNSUPPORTED, "no op stream to measure it with");
    kb_case_start(&c, op);
    c.dtype = problem->c->dtype;
    c.rank = 1;
    c.shape[0] = problem->ceiling_elements;
    if (!kb_case_set(&c, "pattern", problem->ceiling_pattern, err))
        return false;
    *out = (struct kb_job){.case_id = kb_case_id(&c, arena), .build = "precise"};
    return true;
}

/* The stream case of `problem`'s bytes, as far as a plan. */
static bool plan_stream(struct kb_session *s, const struct kb_problem *problem,
                        struct kb_arena *arena, struct kb_asked *out, struct kb_err *err) {
    const struct kb_device_limits *limits = &s->backend->info(s->device)->limits;
    struct kb_job job;

    if (!kb_ceiling_job(problem, arena, &job, err) ||
        !kb_session_plan(s, s->backend->name, limits, &job, arena, out, err))
        return false;
    out->plan.label = NULL; /* of no case that was asked for */
    return true;
}

static bool time_stream(struct kb_session *s, const struct kb_job *job,
                        const struct kb_problem *problem, enum kb_method method,
                        double *median_ns, enum kb_quality *quality, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_asked *asked = kb_arena_alloc(&arena, sizeof *asked);
    struct kb_built *built = NULL;
    struct kb_slab slab = {0};
    struct kb_time time;
    bool ok = false;

    if (!plan_stream(s, problem, &arena, asked, err) ||
        !kb_session_build(s, &asked->plan, &asked->build, &built, err) ||
        !kb_session_slab(s, &asked->problem, &asked->plan, job->seed, &slab, err))
        goto out;
    struct kb_timed timed = {&asked->plan, built->code, &slab, NULL};
    ok = kb_time_plan(s, job, &timed, method, NULL, &arena, &time, err);
    if (ok) {
        *median_ns = time.median_ns;
        *quality = time.quality;
    }
out:
    kb_slab_free(&slab);
    kb_arena_free(&arena);
    return ok;
}

/* One for all dtypes of the same size: bits are all that the stream kernel sees. */
static struct kb_ceiling *find(const struct kb_session *s, const struct kb_job *job,
                               const struct kb_problem *problem, enum kb_method method) {
    struct kb_ceiling *k = s->ceilings;

    while (k && !(kb_streq(k->pattern, problem->ceiling_pattern) && k->method == method &&
                  k->elements == problem->ceiling_elements &&
                  kb_dtype_bytes(k->dtype) == kb_dtype_bytes(problem->c->dtype) &&
                  k->sets == job->sets))
        k = k->next;
    return k;
}

static struct kb_ceiling *keep(struct kb_session *s, const struct kb_job *job,
                               const struct kb_problem *problem, enum kb_method method,
                               double median_ns, const struct kb_err *why) {
    struct kb_ceiling *k = kb_arena_alloc(&s->arena, sizeof *k);

    *k = (struct kb_ceiling){
        .pattern = kb_arena_strdup(&s->arena, problem->ceiling_pattern),
        .elements = problem->ceiling_elements,
        .dtype = problem->c->dtype,
        .method = method,
        .sets = job->sets,
        .median_ns = median_ns,
        .why = why->kind ? kb_arena_strdup(&s->arena, why->msg) : NULL,
        .next = s->ceilings,
    };
    s->ceilings = k;
    return k;
}

bool kb_session_ceiling(struct kb_session *s, const struct kb_job *job,
                        const struct kb_problem *problem, enum kb_method method,
                        struct kb_arena *arena, struct kb_row *row, double *ns,
                        struct kb_err *err) {
    struct kb_err why = {0};
    double median_ns = NAN;
    enum kb_quality quality = KB_Q_OK;

    *ns = NAN;
    if (!problem->ceiling_pattern || problem->ceiling_elements <= 0)
        return true;
    struct kb_ceiling *k = find(s, job, problem, method);
    if (!k) {
        if (!time_stream(s, job, problem, method, &median_ns, &quality, &why)) {
            kb_at(&why, "no ceiling by %s", kb_method_word(method));
            if (kb_ends_case(s, &why)) {
                *err = why;
                return false;
            }
        } else if (quality != KB_Q_OK) { /* the share of it is no better than it is */
            kb_fail(&why, KB_UNSUPPORTED, "the ceiling by %s is %s itself",
                    kb_method_word(method), kb_quality_word(quality));
        }
        k = keep(s, job, problem, method, median_ns, &why);
    }
    if (k->why)
        kb_row_warn(row, arena, k->why);
    *ns = k->median_ns;
    return true;
}

bool kb_session_ceiling_build(struct kb_session *s, const struct kb_problem *problem,
                              struct kb_arena *arena, struct kb_err *err) {
    struct kb_asked *asked = kb_arena_alloc(arena, sizeof *asked);
    struct kb_built *built;
    struct kb_err why = {0};

    if (!problem->ceiling_pattern || problem->ceiling_elements <= 0)
        return true;
    if (plan_stream(s, problem, arena, asked, &why) &&
        kb_session_build(s, &asked->plan, &asked->build, &built, &why))
        return true;
    kb_at(&why, "no ceiling");
    if (!kb_ends_case(s, &why))
        return true; /* the run that times it says so */
    *err = why;
    return false;
}
