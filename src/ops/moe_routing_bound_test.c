/* moe_routing_bound_test.c - the bound of moe_routing's weights: wide enough for every
 * right fp32 kernel, too tight for every wrong one.
 *
 * Kernels are modelled in plain C, in float, from the ids that the reference gives: what a
 * device would do, short of its own last bits, which the models with "2 ulp" in their names
 * stand for. */
#include "op.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LOGITS, SCALE, WEIGHTS, IDS };
enum { FP32, EAGER };
enum { SELECTED, ALL, SCALED };

/* ---- kernels ---------------------------------------------------------------------------
 */

/* Two ulp up for every other argument and down for the rest; 0 is 0. */
static float off(float v, float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    for (int i = 0; i < 2 && v > 0; i++)
        v = nextafterf(v, bits & 1 ? (float)INFINITY : 0.0f);
    return v;
}

static float exp_library(float x) {
    return expf(x);
}
static float exp_by_exp2(float x) {
    return exp2f(x * 1.44269504f);
}
static float exp_2ulp(float x) {
    return off(expf(x), x);
}
/* As __expf may be: 2 ulp, and 1.173 |x| of them more. */
static float exp_fast(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    float ulps = 2 + 1.173f * fabsf(x);
    return expf(x) * (1 + (bits & 1 ? ulps : -ulps) * 0x1p-24f);
}
static float exp_flushed(float x) {
    float p = expf(x);
    return p < 0x1p-126f ? 0.0f : p;
}
static float exp_double(float x) {
    return (float)exp((double)x);
}
static float exp_wrong_base(float x) {
    return exp2f(x * 1.4427f);
}
static float exp_in_bf16(float x) {
    return (float)kb_decode(KB_BF16, kb_encode(KB_BF16, exp((double)x)));
}
static float exp_series(float x) { /* two terms short of what it takes */
    float n = rintf(x * 1.44269504f), r = x - n * 0.693147182f;
    return ldexpf(1 + r * (1 + r * (0.5f + r * 0.166666667f)), (int)fmaxf(n, -200));
}

enum divide { QUOTIENT, RECIPROCAL, SCALE_FIRST };
enum wrong { RIGHT, ONE_LESS, ONE_MORE, NO_SUM, OVER_ALL, BY_SLOT, NO_MAXIMUM };

struct kernel {
    const char *name;
    float (*exp)(float x);
    enum divide divide;
    enum wrong wrong;
};

static const struct kernel right[] = {
    {"quotient", exp_library, QUOTIENT, RIGHT},
    {"reciprocal", exp_library, RECIPROCAL, RIGHT},
    {"scale first", exp_library, SCALE_FIRST, RIGHT},
    {"exp2", exp_by_exp2, RECIPROCAL, RIGHT},
    {"flushed", exp_flushed, QUOTIENT, RIGHT},
    {"double", exp_double, QUOTIENT, RIGHT},
};
static const struct kernel rough[] = {
    {"exp 2 ulp off", exp_2ulp, RECIPROCAL, RIGHT},
    {"fast exp", exp_fast, RECIPROCAL, RIGHT},
};
static const struct kernel wrong[] = {
    {"a wrong base", exp_wrong_base, QUOTIENT, RIGHT},
    {"exp in bf16", exp_in_bf16, QUOTIENT, RIGHT},
    {"a short series", exp_series, QUOTIENT, RIGHT},
    {"K-1 in the sum", exp_library, QUOTIENT, ONE_LESS},
    {"K+1 in the sum", exp_library, QUOTIENT, ONE_MORE},
    {"no sum", exp_library, QUOTIENT, NO_SUM},
    {"over all", exp_library, QUOTIENT, OVER_ALL},
    {"scale by slot", exp_library, QUOTIENT, BY_SLOT},
    {"no maximum", exp_library, QUOTIENT, NO_MAXIMUM},
};

/* ---- a case, and what a kernel makes of it ---------------------------------------------
 */

struct bench {
    struct kb_case c;
    struct kb_problem p;
    int64_t tokens, experts, slots;
    int topk;
    float *logits, *scale;
    double *ids, *want, *bound;
};

static float *floats_of(const struct kb_problem *p, int t, const void *data) {
    int64_t n = p->tensors[t].elements;
    double *values = malloc((size_t)n * sizeof *values);
    float *out = malloc((size_t)n * sizeof *out);
    assert_true(values && out);
    kb_decode_range(p->tensors[t].dtype, data, 0, n, values);
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)values[i];
    free(values);
    return out;
}

