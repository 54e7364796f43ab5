/* measure.h - truth and time: verdicts, the comparison, statistics, the row of a report. */
#ifndef KB_MEASURE_H
#define KB_MEASURE_H

#include "local.h"

/* ---- verdicts and reasons: the one table -----------------------------------------------
 * Exit statuses of a whole run: of several the first of 7 4 6 5 1 2 3 counts. */
#define KB_VERDICTS(X)                                                                     \
    X(KB_PASS, "PASS", "pass")                                                             \
    X(KB_FAIL, "FAIL", "fail")                                                             \
    X(KB_MISTRUSTED, "MISTRUSTED", "mistrusted")                                           \
    X(KB_SKIP, "SKIP", "skip")                                                             \
    X(KB_ERROR, "ERROR", "error")

enum kb_verdict {
#define X(id, word, key) id,
    KB_VERDICTS(X)
#undef X
        KB_VERDICT_COUNT
};

/* id, word in reports, verdict, exit status, what it means (kbench help verdicts) */
#define KB_REASONS(X)                                                                      \
    X(KB_R_NONE, "", KB_PASS, 0, "right by the op's rule; guards and inputs untouched")    \
    X(KB_R_MISMATCH, "mismatch", KB_FAIL, 1, "elements past the bound or the tolerance")   \
    X(KB_R_TOUCHED, "touched", KB_FAIL, 1,                                                 \
      "elements that must stay as they were were written to")                              \
    X(KB_R_UNWRITTEN, "unwritten", KB_FAIL, 1, "the poison is still in output elements")   \
    X(KB_R_OUT_OF_BOUNDS, "out_of_bounds", KB_FAIL, 1, "a guard zone was written to")      \
    X(KB_R_INPUT_CHANGED, "input_changed", KB_FAIL, 1, "an input was written to")          \
    X(KB_R_ORDER, "order", KB_FAIL, 1, "other bits when blocks run in another order")      \
    X(KB_R_ALIGNMENT, "alignment", KB_FAIL, 1,                                             \
      "wrong at addresses that the contract's align allows")                               \
    X(KB_R_EARLY_READ, "early_read", KB_FAIL, 1,                                           \
      "an input was read before the wait for the kernel ahead")                            \
    X(KB_R_EARLY_WRITE, "early_write", KB_FAIL, 1,                                         \
      "an output was written before the wait for the kernel ahead")                        \
    X(KB_R_STALE, "stale", KB_FAIL, 1,                                                     \
      "results of an earlier launch, which had other inputs")                              \
    X(KB_R_BATCH, "batch", KB_FAIL, 1, "a row has other bits when there are fewer rows")   \
    X(KB_R_TIMED_OUTPUT, "timed_output", KB_FAIL, 1, "other bits from the timed launches") \
    X(KB_R_DEADLOCK, "deadlock", KB_FAIL, 1,                                               \
      "a barrier that live threads wait for in vain")                                      \
    X(KB_R_SANITIZER, "sanitizer", KB_FAIL, 1, "a sanitizer's finding")                    \
    X(KB_R_IMPOSTOR, "impostor", KB_MISTRUSTED, 3,                                         \
      "a wrong output would pass as well: nothing is proved")                              \
    X(KB_R_VARIANT, "variant", KB_SKIP, 0, "no variant takes the case here")               \
    X(KB_R_BUILD_HERE, "build", KB_SKIP, 0, "the backend has no such build")               \
    X(KB_R_MEMORY, "memory", KB_SKIP, 0, "needs more memory than there is")                \
    X(KB_R_CONTRACT, "contract", KB_ERROR, 5, "the contract is wrong for the case")        \
    X(KB_R_COMPILE, "compile", KB_ERROR, 5, "does not compile")                            \
    X(KB_R_NO_COMPILE, "no_compile", KB_ERROR, 5, "would have to compile")                 \
    X(KB_R_LAUNCH, "launch", KB_ERROR, 6, "the device refused or broke off the launch")    \
    X(KB_R_CRASH, "crash", KB_ERROR, 6, "the worker or the kernel died")                   \
    X(KB_R_TIMEOUT, "timeout", KB_ERROR, 6, "still running at the time limit, killed")     \
    X(KB_R_DEVICE, "device", KB_ERROR, 6, "the device cannot be had or was lost")          \
    X(KB_R_IO, "io", KB_ERROR, 7, "a file or memory could not be had")

enum kb_reason {
#define X(id, word, verdict, status, help) id,
    KB_REASONS(X)
#undef X
        KB_REASON_COUNT
};
const char *kb_verdict_word(enum kb_verdict verdict); /* "PASS" */
const char *kb_verdict_key(enum kb_verdict verdict);  /* "pass" */
const char *kb_reason_word(enum kb_reason reason);
const char *kb_reason_help(enum kb_reason reason);
enum kb_verdict kb_reason_verdict(enum kb_reason reason);
int kb_reason_status(enum kb_reason reason);
bool kb_reason_parse(const char *word, enum kb_reason *out);
/* The one that counts of two exit statuses. */
int kb_status_worse(int a, int b);

/* ---- the comparison --------------------------------------------------------------------
 * Per element: NaN and infinities must match in kind and sign. Else
 *     err = max(0, |got - want| - ulp(want) / 2),  share = err / bound
 * with want before rounding; over where share > 1. Beside it the peers'
 * |got - want| <= atol + rtol |want|. */

enum { KB_SHOWN = 6 };

