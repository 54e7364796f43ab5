/* judge.h - what is right for one element of an output: the definition that the comparison,
 * conventions and impostors share. Internal to the measure layer. */
#ifndef KB_JUDGE_H
#define KB_JUDGE_H

#include "measure.h"

/* The numbers that a dtype has: once per comparison instead of once per element. */
struct kb_grid {
    double lowest, highest; /* binades between which the spacing grows with the number */
    double unit;            /* spacing over the start of the binade */
    double max_finite;
    double overflow;  /* |x| from here on rounds to infinity, or saturates */
    double low, high; /* what infinities round to: infinities, or where it saturates */
};
struct kb_grid kb_grid_of(enum kb_dtype dtype);
/* kb_ulp, for x that is a number. */
double kb_grid_ulp(const struct kb_grid *grid, double x);

struct kb_judge {
    const struct kb_compare_args *args;
    const struct kb_tensor_spec *spec;
    struct kb_tolerance tolerance; /* numbers filled in */
    struct kb_grid grid;
    bool exact;
    struct kb_kept *kept; /* numbers that are there already; NULL: none */
};
struct kb_judge kb_judge_of(const struct kb_compare_args *args);

/* The reference of at most KB_CHUNK elements. A want that the dtype saturates is where it
 * does: 448 in e4m3, and not beyond. */
enum { KB_CHUNK = 4096, KB_LANES = 8 };
struct kb_chunk {
    /* Up to the last lane what follows is said to stay, so that loops may run over it. */
    double want[KB_CHUNK + KB_LANES], bound[KB_CHUNK + KB_LANES];
};
/* Threads that are worth starting for the reference of so many elements. */
int kb_judge_threads(const struct kb_judge *judge, int64_t elements);
/* By as many threads, where it is not one of several that calls: rows of the output are
 * not split. */
void kb_judge_load(const struct kb_judge *judge, int64_t first, int64_t count,
                   struct kb_chunk *out);

struct kb_judged {
    double share, tol; /* of the bound and of the tolerance; INFINITY where the kind, or a
                        * bit that counts, is another */
    double ulp;        /* |got - want| in ulp; 0 unless both are finite */
    double rel;        /* |got - want| / |want| likewise */
    bool finite;       /* both are */
    bool kind_bad;     /* NaN or infinity against another kind */
    bool bad;          /* by the rule that decides */
};
/* The element at `index` with these bits, if the reference says `want` and `bound`. */
struct kb_judged kb_judge_bits(const struct kb_judge *judge, int64_t index, uint32_t bits,
                               double want, double bound);
/* The bits of a perfect kernel there: want rounded, or those that must stay. */
uint32_t kb_judge_right(const struct kb_judge *judge, int64_t index, double want,
                        double bound);
/* The poison that the output began with, where something was to be written? */
bool kb_judge_unwritten(const struct kb_judge *judge, uint32_t bits);

/* Elements that are checked have places, in order: all of them, or those of some rows. */
int64_t kb_judge_places(const struct kb_judge *judge);
/* The element at a place, and how many follow it without a gap, up to the place `end`. */
int64_t kb_judge_stretch(const struct kb_judge *judge, int64_t place, int64_t end,
                         int64_t *first);

#endif
