/* html.h - between the files that make a report's HTML page. */
#ifndef KB_REPORT_HTML_H
#define KB_REPORT_HTML_H

#include "report/parts.h"

/* In html_style.c: the page's style, and the script that sorts and filters its table. */
extern const char kb_html_style[], kb_html_script[];

/* In html_table.c: the table of all rows. */
bool kb_html_table(const struct kb_survey *survey, struct kb_rows *rows,
                   struct kb_sink *sink, struct kb_err *err);

/* In html_plots.c: figures, drawn by gnuplot; where it cannot draw, a line that says why.
 * False where the rows cannot be read. */
bool kb_html_plots(const struct kb_survey *survey, struct kb_rows *rows,
                   struct kb_sink *sink, struct kb_err *err);

/* In html_against.c: the rows that are held against another build or variant. */
struct kb_html_against {
    struct kb_arena arena;
    struct kb_strings pairs; /* "fast-math against precise" */
    struct kb_html_ratio {
        int pair;
        double ratio, low, high;
    } * items;
    size_t n;
};
bool kb_html_against_read(const struct kb_survey *survey, struct kb_rows *rows,
                          struct kb_html_against *out, struct kb_err *err);
/* "fast-math": what a row is held against, as far as it is another; unescaped. */
void kb_html_against_words(const struct kb_row *row, struct kb_buf *out);

/* ---- drawing, in draw.c ----------------------------------------------------------------
 */

/* Points as gnuplot reads them: blocks, each headed by its name. */
struct kb_data {
    struct kb_buf text;
    int blocks, lines;
    double x_low, x_high, y_low, y_high; /* of all blocks; 0: no point yet */
};
/* A block, then its points, then its end: one without a point, which would be an error to
 * gnuplot, is taken back. `start`: data->text.len before its begin. */
void kb_data_begin(struct kb_data *data, const char *name);
void kb_data_add(struct kb_data *data, double x, double y);
void kb_data_end(struct kb_data *data, size_t start);

/* A folder with the files that gnuplot reads: data, and one script with all figures. */
struct kb_drawing {
    struct kb_temp temp;
    struct kb_buf script;
    int n_figures, n_files;
    struct kb_arena arena;
    struct kb_strings captions; /* of each figure */
    bool failed;                /* a file could not be written; `err` says why */
    struct kb_err err;
};
bool kb_draw_begin(struct kb_drawing *drawing, struct kb_err *err);
/* The next figure: all that is added to the script from here on is of it. */
void kb_draw_figure(struct kb_drawing *drawing, const char *caption);
/* An axis, 'x' or 'y': its label, which is no name of the report's; and that it is
 * logarithmic from `low` to `high` > `low` > 0. */
void kb_draw_label(struct kb_drawing *drawing, char axis, const char *text);
void kb_draw_log_axis(struct kb_drawing *drawing, char axis, double low, double high);
/* A file of data; returns its number: the script reads it as 'N.dat'. */
int kb_draw_data(struct kb_drawing *drawing, const struct kb_buf *data);
/* A name as data files may hold it, in quotes: what is not plain becomes '?'. */
void kb_draw_name(const char *name, struct kb_buf *out);
/* Run gnuplot over the script. False with `err` where there is none, or it failed. */
bool kb_draw_run(struct kb_drawing *drawing, struct kb_err *err);
/* A figure as an <svg> element whose ids are no other figure's. */
bool kb_draw_svg(const struct kb_drawing *drawing, int figure, struct kb_buf *out,
                 struct kb_err *err);
/* A figure for each pair: ratios with their intervals, from the fastest. */
void kb_html_against_draw(struct kb_html_against *against, struct kb_drawing *drawing);
/* Safe on a zeroed drawing. */
void kb_draw_end(struct kb_drawing *drawing);

#endif
