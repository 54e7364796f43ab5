/* session.h - what a worker keeps between cases: the device, parsed kernels, loaded code,
 * measured ceilings. Internal to the measure layer. */
#ifndef KB_SESSION_H
#define KB_SESSION_H

#include "kept.h"
#include "run.h"

struct kb_loaded { /* a kernel file, parsed once */
    const char *path;
    bool user;
    struct kb_kernel *kernel; /* NULL: it is none, and `error` says why */
    const char *error;
    struct kb_loaded *next;
};
struct kb_built { /* code on the device, by what went into it */
    const char *key;
    struct kb_hash code_hash; /* of the text of kb_code_key */
    struct kb_code *code;
    struct kb_code_info info;
    struct kb_built *next;
};
struct kb_ceiling { /* the time of a case of op stream or mma, once per run */
    const char *case_id;
    enum kb_method method;
    int sets;
    double duty;
    double median_ns; /* NAN: there is none */
    int64_t flops;
    const char *why; /* there is none, or not a good one; NULL */
    struct kb_ceiling *next;
};

/* Whose memory goes from a case to the next: as filled, as left by the last run, the first
 * run's outputs. Half of a large case's time is page faults otherwise. */
enum kb_spare { KB_SPARE_INITIAL, KB_SPARE_WORK, KB_SPARE_FIRST, KB_SPARES };

/* Pauses between samples, in pace.c. */
struct kb_pace {
    double duty;     /* 0: none */
    int64_t each_ns; /* what a sample takes of the host's time; 0: not known yet */
    int64_t rest_until_ns;
};

struct kb_session {
    const struct kb_backend *backend;
    struct kb_device *device;
    struct kb_exec_options exec;
    struct kb_arena arena; /* the run's */
    struct kb_loaded *kernels;
    struct kb_built *built;
    struct kb_ceiling *ceilings;
    struct kb_slab spare[KB_SPARES]; /* memory of the slabs of the case before */
    int64_t busy_ns;                 /* when it was last kept busy by a timer: 0: not yet */
    struct kb_pace pace;
    /* Where lines of --samples wait for the end of what is timed; NULL: they do not. */
    struct kb_buf *samples;
    struct kb_kept_all kept; /* of the group that is under way */
    bool dead; /* a device error spoiled the context: end this worker after the row */
};

/* What a job comes to before anything is built or run. `problem` points to `c`, so that it
 * stays where it was made. */
struct kb_asked {
    struct kb_case c;
    struct kb_problem problem;
    const struct kb_kernel *kernel;
    struct kb_build build;
    struct kb_plan plan;
};

void kb_session_free(struct kb_session *session);
/* The whole life of one case, in life.c. Fills `row`; never fails. */
void kb_session_run(struct kb_session *session, const struct kb_job *job,
                    struct kb_arena *arena, struct kb_row *row);

/* ---- rows, in begin.c -------------------------------------------------------------- */

/* What is known of a job before it runs: id, op, shape, build, repeat line. For rows of
 * cases whose worker died, too: all of it is copied to `arena`. */
void kb_row_begin(const struct kb_job *job, const struct kb_device_info *device,
                  struct kb_arena *arena, struct kb_row *row);
/* The command that repeats the job, its words quoted for a shell. */
const char *kb_repeat_line(const struct kb_job *job, const char *variant,
                           struct kb_arena *arena);
/* Add to the row's warning, once. */
void kb_row_warn(struct kb_row *row, struct kb_arena *arena, const char *text);
/* What an error of a lower layer makes of a case; `unsupported` is what KB_UNSUPPORTED
 * means there. no_compile: the run is not to compile. */
enum kb_reason kb_reason_of(const struct kb_err *err, enum kb_reason unsupported,
                            bool no_compile);

/* How long a run of it may take where nobody said, as kb_job_limit_ms; in limit.c. */
int64_t kb_work_limit_ms(const char *backend, const struct kb_problem *problem);

/* ---- plans and code, in session.c -------------------------------------------------- */

/* Case, problem, kernel, build and plan of a job on a device of these limits: needs no
 * device itself. On failure `out` holds what was reached, the rest is zero. KB_UNSUPPORTED
 * when no variant takes the case, KB_INPUT when the contract or the job is wrong. */
bool kb_session_plan(struct kb_session *session, const char *backend,
                     const struct kb_device_limits *limits, const struct kb_job *job,
                     struct kb_arena *arena, struct kb_asked *out, struct kb_err *err);
