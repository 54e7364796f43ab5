/* markdown.c - the report for a comment on a change: counts, a table, the failures, no more
 * of them than a comment takes. */
#include "report/columns.h"
#include "versus.h"

#include <math.h>
#include <string.h>

enum { COMMENT = 60000 }; /* GitHub takes 65536 characters in one; the last may be long */

/* Text that can be nothing but text: no markup, no cell, no mention, no reference. */
static void add_safe(const char *text, struct kb_buf *out) {
    struct kb_buf safe = {0};
    kb_escape(&safe, text, strlen(text));
    for (const char *p = kb_buf_text(&safe); *p; p++) {
        if (strchr("&<>@#", *p))
            kb_buf_printf(out, "&#%d;", *p);
        else if (strchr("\\`*_{}[]|~!$", *p))
            kb_buf_printf(out, "\\%c", *p);
        else
            kb_buf_putc(out, *p);
    }
    kb_buf_free(&safe);
}

static void add_head(const struct kb_survey *s, struct kb_rows *rows, struct kb_buf *out) {
    const cJSON *header = kb_rows_header(rows), *device;
    kb_buf_puts(out, "**kbench** ");
    for (int v = 0; v < KB_VERDICT_COUNT; v++) {
        int64_t n = s->tally.count[v];
        bool bad = n && v != KB_PASS && v != KB_SKIP;
        kb_buf_printf(out, "%s%s%lld %s%s", v ? ", " : "", bad ? "**" : "", (long long)n,
                      bad ? kb_verdict_word((enum kb_verdict)v)
                          : kb_verdict_key((enum kb_verdict)v),
                      bad ? "**" : "");
    }
    if (s->tally.ceilings)
        kb_buf_printf(
            out, "; ceiling %s (geomean of %lld)",
            kb_cell_percent(exp(s->tally.ceiling_logs / (double)s->tally.ceilings)).text,
            (long long)s->tally.ceilings);
    if (!cJSON_IsTrue(kb_json_get(kb_rows_end(rows), "complete")))
        kb_buf_puts(out, "; **not complete**");
    kb_buf_puts(out, "\n\n");
    cJSON_ArrayForEach(device, kb_json_get(header, "devices")) {
        add_safe(kb_member_text(device, "name"), out);
        if (*kb_member_text(device, "driver")) {
            kb_buf_puts(out, ", driver ");
            add_safe(kb_member_text(device, "driver"), out);
        }
        kb_buf_puts(out, "; ");
    }
    kb_buf_puts(out, "kbench ");
    add_safe(kb_member_text(header, "kbench"), out);
    kb_buf_puts(out, "\n\n");
}

/* What builds differ in besides their times. */
static bool has_code(const struct kb_survey *s) {
    return s->paired && s->has_registers;
}

static void add_head_of(const struct kb_column *column, struct kb_buf *out,
                        struct kb_buf *rule) {
    kb_buf_printf(out, " %s |", kb_column_info((enum kb_column_kind)column->kind)->head);
    kb_buf_puts(rule, "--:|");
}

static void add_columns(const struct kb_survey *s, struct kb_buf *out) {
    struct kb_buf rule = {0};
    kb_buf_puts(out, "| | case |");
    kb_buf_puts(&rule, "|---|---|");
    if (s->many_devices)
        kb_buf_puts(out, " device |");
    if (s->many_builds)
        kb_buf_puts(out, " build |");
    for (int i = 0; i < s->many_devices + s->many_builds; i++)
        kb_buf_puts(&rule, "---|");
    kb_buf_puts(out, " variant | err/bound | max ulp |");
    kb_buf_puts(&rule, "---|--:|--:|");
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        if (!s->has[m])
            continue;
        kb_buf_printf(out, " %s us |", kb_method_word((enum kb_method)m));
        kb_buf_puts(&rule, "--:|");
        if (m == s->first)
            kb_buf_puts(out, " GB/s | ceiling |");
        if (m == s->first)
            kb_buf_puts(&rule, "--:|--:|");
    }
    if (s->has_energy)
        add_head_of(&kb_energy_column, out, &rule);
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        if (!s->compared[m])
            continue;
        if (m != s->first)
            kb_buf_printf(out, " %s", kb_method_word((enum kb_method)m));
        kb_buf_puts(out, " against A, 95 % |");
        kb_buf_puts(&rule, "--:|");
    }
    if (s->paired)
        kb_buf_puts(out, " bits differ |");
    if (s->paired)
        kb_buf_puts(&rule, "--:|");
    for (int i = 0; i < KB_CODE_COLUMNS && has_code(s); i++)
        add_head_of(&kb_code_columns[i], out, &rule);
    kb_buf_printf(out, "\n%s\n", kb_buf_text(&rule));
    kb_buf_free(&rule);
}

