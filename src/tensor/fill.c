/* fill.c - counter-based fills: an element's bits depend on (seed, tensor, index) and no
 * more.
 *
 * A fill goes through chunks that stay in the first-level cache: random words, from these
 * either element bits or doubles, and doubles are encoded in bulk.
 *
 * Bits must not differ between CPUs, compilers or thread counts. So the normal quantile
 * uses
 * + - * / and sqrt only, which IEEE 754 defines to the last bit (the build turns
 * contraction off); libm's log picks code by CPU and promises no bits, hence the logarithm
 * here. */
#include "clones.h"
#include "philox.h"
#include "tensor.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#ifdef __clang__ /* a sanitizer may keep a loop from vectorising: slower, not wrong */
#pragma clang diagnostic ignored "-Wpass-failed"
#endif

enum {
    CHUNK = 1024,
    NAN_PLANTED = 24, /* a tensor as long as this holds all kinds, see plant_nan */
};

/* Two bits of the counter keep the uses of random words apart. */
enum stream { STREAM_ELEMENT, STREAM_CHOICE, STREAM_ROW, STREAM_PLANT };

struct source {
    const struct kb_fill_key *key;
    uint64_t name; /* hash of the tensor's */
};

static const struct {
    const char *word, *why;
} fills[KB_FILL_COUNT] = {
#define X(id, word, why) [id] = {word, why},
    KB_FILLS(X)
#undef X
};

const char *kb_fill_word(enum kb_fill fill) {
    return fills[fill].word;
}

const char *kb_fill_why(enum kb_fill fill) {
    return fills[fill].why;
}

bool kb_fill_parse(const char *word, enum kb_fill *out) {
    for (int i = 0; i < KB_FILL_COUNT; i++) {
        if (strcmp(word, fills[i].word))
            continue;
        *out = (enum kb_fill)i;
        return true;
    }
    return false;
}

/* ---- random words
 * ------------------------------------------------------------------------ */

/* FNV-1a, 64 bits. */
static uint64_t name_hash(const char *name) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    return hash;
}

/* Four words of block `i` of a stream. */
static void block_of(const struct source *src, enum stream stream, int64_t i,
                     uint32_t out[4]) {
    kb_philox(src->key->seed, src->name, (uint64_t)stream << 62 | (uint64_t)i, out);
}

enum { BLOCKS = KB_PHILOX_BLOCKS, WORDS = CHUNK + 4 + 4 * BLOCKS };

/* The words of elements [first, first + count), 0 < count <= CHUNK; points into `space`. */
static const uint32_t *words_of(const struct source *src, enum stream stream, int64_t first,
                                int64_t count, uint32_t space[WORDS]) {
    int64_t block = first / 4, end = (first + count + 3) / 4;
    uint32_t *at = space;
    do {
        kb_philox_blocks(src->key->seed, src->name,
                         (uint64_t)stream << 62 | (uint64_t)block, at);
        at += 4 * BLOCKS;
        block += BLOCKS;
    } while (block < end);
    return space + first % 4;
}

/* ---- normal deviates -------------------------------------------------------------------
 * P. J. Acklam, "An algorithm for computing the inverse normal cumulative distribution
 * function" (2003): rational approximations, relative error below 1.15e-9. A word w stands
 * for the probability (w + 1/2) / 2^32, so that deviates are symmetric and end at 6.3. */

/* Words whose lower or upper tail is less probable than 0.02425 take the second formula. */
static const uint32_t tail_words = 104152957;

static inline double centre_quantile(uint32_t word) {
    double q = ((double)(int32_t)(word ^ 0x80000000u) + 0.5) * 0x1p-32;
    double r = q * q;
    double top = -3.969683028665376e+01;
    double bottom = -5.447609879822406e+01;
    top = top * r + 2.209460984245205e+02;
    bottom = bottom * r + 1.615858368580409e+02;
    top = top * r - 2.759285104469687e+02;
    bottom = bottom * r - 1.556989798598866e+02;
    top = top * r + 1.383577518672690e+02;
    bottom = bottom * r + 6.680131188771972e+01;
    top = top * r - 3.066479806614716e+01;
    bottom = bottom * r - 1.328068155288572e+01;
    top = top * r + 2.506628277459239e+00;
    bottom = bottom * r + 1.0;
    return top * q / bottom;
}

/* Natural logarithm of a normal positive number to about 1e-15, by the series of
 * log((1 + s) / (1 - s)) on [sqrt(1/2), sqrt(2)]. */
