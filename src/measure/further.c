/* further.c - one run of a case besides the first: its launches, and what they left. */
#include "further.h"

#include <stdlib.h>
#include <string.h>

static bool on_host(const struct life *l) {
    return kb_streq(l->session->backend->name, "host");
}

static int n_tensors(const struct life *l) {
    return l->asked.problem.n_tensors;
}

/* ---- launches ----------------------------------------------------------------------- */

/* The launches of a part behind those of the plan, over the slots of the part. */
static void join_launches(const struct life *l, const struct kb_part *part, int k,
                          struct kb_plan *plan) {
    for (int i = 0; i < part->plan.n_launches; i++) {
        struct kb_launch *launch = &plan->launches[plan->n_launches++];
        *launch = part->plan.launches[i];
        for (int a = 0; a < launch->n_args; a++) {
            struct kb_arg *arg = &launch->args[a];
            if (arg->kind == KB_ARG_SCRATCH)
                arg->index += (k + 1) * part->plan.n_scratch;
            else if (arg->kind != KB_ARG_SCALAR)
                arg->index += (k + 1) * n_tensors(l);
        }
    }
    for (int i = 0; i < part->plan.n_scratch; i++)
        plan->scratch[plan->n_scratch++] = part->plan.scratch[i];
}

static const struct kb_plan *plan_of(struct life *l, const struct kb_further *f) {
    const struct kb_part *parts[KB_MAX_PARTS];
    int n = kb_further_joined(l, f, parts);

    if (!n)
        return &l->asked.plan;
    struct kb_plan *plan = kb_arena_alloc(l->arena, sizeof *plan);
    *plan = l->asked.plan;
    for (int k = 0; k < n; k++)
        join_launches(l, parts[k], k, plan);
    return plan;
}

static struct kb_run_options options_of(const struct life *l, const struct kb_further *f) {
    struct kb_run_options options = {
        .no_pdl = f->ways & KB_BY_NO_PDL,
        .late = f->ways & KB_BY_LATE,
        .late_bytes = f->late_bytes,
        .ahead = f->ways & KB_BY_AHEAD && on_host(l),
        .twice = kb_further_twice(l, f),
        .inputs = &l->initial,
        .taken = kb_further_taken(l, f),
    };

    if (f->ways & KB_BY_ORDER) {
        options.order = f->order;
        options.schedule_seed = f->schedule_seed;
    }
    if (f->ways & KB_BY_REPEATS) {
        options.repeats = f->repeats;
        options.repeat_ns = f->repeat_ns;
    }
    for (int t = 0; t < n_tensors(l); t++)
        if (l->asked.problem.tensors[t].role != KB_IN)
            options.compared |= UINT64_C(1) << t;
    return options;
}

/* Whether turned inputs are inputs of the op: adversarial fills put things where the op can
 * bear them, a NaN behind a mask. So may whoever wrote a file. */
static bool may_be_turned(const struct life *l) {
    return !l->job->load && l->asked.c.fill == l->asked.c.op->fills[0];
}

/* A few rows of each output of a launch over turned inputs, by the reference. */
static bool judge_turned(struct life *l) {
    enum { ROWS = 8 };
    const struct kb_problem *p = &l->asked.problem;
    const void *in[KB_MAX_TENSORS];
    void *again[KB_MAX_TENSORS] = {0}; /* what was written over */

    for (int t = 0; t < p->n_tensors; t++) {
        in[t] = l->initial.slots[t].bytes ? kb_slab_at(&l->work, t) : NULL;
        if (p->tensors[t].role != KB_INOUT || !in[t])
            continue;
        in[t] = again[t] = malloc(l->initial.slots[t].bytes);
        if (!again[t])
            kb_out_of_memory();
        kb_further_turned(l, t, again[t]);
    }
    for (int t = 0; t < p->n_tensors && l->row->reason == KB_R_NONE; t++) {
        struct kb_sampled rows = {0};
        struct kb_output_report report;
        if (p->tensors[t].role == KB_IN || !in[t])
            continue;
        kb_sampled_make(p, t, ROWS, l->job->seed, l->arena, &rows);
        struct kb_compare_args args = kb_life_compare_args(l, t);
        args.in = in;
        args.prepared = NULL;
        args.sample = rows.n ? &rows : NULL;
        args.kept = kb_kept_find(&l->session->kept, &args);
        kb_compare(&args, &report);
        if (report.over > 0)
            kb_life_stop(
                l, KB_R_MISMATCH,
                "%s: %lld of %lld checked elements are wrong with the inputs turned "
                "by a third, launched after those of the case",
                p->tensors[t].name, (long long)report.over, (long long)report.checked);
    }
    for (int t = 0; t < p->n_tensors; t++)
        free(again[t]);
    return l->row->reason == KB_R_NONE;
}

