/* kb_mla_hidden.cuh - mla_prefill by tensor cores: values behind the mask that are no
 * numbers.
 *
 * A tile of keys is multiplied whole. A query that does not see a key has 0 for its share,
 * and 0 times NaN or infinity is NaN. So in tiles of which some queries of a block do not
 * see all, values that are no numbers become 0 in shared memory before they are multiplied.
 * Where that happened, rows that do see them get them back behind the last product: a sum
 * that NaN or infinity is part of is that, whatever else it has; an infinity whose share is
 * 0 is NaN. What lies behind the mask changes no bit of a row, and costs a look at the last
 * tile or two.
 */
#pragma once

#include "kb_mla.cuh"

/* The sign bit of each element of a word. */
template <class T> KB_DEVICE constexpr unsigned signs() {
    return sizeof(T) == 1 ? 0x80808080 : 0x80008000;
}
/* Set, among other bits, for those that are NaN or infinite: above their exponents, all
 * ones, to which one is added. */
template <class T> KB_DEVICE unsigned marks(unsigned word) {
    constexpr unsigned kUnit = sizeof(T) == 1    ? 0x01010101
                               : kb_is_half<T>() ? 0x04000400
                                                 : 0x00800080;
    return (word & (signs<T>() - kUnit)) + kUnit;
}
/* All bits of these. */
template <class T> KB_DEVICE unsigned no_numbers(unsigned word) {
    unsigned marked = marks<T>(word) & signs<T>();
    return sizeof(T) == 1 ? (marked >> 7) * 0xff : (marked >> 15) * 0xffff;
}

/* 16 bytes of values, those that are no numbers made 0. Returns whether there were some. */
template <class T> KB_DEVICE bool clear_16(void *values) {
    kb_vec<16> *at = static_cast<kb_vec<16> *>(values), v = *at;
    unsigned found = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        unsigned bits = no_numbers<T>(v.word[i]);
        v.word[i] &= ~bits;
        found |= bits;
    }
    if (found)
        *at = v;
    return found != 0;
}

KB_DEVICE bool is_no_number(float x) {
    return (__float_as_uint(x) & 0x7f800000) == 0x7f800000;
}

/* Queries, keys and values of a head, from a sequence's first on, and elements from one to
 * the next. */
template <class T> struct inputs_of {
    const T *query, *key, *value;
    size_t q_pitch, k_pitch, v_pitch;
};

/* Whether the share of key j in query i, whose maximum is `top`, is 0 as it is multiplied:
 * else what a row has would depend on whether others in its block see the key. */
template <class T>
KB_DEVICE bool weighs_nothing(const inputs_of<T> &in, int i, int j, float top,
                              float scale) {
    const T *query = in.query + i * in.q_pitch, *key = in.key + j * in.k_pitch;
    float score = 0.0f;
#pragma unroll 1
    for (int d = 0; d < kQk; d++)
        score = __fmaf_rn(to_f32(query[d]), to_f32(key[d]), score);
    return to_f32(share_as<T>(kb_ex2((score - top) * scale))) == 0.0f;
}

/* One warp, and 16 rows that it has stored, of queries from `first` on: values of keys from
 * `from` on that are no numbers and that they see. `out` is the first row, rows are `pitch`
 * apart. Returns whether some were infinite. */
template <class T, class O>
KB_DEVICE bool put_back(O *out, size_t pitch, const T *value, size_t v_pitch,
                        const sequence &s, int first, int from, int mask) {
    int lane = threadIdx.x % 32;
    float sum[kV / 32] = {};
    bool infinite = false;
    __syncwarp(); // other lanes wrote what is read here
#pragma unroll 1
    for (int i = first, j = from; i < first + 16 && i < s.q_len; i++, out += pitch) {
        int seen = seen_by(s, i, mask);
#pragma unroll 1
        for (; j < seen; j++)
            for (int c = 0; c < kV / 32; c++) {
                float x = to_f32(value[j * v_pitch + lane + 32 * c]);
                sum[c] += is_no_number(x) ? x : 0.0f;
            }
        for (int c = 0; c < kV / 32; c++)
            if (is_no_number(sum[c])) {
                O *to = out + lane + 32 * c;
                *to = from_f32<O>(to_f32(*to) + sum[c]);
                infinite |= sum[c] == sum[c];
            }
    }
    return sizeof(T) == 2 && __any_sync(0xffffffffu, infinite);
}

/* The same rows behind that: infinite values of keys whose share is 0 are NaN. A lane has a
 * quarter of rows lane / 4 and lane / 4 + 8, whose maxima are in `top`: what one knows of
 * another would cost the loops of products registers that there are not. */
template <class T, class O>
KB_DEVICE void put_nothing(O *out, size_t pitch, const inputs_of<T> &in, const sequence &s,
                           int first, int from, int mask, const float (&top)[2],
                           float scale) {
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    __syncwarp(); // other lanes wrote what is overwritten here
#pragma unroll 1
    for (int r = g; r < 16 && first + r < s.q_len; r += 8) {
        int seen = seen_by(s, first + r, mask);
        const T *value = in.value + t * 32;
#pragma unroll 1
        for (int j = from; j < seen; j++)
#pragma unroll 1
            for (int c = 0; c < 32; c++)
                if (is_no_number(to_f32(value[j * in.v_pitch + c])) &&
                    weighs_nothing(in, first + r, j, r < 8 ? top[0] : top[1], scale))
                    out[r * pitch + t * 32 + c] = from_f32<O>(__int_as_float(0x7fffffff));
    }
}
