/* moe_routing.h - what the parts of moe_routing's page share: the problem (moe_routing.c),
 * the reference and its bound (moe_routing_reference.c), the inputs (moe_routing_fill.c).
 * Private to the three. */
#ifndef KB_OPS_MOE_ROUTING_H
#define KB_OPS_MOE_ROUTING_H

#include "op.h"

/* Words of parameters, in their order: KB_MODE, KB_TIES, ... in kernels. */
enum { KB_MODE_FP32, KB_MODE_EAGER };
enum { KB_TIES_LOW, KB_TIES_HIGH, KB_TIES_ANY };
enum { KB_NORM_SELECTED, KB_NORM_ALL, KB_NORM_SCALED };
enum { KB_SCALE_AFTER, KB_SCALE_NONE, KB_SCALE_BEFORE };
enum { KB_SCALE_SAME, KB_SCALE_BF16, KB_SCALE_FP16, KB_SCALE_FP32 };

/* Tensors in this order. */
enum { KB_ROUTE_LOGITS, KB_ROUTE_SCALE, KB_ROUTE_WEIGHTS, KB_ROUTE_IDS };

enum {
    KB_ROUTE_EXPERTS_MAX = 1024,
    KB_ROUTE_TOPK_MAX = 32,
    KB_ROUTE_FAST_MATH = 2, /* how much larger the bound is in a fast-math build */
};

/* A case, spelt out. */
struct kb_routing {
    enum kb_dtype dtype, scale_dtype;
    int64_t tokens, experts;
    int64_t in_stride; /* elements from a row of the logits to the next */
    int topk, mode, ties, norm, scale;
};
/* Of a case with two axes. */
struct kb_routing kb_routing_of(const struct kb_case *c);

void kb_routing_reference(const struct kb_problem *p, const void *const *in,
                          const void *prepared, int t, int64_t first, int64_t count,
                          double *want, double *bound);
bool kb_routing_low_precision(const struct kb_problem *p, const void *const *in,
                              const void *prepared, int t, int64_t first, int64_t count,
                              double *got);
int kb_routing_sources(const struct kb_problem *p, const void *const *in, int t, int64_t i,
                       struct kb_source *out);
void kb_routing_fill(const struct kb_problem *p, int t, uint64_t seed, int64_t first,
                     int64_t count, void *data);

#endif
