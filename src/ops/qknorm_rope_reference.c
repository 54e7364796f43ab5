/* qknorm_rope_reference.c - normed and rotated heads in double, and how far a right kernel
 * may be from them. The formula is in qknorm_rope.c.
 *
 * Bound. `want` is not rounded, and half an ulp of the dtype is free. What is left is what
 * a kernel in fp32 may be off by, with e = 2^-24, the relative error of one rounding:
 *   r      the sum of n = head_dim squares in any order is off by n e at most, which the
 *          root halves; 2 ulp of rsqrt, the mean, eps and its sum: n/2 + 6, times e.
 *          Squares below fp32's smallest normal may be flushed: n 2^-126 beside the sum.
 *   y      two products more.
 *   round  where R(y) has a midpoint within that error it may go to either side: three
 *          times the step to the neighbour, else nothing. fast_math_factor multiplies the
 *          bound after the fact: where only the larger error reaches a midpoint, the step
 *          divided by the factor counts. round=scaled has this twice.
 *   cos    2 ulp, 2^-23 of 1; with table=dtype the step of R, as above.
 *   angle  t (10 + l + 4 f) e in radians: 4 ulp of a power for the frequency, its
 *          product with the position, both rounded; l = -ln frequency for the rounded
 *          exponent; with YaRN 1 - ramp cancels, which the factor f makes up for;
 *          never more than 2, the width of a circle. With angle=exact only what is
 *          lost once t is within a turn: 8 e times at most pi.
 *   pair   (|y_a| + |y_b|) times that of cos and sin and 3e for the products and the
 *          sum, plus sqrt(y_a^2 + y_b^2) times the angle's, all times scale; the last
 *          product.
 * Of right kernels the worst takes 0.54 of it where angles are in fp32, 0.13 where they are
 * exact (tools/controls/qknorm_rope.c).
 *
 * Squares in bf16 (low_precision) count where they move r by a quarter of an ulp of the
 * dtype and more, which shows in most elements of a head.
 *
 * A head with a NaN is NaN. With an infinity r is 0: finite elements become 0, infinite
 * ones NaN. Where the squares overflow in fp32 but not in double, or are lost below it
 * without an eps, right kernels differ even in kind: not judged. */
#include "ops/qknorm_rope.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double eps = 0x1p-24;
static const double steps = 0x1p-148; /* two subnormal steps of fp32 */

/* Of a head: normed elements, and how far a right kernel's may be from them. */
struct normed {
    double y[KB_QKR_MAX_HEAD], err[KB_QKR_MAX_HEAD];
    bool any; /* any value is right */
};
/* Of a token: cos and sin of its pairs, and how far a right kernel's may be from them:
 * by a rounding of theirs, and by the angle's. */
struct turned {
    int64_t token; /* -1: none yet */
    double c[KB_QKR_MAX_PAIRS], s[KB_QKR_MAX_PAIRS];
    double c_err[KB_QKR_MAX_PAIRS], s_err[KB_QKR_MAX_PAIRS], angle[KB_QKR_MAX_PAIRS];
};
struct frequencies {
    double of[KB_QKR_MAX_PAIRS];
};

void *kb_qkr_prepare(const struct kb_problem *p, const void *const *in) {
    (void)in;
    struct kb_qkr q = kb_qkr_of(p->c);
    struct frequencies *f = malloc(sizeof *f);
    for (int k = 0; f && k < q.rotary_dim / 2; k++)
        f->of[k] = kb_qkr_frequency(&q, k);
    return f;
}

static double rounding_err(enum kb_dtype dtype, double v, double err) {
    return 3 * kb_rounding_step(dtype, v, err, KB_QKR_FAST_MATH);
}

/* ---- the norm --------------------------------------------------------------------------
 */

static void weigh(const struct kb_qkr *q, double x, double w, double r, double relative,
                  double *y, double *err) {
    double scaled = x * r, off = fabs(scaled) * relative;
    if (q->round == KB_QKR_ROUND_SCALED) {
        off = rounding_err(q->dtype, scaled, off);
        scaled = kb_round(q->dtype, scaled);
    }
    *y = scaled * w;
    *err = off * fabs(w) + fabs(*y) * 2 * eps + steps;
    if (q->round != KB_QKR_ROUND_ONCE) {
        *err = rounding_err(q->dtype, *y, *err);
        *y = kb_round(q->dtype, *y);
    }
}

