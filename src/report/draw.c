/* draw.c - figures by gnuplot: data and script as files in a private folder, SVG back. */
#include "report/html.h"

#include <math.h>
#include <string.h>

enum { WALL_MS = 60000, CPU_S = 60, SVG_MAX = 16 << 20 };

/* What all figures share. Names come from data files, as column heads, and are no part of
 * the script, so that none can be a command of gnuplot. */
static const char settings[] =
    "set border 3 lc rgb '#94a3b8'\n"
    "set tics nomirror out scale 0.6 textcolor rgb '#475569'\n"
    "set grid back lc rgb '#e2e8f0' lw 1 lt 1\n"
    "set key above left horizontal Left reverse samplen 1 textcolor rgb '#334155'\n"
    "set linetype 1 lc rgb '#2563eb' pt 7 ps 0.45\n"
    "set linetype 2 lc rgb '#d97706' pt 5 ps 0.40\n"
    "set linetype 3 lc rgb '#059669' pt 9 ps 0.50\n"
    "set linetype 4 lc rgb '#db2777' pt 13 ps 0.55\n"
    "set linetype 5 lc rgb '#7c3aed' pt 11 ps 0.50\n"
    "set linetype 6 lc rgb '#0891b2' pt 15 ps 0.50\n"
    "set linetype 7 lc rgb '#65a30d' pt 7 ps 0.45\n"
    "set linetype 8 lc rgb '#475569' pt 5 ps 0.40\n"
    "set linetype cycle 8\n"
    "set clip two\n"
    "set errorbars 0\n";

bool kb_draw_begin(struct kb_drawing *drawing, struct kb_err *err) {
    *drawing = (struct kb_drawing){0};
    if (!kb_temp_make(&drawing->temp, err))
        return false;
    kb_buf_puts(&drawing->script, settings);
    return true;
}

void kb_draw_figure(struct kb_drawing *drawing, const char *caption) {
    int n = drawing->n_figures++;
    kb_strings_add(&drawing->captions, &drawing->arena,
                   kb_arena_strdup(&drawing->arena, caption));
    kb_buf_printf(&drawing->script,
                  "unset output\nset term svg size 560,360 dynamic noenhanced font "
                  "'sans-serif,12' name 'f%d'\nset output '%d.svg'\n",
                  n, n);
    kb_buf_puts(&drawing->script, "unset logscale\nset autoscale\nset format x '%g'\n"
                                  "set format y '%g'\nset xtics auto norotate\n"
                                  "set ytics auto\nunset xlabel\n");
}

void kb_draw_label(struct kb_drawing *drawing, char axis, const char *text) {
    kb_buf_printf(&drawing->script, "set %clabel '%s' textcolor rgb '#475569'\n", axis,
                  text);
}

void kb_draw_log_axis(struct kb_drawing *drawing, char axis, double low, double high) {
    static const int steps[] = {1, 2, 5};
    struct kb_buf *out = &drawing->script;
    double from = floor(log10(low)), to = ceil(log10(high));
    bool fine = log10(high / low) < 2.5;
    const char *separator = "";
    kb_buf_printf(out, "set logscale %c\nset %crange [%.6g:%.6g]\n", axis, axis, low, high);
    if (!fine)
        return;
    kb_buf_printf(out, "set %ctics (", axis);
    for (double e = from; e <= to; e++) {
        for (size_t i = 0; i < KB_COUNT(steps); i++) {
            kb_buf_printf(out, "%s%.6g", separator, steps[i] * pow(10, e));
            separator = ", ";
        }
    }
    kb_buf_puts(out, ")\n");
}

static void write_file(struct kb_drawing *drawing, const char *name,
                       const struct kb_buf *text) {
    struct kb_buf path = {0};
    kb_buf_printf(&path, "%s/%s", drawing->temp.path, name);
    if (!drawing->failed &&
        !kb_file_replace(kb_buf_text(&path), kb_buf_text(text), text->len, &drawing->err))
        drawing->failed = true;
    kb_buf_free(&path);
}

int kb_draw_data(struct kb_drawing *drawing, const struct kb_buf *data) {
    struct kb_buf name = {0};
    int n = drawing->n_files++;
    kb_buf_printf(&name, "%d.dat", n);
    write_file(drawing, kb_buf_text(&name), data);
    kb_buf_free(&name);
    return n;
}

