/* activation_reference.c - act(gate) * up in double, and how far a right kernel may be from
 * it. The formula is in activation.c.
 *
 * Reference. Forms that do not cancel where 1 + erf and 1 + tanh do: gelu as x / 2 *
 * erfc(-x / sqrt 2), gelu_tanh as x / (1 + exp(-2z)). A 16-bit dtype has 65536 gates, so
 * that a large tensor's activations come from a table of them.
 *
 * Bound. `want` is not rounded, and half an ulp of the dtype is free. What is left is what
 * a kernel that follows the formula in fp32 may be off by, with e = 2^-24, the relative
 * error of one rounding, and a = act(x). No term is less than its steps cost at worst, most
 * are twice that, and steps seldom all go one way: right kernels take up to a third of the
 * bound, two thirds where erf or tanh is a full 2 ulp off (activation_bound_test.c, on a
 * CPU's expf, erff and tanhf).
 *   silu       |a| e (8 + (4 + 4|x|) q), with q = exp(-x) / (1 + exp(-x)), the share of 1 +
 *              exp(-x) that comes from exp: 2 ulp of exp, and |x| e from scaling its
 *              argument to a power of two; 8 for the sum, the quotient and a product.
 *   gelu       |x| 2e + |a| 6e: 1 + erf(x) cancels for x < 0, where 2 ulp of erf near -1
 *              are 2^-23 of 1; the rest as above, and the rounded argument of erf hides
 *              behind the first term.
 *   gelu_tanh  |x| 2e + |a| e (6 + 8 |2z| q), with q for exp(-2z): the cancellation of 1 +
 *              tanh(z), and six roundings in z, which count |2z| q times in a.
 *   all        2^-148: fp32 holds a below 2^-126 in steps of 2^-149, which |u| may lift to
 *              where the dtype sees them.
 *   silu < -87.3   4 |a|: 1 + exp(-x) is beyond 2^126, its reciprocal a subnormal that a
 *              fast division flushes; from -88.72 on it is infinite and a kernel's a is -0.
 *   round=act  in place of all that, three times what R(a) moves when a is off by it:
 *              nothing unless a midpoint of the dtype's grid is that near, else the step to
 *              the next number. fast_math_factor multiplies the bound after the fact, when
 *              the error of a is larger and so a midpoint is near more often: where only
 *              the larger error reaches one, the step divided by the factor counts.
 *   clamp      nothing: the limit is a number of the dtype, and comparing is exact.
 * Times |u|; then the product, |want| 2e, and 2^-148 once more, as it may be subnormal.
 *
 * Figures. The worst share of the bound that right kernels took, no alarm among them:
 *     silu  gelu  gelu_tanh
 *     0.28  0.36  0.37   on a CPU, every dtype and fill, 10 000 seeds of 4x64: published
 *                        forms with the C library's functions, fused or not
 *     0.40  0.66  0.63   the same where exp, erf or tanh are 2 ulp off
 *     0.33  0.48  0.38   round=act
 *     0.28  0.30  0.26   on an H200, built precisely, 100 seeds of 64x512, nine fills;
 *                        round=act 0.33
 *     0.04  0.04  0.03   fast-math there, of 8 times the bound: the same bits
 * (`make controls`; tools/calibrate.sh.)
 *
 * An infinite u shows whether a is 0 in fp32: 0 * inf is NaN. Where |a| is below 2^-152,
 * it is, whatever the form of the kernel. Where a lies within its own error of 0, forms
 * differ (erf has reached -1 and erfc has not), and the bound is infinite: not judged. */
#include "ops/activation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATTERNS = 65536, /* of a 16-bit dtype */
    TABLE_PAYS = PATTERNS,
    CHUNK = 256,
};

static const double eps = 0x1p-24;         /* one rounding in fp32, relative */
static const double steps = 0x1p-148;      /* two subnormal steps of fp32 */
static const double nothing = 0x1p-152;    /* too small for any fp32 kernel to see */
static const double normal_min = 0x1p-126; /* of fp32 */

/* ---- act(x) ----------------------------------------------------------------------------
 */

struct kb_factor kb_silu_factor(double x) {
    double sigmoid = 1 / (1 + exp(-x)), a = x * sigmoid;
    double err = fabs(a) * eps * (8 + (4 + 4 * fabs(x)) * (1 - sigmoid)) + steps;
    if (sigmoid < normal_min)
        err = 4 * fabs(a) + steps;
    return (struct kb_factor){a, err};
}

static struct kb_factor gelu(double x) {
    double a = x * 0.5 * erfc(-x * M_SQRT1_2);
    return (struct kb_factor){a, fabs(x) * 2 * eps + fabs(a) * 6 * eps + steps};
}

static struct kb_factor gelu_tanh(double x) {
    double z2 = 2 * M_2_SQRTPI * M_SQRT1_2 * (x + 0.044715 * x * x * x);
    double sigmoid = 1 / (1 + exp(-z2)), a = x * sigmoid;
    double relative = 6 + 8 * fabs(z2) * (1 - sigmoid);
    return (struct kb_factor){a, fabs(x) * 2 * eps + fabs(a) * eps * relative + steps};
}

static struct kb_factor activate(int act, double x) {
    return act == KB_SILU ? kb_silu_factor(x) : act == KB_GELU ? gelu(x) : gelu_tanh(x);
}

