/* moe_routing_before_test.c - op moe_routing with scale=before: the order of products, and
 * which of them are alike. */
#include "ops/moe_routing_fixture.h"

static void scaled_before_the_selection_other_experts_are_chosen(void **state) {
    (void)state;
    struct routed r;
    route(&r, 8, golden_logits, golden_scale, "topk=3,scale=before", NULL);
    assert_ids(&r, (const int[]){2, 5, 0}); /* 4, 3, and the first of two 1 */
    double sum = 1 + exp(-1) + exp(-3);
    assert_weights(&r, (const double[]){1 / sum, exp(-1) / sum, exp(-3) / sum}, 1e-14);
}

static void products_are_rounded_to_fp32_before_they_are_compared(void **state) {
    (void)state;
    /* 1 + 2^-23 times 1 - 2^-24 is a little above 1, and 1 in fp32 */
    const float logits[] = {1, 1 + 0x1p-23f, 0.5f}, scale[] = {1, 1 - 0x1p-24f, 1};
    struct routed r;
    route(&r, 3, logits, scale, "topk=2,scale=before", NULL);
    assert_ids(&r, (const int[]){0, 1});
    assert_weights(&r, (const double[]){0.5, 0.5}, 0);
}

static void every_nan_comes_first_whichever_factor_makes_it(void **state) {
    (void)state;
    const float minus_nan = -NAN, inf = INFINITY;
    const float logits[] = {3, minus_nan, 0, inf, NAN, inf};
    const float scale[] = {1, 1, -inf, 0, -1, minus_nan};
    struct routed r;
    route(&r, 6, logits, scale, "topk=6,scale=before", NULL);
    assert_ids(&r, (const int[]){1, 2, 3, 4, 5, 0});
    assert_weights(&r, (const double[]){NAN, NAN, NAN, NAN, NAN, 1}, 0);
    route(&r, 6, logits, scale, "topk=6,scale=before,ties=high", NULL);
    assert_ids(&r, (const int[]){5, 4, 3, 2, 1, 0});
}

static void products_of_zero_have_a_sign(void **state) {
    (void)state;
    const float logits[] = {0, 0, -0.0f, -0.0f}, scale[] = {-1, 2, -1, 2};
    struct routed r;
    route(&r, 4, logits, scale, "topk=4,scale=before", NULL);
    assert_ids(&r, (const int[]){1, 2, 0, 3});
}

static void subnormal_and_infinite_products_keep_their_order(void **state) {
    (void)state;
    const float logits[] = {0x1p-140f, 0x1p-140f, 3e38f, 3e38f, -3e38f};
    const float scale[] = {1, 1.5f, 2, 1, 2};
    struct routed r;
    route(&r, 5, logits, scale, "topk=5,scale=before", NULL);
    assert_ids(&r, (const int[]){2, 3, 1, 0, 4});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scaled_before_the_selection_other_experts_are_chosen),
        cmocka_unit_test(products_are_rounded_to_fp32_before_they_are_compared),
        cmocka_unit_test(every_nan_comes_first_whichever_factor_makes_it),
        cmocka_unit_test(products_of_zero_have_a_sign),
        cmocka_unit_test(subnormal_and_infinite_products_keep_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
