/* moe_routing_test.c - op moe_routing: the order of ids, the weights, and what special
 * numbers make of them. The problem, the inputs and the bound have tests of their own. */
#include "ops/moe_routing_fixture.h"

/* ---- ids -------------------------------------------------------------------------------
 */

static void golden_values(void **state) {
    (void)state;
    struct routed r;
    route(&r, 8, golden_logits, golden_scale, "topk=4", NULL);
    assert_ids(&r, (const int[]){1, 2, 5, 0});
    assert_weights(&r, (const double[]){0.148461372, 0.593845487, 0.445384115, 0.109231777},
                   5e-8); /* fp32 ones */
    route(&r, 8, golden_logits, golden_scale, "topk=8", NULL);
    assert_ids(&r, (const int[]){1, 2, 5, 0, 4, 6, 7, 3});
}

static void the_order_is_that_of_sortable_bits(void **state) {
    (void)state;
    const float logits[] = {-(float)INFINITY,
                            -0.0f,
                            copysignf((float)NAN, -1),
                            1,
                            0.0f,
                            -1,
                            (float)INFINITY,
                            (float)NAN,
                            -0x1p-149f,
                            0x1p-149f};
    struct routed r;
    route(&r, 10, logits, NULL, "", NULL);
    assert_ids(&r, (const int[]){7, 6, 3, 9, 4, 1, 8, 5});
    route(&r, 10, logits, NULL, "topk=10", NULL);
    assert_ids(&r, (const int[]){7, 6, 3, 9, 4, 1, 8, 5, 0, 2});
}

/* The same in the bits of each dtype, from every bit pattern of the 16-bit ones. */
static void every_16_bit_pattern_has_its_place(void **state) {
    (void)state;
    static const enum kb_dtype dtypes[] = {KB_BF16, KB_FP16};
    for (size_t d = 0; d < KB_COUNT(dtypes); d++) {
        struct kb_case c = case_of("2048x32", dtypes[d], "topk=32,scale=none");
        struct kb_problem p;
        uint16_t *logits = malloc(65536 * sizeof *logits);
        double *ids = malloc(65536 * sizeof *ids), *bound = malloc(65536 * sizeof *bound);
        assert_true(logits && ids && bound);
        resolve(&c, &p);
        for (int i = 0; i < 65536; i++) /* neighbours in order go to one row, mixed up */
            logits[i / 32 * 32 + i * 11 % 32] =
                (uint16_t)(i < 32768 ? 65535 - i : i - 32768);
        const void *in[] = {logits, NULL, NULL, NULL};
        c.op->reference(&p, in, NULL, IDS, 0, 65536, ids, bound);
        for (int i = 0; i < 65536; i++)
            assert_true(ids[i] == (31 - i % 32) * 11 % 32);
        free(logits);
        free(ids);
        free(bound);
    }
}

static void of_equal_logits_the_lower_id_comes_first(void **state) {
    (void)state;
    float logits[1000] = {0};
    struct routed r;
    route(&r, 1000, logits, NULL, "topk=4", NULL);
    assert_ids(&r, (const int[]){0, 1, 2, 3});
    assert_weights(&r, (const double[]){0.25, 0.25, 0.25, 0.25}, 0);
    route(&r, 1000, logits, NULL, "topk=4,ties=high", NULL);
    assert_ids(&r, (const int[]){999, 998, 997, 996});
    logits[500] = logits[600] = 1;
    route(&r, 1000, logits, NULL, "topk=4,ties=high", NULL);
    assert_ids(&r, (const int[]){600, 500, 999, 998});
}

static void zeros_of_both_signs_are_not_equal(void **state) {
    (void)state;
    const float logits[] = {-0.0f, 0.0f, -0.0f, 0.0f};
    struct routed r;
    route(&r, 4, logits, NULL, "topk=4", NULL);
    assert_ids(&r, (const int[]){1, 3, 0, 2});
    route(&r, 4, logits, NULL, "topk=4,ties=high", NULL);
    assert_ids(&r, (const int[]){3, 1, 2, 0});
}

/* ---- ties=any --------------------------------------------------------------------------
 */

