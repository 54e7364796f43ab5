/* baseline.h - kbench run --baseline: a run that is held against a report while it goes,
 * and gated at its end. */
#ifndef KB_CLI_BASELINE_H
#define KB_CLI_BASELINE_H

#include "cli/github.h"

struct kb_baseline {
    bool there; /* --baseline was given */
    struct kb_loaded base;
    const struct kb_entry **by_case; /* the base's rows, sorted by case */
    int again;                       /* rows that were measured again */
};
bool kb_baseline_open(const struct kb_options *options, struct kb_baseline *baseline,
                      struct kb_err *err);
void kb_baseline_free(struct kb_baseline *baseline);

/* Runs a job in a new process, as kb_worker_run does; false where none can be started. */
struct kb_again {
    bool (*run)(void *context, const struct kb_job *job, struct kb_arena *arena,
                struct kb_row *row);
    void *context;
};
/* A row that is right, and whose median is past the limit: its job is run twice more, each
 * time in a new process, and the row is then of three runs. One that was not right is the
 * row. False where the row looked fine. */
bool kb_baseline_look(struct kb_baseline *baseline, const struct kb_options *options,
                      const struct kb_device_info *device, const struct kb_job *job,
                      const struct kb_again *again, struct kb_arena *arena,
                      struct kb_row *row);
/* The gate, at the end. False where the rows cannot be read. */
struct kb_gated {
    int status;
    struct kb_buf screen, why; /* why: of the last line */
    struct kb_github_text github;
};
bool kb_baseline_gate(const struct kb_baseline *baseline, const struct kb_options *options,
                      struct kb_rows *rows, const struct kb_look *look,
                      struct kb_gated *out, struct kb_err *err);

#endif
