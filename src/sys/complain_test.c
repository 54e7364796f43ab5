/* complain_test.c - complaints are lines that editors and CI understand. */
#include "sys.h"

#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

static void a_complaint_says_file_place_path_and_fact(void **state) {
    (void)state;
    struct kb_complaints c = {0};
    kb_complain(&c, "cases/mine.json", 5, 16, "groups[0].ops",
                "unknown op \"%s\", did you mean \"%s\"?", "gelutanh", "gelu_tanh");
    kb_complain(&c, "a.json", 0, 0, "x", "no place");
    kb_complain(&c, "a.json", 1, 2, NULL, "no path");
    kb_complain(&c, "a.json", 1, 2, "", "no path either");
    kb_complain(&c, NULL, 0, 0, NULL, "nothing around it");
    kb_complain_option(&c, "--shape", "%d is odd", 1023);
    assert_int_equal(c.count, 6);
    assert_string_equal(
        kb_buf_text(&c.text),
        "cases/mine.json:5:16: error: groups[0].ops: unknown op \"gelutanh\", did you mean "
        "\"gelu_tanh\"?\n"
        "a.json: error: x: no place\n"
        "a.json:1:2: error: no path\n"
        "a.json:1:2: error: no path either\n"
        "error: nothing around it\n"
        "kbench: error: --shape: 1023 is odd\n");
    kb_complaints_free(&c);
    assert_int_equal(c.count, 0);
}

static void a_complaint_is_one_line_whatever_the_names_hold(void **state) {
    (void)state;
    struct kb_complaints c = {0};
    kb_complain(&c, "a\nPASS", 1, 1, "k\x1b[2J", "%s", "x\ny");
    assert_string_equal(kb_buf_text(&c.text), "a^JPASS:1:1: error: k^[[2J: x^Jy\n");
    kb_complaints_free(&c);
}

static void the_first_fifty_are_kept_and_all_are_counted(void **state) {
    (void)state;
    struct kb_complaints c = {0};
    size_t lines = 0;
    for (int i = 0; i < 120; i++) {
        assert_int_equal(kb_complaints_full(&c), i >= 50);
        kb_complain(&c, "f", i + 1, 1, NULL, "wrong");
    }
    for (const char *p = c.text.data; *p; p++)
        lines += *p == '\n';
    assert_int_equal(lines, 50);
    assert_int_equal(c.count, 120);
    assert_non_null(strstr(c.text.data, "f:50:1:"));
    assert_null(strstr(c.text.data, "f:51:1:"));
    kb_complaints_free(&c);
}

static void complaints_of_a_file_come_by_place_and_files_as_they_were_read(void **state) {
    (void)state;
    struct kb_complaints c = {0};
    kb_complain(&c, "b.json", 9, 33, NULL, "five");
    kb_complain(&c, "b.json", 9, 20, NULL, "four");
    kb_complain(&c, "b.json", 10, 2, NULL, "six");
    kb_complain(&c, "b.json", 5, 16, NULL, "three: 1:1: error: no");
    kb_complain(&c, "a.json", 2, 1, NULL, "seven");
    kb_complain(&c, "a.json", 0, 0, NULL, "without a place");
    kb_complain(&c, "a.json", 1, 1, NULL, "behind it");
    kb_complain(&c, NULL, 0, 0, NULL, "nothing");
    kb_complaints_sort(&c);
    assert_string_equal(kb_buf_text(&c.text), "b.json:5:16: error: three: 1:1: error: no\n"
                                              "b.json:9:20: error: four\n"
                                              "b.json:9:33: error: five\n"
                                              "b.json:10:2: error: six\n"
                                              "a.json:2:1: error: seven\n"
                                              "a.json: error: without a place\n"
                                              "a.json:1:1: error: behind it\n"
                                              "error: nothing\n");
    kb_complaints_free(&c);
    kb_complaints_sort(&c);
    assert_string_equal(kb_buf_text(&c.text), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_complaint_says_file_place_path_and_fact),
        cmocka_unit_test(a_complaint_is_one_line_whatever_the_names_hold),
        cmocka_unit_test(complaints_of_a_file_come_by_place_and_files_as_they_were_read),
        cmocka_unit_test(the_first_fifty_are_kept_and_all_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
