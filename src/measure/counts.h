/* counts.h - what the elements of an output come to: counts, extremes and sums, gathered by
 * each thread as the reference streams past. Internal to the measure layer. */
#ifndef KB_COUNTS_H
#define KB_COUNTS_H

#include "pass.h"

/* One thread's. Once all are added, none of it depends on which elements a thread had. */
struct kb_counts {
    double share_max, tol_max, ulp_max, abs_max, rel_max;
    int64_t over, over_bound, tol_over, kinds, unwritten, differing, kept, touched;
    double key_max; /* of the worst element; below 0: none yet */
    int64_t worst, first_bad, last_bad;
    int64_t bins[KB_BINS]; /* of pairs of numbers */
};
void kb_counts_start(struct kb_counts *counts);
void kb_counts_add(struct kb_counts *to, const struct kb_counts *from);
/* Judge the elements [first, first + count), at most KB_CHUNK, against what the reference
 * says of them; from call to call in ascending order. */
void kb_counts_chunk(const struct kb_judge *judge, int64_t first, int64_t count,
                     const struct kb_chunk *chunk, struct kb_counts *counts,
                     struct kb_sums *sums);

#endif
