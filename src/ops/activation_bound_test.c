/* activation_bound_test.c - the bound of silu, gelu and gelu_tanh: wide enough for every
 * right fp32 kernel, too tight for every wrong one.
 *
 * Kernels are modelled in plain C, in float, with the C library's expf, erff and tanhf:
 * what a device would do, short of its own last bits, which the models with "2 ulp" in
 * their names stand for. */
#include "op.h"
#include "ops/activation_forms.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- kernels ---------------------------------------------------------------------------
 */

static float gelu_fma(float x) {
    float half = 0.5f * x;
    return fmaf(half, erff(x * 0.70710678f), half);
}

static float gelu_tanh_fma(float x) {
    float inner = 0.7978845608f * fmaf(0.044715f * x * x, x, x), half = 0.5f * x;
    return fmaf(half, tanhf(inner), half);
}

static float silu_101(float x) {
    return x / (1.01f + expf(-x));
}

static float silu_sign(float x) {
    return x / (1.0f + expf(x));
}

static float gelu_tanh_04715(float x) {
    return x * (0.5f * (1.0f + tanhf(0.7978845608f * (x + 0.04715f * x * x * x))));
}

static float gelu_tanh_square(float x) {
    return x * (0.5f * (1.0f + tanhf(0.7978845608f * (x + 0.044715f * x * x))));
}

static float gelu_quick(float x) {
    return x / (1.0f + expf(-1.702f * x));
}

struct kernel {
    const char *op, *name;
    float (*act)(float x);
};

static const struct kernel right[] = {
    {"silu", "quotient", silu_quotient},
    {"silu", "sigmoid", silu_sigmoid},
    {"silu", "exp2", silu_exp2},
    {"silu", "double", silu_double},
    {"gelu", "erf", gelu_erf},
    {"gelu", "half first, fma", gelu_fma},
    {"gelu", "erfc", gelu_erfc},
    {"gelu", "double", gelu_double},
    {"gelu_tanh", "tanh", tanh_plain},
    {"gelu_tanh", "fma", gelu_tanh_fma},
    {"gelu_tanh", "exp", tanh_exp},
    {"gelu_tanh", "exp2", tanh_exp2},
    {"gelu_tanh", "double", tanh_double},
};
static const struct kernel two_ulp[] = {
    {"silu", "exp 2 ulp off", silu_2ulp},
    {"gelu", "erf 2 ulp off", gelu_2ulp},
    {"gelu_tanh", "tanh 2 ulp off", tanh_2ulp},
};
static const struct kernel wrong[] = {
    {"silu", "1.01 for 1", silu_101},
    {"silu", "quick gelu", gelu_quick},
    {"silu", "exp(x)", silu_sign},
    {"gelu", "tanh form", tanh_plain},
    {"gelu", "quick gelu", gelu_quick},
    {"gelu_tanh", "0.04715 for 0.044715", gelu_tanh_04715},
    {"gelu_tanh", "x^2 for x^3", gelu_tanh_square},
    {"gelu_tanh", "erf form", gelu_erf},
    {"gelu_tanh", "quick gelu", gelu_quick},
};

static float (*plain_of(const char *op))(float) {
    for (size_t i = 0; i < KB_COUNT(right); i++)
        if (!strcmp(right[i].op, op))
            return right[i].act;
    return NULL;
}

static const char *const ops[] = {"silu", "gelu", "gelu_tanh"};
static const enum kb_dtype dtypes[] = {KB_BF16, KB_FP16, KB_FP32};

/* ---- a case, and what a kernel makes of it ---------------------------------------------
 */

struct bench {
    struct kb_case c;
    struct kb_problem p;
    void *input;
    double *x, *u, *want, *bound;
    int64_t n;
};

static void bench_make(struct bench *b, const char *op, int64_t rows, int64_t hidden,
                       enum kb_dtype dtype, enum kb_fill fill, int round) {
    struct kb_err err = {0};
    *b = (struct bench){.n = rows * hidden};
    kb_case_start(&b->c, kb_op_find(op));
    b->c.dtype = dtype;
    b->c.rank = 2;
    b->c.shape[0] = rows;
    b->c.shape[1] = 2 * hidden;
    b->c.fill = fill;
    b->c.set[0].v = round;
    if (!kb_case_resolve(&b->c, &b->p, &err))
        fail_msg("%s", err.msg);
    size_t n = (size_t)b->n;
    b->input = malloc(2 * n * kb_dtype_bytes(dtype));
    b->x = malloc(n * sizeof *b->x);
    b->u = malloc(n * sizeof *b->u);
    b->want = malloc(n * sizeof *b->want);
    b->bound = malloc(n * sizeof *b->bound);
    b->c.op->fill(&b->p, 0, 1, 0, 2 * b->n, b->input);
    for (int64_t row = 0; row < rows; row++) {
        int64_t gate = 2 * row * hidden;
        kb_decode_range(dtype, b->input, gate, hidden, b->x + row * hidden);
        kb_decode_range(dtype, b->input, gate + hidden, hidden, b->u + row * hidden);
    }
    const void *in[] = {b->input, NULL};
    void *table = b->c.op->prepare(&b->p, in);
    b->c.op->reference(&b->p, in, table, 1, 0, b->n, b->want, b->bound);
    free(table);
}

