/* silu_mul_quant_place.c - where halves, groups and scales of silu_mul_quant lie, and so
 * what a code is made of.
 *
 * Scales of one expert, of `rows` rows and `groups` groups, as they lie in memory:
 *     row      [rows][groups]                              fp32
 *     col      [groups][rows]                              fp32
 *     col_tma  [groups][rows up to a multiple of 4]        fp32, 16 bytes to a pitch
 *     packed   [groups / 4 up][rows up to a multiple of 4][4]   bytes of exponents: four
 *              groups of a row are the bytes of one int32, the first in its lowest byte
 * Experts follow each other. */
#include "ops/silu_mul_quant.h"

#include <math.h>

static int64_t groups_up(const struct kb_smq *q) {
    return q->scale_layout == KB_SMQ_PACKED ? (q->groups + 3) / 4 * 4 : q->groups;
}

int64_t kb_smq_half(const struct kb_smq *q, int64_t row, enum kb_smq_half half) {
    bool second = half == (q->layout == KB_SMQ_GATE_UP ? KB_SMQ_UP : KB_SMQ_GATE);
    return row * q->in_stride + second * q->hidden;
}

int64_t kb_smq_scales_per_expert(const struct kb_smq *q) {
    return q->scale_rows * groups_up(q);
}

struct kb_smq_place kb_smq_place_of(const struct kb_smq *q, int64_t element) {
    int64_t size = kb_smq_scales_per_expert(q), at = element % size;
    struct kb_smq_place place = {.expert = element / size};
    switch (q->scale_layout) {
    case KB_SMQ_ROW:
        place.row = at / q->groups;
        place.group = at % q->groups;
        break;
    case KB_SMQ_PACKED:
        place.row = at / 4 % q->scale_rows;
        place.group = at / (4 * q->scale_rows) * 4 + at % 4;
        break;
    default:
        place.row = at % q->scale_rows;
        place.group = at / q->scale_rows;
    }
    return place;
}

int64_t kb_smq_element_of(const struct kb_smq *q, struct kb_smq_place place) {
    int64_t block = place.expert * kb_smq_scales_per_expert(q);
    switch (q->scale_layout) {
    case KB_SMQ_ROW:
        return block + place.row * q->groups + place.group;
    case KB_SMQ_PACKED:
        return block + (place.group / 4 * q->scale_rows + place.row) * 4 + place.group % 4;
    default:
        return block + place.group * q->scale_rows + place.row;
    }
}

bool kb_smq_is_masked(const struct kb_smq *q, const void *const *in,
                      struct kb_smq_place place) {
    const int32_t *counts = in[KB_SMQ_COUNTS];
    return q->mask != KB_SMQ_MASK_NONE && place.row < q->rows &&
           place.row >= counts[place.expert];
}

static struct kb_source source_of(const char *name, enum kb_dtype dtype, const void *data,
                                  int64_t i) {
    return (struct kb_source){name, dtype, kb_decode(dtype, kb_bits_at(dtype, data, i))};
}

/* The column of the largest |y| of a group, the first of equals or of what is no number. */
static int64_t largest_of(const struct kb_smq *q, const void *input, int64_t token,
                          int64_t group) {
    struct kb_smq_group g = {.kind = KB_SMQ_FINITE};
    int64_t at = 0;
    kb_smq_group_at(q, input, NULL, token, group, &g);
    for (int64_t i = 1; i < q->group && !isnan(g.y[at]); i++)
        if (!(fabs(g.y[i]) <= fabs(g.y[at])))
            at = i;
    return group * q->group + at;
}

/* A code is made of its gate, its up and the scale that is stored for it; a scale of those
 * that make the group's largest, where it is no padding. */
int kb_smq_sources(const struct kb_problem *p, const void *const *in, int t, int64_t i,
                   struct kb_source *out) {
    struct kb_smq q = kb_smq_of(p->c);
    bool code = t == KB_SMQ_CODES;
    const void *input = in[KB_SMQ_INPUT], *scales = in[KB_SMQ_SCALES];
    int64_t token = i / q.hidden, col = i % q.hidden;
    struct kb_smq_place place = {token / q.rows, token % q.rows, col / q.group};
    int n = 0;
    if (!code) {
        place = kb_smq_place_of(&q, i);
        token = place.expert * q.rows + place.row;
    }
    if (place.row >= q.rows || place.group >= q.groups)
        return 0;
    if (!code)
        col = largest_of(&q, input, token, place.group);
    out[n++] = source_of("gate", q.dtype, input, kb_smq_half(&q, token, KB_SMQ_GATE) + col);
    out[n++] = source_of("up", q.dtype, input, kb_smq_half(&q, token, KB_SMQ_UP) + col);
    if (code && scales)
        out[n++] = source_of("y_s", p->tensors[KB_SMQ_SCALES].dtype, scales,
                             kb_smq_element_of(&q, place));
    if (q.mask != KB_SMQ_MASK_NONE)
        out[n++] = source_of("masked_m", KB_I32, in[KB_SMQ_COUNTS], place.expert);
    return n;
}
