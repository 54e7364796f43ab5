/* kb.cuh - what kernels share: conversions, vectors, fast exact-enough maths, launch order.
 *
 * All inline PTX of kernels/ is in this file, each word with a body for the host backend
 * (KB_HOST), where the same source runs on CPU fibers. No standard library: NVRTC reads it.
 */
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#define KB_DEVICE __device__ __forceinline__

/* What works on the caller's registers alone, by reference. On the host, where accesses are
 * held against their alignment, these need not be: their loops become vector instructions. */
#ifdef KB_HOST
#define KB_REGISTERS __attribute__((no_sanitize("alignment"))) KB_DEVICE
#else
#define KB_REGISTERS KB_DEVICE
#endif

/* ---- conversions ------------------------------------------------------------------------
 * To float exactly, from float to nearest even; NaN stays NaN, fp16 overflows to infinity.
 */

KB_DEVICE float to_f32(float x) {
    return x;
}
KB_DEVICE float to_f32(__half x) {
    return __half2float(x);
}
KB_DEVICE float to_f32(__nv_bfloat16 x) {
    return __bfloat162float(x);
}
#ifdef __CUDA_FP8_H__ /* included ahead by who needs it: it takes a compiler some time */
KB_DEVICE float to_f32(__nv_fp8_e4m3 x) {
    return (float)x;
}
#endif

template <class T> KB_DEVICE T from_f32(float x);
template <> KB_DEVICE float from_f32<float>(float x) {
    return x;
}
template <> KB_DEVICE __half from_f32<__half>(float x) {
    return __float2half_rn(x);
}
template <> KB_DEVICE __nv_bfloat16 from_f32<__nv_bfloat16>(float x) {
    return __float2bfloat16_rn(x);
}

/* To e4m3: beyond 448 to 448, infinities too; NaN to 7f. In integers, for what has no
 * instruction for it (before sm_89, and the host). */
KB_DEVICE unsigned kb_e4m3_code(float x) {
    unsigned bits = __float_as_uint(x), sign = bits >> 24 & 0x80, size = bits & 0x7fffffff;
    if (size > 0x7f800000)
        return 0x7f;
    size = size < 0x43e00000 ? size : 0x43e00000;
    if (size < 0x3c800000) // below 2^-6: added to 2^14, whose steps are those of e4m3
        return sign | (__float_as_uint(__uint_as_float(size) + 0x1p14f) - 0x46800000);
    return sign | (((size + 0x7ffff + (size >> 20 & 1)) >> 20) - (127 - 7) * 8);
}
/* Four of them in a word, the first in its lowest byte. */
KB_DEVICE unsigned kb_e4m3x4(float a, float b, float c, float d) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
    unsigned short low, high;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(low) : "f"(b), "f"(a));
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(high) : "f"(d), "f"(c));
    return low | (unsigned)high << 16;
#else
    return kb_e4m3_code(a) | kb_e4m3_code(b) << 8 | kb_e4m3_code(c) << 16 |
           kb_e4m3_code(d) << 24;
#endif
}

/* ---- vectors ----------------------------------------------------------------------------
 * kBytes at an address that is a multiple of kBytes, moved by one load or store (32 bytes:
 * by one from sm_100 on, by two before). Registers hold words: 16-bit elements are taken
 * out of them in pairs, which is one instruction an element instead of two. */

template <int kBytes> struct alignas(kBytes) kb_vec { unsigned word[kBytes / 4]; };
template <> struct alignas(2) kb_vec<2> { unsigned short word[1]; };

/* An array that starts at a multiple of kBytes, as one of vectors. */
template <int kBytes, class T> KB_DEVICE const kb_vec<kBytes> *kb_vecs(const T *base) {
    return reinterpret_cast<const kb_vec<kBytes> *>(base);
}
template <int kBytes, class T> KB_DEVICE kb_vec<kBytes> *kb_vecs(T *base) {
    return reinterpret_cast<kb_vec<kBytes> *>(base);
}

/* The address of base[index], in global memory, worked out where it is written: what stands
 * before kb_wait_inputs() is done before it, which the compiler does not do by itself. */
template <class V> KB_DEVICE V *kb_at(V *base, unsigned index) {
    V *at;
#ifdef KB_HOST
    at = base + index;
#else
    asm volatile("mad.wide.u32 %0, %1, %2, %3;"
                 : "=l"(at)
                 : "r"(index), "n"(sizeof(V)), "l"(base));
    __builtin_assume(__isGlobal(at));
#endif
    return at;
}

