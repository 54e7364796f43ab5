/* run_parts.h - between the files of kbench run: how it begins, its rows, how it ends. */
#ifndef KB_CLI_RUN_PARTS_H
#define KB_CLI_RUN_PARTS_H

#include "cli/baseline.h"
#include "cli/fleet.h"
#include "cli/plan.h"
#include "versus.h"

struct kb_run {
    const struct kb_options *options;
    struct kb_arena arena; /* of the run */
    struct kb_run_plan plan;
    struct kb_terminal terminal;
    struct kb_fleet fleet;
    enum kb_mode modes[KB_MAX_DEVICES];
    struct kb_facts facts;
    struct kb_journal *journal;
    struct kb_tally tally;
    struct kb_compiles compiles; /* of this run */
    struct kb_baseline baseline; /* --baseline */
    struct kb_table table;
    struct kb_versus versus; /* where `side_by_side`: in place of the table */
    bool side_by_side;
    bool single;                 /* one row: its screen, no table */
    bool screens;                /* table or screen on standard output, no --format */
    int shrunk[KB_REASON_COUNT]; /* rows whose smallest case was looked for */
    struct kb_sorter sorter;     /* of --sort: rows of the table until the end */
    struct kb_gated gated;       /* of --baseline */
    bool stopped;                /* by --fail-fast */
    bool not_timed;              /* a single row was to be timed only if it passed */
    int64_t start_ns;
    struct kb_err err; /* what ended the run before its end; kind 0 if nothing did */
};
/* Devices, facts, journal: what rows need. */
bool kb_run_open(struct kb_run *run, int argc, char *const argv[], struct kb_err *err);
/* The table is planned; notes, and what stands above the rows. */
void kb_run_tell_head(struct kb_run *run);
/* All rows, up to what ends them early: run->err, run->stopped, a signal. */
void kb_run_rows(struct kb_run *run);
/* In GitHub Actions: annotations on standard error, the summary of the job. */
void kb_run_tell_github(struct kb_run *run, struct kb_rows *rows);
double kb_run_seconds(const struct kb_run *run);
/* Failures again, summary, reports, the last line. The exit status. */
int kb_run_end(struct kb_run *run);

#endif
