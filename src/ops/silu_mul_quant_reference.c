/* silu_mul_quant_reference.c - codes and scales in double, and how far a right kernel may
 * be from them. The formula is in silu_mul_quant.c, the bound of y in
 * silu_mul_quant_group.c.
 *
 * Two answers may both be right: a scale that is rounded up to a power of two is one or the
 * other where amax / 448 lies at a power, and each of them has codes of its own. So a code
 * is held against the scale that the kernel stored (in[y_s] holds it), and where two powers
 * are right the scale against the one that the codes tell of. A stored scale that no right
 * kernel stores fails as a scale; its codes are then held against the reference's own.
 *
 * Bound. With e = 2^-24, the relative error of one rounding in fp32:
 *   scale    the ends of amax by 448, and 3e for a product by 1 / 448 in place of a
 *            quotient. ue8m0: every exponent from that of the low end, 3e lower, to that of
 *            the high end, nothing higher: both fl(amax / 448) and fl(amax * fl(1 / 448))
 *            are 2^n for 448 * 2^n, and fl() is monotone.
 *   code     of the y / s that is meant: err / s, and |y / s| 4e for a reciprocal, a
 *            product by it and the rounding of the scale; beyond half a step of e4m3. By a
 *            power of two it is exact: of a y that was rounded ties must go to even, so
 * that `want` is drawn a thousandth of the way to there. fast_math_factor multiplies a
 * bound after the fact. Where only the larger error reaches a power of two, the step that
 * it makes counts, divided by the factor.
 *
 * Figures. The worst share of the bound that right kernels took, over 2000 seeds of 3x128
 * in groups of 32, every dtype and fill, no alarm among them: 0.27 where y stays as it is,
 * 0.25 by ue8m0, with an exponential 2 ulp off; all of it where y is rounded, since a step
 * of y is right or it is not. (`make controls`.)
 *
 * A float between 2^n and its lower neighbour is half a step of fp32 away, which is free;
 * as a scale it must not pass for 2^n. So `want` of a power is a quarter of a step high. */
#include "ops/silu_mul_quant.h"

#include <math.h>

#ifdef __clang__ /* what it does not vectorise is slower, not wrong */
#pragma clang diagnostic ignored "-Wpass-failed"
#endif

static const double eps = 0x1p-24; /* one rounding in fp32, relative */
static const double top = 448;     /* of e4m3 */

/* Exponents by their bytes: those that right kernels have, and those of fast-math builds.
 */
struct exponents {
    int own, low, high, far_low, far_high;
};

/* ---- scales --------------------------------------------------------------------------
 */

/* The byte of the least power of two that is amax / 448 or more. */
static int exponent_of(const struct kb_smq *q, double amax) {
    int exponent;
    double fraction = frexp(fmax(amax, q->eps) / top, &exponent);
    exponent += fraction > 0.5 ? 127 : 126;
    return exponent < 1 ? 1 : exponent > 254 ? 254 : exponent;
}

