/* format_test.c - JSON, JSON Lines, CSV and Markdown made from a journal. */
#include "report/sample_journal.h"

/* ---- the forms -------------------------------------------------------------------------
 */

/* A report of the three rows in one form. */
static const char *report_as(struct place *p, enum kb_format format, bool complete) {
    return report_of(p, three_rows(p, complete), format);
}

static void json_has_the_fields_of_the_schema(void **state) {
    struct place *p = *state;
    const char *text = report_as(p, KB_FORMAT_JSON, true);
    struct kb_json doc = {0};
    struct kb_err err = {0};
    static const char *const order[] = {"schema",  "kbench",  "complete", "command",
                                        "started", "seconds", "count",    "host",
                                        "devices", "builds",  "rows"};
    assert_true(kb_json_parse(&doc, "r.json", text, strlen(text), &err));
    const cJSON *member = doc.root->child;
    for (size_t i = 0; i < KB_COUNT(order); i++, member = member->next)
        assert_string_equal(member->string, order[i]);
    assert_null(member);
    const cJSON *device = kb_json_get(doc.root, "devices")->child;
    assert_true(kb_json_get(kb_json_get(device, "floor_ns"), "graph")->valuedouble == 490);
    assert_true(kb_json_get(device, "stream_gb_per_s")->valuedouble > 200);
    const cJSON *count = kb_json_get(doc.root, "count");
    assert_true(kb_json_get(count, "pass")->valuedouble == 1);
    assert_true(kb_json_get(count, "error")->valuedouble == 1);
    assert_int_equal(cJSON_GetArraySize(kb_json_get(doc.root, "rows")), 3);
    kb_json_free(&doc);
}

static void json_of_an_interrupted_run_says_so(void **state) {
    struct place *p = *state;
    const char *text = report_as(p, KB_FORMAT_JSON, false);
    assert_non_null(strstr(text, "\"complete\": false"));
    assert_non_null(strstr(text, "\"interrupted\": \"SIGINT\""));
}

/* What a killed run left, cut anywhere, still makes valid JSON that is not complete. */
static void json_of_a_torn_journal_is_valid_and_not_complete(void **state) {
    struct place *p = *state;
    size_t size;
    kb_journal_close(three_rows(p, true), true);
    char *text = whole_file(p, p->part, &size);
    size_t head = strcspn(text, "\n") + 1;
    size_t end = size - 1; /* the end line begins after the newline before it */
    while (text[end - 1] != '\n')
        end--;
    for (size_t cut = head; cut <= end; cut += 151) {
        struct kb_rows *rows = NULL;
        struct kb_json doc = {0};
        struct kb_err err = {0};
        size_t length;
        write_file(p->part, text, cut);
        assert_true(kb_rows_open(p->part, &rows, &err));
        assert_true(kb_report_write(KB_FORMAT_JSON, p->target, rows, &err));
        const char *json = whole_file(p, p->target, &length);
        assert_true(kb_json_parse(&doc, "r.json", json, length, &err));
        assert_true(cJSON_IsFalse(kb_json_get(doc.root, "complete")));
        kb_json_free(&doc);
        kb_rows_close(rows);
    }
}

static void jsonl_is_the_journal(void **state) {
    struct place *p = *state;
    const char *text = report_as(p, KB_FORMAT_JSONL, true);
    struct kb_rows *rows = NULL;
    struct kb_err err = {0};
    assert_true(kb_starts_with(text, "{\"schema\":\"kbench-report/1\""));
    assert_true(kb_rows_open(p->target, &rows, &err));
    assert_int_equal(count_rows(rows, &err), 3);
    assert_non_null(kb_rows_end(rows));
    kb_rows_close(rows);
}

