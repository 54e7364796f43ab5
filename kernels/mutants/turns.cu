// turns: silu row by row, in place as well, for turns.json to make wrong: what a row's result
// may not depend on is who else works, when, and what was computed before. activation.cu has
// no atomics, no counters that outlive a launch and nothing that it keeps.
//
// drawn - blocks draw rows from a counter; the last one puts it back for the next launch.
// fixed - a block for each row.
/* kbench
{ "ops": ["silu"],
  "variants": {
    "drawn": {
      "why":   "four blocks share the rows, whoever is free takes the next",
      "when":  "layout == gate_up && round == once && clamp == 0 && filter == none",
      "scratch": { "counter": { "bytes": 8, "start": "keep" } },
      "entry": "drawn<KB_T, 128>", "grid": 4, "block": 128, "pdl": true, "align": 2,
      "args":  ["input", "out", "i32 tokens", "i32 hidden", "counter"] },
    "fixed": {
      "why":   "a block for each row",
      "when":  "layout == gate_up && round == once && clamp == 0 && filter == none",
      "entry": "fixed<KB_T, 128>", "grid": "tokens", "block": 128, "pdl": true, "align": 2,
      "args":  ["input", "out", "i32 tokens", "i32 hidden"] } } }
*/
#include "kb.cuh"

struct place {
    int row, col, tokens, hidden;
};

template <class T> KB_DEVICE const T *gate_at(const T *input, place at) {
    return input + ((size_t)at.row * 2 * at.hidden + at.col);
}

template <class T> KB_DEVICE float activated(const T *input, place at) {
    float x = to_f32(*gate_at(input, at));
    return x / (1.0f + expf(-x));
}

template <class T, int kThreads>
KB_DEVICE void do_row(T *input, T *out, int row, int tokens, int hidden) {
    T *to = out ? out + (size_t)row * hidden : input + (size_t)row * 2 * hidden;
    for (int col = threadIdx.x; col < hidden; col += kThreads) {
        float a = activated(input, {row, col, tokens, hidden});
        to[col] = from_f32<T>(a * to_f32(*gate_at(input, {row, col + hidden, tokens, hidden})));
    }
}

template <class T, int kThreads>
__global__ void __launch_bounds__(kThreads)
    drawn(T *input, T *out, int tokens, int hidden, unsigned *counter) {
    __shared__ int row;
    kb_wait_inputs(); // of drawn
    for (;;) {
        if (threadIdx.x == 0)
            row = (int)atomicAdd(&counter[0], 1u);
        __syncthreads(); // it is drawn
        int mine = row;
        __syncthreads(); // and may be drawn again
        if (mine >= tokens)
            break;
        do_row<T, kThreads>(input, out, mine, tokens, hidden);
    }
    if (threadIdx.x == 0 && atomicAdd(&counter[1], 1u) == gridDim.x - 1)
        counter[0] = counter[1] = 0;
}

template <class T, int kThreads>
__global__ void __launch_bounds__(kThreads)
    fixed(T *input, T *out, int tokens, int hidden) {
    kb_wait_inputs(); // of fixed
    do_row<T, kThreads>(input, out, blockIdx.x, tokens, hidden);
}
