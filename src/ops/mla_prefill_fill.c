/* mla_prefill_fill.c - inputs of mla_prefill.
 *
 * normal, outliers, constant   all three by the fill's own rule
 * large    query is 32 N(0,1): scores to 100 and more, where exp alone overflows, and one
 *          key that outweighs the rest
 * zeros    query is 0: every key weighs the same, exactly
 * Where scores are made to measure, query is 1 and key is 0 but for some of its first
 * elements, so that the score is scale times their sum; value is normal:
 * sparse   one key in 64 is 1.5, 1.375, ... 1 all along, by turns: some 20 above the
 *          others. Were they equal, values might cancel, and nothing be left to tell
 * steps    keys rise from -2 to 2 along the sequence: the maximum moves with every tile
 * edges    76 ones, then 78, more for every 64 keys: 7.9 and 8.1 in units of log 2, on both
 *          sides of where kernels begin to rescale
 * ties     the first key has 96 ones: the others weigh 2^-10 of it, where e4m3 ends
 * nan      every other sequence has NaN for key and value: the next one must not see it
 * masked   values of some of a sequence's last keys are NaN or infinite in 8 columns of
 *          their own, of every other sequence its last key is NaN in part: queries that do
 *          not see them must not either, those that do have them there and only there
 * faded    the same, and each second infinity belongs to a key whose score is -inf, in odd
 *          heads to others, but for a sequence's first key: those that see it have NaN
 *
 * In the last two a scale above the default's is made up for by smaller keys: infinity
 * times a share that the dtype's rounding makes 0 is NaN to some right kernels, and no
 * number's bound tells them from wrong ones. */
#include "ops/mla_prefill.h"

#include <math.h>
#include <string.h>

static bool is_measured(enum kb_fill fill) {
    return fill == KB_FILL_SPARSE || fill == KB_FILL_STEPS || fill == KB_FILL_EDGES ||
           fill == KB_FILL_TIES;
}

/* Element d of key j of a sequence of n keys. */
static double measured_key(enum kb_fill fill, int64_t j, int64_t n, int64_t d) {
    switch (fill) {
    case KB_FILL_SPARSE:
        return j % 64 == 5 % n ? 1.5 - 0.125 * (double)(j / 64 % 5) : 0;
    case KB_FILL_STEPS:
        return d < 8 ? 0 : -2 + 4 * (double)j / (double)n;
    case KB_FILL_EDGES: {
        int64_t tile = j / 64 % 12, ones = j / 64 % 2 ? 78 : 76;
        return d < ones ? (double)tile : 0;
    }
    default:
        return j == 0 && d < 96 ? 1 : 0;
    }
}

/* Keys before a sequence's last one whose values are no numbers: NaN, infinity, NaN and
 * -infinity in turn. */
static const int64_t places[] = {0, 1, 5, 33, 70, 100, 200, 300};

/* Element d of the value of the key that stands `left` keys before the last one, where the
 * fill says one; of head h. NaN and infinities are never in one column of a head, and the
 * two halves of a slice have other columns. */
static bool is_hidden(int64_t left, int64_t h, int64_t d, double *value) {
    static const double values[] = {NAN, INFINITY, NAN, -INFINITY};
    for (int i = 0; i < (int)KB_COUNT(places); i++)
        if (left == places[i] && (d + d / KB_MLA_V + h) % 16 == 2 * i) {
            *value = values[i % (int)KB_COUNT(values)];
            return true;
        }
    return false;
}

/* Whether the key there is one that fades, in head h: half of the places of infinities. */
static bool is_faded(int64_t left, int64_t h) {
    return left == places[h % 2 ? 3 : 1] || left == places[h % 2 ? 7 : 5];
}

static void put(enum kb_dtype dtype, void *data, int64_t i, double value) {
    kb_bits_put(dtype, data, i, kb_encode(dtype, value));
}

/* e4m3 has no infinity. */
static void put_no_number(enum kb_dtype dtype, void *data, int64_t i, double value) {
    put(dtype, data, i, dtype == KB_E4M3 ? NAN : value);
}

/* In faded, the element of a key that decides its score where it is infinite; query has 1
 * there. */
enum { DECIDES = 7 };

/* By a power of two, so that scores spread no further than by the default scale. */
static void shrink(const struct kb_mla *m, int64_t count, void *data) {
    double by = 1;
    while (m->scale * by * sqrt(KB_MLA_QK) > 1.5)
        by /= 2;
    for (int64_t i = 0; by < 1 && i < count; i++)
        put(m->dtype, data, i, by * kb_decode(m->dtype, kb_bits_at(m->dtype, data, i)));
}

