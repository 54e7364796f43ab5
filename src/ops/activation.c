/* activation.c - ops silu, gelu and gelu_tanh: the gated half of an MLP, act(gate) * up.
 *
 * Formula. A row of the input is [gate | up], H elements each. With x = gate, u = up:
 *     silu       act(x) = x / (1 + exp(-x))
 *     gelu       act(x) = x / 2 * (1 + erf(x / sqrt 2))
 *     gelu_tanh  act(x) = x / 2 * (1 + tanh z),  z = sqrt(2 / pi) * (x + 0.044715 x^3)
 *     round=once      out = R(act(x) * u)         one rounding to the dtype, at the end
 *     round=act       out = R(R(act(x)) * u)      act(x) is rounded too; in fp32 the same
 *     layout=up_gate  a row is [up | gate]
 *     clamp=L         x = min(x, R(L)) and u = max(min(u, R(L)), -R(L)) first, NaN stays
 *                     NaN; silu only
 *     filter=ids      row t is left as it is where expert_ids[t / step] is -1
 *     filter=sorted   and where t >= num_post_padded[0], or sorted_token_ids[t], taken as
 *                     unsigned, is num_valid or more
 *     inplace=yes     there is no out: results go to the gate half of the input, the up
 *                     half stays
 *     in_pitch=P      rows of the input begin P elements apart, those of out out_pitch; 0:
 *                     they follow each other. What lies between them is no part of them:
 *                     in the input it is NaN, and stays as it is in both
 * x is -inf: NaN, in all three, since the formula has -inf * 0 or -inf / inf there.
 *
 * Cost. 3H elements per row that is not filtered, and 4 bytes per id. How many rows that is
 * depends on the seed by less than a group (of filter=sorted by a little more), which the
 * cost leaves out.
 *
 * Timed in place, a launch finds what the last one on the same buffers left: other values,
 * the same bytes. Outputs are checked on buffers that were put back. */
#include "ops/activation.h"
#include "ops/gated.h"

#include <math.h>
#include <string.h>

enum {
    PARAM_ROUND,
    PARAM_LAYOUT,
    PARAM_CLAMP,
    PARAM_FILTER,
    PARAM_STEP,
    PARAM_SKIP,
    PARAM_VALID,
    PARAM_INPLACE,
    PARAM_IN_PITCH,
    PARAM_OUT_PITCH,
};
#define SKIP_DEFAULT 0.4
enum { STEP_DEFAULT = 1, VALID_DEFAULT = -1 };

/* ---- a case, spelt out -----------------------------------------------------------------
 */

static double number(const struct kb_case *c, int param) {
    return c->set[param].v;
}

static int64_t stride_of(const struct kb_case *c, int param, int64_t width) {
    int64_t pitch = (int64_t)number(c, param);
    return pitch ? pitch : width;
}

/* A share of `n`, but some and not all of them where it is neither 0 nor 1. */
static int64_t share_of(double share, int64_t n) {
    int64_t part = (int64_t)floor(share * (double)n + 0.5);
    if (share > 0 && share < 1 && n > 1)
        part = part < 1 ? 1 : part > n - 1 ? n - 1 : part;
    return part;
}

