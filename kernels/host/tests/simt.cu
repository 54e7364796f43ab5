// simt.cu - what src/exec/host_test.c runs: one kernel for each thing that the shim covers or
// reports. A comment `@name` marks the line that a report must name.
#include "simt.cuh"

// CHECK counts what does not hold into errors[0] and keeps the first line in errors[1].
#define CHECK(condition)                                                                   \
    do {                                                                                   \
        if (!(condition) && atomicAdd(&errors[0], 1) == 0)                                 \
            errors[1] = __LINE__;                                                          \
    } while (0)

/* ---- built-in variables ---------------------------------------------------------------- */

__global__ void __launch_bounds__(1024) indices(int *errors, int *seen) {
    int t = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    int b = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    int n = blockDim.x * blockDim.y * blockDim.z;
    CHECK(threadIdx.x < blockDim.x && threadIdx.y < blockDim.y && threadIdx.z < blockDim.z);
    CHECK(blockIdx.x < gridDim.x && blockIdx.y < gridDim.y && blockIdx.z < gridDim.z);
    CHECK(warpSize == 32);
    atomicAdd(&seen[b * n + t], 1);
}

/* ---- collectives ----------------------------------------------------------------------- */

template <class T> __device__ T make(int i) {
    return (T)(float)i;
}

template <class T> __device__ void shuffles(int *errors, int lane) {
    T mine = make<T>(lane);
    CHECK((float)__shfl_sync(~0u, mine, 5) == 5);
    CHECK((float)__shfl_sync(~0u, mine, lane + 3) == (lane + 3) % 32);
    CHECK((float)__shfl_sync(~0u, mine, 1, 8) == (lane & ~7) + 1);
    CHECK((float)__shfl_up_sync(~0u, mine, 3) == (lane < 3 ? lane : lane - 3));
    CHECK((float)__shfl_up_sync(~0u, mine, 2, 4) == (lane % 4 < 2 ? lane : lane - 2));
    CHECK((float)__shfl_down_sync(~0u, mine, 3) == (lane > 28 ? lane : lane + 3));
    CHECK((float)__shfl_down_sync(~0u, mine, 5, 16) == (lane % 16 > 10 ? lane : lane + 5));
    CHECK((float)__shfl_xor_sync(~0u, mine, 1) == (lane ^ 1));
    CHECK((float)__shfl_xor_sync(~0u, mine, 16) == (lane ^ 16));
    // a lane past the own segment: its own value; before it: that lane's
    CHECK((float)__shfl_xor_sync(~0u, mine, 8, 8) == (lane & 8 ? lane ^ 8 : lane));
}

__global__ void __launch_bounds__(96) collectives(int *errors) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    shuffles<int>(errors, lane);
    shuffles<unsigned>(errors, lane);
    shuffles<long long>(errors, lane);
    shuffles<float>(errors, lane);
    shuffles<double>(errors, lane);
    shuffles<__half>(errors, lane);
    shuffles<__nv_bfloat16>(errors, lane);
    __half2 pair = __shfl_xor_sync(~0u, __half2(make<__half>(lane), make<__half>(-lane)), 3);
    CHECK((float)pair.x == (lane ^ 3) && (float)pair.y == -(lane ^ 3));

    CHECK(__ballot_sync(~0u, lane % 3 == 0) == 0x49249249u);
    CHECK(__any_sync(~0u, lane == 31) && !__any_sync(~0u, lane == 32));
    CHECK(__all_sync(~0u, lane < 32) && !__all_sync(~0u, lane < 31));
    CHECK(__match_any_sync(~0u, lane / 8) == 0xffu << (lane & ~7));
    CHECK(__match_any_sync(~0u, 1ll << (lane / 16 * 40)) == 0xffffu << (lane & 16));
    int all = -1;
    CHECK(__match_all_sync(~0u, 7.5f, &all) == ~0u && all == 1);
    CHECK(__match_all_sync(~0u, lane == 9, &all) == 0 && all == 0);
    CHECK(__reduce_add_sync(~0u, lane) == 496 && __reduce_add_sync(~0u, 1u << 31) == 0);
    CHECK(__reduce_min_sync(~0u, lane - 7) == -7 && __reduce_max_sync(~0u, -lane) == 0);
    CHECK(__reduce_min_sync(~0u, (unsigned)lane - 7) == 0);
    CHECK(__reduce_and_sync(~0u, 0xf0u | lane) == 0xf0);
    CHECK(__reduce_or_sync(~0u, 1u << lane) == ~0u);
    CHECK(__reduce_xor_sync(~0u, (unsigned)lane) == 0);

    // halves of a warp on ways of their own, with masks of their own
    if (lane < 16)
        CHECK(__shfl_xor_sync(0xffffu, lane, 1) == (lane ^ 1));
    else
        CHECK(__shfl_xor_sync(0xffff0000u, lane, 2) == (lane ^ 2));
    // as many lanes as are here, in a warp that has come apart
    if (lane % 4 == 1) {
        CHECK(__activemask() == 0x22222222u);
        CHECK(__popc(__ballot_sync(0x22222222u, 1)) == 8);
    }
    __syncwarp();

    CHECK(__syncthreads_count(lane < 5) == 15);
    CHECK(__syncthreads_or(threadIdx.x == 95) && !__syncthreads_or(0));
    CHECK(__syncthreads_and(1) && !__syncthreads_and(warp < 2));
}

