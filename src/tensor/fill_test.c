/* fill_test.c - fills: the same bits by any way of asking, and what each fill promises. */
#include "tensor.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MANY = 1 << 18 };

static struct kb_fill_key key_of(enum kb_fill fill) {
    return (struct kb_fill_key){
        .seed = 20240229, .tensor = "input", .fill = fill, .row = 48};
}

/* The first `count` elements of a fill as doubles; the caller frees. */
static double *values_of(enum kb_fill fill, enum kb_dtype dtype, int64_t count) {
    struct kb_fill_key key = key_of(fill);
    void *data = malloc((size_t)count * kb_dtype_bytes(dtype));
    double *out = malloc((size_t)count * sizeof *out);
    assert_true(data && out);
    kb_fill_range(&key, dtype, 0, count, data);
    kb_decode_range(dtype, data, 0, count, out);
    free(data);
    return out;
}

static uint64_t fnv(uint64_t hash, const void *data, size_t size) {
    const unsigned char *at = data;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return hash;
}

static void philox_gives_the_published_answers(void **state) {
    (void)state;
    static const struct {
        uint64_t key, hi, lo;
        uint32_t want[4];
    } known[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX,
         UINT64_MAX,
         UINT64_MAX,
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822,
         0x0370734413198a2e,
         0x85a308d3243f6a88,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < KB_COUNT(known); i++) {
        uint32_t got[4];
        kb_philox(known[i].key, known[i].hi, known[i].lo, got);
        assert_memory_equal(got, known[i].want, sizeof got);
    }
}

static void any_split_gives_the_same_bytes(void **state) {
    (void)state;
    enum { COUNT = 5003 };
    static const int64_t splits[] = {1, 2, 3, 5, 7, 64, 129, 1021, 1024, 1027, 2049};
    unsigned char whole[COUNT * 4], parts[COUNT * 4 + 4];
    for (int f = 0; f < KB_FILL_COUNT; f++) {
        struct kb_fill_key key = key_of((enum kb_fill)f);
        for (int d = 0; d < KB_DTYPE_COUNT; d++) {
            enum kb_dtype dtype = (enum kb_dtype)d;
            size_t bytes = kb_dtype_bytes(dtype), k = (size_t)(f + d);
            kb_fill_range(&key, dtype, 0, COUNT, whole);
            memset(parts, 0xee, sizeof parts);
            for (int64_t at = 0; at < COUNT;) {
                int64_t n = splits[k++ % KB_COUNT(splits)];
                n = COUNT - at < n ? COUNT - at : n;
                kb_fill_range(&key, dtype, at, n, parts + (size_t)at * bytes);
                at += n;
            }
            assert_memory_equal(parts, whole, COUNT * bytes);
            assert_int_equal(parts[COUNT * bytes], 0xee);
            kb_fill_range(&key, dtype, COUNT, 0, NULL);
        }
    }
}

static void any_number_of_threads_gives_the_same_bytes(void **state) {
    (void)state;
    enum { COUNT = 400003 }; /* four threads' worth */
    int before = omp_get_max_threads();
    unsigned char *one = malloc(COUNT * 4), *three = malloc(COUNT * 4);
    assert_true(one && three);
    for (int f = 0; f < KB_FILL_COUNT; f++) {
        struct kb_fill_key key = key_of((enum kb_fill)f);
        omp_set_num_threads(1);
        kb_fill_range(&key, KB_FP32, 5, COUNT, one);
        omp_set_num_threads(3);
        kb_fill_range(&key, KB_FP32, 5, COUNT, three);
        assert_memory_equal(one, three, COUNT * 4);
    }
    omp_set_num_threads(before);
    free(one);
    free(three);
}

/* What the fills are is part of the reports' meaning: a change here makes old seeds mean
 * something else, and a machine where this fails computes other bits than its peers. */