struct kb_activation kb_activation_of(const struct kb_case *c) {
    double clamp = number(c, PARAM_CLAMP), skip = number(c, PARAM_SKIP);
    struct kb_activation a = {
        .dtype = c->dtype,
        .act = c->op->variant,
        .round = (int)number(c, PARAM_ROUND),
        .layout = (int)number(c, PARAM_LAYOUT),
        .filter = (int)number(c, PARAM_FILTER),
        .inplace = number(c, PARAM_INPLACE) != 0,
        .limit = INFINITY,
        .tokens = 1,
        .hidden = c->shape[c->rank - 1] / 2,
        .in_stride = stride_of(c, PARAM_IN_PITCH, c->shape[c->rank - 1]),
        .out_stride = stride_of(c, PARAM_OUT_PITCH, c->shape[c->rank - 1] / 2),
        .step = (int64_t)number(c, PARAM_STEP),
        .num_valid = (int64_t)number(c, PARAM_VALID),
    };
    for (int i = 0; i < c->rank - 1; i++)
        a.tokens *= c->shape[i];
    if (clamp > 0)
        a.limit = kb_decode(c->dtype, kb_encode(c->dtype, clamp));
    a.groups = a.tokens / a.step + (a.tokens % a.step != 0);
    a.skipped = share_of(skip, a.groups);
    /* Padding comes on top: an eighth of the rows lies past the end and an eighth of the
     * ids is none, at the default share. */
    int64_t padded = (int64_t)(skip * 0.3125 * (double)a.tokens);
    a.num_post = a.tokens - padded;
    if (a.num_valid == VALID_DEFAULT)
        a.num_valid = a.tokens - padded;
    return a;
}

int64_t kb_activation_stride(const struct kb_activation *a) {
    return a->inplace ? a->in_stride : a->out_stride;
}

int64_t kb_activation_half(const struct kb_activation *a, int64_t row, enum kb_half half) {
    bool second = half == (a->layout == KB_GATE_UP ? KB_UP : KB_GATE);
    return row * a->in_stride + second * a->hidden;
}

/* ---- the problem -----------------------------------------------------------------------
 */

static bool check_clamp(const struct kb_case *c, struct kb_err *err) {
    double clamp = number(c, PARAM_CLAMP);
    if (clamp == 0)
        return true;
    if (c->op->variant != KB_SILU)
        return kb_fail(err, KB_INPUT, "clamp is silu's, %s takes none", c->op->name);
    return kb_gated_check_clamp(c, clamp, err);
}

static bool check_inplace(const struct kb_case *c, struct kb_err *err) {
    if (number(c, PARAM_INPLACE) == 0 || number(c, PARAM_LAYOUT) == KB_GATE_UP)
        return true;
    return kb_fail(
        err, KB_INPUT,
        "inplace=yes writes to the first half, which layout=up_gate reads as up; "
        "it goes with layout=gate_up only");
}

/* Rows do not overlap. */
static bool check_pitch(const struct kb_case *c, struct kb_err *err) {
    int64_t width = c->shape[c->rank - 1];
    int64_t in = (int64_t)number(c, PARAM_IN_PITCH),
            out = (int64_t)number(c, PARAM_OUT_PITCH);
    if (out && number(c, PARAM_INPLACE) != 0)
        return kb_fail(err, KB_INPUT, "out_pitch is out's, inplace=yes has none");
    if (in && in < width)
        return kb_fail(err, KB_INPUT,
                       "in_pitch must be 0 or at least 2*HIDDEN, %lld is less than %lld",
                       (long long)in, (long long)width);
    if (out && out < width / 2)
        return kb_fail(err, KB_INPUT,
                       "out_pitch must be 0 or at least HIDDEN, %lld is less than %lld",
                       (long long)out, (long long)(width / 2));
    return true;
}

/* What only a filter reads is refused without one: the case would have a second id. */
static bool check_filter(const struct kb_case *c, struct kb_err *err) {
    int filter = (int)number(c, PARAM_FILTER);
    const char *alone = number(c, PARAM_STEP) != STEP_DEFAULT   ? "step"
                        : number(c, PARAM_SKIP) != SKIP_DEFAULT ? "skip"
                                                                : NULL;
    if (filter == KB_FILTER_NONE && alone)
        return kb_fail(err, KB_INPUT, "%s is for filter=ids and filter=sorted", alone);
    if (filter != KB_FILTER_SORTED && number(c, PARAM_VALID) != VALID_DEFAULT)
        return kb_fail(err, KB_INPUT, "num_valid is for filter=sorted");
    return true;
}

