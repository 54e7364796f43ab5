/* kb_mla_mma.cuh - mla_prefill by mma.sync: a block has 64 queries of a head, a warp 16 of
 * them; keys and values arrive by asynchronous copies, a stage ahead.
 *
 * Everything counts in words of four bytes, kPerWord elements each: a step of a product
 * takes 8 words of depth whatever the dtype. A lane is g = lane / 4 and t = lane % 4, as
 * kb_mma has them. A stage of shared memory holds kKeys keys and their values, row by row;
 * rows are 16 bytes longer than they need to be, so that ldmatrix meets no bank twice. */
#pragma once

#include "kb_mla_hidden.cuh"

template <class T> struct tile {
    static constexpr int kPerWord = 4 / sizeof(T);
    static constexpr int kKeys = 64, kTiles = kKeys / 8; // columns of scores, by 8
    static constexpr int kSteps = kQk / kPerWord / 8;
    static constexpr int kKeyPitch = kQk * sizeof(T) + 16,
                         kValuePitch = kV * sizeof(T) + 16;
    static constexpr int kStage = kKeys * (kKeyPitch + kValuePitch);
};

/* Rows of kBytes from global memory, `pitch` bytes apart, zero from row `n` on. */
template <int kBytes>
KB_DEVICE void load_rows(unsigned char *to, int to_pitch, const unsigned char *from,
                         size_t pitch, int rows, int n) {
    constexpr int kVecs = kBytes / 16;
#pragma unroll 1 // unrolled, its addresses take the registers of the products
    for (int i = threadIdx.x; i < rows * kVecs; i += 128) {
        int row = i / kVecs, at = i % kVecs * 16;
        bool there = row < n;
        kb_copy_16(to + row * to_pitch + at, there ? from + row * pitch + at : from, there);
    }
}

/* Where a sequence's keys and values of one head are. */
struct source {
    const unsigned char *keys, *values;
    size_t key_pitch, value_pitch; // bytes from key to key
};

template <class T>
KB_DEVICE void load_stage(unsigned char *stage, const source &in, int first, int end) {
    using G = tile<T>;
    if (first < end) {
        load_rows<kQk * sizeof(T)>(stage, G::kKeyPitch, in.keys + first * in.key_pitch,
                                   in.key_pitch, G::kKeys, end - first);
        load_rows<kV * sizeof(T)>(stage + G::kKeys * G::kKeyPitch, G::kValuePitch,
                                  in.values + first * in.value_pitch, in.value_pitch,
                                  G::kKeys, end - first);
    }
    kb_copy_commit();
}

/* Of a stage's values, those that this thread copied, without what is no number. Returns
 * whether there was some. */
template <class T> KB_DEVICE bool clear_own(unsigned char *values) {
    constexpr int kVecs = kV * sizeof(T) / 16;
    bool found = false;
#pragma unroll(sizeof(T) == 2 ? 4 : 1) // in 8 bits there are no registers to spare
    for (int i = threadIdx.x; i < tile<T>::kKeys * kVecs; i += 128)
        found |= clear_16<T>(values + i / kVecs * tile<T>::kValuePitch + i % kVecs * 16);
    return found;
}

/* B fragments of two steps of one column of scores: keys lie with their depth in a row. */
template <class T>
KB_DEVICE void key_fragments(const unsigned char *keys, int column, int step, int lane,
                             unsigned (&out)[4]) {
    const unsigned char *row = keys + (column * 8 + lane % 8) * tile<T>::kKeyPitch;
    kb_ldmatrix<false>(row + step * 32 + lane / 8 * 16, out);
}

/* B fragments of step m of the second product for two columns of 8 outputs: out[0..1] and
 * out[2..3]. In 16 bits columns are 16 j + n and 16 j + 8 + n; in 8 bits, where two outputs
 * share a unit of ldmatrix, 16 j + 2n and 16 j + 2n + 1, and keys 2t, 2t + 1, 2t + 8, 2t +
 * 9 of 16 follow each other, as a lane has them of two columns of scores. */
