/* merge_state.c - op merge_state: two partial results of attention over disjoint keys
 * become that over all of them.
 *
 * Formula. Of a token and head, v_a and v_b with the logarithms s_a and s_b of their sums
 * of exp(score) (lse_base=e) or the base-2 logarithms of the same sums (lse_base=2):
 *     m = max(s_a, s_b), w_a = base^(s_a - m), w_b = base^(s_b - m)
 *     v = (w_a v_a + w_b v_b) / (w_a + w_b),  s = m + log_base(w_a + w_b)
 *     one of the two is -inf: the other one, unchanged; both: v is 0 and s is -inf
 *     inplace=yes: there is no v and no s, results take the place of v_a and s_a
 *
 * Bound. `want` is not rounded, half an ulp of the dtype is free. With e = 2^-24, what fp32
 * may be off by:
 *     w      d = |s - m| is rounded once, and by its factor log2 e; 2 ulp of exp:
 *            (4 + 4 d) e of w. A w below 2^-126 may be flushed.
 *     v      w_a |v_a| and w_b |v_b|, each with the error of its w and 6 e for two
 *            products, sum, quotient and the reciprocal; what the sum of the w is off
 *            by counts |v| times; the last rounding 2 e of v.
 *     s      the same of the sum, 8 e of the logarithm (within 0 and 1) and its factor,
 *            2 e of s.
 * Nothing where one of the two is -inf. Of right kernels the worst takes 0.41 of it
 * (tools/controls/merge_state.c).
 *
 * Cost. All tensors once. */
#include "op.h"

#include <math.h>
#include <string.h>

enum { PARAM_BASE, PARAM_INPLACE };
enum { BASE_E, BASE_2 };
enum { V_A, S_A, V_B, S_B, V, S };

static bool is_inplace(const struct kb_case *c) {
    return c->set[PARAM_INPLACE].v != 0;
}

static bool check_shape(const struct kb_case *c, struct kb_err *err) {
    static const char *const names[] = {"TOKENS", "HEADS", "V_DIM"};
    if (c->rank != 3)
        return kb_fail(err, KB_INPUT, "the shape is TOKENSxHEADSxV_DIM, got %d axes",
                       c->rank);
    for (int i = 1; i < 3; i++)
        if (c->shape[i] < 1 || c->shape[i] > 65535)
            return kb_fail(err, KB_INPUT, "%s must be from 1 to 65535, got %lld", names[i],
                           (long long)c->shape[i]);
    return true;
}

static bool add_tensors(const struct kb_case *c, struct kb_problem *p, struct kb_err *err) {
    static const char *const names[] = {"v_a", "s_a", "v_b", "s_b", "v", "s"};
    bool inplace = is_inplace(c);
    for (int t = V_A; t <= S; t++) {
        bool lse = t == S_A || t == S_B || t == S;
        enum kb_role role = t >= V                              ? KB_OUT
                            : inplace && (t == V_A || t == S_A) ? KB_INOUT
                                                                : KB_IN;
        if (!kb_problem_tensor(p, names[t], role, lse ? KB_FP32 : c->dtype, lse ? 2 : 3,
                               c->shape, KB_RULE_BOUND, err))
            return false;
        if (t >= V && inplace)
            kb_problem_absent(p);
    }
    return true;
}

static bool resolve(const struct kb_case *c, struct kb_problem *p, struct kb_err *err) {
    int64_t rows, elements;
    if (!check_shape(c, err) || !add_tensors(c, p, err))
        return false;
    rows = c->shape[0] * c->shape[1];
    elements = rows * c->shape[2];
    kb_problem_name(p, "tokens", c->shape[0]);
    kb_problem_name(p, "heads", c->shape[1]);
    kb_problem_name(p, "v_dim", c->shape[2]);
    p->bytes = 3 * elements * (int64_t)kb_dtype_bytes(c->dtype) + 3 * 4 * rows;
    p->flops = 3 * elements + 8 * rows;
    p->ceiling_pattern = "r2w1";
    p->ceiling_elements = 2 * elements;
    return true;
}

