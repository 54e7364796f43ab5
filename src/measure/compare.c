/* compare.c - got against want, element by element, as the reference streams past.
 *
 * The reference is never stored: each thread asks for a chunk of it, judges the chunk and
 * keeps a small partial. Partials are joined in chunk order and counts are whole numbers,
 * so that the result does not depend on the number of threads. Where only some rows are
 * checked, chunks are made of their elements, one row after the other. */
#include "measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK = 8192,
    BINS_LINEAR = 1024,
    BINS_LOG = 64 * 40,
    BINS = BINS_LINEAR + BINS_LOG
};

/* Facts of the output's grid, once per comparison instead of once per element. */
struct grid {
    int digits, min_exponent, max_exponent;
    double max_finite, overflow; /* |x| from overflow on rounds to infinity */
};

struct partial {
    double share_max, tol_max, ulp_max, abs_max, rel_max, ulp_sum, key_max;
    int64_t over, over_bound, kinds, unwritten, differing, tol_over, finite;
    int64_t kept, touched;
    int64_t worst, first_bad, last_bad;
};

struct judged {
    double share, tol, ulp_signed, abs, rel;
    bool kind_bad, finite, bad;
};

static struct grid grid_of(enum kb_dtype dtype) {
    struct grid g = {.max_finite = kb_max_finite(dtype)};
    int exponent;

    frexp(g.max_finite, &exponent);
    g.max_exponent = exponent - 1;
    g.digits = exponent - ilogb(kb_ulp(dtype, g.max_finite));
    g.min_exponent = ilogb(kb_ulp(dtype, 0.0)) + g.digits - 1;
    g.overflow = g.max_finite + kb_ulp(dtype, g.max_finite) / 2;
    return g;
}

/* kb_ulp by exponent bits. */
static double ulp_of(const struct grid *g, double x) {
    uint64_t bits;

    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52 & 0x7ff) - 1023;
    if (exponent < g->min_exponent)
        exponent = g->min_exponent;
    if (exponent > g->max_exponent)
        exponent = g->max_exponent;
    bits = (uint64_t)(exponent - g->digits + 1 + 1023) << 52;
    double ulp;
    memcpy(&ulp, &bits, sizeof ulp);
    return ulp;
}

static double share_of(double err, double bound) {
    if (!(err > 0))
        return 0;
    return bound > 0 ? err / bound : INFINITY;
}

static void judge_special(const struct grid *g, double got, double want, double bound,
                          struct judged *j) {
    if (isnan(got) || isnan(want)) {
        j->kind_bad = !(isnan(got) && isnan(want));
        return;
    }
    bool want_over = fabs(want) >= g->overflow;
    if (isinf(got) && want_over) {
        j->kind_bad = signbit(got) != signbit(want);
        return;
    }
    /* One of them is past the grid's end and the other is not: right only where want lies
     * within the bound of the point at which rounding goes to infinity. */
    if (isinf(want) || signbit(got) != signbit(want)) {
        j->kind_bad = true;
        return;
    }
    double half = ulp_of(g, g->max_finite) / 2;
    double err = isinf(got) ? g->overflow - fabs(want) : fabs(got - want) - half;
    j->share = share_of(err, bound);
    j->kind_bad = !(j->share <= 1);
}

/* Everything about one element of a BOUND output. */
static struct judged judge(const struct grid *g, const struct kb_tolerance *tol, double got,
                           double want, double bound) {
    struct judged j = {0};

    if (!isfinite(got) || !(fabs(want) < g->overflow)) {
        judge_special(g, got, want, bound, &j);
        if (j.kind_bad)
            j.share = j.tol = INFINITY;
    } else {
        double ulp = ulp_of(g, want), diff = got - want;
        j.finite = true;
        j.abs = fabs(diff);
        j.ulp_signed = diff / ulp;
        j.rel = want != 0 ? j.abs / fabs(want) : 0;
        j.share = share_of(j.abs - ulp / 2, bound);
        double allowed = tol->atol + tol->rtol * fabs(want);
        j.tol = j.abs > 0 ? j.abs / allowed : 0;
    }
    bool by_bound = !(j.share <= 1), by_tol = !(j.tol <= 1);
    j.bad = tol->rule == KB_TOL_BOUND ? by_bound : by_tol;
    return j;
}

static int bin_of(double ulp) {
    if (ulp < 1)
        return (int)(ulp * BINS_LINEAR);
    int bin = (int)(log2(ulp) * 64);
    return BINS_LINEAR + (bin < BINS_LOG ? bin : BINS_LOG - 1);
}

