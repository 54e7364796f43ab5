/* github_test.c - annotations and the summary of a job, made from a journal. */
#include "report/sample_journal.h"

static struct kb_rows *rows_of(struct kb_journal *journal) {
    struct kb_rows *rows = NULL;
    struct kb_err err = {0};
    assert_true(kb_rows_of_journal(journal, &rows, &err));
    return rows;
}

static int lines_of(const char *text, const char *start) {
    int n = 0;
    for (const char *p = text; *p; p += strcspn(p, "\n") + 1)
        n += kb_starts_with(p, start);
    return n;
}

static void each_failure_is_an_annotation_of_one_line(void **state) {
    struct place *p = *state;
    struct kb_journal *journal = three_rows(p, true);
    struct kb_rows *rows = rows_of(journal);
    struct kb_buf out = {0};
    struct kb_err err = {0};
    assert_true(kb_github_annotations(rows, 10, &out, &err));
    assert_int_equal(lines_of(kb_buf_text(&out), "::error title="), 2);
    assert_int_equal(lines_of(kb_buf_text(&out), ""), 2);
    assert_non_null(
        strstr(kb_buf_text(&out),
               "::error title=FAIL silu/83x1024/bf16::rows 80..82 never written, "
               "1536 of 42496 elements; the rest is right%0Akbench --case "));
    kb_buf_free(&out);
    kb_rows_close(rows);
    kb_journal_close(journal, false);
}

static void no_name_begins_or_ends_a_command(void **state) {
    struct place *p = *state;
    struct kb_buf out = {0};
    kb_github_error("a,b:c%0A\r\n::x", "d\r\n::error::e%0D\033[31m", &out);
    assert_string_equal(kb_buf_text(&out),
                        "::error title=a%2Cb%3Ac%250A^M%0A%3A%3Ax::d^M%0A"
                        "::error::e%250D^[[31m\n");
    kb_buf_clear(&out);
    struct kb_journal *journal = hostile_rows(p);
    struct kb_rows *rows = rows_of(journal);
    struct kb_err err = {0};
    assert_true(kb_github_annotations(rows, 10, &out, &err));
    assert_int_equal(lines_of(kb_buf_text(&out), ""), 2);
    assert_int_equal(lines_of(kb_buf_text(&out), "::error title=ERROR "), 2);
    kb_buf_free(&out);
    kb_rows_close(rows);
    kb_journal_close(journal, false);
}

static void no_text_of_others_is_a_command(void **state) {
    (void)state;
    static const struct {
        const char *text, *wanted;
    } table[] = {
        {"::error ::x\n", ": :error ::x\n"},
        {"a ::error::x\n", "a ::error::x\n"},
        {"a\n  ::set-env name=A::x", "a\n  : :set-env name=A::x"},
        {"a\r::stop-commands::x", "a\r: :stop-commands::x"},
        {"\xe3\x80\x80::debug::x", "\xe3\x80\x80: :debug::x"}, /* a wide blank */
        {"std::x a ##[error]b ##[group]", "std::x a # #[error]b # #[group]"},
        {":", ":"},
        {"# ## [", "# ## ["},
    };
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        struct kb_buf out = {0};
        kb_github_plain(table[i].text, strlen(table[i].text), &out);
        assert_string_equal(kb_buf_text(&out), table[i].wanted);
        kb_buf_free(&out);
    }
}

static struct kb_journal *many_failures(struct place *p, int n) {
    struct kb_journal *journal = open_journal(p);
    struct kb_tally *tally = kb_arena_alloc(&p->arena, sizeof *tally);
    struct kb_row row = sample_row();
    struct kb_err err = {0};
    sample_unwritten(&row);
    for (int i = 0; i < n; i++) {
        assert_true(kb_journal_add(journal, &row, &err));
        kb_tally_add(tally, &row);
    }
    assert_true(kb_journal_finish(journal, tally, true, NULL, 0.83, &err));
    return journal;
}

static void there_are_no_more_than_are_shown(void **state) {
    struct place *p = *state;
    static const int counts[][2] = {{9, 9}, {10, 10}, {11, 10}, {25, 10}};
    for (size_t i = 0; i < KB_COUNT(counts); i++) {
        struct kb_journal *journal = many_failures(p, counts[i][0]);
        struct kb_rows *rows = rows_of(journal);
        struct kb_buf out = {0};
        struct kb_err err = {0};
        assert_true(kb_github_annotations(rows, 10, &out, &err));
        assert_int_equal(lines_of(kb_buf_text(&out), "::error "), counts[i][1]);
        if (counts[i][0] == 25)
            assert_non_null(strstr(kb_buf_text(&out), "::and 16 more rows"));
        kb_buf_free(&out);
        kb_rows_close(rows);
        kb_journal_close(journal, false);
    }
}

static void a_summary_is_added_to_what_is_there(void **state) {
    struct place *p = *state;
    struct kb_journal *journal = three_rows(p, true);
    struct kb_rows *rows = rows_of(journal);
    struct kb_err err = {0};
    size_t size;
    write_file(p->target, "before\n", 7);
    assert_true(kb_github_summary(p->target, rows, &err));
    const char *text = whole_file(p, p->target, &size);
    assert_true(kb_starts_with(text, "before\n**kbench** 1 pass, **1 FAIL**"));
    assert_false(kb_github_summary("/nonexistent/summary", rows, &err));
    assert_int_equal(err.kind, KB_IO);
    kb_rows_close(rows);
    kb_journal_close(journal, false);
}

/* GitHub drops one of more than 1 MiB as a whole. */
static void a_summary_is_no_longer_than_is_taken_and_says_what_is_left_out(void **state) {
    struct place *p = *state;
    struct kb_journal *journal = many_failures(p, 12000);
    struct kb_rows *rows = rows_of(journal);
    struct kb_err err = {0};
    size_t size;
    assert_true(kb_github_summary(p->target, rows, &err));
    const char *text = whole_file(p, p->target, &size);
    assert_in_range(size, 512 << 10, 1000 << 10);
    assert_non_null(strstr(text, " more rows: JSON, CSV and HTML have all\n"));
    assert_non_null(strstr(text, " more failures: JSON, CSV and HTML have all\n"));
    kb_rows_close(rows);
    kb_journal_close(journal, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(each_failure_is_an_annotation_of_one_line),
        TEST(no_name_begins_or_ends_a_command),
        cmocka_unit_test(no_text_of_others_is_a_command),
        TEST(there_are_no_more_than_are_shown),
        TEST(a_summary_is_added_to_what_is_there),
        TEST(a_summary_is_no_longer_than_is_taken_and_says_what_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
