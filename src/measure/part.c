/* part.c - problems that run beside a case's own, whose results say whether a row depends
 * on other rows and a result on the inputs that were given before. */
#include "part.h"

#include "life.h"

#include <stdlib.h>
#include <string.h>

/* ---- what two tensors have in common ------------------------------------------------ */

/* The one axis whose length differs, -1 if none does, -2 if several do. */
static int only_axis(const struct kb_tensor_spec *a, const struct kb_tensor_spec *b) {
    int axis = -1;

    for (int i = 0; i < a->rank; i++) {
        if (a->shape[i] == b->shape[i])
            continue;
        if (axis >= 0)
            return -2;
        axis = i;
    }
    return axis;
}

/* Axes from `from` on, multiplied. */
static int64_t volume(const struct kb_tensor_spec *spec, int from, int to) {
    int64_t n = 1;

    for (int i = from; i < to; i++)
        n *= spec->shape[i];
    return n;
}

/* Trailing axes that are equal; what lies before them is one axis. */
static void flatten(const struct kb_tensor_spec *a, const struct kb_tensor_spec *b,
                    struct kb_common *out) {
    int64_t inner = 1;

    for (int i = 1; i <= a->rank && i <= b->rank; i++) {
        int64_t length = a->shape[a->rank - i];
        if (length != b->shape[b->rank - i] || i == a->rank || i == b->rank)
            break;
        inner *= length;
    }
    out->outer = 1;
    out->unit = (size_t)inner * kb_dtype_bytes(a->dtype);
    out->a_units = inner ? a->elements / inner : 0;
    out->b_units = inner ? b->elements / inner : 0;
}

bool kb_common_of(const struct kb_tensor_spec *a, const struct kb_tensor_spec *b,
                  int64_t a_rows, int64_t b_rows, struct kb_common *out) {
    *out = (struct kb_common){0};
    if (a->dtype != b->dtype || a->role != b->role || a->absent != b->absent)
        return false;
    int axis = a->rank == b->rank ? only_axis(a, b) : 0;
    if (axis == -2)
        return false;
    if (a->rank != b->rank) {
        flatten(a, b, out);
    } else if (axis >= 0) {
        out->outer = volume(a, 0, axis);
        out->unit = (size_t)volume(a, axis + 1, a->rank) * kb_dtype_bytes(a->dtype);
        out->a_units = a->shape[axis];
        out->b_units = b->shape[axis];
    } else {
        out->outer = out->units = out->a_units = out->b_units = 1;
        out->unit = (size_t)a->elements * kb_dtype_bytes(a->dtype);
        return true;
    }
    if (out->b_units > out->a_units)
        return false;
    /* Padded axes are longer than there are rows, and not in proportion. */
    int64_t per_row = a_rows && out->a_units % a_rows == 0 ? out->a_units / a_rows : 0;
    bool exact = per_row > 0 && out->b_units == per_row * b_rows;
    out->units = exact || out->b_units < b_rows ? out->b_units : b_rows;
    out->units_of_row = exact ? per_row : 1;
    return true;
}

/* ---- making them -------------------------------------------------------------------- */

static int64_t rows_of(const struct kb_problem *p) {
    const struct kb_op *op = p->c->op;

    for (int i = 0; i < p->n_names && op->batch; i++)
        if (kb_streq(p->names[i].name, op->batch))
            return (int64_t)p->names[i].value;
    return 0;
}

static int64_t tensor_bytes(const struct kb_problem *p) {
    int64_t bytes = 0;

    for (int t = 0; t < p->n_tensors; t++)
        bytes += p->tensors[t].elements * (int64_t)kb_dtype_bytes(p->tensors[t].dtype);
    return bytes;
}

static int64_t output_elements(const struct kb_problem *p) {
    int64_t n = 0;

    for (int t = 0; t < p->n_tensors; t++)
        n += p->tensors[t].role == KB_IN ? 0 : p->tensors[t].elements;
    return n;
}

static bool same_entries(const struct kb_plan *a, const struct kb_plan *b) {
    bool same = a->n_launches == b->n_launches;

    for (int i = 0; same && i < a->n_launches; i++)
        same = kb_streq(a->launches[i].entry, b->launches[i].entry);
    return same;
}