/* Comparisons keep NaN; the gate has no limit below. */
static double clamp_gate(const struct kb_activation *a, double x) {
    return x > a->limit ? a->limit : x;
}

static double clamp_up(const struct kb_activation *a, double u) {
    return u > a->limit ? a->limit : u < -a->limit ? -a->limit : u;
}

static struct kb_factor factor_of(const struct kb_activation *a, double gate) {
    struct kb_factor f = activate(a->act, clamp_gate(a, gate));
    if (a->round == KB_ROUND_ONCE || a->dtype == KB_FP32)
        return f;
    return (struct kb_factor){
        .value = kb_round(a->dtype, f.value),
        .err = 3 * kb_rounding_step(a->dtype, f.value, f.err, KB_ACT_FAST_MATH),
    };
}

/* ---- act(x) * u ------------------------------------------------------------------------
 */

/* The bound of a NaN or an infinity. */
static double kind_bound(const struct kb_activation *a, double gate, double u,
                         double *want) {
    double plain = activate(a->act, clamp_gate(a, gate)).value;
    struct kb_factor f = factor_of(a, gate);
    if (!isinf(u) || !isfinite(plain))
        return 0;
    if (fabs(plain) < nothing) {
        *want = NAN;
        return 0;
    }
    return f.err > 0 && fabs(f.value) <= f.err ? INFINITY : 0;
}

/* The factors of `n` gates from element `gate` of the input on. */
static void factors_at(const struct kb_activation *a, const void *input, int64_t gate,
                       int64_t n, const struct kb_factor *table,
                       struct kb_factor out[CHUNK]) {
    if (table) {
        uint16_t patterns[CHUNK];
        memcpy(patterns, (const char *)input + 2 * gate, (size_t)n * sizeof *patterns);
        for (int64_t i = 0; i < n; i++)
            out[i] = table[patterns[i]];
        return;
    }
    double x[CHUNK];
    kb_decode_range(a->dtype, input, gate, n, x);
    for (int64_t i = 0; i < n; i++)
        out[i] = factor_of(a, x[i]);
}

/* `n` results, at most CHUNK, from column `col` of a row on. */
static void results(const struct kb_activation *a, const void *input,
                    const struct kb_factor *table, int64_t row, int64_t col, int64_t n,
                    double *want, double *bound) {
    int64_t gate = kb_activation_half(a, row, KB_GATE) + col;
    struct kb_factor f[CHUNK];
    double u[CHUNK];
    factors_at(a, input, gate, n, table, f);
    kb_decode_range(a->dtype, input, kb_activation_half(a, row, KB_UP) + col, n, u);
    for (int64_t i = 0; i < n; i++) {
        u[i] = clamp_up(a, u[i]);
        want[i] = f[i].value * u[i];
        bound[i] = f[i].err * fabs(u[i]) + fabs(want[i]) * 2 * eps + steps;
    }
    for (int64_t i = 0; i < n; i++) {
        if (isfinite(want[i]))
            continue;
        double x = kb_decode(a->dtype, kb_bits_at(a->dtype, input, gate + i));
        bound[i] = kind_bound(a, x, u[i], &want[i]);
    }
}

static bool is_skipped(const struct kb_activation *a, const void *const *in, int64_t row) {
    if (a->filter == KB_FILTER_NONE)
        return false;
    const int32_t *experts = in[KB_ACT_EXPERTS], *sorted = in[KB_ACT_SORTED],
                  *num_post = in[KB_ACT_POST];
    if (a->filter == KB_FILTER_SORTED &&
        (row >= num_post[0] || (uint32_t)sorted[row] >= a->num_valid))
        return true;
    return experts[row / a->step] == -1;
}

static void keep(int64_t n, double *want, double *bound) {
    for (int64_t i = 0; i < n; i++) {
        want[i] = NAN;
        bound[i] = KB_KEEP;
    }
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* What is no result stays: between rows, and in place, where the output is the input, in
 * the up half. */
void kb_activation_reference(const struct kb_problem *p, const void *const *in,
                             const void *prepared, int t, int64_t first, int64_t count,
                             double *want, double *bound) {
    (void)t; /* there is one output */
    struct kb_activation a = kb_activation_of(p->c);
    int64_t width = kb_activation_stride(&a), n;
    for (int64_t done = 0; done < count; done += n, want += n, bound += n) {
        int64_t row = (first + done) / width, col = (first + done) % width;
        n = least(count - done, CHUNK);
        if (col >= a.hidden || is_skipped(&a, in, row)) {
            n = least(n, width - col);
            keep(n, want, bound);
            continue;
        }
        n = least(n, a.hidden - col);
        results(&a, in[KB_ACT_INPUT], prepared, row, col, n, want, bound);
    }
}

/* The factors of all gates of a 16-bit dtype, where there are enough elements to pay for
 * them. The same function makes them, so the results are the same without. */
void *kb_activation_prepare(const struct kb_problem *p, const void *const *in) {
    (void)in;
    struct kb_activation a = kb_activation_of(p->c);
    if (a.dtype == KB_FP32 || a.tokens * a.hidden < TABLE_PAYS)
        return NULL;
    struct kb_factor *table = malloc(PATTERNS * sizeof *table);
    for (uint32_t x = 0; table && x < PATTERNS; x++)
        table[x] = factor_of(&a, kb_decode(a.dtype, x));
    return table;
}
