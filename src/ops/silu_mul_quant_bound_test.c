/* silu_mul_quant_bound_test.c - the bound of silu_mul_quant: wide enough for every right
 * kernel, too tight for every wrong one.
 *
 * Kernels are modelled in plain C, in float, as the peers write them: silu by a quotient, a
 * sigmoid or a power of two; the scale by a quotient or a product; codes by a quotient, the
 * reciprocal of the scale or 448 / amax. Each output is judged with the other in view. */
#include "ops/activation_forms.h"
#include "ops/silu_mul_quant_fixture.h"

enum silu_form { QUOTIENT, SIGMOID, EXP2, DOUBLE, EXP_2ULP, SILU_FORMS };
enum scale_form { BY_QUOTIENT, BY_PRODUCT, SCALE_FORMS };
enum code_form { BY_SCALE, BY_INVERSE, BY_448_OVER_AMAX, CODE_FORMS };

/* What a kernel does wrong; 0: nothing. */
enum fault {
    RIGHT,
    FLOORED,         /* powers of two: down */
    NEAREST,         /* to the nearest */
    BY_LOG2F,        /* 2^ceil(log2f(s)) */
    EXACT_CODES,     /* codes by the exact scale, the power is stored */
    EXACT_STORED,    /* the other way round */
    SIGNED,          /* max y */
    HALF_GROUP,      /* amax of the first half */
    TWO_GROUPS,      /* amax of this group and its neighbour */
    NO_FLOOR,        /* eps is not looked at */
    NAN_IS_448,      /* fmin(fmax(x, -448), 448) */
    NAN_PASSED_OVER, /* amax by fmax */
    TRUNCATED,       /* codes are cut */
    TIMES_SCALE,     /* y * s */
    OTHER_ROUNDING,  /* of y */
    SCALE_447,       /* another constant */
};

struct model {
    enum silu_form silu;
    enum scale_form scale;
    enum code_form code;
    enum fault fault;
};

/* ---- a kernel --------------------------------------------------------------------------
 */

static float silu_of(enum silu_form form, float x) {
    static float (*const forms[SILU_FORMS])(float) = {
        [QUOTIENT] = silu_quotient, [SIGMOID] = silu_sigmoid, [EXP2] = silu_exp2,
        [DOUBLE] = silu_double,     [EXP_2ULP] = silu_2ulp,
    };
    return forms[form](x);
}

static float rounded(enum kb_dtype dtype, float v) {
    return (float)kb_decode(dtype, kb_encode(dtype, (double)v));
}

static float product_of(const struct kb_smq *q, const struct model *m, float x, float u) {
    int round = q->round;
    float a = silu_of(m->silu, x);
    if (m->fault == OTHER_ROUNDING)
        round = (round + 1) % 3;
    if (round == KB_SMQ_ROUND_BOTH)
        a = rounded(q->dtype, a);
    return round == KB_SMQ_ROUND_NONE ? a * u : rounded(q->dtype, a * u);
}

/* A kernel's amax, NaN if there is one. */
static float amax_of(const struct model *m, const float *y, int64_t n) {
    float most = 0;
    for (int64_t i = 0; i < n; i++) {
        float v = m->fault == SIGNED ? fmaxf(y[i], 0) : fabsf(y[i]);
        if (isnan(v) && m->fault != NAN_PASSED_OVER)
            return NAN;
        most = v > most ? v : most;
    }
    return most;
}

static float power_of(const struct model *m, float s) {
    uint32_t bits;
    memcpy(&bits, &s, sizeof bits);
    if (isnan(s))
        return s;
    if (m->fault == BY_LOG2F)
        return exp2f(ceilf(log2f(s)));
    bits += m->fault == FLOORED ? 0 : m->fault == NEAREST ? 0x400000 : 0x7fffff;
    bits &= 0xff800000;
    memcpy(&s, &bits, sizeof s);
    return isinf(s) ? 0x1p127f : s;
}

