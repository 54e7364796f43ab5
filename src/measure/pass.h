/* pass.h - the errors of a block of an output at once: what the comparison does to every
 * element, so that judge.c sees only those that may matter. Internal to the measure layer.
 */
#ifndef KB_PASS_H
#define KB_PASS_H

#include "histogram.h"
#include "judge.h"

enum { KB_BLOCK = 256 };

/* Over pairs of numbers, in lanes: the same bits whatever vectors the CPU has. */
struct kb_sums {
    double ulp[KB_LANES];   /* signed errors */
    double err2[KB_LANES];  /* squares of errors */
    double want2[KB_LANES]; /* squares of wants */
};
double kb_lanes_sum(const double lanes[KB_LANES]);

/* The largest so far: what is past them needs a look. */
struct kb_records {
    double share, tol, rel;
};

/* Marks: it needs a look, being past a limit or no pair of numbers with a bound; its bits
 * are not those of want rounded; want lies between two numbers, so that this is not known.
 */
enum { KB_LOOK = 1, KB_DIFFERS = 2, KB_TIE = 4 };

struct kb_block {
    int64_t count;              /* at most KB_BLOCK */
    const double *want, *bound; /* of a kb_chunk */
    double got[KB_BLOCK];
    double ulp[KB_BLOCK];          /* size of the error; 0 where there is none to tell */
    uint64_t bin[KB_BLOCK];        /* of ulp; KB_BIN_NONE where there is none to tell */
    uint64_t marks[KB_BLOCK], any; /* any: all of them together */
    int64_t differing;             /* marked so */
    double ulp_max, abs_max;
};
/* From count, want, bound and got: the rest of the block; adds to `sums`. */
void kb_pass_numbers(const struct kb_judge *judge, const struct kb_records *limits,
                     struct kb_block *block, struct kb_sums *sums);
/* Of codes: have all elements the bits that want says, and are none to stay? */
bool kb_pass_codes(const struct kb_judge *judge, int64_t first, int64_t count,
                   const double *want, const double *bound);

#endif
