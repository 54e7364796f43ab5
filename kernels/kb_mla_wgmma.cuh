/* kb_mla_wgmma.cuh - mla_prefill in sm_90's own way: copies, products and softmax side by
 * side.
 *
 * A block takes a piece, 128 queries of a head, and when it is done with it the next one
 * that nobody has: the longest first, so that all blocks end together. Its first warp has
 * the copy engine bring queries, and keys and values 128 at a time, two tiles ahead. Two
 * warpgroups have 64 queries each. wgmma takes keys from shared memory as they lie there,
 * and values in 16 bits; in 8 bits it wants them with keys in rows, and two warps turn
 * them. Scores stay in registers, where they become shares and are the A operand of the
 * second product. In 16 bits the two warpgroups take turns: the one multiplies while the
 * other has its softmax.
 *
 * Behind kb.cuh and what mla_prefill.cu has for all of its variants.
 */
#pragma once

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

enum { kMovers = 2, kRun = 8 }; // in 8 bits: warps that turn value, tiles in a sum

/* 128 queries of a head, and the keys that the last of them sees. Below head 0: the end. */
struct __align__(16) piece {
    int q_start, q_len, k_start, k_len;
    int row, head, end, unused;
};

template <class T> struct shared {
    unsigned char query[plan<T>::kQuery];
    unsigned char key[plan<T>::kStages][plan<T>::kKey];
    unsigned char value[plan<T>::kStages][plan<T>::kValue];
    unsigned char turned[plan<T>::kTurned][plan<T>::kByte ? plan<T>::kValue : 16];
    float4 kept[plan<T>::kKept][plan<T>::kByte ? 16 : 1][plan<T>::kByte ? 128 : 1];
    piece pieces[2];
    unsigned long long piece_full[2], piece_empty[2];
    unsigned long long query_full, query_empty, tail;
    unsigned long long key_full[plan<T>::kStages], key_empty[plan<T>::kStages];
    unsigned long long value_full[plan<T>::kStages], value_empty[plan<T>::kStages];
    unsigned long long turned_full[plan<T>::kStages], turned_empty[plan<T>::kStages];
};

