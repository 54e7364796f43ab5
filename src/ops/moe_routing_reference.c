/* moe_routing_reference.c - the selection by sorted bits, the softmax in double, and how
 * far a right kernel's weights may be from it. The formula is in moe_routing.c.
 *
 * Selection. Ids have one right answer and are compared as bits; the order is that of
 * integers, so that no comparison of floats has a say. With ties=any an id whose logit is
 * unlike all others has one answer still, and those of equal logits lie between the first
 * and the last of them; the weights decide, which are wrong by any measure where the
 * kernel's id has another logit or is there twice.
 *
 * Bound. With e = 2^-24, the relative error of one rounding, and x[j] = l[j] - m, which is
 * 0 or less, a right kernel is off by no more than
 *     exp     e (4 + 4|x|): 2 ulp of exp. The rounding of x, of its product with log2 e
 *             and of that constant count |x| times each, and the fast exponential is
 *             off by 1.2 ulp more for each 1 of |x|.
 *     sum     the errors of its terms by their shares, and e for each of n - 1
 *             additions, in any order: n is topk, or all experts with norm=all.
 *     p / d   4e: 2 ulp of a division, or a reciprocal and a product.
 *     scale   2e for the product, and 2^-148, two subnormal steps.
 *     tiny    three times a number below 2^-125: each step may flush it.
 *     scaled  (norm) the errors of all weights by their shares, and 4e for the second
 *             division. Where their sum is within its own error of 0, kernels differ
 *             even in sign: not judged.
 *     eager   (mode) in a 16-bit dtype, in place of all that: three times what the
 *             rounded product moves when p / d is off by its error, which is nothing
 *             unless a midpoint of the dtype's grid is that near. The product is exact
 *             in fp32. fast_math_factor multiplies the bound after the fact, when a
 *             midpoint is near more often: where only the larger error reaches one,
 *             the step divided by the factor counts.
 *
 * Figures. The worst share of the bound that right kernels took, over 2000 seeds of 4x40,
 * every dtype and fill, no alarm among them: 0.38 where exp is 2 ulp off, 0.41 with
 * scale=before; a third of a step, or nothing, in mode=eager of 16 bits. Ids of ties=any
 * take up to 0.97 of theirs, which is the range of equal logits. (`make controls`.)
 *
 * An infinite scale shows whether p / d is 0 in fp32: 0 * inf is NaN. Below 2^-125 it may
 * be or not, so that nothing is judged there. */
#include "ops/moe_routing.h"

#include <math.h>
#include <string.h>

enum { MAX = KB_ROUTE_TOPK_MAX };

static const double eps = 0x1p-24;        /* one rounding in fp32, relative */
static const double steps = 0x1p-148;     /* two subnormal steps of fp32 */
static const double flushable = 0x1p-125; /* what is below may be 0 */

/* A number, and how far a right kernel's may be from it. */
struct near {
    double value, err;
};

/* What a row of the logits and its scale come to. */
struct row {
    const struct kb_routing *r;
    const void *logits, *scale; /* scale NULL: none */
    int64_t first;              /* its first element's index */
    uint64_t best[MAX];         /* keys, the best first */
};

/* ---- the order -------------------------------------------------------------------------
 */

static double logit_of(const struct row *row, int64_t expert) {
    return kb_decode(row->r->dtype,
                     kb_bits_at(row->r->dtype, row->logits, row->first + expert));
}

static double scale_of(const struct row *row, int64_t expert) {
    return row->scale ? kb_decode(row->r->scale_dtype,
                                  kb_bits_at(row->r->scale_dtype, row->scale, expert))
                      : 1;
}

/* What the softmax is of: the logit, or with scale=before the product in fp32. */
static double score_of(const struct row *row, int64_t expert) {
    double logit = logit_of(row, expert);
    return row->r->scale == KB_SCALE_BEFORE ? (float)(logit * scale_of(row, expert))
                                            : logit;
}

