/* localise_life.c - a failed output in the life of its case: what was not written is
 * confirmed by a second run, which begins from the other poison; then the conventions, and
 * where it is wrong. Of two runs that should be alike where they are not. */
#include "life.h"
#include "localise.h"

#include <math.h>
#include <string.h>

/* ---- the second run --------------------------------------------------------------------
 */

static bool keep_room(struct life *l, struct kb_err *err) {
    size_t bytes[KB_MAX_TENSORS] = {0};
    int n = l->asked.problem.n_tensors;

    for (int t = 0; t < n; t++)
        bytes[t] = l->asked.problem.tensors[t].role == KB_IN ? 0 : l->work.slots[t].bytes;
    return kb_slab_make(&l->second, KB_SLAB_PRIVATE, n, bytes, 0, err);
}

static void exchange(unsigned char *a, unsigned char *b, size_t bytes) {
    unsigned char part[4096];

    for (size_t n; bytes > 0; bytes -= n, a += n, b += n) {
        n = bytes < sizeof part ? bytes : sizeof part;
        memcpy(part, a, n);
        memcpy(a, b, n);
        memcpy(b, part, n);
    }
}

/* l->second: the outputs of a second run; l->work is as the first one left it. The verdict
 * is the first run's, whatever the second comes to. */
static bool run_again(struct life *l) {
    struct kb_run_options forward = {.order = KB_ORDER_FORWARD};
    struct kb_err err = {0};
    int n = l->asked.problem.n_tensors;

    if (l->second.data || !keep_room(l, &err))
        return l->second.data != NULL;
    for (int t = 0; t < n; t++)
        memcpy(kb_slab_at(&l->second, t), kb_slab_at(&l->work, t),
               l->second.slots[t].bytes);
    enum kb_reason reason = l->row->reason;
    const char *text = l->row->text;
    bool ran = kb_life_run(l, 1, &forward);
    l->row->reason = reason;
    l->row->text = text;
    for (int t = 0; t < n; t++)
        exchange(kb_slab_at(&l->second, t), kb_slab_at(&l->work, t),
                 l->second.slots[t].bytes);
    if (!ran)
        kb_slab_free(&l->second);
    return ran;
}

/* ---- what was not written --------------------------------------------------------------
 */

static bool is_unwritten(const struct kb_compare_args *args, const void *second,
                         int64_t flat) {
    const struct kb_tensor_spec *spec = &args->problem->tensors[args->tensor];

    return spec->role == KB_OUT &&
           kb_is_poison(spec->dtype, kb_bits_at(spec->dtype, args->got, flat), 0) &&
           kb_is_poison(spec->dtype, kb_bits_at(spec->dtype, second, flat), 1);
}

/* Codes and bits may be wrong and happen to be the poison's. */
static void confirm_unwritten(struct life *l, const struct kb_compare_args *args,
                              const struct kb_mask *mask, struct kb_output_report *o) {
    if (o->unwritten == 0 || !run_again(l))
        return;
    const void *second = kb_slab_at(&l->second, args->tensor);
    o->unwritten = 0;
    for (int64_t at = kb_set_next(&mask->set, 0, true); at < mask->set.n;
         at = kb_set_next(&mask->set, at + 1, true))
        o->unwritten += is_unwritten(args, second, kb_mask_flat(mask, at));
    for (int i = 0; i < o->n_first; i++)
        o->first[i].poison =
            o->first[i].poison && is_unwritten(args, second, o->first[i].index);
    o->worst.poison = o->worst.poison && is_unwritten(args, second, o->worst.index);
}

void kb_life_localise(struct life *l, const struct kb_compare_args *args,
                      struct kb_output_report *o) {
    struct kb_mask mask;
    struct kb_rest rest;
    bool made = kb_mask_make(args, &mask, &rest);

    if (made)
        confirm_unwritten(l, args, &mask, o);
    if (o->unwritten == 0)
        kb_compare_conventions(args, o);
    if (made)
        o->local = kb_localise(args, &mask, &rest, !o->follows, l->arena);
    kb_mask_free(&mask);
}

/* ---- other bits ------------------------------------------------------------------------
 */

void kb_life_localise_runs(struct life *l, const struct kb_compare_args *args,
                           const void *second) {
    const char *name = l->asked.problem.tensors[args->tensor].name;
    struct kb_compare_args all = *args;
    struct kb_mask mask;

    all.sample = NULL; /* runs are compared whole */
    for (int i = 0; i < l->row->n_outputs; i++) {
        struct kb_local *local = kb_arena_alloc(l->arena, sizeof *local);
        if (!kb_streq(l->row->outputs[i].name, name))
            continue;
        if (kb_mask_differing(&all, second, &mask) && mask.wrong > 0) {
            local->right = mask.set.n - mask.wrong;
            local->right_share = local->right_ulp = (double)NAN;
            kb_mask_where(&mask, l->arena, local);
            kb_mask_map(&mask, &local->map);
            l->row->outputs[i].local = local;
        }
        kb_mask_free(&mask);
    }
}
