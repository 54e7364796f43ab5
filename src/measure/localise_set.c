/* localise_set.c - a set of rows, columns or elements, and its shortest true description: a
 * range, a residue, a few ranges, or how many of how many. */
#include "localise.h"

#include <math.h>
#include <stdlib.h>

enum { MODULUS_MAX = 128, RANGES_SHOWN = 4, LISTED = 4, BLOCK_MIN = 4 };

/* ---- bits ---------------------------------------------------------------------------- */

bool kb_set_make(struct kb_set *set, int64_t n) {
    *set = (struct kb_set){.n = n};
    set->bits = calloc((size_t)(n / 64 + 1), sizeof *set->bits);
    return set->bits != NULL;
}

void kb_set_free(struct kb_set *set) {
    free(set->bits);
    *set = (struct kb_set){0};
}

bool kb_set_has(const struct kb_set *set, int64_t i) {
    return set->bits[i / 64] >> (i % 64) & 1;
}

void kb_set_add(struct kb_set *set, int64_t i) {
    set->bits[i / 64] |= UINT64_C(1) << (i % 64);
}

int64_t kb_set_count(const struct kb_set *set, int64_t from, int64_t to) {
    int64_t count = 0, word = from / 64, last = to / 64;

    if (from >= to)
        return 0;
    uint64_t bits = set->bits[word] & ~UINT64_C(0) << (from % 64);
    for (; word < last; bits = set->bits[++word])
        count += __builtin_popcountll(bits);
    return count + __builtin_popcountll(bits & ~(~UINT64_C(0) << (to % 64)));
}

int64_t kb_set_next(const struct kb_set *set, int64_t from, bool in) {
    if (from >= set->n)
        return set->n;
    uint64_t flip = in ? 0 : ~UINT64_C(0);
    int64_t word = from / 64, words = set->n / 64 + 1;
    uint64_t bits = (set->bits[word] ^ flip) & ~UINT64_C(0) << (from % 64);
    while (!bits && ++word < words)
        bits = set->bits[word] ^ flip;
    int64_t at = bits ? word * 64 + __builtin_ctzll(bits) : set->n;
    return at < set->n ? at : set->n;
}

int64_t kb_set_sample(const struct kb_set *set, bool in, int64_t count, int64_t max,
                      int64_t *out) {
    uint64_t step = (uint64_t)(count / max + (count % max != 0)), seen = 0;
    int64_t n = 0;

    for (int64_t at = kb_set_next(set, 0, in); at < set->n && n < max;
         at = kb_set_next(set, at + 1, in)) {
        seen += UINT64_C(0x9e3779b97f4a7c15);
        if (step <= 1 || (seen >> 32) % step == 0)
            out[n++] = at;
    }
    return n;
}

/* ---- accidents ------------------------------------------------------------------------
 */

/* log2 of the number of ways to choose k of n. */
static double choices(int64_t n, int64_t k) {
    double ln = lgamma((double)n + 1) - lgamma((double)k + 1) - lgamma((double)(n - k) + 1);

    return ln * 1.4426950408889634;
}