static void with_ties_any_an_id_lies_among_its_equals(void **state) {
    (void)state;
    struct routed r;
    route(&r, 8, golden_logits, golden_scale, "topk=4,ties=any", NULL);
    assert_int_equal(r.p.tensors[IDS].rule, KB_RULE_BOUND);
    for (int j = 0; j < 3; j++) {
        assert_true(r.ids[j] == 3 && r.id_bounds[j] == 2); /* 1 to 5 */
        assert_true(r.bounds[j] > 0);
    }
    assert_true(r.ids[3] == 0 && r.id_bounds[3] == 0);
}

static void with_ties_any_the_weights_are_those_of_the_kernels_ids(void **state) {
    (void)state;
    static const int32_t chosen[] = {5, 2, 1, 0};
    struct routed r;
    route(&r, 8, golden_logits, golden_scale, "topk=4,ties=any", chosen);
    assert_weights(&r, (const double[]){0.445384115, 0.593845487, 0.148461372, 0.109231777},
                   5e-8);
}

static void with_ties_any_a_wrong_id_has_no_right_weight(void **state) {
    (void)state;
    static const int32_t wrong[][4] = {{3, 2, 1, 0},           /* another logit */
                                       {2, 2, 1, 0},           /* there twice: the second */
                                       {-1, 2, 1, 0},          /* none */
                                       {8, 2, 1, 0},           /* one past the end */
                                       {INT32_MIN, 2, 5, 0},   /* none either */
                                       {1000000000, 2, 5, 0}}; /* far past the end */
    static const int slots[] = {0, 1, 0, 0, 0, 0};
    for (size_t i = 0; i < KB_COUNT(wrong); i++) {
        struct routed r;
        route(&r, 8, golden_logits, golden_scale, "topk=4,ties=any", wrong[i]);
        for (int j = 0; j < 4; j++)
            assert_true((r.weights[j] == -(double)INFINITY) == (j == slots[i]));
        assert_true(r.bounds[slots[i]] == 0);
    }
}

/* ---- weights ---------------------------------------------------------------------------
 */

static void one_slot_has_the_weight_of_its_scale(void **state) {
    (void)state;
    static const float scales[] = {0.75f, -3, 0.0f, (float)INFINITY, (float)NAN};
    for (int e = 0; e < 5; e++) {
        float logits[5] = {0};
        struct routed r;
        logits[e] = 2.5f;
        route(&r, 5, logits, scales, "topk=1", NULL);
        assert_ids(&r, &e);
        assert_weights(&r, (const double[]){(double)scales[e]}, 0);
    }
}

static void weights_without_a_scale_sum_to_1(void **state) {
    (void)state;
    struct routed r;
    float logits[100];
    for (int e = 0; e < 100; e++)
        logits[e] = (float)(e * 37 % 100) / 8;
    route(&r, 100, logits, NULL, "topk=32,scale=none", NULL);
    double sum = 0;
    for (int j = 0; j < 32; j++)
        sum += r.weights[j];
    assert_true(fabs(sum - 1) < 1e-14);
    assert_true(fabs(r.weights[0] / r.weights[8] - exp(1)) < 1e-13);
}

static void over_all_experts_those_not_selected_count_too(void **state) {
    (void)state;
    struct routed r;
    double sum = 0, want[4];
    for (int e = 0; e < 8; e++)
        sum += exp((double)golden_logits[e]);
    route(&r, 8, golden_logits, golden_scale, "topk=4,norm=all", NULL);
    for (int j = 0; j < 4; j++) {
        int e = (int)r.ids[j];
        want[j] = exp((double)golden_logits[e]) / sum * (double)golden_scale[e];
    }
    assert_weights(&r, want, 1e-14);
}

static void normalised_after_the_scale_they_sum_to_1(void **state) {
    (void)state;
    struct routed r;
    route(&r, 8, golden_logits, golden_scale, "topk=4,norm=scaled", NULL);
    double sum = 1 * 0.5 + 2 + 1.5 + exp(-1);
    assert_weights(&r, (const double[]){0.5 / sum, 2 / sum, 1.5 / sum, exp(-1) / sum},
                   1e-14);
}

static void a_peak_leaves_the_others_nothing_and_in_order(void **state) {
    (void)state;
    float logits[16];
    struct routed r;
    for (int e = 0; e < 16; e++)
        logits[e] = e ? (float)-e : 1000;
    route(&r, 16, logits, NULL, "topk=4", NULL);
    assert_ids(&r, (const int[]){0, 1, 2, 3});
    assert_weights(&r, (const double[]){1, 0, 0, 0}, 0);
}

