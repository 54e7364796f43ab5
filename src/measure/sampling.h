/* sampling.h - the steps of timing, for what times one plan (time.c) and for what times
 * several side by side (group_time.c). Internal to the measure layer. */
#ifndef KB_SAMPLING_H
#define KB_SAMPLING_H

#include "session.h"

enum { KB_MIN_SAMPLES = 10, KB_MAX_SAMPLES = 4096 };

struct kb_samples {
    double *ns; /* room for KB_MAX_SAMPLES */
    int64_t n;
    /* Of each whether it was taken while clocks were held back, and how many were; those up
     * to `marked` are looked at. */
    bool *held_back;
    int64_t marked, n_held_back;
};

/* What was seen of the device while samples were taken. */
struct kb_seen {
    uint64_t throttle;
    bool contended;
    int64_t at_ns;              /* when we looked last */
    char others[256];           /* who else computed there */
    struct kb_samples *samples; /* to be marked */
};

/* Room for samples and their marks. */
void kb_samples_make(struct kb_samples *samples);
void kb_samples_free(struct kb_samples *samples);

/* `n` samples; a time that no kernel can take is the device's error. */
bool kb_sample(struct kb_session *s, struct kb_timer *timer, int n, double *ns,
               struct kb_err *err);
/* Begin with the pauses that job->duty asks for; samples are taken in between from here on.
 */
void kb_pace_begin(struct kb_session *s, const struct kb_job *job, enum kb_method method);
/* How many samples go into what the GPU is kept busy with between two pauses. */
int kb_pace_most(const struct kb_session *s);
/* backend->timer_sample, with pauses. */
bool kb_pace_sample(struct kb_session *s, struct kb_timer *timer, int n, double *ns,
                    struct kb_err *err);
/* With pauses: sample until clocks are not held back any more, for a second at most. */
bool kb_pace_settle(struct kb_session *s, struct kb_timer *timer, struct kb_err *err);
/* Until two batches in a row agree within 1 %, or for 0.3 s: clocks rise from idle. Where
 * they are up already a few launches do. */
bool kb_warm_up(struct kb_session *s, struct kb_timer *timer, struct kb_err *err);
/* Look at the clocks, unless that was done a moment ago; samples taken since the last look
 * are marked by it. */
void kb_watch_clocks(struct kb_session *s, struct kb_time *out, struct kb_seen *seen);
/* And once when all samples are taken, if that was not just done. */
void kb_watch_last(struct kb_session *s, struct kb_time *out, struct kb_seen *seen);
/* `why` goes before what was said of the time so far: it is the worst. */
void kb_time_worsen(struct kb_time *time, enum kb_quality quality, const char *why,
                    struct kb_arena *arena);
/* The longest time for one method of one case. */
double kb_max_time_s(const struct kb_job *job);
/* The asked relative half-width. */
double kb_precision_for(const struct kb_job *job, double median_ns);
/* Why sampling may end, or NULL. */
const char *kb_sampling_reached(const struct kb_samples *all, const struct kb_stats *stats,
                                const struct kb_job *job, double tick_ns);
/* All of a time that samples, timer and clocks tell; out->median_ns and the interval,
 * out->stopped are there. */
void kb_time_describe(const struct kb_samples *all, const struct kb_timer_facts *facts,
                      const struct kb_seen *seen, struct kb_arena *arena,
                      struct kb_time *out);
/* What the bytes make of row->times[method], beside the stream kernel's. */
bool kb_time_finish(struct kb_session *s, const struct kb_job *job,
                    const struct kb_problem *problem, enum kb_method method,
                    struct kb_arena *arena, struct kb_row *row, struct kb_err *err);
/* A time of which nothing is known. */
struct kb_time kb_time_none(void);
/* Beside the number, as the job asks: every sample into the file, energy of a launch. What
 * cannot be had of them is a warning, the end of the device is none. */
bool kb_time_extras(struct kb_session *s, const struct kb_job *job, struct kb_row *row,
                    enum kb_method method, struct kb_timer *timer,
                    const struct kb_samples *all, const struct kb_timer_facts *facts,
                    struct kb_arena *arena, struct kb_time *out, struct kb_err *err);
/* What was taken of a row by a method, as lines for the file of job->samples; and lines
 * added to that file: in samples.c. */
void kb_samples_print(const struct kb_job *job, const struct kb_row *row,
                      enum kb_method method, const struct kb_samples *all,
                      const struct kb_timer_facts *facts, struct kb_buf *out);
bool kb_samples_add(const struct kb_job *job, const struct kb_buf *lines,
                    struct kb_err *err);
/* The set that is looked at after timing: one that a kernel cannot guess. */
int kb_any_set(const struct kb_job *job, enum kb_method method, int sets);
/* The timed kernel must have computed what was checked, and left its inputs alone; else the
 * row's reason says so. */
bool kb_timed_output_right(const struct kb_problem *problem, const struct kb_slab *initial,
                           const struct kb_slab *result, const struct kb_slab *check,
                           enum kb_method method, struct kb_arena *arena,
                           struct kb_row *row);
bool kb_launches_nothing(const struct kb_plan *plan);
/* Before the first method: what is to be known of timing this problem. */
void kb_time_warn(const struct kb_problem *problem, struct kb_arena *arena,
                  struct kb_row *row);
/* After the last one: no times of what turned out wrong; which of the rest are not what
 * they claim to be, and what limits it. */
void kb_time_close(struct kb_session *session, bool right, struct kb_arena *arena,
                   struct kb_row *row);

#endif
