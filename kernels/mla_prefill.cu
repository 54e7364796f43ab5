// mla_prefill: attention with keys of 192 and values of 128, over a ragged batch
//
//     out[i][h] = softmax_j(scale * query[i][h] . key[j][kv(h)]) value[j][kv(h)], over the
//     keys j that query i sees; lse the logarithm of the sum of exp
//
// wgmma   - sm_90's own: a block of three warpgroups works on 128 queries of a head; one brings
//           keys and values by the copy engine, two multiply by wgmma (kb_mla_wgmma.cuh). On an
//           H200 in bf16, 16 heads, no mask and causal, cold: 4096 keys 750 and 640 TFLOP/s,
//           16384 keys 800 and 790; 128 heads of 1024 keys 550 and 430.
// wgmma8  - the same in e4m3: values are turned in shared memory, scores and outputs summed in
//           parts, of which tensor cores lose nothing that counts. There 4096 keys 880 and 790,
//           16384 keys 950 and 950; 128 heads of 1024 keys 710 and 600. A fourth of the
//           exponentials by polynomials lost 5 %; in 16 bits, two blocks of a cluster that
//           share what they load gained no more than 3 %, and nothing under the mask.
// mma     - tensor cores by mma.sync: a block has 64 queries of a head, a warp 16 of them, and
//           goes along the keys 64 at a time. Scores stay in registers: the C fragments of the
//           first product are the A fragments of the second one, and ldmatrix transposes
//           value on its way; in 8 bits keys and outputs are then in another order inside a
//           fragment, which no sum minds. The next keys arrive while these are worked on.
//           On an H200, 16 heads and 4096 keys, no mask: 211 TFLOP/s in e4m3, which sm_90
//           unpacks to fp16 for mma.sync, 234 in bf16; on an H100 207 and 216. Three blocks
//           to an SM spill and were slower by 3 % and 20 %; without stages, and value
//           transposed by hand, 101 and 65.
// simt    - one warp to a query and head, 32 keys at a time, all in fp32.
// chunked - a prefix in two chunks, as serving engines have it: the new tokens among
//           themselves, then each chunk without a mask, merged by their lse.
// chain   - unfused: scores to memory, softmax, probabilities in the input's dtype, product.
//
// Sums are of base 2: score * scale * log2 e. In e4m3 probabilities are 256 times as large
// as they are, which costs nothing and keeps 2^-17 where 2^-9 would be the least.
/* kbench
{ "ops": ["mla_prefill"],
  "let": { "log2_scale": "softmax_scale * 1.4426950408889634", "pitch": "v_pitch", "start": "v_start",
           "lse_unit": "lse == e ? 1 : lse == none ? 0 : 2", "mask": "causal == yes ? 1 : 0",
           "wide_tiles": "ceil_div(q_tokens, 128) + sequences - 1", "head_bytes": "max(kv_longest, 1) * 320 * dtype_bytes",
           "near_heads": "min(heads, max(heads / kv_heads, next_pow2(33554432 / head_bytes)))" },
  "grid": ["q_tokens", "ceil_div(heads, 4)"], "block": [32, 4], "pdl": true,
  "variants": {
    "wgmma": {
      "why":   "tensor cores by wgmma, 128 queries and 128 keys at a time",
      "arch":  "90a", "backends": ["cuda"], "dtypes": ["bf16", "fp16"],
      "when":  "q_tokens > 0 && kv_tokens > 0 && q_pitch * dtype_bytes % 16 == 0 && k_pitch * dtype_bytes % 16 == 0",
      "entry": "mla_wgmma<KB_T, KB_OUT>",
      "grid":  "min(sm_count, wide_tiles * heads)", "block": 384, "smem": 214528,
      "scratch": { "next": { "bytes": 8, "start": "keep" } },
      "args":  [{ "tma": "query", "dims": [192, "heads", "q_tokens"], "strides": ["192 * dtype_bytes", "q_pitch * dtype_bytes"],
                  "box": [64, 1, 128], "swizzle": 128, "l2": 256 },
                { "tma": "key", "dims": [192, "kv_heads", "kv_tokens"], "strides": ["192 * dtype_bytes", "k_pitch * dtype_bytes"],
                  "box": [64, 1, 128], "swizzle": 128, "l2": 256 },
                { "tma": "value", "dims": ["v_pitch", "kv_heads", "kv_tokens"], "box": [64, 1, 128], "swizzle": 128, "l2": 256 },
                "cum_q", "cum_kv", "out", "lse", "next", "i32 sequences", "i32 heads", "i32 heads / kv_heads", "i32 wide_tiles",
                "i32 near_heads", "f32 log2_scale", "i32 start", "i32 mask", "i32 lse_unit"] },
    "wgmma8": {
      "why":   "the same in 8 bits, with values turned in shared memory",
      "arch":  "90a", "backends": ["cuda"], "dtypes": ["e4m3"],
      "when":  "q_tokens > 0 && kv_tokens > 0 && q_pitch * dtype_bytes % 16 == 0 && k_pitch * dtype_bytes % 16 == 0",
      "entry": "mla_wgmma<KB_T, KB_OUT>",
      "grid":  "min(sm_count, wide_tiles * heads)", "block": 384, "smem": 214528,
      "scratch": { "next": { "bytes": 8, "start": "keep" } },
      "args":  [{ "tma": "query", "dims": [192, "heads", "q_tokens"], "strides": ["192 * dtype_bytes", "q_pitch * dtype_bytes"],
                  "box": [64, 1, 128], "swizzle": 64, "l2": 256 },
                { "tma": "key", "dims": [192, "kv_heads", "kv_tokens"], "strides": ["192 * dtype_bytes", "k_pitch * dtype_bytes"],
                  "box": [64, 1, 128], "swizzle": 64, "l2": 256 },
                { "tma": "value", "dims": ["v_pitch", "kv_heads", "kv_tokens"], "box": [128, 1, 128], "swizzle": 128, "l2": 256 },
                "cum_q", "cum_kv", "out", "lse", "next", "i32 sequences", "i32 heads", "i32 heads / kv_heads", "i32 wide_tiles",
                "i32 near_heads", "f32 log2_scale", "i32 start", "i32 mask", "i32 lse_unit"] },
    "mma": {
      "why":   "tensor cores by mma.sync, 64 queries and 64 keys at a time",
      "when":  "(dtype_bytes == 2 || sm >= 89) && q_pitch * dtype_bytes % 4 == 0 && k_pitch * dtype_bytes % 16 == 0",
      "entry": "mla_mma<KB_T, KB_OUT>",
      "grid":  ["ceil_div(q_tokens, 64) + sequences - 1", "q_tokens > 0 ? heads : 0"], "block": 128,
      "smem":  "2 * 64 * (320 * dtype_bytes + 32)",
      "args":  ["query", "key", "value", "cum_q", "cum_kv", "out", "lse", "i32 sequences", "i32 heads",
                "i32 kv_heads", "i64 q_pitch", "i64 k_pitch", "f32 log2_scale", "i32 pitch", "i32 start", "i32 mask", "i32 lse_unit"] },
    "simt": {
      "why":   "one warp to a query and head, all in fp32",
      "entry": "mla_simt<KB_T, KB_OUT>",
      "args":  ["query", "key", "value", "cum_q", "cum_kv", "out", "lse", "i32 sequences", "i32 heads",
                "i32 kv_heads", "i64 q_pitch", "i64 k_pitch", "f32 log2_scale", "i32 pitch", "i32 start", "i32 mask", "i32 lse_unit",
                "i32 0"] },
    "chunked": {
      "why":   "the new tokens, then two chunks of what stands before them, merged",
      "when":  "causal == yes",
      "scratch": { "a": { "bytes": "q_tokens * heads * 512" }, "a_lse": { "bytes": "q_tokens * heads * 4" },
                   "b": { "bytes": "q_tokens * heads * 512" }, "b_lse": { "bytes": "q_tokens * heads * 4" } },
      "launches": [
        { "why": "new tokens", "entry": "mla_simt<KB_T, float>",
          "args":  ["query", "key", "value", "cum_q", "cum_kv", "a", "a_lse", "i32 sequences", "i32 heads",
                    "i32 kv_heads", "i64 q_pitch", "i64 k_pitch", "f32 log2_scale", "i32 pitch", "i32 start", "i32 1", "i32 2", "i32 1"] },
        { "why": "the first chunk", "entry": "mla_simt<KB_T, float>",
          "args":  ["query", "key", "value", "cum_q", "cum_kv", "b", "b_lse", "i32 sequences", "i32 heads",
                    "i32 kv_heads", "i64 q_pitch", "i64 k_pitch", "f32 log2_scale", "i32 pitch", "i32 start", "i32 0", "i32 2", "i32 2"] },
        { "entry": "merge<float>", "grid": "q_tokens * heads", "block": 128,
          "args":  ["a", "a_lse", "b", "b_lse", "a", "a_lse", "i32 2"] },
        { "why": "the second chunk", "entry": "mla_simt<KB_T, float>",
          "args":  ["query", "key", "value", "cum_q", "cum_kv", "b", "b_lse", "i32 sequences", "i32 heads",
                    "i32 kv_heads", "i64 q_pitch", "i64 k_pitch", "f32 log2_scale", "i32 pitch", "i32 start", "i32 0", "i32 2", "i32 3"] },
        { "entry": "merge<KB_OUT>", "grid": "q_tokens * heads", "block": 128,
          "args":  ["a", "a_lse", "b", "b_lse", "out", "lse", "i32 lse_unit"] } ] },
    "chain": {
      "why":   "unfused: scores and probabilities go to memory",
      "when":  "q_tokens * heads * kv_longest * (4 + dtype_bytes) <= 1073741824",
      "scratch": { "scores": { "bytes": "q_tokens * heads * max(kv_longest, 1) * 4" },
                   "shares": { "bytes": "q_tokens * heads * max(kv_longest, 1) * dtype_bytes" },
                   "sums": { "bytes": "q_tokens * heads * 4" } },
      "launches": [
        { "entry": "scores_only<KB_T>",
          "grid":  ["q_tokens", "heads", "ceil_div(kv_longest, 128)"], "block": 128,
          "args":  ["query", "key", "cum_q", "cum_kv", "scores", "i32 sequences", "i32 heads", "i32 kv_heads",
                    "i64 q_pitch", "i64 k_pitch", "f32 log2_scale", "i32 kv_longest", "i32 mask"] },
        { "entry": "softmax_only<KB_T>",
          "args":  ["scores", "shares", "sums", "cum_q", "cum_kv", "lse", "i32 sequences", "i32 heads", "i32 kv_longest",
                    "i32 mask", "i32 lse_unit"] },
        { "entry": "product_only<KB_T, KB_OUT>",
          "grid":  ["q_tokens", "heads"], "block": 128,
          "args":  ["shares", "sums", "value", "cum_q", "cum_kv", "out", "i32 sequences", "i32 heads", "i32 kv_heads",
                    "i32 kv_longest", "i32 pitch", "i32 start", "i32 mask"] } ] } } }
*/
#include <cuda_fp8.h>