/* Code that the part shares with the case, or its own where that may be compiled. */
static bool plan_part(struct life *l, const struct kb_part_limits *limits,
                      struct kb_part *part) {
    const struct kb_backend *backend = l->session->backend;
    struct kb_err err = {0};

    if (!kb_plan_like(&l->asked.plan, &part->problem, backend->name,
                      &backend->info(l->session->device)->limits, l->arena, &part->plan,
                      &err))
        return false;
    part->built = l->built;
    if (same_entries(&part->plan, &l->asked.plan))
        return true;
    return limits->build &&
           kb_session_build(l->session, &part->plan, &l->asked.build, &part->built, &err);
}

/* Whether every tensor of the part is part of the case's. */
static bool is_batch(const struct life *l, const struct kb_part *part, int64_t rows) {
    const struct kb_problem *p = &l->asked.problem;
    struct kb_common common;

    if (part->problem.n_tensors != p->n_tensors)
        return false;
    for (int t = 0; t < p->n_tensors; t++)
        if (!p->tensors[t].derived &&
            !kb_common_of(&p->tensors[t], &part->problem.tensors[t], rows, part->rows,
                          &common))
            return false;
    return rows_of(&part->problem) == part->rows;
}

static bool make_batch(struct life *l, const struct kb_part_limits *limits, int64_t rows,
                       int64_t first, struct kb_part *part) {
    const struct kb_op *op = l->asked.c.op;
    struct kb_err err = {0};

    *part = (struct kb_part){.rows = first, .seed = l->job->seed, .c = l->asked.c};
    part->c.shape[0] = first;
    if (op->first_rows && !op->first_rows(&l->asked.problem, first, &part->c))
        return false;
    return kb_case_resolve(&part->c, &part->problem, &err) && is_batch(l, part, rows) &&
           plan_part(l, limits, part);
}

static bool make_fresh(struct life *l, const struct kb_part_limits *limits,
                       struct kb_part *part) {
    int64_t elements = output_elements(&l->asked.problem);

    if (elements == 0 || elements > limits->fresh_elements || l->job->sample_rows)
        return false;
    *part = (struct kb_part){
        .seed = l->job->seed + 1,
        .c = l->asked.c,
        .problem = l->asked.problem,
        .plan = l->asked.plan,
        .built = l->built,
    };
    return true;
}

int kb_parts_make(struct life *l, const struct kb_part_limits *limits,
                  struct kb_part *parts) {
    int64_t rows = rows_of(&l->asked.problem);
    int n = 0;

    if (rows > 1) {
        int64_t row_bytes = tensor_bytes(&l->asked.problem) / rows + 1;
        int64_t most = limits->batch_bytes / row_bytes;
        int64_t half = rows / 2 < most ? rows / 2 : most;
        n += half > 1 && make_batch(l, limits, rows, half, &parts[n]);
        n += row_bytes <= limits->batch_bytes && make_batch(l, limits, rows, 1, &parts[n]);
    }
    n += make_fresh(l, limits, &parts[n]);
    for (int i = 0; i < n; i++)
        parts[i].problem.c = &parts[i].c; /* where they are now */
    return n;
}

/* ---- contents ----------------------------------------------------------------------- */

void kb_part_bytes(const struct kb_part *part, size_t *bytes) {
    const struct kb_problem *p = &part->problem;

    for (int t = 0; t < p->n_tensors; t++)
        bytes[t] = (size_t)p->tensors[t].elements * kb_dtype_bytes(p->tensors[t].dtype);
    for (int i = 0; i < part->plan.n_scratch; i++)
        bytes[p->n_tensors + i] = part->plan.scratch[i].bytes;
}

/* What tensor `t` of the case has in common with the part's. */
static struct kb_common common_of(const struct life *l, const struct kb_part *part, int t) {
    struct kb_common common;

    kb_common_of(&l->asked.problem.tensors[t], &part->problem.tensors[t],
                 rows_of(&l->asked.problem), part->rows, &common);
    return common;
}

static void copy_rows(const struct life *l, const struct kb_part *part, int t,
                      unsigned char *to) {
    struct kb_common c = common_of(l, part, t);
    const unsigned char *from = kb_slab_at(&l->initial, t);

    for (int64_t o = 0; o < c.outer; o++)
        memcpy(to + (size_t)(o * c.b_units) * c.unit,
               from + (size_t)(o * c.a_units) * c.unit, (size_t)c.b_units * c.unit);
}