static double bin_edge(int bin) {
    if (bin < BINS_LINEAR)
        return (double)(bin + 1) / BINS_LINEAR;
    return exp2((double)(bin - BINS_LINEAR + 1) / 64);
}

struct task {
    const struct kb_compare_args *args;
    const struct kb_tensor_spec *spec;
    struct kb_tolerance tolerance;
    struct grid grid;
    bool exact;
};

/* Elements that are checked have places, in order: all of them, or those of some rows. */
static int64_t n_places(const struct task *task) {
    const struct kb_sampled *s = task->args->sample;

    return s ? s->n * s->length : task->spec->elements;
}

/* The element at a place, and how many follow it without a gap, up to the place `end`. */
static int64_t run_at(const struct task *task, int64_t place, int64_t end, int64_t *first) {
    const struct kb_sampled *s = task->args->sample;

    *first = place;
    if (!s)
        return end - place;
    int64_t row = place / s->length, column = place % s->length;
    int64_t count = s->length - column;
    *first = s->items[row] * s->length + column;
    for (; count < end - place && s->items[row + 1] == s->items[row] + 1; row++)
        count += s->length;
    return count < end - place ? count : end - place;
}

struct chunk_data {
    double want[CHUNK], bound[CHUNK], got[CHUNK];
    uint32_t packed[CHUNK];  /* want, rounded, as wide as the dtype is */
    uint32_t rounded[CHUNK]; /* its bits, or those that must stay */
};

static void load_chunk(const struct task *task, int64_t first, int64_t count,
                       struct chunk_data *d) {
    const struct kb_compare_args *a = task->args;
    enum kb_dtype dtype = task->spec->dtype;

    a->problem->c->op->reference(a->problem, a->in, a->prepared, a->tensor, first, count,
                                 d->want, d->bound);
    if (!task->exact) {
        kb_decode_range(dtype, a->got, first, count, d->got);
        kb_encode_range(dtype, d->want, count, d->packed, 0);
    }
    for (int64_t i = 0; i < count; i++)
        d->rounded[i] = d->bound[i] == KB_KEEP
                            ? kb_bits_at(dtype, a->in[a->tensor], first + i)
                        : task->exact ? (uint32_t)d->want[i]
                                      : kb_bits_at(dtype, d->packed, i);
}

static bool is_unwritten(const struct task *task, uint32_t bits) {
    return task->spec->role == KB_OUT &&
           kb_is_poison(task->spec->dtype, bits, task->args->poison);
}

static struct judged judge_bits(bool right) {
    double share = right ? 0 : INFINITY;

    return (struct judged){.bad = !right, .share = share, .tol = share};
}

/* Element `i` of the chunk, whose bits are `bits`. */
static struct judged judge_at(const struct task *task, const struct chunk_data *d,
                              int64_t i, uint32_t bits) {
    if (task->exact || d->bound[i] == KB_KEEP)
        return judge_bits(bits == d->rounded[i]);
    if (isinf(d->bound[i])) /* right kernels differ here, even in kind: any value will do */
        return judge_bits(!is_unwritten(task, bits));
    return judge(&task->grid, &task->tolerance, d->got[i], d->want[i],
                 d->bound[i] * task->args->bound_factor);
}

static void judge_run(const struct task *task, int64_t first, int64_t count,
                      struct chunk_data *d, struct partial *p, int64_t *histogram) {
    enum kb_dtype dtype = task->spec->dtype;
    bool by_bound = task->tolerance.rule == KB_TOL_BOUND;

    load_chunk(task, first, count, d);
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = kb_bits_at(dtype, task->args->got, first + i);
        struct judged j = judge_at(task, d, i, bits);
        p->differing += bits != d->rounded[i];
        p->over += j.bad;
        p->over_bound += !(j.share <= 1);
        p->tol_over += !(j.tol <= 1);
        p->kinds += j.kind_bad;
        p->kept += d->bound[i] == KB_KEEP;
        p->touched += d->bound[i] == KB_KEEP && j.bad;
        if (j.bad) {
            p->unwritten += is_unwritten(task, bits);
            p->first_bad = p->first_bad < 0 ? first + i : p->first_bad;
            p->last_bad = first + i;
        }
        double ulp = fabs(j.ulp_signed), key = by_bound ? j.share : j.tol;
        /* Among elements inside the half ulp the one with most ulp is the worst. */
        key += key > 0 ? 1 : (ulp < 1 ? ulp / 2 : 0.5);
        if (key > p->key_max) {
            p->key_max = key;
            p->worst = first + i;
        }
        p->share_max = fmax(p->share_max, j.share);
        p->tol_max = fmax(p->tol_max, j.tol);
        if (j.finite) {
            p->finite++;
            p->ulp_sum += j.ulp_signed;
            p->ulp_max = fmax(p->ulp_max, ulp);
            p->abs_max = fmax(p->abs_max, j.abs);
            p->rel_max = fmax(p->rel_max, j.rel);
            histogram[bin_of(ulp)]++;
        }
    }
}

