/* localise_flat.c - wrong elements that rows and columns do not tell: neighbours across the
 * ends of rows, a residue of the flat index, blocks that are wrong or right as a whole. */
#include "localise.h"

#include <math.h>
#include <string.h>

enum { MODULUS_MAX = 128, SAMPLE = 4096, BLOCK_MIN = 8 };

static bool is_pattern(const struct kb_mask *mask, const struct kb_local *l) {
    return (double)l->inside >= KB_COVER * (double)mask->wrong &&
           (double)l->inside >= KB_PURE * (double)l->named;
}

static void there_words(const struct kb_mask *mask, const struct kb_local *l,
                        struct kb_buf *where) {
    if (l->inside < l->named)
        kb_buf_printf(where, ", %lld of %lld there", (long long)l->inside,
                      (long long)l->named);
    if (l->inside < mask->wrong)
        kb_buf_printf(where, ", and %lld elsewhere", (long long)(mask->wrong - l->inside));
}

/* ---- neighbours ------------------------------------------------------------------------
 */

static int64_t last_wrong(const struct kb_mask *mask) {
    int64_t at = mask->set.n - 1;

    while (!kb_set_has(&mask->set, at))
        at--;
    return at;
}

static bool run_where(const struct kb_mask *mask, struct kb_local *l, struct kb_buf *where,
                      struct kb_buf *why) {
    int64_t first = kb_set_next(&mask->set, 0, true), last = last_wrong(mask);
    int64_t n = mask->set.n;

    l->pattern = KB_P_RUN;
    l->inside = mask->wrong;
    l->named = last - first + 1;
    if (!is_pattern(mask, l))
        return false;
    kb_buf_puts(where, "from ");
    if (first == 0)
        kb_buf_puts(where, "the start");
    else
        kb_mask_index_words(mask, first, where);
    kb_buf_puts(where, " to ");
    if (last == n - 1)
        kb_buf_puts(where, "the end");
    else
        kb_mask_index_words(mask, last, where);
    if (l->inside == l->named)
        kb_buf_puts(where, " without a gap");
    there_words(mask, l, where);
    if (last == n - 1 && kb_tail_words(n, first, why))
        return true;
    if (first == 0 || last == n - 1)
        kb_buf_printf(why, "the %s %lld of %lld elements", first ? "last" : "first",
                      (long long)l->named, (long long)n);
    else if ((l->named & (l->named - 1)) == 0 && first % l->named == 0)
        kb_buf_printf(why, "one block of %lld elements, from %lld * %lld on",
                      (long long)l->named, (long long)(first / l->named),
                      (long long)l->named);
    return true;
}

/* ---- residues --------------------------------------------------------------------------
 */

struct residues {
    int64_t m, n, first, last;
    bool in[MODULUS_MAX];
};

/* Those of 0 .. m-1 that have at least half as many elements as the fullest. */
static struct residues full_of(const int64_t *counts, int64_t m) {
    struct residues r = {.m = m};
    int64_t most = 0;

    for (int64_t i = 0; i < m; i++)
        most = counts[i] > most ? counts[i] : most;
    for (int64_t i = 0; i < m; i++) {
        if (2 * counts[i] < most)
            continue;
        r.in[i] = true;
        r.first = r.n++ ? r.first : i;
        r.last = i;
    }
    return r;
}

static bool counts_right(const struct kb_mask *mask, const struct residues *r,
                         struct kb_local *l) {
    l->named = l->inside = 0;
    for (int64_t i = 0; i < r->m; i++)
        if (i < mask->set.n && r->in[i])
            l->named += (mask->set.n - 1 - i) / r->m + 1;
    for (int64_t at = kb_set_next(&mask->set, 0, true); at < mask->set.n;
         at = kb_set_next(&mask->set, at + 1, true))
        l->inside += r->in[at % r->m];
    return is_pattern(mask, l);
}

static bool find_residues(const struct kb_mask *mask, struct kb_local *l,
                          struct residues *r) {
    int64_t sample[SAMPLE], n;

    n = kb_set_sample(&mask->set, true, mask->wrong, SAMPLE, sample);

    for (int64_t m = 2; m <= MODULUS_MAX && 8 * m <= mask->set.n; m++) {
        int64_t counts[MODULUS_MAX] = {0}, inside = 0;
        for (int64_t i = 0; i < n; i++)
            counts[sample[i] % m]++;
        *r = full_of(counts, m);
        for (int64_t i = 0; i < m; i++)
            inside += r->in[i] ? counts[i] : 0;
        /* By chance the wrong ones may keep to some residues where there are few of them.
         */
        double kept = (double)n * log2((double)m / (double)r->n);
        if (4 * r->n <= 3 * m && (double)inside >= KB_COVER * (double)n &&
            kept - kb_set_evidence(m, r->n, 0) - 7 >= KB_EVIDENCE &&
            counts_right(mask, r, l))
            return true;
    }
    return false;
}

