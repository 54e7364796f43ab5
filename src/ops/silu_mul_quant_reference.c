/* silu_mul_quant_reference.c - codes and scales in double, and how far a right kernel may
 * be from them. The formula is in silu_mul_quant.c.
 *
 * Two answers may both be right: a scale that is rounded up to a power of two is one or the
 * other where amax / 448 lies at a power, and each of them has codes of its own. So a code
 * is held against the scale that the kernel stored (in[y_s] holds it), and where two powers
 * are right the scale against the one that the codes tell of. A stored scale that no right
 * kernel stores fails as a scale; its codes are then held against the reference's own.
 *
 * Bound. With e = 2^-24, the relative error of one rounding in fp32:
 *   silu     |a| e (8 + (4 + 4|x|) q), q = exp(-x) / (1 + exp(-x)): 2 ulp of exp, the
 *            scaling of its argument, 8 for sum, quotient and product; below -87.3, where
 *            1 + exp(-x) is beyond 2^126, 4 |a|; 2^-148 for results below 2^-126.
 *   y        that times |u|, and |y| 2e and 2^-148 for the product. Where y is rounded,
 *            what R(y) moves by when y is off by so much: nothing, unless a midpoint of
 *            the dtype's grid is that near. round=both takes R(silu) likewise, and then
 *            the product of two numbers of the dtype, which is exact in fp32.
 *   amax     a right kernel's is from max (|y| - err) to max (|y| + err).
 *   scale    the ends of that by 448, and 3e for a product by 1 / 448 in place of a
 *            quotient. ue8m0: every exponent from that of the low end, 3e lower, to that of
 *            the high end, nothing higher: both fl(amax / 448) and fl(amax * fl(1 / 448))
 *            are 2^n for 448 * 2^n, and fl() is monotone.
 *   code     of the y / s that is meant: err / s, and |y / s| 4e for a reciprocal, a
 *            product by it and the rounding of the scale; beyond half a step of e4m3. By a
 *            power of two it is exact: of a y that was rounded ties must go to even, so
 * that `want` is drawn a thousandth of the way to there. fast_math_factor multiplies a
 * bound after the fact. Where there is a threshold, a midpoint or a power of two, only the
 * larger error may reach it: there the step that it makes, divided by the factor, counts.
 *
 * A float between 2^n and its lower neighbour is half a step of fp32 away, which is free;
 * as a scale it must not pass for 2^n. So `want` of a power is a quarter of a step high.
 *
 * Where forms differ in kind - y about to overflow, 0 * inf or a small number * inf - all
 * of the group is not judged. */
#include "ops/silu_mul_quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PATTERNS = 65536, TABLE_PAYS = PATTERNS };

static const double eps = 0x1p-24;         /* one rounding in fp32, relative */
static const double steps = 0x1p-148;      /* two subnormal steps of fp32 */
static const double nothing = 0x1p-152;    /* too small for any fp32 kernel to see */
static const double normal_min = 0x1p-126; /* of fp32 */
static const double top = 448;             /* of e4m3 */

/* What multiplies up, and how far a right kernel's may be from it. */
struct factor {
    double value, err;
};

enum kind { KIND_FINITE, KIND_INFINITE, KIND_UNSURE, KIND_NAN };

struct group {
    double y[KB_SMQ_GROUP_MAX], err[KB_SMQ_GROUP_MAX];
    double amax, low, high; /* of a right kernel: from low to high */
    enum kind kind;
};

/* Exponents by their bytes: those that right kernels have, and those of fast-math builds.
 */
struct exponents {
    int own, low, high, far_low, far_high;
};

/* ---- y -------------------------------------------------------------------------------
 */

static struct factor silu(double x) {
    double sigmoid = 1 / (1 + exp(-x)), a = x * sigmoid;
    double err = fabs(a) * eps * (8 + (4 + 4 * fabs(x)) * (1 - sigmoid)) + steps;
    if (sigmoid < normal_min)
        err = 4 * fabs(a) + steps;
    return (struct factor){a, err};
}

static double round_to(enum kb_dtype dtype, double v) {
    return kb_decode(dtype, kb_encode(dtype, v));
}

