/* detectable.c - how small a difference a pair's blocks would have told: differences are
 * put into what is drawn from the pair's own, and looked for by the rule. */
#include "measure.h"

#include <math.h>
#include <stdlib.h>

enum { TRIALS = 100, FOUND = 95, STEPS = 10, MOST_DRAWN = 48 };
/* 97.5 % and 95 % of a normal distribution lie below these. */
static const double two_sided = 1.959964, one_sided = 1.644854;

struct blocks {
    double *all; /* ln(b/a), about their ratio */
    double *drawn;
    int64_t n, n_drawn;
    uint64_t seed;
    double level;
};

static double *array_of(int64_t n) {
    double *array = calloc((size_t)n, sizeof *array);

    if (!array)
        kb_out_of_memory();
    return array;
}

static bool is_found(const struct blocks *b, double difference) {
    uint32_t random[4] = {0};
    int found = 0;

    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        for (int64_t i = 0; i < b->n_drawn; i++) {
            if (i % 4 == 0)
                kb_philox(b->seed, UINT64_C(1) << 62 | trial, (uint64_t)i, random);
            uint64_t at = (uint64_t)random[i % 4] * (uint64_t)b->n >> 32;
            b->drawn[i] = difference + b->all[at];
        }
        found += kb_signed_ranks_p(b->drawn, b->n_drawn) <= b->level;
    }
    return found >= FOUND;
}

/* That p is low enough; 0: it never is. More blocks than some are not drawn: from there on
 * what is found goes with their root. */
static double found_by_rank(const struct blocks *b) {
    double low = 0, high = 0;

    for (int64_t i = 0; i < b->n; i++) /* then all lie on one side */
        high = fmax(high, 1.001 * fabs(b->all[i]));
    high = fmax(high, 1e-9);
    if (!is_found(b, high))
        return 0;
    for (int step = 0; step < STEPS; step++) {
        double middle = (low + high) / 2;
        if (is_found(b, middle))
            high = middle;
        else
            low = middle;
    }
    return high * sqrt((double)b->n_drawn / (double)b->n);
}

double kb_speed_detectable(const double *a_ns, const double *b_ns, int64_t n, uint64_t seed,
                           const struct kb_speed *speed, const struct kb_speed_rule *rule) {
    double width = log(speed->high / speed->low) / 2 / two_sided;
    struct blocks b = {.n = n, .seed = seed, .level = rule->level};

    if (n < 1 || !isfinite(width))
        return 0;
    b.n_drawn = n < MOST_DRAWN ? n : MOST_DRAWN;
    b.all = array_of(n);
    b.drawn = array_of(b.n_drawn);
    for (int64_t i = 0; i < n; i++)
        b.all[i] = log(b_ns[i] / a_ns[i]) - log(speed->ratio);
    double by_rank = found_by_rank(&b);
    free(b.all);
    free(b.drawn);
    double by_margin = log1p(rule->margin) + one_sided * width;
    return by_rank > 0 ? expm1(fmax(by_rank, by_margin)) : 0; /* both are wanted */
}
