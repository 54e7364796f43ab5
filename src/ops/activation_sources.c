/* activation_sources.c - what a result of silu, gelu and gelu_tanh is made of: its gate,
 * its up, and the ids that decide whether its row is computed. */
#include "ops/activation.h"

static struct kb_source source_of(const char *name, enum kb_dtype dtype, const void *data,
                                  int64_t i) {
    return (struct kb_source){name, dtype, kb_decode(dtype, kb_bits_at(dtype, data, i))};
}

int kb_activation_sources(const struct kb_problem *p, const void *const *in, int t,
                          int64_t i, struct kb_source *out) {
    (void)t; /* there is one output */
    struct kb_activation a = kb_activation_of(p->c);
    int64_t width = kb_activation_stride(&a), row = i / width, col = i % width;
    const void *input = in[KB_ACT_INPUT];
    int n = 0;
    if (col >= (a.inplace ? 2 : 1) * a.hidden) /* between rows */
        return 0;
    col %= a.hidden;
    out[n++] =
        source_of("gate", a.dtype, input, kb_activation_half(&a, row, KB_GATE) + col);
    out[n++] = source_of("up", a.dtype, input, kb_activation_half(&a, row, KB_UP) + col);
    if (a.filter >= KB_FILTER_IDS)
        out[n++] = source_of("expert_ids", KB_I32, in[KB_ACT_EXPERTS], row / a.step);
    if (a.filter >= KB_FILTER_SORTED)
        out[n++] = source_of("sorted_token_ids", KB_I32, in[KB_ACT_SORTED], row);
    return n;
}
