/* gate.h - a new report against a baseline, and reports joined into one. Part of the report
 * layer.
 *
 * A baseline is a report whose times hold the medians of several process runs (runs_ns):
 * the samples of one run cannot see how much runs differ. */
#ifndef KB_GATE_H
#define KB_GATE_H

#include "diff.h"

/* ---- the gate --------------------------------------------------------------------------
 */

/* id, word, how it is counted, exit status, what it means */
#define KB_GATES(X)                                                                        \
    X(KB_GATE_WRONG, "WRONG", "wrong", 1, "FAIL or ERROR in the new report")               \
    X(KB_GATE_MISSING, "MISSING", "missing", 1, "in the baseline alone")                   \
    X(KB_GATE_SLOWER, "SLOWER", "slower", 2,                                               \
      "the median is past the limit and the interval clear of 0")                          \
    X(KB_GATE_COARSER, "COARSER", "coarser", 2, "right, with an error past the limit")     \
    X(KB_GATE_MISTRUSTED, "MISTRUSTED", "mistrusted", 3, "its rule proves nothing")        \
    X(KB_GATE_INVALID, "INVALID", "invalid", 3,                                            \
      "a time that is null, 0, negative or not to be believed, an error that is not "      \
      "told any more, or a row that is there "                                             \
      "twice")                                                                             \
    X(KB_GATE_UNCLEAR, "UNCLEAR", "unclear", 0,                                            \
      "a slowdown past the limit is neither found nor ruled out, or the baseline has no "  \
      "time of the row (exit 3 with --strict)")                                            \
    X(KB_GATE_FASTER, "FASTER", "faster", 0, "the same as SLOWER, on the other side")      \
    X(KB_GATE_SAME, "SAME", "same", 0, "nothing of these")                                 \
    X(KB_GATE_APART, "APART", "not compared", 3,                                           \
      "right in both, and timed on another GPU or by another method")                      \
    X(KB_GATE_EXTRA, "EXTRA", "extra", 0, "in the new report alone")

enum kb_gate_verdict {
#define X(id, word, count, status, help) id,
    KB_GATES(X)
#undef X
        KB_GATE_COUNT
};
const char *kb_gate_word(enum kb_gate_verdict verdict);
const char *kb_gate_count_word(enum kb_gate_verdict verdict);
const char *kb_gate_help(enum kb_gate_verdict verdict);

struct kb_limits_of_gate {
    double slowdown, error_growth; /* ratios: 0.03, 2 */
    bool allow_missing, cross, strict;
};
struct kb_gate {
    struct kb_limits_of_gate limits;
    const struct kb_loaded *base, *fresh;
    struct kb_pairs pairs;          /* A: the base */
    enum kb_gate_verdict *verdicts; /* of each pair */
    const char **texts;             /* in words, where numbers do not say it */
    size_t count[KB_GATE_COUNT], n; /* n: those of the base, and wrong ones beside them */
    size_t unclear_past;            /* of the unclear ones, those past the limit */
    struct kb_mismatches mismatches;
    bool comparable;
    int error_status; /* the worst of rows that are ERROR; 0: none */
};
/* Whether a row of the base may be expected in the new report; NULL: all are. */
typedef bool kb_gate_scope(const void *context, const struct kb_entry *entry);
void kb_gate_make(const struct kb_loaded *base, const struct kb_loaded *fresh,
                  const struct kb_limits_of_gate *limits, const enum kb_method *methods,
                  int n_methods, kb_gate_scope *scope, const void *context,
                  struct kb_arena *arena, struct kb_gate *out);
/* Whether a row of both was run: two that were skipped tell nothing. */
bool kb_gate_has_checked(const struct kb_gate *gate);
int kb_gate_status(const struct kb_gate *gate);
/* Whether a median is past the limit: more than it, and not by a rounding error. */
bool kb_is_past(double base_ns, double ns, double limit);
/* The screen, and the sentence of the last line, which may have something to say where the
 * status is 0, too; JSON. */
void kb_gate_print(const struct kb_gate *gate, const struct kb_look *look, bool all,
                   struct kb_buf *out);
void kb_gate_words(const struct kb_gate *gate, struct kb_buf *out);
void kb_gate_json(const struct kb_gate *gate, struct kb_buf *out);
/* For GitHub Actions: an error for each row that counts, at most `max` lines. `of_run`: a
 * run has told its rows that are wrong or mistrusted itself. */
void kb_gate_annotations(const struct kb_gate *gate, int max, bool of_run,
                         struct kb_buf *out);

/* ---- joined reports --------------------------------------------------------------------
 */

/* Parts of one run, whose rows are joined, or several runs of the same cases, whose times
 * are: each time's median is that of the runs' medians, a row is as wrong as the worst of
 * them. KB_INPUT where a row stands in two parts, or the runs are not of the same GPU,
 * build and code. */
enum kb_join { KB_JOIN_PARTS, KB_JOIN_RUNS };
bool kb_join_write(enum kb_join how, const struct kb_loaded *reports, int n,
                   const char *path, size_t *n_rows, struct kb_buf *note,
                   struct kb_err *err);
/* Some block medians of each of n runs, in the order of the runs, as many as a time holds;
 * how many they are. `out`: of KB_BLOCK_MEDIANS. */
int kb_join_samples(const double *const *samples, const int *counts, int n, double *out);
/* `fresh` in place of `base`, with all reasons that `base` had and this one. */
bool kb_baseline_update(const struct kb_loaded *base, const struct kb_loaded *fresh,
                        const char *reason, const char *path, struct kb_err *err);

#endif
