/* silu_mul_quant_pitch_test.c - silu_mul_quant on rows of a wider buffer: the same groups,
 * and what lies between rows is nobody's. */
#include "ops/silu_mul_quant_fixture.h"

enum { SEED = 3 };

static void a_pitch_makes_the_input_wider_and_costs_nothing(void **state) {
    (void)state;
    struct kb_case c = case_of("3x5x256", KB_BF16, "in_pitch=259");
    struct kb_case plain = case_of("3x5x256", KB_BF16, "");
    struct kb_problem p, q;
    resolve(&c, &p);
    resolve(&plain, &q);
    assert_int_equal(p.tensors[KB_SMQ_INPUT].shape[2], 259);
    assert_int_equal(p.tensors[KB_SMQ_CODES].elements, q.tensors[KB_SMQ_CODES].elements);
    assert_int_equal(p.bytes, q.bytes);
    c = case_of("6x256", KB_FP16, "in_pitch=264,mask=full,experts=2");
    resolve(&c, &p);
    assert_int_equal(p.tensors[KB_SMQ_INPUT].shape[1], 3);
    assert_int_equal(p.tensors[KB_SMQ_INPUT].shape[2], 264);
}

static void rows_that_would_overlap_are_refused(void **state) {
    (void)state;
    struct kb_case c = case_of("3x256", KB_BF16, "in_pitch=255");
    assert_case_refused(&c,
                        "in_pitch must be 0 or at least 2*HIDDEN, 255 is less than 256");
}

/* Gates and ups, codes and scales, and the bounds of both. */
static void groups_are_those_of_the_case_without_a_pitch(void **state) {
    (void)state;
    static const enum kb_fill fills[] = {KB_FILL_NORMAL, KB_FILL_RAMP, KB_FILL_EDGES,
                                         KB_FILL_CONSTANT, KB_FILL_NAN};
    for (size_t f = 0; f < KB_COUNT(fills); f++)
        for (int layout = 0; layout < 2; layout++) {
            struct run plain, pitched;
            run_make(&plain, "5x768", KB_BF16, layout ? "layout=up_gate" : "");
            run_make(&pitched, "5x768", KB_BF16,
                     layout ? "layout=up_gate,in_pitch=771" : "in_pitch=771");
            run_fill(&plain, fills[f], SEED);
            run_fill(&pitched, fills[f], SEED);
            for (size_t row = 0; row < 5; row++)
                assert_memory_equal(plain.data[0] + row * 768 * 2,
                                    pitched.data[0] + row * 771 * 2, 768 * 2);
            for (int t = KB_SMQ_CODES; t <= KB_SMQ_SCALES; t++) {
                size_t bytes = (size_t)plain.p.tensors[t].elements * sizeof(double);
                run_ask(&plain, t);
                run_ask(&pitched, t);
                assert_memory_equal(plain.want, pitched.want, bytes);
                assert_memory_equal(plain.bound, pitched.bound, bytes);
            }
            run_free(&plain);
            run_free(&pitched);
        }
}

static void what_lies_between_rows_is_nan_in_every_fill(void **state) {
    (void)state;
    struct run r;
    run_make(&r, "5x256", KB_FP16, "in_pitch=261");
    for (int f = 0; f < r.c.op->n_fills; f++) {
        run_fill(&r, r.c.op->fills[f], SEED);
        for (int64_t i = 0; i < 5 * 261; i++)
            if (i % 261 >= 256)
                assert_true(isnan(kb_decode(KB_FP16, kb_bits_at(KB_FP16, r.data[0], i))));
    }
    run_free(&r);
}

static void any_part_of_a_row_is_filled_alike(void **state) {
    (void)state;
    static const enum kb_fill fills[] = {KB_FILL_NORMAL, KB_FILL_SPARSE};
    struct run r;
    run_make(&r, "3x64", KB_BF16, "group=16,in_pitch=69");
    for (size_t f = 0; f < KB_COUNT(fills); f++) {
        run_fill(&r, fills[f], SEED);
        for (int64_t first = 0; first < 3 * 69; first++)
            for (int64_t count = 1; first + count <= 3 * 69 && count < 75; count += 3) {
                uint16_t part[75];
                r.c.op->fill(&r.p, KB_SMQ_INPUT, SEED, first, count, part);
                assert_memory_equal(part, r.data[0] + 2 * first,
                                    (size_t)count * sizeof *part);
            }
    }
    run_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pitch_makes_the_input_wider_and_costs_nothing),
        cmocka_unit_test(rows_that_would_overlap_are_refused),
        cmocka_unit_test(groups_are_those_of_the_case_without_a_pitch),
        cmocka_unit_test(what_lies_between_rows_is_nan_in_every_fill),
        cmocka_unit_test(any_part_of_a_row_is_filled_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
