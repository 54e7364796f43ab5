/* activation.c - right kernels of silu, gelu and gelu_tanh.
 *
 * Another order of the product act(x) * u is no control: x * u first overflows where the
 * formula does not. */
#include "controls/controls.h"
#include "ops/activation_forms.h"

enum { INPUT, OUT };

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
