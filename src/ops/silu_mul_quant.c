/* silu_mul_quant.c - op silu_mul_quant: the gated half of an MLP, quantised for an fp8
 * matrix product: e4m3 codes, and one scale for each group of a row.
 *
 * Formula. A row of the input is [gate | up], H elements each. With x = gate, u = up:
 *     y = x / (1 + exp(-x)) * u
 *     round=none     y stays as it is (fp32 in kernels)
 *     round=both     y = R(R(silu(x)) * u), R rounding to the input's dtype
 *     round=product  y = R(silu(x) * u): what the unfused chain makes, with y in memory
 * and for each group of `group` neighbours in a row
 *     amax = max |y|, s = max(amax, eps) / 448
 *     ue8m0=yes      s goes up to a power of two, 2^ceil(log2 s), from 2^-126 to 2^127
 *     y_q = e4m3(y / s), to nearest even, saturating; y_s = s
 *     layout=up_gate a row is [up | gate]
 *     clamp=L        x = min(x, R(L)) and u = max(min(u, R(L)), -R(L)) first, NaN stays NaN
 *     in_pitch=P     rows of the input begin P elements apart. What lies between them is
 *                    NaN and no part of them
 * silu(-inf) is NaN, since the formula has -inf / inf there. A NaN among its y makes a
 * group NaN: all its codes, and the scale, whose byte is 255. An infinite y makes s
 * infinite: codes are then y / inf, 0 and NaN; by ue8m0 s is 2^127 and y saturates.
 *
 * Scales. y_s is [rows, groups], where `row` has groups side by side, `col` rows, `col_tma`
 * rows up to a multiple of 4, and `packed` (exponents alone, biased by 127) the bytes of
 * four groups in an int32, rows up to a multiple of 4. Padding, rows and groups, is 0.
 *
 * Mask. The rows are those of `experts` experts, alike many each, of which the first
 * masked_m[expert] count: no code and no scale of the others is written. Their padding is
 * 0 as any.
 *
 * Cost. 5H bytes per row that counts, and its scales. How many rows count depends on the
 * seed, which the cost takes the mean of. */
#include "ops/silu_mul_quant.h"

#include <math.h>
#include <string.h>

enum { EXPERTS_MAX = 65536, ROWS_IN_16_BYTES = 4 };

/* ---- a case, spelt out -----------------------------------------------------------------
 */

double kb_smq_number(const struct kb_case *c, enum kb_smq_param param) {
    return c->set[param].v;
}

/* What overflows is refused with the input, whether or not another axis is 0. */
static int64_t tokens_of(const struct kb_case *c) {
    int64_t tokens = 1;
    for (int i = 0; i < c->rank - 1; i++)
        if (!kb_mul_i64(tokens, c->shape[i], &tokens))
            return 0;
    return tokens;
}

int64_t kb_smq_in_stride(const struct kb_case *c) {
    int64_t pitch = (int64_t)kb_smq_number(c, KB_SMQ_PARAM_IN_PITCH);
    return pitch ? pitch : c->shape[c->rank - 1];
}

struct kb_smq kb_smq_of(const struct kb_case *c) {
    double clamp = kb_smq_number(c, KB_SMQ_PARAM_CLAMP);
    struct kb_smq q = {
        .dtype = c->dtype,
        .round = (int)kb_smq_number(c, KB_SMQ_PARAM_ROUND),
        .layout = (int)kb_smq_number(c, KB_SMQ_PARAM_LAYOUT),
        .scale_layout = (int)kb_smq_number(c, KB_SMQ_PARAM_SCALE_LAYOUT),
        .mask = (int)kb_smq_number(c, KB_SMQ_PARAM_MASK),
        .ue8m0 = kb_smq_number(c, KB_SMQ_PARAM_UE8M0) != 0,
        .limit = clamp > 0 ? kb_decode(c->dtype, kb_encode(c->dtype, clamp)) : INFINITY,
        .eps = (double)(float)kb_smq_number(c, KB_SMQ_PARAM_EPS),
        .experts = 1,
        .hidden = c->shape[c->rank - 1] / 2,
        .group = (int64_t)kb_smq_number(c, KB_SMQ_PARAM_GROUP),
        .in_stride = kb_smq_in_stride(c),
    };
    if (q.mask != KB_SMQ_MASK_NONE)
        q.experts = (int64_t)kb_smq_number(c, KB_SMQ_PARAM_EXPERTS);
    q.rows = tokens_of(c) / q.experts;
    q.groups = q.hidden / q.group;
    q.scale_rows = q.rows;
    if (q.scale_layout == KB_SMQ_COL_TMA || q.scale_layout == KB_SMQ_PACKED)
        q.scale_rows =
            (q.rows + ROWS_IN_16_BYTES - 1) / ROWS_IN_16_BYTES * ROWS_IN_16_BYTES;
    return q;
}

