// A kernel that never ends: its worker is killed at --timeout, the next case runs in a new one.
// exit: 6
// expect: still running after
/* kbench
{ "ops": ["silu"], "variants": { "spin": { "entry": "spin", "dtypes": ["bf16"],
  "grid": 1, "block": 32, "args": ["input", "out", "i64 tokens"] } } }
*/
#include "kb.cuh"

__global__ void spin(const __nv_bfloat16 *in, __nv_bfloat16 *out, long long tokens) {
    volatile long long turns = 0;
    while (tokens > 10)
        turns = turns + 1;
    out[threadIdx.x] = in[turns];
}