#include "kb.cuh"

/* -inf: the logarithm of nothing. */
KB_DEVICE float kb_none() {
    return __int_as_float((int)0xff800000);
}

enum { kQk = 192, kV = 128 };

/* A share of 1 in the product with value, and its logarithm. */
template <class T> KB_DEVICE float log2_unit() {
    return sizeof(T) == 1 ? 8.0f : 0.0f;
}
template <class T> KB_DEVICE float unit() {
    return exp2f(log2_unit<T>());
}

template <class T> KB_DEVICE T share_as(float x);
template <> KB_DEVICE __nv_fp8_e4m3 share_as<__nv_fp8_e4m3>(float x) {
    __nv_fp8_e4m3 out;
    out.__x = (unsigned char)kb_e4m3_code(x * unit<__nv_fp8_e4m3>());
    return out;
}
template <class T> KB_DEVICE T share_as(float x) {
    return from_f32<T>(x);
}

/* ---- the batch ------------------------------------------------------------------------- */

struct sequence {
    int q_start, q_len, k_start, k_len;
};

KB_DEVICE sequence sequence_at(const int *cum_q, const int *cum_kv, int b) {
    return {cum_q[b], cum_q[b + 1] - cum_q[b], cum_kv[b], cum_kv[b + 1] - cum_kv[b]};
}
/* That of a query token. */
KB_DEVICE sequence sequence_of(const int *cum_q, const int *cum_kv, int sequences,
                               int token) {
    int b = 0;
    while (b < sequences - 1 && token >= cum_q[b + 1])
        b++;
    return sequence_at(cum_q, cum_kv, b);
}
/* Keys [0, that) are seen by query i of the sequence. */
KB_DEVICE int seen_by(const sequence &s, int i, int mask) {
    int n = mask ? i + s.k_len - s.q_len + 1 : s.k_len;
    return n < 0 ? 0 : n < s.k_len ? n : s.k_len;
}

