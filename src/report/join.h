/* join.h - between the files that join reports. */
#ifndef KB_REPORT_JOIN_H
#define KB_REPORT_JOIN_H

#include "gate.h"

/* The first report's head, with what the others add. `count`: rows by verdict. */
cJSON *kb_join_head(enum kb_join how, const struct kb_loaded *reports, int n,
                    const int64_t count[KB_VERDICT_COUNT]);
/* All of it; there is memory, or the process ends. */
cJSON *kb_join_copy(const cJSON *item);
/* Into `time`, a copy of one of `items`: the times of n runs as one. `bytes`: that a launch
 * moves; NAN: not known. */
bool kb_join_times(cJSON *time, const cJSON *const *items,
                   const struct kb_timing *const *times, int n, double bytes,
                   struct kb_err *err);

#endif
