/* localise_where.c - which rows and columns are wrong: all of them, whole rows, the same
 * columns of every row, or some columns of some rows. What is none of these is looked at as
 * flat indices, and what is not that either is scattered. */
#include "localise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Columns are counted one by one up to here. */
#define COLUMNS_MAX ((int64_t)1 << 24)

static const struct {
    const char *word;
} patterns[] = {
#define X(id, word, help) [id] = {word},
    KB_PATTERNS(X)
#undef X
};

const char *kb_pattern_word(enum kb_pattern pattern) {
    return patterns[pattern].word;
}

bool kb_pattern_parse(const char *word, enum kb_pattern *out) {
    for (size_t i = 0; i < KB_COUNT(patterns); i++) {
        if (!kb_streq(patterns[i].word, word))
            continue;
        *out = (enum kb_pattern)i;
        return true;
    }
    return false;
}

/* ---- places ----------------------------------------------------------------------------
 */

int64_t kb_mask_flat(const struct kb_mask *mask, int64_t place) {
    if (!mask->numbers)
        return place;
    return mask->numbers[place / mask->columns] * mask->columns + place % mask->columns;
}

void kb_mask_index_words(const struct kb_mask *mask, int64_t place, struct kb_buf *out) {
    int64_t index[KB_MAX_RANK] = {0}, flat = kb_mask_flat(mask, place);

    for (int i = mask->rank - 1; i >= 0; i--) {
        index[i] = flat % mask->shape[i];
        flat /= mask->shape[i];
    }
    for (int i = 0; i < mask->rank; i++)
        kb_buf_printf(out, "%s%lld", i ? ", " : "[", (long long)index[i]);
    kb_buf_putc(out, ']');
}

/* ---- rows and columns ------------------------------------------------------------------
 */

/* Wrong elements of each row and of each column. Rows are counted when they are asked for:
 * there may be as many as elements. */
struct counts {
    const struct kb_mask *mask;
    int64_t *columns; /* NULL: too many */
    int64_t row_max, column_max;
};

static int64_t row_count(const struct kb_mask *mask, int64_t row) {
    return kb_set_count(&mask->set, row * mask->columns, (row + 1) * mask->columns);
}

static void count_row(struct counts *c, int64_t row) {
    const struct kb_set *set = &c->mask->set;
    int64_t start = row * c->mask->columns, end = start + c->mask->columns;

    for (int64_t at = kb_set_next(set, start, true), stop; at < end;
         at = kb_set_next(set, stop, true)) {
        stop = kb_set_next(set, at, false);
        stop = stop < end ? stop : end;
        for (; at < stop; at++)
            c->columns[at - start]++;
    }
}

static struct counts count_all(const struct kb_mask *mask) {
    struct counts c = {.mask = mask};
    int64_t whole = 0;

    if (mask->columns <= COLUMNS_MAX)
        c.columns = calloc((size_t)mask->columns, sizeof *c.columns);
    for (int64_t row = 0; row < mask->rows; row++) {
        int64_t n = row_count(mask, row);
        c.row_max = n > c.row_max ? n : c.row_max;
        if (n == mask->columns)
            whole++;
        else if (n > 0 && c.columns)
            count_row(&c, row);
    }
    for (int64_t i = 0; i < mask->columns && c.columns; i++) {
        c.columns[i] += whole;
        c.column_max = c.columns[i] > c.column_max ? c.columns[i] : c.column_max;
    }
    return c;
}

/* Rows and columns with at least so many wrong elements. */
struct cross {
    struct kb_set rows, columns;
    int64_t n_rows, n_columns;
};

static void cross_free(struct cross *x) {
    kb_set_free(&x->rows);
    kb_set_free(&x->columns);
}