KB_DEVICE float max_over_warp(float x) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2)
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
    return x;
}
KB_DEVICE float sum_over_warp(float x) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}

/* exp2(x - top), 0 where nothing is seen; NaN stays NaN. */
KB_DEVICE float share_of(float x, float top) {
    return x == kb_none() ? 0.0f : exp2f(x - top);
}
/* By the base that is wanted: 1 natural, 2 two. */
KB_DEVICE float lse_of(float top, float sum, int unit) {
    if (sum == 0.0f)
        return kb_none();
    return (top + log2f(sum)) * (unit == 1 ? 0.693147182f : 1.0f);
}

/* ---- simt ------------------------------------------------------------------------------
 * `part` is 0 for all keys; of a sequence with a prefix 1 for the keys after it, 2 and 3 for
 * its halves. */

template <class T, class O>
__global__ void __launch_bounds__(128)
    mla_simt(const T *query, const T *key, const T *value, const int *cum_q,
             const int *cum_kv, O *out, float *lse, int sequences, int heads, int kv_heads,
             long long q_pitch, long long k_pitch, float scale, int v_pitch, int v_start, int mask, int lse_unit, int part) {
    __shared__ float queries[4][kQk], shares[4][32];
    int token = blockIdx.x, head = blockIdx.y * 4 + threadIdx.y, lane = threadIdx.x;
    float *q = queries[threadIdx.y], *p = shares[threadIdx.y];
    if (head >= heads) // the whole warp
        return;
    int kv_head = head / (heads / kv_heads);
    size_t row = (size_t)token * heads + head;

    kb_let_next_start();
    kb_wait_inputs();
    sequence s = sequence_of(cum_q, cum_kv, sequences, token);
    int prefix = s.k_len > s.q_len ? s.k_len - s.q_len : 0;
    int from = part == 1 ? prefix : part == 3 ? prefix / 2 : 0;
    int to = part == 2 ? prefix / 2 : part == 3 ? prefix : s.k_len;
    int seen = seen_by(s, token - s.q_start, mask);
    to = seen < to ? seen : to;
    for (int d = lane; d < kQk; d += 32)
        q[d] = to_f32(query[(size_t)token * q_pitch + head * kQk + d]);
    __syncwarp();
    float top = kb_none(), sum = 0.0f, o[kV / 32] = {};
    for (int first = from; first < to; first += 32) {
        int j = first + lane;
        float score = kb_none();
        if (j < to) {
            const T *k = key + (size_t)(s.k_start + j) * k_pitch + kv_head * kQk;
            score = 0.0f;
            for (int d = 0; d < kQk; d++)
                score = __fmaf_rn(q[d], to_f32(k[d]), score);
            score *= scale;
        }
        float above = fmaxf(top, max_over_warp(score));
        float fade = share_of(top, above);
        top = above;
        p[lane] = share_of(score, top);
        sum = sum * fade + p[lane];
        __syncwarp();
        for (int i = 0; i < kV / 32; i++)
            o[i] *= fade;
        for (int k = 0; k < 32 && first + k < to; k++) {
            size_t at = (size_t)(s.k_start + first + k) * kv_heads + kv_head;
            for (int i = 0; i < kV / 32; i++)
                o[i] = __fmaf_rn(p[k], to_f32(value[at * v_pitch + v_start + lane + 32 * i]),
                                 o[i]);
        }
        __syncwarp();
    }
    sum = sum_over_warp(sum);
    float over = sum == 0.0f ? 0.0f : 1.0f / sum;
    for (int i = 0; i < kV / 32; i++)
        out[row * kV + lane + 32 * i] = from_f32<O>(o[i] * over);
    if (lse_unit && lane == 0)
        lse[row] = lse_of(top, sum, lse_unit);
}