/* The kernel file of an op, or the one at `path`, parsed once per session. */
const struct kb_kernel *kb_session_kernel(struct kb_session *session,
                                          const struct kb_op *op, const char *path,
                                          struct kb_err *err);
/* On host a file is compiled for all its entries at once, unless its code itself uses the
 * op's macros. */
bool kb_is_whole_file(const struct kb_plan *plan);
/* Everything that decides what is compiled, as text. */
void kb_build_key(const struct kb_plan *plan, const struct kb_build *build,
                  struct kb_buf *out);
/* The same of what is compiled at once: on host a file that is compiled whole, for all
 * plans that no entry of their own sets apart, but not for one that is `alone`. */
void kb_code_key(const char *backend, const struct kb_plan *plan,
                 const struct kb_build *build, struct kb_buf *out);
/* Code for a plan, compiled or loaded once per session. */
bool kb_session_build(struct kb_session *session, const struct kb_plan *plan,
                      const struct kb_build *build, struct kb_built **out,
                      struct kb_err *err);
/* Whether that needs no compiler: what is loaded, or on host lies in the same translation
 * unit. */
bool kb_session_has_code(const struct kb_session *session, const struct kb_asked *asked);
/* Take that memory: what a slab is made in, zero where there is none. */
struct kb_slab kb_session_take(struct kb_session *session, enum kb_spare which);
/* Give it back with the end of its use; what is too large to keep is freed. */
void kb_session_give(struct kb_session *session, enum kb_spare which, struct kb_slab *slab);
/* Slots of a slab for a problem and a plan: tensors, then scratch. In the memory of `out`,
 * as kb_slab_remake. */
bool kb_session_slab(const struct kb_session *session, const struct kb_problem *problem,
                     const struct kb_plan *plan, uint64_t seed, struct kb_slab *out,
                     struct kb_err *err);
void kb_poison_outputs(const struct kb_problem *problem, struct kb_slab *slab, int pattern);

/* ---- time, in time.c, time_row.c and ceiling.c ------------------------------------- */

/* A plan that can be timed: its code is loaded, `initial` is what its buffers begin with.
 */
struct kb_timed {
    const struct kb_plan *plan;
    struct kb_code *code;
    const struct kb_slab *initial;
    struct kb_row *row; /* whose samples are kept and that is warned; NULL: of none */
};
/* Time one plan by one method. With `check`, what the timed launches left is put there. */
bool kb_time_plan(struct kb_session *session, const struct kb_job *job,
                  const struct kb_timed *timed, enum kb_method method,
                  struct kb_slab *check, struct kb_arena *arena, struct kb_time *out,
                  struct kb_err *err);
/* Time a checked kernel by every method of the job: fills row->times. `result` has the
 * outputs that were checked; it is not looked at where row->reason is set. A method that
 * cannot be had here (memory, for one) costs its number and is a warning; false when the
 * case ends with the error. */
bool kb_session_time(struct kb_session *session, const struct kb_job *job,
                     const struct kb_problem *problem, const struct kb_plan *plan,
                     struct kb_code *code, const struct kb_slab *initial,
                     const struct kb_slab *result, struct kb_arena *arena,
                     struct kb_row *row, struct kb_err *err);
/* Whether an error ends the case rather than the number that was being taken. */
bool kb_ends_case(const struct kb_session *session, const struct kb_err *err);
/* The stream kernel's median for the bytes of `problem`, by the same method in the same
 * run; or how long op mma takes for as many flops, by graph. NAN with a warning where there
 * is none to take. False when the case ends with the error. */
bool kb_session_ceiling(struct kb_session *session, const struct kb_job *job,
                        const struct kb_problem *problem, enum kb_method method,
                        struct kb_arena *arena, struct kb_row *row, double *ns,
                        struct kb_err *err);
/* The op of that kernel, "stream" or "mma"; NULL where there is no ceiling. */
const char *kb_ceiling_op(const struct kb_problem *problem);
/* The job of it, on a GPU of so many SMs; KB_UNSUPPORTED where there is none. */
bool kb_ceiling_job(const struct kb_problem *problem, int64_t sm_count,
                    struct kb_arena *arena, struct kb_job *out, struct kb_err *err);
/* Compile that kernel ahead. */
bool kb_session_ceiling_build(struct kb_session *session, const struct kb_problem *problem,
                              struct kb_arena *arena, struct kb_err *err);

#endif
