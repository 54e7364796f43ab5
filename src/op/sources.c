/* sources.c - the numbers that an output element is made of. */
#include "op.h"

/* Where an op does not say: what stands at the same place of inputs of the same size. */
static int same_places(const struct kb_problem *p, const void *const *in, int t, int64_t i,
                       struct kb_source *out) {
    int n = 0;
    for (int k = 0; k < p->n_tensors && n < KB_MAX_SOURCES; k++) {
        const struct kb_tensor_spec *spec = &p->tensors[k];
        if (spec->role == KB_OUT || spec->absent || !in[k] ||
            spec->elements != p->tensors[t].elements)
            continue;
        out[n++] =
            (struct kb_source){spec->name, spec->dtype,
                               kb_decode(spec->dtype, kb_bits_at(spec->dtype, in[k], i))};
    }
    return n;
}

int kb_problem_sources(const struct kb_problem *p, const void *const *in, int t, int64_t i,
                       struct kb_source *out) {
    const struct kb_op *op = p->c->op;
    return (op->sources ? op->sources : same_places)(p, in, t, i, out);
}