/* How far the rounded value moves when `v` is off by `err`. */
static double step_of(enum kb_dtype dtype, double v, double err) {
    double rounded = round_to(dtype, v);
    double down = rounded - round_to(dtype, v - err);
    double up = round_to(dtype, v + err) - rounded;
    return fmax(down, up);
}

static double step_or_far_step(enum kb_dtype dtype, double v, double err) {
    double far_step = step_of(dtype, v, err * KB_SMQ_FAST_MATH);
    if (far_step == 0)
        return 0;
    return fmax(step_of(dtype, v, err), far_step / KB_SMQ_FAST_MATH);
}

/* Comparisons keep NaN; the gate has no limit below. */
static double clamp_gate(const struct kb_smq *q, double x) {
    return x > q->limit ? q->limit : x;
}

static double clamp_up(const struct kb_smq *q, double u) {
    return u > q->limit ? q->limit : u < -q->limit ? -q->limit : u;
}

static struct factor factor_of(const struct kb_smq *q, double gate) {
    struct factor f = silu(clamp_gate(q, gate));
    if (q->round != KB_SMQ_ROUND_BOTH)
        return f;
    return (struct factor){
        .value = round_to(q->dtype, f.value),
        .err = step_or_far_step(q->dtype, f.value, f.err),
    };
}

/* What |y| rounds to infinity from, in a kernel's fp32 or in the dtype. */
static double overflow_of(const struct kb_smq *q) {
    enum kb_dtype dtype = q->round == KB_SMQ_ROUND_NONE ? KB_FP32 : q->dtype;
    double max = kb_max_finite(dtype);
    return max + kb_ulp(dtype, max) / 2;
}

/* Of a product that is not finite, or may not be. An infinite u shows whether silu is 0 in
 * fp32: far down it is, whatever the form of the kernel. */
static enum kind kind_of(const struct kb_smq *q, double x, double u, double product,
                         double err) {
    struct factor f = factor_of(q, x);
    if (isnan(f.value) || isnan(u))
        return KIND_NAN;
    if (isinf(u) && isfinite(f.value)) {
        double plain = fabs(silu(clamp_gate(q, x)).value);
        if (plain < nothing || (f.value == 0 && f.err == 0))
            return KIND_NAN;
        return fabs(f.value) <= f.err ? KIND_UNSURE : KIND_INFINITE;
    }
    if (isinf(f.value))
        return u == 0 ? KIND_NAN : KIND_INFINITE;
    return fabs(product) - err < overflow_of(q) ? KIND_UNSURE : KIND_INFINITE;
}

/* The factors of a group's gates. */
static void factors_at(const struct kb_smq *q, const void *input, int64_t gate,
                       const struct factor *table, struct factor *out) {
    if (table) {
        uint16_t patterns[KB_SMQ_GROUP_MAX];
        memcpy(patterns, (const char *)input + 2 * gate,
               (size_t)q->group * sizeof *patterns);
        for (int64_t i = 0; i < q->group; i++)
            out[i] = table[patterns[i]];
        return;
    }
    double x[KB_SMQ_GROUP_MAX];
    kb_decode_range(q->dtype, input, gate, q->group, x);
    for (int64_t i = 0; i < q->group; i++)
        out[i] = factor_of(q, x[i]);
}

static void round_range(enum kb_dtype dtype, int64_t n, double *v) {
    uint16_t bits[KB_SMQ_GROUP_MAX];
    kb_encode_range(dtype, v, n, bits, 0);
    kb_decode_range(dtype, bits, 0, n, v);
}

/* y in the dtype. The error vanishes but where both of its ends do not round alike. */
static void round_group(const struct kb_smq *q, struct group *g) {
    double low[KB_SMQ_GROUP_MAX], high[KB_SMQ_GROUP_MAX], exact[KB_SMQ_GROUP_MAX];
    for (int64_t i = 0; i < q->group; i++) {
        exact[i] = g->y[i];
        low[i] = g->y[i] - KB_SMQ_FAST_MATH * g->err[i];
        high[i] = g->y[i] + KB_SMQ_FAST_MATH * g->err[i];
    }
    round_range(q->dtype, q->group, g->y);
    round_range(q->dtype, q->group, low);
    round_range(q->dtype, q->group, high);
    for (int64_t i = 0; i < q->group; i++)
        g->err[i] = low[i] == high[i] ? 0 : step_or_far_step(q->dtype, exact[i], g->err[i]);
}

