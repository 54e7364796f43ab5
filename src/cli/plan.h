/* plan.h - between plan.c and run.c: what a run comes to before anything of it runs. */
#ifndef KB_CLI_PLAN_H
#define KB_CLI_PLAN_H

#include "cli/rerun.h"
#include "cli/terminal.h"

/* The cases of one op, and which variants each of them is run with. */
struct kb_plan_op {
    const struct kb_op *op;
    int64_t cases;
    struct kb_strings variants; /* names; one NULL: the first whose `when` holds */
};

struct kb_run_plan {
    const struct kb_options *options; /* with --rerun: `again` */
    struct kb_options again;
    struct kb_rerun rerun;
    struct kb_arena arena;
    struct kb_suite *suite;
    int n_ops;
    struct kb_plan_op *ops;
    struct kb_strings notes; /* cases that are left out */
    int n_builds;
    const char *build_texts[KB_MAX_BUILDS]; /* as kb_build_parse takes them */
    struct kb_build builds[KB_MAX_BUILDS];
    int variant_width; /* of the longest that may run, a user's file in front */
    bool many_variants;
    int n_variants;    /* of each case; 0: ops differ in it */
    int64_t jobs;      /* on each device */
    const char *dtype; /* of all cases; NULL: they differ in it */
    int group;         /* of one case, at most: its variants times the builds */
    /* where kb_run_plan_next is */
    struct kb_arena case_arena;
    struct kb_case now;
    const struct kb_plan_op *now_op;
    size_t now_variant;
    int now_build;
};
/* Everything that can be wrong with a command line is complained of. */
void kb_run_plan_make(const struct kb_options *options, struct kb_run_plan *plan,
                      struct kb_complaints *c);
void kb_run_plan_free(struct kb_run_plan *plan);
/* The next job but its mode and methods, its strings in `arena`: case by case, of each its
 * variants, of each the builds. False at the end. */
bool kb_run_plan_next(struct kb_run_plan *plan, struct kb_arena *arena, struct kb_job *job);
/* Whether the next job is of another case than the last. */
bool kb_run_plan_is_between(const struct kb_run_plan *plan);
/* How many of `n` jobs, as they came, are of the first one's case. */
int kb_jobs_of_case(const struct kb_job *jobs, int n);

#endif
