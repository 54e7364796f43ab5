/* localise_inputs.c - a property of the inputs that wrong elements share and right ones do
 * not: a sign, NaN, a number past a limit, an id.
 *
 * Properties are fixed ones (negative, subnormal, ...), and limits: those are told only
 * where they part wrong from right almost without exception. A fixed one may be shared by
 * 90 % of the wrong elements and by many right ones, but not by so many that it may be an
 * accident. */
#include "localise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE = 4096, WRONG_MIN = 8, COUNTED = 1 << 20, VARIED = 16, ROWS_MIN = 3 };
#define MOST 0.9       /* of the wrong ones share a property */
#define PARTS 0.99     /* a limit parts so many of both */
#define EXP_MAX 88     /* from there on exp() overflows fp32, a little later */
#define GUESS_BITS 6.0 /* there are about so many properties, as a power of two */

/* ---- properties ------------------------------------------------------------------------
 */

enum kind {
    IS_NAN,
    IS_INFINITE,
    IS_SUBNORMAL,
    IS_ZERO,
    IS_BELOW, /* value < limit */
    IS_ABOVE,
    IS_FAR, /* |value| > limit */
    IS_NEAR,
    IS_EQUAL,
};

struct property {
    enum kind kind;
    double limit;
    struct kb_source of; /* its name and dtype */
    double wrong, right; /* shares of those that have it */
};

static bool has(const struct property *p, double v) {
    switch (p->kind) {
    case IS_NAN:
        return isnan(v);
    case IS_INFINITE:
        return isinf(v);
    case IS_SUBNORMAL:
        return v != 0 && fabs(v) < kb_ulp(p->of.dtype, 0) / kb_ulp(p->of.dtype, 1);
    case IS_ZERO:
        return v == 0;
    case IS_BELOW:
        return v < p->limit;
    case IS_ABOVE:
        return v > p->limit;
    case IS_FAR:
        return fabs(v) > p->limit;
    case IS_NEAR:
        return fabs(v) < p->limit;
    case IS_EQUAL:
    default:
        return v == p->limit;
    }
}

static void property_words(const struct property *p, struct kb_buf *out) {
    static const char *const words[] = {
        [IS_NAN] = " is NaN",
        [IS_INFINITE] = " is infinite",
        [IS_SUBNORMAL] = " is subnormal",
        [IS_ZERO] = " is 0",
        [IS_BELOW] = " < ",
        [IS_ABOVE] = " > ",
        [IS_FAR] = " > ",
        [IS_NEAR] = " < ",
        [IS_EQUAL] = " is ",
    };
    bool bars = p->kind == IS_FAR || p->kind == IS_NEAR;

    kb_buf_printf(out, "%s%s%s%s", bars ? "|" : "", p->of.name, bars ? "|" : "",
                  words[p->kind]);
    if (p->kind >= IS_BELOW)
        kb_buf_printf(out, "%.9g", p->limit);
}

/* ---- the elements that are looked at ----------------------------------------------------
 */

struct group {
    double *values; /* of one source after the other, `n` each */
    int64_t n, of;  /* of: elements of this kind in all */
    int64_t rows;   /* that those looked at lie in */
};
struct looked {
    struct group wrong, right;
    struct kb_source sources[KB_MAX_SOURCES]; /* names and dtypes */
    int n_sources;
};

static void look(const struct kb_compare_args *args, const struct kb_mask *mask, bool wrong,
                 struct looked *l) {
    struct group *g = wrong ? &l->wrong : &l->right;
    int64_t *places = calloc(SAMPLE, sizeof *places);

    g->of = wrong ? mask->wrong : mask->set.n - mask->wrong;
    g->values = calloc((size_t)SAMPLE * KB_MAX_SOURCES, sizeof *g->values);
    if (!places || !g->values)
        kb_out_of_memory();
    int64_t n = kb_set_sample(&mask->set, wrong, g->of, SAMPLE, places), row = -1;
    for (int64_t i = 0; i < n; i++) {
        int n_sources = kb_problem_sources(args->problem, args->in, args->tensor,
                                           kb_mask_flat(mask, places[i]), l->sources);
        if (!n_sources) /* no result, but what lies between */
            continue;
        l->n_sources = n_sources;
        g->rows += places[i] / mask->columns != row;
        row = places[i] / mask->columns;
        for (int s = 0; s < n_sources; s++)
            g->values[s * SAMPLE + g->n] = l->sources[s].value;
        g->n++;
    }
    free(places);
}

