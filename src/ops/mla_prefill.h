/* mla_prefill.h - what the parts of the page of mla_prefill share: the problem
 * (mla_prefill.c), the reference and its bound (mla_prefill_reference.c), the inputs
 * (mla_prefill_fill.c). Private to the three. */
#ifndef KB_OPS_MLA_PREFILL_H
#define KB_OPS_MLA_PREFILL_H

#include "op.h"

enum { KB_MLA_QK = 192, KB_MLA_V = 128 };
/* Words of parameters, in their order. */
enum { KB_MLA_LSE_NONE, KB_MLA_LSE_E, KB_MLA_LSE_2 };
enum { KB_MLA_V_OWN, KB_MLA_V_SLICE };

/* Tensors in this order. */
enum {
    KB_MLA_QUERY,
    KB_MLA_KEY,
    KB_MLA_VALUE,
    KB_MLA_CUM_Q,
    KB_MLA_CUM_KV,
    KB_MLA_OUT,
    KB_MLA_LSE,
};

/* A case, spelt out. */
struct kb_mla {
    enum kb_dtype dtype;
    int sequences;
    int64_t q_lens[KB_MAX_LIST], kv_lens[KB_MAX_LIST];
    int64_t q_tokens, kv_tokens, heads, kv_heads;
    bool causal;
    int lse;
    double scale;
    int64_t q_pitch, k_pitch; /* elements from token to token */
    int64_t v_pitch, v_start; /* elements from head to head, and to the first of them */
};
/* Of a case that resolves. */
struct kb_mla kb_mla_of(const struct kb_case *c);
/* Keys that a query token sees, those of its sequence from the first one on. */
int64_t kb_mla_seen(const struct kb_mla *m, int64_t token);
/* The sequence of a query token (or of a key token), and where its tokens start. */
int kb_mla_sequence(const int64_t *lens, int n, int64_t token, int64_t *start);

void kb_mla_reference(const struct kb_problem *p, const void *const *in,
                      const void *prepared, int t, int64_t first, int64_t count,
                      double *want, double *bound);
bool kb_mla_low_precision(const struct kb_problem *p, const void *const *in,
                          const void *prepared, int t, int64_t first, int64_t count,
                          double *got);
void *kb_mla_prepare(const struct kb_problem *p, const void *const *in);
void kb_mla_fill(const struct kb_problem *p, int t, uint64_t seed, int64_t first,
                 int64_t count, void *data);

#endif
