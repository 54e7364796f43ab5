// mma: tensor cores at work, from registers and shared memory alone. It is the ceiling of
// matrix work: out[block][row] = steps * sum over n and k of a[row][k] * b[n][k].
//
// wgmma - a warpgroup's 64 x 256 at a time, both operands in shared memory: sm_90's own.
// sync  - mma.sync, 16 x 8 at a time, both operands in registers: sm_80 and later, the
// host.
/* kbench
{ "ops": ["mma"],
  "let": { "threads": 256 },
  "variants": {
    "wgmma": {
      "why":   "64 x 256 of a warpgroup, operands in shared memory",
      "arch":  "90a", "backends": ["cuda"],
      "entry": "mma_wgmma<KB_T>",
      "grid":  "blocks", "block": "threads", "pdl": true,
      "args":  ["a", "b", "out", "i32 steps"] },
    "sync": {
      "why":   "16 x 8 of a warp, operands in registers",
      "when":  "dtype_bytes == 2 || sm >= 89",
      "entry": "mma_sync<KB_T>",
      "grid":  "blocks", "block": "threads", "pdl": true,
      "args":  ["a", "b", "out", "i32 steps"] } } }
*/
#include <cuda_fp8.h>

#include "kb.cuh"

constexpr int kRows = 128, kColumns = 256, kWords = 8; // of four bytes in a depth

// A row's sums lie in four lanes, two of its columns in eight in each.
KB_DEVICE void store_rows(float low, float high, float *out) {
    int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane / 4;
    for (int step = 1; step <= 2; step *= 2) {
        low += __shfl_xor_sync(0xffffffffu, low, step);
        high += __shfl_xor_sync(0xffffffffu, high, step);
    }
    if (lane % 4 == 0) {
        out[(size_t)blockIdx.x * kRows + row] = low;
        out[(size_t)blockIdx.x * kRows + row + 8] = high;
    }
}

// A warp has 16 rows and all columns: 128 sums and 64 words of b to a lane.
template <class T>
__global__ void __launch_bounds__(256)
    mma_sync(const T *a, const T *b, float *out, int steps) {
    constexpr int kTiles = kColumns / 8;
    int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4,
        row = threadIdx.x / 32 * 16 + g;
    const unsigned *a_words = reinterpret_cast<const unsigned *>(a);
    const unsigned *b_words = reinterpret_cast<const unsigned *>(b);
    unsigned rows[4], columns[kTiles][2];
    float sums[kTiles][4] = {};

    kb_let_next_start();
    kb_wait_inputs();
#pragma unroll
    for (int i = 0; i < 4; i++)
        rows[i] = a_words[(row + i % 2 * 8) * kWords + i / 2 * 4 + t];
#pragma unroll
    for (int n = 0; n < kTiles; n++)
#pragma unroll
        for (int i = 0; i < 2; i++)
            columns[n][i] = b_words[(n * 8 + g) * kWords + i * 4 + t];
#pragma unroll 1
    for (int step = 0; step < steps; step++)
#pragma unroll
        for (int n = 0; n < kTiles; n++)
            kb_mma<T>(sums[n], rows, columns[n]);
    float low = 0, high = 0;
#pragma unroll
    for (int n = 0; n < kTiles; n++) {
        low += sums[n][0] + sums[n][1];
        high += sums[n][2] + sums[n][3];
    }
    store_rows(low, high, out);
}

#ifndef KB_HOST
// 8 rows of 16 bytes lie together; the two halves of a depth 128 bytes apart, the next 8
// rows 256. So a descriptor says, in units of 16 bytes and nothing swizzled.
KB_DEVICE unsigned long long describe(const void *shared) {
    unsigned long long at = __cvta_generic_to_shared(shared);
    return (at & 0x3ffff) >> 4 | (128ull >> 4) << 16 | (256ull >> 4) << 32;
}

KB_DEVICE void lay_out(const void *from, int rows, uint4 *to) {
    for (int i = threadIdx.x; i < 2 * rows; i += 256) {
        int row = i / 2, half = i % 2;
        to[row / 8 * 16 + half * 8 + row % 8] = static_cast<const uint4 *>(from)[i];
    }
}

#define KB_8(d, i)                                                                         \
    "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]),            \
        "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define KB_WGMMA(type, scales)                                                             \
    asm volatile(                                                                          \
        "wgmma.mma_async.sync.aligned.m64n256" type " {"                                   \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "           \
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, " \
        "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
        "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, " \
        "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, " \
        "%110, %111, "                                                                     \
        "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, "   \
        "%125, %126, %127}, "                                                              \
        "%128, %129, 1, " scales ";"                                                       \
        : KB_8(d, 0), KB_8(d, 8), KB_8(d, 16), KB_8(d, 24), KB_8(d, 32), KB_8(d, 40),      \
          KB_8(d, 48), KB_8(d, 56), KB_8(d, 64), KB_8(d, 72), KB_8(d, 80), KB_8(d, 88),    \
          KB_8(d, 96), KB_8(d, 104), KB_8(d, 112), KB_8(d, 120)                            \
        : "l"(a), "l"(b))
// d += a b, 64 x 256 of a warpgroup's floats, of which a lane has columns 2t, 2t + 1 of
// each eight in rows g and g + 8 of its warp's 16.
template <class T>
KB_DEVICE void wgmma(float (&d)[128], unsigned long long a, unsigned long long b) {
    if constexpr (sizeof(T) == 1)
        KB_WGMMA("k32.f32.e4m3.e4m3", "1, 1");
    else if constexpr (kb_is_half<T>())
        KB_WGMMA("k16.f32.f16.f16", "1, 1, 0, 0");
    else
        KB_WGMMA("k16.f32.bf16.bf16", "1, 1, 0, 0");
}

template <class T>
__global__ void __launch_bounds__(256)
    mma_wgmma(const T *a, const T *b, float *out, int steps) {
    __shared__ __align__(128) uint4 rows[2 * kRows], columns[2 * kColumns];
    float d[128] = {};

    kb_let_next_start();
    kb_wait_inputs();
    lay_out(a, kRows, rows);
    lay_out(b, kColumns, columns);
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    unsigned long long ours = describe(rows + threadIdx.x / 128 * (2 * kRows / 2));
    unsigned long long theirs = describe(columns);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll 4
    for (int i = 0; i < steps; i++) {
        wgmma<T>(d, ours, theirs);
        asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    }
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#pragma unroll // or the compiler may read a sum before the wait
    for (int n = 0; n < 128; n++)
        asm volatile("" : "+f"(d[n])::"memory");
    float low = 0, high = 0;
#pragma unroll
    for (int n = 0; n < 128; n += 4) {
        low += d[n] + d[n + 1];
        high += d[n + 2] + d[n + 3];
    }
    store_rows(low, high, out);
}
#endif