/* Two parts, as one: a row of kV to a block. lse is of base 2 in both, of `unit` out. */
template <class O>
__global__ void __launch_bounds__(128)
    merge(const float *a, const float *a_lse, const float *b, const float *b_lse, O *out,
          float *lse, int unit) {
    size_t row = blockIdx.x, at = row * kV + threadIdx.x;
    kb_let_next_start();
    kb_wait_inputs();
    float top = fmaxf(a_lse[row], b_lse[row]);
    float w_a = share_of(a_lse[row], top), w_b = share_of(b_lse[row], top);
    float sum = w_a + w_b, over = sum == 0.0f ? 0.0f : 1.0f / sum;
    float merged = (a[at] * w_a + b[at] * w_b) * over;
    __syncthreads(); // all have read before lse, which may be a_lse, is written
    out[at] = from_f32<O>(merged);
    if (unit && threadIdx.x == 0)
        lse[row] = lse_of(top, sum, unit);
}

/* ---- mma -------------------------------------------------------------------------------
 * Everything counts in words of four bytes, W elements each: a step of a product takes 8
 * words of depth whatever the dtype. A lane is g = lane / 4 and t = lane % 4, as kb_mma has
 * them. A stage of shared memory holds kKeys keys and their values, row by row; rows are 16
 * bytes longer than they need to be, so that ldmatrix meets no bank twice. */