static void bench_make(struct bench *b, const char *shape, enum kb_dtype dtype,
                       enum kb_fill fill, int topk, int mode, int norm) {
    struct kb_err err = {0};
    kb_case_start(&b->c, kb_op_find("moe_routing"));
    b->c.dtype = dtype;
    b->c.fill = fill;
    b->c.set[0].v = topk;
    b->c.set[1].v = mode;
    b->c.set[3].v = norm;
    assert_true(kb_shape_parse(shape, b->c.shape, &b->c.rank));
    if (!kb_case_resolve(&b->c, &b->p, &err))
        fail_msg("%s", err.msg);
    b->tokens = b->c.shape[0];
    b->experts = b->c.shape[1];
    b->topk = topk;
    b->slots = b->tokens * topk;
    void *logits = malloc((size_t)(b->tokens * b->experts) * 4);
    void *scale = malloc((size_t)b->experts * 4);
    b->ids = malloc((size_t)b->slots * sizeof *b->ids);
    b->want = malloc((size_t)b->slots * sizeof *b->want);
    b->bound = malloc((size_t)b->slots * sizeof *b->bound);
    assert_true(logits && scale && b->ids && b->want && b->bound);
    b->c.op->fill(&b->p, LOGITS, 1, 0, b->tokens * b->experts, logits);
    b->c.op->fill(&b->p, SCALE, 1, 0, b->experts, scale);
    const void *in[] = {logits, scale, NULL, NULL};
    b->c.op->reference(&b->p, in, NULL, IDS, 0, b->slots, b->ids, b->bound);
    b->c.op->reference(&b->p, in, NULL, WEIGHTS, 0, b->slots, b->want, b->bound);
    b->logits = floats_of(&b->p, LOGITS, logits);
    b->scale = floats_of(&b->p, SCALE, scale);
    free(logits);
    free(scale);
}

static void bench_free(struct bench *b) {
    free(b->logits);
    free(b->scale);
    free(b->ids);
    free(b->want);
    free(b->bound);
}

static float round_to(enum kb_dtype dtype, float v) {
    return (float)kb_decode(dtype, kb_encode(dtype, (double)v));
}

static float sum_of(const struct bench *b, const struct kernel *k, const float *row,
                    const float *p, float m) {
    bool all = (k->wrong == OVER_ALL) != (b->c.set[3].v == ALL);
    int n = b->topk - (k->wrong == ONE_LESS);
    float sum = 0;
    for (int64_t e = 0; all && e < b->experts; e++)
        sum += k->exp(row[e] - m);
    for (int j = 0; !all && j < n; j++)
        sum += p[j];
    return k->wrong == NO_SUM ? 1 : k->wrong == ONE_MORE ? sum + p[b->topk - 1] / 2 : sum;
}

static float weight_of(const struct bench *b, const struct kernel *k, float p, float sum,
                       float scale) {
    float q = k->divide == QUOTIENT ? p / sum : p * (1 / sum);
    if (b->c.set[1].v == EAGER)
        return round_to(b->c.dtype, round_to(b->c.dtype, q) * round_to(b->c.dtype, scale));
    return k->divide == SCALE_FIRST ? p * scale / sum : q * scale;
}

/* The weights of one token. */
static void weigh(const struct bench *b, const struct kernel *k, int64_t token, float *w) {
    const float *row = b->logits + token * b->experts;
    const double *ids = b->ids + token * b->topk;
    float p[32], m = k->wrong == NO_MAXIMUM ? 0 : row[(int)ids[0]], total = 0;
    for (int j = 0; j < b->topk; j++)
        p[j] = k->exp(row[(int)ids[j]] - m);
    float sum = sum_of(b, k, row, p, m);
    for (int j = 0; j < b->topk; j++) {
        w[j] = weight_of(b, k, p[j], sum, b->scale[k->wrong == BY_SLOT ? j : (int)ids[j]]);
        total += w[j];
    }
    for (int j = 0; b->c.set[3].v == SCALED && j < b->topk; j++)
        w[j] /= total;
}

/* The worst element's share of the bound, as op.h says how outputs are compared. */
static double worst_share(const struct bench *b, const struct kernel *k) {
    double worst = 0;
    for (int64_t token = 0; token < b->tokens; token++) {
        float w[32];
        weigh(b, k, token, w);
        for (int j = 0; j < b->topk; j++) {
            int64_t i = token * b->topk + j;
            double err = fabs((double)w[j] - b->want[i]) - kb_ulp(KB_FP32, b->want[i]) / 2;
            if (isnan(w[j]) != isnan(b->want[i]) || isinf(w[j]) != isinf(b->want[i]))
                return INFINITY;
            if (err > 0)
                worst = fmax(worst, b->bound[i] > 0 ? err / b->bound[i] : INFINITY);
        }
    }
    return worst;
}

