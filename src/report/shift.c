/* shift.c - how much slower B is than A, and how sure that is: what the samples of a run
 * differ by, and what runs differ by. */
#include "diff.h"

#include <math.h>
#include <string.h>

/* ---- how much runs differ --------------------------------------------------------------
 * The logarithm of a run's median is taken as normal about the kernel's own. Its variance
 * is learned over all rows of a class, since three runs of one row tell next to nothing; a
 * row whose own runs differ more than those of its class is given more. That runs are
 * normal is not relied on: how far a run lay from the others of its row, in the worst case
 * of the class, is told as well. */

enum { CLASSES = 4, FEW = 5, OWN_DF = 8 };
static const double long_ns = 20e3;
/* One run that was disturbed must not make the gate blind for all other rows: runs that
 * differ by more than 3 %, and by 20 times what is usual in the class, are their row's own
 * matter. */
static const double far_apart = 0.03, far_factor = 20;

struct spread {
    double variance, df;
    double worst; /* deviation of a run, in its standard deviations; 0: not known */
    double usual; /* variance: the median over rows; 0: not known */
};

/* Where nobody ran twice. As seen on an H200 between process runs: 0.3 % at 1 us and 0.2 %
 * at 25 us by graph, 1.6 % by event pairs. */
static const double assumed[CLASSES] = {0.003, 0.0025, 0.016, 0.005};
static const double assumed_df = 30;

static int class_of(enum kb_method method, double ns) {
    bool one_by_one = method != KB_GRAPH && method != KB_PDL;
    return 2 * one_by_one + (ns > long_ns);
}

static double median_of(const double *values, int n) {
    double copy[KB_BLOCK_MEDIANS];
    memcpy(copy, values, (size_t)n * sizeof *copy);
    return kb_middle_of(copy, n);
}

/* A time's own: its medians over runs and samples. */
struct side {
    double ns, se; /* se: relative, of what samples differ by; 0 where runs show it */
    int runs;
    double sum, df; /* of squares between runs */
};

static struct side side_of(const struct kb_timing *t) {
    struct side s = {.ns = t->median_ns, .runs = t->n_runs > 1 ? t->n_runs : 1};
    if (s.runs > 1) {
        double mean = 0;
        s.ns = median_of(t->runs_ns, s.runs);
        for (int i = 0; i < s.runs; i++)
            mean += log(t->runs_ns[i]) / s.runs;
        for (int i = 0; i < s.runs; i++)
            s.sum += pow(log(t->runs_ns[i]) - mean, 2);
        s.df = s.runs - 1;
        return s;
    }
    if (t->n_runs == 1)
        s.ns = t->runs_ns[0];
    double half = (t->high_ns - t->low_ns) / 2 / t->median_ns;
    s.se = half > 0 && isfinite(half) ? half / 1.96 : 0;
    /* Samples that drift, or change between modes, are no independent draws. */
    int first = t->n_samples / 2;
    if (first >= 3) {
        double a = median_of(t->samples_ns, first);
        double b = median_of(t->samples_ns + first, t->n_samples - first);
        s.se = fmax(s.se, fabs(a - b) / 2 / t->median_ns);
    }
    return s;
}

/* Variance of the median of n normal values, of one's own. */
static double median_factor(int n) {
    return n == 1 ? 1 : n == 2 ? 0.5 : 1.5708 / (n + 0.47);
}

/* ---- the class's spread ----------------------------------------------------------------
 */

/* What is gathered of a class: sums of squares between runs, and rows. */
struct gathered {
    double sum, df, n;
    double *variances, usual; /* of each row, as estimates of the class's; their median */
    int n_variances;
};

/* A row whose runs agree to the last digit shows the timer's tick, no variance. */
static const double least_variance = 4e-8;

static double between_runs(const struct side *s) {
    return fmax(s->sum / s->df, least_variance);
}

/* Of a sum of squares with so many degrees of freedom, the median over the mean. */
static double median_share(double df) {
    return pow(1 - 2 / (9 * df), 3);
}

static bool is_far_apart(const struct side *s, double usual) {
    double limit = fmax(far_apart * far_apart, far_factor * far_factor * usual);
    return s->df >= 1 && between_runs(s) > limit;
}

static void note_variance(const struct kb_timing *t, enum kb_method method,
                          struct gathered *classes) {
    struct side s = side_of(t);
    struct gathered *g = &classes[class_of(method, s.ns)];
    if (s.df >= 1)
        g->variances[g->n_variances++] = between_runs(&s) / median_share(s.df);
}

