// mla_kv_pack_quantize: keys [k_nope | k_pe] and values to e4m3, k_pe for every head
//
//     code = e4m3(float(x) * scale), saturating
//
// vec16 - 16 elements to a thread: two 16-byte loads, one 16-byte store. A token and head
//         has 12 such pieces of the key and 8 of the value.
// chain - what a framework without fusion runs: the key put together in its own dtype, then
//         key and value converted.
/* kbench
{ "ops": ["mla_kv_pack_quantize"],
  "variants": {
    "vec16": {
      "why":   "16 elements to a thread, one 16-byte store",
      "let":   { "pieces": "tokens * heads * 20" },
      "entry": "pack_quantize<KB_T>",
      "grid":  "ceil_div(pieces, 256)", "block": 256, "pdl": true,
      "args":  ["k_nope", "v", "kv", "k_pe", "k_fp8", "v_fp8", "i64 pieces", "i32 heads", "f32 scale"] },
    "chain": {
      "why":   "unfused: the key put together in memory, then both converted",
      "scratch": { "key": { "bytes": "tokens * heads * 192 * dtype_bytes" } },
      "launches": [
        { "entry": "join_key<KB_T>",
          "grid":  "ceil_div(tokens * heads * 24, 256)", "block": 256, "pdl": true,
          "args":  ["k_nope", "kv", "k_pe", "key", "i64 tokens * heads * 24", "i32 heads"] },
        { "entry": "quantize<KB_T>",
          "grid":  "ceil_div(tokens * heads * 12, 256)", "block": 256, "pdl": true,
          "args":  ["key", "k_fp8", "i64 tokens * heads * 12", "f32 scale"] },
        { "entry": "quantize_values<KB_T>",
          "grid":  "ceil_div(tokens * heads * 8, 256)", "block": 256, "pdl": true,
          "args":  ["v", "kv", "v_fp8", "i64 tokens * heads * 8", "f32 scale"] } ] } } }
*/
#include "kb.cuh"

enum { kNope = 128, kPe = 64, kValue = 128, kPiece = 16 };

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

/* With kv, k_nope and v are its slices. */
template <class T>
__global__ void __launch_bounds__(256)
    pack_quantize(const T *k_nope, const T *v, const T *kv, const T *k_pe,
                  unsigned char *k_fp8, unsigned char *v_fp8, long long pieces, int heads,
                  float scale) {
    constexpr int kKeyPieces = (kNope + kPe) / kPiece, kPieces = kKeyPieces + kValue / kPiece;
    long long at = (long long)blockIdx.x * 256 + threadIdx.x;
    long long row = at / kPieces; // of token and head
    int piece = (int)(at - row * kPieces);
    bool key = piece < kKeyPieces;
    long long pitch = kv ? kNope + kValue : kNope; // elements from one head to the next
    const T *in = key ? (kv ? kv : k_nope) + row * pitch + piece * kPiece
                      : (kv ? kv + kNope : v) + row * pitch + (piece - kKeyPieces) * kPiece;
    if (key && piece >= kNope / kPiece)
        in = k_pe + row / heads * kPe + (piece * kPiece - kNope);

    kb_let_next_start();
    kb_wait_inputs();
    if (at >= pieces)
        return;
    kb_vec<16> codes = codes_of(in, scale);
    if (key)
        kb_vecs<16>(k_fp8)[row * kKeyPieces + piece] = codes;
    else
        kb_vecs<16>(v_fp8)[row * (kPieces - kKeyPieces) + piece - kKeyPieces] = codes;
}

/* The chain: 16-byte vectors of the key, 24 to a token and head. */
template <class T>
__global__ void __launch_bounds__(256)
    join_key(const T *k_nope, const T *kv, const T *k_pe, T *key, long long vecs,
             int heads) {
    long long at = (long long)blockIdx.x * 256 + threadIdx.x, row = at / 24;
    int vec = (int)(at - row * 24);
    const T *nope = kv ? kv + row * (kNope + kValue) : k_nope + row * kNope;
    const T *in = vec < kNope / 8 ? nope + vec * 8 : k_pe + row / heads * kPe + vec * 8 - kNope;
    kb_let_next_start();
    kb_wait_inputs();
    if (at < vecs)
        kb_vecs<16>(key)[at] = *kb_vecs<16>(in);
}

template <class T>
__global__ void __launch_bounds__(256)
    quantize(const T *in, unsigned char *out, long long pieces, float scale) {
    long long at = (long long)blockIdx.x * 256 + threadIdx.x;
    kb_let_next_start();
    kb_wait_inputs();
    if (at < pieces)
        kb_vecs<16>(out)[at] = codes_of(in + at * kPiece, scale);
}

template <class T>
__global__ void __launch_bounds__(256)
    quantize_values(const T *v, const T *kv, unsigned char *out, long long pieces,
                    float scale) {
    long long at = (long long)blockIdx.x * 256 + threadIdx.x, row = at / (kValue / kPiece);
    const T *in = kv ? kv + row * kNope + kNope : v; // 128 more to a row than in v
    kb_let_next_start();
    kb_wait_inputs();
    if (at < pieces)
        kb_vecs<16>(out)[at] = codes_of(in + at * kPiece, scale);
}
