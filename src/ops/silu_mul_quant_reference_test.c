/* silu_mul_quant_reference_test.c - golden values of silu_mul_quant, special numbers, and
 * one output judged by the other. */
#include "ops/silu_mul_quant_fixture.h"

/* ---- golden values ---------------------------------------------------------------------
 */

/* gate i / 64 - 1, up 1 + i / 128. */
static void golden_group(struct run *r, const char *set) {
    run_make(r, "1x256", KB_BF16, set);
    for (int i = 0; i < 128; i++)
        put(r, 0, i, i / 64.0 - 1, 1 + i / 128.0);
}

static void assert_codes(struct run *r, const int codes[8]) {
    run_ask(r, KB_SMQ_CODES);
    for (int i = 0; i < 8; i++)
        assert_int_equal(kb_encode(KB_E4M3, r->want[16 * i]), codes[i]);
}

static void the_golden_group_has_its_scale_and_codes(void **state) {
    (void)state;
    struct run r;
    golden_group(&r, "");
    run_ask(&r, KB_SMQ_SCALES);
    assert_true(fabs(r.want[0] - 0.00318661449) < 3e-10);
    assert_codes(&r, (const int[]){0xeb, 0xeb, 0xe9, 0xe4, 0x00, 0x69, 0x73, 0x79});
    run_free(&r);
    golden_group(&r, "scale_layout=packed,ue8m0=yes");
    run_ask(&r, KB_SMQ_SCALES);
    assert_true(r.want[0] == 119 && r.bound[0] == 0);
    assert_codes(&r, (const int[]){0xe9, 0xe9, 0xe7, 0xe2, 0x00, 0x67, 0x71, 0x77});
    run_free(&r);
}

/* One number among zeros: gate 64, whose silu is itself to 1e-26. */
static struct run one_number(enum kb_dtype dtype, const char *set, double y) {
    struct run r;
    run_make(&r, "1x256", dtype, set);
    put(&r, 0, 5, 64, y / 64);
    run_ask(&r, KB_SMQ_SCALES);
    return r;
}

static void golden_scales_hold(void **state) {
    (void)state;
    static const struct {
        enum kb_dtype dtype;
        double amax, scale;
        int byte;
    } golden[] = {
        {KB_BF16, 0, 2.23214283e-13, 85},
        {KB_BF16, 1e-12, 2.23214283e-13, 85},
        {KB_BF16, 1e-6, 2.23214291e-09, 99},
        {KB_FP16, 1, 0.00223214296, 119},
        {KB_FP16, 2, 2 / 448.0, 120},
        {KB_FP16, 447, 447 / 448.0, 127},
        {KB_FP16, 448, 1, 127},
        {KB_FP16, 449, 449 / 448.0, 128},
        {KB_FP16, 896, 2, 128},
        {KB_BF16, 3e38, 3e38 / 448, 247},
    };
    for (size_t i = 0; i < KB_COUNT(golden); i++) {
        struct run r = one_number(golden[i].dtype, "round=product", golden[i].amax);
        assert_true(fabs(r.want[0] / golden[i].scale - 1) < 4e-3); /* of bf16 */
        run_free(&r);
        r = one_number(golden[i].dtype, "round=product,scale_layout=packed,ue8m0=yes",
                       golden[i].amax);
        for (int off = -1; off <= 1; off++)
            assert_true((share(KB_U8, golden[i].byte + off, r.want[0], r.bound[0]) > 1) ==
                        (off != 0));
        run_free(&r);
        r = one_number(golden[i].dtype, "round=product,ue8m0=yes", golden[i].amax);
        for (int off = -1; off <= 1; off++) {
            double power = ldexp(1, golden[i].byte + off - 127);
            assert_true((share(KB_FP32, power, r.want[0], r.bound[0]) > 1) == (off != 0));
        }
        run_free(&r);
    }
}

