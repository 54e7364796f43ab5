/* life_guards.c - what a launch may not touch: the guard zones around each tensor, and
 * inputs.
 */
#include "further.h"

const char *kb_life_slot_name(const struct life *l, int slot) {
    int n = l->asked.problem.n_tensors;

    return slot < n ? l->asked.problem.tensors[slot].name
                    : l->asked.plan.variant->scratch[slot - n].name;
}

static const char *slot_name(struct life *l, int slot) {
    return l->further ? kb_further_slot_name(l, slot) : kb_life_slot_name(l, slot);
}

static void judge_guards(struct life *l, const struct kb_guard_hit *hit, int n) {
    struct kb_buf text = {0};

    kb_buf_printf(&text, "%zu byte%s %s%s %s %s overwritten", hit->changed_bytes,
                  hit->changed_bytes == 1 ? "" : "s", hit->distance == 0 ? "right " : "",
                  hit->after ? "past the end of" : "before the start of",
                  slot_name(l, hit->slot), hit->changed_bytes == 1 ? "was" : "were");
    if (hit->distance > 0)
        kb_buf_printf(&text, ", the nearest %zu byte%s away from it", hit->distance,
                      hit->distance == 1 ? "" : "s");
    if (n > 1)
        kb_buf_printf(&text, "; %d more guard zone%s hit", n - 1,
                      n == 2 ? " was" : "s were");
    kb_life_stop(l, KB_R_OUT_OF_BOUNDS, "%s", text.data);
    kb_buf_free(&text);
}

/* Bytes of input `t` that are not what they were before the launch. */
static size_t changed_bytes(const struct life *l, const struct kb_slab *slab, int t,
                            size_t *first) {
    const unsigned char *now = kb_slab_at(slab, t), *before = kb_slab_at(&l->initial, t);
    size_t bytes = slab->slots[t].bytes, changed = 0;

    if (kb_same(now, before, bytes))
        return 0;
    for (size_t b = bytes; b-- > 0;) {
        if (now[b] != before[b]) {
            *first = b;
            changed++;
        }
    }
    return changed;
}

bool kb_life_zones(struct life *l, const struct kb_slab *slab) {
    struct kb_guard_hit hits[2 * (KB_MAX_TENSORS + KB_MAX_SCRATCH)];
    int max = (int)KB_COUNT(hits), n = kb_slab_guards(slab, hits, max);

    for (int i = 0; i < n && i < max; i++)
        l->row->out_of_bounds += (int64_t)hits[i].changed_bytes;
    if (n > 0)
        judge_guards(l, &hits[0], n);
    return n == 0;
}

bool kb_life_guards(struct life *l, const struct kb_slab *slab) {
    kb_life_zones(l, slab);
    for (int t = 0; t < l->asked.problem.n_tensors; t++) {
        size_t first = 0, changed;
        if (l->asked.problem.tensors[t].role != KB_IN || slab->slots[t].bytes == 0)
            continue;
        changed = changed_bytes(l, slab, t, &first);
        l->row->inputs_changed += (int64_t)changed;
        if (changed > 0 && l->row->reason == KB_R_NONE)
            kb_life_stop(
                l, KB_R_INPUT_CHANGED,
                "input %s was written to: %zu byte%s changed, the first is byte %zu",
                slot_name(l, t), changed, changed == 1 ? "" : "s", first);
    }
    return l->row->reason == KB_R_NONE;
}
