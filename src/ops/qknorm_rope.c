/* qknorm_rope.c - op qknorm_rope: RMSNorm of every query and key head, then the rotary
 * embedding, in place in a packed qkv buffer.
 *
 * Formula. A token's row is q heads, k heads, v heads, each of head_dim elements x. With w
 * the weight of q or of k, and r = 1 / sqrt(mean(x^2) + eps):
 *     y[i] = x[i] * r * w[i]
 *     pairs k = 0 .. rotary_dim / 2 - 1 are (k, k + rotary_dim / 2) in style=neox and
 *     (2k, 2k + 1) in style=interleaved; with t = position * frequency(k):
 *     out_a = (y_a cos t - y_b sin t) * scale,  out_b = (y_b cos t + y_a sin t) * scale
 *     elements from rotary_dim on are y; v heads stay bit for bit
 *     frequency(k) = base^(-2k / rotary_dim), and with YaRN (factor f other than 1)
 *     times (1 - ramp) + ramp / f, ramp = (k - low) / (high - low) within 0 and 1
 *     round=once      one rounding, at the end
 *     round=norm      y is rounded to the dtype
 *     round=scaled    x * r is, and y
 *     table=dtype     cos t and sin t are rounded to the dtype, as a table of it holds them
 * YaRN comes as factor, low, high and attention_factor (its scale), or is derived from a
 * model's configuration where original is set (Peng et al. 2023, with the rounding and the
 * limits of Hugging Face's rope utilities):
 *     factor = max_position / original where max_position is set
 *     low, high = d(beta_fast), d(beta_slow), floor and ceil of them unless truncate=no,
 *     within 0 and rotary_dim - 1;
 *     d(n) = rotary_dim * ln(original / (2 pi n)) / (2 ln base)
 *     scale = m(mscale) / m(mscale_all_dim) where both are set, else m(1);
 *     m(s) = 0.1 s ln factor + 1, and 1 for a factor up to 1
 *
 * Cost. q and k heads read and written, 4 bytes a position, the weights; v costs nothing.
 *
 * in_pitch: the packed buffer has wider rows, so many elements from token to token; what
 * lies behind a token's v heads is NaN and stays bit for bit, as v does.
 *
 * Timed in place, a launch finds what the last one on the same buffers left: other values,
 * the same bytes. Outputs are checked on buffers that were put back. */
#include "ops/qknorm_rope.h"

#include <math.h>
#include <string.h>

static double number(const struct kb_case *c, int param) {
    return c->set[param].v;
}

/* ---- the problem -----------------------------------------------------------------------
 */

static bool check_shape(const struct kb_case *c, struct kb_err *err) {
    if (c->rank != 4)
        return kb_fail(err, KB_INPUT,
                       "the shape is TOKENSxHEADSxKV_HEADSxHEAD_DIM, got %d axes", c->rank);
    for (int i = 1; i < 3; i++)
        if (c->shape[i] < 1 || c->shape[i] > 65535)
            return kb_fail(err, KB_INPUT, "%s must be from 1 to 65535, got %lld",
                           i == 1 ? "HEADS" : "KV_HEADS", (long long)c->shape[i]);
    int64_t dim = c->shape[3];
    if (dim != 64 && dim != 128 && dim != 256)
        return kb_fail(err, KB_INPUT, "HEAD_DIM must be 64, 128 or 256, got %lld",
                       (long long)dim);
    if (c->shape[0] > INT32_MAX)
        return kb_fail(err, KB_INPUT, "TOKENS must be at most %d, got %lld", INT32_MAX,
                       (long long)c->shape[0]);
    return true;
}

