/* runs.c - the output of two launches over the same inputs, begun with the two poisons. */
#include "measure.h"

#include <stdlib.h>

enum { CHUNK = 8192 };

struct chunk {
    double want[CHUNK], bound[CHUNK];
    bool kept[CHUNK]; /* either poison is where it was */
};

/* Elements of the chunk that kept both poisons, though they were to be written. */
static int64_t unwritten_in(const struct kb_compare_args *a, int64_t first, int64_t count,
                            struct chunk *c) {
    int64_t n = 0;

    a->problem->c->op->reference(a->problem, a->in, a->prepared, a->tensor, first, count,
                                 c->want, c->bound);
    for (int64_t i = 0; i < count; i++)
        n += c->kept[i] && c->bound[i] != KB_KEEP;
    return n;
}

void kb_compare_runs(const struct kb_compare_args *args, const void *second,
                     struct kb_runs_report *out) {
    const struct kb_tensor_spec *spec = &args->problem->tensors[args->tensor];
    struct chunk *c = malloc(sizeof *c);

    if (!c)
        kb_out_of_memory();
    *out = (struct kb_runs_report){0};
    for (int64_t first = 0; first < spec->elements; first += CHUNK) {
        int64_t n_kept = 0, left = spec->elements - first;
        int64_t count = left < CHUNK ? left : CHUNK;
        for (int64_t i = 0; i < count; i++) {
            uint32_t a = kb_bits_at(spec->dtype, args->got, first + i);
            uint32_t b = kb_bits_at(spec->dtype, second, first + i);
            c->kept[i] = a != b && spec->role == KB_OUT &&
                         kb_is_poison(spec->dtype, a, 0) && kb_is_poison(spec->dtype, b, 1);
            n_kept += c->kept[i];
            out->differing += a != b && !c->kept[i];
        }
        if (n_kept > 0)
            out->unwritten += unwritten_in(args, first, count, c);
    }
    free(c);
}
