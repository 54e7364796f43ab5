/* kb_routing_rounds.cuh - moe_routing by a warp for a token: each lane has its logits in
 * order, and a round takes the best of the lanes' best by one warp-wide reduction. */
#pragma once

#include "kb_routing.cuh"

/* ---- rounds -----------------------------------------------------------------------------
 * A lane has kItems logits that follow each other. All lanes know every slot's key as soon as
 * it is found, so that each adds up the softmax for itself; lane j keeps slot j. */

/* The scales of a lane's experts, which arrive while it selects: two to a word, or one. */
template <int kItems> struct lane_scales {
    unsigned word[kItems];
    int type; // 0: none

    KB_DEVICE lane_scales(const void *scale, int scale_type, int lane)
        : type(scale ? scale_type : 0) {
        const unsigned *words = static_cast<const unsigned *>(scale);
        if (type == kScaleFp32) {
#pragma unroll
            for (int i = 0; i < kItems; i++)
                word[i] = words[lane * kItems + i];
        } else if (type) {
#pragma unroll
            for (int i = 0; i < kItems / 2; i++)
                word[i] = words[lane * (kItems / 2) + i];
        }
    }
    /* Of expert `expert`, another one in each lane. */
    KB_DEVICE float of(unsigned expert) const {
        int lane = expert / kItems, n = type == kScaleFp32 ? kItems : kItems / 2;
        unsigned at = type == kScaleFp32 ? expert % kItems : expert % kItems / 2, found = 0;
#pragma unroll
        for (int i = 0; i < kItems; i++)
            if (type && i < n) {
                unsigned theirs = __shfl_sync(kAllLanes, word[i], lane);
                found = at == i ? theirs : found;
            }
        if (type == 0)
            return 1.0f;
        if (type == kScaleFp32)
            return __uint_as_float(found);
        unsigned short half = (unsigned short)(expert % 2 ? found >> 16 : found);
        return type == kScaleBf16 ? to_f32(*reinterpret_cast<__nv_bfloat16 *>(&half))
                                  : to_f32(*reinterpret_cast<__half *>(&half));
    }
};

template <class T, int kItems>
KB_DEVICE void route(const T *row, const void *scale, float *weights, int *ids, int topk,
                     int scale_type) {
    using order = order<T>;
    using key = typename order::key;
    constexpr int kBytes = kItems * sizeof(T) < 16 ? kItems * sizeof(T) : 16;
    constexpr int kWords = kBytes / 4, kPerWord = 4 / sizeof(T), kVec = kWords * kPerWord;
    int lane = threadIdx.x % 32;
    const kb_vec<kBytes> *from = kb_vecs<kBytes>(row) + lane * (kItems / kVec);
    key k[kItems], mine = order::kPad;
    float m = 0.0f, d = 0.0f, p = 0.0f;
    kb_vec<kBytes> v[kItems / kVec];
#pragma unroll
    for (int i = 0; i < kItems / kVec; i++)
        v[i] = from[i];
    lane_scales<kItems> scales(scale, scale_type, lane);
#pragma unroll
    for (int i = 0; i < kItems; i += kPerWord)
        order::make(v[i / kVec].word[i % kVec / kPerWord], lane * kItems + i, &k[i]);
    sort<0, kItems>(k);
#pragma unroll
    for (int slot = 0; slot < 8; slot++) {
        if (slot == 4 && topk <= 4) // at each slot it would cost more than it saves
            break;
        key best = order::least_of_warp(k[0]);
        bool taken = k[0] == best;
#pragma unroll
        for (int i = 0; i + 1 < kItems; i++)
            k[i] = taken ? k[i + 1] : k[i];
        k[kItems - 1] = taken ? order::kPad : k[kItems - 1];
        float l = order::logit(best);
        m = slot == 0 || m != m ? l : m; // of the first that is no NaN
        float e = exp_of(l - m);
        d += slot < topk ? e : 0.0f;
        mine = lane == slot ? best : mine;
        p = lane == slot ? e : p;
    }
    unsigned expert = lane < topk ? order::place(mine) : 0;
    d = d > 0.0f ? d : 1.0f;
    p *= kb_rcp(d);
    p *= scales.of(expert);
    if (lane < topk) {
        weights[lane] = p;
        ids[lane] = (int)expert;
    }
}

