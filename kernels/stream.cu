// stream: the bytes of another op without its maths. out[i] = the exclusive or, over the
// parts k of the flat input, of in[i + k * n], n being the number of outputs.
//
// vec16  - one 16-byte vector per thread: nothing moves bytes faster on sm_80 to sm_90.
// scalar - any size, so that odd shapes have a ceiling too; several elements per thread,
//          since one would leave too few bytes in flight.
/* kbench
{ "ops": ["stream"],
  "variants": {
    "vec16": {
      "why":   "one 16-byte vector per thread: more per thread and cache hints were slower",
      "when":  "out_elements * dtype_bytes % 16 == 0",
      "let":   { "vecs": "out_elements * dtype_bytes / 16" },
      "entry": "stream<KB_T, KB_PATTERN, 16, 1>",
      "grid":  "ceil_div(vecs, 256)", "block": 256, "pdl": true,
      "args":  ["input", "out", "i64 vecs"] },
    "scalar": {
      "why":   "any number of elements, eight per thread",
      "entry": "stream<KB_T, KB_PATTERN, sizeof(KB_T), 8>",
      "grid":  "ceil_div(out_elements, 256 * 8)", "block": 256, "pdl": true, "align": 2,
      "args":  ["input", "out", "i64 out_elements"] } } }
*/
#include "kb.cuh"

template <class T, int kPattern, int kBytes, int kItems>
__global__ void __launch_bounds__(256) stream(const T *input, T *out, long long vecs) {
    constexpr int kParts = kPattern == 0 ? 1 : kPattern == 1 ? 2 : 4; // copy, r2w1, r2w05
    constexpr int kWords = sizeof(kb_vec<kBytes>) / sizeof(kb_vec<kBytes>{}.word[0]);
    long long first = (long long)blockIdx.x * (256 * kItems) + threadIdx.x;
    const kb_vec<kBytes> *in = kb_vecs<kBytes>(input) + first;
    kb_vec<kBytes> v[kItems][kParts];

    kb_let_next_start();
    kb_wait_inputs();
#pragma unroll // all loads before the first use
    for (int i = 0; i < kItems; i++)
        if (first + i * 256 < vecs)
#pragma unroll
            for (int k = 0; k < kParts; k++)
                v[i][k] = (in + k * vecs)[i * 256];
#pragma unroll
    for (int i = 0; i < kItems; i++) {
        if (first + i * 256 >= vecs)
            return;
#pragma unroll
        for (int k = 1; k < kParts; k++)
#pragma unroll
            for (int w = 0; w < kWords; w++)
                v[i][0].word[w] ^= v[i][k].word[w];
        kb_vecs<kBytes>(out)[first + i * 256] = v[i][0];
    }
}