/* What is not finite takes its value from here: infinite y keep their sign, of which the
 * codes know. */
static void judge_kinds(const struct kb_smq *q, const void *input, int64_t gate,
                        const double *u, struct group *g) {
    double overflow = overflow_of(q);
    for (int64_t i = 0; i < q->group; i++) {
        double err = KB_SMQ_FAST_MATH * g->err[i];
        if (fabs(g->y[i]) + err < overflow)
            continue;
        double x = kb_decode(q->dtype, kb_bits_at(q->dtype, input, gate + i));
        enum kind kind = kind_of(q, x, u[i], g->y[i], err);
        g->kind = kind > g->kind ? kind : g->kind;
        g->y[i] = kind == KIND_NAN ? (double)NAN : copysign(INFINITY, g->y[i]);
        g->err[i] = 0;
    }
}

static void find_amax(const struct kb_smq *q, struct group *g) {
    g->amax = g->low = g->high = 0;
    for (int64_t i = 0; i < q->group; i++) {
        double y = fabs(g->y[i]), low = y - g->err[i], high = y + g->err[i];
        g->amax = y > g->amax ? y : g->amax;
        g->low = low > g->low ? low : g->low;
        g->high = high > g->high ? high : g->high;
    }
}

static void group_at(const struct kb_smq *q, const void *input, const struct factor *table,
                     int64_t row, int64_t group, struct group *g) {
    int64_t gate = kb_smq_half(q, row, KB_SMQ_GATE) + group * q->group;
    int64_t up = kb_smq_half(q, row, KB_SMQ_UP) + group * q->group;
    bool exact = q->round == KB_SMQ_ROUND_BOTH; /* the product, in fp32 */
    struct factor f[KB_SMQ_GROUP_MAX];
    double u[KB_SMQ_GROUP_MAX];

    g->kind = KIND_FINITE;
    factors_at(q, input, gate, table, f);
    kb_decode_range(q->dtype, input, up, q->group, u);
    for (int64_t i = 0; i < q->group; i++) {
        u[i] = clamp_up(q, u[i]);
        g->y[i] = f[i].value * u[i];
        g->err[i] = f[i].err * fabs(u[i]) + steps;
        g->err[i] += exact ? 0 : fabs(g->y[i]) * 2 * eps;
    }
    judge_kinds(q, input, gate, u, g);
    if (q->round != KB_SMQ_ROUND_NONE)
        round_group(q, g);
    find_amax(q, g);
}

/* ---- scales --------------------------------------------------------------------------
 */

/* The byte of the least power of two that is amax / 448 or more. */
static int exponent_of(const struct kb_smq *q, double amax) {
    int exponent;
    double fraction = frexp(fmax(amax, q->eps) / top, &exponent);
    exponent += fraction > 0.5 ? 127 : 126;
    return exponent < 1 ? 1 : exponent > 254 ? 254 : exponent;
}

static struct exponents exponents_of(const struct kb_smq *q, const struct group *g) {
    const double wide = KB_SMQ_FAST_MATH;
    double far_low = g->amax - wide * (g->amax - g->low);
    double far_high = g->amax + wide * (g->high - g->amax);
    return (struct exponents){
        .own = exponent_of(q, g->amax),
        .low = exponent_of(q, fmax(g->low, q->eps) * (1 - 3 * eps)),
        .high = exponent_of(q, g->high),
        .far_low = exponent_of(q, fmax(far_low, q->eps) * (1 - 3 * wide * eps)),
        .far_high = exponent_of(q, fmax(far_high, q->eps) * (1 + 3 * wide * eps)),
    };
}

static double power_of(int byte) {
    return ldexp(1, byte - 127);
}

/* Where two neighbours are right, what the codes were made with: the largest of a group is
 * between 224 and 448, at either end of that here. Without codes both stay. */
