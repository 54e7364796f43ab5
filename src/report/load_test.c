/* load_test.c - reports read back: both forms, damage, what is newer, what is no time. */
#include "report/compare_fixture.h"
#include "report/pull.h"

static bool read_text(const char *text, struct kb_loaded *out, struct kb_err *err) {
    struct kb_buf copy = {0};
    *err = (struct kb_err){0};
    kb_buf_puts(&copy, text);
    bool ok = kb_loaded_of_text("r.json", &copy, out, err);
    kb_buf_free(&copy);
    return ok;
}

static void want_error(const char *text, const char *error) {
    struct kb_loaded report;
    struct kb_err err;
    if (read_text(text, &report, &err))
        fail_msg("read: %s", text);
    assert_int_equal(err.kind, KB_INPUT);
    if (!strstr(err.msg, error))
        fail_msg("%s\nis not: %s", err.msg, error);
    assert_null(strchr(err.msg, '\n'));
}

static const char head[] = "\"schema\":\"kbench-report/1\",\"kbench\":\"0.1.0 abc\","
                           "\"complete\":true,\"devices\":[{\"id\":\"0\",\"name\":\"G\"}]";
#define ROW "{\"case\":\"s/1/b\",\"device\":\"0\",\"verdict\":\"PASS\"}"

static void both_forms_are_told_by_what_is_in_them(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{%s,\"rows\":[" ROW "," ROW "]}",
        "{\n \"rows\" : [ " ROW ",\n" ROW " ] , %s }\n",
        "{%s}\n" ROW "\n" ROW "\n{\"complete\":true,\"seconds\":1}\n",
        "{%s}\n" ROW "\n" ROW,
    };
    for (size_t i = 0; i < KB_COUNT(texts); i++) {
        struct kb_loaded report;
        struct kb_err err;
        struct kb_arena arena = {0};
        const char *percent = strstr(texts[i], "%s");
        const char *text = kb_arena_printf(&arena, "%.*s%s%s", (int)(percent - texts[i]),
                                           texts[i], head, percent + 2);
        if (!read_text(text, &report, &err))
            fail_msg("%s", err.msg);
        assert_int_equal(report.n_rows, 2);
        assert_string_equal(report.rows[0].op, "s");
        assert_string_equal(report.rows[0].dtype, "b");
        assert_string_equal(report.machines[0].name, "G");
        assert_string_equal(kb_loaded_commit(&report), "abc");
        assert_false(report.rows[0].twice);
        assert_true(report.rows[1].twice);
        assert_memory_equal(report.text.data + report.rows[1].at, ROW, report.rows[1].size);
        kb_loaded_free(&report);
        kb_arena_free(&arena);
    }
}

static void code_is_the_same_however_the_file_is_spaced(void **state) {
    (void)state;
    static const char *const codes[] = {
        "{\"code_hash\":\"ab\",\"grid\":[42,1,1],\"block\":[256,1,1]}",
        "{ \"code_hash\" : \"ab\",\n \"grid\": [42, 1,\n 1], \"block\": [ 256, 1, 1 ] }",
        "{\"code_hash\":\"ab\",\"grid\":[4,21,1],\"block\":[256,1,1]}",
    };
    char *first = NULL;
    for (size_t i = 0; i < KB_COUNT(codes); i++) {
        struct kb_loaded report;
        struct kb_err err;
        struct kb_arena arena = {0};
        if (!read_text(kb_arena_printf(&arena,
                                       "{%s,\"rows\":[{\"case\":\"s/1/b\",\"device\":\"0\","
                                       "\"verdict\":\"PASS\",\"code\":%s}]}",
                                       head, codes[i]),
                       &report, &err))
            fail_msg("%s", err.msg);
        if (!first)
            first = strdup(report.rows[0].code);
        assert_int_equal(kb_streq(report.rows[0].code, first), i < 2);
        kb_loaded_free(&report);
        kb_arena_free(&arena);
    }
    free(first);
}