static uint32_t code_of(const struct model *m, float v) {
    if (m->fault == NAN_IS_448)
        v = fminf(fmaxf(v, -448), 448);
    uint32_t code = kb_encode(KB_E4M3, (double)v);
    if (m->fault == TRUNCATED && fabs(kb_decode(KB_E4M3, code)) > fabs((double)v))
        code--;
    return code;
}

/* One group: `n` products, `all` of them with a neighbouring group's. */
static float quantise(const struct kb_smq *q, const struct model *m, const float *y,
                      int64_t n, int64_t all, unsigned char *codes) {
    float amax = amax_of(m, y,
                         m->fault == HALF_GROUP   ? n / 2
                         : m->fault == TWO_GROUPS ? all
                                                  : n);
    float floor = m->fault == NO_FLOOR ? 0 : (float)q->eps;
    amax = amax < floor ? floor : amax;
    float s = m->scale == BY_QUOTIENT ? amax / 448 : amax * (1.0f / 448);
    if (m->fault == SCALE_447)
        s = amax / 447.9f;
    float used = q->ue8m0 ? power_of(m, s) : s, stored = used;
    if (m->fault == EXACT_CODES)
        used = s;
    if (m->fault == EXACT_STORED)
        stored = s;
    for (int64_t i = 0; i < n; i++) {
        float v = y[i] / used;
        if (m->fault == TIMES_SCALE)
            v = y[i] * used;
        else if (m->code == BY_INVERSE && used < 0x1p126f)
            v = y[i] * (1 / used);
        else if (m->code == BY_448_OVER_AMAX && !q->ue8m0)
            v = y[i] * (448 / amax);
        codes[i] = (unsigned char)code_of(m, v);
    }
    return stored;
}

/* ---- a case, and what a kernel makes of it ---------------------------------------------
 */

static void bench_make(struct run *r, enum kb_dtype dtype, const char *set,
                       enum kb_fill fill) {
    run_make(r, "8x1024", dtype, set);
    run_fill(r, fill, 1);
    r->data[KB_SMQ_CODES] = calloc((size_t)r->p.tensors[KB_SMQ_CODES].elements, 1);
    r->data[KB_SMQ_SCALES] = calloc((size_t)r->p.tensors[KB_SMQ_SCALES].elements, 4);
    r->in[KB_SMQ_CODES] = r->data[KB_SMQ_CODES];
    r->in[KB_SMQ_SCALES] = r->data[KB_SMQ_SCALES];
}

static void launch(struct run *r, const struct model *m) {
    const struct kb_smq *q = &r->q;
    float y[1024], *scales = (void *)r->data[KB_SMQ_SCALES];
    double x[1024], u[1024];
    for (int64_t row = 0; row < q->rows; row++) {
        int64_t h = q->hidden;
        kb_decode_range(q->dtype, r->data[0], kb_smq_half(q, row, KB_SMQ_GATE), h, x);
        kb_decode_range(q->dtype, r->data[0], kb_smq_half(q, row, KB_SMQ_UP), h, u);
        for (int64_t i = 0; i < h; i++)
            y[i] = product_of(q, m, (float)x[i], (float)u[i]);
        for (int64_t g = 0; g < q->groups; g++) {
            int64_t first = g / 2 * 2 * q->group, mine = g * q->group;
            const float *from = m->fault == TWO_GROUPS ? y + first : y + mine;
            float scale = quantise(q, m, from, q->group, 2 * q->group,
                                   r->data[KB_SMQ_CODES] + row * h + mine);
            if (m->fault == TWO_GROUPS && g % 2) /* its own codes by that scale */
                for (int64_t i = 0; i < q->group; i++)
                    r->data[KB_SMQ_CODES][row * h + mine + i] =
                        (unsigned char)code_of(m, y[mine + i] / scale);
            scales[row * q->groups + g] = scale;
        }
    }
}

