/* moe_routing_fill_test.c - inputs of moe_routing: what each fill promises. */
#include "ops/op_fixture.h"

enum { LOGITS, SCALE };
enum { TOKENS = 512, EXPERTS = 128, ALL = TOKENS * EXPERTS };

static void make(struct kb_case *c, struct kb_problem *p, enum kb_dtype dtype,
                 enum kb_fill fill) {
    *c = op_case("moe_routing", "512x128", dtype, "");
    c->fill = fill;
    resolve(c, p);
}

/* All of a tensor as doubles; the caller frees. */
static double *values_of(enum kb_dtype dtype, enum kb_fill fill, int t, uint64_t seed) {
    struct kb_case c;
    struct kb_problem p;
    make(&c, &p, dtype, fill);
    int64_t n = p.tensors[t].elements;
    void *data = malloc((size_t)n * 4);
    double *values = malloc((size_t)n * sizeof *values);
    assert_true(data && values);
    c.op->fill(&p, t, seed, 0, n, data);
    kb_decode_range(p.tensors[t].dtype, data, 0, n, values);
    free(data);
    return values;
}

static int compare_doubles(const void *a, const void *b) {
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x < y) - (x > y);
}

static void any_split_gives_the_same(void **state) {
    (void)state;
    struct kb_case c;
    struct kb_problem p;
    const struct kb_op *op = kb_op_find("moe_routing");
    unsigned char *whole = malloc(ALL * 4), *parts = malloc(ALL * 4);
    assert_true(whole && parts);
    for (int f = 0; f < op->n_fills; f++)
        for (int t = LOGITS; t <= SCALE; t++) {
            make(&c, &p, KB_FP32, op->fills[f]);
            int64_t n = p.tensors[t].elements;
            op->fill(&p, t, 7, 0, n, whole);
            for (int64_t at = 0, count; at < n; at += count) {
                count = at % 1501 + 1 < n - at ? at % 1501 + 1 : n - at;
                op->fill(&p, t, 7, at, count, parts + 4 * at);
            }
            assert_memory_equal(whole, parts, (size_t)n * 4);
        }
    free(whole);
    free(parts);
}

/* A gather from a neighbour, from the slot's own place or from nowhere shows. */
static void scales_tell_experts_apart(void **state) {
    (void)state;
    static const enum kb_fill fills[] = {KB_FILL_NORMAL, KB_FILL_CONSTANT, KB_FILL_TIES,
                                         KB_FILL_STEPS, KB_FILL_TINY};
    for (size_t f = 0; f < KB_COUNT(fills); f++) {
        double *s = values_of(KB_BF16, fills[f], SCALE, 1), sum = 0;
        int same = 0;
        for (int e = 0; e < EXPERTS; e++) {
            assert_true(s[e] > 0 && s[e] <= 2);
            same += s[e] == s[(e + 1) % EXPERTS];
            sum += s[e];
        }
        assert_true(same <= 3);
        assert_true(sum > 0.8 * EXPERTS && sum < 1.2 * EXPERTS);
        free(s);
    }
}

static void scales_are_special_where_the_fill_is(void **state) {
    (void)state;
    static const enum kb_fill fills[] = {KB_FILL_NAN, KB_FILL_ZEROS, KB_FILL_OUTLIERS};
    for (size_t f = 0; f < KB_COUNT(fills); f++) {
        double *s = values_of(KB_FP32, fills[f], SCALE, 1);
        int nans = 0, infinities = 0, zeros = 0, negative = 0;
        for (int e = 0; e < EXPERTS; e++) {
            nans += isnan(s[e]);
            infinities += isinf(s[e]) != 0;
            zeros += s[e] == 0;
            negative += s[e] < 0;
        }
        assert_true((nans > 0) == (fills[f] == KB_FILL_NAN));
        assert_true((infinities > 0) == (fills[f] == KB_FILL_NAN));
        assert_in_range(zeros, 5, EXPERTS / 2);
        assert_in_range(negative, 5, EXPERTS / 2);
        free(s);
    }
}

