/* kb_mla_wgmma_tile.cuh - mla_prefill by wgmma, what a warpgroup does to a tile in its
 * registers: scores by products, shares by softmax, outputs to memory. kb_mla_wgmma.cuh
 * has who waits for whom. */
#pragma once

#include "kb_mla_wgmma_plan.cuh"

namespace warpgroups {

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

KB_DEVICE void add_all(float (&p)[16][4], const float (&more)[16][4]) {
#pragma unroll
    for (int n = 0; n < 16; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            p[n][i] += more[n][i];
}

} // namespace warpgroups
