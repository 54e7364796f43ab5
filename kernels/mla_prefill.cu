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
//           fragment, which no sum minds. The next keys arrive while these are worked on
//           (kb_mla_mma.cuh). On an H200, 16 heads and 4096 keys, no mask: 211 TFLOP/s in
//           e4m3, which sm_90 unpacks to fp16 for mma.sync, 234 in bf16; on an H100 207 and
//           216. Three blocks to an SM spill and were slower by 3 % and 20 %; without stages,
//           and value transposed by hand, 101 and 65.
// simt    - one warp to a query and head, 32 keys at a time, all in fp32.
// chunked - a prefix in two chunks, as serving engines have it: the new tokens among
//           themselves, then each chunk without a mask, merged by their lse.
// chain   - unfused: scores to memory, softmax, probabilities in the input's dtype, product.
//
// NaN in a value that a query does not see leaves no trace, also where it lies in a tile that is
// multiplied whole (kb_mla_hidden.cuh). That costs the first three less than 1 %.
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
                "query", "key", "value", "cum_q", "cum_kv", "out", "lse", "next", "i32 sequences", "i32 heads", "i32 heads / kv_heads",
                "i32 wide_tiles", "i32 near_heads", "f32 log2_scale", "i64 q_pitch", "i64 k_pitch", "i32 pitch", "i32 start",
                "i32 mask", "i32 lse_unit"] },
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
                "query", "key", "value", "cum_q", "cum_kv", "out", "lse", "next", "i32 sequences", "i32 heads", "i32 heads / kv_heads",
                "i32 wide_tiles", "i32 near_heads", "f32 log2_scale", "i64 q_pitch", "i64 k_pitch", "i32 pitch", "i32 start",
                "i32 mask", "i32 lse_unit"] },
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
#include "kb_mla.cuh"
#include "kb_mla_mma.cuh"

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

/* ---- mma ------------------------------------------------------------------------------- */

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
    running row = {{0, 0}, 0, {kb_none(), kb_none()}};
    unsigned q[G::kSteps][4];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        int i = first_row + g + 8 * r;
        bool there = i < s.q_len;
        row.seen[r] = there ? seen_by(s, i, mask) : 0;
        size_t token = s.q_start + (there ? i : 0);
        load_queries<T>(q, query + token * q_pitch + head * kQk, there, r, t);
    }
    int open = seen_by(s, at * 64, mask), whole = open / G::kKeys * G::kKeys, stage = 0;
    row.seen_by_all = first_row < s.q_len ? seen_by(s, first_row, mask) : 0;
    if (sizeof(T) == 2) // in 8 bits a second loop costs registers that there are not
        attend<T, false>(stages, in, q, scale, 0, whole, end, 0, stage, row);
    bool cleared = attend<T, true>(stages, in, q, scale, sizeof(T) == 2 ? whole : 0, end, end,
                                   open < s.k_len ? whole : 0x7fffffff, stage, row);
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
    if (!__syncthreads_or(cleared))
        return;
    const inputs_of<T> inputs = {query + (size_t)s.q_start * q_pitch + head * kQk, first_key,
                                 first_value + v_start, (size_t)q_pitch, (size_t)k_pitch,
                                 (size_t)kv_heads * v_pitch};
    O *rows = out + ((size_t)(s.q_start + first_row) * heads + head) * kV;
    bool infinite = put_back(rows, (size_t)heads * kV, inputs.value, inputs.v_pitch, s, first_row,
                             whole, mask);
    if (infinite)
        put_nothing(rows, (size_t)heads * kV, inputs, s, first_row, whole, mask, row.top, scale);
}

/* ---- wgmma ----------------------------------------------------------------------------- */

#ifndef KB_HOST
#include "kb_mla_wgmma.cuh"

template <class T, class O>
__global__ void __launch_bounds__(384, 1)
    mla_wgmma(const __grid_constant__ kb_map query, const __grid_constant__ kb_map key,
              const __grid_constant__ kb_map value, const T *queries, const T *keys, const T *values,
              const int *cum_q, const int *cum_kv, O *out, float *lse, int *next, int sequences, int heads,
              int group, int tiles, int near_heads, float scale, long long q_pitch, long long k_pitch,
              int v_pitch, int v_start, int mask, int lse_unit) {
    KB_DYNAMIC_SMEM(unsigned char, dynamic);
    const warpgroups::batch b = {cum_q, cum_kv, sequences, heads, tiles, near_heads, mask};
    const warpgroups::memory<T> in = {queries, keys, values, group, q_pitch, k_pitch, v_pitch, v_start};
    warpgroups::run<T>(dynamic, &query, &key, &value, in, b, out, lse, next, scale, lse_unit);
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
