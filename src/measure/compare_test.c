/* compare_test.c - the comparison: what it must pass, what it must not, and what it says.
 */
#include "judge.h"
#include "toy_fixture.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* silu over a shape, its input filled, its output the reference rounded: a perfect kernel.
 */
struct fixture {
    struct kb_arena arena;
    struct kb_case c;
    struct kb_problem p;
    void *data[KB_MAX_TENSORS];
    struct kb_compare_args args;
};

static void make_out(struct fixture *f) {
    const struct kb_tensor_spec *spec = &f->p.tensors[1];
    double *want = calloc((size_t)spec->elements + 1, sizeof *want);
    double *bound = calloc((size_t)spec->elements + 1, sizeof *bound);

    f->c.op->reference(&f->p, f->args.in, NULL, 1, 0, spec->elements, want, bound);
    for (int64_t i = 0; i < spec->elements; i++) {
        uint32_t bits = spec->rule == KB_RULE_EXACT ? (uint32_t)want[i]
                                                    : kb_encode(spec->dtype, want[i]);
        kb_bits_put(spec->dtype, f->data[1], i, bits);
    }
    free(want);
    free(bound);
}

static void setup(struct fixture *f, const char *id) {
    struct kb_complaints complaints = {0};
    struct kb_err err = {0};

    *f = (struct fixture){0};
    assert_true(kb_case_parse(id, &f->arena, &f->c, &complaints));
    assert_true(kb_case_resolve(&f->c, &f->p, &err));
    for (int t = 0; t < f->p.n_tensors; t++) {
        const struct kb_tensor_spec *spec = &f->p.tensors[t];
        f->data[t] = calloc((size_t)spec->elements + 1, kb_dtype_bytes(spec->dtype));
        if (spec->role == KB_IN)
            f->c.op->fill(&f->p, t, 1, 0, spec->elements, f->data[t]);
    }
    f->args = (struct kb_compare_args){
        .problem = &f->p,
        .tensor = 1,
        .in = (const void *const *)f->data,
        .got = f->data[1],
        .bound_factor = 1,
        .tolerance = f->c.tolerance,
    };
    make_out(f);
    kb_complaints_free(&complaints);
}

static void teardown(struct fixture *f) {
    for (int t = 0; t < f->p.n_tensors; t++)
        free(f->data[t]);
    kb_arena_free(&f->arena);
}

static struct kb_output_report report_of(struct fixture *f) {
    struct kb_output_report r;

    kb_compare(&f->args, &r);
    return r;
}

static void perfect_output_has_half_an_ulp_and_no_error_past_it(void **state) {
    (void)state;
    const char *ids[] = {"silu/83x1024/bf16", "gelu/83x1024/fp16", "gelu_tanh/7x16/fp32"};
    for (size_t i = 0; i < KB_COUNT(ids); i++) {
        struct fixture f;
        setup(&f, ids[i]);
        struct kb_output_report r = report_of(&f);
        assert_int_equal(r.over, 0);
        assert_int_equal(r.differing, 0);
        assert_true(r.err_over_bound == 0);
        assert_true(r.ulp_max > 0.4 && r.ulp_max <= 0.5);
        assert_true(r.ulp_p99 <= r.ulp_max);
        assert_true(fabs(r.bias_ulp) < 0.1);
        assert_int_equal(r.checked, r.elements);
        teardown(&f);
    }
}

static void outputs_without_a_pair_of_numbers_have_no_distances(void **state) {
    (void)state;
    const char *ids[] = {"silu/0x16/bf16", "silu/7x16/bf16",
                         "silu/7x16/bf16/filter=ids/skip=1"};
    for (size_t i = 0; i < KB_COUNT(ids); i++) {
        struct fixture f;
        setup(&f, ids[i]);
        for (int64_t k = 0; i == 1 && k < 56; k++)
            kb_bits_put(KB_BF16, f.data[1], k, 0x7fc0);
        struct kb_output_report r = report_of(&f);
        assert_int_equal(r.over, i == 1 ? 56 : 0);
        assert_true(isnan(r.ulp_max) && isnan(r.ulp_p99) && isnan(r.bias_ulp));
        assert_true(isnan(r.abs_max) && isnan(r.rel_max));
        teardown(&f);
    }
}

