/* shrink.c - the smallest case that still fails: parameters to their defaults, axes away,
 * to small sizes, halved and counted down, as long as it fails in the same way and there is
 * time.
 *
 * Sizes are tried from the smallest on: such cases take no time, and most faults show at a
 * few rows or columns. What lies between the largest size that passes and one that fails is
 * halved, then counted down one by one, so that the case next to the result is known to
 * pass. */
#include "session.h"

#include <stdlib.h>
#include <string.h>

enum {
    MEMORY = 1024,   /* cases that are tried, at most */
    SIZES_MAX = 256, /* of an axis */
    SMALL = 20,      /* sizes up to here are all tried */
    FIRST_LOOK = 4,  /* sizes of an axis before the others are looked at */
    AWAY_MAX = 32,   /* how far from a size to look for a legal one */
};

enum outcome { ILLEGAL, OTHER, PASSES, FAILS, FAILS_WHOLE, NO_TIME };

struct tried {
    struct kb_hash id;
    enum outcome outcome;
};

struct shrinker {
    const struct kb_shrink *how;
    const struct kb_job *job;
    const struct kb_row *row;
    struct kb_arena *arena, scratch;
    struct kb_problem *problem;
    int64_t deadline_ns;
    double ns_per_element; /* of the case itself, and so at most that of smaller ones */
    bool in_part;          /* some elements must be right */
    bool over;             /* the time is */
    bool left_out;         /* a case for which too little of it was left */
    struct tried tried[MEMORY];
    int n_tried;
    struct kb_case best;
    struct kb_row *last; /* that was run */
    struct kb_smallest found;
    int64_t whole_elements; /* of found.whole */
};

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
    if (s->n_tried == MEMORY) {
        s->over = true;
        return NULL;
    }
    s->tried[s->n_tried] = (struct tried){hash, ILLEGAL};
    return &s->tried[s->n_tried];
}

/* Run a case, if it is one; where `better` is asked for, one that fails is the best. */
static enum outcome try_case(struct shrinker *s, struct kb_case c, bool better) {
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

/* ---- parameters and rank
 * ----------------------------------------------------------------- */

static bool by_default(struct shrinker *s) {
    struct kb_case c = s->best;
    bool better = false;

    for (int i = 0; i < c.op->n_params; i++)
        c.set[i] = (struct kb_value){.v = c.op->params[i].def};
    c.fill = c.op->fills[0];
    if (try_case(s, c, true) == FAILS)
        return true;
    for (int i = 0; i < c.op->n_params; i++) {
        c = s->best;
        c.set[i] = (struct kb_value){.v = c.op->params[i].def};
        better |=
            !kb_value_same(&c.set[i], &s->best.set[i]) && try_case(s, c, true) == FAILS;
    }
    c = s->best;
    c.fill = c.op->fills[0];
    return better | (c.fill != s->best.fill && try_case(s, c, true) == FAILS);
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
        better |=
            try_case(s, without_item(&s->best, s->best.set[param].v, k), true) == FAILS;
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
            better |= try_case(s, c, true) == FAILS;
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
        if (try_case(s, c, true) != FAILS)
            break;
        better = true;
    }
    return better;
}

/* ---- sizes
 * ------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b) {
    int64_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* Sizes below `n`, ascending: all small ones, powers of two and their neighbours, halves.
 */
static int sizes_below(int64_t n, int64_t sizes[SIZES_MAX]) {
    int count = 0, kept = 0;

    for (int64_t i = 1; i <= SMALL; i++)
        sizes[count++] = i;
    for (int64_t power = 32; power < n && count < SIZES_MAX - 70; power *= 2)
        for (int64_t i = power - 1; i <= power + 1; i++)
            sizes[count++] = i;
    for (int64_t half = n / 2; half > SMALL && count < SIZES_MAX; half /= 2)
        sizes[count++] = half;
    qsort(sizes, (size_t)count, sizeof *sizes, by_size);
    for (int i = 0; i < count; i++)
        if (sizes[i] < n && (kept == 0 || sizes[i] != sizes[kept - 1]))
            sizes[kept++] = sizes[i];
    return kept;
}

