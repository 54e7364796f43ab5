/* json_scan_test.c - what JSON is taken, what is refused and where the message points. */
#include "sys.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What must be refused: the text, and "line:col: error: " with the start of the message. */
static const struct refusal {
    const char *text, *where;
} refusals[] = {
    {"", "1:1: error: the text ends here, a value was expected"},
    {" \n ", "2:2: error: the text ends here, a value was expected"},
    {"{\"a\":1} junk", "1:9: error: unexpected \"junk\", the end of the text was expected"},
    {"trueZ", "1:1: error: unexpected \"trueZ\", a value was expected"},
    {"truea", "1:1: error: unexpected \"truea\", a value was expected"},
    {"truex", "1:1: error: unexpected \"truex\", a value was expected"},
    {"[1] [2]", "1:5: error: unexpected \"[\", the end"},
    {"\xef\xbb\xbf{}", "1:1: error: starts with a byte order mark"},
    {"[01]", "1:2: error: a number must not start with 0"},
    {"[-01]", "1:2: error: a number must not start with 0"},
    {"[1.]", "1:2: error: a digit must follow the point"},
    {"[1.e5]", "1:2: error: a digit must follow the point"},
    {"[1e]", "1:2: error: a digit must follow the e"},
    {"[1e+]", "1:2: error: a digit must follow the e"},
    {"[-]", "1:2: error: a digit must follow -"},
    {"-", "1:1: error: a digit must follow -"},
    {"[.5]", "1:2: error: unexpected \".\", a value was expected"},
    {"[+1]", "1:2: error: unexpected \"+\", a value was expected"},
    {"[0x10]", "1:3: error: unexpected \"x\", a comma or ] was expected"},
    {"[1e999]", "1:2: error: 1e999 does not fit a double"},
    {"[-1e999]", "1:2: error: -1e999 does not fit a double"},
    {"[1e-999]", "1:2: error: 1e-999 does not fit a double"},
    {"[9007199254740993]", "1:2: error: 9007199254740993 is not exact in a double"},
    {"[-9007199254740993]", "1:2: error: -9007199254740993 is not exact in a double"},
    {"[1000000000000000000000000000000000000000000000000000000000000000]",
     "1:2: error: a number of 64 characters, at most 63 are read"},
    {"[NaN]", "1:2: error: unexpected \"NaN\", a value was expected"},
    {"[Infinity]", "1:2: error: unexpected \"Infinity\""},
    {"[-Infinity]", "1:2: error: a digit must follow -"},
    {"[nul]", "1:2: error: unexpected \"nul\""},
    {"[True]", "1:2: error: unexpected \"True\""},
    {"['a']", "1:2: error: unexpected \"'\", a value was expected"},
    {"[\"a\x1b[31m\"]", "1:4: error: raw control character in a string, write \\u001b"},
    {"[\"a\tb\"]", "1:4: error: raw control character in a string, write \\u0009"},
    {"[\n \"a\nb\"]", "2:2: error: this string is not closed on its line"},
    {"[\"a", "1:2: error: this string is not closed"},
    {"[\"a\\", "1:4: error: a backslash in a string"},
    {"[\"a\\n", "1:2: error: this string is not closed"},
    {"[\"\\ud83d\\ude00", "1:2: error: this string is not closed"},
    {"[\"\\udc00\\udc00\"]", "1:3: error: \\udc00 is half of a surrogate pair"},
    {"[\"\\x41\"]", "1:3: error: a backslash in a string"},
    {"[\"\\'\"]", "1:3: error: a backslash in a string"},
    {"[\"\\u12g4\"]", "1:3: error: \\u wants four hexadecimal digits"},
    {"[\"\\u12", "1:3: error: \\u wants four hexadecimal digits"},
    {"[\"\\u0000x\"]", "1:3: error: \\u0000 is not taken in a string"},
    {"{\"\\u0000\":1}", "1:3: error: \\u0000 is not taken in a string"},
    {"[\"\\ud800\"]", "1:3: error: \\ud800 is half of a surrogate pair"},
    {"[\"\\udc00\"]", "1:3: error: \\udc00 is half of a surrogate pair"},
    {"[\"\\ud800\\ud800\"]", "1:3: error: \\ud800 is half of a surrogate pair"},
    {"[\"\\ud800", "1:3: error: \\ud800 is half of a surrogate pair"},
    {"[\"\\ud800\\u12\"]", "1:3: error: \\ud800 is half of a surrogate pair"},
    {"[\"\xff\"]", "1:3: error: byte ff is not UTF-8"},
    {"[\"\xc0\x80\"]", "1:3: error: byte c0 is not UTF-8"},
    {"[\"\xed\xa0\x80\"]", "1:3: error: byte ed is not UTF-8"},
    {"[\"\xc3\xa9\xe2\x82\"]", "1:4: error: byte e2 is not UTF-8"},
    {"[\xff]", "1:2: error: unexpected \"\\xff\", a value was expected"},
    {"{\"a\":1,\"a\":2}", "1:8: error: the key \"a\" stands here for the second time"},
    {"{\"a\":1,\n \"\\u0061\":2}", "2:2: error: the key \"a\" stands here"},
    {"{\"\xc2\x80\":1,\"\\u0080\":2}", "1:8: error: the key \"\\xc2\\x80\" stands here"},
    {"{\"\xe2\x82\xac\":1,\"\\u20AC\":2}",
     "1:8: error: the key \"\xe2\x82\xac\" stands here"},
    {"{\"\xf0\x9f\x98\x80\":1,\"\\ud83d\\ude00\":2}",
     "1:8: error: the key \"\xf0\x9f\x98\x80\" stands here"},
    {"{\"\\\"\\n\":1,\"\\u0022\\u000a\":2}", "1:11: error: the key \"\"^J\" stands here"},
    {"{\"a\":{\"b\":1,\"b\":2}}", "1:13: error: the key \"b\" stands here"},
    {"{\"\":1,\"\":2}", "1:7: error: the key \"\" stands here"},
    {"{a:1}", "1:2: error: unexpected \"a\", a key in double quotes was expected"},
    {"{\"a\" 1}", "1:6: error: unexpected \"1\", a colon was expected"},
    {"{\"a\":}", "1:6: error: unexpected \"}\", a value was expected"},
    {"{\"a\":1,}", "1:8: error: unexpected \"}\", a key in double quotes was expected"},
    {"[1,]", "1:4: error: unexpected \"]\", a value was expected"},
    {"[,1]", "1:2: error: unexpected \",\", a value was expected"},
    {"[1 2]", "1:4: error: unexpected \"2\", a comma or ] was expected"},
    {"{\"a\":1 \"b\":2}", "1:8: error: unexpected '\"', a comma or } was expected"},
    {"[1}", "1:3: error: unexpected \"}\", a comma or ] was expected"},
    {"\n{\"a\": [1,", "2:10: error: the text ends here, a value was expected"},
    {"\n{\"a\": [1", "2:9: error: the text ends here, [ of 2:7 is not closed"},
    {"{\"a\":1", "1:7: error: the text ends here, { of 1:1 is not closed"},
    {"{", "1:2: error: the text ends here, a key in double quotes was expected"},
    {"// x\n{}", "1:1: error: unexpected \"/\", a value was expected"},
    {"{} // x", "1:4: error: unexpected \"/\", the end of the text was expected"},
    {"[1]\f", "1:4: error: unexpected \"^L\", the end"},
    {"[\"\xc3\xa9\xc3\xa9\", x]", "1:8: error: unexpected \"x\""}, /* columns: characters */
    {"[1,\r\n x]", "2:2: error: unexpected \"x\""},
};