/* Where all runs share a process, launches over other inputs are runs of their own: first
 * over quite other ones, so that what is kept of the runs before shows or is replaced; then
 * over those that differ in a few elements, which a kernel that looks at some of them takes
 * for the case's own. *changed: how many. */
static bool run_ahead(struct life *l, const struct kb_further *f, struct kb_patch *truth,
                      int *changed) {
    const struct kb_run_options plain = {.no_pdl = f->ways & KB_BY_NO_PDL};
    struct kb_run_result result;

    for (int t = 0; t < n_tensors(l); t++)
        if (l->asked.problem.tensors[t].role != KB_OUT)
            kb_further_turned(l, t, kb_slab_at(&l->work, t));
    if (!kb_life_run_plan(l, &l->asked.plan, l->built->code, &l->work, &plain, &result) ||
        (may_be_turned(l) && !judge_turned(l)))
        return false;
    kb_further_put_back(l);
    *changed = kb_further_decoys(l, &l->work, truth);
    if (!kb_life_run_plan(l, &l->asked.plan, l->built->code, &l->work, &plain, &result))
        return false;
    kb_further_put_back(l);
    return true;
}

/* ---- what it left ------------------------------------------------------------------- */

/* Elements with other bits than the first run's that hold the run's own poison. */
static int64_t lost(const struct life *l, int t) {
    const struct kb_tensor_spec *spec = &l->asked.problem.tensors[t];
    const void *first = kb_slab_at(&l->first, t), *now = kb_slab_at(&l->work, t);
    int64_t n = 0;

    for (int64_t i = 0; i < spec->elements && spec->role == KB_OUT; i++) {
        uint32_t bits = kb_bits_at(spec->dtype, now, i);
        n +=
            bits != kb_bits_at(spec->dtype, first, i) && kb_is_poison(spec->dtype, bits, 1);
    }
    return n;
}

/* What other bits mean where a run differs in one way. */
static enum kb_reason reason_of(unsigned ways) {
    switch (ways) {
    case KB_BY_SHIFT:
        return KB_R_ALIGNMENT;
    case KB_BY_LATE:
        return KB_R_EARLY_READ;
    case KB_BY_AHEAD:
        return KB_R_STALE;
    default:
        return KB_R_ORDER;
    }
}

static bool other_bits(struct life *l, const struct kb_further *f, int t, int64_t n) {
    const struct kb_tensor_spec *spec = &l->asked.problem.tensors[t];
    struct kb_buf how = {0};
    int64_t n_lost = f->ways == KB_BY_LATE || f->ways == KB_BY_ORDER ? lost(l, t) : 0;

    if (n_lost == n && f->ways == KB_BY_ORDER)
        return kb_life_stop(l, KB_R_UNWRITTEN,
                            "%s: %lld of %lld elements are not written %s", spec->name,
                            (long long)n, (long long)spec->elements, f->how);
    if (n_lost == n)
        return kb_life_stop(
            l, KB_R_EARLY_WRITE,
            "%s: %lld of %lld elements are lost where the kernel ahead ends late: they are "
            "written before the wait for it, or there is none",
            spec->name, (long long)n, (long long)spec->elements);
    kb_further_words(l, f, &how);
    kb_life_stop(l, reason_of(f->ways), "%s: other bits in %lld of %lld elements %s%s",
                 spec->name, (long long)n, (long long)spec->elements, kb_buf_text(&how),
                 f->ways == KB_BY_LATE
                     ? ": an input is read before the wait for the kernel ahead"
                     : "");
    kb_buf_free(&how);
    return false;
}

/* Other bits than the first run left are a FAIL: unwritten, whatever the comparison made of
 * the poison (a NaN where a NaN was wanted, for one), or dependent on the way of the run.
 */
static bool same_output(struct life *l, const struct kb_further *f, int t) {
    const struct kb_tensor_spec *spec = &l->asked.problem.tensors[t];
    struct kb_compare_args args = kb_life_compare_args(l, t);
    struct kb_runs_report runs;

    args.got = kb_slab_at(&l->first, t);
    kb_compare_runs(&args, kb_slab_at(&l->work, t), &runs);
    kb_life_localise_runs(l, &args, kb_slab_at(&l->work, t));
    l->row->unwritten += runs.unwritten;
    if (runs.unwritten > 0)
        return kb_life_stop(
            l, KB_R_UNWRITTEN,
            "%s: %lld of %lld elements were never written: they hold whatever was "
            "there before the launch",
            spec->name, (long long)runs.unwritten, (long long)spec->elements);
    return runs.differing == 0 || other_bits(l, f, t, runs.differing);
}

