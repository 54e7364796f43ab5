/* time_fixture.h - a device whose timer gives what a script says, for tests of times. */
#ifndef KB_TIME_FIXTURE_H
#define KB_TIME_FIXTURE_H

#include "fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static inline double constant(int64_t i) {
    (void)i;
    return 1000;
}

/* Uniform in [-1, 1), the same for the same i. */
static inline double dice(int64_t i) {
    uint32_t r[4];

    kb_philox(11, 0, (uint64_t)i, r);
    return r[0] / 2147483648.0 - 1;
}

static inline double noisy_by_5_percent(int64_t i) {
    return 1000 * (1 + 0.05 * dice(i));
}

static inline double long_and_constant(int64_t i) {
    (void)i;
    return 1e5;
}

static inline double noisy_by_half(int64_t i) {
    return 1000 * (1 + 0.5 * dice(i));
}

/* By 1.1 % from sample to sample, over and over: warming up takes any number of them. */
static inline double rising(int64_t i) {
    return 1000 * exp2((double)(i % 8192) / 64);
}

/* Half as fast until the clocks have risen. */
static inline double slow_at_first(int64_t i) {
    return i < 20 ? 2000 : 1000;
}

static inline double not_a_time(int64_t i) {
    return i == 20 ? NAN : 1000;
}

static inline double no_time_at_all(int64_t i) {
    return i == 20 ? 0 : 1000;
}

static inline void run_script(struct fake *f, const struct fake_script *script) {
    fake_open(f, script);
    assert_true(fake_go(f));
}

static inline void assert_passed(const struct fake *f) {
    if (f->row.reason != KB_R_NONE)
        fail_msg("%s: %s", kb_reason_word(f->row.reason), f->row.text);
}

static inline const struct kb_time *graph_of(const struct fake *f) {
    assert_passed(f);
    assert_true(f->row.times[KB_GRAPH].there);
    return &f->row.times[KB_GRAPH];
}

#endif
