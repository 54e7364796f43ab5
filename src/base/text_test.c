/* text_test.c - numbers, near words, globs, and text made safe. */
#include "base.h"

#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void prefixes_and_suffixes_are_whole(void **state) {
    (void)state;
    assert_true(kb_starts_with("kernels/kb.cuh", "kernels/"));
    assert_false(kb_starts_with("kern", "kernels/"));
    assert_true(kb_starts_with("x", ""));
    assert_true(kb_ends_with("kb.cuh", ".cuh"));
    assert_true(kb_ends_with(".cuh", ".cuh"));
    assert_false(kb_ends_with("cuh", ".cuh"));
    assert_true(kb_ends_with("x", ""));
    assert_true(kb_streq("a", "a"));
    assert_false(kb_streq("a", "A"));
}

static void splitting_keeps_empty_parts(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    struct kb_strings parts = {0};
    kb_split(&arena, "a,,b c,", ',', &parts);
    assert_int_equal(parts.count, 4);
    assert_string_equal(parts.items[0], "a");
    assert_string_equal(parts.items[1], "");
    assert_string_equal(parts.items[2], "b c");
    assert_string_equal(parts.items[3], "");
    kb_split(&arena, "", ',', &parts);
    assert_int_equal(parts.count, 5);
    assert_string_equal(parts.items[4], "");
    kb_arena_free(&arena);
}

static void whole_numbers_are_taken_only_when_they_are_all_of_the_text(void **state) {
    (void)state;
    static const char *const refused[] = {
        "",
        " 1",
        "1 ",
        "+1",
        "-",
        "--1",
        "0x10",
        "1e3",
        "1.0",
        "1_000",
        "12a",
        "\t1",
        "1\n",
        "- 1",
        "nan",
        "٣",
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999999",
    };
    int64_t value = 77;
    for (size_t i = 0; i < KB_COUNT(refused); i++)
        assert_false(kb_parse_i64(refused[i], &value));
    assert_int_equal(value, 77);
    assert_true(kb_parse_i64("-9223372036854775808", &value) && value == INT64_MIN);
    assert_true(kb_parse_i64("9223372036854775807", &value) && value == INT64_MAX);
    assert_true(kb_parse_i64("-0", &value) && value == 0);
    assert_true(kb_parse_i64("010", &value) && value == 10);
}

static void unsigned_numbers_reach_the_top_and_have_no_sign(void **state) {
    (void)state;
    uint64_t value = 77;
    assert_false(kb_parse_u64("-1", &value));
    assert_false(kb_parse_u64("+1", &value));
    assert_false(kb_parse_u64("", &value));
    assert_false(kb_parse_u64("18446744073709551616", &value));
    assert_true(value == 77);
    assert_true(kb_parse_u64("18446744073709551615", &value) && value == UINT64_MAX);
    assert_true(kb_parse_u64("0", &value) && value == 0);
}

static void fractions_are_decimal_and_finite(void **state) {
    (void)state;
    static const char *const refused[] = {
        "",       ".",     "-",     "e5",    "1e",       "1e+",  "1e5 ",
        " 1",     "+1",    "0x1p3", "inf",   "nan",      "-inf", "1e999",
        "-1e999", "1.2.3", "1,5",   "1e5.0", "infinity", "1d5",  "1e-999",
    };
    double value = 77;
    for (size_t i = 0; i < KB_COUNT(refused); i++)
        assert_false(kb_parse_f64(refused[i], &value));
    assert_true(value == 77);
    assert_true(kb_parse_f64("1e-2", &value) && value == 0.01);
    assert_true(kb_parse_f64(".5", &value) && value == 0.5);
    assert_true(kb_parse_f64("-5.", &value) && value == -5);
    assert_true(kb_parse_f64("-0", &value) && value == 0 && signbit(value));
    assert_true(kb_parse_f64("0e-999", &value) && value == 0);
    assert_true(kb_parse_f64("4.9e-324", &value) && value > 0);
    assert_true(kb_parse_f64("1.7976931348623157e308", &value) && isfinite(value));
}

