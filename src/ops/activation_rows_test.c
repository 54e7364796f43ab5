/* activation_rows_test.c - silu, gelu and gelu_tanh with the parameters that say where and
 * on which rows: layout, clamp, filter and in place. */
#include "ops/activation_fixture.h"

static double name_value(const struct kb_problem *p, const char *name) {
    for (int i = 0; i < p->n_names; i++)
        if (!strcmp(p->names[i].name, name))
            return p->names[i].value;
    fail_msg("no name %s", name);
    return NAN;
}

static void assert_refused(const char *id, const char *message) {
    struct kb_arena arena = {0};
    struct kb_complaints complaints = {0};
    struct kb_case c;
    struct kb_problem p;
    struct kb_err err = {0};
    if (!kb_case_parse(id, &arena, &c, &complaints)) {
        if (!strstr(complaints.text.data, message))
            fail_msg("%s: %s", id, complaints.text.data);
    } else {
        assert_false(kb_case_resolve(&c, &p, &err));
        assert_int_equal(err.kind, KB_INPUT);
        assert_string_equal(err.msg, message);
    }
    kb_complaints_free(&complaints);
    kb_arena_free(&arena);
}

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

/* ---- filters ---------------------------------------------------------------------------
 */

static bool kept(const struct run *r, int64_t row) {
    int64_t hidden = r->p.tensors[0].shape[1] / 2;
    int64_t n = 0;
    for (int64_t i = 0; i < hidden; i++)
        n += r->bound[row * hidden + i] == KB_KEEP;
    assert_true(n == 0 || n == hidden);
    return n > 0;
}

static void rows_whose_expert_is_minus_one_are_kept(void **state) {
    (void)state;
    struct run r, plain;
    run_make(&r, "silu/83x1024/bf16/filter=ids/step=16");
    run_make(&plain, "silu/83x1024/bf16");
    const int32_t *ids = r.data[2];
    int64_t n = 0;
    assert_int_equal(r.p.tensors[2].elements, 6);
    for (int64_t row = 0; row < 83; row++) {
        bool skipped = ids[row / 16] == -1;
        assert_int_equal(kept(&r, row), skipped);
        n += skipped;
        for (int64_t i = row * 512; i < (row + 1) * 512 && !skipped; i++)
            assert_true(r.want[i] == plain.want[i] && r.bound[i] == plain.bound[i]);
    }
    assert_true(n > 0 && n < 83);
    run_free(&r);
    run_free(&plain);
}

static void as_many_groups_are_skipped_as_asked_whatever_the_seed(void **state) {
    (void)state;
    static const struct {
        const char *id;
        int64_t groups, skipped;
    } cases[] = {
        {"gelu/1000x4/bf16/filter=ids", 1000, 400},
        {"gelu/1000x4/bf16/filter=ids/skip=0.25", 1000, 250},
        {"gelu/1000x4/bf16/filter=ids/skip=0", 1000, 0},
        {"gelu/1000x4/bf16/filter=ids/skip=1", 1000, 1000},
        {"gelu/1000x4/bf16/filter=ids/step=16", 63, 25},
        {"gelu/2x4/bf16/filter=ids/skip=0.01", 2, 1}, /* some and not all */
        {"gelu/2x4/bf16/filter=ids/skip=0.99", 2, 1},
        {"gelu/0x4/bf16/filter=ids", 0, 0},
        {"gelu/1x4/bf16/filter=ids", 1, 0},
    };
    for (size_t i = 0; i < KB_COUNT(cases); i++)
        for (uint64_t seed = 1; seed < 4; seed++) {
            struct run r;
            int64_t skipped = 0, zero = 0;
            run_make(&r, cases[i].id);
            r.c.op->fill(&r.p, 2, seed, 0, r.p.tensors[2].elements, r.data[2]);
            assert_int_equal(r.p.tensors[2].elements, cases[i].groups);
            for (int64_t g = 0; g < cases[i].groups; g++) {
                int32_t id = ((int32_t *)r.data[2])[g];
                assert_true(id >= -1);
                skipped += id == -1;
                zero += id == 0;
            }
            /* Expert 0 is computed: there a kernel that tests for <= 0 shows. */
            assert_int_equal(zero > 0, cases[i].skipped < cases[i].groups);
            assert_int_equal(skipped, cases[i].skipped);
            run_free(&r);
        }
}

static void which_groups_are_skipped_is_the_seeds(void **state) {
    (void)state;
    struct run r;
    int32_t other[1000];
    int differ = 0;
    run_make(&r, "silu/1000x4/bf16/filter=ids");
    r.c.op->fill(&r.p, 2, SEED + 1, 0, 1000, other);
    for (int i = 0; i < 1000; i++)
        differ += (other[i] == -1) != (((int32_t *)r.data[2])[i] == -1);
    assert_in_range(differ, 350, 600);
    run_free(&r);
}

