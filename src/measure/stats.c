/* stats.c - medians and their intervals, free of any assumption on the distribution. */
#include "measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The largest k such that P(B < k) <= 2.5 % for B binomial(n, 1/2): the k-th and the
 * (n+1-k)-th order statistics then hold the median with at least 95 %. 0 if there is none.
 */
static int64_t interval_rank(int64_t n) {
    if (n > 1000) { /* the normal approximation is off by less than one rank here */
        double half = (double)n / 2 - 1.959964 * sqrt((double)n) / 2;
        return (int64_t)floor(half);
    }
    double term = pow(0.5, (double)n); /* P(B = 0) */
    double sum = term;
    int64_t k = 0;
    while (sum <= 0.025) {
        k++;
        term *= (double)(n - k + 1) / (double)k;
        sum += term;
    }
    return k;
}

void kb_stats_of(const double *samples, int64_t n, struct kb_arena *arena,
                 struct kb_stats *out) {
    *out = (struct kb_stats){.n = n, NAN, NAN, NAN, NAN, NAN};
    if (n < 1)
        return;
    double *sorted = kb_arena_array(arena, (size_t)n, sizeof *sorted);
    memcpy(sorted, samples, (size_t)n * sizeof *sorted);
    kb_sort(sorted, (size_t)n);
    out->median = n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
    out->min = sorted[0];
    if (n >= 300)
        out->p99 = sorted[(int64_t)ceil(0.99 * (double)n) - 1];
    int64_t k = interval_rank(n);
    if (k >= 1) {
        out->low = sorted[k - 1];
        out->high = sorted[n - k];
    }
}