static void csv_has_as_many_fields_in_every_line_and_no_formulas(void **state) {
    struct place *p = *state;
    const char *text = report_as(p, KB_FORMAT_CSV, true);
    int fields = -1, now = 1, lines = 0;
    bool quoted = false;
    assert_true(kb_starts_with(text, "case,op,shape,"));
    assert_non_null(strstr(text, ",graph_p99_ns,graph_stopped,"));
    assert_non_null(strstr(text, ",compile_ms,load_ms,cached,energy_uj\n"));
    for (const char *c = text; *c; c++) {
        quoted ^= *c == '"';
        now += *c == ',' && !quoted;
        if (*c != '\n' || quoted)
            continue;
        assert_true(fields < 0 || now == fields);
        fields = now;
        now = 1;
        lines++;
    }
    assert_int_equal(lines, 4);
    assert_false(quoted);
    assert_non_null(strstr(text, "\n'=cmd/83x1024/bf16,"));
    assert_non_null(strstr(text, "\"x.cu:1: error: \"\"y\"\" | @z^J  ^\""));
}

static void markdown_cannot_be_broken_out_of(void **state) {
    struct place *p = *state;
    const char *text = report_as(p, KB_FORMAT_MD, true);
    assert_true(kb_starts_with(text, "**kbench** 1 pass, **1 FAIL**, 0 mistrusted, 0 skip, "
                                     "**1 ERROR**; ceiling 97 % (geomean of 1)\n"));
    assert_non_null(strstr(text,
                           "| PASS | gelu\\_tanh/83x1024/bf16 | vec16 | 0.02 | 0.50 | "
                           "1.22 | 209 | 97 % |\n"));
    assert_non_null(strstr(text, "\"y\" \\| &#64;z\n  ```\n    ^\n  ```\n"));
    assert_null(strchr(strstr(text, "- **ERROR**"), '@'));
}

static void a_report_that_cannot_be_written_leaves_the_old_one(void **state) {
    struct place *p = *state;
    struct kb_journal *journal = three_rows(p, true);
    struct kb_rows *rows = NULL;
    struct kb_err err = {0};
    size_t size;
    write_file(p->target, "old", 3);
    assert_true(kb_rows_of_journal(journal, &rows, &err));
    assert_int_equal(ftruncate(kb_journal_fd(journal), 600), 0);
    assert_int_equal(pwrite(kb_journal_fd(journal), "}\n", 2, 598), 2);
    assert_false(kb_report_write(KB_FORMAT_JSON, p->target, rows, &err));
    assert_int_equal(err.kind, KB_INPUT);
    assert_string_equal(whole_file(p, p->target, &size), "old");
    kb_rows_close(rows);
    kb_journal_close(journal, false);
}

static void a_full_device_is_an_io_error(void **state) {
    struct place *p = *state;
    struct kb_journal *journal = three_rows(p, true);
    for (int f = 0; f < KB_FORMAT_COUNT; f++) {
        struct kb_rows *rows = NULL;
        struct kb_err err = {0};
        assert_true(kb_rows_of_journal(journal, &rows, &err));
        assert_false(kb_report_write((enum kb_format)f, "/dev/full", rows, &err));
        assert_int_equal(kb_err_status(&err), 7);
        assert_non_null(strstr(err.msg, "/dev/full: "));
        kb_rows_close(rows);
    }
    kb_journal_close(journal, false);
}

static void formats_are_told_by_extension(void **state) {
    (void)state;
    enum kb_format format;
    assert_true(kb_format_of_file("a/b.c/r.jsonl", &format));
    assert_int_equal(format, KB_FORMAT_JSONL);
    assert_true(kb_format_of_file("r.md", &format));
    assert_false(kb_format_of_file("r", &format));
    assert_false(kb_format_of_file(".json", &format));
    assert_false(kb_format_of_file("a.json/r", &format));
    assert_false(kb_format_of_file("r.JSON", &format));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(json_has_the_fields_of_the_schema),
        TEST(json_of_an_interrupted_run_says_so),
        TEST(json_of_a_torn_journal_is_valid_and_not_complete),
        TEST(jsonl_is_the_journal),
        TEST(csv_has_as_many_fields_in_every_line_and_no_formulas),
        TEST(markdown_cannot_be_broken_out_of),
        TEST(a_report_that_cannot_be_written_leaves_the_old_one),
        TEST(a_full_device_is_an_io_error),
        TEST(formats_are_told_by_extension),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
