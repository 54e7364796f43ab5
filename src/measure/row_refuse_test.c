/* row_refuse_test.c - lines that are no row: what is wrong with them is named. */
#include "row_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static bool parse_item(const cJSON *root, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_buf text = {0};
    struct kb_row row;

    kb_json_print(root, &text);
    bool ok = kb_row_parse("row", text.data, text.len, &arena, &row, err);
    kb_buf_free(&text);
    kb_arena_free(&arena);
    return ok;
}

static void assert_names(const struct kb_err *err, const char *field) {
    char quoted[64];

    assert_int_equal(err->kind, KB_INPUT);
    snprintf(quoted, sizeof quoted, "\"%s\"", field);
    if (!strstr(err->msg, quoted))
        fail_msg("\"%s\" does not name %s", err->msg, quoted);
}

static cJSON *full_tree(void) {
    struct kb_arena arena = {0};
    struct kb_row row = full_row(&arena);
    char *line = line_of(&row);
    cJSON *root = cJSON_Parse(line);

    assert_non_null(root);
    free(line);
    kb_arena_free(&arena);
    return root;
}

static cJSON *at_path(cJSON *root, const char *const *path) {
    cJSON *object = root;

    for (int i = 0; path[i]; i++)
        object = cJSON_GetObjectItemCaseSensitive(object, path[i]);
    assert_non_null(object);
    return object;
}

static void a_missing_field_is_named(void **state) {
    (void)state;
    static const struct {
        const char *path[5], *field;
    } fields[] = {
        {{NULL}, "case"},
        {{NULL}, "device"},
        {{NULL}, "backend"},
        {{NULL}, "build"},
        {{NULL}, "op"},
        {{NULL}, "shape"},
        {{NULL}, "dtype"},
        {{NULL}, "set"},
        {{NULL}, "fill"},
        {{NULL}, "axes"},
        {{NULL}, "seed"},
        {{NULL}, "tags"},
        {{NULL}, "flags"},
        {{NULL}, "verdict"},
        {{NULL}, "reason"},
        {{NULL}, "repeat"},
        {{NULL}, "memory"},
        {{NULL}, "runs_same_bits"},
        {{NULL}, "bytes"},
        {{NULL}, "flops"},
        {{NULL}, "spent_ms"},
        {{"memory"}, "unwritten"},
        {{"memory"}, "out_of_bounds"},
        {{"memory"}, "inputs_changed"},
        {{"outputs", "out"}, "shape"},
        {{"outputs", "out"}, "dtype"},
        {{"outputs", "out"}, "rule"},
        {{"outputs", "out"}, "elements"},
        {{"outputs", "out"}, "checked"},
        {{"outputs", "out"}, "over"},
        {{"outputs", "out"}, "over_bound"},
        {{"outputs", "out"}, "kind_mismatches"},
        {{"outputs", "out"}, "unwritten"},
        {{"outputs", "out"}, "differing"},
        {{"outputs", "out"}, "tolerance"},
        {{"outputs", "out", "tolerance"}, "decides"},
        {{"outputs", "out", "tolerance"}, "over"},
        {{"outputs", "out"}, "first_bad"},
        {{"outputs", "out"}, "last_bad"},
        {{"outputs", "out", "worst"}, "index"},
        {{"outputs", "out", "worst"}, "got"},
        {{"outputs", "out", "worst"}, "want"},
        {{"outputs", "out", "local"}, "pattern"},
        {{"outputs", "out", "local"}, "where"},
        {{"outputs", "out", "local"}, "named"},
        {{"outputs", "out", "local"}, "inside"},
        {{"outputs", "out", "local"}, "right"},
        {{"outputs", "out", "local"}, "map"},
        {{"outputs", "out", "local", "map"}, "cell"},
        {{"outputs", "out", "local", "map"}, "lines"},
        {{"smallest"}, "case"},
        {{"smallest"}, "tried"},
        {{"smallest"}, "done"},
        {{"smallest"}, "repeat"},
        {{"against"}, "build"},
        {{"against", "times", "graph"}, "ratio"},
        {{"against", "times", "graph"}, "ci95"},
        {{"against", "times", "graph"}, "blocks"},
        {{"against", "times", "graph"}, "verdict"},
        {{"times", "graph"}, "ci95_ns"},
        {{"times", "graph"}, "n"},
        {{"times", "graph"}, "stopped"},
        {{"times", "graph"}, "quality"},
        {{"times", "graph"}, "cache"},
        {{"times", "graph"}, "sets"},
        {{"times", "graph"}, "footprint_bytes"},
        {{"times", "graph"}, "throttle"},
        {{"times", "graph"}, "samples_ns"},
        {{"code"}, "arch"},
        {{"code"}, "grid"},
        {{"code"}, "block"},
        {{"code"}, "launches"},
        {{"code"}, "cached"},
    };
    for (size_t i = 0; i < KB_COUNT(fields); i++) {
        struct kb_err err = {0};
        cJSON *root = full_tree();
        cJSON *object = at_path(root, fields[i].path);
        assert_non_null(cJSON_GetObjectItemCaseSensitive(object, fields[i].field));
        cJSON_DeleteItemFromObjectCaseSensitive(object, fields[i].field);
        if (parse_item(root, &err))
            fail_msg("a row without %s was taken", fields[i].field);
        assert_names(&err, fields[i].field);
        cJSON_Delete(root);
    }
}

