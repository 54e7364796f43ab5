// act_and_mul: out[r][c] = act(gate[r][c]) * up[r][c], a row of the input being [gate | up]
//
//     silu       act(x) = x / (1 + exp(-x))
//     gelu       act(x) = x * P(x), P(x) = (1 + erf(x / sqrt 2)) / 2
//     gelu_tanh  act(x) = x / (1 + exp(-2z)), z = sqrt(2 / pi) * (x + 0.044715 x^3)
//
// round=once rounds the product to the dtype, round=act act(x) as well. layout=up_gate has
// the halves the other way round, which costs nothing here. The extras are compiled apart:
// rows that a filter leaves out, clamp, rows with a pitch, and inplace, where results take
// the gate's place.
//
// tiny   - two elements per thread, four, or 16 bytes. What a small case adds to the time of
// small    its memory is the arithmetic of one thread, whose MUFU takes 8 cycles for a warp:
// vec16    fewer elements are faster until there are too many threads. Seen on an H100, ns
//          over the stream kernel of the same bytes, gelu in bf16, tiny / small / vec16: 7x16
//          49 / 71 / 127, 1x2048 21 / 55 / 90, 64x2048 62 / 36 / 99, 16x65536 585 / 76 / 98.
//          Large cases by small: 2 % faster there, but 2 to 5 % slower on an H200.
// vec32  - 32 bytes, by the accesses of sm_100.
// vec8   - four elements per thread, read in pieces that divide the row and written at
// vec4     once, for rows that 16 bytes do not divide.
// odd
// scalar - four single elements of a row per thread: what the others do not take.
// vec16_no_pdl - without programmatic dependent launch, for what that is worth.
// chain  - what a framework without fusion runs: act(gate) to memory, then the product. Its
//          act(x) is rounded to the dtype on the way, so it is right for round=act only.
//
// What else was tried, on an H100 and an H200, in ns for cases below 3 us. Blocks of rows,
// so that a thread knows its row without a division: 35 to 60 more than one dimension, and
// so is all that comes from a second index of the block, by the uniform datapath. Addresses
// after the wait for inputs, where the compiler puts them by itself: up to 28 more. Warps
// that fetch the code ahead of the data: 30 to 70 more. gelu with a term less: 2 to 7 less,
// not worth its error; its terms in pairs, fewer kernel arguments: nothing. Two vectors of 8
// bytes per thread: worse than one of 16. Blocks of 128 threads: 25 less for few wide rows,
// as much more elsewhere.
/* kbench
{ "ops": ["silu", "gelu", "gelu_tanh"],
  "let": { "vecs": "hidden * dtype_bytes / piece",
           "in_vecs": "in_stride * dtype_bytes / piece",
           "out_vecs": "out_stride * dtype_bytes / piece",
           "gate": "layout == up_gate ? vecs : 0",
           "blocks": "ceil_div(tokens * vecs, per * threads)",
           "cols": "ceil_div(vecs, per * ceil_div(vecs, per * threads))",
           "rows": "threads / cols",
           "col_blocks": "ceil_div(vecs, per * cols)",
           "row_blocks": "ceil_div(tokens, rows)",
           "layers": "max(1, ceil_div(row_blocks, 65535))",
           "pitched": "in_pitch > 0 || out_pitch > 0",
           "act_rounds": "round == act && dtype_bytes < 4",
           "extras": "filter != none || clamp > 0 || inplace != no || pitched" },
  "grid":  "blocks", "block": "threads", "pdl": true,
  "args":  ["input", "out", "u32 tokens * vecs", "u32 vecs", "u64 9223372036854775807 / vecs",
            "u32 gate", "u32 vecs - gate", "expert_ids", "sorted_token_ids", "num_post_padded",
            "i32 num_valid", "i32 step", "f32 limit", "u32 in_vecs", "u32 out_vecs"],
  "variants": {
    "tiny": {
      "why":   "two elements per thread: the least arithmetic in a row",
      "when":  "hidden % 2 == 0 && !extras && tokens * hidden <= (dtype_bytes == 2 ? 4096 : 16384)",
      "defines": { "KB_THREADS": 128 },
      "let":   { "piece": "2 * dtype_bytes", "per": 1, "threads": "KB_THREADS" },
      "entry": "act_and_mul<KB_T, KB_ACT, {act_rounds}, false, 2 * sizeof(KB_T), 1, KB_THREADS>",
      "backends": ["cuda"] },
    "small": {
      "why":   "four elements per thread, where the time is one thread's arithmetic and not the memory's",
      "when":  "hidden % 4 == 0 && dtype_bytes == 2 && !extras && tokens * hidden <= sm_count * 16384",
      "defines": { "KB_THREADS": 0 },
      "let":   { "piece": "4 * dtype_bytes", "per": 1,
                 "threads": "KB_THREADS ? KB_THREADS : hidden > 8192 && tokens * hidden <= sm_count * 1024 ? 128 : 256" },
      "entry": "act_and_mul<KB_T, KB_ACT, {act_rounds}, false, 4 * sizeof(KB_T), 1, {threads}>",
      "backends": ["cuda"] },
    "vec16": {
      "why":   "one 16-byte vector per thread",
      "when":  "hidden * dtype_bytes % 16 == 0 && in_stride * dtype_bytes % 16 == 0 && out_stride * dtype_bytes % 16 == 0 && tokens * max(in_vecs, out_vecs) < 4294967296",
      "defines": { "KB_THREADS": 256 },
      "let":   { "piece": 16, "per": 1, "threads": "KB_THREADS" },
      "entry": "act_and_mul<KB_T, KB_ACT, {act_rounds}, {extras}, 16, 1, KB_THREADS>" },
    "vec32": {
      "why":   "one 32-byte vector per thread, which sm_100 moves by one instruction",
      "when":  "sm >= 100 && hidden * dtype_bytes % 32 == 0 && !extras && tokens * vecs < 2147483648",
      "defines": { "KB_THREADS": 256 },
      "let":   { "piece": 32, "per": 1, "threads": "KB_THREADS" },
      "entry": "act_and_mul<KB_T, KB_ACT, {act_rounds}, false, 32, 1, KB_THREADS>",
      "align": 32 },
    "vec8": {
      "why":   "four elements per thread, read 8 bytes at a time",
      "when":  "hidden * dtype_bytes % 8 == 0 && !extras && tokens * vecs < 2147483648",
      "defines": { "KB_THREADS": 256 },
      "let":   { "piece": 8, "per": "dtype_bytes / 2", "threads": "KB_THREADS" },
      "entry": "act_and_mul<KB_T, KB_ACT, {act_rounds}, false, 8, sizeof(KB_T) / 2, KB_THREADS>" },
    "vec4": {
      "why":   "four elements per thread, read 4 bytes at a time",
      "when":  "hidden * dtype_bytes % 4 == 0 && hidden >= 4 && !extras && tokens * vecs < 2147483648",
      "defines": { "KB_THREADS": 256 },
      "let":   { "piece": 4, "per": "dtype_bytes", "threads": "KB_THREADS" },
      "entry": "act_and_mul<KB_T, KB_ACT, {act_rounds}, false, 4, sizeof(KB_T), KB_THREADS>" },
    "odd": {
      "why":   "four elements per thread, read one by one and written at once: any width",
      "when":  "hidden >= 4 && !extras && tokens * vecs < 2147483648",
      "defines": { "KB_THREADS": 256 },
      "let":   { "piece": "dtype_bytes", "per": 4, "threads": "KB_THREADS" },
      "entry": "act_and_mul<KB_T, KB_ACT, {act_rounds}, false, sizeof(KB_T), 4, KB_THREADS>" },
    "scalar": {
      "why":   "any width, any pitch and any size, four elements per thread",
      "when":  "max(tokens, hidden) < 2147483648 && max(in_stride, out_stride) < 4294967296",
      "let":   { "piece": "dtype_bytes", "per": 4, "threads": 256 },
      "entry": "act_and_mul_rows<KB_T, KB_ACT, {act_rounds}, sizeof(KB_T), 4>",
      "grid":  ["col_blocks", "ceil_div(row_blocks, layers)", "layers"],
      "block": ["cols", "rows"], "align": 2,
      "args":  ["input", "out", "i32 tokens", "i32 vecs", "i32 gate", "i32 vecs - gate",
                "expert_ids", "sorted_token_ids", "num_post_padded", "i32 num_valid",
                "i32 step", "f32 limit", "u32 in_vecs", "u32 out_vecs"] },
    "vec16_no_pdl": {
      "why":   "vec16 that never starts before the kernel ahead has ended: the same code",
      "when":  "hidden * dtype_bytes % 16 == 0 && !pitched && tokens * vecs < 2147483648",
      "defines": { "KB_THREADS": 256 },
      "let":   { "piece": 16, "per": 1, "threads": "KB_THREADS" },
      "entry": "act_and_mul<KB_T, KB_ACT, {act_rounds}, {extras}, 16, 1, KB_THREADS>",
      "pdl":   false },
    "chain": {
      "why":   "unfused: act(gate) goes to memory and comes back for the product",
      "when":  "round == act && hidden * dtype_bytes % 16 == 0 && !extras && max(tokens, hidden) < 2147483648",
      "let":   { "piece": 16, "per": 1, "threads": 256 },
      "scratch": { "activated": { "bytes": "tokens * hidden * dtype_bytes" } },
      "launches": [
        { "entry": "act_only<KB_T, KB_ACT>",
          "grid":  ["col_blocks", "ceil_div(row_blocks, layers)", "layers"],
          "block": ["cols", "rows"],
          "args":  ["input", "activated", "i32 tokens", "i32 vecs", "i32 gate"] },
        { "entry": "mul_up<KB_T>",
          "grid":  ["col_blocks", "ceil_div(row_blocks, layers)", "layers"],
          "block": ["cols", "rows"],
          "args":  ["input", "activated", "out", "i32 tokens", "i32 vecs",
                    "i32 vecs - gate"] } ] } } }
*/
#include "kb.cuh"

