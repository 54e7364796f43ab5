/* selftest.h - what kbench measures of itself on a GPU: the floor of its timers, what the
 * device gives at most, and how small a difference it tells. Part of the measure layer. */
#ifndef KB_SELFTEST_H
#define KB_SELFTEST_H

#include "run.h"

/* ---- a kernel against itself ----------------------------------------------------------
 */

/* What pairs of equal kernels came to, each timed as builds are: B beside A. */
struct kb_twins {
    int pairs;
    int alarms;    /* that were called FASTER or SLOWER */
    int at_5;      /* whose p is at most 5 %: one in 20 is to be expected, or less */
    double blocks; /* of a pair; the median */
    double noise;  /* of a pair's ratio: a standard deviation, relative */
    /* A difference that is found 95 times in 100, relative; NAN: blocks are too few. */
    double smallest;
};
/* smallest[i]: of pair i, as kb_speed_detectable. */
void kb_twins_of(const struct kb_speed *speeds, const double *smallest, int n,
                 const struct kb_speed_rule *rule, struct kb_twins *out);

/* ---- what a device gives at most ------------------------------------------------------
 */

enum {
    KB_ST_PATTERNS = 5,
    KB_ST_SIZES = 7,
    KB_ST_DTYPES = 3,
    KB_ST_KERNELS = 4,
    KB_ST_GRIDS = 2,
};
extern const char *const kb_selftest_patterns[KB_ST_PATTERNS]; /* of op stream */
/* What is read, or written where nothing is: a copy moves twice as much. */
extern const int kb_selftest_mib[KB_ST_SIZES];
extern const char *const kb_selftest_dtypes[KB_ST_DTYPES]; /* of op mma */

/* Of an earlier run, in the JIT cache by GPU, driver and whether the clocks are locked. */
struct kb_ceilings {
    char date[16];                   /* "2026-11-26", UTC */
    double gb_per_s[KB_ST_PATTERNS]; /* the largest size measured; of copy always known */
    double mma_tflop_per_s[KB_ST_DTYPES]; /* NAN: not known */
};
/* False, and a line in `note`, where it cannot be kept. */
bool kb_ceilings_keep(const struct kb_device_info *device, const struct kb_ceilings *c,
                      struct kb_buf *note);
/* False where there are none. */
bool kb_ceilings_find(const struct kb_device_info *device, struct kb_ceilings *out);

/* ---- all of it ------------------------------------------------------------------------
 */

struct kb_selftest {
    const struct kb_device_info *device;
    struct {
        double null_ns;  /* an empty kernel; NAN: not known */
        double timer_ns; /* what the timer reads around nothing */
    } floors[KB_METHOD_COUNT];
    struct {
        int64_t blocks; /* that do nothing: one on each multiprocessor, and all it holds */
        double ns[KB_METHOD_COUNT];
    } grids[KB_ST_GRIDS];
    double gb_per_s[KB_ST_PATTERNS][KB_ST_SIZES]; /* by graph; NAN: not measured */
    double tflop_per_s[KB_ST_DTYPES];
    struct {
        const char *case_id; /* NULL: none could be chosen */
        double target_ns, median_ns;
        struct kb_twins twins;
    } kernels[KB_ST_KERNELS];
    struct kb_strings notes; /* what was not measured, or is not as it should be */
    int status;              /* of the exit: the worst of all probes */
};

struct kb_selftest_how {
    /* Run jobs of one case side by side, as kb_worker_run_group. */
    bool (*run)(void *context, const struct kb_job *jobs, int n, struct kb_arena *arena,
                struct kb_row *rows, struct kb_err *err);
    void (*tell)(void *context, const char *what); /* what comes next */
    void *context;
    uint64_t seed;
    double precision, max_time_s; /* as of a job */
    bool time_failing;
};
/* Probes are cases, checked like any other; one that is wrong, or cannot be had, costs its
 * number and is a note. Strings in `arena`. False where nothing more can be run. */
bool kb_selftest_run(const struct kb_selftest_how *how, const struct kb_device_info *device,
                     struct kb_arena *arena, struct kb_selftest *out, struct kb_err *err);
/* What is to be kept of it; false where the probes of it are not all right. */
bool kb_selftest_ceilings(const struct kb_selftest *t, struct kb_ceilings *out);

#endif
