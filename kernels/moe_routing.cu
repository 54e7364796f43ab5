// moe_routing: of each row of logits the topk largest, a softmax over those, times the scale
// of the expert.
//
//     ids      the topk experts with the largest logits, largest first; of equal ones the
//              lower id (ties=high: the higher)
//     p[j]     exp(l[ids[j]] - m), m the largest that is no NaN
//     weights  p[j] / d * per_expert_scale[ids[j]], d the sum of p; 1 if that is not above 0
//
// Logits are selected as integer keys: their bits made sortable, and the expert below them,
// so that no two are equal and the smallest is the best. A 16-bit logit and its expert fit
// into one register, an fp32 one and its expert into two.
//
// lists - a group of lanes for a token, each with 32 logits: it sorts them by eights, merges
//         those into its best eight, and the group's lanes merge theirs by shuffles. All of
//         it is min and max without a branch: for many tokens and topk up to 8.
// warp  - a warp for a token, one slot of the result a lane: each round takes the smallest
//         of the lanes' smallest by one warp-wide reduction. For few tokens, where the time
//         is one token's, and for all that lists does not do.
// chain - what a framework without fusion runs: topk, softmax, gather, product and cast,
//         each to memory in the logits' dtype: right for mode=eager only.
/* kbench
{ "ops": ["moe_routing"],
  "let": { "items": "max(4, next_pow2(ceil_div(experts, 32)))",
           "vec": "16 / dtype_bytes",
           "lanes": "next_pow2(ceil_div(experts, 32))",
           "scale_type": "scale_dtype == bf16 ? 1 : scale_dtype == fp16 ? 2 : 3" },
  "variants": {
    "lists": {
      "why":   "sorting networks in a few lanes a token: many tokens, topk up to 8",
      "when":  "mode == fp32 && norm == selected && ties != high && scale != before && topk <= 8 && experts % vec == 0 && tokens >= 32 * sm_count",
      "entry": "routing_lists<KB_T>",
      "grid":  "ceil_div(tokens, 256 / lanes)", "block": 256, "pdl": true,
      "args":  ["logits", "per_expert_scale", "weights", "ids", "i64 tokens", "i32 experts",
                "i32 topk", "i32 lanes", "i32 scale_type"] },
    "warp": {
      "why":   "one warp a token and a reduction a slot: few tokens, any experts, topk and words",
      "when":  "scale != before",
      "let":   { "warps": "max(1, min(8, tokens / sm_count))" },
      "entry": "routing_warp<KB_T>",
      "grid":  "ceil_div(tokens, warps)", "block": "32 * warps", "pdl": true,
      "args":  ["logits", "per_expert_scale", "weights", "ids", "i64 tokens", "i32 experts",
                "i32 topk", "i32 items", "i32 scale_type", "i32 ties == high", "i32 mode == eager",
                "i32 norm == all", "i32 norm == scaled"] },
    "chain": {
      "why":   "unfused: topk, softmax, gather, product and cast, each to memory",
      "when":  "mode == eager && norm == selected && scale == after",
      "let":   { "slots": "tokens * topk", "blocks": "ceil_div(slots, 256)" },
      "scratch": { "selected": { "bytes": "slots * dtype_bytes" },
                   "shares": { "bytes": "slots * dtype_bytes" },
                   "scales": { "bytes": "slots * dtype_bytes" },
                   "products": { "bytes": "slots * dtype_bytes" } },
      "launches": [
        { "entry": "chain_topk<KB_T>", "grid": "ceil_div(tokens, 8)", "block": 256, "pdl": true,
          "args":  ["logits", "selected", "ids", "i64 tokens", "i32 experts", "i32 topk",
                    "i32 items", "i32 ties == high"] },
        { "entry": "chain_softmax<KB_T>", "grid": "ceil_div(tokens, 256)", "block": 256, "pdl": true,
          "args":  ["selected", "shares", "i64 tokens", "i32 topk"] },
        { "entry": "chain_gather<KB_T>", "grid": "blocks", "block": 256, "pdl": true,
          "args":  ["per_expert_scale", "ids", "scales", "i64 slots", "i32 scale_type"] },
        { "entry": "chain_product<KB_T>", "grid": "blocks", "block": 256, "pdl": true,
          "args":  ["shares", "scales", "products", "i64 slots"] },
        { "entry": "chain_cast<KB_T>", "grid": "blocks", "block": 256, "pdl": true,
          "args":  ["products", "weights", "i64 slots"] } ] } } }
*/
#include "kb.cuh"

enum { kAllLanes = -1, kMaxExperts = 1024 };

/* ---- keys -------------------------------------------------------------------------------
 * The better logit has the smaller key; of equal logits the one of the smaller place, which
 * stands in the low bits. kPad is larger than any logit's. */

