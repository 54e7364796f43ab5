// merge_state: two partial results of attention over disjoint keys, as one
//
//     m = max(s_a, s_b), w = base^(s - m)
//     v = (w_a v_a + w_b v_b) / (w_a + w_b),  s = m + log_base(w_a + w_b)
//
// vec16  - one 16-byte vector of v to a thread, which weighs its row by itself: the two
//          logarithms of a row come from L1 for all but the first of its threads.
// scalar - single elements, for any v_dim.
// chain  - what a framework without fusion runs: the weights of all rows to memory, then
//          the sums.
//
// A side whose s is -inf has no part, even where its v is no number; of two such rows v is
// 0. In place a thread writes what only it has read, but for s_a, which all threads of a row
// read: a row is one block's, with a barrier before the store.
/* kbench
{ "ops": ["merge_state"],
  "variants": {
    "vec16": {
      "why":   "one 16-byte vector to a thread",
      "when":  "v_dim * dtype_bytes % 16 == 0 && v_dim * dtype_bytes <= 4096",
      "let":   { "vecs": "v_dim * dtype_bytes / 16", "rows": "max(1, 128 / vecs)" },
      "entry": "merge_state<KB_T, 16, KB_LSE_BASE>",
      "grid":  "ceil_div(tokens * heads, rows)", "block": ["vecs", "rows"], "pdl": true,
      "args":  ["v_a", "s_a", "v_b", "s_b", "v", "s", "i64 tokens * heads", "i32 vecs"] },
    "scalar": {
      "why":   "any v_dim, a row to a block",
      "let":   { "threads": "min(128, align_up(v_dim, 32))" },
      "entry": "merge_state<KB_T, sizeof(KB_T), KB_LSE_BASE>",
      "grid":  "tokens * heads", "block": "threads", "pdl": true,
      "args":  ["v_a", "s_a", "v_b", "s_b", "v", "s", "i64 tokens * heads", "i32 v_dim"] },
    "chain": {
      "why":   "unfused: weights to memory, then sums",
      "when":  "inplace == no && v_dim * dtype_bytes % 16 == 0 && v_dim * dtype_bytes <= 4096",
      "let":   { "vecs": "v_dim * dtype_bytes / 16", "rows": "max(1, 128 / vecs)" },
      "scratch": { "weights": { "bytes": "tokens * heads * 8" } },
      "launches": [
        { "entry": "weigh_rows<KB_LSE_BASE>",
          "grid":  "ceil_div(tokens * heads, 256)", "block": 256, "pdl": true,
          "args":  ["s_a", "s_b", "s", "weights", "i64 tokens * heads"] },
        { "entry": "add_weighed<KB_T>",
          "grid":  "ceil_div(tokens * heads, rows)", "block": ["vecs", "rows"], "pdl": true,
          "args":  ["v_a", "v_b", "weights", "v", "i64 tokens * heads", "i32 vecs"] } ] } } }
*/
#include "kb.cuh"

/* -inf: the logarithm of nothing. */
KB_DEVICE float kb_none() {
    return __int_as_float((int)0xff800000);
}

enum { kBaseE, kBase2 };

struct weights {
    float a, b; // of v_a and v_b; a side of weight 0 has no part
    float s;
};

template <int kBase> KB_DEVICE weights weigh(float s_a, float s_b) {
    const float none = kb_none(), log2e = 1.44269502f, ln2 = 0.693147182f;
    if (s_b == none)
        return {s_a == none ? 0.0f : 1.0f, 0.0f, s_a};
    if (s_a == none)
        return {0.0f, 1.0f, s_b};
    float m = s_a > s_b ? s_a : s_b, scale = kBase == kBase2 ? 1.0f : log2e;
    float a = exp2f((s_a - m) * scale), b = exp2f((s_b - m) * scale);
    float share = 1.0f / (a + b), s = m + log2f(a + b) * (kBase == kBase2 ? 1.0f : ln2);
    return {a * share, b * share, s};
}

template <class T, int kBytes>
KB_DEVICE kb_vec<kBytes> sum_of(const weights &w, const kb_vec<kBytes> &a,
                                const kb_vec<kBytes> &b) {
    constexpr int kN = kBytes / sizeof(T);
    float x[kN], y[kN];
    kb_unpack<T>(a, x);
    kb_unpack<T>(b, y);
#pragma unroll
    for (int i = 0; i < kN; i++) {
        float first = w.a == 0.0f ? 0.0f : w.a * x[i];
        x[i] = w.b == 0.0f ? first : __fmaf_rn(w.b, y[i], first);
    }
    return kb_pack<T, kBytes>(x);
}

template <class T, int kBytes, int kBase>
__global__ void __launch_bounds__(256)
    merge_state(T *v_a, float *s_a, const T *v_b, const float *s_b, T *v, float *s,
                long long rows, int vecs) {
    long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    bool there = row < rows;
    const kb_vec<kBytes> *a = kb_vecs<kBytes>(v_a) + row * vecs;
    const kb_vec<kBytes> *b = kb_vecs<kBytes>(v_b) + row * vecs;
    kb_vec<kBytes> *out = kb_vecs<kBytes>(v ? v : v_a) + row * vecs;

    kb_let_next_start();
    kb_wait_inputs();
    weights w = {};
    if (there)
        w = weigh<kBase>(s_a[row], s_b[row]);
    __syncthreads();
    if (!there)
        return;
    if (threadIdx.x == 0)
        (s ? s : s_a)[row] = w.s;
    for (int i = threadIdx.x; i < vecs; i += blockDim.x)
        out[i] = sum_of<T, kBytes>(w, a[i], b[i]);
}

/* The chain. */
template <int kBase>
__global__ void __launch_bounds__(256) weigh_rows(const float *s_a, const float *s_b,
                                                  float *s, float2 *out, long long rows) {
    long long row = (long long)blockIdx.x * 256 + threadIdx.x;
    kb_let_next_start();
    kb_wait_inputs();
    if (row >= rows)
        return;
    weights w = weigh<kBase>(s_a[row], s_b[row]);
    s[row] = w.s;
    out[row] = make_float2(w.a, w.b);
}

template <class T>
__global__ void __launch_bounds__(256)
    add_weighed(const T *v_a, const T *v_b, const float2 *w, T *v, long long rows,
                int vecs) {
    long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    long long at = row * vecs + threadIdx.x;
    kb_let_next_start();
    kb_wait_inputs();
    if (row >= rows)
        return;
    kb_vecs<16>(v)[at] =
        sum_of<T, 16>({w[row].x, w[row].y, 0.0f}, kb_vecs<16>(v_a)[at], kb_vecs<16>(v_b)[at]);
}
