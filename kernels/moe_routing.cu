// moe_routing: of each row of logits the topk largest, a softmax over those, times the scale
// of the expert.
//
//     ids      the topk experts with the largest logits, largest first; of equal ones the
//              lower id (ties=high: the higher)
//     p[j]     exp(l[ids[j]] - m), m the largest that is no NaN
//     weights  p[j] / d * per_expert_scale[ids[j]], d the sum of p; 1 if that is not above 0
//
// Logits are selected by keys: their bits made sortable, and the expert below them, so that
// no two are equal and the smallest is the best, whatever the logits are (kb_routing.cuh).
//
// lists  - a few lanes for a token, each with 32 logits: a lane sorts them by eights, merges
//          those into its best eight, and the lanes merge theirs by shuffles. All of it is
//          min and max without a branch: for many tokens and topk up to 8.
// rounds - a warp for a token, each lane with its logits in order: a round takes the best of
//          the lanes' best by one warp-wide reduction, and the softmax goes along with the
//          rounds (kb_routing_rounds.cuh). For few tokens, where the time is one token's.
// warp   - the same for any number of experts and all words; warp_wide with more registers.
// before - warp for scale=before: it selects from products in fp32, whatever the logits are;
//          before_wide with more registers.
// chain  - what a framework without fusion runs: topk, softmax, gather, product and cast,
//          each to memory in the logits' dtype: right for mode=eager only.
//
// Seen on an H200, 128 experts, us, lists / rounds: bf16 2048 tokens 2.8 / 2.3, 4096 2.9 /
// 2.9, 8192 3.3 / 4.5, 65536 10.6 / 25; so lists begin where their warps are one for each
// scheduler of the GPU. 65536 tokens by lanes with 16 and with 64 logits: 12.7 and 12.8. fp32
// 65536 tokens with keys that are doubles, whole numbers of 64 bits, and of 32 bits with a
// second look where these do not tell: 20, 30 and 19, the last with slow rows where logits
// are equal.
/* kbench
{ "ops": ["moe_routing"],
  "let": { "vec": "16 / dtype_bytes",
           "lanes": "next_pow2(ceil_div(experts, 32))",
           "scale_type": "scale_dtype == bf16 ? 1 : scale_dtype == fp16 ? 2 : 3" },
  "grid":  "ceil_div(tokens, 4)", "block": 128, "pdl": true,
  "args":  ["logits", "per_expert_scale", "weights", "ids", "i64 tokens", "i32 experts",
            "i32 topk", "i32 scale_type", "i32 ties == high", "i32 mode == eager",
            "i32 norm == all", "i32 norm == scaled", "u32 in_stride"],
  "variants": {
    "lists": {
      "why":   "sorting networks in a few lanes a token: many tokens, topk up to 8",
      "when":  "mode == fp32 && norm == selected && ties != high && scale != before && topk <= 8 && experts % vec == 0 && in_stride % vec == 0 && tokens * lanes >= 128 * sm_count",
      "entry": "routing_lists<KB_T, list_order<KB_T>, {in_pitch > 0}>",
      "grid":  "ceil_div(tokens, 256 / lanes)", "block": 256,
      "args":  ["logits", "per_expert_scale", "weights", "ids", "i64 tokens", "i32 experts",
                "i32 topk", "i32 lanes", "i32 scale_type", "u32 in_stride"] },
    "rounds": {
      "why":   "one warp a token, a reduction a slot, nothing else: few tokens, 64, 128 or 256 experts, topk up to 8",
      "when":  "mode == fp32 && norm == selected && ties != high && scale != before && topk <= 8 && (experts == 64 || experts == 128 || experts == 256) && in_stride % vec == 0",
      "entry": "routing_rounds<KB_T>",
      "args":  ["logits", "per_expert_scale", "weights", "ids", "i64 tokens", "i32 experts",
                "i32 topk", "i32 scale_type", "u32 in_stride"] },
    "warp": {
      "why":   "one warp a token and a reduction a slot: any topk and words, up to 256 experts",
      "when":  "scale != before && experts <= 256",
      "entry": "routing_warp<KB_T, 8>" },
    "warp_wide": {
      "why":   "the same with more registers, for more than 256 experts",
      "when":  "scale != before && experts > 256",
      "entry": "routing_warp<KB_T, 32>" },
    "before": {
      "why":   "warp, of products with the scale in fp32: scale=before, up to 256 experts",
      "when":  "scale == before && experts <= 256",
      "entry": "routing_warp<KB_T, 8, true>" },
    "before_wide": {
      "why":   "the same with more registers, for more than 256 experts",
      "when":  "scale == before && experts > 256",
      "entry": "routing_warp<KB_T, 32, true>" },
    "chain": {
      "why":   "unfused: topk, softmax, gather, product and cast, each to memory",
      "when":  "mode == eager && norm == selected && scale == after",
      "let":   { "slots": "tokens * topk", "blocks": "ceil_div(slots, 256)" },
      "scratch": { "selected": { "bytes": "slots * dtype_bytes" },
                   "shares": { "bytes": "slots * dtype_bytes" },
                   "scales": { "bytes": "slots * dtype_bytes" },
                   "products": { "bytes": "slots * dtype_bytes" } },
      "launches": [
        { "entry": "chain_topk<KB_T>",
          "args":  ["logits", "selected", "ids", "i64 tokens", "i32 experts", "i32 topk",
                    "i32 ties == high", "u32 in_stride"] },
        { "entry": "chain_softmax<KB_T>", "grid": "ceil_div(tokens, 256)", "block": 256,
          "args":  ["selected", "shares", "i64 tokens", "i32 topk"] },
        { "entry": "chain_gather<KB_T>", "grid": "blocks", "block": 256,
          "args":  ["per_expert_scale", "ids", "scales", "i64 slots", "i32 scale_type"] },
        { "entry": "chain_product<KB_T>", "grid": "blocks", "block": 256,
          "args":  ["shares", "scales", "products", "i64 slots"] },
        { "entry": "chain_cast<KB_T>", "grid": "blocks", "block": 256,
          "args":  ["products", "weights", "i64 slots"] } ] } } }
*/
#include "kb.cuh"
#include "kb_routing.cuh"
#include "kb_routing_rounds.cuh"

