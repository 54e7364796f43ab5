/* shrink_sizes.c - which sizes of a failing case's axes to try.
 *
 * Sizes are tried from the smallest on: such cases take no time, and most faults show at a
 * few rows or columns. What lies between the largest size that passes and one that fails is
 * halved, then counted down one by one, so that the case next to the result is known to
 * pass. */
#include "shrink.h"

#include <stdlib.h>
#include <string.h>

enum {
    SIZES_MAX = 256, /* of an axis */
    SMALL = 20,      /* sizes up to here are all tried */
    FIRST_LOOK = 4,  /* sizes of an axis before the others are looked at */
    AWAY_MAX = 32,   /* how far from a size to look for a legal one */
};

static int by_size(const void *a, const void *b) {
    int64_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* Sizes below `n`, ascending: all small ones, powers of two and their neighbours, halves.
 */
static int sizes_below(int64_t n, int64_t sizes[SIZES_MAX]) {
    int count = 0, kept = 0;

    for (int64_t i = 1; i <= SMALL; i++)
        sizes[count++] = i;
    for (int64_t power = 32; power < n && count < SIZES_MAX - 70; power *= 2)
        for (int64_t i = power - 1; i <= power + 1; i++)
            sizes[count++] = i;
    for (int64_t half = n / 2; half > SMALL && count < SIZES_MAX; half /= 2)
        sizes[count++] = half;
    qsort(sizes, (size_t)count, sizeof *sizes, by_size);
    for (int i = 0; i < count; i++)
        if (sizes[i] < n && (kept == 0 || sizes[i] != sizes[kept - 1]))
            sizes[kept++] = sizes[i];
    return kept;
}

static enum outcome try_size(struct shrinker *s, int axis, int64_t size) {
    struct kb_case c = s->best;

    c.shape[axis] = size;
    return kb_shrink_try(s, c, true);
}

/* The first size that fails, of at most `max` that were run. Returns the largest below it
 * that passes, 0: none. */
static int64_t smallest_size(struct shrinker *s, int axis, int max) {
    int64_t sizes[SIZES_MAX], passed = 0;
    int n = sizes_below(s->best.shape[axis], sizes);

    for (int i = 0; i < n && max > 0 && !s->over; i++) {
        enum outcome outcome = try_size(s, axis, sizes[i]);
        if (outcome == FAILS)
            break;
        if (outcome == PASSES || outcome == FAILS_WHOLE)
            passed = sizes[i];
        max -= outcome >= PASSES;
    }
    return passed;
}

/* A size that is one, nearest to the middle between two. */
static enum outcome try_between(struct shrinker *s, int axis, int64_t low, int64_t high,
                                int64_t *size) {
    int64_t middle = low + (high - low) / 2;

    for (int64_t away = 0; away < AWAY_MAX; away++)
        for (int side = 0; side < 2; side++) {
            *size = side ? middle - away : middle + away;
            if (*size <= low || *size >= high)
                continue;
            enum outcome outcome = try_size(s, axis, *size);
            if (outcome >= PASSES)
                return outcome;
        }
    return ILLEGAL;
}

/* Halve what lies between a size that does not fail so and the best, which does. */
static void halve(struct shrinker *s, int axis, int64_t passed) {
    enum outcome outcome = PASSES;

    while (outcome != ILLEGAL && outcome != NO_TIME) {
        int64_t size;
        outcome = try_between(s, axis, passed, s->best.shape[axis], &size);
        if (outcome == PASSES || outcome == FAILS_WHOLE)
            passed = size;
    }
}

/* The first few sizes of each axis, before any of them is looked through: the others are
 * then tried with little to compute. */
bool kb_shrink_smaller_axes(struct shrinker *s) {
    struct kb_case before = s->best;

    for (int axis = 0; axis < s->best.rank && !s->over; axis++)
        smallest_size(s, axis, FIRST_LOOK);
    for (int axis = 0; axis < s->best.rank && !s->over; axis++)
        halve(s, axis, smallest_size(s, axis, SIZES_MAX));
    return memcmp(before.shape, s->best.shape, sizeof before.shape) != 0;
}

bool kb_shrink_count_down(struct shrinker *s) {
    for (int axis = s->best.rank - 1; axis >= 0 && !s->over; axis--) {
        struct kb_case c = s->best;
        enum outcome outcome = ILLEGAL;
        for (int i = 0; i < AWAY_MAX && c.shape[axis] > 1 && outcome < PASSES; i++) {
            c.shape[axis]--;
            outcome = kb_shrink_try(s, c, true);
        }
        if (outcome == FAILS)
            return true;
        if (outcome == PASSES && !s->found.passes)
            s->found.passes = kb_case_id(&c, s->arena);
    }
    return false;
}

void kb_shrink_count_up(struct shrinker *s) {
    for (int axis = s->best.rank - 1; axis >= 0 && !s->found.passes; axis--) {
        struct kb_case c = s->best;
        for (int i = 0; i < AWAY_MAX && !s->found.passes && !s->over; i++) {
            c.shape[axis]++;
            if (kb_shrink_try(s, c, false) == PASSES)
                s->found.passes = kb_case_id(&c, s->arena);
        }
    }
}
