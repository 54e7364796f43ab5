/* activation_rows_test.c - silu, gelu and gelu_tanh with the parameters that say where and
 * how: rounding, layout, clamp and in place. Filters have tests of their own. */
#include "ops/activation_fixture.h"

/* ---- what is refused -------------------------------------------------------------------
 */

static void what_does_not_go_together_is_refused_with_its_own_words(void **state) {
    (void)state;
    assert_refused("gelu/7x16/bf16/clamp=7", "7x16: clamp is silu's, gelu takes none");
    assert_refused("gelu_tanh/0x16/bf16/clamp=7",
                   "0x16: clamp is silu's, gelu_tanh takes none");
    assert_refused("silu/7x16/fp16/clamp=1e5",
                   "7x16: clamp: 100000 is infinite in fp16, no limit");
    assert_refused("silu/7x16/fp16/clamp=1e-9",
                   "7x16: clamp: 1e-09 is 0 in fp16, no limit");
    assert_refused("silu/7x16/bf16/clamp=-1", "clamp: wants 0 to 3e+38, got -1");
    assert_refused("silu/7x16/bf16/inplace=yes/layout=up_gate",
                   "7x16: inplace=yes writes to the first half, which layout=up_gate reads "
                   "as up; it goes with layout=gate_up only");
    assert_refused("silu/7x16/bf16/filter=ids/step=0",
                   "step: wants 1 to 2147483647, got 0");
    assert_refused("silu/7x16/bf16/filter=ids/skip=1.5", "skip: wants 0 to 1, got 1.5");
    assert_refused("silu/7x16/bf16/step=16",
                   "7x16: step is for filter=ids and filter=sorted");
    assert_refused("silu/7x16/bf16/skip=0.5",
                   "7x16: skip is for filter=ids and filter=sorted");
    assert_refused("silu/7x16/bf16/filter=ids/num_valid=5",
                   "7x16: num_valid is for filter=sorted");
    assert_refused(
        "silu/2147483648x2/bf16/filter=sorted",
        "2147483648x2: filter=sorted has 32-bit token ids, 2147483648 tokens are "
        "too many");
    assert_refused("silu/7x15/bf16/inplace=yes",
                   "7x15: the last axis is 2*HIDDEN, 15 is odd");
}

static void ids_of_the_parameters_are_canonical(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    struct kb_complaints complaints = {0};
    struct kb_case c;
    assert_true(kb_case_parse("silu/7x16/bf16/step=16/skip=0.4/num_valid=-1/inplace=yes/"
                              "layout=gate_up/filter=sorted/clamp=7.0",
                              &arena, &c, &complaints));
    assert_string_equal(c.id, "silu/7x16/bf16/clamp=7/filter=sorted/inplace=yes/step=16");
    kb_arena_free(&arena);
}

/* ---- rounding --------------------------------------------------------------------------
 */

/* What the two schools of kernels see of each other (in fp32 they are one). */
static void the_two_roundings_differ_by_an_ulp_in_a_quarter_of_the_outputs(void **state) {
    (void)state;
    static const struct {
        const char *once, *act;
        double least, most;
    } table[] = {
        {"silu/83x1024/bf16", "silu/83x1024/bf16/round=act", 0.24, 0.30},
        {"gelu/83x1024/fp16", "gelu/83x1024/fp16/round=act", 0.23, 0.30},
        {"gelu_tanh/83x1024/fp32", "gelu_tanh/83x1024/fp32/round=act", 0, 0},
    };
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        struct run a, b;
        double differ = 0;
        run_make(&a, table[i].once);
        run_make(&b, table[i].act);
        int64_t n = a.p.tensors[1].elements;
        for (int64_t e = 0; e < n; e++) {
            double once = kb_decode(a.c.dtype, kb_encode(a.c.dtype, a.want[e]));
            double act = kb_decode(a.c.dtype, kb_encode(a.c.dtype, b.want[e]));
            differ += once != act;
            assert_true(fabs(once - act) <= 2 * kb_ulp(a.c.dtype, a.want[e]));
        }
        assert_true(differ / (double)n >= table[i].least);
        assert_true(differ / (double)n <= table[i].most);
        run_free(&a);
        run_free(&b);
    }
}

/* ---- layout and clamp ------------------------------------------------------------------
 */

static void up_gate_is_the_same_row_with_its_halves_the_other_way_round(void **state) {
    (void)state;
    struct run a, b;
    run_make(&a, "gelu/5x34/fp16");
    run_make(&b, "gelu/5x34/fp16/layout=up_gate");
    for (int64_t row = 0; row < 5; row++)
        for (int64_t col = 0; col < 17; col++) {
            assert_true(input_at(&a, row * 34 + col) == input_at(&b, row * 34 + 17 + col));
            assert_true(input_at(&a, row * 34 + 17 + col) == input_at(&b, row * 34 + col));
            assert_true(a.want[row * 17 + col] == b.want[row * 17 + col]);
        }
    run_free(&a);
    run_free(&b);
}

