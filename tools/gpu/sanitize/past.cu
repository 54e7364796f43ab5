// A kernel that reads one element past the end of its input: right, and no guard zone shows it.
// tool: memcheck
// expect: Invalid __global__ read
/* kbench
{ "ops": ["silu"], "variants": { "past": { "entry": "past", "dtypes": ["bf16"],
  "grid": "ceil_div(tokens * hidden, 256)", "block": 256,
  "args": ["input", "out", "i64 tokens", "i32 hidden"] } } }
*/
#include "kb.cuh"

__global__ void past(const __nv_bfloat16 *in, __nv_bfloat16 *out, long long tokens, int hidden) {
    long long i = (long long)blockIdx.x * 256 + threadIdx.x;
    if (i >= tokens * hidden)
        return;
    const __nv_bfloat16 *row = in + i / hidden * 2 * hidden + i % hidden;
    float x = to_f32(row[0]), up = to_f32(row[hidden]), next = to_f32(row[hidden + 1]);
    float y = x / (1.0f + expf(-x)) * up;
    out[i] = from_f32<__nv_bfloat16>(next == 1234.5f ? y + 1.0f : y); // which it never is
}
