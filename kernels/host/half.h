/* half.h - what cuda_fp16.h and cuda_bf16.h declare for device code only.
 *
 * Functions of one value go through float, as the hardware's do; a fused multiply-add is
 * rounded once. */
#ifndef KBH_HALF_H
#define KBH_HALF_H

/* The toolkit's round by a branch that goes either way, and put a pair together in memory.
 * These give the same bits. */
static inline unsigned kbh_bf16_bits(float x) {
    unsigned bits = kbh_bits<unsigned>(x), rounded = bits + 0x7fff + (bits >> 16 & 1);
    return (bits & 0x7fffffff) > 0x7f800000 ? 0x7fff : rounded >> 16;
}
static inline __nv_bfloat16 kbh_float2bfloat16_rn(float x) {
    return kbh_bits<__nv_bfloat16>((unsigned short)kbh_bf16_bits(x));
}
static inline __nv_bfloat162 kbh_floats2bfloat162_rn(float x, float y) {
    return kbh_bits<__nv_bfloat162>(kbh_bf16_bits(y) << 16 | kbh_bf16_bits(x));
}
#ifdef __F16C__
typedef short kbh_v8hi __attribute__((vector_size(16)));
typedef float kbh_v4sf __attribute__((vector_size(16)));
typedef int kbh_v4si __attribute__((vector_size(16)));

/* The instructions keep a NaN's payload, where hardware and toolkit have one NaN. */
static inline float2 kbh_half22float2(const __half2 &pair) {
    int word;
    memcpy(&word, &pair, sizeof word);
    kbh_v4si words = {word};
    kbh_v4sf out = __builtin_ia32_vcvtph2ps((kbh_v8hi)words);
    if (out[0] != out[0] || out[1] != out[1])
        return __half22float2(pair);
    return make_float2(out[0], out[1]);
}
static inline __half2 kbh_floats2half2_rn(float x, float y) {
    kbh_v4sf in = {x, y};
    if (x != x || y != y)
        return __floats2half2_rn(x, y);
    return kbh_bits<__half2>(((kbh_v4si)__builtin_ia32_vcvtps2ph(in, 0))[0]);
}
static inline float kbh_half2float(__half x) {
    return kbh_half22float2(__half2(x, x)).x;
}
static inline __half kbh_float2half_rn(float x) {
    return kbh_floats2half2_rn(x, x).x;
}
#define __float2half kbh_float2half_rn
#define __float2half_rn kbh_float2half_rn
#define __floats2half2_rn kbh_floats2half2_rn
#define __half2float kbh_half2float
#define __half22float2 kbh_half22float2
#endif
#define __float2bfloat16 kbh_float2bfloat16_rn
#define __float2bfloat16_rn kbh_float2bfloat16_rn
#define __floats2bfloat162_rn kbh_floats2bfloat162_rn

static inline float kbh_f32(__half x) {
    return __half2float(x);
}
static inline float kbh_f32(__nv_bfloat16 x) {
    return __bfloat162float(x);
}

template <class T> static inline T kbh_narrow(float x);
template <> inline __half kbh_narrow<__half>(float x) {
    return __float2half_rn(x);
}
template <> inline __nv_bfloat16 kbh_narrow<__nv_bfloat16>(float x) {
    return __float2bfloat16_rn(x);
}

/* a * b is exact in double. The sum is rounded to odd there, which leaves the rounding to
 * 16 bits the only one that counts. */
static inline double kbh_fma_odd(float a, float b, float c) {
    double product = (double)a * b, sum = product + c;
    double part = sum - product;
    double rest = (product - (sum - part)) + (c - part);
    if (rest == 0 || !isfinite(sum) || kbh_bits<unsigned long long>(sum) & 1)
        return sum;
    return nextafter(sum, rest > 0 ? (double)INFINITY : -(double)INFINITY);
}

static inline __half __hfma(__half a, __half b, __half c) {
    return __double2half(kbh_fma_odd(kbh_f32(a), kbh_f32(b), kbh_f32(c)));
}
static inline __nv_bfloat16 __hfma(__nv_bfloat16 a, __nv_bfloat16 b, __nv_bfloat16 c) {
    return __double2bfloat16(kbh_fma_odd(kbh_f32(a), kbh_f32(b), kbh_f32(c)));
}

