/* tensor.h - numbers: dtypes and conversions, guarded buffers, counter-based fills.
 *
 * Conversions here share nothing with kernels/: a mistake on one side shows against the
 * other. */
#ifndef KB_TENSOR_H
#define KB_TENSOR_H

#include "base.h"

enum { KB_MAX_RANK = 8 };

/* OpenMP threads that are worth starting for work on so many elements: one for each 2^17,
 * at most all. Sixteen idle ones cost a small case more than the work itself. */
int kb_threads(int64_t elements);
/* memcpy by as many threads as the size is worth. */
void kb_copy(void *to, const void *from, size_t bytes);
/* memcmp(a, b, bytes) == 0, likewise. */
bool kb_same(const void *a, const void *b, size_t bytes);
/* A hash of all of it, likewise; not that of kb_hash_of. */
struct kb_hash kb_hash_large(const void *data, size_t bytes);

/* id, canonical name, bytes, significand bits with the hidden one, C++ type in kernels */
#define KB_DTYPES(X)                                                                       \
    X(KB_BF16, "bf16", 2, 8, "__nv_bfloat16")                                              \
    X(KB_FP16, "fp16", 2, 11, "__half")                                                    \
    X(KB_FP32, "fp32", 4, 24, "float")                                                     \
    X(KB_E4M3, "e4m3", 1, 4, "__nv_fp8_e4m3")                                              \
    X(KB_I32, "i32", 4, 0, "int")                                                          \
    X(KB_U8, "u8", 1, 0, "unsigned char")

enum kb_dtype {
#define X(id, name, bytes, bits, type) id,
    KB_DTYPES(X)
#undef X
        KB_DTYPE_COUNT
};

const char *kb_dtype_name(enum kb_dtype dtype);
const char *kb_dtype_cxx(enum kb_dtype dtype);
size_t kb_dtype_bytes(enum kb_dtype dtype);
bool kb_dtype_is_float(enum kb_dtype dtype);
/* Canonical names and aliases: half float16 f16, bfloat16, float float32 f32, float8_e4m3fn
 * fp8_e4m3 e4m3fn, int32. False if unknown. */
bool kb_dtype_parse(const char *name, enum kb_dtype *out);

/* The value of element bits (exact in double), and double to element bits, rounded once to
 * nearest even. NaN stays NaN, quiet, with its sign and the top of its payload (e4m3 has
 * one, 7f; integers take 0). e4m3 saturates to +-448, infinities too; integers saturate. */
double kb_decode(enum kb_dtype dtype, uint32_t bits);
uint32_t kb_encode(enum kb_dtype dtype, double value);
/* The dtype's number for `value`. */
double kb_round(enum kb_dtype dtype, double value);
/* Element `i` of an array of that dtype, as bits. */
uint32_t kb_bits_at(enum kb_dtype dtype, const void *data, int64_t i);
void kb_bits_put(enum kb_dtype dtype, void *data, int64_t i, uint32_t bits);
/* Bulk forms of kb_decode and kb_encode. */
void kb_decode_range(enum kb_dtype dtype, const void *data, int64_t first, int64_t count,
                     double *out);
void kb_encode_range(enum kb_dtype dtype, const double *in, int64_t count, void *data,
                     int64_t first);
/* Spacing of the dtype's grid at |x| (that of the binade, the subnormal quantum at the
 * bottom, that of the last binade at and beyond max finite). 1 ulp. NaN for NaN, 1 for
 * integers. */
double kb_ulp(enum kb_dtype dtype, double x);
double kb_max_finite(enum kb_dtype dtype);

/* ---- slabs ------------------------------------------------------------------------------
 * All tensors of a case in one block of memory, each between guard zones. The host runner
 * maps the same block, a GPU gets a copy of it, so that both backends check the same bytes.
 */

enum { KB_GUARD_BYTES = 4096, KB_SLAB_ALIGN = 256 };

