/* pair_test.c - ratios, intervals and verdicts on times whose truth is known: lognormal, in
 * two modes, drifting, depending on their neighbours. */
#include "noise_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { BLOCKS = 24, LONG = 64 };

static double p_of(const struct noise *noise, uint64_t seed) {
    double a[BLOCKS], b[BLOCKS], d[BLOCKS];

    measure(noise, seed, 1, BLOCKS, a, b);
    for (int i = 0; i < BLOCKS; i++)
        d[i] = log(b[i] / a[i]);
    return kb_signed_ranks_p(d, BLOCKS);
}

static void assert_near(double got, double want, double within) {
    if (!(fabs(got - want) <= within))
        fail_msg("got %.17g, wanted %.17g", got, want);
}

/* ---- tests ----------------------------------------------------------------------------
 */

static void p_is_what_it_says_whatever_the_noise(void **state) {
    enum { TRIALS = 4000 };
    (void)state;
    for (size_t k = 0; k < KB_COUNT(noises); k++) {
        int at_5_percent = 0, at_1_in_1000 = 0;
        for (uint64_t t = 0; t < TRIALS; t++) {
            double p = p_of(&noises[k], 1000 + t);
            at_5_percent += p <= 0.05;
            at_1_in_1000 += p <= 0.001;
        }
        /* 200 and 4 are expected at most; less than 4 standard deviations more. */
        if (at_5_percent > 255 || at_5_percent < 130 || at_1_in_1000 > 12)
            fail_msg("%s: %d of %d at 5 %%, %d at 1 in 1000", noises[k].name, at_5_percent,
                     TRIALS, at_1_in_1000);
    }
}

static void compare(const struct noise *noise, uint64_t seed, double slower, int64_t blocks,
                    struct kb_speed *out) {
    const struct kb_speed_rule rule = kb_speed_rule_for(100);
    double a[LONG], b[LONG];

    measure(noise, seed, slower, blocks, a, b);
    kb_speed_paired(a, b, blocks, seed, out);
    out->verdict = kb_speed_judge(out, &rule);
}

/* 100 runs of 100 rows: one in ten such tests of p alone would be past the level. */
static void equal_builds_are_neither_faster_nor_slower(void **state) {
    (void)state;
    for (size_t k = 0; k < KB_COUNT(noises); k++) {
        for (uint64_t t = 0; t < 2000; t++) {
            struct kb_speed s;
            if (p_of(&noises[k], 77000 + t) > kb_speed_rule_for(100).level)
                continue;
            compare(&noises[k], 77000 + t, 1, BLOCKS, &s);
            if (s.verdict == KB_FASTER || s.verdict == KB_SLOWER)
                fail_msg("%s, seed %d: %s by %g", noises[k].name, (int)t,
                         kb_speed_word(s.verdict), s.ratio);
        }
    }
}

static void three_percent_are_found_95_times_in_100(void **state) {
    (void)state;
    for (size_t k = 0; k < KB_COUNT(noises); k++) {
        int slower = 0, faster = 0;
        for (uint64_t t = 0; t < 50; t++) {
            struct kb_speed up, down;
            compare(&noises[k], 5000 + t, 1.03, LONG, &up);
            compare(&noises[k], 5000 + t, 1 / 1.03, LONG, &down);
            slower += up.verdict == KB_SLOWER;
            faster += down.verdict == KB_FASTER;
        }
        if (slower + faster < 95)
            fail_msg("%s: %d of 50 slower, %d of 50 faster", noises[k].name, slower,
                     faster);
    }
}

static void interval_holds_the_truth_95_times_in_100(void **state) {
    (void)state;
    for (size_t k = 0; k < KB_COUNT(noises); k++) {
        int held = 0;
        for (uint64_t t = 0; t < 100; t++) {
            struct kb_speed s;
            compare(&noises[k], 9000 + t, 1.02, 48, &s);
            held += s.low <= 1.02 && 1.02 <= s.high;
        }
        if (held < 88)
            fail_msg("%s: in %d of 100", noises[k].name, held);
    }
}

