// timer.cu - what kbench's own timers launch: nothing, a wait, and an L2 flush. These are no
// op's kernels, so the file has no contract.
#include "kb.cuh"

// The floor of every method. With programmatic edges it keeps to their protocol. Of 256 threads,
// since fewer take longer: in a graph on an H200 0.48 us, and 0.37 with those edges, where 32 take
// 0.50 and 0.40.
extern "C" __global__ void __launch_bounds__(256) kb_empty() {
    kb_let_next_start();
    kb_wait_inputs();
}

// Holds the stream until the host has queued all that is to be timed, so that launch cost
// stays out of the samples. It lets go by itself after `limit` clock cycles and says so: a
// queue that is full would otherwise wait for us while we wait for the host.
extern "C" __global__ void __launch_bounds__(32)
    kb_hold(const volatile unsigned *go, volatile unsigned *late, long long limit) {
    long long start = clock64();
    while (*go == 0) {
        if (clock64() - start > limit) {
            *late = 1;
            return;
        }
    }
}

// What flushes the L2 is written once and read back before each launch: reads throw out what
// kernels left, written or read, and leave nothing dirty behind, whose eviction would be at the
// timed kernel's cost.
extern "C" __global__ void __launch_bounds__(256)
    kb_flush_write(uint4 *buffer, long long vecs, unsigned value) {
    long long step = (long long)gridDim.x * 256;
    for (long long i = (long long)blockIdx.x * 256 + threadIdx.x; i < vecs; i += step)
        buffer[i] = make_uint4(value, (unsigned)i, value, ~(unsigned)i);
}

extern "C" __global__ void __launch_bounds__(256)
    kb_flush_read(const uint4 *buffer, long long vecs, unsigned *sink) {
    long long step = (long long)gridDim.x * 256;
    unsigned sum = 0;
    for (long long i = (long long)blockIdx.x * 256 + threadIdx.x; i < vecs; i += step) {
        uint4 v = buffer[i];
        sum += v.x ^ v.y ^ v.z ^ v.w;
    }
    if (sum == 0x9e3779b9u && *sink == sum) // or the compiler sees that nothing is used
        *sink = 0;
}

// Lines that a kernel asked the L2 to evict last give way to none but their like. So the buffer is
// read in that way as well, and then put back to what all lines are. Before sm_80 kernels cannot
// ask.
extern "C" __global__ void __launch_bounds__(256)
    kb_flush_last(const uint4 *buffer, long long vecs, unsigned *sink) {
#if __CUDA_ARCH__ >= 800
    long long step = (long long)gridDim.x * 256;
    unsigned sum = 0;
    unsigned long long last;
    asm("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(last));
    for (long long i = (long long)blockIdx.x * 256 + threadIdx.x; i < vecs; i += step) {
        uint4 v;
        asm volatile("ld.global.L2::cache_hint.v4.u32 {%0, %1, %2, %3}, [%4], %5;"
                     : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                     : "l"(buffer + i), "l"(last));
        sum += v.x ^ v.y ^ v.z ^ v.w;
    }
    if (sum == 0x9e3779b9u && *sink == sum) // as above
        *sink = 0;
#endif
}

extern "C" __global__ void __launch_bounds__(256)
    kb_flush_normal(const uint4 *buffer, long long vecs) {
#if __CUDA_ARCH__ >= 800
    long long step = (long long)gridDim.x * 256, lines = vecs / 8; // of 128 bytes
    for (long long i = (long long)blockIdx.x * 256 + threadIdx.x; i < lines; i += step)
        asm volatile("applypriority.global.L2::evict_normal [%0], 128;" ::"l"(buffer + 8 * i)
                     : "memory");
#endif
}
