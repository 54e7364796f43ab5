/* silu_mul_quant.c - right kernels of silu_mul_quant: silu as published kernels have it, or
 * with an exponential 2 ulp off; the scale by a quotient or a product by 1 / 448; codes by
 * a quotient, by the scale's reciprocal or by 448 / amax; powers of two by bits or by
 * frexp. */
#include "controls/controls.h"
#include "ops/activation_forms.h"

enum { INPUT, COUNTS, CODES, SCALES };
enum { ROUND_NONE, ROUND_BOTH, ROUND_PRODUCT };
enum { GROUP_MAX = 128 };
enum { ROW, COL, COL_TMA, PACKED };

enum scale { AMAX_BY_448, TIMES_INVERSE };
enum code { BY_SCALE, BY_RECIPROCAL, BY_448_OVER_AMAX };

struct form {
    float (*silu)(float x);
    enum scale scale;
    enum code code;
    bool in_double; /* the scale and the codes; y is fp32 */
};

/* A case, as far as one group is concerned. */
struct setting {
    enum kb_dtype dtype;
    int round;
    bool ue8m0;
    float clamp, eps;
    int group;
};

/* ---- a group ----------------------------------------------------------------------- */

static float rounded(enum kb_dtype dtype, float v) {
    return (float)kb_decode(dtype, kb_encode(dtype, (double)v));
}

static float product_of(const struct setting *s, const struct form *f, float x, float u) {
    if (s->clamp > 0) {
        x = x > s->clamp ? s->clamp : x;
        u = u > s->clamp ? s->clamp : u < -s->clamp ? -s->clamp : u;
    }
    float a = f->silu(x);
    if (s->round == ROUND_BOTH)
        a = rounded(s->dtype, a);
    return s->round == ROUND_NONE ? a * u : rounded(s->dtype, a * u);
}

/* NaN if there is one. */
static float amax_of(const float *y, int n) {
    float most = 0;

    for (int i = 0; i < n; i++) {
        if (isnan(y[i]))
            return NAN;
        most = fabsf(y[i]) > most ? fabsf(y[i]) : most;
    }
    return most;
}

static float power_by_bits(float s) {
    uint32_t bits;

    memcpy(&bits, &s, sizeof bits);
    bits = (bits + 0x7fffff) & 0xff800000;
    memcpy(&s, &bits, sizeof s);
    return s;
}

static float power_by_frexp(float s) {
    int exponent;
    float fraction = frexpf(s, &exponent);

    return ldexpf(1, fraction > 0.5f ? exponent : exponent - 1);
}

static float power_of(const struct form *f, float s) {
    if (isnan(s))
        return s;
    if (!(s <= 0x1p127f)) /* infinity, too */
        return 0x1p127f;
    s = s < 0x1p-126f ? 0x1p-126f : s;
    return f->scale == AMAX_BY_448 ? power_by_frexp(s) : power_by_bits(s);
}

/* Codes of a group; returns its scale. */
static float quantise(const struct setting *s, const struct form *f, const float *y,
                      unsigned char *codes) {
    float amax = amax_of(y, s->group);
    amax = amax < s->eps ? s->eps : amax;
    float scale = f->in_double              ? (float)((double)amax / 448)
                  : f->scale == AMAX_BY_448 ? amax / 448
                                            : amax * (1.0f / 448);
    scale = s->ue8m0 ? power_of(f, scale) : scale;
    for (int i = 0; i < s->group; i++) {
        float v = f->code == BY_SCALE        ? y[i] / scale
                  : f->code == BY_RECIPROCAL ? y[i] * (1 / scale)
                                             : y[i] * (448 / amax);
        double code = f->in_double ? (double)y[i] / (double)scale : (double)v;
        codes[i] = (unsigned char)kb_encode(KB_E4M3, isnan(scale) ? NAN : code);
    }
    return scale;
}

/* ---- places ------------------------------------------------------------------------ */

static unsigned char byte_of(float power) {
    uint32_t bits;

    memcpy(&bits, &power, sizeof bits);
    return isnan(power) ? 255 : (unsigned char)(bits >> 23);
}

