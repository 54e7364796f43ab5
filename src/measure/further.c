/* further.c - one run of a case besides the first: the slab that it runs over, what that
 * begins with, and what the run left. */
#include "further.h"

#include <string.h>

/* ---- where tensors lie --------------------------------------------------------------
 * The case's tensors, then those of each part, then the scratch of all in the same order;
 * or tensors and scratch of the case twice, where a launch goes ahead on the host. */

enum { MAX_SLOTS = (KB_MAX_PARTS + 1) * (KB_MAX_TENSORS + KB_MAX_SCRATCH), JOINED = 32 };

struct layout {
    int n;
    size_t bytes[MAX_SLOTS], shifts[MAX_SLOTS];
};

static bool on_host(const struct life *l) {
    return kb_streq(l->session->backend->name, "host");
}

static int n_tensors(const struct life *l) {
    return l->asked.problem.n_tensors;
}

/* On the host parts run in the same process, where they fit and share the code. */
static bool is_joined(const struct life *l, const struct kb_further *f,
                      const struct kb_part *part) {
    int runs = f->n_parts + 1, launches = l->asked.plan.n_launches;

    return on_host(l) && part->built == l->built && runs * l->initial.n_slots <= JOINED &&
           runs * launches <= KB_MAX_LAUNCHES &&
           runs * l->asked.plan.n_scratch <= KB_MAX_SCRATCH;
}

/* Parts that are joined to the run, by index; all or none but for those that need other
 * code. */
static int joined(const struct life *l, const struct kb_further *f,
                  const struct kb_part **out) {
    int n = 0;

    for (int i = 0; i < f->n_parts && f->ways & KB_BY_PARTS; i++)
        if (is_joined(l, f, &f->parts[i]))
            out[n++] = &f->parts[i];
    return n;
}

int64_t kb_further_align(const struct life *l, bool *element) {
    int64_t align = l->asked.plan.variant->align ? l->asked.plan.variant->align : 16;

    *element = true;
    for (int t = 0; t < n_tensors(l); t++)
        if (!l->asked.problem.tensors[t].absent)
            *element &= align <= (int64_t)kb_dtype_bytes(l->asked.problem.tensors[t].dtype);
    return align;
}

static void add_slots(struct layout *at, int n, const size_t *bytes) {
    for (int i = 0; i < n; i++)
        at->bytes[at->n++] = bytes[i];
}

static void lay_out(const struct life *l, const struct kb_further *f, struct layout *at) {
    const struct kb_part *parts[KB_MAX_PARTS];
    size_t own[KB_MAX_TENSORS + KB_MAX_SCRATCH], theirs[KB_MAX_PARTS][KB_COUNT(own)];
    int n = l->initial.n_slots, tensors = n_tensors(l), n_joined = joined(l, f, parts);

    memset(at, 0, sizeof *at);
    for (int i = 0; i < n; i++)
        own[i] = l->initial.slots[i].bytes;
    add_slots(at, tensors, own);
    for (int i = 0; i < n_joined; i++) {
        kb_part_bytes(parts[i], theirs[i]);
        add_slots(at, tensors, theirs[i]);
    }
    add_slots(at, n - tensors, own + tensors);
    for (int i = 0; i < n_joined; i++)
        add_slots(at, n - tensors, theirs[i] + tensors);
    for (int t = 0; t < tensors && f->ways & KB_BY_SHIFT; t++) {
        size_t element = kb_dtype_bytes(l->asked.problem.tensors[t].dtype);
        at->shifts[t] = (size_t)f->shift > element ? (size_t)f->shift : element;
    }
    if (!(f->ways & KB_BY_AHEAD) || !on_host(l))
        return;
    for (int i = 0; i < n; i++) { /* outputs and what is kept stay as they were left */
        bool stays = i < tensors
                         ? l->asked.problem.tensors[i].role == KB_OUT
                         : l->asked.plan.scratch[i - tensors].start == KB_SCRATCH_KEEP;
        at->bytes[at->n++] = stays ? 0 : own[i];
    }
}

/* The slot of the case's own slot `i`. */
static int own_slot(const struct life *l, int i, int n_joined) {
    return i < n_tensors(l) ? i : i + n_joined * n_tensors(l);
}

/* The slot of slot `i` of the `k`-th joined part. */
static int part_slot(const struct life *l, int i, int k, int n_joined) {
    int tensors = n_tensors(l), scratch = l->initial.n_slots - tensors;

    return i < tensors ? (k + 1) * tensors + i
                       : (n_joined + 1) * tensors + (k + 1) * scratch + i - tensors;
}

const char *kb_further_slot_name(struct life *l, int slot) {
    const struct kb_part *parts[KB_MAX_PARTS];
    int n = l->initial.n_slots, tensors = n_tensors(l),
        n_joined = joined(l, l->further, parts);
    bool is_scratch = slot >= (n_joined + 1) * tensors;
    int rest = is_scratch ? slot - (n_joined + 1) * tensors : slot;
    int each = is_scratch ? n - tensors : tensors;

    if (l->further->ways & KB_BY_AHEAD)
        return kb_life_slot_name(l, slot % n);
    int k = rest / each;
    const char *name = kb_life_slot_name(l, rest % each + (is_scratch ? tensors : 0));
    if (k == 0)
        return name;
    return parts[k - 1]->rows ? kb_arena_printf(l->arena, "%s (%lld of its rows alone)",
                                                name, (long long)parts[k - 1]->rows)
                              : kb_arena_printf(l->arena, "%s (of other inputs)", name);
}

