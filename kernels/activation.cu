// act_and_mul: out[r][c] = act(gate[r][c]) * up[r][c], a row of the input being [gate | up]
//
//     silu       act(x) = x / (1 + exp(-x))
//     gelu       act(x) = x * P(x), P(x) = (1 + erf(x / sqrt 2)) / 2
//     gelu_tanh  act(x) = x / (1 + exp(-2z)), z = sqrt(2 / pi) * (x + 0.044715 x^3)
//
// round=once rounds the product to the dtype, round=act act(x) as well. layout=up_gate has
// the halves the other way round, which costs nothing here. The extras are compiled apart:
// rows that a filter leaves out, clamp, and inplace, where results take the gate's place.
//
// vec16  - one 16-byte vector per thread, as the stream kernel that is its ceiling; vec32
//          the same with the 32-byte accesses of sm_100, vec16_no_pdl the same without
//          programmatic dependent launch, for what that is worth.
// vec8   - half of that and a quarter: for rows that 16 bytes do not divide.
// vec4
// small  - vec8 for 16-bit dtypes up to 8192 elements an SM, where the time is one thread's
//          arithmetic and not the memory's. Seen on an H200, ns over the stream kernel of the
//          same bytes, vec16 / vec8: silu 83x1024 144 / 100, 64x2048 154 / 103, 1024x2048
//          151 / 157; gelu 83x1024 190 / 122, 1024x2048 363 / 168. Past that, and with few
//          wide rows, vec16 is faster: silu 16x65536 140 / 193, 4096x2048 49 / 285.
// scalar - single elements, four per thread, for any width.
// chain  - what a framework without fusion runs: act(gate) to memory, then the product. Its
//          act(x) is rounded to the dtype on the way, so it is right for round=act only.
//
// A block is `cols` vectors of each of `rows` rows, so that a thread knows its row without
// a division. Blocks go along a row first, as the addresses do; rows lie in y and, past
// 65535 blocks, in z.
/* kbench
{ "ops": ["silu", "gelu", "gelu_tanh"],
  "let": { "cols": "ceil_div(vecs, items * ceil_div(vecs, items * 256))",
           "rows": "256 / cols",
           "col_blocks": "ceil_div(vecs, items * cols)",
           "row_blocks": "ceil_div(tokens, rows)",
           "layers": "max(1, ceil_div(row_blocks, 65535))",
           "gate": "layout == up_gate ? vecs : 0", "up": "vecs - gate",
           "act_rounds": "round == act && dtype_bytes < 4",
           "extras": "filter != none || clamp > 0 || inplace != no" },
  "variants": {
    "small": {
      "why":   "vec8 where the time is one thread's arithmetic and not the memory's; its code is vec8's, which the host runs",
      "when":  "hidden * dtype_bytes % 8 == 0 && dtype_bytes == 2 && !extras && tokens * hidden <= sm_count * (hidden <= 8192 ? 8192 : 2048)",
      "let":   { "vecs": "hidden * dtype_bytes / 8", "items": 1 },
      "entry": "act_and_mul<KB_T, KB_ACT, {act_rounds}, false, 8, 1>",
      "grid":  ["col_blocks", "ceil_div(row_blocks, layers)", "layers"],
      "block": ["cols", "rows"], "pdl": true, "backends": ["cuda"],
      "args":  ["input", "out", "i32 tokens", "i32 vecs", "i32 gate", "i32 up",
                "expert_ids", "sorted_token_ids", "num_post_padded", "i32 num_valid",
                "i32 step", "f32 limit"] },
    "vec16": {
      "why":   "one 16-byte vector per thread",
      "when":  "hidden * dtype_bytes % 16 == 0 && max(tokens, hidden) < 2147483648",
      "let":   { "vecs": "hidden * dtype_bytes / 16", "items": 1 },
      "entry": "act_and_mul<KB_T, KB_ACT, {act_rounds}, {extras}, 16, 1>",
      "grid":  ["col_blocks", "ceil_div(row_blocks, layers)", "layers"],
      "block": ["cols", "rows"], "pdl": true,
      "args":  ["input", "out", "i32 tokens", "i32 vecs", "i32 gate", "i32 up",
                "expert_ids", "sorted_token_ids", "num_post_padded", "i32 num_valid",
                "i32 step", "f32 limit"] },
    "vec32": {
      "why":   "one 32-byte vector per thread, which sm_100 moves by one instruction",
      "when":  "sm >= 100 && hidden * dtype_bytes % 32 == 0 && !extras && max(tokens, hidden) < 2147483648",
      "let":   { "vecs": "hidden * dtype_bytes / 32", "items": 1 },
      "entry": "act_and_mul<KB_T, KB_ACT, {act_rounds}, false, 32, 1>",
      "grid":  ["col_blocks", "ceil_div(row_blocks, layers)", "layers"],
      "block": ["cols", "rows"], "pdl": true, "align": 32,
      "args":  ["input", "out", "i32 tokens", "i32 vecs", "i32 gate", "i32 up",
                "expert_ids", "sorted_token_ids", "num_post_padded", "i32 num_valid",
                "i32 step", "f32 limit"] },
    "vec8": {
      "why":   "one 8-byte vector per thread: narrower rows, less arithmetic per thread",
      "when":  "hidden * dtype_bytes % 8 == 0 && !extras && max(tokens, hidden) < 2147483648",
      "let":   { "vecs": "hidden * dtype_bytes / 8", "items": 1 },
      "entry": "act_and_mul<KB_T, KB_ACT, {act_rounds}, false, 8, 1>",
      "grid":  ["col_blocks", "ceil_div(row_blocks, layers)", "layers"],
      "block": ["cols", "rows"], "pdl": true,
      "args":  ["input", "out", "i32 tokens", "i32 vecs", "i32 gate", "i32 up",
                "expert_ids", "sorted_token_ids", "num_post_padded", "i32 num_valid",
                "i32 step", "f32 limit"] },
    "vec4": {
      "why":   "two 4-byte vectors per thread: an even number of 16-bit elements in a row",
      "when":  "hidden * dtype_bytes % 4 == 0 && !extras && max(tokens, hidden) < 2147483648",
      "let":   { "vecs": "hidden * dtype_bytes / 4", "items": 2 },
      "entry": "act_and_mul<KB_T, KB_ACT, {act_rounds}, false, 4, 2>",
      "grid":  ["col_blocks", "ceil_div(row_blocks, layers)", "layers"],
      "block": ["cols", "rows"], "pdl": true,
      "args":  ["input", "out", "i32 tokens", "i32 vecs", "i32 gate", "i32 up",
                "expert_ids", "sorted_token_ids", "num_post_padded", "i32 num_valid",
                "i32 step", "f32 limit"] },
    "scalar": {
      "why":   "any width, four elements per thread",
      "when":  "max(tokens, hidden) < 2147483648",
      "let":   { "vecs": "hidden", "items": 4 },
      "entry": "act_and_mul<KB_T, KB_ACT, {act_rounds}, {extras}, sizeof(KB_T), 4>",
      "grid":  ["col_blocks", "ceil_div(row_blocks, layers)", "layers"],
      "block": ["cols", "rows"], "pdl": true,
      "args":  ["input", "out", "i32 tokens", "i32 vecs", "i32 gate", "i32 up",
                "expert_ids", "sorted_token_ids", "num_post_padded", "i32 num_valid",
                "i32 step", "f32 limit"] },
    "vec16_no_pdl": {
      "why":   "vec16 that never starts before the kernel ahead has ended: the same code",
      "when":  "hidden * dtype_bytes % 16 == 0 && max(tokens, hidden) < 2147483648",
      "let":   { "vecs": "hidden * dtype_bytes / 16", "items": 1 },
      "entry": "act_and_mul<KB_T, KB_ACT, {act_rounds}, {extras}, 16, 1>",
      "grid":  ["col_blocks", "ceil_div(row_blocks, layers)", "layers"],
      "block": ["cols", "rows"],
      "args":  ["input", "out", "i32 tokens", "i32 vecs", "i32 gate", "i32 up",
                "expert_ids", "sorted_token_ids", "num_post_padded", "i32 num_valid",
                "i32 step", "f32 limit"] },
    "chain": {
      "why":   "unfused: act(gate) goes to memory and comes back for the product",
      "when":  "round == act && hidden * dtype_bytes % 16 == 0 && !extras && max(tokens, hidden) < 2147483648",
      "let":   { "vecs": "hidden * dtype_bytes / 16", "items": 1 },
      "scratch": { "activated": { "bytes": "tokens * hidden * dtype_bytes" } },
      "launches": [
        { "entry": "act_only<KB_T, KB_ACT>",
          "grid":  ["col_blocks", "ceil_div(row_blocks, layers)", "layers"],
          "block": ["cols", "rows"], "pdl": true,
          "args":  ["input", "activated", "i32 tokens", "i32 vecs", "i32 gate"] },
        { "entry": "mul_up<KB_T>",
          "grid":  ["col_blocks", "ceil_div(row_blocks, layers)", "layers"],
          "block": ["cols", "rows"], "pdl": true,
          "args":  ["input", "activated", "out", "i32 tokens", "i32 vecs",
                    "i32 up"] } ] } } }
*/
#include "kb.cuh"