/* ---- the problem -----------------------------------------------------------------------
 */

/* The case's own axes with another last one; with a mask the rows by experts. */
static int rows_shape(const struct kb_case *c, const struct kb_smq *q, int64_t last,
                      int64_t shape[KB_MAX_RANK]) {
    if (q->mask != KB_SMQ_MASK_NONE) {
        shape[0] = q->experts;
        shape[1] = q->rows;
        shape[2] = last;
        return 3;
    }
    memcpy(shape, c->shape, sizeof c->shape);
    shape[c->rank - 1] = last;
    return c->rank;
}

static int scales_shape(const struct kb_smq *q, int64_t shape[KB_MAX_RANK]) {
    int rank = 0;
    if (q->mask != KB_SMQ_MASK_NONE)
        shape[rank++] = q->experts;
    if (q->scale_layout == KB_SMQ_ROW) {
        shape[rank++] = q->rows;
        shape[rank++] = q->groups;
        return rank;
    }
    shape[rank++] = q->scale_layout == KB_SMQ_PACKED ? (q->groups + 3) / 4 : q->groups;
    shape[rank++] = q->scale_rows;
    if (q->scale_layout == KB_SMQ_PACKED)
        shape[rank++] = 4;
    return rank;
}

static bool add_tensors(const struct kb_case *c, const struct kb_smq *q,
                        struct kb_problem *p, struct kb_err *err) {
    int64_t shape[KB_MAX_RANK];
    enum kb_dtype scales = q->scale_layout == KB_SMQ_PACKED ? KB_U8 : KB_FP32;
    int rank = rows_shape(c, q, q->in_stride, shape);
    if (!kb_problem_tensor(p, "input", KB_IN, q->dtype, rank, shape, KB_RULE_BOUND, err) ||
        !kb_problem_tensor(p, "masked_m", KB_IN, KB_I32, 1, &q->experts, KB_RULE_EXACT,
                           err))
        return false;
    if (q->mask == KB_SMQ_MASK_NONE)
        kb_problem_absent(p);
    rank = rows_shape(c, q, q->hidden, shape);
    if (!kb_problem_tensor(p, "y_q", KB_OUT, KB_E4M3, rank, shape, KB_RULE_BOUND, err))
        return false;
    rank = scales_shape(q, shape);
    return kb_problem_tensor(p, "y_s", KB_OUT, scales, rank, shape, KB_RULE_BOUND, err);
}

/* The share of the rows that count, on the average over seeds. */
static double share_of(const struct kb_smq *q) {
    switch (q->mask) {
    case KB_SMQ_MASK_BALANCED:
    case KB_SMQ_MASK_IMBALANCED:
        return 0.5;
    case KB_SMQ_MASK_EXTREME:
        return 1.0 / (double)q->experts;
    default:
        return 1;
    }
}

static void add_cost(const struct kb_smq *q, struct kb_problem *p) {
    double share = share_of(q);
    const struct kb_tensor_spec *scales = &p->tensors[KB_SMQ_SCALES];
    int64_t outputs =
        (int64_t)floor((double)p->tensors[KB_SMQ_CODES].elements * share + 0.5);
    int64_t scale_bytes = scales->elements * (int64_t)kb_dtype_bytes(scales->dtype);
    int64_t read = 4 * outputs + 4 * p->tensors[KB_SMQ_COUNTS].elements;
    int64_t written = outputs + (int64_t)floor((double)scale_bytes * share + 0.5);
    p->bytes = read + written;
    p->flops = 9 * outputs;
    kb_problem_moves(p, read, written);
}

static bool resolve(const struct kb_case *c, struct kb_problem *p, struct kb_err *err) {
    if (!kb_smq_check(c, err))
        return false;
    struct kb_smq q = kb_smq_of(c);
    if (!add_tensors(c, &q, p, err))
        return false;
    kb_problem_name(p, "tokens", q.experts * q.rows);
    kb_problem_name(p, "hidden", q.hidden);
    kb_problem_name(p, "in_stride", q.in_stride);
    kb_problem_name(p, "rows", q.rows);
    kb_problem_name(p, "groups", q.groups);
    kb_problem_name(p, "scale_rows", q.scale_rows);
    kb_problem_name(p, "scales_per_expert", kb_smq_scales_per_expert(&q));
    kb_problem_float(p, "limit", isinf(q.limit) ? 0 : q.limit);
    add_cost(&q, p);
    return true;
}

