// simt_maths.cuh - kernels of simt.cu: maths, bits, 16-bit types, conversions, matrix instructions.
#pragma once

#include "simt.cuh"

/* ---- maths and bits -------------------------------------------------------------------- */

__device__ bool near(float got, double want) {
    return fabs(got - want) <= 4e-7 * fabs(want);
}

__global__ void maths(int *errors, float one) {
    CHECK(near(rsqrtf(2 * one), 0.70710678118654752) && near(__frsqrt_rn(4), 0.5));
    CHECK(near(__expf(one), 2.718281828459045) && near(exp10f(2 * one), 100));
    CHECK(__exp2f(one) == 2 && __exp2f(-149 * one) == 0x1p-149f && __exp2f(-1e9f) == 0);
    CHECK(__exp2f(128 * one) == INFINITY && __exp2f(INFINITY) == INFINITY);
    CHECK(__exp2f(-INFINITY) == 0 && isnan(__exp2f(NAN)));
    CHECK(near(__logf(2 * one), 0.6931471805599453) && near(__log2f(8 * one), 3));
    CHECK(near(__powf(3 * one, 2), 9) && near(__fdividef(one, 3), 1 / 3.0));
    CHECK(__fdividef(one, 0x1p127f) == 0 && near(tanhf(one), 0.7615941559557649));
    CHECK(near(erff(one), 0.8427007929497149) && near(erfcf(one), 0.15729920705028513));
    CHECK(near(normcdff(one), 0.8413447460685429) && near(__saturatef(one / 4), 0.25));
    CHECK(__saturatef(NAN) == 0 && __saturatef(3) == 1 && __saturatef(-one) == 0);
    float s, c;
    __sincosf(one, &s, &c);
    CHECK(near(s, 0.8414709848078965) && near(c, 0.5403023058681398));
    sincospif(one / 2, &s, &c);
    CHECK(s == 1 && fabsf(c) < 1e-16f);
    float third_rz = __fdiv_rz(one, 3), third_ru = __fdiv_ru(one, 3);
    CHECK(third_rz == 0x1.555554p-2f && third_ru == 0x1.555556p-2f);
    CHECK(__fdiv_rd(-one, 3) == -0x1.555556p-2f && __fdiv_rz(one, -3) == -0x1.555554p-2f);
    CHECK(__fmul_rz(one / 3, 3) == 1 && __fmul_rz(-one / 3, 3) == -1);
    CHECK(__fmul_rz(0x1p127f * one, 2) == 0x1.fffffep+127f && isnan(__fmul_rz(NAN, one)));
    CHECK(__fmul_rz(0x1p-149f * one, 0.75f) == 0 && __fmul_ru(0x1p-149f, 0.1f) == 0x1p-149f);
    CHECK(__fmul_ru(one / 3, 3) == 1 + 0x1p-23f && __frcp_ru(-3 * one) == -0x1.555554p-2f);
    CHECK(__fadd_ru(one, 0x1p-40f) == 1 + 0x1p-23f && __fadd_rz(one, 0x1p-40f) == 1);
    CHECK(__fsub_rd(one, 0x1p-40f) == 1 - 0x1p-24f && __frcp_rn(4 * one) == 0.25f);
    CHECK(__fsqrt_rd(2 * one) == 0x1.6a09e6p+0f && __fsqrt_ru(2 * one) == 0x1.6a09e8p+0f);
    CHECK(__fmaf_rn(one + 0x1p-20f, one - 0x1p-20f, -one) == -0x1p-40f);
    CHECK(max(one, NAN) == 1 && min(3, 4u) == 3 && max(-1, 2) == 2 && min(1ll, -2ll) == -2);

    CHECK(__float2int_rn(2.5f * one) == 2 && __float2int_rz(-2.5f) == -2);
    CHECK(__float2int_ru(2.1f) == 3 && __float2int_rd(-2.1f) == -3);
    CHECK(__float2int_rn(1e20f) == 2147483647 && __float2int_rn(NAN) == 0);
    CHECK(__float2uint_rn(-5) == 0 && __float2ull_rz(1e30f) == ~0ull);
    CHECK(__int2float_rz(16777217) == 16777216 && __int2float_ru(16777217) == 16777218);
    CHECK(__uint2float_rn(4294967295u) == 4294967296.0f);
    CHECK(__double2float_rd(1 + 0x1p-30) == 1 && __double2float_ru(1 + 0x1p-30) > 1);

    CHECK(__popc(0xf0f0u) == 8 && __popcll(~0ull) == 64 && __clz(1) == 31 && __clz(0) == 32);
    CHECK(__clzll(1) == 63 && __ffs(0) == 0 && __ffs(8) == 4 && __ffsll(1ll << 40) == 41);
    CHECK(__brev(1) == 0x80000000u && __brevll(2) == 0x4000000000000000ull);
    CHECK(__byte_perm(0x33221100u, 0x77665544u, 0x7210) == 0x77221100u);
    CHECK(__byte_perm(0x80u, 0, 0x8888) == 0x80808080u);
    CHECK(__funnelshift_l(0x80000000u, 1, 1) == 3 && __funnelshift_r(2, 1, 1) == 0x80000001u);
    CHECK(__funnelshift_lc(5, 6, 40) == 5 && __funnelshift_rc(5, 6, 40) == 6);
    CHECK(__umulhi(~0u, ~0u) == 0xfffffffeu && __mulhi(-1, 1) == -1);
    CHECK(__umul64hi(1ull << 63, 4) == 2 && __mul24(0x01000003, 2) == 6);
    CHECK(__sad(-3, 4, 1) == 8 && __dp4a(0x01020304, 0x01010101, 5) == 15);
    CHECK(__float_as_uint(1.0f) == 0x3f800000u && __int_as_float(0x40000000) == 2);
    CHECK(__hiloint2double(__double2hiint(2.5), __double2loint(2.5)) == 2.5);
    float4 v = make_float4(1, 2, 3, 4);
    uint2 u = make_uint2(5, 6);
    __stcs(&v, make_float4(4, 3, 2, 1));
    CHECK(__ldg(&v).y == 3 && __ldcs(&u).x == 5 && clock64() != 0);
}