static void macros(const struct kb_case *c, struct kb_arena *arena,
                   struct kb_strings *out) {
    const struct kb_macro list[] = {
        {.name = "KB_LSE_BASE", .value = (int)c->set[PARAM_BASE].v},
        {.name = "KB_INPLACE", .value = is_inplace(c)},
    };
    kb_macros_add(c, list, KB_COUNT(list), arena, out);
}

/* ---- inputs ----------------------------------------------------------------------------
 * Logarithms are N(6, 1.5), of some hundred keys. masked: by turns the first, the second
 * and both are -inf. outliers: they lie 240 apart, past what exp takes, and one weight
 * vanishes. ties: they are equal, and the weights a half. */

static float logarithm(enum kb_fill fill, int t, int64_t row, double normal) {
    bool first = t == S_A;
    if (fill == KB_FILL_MASKED && (row % 4 == 3 || row % 4 == (first ? 1 : 2)))
        return -INFINITY;
    double apart = fill == KB_FILL_OUTLIERS ? (row % 2 == first ? 120 : -120) : 0;
    return (float)(6 + (fill == KB_FILL_TIES ? (double)(row % 7) : 1.5 * normal) + apart);
}

static void fill(const struct kb_problem *p, int t, uint64_t seed, int64_t first,
                 int64_t count, void *data) {
    bool lse = t == S_A || t == S_B;
    bool own = p->c->fill == KB_FILL_MASKED || p->c->fill == KB_FILL_TIES ||
               p->c->fill == KB_FILL_OUTLIERS;
    kb_problem_fill(p, t, lse || own ? KB_FILL_NORMAL : p->c->fill, seed, first, count,
                    data);
    float *s = data;
    for (int64_t i = 0; lse && i < count; i++)
        s[i] = logarithm(p->c->fill, t, first + i, s[i]);
}

/* ---- reference -------------------------------------------------------------------------
 */

static const double eps = 0x1p-24;

/* Of a row: weights over their sum, what these are off by, the logarithm. */
struct weights {
    double a, b, a_err, b_err, s, s_err;
    int alone; /* 1: a, 2: b is all there is; 3: nothing */
};

static struct weights weigh(double s_a, double s_b, bool base2) {
    if (isinf(s_a) && isinf(s_b) && s_a < 0 && s_b < 0)
        return (struct weights){.s = -INFINITY, .alone = 3};
    if (isinf(s_a) && s_a < 0)
        return (struct weights){.b = 1, .s = s_b, .alone = 2};
    if (isinf(s_b) && s_b < 0)
        return (struct weights){.a = 1, .s = s_a, .alone = 1};
    double m = fmax(s_a, s_b), natural = base2 ? M_LN2 : 1;
    double d_a = (m - s_a) * natural, d_b = (m - s_b) * natural;
    double a = exp(-d_a), b = exp(-d_b), sum = a + b;
    double a_err = a * (4 + 4 * d_a) * eps + 0x1p-126;
    double b_err = b * (4 + 4 * d_b) * eps + 0x1p-126;
    double off = (a_err + b_err) / sum; /* of the sum, relative */
    struct weights w = {.a = a / sum, .b = b / sum, .s = m + log(sum) / natural};
    w.a_err = a_err / sum + w.a * (off + 6 * eps);
    w.b_err = b_err / sum + w.b * (off + 6 * eps);
    w.s_err = off / natural + 8 * eps + fabs(w.s) * 2 * eps;
    return w;
}

static double at(const struct kb_problem *p, const void *const *in, int t, int64_t i) {
    enum kb_dtype dtype = p->tensors[t].dtype;
    return kb_decode(dtype, kb_bits_at(dtype, in[t], i));
}

