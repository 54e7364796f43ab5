/* match.c - rows of two reports that are of the same thing. */
#include "diff.h"

#include <stdlib.h>
#include <string.h>

/* What a key is made of; those that are left out may differ. */
enum {
    OF_KERNEL = 1 << 0,
    OF_VARIANT = 1 << 1,
    OF_BUILD = 1 << 2,
    OF_DEVICE = 1 << 3, /* and its backend */
    OF_ALL = OF_KERNEL | OF_VARIANT | OF_BUILD | OF_DEVICE
};

struct row {
    const struct kb_entry *entry;
    const char *device; /* as A calls it */
    size_t order;       /* in its report */
    uint64_t hash;
    bool taken;
};
struct rows {
    struct row *items;
    size_t n;
};

/* ---- sides -----------------------------------------------------------------------------
 */

static const char *value_of(const struct kb_entry *entry, enum kb_pivot by) {
    switch (by) {
    case KB_BY_BUILD:
        return entry->build;
    case KB_BY_VARIANT:
        return entry->variant;
    case KB_BY_DEVICE:
        return entry->device;
    case KB_BY_REPORT:
        break;
    }
    return "";
}

void kb_side_values(const struct kb_loaded *report, enum kb_pivot by,
                    struct kb_arena *arena, struct kb_strings *out) {
    for (size_t i = 0; i < report->n_rows; i++) {
        const char *value = value_of(&report->rows[i], by);
        if (*value && !kb_strings_has(out, value))
            kb_strings_add(out, arena, value);
    }
}

static bool is_on(const struct kb_side *side, const struct kb_entry *entry) {
    return side->by == KB_BY_REPORT || kb_streq(value_of(entry, side->by), side->value);
}

/* The device of A that a row of B stands beside, by A's id; B's own where there is none. */
static const char *device_in_a(const struct kb_loaded *a, const struct kb_loaded *b,
                               const struct kb_entry *entry) {
    const struct kb_machine *m = kb_loaded_machine(b, entry);
    const struct kb_machine *beside = m ? kb_machine_beside(a, b, m) : NULL;
    return beside ? beside->id : entry->device;
}

/* ---- keys ------------------------------------------------------------------------------
 */

static void key_of(const struct row *row, unsigned parts, struct kb_buf *out) {
    const struct kb_entry *e = row->entry;
    kb_buf_clear(out);
    kb_buf_puts(out, e->case_id);
    kb_buf_putc(out, '\n');
    kb_buf_puts(out, parts & OF_KERNEL ? e->kernel : "");
    kb_buf_putc(out, '\n');
    kb_buf_puts(out, parts & OF_VARIANT ? e->variant : "");
    kb_buf_putc(out, '\n');
    kb_buf_puts(out, parts & OF_BUILD ? e->build : "");
    kb_buf_putc(out, '\n');
    kb_buf_puts(out, parts & OF_DEVICE ? row->device : "");
}

static bool is_same_key(const struct row *x, const struct row *y, unsigned parts) {
    const struct kb_entry *a = x->entry, *b = y->entry;
    return kb_streq(a->case_id, b->case_id) &&
           (!(parts & OF_KERNEL) || kb_streq(a->kernel, b->kernel)) &&
           (!(parts & OF_VARIANT) || kb_streq(a->variant, b->variant)) &&
           (!(parts & OF_BUILD) || kb_streq(a->build, b->build)) &&
           (!(parts & OF_DEVICE) || kb_streq(x->device, y->device));
}

static void hash_all(struct rows *rows, unsigned parts, struct kb_buf *key) {
    for (size_t i = 0; i < rows->n; i++) {
        struct kb_hash hash;
        key_of(&rows->items[i], parts, key);
        hash = kb_hash_of(kb_buf_text(key), key->len);
        memcpy(&rows->items[i].hash, hash.bytes, sizeof rows->items[i].hash);
    }
}