template <class T> struct tile {
    static constexpr int kPerWord = 4 / sizeof(T);
    static constexpr int kKeys = 64, kTiles = kKeys / 8; // columns of scores, by 8
    static constexpr int kSteps = kQk / kPerWord / 8;
    static constexpr int kKeyPitch = kQk * sizeof(T) + 16, kValuePitch = kV * sizeof(T) + 16;
    static constexpr int kStage = kKeys * (kKeyPitch + kValuePitch);
};

/* Rows of kBytes from global memory, `pitch` bytes apart, zero from row `n` on. */
template <int kBytes>
KB_DEVICE void load_rows(unsigned char *to, int to_pitch, const unsigned char *from,
                         size_t pitch, int rows, int n) {
    constexpr int kVecs = kBytes / 16;
#pragma unroll 1 // unrolled, its addresses take the registers of the products
    for (int i = threadIdx.x; i < rows * kVecs; i += 128) {
        int row = i / kVecs, at = i % kVecs * 16;
        bool there = row < n;
        kb_copy_16(to + row * to_pitch + at, there ? from + row * pitch + at : from, there);
    }
}

/* Where a sequence's keys and values of one head are. */
struct source {
    const unsigned char *keys, *values;
    size_t key_pitch, value_pitch; // bytes from key to key
};

template <class T>
KB_DEVICE void load_stage(unsigned char *stage, const source &in, int first, int end) {
    using G = tile<T>;
    if (first < end) {
        load_rows<kQk * sizeof(T)>(stage, G::kKeyPitch, in.keys + first * in.key_pitch,
                                   in.key_pitch, G::kKeys, end - first);
        load_rows<kV * sizeof(T)>(stage + G::kKeys * G::kKeyPitch, G::kValuePitch,
                                  in.values + first * in.value_pitch, in.value_pitch,
                                  G::kKeys, end - first);
    }
    kb_copy_commit();
}

/* B fragments of two steps of one column of scores: keys lie with their depth in a row. */
template <class T>
KB_DEVICE void key_fragments(const unsigned char *keys, int column, int step, int lane,
                             unsigned (&out)[4]) {
    const unsigned char *row = keys + (column * 8 + lane % 8) * tile<T>::kKeyPitch;
    kb_ldmatrix<false>(row + step * 32 + lane / 8 * 16, out);
}

/* B fragments of step m of the second product for two columns of 8 outputs: out[0..1] and
 * out[2..3]. In 16 bits columns are 16 j + n and 16 j + 8 + n; in 8 bits, where two outputs
 * share a unit of ldmatrix, 16 j + 2n and 16 j + 2n + 1, and keys 2t, 2t + 1, 2t + 8, 2t + 9
 * of 16 follow each other, as a lane has them of two columns of scores. */
template <class T>
KB_DEVICE void value_fragments(const unsigned char *values, int m, int j, int lane,
                               unsigned (&out)[4]) {
    constexpr int kPitch = tile<T>::kValuePitch;
    unsigned x[4];
    if constexpr (sizeof(T) == 2) {
        const unsigned char *row = values + (m * 16 + lane % 16) * kPitch;
        kb_ldmatrix<true>(row + j * 32 + lane / 16 * 16, out);
    } else {
        kb_ldmatrix<true>(values + (m * 32 + lane) * kPitch + j * 16, x);
        out[0] = __byte_perm(x[0], x[1], 0x6420);
        out[1] = __byte_perm(x[2], x[3], 0x6420);
        out[2] = __byte_perm(x[0], x[1], 0x7531);
        out[3] = __byte_perm(x[2], x[3], 0x7531);
    }
}

/* A fragment of step m of the second product, of the columns of scores that it covers. */
template <class T>
KB_DEVICE void share_fragment(const float (&p)[8][4], int m, unsigned (&a)[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int r = i % 2 * 2; // of rows g and g + 8
        if constexpr (sizeof(T) == 2) {
            a[i] = kb_pair<T>::pack(p[2 * m + i / 2][r], p[2 * m + i / 2][r + 1]);
        } else {
            const float(&x)[4] = p[4 * m + i / 2 * 2], (&y)[4] = p[4 * m + i / 2 * 2 + 1];
            a[i] = kb_e4m3x4(x[r], x[r + 1], y[r], y[r + 1]);
        }
    }
}