static void the_bits_are_those_of_every_machine(void **state) {
    (void)state;
    static const uint64_t want[KB_FILL_COUNT] = {
        0x7ace11fafaf951a7, 0xd3cba8c14f63b7c3, 0x861e9591c19b44ee,
        0x60809eefb0bfb8c2, 0x2a93072a45672f25, 0x0226b1078b20a055,
        0x5ae880ddb531c0b6, 0xe0e2962b404011f9, 0xada8c71d2beabce5,
        0x7ace11fafaf951a7, 0x7ace11fafaf951a7, 0x7ace11fafaf951a7, /* as normal */
        0x7ace11fafaf951a7, 0x7ace11fafaf951a7, 0x7ace11fafaf951a7,
        0x7ace11fafaf951a7,
    };
    enum { COUNT = 20000 };
    unsigned char data[COUNT * 4];
    for (int f = 0; f < KB_FILL_COUNT; f++) {
        struct kb_fill_key key = key_of((enum kb_fill)f);
        uint64_t hash = 0xcbf29ce484222325u;
        for (int d = 0; d < KB_DTYPE_COUNT; d++) {
            kb_fill_range(&key, (enum kb_dtype)d, 0, COUNT, data);
            hash = fnv(hash, data, COUNT * kb_dtype_bytes((enum kb_dtype)d));
        }
        if (hash != want[f])
            fail_msg("%s: 0x%016llx", kb_fill_word((enum kb_fill)f),
                     (unsigned long long)hash);
    }
}

static void another_seed_or_name_gives_other_values(void **state) {
    (void)state;
    uint32_t base[64], other[64];
    struct kb_fill_key key = key_of(KB_FILL_NORMAL);
    kb_fill_range(&key, KB_FP32, 0, 64, base);
    for (int k = 0; k < 3; k++) {
        struct kb_fill_key changed = key;
        int same = 0;
        changed.seed += k == 0 ? 1 : k == 1 ? (uint64_t)1 << 63 : 0;
        changed.tensor = k == 2 ? "inpus" : key.tensor;
        kb_fill_range(&changed, KB_FP32, 0, 64, other);
        for (int i = 0; i < 64; i++)
            same += base[i] == other[i];
        assert_int_equal(same, 0);
    }
}

/* Where many blocks are made at once, and their counter's upper half changes. */
static void random_bits_are_the_words_of_one_block_after_the_other(void **state) {
    (void)state;
    struct kb_fill_key key = key_of(KB_FILL_BITS);
    uint64_t name = fnv(0xcbf29ce484222325u, key.tensor, strlen(key.tensor));
    const int64_t starts[] = {0, 3, 1021, ((int64_t)1 << 34) - 77};
    for (size_t s = 0; s < KB_COUNT(starts); s++) {
        uint32_t got[2500], words[4];
        kb_fill_range(&key, KB_FP32, starts[s], 2500, got);
        for (int64_t i = 0; i < 2500; i++) {
            kb_philox(key.seed, name, (uint64_t)(starts[s] + i) / 4, words);
            assert_int_equal(got[i], words[(starts[s] + i) % 4]);
        }
    }
}

static void normal_elements_are_the_quantiles_of_their_random_words(void **state) {
    (void)state;
    struct kb_fill_key key = key_of(KB_FILL_NORMAL);
    uint64_t name = fnv(0xcbf29ce484222325u, key.tensor, strlen(key.tensor));
    double *values = values_of(KB_FILL_NORMAL, KB_FP32, 40000);
    for (int64_t i = 0; i < 40000; i++) {
        uint32_t words[4];
        kb_philox(key.seed, name, (uint64_t)i / 4, words);
        bool low = words[i % 4] < 0x80000000u;
        double tail = ((low ? words[i % 4] : ~words[i % 4]) + 0.5) * 0x1p-32;
        double z = low ? values[i] : -values[i];
        /* how far the float and the approximation may move the tail probability */
        double slack = exp(-z * z / 2) / sqrt(2 * M_PI) * (fabs(z) * 0x1p-23 + 1e-8);
        if (!(fabs(erfc(-z / sqrt(2)) / 2 - tail) <= slack))
            fail_msg("element %lld: %a for word %08x", (long long)i, values[i],
                     words[i % 4]);
    }
    free(values);
}

