/* speed.h - is B faster than A: ratios of times with their intervals, and the verdict. Part
 * of the measure layer, included by measure.h.
 *
 * All of it is deterministic: what is drawn is drawn by Philox from a seed. Times are in
 * ns, ratios are time of B over time of A (below 1: B is faster). */
#ifndef KB_SPEED_H
#define KB_SPEED_H

#include "measure.h"

/* id, word, what it means (kbench help verdicts) */
#define KB_SPEEDS(X)                                                                       \
    X(KB_NOT_COMPARED, "", "one of them was not timed")                                    \
    X(KB_FASTER, "FASTER", "B takes less time than A, by more than the margin")            \
    X(KB_SLOWER, "SLOWER", "B takes more time than A, by more than the margin")            \
    X(KB_SAME, "SAME", "the difference's 95 % interval lies within the margin")            \
    X(KB_UNCLEAR, "UNCLEAR", "the interval is too wide to say one or the other")           \
    X(KB_IDENTICAL, "IDENTICAL", "the same machine code, launched in the same way")

enum kb_speed_verdict {
#define X(id, word, help) id,
    KB_SPEEDS(X)
#undef X
        KB_SPEED_COUNT
};
const char *kb_speed_word(enum kb_speed_verdict verdict);
const char *kb_speed_help(enum kb_speed_verdict verdict);
bool kb_speed_parse(const char *word, enum kb_speed_verdict *out);

struct kb_speed {
    bool there;
    double ratio;     /* time of B over time of A */
    double low, high; /* its 95 % interval, by bootstrap */
    double p;         /* two-sided, of no difference at all; NAN: not tested */
    int64_t n;        /* pairs */
    enum kb_speed_verdict verdict;
};

/* What a row says of its kernel, which is B, beside another one of the same case: A. */
struct kb_against {
    const char *build, *variant; /* A's; variant NULL: none was chosen */
    int same_code;               /* machine code and launches; -1: not known */
    int64_t elements, differing; /* of outputs, by their bits; elements -1: not compared */
    const char *why;             /* they were not run side by side; NULL: they were */
    struct kb_speed speeds[KB_METHOD_COUNT];
    double detectable[KB_METHOD_COUNT]; /* difference that would have been found, as
                                         kb_speed_detectable; 0: not known */
};

/* ---- the rule -------------------------------------------------------------------------
 * FASTER and SLOWER want two things: p at most `level`, and a ratio past the margin, so
 * that neither noise nor a difference that nobody cares about is one. SAME wants the 95 %
 * interval within the margin. UNCLEAR is the rest.
 *
 * `level` makes up for many rows in one run: 1 in 1000 runs of equal builds may have a row
 * that is called FASTER or SLOWER, so each of `rows` has 1/1000/rows (Bonferroni). Rows are
 * printed as they finish: Benjamini and Hochberg's procedure would need all of them first,
 * and where nothing differs it is as strict. Who measures on where a row is not clear yet
 * divides the level by the number of times that it looks. */
struct kb_speed_rule {
    double margin; /* relative: 0.01 */
    double level;
};
/* The margin of 1 % and the level for a run of so many rows; at least 100 are assumed. */
struct kb_speed_rule kb_speed_rule_for(int64_t rows);
/* How often a pair is looked at while it is timed side by side: after 24 blocks, and after
 * each quarter more up to 512. */
enum { KB_SPEED_LOOKS = 16 };
enum kb_speed_verdict kb_speed_judge(const struct kb_speed *speed,
                                     const struct kb_speed_rule *rule);

/* ---- interleaved ----------------------------------------------------------------------
 * In a block each of `n` members is visited twice, the second time in the reverse of the
 * first order (ABBA), so that a drift within the block hits all alike. Which order comes
 * first is drawn for each block: then, if two members are equal, their difference in a
 * block has either sign with the same chance, whatever the noise of the device looks like
 * from block to block (drifting, in two modes, correlated). The test behind `p` assumes no
 * more than that. */

/* order[0 .. 2n-1]: which member a visit is of. */
void kb_speed_order(uint64_t seed, int64_t block, int n, int *order);
/* a_ns[i], b_ns[i]: mean times of the visits in block i. The ratio is e to the mean of the
 * middle half of ln(b/a), the interval a percentile bootstrap of it over blocks, and p that
 * of Wilcoxon's signed ranks, exact with ties up to 512 blocks. n < 6: low, high NAN. */
void kb_speed_paired(const double *a_ns, const double *b_ns, int64_t n, uint64_t seed,
                     struct kb_speed *out);
/* The smallest difference, relative, that would be FASTER or SLOWER by `rule` 95 times in
 * 100 in as many blocks as these, of `speed`: what is drawn are their own differences. 0:
 * none, there are too few. */
double kb_speed_detectable(const double *a_ns, const double *b_ns, int64_t n, uint64_t seed,
                           const struct kb_speed *speed, const struct kb_speed_rule *rule);
/* That test alone: how likely differences are to lie on one side as much as these, where
 * each has either sign with the same chance. */
double kb_signed_ranks_p(const double *d, int64_t n);
/* Each `each` of these blocks, in a row, were measured by the same instances of A and B (a
 * captured graph, say), of which another may take another time: no interval is narrower
 * than Student's of the means of such rows. */
void kb_speed_widen_grouped(struct kb_speed *speed, const double *a_ns, const double *b_ns,
                            int64_t each);
/* No interval is narrower than what the timer can tell: `tick` is relative. Where there is
 * none there stays none. */
void kb_speed_widen(struct kb_speed *speed, double tick);

#endif
