/* join.h - between join.c and join_times.c. */
#ifndef KB_REPORT_JOIN_H
#define KB_REPORT_JOIN_H

#include "gate.h"

/* Into `time`, a copy of one of `items`: the times of n runs as one. `bytes`: that a launch
 * moves; NAN: not known. */
bool kb_join_times(cJSON *time, const cJSON *const *items,
                   const struct kb_timing *const *times, int n, double bytes,
                   struct kb_err *err);

#endif
