/* twins.c - kernels against themselves: false alarms, noise, and the smallest difference
 * that would have been found. */
#include "selftest.h"

#include <math.h>
#include <stdlib.h>

static const double two_sided = 1.959964, one_sided = 1.644854;

static double *array_of(int64_t n) {
    double *array = calloc((size_t)n, sizeof *array);

    if (!array)
        kb_out_of_memory();
    return array;
}

/* Of those that are finite. */
static double median_of(const double *values, int64_t n) {
    struct kb_arena arena = {0};
    struct kb_stats stats;
    double *known = array_of(n);
    int64_t n_known = 0;

    for (int64_t i = 0; i < n; i++)
        if (isfinite(values[i]))
            known[n_known++] = values[i];
    if (n_known)
        kb_stats_of(known, n_known, &arena, &stats);
    kb_arena_free(&arena);
    free(known);
    return n_known ? stats.median : (double)NAN;
}

void kb_twins_of(const struct kb_speed *speeds, const double *smallest, int n,
                 const struct kb_speed_rule *rule, struct kb_twins *out) {
    double squares = 0;

    *out = (struct kb_twins){.pairs = n, .blocks = NAN, .noise = NAN, .smallest = NAN};
    if (n < 1)
        return;
    double *blocks = array_of(n), *widths = array_of(n), *found = array_of(n);
    for (int i = 0; i < n; i++) {
        enum kb_speed_verdict verdict = kb_speed_judge(&speeds[i], rule);
        double off = log(speeds[i].ratio);
        out->alarms += verdict == KB_FASTER || verdict == KB_SLOWER;
        out->at_5 += speeds[i].p <= 0.05;
        blocks[i] = (double)speeds[i].n;
        widths[i] = log(speeds[i].high / speeds[i].low) / 2 / two_sided;
        found[i] = smallest[i] > 0 ? smallest[i] : (double)NAN;
        squares += off * off;
    }
    out->blocks = median_of(blocks, n);
    /* Ratios may be further apart than each of them says: loaded twice, a kernel may be
     * another one. */
    out->noise = fmax(median_of(widths, n), sqrt(squares / n));
    double least = median_of(found, n);
    if (isfinite(least))
        out->smallest = fmax(least, expm1(log1p(rule->margin) + one_sided * out->noise));
    free(blocks);
    free(widths);
    free(found);
}
