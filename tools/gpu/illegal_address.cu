// A kernel that writes far outside its buffers: the case is an ERROR, the next one still runs.
// exit: 6
// expect: illegal address
/* kbench
{ "ops": ["silu"], "variants": { "wild": { "entry": "wild", "dtypes": ["bf16"],
  "grid": 1, "block": 32, "args": ["input", "out", "i64 tokens"] } } }
*/
#include "kb.cuh"

__global__ void wild(const __nv_bfloat16 *in, __nv_bfloat16 *out, long long tokens) {
    if (tokens > 10)
        out[(1ll << 40) + threadIdx.x] = in[0];
    else
        out[threadIdx.x] = in[0];
}
