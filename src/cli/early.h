/* early.h - rows of a build that are run while others are compiled. */
#ifndef KB_CLI_EARLY_H
#define KB_CLI_EARLY_H

#include "run.h"
#include "screen.h"

struct kb_early;
/* A job on every device, its rows as kb_fleet_run has them. False where no more is to be
 * run, for whatever reason. */
typedef bool kb_early_run(void *context, int job, struct kb_arena *arenas,
                          struct kb_row *rows);
/* A thread that runs jobs from when they are told of until the end, in that order. */
struct kb_early *kb_early_open(kb_early_run *run, void *context, int n_jobs, int n_devices);
/* Of each job once at most; from any thread, as kb_ready. */
void kb_early_tell(void *early, int job);
/* No further job is begun, and none is under way. */
void kb_early_end(struct kb_early *early);
/* The rows of a job, which live until kb_early_close; false where it was not run. After
 * kb_early_end. */
bool kb_early_take(const struct kb_early *early, int job, struct kb_row *rows);
void kb_early_close(struct kb_early *early);

#endif
