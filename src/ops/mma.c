/* mma.c - op mma: a product of matrices out of registers and shared memory, over and over:
 * what tensor cores do at most, a ceiling for the time of attention.
 *
 *     out[block][row] = steps * sum_n sum_k a[row][k] * b[n][k]
 *
 * with 128 rows, 256 columns and 32 bytes of depth, which is what one instruction takes.
 * Each block does the same, each step once more; the sum over the columns is there so that
 * each product counts and little is written.
 *
 * The inputs are not negative, so that a sum says how many steps there were. Tensor cores
 * cut sums off: to the 24 bits of an fp32, but to some 13 bits of products of 8-bit numbers
 * (DeepSeek-V3 technical report, 2024, section 3.5.2; an H100 loses 57 % over 2048 steps).
 * Each of `steps` additions of a depth loses up to that of the sum so far, which is at most
 * all of it; then fp32 adds up 256 columns, in any order. */
#include "op.h"

enum { ROWS = 128, COLUMNS = 256, DEPTH_BYTES = 32, MAX_STEPS = 1 << 16 };

static int64_t depth_of(const struct kb_case *c) {
    return DEPTH_BYTES / (int64_t)kb_dtype_bytes(c->dtype);
}

static bool resolve(const struct kb_case *c, struct kb_problem *p, struct kb_err *err) {
    int64_t depth = depth_of(c), flops;
    const int64_t a[] = {ROWS, depth}, b[] = {COLUMNS, depth};

    if (c->rank != 2)
        return kb_fail(err, KB_INPUT, "wants 2 axes, BLOCKSxSTEPS, got %d", c->rank);
    const int64_t out[] = {c->shape[0], ROWS};
    if (c->shape[1] < 1 || c->shape[1] > MAX_STEPS)
        return kb_fail(err, KB_INPUT, "steps must be 1 to %d, got %lld", MAX_STEPS,
                       (long long)c->shape[1]);
    if (!kb_problem_tensor(p, "a", KB_IN, c->dtype, 2, a, KB_RULE_BOUND, err) ||
        !kb_problem_tensor(p, "b", KB_IN, c->dtype, 2, b, KB_RULE_BOUND, err) ||
        !kb_problem_tensor(p, "out", KB_OUT, KB_FP32, 2, out, KB_RULE_BOUND, err))
        return false;
    if (!kb_mul_i64(2 * ROWS * COLUMNS * depth, c->shape[0], &flops) ||
        !kb_mul_i64(flops, c->shape[1], &flops))
        return kb_fail(err, KB_INPUT, "more operations than 64 bits count");
    kb_problem_name(p, "blocks", c->shape[0]);
    kb_problem_name(p, "steps", c->shape[1]);
    p->bytes = (ROWS + COLUMNS) * DEPTH_BYTES + 4 * p->tensors[2].elements;
    p->flops = flops;
    return true;
}

static void macros(const struct kb_case *c, struct kb_arena *arena,
                   struct kb_strings *out) {
    kb_macros_add(c, NULL, 0, arena, out);
}

/* The sign bit is the topmost of each dtype's. */
static void fill(const struct kb_problem *p, int t, uint64_t seed, int64_t first,
                 int64_t count, void *data) {
    enum kb_dtype dtype = p->tensors[t].dtype;
    uint32_t sign = 1u << (8 * kb_dtype_bytes(dtype) - 1);

    kb_problem_fill(p, t, p->c->fill, seed, first, count, data);
    for (int64_t i = 0; i < count; i++)
        kb_bits_put(dtype, data, i, kb_bits_at(dtype, data, i) & ~sign);
}

static double value_at(const struct kb_problem *p, const void *const *in, int t,
                       int64_t i) {
    return kb_decode(p->c->dtype, kb_bits_at(p->c->dtype, in[t], i));
}

static void reference(const struct kb_problem *p, const void *const *in,
                      const void *prepared, int t, int64_t first, int64_t count,
                      double *want, double *bound) {
    int64_t depth = depth_of(p->c);
    double steps = (double)p->c->shape[1], columns[DEPTH_BYTES] = {0};
    double lost = p->c->dtype == KB_E4M3 ? 0x1p-11 : 0x1p-23;

    (void)prepared, (void)t;
    for (int64_t i = 0; i < COLUMNS * depth; i++)
        columns[i % depth] += value_at(p, in, 1, i);
    for (int64_t i = 0; i < count; i++) {
        int64_t row = (first + i) % ROWS;
        want[i] = 0;
        for (int64_t k = 0; k < depth; k++)
            want[i] += steps * value_at(p, in, 0, row * depth + k) * columns[k];
        bound[i] = want[i] * (lost * (steps + (double)depth) + COLUMNS * 0x1p-24);
    }
}

static void peer_tolerance(enum kb_dtype dtype, enum kb_dtype out, double *atol,
                           double *rtol) {
    (void)dtype, (void)out;
    *atol = 0;
    *rtol = 1e-2;
}

static const char *const axes[] = {"blocks", "steps"};
static const enum kb_fill fills[] = {KB_FILL_NORMAL, KB_FILL_CONSTANT};

const struct kb_op kb_op_mma = {
    .name = "mma",
    .family = "mma",
    .shape_form = "BLOCKSxSTEPS",
    .sample = "2x4",
    .formula = "out[block][row] = steps * sum_n sum_k a[row][k] * b[n][k]",
    .catches =
        "fragments of a matrix instruction in the wrong place, a step too few or too\n"
        "many; it is the ceiling of attention's time",
    .dtypes = {KB_BF16, KB_FP16, KB_E4M3},
    .n_dtypes = 3,
    .fills = fills,
    .n_fills = KB_COUNT(fills),
    .axes = axes,
    .n_axes = KB_COUNT(axes),
    .fast_math_factor = 1,
    .resolve = resolve,
    .macros = macros,
    .fill = fill,
    .reference = reference,
    .peer_tolerance = peer_tolerance,
    .batch = "blocks",
};