/* ---- instances that half a percent lies between ---- */

enum { EACH = 6 };
static const double apart = 0.005;

static enum kb_speed_verdict judge_instances(uint64_t seed, double slower, int64_t each) {
    struct kb_speed_rule rule = kb_speed_rule_for(100);
    double a[BLOCKS], b[BLOCKS];
    struct kb_speed s;

    rule.level /= KB_SPEED_LOOKS;
    measure_instances(&quiet_noise, seed, slower, BLOCKS, each, apart, a, b);
    kb_speed_paired(a, b, BLOCKS, seed, &s);
    return kb_speed_judge(&s, &rule);
}

static int alarms_of(int trials, double slower, int64_t each) {
    int alarms = 0;

    for (int t = 0; t < trials; t++) {
        enum kb_speed_verdict v = judge_instances(31000 + (uint64_t)t, slower, each);
        alarms += v == KB_FASTER || v == KB_SLOWER;
    }
    return alarms;
}

/* One in six of them: of any two instances one takes longer, whatever they are of. */
static void one_instance_of_each_may_pass_for_a_difference(void **state) {
    (void)state;
    assert_in_range(alarms_of(300, 1, BLOCKS), 25, 100);
}

static void with_another_instance_in_each_block_none_does(void **state) {
    (void)state;
    assert_int_equal(alarms_of(1000, 1, 1), 0);
    assert_in_range(alarms_of(100, 1.03, 1), 95, 100);
    assert_in_range(alarms_of(100, 1 / 1.03, 1), 95, 100);
}

static void interval_over_instances_holds_the_truth(void **state) {
    int held = 0, held_without = 0;
    (void)state;
    for (uint64_t t = 0; t < 200; t++) {
        double a[BLOCKS], b[BLOCKS];
        struct kb_speed s;
        measure_instances(&quiet_noise, 41000 + t, 1.02, BLOCKS, EACH, apart, a, b);
        kb_speed_paired(a, b, BLOCKS, t, &s);
        held_without += s.low <= 1.02 && 1.02 <= s.high;
        kb_speed_widen_grouped(&s, a, b, EACH);
        held += s.low <= 1.02 && 1.02 <= s.high;
        assert_true(s.low <= s.ratio && s.ratio <= s.high);
    }
    assert_true(held >= 180); /* 190 are expected, 6 fewer are one in 20 */
    assert_true(held_without < 150);
}

/* A step in the middle: blocks do not tell what groups of them do. */
static void groups_widen_by_students_distribution(void **state) {
    double a[13], b[13];
    struct kb_speed s, wider;
    (void)state;
    for (int i = 0; i < 13; i++) {
        a[i] = 1;
        b[i] = exp(i < 6 ? -0.01 : i < 12 ? 0.01 : 1); /* the last is of no group */
    }
    kb_speed_paired(a, b, 12, 1, &s);
    wider = s;
    kb_speed_widen_grouped(&wider, a, b, 6); /* -1 and 1 %, one degree of freedom */
    assert_near(log(wider.high / s.ratio), 12.7062 * 0.01, 1e-9);
    wider = s;
    wider.n = 13;
    kb_speed_widen_grouped(&wider, a, b, 4); /* -1, 0 and 1 %, two */
    assert_near(log(s.ratio / wider.low), 4.3027 * 0.01 / sqrt(3), 1e-9);
    wider = s;
    kb_speed_widen_grouped(&wider, a, b, 12); /* there is nothing to be held against */
    assert_memory_equal(&wider, &s, sizeof s);
    for (int i = 0; i < 5; i++)
        a[i] = b[i] = 1;
    kb_speed_paired(a, b, 5, 1, &s);
    kb_speed_widen_grouped(&s, a, b, 1);
    assert_true(isnan(s.low) && isnan(s.high));
}

