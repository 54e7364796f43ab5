/* sampled.c - which rows of a large output are checked, where not all are.
 *
 * Kernels go wrong on large problems where a number overflows: at 2^31 elements or 2^32
 * bytes into a tensor, at 65535 blocks of a grid's second axis. Rows on both sides of such
 * borders are always among those checked, as far as there is room. The others are drawn, so
 * that no kernel can know them from the shape alone, and one from each stretch of the rest,
 * so that no large part is left out. */
#include "measure.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { GRID_ROWS = 1 << 16 };

/* Rows on both sides of borders, in the order in which they are wanted. */
struct borders {
    int64_t n, room, rows; /* rows: of the output */
    int64_t *items;
};

static int compare_rows(const void *a, const void *b) {
    int64_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* The row that starts at or runs across a border, and its neighbours. */
static void add_border(struct borders *b, int64_t row) {
    for (int64_t r = row - 1; r <= row + 1; r++)
        if (r >= 0 && r < b->rows && b->n < b->room)
            b->items[b->n++] = r;
}

/* Multiple `k` of so many elements into a tensor that has as many parts as the output has
 * rows. False past its end. */
static bool add_offset(struct borders *b, int64_t elements, int64_t k, int64_t step) {
    int64_t part = elements / b->rows, offset;

    if (part == 0 || !kb_mul_i64(k, step, &offset) || offset >= elements)
        return false;
    add_border(b, offset / part);
    return true;
}

/* The k-th multiples of all borders; false where there are none so far out. */
static bool add_multiples(struct borders *b, const struct kb_problem *p, int64_t k) {
    bool any = false;

    for (int t = 0; t < p->n_tensors; t++) {
        const struct kb_tensor_spec *spec = &p->tensors[t];
        int64_t in_4_gib = (INT64_C(1) << 32) / (int64_t)kb_dtype_bytes(spec->dtype);
        any |= add_offset(b, spec->elements, k, INT64_C(1) << 31);
        if (in_4_gib != INT64_C(1) << 31)
            any |= add_offset(b, spec->elements, k, in_4_gib);
    }
    if (k <= b->rows / GRID_ROWS) {
        add_border(b, k * GRID_ROWS);
        any = true;
    }
    return any;
}

/* Sorts; each row stays once. */
static int64_t sort_rows(int64_t *rows, int64_t n) {
    int64_t kept = 0;

    qsort(rows, (size_t)n, sizeof *rows, compare_rows);
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || rows[i] != rows[kept - 1])
            rows[kept++] = rows[i];
    return kept;
}

/* Borders into items[0 .. result), ascending: at most half of `max`, but first and last. */
static int64_t find_borders(const struct kb_problem *p, int64_t n_rows, int64_t max,
                            int64_t *items) {
    struct borders b = {.rows = n_rows, .items = items};

    items[b.n++] = 0;
    items[b.n++] = n_rows - 1;
    b.room = max / 2 > b.n ? max / 2 : b.n;
    for (int64_t k = 1; b.n < b.room && add_multiples(&b, p, k); k++)
        continue;
    return sort_rows(items, b.n);
}

/* A number below `n`, the `i`-th of the case and the seed. */
static int64_t draw(uint64_t seed, uint64_t id, int64_t i, int64_t n) {
    uint32_t words[4];

    kb_philox(seed, id, (uint64_t)i, words);
    return (int64_t)(((uint64_t)words[0] << 32 | words[1]) % (uint64_t)n);
}

/* `n` rows into `out`, ascending, one from each of n stretches of what is no border. */
static void draw_rows(const int64_t *borders, int64_t n_borders, int64_t n_rows, int64_t n,
                      uint64_t seed, uint64_t id, int64_t *out) {
    int64_t left = n_rows - n_borders, passed = 0;
    int64_t width = left / n, longer = left % n; /* the first of them are one longer */

    for (int64_t i = 0; i < n; i++) {
        int64_t start = i * width + (i < longer ? i : longer);
        int64_t row = start + draw(seed, id, i, width + (i < longer)) + passed;
        for (; passed < n_borders && borders[passed] <= row; passed++)
            row++;
        out[i] = row;
    }
}

bool kb_sampled_make(const struct kb_problem *problem, int tensor, int64_t max,
                     uint64_t seed, struct kb_arena *arena, struct kb_sampled *out) {
    const struct kb_tensor_spec *spec = &problem->tensors[tensor];
    int64_t length = spec->rank > 0 ? spec->shape[spec->rank - 1] : 1;
    int64_t n_rows = length > 0 ? spec->elements / length : 0;
    const char *case_id = problem->c->id;
    struct kb_hash hash = kb_hash_of(case_id, strlen(case_id));
    uint64_t id;

    assert(max >= 2);
    *out = (struct kb_sampled){0};
    if (max >= n_rows)
        return false;
    memcpy(&id, hash.bytes, sizeof id);
    int64_t *items = kb_arena_array(arena, (size_t)max, sizeof *items);
    int64_t *drawn = kb_arena_array(arena, (size_t)max, sizeof *drawn);
    int64_t n_borders = find_borders(problem, n_rows, max, items), n = max - n_borders;
    if (n > 0)
        draw_rows(items, n_borders, n_rows, n, seed, id, drawn);
    memcpy(items + n_borders, drawn, (size_t)n * sizeof *items);
    qsort(items, (size_t)max, sizeof *items, compare_rows);
    *out = (struct kb_sampled){.n = max, .length = length, .items = items};
    return true;
}
