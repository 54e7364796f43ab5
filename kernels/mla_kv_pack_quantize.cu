// mla_kv_pack_quantize: keys [k_nope | k_pe] and values to e4m3, k_pe for every head
//
//     code = e4m3(float(x) * scale), saturating
//
// vec16  - 16 elements to a thread: two 16-byte loads, one 16-byte store. A token and head
//          has 12 such pieces of the key and 8 of the value. A block works within a token,
//          one after the other through its heads: on an H200 by graph 3.63 us for 64 tokens
//          of 128 heads, 27.6 for 1024. Blocks of 256 anywhere, with a division for each
//          thread, took 3.82 and 28.0; of 320 or 640 threads 3.69 and 3.82, 28.0 and 29.4;
//          tokens before heads in the grid 3.55 and 28.7.
// scalar - one element to a thread, for pitches that 16 bytes do not divide.
// chain  - what a framework without fusion runs: the key put together in its own dtype, then
//          key and value converted.
//
// Tokens are in_pitch elements apart in k_nope and v, or in kv, whose slices they are then;
// pe_pitch in k_pe, the last 64 of them; k_pitch and v_pitch in the results.
/* kbench
{ "ops": ["mla_kv_pack_quantize"],
  "grid": "tokens * ceil_div(pieces, 160)", "block": 160, "pdl": true,
  "args": ["k_nope", "v", "kv", "k_pe", "k_fp8", "v_fp8", "i32 pieces", "i32 ceil_div(pieces, 160)", "i64 in_pitch",
           "i64 pe_pitch", "i64 k_pitch", "i64 v_pitch", "f32 scale"],
  "variants": {
    "vec16": {
      "why":   "16 elements to a thread, one 16-byte store",
      "when":  "in_pitch * dtype_bytes % 16 == 0 && pe_pitch * dtype_bytes % 16 == 0 && k_pitch % 16 == 0 && v_pitch % 16 == 0",
      "let":   { "pieces": "heads * 20" },
      "entry": "pack_quantize<KB_T, 16>" },
    "scalar": {
      "why":   "one element to a thread, for any pitch",
      "let":   { "pieces": "heads * 320" },
      "entry": "pack_quantize<KB_T, 1>" },
    "chain": {
      "why":   "unfused: the key put together in memory, then both converted",
      "when":  "in_pitch * dtype_bytes % 16 == 0 && pe_pitch * dtype_bytes % 16 == 0 && k_pitch % 16 == 0 && v_pitch % 16 == 0",
      "scratch": { "key": { "bytes": "tokens * heads * 192 * dtype_bytes" } },
      "launches": [
        { "entry": "join_key<KB_T>",
          "grid":  "ceil_div(tokens * heads * 24, 256)", "block": 256,
          "args":  ["k_nope", "kv", "k_pe", "key", "i64 tokens * heads * 24", "i32 heads", "i64 in_pitch",
                    "i64 pe_pitch"] },
        { "entry": "quantize_key<KB_T>",
          "grid":  "ceil_div(tokens * heads * 12, 256)", "block": 256,
          "args":  ["key", "k_fp8", "i64 tokens * heads * 12", "i32 heads", "i64 k_pitch", "f32 scale"] },
        { "entry": "quantize_values<KB_T>",
          "grid":  "ceil_div(tokens * heads * 8, 256)", "block": 256,
          "args":  ["v", "kv", "v_fp8", "i64 tokens * heads * 8", "i32 heads", "i64 in_pitch", "i64 v_pitch",
                    "f32 scale"] } ] } } }
*/
#include "kb.cuh"

enum { kNope = 128, kPe = 64, kKey = kNope + kPe, kValue = 128, kPiece = 16 };

/* That of a row, one of `heads` to a token. 64-bit divisions are slow and seldom needed. */
KB_DEVICE long long token_of(long long row, int heads) {
    return row <= 0x7fffffff ? (int)row / heads : row / heads;
}

/* 16 elements from `in` to 16 codes. */
template <class T> KB_DEVICE kb_vec<16> codes_of(const T *in, float scale) {
    kb_vec<16> out;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float x[8];
        kb_unpack<T>(kb_vecs<16>(in)[half], x);
#pragma unroll
        for (int i = 0; i < 8; i += 4)
            out.word[half * 2 + i / 4] = kb_e4m3x4(x[i] * scale, x[i + 1] * scale,
                                                   x[i + 2] * scale, x[i + 3] * scale);
    }
    return out;
}