/* The float below a power of two is half a step away, which is free. */
static void the_neighbours_of_a_power_do_not_pass_for_it(void **state) {
    (void)state;
    struct run r = one_number(KB_FP16, "round=product,ue8m0=yes", 300);
    double ulp = kb_ulp(KB_FP32, r.want[0]);
    assert_true(fabs(1 - r.want[0]) < ulp / 2);
    assert_true(fabs((double)nextafterf(1, 0) - r.want[0]) > ulp / 2);
    assert_true(fabs((double)nextafterf(1, 2) - r.want[0]) > ulp / 2);
    run_free(&r);
}

static void padding_is_zero_in_rows_and_groups(void **state) {
    (void)state;
    static const char *const sets[] = {
        "scale_layout=col_tma",
        "scale_layout=packed,ue8m0=yes",
        "scale_layout=packed,ue8m0=yes,mask=full,experts=5",
    };
    for (size_t i = 0; i < KB_COUNT(sets); i++) {
        struct run r;
        int64_t padding = 0;
        run_make(&r, "5x1280", KB_BF16, sets[i]);
        run_fill(&r, KB_FILL_NORMAL, 1);
        run_ask(&r, KB_SMQ_SCALES);
        for (int64_t at = 0; at < r.p.tensors[KB_SMQ_SCALES].elements; at++) {
            struct kb_smq_place place = kb_smq_place_of(&r.q, at);
            bool outside = place.row >= r.q.rows || place.group >= r.q.groups;
            padding += outside;
            assert_true(outside == (r.want[at] == 0));
            assert_true(!outside || r.bound[at] == 0);
        }
        assert_true(padding > 0);
        run_free(&r);
    }
}

static void rows_past_the_count_stay_and_their_padding_is_zero(void **state) {
    (void)state;
    struct run r;
    run_make(&r, "10x1280", KB_BF16,
             "scale_layout=packed,ue8m0=yes,mask=imbalanced,experts=2");
    run_fill(&r, KB_FILL_NORMAL, 1);
    ((int32_t *)(void *)r.data[KB_SMQ_COUNTS])[0] = 3;
    ((int32_t *)(void *)r.data[KB_SMQ_COUNTS])[1] = 0;
    run_ask(&r, KB_SMQ_CODES);
    for (int64_t row = 0; row < 10; row++)
        for (int64_t col = 0; col < 640; col++)
            assert_true((r.bound[row * 640 + col] == KB_KEEP) == (row >= 3));
    run_ask(&r, KB_SMQ_SCALES);
    for (int64_t at = 0; at < r.p.tensors[KB_SMQ_SCALES].elements; at++) {
        struct kb_smq_place place = kb_smq_place_of(&r.q, at);
        bool stays = place.row < 5 && (place.expert || place.row >= 3);
        assert_true((r.bound[at] == KB_KEEP) == stays);
        assert_true(stays || (r.want[at] == 0) == (place.row >= 5 || place.group >= 5));
    }
    run_free(&r);
}

/* ---- special numbers -------------------------------------------------------------------
 */

/* Gate and up of column 7 in a group that is 1, 1 elsewhere. */
struct special {
    double gate, up;
    double scale; /* NAN, INFINITY, or 0: any finite one */
    double code;  /* of column 7 by a float scale */
    double power_code;
};

static void special_is(const struct special *s, const char *set) {
    bool packed = strstr(set, "packed"), power = strstr(set, "ue8m0");
    double other, code = power ? s->power_code : s->code;
    struct run r;
    run_make(&r, "1x256", KB_BF16, set);
    for (int i = 0; i < 128; i++)
        put(&r, 0, i, i == 7 ? s->gate : 1, i == 7 ? s->up : 1);
    run_ask(&r, KB_SMQ_SCALES);
    assert_true(r.bound[0] == 0 || isfinite(s->scale));
    if (packed)
        assert_true(isnan(s->scale)   ? r.want[0] == 255
                    : isinf(s->scale) ? r.want[0] == 254
                                      : r.want[0] < 254);
    else if (isinf(s->scale))
        assert_true(power ? (float)r.want[0] == 0x1p127f : isinf(r.want[0]));
    else
        assert_true(isnan(r.want[0]) == isnan(s->scale));
    run_ask(&r, KB_SMQ_CODES);
    other = r.want[8];
    assert_true(isnan(s->scale)   ? isnan(other)
                : isinf(s->scale) ? fabs(other) < 1e-30
                                  : other > 0);
    assert_true(isnan(code) ? isnan(r.want[7]) : isfinite(code) ? r.want[7] == code : 1);
    assert_true(isfinite(s->scale) || r.bound[7] == 0);
    run_free(&r);
}