static bool gather(const struct kb_timing *t, enum kb_method method,
                   struct gathered *classes) {
    struct side s = side_of(t);
    struct gathered *g = &classes[class_of(method, s.ns)];
    if (s.df < 1)
        return true;
    if (is_far_apart(&s, g->usual))
        return false;
    g->sum += between_runs(&s) * s.df;
    g->df += s.df;
    g->n++;
    return true;
}

static struct spread spread_of(const struct gathered *g, double assumed_sd) {
    struct spread spread = {assumed_sd * assumed_sd, assumed_df, 0, g->usual};
    if (g->n == 0)
        return spread;
    spread.df = g->df;
    spread.variance = g->sum / g->df;
    if (g->n < FEW) { /* what is assumed weighs as much as four runs more */
        spread.variance = (4 * assumed_sd * assumed_sd + g->sum) / (4 + g->df);
        spread.df = 4 + g->df;
    }
    return spread;
}

/* A row's own variance draws that of its class up, never down: rows whose few runs happen
 * to agree are many. */
static double variance_of(const struct spread *class, const struct side *a,
                          const struct side *b) {
    double sum = a->sum + b->sum, df = a->df + b->df;
    double own = (OWN_DF * class->variance + sum) / (OWN_DF + df);
    if (is_far_apart(a, class->usual) || is_far_apart(b, class->usual))
        own = sum / df;
    return fmax(own, class->variance);
}

/* How far each run lies from the others of its row, which take the part of a baseline. */
static void find_worst(const struct kb_timing *t, enum kb_method method,
                       struct spread *classes) {
    const struct side whole = side_of(t), none = {0};
    struct spread *class = &classes[class_of(method, whole.ns)];
    if (is_far_apart(&whole, class->usual))
        return;
    for (int k = 0; t->n_runs > 1 && k < t->n_runs; k++) {
        double others[KB_MAX_RUNS] = {0};
        int n = 0;
        for (int i = 0; i < t->n_runs; i++)
            if (i != k)
                others[n++] = t->runs_ns[i];
        const struct kb_timing rest = {
            .median_ns = others[0], .runs_ns = others, .n_runs = n};
        struct side s = side_of(&rest);
        double sd = sqrt(variance_of(class, &s, &none) * (1 + median_factor(n)));
        class->worst = fmax(class->worst, fabs(log(t->runs_ns[k] / s.ns)) / sd);
    }
}

/* ---- pairs -----------------------------------------------------------------------------
 */

/* Quantiles are slow, and few pairs differ in their degrees of freedom. */
struct quantile {
    double df, t;
};

static double quantile(struct quantile *last, double tail, double df) {
    if (last->df != df)
        *last = (struct quantile){df, kb_student_quantile(tail, df)};
    return last->t;
}

static void shift_of(struct kb_pair *pair, const struct spread *classes,
                     struct quantile *half) {
    struct side a = side_of(pair->ta), b = side_of(pair->tb);
    const struct spread *class = &classes[class_of(pair->method, a.ns)];
    struct kb_shift *s = &pair->shift;
    double df = class->df, variance = variance_of(class, &a, &b);
    double between = variance * (median_factor(a.runs) + median_factor(b.runs));
    double within = a.se * a.se + b.se * b.se;
    double sd = sqrt(between + within), shift = log(b.ns / a.ns);
    double t = quantile(half, 0.025, df);
    s->a_ns = a.ns;
    s->b_ns = b.ns;
    s->ratio = b.ns / a.ns - 1;
    s->low = expm1(shift - t * sd);
    s->high = expm1(shift + t * sd);
    s->sd = sd;
    s->df = df;
    s->within = t * sqrt(within);
    s->between = t * sqrt(between);
    s->slower_p = kb_student_tail(shift / sd, df);
    s->differ_p = 2 * kb_student_tail(fabs(shift) / sd, df);
    s->rank_p = kb_rank_test(pair->ta->samples_ns, pair->ta->n_samples,
                             pair->tb->samples_ns, pair->tb->n_samples);
    s->worst = class->worst;
    s->detectable = NAN;
}

static bool rotates_in_full(const struct kb_timing *t, double l2_bytes) {
    return t->sets >= KB_MAX_SETS ||
           (double)t->footprint_bytes >= KB_ROTATE_TIMES_L2 * l2_bytes;
}

bool kb_timings_rotate_alike(const struct kb_timing *a, double a_l2_bytes,
                             const struct kb_timing *b, double b_l2_bytes) {
    double x = (double)a->footprint_bytes, y = (double)b->footprint_bytes;
    if (!a->sets || !b->sets || a->sets == b->sets || fabs(x - y) <= 0.1 * fmax(x, y))
        return true;
    return rotates_in_full(a, a_l2_bytes) && rotates_in_full(b, b_l2_bytes);
}