template <class T> struct order {
    using key = unsigned;
    static constexpr key kPad = ~0u;

    /* Bits so that larger numbers are smaller: positive ones turned round. */
    static KB_DEVICE unsigned flip(unsigned bits) {
        return bits & 0x8000u ? bits : bits ^ 0x7fffu;
    }
    static KB_DEVICE key make(T logit, unsigned place) {
        return flip(*reinterpret_cast<unsigned short *>(&logit)) << 16 | place;
    }
    static KB_DEVICE float logit(key k) {
        unsigned short bits = (unsigned short)flip(k >> 16);
        return to_f32(*reinterpret_cast<T *>(&bits));
    }
    static KB_DEVICE unsigned place(key k) {
        return k & 0xffffu;
    }
    static KB_DEVICE key least_of_warp(key k) {
        return __reduce_min_sync(kAllLanes, k);
    }
};
template <> struct order<float> {
    using key = unsigned long long;
    static constexpr key kPad = ~0ull;

    static KB_DEVICE unsigned flip(unsigned bits) {
        return bits & 0x80000000u ? bits : bits ^ 0x7fffffffu;
    }
    static KB_DEVICE key make(float logit, unsigned place) {
        return (key)flip(__float_as_uint(logit)) << 32 | place;
    }
    static KB_DEVICE float logit(key k) {
        return __uint_as_float(flip((unsigned)(k >> 32)));
    }
    static KB_DEVICE unsigned place(key k) {
        return (unsigned)k;
    }
    static KB_DEVICE key least_of_warp(key k) {
        unsigned high = (unsigned)(k >> 32);
        unsigned least = __reduce_min_sync(kAllLanes, high);
        unsigned low = __reduce_min_sync(kAllLanes, high == least ? (unsigned)k : ~0u);
        return (key)least << 32 | low;
    }
};

/* ---- sorting networks -------------------------------------------------------------------
 * Smallest first; every index is a constant, so that the array is registers. */

template <class Key> KB_DEVICE void put_in_order(Key &a, Key &b) {
    Key least = a < b ? a : b, most = a < b ? b : a;
    a = least;
    b = most;
}

/* Batcher's odd-even merge of every kStep-th of the kN elements from kFirst on. */
template <int kFirst, int kN, int kStep, class Key, int kAll>
KB_DEVICE void merge_halves(Key (&k)[kAll]) {
    if constexpr (2 * kStep < kN) {
        merge_halves<kFirst, kN, 2 * kStep>(k);
        merge_halves<kFirst + kStep, kN, 2 * kStep>(k);
#pragma unroll
        for (int i = kFirst + kStep; i + kStep < kFirst + kN; i += 2 * kStep)
            put_in_order(k[i], k[i + kStep]);
    } else {
        put_in_order(k[kFirst], k[kFirst + kStep]);
    }
}
template <int kFirst, int kN, class Key, int kAll> KB_DEVICE void sort(Key (&k)[kAll]) {
    if constexpr (kN > 1) {
        sort<kFirst, kN / 2>(k);
        sort<kFirst + kN / 2, kN / 2>(k);
        merge_halves<kFirst, kN, 1>(k);
    }
}

/* Of two sorted lists of eight the smallest eight, sorted; `b` is the second one backwards.
 * The smaller ones of pairs from opposite ends rise and then fall: three steps sort them. */
template <class Key> KB_DEVICE void keep_best(Key (&a)[8], const Key (&b)[8]) {
#pragma unroll
    for (int i = 0; i < 8; i++)
        a[i] = a[i] < b[i] ? a[i] : b[i];
#pragma unroll
    for (int i = 0; i < 4; i++)
        put_in_order(a[i], a[i + 4]);
#pragma unroll
    for (int i = 0; i < 8; i += i % 4 == 1 ? 3 : 1)
        put_in_order(a[i], a[i + 2]);
#pragma unroll
    for (int i = 0; i < 8; i += 2)
        put_in_order(a[i], a[i + 1]);
}

/* ---- scales and weights ---------------------------------------------------------------- */

enum { kScaleBf16 = 1, kScaleFp16, kScaleFp32 };

KB_DEVICE float scale_at(const void *scale, int dtype, unsigned expert) {
    return !scale ? 1.0f
           : dtype == kScaleFp32
               ? static_cast<const float *>(scale)[expert]
               : (dtype == kScaleBf16
                      ? to_f32(static_cast<const __nv_bfloat16 *>(scale)[expert])
                      : to_f32(static_cast<const __half *>(scale)[expert]));
}

/* All scales to shared memory, so that the gather does not wait for memory once more. The
 * caller synchronises. */
KB_DEVICE void load_scales(const void *scale, int dtype, int experts, float *to) {
    for (int e = threadIdx.x; e < experts; e += blockDim.x)
        to[e] = scale_at(scale, dtype, e);
}