/* The places [place, end), at most a chunk. */
static void judge_chunk(const struct task *task, int64_t place, int64_t end,
                        struct chunk_data *d, struct partial *p, int64_t *histogram) {
    *p = (struct partial){.worst = -1, .first_bad = -1, .last_bad = -1, .key_max = -1};
    for (int64_t first, count; place < end; place += count) {
        count = run_at(task, place, end, &first);
        judge_run(task, first, count, d, p, histogram);
    }
}

static void join(struct kb_output_report *out, const struct partial *p, double *ulp_sum,
                 int64_t *finite, double *key_max) {
    out->over += p->over;
    out->over_bound += p->over_bound;
    out->tolerance_over += p->tol_over;
    out->kind_mismatches += p->kinds;
    out->unwritten += p->unwritten;
    out->differing += p->differing;
    out->kept += p->kept;
    out->touched += p->touched;
    out->err_over_bound = fmax(out->err_over_bound, p->share_max);
    out->tolerance_used = fmax(out->tolerance_used, p->tol_max);
    out->ulp_max = fmax(out->ulp_max, p->ulp_max);
    out->abs_max = fmax(out->abs_max, p->abs_max);
    out->rel_max = fmax(out->rel_max, p->rel_max);
    if (p->first_bad >= 0) {
        out->first_bad = out->first_bad < 0 ? p->first_bad : out->first_bad;
        out->last_bad = p->last_bad;
    }
    if (p->key_max > *key_max) {
        *key_max = p->key_max;
        out->worst.index = p->worst;
    }
    *ulp_sum += p->ulp_sum;
    *finite += p->finite;
}

static double p99_of(const int64_t *histogram, int64_t finite, double ulp_max) {
    int64_t rank = (int64_t)ceil(0.99 * (double)finite), seen = 0;

    for (int bin = 0; bin < BINS; bin++) {
        seen += histogram[bin];
        if (seen >= rank && bin < BINS - 1) /* the last one has no edge */
            return fmin(bin_edge(bin), ulp_max);
    }
    return ulp_max;
}

static void show_run(const struct task *task, int64_t first, int64_t count,
                     struct chunk_data *d, struct kb_output_report *out) {
    enum kb_dtype dtype = task->spec->dtype;

    load_chunk(task, first, count, d);
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = kb_bits_at(dtype, task->args->got, first + i);
        struct kb_element e = {.index = first + i, .want = d->want[i]};
        e.got = task->exact ? (double)bits : d->got[i];
        if (d->bound[i] == KB_KEEP)
            e.want = task->exact ? (double)d->rounded[i] : kb_decode(dtype, d->rounded[i]);
        bool bad = judge_at(task, d, i, bits).bad;
        e.poison = bad && is_unwritten(task, bits);
        if (bad && out->n_first < KB_SHOWN)
            out->first[out->n_first++] = e;
        if (e.index == out->worst.index)
            out->worst = e;
    }
}

static int64_t chunk_end(int64_t chunk, int64_t n) {
    int64_t place = chunk * CHUNK;

    return n - place < CHUNK ? n : place + CHUNK;
}

/* got and want of the elements that are shown: the worst and the first that fail. */
static void show_elements(const struct task *task, const struct partial *partials,
                          int64_t n_chunks, struct chunk_data *d,
                          struct kb_output_report *out) {
    int64_t n = n_places(task), worst = out->worst.index;

    for (int64_t chunk = 0; chunk < n_chunks; chunk++) {
        bool wants_first = partials[chunk].over > 0 && out->n_first < KB_SHOWN;
        if (partials[chunk].worst != worst && !wants_first)
            continue;
        int64_t end = chunk_end(chunk, n);
        for (int64_t place = chunk * CHUNK, first, count; place < end; place += count) {
            count = run_at(task, place, end, &first);
            show_run(task, first, count, d, out);
        }
    }
}

