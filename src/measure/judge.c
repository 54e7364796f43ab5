/* judge.c - one element: got against want, by the rule that decides. */
#include "judge.h"
#include "kept.h"

#include <math.h>
#include <omp.h>
#include <string.h>

/* ---- the dtype's numbers ----------------------------------------------------------- */

struct kb_grid kb_grid_of(enum kb_dtype dtype) {
    double top = kb_max_finite(dtype), spacing = kb_ulp(dtype, top);
    int exponent;
    struct kb_grid g = {
        .max_finite = top,
        .overflow = top + spacing / 2,
        .low = kb_decode(dtype, kb_encode(dtype, -INFINITY)),
        .high = kb_decode(dtype, kb_encode(dtype, INFINITY)),
    };
    frexp(top, &exponent);
    g.highest = ldexp(1, exponent - 1);
    g.unit = spacing / g.highest;
    g.lowest = kb_ulp(dtype, 0) / g.unit;
    return g;
}

double kb_grid_ulp(const struct kb_grid *g, double x) {
    uint64_t bits;
    double binade;

    memcpy(&bits, &x, sizeof bits);
    bits &= (uint64_t)0x7ff << 52;
    memcpy(&binade, &bits, sizeof binade);
    binade = binade > g->lowest ? binade : g->lowest;
    binade = binade < g->highest ? binade : g->highest;
    return binade * g->unit;
}

/* ---- numbers ----------------------------------------------------------------------- */

/* NaN where the error is none, or the bound no bound: past any limit. */
static double share_of(double err, double bound) {
    return err <= 0 ? 0 : bound >= 0 ? err / bound : NAN;
}

/* NaN, or something past the grid's end: is the kind right? */
static bool is_right_kind(const struct kb_grid *g, double got, double want, double bound,
                          double *share) {
    if (isnan(got) || isnan(want))
        return isnan(got) && isnan(want);
    if (isinf(got) && fabs(want) >= g->overflow)
        return signbit(got) == signbit(want);
    /* One of them is past the grid's end and the other is not: right only where want lies
     * within the bound of the point at which rounding goes to infinity. */
    if (isinf(want) || signbit(got) != signbit(want))
        return false;
    double half = kb_grid_ulp(g, g->max_finite) / 2;
    double err = isinf(got) ? g->overflow - fabs(want) : fabs(got - want) - half;
    *share = share_of(err, bound);
    return *share <= 1;
}

static void judge_numbers(const struct kb_judge *judge, double got, double want,
                          double bound, struct kb_judged *j) {
    const struct kb_grid *g = &judge->grid;
    const struct kb_tolerance *tolerance = &judge->tolerance;

    if (!isfinite(got) || !(fabs(want) < g->overflow)) {
        j->kind_bad = !is_right_kind(g, got, want, bound, &j->share);
        if (j->kind_bad)
            j->share = j->tol = INFINITY;
        return;
    }
    double ulp = kb_grid_ulp(g, want), off = fabs(got - want);
    j->finite = true;
    j->ulp = off / ulp;
    j->rel = want != 0 ? off / fabs(want) : 0;
    j->share = share_of(off - ulp / 2, bound);
    j->tol = share_of(off, tolerance->atol + tolerance->rtol * fabs(want));
}

/* ---- elements ---------------------------------------------------------------------- */

bool kb_judge_unwritten(const struct kb_judge *judge, uint32_t bits) {
    return judge->spec->role == KB_OUT &&
           kb_is_poison(judge->spec->dtype, bits, judge->args->poison);
}

static uint32_t kept_bits(const struct kb_judge *judge, int64_t index) {
    const struct kb_compare_args *a = judge->args;

    return kb_bits_at(judge->spec->dtype, a->in[a->tensor], index);
}

uint32_t kb_judge_right(const struct kb_judge *judge, int64_t index, double want,
                        double bound) {
    if (bound == KB_KEEP)
        return kept_bits(judge, index);
    return judge->exact ? (uint32_t)want : kb_encode(judge->spec->dtype, want);
}

static struct kb_judged by_bits(bool right) {
    double share = right ? 0 : INFINITY;

    return (struct kb_judged){.bad = !right, .share = share, .tol = share};
}

