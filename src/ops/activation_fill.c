/* activation_fill.c - inputs of silu, gelu and gelu_tanh: gates, ups, and the ids by which
 * rows are filtered.
 *
 * Each half is a tensor of its own to the generator, [tokens, hidden]: a constant row has
 * two constants, or swapped halves would not show, and `patterns` runs through the gates
 * while the ups are normal, so that 65536 outputs prove act() for a 16-bit dtype. A clamp
 * would never be met by N(0,1): with one, `normal` is twice the limit wide. Between rows
 * that a pitch keeps apart is NaN. */
#include "ops/activation.h"

#include <math.h>
#include <string.h>
enum { CHUNK = 256, EXPERTS = 8 };

/* ---- halves ----------------------------------------------------------------------------
 */

/* With zeros in both halves, or numbers so small that their product is zero, a kernel that
 * writes zeros is right. So one of the two is normal, in every combination by turns, and
 * against a tiny number a large one that brings the product back to about 1: there a
 * flushed subnormal shows. Bit k: the fill holds where (row + column) % 4 is k. */
static bool is_mixed(enum kb_fill fill) {
    return fill == KB_FILL_ZEROS || fill == KB_FILL_TINY;
}

static bool holds(enum kb_fill fill, enum kb_half half, int64_t place) {
    static const unsigned zeros[] = {[KB_GATE] = 0x5, [KB_UP] = 0x6};
    static const unsigned tiny[] = {[KB_GATE] = 0x5, [KB_UP] = 0xa};
    if (!is_mixed(fill))
        return false;
    return (fill == KB_FILL_ZEROS ? zeros : tiny)[half] >> place % 4 & 1;
}

/* Put N(0,1) times `scale` where the fill does not hold. */
static void put_normal(struct kb_fill_key key, enum kb_dtype dtype, enum kb_half half,
                       double scale, int64_t row, int64_t col, int64_t n, void *data) {
    enum kb_fill fill = key.fill;
    double normal[CHUNK];
    uint32_t elements[CHUNK]; /* as wide as any dtype */
    key.fill = KB_FILL_NORMAL;
    for (int64_t done = 0; done < n; done += CHUNK) {
        int64_t count = n - done < CHUNK ? n - done : CHUNK;
        kb_fill_range(&key, dtype, row * key.row + col + done, count, elements);
        kb_decode_range(dtype, elements, 0, count, normal);
        for (int64_t i = 0; i < count; i++)
            if (!holds(fill, half, row + col + done + i))
                kb_bits_put(dtype, data, done + i, kb_encode(dtype, normal[i] * scale));
    }
}

static void fill_part(const struct kb_activation *a, enum kb_fill fill, uint64_t seed,
                      enum kb_half half, int64_t row, int64_t col, int64_t n, void *data) {
    const struct kb_fill_key key = {
        .seed = seed,
        .tensor = half == KB_UP ? "up" : "gate",
        .fill = fill == KB_FILL_PATTERNS && half == KB_UP ? KB_FILL_NORMAL : fill,
        .row = a->hidden,
    };
    kb_fill_range(&key, a->dtype, row * key.row + col, n, data);
    double lift = fill == KB_FILL_ZEROS ? 1 : a->dtype == KB_FP16 ? 0x1p12 : 0x1p124;
    if (is_mixed(fill))
        put_normal(key, a->dtype, half, lift, row, col, n, data);
    else if (fill == KB_FILL_NORMAL && isfinite(a->limit))
        put_normal(key, a->dtype, half, 2 * a->limit, row, col, n, data);
}

static void put_nan(enum kb_dtype dtype, int64_t n, void *data) {
    for (int64_t i = 0; i < n; i++)
        kb_bits_put(dtype, data, i, kb_encode(dtype, NAN));
}

