/* page_test.c - pages of help on a terminal and in troff, and that none is missing. */
#include "cli/page.h"
#include "cli/table.h"
#include "cli/terminal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void assert_text(struct kb_buf *text, const char *wanted) {
    assert_string_equal(kb_buf_text(text), wanted);
    kb_buf_free(text);
}

static void blocks_are_set_apart_and_entries_are_not(void **state) {
    (void)state;
    struct kb_buf text = {0};
    struct kb_page page = {.out = &text, .name_width = 8};
    kb_page_usage(&page, "kbench");
    kb_page_text(&page, "Words.");
    kb_page_entry(&page, "a", "N", "one");
    kb_page_entry(&page, "bcdefgh", "", "two");
    kb_page_heading(&page, "more");
    kb_page_entry(&page, "c", "", "three");
    kb_page_example(&page, "x\n\n  y\n");
    assert_text(&text, "kbench\n\nWords.\n\n  a N     one\n  bcdefgh\n          two\n"
                       "\nmore\n  c       three\n\n  x\n\n    y\n");
}

static void lines_stay_within_the_page(void **state) {
    (void)state;
    struct kb_buf text = {0}, words = {0};
    struct kb_page page = {.out = &text};
    for (int i = 0; i < 60; i++)
        kb_buf_printf(&words, "%sword", i ? " " : "");
    kb_page_text(&page, kb_buf_text(&words));
    kb_page_entry(&page, "name", "", kb_buf_text(&words));
    for (const char *line = text.data; *line; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= KB_PAGE_WIDTH);
    kb_buf_free(&words);
    kb_buf_free(&text);
}

static void troff_shows_what_is_written(void **state) {
    (void)state;
    struct kb_buf text = {0};
    kb_troff_text("--op 'a\\n' ~x^2 \"q\" `w`\n.TH\n'br .5", &text);
    assert_text(&text, "\\-\\-op \\(aqa\\en\\(aq \\(tix\\(ha2 \\(dqq\\(dq \\(gaw\\(ga\n"
                       "\\&.TH\n\\(aqbr .5");
}

static void troff_has_paragraphs_but_none_after_a_heading(void **state) {
    (void)state;
    struct kb_buf text = {0};
    struct kb_page page = {.out = &text, .form = KB_PAGE_TROFF};
    kb_page_section(&page, "NAME");
    kb_page_text(&page, "one");
    kb_page_text(&page, "...two");
    kb_page_heading(&page, "");
    kb_page_entry(&page, "-x", "N", ".three");
    kb_page_heading(&page, "four");
    kb_page_example(&page, "five\n");
    kb_page_example(&page, "six\n");
    assert_text(&text, ".SH \"NAME\"\none\n.PP\n\\&...two\n.SS \"other\"\n"
                       ".TP\n\\fB\\-x\\fR \\fIN\\fR\n\\&.three\n.SS \"four\"\n"
                       ".RS 2\n.nf\nfive\n.fi\n.RE\n.PP\n.RS 2\n.nf\nsix\n.fi\n.RE\n");
}

/* A line that is wrapped before a word with a dot is no request. */
static void a_dot_that_wrapping_puts_first_is_no_request(void **state) {
    (void)state;
    struct kb_buf text = {0}, words = {0};
    struct kb_page page = {.out = &text, .form = KB_PAGE_TROFF};
    for (int i = 0; i < 60; i++)
        kb_buf_puts(&words, ".dot ");
    kb_page_text(&page, kb_buf_text(&words));
    assert_non_null(strchr(text.data, '\n'));
    for (const char *line = text.data; *line; line += strcspn(line, "\n") + 1)
        assert_int_equal(*line, '\\');
    kb_buf_free(&words);
    kb_buf_free(&text);
}

static bool is_topic(const char *word) {
    for (size_t i = 0; i < kb_topic_count; i++)
        if (kb_streq(kb_topics[i].word, word))
            return true;
    return false;
}

static void every_command_is_a_topic_and_no_op_is(void **state) {
    (void)state;
    for (int i = 0; i < KB_COMMAND_COUNT; i++)
        assert_true(is_topic(kb_command_word((enum kb_command)i)));
    for (int i = 0; i < kb_op_count; i++)
        assert_false(is_topic(kb_ops[i]->name));
    for (size_t i = 0; i < kb_script_count; i++) {
        assert_false(is_topic(kb_scripts[i].word));
        assert_null(kb_op_find(kb_scripts[i].word));
    }
}

static void every_topic_fits_the_page_and_says_what_it_is(void **state) {
    (void)state;
    for (size_t i = 0; i < kb_topic_count; i++) {
        struct kb_buf text = {0};
        struct kb_page page = {.out = &text};
        assert_non_null(kb_topic_help(&kb_topics[i]));
        kb_topics[i].print(&page);
        for (const char *line = text.data; *line; line += strcspn(line, "\n") + 1) {
            size_t len = strcspn(line, "\n");
            assert_true(len <= KB_PAGE_WIDTH);
            assert_false(len && line[len - 1] == ' ');
        }
        kb_buf_free(&text);
    }
}

/* Whether the manual has an entry that begins with the word, as troff writes it. */
static bool has_entry(const struct kb_buf *manual, const char *before, const char *word) {
    struct kb_buf entry = {0};
    kb_buf_puts(&entry, ".TP\n\\fB");
    kb_troff_text(before, &entry);
    kb_troff_text(word, &entry);
    kb_buf_puts(&entry, "\\fR");
    bool found = strstr(manual->data, kb_buf_text(&entry)) != NULL;
    kb_buf_free(&entry);
    return found;
}

static void the_manual_has_every_option_command_verdict_and_status(void **state) {
    (void)state;
    struct kb_buf manual = {0};
    kb_manual(&manual);
    for (size_t i = 0; i < kb_option_count(); i++) {
        char letter[] = {'-', kb_option_at(i)->letter, ',', ' ', '\0'};
        assert_true(has_entry(&manual, kb_option_at(i)->letter ? letter : "",
                              kb_option_at(i)->name));
    }
    for (size_t i = 0; i < kb_exit_count; i++) {
        struct kb_buf status = {0};
        kb_buf_printf(&status, "%d", kb_exits[i].status);
        assert_true(has_entry(&manual, "", kb_buf_text(&status)));
        kb_buf_free(&status);
    }
    for (int i = 0; i < kb_op_count; i++)
        assert_true(has_entry(&manual, "", kb_ops[i]->name));
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        assert_true(has_entry(&manual, "", kb_method_word((enum kb_method)m)));
    for (int r = KB_R_NONE + 1; r < KB_REASON_COUNT; r++)
        assert_true(has_entry(&manual, "", kb_reason_word((enum kb_reason)r)));
    kb_buf_free(&manual);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_set_apart_and_entries_are_not),
        cmocka_unit_test(lines_stay_within_the_page),
        cmocka_unit_test(troff_shows_what_is_written),
        cmocka_unit_test(troff_has_paragraphs_but_none_after_a_heading),
        cmocka_unit_test(a_dot_that_wrapping_puts_first_is_no_request),
        cmocka_unit_test(every_command_is_a_topic_and_no_op_is),
        cmocka_unit_test(every_topic_fits_the_page_and_says_what_it_is),
        cmocka_unit_test(the_manual_has_every_option_command_verdict_and_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