template <class T>
KB_DEVICE void value_fragments(const unsigned char *values, int m, int j, int lane,
                               unsigned (&out)[4]) {
    constexpr int kPitch = tile<T>::kValuePitch;
    unsigned x[4];
    if constexpr (sizeof(T) == 2) {
        const unsigned char *row = values + (m * 16 + lane % 16) * kPitch;
        kb_ldmatrix<true>(row + j * 32 + lane / 16 * 16, out);
    } else {
        kb_ldmatrix<true>(values + (m * 32 + lane) * kPitch + j * 16, x);
        out[0] = __byte_perm(x[0], x[1], 0x6420);
        out[1] = __byte_perm(x[2], x[3], 0x6420);
        out[2] = __byte_perm(x[0], x[1], 0x7531);
        out[3] = __byte_perm(x[2], x[3], 0x7531);
    }
}

/* A fragment of step m of the second product, of the columns of scores that it covers. */
template <class T>
KB_DEVICE void share_fragment(const float (&p)[8][4], int m, unsigned (&a)[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int r = i % 2 * 2; // of rows g and g + 8
        if constexpr (sizeof(T) == 2) {
            a[i] = kb_pair<T>::pack(p[2 * m + i / 2][r], p[2 * m + i / 2][r + 1]);
        } else {
            const float(&x)[4] = p[4 * m + i / 2 * 2], (&y)[4] = p[4 * m + i / 2 * 2 + 1];
            a[i] = kb_e4m3x4(x[r], x[r + 1], y[r], y[r + 1]);
        }
    }
}

/* A lane's outputs of 16 columns: o[0] and o[1] as value_fragments has the columns. */
template <class T, class O>
KB_DEVICE void store_16(O *out, const float (&o)[2][4], int r, float over, int t) {
    unsigned *words = reinterpret_cast<unsigned *>(out);
    if constexpr (sizeof(T) == 2) {
        words[t] = kb_pair<O>::pack(o[0][r] * over, o[0][r + 1] * over);
        words[t + 4] = kb_pair<O>::pack(o[1][r] * over, o[1][r + 1] * over);
    } else {
        words[2 * t] = kb_pair<O>::pack(o[0][r] * over, o[1][r] * over);
        words[2 * t + 1] = kb_pair<O>::pack(o[0][r + 1] * over, o[1][r + 1] * over);
    }
}

/* What a lane knows of its rows g and g + 8 so far. */
struct running {
    int seen[2], seen_by_all; // keys of these, and of each row of the warp
    float top[2], sum[2]; // maximum of scores; sum of shares relative to it, own columns
    float o[kV / 16][2][4];
};

/* Scores of a stage, of 16 rows and all of its keys. */
template <class T>
KB_DEVICE void multiply(const unsigned char *keys, const unsigned (&q)[tile<T>::kSteps][4],
                        int lane, float (&p)[8][4]) {
#pragma unroll
    for (int n = 0; n < tile<T>::kTiles; n++)
#pragma unroll
        for (int step = 0; step < tile<T>::kSteps; step += 2) {
            unsigned k[4];
            key_fragments<T>(keys, n, step, lane, k);
            kb_mma<T>(p[n], q[step], {k[0], k[1]});
            kb_mma<T>(p[n], q[step + 1], {k[2], k[3]});
        }
}

KB_DEVICE void hide(float (&p)[8][4], int first, const int (&seen)[2]) {
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (first + n * 8 + (int)threadIdx.x % 4 * 2 + i % 2 >= seen[i / 2])
                p[n][i] = kb_none();
}

/* Scores become shares of the new maximum, and what was summed before is put on it. */
template <class T> KB_DEVICE void weigh(float (&p)[8][4], float scale, running &row) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float above = row.top[r];
#pragma unroll
        for (int n = 0; n < 8; n++)
            above = fmaxf(above, fmaxf(p[n][r * 2], p[n][r * 2 + 1]));
        above = fmaxf(above, __shfl_xor_sync(0xffffffffu, above, 1));
        above = fmaxf(above, __shfl_xor_sync(0xffffffffu, above, 2));
        float fade = row.top[r] == kb_none() ? 0.0f : kb_ex2((row.top[r] - above) * scale);
        row.top[r] = above;
        float off = above == kb_none() ? 0.0f : log2_unit<T>() - above * scale;
        row.sum[r] *= fade;
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int c = r * 2; c < r * 2 + 2; c++) {
                p[n][c] = kb_ex2(__fmaf_rn(p[n][c], scale, off));
                row.sum[r] += p[n][c];
            }
