/* qknorm_rope.h - what the parts of the page of qknorm_rope share: the problem
 * (qknorm_rope.c), a case spelt out and YaRN (qknorm_rope_yarn.c), the reference and its
 * bound (qknorm_rope_reference.c), the inputs (qknorm_rope_fill.c). Private to the four. */
#ifndef KB_OPS_QKNORM_ROPE_H
#define KB_OPS_QKNORM_ROPE_H

#include "op.h"

/* Words of parameters, in their order. */
enum { KB_NEOX, KB_INTERLEAVED };
enum { KB_QKR_ROUND_ONCE, KB_QKR_ROUND_NORM, KB_QKR_ROUND_SCALED };
enum { KB_TABLE_FP32, KB_TABLE_DTYPE };
enum { KB_ANGLE_FP32, KB_ANGLE_EXACT };
enum {
    KB_POS_ARANGE,
    KB_POS_RANDOM,
    KB_POS_CONSTANT,
    KB_POS_REVERSE,
    KB_POS_POWERS,
};
enum { KB_WEIGHTS_NEAR_ONE, KB_WEIGHTS_WIDE, KB_WEIGHTS_ONES };

/* Parameters in this order. */
enum {
    KB_QKR_P_STYLE,
    KB_QKR_P_ROTARY_DIM,
    KB_QKR_P_EPS,
    KB_QKR_P_BASE,
    KB_QKR_P_FACTOR,
    KB_QKR_P_LOW,
    KB_QKR_P_HIGH,
    KB_QKR_P_ATTENTION,
    KB_QKR_P_ORIGINAL,
    KB_QKR_P_MAX_POSITION,
    KB_QKR_P_BETA_FAST,
    KB_QKR_P_BETA_SLOW,
    KB_QKR_P_MSCALE,
    KB_QKR_P_MSCALE_ALL,
    KB_QKR_P_TRUNCATE,
    KB_QKR_P_POSITIONS,
    KB_QKR_P_POSITION,
    KB_QKR_P_WEIGHTS,
    KB_QKR_P_ROUND,
    KB_QKR_P_TABLE,
    KB_QKR_P_ANGLE,
    KB_QKR_P_PITCH,
};

/* Tensors in this order. */
enum { KB_QKR_QKV, KB_QKR_Q_WEIGHT, KB_QKR_K_WEIGHT, KB_QKR_POSITIONS };

enum {
    KB_QKR_FAST_MATH = 8, /* how much larger the bound is in a fast-math build */
    KB_QKR_MAX_HEAD = 256,
    KB_QKR_MAX_PAIRS = KB_QKR_MAX_HEAD / 2,
};

/* A case, spelt out. */
struct kb_qkr {
    enum kb_dtype dtype;
    int64_t tokens, heads, kv_heads; /* of q; of k, and of v */
    int head_dim, rotary_dim, style, round, table, angle, weights, positions;
    int64_t position; /* the parameter, its default spelt out */
    double eps, base;
    double factor, low, high, scale; /* YaRN: 1, 0, 0, 1 for none; scale of both outputs */
    int64_t width;                   /* elements of a token: q, k and v heads */
    int64_t row;                     /* and to the next one: the pitch */
};
/* Of a case that resolves. */
struct kb_qkr kb_qkr_of(const struct kb_case *c);
/* high of the ramp, which needs some width. */
double kb_qkr_upper(const struct kb_qkr *q);
/* The other element of i's pair in a head, i where it is not rotated; its number, whether
 * it is the first of the two. */
int kb_qkr_partner(const struct kb_qkr *q, int i, int *pair, bool *first);
/* Frequency of pair k, in radians per position. */
double kb_qkr_frequency(const struct kb_qkr *q, int k);

void kb_qkr_reference(const struct kb_problem *p, const void *const *in,
                      const void *prepared, int t, int64_t first, int64_t count,
                      double *want, double *bound);
bool kb_qkr_low_precision(const struct kb_problem *p, const void *const *in,
                          const void *prepared, int t, int64_t first, int64_t count,
                          double *got);
int kb_qkr_sources(const struct kb_problem *p, const void *const *in, int t, int64_t i,
                   struct kb_source *out);
void *kb_qkr_prepare(const struct kb_problem *p, const void *const *in);
void kb_qkr_fill(const struct kb_problem *p, int t, uint64_t seed, int64_t first,
                 int64_t count, void *data);

#endif