// A last warp of 8 threads: lanes that are not there take no part.
__global__ void __launch_bounds__(40) short_warp(int *errors) {
    int lane = threadIdx.x % 32, n = threadIdx.x < 32 ? 32 : 8;
    CHECK(__popc(__ballot_sync(~0u, 1)) == n);
    CHECK(__reduce_add_sync(~0u, 1) == n);
    CHECK(__shfl_xor_sync(~0u, lane, 4) == (lane ^ 4));
    __syncthreads();
}

__global__ void __launch_bounds__(64) shuffle_from_nobody(unsigned *out) {
    if (threadIdx.x == 7)
        return;
    out[threadIdx.x] = __shfl_sync(~0u, threadIdx.x, 7); // @absent-lane
}

__global__ void __launch_bounds__(32) mask_without_me(unsigned *out) {
    unsigned mask = threadIdx.x == 3 ? 0xf0u : 0xfffffff7u;
    out[threadIdx.x] = __ballot_sync(mask, 1); // @own-bit
}

/* ---- atomics --------------------------------------------------------------------------- */

struct totals {
    int add_int, min_int, max_int;
    unsigned add, sub, inc, dec, bits_or, bits_and, bits_xor, cas;
    unsigned long long add_long, max_long;
    float add_float;
    double add_double;
    __half2 add_half2;
    __nv_bfloat16 add_bf16[2];
    unsigned exchanged;
};

__global__ void __launch_bounds__(128) atomics(totals *t) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    atomicAdd(&t->add_int, i);
    atomicMin(&t->min_int, -i);
    atomicMax(&t->max_int, i);
    atomicAdd(&t->add, 1u);
    atomicSub(&t->sub, 1u);
    atomicInc(&t->inc, 99u);
    atomicDec(&t->dec, 99u);
    atomicOr(&t->bits_or, 1u << i % 32);
    atomicAnd(&t->bits_and, ~(1u << i % 16));
    atomicXor(&t->bits_xor, (unsigned)i);
    for (unsigned seen = t->cas, before; (before = atomicCAS(&t->cas, seen, seen + 2)) != seen;)
        seen = before;
    atomicAdd(&t->add_long, 1ull << 32);
    atomicMax(&t->max_long, (unsigned long long)i << 33);
    atomicAdd(&t->add_float, 0.5f);
    atomicAdd(&t->add_double, 0.25);
    if (i < 64) {
        atomicAdd(&t->add_half2, __half2(make<__half>(1), make<__half>(2)));
        atomicAdd(&t->add_bf16[1], make<__nv_bfloat16>(2));
    }
    if (atomicExch(&t->exchanged, 5u) == 5u)
        atomicAdd(&t->add_int, 1);
}

// Thread 0 waits for what the last thread does: threads of a block make progress.
__global__ void __launch_bounds__(256) spin(int *flag) {
    if (threadIdx.x == 0)
        while (atomicAdd(&flag[0], 0) == 0) {
        }
    else if (threadIdx.x == 255)
        atomicExch(&flag[0], 1);
    if (threadIdx.x == 1)
        while (*(volatile int *)&flag[0] == 0)
            __nanosleep(100);
    atomicAdd(&flag[1], 1);
}

/* ---- shared memory --------------------------------------------------------------------- */

struct cell {
    float value;
    int from;
};

template <class T, int kN> __device__ T reversed(T x) {
    __shared__ T line[kN];
    __shared__ alignas(16) cell cells[2][kN / 2], *spare[2];
    int t = threadIdx.x;
    line[t] = x;
    cells[t & 1][t >> 1] = {(float)x, t};
    __syncthreads();
    T y = line[kN - 1 - t];
    if (cells[(kN - 1 - t) & 1][(kN - 1 - t) >> 1].from != kN - 1 - t)
        y = T(-1);
    if (t < 2)
        spare[t] = nullptr;
    auto capture = [=](int i) { return line[i]; };
    if (capture(t) != x)
        y = T(-2);
    __syncthreads();
    return y;
}