static void bench_free(struct bench *b) {
    free(b->input);
    free(b->x);
    free(b->u);
    free(b->want);
    free(b->bound);
}

/* The share of the bound that `got` takes, as op.h says how outputs are compared. */
static double share(enum kb_dtype dtype, double got, double want, double bound) {
    double ulp = kb_ulp(dtype, want);
    double top = kb_max_finite(dtype) + kb_ulp(dtype, kb_max_finite(dtype)) / 2;
    if (isinf(bound))
        return 0;
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got) ? 0 : INFINITY;
    if (isinf(want) || (isinf(got) && fabs(want) >= top))
        return isinf(got) && signbit(got) == signbit(want) ? 0 : INFINITY;
    double err = fabs((isinf(got) ? copysign(top, got) : got) - want);
    err -= isinf(got) ? 0 : ulp / 2;
    return err <= 0 ? 0 : err / bound;
}

static float rounded(enum kb_dtype dtype, float v) {
    return (float)kb_decode(dtype, kb_encode(dtype, (double)v));
}

/* Towards zero: the float's low bits dropped. */
static float truncated(enum kb_dtype dtype, float v) {
    float r = rounded(dtype, v);
    if (fabsf(r) <= fabsf(v) || !isfinite(v))
        return r;
    return (float)kb_decode(dtype, kb_encode(dtype, (double)v) - 1);
}

/* What comes after act(x): the kernel's conversions. */
struct finish {
    bool round_act, truncate;
    float flush_below; /* subnormals of that format are zero, in and out; 0: none are */
};

static float flushed(float v, float below) {
    return fabsf(v) < below ? 0.0f * v : v;
}

static double got_of(const struct bench *b, float (*act)(float), struct finish how,
                     int64_t i) {
    enum kb_dtype dtype = b->c.dtype;
    float a = act(flushed((float)b->x[i], how.flush_below));
    if (how.round_act)
        a = rounded(dtype, a);
    float out = a * flushed((float)b->u[i], how.flush_below);
    out = how.truncate ? truncated(dtype, out) : rounded(dtype, out);
    return (double)flushed(out, how.flush_below);
}

static double worst_of(const struct bench *b, float (*act)(float), struct finish how) {
    double worst = 0;
    for (int64_t i = 0; i < b->n; i++) {
        double got = got_of(b, act, how, i);
        double s = share(b->c.dtype, got, b->want[i], b->bound[i]);
        worst = s > worst ? s : worst;
    }
    return worst;
}

/* ---- right -----------------------------------------------------------------------------
 */

static void check_right(const struct kernel *kernels, size_t n, enum kb_dtype dtype,
                        enum kb_fill fill, int round, double limit, double *worst) {
    for (size_t o = 0; o < KB_COUNT(ops); o++) {
        struct bench b;
        bench_make(&b, ops[o], 8, 128, dtype, fill, round);
        for (size_t k = 0; k < n; k++) {
            if (strcmp(kernels[k].op, ops[o]))
                continue;
            double w = worst_of(&b, kernels[k].act, (struct finish){.round_act = round});
            worst[o] = fmax(worst[o], w);
            if (!(w < limit))
                fail_msg("%s by %s, %s, fill %s, round %d: %.3f of the bound", ops[o],
                         kernels[k].name, kb_dtype_name(dtype), kb_fill_word(fill), round,
                         w);
        }
        bench_free(&b);
    }
}

static void check_right_everywhere(const struct kernel *kernels, size_t n, double limit) {
    static const enum kb_fill fills[] = {KB_FILL_NORMAL, KB_FILL_LARGE, KB_FILL_TINY,
                                         KB_FILL_BITS, KB_FILL_NAN};
    for (size_t d = 0; d < KB_COUNT(dtypes); d++) {
        double worst[KB_COUNT(ops)] = {0};
        for (size_t f = 0; f < KB_COUNT(fills); f++)
            for (int round = 0; round < 2; round++)
                check_right(kernels, n, dtypes[d], fills[f], round, limit, worst);
        print_message("%s: silu %.2f, gelu %.2f, gelu_tanh %.2f of the bound at most\n",
                      kb_dtype_name(dtypes[d]), worst[0], worst[1], worst[2]);
    }
}

static void right_kernels_take_less_than_half_of_the_bound(void **state) {
    (void)state;
    check_right_everywhere(right, KB_COUNT(right), 0.5);
}

static void functions_two_ulp_off_are_still_right(void **state) {
    (void)state;
    check_right_everywhere(two_ulp, KB_COUNT(two_ulp), 0.75);
}

static void every_16_bit_gate_is_right_in_a_right_kernel(void **state) {
    (void)state;
    for (size_t o = 0; o < KB_COUNT(ops); o++)
        for (size_t d = 0; d < 2; d++) {
            struct bench b;
            bench_make(&b, ops[o], 64, 1024, dtypes[d], KB_FILL_PATTERNS, 0);
            assert_true(worst_of(&b, plain_of(ops[o]), (struct finish){0}) < 0.5);
            bench_free(&b);
        }
}

