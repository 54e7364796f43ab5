/* stream.c - right kernels of op stream: words, or bytes one by one. */
#include "controls/controls.h"

#include <string.h>

enum { INPUT, OUT };

static bool by_elements(const struct kb_control *control, const struct kb_problem *p,
                        const void *const *in, void *const *out) {
    enum kb_dtype dtype = p->c->dtype;
    int64_t n = p->tensors[OUT].elements, parts = p->tensors[INPUT].elements / n;

    (void)control;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = 0;
        for (int64_t part = parts - 1; part >= 0; part--)
            bits ^= kb_bits_at(dtype, in[INPUT], part * n + i);
        kb_bits_put(dtype, out[OUT], i, bits);
    }
    return true;
}

static bool by_bytes(const struct kb_control *control, const struct kb_problem *p,
                     const void *const *in, void *const *out) {
    size_t size = kb_dtype_bytes(p->c->dtype);
    size_t n = (size_t)p->tensors[OUT].elements * size;
    const unsigned char *from = in[INPUT];
    unsigned char *to = out[OUT];

    (void)control;
    memset(to, 0, n);
    for (size_t b = 0; b < (size_t)p->tensors[INPUT].elements * size; b++)
        to[b % n] ^= from[b];
    return true;
}

static const struct kb_control controls[] = {
    {.name = "elements", .run = by_elements},
    {.name = "bytes", .run = by_bytes},
};

static const struct kb_control_case cases[] = {
    {"stream", "256", "pattern=copy"},
    {"stream", "256", "pattern=r2w1"},
    {"stream", "256", "pattern=r2w05"},
};

const struct kb_controls KB_CONTROLS(stream) = {
    .controls = controls,
    .n_controls = KB_COUNT(controls),
    .cases = cases,
    .n_cases = KB_COUNT(cases),
};