struct kb_element {
    int64_t index; /* flat */
    double got, want;
    bool poison;
};
struct kb_output_report {
    const char *name;
    enum kb_dtype dtype;
    int rank;
    int64_t shape[KB_MAX_RANK];
    int64_t elements, checked;
    double err_over_bound, limit; /* worst share; fails above limit (1) */
    int64_t over;                 /* elements that fail by the deciding rule */
    int64_t over_bound;           /* by the bound */
    int64_t kind_mismatches;      /* NaN or infinity against another kind */
    int64_t unwritten;            /* poison left where the reference has none */
    int64_t differing;            /* got bits != want rounded */
    int64_t kept, touched; /* not to be written (KB_KEEP), and written all the same */
    /* Of pairs that are both finite; NAN where there are none. */
    double ulp_max, ulp_p99, ulp_p50, bias_ulp, abs_max, rel_max;
    double nmse;     /* sum (got - want)^2 / sum want^2; NAN where all wants are 0 */
    double want_rms; /* how large wants are */
    struct kb_tolerance tolerance; /* atol and rtol filled in: the peers', or as given */
    double tolerance_used;         /* the worst element's share of it */
    int64_t tolerance_over;
    struct kb_element worst;           /* by the deciding rule; index -1 if no elements */
    struct kb_element first[KB_SHOWN]; /* the first that fail */
    int n_first;
    int64_t first_bad, last_bad; /* flat indices, -1 */
    bool exact;                  /* KB_RULE_EXACT: ulp, bias and bound do not apply */
    /* Words of the convention that a wrong output follows, NULL if of none that is known,
     * and the elements that fail by that one too (at most one in 20 of `over`). */
    const char *follows;
    int64_t follows_over;
    const struct kb_local *local; /* of an output that is wrong; NULL: not looked at */
};
/* Rows of an output, where not all are checked. A row is what the last axis counts off. */
struct kb_sampled {
    int64_t n, length; /* length: elements of a row */
    int64_t *items;    /* ascending */
};
/* `max` (at least 2) rows of output `tensor`, the same ones for the same seed and case: the
 * first and the last, those on both sides of row 65536, of 2^31 elements and of 2^32 bytes
 * into any tensor, of further multiples of them as far as half of `max` goes; the rest is
 * drawn, one from each of as many stretches of equal length. False, and no rows, where
 * `max` is all of them. */
bool kb_sampled_make(const struct kb_problem *problem, int tensor, int64_t max,
                     uint64_t seed, struct kb_arena *arena, struct kb_sampled *out);

struct kb_compare_args {
    const struct kb_problem *problem;
    int tensor;
    const void *const *in; /* initial data of each tensor */
    const void *prepared;  /* of op->prepare */
    const void *got;
    int poison;          /* the pattern the output began with */
    double bound_factor; /* 1, or the op's fast_math_factor */
    struct kb_tolerance tolerance;
    const struct kb_sampled *sample; /* those that are checked; NULL: all */
    struct kb_kept *kept; /* what the reference says, from job to job; NULL: it is asked */
};
/* Streams the reference in chunks over all cores; the same result for any thread count. */
void kb_compare(const struct kb_compare_args *args, struct kb_output_report *out);
/* Elements of [first, first + count) that fail by the deciding rule. With args->sample the
 * elements of those rows alone are counted off, in order. */
int64_t kb_compare_over(const struct kb_compare_args *args, int64_t first, int64_t count);
/* What is said of the elements that are right; NAN where there is no number. */
struct kb_rest {
    int64_t right;
    double share, ulp; /* the largest */
};
/* Set the bit of each checked element that fails by the deciding rule, in a bitmap of zeros
 * with one bit for each. With args->sample the elements of those rows alone are counted
 * off, in order. */
void kb_compare_mask(const struct kb_compare_args *args, uint64_t *bits,
                     struct kb_rest *rest);
/* Hold an output that is wrong (`out`, of kb_compare) against the op's conventions, with
 * the same inputs: sets out->follows. */
void kb_compare_conventions(const struct kb_compare_args *args,
                            struct kb_output_report *out);
/* "; matches round=act", where there is something to say. */
void kb_follows_words(const struct kb_output_report *output, struct kb_buf *out);
/* Output `tensor` of two runs, the first in args->got, begun with the two poisons in turn.
 * What may not be written (KB_KEEP) and was not is left out. */
struct kb_runs_report {
    int64_t unwritten; /* each run's own poison is in it */
    int64_t differing; /* written, with other bits */
};
void kb_compare_runs(const struct kb_compare_args *args, const void *second,
                     struct kb_runs_report *out);

/* ---- impostors ------------------------------------------------------------------------
 * Wrong outputs, made of the right one: a rule that one passes by proves nothing. Each is
 * like the right one where nothing is judged: where nothing may be written (KB_KEEP), where
 * any value passes. One that is like it everywhere is no impostor, and left out. */

struct kb_impostors {
    int tried, left_out;
    struct kb_strings let_through; /* those that pass, by name: "all zeros" */
};
/* Tries those of the output of `outputs[which]`, a case's outputs as they are compared, all
 * right; adds to `out`, names in `arena`. Where what an output holds decides what is right
 * in another, both must let an impostor pass. Costs as much as a small part of kb_compare,
 * but where something is let through or left out. */
void kb_impostors_try(const struct kb_compare_args *outputs, int n_outputs, int which,
                      uint64_t seed, struct kb_arena *arena, struct kb_impostors *out);

/* ---- statistics -----------------------------------------------------------------------
 */

struct kb_stats {
    int64_t n;
    double median, low, high; /* distribution-free 95 % interval of the median */
    double min, p99;          /* p99 from 300 samples, else NAN */
};
/* Sorts a copy. low = high = NAN where n is too small for the interval (under 6). */
void kb_stats_of(const double *samples, int64_t n, struct kb_arena *arena,
                 struct kb_stats *out);

enum { KB_BLOCK_MEDIANS = 64 };

#include "speed.h"

#include "row.h"

#endif
