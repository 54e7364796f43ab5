/* shrink.h - between shrink.c, which runs the cases of a search, and shrink_sizes.c, which
 * says which sizes are worth it. Internal to the measure layer. */
#ifndef KB_SHRINK_H
#define KB_SHRINK_H

#include "session.h"

enum { SHRINK_MEMORY = 1024 }; /* cases that are tried, at most */

enum outcome { ILLEGAL, OTHER, PASSES, FAILS, FAILS_WHOLE, NO_TIME };

struct tried {
    struct kb_hash id;
    enum outcome outcome;
};

struct shrinker {
    const struct kb_shrink *how;
    const struct kb_job *job;
    const struct kb_row *row;
    struct kb_arena *arena, scratch;
    struct kb_problem *problem;
    int64_t deadline_ns;
    double ns_per_element; /* of the case itself, and so at most that of smaller ones */
    bool in_part;          /* some elements must be right */
    bool over;             /* the time is */
    bool left_out;         /* a case for which too little of it was left */
    struct tried tried[SHRINK_MEMORY];
    int n_tried;
    struct kb_case best;
    struct kb_row *last; /* that was run */
    struct kb_smallest found;
    int64_t whole_elements; /* of found.whole */
};

/* Run a case, if it is one; where `better` is asked for, one that fails is the best. */
enum outcome kb_shrink_try(struct shrinker *s, struct kb_case c, bool better);

/* Each axis to the smallest size that fails. Was any made smaller? */
bool kb_shrink_smaller_axes(struct shrinker *s);
/* One less of an axis, or as little less as is legal: until none of those fails. What
 * passes is kept to be told. */
bool kb_shrink_count_down(struct shrinker *s);
/* Where nothing next to it is smaller and passes: what is larger and does. */
void kb_shrink_count_up(struct shrinker *s);

#endif