/* ---- what it begins with ------------------------------------------------------------ */

static void copy_slot(const struct life *l, int slot, struct kb_slab *slab, int to) {
    size_t bytes = l->initial.slots[slot].bytes;

    if (bytes > 0 && slab->slots[to].bytes == bytes)
        kb_copy(kb_slab_at(slab, to), kb_slab_at(&l->initial, slot), bytes);
}

int64_t kb_further_decoys(const struct life *l, struct kb_slab *slab) {
    enum { CHANGES = 64, EDGE = 64 };
    int64_t changed = 0;

    for (int t = 0; t < n_tensors(l); t++) {
        const struct kb_tensor_spec *spec = &l->asked.problem.tensors[t];
        int64_t n = spec->elements, edge = n > 16 * EDGE ? EDGE : 0;
        if (spec->role == KB_OUT || n < 2 || !kb_dtype_is_float(spec->dtype))
            continue;
        const void *truth = kb_slab_at(&l->initial, t);
        for (int k = 0; k < CHANGES; k++) {
            uint32_t random[4];
            kb_philox(l->job->seed, (uint64_t)t, (uint64_t)k, random);
            int64_t at = edge + (int64_t)((random[0] | (uint64_t)random[1] << 32) %
                                          (uint64_t)(n - 2 * edge));
            uint32_t bits = kb_bits_at(spec->dtype, truth, (at + n / 2 + 1) % n);
            changed += bits != kb_bits_at(spec->dtype, truth, at);
            kb_bits_put(spec->dtype, kb_slab_at(slab, t), at, bits);
        }
    }
    return changed;
}

static void fill(struct life *l, const struct kb_further *f, struct kb_slab *slab) {
    const struct kb_part *parts[KB_MAX_PARTS];
    int n = l->initial.n_slots, n_joined = joined(l, f, parts);
    bool other = f->ways & (KB_BY_ORDER | KB_BY_LATE);

    for (int i = 0; i < n; i++)
        copy_slot(l, i, slab, own_slot(l, i, n_joined));
    if (other)
        kb_poison_outputs(&l->asked.problem, slab, 1);
    for (int k = 0; k < n_joined; k++) {
        void *at[KB_MAX_TENSORS + KB_MAX_SCRATCH];
        for (int i = 0; i < n; i++)
            at[i] = kb_slab_at(slab, part_slot(l, i, k, n_joined));
        kb_part_fill(l, parts[k], at);
    }
    if (slab->n_slots == 2 * n && f->ways & KB_BY_AHEAD)
        for (int i = 0; i < n; i++)
            copy_slot(l, i, slab, n + i);
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
    int n = joined(l, f, parts);

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

/* Where runs share a process anyway, a launch over other inputs is a run of its own; then
 * all but the outputs, and what the contract keeps, is put back. */
static bool run_ahead(struct life *l, const struct kb_further *f) {
    const struct kb_run_options plain = {.no_pdl = f->ways & KB_BY_NO_PDL};
    struct kb_run_result result;

    if (!kb_life_run_plan(l, &l->asked.plan, l->built->code, &l->work, &plain, &result))
        return false;
    for (int i = 0; i < l->initial.n_slots; i++) {
        int s = i - n_tensors(l);
        if (s < 0 ? l->asked.problem.tensors[i].role != KB_OUT
                  : l->asked.plan.scratch[s].start != KB_SCRATCH_KEEP)
            copy_slot(l, i, &l->work, i);
    }
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
    int64_t n_lost = f->ways == KB_BY_LATE ? lost(l, t) : 0;

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
    int n_joined = joined(l, f, parts);

    for (int k = 0; k < n_joined; k++) {
        void *at[KB_MAX_TENSORS + KB_MAX_SCRATCH];
        for (int i = 0; i < l->initial.n_slots; i++)
            at[i] = kb_slab_at(&l->work, part_slot(l, i, k, n_joined));
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
    int n_joined = joined(l, f, parts);

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
    row->late_producer |= (f->ways & KB_BY_LATE) != 0;
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
    struct layout at;
    struct kb_err err = {0};
    bool ahead = f->ways & KB_BY_AHEAD;

    l->further = f;
    lay_out(l, f, &at);
    if (!kb_slab_place(&l->work, at.n, at.bytes, at.shifts, &err)) {
        l->further = NULL;
        return kb_life_stop_err(l, &err, KB_R_MEMORY);
    }
    fill(l, f, &l->work);
    ahead = ahead && kb_further_decoys(l, &l->work) > 0;
    bool ok =
        (!(f->ways & KB_BY_AHEAD) || options.ahead || run_ahead(l, f)) &&
        kb_life_run_plan(l, plan_of(l, f), l->built->code, &l->work, &options, &result) &&
        kb_life_guards(l, &l->work) && same_outputs(l, f) && judge_joined(l, f) &&
        run_parts(l, f);
    if (ok)
        count(l, f, &result, ahead);
    l->further = NULL;
    return ok;
}
