/* moe_routing_sums_test.c - what a weight of moe_routing is made of, and what it comes to
 * where sums are kept in bf16: far past the bound, or not different at all. */
#include "ops/moe_routing_fixture.h"

static void a_weight_is_made_of_a_logit_and_a_scale(void **state) {
    (void)state;
    struct routed r;
    struct kb_source s[KB_MAX_SOURCES];
    const void *in[] = {golden_logits, golden_scale, NULL, NULL};
    route(&r, 8, golden_logits, golden_scale, "topk=4", NULL);
    assert_int_equal(r.c.op->sources(&r.p, in, WEIGHTS, 2, s), 4); /* expert 5 */
    assert_string_equal(s[0].name, "logit");
    assert_string_equal(s[1].name, "scale");
    assert_true(s[0].value == 2 && s[1].value == 1.5);
    assert_string_equal(s[2].name, "largest");
    assert_string_equal(s[3].name, "sum");
    assert_true(s[2].value == 2 && s[3].value == 3 + exp(-1));
    assert_int_equal(r.c.op->sources(&r.p, in, IDS, 3, s), 1);
    assert_true(s[0].value == 1);
    route(&r, 8, golden_logits, golden_scale, "topk=4,scale=before", NULL);
    assert_int_equal(r.c.op->sources(&r.p, in, IDS, 0, s), 2); /* expert 2 */
    assert_true(s[0].value == 2 && s[1].value == 2);
}

/* Of the row that was routed; false where the op makes none. */
static bool low_of(const struct routed *r, const float *logits, int t, double *got) {
    const void *in[] = {logits, golden_scale, NULL, NULL};
    return r->c.op->low_precision(&r->p, in, NULL, t, 0, r->p.tensors[t].elements, got);
}

/* 1 + 3 exp(-1/2) and so on, each step rounded to 8 bits. */
static void a_sum_in_bf16_is_rounded_at_each_step(void **state) {
    (void)state;
    const float logits[] = {2, 1.5f, 1.5f, 1.5f};
    struct routed r;
    double got[MAX_SLOTS], sum = 0;
    route(&r, 4, logits, NULL, "topk=4,scale=none", NULL);
    assert_true(low_of(&r, logits, WEIGHTS, got));
    for (int j = 0; j < 4; j++)
        sum = kb_round(KB_BF16, sum + exp((double)logits[j] - 2));
    for (int j = 0; j < 4; j++) {
        assert_true(got[j] == exp((double)logits[j] - 2) / sum);
        assert_true(fabs(got[j] - r.weights[j]) > 100 * r.bounds[j]);
    }
}

static void a_sum_over_all_experts_in_bf16_stops_growing(void **state) {
    (void)state;
    float logits[1024];
    struct routed r;
    double got[MAX_SLOTS];
    for (int e = 0; e < 1024; e++)
        logits[e] = 0;
    route(&r, 1024, logits, NULL, "topk=2,norm=all,scale=none", NULL);
    assert_true(low_of(&r, logits, WEIGHTS, got));
    assert_true(got[0] == 1.0 / 256 && r.weights[0] == 1.0 / 1024);
}

static void weights_normalised_again_have_the_second_sum_in_bf16(void **state) {
    (void)state;
    struct routed r;
    double got[MAX_SLOTS];
    route(&r, 8, golden_logits, golden_scale, "topk=4,norm=scaled", NULL);
    assert_true(low_of(&r, golden_logits, WEIGHTS, got));
    for (int j = 0; j < 4; j++)
        assert_true(fabs(got[j] - r.weights[j]) > 100 * r.bounds[j]);
}

/* A peak and next to nothing beside it: 1 either way. */
static void what_bf16_does_not_lose_is_not_held_against_a_case(void **state) {
    (void)state;
    const float peak[] = {0, -12, -13}, equal[] = {1, 1, 1};
    struct routed r;
    double got[MAX_SLOTS];
    route(&r, 3, peak, NULL, "topk=3,scale=none", NULL);
    assert_true(low_of(&r, peak, WEIGHTS, got));
    assert_memory_equal(got, r.weights, 3 * sizeof *got);
    route(&r, 3, equal, NULL, "topk=3,scale=none", NULL);
    assert_true(low_of(&r, equal, WEIGHTS, got));
    assert_memory_equal(got, r.weights, 3 * sizeof *got);
}

static void ids_and_a_single_term_have_no_sums(void **state) {
    (void)state;
    struct routed r;
    double got[MAX_SLOTS];
    route(&r, 8, golden_logits, golden_scale, "topk=4", NULL);
    assert_false(low_of(&r, golden_logits, IDS, got));
    route(&r, 8, golden_logits, golden_scale, "topk=1", NULL);
    assert_false(low_of(&r, golden_logits, WEIGHTS, got));
    route(&r, 8, golden_logits, golden_scale, "topk=1,norm=all", NULL);
    assert_true(low_of(&r, golden_logits, WEIGHTS, got));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_weight_is_made_of_a_logit_and_a_scale),
        cmocka_unit_test(a_sum_in_bf16_is_rounded_at_each_step),
        cmocka_unit_test(a_sum_over_all_experts_in_bf16_stops_growing),
        cmocka_unit_test(weights_normalised_again_have_the_second_sum_in_bf16),
        cmocka_unit_test(what_bf16_does_not_lose_is_not_held_against_a_case),
        cmocka_unit_test(ids_and_a_single_term_have_no_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