static double share_of(const struct group *g, int source, const struct property *p) {
    int64_t n = 0;

    for (int64_t i = 0; i < g->n; i++)
        n += has(p, g->values[source * SAMPLE + i]);
    return g->n ? (double)n / (double)g->n : 0;
}

/* ---- limits ----------------------------------------------------------------------------
 */

/* |x| or x, without NaN, sorted; returns how many. */
static int64_t sorted_values(const struct group *g, int source, bool absolute,
                             double *out) {
    int64_t n = 0;

    for (int64_t i = 0; i < g->n; i++) {
        double v = g->values[source * SAMPLE + i];
        if (!isnan(v))
            out[n++] = absolute ? fabs(v) : v;
    }
    kb_sort(out, (size_t)n);
    return n;
}

/* The number with the fewest digits in (low, high], or one that is known for something. */
static double short_number(double low, double high) {
    double scale, number, size = fmax(fabs(low), fabs(high));

    if (low < 0 && high >= 0)
        return 0;
    if (low < EXP_MAX && high >= EXP_MAX)
        return EXP_MAX;
    if (low < -EXP_MAX && high >= -EXP_MAX)
        return -EXP_MAX;
    for (int digits = 1; digits < 9; digits++) {
        scale = pow(10, digits - 1 - floor(log10(size)));
        number = floor(high * scale) / scale;
        if (number > low && number <= high)
            return number;
    }
    return high;
}

/* Whether all but the first 1 % of `above` are above all but the last 1 % of `below`, both
 * sorted: then there is room for a limit in (*low, *high]. */
static bool is_parted(const double *below, int64_t n_below, const double *above,
                      int64_t n_above, double *low, double *high) {
    int64_t skip_below = (int64_t)((1 - PARTS) * (double)n_below);
    int64_t skip_above = (int64_t)((1 - PARTS) * (double)n_above);

    if (n_below == 0 || n_above == 0)
        return false;
    *low = below[n_below - 1 - skip_below];
    *high = above[skip_above];
    return *low < *high && isfinite(*low) && isfinite(*high);
}

/* Whether wrong and right are parted by a limit of the source's value or its size. */
static bool find_limit(const struct looked *l, int source, struct property *p) {
    double *wrong = calloc(SAMPLE, sizeof *wrong), *right = calloc(SAMPLE, sizeof *right);
    bool found = false;

    if (!wrong || !right)
        kb_out_of_memory();
    for (int absolute = 0; absolute < 2 && !found; absolute++) {
        int64_t n_wrong = sorted_values(&l->wrong, source, absolute, wrong);
        int64_t n_right = sorted_values(&l->right, source, absolute, right);
        double low, high;
        if (is_parted(wrong, n_wrong, right, n_right, &low, &high)) {
            p->kind = absolute ? IS_NEAR : IS_BELOW;
            p->limit = short_number(low, high);
        } else if (is_parted(right, n_right, wrong, n_wrong, &low, &high)) {
            p->kind = absolute ? IS_FAR : IS_ABOVE;
            p->limit = -short_number(-high, -low);
        } else {
            continue;
        }
        p->wrong = share_of(&l->wrong, source, p);
        p->right = share_of(&l->right, source, p);
        found = p->wrong >= PARTS && p->right <= 1 - PARTS;
    }
    free(wrong);
    free(right);
    return found;
}

/* ---- fixed properties
 * -------------------------------------------------------------------- */

/* How surprising the share among the wrong ones is, if it were that of all. */
static double surprise(const struct looked *l, const struct property *p) {
    double all = (double)l->wrong.of + (double)l->right.of, n = (double)l->wrong.n;
    double expected =
        (p->wrong * (double)l->wrong.of + p->right * (double)l->right.of) / all;
    double with = p->wrong, without = 1 - p->wrong, bits = 0;

    if (with > 0)
        bits += with * log2(with / expected);
    if (without > 0)
        bits += without * log2(without / fmax(1 - expected, 1e-9));
    return n * bits;
}

static void offer(const struct looked *l, int source, struct property p,
                  struct property *best, bool *found) {
    p.wrong = share_of(&l->wrong, source, &p);
    p.right = share_of(&l->right, source, &p);
    if (p.wrong < MOST || 1.3 * p.right > p.wrong ||
        surprise(l, &p) < KB_EVIDENCE + GUESS_BITS)
        return;
    if (*found && best->wrong - best->right >= p.wrong - p.right)
        return;
    *best = p;
    *found = true;
}

