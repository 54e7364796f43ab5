/* activation_pitch_test.c - silu, gelu and gelu_tanh on rows that begin further apart than
 * they are long: the same results, and what lies between is nobody's. */
#include "ops/activation_fixture.h"

enum { INPUT, OUT };

static void a_pitch_makes_the_tensors_wider_and_costs_nothing(void **state) {
    (void)state;
    struct run r, plain;
    run_make(&r, "silu/3x5x16/bf16/in_pitch=19/out_pitch=8");
    run_make(&plain, "silu/3x5x16/bf16");
    assert_int_equal(r.p.tensors[INPUT].rank, 3);
    assert_int_equal(r.p.tensors[INPUT].shape[2], 19);
    assert_int_equal(r.p.tensors[INPUT].elements, 15 * 19);
    assert_int_equal(r.p.tensors[OUT].elements, plain.p.tensors[OUT].elements);
    assert_int_equal(r.p.bytes, plain.p.bytes);
    assert_int_equal(r.p.ceiling_elements, plain.p.ceiling_elements);
    run_free(&r);
    run_free(&plain);
}

static void rows_that_would_overlap_are_refused(void **state) {
    (void)state;
    assert_refused("silu/3x16/bf16/in_pitch=15",
                   "3x16: in_pitch must be 0 or at least 2*HIDDEN, 15 is less than 16");
    assert_refused("silu/3x16/bf16/out_pitch=7",
                   "3x16: out_pitch must be 0 or at least HIDDEN, 7 is less than 8");
    assert_refused("silu/0x16/bf16/out_pitch=1",
                   "0x16: out_pitch must be 0 or at least HIDDEN, 1 is less than 8");
    assert_refused("gelu/3x16/bf16/inplace=yes/out_pitch=8",
                   "3x16: out_pitch is out's, inplace=yes has none");
}

/* Halves, results and bounds of every row are those of the case without a pitch. */
static void rows_are_those_of_the_case_without_a_pitch(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"silu/7x16/bf16", "silu/7x16/bf16/in_pitch=21/out_pitch=11"},
        {"gelu/7x16/fp32/layout=up_gate", "gelu/7x16/fp32/layout=up_gate/in_pitch=17"},
        {"silu/7x16/fp16/fill=tiny/clamp=2",
         "silu/7x16/fp16/fill=tiny/clamp=2/in_pitch=16/out_pitch=9"},
        {"gelu_tanh/7x16/bf16/fill=constant/filter=ids",
         "gelu_tanh/7x16/bf16/fill=constant/filter=ids/out_pitch=13"},
    };
    for (size_t i = 0; i < KB_COUNT(cases); i++) {
        struct run plain, pitched;
        run_make(&plain, cases[i][0]);
        run_make(&pitched, cases[i][1]);
        int64_t in = pitched.p.tensors[INPUT].shape[1],
                out = pitched.p.tensors[OUT].shape[1];
        size_t bytes = kb_dtype_bytes(plain.c.dtype);
        for (int64_t row = 0; row < 7; row++) {
            assert_memory_equal((char *)plain.data[INPUT] + (size_t)(row * 16) * bytes,
                                (char *)pitched.data[INPUT] + (size_t)(row * in) * bytes,
                                16 * bytes);
            assert_memory_equal(plain.want + row * 8, pitched.want + row * out,
                                8 * sizeof(double));
            assert_memory_equal(plain.bound + row * 8, pitched.bound + row * out,
                                8 * sizeof(double));
        }
        run_free(&plain);
        run_free(&pitched);
    }
}

static void what_lies_between_rows_is_nan_and_stays(void **state) {
    (void)state;
    struct run r;
    run_make(&r, "silu/7x16/bf16/in_pitch=21/out_pitch=11");
    for (int64_t i = 0; i < 7 * 21; i++)
        if (i % 21 >= 16)
            assert_true(isnan(input_at(&r, i)));
    for (int64_t i = 0; i < 7 * 11; i++)
        assert_int_equal(r.bound[i] == KB_KEEP, i % 11 >= 8);
    run_free(&r);
}