/* ---- activations ------------------------------------------------------------------------
 * All three are x / (1 + 2^y(x)): one MUFU.EX2, one MUFU.RCP and no branch, so that the
 * arithmetic hides behind the memory in the precise build as well. Infinities and NaN come
 * out right by themselves: for -inf the power is infinite, its reciprocal 0 and -inf * 0
 * NaN. The reciprocal of 2^126 and more is flushed: silu below -87.3 is -0, as the plain
 * formula is below -88.7. */

enum { kSilu, kGelu, kGeluTanh };

KB_DEVICE float silu(float x) {
    const float log2e = 1.44269502f, ln2 = 0.693147182f;
    // y is -x log2 e rounded towards 0. What it lacks, d >= 0, counts |x| times for
    // negative x: exp(-x) = 2^y (1 + d). For positive x it is below rounding, negative, and
    // saturates to 0, as the NaN does that infinities give. The float log2e is a little
    // low, so that d is never of the wrong sign where it counts.
    float y = __fmul_rz(x, -log2e);
    float d = kb_fms_sat(y, -ln2, x);
    return x * kb_rcp(__fmaf_rn(kb_ex2(y), 1.0f + d, 1.0f));
}

KB_DEVICE float gelu_tanh(float x) {
    // x (1 + tanh z) / 2 = x / (1 + exp(-2z)); y = -2z log2 e.
    const float k1 = 2.30220820f;  // 2 sqrt(2 / pi) log2 e
    const float k3 = 0.102943240f; // the same times 0.044715
    float y = x * __fmaf_rn(x * x, -k3, -k1);
    return x * kb_rcp(1.0f + kb_ex2(y));
}

