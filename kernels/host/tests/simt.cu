// simt.cu - what the tests of the host backend run (src/exec/host_*_test.c): a kernel for each thing
// that the shim covers. Here: indices, collectives, atomics, shared memory, hooks, order.
#include "simt.cuh"

#include "simt_maths.cuh"
#include "simt_wrong.cuh"

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
