/* html_plots.c - the figures of a report's page: latency by size, share of the ceiling,
 * roofline, error by its bound. */
#include "report/html.h"

#include <math.h>
#include <string.h>

enum {
    POINTS_MAX = 5000, /* rows that are drawn: of more, every second, third, ... */
    LATENCIES_MAX = 12,
    SERIES_MAX = 8,
};

struct point {
    double bytes, ns, ceiling_ns, flops, error;
    int op, series, dtype;
};

struct plots {
    const struct kb_survey *survey;
    struct kb_arena arena;
    struct kb_strings ops, series; /* series: builds, and devices where there are several */
    struct point *points;
    int64_t n, step, seen;
    struct kb_html_against against;
    struct kb_drawing drawing;
    const char *note; /* of what is not drawn; NULL: nothing */
};

/* ---- points ----------------------------------------------------------------------------
 */

static int index_of(struct plots *p, struct kb_strings *list, const char *name) {
    for (size_t i = 0; i < list->count; i++)
        if (kb_streq(list->items[i], name))
            return (int)i;
    kb_strings_add(list, &p->arena, kb_arena_strdup(&p->arena, name));
    return (int)list->count - 1;
}

static int series_of(struct plots *p, const struct kb_row *row) {
    struct kb_buf name = {0};
    kb_buf_puts(&name, row->build ? row->build : "-");
    if (p->survey->many_devices)
        kb_buf_printf(&name, ", device %s", row->device);
    int n = index_of(p, &p->series, kb_buf_text(&name));
    kb_buf_free(&name);
    return n;
}

static void add_point(void *context, const struct kb_row *row) {
    struct plots *p = context;
    const struct kb_time *t = p->survey->first < 0 ? NULL : &row->times[p->survey->first];
    bool timed = t && t->there && t->median_ns > 0 && isfinite(t->median_ns);
    if (p->seen++ % p->step || !row->op)
        return;
    p->points[p->n++] = (struct point){
        .bytes = (double)row->bytes,
        .flops = (double)row->flops,
        .ns = timed ? t->median_ns : (double)NAN,
        .ceiling_ns = timed ? t->ceiling_ns : (double)NAN,
        .error = kb_row_error(row),
        .op = index_of(p, &p->ops, row->op),
        .series = series_of(p, row),
        .dtype = (int)row->dtype,
    };
}

/* ---- files and scripts -----------------------------------------------------------------
 */

static int save(struct plots *p, struct kb_data *data) {
    int file = kb_draw_data(&p->drawing, &data->text);
    kb_buf_free(&data->text);
    return file;
}

static void script(struct plots *p, const char *text) {
    kb_buf_puts(&p->drawing.script, text);
}

static void bytes_axis(struct plots *p, const struct kb_data *data) {
    kb_draw_log_axis(&p->drawing, 'x', data->x_low / 1.5, data->x_high * 1.5);
    script(p, "set format x '%.0s %cB'\n");
    kb_draw_label(&p->drawing, 'x', "bytes that the case must move");
}

/* ---- latency ---------------------------------------------------------------------------
 */

static bool has_latency(const struct plots *p, int op) {
    for (int64_t i = 0; i < p->n; i++)
        if (p->points[i].op == op && p->points[i].bytes > 0 && !isnan(p->points[i].ns))
            return true;
    return false;
}

/* What the bytes alone take, of all series. */
static void add_floor(const struct plots *p, int op, struct kb_data *data) {
    size_t start = data->text.len;
    kb_data_begin(data, "ceiling");
    for (int64_t i = 0; i < p->n; i++) {
        const struct point *at = &p->points[i];
        if (at->op == op && at->bytes > 0 && isfinite(at->ceiling_ns))
            kb_data_add(data, at->bytes, at->ceiling_ns / 1e3);
    }
    kb_data_end(data, start);
}