static double worst_of(struct run *r, const struct model *m) {
    double worst = 0;
    launch(r, m);
    for (int t = KB_SMQ_CODES; t <= KB_SMQ_SCALES; t++) {
        enum kb_dtype dtype = r->p.tensors[t].dtype;
        run_ask(r, t);
        for (int64_t i = 0; i < r->p.tensors[t].elements; i++) {
            double got = kb_decode(dtype, kb_bits_at(dtype, r->data[t], i));
            worst = fmax(worst, share(dtype, got, r->want[i], r->bound[i]));
        }
    }
    return worst;
}

static const char *const roundings[] = {"round=none", "round=both", "round=product"};

/* ---- right -----------------------------------------------------------------------------
 */

static void check_right(enum kb_dtype dtype, enum kb_fill fill, const char *set,
                        double *all) {
    struct run r;
    bench_make(&r, dtype, set, fill);
    for (int f = 0; f < 2 * SILU_FORMS; f++) { /* each with some of the others */
        struct model m = {
            .silu = (enum silu_form)(f % SILU_FORMS),
            .scale = (enum scale_form)(f % SCALE_FORMS),
            .code = (enum code_form)(f % CODE_FORMS),
        };
        double worst = worst_of(&r, &m);
        *all = fmax(*all, worst);
        if (!(worst <= 1))
            fail_msg("silu %d, scale %d, code %d in %s, fill %s, %s: %.3f of the bound",
                     m.silu, m.scale, m.code, kb_dtype_name(dtype), kb_fill_word(fill), set,
                     worst);
    }
    run_free(&r);
}

static void check_right_everywhere(const char *more, double limit) {
    const struct kb_op *op = kb_op_find("silu_mul_quant");
    static const enum kb_dtype dtypes[] = {KB_BF16, KB_FP16};
    double none = 0, all = 0;
    for (int f = 0; f < op->n_fills; f++)
        for (size_t d = 0; d < KB_COUNT(dtypes); d++)
            for (size_t k = 0; k < KB_COUNT(roundings); k++) {
                char set[64];
                snprintf(set, sizeof set, "%s%s", roundings[k], more);
                check_right(dtypes[d], op->fills[f], set, k ? &all : &none);
            }
    print_message("%s: %.2f of the bound at most, %.2f where y is rounded\n", more, none,
                  all);
    assert_true(none < limit);
}

/* Where y is rounded a kernel may be on either side of a midpoint, by all of the bound. */
static void right_kernels_keep_to_the_bound_with_scales_of_any_kind(void **state) {
    (void)state;
    check_right_everywhere("", 0.8);
}

static void right_kernels_keep_to_the_bound_with_powers_of_two(void **state) {
    (void)state;
    check_right_everywhere(",ue8m0=yes", 0.8);
}

/* ---- wrong -----------------------------------------------------------------------------
 */

static void assert_wrong(enum fault fault, enum kb_dtype dtype, enum kb_fill fill,
                         const char *set) {
    struct run r;
    struct model m = {.fault = fault};
    bench_make(&r, dtype, set, fill);
    if (!(worst_of(&r, &m) > 1))
        fail_msg("fault %d passes in %s, fill %s, %s", fault, kb_dtype_name(dtype),
                 kb_fill_word(fill), set);
    run_free(&r);
}

static void wrong_kernels_fail_on_normal_numbers(void **state) {
    (void)state;
    static const enum fault faults[] = {SIGNED,    HALF_GROUP,  TWO_GROUPS,
                                        TRUNCATED, TIMES_SCALE, OTHER_ROUNDING};
    for (size_t i = 0; i < KB_COUNT(faults); i++)
        for (size_t k = 0; k < KB_COUNT(roundings); k++) {
            char set[64];
            snprintf(set, sizeof set, "%s,ue8m0=yes", roundings[k]);
            assert_wrong(faults[i], KB_BF16, KB_FILL_NORMAL, roundings[k]);
            assert_wrong(faults[i], KB_FP16, KB_FILL_NORMAL, roundings[k]);
            assert_wrong(faults[i], KB_BF16, KB_FILL_NORMAL, set);
            assert_wrong(faults[i], KB_FP16, KB_FILL_NORMAL, set);
        }
    assert_wrong(SCALE_447, KB_BF16, KB_FILL_NORMAL, "");
}

