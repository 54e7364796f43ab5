/* exec_test.c - words of methods and of throttling, and which backends there are. */
#include "exec.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

static void methods_are_known_by_their_words(void **state) {
    (void)state;
    static const char *const words[] = {"graph", "pdl", "cold", "hot", "cupti", "launch"};
    enum kb_method method = KB_GRAPH;
    for (int i = 0; i < KB_METHOD_COUNT; i++) {
        assert_string_equal(kb_method_word((enum kb_method)i), words[i]);
        assert_true(kb_method_parse(words[i], &method));
        assert_int_equal(method, i);
    }
    assert_false(kb_method_parse("Graph", &method));
    assert_false(kb_method_parse("", &method));
    assert_int_equal(method, KB_LAUNCH);
}

static void throttling_is_told_in_words_each_once(void **state) {
    static const struct {
        uint64_t reasons;
        const char *words;
    } rows[] = {
        {0, ""},
        {0x04, "power"},
        {0x20, "thermal"},
        {0x40, "thermal"},
        {0x64, "power,thermal"},
        {0x98, "power-brake,slowdown,sync-boost"},
        {0x10000, "0x10000"},
        {0x10004, "power,0x10000"},
        {KB_THROTTLE_UNKNOWN, "unknown"},
    };
    (void)state;
    for (size_t i = 0; i < KB_COUNT(rows); i++) {
        struct kb_buf text = {0};
        kb_throttle_words(rows[i].reasons, &text);
        assert_string_equal(kb_buf_text(&text), rows[i].words);
        kb_buf_free(&text);
    }
}

static void backends_are_found_by_name(void **state) {
    (void)state;
    assert_ptr_equal(kb_backend_find("cuda"), &kb_cuda);
    assert_ptr_equal(kb_backend_find("host"), &kb_host);
    assert_null(kb_backend_find("auto"));
    assert_null(kb_backend_find(""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods_are_known_by_their_words),
        cmocka_unit_test(throttling_is_told_in_words_each_once),
        cmocka_unit_test(backends_are_found_by_name),
    };
    return cmocka_run_group_tests_name("exec", tests, NULL, NULL);
}
