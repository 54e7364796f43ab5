// simt.cuh - what the parts of simt.cu share; shared memory behind a macro.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#define KB_TEST_SMEM(T, name)                                                              \
    extern __shared__ __align__(128) unsigned char kb_test_smem[];                         \
    T *name = reinterpret_cast<T *>(kb_test_smem)

// CHECK counts what does not hold into errors[0] and keeps the first line in errors[1].
#define CHECK(condition)                                                                   \
    do {                                                                                   \
        if (!(condition) && atomicAdd(&errors[0], 1) == 0)                                 \
            errors[1] = __LINE__;                                                          \
    } while (0)

template <class T> __device__ T make(int i) {
    return (T)(float)i;
}