static void one_wrong_element_of_many_is_found_and_shown(void **state) {
    (void)state;
    struct fixture f;
    setup(&f, "silu/83x1024/bf16");
    int64_t at = 41 * 512 + 77;
    double right = kb_decode(KB_BF16, kb_bits_at(KB_BF16, f.data[1], at));
    kb_bits_put(KB_BF16, f.data[1], at, kb_encode(KB_BF16, right * 1.5 + 1));
    struct kb_output_report r = report_of(&f);
    assert_int_equal(r.over, 1);
    assert_int_equal(r.worst.index, at);
    assert_int_equal(r.first[0].index, at);
    assert_int_equal(r.first_bad, at);
    assert_int_equal(r.last_bad, at);
    assert_true(r.err_over_bound > 1);
    teardown(&f);
}

static void one_ulp_off_passes_the_peers_and_fails_the_bound(void **state) {
    (void)state;
    struct fixture f;
    setup(&f, "silu/7x16/bf16");
    uint32_t bits = kb_bits_at(KB_BF16, f.data[1], 3);
    kb_bits_put(KB_BF16, f.data[1], 3, bits + 1);
    struct kb_output_report r = report_of(&f);
    assert_int_equal(r.over, 1);
    assert_int_equal(r.tolerance_over, 0);
    f.args.tolerance.rule = KB_TOL_PEER;
    assert_int_equal(report_of(&f).over, 0);
    teardown(&f);
}

static void nan_and_infinity_match_only_their_own_kind(void **state) {
    (void)state;
    const double wrong[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < KB_COUNT(wrong); i++) {
        for (int rule = KB_TOL_BOUND; rule <= KB_TOL_GIVEN; rule++) {
            struct fixture f;
            setup(&f, "silu/7x16/fp32");
            f.args.tolerance = (struct kb_tolerance){(enum kb_tolerance_rule)rule, 1e30, 1};
            kb_bits_put(KB_FP32, f.data[1], 5, kb_encode(KB_FP32, wrong[i]));
            struct kb_output_report r = report_of(&f);
            assert_int_equal(r.over, 1);
            assert_int_equal(r.kind_mismatches, 1);
            assert_true(isinf(r.err_over_bound));
            teardown(&f);
        }
    }
}

static void finite_where_nan_is_wanted_fails(void **state) {
    (void)state;
    struct fixture f;
    setup(&f, "silu/64x2048/bf16/fill=nan");
    assert_int_equal(report_of(&f).over, 0);
    int64_t replaced = 0;
    for (int64_t i = 0; i < f.p.tensors[1].elements; i++) {
        if (isnan(kb_decode(KB_BF16, kb_bits_at(KB_BF16, f.data[1], i)))) {
            kb_bits_put(KB_BF16, f.data[1], i, 0);
            replaced++;
        }
    }
    assert_true(replaced > 0);
    assert_int_equal(report_of(&f).kind_mismatches, replaced);
    teardown(&f);
}

static void overflow_to_infinity_is_right_only_past_the_grid(void **state) {
    (void)state;
    struct fixture f;
    setup(&f, "silu/7x16/fp16");
    uint16_t *in = f.data[0];
    in[0] = (uint16_t)kb_encode(KB_FP16, 300); /* gate 300, up 300: 9e4 */
    in[8] = (uint16_t)kb_encode(KB_FP16, 300);
    kb_bits_put(KB_FP16, f.data[1], 0, kb_encode(KB_FP16, INFINITY));
    assert_int_equal(report_of(&f).over, 0);
    kb_bits_put(KB_FP16, f.data[1], 0, kb_encode(KB_FP16, 65504));
    assert_int_equal(report_of(&f).over, 1);
    /* silu(1008) * 65 = 65520 lies half an ulp past max finite and rounds to infinity:
     * there the last finite number is right as well, and no smaller one is. */
    in[0] = (uint16_t)kb_encode(KB_FP16, 1008);
    in[8] = (uint16_t)kb_encode(KB_FP16, 65);
    kb_bits_put(KB_FP16, f.data[1], 0, kb_encode(KB_FP16, 65504));
    assert_int_equal(report_of(&f).over, 0);
    kb_bits_put(KB_FP16, f.data[1], 0, kb_encode(KB_FP16, 60000));
    assert_int_equal(report_of(&f).over, 1);
    teardown(&f);
}