static void nan_spreads_over_its_group_and_infinities_saturate(void **state) {
    (void)state;
    static const double any = (double)INFINITY, nan = (double)NAN;
    const struct special specials[] = {
        {NAN, 1, nan, nan, nan},
        {1, NAN, nan, nan, nan},
        {-INFINITY, 1, nan, nan, nan},
        {INFINITY, 0, nan, nan, nan},
        {0, INFINITY, nan, nan, nan},
        {-1000, INFINITY, nan, nan, nan},
        {INFINITY, 1, any, nan, 448},
        {INFINITY, -1, any, nan, -448},
        {1, -INFINITY, any, nan, -448},
        {-1, -INFINITY, any, nan, 448},
        {0x1p120, -0x1p120, any, nan, -448}, /* overflows in fp32 */
        {-1000, 1, 0, any, any},
    };
    static const char *const sets[] = {"", "ue8m0=yes", "scale_layout=packed,ue8m0=yes",
                                       "round=product", "round=both,ue8m0=yes"};
    for (size_t i = 0; i < KB_COUNT(specials); i++)
        for (size_t k = 0; k < KB_COUNT(sets); k++)
            special_is(&specials[i], sets[k]);
}

static void a_nan_stays_in_its_group(void **state) {
    (void)state;
    struct run r;
    run_make(&r, "2x512", KB_BF16, "");
    run_fill(&r, KB_FILL_NORMAL, 3);
    put(&r, 1, 130, NAN, 1);
    run_ask(&r, KB_SMQ_CODES);
    for (int i = 0; i < 512; i++)
        assert_true(!!isnan(r.want[i]) == (i >= 384));
    run_free(&r);
}

/* Forms of silu differ far down, and so does their product with an infinity; about where
 * fp32 overflows an ulp decides. */
static void a_group_that_right_kernels_differ_on_is_not_judged(void **state) {
    (void)state;
    const struct { double gate, up; } unsure[] = {{-95, INFINITY}, {0x1.fep120, 0x1.02p7}};
    for (size_t i = 0; i < KB_COUNT(unsure); i++) {
        struct run r;
        run_make(&r, "1x256", KB_BF16, "");
        put(&r, 0, 3, unsure[i].gate, unsure[i].up);
        if (i == 1) /* 2^128 - 2^104: to the end of fp32 by one ulp of silu */
            put(&r, 0, 3, 0x1.fep127, 1);
        run_ask(&r, KB_SMQ_SCALES);
        assert_true(i == 1 ? isfinite(r.want[0]) : isinf(r.bound[0]));
        run_free(&r);
    }
}

static void a_clamp_holds_numbers_and_lets_nan_pass(void **state) {
    (void)state;
    struct run r;
    run_make(&r, "1x256", KB_BF16, "clamp=10");
    put(&r, 0, 0, 50, 3);
    put(&r, 0, 1, 10, 3);
    put(&r, 0, 2, 1, -50);
    put(&r, 0, 3, 1, -10);
    put(&r, 0, 4, -50, 10);
    run_ask(&r, KB_SMQ_CODES);
    assert_true(r.want[0] == r.want[1] && r.want[2] == r.want[3]);
    assert_true(fabs(r.want[4]) < 1e-15);
    put(&r, 0, 5, INFINITY, -INFINITY);
    run_ask(&r, KB_SMQ_CODES);
    assert_true(r.want[5] == -448);
    put(&r, 0, 6, 1, NAN);
    run_ask(&r, KB_SMQ_CODES);
    assert_true(isnan(r.want[5]));
    run_free(&r);
}

/* ---- one output by the other -----------------------------------------------------------
 */

