/* activation_fill_test.c - silu, gelu and gelu_tanh: fills, and that any split of inputs
 * and outputs gives the same. */
#include "ops/op_fixture.h"

static const char *const ops[] = {"silu", "gelu", "gelu_tanh"};
static const enum kb_dtype dtypes[] = {KB_BF16, KB_FP16, KB_FP32};

struct run {
    struct kb_problem p;
    int64_t n;
    unsigned char *input;
    double *want, *bound;
};

static void run_make(struct run *r, const struct kb_case *c) {
    resolve(c, &r->p);
    r->n = r->p.tensors[1].elements;
    r->input = calloc((size_t)(2 * r->n), 4);
    r->want = calloc((size_t)r->n, sizeof *r->want);
    r->bound = calloc((size_t)r->n, sizeof *r->bound);
}

/* Fill and reference in parts of `part` elements. */
static void run_in_parts(struct run *r, bool table, int64_t part) {
    const struct kb_op *op = r->p.c->op;
    size_t bytes = kb_dtype_bytes(r->p.c->dtype);
    const void *in[] = {r->input, NULL};
    for (int64_t i = 0; i < 2 * r->n; i += part)
        op->fill(&r->p, 0, 7, i, i + part < 2 * r->n ? part : 2 * r->n - i,
                 r->input + (size_t)i * bytes);
    void *prepared = table ? op->prepare(&r->p, in) : NULL;
    assert_true(!table || prepared);
    for (int64_t i = 0; i < r->n; i += part)
        op->reference(&r->p, in, prepared, 1, i, i + part < r->n ? part : r->n - i,
                      r->want + i, r->bound + i);
    free(prepared);
}

static void run_free(struct run *r) {
    free(r->input);
    free(r->want);
    free(r->bound);
}

static void assert_same_run(const struct run *a, const struct run *b) {
    size_t n = (size_t)a->n;
    assert_memory_equal(a->input, b->input, 2 * n * kb_dtype_bytes(a->p.c->dtype));
    for (size_t i = 0; i < n; i++) {
        assert_true(a->want[i] == b->want[i] || (isnan(a->want[i]) && isnan(b->want[i])));
        assert_true(a->bound[i] == b->bound[i]);
    }
}

static void any_split_gives_the_same_and_so_does_the_table(void **state) {
    (void)state;
    for (size_t d = 0; d < KB_COUNT(dtypes); d++)
        for (int round = 0; round < 2; round++) {
            struct run whole, parts;
            struct kb_case c = op_case(ops[d], "67x1960", dtypes[d], "");
            c.fill = round ? KB_FILL_BITS : KB_FILL_TINY;
            c.set[0].v = round;
            run_make(&whole, &c);
            run_make(&parts, &c);
            run_in_parts(&whole, dtypes[d] != KB_FP32, 2 * whole.n);
            run_in_parts(&parts, false, 3307);
            assert_same_run(&whole, &parts);
            run_free(&whole);
            run_free(&parts);
        }
}

static void run_filled(struct run *r, struct kb_case *c, enum kb_fill fill) {
    c->fill = fill;
    run_make(r, c);
    run_in_parts(r, false, 2 * r->n);
}

static void a_constant_row_has_two_constants(void **state) {
    (void)state;
    struct run r;
    struct kb_case c = op_case("silu", "5x16", KB_BF16, "");
    run_filled(&r, &c, KB_FILL_CONSTANT);
    for (int row = 0; row < 5; row++) {
        uint32_t gate = kb_bits_at(KB_BF16, r.input, 16 * row);
        uint32_t up = kb_bits_at(KB_BF16, r.input, 16 * row + 8);
        assert_int_not_equal(gate, up);
        for (int i = 0; i < 8; i++) {
            assert_int_equal(kb_bits_at(KB_BF16, r.input, 16 * row + i), gate);
            assert_int_equal(kb_bits_at(KB_BF16, r.input, 16 * row + 8 + i), up);
        }
    }
    run_free(&r);
}

static void patterns_run_through_every_gate_and_ups_are_normal(void **state) {
    (void)state;
    struct run r;
    struct kb_case c = op_case("silu", "64x2048", KB_FP16, "");
    run_filled(&r, &c, KB_FILL_PATTERNS);
    for (int64_t i = 0; i < r.n; i++) {
        int64_t at = i / 1024 * 2048 + i % 1024;
        assert_int_equal(kb_bits_at(KB_FP16, r.input, at), i);
        double up = kb_decode(KB_FP16, kb_bits_at(KB_FP16, r.input, at + 1024));
        assert_true(fabs(up) < 8);
    }
    run_free(&r);
}

/* Else a kernel that writes zeros would be right. */
static void zeros_and_tiny_numbers_leave_outputs_that_are_not_zero(void **state) {
    (void)state;
    for (size_t d = 0; d < KB_COUNT(dtypes); d++) {
        struct run zeros, tiny;
        int64_t zero = 0, visible = 0;
        struct kb_case c = op_case("gelu", "16x64", dtypes[d], ""), same = c;
        run_filled(&zeros, &c, KB_FILL_ZEROS);
        run_filled(&tiny, &same, KB_FILL_TINY);
        for (int64_t i = 0; i < zeros.n; i++) {
            zero += zeros.want[i] == 0;
            visible += fabs(tiny.want[i]) > kb_ulp(dtypes[d], 0) * 8;
        }
        assert_int_equal(zero, zeros.n * 3 / 4);
        assert_true(visible > tiny.n / 4);
        run_free(&zeros);
        run_free(&tiny);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_split_gives_the_same_and_so_does_the_table),
        cmocka_unit_test(a_constant_row_has_two_constants),
        cmocka_unit_test(patterns_run_through_every_gate_and_ups_are_normal),
        cmocka_unit_test(zeros_and_tiny_numbers_leave_outputs_that_are_not_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