static bool add_tensors(const struct kb_case *c, struct kb_problem *p, struct kb_err *err) {
    bool inplace = number(c, PARAM_INPLACE) != 0;
    int64_t width = c->shape[c->rank - 1];
    int64_t in_shape[KB_MAX_RANK], out_shape[KB_MAX_RANK];
    memcpy(in_shape, c->shape, sizeof in_shape);
    memcpy(out_shape, c->shape, sizeof out_shape);
    in_shape[c->rank - 1] = stride_of(c, PARAM_IN_PITCH, width);
    out_shape[c->rank - 1] = stride_of(c, PARAM_OUT_PITCH, width / 2);
    if (!kb_problem_tensor(p, "input", inplace ? KB_INOUT : KB_IN, c->dtype, c->rank,
                           in_shape, KB_RULE_BOUND, err) ||
        !kb_problem_tensor(p, "out", KB_OUT, c->dtype, c->rank, out_shape, KB_RULE_BOUND,
                           err))
        return false;
    if (inplace)
        kb_problem_absent(p);
    return true;
}

static bool add_ids(const struct kb_activation *a, struct kb_problem *p,
                    struct kb_err *err) {
    const struct {
        const char *name;
        int64_t count;
        int from; /* the filter that reads it, or a later one */
    } ids[] = {
        {"expert_ids", a->groups, KB_FILTER_IDS},
        {"sorted_token_ids", a->tokens, KB_FILTER_SORTED},
        {"num_post_padded", 1, KB_FILTER_SORTED},
    };
    if (a->filter == KB_FILTER_SORTED && a->tokens > INT32_MAX)
        return kb_fail(err, KB_INPUT,
                       "filter=sorted has 32-bit token ids, %lld tokens are too many",
                       (long long)a->tokens);
    for (size_t i = 0; i < KB_COUNT(ids); i++) {
        if (!kb_problem_tensor(p, ids[i].name, KB_IN, KB_I32, 1, &ids[i].count,
                               KB_RULE_EXACT, err))
            return false;
        if (a->filter < ids[i].from)
            kb_problem_absent(p);
    }
    return true;
}

/* Rows that are computed, on the average over seeds. */
static int64_t active_rows(const struct kb_activation *a) {
    if (a->filter == KB_FILTER_NONE || !a->tokens)
        return a->tokens;
    double tokens = (double)a->tokens, rows = tokens;
    rows *= (double)(a->groups - a->skipped) / (double)a->groups;
    if (a->filter == KB_FILTER_SORTED)
        rows *= (double)a->num_post / tokens * fmin(1, (double)a->num_valid / tokens);
    return (int64_t)floor(rows + 0.5);
}

static void add_cost(const struct kb_activation *a, struct kb_problem *p) {
    static const int flops[] = {[KB_SILU] = 5, [KB_GELU] = 6, [KB_GELU_TANH] = 10};
    int64_t outputs = active_rows(a) * a->hidden;
    p->bytes = 3 * outputs * (int64_t)kb_dtype_bytes(a->dtype);
    for (int t = KB_ACT_EXPERTS; t <= KB_ACT_POST; t++)
        p->bytes += 4 * p->tensors[t].elements;
    p->flops = flops[a->act] * outputs;
    p->ceiling_pattern = "r2w1";
    p->ceiling_elements = 2 * outputs;
}

static bool resolve(const struct kb_case *c, struct kb_problem *p, struct kb_err *err) {
    if (!kb_gated_check_width(c, err) || !check_clamp(c, err) || !check_inplace(c, err) ||
        !check_pitch(c, err) || !check_filter(c, err) || !add_tensors(c, p, err))
        return false;
    struct kb_activation a = kb_activation_of(c);
    if (!add_ids(&a, p, err))
        return false;
    kb_problem_name(p, "tokens", a.tokens);
    kb_problem_name(p, "hidden", a.hidden);
    kb_problem_name(p, "in_stride", a.in_stride);
    kb_problem_name(p, "out_stride", a.out_stride);
    kb_problem_float(p, "limit", isinf(a.limit) ? 0 : a.limit);
    kb_problem_means(p, "num_valid", a.num_valid);
    add_cost(&a, p);
    return true;
}