static int by_hash(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

static int by_order(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    return (x->order > y->order) - (x->order < y->order);
}

/* The first of those of `rows` that have this hash; rows->n where there is none. */
static size_t first_of(const struct rows *rows, uint64_t hash) {
    size_t low = 0, high = rows->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (rows->items[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Whether 0, 1 or more rows that are not taken have the key of `row`, of those of `build`
 * (NULL: of all); *found is the first. */
static size_t left_with_key(const struct rows *rows, const struct row *row, unsigned parts,
                            const char *build, size_t *found) {
    size_t n = 0;
    for (size_t i = first_of(rows, row->hash);
         i < rows->n && rows->items[i].hash == row->hash; i++) {
        const struct row *other = &rows->items[i];
        if (other->taken || !is_same_key(other, row, parts) ||
            (build && !kb_streq(other->entry->build, build)))
            continue;
        if (n++ == 0)
            *found = i;
        else
            break; /* more than one is all that is asked */
    }
    return n;
}

/* ---- pairs -----------------------------------------------------------------------------
 */

struct matching {
    struct rows a, b;
    const struct kb_entry **partner; /* of a's rows, by their order */
    struct kb_buf key;
};

/* What counts as alone on a side: rows of any build, or of this one. */
struct alone {
    const char *a, *b;
};

/* Pair what is left by a key of these parts: with all of them the first of those that stand
 * twice, with fewer only what is alone on both sides. */
static void match(struct matching *m, unsigned parts, const struct alone *alone) {
    hash_all(&m->a, parts, &m->key);
    hash_all(&m->b, parts, &m->key);
    qsort(m->a.items, m->a.n, sizeof *m->a.items, by_hash);
    qsort(m->b.items, m->b.n, sizeof *m->b.items, by_hash);
    for (size_t i = 0; i < m->a.n; i++) {
        struct row *row = &m->a.items[i];
        size_t at = 0, self = 0;
        if (row->taken || (alone && alone->a && !kb_streq(row->entry->build, alone->a)))
            continue;
        size_t n = left_with_key(&m->b, row, parts, alone ? alone->b : NULL, &at);
        if (n == 0 ||
            (alone && (n > 1 || left_with_key(&m->a, row, parts, alone->a, &self) > 1)))
            continue;
        row->taken = m->b.items[at].taken = true;
        m->partner[row->order] = m->b.items[at].entry;
    }
}

static struct rows rows_of(const struct kb_side *side, const struct kb_loaded *a,
                           struct kb_arena *arena) {
    const struct kb_loaded *report = side->report;
    struct rows rows = {0};
    rows.items = kb_arena_array(arena, report->n_rows + 1, sizeof *rows.items);
    for (size_t i = 0; i < report->n_rows; i++) {
        const struct kb_entry *entry = &report->rows[i];
        if (!is_on(side, entry))
            continue;
        rows.items[rows.n] = (struct row){
            .entry = entry,
            .device = report == a ? entry->device : device_in_a(a, report, entry),
            .order = rows.n,
            .taken = entry->twice, /* its like was there first */
        };
        rows.n++;
    }
    return rows;
}

static void add_difference(const char *name, const char *a, const char *b,
                           struct kb_buf *out) {
    if (!kb_streq(a, b))
        kb_buf_printf(out, "%s%s %s -> %s", out->len ? ", " : "", name, *a ? a : "-",
                      *b ? b : "-");
}

/* In which parts of their keys the two of a pair differ, but for what tells the sides
 * apart.
 */
static const char *differences(const struct kb_side *side, const struct kb_pair *pair,
                               struct kb_arena *arena) {
    struct kb_buf text = {0};
    if (side->by != KB_BY_VARIANT)
        add_difference("variant", pair->a->variant, pair->b->variant, &text);
    add_difference("kernel", pair->a->kernel, pair->b->kernel, &text);
    if (side->by != KB_BY_BUILD)
        add_difference("build", pair->a->build, pair->b->build, &text);
    const char *copy = text.len ? kb_arena_strdup(arena, kb_buf_text(&text)) : "";
    kb_buf_free(&text);
    return copy;
}

static bool is_cross(const struct kb_pairs *pairs, const struct kb_pair *pair) {
    const struct kb_machine *a = kb_loaded_machine(pairs->a.report, pair->a);
    const struct kb_machine *b = kb_loaded_machine(pairs->b.report, pair->b);
    return a && b && !kb_streq(a->name, b->name);
}

static void add_pair(struct kb_pairs *pairs, const struct kb_entry *a,
                     const struct kb_entry *b, enum kb_method method,
                     struct kb_arena *arena) {
    struct kb_pair *pair = &pairs->items[pairs->n++];
    *pair = (struct kb_pair){.a = a, .b = b, .method = method, .differs = "", .why = ""};
    pair->ta = a ? kb_entry_time(a, method) : NULL;
    pair->tb = b ? kb_entry_time(b, method) : NULL;
    if (!a || !b) {
        pairs->only_a += !b;
        pairs->only_b += !a;
        return;
    }
    pair->same_code = *a->code && kb_streq(a->code, b->code);
    pair->cross = is_cross(pairs, pair);
    pair->differs = differences(&pairs->a, pair, arena);
}

/* The first method that rows of both sides were timed by; graph where there is none. */
static enum kb_method common_method(const struct matching *m) {
    for (int method = 0; method < KB_METHOD_COUNT; method++) {
        bool in_a = false, in_b = false;
        for (size_t i = 0; i < m->a.n && !in_a; i++)
            in_a = kb_entry_time(m->a.items[i].entry, (enum kb_method)method) != NULL;
        for (size_t i = 0; i < m->b.n && !in_b; i++)
            in_b = kb_entry_time(m->b.items[i].entry, (enum kb_method)method) != NULL;
        if (in_a && in_b)
            return (enum kb_method)method;
    }
    return KB_GRAPH;
}

void kb_pairs_make(const struct kb_side *a, const struct kb_side *b,
                   const enum kb_method *methods, int n_methods, enum kb_relax relax,
                   struct kb_arena *arena, struct kb_pairs *out) {
    static const unsigned left_out[] = {[KB_BY_REPORT] = 0,
                                        [KB_BY_BUILD] = OF_BUILD,
                                        [KB_BY_VARIANT] = OF_VARIANT,
                                        [KB_BY_DEVICE] = OF_DEVICE};
    static const unsigned relaxed[] = {
        [KB_RELAX_VARIANT] = OF_VARIANT,
        [KB_RELAX_KERNEL] = OF_VARIANT | OF_KERNEL,
        [KB_RELAX_BUILD] = OF_VARIANT | OF_KERNEL | OF_BUILD,
    };
    static const struct alone any = {0}, of_a = {"precise", NULL}, of_b = {NULL, "precise"};
    unsigned parts = OF_ALL & ~left_out[a->by];
    struct matching m = {.a = rows_of(a, a->report, arena),
                         .b = rows_of(b, a->report, arena)};
    *out = (struct kb_pairs){.a = *a, .b = *b, .a_word = "A", .b_word = "B"};
    m.partner = kb_arena_array(arena, m.a.n + 1, sizeof *m.partner);
    match(&m, parts, NULL);
    for (int r = KB_RELAX_VARIANT; r <= (int)relax; r++)
        if ((parts & ~relaxed[r]) != parts)
            match(&m, parts & ~relaxed[r], &any);
    if (relax == KB_RELAX_BUILD && a->by == KB_BY_REPORT) {
        match(&m, parts & ~relaxed[relax], &of_a);
        match(&m, parts & ~relaxed[relax], &of_b);
    }
    enum kb_method common = common_method(&m);
    const enum kb_method *by = n_methods ? methods : &common;
    size_t n_by = n_methods ? (size_t)n_methods : 1;
    out->method = by[0];
    out->items = kb_arena_array(arena, (m.a.n + m.b.n + 1) * n_by, sizeof *out->items);
    qsort(m.a.items, m.a.n, sizeof *m.a.items, by_order);
    qsort(m.b.items, m.b.n, sizeof *m.b.items, by_order);
    for (size_t i = 0; i < m.a.n; i++)
        for (size_t k = 0; k < n_by; k++)
            if (k == 0 || (m.partner[i] && (kb_entry_time(m.a.items[i].entry, by[k]) ||
                                            kb_entry_time(m.partner[i], by[k]))))
                add_pair(out, m.a.items[i].entry, m.partner[i], by[k], arena);
    for (size_t i = 0; i < m.b.n; i++)
        if (!m.b.items[i].taken || m.b.items[i].entry->twice)
            add_pair(out, NULL, m.b.items[i].entry, by[0], arena);
    kb_buf_free(&m.key);
}

void kb_loaded_mark_twice(struct kb_loaded *report) {
    struct kb_arena arena = {0};
    const struct kb_side side = {.report = report};
    struct rows rows = rows_of(&side, report, &arena);
    struct kb_buf key = {0};
    hash_all(&rows, OF_ALL, &key);
    qsort(rows.items, rows.n, sizeof *rows.items, by_hash);
    for (size_t i = 0; i < rows.n; i++) {
        size_t first = first_of(&rows, rows.items[i].hash);
        while (first < i && !is_same_key(&rows.items[first], &rows.items[i], OF_ALL))
            first++;
        report->rows[rows.items[i].order].twice = first < i;
    }
    kb_buf_free(&key);
    kb_arena_free(&arena);
}