static void compare_chunks(const struct task *task, struct partial *partials,
                           int64_t n_chunks, int64_t *histogram) {
    int64_t n = n_places(task);

#pragma omp parallel num_threads(kb_threads(n))
    {
        struct chunk_data *d = malloc(sizeof *d);
        int64_t *mine = calloc(BINS, sizeof *mine);
        if (!d || !mine)
            kb_out_of_memory();
#pragma omp for schedule(dynamic, 4)
        for (int64_t chunk = 0; chunk < n_chunks; chunk++)
            judge_chunk(task, chunk * CHUNK, chunk_end(chunk, n), d, &partials[chunk],
                        mine);
#pragma omp critical
        for (int bin = 0; bin < BINS; bin++)
            histogram[bin] += mine[bin];
        free(mine);
        free(d);
    }
}

static struct task task_of(const struct kb_compare_args *args) {
    const struct kb_tensor_spec *spec = &args->problem->tensors[args->tensor];
    struct task task = {.args = args, .spec = spec, .tolerance = args->tolerance};

    task.exact = spec->rule == KB_RULE_EXACT;
    if (!task.exact)
        task.grid = grid_of(spec->dtype);
    if (task.tolerance.rule != KB_TOL_GIVEN)
        args->problem->c->op->peer_tolerance(spec->dtype, &task.tolerance.atol,
                                             &task.tolerance.rtol);
    return task;
}

/* There is no pair of numbers to tell one of, which 0 would do. */
static void no_distances(struct kb_output_report *out) {
    out->ulp_max = out->ulp_p99 = out->bias_ulp = out->abs_max = out->rel_max = NAN;
}

void kb_compare(const struct kb_compare_args *args, struct kb_output_report *out) {
    struct task task = task_of(args);
    const struct kb_tensor_spec *spec = task.spec;
    double ulp_sum = 0, key_max = -1;
    int64_t finite = 0, n = n_places(&task), n_chunks = (n + CHUNK - 1) / CHUNK;

    *out = (struct kb_output_report){
        .name = spec->name,
        .dtype = spec->dtype,
        .rank = spec->rank,
        .elements = spec->elements,
        .checked = n,
        .limit = 1,
        .tolerance = task.tolerance,
        .worst = {.index = -1},
        .first_bad = -1,
        .last_bad = -1,
        .exact = task.exact,
    };
    memcpy(out->shape, spec->shape, sizeof out->shape);
    if (n_chunks == 0) {
        no_distances(out);
        return;
    }
    struct partial *partials = calloc((size_t)n_chunks, sizeof *partials);
    int64_t *histogram = calloc(BINS, sizeof *histogram);
    struct chunk_data *d = malloc(sizeof *d);
    if (!partials || !histogram || !d)
        kb_out_of_memory();
    compare_chunks(&task, partials, n_chunks, histogram);
    for (int64_t chunk = 0; chunk < n_chunks; chunk++)
        join(out, &partials[chunk], &ulp_sum, &finite, &key_max);
    if (finite > 0) {
        out->bias_ulp = ulp_sum / (double)finite;
        out->ulp_p99 = p99_of(histogram, finite, out->ulp_max);
    } else {
        no_distances(out);
    }
    show_elements(&task, partials, n_chunks, d, out);
    free(d);
    free(histogram);
    free(partials);
}

static int64_t run_over(const struct task *task, int64_t first, int64_t count,
                        struct chunk_data *d) {
    int64_t over = 0;

    load_chunk(task, first, count, d);
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = kb_bits_at(task->spec->dtype, task->args->got, first + i);
        over += judge_at(task, d, i, bits).bad;
    }
    return over;
}

int64_t kb_compare_over(const struct kb_compare_args *args, int64_t first, int64_t count) {
    struct task task = task_of(args);
    int64_t over = 0, n_chunks = (count + CHUNK - 1) / CHUNK;

#pragma omp parallel reduction(+ : over) num_threads(kb_threads(count))
    {
        struct chunk_data *d = malloc(sizeof *d);
        if (!d)
            kb_out_of_memory();
#pragma omp for schedule(dynamic, 4)
        for (int64_t chunk = 0; chunk < n_chunks; chunk++) {
            int64_t end = first + chunk_end(chunk, count);
            for (int64_t place = first + chunk * CHUNK, at, n; place < end; place += n) {
                n = run_at(&task, place, end, &at);
                over += run_over(&task, at, n, d);
            }
        }
        free(d);
    }
    return over;
}