KB_DEVICE float gelu(float x) {
    // y = log2((1 - P) / P), P = (1 + erf(x / sqrt 2)) / 2, as x times a polynomial in x^2:
    // P within 2^-26, and within 1.6 % of itself down to x = -6; past 6 the polynomial goes
    // faster than y does, to P of 0 and 1. (Minimax, by linear programming.)
    const float k[] = {-2.30220876f,    -0.104838464f,   9.94944602e-5f, 1.55982217e-4f,
                       -1.02864231e-5f, 1.86703322e-7f,  1.27831736e-8f, -8.66698125e-10f,
                       2.03021178e-11f, -1.72455853e-13f};
    float x2 = x * x, p = k[9];
#pragma unroll
    for (int i = 8; i >= 0; i--)
        p = __fmaf_rn(p, x2, k[i]);
    return x * kb_rcp(1.0f + kb_ex2(x * p));
}

template <int kAct> KB_DEVICE float act(float x) {
    return kAct == kSilu ? silu(x) : kAct == kGelu ? gelu(x) : gelu_tanh(x);
}

/* ---- kernels ------------------------------------------------------------------------- */

/* What a thread of the block grid works on: 32 bits for rows and columns, whose products
 * have 64. */
struct place {
    unsigned row;
    unsigned col; // of vectors; the next of several is blockDim.x further
};

template <int kItems> KB_DEVICE place here() {
    return {(blockIdx.z * gridDim.y + blockIdx.y) * blockDim.y + threadIdx.y,
            blockIdx.x * (blockDim.x * kItems) + threadIdx.x};
}

/* Where a half of the input's row is, and a row of the output. */
template <int kBytes, class T>
KB_DEVICE const kb_vec<kBytes> *half_of(const T *input, place at, unsigned vecs,
                                        unsigned half) {
    return kb_vecs<kBytes>(input) + ((size_t)at.row * (2 * vecs) + (at.col + half));
}
template <int kBytes, class T> KB_DEVICE auto *row_of(T *out, place at, unsigned vecs) {
    return kb_vecs<kBytes>(out) + ((size_t)at.row * vecs + at.col);
}

/* What only the extras read. */
struct extras {
    const int *expert_ids, *sorted_token_ids, *num_post_padded; // null: none
    int num_valid, step;
    float limit; // 0: no clamp
};

