/* kb_mla.cuh - what variants of mla_prefill share: sizes, shares and their unit, where a
 * sequence lies in the ragged batch, which keys a query sees, lse. */
#pragma once

#include <cuda_fp8.h>

#include "kb.cuh"

/* -inf: the logarithm of nothing. */
KB_DEVICE float kb_none() {
    return __int_as_float((int)0xff800000);
}

enum { kQk = 192, kV = 128 };

/* A share of 1 in the product with value, and its logarithm. */
template <class T> KB_DEVICE float log2_unit() {
    return sizeof(T) == 1 ? 8.0f : 0.0f;
}
template <class T> KB_DEVICE float unit() {
    return exp2f(log2_unit<T>());
}

template <class T> KB_DEVICE T share_as(float x);
template <> KB_DEVICE __nv_fp8_e4m3 share_as<__nv_fp8_e4m3>(float x) {
    __nv_fp8_e4m3 out;
    out.__x = (unsigned char)kb_e4m3_code(x * unit<__nv_fp8_e4m3>());
    return out;
}
template <class T> KB_DEVICE T share_as(float x) {
    return from_f32<T>(x);
}

/* ---- the batch ------------------------------------------------------------------------- */

struct sequence {
    int q_start, q_len, k_start, k_len;
};

KB_DEVICE sequence sequence_at(const int *cum_q, const int *cum_kv, int b) {
    return {cum_q[b], cum_q[b + 1] - cum_q[b], cum_kv[b], cum_kv[b + 1] - cum_kv[b]};
}
/* That of a query token. */
KB_DEVICE sequence sequence_of(const int *cum_q, const int *cum_kv, int sequences,
                               int token) {
    int b = 0;
    while (b < sequences - 1 && token >= cum_q[b + 1])
        b++;
    return sequence_at(cum_q, cum_kv, b);
}
/* Keys [0, that) are seen by query i of the sequence. */
KB_DEVICE int seen_by(const sequence &s, int i, int mask) {
    int n = mask ? i + s.k_len - s.q_len + 1 : s.k_len;
    return n < 0 ? 0 : n < s.k_len ? n : s.k_len;
}

KB_DEVICE float max_over_warp(float x) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2)
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
    return x;
}
KB_DEVICE float sum_over_warp(float x) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}

/* exp2(x - top), 0 where nothing is seen; NaN stays NaN. */
KB_DEVICE float share_of(float x, float top) {
    return x == kb_none() ? 0.0f : exp2f(x - top);
}
/* By the base that is wanted: 1 natural, 2 two. */
KB_DEVICE float lse_of(float top, float sum, int unit) {
    if (sum == 0.0f)
        return kb_none();
    return (top + log2f(sum)) * (unit == 1 ? 0.693147182f : 1.0f);
}