static inline double log_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    double exponent = (double)(int)((bits >> 52) - 1023);
    bits = (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1023 << 52;
    memcpy(&x, &bits, sizeof x);
    bool upper = x > 1.4142135623730951;
    x = upper ? x * 0.5 : x;
    exponent = upper ? exponent + 1.0 : exponent;
    double s = (x - 1.0) / (x + 1.0), square = s * s, sum = 1.0 / 17;
    sum = sum * square + 1.0 / 15;
    sum = sum * square + 1.0 / 13;
    sum = sum * square + 1.0 / 11;
    sum = sum * square + 1.0 / 9;
    sum = sum * square + 1.0 / 7;
    sum = sum * square + 1.0 / 5;
    sum = sum * square + 1.0 / 3;
    sum = sum * square + 1.0;
    return 2.0 * s * sum + exponent * 0.6931471805599453;
}

static inline double tail_quantile(uint32_t word) {
    uint32_t upper = ~word, nearest = word < upper ? word : upper;
    double q = sqrt(-2.0 * log_of(((double)nearest + 0.5) * 0x1p-32));
    double top = -7.784894002430293e-03;
    double bottom = 7.784695709041462e-03;
    top = top * q - 3.223964580411365e-01;
    bottom = bottom * q + 3.224671290700398e-01;
    top = top * q - 2.400758277161838e+00;
    bottom = bottom * q + 2.445134137142996e+00;
    top = top * q - 2.549732539343734e+00;
    bottom = bottom * q + 3.754408661907416e+00;
    top = top * q + 4.374664141464968e+00;
    bottom = bottom * q + 1.0;
    top = top * q + 2.938163982698783e+00;
    double quantile = top / bottom;
    return word < upper ? quantile : -quantile;
}

/* Indices of the words that are tails, in order, and how many: eight flags are looked at as
 * one number, which is 0 for two thirds of them. */
static inline int find_tails(const uint32_t *words, int64_t count, int tails[CHUNK]) {
    unsigned char flags[CHUNK + 8];
    int n = 0;
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        flags[i] = words[i] - tail_words >= UINT32_MAX - 2 * tail_words + 1;
    memset(flags + count, 0, 8);
    for (int64_t i = 0; i < count; i += 8) {
        uint64_t eight;
        memcpy(&eight, flags + i, sizeof eight);
        for (; eight; eight &= eight - 1)
            tails[n++] = (int)i + __builtin_ctzll(eight) / 8;
    }
    return n;
}

/* The centre's formula for all, then the other one for the one in twenty that it is wrong
 * for: loops that vectorise. */
KB_CLONES
static void normals(const uint32_t *words, int64_t count, double *out) {
    int tails[CHUNK];
    uint32_t edge[CHUNK];
    double quantiles[CHUNK];
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        out[i] = centre_quantile(words[i]);
    int n_tails = find_tails(words, count, tails);
    for (int t = 0; t < n_tails; t++)
        edge[t] = words[tails[t]];
#pragma omp simd
    for (int t = 0; t < n_tails; t++)
        quantiles[t] = tail_quantile(edge[t]);
    for (int t = 0; t < n_tails; t++)
        out[tails[t]] = quantiles[t];
}

/* ---- fills that are numbers
 * --------------------------------------------------------------- */

/* `choice` scaled to 0 .. n-1. */
static int pick(uint32_t choice, int n) {
    return (int)((uint64_t)choice * (uint64_t)n >> 32);
}

static double special(int kind) {
    return kind == 0 ? (double)NAN : kind == 1 ? (double)INFINITY : -(double)INFINITY;
}

/* One in 64 by hash; one of each kind, too, at a hashed place among elements 0..7, 8..15
 * and 16..23, so that a small tensor has some. */
static void plant_nan(const struct source *src, const uint32_t *choice, int64_t first,
                      int64_t count, double *out) {
    for (int64_t i = 0; i < count; i++)
        if (choice[i] % 64 == 0)
            out[i] = special(pick(choice[i], 3));
    if (first >= NAN_PLANTED)
        return;
    uint32_t places[4];
    block_of(src, STREAM_PLANT, 0, places);
    for (int kind = 0; kind < 3; kind++) {
        int64_t at = 8 * kind + (int64_t)(places[kind] % 8) - first;
        if (at >= 0 && at < count)
            out[at] = special(kind);
    }
}

static void fill_numbers(const struct source *src, enum kb_dtype dtype, int64_t first,
                         int64_t count, void *data) {
    uint32_t space[WORDS], more[WORDS];
    double out[CHUNK];
    enum kb_fill fill = src->key->fill;
    normals(words_of(src, STREAM_ELEMENT, first, count, space), count, out);
    if (fill == KB_FILL_LARGE || fill == KB_FILL_OUTLIERS || fill == KB_FILL_NAN) {
        const uint32_t *choice = words_of(src, STREAM_CHOICE, first, count, more);
        if (fill == KB_FILL_NAN)
            plant_nan(src, choice, first, count, out);
        else if (fill == KB_FILL_LARGE)
            for (int64_t i = 0; i < count; i++)
                out[i] *= (double)(1 << pick(choice[i], 13));
        else
            for (int64_t i = 0; i < count; i++)
                out[i] *= pick(choice[i], 1000) == 0 ? 50.0 : 1.0;
    }
    kb_encode_range(dtype, out, count, data, 0);
}

