/* shrink.c - the smallest case that still fails: parameters to their defaults, axes away,
 * to small sizes, halved and counted down, as long as it fails in the same way and there is
 * time. */
#include "shrink.h"

#include <stdlib.h>
#include <string.h>

/* ---- one case --------------------------------------------------------------------------
 */

static int64_t elements_of(const struct kb_problem *p) {
    int64_t n = 0;

    for (int t = 0; t < p->n_tensors; t++)
        n += p->tensors[t].elements;
    return n;
}

/* A device that broke off a launch is lost for a second each time. */
static bool is_failure(enum kb_reason reason) {
    return (kb_reason_verdict(reason) == KB_FAIL && reason != KB_R_TIMED_OUTPUT) ||
           reason == KB_R_CRASH;
}

/* Of the output that the row is about. */
static const struct kb_output_report *failed_output(const struct kb_row *row) {
    for (int i = 0; i < row->n_outputs; i++)
        if (row->outputs[i].over > 0)
            return &row->outputs[i];
    return NULL;
}

static enum outcome outcome_of(const struct shrinker *s, const struct kb_row *row) {
    const struct kb_output_report *o = failed_output(row);

    if (row->reason == KB_R_NONE)
        return PASSES;
    if (row->reason != s->row->reason)
        return OTHER;
    return s->in_part && o && o->over == o->checked ? FAILS_WHOLE : FAILS;
}

static struct kb_job job_of(const struct shrinker *s, const char *id) {
    struct kb_job job = *s->job;

    job.case_id = id;
    job.variant = s->row->variant;
    job.mode = KB_CHECK;
    job.time_failing = false;
    job.dump = NULL;
    job.loaded_only = s->how->loaded_only;
    job.one_run = s->row->orders == 0; /* the first run showed it */
    return job;
}

/* Nanoseconds, if there is time for so many elements. */
static int64_t time_for(struct shrinker *s, int64_t elements) {
    int64_t left = s->deadline_ns - kb_now_ns();
    double wanted = s->ns_per_element * (double)elements;

    if (left <= 0 || (s->how->stop && s->how->stop())) {
        s->over = true;
        return 0;
    }
    s->left_out |= wanted >= (double)left;
    return wanted < (double)left ? left : 0;
}

static enum outcome run(struct shrinker *s, const char *id) {
    int64_t elements = elements_of(s->problem), left = time_for(s, elements);
    struct kb_job job = job_of(s, id);

    s->last = kb_arena_alloc(&s->scratch, sizeof *s->last);
    if (left == 0)
        return NO_TIME;
    if (!s->how->run(s->how->context, &job, left / 1000000 + 1, &s->scratch, s->last)) {
        s->over = true;
        return NO_TIME;
    }
    enum outcome outcome = outcome_of(s, s->last);
    s->found.tried += outcome != OTHER;
    return outcome;
}

/* From now on it is the best. */
static void accept(struct shrinker *s, const struct kb_case *c, const struct kb_row *row) {
    const struct kb_output_report *o = failed_output(row);

    s->best = *c;
    s->best.id = s->found.case_id = kb_arena_strdup(s->arena, c->id);
    s->found.where = o && o->local ? kb_arena_strdup(s->arena, o->local->where) : NULL;
    s->found.repeat = kb_arena_strdup(s->arena, row->repeat);
    s->found.passes = NULL;
}

static struct tried *find(struct shrinker *s, const char *id) {
    struct kb_hash hash = kb_hash_of(id, strlen(id));

    for (int i = 0; i < s->n_tried; i++)
        if (!memcmp(&s->tried[i].id, &hash, sizeof hash))
            return &s->tried[i];
    if (s->n_tried == SHRINK_MEMORY) {
        s->over = true;
        return NULL;
    }
    s->tried[s->n_tried] = (struct tried){hash, ILLEGAL};
    return &s->tried[s->n_tried];
}

enum outcome kb_shrink_try(struct shrinker *s, struct kb_case c, bool better) {
    struct kb_err err = {0};

    kb_arena_reset(&s->scratch);
    if (s->over || !kb_case_resolve(&c, s->problem, &err))
        return s->over ? NO_TIME : ILLEGAL;
    c.id = kb_case_id(&c, &s->scratch);
    struct tried *t = find(s, c.id);
    if (!t)
        return NO_TIME;
    if (t != &s->tried[s->n_tried]) /* what fails is, or was, the best: no news */
        return t->outcome == FAILS ? OTHER : t->outcome;
    enum outcome outcome = run(s, c.id);
    if (outcome == NO_TIME)
        return NO_TIME; /* a smaller one may still have it */
    t->outcome = outcome;
    s->n_tried++;
    if (outcome == FAILS && better) {
        accept(s, &c, s->last);
    } else if (outcome == FAILS_WHOLE &&
               (!s->found.whole || elements_of(s->problem) < s->whole_elements)) {
        s->found.whole = kb_arena_strdup(s->arena, c.id);
        s->whole_elements = elements_of(s->problem);
    }
    return outcome;
}

/* ---- parameters and rank ----------------------------------------------------------- */

static bool by_default(struct shrinker *s) {
    struct kb_case c = s->best;
    bool better = false;

    for (int i = 0; i < c.op->n_params; i++)
        c.set[i] = (struct kb_value){.v = c.op->params[i].def};
    c.fill = c.op->fills[0];
    if (kb_shrink_try(s, c, true) == FAILS)
        return true;
    for (int i = 0; i < c.op->n_params; i++) {
        c = s->best;
        c.set[i] = (struct kb_value){.v = c.op->params[i].def};
        better |= !kb_value_same(&c.set[i], &s->best.set[i]) &&
                  kb_shrink_try(s, c, true) == FAILS;
    }
    c = s->best;
    c.fill = c.op->fills[0];
    return better | (c.fill != s->best.fill && kb_shrink_try(s, c, true) == FAILS);
}

