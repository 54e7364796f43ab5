// A kernel that puts the block's barrier where half of a warp does not come by.
// tool: synccheck
// expect: Barrier error detected. Divergent thread(s)
/* kbench
{ "ops": ["silu"], "variants": { "divergent": { "entry": "divergent", "dtypes": ["bf16"],
  "grid": "ceil_div(tokens * hidden, 256)", "block": 256,
  "args": ["input", "out", "i64 tokens", "i32 hidden"] } } }
*/
#include "kb.cuh"

__global__ void divergent(const __nv_bfloat16 *in, __nv_bfloat16 *out, long long tokens,
                          int hidden) {
    __shared__ volatile float seen[256];
    long long i = (long long)blockIdx.x * 256 + threadIdx.x;
    bool inside = i < tokens * hidden;
    const __nv_bfloat16 *row = in + (inside ? i / hidden * 2 * hidden + i % hidden : 0);
    float x = to_f32(row[0]), up = to_f32(row[hidden]);
    if (threadIdx.x % 32 < 16) {
        seen[threadIdx.x] = x;
        __syncthreads();
    }
    float y = x / (1.0f + expf(-x)) * up;
    if (threadIdx.x == 0 && seen[0] == 1234.5f) // which it never is
        y += 1.0f;
    if (inside)
        out[i] = from_f32<__nv_bfloat16>(y);
}