struct kb_slot {
    size_t offset, bytes; /* of the tensor itself; guard zones lie before and after */
};

/* SHARED lies in a memfd that a child can map, PRIVATE in ordinary memory on huge pages. */
enum kb_slab_kind { KB_SLAB_SHARED, KB_SLAB_PRIVATE };

struct kb_slab {
    unsigned char *data; /* NULL when bytes is 0 */
    size_t bytes;
    size_t room; /* that there is memory for; bytes is as much or less */
    int fd;      /* the memfd; -1: private */
    int n_slots;
    struct kb_slot *slots; /* owned */
};

/* Lay out `n` tensors of these sizes: at least KB_GUARD_BYTES before and after each, offset
 * a multiple of KB_SLAB_ALIGN plus `shift` bytes. Guards are filled, the tensors are zero
 * and cost no memory before they are written; the file's size is sealed. KB_MEMORY with the
 * bytes needed when they do not fit or are more than the machine has. */
bool kb_slab_make(struct kb_slab *slab, enum kb_slab_kind kind, int n, const size_t *bytes,
                  size_t shift, struct kb_err *err);
/* Other tensors in the memory of a slab that was made: slot i `shifts[i]` bytes past a
 * multiple of KB_SLAB_ALIGN (NULL: none is shifted). Guards are filled, the tensors hold
 * anything. A slab that is too small for them gets larger memory; unchanged on failure. */
bool kb_slab_place(struct kb_slab *slab, int n, const size_t *bytes, const size_t *shifts,
                   struct kb_err *err);
/* Bytes that kb_slab_make would take; false on overflow. */
bool kb_slab_size(int n, const size_t *bytes, size_t shift, size_t *out);
void kb_slab_free(struct kb_slab *slab);
void *kb_slab_at(const struct kb_slab *slab, int slot);
/* As kb_slab_make, in the memory of a slab that is no longer needed, where that is of the
 * kind and enough; *slab is zero where there is none. Its tensors hold anything. */
bool kb_slab_remake(struct kb_slab *slab, enum kb_slab_kind kind, int n,
                    const size_t *bytes, struct kb_err *err);
/* The same layout with the same contents, in memory of its own. */
bool kb_slab_copy(struct kb_slab *to, const struct kb_slab *from, struct kb_err *err);
/* The same layout, in memory that holds anything, guard zones included; `room` as below. */
bool kb_slab_like(struct kb_slab *to, const struct kb_slab *from, size_t room,
                  struct kb_err *err);
/* In memory with room for so many bytes, which kb_slab_place can use; they cost nothing
 * before. That of `to` is used, where it has enough. */
bool kb_slab_copy_roomy(struct kb_slab *to, const struct kb_slab *from, size_t room,
                        struct kb_err *err);

/* A guard zone that no longer holds its pattern. Between two tensors the last
 * KB_GUARD_BYTES are the second's, the rest the first's. */
struct kb_guard_hit {
    int slot;        /* the tensor whose zone it is */
    bool after;      /* past its end, or before its start */
    size_t distance; /* unchanged bytes from the tensor's edge to the nearest changed */
    size_t changed_bytes; /* in that zone */
};
/* Compare all zones as bytes; up to `max` hits, returns how many zones were hit. */
int kb_slab_guards(const struct kb_slab *slab, struct kb_guard_hit *hits, int max);

/* Poison: two patterns that outputs start with. Pattern 0 is the 16-bit word 7fb3, a NaN
 * with a payload no arithmetic makes in bf16, fp16 and fp32; pattern 1 its complement,
 * 804c. Words are little-endian from `data` on. A one-byte element is poison if it is
 * either byte of the word, since its address is not known: such dtypes need both patterns,
 * in two runs. */
void kb_poison(void *data, size_t bytes, int pattern);
bool kb_is_poison(enum kb_dtype dtype, uint32_t bits, int pattern);