/* Whether `t` is a time that may be looked at; if not, pair->why says why not. */
static bool is_usable(const struct kb_timing *t, const char *whose, struct kb_pair *pair,
                      struct kb_arena *arena) {
    double bad;
    if (!kb_timing_is_valid(t, &bad)) {
        pair->why = isnan(bad) ? kb_arena_printf(arena, "the %s time is null", whose)
                               : kb_arena_printf(arena, "the %s time is %g ns", whose, bad);
        return false;
    }
    if (t->quality == KB_Q_SUSPECT) {
        pair->why = kb_arena_printf(
            arena, "the %s time is suspect, of what its quality_why says", whose);
        return false;
    }
    return true;
}

/* What a kernel takes at the power limit and what it takes under it are two things. */
static bool is_paced_alike(const struct kb_pairs *pairs, struct kb_pair *pair,
                           struct kb_arena *arena) {
    double a = pair->ta->duty, b = pair->tb->duty;
    if (a == b)
        return true;
    pair->why = kb_arena_printf(
        arena, "the %s time is at a duty of %.3g %%, the %s time at %.3g %%", pairs->b_word,
        100 * b, pairs->a_word, 100 * a);
    return false;
}

static double l2_of(const struct kb_side *side, const struct kb_entry *entry) {
    const struct kb_machine *machine = kb_loaded_machine(side->report, entry);
    return machine ? machine->l2_bytes : (double)NAN;
}

/* Buffers that the L2 holds, by --sets, are another thing than those that it does not. In
 * one report that was the same for all: variants may have scratch besides. */
static bool is_rotated_alike(const struct kb_pairs *pairs, struct kb_pair *pair,
                             struct kb_arena *arena) {
    const struct kb_timing *a = pair->ta, *b = pair->tb;
    if (pairs->a.report == pairs->b.report ||
        kb_timings_rotate_alike(a, l2_of(&pairs->a, pair->a), b, l2_of(&pairs->b, pair->b)))
        return true;
    pair->why = kb_arena_printf(
        arena, "the %s time is over %lld buffer set%s (%s), the %s time over %lld (%s)",
        pairs->b_word, (long long)b->sets, b->sets == 1 ? "" : "s",
        kb_cell_bytes((double)b->footprint_bytes).text, pairs->a_word, (long long)a->sets,
        kb_cell_bytes((double)a->footprint_bytes).text);
    return false;
}

static bool is_timed(const struct kb_pairs *pairs, struct kb_pair *pair,
                     struct kb_arena *arena) {
    if (!pair->a || !pair->b || !pair->ta || !pair->tb)
        return false;
    pair->invalid = !is_usable(pair->tb, pairs->b_word, pair, arena) ||
                    !is_usable(pair->ta, pairs->a_word, pair, arena) ||
                    !is_paced_alike(pairs, pair, arena) ||
                    !is_rotated_alike(pairs, pair, arena);
    return !pair->invalid;
}

bool kb_pair_is_disturbed(struct kb_pair *pair, struct kb_arena *arena,
                          const struct kb_pairs *pairs) {
    enum kb_quality a = pair->ta->quality, b = pair->tb->quality;
    bool disturbs_a = a == KB_Q_THROTTLED || a == KB_Q_CONTENDED;
    bool disturbs_b = b == KB_Q_THROTTLED || b == KB_Q_CONTENDED;
    if (disturbs_a == disturbs_b)
        return false;
    pair->why = kb_arena_printf(arena, "the %s time alone is %s",
                                disturbs_a ? pairs->a_word : pairs->b_word,
                                kb_quality_word(disturbs_a ? a : b));
    return true;
}

/* What is usual between runs, by class, then what it is without those that are far apart.
 */
static void learn(struct kb_pairs *pairs, const bool *timed, struct kb_arena *arena,
                  struct spread *classes) {
    struct gathered gathered[CLASSES] = {{0}};
    for (int c = 0; c < CLASSES; c++)
        gathered[c].variances = kb_arena_array(arena, 2 * pairs->n + 1, sizeof(double));
    for (size_t i = 0; i < pairs->n; i++) {
        const struct kb_pair *pair = &pairs->items[i];
        if (timed[i])
            note_variance(pair->ta, pair->method, gathered);
        if (timed[i] && !pairs->spread_of_a)
            note_variance(pair->tb, pair->method, gathered);
    }
    for (int c = 0; c < CLASSES; c++)
        if (gathered[c].n_variances)
            gathered[c].usual =
                kb_middle_of(gathered[c].variances, gathered[c].n_variances);
    pairs->far_apart = 0;
    for (size_t i = 0; i < pairs->n; i++) {
        const struct kb_pair *pair = &pairs->items[i];
        bool taken = !timed[i] || gather(pair->ta, pair->method, gathered);
        if (timed[i] && !pairs->spread_of_a)
            taken = gather(pair->tb, pair->method, gathered) && taken;
        pairs->far_apart += !taken;
    }
    for (int c = 0; c < CLASSES; c++)
        classes[c] = spread_of(&gathered[c], assumed[c]);
}

