/* kb_mla_hidden.cuh - mla_prefill by tensor cores: values behind the mask that are no
 * numbers.
 *
 * A tile of keys is multiplied whole. A query that does not see a key has 0 for its share,
 * and 0 times NaN or infinity is NaN. So in tiles of which some queries of a block do not
 * see all, values that are no numbers become 0 in shared memory before they are multiplied.
 * Where that happened, rows that do see them get them back behind the last product: a sum
 * that NaN or infinity is part of is that, whatever else it has. What lies behind the mask
 * changes no bit of a row, and costs a look at the last tile or two.
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

/* One warp, and 16 rows that it has stored, of queries from `first` on: values of keys from
 * `from` on that are no numbers and that they see. `out` is the first row, rows are `pitch`
 * apart; `value` is that of the sequence's key 0, keys are `v_pitch` apart. */
template <class T, class O>
KB_DEVICE void put_back(O *out, size_t pitch, const T *value, size_t v_pitch,
                        const sequence &s, int first, int from, int mask) {
    int lane = threadIdx.x % 32;
    float sum[kV / 32] = {};
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
            }
    }
}
