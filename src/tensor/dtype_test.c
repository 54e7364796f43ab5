/* dtype_test.c - conversions against definitions that are not their code. */
#include "tensor.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const enum kb_dtype narrow[] = {KB_BF16, KB_FP16, KB_E4M3};

/* The largest finite code without sign. */
static uint32_t top_code(enum kb_dtype dtype) {
    return dtype == KB_BF16 ? 0x7f7f : dtype == KB_FP16 ? 0x7bff : 0x7e;
}

static uint32_t sign_bit(enum kb_dtype dtype) {
    return 1u << (8 * kb_dtype_bytes(dtype) - 1);
}

/* sign, exponent and significand taken apart by the format's definition */
static double defined_value(uint32_t bits, int exponent_bits, int mant) {
    int bias = (1 << (exponent_bits - 1)) - 1;
    int exponent = (int)(bits >> mant) & ((1 << exponent_bits) - 1);
    double fraction = bits & ((1u << mant) - 1);
    double size = exponent ? ldexp(fraction + (1 << mant), exponent - bias - mant)
                           : ldexp(fraction, 1 - bias - mant);
    return bits >> (exponent_bits + mant) & 1 ? -size : size;
}

static void assert_same(double got, double want) {
    if (memcmp(&got, &want, sizeof got))
        fail_msg("got %a, want %a", got, want);
}

static void decoding_follows_the_definition_of_each_format(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        if ((bits & 0x7f80) != 0x7f80)
            assert_same(kb_decode(KB_BF16, bits), defined_value(bits, 8, 7));
        if ((bits & 0x7c00) != 0x7c00)
            assert_same(kb_decode(KB_FP16, bits), defined_value(bits, 5, 10));
        if (bits < 256 && (bits & 0x7f) != 0x7f)
            assert_same(kb_decode(KB_E4M3, bits), defined_value(bits, 4, 3));
    }
    assert_same(kb_decode(KB_BF16, 0x7f80), INFINITY);
    assert_same(kb_decode(KB_BF16, 0xff80), -INFINITY);
    assert_same(kb_decode(KB_FP16, 0x7c00), INFINITY);
    assert_same(kb_decode(KB_FP16, 0xfc00), -INFINITY);
    assert_true(isnan(kb_decode(KB_E4M3, 0x7f)) && isnan(kb_decode(KB_E4M3, 0xff)));
    assert_same(kb_decode(KB_FP32, 0x3f9d70a4), 1.23000001907348633);
    assert_same(kb_decode(KB_FP32, 0x80000001), -0x1p-149);
    assert_same(kb_decode(KB_I32, 0xfffffffe), -2.0);
    assert_same(kb_decode(KB_U8, 0xfe), 254.0);
}

static void every_16_bit_pattern_survives_decoding_and_encoding(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        uint32_t bf16 = (bits & 0x7fff) > 0x7f80 ? bits | 0x40 : bits;
        uint32_t fp16 = (bits & 0x7fff) > 0x7c00 ? bits | 0x200 : bits;
        assert_int_equal(kb_encode(KB_BF16, kb_decode(KB_BF16, bits)), bf16);
        assert_int_equal(kb_encode(KB_FP16, kb_decode(KB_FP16, bits)), fp16);
    }
    for (uint32_t bits = 0; bits < 256; bits++) {
        uint32_t e4m3 = (bits & 0x7f) == 0x7f ? 0x7f : bits;
        assert_int_equal(kb_encode(KB_E4M3, kb_decode(KB_E4M3, bits)), e4m3);
        assert_int_equal(kb_encode(KB_U8, kb_decode(KB_U8, bits)), bits);
    }
}

static void spread_32_bit_patterns_survive_decoding_and_encoding(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 65536; i++) {
        uint32_t bits = i * 65537;
        uint32_t fp32 = (bits & 0x7fffffff) > 0x7f800000 ? bits | 0x400000 : bits;
        assert_int_equal(kb_encode(KB_FP32, kb_decode(KB_FP32, bits)), fp32);
        assert_int_equal(kb_encode(KB_I32, kb_decode(KB_I32, bits)), bits);
    }
}

static void codes_grow_with_their_values(void **state) {
    (void)state;
    for (size_t d = 0; d < KB_COUNT(narrow); d++)
        for (uint32_t code = 0; code < top_code(narrow[d]); code++)
            assert_true(kb_decode(narrow[d], code) < kb_decode(narrow[d], code + 1));
}

static void assert_code(enum kb_dtype dtype, double x, uint32_t want) {
    uint32_t minus = want | sign_bit(dtype);
    if (kb_encode(dtype, x) != want || kb_encode(dtype, -x) != minus)
        fail_msg("%s of %a: got %x and %x, want %x", kb_dtype_name(dtype), x,
                 kb_encode(dtype, x), kb_encode(dtype, -x), want);
}

