/* pass.c - the errors of a block, without branches, so that loops vectorise.
 *
 * A kernel's output is read once by the comparison, and so is the reference, which for a
 * large case costs more than the launch: loops are compiled for wider vectors as well, and
 * the CPU's are taken. No fused products among them, so all give the same bits. */
#include "pass.h"

#include <math.h>
#include <string.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

#ifdef __clang__ /* a sanitizer may keep a loop from vectorising: slower, not wrong */
#pragma clang diagnostic ignored "-Wpass-failed"
#endif

double kb_lanes_sum(const double lanes[KB_LANES]) {
    double sum = 0;

    for (int i = 0; i < KB_LANES; i++)
        sum += lanes[i];
    return sum;
}

ALWAYS_INLINE double double_of(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

ALWAYS_INLINE uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* All ones or none: what a branch would choose, without one. */
ALWAYS_INLINE uint64_t mask_of(bool condition) {
    return 0 - (uint64_t)condition;
}

ALWAYS_INLINE double masked(double value, uint64_t mask) {
    return double_of(bits_of(value) & mask);
}

/* ---- numbers ----------------------------------------------------------------------- */

/* All that an element is held against. */
struct rule {
    struct kb_grid grid;
    struct kb_records limits;
    double factor, atol, rtol;
};

struct lanes {
    struct kb_sums sums;
    double ulp_max[KB_LANES], abs_max[KB_LANES];
    uint64_t any[KB_LANES], differing[KB_LANES];
};

static const uint64_t exponent_bits = (uint64_t)0x7ff << 52;

/* Element `i` of the block, in lane `k`. The definition is kb_judge_bits's; the reciprocal
 * of a power of two is exact, and so are its products. */
ALWAYS_INLINE void measure(const struct rule *r, double want, double bound,
                           struct kb_block *b, int64_t i, struct lanes *s, int k) {
    double got = b->got[i], size = fabs(want);
    double binade = double_of(bits_of(want) & exponent_bits);
    binade = binade > r->grid.lowest ? binade : r->grid.lowest;
    binade = binade < r->grid.highest ? binade : r->grid.highest;
    double spacing = binade * r->grid.unit, half = spacing / 2;
    double per_spacing = double_of(((uint64_t)2046 << 52) - bits_of(spacing));
    double off = got - want, far = fabs(off);
    uint64_t plain = mask_of(bound >= 0) & mask_of(bound < INFINITY) &
                     mask_of(size < r->grid.overflow) & mask_of(fabs(got) < INFINITY);
    uint64_t fits = mask_of(far - half <= r->limits.share * (bound * r->factor)) &
                    mask_of(far <= r->limits.tol * (r->atol + r->rtol * size)) &
                    mask_of(far <= r->limits.rel * size);
    uint64_t other_sign = 0 - ((bits_of(want) ^ bits_of(got)) >> 63);
    uint64_t differs = plain & (mask_of(far > half) | other_sign);
    uint64_t marks = (~(plain & fits) & KB_LOOK) | (differs & KB_DIFFERS) |
                     (mask_of(far == half) & KB_TIE);
    double ulp = masked(off * per_spacing, plain);
    off = masked(off, plain);
    want = masked(want, plain);
    s->sums.ulp[k] += ulp;
    s->sums.err2[k] += off * off;
    s->sums.want2[k] += want * want;
    ulp = fabs(ulp);
    off = fabs(off);
    s->ulp_max[k] = ulp > s->ulp_max[k] ? ulp : s->ulp_max[k];
    s->abs_max[k] = off > s->abs_max[k] ? off : s->abs_max[k];
    s->any[k] |= marks;
    s->differing[k] -= differs;
    b->ulp[i] = ulp;
    b->bin[i] = kb_bin_of(ulp) | (~plain & KB_BIN_NONE);
    b->marks[i] = marks;
}

/* Elements past `count`, up to the last lane, are none. */
ALWAYS_INLINE void numbers(const struct rule *rule, struct kb_block *b,
                           struct lanes *lanes) {
    const struct rule r = *rule;
    struct lanes s = *lanes;
    const double *want = b->want, *bound = b->bound;
    int64_t count = b->count;

    for (int64_t i = 0; i < count; i += KB_LANES) {
#pragma omp simd
        for (int k = 0; k < KB_LANES; k++)
            measure(&r, want[i + k], bound[i + k], b, i + k, &s, k);
    }
    *lanes = s;
}

static void numbers_any(const struct rule *rule, struct kb_block *b, struct lanes *lanes) {
    numbers(rule, b, lanes);
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static void
numbers_avx2(const struct rule *rule, struct kb_block *b, struct lanes *lanes) {
    numbers(rule, b, lanes);
}

__attribute__((target("avx512f,avx512dq"))) static void
numbers_avx512(const struct rule *rule, struct kb_block *b, struct lanes *lanes) {
    numbers(rule, b, lanes);
}
#endif

static void numbers_here(const struct rule *rule, struct kb_block *b, struct lanes *lanes) {
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))
        numbers_avx512(rule, b, lanes);
    else if (__builtin_cpu_supports("avx2"))
        numbers_avx2(rule, b, lanes);
    else
#endif
        numbers_any(rule, b, lanes);
}

void kb_pass_numbers(const struct kb_judge *judge, const struct kb_records *limits,
                     struct kb_block *b, struct kb_sums *sums) {
    struct lanes lanes = {.sums = *sums};
    const struct rule rule = {
        .grid = judge->grid,
        .limits = *limits,
        .factor = judge->args->bound_factor,
        .atol = judge->tolerance.atol,
        .rtol = judge->tolerance.rtol,
    };

    numbers_here(&rule, b, &lanes);
    *sums = lanes.sums;
    b->any = 0;
    b->differing = 0;
    b->ulp_max = b->abs_max = 0;
    for (int k = 0; k < KB_LANES; k++) {
        b->any |= lanes.any[k];
        b->differing += (int64_t)lanes.differing[k];
        b->ulp_max = fmax(b->ulp_max, lanes.ulp_max[k]);
        b->abs_max = fmax(b->abs_max, lanes.abs_max[k]);
    }
}

/* ---- codes ------------------------------------------------------------------------- */

/* A whole number below 2^32 is in the low bits of its sum with 2^52. */
ALWAYS_INLINE uint64_t miss(uint64_t got, double want, double bound) {
    return ((bits_of(want + 0x1p52) & UINT32_MAX) ^ got) | mask_of(bound != 0);
}

#define MISSES(type)                                                                       \
    static uint64_t misses_##type(const unsigned char *got, const double *want,            \
                                  const double *bound, int64_t count) {                    \
        uint64_t any = 0;                                                                  \
        _Pragma("omp simd reduction(| : any)") for (int64_t i = 0; i < count; i++) {       \
            type bits;                                                                     \
            memcpy(&bits, got + (size_t)i * sizeof bits, sizeof bits);                     \
            any |= miss(bits, want[i], bound[i]);                                          \
        }                                                                                  \
        return any;                                                                        \
    }
MISSES(uint8_t)
MISSES(uint16_t)
MISSES(uint32_t)

bool kb_pass_codes(const struct kb_judge *judge, int64_t first, int64_t count,
                   const double *want, const double *bound) {
    size_t bytes = kb_dtype_bytes(judge->spec->dtype);
    const unsigned char *got =
        (const unsigned char *)judge->args->got + (size_t)first * bytes;

    return !(bytes == 1   ? misses_uint8_t(got, want, bound, count)
             : bytes == 2 ? misses_uint16_t(got, want, bound, count)
                          : misses_uint32_t(got, want, bound, count));
}
