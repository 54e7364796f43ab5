/* further_slab.c - the slab of a run besides the first: where its tensors lie, and what it
 * begins with. */
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

    return on_host(l) && !f->apart && part->built == l->built &&
           runs * l->initial.n_slots <= JOINED && runs * launches <= KB_MAX_LAUNCHES &&
           runs * l->asked.plan.n_scratch <= KB_MAX_SCRATCH;
}

int kb_further_joined(const struct life *l, const struct kb_further *f,
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

/* Whether a launch changes what is in slot `i`, and the next one is to find it as it was:
 * not outputs, and not what the contract keeps. */
static bool is_put_back(const struct life *l, int i) {
    const struct kb_plan *plan = &l->asked.plan;

    return i < n_tensors(l) ? l->asked.problem.tensors[i].role == KB_INOUT
                            : plan->scratch[i - n_tensors(l)].start != KB_SCRATCH_KEEP;
}

bool kb_further_twice(const struct life *l, const struct kb_further *f) {
    bool any = false;

    for (int i = 0; i < l->initial.n_slots; i++)
        any |= is_put_back(l, i) && l->initial.slots[i].bytes > 0;
    return any && f->ways & KB_BY_AHEAD && on_host(l);
}

static void add_slots(struct layout *at, int n, const size_t *bytes) {
    for (int i = 0; i < n; i++)
        at->bytes[at->n++] = bytes[i];
}

static void lay_out(const struct life *l, const struct kb_further *f, struct layout *at) {
    const struct kb_part *parts[KB_MAX_PARTS];
    size_t own[KB_MAX_TENSORS + KB_MAX_SCRATCH], theirs[KB_MAX_PARTS][KB_COUNT(own)];
    int n = l->initial.n_slots, tensors = n_tensors(l),
        n_joined = kb_further_joined(l, f, parts);

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
    for (int i = 0; i < n && kb_further_twice(l, f); i++)
        at->bytes[at->n++] = is_put_back(l, i) ? own[i] : 0;
}

bool kb_further_lay(struct life *l, const struct kb_further *f) {
    struct layout at;
    struct kb_err err = {0};

    lay_out(l, f, &at);
    return kb_slab_place(&l->work, at.n, at.bytes, at.shifts, &err) ||
           kb_life_stop_err(l, &err, KB_R_MEMORY);
}

/* The slot of the case's own slot `i`. */
static int own_slot(const struct life *l, int i, int n_joined) {
    return i < n_tensors(l) ? i : i + n_joined * n_tensors(l);
}

int kb_further_part_slot(const struct life *l, int i, int k, int n_joined) {
    int tensors = n_tensors(l), scratch = l->initial.n_slots - tensors;

    return i < tensors ? (k + 1) * tensors + i
                       : (n_joined + 1) * tensors + (k + 1) * scratch + i - tensors;
}

const char *kb_further_slot_name(struct life *l, int slot) {
    const struct kb_part *parts[KB_MAX_PARTS];
    int n = l->initial.n_slots, tensors = n_tensors(l),
        n_joined = kb_further_joined(l, l->further, parts);
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

/* Large inputs go to a device from where they are. What lies ahead of such a run changes
 * them, and parts move them to other slots. */
uint64_t kb_further_taken(const struct life *l, const struct kb_further *f) {
    enum { LARGE = 1 << 20 };
    const struct kb_part *parts[KB_MAX_PARTS];
    uint64_t taken = 0;

    if (l->session->backend->maps_slabs || f->ways & KB_BY_AHEAD ||
        l->initial.bytes < LARGE || kb_further_joined(l, f, parts))
        return 0;
    for (int t = 0; t < n_tensors(l); t++)
        if (l->asked.problem.tensors[t].role == KB_IN)
            taken |= UINT64_C(1) << t;
    return taken;
}

static void copy_slot(const struct life *l, int slot, struct kb_slab *slab, int to) {
    size_t bytes = l->initial.slots[slot].bytes;

    if (bytes > 0 && slab->slots[to].bytes == bytes)
        kb_copy(kb_slab_at(slab, to), kb_slab_at(&l->initial, slot), bytes);
}

int kb_further_decoys(const struct life *l, struct kb_slab *slab, struct kb_patch *truth) {
    enum { EDGE = 64 };
    int n_changed = 0;

    for (int t = 0; t < n_tensors(l); t++) {
        const struct kb_tensor_spec *spec = &l->asked.problem.tensors[t];
        int64_t n = spec->elements, edge = n > 16 * EDGE ? EDGE : 0;
        if (spec->role == KB_OUT || n < 2 || !kb_dtype_is_float(spec->dtype))
            continue;
        size_t element = kb_dtype_bytes(spec->dtype);
        const unsigned char *from = kb_slab_at(&l->initial, t);
        for (int k = 0; k < KB_DECOYS; k++) {
            uint32_t random[4];
            kb_philox(l->job->seed, (uint64_t)t, (uint64_t)k, random);
            int64_t at = edge + (int64_t)((random[0] | (uint64_t)random[1] << 32) %
                                          (uint64_t)(n - 2 * edge));
            const unsigned char *other = from + (size_t)((at + n / 2 + 1) % n) * element;
            size_t offset = (size_t)at * element;
            if (!memcmp(other, from + offset, element))
                continue;
            memcpy((unsigned char *)kb_slab_at(slab, t) + offset, other, element);
            struct kb_patch *patch = &truth[n_changed++];
            *patch = (struct kb_patch){slab->slots[t].offset + offset, element, {0}};
            memcpy(patch->value, from + offset, element);
        }
    }
    return n_changed;
}

void kb_further_fill(struct life *l, const struct kb_further *f) {
    struct kb_slab *slab = &l->work;
    const struct kb_part *parts[KB_MAX_PARTS];
    int n = l->initial.n_slots, n_joined = kb_further_joined(l, f, parts);
    bool other = f->ways & (KB_BY_ORDER | KB_BY_LATE);

    uint64_t taken = kb_further_taken(l, f);
    for (int i = 0; i < n; i++)
        if (!(taken >> i & 1))
            copy_slot(l, i, slab, own_slot(l, i, n_joined));
    if (other)
        kb_poison_outputs(&l->asked.problem, slab, 1);
    for (int k = 0; k < n_joined; k++) {
        void *at[KB_MAX_TENSORS + KB_MAX_SCRATCH];
        for (int i = 0; i < n; i++)
            at[i] = kb_slab_at(slab, kb_further_part_slot(l, i, k, n_joined));
        kb_part_fill(l, parts[k], at);
    }
    for (int i = 0; i < n && kb_further_twice(l, f); i++)
        copy_slot(l, i, slab, n + i);
}

void kb_further_put_back(struct life *l) {
    for (int i = 0; i < l->initial.n_slots; i++) {
        int s = i - n_tensors(l);
        if (s < 0 ? l->asked.problem.tensors[i].role != KB_OUT
                  : l->asked.plan.scratch[s].start != KB_SCRATCH_KEEP)
            copy_slot(l, i, &l->work, i);
    }
}

void kb_further_turned(const struct life *l, int t, void *out) {
    const struct kb_tensor_spec *spec = &l->asked.problem.tensors[t];
    size_t element = kb_dtype_bytes(spec->dtype);
    size_t bytes = (size_t)spec->elements * element;
    size_t third = kb_dtype_is_float(spec->dtype) && spec->elements > 1
                       ? (size_t)(spec->elements / 3 + 1) * element
                       : 0;
    const unsigned char *from = kb_slab_at(&l->initial, t);

    memcpy(out, from + third, bytes - third);
    memcpy((unsigned char *)out + (bytes - third), from, third);
}
