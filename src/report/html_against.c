/* html_against.c - of a report's page: builds and variants held against each other. */
#include "report/html.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PAIRS_MAX = 6 };

/* ---- reading ---------------------------------------------------------------------------
 */

void kb_html_against_words(const struct kb_row *row, struct kb_buf *out) {
    const struct kb_against *a = row->against;
    if (!a)
        return;
    bool same_build = a->build && row->build && kb_streq(a->build, row->build);
    bool same_variant = a->variant && row->variant && kb_streq(a->variant, row->variant);
    if (!same_build)
        kb_buf_puts(out, a->build ? a->build : "-");
    if (!same_variant && a->variant)
        kb_buf_printf(out, "%s%s", same_build ? "" : " ", a->variant);
}

struct reading {
    const struct kb_survey *survey;
    struct kb_html_against *out;
};

static int pair_of(struct kb_html_against *out, const char *name) {
    for (size_t i = 0; i < out->pairs.count; i++)
        if (kb_streq(out->pairs.items[i], name))
            return (int)i;
    kb_strings_add(&out->pairs, &out->arena, kb_arena_strdup(&out->arena, name));
    return (int)out->pairs.count - 1;
}

static void add_ratio(void *context, const struct kb_row *row) {
    struct reading *r = context;
    struct kb_buf name = {0};
    const struct kb_speed *speed =
        row->against ? &row->against->speeds[r->survey->first] : NULL;
    if (!speed || !speed->there || !isfinite(speed->low) || !isfinite(speed->high))
        return;
    bool same_build = row->against->build && kb_streq(row->against->build, row->build);
    kb_buf_puts(&name, !same_build ? row->build : row->variant ? row->variant : "-");
    kb_buf_puts(&name, " against ");
    kb_html_against_words(row, &name);
    if (r->survey->many_devices)
        kb_buf_printf(&name, ", device %s", row->device);
    r->out->items[r->out->n++] = (struct kb_html_ratio){
        pair_of(r->out, kb_buf_text(&name)), speed->ratio, speed->low, speed->high};
    kb_buf_free(&name);
}

bool kb_html_against_read(const struct kb_survey *survey, struct kb_rows *rows,
                          struct kb_html_against *out, struct kb_err *err) {
    struct reading reading = {.survey = survey, .out = out};
    if (!survey->against)
        return true;
    out->items = kb_arena_array(&out->arena, (size_t)survey->against, sizeof *out->items);
    return kb_rows_visit(rows, NULL, add_ratio, &reading, err);
}

/* ---- drawing ---------------------------------------------------------------------------
 */

static int by_ratio(const void *left, const void *right) {
    const struct kb_html_ratio *a = left, *b = right;
    int order = (a->pair > b->pair) - (a->pair < b->pair);
    return order ? order : (a->ratio > b->ratio) - (a->ratio < b->ratio);
}

static void draw_pair(const struct kb_html_against *against, size_t first, size_t n,
                      struct kb_drawing *drawing) {
    struct kb_buf data = {0}, text = {0};
    double least = 0, most = 0;
    for (size_t i = 0; i < n; i++) {
        const struct kb_html_ratio *item = &against->items[first + i];
        double low = 100 * (item->low - 1), high = 100 * (item->high - 1);
        kb_buf_printf(&data, "%zu %.6g %.6g %.6g\n", i + 1, 100 * (item->ratio - 1), low,
                      high);
        least = low < least ? low : least;
        most = high > most ? high : most;
    }
    int file = kb_draw_data(drawing, &data);
    double room = 0.05 * (most - least) + 0.5;
    kb_buf_printf(&text,
                  "%s: time of each case, with its 95 %% interval; below 0 is faster",
                  against->pairs.items[against->items[first].pair]);
    kb_draw_figure(drawing, kb_buf_text(&text));
    kb_draw_label(drawing, 'x', "cases, from the fastest");
    kb_draw_label(drawing, 'y', "%");
    kb_buf_printf(
        &drawing->script,
        "set xrange [0:%zu]\nset yrange [%.6g:%.6g]\nplot 0 with lines lw 1.5 lc rgb "
        "'#94a3b8' notitle, '%d.dat' using 1:2:3:4 with yerrorbars lt 1 notitle\n",
        n + 1, least - room, most + room, file);
    kb_buf_free(&data);
    kb_buf_free(&text);
}

void kb_html_against_draw(struct kb_html_against *against, struct kb_drawing *drawing) {
    size_t first = 0;
    if (against->n)
        qsort(against->items, against->n, sizeof *against->items, by_ratio);
    for (int drawn = 0; first < against->n && drawn < PAIRS_MAX; drawn++) {
        size_t end = first;
        while (end < against->n && against->items[end].pair == against->items[first].pair)
            end++;
        draw_pair(against, first, end - first, drawing);
        first = end;
    }
}