/* One gate and one up through silu, clamped. */
static double clamped(enum kb_dtype dtype, double clamp, double x, double u,
                      double *bound) {
    struct kb_case c;
    struct kb_problem p;
    struct kb_err err = {0};
    int index;
    double want, unused;
    uint32_t input[2] = {0};
    const void *in[KB_MAX_TENSORS] = {input};
    kb_case_start(&c, kb_op_find("silu"));
    c.dtype = dtype;
    c.rank = 1;
    c.shape[0] = 2;
    assert_non_null(kb_op_param(c.op, "clamp", &index));
    c.set[index].v = clamp;
    assert_true(kb_case_resolve(&c, &p, &err));
    kb_bits_put(dtype, input, 0, kb_encode(dtype, x));
    kb_bits_put(dtype, input, 1, kb_encode(dtype, u));
    c.op->reference(&p, in, NULL, 1, 0, 1, &want, bound ? bound : &unused);
    return want;
}

static double silu(double x) {
    return x / (1 + exp(-x));
}

static bool near(double a, double b) {
    return fabs(a - b) <= 1e-12 * fabs(b);
}

static void the_gate_is_clamped_above_and_the_up_on_both_sides(void **state) {
    (void)state;
    assert_true(near(clamped(KB_FP32, 3, 60, 1, NULL), silu(3)));
    assert_true(near(clamped(KB_FP32, 3, -4, 1, NULL), silu(-4)));
    assert_true(near(clamped(KB_FP32, 3, 1, 60, NULL), 3 * silu(1)));
    assert_true(near(clamped(KB_FP32, 3, 1, -60, NULL), -3 * silu(1)));
    assert_true(near(clamped(KB_FP32, 3, 2, -2, NULL), -2 * silu(2)));
    assert_true(near(clamped(KB_FP32, 3, INFINITY, -INFINITY, NULL), -3 * silu(3)));
}

static void the_limit_is_rounded_to_the_dtype_first(void **state) {
    (void)state;
    double limit = kb_decode(KB_BF16, kb_encode(KB_BF16, 7.03));
    assert_true(limit != 7.03);
    assert_true(near(clamped(KB_BF16, 7.03, 100, 100, NULL), limit * silu(limit)));
    assert_true(
        near(clamped(KB_FP32, 7.03, 100, 100, NULL), (double)7.03f * silu((double)7.03f)));
}

static void a_clamp_keeps_nan_and_the_infinity_below(void **state) {
    (void)state;
    double bound;
    assert_true(isnan(clamped(KB_BF16, 7, NAN, 1, &bound)) && bound == 0);
    assert_true(isnan(clamped(KB_BF16, 7, 1, NAN, &bound)) && bound == 0);
    assert_true(isnan(clamped(KB_BF16, 7, -INFINITY, 1, &bound)) && bound == 0);
    /* No up is infinite any more, so that nobody sees whether act(x) is 0. */
    assert_true(clamped(KB_BF16, 7, -1000, INFINITY, &bound) == 0 && isfinite(bound));
}

static void a_table_of_gates_knows_the_clamp(void **state) {
    (void)state;
    struct run r;
    run_make(&r, "silu/64x2048/bf16/clamp=3/fill=bits");
    int64_t n = r.p.tensors[1].elements;
    double *want = calloc((size_t)n, sizeof *want),
           *bound = calloc((size_t)n, sizeof *bound);
    void *table = r.c.op->prepare(&r.p, (const void *const *)r.data);
    assert_non_null(table);
    r.c.op->reference(&r.p, (const void *const *)r.data, table, 1, 0, n, want, bound);
    for (int64_t i = 0; i < n; i++) {
        assert_true(want[i] == r.want[i] || (isnan(want[i]) && isnan(r.want[i])));
        assert_true(bound[i] == r.bound[i]);
    }
    free(table);
    free(want);
    free(bound);
    run_free(&r);
}

static void normal_inputs_meet_the_clamp_from_both_sides(void **state) {
    (void)state;
    static const char *const ids[] = {"silu/64x512/bf16/clamp=3",
                                      "silu/64x512/fp32/clamp=15"};
    for (size_t i = 0; i < KB_COUNT(ids); i++) {
        struct run r;
        run_make(&r, ids[i]);
        double limit = name_value(&r.p, "limit");
        int64_t n = r.p.tensors[0].elements, above = 0, below = 0;
        for (int64_t e = 0; e < n; e++) {
            above += input_at(&r, e) > limit;
            below += input_at(&r, e) < -limit;
        }
        /* N(0, 2 limit): 31 % lie past the limit on each side. */
        assert_in_range(above, n / 4, n * 2 / 5);
        assert_in_range(below, n / 4, n * 2 / 5);
        run_free(&r);
    }
}

