// simt_wrong.cuh - kernels of simt.cu that must be told: mistakes, and malice. A comment `@name` marks
// the line that a report must name.
#pragma once

#include "simt.cuh"

/* ---- mistakes -------------------------------------------------------------------------- */

__global__ void __launch_bounds__(64) shuffle_from_nobody(unsigned *out) {
    if (threadIdx.x == 7)
        return;
    out[threadIdx.x] = __shfl_sync(~0u, threadIdx.x, 7); // @absent-lane
}

__global__ void __launch_bounds__(32) mask_without_me(unsigned *out) {
    unsigned mask = threadIdx.x == 3 ? 0xf0u : 0xfffffff7u;
    out[threadIdx.x] = __ballot_sync(mask, 1); // @own-bit
}

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
