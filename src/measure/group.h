/* group.h - jobs of one case side by side: group.c checks them and holds code and bits
 * against the first, group_time.c times them in turns. Internal to the measure layer. */
#ifndef KB_GROUP_H
#define KB_GROUP_H

#include "life.h"

struct kb_member {
    struct life life;         /* ended: what it was asked, its code and its row are there */
    struct kb_slab result;    /* outputs of its first run; none: not run, or those of A */
    bool ran, to_time, timed; /* to_time: it was right so far */
    struct kb_against *against; /* of its row; NULL: it is A */
};

struct kb_group {
    struct kb_session *session;
    struct kb_arena *arena;
    const struct kb_job *job; /* the first: what all of them share */
    int n;
    struct kb_member *members;
    struct kb_slab initial;         /* what timed buffers begin with */
    const struct kb_member *filled; /* for whose scratch; NULL: not there */
};

/* Outputs that a member's timed launches must leave. */
const struct kb_slab *kb_member_result(const struct kb_group *group,
                                       const struct kb_member *member);
/* Whether their buffers begin with the same. */
bool kb_same_scratch(const struct kb_plan *a, const struct kb_plan *b);
/* Time those that are to be, in turns where there are several: their rows' times, and what
 * they are beside A. False where the device was lost. */
bool kb_group_time(struct kb_group *group, struct kb_err *err);

/* Jobs of one case: rows[i]. False where the device was lost: session->dead, and the rows
 * are not all there. */
bool kb_session_run_group(struct kb_session *session, const struct kb_job *jobs, int n,
                          struct kb_arena *arena, struct kb_row *rows, struct kb_err *err);

#endif
