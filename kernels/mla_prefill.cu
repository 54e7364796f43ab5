// mla_prefill: attention with keys of 192 and values of 128, over a ragged batch
//
//     out[i][h] = softmax_j(scale * query[i][h] . key[j][kv(h)]) value[j][kv(h)], over the
//     keys j that query i sees; lse the logarithm of the sum of exp
//
// mma     - tensor cores by mma.sync: a block has 64 queries of a head, a warp 16 of them, and
//           goes along the keys 64 at a time. Scores stay in registers: the C fragments of the
//           first product are the A fragments of the second one. In 8 bits a lane's four
//           values of a fragment are then not those of neighbouring keys, so value lies in
//           shared memory with its keys in that other order, which no sum minds.
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
           "lse_unit": "lse == e ? 1 : lse == none ? 0 : 2", "mask": "causal == yes ? 1 : 0" },
  "variants": {
    "mma": {
      "why":   "tensor cores by mma.sync, 64 queries and 64 keys at a time",
      "when":  "dtype_bytes == 2 || sm >= 89",
      "entry": "mla_mma<KB_T, KB_OUT>",
      "grid":  ["ceil_div(q_tokens, 64) + sequences - 1", "q_tokens > 0 ? heads : 0"], "block": 128, "pdl": true,
      "args":  ["query", "key", "value", "cum_q", "cum_kv", "out", "lse", "i32 sequences", "i32 heads",
                "i32 kv_heads", "f32 log2_scale", "i32 pitch", "i32 start", "i32 mask", "i32 lse_unit"] },
    "simt": {
      "why":   "one warp to a query and head, all in fp32",
      "entry": "mla_simt<KB_T, KB_OUT>",
      "grid":  ["q_tokens", "ceil_div(heads, 4)"], "block": [32, 4], "pdl": true,
      "args":  ["query", "key", "value", "cum_q", "cum_kv", "out", "lse", "i32 sequences", "i32 heads",
                "i32 kv_heads", "f32 log2_scale", "i32 pitch", "i32 start", "i32 mask", "i32 lse_unit",
                "i32 0"] },
    "chunked": {
      "why":   "the new tokens, then two chunks of what stands before them, merged",
      "when":  "causal == yes",
      "scratch": { "a": { "bytes": "q_tokens * heads * 512" }, "a_lse": { "bytes": "q_tokens * heads * 4" },
                   "b": { "bytes": "q_tokens * heads * 512" }, "b_lse": { "bytes": "q_tokens * heads * 4" } },
      "launches": [
        { "why": "new tokens", "entry": "mla_simt<KB_T, float>",
          "grid":  ["q_tokens", "ceil_div(heads, 4)"], "block": [32, 4], "pdl": true,
          "args":  ["query", "key", "value", "cum_q", "cum_kv", "a", "a_lse", "i32 sequences", "i32 heads",
                    "i32 kv_heads", "f32 log2_scale", "i32 pitch", "i32 start", "i32 1", "i32 2", "i32 1"] },
        { "why": "the first chunk", "entry": "mla_simt<KB_T, float>",
          "grid":  ["q_tokens", "ceil_div(heads, 4)"], "block": [32, 4], "pdl": true,
          "args":  ["query", "key", "value", "cum_q", "cum_kv", "b", "b_lse", "i32 sequences", "i32 heads",
                    "i32 kv_heads", "f32 log2_scale", "i32 pitch", "i32 start", "i32 0", "i32 2", "i32 2"] },
        { "entry": "merge<float>", "grid": "q_tokens * heads", "block": 128, "pdl": true,
          "args":  ["a", "a_lse", "b", "b_lse", "a", "a_lse", "i32 2"] },
        { "why": "the second chunk", "entry": "mla_simt<KB_T, float>",
          "grid":  ["q_tokens", "ceil_div(heads, 4)"], "block": [32, 4], "pdl": true,
          "args":  ["query", "key", "value", "cum_q", "cum_kv", "b", "b_lse", "i32 sequences", "i32 heads",
                    "i32 kv_heads", "f32 log2_scale", "i32 pitch", "i32 start", "i32 0", "i32 2", "i32 3"] },
        { "entry": "merge<KB_OUT>", "grid": "q_tokens * heads", "block": 128, "pdl": true,
          "args":  ["a", "a_lse", "b", "b_lse", "out", "lse", "i32 lse_unit"] } ] },
    "chain": {
      "why":   "unfused: scores and probabilities go to memory",
      "when":  "q_tokens * heads * kv_longest * (4 + dtype_bytes) <= 1073741824",
      "scratch": { "scores": { "bytes": "q_tokens * heads * max(kv_longest, 1) * 4" },
                   "shares": { "bytes": "q_tokens * heads * max(kv_longest, 1) * dtype_bytes" },
                   "sums": { "bytes": "q_tokens * heads * 4" } },
      "launches": [
        { "entry": "scores_only<KB_T>",
          "grid":  ["q_tokens", "heads", "ceil_div(kv_longest, 128)"], "block": 128, "pdl": true,
          "args":  ["query", "key", "cum_q", "cum_kv", "scores", "i32 sequences", "i32 heads", "i32 kv_heads",
                    "f32 log2_scale", "i32 kv_longest", "i32 mask"] },
        { "entry": "softmax_only<KB_T>",
          "grid":  ["q_tokens", "ceil_div(heads, 4)"], "block": [32, 4], "pdl": true,
          "args":  ["scores", "shares", "sums", "cum_q", "cum_kv", "lse", "i32 sequences", "i32 heads", "i32 kv_longest",
                    "i32 mask", "i32 lse_unit"] },
        { "entry": "product_only<KB_T, KB_OUT>",
          "grid":  ["q_tokens", "heads"], "block": 128, "pdl": true,
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

KB_DEVICE float to_f32(__nv_fp8_e4m3 x) {
    return (float)x;
}

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
             float scale, int v_pitch, int v_start, int mask, int lse_unit, int part) {
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
        q[d] = to_f32(query[row * kQk + d]);
    __syncwarp();
    float top = kb_none(), sum = 0.0f, o[kV / 32] = {};
    for (int first = from; first < to; first += 32) {
        int j = first + lane;
        float score = kb_none();
        if (j < to) {
            const T *k = key + ((size_t)(s.k_start + j) * kv_heads + kv_head) * kQk;
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
 * Everything counts in words of four bytes, W elements each: a step of the product takes 8
 * words of depth whatever the dtype. A lane is g = lane / 4 and t = lane % 4: of an A
 * fragment it has words t and t + 4 of rows g and g + 8, of a B fragment words t and t + 4
 * of column g, of a C fragment columns 2t and 2t + 1 of rows g and g + 8. */

template <class T> struct tile {
    static constexpr int kPerWord = 4 / sizeof(T);
    static constexpr int kKeys = 64;
    static constexpr int kQkWords = kQk / kPerWord, kKeyWords = kKeys / kPerWord;
    /* 4 words more than a multiple of 8: fragments are read without bank conflicts. */
    static constexpr int kKeyPitch = kQkWords + 4, kValuePitch = kKeyWords + 4;
    static constexpr int kTiles = kKeys / 8; // of columns of scores
};

/* Keys [first, first + kKeys) of the sequence, zero past its end. */
template <class T>
KB_DEVICE void load_keys(unsigned *keys, const T *key, const sequence &s, int first,
                         int kv_heads, int kv_head) {
    using G = tile<T>;
    constexpr int kVecs = G::kQkWords / 4;
    for (int i = threadIdx.x; i < G::kKeys * kVecs; i += 128) {
        int j = i / kVecs, v = i % kVecs;
        kb_vec<16> x = {};
        if (first + j < s.k_len)
            x = kb_vecs<16>(key + ((size_t)(s.k_start + first + j) * kv_heads + kv_head) *
                                      kQk)[v];
        kb_vecs<16>(keys + j * G::kKeyPitch)[v] = x;
    }
}

/* The key of place i (of W) in word w of a value column: in 16 bits they lie in order, in 8
 * bits as the fragments of scores have them. */
template <class T> KB_DEVICE int key_of(int w, int i) {
    if (sizeof(T) == 2)
        return w * 2 + i;
    return w / 4 * 16 + w % 4 * 2 + (i & 1) + (i >> 1) * 8;
}

/* Value of the same keys, transposed: a row for each of the 128 dimensions. */
template <class T>
KB_DEVICE void load_values(unsigned *values, const T *value, const sequence &s, int first,
                           int kv_heads, int kv_head, int v_pitch, int v_start) {
    using G = tile<T>;
    constexpr int W = G::kPerWord;
    for (int i = threadIdx.x; i < G::kKeyWords * (kV / W); i += 128) {
        int w = i % G::kKeyWords, d = i / G::kKeyWords * W;
        unsigned in[W];
#pragma unroll
        for (int k = 0; k < W; k++) {
            int j = first + key_of<T>(w, k);
            size_t at = (size_t)(s.k_start + j) * kv_heads + kv_head;
            in[k] = j < s.k_len ? kb_vecs<4>(value + at * v_pitch + v_start + d)->word[0] : 0;
        }
        kb_transpose<W>(in);
#pragma unroll
        for (int k = 0; k < W; k++)
            values[(d + k) * G::kValuePitch + w] = in[k];
    }
}

/* Two neighbouring columns of a row of two C fragments as a word of an A fragment. */
template <class T> struct probabilities;
template <> struct probabilities<__nv_fp8_e4m3> {
    /* Step m of the second product: fragments 4m and 4m + 1, then 4m + 2 and 4m + 3. */
    static KB_DEVICE void fragment(const float (&p)[8][4], int m, unsigned (&a)[4]) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float *x = &p[4 * m + i / 2 * 2][i % 2 * 2],
                        *y = &p[4 * m + i / 2 * 2 + 1][i % 2 * 2];
            a[i] = kb_e4m3x4(x[0], x[1], y[0], y[1]);
        }
    }
};
template <class T> struct probabilities {
    static KB_DEVICE void fragment(const float (&p)[8][4], int m, unsigned (&a)[4]) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float *x = &p[2 * m + i / 2][i % 2 * 2];
            a[i] = kb_pair<T>::pack(x[0], x[1]);
        }
    }
};

template <class T, class O>
__global__ void __launch_bounds__(128)
    mla_mma(const T *query, const T *key, const T *value, const int *cum_q,
            const int *cum_kv, O *out, float *lse, int sequences, int heads, int kv_heads,
            float scale, int v_pitch, int v_start, int mask, int lse_unit) {
    using G = tile<T>;
    constexpr int kSteps = G::kQkWords / 8;
    __shared__ __align__(16) unsigned keys[G::kKeys * G::kKeyPitch];
    __shared__ __align__(16) unsigned values[kV * G::kValuePitch];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    int head = blockIdx.y, kv_head = head / (heads / kv_heads);

    kb_let_next_start();
    kb_wait_inputs();
    // The last tiles come first: under the mask they have the most keys.
    int at = gridDim.x - 1 - blockIdx.x, b = 0;
    for (; b < sequences; b++) {
        int tiles = (cum_q[b + 1] - cum_q[b] + 63) / 64;
        if (at < tiles)
            break;
        at -= tiles;
    }
    if (b == sequences)
        return;
    sequence s = sequence_at(cum_q, cum_kv, b);
    int rows[2] = {at * 64 + warp * 16 + g, at * 64 + warp * 16 + g + 8}, seen[2];
    unsigned q[kSteps][4];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        bool there = rows[r] < s.q_len;
        seen[r] = there ? seen_by(s, rows[r], mask) : 0;
        const unsigned *in = reinterpret_cast<const unsigned *>(
            query + ((size_t)(s.q_start + (there ? rows[r] : 0)) * heads + head) * kQk);
#pragma unroll
        for (int step = 0; step < kSteps; step++) {
            q[step][r] = there ? in[step * 8 + t] : 0;
            q[step][r + 2] = there ? in[step * 8 + t + 4] : 0;
        }
    }
    int last = at * 64 + 63 < s.q_len ? at * 64 + 63 : s.q_len - 1;
    int end = seen_by(s, last, mask);
    float top[2] = {kb_none(), kb_none()}, sum[2] = {}, o[kV / 8][4] = {};
    for (int first = 0; first < end; first += G::kKeys) {
        __syncthreads(); // the last tile has been read
        load_keys(keys, key, s, first, kv_heads, kv_head);
        load_values(values, value, s, first, kv_heads, kv_head, v_pitch, v_start);
        __syncthreads();
        float p[G::kTiles][4] = {};
#pragma unroll
        for (int n = 0; n < G::kTiles; n++) {
            const unsigned *column = keys + (n * 8 + g) * G::kKeyPitch + t;
#pragma unroll
            for (int step = 0; step < kSteps; step++) {
                const unsigned fragment[2] = {column[step * 8], column[step * 8 + 4]};
                kb_mma<T>(p[n], q[step], fragment);
            }
        }
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float above = top[r];
#pragma unroll
            for (int n = 0; n < G::kTiles; n++)
#pragma unroll
                for (int c = 0; c < 2; c++) {
                    float &x = p[n][r * 2 + c];
                    x = first + n * 8 + t * 2 + c < seen[r] ? x * scale : kb_none();
                    above = fmaxf(above, x);
                }
            above = fmaxf(above, __shfl_xor_sync(0xffffffffu, above, 1));
            above = fmaxf(above, __shfl_xor_sync(0xffffffffu, above, 2));
            float fade = share_of(top[r], above);
            top[r] = above;
            above = above == kb_none() ? 0.0f : above - log2_unit<T>();
            sum[r] *= fade;
#pragma unroll
            for (int n = 0; n < G::kTiles; n++)
#pragma unroll
                for (int c = 0; c < 2; c++) {
                    float &x = p[n][r * 2 + c];
                    x = exp2f(x - above);
                    sum[r] += x;
                }
#pragma unroll
            for (int n = 0; n < kV / 8; n++) {
                o[n][r * 2] *= fade;
                o[n][r * 2 + 1] *= fade;
            }
        }
#pragma unroll
        for (int m = 0; m < G::kKeyWords / 8; m++) {
            unsigned a[4];
            probabilities<T>::fragment(p, m, a);
#pragma unroll
            for (int n = 0; n < kV / 8; n++) {
                const unsigned *row = values + (n * 8 + g) * G::kValuePitch + m * 8 + t;
                const unsigned fragment[2] = {row[0], row[4]};
                kb_mma<T>(o[n], a, fragment);
            }
        }
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        sum[r] += __shfl_xor_sync(0xffffffffu, sum[r], 1);
        sum[r] += __shfl_xor_sync(0xffffffffu, sum[r], 2);
        if (rows[r] >= s.q_len)
            continue;
        size_t row = (size_t)(s.q_start + rows[r]) * heads + head;
        float over = 1.0f / sum[r];
        bool none = seen[r] == 0; // 0 times a value that is no number is in o then
#pragma unroll
        for (int n = 0; n < kV / 8; n++)
            reinterpret_cast<unsigned *>(out + row * kV)[n * 4 + t] =
                none ? 0 : kb_pair<O>::pack(o[n][r * 2] * over, o[n][r * 2 + 1] * over);
        if (lse_unit && t == 0)
            lse[row] = lse_of(top[r], sum[r] / unit<T>(), lse_unit);
    }
}

/* ---- the chain --------------------------------------------------------------------------- */

template <class T>
__global__ void __launch_bounds__(128)
    scores_only(const T *query, const T *key, const int *cum_q, const int *cum_kv,
                float *scores, int sequences, int heads, int kv_heads, float scale,
                int longest, int mask) {
    int token = blockIdx.x, head = blockIdx.y, j = blockIdx.z * 128 + threadIdx.x;
    size_t row = (size_t)token * heads + head;
    kb_let_next_start();
    kb_wait_inputs();
    sequence s = sequence_of(cum_q, cum_kv, sequences, token);
    if (j >= seen_by(s, token - s.q_start, mask))
        return;
    const T *k = key + ((size_t)(s.k_start + j) * kv_heads + head / (heads / kv_heads)) * kQk;
    float score = 0.0f;
    for (int d = 0; d < kQk; d++)
        score = __fmaf_rn(to_f32(query[row * kQk + d]), to_f32(k[d]), score);
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