static bool check_rotary(const struct kb_case *c, struct kb_err *err) {
    int64_t rotary = (int64_t)number(c, KB_QKR_P_ROTARY_DIM);
    if (rotary % 2)
        return kb_fail(err, KB_INPUT, "rotary_dim counts pairs, %lld is odd",
                       (long long)rotary);
    if (rotary > c->shape[3])
        return kb_fail(err, KB_INPUT, "rotary_dim %lld is more than HEAD_DIM %lld",
                       (long long)rotary, (long long)c->shape[3]);
    if (!(number(c, KB_QKR_P_BASE) > 1))
        return kb_fail(err, KB_INPUT, "base must be above 1, got %g",
                       number(c, KB_QKR_P_BASE));
    return true;
}

/* What nothing reads is refused: the case would have a second id. */
static bool check_yarn(const struct kb_case *c, struct kb_err *err) {
    const struct kb_param *params = c->op->params;
    bool derived = number(c, KB_QKR_P_ORIGINAL) > 0;
    if (!(number(c, KB_QKR_P_FACTOR) > 0))
        return kb_fail(err, KB_INPUT, "factor must be above 0, got %g",
                       number(c, KB_QKR_P_FACTOR));
    for (int i = KB_QKR_P_MAX_POSITION; i <= KB_QKR_P_TRUNCATE; i++)
        if (!derived && number(c, i) != params[i].def)
            return kb_fail(err, KB_INPUT, "%s is for a YaRN derived from original, not set",
                           params[i].name);
    for (int i = KB_QKR_P_LOW; i <= KB_QKR_P_HIGH; i++) {
        if (derived && number(c, i) != 0)
            return kb_fail(err, KB_INPUT, "%s is derived where original is set",
                           params[i].name);
        if (!derived && number(c, KB_QKR_P_FACTOR) == 1 && number(c, i) != 0)
            return kb_fail(err, KB_INPUT, "%s is for a factor other than 1",
                           params[i].name);
    }
    if (number(c, KB_QKR_P_MAX_POSITION) > 0 && number(c, KB_QKR_P_FACTOR) != 1)
        return kb_fail(err, KB_INPUT,
                       "factor is max_position / original, give one of the "
                       "two");
    return true;
}

static bool check_positions(const struct kb_case *c, struct kb_err *err) {
    int pattern = (int)number(c, KB_QKR_P_POSITIONS);
    double position = number(c, KB_QKR_P_POSITION);
    if (pattern == KB_POS_POWERS && position != 0)
        return kb_fail(err, KB_INPUT,
                       "position is for positions=arange, random, constant and reverse");
    if ((pattern == KB_POS_ARANGE || pattern == KB_POS_REVERSE) &&
        position + (double)c->shape[0] > (double)INT32_MAX)
        return kb_fail(err, KB_INPUT, "positions up to %.0f do not fit 32 bits",
                       position + (double)c->shape[0] - 1);
    return true;
}

static void add_names(const struct kb_qkr *q, struct kb_problem *p) {
    kb_problem_name(p, "tokens", q->tokens);
    kb_problem_name(p, "heads", q->heads);
    kb_problem_name(p, "kv_heads", q->kv_heads);
    kb_problem_name(p, "turning", q->heads + q->kv_heads); /* heads that change */
    kb_problem_name(p, "head_dim", q->head_dim);
    kb_problem_name(p, "row", q->row);
    kb_problem_means(p, "in_pitch", q->row);
    kb_problem_means(p, "rotary_dim", q->rotary_dim);
    /* frequency(k) is ratio^k times (1 - ramp) + ramp * yarn_inverse, ramp = (k - yarn_low)
     * * yarn_slope within 0 and 1 */
    kb_problem_float(p, "ratio", pow(q->base, -2.0 / q->rotary_dim));
    bool yarn = q->factor != 1;
    kb_problem_float(p, "yarn_inverse", yarn ? 1 / q->factor : 1);
    kb_problem_float(p, "yarn_low", yarn ? q->low : 0);
    kb_problem_float(p, "yarn_slope", yarn ? 1 / (kb_qkr_upper(q) - q->low) : 0);
    kb_problem_float(p, "scale", q->scale);
}

