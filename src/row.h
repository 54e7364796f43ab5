/* row.h - the row of a report, and its line of JSON. Part of the measure layer, included by
 * measure.h. */
#ifndef KB_ROW_H
#define KB_ROW_H

#include "measure.h"

/* ---- the row of a report ---------------------------------------------------------------
 */

#define KB_QUALITIES(X)                                                                    \
    X(KB_Q_OK, "ok")                                                                       \
    X(KB_Q_NOISY, "noisy")                                                                 \
    X(KB_Q_THROTTLED, "throttled")                                                         \
    X(KB_Q_SUSPECT, "suspect")                                                             \
    X(KB_Q_CONTENDED, "contended")
enum kb_quality {
#define X(id, word) id,
    KB_QUALITIES(X)
#undef X
};
const char *kb_quality_word(enum kb_quality quality);

enum { KB_MAX_RUNS = 32 };

struct kb_time {
    bool there;
    double median_ns, low_ns, high_ns, min_ns, p99_ns; /* p99 NAN if unknown */
    int64_t n;                                         /* launches timed */
    /* Why sampling ended: "precision"; else the precision was not reached in the "time" or
     * the number of "samples", or the timer's "tick" is too coarse for it. */
    const char *stopped;
    enum kb_quality quality;
    const char *why;            /* the quality in words; NULL: nothing to say */
    int64_t n_taken, throttled; /* samples; those taken while clocks were held back */
    double duty; /* the GPU was busy for no more than that share of the time; 0: always */
    const char *cache;
    int sets;
    int64_t footprint_bytes;
    double gb_per_s;        /* NAN: the timer's floor is over a tenth of it, or no bytes */
    const char *ceiling_op; /* "stream": it moves the same bytes; "mma": as many flops */
    double ceiling_ns;      /* its time by the same method in the same run; NAN: none */
    double ceiling;         /* ceiling_ns / median_ns */
    double floor_ns;        /* an empty kernel by the same method */
    double timer_ns;        /* what the timer reads around nothing; NAN: not known */
    double energy_uj;       /* of one launch; NAN: not measured */
    int sm_mhz_min, sm_mhz_max;
    const char *throttle; /* words by comma, "" none */
    double samples_ns[KB_BLOCK_MEDIANS];
    int n_samples;
    double runs_ns[KB_MAX_RUNS]; /* medians of the process runs that it is of; median_ns is
                                    their median */
    int n_runs;                  /* 0: one run */
};

/* Whether the ceiling is that of matrix work. */
bool kb_time_of_mma(const struct kb_time *time);

enum { KB_MAX_OUTPUTS = 4, KB_MAX_SHIFTS = 2, KB_MAX_BATCH = 2 };

struct kb_row {
    const char *case_id, *device, *backend, *build, *variant,
        *kernel; /* kernel: file path */
    const char *op, *fill, *tags, *origin;
    enum kb_dtype dtype;
    int rank;
    int64_t shape[KB_MAX_RANK];
    struct kb_strings set, axes; /* "key=value"; axes "tokens=83" */
    uint64_t seed;
    const char *load;    /* the file that the inputs came from; NULL: they were filled */
    int64_t sample_rows; /* that were to be checked of each output; 0: all */
    enum kb_reason reason;
    const char *text;    /* the reason in words, NULL for PASS */
    const char *warning; /* NULL if none */
    struct kb_strings flags;
    int n_outputs;
    struct kb_output_report outputs[KB_MAX_OUTPUTS];
    bool checked; /* outputs, memory are there */
    int64_t unwritten, out_of_bounds, inputs_changed;
    bool proved; /* impostors were tried */
    struct kb_impostors impostors;
    int orders; /* block orders run with the same bits; 0: not tried */
    /* What else left the same bits: launches over the same inputs in all; tensors' bases
     * shifted by these bytes (an element's, where it has more); inputs written late by the
     * kernel ahead; launches over other inputs ahead of it or beside it; only so many of
     * the first rows. */
    int repeats;
    int64_t shifts[KB_MAX_SHIFTS], batch[KB_MAX_BATCH];
    int n_shifts, n_batch;
    bool late_producer, other_inputs;
    int64_t bytes, flops;
    const char
        *limited_by; /* "launch", "latency", "bandwidth", "compute"; NULL: not timed */
    struct kb_time times[KB_METHOD_COUNT];
    bool built;
    struct kb_code_info code;
    int64_t grid[3], block[3];
    int n_launches;
    double ms_total, ms_build, ms_check, ms_time;
    struct kb_occupancy occupancy;
    const struct kb_against *against;   /* another build or variant; NULL: none, or A */
    const struct kb_smallest *smallest; /* that still fails; NULL: not looked for */
    const char *repeat;                 /* the command that repeats it */
};
/* One line of JSON as the reports hold it, and back. Parse is for our own workers' and
 * journals' lines: KB_INPUT if a field that must be there is not. */
void kb_row_print(const struct kb_row *row, struct kb_buf *out);
bool kb_row_parse(const char *name, const char *text, size_t size, struct kb_arena *arena,
                  struct kb_row *out, struct kb_err *err);

#endif