extern __shared__ float file_scope[];
__shared__ int counted;

__global__ void __launch_bounds__(64) shared(int *errors, int n) {
    extern __shared__ __align__(128) unsigned char bytes[];
    KB_TEST_SMEM(float, by_macro);
    int t = threadIdx.x;
    CHECK(counted == 0x7fb37fb3);
    CHECK(((size_t)bytes & 127) == 0 && (void *)bytes == (void *)file_scope);
    CHECK((void *)by_macro == (void *)bytes);
    CHECK((reversed<float, 64>(t) == 63 - t));
    CHECK((reversed<int, 64>(3 * t) == 3 * (63 - t)));
    for (int i = t; i < n; i += 64)
        file_scope[i] = i;
    __syncthreads();
    for (int i = t; i < n; i += 64)
        CHECK(by_macro[n - 1 - i] == n - 1 - i);
    if (t == 0)
        counted = 1;
    __syncthreads();
    CHECK(counted == 1);
}

__global__ void __launch_bounds__(32) poisoned(unsigned *out) {
    __shared__ unsigned never[32];
    extern __shared__ unsigned nor_this[];
    out[threadIdx.x] = never[threadIdx.x];
    out[threadIdx.x + 32] = nor_this[threadIdx.x];
}

__global__ void __launch_bounds__(32) too_much_shared(char *out) {
    __shared__ char big[40000], more[9300];
    big[threadIdx.x] = more[threadIdx.x] = 1;
    out[0] = big[0];
}

/* ---- hooks ----------------------------------------------------------------------------- */

__global__ void __launch_bounds__(64) hooks(int *errors, const int *in) {
    __shared__ int line[64], other[64]; // copies that are under way must not meet
    int t = threadIdx.x, all[32];
    kb_host_gather(t * t, all);
    for (int i = 0; i < 32; i++)
        CHECK(all[i] == (t / 32 * 32 + i) * (t / 32 * 32 + i));
    kb_host_copy_async(&line[t], &in[t], 4, 4);
    kb_host_copy_commit();
    CHECK(line[t] == 0x7fb37fb3); // not there before the wait
    kb_host_copy_async(&other[63 - t], &in[t], 4, 0);
    kb_host_copy_commit();
    kb_host_copy_wait(1);
    CHECK(line[t] == in[t]);
    __syncthreads();
    kb_host_copy_wait(0);
    CHECK(other[63 - t] == 0);
    if (t < 32)
        kb_host_barrier_arrive(1, 64);
    else
        kb_host_barrier(1, 64);
}

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

/* ---- order ----------------------------------------------------------------------------- */

__global__ void __launch_bounds__(64) orders(int *ticket, int *blocks, int *threads) {
    if (blockIdx.x == 0)
        threads[atomicAdd(&ticket[1], 1)] = threadIdx.x;
    if (threadIdx.x == 0)
        blocks[atomicAdd(&ticket[0], 1)] = blockIdx.x;
}

/* Wrong on a GPU from the second launch on. */
__device__ int launches_so_far;
__global__ void keeps_count(int *out) {
    out[0] += 1;
    out[1] = launches_so_far++;
}

// What out holds is read early in[0], in[0], written early, written.
#define READ_AND_WRITE(wait)                                                               \
    int early = in[0];                                                                     \
    out[2] = 1;                                                                            \
    wait;                                                                                  \
    out[0] = early;                                                                        \
    out[1] = in[0];                                                                        \
    out[3] = 1

__global__ void waits(const int *in, int *out) {
    READ_AND_WRITE(kb_host_wait_inputs());
}
__global__ void waits_by_ptx(const int *in, int *out) {
    asm volatile("griddepcontrol.launch_dependents;");
    READ_AND_WRITE(asm volatile("griddepcontrol.wait;" ::: "memory"));
}
__global__ void waits_by_runtime(const int *in, int *out) {
    cudaTriggerProgrammaticLaunchCompletion();
    READ_AND_WRITE(cudaGridDependencySynchronize());
}
__global__ void never_waits(const int *in, int *out) {
    READ_AND_WRITE();
}

