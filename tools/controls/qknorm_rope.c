/* qknorm_rope.c - right kernels of qknorm_rope: other orders of the sum of squares, the
 * weight before or after, reciprocal roots that are 2 ulp off, angles in fp32 by a power,
 * by exp2 of a logarithm and by recurrence, or in double. */
#include "controls/controls.h"

#include <math.h>
#include <string.h>

enum { QKV, Q_WEIGHT, K_WEIGHT, POSITIONS };
enum { MOST_DIM = 256, MOST_PAIRS = MOST_DIM / 2 };
enum { FORWARD, BACKWARD, PAIRS, LANES, WIDE };
enum { BY_POW, BY_EXP2, BY_STEPS, IN_DOUBLE };
enum { ONCE, NORM, SCALED };

struct way {
    const char *name;
    int order, angle;
    bool weight_first; /* x * (r * w) */
    bool quotient;     /* 1 / sqrt, else 2 ulp off */
    bool scale_last;   /* attention_factor times the sum, else times cos and sin */
};

static const struct way ways[] = {
    {"powf, forward", FORWARD, BY_POW, false, true, true},
    {"exp2f, backward", BACKWARD, BY_EXP2, true, true, false},
    {"steps, by lanes", LANES, BY_STEPS, true, false, true},
    {"powf, in pairs", PAIRS, BY_POW, false, false, false},
    {"angle in double, by lanes", LANES, IN_DOUBLE, false, false, true},
    {"angle in double, forward", FORWARD, IN_DOUBLE, true, true, false},
    {"double", WIDE, IN_DOUBLE, false, true, true},
};

/* ---- numbers of the case, as a kernel is given them --------------------------------- */

struct scene {
    enum kb_dtype dtype;
    int64_t heads, turning, row;
    int dim, rotary, neox, round;
    bool table;
    float eps, base, factor, low, high, scale;
    double ratio, inverse, yarn_low, slope;
};

static struct scene scene_of(const struct kb_problem *p) {
    return (struct scene){
        .dtype = p->c->dtype,
        .heads = (int64_t)kb_control_name(p, "heads"),
        .turning = (int64_t)kb_control_name(p, "turning"),
        .row = (int64_t)kb_control_name(p, "row"),
        .dim = (int)kb_control_name(p, "head_dim"),
        .rotary = (int)kb_control_name(p, "rotary_dim"),
        .neox = kb_control_param(p, "style") == 0,
        .round = (int)kb_control_param(p, "round"),
        .table = kb_control_param(p, "table") != 0,
        .eps = (float)kb_control_param(p, "eps"),
        .base = (float)kb_control_param(p, "base"),
        .factor = (float)kb_control_param(p, "factor"),
        .low = (float)kb_control_param(p, "low"),
        .high = (float)kb_control_param(p, "high"),
        .scale = (float)kb_control_name(p, "scale"),
        .ratio = kb_control_name(p, "ratio"),
        .inverse = kb_control_name(p, "yarn_inverse"),
        .yarn_low = kb_control_name(p, "yarn_low"),
        .slope = kb_control_name(p, "yarn_slope"),
    };
}

static float rounded(enum kb_dtype dtype, float v) {
    return (float)kb_decode(dtype, kb_encode(dtype, (double)v));
}

/* ---- the norm ------------------------------------------------------------------------ */

static float squares(int order, const float *x, int n) {
    float sums[32] = {0}, sum = 0;
    double wide = 0;

    for (int i = 0; order == FORWARD && i < n; i++)
        sum += x[i] * x[i];
    for (int i = n - 1; order == BACKWARD && i >= 0; i--)
        sum += x[i] * x[i];
    for (int i = 0; order == WIDE && i < n; i++)
        wide += (double)x[i] * (double)x[i];
    for (int i = 0; (order == PAIRS || order == LANES) && i < n; i++)
        sums[order == PAIRS ? i * 32 / n : i % 32] += x[i] * x[i];
    for (int step = 16; step > 0; step /= 2)
        for (int i = 0; i < step; i++)
            sums[i] += sums[i + step];
    return order == WIDE ? (float)wide : order == PAIRS || order == LANES ? sums[0] : sum;
}

/* Two ulp off, by turns up and down. */
static float root_off(float x) {
    float r = (float)(1 / sqrt((double)x));
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    for (int i = 0; i < 2 && isfinite(r) && r > 0; i++)
        r = nextafterf(r, bits & 1 ? INFINITY : 0);
    return r;
}

static void norm(const struct way *way, const struct scene *s, const float *w, float *x) {
    float mean = squares(way->order, x, s->dim) / (float)s->dim + s->eps;
    float r = way->quotient ? 1 / sqrtf(mean) : root_off(mean);

    for (int i = 0; i < s->dim; i++) {
        float y = x[i] * r;
        if (s->round == SCALED)
            y = rounded(s->dtype, y) * w[i];
        else
            y = way->weight_first && s->round == ONCE ? x[i] * (r * w[i]) : y * w[i];
        x[i] = s->round == ONCE ? y : rounded(s->dtype, y);
    }
}

/* ---- angles -------------------------------------------------------------------------- */