/* ---- wrong -----------------------------------------------------------------------------
 */

static void assert_wrong(const struct bench *b, const char *name, float (*act)(float),
                         struct finish how) {
    for (int64_t i = 0; i < b->n; i++)
        if (share(b->c.dtype, got_of(b, act, how, i), b->want[i], b->bound[i]) > 1)
            return;
    fail_msg("%s by %s passes in %s, fill %s, round %d", b->c.op->name, name,
             kb_dtype_name(b->c.dtype), kb_fill_word(b->c.fill), (int)b->c.set[0].v);
}

static void wrong_kernels_fail_in_every_dtype_on_normal_numbers(void **state) {
    (void)state;
    for (size_t o = 0; o < KB_COUNT(ops); o++)
        for (size_t d = 0; d < KB_COUNT(dtypes); d++)
            for (int round = 0; round < 2; round++) {
                struct bench b;
                bench_make(&b, ops[o], 83, 512, dtypes[d], KB_FILL_NORMAL, round);
                for (size_t k = 0; k < KB_COUNT(wrong); k++)
                    if (!strcmp(wrong[k].op, ops[o]))
                        assert_wrong(&b, wrong[k].name, wrong[k].act,
                                     (struct finish){.round_act = round});
                bench_free(&b);
            }
}

/* `name` is what the plain kernel does wrong after act(x), in the first `n` dtypes. */
static void check_finish(const char *name, size_t n, enum kb_fill fill, int round,
                         const struct finish how[]) {
    for (size_t o = 0; o < KB_COUNT(ops); o++)
        for (size_t d = 0; d < n; d++) {
            struct bench b;
            bench_make(&b, ops[o], 8, 256, dtypes[d], fill, round);
            assert_wrong(&b, name, plain_of(ops[o]), how[d]);
            bench_free(&b);
        }
}

static void truncation_fails_in_16_bits(void **state) {
    (void)state;
    for (int round = 0; round < 2; round++) {
        const struct finish how = {.round_act = round, .truncate = true};
        check_finish("truncation", 2, KB_FILL_NORMAL, round,
                     (const struct finish[]){how, how});
    }
}

static void the_other_rounding_fails_in_16_bits(void **state) {
    (void)state;
    for (int round = 0; round < 2; round++) {
        const struct finish how = {.round_act = !round};
        check_finish("the other rounding", 2, KB_FILL_NORMAL, round,
                     (const struct finish[]){how, how});
    }
}

static void flushed_subnormals_fail_on_tiny_numbers(void **state) {
    (void)state;
    static const struct finish how[] = {
        {.flush_below = 0x1p-126f},
        {.flush_below = 0x1p-14f},
        {.flush_below = 0x1p-126f},
    };
    check_finish("flushing", 3, KB_FILL_TINY, 0, how);
}

/* Between two outputs of the dtype there is no third: the next one is wrong, but where
 * `want` lies halfway. */
static void the_neighbour_of_a_right_16_bit_output_is_wrong(void **state) {
    (void)state;
    for (size_t o = 0; o < KB_COUNT(ops); o++)
        for (size_t d = 0; d < 2; d++) {
            struct bench b;
            int64_t passed = 0;
            bench_make(&b, ops[o], 16, 256, dtypes[d], KB_FILL_NORMAL, 0);
            for (int64_t i = 0; i < b.n; i++) {
                uint32_t bits = kb_encode(dtypes[d], b.want[i]);
                double next = kb_decode(dtypes[d], bits + 1);
                passed += !(share(dtypes[d], next, b.want[i], b.bound[i]) > 1);
            }
            assert_true(passed <= b.n / 500);
            bench_free(&b);
        }
}

static void a_hundredth_of_a_percent_is_wrong_in_fp32(void **state) {
    (void)state;
    for (size_t o = 0; o < KB_COUNT(ops); o++) {
        struct bench b;
        int64_t passed = 0;
        bench_make(&b, ops[o], 16, 256, KB_FP32, KB_FILL_NORMAL, 0);
        for (int64_t i = 0; i < b.n; i++)
            passed += !(share(KB_FP32, b.want[i] * 1.0001, b.want[i], b.bound[i]) > 1);
        assert_true(passed <= b.n / 100);
        bench_free(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_kernels_take_less_than_half_of_the_bound),
        cmocka_unit_test(functions_two_ulp_off_are_still_right),
        cmocka_unit_test(every_16_bit_gate_is_right_in_a_right_kernel),
        cmocka_unit_test(wrong_kernels_fail_in_every_dtype_on_normal_numbers),
        cmocka_unit_test(truncation_fails_in_16_bits),
        cmocka_unit_test(the_other_rounding_fails_in_16_bits),
        cmocka_unit_test(flushed_subnormals_fail_on_tiny_numbers),
        cmocka_unit_test(the_neighbour_of_a_right_16_bit_output_is_wrong),
        cmocka_unit_test(a_hundredth_of_a_percent_is_wrong_in_fp32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
