// simt.cuh - a header of simt.cu: includes by quotes, and shared memory behind a macro.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#define KB_TEST_SMEM(T, name)                                                              \
    extern __shared__ __align__(128) unsigned char kb_test_smem[];                         \
    T *name = reinterpret_cast<T *>(kb_test_smem)
