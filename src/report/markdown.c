/* markdown.c - the report for a comment on a change: counts, a table, the failures. */
#include "report/parts.h"
#include "screen.h"

#include <math.h>
#include <string.h>

/* What a first pass over the rows finds: which columns the table needs. */
struct survey {
    struct kb_tally tally;
    bool many_builds, many_devices, many_variants;
    char build[64], device[16], variant[64];
    bool has[KB_METHOD_COUNT];
    int first; /* the first method that was timed; -1: none */
};

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

static bool differs(char *first, size_t size, const char *text) {
    text = text ? text : "-";
    if (!*first)
        kb_text_copy(first, size, text);
    return strncmp(first, text, size - 1) != 0;
}

static bool look_over(struct kb_rows *rows, struct survey *s, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_row row;
    struct kb_err why = {0};
    while (kb_rows_next(rows, &arena, &row, &why)) {
        kb_tally_add(&s->tally, &row);
        s->many_builds |= differs(s->build, sizeof s->build, row.build);
        s->many_devices |= differs(s->device, sizeof s->device, row.device);
        s->many_variants |= differs(s->variant, sizeof s->variant, row.variant);
        for (int m = 0; m < KB_METHOD_COUNT; m++)
            s->has[m] |= row.times[m].there;
        kb_arena_reset(&arena);
    }
    kb_arena_free(&arena);
    kb_rows_rewind(rows);
    s->first = -1;
    for (int m = KB_METHOD_COUNT - 1; m >= 0; m--)
        s->first = s->has[m] ? m : s->first;
    return !why.kind || kb_fail(err, why.kind, "%s", why.msg);
}

static const char *member(const cJSON *object, const char *name) {
    const char *text = cJSON_GetStringValue(kb_json_get(object, name));
    return text ? text : "";
}

static void add_head(const struct survey *s, struct kb_rows *rows, struct kb_buf *out) {
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
        add_safe(member(device, "name"), out);
        if (*member(device, "driver")) {
            kb_buf_puts(out, ", driver ");
            add_safe(member(device, "driver"), out);
        }
        kb_buf_puts(out, "; ");
    }
    kb_buf_puts(out, "kbench ");
    add_safe(member(header, "kbench"), out);
    kb_buf_puts(out, "\n\n");
}

static void add_columns(const struct survey *s, struct kb_buf *out) {
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
    kb_buf_printf(out, "\n%s\n", kb_buf_text(&rule));
    kb_buf_free(&rule);
}

static void add_cell(const char *text, struct kb_buf *out) {
    kb_buf_putc(out, ' ');
    add_safe(text, out);
    kb_buf_puts(out, " |");
}

static void add_times(const struct survey *s, const struct kb_row *row,
                      struct kb_buf *out) {
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const struct kb_time *t = &row->times[m];
        if (!s->has[m])
            continue;
        kb_buf_printf(out, " %s", kb_cell_us(t->there ? t->median_ns : (double)NAN).text);
        if (t->there && t->quality != KB_Q_OK)
            kb_buf_printf(out, " %s", kb_quality_word(t->quality));
        kb_buf_puts(out, " |");
        if (m != s->first)
            continue;
        bool has_ceiling = t->there && isfinite(t->ceiling_ns);
        kb_buf_printf(out, " %s | %s |",
                      kb_cell_rate(t->there ? t->gb_per_s : (double)NAN).text,
                      kb_cell_percent(has_ceiling ? t->ceiling : (double)NAN).text);
    }
}

static void add_row(const struct survey *s, const struct kb_row *row, struct kb_buf *out) {
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
        kb_buf_puts(out, "  ");
        kb_escape(out, text, strlen(text));
        kb_buf_putc(out, '\n');
    }
}

static void add_failure(const struct kb_row *row, struct kb_buf *out) {
    struct kb_buf words = {0};
    kb_buf_printf(out, "- **%s** ", kb_verdict_word(kb_reason_verdict(row->reason)));
    add_safe(row->case_id, out);
    kb_buf_puts(out, ": ");
    kb_row_words(row, &words);
    add_safe(kb_buf_text(&words), out);
    kb_buf_putc(out, '\n');
    add_code(row->repeat, out);
    if (row->smallest) {
        kb_buf_clear(&words);
        kb_smallest_words(row, &words);
        kb_buf_puts(out, "\n  smallest: ");
        add_safe(kb_buf_text(&words), out);
        kb_buf_putc(out, '\n');
        add_code(row->smallest->repeat, out);
    }
    kb_buf_free(&words);
}

/* One pass over the rows: the table, or the failures. */
static bool add_pass(const struct survey *s, struct kb_rows *rows, struct kb_sink *sink,
                     bool failures, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_row row;
    struct kb_err why = {0};
    while (kb_rows_next(rows, &arena, &row, &why)) {
        if (!failures)
            add_row(s, &row, &sink->text);
        else if (kb_row_is_repeated(&row))
            add_failure(&row, &sink->text);
        kb_arena_reset(&arena);
        kb_sink_room(sink);
    }
    kb_arena_free(&arena);
    return !why.kind || kb_fail(err, why.kind, "%s", why.msg);
}

bool kb_write_markdown(struct kb_rows *rows, struct kb_sink *sink, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct survey *s = kb_arena_alloc(&arena, sizeof *s);
    bool ok = look_over(rows, s, err);
    if (ok) {
        add_head(s, rows, &sink->text);
        add_columns(s, &sink->text);
        ok = add_pass(s, rows, sink, false, err);
    }
    if (ok && s->tally.rows > s->tally.count[KB_PASS] + s->tally.count[KB_SKIP]) {
        kb_buf_putc(&sink->text, '\n');
        kb_rows_rewind(rows);
        ok = add_pass(s, rows, sink, true, err);
    }
    kb_arena_free(&arena);
    return ok;
}
