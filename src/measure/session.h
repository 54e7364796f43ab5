/* session.h - what a worker keeps between cases: the device, parsed kernels, loaded code,
 * measured ceilings. Internal to the measure layer. */
#ifndef KB_SESSION_H
#define KB_SESSION_H

#include "run.h"

struct kb_loaded { /* a kernel file, parsed once */
    const char *path;
    struct kb_kernel kernel;
    struct kb_loaded *next;
};
struct kb_built { /* code on the device, by what went into it */
    const char *key;
    struct kb_code *code;
    struct kb_code_info info;
    struct kb_built *next;
};
struct kb_ceiling { /* the stream kernel's time for the same bytes, once per run */
    const char *pattern;
    int64_t elements;
    enum kb_dtype dtype;
    enum kb_method method;
    int sets;
    double median_ns;
    struct kb_ceiling *next;
};

struct kb_session {
    const struct kb_backend *backend;
    struct kb_device *device;
    struct kb_exec_options exec;
    struct kb_arena arena; /* the run's */
    struct kb_loaded *kernels;
    struct kb_built *built;
    struct kb_ceiling *ceilings;
    bool dead; /* a device error spoiled the context: end this worker after the row */
};

void kb_session_free(struct kb_session *session);
/* The whole life of one case, in life.c. Fills `row`; never fails. */
void kb_session_run(struct kb_session *session, const struct kb_job *job,
                    struct kb_arena *arena, struct kb_row *row);
/* What is known of a job before it runs: id, op, shape, build, repeat line. For rows of
 * cases whose worker died. */
void kb_row_begin(const struct kb_job *job, const struct kb_device_info *device,
                  struct kb_arena *arena, struct kb_row *row);
/* The kernel file of a job, parsed once per session. NULL with complaints in `err`. */
const struct kb_kernel *kb_session_kernel(struct kb_session *session,
                                          const struct kb_op *op, const char *path,
                                          struct kb_err *err);
/* Code for a plan, compiled or loaded once per session. */
bool kb_session_build(struct kb_session *session, const struct kb_plan *plan,
                      const struct kb_build *build, struct kb_built **out,
                      struct kb_err *err);
/* Slots of a slab for a problem and a plan: tensors, then scratch. */
bool kb_session_slab(const struct kb_problem *problem, const struct kb_plan *plan,
                     uint64_t seed, struct kb_slab *out, struct kb_err *err);
void kb_poison_outputs(const struct kb_problem *problem, struct kb_slab *slab, int pattern);
/* Time a checked kernel by every method of the job: fills row->times, in time.c. */
bool kb_session_time(struct kb_session *session, const struct kb_job *job,
                     const struct kb_problem *problem, const struct kb_plan *plan,
                     struct kb_code *code, const struct kb_slab *initial,
                     const struct kb_slab *result, struct kb_arena *arena,
                     struct kb_row *row, struct kb_err *err);

#endif
