// silu_plain.cu - silu by somebody who has never seen kbench's own kernels: CUDA as in a book,
// with the contract in its first comment.
/* kbench
{ "ops": ["silu"],
  "variants": {
    "plain": {
      "why":   "one thread per element",
      "entry": "silu_plain<KB_T>",
      "grid":  "ceil_div(tokens * hidden, 256)", "block": 256,
      "args":  ["input", "out", "i64 tokens", "i32 hidden"] } } }
*/
#include <cuda_bf16.h>
#include <cuda_fp16.h>

template <class T>
__global__ void silu_plain(const T *input, T *out, long long tokens, int hidden) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= tokens * hidden)
        return;
    long long row = i / hidden;
    int col = (int)(i % hidden);
    float gate = (float)input[row * 2 * hidden + col];
    float up = (float)input[row * 2 * hidden + hidden + col];
    out[i] = (T)(gate / (1.0f + expf(-gate)) * up);
}
