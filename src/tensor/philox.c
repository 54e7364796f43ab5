/* philox.c - random words: Philox4x32-10 of Random123, and sixteen blocks of it at once by
 * vector instructions where the CPU has them. The words are the same. */
#include "philox.h"

#include "tensor.h"

#include <Random123/philox.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static inline void philox(uint64_t key, uint64_t counter_hi, uint64_t counter_lo,
                          uint32_t out[4]) {
    philox4x32_ctr_t counter = {{(uint32_t)counter_lo, (uint32_t)(counter_lo >> 32),
                                 (uint32_t)counter_hi, (uint32_t)(counter_hi >> 32)}};
    philox4x32_key_t words = {{(uint32_t)key, (uint32_t)(key >> 32)}};
    counter = philox4x32(counter, words);
    memcpy(out, counter.v, sizeof counter.v);
}

void kb_philox(uint64_t key, uint64_t counter_hi, uint64_t counter_lo, uint32_t out[4]) {
    philox(key, counter_hi, counter_lo, out);
}

#if defined(__x86_64__)
enum { ROUNDS = 10, LANES = 4, VECTORS = KB_PHILOX_BLOCKS / LANES };

/* A word of four blocks in each vector, in the lower halves of its lanes; what the upper
 * halves hold is not looked at. So a product is one instruction, and its upper half, which
 * becomes another word, a shift. */
struct four {
    __m256i a, b, c, d;
};

__attribute__((target("avx2"))) static inline void round_of(struct four *x, __m256i key_a,
                                                            __m256i key_b) {
    const __m256i by_a = _mm256_set1_epi64x(PHILOX_M4x32_0);
    const __m256i by_c = _mm256_set1_epi64x(PHILOX_M4x32_1);
    __m256i p = _mm256_mul_epu32(by_a, x->a), q = _mm256_mul_epu32(by_c, x->c);
    x->a = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(q, 32), x->b), key_a);
    x->b = q;
    x->c = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p, 32), x->d), key_b);
    x->d = p;
}

/* Blocks 0 to 3 of `x`, whole. */
__attribute__((target("avx2"))) static inline void store(const struct four *x,
                                                         uint32_t *out) {
    __m256i ab = _mm256_blend_epi32(x->a, _mm256_slli_epi64(x->b, 32), 0xaa);
    __m256i cd = _mm256_blend_epi32(x->c, _mm256_slli_epi64(x->d, 32), 0xaa);
    __m256i even = _mm256_unpacklo_epi64(ab, cd), odd = _mm256_unpackhi_epi64(ab, cd);
    _mm256_storeu_si256((__m256i *)(void *)out, _mm256_permute2x128_si256(even, odd, 0x20));
    _mm256_storeu_si256((__m256i *)(void *)(out + 8),
                        _mm256_permute2x128_si256(even, odd, 0x31));
}

__attribute__((target("avx2"))) static void blocks_avx2(uint64_t key, uint64_t counter_hi,
                                                        uint64_t first, uint32_t *out) {
    struct four x[VECTORS];
    __m256i key_a = _mm256_set1_epi64x((int64_t)(key & 0xffffffff));
    __m256i key_b = _mm256_set1_epi64x((int64_t)(key >> 32));
    for (int v = 0; v < VECTORS; v++) {
        x[v].a = _mm256_add_epi64(_mm256_set1_epi64x((int64_t)first + LANES * v),
                                  _mm256_set_epi64x(3, 2, 1, 0));
        x[v].b = _mm256_srli_epi64(x[v].a, 32);
        x[v].c = _mm256_set1_epi64x((int64_t)counter_hi);
        x[v].d = _mm256_set1_epi64x((int64_t)(counter_hi >> 32));
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int v = 0; v < VECTORS; v++)
            round_of(&x[v], key_a, key_b);
        key_a = _mm256_add_epi32(key_a, _mm256_set1_epi64x(PHILOX_W32_0));
        key_b = _mm256_add_epi32(key_b, _mm256_set1_epi64x(PHILOX_W32_1));
    }
    for (int v = 0; v < VECTORS; v++)
        store(&x[v], out + 4 * LANES * v);
}
#endif

void kb_philox_blocks(uint64_t key, uint64_t counter_hi, uint64_t first,
                      uint32_t out[4 * KB_PHILOX_BLOCKS]) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        blocks_avx2(key, counter_hi, first, out);
        return;
    }
#endif
    for (uint64_t i = 0; i < KB_PHILOX_BLOCKS; i++)
        philox(key, counter_hi, first + i, out + 4 * i);
}
