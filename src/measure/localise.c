/* localise.c - what is told of an output with wrong elements: where they are, what they are
 * made of and hold, what is right, and a picture. */
#include "localise.h"

#include <math.h>
#include <string.h>

/* A bit for each element that is checked, none set. */
static bool start(const struct kb_compare_args *args, struct kb_mask *mask) {
    const struct kb_tensor_spec *spec = &args->problem->tensors[args->tensor];
    const struct kb_sampled *sample = args->sample;

    *mask = (struct kb_mask){
        .rank = spec->rank,
        .columns = spec->shape[spec->rank - 1],
        .numbers = sample ? sample->items : NULL,
    };
    memcpy(mask->shape, spec->shape, sizeof mask->shape);
    mask->all_rows = mask->columns ? spec->elements / mask->columns : 0;
    mask->rows = sample ? sample->n : mask->all_rows;
    return kb_set_make(&mask->set, mask->rows * mask->columns);
}

bool kb_mask_make(const struct kb_compare_args *args, struct kb_mask *mask,
                  struct kb_rest *rest) {
    if (!start(args, mask))
        return false;
    kb_compare_mask(args, mask->set.bits, rest);
    mask->wrong = kb_set_count(&mask->set, 0, mask->set.n);
    return true;
}

bool kb_mask_differing(const struct kb_compare_args *args, const void *other,
                       struct kb_mask *mask) {
    enum kb_dtype dtype = args->problem->tensors[args->tensor].dtype;

    if (!start(args, mask))
        return false;
    for (int64_t place = 0; place < mask->set.n; place++) {
        int64_t flat = kb_mask_flat(mask, place);
        if (kb_bits_at(dtype, args->got, flat) != kb_bits_at(dtype, other, flat))
            kb_set_add(&mask->set, place);
    }
    mask->wrong = kb_set_count(&mask->set, 0, mask->set.n);
    return true;
}

void kb_mask_free(struct kb_mask *mask) {
    kb_set_free(&mask->set);
}

const struct kb_local *kb_localise(const struct kb_compare_args *args,
                                   const struct kb_mask *mask, const struct kb_rest *rest,
                                   bool holds, struct kb_arena *arena) {
    struct kb_local *local = kb_arena_alloc(arena, sizeof *local);

    local->right = rest->right;
    local->right_share = rest->share;
    local->right_ulp = rest->ulp;
    kb_mask_where(mask, arena, local);
    kb_mask_inputs(args, mask, arena, local);
    if (holds)
        kb_mask_holds(args, mask, arena, local);
    kb_mask_map(mask, &local->map);
    return local;
}
