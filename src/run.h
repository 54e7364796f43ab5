/* run.h - the life of one case, and the worker that it runs in. Part of the measure layer.
 */
#ifndef KB_RUN_H
#define KB_RUN_H

#include "measure.h"

#include <pthread.h>

#define KB_MODES(X)                                                                        \
    X(KB_LIST, "list") X(KB_BUILD_ONLY, "build") X(KB_CHECK, "check") X(KB_BENCH, "bench")
enum kb_mode {
#define X(id, word) id,
    KB_MODES(X)
#undef X
};
const char *kb_mode_word(enum kb_mode mode);
bool kb_mode_parse(const char *word, enum kb_mode *out);

/* What to do with one case: plain values, so that it can travel to a worker. */
struct kb_job {
    const char *case_id, *tags, *origin;
    struct kb_tolerance tolerance;
    const char *kernel;  /* a user's file, or NULL: the built-in of the op's family */
    const char *variant; /* NULL: the first whose `when` holds */
    const char *build;   /* as kb_build_parse takes it */
    bool trusted_flags;
    enum kb_mode mode;
    uint64_t seed;
    unsigned methods;  /* bit per enum kb_method */
    double precision;  /* relative half-width to stop at; 0: 0.5 % over 20 us, 1 % below */
    double max_time_s; /* per method; 0: 5 s */
    int sets;          /* 0: automatic */
    double duty; /* share of the time that it is busy while timed; 0: without pauses */
    bool time_failing;
    bool energy;         /* of a launch: takes a second */
    const char *samples; /* file that each sample is added to; NULL: none */
    int64_t sample_rows; /* rows of each output to check, from 2; 0: all */
    bool single;         /* part of a one-case run: keep compile logs and details */
    bool loaded_only;    /* do not compile: NO_COMPILE where its code is not loaded */
    bool one_run;        /* a first run that is right will do */
    int64_t compared;    /* rows of the run that are held against another, for the level */
    const char
        *load; /* a file that the inputs come from, as kb_load_inputs; NULL: filled */
    const char *dump;   /* a folder to leave the case's tensors in, as kb_life_dump; NULL */
    const char *kbench; /* version for those files; NULL: unknown */
    const char *repeat_options; /* options that the repeat line must carry, "" if none */
};
void kb_job_print(const struct kb_job *job, struct kb_buf *out);
bool kb_job_parse(const char *text, size_t size, struct kb_arena *arena, struct kb_job *out,
                  struct kb_err *err);

/* Inputs of a case from a safetensors file: each that it has, of its name, dtype and shape.
 * What a dump holds beside them (out.NAME, want.NAME, bound.NAME, rows.NAME) is passed
 * over, any other tensor refused. The check reads no more than the header and the small
 * tensors of whole numbers. KB_INPUT says what the file has and what the case wants. */
bool kb_load_check(const char *path, const struct kb_problem *problem, struct kb_err *err);
bool kb_load_inputs(const char *path, const struct kb_problem *problem,
                    struct kb_slab *slab, struct kb_err *err);

/* Begin the file that kb_job.samples names: .csv or .jsonl, what it had is gone. KB_INPUT,
 * KB_IO. */
bool kb_samples_begin(const char *path, struct kb_err *err);

/* A process that has a device open. `backend` auto: cuda if it opens, else host with a
 * note. */
struct kb_worker_options {
    const char *backend; /* "auto", "cuda", "host" */
    int ordinal;
    struct kb_exec_options exec;
};
struct kb_worker;
/* Start it and wait for its hello. KB_DEVICE when the backend cannot be had. */
bool kb_worker_start(const struct kb_worker_options *options, struct kb_worker **out,
                     struct kb_err *err);
const struct kb_device_info *kb_worker_device(const struct kb_worker *worker);
/* How long a job may take where nobody said: a minute; more where it may be timed for
 * longer, half a minute and for each method twice the longest time; on the host backend,
 * where a CPU does a GPU's work, 20 ns for each operation and 500 ns for each byte of the
 * case's cost model, if that is more. */
int64_t kb_job_limit_ms(const char *backend, const struct kb_job *job);
/* Run one job; always gives a row: a crash, a hang past timeout_ms (0: kb_job_limit_ms) or
 * a sticky device error costs that case (ERROR with the reason) and the next call starts a
 * fresh worker. Strings of the row are in `arena`. False only if no worker can be started
 * any more. */
bool kb_worker_run(struct kb_worker *worker, const struct kb_job *job, int64_t timeout_ms,
                   struct kb_arena *arena, struct kb_row *row, struct kb_err *err);