#define KBH_HALF_FMA(T, T2)                                                                \
    static inline T __hfma_sat(T a, T b, T c) {                                            \
        T r = __hfma(a, b, c);                                                             \
        return kbh_narrow<T>(__saturatef(kbh_f32(r)));                                     \
    }                                                                                      \
    static inline T __hfma_relu(T a, T b, T c) {                                           \
        T r = __hfma(a, b, c);                                                             \
        return kbh_f32(r) < 0.0f ? kbh_narrow<T>(0.0f) : r;                                \
    }                                                                                      \
    static inline T2 __hfma2(T2 a, T2 b, T2 c) {                                           \
        return T2(__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y));                           \
    }                                                                                      \
    static inline T2 __hfma2_sat(T2 a, T2 b, T2 c) {                                       \
        return T2(__hfma_sat(a.x, b.x, c.x), __hfma_sat(a.y, b.y, c.y));                   \
    }                                                                                      \
    static inline T2 __hfma2_relu(T2 a, T2 b, T2 c) {                                      \
        return T2(__hfma_relu(a.x, b.x, c.x), __hfma_relu(a.y, b.y, c.y));                 \
    }                                                                                      \
    static inline T2 __hcmadd(T2 a, T2 b, T2 c) { /* complex */                            \
        T x = __hfma(a.x, b.x, c.x), y = __hfma(a.x, b.y, c.y);                            \
        return T2(__hfma(__hneg(a.y), b.y, x), __hfma(a.y, b.x, y));                       \
    }
KBH_HALF_FMA(__half, __half2)
KBH_HALF_FMA(__nv_bfloat16, __nv_bfloat162)
#undef KBH_HALF_FMA

#define KBH_HALF_1(T, T2, name, expression)                                                \
    static inline T h##name(T a) {                                                         \
        float x = kbh_f32(a);                                                              \
        return kbh_narrow<T>(expression);                                                  \
    }                                                                                      \
    static inline T2 h2##name(T2 a) {                                                      \
        return T2(h##name(a.x), h##name(a.y));                                             \
    }
#define KBH_HALF(name, expression)                                                         \
    KBH_HALF_1(__half, __half2, name, expression)                                          \
    KBH_HALF_1(__nv_bfloat16, __nv_bfloat162, name, expression)
KBH_HALF(exp, expf(x))
KBH_HALF(exp2, exp2f(x))
KBH_HALF(exp10, exp10f(x))
KBH_HALF(log, logf(x))
KBH_HALF(log2, log2f(x))
KBH_HALF(log10, log10f(x))
KBH_HALF(sqrt, sqrtf(x))
KBH_HALF(rsqrt, rsqrtf(x))
KBH_HALF(rcp, 1.0f / x)
KBH_HALF(sin, sinf(x))
KBH_HALF(cos, cosf(x))
KBH_HALF(tanh, tanhf(x))
KBH_HALF(tanh_approx, tanhf(x))
KBH_HALF(ceil, ceilf(x))
KBH_HALF(floor, floorf(x))
KBH_HALF(trunc, truncf(x))
KBH_HALF(rint, nearbyintf(x))
#undef KBH_HALF
#undef KBH_HALF_1

/* To integers in the three directions that the headers leave out, and bf16 from them. */
#define KBH_HALF_TO(T, from, to, Int, lowest, highest)                                     \
    static inline Int __##from##2##to##_rn(T x) {                                          \
        return kbh_to_int<Int>(kbh_f32(x), KBH_RN, lowest, highest);                       \
    }                                                                                      \
    static inline Int __##from##2##to##_rd(T x) {                                          \
        return kbh_to_int<Int>(kbh_f32(x), KBH_RD, lowest, highest);                       \
    }                                                                                      \
    static inline Int __##from##2##to##_ru(T x) {                                          \
        return kbh_to_int<Int>(kbh_f32(x), KBH_RU, lowest, highest);                       \
    }
#define KBH_HALF_TO_ALL(T, from)                                                           \
    KBH_HALF_TO(T, from, int, int, INT32_MIN, INT32_MAX)                                   \
    KBH_HALF_TO(T, from, uint, unsigned, 0u, UINT32_MAX)                                   \
    KBH_HALF_TO(T, from, short, short, INT16_MIN, INT16_MAX)                               \
    KBH_HALF_TO(T, from, ushort, unsigned short, (unsigned short)0, UINT16_MAX)            \
    KBH_HALF_TO(T, from, ll, long long, INT64_MIN, INT64_MAX)                              \
    KBH_HALF_TO(T, from, ull, unsigned long long, 0ull, UINT64_MAX)
KBH_HALF_TO_ALL(__half, half)
KBH_HALF_TO_ALL(__nv_bfloat16, bfloat16)
#undef KBH_HALF_TO
#undef KBH_HALF_TO_ALL

#endif