static bool is_list(const struct kb_case *c, int param) {
    return c->op->params[param].kind == KB_PARAM_LIST && c->set[param].v > 0;
}

/* Without item `k` of each list that has as many. */
static struct kb_case without_item(const struct kb_case *from, double count, int k) {
    struct kb_case c = *from;

    for (int i = 0; i < c.op->n_params; i++) {
        struct kb_value value = c.set[i];
        if (!is_list(&c, i) || value.v != count || value.v < 2)
            continue;
        memmove(value.items + k, value.items + k + 1,
                (size_t)((int)count - k - 1) * sizeof *value.items);
        value.items[(int)count - 1] = 0;
        value.v--;
        kb_case_put_list(&c, i, &value);
    }
    return c;
}

/* Fewer items, then smaller ones; the axes that are their sum with them. */
static bool shorter_list(struct shrinker *s, int param) {
    bool better = false;

    for (int k = (int)s->best.set[param].v - 1; k >= 0 && !s->over; k--)
        better |= kb_shrink_try(s, without_item(&s->best, s->best.set[param].v, k), true) ==
                  FAILS;
    for (int k = 0; k < (int)s->best.set[param].v && !s->over; k++) {
        const int64_t item = s->best.set[param].items[k];
        const int64_t sizes[] = {0, 1, 2, item / 2, item - 1};
        for (size_t i = 0; i < KB_COUNT(sizes); i++) {
            struct kb_case c = s->best;
            struct kb_value value = c.set[param];
            if (sizes[i] < 0 || sizes[i] >= value.items[k])
                continue;
            value.items[k] = sizes[i];
            kb_case_put_list(&c, param, &value);
            better |= kb_shrink_try(s, c, true) == FAILS;
        }
    }
    return better;
}

static bool shorter_lists(struct shrinker *s) {
    bool better = false;

    for (int i = 0; i < s->best.op->n_params && !s->over; i++)
        if (is_list(&s->best, i))
            better |= shorter_list(s, i);
    return better;
}

static bool fewer_axes(struct shrinker *s) {
    bool better = false;

    while (s->best.rank > 2 && !s->over) {
        struct kb_case c = s->best;
        c.rank--;
        memmove(c.shape, c.shape + 1, (size_t)c.rank * sizeof *c.shape);
        c.shape[c.rank] = 0;
        if (kb_shrink_try(s, c, true) != FAILS)
            break;
        better = true;
    }
    return better;
}

/* ---- all of it --------------------------------------------------------------------- */

static void search(struct shrinker *s) {
    bool better = true;

    while (better && !s->over) {
        better = by_default(s);
        better |= shorter_lists(s);
        better |= fewer_axes(s);
        better |= kb_shrink_smaller_axes(s);
        better = better || kb_shrink_count_down(s);
    }
    if (!s->found.passes)
        kb_shrink_count_up(s);
    s->found.done = !s->over && !s->left_out;
}

static bool begin(struct shrinker *s) {
    const struct kb_output_report *o = failed_output(s->row);
    struct kb_complaints c = {0};
    struct kb_err err = {0};
    bool is_case = kb_case_parse(s->job->case_id, s->arena, &s->best, &c) &&
                   kb_case_resolve(&s->best, s->problem, &err);

    kb_complaints_free(&c);
    if (!is_case)
        return false;
    s->best.tolerance = s->job->tolerance;
    find(s, s->best.id)->outcome = FAILS;
    s->n_tried++;
    s->in_part = o && o->local && o->local->pattern != KB_P_EVERYWHERE;
    s->ns_per_element = s->row->ms_check * 1e6 / (double)(elements_of(s->problem) + 1);
    s->found = (struct kb_smallest){
        .case_id = s->best.id,
        .where = o && o->local ? o->local->where : NULL,
        .repeat = s->row->repeat,
    };
    return true;
}

const struct kb_smallest *kb_shrink(const struct kb_shrink *how, const struct kb_job *job,
                                    const struct kb_row *row, struct kb_arena *arena) {
    struct kb_smallest *found = NULL;

    /* A file's inputs are those of its case alone. */
    if (!is_failure(row->reason) || !row->variant || job->load)
        return NULL;
    struct shrinker *s = calloc(1, sizeof *s);
    struct kb_problem *problem = calloc(1, sizeof *problem);
    if (!s || !problem)
        kb_out_of_memory();
    s->how = how;
    s->job = job;
    s->row = row;
    s->arena = arena;
    s->problem = problem;
    s->deadline_ns = kb_now_ns() + how->budget_ms * 1000000;
    if (begin(s)) {
        search(s);
        struct kb_err err = {0};
        bool known = kb_case_resolve(&s->best, problem, &err);
        if (!known || s->whole_elements >= elements_of(problem))
            s->found.whole = NULL;
        found = kb_arena_alloc(arena, sizeof *found);
        *found = s->found;
    }
    kb_arena_free(&s->scratch);
    free(problem);
    free(s);
    return found;
}

bool kb_shrink_run_in_worker(void *worker, const struct kb_job *job, int64_t timeout_ms,
                             struct kb_arena *arena, struct kb_row *row) {
    struct kb_err err = {0};

    return kb_worker_run(worker, job, timeout_ms, arena, row, &err);
}
