/* single_wrong.c - of the screen of one case what is wrong: what, where, the rest, the
 * smallest case, elements, a picture, what to run next. */
#include "report/parts.h"
#include "screen.h"

#include <math.h>
#include <string.h>

/* ---- elements --------------------------------------------------------------------------
 */

static void value_words(const struct kb_output_report *o, const struct kb_element *e,
                        struct kb_buf *out) {
    bool word16 = o->dtype == KB_BF16 || o->dtype == KB_FP16;
    if (e->poison)
        kb_buf_puts(out, word16 ? isnan(e->got) ? "7fb3 poison" : "804c poison" : "poison");
    else
        kb_buf_puts(out, kb_cell_value(e->got).text);
}

static void element_cell(const struct kb_output_report *o, int i, int width,
                         struct kb_buf *out) {
    struct kb_buf index = {0}, got = {0};
    const struct kb_element *e = &o->first[i];
    kb_index_words(o, e->index, true, &index);
    value_words(o, e, &got);
    kb_buf_printf(out, "%-*s%14s%14s", width, kb_buf_text(&index), kb_buf_text(&got),
                  kb_cell_value(e->want).text);
    kb_buf_free(&index);
    kb_buf_free(&got);
}

/* Indices are padded, so that one is as long as another. */
static int index_width(const struct kb_output_report *o) {
    struct kb_buf index = {0};
    kb_index_words(o, o->first[0].index, true, &index);
    int width = (int)index.len + 1;
    kb_buf_free(&index);
    return width > KB_LABEL ? width : KB_LABEL;
}

/* The first wrong elements, read down the left half and then the right one. */
static void element_lines(const struct kb_single *single, const struct kb_output_report *o,
                          struct kb_buf *out) {
    if (!o->n_first)
        return;
    int width = index_width(o), columns = 2 * (width + 28) + 8;
    bool two = o->n_first > 1 && (single->look.width == 0 || single->look.width >= columns);
    int lines = two ? (o->n_first + 1) / 2 : o->n_first;
    kb_buf_printf(out, "\n%-*s%14s%14s", width, "index", "got", "want");
    if (two)
        kb_buf_printf(out, "        %-*s%14s%14s", width, "index", "got", "want");
    kb_buf_putc(out, '\n');
    for (int i = 0; i < lines; i++) {
        element_cell(o, i, width, out);
        if (two && lines + i < o->n_first) {
            kb_buf_puts(out, "        ");
            element_cell(o, lines + i, width, out);
        }
        kb_buf_putc(out, '\n');
    }
}

/* ---- the map ---------------------------------------------------------------------------
 */

/* Behind what stands on the line, of `used` columns, or where that leaves no room on a line
 * of its own that ends under column `end`. */
static void beside(const struct kb_single *single, int used, int end, const char *text,
                   struct kb_buf *out) {
    int columns = kb_columns(text), width = single->look.width;
    int pad = end - columns > KB_LABEL ? end - columns : KB_LABEL;
    if (width && used + 3 + columns > width)
        kb_buf_printf(out, "\n%*s%s\n", pad, "", text);
    else
        kb_buf_printf(out, "   %s\n", text);
}

static void map_head(const struct kb_single *single, const struct kb_output_report *o,
                     struct kb_buf *out) {
    static const char signs[] = ". right  + some wrong  # all wrong";
    const struct kb_map *map = &o->local->map;
    const char *checked = o->checked < o->elements ? "checked " : "";
    struct kb_buf cell = {0};
    kb_buf_puts(&cell, "(a cell is ");
    if (o->rank > 1)
        kb_buf_printf(&cell, "%lld %srow%s x ", (long long)map->cell_rows, checked,
                      map->cell_rows == 1 ? "" : "s");
    kb_buf_printf(&cell, "%lld %s%s)", (long long)map->cell_columns,
                  o->rank > 1 ? "column" : "element", map->cell_columns == 1 ? "" : "s");
    kb_single_label("map", out);
    kb_buf_puts(out, signs);
    beside(single, KB_LABEL + (int)strlen(signs), 0, kb_buf_text(&cell), out);
    kb_buf_free(&cell);
}

/* What stands in the last cell of the last line. */
static void map_end(const struct kb_single *single, const struct kb_output_report *o,
                    int start, struct kb_buf *out) {
    const struct kb_map *map = &o->local->map;
    int used = start + (int)strlen(map->lines[map->n_lines - 1]);
    struct kb_buf text = {0};
    kb_buf_printf(&text, "%s %lld", o->rank > 1 ? "column" : "element",
                  (long long)o->shape[o->rank - 1] - 1);
    beside(single, used, used, kb_buf_text(&text), out);
    kb_buf_free(&text);
}