void kb_part_fill(struct life *l, const struct kb_part *part, void *const *at) {
    const struct kb_problem *p = &part->problem;
    size_t bytes[KB_MAX_TENSORS + KB_MAX_SCRATCH];

    kb_part_bytes(part, bytes);
    for (int t = 0; t < p->n_tensors; t++) {
        if (!bytes[t])
            continue;
        if (p->tensors[t].role == KB_OUT)
            kb_poison(at[t], bytes[t], 0);
        else if (part->rows && !p->tensors[t].derived)
            copy_rows(l, part, t, at[t]);
        else
            p->c->op->fill(p, t, part->seed, 0, p->tensors[t].elements, at[t]);
    }
    for (int i = 0; i < part->plan.n_scratch; i++) {
        int slot = p->n_tensors + i;
        if (part->plan.scratch[i].start == KB_SCRATCH_POISON)
            kb_poison(at[slot], bytes[slot], 0);
        else if (bytes[slot])
            memset(at[slot], 0, bytes[slot]);
    }
}

/* ---- judging ------------------------------------------------------------------------ */

static bool judge_rows(struct life *l, const struct kb_part *part, int t,
                       const unsigned char *got) {
    struct kb_common c = common_of(l, part, t);
    const unsigned char *want = kb_slab_at(&l->first, t);

    for (int64_t o = 0; o < c.outer && c.units_of_row > 0; o++) {
        const unsigned char *a = want + (size_t)(o * c.a_units) * c.unit;
        const unsigned char *b = got + (size_t)(o * c.b_units) * c.unit;
        if (!memcmp(a, b, (size_t)c.units * c.unit))
            continue;
        int64_t u = 0;
        while (!memcmp(a + (size_t)u * c.unit, b + (size_t)u * c.unit, c.unit))
            u++;
        return kb_life_stop(l, KB_R_BATCH,
                            "%s: row %lld has other bits when only the first %s there",
                            part->problem.tensors[t].name, (long long)(u / c.units_of_row),
                            part->rows == 1 ? "row is"
                                            : kb_arena_printf(l->arena, "%lld rows are",
                                                              (long long)part->rows));
    }
    return true;
}

/* The inputs as they were: those that the launches changed are filled once more. */
static void inputs_of(const struct kb_part *part, void *const *at, const void **in,
                      void **again) {
    const struct kb_problem *p = &part->problem;

    for (int t = 0; t < p->n_tensors; t++) {
        const struct kb_tensor_spec *spec = &p->tensors[t];
        in[t] = at[t];
        if (spec->role != KB_INOUT || !spec->elements)
            continue;
        again[t] = malloc((size_t)spec->elements * kb_dtype_bytes(spec->dtype));
        if (!again[t])
            kb_out_of_memory();
        p->c->op->fill(p, t, part->seed, 0, spec->elements, again[t]);
        in[t] = again[t];
    }
}

static bool judge_fresh(struct life *l, const struct kb_part *part, void *const *at) {
    const struct kb_problem *p = &part->problem;
    const struct kb_op *op = p->c->op;
    const void *in[KB_MAX_TENSORS];
    void *again[KB_MAX_TENSORS] = {0};

    inputs_of(part, at, in, again);
    void *prepared = op->prepare ? op->prepare(p, in) : NULL;
    for (int t = 0; t < p->n_tensors && l->row->reason == KB_R_NONE; t++) {
        struct kb_output_report report;
        if (p->tensors[t].role == KB_IN || p->tensors[t].absent)
            continue;
        struct kb_compare_args args = kb_life_compare_args(l, t);
        args.problem = p;
        args.in = in;
        args.prepared = prepared;
        args.got = at[t];
        args.kept = kb_kept_find(&l->session->kept, &args);
        kb_compare(&args, &report);
        if (report.over > 0)
            kb_life_stop(
                l, KB_R_MISMATCH,
                "%s: %lld of %lld elements are wrong with the inputs of seed %llu, "
                "launched %s",
                p->tensors[t].name, (long long)report.over, (long long)report.elements,
                (unsigned long long)part->seed, "after those of the case");
    }
    free(prepared);
    for (int t = 0; t < p->n_tensors; t++)
        free(again[t]);
    return l->row->reason == KB_R_NONE;
}

bool kb_part_judge(struct life *l, const struct kb_part *part, void *const *at) {
    if (!part->rows)
        return judge_fresh(l, part, at);
    for (int t = 0; t < part->problem.n_tensors; t++) {
        const struct kb_tensor_spec *spec = &part->problem.tensors[t];
        if (spec->role != KB_IN && spec->elements > 0 && !judge_rows(l, part, t, at[t]))
            return false;
    }
    return true;
}