static void half_a_percent_is_the_same_where_noise_is_small(void **state) {
    struct kb_speed s;
    (void)state;
    compare(&noises[2], 3, 1.005, LONG, &s);
    assert_int_equal(s.verdict, KB_SAME);
    assert_near(s.ratio, 1.005, 0.004);
}

static void same_bits_from_the_same_seed(void **state) {
    struct kb_speed one, two;
    (void)state;
    compare(&noises[0], 3, 1.01, LONG, &one);
    compare(&noises[0], 3, 1.01, LONG, &two);
    assert_memory_equal(&one.low, &two.low, sizeof one.low);
    assert_memory_equal(&one.high, &two.high, sizeof one.high);
}

/* Three differences up: of the 8 ways of signs 1 is as far on this side, and 1 on that. */
static void p_of_three_is_a_quarter(void **state) {
    const double up[] = {1, 2, 3}, tied[] = {1, 1, 1, -1}, mixed[] = {3, -1, 2};
    const double none[] = {0, 0};
    (void)state;
    assert_near(kb_signed_ranks_p(up, 3), 0.25, 1e-12);
    /* ranks 2.5 each: at most one of four is down in 5 of 16 ways */
    assert_near(kb_signed_ranks_p(tied, 4), 0.625, 1e-12);
    assert_near(kb_signed_ranks_p(mixed, 3), 0.5, 1e-12);
    assert_near(kb_signed_ranks_p(none, 2), 1, 1e-12);
}

static void many_blocks_give_about_the_p_of_counting(void **state) {
    double d[600];
    (void)state;
    for (int i = 0; i < 600; i++)
        d[i] = normal(4, i) + 0.1;
    double counted = kb_signed_ranks_p(d, 512), estimated = kb_signed_ranks_p(d, 600);
    assert_true(counted < 0.2 && estimated < 0.2);
    assert_true(estimated > 0 && fabs(log(estimated / counted)) < 3);
}

static void orders_are_palindromes_and_all_come_up(void **state) {
    int first[3] = {0};
    (void)state;
    for (int64_t block = 0; block < 300; block++) {
        int order[6], seen = 0;
        kb_speed_order(9, block, 3, order);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(order[i], order[5 - i]);
            seen |= 1 << order[i];
        }
        assert_int_equal(seen, 7);
        first[order[0]]++;
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(first[i], 70, 130);
}

static void few_blocks_are_unclear(void **state) {
    const struct kb_speed_rule rule = kb_speed_rule_for(1);
    const double a[] = {1, 1, 1, 1, 1}, b[] = {2, 2, 2, 2, 2};
    struct kb_speed s;
    (void)state;
    kb_speed_paired(a, b, 5, 1, &s);
    assert_near(s.ratio, 2, 1e-12);
    assert_int_equal(kb_speed_judge(&s, &rule), KB_UNCLEAR);
    kb_speed_paired(a, b, 0, 1, &s);
    assert_int_equal(kb_speed_judge(&s, &rule), KB_NOT_COMPARED);
}

static void verdicts_turn_at_the_margin(void **state) {
    const struct kb_speed_rule rule = {.margin = 0.01, .level = 1e-5};
    static const struct {
        double ratio, low, high, p;
        enum kb_speed_verdict verdict;
    } cases[] = {
        {1.0101, 1.0100, 1.0102, 1e-5, KB_SLOWER},
        {1.0100, 1.0099, 1.0100, 1e-9, KB_SAME},
        {1.0101, 1.0100, 1.0102, 1.1e-5, KB_UNCLEAR},
        {0.9900, 0.9895, 0.9905, 1e-5, KB_FASTER},
        {1 / 1.01, 1 / 1.01, 1.0, 1e-5, KB_SAME},
        {0.9990, 0.9890, 1.0090, 0.5, KB_UNCLEAR},
        {1.0200, 1.0010, 1.0400, NAN, KB_UNCLEAR},
        {1.0005, 1.0001, 1.0009, NAN, KB_SAME},
    };
    (void)state;
    for (size_t i = 0; i < KB_COUNT(cases); i++) {
        struct kb_speed s = {true, cases[i].ratio, cases[i].low, cases[i].high, cases[i].p,
                             24,   KB_NOT_COMPARED};
        enum kb_speed_verdict got = kb_speed_judge(&s, &rule);
        if (got != cases[i].verdict)
            fail_msg("%d: got %s, wanted %s", (int)i, kb_speed_word(got),
                     kb_speed_word(cases[i].verdict));
    }
}