static struct exponents exponents_of(const struct kb_smq *q, const struct kb_smq_group *g) {
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

static void quotient_answer(const struct kb_smq *q, const struct kb_smq_group *g,
                            double *want, double *bound) {
    double low = fmax(g->low, q->eps) / top, high = fmax(g->high, q->eps) / top;
    *want = fmax(g->amax, q->eps) / top;
    *bound = fmax(high - *want, *want - low) + 3 * eps * *want;
}

static void scale_answer(const struct kb_smq *q, const struct kb_smq_group *g,
                         const void *codes, struct kb_smq_place place, double *want,
                         double *bound) {
    bool bytes = q->scale_layout == KB_SMQ_PACKED;
    *bound = g->kind == KB_SMQ_UNSURE ? INFINITY : 0;
    if (g->kind == KB_SMQ_NAN)
        *want = bytes ? 255 : (double)NAN;
    else if (g->kind != KB_SMQ_FINITE)
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
static double scale_for(const struct kb_smq *q, const struct kb_smq_group *g,
                        double stored) {
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

static double round_to_code(double v) {
    return kb_decode(KB_E4M3, kb_encode(KB_E4M3, v));
}

/* An error of a whole step of y may reach codes whose own steps are larger. */
static double reach_of(double code, double err) {
    double low = round_to_code(code - err), high = round_to_code(code + err);
    return fmax(err, 1.01 * (fmax(high - code, code - low) - kb_ulp(KB_E4M3, code) / 2));
}

/* Of a y that was rounded: what its error reaches; by an exact scale, ties that have one
 * neighbour. */
static void sharpen(const double *err, bool ties, int64_t n, double *want, double *bound) {
    unsigned char codes[KB_SMQ_GROUP_MAX];
    double rounded[KB_SMQ_GROUP_MAX];
    for (int64_t i = 0; i < n; i++)
        if (err[i] > 0)
            bound[i] = reach_of(want[i], bound[i]);
    if (!ties)
        return;
    kb_encode_range(KB_E4M3, want, n, codes, 0);
    kb_decode_range(KB_E4M3, codes, 0, n, rounded);
    for (int64_t i = 0; i < n; i++) /* -0 plus nothing would be +0 */
        if (bound[i] == 0 && rounded[i] != want[i])
            want[i] += (rounded[i] - want[i]) * 0x1p-10;
}

/* `n` codes of y by a finite scale. */
static void codes_by(const struct kb_smq *q, double scale, const double *y,
                     const double *err, int64_t n, double *want, double *bound) {
    double inverse = 1 / scale, relative = q->ue8m0 ? 0 : 4 * eps;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        double code = y[i] * inverse;
        double less = code < top ? code : top;
        bound[i] = err[i] * inverse + fabs(code) * relative;
        want[i] = less > -top ? less : -top;
    }
    if (q->round != KB_SMQ_ROUND_NONE)
        sharpen(err, q->ue8m0, n, want, bound);
}

/* `n` codes of a group that is not finite. */
static void odd_codes(const struct kb_smq *q, enum kb_smq_kind kind, const double *y,
                      int64_t n, double *want, double *bound) {
    for (int64_t i = 0; i < n; i++) {
        bool number = kind == KB_SMQ_INFINITE && (q->ue8m0 || isfinite(y[i]));
        want[i] = number ? (isinf(y[i]) ? copysign(top, y[i]) : 0) : (double)NAN;
        bound[i] = kind == KB_SMQ_UNSURE ? (double)INFINITY : 0;
    }
}

/* Elements [from, from + n) of a group. */
static void code_answers(const struct kb_smq *q, const struct kb_smq_group *g,
                         double stored, int64_t from, int64_t n, double *want,
                         double *bound) {
    if (g->kind == KB_SMQ_FINITE)
        codes_by(q, scale_for(q, g, stored), g->y + from, g->err + from, n, want, bound);
    else if (g->kind == KB_SMQ_INFINITE && q->ue8m0)
        for (int64_t i = from; i < from + n; i++) {
            odd_codes(q, g->kind, g->y + i, 1, want + i - from, bound + i - from);
            if (isfinite(g->y[i]))
                codes_by(q, power_of(254), g->y + i, g->err + i, 1, want + i - from,
                         bound + i - from);
        }
    else
        odd_codes(q, g->kind, g->y + from, n, want, bound);
}

/* ---- both outputs ----------------------------------------------------------------------
 */

static void keep(int64_t n, double *want, double *bound) {
    for (int64_t i = 0; i < n; i++) {
        want[i] = NAN;
        bound[i] = KB_KEEP;
    }
}

static void codes_at(const struct kb_smq *q, const void *const *in, const void *prepared,
                     int64_t first, int64_t count, double *want, double *bound) {
    struct kb_smq_group g;
    for (int64_t done = 0, n; done < count; done += n, want += n, bound += n) {
        int64_t token = (first + done) / q->hidden, col = (first + done) % q->hidden;
        int64_t from = col % q->group, left = q->group - from;
        struct kb_smq_place place = {token / q->rows, token % q->rows, col / q->group};
        n = left < count - done ? left : count - done;
        if (kb_smq_is_masked(q, in, place)) {
            keep(n, want, bound);
            continue;
        }
        kb_smq_group_at(q, in[KB_SMQ_INPUT], prepared, token, place.group, &g);
        code_answers(q, &g, stored_scale(q, in[KB_SMQ_SCALES], place), from, n, want,
                     bound);
    }
}

static void scales_at(const struct kb_smq *q, const void *const *in, const void *prepared,
                      int64_t first, int64_t count, double *want, double *bound) {
    struct kb_smq_group g;
    for (int64_t i = 0; i < count; i++) {
        struct kb_smq_place place = kb_smq_place_of(q, first + i);
        want[i] = bound[i] = 0;
        if (kb_smq_is_masked(q, in, place))
            keep(1, want + i, bound + i);
        else if (place.row < q->rows && place.group < q->groups) {
            kb_smq_group_at(q, in[KB_SMQ_INPUT], prepared,
                            place.expert * q->rows + place.row, place.group, &g);
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