/* Whether there are enough different ones to tell: of rows that are one number each, a few
 * are parted by any limit, and one row by its own id. */
static bool is_varied(const struct looked *l, int source) {
    double seen[VARIED];
    int n = 0;

    if (!kb_dtype_is_float(l->sources[source].dtype))
        return l->wrong.rows >= ROWS_MIN;
    for (int side = 0; side < 2; side++) {
        const struct group *g = side ? &l->right : &l->wrong;
        for (int64_t i = 0; i < g->n && n < VARIED; i++) {
            double v = g->values[source * SAMPLE + i];
            int k = 0;
            while (k < n && seen[k] != v)
                k++;
            if (k == n && !isnan(v))
                seen[n++] = v;
        }
    }
    return n == VARIED;
}

static bool find_property(const struct looked *l, struct property *best) {
    bool found = false;

    for (int s = 0; s < l->n_sources; s++) {
        struct property p = {.of = l->sources[s]};
        if (!is_varied(l, s))
            continue;
        bool is_float = kb_dtype_is_float(p.of.dtype);
        for (int kind = IS_NAN; kind <= IS_ABOVE; kind++) {
            p.kind = (enum kind)kind;
            if (is_float)
                offer(l, s, p, best, &found);
        }
        p.kind = IS_EQUAL;
        for (int64_t i = 0; !is_float && i < 16 && i < l->wrong.n; i++) {
            p.limit = l->wrong.values[s * SAMPLE + i];
            offer(l, s, p, best, &found);
        }
        if (find_limit(l, s, &p) &&
            (!found || p.wrong - p.right > best->wrong - best->right)) {
            *best = p;
            found = true;
        }
    }
    return found;
}

/* ---- words
 * ------------------------------------------------------------------------------- */

/* How many of the wrong ones and of the right ones have it. */
static void count_all(const struct kb_compare_args *args, const struct kb_mask *mask,
                      const struct property *p, int source, int64_t n[2]) {
    struct kb_source sources[KB_MAX_SOURCES];

    n[0] = n[1] = 0;
    for (int64_t place = 0; place < mask->set.n; place++) {
        int n_sources = kb_problem_sources(args->problem, args->in, args->tensor,
                                           kb_mask_flat(mask, place), sources);
        if (source < n_sources)
            n[kb_set_has(&mask->set, place)] += has(p, sources[source].value);
    }
}

static void share_words(const struct kb_compare_args *args, const struct kb_mask *mask,
                        const struct looked *l, const struct property *p,
                        struct kb_buf *out) {
    bool counted = mask->set.n <= COUNTED;
    int64_t n[2] = {-1, -1};

    for (int s = 0; s < l->n_sources && counted; s++)
        if (l->sources[s].name == p->of.name)
            count_all(args, mask, p, s, n);
    double share = counted ? (double)n[1] / (double)mask->wrong : p->wrong;
    if (n[1] == mask->wrong)
        kb_buf_printf(out, "all of them%s where ", n[0] ? "" : ", and no others,");
    else if (share > 0.99)
        kb_buf_puts(out, "over 99 % of them where ");
    else
        kb_buf_printf(out, "%.0f %% of them where ", floor(100 * share));
    property_words(p, out);
}

void kb_mask_inputs(const struct kb_compare_args *args, const struct kb_mask *mask,
                    struct kb_arena *arena, struct kb_local *out) {
    struct looked l = {.n_sources = 0};
    struct property best;
    struct kb_buf text = {0};

    if (mask->wrong < WRONG_MIN || mask->wrong == mask->set.n)
        return;
    look(args, mask, true, &l);
    look(args, mask, false, &l);
    /* Rows and columns say enough, unless the input parts right from wrong altogether. */
    bool found =
        find_property(&l, &best) && (out->pattern == KB_P_SCATTERED ||
                                     (best.wrong >= PARTS && best.right <= 1 - PARTS));
    if (found) {
        share_words(args, mask, &l, &best, &text);
        out->inputs = kb_arena_strdup(arena, kb_buf_text(&text));
    }
    kb_buf_free(&text);
    free(l.wrong.values);
    free(l.right.values);
}
