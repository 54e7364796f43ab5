/* merge_state.c - right kernels of merge_state: exponents of 2 or natural ones, weights
 * over their sum or the sum of products, the sides the other way round. */
#include "controls/controls.h"

#include <math.h>
#include <string.h>

enum { V_A, S_A, V_B, S_B, V_OUT, S_OUT };

/* Weights of two sides and the logarithm, of logarithms that are numbers. */
struct weights {
    float a, b, s;
};

static struct weights by_exp2(float s_a, float s_b, bool base2) {
    float m = fmaxf(s_a, s_b), scale = base2 ? 1 : 1.44269502f;
    float a = exp2f((s_a - m) * scale), b = exp2f((s_b - m) * scale), sum = a + b;

    return (struct weights){a * (1 / sum), b * (1 / sum),
                            m + log2f(sum) * (base2 ? 1 : 0.693147182f)};
}

static struct weights by_exp(float s_a, float s_b, bool base2) {
    float m = fmaxf(s_a, s_b), scale = base2 ? 0.693147182f : 1;
    float a = expf((s_a - m) * scale), b = expf((s_b - m) * scale), sum = b + a;

    return (struct weights){a / sum, b / sum, m + logf(sum) * (base2 ? 1.44269502f : 1)};
}

/* One exponent: the larger side weighs 1 before the quotient. */
static struct weights by_one(float s_a, float s_b, bool base2) {
    float d = (fminf(s_a, s_b) - fmaxf(s_a, s_b)) * (base2 ? 1 : 1.44269502f);
    float less = exp2f(d), share = 1 / (1 + less);
    float log = log1pf(less) * (base2 ? 1.44269502f : 1);
    bool first = s_a >= s_b;

    return (struct weights){first ? share : less * share, first ? less * share : share,
                            fmaxf(s_a, s_b) + log};
}

/* Two ulp off, where that is a normal number. */
static float off(float v, bool up) {
    for (int i = 0; i < 2 && v > 0x1p-120f; i++)
        v = nextafterf(v, up ? INFINITY : 0);
    return v;
}

static struct weights by_exp_off(float s_a, float s_b, bool base2) {
    float m = fmaxf(s_a, s_b), scale = base2 ? 1 : 1.44269502f;
    float a = off(exp2f((s_a - m) * scale), true), b = off(exp2f((s_b - m) * scale), false);
    float sum = a + b;

    return (struct weights){a / sum, b / sum, m + log2f(sum) * (base2 ? 1 : 0.693147182f)};
}

static struct weights by_double(float s_a, float s_b, bool base2) {
    double m = fmax((double)s_a, (double)s_b), unit = base2 ? M_LN2 : 1;
    double a = exp(((double)s_a - m) * unit), b = exp(((double)s_b - m) * unit);

    return (struct weights){(float)(a / (a + b)), (float)(b / (a + b)),
                            (float)(m + log(a + b) / unit)};
}

static const struct {
    const char *name;
    struct weights (*weigh)(float s_a, float s_b, bool base2);
    bool b_first;
} ways[] = {
    {"exp2", by_exp2, false},
    {"exp2, b first", by_exp2, true},
    {"exp", by_exp, false},
    {"one exponent", by_one, false},
    {"exp 2 ulp off", by_exp_off, false},
    {"double", by_double, true},
};

static float at(const struct kb_problem *p, const void *const *in, int t, int64_t i) {
    enum kb_dtype dtype = p->tensors[t].dtype;

    return (float)kb_decode(dtype, kb_bits_at(dtype, in[t], i));
}

static float merged(const struct weights *w, float a, float b, bool b_first) {
    if (w->b == 0)
        return w->a == 0 ? 0 : w->a * a;
    if (w->a == 0)
        return w->b * b;
    float first = b_first ? w->b * b : w->a * a, second = b_first ? w->a * a : w->b * b;
    return first + second;
}

static bool run(const struct kb_control *control, const struct kb_problem *p,
                const void *const *in, void *const *out) {
    int64_t rows = p->tensors[S_A].elements, width = p->tensors[V_A].elements / rows;
    bool inplace = kb_control_param(p, "inplace") != 0;
    bool base2 = kb_control_param(p, "lse_base") != 0;
    enum kb_dtype dtype = p->c->dtype;
    int k = 0;

    while (!kb_streq(ways[k].name, control->name))
        k++;
    for (int64_t row = 0; row < rows; row++) {
        float s_a = at(p, in, S_A, row), s_b = at(p, in, S_B, row);
        struct weights w = s_b == -INFINITY
                               ? (struct weights){s_a == -INFINITY ? 0.0f : 1.0f, 0, s_a}
                           : s_a == -INFINITY ? (struct weights){0, 1, s_b}
                                              : ways[k].weigh(s_a, s_b, base2);
        ((float *)out[inplace ? S_A : S_OUT])[row] = w.s;
        for (int64_t i = row * width; i < (row + 1) * width; i++) {
            float v = merged(&w, at(p, in, V_A, i), at(p, in, V_B, i), ways[k].b_first);
            kb_bits_put(dtype, out[inplace ? V_A : V_OUT], i, kb_encode(dtype, (double)v));
        }
    }
    return true;
}

#define WAY(words)                                                                         \
    { .name = words, .run = run }

static const struct kb_control controls[] = {
    WAY("exp2"),         WAY("exp2, b first"), WAY("exp"),
    WAY("one exponent"), WAY("exp 2 ulp off"), WAY("double"),
};

static const struct kb_control_case cases[] = {
    {"merge_state", "4x2x8", ""},
    {"merge_state", "4x2x8", "lse_base=2,inplace=yes"},
};

const struct kb_controls KB_CONTROLS(merge_state) = {
    .controls = controls,
    .n_controls = KB_COUNT(controls),
    .cases = cases,
    .n_cases = KB_COUNT(cases),
};