static void each_text_that_is_no_strict_json_is_refused_at_its_place(void **state) {
    (void)state;
    for (size_t i = 0; i < KB_COUNT(refusals); i++) {
        struct kb_json doc = {0};
        struct kb_err err = {0};
        const char *text = refusals[i].text;
        if (kb_json_parse(&doc, "f.json", text, strlen(text), &err))
            fail_msg("taken: %s", text);
        assert_int_equal(err.kind, KB_INPUT);
        if (!kb_starts_with(err.msg, "f.json:") ||
            !kb_starts_with(err.msg + 7, refusals[i].where))
            fail_msg("%s\n  gives %s\n wanted %s", text, err.msg, refusals[i].where);
        assert_null(doc.root);
        assert_null(doc.marks);
        assert_null(doc.name);
    }
}

static void a_nul_byte_is_no_end(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t size;
    } rows[] = {{"{}\0x", 4}, {"{}\0", 3}, {"\0", 1}, {"[\"a\0b\"]", 7}, {"[1\0]", 4}};
    for (size_t i = 0; i < KB_COUNT(rows); i++) {
        struct kb_json doc = {0};
        struct kb_err err = {0};
        assert_false(kb_json_parse(&doc, "f", rows[i].text, rows[i].size, &err));
    }
}

static void each_strict_text_is_taken(void **state) {
    (void)state;
    static const char *const texts[] = {
        "0",
        "-0",
        "null",
        "\"\"",
        "[]",
        "{}",
        " [ ] ",
        "\t{\r\n}\n",
        "1.5e-3",
        "1E+2",
        "[0.0]",
        "4.9e-324",
        "1.7976931348623157e308",
        "9007199254740992",
        "-9007199254740992",
        "9007199254740994",
        "1e22",
        "0e999",
        "{\"a\":1,\"A\":2,\"\":3}",
        "[{\"a\":1},{\"a\":1}]",
        "{\"a\":{\"a\":{\"a\":1}}}",
        "\"\\ud83d\\ude00 \\u00e9 \\/\"",
        "\"\x7f\xc2\x80\xef\xbf\xbf\xf4\x8f\xbf\xbf\"",
        "[true,false,null,1,\"x\"]",
        "0.1000000000000000055511151231257827021181583404541015625000000",
    };
    for (size_t i = 0; i < KB_COUNT(texts); i++) {
        struct kb_json doc = {0};
        struct kb_err err = {0};
        if (!kb_json_parse(&doc, "f", texts[i], strlen(texts[i]), &err))
            fail_msg("%s", err.msg);
        kb_json_free(&doc);
        assert_null(doc.root);
    }
}