static void ties_go_to_even_and_all_else_to_the_nearer_neighbour(void **state) {
    (void)state;
    for (size_t d = 0; d < KB_COUNT(narrow); d++) {
        for (uint32_t code = 0; code < top_code(narrow[d]); code++) {
            double low = kb_decode(narrow[d], code), high = kb_decode(narrow[d], code + 1);
            double tie = (low + high) / 2;
            assert_code(narrow[d], tie, code + code % 2);
            assert_code(narrow[d], nextafter(tie, low), code);
            assert_code(narrow[d], nextafter(tie, high), code + 1);
            assert_code(narrow[d], (low + tie) / 2, code);
            assert_code(narrow[d], (high + tie) / 2, code + 1);
            assert_code(narrow[d], nextafter(low, high), code);
            assert_code(narrow[d], nextafter(high, low), code + 1);
        }
    }
}

/* Nearest of the two neighbours, found by bisection over the decoded codes. */
static uint32_t nearest_code(enum kb_dtype dtype, double x) {
    uint32_t low = 0, high = top_code(dtype);
    while (high - low > 1) {
        uint32_t mid = (low + high) / 2;
        if (kb_decode(dtype, mid) <= x)
            low = mid;
        else
            high = mid;
    }
    double tie = (kb_decode(dtype, low) + kb_decode(dtype, high)) / 2;
    return x < tie || (x == tie && low % 2 == 0) ? low : high;
}

static void any_double_goes_to_the_nearest_of_its_neighbours(void **state) {
    (void)state;
    uint64_t random = 1;
    for (int i = 0; i < 20000; i++) {
        for (size_t d = 0; d < KB_COUNT(narrow); d++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            double x = ldexp(1.0 + (double)(random >> 12) * 0x1p-52, (int)(i % 300) - 160);
            if (x < kb_max_finite(narrow[d]))
                assert_code(narrow[d], x, nearest_code(narrow[d], x));
        }
    }
}

static void a_value_just_above_a_tie_is_rounded_once(void **state) {
    (void)state;
    assert_code(KB_BF16, 1 + 0x1p-8 + 0x1p-40, 0x3f81);
    assert_code(KB_BF16, 0x1p-134 + 0x1p-180, 0x0001);
    assert_code(KB_FP16, 1 + 0x1p-11 + 0x1p-40, 0x3c01);
    assert_code(KB_FP16, 0x1p-25 + 0x1p-70, 0x0001);
    assert_code(KB_FP16, 65520 - 0x1p-20, 0x7bff);
    assert_code(KB_E4M3, 1.0625 + 0x1p-40, 0x39);
    assert_code(KB_E4M3, 0x1p-10 + 0x1p-50, 0x01);
}

static void bf16_and_fp16_overflow_to_infinity_from_half_past_the_largest(void **state) {
    (void)state;
    double bf16_tie = 0x1.ffp127;
    assert_code(KB_BF16, nextafter(bf16_tie, 0), 0x7f7f);
    assert_code(KB_BF16, bf16_tie, 0x7f80);
    assert_code(KB_BF16, DBL_MAX, 0x7f80);
    assert_code(KB_BF16, INFINITY, 0x7f80);
    assert_code(KB_FP16, nextafter(65520, 0), 0x7bff);
    assert_code(KB_FP16, 65520, 0x7c00);
    assert_code(KB_FP16, DBL_MAX, 0x7c00);
    assert_code(KB_FP16, INFINITY, 0x7c00);
    assert_code(KB_FP32, DBL_MAX, 0x7f800000);
    assert_code(KB_BF16, DBL_TRUE_MIN, 0);
    assert_code(KB_FP16, DBL_TRUE_MIN, 0);
    assert_code(KB_E4M3, DBL_TRUE_MIN, 0);
}

static void e4m3_codes_are_the_golden_ones(void **state) {
    (void)state;
    static const struct {
        double value;
        uint32_t code;
    } golden[] = {
        {0x1p-10, 0x00},
        {0.00098, 0x01},
        {0x1p-9, 0x01},
        {1.5 * 0x1p-9, 0x02},
        {2.5 * 0x1p-9, 0x02},
        {0.013, 0x07},
        {0x1p-6, 0x08},
        {1, 0x38},
        {1.0625, 0x38},
        {1.07, 0x39},
        {1.1875, 0x3a},
        {100, 0x6c},
        {240, 0x77},
        {432, 0x7e},
        {448, 0x7e},
        {463.9, 0x7e},
        {464, 0x7e},
        {464.1, 0x7e},
        {480, 0x7e},
        {1e9, 0x7e},
        {(double)INFINITY, 0x7e},
        {0, 0x00},
    };
    for (size_t i = 0; i < KB_COUNT(golden); i++)
        assert_code(KB_E4M3, golden[i].value, golden[i].code);
    assert_int_equal(kb_encode(KB_E4M3, NAN), 0x7f);
    assert_int_equal(kb_encode(KB_E4M3, -(double)NAN), 0x7f);
}

