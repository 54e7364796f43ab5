/* html_table.c - all rows of a report as a table of its page. */
#include "report/columns.h"
#include "report/html.h"
#include "versus.h"

#include <math.h>
#include <string.h>

struct table {
    const struct kb_survey *survey;
    struct kb_buf *out;
};

/* ---- heads -----------------------------------------------------------------------------
 */

static void head(const char *text, const char *class, struct kb_buf *out) {
    kb_buf_printf(out, "<th scope=\"col\"%s>%s</th>", class, text);
}

static const char number[] = " class=\"n\"";

/* The first method is that of the columns before. */
static void add_against_heads(const struct kb_survey *s, struct kb_buf *out) {
    if (s->paired)
        head("A", "", out);
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        struct kb_buf ratio = {0}, word = {0};
        const char *method = m == s->first ? "" : kb_method_word((enum kb_method)m);
        const char *blank = *method ? " " : "";
        kb_buf_printf(&ratio, "%s%sB against A, 95 %%", method, blank);
        kb_buf_printf(&word, "%s%sspeed", method, blank);
        if (s->compared[m]) {
            head(kb_buf_text(&ratio), number, out);
            head(kb_buf_text(&word), "", out);
        }
        kb_buf_free(&ratio);
        kb_buf_free(&word);
    }
    if (s->paired)
        head("bits differ", number, out);
}

static void add_heads(const struct kb_survey *s, struct kb_buf *out) {
    kb_buf_puts(out, "<thead><tr>");
    head("verdict", "", out);
    head("case", "", out);
    if (s->many_devices)
        head("device", "", out);
    if (s->many_builds)
        head("build", "", out);
    head("variant", "", out);
    head("err/bound", number, out);
    head("max ulp", number, out);
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        if (!s->has[m])
            continue;
        struct kb_buf text = {0};
        kb_buf_printf(&text, "%s us", kb_method_word((enum kb_method)m));
        head(kb_buf_text(&text), number, out);
        kb_buf_free(&text);
        if (m != s->first)
            continue;
        head("GB/s", number, out);
        head("ceiling", number, out);
    }
    if (s->has_energy)
        head(kb_column_info(KB_C_ENERGY)->head, number, out);
    add_against_heads(s, out);
    for (int i = 0; i < KB_CODE_COLUMNS && s->has_registers; i++)
        head(kb_column_info((enum kb_column_kind)kb_code_columns[i].kind)->head, number,
             out);
    if (s->tally.rows > s->tally.count[KB_PASS])
        head("why", "", out);
    kb_buf_puts(out, "</tr></thead>\n");
}

/* ---- cells -----------------------------------------------------------------------------
 */

static void text_cell(const char *text, const char *class, struct kb_buf *out) {
    kb_buf_printf(out, "<td%s>", class);
    kb_markup(text, out);
    kb_buf_puts(out, "</td>");
}

/* `value` is what sorting goes by. */
static void number_cell(const char *text, double value, const char *note,
                        struct kb_buf *out) {
    kb_buf_puts(out, "<td class=\"n\" data-v=\"");
    if (isinf(value))
        kb_buf_puts(out, value > 0 ? "Infinity" : "-Infinity");
    else if (!isnan(value))
        kb_buf_printf(out, "%.8g", value);
    kb_buf_printf(out, "\">%s%s%s</td>", text, *note ? " " : "", note);
}

static void add_times(const struct kb_survey *s, const struct kb_row *row,
                      struct kb_buf *out) {
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const struct kb_time *t = &row->times[m];
        if (!s->has[m])
            continue;
        double ns = t->there ? t->median_ns : (double)NAN;
        struct kb_buf words = {0};
        kb_time_words(t, &words);
        number_cell(kb_cell_us(ns).text, ns, kb_buf_text(&words), out);
        kb_buf_free(&words);
        if (m != s->first)
            continue;
        double rate = t->there ? t->gb_per_s : (double)NAN;
        double share = t->there && isfinite(t->ceiling_ns) ? t->ceiling : (double)NAN;
        number_cell(kb_cell_rate(rate).text, rate, "", out);
        number_cell(kb_cell_percent(share).text, share, "", out);
    }
}

static void add_speed(const struct kb_speed *speed, struct kb_buf *out) {
    bool there = speed && speed->there;
    struct kb_buf words = {0};
    if (there)
        kb_speed_words(speed, true, &words);
    number_cell(there ? kb_buf_text(&words) : "-", there ? speed->ratio - 1 : (double)NAN,
                "", out);
    text_cell(there ? kb_speed_word(speed->verdict) : "", "", out);
    kb_buf_free(&words);
}

