/* kb_mla_wgmma.cuh - mla_prefill in sm_90's own way: copies, products and softmax side by
 * side.
 *
 * A block takes a piece, 128 queries of a head, and when it is done with it the next one
 * that nobody has: the longest first, so that all blocks end together. Its first warp has
 * the copy engine bring queries, and keys and values 128 at a time, two tiles ahead. Two
 * warpgroups have 64 queries each. wgmma takes keys from shared memory as they lie there,
 * and values in 16 bits; in 8 bits it wants them with keys in rows, and two warps turn
 * them. Scores stay in registers, where they become shares and are the A operand of the
 * second product. Two warps see to it that what the mask hides is a number
 * (kb_mla_hidden.cuh). In 16 bits the two warpgroups take turns: the one multiplies while
 * the other has its softmax.
 */
#pragma once

#include "kb_mla_wgmma_load.cuh"
#include "kb_mla_wgmma_tile.cuh"

namespace warpgroups {

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

/* The inputs as they lie in memory; group: heads to one of key and value. */
template <class T> struct memory {
    const T *query, *key, *value;
    int group;
    long long q_pitch, k_pitch;
    int v_pitch, v_start;
};

/* Those of a piece's sequence and head. */
template <class T>
KB_DEVICE inputs_of<T> inputs_at(const memory<T> &in, const piece &at, int heads) {
    int kv_heads = heads / in.group, kv_head = at.head / in.group;
    return {in.query + at.q_start * (size_t)in.q_pitch + at.head * kQk,
            in.key + at.k_start * (size_t)in.k_pitch + kv_head * kQk,
            in.value + ((size_t)at.k_start * kv_heads + kv_head) * in.v_pitch + in.v_start,
            (size_t)in.q_pitch, (size_t)in.k_pitch, (size_t)kv_heads * in.v_pitch};
}

template <class T, class O>
KB_DEVICE void work_all(worker<T> w, const memory<T> &in, O *out, float *lse) {
    int first_row = w.half * 64 + threadIdx.x % 128 / 32 * 16 + w.lane / 4, t = w.lane % 4;
    if (plan<T>::kTurns && w.half == 1) // the other one begins
        kb_turn_give(1, 256);
    int slot = w.pieces.slot();
    for (piece at = take_piece<T>(w.m, w.pieces); at.head >= 0;
         slot = w.pieces.slot(), at = take_piece<T>(w.m, w.pieces)) {
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
        if (w.m.cleared[slot]) {
            int first = at.row + first_row - w.lane / 4;
            const inputs_of<T> inputs = inputs_at(in, at, w.heads);
            O *rows = out + ((size_t)(s.q_start + first) * w.heads + at.head) * kV;
            size_t pitch = (size_t)w.heads * kV;
            bool infinite = put_back(rows, pitch, inputs.value, inputs.v_pitch, s, first,
                                     at.from, w.mask);
            if (infinite)
                put_nothing(rows, pitch, inputs, s, first, at.from, w.mask, row.top,
                            w.scale);
        }
    }
    if (plan<T>::kTurns && w.half == 0)
        kb_turn_wait(1, 256);
}

/* A block's work. next[0] counts pieces that were taken, next[1] blocks that are done. */
template <class T, class O>
KB_DEVICE void run(unsigned char *dynamic, const kb_map *query, const kb_map *key,
                   const kb_map *value, const memory<T> &in, const batch &b, O *out,
                   float *lse, int *next, float scale, int lse_unit) {
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
            load_all<T>(m, b, in.group, query, key, value, in.v_start, next);
        else if (warp <= kMovers && plan<T>::kByte)
            turn_all<T>(m, warp - 1);
        else if (warp <= kMovers)
            clear_all<T>(m, warp - 1);
    } else {
        kb_registers_up<240>();
        kb_wait_inputs();
        int lane = threadIdx.x % 32;
        work_all<T, O>(
            worker<T>{m, warp / 4 - 1, lane, b.heads, b.mask, lse_unit, scale, 0}, in, out,
            lse);
    }
}

} // namespace warpgroups
