/* activation.h - what the parts of the page of silu, gelu and gelu_tanh share: the problem
 * (activation.c), the reference and its bound (activation_reference.c), the inputs
 * (activation_fill.c, activation_sources.c). Private to the four. */
#ifndef KB_OPS_ACTIVATION_H
#define KB_OPS_ACTIVATION_H

#include "op.h"

/* Words of parameters, in their order: KB_ACT, KB_ROUND, ... in kernels. */
enum { KB_SILU, KB_GELU, KB_GELU_TANH };
enum { KB_ROUND_ONCE, KB_ROUND_ACT };
enum { KB_GATE_UP, KB_UP_GATE };
enum { KB_FILTER_NONE, KB_FILTER_IDS, KB_FILTER_SORTED };

/* Tensors in this order; those that a case does without are absent. */
enum { KB_ACT_INPUT, KB_ACT_OUT, KB_ACT_EXPERTS, KB_ACT_SORTED, KB_ACT_POST };

enum kb_half { KB_GATE, KB_UP };

enum { KB_ACT_FAST_MATH = 8 }; /* how much larger the bound is in a fast-math build */

/* A case of one of the three, spelt out. */
struct kb_activation {
    enum kb_dtype dtype;
    int act, round, layout, filter;
    bool inplace;
    double limit; /* of the clamp, rounded to the dtype; INFINITY: none */
    int64_t tokens, hidden;
    int64_t in_stride, out_stride; /* elements from a row to the next */
    int64_t step, groups; /* tokens that share an expert's id, and how many ids there are */
    int64_t skipped;      /* groups whose id is -1 */
    int64_t num_post, num_valid;
};
/* What multiplies up, and how far a right kernel's may be from it. */
struct kb_factor {
    double value, err;
};
/* x / (1 + exp(-x)) before any rounding of its own; silu_mul_quant takes it, too. */
struct kb_factor kb_silu_factor(double x);

/* Of a case that resolves. */
struct kb_activation kb_activation_of(const struct kb_case *c);

/* Of the tensor that takes the results: in place that is the input. */
int64_t kb_activation_stride(const struct kb_activation *a);
/* Where a half of a row starts in the flat input. */
int64_t kb_activation_half(const struct kb_activation *a, int64_t row, enum kb_half half);

void kb_activation_reference(const struct kb_problem *p, const void *const *in,
                             const void *prepared, int t, int64_t first, int64_t count,
                             double *want, double *bound);
void *kb_activation_prepare(const struct kb_problem *p, const void *const *in);
void kb_activation_fill(const struct kb_problem *p, int t, uint64_t seed, int64_t first,
                        int64_t count, void *data);
int kb_activation_sources(const struct kb_problem *p, const void *const *in, int t,
                          int64_t i, struct kb_source *out);

#endif