/* A lane's outputs of 16 columns: o[0] and o[1] as value_fragments has the columns. */
template <class T, class O>
KB_DEVICE void store_16(O *out, const float (&o)[2][4], int r, float over, int t) {
    unsigned *words = reinterpret_cast<unsigned *>(out);
    if constexpr (sizeof(T) == 2) {
        words[t] = kb_pair<O>::pack(o[0][r] * over, o[0][r + 1] * over);
        words[t + 4] = kb_pair<O>::pack(o[1][r] * over, o[1][r + 1] * over);
    } else {
        words[2 * t] = kb_pair<O>::pack(o[0][r] * over, o[1][r] * over);
        words[2 * t + 1] = kb_pair<O>::pack(o[0][r + 1] * over, o[1][r + 1] * over);
    }
}

/* What a lane knows of its rows g and g + 8 so far. */
struct running {
    int seen[2];
    float top[2], sum[2]; // maximum of scores; sum of shares relative to it, own columns
    float o[kV / 16][2][4];
};

/* Scores of a stage, of 16 rows and all of its keys. */
template <class T>
KB_DEVICE void multiply(const unsigned char *keys, const unsigned (&q)[tile<T>::kSteps][4],
                        int lane, float (&p)[8][4]) {
#pragma unroll
    for (int n = 0; n < tile<T>::kTiles; n++)
#pragma unroll
        for (int step = 0; step < tile<T>::kSteps; step += 2) {
            unsigned k[4];
            key_fragments<T>(keys, n, step, lane, k);
            kb_mma<T>(p[n], q[step], {k[0], k[1]});
            kb_mma<T>(p[n], q[step + 1], {k[2], k[3]});
        }
}

KB_DEVICE void hide(float (&p)[8][4], int first, const int (&seen)[2]) {
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (first + n * 8 + (int)threadIdx.x % 4 * 2 + i % 2 >= seen[i / 2])
                p[n][i] = kb_none();
}

/* Scores become shares of the new maximum, and what was summed before is put on it. */
template <class T>
KB_DEVICE void weigh(float (&p)[8][4], float scale, running &row) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float above = row.top[r];
#pragma unroll
        for (int n = 0; n < 8; n++)
            above = fmaxf(above, fmaxf(p[n][r * 2], p[n][r * 2 + 1]));
        above = fmaxf(above, __shfl_xor_sync(0xffffffffu, above, 1));
        above = fmaxf(above, __shfl_xor_sync(0xffffffffu, above, 2));
        float fade = row.top[r] == kb_none() ? 0.0f : kb_ex2((row.top[r] - above) * scale);
        row.top[r] = above;
        float off = above == kb_none() ? 0.0f : log2_unit<T>() - above * scale;
        row.sum[r] *= fade;
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int c = r * 2; c < r * 2 + 2; c++) {
                p[n][c] = kb_ex2(__fmaf_rn(p[n][c], scale, off));
                row.sum[r] += p[n][c];
            }
#pragma unroll
        for (int j = 0; j < kV / 16; j++)
#pragma unroll
            for (int c = r * 2; c < r * 2 + 2; c++) {
                row.o[j][0][c] *= fade;
                row.o[j][1][c] *= fade;
            }
    }
}

template <class T>
KB_DEVICE void add_values(const unsigned char *values, const float (&p)[8][4], int lane,
                          running &row) {
#pragma unroll
    for (int m = 0; m < tile<T>::kKeys / 8 / tile<T>::kPerWord; m++) {
        unsigned a[4];
        share_fragment<T>(p, m, a);
#pragma unroll
        for (int j = 0; j < kV / 16; j++) {
            unsigned v[4];
            value_fragments<T>(values, m, j, lane, v);
            kb_mma<T>(row.o[j][0], a, {v[0], v[1]});
            kb_mma<T>(row.o[j][1], a, {v[2], v[3]});
        }
    }
}

/* Row r of the lane's two to its place. Of one that sees nothing, 0 times a value that is
 * no number may be in o. */
