// A kernel that loads two elements at once, and says that any address will do.
// exit: 1
// expect: which align 2 allows
/* kbench
{ "ops": ["silu"], "variants": { "pairs": {
    "when": "hidden % 2 == 0",
    "entry": "pairs<KB_T>", "grid": "ceil_div(tokens * hidden, 512)", "block": 256, "align": 2,
    "args": ["input", "out", "i32 tokens * hidden / 2", "i32 hidden / 2"] } } }
*/
#include "kb.cuh"

template <class T>
__global__ void __launch_bounds__(256) pairs(const T *input, T *out, int n, int hidden) {
    int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= n)
        return;
    const auto *gate = kb_vecs<2 * sizeof(T)>(input) + (size_t)(i / hidden) * 2 * hidden + i % hidden;
    float x[2], up[2];
    kb_unpack<T>(gate[0], x);
    kb_unpack<T>(gate[hidden], up);
    for (int k = 0; k < 2; k++)
        x[k] = x[k] / (1.0f + expf(-x[k])) * up[k];
    kb_vecs<2 * sizeof(T)>(out)[i] = kb_pack<T, 2 * sizeof(T)>(x);
}
