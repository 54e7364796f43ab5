// A kernel that reads scratch memory before anything wrote it: right, whatever it finds there.
// tool: initcheck
// expect: Uninitialized __global__ memory read
/* kbench
{ "ops": ["silu"], "variants": { "uninit": { "entry": "uninit", "dtypes": ["bf16"],
  "scratch": { "left": { "bytes": "256 * 4" } },
  "grid": "ceil_div(tokens * hidden, 256)", "block": 256,
  "args": ["input", "out", "left", "i64 tokens", "i32 hidden"] } } }
*/
#include "kb.cuh"

__global__ void uninit(const __nv_bfloat16 *in, __nv_bfloat16 *out, const float *left,
                       long long tokens, int hidden) {
    long long i = (long long)blockIdx.x * 256 + threadIdx.x;
    if (i >= tokens * hidden)
        return;
    const __nv_bfloat16 *row = in + i / hidden * 2 * hidden + i % hidden;
    float x = to_f32(row[0]), up = to_f32(row[hidden]);
    float y = x / (1.0f + expf(-x)) * up;
    out[i] = from_f32<__nv_bfloat16>(left[threadIdx.x] == 1234.5f ? y + 1.0f : y); // nor is it
}
