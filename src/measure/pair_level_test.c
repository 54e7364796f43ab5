/* pair_level_test.c - 1000 runs of 100 rows whose builds are equal: that one of them has a
 * row which is called FASTER or SLOWER is counted, not put forward from fewer. */
#include "noise_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { BLOCKS = 24, RUNS = 1000, ROWS = 100, LEVELS = 3 };
static const double levels[LEVELS] = {1e-3, 1e-4, 1e-5};

/* How many of the differences must have the other sign for p to be past `level`, wherever
 * they rank. Then it need not be computed, which takes longer than the row. */
static int enough_for(double level) {
    double d[BLOCKS];

    for (int n = 0; n <= BLOCKS / 2; n++) {
        for (int i = 0; i < BLOCKS; i++)
            d[i] = i < n ? -1 - i : 1 + i;
        if (kb_signed_ranks_p(d, BLOCKS) > level)
            return n;
    }
    return BLOCKS;
}

struct seen {
    int at[LEVELS]; /* rows whose p is at most so much */
    int runs;       /* with an alarm */
    int lax_runs;   /* with one at ten times the level */
};

static bool is_alarm(const struct kb_speed *speed, const struct kb_speed_rule *rule) {
    enum kb_speed_verdict v = kb_speed_judge(speed, rule);
    return v == KB_FASTER || v == KB_SLOWER;
}

/* Whether a row is one. */
static bool see_row(const struct noise *noise, uint64_t seed, int enough, struct seen *seen,
                    bool *is_lax_alarm) {
    const struct kb_speed_rule rule = kb_speed_rule_for(ROWS);
    const struct kb_speed_rule lax = {.margin = rule.margin, .level = 10 * rule.level};
    double a[BLOCKS], b[BLOCKS];
    struct kb_speed speed;
    int up = 0;

    measure(noise, seed, 1, BLOCKS, a, b);
    for (int i = 0; i < BLOCKS; i++)
        up += b[i] > a[i];
    if (up >= enough && BLOCKS - up >= enough)
        return false;
    double d[BLOCKS];
    for (int i = 0; i < BLOCKS; i++)
        d[i] = log(b[i] / a[i]);
    if (kb_signed_ranks_p(d, BLOCKS) > levels[0])
        return false;
    kb_speed_paired(a, b, BLOCKS, seed, &speed);
    for (int l = 0; l < LEVELS; l++)
        seen->at[l] += speed.p <= levels[l];
    *is_lax_alarm |= is_alarm(&speed, &lax);
    return is_alarm(&speed, &rule);
}

static struct seen see(const struct noise *noise, uint64_t first) {
    struct seen seen = {0};
    int enough = enough_for(levels[0]);

    for (uint64_t run = 0; run < RUNS; run++) {
        bool alarm = false, lax = false;
        for (uint64_t row = 0; row < ROWS; row++)
            alarm |= see_row(noise, first + run * ROWS + row, enough, &seen, &lax);
        seen.runs += alarm;
        seen.lax_runs += lax;
    }
    return seen;
}

/* 100, 10 and 1 rows of each noise are expected at most: less than 4 standard deviations
 * more. Of all 5000 runs 5 would be one in 1000, and one or none is less by 96 in 100. */
static void a_run_of_equal_builds_has_an_alarm_once_in_1000_at_most(void **state) {
    struct seen all = {0};
    (void)state;
    for (size_t k = 0; k < KB_COUNT(noises); k++) {
        struct seen s = see(&noises[k], 1000000 * (k + 1));
        if (s.at[0] < 60 || s.at[0] > 140 || s.at[1] > 22 || s.at[2] > 5)
            fail_msg("%s: p at most 1e-3 in %d, 1e-4 in %d, 1e-5 in %d of 100000",
                     noises[k].name, s.at[0], s.at[1], s.at[2]);
        all.runs += s.runs;
        all.lax_runs += s.lax_runs;
    }
    assert_in_range(all.runs, 0, 1);
    assert_in_range(all.lax_runs, 2, 50); /* that there are alarms to be seen */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_of_equal_builds_has_an_alarm_once_in_1000_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