static bool residue_where(const struct kb_mask *mask, struct kb_local *l,
                          struct kb_buf *where) {
    struct residues r;
    int shown = 0;

    l->pattern = KB_P_RESIDUE;
    if (!find_residues(mask, l, &r))
        return false;
    kb_buf_printf(where, "flat index mod %lld = ", (long long)r.m);
    if (r.last - r.first + 1 == r.n && r.n > 2)
        kb_buf_printf(where, "%lld..%lld", (long long)r.first, (long long)r.last);
    else
        for (int i = 0; i < r.m; i++)
            if (r.in[i])
                kb_buf_printf(where, "%s%d", shown++ ? ", " : "", i);
    there_words(mask, l, where);
    return true;
}

/* ---- blocks ----------------------------------------------------------------------------
 */

/* The largest sizes that all edges between wrong and right are multiples of. */
struct edges {
    int64_t flat, columns, rows;
};

/* A number that equal rows share. */
static uint64_t row_edges(const struct kb_mask *mask, int64_t row, struct edges *e) {
    int64_t start = row * mask->columns, end = start + mask->columns;
    bool in = kb_set_has(&mask->set, start);
    uint64_t hash = UINT64_C(14695981039346656037) + in;

    for (int64_t at = start; e->columns != 1;) {
        at = kb_set_next(&mask->set, at, !in);
        if (at >= end)
            break;
        in = !in;
        e->columns = kb_gcd(e->columns, at - start);
        hash = (hash ^ (uint64_t)(at - start)) * UINT64_C(1099511628211);
    }
    return hash;
}

static struct edges edges_of(const struct kb_mask *mask) {
    struct edges e = {0};
    uint64_t before = 0;
    bool in = false;

    for (int64_t at = 0; e.flat != 1;) {
        at = kb_set_next(&mask->set, at, !in);
        if (at == mask->set.n)
            break;
        in = !in;
        e.flat = kb_gcd(e.flat, at);
    }
    for (int64_t row = 0; row < mask->rows && e.columns != 1; row++) {
        uint64_t now = row_edges(mask, row, &e);
        if (row && now != before)
            e.rows = kb_gcd(e.rows, row);
        before = now;
    }
    return e;
}

static int64_t blocks_in(int64_t n, int64_t size) {
    return (n + size - 1) / size;
}

/* Wrong blocks, each seen at its first element. */
static int64_t wrong_blocks(const struct kb_mask *mask, int64_t rows, int64_t columns) {
    int64_t n = 0;

    for (int64_t row = 0; row < mask->rows; row += rows)
        for (int64_t at = 0; at < mask->columns; at += columns)
            n += kb_set_has(&mask->set, row * mask->columns + at);
    return n;
}

static bool is_no_accident(const struct kb_mask *mask, int64_t blocks, int64_t wrong) {
    double told = kb_set_evidence(blocks, wrong, 0) + 20; /* the size as well */

    return kb_set_evidence(mask->set.n, mask->wrong, told) >= KB_EVIDENCE;
}

static bool tile_where(const struct kb_mask *mask, const struct edges *e,
                       struct kb_buf *where) {
    int64_t rows = e->rows ? e->rows : mask->rows;

    if (e->columns < 2 || rows * e->columns < BLOCK_MIN)
        return false;
    int64_t blocks = blocks_in(mask->rows, rows) * blocks_in(mask->columns, e->columns);
    int64_t wrong = wrong_blocks(mask, rows, e->columns);
    if (!is_no_accident(mask, blocks, wrong))
        return false;
    kb_buf_printf(where, "%lld of %lld blocks of %lld row%s x %lld columns, the first at ",
                  (long long)wrong, (long long)blocks, (long long)rows,
                  rows == 1 ? "" : "s", (long long)e->columns);
    kb_mask_index_words(mask, kb_set_next(&mask->set, 0, true), where);
    return true;
}

static bool flat_blocks_where(const struct kb_mask *mask, const struct edges *e,
                              struct kb_buf *where) {
    int64_t n = mask->set.n, wrong = 0;

    if (e->flat < BLOCK_MIN)
        return false;
    for (int64_t at = 0; at < n; at += e->flat)
        wrong += kb_set_has(&mask->set, at);
    if (!is_no_accident(mask, blocks_in(n, e->flat), wrong))
        return false;
    kb_buf_printf(where,
                  "%lld of %lld blocks of %lld elements by flat index, the first at ",
                  (long long)wrong, (long long)blocks_in(n, e->flat), (long long)e->flat);
    kb_mask_index_words(mask, kb_set_next(&mask->set, 0, true), where);
    return true;
}

static bool block_where(const struct kb_mask *mask, struct kb_local *l,
                        struct kb_buf *where) {
    struct edges e = edges_of(mask);

    l->pattern = KB_P_BLOCKS;
    l->named = l->inside = mask->wrong;
    return tile_where(mask, &e, where) || flat_blocks_where(mask, &e, where);
}

bool kb_mask_flat_where(const struct kb_mask *mask, struct kb_local *out,
                        struct kb_buf *where, struct kb_buf *why) {
    if (mask->numbers || mask->rows < 2)
        return false; /* what lies between is not known, or was looked at as columns */
    return run_where(mask, out, where, why) || residue_where(mask, out, where) ||
           block_where(mask, out, where);
}