static void add_cell(const char *text, struct kb_buf *out) {
    kb_buf_putc(out, ' ');
    add_safe(text, out);
    kb_buf_puts(out, " |");
}

static void add_times(const struct kb_survey *s, const struct kb_row *row,
                      struct kb_buf *out) {
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const struct kb_time *t = &row->times[m];
        if (!s->has[m])
            continue;
        kb_buf_printf(out, " %s", kb_cell_us(t->there ? t->median_ns : (double)NAN).text);
        if (t->there && (t->quality != KB_Q_OK || t->duty > 0))
            kb_buf_putc(out, ' ');
        kb_time_words(t, out);
        kb_buf_puts(out, " |");
        if (m != s->first)
            continue;
        bool has_ceiling = t->there && isfinite(t->ceiling_ns);
        kb_buf_printf(out, " %s | %s |",
                      kb_cell_rate(t->there ? t->gb_per_s : (double)NAN).text,
                      kb_cell_percent(has_ceiling ? t->ceiling : (double)NAN).text);
    }
}

/* "SLOWER +3.0 % [...]": what it is beside the first build or variant of its case. */
static void add_against(const struct kb_survey *s, const struct kb_row *row,
                        struct kb_buf *out) {
    const struct kb_against *a = row->against;
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        struct kb_buf text = {0};
        const struct kb_speed none = {0}, *speed = a ? &a->speeds[m] : &none;
        if (!s->compared[m])
            continue;
        if (speed->there)
            kb_buf_printf(&text, "%s ", kb_speed_word(speed->verdict));
        kb_speed_words(speed, true, &text);
        add_cell(a ? kb_buf_text(&text) : "A", out);
        kb_buf_free(&text);
    }
    if (s->paired)
        add_cell(kb_cell_differing(a).text, out);
}

static void add_row(const struct kb_survey *s, const struct kb_row *row,
                    struct kb_buf *out) {
    struct kb_buf variant = {0}, id = {0}, sampled = {0};
    enum kb_verdict verdict = kb_reason_verdict(row->reason);
    bool bad = kb_row_is_repeated(row);
    kb_buf_printf(out, "| %s%s%s |", bad ? "**" : "", kb_verdict_word(verdict),
                  bad ? "**" : "");
    kb_buf_puts(&id, row->case_id);
    kb_sampled_words(row, &sampled);
    if (sampled.len)
        kb_buf_printf(&id, " (%s)", kb_buf_text(&sampled));
    add_cell(kb_buf_text(&id), out);
    kb_buf_free(&id);
    kb_buf_free(&sampled);
    if (s->many_devices)
        add_cell(row->device, out);
    if (s->many_builds)
        add_cell(row->build, out);
    kb_variant_words(row, &variant);
    add_cell(kb_buf_text(&variant), out);
    kb_buf_free(&variant);
    kb_buf_printf(out, " %s | %s |", kb_cell_ratio(kb_row_error(row)).text,
                  kb_cell_ratio(kb_row_ulp(row)).text);
    add_times(s, row, out);
    if (s->has_energy)
        add_cell(kb_column_cell(&kb_energy_column, row).text, out);
    add_against(s, row, out);
    for (int i = 0; i < KB_CODE_COLUMNS && has_code(s); i++)
        add_cell(kb_column_cell(&kb_code_columns[i], row).text, out);
    kb_buf_putc(out, '\n');
}