/* ---- in place --------------------------------------------------------------------------
 */

static void in_place_the_gates_become_the_results_and_the_ups_stay(void **state) {
    (void)state;
    struct run r, plain;
    run_make(&r, "silu/5x34/bf16/inplace=yes");
    run_make(&plain, "silu/5x34/bf16");
    assert_int_equal(r.out, 0);
    assert_int_equal(r.p.tensors[0].role, KB_INOUT);
    assert_true(r.p.tensors[1].absent);
    assert_int_equal(r.p.bytes, plain.p.bytes);
    for (int64_t row = 0; row < 5; row++)
        for (int64_t col = 0; col < 34; col++) {
            int64_t at = row * 34 + col;
            if (col >= 17) {
                assert_true(r.bound[at] == KB_KEEP);
                continue;
            }
            assert_true(r.want[at] == plain.want[row * 17 + col]);
            assert_true(r.bound[at] == plain.bound[row * 17 + col]);
        }
    run_free(&r);
    run_free(&plain);
}

static void in_place_a_filtered_row_stays_as_a_whole(void **state) {
    (void)state;
    struct run r;
    int64_t whole = 0;
    run_make(&r, "gelu/16x34/fp32/filter=ids/inplace=yes");
    for (int64_t row = 0; row < 16; row++) {
        bool skipped = ((int32_t *)r.data[2])[row] == -1;
        whole += skipped;
        for (int64_t col = 0; col < 34; col++)
            assert_int_equal(r.bound[row * 34 + col] == KB_KEEP, skipped || col >= 17);
    }
    assert_int_equal(whole, 6);
    run_free(&r);
}

/* ---- splits ----------------------------------------------------------------------------
 */

static void any_split_gives_the_same_with_any_parameter(void **state) {
    (void)state;
    static const char *const ids[] = {
        "silu/67x514/bf16/filter=sorted/step=3/clamp=7",
        "gelu/67x514/fp16/filter=ids/inplace=yes/round=act",
        "silu/67x514/fp32/layout=up_gate/clamp=3/fill=bits",
    };
    for (size_t i = 0; i < KB_COUNT(ids); i++) {
        struct run a;
        run_make(&a, ids[i]);
        for (int t = 0; t < a.p.n_tensors; t++) {
            const struct kb_tensor_spec *spec = &a.p.tensors[t];
            size_t width = kb_dtype_bytes(spec->dtype);
            char part[1000 * 4];
            if (spec->absent || spec->role == KB_OUT)
                continue;
            for (int64_t at = 0, n; at < spec->elements; at += n) {
                n = spec->elements - at < 777 ? spec->elements - at : 777;
                a.c.op->fill(&a.p, t, SEED, at, n, part);
                assert_memory_equal(part, (char *)a.data[t] + (size_t)at * width,
                                    (size_t)n * width);
            }
        }
        for (int64_t at = 0, n, end = a.p.tensors[a.out].elements; at < end; at += n) {
            double want[601], bound[601];
            n = end - at < 601 ? end - at : 601;
            a.c.op->reference(&a.p, (const void *const *)a.data, NULL, a.out, at, n, want,
                              bound);
            for (int64_t k = 0; k < n; k++) {
                double w = a.want[at + k];
                assert_true(want[k] == w || (isnan(want[k]) && isnan(w)));
                assert_true(bound[k] == a.bound[at + k]);
            }
        }
        run_free(&a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_does_not_go_together_is_refused_with_its_own_words),
        cmocka_unit_test(ids_of_the_parameters_are_canonical),
        cmocka_unit_test(the_two_roundings_differ_by_an_ulp_in_a_quarter_of_the_outputs),
        cmocka_unit_test(up_gate_is_the_same_row_with_its_halves_the_other_way_round),
        cmocka_unit_test(the_gate_is_clamped_above_and_the_up_on_both_sides),
        cmocka_unit_test(the_limit_is_rounded_to_the_dtype_first),
        cmocka_unit_test(a_clamp_keeps_nan_and_the_infinity_below),
        cmocka_unit_test(a_table_of_gates_knows_the_clamp),
        cmocka_unit_test(normal_inputs_meet_the_clamp_from_both_sides),
        cmocka_unit_test(in_place_the_gates_become_the_results_and_the_ups_stay),
        cmocka_unit_test(in_place_a_filtered_row_stays_as_a_whole),
        cmocka_unit_test(any_split_gives_the_same_with_any_parameter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