KB_DEVICE float exp_of(float x) {
    return kb_ex2(x * 1.44269504f);
}

template <class T> KB_DEVICE float round_to(float x) {
    return to_f32(from_f32<T>(x));
}

/* The sum over each aligned run of `n` lanes, n rounded up to a power of two. */
KB_DEVICE float sum_of_lanes(float x, int n) {
    for (int m = 1; m < n; m *= 2)
        x += __shfl_xor_sync(kAllLanes, x, m);
    return x;
}

/* ---- lists ------------------------------------------------------------------------------
 * Lane q of a group of `lanes` takes every lanes-th vector of a row from the q-th on. A place
 * is [round, 5 bits of q, element of the vector], which rises as the expert does. */

template <class T>
__global__ void __launch_bounds__(256)
    routing_lists(const T *logits, const void *per_expert_scale, float *weights, int *ids,
                  long long tokens, int experts, int topk, int lanes, int scale_dtype) {
    using order = order<T>;
    using key = typename order::key;
    constexpr int kVec = 16 / sizeof(T), kVecBits = kVec == 8 ? 3 : 2, kRounds = 32 / kVec;
    constexpr int kVecsOf8 = 8 / kVec;
    __shared__ float scales[kMaxExperts];
    __shared__ __align__(16) key shared[8][32 * 8];
    int lane = threadIdx.x % 32, q = lane & (lanes - 1), per_warp = 32 / lanes;
    key *lists = shared[threadIdx.x / 32];
    long long first = ((long long)blockIdx.x * 8 + threadIdx.x / 32) * per_warp;
    long long token = first + lane / lanes;
    const kb_vec<16> *row = kb_vecs<16>(logits + token * experts) + q;
    int vecs = token < tokens ? experts / kVec - q : 0;
    kb_vec<16> v[kRounds];
    key best[8];

    kb_let_next_start();
    kb_wait_inputs();
#pragma unroll // all loads before the first use
    for (int i = 0; i < kRounds; i++)
        if (i * lanes < vecs)
            v[i] = row[i * lanes];
    load_scales(per_expert_scale, scale_dtype, experts, scales);
#pragma unroll
    for (int i = 0; i < kRounds; i += kVecsOf8) {
        key k[8];
#pragma unroll
        for (int e = 0; e < 8; e++) {
            int round = i + e / kVec, element = e % kVec;
            unsigned place = round << (5 + kVecBits) | element;
            T logit = reinterpret_cast<T *>(&v[round])[element];
            k[e] = round * lanes < vecs ? order::make(logit, place) : order::kPad;
        }
        sort<0, 8>(k);
        if (i == 0) {
#pragma unroll
            for (int e = 0; e < 8; e++)
                best[e] = k[e];
        } else {
            key backwards[8];
#pragma unroll
            for (int e = 0; e < 8; e++)
                backwards[e] = k[7 - e];
            keep_best(best, backwards);
        }
    }
#pragma unroll
    for (int e = 0; e < 8; e++)
        best[e] |= q << kVecBits;
    for (int m = 1; m < lanes; m *= 2) {
        key theirs[8];
#pragma unroll
        for (int e = 0; e < 8; e++)
            theirs[e] = __shfl_xor_sync(kAllLanes, best[7 - e], m);
        keep_best(best, theirs);
    }
    if (q == 0) {
#pragma unroll
        for (int e = 0; e < 8; e++)
            lists[lane / lanes * 8 + e] = best[e];
    }
    __syncthreads();
    for (int slots = 0; slots < per_warp * 8; slots += 32) {
        int at = slots + lane, slot = at % 8;
        long long to = first + at / 8;
        bool mine = at < per_warp * 8 && slot < topk && to < tokens;
        key k = mine ? lists[at] : order::kPad;
        float l = order::logit(k), m = order::logit(mine ? lists[at - slot] : order::kPad);
        if (__any_sync(kAllLanes, mine && m != m)) { // NaN first: the next that is none
            m = mine ? l : m;
#pragma unroll
            for (int i = 1; i < 8; i *= 2)
                m = fmaxf(m, __shfl_xor_sync(kAllLanes, m, i));
        }
        float p = mine ? exp_of(l - m) : 0.0f, d = sum_of_lanes(p, 8);
        d = d > 0.0f ? d : 1.0f;
        if (mine) {
            unsigned place = order::place(k), element = place % kVec;
            unsigned vec = (place >> (5 + kVecBits)) * lanes + (place >> kVecBits) % 32;
            unsigned expert = vec * kVec + element;
            weights[to * topk + slot] = p * kb_rcp(d) * scales[expert];
            ids[to * topk + slot] = (int)expert;
        }
    }
}

/* ---- warp ------------------------------------------------------------------------------- */