static bool shape_of_axes(const int64_t *values, int64_t shape[KB_MAX_RANK], int *rank) {
    shape[0] = values[0];
    *rank = 2;
    return kb_mul_i64(values[1], 2, &shape[1]);
}

static void macros(const struct kb_case *c, struct kb_arena *arena,
                   struct kb_strings *out) {
    const struct kb_macro list[] = {
        {.name = "KB_ACT", .value = c->op->variant},
        {.name = "KB_ROUND", .value = (int)number(c, PARAM_ROUND)},
        {.name = "KB_LAYOUT", .value = (int)number(c, PARAM_LAYOUT)},
        {.name = "KB_CLAMP", .value = number(c, PARAM_CLAMP) > 0},
        {.name = "KB_FILTER", .value = (int)number(c, PARAM_FILTER)},
        {.name = "KB_INPLACE", .value = (int)number(c, PARAM_INPLACE)},
    };
    kb_macros_add(c, list, KB_COUNT(list), arena, out);
}

/* Which rows sorted ids leave out depends on how many ids there are: they keep the case's.
 */
static bool first_rows(const struct kb_problem *p, int64_t rows, struct kb_case *c) {
    struct kb_activation a = kb_activation_of(p->c);
    c->shape[1] = 2 * a.hidden;
    c->shape[0] = rows;
    c->rank = 2;
    if (a.filter == KB_FILTER_SORTED)
        c->set[PARAM_VALID].v = (double)a.num_valid;
    return true;
}

/* The peers' own: their tests compare at these for any shape and any fill. */
static void peer_tolerance(enum kb_dtype dtype, enum kb_dtype out, double *atol,
                           double *rtol) {
    (void)out;
    *atol = *rtol = dtype == KB_FP32 ? 1e-4 : 1e-2;
}

/* ---- the ops ---------------------------------------------------------------------------
 */

static const struct kb_param params[] = {
    [PARAM_ROUND] =
        {
            .name = "round",
            .help = "round once at the end, or act(gate) to the dtype as well",
            .kind = KB_PARAM_WORD,
            .words = "once,act",
            .def = KB_ROUND_ONCE,
        },
    [PARAM_LAYOUT] =
        {
            .name = "layout",
            .help = "which half of a row is which",
            .kind = KB_PARAM_WORD,
            .words = "gate_up,up_gate",
            .def = KB_GATE_UP,
        },
    [PARAM_CLAMP] =
        {
            .name = "clamp",
            .help = "of silu: gate at most this, up within plus and minus this, 0 for no\n"
                    "clamp; fill normal is then N(0,1) x 2 x clamp",
            .kind = KB_PARAM_FLOAT,
            .min = 0,
            .max = 3e38,
        },
    [PARAM_FILTER] =
        {
            .name = "filter",
            .help =
                "rows to leave as they are: none, those whose expert_ids[row / step] is\n"
                "-1, or also those past num_post_padded[0] and those whose\n"
                "sorted_token_ids[row] is num_valid or more",
            .kind = KB_PARAM_WORD,
            .words = "none,ids,sorted",
            .def = KB_FILTER_NONE,
        },
    [PARAM_STEP] =
        {
            .name = "step",
            .help = "rows that share an expert id",
            .kind = KB_PARAM_INT,
            .min = 1,
            .max = INT32_MAX,
            .def = STEP_DEFAULT,
        },
    [PARAM_SKIP] =
        {
            .name = "skip",
            .help = "share of the expert ids that are -1",
            .kind = KB_PARAM_FLOAT,
            .min = 0,
            .max = 1,
            .def = SKIP_DEFAULT,
        },
    [PARAM_VALID] =
        {
            .name = "num_valid",
            .help =
                "sorted token ids from this on are padding; -1: as many as go with skip",
            .kind = KB_PARAM_INT,
            .min = VALID_DEFAULT,
            .max = INT32_MAX,
            .def = VALID_DEFAULT,
        },
    [PARAM_INPLACE] =
        {
            .name = "inplace",
            .help = "yes: no out, the gate half of the input takes the result",
            .kind = KB_PARAM_WORD,
            .words = "no,yes",
        },
    [PARAM_IN_PITCH] =
        {
            .name = "in_pitch",
            .help =
                "elements from a row of the input to the next, 2*HIDDEN or more; 0: rows\n"
                "follow each other",
            .kind = KB_PARAM_INT,
            .max = INT32_MAX,
        },
    [PARAM_OUT_PITCH] =
        {
            .name = "out_pitch",
            .help =
                "elements from a row of out to the next, HIDDEN or more; 0: rows follow\n"
                "each other",
            .kind = KB_PARAM_INT,
            .max = INT32_MAX,
        },
};