/* ---- special numbers -------------------------------------------------------------------
 */

static void a_nan_is_alone_in_its_slot_and_the_others_are_not_divided(void **state) {
    (void)state;
    const float logits[] = {1, (float)NAN, 3, 2};
    const float scale[] = {1, 1, 2, 1};
    struct routed r;
    route(&r, 4, logits, scale, "topk=4", NULL);
    assert_ids(&r, (const int[]){1, 2, 3, 0});
    assert_weights(&r, (const double[]){NAN, 2, exp(-1), exp(-2)}, 1e-15);
    route(&r, 4, logits, scale, "topk=3", NULL);
    assert_weights(&r, (const double[]){NAN, 2, exp(-1)}, 1e-15);
    route(&r, 4, logits, scale, "topk=1", NULL);
    assert_weights(&r, (const double[]){NAN}, 0);
}

static void a_negative_nan_comes_last(void **state) {
    (void)state;
    const float logits[] = {copysignf((float)NAN, -1), -(float)INFINITY, 0};
    struct routed r;
    route(&r, 3, logits, NULL, "topk=3", NULL);
    assert_ids(&r, (const int[]){2, 1, 0});
    assert_weights(&r, (const double[]){1, 0, NAN}, 0);
    route(&r, 3, logits, NULL, "topk=2", NULL);
    assert_weights(&r, (const double[]){1, 0}, 0);
}

static void infinities_follow_the_formula(void **state) {
    (void)state;
    const float up[] = {1, (float)INFINITY, 2}, down[] = {1, -(float)INFINITY, 2};
    const float none[] = {-(float)INFINITY, -(float)INFINITY};
    struct routed r;
    route(&r, 3, up, NULL, "topk=3", NULL);
    assert_ids(&r, (const int[]){1, 2, 0});
    assert_weights(&r, (const double[]){NAN, 0, 0}, 0);
    route(&r, 3, down, NULL, "topk=3", NULL);
    assert_ids(&r, (const int[]){2, 0, 1});
    assert_weights(&r, (const double[]){1 / (1 + exp(-1)), exp(-1) / (1 + exp(-1)), 0},
                   1e-15);
    route(&r, 2, none, NULL, "topk=2", NULL);
    assert_ids(&r, (const int[]){0, 1});
    assert_weights(&r, (const double[]){NAN, NAN}, 0);
}

static void op_by_op_one_nan_makes_a_row_nan(void **state) {
    (void)state;
    const float nan[] = {1, (float)NAN, 3}, up[] = {1, (float)INFINITY, 2};
    const double all[] = {NAN, NAN, NAN};
    struct routed r;
    route(&r, 3, nan, NULL, "topk=3,mode=eager", NULL);
    assert_ids(&r, (const int[]){1, 2, 0});
    assert_weights(&r, all, 0);
    route(&r, 3, up, NULL, "topk=3,mode=eager", NULL);
    assert_weights(&r, all, 0);
}

static void where_a_flush_makes_nan_of_infinity_nothing_is_judged(void **state) {
    (void)state;
    const float logits[] = {100, 12, 0, -200}, scale[] = {1, 1, (float)INFINITY, 1};
    const float infinite[] = {1, (float)INFINITY, 1, (float)INFINITY};
    struct routed r;
    route(&r, 4, logits, infinite, "topk=4", NULL); /* exp(-88) and exp(-300) */
    assert_true(r.weights[1] == (double)INFINITY && r.bounds[1] == (double)INFINITY);
    assert_true(r.weights[3] == (double)INFINITY && r.bounds[3] == (double)INFINITY);
    assert_true(r.bounds[0] < 1e-5 && r.bounds[2] < 1e-37);
    route(&r, 4, logits, scale, "topk=3", NULL); /* exp(-100) */
    assert_true(r.bounds[2] == (double)INFINITY);
}

/* ---- op by op --------------------------------------------------------------------------
 */

static double rounded(enum kb_dtype dtype, double v) {
    return kb_decode(dtype, kb_encode(dtype, v));
}