static void wrong_powers_of_two_fail(void **state) {
    (void)state;
    static const enum fault faults[] = {FLOORED, NEAREST, EXACT_CODES, EXACT_STORED};
    for (size_t i = 0; i < KB_COUNT(faults); i++)
        for (size_t k = 0; k < KB_COUNT(roundings); k++) {
            char set[64];
            snprintf(set, sizeof set, "%s,ue8m0=yes", roundings[k]);
            assert_wrong(faults[i], KB_BF16, KB_FILL_NORMAL, set);
            assert_wrong(faults[i], KB_FP16, KB_FILL_NORMAL, set);
        }
    assert_wrong(BY_LOG2F, KB_FP16, KB_FILL_EDGES, "ue8m0=yes");
}

static void special_groups_show_what_normal_ones_do_not(void **state) {
    (void)state;
    assert_wrong(NO_FLOOR, KB_BF16, KB_FILL_SPARSE, "");
    assert_wrong(NO_FLOOR, KB_BF16, KB_FILL_SPARSE, "ue8m0=yes");
    assert_wrong(NAN_IS_448, KB_BF16, KB_FILL_NAN, "");
    assert_wrong(NAN_IS_448, KB_BF16, KB_FILL_NAN, "ue8m0=yes");
    assert_wrong(NAN_PASSED_OVER, KB_BF16, KB_FILL_NAN, "ue8m0=yes");
}

/* Between two codes there is no third: the next one is wrong, but where the quotient lies
 * halfway. */
static void the_neighbour_of_a_right_code_is_wrong(void **state) {
    (void)state;
    for (size_t k = 0; k < KB_COUNT(roundings); k++) {
        struct run r;
        int64_t passed = 0, n;
        bench_make(&r, KB_BF16, roundings[k], KB_FILL_NORMAL);
        launch(&r, &(struct model){0});
        run_ask(&r, KB_SMQ_CODES);
        n = r.p.tensors[KB_SMQ_CODES].elements;
        for (int64_t i = 0; i < n; i++) {
            uint32_t code = r.data[KB_SMQ_CODES][i];
            double next = kb_decode(KB_E4M3, code - (code % 128 > 0));
            passed += share(KB_E4M3, next, r.want[i], r.bound[i]) <= 1;
        }
        assert_true(passed <= n / 100);
        run_free(&r);
    }
}

static void a_scale_that_is_off_by_a_millionth_is_wrong(void **state) {
    (void)state;
    struct run r;
    bench_make(&r, KB_BF16, "", KB_FILL_NORMAL);
    run_ask(&r, KB_SMQ_SCALES);
    for (int64_t i = 0; i < r.p.tensors[KB_SMQ_SCALES].elements; i++) {
        double got = (double)(float)(r.want[i] * (1 + 2e-6));
        assert_true(share(KB_FP32, got, r.want[i], r.bound[i]) > 1);
    }
    run_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_kernels_keep_to_the_bound_with_scales_of_any_kind),
        cmocka_unit_test(right_kernels_keep_to_the_bound_with_powers_of_two),
        cmocka_unit_test(wrong_kernels_fail_on_normal_numbers),
        cmocka_unit_test(wrong_powers_of_two_fail),
        cmocka_unit_test(special_groups_show_what_normal_ones_do_not),
        cmocka_unit_test(the_neighbour_of_a_right_code_is_wrong),
        cmocka_unit_test(a_scale_that_is_off_by_a_millionth_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