static void add_cost(const struct kb_qkr *q, struct kb_problem *p) {
    int64_t heads = q->tokens * (q->heads + q->kv_heads);
    p->ceiling_pattern = "copy";
    p->ceiling_elements = heads * q->head_dim;
    p->bytes = 2 * p->ceiling_elements * (int64_t)kb_dtype_bytes(q->dtype) + 4 * q->tokens +
               2 * q->head_dim * (int64_t)kb_dtype_bytes(q->dtype);
    p->flops = heads * (4 * q->head_dim + 4 * q->rotary_dim);
}

static bool check_pitch(const struct kb_qkr *q, struct kb_err *err) {
    if (q->row >= q->width)
        return true;
    return kb_fail(err, KB_INPUT, "in_pitch %lld is less than a token's %lld elements",
                   (long long)q->row, (long long)q->width);
}

static bool resolve(const struct kb_case *c, struct kb_problem *p, struct kb_err *err) {
    if (!check_shape(c, err) || !check_rotary(c, err) || !check_yarn(c, err) ||
        !check_positions(c, err))
        return false;
    struct kb_qkr q = kb_qkr_of(c);
    if (!check_pitch(&q, err))
        return false;
    int64_t qkv[] = {q.tokens, q.row}, dim = q.head_dim;
    if (!(q.scale > 0) || !isfinite(q.scale))
        return kb_fail(err, KB_INPUT, "the scale of this YaRN is %g, no use", q.scale);
    if (!kb_problem_tensor(p, "qkv", KB_INOUT, c->dtype, 2, qkv, KB_RULE_BOUND, err) ||
        !kb_problem_tensor(p, "q_weight", KB_IN, c->dtype, 1, &dim, KB_RULE_BOUND, err) ||
        !kb_problem_tensor(p, "k_weight", KB_IN, c->dtype, 1, &dim, KB_RULE_BOUND, err) ||
        !kb_problem_tensor(p, "position_ids", KB_IN, KB_I32, 1, &q.tokens, KB_RULE_EXACT,
                           err))
        return false;
    add_names(&q, p);
    add_cost(&q, p);
    return true;
}

static void macros(const struct kb_case *c, struct kb_arena *arena,
                   struct kb_strings *out) {
    const struct kb_macro list[] = {
        {.name = "KB_STYLE", .value = (int)number(c, KB_QKR_P_STYLE)},
        {.name = "KB_ROUND", .value = (int)number(c, KB_QKR_P_ROUND)},
        {.name = "KB_TABLE", .value = (int)number(c, KB_QKR_P_TABLE)},
    };
    kb_macros_add(c, list, KB_COUNT(list), arena, out);
}

static bool accepts(const struct kb_problem *p, int t, const void *data,
                    struct kb_err *err) {
    for (int64_t i = 0; t == KB_QKR_POSITIONS && i < p->tensors[t].elements; i++) {
        int64_t got = ((const int32_t *)data)[i];
        if (got < 0)
            return kb_fail(err, KB_INPUT, "%s[%lld] is %lld, a position is at least 0",
                           p->tensors[t].name, (long long)i, (long long)got);
    }
    return true;
}

/* sglang's of the fused kernel in bf16, vLLM's in fp16. */
static void peer_tolerance(enum kb_dtype dtype, enum kb_dtype out, double *atol,
                           double *rtol) {
    (void)out;
    *atol = dtype == KB_BF16 ? 5e-3 : 2e-3;
    *rtol = dtype == KB_BF16 ? 1e-2 : 2e-3;
}

/* ---- the op ----------------------------------------------------------------------------
 */