template <class T, class O>
KB_DEVICE void store_row(O *out, const running &row, int r, float sum, int t) {
    float over = 1.0f / sum;
    if (row.seen[r] == 0)
        for (int j = 0; j < kV / 8; j++)
            reinterpret_cast<unsigned *>(out)[j * 4 + t] = 0;
    else
#pragma unroll
        for (int j = 0; j < kV / 16; j++)
            store_16<T>(out + j * 16, row.o[j], r * 2, over, t);
}

/* The tile of 64 queries that a block works on: the last ones first, since under the mask
 * they have the most keys. False for a block that is left over. */
KB_DEVICE bool find_tile(const int *cum_q, const int *cum_kv, int sequences, sequence &s,
                         int &at) {
    at = gridDim.x - 1 - blockIdx.x;
    for (int b = 0; b < sequences; b++) {
        int tiles = (cum_q[b + 1] - cum_q[b] + 63) / 64;
        if (at < tiles) {
            s = sequence_at(cum_q, cum_kv, b);
            return true;
        }
        at -= tiles;
    }
    return false;
}

/* A fragments of a row of queries, row g + 8 r of the warp's; zeros where it is not there. */
template <class T>
KB_DEVICE void load_queries(unsigned (&q)[tile<T>::kSteps][4], const T *query, bool there,
                            int r, int t) {
    const unsigned *words = reinterpret_cast<const unsigned *>(query);
#pragma unroll
    for (int step = 0; step < tile<T>::kSteps; step++) {
        q[step][r] = there ? words[step * 8 + t] : 0;
        q[step][r + 2] = there ? words[step * 8 + t + 4] : 0;
    }
}

template <class T, class O>
__global__ void __launch_bounds__(128, 2)
    mla_mma(const T *query, const T *key, const T *value, const int *cum_q,
            const int *cum_kv, O *out, float *lse, int sequences, int heads, int kv_heads,
            long long q_pitch, long long k_pitch, float scale, int v_pitch, int v_start, int mask, int lse_unit) {
    using G = tile<T>;
    KB_DYNAMIC_SMEM(unsigned char, stages);
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    int head = blockIdx.y, kv_head = head / (heads / kv_heads), at;
    sequence s;

    kb_let_next_start();
    kb_wait_inputs();
    if (!find_tile(cum_q, cum_kv, sequences, s, at))
        return;
    int last = at * 64 + 63 < s.q_len ? at * 64 + 63 : s.q_len - 1;
    int end = seen_by(s, last, mask);
    const T *first_key = key + (size_t)s.k_start * k_pitch + kv_head * kQk,
            *first_value = value + ((size_t)s.k_start * kv_heads + kv_head) * v_pitch;
    const source in = {reinterpret_cast<const unsigned char *>(first_key),
                       reinterpret_cast<const unsigned char *>(first_value + v_start),
                       k_pitch * sizeof(T), kv_heads * (v_pitch * sizeof(T))};
    load_stage<T>(stages, in, 0, end);

    int first_row = at * 64 + warp * 16;
    running row = {{0, 0}, {kb_none(), kb_none()}};
    unsigned q[G::kSteps][4];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        int i = first_row + g + 8 * r;
        bool there = i < s.q_len;
        row.seen[r] = there ? seen_by(s, i, mask) : 0;
        size_t token = s.q_start + (there ? i : 0);
        load_queries<T>(q, query + token * q_pitch + head * kQk, there, r, t);
    }
    int seen_by_all = first_row < s.q_len ? seen_by(s, first_row, mask) : 0;
    for (int first = 0, stage = 0; first < end; first += G::kKeys, stage ^= 1) {
        load_stage<T>(stages + (stage ^ 1) * G::kStage, in, first + G::kKeys, end);
        kb_copy_wait<1>();
        __syncthreads(); // this stage has arrived, of all threads
        const unsigned char *keys = stages + stage * G::kStage;
        float p[G::kTiles][4] = {};
        multiply<T>(keys, q, lane, p);
        if (first + G::kKeys > seen_by_all)
            hide(p, first, row.seen);
        weigh<T>(p, scale, row);
        add_values<T>(keys + G::kKeys * G::kKeyPitch, p, lane, row);
        __syncthreads(); // this stage has been read, by all threads
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float sum = row.sum[r] + __shfl_xor_sync(0xffffffffu, row.sum[r], 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        if (first_row + g + 8 * r >= s.q_len)
            continue;
        size_t to = (size_t)(s.q_start + first_row + g + 8 * r) * heads + head;
        store_row<T>(out + to * kV, row, r, sum, t);
        if (lse_unit && t == 0)
            lse[to] = lse_of(row.top[r] * scale, sum / unit<T>(), lse_unit);
    }
}