static void at_the_overflow_only_its_two_neighbours_are_right(void **state) {
    (void)state;
    const struct {
        double got;
        int over;
    } cases[] = {{INFINITY, 0}, {65504, 0}, {65472, 1}, {0, 1}, {-INFINITY, 1}, {NAN, 1}};
    struct fixture f;
    setup(&f, "silu/7x16/fp16");
    uint16_t *in = f.data[0];
    in[0] = (uint16_t)kb_encode(KB_FP16, 63); /* 63 * 1040 = 65504 + 16, half an ulp up */
    in[8] = (uint16_t)kb_encode(KB_FP16, 1040);
    for (size_t i = 0; i < KB_COUNT(cases); i++) {
        kb_bits_put(KB_FP16, f.data[1], 0, kb_encode(KB_FP16, cases[i].got));
        assert_int_equal(report_of(&f).over, cases[i].over);
    }
    teardown(&f);
}

static void where_the_bound_is_infinite_any_value_passes(void **state) {
    (void)state;
    const double got[] = {NAN, INFINITY, -INFINITY, 0, 5};
    struct fixture f;
    setup(&f, "gelu/7x16/fp32");
    float *in = f.data[0];
    in[0] = -6; /* 1 + erf(-6) is 0 for some kernels and 2e-9 for others */
    in[8] = INFINITY;
    for (size_t i = 0; i < KB_COUNT(got); i++) {
        for (int rule = KB_TOL_BOUND; rule <= KB_TOL_PEER; rule++) {
            f.args.tolerance.rule = (enum kb_tolerance_rule)rule;
            kb_bits_put(KB_FP32, f.data[1], 0, kb_encode(KB_FP32, got[i]));
            struct kb_output_report r = report_of(&f);
            assert_int_equal(r.over, 0);
            assert_int_equal(r.kind_mismatches, 0);
        }
    }
    teardown(&f);
}

static void poison_is_counted_as_unwritten(void **state) {
    (void)state;
    struct fixture f;
    setup(&f, "silu/83x1024/fp16");
    kb_poison((char *)f.data[1] + 2 * 512 * 80, 2 * 512 * 3, 0);
    struct kb_output_report r = report_of(&f);
    assert_int_equal(r.unwritten, 1536);
    assert_int_equal(r.over, 1536);
    assert_int_equal(r.first_bad, 80 * 512);
    assert_int_equal(r.n_first, KB_SHOWN);
    assert_true(r.first[0].poison);
    teardown(&f);
}

static void exact_rule_takes_no_other_bit(void **state) {
    (void)state;
    struct fixture f;
    setup(&f, "stream/83x1024/bf16");
    assert_int_equal(report_of(&f).over, 0);
    kb_bits_put(KB_BF16, f.data[1], 100, kb_bits_at(KB_BF16, f.data[1], 100) ^ 1);
    struct kb_output_report r = report_of(&f);
    assert_int_equal(r.over, 1);
    assert_int_equal(r.worst.index, 100);
    teardown(&f);
}

static void result_is_the_same_for_any_number_of_threads(void **state) {
    (void)state;
    struct fixture f;
    setup(&f, "gelu/1283x1024/fp32"); /* of a size that five threads are worth */
    for (int64_t i = 0; i < f.p.tensors[1].elements; i += 7)
        kb_bits_put(KB_FP32, f.data[1], i, kb_bits_at(KB_FP32, f.data[1], i) + 3);
    omp_set_num_threads(1);
    struct kb_output_report one = report_of(&f);
    omp_set_num_threads(5);
    assert_int_equal(kb_threads(f.p.tensors[1].elements), 5);
    struct kb_output_report five = report_of(&f);
    assert_memory_equal(&one.bias_ulp, &five.bias_ulp, sizeof one.bias_ulp);
    assert_true(one.ulp_p99 == five.ulp_p99 && one.over == five.over);
    assert_int_equal(one.worst.index, five.worst.index);
    teardown(&f);
}