static void normal_has_the_moments_and_tails_of_a_normal(void **state) {
    (void)state;
    double *x = values_of(KB_FILL_NORMAL, KB_FP32, MANY), m[5] = {0}, least = 0, most = 0;
    int64_t above[4] = {0};
    for (int64_t i = 0; i < MANY; i++) {
        for (int k = 1; k < 5; k++)
            m[k] += pow(x[i], k) / MANY;
        for (int k = 0; k < 4; k++)
            above[k] += fabs(x[i]) > k + 1;
        least = fmin(least, x[i]);
        most = fmax(most, x[i]);
    }
    assert_true(fabs(m[1]) < 0.006 && fabs(m[2] - 1) < 0.008);
    assert_true(fabs(m[3]) < 0.023 && fabs(m[4] - 3) < 0.06);
    for (int k = 0; k < 4; k++) {
        double want = MANY * erfc((k + 1) / sqrt(2));
        assert_true(fabs((double)above[k] - want) < 4 * sqrt(want));
    }
    assert_true(least < -4 && most > 4 && least > -6.4 && most < 6.4);
    free(x);
}

static void large_is_normal_times_one_of_thirteen_powers_of_two(void **state) {
    (void)state;
    double *normal = values_of(KB_FILL_NORMAL, KB_FP32, MANY);
    double *large = values_of(KB_FILL_LARGE, KB_FP32, MANY);
    int64_t count[13] = {0};
    for (int64_t i = 0; i < MANY; i++) {
        int exponent;
        assert_true(frexp(large[i] / normal[i], &exponent) == 0.5);
        assert_in_range(exponent, 1, 13);
        count[exponent - 1]++;
    }
    for (int k = 0; k < 13; k++)
        assert_in_range(count[k], MANY / 13 * 97 / 100, MANY / 13 * 103 / 100);
    free(normal);
    free(large);
}

static void outliers_are_one_in_a_thousand_and_fifty_times_as_large(void **state) {
    (void)state;
    double *normal = values_of(KB_FILL_NORMAL, KB_FP32, MANY);
    double *outliers = values_of(KB_FILL_OUTLIERS, KB_FP32, MANY);
    int64_t count = 0;
    for (int64_t i = 0; i < MANY; i++) {
        double ratio = outliers[i] / normal[i];
        assert_true(ratio == 1 || fabs(ratio - 50) < 1e-4);
        count += ratio != 1;
    }
    assert_in_range(count, MANY / 1200, MANY / 850);
    free(normal);
    free(outliers);
}

static int kind_of(double x) {
    return isnan(x) ? 1 : isinf(x) ? x > 0 ? 2 : 3 : 0;
}

static void nan_is_one_in_sixty_four_of_three_kinds(void **state) {
    (void)state;
    double *normal = values_of(KB_FILL_NORMAL, KB_BF16, MANY);
    double *nan = values_of(KB_FILL_NAN, KB_BF16, MANY);
    int64_t count[4] = {0};
    for (int64_t i = 0; i < MANY; i++) {
        count[kind_of(nan[i])]++;
        assert_true(kind_of(nan[i]) || nan[i] == normal[i]);
    }
    for (int k = 1; k < 4; k++)
        assert_in_range(count[k], MANY / 192 * 90 / 100, MANY / 192 * 110 / 100);
    free(normal);
    free(nan);
}

static void twenty_four_elements_hold_a_nan_and_both_infinities(void **state) {
    (void)state;
    struct kb_fill_key key = key_of(KB_FILL_NAN);
    for (key.seed = 0; key.seed < 200; key.seed++) {
        uint16_t data[24];
        int seen = 0;
        kb_fill_range(&key, KB_FP16, 0, 24, data);
        for (int i = 0; i < 24; i++) {
            seen |= 1 << kind_of(kb_decode(KB_FP16, data[i]));
            assert_true(kind_of(kb_decode(KB_FP16, data[i])) != 1 || data[i] == 0x7e00);
            assert_true(i != 7 || seen & 2);
        }
        assert_int_equal(seen, 15);
    }
}

