// A kernel whose warps read what others write, without a barrier between: right as it happens.
// tool: racecheck
// expect: Race reported between
/* kbench
{ "ops": ["silu"], "variants": { "race": { "entry": "race", "dtypes": ["bf16"],
  "grid": "ceil_div(tokens * hidden, 256)", "block": 256,
  "args": ["input", "out", "i64 tokens", "i32 hidden"] } } }
*/
#include "kb.cuh"

__global__ void race(const __nv_bfloat16 *in, __nv_bfloat16 *out, long long tokens, int hidden) {
    __shared__ volatile float seen[256];
    long long i = (long long)blockIdx.x * 256 + threadIdx.x;
    bool inside = i < tokens * hidden;
    const __nv_bfloat16 *row = in + (inside ? i / hidden * 2 * hidden + i % hidden : 0);
    float x = to_f32(row[0]), up = to_f32(row[hidden]);
    seen[threadIdx.x] = x;
    float other = seen[(threadIdx.x + 32) % 256];
    float y = x / (1.0f + expf(-x)) * up;
    if (inside)
        out[i] = from_f32<__nv_bfloat16>(other == 1234.5f ? y + 1.0f : y); // which it never is
}