static const struct setting {
    const char *shape;
    int topk, mode, norm;
} settings[] = {
    {"400x128", 8, FP32, SELECTED},  {"400x64", 4, FP32, SELECTED},
    {"200x300", 32, FP32, SELECTED}, {"200x128", 8, FP32, ALL},
    {"100x1000", 10, FP32, ALL},     {"200x128", 8, FP32, SCALED},
    {"400x128", 8, EAGER, SELECTED}, {"200x128", 8, EAGER, ALL},
};
static const enum kb_dtype dtypes[] = {KB_BF16, KB_FP16, KB_FP32};

static void each_bench(void (*check)(const struct bench *b), enum kb_fill fill) {
    for (size_t s = 0; s < KB_COUNT(settings); s++)
        for (size_t d = 0; d < KB_COUNT(dtypes); d++) {
            struct bench b;
            bench_make(&b, settings[s].shape, dtypes[d], fill, settings[s].topk,
                       settings[s].mode, settings[s].norm);
            check(&b);
            bench_free(&b);
        }
}

static void take_at_most(const struct bench *b, const struct kernel *kernels, size_t n,
                         double most) {
    for (size_t k = 0; k < n; k++) {
        double share = worst_share(b, &kernels[k]);
        if (!(share <= most))
            fail_msg("%s, %dx%d, fill %s, mode %g, norm %g: %s takes %g of the bound",
                     kb_dtype_name(b->c.dtype), (int)b->tokens, (int)b->experts,
                     kb_fill_word(b->c.fill), b->c.set[1].v, b->c.set[3].v, kernels[k].name,
                     share);
    }
}

static void check_right(const struct bench *b) {
    take_at_most(b, right, KB_COUNT(right), 0.34);
}
static void check_rough(const struct bench *b) {
    take_at_most(b, rough, KB_COUNT(rough), 0.67);
}

/* ---- tests -----------------------------------------------------------------------------
 */

static void right_kernels_take_a_third_of_the_bound(void **state) {
    (void)state;
    static const enum kb_fill fills[] = {KB_FILL_NORMAL, KB_FILL_LARGE, KB_FILL_TIES,
                                         KB_FILL_STEPS, KB_FILL_CONSTANT};
    for (size_t f = 0; f < KB_COUNT(fills); f++)
        each_bench(check_right, fills[f]);
}

static void a_rough_exponential_takes_two_thirds(void **state) {
    (void)state;
    each_bench(check_rough, KB_FILL_NORMAL);
    each_bench(check_rough, KB_FILL_LARGE);
}

/* In every dtype, as the outputs are fp32 in all of them. */
static void wrong_kernels_are_past_the_bound(void **state) {
    (void)state;
    for (size_t d = 0; d < KB_COUNT(dtypes); d++)
        for (size_t k = 0; k < KB_COUNT(wrong); k++) {
            bool large = wrong[k].wrong == NO_MAXIMUM;
            struct bench b;
            bench_make(&b, "200x128", dtypes[d], large ? KB_FILL_LARGE : KB_FILL_NORMAL, 8,
                       FP32, SELECTED);
            double share = worst_share(&b, &wrong[k]);
            if (!(share > 2)) /* in a fast-math build as well */
                fail_msg("%s in %s takes %g of the bound", wrong[k].name,
                         kb_dtype_name(dtypes[d]), share);
            bench_free(&b);
        }
}

static void the_two_modes_are_past_each_others_bound(void **state) {
    (void)state;
    for (int mode = FP32; mode <= EAGER; mode++)
        for (size_t d = 0; d < 2; d++) {
            struct bench b;
            bench_make(&b, "200x128", dtypes[d], KB_FILL_NORMAL, 8, mode, SELECTED);
            b.c.set[1].v = !mode;
            assert_true(worst_share(&b, &right[0]) > 2);
            bench_free(&b);
        }
}

/* A bound that is 0 is a weight that all right kernels have the same bits of. */
static void most_rounded_weights_have_no_bound(void **state) {
    (void)state;
    struct bench b;
    int64_t none = 0;
    bench_make(&b, "400x128", KB_BF16, KB_FILL_NORMAL, 8, EAGER, SELECTED);
    for (int64_t i = 0; i < b.slots; i++)
        none += b.bound[i] == 0;
    assert_in_range(none, b.slots * 99 / 100, b.slots - 1);
    bench_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_kernels_take_a_third_of_the_bound),
        cmocka_unit_test(a_rough_exponential_takes_two_thirds),
        cmocka_unit_test(wrong_kernels_are_past_the_bound),
        cmocka_unit_test(the_two_modes_are_past_each_others_bound),
        cmocka_unit_test(most_rounded_weights_have_no_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