/* A word of two 16-bit elements, the first in its lower half. */
template <class T> struct kb_pair;
template <> struct kb_pair<__nv_bfloat16> {
    static KB_REGISTERS void unpack(unsigned word, float &first, float &second) {
        first = __uint_as_float(word << 16);
        second = __uint_as_float(word & 0xffff0000u);
    }
    static KB_REGISTERS unsigned pack(float first, float second) {
        __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
        return *reinterpret_cast<unsigned *>(&pair);
    }
};
template <> struct kb_pair<__half> {
    static KB_REGISTERS void unpack(unsigned word, float &first, float &second) {
        float2 pair = __half22float2(*reinterpret_cast<__half2 *>(&word));
        first = pair.x;
        second = pair.y;
    }
    static KB_REGISTERS unsigned pack(float first, float second) {
        __half2 pair = __floats2half2_rn(first, second);
        return *reinterpret_cast<unsigned *>(&pair);
    }
};

/* The elements of a vector as floats, and back. */
template <class T, int kBytes, int kN>
KB_REGISTERS void kb_unpack(const kb_vec<kBytes> &v, float (&out)[kN]) {
    static_assert(kN * sizeof(T) == kBytes, "the array has one float for each element");
    if constexpr (sizeof(T) == 4) {
#pragma unroll
        for (int i = 0; i < kN; i++)
            out[i] = __uint_as_float(v.word[i]);
    } else if constexpr (kN == 1) {
        out[0] = to_f32(*reinterpret_cast<const T *>(&v));
    } else {
#pragma unroll
        for (int i = 0; i < kN; i += 2)
            kb_pair<T>::unpack(v.word[i / 2], out[i], out[i + 1]);
    }
}
template <class T, int kBytes, int kN>
KB_REGISTERS kb_vec<kBytes> kb_pack(const float (&in)[kN]) {
    static_assert(kN * sizeof(T) == kBytes, "the array has one float for each element");
    kb_vec<kBytes> v;
    if constexpr (sizeof(T) == 4) {
#pragma unroll
        for (int i = 0; i < kN; i++)
            v.word[i] = __float_as_uint(in[i]);
    } else if constexpr (kN == 1) {
        *reinterpret_cast<T *>(&v) = from_f32<T>(in[0]);
    } else {
#pragma unroll
        for (int i = 0; i < kN; i += 2)
            v.word[i / 2] = kb_pair<T>::pack(in[i], in[i + 1]);
    }
    return v;
}

/* ---- maths ------------------------------------------------------------------------------
 * One instruction each, the same one in every build. */

/* 2^x within 2 ulp. A subnormal result is 0. */
KB_DEVICE float kb_ex2(float x) {
    float y;
#ifdef KB_HOST
    y = __exp2f(x);
    y = y < 0x1p-126f ? 0.0f : y;
#else
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
#endif
    return y;
}
/* 1 / x within 1 ulp. A subnormal result is 0: |x| beyond 2^126. */
KB_DEVICE float kb_rcp(float x) {
    float y;
#ifdef KB_HOST
    y = 1.0f / x;
    y = fabsf(y) < 0x1p-126f ? copysignf(0.0f, y) : y;
#else
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
#endif
    return y;
}
/* a * b - c rounded once, then into [0, 1]; NaN becomes 0. */
KB_DEVICE float kb_fms_sat(float a, float b, float c) {
    float y;
#ifdef KB_HOST
    y = __saturatef(fmaf(a, b, -c));
#else
    asm("{ .reg .f32 n; neg.f32 n, %3; fma.rn.sat.f32 %0, %1, %2, n; }"
        : "=f"(y)
        : "f"(a), "f"(b), "f"(c));
#endif
    return y;
}

/* ---- bytes ------------------------------------------------------------------------------
 */

/* Bytes of y:x, 0 to 7, by the four nibbles of the selector, the lowest byte first. The top
 * bit of a nibble takes the sign of its byte, eight times. */
template <unsigned kSelector> KB_DEVICE unsigned kb_prmt(unsigned x, unsigned y) {
    unsigned out;
#ifdef KB_HOST
    unsigned long long bytes = (unsigned long long)y << 32 | x;
    out = 0;
    for (int i = 0; i < 4; i++) {
        unsigned nibble = kSelector >> 4 * i;
        unsigned byte = bytes >> 8 * (nibble & 7) & 255;
        out |= (nibble & 8 ? (byte & 128 ? 255 : 0) : byte) << 8 * i;
    }
#else
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(out) : "r"(x), "r"(y), "n"(kSelector));
#endif
    return out;
}

/* The larger and the smaller one; NaN if either is. */
KB_DEVICE float kb_max_nan(float a, float b) {
    float y;
#ifdef KB_HOST
    y = a != a || b != b ? a + b : fmaxf(a, b);
#else
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
#endif
    return y;
}
KB_DEVICE float kb_min_nan(float a, float b) {
    float y;
#ifdef KB_HOST
    y = a != a || b != b ? a + b : fminf(a, b);
#else
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
#endif
    return y;
}

