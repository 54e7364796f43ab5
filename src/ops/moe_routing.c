/* moe_routing.c - op moe_routing: which experts a token goes to, and with what weights.
 *
 * Formula. A row of the logits has one number l[e] for each expert e. Of a row:
 *     ids        the topk experts with the largest logits, largest first
 *     p[j]       exp(l[ids[j]] - m), m being the largest of all that are no NaN
 *     d          the sum of p; 1 where that sum is not above 0, or NaN
 *     weights    p[j] / d * scale[ids[j]], fp32
 *
 * Order. Logits are compared as sortable bits: +NaN > +inf > ... > +0 > -0 > ... > -inf >
 * -NaN, NaNs by their payload. Equal ones: the lower id first. So the ids have one right
 * answer, whatever is in the row.
 *
 * NaN and infinities follow from the formula as the fused kernels have it: a selected NaN
 * is NaN in its own slot, and the others are not divided (d is 1); +inf is NaN in its own
 * slot (inf - inf), the others 0; -inf has weight 0, unless all selected are: then all are
 * NaN. A scale that is 0, negative, infinite or NaN is a factor like any other.
 *
 *     mode=eager     what a framework computes op by op: softmax and product are rounded to
 *                    the logits' dtype, and the scale before the product. d is the sum,
 *                    NaN or not, so that one NaN or +inf makes all weights NaN.
 *     ties=high      equal logits: the higher id first
 *     ties=any       whichever of equal logits; no expert twice. The weights are held
 *                    against the ids that the kernel chose.
 *     norm=all       d is over all experts, selected or not
 *     norm=scaled    weights are divided by their sum again, after the scale
 *     scale=none     there is no scale
 *     scale=before   the logits are multiplied by the scale, and the products, rounded to
 *                    fp32, are what is selected from and what l is; the weights are not
 *                    multiplied. A product that is NaN is +NaN, all of them alike
 *
 *     in_pitch=P     rows of the logits begin P elements apart. What lies between them is
 *                    NaN, no expert's
 *
 * Cost. The logits once, 8 bytes a slot, the scale once. Operations as a sorting network's
 * comparisons, E log2(E)^2 / 2, and 6 a slot. */
#include "ops/moe_routing.h"

#include <math.h>

enum {
    PARAM_TOPK,
    PARAM_MODE,
    PARAM_TIES,
    PARAM_NORM,
    PARAM_SCALE,
    PARAM_SCALE_DTYPE,
    PARAM_IN_PITCH
};
enum { TOPK_DEFAULT = 8 };

static int number(const struct kb_case *c, int param) {
    return (int)c->set[param].v;
}

static enum kb_dtype scale_dtype_of(const struct kb_case *c) {
    static const enum kb_dtype dtypes[] = {
        [KB_SCALE_BF16] = KB_BF16, [KB_SCALE_FP16] = KB_FP16, [KB_SCALE_FP32] = KB_FP32};
    int word = number(c, PARAM_SCALE_DTYPE);
    return word == KB_SCALE_SAME ? c->dtype : dtypes[word];
}

static int64_t in_stride_of(const struct kb_case *c) {
    int64_t pitch = (int64_t)c->set[PARAM_IN_PITCH].v;
    return pitch ? pitch : c->shape[1];
}

struct kb_routing kb_routing_of(const struct kb_case *c) {
    return (struct kb_routing){
        .dtype = c->dtype,
        .scale_dtype = scale_dtype_of(c),
        .tokens = c->shape[0],
        .experts = c->shape[1],
        .in_stride = in_stride_of(c),
        .topk = number(c, PARAM_TOPK),
        .mode = number(c, PARAM_MODE),
        .ties = number(c, PARAM_TIES),
        .norm = number(c, PARAM_NORM),
        .scale = number(c, PARAM_SCALE),
    };
}

/* ---- the problem -----------------------------------------------------------------------
 */

static bool check_shape(const struct kb_case *c, struct kb_err *err) {
    if (c->rank != 2)
        return kb_fail(err, KB_INPUT, "the shape is TOKENSxEXPERTS, two axes, got %d",
                       c->rank);
    int64_t experts = c->shape[1];
    if (experts < 1 || experts > KB_ROUTE_EXPERTS_MAX)
        return kb_fail(err, KB_INPUT, "EXPERTS must be 1 to %d, got %lld",
                       KB_ROUTE_EXPERTS_MAX, (long long)experts);
    if (number(c, PARAM_TOPK) > experts)
        return kb_fail(err, KB_INPUT, "topk=%d of %lld experts: at most all of them",
                       number(c, PARAM_TOPK), (long long)experts);
    if (in_stride_of(c) < experts)
        return kb_fail(err, KB_INPUT,
                       "in_pitch must be 0 or at least EXPERTS, %lld is less than %lld",
                       (long long)in_stride_of(c), (long long)experts);
    return true;
}