static void sorted_rows_are_kept_past_the_end_and_where_the_id_is_none(void **state) {
    (void)state;
    struct run r;
    run_make(&r, "gelu_tanh/256x2048/fp16/filter=sorted/step=16");
    const int32_t *experts = r.data[2], *sorted = r.data[3], *post = r.data[4];
    double num_valid = name_value(&r.p, "num_valid");
    int past = 0, padding = 0, negative = 0, expert = 0, done = 0;
    assert_int_equal(post[0], 224);
    assert_true(num_valid == 224);
    for (int row = 0; row < 256; row++) {
        bool none = (double)(uint32_t)sorted[row] >= num_valid;
        bool skipped = row >= post[0] || none || experts[row / 16] == -1;
        past += row >= post[0] && !none && experts[row / 16] != -1;
        padding += row < post[0] && none && experts[row / 16] != -1;
        negative += row < post[0] && sorted[row] < 0;
        expert += row < post[0] && !none && experts[row / 16] == -1;
        done += !skipped;
        assert_int_equal(kept(&r, row), skipped);
    }
    /* Each of the rules alone keeps some row, or a kernel without it would pass. */
    assert_true(past > 0 && padding > 0 && negative > 0 && expert > 0 && done > 0);
    run_free(&r);
}

static void
sorted_ids_are_tokens_once_each_and_the_first_padding_is_num_valid(void **state) {
    (void)state;
    struct run r;
    bool seen[83] = {false}, limit = false;
    run_make(&r, "silu/83x1024/bf16/filter=sorted/num_valid=60");
    assert_true(name_value(&r.p, "num_valid") == 60);
    for (int row = 0; row < 83; row++) {
        int32_t id = ((int32_t *)r.data[3])[row];
        limit |= id == 60;
        if (id < 0 || id >= 60)
            continue;
        assert_false(seen[id]);
        seen[id] = true;
    }
    for (int id = 0; id < 60; id++)
        assert_true(seen[id]);
    assert_true(limit);
    run_free(&r);
}

static void no_row_is_kept_where_nothing_is_skipped(void **state) {
    (void)state;
    static const char *const ids[] = {"silu/64x512/bf16/filter=ids/skip=0",
                                      "silu/64x512/bf16/filter=sorted/skip=0"};
    struct run plain;
    run_make(&plain, "silu/64x512/bf16");
    for (size_t i = 0; i < KB_COUNT(ids); i++) {
        struct run r;
        run_make(&r, ids[i]);
        size_t bytes = (size_t)r.p.tensors[1].elements * sizeof *r.want;
        assert_memory_equal(r.want, plain.want, bytes);
        assert_memory_equal(r.bound, plain.bound, bytes);
        run_free(&r);
    }
    run_free(&plain);
}

static void every_row_is_kept_where_all_are_skipped(void **state) {
    (void)state;
    static const char *const ids[] = {"silu/32x512/bf16/filter=ids/skip=1",
                                      "silu/32x512/bf16/filter=sorted/skip=1/step=5"};
    for (size_t i = 0; i < KB_COUNT(ids); i++) {
        struct run r;
        run_make(&r, ids[i]);
        for (int row = 0; row < 32; row++)
            assert_true(kept(&r, row));
        assert_int_equal(r.p.flops, 0);
        run_free(&r);
    }
}

static void the_cost_is_that_of_the_rows_that_are_computed_and_of_the_ids(void **state) {
    (void)state;
    struct run r;
    run_make(&r, "silu/1000x1024/bf16/filter=ids/skip=0.25");
    assert_int_equal(r.p.bytes, 750 * 3 * 512 * 2 + 4 * 1000);
    assert_int_equal(r.p.flops, 750 * 512 * 5);
    assert_int_equal(r.p.ceiling_elements, 750 * 1024);
    run_free(&r);
    run_make(&r, "silu/256x1024/bf16/filter=sorted/step=16/skip=0.5/num_valid=128");
    /* 8 of 16 groups, 256 - 40 rows, 128 of 256 ids */
    assert_int_equal(r.p.bytes, 54 * 3 * 512 * 2 + 4 * (16 + 256 + 1));
    run_free(&r);
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
        cmocka_unit_test(rows_whose_expert_is_minus_one_are_kept),
        cmocka_unit_test(as_many_groups_are_skipped_as_asked_whatever_the_seed),
        cmocka_unit_test(which_groups_are_skipped_is_the_seeds),
        cmocka_unit_test(sorted_rows_are_kept_past_the_end_and_where_the_id_is_none),
        cmocka_unit_test(
            sorted_ids_are_tokens_once_each_and_the_first_padding_is_num_valid),
        cmocka_unit_test(no_row_is_kept_where_nothing_is_skipped),
        cmocka_unit_test(every_row_is_kept_where_all_are_skipped),
        cmocka_unit_test(the_cost_is_that_of_the_rows_that_are_computed_and_of_the_ids),
        cmocka_unit_test(in_place_the_gates_become_the_results_and_the_ups_stay),
        cmocka_unit_test(in_place_a_filtered_row_stays_as_a_whole),
        cmocka_unit_test(any_split_gives_the_same_with_any_parameter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
