/* mma_test.c - op mma: sizes, sums against plain loops, and what is refused. */
#include "ops/op_fixture.h"

enum { ROWS = 128, COLUMNS = 256 };

static void the_depth_is_32_bytes_whatever_the_dtype(void **state) {
    (void)state;
    static const struct {
        enum kb_dtype dtype;
        int64_t depth;
    } rows[] = {{KB_BF16, 16}, {KB_FP16, 16}, {KB_E4M3, 32}};
    for (size_t i = 0; i < KB_COUNT(rows); i++) {
        struct kb_case c = op_case("mma", "3x7", rows[i].dtype, "");
        struct kb_problem p;
        resolve(&c, &p);
        assert_int_equal(p.tensors[0].shape[1], rows[i].depth);
        assert_int_equal(p.tensors[1].shape[0], COLUMNS);
        assert_int_equal(p.tensors[2].elements, 3 * ROWS);
        assert_int_equal(p.flops, 2 * ROWS * COLUMNS * rows[i].depth * 3 * 7);
        assert_int_equal(p.bytes, (ROWS + COLUMNS) * 32 + 4 * 3 * ROWS);
    }
}

static void no_input_is_negative(void **state) {
    (void)state;
    struct kb_case c = op_case("mma", "1x1", KB_E4M3, "");
    struct kb_problem p;
    unsigned char a[ROWS * 32];
    resolve(&c, &p);
    c.op->fill(&p, 0, 1, 0, ROWS * 32, a);
    for (int i = 0; i < ROWS * 32; i++)
        assert_true(a[i] < 0x80);
}

/* a[row][k] = row + k / 16, b[n][k] = n % 4: out = steps * 384 * (16 row + 7.5) */
static void out_is_the_sum_of_a_row_of_the_product_times_the_steps(void **state) {
    (void)state;
    struct kb_case c = op_case("mma", "2x5", KB_BF16, "");
    struct kb_problem p;
    unsigned char a[2 * ROWS * 16], b[2 * COLUMNS * 16];
    const void *const in[] = {a, b, NULL};
    double want[2 * ROWS], bound[2 * ROWS];
    resolve(&c, &p);
    for (int i = 0; i < ROWS * 16; i++)
        kb_bits_put(KB_BF16, a, i, kb_encode(KB_BF16, i / 16 % 8 + i % 16 / 16.0));
    for (int i = 0; i < COLUMNS * 16; i++)
        kb_bits_put(KB_BF16, b, i, kb_encode(KB_BF16, i / 16 % 4));
    c.op->reference(&p, in, NULL, 2, 0, 2 * ROWS, want, bound);
    for (int i = 0; i < 2 * ROWS; i++) {
        double one = 384 * (16 * (i % ROWS % 8) + 7.5);
        assert_true(want[i] == 5 * one);
        assert_true(bound[i] > 0 && bound[i] < 0.001 * one); /* a step is far past it */
    }
}

/* ---- a sum of few bits ----------------------------------------------------------------
 */

enum { DEPTH = 32, CUT = 13 };

/* As an instruction of Hopper does it: all terms are aligned to the largest exponent and
 * cut off, then their sum. */
static double step_of(double sum, const double *products) {
    double most = sum, added = 0;
    for (int k = 0; k < DEPTH; k++)
        most = fmax(most, products[k]);
    double units = ldexp(1, CUT - ilogb(most));
    for (int k = 0; k < DEPTH; k++)
        added += floor(products[k] * units);
    added = (added + floor(sum * units)) / units;
    units = ldexp(1, CUT - ilogb(added));
    return floor(added * units) / units;
}

/* The output of a row out of such sums. */
static double truncating(const unsigned char *a, const unsigned char *b, int row,
                         int steps) {
    double out = 0, sum = 0;
    for (int n = 0; n < COLUMNS; n++) {
        const unsigned char *column = b + n * DEPTH;
        double products[DEPTH];
        bool again = n && !memcmp(column, column - DEPTH, DEPTH); /* the same sum */
        for (int k = 0; k < DEPTH; k++)
            products[k] =
                kb_decode(KB_E4M3, a[row * DEPTH + k]) * kb_decode(KB_E4M3, column[k]);
        sum = again ? sum : 0;
        for (int step = 0; !again && step < steps; step++)
            sum = step_of(sum, products);
        out += sum;
    }
    return out;
}

