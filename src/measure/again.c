/* again.c - which runs a case has besides the first, and what it means that one of them
 * fails: what its shapes and its kernel allow is tried in as few runs as can be, each of
 * which differs in several ways, and the ways are tried alone where it fails. */
#include "further.h"

#include <stdlib.h>
#include <string.h>

/* ---- what the next runs are held against -------------------------------------------- */

bool kb_life_keep_outputs(struct life *l, struct kb_err *err) {
    const struct kb_slab *work = &l->work;
    size_t bytes[KB_MAX_TENSORS] = {0};
    int n = l->asked.problem.n_tensors;

    for (int t = 0; t < n; t++)
        bytes[t] = l->asked.problem.tensors[t].role == KB_IN ? 0 : work->slots[t].bytes;
    if (!kb_slab_remake(&l->first, KB_SLAB_PRIVATE, n, bytes, err))
        return false;
    for (int t = 0; t < n; t++)
        kb_copy(kb_slab_at(&l->first, t), kb_slab_at(work, t), bytes[t]);
    return true;
}

/* ---- a run that fails ----------------------------------------------------------------
 */

static void shift_words(const struct life *l, const struct kb_further *f,
                        struct kb_buf *out) {
    bool element;
    int64_t align = kb_further_align(l, &element);

    if (f->shift == align && element)
        kb_buf_puts(out, "with tensors shifted by an element");
    else
        kb_buf_printf(out, "with tensors shifted by %lld bytes", (long long)f->shift);
    if (f->shift == align)
        kb_buf_printf(out, ", which align %lld allows", (long long)align);
}

void kb_further_words(const struct life *l, const struct kb_further *f,
                      struct kb_buf *out) {
    for (unsigned i = 0; i < KB_WAYS; i++) {
        unsigned way = 1u << i;
        if (!(f->ways & way) || way == KB_BY_PARTS)
            continue;
        kb_buf_puts(out, out->len ? ", " : "");
        if (way == KB_BY_ORDER)
            kb_buf_puts(out, f->how);
        else if (way == KB_BY_NO_PDL)
            kb_buf_puts(out, "when no launch starts before the one ahead has ended");
        else if (way == KB_BY_SHIFT)
            shift_words(l, f, out);
        else if (way == KB_BY_LATE)
            kb_buf_puts(out, "when the kernel ahead writes its results late");
        else if (way == KB_BY_AHEAD)
            kb_buf_puts(out, "after a launch over other inputs, whose results are kept");
        else
            kb_buf_puts(out, "when launched many times");
    }
}

/* What ended a run that differs in this one way, where its own reason says too little: the
 * same launches came to their end before. */
static void name_way(struct life *l, const struct kb_further *f) {
    struct kb_row *row = l->row;
    struct kb_buf how = {0};
    bool broke = kb_reason_verdict(row->reason) == KB_ERROR && row->reason != KB_R_IO;

    if (f->ways == KB_BY_PARTS || row->reason == KB_R_EARLY_WRITE)
        return;
    bool misaligned = f->ways & KB_BY_SHIFT && strstr(row->text, "misaligned");
    struct kb_further shift = *f;
    shift.ways &= KB_BY_SHIFT;
    kb_further_words(l, misaligned ? &shift : f, &how);
    if (f->ways == KB_BY_LATE && broke)
        kb_life_stop(l, KB_R_EARLY_READ,
                     "an input is read before the wait for the kernel ahead: %s, %s",
                     row->text, how.data);
    else if (f->ways & KB_BY_SHIFT &&
             (broke ? misaligned || f->ways == KB_BY_SHIFT
                    : row->reason == KB_R_ALIGNMENT) &&
             !strstr(row->text, "other bits"))
        kb_life_stop(l, KB_R_ALIGNMENT, "%s: %s", kb_buf_text(&how), row->text);
    else if (!strstr(row->text, how.data) && row->reason != KB_R_UNWRITTEN &&
             row->reason != KB_R_MISMATCH)
        kb_life_stop(l, row->reason, "%s, %s", row->text, how.data);
    kb_buf_free(&how);
}

/* A part that is right by itself, in a process of its own, and wrong behind a launch of the
 * case: what that one kept shows. */
static void name_parts(struct life *l, const struct kb_further *f,
                       const struct kb_row *before) {
    struct kb_row failed = *l->row;
    struct kb_further apart = *f;

    apart.apart = true;
    *l->row = *before;
    bool alone = kb_further_run(l, &apart);
    *l->row = failed;
    if (alone)
        kb_life_stop(l, KB_R_STALE,
                     "%s, though not in a process of its own: something is kept from "
                     "launch to launch",
                     l->row->text);
}

/* True if the run is right. If it is not, each of its ways is tried alone: the first that
 * fails too is the reason; if none does, it takes several. */
