/* stats_test.c - medians, their intervals, and the words of verdicts. */
#include "measure.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct kb_stats stats_of(const double *x, int64_t n) {
    struct kb_arena arena = {0};
    struct kb_stats s;

    kb_stats_of(x, n, &arena, &s);
    kb_arena_free(&arena);
    return s;
}

static void median_of_odd_and_even_counts_is_the_middle(void **state) {
    (void)state;
    const double odd[] = {5, 1, 3}, even[] = {4, 1, 3, 2};
    assert_true(stats_of(odd, 3).median == 3);
    assert_true(stats_of(even, 4).median == 2.5);
    assert_true(stats_of(odd, 3).min == 1);
}

static void five_samples_have_no_interval_and_six_span_theirs(void **state) {
    (void)state;
    const double x[] = {6, 1, 5, 2, 4, 3};
    assert_true(isnan(stats_of(x, 5).low));
    /* P(all six on one side) = 2 * 2^-6 = 3.1 % */
    assert_true(stats_of(x, 6).low == 1);
    assert_true(stats_of(x, 6).high == 6);
}

static void interval_ranks_are_those_of_the_binomial_tables(void **state) {
    (void)state;
    double x[1001];
    for (int i = 0; i < 1001; i++)
        x[i] = i + 1;
    /* Published 95 % ranks: n 10 -> 2, n 20 -> 6, n 50 -> 18, n 100 -> 40. */
    assert_true(stats_of(x, 10).low == 2 && stats_of(x, 10).high == 9);
    assert_true(stats_of(x, 20).low == 6);
    assert_true(stats_of(x, 50).low == 18);
    assert_true(stats_of(x, 100).low == 40 && stats_of(x, 100).high == 61);
    assert_true(fabs(stats_of(x, 1001).low - stats_of(x, 1000).low) <= 1);
}

static void interval_holds_the_true_median_as_often_as_it_says(void **state) {
    (void)state;
    int held = 0, trials = 4000;
    for (int t = 0; t < trials; t++) {
        double x[40];
        for (int i = 0; i < 40; i++) {
            uint32_t r[4];
            kb_philox(7, (uint64_t)t, (uint64_t)i, r);
            x[i] = exp(r[0] / 4294967296.0 * 3); /* skewed; its median is exp(1.5) */
        }
        struct kb_stats s = stats_of(x, 40);
        held += s.low <= exp(1.5) && exp(1.5) <= s.high;
    }
    assert_true(held >= 0.95 * trials && held < trials);
}

static void p99_needs_300_samples(void **state) {
    (void)state;
    double x[300];
    for (int i = 0; i < 300; i++)
        x[i] = i + 1;
    assert_true(isnan(stats_of(x, 299).p99));
    assert_true(stats_of(x, 300).p99 == 297);
}

static void status_of_several_is_the_first_of_7_4_6_5_1_2_3(void **state) {
    (void)state;
    const int order[] = {7, 4, 6, 5, 1, 2, 3, 0};
    for (size_t i = 0; i < KB_COUNT(order); i++) {
        for (size_t j = i; j < KB_COUNT(order); j++) {
            assert_int_equal(kb_status_worse(order[i], order[j]), order[i]);
            assert_int_equal(kb_status_worse(order[j], order[i]), order[i]);
        }
    }
}

static void every_reason_word_reads_back(void **state) {
    (void)state;
    for (int r = 0; r < KB_REASON_COUNT; r++) {
        enum kb_reason back;
        assert_true(kb_reason_parse(kb_reason_word((enum kb_reason)r), &back));
        assert_int_equal(back, r);
    }
    assert_int_equal(kb_reason_status(KB_R_NONE), 0);
    assert_int_equal(kb_reason_verdict(KB_R_UNWRITTEN), KB_FAIL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(median_of_odd_and_even_counts_is_the_middle),
        cmocka_unit_test(five_samples_have_no_interval_and_six_span_theirs),
        cmocka_unit_test(interval_ranks_are_those_of_the_binomial_tables),
        cmocka_unit_test(interval_holds_the_true_median_as_often_as_it_says),
        cmocka_unit_test(p99_needs_300_samples),
        cmocka_unit_test(status_of_several_is_the_first_of_7_4_6_5_1_2_3),
        cmocka_unit_test(every_reason_word_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
