/* op.h - problems: what an op computes, and the cases that ask for it.
 *
 * An op knows axes, parameters, tensors, fills, the reference, the error bound and the
 * cost. It knows nothing of grids, blocks, backends or reports. Its page is src/ops/NAME.c.
 */
#ifndef KB_OP_H
#define KB_OP_H

#include "sys.h"
#include "tensor.h"

enum { KB_MAX_TENSORS = 16, KB_MAX_PARAMS = 24, KB_MAX_NAMES = 64, KB_MAX_AXES = 8 };

/* ---- the op ---------------------------------------------------------------------------
 */

enum kb_param_kind { KB_PARAM_WORD, KB_PARAM_INT, KB_PARAM_FLOAT, KB_PARAM_LIST };

/* One --set KEY=VALUE. A WORD's value is its index in `words`; in expressions it compares
 * with its words (layout == up_gate). A LIST is up to KB_MAX_LIST whole numbers joined by
 * +, 64+128+32, none by default; expressions take its sum, max and count. */
struct kb_param {
    const char *name, *help;
    enum kb_param_kind kind;
    const char *words; /* "once,act": WORD only */
    double min, max;   /* INT, FLOAT, items of a LIST: allowed range, both ends in */
    double def;        /* the default; for WORD an index, for LIST 0 */
};

/* How outputs are compared. BOUND: |got - want| beyond half an ulp against the op's bound.
 * EXACT: element bits equal (`want` holds the bits as a number). */
enum kb_rule { KB_RULE_BOUND, KB_RULE_EXACT };

enum kb_role { KB_IN, KB_OUT, KB_INOUT };

struct kb_tensor_spec {
    const char *name;
    enum kb_role role;
    enum kb_dtype dtype;
    int rank;
    int64_t shape[KB_MAX_RANK];
    int64_t elements; /* product of shape */
    bool absent;      /* optional and not there: a null pointer */
    /* An input that follows from the problem alone, whatever the seed: of a case of only
     * the first rows it is filled anew. */
    bool derived;
    enum kb_rule rule;
};

/* A name that contract expressions may use, with its value in this problem. */
struct kb_name {
    const char *name;
    double value; /* whole unless is_float */
    bool is_float;
    const char *words; /* a WORD parameter's words, else NULL */
    /* A list axis (sum, max and count take it), else NULL. Lives as long as the case. */
    const int64_t *list;
    int64_t n_list;
};

/* What a case comes to: resolved axes, tensors, cost. Plain values, no ownership. */
struct kb_problem {
    const struct kb_case *c;
    int n_names;
    struct kb_name names[KB_MAX_NAMES]; /* axes, parameters, derived sizes */
    int n_tensors;
    struct kb_tensor_spec tensors[KB_MAX_TENSORS];
    /* What kb_case_resolve clears at the start is from here on. */
    int64_t bytes, flops;        /* the cost model; bytes moved at least */
    const char *ceiling_pattern; /* of op stream: "copy", "r2w1", "read"; NULL: none */
    int64_t ceiling_elements;    /* of that stream's shape, in `dtype` elements */
    int64_t mma_flops; /* by tensor cores, in the case's dtype: these are the ceiling; 0 */
};

/* Another answer that a kernel may have been written for, as a change to the case: of
 * another op with the same parameters and tensors, or with other values. */
struct kb_convention {
    const char *words; /* behind "matches": "gelu", "with the halves swapped" */
    const char *op;    /* or NULL: the same */
    const char *set;   /* "round=act" or "filter=none,step=1"; NULL: the same */
};

/* A number that an output element is made of, for words about which ones are wrong. */
enum { KB_MAX_SOURCES = 4 };
struct kb_source {
    const char *name; /* "gate" */
    enum kb_dtype dtype;
    double value;
};

/* In place of a bound: the element must have the bits that it had before the launch. `want`
 * is not looked at there. */
#define KB_KEEP (-1.0)

/* A tolerance: the bound decides (BOUND), the peers' own numbers (PEER) or these (GIVEN).
 */
enum kb_tolerance_rule { KB_TOL_BOUND, KB_TOL_PEER, KB_TOL_GIVEN };
struct kb_tolerance {
    enum kb_tolerance_rule rule;
    double atol, rtol; /* GIVEN; PEER: the op's for the dtype */
};

