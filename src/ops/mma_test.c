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
        cmocka_unit_test(what_it_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