/* ---- activations ------------------------------------------------------------------------
 * All three are x / (1 + 2^y(x)): one MUFU.EX2, one MUFU.RCP and no branch, so that the
 * arithmetic hides behind the memory in the precise build as well. Infinities and NaN come
 * out right by themselves: for -inf the power is infinite, its reciprocal 0 and -inf * 0
 * NaN. The reciprocal of 2^126 and more is flushed: silu below -87.3 is -0, as the plain
 * formula is below -88.7. Subnormal numbers stay as they are in fast-math builds, too. */

enum { kSilu, kGelu, kGeluTanh };

KB_DEVICE float silu(float x) {
    const float log2e = 1.44269502f, ln2 = 0.693147182f;
    // y is -x log2 e rounded towards 0. What it lacks, d >= 0, counts |x| times for
    // negative x: exp(-x) = 2^y (1 + d). For positive x it is below rounding, negative, and
    // saturates to 0, as the NaN does that infinities give. The float log2e is a little
    // low, so that d is never of the wrong sign where it counts.
    float y = __fmul_rz(x, -log2e);
    float d = kb_fms_sat(y, -ln2, x);
    return kb_mul(x, kb_rcp(__fmaf_rn(kb_ex2(y), 1.0f + d, 1.0f)));
}

KB_DEVICE float gelu_tanh(float x) {
    // x (1 + tanh z) / 2 = x / (1 + exp(-2z)); y = -2z log2 e.
    const float k1 = 2.30220820f;  // 2 sqrt(2 / pi) log2 e
    const float k3 = 0.102943240f; // the same times 0.044715
    float y = x * __fmaf_rn(x * x, -k3, -k1);
    return kb_mul(x, kb_rcp(1.0f + kb_ex2(y)));
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
    return kb_mul(x, kb_rcp(1.0f + kb_ex2(x * p)));
}