static const enum kb_fill fills[] = {
    KB_FILL_NORMAL,   KB_FILL_LARGE, KB_FILL_OUTLIERS, KB_FILL_TINY,     KB_FILL_ZEROS,
    KB_FILL_CONSTANT, KB_FILL_NAN,   KB_FILL_BITS,     KB_FILL_PATTERNS,
};

static const char *const axes[] = {"tokens", "hidden"};

static const struct kb_convention conventions[] = {
    {.words = "round=act", .set = "round=act"},
    {.words = "round=once", .set = "round=once"},
    {.words = "with the halves swapped", .set = "layout=up_gate"},
    {.words = "with the halves swapped", .set = "layout=gate_up"},
    {.words = "silu", .op = "silu"},
    {.words = "gelu", .op = "gelu"},
    {.words = "gelu_tanh", .op = "gelu_tanh"},
    {.words = "without the clamp", .set = "clamp=0"},
    {.words = "filter=ids", .set = "filter=ids,num_valid=-1"},
    {.words = "without the filter", .set = "filter=none,step=1,skip=0.4,num_valid=-1"},
};

#define ALIKE                                                                              \
    .family = "activation", .shape_form = "TOKENSx2*HIDDEN", .sample = "7x16",             \
    .dtypes = {KB_BF16, KB_FP16, KB_FP32}, .n_dtypes = 3, .params = params,                \
    .n_params = KB_COUNT(params), .fills = fills, .n_fills = KB_COUNT(fills),              \
    .axes = axes, .n_axes = KB_COUNT(axes), .shape_of_axes = shape_of_axes,                \
    .fast_math_factor = KB_ACT_FAST_MATH, .resolve = resolve, .macros = macros,            \
    .fill = kb_activation_fill, .reference = kb_activation_reference,                      \
    .prepare = kb_activation_prepare, .peer_tolerance = peer_tolerance,                    \
    .sources = kb_activation_sources, .batch = "tokens", .first_rows = first_rows,         \
    .conventions = conventions, .n_conventions = KB_COUNT(conventions)

const struct kb_op kb_op_silu = {
    .name = "silu",
    .formula = "out = x / (1 + exp(-x)) * up, x = gate",
    .catches = "halves swapped, tails unwritten, filtered rows written, act(x) rounded\n"
               "before the product, exp overflowing below -88, subnormals flushed",
    .variant = KB_SILU,
    ALIKE,
};

const struct kb_op kb_op_gelu = {
    .name = "gelu",
    .formula = "out = x / 2 * (1 + erf(x / sqrt 2)) * up, x = gate",
    .catches = "the tanh form or x * sigmoid(1.702 x) for erf, halves swapped, tails\n"
               "unwritten, filtered rows written, act(x) rounded before the product",
    .variant = KB_GELU,
    ALIKE,
};

const struct kb_op kb_op_gelu_tanh = {
    .name = "gelu_tanh",
    .formula = "out = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) * up, x = gate",
    .catches =
        "the erf form, a wrong digit of 0.044715, an approximate tanh where 1 + tanh\n"
        "cancels, halves swapped, tails unwritten, filtered rows written, act(x) rounded\n"
        "before the product",
    .variant = KB_GELU_TANH,
    ALIKE,
};
