/* json_out_test.c - what is written reads back the same, and is strict. */
#include "sys.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The text of `item`, which is deleted; strict by our own reader. */
static char *text_of(cJSON *item) {
    static char text[4096];
    struct kb_buf buf = {0};
    struct kb_json doc = {0};
    struct kb_err err = {0};
    kb_json_print(item, &buf);
    assert_true(buf.len < sizeof text);
    memcpy(text, kb_buf_text(&buf), buf.len + 1);
    if (!kb_json_parse(&doc, "written", text, buf.len, &err))
        fail_msg("%s: %s", err.msg, text);
    kb_json_free(&doc);
    kb_buf_free(&buf);
    cJSON_Delete(item);
    return text;
}

static void whole_numbers_are_written_in_full_and_large_ones_as_strings(void **state) {
    (void)state;
    static const struct {
        int64_t value;
        const char *text;
    } rows[] = {
        {0, "0"},
        {-1, "-1"},
        {2147483648, "2147483648"},
        {1000000000000001, "1000000000000001"},
        {9007199254740991, "9007199254740991"},
        {9007199254740992, "9007199254740992"},
        {-9007199254740992, "-9007199254740992"},
        {9007199254740993, "\"9007199254740993\""},
        {-9007199254740993, "\"-9007199254740993\""},
        {100000000000000002, "\"100000000000000002\""},
        {INT64_MIN, "\"-9223372036854775808\""},
        {INT64_MAX, "\"9223372036854775807\""},
    };
    for (size_t i = 0; i < KB_COUNT(rows); i++)
        assert_string_equal(text_of(kb_json_i64_item(rows[i].value)), rows[i].text);
}

static void fractions_have_the_digits_asked_for_and_no_more(void **state) {
    (void)state;
    static const struct {
        double value;
        int digits;
        const char *text;
    } rows[] = {
        {0.1, 17, "0.1"},
        {0.1, 3, "0.1"},
        {1.0 / 3, 3, "0.333"},
        {1.0 / 3, 17, "0.3333333333333333"},
        {2.0 / 3, 17, "0.6666666666666666"},
        {1220.14, 5, "1220.1"},
        {1220.04, 5, "1220"},
        {123456, 3, "123000"},
        {1e22, 17, "1e+22"},
        {5e-324, 17, "4.94065645841247e-324"},
        {-0.0, 6, "-0"},
        {0.0, 6, "0"},
        {1e15 + 1, 17, "1000000000000001"},
        {9007199254740992.0, 17, "9007199254740992"},
        {NAN, 6, "null"},
        {INFINITY, 6, "null"},
        {-INFINITY, 6, "null"},
        {DBL_MAX, 17, "1.7976931348623157e+308"},
        {DBL_MAX, 3, "1.7976931348623157e+308"}, /* 1.80e308 would be infinite */
    };
    for (size_t i = 0; i < KB_COUNT(rows); i++)
        assert_string_equal(text_of(kb_json_f64_item(rows[i].value, rows[i].digits)),
                            rows[i].text);
}

static void every_double_reads_back_the_same(void **state) {
    (void)state;
    uint64_t bits = 1;
    for (int i = 0; i < 20000; i++) {
        double value;
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        char *text = text_of(kb_json_f64_item(value, 17));
        assert_true(strtod(text, NULL) == value);
    }
}

static void a_document_that_was_read_is_written_with_its_numbers_intact(void **state) {
    (void)state;
    static const char text[] =
        "{\"t\":[9007199254740991,0.1,-0,1e+300,123456789.123],"
        "\"s\":\"\\u001b\\n\xc3\xa9\",\"b\":[true,false,null,{},[]]}";
    struct kb_json doc = {0};
    struct kb_err err = {0};
    struct kb_buf out = {0};
    assert_true(kb_json_parse(&doc, "f", text, strlen(text), &err));
    kb_json_print(doc.root, &out);
    assert_string_equal(kb_buf_text(&out), text);
    kb_buf_free(&out);
    kb_json_free(&doc);
}

