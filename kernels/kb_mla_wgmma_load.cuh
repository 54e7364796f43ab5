/* kb_mla_wgmma_load.cuh - mla_prefill by wgmma, the warps that bring: one has the copy
 * engine load queries, keys and values; two more turn values in 8 bits, and clear them. */
#pragma once

#include "kb_mla_wgmma_plan.cuh"

namespace warpgroups {

template <class T>
KB_DEVICE void load_boxes(unsigned char *to, const kb_map *map, int head, int token,
                          unsigned long long *bar) {
#pragma unroll
    for (int i = 0; i < 3; i++)
        kb_tma_load(to + i * plan<T>::kBox, map, i * 64, head, token, bar);
}

template <class T>
KB_DEVICE void load_value(unsigned char *to, const kb_map *map, int v_start, int head,
                          int token, unsigned long long *bar) {
    constexpr int kWide = 128 / sizeof(T);
#pragma unroll
    for (int i = 0; i < kV / kWide; i++)
        kb_tma_load(to + i * 128 * plan<T>::kKeys, map, v_start + i * kWide, head, token,
                    bar);
}

/* Whether some queries do not see all keys of tile i that are there; whether they do not,
 * or it ends behind the sequence. */
template <class T> KB_DEVICE bool is_hidden(const piece &p, int i) {
    return i * plan<T>::kKeys >= p.from;
}
template <class T> KB_DEVICE bool is_cut(const piece &p, int i) {
    return is_hidden<T>(p, i) || p.k_len - i * plan<T>::kKeys < plan<T>::kKeys;
}

/* Where the warp that loads stands. */
struct loader {
    place piece, key, value;
    int query_parity;
};

template <class T>
KB_DEVICE void load_piece(shared<T> &m, const piece &p, int group, const kb_map *query,
                          const kb_map *key, const kb_map *value, int v_start, loader &at) {
    using P = plan<T>;
    int lane = threadIdx.x % 32, kv_head = p.head / group;
    int n = (p.end + P::kKeys - 1) / P::kKeys;
    for (int i = n; i >= 0 && n > 0; i--) { // keys of tile i - 1, values of tile i
        if (i > 0) {
            kb_barrier_wait(&m.key_empty[at.key.stage], at.key.parity ^ 1);
            if (lane == 0) {
                kb_barrier_expect(&m.key_full[at.key.stage], P::kKey);
                load_boxes<T>(m.key[at.key.stage], key, kv_head,
                              p.k_start + (i - 1) * P::kKeys, &m.key_full[at.key.stage]);
            }
            at.key.next();
        }
        if (i == n) {
            kb_barrier_wait(&m.query_empty, at.query_parity ^ 1);
            at.query_parity ^= 1;
            if (lane == 0) {
                kb_barrier_expect(&m.query_full, P::kQuery);
                load_boxes<T>(m.query, query, p.head, p.q_start + p.row, &m.query_full);
            }
            continue;
        }
        unsigned long long *bar = !P::kByte && is_cut<T>(p, i)
                                      ? &m.value_there[at.value.stage]
                                      : &m.value_full[at.value.stage];
        kb_barrier_wait(&m.value_empty[at.value.stage], at.value.parity ^ 1);
        if (lane == 0) {
            kb_barrier_expect(bar, P::kValue);
            load_value<T>(m.value[at.value.stage], value, v_start, kv_head,
                          p.k_start + i * P::kKeys, bar);
        }
        at.value.next();
    }
}

/* One warp. Who is done with a piece takes the next number: next[0] counts them, next[1]
 * the blocks that found no more, of which the last one puts both back. */
template <class T>
KB_DEVICE void load_all(shared<T> &m, const batch &b, int group, const kb_map *query,
                        const kb_map *key, const kb_map *value, int v_start, int *next) {
    int lane = threadIdx.x % 32, count = b.tiles * b.heads, number = blockIdx.x;
    loader at = {};
    piece p = {};
    while (number < count) {
        int taken = lane == 0 ? atomicAdd(next, 1) : 0;
        if (find_piece(b, number, p)) {
            kb_barrier_wait(&m.piece_empty[at.piece.stage], at.piece.parity ^ 1);
            if (lane == 0) {
                m.pieces[at.piece.stage] = p;
                m.cleared[at.piece.slot()] = 0;
                kb_barrier_arrive(&m.piece_full[at.piece.stage]);
            }
            at.piece.next();
            load_piece<T>(m, p, group, query, key, value, v_start, at);
        }
        number = gridDim.x + __shfl_sync(0xffffffffu, taken, 0);
    }
    kb_barrier_wait(&m.piece_empty[at.piece.stage], at.piece.parity ^ 1);
    if (lane == 0) {
        m.pieces[at.piece.stage].head = -1;
        kb_barrier_arrive(&m.piece_full[at.piece.stage]);
        if (atomicAdd(next + 1, 1) == (int)gridDim.x - 1)
            next[0] = next[1] = 0;
    }
}

/* ---- in 16 bits, values that must not be multiplied -------------------------------------
 * They are brought to value_there, and from there to value_full. A warp has a box of 64
 * columns. */

/* Rows that belong to the next sequence, or to nobody: 0 times what stands there may be no
 * number. */
KB_DEVICE void clear_tail(unsigned char *box, int valid, int keys, int lane) {
    for (int i = valid * 8 + lane; i < keys * 8; i += 32)
        reinterpret_cast<uint4 *>(box)[i] = make_uint4(0, 0, 0, 0);
}

/* sum += 0 times a word of two: NaN where one is no number. */
template <class T> KB_DEVICE void add_nothing(unsigned &sum, unsigned word) {
    if constexpr (kb_is_half<T>()) {
        __half2 two = __hfma2(*reinterpret_cast<__half2 *>(&word), __float2half2_rn(0.0f),
                              *reinterpret_cast<__half2 *>(&sum));
        sum = *reinterpret_cast<unsigned *>(&two);
    } else {
        __nv_bfloat162 two =
            __hfma2(*reinterpret_cast<__nv_bfloat162 *>(&word), __float2bfloat162_rn(0.0f),
                    *reinterpret_cast<__nv_bfloat162 *>(&sum));
        sum = *reinterpret_cast<unsigned *>(&two);
    }
}

/* Rows, without what is no number. Returns whether there was some. First a look at them, an
 * instruction a word: a warp that takes several makes the products wait. */
template <class T> KB_DEVICE bool clear_rows(unsigned char *box, int rows, int lane) {
    kb_vec<16> *vecs = reinterpret_cast<kb_vec<16> *>(box);
    unsigned sum = 0;
#pragma unroll 4
    for (int i = lane; i < rows * 8; i += 32)
#pragma unroll
        for (int k = 0; k < 4; k++)
            add_nothing<T>(sum, vecs[i].word[k]);
    if (!__any_sync(0xffffffffu, no_numbers<T>(sum) != 0))
        return false;
#pragma unroll 1
    for (int i = lane; i < rows * 8; i += 32)
        clear_16<T>(vecs + i);
    return true;
}

template <class T> KB_DEVICE void clear_all(shared<T> &m, int half) {
    using P = plan<T>;
    int lane = threadIdx.x % 32, parities = 0; // one bit a stage
    place pieces, v;
    int slot = pieces.slot();
    for (piece p = take_piece<T>(m, pieces); p.head >= 0;
         slot = pieces.slot(), p = take_piece<T>(m, pieces))
        for (int i = (p.end + P::kKeys - 1) / P::kKeys - 1; i >= 0; i--, v.next()) {
            if (!is_cut<T>(p, i))
                continue;
            int valid = p.k_len - i * P::kKeys;
            valid = valid < P::kKeys ? valid : P::kKeys;
            unsigned char *box = m.value[v.stage] + half * 128 * P::kKeys;
            kb_barrier_wait(&m.value_there[v.stage], parities >> v.stage & 1);
            parities ^= 1 << v.stage;
            if (is_hidden<T>(p, i) && clear_rows<T>(box, valid, lane))
                m.cleared[slot] = 1;
            clear_tail(box, valid, P::kKeys, lane);
            kb_fence_async();
            kb_turn_wait(3, 32 * kMovers); // the other box is done, too
            if (half == 0 && lane == 0)
                kb_barrier_arrive(&m.value_full[v.stage]);
        }
}

/* ---- in 8 bits, value with its keys in rows ---------------------------------------------
 * What wgmma wants. A warp takes 32 keys of 16 columns: ldmatrix turns pairs of columns,
 * the bytes of a pair are parted, and stmatrix puts them into row 16 j + c / 2 of even
 * columns c, 16 j + 8 + c / 2 of odd ones. Keys 2t, 2t + 1, 2t + 8, 2t + 9 of 16 follow
 * each other then, as a lane has them of scores. kLook: returns whether there was what is
 * no number, which costs less than to cut it. kCut: keys from `valid` on become 0, and in a
 * tile that is `hidden` in part what is no number; returns whether there was some. */
template <class T, bool kLook, bool kCut>
KB_DEVICE bool turn(const unsigned char *value, unsigned char *turned, int mover, int valid,
                    bool hidden) {
    unsigned found = 0;
    int lane = threadIdx.x % 32, r = lane % 8;
    const unsigned char *from = value + mover * (2 * 32 * 128) + lane * 128;
    unsigned char *to = turned + (lane / 16 * 8 + r) * 128;
#pragma unroll
    for (int block = 0; block < 2; block++)
#pragma unroll 2
        for (int j = 0; j < 8; j++) {
            unsigned x[4], y[4];
            kb_ldmatrix<true>(from + block * (32 * 128) + (j ^ r) * 16, x);
            if (kLook)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    found |= marks<T>(x[i]);
            if (kCut) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    int first = mover * 64 + block * 32 + i * 8 + lane % 4 * 2;
                    x[i] &= (first < valid ? 0xffffu : 0u) |
                            (first + 1 < valid ? 0xffff0000u : 0u);
                    unsigned bits = hidden ? no_numbers<T>(x[i]) : 0;
                    x[i] &= ~bits;
                    found |= bits;
                }
            }
            y[0] = __byte_perm(x[0], x[1], 0x6420);
            y[1] = __byte_perm(x[2], x[3], 0x6420);
            y[2] = __byte_perm(x[0], x[1], 0x7531);
            y[3] = __byte_perm(x[2], x[3], 0x7531);
            int chunk = (mover * 4 + block * 2 + lane / 8 % 2) ^ r;
            kb_stmatrix(to + j * 2048 + chunk * 16, y);
        }
    return (found & signs<T>()) != 0;
}

