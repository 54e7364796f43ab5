/* samples_test.c - the lines that --samples leaves of a row. */
#include "sampling.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct kb_row row = {
    .case_id = "silu/7x16/bf16/scale=1,2",
    .device = "0",
    .build = "mine \"x\"",
    .variant = NULL,
};
static const struct kb_timer_facts facts = {.launches_per_sample = 32};

/* What a file of that ending holds of two samples, the second under a throttle. */
static char *written(const char *ending, struct kb_buf *text) {
    struct kb_temp temp;
    struct kb_arena arena = {0};
    bool marks[] = {false, true};
    double ns[] = {1000.125, 2000};
    const struct kb_samples all = {.ns = ns, .n = 2, .held_back = marks};
    struct kb_err err = {0};
    assert_true(kb_temp_make(&temp, &err));
    const char *path = kb_arena_printf(&arena, "%s/s%s", temp.path, ending);
    struct kb_job job = {.samples = path};
    assert_true(kb_samples_begin(path, &err));
    for (int i = 0; i < 2; i++) {
        struct kb_buf lines = {0};
        kb_samples_print(&job, &row, KB_PDL, &all, &facts, &lines);
        assert_true(kb_samples_add(&job, &lines, &err));
        kb_buf_free(&lines);
    }
    assert_true(kb_file_read(path, 1 << 16, text, &err));
    assert_true(kb_samples_begin(path, &err)); /* what it had is gone */
    struct kb_buf begun = {0};
    assert_true(kb_file_read(path, 1 << 16, &begun, &err));
    assert_true(begun.len < text->len);
    kb_buf_free(&begun);
    kb_temp_free(&temp);
    kb_arena_free(&arena);
    return text->data;
}

static void csv_has_a_line_for_each_sample(void **state) {
    (void)state;
    struct kb_buf text = {0};
    assert_string_equal(written(".csv", &text),
                        "case,device,build,variant,method,sample,ns,launches,throttled\n"
                        "\"silu/7x16/bf16/scale=1,2\",0,\"mine \"\"x\"\"\",,pdl,0,"
                        "1000.125,32,0\n"
                        "\"silu/7x16/bf16/scale=1,2\",0,\"mine \"\"x\"\"\",,pdl,1,2000,"
                        "32,1\n"
                        "\"silu/7x16/bf16/scale=1,2\",0,\"mine \"\"x\"\"\",,pdl,0,"
                        "1000.125,32,0\n"
                        "\"silu/7x16/bf16/scale=1,2\",0,\"mine \"\"x\"\"\",,pdl,1,2000,"
                        "32,1\n");
    kb_buf_free(&text);
}

static void jsonl_has_a_line_for_each_row_and_method(void **state) {
    (void)state;
    struct kb_buf text = {0};
    const char *line = "{\"case\":\"silu/7x16/bf16/scale=1,2\",\"device\":\"0\",\"build\":"
                       "\"mine \\\"x\\\"\",\"variant\":null,\"method\":\"pdl\","
                       "\"launches\":32,\"throttled\":[1],\"samples_ns\":[1000.125,2000]}";
    written(".jsonl", &text);
    assert_true(kb_starts_with(text.data, line));
    assert_true(kb_starts_with(text.data + strlen(line) + 1, line));
    assert_int_equal(text.len, 2 * (strlen(line) + 1));
    kb_buf_free(&text);
}

static void other_endings_and_places_are_refused(void **state) {
    (void)state;
    struct kb_err err = {0};
    assert_false(kb_samples_begin("/tmp/samples.txt", &err));
    assert_int_equal(err.kind, KB_INPUT);
    assert_string_equal(err.msg, "/tmp/samples.txt: samples are written as .csv or .jsonl");
    assert_false(kb_samples_begin("/no/such/folder/s.csv", &err));
    assert_int_equal(err.kind, KB_IO);
    assert_non_null(strstr(err.msg, "/no/such/folder/s.csv: No such file"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_has_a_line_for_each_sample),
        cmocka_unit_test(jsonl_has_a_line_for_each_row_and_method),
        cmocka_unit_test(other_endings_and_places_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