template <class T> __device__ void half_maths(int *errors, T three) {
    T one = make<T>(1);
    CHECK((float)__hfma(three, three, one) == 10 && (float)(three * three - one) == 8);
    CHECK((float)hexp(make<T>(0)) == 1 && (float)hsqrt(make<T>(9)) == 3);
    CHECK((float)hrsqrt(make<T>(4)) == 0.5f && (float)hrcp(make<T>(-2)) == -0.5f);
    CHECK((float)hlog2(make<T>(8)) == 3 && (float)htanh(make<T>(30)) == 1);
    CHECK((float)hfloor(T(2.5f)) == 2 && (float)hceil(T(2.5f)) == 3);
    CHECK((float)hrint(T(2.5f)) == 2 && (float)htrunc(T(-2.5f)) == -2);
    CHECK((float)__hfma_sat(three, three, one) == 1 && (float)__hmax(one, three) == 3);
    CHECK(isinf((float)(three / make<T>(0))));
}

__global__ void halves(int *errors) {
    half_maths(errors, make<__half>(3));
    half_maths(errors, make<__nv_bfloat16>(3));
    __half2 h = h2exp2(__half2(make<__half>(1), make<__half>(3)));
    CHECK((float)h.x == 2 && (float)h.y == 8);
    // The sum lies just above the middle of two bf16: only one rounding gets it right.
    __nv_bfloat16 a = __float2bfloat16(1 + 0x1p-7f), tiny = __float2bfloat16(0x1p-90f);
    __nv_bfloat16 b = __float2bfloat16(1 + 0x1p-1f); // a * b = 1.5 + 3 * 2^-8
    CHECK((float)__hfma(a, b, tiny) == 1.5f + 0x1p-6f);
    CHECK((float)__hfma(a, b, __hneg(tiny)) == 1.5f + 0x1p-7f);
    CHECK((float)__nv_fp8_e4m3(500.0f) == 448 && (float)__nv_fp8_e4m3(0.1f) == 0.1015625f);
    CHECK(__half2int_rd(__half(-2.5f)) == -3 && __bfloat162int_rn(a) == 1);
}