static void ties_lie_within_the_slots_and_across_the_cut(void **state) {
    (void)state;
    double *x = values_of(KB_BF16, KB_FILL_TIES, LOGITS, 1);
    int within = 0, across = 0;
    for (int t = 0; t < TOKENS; t++) {
        double *row = x + t * EXPERTS;
        qsort(row, EXPERTS, sizeof *row, compare_doubles);
        for (int j = 0; j < 7; j++)
            within += row[j] == row[j + 1];
        across += row[7] == row[8];
        for (int e = 0; e < EXPERTS; e++)
            assert_true(2 * row[e] == floor(2 * row[e]));
    }
    assert_true(within > 4 * TOKENS);
    assert_in_range(across, TOKENS / 2, TOKENS - TOKENS / 20);
    free(x);
}

static void steps_fall_and_rise_with_and_without_a_peak(void **state) {
    (void)state;
    double *x = values_of(KB_FP32, KB_FILL_STEPS, LOGITS, 1);
    for (int t = 0; t < TOKENS; t++)
        for (int e = 0; e < EXPERTS; e++) {
            int below = t % 2 ? EXPERTS - 1 - e : e;
            double want = below == 0 && t % 4 < 2 ? 1000 : -below;
            assert_true(x[t * EXPERTS + e] == want);
        }
    free(x);
}

static void masked_rows_have_half_two_or_no_experts(void **state) {
    (void)state;
    double *x = values_of(KB_FP16, KB_FILL_MASKED, LOGITS, 1);
    for (int t = 0; t < TOKENS; t++) {
        int kept = 0;
        for (int e = 0; e < EXPERTS; e++) {
            double l = x[t * EXPERTS + e];
            assert_true(isfinite(l) || l == -(double)INFINITY);
            kept += isfinite(l);
        }
        if (t % 16 == 15)
            assert_int_equal(kept, 0);
        else if (t % 4 == 3)
            assert_in_range(kept, 1, 2);
        else
            assert_in_range(kept, EXPERTS / 4, EXPERTS * 3 / 4);
    }
    free(x);
}

static void nans_have_both_signs(void **state) {
    (void)state;
    static const enum kb_dtype dtypes[] = {KB_BF16, KB_FP16, KB_FP32};
    for (size_t d = 0; d < KB_COUNT(dtypes); d++) {
        double *x = values_of(dtypes[d], KB_FILL_NAN, LOGITS, 1);
        int positive = 0, negative = 0;
        for (int i = 0; i < ALL; i++) {
            positive += isnan(x[i]) && !signbit(x[i]);
            negative += isnan(x[i]) && signbit(x[i]);
        }
        assert_true(positive > ALL / 1000 && negative > ALL / 1000);
        free(x);
    }
}

static void another_seed_gives_other_inputs(void **state) {
    (void)state;
    static const enum kb_fill fills[] = {KB_FILL_NORMAL, KB_FILL_TIES, KB_FILL_MASKED};
    for (size_t f = 0; f < KB_COUNT(fills); f++)
        for (int t = LOGITS; t <= SCALE; t++) {
            double *a = values_of(KB_FP32, fills[f], t, 1);
            double *b = values_of(KB_FP32, fills[f], t, 2);
            int n = t == SCALE ? EXPERTS : ALL, differ = 0;
            for (int i = 0; i < n; i++)
                differ += a[i] != b[i];
            assert_true(differ > n / 2);
            free(a);
            free(b);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_split_gives_the_same),
        cmocka_unit_test(scales_tell_experts_apart),
        cmocka_unit_test(scales_are_special_where_the_fill_is),
        cmocka_unit_test(ties_lie_within_the_slots_and_across_the_cut),
        cmocka_unit_test(steps_fall_and_rise_with_and_without_a_peak),
        cmocka_unit_test(masked_rows_have_half_two_or_no_experts),
        cmocka_unit_test(nans_have_both_signs),
        cmocka_unit_test(another_seed_gives_other_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