static void in_place_what_lies_between_rows_stays_as_the_ups_do(void **state) {
    (void)state;
    struct run r, plain;
    run_make(&r, "silu/7x16/bf16/inplace=yes/in_pitch=21");
    run_make(&plain, "silu/7x16/bf16");
    assert_int_equal(r.out, INPUT);
    for (int64_t row = 0; row < 7; row++) {
        assert_memory_equal(r.want + row * 21, plain.want + row * 8, 8 * sizeof(double));
        for (int64_t col = 8; col < 21; col++)
            assert_true(r.bound[row * 21 + col] == KB_KEEP);
    }
    run_free(&r);
    run_free(&plain);
}

static void any_part_of_a_row_is_filled_and_judged_alike(void **state) {
    (void)state;
    struct run r;
    run_make(&r, "gelu/5x16/fp16/in_pitch=21/out_pitch=11");
    for (int64_t first = 0; first < 5 * 21; first++)
        for (int64_t count = 1; count <= 23 && first + count <= 5 * 21; count++) {
            uint16_t part[23];
            r.c.op->fill(&r.p, INPUT, SEED, first, count, part);
            assert_memory_equal(part, (uint16_t *)r.data[INPUT] + first,
                                (size_t)count * sizeof *part);
        }
    for (int64_t first = 0; first < 5 * 11; first++) {
        double want[13], bound[13];
        int64_t count = 5 * 11 - first < 13 ? 5 * 11 - first : 13;
        r.c.op->reference(&r.p, (const void *const *)r.data, NULL, OUT, first, count, want,
                          bound);
        assert_memory_equal(want, r.want + first, (size_t)count * sizeof *want);
        assert_memory_equal(bound, r.bound + first, (size_t)count * sizeof *bound);
    }
    run_free(&r);
}

static void a_result_is_made_of_its_gate_and_up_and_padding_of_nothing(void **state) {
    (void)state;
    struct run r;
    struct kb_source s[KB_MAX_SOURCES];
    run_make(&r, "silu/7x16/bf16/in_pitch=21/out_pitch=11");
    const void *const *in = (const void *const *)r.data;
    assert_int_equal(r.c.op->sources(&r.p, in, OUT, 3 * 11 + 5, s), 2);
    assert_true(s[0].value == input_at(&r, 3 * 21 + 5));
    assert_true(s[1].value == input_at(&r, 3 * 21 + 8 + 5));
    assert_int_equal(r.c.op->sources(&r.p, in, OUT, 3 * 11 + 8, s), 0);
    run_free(&r);
}

static void of_fewer_rows_the_pitch_is_the_same(void **state) {
    (void)state;
    struct run r;
    struct kb_case c;
    struct kb_problem p;
    struct kb_err err = {0};
    run_make(&r, "silu/7x16/bf16/in_pitch=21/out_pitch=11");
    c = r.c;
    assert_true(r.c.op->first_rows(&r.p, 2, &c));
    assert_true(kb_case_resolve(&c, &p, &err));
    assert_int_equal(p.tensors[INPUT].elements, 2 * 21);
    assert_int_equal(p.tensors[OUT].elements, 2 * 11);
    run_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pitch_makes_the_tensors_wider_and_costs_nothing),
        cmocka_unit_test(rows_that_would_overlap_are_refused),
        cmocka_unit_test(rows_are_those_of_the_case_without_a_pitch),
        cmocka_unit_test(what_lies_between_rows_is_nan_and_stays),
        cmocka_unit_test(in_place_what_lies_between_rows_stays_as_the_ups_do),
        cmocka_unit_test(any_part_of_a_row_is_filled_and_judged_alike),
        cmocka_unit_test(a_result_is_made_of_its_gate_and_up_and_padding_of_nothing),
        cmocka_unit_test(of_fewer_rows_the_pitch_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
