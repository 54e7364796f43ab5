/* pair.c - A against B: the ratio of their times, its bootstrap interval, the test behind a
 * verdict, the verdict. See speed.h for what is assumed. */
#include "speed.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RESAMPLES = 2000, EXACT_MAX = 512, FEWEST = 6 };
#define MARGIN 0.01
#define RUN_LEVEL 0.001 /* of runs of equal builds may have a row that differs */
enum { ROWS_ASSUMED = 100 };

static const char *const words[] = {
#define X(id, word, help) [id] = word,
    KB_SPEEDS(X)
#undef X
};

const char *kb_speed_word(enum kb_speed_verdict verdict) {
    return words[verdict];
}

const char *kb_speed_help(enum kb_speed_verdict verdict) {
    static const char *const helps[] = {
#define X(id, word, help) [id] = help,
        KB_SPEEDS(X)
#undef X
    };
    return helps[verdict];
}

bool kb_speed_parse(const char *word, enum kb_speed_verdict *out) {
    for (size_t i = 0; i < KB_COUNT(words); i++) {
        if (*words[i] && kb_streq(words[i], word)) {
            *out = (enum kb_speed_verdict)i;
            return true;
        }
    }
    return false;
}

/* ---- the rule -------------------------------------------------------------------------
 */

struct kb_speed_rule kb_speed_rule_for(int64_t rows) {
    double n = rows > ROWS_ASSUMED ? (double)rows : ROWS_ASSUMED;

    return (struct kb_speed_rule){.margin = MARGIN, .level = RUN_LEVEL / n};
}

enum kb_speed_verdict kb_speed_judge(const struct kb_speed *s,
                                     const struct kb_speed_rule *rule) {
    double most = 1 + rule->margin, least = 1 / most;

    if (!s->there)
        return KB_NOT_COMPARED;
    if (!isfinite(s->low) || !isfinite(s->high))
        return KB_UNCLEAR;
    bool differs = s->p <= rule->level; /* not where it is not known */
    if (differs && s->ratio > most)
        return KB_SLOWER;
    if (differs && s->ratio < least)
        return KB_FASTER;
    return s->low >= least && s->high <= most ? KB_SAME : KB_UNCLEAR;
}

void kb_speed_widen(struct kb_speed *speed, double tick) {
    if (isnan(speed->low) || isnan(speed->high)) /* which fmin and fmax take for nothing */
        return;
    speed->low = fmin(speed->low, speed->ratio / (1 + tick));
    speed->high = fmax(speed->high, speed->ratio * (1 + tick));
}

/* What 97.5 % of Student's distribution lie below: by Cornish and Fisher's expansion, but
 * for few degrees of freedom, at which it is too little. */
static double student(int64_t degrees) {
    static const double few[] = {12.7062, 4.3027, 3.1824};
    const double z = 1.959964, z2 = z * z, f = (double)degrees;

    if (degrees <= (int64_t)KB_COUNT(few))
        return few[degrees - 1];
    return z + z * (z2 + 1) / (4 * f) + z * ((5 * z2 + 16) * z2 + 3) / (96 * f * f) +
           z * (((3 * z2 + 19) * z2 + 17) * z2 - 15) / (384 * f * f * f);
}

void kb_speed_widen_grouped(struct kb_speed *speed, const double *a_ns, const double *b_ns,
                            int64_t each) {
    int64_t groups = speed->n / each;
    double sum = 0, squares = 0;

    if (isnan(speed->low) || isnan(speed->high) || groups < 2)
        return;
    for (int64_t k = 0; k < groups; k++) {
        double mean = 0;
        for (int64_t i = k * each; i < (k + 1) * each; i++)
            mean += log(b_ns[i] / a_ns[i]) / (double)each;
        sum += mean;
        squares += mean * mean;
    }
    double n = (double)groups, spread = fmax(squares - sum * sum / n, 0) / (n - 1);
    double half = student(groups - 1) * sqrt(spread / n);
    speed->low = fmin(speed->low, speed->ratio * exp(-half));
    speed->high = fmax(speed->high, speed->ratio * exp(half));
}

/* ---- orders ---------------------------------------------------------------------------
 */

void kb_speed_order(uint64_t seed, int64_t block, int n, int *order) {
    uint32_t random[4];

    for (int i = 0; i < n; i++)
        order[i] = i;
    for (int i = n - 1; i > 0; i--) { /* each permutation with the same chance */
        kb_philox(seed, (uint64_t)block, (uint64_t)i, random);
        int k = (int)((uint64_t)random[0] * (uint64_t)(i + 1) >> 32);
        int other = order[k];
        order[k] = order[i];
        order[i] = other;
    }
    for (int i = 0; i < n; i++)
        order[2 * n - 1 - i] = order[i];
}

/* ---- the middle half, and how far it may be off ---------------------------------------
 */

/* Mean of the middle half of values that are sorted, each there `times` times (NULL: once):
 * as steady as a median where some values are far off, and not as coarse. */
static double middle_mean(const double *sorted, const int *times, int64_t n,
                          int64_t total) {
    double from = (double)total / 4, to = (double)total - from, at = 0, sum = 0;

    for (int64_t i = 0; i < n && at < to; i++) {
        double next = at + (times ? times[i] : 1);
        double share = fmin(next, to) - fmax(at, from);
        if (share > 0)
            sum += share * sorted[i];
        at = next;
    }
    return sum / (to - from);
}

static void *array_of(int64_t n, size_t size) {
    void *array = calloc((size_t)n, size);

    if (!array)
        kb_out_of_memory();
    return array;
}

