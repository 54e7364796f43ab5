/* silu_mul_quant_fixture.h - a case of silu_mul_quant in a test, with inputs of its own. */
#ifndef KB_OPS_SILU_MUL_QUANT_FIXTURE_H
#define KB_OPS_SILU_MUL_QUANT_FIXTURE_H

#include "ops/op_fixture.h"
#include "ops/silu_mul_quant.h"

/* "scale_layout=packed,ue8m0=yes", or "". */
static inline struct kb_case case_of(const char *shape, enum kb_dtype dtype,
                                     const char *set) {
    return op_case("silu_mul_quant", shape, dtype, set);
}

/* A case, its inputs and what was asked of its reference last. */
struct run {
    struct kb_case c;
    struct kb_problem p;
    struct kb_smq q;
    unsigned char *data[4];
    const void *in[4];
    double *want, *bound; /* of the output asked for last */
};

static inline void run_make(struct run *r, const char *shape, enum kb_dtype dtype,
                            const char *set) {
    *r = (struct run){.c = case_of(shape, dtype, set)};
    resolve(&r->c, &r->p);
    r->q = kb_smq_of(&r->c);
    for (int t = 0; t <= KB_SMQ_COUNTS; t++) {
        r->data[t] = calloc((size_t)r->p.tensors[t].elements + 1, 4);
        r->in[t] = r->p.tensors[t].absent ? NULL : r->data[t];
    }
}

static inline void run_fill(struct run *r, enum kb_fill fill, uint64_t seed) {
    r->c.fill = fill;
    for (int t = 0; t <= KB_SMQ_COUNTS; t++)
        r->c.op->fill(&r->p, t, seed, 0, r->p.tensors[t].elements, r->data[t]);
}

static inline void run_ask(struct run *r, int t) {
    size_t n = (size_t)r->p.tensors[t].elements;
    free(r->want);
    free(r->bound);
    r->want = calloc(n + 1, sizeof *r->want);
    r->bound = calloc(n + 1, sizeof *r->bound);
    r->c.op->reference(&r->p, r->in, NULL, t, 0, (int64_t)n, r->want, r->bound);
}

static inline void run_free(struct run *r) {
    for (int t = 0; t < 4; t++)
        free(r->data[t]);
    free(r->want);
    free(r->bound);
}

static inline void put(struct run *r, int64_t row, int64_t col, double gate, double up) {
    kb_bits_put(r->c.dtype, r->data[0], kb_smq_half(&r->q, row, KB_SMQ_GATE) + col,
                kb_encode(r->c.dtype, gate));
    kb_bits_put(r->c.dtype, r->data[0], kb_smq_half(&r->q, row, KB_SMQ_UP) + col,
                kb_encode(r->c.dtype, up));
}

/* The share of the bound that `got` takes, as op.h says how outputs are compared. */
static inline double share(enum kb_dtype dtype, double got, double want, double bound) {
    double ulp = dtype == KB_U8 ? 1 : kb_ulp(dtype, want);
    if (isinf(bound))
        return 0;
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got) ? 0 : (double)INFINITY;
    if (isinf(want) || isinf(got))
        return got == want ? 0 : (double)INFINITY;
    double err = fabs(got - want) - ulp / 2;
    return err <= 0 ? 0 : err / bound;
}

#endif