static void draw_latency(struct plots *p, int op) {
    struct kb_data data = {0};
    const char *method = kb_method_word((enum kb_method)p->survey->first);
    add_floor(p, op, &data);
    int floors = data.blocks;
    for (int s = 0; s < (int)p->series.count; s++) {
        size_t start = data.text.len;
        kb_data_begin(&data, p->series.items[s]);
        for (int64_t i = 0; i < p->n; i++) {
            const struct point *at = &p->points[i];
            if (at->op == op && at->series == s && at->bytes > 0 && !isnan(at->ns))
                kb_data_add(&data, at->bytes, at->ns / 1e3);
        }
        kb_data_end(&data, start);
    }
    int blocks = data.blocks, file = save(p, &data);
    kb_draw_figure(&p->drawing, kb_arena_printf(&p->arena, "%s: %s time by size",
                                                p->ops.items[op], method));
    bytes_axis(p, &data);
    kb_draw_log_axis(&p->drawing, 'y', data.y_low / 1.3, data.y_high * 1.3);
    kb_draw_label(&p->drawing, 'y', "us");
    script(p, "plot ");
    if (floors)
        kb_buf_printf(&p->drawing.script,
                      "'%d.dat' index 0 using 1:2 smooth unique with lines lw 1.5 lc rgb "
                      "'#94a3b8' title columnheader(1), ",
                      file);
    kb_buf_printf(&p->drawing.script,
                  "for [i=%d:%d] '%d.dat' index i using 1:2 with points lt i+%d title "
                  "columnheader(1)\n",
                  floors, blocks - 1, file, 1 - floors);
}

static void draw_latencies(struct plots *p) {
    int drawn = 0, there = 0;
    for (int op = 0; op < (int)p->ops.count; op++) {
        if (!has_latency(p, op))
            continue;
        if (there++ < LATENCIES_MAX) {
            draw_latency(p, op);
            drawn++;
        }
    }
    if (there > drawn)
        p->note = kb_arena_printf(&p->arena, "Time by size: the first %d of %d ops.", drawn,
                                  there);
}

/* ---- by op or build --------------------------------------------------------------------
 */

/* Rows are told apart by builds and devices where there are several, else by ops. */
static const struct kb_strings *kinds_of(const struct plots *p) {
    return p->series.count > 1 ? &p->series : &p->ops;
}

static int kind_of(const struct plots *p, const struct point *at) {
    return p->series.count > 1 ? at->series : at->op;
}

/* What a point has to show; false where it has nothing. */
typedef bool pick(const struct plots *p, const struct point *at, double *x, double *y);

static bool pick_ceiling(const struct plots *p, const struct point *at, double *x,
                         double *y) {
    (void)p;
    *x = at->bytes;
    *y = 100 * at->ceiling_ns / at->ns;
    return *x > 0 && isfinite(*y);
}

static bool pick_rate(const struct plots *p, const struct point *at, double *x, double *y) {
    (void)p;
    *x = at->flops / at->bytes;
    *y = at->flops / at->ns;
    return at->flops > 0 && at->bytes > 0 && isfinite(*y);
}

/* A block for each op or build; the last holds all that have no colour of their own. */
static void add_kinds(const struct plots *p, pick *take, struct kb_data *data) {
    const struct kb_strings *kinds = kinds_of(p);
    int n = (int)kinds->count, shown = n > SERIES_MAX ? SERIES_MAX : n;
    for (int k = 0; k < shown; k++) {
        size_t start = data->text.len;
        bool last = k + 1 == shown && shown < n;
        kb_data_begin(data, last ? "others" : kinds->items[k]);
        for (int64_t i = 0; i < p->n; i++) {
            double x, y;
            int kind = kind_of(p, &p->points[i]);
            if ((kind == k || (last && kind > k)) && take(p, &p->points[i], &x, &y))
                kb_data_add(data, x, y);
        }
        kb_data_end(data, start);
    }
}

static void draw_ceiling(struct plots *p) {
    struct kb_data data = {0};
    add_kinds(p, pick_ceiling, &data);
    int blocks = data.blocks, file = save(p, &data);
    if (!blocks)
        return;
    kb_draw_figure(&p->drawing, "share of the ceiling by size");
    bytes_axis(p, &data);
    kb_draw_label(&p->drawing, 'y', "share of the ceiling, %");
    script(p, "set yrange [0:120]\n");
    kb_buf_printf(&p->drawing.script,
                  "plot 100 with lines lw 1 dt 2 lc rgb '#94a3b8' notitle, for [i=0:%d] "
                  "'%d.dat' index i using 1:2 with points lt i+1 title columnheader(1)\n",
                  blocks - 1, file);
}

/* The part of a roof from `low` to `high` operations a byte, if there is one. */
static void add_roof(const struct plots *p, const struct kb_tally_device *device,
                     double low, double high, bool moves, struct kb_data *data) {
    double rate = moves ? device->stream_gb_per_s : device->mma_gflop_per_s;
    struct kb_buf name = {0};
    if (!(rate > 0) || !(low < high))
        return;
    if (p->survey->tally.n_devices > 1)
        kb_buf_printf(&name, "device %s: ", device->id);
    kb_buf_printf(&name, moves ? "%.0f GB/s" : "%.0f TFLOP/s", moves ? rate : rate / 1e3);
    kb_data_begin(data, kb_buf_text(&name));
    kb_data_add(data, low, moves ? low * rate : rate);
    kb_data_add(data, high, moves ? high * rate : rate);
    kb_buf_free(&name);
}