static bool cross_make(const struct counts *c, int64_t of_row, int64_t of_column,
                       struct cross *x) {
    const struct kb_mask *mask = c->mask;

    *x = (struct cross){0};
    if (!c->columns || !kb_set_make(&x->rows, mask->rows) ||
        !kb_set_make(&x->columns, mask->columns))
        return false;
    for (int64_t i = 0; i < mask->rows; i++)
        if (row_count(mask, i) >= of_row)
            kb_set_add(&x->rows, i);
    for (int64_t i = 0; i < mask->columns; i++)
        if (c->columns[i] >= of_column)
            kb_set_add(&x->columns, i);
    x->n_rows = kb_set_count(&x->rows, 0, mask->rows);
    x->n_columns = kb_set_count(&x->columns, 0, mask->columns);
    return true;
}

/* Wrong elements where the rows and the columns meet. */
static int64_t count_inside(const struct counts *c, const struct cross *x) {
    const struct kb_mask *mask = c->mask;
    int64_t inside = 0;

    for (int64_t row = kb_set_next(&x->rows, 0, true); row < mask->rows;
         row = kb_set_next(&x->rows, row + 1, true)) {
        int64_t start = row * mask->columns;
        if (x->n_columns == mask->columns) {
            inside += row_count(mask, row);
            continue;
        }
        for (int64_t at = kb_set_next(&x->columns, 0, true), end; at < mask->columns;
             at = kb_set_next(&x->columns, end, true)) {
            end = kb_set_next(&x->columns, at, false);
            inside += kb_set_count(&mask->set, start + at, start + end);
        }
    }
    return inside;
}

/* ---- words -----------------------------------------------------------------------------
 */

/* Rows that are all those of some slices of one leading axis. */
static bool slice_words(const struct kb_mask *mask, const struct cross *x,
                        struct kb_buf *where, struct kb_buf *why) {
    int64_t inner = 1;
    bool found = false;

    for (int axis = mask->rank - 2; axis >= 0 && mask->rank > 2 && !mask->numbers && !found;
         inner *= mask->shape[axis--]) {
        int64_t size = mask->shape[axis];
        struct kb_named named = {.one = "slice", .total = size};
        struct kb_set slices;
        if (!kb_set_make(&slices, size))
            return false;
        for (int64_t row = kb_set_next(&x->rows, 0, true); row < mask->rows;
             row = kb_set_next(&x->rows, row + 1, true))
            kb_set_add(&slices, row / inner % size);
        int64_t n = kb_set_count(&slices, 0, size);
        found = n < size && n * (mask->rows / size) == x->n_rows;
        if (found) {
            kb_set_words(&slices, &named, where, why);
            kb_buf_printf(where, " of axis %d", axis);
        }
        kb_set_free(&slices);
    }
    return found;
}

/* The reason for the columns may stand in `why` already. */
static void row_words(const struct kb_mask *mask, const struct cross *x,
                      struct kb_buf *where, struct kb_buf *why) {
    struct kb_named named = {"row", mask->numbers, mask->all_rows};
    struct kb_buf own = {0};

    if (!slice_words(mask, x, where, &own))
        kb_set_words(&x->rows, &named, where, &own);
    if (own.len)
        kb_buf_printf(why, "%s%s", why->len ? "; rows: " : "", own.data);
    kb_buf_free(&own);
}

static void element_words(const struct kb_mask *mask, struct kb_buf *where,
                          struct kb_buf *why) {
    int64_t place = kb_set_next(&mask->set, 0, true), flat = kb_mask_flat(mask, place);
    int64_t column = place % mask->columns, n = mask->columns;

    if (mask->all_rows == 1)
        kb_buf_printf(where, "%s %lld of %lld", mask->rank > 1 ? "column" : "element",
                      (long long)column, (long long)n);
    else
        kb_mask_index_words(mask, place, where);
    if (flat == 0 || flat == mask->all_rows * n - 1)
        kb_buf_puts(why, flat ? "the last element" : "the first element");
    else if (n > 1 && mask->all_rows > 1 && (column == 0 || column == n - 1))
        kb_buf_printf(why, "the %s of its row", column ? "last" : "first");
}

/* By how much the words are not exact. */
static void inexact_words(const struct kb_mask *mask, const struct kb_local *l,
                          struct kb_buf *where) {
    if (l->inside < l->named)
        kb_buf_printf(where, ", %lld of %lld there", (long long)l->inside,
                      (long long)l->named);
    if (mask->wrong > l->inside)
        kb_buf_printf(where, "%s %lld elsewhere", l->inside < l->named ? " and" : ", and",
                      (long long)(mask->wrong - l->inside));
}