static bool run_further(struct life *l, const struct kb_further *f) {
    struct kb_row before = *l->row;

    if (kb_further_run(l, f))
        return true;
    struct kb_row failed = *l->row;
    for (unsigned i = 0; i < KB_WAYS && f->ways & (f->ways - 1); i++) {
        struct kb_further one = *f;
        one.ways &= 1u << i;
        if (!one.ways || l->session->dead)
            continue;
        *l->row = before;
        if (!kb_further_run(l, &one)) {
            name_way(l, &one);
            if (one.ways == KB_BY_PARTS && kb_streq(l->session->backend->name, "host"))
                name_parts(l, &one, &before);
            return false;
        }
    }
    *l->row = failed;
    name_way(l, f);
    return false;
}

/* ---- what may be tried -------------------------------------------------------------- */

enum { MANY = 20, ALIGNED = 256 };

/* Bytes of tensors up to which something is done, and what it may cost. A case that runs
 * alone is given more of all of it than one of a suite. */
struct limits {
    struct kb_part_limits parts;
    size_t ahead_bytes, late_slab_bytes, late_bytes, repeat_bytes;
    int64_t repeat_ns;      /* on the host, and of cases over repeat_bytes */
    int64_t repeat_threads; /* of all launches, on the host; at least one is repeated */
};

static struct limits limits_of(const struct life *l, bool host) {
    bool single = l->job->single && !l->job->loaded_only; /* which is one of many, too */

    if (host)
        return (struct limits){
            .parts = {.batch_bytes = single ? 4 << 20 : 32 << 10,
                      .fresh_elements = single ? 1 << 18 : 1 << 11,
                      .build = single},
            .ahead_bytes = 64 << 20,
            .late_slab_bytes = 256 << 20,
            .late_bytes = single ? 16 << 20 : 128 << 10,
            .repeat_bytes = 256 << 20,
            .repeat_ns = INT64_C(2000000000),
            .repeat_threads = single ? 1 << 20 : 1 << 13,
        };
    return (struct limits){
        .parts = {.batch_bytes = single ? 16 << 20 : 1 << 20,
                  .fresh_elements = single ? 1 << 20 : 1 << 14,
                  .build = true},
        .ahead_bytes = single ? 64 << 20 : 4 << 20,
        .late_slab_bytes = single ? 256 << 20 : 16 << 20,
        .repeat_bytes = 64 << 20,
        .repeat_ns = single ? 500000000 : 50000000,
    };
}

/* Whether the kernel may depend on who comes first: it writes over what it reads, or has
 * atomics. */
static bool is_touchy(const struct life *l) {
    const struct kb_problem *p = &l->asked.problem;

    for (int t = 0; t < p->n_tensors; t++)
        if (p->tensors[t].role == KB_INOUT && !p->tensors[t].absent)
            return true;
    return strstr(l->asked.kernel->text, "atomic") != NULL;
}

static bool starts_early(const struct life *l) {
    for (int i = 0; i < l->asked.plan.n_launches; i++)
        if (l->asked.plan.launches[i].pdl)
            return true;
    return false;
}

/* Nothing is launched over no rows at all. */
static bool launches(const struct life *l) {
    for (int i = 0; i < l->asked.plan.n_launches; i++) {
        const int64_t *grid = l->asked.plan.launches[i].grid;
        if (grid[0] > 0 && grid[1] > 0 && grid[2] > 0)
            return true;
    }
    return false;
}

static void allow_shift(struct kb_further *f, int64_t shift) {
    if (shift >= ALIGNED)
        return;
    f->shift = shift;
    f->ways |= KB_BY_SHIFT;
}

/* The second shift that there may be: by 16 bytes, where the least one is less. */
static int64_t wider(int64_t least) {
    return least < 16 ? 16 : ALIGNED;
}

/* Threads of all launches. */
static int64_t threads_of(const struct life *l) {
    int64_t n = 0;

    for (int i = 0; i < l->asked.plan.n_launches; i++) {
        const struct kb_launch *launch = &l->asked.plan.launches[i];
        int64_t threads = 1;
        for (int k = 0; k < 3; k++) {
            bool fits = kb_mul_i64(threads, launch->grid[k], &threads) &&
                        kb_mul_i64(threads, launch->block[k], &threads);
            threads = fits ? threads : INT64_MAX / KB_MAX_LAUNCHES;
        }
        n += threads < INT64_MAX / KB_MAX_LAUNCHES ? threads : INT64_MAX / KB_MAX_LAUNCHES;
    }
    return n;
}

static void allow_repeats(const struct life *l, const struct limits *limits, int repeats,
                          struct kb_further *f) {
    int64_t most =
        limits->repeat_threads ? limits->repeat_threads / (threads_of(l) + 1) : repeats;

    f->repeats = most >= repeats ? repeats : most > 1 ? (int)most : 1;
    bool all = l->initial.bytes <= limits->repeat_bytes && !limits->repeat_threads;
    f->repeat_ns = all ? INT64_MAX / 4 : limits->repeat_ns;
    f->ways |= KB_BY_REPEATS;
}

/* ---- the runs ------------------------------------------------------------------------
 */

/* A large slab costs more to hold back than the rest of a run: of such cases of a suite one
 * in four is tried so, the same ones every time. */
