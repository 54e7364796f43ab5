/* silu_mul_quant_group.c - one group of y in double, and how far a right kernel may be from
 * it. The formula is in silu_mul_quant.c.
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
 * fast_math_factor multiplies a bound after the fact. Where only the larger error reaches a
 * midpoint, the step that it makes counts, divided by the factor.
 *
 * Where forms differ in kind - y about to overflow, 0 * inf or a small number * inf - all
 * of the group is not judged. */
#include "ops/activation.h"
#include "ops/silu_mul_quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef __clang__ /* what it does not vectorise is slower, not wrong */
#pragma clang diagnostic ignored "-Wpass-failed"
#endif

enum { PATTERNS = 65536, TABLE_PAYS = PATTERNS };

static const double eps = 0x1p-24;      /* one rounding in fp32, relative */
static const double steps = 0x1p-148;   /* two subnormal steps of fp32 */
static const double nothing = 0x1p-152; /* too small for any fp32 kernel to see */

/* Comparisons keep NaN; the gate has no limit below. */
static double clamp_gate(const struct kb_smq *q, double x) {
    return x > q->limit ? q->limit : x;
}

static double clamp_up(const struct kb_smq *q, double u) {
    return u > q->limit ? q->limit : u < -q->limit ? -q->limit : u;
}