static void everywhere_words(const struct kb_local *l, struct kb_buf *where) {
    int64_t right = l->named - l->inside;

    kb_buf_puts(where, right ? "everywhere" : "every element");
    if (right)
        kb_buf_printf(where, " but in %lld element%s", (long long)right,
                      right == 1 ? "" : "s");
}

static void cross_words(const struct kb_mask *mask, const struct cross *x,
                        struct kb_local *l, struct kb_buf *where, struct kb_buf *why) {
    bool all_rows = x->n_rows == mask->rows, all_columns = x->n_columns == mask->columns;
    struct kb_named columns = {mask->rank > 1 ? "column" : "element", NULL, mask->columns};

    l->pattern = all_rows && all_columns ? KB_P_EVERYWHERE
                 : all_columns           ? KB_P_ROWS
                 : all_rows              ? KB_P_COLUMNS
                                         : KB_P_TILE;
    if (l->pattern == KB_P_EVERYWHERE) {
        everywhere_words(l, where);
        return;
    }
    if (all_columns) {
        row_words(mask, x, where, why);
    } else {
        kb_set_words(&x->columns, &columns, where, why);
        if (all_rows && mask->rows > 1) {
            kb_buf_puts(where, " of every row");
        } else if (!all_rows) {
            kb_buf_puts(where, " of ");
            row_words(mask, x, where, why);
        }
    }
    inexact_words(mask, l, where);
}

/* ---- gaps ------------------------------------------------------------------------------
 */

/* A long list of nearly all between its ends is taken for all of them: what is missing is
 * right by accident. */
static int64_t without_gaps(struct kb_set *set, int64_t count) {
    const struct kb_named named = {"", NULL, set->n};
    struct kb_buf where = {0}, why = {0};
    int64_t first = kb_set_next(set, 0, true), end = first;
    enum kb_form form = kb_set_words(set, &named, &where, &why);

    kb_buf_free(&where);
    kb_buf_free(&why);
    for (int64_t at = first; at < set->n; at = kb_set_next(set, end, true))
        end = kb_set_next(set, at, false);
    if (form != KB_FORM_LIST || (double)count < KB_PURE * (double)(end - first))
        return count;
    for (int64_t i = first; i < end; i++)
        kb_set_add(set, i);
    return end - first;
}

/* ---- the search ------------------------------------------------------------------------
 */

/* Where nearly all of some rows' and columns' common elements are wrong, and nearly no
 * others. */
static bool cross_where(const struct counts *c, struct kb_local *l, struct kb_buf *where,
                        struct kb_buf *why) {
    const struct kb_mask *mask = c->mask;
    struct cross x;
    bool found = false;

    if (cross_make(c, (c->row_max + 1) / 2, (c->column_max + 1) / 2, &x)) {
        x.n_rows = without_gaps(&x.rows, x.n_rows);
        x.n_columns = without_gaps(&x.columns, x.n_columns);
        l->inside = count_inside(c, &x);
        l->named = x.n_rows * x.n_columns;
        found = (double)l->inside >= KB_COVER * (double)mask->wrong &&
                (double)l->inside >= KB_PURE * (double)l->named;
    }
    bool everywhere = found && l->inside < mask->wrong &&
                      (double)mask->wrong >= KB_PURE * (double)mask->set.n;
    if (everywhere) { /* in the other rows and columns, too: they are none of a pattern */
        l->pattern = KB_P_EVERYWHERE;
        l->inside = mask->wrong;
        l->named = mask->set.n;
        everywhere_words(l, where);
    } else if (found) {
        cross_words(mask, &x, l, where, why);
    }
    cross_free(&x);
    return found;
}

/* How surprising it is that so many elements keep to `in` of `n` rows or columns. */
static double kept_to(int64_t n, int64_t in, int64_t wrong) {
    if (in == n)
        return 0;
    return (double)wrong * log2((double)n / (double)in) -
           kb_set_evidence(n, in, 0); /* which is what telling them costs */
}

