/* dtype.c - element types: names, and conversions between element bits and double.
 *
 * A double holds every value of every dtype exactly, so decoding is exact and encoding
 * rounds once, straight from the double's own significand: through float a value just above
 * a tie would be rounded down onto it and then to the wrong side. */
#include "clones.h"
#include "tensor.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

#ifdef __clang__ /* a sanitizer may keep a loop from vectorising: slower, not wrong */
#pragma clang diagnostic ignored "-Wpass-failed"
#endif

static const struct dtype {
    const char *name, *cxx;
    size_t bytes;
    int significand; /* bits with the hidden one; 0: an integer */
    int min_exponent, max_exponent;
    double max_finite;
} dtypes[KB_DTYPE_COUNT] = {
#define X(id, word, size, bits, type)                                                      \
    [id] = {.name = word, .cxx = type, .bytes = size, .significand = bits, RANGE_##id},
#define RANGE_KB_BF16 .min_exponent = -126, .max_exponent = 127, .max_finite = 0x1.fep127
#define RANGE_KB_FP16 .min_exponent = -14, .max_exponent = 15, .max_finite = 65504.0
#define RANGE_KB_FP32 .min_exponent = -126, .max_exponent = 127, .max_finite = FLT_MAX
#define RANGE_KB_E4M3 .min_exponent = -6, .max_exponent = 8, .max_finite = 448.0
#define RANGE_KB_I32 .max_finite = INT32_MAX
#define RANGE_KB_U8 .max_finite = UINT8_MAX
    KB_DTYPES(X)
#undef X
};

static const struct {
    const char *name;
    enum kb_dtype dtype;
} aliases[] = {
    {"bfloat16", KB_BF16}, {"half", KB_FP16},     {"float16", KB_FP16},
    {"f16", KB_FP16},      {"float", KB_FP32},    {"float32", KB_FP32},
    {"f32", KB_FP32},      {"e4m3fn", KB_E4M3},   {"float8_e4m3fn", KB_E4M3},
    {"int32", KB_I32},     {"fp8_e4m3", KB_E4M3},
};

const char *kb_dtype_name(enum kb_dtype dtype) {
    return dtypes[dtype].name;
}

const char *kb_dtype_cxx(enum kb_dtype dtype) {
    return dtypes[dtype].cxx;
}

size_t kb_dtype_bytes(enum kb_dtype dtype) {
    return dtypes[dtype].bytes;
}

bool kb_dtype_is_float(enum kb_dtype dtype) {
    return dtypes[dtype].significand > 0;
}

bool kb_dtype_parse(const char *name, enum kb_dtype *out) {
    for (int i = 0; i < KB_DTYPE_COUNT; i++) {
        if (!strcmp(name, dtypes[i].name)) {
            *out = (enum kb_dtype)i;
            return true;
        }
    }
    for (size_t i = 0; i < KB_COUNT(aliases); i++) {
        if (!strcmp(name, aliases[i].name)) {
            *out = aliases[i].dtype;
            return true;
        }
    }
    return false;
}

ALWAYS_INLINE float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

ALWAYS_INLINE uint32_t bits_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
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

/* Selection by mask: gcc turns some ?: into branches, which keep a loop from vectorising.
 */
ALWAYS_INLINE uint32_t pick(bool first, uint32_t a, uint32_t b) {
    uint32_t mask = 0u - (uint32_t)first;
    return (a & mask) | (b & ~mask);
}

/* ---- bits to value: all branch-free, so that the bulk loops vectorise -------------------
 */

/* The hardware quiets a signalling NaN on the way from float to double, keeping its
 * payload. */
ALWAYS_INLINE double bf16_value(uint32_t bits) {
    return (double)float_of(bits << 16);
}

/* A narrow code without its sign, moved to a float's fields with the exponent rebiased by
 * `bias` << 23. Below the smallest normal the exponent field is set to that of the smallest
 * normal instead, and its hidden bit subtracted again as a number. */
ALWAYS_INLINE uint32_t widen(uint32_t fields, uint32_t bias) {
    uint32_t tiny =
        bits_of_float(float_of(fields + bias + (1u << 23)) - float_of(bias + (1u << 23)));
    return pick(fields < 1u << 23, tiny, fields + bias);
}

ALWAYS_INLINE double fp16_value(uint32_t bits) {
    uint32_t code = bits & 0x7fff;
    uint32_t wide = widen(code << 13, 112u << 23);
    wide += pick(code >= 0x7c00, 112u << 23, 0); /* infinity, NaN */
    return (double)float_of(wide | (bits & 0x8000) << 16);
}

ALWAYS_INLINE double e4m3_value(uint32_t bits) {
    uint32_t code = bits & 0x7f;
    uint32_t wide = widen(code << 20, 120u << 23);
    wide = pick(code == 0x7f, 0x7fc00000, wide);
    return (double)float_of(wide | (bits & 0x80) << 24);
}

ALWAYS_INLINE double fp32_value(uint32_t bits) {
    return (double)float_of(bits);
}

ALWAYS_INLINE double i32_value(uint32_t bits) {
    return (double)(int32_t)bits;
}

/* ---- value to bits ----------------------------------------------------------------------
 */

/* Round |value| to `mant` stored bits and to the exponent range of `bias`, as a code
 * without sign, at most `top`. A carry out of the significand lands in the exponent, as it
 * should. Below the smallest normal the grid is even, so adding a number whose own ulp is
 * that grid lets the addition do the one rounding. */
ALWAYS_INLINE uint32_t round_code(uint64_t size, int mant, int bias, uint64_t top) {
    int shift = 52 - mant;
    uint64_t half = ((uint64_t)1 << (shift - 1)) - 1;
    uint64_t normal =
        ((size + half + (size >> shift & 1)) >> shift) - ((uint64_t)(1023 - bias) << mant);
    uint64_t grid = (uint64_t)(1023 + 53 - bias - mant) << 52;
    uint64_t tiny = bits_of(double_of(size) + double_of(grid)) - grid;
    uint64_t code = size < (uint64_t)(1024 - bias) << 52 ? tiny : normal;
    return (uint32_t)(code < top ? code : top);
}

static const uint64_t infinity_bits = (uint64_t)0x7ff << 52;

ALWAYS_INLINE uint32_t bf16_bits(double value) {
    uint64_t bits = bits_of(value), size = bits & INT64_MAX;
    uint32_t sign = (uint32_t)(bits >> 48) & 0x8000;
    uint32_t code = round_code(size, 7, 127, 0x7f80);
    uint32_t nan = 0x7fc0 | ((uint32_t)(size >> 45) & 0x3f);
    return sign | (size > infinity_bits ? nan : code);
}

ALWAYS_INLINE uint32_t fp16_bits(double value) {
    uint64_t bits = bits_of(value), size = bits & INT64_MAX;
    uint32_t sign = (uint32_t)(bits >> 48) & 0x8000;
    uint32_t code = round_code(size, 10, 15, 0x7c00);
    uint32_t nan = 0x7e00 | ((uint32_t)(size >> 42) & 0x1ff);
    return sign | (size > infinity_bits ? nan : code);
}

/* One NaN only, as the hardware's saturating conversion makes it. */
ALWAYS_INLINE uint32_t e4m3_bits(double value) {
    uint64_t bits = bits_of(value), size = bits & INT64_MAX;
    uint32_t sign = (uint32_t)(bits >> 56) & 0x80;
    uint32_t code = round_code(size, 3, 7, 0x7e);
    return size > infinity_bits ? 0x7f : sign | code;
}

ALWAYS_INLINE uint32_t fp32_bits(double value) {
    return bits_of_float((float)value);
}

/* Adding 1.5 x 2^52 leaves the rounded integer in the low bits, in two's complement. */
ALWAYS_INLINE uint32_t whole_bits(double value, double low, double high) {
    value = value > low ? value : low;
    value = value < high ? value : high;
    return (uint32_t)bits_of(value + 0x1.8p52);
}

ALWAYS_INLINE uint32_t i32_bits(double value) {
    return value != value ? 0 : whole_bits(value, INT32_MIN, INT32_MAX);
}

ALWAYS_INLINE uint32_t u8_bits(double value) {
    return value != value ? 0 : whole_bits(value, 0.0, UINT8_MAX);
}

double kb_decode(enum kb_dtype dtype, uint32_t bits) {
    switch (dtype) {
    case KB_BF16:
        return bf16_value(bits & 0xffff);
    case KB_FP16:
        return fp16_value(bits);
    case KB_FP32:
        return fp32_value(bits);
    case KB_E4M3:
        return e4m3_value(bits);
    case KB_I32:
        return i32_value(bits);
    case KB_U8:
        return (double)(bits & 0xff);
    case KB_DTYPE_COUNT:
        break;
    }
    assert(false && "a dtype");
    return NAN;
}

uint32_t kb_encode(enum kb_dtype dtype, double value) {
    switch (dtype) {
    case KB_BF16:
        return bf16_bits(value);
    case KB_FP16:
        return fp16_bits(value);
    case KB_FP32:
        return fp32_bits(value);
    case KB_E4M3:
        return e4m3_bits(value);
    case KB_I32:
        return i32_bits(value);
    case KB_U8:
        return u8_bits(value);
    case KB_DTYPE_COUNT:
        break;
    }
    assert(false && "a dtype");
    return 0;
}

/* ---- arrays: by memcpy, because a shifted slab need not be aligned
 * ------------------------ */

ALWAYS_INLINE uint32_t load(const unsigned char *data, size_t bytes, int64_t i) {
    const unsigned char *at = data + (size_t)i * bytes;
    uint32_t word;
    uint16_t half;
    if (bytes == 1)
        return *at;
    if (bytes == 2) {
        memcpy(&half, at, sizeof half);
        return half;
    }
    memcpy(&word, at, sizeof word);
    return word;
}

ALWAYS_INLINE void store(unsigned char *data, size_t bytes, int64_t i, uint32_t bits) {
    unsigned char *at = data + (size_t)i * bytes;
    uint16_t half = (uint16_t)bits;
    if (bytes == 1)
        *at = (unsigned char)bits;
    else if (bytes == 2)
        memcpy(at, &half, sizeof half);
    else
        memcpy(at, &bits, sizeof bits);
}

double kb_round(enum kb_dtype dtype, double value) {
    return kb_decode(dtype, kb_encode(dtype, value));
}

uint32_t kb_bits_at(enum kb_dtype dtype, const void *data, int64_t i) {
    return load(data, dtypes[dtype].bytes, i);
}

void kb_bits_put(enum kb_dtype dtype, void *data, int64_t i, uint32_t bits) {
    store(data, dtypes[dtype].bytes, i, bits);
}

KB_CLONES
void kb_decode_range(enum kb_dtype dtype, const void *data, int64_t first, int64_t count,
                     double *out) {
    if (count <= 0)
        return;
    const unsigned char *in =
        (const unsigned char *)data + (size_t)first * dtypes[dtype].bytes;
    switch (dtype) {
    case KB_BF16:
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
            out[i] = bf16_value(load(in, 2, i));
        return;
    case KB_FP16:
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
            out[i] = fp16_value(load(in, 2, i));
        return;
    case KB_FP32:
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
            out[i] = fp32_value(load(in, 4, i));
        return;
    case KB_E4M3:
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
            out[i] = e4m3_value(load(in, 1, i));
        return;
    case KB_I32:
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
            out[i] = i32_value(load(in, 4, i));
        return;
    case KB_U8:
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
            out[i] = (double)(int32_t)load(in, 1, i);
        return;
    case KB_DTYPE_COUNT:
        break;
    }
    assert(false && "a dtype");
}

KB_CLONES
void kb_encode_range(enum kb_dtype dtype, const double *in, int64_t count, void *data,
                     int64_t first) {
    if (count <= 0)
        return;
    unsigned char *out = (unsigned char *)data + (size_t)first * dtypes[dtype].bytes;
    switch (dtype) {
    case KB_BF16:
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
            store(out, 2, i, bf16_bits(in[i]));
        return;
    case KB_FP16:
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
            store(out, 2, i, fp16_bits(in[i]));
        return;
    case KB_FP32:
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
            store(out, 4, i, fp32_bits(in[i]));
        return;
    case KB_E4M3:
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
            store(out, 1, i, e4m3_bits(in[i]));
        return;
    case KB_I32:
    case KB_U8:
        for (int64_t i = 0; i < count; i++)
            store(out, dtypes[dtype].bytes, i, kb_encode(dtype, in[i]));
        return;
    case KB_DTYPE_COUNT:
        break;
    }
    assert(false && "a dtype");
}

double kb_ulp(enum kb_dtype dtype, double x) {
    const struct dtype *d = &dtypes[dtype];
    if (x != x || !d->significand)
        return x != x ? x : 1.0;
    int exponent = (int)(bits_of(x) >> 52 & 0x7ff) - 1023;
    exponent = exponent > d->min_exponent ? exponent : d->min_exponent;
    exponent = exponent < d->max_exponent ? exponent : d->max_exponent;
    return double_of((uint64_t)(1023 + exponent + 1 - d->significand) << 52);
}

double kb_max_finite(enum kb_dtype dtype) {
    return dtypes[dtype].max_finite;
}