static void text_is_escaped_and_reads_back_the_same(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "plain",
        "\"\\/",
        "\b\f\n\r\t\x01\x1f\x7f",
        "\xc2\x9b",
        "\xe2\x80\xae",
        "\xc3\xa9\xf0\x9f\x98\x80",
        "\xe2\x80\xa8",
        "</script>",
    };
    for (size_t i = 0; i < KB_COUNT(texts); i++) {
        struct kb_json doc = {0};
        struct kb_err err = {0};
        char *text = text_of(kb_json_text_item(texts[i]));
        for (const char *p = text; *p; p++)
            assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
        assert_true(kb_json_parse(&doc, "f", text, strlen(text), &err));
        assert_string_equal(doc.root->valuestring, texts[i]);
        kb_json_free(&doc);
    }
    assert_string_equal(text_of(kb_json_text_item("\x1b[0m\xe2\x80\xae\xc2\x9b\n")),
                        "\"\\u001b[0m\\u202e\\u009b\\n\"");
}

static void bytes_that_are_no_text_are_spelled_out(void **state) {
    (void)state;
    cJSON *object = kb_json_object();
    kb_json_add_text(object, "k\xff", "a\xc3(\xe2\x82");
    assert_string_equal(text_of(object), "{\"k\\\\xff\":\"a\\\\xc3(\\\\xe2\\\\x82\"}");
}

static void objects_and_arrays_hold_what_was_added_in_order(void **state) {
    (void)state;
    cJSON *object = kb_json_object(), *array = kb_json_array();
    kb_json_add_text(object, "case", "silu/83x1024/bf16");
    kb_json_add_text(object, "reason", NULL);
    kb_json_add_i64(object, "n", 2960);
    kb_json_add_f64(object, "median_ns", 1220.0999999, 6);
    kb_json_add_bool(object, "complete", true);
    kb_json_add_bool(object, "cached", false);
    kb_json_push(array, kb_json_i64_item(1));
    kb_json_push(array, kb_json_object());
    kb_json_push(array, kb_json_array());
    kb_json_add(object, "list", array);
    assert_string_equal(
        text_of(object),
        "{\"case\":\"silu/83x1024/bf16\",\"reason\":null,\"n\":2960,\"median_ns\":1220.1,"
        "\"complete\":true,\"cached\":false,\"list\":[1,{},[]]}");
}

static void a_member_added_twice_is_replaced(void **state) {
    (void)state;
    cJSON *object = kb_json_object();
    kb_json_add_i64(object, "a", 1);
    kb_json_add_i64(object, "A", 2);
    kb_json_add_text(object, "a", "x");
    assert_string_equal(text_of(object), "{\"a\":\"x\",\"A\":2}");
}

static int mallocs_left;

static void *failing_malloc(size_t size) {
    return mallocs_left-- > 0 ? malloc(size) : NULL;
}

static void wherever_memory_ends_the_process_ends_and_no_field_goes_missing(void **state) {
    (void)state;
    int k = 0, status = -1;
    for (; status != 0; k++) {
        assert_true(k < 100);
        pid_t pid = fork();
        if (pid == 0) {
            cJSON_Hooks hooks = {.malloc_fn = failing_malloc, .free_fn = free};
            cJSON_InitHooks(&hooks);
            close(STDERR_FILENO);
            mallocs_left = k;
            cJSON *object = kb_json_object(), *array = kb_json_array();
            kb_json_add_text(object, "case", "silu/83x1024/bf16");
            kb_json_add_f64(object, "median_ns", 1220.1, 6);
            kb_json_push(array, kb_json_i64_item(INT64_MAX));
            kb_json_add(object, "list", array);
            kb_json_add_bool(object, "case", true); /* replaced */
            _exit(cJSON_GetArraySize(object) == 3 ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 7);
    }
    assert_true(k > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_are_written_in_full_and_large_ones_as_strings),
        cmocka_unit_test(fractions_have_the_digits_asked_for_and_no_more),
        cmocka_unit_test(every_double_reads_back_the_same),
        cmocka_unit_test(a_document_that_was_read_is_written_with_its_numbers_intact),
        cmocka_unit_test(text_is_escaped_and_reads_back_the_same),
        cmocka_unit_test(bytes_that_are_no_text_are_spelled_out),
        cmocka_unit_test(objects_and_arrays_hold_what_was_added_in_order),
        cmocka_unit_test(a_member_added_twice_is_replaced),
        cmocka_unit_test(wherever_memory_ends_the_process_ends_and_no_field_goes_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