static void a_torn_last_line_is_left_out_and_told(void **state) {
    (void)state;
    struct kb_loaded report;
    struct kb_err err;
    assert_true(read_text("{\"schema\":\"kbench-report/1\"}\n" ROW "\n{\"case\":\"s/2",
                          &report, &err));
    assert_int_equal(report.n_rows, 1);
    assert_false(report.complete);
    assert_non_null(strstr(report.note.data, "the last line is torn"));
    kb_loaded_free(&report);
    /* A whole row with half of another one behind it is torn, too. */
    assert_true(
        read_text("{\"schema\":\"kbench-report/1\"}\n" ROW "{\"case\"", &report, &err));
    assert_int_equal(report.n_rows, 0);
    kb_loaded_free(&report);
    want_error("{\"schema\":\"kbench-report/1\"}\n{\"case\":\"s/2\n" ROW "\n",
               "r.json:2:13");
}

static void what_is_no_report_is_named_in_one_line(void **state) {
    (void)state;
    want_error("", "r.json: is empty");
    want_error(" \n", "r.json: is empty");
    want_error("{}", "is no kbench report");
    want_error("[]", "r.json:1:1: error: unexpected [");
    want_error("{\"schema\":\"kbench-cases/1\",\"rows\":[]}", "is no kbench report");
    want_error("{\"schema\":\"kbench-report/1\",\"rows\":[{}]}", "no right \"case\"");
    want_error(
        "{\"schema\":\"kbench-report/1\",\"rows\":[{\"case\":1,\"verdict\":\"PASS\"}]}",
        "no right \"case\"");
    want_error(
        "{\"schema\":\"kbench-report/1\",\"rows\":[{\"case\":\"s\",\"verdict\":\"ok\"}]}",
        "no right \"verdict\"");
    want_error("{\"schema\":\"kbench-report/1\",\"rows\":[" ROW "]} x", "text after");
    want_error("{\"schema\":\"kbench-report/1\",\"devices\":{},\"rows\":[]}",
               "no right \"devices\" in the report");
    want_error("{\"schema\":\"kbench-report/1\",\"devices\":[1],\"rows\":[]}",
               "no right \"devices\"");
    want_error("{\"schema\":\"kbench-report/1\",\"kbench\":1,\"rows\":[]}",
               "no right \"kbench\"");
    want_error("{\"schema\":\"kbench-report/1\",\"rows\":[],\"rows\":[]}", "second time");
    want_error(
        "{\"schema\":\"kbench-report/1\",\"schema\":\"kbench-report/1\",\"rows\":[]}",
        "second time");
    want_error("{\"schema\":\"kbench-report/1\",\"rows\":[{\"case\":\"s\",\"case\":\"s\","
               "\"verdict\":\"PASS\"}]}",
               "second time");
    want_error("{\"schema\":\"kbench-report/1\"}\n" ROW "\n{\"complete\":true}\n" ROW "\n",
               "r.json:4:1: error: a line after the end");
}

static void a_newer_schema_is_refused_by_name(void **state) {
    (void)state;
    static const char error[] = "schema \"kbench-report/2\" is newer than this kbench, "
                                "which reads \"kbench-report/1\"";
    want_error("{\"schema\":\"kbench-report/2\",\"rows\":[]}", error);
    /* Its rows may be of another kind. */
    want_error("{\"rows\":[{\"id\":1}],\"schema\":\"kbench-report/2\"}", error);
}

static void text_that_is_no_json_is_refused_at_its_place(void **state) {
    (void)state;
    static const char *const values[] = {
        "NaN",      "nul",      "01",   "1.",      "-",           "1e",
        "+1",       "1e999",    "'a'",  "\"\\x\"", "\"\\u0000\"", "\"\\ud800\"",
        "\"\x01\"", "\"\xff\"", "[1,]", "[1 2]",   "{\"a\"}",     "{\"a\":1,}",
        "{a:1}",    "[",        "\"",   "tru",     "\"\\udc00\"", "-01",
        ".5",       "--1",      "[}",
    };
    for (size_t i = 0; i < KB_COUNT(values); i++) {
        struct kb_arena arena = {0};
        want_error(kb_arena_printf(&arena, "{%s,\"rows\":[{\"x\":%s}]}", head, values[i]),
                   "r.json:1:");
        want_error(kb_arena_printf(&arena, "{%s,\"x\":%s,\"rows\":[]}", head, values[i]),
                   "r.json:1:");
        kb_arena_free(&arena);
    }
    struct kb_buf deep = {0};
    kb_buf_puts(&deep, "{\"x\":");
    for (int i = 0; i < 100; i++)
        kb_buf_putc(&deep, '[');
    want_error(deep.data, "nested deeper than 64");
    kb_buf_free(&deep);
}

