/* race.h - timed side by side: lanes that are visited in turns, block by block, until each
 * time and each difference is as precise as was asked. Internal to the measure layer.
 *
 * A graph takes the time that it takes by where in memory it came to lie, too: on an H200
 * equal ones were 0.03 % apart, and 0.3 % in a context that had been slowed down (standard
 * deviations). So they are made anew after a few blocks, and no interval is narrower than
 * what their means tell. A difference that is called FASTER or SLOWER, and is no larger
 * than what they could make, is measured again, each block by graphs of its own: what it
 * comes to then counts. --max-time holds for both together; where it ends the second of
 * them before there are blocks enough, the difference is UNCLEAR. */
#ifndef KB_RACE_H
#define KB_RACE_H

#include "group.h"
#include "sampling.h"

/* 24 blocks are the fewest whose signed ranks reach the level of 500 rows. */
enum { KB_MIN_BLOCKS = 24, KB_MAX_BLOCKS = 512 };

struct lane { /* a member while it is timed */
    struct kb_member *member;
    struct kb_timer *timer;
    struct kb_timer_facts facts;
    struct kb_samples all;
    struct kb_seen seen;
    struct kb_time time;
    double blocks_ns[KB_MAX_BLOCKS]; /* mean of its two visits */
    double again_ns[KB_MAX_BLOCKS];
    bool again; /* it was measured again */
};

struct race { /* all of them, by one method */
    struct kb_group *group;
    const struct kb_job *job;
    enum kb_method method;
    int n;
    struct lane *lanes;
    int per_visit;                     /* samples */
    int64_t blocks, again, precise_at; /* again: blocks that were measured again */
    double spent_s;                    /* each lane's share of the time of `blocks` */
    uint64_t seed;
};

/* From lanes that are open: their samples. *stopped: why those of lanes that are not as
 * precise as was asked ended. */
bool kb_race_run(struct race *race, const char **stopped, struct kb_err *err);
/* Why a lane's samples are enough, or NULL. */
const char *kb_lane_reached(const struct race *race, const struct lane *lane);
/* What each is beside the first, into its row. */
void kb_race_judge(const struct race *race);

#endif