/* ---- lists ------------------------------------------------------------------------------
 * Lane q of a group of `lanes` takes every lanes-th vector of a row from the q-th on. What a
 * row has no more of is taken for -NaN behind all experts: no key is larger. */

template <class T, class Order, bool kPitched = false>
__global__ void __launch_bounds__(256, Order::kBlocks)
    routing_lists(const T *logits, const void *per_expert_scale, float *weights, int *ids,
                  long long tokens, int experts, int topk, int lanes, int scale_type,
                  unsigned stride) {
    using key = typename Order::key;
    constexpr int kVec = 16 / sizeof(T), kPerWord = 4 / sizeof(T), kRounds = 32 / kVec;
    constexpr int kWords = 8 / kPerWord; // of a list
    __shared__ float scales[kMaxExperts];
    __shared__ __align__(16) key shared[8][32 * 8];
    int lane = threadIdx.x % 32, q = lane & (lanes - 1), bits = __ffs(lanes) - 1;
    key *lists = shared[threadIdx.x / 32], best[8];
    long long first = (long long)(blockIdx.x * 8ull + threadIdx.x / 32) << (5 - bits);
    long long token = first + (lane >> bits);
    const T *start = logits + (kPitched ? token * stride : token * experts);
    const kb_vec<16> *row = kb_vecs<16>(start) + q;
    int vecs = token < tokens ? experts / kVec - q : 0;
    kb_vec<16> v[kRounds];

    kb_let_next_start();
    kb_wait_inputs();
#pragma unroll // all loads before the first use
    for (int i = 0; i < kRounds; i++)
        v[i] = i * lanes < vecs ? row[i * lanes] : kb_vec<16>{{~0u, ~0u, ~0u, ~0u}};
#pragma unroll 1 // most often it is one
    for (int e = threadIdx.x; e < experts; e += 256)
        scales[e] = scale_at(per_expert_scale, scale_type, e);
#pragma unroll
    for (int list = 0; list < 4; list++) {
        key k[8];
#pragma unroll
        for (int w = 0; w < kWords; w++) {
            int at = list * kWords + w, round = at / 4, element = at % 4 * kPerWord;
            Order::make(v[round].word[at % 4], (round * lanes + q) * kVec + element,
                        &k[w * kPerWord]);
        }
        sort<0, 8>(k);
        if (list > 0)
            keep_best(best, k);
#pragma unroll
        for (int e = 0; list == 0 && e < 8; e++)
            best[e] = k[e];
    }
    for (int m = 1; m < lanes; m *= 2) {
        key theirs[8];
#pragma unroll
        for (int e = 0; e < 8; e++)
            theirs[e] = __shfl_xor_sync(kAllLanes, best[e], m);
        keep_best(best, theirs);
    }
    if (q == 0) {
#pragma unroll
        for (int e = 0; e < 8; e++)
            lists[(lane >> bits) * 8 + e] = best[e];
    }
    __syncthreads(); // the warp's lists and the block's scales
    for (int slots = 0; slots < 256 >> bits; slots += 32) {
        int at = slots + lane, slot = at % 8;
        long long to = first + at / 8;
        bool there = at < 256 >> bits && slot < topk && to < tokens;
        key k = lists[there ? at : 0];
        float l = Order::logit(k), m = __shfl_sync(kAllLanes, l, 0, 8);
        if (__any_sync(kAllLanes, there && m != m)) // NaN first: the next that is none
            m = max_of_lanes(there ? l : m, 8);
        float p = there ? exp_of(l - m) : 0.0f, d = sum_of_lanes(p, 8);
        d = d > 0.0f ? d : 1.0f;
        if (there) {
            int expert = (int)Order::place(k);
            weights[to * topk + slot] = p * kb_rcp(d) * scales[expert];
            ids[to * topk + slot] = expert;
        }
    }
}