void kb_pairs_shift(struct kb_pairs *pairs, struct kb_arena *arena) {
    struct spread classes[CLASSES];
    struct quantile half = {0};
    bool *timed = kb_arena_array(arena, pairs->n + 1, sizeof *timed);
    for (size_t i = 0; i < pairs->n; i++)
        timed[i] = is_timed(pairs, &pairs->items[i], arena);
    learn(pairs, timed, arena, classes);
    for (size_t i = 0; i < pairs->n; i++) {
        const struct kb_pair *pair = &pairs->items[i];
        if (!timed[i])
            continue;
        find_worst(pair->ta, pair->method, classes);
        if (!pairs->spread_of_a)
            find_worst(pair->tb, pair->method, classes);
    }
    for (size_t i = 0; i < pairs->n; i++)
        if (timed[i])
            shift_of(&pairs->items[i], classes, &half);
}

bool kb_pair_is_timed(const struct kb_pair *pair) {
    return pair->ta && pair->tb && pair->a && pair->b && !pair->invalid;
}

/* What it would take for the half-width to be `target`. */
static void set_wants(struct kb_shift *s, const struct kb_timing *b, double target) {
    double left = target * target - s->between * s->between;
    double launches = (double)b->n * s->within * s->within / left;
    int runs = b->n_runs > 1 ? b->n_runs : 1;
    if (left > 0 && launches > (double)b->n && launches < 1e12)
        s->wants_n = (int64_t)ceil(launches);
    else if (left <= 0)
        s->wants_runs = (int)fmin(ceil(runs * pow(s->between / target, 2)), 999);
}

void kb_shift_plan(struct kb_power *power, const struct kb_timing *b,
                   struct kb_shift *shift) {
    if (power->df != shift->df) {
        power->df = shift->df;
        power->needed = kb_student_quantile(power->significant_p, shift->df);
        power->found = kb_student_quantile(0.05, shift->df);
    }
    double deviations = fmax(power->needed, power->worst_factor * shift->worst);
    double least = fmax(deviations * shift->sd, log1p(power->limit));
    shift->detectable = expm1(least + power->found * shift->sd);
    set_wants(shift, b, power->limit / 2);
}

/* ---- the verdicts of kbench diff -------------------------------------------------------
 */

static const double false_share = 0.05, least_shift = 0.01, same_within = 0.02;

static enum kb_speed_verdict judge(const struct kb_pair *pair, double significant_p) {
    const struct kb_shift *s = &pair->shift;
    bool ranked = isnan(s->rank_p) || s->rank_p <= 0.05;
    double size = s->ratio > 0 ? s->ratio : s->a_ns / s->b_ns - 1; /* as seen from B */
    if (pair->same_code)
        return KB_IDENTICAL;
    if (s->differ_p <= significant_p && ranked && size >= least_shift)
        return s->ratio > 0 ? KB_SLOWER : KB_FASTER;
    if (log1p(s->high) <= log1p(same_within) && log1p(s->low) >= -log1p(same_within))
        return KB_SAME;
    return KB_UNCLEAR;
}

void kb_pairs_judge(struct kb_pairs *pairs, struct kb_arena *arena) {
    double *p = kb_arena_array(arena, pairs->n + 1, sizeof *p);
    size_t n = 0;
    for (size_t i = 0; i < pairs->n; i++)
        if (kb_pair_is_timed(&pairs->items[i]))
            p[n++] = pairs->items[i].shift.differ_p;
    double significant = kb_significant_p(p, n, false_share);
    struct kb_power power = {.limit = same_within, .significant_p = significant / 2};
    for (size_t i = 0; i < pairs->n; i++) {
        struct kb_pair *pair = &pairs->items[i];
        if (!kb_pair_is_timed(pair))
            continue;
        pair->speed = judge(pair, significant);
        kb_shift_plan(&power, pair->tb, &pair->shift);
        if ((pair->speed == KB_SLOWER || pair->speed == KB_FASTER) &&
            kb_pair_is_disturbed(pair, arena, pairs))
            pair->speed = KB_UNCLEAR;
    }
}
