/* silu_mul_quant_fill.c - inputs of silu_mul_quant: gates, ups, and the counts of a mask.
 *
 * Each half is a tensor of its own to the generator, [tokens, hidden], so that swapped
 * halves show. A group counts as a whole: its largest product decides about all its codes.
 * So most fills here are made group by group, four kinds of group by turns along both axes
 * (kind (row + group) % 4), and a tensor of four rows has all of them:
 *     zeros, tiny  one of gate and up is normal, else every output is zero; against a tiny
 *                  number stands a large one that brings the product back to about 1
 *     nan      a NaN or infinity in 64; a single infinite up; none in the other two
 *     ramp     N(0,1), ups times 2^(row % 16 + group % 8 - 12): what takes another row's or
 *              group's scale is off by a factor
 *     sparse   N(0,1); zeros of both signs, half of them by a gate of -200; one number
 *              among zeros; products from 1e-4 down to 1e-13, on both sides of any floor
 *     edges    amax exactly 448 * 2^n; just above and just below it, as near as numbers of
 *              the dtype have products there, where log2f of a float rounds to a whole
 *              number; and one step of the dtype away from it
 * Between rows that a pitch keeps apart is NaN. */
#include "ops/silu_mul_quant.h"

#include <math.h>
#include <string.h>

enum { CHUNK = KB_SMQ_GROUP_MAX };
enum { STREAM_GROUP = 1, STREAM_COUNTS }; /* of random words */

/* Elements [col, col + n) of one half of a row; of one group, where the fill minds groups.
 */
struct part {
    const struct kb_smq *q;
    uint64_t seed;
    enum kb_smq_half half;
    int64_t row, col, n;
    void *data;
};

static int64_t group_of(const struct part *p) {
    return p->col / p->q->group;
}

static int kind_of(const struct part *p) {
    return (int)((p->row + group_of(p)) % 4);
}

static struct kb_fill_key key_of(const struct part *p, enum kb_fill fill) {
    return (struct kb_fill_key){
        .seed = p->seed,
        .tensor = p->half == KB_SMQ_UP ? "up" : "gate",
        .fill = fill,
        .row = p->q->hidden,
    };
}

static void put_fill(const struct part *p, enum kb_fill fill) {
    struct kb_fill_key key = key_of(p, fill);
    kb_fill_range(&key, p->q->dtype, p->row * key.row + p->col, p->n, p->data);
}

/* N(0,1) in the dtype, as numbers. */
static void normals(const struct part *p, double out[CHUNK]) {
    uint16_t elements[CHUNK];
    struct kb_fill_key key = key_of(p, KB_FILL_NORMAL);
    kb_fill_range(&key, p->q->dtype, p->row * key.row + p->col, p->n, elements);
    kb_decode_range(p->q->dtype, elements, 0, p->n, out);
}

static void put(const struct part *p, const double *values) {
    kb_encode_range(p->q->dtype, values, p->n, p->data, 0);
}

/* Random words of the part's group, the same for both halves. */
static void words_of(const struct part *p, uint32_t words[4]) {
    kb_philox(p->seed, STREAM_GROUP, (uint64_t)(p->row * p->q->groups + group_of(p)),
              words);
}

/* The column of the group's one element. */
static int64_t chosen(const struct part *p, const uint32_t words[4]) {
    return group_of(p) * p->q->group + (int64_t)(words[0] % (uint32_t)p->q->group);
}

/* ---- fills -----------------------------------------------------------------------------
 */

static void put_scaled(const struct part *p, double scale) {
    double v[CHUNK];
    normals(p, v);
    for (int64_t i = 0; i < p->n; i++)
        v[i] *= scale;
    put(p, v);
}

/* Bit k of `holds`: the fill holds where (row + column) % 4 is k, elsewhere a normal. */
static void put_mixed(const struct part *p, enum kb_fill fill, unsigned holds,
                      double scale) {
    double v[CHUNK];
    normals(p, v);
    put_fill(p, fill);
    for (int64_t i = 0; i < p->n; i++)
        if (!(holds >> (p->row + p->col + i) % 4 & 1))
            kb_bits_put(p->q->dtype, p->data, i, kb_encode(p->q->dtype, v[i] * scale));
}

static void put_nan(const struct part *p) {
    uint32_t words[4];
    int64_t at;
    put_fill(p, kind_of(p) == 0 ? KB_FILL_NAN : KB_FILL_NORMAL);
    words_of(p, words);
    at = chosen(p, words) - p->col;
    if (kind_of(p) == 1 && p->half == KB_SMQ_UP && at >= 0 && at < p->n)
        kb_bits_put(p->q->dtype, p->data, at,
                    kb_encode(p->q->dtype, words[1] & 1 ? INFINITY : -INFINITY));
}

