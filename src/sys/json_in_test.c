/* json_in_test.c - documents that are read: places, paths, keys and whole numbers. */
#include "sys.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char cases[] =
    "{ \"schema\": \"kbench-cases/1\",\n"
    "  \"groups\": [\n"
    "    { \"ops\": [\"silu\", \"gelu\"],\n"
    "      \"shapes\": [[7, 16], [83, 1024]],\n"
    "      \"tolerance\": { \"rule\": \"peer\", \"rtoll\": 1e-2 },\n"
    "      \"odd key\": null } ] }\n";

static void expect_at(const struct kb_json *doc, const cJSON *node, bool of_key, int line,
                      int col, const char *path) {
    int got_line = -1, got_col = -1;
    struct kb_buf text = {0};
    kb_json_where(doc, node, of_key, &got_line, &got_col);
    assert_int_equal(got_line, line);
    assert_int_equal(got_col, col);
    kb_json_path(doc, node, &text);
    assert_string_equal(kb_buf_text(&text), path);
    kb_buf_free(&text);
}

static void every_node_knows_its_place_and_path(void **state) {
    (void)state;
    struct kb_json doc = {0};
    struct kb_err err = {0};
    assert_true(kb_json_parse(&doc, "cases.json", cases, strlen(cases), &err));
    const cJSON *groups = kb_json_get(doc.root, "groups"), *group = groups->child;
    const cJSON *shapes = kb_json_get(group, "shapes");
    const cJSON *number = cJSON_GetArrayItem(cJSON_GetArrayItem(shapes, 1), 0);
    const cJSON *rtoll = kb_json_get(kb_json_get(group, "tolerance"), "rtoll");
    expect_at(&doc, doc.root, false, 1, 1, "");
    expect_at(&doc, doc.root, true, 1, 1, ""); /* the root has no key */
    expect_at(&doc, groups, true, 2, 3, "groups");
    expect_at(&doc, groups, false, 2, 13, "groups");
    expect_at(&doc, group, true, 3, 5, "groups[0]");
    expect_at(&doc, number, false, 4, 28, "groups[0].shapes[1][0]");
    expect_at(&doc, rtoll, true, 5, 38, "groups[0].tolerance.rtoll");
    expect_at(&doc, rtoll, false, 5, 47, "groups[0].tolerance.rtoll");
    expect_at(&doc, kb_json_get(group, "odd key"), true, 6, 7, "groups[0][\"odd key\"]");
    expect_at(&doc, NULL, false, 0, 0, "");
    cJSON other = {0};
    expect_at(&doc, &other, false, 0, 0, "");
    assert_true(number->valuedouble == 83);
    kb_json_free(&doc);
}

static void a_plain_key_stands_bare_in_a_path_and_another_in_quotes(void **state) {
    (void)state;
    static const char text[] =
        "{\"aAzZ_09-\":1,\"a.b\":2,\"\":3,\"a\\n\":4,\"\xc3\xa9\":5}";
    static const char *const want[] = {"aAzZ_09-", "[\"a.b\"]", "[\"\"]", "[\"a^J\"]",
                                       "[\"\xc3\xa9\"]"};
    struct kb_json doc = {0};
    struct kb_err err = {0};
    size_t i = 0;
    assert_true(kb_json_parse(&doc, "f", text, strlen(text), &err));
    for (const cJSON *item = doc.root->child; item; item = item->next) {
        struct kb_buf path = {0};
        kb_json_path(&doc, item, &path);
        assert_string_equal(kb_buf_text(&path), want[i++]);
        kb_buf_free(&path);
    }
    assert_int_equal(i, KB_COUNT(want));
    kb_json_free(&doc);
}

static void a_path_is_added_after_what_the_buffer_holds(void **state) {
    (void)state;
    struct kb_json doc = {0};
    struct kb_err err = {0};
    struct kb_buf text = {0};
    assert_true(kb_json_parse(&doc, "f", "{\"a\":[1]}", 9, &err));
    kb_buf_puts(&text, "at ");
    kb_json_path(&doc, doc.root->child->child, &text);
    assert_string_equal(kb_buf_text(&text), "at a[0]");
    kb_buf_free(&text);
    kb_json_free(&doc);
}

static void offsets_move_the_places_into_the_file_around(void **state) {
    (void)state;
    struct kb_json doc = {.line_offset = 10, .col_offset = 4};
    struct kb_err err = {0};
    assert_true(kb_json_parse(&doc, "k.cu", "{\"a\":1,\n \"b\":2}", 15, &err));
    expect_at(&doc, kb_json_get(doc.root, "a"), true, 11, 6, "a");
    expect_at(&doc, kb_json_get(doc.root, "b"), true, 12, 2, "b");
    kb_json_free(&doc);
    doc.line_offset = 10;
    assert_false(kb_json_parse(&doc, "k.cu", "\n[1", 3, &err));
    assert_true(kb_starts_with(err.msg, "k.cu:12:3: error: "));
}

