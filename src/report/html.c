/* html.c - the report as one page that needs nothing beside it: no network, and a script
 * for sorting and filtering only. */
#include "report/html.h"

#include <math.h>
#include <string.h>

enum { TEXT_WIDTH = 110, FAILURES_MAX = 500 };

/* ---- the head --------------------------------------------------------------------------
 */

static void add_title(const struct kb_survey *s, struct kb_buf *out) {
    kb_buf_puts(out, "kbench: ");
    for (int v = 0, n = 0; v < KB_VERDICT_COUNT; v++) {
        if (s->tally.count[v] || v == KB_PASS)
            kb_buf_printf(out, "%s%lld %s", n++ ? ", " : "", (long long)s->tally.count[v],
                          v == KB_PASS || v == KB_SKIP
                              ? kb_verdict_key((enum kb_verdict)v)
                              : kb_verdict_word((enum kb_verdict)v));
    }
}

/* The script is the one with this number, drawn anew for each page: whatever else could
 * get into the page would not run, and nothing is fetched. */
static void add_head(const struct kb_survey *s, const char *nonce, struct kb_buf *out) {
    kb_buf_puts(out,
                "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                "<meta name=\"viewport\" content=\"width=device-width, "
                "initial-scale=1\">\n");
    kb_buf_printf(out,
                  "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src "
                  "'none'; style-src 'unsafe-inline'; script-src 'nonce-%s'; base-uri "
                  "'none'; form-action 'none'\">\n<title>",
                  nonce);
    add_title(s, out);
    kb_buf_printf(out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n", kb_html_style);
}

/* ---- summary and environment -----------------------------------------------------------
 */

static void add_summary(const struct kb_survey *s, const cJSON *end, struct kb_buf *out) {
    const cJSON *seconds = kb_json_get(end, "seconds");
    kb_buf_puts(out, "<ul class=\"counts\">");
    for (int v = 0; v < KB_VERDICT_COUNT; v++) {
        int64_t n = s->tally.count[v];
        kb_buf_printf(out, "<li class=\"%s%s\"><b>%lld</b> %s</li>",
                      kb_verdict_key((enum kb_verdict)v), n ? "" : " none", (long long)n,
                      kb_verdict_word((enum kb_verdict)v));
    }
    kb_buf_puts(out, "</ul>\n<p>");
    kb_buf_printf(out, "%lld row%s", (long long)s->tally.rows,
                  s->tally.rows == 1 ? "" : "s");
    if (s->tally.ceilings)
        kb_buf_printf(
            out, ", %s of the ceiling (geomean of %lld)",
            kb_cell_percent(exp(s->tally.ceiling_logs / (double)s->tally.ceilings)).text,
            (long long)s->tally.ceilings);
    if (cJSON_IsNumber(seconds))
        kb_buf_printf(out, ", %.1f s", seconds->valuedouble);
    kb_buf_puts(out, "</p>\n");
    if (!cJSON_IsTrue(kb_json_get(end, "complete"))) {
        kb_buf_puts(out,
                    "<p class=\"fail\"><strong>Not complete: the run did not get to its "
                    "end");
        if (*kb_member_text(end, "interrupted")) {
            kb_buf_puts(out, " (");
            kb_markup(kb_member_text(end, "interrupted"), out);
            kb_buf_putc(out, ')');
        }
        kb_buf_puts(out, ".</strong></p>\n");
    }
}

static void fact(const char *name, const char *value, struct kb_buf *out) {
    if (!*value)
        return;
    kb_buf_puts(out, "<dt>");
    kb_markup(name, out);
    kb_buf_puts(out, "</dt><dd>");
    kb_markup(value, out);
    kb_buf_puts(out, "</dd>\n");
}

/* Items of an array, words of a command line quoted where a shell would need it. */
static void joined(const cJSON *array, bool quoted, struct kb_buf *out) {
    const cJSON *item;
    cJSON_ArrayForEach(item, array) {
        const char *text = cJSON_GetStringValue(item);
        text = text ? text : "";
        kb_buf_puts(out, out->len ? " " : "");
        if (quoted)
            kb_shell_word(out, text);
        else
            kb_buf_puts(out, text);
    }
}

static void device_facts(const cJSON *device, struct kb_buf *out) {
    struct kb_buf name = {0}, text = {0};
    int64_t n;
    kb_member_device(device, &text);
    if (kb_json_i64(kb_json_get(device, "sm_count"), &n))
        kb_buf_printf(&text, ", %lld SMs", (long long)n);
    if (kb_json_i64(kb_json_get(device, "l2_bytes"), &n))
        kb_buf_printf(&text, ", L2 %s", kb_cell_bytes((double)n).text);
    if (*kb_member_text(device, "driver"))
        kb_buf_printf(&text, ", driver %s", kb_member_text(device, "driver"));
    if (*kb_member_text(device, "nvrtc"))
        kb_buf_printf(&text, ", NVRTC %s", kb_member_text(device, "nvrtc"));
    if (kb_streq(kb_member_text(device, "backend"), "cuda"))
        kb_buf_puts(&text, cJSON_IsTrue(kb_json_get(device, "clocks_locked"))
                               ? ", clocks locked"
                               : ", clocks not locked");
    kb_buf_printf(&name, "device %s", kb_member_text(device, "id"));
    fact(kb_buf_text(&name), kb_buf_text(&text), out);
    kb_buf_free(&name);
    kb_buf_free(&text);
}

static void add_environment(const cJSON *header, struct kb_buf *out) {
    const cJSON *item, *host = kb_json_get(header, "host");
    struct kb_buf name = {0}, text = {0};
    int64_t cores;
    kb_buf_puts(out, "<section><h2>Environment</h2>\n<dl>\n");
    joined(kb_json_get(header, "command"), true, &text);
    fact("command", kb_buf_text(&text), out);
    fact("started", kb_member_text(header, "started"), out);
    fact("kbench", kb_member_text(header, "kbench"), out);
    cJSON_ArrayForEach(item, kb_json_get(header, "devices")) device_facts(item, out);
    cJSON_ArrayForEach(item, kb_json_get(header, "builds")) {
        kb_buf_clear(&name);
        kb_buf_clear(&text);
        kb_buf_printf(&name, "build %s", item->string ? item->string : "");
        joined(item, false, &text);
        fact(kb_buf_text(&name), kb_buf_text(&text), out);
    }
    kb_buf_clear(&text);
    kb_buf_puts(&text, kb_member_text(host, "cpu"));
    if (kb_json_i64(kb_json_get(host, "cores"), &cores))
        kb_buf_printf(&text, "%s%lld cores", text.len ? ", " : "", (long long)cores);
    if (*kb_member_text(host, "os"))
        kb_buf_printf(&text, ", %s", kb_member_text(host, "os"));
    fact("host", kb_buf_text(&text), out);
    kb_buf_clear(&text);
    joined(kb_json_get(host, "instrumented"), false, &text);
    fact("foreign code", kb_buf_text(&text), out);
    kb_buf_puts(out, "</dl></section>\n");
    kb_buf_free(&name);
    kb_buf_free(&text);
}

/* ---- failures --------------------------------------------------------------------------
 */

struct failures {
    const struct kb_survey *survey;
    struct kb_buf *out;
    int64_t shown;
    struct kb_told told;
};

static void add_which(const struct kb_survey *s, const struct kb_row *row,
                      struct kb_buf *out) {
    struct kb_buf text = {0};
    kb_buf_puts(&text, row->case_id);
    if (s->many_devices)
        kb_buf_printf(&text, ", device %s", row->device);
    if (s->many_builds)
        kb_buf_printf(&text, ", %s", row->build);
    if (row->variant) {
        kb_buf_puts(&text, ", ");
        kb_variant_words(row, &text);
    }
    kb_markup(kb_buf_text(&text), out);
    kb_buf_free(&text);
}

static void add_failure(void *context, const struct kb_row *row) {
    struct failures *f = context;
    const struct kb_single single = {.look = {.width = TEXT_WIDTH}};
    enum kb_verdict verdict = kb_reason_verdict(row->reason);
    struct kb_buf *out = f->out, text = {0};
    int64_t others = kb_row_is_repeated(row) ? kb_told_others(&f->told, row) : -1;
    if (others < 0 || f->shown++ >= FAILURES_MAX)
        return;
    kb_buf_printf(out, "<article class=\"%s\"><h3><span class=\"%s\">%s</span> ",
                  verdict == KB_MISTRUSTED ? "mistrusted" : "wrong",
                  kb_verdict_key(verdict), kb_verdict_word(verdict));
    kb_buf_puts(out, "<span class=\"id\">");
    add_which(f->survey, row, out);
    kb_buf_puts(out, "</span></h3>\n<pre>");
    kb_single_wrong(&single, row, &text);
    if (others > 0)
        kb_buf_printf(&text, "%-*sin %lld other%s\n", KB_LABEL, "the same",
                      (long long)others, others == 1 ? "" : "s");
    kb_single_next(row, &text);
    kb_markup_lines(kb_buf_text(&text), out);
    kb_buf_puts(out, "</pre></article>\n");
    kb_buf_free(&text);
}

static bool add_failures(const struct kb_survey *s, struct kb_rows *rows,
                         struct kb_sink *sink, struct kb_err *err) {
    struct failures f = {.survey = s, .out = &sink->text, .told = s->told};
    if (!kb_survey_repeated(s))
        return true;
    kb_buf_puts(f.out, "<section><h2>What is wrong</h2>\n");
    bool ok = kb_rows_visit(rows, sink, add_failure, &f, err);
    if (f.shown > FAILURES_MAX)
        kb_buf_printf(f.out, "<p class=\"note\">and %lld more, in the table below.</p>\n",
                      (long long)(f.shown - FAILURES_MAX));
    kb_buf_puts(f.out, "</section>\n");
    return ok;
}

/* ---- the page --------------------------------------------------------------------------
 */

bool kb_write_html(struct kb_rows *rows, struct kb_sink *sink, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_survey *s = kb_arena_alloc(&arena, sizeof *s);
    struct kb_buf *out = &sink->text;
    const char *nonce =
        kb_arena_printf(&arena, "%016llx%016llx", (unsigned long long)kb_random_u64(),
                        (unsigned long long)kb_random_u64());
    bool ok = kb_survey_rows(rows, s, err);
    if (ok) {
        add_head(s, nonce, out);
        kb_buf_puts(out, "<header><h1>kbench</h1>\n");
        add_summary(s, kb_rows_end(rows), out);
        kb_buf_puts(out, "</header>\n");
    }
    ok = ok && add_failures(s, rows, sink, err);
    if (ok)
        add_environment(kb_rows_header(rows), out);
    ok = ok && kb_html_plots(s, rows, sink, err) && kb_html_table(s, rows, sink, err);
    if (ok)
        kb_buf_printf(out, "<script nonce=\"%s\">\n%s</script>\n</body>\n</html>\n", nonce,
                      kb_html_script);
    kb_arena_free(&arena);
    return ok;
}