/* ---- wgmma ----------------------------------------------------------------------------- */

#ifndef KB_HOST
#include "kb_mla_wgmma.cuh"

template <class T, class O>
__global__ void __launch_bounds__(384, 1)
    mla_wgmma(const __grid_constant__ kb_map query, const __grid_constant__ kb_map key,
              const __grid_constant__ kb_map value, const int *cum_q, const int *cum_kv, O *out,
              float *lse, int *next, int sequences, int heads, int group, int tiles, int near_heads,
              float scale, int v_start, int mask, int lse_unit) {
    KB_DYNAMIC_SMEM(unsigned char, dynamic);
    const warpgroups::batch b = {cum_q, cum_kv, sequences, heads, tiles, near_heads, mask};
    warpgroups::run<T>(dynamic, &query, &key, &value, b, out, lse, next, group, scale, v_start,
                       lse_unit);
}
#endif

/* ---- the chain --------------------------------------------------------------------------- */

template <class T>
__global__ void __launch_bounds__(128)
    scores_only(const T *query, const T *key, const int *cum_q, const int *cum_kv,
                float *scores, int sequences, int heads, int kv_heads, long long q_pitch,
                long long k_pitch, float scale, int longest, int mask) {
    int token = blockIdx.x, head = blockIdx.y, j = blockIdx.z * 128 + threadIdx.x;
    size_t row = (size_t)token * heads + head;
    kb_let_next_start();
    kb_wait_inputs();
    sequence s = sequence_of(cum_q, cum_kv, sequences, token);
    if (j >= seen_by(s, token - s.q_start, mask))
        return;
    const T *q = query + (size_t)token * q_pitch + head * kQk;
    const T *k = key + (size_t)(s.k_start + j) * k_pitch + head / (heads / kv_heads) * kQk;
    float score = 0.0f;
    for (int d = 0; d < kQk; d++)
        score = __fmaf_rn(to_f32(q[d]), to_f32(k[d]), score);
    scores[row * longest + j] = score * scale;
}

template <class T>
__global__ void __launch_bounds__(128)
    softmax_only(const float *scores, T *shares, float *sums, const int *cum_q, const int *cum_kv,
                 float *lse, int sequences, int heads, int longest, int mask, int lse_unit) {
    int token = blockIdx.x, head = blockIdx.y * 4 + threadIdx.y, lane = threadIdx.x;
    if (head >= heads) // the whole warp
        return;
    size_t row = (size_t)token * heads + head;
    kb_let_next_start();
    kb_wait_inputs();
    sequence s = sequence_of(cum_q, cum_kv, sequences, token);
    int seen = seen_by(s, token - s.q_start, mask);
    float top = kb_none(), sum = 0.0f;
    for (int j = lane; j < seen; j += 32)
        top = fmaxf(top, scores[row * longest + j]);
    top = max_over_warp(top);
    for (int j = lane; j < seen; j += 32)
        sum += exp2f(scores[row * longest + j] - top);
    sum = sum_over_warp(sum);
    for (int j = lane; j < seen; j += 32)
        shares[row * longest + j] = share_as<T>(exp2f(scores[row * longest + j] - top));
    if (lane == 0)
        sums[row] = sum;
    if (lse_unit && lane == 0)
        lse[row] = lse_of(top, sum, lse_unit);
}

template <class T, class O>
__global__ void __launch_bounds__(128)
    product_only(const T *shares, const float *sums, const T *value, const int *cum_q, const int *cum_kv,
                 O *out, int sequences, int heads, int kv_heads, int longest, int v_pitch,
                 int v_start, int mask) {
    int token = blockIdx.x, head = blockIdx.y, d = threadIdx.x;
    size_t row = (size_t)token * heads + head;
    kb_let_next_start();
    kb_wait_inputs();
    sequence s = sequence_of(cum_q, cum_kv, sequences, token);
    int seen = seen_by(s, token - s.q_start, mask);
    float sum = 0.0f;
    for (int j = 0; j < seen; j++) {
        size_t at = (size_t)(s.k_start + j) * kv_heads + head / (heads / kv_heads);
        sum = __fmaf_rn(to_f32(shares[row * longest + j]),
                        to_f32(value[at * v_pitch + v_start + d]), sum);
    }
    out[row * kV + d] = from_f32<O>(seen ? sum / (sums[row] * unit<T>()) : 0.0f);
}