static const struct kb_param params[] = {
    [KB_QKR_P_STYLE] = {.name = "style",
                        .help =
                            "which elements make a pair: halves of the rotated part, or "
                            "neighbours",
                        .kind = KB_PARAM_WORD,
                        .words = "neox,interleaved"},
    [KB_QKR_P_ROTARY_DIM] = {.name = "rotary_dim",
                             .help = "elements of a head that are rotated; 0: all",
                             .kind = KB_PARAM_INT,
                             .max = KB_QKR_MAX_HEAD},
    [KB_QKR_P_EPS] = {.name = "eps",
                      .help = "added to the mean square",
                      .kind = KB_PARAM_FLOAT,
                      .max = 1,
                      .def = 1e-6},
    [KB_QKR_P_BASE] = {.name = "base",
                       .help = "of the frequencies (rope_theta)",
                       .kind = KB_PARAM_FLOAT,
                       .min = 1,
                       .max = 1e12,
                       .def = 1e6},
    [KB_QKR_P_FACTOR] = {.name = "factor",
                         .help = "YaRN: positions are stretched by it; 1: no YaRN",
                         .kind = KB_PARAM_FLOAT,
                         .max = 1e6,
                         .def = 1},
    [KB_QKR_P_LOW] = {.name = "low",
                      .help = "YaRN: pairs up to it keep their frequency",
                      .kind = KB_PARAM_FLOAT,
                      .min = -1024,
                      .max = 1024},
    [KB_QKR_P_HIGH] = {.name = "high",
                       .help = "YaRN: pairs from it on are stretched",
                       .kind = KB_PARAM_FLOAT,
                       .min = -1024,
                       .max = 1024},
    [KB_QKR_P_ATTENTION] = {.name = "attention_factor",
                            .help = "what the rotated elements are multiplied by; 0: 1, or "
                                    "as derived",
                            .kind = KB_PARAM_FLOAT,
                            .max = 1e3},
    [KB_QKR_P_ORIGINAL] = {.name = "original",
                           .help = "original_max_position_embeddings: low, high and "
                                   "attention_factor\nare derived; 0: they are given",
                           .kind = KB_PARAM_INT,
                           .max = INT32_MAX},
    [KB_QKR_P_MAX_POSITION] = {.name = "max_position",
                               .help = "max_position_embeddings: factor is this over "
                                       "original; 0: factor is given",
                               .kind = KB_PARAM_INT,
                               .max = INT32_MAX},
    [KB_QKR_P_BETA_FAST] = {.name = "beta_fast",
                            .help = "turns over original at low",
                            .kind = KB_PARAM_FLOAT,
                            .min = 1e-3,
                            .max = 1e6,
                            .def = 32},
    [KB_QKR_P_BETA_SLOW] = {.name = "beta_slow",
                            .help = "turns over original at high",
                            .kind = KB_PARAM_FLOAT,
                            .min = 1e-3,
                            .max = 1e6,
                            .def = 1},
    [KB_QKR_P_MSCALE] = {.name = "mscale",
                         .help = "with mscale_all_dim, of the derived attention_factor",
                         .kind = KB_PARAM_FLOAT,
                         .max = 1e3},
    [KB_QKR_P_MSCALE_ALL] = {.name = "mscale_all_dim",
                             .help = "as mscale, below the line",
                             .kind = KB_PARAM_FLOAT,
                             .max = 1e3},
    [KB_QKR_P_TRUNCATE] = {.name = "truncate",
                           .help = "whether derived low and high are whole pairs",
                           .kind = KB_PARAM_WORD,
                           .words = "yes,no"},
    [KB_QKR_P_POSITIONS] = {.name = "positions",
                            .help =
                                "position ids: position, position + 1, ...; drawn below "
                                "position\n(0: 32768); all position; counted down to "
                                "position; 0 and powers of two",
                            .kind = KB_PARAM_WORD,
                            .words = "arange,random,constant,reverse,powers"},
    [KB_QKR_P_POSITION] = {.name = "position",
                           .help = "see positions",
                           .kind = KB_PARAM_INT,
                           .max = INT32_MAX},
    [KB_QKR_P_WEIGHTS] = {.name = "weights",
                          .help = "N(1, 0.1), 5 N(0, 1), or all 1, where a wrong weight is "
                                  "not seen",
                          .kind = KB_PARAM_WORD,
                          .words = "near_one,wide,ones"},
    [KB_QKR_P_ROUND] = {.name = "round",
                        .help = "round once at the end, or the normed element too, or that "
                                "also before\nthe weight",
                        .kind = KB_PARAM_WORD,
                        .words = "once,norm,scaled"},
    [KB_QKR_P_TABLE] = {.name = "table",
                        .help = "cos and sin in fp32, or rounded to the dtype",
                        .kind = KB_PARAM_WORD,
                        .words = "fp32,dtype"},
    [KB_QKR_P_ANGLE] = {.name = "angle",
                        .help = "what the bound allows the angle: the error of an fp32 "
                                "product, or none",
                        .kind = KB_PARAM_WORD,
                        .words = "fp32,exact"},
    [KB_QKR_P_PITCH] = {.name = "in_pitch",
                        .help = "elements from one token of qkv to the next; 0: as many as "
                                "its heads have",
                        .kind = KB_PARAM_INT,
                        .max = INT32_MAX},
};