struct draw { /* whole numbers, four from each block of Philox */
    uint64_t key, stream, count;
    uint32_t words[4];
};

static int64_t draw_below(struct draw *d, int64_t n) {
    if (d->count % 4 == 0)
        kb_philox(d->key, d->stream, d->count / 4, d->words);
    return (int64_t)((uint64_t)d->words[d->count++ % 4] * (uint64_t)n >> 32);
}

/* The value that a share `q` of the resamples lies below. */
static double quantile(const double *sorted, double q) {
    double at = q * (RESAMPLES - 1), whole = floor(at);
    int64_t i = (int64_t)whole;

    return sorted[i] + (at - whole) * (sorted[i + 1 < RESAMPLES ? i + 1 : i] - sorted[i]);
}

/* 95 % of the resampled estimates, which vary less than the estimate itself does by
 * (n-1)/n. */
static void interval_of(double *estimates, double center, int64_t n, struct kb_speed *out) {
    double wider = sqrt((double)n / (double)(n - 1));

    kb_sort(estimates, RESAMPLES);
    out->low = exp(center + wider * (quantile(estimates, 0.025) - center));
    out->high = exp(center + wider * (quantile(estimates, 0.975) - center));
}

static void bootstrap_paired(const double *sorted, int64_t n, uint64_t seed, double center,
                             struct kb_speed *out) {
    double *estimates = array_of(RESAMPLES, sizeof *estimates);
    int *times = array_of(n, sizeof *times);
    struct draw d = {.key = seed, .stream = UINT64_C(1) << 63};

    for (int r = 0; r < RESAMPLES; r++) {
        memset(times, 0, (size_t)n * sizeof *times);
        for (int64_t i = 0; i < n; i++)
            times[draw_below(&d, n)]++;
        estimates[r] = middle_mean(sorted, times, n, n);
    }
    interval_of(estimates, center, n, out);
    free(times);
    free(estimates);
}

/* ---- signed ranks ---------------------------------------------------------------------
 */

struct ranked {
    double size; /* of the difference */
    bool up;
    int twice; /* its rank, doubled: ties share the mean of theirs */
};

static int by_size(const void *a, const void *b) {
    double x = ((const struct ranked *)a)->size, y = ((const struct ranked *)b)->size;

    return (x > y) - (x < y);
}

/* Differences that are not 0, with their ranks. */
static int64_t rank(const double *d, int64_t n, struct ranked *out) {
    int64_t count = 0;

    for (int64_t i = 0; i < n; i++)
        if (d[i] != 0)
            out[count++] = (struct ranked){.size = fabs(d[i]), .up = d[i] > 0};
    qsort(out, (size_t)count, sizeof *out, by_size);
    for (int64_t i = 0; i < count;) {
        int64_t end = i + 1;
        while (end < count && out[end].size <= out[i].size)
            end++;
        for (int64_t k = i; k < end; k++)
            out[k].twice = (int)(i + 1 + end); /* twice the mean of i+1 .. end */
        i = end;
    }
    return count;
}

/* The chance that the ranks of one sign add up to at most `sum`, each sign being as likely
 * as the other: all 2^n ways, counted rank by rank. */
static double tail_exact(const struct ranked *ranked, int64_t n, int64_t sum) {
    double *chance = array_of(sum + 1, sizeof *chance), tail = 0;
    int64_t top = 0;

    chance[0] = 1;
    for (int64_t i = 0; i < n; i++) {
        int64_t twice = ranked[i].twice;
        top = top + twice < sum ? top + twice : sum;
        for (int64_t s = top; s >= 0; s--)
            chance[s] = (chance[s] + (s >= twice ? chance[s - twice] : 0)) / 2;
    }
    for (int64_t s = 0; s <= sum; s++)
        tail += chance[s];
    free(chance);
    return tail;
}

static double tail_normal(const struct ranked *ranked, int64_t n, int64_t sum) {
    double mean = 0, square = 0;

    for (int64_t i = 0; i < n; i++) {
        mean += ranked[i].twice / 2.0;
        square += (double)ranked[i].twice * ranked[i].twice / 4;
    }
    return erfc((mean - (double)sum) / sqrt(2 * square)) / 2;
}

double kb_signed_ranks_p(const double *d, int64_t n) {
    struct ranked *ranked = array_of(n, sizeof *ranked);
    int64_t count = rank(d, n, ranked), up = 0, down = 0;

    for (int64_t i = 0; i < count; i++)
        *(ranked[i].up ? &up : &down) += ranked[i].twice;
    int64_t less = up < down ? up : down;
    double tail = count > EXACT_MAX ? tail_normal(ranked, count, less)
                                    : tail_exact(ranked, count, less);
    free(ranked);
    return fmin(1, 2 * tail);
}

/* ---- a pair --------------------------------------------------------------------------
 */

void kb_speed_paired(const double *a_ns, const double *b_ns, int64_t n, uint64_t seed,
                     struct kb_speed *out) {
    *out = (struct kb_speed){.there = n > 0, NAN, NAN, NAN, NAN, n, KB_NOT_COMPARED};
    if (n < 1)
        return;
    double *d = array_of(n, sizeof *d);
    for (int64_t i = 0; i < n; i++)
        d[i] = log(b_ns[i] / a_ns[i]);
    out->p = kb_signed_ranks_p(d, n);
    kb_sort(d, (size_t)n);
    double center = middle_mean(d, NULL, n, n);
    out->ratio = exp(center);
    if (n >= FEWEST)
        bootstrap_paired(d, n, seed, center, out);
    free(d);
}
