/* noise_fixture.h - devices with noise, for tests: times whose truth is known. */
#ifndef KB_NOISE_FIXTURE_H
#define KB_NOISE_FIXTURE_H

#include "measure.h"

#include <math.h>

static double uniform(uint64_t seed, int64_t i) {
    uint32_t r[4];

    kb_philox(seed, 1, (uint64_t)i, r);
    return (r[0] + 0.5) / 4294967296.0;
}

static double normal(uint64_t seed, int64_t i) {
    uint32_t r[4];

    kb_philox(seed, 2, (uint64_t)i, r);
    return sqrt(-2 * log((r[0] + 0.5) / 4294967296.0)) *
           cos(6.283185307179586 * (r[1] + 0.5) / 4294967296.0);
}

/* What visit `i` takes longer than it should, as a logarithm; `state` goes from visit to
 * visit. */
struct noise {
    const char *name;
    double (*at)(uint64_t seed, int64_t i, double *state);
};

static double lognormal(uint64_t seed, int64_t i, double *state) {
    (void)state;
    return 0.02 * normal(seed, i);
}

/* A clock that is 5 % lower now and then, for a while. */
static double two_modes(uint64_t seed, int64_t i, double *state) {
    if (uniform(seed, i) < 0.1)
        *state = 0.05 - *state;
    return *state + 0.005 * normal(seed, i);
}

/* By a tenth from the first visit to the hundredth: a device that gets warm. */
static double drifting(uint64_t seed, int64_t i, double *state) {
    (void)state;
    return 0.001 * (double)i + 0.01 * normal(seed, i);
}

static double correlated(uint64_t seed, int64_t i, double *state) {
    *state = 0.95 * *state + 0.006 * normal(seed, i);
    return *state;
}

/* One in 50 takes half as long again. */
static double with_outliers(uint64_t seed, int64_t i, double *state) {
    (void)state;
    return (uniform(seed, i) < 0.02 ? 0.4 : 0) + 0.01 * normal(seed, i);
}

static const struct noise noises[] = {
    {"lognormal", lognormal},   {"in two modes", two_modes},      {"drifting", drifting},
    {"correlated", correlated}, {"with outliers", with_outliers},
};

/* Where what is measured is what differs. */
static inline double quiet(uint64_t seed, int64_t i, double *state) {
    (void)state;
    return 0.002 * normal(seed, i);
}
static const struct noise quiet_noise __attribute__((unused)) = {"quiet", quiet};

/* Blocks of A and B, B taking `slower` times as long. */
static void measure(const struct noise *noise, uint64_t seed, double slower, int64_t blocks,
                    double *a, double *b) {
    double state = 0;

    for (int64_t k = 0; k < blocks; k++) {
        int order[4];
        double sums[2] = {0};
        kb_speed_order(seed, k, 2, order);
        for (int v = 0; v < 4; v++)
            sums[order[v]] += 1000 * exp(noise->at(seed, 4 * k + v, &state)) *
                              (order[v] == 1 ? slower : 1);
        a[k] = sums[0] / 2;
        b[k] = sums[1] / 2;
    }
}

/* The same by instances of both that each take a time of their own, `apart` from another's
 * (a standard deviation); after `each` blocks they are others. */
static inline void measure_instances(const struct noise *noise, uint64_t seed,
                                     double slower, int64_t blocks, int64_t each,
                                     double apart, double *a, double *b) {
    measure(noise, seed, slower, blocks, a, b);
    for (int64_t k = 0; k < blocks; k++) {
        a[k] *= exp(apart * normal(seed + 1000003, 2 * (k / each)));
        b[k] *= exp(apart * normal(seed + 1000003, 2 * (k / each) + 1));
    }
}

#endif