/* The peers' YaRN. */
static float blended(const struct scene *s, int k, float frequency) {
    if (s->factor == 1)
        return frequency;
    float high = fabsf(s->low - s->high) <= 1e-6f ? s->high + 0.001f : s->high;
    float ramp = fminf(fmaxf(((float)k - s->low) / (high - s->low), 0), 1);
    return frequency / s->factor * ramp + frequency * (1 - ramp);
}

static double wide_frequency(const struct scene *s, int k) {
    double ramp = fmin(fmax((k - s->yarn_low) * s->slope, 0), 1);

    return pow(s->ratio, k) * (1 - ramp + ramp * s->inverse);
}

static float frequency(const struct way *way, const struct scene *s, int k) {
    float exponent = -2 * (float)k / (float)s->rotary, f;

    if (way->angle == BY_POW) {
        f = powf(s->base, exponent);
    } else if (way->angle == BY_EXP2) {
        f = exp2f(exponent * log2f(s->base));
    } else { /* a power for every fourth, products between */
        f = powf(s->base, -2 * (float)(k - k % 4) / (float)s->rotary);
        for (int i = 0; i < k % 4; i++)
            f *= powf(s->base, -2 / (float)s->rotary);
    }
    return blended(s, k, f);
}

static void angle(const struct way *way, const struct scene *s, int32_t position, int k,
                  float *c, float *sine) {
    if (way->angle == IN_DOUBLE) {
        double t = position * wide_frequency(s, k);
        *c = (float)cos(t);
        *sine = (float)sin(t);
    } else {
        float t = (float)position * frequency(way, s, k);
        *c = cosf(t);
        *sine = sinf(t);
    }
    if (s->table) {
        *c = rounded(s->dtype, *c);
        *sine = rounded(s->dtype, *sine);
    }
}

/* ---- the kernel ---------------------------------------------------------------------- */

static void rotate(const struct way *way, const struct scene *s, int32_t position,
                   float *y) {
    for (int k = 0; k < s->rotary / 2; k++) {
        float c, sine, before = 1, after = way->scale_last ? s->scale : 1;
        float *a = &y[s->neox ? k : 2 * k],
              *b = &y[s->neox ? k + s->rotary / 2 : 2 * k + 1];
        angle(way, s, position, k, &c, &sine);
        before = way->scale_last ? 1 : s->scale;
        float turned = (*a * (c * before) - *b * (sine * before)) * after;
        *b = (*b * (c * before) + *a * (sine * before)) * after;
        *a = turned;
    }
}

static bool run(const struct kb_control *control, const struct kb_problem *p,
                const void *const *in, void *const *out) {
    struct scene s = scene_of(p);
    int64_t tokens = p->tensors[POSITIONS].elements;
    const struct way *way = ways;

    while (!kb_streq(way->name, control->name))
        way++;
    if (kb_control_param(p, "angle") != 0 && way->angle != IN_DOUBLE)
        return false; /* nothing is allowed for an angle in fp32 */
    for (int64_t i = 0; i < tokens * s.turning; i++) {
        int64_t token = i / s.turning, head = i % s.turning,
                at = token * s.row + head * s.dim;
        const void *weight = in[head < s.heads ? Q_WEIGHT : K_WEIGHT];
        float y[MOST_DIM], w[MOST_DIM];
        for (int d = 0; d < s.dim; d++) {
            y[d] = (float)kb_decode(s.dtype, kb_bits_at(s.dtype, in[QKV], at + d));
            w[d] = (float)kb_decode(s.dtype, kb_bits_at(s.dtype, weight, d));
        }
        norm(way, &s, w, y);
        rotate(way, &s, ((const int32_t *)in[POSITIONS])[token], y);
        for (int d = 0; d < s.dim; d++)
            kb_bits_put(s.dtype, out[QKV], at + d, kb_encode(s.dtype, (double)y[d]));
    }
    return true;
}

#define WAY(words)                                                                         \
    { .name = words, .run = run }

static const struct kb_control controls[] = {
    WAY("powf, forward"),
    WAY("exp2f, backward"),
    WAY("steps, by lanes"),
    WAY("powf, in pairs"),
    WAY("angle in double, by lanes"),
    WAY("angle in double, forward"),
    WAY("double"),
};

static const struct kb_control_case cases[] = {
    {"qknorm_rope", "2x1x1x64", "positions=random"},
    {"qknorm_rope", "1x1x1x128", "style=interleaved,positions=random,position=131072"},
    {"qknorm_rope", "1x1x1x64", "round=norm,positions=random"},
    {"qknorm_rope", "1x1x1x64", "round=scaled,table=dtype,positions=random,position=4096"},
    {"qknorm_rope", "1x1x1x64",
     "rotary_dim=32,factor=4,low=3,high=12,attention_factor=0.9,positions=random"},
    {"qknorm_rope", "1x1x1x64",
     "angle=exact,positions=random,position=1048576,weights=wide"},
    {"qknorm_rope", "2x1x1x64", "in_pitch=201,base=10000,weights=wide,eps=1e-5"},
};

const struct kb_controls KB_CONTROLS(qknorm_rope) = {
    .controls = controls,
    .n_controls = KB_COUNT(controls),
    .cases = cases,
    .n_cases = KB_COUNT(cases),
};