static void put_ramp(const struct part *p) {
    int power = (int)(p->row % 16 + group_of(p) % 8) - 12;
    put_scaled(p, p->half == KB_SMQ_UP ? ldexp(1, power) : 1);
}

static void put_sparse(const struct part *p) {
    bool up = p->half == KB_SMQ_UP;
    double v[CHUNK];
    uint32_t words[4];
    int kind = kind_of(p);

    words_of(p, words);
    normals(p, v);
    if (kind == 1 && words[1] & 1) /* by the gate */
        for (int64_t i = 0; i < p->n; i++)
            v[i] = up ? v[i] : -200;
    else if ((kind == 1 || kind == 2) && up)
        for (int64_t i = 0; i < p->n; i++)
            v[i] = kind == 2 && p->col + i == chosen(p, words) ? 1 + fabs(v[i])
                                                               : copysign(0, v[i]);
    else if (kind == 2)
        for (int64_t i = 0; i < p->n; i++)
            v[i] = 1 + fabs(v[i]);
    else if (kind == 3)
        for (int64_t i = 0; i < p->n; i++)
            v[i] *= ldexp(1, -6 - (int)(words[2] % 17));
    put(p, v);
}

/* A gate and an up whose product silu(gate) * up lies at 1.75 * 2^exponent. */
struct edge {
    double gate, up;
    int exponent;
};

/* fp16 has pairs 1e-6 above and below; scaled by 2^-14 their products are about 1e-9, more
 * than the floor of amax. bf16 has one so near below, and 7e-5 above. */
static const struct edge above_fp16[] = {
    {0x1.084p-14, 1736 / 1024.0, -15}, {0x1.114p-10, 1678 / 1024.0, -11},
    {0x1.314p-10, 1502 / 1024.0, -11}, {0x1.5ap-10, 1325 / 1024.0, -11},
    {-0x1.2p-13, 1593 / 1024.0, -14},  {-0x1.804p-13, 1194 / 1024.0, -14},
    {-0x1.6bp-12, 1264 / 1024.0, -13},
};
static const struct edge below_fp16[] = {
    {0x1.1fp-11, 1598 / 1024.0, -12},
    {-0x1.d2p-14, 1969 / 1024.0, -14},
    {-0x1.81p-11, 1192 / 1024.0, -12},
    {-0x1.d1p-11, 1974 / 1024.0, -11},
};
static const struct edge above_bf16[] = {{20.25, 177 / 128.0, 4}};
static const struct edge below_bf16[] = {{14, 1, 3}};

static struct edge pick(const struct edge *edges, size_t n, uint32_t word) {
    return edges[word % n];
}

/* The pair that makes the group's amax, with its power of two. */
static struct edge edge_of(const struct part *p, const uint32_t words[4]) {
    bool half = p->q->dtype == KB_FP16;
    int kind = kind_of(p), power;
    struct edge e = {28, 1, 4};

    if (kind == 1)
        e = half ? pick(above_fp16, KB_COUNT(above_fp16), words[1]) : above_bf16[0];
    else if (kind == 2)
        e = half ? pick(below_fp16, KB_COUNT(below_fp16), words[1]) : below_bf16[0];
    else if (kind == 3)
        e.gate += (words[1] & 1 ? 1 : -1) * kb_ulp(p->q->dtype, e.gate);
    if (kind == 0 || kind == 3) /* within fp16 after the product, too */
        power = (int)(words[2] % 16) - 8 - (half ? 4 : 0);
    else
        power = half ? -14 : 64 + (int)(words[2] % 40);
    e.up = ldexp(words[1] & 2 ? -e.up : e.up, power);
    return e;
}

/* The others have a 64th of it by the up and six times it by the gate, at most: the
 * deviates end at 6.3. */
static void put_edges(const struct part *p) {
    bool up = p->half == KB_SMQ_UP;
    double v[CHUNK];
    uint32_t words[4];

    words_of(p, words);
    struct edge e = edge_of(p, words);
    normals(p, v);
    for (int64_t i = 0; i < p->n; i++)
        v[i] *= up ? e.up / 64 : fmin(fabs(e.gate), 1);
    int64_t at = chosen(p, words) - p->col;
    if (at >= 0 && at < p->n)
        v[at] = up ? e.up : e.gate;
    put(p, v);
}