/* 1 / sqrt(mean + eps), the squares summed up in bf16, each sum rounded: where that is off
 * by so much that it shows in most elements, else as it is. */
static double low_root(const struct kb_qkr *q, const double *x, double r) {
    double sum = 0;
    for (int i = 0; i < q->head_dim; i++)
        sum = kb_round(KB_BF16, sum + x[i] * x[i]);
    double low = 1 / sqrt(sum / q->head_dim + q->eps);
    return fabs(low / r - 1) >= kb_ulp(q->dtype, 1) / 4 ? low : r;
}

static void norm(const struct kb_qkr *q, const double *x, const double *w, bool low,
                 struct normed *out) {
    int n = q->head_dim;
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i] * x[i];
    double mean = sum / n + q->eps, lost = n * 0x1p-126;
    double relative = 0.5 * lost / (n * mean) + (n * 0.5 + 6) * eps;
    double r = 1 / sqrt(mean);
    if (low && isfinite(sum))
        r = low_root(q, x, r);
    out->any =
        isfinite(sum) ? sum > 0.99 * FLT_MAX || (sum > 0 && !(relative < 0.125)) : false;
    for (int i = 0; i < n; i++)
        if (isfinite(sum))
            weigh(q, x[i], w[i], r, relative, &out->y[i], &out->err[i]);
        else /* r is 0 or NaN */
            out->y[i] = x[i] * (isnan(sum) ? NAN : 0) * w[i], out->err[i] = 0;
}

/* ---- the rotation ----------------------------------------------------------------------
 */

static double angle_err(const struct kb_qkr *q, int k, double t) {
    if (q->angle == KB_ANGLE_EXACT)
        return fmin(t, M_PI) * 8 * eps;
    double yarn = q->factor == 1 ? 0 : 4 * fmax(q->factor, 1);
    double exponent = 2 * log(q->base) * k / q->rotary_dim;
    return fmin(2, t * (10 + exponent + yarn) * eps);
}

static void turn(const struct kb_qkr *q, const struct frequencies *f, int64_t token,
                 double position, struct turned *out) {
    if (out->token == token)
        return;
    out->token = token;
    for (int k = 0; k < q->rotary_dim / 2; k++) {
        double t = position * (f ? f->of[k] : kb_qkr_frequency(q, k));
        out->c[k] = cos(t);
        out->s[k] = sin(t);
        out->angle[k] = angle_err(q, k, t);
        out->c_err[k] = out->s_err[k] = 2 * eps;
        if (q->table == KB_TABLE_FP32)
            continue;
        double off = 2 * eps + out->angle[k];
        out->c_err[k] = rounding_err(q->dtype, out->c[k], off);
        out->s_err[k] = rounding_err(q->dtype, out->s[k], off);
        out->c[k] = kb_round(q->dtype, out->c[k]);
        out->s[k] = kb_round(q->dtype, out->s[k]);
        out->angle[k] = 0;
    }
}

/* Element i of a head: y_i cos t -+ y_j sin t. */
static void rotate(const struct kb_qkr *q, const struct normed *head,
                   const struct turned *turned, int i, double *want, double *bound) {
    int k;
    bool first;
    int j = kb_qkr_partner(q, i, &k, &first);
    const double *y = head->y;
    double c = turned->c[k], s = first ? -turned->s[k] : turned->s[k];
    double err = fabs(c) * head->err[i] + fabs(s) * head->err[j] +
                 fabs(y[i]) * (turned->c_err[k] + 3 * eps) +
                 fabs(y[j]) * (turned->s_err[k] + 3 * eps) +
                 hypot(y[i], y[j]) * turned->angle[k];
    *want = (y[i] * c + y[j] * s) * q->scale;
    *bound = err * q->scale + fabs(*want) * 2 * eps + steps;
}

/* ---- a range of a token's row ----------------------------------------------------------
 */

struct given {
    struct kb_qkr q;
    const void *const *in;
    const struct frequencies *frequencies;
    struct turned turned;
    bool low; /* squares are summed up in bf16 */
};