/* Lines for each device: what its memory allows at so many operations a byte, up to what
 * its tensor cores do, or to `top` where that is not known; and from there on that. */
static int add_roofs(struct plots *p, double low, double high, double top,
                     struct kb_data *data) {
    const struct kb_tally *tally = &p->survey->tally;
    for (int i = 0; i < tally->n_devices; i++) {
        const struct kb_tally_device *device = &tally->devices[i];
        double rate = device->mma_gflop_per_s > 0 ? device->mma_gflop_per_s : top;
        double ridge = device->stream_gb_per_s > 0 ? rate / device->stream_gb_per_s : low;
        add_roof(p, device, low, ridge < high ? ridge : high, true, data);
        add_roof(p, device, ridge > low ? ridge : low, high, false, data);
    }
    return data->blocks;
}

static void draw_roofline(struct plots *p) {
    struct kb_data data = {0};
    double low = INFINITY, high = 0, top = 0;
    for (int64_t i = 0; i < p->n; i++) {
        double x, y;
        if (!pick_rate(p, &p->points[i], &x, &y))
            continue;
        top = y > top ? y : top;
        low = x < low ? x : low;
        high = x > high ? x : high;
    }
    if (!(high > 0))
        return;
    int roofs = add_roofs(p, low / 4, high * 4, top * 4, &data);
    add_kinds(p, pick_rate, &data);
    int blocks = data.blocks, file = save(p, &data);
    kb_draw_figure(
        &p->drawing,
        "roofline: operations by time over operations by byte; lines: what the device's "
        "memory and tensor cores allow, as ceilings of this run reached it");
    kb_draw_log_axis(&p->drawing, 'x', low / 2, high * 2);
    kb_draw_log_axis(&p->drawing, 'y', data.y_low / 2, data.y_high * 2);
    kb_draw_label(&p->drawing, 'x', "operations per byte");
    kb_draw_label(&p->drawing, 'y', "GFLOP/s");
    script(p, "plot ");
    if (roofs)
        kb_buf_printf(&p->drawing.script,
                      "for [i=0:%d] '%d.dat' index i using 1:2 with lines lw 1.5 lc rgb "
                      "'#94a3b8' title columnheader(1), ",
                      roofs - 1, file);
    kb_buf_printf(&p->drawing.script,
                  "for [i=%d:%d] '%d.dat' index i using 1:2 with points lt i+%d title "
                  "columnheader(1)\n",
                  roofs, blocks - 1, file, 1 - roofs);
}

/* ---- errors ----------------------------------------------------------------------------
 */

static const double error_low = 1e-4, error_high = 100;

/* Points of an op stand beside each other, the same way in each page. */
static double place_in(int op, int64_t i) {
    return op + 0.7 * ((double)(i * 7919 % 1000) / 999 - 0.5);
}

static void add_errors(const struct plots *p, struct kb_data *data, double *worst) {
    for (int d = 0; d < KB_DTYPE_COUNT; d++) {
        size_t start = data->text.len;
        kb_data_begin(data, kb_dtype_name((enum kb_dtype)d));
        for (int64_t i = 0; i < p->n; i++) {
            const struct point *at = &p->points[i];
            double y = at->error;
            if (at->dtype != d || isnan(y))
                continue;
            y = y < error_low ? error_low : y > error_high ? error_high : y;
            *worst = y > *worst ? y : *worst;
            kb_data_add(data, place_in(at->op, i), y);
        }
        kb_data_end(data, start);
    }
}

static int save_names(struct plots *p) {
    struct kb_data names = {0};
    for (size_t i = 0; i < p->ops.count; i++) {
        kb_buf_printf(&names.text, "%zu ", i);
        kb_draw_name(p->ops.items[i], &names.text);
        kb_buf_printf(&names.text, " %g\n", error_low);
    }
    return save(p, &names);
}