/* ---- rounds ----------------------------------------------------------------------------- */

template <class T>
__global__ void __launch_bounds__(128)
    routing_rounds(const T *logits, const void *per_expert_scale, float *weights, int *ids,
                   long long tokens, int experts, int topk, int scale_type, unsigned stride) {
    long long token = blockIdx.x * 4ll + threadIdx.x / 32;
    const T *row = logits + token * stride;
    weights += token * topk;
    ids += token * topk;
    kb_let_next_start();
    kb_wait_inputs();
    if (token >= tokens)
        return;
    if (experts == 128)
        route<T, 4>(row, per_expert_scale, weights, ids, topk, scale_type);
    else if (experts == 256)
        route<T, 8>(row, per_expert_scale, weights, ids, topk, scale_type);
    else
        route<T, 2>(row, per_expert_scale, weights, ids, topk, scale_type);
}

/* ---- warp ------------------------------------------------------------------------------- */

template <class T, int kMaxItems, bool kBefore = false>
__global__ void __launch_bounds__(128)
    routing_warp(const T *logits, const void *per_expert_scale, float *weights, int *ids,
                 long long tokens, int experts, int topk, int scale_type, int ties_high,
                 int eager, int norm_all, int norm_scaled, unsigned stride) {
    using order = typename scores<T, kBefore>::order;
    using key = typename order::key;
    int lane = threadIdx.x % 32;
    long long token = blockIdx.x * 4ll + threadIdx.x / 32;
    const T *row = logits + token * stride;
    const scores<T, kBefore> from(row, per_expert_scale, scale_type);
    unsigned turn = turn_of(ties_high);
    key best = order::kPad;

    kb_let_next_start();
    kb_wait_inputs();
    if (token >= tokens)
        return;
    key k = select_any<kMaxItems>(from, experts, topk, turn, best);
    unsigned expert = lane < topk ? order::place(k) ^ turn : 0;
    float scale = kBefore ? 1.0f : scale_at(per_expert_scale, scale_type, expert);
    float l = order::logit(k), m = order::logit(best);
    if (m != m) // NaN first: the next that is none
        m = max_of_lanes(l, topk);
    float p = lane < topk ? exp_of(l - m) : 0.0f, d = p;
    if (norm_all) {
        d = 0.0f;
        for (int e = lane; e < experts; e += 32)
            d += exp_of(from.of(e) - m);
    }
    d = sum_of_lanes(d, norm_all ? 32 : topk);
    if (!eager)
        d = d > 0.0f ? d : 1.0f;
    p *= kb_rcp(d);
    float w = p * scale;
    if (eager)
        w = round_to<T>(round_to<T>(p) * round_to<T>(scale));
    if (norm_scaled)
        w *= kb_rcp(sum_of_lanes(lane < topk ? w : 0.0f, topk));
    if (lane < topk) {
        weights[token * topk + lane] = w;
        ids[token * topk + lane] = (int)expert;
    }
}

