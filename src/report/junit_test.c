/* junit_test.c - JUnit XML made from a journal. */
#include "report/sample_journal.h"

static int count(const char *text, const char *what) {
    int n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
        n++;
    return n;
}

static void each_row_is_a_test_case(void **state) {
    struct place *p = *state;
    const char *text = report_of(p, three_rows(p, true), KB_FORMAT_XML);
    assert_true(kb_starts_with(text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"));
    assert_non_null(strstr(text, "<testsuite name=\"kbench\" tests=\"3\" failures=\"1\" "
                                 "errors=\"1\" skipped=\"0\" time=\"0.830\" "
                                 "timestamp=\"2026-11-21T09:14:03\">"));
    assert_int_equal(count(text, "<testcase "), 3);
    assert_non_null(
        strstr(text, "classname=\"gelu_tanh\" name=\"gelu_tanh/83x1024/bf16\""));
}

static void a_failure_says_what_is_wrong_and_how_to_repeat_it(void **state) {
    struct place *p = *state;
    const char *text = report_of(p, three_rows(p, true), KB_FORMAT_XML);
    const char *failure = strstr(text, "<failure type=\"unwritten\" message=\"FAIL: rows "
                                       "80..82 never written, 1536 of 42496 elements");
    assert_non_null(failure);
    assert_non_null(strstr(failure, "the rest  right"));
    assert_non_null(strstr(failure, "repeat    kbench --case gelu_tanh/83x1024/bf16"));
    assert_non_null(
        strstr(text, "<error type=\"compile\" message=\"ERROR: compile: x.cu:1"));
}

static struct kb_journal *two_rows(struct place *p, const char *other_case,
                                   const char *other_variant) {
    struct kb_journal *journal = open_journal(p);
    struct kb_tally *tally = kb_arena_alloc(&p->arena, sizeof *tally);
    struct kb_row rows[2] = {sample_row(), sample_row()};
    struct kb_err err = {0};
    rows[1].case_id = other_case;
    rows[1].variant = other_variant;
    for (int i = 0; i < 2; i++) {
        assert_true(kb_journal_add(journal, &rows[i], &err));
        kb_tally_add(tally, &rows[i]);
    }
    assert_true(kb_journal_finish(journal, tally, true, NULL, 0.83, &err));
    return journal;
}

/* The variant that a case takes by itself may be another one tomorrow: no part of a name
 * by which a CI system finds a test again. */
static void a_variant_is_named_where_a_case_has_several(void **state) {
    struct place *p = *state;
    const char *text = report_of(p, two_rows(p, "silu/7x15/bf16", "scalar"), KB_FORMAT_XML);
    assert_non_null(strstr(text, "name=\"silu/7x15/bf16\""));
    text = report_of(p, two_rows(p, sample_row().case_id, "scalar"), KB_FORMAT_XML);
    assert_non_null(strstr(text, "name=\"gelu_tanh/83x1024/bf16 variant scalar\""));
    assert_non_null(strstr(text, "name=\"gelu_tanh/83x1024/bf16 variant vec16\""));
}

static void a_skip_is_skipped_and_no_failure(void **state) {
    struct place *p = *state;
    struct kb_journal *journal = open_journal(p);
    struct kb_tally *tally = kb_arena_alloc(&p->arena, sizeof *tally);
    struct kb_row row = sample_row();
    struct kb_err err = {0};
    sample_end(&row, KB_R_MEMORY, "needs 206 GB, 149 GB are free");
    assert_true(kb_journal_add(journal, &row, &err));
    kb_tally_add(tally, &row);
    row.reason = KB_R_IMPOSTOR;
    row.text = "\"all zeros\" would pass";
    assert_true(kb_journal_add(journal, &row, &err));
    kb_tally_add(tally, &row);
    assert_true(kb_journal_finish(journal, tally, true, NULL, 0.83, &err));
    const char *text = report_of(p, journal, KB_FORMAT_XML);
    assert_non_null(strstr(text, "<skipped message=\"memory: needs 206 GB"));
    /* Nothing is proved: no pass. */
    assert_non_null(strstr(text, "<failure type=\"impostor\" message=\"MISTRUSTED: "));
    assert_int_equal(count(text, "<failure "), 1);
}

static void a_run_that_was_broken_off_is_an_error(void **state) {
    struct place *p = *state;
    const char *text = report_of(p, three_rows(p, false), KB_FORMAT_XML);
    assert_non_null(strstr(text, "tests=\"4\" failures=\"1\" errors=\"2\""));
    assert_non_null(strstr(text, "<error type=\"incomplete\" message=\"the run did not get "
                                 "to its end: SIGINT\"/>"));
}

static void names_are_text_and_legal_xml(void **state) {
    struct place *p = *state;
    const char *text = report_of(p, hostile_rows(p), KB_FORMAT_XML);
    assert_null(strstr(text, "<script"));
    assert_null(strstr(text, "<img"));
    assert_null(strstr(text, "]]>"));
    assert_null(strstr(text, "\xef\xbf\xbf"));
    assert_non_null(strstr(text, "&#60;script&#62;alert(1)"));
    assert_non_null(strstr(text, "^[[31m|x|"));
    for (const char *c = text; *c; c++)
        assert_true((unsigned char)*c >= 0x20 || *c == '\n');
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(each_row_is_a_test_case),
        TEST(a_failure_says_what_is_wrong_and_how_to_repeat_it),
        TEST(a_variant_is_named_where_a_case_has_several),
        TEST(a_skip_is_skipped_and_no_failure),
        TEST(a_run_that_was_broken_off_is_an_error),
        TEST(names_are_text_and_legal_xml),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
