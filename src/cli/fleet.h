/* fleet.h - between fleet.c, interrupt.c and run.c: the workers of a run, one per device.
 */
#ifndef KB_CLI_FLEET_H
#define KB_CLI_FLEET_H

#include "cli/terminal.h"

struct kb_fleet {
    int n;
    struct kb_worker *workers[KB_MAX_DEVICES];
    struct kb_worker_options options[KB_MAX_DEVICES];
};
/* Start a worker for each device that the options ask for. KB_DEVICE where one cannot be
 * had. `note`: why `auto` took the host; "" if it did not. */
bool kb_fleet_open(const struct kb_options *options, struct kb_fleet *fleet,
                   struct kb_buf *note, struct kb_err *err);
/* No further job comes: workers end while the caller does what is left to do. */
void kb_fleet_leave(struct kb_fleet *fleet);
void kb_fleet_close(struct kb_fleet *fleet);
/* `n` jobs of one case side by side, on every device at once: of worker i those from
 * jobs[i * n] on, and the rows from rows[i * n] on, whose strings are in arenas[i]. */
bool kb_fleet_run(struct kb_fleet *fleet, const struct kb_job *jobs, int n,
                  int64_t timeout_ms, struct kb_arena *arenas, struct kb_row *rows,
                  struct kb_err *err);

/* SIGINT, SIGTERM and SIGHUP from here on: the workers are killed, and kb_interrupted gives
 * the signal. A second one ends the process at once. */
void kb_interrupt_watch(const struct kb_fleet *fleet);
void kb_interrupt_end(void);
int kb_interrupted(void);                  /* 0: no */
const char *kb_interrupt_name(int signal); /* "SIGINT" */

#endif