/* ---- chain ------------------------------------------------------------------------------ */

template <class T>
__global__ void __launch_bounds__(128)
    chain_topk(const T *logits, T *selected, int *ids, long long tokens, int experts,
               int topk, int ties_high, unsigned stride) {
    int lane = threadIdx.x % 32;
    long long token = blockIdx.x * 4ll + threadIdx.x / 32;
    unsigned turn = turn_of(ties_high);
    typename order<T>::key best;
    kb_let_next_start();
    kb_wait_inputs();
    if (token >= tokens)
        return;
    const scores<T, false> from(logits + token * stride, nullptr, 0);
    auto k = select_any<32>(from, experts, topk, turn, best);
    if (lane < topk) {
        selected[token * topk + lane] = from_f32<T>(order<T>::logit(k));
        ids[token * topk + lane] = (int)(order<T>::place(k) ^ turn);
    }
}

template <class T>
__global__ void __launch_bounds__(256)
    chain_softmax(const T *selected, T *shares, long long tokens, int topk) {
    long long token = (long long)blockIdx.x * 256 + threadIdx.x;
    const T *row = selected + token * topk;
    kb_let_next_start();
    kb_wait_inputs();
    if (token >= tokens)
        return;
    float m = to_f32(row[0]), d = 0.0f; // NaN makes all of them NaN, as it does in the sum
    for (int j = 0; j < topk; j++)
        d += exp_of(to_f32(row[j]) - m);
    for (int j = 0; j < topk; j++)
        shares[token * topk + j] = from_f32<T>(exp_of(to_f32(row[j]) - m) * kb_rcp(d));
}

template <class T>
__global__ void __launch_bounds__(256)
    chain_gather(const void *per_expert_scale, const int *ids, T *scales, long long slots,
                 int scale_type) {
    long long i = (long long)blockIdx.x * 256 + threadIdx.x;
    kb_let_next_start();
    kb_wait_inputs();
    if (i < slots)
        scales[i] = from_f32<T>(scale_at(per_expert_scale, scale_type, ids[i]));
}

template <class T>
__global__ void __launch_bounds__(256)
    chain_product(const T *shares, const T *scales, T *products, long long slots) {
    long long i = (long long)blockIdx.x * 256 + threadIdx.x;
    kb_let_next_start();
    kb_wait_inputs();
    if (i < slots)
        products[i] = from_f32<T>(to_f32(shares[i]) * to_f32(scales[i]));
}

template <class T>
__global__ void __launch_bounds__(256)
    chain_cast(const T *products, float *weights, long long slots) {
    long long i = (long long)blockIdx.x * 256 + threadIdx.x;
    kb_let_next_start();
    kb_wait_inputs();
    if (i < slots)
        weights[i] = to_f32(products[i]);
}