static void complaints_point_at_value_or_key_and_name_the_path(void **state) {
    (void)state;
    static const char *const keys[] = {"rule", "atol", "rtol"};
    static const char *const root_keys[] = {"schema", "group"};
    struct kb_json doc = {0};
    struct kb_err err = {0};
    struct kb_complaints c = {0};
    assert_true(kb_json_parse(&doc, "cases/mine.json", cases, strlen(cases), &err));
    const cJSON *group = kb_json_get(doc.root, "groups")->child;
    const cJSON *shape = kb_json_get(group, "shapes")->child->next;
    kb_json_complain(&doc, shape, false, &c, "the last axis is %s, %d is odd", "2*HIDDEN",
                     3);
    kb_json_check_keys(&doc, kb_json_get(group, "tolerance"), keys, KB_COUNT(keys), &c);
    kb_json_check_keys(&doc, doc.root, root_keys, KB_COUNT(root_keys), &c);
    kb_json_check_keys(&doc, shape, keys, KB_COUNT(keys), &c); /* an array has no keys */
    assert_string_equal(
        kb_buf_text(&c.text),
        "cases/mine.json:4:27: error: groups[0].shapes[1]: the last axis is 2*HIDDEN, 3 is "
        "odd\n"
        "cases/mine.json:5:38: error: groups[0].tolerance: unknown key \"rtoll\", did you "
        "mean \"rtol\"?\n"
        "cases/mine.json:2:3: error: unknown key \"groups\", did you mean \"group\"?\n");
    assert_int_equal(c.count, 3);
    kb_complaints_free(&c);
    kb_json_free(&doc);
}

static void a_hundred_thousand_unknown_keys_are_counted_quickly(void **state) {
    (void)state;
    static const char *const known[] = {"shape"};
    struct kb_json doc = {0};
    struct kb_err err = {0};
    struct kb_complaints c = {0};
    struct kb_buf text = {0};
    kb_buf_puts(&text, "{\"shape\":1");
    for (int i = 0; i < 100000; i++)
        kb_buf_printf(&text, ",\"k%d\":0", i);
    kb_buf_puts(&text, "}");
    assert_true(kb_json_parse(&doc, "f", text.data, text.len, &err));
    int64_t start_ns = kb_now_ns();
    kb_json_check_keys(&doc, doc.root, known, KB_COUNT(known), &c);
    assert_true(kb_now_ns() - start_ns < 1000000000);
    assert_int_equal(c.count, 100000);
    kb_complaints_free(&c);
    kb_json_free(&doc);
    kb_buf_free(&text);
}

/* ---- values ------------------------------------------------------------------------ */

static void members_are_found_by_exact_name_only(void **state) {
    (void)state;
    static const char text[] = "{\"Rtol\":5,\"rtol\":7,\"x\":[1]}";
    struct kb_json doc = {0};
    struct kb_err err = {0};
    assert_true(kb_json_parse(&doc, "f", text, strlen(text), &err));
    assert_true(kb_json_get(doc.root, "rtol")->valuedouble == 7);
    assert_null(kb_json_get(doc.root, "RTOL"));
    assert_null(kb_json_get(kb_json_get(doc.root, "x"), "rtol"));
    assert_null(kb_json_get(NULL, "rtol"));
    kb_json_free(&doc);
}

static void only_exact_whole_numbers_are_whole_numbers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } rows[] = {
        {"0", true, 0},
        {"-7", true, -7},
        {"1e3", true, 1000},
        {"2.0", true, 2},
        {"2147483648", true, INT64_C(2147483648)},
        {"9007199254740991", true, INT64_C(9007199254740991)},
        {"9007199254740992", true, INT64_C(9007199254740992)},
        {"-9007199254740992", true, INT64_C(-9007199254740992)},
        {"9007199254740994", false, 0},
        {"1e300", false, 0},
        {"0.5", false, 0},
        {"-0", false, 0},
        {"\"7\"", false, 0},
        {"true", false, 0},
        {"[7]", false, 0},
    };
    for (size_t i = 0; i < KB_COUNT(rows); i++) {
        struct kb_json doc = {0};
        struct kb_err err = {0};
        int64_t value = 77;
        assert_true(kb_json_parse(&doc, "f", rows[i].text, strlen(rows[i].text), &err));
        assert_int_equal(kb_json_i64(doc.root, &value), rows[i].ok);
        assert_true(value == (rows[i].ok ? rows[i].value : 77));
        kb_json_free(&doc);
    }
    int64_t value;
    assert_false(kb_json_i64(NULL, &value));
}

/* ---- memory ------------------------------------------------------------------------ */

static int mallocs_left;

static void *failing_malloc(size_t size) {
    return mallocs_left-- > 0 ? malloc(size) : NULL;
}

static void wherever_cjson_finds_no_memory_the_parse_fails_and_leaks_nothing(void **state) {
    (void)state;
    cJSON_Hooks hooks = {.malloc_fn = failing_malloc, .free_fn = free};
    cJSON_InitHooks(&hooks);
    int k = 0;
    for (bool ok = false; !ok; k++) {
        struct kb_json doc = {0};
        struct kb_err err = {0};
        mallocs_left = k;
        ok = kb_json_parse(&doc, "f", cases, strlen(cases), &err);
        assert_true(ok || err.kind == KB_MEMORY);
        kb_json_free(&doc);
        assert_true(k < 1000);
    }
    cJSON_InitHooks(NULL);
    assert_true(k > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_node_knows_its_place_and_path),
        cmocka_unit_test(a_plain_key_stands_bare_in_a_path_and_another_in_quotes),
        cmocka_unit_test(a_path_is_added_after_what_the_buffer_holds),
        cmocka_unit_test(offsets_move_the_places_into_the_file_around),
        cmocka_unit_test(complaints_point_at_value_or_key_and_name_the_path),
        cmocka_unit_test(a_hundred_thousand_unknown_keys_are_counted_quickly),
        cmocka_unit_test(members_are_found_by_exact_name_only),
        cmocka_unit_test(only_exact_whole_numbers_are_whole_numbers),
        cmocka_unit_test(wherever_cjson_finds_no_memory_the_parse_fails_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
