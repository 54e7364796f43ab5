// A kernel that writes one element past the end of its output.
// exit: 1
// expect: past the end of out
/* kbench
{ "ops": ["silu"], "variants": { "guard": { "entry": "past", "dtypes": ["bf16"],
  "grid": "ceil_div(tokens * hidden + 1, 256)", "block": 256,
  "args": ["input", "out", "i64 tokens", "i32 hidden"] } } }
*/
#include "kb.cuh"

__global__ void past(const __nv_bfloat16 *in, __nv_bfloat16 *out, long long tokens, int hidden) {
    long long i = (long long)blockIdx.x * 256 + threadIdx.x;
    if (i > tokens * hidden)
        return;
    long long row = i / hidden, column = i % hidden;
    float x = i < tokens * hidden ? to_f32(in[row * 2 * hidden + column]) : 0.0f;
    float up = i < tokens * hidden ? to_f32(in[row * 2 * hidden + hidden + column]) : 0.0f;
    out[i] = from_f32<__nv_bfloat16>(x / (1.0f + expf(-x)) * up);
}