static void codes_are_held_against_the_scale_that_was_stored(void **state) {
    (void)state;
    struct run r;
    float stored;
    run_make(&r, "1x256", KB_BF16, "");
    run_fill(&r, KB_FILL_NORMAL, 5);
    run_ask(&r, KB_SMQ_SCALES);
    double scale = r.want[0];
    run_ask(&r, KB_SMQ_CODES);
    double own = r.want[9];
    stored = (float)(scale * (1 + 0x1p-22)); /* within the bound of the scale */
    r.in[KB_SMQ_SCALES] = &stored;
    run_ask(&r, KB_SMQ_CODES);
    assert_true(fabs(r.want[9] * (double)stored - own * scale) < 1e-15 * fabs(own));
    assert_true(r.want[9] != own);
    stored = (float)(scale * 1.01); /* wrong as a scale */
    run_ask(&r, KB_SMQ_CODES);
    assert_true(r.want[9] == own);
    stored = NAN;
    run_ask(&r, KB_SMQ_CODES);
    assert_true(r.want[9] == own);
    run_free(&r);
}

/* Where amax is 448 within the error of silu, 2^0 and 2^1 are both right. */
static void of_two_right_powers_the_codes_tell_which(void **state) {
    (void)state;
    unsigned char codes[128] = {0}, byte;
    struct run r = one_number(KB_BF16, "scale_layout=packed,ue8m0=yes", 448);
    assert_true(r.want[0] == 127.5 && r.bound[0] == 0);
    r.in[KB_SMQ_CODES] = codes;
    codes[5] = (unsigned char)kb_encode(KB_E4M3, 448);
    run_ask(&r, KB_SMQ_SCALES);
    assert_true(r.want[0] < 127.5 && r.want[0] > 126.5);
    codes[5] = (unsigned char)kb_encode(KB_E4M3, 224);
    run_ask(&r, KB_SMQ_SCALES);
    assert_true(r.want[0] > 127.5 && r.want[0] < 128.5);
    r.in[KB_SMQ_SCALES] = &byte;
    byte = 127;
    run_ask(&r, KB_SMQ_CODES);
    assert_true(fabs(r.want[5] - 448) < 1e-6);
    byte = 128;
    run_ask(&r, KB_SMQ_CODES);
    assert_true(fabs(r.want[5] - 224) < 1e-6);
    byte = 126; /* wrong */
    run_ask(&r, KB_SMQ_CODES);
    assert_true(r.want[5] > 223);
    run_free(&r);
}

static void ties_go_to_even_by_a_power_of_two(void **state) {
    (void)state;
    struct run r;
    run_make(&r, "1x256", KB_BF16, "round=product,ue8m0=yes");
    put(&r, 0, 0, 64, 7);         /* 448: the scale is 1 */
    put(&r, 0, 1, 64, 17 / 64.0); /* between 16 and 18 */
    put(&r, 0, 2, 64, 19 / 64.0); /* between 18 and 20 */
    run_ask(&r, KB_SMQ_CODES);
    assert_true(r.bound[1] == 0 && r.want[1] < 17 && r.want[1] > 16.9);
    assert_true(r.bound[2] == 0 && r.want[2] > 19 && r.want[2] < 19.1);
    run_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_golden_group_has_its_scale_and_codes),
        cmocka_unit_test(golden_scales_hold),
        cmocka_unit_test(the_neighbours_of_a_power_do_not_pass_for_it),
        cmocka_unit_test(padding_is_zero_in_rows_and_groups),
        cmocka_unit_test(rows_past_the_count_stay_and_their_padding_is_zero),
        cmocka_unit_test(nan_spreads_over_its_group_and_infinities_saturate),
        cmocka_unit_test(a_nan_stays_in_its_group),
        cmocka_unit_test(a_group_that_right_kernels_differ_on_is_not_judged),
        cmocka_unit_test(a_clamp_holds_numbers_and_lets_nan_pass),
        cmocka_unit_test(codes_are_held_against_the_scale_that_was_stored),
        cmocka_unit_test(of_two_right_powers_the_codes_tell_which),
        cmocka_unit_test(ties_go_to_even_by_a_power_of_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
