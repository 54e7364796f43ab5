/* qknorm_rope_fill.c - inputs of qknorm_rope.
 *
 * Heads have magnitudes of their own, 1 + h/64, or a head taken for another of the same
 * token would seldom show after a norm. Zeros and NaN come in one head of four, so that
 * what leaks into the next one shows; the other heads are normal then. */
#include "ops/qknorm_rope.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 256, EVERY = 4 };

/* ---- qkv -------------------------------------------------------------------------------
 */

static bool is_special(enum kb_fill fill, int64_t token, int64_t head) {
    bool mixed = fill == KB_FILL_ZEROS || fill == KB_FILL_NAN;
    return mixed && (token + head) % EVERY == 0;
}

static void scale_range(enum kb_dtype dtype, double factor, int64_t n, void *data) {
    double values[KB_QKR_MAX_HEAD];
    kb_decode_range(dtype, data, 0, n, values);
    for (int64_t i = 0; i < n; i++)
        values[i] *= factor;
    kb_encode_range(dtype, values, n, data, 0);
}

/* `n` elements of a head from `from` on: the same whatever the pitch. */
static void fill_head(const struct kb_qkr *q, enum kb_fill fill, uint64_t seed,
                      int64_t token, int64_t head, int64_t from, int64_t n, void *data) {
    bool mixed = fill == KB_FILL_ZEROS || fill == KB_FILL_NAN;
    bool normal = fill == KB_FILL_NORMAL || (mixed && !is_special(fill, token, head));
    const struct kb_fill_key key = {
        .seed = seed,
        .tensor = "qkv",
        .fill = normal ? KB_FILL_NORMAL : fill,
        .row = q->head_dim, /* a constant head, not a constant token */
    };
    kb_fill_range(&key, q->dtype, token * q->width + head * q->head_dim + from, n, data);
    if (normal)
        scale_range(q->dtype, 1 + (double)(head % 64) / 64, n, data);
}

/* What lies behind a token's heads: a kernel that reads it shows. */
static void fill_gap(const struct kb_qkr *q, int64_t n, void *data) {
    for (int64_t i = 0; i < n; i++)
        kb_bits_put(q->dtype, data, i, kb_encode(q->dtype, NAN));
}

/* Part `k` of a token, a head or what lies behind all of them, as much of it as there is
 * among elements [first, first + count). */
static void fill_part(const struct kb_qkr *q, enum kb_fill fill, uint64_t seed,
                      int64_t token, int64_t k, int64_t first, int64_t count, void *data) {
    int64_t begin = token * q->row + k * q->head_dim;
    bool gap = k * q->head_dim == q->width;
    int64_t end = gap ? (token + 1) * q->row : begin + q->head_dim;
    int64_t from = begin < first ? first : begin;
    int64_t to = end < first + count ? end : first + count;
    char *at = (char *)data + (size_t)(from - first) * kb_dtype_bytes(q->dtype);
    if (from >= to)
        return;
    if (gap)
        fill_gap(q, to - from, at);
    else
        fill_head(q, fill, seed, token, k, from - begin, to - from, at);
}

static void fill_qkv(const struct kb_qkr *q, enum kb_fill fill, uint64_t seed,
                     int64_t first, int64_t count, void *data) {
    int64_t parts = q->width / q->head_dim + (q->row > q->width);
    int64_t from = first / q->row * parts,
            to = (first + count - 1) / q->row * parts + parts;
#pragma omp parallel for schedule(static) num_threads(kb_threads(count))
    for (int64_t part = from; part < to; part++)
        fill_part(q, fill, seed, part / parts, part % parts, first, count, data);
}

/* ---- weights and positions -------------------------------------------------------------
 */

static void fill_weight(const struct kb_qkr *q, int t, uint64_t seed, int64_t first,
                        int64_t count, void *data) {
    const struct kb_fill_key key = {
        .seed = seed,
        .tensor = t == KB_QKR_Q_WEIGHT ? "q_weight" : "k_weight",
        .fill = KB_FILL_NORMAL,
    };
    double normal[KB_QKR_MAX_HEAD];
    kb_fill_range(&key, q->dtype, first, count, data);
    kb_decode_range(q->dtype, data, 0, count, normal);
    for (int64_t i = 0; i < count; i++)
        normal[i] = q->weights == KB_WEIGHTS_ONES   ? 1
                    : q->weights == KB_WEIGHTS_WIDE ? 5 * normal[i]
                                                    : 1 + 0.1 * normal[i];
    kb_encode_range(q->dtype, normal, count, data, 0);
}

static int32_t position_at(const struct kb_qkr *q, uint64_t seed, int64_t i) {
    enum { STREAM = 1 };
    uint32_t drawn[4];
    switch (q->positions) {
    case KB_POS_RANDOM:
        kb_philox(seed, STREAM, (uint64_t)i, drawn);
        return (int32_t)((uint64_t)drawn[0] * (uint64_t)q->position >> 32);
    case KB_POS_CONSTANT:
        return (int32_t)q->position;
    case KB_POS_REVERSE:
        return (int32_t)(q->position + q->tokens - 1 - i);
    case KB_POS_POWERS: /* 0, 1, 2, 4, ... 2^30, and again */
        return i % 32 ? (int32_t)(1u << (i % 32 - 1)) : 0;
    default:
        return (int32_t)(q->position + i);
    }
}

void kb_qkr_fill(const struct kb_problem *p, int t, uint64_t seed, int64_t first,
                 int64_t count, void *data) {
    struct kb_qkr q = kb_qkr_of(p->c);
    if (!count)
        return;
    if (t == KB_QKR_QKV)
        fill_qkv(&q, p->c->fill, seed, first, count, data);
    else if (t != KB_QKR_POSITIONS)
        fill_weight(&q, t, seed, first, count, data);
    else
        for (int64_t i = 0; i < count; i++)
            ((int32_t *)data)[i] = position_at(&q, seed, first + i);
}