/* Fields that repeat what stands elsewhere, or are read as "is it true", and free keys. */
static bool is_free(const char *parent, const char *key) {
    static const char *const names[] = {"file", "ceiling", "poison"};

    for (size_t i = 0; i < KB_COUNT(names); i++) {
        if (kb_streq(key, names[i]))
            return true;
    }
    return kb_streq(parent, "set") || kb_streq(parent, "axes") ||
           (kb_streq(parent, "tolerance") && kb_streq(key, "rule"));
}

/* In turn put something of another kind in place of each field under `object`. */
static int spoil_each(cJSON *root, cJSON *object, const char *parent) {
    int n = 0;

    for (cJSON *item = object->child; item; item = item->next) {
        if (cJSON_IsObject(object) && !is_free(parent, item->string)) {
            struct kb_err err = {0};
            cJSON spoilt = {.type = cJSON_IsObject(item) ? cJSON_Array : cJSON_Object};
            cJSON saved = *item;
            item->type = spoilt.type;
            item->child = NULL;
            if (parse_item(root, &err))
                fail_msg("a row with another kind of %s was taken", item->string);
            item->type = saved.type;
            item->child = saved.child;
            if (!cJSON_IsObject(item))
                assert_names(&err, item->string);
            n++;
        }
        n += spoil_each(root, item, item->string ? item->string : parent);
    }
    return n;
}

static void a_field_of_another_kind_is_named(void **state) {
    (void)state;
    cJSON *root = full_tree();

    assert_true(spoil_each(root, root, "") > 150);
    cJSON_Delete(root);
}

static void refuse(const char *from, const char *to, const char *field) {
    struct kb_arena arena = {0};
    struct kb_row row = full_row(&arena), back;
    struct kb_err err = {0};
    struct kb_buf text = {0};
    char *line = line_of(&row), *at = strstr(line, from);

    assert_non_null(at);
    kb_buf_add(&text, line, (size_t)(at - line));
    kb_buf_puts(&text, to);
    kb_buf_puts(&text, at + strlen(from));
    if (parse(text.data, &arena, &back, &err))
        fail_msg("%s was taken for %s", to, from);
    assert_names(&err, field);
    free(line);
    kb_buf_free(&text);
    kb_arena_free(&arena);
}

static void words_and_numbers_that_no_row_has_are_refused(void **state) {
    (void)state;
    refuse("\"verdict\":\"FAIL\"", "\"verdict\":\"PASS\"", "verdict");
    refuse("\"reason_kind\":\"mismatch\"", "\"reason_kind\":\"luck\"", "reason_kind");
    refuse("\"quality\":\"throttled\"", "\"quality\":\"splendid\"", "quality");
    refuse("\"decides\":\"peer\"", "\"decides\":\"me\"", "decides");
    refuse("\"dtype\":\"bf16\"", "\"dtype\":\"bf17\"", "dtype");
    refuse("\"got_is\":\"nan\"", "\"got_is\":\"big\"", "got_is");
    refuse("\"index\":[27,137]", "\"index\":[27,512]", "index");
    refuse("\"index\":[27,137]", "\"index\":[27]", "index");
    refuse("\"index\":[27,137]", "\"index\":[-1,137]", "index");
    refuse("\"first_bad\":5", "\"first_bad\":42496", "first_bad");
    refuse("\"last_bad\":42495", "\"last_bad\":4", "last_bad");
    refuse("\"shape\":[83,1024]", "\"shape\":[1,2,3,4,5,6,7,8,9]", "shape");
    refuse("\"shape\":[83,1024]", "\"shape\":[83,-2]", "shape");
    refuse("\"sets\":741", "\"sets\":4294967297", "sets");
    refuse("\"n\":2960", "\"n\":-1", "n");
    refuse("\"n\":2960", "\"n\":0.5", "n");
    refuse("\"seed\":\"18446744073709551615\"", "\"seed\":\"18446744073709551616\"",
           "seed");
    refuse("\"seed\":\"18446744073709551615\"", "\"seed\":-1", "seed");
    refuse("\"grid\":[21,2,3]", "\"grid\":[21,2]", "grid");
    refuse("\"outputs\":{", "\"outputs\":{\"a\":{},\"b\":{},\"c\":{},", "dtype");
}

/* Any bytes: refused or taken, without a fault (the sanitizers' build is where it counts).
 */
static void a_line_with_damaged_bytes_is_no_fault(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    struct kb_row row = full_row(&arena), back;
    char *line = line_of(&row);
    size_t len = strlen(line);

    for (uint64_t i = 0; i < 3000; i++) {
        static const char put[] = "{}[],:\"0-9e.\\nullx";
        uint32_t r[4];
        struct kb_err err = {0};
        kb_philox(3, 0, i, r);
        char *copy = strdup(line);
        for (uint32_t k = 0; k <= r[3] % 3; k++)
            copy[r[k] % len] = put[r[k] / len % (sizeof put - 1)];
        size_t cut = r[3] % 5 ? len : r[2] % len;
        kb_row_parse("row", copy, cut, &arena, &back, &err);
        free(copy);
        kb_arena_reset(&arena);
    }
    free(line);
    kb_arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_field_is_named),
        cmocka_unit_test(a_field_of_another_kind_is_named),
        cmocka_unit_test(words_and_numbers_that_no_row_has_are_refused),
        cmocka_unit_test(a_line_with_damaged_bytes_is_no_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