/* Which of two is next, and which parity its barrier has then. */
struct place {
    int stage = 0, parity = 0;
    KB_DEVICE void next() {
        parity ^= stage;
        stage ^= 1;
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

/* ---- the loads ------------------------------------------------------------------- */

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

/* ---- the work -------------------------------------------------------------------- */

/* What a lane knows of its rows g and g + 8 so far. */
struct running {
    float top[2], sum[2], fade[2], off[2];
};

KB_DEVICE void hide(float (&p)[16][4], int first, const int (&seen)[2]) {
#pragma unroll
    for (int n = 0; n < 16; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (first + n * 8 + (int)threadIdx.x % 4 * 2 + i % 2 >= seen[i / 2])
                p[n][i] = kb_none();
}

/* The maximum of what was seen, and what puts older sums on it. One that rises by little is
 * not taken up: shares are then larger than 1, and nothing is to be faded. */
template <class T> KB_DEVICE void rise(const float (&p)[16][4], float scale, running &row) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float above[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            above[i] = kb_max_nan(p[i][r * 2], p[i][r * 2 + 1]);
#pragma unroll
        for (int n = 4; n < 16; n++)
            above[n % 4] =
                kb_max_nan(above[n % 4], kb_max_nan(p[n][r * 2], p[n][r * 2 + 1]));
        float most =
            kb_max_nan(kb_max_nan(above[0], above[1]), kb_max_nan(above[2], above[3]));
        most = kb_max_nan(most, __shfl_xor_sync(0xffffffffu, most, 1));
        most = kb_max_nan(most, __shfl_xor_sync(0xffffffffu, most, 2));
        if ((most - row.top[r]) * scale <= plan<T>::kSlack)
            most = row.top[r];
        row.fade[r] = row.top[r] == kb_none() ? 0.0f : kb_ex2((row.top[r] - most) * scale);
        row.top[r] = most;
        row.off[r] = most == kb_none() ? 0.0f : log2_unit<T>() - most * scale;
        row.sum[r] *= row.fade[r];
    }
}

/* Scores become shares, and A fragments of the second product. */
template <class T>
KB_DEVICE void weigh(float (&p)[16][4], float scale, running &row,
                     unsigned (&a)[plan<T>::kValueSteps][4]) {
    constexpr int kColumns = 16 / plan<T>::kValueSteps;
    float sum[2][2] = {{row.sum[0], 0}, {row.sum[1], 0}};
#pragma unroll
    for (int m = 0; m < plan<T>::kValueSteps; m++) {
#pragma unroll
        for (int n = m * kColumns; n < (m + 1) * kColumns; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                p[n][i] = kb_ex2(__fmaf_rn(p[n][i], scale, row.off[i / 2]));
                sum[i / 2][i % 2] += p[n][i];
            }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int r = i % 2 * 2; // of rows g and g + 8
            if constexpr (sizeof(T) == 2) {
                a[m][i] = kb_pair<T>::pack(p[2 * m + i / 2][r], p[2 * m + i / 2][r + 1]);
            } else {
                const float(&x)[4] = p[4 * m + i / 2 * 2],
                      (&y)[4] = p[4 * m + i / 2 * 2 + 1];
                a[m][i] = kb_e4m3x4(x[r], x[r + 1], y[r], y[r + 1]);
            }
        }
    }
    row.sum[0] = sum[0][0] + sum[0][1];
    row.sum[1] = sum[1][0] + sum[1][1];
}

/* Queries of a warp as A fragments. */
template <class T>
KB_DEVICE void hold_queries(unsigned (&q)[plan<T>::kSteps][4], const unsigned char *query) {
    using P = plan<T>;
    int lane = threadIdx.x % 32, row = threadIdx.x % 128 / 32 * 16 + lane % 16;
#pragma unroll
    for (int i = 0; i < P::kSteps; i++) {
        int box = i * 32 / P::kRowBytes, chunk = i * 32 % P::kRowBytes / 16 + lane / 16;
        kb_ldmatrix<false>(
            query + box * P::kBox + row * P::kRowBytes + (chunk ^ row % 8) * 16, q[i]);
    }
}

/* Where step i of a row of query or key lies, in units of 16 bytes. */
template <class T> KB_DEVICE constexpr int step_at(int i) {
    constexpr int kInBox = plan<T>::kRowBytes / 32;
    return (i / kInBox * plan<T>::kBox + i % kInBox * 32) >> 4;
}

template <class T>
KB_DEVICE void multiply(float (&p)[16][4], const unsigned (&q)[plan<T>::kSteps][4],
                        const unsigned char *key) {
    using P = plan<T>;
    unsigned long long b = kb_wgmma_matrix(key, 16, 8 * P::kRowBytes, P::kLayout);
#pragma unroll
    for (int i = 0; i < P::kSteps; i++)
        kb_wgmma<T, false>(p, q[i], b + step_at<T>(i), i > 0);
    kb_wgmma_commit();
}

/* In 8 bits, in two sums: tensor cores cut each product off 13 bits below the sum so far.
 */
template <class T>
KB_DEVICE void multiply(float (&p)[16][4], float (&more)[16][4], const unsigned char *query,
                        const unsigned char *key) {
    using P = plan<T>;
    unsigned long long a = kb_wgmma_matrix(query, 16, 8 * P::kRowBytes, P::kLayout);
    unsigned long long b = kb_wgmma_matrix(key, 16, 8 * P::kRowBytes, P::kLayout);
#pragma unroll
    for (int i = 0; i < P::kSteps / 2; i++)
        kb_wgmma<T>(p, a + step_at<T>(i), b + step_at<T>(i), i > 0);
#pragma unroll
    for (int i = P::kSteps / 2; i < P::kSteps; i++)
        kb_wgmma<T>(more, a + step_at<T>(i), b + step_at<T>(i), i > P::kSteps / 2);
    kb_wgmma_commit();
}

KB_DEVICE void scale_rows(float (&o)[16][4], const float (&by)[2]) {
    if (__any_sync(0xffffffffu, by[0] != 1.0f || by[1] != 1.0f)) {
#pragma unroll
        for (int n = 0; n < 16; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                o[n][i] *= by[i / 2];
    }
}

/* o += what is kept of it in shared memory, times by. */
KB_DEVICE void add_kept(float (&o)[16][4], const float4 (&kept)[16][128],
                        const float (&by)[2]) {
#pragma unroll
    for (int n = 0; n < 16; n++) {
        float4 k = kept[n][threadIdx.x % 128];
        o[n][0] = __fmaf_rn(k.x, by[0], o[n][0]);
        o[n][1] = __fmaf_rn(k.y, by[0], o[n][1]);
        o[n][2] = __fmaf_rn(k.z, by[1], o[n][2]);
        o[n][3] = __fmaf_rn(k.w, by[1], o[n][3]);
    }
}
KB_DEVICE void keep(float4 (&kept)[16][128], const float (&o)[16][4]) {
#pragma unroll
    for (int n = 0; n < 16; n++)
        kept[n][threadIdx.x % 128] = make_float4(o[n][0], o[n][1], o[n][2], o[n][3]);
}

/* Row r of the lane's two. Of one that sees nothing, 0 times a value that is no number may
 * be in o. */
template <class T, class O>
KB_DEVICE void store_row(O *out, const float (&o)[16][4], int r, float over, bool none,
                         int t) {
    unsigned *words = reinterpret_cast<unsigned *>(out);
#pragma unroll
    for (int j = 0; j < 8; j++) {
        const float(&x)[4] = o[2 * j], (&y)[4] = o[2 * j + 1];
        unsigned a, b;
        if constexpr (sizeof(T) == 2) {
            a = kb_pair<O>::pack(x[r] * over, x[r + 1] * over);
            b = kb_pair<O>::pack(y[r] * over, y[r + 1] * over);
            words[j * 8 + t] = none ? 0 : a;
            words[j * 8 + t + 4] = none ? 0 : b;
        } else {
            a = kb_pair<O>::pack(x[r] * over, y[r] * over);
            b = kb_pair<O>::pack(x[r + 1] * over, y[r + 1] * over);
            reinterpret_cast<uint2 *>(words)[j * 4 + t] =
                none ? make_uint2(0, 0) : make_uint2(a, b);
        }
    }
}

KB_DEVICE void give_back(unsigned long long *bar, int lane) {
    if (lane == 0)
        kb_barrier_arrive(bar);
}

/* One of the two warpgroups that work. */
template <class T> struct worker {
    shared<T> &m;
    int half, lane, heads, mask, lse_unit;
    float scale;
    int query_parity;
    place pieces, k, v;
};

/* Outputs so far. In 8 bits tensor cores cut products off 13 bits below their sum, so that
 * after kRun tiles it moves to shared memory and a new one begins: 1024 keys of one weight,
 * whose products have 4 bits, are still exact. late is what fades what is there. */
struct outputs {
    float o[16][4], late[2];
    int run;
    bool any, kept;
};

template <class T> KB_DEVICE unsigned long long *full_values(worker<T> &w) {
    return plan<T>::kByte ? &w.m.turned_full[w.v.stage] : &w.m.value_full[w.v.stage];
}

/* The product of shares and values begins. */
template <class T>
KB_DEVICE void begin_values(worker<T> &w, outputs &out,
                            const unsigned (&a)[plan<T>::kValueSteps][4]) {
    using P = plan<T>;
    const unsigned char *value = P::kByte ? w.m.turned[w.v.stage] : w.m.value[w.v.stage];
    unsigned long long b = kb_wgmma_matrix(value, P::kByte ? 16 : 128 * P::kKeys, 1024, 1);
    kb_barrier_wait(full_values(w), w.v.parity);
#pragma unroll
    for (int i = 0; i < P::kValueSteps; i++)
        kb_wgmma<T, true>(out.o, a[i], b + (i * (P::kByte ? 32 : 2048) >> 4),
                          out.any || i > 0);
    kb_wgmma_commit();
}

/* And is done. */
template <class T> KB_DEVICE void end_values(worker<T> &w, outputs &out) {
    kb_wgmma_wait<0>();
    kb_hold(out.o);
    give_back(plan<T>::kByte ? &w.m.turned_empty[w.v.stage] : &w.m.value_empty[w.v.stage],
              w.lane);
    w.v.next();
    out.any = true;
}

/* Outputs on the new maximum. */
template <class T> KB_DEVICE void fade(worker<T> &w, outputs &out, const float (&by)[2]) {
    if constexpr (plan<T>::kByte) {
        if (++out.run == kRun) {
            if (out.kept)
                add_kept(out.o, w.m.kept[w.half], out.late);
            keep(w.m.kept[w.half], out.o);
            out.late[0] = by[0];
            out.late[1] = by[1];
            out.run = 0;
            out.any = false;
            out.kept = true;
            return;
        }
        out.late[0] *= by[0];
        out.late[1] *= by[1];
    }
    scale_rows(out.o, by);
}

KB_DEVICE void add_all(float (&p)[16][4], const float (&more)[16][4]) {
#pragma unroll
    for (int n = 0; n < 16; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            p[n][i] += more[n][i];
}

/* Scores of a tile are there; from key `open` on some queries of the warp do not see them.
 */
template <class T>
KB_DEVICE void end_scores(worker<T> &w, float (&p)[16][4], float (&more)[plan<T>::kMore][4],
                          int tile, int open, const int (&seen)[2]) {
    kb_hold(p);
    kb_hold(more);
    give_back(&w.m.key_empty[w.k.stage], w.lane);
    w.k.next();
    if constexpr (plan<T>::kByte) {
        if (tile == 0)
            give_back(&w.m.query_empty, w.lane);
        add_all(p, more);
    }
    if ((tile + 1) * plan<T>::kKeys > open)
        hide(p, tile * plan<T>::kKeys, seen);
}

/* A piece, with n tiles of keys, from the last to the first: while the product with a
 * tile's values goes on, so do scores of the next one. */
template <class T>
KB_DEVICE void attend(worker<T> &w, int n, const int (&seen)[2], running &row,
                      outputs &out) {
    using P = plan<T>;
    const unsigned char *query = w.m.query + w.half * 64 * P::kRowBytes;
    int open = __shfl_sync(0xffffffffu, seen[0], 0); // keys that all rows of the warp see
    float p[16][4], more[P::kMore][4];
    unsigned a[P::kValueSteps][4], q[P::kHeld][4];

    kb_barrier_wait(&w.m.query_full, w.query_parity);
    w.query_parity ^= 1;
    if constexpr (!P::kByte) {
        hold_queries<T>(q, query);
        __syncwarp();
        give_back(&w.m.query_empty, w.lane);
    }
#pragma unroll 1
    for (int tile = n - 1; tile >= 0; tile--) {
        bool first = tile == n - 1;
        kb_barrier_wait(&w.m.key_full[w.k.stage], w.k.parity);
        if (P::kTurns && !first)
            kb_turn_wait(1 + w.half, 256);
        kb_wgmma_fence();
        if constexpr (P::kByte)
            multiply<T>(p, more, query, w.m.key[w.k.stage]);
        else
            multiply<T>(p, q, w.m.key[w.k.stage]);
        if (first) {
            kb_wgmma_wait<0>();
        } else {
            begin_values(w, out, a);
            if (P::kTurns)
                kb_turn_give(2 - w.half, 256);
            kb_wgmma_wait<1>();
        }
        end_scores(w, p, more, tile, open, seen);
        rise<T>(p, w.scale, row);
        if (!first) {
            end_values(w, out);
            fade(w, out, row.fade);
        }
        weigh<T>(p, w.scale, row, a);
    }
    kb_wgmma_fence();
    begin_values(w, out, a);
    end_values(w, out);
    if constexpr (P::kByte)
        if (out.kept)
            add_kept(out.o, w.m.kept[w.half], out.late);
}

template <class T, class O> KB_DEVICE void work_all(worker<T> w, O *out, float *lse) {
    int first_row = w.half * 64 + threadIdx.x % 128 / 32 * 16 + w.lane / 4, t = w.lane % 4;
    if (plan<T>::kTurns && w.half == 1) // the other one begins
        kb_turn_give(1, 256);
    for (piece at = take_piece<T>(w.m, w.pieces); at.head >= 0;
         at = take_piece<T>(w.m, w.pieces)) {
        const sequence s = {at.q_start, at.q_len, at.k_start, at.k_len};
        outputs o;
        o.late[0] = o.late[1] = 1.0f;
        o.run = 0;
        o.any = o.kept = false;
        running row = {{kb_none(), kb_none()}, {0, 0}, {0, 0}, {0, 0}};
        int seen[2], n = (at.end + plan<T>::kKeys - 1) / plan<T>::kKeys;
        for (int r = 0; r < 2; r++) {
            int i = at.row + first_row + 8 * r;
            seen[r] = seen_by(s, i < s.q_len ? i : s.q_len - 1, w.mask);
        }
        if (n > 0)
            attend<T>(w, n, seen, row, o);
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float sum = row.sum[r] + __shfl_xor_sync(0xffffffffu, row.sum[r], 1);
            sum += __shfl_xor_sync(0xffffffffu, sum, 2);
            int i = at.row + first_row + 8 * r;
            if (i >= s.q_len)
                continue;
            size_t to = (size_t)(s.q_start + i) * w.heads + at.head;
            store_row<T>(out + to * kV, o.o, r * 2, 1.0f / sum, seen[r] == 0, t);
            if (w.lse_unit && t == 0)
                lse[to] = seen[r]
                              ? lse_of(row.top[r] * w.scale, sum / unit<T>(), w.lse_unit)
                              : kb_none();
        }
    }
    if (plan<T>::kTurns && w.half == 0)
        kb_turn_wait(1, 256);
}

template <class T> KB_DEVICE void make_barriers(shared<T> &m) {
    constexpr bool kByte = plan<T>::kByte;
    if (threadIdx.x == 0) {
        kb_barrier_init(&m.query_full, 1);
        kb_barrier_init(&m.query_empty, 8);
        kb_barrier_init(&m.tail, 1);
        for (int i = 0; i < 2; i++) {
            kb_barrier_init(&m.piece_full[i], 1);
            kb_barrier_init(&m.piece_empty[i], kByte ? 8 + kMovers : 8);
            kb_barrier_init(&m.key_full[i], 1);
            kb_barrier_init(&m.key_empty[i], 8);
            kb_barrier_init(&m.value_full[i], 1);
            kb_barrier_init(&m.value_empty[i], kByte ? kMovers : 8);
            kb_barrier_init(&m.turned_full[i], kMovers);
            kb_barrier_init(&m.turned_empty[i], 8);
        }
        kb_barrier_fence();
    }
    __syncthreads();
}

/* A block's work. next[0] counts pieces that were taken, next[1] blocks that are done. */
template <class T, class O>
KB_DEVICE void run(unsigned char *dynamic, const kb_map *query, const kb_map *key,
                   const kb_map *value, const batch &b, O *out, float *lse, int *next,
                   int group, float scale, int v_start, int lse_unit) {
    unsigned char *aligned = dynamic + (-kb_shared(dynamic) & 1023);
    shared<T> &m = *reinterpret_cast<shared<T> *>(aligned);
    static_assert(sizeof m + 1023 <= kSharedBytes, "the contract's smem");

    kb_let_next_start();
    make_barriers<T>(m);
    int warp = __shfl_sync(0xffffffffu, (int)threadIdx.x / 32, 0);
    if (warp < 4) {
        kb_registers_down<24>();
        kb_wait_inputs();
        if (warp == 0)
            load_all<T>(m, b, group, query, key, value, v_start, next);
        else if (plan<T>::kByte && warp <= kMovers)
            turn_all<T>(m, warp - 1);
    } else {
        kb_registers_up<240>();
        kb_wait_inputs();
        int lane = threadIdx.x % 32;
        work_all<T, O>(
            worker<T>{m, warp / 4 - 1, lane, b.heads, b.mask, lse_unit, scale, 0}, out,
            lse);
    }
}

} // namespace warpgroups