#pragma unroll
        for (int j = 0; j < kV / 16; j++)
#pragma unroll
            for (int c = r * 2; c < r * 2 + 2; c++) {
                row.o[j][0][c] *= fade;
                row.o[j][1][c] *= fade;
            }
    }
}

template <class T>
KB_DEVICE void add_values(const unsigned char *values, const float (&p)[8][4], int lane,
                          running &row) {
#pragma unroll
    for (int m = 0; m < tile<T>::kKeys / 8 / tile<T>::kPerWord; m++) {
        unsigned a[4];
        share_fragment<T>(p, m, a);
#pragma unroll
        for (int j = 0; j < kV / 16; j++) {
            unsigned v[4];
            value_fragments<T>(values, m, j, lane, v);
            kb_mma<T>(row.o[j][0], a, {v[0], v[1]});
            kb_mma<T>(row.o[j][1], a, {v[2], v[3]});
        }
    }
}

/* Keys [first, last) of those up to `end`, a tile at a time; the first tile is on its way
 * to `stage`. Where kPart, rows may not see all of them, since the sequence ends or for the
 * mask: for that from tile `from` on. Returns whether values there were no numbers and have
 * been made 0. */
template <class T, bool kPart>
KB_DEVICE bool attend(unsigned char *stages, const source &in,
                      const unsigned (&q)[tile<T>::kSteps][4], float scale, int first,
                      int last, int end, int from, int &stage, running &row) {
    using G = tile<T>;
    int lane = threadIdx.x % 32;
    bool cleared = false;
#pragma unroll 1
    for (; first < last; first += G::kKeys, stage ^= 1) {
        load_stage<T>(stages + (stage ^ 1) * G::kStage, in, first + G::kKeys, end);
        kb_copy_wait<1>();
        unsigned char *keys = stages + stage * G::kStage;
        if (kPart && first >= from)
            cleared |= clear_own<T>(keys + G::kKeys * G::kKeyPitch);
        __syncthreads(); // this stage has arrived, of all threads
        float p[G::kTiles][4] = {};
        multiply<T>(keys, q, lane, p);
        if (kPart && first + G::kKeys > row.seen_by_all)
            hide(p, first, row.seen);
        weigh<T>(p, scale, row);
        add_values<T>(keys + G::kKeys * G::kKeyPitch, p, lane, row);
        __syncthreads(); // this stage has been read, by all threads
    }
    return cleared;
}

/* Row r of the lane's two to its place. Of one that sees nothing, 0 times a value that is
 * no number may be in o. */
template <class T, class O>
KB_DEVICE void store_row(O *out, const running &row, int r, float sum, int t) {
    float over = 1.0f / sum;
    if (row.seen[r] == 0)
        for (int j = 0; j < kV / 8; j++)
            reinterpret_cast<unsigned *>(out)[j * 4 + t] = 0;
    else
#pragma unroll
        for (int j = 0; j < kV / 16; j++)
            store_16<T>(out + j * 16, row.o[j], r * 2, over, t);
}

/* The tile of 64 queries that a block works on: the last ones first, since under the mask
 * they have the most keys. False for a block that is left over. */
KB_DEVICE bool find_tile(const int *cum_q, const int *cum_kv, int sequences, sequence &s,
                         int &at) {
    at = gridDim.x - 1 - blockIdx.x;
    for (int b = 0; b < sequences; b++) {
        int tiles = (cum_q[b + 1] - cum_q[b] + 63) / 64;
        if (at < tiles) {
            s = sequence_at(cum_q, cum_kv, b);
            return true;
        }
        at -= tiles;
    }
    return false;
}

/* A fragments of a row of queries, row g + 8 r of the warp's; zeros where it is not there.
 */
template <class T>
KB_DEVICE void load_queries(unsigned (&q)[tile<T>::kSteps][4], const T *query, bool there,
                            int r, int t) {
    const unsigned *words = reinterpret_cast<const unsigned *>(query);
#pragma unroll
    for (int step = 0; step < tile<T>::kSteps; step++) {
        q[step][r] = there ? words[step * 8 + t] : 0;
        q[step][r + 2] = there ? words[step * 8 + t + 4] : 0;
    }
}