static void tiny_is_all_subnormals_and_smallest_normals_of_the_dtype(void **state) {
    (void)state;
    static const enum kb_dtype dtypes[] = {KB_BF16, KB_FP16, KB_FP32, KB_E4M3};
    static const double normals[] = {0x1p-126, 0x1p-14, 0x1p-126, 0x1p-6};
    for (size_t d = 0; d < KB_COUNT(dtypes); d++) {
        double *x = values_of(KB_FILL_TINY, dtypes[d], MANY), least = 1;
        int64_t subnormal = 0, negative = 0;
        for (int64_t i = 0; i < MANY; i++) {
            assert_true(x[i] != 0 && fabs(x[i]) < 2 * normals[d]);
            subnormal += fabs(x[i]) < normals[d];
            negative += x[i] < 0;
            least = fmin(least, fabs(x[i]));
        }
        assert_in_range(subnormal, MANY / 2, MANY * 9 / 10);
        assert_in_range(negative, MANY * 49 / 100, MANY * 51 / 100);
        assert_true(least == kb_ulp(dtypes[d], 0));
        free(x);
    }
}

static void zeros_are_zeros_of_both_signs(void **state) {
    (void)state;
    double *x = values_of(KB_FILL_ZEROS, KB_E4M3, MANY);
    double *whole = values_of(KB_FILL_ZEROS, KB_I32, 1000);
    int64_t negative = 0;
    for (int64_t i = 0; i < MANY; i++) {
        assert_true(x[i] == 0);
        negative += signbit(x[i]) != 0;
    }
    assert_in_range(negative, MANY * 49 / 100, MANY * 51 / 100);
    for (int i = 0; i < 1000; i++)
        assert_true(whole[i] == 0 && !signbit(whole[i]));
    free(x);
    free(whole);
}

static void constant_is_one_value_a_row_and_rows_differ(void **state) {
    (void)state;
    enum { ROWS = 1000, ROW = 48 };
    static const enum kb_dtype dtypes[] = {KB_BF16, KB_FP32, KB_I32};
    for (size_t d = 0; d < KB_COUNT(dtypes); d++) {
        double *x = values_of(KB_FILL_CONSTANT, dtypes[d], ROWS * ROW);
        int changes = 0;
        for (int i = 1; i < ROWS * ROW; i++) {
            assert_true(i % ROW == 0 || x[i] == x[i - 1]);
            changes += x[i] != x[i - 1];
        }
        assert_in_range(changes, ROWS - 1 - ROWS / 50, ROWS - 1);
        free(x);
    }
}

static void a_constant_fill_without_rows_is_one_row(void **state) {
    (void)state;
    struct kb_fill_key key = key_of(KB_FILL_CONSTANT);
    uint16_t data[3000];
    key.row = 0;
    kb_fill_range(&key, KB_BF16, 0, 3000, data);
    for (int i = 1; i < 3000; i++)
        assert_int_equal(data[i], data[0]);
}

static void bits_has_every_pattern_about_equally_often(void **state) {
    (void)state;
    struct kb_fill_key key = key_of(KB_FILL_BITS);
    unsigned char *bytes = malloc(MANY);
    uint16_t *halves = malloc(MANY * sizeof *halves);
    int64_t of_byte[256] = {0}, *of_half = calloc(65536, sizeof *of_half), missing = 0;
    assert_true(bytes && halves && of_half);
    kb_fill_range(&key, KB_E4M3, 0, MANY, bytes);
    kb_fill_range(&key, KB_BF16, 0, MANY, halves);
    for (int64_t i = 0; i < MANY; i++) {
        of_byte[bytes[i]]++;
        of_half[halves[i]]++;
    }
    for (int i = 0; i < 256; i++)
        assert_in_range(of_byte[i], MANY / 256 * 88 / 100, MANY / 256 * 112 / 100);
    for (int i = 0; i < 65536; i++)
        missing += of_half[i] == 0;
    assert_in_range(missing, 1050, 1350); /* 4 of each on average: chance misses 1200 */
    free(bytes);
    free(halves);
    free(of_half);
}