/* Every prefix of a report is an error, and never more rows than there are. */
static void no_prefix_of_a_report_is_a_report(void **state) {
    (void)state;
    struct kb_buf text = {0};
    const struct made_row row = {
        .case_id = "s/\\u00e9\\n/b", .ns = 1234.5, .code = "abc", .variant = "\xc3\xa9"};
    made_head("G", 3, &text);
    add_made_row(&row, &text);
    kb_buf_puts(&text, "]}");
    for (size_t n = 0; n < text.len; n++) {
        struct kb_buf part = {0};
        struct kb_loaded report;
        struct kb_err err = {0};
        kb_buf_add(&part, text.data, n);
        assert_false(kb_loaded_of_text("r.json", &part, &report, &err));
        assert_true(err.kind == KB_INPUT && *err.msg);
        kb_buf_free(&part);
    }
    kb_buf_free(&text);
}

static void numbers_are_read_as_strtod_reads_them(void **state) {
    (void)state;
    struct random r = {7};
    for (int i = 0; i < 20000; i++) {
        char text[64];
        struct kb_err err = {0};
        double value = 0, x = uniform(&r) - 0.5;
        int form = i % 5, digits = (int)(uniform(&r) * 18);
        if (form == 0)
            snprintf(text, sizeof text, "%.*f", digits, x * 1e6);
        else if (form == 1)
            snprintf(text, sizeof text, "%.*e", digits,
                     x * pow(10, 600 * uniform(&r) - 300));
        else if (form == 2)
            snprintf(text, sizeof text, "%.0f", x * 1e18);
        else
            snprintf(text, sizeof text, "%.17g", x * pow(10, 40 * uniform(&r) - 20));
        struct kb_pull p = {.name = "n", .text = text, .size = strlen(text), .err = &err};
        assert_true(kb_pull_number(&p, &value));
        if (value != strtod(text, NULL))
            fail_msg("%s is read as %.17g", text, value);
    }
}

static void a_row_says_what_is_compared(void **state) {
    (void)state;
    const double samples[] = {1, 2, 3}, runs[] = {5, 6};
    const struct made_row row = {.case_id = "silu/7x16/bf16",
                                 .ns = 1000,
                                 .half = 0.01,
                                 .error = 0.25,
                                 .code = "abc",
                                 .quality = "noisy",
                                 .samples = samples,
                                 .n_samples = 3,
                                 .runs = runs,
                                 .n_runs = 2};
    struct kb_loaded report;
    make_report("G", 2, &row, 1, &report);
    const struct kb_entry *e = &report.rows[0];
    const struct kb_timing *t = kb_entry_time(e, KB_GRAPH);
    assert_int_equal(report.n_runs, 2);
    assert_true(e->error == 0.25);
    assert_string_equal(e->build, "precise");
    assert_int_equal(t->quality, KB_Q_NOISY);
    assert_true(t->median_ns == 1000 && t->low_ns == 990 && t->high_ns == 1010);
    assert_int_equal(t->n, 40);
    assert_true(t->n_samples == 3 && t->samples_ns[2] == 3);
    assert_true(t->n_runs == 2 && t->runs_ns[1] == 6);
    assert_null(kb_entry_time(e, KB_COLD));
    assert_true(*e->code);
    kb_loaded_free(&report);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms_are_told_by_what_is_in_them),
        cmocka_unit_test(code_is_the_same_however_the_file_is_spaced),
        cmocka_unit_test(a_torn_last_line_is_left_out_and_told),
        cmocka_unit_test(what_is_no_report_is_named_in_one_line),
        cmocka_unit_test(a_newer_schema_is_refused_by_name),
        cmocka_unit_test(text_that_is_no_json_is_refused_at_its_place),
        cmocka_unit_test(no_prefix_of_a_report_is_a_report),
        cmocka_unit_test(numbers_are_read_as_strtod_reads_them),
        cmocka_unit_test(a_row_says_what_is_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
