/* shim.h - CUDA C++ for a plain C++ compiler: included before a kernel file.
 *
 * The toolkit's own headers give the types (they define __device__ and friends away); the
 * headers beside this one give the built-in variables and functions. What is covered is
 * listed in README.md. */
#ifndef KBH_SHIM_H
#define KBH_SHIM_H

#define KB_HOST 1

/* cuda_runtime.h, where a kernel includes it, must not declare threadIdx once more. */
#define __DEVICE_LAUNCH_PARAMETERS_H__
/* nor what hooks.h has of this header */
#define __CUDA_DEVICE_RUNTIME_API_H__

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vector_functions.h>
#include <vector_types.h>
#include <cuda_fp16.h>
#include <cuda_bf16.h>
#include <cuda_fp8.h>

/* Left as they are by the preprocessor: kbench rewrites the declarations afterwards. */
#undef __shared__
#undef __launch_bounds__

#ifndef __builtin_assume
#if !defined(__clang__)
#define __builtin_assume(condition) ((void)0)
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define KBH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KBH_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define KBH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KBH_ASAN 1
#endif
#endif

#include "runtime.h"
#include "warp.h"
#include "atomics.h"
#include "intrinsics.h"
#include "mathf.h"
#include "half.h"
#include "hooks.h"
#include "matrix.h"

#endif