static void op_by_op_the_share_the_scale_and_the_product_are_rounded(void **state) {
    (void)state;
    static const enum kb_dtype dtypes[] = {KB_BF16, KB_FP16};
    for (size_t d = 0; d < KB_COUNT(dtypes); d++) {
        struct kb_case c = case_of("1x8", dtypes[d], "topk=4,mode=eager,scale_dtype=fp32");
        struct kb_problem p;
        uint16_t logits[8];
        float scale[8];
        double w[4], bound[4], share = exp(-0.0) / (3 + exp(-1)), last = share * exp(-1);
        resolve(&c, &p);
        for (int e = 0; e < 8; e++) {
            logits[e] = (uint16_t)kb_encode(dtypes[d], (double)golden_logits[e]);
            scale[e] = golden_scale[e] * 1.2345f;
        }
        const void *in[] = {logits, scale, NULL, NULL};
        c.op->reference(&p, in, NULL, WEIGHTS, 0, 4, w, bound);
        static const int ids[] = {1, 2, 5, 0};
        for (int j = 0; j < 4; j++) {
            double s = rounded(dtypes[d], (double)scale[ids[j]]);
            double q = rounded(dtypes[d], j < 3 ? share : last);
            assert_true(w[j] == rounded(dtypes[d], q * s));
            assert_true(bound[j] == 0); /* no midpoint is near */
        }
    }
}

/* ---- the interface ---------------------------------------------------------------------
 */

static void any_split_of_the_outputs_gives_the_same(void **state) {
    (void)state;
    enum { SLOTS = 37 * 5 };
    static const char *const sets[] = {"topk=5", "topk=5,mode=eager", "topk=5,norm=scaled",
                                       "topk=5,ties=any"};
    for (size_t s = 0; s < KB_COUNT(sets); s++) {
        struct kb_case c = case_of("37x100", KB_BF16, sets[s]);
        struct kb_problem p;
        uint16_t logits[3700], scale[100];
        c.fill = KB_FILL_TIES;
        resolve(&c, &p);
        c.op->fill(&p, LOGITS, 1, 0, 3700, logits);
        c.op->fill(&p, SCALE, 1, 0, 100, scale);
        const void *in[] = {logits, scale, NULL, NULL};
        for (int t = WEIGHTS; t <= IDS; t++) {
            double want[SLOTS], bound[SLOTS], parts[SLOTS], part_bounds[SLOTS];
            c.op->reference(&p, in, NULL, t, 0, SLOTS, want, bound);
            for (int64_t at = 0, n; at < SLOTS; at += n) {
                n = at % 7 + 1 < SLOTS - at ? at % 7 + 1 : SLOTS - at;
                c.op->reference(&p, in, NULL, t, at, n, parts + at, part_bounds + at);
            }
            assert_memory_equal(want, parts, sizeof want);
            assert_memory_equal(bound, part_bounds, sizeof bound);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_values),
        cmocka_unit_test(the_order_is_that_of_sortable_bits),
        cmocka_unit_test(every_16_bit_pattern_has_its_place),
        cmocka_unit_test(of_equal_logits_the_lower_id_comes_first),
        cmocka_unit_test(zeros_of_both_signs_are_not_equal),
        cmocka_unit_test(with_ties_any_an_id_lies_among_its_equals),
        cmocka_unit_test(with_ties_any_the_weights_are_those_of_the_kernels_ids),
        cmocka_unit_test(with_ties_any_a_wrong_id_has_no_right_weight),
        cmocka_unit_test(one_slot_has_the_weight_of_its_scale),
        cmocka_unit_test(weights_without_a_scale_sum_to_1),
        cmocka_unit_test(over_all_experts_those_not_selected_count_too),
        cmocka_unit_test(normalised_after_the_scale_they_sum_to_1),
        cmocka_unit_test(a_peak_leaves_the_others_nothing_and_in_order),
        cmocka_unit_test(a_nan_is_alone_in_its_slot_and_the_others_are_not_divided),
        cmocka_unit_test(a_negative_nan_comes_last),
        cmocka_unit_test(infinities_follow_the_formula),
        cmocka_unit_test(op_by_op_one_nan_makes_a_row_nan),
        cmocka_unit_test(where_a_flush_makes_nan_of_infinity_nothing_is_judged),
        cmocka_unit_test(op_by_op_the_share_the_scale_and_the_product_are_rounded),
        cmocka_unit_test(any_split_of_the_outputs_gives_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
