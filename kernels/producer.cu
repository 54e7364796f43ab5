// producer.cu - what kbench runs around a kernel that it checks: a kernel ahead of it that
// writes its inputs late, and a comparison of what two launches left. These are no op's
// kernels, so the file has no contract.
#include "kb.cuh"

// Poison, as outputs begin with it, over everything that the producer is going to write.
extern "C" __global__ void __launch_bounds__(256) kb_poison(unsigned *to, long long words) {
    long long step = (long long)gridDim.x * 256;
    for (long long i = (long long)blockIdx.x * 256 + threadIdx.x; i < words; i += step)
        to[i] = 0x7fb37fb3u;
}

// Lets the next kernel start at once, waits, and only then writes what it is to read. Few
// blocks, so that those of the next one find room.
extern "C" __global__ void __launch_bounds__(512)
    kb_produce(const uint4 *from, uint4 *to, long long vecs, long long cycles) {
    long long start = clock64(), step = (long long)gridDim.x * 512;
    kb_let_next_start();
    while (clock64() - start < cycles)
        __nanosleep(1000);
    for (long long i = (long long)blockIdx.x * 512 + threadIdx.x; i < vecs; i += step)
        to[i] = from[i];
}

// *flag is set where bytes differ.
extern "C" __global__ void __launch_bounds__(256)
    kb_differ(const unsigned char *a, const unsigned char *b, long long bytes,
              unsigned *flag) {
    long long step = (long long)gridDim.x * 256, first = (long long)blockIdx.x * 256;
    bool other = false;
    for (long long i = first + threadIdx.x; i < bytes / 16; i += step) {
        uint4 x = reinterpret_cast<const uint4 *>(a)[i];
        uint4 y = reinterpret_cast<const uint4 *>(b)[i];
        other = other || x.x != y.x || x.y != y.y || x.z != y.z || x.w != y.w;
    }
    for (long long i = bytes / 16 * 16 + first + threadIdx.x; i < bytes; i += step)
        other = other || a[i] != b[i];
    if (other)
        *flag = 1;
}