/* Of all rows, which four does not divide, and of one expert. */
static void put_scale(int layout, int64_t rows, int64_t groups, int64_t row, int64_t group,
                      float scale, void *out) {
    int64_t pitch = layout == COL ? rows : (rows + 3) / 4 * 4;

    if (layout == PACKED)
        ((unsigned char *)out)[(group / 4 * pitch + row) * 4 + group % 4] = byte_of(scale);
    else
        ((float *)out)[layout == ROW ? row * groups + group : group * pitch + row] = scale;
}

/* ---- controls ---------------------------------------------------------------------- */

static const struct form forms[] = {
    {silu_quotient, AMAX_BY_448, BY_SCALE, false},
    {silu_sigmoid, TIMES_INVERSE, BY_RECIPROCAL, false},
    {silu_exp2, AMAX_BY_448, BY_448_OVER_AMAX, false},
    {silu_exp2, TIMES_INVERSE, BY_SCALE, false},
    {silu_2ulp, AMAX_BY_448, BY_RECIPROCAL, false},
    {silu_double, AMAX_BY_448, BY_SCALE, true},
};

static struct setting setting_of(const struct kb_problem *p) {
    struct setting s = {
        .dtype = p->c->dtype,
        .round = (int)kb_control_param(p, "round"),
        .ue8m0 = kb_control_param(p, "ue8m0") != 0,
        .clamp = rounded(p->c->dtype, (float)kb_control_param(p, "clamp")),
        .eps = (float)kb_control_param(p, "eps"),
        .group = (int)kb_control_param(p, "group"),
    };
    return s;
}

static float number(const struct kb_problem *p, const void *const *in, int64_t i) {
    return (float)kb_decode(p->c->dtype, kb_bits_at(p->c->dtype, in[INPUT], i));
}

static bool run(const struct kb_control *control, const struct kb_problem *p,
                const void *const *in, void *const *out) {
    const struct form *f = &forms[control->form];
    struct setting s = setting_of(p);
    int64_t rows = p->c->shape[0], hidden = p->c->shape[1] / 2, groups = hidden / s.group;
    int64_t stride = p->tensors[INPUT].shape[1];
    bool swapped = kb_control_param(p, "layout") != 0;
    int layout = (int)kb_control_param(p, "scale_layout");
    float y[GROUP_MAX];

    if (f->code == BY_448_OVER_AMAX && s.ue8m0)
        return false;
    memset(out[SCALES], 0,
           (size_t)p->tensors[SCALES].elements * kb_dtype_bytes(p->tensors[SCALES].dtype));
    for (int64_t g = 0; g < rows * groups; g++) {
        int64_t row = g / groups, col = g % groups * s.group, first = row * stride + col;
        for (int i = 0; i < s.group; i++) {
            float half = number(p, in, first + i),
                  other = number(p, in, first + hidden + i);
            y[i] = product_of(&s, f, swapped ? other : half, swapped ? half : other);
        }
        float scale = quantise(&s, f, y, (unsigned char *)out[CODES] + row * hidden + col);
        put_scale(layout, rows, groups, row, g % groups, scale, out[SCALES]);
    }
    return true;
}

#define FORM(i, words)                                                                     \
    { .name = words, .run = run, .form = i }

static const struct kb_control controls[] = {
    FORM(0, "quotients"),      FORM(1, "sigmoid, reciprocals"), FORM(2, "exp2, 448 / amax"),
    FORM(3, "exp2, quotient"), FORM(4, "exp 2 ulp off"),        FORM(5, "double"),
};

static const struct kb_control_case cases[] = {
    {"silu_mul_quant", "3x128", "group=32"},
    {"silu_mul_quant", "3x128", "group=32,ue8m0=yes"},
    {"silu_mul_quant", "3x128", "group=32,round=both,scale_layout=col"},
    {"silu_mul_quant", "3x128", "group=32,round=both,ue8m0=yes,scale_layout=col_tma"},
    {"silu_mul_quant", "3x128", "group=32,round=product,in_pitch=131"},
    {"silu_mul_quant", "3x128",
     "group=32,round=product,ue8m0=yes,scale_layout=packed,clamp=7,layout=up_gate"},
};

const struct kb_controls KB_CONTROLS(silu_mul_quant) = {
    .controls = controls,
    .n_controls = KB_COUNT(controls),
    .cases = cases,
    .n_cases = KB_COUNT(cases),
};