template <class T, int kN> KB_DEVICE void store_codes(unsigned char *out, const T *in, float scale) {
    if constexpr (kN == kPiece)
        *kb_vecs<16>(out) = codes_of(in, scale);
    else
        *out = (unsigned char)kb_e4m3_code(to_f32(*in) * scale);
}

/* Where a head's part of k_nope or v is: in a tensor of heads as wide as it, or with kv in
 * the slice from `start` on. */
template <class T>
KB_DEVICE const T *head_of(const T *own, const T *kv, int start, long long token, int head,
                           long long pitch) {
    const T *row = (kv ? kv : own) + token * pitch;
    return kv ? row + head * (kNope + kValue) + start : row + head * kNope;
}

/* kN elements of a key or a value to a thread, of the `pieces` of a token, which are
 * `blocks` blocks' work. */
template <class T, int kN>
__global__ void __launch_bounds__(160)
    pack_quantize(const T *k_nope, const T *v, const T *kv, const T *k_pe,
                  unsigned char *k_fp8, unsigned char *v_fp8, int pieces, int blocks,
                  long long in_pitch, long long pe_pitch, long long k_pitch,
                  long long v_pitch, float scale) {
    constexpr int kPieces = (kKey + kValue) / kN;
    long long token = blockIdx.x / (unsigned)blocks;
    int at = (int)(blockIdx.x % (unsigned)blocks * 160 + threadIdx.x);
    int head = at / kPieces, d = at % kPieces * kN;
    bool key = d < kKey;
    const T *in = key ? head_of(k_nope, kv, 0, token, head, in_pitch) + d
                      : head_of(v, kv, kNope, token, head, in_pitch) + d - kKey;
    if (key && d >= kNope)
        in = k_pe + (token + 1) * pe_pitch - kPe + (d - kNope);
    unsigned char *out = key ? k_fp8 + token * k_pitch + head * kKey + d
                             : v_fp8 + token * v_pitch + head * kValue + (d - kKey);

    kb_let_next_start();
    kb_wait_inputs();
    if (at < pieces)
        store_codes<T, kN>(out, in, scale);
}

/* The chain: 16-byte vectors of the key, 24 to a token and head. */
template <class T>
__global__ void __launch_bounds__(256)
    join_key(const T *k_nope, const T *kv, const T *k_pe, T *key, long long vecs, int heads,
             long long in_pitch, long long pe_pitch) {
    long long at = (long long)blockIdx.x * 256 + threadIdx.x, row = at / 24;
    long long token = token_of(row, heads);
    int head = (int)(row - token * heads), d = (int)(at - row * 24) * 8;
    const T *in = d < kNope ? head_of(k_nope, kv, 0, token, head, in_pitch) + d
                            : k_pe + (token + 1) * pe_pitch - kPe + (d - kNope);
    kb_let_next_start();
    kb_wait_inputs();
    if (at < vecs)
        kb_vecs<16>(key)[at] = *kb_vecs<16>(in);
}

template <class T>
__global__ void __launch_bounds__(256)
    quantize_key(const T *in, unsigned char *out, long long pieces, int heads,
                 long long pitch, float scale) {
    constexpr int kPieces = kKey / kPiece;
    long long at = (long long)blockIdx.x * 256 + threadIdx.x;
    long long token = token_of(at / kPieces, heads), in_token = at - token * heads * kPieces;
    kb_let_next_start();
    kb_wait_inputs();
    if (at < pieces)
        store_codes<T, kPiece>(out + token * pitch + in_token * kPiece, in + at * kPiece,
                               scale);
}

template <class T>
__global__ void __launch_bounds__(256)
    quantize_values(const T *v, const T *kv, unsigned char *out, long long pieces, int heads,
                    long long in_pitch, long long v_pitch, float scale) {
    constexpr int kPieces = kValue / kPiece;
    long long at = (long long)blockIdx.x * 256 + threadIdx.x, row = at / kPieces;
    long long token = token_of(row, heads);
    int head = (int)(row - token * heads), d = (int)(at - row * kPieces) * kPiece;
    kb_let_next_start();
    kb_wait_inputs();
    if (at < pieces)
        store_codes<T, kPiece>(out + token * v_pitch + head * kValue + d,
                               head_of(v, kv, kNope, token, head, in_pitch) + d, scale);
}