/* Elements [from, to) of one head. */
static void head_range(struct given *g, int64_t token, int64_t head, int from, int to,
                       double *want, double *bound) {
    const struct kb_qkr *q = &g->q;
    double x[KB_QKR_MAX_HEAD], w[KB_QKR_MAX_HEAD];
    struct normed normed;
    int weight = head < q->heads ? KB_QKR_Q_WEIGHT : KB_QKR_K_WEIGHT;
    kb_decode_range(q->dtype, g->in[KB_QKR_QKV], token * q->row + head * q->head_dim,
                    q->head_dim, x);
    kb_decode_range(q->dtype, g->in[weight], 0, q->head_dim, w);
    norm(q, x, w, g->low, &normed);
    turn(q, g->frequencies, token, ((const int32_t *)g->in[KB_QKR_POSITIONS])[token],
         &g->turned);
    for (int i = from; i < to; i++, want++, bound++) {
        if (i < q->rotary_dim) {
            rotate(q, &normed, &g->turned, i, want, bound);
        } else {
            *want = normed.y[i];
            *bound = normed.err[i];
        }
        if (normed.any)
            *bound = INFINITY;
        else if (!isfinite(*want))
            *bound = 0;
    }
}

/* From `first` on, and of what stays, v and what lies behind it. */
static void range(struct given *g, int64_t first, int64_t count, double *want,
                  double *bound) {
    const struct kb_qkr *q = &g->q;
    int64_t turning = (q->heads + q->kv_heads) * q->head_dim, n;
    g->turned.token = -1;
    for (int64_t at = first; at < first + count; at += n, want += n, bound += n) {
        int64_t token = at / q->row, col = at % q->row, head = col / q->head_dim;
        int from = (int)(col % q->head_dim);
        n = col < turning ? q->head_dim - from : q->row - col;
        n = n < first + count - at ? n : first + count - at;
        if (col < turning) {
            head_range(g, token, head, from, from + (int)n, want, bound);
            continue;
        }
        for (int64_t i = 0; i < n; i++) {
            want[i] = NAN;
            bound[i] = KB_KEEP;
        }
    }
}

void kb_qkr_reference(const struct kb_problem *p, const void *const *in,
                      const void *prepared, int t, int64_t first, int64_t count,
                      double *want, double *bound) {
    (void)t; /* there is one output */
    struct given g = {.q = kb_qkr_of(p->c), .in = in, .frequencies = prepared};
    range(&g, first, count, want, bound);
}

bool kb_qkr_low_precision(const struct kb_problem *p, const void *const *in,
                          const void *prepared, int t, int64_t first, int64_t count,
                          double *got) {
    enum { PART = 256 };
    (void)t;
    double unused[PART];
    struct given g = {.q = kb_qkr_of(p->c), .in = in, .frequencies = prepared, .low = true};
    for (int64_t at = 0, n; at < count; at += n) {
        n = count - at < PART ? count - at : PART;
        range(&g, first + at, n, got + at, unused);
    }
    return true;
}

/* ---- what an element is made of --------------------------------------------------------
 */

/* The same four of every element, also of those that are not rotated or stay: a weight of 1
 * and itself for its partner, then. */
int kb_qkr_sources(const struct kb_problem *p, const void *const *in, int t, int64_t i,
                   struct kb_source *out) {
    (void)t;
    struct kb_qkr q = kb_qkr_of(p->c);
    int64_t token = i / q.row, col = i % q.row, head = col / q.head_dim;
    bool stays = head >= q.heads + q.kv_heads, first;
    int at = (int)(col % q.head_dim), pair;
    int other = stays ? at : kb_qkr_partner(&q, at, &pair, &first);
    const void *qkv = in[KB_QKR_QKV],
               *weight = in[head < q.heads ? KB_QKR_Q_WEIGHT : KB_QKR_K_WEIGHT];
    out[0] =
        (struct kb_source){"qkv", q.dtype, kb_decode(q.dtype, kb_bits_at(q.dtype, qkv, i))};
    out[1] =
        (struct kb_source){"the other of its pair", q.dtype,
                           kb_decode(q.dtype, kb_bits_at(q.dtype, qkv, i - at + other))};
    out[2] =
        (struct kb_source){"its weight", q.dtype,
                           stays ? 1 : kb_decode(q.dtype, kb_bits_at(q.dtype, weight, at))};
    out[3] = (struct kb_source){"the position", KB_I32,
                                ((const int32_t *)in[KB_QKR_POSITIONS])[token]};
    return 4;
}
