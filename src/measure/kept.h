/* kept.h - what the reference says of the outputs of one case, kept for jobs that run it
 * one after the other (group.c): builds and variants are judged by the same numbers.
 * Internal to the measure layer.
 *
 * An output's numbers are known by all that the reference is told: the case, the tensors'
 * contents, the rows that are checked. Where any of it is other, they are computed anew.
 * What depends on the job, the factor of fast-math builds for one, is applied behind them.
 */
#ifndef KB_KEPT_H
#define KB_KEPT_H

#include "measure.h"

struct kb_kept; /* of one output */

/* Those of a group. All zero: nothing is kept. */
struct kb_kept_all {
    bool on;
    size_t most_bytes; /* of all numbers; 0: as the machine's free memory goes */
    /* Numbers that take less time than this to compute are not worth the memory, in ns for
     * each element; 0: 20. */
    double least_ns;
    size_t memory_limit; /* of exec options: a quarter of it at most; 0: none */
    size_t bytes;
    int64_t used; /* outputs whose numbers were there, over all groups */
    struct kb_kept *first;
};
/* Drops all numbers, and keeps none from here on; limits stay as they are. */
void kb_kept_end(struct kb_kept_all *all);

/* For args->kept: the numbers of the output that `args` compares, or room for them, which
 * kb_compare fills. NULL where they are not kept. While it is in args->kept, in[] of `args`
 * and what it points to stay as they are. */
struct kb_kept *kb_kept_find(struct kb_kept_all *all, const struct kb_compare_args *args);

/* For kb_compare: where to put numbers by place, NULL where they are not kept, or there
 * already. Threads put stretches of their own. */
struct kb_kept *kb_kept_to_fill(const struct kb_compare_args *args);
void kb_kept_put(struct kb_kept *kept, int64_t place, int64_t count, const double *want,
                 const double *bound);
void kb_kept_filled(struct kb_kept *kept);

/* For who asks the reference: the numbers of args->kept, if they are all there and these
 * are the arguments that they were found for; else NULL. */
struct kb_kept *kb_kept_of(const struct kb_compare_args *args);
/* Elements [first, first + count), if all of them are there. */
bool kb_kept_load(struct kb_kept *kept, int64_t first, int64_t count, double *want,
                  double *bound);
/* Where rows are checked, impostors have elements of others too: as far as there is room,
 * they stay with the rest. */
void kb_kept_add(struct kb_kept *kept, int64_t first, int64_t count, const double *want,
                 const double *bound);

#endif