static bool shape_of_axes(const int64_t *values, int64_t shape[KB_MAX_RANK], int *rank) {
    shape[0] = values[0];
    *rank = 2;
    return kb_mul_i64(values[1], 2, &shape[1]);
}

/* With a mask, rows are those of an expert. */
static bool first_rows(const struct kb_problem *p, int64_t rows, struct kb_case *c) {
    struct kb_smq q = kb_smq_of(p->c);
    c->shape[1] = 2 * q.hidden;
    c->shape[0] = rows;
    c->rank = 2;
    return q.mask == KB_SMQ_MASK_NONE;
}

static void macros(const struct kb_case *c, struct kb_arena *arena,
                   struct kb_strings *out) {
    const struct kb_macro list[] = {
        {.name = "KB_ROUND", .value = (int)kb_smq_number(c, KB_SMQ_PARAM_ROUND)},
        {.name = "KB_LAYOUT", .value = (int)kb_smq_number(c, KB_SMQ_PARAM_LAYOUT)},
        {.name = "KB_SCALE_LAYOUT",
         .value = (int)kb_smq_number(c, KB_SMQ_PARAM_SCALE_LAYOUT)},
        {.name = "KB_UE8M0", .value = (int)kb_smq_number(c, KB_SMQ_PARAM_UE8M0)},
        {.name = "KB_CLAMP", .value = kb_smq_number(c, KB_SMQ_PARAM_CLAMP) > 0},
        {.name = "KB_MASK", .value = (int)kb_smq_number(c, KB_SMQ_PARAM_MASK)},
    };
    kb_macros_add(c, list, KB_COUNT(list), arena, out);
}

static bool accepts(const struct kb_problem *p, int t, const void *data,
                    struct kb_err *err) {
    const struct kb_smq q = kb_smq_of(p->c);

    for (int64_t i = 0; t == KB_SMQ_COUNTS && i < p->tensors[t].elements; i++) {
        int64_t got = ((const int32_t *)data)[i];
        if (got < 0 || got > q.rows)
            return kb_fail(err, KB_INPUT, "%s[%lld] is %lld, an expert has rows 0 to %lld",
                           p->tensors[t].name, (long long)i, (long long)got,
                           (long long)q.rows);
    }
    return true;
}

/* The peers' own: no code off by two or more, which is one and a half steps from what is
 * not rounded yet, a step being an eighth at most and 2^-9 below; scales at 1e-3. */
static void peer_tolerance(enum kb_dtype dtype, enum kb_dtype out, double *atol,
                           double *rtol) {
    (void)dtype;
    *atol = out == KB_FP32 ? 1e-5 : 0x1.8p-9;
    *rtol = out == KB_FP32 ? 1e-3 : 0.1875;
}

/* ---- the op ----------------------------------------------------------------------------
 */