/* Where what no query but the last ones sees is no number. */
static void fill_masked(const struct kb_mla *m, bool faded, int t, int64_t first,
                        int64_t count, void *data) {
    bool key = t == KB_MLA_KEY;
    int64_t width = key ? KB_MLA_QK : m->v_pitch,
            pitch = key ? m->k_pitch : width * m->kv_heads;
    for (int64_t i = 0; i < count; i++) {
        int64_t token = (first + i) / pitch, at = (first + i) % pitch, d = at % width,
                start;
        int b = kb_mla_sequence(m->kv_lens, m->sequences, token, &start);
        int64_t left = start + m->kv_lens[b] - 1 - token;
        double value;
        if (key && b % 2 && left == 0 && d % 50 == 7)
            put(m->dtype, data, i, NAN);
        else if (key && faded && d == DECIDES && is_faded(left, at / width) &&
                 token > start)
            put(m->dtype, data, i, m->dtype == KB_E4M3 ? -448 : -INFINITY);
        else if (!key && is_hidden(left, at / width, d, &value))
            put_no_number(m->dtype, data, i, value);
    }
}

/* Key or value. */
static void fill_keys(const struct kb_mla *m, enum kb_fill fill, int t, int64_t first,
                      int64_t count, void *data) {
    bool key = t == KB_MLA_KEY;
    int64_t width = key ? KB_MLA_QK : m->v_pitch,
            pitch = key ? m->k_pitch : width * m->kv_heads;
    for (int64_t i = 0; i < count; i++) {
        int64_t token = (first + i) / pitch, d = (first + i) % pitch % width, start;
        int b = kb_mla_sequence(m->kv_lens, m->sequences, token, &start);
        if (fill == KB_FILL_NAN && b % 2)
            put(m->dtype, data, i, NAN);
        else if (fill != KB_FILL_NAN && key)
            put(m->dtype, data, i, measured_key(fill, token - start, m->kv_lens[b], d));
    }
}

/* What lies behind the heads of a token: a kernel that reads it shows. */
static void fill_gaps(const struct kb_mla *m, int t, int64_t first, int64_t count,
                      void *data) {
    int64_t pitch = t == KB_MLA_QUERY ? m->q_pitch : m->k_pitch,
            width = (t == KB_MLA_QUERY ? m->heads : m->kv_heads) * KB_MLA_QK;
    for (int64_t i = 0; pitch > width && i < count; i++)
        if ((first + i) % pitch >= width)
            put(m->dtype, data, i, NAN);
}

static void fill_cum(const int64_t *lens, int64_t first, int64_t count, int32_t *data) {
    int64_t sum = 0;
    for (int64_t b = 0; b < first + count; b++) {
        if (b >= first)
            data[b - first] = (int32_t)sum;
        sum += b < KB_MAX_LIST ? lens[b] : 0;
    }
}

void kb_mla_fill(const struct kb_problem *p, int t, uint64_t seed, int64_t first,
                 int64_t count, void *data) {
    struct kb_mla m = kb_mla_of(p->c);
    enum kb_fill fill = p->c->fill;
    if (t == KB_MLA_CUM_Q || t == KB_MLA_CUM_KV) {
        fill_cum(t == KB_MLA_CUM_Q ? m.q_lens : m.kv_lens, first, count, data);
        return;
    }
    bool masked = fill == KB_FILL_MASKED || fill == KB_FILL_FADED;
    bool own = is_measured(fill) || fill == KB_FILL_NAN || masked ||
               fill == KB_FILL_ZEROS || fill == KB_FILL_LARGE;
    kb_problem_fill(p, t, own ? KB_FILL_NORMAL : fill, seed, first, count, data);
    bool query = t == KB_MLA_QUERY;
    if (query && (is_measured(fill) || fill == KB_FILL_ZEROS))
        for (int64_t i = 0; i < count; i++)
            put(m.dtype, data, i, fill == KB_FILL_ZEROS ? 0 : 1);
    if (query && fill == KB_FILL_LARGE)
        for (int64_t i = 0; i < count; i++)
            put(m.dtype, data, i, 32 * kb_decode(m.dtype, kb_bits_at(m.dtype, data, i)));
    if (!query && (fill == KB_FILL_NAN || (is_measured(fill) && t == KB_MLA_KEY)))
        fill_keys(&m, fill, t, first, count, data);
    if (query && fill == KB_FILL_FADED)
        for (int64_t i = 0; i < count; i++)
            if ((first + i) % m.q_pitch % KB_MLA_QK == DECIDES)
                put(m.dtype, data, i, 1);
    if (masked && t == KB_MLA_KEY)
        shrink(&m, count, data);
    if (!query && masked)
        fill_masked(&m, fill == KB_FILL_FADED, t, first, count, data);
    if (t != KB_MLA_VALUE)
        fill_gaps(&m, t, first, count, data);
}
