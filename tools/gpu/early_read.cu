// A kernel that loads its gate before the wait for the kernel ahead: right by itself.
// exit: 1
// expect: before the wait for the kernel ahead
/* kbench
{ "ops": ["silu"], "variants": { "early": {
    "entry": "early<KB_T>", "grid": "ceil_div(tokens * hidden, 256)", "block": 256, "pdl": true,
    "args": ["input", "out", "i32 tokens * hidden", "i32 hidden"] } } }
*/
#include "kb.cuh"

template <class T>
__global__ void __launch_bounds__(256) early(const T *input, T *out, int n, int hidden) {
    int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= n)
        return;
    const T *gate = input + (size_t)(i / hidden) * 2 * hidden + i % hidden;
    float x = to_f32(*gate);
    asm volatile("griddepcontrol.wait;" ::: "memory");
    out[i] = from_f32<T>(x / (1.0f + expf(-x)) * to_f32(gate[hidden]));
}
