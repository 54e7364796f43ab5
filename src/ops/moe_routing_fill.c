/* moe_routing_fill.c - inputs of moe_routing: logits, and a scale that tells experts apart.
 *
 * Scales are uniform in (0, 2), one of its own for each expert, whatever the fill, or a
 * gather from a wrong one would not show. Where the fill is about special numbers, they
 * have some: `nan` every kind, `zeros` and `outliers` zeros and negative numbers. Between
 * rows of logits that a pitch keeps apart is NaN. */
#include "ops/moe_routing.h"

#include <math.h>

enum { CHUNK = 1024 };
enum { MASK_STREAM = 1, KEPT_STREAM, SCALE_STREAM };
enum { PEAK = 1000 };

static uint32_t word_of(uint64_t seed, uint64_t stream, int64_t i) {
    uint32_t words[4];
    kb_philox(seed, stream, (uint64_t)i / 4, words);
    return words[i % 4];
}

/* ---- logits ----------------------------------------------------------------------------
 */

/* 0, -1, -2, ... in even rows, the other way round in odd ones. In the first two of every
 * four rows the largest is far from the rest: their probabilities are 0 in fp32. */
static double step_at(int64_t row, int64_t expert, int64_t experts) {
    int64_t below = row % 2 ? experts - 1 - expert : expert;
    return below == 0 && row % 4 < 2 ? PEAK : -(double)below;
}

/* Every fourth row has two experts at most that are not -inf, every sixteenth has none. */
static bool is_masked(uint64_t seed, int64_t row, int64_t expert, int64_t experts) {
    uint32_t places[4];
    if (row % 4 != 3)
        return word_of(seed, MASK_STREAM, row * experts + expert) >> 31;
    if (row % 16 == 15)
        return true;
    kb_philox(seed, KEPT_STREAM, (uint64_t)row, places);
    return expert != places[0] % experts && expert != places[1] % experts;
}

/* Element `i`, which is `normal` before. */
static double logit_at(enum kb_fill fill, uint64_t seed, int64_t experts, int64_t i,
                       double normal) {
    int64_t row = i / experts, expert = i % experts;
    if (fill == KB_FILL_TIES)
        return floor(2 * normal + 0.5) / 2;
    if (fill == KB_FILL_STEPS)
        return step_at(row, expert, experts);
    if (fill == KB_FILL_MASKED)
        return is_masked(seed, row, expert, experts) ? -(double)INFINITY : normal;
    return isnan(normal) && i % 2 ? copysign(normal, -1) : normal; /* both signs */
}

/* Does the page make the fill of what the generator gives? */
static bool is_own(enum kb_fill fill) {
    return fill == KB_FILL_TIES || fill == KB_FILL_STEPS || fill == KB_FILL_MASKED ||
           fill == KB_FILL_NAN;
}

/* Elements of rows that follow each other. */
static void fill_rows(const struct kb_routing *r, enum kb_fill fill, uint64_t seed,
                      int64_t first, int64_t count, void *data) {
    const struct kb_fill_key key = {
        .seed = seed, .tensor = "logits", .fill = fill, .row = r->experts};
    int64_t chunks = count / CHUNK + (count % CHUNK > 0);
    kb_fill_range(&key, r->dtype, first, count, data);
    if (!is_own(fill))
        return;
#pragma omp parallel for schedule(static) num_threads(kb_threads(count))
    for (int64_t c = 0; c < chunks; c++) {
        int64_t from = c * CHUNK, n = count - from < CHUNK ? count - from : CHUNK;
        double values[CHUNK];
        kb_decode_range(r->dtype, data, from, n, values);
        for (int64_t i = 0; i < n; i++)
            values[i] = logit_at(fill, seed, r->experts, first + from + i, values[i]);
        kb_encode_range(r->dtype, values, n, data, from);
    }
}

static void fill_logits(const struct kb_routing *r, enum kb_fill fill, uint64_t seed,
                        int64_t first, int64_t count, void *data) {
    int64_t stride = r->in_stride, end = first + count, rows = (end - 1) / stride + 1;
    if (stride == r->experts) {
        fill_rows(r, fill, seed, first, count, data);
        return;
    }
#pragma omp parallel for schedule(static) num_threads(kb_threads(count))
    for (int64_t row = first / stride; row < rows; row++) {
        int64_t origin = row * stride, start = first > origin ? first - origin : 0;
        int64_t stop = end - origin < stride ? end - origin : stride;
        int64_t there = stop < r->experts ? stop : r->experts;
        char *at =
            (char *)data + (size_t)(origin + start - first) * kb_dtype_bytes(r->dtype);
        if (start < there)
            fill_rows(r, fill, seed, row * r->experts + start, there - start, at);
        for (int64_t i = start > there ? start : there; i < stop; i++)
            kb_bits_put(r->dtype, at, i - start, kb_encode(r->dtype, NAN));
    }
}

/* ---- the scale -------------------------------------------------------------------------
 */

static double scale_at(enum kb_fill fill, uint64_t seed, int64_t expert) {
    static const double specials[] = {NAN, INFINITY, -INFINITY, 0, -0.0, -1, 1, 0.5};
    static const double zeros[] = {0, -0.0, -1, -1, 1, 1, 1, 1};
    uint32_t word = word_of(seed, SCALE_STREAM, expert);
    double scale = ((double)word + 0.5) * 0x1p-31;
    if (fill == KB_FILL_NAN && word % 2)
        return specials[word / 2 % 8] * (word / 2 % 8 < 5 ? 1 : scale);
    if (fill == KB_FILL_ZEROS || fill == KB_FILL_OUTLIERS)
        return zeros[word % 8] * scale;
    return fill == KB_FILL_LARGE ? ldexp(scale, (int)(word % 13)) : scale;
}

static void fill_scale(const struct kb_routing *r, enum kb_fill fill, uint64_t seed,
                       int64_t first, int64_t count, void *data) {
    const struct kb_fill_key bits = {
        .seed = seed, .tensor = "per_expert_scale", .fill = KB_FILL_BITS};
    if (fill == KB_FILL_BITS) {
        kb_fill_range(&bits, r->scale_dtype, first, count, data);
        return;
    }
    for (int64_t i = 0; i < count; i++)
        kb_bits_put(r->scale_dtype, data, i,
                    kb_encode(r->scale_dtype, scale_at(fill, seed, first + i)));
}

void kb_routing_fill(const struct kb_problem *p, int t, uint64_t seed, int64_t first,
                     int64_t count, void *data) {
    struct kb_routing r = kb_routing_of(p->c);
    if (t == KB_ROUTE_LOGITS && count)
        fill_logits(&r, p->c->fill, seed, first, count, data);
    else if (t == KB_ROUTE_SCALE)
        fill_scale(&r, p->c->fill, seed, first, count, data);
}