static void choose(const struct kb_smq *q, const void *codes, struct kb_smq_place place,
                   struct exponents *e) {
    double v[KB_SMQ_GROUP_MAX], most = 0;
    int64_t row = place.expert * q->rows + place.row;
    if (!codes || e->high != e->low + 1)
        return;
    kb_decode_range(KB_E4M3, codes, row * q->hidden + place.group * q->group, q->group, v);
    for (int64_t i = 0; i < q->group; i++)
        most = fabs(v[i]) > most ? fabs(v[i]) : most;
    e->low = e->high = most > 1.5 * top / 2 ? e->low : e->high;
}

/* As a number of fp32: see above for the quarter of a step. */
static void power_answer(const struct exponents *e, double *want, double *bound) {
    double low = power_of(e->low), high = power_of(e->high);
    if (e->low < e->high) {
        *want = (low + high) / 2;
        *bound = (high - low) / 2;
        return;
    }
    *want = low * (1 + 0x1p-25);
    *bound = 0;
    if (e->far_low < e->low || e->far_high > e->high)
        *bound = low * 1.01 / KB_SMQ_FAST_MATH;
}

/* As a byte: half a step is free, so that between two bytes both are right. Where only a
 * fast-math build may have the next one, a quarter of a step is. */
static void byte_answer(const struct exponents *e, double *want, double *bound) {
    *want = (e->low + e->high) / 2.0;
    *bound = fmax(0, (e->high - e->low) / 2.0 - 0.5);
    if (e->low < e->high || (e->far_low == e->low && e->far_high == e->high))
        return;
    *want += e->far_high > e->high ? 0.25 : -0.25;
    *bound = 0.25 / KB_SMQ_FAST_MATH;
}

static void quotient_answer(const struct kb_smq *q, const struct group *g, double *want,
                            double *bound) {
    double low = fmax(g->low, q->eps) / top, high = fmax(g->high, q->eps) / top;
    *want = fmax(g->amax, q->eps) / top;
    *bound = fmax(high - *want, *want - low) + 3 * eps * *want;
}

static void scale_answer(const struct kb_smq *q, const struct group *g, const void *codes,
                         struct kb_smq_place place, double *want, double *bound) {
    bool bytes = q->scale_layout == KB_SMQ_PACKED;
    *bound = g->kind == KIND_UNSURE ? INFINITY : 0;
    if (g->kind == KIND_NAN)
        *want = bytes ? 255 : (double)NAN;
    else if (g->kind != KIND_FINITE)
        *want = bytes ? 254 : q->ue8m0 ? power_of(254) : (double)INFINITY;
    else if (q->ue8m0) {
        struct exponents e = exponents_of(q, g);
        choose(q, codes, place, &e);
        (bytes ? byte_answer : power_answer)(&e, want, bound);
    } else
        quotient_answer(q, g, want, bound);
}

/* ---- codes ---------------------------------------------------------------------------
 */

/* What the kernel stored, as a number; NaN where there is nothing. */
static double stored_scale(const struct kb_smq *q, const void *scales,
                           struct kb_smq_place place) {
    int64_t at = kb_smq_element_of(q, place);
    if (!scales)
        return NAN;
    if (q->scale_layout == KB_SMQ_PACKED)
        return power_of((int)kb_bits_at(KB_U8, scales, at));
    return kb_decode(KB_FP32, kb_bits_at(KB_FP32, scales, at));
}

/* The scale that codes are held against, of a finite group. */
static double scale_for(const struct kb_smq *q, const struct group *g, double stored) {
    double want, bound;
    if (!q->ue8m0) {
        quotient_answer(q, g, &want, &bound);
        bound = bound * KB_SMQ_FAST_MATH + kb_ulp(KB_FP32, want);
        return fabs(stored - want) <= bound ? stored : want;
    }
    struct exponents e = exponents_of(q, g);
    int exponent;
    bool fits = isfinite(stored) && frexp(stored, &exponent) == 0.5 &&
                exponent + 126 >= e.far_low && exponent + 126 <= e.far_high;
    return fits ? stored : power_of(e.own);
}

/* An error of a whole step of y may reach codes whose own steps are larger. */
static double reach_of(double code, double err) {
    double low = round_to(KB_E4M3, code - err), high = round_to(KB_E4M3, code + err);
    return fmax(err, 1.01 * (fmax(high - code, code - low) - kb_ulp(KB_E4M3, code) / 2));
}