struct kb_op {
    const char *name;       /* "silu" */
    const char *family;     /* "activation": kernels/FAMILY.cu, cases/FAMILY.json */
    const char *shape_form; /* "TOKENSx2*HIDDEN" */
    const char *formula;    /* one line */
    const char *catches;    /* what testing it is about, one or two lines */
    /* A small shape that resolves with all defaults, "7x16": a kernel's contract is checked
     * against the names and tensors of this problem before there is any case. */
    const char *sample;
    enum kb_dtype dtypes[KB_DTYPE_COUNT];
    int n_dtypes;
    const struct kb_param *params;
    int n_params;
    const enum kb_fill *fills; /* those that make sense; the first is the default */
    int n_fills;
    /* The axes that a case file may name instead of a shape ("tokens", "hidden"), and the
     * shape that values of all of them, in this order, make. False on overflow. n_axes 0
     * and NULL where the shape is the only form; shape_of_axes is NULL where the axes are
     * the shape. */
    const char *const *axes;
    int n_axes;
    bool (*shape_of_axes)(const int64_t *values, int64_t shape[KB_MAX_RANK], int *rank);
    /* The bound may be this many times larger in a fast-math build. */
    double fast_math_factor;
    /* A word that tells the ops of one page apart (silu, gelu, ...). */
    int variant;
    /* Axes from the shape, all limits checked (KB_INPUT, message says what was wanted),
     * before any early exit for zero rows; the same whatever the fill. Adds to `p`, which
     * holds `c` and the parameters' names, no tensors, and is zero after those. */
    bool (*resolve)(const struct kb_case *c, struct kb_problem *p, struct kb_err *err);
    /* Macros for `entry` ("KB_T" -> "__nv_bfloat16"): adds name, value pairs. */
    void (*macros)(const struct kb_case *c, struct kb_arena *arena, struct kb_strings *out);
    /* Elements [first, first+count) of tensor `t`, before the launch. */
    void (*fill)(const struct kb_problem *p, int t, uint64_t seed, int64_t first,
                 int64_t count, void *data);
    /* Elements [first, first+count) of output `t`: want[] before rounding to the dtype, in
     * double (EXACT: the bits), and bound[], the allowed error beyond half an ulp of the
     * output's dtype. in[] holds each tensor's initial data, but of other outputs (KB_OUT)
     * what the kernel left there, right or wrong, or NULL: where several answers are right,
     * one output is judged by what another chose. `prepared` is what prepare made, or NULL.
     * Element-wise pure: any split and any thread count give the same. Within the bound of
     * where rounding starts to overflow, infinite and finite are both right. The bound is 0
     * where want is NaN or infinite, INFINITY where right kernels differ even in kind:
     * there any value passes, and KB_KEEP where nothing may be written. */
    void (*reference)(const struct kb_problem *p, const void *const *in,
                      const void *prepared, int t, int64_t first, int64_t count,
                      double *want, double *bound);
    /* Whether reference or low_precision look at other outputs: else they are not told of
     * them. */
    bool reads_outputs;
    /* Optional (NULL): work shared by all calls of reference, such as a table of act(x)
     * over all 65536 patterns of a 16-bit dtype. Returns a malloc'd block (or NULL), freed
     * by the caller. */
    void *(*prepare)(const struct kb_problem *p, const void *const *in);
    /* Optional (NULL: nothing is summed up): elements [first, first+count) of output `t`,
     * before rounding (EXACT: the bits), of a kernel that is wrong only in keeping sums in
     * bf16, rounded at each step. A case whose rule lets it pass is MISTRUSTED. False where
     * so few numbers are summed up that a right kernel might give the same. */
    bool (*low_precision)(const struct kb_problem *p, const void *const *in,
                          const void *prepared, int t, int64_t first, int64_t count,
                          double *got);
    /* What the peers' own tests compare an output of dtype `out` at, in a case of `dtype`.
     */
    void (*peer_tolerance)(enum kb_dtype dtype, enum kb_dtype out, double *atol,
                           double *rtol);
    /* Optional: what element `i` of output `t` is made of, at most KB_MAX_SOURCES numbers;
     * returns how many: as many and the same of each element, but 0 of one that is no
     * result (between rows, padding). NULL: the element of each input that is as large as
     * the output. */
    int (*sources)(const struct kb_problem *p, const void *const *in, int t, int64_t i,
                   struct kb_source *out);
    /* Rows that know nothing of each other: the name that counts them (of an axis or of a
     * derived size, "tokens"), NULL where there are none. Row i must have the same bits
     * whatever rows are there after it. In each tensor one axis at most is as long as there
     * are rows, a multiple of that or padded; it is found by the shapes. */
    const char *batch;
    /* Optional: make of `c`, a copy of the case, one of only the first `rows` of them;
     * false where it has none. NULL: the shape's first axis becomes that. */
    bool (*first_rows)(const struct kb_problem *p, int64_t rows, struct kb_case *c);
    /* Held against an output that is wrong, so that the failure can name what it follows.
     * Those that the case has itself, or that do not resolve, are passed over. */
    const struct kb_convention *conventions;
    int n_conventions;
    /* Optional: whether tensor `t`, of whole numbers, may hold what is in `data`, which
     * comes from a file and not from fill: places and counts past its rows would lead
     * kernels and reference out of the tensors. KB_INPUT says which element, and what was
     * wanted. */
    bool (*accepts)(const struct kb_problem *p, int t, const void *data,
                    struct kb_err *err);
};

/* The list of ops: one line each in src/op/list.c. */
extern const struct kb_op *const kb_ops[];
extern const int kb_op_count;
const struct kb_op *kb_op_find(const char *name);
/* kb_unknown of an op; returns the one that was suggested, or NULL. */
const struct kb_op *kb_unknown_op(struct kb_buf *out, const char *word);
bool kb_op_has_dtype(const struct kb_op *op, enum kb_dtype dtype);
/* The shape that values of all axes make; false on overflow. */
bool kb_op_shape(const struct kb_op *op, const int64_t *values, int64_t shape[KB_MAX_RANK],
                 int *rank);
const struct kb_param *kb_op_param(const struct kb_op *op, const char *name, int *index);

#include "case.h"
#include "problem.h"

#endif