/* ---- fills ------------------------------------------------------------------------------
 * Philox4x32-10 (Random123), keyed by (seed, tensor name, element): the same values on any
 * machine, thread count and backend, element by element. The key is the seed, the counter's
 * high half FNV-1a of the name; element i is word i % 4 of counter i / 4, and its normal
 * deviate the quantile of (word + 1/2) / 2^32, by a rational approximation in double
 * without libm. Dtypes get roundings of the same numbers; integers round and saturate them,
 * except that constant and bits give them random bits.
 *
 * tiny     half are uniform codes up to twice the smallest normal, half go down to code 1
 * constant the row number is i / row; another stream, so rows are unlike any normal fill
 * nan      quiet NaN, +inf and -inf (in e4m3 +-448), and one of each among elements 0..23,
 *          NaN among 0..7, so that a small tensor has some
 * patterns 32-bit dtypes: i * 65537 mod 2^32, so the high half, too, takes 65536 values
 * ramp, sparse, edges, ties, steps, masked, faded: N(0,1) here, which the op that has them
 *          starts from */

/* id, word on the command line and in reports, what it is meant to catch */
#define KB_FILLS(X)                                                                        \
    X(KB_FILL_NORMAL, "normal", "N(0,1): what a layer sees")                               \
    X(KB_FILL_LARGE, "large", "N(0,1) x 2^0..2^12: saturation and overflow inside")        \
    X(KB_FILL_OUTLIERS, "outliers", "N(0,1), one element in 1000 x 50")                    \
    X(KB_FILL_TINY, "tiny", "subnormals of the dtype and its smallest normals: flushing")  \
    X(KB_FILL_ZEROS, "zeros", "signed zeros, both signs")                                  \
    X(KB_FILL_CONSTANT, "constant", "each row one value: row mix-ups hide nowhere else")   \
    X(KB_FILL_NAN, "nan", "N(0,1), one element in 64 NaN or an infinity")                  \
    X(KB_FILL_BITS, "bits", "uniform bit patterns, every one that the dtype has")          \
    X(KB_FILL_PATTERNS, "patterns", "element i has bit pattern i mod 2^bits: exhaustive")  \
    X(KB_FILL_RAMP, "ramp", "rows and groups of magnitudes of their own: moved ones show") \
    X(KB_FILL_SPARSE, "sparse", "groups of zeros, of one number, of next to nothing")      \
    X(KB_FILL_EDGES, "edges", "numbers where the op's own rounding turns over")            \
    X(KB_FILL_TIES, "ties", "N(0,1) on a grid of halves: equal elements, at any cut")      \
    X(KB_FILL_STEPS, "steps", "rows that fall or rise by 1, half of them with a peak")     \
    X(KB_FILL_MASKED, "masked", "-inf in half of a row; NaN that only some rows may see")  \
    X(KB_FILL_FADED, "faded", "masked, and some infinities weigh 0: 0 times them is NaN")

enum kb_fill {
#define X(id, word, why) id,
    KB_FILLS(X)
#undef X
        KB_FILL_COUNT
};
const char *kb_fill_word(enum kb_fill fill);
const char *kb_fill_why(enum kb_fill fill);
bool kb_fill_parse(const char *word, enum kb_fill *out);

struct kb_fill_key {
    uint64_t seed;
    const char *tensor; /* its name is part of the key */
    enum kb_fill fill;
    int64_t row; /* elements in a row (the last axis); for KB_FILL_CONSTANT; 0: one row */
};
/* Elements [first, first + count) of a tensor into data[0..count). Any split gives the
 * same. */
void kb_fill_range(const struct kb_fill_key *key, enum kb_dtype dtype, int64_t first,
                   int64_t count, void *data);
/* Four words of Philox4x32-10. */
void kb_philox(uint64_t key, uint64_t counter_hi, uint64_t counter_lo, uint32_t out[4]);

#endif
