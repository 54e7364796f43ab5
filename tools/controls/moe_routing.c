/* moe_routing.c - right kernels of moe_routing: the exponential by base e or 2, or 2 ulp
 * off as CUDA allows its own; sums from the first, from the last or in pairs; quotients or
 * a reciprocal; the scale before the division or after it.
 *
 * The selection takes the best that is left, slot by slot, by comparing floats and their
 * signs: another way than the reference's integers. */
#include "controls/controls.h"

#include <math.h>
#include <string.h>

enum { LOGITS, SCALE, WEIGHTS, IDS };
enum { MODE_EAGER = 1 };
enum { TIES_LOW };
enum { NORM_SELECTED, NORM_ALL, NORM_SCALED };
enum { SCALE_AFTER, SCALE_NONE, SCALE_BEFORE };
enum { EXPERTS_MAX = 64, TOPK_MAX = 32 };

enum order { FORWARD, BACKWARD, PAIRS };
enum divide { QUOTIENT, RECIPROCAL, SCALE_FIRST };

struct form {
    float (*exp)(float x);
    enum order order;
    enum divide divide;
    bool in_double;
};

struct row {
    int experts, topk, mode, ties, norm, where; /* where: the scale is a factor */
    enum kb_dtype dtype;
    float score[EXPERTS_MAX], scale[EXPERTS_MAX];
    uint32_t bits[EXPERTS_MAX]; /* of the scores, the sign uppermost */
};

/* ---- arithmetic -------------------------------------------------------------------- */

static float exp_e(float x) {
    return expf(x);
}

/* As ex2.approx does it: the argument scaled, and rounded, before the power of two. */
static float exp_2(float x) {
    return exp2f(x * 1.44269504f);
}

/* Up for every other argument, and down for the rest. */
static float exp_off(float x) {
    float p = expf(x);
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    for (int i = 0; i < 2 && p > 0; i++)
        p = nextafterf(p, bits & 1 ? INFINITY : 0);
    return p;
}

static float sum_of(const float *v, int n, enum order order) {
    float sum = 0;

    if (order == PAIRS && n > 2)
        return sum_of(v, n / 2, order) + sum_of(v + n / 2, n - n / 2, order);
    for (int i = 0; i < n; i++)
        sum += v[order == BACKWARD ? n - 1 - i : i];
    return sum;
}

static float rounded(const struct row *r, float v) {
    return (float)kb_decode(r->dtype, kb_encode(r->dtype, (double)v));
}

/* ---- the selection ----------------------------------------------------------------- */

/* NaN lies beyond the infinities of its sign, those of larger payloads further out; what
 * their bits are is the dtype's to say, since a conversion may change them. */
static bool is_better_nan(const struct row *r, int a, int b) {
    bool negative = r->bits[a] >> 31;

    if (negative != (r->bits[b] >> 31))
        return !negative;
    return negative ? r->bits[a] < r->bits[b] : r->bits[a] > r->bits[b];
}

/* Does expert `a` come before `b`? +0 before -0. */
static bool is_better(const struct row *r, int a, int b) {
    float x = r->score[a], y = r->score[b];

    if (isnan(x) && isnan(y))
        return is_better_nan(r, a, b);
    if (isnan(x) || isnan(y))
        return isnan(x) ? !(r->bits[a] >> 31) : r->bits[b] >> 31;
    if (x == 0 && y == 0)
        return !signbit(x) && signbit(y);
    return x > y;
}

static void select_best(const struct row *r, int32_t *ids) {
    bool taken[EXPERTS_MAX] = {false};

    for (int j = 0; j < r->topk; j++) {
        int best = -1;
        for (int i = 0; i < r->experts; i++) {
            int e = r->ties == TIES_LOW ? i : r->experts - 1 - i; /* of equals the first */
            if (!taken[e] && (best < 0 || is_better(r, e, best)))
                best = e;
        }
        taken[best] = true;
        ids[j] = best;
    }
}

/* ---- weights ----------------------------------------------------------------------- */

static float largest(const struct row *r, const int32_t *ids) {
    float m = -INFINITY;

    for (int j = 0; j < r->topk; j++)
        m = r->score[ids[j]] > m ? r->score[ids[j]] : m;
    return m;
}

static float total_of(const struct row *r, const struct form *f, const float *p, float m) {
    float all[EXPERTS_MAX];

    for (int e = 0; r->norm == NORM_ALL && e < r->experts; e++)
        all[e] = f->exp(r->score[e] - m);
    float d = r->norm == NORM_ALL ? sum_of(all, r->experts, f->order)
                                  : sum_of(p, r->topk, f->order);
    return r->mode == MODE_EAGER || d > 0 ? d : 1;
}

static float weight_of(const struct row *r, const struct form *f, float p, float d,
                       float scale) {
    float share = f->divide == RECIPROCAL ? p * (1 / d) : p / d;

    if (r->mode == MODE_EAGER)
        return rounded(r, rounded(r, share) * rounded(r, scale));
    if (f->divide == SCALE_FIRST && isfinite(scale))
        return p * scale / d;
    return share * scale;
}