static void no_elements_is_no_error(void **state) {
    (void)state;
    struct fixture f;
    setup(&f, "silu/0x1024/bf16");
    struct kb_output_report r = report_of(&f);
    assert_int_equal(r.elements, 0);
    assert_int_equal(r.over, 0);
    assert_int_equal(r.worst.index, -1);
    teardown(&f);
}

/* ---- dear references --------------------------------------------------------------- */

enum { DEAR_ROWS = 100, DEAR_COLUMNS = 30 };

/* A toy whose calls are watched. */
struct watched {
    struct toy toy; /* first: toy_reference takes it for one */
    int calls, most_threads;
    bool split; /* a row, in two calls */
};

static void watched_reference(const struct kb_problem *p, const void *const *in,
                              const void *prepared, int t, int64_t first, int64_t count,
                              double *want, double *bound) {
    struct watched *w = (struct watched *)(uintptr_t)prepared;

#pragma omp critical
    {
        int threads = omp_get_num_threads();
        w->calls++;
        w->most_threads = threads > w->most_threads ? threads : w->most_threads;
        w->split |= first % DEAR_COLUMNS || count % DEAR_COLUMNS;
    }
    toy_reference(p, in, prepared, t, first, count, want, bound);
}

static void few_elements_that_are_dear_are_computed_by_all_threads(void **state) {
    (void)state;
    struct watched w = {0};
    struct kb_chunk *chunks = calloc(2, sizeof *chunks);
    toy_make(&w.toy, KB_E4M3, DEAR_ROWS, DEAR_COLUMNS);
    w.toy.op.reference = watched_reference;
    w.toy.args.prepared = &w;
    w.toy.want[77] = 1e9;
    for (int64_t i = 0; i < w.toy.n; i++)
        w.toy.bound[i] = (double)i;
    omp_set_num_threads(4);
    for (int dear = 0; dear < 2; dear++) {
        w.toy.p.flops = dear ? INT64_C(1) << 40 : w.toy.n;
        struct kb_judge judge = kb_judge_of(&w.toy.args);
        w.calls = w.most_threads = 0;
        kb_judge_load(&judge, 0, w.toy.n, &chunks[dear]);
        assert_int_equal(w.most_threads, dear ? 4 : 1);
        assert_int_equal(w.calls, dear ? DEAR_ROWS / 2 : 1); /* two rows are 32 or more */
        assert_false(w.split);
        assert_int_equal(kb_judge_threads(&judge, w.toy.n), dear ? 4 : 1);
        assert_int_equal(kb_judge_threads(&judge, 0), 1);
    }
    assert_memory_equal(&chunks[0], &chunks[1], sizeof *chunks);
    assert_true(chunks[1].want[77] == 448 && chunks[1].bound[78] == 78);
    struct kb_judge judge = kb_judge_of(&w.toy.args);
    kb_judge_load(&judge, 45, 100, &chunks[0]); /* from within a piece into another */
    assert_memory_equal(chunks[0].want, w.toy.want + 45, 32 * sizeof(double));
    assert_memory_equal(chunks[0].bound, w.toy.bound + 45, 100 * sizeof(double));
    free(chunks);
    toy_free(&w.toy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(perfect_output_has_half_an_ulp_and_no_error_past_it),
        cmocka_unit_test(outputs_without_a_pair_of_numbers_have_no_distances),
        cmocka_unit_test(one_wrong_element_of_many_is_found_and_shown),
        cmocka_unit_test(one_ulp_off_passes_the_peers_and_fails_the_bound),
        cmocka_unit_test(nan_and_infinity_match_only_their_own_kind),
        cmocka_unit_test(finite_where_nan_is_wanted_fails),
        cmocka_unit_test(overflow_to_infinity_is_right_only_past_the_grid),
        cmocka_unit_test(at_the_overflow_only_its_two_neighbours_are_right),
        cmocka_unit_test(where_the_bound_is_infinite_any_value_passes),
        cmocka_unit_test(poison_is_counted_as_unwritten),
        cmocka_unit_test(exact_rule_takes_no_other_bit),
        cmocka_unit_test(result_is_the_same_for_any_number_of_threads),
        cmocka_unit_test(no_elements_is_no_error),
        cmocka_unit_test(few_elements_that_are_dear_are_computed_by_all_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
