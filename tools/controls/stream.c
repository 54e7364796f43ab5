/* stream.c - right kernels of op stream: elements from the last to the first, or bytes one
 * by one. */
#include "controls/controls.h"

#include <string.h>

enum { INPUT, OUT };

/* Bytes of the input that come to one output of read. */
enum { READ_BYTES = 4096 };

static bool is_pattern(const struct kb_problem *p, const char *word) {
    return kb_streq(p->ceiling_pattern, word);
}

static uint32_t number_of(int64_t i, size_t size) {
    uint32_t bits = 0;
    for (size_t shift = 0; shift < 64; shift += 8 * size)
        bits ^= (uint32_t)((uint64_t)i >> shift);
    return size == 2 ? bits & 0xffff : bits;
}

static bool by_elements(const struct kb_control *control, const struct kb_problem *p,
                        const void *const *in, void *const *out) {
    enum kb_dtype dtype = p->c->dtype;
    size_t size = kb_dtype_bytes(dtype);
    int64_t n = p->tensors[OUT].elements, elements = p->tensors[INPUT].elements;

    (void)control;
    for (int64_t i = 0; i < n; i++)
        kb_bits_put(dtype, out[OUT], i,
                    is_pattern(p, "write")
                        ? kb_bits_at(dtype, in[INPUT], 0) ^ number_of(i, size)
                        : 0);
    for (int64_t i = elements - 1; !is_pattern(p, "write") && i >= 0; i--) {
        int64_t at = is_pattern(p, "read") ? i / (READ_BYTES / (int64_t)size) : i % n;
        kb_bits_put(dtype, out[OUT], at,
                    kb_bits_at(dtype, out[OUT], at) ^ kb_bits_at(dtype, in[INPUT], i));
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
    for (size_t b = 0; is_pattern(p, "write") && b < n; b++) /* of little-endian numbers */
        to[b] = from[b % size] ^
                (unsigned char)(number_of((int64_t)(b / size), size) >> 8 * (b % size));
    for (size_t b = 0;
         !is_pattern(p, "write") && b < (size_t)p->tensors[INPUT].elements * size; b++)
        to[is_pattern(p, "read") ? b / READ_BYTES * size + b % size : b % n] ^= from[b];
    return true;
}

static const struct kb_control controls[] = {
    {.name = "elements", .run = by_elements},
    {.name = "bytes", .run = by_bytes},
};

static const struct kb_control_case cases[] = {
    {"stream", "256", "pattern=copy"},   {"stream", "256", "pattern=r2w1"},
    {"stream", "256", "pattern=r2w05"},  {"stream", "4097", "pattern=read"},
    {"stream", "4097", "pattern=write"},
};

const struct kb_controls KB_CONTROLS(stream) = {
    .controls = controls,
    .n_controls = KB_COUNT(controls),
    .cases = cases,
    .n_cases = KB_COUNT(cases),
};