static void draw_errors(struct plots *p) {
    struct kb_data data = {0};
    double worst = 0;
    add_errors(p, &data, &worst);
    int blocks = data.blocks, file = save(p, &data);
    if (!blocks)
        return;
    int names = save_names(p);
    kb_draw_figure(
        &p->drawing,
        "the worst element of each case as a share of its bound: past 1 is wrong, 0 "
        "is correctly rounded");
    kb_buf_printf(
        &p->drawing.script,
        "set logscale y\nset ylabel 'err/bound'\nset xrange [-0.6:%g]\nset yrange "
        "[%g:%g]\nset ytics ('0' 1e-4, '0.001' 1e-3, '0.01' 1e-2, '0.1' 0.1, '1' "
        "1, '10' 10, '100+' 100)\n",
        (double)p->ops.count - 0.4, error_low * 0.7, worst > 1 ? error_high * 1.5 : 2);
    kb_draw_label(&p->drawing, 'y', "err/bound");
    if (p->ops.count > 4)
        script(p, "set xtics rotate by -35\n");
    kb_buf_printf(
        &p->drawing.script,
        "plot 1 with lines lw 1.5 dt 2 lc rgb '#dc2626' title 'the bound', '%d.dat' "
        "using 1:3:xtic(2) with points pt 0 lc rgb '#ffffff' notitle, for [i=0:%d] "
        "'%d.dat' index i using 1:2 with points lt i+1 title columnheader(1)\n",
        names, blocks - 1, file);
}

/* ---- the section -----------------------------------------------------------------------
 */

static void put_figures(const struct plots *p, struct kb_buf *out, struct kb_err *err) {
    kb_buf_puts(out, "<div class=\"figures\">\n");
    for (int f = 0; f < p->drawing.n_figures && !err->kind; f++) {
        kb_buf_puts(out, "<figure>");
        if (kb_draw_svg(&p->drawing, f, out, err)) {
            kb_buf_puts(out, "<figcaption>");
            kb_markup(p->drawing.captions.items[f], out);
            kb_buf_puts(out, "</figcaption></figure>\n");
        }
    }
    kb_buf_puts(out, "</div>\n");
}

/* Drawn apart, so that a page gets all figures or none. */
static void draw(struct plots *p, struct kb_buf *out) {
    struct kb_err err = {0};
    struct kb_buf figures = {0};
    if (kb_draw_begin(&p->drawing, &err)) {
        draw_latencies(p);
        draw_ceiling(p);
        kb_html_against_draw(&p->against, &p->drawing);
        draw_roofline(p);
        draw_errors(p);
    }
    if (!err.kind && p->drawing.n_figures && kb_draw_run(&p->drawing, &err))
        put_figures(p, &figures, &err);
    if (err.kind) {
        kb_buf_puts(out, "<p class=\"note\">No plots: ");
        kb_markup(err.msg, out);
        kb_buf_puts(out, " (gnuplot draws them: Debian's gnuplot-nox).</p>\n");
    } else if (!p->drawing.n_figures) {
        kb_buf_puts(out, "<p class=\"note\">No plots: no row has a time or an error to "
                         "draw.</p>\n");
    } else {
        kb_buf_add(out, kb_buf_text(&figures), figures.len);
        if (p->note)
            kb_buf_printf(out, "<p class=\"note\">%s</p>\n", p->note);
    }
    kb_buf_free(&figures);
    kb_draw_end(&p->drawing);
}

bool kb_html_plots(const struct kb_survey *survey, struct kb_rows *rows,
                   struct kb_sink *sink, struct kb_err *err) {
    struct plots p = {.survey = survey};
    int64_t n = survey->tally.rows;
    p.step = n > POINTS_MAX ? (n + POINTS_MAX - 1) / POINTS_MAX : 1;
    p.points = kb_arena_array(&p.arena, (size_t)(n / p.step + 1), sizeof *p.points);
    bool ok = kb_rows_visit(rows, sink, add_point, &p, err) &&
              kb_html_against_read(survey, rows, &p.against, err);
    if (ok) {
        kb_buf_puts(&sink->text, "<section id=\"plots\"><h2>Plots</h2>\n");
        if (survey->tally.ceilings)
            kb_buf_puts(&sink->text,
                        "<p class=\"note\">The ceiling is a kernel without "
                        "maths that moves the same bytes; of matrix work, what "
                        "tensor cores take for as many operations.</p>\n");
        if (p.step > 1)
            kb_buf_printf(&sink->text, "<p class=\"note\">Drawn: one row in %lld.</p>\n",
                          (long long)p.step);
        draw(&p, &sink->text);
        kb_buf_puts(&sink->text, "</section>\n");
    }
    kb_arena_free(&p.against.arena);
    kb_arena_free(&p.arena);
    return ok;
}
