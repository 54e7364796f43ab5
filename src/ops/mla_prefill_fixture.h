/* mla_prefill_fixture.h - a case of mla_prefill, filled, with what the reference makes of
 * it, for its tests. */
#ifndef KB_OPS_MLA_PREFILL_FIXTURE_H
#define KB_OPS_MLA_PREFILL_FIXTURE_H

#include "ops/mla_prefill.h"
#include "ops/op_fixture.h"

static const enum kb_dtype dtypes[] = {KB_E4M3, KB_BF16, KB_FP16};

static inline struct kb_case case_of(const char *shape, enum kb_dtype dtype,
                                     const char *set) {
    return op_case("mla_prefill", shape, dtype, set);
}

struct data {
    struct kb_case c;
    struct kb_problem p;
    struct kb_mla m;
    void *in[KB_MAX_TENSORS];
    double *out, *bound, *lse, *lse_bound;
};

static inline void data_make(struct data *d, const char *shape, enum kb_dtype dtype,
                             const char *set, enum kb_fill fill, uint64_t seed) {
    *d = (struct data){.c = case_of(shape, dtype, set)};
    d->c.fill = fill;
    resolve(&d->c, &d->p);
    d->m = kb_mla_of(&d->c);
    for (int t = 0; t <= KB_MLA_CUM_KV; t++) {
        const struct kb_tensor_spec *s = &d->p.tensors[t];
        d->in[t] = malloc((size_t)s->elements * kb_dtype_bytes(s->dtype) + 1);
        d->c.op->fill(&d->p, t, seed, 0, s->elements, d->in[t]);
    }
    int64_t n = d->p.tensors[KB_MLA_OUT].elements;
    d->out = malloc((size_t)n * sizeof *d->out);
    d->bound = malloc((size_t)n * sizeof *d->bound);
    d->lse = malloc((size_t)n * sizeof *d->lse);
    d->lse_bound = malloc((size_t)n * sizeof *d->lse_bound);
    const void *const *in = (const void *const *)d->in;
    void *prepared = d->c.op->prepare(&d->p, in);
    d->c.op->reference(&d->p, in, prepared, KB_MLA_OUT, 0, n, d->out, d->bound);
    d->c.op->reference(&d->p, in, prepared, KB_MLA_LSE, 0, n / KB_MLA_V, d->lse,
                       d->lse_bound);
    free(prepared);
}

static inline void data_free(struct data *d) {
    for (int t = 0; t <= KB_MLA_CUM_KV; t++)
        free(d->in[t]);
    free(d->out);
    free(d->bound);
    free(d->lse);
    free(d->lse_bound);
}

static inline double at(const struct data *d, int t, int64_t i) {
    enum kb_dtype dtype = d->p.tensors[t].dtype;
    return kb_decode(dtype, kb_bits_at(dtype, d->in[t], i));
}

#endif