/* ---- fills that are bit patterns
 * ----------------------------------------------------------- */

/* A code of at most two binades, the subnormals and the smallest normals; half of them
 * shifted down at random, since fp32 has too many for the smallest to turn up by
 * themselves. */
static uint32_t tiny_bits(uint32_t word, int significand, int bits) {
    uint32_t code = word & ((1u << significand) - 1);
    if (word >> 30 & 1)
        code >>= (word >> 24 & 63) % (uint32_t)significand;
    return (word >> 31) << (bits - 1) | (code ? code : 1);
}

static int significand_of(enum kb_dtype dtype) {
    static const int significands[KB_DTYPE_COUNT] = {
#define X(id, name, bytes, bits, type) [id] = bits,
        KB_DTYPES(X)
#undef X
    };
    return significands[dtype];
}

static uint32_t constant_bits(const struct source *src, enum kb_dtype dtype, int64_t row) {
    uint32_t words[4];
    double value;
    block_of(src, STREAM_ROW, row, words);
    if (!kb_dtype_is_float(dtype))
        return words[0] >> (32 - 8 * kb_dtype_bytes(dtype));
    normals(words, 1, &value);
    return kb_encode(dtype, value);
}

static void fill_constant(const struct source *src, enum kb_dtype dtype, int64_t first,
                          int64_t count, void *data) {
    int64_t width = src->key->row > 0 ? src->key->row : INT64_MAX;
    int64_t row = -1;
    uint32_t bits = 0;
    for (int64_t i = 0; i < count; i++) {
        if (i == 0 || (first + i) % width == 0) {
            row = (first + i) / width;
            bits = constant_bits(src, dtype, row);
        }
        kb_bits_put(dtype, data, i, bits);
    }
}

static void fill_patterns(enum kb_dtype dtype, int64_t first, int64_t count, void *data) {
    uint32_t step = kb_dtype_bytes(dtype) == 4 ? 65537 : 1;
    for (int64_t i = 0; i < count; i++)
        kb_bits_put(dtype, data, i, (uint32_t)(first + i) * step);
}

static void fill_words(const struct source *src, enum kb_dtype dtype, int64_t first,
                       int64_t count, void *data) {
    uint32_t space[WORDS];
    const uint32_t *words = words_of(src, STREAM_ELEMENT, first, count, space);
    int bits = 8 * (int)kb_dtype_bytes(dtype), significand = significand_of(dtype);
    for (int64_t i = 0; i < count; i++) {
        uint32_t word = words[i] >> (32 - bits);
        if (src->key->fill == KB_FILL_TINY)
            word = tiny_bits(words[i], significand, bits);
        else if (src->key->fill == KB_FILL_ZEROS)
            word = significand ? (words[i] >> 31) << (bits - 1) : 0;
        kb_bits_put(dtype, data, i, word);
    }
}

static void fill_chunk(const struct source *src, enum kb_dtype dtype, int64_t first,
                       int64_t count, void *data) {
    switch (src->key->fill) {
    case KB_FILL_TINY:
        if (!kb_dtype_is_float(dtype)) {
            fill_numbers(src, dtype, first, count, data);
            return;
        }
        fill_words(src, dtype, first, count, data);
        return;
    case KB_FILL_ZEROS:
    case KB_FILL_BITS:
        fill_words(src, dtype, first, count, data);
        return;
    case KB_FILL_CONSTANT:
        fill_constant(src, dtype, first, count, data);
        return;
    case KB_FILL_PATTERNS:
        fill_patterns(dtype, first, count, data);
        return;
    case KB_FILL_NORMAL:
    case KB_FILL_LARGE:
    case KB_FILL_OUTLIERS:
    case KB_FILL_NAN:
    case KB_FILL_RAMP:
    case KB_FILL_SPARSE:
    case KB_FILL_EDGES:
    case KB_FILL_TIES:
    case KB_FILL_STEPS:
    case KB_FILL_MASKED:
    case KB_FILL_FADED:
        fill_numbers(src, dtype, first, count, data);
        return;
    case KB_FILL_COUNT:
        break;
    }
    assert(false && "a fill");
}

void kb_fill_range(const struct kb_fill_key *key, enum kb_dtype dtype, int64_t first,
                   int64_t count, void *data) {
    const struct source src = {.key = key, .name = name_hash(key->tensor)};
    size_t bytes = kb_dtype_bytes(dtype);
    int64_t chunks = count / CHUNK + (count % CHUNK > 0);
#pragma omp parallel for schedule(static) num_threads(kb_threads(count))
    for (int64_t c = 0; c < chunks; c++) {
        int64_t done = c * CHUNK, n = count - done < CHUNK ? count - done : CHUNK;
        fill_chunk(&src, dtype, first + done, n,
                   (unsigned char *)data + (size_t)done * bytes);
    }
}