static bool same_outputs(struct life *l, const struct kb_further *f) {
    for (int t = 0; t < n_tensors(l); t++) {
        size_t bytes = l->first.slots[t].bytes;
        if (bytes > 0 &&
            !kb_same(kb_slab_at(&l->work, t), kb_slab_at(&l->first, t), bytes) &&
            !same_output(l, f, t))
            return false;
    }
    return true;
}

/* ---- parts -------------------------------------------------------------------------- */

static bool judge_joined(struct life *l, const struct kb_further *f) {
    const struct kb_part *parts[KB_MAX_PARTS];
    int n_joined = kb_further_joined(l, f, parts);

    for (int k = 0; k < n_joined; k++) {
        void *at[KB_MAX_TENSORS + KB_MAX_SCRATCH];
        for (int i = 0; i < l->initial.n_slots; i++)
            at[i] = kb_slab_at(&l->work, kb_further_part_slot(l, i, k, n_joined));
        if (!kb_part_judge(l, parts[k], at))
            return false;
    }
    return true;
}

/* A part in a run of its own. */
static bool run_part(struct life *l, const struct kb_part *part) {
    const struct kb_run_options forward = {.order = KB_ORDER_FORWARD};
    enum kb_slab_kind kind = l->initial.fd < 0 ? KB_SLAB_PRIVATE : KB_SLAB_SHARED;
    size_t bytes[KB_MAX_TENSORS + KB_MAX_SCRATCH];
    void *at[KB_COUNT(bytes)];
    int n = part->problem.n_tensors + part->plan.n_scratch;
    struct kb_slab slab = {0};
    struct kb_run_result result;
    struct kb_err err = {0};

    kb_part_bytes(part, bytes);
    if (!kb_slab_make(&slab, kind, n, bytes, 0, &err))
        return kb_life_stop_err(l, &err, KB_R_MEMORY);
    for (int i = 0; i < n; i++)
        at[i] = kb_slab_at(&slab, i);
    kb_part_fill(l, part, at);
    bool ok =
        kb_life_run_plan(l, &part->plan, part->built->code, &slab, &forward, &result) &&
        kb_life_zones(l, &slab) && kb_part_judge(l, part, at);
    kb_slab_free(&slab);
    return ok;
}

static bool run_parts(struct life *l, const struct kb_further *f) {
    const struct kb_part *parts[KB_MAX_PARTS];
    int n_joined = kb_further_joined(l, f, parts);

    for (int i = 0; i < f->n_parts && f->ways & KB_BY_PARTS; i++) {
        bool done = false;
        for (int k = 0; k < n_joined; k++)
            done |= parts[k] == &f->parts[i];
        if (!done && !run_part(l, &f->parts[i]))
            return false;
    }
    return true;
}

/* ---- the run ------------------------------------------------------------------------ */

static void count(struct life *l, const struct kb_further *f,
                  const struct kb_run_result *result, bool ahead) {
    struct kb_row *row = l->row;

    row->repeats += result->runs > 0 ? result->runs : 1;
    row->late_producer |= result->late;
    row->other_inputs |= ahead;
    if (f->ways & KB_BY_SHIFT && row->n_shifts < KB_MAX_SHIFTS)
        row->shifts[row->n_shifts++] = f->shift;
    for (int i = 0; i < f->n_parts && f->ways & KB_BY_PARTS; i++) {
        row->other_inputs |= !f->parts[i].rows;
        if (f->parts[i].rows && row->n_batch < KB_MAX_BATCH)
            row->batch[row->n_batch++] = f->parts[i].rows;
    }
}

bool kb_further_run(struct life *l, const struct kb_further *f) {
    struct kb_run_options options = options_of(l, f);
    struct kb_run_result result = {0};
    struct kb_patch *truth = NULL;

    if (f->ways & KB_BY_AHEAD)
        truth = kb_arena_array(l->arena, KB_DECOYS * KB_MAX_TENSORS, sizeof *truth);
    l->further = f;
    bool ok = kb_further_lay(l, f);
    if (ok)
        kb_further_fill(l, f);
    if (ok && options.ahead)
        options.n_patches = kb_further_decoys(l, &l->work, truth);
    else if (ok && f->ways & KB_BY_AHEAD)
        ok = run_ahead(l, f, truth, &options.n_patches);
    options.patches = truth;
    ok = ok &&
         kb_life_run_plan(l, plan_of(l, f), l->built->code, &l->work, &options, &result) &&
         kb_life_guards(l, &l->work) && same_outputs(l, f) && judge_joined(l, f) &&
         run_parts(l, f);
    if (ok)
        count(l, f, &result, options.n_patches > 0);
    l->further = NULL;
    return ok;
}