struct kb_judged kb_judge_bits(const struct kb_judge *judge, int64_t index, uint32_t bits,
                               double want, double bound) {
    struct kb_judged j = {0};

    if (bound == KB_KEEP)
        return by_bits(bits == kept_bits(judge, index));
    /* Right kernels differ here, even in kind: any value will do. Of one byte poison is a
     * value as well, the NaN of e4m3 for one: whether it was written two runs tell. */
    if (isinf(bound))
        return by_bits(kb_dtype_bytes(judge->spec->dtype) == 1 ||
                       !kb_judge_unwritten(judge, bits));
    if (judge->exact)
        return by_bits(bits == (uint32_t)want);
    judge_numbers(judge, kb_decode(judge->spec->dtype, bits), want,
                  bound * judge->args->bound_factor, &j);
    bool by_bound = judge->tolerance.rule == KB_TOL_BOUND;
    j.bad = !((by_bound ? j.share : j.tol) <= 1);
    return j;
}

/* ---- stretches --------------------------------------------------------------------- */

struct kb_judge kb_judge_of(const struct kb_compare_args *args) {
    const struct kb_tensor_spec *spec = &args->problem->tensors[args->tensor];
    struct kb_judge judge = {.args = args, .spec = spec, .tolerance = args->tolerance};

    judge.kept = kb_kept_of(args);
    judge.exact = spec->rule == KB_RULE_EXACT;
    judge.grid = kb_grid_of(spec->dtype);
    if (judge.tolerance.rule != KB_TOL_GIVEN)
        args->problem->c->op->peer_tolerance(args->problem->c->dtype, spec->dtype,
                                             &judge.tolerance.atol, &judge.tolerance.rtol);
    return judge;
}

int kb_judge_threads(const struct kb_judge *judge, int64_t elements) {
    const double flops = 4; /* that take as long as the least that an element does */
    if (elements == 0)
        return 1;
    double each = (double)judge->args->problem->flops / (double)judge->spec->elements;
    double work = (double)elements * fmax(each / flops, 1);

    return kb_threads(work < 0x1p62 ? (int64_t)work : INT64_C(1) << 62);
}

/* What follows from a row as a whole, as in attention, is computed once for a stretch of
 * it. */
static int64_t piece_of(const struct kb_tensor_spec *spec) {
    int64_t row = spec->rank > 0 ? spec->shape[spec->rank - 1] : 1;
    enum { LEAST = 32 };

    return row < LEAST ? (LEAST + row - 1) / row * row : row;
}

static void ask_reference(const struct kb_judge *judge, int64_t first, int64_t count,
                          double *want, double *bound) {
    const struct kb_compare_args *a = judge->args;

    a->problem->c->op->reference(a->problem, a->in, a->prepared, a->tensor, first, count,
                                 want, bound);
}

static void ask_by_pieces(const struct kb_judge *judge, int64_t first, int64_t count,
                          struct kb_chunk *out) {
    int64_t piece = piece_of(judge->spec), start = first - first % piece;
    int64_t end = first + count, n = (end - start + piece - 1) / piece;
    int threads = n > 1 && !omp_in_parallel() ? kb_judge_threads(judge, count) : 1;

    if (threads == 1) {
        ask_reference(judge, first, count, out->want, out->bound);
        return;
    }
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t i = 0; i < n; i++) {
        int64_t from = start + i * piece, to = from + piece;
        from = from > first ? from : first;
        to = to < end ? to : end;
        ask_reference(judge, from, to - from, out->want + (from - first),
                      out->bound + (from - first));
    }
}

/* Computed now; what saturates does. */
static void ask(const struct kb_judge *judge, int64_t first, int64_t count,
                struct kb_chunk *out) {
    double low = judge->grid.low, high = judge->grid.high;

    ask_by_pieces(judge, first, count, out);
    if (judge->exact || isinf(high))
        return;
    for (int64_t i = 0; i < count; i++) {
        double want = out->want[i];
        out->want[i] = want > high ? high : want < low ? low : want;
    }
}

void kb_judge_load(const struct kb_judge *judge, int64_t first, int64_t count,
                   struct kb_chunk *out) {
    struct kb_kept *kept = judge->kept;

    if (!kept || !kb_kept_load(kept, first, count, out->want, out->bound)) {
        ask(judge, first, count, out);
        if (kept)
            kb_kept_add(kept, first, count, out->want, out->bound);
    }
    for (int64_t i = count; i < count + KB_LANES; i++) {
        out->want[i] = 0;
        out->bound[i] = KB_KEEP;
    }
}

int64_t kb_judge_places(const struct kb_judge *judge) {
    const struct kb_sampled *s = judge->args->sample;

    return s ? s->n * s->length : judge->spec->elements;
}

int64_t kb_judge_stretch(const struct kb_judge *judge, int64_t place, int64_t end,
                         int64_t *first) {
    const struct kb_sampled *s = judge->args->sample;

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
