/* kb_mla_wgmma_load.cuh - mla_prefill by wgmma, the warps that bring: one has the copy
 * engine load queries, keys and values; in 8 bits two more turn values. */
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

/* Rows of value that belong to the next sequence, or to nobody: 0 times what stands there
 * may be no number. */
template <class T> KB_DEVICE void clear_tail(unsigned char *value, int valid, int lane) {
    for (int box = 0; box < kV * (int)sizeof(T) / 128; box++) {
        uint4 *rows = reinterpret_cast<uint4 *>(value + box * 128 * plan<T>::kKeys);
        for (int i = valid * 8 + lane; i < plan<T>::kKeys * 8; i += 32)
            rows[i] = make_uint4(0, 0, 0, 0);
    }
    kb_fence_async();
    __syncwarp();
}

/* Where the warp that loads stands. */
struct loader {
    place piece, key, value;
    int query_parity, tail_parity;
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
        int valid = p.k_len - i * P::kKeys;
        bool tail = !P::kByte && valid < P::kKeys;
        unsigned long long *bar = tail ? &m.tail : &m.value_full[at.value.stage];
        kb_barrier_wait(&m.value_empty[at.value.stage], at.value.parity ^ 1);
        if (lane == 0) {
            kb_barrier_expect(bar, P::kValue);
            load_value<T>(m.value[at.value.stage], value, v_start, kv_head,
                          p.k_start + i * P::kKeys, bar);
        }
        if (tail) {
            kb_barrier_wait(bar, at.tail_parity);
            at.tail_parity ^= 1;
            clear_tail<T>(m.value[at.value.stage], valid, lane);
            if (lane == 0)
                kb_barrier_arrive(&m.value_full[at.value.stage]);
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

/* ---- in 8 bits, value with its keys in rows ---------------------------------------------
 * What wgmma wants. A warp takes 32 keys of 16 columns: ldmatrix turns pairs of columns,
 * the bytes of a pair are parted, and stmatrix puts them into row 16 j + c / 2 of even
 * columns c, 16 j + 8 + c / 2 of odd ones. Keys 2t, 2t + 1, 2t + 8, 2t + 9 of 16 follow
 * each other then, as a lane has them of scores. */
template <bool kTail>
KB_DEVICE void turn(const unsigned char *value, unsigned char *turned, int mover,
                    int valid) {
    int lane = threadIdx.x % 32, r = lane % 8;
    const unsigned char *from = value + mover * (2 * 32 * 128) + lane * 128;
    unsigned char *to = turned + (lane / 16 * 8 + r) * 128;
#pragma unroll
    for (int block = 0; block < 2; block++)
#pragma unroll 2
        for (int j = 0; j < 8; j++) {
            unsigned x[4], y[4];
            kb_ldmatrix<true>(from + block * (32 * 128) + (j ^ r) * 16, x);
            if (kTail) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    int first = mover * 64 + block * 32 + i * 8 + lane % 4 * 2;
                    x[i] &= (first < valid ? 0xffffu : 0u) |
                            (first + 1 < valid ? 0xffff0000u : 0u);
                }
            }
            y[0] = __byte_perm(x[0], x[1], 0x6420);
            y[1] = __byte_perm(x[2], x[3], 0x6420);
            y[2] = __byte_perm(x[0], x[1], 0x7531);
            y[3] = __byte_perm(x[2], x[3], 0x7531);
            int chunk = (mover * 4 + block * 2 + lane / 8 % 2) ^ r;
            kb_stmatrix(to + j * 2048 + chunk * 16, y);
        }
}

template <class T> KB_DEVICE void turn_all(shared<T> &m, int mover) {
    using P = plan<T>;
    place pieces, v;
    for (piece p = take_piece<T>(m, pieces); p.head >= 0; p = take_piece<T>(m, pieces))
        for (int i = (p.end + P::kKeys - 1) / P::kKeys - 1; i >= 0; i--) {
            int valid = p.k_len - i * P::kKeys;
            kb_barrier_wait(&m.value_full[v.stage], v.parity);
            kb_barrier_wait(&m.turned_empty[v.stage], v.parity ^ 1);
            if (valid < P::kKeys)
                turn<true>(m.value[v.stage], m.turned[v.stage], mover, valid);
            else
                turn<false>(m.value[v.stage], m.turned[v.stage], mover, valid);
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