/* in: floats by their bits. out: fp16 and bf16 of each, each way that there is, and back. */
__global__ void conversions(const unsigned *in, unsigned *out) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    float x = __uint_as_float(in[i]), other = __uint_as_float(in[i ^ 1]);
    __half half = __float2half_rn(x), again = __float2half(x);
    __nv_bfloat16 bf16 = __float2bfloat16_rn(x), once_more = __float2bfloat16(x);
    __half2 pair = __floats2half2_rn(x, other);
    __nv_bfloat162 bf16_pair = __floats2bfloat162_rn(other, x);
    float2 back = __half22float2(__half2(half, again));
    unsigned short words[6];
    memcpy(&words[0], &half, 2);
    memcpy(&words[1], &bf16, 2);
    memcpy(&words[2], &again, 2);
    memcpy(&words[3], &once_more, 2);
    memcpy(&words[4], &pair.x, 2);
    memcpy(&words[5], &bf16_pair.y, 2);
    for (int k = 0; k < 3; k++)
        out[6 * i + k] = words[2 * k] | (unsigned)words[2 * k + 1] << 16;
    out[6 * i + 3] = __float_as_uint(__half2float(half));
    out[6 * i + 4] = __float_as_uint(back.x);
    out[6 * i + 5] = __float_as_uint(back.y);
}

__global__ void silu_like(const __nv_bfloat16 *in, __nv_bfloat16 *out, int hidden) {
    size_t i = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * 8;
    size_t row = i / hidden, column = i % hidden;
    const __nv_bfloat16 *gate = in + row * 2 * hidden + column, *up = gate + hidden;
    for (int k = 0; k < 8; k++) {
        float x = __bfloat162float(gate[k]);
        out[i + k] = __float2bfloat16(x / (1.0f + __expf(-x)) * __bfloat162float(up[k]));
    }
}

/* ---- matrix instructions --------------------------------------------------------------- */

/* A word of four bytes: elements `first` on of a row (or column) of small whole numbers. */
template <class T> __device__ unsigned small_numbers(int row, int first) {
    T of[4 / sizeof(T)];
    unsigned word;
    for (int i = 0; i < (int)(4 / sizeof(T)); i++)
        of[i] = T((float)((row * 5 + (first + i) * 3) % 9 - 4));
    memcpy(&word, of, sizeof word);
    return word;
}

/* c += a b of 16 x 8 and 32 bytes of depth, twice, and with a NaN in one row of a. */
template <class T> __device__ void products(int *errors, float one) {
    constexpr int kPer = 4 / sizeof(T);
    int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    unsigned a[4], b[2];
    float c[4] = {one, one, one, one};
    for (int i = 0; i < 4; i++)
        a[i] = small_numbers<T>(g + i % 2 * 8, (t + i / 2 * 4) * kPer);
    for (int i = 0; i < 2; i++)
        b[i] = small_numbers<T>(g + 100, (t + i * 4) * kPer);
    kb_host_mma<T>(c, a, b);
    kb_host_mma<T>(c, a, b);
    for (int i = 0; i < 4; i++) {
        int row = g + i / 2 * 8, column = t * 2 + i % 2, sum = 1;
        for (int k = 0; k < 8 * kPer; k++)
            sum += 2 * ((row * 5 + k * 3) % 9 - 4) * (((column + 100) * 5 + k * 3) % 9 - 4);
        CHECK(c[i] == (float)sum);
    }
    if (lane == 13) // row 3
        a[0] = ~0u;
    kb_host_mma<T>(c, a, b);
    for (int i = 0; i < 4; i++)
        CHECK((c[i] != c[i]) == (g == 3 && i < 2));
}

__global__ void __launch_bounds__(64) matrices(int *errors, float one) {
    __shared__ __align__(16) unsigned short rows[2][32][8];
    int t = threadIdx.x, lane = t % 32, g = lane / 4;
    products<__nv_bfloat16>(errors, one);
    products<__half>(errors, one);
    products<__nv_fp8_e4m3>(errors, one);
    for (int i = 0; i < 8; i++)
        rows[t / 32][lane][i] = (unsigned short)(t * 1000 + i);
    __syncthreads();
    unsigned plain[4], turned[4];
    uint4 mine = *(const uint4 *)rows[t / 32][lane];
    kb_host_ldmatrix<false>(mine, plain);
    kb_host_ldmatrix<true>(mine, turned);
    for (int i = 0; i < 4; i++) {
        const unsigned short(*of)[8] = &rows[t / 32][i * 8];
        int two = lane % 4 * 2;
        CHECK(plain[i] == (of[g][two] | (unsigned)of[g][two + 1] << 16));
        CHECK(turned[i] == (of[two][g] | (unsigned)of[two + 1][g] << 16));
    }
}