static void a_glob_covers_the_whole_text(void **state) {
    (void)state;
    assert_true(kb_glob("gelu*", "gelu_tanh/83x1024/bf16"));
    assert_true(kb_glob("*/bf16", "gelu_tanh/83x1024/bf16"));
    assert_true(kb_glob("gelu?tanh/[0-9]*", "gelu_tanh/83x1024/bf16"));
    assert_true(kb_glob("*[!a-f]6", "gelu/bf16"));
    assert_false(kb_glob("gelu", "gelu_tanh"));
    assert_false(kb_glob("tanh", "gelu_tanh"));
    assert_false(kb_glob("", "x"));
    assert_true(kb_glob("", ""));
    assert_true(kb_glob("*", ""));
    assert_true(kb_glob("a\\b", "a\\b"));
}

static void many_stars_take_no_exponential_time(void **state) {
    (void)state;
    char text[2001];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_false(kb_glob("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
}

static void edit_distance_counts_swaps_as_one(void **state) {
    (void)state;
    assert_int_equal(kb_edit_distance("", ""), 0);
    assert_int_equal(kb_edit_distance("", "abc"), 3);
    assert_int_equal(kb_edit_distance("abc", ""), 3);
    assert_int_equal(kb_edit_distance("abc", "acb"), 1);
    assert_int_equal(kb_edit_distance("ca", "abc"), 3); /* the restricted kind */
    assert_int_equal(kb_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(kb_edit_distance("Rtol", "rtol"), 1);
}

static void a_near_word_is_suggested_and_a_far_one_is_not(void **state) {
    (void)state;
    static const char *const ops[] = {"silu", "gelu", "gelu_tanh", "qknorm_rope"};
    static const char *const keys[] = {"rule", "atol", "rtol"};
    static const char *const tags[] = {"ci", "full"};
    assert_string_equal(kb_suggest("gelutanh", ops, KB_COUNT(ops)), "gelu_tanh");
    assert_string_equal(kb_suggest("geul", ops, KB_COUNT(ops)), "gelu");
    assert_string_equal(kb_suggest("qk_norm_rope", ops, KB_COUNT(ops)), "qknorm_rope");
    assert_string_equal(kb_suggest("rtoll", keys, KB_COUNT(keys)), "rtol");
    assert_string_equal(kb_suggest("RTOL", keys, KB_COUNT(keys)), "rtol");
    assert_string_equal(kb_suggest("gexx", ops, KB_COUNT(ops)), "gelu"); /* 2 of 4 */
    assert_null(kb_suggest("gxxx", ops, KB_COUNT(ops)));                 /* 3 of 4 */
    assert_string_equal(kb_suggest("gelu_xxxh", ops, KB_COUNT(ops)), "gelu_tanh");
    assert_null(kb_suggest("gelu_xxxx", ops, KB_COUNT(ops))); /* 4 of 9 */
    assert_null(kb_suggest("softmax", ops, KB_COUNT(ops)));
    assert_null(kb_suggest("x", keys, KB_COUNT(keys)));
    assert_null(kb_suggest("", keys, KB_COUNT(keys)));
    assert_null(kb_suggest("op", tags, KB_COUNT(tags)));
    assert_null(kb_suggest("gelu", NULL, 0));
    static const char *const short_ops[] = {"mma"};
    assert_null(kb_suggest("rms", short_ops, 1)); /* 2 of 3 */
}

static void a_word_that_is_begun_is_suggested_whole(void **state) {
    (void)state;
    static const char *const builds[] = {"precise", "fast-math", "aot", "aot-fast-math"};
    assert_string_equal(kb_suggest("fast", builds, KB_COUNT(builds)), "fast-math");
    assert_string_equal(kb_suggest("prec", builds, KB_COUNT(builds)), "precise");
    assert_string_equal(kb_suggest("aoo", builds, KB_COUNT(builds)), "aot");
    assert_null(kb_suggest("pr", builds, KB_COUNT(builds)));
}

static void the_first_of_equally_near_words_is_suggested(void **state) {
    (void)state;
    static const char *const words[] = {"bf16", "fp16", "fp32"};
    assert_string_equal(kb_suggest("f16", words, KB_COUNT(words)), "bf16");
    assert_string_equal(kb_suggest("fp61", words, KB_COUNT(words)), "fp16");
}

static void a_word_of_megabytes_is_near_nothing_at_once(void **state) {
    (void)state;
    static const char *const words[] = {"rtol"};
    size_t len = 4 << 20;
    char *word = calloc(1, len + 1);
    memset(word, 'r', len);
    assert_null(kb_suggest(word, words, 1));
    free(word);
}

static void expect_unknown(const char *word, const char *const *known, size_t n,
                           const char *want) {
    struct kb_buf text = {0};
    kb_unknown(&text, "op", word, known, n);
    assert_string_equal(kb_buf_text(&text), want);
    kb_buf_free(&text);
}

static void an_unknown_word_comes_with_the_near_one_or_all(void **state) {
    (void)state;
    static const char *const ops[] = {"silu", "gelu"};
    char word[66];
    memset(word, 'x', sizeof word);
    word[65] = '\0';
    expect_unknown("gleu", ops, 2, "unknown op \"gleu\", did you mean \"gelu\"?");
    expect_unknown("tanh", ops, 2, "unknown op \"tanh\"; there are silu, gelu");
    expect_unknown("tanh", ops, 1, "unknown op \"tanh\"; there is silu");
    expect_unknown("tanh", ops, 0, "unknown op \"tanh\"");
    const char *many[40];
    for (int i = 0; i < 40; i++)
        many[i] = "k";
    struct kb_buf all = {0};
    for (int i = 0; i < 32; i++)
        kb_buf_printf(&all, "%s k", i ? "," : "unknown op \"tanh\"; there are");
    kb_buf_puts(&all, " and 8 others");
    expect_unknown("tanh", many, 40, kb_buf_text(&all));
    kb_buf_free(&all);
    expect_unknown(
        word, NULL, 0,
        "unknown op \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxxx...\"");
    word[64] = '\0';
    expect_unknown(
        word, NULL, 0,
        "unknown op \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxxx\"");
}

static void a_field_holds_what_fits_of_a_text(void **state) {
    (void)state;
    char field[5] = "####";
    kb_text_copy(field, sizeof field, NULL);
    assert_string_equal(field, "");
    kb_text_copy(field, sizeof field, "abcd");
    assert_string_equal(field, "abcd");
    kb_text_copy(field, sizeof field, "abcde");
    assert_string_equal(field, "abcd");
    kb_text_copy(field, sizeof field, "abc\xc3\xa9");
    assert_string_equal(field, "abc");
    kb_text_copy(field, sizeof field, "ab\xc3\xa9x");
    assert_string_equal(field, "ab\xc3\xa9");
    kb_text_copy(field, 1, "\xc3\xa9");
    assert_string_equal(field, "");
}

struct escape_row {
    const char *in, *line, *lines;
};

static void what_could_fool_a_terminal_is_spelled_out(void **state) {
    (void)state;
    static const struct escape_row rows[] = {
        {"plain text, \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", NULL, NULL},
        {"a\x1b[31mb", "a^[[31mb", "a^[[31mb"},
        {"a\nb\tc", "a^Jb^Ic", "a\nb\tc"},
        {"a\rb\x7f", "a^Mb^?", "a^Mb^?"},
        {"\x1f \x7e\xc2\xa0", "^_ \x7e\xc2\xa0", "^_ \x7e\xc2\xa0"}, /* the borders */
        {"\xc2\x80\xc2\x9f", "\\xc2\\x80\\xc2\\x9f", "\\xc2\\x80\\xc2\\x9f"},
        {"\xe2\x80\x8d\xe2\x80\xa7\xe2\x80\xaf\xe2\x81\xaa", NULL, NULL},
        {"\xe2\x80\x8e\xe2\x80\x8f", "\\xe2\\x80\\x8e\\xe2\\x80\\x8f",
         "\\xe2\\x80\\x8e\\xe2\\x80\\x8f"},
        {"\xe2\x81\xa9", "\\xe2\\x81\\xa9", "\\xe2\\x81\\xa9"},
        {"\xc2\x9b"
         "31m",
         "\\xc2\\x9b31m", "\\xc2\\x9b31m"}, /* C1 CSI */
        {"\xe2\x80\xae"
         "cba",
         "\\xe2\\x80\\xaecba", "\\xe2\\x80\\xaecba"},           /* RLO */
        {"\xe2\x81\xa6", "\\xe2\\x81\\xa6", "\\xe2\\x81\\xa6"}, /* LRI */
        {"\xd8\x9c", "\\xd8\\x9c", "\\xd8\\x9c"},               /* ALM */
        {"\xe2\x80\xa8", "\\xe2\\x80\\xa8", "\\xe2\\x80\\xa8"}, /* line separator */
        {"\xff"
         "a\xc3",
         "\\xffa\\xc3", "\\xffa\\xc3"},
        {"\xc0\x80", "\\xc0\\x80", "\\xc0\\x80"},               /* overlong */
        {"\xed\xa0\x80", "\\xed\\xa0\\x80", "\\xed\\xa0\\x80"}, /* surrogate */
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", "\\xf4\\x90\\x80\\x80"},
        {"\x9b"
         "31m",
         "\\x9b31m", "\\x9b31m"}, /* raw 8-bit CSI */
    };
    for (size_t i = 0; i < KB_COUNT(rows); i++) {
        struct kb_buf line = {0}, lines = {0};
        const char *in = rows[i].in;
        kb_escape(&line, in, strlen(in));
        kb_escape_lines(&lines, in, strlen(in));
        assert_string_equal(kb_buf_text(&line), rows[i].line ? rows[i].line : in);
        assert_string_equal(kb_buf_text(&lines), rows[i].lines ? rows[i].lines : in);
        kb_buf_free(&line);
        kb_buf_free(&lines);
    }
}

static void escaped_text_is_safe_whatever_the_bytes(void **state) {
    (void)state;
    uint32_t seed = 1;
    for (int round = 0; round < 2000; round++) {
        char text[24];
        struct kb_buf out = {0};
        for (size_t i = 0; i < sizeof text; i++) {
            seed = seed * 1664525u + 1013904223u;
            text[i] = (char)(seed >> 24);
        }
        kb_escape(&out, text, sizeof text);
        for (size_t i = 0; i < out.len;) {
            uint32_t code;
            int n = kb_utf8_next(out.data + i, out.len - i, &code);
            assert_true(n > 0);
            assert_false(kb_code_is_unsafe(code));
            i += (size_t)n;
        }
        kb_buf_free(&out);
    }
}

static void a_word_is_quoted_where_a_shell_would_split_or_expand_it(void **state) {
    (void)state;
    static const char *const words[][2] = {
        {"a-b_c/d.cu:vec8,x=1", "a-b_c/d.cu:vec8,x=1"},
        {"", "''"},
        {"a b", "'a b'"},
        {"it's", "'it'\\''s'"},
        {"$(x)", "'$(x)'"},
        {"*", "'*'"},
    };
    for (size_t i = 0; i < KB_COUNT(words); i++) {
        struct kb_buf out = {0};
        kb_shell_word(&out, words[i][0]);
        assert_string_equal(out.data, words[i][1]);
        kb_buf_free(&out);
    }
}

static void utf8_is_judged_at_its_borders(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int bytes;
        uint32_t code;
    } rows[] = {
        {"\x7f", 1, 0x7f},
        {"\xc2\x80", 2, 0x80},
        {"\xdf\xbf", 2, 0x7ff},
        {"\xe0\xa0\x80", 3, 0x800},
        {"\xed\x9f\xbf", 3, 0xd7ff},
        {"\xee\x80\x80", 3, 0xe000},
        {"\xef\xbf\xbf", 3, 0xffff},
        {"\xf0\x90\x80\x80", 4, 0x10000},
        {"\xf4\x8f\xbf\xbf", 4, 0x10ffff},
        {"\x80", 0, 0},
        {"\xc1\xbf", 0, 0},
        {"\xe0\x9f\xbf", 0, 0},
        {"\xf0\x8f\xbf\xbf", 0, 0},
        {"\xf5\x80\x80\x80", 0, 0},
        {"\xe2\x82", 0, 0},
        {"\xe2\x28\xa1", 0, 0},
        {"", 0, 0},
    };
    for (size_t i = 0; i < KB_COUNT(rows); i++) {
        uint32_t code = 0;
        size_t len = strlen(rows[i].text);
        assert_int_equal(kb_utf8_next(rows[i].text, len, &code), rows[i].bytes);
        assert_int_equal(code, rows[i].code);
        assert_int_equal(kb_utf8_valid(rows[i].text, len), rows[i].bytes > 0 || len == 0);
    }
    assert_false(kb_utf8_valid("\xe2\x82\xac", 2)); /* cut by the length given */
}

static void columns_count_characters(void **state) {
    (void)state;
    assert_int_equal(kb_columns(""), 0);
    assert_int_equal(kb_columns("silu"), 4);
    assert_int_equal(kb_columns("\xc2\xb1 0.3 \xe2\x82\xac"), 7);
}

static void sizes_have_three_digits_and_a_unit_of_their_own(void **state) {
    (void)state;
    assert_string_equal(kb_size_text(0).text, "0 bytes");
    assert_string_equal(kb_size_text(999).text, "999 bytes");
    assert_string_equal(kb_size_text(1024).text, "1.02 kB");
    assert_string_equal(kb_size_text(24.64e9).text, "24.6 GB");
    assert_string_equal(kb_size_text(999.6e9).text, "1 TB");
    assert_string_equal(kb_size_text(1e30).text, "1e+12 EB");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_have_three_digits_and_a_unit_of_their_own),
        cmocka_unit_test(prefixes_and_suffixes_are_whole),
        cmocka_unit_test(splitting_keeps_empty_parts),
        cmocka_unit_test(whole_numbers_are_taken_only_when_they_are_all_of_the_text),
        cmocka_unit_test(unsigned_numbers_reach_the_top_and_have_no_sign),
        cmocka_unit_test(fractions_are_decimal_and_finite),
        cmocka_unit_test(a_glob_covers_the_whole_text),
        cmocka_unit_test(many_stars_take_no_exponential_time),
        cmocka_unit_test(edit_distance_counts_swaps_as_one),
        cmocka_unit_test(a_near_word_is_suggested_and_a_far_one_is_not),
        cmocka_unit_test(a_word_that_is_begun_is_suggested_whole),
        cmocka_unit_test(the_first_of_equally_near_words_is_suggested),
        cmocka_unit_test(a_word_of_megabytes_is_near_nothing_at_once),
        cmocka_unit_test(an_unknown_word_comes_with_the_near_one_or_all),
        cmocka_unit_test(a_field_holds_what_fits_of_a_text),
        cmocka_unit_test(what_could_fool_a_terminal_is_spelled_out),
        cmocka_unit_test(escaped_text_is_safe_whatever_the_bytes),
        cmocka_unit_test(a_word_is_quoted_where_a_shell_would_split_or_expand_it),
        cmocka_unit_test(utf8_is_judged_at_its_borders),
        cmocka_unit_test(columns_count_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
