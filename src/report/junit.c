/* junit.c - the report as JUnit XML, which CI systems read: a test case per row, its name
 * the case and what rows differ in; failures with what is seen on the screen of a case. */
#include "report/parts.h"

#include <math.h>
#include <string.h>

enum { TEXT_WIDTH = 100 };

struct junit {
    const struct kb_survey *survey;
    struct kb_buf *out;
};

static void attribute(const char *name, const char *text, struct kb_buf *out) {
    kb_buf_printf(out, " %s=\"", name);
    kb_markup(text, out);
    kb_buf_putc(out, '"');
}

/* ---- the suite -------------------------------------------------------------------------
 */

static void property(const char *name, const char *value, struct kb_buf *out) {
    if (!*value)
        return;
    kb_buf_puts(out, "      <property");
    attribute("name", name, out);
    attribute("value", value, out);
    kb_buf_puts(out, "/>\n");
}

static void add_properties(const cJSON *header, struct kb_buf *out) {
    const cJSON *device, *host = kb_json_get(header, "host");
    struct kb_buf name = {0}, value = {0};
    kb_buf_puts(out, "    <properties>\n");
    property("kbench", kb_member_text(header, "kbench"), out);
    cJSON_ArrayForEach(device, kb_json_get(header, "devices")) {
        kb_buf_clear(&name);
        kb_buf_clear(&value);
        kb_buf_printf(&name, "device %s", kb_member_text(device, "id"));
        kb_member_device(device, &value);
        property(kb_buf_text(&name), kb_buf_text(&value), out);
        property("driver", kb_member_text(device, "driver"), out);
        property("nvrtc", kb_member_text(device, "nvrtc"), out);
    }
    property("cpu", kb_member_text(host, "cpu"), out);
    property("os", kb_member_text(host, "os"), out);
    kb_buf_puts(out, "    </properties>\n");
    kb_buf_free(&name);
    kb_buf_free(&value);
}

/* `more`: an error beside those of the rows. */
static void add_counts(const struct kb_survey *s, double seconds, bool more,
                       struct kb_buf *out) {
    const struct kb_tally *t = &s->tally;
    kb_buf_printf(out,
                  " tests=\"%lld\" failures=\"%lld\" errors=\"%lld\" skipped=\"%lld\" "
                  "time=\"%.3f\"",
                  (long long)(t->rows + more),
                  (long long)(t->count[KB_FAIL] + t->count[KB_MISTRUSTED]),
                  (long long)(t->count[KB_ERROR] + more), (long long)t->count[KB_SKIP],
                  seconds);
}

/* ---- test cases ------------------------------------------------------------------------
 */

static void add_name(const struct kb_survey *s, const struct kb_row *row,
                     struct kb_buf *out) {
    struct kb_buf name = {0};
    kb_buf_puts(&name, row->case_id);
    if (s->many_builds)
        kb_buf_printf(&name, " build %s", row->build);
    if (s->many_variants && row->variant) {
        kb_buf_puts(&name, " variant ");
        kb_variant_words(row, &name);
    }
    if (s->many_devices)
        kb_buf_printf(&name, " device %s", row->device);
    attribute("name", kb_buf_text(&name), out);
    kb_buf_free(&name);
}

static const char *element_of(enum kb_verdict verdict) {
    return verdict == KB_ERROR ? "error" : "failure";
}

/* What is wrong, where, a picture of it, and the command that repeats it. */
static void add_wrong(const struct kb_row *row, struct kb_buf *out) {
    const struct kb_single single = {.look = {.width = TEXT_WIDTH}};
    enum kb_verdict verdict = kb_reason_verdict(row->reason);
    struct kb_buf words = {0};
    kb_buf_printf(out, "\n      <%s", element_of(verdict));
    attribute("type", kb_reason_word(row->reason), out);
    kb_buf_printf(&words, "%s: ", kb_verdict_word(verdict));
    kb_row_words(row, &words);
    attribute("message", kb_buf_text(&words), out);
    kb_buf_puts(out, ">\n");
    kb_buf_clear(&words);
    kb_single_wrong(&single, row, &words);
    kb_single_next(row, &words);
    kb_markup_lines(kb_buf_text(&words), out);
    kb_buf_printf(out, "</%s>\n    ", element_of(verdict));
    kb_buf_free(&words);
}

static void add_case(void *context, const struct kb_row *row) {
    const struct junit *junit = context;
    struct kb_buf *out = junit->out, words = {0};
    kb_buf_puts(out, "    <testcase");
    attribute("classname", row->op ? row->op : "kbench", out);
    add_name(junit->survey, row, out);
    kb_buf_printf(out, " time=\"%.3f\"", row->ms_total / 1e3);
    if (kb_row_is_repeated(row)) {
        kb_buf_putc(out, '>');
        add_wrong(row, out);
        kb_buf_puts(out, "</testcase>\n");
    } else if (kb_reason_verdict(row->reason) == KB_SKIP) {
        kb_row_words(row, &words);
        kb_buf_puts(out, "><skipped");
        attribute("message", kb_buf_text(&words), out);
        kb_buf_puts(out, "/></testcase>\n");
    } else {
        kb_buf_puts(out, "/>\n");
    }
    kb_buf_free(&words);
}

/* A run that did not get to its end must not look like one whose cases all passed. */
static void add_incomplete(const cJSON *end, struct kb_buf *out) {
    const char *signal = kb_member_text(end, "interrupted");
    kb_buf_puts(out, "    <testcase classname=\"kbench\" name=\"the run\" time=\"0.000\">"
                     "<error type=\"incomplete\" message=\"the run did not get to its end");
    if (*signal) {
        kb_buf_puts(out, ": ");
        kb_markup(signal, out);
    }
    kb_buf_puts(out, "\"/></testcase>\n");
}

bool kb_write_junit(struct kb_rows *rows, struct kb_sink *sink, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_survey *s = kb_arena_alloc(&arena, sizeof *s);
    struct kb_buf *out = &sink->text;
    struct junit junit = {.survey = s, .out = out};
    bool ok = kb_survey_rows(rows, s, err);
    if (ok) {
        const cJSON *header = kb_rows_header(rows), *end = kb_rows_end(rows);
        const cJSON *took = kb_json_get(end, "seconds");
        bool complete = cJSON_IsTrue(kb_json_get(end, "complete"));
        double seconds = cJSON_IsNumber(took) ? took->valuedouble : s->ms_total / 1e3;
        const char *started = kb_member_text(header, "started");
        kb_buf_puts(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites "
                         "name=\"kbench\"");
        add_counts(s, seconds, !complete, out);
        kb_buf_puts(out, ">\n  <testsuite name=\"kbench\"");
        add_counts(s, seconds, !complete, out);
        /* The schema of JUnit wants no zone; it is UTC. */
        const char *stamp = kb_arena_strndup(&arena, started, strcspn(started, "Z"));
        if (*stamp)
            attribute("timestamp", stamp, out);
        kb_buf_puts(out, ">\n");
        add_properties(header, out);
        ok = kb_rows_visit(rows, sink, add_case, &junit, err);
        if (!complete)
            add_incomplete(kb_rows_end(rows), out); /* it was read again */
        kb_buf_puts(out, "  </testsuite>\n</testsuites>\n");
    }
    kb_arena_free(&arena);
    return ok;
}
