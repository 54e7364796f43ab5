/* sort.c - lines of the table in the order of one of its columns, the worst first. */
#include "report/columns.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct kb_sorted {
    double number; /* larger is earlier; NAN: nothing there */
    const char *name, *line;
    size_t at;
};

void kb_sorter_add(struct kb_sorter *sorter, const struct kb_row *row, const char *line) {
    const struct kb_column column = {.kind = sorter->by.kind, .method = sorter->by.method};
    const struct kb_column_info *info = kb_column_info((enum kb_column_kind)column.kind);
    struct kb_sorted item = {.at = sorter->n, .name = ""};
    if (sorter->n == sorter->cap) {
        size_t cap = sorter->cap ? 2 * sorter->cap : 256;
        struct kb_sorted *more = kb_arena_array(&sorter->arena, cap, sizeof *more);
        if (sorter->n)
            memcpy(more, sorter->items, sorter->n * sizeof *more);
        sorter->items = more;
        sorter->cap = cap;
    }
    if (info->worst == KB_WORST_BY_NAME) {
        struct kb_buf text = {0};
        kb_column_text(&column, true, row, &text);
        item.name = kb_arena_strdup(&sorter->arena, kb_buf_text(&text));
        kb_buf_free(&text);
    } else {
        item.number = kb_column_number(&column, row);
        if (info->worst == KB_WORST_SMALLEST)
            item.number = -item.number;
    }
    item.line = kb_arena_strdup(&sorter->arena, line);
    sorter->items[sorter->n++] = item;
}

static int by_worst(const void *left, const void *right) {
    const struct kb_sorted *a = left, *b = right;
    bool no_a = isnan(a->number), no_b = isnan(b->number);
    int order =
        no_a || no_b ? no_a - no_b : (a->number < b->number) - (a->number > b->number);
    if (!order)
        order = strverscmp(a->name, b->name);
    return order ? order : (a->at > b->at) - (a->at < b->at);
}

void kb_sorter_print(struct kb_sorter *sorter, struct kb_buf *out) {
    if (sorter->n)
        qsort(sorter->items, sorter->n, sizeof *sorter->items, by_worst);
    for (size_t i = 0; i < sorter->n; i++)
        kb_buf_puts(out, sorter->items[i].line);
}

void kb_sorter_free(struct kb_sorter *sorter) {
    kb_arena_free(&sorter->arena);
    *sorter = (struct kb_sorter){0};
}