/* What would be another case's computation, or nobody's. */
static bool check_words(const struct kb_case *c, struct kb_err *err) {
    int scale = number(c, PARAM_SCALE), norm = number(c, PARAM_NORM);
    bool eager = number(c, PARAM_MODE) == KB_MODE_EAGER;
    if (scale == KB_SCALE_NONE && number(c, PARAM_SCALE_DTYPE) != KB_SCALE_SAME)
        return kb_fail(err, KB_INPUT, "scale=none has no scale that scale_dtype could be");
    if (norm == KB_NORM_SCALED && scale != KB_SCALE_AFTER)
        return kb_fail(err, KB_INPUT, "norm=scaled goes with scale=after only");
    if (eager && norm == KB_NORM_SCALED)
        return kb_fail(err, KB_INPUT, "norm=scaled goes with mode=fp32 only");
    if (eager && scale == KB_SCALE_BEFORE)
        return kb_fail(err, KB_INPUT, "scale=before goes with mode=fp32 only");
    return true;
}

/* Where several answers are right, ids are a range and no bits. */
static bool add_tensors(const struct kb_routing *r, struct kb_problem *p,
                        struct kb_err *err) {
    const int64_t logits[] = {r->tokens, r->in_stride}, slots[] = {r->tokens, r->topk};
    if (!kb_problem_tensor(p, "logits", KB_IN, r->dtype, 2, logits, KB_RULE_BOUND, err) ||
        !kb_problem_tensor(p, "per_expert_scale", KB_IN, r->scale_dtype, 1, &r->experts,
                           KB_RULE_BOUND, err))
        return false;
    if (r->scale == KB_SCALE_NONE)
        kb_problem_absent(p);
    return kb_problem_tensor(p, "weights", KB_OUT, KB_FP32, 2, slots, KB_RULE_BOUND, err) &&
           kb_problem_tensor(p, "ids", KB_OUT, KB_I32, 2, slots,
                             r->ties == KB_TIES_ANY ? KB_RULE_BOUND : KB_RULE_EXACT, err);
}

static void add_cost(const struct kb_routing *r, struct kb_problem *p) {
    double experts = (double)r->experts, steps = log2(experts);
    int64_t read =
        r->tokens * r->experts * (int64_t)kb_dtype_bytes(r->dtype) +
        p->tensors[KB_ROUTE_SCALE].elements * (int64_t)kb_dtype_bytes(r->scale_dtype);
    int64_t written = r->tokens * 8 * r->topk;
    if (!r->tokens)
        return;
    p->bytes = read + written;
    p->flops = r->tokens * (int64_t)(experts * steps * steps / 2 + 6 * r->topk);
    kb_problem_moves(p, read, written);
}

static bool resolve(const struct kb_case *c, struct kb_problem *p, struct kb_err *err) {
    static const int words[] = {
        [KB_BF16] = KB_SCALE_BF16, [KB_FP16] = KB_SCALE_FP16, [KB_FP32] = KB_SCALE_FP32};
    if (!check_shape(c, err) || !check_words(c, err))
        return false;
    struct kb_routing r = kb_routing_of(c);
    if (!add_tensors(&r, p, err))
        return false;
    kb_problem_name(p, "tokens", r.tokens);
    kb_problem_name(p, "experts", r.experts);
    kb_problem_name(p, "in_stride", r.in_stride);
    kb_problem_means(p, "scale_dtype", words[r.scale_dtype]);
    add_cost(&r, p);
    return true;
}

static void macros(const struct kb_case *c, struct kb_arena *arena,
                   struct kb_strings *out) {
    const struct kb_macro list[] = {
        {.name = "KB_SCALE_T", .type = kb_dtype_cxx(scale_dtype_of(c))},
        {.name = "KB_MODE", .value = number(c, PARAM_MODE)},
        {.name = "KB_TIES", .value = number(c, PARAM_TIES)},
        {.name = "KB_NORM", .value = number(c, PARAM_NORM)},
        {.name = "KB_SCALE", .value = number(c, PARAM_SCALE)},
    };
    kb_macros_add(c, list, KB_COUNT(list), arena, out);
}

/* The peers' own, by the logits' dtype: their reference rounds as mode=eager does. */
static void peer_tolerance(enum kb_dtype dtype, enum kb_dtype out, double *atol,
                           double *rtol) {
    (void)out;
    *atol = *rtol = dtype == KB_BF16 ? 5e-3 : dtype == KB_FP16 ? 1e-3 : 1e-5;
}

