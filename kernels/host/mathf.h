/* mathf.h - float functions that CUDA has and the C library has not.
 *
 * The C library already declares some of these names; `extern "C" inline` agrees with its
 * declarations. The fast intrinsics are built as the hardware builds them, from base 2, so
 * that the error of a rounded argument shows here too. */
#ifndef KBH_MATHF_H
#define KBH_MATHF_H

extern "C" {

inline float rsqrtf(float x) noexcept {
    return (float)(1.0 / sqrt((double)x));
}
inline double rsqrt(double x) noexcept {
    return 1.0 / sqrt(x);
}
inline float rcbrtf(float x) noexcept {
    return (float)(1.0 / cbrt((double)x));
}
inline float rhypotf(float x, float y) noexcept {
    return (float)(1.0 / hypot((double)x, (double)y));
}
inline float normcdff(float x) noexcept {
    return (float)(0.5 * erfc((double)x * -0.70710678118654752440));
}

/* ---- fast intrinsics ------------------------------------------------------------------- */

/* 2^x within 0.53 ulp, the same bits on every machine: a minimax polynomial on [-1/2, 1/2],
 * 2^-29 off at most, in double. Written out and without a branch, so that it is inlined and
 * several are computed at once: the C library's costs more than the rest of an activation. */
inline float __exp2f(float x) noexcept {
    const double round = 0x1.8p52; /* added, it leaves an integer in the lowest bits */
    double t = x < -200.0f ? -200.0 : (double)x;
    t = t > 200.0 ? 200.0 : t;
    double whole = t + round, r = t - (whole - round);
    double p = 0x1.41d333a1fbff9p-13;
    p = p * r + 0x1.5f456a867c735p-10;
    p = p * r + 0x1.3b2dbbc0aa7a3p-7;
    p = p * r + 0x1.c6aed4b95c606p-5;
    p = p * r + 0x1.ebfbdadcb136fp-3;
    p = p * r + 0x1.62e430c7e91afp-1;
    p = p * r + 0x1.00000002614ffp+0;
    return (float)(p * kbh_bits<double>((kbh_bits<unsigned long long>(whole) + 1023) << 52));
}
inline float __expf(float x) noexcept {
    return __exp2f(x * 1.4426950408889634f);
}
inline float __exp10f(float x) noexcept {
    return __exp2f(x * 3.3219280948873623f);
}
inline float __log2f(float x) noexcept {
    return log2f(x);
}
inline float __logf(float x) noexcept {
    return log2f(x) * 0.69314718055994531f;
}
inline float __log10f(float x) noexcept {
    return log2f(x) * 0.30102999566398120f;
}
inline float __powf(float x, float y) noexcept {
    return __exp2f(y * log2f(x));
}
inline float __sinf(float x) noexcept {
    return sinf(x);
}
inline float __cosf(float x) noexcept {
    return cosf(x);
}
inline float __tanf(float x) noexcept {
    return __sinf(x) / __cosf(x);
}
inline void __sincosf(float x, float *sine, float *cosine) noexcept {
    *sine = __sinf(x);
    *cosine = __cosf(x);
}

/* tanh.approx.f32 on the hardware: up to 2^-11 of relative error there, none here. */
inline float __tanhf(float x) noexcept {
    return tanhf(x);
}

/* sin and cos of pi * x: the argument is reduced in double, where x mod 2 is exact. */
inline float sinpif(float x) noexcept {
    return (float)sin(3.14159265358979323846 * fmod((double)x, 2.0));
}
inline float cospif(float x) noexcept {
    return (float)cos(3.14159265358979323846 * fmod((double)x, 2.0));
}

} /* extern "C" */

static inline void sincospif(float x, float *sine, float *cosine) {
    *sine = sinpif(x);
    *cosine = cospif(x);
}

/* Documented: 0 for a divisor from 2^126 on, NaN if the dividend is infinite there. */
static inline float __fdividef(float x, float y) {
    float size = fabsf(y);
    if (size > 0x1p126f && size < INFINITY)
        return isinf(x) ? NAN : 0.0f * x * y;
    return x / y;
}
static inline float fdividef(float x, float y) {
    return x / y;
}
static inline float __saturatef(float x) {
    x = x > 0.0f ? x : 0.0f; /* NaN becomes 0 */
    return x < 1.0f ? x : 1.0f;
}
static inline float __frsqrt_rn(float x) {
    return rsqrtf(x);
}

/* ---- arithmetic in a given direction ----------------------------------------------------
 * Nearest is what the compiler does (no contraction is allowed here). */

static inline float kbh_sum(double a, double b, enum kbh_rounding rounding) {
    double sum = a + b, part = sum - a;
    double rest = (a - (sum - part)) + (b - part);
    return kbh_to_float(sum, isfinite(sum) ? rest : 0, rounding);
}

/* A quotient or root of floats that is no float lies 2^-48 and more from the nearest one,
 * so that the double beside it is on the same side. */
static inline float kbh_quotient(float a, float b, enum kbh_rounding rounding) {
    return kbh_to_float((double)a / b, 0, rounding);
}

static inline float kbh_root(float x, enum kbh_rounding rounding) {
    return kbh_to_float(sqrt((double)x), 0, rounding);
}

#define KBH_ARITHMETIC(suffix, rounding)                                                   \
    static inline float __fadd_##suffix(float a, float b) {                                \
        return rounding == KBH_RN ? a + b : kbh_sum(a, b, rounding);                       \
    }                                                                                      \
    static inline float __fsub_##suffix(float a, float b) {                                \
        return rounding == KBH_RN ? a - b : kbh_sum(a, -b, rounding);                      \
    }                                                                                      \
    static inline float __fmul_##suffix(float a, float b) {                                \
        return rounding == KBH_RN ? a * b : kbh_to_float((double)a * b, 0, rounding);      \
    }                                                                                      \
    static inline float __fmaf_##suffix(float a, float b, float c) {                       \
        return rounding == KBH_RN ? fmaf(a, b, c) : kbh_sum((double)a * b, c, rounding);   \
    }                                                                                      \
    static inline float __fdiv_##suffix(float a, float b) {                                \
        return rounding == KBH_RN ? a / b : kbh_quotient(a, b, rounding);                  \
    }                                                                                      \
    static inline float __frcp_##suffix(float x) {                                         \
        return __fdiv_##suffix(1.0f, x);                                                   \
    }                                                                                      \
    static inline float __fsqrt_##suffix(float x) {                                        \
        return rounding == KBH_RN ? sqrtf(x) : kbh_root(x, rounding);                      \
    }
KBH_ARITHMETIC(rn, KBH_RN)
KBH_ARITHMETIC(rz, KBH_RZ)
KBH_ARITHMETIC(ru, KBH_RU)
KBH_ARITHMETIC(rd, KBH_RD)
#undef KBH_ARITHMETIC

static inline double __dadd_rn(double a, double b) {
    return a + b;
}
static inline double __dsub_rn(double a, double b) {
    return a - b;
}
static inline double __dmul_rn(double a, double b) {
    return a * b;
}
static inline double __ddiv_rn(double a, double b) {
    return a / b;
}
static inline double __drcp_rn(double x) {
    return 1.0 / x;
}
static inline double __dsqrt_rn(double x) {
    return sqrt(x);
}
static inline double __fma_rn(double a, double b, double c) {
    return fma(a, b, c);
}

#endif