/* Larger for larger numbers. */
static uint32_t sortable(uint32_t bits) {
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

/* Products that are NaN have no sign or payload that all machines agree on. */
static uint32_t order_of(const struct row *row, int64_t expert) {
    enum kb_dtype dtype = row->r->dtype;
    if (row->r->scale == KB_SCALE_BEFORE) {
        double score = score_of(row, expert);
        return sortable(isnan(score) ? 0x7fffffffu : kb_encode(KB_FP32, score));
    }
    return sortable(kb_bits_at(dtype, row->logits, row->first + expert)
                    << (32 - 8 * kb_dtype_bytes(dtype)));
}

static int64_t expert_of(const struct kb_routing *r, uint64_t key) {
    uint32_t place = (uint32_t)key;
    return r->ties == KB_TIES_HIGH ? place : ~place;
}

static void select_best(struct row *row) {
    const struct kb_routing *r = row->r;
    int n = 0;
    for (int64_t e = 0; e < r->experts; e++) {
        uint32_t place = r->ties == KB_TIES_HIGH ? (uint32_t)e : ~(uint32_t)e;
        uint64_t key = (uint64_t)order_of(row, e) << 32 | place;
        if (n == r->topk && key < row->best[n - 1])
            continue;
        int at = n < r->topk ? n++ : n - 1;
        for (; at > 0 && row->best[at - 1] < key; at--)
            row->best[at] = row->best[at - 1];
        row->best[at] = key;
    }
}

/* ---- the softmax -----------------------------------------------------------------------
 */

/* The sum that probabilities are divided by, of the experts that it is over. */
struct sum {
    bool low;                    /* sums are rounded to bf16 at each step */
    double max, value, relative; /* relative: its error, in e */
};

static double error_of_exp(double x) {
    return 4 + 4 * fabs(x);
}

static void add_to(struct sum *sum, double score) {
    double x = score - sum->max, p = exp(x);
    sum->value += p;
    if (p != 0)
        sum->relative += p * error_of_exp(x);
}

static int64_t terms_of(const struct kb_routing *r) {
    return r->norm == KB_NORM_ALL ? r->experts : r->topk;
}

/* Of the i-th that the sum is over. */
static double term_score(const struct row *row, int64_t i) {
    const struct kb_routing *r = row->r;
    return score_of(row, r->norm == KB_NORM_ALL ? i : expert_of(r, row->best[i]));
}

static struct sum sum_of(const struct row *row) {
    const struct kb_routing *r = row->r;
    int64_t n = terms_of(r);
    struct sum sum = {.max = -INFINITY};
    for (int64_t i = 0; i < n; i++) /* fmax passes NaN over */
        sum.max = fmax(sum.max, term_score(row, i));
    for (int64_t i = 0; i < n; i++)
        add_to(&sum, term_score(row, i));
    sum.relative = sum.relative / sum.value + (double)(n - 1);
    if (r->mode == KB_MODE_FP32 && !(sum.value > 0)) {
        sum.value = 1;
        sum.relative = 0;
    }
    return sum;
}

static double lost(double v) {
    return fabs(v) < flushable ? 3 * fabs(v) : 0;
}

static struct near probability(const struct sum *sum, double score) {
    double x = score - sum->max, p = exp(x) / sum->value;
    if (!(p > 0)) /* 0 or NaN is what it is */
        return (struct near){.value = p};
    double relative = error_of_exp(x) + sum->relative + 4;
    return (struct near){p, p * eps * relative + lost(p) + steps};
}

/* ---- weights ---------------------------------------------------------------------------
 */

static struct near scaled(struct near p, double scale) {
    struct near w = {.value = p.value * scale};
    if (isfinite(w.value))
        w.err = p.err * fabs(scale) + fabs(w.value) * 2 * eps + lost(w.value) + steps;
    else if (isinf(scale) && p.value > 0 && p.value < flushable)
        w.err = INFINITY;
    return w;
}

static double step_of(enum kb_dtype dtype, double v, double err) {
    return kb_rounding_step(dtype, v, err, 1);
}

/* R(R(p) R(scale)) of a 16-bit dtype. */
static struct near rounded(enum kb_dtype dtype, struct near p, double scale) {
    double s = kb_round(dtype, scale), v = kb_round(dtype, p.value) * s;
    double step = step_of(dtype, p.value, p.err) * fabs(s);
    double far_step =
        step_of(dtype, p.value, p.err * KB_ROUTE_FAST_MATH) * fabs(s) / KB_ROUTE_FAST_MATH;
    struct near w = {.value = kb_round(dtype, v)};
    if (!isfinite(v)) {
        w.err = isinf(s) && (step > 0 || far_step > 0) ? INFINITY : 0;
        return w;
    }
    if (step > 0)
        w.err = 3 * step_of(dtype, v, step);
    if (far_step > 0)
        w.err = fmax(w.err, 3 * step_of(dtype, v, far_step * KB_ROUTE_FAST_MATH) /
                                KB_ROUTE_FAST_MATH);
    if (v != 0 && fabs(v) < flushable) /* the product is no longer exact, or flushed */
        w.err += lost(v) + 2 * kb_ulp(dtype, 0);
    return w;
}

/* Does a sum that was rounded to bf16 at each step show what it lost? Not where there is
 * next to nothing beside a peak. */
static bool shows(double low, double sum) {
    return fabs(low - sum) > 0x1p-12 * fabs(sum);
}

/* Divided by the sum of all. */
static void normalise(struct near *w, int n, bool in_bf16) {
    double sum = 0, low = 0, err = 0, size = 0;
    for (int i = 0; i < n; i++) {
        sum += w[i].value;
        low = kb_round(KB_BF16, low + w[i].value);
        size += fabs(w[i].value);
        err += w[i].err;
    }
    if (in_bf16 && shows(low, sum))
        sum = low;
    err += (n - 1) * eps * size;
    bool unsure = !isnan(sum) && (!(err < fabs(sum) / 2) || size > 0x1p126);
    for (int i = 0; i < n; i++) {
        double value = w[i].value / sum;
        double relative = err / fabs(sum) + 4 * eps;
        w[i].err = unsure             ? INFINITY
                   : !isfinite(value) ? 0
                                      : fabs(value) * relative + w[i].err / fabs(sum) +
                                            lost(value) + steps;
        w[i].value = value;
    }
}

/* Is the kernel's id of slot `j` one that ties=any allows? */
static bool is_allowed(const struct row *row, const int32_t *ids, int j) {
    if (ids[j] < 0 || ids[j] >= row->r->experts ||
        order_of(row, ids[j]) != row->best[j] >> 32)
        return false;
    for (int i = 0; i < j; i++)
        if (ids[i] == ids[j])
            return false;
    return true;
}

/* All weights of a row, `sum` being what its probabilities are divided by. `ids` are those
 * that the kernel chose, or NULL. */
static void weigh(const struct row *row, struct sum sum, const int32_t *ids,
                  struct near *w) {
    const struct kb_routing *r = row->r;
    for (int j = 0; j < r->topk; j++) {
        int64_t expert = ids ? ids[j] : expert_of(r, row->best[j]);
        if (ids && !is_allowed(row, ids, j)) {
            w[j] = (struct near){.value = -INFINITY}; /* nothing is right with that id */
            continue;
        }
        struct near p = probability(&sum, score_of(row, expert));
        double scale = r->scale == KB_SCALE_AFTER ? scale_of(row, expert) : 1;
        w[j] = r->mode == KB_MODE_EAGER && r->dtype != KB_FP32 ? rounded(r->dtype, p, scale)
               : r->scale == KB_SCALE_AFTER                    ? scaled(p, scale)
                                                               : p;
    }
    if (r->norm == KB_NORM_SCALED)
        normalise(w, r->topk, sum.low);
}

/* ---- ids -------------------------------------------------------------------------------
 */

/* With ties=any: from the first to the last of the experts with the logit of slot `j`. */
static struct near id_of(const struct row *row, int j) {
    const struct kb_routing *r = row->r;
    int64_t first = r->experts, last = 0;
    if (r->ties != KB_TIES_ANY)
        return (struct near){.value = (double)expert_of(r, row->best[j])};
    for (int64_t e = 0; e < r->experts; e++)
        if (order_of(row, e) == row->best[j] >> 32) {
            first = e < first ? e : first;
            last = e;
        }
    return (struct near){(double)(first + last) / 2, (double)(last - first) / 2};
}

void kb_routing_reference(const struct kb_problem *p, const void *const *in,
                          const void *prepared, int t, int64_t first, int64_t count,
                          double *want, double *bound) {
    (void)prepared;
    struct kb_routing r = kb_routing_of(p->c);
    const int32_t *chosen = r.ties == KB_TIES_ANY ? in[KB_ROUTE_IDS] : NULL;
    struct row row = {.r = &r, .logits = in[KB_ROUTE_LOGITS]};
    struct near slots[MAX];
    row.scale = r.scale == KB_SCALE_NONE ? NULL : in[KB_ROUTE_SCALE];
    for (int64_t i = 0; i < count; i++) {
        int64_t token = (first + i) / r.topk, j = (first + i) % r.topk;
        if (i == 0 || j == 0) {
            row.first = token * r.in_stride;
            select_best(&row);
            if (t == KB_ROUTE_WEIGHTS)
                weigh(&row, sum_of(&row), chosen ? chosen + token * r.topk : NULL, slots);
        }
        struct near slot = t == KB_ROUTE_IDS ? id_of(&row, (int)j) : slots[j];
        want[i] = slot.value;
        bound[i] = slot.err;
    }
}

/* ---- sums in bf16 ----------------------------------------------------------------------
 */

static struct sum low_sum_of(const struct row *row) {
    struct sum sum = sum_of(row);
    double low = 0;
    for (int64_t i = 0; i < terms_of(row->r); i++)
        low = kb_round(KB_BF16, low + exp(term_score(row, i) - sum.max));
    sum.low = true;
    if (shows(low, sum.value))
        sum.value = low;
    return sum;
}

bool kb_routing_low_precision(const struct kb_problem *p, const void *const *in,
                              const void *prepared, int t, int64_t first, int64_t count,
                              double *got) {
    (void)prepared;
    struct kb_routing r = kb_routing_of(p->c);
    const int32_t *chosen = r.ties == KB_TIES_ANY ? in[KB_ROUTE_IDS] : NULL;
    struct row row = {.r = &r, .logits = in[KB_ROUTE_LOGITS]};
    struct near slots[MAX];
    row.scale = r.scale == KB_SCALE_NONE ? NULL : in[KB_ROUTE_SCALE];
    if (t != KB_ROUTE_WEIGHTS || terms_of(&r) < 2)
        return false;
    for (int64_t i = 0; i < count; i++) {
        int64_t token = (first + i) / r.topk, j = (first + i) % r.topk;
        if (i == 0 || j == 0) {
            row.first = token * r.in_stride;
            select_best(&row);
            weigh(&row, low_sum_of(&row), chosen ? chosen + token * r.topk : NULL, slots);
        }
        got[i] = slots[j].value;
    }
    return true;
}

/* ---- what an element is made of --------------------------------------------------------
 */

/* The expert that belongs there, whatever the kernel has; of a weight what the softmax is
 * by, too. */
int kb_routing_sources(const struct kb_problem *p, const void *const *in, int t, int64_t i,
                       struct kb_source *out) {
    struct kb_routing r = kb_routing_of(p->c);
    struct row row = {.r = &r, .logits = in[KB_ROUTE_LOGITS]};
    bool weight = t == KB_ROUTE_WEIGHTS;
    row.scale = r.scale == KB_SCALE_NONE ? NULL : in[KB_ROUTE_SCALE];
    row.first = i / r.topk * r.in_stride;
    select_best(&row);
    int64_t expert = expert_of(&r, row.best[i % r.topk]);
    int n = 0;
    out[n++] = (struct kb_source){"logit", r.dtype, logit_of(&row, expert)};
    if (row.scale && (weight || r.scale == KB_SCALE_BEFORE))
        out[n++] = (struct kb_source){"scale", r.scale_dtype, scale_of(&row, expert)};
    if (weight) {
        struct sum sum = sum_of(&row);
        out[n++] = (struct kb_source){"largest", KB_FP32, sum.max};
        out[n++] = (struct kb_source){"sum", KB_FP32, sum.value};
    }
    return n;
}