/* ---- the op ----------------------------------------------------------------------------
 */

static const struct kb_param params[] = {
    [PARAM_TOPK] =
        {
            .name = "topk",
            .help = "experts a token goes to, at most all of them",
            .kind = KB_PARAM_INT,
            .min = 1,
            .max = KB_ROUTE_TOPK_MAX,
            .def = TOPK_DEFAULT,
        },
    [PARAM_MODE] =
        {
            .name = "mode",
            .help =
                "fp32 throughout, or rounded to the logits' dtype after the softmax and\n"
                "after the product, as op by op",
            .kind = KB_PARAM_WORD,
            .words = "fp32,eager",
            .def = KB_MODE_FP32,
        },
    [PARAM_TIES] =
        {
            .name = "ties",
            .help =
                "which of equal logits comes first: that of the lower id, of the higher,\n"
                "or any, which then is the kernel's choice",
            .kind = KB_PARAM_WORD,
            .words = "low,high,any",
            .def = KB_TIES_LOW,
        },
    [PARAM_NORM] =
        {
            .name = "norm",
            .help = "what makes 1 in the sum: the selected experts before the scale, all\n"
                    "experts, or the weights after the scale",
            .kind = KB_PARAM_WORD,
            .words = "selected,all,scaled",
            .def = KB_NORM_SELECTED,
        },
    [PARAM_SCALE] =
        {
            .name = "scale",
            .help =
                "where per_expert_scale is a factor: of the weights, nowhere, or of the\n"
                "logits before the selection",
            .kind = KB_PARAM_WORD,
            .words = "after,none,before",
            .def = KB_SCALE_AFTER,
        },
    [PARAM_SCALE_DTYPE] =
        {
            .name = "scale_dtype",
            .help = "dtype of per_expert_scale, the logits' own unless said",
            .kind = KB_PARAM_WORD,
            .words = "same,bf16,fp16,fp32",
            .def = KB_SCALE_SAME,
        },
    [PARAM_IN_PITCH] =
        {
            .name = "in_pitch",
            .help =
                "elements from a row of the logits to the next, EXPERTS or more; 0: rows\n"
                "follow each other",
            .kind = KB_PARAM_INT,
            .max = INT32_MAX,
        },
};

static const enum kb_fill fills[] = {
    KB_FILL_NORMAL, KB_FILL_LARGE,    KB_FILL_OUTLIERS, KB_FILL_TINY,
    KB_FILL_ZEROS,  KB_FILL_CONSTANT, KB_FILL_TIES,     KB_FILL_STEPS,
    KB_FILL_MASKED, KB_FILL_NAN,      KB_FILL_BITS,     KB_FILL_PATTERNS,
};

static const char *const axes[] = {"tokens", "experts"};

static const struct kb_convention conventions[] = {
    {.words = "ties to the higher id", .set = "ties=high"},
    {.words = "ties to the lower id", .set = "ties=low"},
    {.words = "mode=eager", .set = "mode=eager"},
    {.words = "mode=fp32", .set = "mode=fp32"},
    {.words = "softmax over all experts", .set = "norm=all"},
    {.words = "softmax over the selected experts", .set = "norm=selected"},
    {.words = "normalised again after the scale", .set = "norm=scaled"},
    {.words = "the scale before the selection", .set = "scale=before,norm=selected"},
    {.words = "no scale", .set = "scale=none,scale_dtype=same,norm=selected"},
};

const struct kb_op kb_op_moe_routing = {
    .name = "moe_routing",
    .family = "moe_routing",
    .shape_form = "TOKENSxEXPERTS",
    .formula = "ids = topk of logits, weights = softmax over those * per_expert_scale[ids]",
    .catches =
        "ties to the higher id, +0 and -0 taken for equal, padding selected, softmax\n"
        "before the selection, over all experts or without the maximum, K-1 or K+1 of\n"
        "the sum, the scale by slot or of another expert",
    .sample = "7x128",
    .dtypes = {KB_BF16, KB_FP16, KB_FP32},
    .n_dtypes = 3,
    .params = params,
    .n_params = KB_COUNT(params),
    .fills = fills,
    .n_fills = KB_COUNT(fills),
    .axes = axes,
    .n_axes = KB_COUNT(axes),
    .batch = "tokens",
    .fast_math_factor = KB_ROUTE_FAST_MATH,
    .resolve = resolve,
    .macros = macros,
    .fill = kb_routing_fill,
    .reference = kb_routing_reference,
    .reads_outputs = true,
    .low_precision = kb_routing_low_precision,
    .peer_tolerance = peer_tolerance,
    .sources = kb_routing_sources,
    .conventions = conventions,
    .n_conventions = KB_COUNT(conventions),
};