/* A row is its halves and what follows them. */
static void fill_input(const struct kb_problem *p, uint64_t seed, int64_t first,
                       int64_t count, void *data) {
    const struct kb_activation a = kb_activation_of(p->c);
    int64_t end = first + count;
#pragma omp parallel for schedule(static) num_threads(kb_threads(count))
    for (int64_t part = 3 * (first / a.in_stride); part < 3 * ((end - 1) / a.in_stride + 1);
         part++) {
        const int64_t ends[] = {0, a.hidden, 2 * a.hidden, a.in_stride};
        int64_t row = part / 3, which = part % 3, origin = row * a.in_stride + ends[which];
        int64_t start = origin > first ? origin : first;
        int64_t stop = row * a.in_stride + ends[which + 1];
        stop = stop < end ? stop : end;
        bool second = which == 1;
        enum kb_half half = second == (a.layout == KB_GATE_UP) ? KB_UP : KB_GATE;
        char *at = (char *)data + (size_t)(start - first) * kb_dtype_bytes(a.dtype);
        if (start >= stop)
            continue;
        if (which == 2)
            put_nan(a.dtype, stop - start, at);
        else
            fill_part(&a, p->c->fill, seed, half, row, start - origin, stop - start, at);
    }
}

/* ---- ids -------------------------------------------------------------------------------
 * How many groups are skipped is the case's, which ones are is the seed's: the place of a
 * group in a permutation decides. So are the sorted ids one of the tokens, of which those
 * from num_valid on are padding. */

/* A permutation of 0 .. n-1: four Feistel rounds over the next power of 4, walked until the
 * place is one of n. */
struct shuffle {
    uint64_t n, mask;
    int half_bits;
    uint32_t keys[4];
};

static struct shuffle shuffle_make(uint64_t seed, uint64_t stream, int64_t n) {
    struct shuffle s = {.n = (uint64_t)n};
    while (s.half_bits < 31 && (uint64_t)1 << 2 * s.half_bits < s.n)
        s.half_bits++;
    s.mask = ((uint64_t)1 << s.half_bits) - 1;
    kb_philox(seed, stream, 0, s.keys);
    return s;
}

static uint64_t mixed(uint64_t x) {
    x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
    x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53u;
    return x ^ x >> 33;
}

static int64_t shuffle_place(const struct shuffle *s, int64_t i) {
    uint64_t at = (uint64_t)i;
    do {
        uint64_t left = at >> s->half_bits, right = at & s->mask;
        for (int round = 0; round < 4; round++) {
            uint64_t next =
                left ^ (mixed(right ^ (uint64_t)s->keys[round] << 32) & s->mask);
            left = right;
            right = next;
        }
        at = left << s->half_bits | right;
    } while (at >= s->n);
    return (int64_t)at;
}

enum { SKIPPED_STREAM = 1, SORTED_STREAM };

static void fill_experts(const struct kb_activation *a, uint64_t seed, int64_t first,
                         int64_t count, int32_t *ids) {
    struct shuffle skipped = shuffle_make(seed, SKIPPED_STREAM, a->groups);
    for (int64_t i = 0; i < count; i++) {
        int64_t place = shuffle_place(&skipped, first + i) - a->skipped;
        ids[i] = place < 0 ? -1 : (int32_t)(place % EXPERTS); /* expert 0 is always there */
    }
}

/* Padding has the id num_valid, as the peers have it, or any beyond; every other one lies
 * past 2^31, where a comparison with sign takes it for a token. */
static int32_t padding(int64_t id) {
    return id % 2 ? (int32_t)(-1 - id) : (int32_t)id;
}

static void fill_sorted(const struct kb_activation *a, uint64_t seed, int64_t first,
                        int64_t count, int32_t *ids) {
    struct shuffle sorted = shuffle_make(seed, SORTED_STREAM, a->tokens);
    for (int64_t i = 0; i < count; i++) {
        int64_t id = shuffle_place(&sorted, first + i);
        ids[i] = id > a->num_valid ? padding(id) : (int32_t)id;
    }
}

void kb_activation_fill(const struct kb_problem *p, int t, uint64_t seed, int64_t first,
                        int64_t count, void *data) {
    struct kb_activation a = kb_activation_of(p->c);
    if (!count)
        return;
    switch (t) {
    case KB_ACT_INPUT:
        fill_input(p, seed, first, count, data);
        break;
    case KB_ACT_EXPERTS:
        fill_experts(&a, seed, first, count, data);
        break;
    case KB_ACT_SORTED:
        fill_sorted(&a, seed, first, count, data);
        break;
    case KB_ACT_POST:
        *(int32_t *)data = (int32_t)a.num_post;
        break;
    default: /* out starts as poison */
        break;
    }
}