static double saturated(double code) {
    return code > top ? top : code < -top ? -top : code;
}

/* Elements [from, to) of a group. */
static void code_answers(const struct kb_smq *q, const struct group *g, double stored,
                         int64_t from, int64_t to, double *want, double *bound) {
    double scale = g->kind == KIND_FINITE ? scale_for(q, g, stored)
                   : q->ue8m0             ? power_of(254)
                                          : (double)INFINITY;
    for (int64_t i = from; i < to; i++, want++, bound++) {
        double code = g->y[i] / scale;
        *want = g->kind == KIND_NAN ? (double)NAN : saturated(code);
        *bound = g->kind == KIND_UNSURE ? INFINITY : 0;
        if (g->kind < KIND_UNSURE && isfinite(code))
            *bound = g->err[i] / scale + (q->ue8m0 ? 0 : fabs(code) * 4 * eps);
        if (g->kind < KIND_UNSURE && q->round != KB_SMQ_ROUND_NONE && g->err[i] > 0)
            *bound = reach_of(*want, *bound);
        if (*bound == 0) /* a tie has no second neighbour */
            *want += (round_to(KB_E4M3, *want) - *want) * 0x1p-10;
    }
}

/* ---- both outputs ----------------------------------------------------------------------
 */

static void keep(int64_t n, double *want, double *bound) {
    for (int64_t i = 0; i < n; i++) {
        want[i] = NAN;
        bound[i] = KB_KEEP;
    }
}

static void codes_at(const struct kb_smq *q, const void *const *in,
                     const struct factor *table, int64_t first, int64_t count, double *want,
                     double *bound) {
    struct group g;
    for (int64_t done = 0, n; done < count; done += n, want += n, bound += n) {
        int64_t token = (first + done) / q->hidden, col = (first + done) % q->hidden;
        int64_t from = col % q->group, left = q->group - from;
        struct kb_smq_place place = {token / q->rows, token % q->rows, col / q->group};
        n = left < count - done ? left : count - done;
        if (kb_smq_is_masked(q, in, place)) {
            keep(n, want, bound);
            continue;
        }
        group_at(q, in[KB_SMQ_INPUT], table, token, place.group, &g);
        code_answers(q, &g, stored_scale(q, in[KB_SMQ_SCALES], place), from, from + n, want,
                     bound);
    }
}

static void scales_at(const struct kb_smq *q, const void *const *in,
                      const struct factor *table, int64_t first, int64_t count,
                      double *want, double *bound) {
    struct group g;
    for (int64_t i = 0; i < count; i++) {
        struct kb_smq_place place = kb_smq_place_of(q, first + i);
        want[i] = bound[i] = 0;
        if (kb_smq_is_masked(q, in, place))
            keep(1, want + i, bound + i);
        else if (place.row < q->rows && place.group < q->groups) {
            group_at(q, in[KB_SMQ_INPUT], table, place.expert * q->rows + place.row,
                     place.group, &g);
            scale_answer(q, &g, in[KB_SMQ_CODES], place, want + i, bound + i);
        }
    }
}

void kb_smq_reference(const struct kb_problem *p, const void *const *in,
                      const void *prepared, int t, int64_t first, int64_t count,
                      double *want, double *bound) {
    struct kb_smq q = kb_smq_of(p->c);
    (t == KB_SMQ_CODES ? codes_at : scales_at)(&q, in, prepared, first, count, want, bound);
}

/* The factors of all gates, where there are enough elements to pay for them. The same
 * function makes them, so the results are the same without. */
void *kb_smq_prepare(const struct kb_problem *p, const void *const *in) {
    (void)in;
    struct kb_smq q = kb_smq_of(p->c);
    if (p->tensors[KB_SMQ_CODES].elements < TABLE_PAYS)
        return NULL;
    struct factor *table = malloc(PATTERNS * sizeof *table);
    for (uint32_t x = 0; table && x < PATTERNS; x++)
        table[x] = factor_of(&q, kb_decode(q.dtype, x));
    return table;
}