static void put_part(const struct part *p, enum kb_fill fill) {
    bool up = p->half == KB_SMQ_UP;
    double lift = p->q->dtype == KB_FP16 ? 0x1p12 : 0x1p124;
    switch (fill) {
    case KB_FILL_ZEROS:
        put_mixed(p, fill, up ? 0x6 : 0x5, 1);
        return;
    case KB_FILL_TINY:
        put_mixed(p, fill, up ? 0xa : 0x5, lift);
        return;
    case KB_FILL_NAN:
        put_nan(p);
        return;
    case KB_FILL_RAMP:
        put_ramp(p);
        return;
    case KB_FILL_SPARSE:
        put_sparse(p);
        return;
    case KB_FILL_EDGES:
        put_edges(p);
        return;
    default:
        put_fill(p, fill == KB_FILL_PATTERNS && up ? KB_FILL_NORMAL : fill);
        if (fill == KB_FILL_NORMAL && isfinite(p->q->limit))
            put_scaled(p, 2 * p->q->limit);
    }
}

/* Does it take halves of rows as they come, and no notice of groups? */
static bool is_plain(const struct kb_smq *q, enum kb_fill fill) {
    return fill == KB_FILL_NORMAL ? isinf(q->limit)
                                  : fill == KB_FILL_LARGE || fill == KB_FILL_OUTLIERS ||
                                        fill == KB_FILL_CONSTANT || fill == KB_FILL_BITS ||
                                        fill == KB_FILL_PATTERNS;
}

/* Elements [start, stop) of a row, of one half and one group or of what lies behind. */
static void fill_stretch(const struct kb_smq *q, enum kb_fill fill, uint64_t seed,
                         int64_t row, int64_t start, int64_t stop, void *data) {
    bool second = start >= q->hidden;
    struct part p = {
        .q = q,
        .seed = seed,
        .half = second == (q->layout == KB_SMQ_GATE_UP) ? KB_SMQ_UP : KB_SMQ_GATE,
        .row = row,
        .col = start - second * q->hidden,
        .n = stop - start,
        .data = data,
    };
    if (start < 2 * q->hidden)
        put_part(&p, fill);
    for (int64_t i = 0; start >= 2 * q->hidden && i < stop - start; i++)
        kb_bits_put(q->dtype, data, i, kb_encode(q->dtype, NAN));
}

/* One stretch after the other, from `first` on: rows are whole numbers of them, and the
 * rest is one more. */
static void fill_input(const struct kb_problem *problem, uint64_t seed, int64_t first,
                       int64_t count, void *data) {
    const struct kb_smq q = kb_smq_of(problem->c);
    int64_t size = is_plain(&q, problem->c->fill) ? q.hidden : q.group;
    int64_t in_row = 2 * q.hidden / size, parts = in_row + (q.in_stride > 2 * q.hidden);
    int64_t from = first / q.in_stride, to = (first + count - 1) / q.in_stride + 1;
#pragma omp parallel for schedule(static) num_threads(kb_threads(count))
    for (int64_t i = from * parts; i < to * parts; i++) {
        int64_t row = i / parts, part = i % parts, origin = row * q.in_stride;
        int64_t start = part * size, stop = part < in_row ? start + size : q.in_stride;
        start = origin + start > first ? start : first - origin;
        stop = origin + stop < first + count ? stop : first + count - origin;
        if (start < stop)
            fill_stretch(&q, problem->c->fill, seed, row, start, stop,
                         (char *)data +
                             (size_t)(origin + start - first) * kb_dtype_bytes(q.dtype));
    }
}

/* ---- counts ----------------------------------------------------------------------------
 */

static int64_t count_of(const struct kb_smq *q, uint64_t seed, int64_t expert) {
    uint32_t words[4], first[4];
    kb_philox(seed, STREAM_COUNTS, (uint64_t)expert, words);
    kb_philox(seed, STREAM_COUNTS, 0, first);
    int64_t full = first[3] % q->experts; /* the expert that is full, where one is */
    switch (q->mask) {
    case KB_SMQ_MASK_FULL:
        return q->rows;
    case KB_SMQ_MASK_BALANCED:
        return q->rows / 2 + (int64_t)(words[0] % (uint64_t)(q->rows / 4 + 1)) -
               q->rows / 8;
    case KB_SMQ_MASK_IMBALANCED: /* one is full and one is empty */
        if (expert == full)
            return q->rows;
        return expert == (full + 1) % q->experts
                   ? 0
                   : (int64_t)(words[0] % (uint64_t)(q->rows + 1));
    default:
        return expert == full ? q->rows : 0;
    }
}

void kb_smq_fill(const struct kb_problem *p, int t, uint64_t seed, int64_t first,
                 int64_t count, void *data) {
    const struct kb_smq q = kb_smq_of(p->c);
    int32_t *counts = data;
    if (count && t == KB_SMQ_INPUT)
        fill_input(p, seed, first, count, data);
    for (int64_t i = 0; t == KB_SMQ_COUNTS && i < count; i++)
        counts[i] = (int32_t)count_of(&q, seed, first + i);
    /* outputs start as poison */
}
