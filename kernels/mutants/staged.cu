// staged: silu by way of shared memory, for staged.json to make wrong. activation.cu has no
// barriers, shuffles or shared memory; a kernel that has them can be wrong in more ways.
//
// A block takes a row, kThreads columns at a time. Each thread puts one act(gate) into the
// tile; another one, from the tile's other end, multiplies it by its up, which the lane
// beside has loaded.
/* kbench
{ "ops": ["silu"],
  "variants": {
    "staged": {
      "why":   "a barrier before the tile is read and one before it is written again",
      "when":  "layout == gate_up && round == once && clamp == 0 && filter == none && inplace == no",
      "entry": "staged<KB_T, 128>",
      "grid":  "tokens", "block": 128, "smem": "128 * 4",
      "args":  ["input", "out", "i32 hidden"] } } }
*/
#include "kb.cuh"

template <class T, int kThreads>
__global__ void __launch_bounds__(kThreads) staged(const T *input, T *out, int hidden) {
    KB_DYNAMIC_SMEM(float, tile);
    const T *gate = input + (size_t)blockIdx.x * 2 * hidden, *up = gate + hidden;
    T *row = out + (size_t)blockIdx.x * hidden;
    int t = threadIdx.x, beside = t ^ 1;

    for (int base = 0; base < hidden; base += kThreads) {
        int n = min(kThreads, hidden - base);
        if (t < n) {
            float x = to_f32(gate[base + t]);
            tile[t] = x / (1.0f + expf(-x));
        }
        __syncthreads(); // the tile is whole
        float theirs = beside < n ? to_f32(up[base + n - 1 - beside]) : 0.0f;
        float mine = __shfl_xor_sync(~0u, theirs, 1);
        if (t < n)
            row[base + n - 1 - t] = from_f32<T>(tile[n - 1 - t] * mine);
        __syncthreads(); // the tile is free again
    }
}