/* Where all cells are alike it tells nothing. */
static bool is_worth_a_map(const struct kb_map *map) {
    char first = map->lines[0][0];
    for (int i = 0; i < map->n_lines; i++)
        for (const char *cell = map->lines[i]; *cell; cell++)
            if (*cell != first)
                return true;
    return false;
}

static void map_lines(const struct kb_single *single, const struct kb_output_report *o,
                      struct kb_buf *out) {
    const struct kb_map *map = &o->local->map;
    struct kb_buf last = {0};
    if (!is_worth_a_map(map))
        return;
    kb_buf_printf(&last, "%lld", (long long)map->first_rows[map->n_lines - 1]);
    int width = (int)strlen("row ") + (int)last.len;
    kb_buf_putc(out, '\n');
    map_head(single, o, out);
    for (int i = 0; i < map->n_lines; i++) {
        int pad = width < KB_LABEL ? KB_LABEL - width : 1;
        if (o->rank > 1)
            kb_buf_printf(out, "%-4s%*lld%*s", i ? "" : "row", (int)last.len,
                          (long long)map->first_rows[i], pad, "");
        else
            kb_buf_printf(out, "%*s", KB_LABEL, "");
        kb_buf_puts(out, map->lines[i]);
        if (i + 1 == map->n_lines)
            map_end(single, o, width < KB_LABEL ? KB_LABEL : width + 1, out);
        else
            kb_buf_putc(out, '\n');
    }
    kb_buf_free(&last);
}

/* ---- what is wrong ---------------------------------------------------------------------
 */

static void text_line(const struct kb_single *single, const char *name,
                      const struct kb_buf *text, struct kb_buf *out) {
    if (text->len)
        kb_single_paragraph(single, name, kb_buf_text(text), out);
}

void kb_single_wrong(const struct kb_single *single, const struct kb_row *row,
                     struct kb_buf *out) {
    const struct kb_output_report *o = kb_row_worst(row), *placed = kb_row_placed(row);
    struct kb_buf text = {0};
    kb_row_what(row, &text);
    text_line(single, "what", &text, out);
    kb_buf_clear(&text);
    if (placed)
        kb_where_words(placed, &text);
    text_line(single, "where", &text, out);
    kb_buf_clear(&text);
    if (row->checked)
        kb_row_rest(row, &text);
    text_line(single, "the rest", &text, out);
    kb_buf_clear(&text);
    kb_smallest_words(row, &text);
    text_line(single, "smallest", &text, out);
    kb_buf_free(&text);
    if (o)
        element_lines(single, o, out);
    if (placed && placed->local)
        map_lines(single, placed, out);
}

/* ---- what to do next -------------------------------------------------------------------
 */

/* What a sanitizer of the host backend is likely to say more about: accesses for memory
 * that was missed or hit by mistake, races for bits that depend on the order. */
static const char *sanitizer_for(enum kb_reason reason) {
    switch (reason) {
    case KB_R_UNWRITTEN:
    case KB_R_OUT_OF_BOUNDS:
    case KB_R_INPUT_CHANGED:
    case KB_R_TOUCHED:
    case KB_R_LAUNCH:
    case KB_R_CRASH:
        return "address,undefined";
    case KB_R_ORDER:
    case KB_R_TIMED_OUTPUT:
        return "thread";
    default:
        return NULL;
    }
}

/* The smallest case that fails, on the host and watched; or as it was. */
static void next_line(const struct kb_row *row, struct kb_buf *out) {
    const char *sanitizer = sanitizer_for(row->reason);
    const char *repeat = row->smallest ? row->smallest->repeat : row->repeat;
    const char *build = strstr(repeat, " --build ");
    bool watched = sanitizer && build && !strstr(repeat, "--sanitize");

    if (!watched && kb_streq(repeat, row->repeat))
        return;
    kb_single_label("next", out);
    kb_escape(out, repeat, watched ? (size_t)(build - repeat) : strlen(repeat));
    if (watched)
        kb_buf_printf(out, " --backend host --sanitize %s", sanitizer);
    kb_buf_putc(out, '\n');
}

void kb_single_next(const struct kb_row *row, struct kb_buf *out) {
    kb_buf_putc(out, '\n');
    next_line(row, out);
    kb_single_label("repeat", out);
    kb_escape(out, row->repeat, strlen(row->repeat));
    kb_buf_putc(out, '\n');
}