static void reference(const struct kb_problem *p, const void *const *in,
                      const void *prepared, int t, int64_t first, int64_t count,
                      double *want, double *bound) {
    (void)prepared;
    bool lse = t == S || t == S_A, base2 = p->c->set[PARAM_BASE].v == BASE_2;
    int64_t v_dim = lse ? 1 : p->c->shape[2], row = -1;
    struct weights w = {0};
    for (int64_t i = 0; i < count; i++) {
        if ((first + i) / v_dim != row) {
            row = (first + i) / v_dim;
            w = weigh(at(p, in, S_A, row), at(p, in, S_B, row), base2);
        }
        if (lse) {
            want[i] = w.s;
            bound[i] = w.s_err;
            continue;
        }
        double a = at(p, in, V_A, first + i), b = at(p, in, V_B, first + i);
        want[i] = w.alone == 3   ? 0
                  : w.alone == 2 ? b
                  : w.alone == 1 ? a
                                 : w.a * a + w.b * b;
        bound[i] = fabs(a) * w.a_err + fabs(b) * w.b_err + fabs(want[i]) * 2 * eps +
                   0x1p-129; /* subnormals, which 8 times this lets fast-math flush */
        if (w.alone || !isfinite(want[i]))
            bound[i] = 0;
    }
}

/* The two sides of a row. */
static int sources(const struct kb_problem *p, const void *const *in, int t, int64_t i,
                   struct kb_source *out) {
    bool lse = t == S || t == S_A;
    int64_t row = lse ? i : i / p->c->shape[2];
    int n = 0;
    for (int side = S_A; side <= S_B; side += S_B - S_A) {
        if (!lse)
            out[n++] = (struct kb_source){p->tensors[side - 1].name, p->c->dtype,
                                          at(p, in, side - 1, i)};
        out[n++] = (struct kb_source){p->tensors[side].name, KB_FP32, at(p, in, side, row)};
    }
    return n;
}

/* tokenspeed's tests of its merge. */
static void peer_tolerance(enum kb_dtype dtype, enum kb_dtype out, double *atol,
                           double *rtol) {
    (void)dtype;
    *atol = *rtol = out == KB_FP32 ? 1e-3 : 1e-2;
}

/* ---- the op ----------------------------------------------------------------------------
 */

static const struct kb_param params[] = {
    [PARAM_BASE] = {.name = "lse_base",
                    .help = "base of the logarithms, s",
                    .kind = KB_PARAM_WORD,
                    .words = "e,2"},
    [PARAM_INPLACE] = {.name = "inplace",
                       .help = "yes: no v and s, v_a and s_a take the results",
                       .kind = KB_PARAM_WORD,
                       .words = "no,yes"},
};

static const enum kb_fill fills[] = {
    KB_FILL_NORMAL, KB_FILL_MASKED, KB_FILL_OUTLIERS, KB_FILL_TIES,
    KB_FILL_LARGE,  KB_FILL_TINY,   KB_FILL_CONSTANT,
};

static const char *const axes[] = {"tokens", "heads", "v_dim"};

static const struct kb_convention conventions[] = {
    {.words = "lse_base=2", .set = "lse_base=2"},
    {.words = "lse_base=e", .set = "lse_base=e"},
};

const struct kb_op kb_op_merge_state = {
    .name = "merge_state",
    .family = "merge_state",
    .shape_form = "TOKENSxHEADSxV_DIM",
    .formula = "v = (w_a v_a + w_b v_b) / (w_a + w_b), w = exp(s - max), s = max + "
               "log(w_a + w_b)",
    .catches = "logarithms of the other base, a and b mixed up, NaN where both are empty, "
               "the maximum\nnot taken off, s of one side only",
    .sample = "3x4x64",
    .dtypes = {KB_BF16, KB_FP16, KB_FP32},
    .n_dtypes = 3,
    .params = params,
    .n_params = KB_COUNT(params),
    .fills = fills,
    .n_fills = KB_COUNT(fills),
    .axes = axes,
    .n_axes = KB_COUNT(axes),
    .batch = "tokens",
    .fast_math_factor = 8,
    .resolve = resolve,
    .macros = macros,
    .fill = fill,
    .reference = reference,
    .sources = sources,
    .peer_tolerance = peer_tolerance,
    .conventions = conventions,
    .n_conventions = KB_COUNT(conventions),
};