static bool parses(const char *text, size_t size, struct kb_err *err) {
    struct kb_json doc = {0};
    bool ok = kb_json_parse(&doc, "f", text, size, err);
    kb_json_free(&doc);
    return ok;
}

static void every_proper_prefix_of_a_document_is_refused(void **state) {
    (void)state;
    static const char text[] =
        "{\"schema\": \"kb/1\", \"g\\u00e9\": [{\"n\": [-1.5e3, true, "
        "null], \"s\": \"\\ud83d\\ude00\"}, {}, []]}";
    struct kb_err err = {0};
    for (size_t size = 0; size < sizeof text - 1; size++) {
        char *exact = malloc(size ? size : 1); /* so that ASan sees a read past the end */
        memcpy(exact, text, size);
        assert_false(parses(exact, size, &err));
        free(exact);
    }
    assert_true(parses(text, sizeof text - 1, &err));
}

static void sixty_four_levels_are_taken_and_one_more_is_not(void **state) {
    (void)state;
    struct kb_err err = {0};
    for (int depth = 64; depth <= 65; depth++) {
        struct kb_buf arrays = {0}, objects = {0};
        for (int i = 0; i < depth; i++) {
            kb_buf_putc(&arrays, '[');
            kb_buf_puts(&objects, "{\"a\":");
        }
        kb_buf_putc(&objects, '1');
        for (int i = 0; i < depth; i++) {
            kb_buf_putc(&arrays, ']');
            kb_buf_putc(&objects, '}');
        }
        assert_int_equal(parses(arrays.data, arrays.len, &err), depth == 64);
        assert_int_equal(parses(objects.data, objects.len, &err), depth == 64);
        kb_buf_free(&arrays);
        kb_buf_free(&objects);
    }
    assert_string_equal(err.msg, "f:1:321: error: nested deeper than 64");
}

static void a_million_brackets_or_digits_end_at_once(void **state) {
    (void)state;
    size_t size = 4 << 20;
    char *text = malloc(size);
    struct kb_err err = {0};
    int64_t start_ns = kb_now_ns();
    memset(text, '[', size);
    assert_false(parses(text, size, &err));
    memset(text, '1', size);
    assert_false(parses(text, size, &err));
    assert_non_null(strstr(err.msg, "a number of 4194304 characters"));
    memset(text, ' ', size);
    assert_false(parses(text, size, &err));
    memset(text, 'a', size);
    assert_false(parses(text, size, &err));
    memset(text, '"', 1);
    assert_false(parses(text, size, &err));
    assert_true(kb_now_ns() - start_ns < 1000000000);
    free(text);
}

