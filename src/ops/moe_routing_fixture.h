/* moe_routing_fixture.h - one row of logits and what the reference of moe_routing makes of
 * it, for the tests of the op. */
#ifndef KB_OPS_MOE_ROUTING_FIXTURE_H
#define KB_OPS_MOE_ROUTING_FIXTURE_H

#include "ops/op_fixture.h"

enum { LOGITS, SCALE, WEIGHTS, IDS };
enum { MAX_SLOTS = 32 };

static const float golden_logits[] = {1, 2, 2, -1, 0.5f, 2, 0.0f, -0.0f};
static const float golden_scale[] = {1, 0.5f, 2, 1, 1, 1.5f, 1, 1};

static inline struct kb_case case_of(const char *shape, enum kb_dtype dtype,
                                     const char *set) {
    return op_case("moe_routing", shape, dtype, set);
}

/* A row of fp32 logits, its scale, and what the reference makes of them. */
struct routed {
    struct kb_case c;
    struct kb_problem p;
    double ids[MAX_SLOTS], weights[MAX_SLOTS], id_bounds[MAX_SLOTS], bounds[MAX_SLOTS];
};

/* `scale` NULL: all 1; `chosen` NULL: the kernel's ids are not known. */
static inline void route(struct routed *r, int experts, const float *logits,
                         const float *scale, const char *set, const int32_t *chosen) {
    float ones[1024];
    char shape[24];
    for (int e = 0; e < 1024; e++)
        ones[e] = 1;
    snprintf(shape, sizeof shape, "1x%d", experts);
    r->c = case_of(shape, KB_FP32, set);
    resolve(&r->c, &r->p);
    const void *in[] = {logits, scale ? scale : ones, NULL, chosen};
    int64_t slots = r->p.tensors[IDS].elements;
    assert_true(slots <= MAX_SLOTS);
    r->c.op->reference(&r->p, in, NULL, IDS, 0, slots, r->ids, r->id_bounds);
    r->c.op->reference(&r->p, in, NULL, WEIGHTS, 0, slots, r->weights, r->bounds);
}

static inline void assert_ids(const struct routed *r, const int *want) {
    for (int j = 0; j < (int)r->p.tensors[IDS].elements; j++)
        if (r->ids[j] != want[j])
            fail_msg("slot %d: expert %g, not %d", j, r->ids[j], want[j]);
}

static inline void assert_weights(const struct routed *r, const double *want, double rtol) {
    for (int j = 0; j < (int)r->p.tensors[WEIGHTS].elements; j++)
        if (!(isnan(want[j]) ? isnan(r->weights[j])
                             : r->weights[j] == want[j] ||
                                   fabs(r->weights[j] - want[j]) <= rtol * fabs(want[j])))
            fail_msg("slot %d: weight %.9g, not %.9g", j, r->weights[j], want[j]);
}

#endif