static struct kb_factor factor_of(const struct kb_smq *q, double gate) {
    struct kb_factor f = kb_silu_factor(clamp_gate(q, gate));
    if (q->round != KB_SMQ_ROUND_BOTH)
        return f;
    return (struct kb_factor){
        .value = kb_round(q->dtype, f.value),
        .err = kb_rounding_step(q->dtype, f.value, f.err, KB_SMQ_FAST_MATH),
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
static enum kb_smq_kind kind_of(const struct kb_smq *q, double x, double u, double product,
                                double err) {
    struct kb_factor f = factor_of(q, x);
    if (isnan(f.value) || isnan(u))
        return KB_SMQ_NAN;
    if (isinf(u) && isfinite(f.value)) {
        double plain = fabs(kb_silu_factor(clamp_gate(q, x)).value);
        if (plain < nothing || (f.value == 0 && f.err == 0))
            return KB_SMQ_NAN;
        return fabs(f.value) <= f.err ? KB_SMQ_UNSURE : KB_SMQ_INFINITE;
    }
    if (isinf(f.value))
        return u == 0 ? KB_SMQ_NAN : KB_SMQ_INFINITE;
    return fabs(product) - err < overflow_of(q) ? KB_SMQ_UNSURE : KB_SMQ_INFINITE;
}

/* ---- a group -------------------------------------------------------------------------
 */

/* The factors of a group's gates, which are 16 bits each. */
static void factors_at(const struct kb_smq *q, const void *input, int64_t gate,
                       const struct kb_factor *table, double *value, double *err) {
    uint16_t patterns[KB_SMQ_GROUP_MAX];
    memcpy(patterns, (const char *)input + 2 * gate, (size_t)q->group * sizeof *patterns);
    for (int64_t i = 0; i < q->group; i++) {
        struct kb_factor f =
            table ? table[patterns[i]] : factor_of(q, kb_decode(q->dtype, patterns[i]));
        value[i] = f.value;
        err[i] = f.err;
    }
}

/* The power of two at or below |v|. */
static inline double power_below(double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits &= (uint64_t)0x7ff << 52;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* y in the dtype. Its error vanishes unless it may reach a midpoint: of y's own binade, or,
 * where it is large for that, of the one below. */
static void round_group(const struct kb_smq *q, struct kb_smq_group *g) {
    double exact[KB_SMQ_GROUP_MAX], room[KB_SMQ_GROUP_MAX];
    double *y = g->y, *err = g->err;
    uint16_t bits[KB_SMQ_GROUP_MAX];
    double half_of = q->dtype == KB_BF16 ? 0x1p-8 : 0x1p-11; /* of a step, of a power */
    double least = q->dtype == KB_BF16 ? 0x1p-126 : 0x1p-14; /* normal */
    int64_t n = q->group;

    memcpy(exact, y, (size_t)n * sizeof *exact);
    kb_encode_range(q->dtype, y, n, bits, 0);
    kb_decode_range(q->dtype, bits, 0, n, y);
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        double power = power_below(exact[i]), far_err = KB_SMQ_FAST_MATH * err[i];
        double half = (power > least ? power : least) * half_of;
        double own = half - fabs(exact[i] - y[i]) - far_err, below = half / 4 - far_err;
        room[i] = own < below ? own : below;
    }
    for (int64_t i = 0; i < n; i++)
        err[i] = room[i] > 0 || err[i] == 0
                     ? 0
                     : kb_rounding_step(q->dtype, exact[i], err[i], KB_SMQ_FAST_MATH);
}

/* What is not finite takes its value from here: infinite y keep their sign, of which the
 * codes know. */
static void judge_kinds(const struct kb_smq *q, const void *input, int64_t gate,
                        const double *u, double overflow, struct kb_smq_group *g) {
    for (int64_t i = 0; i < q->group; i++) {
        double err = KB_SMQ_FAST_MATH * g->err[i];
        if (fabs(g->y[i]) + err < overflow)
            continue;
        double x = kb_decode(q->dtype, kb_bits_at(q->dtype, input, gate + i));
        enum kb_smq_kind kind = kind_of(q, x, u[i], g->y[i], err);
        g->kind = kind > g->kind ? kind : g->kind;
        g->y[i] = kind == KB_SMQ_NAN ? (double)NAN : copysign(INFINITY, g->y[i]);
        g->err[i] = 0;
    }
}

static void find_amax(const struct kb_smq *q, struct kb_smq_group *g) {
    double amax = 0, low = 0, high = 0;
    int64_t n = q->group;
#pragma omp simd reduction(max : amax, low, high)
    for (int64_t i = 0; i < n; i++) {
        double y = fabs(g->y[i]), less = y - g->err[i], more = y + g->err[i];
        amax = y > amax ? y : amax;
        low = less > low ? less : low;
        high = more > high ? more : high;
    }
    g->amax = amax;
    g->low = low;
    g->high = high;
}

void kb_smq_group_at(const struct kb_smq *q, const void *input, const void *prepared,
                     int64_t row, int64_t group, struct kb_smq_group *g) {
    int64_t gate = kb_smq_half(q, row, KB_SMQ_GATE) + group * q->group;
    int64_t up = kb_smq_half(q, row, KB_SMQ_UP) + group * q->group;
    double product = q->round == KB_SMQ_ROUND_BOTH ? 0 : 2 * eps, overflow = overflow_of(q);
    double u[KB_SMQ_GROUP_MAX], *y = g->y, *err = g->err, room = INFINITY;
    int64_t n = q->group;

    g->kind = KB_SMQ_FINITE;
    factors_at(q, input, gate, prepared, y, err);
    kb_decode_range(q->dtype, input, up, n, u);
    for (int64_t i = 0; isfinite(q->limit) && i < n; i++)
        u[i] = clamp_up(q, u[i]);
#pragma omp simd reduction(min : room)
    for (int64_t i = 0; i < n; i++) {
        double v = y[i] * u[i], e = err[i] * fabs(u[i]) + steps + fabs(v) * product;
        double left = overflow - fabs(v) - KB_SMQ_FAST_MATH * e;
        left = left > 0 ? left : 0; /* NaN, too */
        room = left < room ? left : room;
        y[i] = v;
        err[i] = e;
    }
    if (room <= 0)
        judge_kinds(q, input, gate, u, overflow, g);
    if (q->round != KB_SMQ_ROUND_NONE)
        round_group(q, g);
    find_amax(q, g);
}

/* The factors of all gates, where there are enough elements to pay for them. The same
 * function makes them, so the results are the same without. */
void *kb_smq_prepare(const struct kb_problem *p, const void *const *in) {
    (void)in;
    struct kb_smq q = kb_smq_of(p->c);
    if (p->tensors[KB_SMQ_CODES].elements < TABLE_PAYS)
        return NULL;
    struct kb_factor *table = malloc(PATTERNS * sizeof *table);
    for (uint32_t x = 0; table && x < PATTERNS; x++)
        table[x] = factor_of(&q, kb_decode(q.dtype, x));
    return table;
}
