/* histogram.h - errors in ulp, counted by size: for percentiles that need no sorting.
 * Internal to the measure layer. */
#ifndef KB_HISTOGRAM_H
#define KB_HISTOGRAM_H

#include "base.h"

#include <string.h>

/* Up to 1 ulp steps of 1/1024, from there 64 to each doubling, up to 2^40. */
enum {
    KB_BINS_BELOW_1 = 1024,
    KB_BINS_PER_OCTAVE = 64,
    KB_BINS_IN_ALL = KB_BINS_BELOW_1 + 1 + KB_BINS_PER_OCTAVE * 40,
    KB_BIN_NONE = 4095, /* counted, and in no percentile */
    KB_BINS,
};
/* The bin of ulp >= 0, by its bits alone, so that a loop of it vectorises. */
static inline uint64_t kb_bin_of(double ulp) {
    double most = ulp < 0x1.fcp39 ? ulp : 0x1.fcp39;
    double shifted = most * KB_BINS_BELOW_1 + 0x1p52;
    uint64_t bits, low;

    memcpy(&bits, &most, sizeof bits);
    memcpy(&low, &shifted, sizeof low);
    uint64_t high = (bits >> 46) - (UINT64_C(1023) << 6) + KB_BINS_BELOW_1 + 1;
    uint64_t below = 0 - (uint64_t)(ulp < 1);
    return (low & 0xfffff & below) | (high & ~below);
}
int64_t kb_bins_count(const int64_t bins[KB_BINS]);
/* The error that `share` of all `count` are not above, to the bin's width; at most
 * `largest`. */
double kb_bins_quantile(const int64_t bins[KB_BINS], int64_t count, double share,
                        double largest);

#endif
