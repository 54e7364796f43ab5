/* kb_mla_wgmma_plan.cuh - mla_prefill by wgmma: a block's sizes and shared memory with its
 * barriers, and the pieces of work that blocks take. */
#pragma once

#include "kb_mla_hidden.cuh"
#include "kb_sm90.cuh"

namespace warpgroups {

enum { kSharedBytes = 214528 };

/* A block: a warpgroup that loads, two that work on 64 queries each. */
template <class T> struct plan {
    static constexpr bool kByte = sizeof(T) == 1;
    static constexpr int kRows = 128, kKeys = 128, kStages = 2;
    static constexpr int kRowBytes = 64 * sizeof(T); // of a box of query or key
    static constexpr int kBox = kKeys * kRowBytes;   // and all of it; there are three
    static constexpr int kLayout = kByte ? 2 : 1;
    static constexpr int kQuery = 3 * kBox, kKey = 3 * kBox,
                         kValue = kKeys * kV * sizeof(T);
    static constexpr int kSteps = kQk * sizeof(T) / 32,
                         kValueSteps = kKeys * sizeof(T) / 32;
    static constexpr int kTurned = kByte ? kStages : 1, kKept = kByte ? 2 : 1;
    static constexpr int kMore = kByte ? 16 : 1, kHeld = kByte ? 1 : kSteps;
    // Log2 of what shares may exceed 1 by; in 8 bits 448 is the most that there is.
    static constexpr float kSlack = kByte ? 0.8f : 8.0f;
    // Of who multiplies. In 8 bits they cost as much as they bring.
    static constexpr bool kTurns = !kByte;
};

enum { kMovers = 2, kRun = 8 }; // warps that turn or clear value; in 8 bits tiles in a sum

/* 128 queries of a head, and the keys that the last of them sees; of tiles from key `from`
 * on not all of them see all. Below head 0: the end. */
struct __align__(16) piece {
    int q_start, q_len, k_start, k_len;
    int row, head, end, from;
};

template <class T> struct shared {
    unsigned char query[plan<T>::kQuery];
    unsigned char key[plan<T>::kStages][plan<T>::kKey];
    unsigned char value[plan<T>::kStages][plan<T>::kValue];
    unsigned char turned[plan<T>::kTurned][plan<T>::kByte ? plan<T>::kValue : 16];
    float4 kept[plan<T>::kKept][plan<T>::kByte ? 16 : 1][plan<T>::kByte ? 128 : 1];
    piece pieces[2];
    int cleared[4]; // by a piece's slot: whether some of its values were no numbers
    unsigned long long piece_full[2], piece_empty[2];
    unsigned long long query_full, query_empty;
    unsigned long long key_full[plan<T>::kStages], key_empty[plan<T>::kStages];
    unsigned long long value_full[plan<T>::kStages], value_empty[plan<T>::kStages];
    unsigned long long value_there[plan<T>::kStages]; // in 16 bits, to be cleared
    unsigned long long turned_full[plan<T>::kStages], turned_empty[plan<T>::kStages];
};

/* Which of two is next, and which parity its barrier has then. */
struct place {
    int stage = 0, parity = 0;
    KB_DEVICE void next() {
        parity ^= stage;
        stage ^= 1;
    }
    KB_DEVICE int slot() const { // 0, 1, 2, 3, 0, ...
        return parity * 2 + stage;
    }
};

struct batch {
    const int *cum_q, *cum_kv;
    int sequences, heads, tiles, section, mask;
};

/* Pieces by number. Heads go by sections, whose keys and values stay in L2; in a section
 * the last queries come first, which under the mask have the most keys. */
KB_DEVICE bool find_piece(const batch &b, int number, piece &p) {
    int whole = b.section * b.tiles, section = number / whole,
        rest = number - section * whole;
    int here = b.heads - section * b.section;
    here = here < b.section ? here : b.section;
    int at = b.tiles - 1 - rest / here;
    for (int i = 0; i < b.sequences; i++) {
        int tiles = (b.cum_q[i + 1] - b.cum_q[i] + 127) / 128;
        if (at < tiles) {
            sequence s = sequence_at(b.cum_q, b.cum_kv, i);
            int row = at * 128, last = row + 127 < s.q_len ? row + 127 : s.q_len - 1;
            int head = section * b.section + rest % here;
            p = {s.q_start, s.q_len, s.k_start, s.k_len, row, head, 0, 0};
            p.end = seen_by(s, last, b.mask);
            int open = seen_by(s, row, b.mask);
            p.from = open < s.k_len ? open / 128 * 128 : 0x7fffffff;
            return true;
        }
        at -= tiles;
    }
    return false;
}

/* The next one, of those who do not load. */
template <class T> KB_DEVICE piece take_piece(shared<T> &m, place &at) {
    kb_barrier_wait(&m.piece_full[at.stage], at.parity);
    piece p = m.pieces[at.stage];
    __syncwarp();
    if (threadIdx.x % 32 == 0)
        kb_barrier_arrive(&m.piece_empty[at.stage]);
    at.next();
    return p;
}

template <class T> KB_DEVICE void make_barriers(shared<T> &m) {
    constexpr bool kByte = plan<T>::kByte;
    if (threadIdx.x == 0) {
        kb_barrier_init(&m.query_full, 1);
        kb_barrier_init(&m.query_empty, 8);
        for (int i = 0; i < 2; i++) {
            kb_barrier_init(&m.piece_full[i], 1);
            kb_barrier_init(&m.piece_empty[i], 8 + kMovers);
            kb_barrier_init(&m.key_full[i], 1);
            kb_barrier_init(&m.key_empty[i], 8);
            kb_barrier_init(&m.value_full[i], 1);
            kb_barrier_init(&m.value_there[i], 1);
            kb_barrier_init(&m.value_empty[i], kByte ? kMovers : 8);
            kb_barrier_init(&m.turned_full[i], kMovers);
            kb_barrier_init(&m.turned_empty[i], 8);
        }
        kb_barrier_fence();
    }
    __syncthreads();
}

} // namespace warpgroups