/* How much of the bound the losses of such sums take in the worst row. */
static double used_by_truncating(const unsigned char *a, const unsigned char *b,
                                 int steps) {
    char shape[32];
    snprintf(shape, sizeof shape, "1x%d", steps);
    struct kb_case c = op_case("mma", shape, KB_E4M3, "");
    struct kb_problem p;
    double want[ROWS], bound[ROWS], used = 0;
    resolve(&c, &p);
    c.op->reference(&p, (const void *const[]){a, b, NULL}, NULL, 2, 0, ROWS, want, bound);
    for (int row = 0; row < ROWS; row += 67) {
        double lost = want[row] - truncating(a, b, row, steps);
        assert_true(lost >= 0 && bound[row] < want[row]);
        assert_true(steps > 16 || bound[row] < want[row] / steps); /* a step shows */
        used = fmax(used, lost / bound[row]);
    }
    return used;
}

static const int step_counts[] = {1, 4, 16, 256, 1024};

static void sums_of_13_bits_are_within_the_bound(void **state) {
    (void)state;
    unsigned char a[ROWS * DEPTH], b[COLUMNS * DEPTH];
    struct kb_case c = op_case("mma", "1x1", KB_E4M3, "");
    struct kb_problem p;
    resolve(&c, &p);
    c.op->fill(&p, 0, 7, 0, ROWS * DEPTH, a);
    c.op->fill(&p, 1, 7, 0, COLUMNS * DEPTH, b);
    for (size_t i = 0; i < KB_COUNT(step_counts); i++)
        assert_true(used_by_truncating(a, b, step_counts[i]) <= 1);
    assert_true(used_by_truncating(a, b, 256) > 0.2); /* it is no bound for anything */
}

/* One product is a power of two, beside which the others lose more or less of their bits.
 */
static void so_are_those_that_lose_the_most(void **state) {
    (void)state;
    unsigned char a[ROWS * DEPTH], b[COLUMNS * DEPTH];
    double most[KB_COUNT(step_counts)] = {0};
    for (int e = -9; e <= 8; e++) {
        for (int i = 0; i < ROWS * DEPTH; i++)
            a[i] = (unsigned char)kb_encode(KB_E4M3, i % DEPTH ? 1.875 : ldexp(1, e));
        for (int i = 0; i < COLUMNS * DEPTH; i++)
            b[i] =
                (unsigned char)kb_encode(KB_E4M3, i % DEPTH ? ldexp(1.875, -e / 2) : 256);
        for (size_t i = 0; i < KB_COUNT(step_counts); i++)
            most[i] = fmax(most[i], used_by_truncating(a, b, step_counts[i]));
    }
    for (size_t i = 0; i < KB_COUNT(step_counts); i++)
        assert_true(most[i] > 0.4 && most[i] <= 1);
}

static void a_row_in_anothers_place_shows_where_the_bound_is_wide(void **state) {
    (void)state;
    unsigned char a[ROWS * DEPTH], b[COLUMNS * DEPTH];
    struct kb_case c = op_case("mma", "1x1024", KB_E4M3, "");
    struct kb_problem p;
    double want[ROWS], bound[ROWS];
    resolve(&c, &p);
    c.op->fill(&p, 0, 1, 0, ROWS * DEPTH, a);
    c.op->fill(&p, 1, 1, 0, COLUMNS * DEPTH, b);
    c.op->reference(&p, (const void *const[]){a, b, NULL}, NULL, 2, 0, ROWS, want, bound);
    for (int apart = 1; apart < ROWS; apart = apart == 1 ? 8 : 2 * apart) {
        int shown = 0;
        for (int row = 0; row + apart < ROWS; row++)
            shown += fabs(want[row + apart] - want[row]) > bound[row];
        assert_true(bound[0] > 0.7 * want[0] && shown > (ROWS - apart) / 8);
    }
}

static void what_it_cannot_be_is_refused(void **state) {
    (void)state;
    struct kb_case one = op_case("mma", "3", KB_BF16, ""),
                   none = op_case("mma", "3x0", KB_BF16, ""),
                   many = op_case("mma", "3x65537", KB_BF16, ""),
                   wide = op_case("mma", "100000000000x65536", KB_BF16, "");
    assert_case_refused(&one, "wants 2 axes, BLOCKSxSTEPS, got 1");
    assert_case_refused(&none, "steps must be 1 to 65536, got 0");
    assert_case_refused(&many, "steps must be 1 to 65536, got 65537");
    assert_case_refused(&wide, "more operations than 64 bits count");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_depth_is_32_bytes_whatever_the_dtype),
        cmocka_unit_test(no_input_is_negative),
        cmocka_unit_test(out_is_the_sum_of_a_row_of_the_product_times_the_steps),
        cmocka_unit_test(sums_of_13_bits_are_within_the_bound),
        cmocka_unit_test(so_are_those_that_lose_the_most),
        cmocka_unit_test(a_row_in_anothers_place_shows_where_the_bound_is_wide),
        cmocka_unit_test(what_it_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