static void sixty_four_thousand_keys_take_no_quadratic_time(void **state) {
    (void)state;
    struct kb_buf text = {0};
    struct kb_err err = {0};
    kb_buf_putc(&text, '{');
    for (int i = 0; i < 64000; i++)
        kb_buf_printf(&text, "\"k%d\":0,", i);
    kb_buf_puts(&text, "\"k31999\":0}");
    int64_t start_ns = kb_now_ns();
    assert_false(parses(text.data, text.len, &err));
    assert_true(kb_now_ns() - start_ns < 1000000000);
    assert_non_null(strstr(err.msg, "the key \"k31999\" stands here for the second time"));
    kb_buf_free(&text);
}

static void each_of_many_keys_is_noticed_when_it_stands_twice(void **state) {
    (void)state;
    enum { KEYS = 400 };
    struct kb_buf text = {0};
    kb_buf_puts(&text, "{\"list\":[{}");
    for (int i = 0; i < KEYS; i++)
        kb_buf_printf(&text, ",{\"k%d\":0}", i); /* the same keys of other objects */
    kb_buf_puts(&text, "]");
    for (int i = 0; i < KEYS; i++)
        kb_buf_printf(&text, ",\"k%d\":0", i);
    size_t len = text.len;
    for (int i = 0; i < KEYS; i++) {
        struct kb_err err = {0};
        char want[40];
        kb_buf_cut(&text, len);
        kb_buf_printf(&text, ",\"k%d\":0}", i);
        assert_false(parses(text.data, text.len, &err));
        snprintf(want, sizeof want, "the key \"k%d\" stands", i);
        assert_non_null(strstr(err.msg, want));
    }
    kb_buf_free(&text);
}

static void what_is_too_large_is_refused_before_cjson_sees_it(void **state) {
    (void)state;
    struct kb_buf text = {0};
    struct kb_err err = {0};
    char *zeros = kb_buf_reserve(&text, 2 * (size_t)KB_JSON_VALUES_MAX + 4);
    zeros[0] = '[';
    for (size_t i = 0; i < KB_JSON_VALUES_MAX; i++)
        memcpy(zeros + 1 + 2 * i, "0,", 2);
    text.len = 1 + 2 * (size_t)KB_JSON_VALUES_MAX;
    assert_false(parses(text.data, text.len, &err));
    assert_non_null(strstr(err.msg, "more than 4194304 values"));
    assert_false(parses(text.data, (size_t)KB_JSON_BYTES_MAX + 1, &err)); /* not touched */
    assert_non_null(strstr(err.msg, "has 67108865 bytes"));
    kb_buf_free(&text);
}

static void a_long_word_is_cut_in_the_message(void **state) {
    (void)state;
    struct kb_err err = {0};
    static const char text[] = "[abcdefghijklmnopqrstuvwxyzabc]";
    assert_false(parses(text, strlen(text), &err));
    assert_string_equal(err.msg,
                        "f:1:2: error: unexpected \"abcdefghijklmnopqrstuvwx...\", a "
                        "value was expected");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_text_that_is_no_strict_json_is_refused_at_its_place),
        cmocka_unit_test(a_nul_byte_is_no_end),
        cmocka_unit_test(each_strict_text_is_taken),
        cmocka_unit_test(every_proper_prefix_of_a_document_is_refused),
        cmocka_unit_test(sixty_four_levels_are_taken_and_one_more_is_not),
        cmocka_unit_test(a_million_brackets_or_digits_end_at_once),
        cmocka_unit_test(sixty_four_thousand_keys_take_no_quadratic_time),
        cmocka_unit_test(each_of_many_keys_is_noticed_when_it_stands_twice),
        cmocka_unit_test(what_is_too_large_is_refused_before_cjson_sees_it),
        cmocka_unit_test(a_long_word_is_cut_in_the_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
