/* silu_mul_quant.h - what the parts of the page of silu_mul_quant share: the problem
 * (silu_mul_quant.c), what it refuses (_check.c), the reference and its bound (_group.c,
 * _reference.c), where groups and scales lie (_place.c), the inputs (_fill.c). Private to
 * them. */
#ifndef KB_OPS_SILU_MUL_QUANT_H
#define KB_OPS_SILU_MUL_QUANT_H

#include "op.h"

/* Words of parameters, in their order: KB_ROUND, KB_LAYOUT, ... in kernels. */
enum { KB_SMQ_ROUND_NONE, KB_SMQ_ROUND_BOTH, KB_SMQ_ROUND_PRODUCT };
enum { KB_SMQ_GATE_UP, KB_SMQ_UP_GATE };
enum { KB_SMQ_ROW, KB_SMQ_COL, KB_SMQ_COL_TMA, KB_SMQ_PACKED };
enum {
    KB_SMQ_MASK_NONE,
    KB_SMQ_MASK_FULL,
    KB_SMQ_MASK_BALANCED,
    KB_SMQ_MASK_IMBALANCED,
    KB_SMQ_MASK_EXTREME
};

/* Parameters in this order. */
enum kb_smq_param {
    KB_SMQ_PARAM_ROUND,
    KB_SMQ_PARAM_LAYOUT,
    KB_SMQ_PARAM_GROUP,
    KB_SMQ_PARAM_SCALE_LAYOUT,
    KB_SMQ_PARAM_UE8M0,
    KB_SMQ_PARAM_EPS,
    KB_SMQ_PARAM_CLAMP,
    KB_SMQ_PARAM_MASK,
    KB_SMQ_PARAM_EXPERTS,
    KB_SMQ_PARAM_IN_PITCH,
};

/* Tensors in this order. */
enum { KB_SMQ_INPUT, KB_SMQ_COUNTS, KB_SMQ_CODES, KB_SMQ_SCALES };

enum kb_smq_half { KB_SMQ_GATE, KB_SMQ_UP };

enum {
    KB_SMQ_GROUP_MIN = 16,
    KB_SMQ_GROUP_MAX = 256,
    KB_SMQ_EXPERTS = 8,   /* the default */
    KB_SMQ_FAST_MATH = 8, /* how much larger the bound is in a fast-math build */
};

/* A case, spelt out. Without a mask there is one expert, whose rows are all rows. */
struct kb_smq {
    enum kb_dtype dtype;
    int round, layout, scale_layout, mask;
    bool ue8m0;
    double limit;          /* of the clamp, rounded to the dtype; INFINITY: none */
    double eps;            /* as a float */
    int64_t experts, rows; /* rows of one expert */
    int64_t hidden, group, groups;
    int64_t in_stride;  /* elements from a row of the input to the next */
    int64_t scale_rows; /* rows of an expert's scales, the padding among them */
};
double kb_smq_number(const struct kb_case *c, enum kb_smq_param param);
int64_t kb_smq_in_stride(const struct kb_case *c);
/* KB_INPUT where it is no case; the others resolve. */
bool kb_smq_check(const struct kb_case *c, struct kb_err *err);
/* Of a case that resolves. */
struct kb_smq kb_smq_of(const struct kb_case *c);

/* ---- places ------------------------------------------------------------------------ */

/* Where a half of a row starts in the flat input. */
int64_t kb_smq_half(const struct kb_smq *q, int64_t row, enum kb_smq_half half);

/* A scale: of which expert, row and group. Padding has a row past `rows` or a group past
 * `groups`. */
struct kb_smq_place {
    int64_t expert, row, group;
};
/* Elements of y_s in one expert's block; for packed scales the element is a byte. */
int64_t kb_smq_scales_per_expert(const struct kb_smq *q);
struct kb_smq_place kb_smq_place_of(const struct kb_smq *q, int64_t element);
int64_t kb_smq_element_of(const struct kb_smq *q, struct kb_smq_place place);
/* Is that row past its expert's count? */
bool kb_smq_is_masked(const struct kb_smq *q, const void *const *in,
                      struct kb_smq_place place);

/* ---- y ------------------------------------------------------------------------------- */

enum kb_smq_kind { KB_SMQ_FINITE, KB_SMQ_INFINITE, KB_SMQ_UNSURE, KB_SMQ_NAN };

/* y of a group, and how far a right kernel's may be from it. An infinite y keeps its sign.
 * UNSURE: right kernels differ in kind. */
struct kb_smq_group {
    double y[KB_SMQ_GROUP_MAX], err[KB_SMQ_GROUP_MAX];
    double amax, low, high; /* a right kernel's is from low to high */
    enum kb_smq_kind kind;  /* the last one that any y is of */
};
void kb_smq_group_at(const struct kb_smq *q, const void *input, const void *prepared,
                     int64_t row, int64_t group, struct kb_smq_group *g);

/* ---- the op's functions ------------------------------------------------------------ */

int kb_smq_sources(const struct kb_problem *p, const void *const *in, int t, int64_t i,
                   struct kb_source *out);
void kb_smq_reference(const struct kb_problem *p, const void *const *in,
                      const void *prepared, int t, int64_t first, int64_t count,
                      double *want, double *bound);
void *kb_smq_prepare(const struct kb_problem *p, const void *const *in);
void kb_smq_fill(const struct kb_problem *p, int t, uint64_t seed, int64_t first,
                 int64_t count, void *data);

#endif