static const struct kb_param params[] = {
    [KB_SMQ_PARAM_ROUND] =
        {
            .name = "round",
            .help =
                "before the quantiser: nothing; silu(gate) and the product, each to the\n"
                "dtype; the product alone, as where it goes through memory",
            .kind = KB_PARAM_WORD,
            .words = "none,both,product",
        },
    [KB_SMQ_PARAM_LAYOUT] =
        {
            .name = "layout",
            .help = "which half of a row is which",
            .kind = KB_PARAM_WORD,
            .words = "gate_up,up_gate",
        },
    [KB_SMQ_PARAM_GROUP] =
        {
            .name = "group",
            .help = "neighbours that share a scale, a power of two",
            .kind = KB_PARAM_INT,
            .min = KB_SMQ_GROUP_MIN,
            .max = KB_SMQ_GROUP_MAX,
            .def = 128,
        },
    [KB_SMQ_PARAM_SCALE_LAYOUT] =
        {
            .name = "scale_layout",
            .help = "scales of a row side by side; of a column; of a column, rows up to a\n"
                    "multiple of 4; four exponents of a row in an int32, rows likewise",
            .kind = KB_PARAM_WORD,
            .words = "row,col,col_tma,packed",
        },
    [KB_SMQ_PARAM_UE8M0] =
        {
            .name = "ue8m0",
            .help = "yes: scales go up to powers of two",
            .kind = KB_PARAM_WORD,
            .words = "no,yes",
        },
    [KB_SMQ_PARAM_EPS] =
        {
            .name = "eps",
            .help = "amax is taken for this where it is less",
            .kind = KB_PARAM_FLOAT,
            .min = 1e-30,
            .max = 1,
            .def = 1e-10,
        },
    [KB_SMQ_PARAM_CLAMP] =
        {
            .name = "clamp",
            .help =
                "gate at most this, up within plus and minus this, 0 for no clamp; fill\n"
                "normal is then N(0,1) x 2 x clamp",
            .kind = KB_PARAM_FLOAT,
            .min = 0,
            .max = 3e38,
        },
    [KB_SMQ_PARAM_MASK] =
        {
            .name = "mask",
            .help = "TOKENS are the rows of all experts, of which masked_m[expert] each\n"
                    "count: all; half, more or less; any number; all of one expert's and\n"
                    "no others",
            .kind = KB_PARAM_WORD,
            .words = "none,full,balanced,imbalanced,extreme",
        },
    [KB_SMQ_PARAM_EXPERTS] =
        {
            .name = "experts",
            .help = "of a mask: experts, with as many rows each",
            .kind = KB_PARAM_INT,
            .min = 1,
            .max = EXPERTS_MAX,
            .def = KB_SMQ_EXPERTS,
        },
    [KB_SMQ_PARAM_IN_PITCH] =
        {
            .name = "in_pitch",
            .help =
                "elements from a row of the input to the next, 2*HIDDEN or more; 0: rows\n"
                "follow each other",
            .kind = KB_PARAM_INT,
            .max = INT32_MAX,
        },
};

static const enum kb_fill fills[] = {
    KB_FILL_NORMAL,   KB_FILL_LARGE,    KB_FILL_OUTLIERS, KB_FILL_TINY,
    KB_FILL_ZEROS,    KB_FILL_CONSTANT, KB_FILL_NAN,      KB_FILL_BITS,
    KB_FILL_PATTERNS, KB_FILL_RAMP,     KB_FILL_SPARSE,   KB_FILL_EDGES,
};

static const char *const axes[] = {"tokens", "hidden"};

static const struct kb_convention conventions[] = {
    {.words = "with the halves swapped", .set = "layout=up_gate"},
    {.words = "with the halves swapped", .set = "layout=gate_up"},
    {.words = "round=none", .set = "round=none"},
    {.words = "round=both", .set = "round=both"},
    {.words = "round=product", .set = "round=product"},
    {.words = "scale_layout=row", .set = "scale_layout=row"},
    {.words = "scale_layout=col", .set = "scale_layout=col"},
    {.words = "ue8m0=yes", .set = "ue8m0=yes"},
    {.words = "ue8m0=no", .set = "ue8m0=no"},
    {.words = "a floor of 1e-4 under amax", .set = "eps=1e-4"},
    {.words = "a floor of 1e-10 under the scale", .set = "eps=4.48e-8"},
    {.words = "without the clamp", .set = "clamp=0"},
    {.words = "without the mask", .set = "mask=none,experts=8"},
};

const struct kb_op kb_op_silu_mul_quant = {
    .name = "silu_mul_quant",
    .family = "silu_mul_quant",
    .shape_form = "TOKENSx2*HIDDEN",
    .formula = "y = x / (1 + exp(-x)) * up, x = gate; in each group of a row\n"
               "s = max(max |y|, eps) / 448, y_q = e4m3(y / s), y_s = s",
    .catches = "halves swapped; scales rounded down, to nearest or by ceil(log2f); codes\n"
               "made with another scale than the one stored; scales transposed or packed\n"
               "in another order; groups of zeros; NaN that becomes a number; padding or\n"
               "masked rows that are written",
    .sample = "7x256",
    .dtypes = {KB_BF16, KB_FP16},
    .n_dtypes = 2,
    .params = params,
    .n_params = KB_COUNT(params),
    .fills = fills,
    .n_fills = KB_COUNT(fills),
    .axes = axes,
    .n_axes = KB_COUNT(axes),
    .shape_of_axes = shape_of_axes,
    .batch = "tokens",
    .first_rows = first_rows,
    .fast_math_factor = KB_SMQ_FAST_MATH,
    .resolve = resolve,
    .macros = macros,
    .fill = kb_smq_fill,
    .reference = kb_smq_reference,
    .reads_outputs = true,
    .prepare = kb_smq_prepare,
    .peer_tolerance = peer_tolerance,
    .sources = kb_smq_sources,
    .accepts = accepts,
    .conventions = conventions,
    .n_conventions = KB_COUNT(conventions),
};