/* Slot j of the selection in lane j, and the best of all in `best`. Places are experts, all
 * their bits turned over for ties=high. */
template <class T, int kItems>
KB_DEVICE typename order<T>::key select(const T *row, int experts, int topk, unsigned turn,
                                        typename order<T>::key &best) {
    using key = typename order<T>::key;
    int lane = threadIdx.x % 32;
    key k[kItems], mine = order<T>::kPad;
#pragma unroll
    for (int i = 0; i < kItems; i++) {
        int e = i * 32 + lane;
        k[i] = e < experts ? order<T>::make(row[e], e ^ turn) : order<T>::kPad;
    }
    sort<0, kItems>(k);
    for (int slot = 0; slot < topk; slot++) {
        key least = order<T>::least_of_warp(k[0]);
        mine = lane == slot ? least : mine;
        best = slot == 0 ? least : best;
        if (k[0] == least) {
#pragma unroll
            for (int i = 0; i + 1 < kItems; i++)
                k[i] = k[i + 1];
            k[kItems - 1] = order<T>::kPad;
        }
    }
    return mine;
}

template <class T>
KB_DEVICE typename order<T>::key select_any(const T *row, int experts, int topk, int items,
                                            unsigned turn, typename order<T>::key &best) {
    return items <= 4    ? select<T, 4>(row, experts, topk, turn, best)
           : items <= 8  ? select<T, 8>(row, experts, topk, turn, best)
           : items <= 16 ? select<T, 16>(row, experts, topk, turn, best)
                         : select<T, 32>(row, experts, topk, turn, best);
}

KB_DEVICE unsigned turn_of(int ties_high) {
    return ties_high ? kMaxExperts - 1 : 0;
}

template <class T>
__global__ void __launch_bounds__(256)
    routing_warp(const T *logits, const void *per_expert_scale, float *weights, int *ids,
                 long long tokens, int experts, int topk, int items, int scale_dtype,
                 int ties_high, int eager, int norm_all, int norm_scaled) {
    using order = order<T>;
    using key = typename order::key;
    __shared__ float scales[kMaxExperts];
    int lane = threadIdx.x % 32;
    long long token =
        (long long)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    bool there = token < tokens, mine = there && lane < topk;
    const T *row = logits + token * experts;
    unsigned turn = turn_of(ties_high);
    key best = order::kPad;

    kb_let_next_start();
    kb_wait_inputs();
    load_scales(per_expert_scale, scale_dtype, experts, scales);
    key k = select_any(row, there ? experts : 0, topk, items, turn, best);
    float l = order::logit(k), m = order::logit(best);
    if (m != m) { // NaN first: the next that is none
        m = l;
        for (int i = 1; i < 32; i *= 2)
            m = fmaxf(m, __shfl_xor_sync(kAllLanes, m, i));
    }
    float p = mine ? exp_of(l - m) : 0.0f, d = p;
    if (norm_all) {
        d = 0.0f;
        for (int e = lane; there && e < experts; e += 32)
            d += exp_of(to_f32(row[e]) - m);
    }
    d = sum_of_lanes(d, norm_all ? 32 : topk);
    if (!eager)
        d = d > 0.0f ? d : 1.0f;
    p *= kb_rcp(d);
    __syncthreads(); // scales
    unsigned expert = mine ? order::place(k) ^ turn : 0;
    float scale = scales[expert], w = p * scale;
    if (eager)
        w = round_to<T>(round_to<T>(p) * round_to<T>(scale));
    if (norm_scaled)
        w *= kb_rcp(sum_of_lanes(mine ? w : 0.0f, topk));
    if (mine) {
        weights[token * topk + lane] = w;
        ids[token * topk + lane] = (int)expert;
    }
}

/* ---- chain ------------------------------------------------------------------------------ */

template <class T>
__global__ void __launch_bounds__(256)
    chain_topk(const T *logits, T *selected, int *ids, long long tokens, int experts,
               int topk, int items, int ties_high) {
    int lane = threadIdx.x % 32;
    long long token = (long long)blockIdx.x * 8 + threadIdx.x / 32;
    typename order<T>::key best;
    kb_let_next_start();
    kb_wait_inputs();
    if (token >= tokens)
        return;
    auto k = select_any(logits + token * experts, experts, topk, items, turn_of(ties_high),
                        best);
    if (lane < topk) {
        selected[token * topk + lane] = from_f32<T>(order<T>::logit(k));
        ids[token * topk + lane] = (int)(order<T>::place(k) ^ turn_of(ties_high));
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
                 int scale_dtype) {
    long long i = (long long)blockIdx.x * 256 + threadIdx.x;
    kb_let_next_start();
    kb_wait_inputs();
    if (i < slots)
        scales[i] = from_f32<T>(scale_at(per_expert_scale, scale_dtype, ids[i]));
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