template <int kAct> KB_DEVICE float act(float x) {
    return kAct == kSilu ? silu(x) : kAct == kGelu ? gelu(x) : gelu_tanh(x);
}

/* ---- what a vector comes to ---------------------------------------------------------- */

/* act(gate) of a vector, rounded to T where asked. NaN passes the clamp. */
template <class T, int kAct, bool kRound, int kBytes, int kN>
KB_REGISTERS void activate(const kb_vec<kBytes> &gate, float limit, float (&out)[kN]) {
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
KB_REGISTERS void multiply(const float (&a)[kN], const kb_vec<kBytes> &up, float limit,
                        float *out) {
    float u[kN];
    kb_unpack<T>(up, u);
#pragma unroll
    for (int i = 0; i < kN; i++) {
        if (limit > 0.0f)
            u[i] = u[i] > limit ? limit : u[i] < -limit ? -limit : u[i];
        u[i] = kb_mul(u[i], a[i]);
        out[i] = u[i];
    }
}

template <class T, int kBytes, int kN>
KB_REGISTERS kb_vec<kBytes> product(const float (&a)[kN], const kb_vec<kBytes> &up,
                                 float limit) {
    float r[kN];
    multiply<T>(a, up, limit, r);
    return kb_pack<T, kBytes>(r);
}

/* What only the extras read. */
struct extras {
    const int *expert_ids, *sorted_token_ids, *num_post_padded; // null: none
    int num_valid, step;
};

template <int kAct, bool kExtras> KB_DEVICE float limit_of(float limit) {
    return kExtras && kAct == kSilu ? limit : 0.0f; // the clamp is silu's
}

KB_DEVICE bool leaves_out(const extras &e, unsigned row) {
    if (e.expert_ids && e.expert_ids[row / (unsigned)e.step] == -1)
        return true;
    return e.sorted_token_ids &&
           ((int)row >= e.num_post_padded[0] ||
            (unsigned)e.sorted_token_ids[row] >= (unsigned)e.num_valid);
}

/* ---- one vector per thread --------------------------------------------------------------
 * The threads of the grid are the vectors of the output, which knows no rows: only the
 * inputs do. They are read in pieces of kPiece bytes, of which a row has a whole number,
 * kPer of them to a vector; it is in pieces that sizes are. */

/* n / vecs, for n below 2^31: n + 1 times 2^64 / vecs, which is too small by so little that
 * the product never lacks a row. (Shifts and one multiplication by a 32-bit inverse take as
 * long; two need no power of two from the contract.) */
KB_DEVICE unsigned row_at(unsigned n, unsigned long long inverse) {
    unsigned twice = 2 * n + 2, low = (unsigned)inverse, high = (unsigned)(inverse >> 32);
    return (unsigned)(((unsigned long long)twice * high + __umulhi(twice, low)) >> 32);
}

/* `count` pieces in the output, `vecs` in its rows; `gate` and `up` are where the halves of
 * the input's rows start. Among the extras are rows that begin in_vecs and out_vecs pieces
 * apart; without them these are 2 * vecs and vecs. */
template <class T, int kAct, bool kRound, bool kExtras, int kPiece, int kPer, int kThreads>
__global__ void __launch_bounds__(kThreads)
    act_and_mul(const T *input, T *out, unsigned count, unsigned vecs,
                unsigned long long inverse, unsigned gate, unsigned up,
                const int *expert_ids, const int *sorted_token_ids,
                const int *num_post_padded, int num_valid, int step, float limit,
                unsigned in_vecs, unsigned out_vecs) {
    constexpr int kN = kPiece / sizeof(T);
    static_assert(!kExtras || kPer == 1, "with a pitch, what follows a row is no other one");
    const extras e = {expert_ids, sorted_token_ids, num_post_padded, num_valid, step};
    const kb_vec<kPiece> *in = kb_vecs<kPiece>(input);
    const unsigned at = (blockIdx.x * kThreads + threadIdx.x) * kPer;
    const unsigned row = row_at(at, inverse);
    const unsigned more = kExtras ? in_vecs - vecs : vecs; // of a row of the input
    const unsigned to = kExtras ? at + row * (out_vecs - vecs) : at;
    const kb_vec<kPiece> *gates = kb_at(in, row * more + (at + gate));
    const kb_vec<kPiece> *ups = kb_at(in, row * more + (at + up));
    kb_vec<kPiece> *results = kExtras && !out
                                  ? const_cast<kb_vec<kPiece> *>(gates) // inplace
                                  : kb_at(kb_vecs<kPiece>(out), to);
    kb_vec<kPiece> x[kPer], u[kPer];
    float a[kN], r[kPer * kN];
    limit = limit_of<kAct, kExtras>(limit);

    kb_let_next_start();
    kb_wait_inputs();
    if (at >= count || (kExtras && leaves_out(e, row)))
        return;
#pragma unroll // all loads before the first use
    for (int i = 0; i < kPer; i++) {
        // past the end of the row, the next one is behind the other half
        unsigned skip = i > 0 && at + i >= (row + 1) * vecs ? vecs : 0;
        if (i == 0 || at + i < count) {
            x[i] = gates[i + skip];
            u[i] = ups[i + skip];
        }
    }
#pragma unroll
    for (int i = 0; i < kPer; i++) {
        activate<T, kAct, kRound>(x[i], limit, a);
        multiply<T>(a, u[i], limit, r + i * kN);
    }
    if (kPer == 1 || at + kPer <= count)
        *reinterpret_cast<kb_vec<kPer * kPiece> *>(results) =
            kb_pack<T, kPer * kPiece>(r);
    else
        for (int i = 0; i < kPer && at + i < count; i++) {
#pragma unroll
            for (int k = 0; k < kN; k++)
                a[k] = r[i * kN + k];
            results[i] = kb_pack<T, kPiece>(a);
        }
}

/* ---- rows of threads --------------------------------------------------------------------
 * A block is `cols` vectors of each of `rows` rows, so that a thread knows its row without
 * a division and sizes have no limit. Blocks go along a row first, as the addresses do;
 * rows lie in y and, past 65535 blocks, in z. */

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

/* Where a half of the input's row is, and a row of the output: rows are `stride` apart. */
template <int kBytes, class T>
KB_DEVICE const kb_vec<kBytes> *half_of(const T *input, place at, unsigned stride,
                                        unsigned half) {
    return kb_vecs<kBytes>(input) + ((size_t)at.row * stride + (at.col + half));
}
template <int kBytes, class T> KB_DEVICE auto *row_of(T *out, place at, unsigned stride) {
    return kb_vecs<kBytes>(out) + ((size_t)at.row * stride + at.col);
}

/* Sizes are in vectors of kBytes. With the extras, whether or not a case has any: what comes
 * here is rare, and there are half as many kernels for the host to compile. */
template <class T, int kAct, bool kRound, int kBytes, int kItems>
__global__ void __launch_bounds__(256)
    act_and_mul_rows(const T *input, T *out, int tokens, unsigned vecs, unsigned gate,
                     unsigned up, const int *expert_ids, const int *sorted_token_ids,
                     const int *num_post_padded, int num_valid, int step, float limit,
                     unsigned in_vecs, unsigned out_vecs) {
    constexpr int kN = kBytes / sizeof(T);
    const extras e = {expert_ids, sorted_token_ids, num_post_padded, num_valid, step};
    place at = here<kItems>();
    const kb_vec<kBytes> *gates = half_of<kBytes>(input, at, in_vecs, gate);
    const kb_vec<kBytes> *ups = half_of<kBytes>(input, at, in_vecs, up);
    kb_vec<kBytes> *results = out ? row_of<kBytes>(out, at, out_vecs)
                                  : const_cast<kb_vec<kBytes> *>(gates); // inplace
    kb_vec<kBytes> x[kItems], u[kItems];
    limit = limit_of<kAct, true>(limit);

    kb_let_next_start();
    kb_wait_inputs();
    if (at.row >= (unsigned)tokens || leaves_out(e, at.row))
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
    activate<T, kAct, false>(*half_of<16>(input, at, 2 * vecs, gate), 0.0f, a);
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
    *row_of<16>(out, at, vecs) = product<T>(a, *half_of<16>(input, at, 2 * vecs, up), 0.0f);
}