static void weigh(const struct row *r, const struct form *f, const int32_t *ids, float *w) {
    float m = largest(r, ids), p[TOPK_MAX];

    for (int j = 0; j < r->topk; j++)
        p[j] = f->exp(r->score[ids[j]] - m);
    float d = total_of(r, f, p, m);
    for (int j = 0; j < r->topk; j++)
        w[j] = weight_of(r, f, p[j], d, r->where == SCALE_AFTER ? r->scale[ids[j]] : 1);
    float sum = r->norm == NORM_SCALED ? sum_of(w, r->topk, f->order) : 1;
    for (int j = 0; r->norm == NORM_SCALED && j < r->topk; j++)
        w[j] = f->divide == RECIPROCAL ? w[j] * (1 / sum) : w[j] / sum;
}

/* All of it in double, and one rounding at the end of what the formula rounds. */
static void weigh_in_double(const struct row *r, const int32_t *ids, float *w) {
    double m = (double)largest(r, ids), d = 0, sum = 0, v[TOPK_MAX];
    bool all = r->norm == NORM_ALL;

    for (int i = 0; i < (all ? r->experts : r->topk); i++)
        d += exp((double)r->score[all ? i : ids[i]] - m);
    d = r->mode == MODE_EAGER || d > 0 ? d : 1;
    for (int j = 0; j < r->topk; j++) {
        double scale = r->where == SCALE_AFTER ? (double)r->scale[ids[j]] : 1;
        double share = exp((double)r->score[ids[j]] - m) / d;
        if (r->mode == MODE_EAGER)
            v[j] = (double)rounded(r, rounded(r, (float)share) * rounded(r, (float)scale));
        else
            v[j] = share * scale;
        sum += v[j];
    }
    for (int j = 0; j < r->topk; j++)
        w[j] = (float)(r->norm == NORM_SCALED ? v[j] / sum : v[j]);
}

/* ---- controls ---------------------------------------------------------------------- */

static const struct form forms[] = {
    {exp_e, FORWARD, QUOTIENT, false},  {exp_2, BACKWARD, RECIPROCAL, false},
    {exp_e, PAIRS, SCALE_FIRST, false}, {exp_off, PAIRS, RECIPROCAL, false},
    {exp_e, FORWARD, QUOTIENT, true},
};

static float number(const struct kb_tensor_spec *spec, const void *data, int64_t i) {
    return (float)kb_decode(spec->dtype, kb_bits_at(spec->dtype, data, i));
}

static void load(const struct kb_problem *p, const void *const *in, int64_t token,
                 struct row *r) {
    const struct kb_tensor_spec *logits = &p->tensors[LOGITS], *scale = &p->tensors[SCALE];
    int64_t first = token * logits->shape[1];

    for (int e = 0; e < r->experts; e++) {
        r->score[e] = number(logits, in[LOGITS], first + e);
        r->scale[e] = scale->absent ? 1 : number(scale, in[SCALE], e);
        r->bits[e] = kb_bits_at(logits->dtype, in[LOGITS], first + e)
                     << (32 - 8 * kb_dtype_bytes(logits->dtype));
        if (r->where == SCALE_BEFORE) {
            r->score[e] *= r->scale[e];
            r->bits[e] = 0; /* each NaN is the same, and positive */
        }
    }
}

static bool run(const struct kb_control *control, const struct kb_problem *p,
                const void *const *in, void *const *out) {
    const struct form *f = &forms[control->form];
    struct row r = {
        .experts = (int)p->c->shape[1],
        .topk = (int)kb_control_param(p, "topk"),
        .mode = (int)kb_control_param(p, "mode"),
        .ties = (int)kb_control_param(p, "ties"),
        .norm = (int)kb_control_param(p, "norm"),
        .where = (int)kb_control_param(p, "scale"),
        .dtype = p->c->dtype,
    };

    for (int64_t token = 0; token < p->c->shape[0]; token++) {
        int32_t *ids = (int32_t *)out[IDS] + token * r.topk;
        float *w = (float *)out[WEIGHTS] + token * r.topk;
        load(p, in, token, &r);
        select_best(&r, ids);
        if (f->in_double)
            weigh_in_double(&r, ids, w);
        else
            weigh(&r, f, ids, w);
    }
    return true;
}

#define FORM(i, words)                                                                     \
    { .name = words, .run = run, .form = i }

static const struct kb_control controls[] = {
    FORM(0, "e, quotient"),   FORM(1, "2, reciprocal"), FORM(2, "scale first, pairs"),
    FORM(3, "exp 2 ulp off"), FORM(4, "double"),
};

static const struct kb_control_case cases[] = {
    {"moe_routing", "4x40", ""},
    {"moe_routing", "4x40", "topk=32,ties=any,scale=none"},
    {"moe_routing", "4x40", "norm=all,scale_dtype=fp32"},
    {"moe_routing", "4x40", "norm=scaled"},
    {"moe_routing", "4x40", "mode=eager"},
    {"moe_routing", "4x40", "mode=eager,norm=all"},
    {"moe_routing", "4x40", "scale=before,ties=high,in_pitch=41"},
};

const struct kb_controls KB_CONTROLS(moe_routing) = {
    .controls = controls,
    .n_controls = KB_COUNT(controls),
    .cases = cases,
    .n_cases = KB_COUNT(cases),
};