void kb_draw_name(const char *name, struct kb_buf *out) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789 _.,:;/+-=()";
    kb_buf_putc(out, '"');
    for (const char *p = name; *p; p++)
        kb_buf_putc(out, strchr(plain, *p) ? *p : '?');
    kb_buf_putc(out, '"');
}

/* ---- data -------------------------------------------------------------------------------
 */

static void stretch(double *low, double *high, double value) {
    *low = *high > 0 && *low < value ? *low : value;
    *high = *high > value ? *high : value;
}

void kb_data_begin(struct kb_data *data, const char *name) {
    kb_buf_puts(&data->text, data->blocks ? "\n\n" : "");
    kb_draw_name(name, &data->text);
    kb_buf_putc(&data->text, '\n');
    data->blocks++;
    data->lines = 0;
}

void kb_data_add(struct kb_data *data, double x, double y) {
    kb_buf_printf(&data->text, "%.6g %.6g\n", x, y);
    data->lines++;
    stretch(&data->x_low, &data->x_high, x);
    stretch(&data->y_low, &data->y_high, y);
}

void kb_data_end(struct kb_data *data, size_t start) {
    if (data->lines)
        return;
    kb_buf_cut(&data->text, start);
    data->blocks--;
}

/* ---- gnuplot ----------------------------------------------------------------------------
 */

bool kb_draw_run(struct kb_drawing *drawing, struct kb_err *err) {
    static char gnuplot[] = "gnuplot", no_settings[] = "-d", script[] = "figures.gp";
    char *argv[] = {gnuplot, no_settings, script, NULL};
    const struct kb_limits limits = {.wall_ms = WALL_MS, .cpu_s = CPU_S};
    struct kb_buf output = {0};
    int status = 0;
    kb_buf_puts(&drawing->script, "unset output\n");
    write_file(drawing, script, &drawing->script);
    if (drawing->failed)
        return kb_fail(err, drawing->err.kind, "%s", drawing->err.msg);
    bool ok = kb_run_command(argv, drawing->temp.path, &limits, &output, &status, err);
    if (ok && status)
        ok = kb_fail(err, KB_IO, "gnuplot: exit status %d: %.400s", status,
                     kb_buf_text(&output));
    kb_buf_free(&output);
    return ok;
}

/* Titles would show as tips, with names that say nothing; ids are the same in each file. */
static void add_svg(const char *svg, int figure, struct kb_buf *out) {
    for (const char *p = svg; *p;) {
        const char *end = kb_starts_with(p, "<title>") ? strstr(p, "</title>") : NULL;
        if (end) {
            p = end + strlen("</title>");
        } else if (kb_starts_with(p, "id='") || kb_starts_with(p, "id=\"")) {
            kb_buf_printf(out, "id=%cf%d-", p[3], figure);
            p += strlen("id='");
        } else if (kb_starts_with(p, "href='#") || kb_starts_with(p, "href=\"#")) {
            kb_buf_printf(out, "href=%c#f%d-", p[5], figure);
            p += strlen("href='#");
        } else if (kb_starts_with(p, "url(#")) {
            kb_buf_printf(out, "url(#f%d-", figure);
            p += strlen("url(#");
        } else {
            kb_buf_putc(out, *p++);
        }
    }
}

bool kb_draw_svg(const struct kb_drawing *drawing, int figure, struct kb_buf *out,
                 struct kb_err *err) {
    struct kb_buf path = {0}, text = {0};
    kb_buf_printf(&path, "%s/%d.svg", drawing->temp.path, figure);
    bool ok = kb_file_read(kb_buf_text(&path), SVG_MAX, &text, err);
    const char *svg = ok ? strstr(kb_buf_text(&text), "<svg") : NULL;
    if (ok && (!svg || !strstr(svg, "</svg>")))
        ok = kb_fail(err, KB_IO, "gnuplot: figure %d is no whole SVG", figure);
    if (ok)
        add_svg(svg, figure, out);
    kb_buf_free(&path);
    kb_buf_free(&text);
    return ok;
}

void kb_draw_end(struct kb_drawing *drawing) {
    kb_temp_free(&drawing->temp);
    kb_buf_free(&drawing->script);
    kb_arena_free(&drawing->arena);
}