static void patterns_count_through_every_bit_pattern(void **state) {
    (void)state;
    struct kb_fill_key key = key_of(KB_FILL_PATTERNS);
    enum { COUNT = 140000 };
    uint16_t *half = malloc(COUNT * sizeof *half);
    uint32_t *word = malloc(COUNT * sizeof *word);
    unsigned char byte[600];
    assert_true(half && word);
    kb_fill_range(&key, KB_FP16, 0, COUNT, half);
    kb_fill_range(&key, KB_FP32, 0, COUNT, word);
    kb_fill_range(&key, KB_E4M3, 0, 600, byte);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(half[i], i % 65536);
        assert_int_equal(word[i], i * 65537);
        assert_true(i >= 65536 || word[i] >> 16 == i);
    }
    for (int i = 0; i < 600; i++)
        assert_int_equal(byte[i], i % 256);
    free(half);
    free(word);
}

static void integers_are_rounded_normals_that_saturate(void **state) {
    (void)state;
    double *real = values_of(KB_FILL_LARGE, KB_FP32, 10000);
    double *whole = values_of(KB_FILL_LARGE, KB_I32, 10000);
    double *byte = values_of(KB_FILL_LARGE, KB_U8, 10000);
    for (int i = 0; i < 10000; i++) {
        assert_true(fabs(whole[i] - real[i]) <= 0.501);
        assert_true(byte[i] == fmin(fmax(whole[i], 0), 255));
    }
    free(real);
    free(whole);
    free(byte);
}

static void every_fill_is_found_by_its_word(void **state) {
    (void)state;
    enum kb_fill got = KB_FILL_COUNT;
    for (int f = 0; f < KB_FILL_COUNT; f++) {
        assert_true(kb_fill_parse(kb_fill_word((enum kb_fill)f), &got));
        assert_int_equal(got, f);
        assert_true(strlen(kb_fill_why((enum kb_fill)f)) > 10);
    }
    assert_false(kb_fill_parse("Normal", &got));
    assert_false(kb_fill_parse("", &got));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_answers),
        cmocka_unit_test(any_split_gives_the_same_bytes),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bytes),
        cmocka_unit_test(the_bits_are_those_of_every_machine),
        cmocka_unit_test(another_seed_or_name_gives_other_values),
        cmocka_unit_test(random_bits_are_the_words_of_one_block_after_the_other),
        cmocka_unit_test(normal_elements_are_the_quantiles_of_their_random_words),
        cmocka_unit_test(normal_has_the_moments_and_tails_of_a_normal),
        cmocka_unit_test(large_is_normal_times_one_of_thirteen_powers_of_two),
        cmocka_unit_test(outliers_are_one_in_a_thousand_and_fifty_times_as_large),
        cmocka_unit_test(nan_is_one_in_sixty_four_of_three_kinds),
        cmocka_unit_test(twenty_four_elements_hold_a_nan_and_both_infinities),
        cmocka_unit_test(tiny_is_all_subnormals_and_smallest_normals_of_the_dtype),
        cmocka_unit_test(zeros_are_zeros_of_both_signs),
        cmocka_unit_test(constant_is_one_value_a_row_and_rows_differ),
        cmocka_unit_test(a_constant_fill_without_rows_is_one_row),
        cmocka_unit_test(bits_has_every_pattern_about_equally_often),
        cmocka_unit_test(patterns_count_through_every_bit_pattern),
        cmocka_unit_test(integers_are_rounded_normals_that_saturate),
        cmocka_unit_test(every_fill_is_found_by_its_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