static bool takes_late(const struct life *l, const struct limits *limits) {
    enum { SMALL = 2 << 20 };

    if (l->initial.bytes <= SMALL || l->job->single)
        return l->initial.bytes <= limits->late_slab_bytes;
    struct kb_hash hash = kb_hash_of(l->job->case_id, strlen(l->job->case_id));
    return l->initial.bytes <= limits->late_slab_bytes && hash.bytes[0] % 4 == 0;
}

/* In two processes: in reversed order with shifted tensors, late inputs, and the parts;
 * shuffled after a launch over other inputs, and many times over. */
static bool again_on_host(struct life *l, const struct limits *limits,
                          struct kb_further *parts) {
    bool element;
    int64_t least = kb_further_align(l, &element);
    struct kb_further reversed = *parts, shuffled = {0};

    reversed.ways |= KB_BY_ORDER;
    reversed.order = KB_ORDER_REVERSED;
    reversed.schedule_seed = l->job->seed + 1;
    reversed.how = "with blocks in reversed order";
    allow_shift(&reversed, least);
    if (starts_early(l) && takes_late(l, limits)) {
        reversed.ways |= KB_BY_LATE;
        reversed.late_bytes = limits->late_bytes;
    }
    shuffled.ways |= KB_BY_ORDER;
    shuffled.order = KB_ORDER_SHUFFLED;
    shuffled.schedule_seed = l->job->seed + 2;
    shuffled.how = "with blocks and threads shuffled";
    allow_shift(&shuffled, wider(least));
    if (l->initial.bytes <= limits->ahead_bytes)
        shuffled.ways |= KB_BY_AHEAD;
    else if (l->initial.bytes <= limits->repeat_bytes) /* it takes a copy of the slab */
        allow_repeats(l, limits, 1, &shuffled);
    if (is_touchy(l) && l->initial.bytes <= limits->repeat_bytes &&
        limits->repeat_threads > 2 * threads_of(l))
        allow_repeats(l, limits, MANY - 1, &shuffled);
    bool ok = run_further(l, &reversed);
    l->row->orders += ok;
    ok = ok && run_further(l, &shuffled);
    l->row->orders += ok;
    return ok;
}

/* Whether the device has memory for so many slabs. */
static bool fits(const struct life *l, int slabs) {
    int64_t free_bytes = l->session->backend->info(l->session->device)->free_bytes;

    return free_bytes <= 0 || (int64_t)l->initial.bytes <= free_bytes / slabs;
}

/* The same launch again over shifted tensors, and of small cases the rest. Inputs that come
 * late have a run of their own: one that breaks off ends the process, and is not tried in
 * other ways. */
static bool again_on_device(struct life *l, const struct limits *limits,
                            struct kb_further *parts) {
    bool element, ok;
    int64_t least = kb_further_align(l, &element);
    struct kb_further again = {0}, more = {0}, late = {0};

    again.ways = KB_BY_ORDER | (starts_early(l) ? KB_BY_NO_PDL : 0);
    again.how = "when launched again";
    allow_shift(&again, least);
    ok = run_further(l, &again);
    l->row->orders += ok;
    if (l->initial.bytes <= limits->ahead_bytes) {
        more.ways = KB_BY_AHEAD;
        allow_shift(&more, wider(least));
    }
    if (is_touchy(l) && fits(l, 4))
        allow_repeats(l, limits, MANY - 2, &more);
    ok = ok && (!more.ways || run_further(l, &more));
    ok = ok && (!parts->n_parts || run_further(l, parts));
    if (starts_early(l) && l->initial.bytes <= limits->late_slab_bytes && fits(l, 3))
        late.ways = KB_BY_LATE;
    return ok && (!late.ways || run_further(l, &late));
}

/* Twice the slots, or beside them those of parts, where a run can have that. */
size_t kb_life_again_room(const struct life *l) {
    bool host = kb_streq(l->session->backend->name, "host");
    struct limits limits = limits_of(l, host);
    size_t guards =
        (size_t)(KB_MAX_PARTS * l->initial.n_slots) * (2 * KB_GUARD_BYTES + 512);

    if (!host || l->initial.bytes > limits.ahead_bytes || l->session->exec.sanitize)
        return 0;
    return 2 * l->initial.bytes + 2 * (size_t)limits.parts.batch_bytes + guards;
}

bool kb_life_again(struct life *l) {
    bool host = kb_streq(l->session->backend->name, "host");
    struct limits limits = limits_of(l, host);
    struct kb_further parts = {0};
    struct kb_err err = {0};

    l->row->orders = l->row->repeats = 1;
    if (l->session->exec.sanitize)
        return true; /* one order is slow enough there, and the finding is what counts */
    if (!launches(l)) {
        l->row->orders = host ? 3 : 2;
        return true;
    }
    if (!kb_life_keep_outputs(l, &err))
        return kb_life_stop_err(l, &err, KB_R_MEMORY);
    struct kb_part *made = kb_arena_array(l->arena, KB_MAX_PARTS, sizeof *made);
    parts.parts = made;
    parts.n_parts = kb_parts_make(l, &limits.parts, made);
    parts.ways = parts.n_parts ? KB_BY_PARTS : 0;
    return host ? again_on_host(l, &limits, &parts) : again_on_device(l, &limits, &parts);
}
