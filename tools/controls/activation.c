/* activation.c - right kernels of silu, gelu and gelu_tanh.
 *
 * Forms that published kernels have, in float with the C library's functions, which are
 * within an ulp or so; those "2 ulp off" stand for what CUDA allows of its own. Another
 * order of the product act(x) * u is no control: x * u first overflows where the formula
 * does not. */
#include "controls/controls.h"

#include <math.h>
#include <string.h>

enum { INPUT, OUT };

/* ---- act(x) ------------------------------------------------------------------------ */

/* Two ulp off, up for every other argument and down for the rest; never past `limit`, the
 * end of the function's range. */
static float off(float v, float x, float limit) {
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    for (int i = 0; i < 2 && fabsf(v) < limit; i++)
        v = nextafterf(v, bits & 1 ? limit : -limit);
    return v;
}

static float silu_quotient(float x) {
    return x / (1.0f + expf(-x));
}

static float silu_sigmoid(float x) {
    return x * (1.0f / (1.0f + expf(-x)));
}

/* As ex2.approx does it: the argument scaled, and rounded, before the power of two. */
static float silu_exp2(float x) {
    return x / (1.0f + exp2f(-x * 1.44269504f));
}

/* x * sigmoid(x) by the tangent, which does not overflow. */
static float silu_2ulp(float x) {
    return x / (1.0f + off(expf(-x), x, INFINITY));
}

static float silu_double(float x) {
    return (float)((double)x / (1.0 + exp(-(double)x)));
}

static float gelu_erf(float x) {
    return x * (0.5f * (1.0f + erff(x * 0.70710678f)));
}

static float gelu_half_first(float x) {
    float half = 0.5f * x;

    return half * erff(x * 0.70710678f) + half;
}

static float gelu_halves(float x) {
    return 0.5f * x * (1.0f + erff(x / 1.41421356f));
}

static float gelu_erfc(float x) {
    return 0.5f * x * erfcf(-x * 0.70710678f);
}

static float gelu_2ulp(float x) {
    return x * (0.5f * (1.0f + off(erff(x * 0.70710678f), x, 1)));
}

static float gelu_double(float x) {
    return (float)(0.5 * (double)x * erfc(-(double)x * M_SQRT1_2));
}

static float cubic(float x) {
    return 0.7978845608f * (x + 0.044715f * x * x * x);
}

/* The same by Horner's rule. */
static float cubic_factored(float x) {
    return x * (0.7978845608f + 0.0356774081f * x * x);
}

static float tanh_plain(float x) {
    return x * (0.5f * (1.0f + tanhf(cubic(x))));
}

static float tanh_half_first(float x) {
    float half = 0.5f * x;

    return half * tanhf(cubic_factored(x)) + half;
}

static float tanh_exp(float x) {
    return x / (1.0f + expf(-2.0f * cubic(x)));
}

static float tanh_exp2(float x) {
    return x / (1.0f + exp2f(x * (-2.30220818f - 0.10294324f * (x * x))));
}

static float tanh_2ulp(float x) {
    return x * (0.5f * (1.0f + off(tanhf(cubic(x)), x, 1)));
}

static float tanh_double(float x) {
    double y = (double)x, z = sqrt(2 / M_PI) * (y + 0.044715 * y * y * y);

    return (float)(y / (1.0 + exp(-2 * z)));
}

/* ---- act(x) * u -------------------------------------------------------------------- */

static float rounded(enum kb_dtype dtype, float v) {
    return (float)kb_decode(dtype, kb_encode(dtype, (double)v));
}

static float value_of(const struct kb_control *control, enum kb_dtype dtype, bool round,
                      float x, float u) {
    float a = control->act(x);

    return (round ? rounded(dtype, a) : a) * u;
}

static bool run(const struct kb_control *control, const struct kb_problem *p,
                const void *const *in, void *const *out) {
    enum kb_dtype dtype = p->c->dtype;
    const struct kb_tensor_spec *spec = &p->tensors[OUT];
    int64_t hidden = spec->shape[spec->rank - 1];
    bool round = kb_control_param(p, "round") != 0;
    float clamp = rounded(dtype, (float)kb_control_param(p, "clamp"));

    for (int64_t i = 0; i < spec->elements; i++) {
        int64_t at = i / hidden * 2 * hidden + i % hidden;
        float x = (float)kb_decode(dtype, kb_bits_at(dtype, in[INPUT], at));
        float u = (float)kb_decode(dtype, kb_bits_at(dtype, in[INPUT], at + hidden));
        if (clamp > 0) {
            x = x > clamp ? clamp : x;
            u = u > clamp ? clamp : u < -clamp ? -clamp : u;
        }
        float v = value_of(control, dtype, round, x, u);
        kb_bits_put(dtype, out[OUT], i, kb_encode(dtype, (double)v));
    }
    return true;
}

#define ACT(of, words, function)                                                           \
    { .op = of, .name = words, .run = run, .act = function }

static const struct kb_control controls[] = {
    ACT("silu", "quotient", silu_quotient),
    ACT("silu", "sigmoid", silu_sigmoid),
    ACT("silu", "exp2", silu_exp2),
    ACT("silu", "exp 2 ulp off", silu_2ulp),
    ACT("silu", "double", silu_double),
    ACT("gelu", "erf", gelu_erf),
    ACT("gelu", "half first", gelu_half_first),
    ACT("gelu", "by sqrt 2", gelu_halves),
    ACT("gelu", "erfc", gelu_erfc),
    ACT("gelu", "erf 2 ulp off", gelu_2ulp),
    ACT("gelu", "double", gelu_double),
    ACT("gelu_tanh", "tanh", tanh_plain),
    ACT("gelu_tanh", "half first, factored", tanh_half_first),
    ACT("gelu_tanh", "exp", tanh_exp),
    ACT("gelu_tanh", "exp2", tanh_exp2),
    ACT("gelu_tanh", "tanh 2 ulp off", tanh_2ulp),
    ACT("gelu_tanh", "double", tanh_double),
};

static const struct kb_control_case cases[] = {
    {"silu", "4x64", ""},
    {"silu", "4x64", "round=act"},
    {"silu", "4x64", "clamp=7"},
    {"gelu", "4x64", ""},
    {"gelu", "4x64", "round=act"},
    {"gelu_tanh", "4x64", ""},
    {"gelu_tanh", "4x64", "round=act"},
};

const struct kb_controls KB_CONTROLS(activation) = {
    .controls = controls,
    .n_controls = KB_COUNT(controls),
    .cases = cases,
    .n_cases = KB_COUNT(cases),
};