template <class T> KB_DEVICE void turn_all(shared<T> &m, int mover) {
    using P = plan<T>;
    place pieces, v;
    int slot = pieces.slot();
    for (piece p = take_piece<T>(m, pieces); p.head >= 0;
         slot = pieces.slot(), p = take_piece<T>(m, pieces))
        for (int i = (p.end + P::kKeys - 1) / P::kKeys - 1; i >= 0; i--) {
            int valid = p.k_len - i * P::kKeys;
            bool hidden = is_hidden<T>(p, i), cut = valid < P::kKeys;
            const unsigned char *value = m.value[v.stage];
            unsigned char *turned = m.turned[v.stage];
            kb_barrier_wait(&m.value_full[v.stage], v.parity);
            kb_barrier_wait(&m.turned_empty[v.stage], v.parity ^ 1);
            if (!cut && !hidden)
                turn<T, false, false>(value, turned, mover, valid, hidden);
            else if (!cut)
                cut = __any_sync(0xffffffffu,
                                 turn<T, true, false>(value, turned, mover, valid, hidden));
            if (cut && turn<T, false, true>(value, turned, mover, valid, hidden))
                m.cleared[slot] = 1;
            kb_fence_async();
            __syncwarp();
            if (threadIdx.x % 32 == 0) {
                kb_barrier_arrive(&m.turned_full[v.stage]);
                kb_barrier_arrive(&m.value_empty[v.stage]);
            }
            v.next();
        }
}

} // namespace warpgroups
