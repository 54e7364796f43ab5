/* counts.c - counts and extremes of a chunk of an output.
 *
 * Most elements are numbers within the bound that set no record. The pass over all of a
 * block marks those that need a look: no numbers, past the bound or the tolerance, further
 * off than any before. They alone are judged one by one, by the definition in judge.c. A
 * mark errs on the side of a look, so that what is found does not depend on marks. */
#include "counts.h"

#include <math.h>
#include <string.h>

/* So much less than a limit, which rounding may hide, is worth a look. */
#define NEARLY (1 - 0x1p-50)

void kb_counts_start(struct kb_counts *t) {
    *t = (struct kb_counts){.key_max = -1, .worst = -1, .first_bad = -1, .last_bad = -1};
}

static int64_t first_of(int64_t a, int64_t b) {
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

void kb_counts_add(struct kb_counts *to, const struct kb_counts *from) {
    to->share_max = fmax(to->share_max, from->share_max);
    to->tol_max = fmax(to->tol_max, from->tol_max);
    to->ulp_max = fmax(to->ulp_max, from->ulp_max);
    to->abs_max = fmax(to->abs_max, from->abs_max);
    to->rel_max = fmax(to->rel_max, from->rel_max);
    to->over += from->over;
    to->over_bound += from->over_bound;
    to->tol_over += from->tol_over;
    to->kinds += from->kinds;
    to->unwritten += from->unwritten;
    to->differing += from->differing;
    to->kept += from->kept;
    to->touched += from->touched;
    if (from->key_max > to->key_max)
        to->worst = from->worst;
    else if (from->key_max == to->key_max)
        to->worst = first_of(to->worst, from->worst);
    to->key_max = fmax(to->key_max, from->key_max);
    to->first_bad = first_of(to->first_bad, from->first_bad);
    to->last_bad = from->last_bad > to->last_bad ? from->last_bad : to->last_bad;
    for (int i = 0; i < KB_BINS; i++)
        to->bins[i] += from->bins[i];
}

/* ---- a look ------------------------------------------------------------------------ */

static void note_bad(const struct kb_judge *judge, int64_t index, uint32_t bits,
                     struct kb_counts *t) {
    t->unwritten += kb_judge_unwritten(judge, bits);
    t->first_bad = t->first_bad < 0 ? index : t->first_bad;
    t->last_bad = index;
}

static void note_worst(double key, int64_t index, struct kb_counts *t) {
    if (key > t->key_max) {
        t->key_max = key;
        t->worst = index;
    }
}

/* Among elements inside the half ulp the one with most ulp is the worst. */
static double key_inside(double ulp) {
    return fmin(ulp, 1) / 2;
}

static double or_infinite(double share) {
    return isnan(share) ? INFINITY : share;
}

/* All of an element but what the pass has added up. */
static void look(const struct kb_judge *judge, int64_t index, uint32_t bits, double want,
                 double bound, struct kb_counts *t) {
    struct kb_judged j = kb_judge_bits(judge, index, bits, want, bound);
    double share = or_infinite(j.share), tol = or_infinite(j.tol);
    double key = judge->tolerance.rule == KB_TOL_BOUND ? share : tol;

    t->over += j.bad;
    t->over_bound += !(share <= 1);
    t->tol_over += !(tol <= 1);
    t->kinds += j.kind_bad;
    t->kept += bound == KB_KEEP;
    t->touched += bound == KB_KEEP && j.bad;
    if (j.bad)
        note_bad(judge, index, bits, t);
    t->share_max = fmax(t->share_max, share);
    t->tol_max = fmax(t->tol_max, tol);
    t->rel_max = fmax(t->rel_max, j.rel);
    note_worst(key > 0 ? 1 + key : key_inside(j.ulp), index, t);
}

static bool differs(const struct kb_judge *judge, int64_t index, uint32_t bits, double want,
                    double bound) {
    return bits != kb_judge_right(judge, index, want, bound);
}

/* ---- blocks ------------------------------------------------------------------------ */

/* Elements that must stay, and have? */
static bool stay_all(const struct kb_judge *judge, int64_t first, int64_t count,
                     const double *bound) {
    const struct kb_compare_args *a = judge->args;
    size_t size = kb_dtype_bytes(judge->spec->dtype), from = (size_t)first * size;

    for (int64_t i = 0; i < count; i++)
        if (bound[i] != KB_KEEP)
            return false;
    return !memcmp((const char *)a->got + from, (const char *)a->in[a->tensor] + from,
                   (size_t)count * size);
}

static void look_at_marked(const struct kb_judge *judge, int64_t first,
                           const struct kb_block *b, struct kb_counts *t) {
    for (int64_t i = 0; i < b->count; i++) {
        uint64_t marks = b->marks[i];
        bool known = b->bin[i] != KB_BIN_NONE && (marks & KB_DIFFERS || !(marks & KB_TIE));
        int64_t index = first + i;
        if (known && !(marks & KB_LOOK))
            continue;
        uint32_t bits = kb_bits_at(judge->spec->dtype, judge->args->got, index);
        if (!known)
            t->differing += differs(judge, index, bits, b->want[i], b->bound[i]);
        if (marks & KB_LOOK)
            look(judge, index, bits, b->want[i], b->bound[i], t);
    }
}

static void count_numbers(const struct kb_judge *judge, int64_t first, struct kb_block *b,
                          struct kb_counts *t, struct kb_sums *sums) {
    const struct kb_records limits = {
        .share = fmin(t->share_max, 1) * NEARLY,
        .tol = fmin(t->tol_max, 1) * NEARLY,
        .rel = t->rel_max * NEARLY,
    };

    kb_decode_range(judge->spec->dtype, judge->args->got, first, b->count, b->got);
    kb_pass_numbers(judge, &limits, b, sums);
    t->differing += b->differing;
    t->ulp_max = fmax(t->ulp_max, b->ulp_max);
    t->abs_max = fmax(t->abs_max, b->abs_max);
    for (int64_t i = 0; i < b->count; i++)
        t->bins[b->bin[i]]++;
    if (b->any & (KB_LOOK | KB_TIE))
        look_at_marked(judge, first, b, t);
    for (int64_t i = 0; i < b->count && t->key_max < key_inside(b->ulp_max); i++)
        note_worst(key_inside(b->ulp[i]), first + i, t);
}

static void count_codes(const struct kb_judge *judge, int64_t first, int64_t count,
                        const double *want, const double *bound, struct kb_counts *t) {
    if (kb_pass_codes(judge, first, count, want, bound)) {
        note_worst(0, first, t);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = kb_bits_at(judge->spec->dtype, judge->args->got, first + i);
        t->differing += differs(judge, first + i, bits, want[i], bound[i]);
        look(judge, first + i, bits, want[i], bound[i], t);
    }
}

void kb_counts_chunk(const struct kb_judge *judge, int64_t first, int64_t count,
                     const struct kb_chunk *chunk, struct kb_counts *t,
                     struct kb_sums *sums) {
    struct kb_block b;

    for (int64_t done = 0; done < count; done += b.count) {
        const double *want = chunk->want + done, *bound = chunk->bound + done;
        b.count = count - done < KB_BLOCK ? count - done : KB_BLOCK;
        if (stay_all(judge, first + done, b.count, bound)) {
            t->kept += b.count;
            note_worst(0, first + done, t);
        } else if (judge->exact) {
            count_codes(judge, first + done, b.count, want, bound, t);
        } else {
            b.want = want;
            b.bound = bound;
            count_numbers(judge, first + done, &b, t, sums);
        }
    }
}
