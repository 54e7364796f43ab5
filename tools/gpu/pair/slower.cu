// slower.cu - silu behind a chain of KB_CHAIN dependent multiply-adds, so that a build can be
// slower by a share that is known: what timing builds against each other must find.
//
//   kbench --kernel tools/gpu/pair/slower.cu --op silu --shape 83x1024 \
//       --build base=-DKB_CHAIN=2000,slow=-DKB_CHAIN=2111
//
// KB_TAG alone makes other machine code of the same speed: what it must not find.
/* kbench
{ "ops": ["silu"],
  "variants": {
    "chain": { "why":   "its time is known by the length of its chain",
               "entry": "slower<KB_T>",
               "grid":  "ceil_div(tokens * hidden, 256)", "block": 256,
               "args":  ["input", "out", "i64 tokens", "i32 hidden"] } } }
*/
#include "kb.cuh"

#ifndef KB_CHAIN
#define KB_CHAIN 2000
#endif
#ifndef KB_TAG
#define KB_TAG 0
#endif

template <class T>
__global__ void __launch_bounds__(256)
    slower(const T *__restrict__ input, T *__restrict__ out, long long tokens, int hidden) {
    long long i = (long long)blockIdx.x * 256 + threadIdx.x;
    if (i >= tokens * hidden)
        return;
    const T *row = input + i / hidden * 2 * hidden;
    int column = (int)(i % hidden);
    float x = to_f32(row[column]), up = to_f32(row[hidden + column]);
    float chain = x;
    for (int k = 0; k < KB_CHAIN; k++)
        chain = fmaf(chain, 0.999f, 0.001f);
    float y = x / (1.0f + expf(-x)) * up;
    if (chain == 123456.0f + KB_TAG) // never: it tends to 1. But the compiler cannot know
        y = 0.0f;
    out[i] = from_f32<T>(y);
}