/* ---- for any topk and words -------------------------------------------------------------
 * A lane has every 32nd expert. */

/* What is selected from and what the softmax is of: the logits, or their products with the
 * scale, of which every NaN is the same. */
template <class T, bool kBefore> struct scores {
    using order = ::order<T>;
    static constexpr bool kScaled = false;
    const T *row;

    KB_DEVICE scores(const T *row, const void *, int) : row(row) {
    }
    KB_DEVICE float of(int e) const {
        return to_f32(row[e]);
    }
    KB_DEVICE typename order::key key(int e, unsigned place) const {
        return order::make(row[e], place);
    }
};
template <class T> struct scores<T, true> {
    using order = ::order<float>;
    static constexpr bool kScaled = true;
    const T *row;
    const void *scale;
    int scale_type;

    KB_DEVICE scores(const T *row, const void *scale, int scale_type)
        : row(row), scale(scale), scale_type(scale_type) {
    }
    static KB_DEVICE float product_of(float logit, float scale) { // never fused into a sum
        float product = kb_mul(logit, scale);
        return product == product ? product : __uint_as_float(0x7fffffffu);
    }
    KB_DEVICE float of(int e) const {
        return product_of(to_f32(row[e]), scale_at(scale, scale_type, e));
    }
    /* All scales ahead of the products: which type they have is asked once. */
    template <int kItems>
    KB_DEVICE void keys(int lane, int experts, unsigned turn,
                        order::key (&k)[kItems]) const {
        float scales[kItems];
        if (!scale)
            take(static_cast<const float *>(nullptr), lane, 0, scales);
        else if (scale_type == kScaleFp32)
            take(static_cast<const float *>(scale), lane, experts, scales);
        else if (scale_type == kScaleBf16)
            take(static_cast<const __nv_bfloat16 *>(scale), lane, experts, scales);
        else
            take(static_cast<const __half *>(scale), lane, experts, scales);
#pragma unroll
        for (int i = 0; i < kItems; i++) {
            int e = i * 32 + lane;
            bool there = e < experts;
            float logit = there ? to_f32(row[e]) : 0.0f;
            order::key any = order::make(product_of(logit, scales[i]), e ^ turn);
            k[i] = there ? any : order::kPad;
        }
    }
    template <class Scale, int kItems>
    static KB_DEVICE void take(const Scale *from, int lane, int n, float (&out)[kItems]) {
#pragma unroll
        for (int i = 0; i < kItems; i++)
            out[i] = i * 32 + lane < n ? to_f32(from[i * 32 + lane]) : 1.0f;
    }
};

/* Slot j of the selection in lane j, and the best of all in `best`. Places are experts, all
 * their bits turned over for ties=high. */
template <int kItems, class Scores, class Order = typename Scores::order>
KB_DEVICE typename Order::key select(const Scores &from, int experts, int topk,
                                     unsigned turn, typename Order::key &best) {
    using key = typename Order::key;
    int lane = threadIdx.x % 32;
    key k[kItems], mine = Order::kPad;
    if constexpr (Scores::kScaled) {
        from.keys(lane, experts, turn, k);
    } else {
#pragma unroll
        for (int i = 0; i < kItems; i++) {
            int e = i * 32 + lane;
            k[i] = e < experts ? from.key(e, e ^ turn) : Order::kPad;
        }
    }
    sort<0, kItems>(k);
    for (int slot = 0; slot < topk; slot++) {
        key least = Order::least_of_warp(k[0]);
        mine = lane == slot ? least : mine;
        best = slot == 0 ? least : best;
        if (k[0] == least) {
#pragma unroll
            for (int i = 0; i + 1 < kItems; i++)
                k[i] = k[i + 1];
            k[kItems - 1] = Order::kPad;
        }
    }
    return mine;
}

/* For up to 32 * kMaxItems experts. */
template <int kMaxItems, class Scores, class Order = typename Scores::order>
KB_DEVICE typename Order::key select_any(const Scores &from, int experts, int topk,
                                         unsigned turn, typename Order::key &best) {
    if (experts <= 16 * kMaxItems)
        return select<kMaxItems / 2>(from, experts, topk, turn, best);
    return select<kMaxItems>(from, experts, topk, turn, best);
}

KB_DEVICE unsigned turn_of(int ties_high) {
    return ties_high ? kMaxExperts - 1 : 0;
}