// Threads in the order of their turns, before a barrier and after it.
__global__ void __launch_bounds__(64) turns(int *count, int *before, int *after) {
    before[atomicAdd(count, 1) % 64] = threadIdx.x;
    __syncthreads();
    after[atomicAdd(count, 1) % 64] = threadIdx.x;
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

/* ---- mistakes -------------------------------------------------------------------------- */

__global__ void read_at(const float *in, float *out, int i) {
    out[0] = in[i]; // @read
}

__global__ void write_at(float *out, int i) {
    out[i] = 1; // @write
}

__global__ void __launch_bounds__(32) shared_at(float *out, int i, int j) {
    __shared__ float first[8], second[8];
    extern __shared__ float rest[];
    for (int k = 0; k < 8; k++)
        first[k] = second[k] = 1;
    float *p = first;
    p[i] = 2; // @shared
    rest[j] = 3; // @dynamic
    out[0] = second[1] + first[1] + rest[0];
}

__global__ void shift(unsigned *out, int n) {
    out[0] = 1u << n; // @shift
}

__global__ void misaligned(float *out, int i) {
    *(float4 *)(out + i) = make_float4(1, 2, 3, 4); // @misaligned
}

__global__ void __launch_bounds__(64) missing_barrier(float *out, int fixed) {
    __shared__ float line[64];
    line[threadIdx.x] = threadIdx.x; // @race-write
    if (fixed)
        __syncthreads();
    out[threadIdx.x] = line[63 - threadIdx.x]; // @race-read
}

__global__ void __launch_bounds__(64) warp_barrier(float *out, int fixed) {
    __shared__ float line[64];
    line[threadIdx.x] = threadIdx.x;
    if (fixed)
        __syncwarp();
    else
        __shfl_xor_sync(~0u, 1, 1); // orders no memory
    out[threadIdx.x] = line[threadIdx.x ^ 1]; // @race-warp
}

__global__ void __launch_bounds__(64) handed_over(float *out, int *ready) {
    if (threadIdx.x == 5) {
        out[0] = 3;
        __threadfence();
        atomicExch(ready, 1);
    } else if (threadIdx.x == 40) {
        while (atomicAdd(ready, 0) == 0) {
        }
        out[1] = out[0];
    }
}

__global__ void __launch_bounds__(64) divergent(int *out, int n) {
    if (threadIdx.x < n)
        __syncthreads(); // @barrier-a
    else
        __syncthreads(); // @barrier-b
    out[threadIdx.x] = 1;
}

__global__ void __launch_bounds__(64) half_a_warp(int *out) {
    if (threadIdx.x < 20)
        out[threadIdx.x] = __shfl_xor_sync(~0u, 1, 1); // @half-warp
    __syncthreads();                                   // @rest-waits
}

__global__ void __launch_bounds__(64) early_exit(int *out, int n) {
    if (threadIdx.x >= n)
        return;
    __syncthreads(); // @early-exit
    out[threadIdx.x] = 1;
}

__global__ void null_write(int *) {
    *(volatile int *)8 = 1;
}

__device__ int deeper(int n, volatile int *out) {
    volatile int pad[256];
    pad[n & 255] = n;
    return n == 0 ? 0 : deeper(n - 1, out) + pad[n & 255] + *out;
}

__global__ void overflow(int *out, int n) {
    out[0] = deeper(n, out);
}

__global__ void divide(int *out, int by) {
    out[0] = 7 / by;
}

__global__ void forever(volatile int *out) {
    while (out[0] == 0) {
    }
}

__global__ void trapped(int *out) {
    if (out[0] == 0)
        __trap(); // @trap
}

__global__ void asserted(int *out) {
    assert(out[0] == 1); // @assert
}

__global__ void prints(int *out) {
    printf("thread %d sees %d\n", threadIdx.x, out[0]);
}

__device__ inline float approximate(float x) {
    float y;
    asm volatile("ex2.approx.ftz.f32 %0, %1;" // @ptx
                 : "=f"(y)
                 : "f"(x));
    return y;
}

__global__ void ptx(float *out) {
    out[0] = approximate(out[0]);
}

__global__ void three_arguments(int *out, float scale, long long n) {
    out[0] = (int)(scale * n);
}

/* ---- malice ---------------------------------------------------------------------------- */

extern "C" {
void exit(int);
int fork(void);
int close(int);
long write(int, const void *, size_t);
}

__global__ void exits(int *) {
    exit(0);
}

__global__ void floods(int *out) {
    for (int i = 0; i < out[0]; i++)
        puts("what a kernel may say, kbench-reply 0 ok 1 among it, at some length");
}

__global__ void floods_forever(int *) {
    for (;;)
        puts("what a kernel may say, kbench-reply 0 ok 1 among it, at some length");
}

__global__ void forks(int *) {
    fork();
}

__global__ void closes(int *) {
    for (int fd = 0; fd < 64; fd++)
        close(fd);
}

__global__ void writes_everywhere(int *) {
    for (int fd = 3; fd < 64; fd++)
        write(fd, "kbench-reply 0 ok 1\n\n\nend 0000000000000000\n", 43);
}

__global__ void writes_reply(int *) {
    write(4, "kbench-reply 0 ok 1\n\n\nend 0000000000000000\n", 43);
}