KB_DEVICE bool leaves_out(const extras &e, unsigned row) {
    if (e.expert_ids && e.expert_ids[row / (unsigned)e.step] == -1)
        return true;
    return e.sorted_token_ids &&
           ((int)row >= e.num_post_padded[0] ||
            (unsigned)e.sorted_token_ids[row] >= (unsigned)e.num_valid);
}

/* act(gate) of a vector, rounded to T where asked. NaN passes the clamp. */
template <class T, int kAct, bool kRound, int kBytes, int kN>
KB_DEVICE void activate(const kb_vec<kBytes> &gate, float limit, float (&out)[kN]) {
    kb_unpack<T>(gate, out);
#pragma unroll
    for (int i = 0; i < kN; i++) {
        if (limit > 0.0f)
            out[i] = out[i] > limit ? limit : out[i];
        out[i] = act<kAct>(out[i]);
    }
    if (kRound)
        kb_unpack<T>(kb_pack<T, kBytes>(out), out);
}

template <class T, int kBytes, int kN>
KB_DEVICE kb_vec<kBytes> product(const float (&a)[kN], const kb_vec<kBytes> &up,
                                 float limit) {
    float u[kN];
    kb_unpack<T>(up, u);
#pragma unroll
    for (int i = 0; i < kN; i++) {
        if (limit > 0.0f)
            u[i] = u[i] > limit ? limit : u[i] < -limit ? -limit : u[i];
        u[i] *= a[i];
    }
    return kb_pack<T, kBytes>(u);
}

/* Sizes are in vectors of kBytes: `vecs` in half a row, `gate` and `up` where the halves
 * start. */
template <class T, int kAct, bool kRound, bool kExtras, int kBytes, int kItems>
__global__ void __launch_bounds__(256)
    act_and_mul(const T *input, T *out, int tokens, unsigned vecs, unsigned gate,
                unsigned up, const int *expert_ids, const int *sorted_token_ids,
                const int *num_post_padded, int num_valid, int step, float limit) {
    constexpr int kN = kBytes / sizeof(T);
    const extras e = {expert_ids, sorted_token_ids, num_post_padded, num_valid, step,
                      limit};
    place at = here<kItems>();
    const kb_vec<kBytes> *gates = half_of<kBytes>(input, at, vecs, gate);
    const kb_vec<kBytes> *ups = half_of<kBytes>(input, at, vecs, up);
    kb_vec<kBytes> *results = kExtras && !out
                                  ? const_cast<kb_vec<kBytes> *>(gates) // inplace
                                  : row_of<kBytes>(out, at, vecs);
    kb_vec<kBytes> x[kItems], u[kItems];
    if (!kExtras || kAct != kSilu) // the clamp is silu's
        limit = 0.0f;

    kb_let_next_start();
    kb_wait_inputs();
    if (at.row >= (unsigned)tokens || (kExtras && leaves_out(e, at.row)))
        return;
#pragma unroll // all loads before the first use
    for (int i = 0; i < kItems; i++)
        if (at.col + i * blockDim.x < vecs) {
            x[i] = gates[i * blockDim.x];
            u[i] = ups[i * blockDim.x];
        }
#pragma unroll
    for (int i = 0; i < kItems; i++) {
        float a[kN];
        if (at.col + i * blockDim.x >= vecs)
            return;
        activate<T, kAct, kRound>(x[i], limit, a);
        results[i * blockDim.x] = product<T>(a, u[i], limit);
    }
}

/* The chain: 16-byte vectors, as vec16. */

template <class T, int kAct>
__global__ void __launch_bounds__(256)
    act_only(const T *input, T *activated, int tokens, unsigned vecs, unsigned gate) {
    float a[16 / sizeof(T)];
    place at = here<1>();
    kb_let_next_start();
    kb_wait_inputs();
    if (at.row >= (unsigned)tokens || at.col >= vecs)
        return;
    activate<T, kAct, false>(*half_of<16>(input, at, vecs, gate), 0.0f, a);
    *row_of<16>(activated, at, vecs) = kb_pack<T, 16>(a);
}

template <class T>
__global__ void __launch_bounds__(256) mul_up(const T *input, const T *activated, T *out,
                                              int tokens, unsigned vecs, unsigned up) {
    float a[16 / sizeof(T)];
    place at = here<1>();
    kb_let_next_start();
    kb_wait_inputs();
    if (at.row >= (unsigned)tokens || at.col >= vecs)
        return;
    kb_unpack<T>(*row_of<16>(activated, at, vecs), a);
    *row_of<16>(out, at, vecs) = product<T>(a, *half_of<16>(input, at, vecs, up), 0.0f);
}
