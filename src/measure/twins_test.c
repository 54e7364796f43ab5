/* twins_test.c - pairs of equal kernels on devices with noise: false alarms are counted,
 * and the smallest difference is one that is found, and not by far. */
#include "noise_fixture.h"
#include "selftest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { PAIRS = 40, BLOCKS = 24, TRIALS = 100 };

/* The smallest difference of the pair. */
static double pair_of(const struct noise *noise, uint64_t seed, double slower,
                      struct kb_speed *out) {
    const struct kb_speed_rule rule = kb_speed_rule_for(100);
    double a[BLOCKS], b[BLOCKS];

    measure(noise, seed, slower, BLOCKS, a, b);
    kb_speed_paired(a, b, BLOCKS, seed, out);
    return kb_speed_detectable(a, b, BLOCKS, seed, out, &rule);
}

static struct kb_twins twins_of(const struct noise *noise, double slower) {
    const struct kb_speed_rule rule = kb_speed_rule_for(100);
    struct kb_speed speeds[PAIRS];
    double smallest[PAIRS];
    struct kb_twins twins;

    for (int i = 0; i < PAIRS; i++)
        smallest[i] = pair_of(noise, (uint64_t)(300 + i), slower, &speeds[i]);
    kb_twins_of(speeds, smallest, PAIRS, &rule, &twins);
    return twins;
}

/* Of so many trials with a difference: those that are SLOWER. */
static int found_of(const struct noise *noise, double slower) {
    const struct kb_speed_rule rule = kb_speed_rule_for(100);
    int found = 0;

    for (int i = 0; i < TRIALS; i++) {
        struct kb_speed speed;
        pair_of(noise, (uint64_t)(9000 + i), slower, &speed);
        found += kb_speed_judge(&speed, &rule) == KB_SLOWER;
    }
    return found;
}

/* ---- tests ----------------------------------------------------------------------------
 */

static void equal_kernels_raise_no_alarm_whatever_the_noise(void **state) {
    (void)state;
    for (size_t k = 0; k < KB_COUNT(noises); k++) {
        struct kb_twins twins = twins_of(&noises[k], 1);
        assert_int_equal(twins.pairs, PAIRS);
        assert_int_equal(twins.alarms, 0);
        /* 2 are expected of 40 */
        if (twins.at_5 > 8)
            fail_msg("%s: p at most 5 %% in %d", noises[k].name, twins.at_5);
        assert_true(twins.blocks > BLOCKS - 0.5 && twins.blocks < BLOCKS + 0.5);
    }
}

static void kernels_that_differ_are_alarms(void **state) {
    (void)state;
    struct kb_twins twins = twins_of(&noises[0], 1.1);
    assert_int_equal(twins.alarms, PAIRS);
    assert_int_equal(twins.at_5, PAIRS);
}

static void the_smallest_difference_is_found_and_half_of_it_is_not(void **state) {
    (void)state;
    for (size_t k = 0; k < KB_COUNT(noises); k++) {
        double smallest = twins_of(&noises[k], 1).smallest;
        assert_true(smallest >= 0.01);
        int at = found_of(&noises[k], 1 + smallest);
        int half = found_of(&noises[k], 1 + smallest / 2);
        if (at < 85 || half > 60)
            fail_msg("%s: %g: %d of 100, half of it %d", noises[k].name, smallest, at,
                     half);
    }
}

static void blocks_too_few_for_any_verdict_have_no_smallest_difference(void **state) {
    const struct kb_speed_rule rule = kb_speed_rule_for(100);
    double a[12], b[12], none[] = {0};
    struct kb_speed speed;
    struct kb_twins twins;
    (void)state;
    measure(&noises[0], 1, 1, 12, a, b);
    kb_speed_paired(a, b, 12, 1, &speed);
    assert_true(kb_speed_detectable(a, b, 12, 1, &speed, &rule) <= 0); /* p is 2^-11 */
    kb_speed_paired(a, b, 5, 1, &speed);
    assert_true(kb_speed_detectable(a, b, 5, 1, &speed, &rule) <= 0);
    kb_twins_of(&speed, none, 1, &rule, &twins);
    assert_true(isnan(twins.smallest) && isfinite(twins.noise));
    kb_twins_of(NULL, NULL, 0, &rule, &twins);
    assert_int_equal(twins.pairs, 0);
    assert_true(isnan(twins.noise) && isnan(twins.smallest));
}

/* Where there is no noise the margin alone is to be passed. */
static void a_quiet_device_is_held_up_by_the_margin(void **state) {
    const struct kb_speed_rule rule = kb_speed_rule_for(100);
    double a[BLOCKS], b[BLOCKS];
    struct kb_speed speed;
    (void)state;
    for (int i = 0; i < BLOCKS; i++)
        a[i] = 1000, b[i] = 1000 + 0.1 * (i % 2);
    kb_speed_paired(a, b, BLOCKS, 1, &speed);
    double smallest = kb_speed_detectable(a, b, BLOCKS, 1, &speed, &rule);
    assert_true(smallest > 0.01 && smallest < 0.0102);
}

/* Each pair's interval is narrow, and yet they are 1 % apart. */
static void ratios_further_apart_than_their_intervals_are_the_noise(void **state) {
    const struct kb_speed_rule rule = kb_speed_rule_for(100);
    const double smallest[] = {0.0101, 0.0101};
    const struct kb_speed speeds[2] = {{true, 1.01, 1.0099, 1.0101, 1, 100, KB_SAME},
                                       {true, 0.99, 0.9899, 0.9901, 1, 100, KB_SAME}};
    struct kb_twins twins;
    (void)state;
    kb_twins_of(speeds, smallest, 2, &rule, &twins);
    assert_true(fabs(twins.noise - 0.01) < 0.0005);
    assert_true(twins.smallest > 0.025 && twins.smallest < 0.028);
}

/* More blocks tell smaller differences, those past the drawn ones as well. */
static void more_blocks_find_smaller_differences(void **state) {
    enum { MOST = 384 };
    const struct kb_speed_rule rule = kb_speed_rule_for(100);
    double a[MOST], b[MOST], last = 1;
    (void)state;
    measure(&noises[0], 5, 1, MOST, a, b);
    for (int64_t n = 24; n <= MOST; n *= 4) {
        struct kb_speed speed;
        kb_speed_paired(a, b, n, 1, &speed);
        double smallest = kb_speed_detectable(a, b, n, 1, &speed, &rule);
        assert_true(smallest > 0.01 && smallest < last);
        last = smallest;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_kernels_raise_no_alarm_whatever_the_noise),
        cmocka_unit_test(kernels_that_differ_are_alarms),
        cmocka_unit_test(the_smallest_difference_is_found_and_half_of_it_is_not),
        cmocka_unit_test(blocks_too_few_for_any_verdict_have_no_smallest_difference),
        cmocka_unit_test(a_quiet_device_is_held_up_by_the_margin),
        cmocka_unit_test(ratios_further_apart_than_their_intervals_are_the_noise),
        cmocka_unit_test(more_blocks_find_smaller_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