static const enum kb_fill fills[] = {
    KB_FILL_NORMAL, KB_FILL_LARGE,    KB_FILL_OUTLIERS, KB_FILL_TINY,
    KB_FILL_ZEROS,  KB_FILL_CONSTANT, KB_FILL_NAN,
};

static const char *const axes[] = {"tokens", "heads", "kv_heads", "head_dim"};

static const struct kb_convention conventions[] = {
    {.words = "style=neox", .set = "style=neox"},
    {.words = "style=interleaved", .set = "style=interleaved"},
    {.words = "round=once", .set = "round=once"},
    {.words = "round=norm", .set = "round=norm"},
    {.words = "round=scaled", .set = "round=scaled"},
    {.words = "table=fp32", .set = "table=fp32"},
    {.words = "table=dtype", .set = "table=dtype"},
    {.words = "rotary_dim of the whole head", .set = "rotary_dim=0"},
    {.words = "without attention_factor", .set = "attention_factor=1"},
    {.words = "without YaRN",
     .set = "factor=1,low=0,high=0,original=0,max_position=0,beta_fast=32,beta_slow=1,"
            "mscale=0,mscale_all_dim=0,truncate=yes"},
};

const struct kb_op kb_op_qknorm_rope = {
    .name = "qknorm_rope",
    .family = "qknorm_rope",
    .shape_form = "TOKENSxHEADSxKV_HEADSxHEAD_DIM",
    .formula = "q and k heads: y = x / sqrt(mean(x^2) + eps) * w, then pairs rotated by "
               "position * frequency",
    .catches =
        "v touched, k normed by q's weight, the pairs of another style, rotary_dim "
        "ignored,\neps outside the root, positions ignored, a wrong YaRN ramp, angles "
        "that lose their\nlast digits at long positions, a store before a "
        "neighbour's load",
    .sample = "3x4x2x64",
    .dtypes = {KB_BF16, KB_FP16},
    .n_dtypes = 2,
    .params = params,
    .n_params = KB_COUNT(params),
    .fills = fills,
    .n_fills = KB_COUNT(fills),
    .axes = axes,
    .n_axes = KB_COUNT(axes),
    .batch = "tokens",
    .fast_math_factor = KB_QKR_FAST_MATH,
    .resolve = resolve,
    .macros = macros,
    .fill = kb_qkr_fill,
    .reference = kb_qkr_reference,
    .prepare = kb_qkr_prepare,
    .low_precision = kb_qkr_low_precision,
    .sources = kb_qkr_sources,
    .peer_tolerance = peer_tolerance,
    .accepts = accepts,
    .conventions = conventions,
    .n_conventions = KB_COUNT(conventions),
};
