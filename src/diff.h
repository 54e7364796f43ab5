/* diff.h - reports read back, and held against each other. Part of the report layer; gate.h
 * has what is made of it. */
#ifndef KB_DIFF_H
#define KB_DIFF_H

#include "screen.h"

/* ---- a report that is read back --------------------------------------------------------
 */

/* A time as it stands in the file; what was null or absent is NAN. */
struct kb_timing {
    enum kb_method method;
    enum kb_quality quality;
    double median_ns, low_ns, high_ns, ceiling_ns;
    double duty;                        /* 1: without pauses */
    int64_t n, sm_mhz, sm_mhz_min;      /* 0: not known */
    int64_t sets, footprint_bytes;      /* of buffers that it rotated over; 0: not told */
    const double *samples_ns, *runs_ns; /* block medians; medians of process runs */
    int n_samples, n_runs;              /* n_runs 0: one run, median_ns */
};
/* Whether it is a time at all: each number of it positive and finite. If not, `bad` is the
 * first that is not. */
bool kb_timing_is_valid(const struct kb_timing *time, double *bad);
/* Whether two times over rotating buffers say the same of the L2: over as many sets, or as
 * many bytes, or each over three times what its L2 holds or over KB_MAX_SETS. NAN: its size
 * is not known. */
bool kb_timings_rotate_alike(const struct kb_timing *a, double a_l2_bytes,
                             const struct kb_timing *b, double b_l2_bytes);

/* A row, as far as it is compared. No text is NULL: "" where the file has none. */
struct kb_entry {
    const char *case_id, *kernel, *variant, *build, *backend, *device;
    const char *op, *dtype, *fill, *origin, *reason_text;
    const char *code; /* machine code, arch and launch geometry; "" where not known */
    struct kb_strings tags, flags;
    enum kb_verdict verdict;
    enum kb_reason reason; /* KB_R_NONE where the file names one that is not known here */
    double error;          /* the worst err/bound of its outputs; NAN: none */
    double bytes;
    const char *seed;
    double checked; /* elements of its outputs; 0: not told */
    int n_times;
    struct kb_timing *times;
    bool twice;      /* its key stood in the file before */
    size_t at, size; /* its JSON in the report's text */
};

struct kb_machine {
    const char *id, *backend, *name, *uuid, *driver, *nvrtc, *compiler;
    double sm, sm_count, l2_bytes, memory_bytes; /* NAN: not known */
    int clocks_locked;                           /* -1: not known */
};

struct kb_loaded {
    struct kb_arena arena;
    struct kb_buf text;
    const char *name;         /* of the file */
    struct kb_json head, end; /* all but rows; a journal's end line, or nothing */
    const char *kbench, *started;
    bool complete;
    int n_runs; /* process runs that it says it holds */
    int n_machines;
    struct kb_machine machines[KB_MAX_DEVICES];
    struct kb_entry *rows;
    size_t n_rows, rows_cap;
    struct kb_buf note; /* something to know of it, "" if nothing */
};
enum { KB_REPORT_BYTES_MAX = 1 << 30 };
/* A report or a journal, by its contents. KB_INPUT in one line where it is neither,
 * damaged, or of a newer schema; nothing is left to free then. */
bool kb_loaded_read(const char *path, struct kb_loaded *out, struct kb_err *err);
/* Of a run that has not been written yet. */
bool kb_loaded_of_rows(struct kb_rows *rows, const char *name, struct kb_loaded *out,
                       struct kb_err *err);
/* From text, which is taken over. */
bool kb_loaded_of_text(const char *name, struct kb_buf *text, struct kb_loaded *out,
                       struct kb_err *err);
void kb_loaded_free(struct kb_loaded *report);
/* Sets `twice` of rows whose key stood before; done by the readers. */
void kb_loaded_mark_twice(struct kb_loaded *report);
const struct kb_timing *kb_entry_time(const struct kb_entry *entry, enum kb_method method);
const struct kb_machine *kb_loaded_machine(const struct kb_loaded *report,
                                           const struct kb_entry *entry);
/* "9ab2c1f" of "0.1.0 9ab2c1f". */
const char *kb_loaded_commit(const struct kb_loaded *report);
/* A row's reason in words, with where it is wrong if the row says that. */
void kb_entry_words(const struct kb_loaded *report, const struct kb_entry *entry,
                    struct kb_buf *out);

/* ---- pairs -----------------------------------------------------------------------------
 */

/* A shift of B against A, as ratios less 1. */
struct kb_shift {
    double a_ns, b_ns;         /* medians, of runs where there are several */
    double ratio, low, high;   /* 95 %: what runs and samples differ by is in it */
    double sd, df;             /* of the logarithm of the ratio */
    double within, between;    /* half-widths that samples and runs alone would give */
    double slower_p, differ_p; /* one side, both sides */
    double worst;              /* how far a run of equal code lay off, in such sd; 0: not
                                  known */
    double rank_p;             /* of the block medians, both sides; NAN: too few */
    double detectable; /* the smallest slowdown found 95 times in 100; NAN until judged */
    int64_t wants_n;   /* launches of B that would tell; 0: more of them would not */
    int wants_runs;    /* process runs of B that would; 0: not known */
};