static void nan_keeps_its_sign_and_the_top_of_its_payload_and_is_quiet(void **state) {
    (void)state;
    static const uint64_t nans[] = {0x7ff0000000000001, 0xfff0000000000001,
                                    0x7ff5555555555555, 0xffffffffffffffff};
    static const uint32_t bf16[] = {0x7fc0, 0xffc0, 0x7fea, 0xffff};
    static const uint32_t fp16[] = {0x7e00, 0xfe00, 0x7f55, 0xffff};
    for (size_t i = 0; i < KB_COUNT(nans); i++) {
        double nan;
        memcpy(&nan, &nans[i], sizeof nan);
        assert_int_equal(kb_encode(KB_BF16, nan), bf16[i]);
        assert_int_equal(kb_encode(KB_FP16, nan), fp16[i]);
        assert_true(isnan(kb_decode(KB_FP32, kb_encode(KB_FP32, nan))));
    }
}

static void integers_round_to_even_and_saturate(void **state) {
    (void)state;
    static const struct {
        double value;
        int32_t i32;
        uint32_t u8;
    } rows[] = {
        {2.5, 2, 2},
        {3.5, 4, 4},
        {-2.5, -2, 0},
        {-0.75, -1, 0},
        {254.5, 254, 254},
        {255.5, 256, 255},
        {1e300, INT32_MAX, 255},
        {-1e300, INT32_MIN, 0},
        {2147483646.5, 2147483646, 255},
        {-2147483648.0, INT32_MIN, 0},
        {(double)INFINITY, INT32_MAX, 255},
        {-(double)INFINITY, INT32_MIN, 0},
        {(double)NAN, 0, 0},
    };
    for (size_t i = 0; i < KB_COUNT(rows); i++) {
        assert_int_equal((int32_t)kb_encode(KB_I32, rows[i].value), rows[i].i32);
        assert_int_equal(kb_encode(KB_U8, rows[i].value), rows[i].u8);
    }
}

static void bulk_conversion_equals_one_by_one_at_any_address(void **state) {
    (void)state;
    enum { N = 65536, FIRST = 3, SKEW = 1 };
    unsigned char *raw = malloc(N * 4 + SKEW), *back = malloc(N * 4 + SKEW);
    double *values = malloc(N * sizeof *values);
    assert_true(raw && back && values);
    for (int d = 0; d < KB_DTYPE_COUNT; d++) {
        enum kb_dtype dtype = (enum kb_dtype)d;
        for (int64_t i = 0; i < N; i++)
            kb_bits_put(dtype, raw + SKEW, i, (uint32_t)i * 65537);
        kb_decode_range(dtype, raw + SKEW, FIRST, N - FIRST, values);
        kb_encode_range(dtype, values, N - FIRST, back + SKEW, FIRST);
        for (int64_t i = FIRST; i < N; i++) {
            uint32_t bits = kb_bits_at(dtype, raw + SKEW, i);
            double one = kb_decode(dtype, bits);
            assert_same(values[i - FIRST], one);
            assert_int_equal(kb_bits_at(dtype, back + SKEW, i), kb_encode(dtype, one));
        }
        kb_decode_range(dtype, NULL, 0, 0, NULL);
        kb_encode_range(dtype, NULL, 0, NULL, 0);
    }
    free(raw);
    free(back);
    free(values);
}

static void bulk_encoding_rounds_as_one_by_one(void **state) {
    (void)state;
    enum { N = 3001 };
    double values[N];
    unsigned char raw[N * 4];
    uint64_t random = 5;
    for (int i = 0; i < N; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint64_t bits = random ^ random >> 29;
        memcpy(&values[i], &bits, sizeof bits);
        if (i % 2)
            values[i] = ldexp(1.0 + (double)(bits >> 12) * 0x1p-52, i % 40 - 20);
    }
    for (int d = 0; d < KB_DTYPE_COUNT; d++) {
        enum kb_dtype dtype = (enum kb_dtype)d;
        for (int i = 0; i < N; i += 3) {
            uint32_t code = (uint32_t)i * 37 % top_code(dtype);
            double tie = (kb_decode(dtype, code) + kb_decode(dtype, code + 1)) / 2;
            values[i] = nextafter(tie, i % 2 ? 0 : INFINITY);
        }
        kb_encode_range(dtype, values, N, raw, 0);
        for (int i = 0; i < N; i++)
            assert_int_equal(kb_bits_at(dtype, raw, i), kb_encode(dtype, values[i]));
    }
}

