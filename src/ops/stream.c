/* stream.c - op stream: the bytes of another op without its maths, a ceiling for its time.
 *
 * Formula, on the bits of the elements, of a shape of n elements:
 *     copy   out[i] = in[i]                                              n in, n out
 *     r2w1   out[i] = in[i] ^ in[n/2+i]                                  n in, n/2 out
 *     r2w05  out[i] = in[i] ^ in[n/4+i] ^ in[n/2+i] ^ in[3n/4+i]         n in, n/4 out
 *     read   out[j] = in[i] ^ ... of the j-th 4096 bytes                 n in, few out
 *     write  out[i] = in[0] ^ i ^ i >> 16 ^ i >> 32 ^ i >> 48            1 in, n out
 *     none   nothing, in the blocks of a copy of n elements              0 in, 0 out
 *
 * (of 32-bit elements, out[i] = in[0] ^ i ^ i >> 32.) An exclusive or costs a GPU nothing
 * and needs every bit that is read, so no compiler and no kernel can leave a load out. Bits
 * are compared, NaN or not: a kernel that goes through floats, and quiets a NaN or flushes
 * a subnormal on the way, is wrong. */
#include "op.h"

enum { COPY, R2W1, R2W05, READ, WRITE, NONE };
enum { READ_BYTES = 4096 }; /* that come to one element: a vector for each of 256 threads */

/* How many inputs meet in one output, where outputs are a part of the last axis. */
static const struct {
    const char *word;
    int parts;
    const char *divides;
} patterns[] = {
    [COPY] = {"copy", 1, "copies"},     [R2W1] = {"r2w1", 2, "halves"},
    [R2W05] = {"r2w05", 4, "quarters"}, [READ] = {"read", 1, "reads"},
    [WRITE] = {"write", 1, "writes"},   [NONE] = {"none", 1, "leaves"},
};

static const struct kb_param params[] = {
    {
        .name = "pattern",
        .help =
            "elements read for one written: 1, 2 or 4, reads or writes alone, or blocks "
            "that do nothing",
        .kind = KB_PARAM_WORD,
        .words = "copy,r2w1,r2w05,read,write,none",
        .def = R2W1,
    },
};

static int pattern_of(const struct kb_case *c) {
    return (int)c->set[0].v;
}

/* Neither of the tensors is there; *elements: those of the shape. */
static bool add_none(const struct kb_case *c, struct kb_problem *p, int64_t *elements,
                     struct kb_err *err) {
    const int64_t none[] = {0};

    if (!kb_problem_tensor(p, "input", KB_IN, c->dtype, c->rank, c->shape, KB_RULE_EXACT,
                           err))
        return false;
    *elements = p->tensors[0].elements;
    kb_problem_absent(p);
    return kb_problem_tensor(p, "out", KB_OUT, c->dtype, 1, none, KB_RULE_EXACT, err);
}

static bool add_tensors(const struct kb_case *c, struct kb_problem *p, struct kb_err *err) {
    int pattern = pattern_of(c), in_rank = pattern == WRITE ? 1 : c->rank;
    int out_rank = pattern == READ ? 1 : c->rank;
    int64_t in[KB_MAX_RANK] = {0}, out[KB_MAX_RANK] = {0};

    for (int i = 0; i < c->rank; i++)
        in[i] = out[i] = c->shape[i];
    out[c->rank - 1] /= patterns[pattern].parts;
    if (pattern == WRITE)
        in[0] = 1;
    if (!kb_problem_tensor(p, "input", KB_IN, c->dtype, in_rank, in, KB_RULE_EXACT, err))
        return false;
    if (pattern == READ) {
        int64_t each = READ_BYTES / (int64_t)kb_dtype_bytes(c->dtype);
        out[0] = (p->tensors[0].elements + each - 1) / each;
    }
    return kb_problem_tensor(p, "out", KB_OUT, c->dtype, out_rank, out, KB_RULE_EXACT, err);
}

static bool resolve(const struct kb_case *c, struct kb_problem *p, struct kb_err *err) {
    int pattern = pattern_of(c), parts = patterns[pattern].parts;
    int64_t last = c->shape[c->rank - 1];

    if (!last)
        return kb_fail(err, KB_INPUT, "the last axis must be at least %d, got 0", parts);
    if (last % parts)
        return kb_fail(
            err, KB_INPUT, "pattern %s %s the last axis, %lld is no multiple of %d",
            patterns[pattern].word, patterns[pattern].divides, (long long)last, parts);
    int64_t blank = 0;
    if (!(pattern == NONE ? add_none(c, p, &blank, err) : add_tensors(c, p, err)))
        return false;
    int64_t in = p->tensors[0].elements, out = p->tensors[1].elements;
    if (pattern == NONE) {
        kb_problem_name(p, "elements", blank);
        kb_problem_name(p, "out_elements", 0);
        return true;
    }
    kb_problem_name(p, "elements", pattern == WRITE ? out : in);
    kb_problem_name(p, "out_elements", out);
    p->bytes = (in + out) * (int64_t)kb_dtype_bytes(c->dtype);
    p->ceiling_pattern = patterns[pattern].word;
    p->ceiling_elements = pattern == WRITE ? out : in;
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

/* An element's bits of what tells element `i` from others. */
static uint32_t folded(enum kb_dtype dtype, int64_t i) {
    uint32_t bits = (uint32_t)(i ^ i >> 32);
    return kb_dtype_bytes(dtype) == 4 ? bits : (bits ^ bits >> 16) & 0xffff;
}

/* The exclusive or of `n` elements from `first` on, `step` apart. */
static uint32_t joined(enum kb_dtype dtype, const void *in, int64_t first, int64_t step,
                       int64_t n) {
    uint32_t bits = 0;
    for (int64_t i = 0; i < n; i++)
        bits ^= kb_bits_at(dtype, in, first + i * step);
    return bits;
}

static void reference(const struct kb_problem *p, const void *const *in,
                      const void *prepared, int t, int64_t first, int64_t count,
                      double *want, double *bound) {
    enum kb_dtype dtype = p->c->dtype;
    int pattern = pattern_of(p->c);
    int64_t each = READ_BYTES / (int64_t)kb_dtype_bytes(dtype);
    int64_t elements = p->tensors[0].elements;

    (void)prepared;
    for (int64_t i = first; i < first + count; i++) {
        int64_t left = elements - i * each;
        uint32_t bits =
            pattern == WRITE ? kb_bits_at(dtype, in[0], 0) ^ folded(dtype, i)
            : pattern == READ
                ? joined(dtype, in[0], i * each, 1, left < each ? left : each)
                : joined(dtype, in[0], i, p->tensors[t].elements, patterns[pattern].parts);
        want[i - first] = (double)bits;
        bound[i - first] = 0;
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
    .formula =
        "copy: in[i]; r2w1: in[i] ^ in[n/2+i]; r2w05: over four quarters; read: over "
        "4096 bytes; write: in[0] ^ i; none: nothing",
    .catches = "an element missed, repeated or, but within 4096 bytes of read, moved; bits "
               "changed\n"
               "on the way through a float (NaN payloads, subnormals)",
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