int64_t kb_gcd(int64_t a, int64_t b) {
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

double kb_set_evidence(int64_t n, int64_t count, double bits) {
    return choices(n, count) - bits;
}

/* ---- words ----------------------------------------------------------------------------
 */

struct described {
    const struct kb_set *set;
    const struct kb_named *named;
    int64_t count;
    struct kb_buf *where, *why;
};

static int64_t number_of(const struct kb_named *named, int64_t i) {
    return named->numbers ? named->numbers[i] : i;
}

static void put_range(struct kb_buf *out, int64_t first, int64_t last) {
    kb_buf_printf(out, "%lld", (long long)first);
    if (last > first)
        kb_buf_printf(out, "..%lld", (long long)last);
}

static void put_unit(const struct described *d, int64_t n, struct kb_buf *out) {
    kb_buf_printf(out, "%s%s", d->named->one, n == 1 ? "" : "s");
}

/* The smallest power of two that is larger than n. */
static int64_t power_over(int64_t n) {
    int64_t power = 1;

    while (power <= n)
        power *= 2;
    return power;
}

bool kb_tail_words(int64_t total, int64_t start, struct kb_buf *why) {
    int64_t tail = total - start, full = power_over(tail);

    if (tail < 2 || start == 0 || start % full)
        return false;
    kb_buf_printf(why, "%lld = %lld * %lld + %lld, the tail after the last full %lld",
                  (long long)total, (long long)(start / full), (long long)full,
                  (long long)tail, (long long)full);
    return true;
}

static void end_words(const struct described *d, int64_t first, int64_t last) {
    int64_t total = d->named->total, n = last - first + 1;
    const char *which = first == 0 ? "first" : "last";

    if (first != 0 && last != total - 1) {
        if (n >= BLOCK_MIN && n == power_over(n - 1) && first % n == 0)
            kb_buf_printf(d->why, "one block of %lld, from %lld * %lld on", (long long)n,
                          (long long)(first / n), (long long)n);
        return;
    }
    if (total > 1 && 2 * n == total)
        kb_buf_printf(d->why, "the %s half", first == 0 ? "first" : "second");
    else if (n == total - 1)
        kb_buf_printf(d->why, "all but the %s", first == 0 ? "last" : "first");
    else if (first == 0 || !kb_tail_words(total, first, d->why)) {
        kb_buf_printf(d->why, "the %s ", which);
        if (n > 1)
            kb_buf_printf(d->why, "%lld ", (long long)n);
        kb_buf_printf(d->why, "of %lld", (long long)total);
    }
}

/* Indices first .. last of those that are checked, without a gap. */
static bool range_words(const struct described *d) {
    int64_t first = kb_set_next(d->set, 0, true);
    int64_t end = kb_set_next(d->set, first, false);
    int64_t from = number_of(d->named, first), to = number_of(d->named, end - 1);

    if (end - first != d->count)
        return false;
    /* Past the last one that is checked nothing is known, nor between them. */
    put_unit(d, to - from + 1, d->where);
    kb_buf_putc(d->where, ' ');
    put_range(d->where, from, to);
    if (to - from + 1 != d->count)
        kb_buf_printf(d->where, " (all %lld of them that were checked)",
                      (long long)d->count);
    end_words(d, from, to);
    return true;
}

/* All but a few neighbours. */
static bool gap_words(const struct described *d) {
    int64_t first = kb_set_next(d->set, 0, false);
    int64_t end = kb_set_next(d->set, first, true), n = d->set->n;

    if (end - first != n - d->count || 4 * (n - d->count) > n || d->named->numbers)
        return false;
    kb_buf_puts(d->where, "all ");
    put_unit(d, 2, d->where);
    kb_buf_puts(d->where, " but ");
    put_range(d->where, first, end - 1);
    return true;
}

/* The first of its ranges. */
static void put_ranges(const struct described *d, int64_t max) {
    int64_t at = kb_set_next(d->set, 0, true), end, shown = 0;

    for (; at < d->set->n && shown < max; at = kb_set_next(d->set, end, true)) {
        int64_t from = number_of(d->named, at), to = from;
        end = at + 1;
        while (end < d->set->n && kb_set_has(d->set, end) &&
               number_of(d->named, end) == to + 1) {
            to++;
            end++;
        }
        kb_buf_puts(d->where, shown++ ? ", " : "");
        put_range(d->where, from, to);
    }
    if (at < d->set->n)
        kb_buf_puts(d->where, ", ...");
}

/* ---- residues --------------------------------------------------------------------------
 */

struct residues {
    int64_t m, n, first, last; /* n of 0 .. m-1, between first and last */
    bool in[MODULUS_MAX];
};

/* Whether membership is a matter of the number mod m alone. */
static bool depends_on(const struct described *d, int64_t m, struct residues *r) {
    bool seen[MODULUS_MAX] = {false};

    *r = (struct residues){.m = m, .first = m};
    for (int64_t i = 0; i < d->set->n; i++) {
        int64_t at = number_of(d->named, i) % m;
        bool in = kb_set_has(d->set, i);
        if (seen[at] && r->in[at] != in)
            return false;
        seen[at] = true;
        r->in[at] = in;
    }
    for (int64_t at = 0; at < m; at++) {
        if (!r->in[at])
            continue;
        r->first = r->n++ ? r->first : at;
        r->last = at;
    }
    return true;
}

/* Bits to write the rule down: a modulus, of which powers of two are expected, and which
 * residues. */
static double rule_bits(const struct residues *r) {
    bool power = (r->m & (r->m - 1)) == 0;
    bool range = r->last - r->first + 1 == r->n;

    return (power ? 3 : 7) + (range ? 2 * log2((double)r->m) : choices(r->m, r->n));
}

static void residue_words(const struct described *d, const struct residues *r) {
    const char *one = d->named->one;
    long long m = r->m, first = r->first, last = r->last;

    if (m == 2) {
        kb_buf_puts(d->where, r->in[0] ? "even " : "odd ");
        put_unit(d, 2, d->where);
        return;
    }
    put_unit(d, 2, d->where);
    if (r->n == 1) {
        kb_buf_putc(d->where, ' ');
        put_ranges(d, 3);
        kb_buf_printf(d->why, "%s mod %lld = %lld", one, m, first);
        return;
    }
    kb_buf_printf(d->where, " with %s mod %lld = ", one, m);
    if (last - first + 1 == r->n) {
        put_range(d->where, first, last);
        if (2 * r->n == m && (first == 0 || last == m - 1))
            kb_buf_printf(d->why, "the %s half of each %lld",
                          first == 0 ? "lower" : "upper", m);
        return;
    }
    int shown = 0;
    for (int at = 0; at < m && shown < 2 * LISTED; at++)
        if (r->in[at])
            kb_buf_printf(d->where, "%s%d", shown++ ? ", " : "", at);
    if (r->n > shown)
        kb_buf_printf(d->where, ", ... (%lld of %lld)", (long long)r->n, m);
}

static bool any_residues(const struct described *d) {
    struct residues r;

    for (int64_t m = 2; m <= MODULUS_MAX && 2 * m <= d->set->n; m++) {
        if (!depends_on(d, m, &r) || r.n == m)
            continue;
        if (kb_set_evidence(d->set->n, d->count, rule_bits(&r)) < KB_EVIDENCE)
            return false;
        residue_words(d, &r);
        return true;
    }
    return false;
}

/* ---- lists -----------------------------------------------------------------------------
 */

/* Ranges of the set, and the largest size that all of their ends are multiples of. */
static int64_t count_ranges(const struct kb_set *set, int64_t *block) {
    int64_t ranges = 0;

    *block = 0;
    for (int64_t at = kb_set_next(set, 0, true), end; at < set->n;
         at = kb_set_next(set, end, true)) {
        end = kb_set_next(set, at, false);
        ranges++;
        for (int64_t i = 0; i < 2; i++) {
            int64_t edge = i ? end : at;
            if (edge < set->n) /* the last block may be cut short */
                *block = kb_gcd(*block, edge);
        }
    }
    return ranges;
}

static enum kb_form list_words(const struct described *d) {
    int64_t block = 0, ranges = count_ranges(d->set, &block);

    if (ranges <= RANGES_SHOWN) {
        put_unit(d, 2, d->where);
        kb_buf_putc(d->where, ' ');
        put_ranges(d, RANGES_SHOWN);
        return KB_FORM;
    }
    kb_buf_printf(d->where, "%lld of %lld ", (long long)d->count, (long long)d->set->n);
    if (d->named->numbers)
        kb_buf_puts(d->where, "checked ");
    put_unit(d, d->set->n, d->where);
    if (block >= BLOCK_MIN && !d->named->numbers)
        kb_buf_printf(d->where, ", whole blocks of %lld", (long long)block);
    kb_buf_puts(d->where, " (");
    put_ranges(d, LISTED);
    kb_buf_putc(d->where, ')');
    return KB_FORM_LIST;
}

enum kb_form kb_set_words(const struct kb_set *set, const struct kb_named *named,
                          struct kb_buf *where, struct kb_buf *why) {
    struct described d = {set, named, kb_set_count(set, 0, set->n), where, why};

    if (d.count == set->n)
        return KB_FORM_ALL;
    if (range_words(&d) || any_residues(&d) || gap_words(&d))
        return KB_FORM;
    return list_words(&d);
}