static void ulp_is_the_gap_above_every_code(void **state) {
    (void)state;
    for (size_t d = 0; d < KB_COUNT(narrow); d++) {
        enum kb_dtype dtype = narrow[d];
        double gap = 0;
        for (uint32_t code = 0; code < top_code(dtype); code++) {
            double low = kb_decode(dtype, code), high = kb_decode(dtype, code + 1);
            gap = high - low;
            assert_same(kb_ulp(dtype, low), gap);
            assert_same(kb_ulp(dtype, -nextafter(high, low)), gap);
        }
        assert_same(kb_max_finite(dtype), kb_decode(dtype, top_code(dtype)));
        assert_same(kb_ulp(dtype, kb_max_finite(dtype)), gap);
        assert_same(kb_ulp(dtype, DBL_MAX), gap);
        assert_same(kb_ulp(dtype, -INFINITY), gap);
        assert_same(kb_ulp(dtype, DBL_TRUE_MIN), kb_decode(dtype, 1));
        assert_true(isnan(kb_ulp(dtype, NAN)));
    }
    assert_same(kb_ulp(KB_FP32, 0.0), 0x1p-149);
    assert_same(kb_ulp(KB_FP32, 0x1p-126), 0x1p-149);
    assert_same(kb_ulp(KB_FP32, 0x1p-125), 0x1p-148);
    assert_same(kb_ulp(KB_FP32, 1.0), 0x1p-23);
    assert_same(kb_ulp(KB_FP32, nextafter(1.0, 0.0)), 0x1p-24);
    assert_same(kb_ulp(KB_FP32, FLT_MAX), 0x1p104);
    assert_same(kb_ulp(KB_FP32, INFINITY), 0x1p104);
    assert_same(kb_max_finite(KB_FP32), FLT_MAX);
    assert_same(kb_ulp(KB_I32, 12345.6), 1.0);
}

static void every_name_and_alias_parses(void **state) {
    (void)state;
    static const struct {
        const char *name;
        enum kb_dtype dtype;
    } aliases[] = {
        {"half", KB_FP16},   {"float16", KB_FP16},  {"f16", KB_FP16},
        {"float", KB_FP32},  {"float32", KB_FP32},  {"f32", KB_FP32},
        {"e4m3fn", KB_E4M3}, {"bfloat16", KB_BF16}, {"float8_e4m3fn", KB_E4M3},
        {"int32", KB_I32},   {"fp8_e4m3", KB_E4M3},
    };
    enum kb_dtype got = KB_DTYPE_COUNT;
    for (int d = 0; d < KB_DTYPE_COUNT; d++) {
        assert_true(kb_dtype_parse(kb_dtype_name((enum kb_dtype)d), &got));
        assert_int_equal(got, d);
    }
    for (size_t i = 0; i < KB_COUNT(aliases); i++) {
        assert_true(kb_dtype_parse(aliases[i].name, &got));
        assert_int_equal(got, aliases[i].dtype);
    }
    assert_false(kb_dtype_parse("fp8", &got));
    assert_false(kb_dtype_parse("", &got));
    assert_string_equal(kb_dtype_cxx(KB_FP16), "__half");
    assert_int_equal(kb_dtype_bytes(KB_E4M3), 1);
    assert_true(kb_dtype_is_float(KB_E4M3) && !kb_dtype_is_float(KB_U8));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoding_follows_the_definition_of_each_format),
        cmocka_unit_test(every_16_bit_pattern_survives_decoding_and_encoding),
        cmocka_unit_test(spread_32_bit_patterns_survive_decoding_and_encoding),
        cmocka_unit_test(codes_grow_with_their_values),
        cmocka_unit_test(ties_go_to_even_and_all_else_to_the_nearer_neighbour),
        cmocka_unit_test(any_double_goes_to_the_nearest_of_its_neighbours),
        cmocka_unit_test(a_value_just_above_a_tie_is_rounded_once),
        cmocka_unit_test(bf16_and_fp16_overflow_to_infinity_from_half_past_the_largest),
        cmocka_unit_test(e4m3_codes_are_the_golden_ones),
        cmocka_unit_test(nan_keeps_its_sign_and_the_top_of_its_payload_and_is_quiet),
        cmocka_unit_test(integers_round_to_even_and_saturate),
        cmocka_unit_test(bulk_conversion_equals_one_by_one_at_any_address),
        cmocka_unit_test(bulk_encoding_rounds_as_one_by_one),
        cmocka_unit_test(ulp_is_the_gap_above_every_code),
        cmocka_unit_test(every_name_and_alias_parses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
