/* stream.c - op stream: the bytes of another op without its maths, a ceiling for its time.
 *
 * Formula, on the bits of the elements of the flat input of n elements:
 *     copy   out[i] = in[i]                                              n in, n out
 *     r2w1   out[i] = in[i] ^ in[n/2+i]                                  n in, n/2 out
 *     r2w05  out[i] = in[i] ^ in[n/4+i] ^ in[n/2+i] ^ in[3n/4+i]         n in, n/4 out
 *
 * An exclusive or costs a GPU nothing and needs every bit that is read, so no compiler and
 * no kernel can leave a load out. Bits are compared, NaN or not: a kernel that goes through
 * floats, and quiets a NaN or flushes a subnormal on the way, is wrong. */
#include "op.h"

enum { COPY, R2W1, R2W05 };

/* How many inputs meet in one output. */
static const int parts_of[] = {[COPY] = 1, [R2W1] = 2, [R2W05] = 4};
static const char *const pattern_words[] = {
    [COPY] = "copy", [R2W1] = "r2w1", [R2W05] = "r2w05"};
static const char *const part_words[] = {
    [COPY] = "copies", [R2W1] = "halves", [R2W05] = "quarters"};

static const struct kb_param params[] = {
    {
        .name = "pattern",
        .help = "elements read for one written: 1, 2 or 4",
        .kind = KB_PARAM_WORD,
        .words = "copy,r2w1,r2w05",
        .def = R2W1,
    },
};

static int pattern_of(const struct kb_case *c) {
    return (int)c->set[0].v;
}

static bool resolve(const struct kb_case *c, struct kb_problem *p, struct kb_err *err) {
    int pattern = pattern_of(c), parts = parts_of[pattern], axis = c->rank - 1;
    int64_t last = c->shape[axis], out_shape[KB_MAX_RANK];
    if (!last)
        return kb_fail(err, KB_INPUT, "the last axis must be at least %d, got 0", parts);
    if (last % parts)
        return kb_fail(err, KB_INPUT,
                       "pattern %s %s the last axis, %lld is no multiple of %d",
                       pattern_words[pattern], part_words[pattern], (long long)last, parts);
    for (int i = 0; i < c->rank; i++)
        out_shape[i] = c->shape[i];
    out_shape[axis] = last / parts;
    if (!kb_problem_tensor(p, "input", KB_IN, c->dtype, c->rank, c->shape, KB_RULE_EXACT,
                           err) ||
        !kb_problem_tensor(p, "out", KB_OUT, c->dtype, c->rank, out_shape, KB_RULE_EXACT,
                           err))
        return false;
    int64_t elements = p->tensors[0].elements, out_elements = p->tensors[1].elements;
    kb_problem_name(p, "elements", elements);
    kb_problem_name(p, "out_elements", out_elements);
    p->bytes = (elements + out_elements) * (int64_t)kb_dtype_bytes(c->dtype);
    p->ceiling_pattern = pattern_words[pattern];
    p->ceiling_elements = elements;
    return true;
}

static void macros(const struct kb_case *c, struct kb_arena *arena,
                   struct kb_strings *out) {
    const struct kb_macro list[] = {
        {.name = "KB_PATTERN", .value = pattern_of(c)},
    };
    kb_macros_add(c, list, KB_COUNT(list), arena, out);
}

static void fill(const struct kb_problem *p, int t, uint64_t seed, int64_t first,
                 int64_t count, void *data) {
    kb_problem_fill(p, t, p->c->fill, seed, first, count, data);
}

static void reference(const struct kb_problem *p, const void *const *in,
                      const void *prepared, int t, int64_t first, int64_t count,
                      double *want, double *bound) {
    (void)prepared;
    enum kb_dtype dtype = p->c->dtype;
    int parts = parts_of[pattern_of(p->c)];
    int64_t stride = p->tensors[t].elements;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = 0;
        for (int part = 0; part < parts; part++)
            bits ^= kb_bits_at(dtype, in[0], first + i + part * stride);
        want[i] = (double)bits;
        bound[i] = 0;
    }
}

static void peer_tolerance(enum kb_dtype dtype, enum kb_dtype out, double *atol,
                           double *rtol) {
    (void)dtype, (void)out;
    *atol = *rtol = 0;
}

static const enum kb_fill fills[] = {KB_FILL_BITS, KB_FILL_NORMAL, KB_FILL_NAN};

const struct kb_op kb_op_stream = {
    .name = "stream",
    .family = "stream",
    .shape_form = "ELEMENTS",
    .sample = "64",
    .formula = "copy: in[i]; r2w1: in[i] ^ in[n/2+i]; r2w05: the same over four quarters",
    .catches = "an element missed, repeated or moved; bits changed on the way through a\n"
               "float (NaN payloads, subnormals)",
    .dtypes = {KB_BF16, KB_FP16, KB_FP32},
    .n_dtypes = 3,
    .params = params,
    .n_params = KB_COUNT(params),
    .fills = fills,
    .n_fills = KB_COUNT(fills),
    .fast_math_factor = 1,
    .resolve = resolve,
    .macros = macros,
    .fill = fill,
    .reference = reference,
    .peer_tolerance = peer_tolerance,
};