static void more_rows_want_a_smaller_p(void **state) {
    (void)state;
    assert_near(kb_speed_rule_for(1).level, 1e-5, 1e-12);
    assert_near(kb_speed_rule_for(100).level, 1e-5, 1e-12);
    assert_near(kb_speed_rule_for(1000).level, 1e-6, 1e-12);
}

static void interval_is_no_narrower_than_the_tick(void **state) {
    double a[8], b[8];
    struct kb_speed s;
    (void)state;
    for (int i = 0; i < 8; i++)
        a[i] = b[i] = 100;
    kb_speed_paired(a, b, 8, 1, &s);
    assert_near(s.high - s.low, 0, 1e-12);
    kb_speed_widen(&s, 0.02);
    assert_near(s.high, 1.02, 1e-12);
    assert_near(s.low, 1 / 1.02, 1e-12);
}

static void a_tick_makes_no_interval_where_there_is_none(void **state) {
    const double a[] = {1000, 1000, 1000}, b[] = {1001, 1001, 1001};
    const struct kb_speed_rule rule = kb_speed_rule_for(1);
    struct kb_speed s;
    (void)state;
    kb_speed_paired(a, b, 3, 1, &s);
    kb_speed_widen(&s, 0.001);
    assert_true(isnan(s.low) && isnan(s.high));
    assert_int_equal(kb_speed_judge(&s, &rule), KB_UNCLEAR);
}

static void words_come_back(void **state) {
    enum kb_speed_verdict v;
    (void)state;
    for (int i = KB_FASTER; i < KB_SPEED_COUNT; i++) {
        assert_true(kb_speed_parse(kb_speed_word((enum kb_speed_verdict)i), &v));
        assert_int_equal(v, i);
    }
    assert_false(kb_speed_parse("", &v));
    assert_false(kb_speed_parse("faster", &v));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(p_is_what_it_says_whatever_the_noise),
        cmocka_unit_test(equal_builds_are_neither_faster_nor_slower),
        cmocka_unit_test(three_percent_are_found_95_times_in_100),
        cmocka_unit_test(interval_holds_the_truth_95_times_in_100),
        cmocka_unit_test(one_instance_of_each_may_pass_for_a_difference),
        cmocka_unit_test(with_another_instance_in_each_block_none_does),
        cmocka_unit_test(interval_over_instances_holds_the_truth),
        cmocka_unit_test(groups_widen_by_students_distribution),
        cmocka_unit_test(half_a_percent_is_the_same_where_noise_is_small),
        cmocka_unit_test(same_bits_from_the_same_seed),
        cmocka_unit_test(p_of_three_is_a_quarter),
        cmocka_unit_test(many_blocks_give_about_the_p_of_counting),
        cmocka_unit_test(orders_are_palindromes_and_all_come_up),
        cmocka_unit_test(few_blocks_are_unclear),
        cmocka_unit_test(verdicts_turn_at_the_margin),
        cmocka_unit_test(more_rows_want_a_smaller_p),
        cmocka_unit_test(interval_is_no_narrower_than_the_tick),
        cmocka_unit_test(a_tick_makes_no_interval_where_there_is_none),
        cmocka_unit_test(words_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