/* The same for jobs of one case, which differ in build and variant: each is checked, then
 * those that passed are timed side by side, and each row but the first says what it is
 * beside the first (row->against). timeout_ms is for each. Where the worker does not live
 * to the end of that they are run one by one, and `against` says why. rows[i] with its
 * strings in `arena`. */
enum { KB_MAX_GROUP = 64 };
bool kb_worker_run_group(struct kb_worker *worker, const struct kb_job *jobs, int n,
                         int64_t timeout_ms, struct kb_arena *arena, struct kb_row *rows,
                         struct kb_err *err);
int kb_worker_restarts(const struct kb_worker *worker);
/* No further job comes: it begins to close its device, which takes a GPU's 0.15 s, and
 * kb_worker_end is what is left to call. */
void kb_worker_leave(struct kb_worker *worker);
void kb_worker_end(struct kb_worker *worker);
/* End it with all that it has started: async-signal-safe, for Ctrl-C. */
void kb_worker_kill(struct kb_worker *worker);
/* ---- the smallest case that still fails, in shrink.c ---------------------------------
 * Cases are tried in a worker like any other, so that a crash or a hang of one of them
 * costs what was being looked for and nothing else. */
struct kb_shrink {
    /* Run a job within timeout_ms; false where none can be run any more. */
    bool (*run)(void *context, const struct kb_job *job, int64_t timeout_ms,
                struct kb_arena *arena, struct kb_row *row);
    void *context;
    bool (*stop)(void); /* asked before each case; NULL: never */
    int64_t budget_ms;  /* for all of them */
    bool loaded_only;   /* compiling takes longer than it is worth */
};
/* kb_worker_run, with a worker as its context. */
bool kb_shrink_run_in_worker(void *worker, const struct kb_job *job, int64_t timeout_ms,
                             struct kb_arena *arena, struct kb_row *row);
/* Of a job and the row that it came to, if that is a failure: the smallest case that fails
 * in the same way. Axes, their number, parameters and the fill get smaller or their
 * defaults, as far as the op resolves them. Where some elements are right, some must stay
 * so, or the smallest would fail as a whole and show nothing. NULL: not looked for. Strings
 * live in `arena`. */
const struct kb_smallest *kb_shrink(const struct kb_shrink *how, const struct kb_job *job,
                                    const struct kb_row *row, struct kb_arena *arena);

/* What was compiled in this run, and not found in the cache. Begins with an initialised
 * lock, zero the rest. */
struct kb_compiles {
    pthread_mutex_t lock;
    struct kb_arena arena;
    struct kb_strings keys; /* as kb_code_info has them */
    double compile_ms;      /* of all */
    double wall_ms;         /* that all of it took */
    int processes;          /* at once, at most */
};
void kb_compiles_add(struct kb_compiles *made, const char *key, double compile_ms);
void kb_compiles_free(struct kb_compiles *made);
/* Who is told that the cache has all that a worker needs to build a job, while others are
 * still compiled: by any thread, of each job once or never. */
struct kb_ready {
    void (*tell)(void *context, int job);
    void *context;
};
/* Compile what `jobs` need ahead, in `processes` processes at once, into the cache. For a
 * GPU `ready` is told of them, unless it is NULL. */
void kb_prefetch(const struct kb_worker_options *options,
                 const struct kb_device_info *device, const struct kb_job *jobs, int n_jobs,
                 int processes, struct kb_compiles *made, const struct kb_ready *ready);
/* --mode build: which jobs come to code that none before them came to; on host a file is
 * one. An error is taken once, in whatever words. */
struct kb_distinct;
struct kb_distinct *kb_distinct_open(void);
bool kb_distinct_take(struct kb_distinct *d, const struct kb_device_info *device,
                      const struct kb_job *job);
/* The same of many in their order, planned by so many threads at most: taken[i] is set
 * where jobs[i] is, and else left as it was. */
void kb_distinct_take_all(struct kb_distinct *d, const struct kb_device_info *device,
                          const struct kb_job *jobs, int n, int threads, bool *taken);
/* At the end, one by one: a job for each op, variant and build of which no case came to a
 * plan on some device; none that was taken for another, or left, since it is run on all. */
bool kb_distinct_left(struct kb_distinct *d, struct kb_job *job);
void kb_distinct_close(struct kb_distinct *d);
/* Kill what a running kb_prefetch compiles, which then returns: async-signal-safe. */
void kb_prefetch_kill(void);

/* The worker's side: main() calls it for `kbench --worker case`. */
int kb_case_worker_main(void);

#endif
