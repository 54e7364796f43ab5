/* life.h - the life of one case between its files: life.c has the phases in order,
 * life_guards.c what a launch may not touch, again.c the further runs that must leave the
 * same bits, further.c one of them, part.c what runs beside the case. Internal to the
 * measure layer. */
#ifndef KB_LIFE_H
#define KB_LIFE_H

#include "session.h"

struct kb_further;

struct life {
    struct kb_session *session;
    const struct kb_job *job;
    struct kb_arena *arena;
    struct kb_row *row;
    struct kb_asked asked;
    struct kb_built *built;
    struct kb_slab initial;           /* the truth: inputs as filled, outputs poisoned */
    struct kb_slab work;              /* what the last run left */
    struct kb_slab first;             /* the outputs alone, as the first run left them */
    struct kb_slab second;            /* those of a run that confirms what is unwritten */
    const void *in[KB_MAX_TENSORS];   /* as kb_op's reference takes it, NULL: none */
    void *prepared;                   /* by op->prepare */
    const struct kb_further *further; /* the run besides the first that is under way */
    /* What the reference says of each output, until the further runs; NULL: not kept. */
    struct kb_kept *kept[KB_MAX_TENSORS];
    /* Rows of each output that are checked; none: all. */
    struct kb_sampled samples[KB_MAX_TENSORS];
    int64_t start_ns;
};

/* A life in its three parts, for who has several at hand (group.c): kb_session_run is these
 * with the timing between them. `l` stays where it is. */
void kb_life_begin(struct life *l, struct kb_session *session, const struct kb_job *job,
                   struct kb_arena *arena, struct kb_row *row);
/* All phases up to the timing; whether the kernel is to be timed. */
bool kb_life_check(struct life *l);
/* The rest of the row; memory goes back to the session. */
void kb_life_end(struct life *l);
/* The outputs of l->work into l->first. */
bool kb_life_keep_outputs(struct life *l, struct kb_err *err);

/* End the case early with this verdict: returns false. */
bool kb_life_stop(struct life *l, enum kb_reason reason, const char *fmt, ...)
    KB_PRINTF(3, 4);
bool kb_life_stop_err(struct life *l, const struct kb_err *err, enum kb_reason unsupported);
/* Run the plan once from the initial state, its outputs begun with poison `pattern`, into
 * l->work. False where a finding or an error ends the case. */
bool kb_life_run(struct life *l, int pattern, const struct kb_run_options *options);
/* The same over a slab that holds the initial state, which may lie otherwise. */
bool kb_life_run_on(struct life *l, struct kb_slab *slab,
                    const struct kb_run_options *options);
/* Any plan, by its code. */
bool kb_life_run_plan(struct life *l, const struct kb_plan *plan, struct kb_code *code,
                      struct kb_slab *slab, const struct kb_run_options *options,
                      struct kb_run_result *result);
/* The name of a slot of the plan's. */
const char *kb_life_slot_name(const struct life *l, int slot);
/* Guard zones as bytes. */
bool kb_life_zones(struct life *l, const struct kb_slab *slab);
/* Guard zones as bytes; inputs against what they were before the launch. */
bool kb_life_guards(struct life *l, const struct kb_slab *slab);
/* What output `tensor` of l->work is compared with. Lives until the next call. */
struct kb_compare_args kb_life_compare_args(struct life *l, int tensor);

/* localise_life.c: all that is told of an output that is wrong, into its report. */
void kb_life_localise(struct life *l, const struct kb_compare_args *args,
                      struct kb_output_report *o);
/* Where two runs that should have left the same bits differ: args->got and `second`. */
void kb_life_localise_runs(struct life *l, const struct kb_compare_args *args,
                           const void *second);

/* dump.c: the case's tensors into a file of job->dump: inputs as filled, outputs as the
 * first run left them, and for each output what the reference says of it. The row's
 * verdict, if it was PASS, is ERROR where that cannot be had; false then. */
bool kb_life_dump(struct life *l);

/* again.c: all further runs, of which each must leave the bits that the first run left,
 * which go to l->first. */
bool kb_life_again(struct life *l);
/* Bytes of l->work that they can use, l->initial being there. */
size_t kb_life_again_room(const struct life *l);

/* proof.c: holds impostors of a right output against the rule. The output whose rule lets
 * one pass, or NULL. */
const struct kb_output_report *kb_life_prove(struct life *l);
/* The verdict from that: MISTRUSTED and false, unless it is NULL. */
bool kb_life_trust(struct life *l, const struct kb_output_report *wide);

#endif
