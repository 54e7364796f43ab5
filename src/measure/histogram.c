/* histogram.c - percentiles of errors that were counted by size. */
#include "histogram.h"

#include <math.h>

/* No error of the bin is above it. */
static double edge_of(int bin) {
    if (bin <= KB_BINS_BELOW_1)
        return (bin + 0.5) / KB_BINS_BELOW_1;
    int i = bin - KB_BINS_BELOW_1 - 1;
    double step = 1.0 / KB_BINS_PER_OCTAVE;
    return ldexp(1 + (i % KB_BINS_PER_OCTAVE + 1) * step, i / KB_BINS_PER_OCTAVE);
}

int64_t kb_bins_count(const int64_t bins[KB_BINS]) {
    int64_t n = 0;

    for (int bin = 0; bin < KB_BINS_IN_ALL; bin++)
        n += bins[bin];
    return n;
}

double kb_bins_quantile(const int64_t bins[KB_BINS], int64_t count, double share,
                        double largest) {
    int64_t rank = (int64_t)ceil(share * (double)count), seen = 0;

    for (int bin = 0; bin < KB_BINS_IN_ALL - 1; bin++) {
        seen += bins[bin];
        if (seen >= rank)
            return fmin(edge_of(bin), largest);
    }
    return largest; /* the last bin has no edge */
}