static enum outcome try_size(struct shrinker *s, int axis, int64_t size) {
    struct kb_case c = s->best;

    c.shape[axis] = size;
    return try_case(s, c, true);
}

/* The first size that fails, of at most `max` that were run. Returns the largest below it
 * that passes, 0: none. */
static int64_t smallest_size(struct shrinker *s, int axis, int max) {
    int64_t sizes[SIZES_MAX], passed = 0;
    int n = sizes_below(s->best.shape[axis], sizes);

    for (int i = 0; i < n && max > 0 && !s->over; i++) {
        enum outcome outcome = try_size(s, axis, sizes[i]);
        if (outcome == FAILS)
            break;
        if (outcome == PASSES || outcome == FAILS_WHOLE)
            passed = sizes[i];
        max -= outcome >= PASSES;
    }
    return passed;
}

/* A size that is one, nearest to the middle between two. */
static enum outcome try_between(struct shrinker *s, int axis, int64_t low, int64_t high,
                                int64_t *size) {
    int64_t middle = low + (high - low) / 2;

    for (int64_t away = 0; away < AWAY_MAX; away++)
        for (int side = 0; side < 2; side++) {
            *size = side ? middle - away : middle + away;
            if (*size <= low || *size >= high)
                continue;
            enum outcome outcome = try_size(s, axis, *size);
            if (outcome >= PASSES)
                return outcome;
        }
    return ILLEGAL;
}

/* Halve what lies between a size that does not fail so and the best, which does. */
static void halve(struct shrinker *s, int axis, int64_t passed) {
    enum outcome outcome = PASSES;

    while (outcome != ILLEGAL && outcome != NO_TIME) {
        int64_t size;
        outcome = try_between(s, axis, passed, s->best.shape[axis], &size);
        if (outcome == PASSES || outcome == FAILS_WHOLE)
            passed = size;
    }
}

/* The first few sizes of each axis, before any of them is looked through: the others are
 * then tried with little to compute. */
static bool smaller_axes(struct shrinker *s) {
    struct kb_case before = s->best;

    for (int axis = 0; axis < s->best.rank && !s->over; axis++)
        smallest_size(s, axis, FIRST_LOOK);
    for (int axis = 0; axis < s->best.rank && !s->over; axis++)
        halve(s, axis, smallest_size(s, axis, SIZES_MAX));
    return memcmp(before.shape, s->best.shape, sizeof before.shape) != 0;
}

/* One less of an axis, or as little less as is legal: until none of those fails. What
 * passes is kept to be told. */
static bool count_down(struct shrinker *s) {
    for (int axis = s->best.rank - 1; axis >= 0 && !s->over; axis--) {
        struct kb_case c = s->best;
        enum outcome outcome = ILLEGAL;
        for (int i = 0; i < AWAY_MAX && c.shape[axis] > 1 && outcome < PASSES; i++) {
            c.shape[axis]--;
            outcome = try_case(s, c, true);
        }
        if (outcome == FAILS)
            return true;
        if (outcome == PASSES && !s->found.passes)
            s->found.passes = kb_case_id(&c, s->arena);
    }
    return false;
}

/* Where nothing next to it is smaller and passes: what is larger and does. */
static void count_up(struct shrinker *s) {
    for (int axis = s->best.rank - 1; axis >= 0 && !s->found.passes; axis--) {
        struct kb_case c = s->best;
        for (int i = 0; i < AWAY_MAX && !s->found.passes && !s->over; i++) {
            c.shape[axis]++;
            if (try_case(s, c, false) == PASSES)
                s->found.passes = kb_case_id(&c, s->arena);
        }
    }
}

/* ---- all of it
 * --------------------------------------------------------------------------- */

static void search(struct shrinker *s) {
    bool better = true;

    while (better && !s->over) {
        better = by_default(s);
        better |= shorter_lists(s);
        better |= fewer_axes(s);
        better |= smaller_axes(s);
        better = better || count_down(s);
    }
    if (!s->found.passes)
        count_up(s);
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