/* A fence that no run of backticks inside can close. */
static void add_code(const char *text, struct kb_buf *out) {
    int longest = 2, run = 0;
    for (const char *p = text; *p; p++) {
        run = *p == '`' ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    for (int pass = 0; pass < 2; pass++) {
        kb_buf_puts(out, "  ");
        for (int i = 0; i <= longest; i++)
            kb_buf_putc(out, '`');
        kb_buf_putc(out, '\n');
        if (pass)
            break;
        for (const char *line = text; *line;) {
            size_t len = strcspn(line, "\n");
            kb_buf_puts(out, "  ");
            kb_escape(out, line, len);
            kb_buf_putc(out, '\n');
            line += len + (line[len] == '\n');
        }
    }
}

/* A compiler's text: its first line is the sentence, the others are as they stand. */
static void add_words(const struct kb_row *row, int64_t others, struct kb_buf *out) {
    struct kb_buf words = {0}, first = {0};
    kb_row_words(row, &words);
    const char *text = kb_buf_text(&words);
    size_t len = strcspn(text, "\n");
    const char *rest = text + len + strspn(text + len, "\n");
    kb_buf_add(&first, text, len);
    add_safe(kb_buf_text(&first), out);
    if (others > 0)
        kb_buf_printf(out, "; the same in %lld other%s", (long long)others,
                      others == 1 ? "" : "s");
    kb_buf_putc(out, '\n');
    if (*rest)
        add_code(rest, out);
    kb_buf_free(&first);
    kb_buf_free(&words);
}

static void add_failure(const struct kb_row *row, int64_t others, struct kb_buf *out) {
    struct kb_buf words = {0};
    kb_buf_printf(out, "- **%s** ", kb_verdict_word(kb_reason_verdict(row->reason)));
    add_safe(row->case_id, out);
    kb_buf_puts(out, ": ");
    add_words(row, others, out);
    add_code(row->repeat, out);
    if (row->smallest) {
        kb_smallest_words(row, &words);
        kb_buf_puts(out, "\n  smallest: ");
        add_safe(kb_buf_text(&words), out);
        kb_buf_putc(out, '\n');
        add_code(row->smallest->repeat, out);
    }
    kb_buf_free(&words);
}

/* `max`: bytes that rows, and then failures, may come to. */
struct markdown {
    const struct kb_survey *survey;
    struct kb_buf *out;
    size_t max;
    int64_t left_out;
    struct kb_told told;
};

static bool has_room(struct markdown *md) {
    bool room = md->out->len < md->max;
    md->left_out += !room;
    return room;
}

static void visit_row(void *context, const struct kb_row *row) {
    struct markdown *md = context;
    if (has_room(md))
        add_row(md->survey, row, md->out);
}

static void visit_failure(void *context, const struct kb_row *row) {
    struct markdown *md = context;
    int64_t others = kb_row_is_repeated(row) ? kb_told_others(&md->told, row) : -1;
    if (others >= 0 && has_room(md))
        add_failure(row, others, md->out);
}

static void tell_left_out(struct markdown *md, const char *what) {
    if (md->left_out)
        kb_buf_printf(md->out, "\nand %lld more %s: JSON, CSV and HTML have all\n",
                      (long long)md->left_out, what);
    md->left_out = 0;
}

static bool write_all(struct kb_rows *rows, struct markdown *md, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_survey *s = kb_arena_alloc(&arena, sizeof *s);
    bool ok = kb_survey_rows(rows, s, err);
    md->survey = s;
    size_t whole = md->max;
    bool failed = ok && kb_survey_repeated(s);
    if (failed) /* half is the failures' */
        md->max = whole / 2;
    if (ok) {
        add_head(s, rows, md->out);
        add_columns(s, md->out);
        ok = kb_rows_visit(rows, NULL, visit_row, md, err);
        tell_left_out(md, "rows");
    }
    if (ok && failed) {
        kb_buf_putc(md->out, '\n');
        md->max = whole;
        md->told = s->told;
        ok = kb_rows_visit(rows, NULL, visit_failure, md, err);
        tell_left_out(md, "failures");
    }
    kb_arena_free(&arena);
    return ok;
}

bool kb_markdown_text(struct kb_rows *rows, size_t max, struct kb_buf *out,
                      struct kb_err *err) {
    struct markdown md = {.out = out, .max = max};
    return write_all(rows, &md, err);
}

bool kb_write_markdown(struct kb_rows *rows, struct kb_sink *sink, struct kb_err *err) {
    return kb_markdown_text(rows, COMMENT, &sink->text, err);
}