struct kb_pair {
    const struct kb_entry *a, *b;    /* one may be NULL: only in the other */
    const struct kb_timing *ta, *tb; /* by `method`, NULL: not timed by it */
    enum kb_method method;
    bool same_code, cross; /* cross: of GPUs of different names */
    const char *differs;   /* "variant vec16 -> vec32": not their key; "" */
    struct kb_shift shift;
    enum kb_speed_verdict speed; /* NOT_COMPARED: not timed by the method in both */
    bool invalid;                /* a time that is none, or not to be believed: `why` */
    const char *why; /* of an invalid time, and of UNCLEAR where that is no matter of
                        intervals; "" */
};
/* What is compared: a report, or its rows of one build, variant or device. */
enum kb_pivot { KB_BY_REPORT, KB_BY_BUILD, KB_BY_VARIANT, KB_BY_DEVICE };
struct kb_side {
    const struct kb_loaded *report;
    enum kb_pivot by;
    const char *value; /* of BUILD, VARIANT or DEVICE */
};
/* The values that a report's rows have, in their order. */
void kb_side_values(const struct kb_loaded *report, enum kb_pivot by,
                    struct kb_arena *arena, struct kb_strings *out);

struct kb_pairs {
    struct kb_side a, b;
    struct kb_pair *items; /* in the order of A, then those that are only in B */
    size_t n, only_a, only_b;
    enum kb_method method;       /* the first */
    const char *a_word, *b_word; /* what they are called: "A", "B" */
    bool spread_of_a; /* what runs differ by is A's to say: B's have several where they
                         looked odd */
    size_t far_apart; /* rows whose runs differ so much more than others that they were
                         left out of what is learned from runs */
};

/* What two rows may differ in and be a pair all the same, where each is the only one left
 * of its case on its device; with BUILD, of reports also the only one left on one side and
 * the only one of build precise on the other. */
enum kb_relax { KB_RELAX_NONE, KB_RELAX_VARIANT, KB_RELAX_KERNEL, KB_RELAX_BUILD };
/* By (case, kernel, variant, build, backend, device) less what the sides are told apart by,
 * and a pair for each method; without methods, the first that both have. Devices are the
 * same by id and name, by uuid, by name, or where there is one on each side. */
void kb_pairs_make(const struct kb_side *a, const struct kb_side *b,
                   const enum kb_method *methods, int n_methods, enum kb_relax relax,
                   struct kb_arena *arena, struct kb_pairs *out);
/* ---- the smallest statistics that this needs ------------------------------------------
 */

/* The median of n values, n > 0, which are sorted for it. */
double kb_middle_of(double *values, int n);
/* P(T > t) of Student's t, and the t of a P; df may be infinite. */
double kb_student_tail(double t, double df);
double kb_student_quantile(double tail, double df);
/* Two-sided p of the Mann-Whitney test, by the normal distribution, for ties and continuity
 * corrected: good to judge by 5 %. NAN where there are fewer than 6 on a side. */
double kb_rank_test(const double *a, int n_a, const double *b, int n_b);
/* The p up to which all are significant, where a share q of what is found may be false
 * (Benjamini-Hochberg); sorts `p`. Where none is, the p that one alone would have wanted.
 */
double kb_significant_p(double *p, size_t n, double q);

/* Fill in the shifts of all pairs: how much runs differ is learned over the suite, of those
 * rows that hold several, by class of time; else it is assumed. */
void kb_pairs_shift(struct kb_pairs *pairs, struct kb_arena *arena);
/* The verdicts of `kbench diff`: significant over the suite (5 % false), by ranks too, and
 * past 1 %; SAME where the interval lies within 2 %. */
void kb_pairs_judge(struct kb_pairs *pairs, struct kb_arena *arena);
bool kb_pair_is_timed(const struct kb_pair *pair);
/* Whether one of the two alone was throttled or shared its GPU: pair->why then says which.
 */
bool kb_pair_is_disturbed(struct kb_pair *pair, struct kb_arena *arena,
                          const struct kb_pairs *pairs);
/* Where one-sided p up to `significant_p` count and slowdowns past `limit` matter: the
 * smallest one that is found, and what would make the interval half as wide as the limit.
 * Zero but for the first three. */
struct kb_power {
    double limit, significant_p;
    double worst_factor;      /* times the worst run is needed besides */
    double df, needed, found; /* quantiles of the last one */
};
void kb_shift_plan(struct kb_power *power, const struct kb_timing *b,
                   struct kb_shift *shift);

/* ---- environments ----------------------------------------------------------------------
 */

/* A field in which two reports differ. */
struct kb_mismatch {
    const char *field, *a, *b; /* "driver", "580.126.09", "580.159.04" */
    bool refused;              /* times are not comparable */
};
struct kb_mismatches {
    struct kb_mismatch *items;
    size_t n, refused;
};
/* All fields: of the devices that stand beside each other, the hosts, the builds. */
void kb_mismatches_of(const struct kb_loaded *a, const struct kb_loaded *b,
                      struct kb_arena *arena, struct kb_mismatches *out);
/* The machine of `a` that one of `b` stands beside, or NULL. */
const struct kb_machine *kb_machine_beside(const struct kb_loaded *a,
                                           const struct kb_loaded *b,
                                           const struct kb_machine *machine);

/* ---- the diff --------------------------------------------------------------------------
 */

void kb_diff_print(const struct kb_pairs *pairs, const struct kb_look *look, bool all,
                   struct kb_buf *out);
void kb_diff_json(const struct kb_pairs *pairs, struct kb_buf *out);

#endif
