// A kernel whose lane 16 joins a barrier of lanes 0 to 15; without the tool an H100 ends it as an
// illegal instruction.
// tool: synccheck
// expect: Barrier error detected. Invalid arguments
/* kbench
{ "ops": ["silu"], "variants": { "syncwarp": { "entry": "syncwarp", "dtypes": ["bf16"],
  "grid": "ceil_div(tokens * hidden, 256)", "block": 256,
  "args": ["input", "out", "i64 tokens", "i32 hidden"] } } }
*/
#include "kb.cuh"

__global__ void syncwarp(const __nv_bfloat16 *in, __nv_bfloat16 *out, long long tokens,
                         int hidden) {
    long long i = (long long)blockIdx.x * 256 + threadIdx.x;
    unsigned lanes = __ballot_sync(0xffffffffu, threadIdx.x % 32 < 16);
    if (threadIdx.x % 32 <= 16)
        __syncwarp(lanes);
    if (i >= tokens * hidden)
        return;
    const __nv_bfloat16 *row = in + i / hidden * 2 * hidden + i % hidden;
    float x = to_f32(row[0]), up = to_f32(row[hidden]);
    out[i] = from_f32<__nv_bfloat16>(x / (1.0f + expf(-x)) * up);
}