static void add_against(const struct kb_survey *s, const struct kb_row *row,
                        struct kb_buf *out) {
    const struct kb_against *a = row->against;
    struct kb_buf words = {0};
    if (!s->paired)
        return;
    kb_html_against_words(row, &words);
    text_cell(kb_buf_text(&words), "", out);
    kb_buf_free(&words);
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        if (s->compared[m])
            add_speed(a ? &a->speeds[m] : NULL, out);
    double share =
        a && a->elements > 0 ? (double)a->differing / (double)a->elements : (double)NAN;
    number_cell(kb_cell_differing(a).text, share, "", out);
}

static void add_column(const struct kb_column *column, const struct kb_row *row,
                       struct kb_buf *out) {
    number_cell(kb_column_cell(column, row).text, kb_column_number(column, row), "", out);
}

static void add_case(const struct kb_row *row, struct kb_buf *out) {
    struct kb_buf id = {0}, sampled = {0};
    kb_buf_puts(&id, row->case_id);
    kb_sampled_words(row, &sampled);
    if (sampled.len)
        kb_buf_printf(&id, " (%s)", kb_buf_text(&sampled));
    text_cell(kb_buf_text(&id), "", out);
    kb_buf_free(&id);
    kb_buf_free(&sampled);
}

static void add_row(void *context, const struct kb_row *row) {
    const struct table *table = context;
    const struct kb_survey *s = table->survey;
    struct kb_buf *out = table->out, words = {0};
    enum kb_verdict verdict = kb_reason_verdict(row->reason);
    kb_buf_printf(out, "<tr data-verdict=\"%s\"><td class=\"%s\">%s</td>",
                  kb_verdict_key(verdict), kb_verdict_key(verdict),
                  kb_verdict_word(verdict));
    add_case(row, out);
    if (s->many_devices)
        text_cell(row->device, "", out);
    if (s->many_builds)
        text_cell(row->build, "", out);
    kb_variant_words(row, &words);
    text_cell(kb_buf_text(&words), "", out);
    number_cell(kb_cell_ratio(kb_row_error(row)).text, kb_row_error(row), "", out);
    number_cell(kb_cell_ratio(kb_row_ulp(row)).text, kb_row_ulp(row), "", out);
    add_times(s, row, out);
    if (s->has_energy)
        add_column(&kb_energy_column, row, out);
    add_against(s, row, out);
    for (int i = 0; i < KB_CODE_COLUMNS && s->has_registers; i++)
        add_column(&kb_code_columns[i], row, out);
    if (s->tally.rows > s->tally.count[KB_PASS]) {
        kb_buf_clear(&words);
        kb_row_words(row, &words);
        text_cell(kb_buf_text(&words), " class=\"why\"", out);
    }
    kb_buf_puts(out, "</tr>\n");
    kb_buf_free(&words);
}

/* ---- the section -----------------------------------------------------------------------
 */

/* Shown by the script, without which they would do nothing. */
static void add_controls(const struct kb_survey *s, struct kb_buf *out) {
    kb_buf_puts(out,
                "<div id=\"controls\" hidden><input id=\"filter\" type=\"search\" "
                "aria-label=\"filter rows\" placeholder=\"words that a row has, -words "
                "that it has not\">");
    for (int v = 0; v < KB_VERDICT_COUNT; v++) {
        const char *key = kb_verdict_key((enum kb_verdict)v);
        if (s->tally.count[v])
            kb_buf_printf(out,
                          "<label class=\"%s\"><input type=\"checkbox\" checked "
                          "value=\"%s\"> %s</label>",
                          key, key, kb_verdict_word((enum kb_verdict)v));
    }
    kb_buf_puts(out, "<span class=\"soft\" id=\"shown\"></span></div>\n");
}

bool kb_html_table(const struct kb_survey *survey, struct kb_rows *rows,
                   struct kb_sink *sink, struct kb_err *err) {
    struct table table = {.survey = survey, .out = &sink->text};
    kb_buf_puts(table.out, "<section><h2>Rows</h2>\n");
    add_controls(survey, table.out);
    kb_buf_puts(table.out, "<div class=\"scroll\"><table id=\"rows\">\n");
    add_heads(survey, table.out);
    kb_buf_puts(table.out, "<tbody>\n");
    bool ok = kb_rows_visit(rows, sink, add_row, &table, err);
    kb_buf_puts(table.out, "</tbody></table></div></section>\n");
    return ok;
}
