/* kb_routing.cuh - what variants of moe_routing share: keys that logits are selected by,
 * networks that sort them, scales and sums of weights. */
#pragma once

#include "kb.cuh"

enum { kAllLanes = -1, kMaxExperts = 1024 };

/* ---- keys -------------------------------------------------------------------------------
 * The better logit has the smaller key; of equal logits the one of the smaller place, which
 * stands in the low bits. kPad is larger than any logit's. */

/* Bits so that larger numbers are smaller: positive ones turned round. Of two elements. */
KB_DEVICE unsigned turn_pair(unsigned word) {
    unsigned negative = kb_prmt<0xbb99>(word, 0); // all ones in each half that is
    return word ^ (~negative & 0x7fff7fffu);
}
KB_DEVICE unsigned turn_word(unsigned bits) {
    return bits ^ ((unsigned)(~(int)bits >> 31) & 0x7fffffffu);
}

/* 16-bit logits: all of the logit and a place of 16 bits. */
template <class T> struct order {
    using key = unsigned;
    static constexpr key kPad = ~0u;
    static constexpr int kBlocks = 8; // of lists on an SM, which registers must do for

    /* Of the elements of a word, at places that follow each other. */
    static KB_DEVICE void make(unsigned word, unsigned place, key *out) {
        unsigned turned = turn_pair(word), places = place * 0x10001u + 0x10000u;
        out[0] = kb_prmt<0x1054>(turned, places);
        out[1] = kb_prmt<0x3276>(turned, places);
    }
    static KB_DEVICE key make(T logit, unsigned place) {
        unsigned bits = *reinterpret_cast<unsigned short *>(&logit);
        return turn_pair(bits) << 16 | place;
    }
    static KB_DEVICE float logit(key k) {
        unsigned short bits = (unsigned short)turn_pair(k >> 16);
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
    static constexpr int kBlocks = 4;

    static KB_DEVICE void make(unsigned word, unsigned place, key *out) {
        out[0] = (key)turn_word(word) << 32 | place;
    }
    static KB_DEVICE key make(float logit, unsigned place) {
        return (key)turn_word(__float_as_uint(logit)) << 32 | place;
    }
    static KB_DEVICE float logit(key k) {
        return __uint_as_float(turn_word((unsigned)(k >> 32)));
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

/* fp32 logits and experts of 10 bits as doubles, two bits down, where all are finite: one
 * comparison where whole numbers take two. */
struct double_order {
    using key = double;
    static constexpr int kBlocks = 4;

    static KB_DEVICE void make(unsigned word, unsigned place, key *out) {
        unsigned turned = turn_word(word);
        out[0] = __hiloint2double((int)(turned >> 2), (int)(turned << 30 | place));
    }
    static KB_DEVICE float logit(key k) {
        unsigned high = __double2hiint(k), low = __double2loint(k);
        return __uint_as_float(turn_word(high << 2 | low >> 30));
    }
    static KB_DEVICE unsigned place(key k) {
        return __double2loint(k) & 0x3fffffff;
    }
};

template <class T> struct list_order : order<T> {};
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ % 100 == 0 // others have few units for doubles
template <> struct list_order<float> : double_order {};
#endif

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

/* Of two sorted lists of eight the smallest eight, sorted. The smaller ones of pairs from
 * opposite ends rise and then fall: three steps sort them. */
template <class Key> KB_DEVICE void keep_best(Key (&a)[8], const Key (&b)[8]) {
#pragma unroll
    for (int i = 0; i < 8; i++)
        a[i] = a[i] < b[7 - i] ? a[i] : b[7 - i];
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

KB_DEVICE float scale_at(const void *scale, int type, unsigned expert) {
    if (!scale)
        return 1.0f;
    if (type == kScaleFp32)
        return static_cast<const float *>(scale)[expert];
    return type == kScaleBf16 ? to_f32(static_cast<const __nv_bfloat16 *>(scale)[expert])
                              : to_f32(static_cast<const __half *>(scale)[expert]);
}

KB_DEVICE float exp_of(float x) {
    return kb_ex2(x * 1.44269504f);
}

template <class T> KB_DEVICE float round_to(float x) {
    return to_f32(from_f32<T>(x));
}

/* Over each aligned run of `n` lanes, n rounded up to a power of two: the sum, and the
 * largest that is no NaN, signalling or not. */
KB_DEVICE float sum_of_lanes(float x, int n) {
    for (int m = 1; m < n; m *= 2)
        x += __shfl_xor_sync(kAllLanes, x, m);
    return x;
}
KB_DEVICE float max_of_lanes(float x, int n) {
    for (int m = 1; m < n; m *= 2) {
        float other = __shfl_xor_sync(kAllLanes, x, m);
        x = x != x || other > x ? other : x;
    }
    return x;
}
