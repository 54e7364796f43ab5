/* mma.c - op mma: a product of matrices out of registers and shared memory, over and over:
 * what tensor cores do at most, a ceiling for the time of attention.
 *
 *     out[block][row] = steps * sum_n sum_k a[row][k] * b[n][k]
 *
 * with 128 rows, 256 columns and 32 bytes of depth, which is what one instruction takes.
 * Each block does the same, each step once more; the sum over the columns is there so that
 * each product counts and little is written.
 *
 * The inputs are not negative, so that a sum says how many steps there were; and each row
 * of a is 1, 2, 4, 8 or 16 times as large, so that a row in another's place shows even
 * where the bound is wide.
 *
 * The bound. An instruction aligns its sum so far and its products to the largest exponent
 * among them and cuts each off: at 13 fractional bits where the products are of 8-bit
 * numbers (Hopper, seen by many: DeepSeek-V3 technical report, 2024, section 3.5.2), else
 * at 23 or more. No term is negative, so one unit there is at most 2^-13 of what they add
 * up to. A step cuts depth + 1 terms and its result, and two more if it goes in halves: it
 * may lose the share u = (depth + 4) * 2^-13 of the sum s after it, and s >= (s before + p)
 * (1 - u), p being what it adds. Over all steps that is
 *
 *     s >= p (1 - u) (1 - (1 - u)^steps) / u
 *
 * where steps * p is wanted: about u * steps / 2 is lost of a few, and never all of it.
 * Rests are half a unit on average, which is a third of that (14 % of 256 steps on an
 * H200). Then fp32 adds up 256 columns, in any order. */
#include "op.h"

#include <math.h>

enum { ROWS = 128, COLUMNS = 256, DEPTH_BYTES = 32, MAX_STEPS = 1 << 16 };
enum { A, B };

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

/* Neighbours differ in it, and rows that are 8, 16, 32 or 64 apart. */
static double scale_of_row(int64_t row) {
    return ldexp(1, (int)((row + row / 8) % 5));
}

static void fill(const struct kb_problem *p, int t, uint64_t seed, int64_t first,
                 int64_t count, void *data) {
    enum kb_dtype dtype = p->c->dtype;
    int64_t depth = depth_of(p->c);

    kb_problem_fill(p, t, p->c->fill, seed, first, count, data);
    for (int64_t i = 0; i < count; i++) {
        double scale = t == A ? scale_of_row((first + i) / depth) : 1;
        double value = fabs(kb_decode(dtype, kb_bits_at(dtype, data, i)));
        kb_bits_put(dtype, data, i, kb_encode(dtype, scale * value));
    }
}

static double value_at(const struct kb_problem *p, const void *const *in, int t,
                       int64_t i) {
    return kb_decode(p->c->dtype, kb_bits_at(p->c->dtype, in[t], i));
}

/* The share of the sum that `steps` steps may lose. */
static double share_lost(const struct kb_case *c) {
    double cut = c->dtype == KB_E4M3 ? 0x1p-13 : 0x1p-23;
    double steps = (double)c->shape[1], u = ((double)depth_of(c) + 4) * cut;
    return 1 - (1 - u) * -expm1(steps * log1p(-u)) / (u * steps);
}

static void reference(const struct kb_problem *p, const void *const *in,
                      const void *prepared, int t, int64_t first, int64_t count,
                      double *want, double *bound) {
    int64_t depth = depth_of(p->c);
    double steps = (double)p->c->shape[1], columns[DEPTH_BYTES] = {0};
    double share = share_lost(p->c) + COLUMNS * 0x1p-24;

    (void)prepared, (void)t;
    for (int64_t i = 0; i < COLUMNS * depth; i++)
        columns[i % depth] += value_at(p, in, B, i);
    for (int64_t i = 0; i < count; i++) {
        int64_t row = (first + i) % ROWS;
        want[i] = 0;
        for (int64_t k = 0; k < depth; k++)
            want[i] += steps * value_at(p, in, A, row * depth + k) * columns[k];
        bound[i] = want[i] * share;
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