/* a * b, subnormal numbers as they are: in a fast-math build, too. */
KB_DEVICE float kb_mul(float a, float b) {
    float y;
#ifdef KB_HOST
    y = a * b;
#else
    asm("mul.rn.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
#endif
    return y;
}

template <class T> KB_DEVICE constexpr bool kb_is_half() {
    return false;
}
template <> KB_DEVICE constexpr bool kb_is_half<__half>() {
    return true;
}

/* ---- matrices ---------------------------------------------------------------------------
 * One warp, all of it. c += a b, 16 x 8 of floats from 16 x k by k x 8, k being 32 bytes: 16
 * elements of bf16 or fp16, 32 of e4m3 (sm_89). Fragments in words of four bytes of depth;
 * with g = lane / 4, t = lane % 4: a has (row g, word t), (g + 8, t), (g, t + 4), (g + 8, t +
 * 4), b has column g, words t and t + 4, c has (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t +
 * 1). */
template <class T>
KB_DEVICE void kb_mma(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#ifdef KB_HOST
    kb_host_mma<T>(c, a, b);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define KB_MMA(shape, type)                                                                \
    asm("mma.sync.aligned." shape ".row.col.f32." type "." type ".f32 "                    \
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                  \
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                                   \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
    if constexpr (sizeof(T) == 2) {
        if constexpr (kb_is_half<T>())
            KB_MMA("m16n8k16", "f16");
        else
            KB_MMA("m16n8k16", "bf16");
    } else {
#if __CUDA_ARCH__ >= 890
        KB_MMA("m16n8k32", "e4m3");
#else
        __trap(); // a contract asks for sm_89
#endif
    }
#undef KB_MMA
#endif
}

/* Four 8 x 8 matrices of 16-bit units from shared memory: lane i has the address of row i % 8
 * of matrix i / 8, 16 bytes. out[i] is of matrix i: row g, units 2t and 2t + 1; transposed,
 * column g of rows 2t and 2t + 1. */
template <bool kTransposed>
KB_DEVICE void kb_ldmatrix(const void *row, unsigned (&out)[4]) {
#ifdef KB_HOST
    kb_host_ldmatrix<kTransposed>(*static_cast<const uint4 *>(row), out);
#else
    unsigned at = (unsigned)__cvta_generic_to_shared(row);
    if constexpr (kTransposed)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                     : "r"(at)
                     : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                     : "r"(at)
                     : "memory");
#endif
}

/* ---- copies that go on by themselves ----------------------------------------------------
 * 16 bytes from global to shared memory, or 16 zeros where nothing is there (`from` must
 * still be an address that may be read). Copies up to a commit are a group; after
 * kb_copy_wait<n> all but the last n groups of this thread have arrived. */
KB_DEVICE void kb_copy_16(void *to, const void *from, bool there) {
#ifdef KB_HOST
    kb_host_copy_async(to, from, 16, there ? 16 : 0);
#else
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                     (unsigned)__cvta_generic_to_shared(to)),
                 "l"(from), "r"(there ? 16 : 0)
                 : "memory");
#endif
}
KB_DEVICE void kb_copy_commit() {
#ifdef KB_HOST
    kb_host_copy_commit();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int kLeft> KB_DEVICE void kb_copy_wait() {
#ifdef KB_HOST
    kb_host_copy_wait(kLeft);
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
#endif
}

/* ---- launch order -----------------------------------------------------------------------
 * Programmatic dependent launch (sm_90), for a contract with "pdl". Without it these are
 * nothing; on the host the wait is where inputs arrive that are held back. */

/* All that earlier kernels wrote is visible after it. Nothing that they write is read
 * before it, nothing that they may still read is written before it; and no pointer to such
 * memory is const __restrict__, which would allow the compiler to read it earlier. */
KB_DEVICE void kb_wait_inputs() {
#if defined(KB_HOST)
    kb_host_wait_inputs();
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
/* The next kernel may take the places that become free. A hint: it orders no memory. */
KB_DEVICE void kb_let_next_start() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
#endif
}

/* ---- shared memory ----------------------------------------------------------------------
 * The launch's dynamic shared memory as `T *name`, 128-byte aligned (what bulk copies
 * want). */
#define KB_DYNAMIC_SMEM(T, name)                                                           \
    extern __shared__ __align__(128) unsigned char kb_dynamic_smem[];                      \
    T *name = reinterpret_cast<T *>(kb_dynamic_smem)