/* Whether that is worth telling: a long list of most of them tells nothing. */
static bool is_kept_to(const struct kb_set *set, int64_t in, int64_t wrong,
                       const struct kb_named *named) {
    struct kb_buf where = {0}, why = {0};

    if (kept_to(set->n, in, wrong) < KB_EVIDENCE)
        return false;
    enum kb_form form = kb_set_words(set, named, &where, &why);
    kb_buf_free(&where);
    kb_buf_free(&why);
    return form == KB_FORM || 2 * in <= set->n;
}

/* Without a form of their own, but not in all rows or columns, if that is no accident. */
static void scattered_where(const struct counts *c, struct kb_local *l,
                            struct kb_buf *where, struct kb_buf *why) {
    const struct kb_mask *mask = c->mask;
    struct cross x;
    bool made = cross_make(c, 1, 1, &x), rows = false, columns = false;

    l->pattern = KB_P_SCATTERED;
    l->named = mask->set.n;
    l->inside = mask->wrong;
    kb_buf_puts(where, "scattered");
    struct kb_named row = {"row", mask->numbers, mask->all_rows};
    struct kb_named column = {mask->rank > 1 ? "column" : "element", NULL, mask->columns};
    if (made) {
        rows = is_kept_to(&x.rows, x.n_rows, mask->wrong, &row);
        columns = is_kept_to(&x.columns, x.n_columns, mask->wrong, &column);
    }
    if (rows || columns) {
        l->named = (rows ? x.n_rows : mask->rows) * (columns ? x.n_columns : mask->columns);
        kb_buf_puts(where, " over ");
        if (columns)
            kb_set_words(&x.columns, &column, where, why);
        if (columns && mask->rows > 1)
            kb_buf_puts(where, rows ? " of " : " of all rows");
        if (rows)
            row_words(mask, &x, where, why);
        kb_buf_printf(where, ", %lld of %lld there", (long long)mask->wrong,
                      (long long)l->named);
    }
    cross_free(&x);
}

/* ---- the choice ------------------------------------------------------------------------
 */

struct told {
    struct kb_local local;
    struct kb_buf where, why;
    bool found;
};

static bool is_exact(const struct kb_mask *mask, const struct told *t) {
    return t->found && t->local.inside == mask->wrong && t->local.named == mask->wrong;
}

static void keep(struct told *t, struct kb_arena *arena, struct kb_local *out) {
    out->pattern = t->local.pattern;
    out->named = t->local.named;
    out->inside = t->local.inside;
    out->where = kb_arena_strdup(arena, kb_buf_text(&t->where));
    out->why = t->why.len ? kb_arena_strdup(arena, t->why.data) : NULL;
}

/* What is exact goes before what is nearly so, rows and columns before flat indices. */
void kb_mask_where(const struct kb_mask *mask, struct kb_arena *arena,
                   struct kb_local *out) {
    struct told cross = {.found = true}, flat = {.found = false};
    struct counts c = {0};

    if (mask->wrong == 1) {
        cross.local = (struct kb_local){.pattern = KB_P_ELEMENT, .named = 1, .inside = 1};
        element_words(mask, &cross.where, &cross.why);
    } else {
        c = count_all(mask);
        cross.found = cross_where(&c, &cross.local, &cross.where, &cross.why);
    }
    if (!is_exact(mask, &cross))
        flat.found = kb_mask_flat_where(mask, &flat.local, &flat.where, &flat.why);
    if (!cross.found && !flat.found) {
        cross.found = true;
        kb_buf_clear(&cross.where);
        kb_buf_clear(&cross.why);
        scattered_where(&c, &cross.local, &cross.where, &cross.why);
    }
    keep(cross.found && !is_exact(mask, &flat) ? &cross : &flat, arena, out);
    free(c.columns);
    kb_buf_free(&cross.where);
    kb_buf_free(&cross.why);
    kb_buf_free(&flat.where);
    kb_buf_free(&flat.why);
}
