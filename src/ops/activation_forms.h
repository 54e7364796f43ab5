/* activation_forms.h - silu, gelu and gelu_tanh of one float in the forms that right
 * kernels have, for tests and tools/controls: with the C library's functions, which are
 * within an ulp or so; those "2 ulp off" stand for what CUDA allows of its own. */
#ifndef KB_OPS_ACTIVATION_FORMS_H
#define KB_OPS_ACTIVATION_FORMS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Two ulp off, up for every other argument and down for the rest; never past `limit`, the
 * end of the function's range. */
static inline float off(float v, float x, float limit) {
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    for (int i = 0; i < 2 && fabsf(v) < limit; i++)
        v = nextafterf(v, bits & 1 ? limit : -limit);
    return v;
}

static inline float silu_quotient(float x) {
    return x / (1.0f + expf(-x));
}

static inline float silu_sigmoid(float x) {
    return x * (1.0f / (1.0f + expf(-x)));
}

/* As ex2.approx does it: the argument scaled, and rounded, before the power of two. */
static inline float silu_exp2(float x) {
    return x / (1.0f + exp2f(-x * 1.44269504f));
}

static inline float silu_2ulp(float x) {
    return x / (1.0f + off(expf(-x), x, INFINITY));
}

static inline float silu_double(float x) {
    return (float)((double)x / (1.0 + exp(-(double)x)));
}

static inline float gelu_erf(float x) {
    return x * (0.5f * (1.0f + erff(x * 0.70710678f)));
}

static inline float gelu_half_first(float x) {
    float half = 0.5f * x;

    return half * erff(x * 0.70710678f) + half;
}

static inline float gelu_halves(float x) {
    return 0.5f * x * (1.0f + erff(x / 1.41421356f));
}

static inline float gelu_erfc(float x) {
    return 0.5f * x * erfcf(-x * 0.70710678f);
}

static inline float gelu_2ulp(float x) {
    return x * (0.5f * (1.0f + off(erff(x * 0.70710678f), x, 1)));
}

static inline float gelu_double(float x) {
    return (float)(0.5 * (double)x * erfc(-(double)x * M_SQRT1_2));
}

static inline float cubic(float x) {
    return 0.7978845608f * (x + 0.044715f * x * x * x);
}

/* The same by Horner's rule. */
static inline float cubic_factored(float x) {
    return x * (0.7978845608f + 0.0356774081f * x * x);
}

static inline float tanh_plain(float x) {
    return x * (0.5f * (1.0f + tanhf(cubic(x))));
}

static inline float tanh_half_first(float x) {
    float half = 0.5f * x;

    return half * tanhf(cubic_factored(x)) + half;
}

static inline float tanh_exp(float x) {
    return x / (1.0f + expf(-2.0f * cubic(x)));
}

static inline float tanh_exp2(float x) {
    return x / (1.0f + exp2f(x * (-2.30220818f - 0.10294324f * (x * x))));
}

static inline float tanh_2ulp(float x) {
    return x * (0.5f * (1.0f + off(tanhf(cubic(x)), x, 1)));
}

static inline float tanh_double(float x) {
    double y = (double)x, z = sqrt(2 / M_PI) * (y + 0.044715 * y * y * y);

    return (float)(y / (1.0 + exp(-2 * z)));
}

#endif
