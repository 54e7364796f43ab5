/* casefile_test.c - what a case file may say, how many cases it may make, and what becomes
 * of one that is damaged. */
#include "op/casefile_fixture.h"

/* Ids of all cases in order, one a line. */
static void assert_ids(const char *text, const char *wanted) {
    struct read r;
    struct kb_buf ids = {0};
    read_bytes(&r, text, strlen(text));
    assert_string_equal(kb_buf_text(&r.c.text), "");
    for (size_t g = 0; g < kb_groups_len(&r.groups); g++) {
        const struct kb_group *group = kb_groups_at(&r.groups, g);
        for (int64_t i = 0; i < kb_group_count(group); i++) {
            struct kb_case c;
            kb_group_case(group, i, &c);
            kb_buf_printf(&ids, "%s\n", kb_case_id(&c, &r.arena));
        }
    }
    assert_string_equal(kb_buf_text(&ids), wanted);
    kb_buf_free(&ids);
    free_read(&r);
}

/* ---- what is right ---------------------------------------------------------------------
 */

#define FILE_OF(group) "{\"schema\": \"kbench-cases/1\", \"groups\": [" group "]}"

static void lists_multiply_the_last_fastest(void **state) {
    (void)state;
    assert_ids(
        FILE_OF("{\"why\": \"w\", \"ops\": [\"silu\", \"gelu\"], "
                "\"shapes\": [[7, 16], [0, 2]], \"dtypes\": [\"bf16\", \"float32\"], "
                "\"set\": {\"round\": [\"once\", \"act\"]}, "
                "\"fills\": [\"normal\", \"nan\"]}"),
        "silu/7x16/bf16\n"
        "silu/7x16/bf16/fill=nan\n"
        "silu/7x16/bf16/round=act\n"
        "silu/7x16/bf16/fill=nan/round=act\n"
        "silu/7x16/fp32\n"
        "silu/7x16/fp32/fill=nan\n"
        "silu/7x16/fp32/round=act\n"
        "silu/7x16/fp32/fill=nan/round=act\n"
        "silu/0x2/bf16\n"
        "silu/0x2/bf16/fill=nan\n"
        "silu/0x2/bf16/round=act\n"
        "silu/0x2/bf16/fill=nan/round=act\n"
        "silu/0x2/fp32\n"
        "silu/0x2/fp32/fill=nan\n"
        "silu/0x2/fp32/round=act\n"
        "silu/0x2/fp32/fill=nan/round=act\n"
        "gelu/7x16/bf16\n"
        "gelu/7x16/bf16/fill=nan\n"
        "gelu/7x16/bf16/round=act\n"
        "gelu/7x16/bf16/fill=nan/round=act\n"
        "gelu/7x16/fp32\n"
        "gelu/7x16/fp32/fill=nan\n"
        "gelu/7x16/fp32/round=act\n"
        "gelu/7x16/fp32/fill=nan/round=act\n"
        "gelu/0x2/bf16\n"
        "gelu/0x2/bf16/fill=nan\n"
        "gelu/0x2/bf16/round=act\n"
        "gelu/0x2/bf16/fill=nan/round=act\n"
        "gelu/0x2/fp32\n"
        "gelu/0x2/fp32/fill=nan\n"
        "gelu/0x2/fp32/round=act\n"
        "gelu/0x2/fp32/fill=nan/round=act\n");
}

static void a_group_needs_why_ops_and_shapes_and_defaults_to_bf16(void **state) {
    (void)state;
    assert_ids(FILE_OF("{\"why\": \"w\", \"ops\": [\"silu\"], \"shapes\": [[1e1, 2]]}, "
                       "{\"why\": \"w\", \"ops\": [\"stream\"], \"shapes\": [[64]]}"),
               "silu/10x2/bf16\nstream/64/bf16\n");
}

static void axes_multiply_into_shapes(void **state) {
    (void)state;
    assert_ids(FILE_OF("{\"why\": \"w\", \"ops\": [\"silu\"], "
                       "\"axes\": {\"hidden\": [768, 9], \"tokens\": [0, 64]}}, "
                       "{\"why\": \"w\", \"ops\": [\"gelu\"], "
                       "\"axes\": {\"hidden\": 3, \"tokens\": 2}}"),
               "silu/0x1536/bf16\n"
               "silu/0x18/bf16\n"
               "silu/64x1536/bf16\n"
               "silu/64x18/bf16\n"
               "gelu/2x6/bf16\n");
}

static void a_setting_may_be_one_value(void **state) {
    (void)state;
    assert_ids(FILE_OF("{\"why\": \"w\", \"ops\": [\"silu\"], \"shapes\": [[1, 2]], "
                       "\"set\": {\"round\": \"act\"}}"),
               "silu/1x2/bf16/round=act\n");
}

static void tolerances_come_from_the_group_or_the_peers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        struct kb_tolerance want[2]; /* bf16, fp32 */
    } table[] = {
        {"", {{KB_TOL_BOUND, 0, 0}, {KB_TOL_BOUND, 0, 0}}},
        {", \"tolerance\": {\"rule\": \"bound\"}",
         {{KB_TOL_BOUND, 0, 0}, {KB_TOL_BOUND, 0, 0}}},
        {", \"tolerance\": {\"rule\": \"peer\"}",
         {{KB_TOL_PEER, 1e-2, 1e-2}, {KB_TOL_PEER, 1e-4, 1e-4}}},
        {", \"tolerance\": {\"rule\": \"peer\", \"atol\": 0.5, \"rtol\": 0}",
         {{KB_TOL_PEER, 0.5, 0}, {KB_TOL_PEER, 0.5, 0}}},
        {", \"tolerance\": {\"rule\": \"given\", \"atol\": 1, \"rtol\": 2}",
         {{KB_TOL_GIVEN, 1, 2}, {KB_TOL_GIVEN, 1, 2}}},
    };
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        struct read r;
        struct kb_buf text = {0};
        kb_buf_printf(&text,
                      FILE_OF("{\"why\": \"w\", \"ops\": [\"silu\"], \"shapes\": [[1, 2]], "
                              "\"dtypes\": [\"bf16\", \"fp32\"]%s}"),
                      table[i].text);
        read_bytes(&r, text.data, text.len);
        assert_string_equal(kb_buf_text(&r.c.text), "");
        for (int k = 0; k < 2; k++) {
            struct kb_case c;
            kb_group_case(kb_groups_at(&r.groups, 0), k, &c);
            assert_true(kb_tolerance_same(&c.tolerance, &table[i].want[k]));
        }
        free_read(&r);
        kb_buf_free(&text);
    }
}

/* ---- counting --------------------------------------------------------------------------
 */

/* A group of n + extra cases: tokens 1..n by two widths, and one more shape list. */
static void add_axis(struct kb_buf *text, const char *name, int n) {
    kb_buf_printf(text, "\"%s\": [1", name);
    for (int i = 2; i <= n; i++)
        kb_buf_printf(text, ",%d", i);
    kb_buf_putc(text, ']');
}

static int64_t count_of(int tokens, int hidden, const char *more, const char **complaint,
                        struct read *r) {
    struct kb_buf text = {0};
    kb_buf_puts(&text,
                "{\"schema\": \"kbench-cases/1\", \"groups\": [{\"why\": \"w\", \"ops\": "
                "[\"silu\"], \"axes\": {");
    add_axis(&text, "tokens", tokens);
    kb_buf_putc(&text, ',');
    add_axis(&text, "hidden", hidden);
    kb_buf_printf(&text, "}}%s]}", more);
    read_bytes(r, text.data, text.len);
    *complaint = kb_buf_text(&r->c.text);
    kb_buf_free(&text);
    return r->groups.count;
}

static void a_hundred_thousand_cases_are_taken_and_not_one_more(void **state) {
    (void)state;
    static const char one_more[] =
        ",{\"why\": \"w\", \"ops\": [\"gelu\"], \"shapes\": [[1,2]]}";
    struct read r;
    const char *complaint;
    assert_int_equal(count_of(1000, 100, "", &complaint, &r), KB_MAX_CASES);
    assert_string_equal(complaint, "");
    free_read(&r);
    count_of(1000, 100, one_more, &complaint, &r);
    assert_non_null(
        strstr(complaint,
               "groups[1]: 100001 cases with those before, at most 100000 are allowed\n"));
    assert_int_equal(r.c.count, 1);
    free_read(&r);
    count_of(1009, 99, one_more, &complaint, &r);
    assert_string_equal(complaint, "");
    assert_int_equal(r.groups.count, 1009 * 99 + 1);
    free_read(&r);
    assert_int_equal(count_of(9091, 11, "", &complaint, &r), 0);
    assert_string_equal(complaint,
                        "cases/mine.json:1:41: error: groups[0]: 100001 cases, at "
                        "most 100000 are allowed\n");
    free_read(&r);
}

static void an_empty_list_does_not_hide_an_explosion(void **state) {
    (void)state;
    struct kb_buf text = {0};
    kb_buf_puts(&text, "\"why\": \"w\", \"ops\": [\"silu\"], \"axes\": { \"tokens\": [], ");
    add_axis(&text, "hidden", KB_MAX_CASES + 1);
    kb_buf_puts(&text, " }");
    assert_group(text.data,
                 "2:1: error: groups[0]: 100001 cases, at most 100000 are allowed\n");
    kb_buf_free(&text);
}

static void a_group_with_a_complaint_gives_no_cases(void **state) {
    (void)state;
    static const char text[] =
        FILE_OF("{\"why\": \"w\", \"ops\": [\"silu\"], \"shapes\": [[1, 2], [1, 3]]}, "
                "{\"ops\": [\"silu\"], \"shapes\": [[1, 2]]}, "
                "{\"why\": \"w\", \"ops\": [\"gelu\"], \"shapes\": [[1, 2]]}");
    struct read r;
    read_bytes(&r, text, strlen(text));
    assert_int_equal(r.c.count, 2);
    assert_int_equal(kb_groups_len(&r.groups), 1);
    assert_string_equal(kb_groups_at(&r.groups, 0)->base->op->name, "gelu");
    free_read(&r);
}

static void a_product_past_64_bits_is_counted_roughly(void **state) {
    (void)state;
    struct kb_buf text = {0};
    kb_buf_puts(&text, GOOD "\"set\": {");
    for (int i = 0; i < 63; i++)
        kb_buf_printf(&text, "%s\"k%d\": [1, 2]", i ? ", " : "", i);
    size_t fits = text.len;
    kb_buf_putc(&text, '}');
    text.data[0] = '"';
    assert_group(text.data,
                 "2:1: error: groups[0]: about 9.22e+18 cases, at most 100000 are "
                 "allowed\n");
    kb_buf_cut(&text, fits - strlen(", \"k62\": [1, 2]"));
    kb_buf_putc(&text, '}');
    assert_group(text.data,
                 "2:1: error: groups[0]: 4611686018427387904 cases, at most 100000 "
                 "are allowed\n");
    kb_buf_free(&text);
}

/* ---- damage ----------------------------------------------------------------------------
 */

static const char sample[] =
    "{ \"schema\": \"kbench-cases/1\",\n"
    "  \"groups\": [\n"
    "    { \"why\": \"caf\\u00e9 and caf\xc3\xa9\",\n"
    "      \"ops\": [\"silu\", \"gelu\"], \"dtypes\": [\"bf16\", \"fp32\"],\n"
    "      \"shapes\": [[7, 16], [2, 3, 512]], \"set\": {\"round\": [\"once\", \"act\"]},\n"
    "      \"tolerance\": { \"rule\": \"peer\", \"atol\": 1e-2, \"rtol\": 1e-2 },\n"
    "      \"tags\": [\"ci\", \"full\"] },\n"
    "    { \"why\": \"axes\", \"ops\": [\"silu\"], \"fills\": [\"nan\"],\n"
    "      \"axes\": { \"tokens\": [1, 64], \"hidden\": 768 } } ] }\n";

static void every_part_of_a_file_but_the_whole_is_refused(void **state) {
    (void)state;
    size_t whole = sizeof sample - 2; /* without the newline it is complete as well */
    for (size_t size = 0; size < whole; size++) {
        struct read r;
        char *exact = test_malloc(size + 1); /* so that a sanitizer sees the end */
        memcpy(exact, sample, size);
        exact[size] = '\0';
        read_bytes(&r, exact, size);
        assert_int_equal(r.c.count, 1);
        assert_int_equal(r.groups.count, 0);
        free_read(&r);
        test_free(exact);
    }
    assert_complaints(sample, "");
}

/* Whatever was changed: complaints, or groups that can be read from end to end. */
static void a_damaged_file_is_refused_or_read_like_any_other(void **state) {
    (void)state;
    static const char alphabet[] = "{}[]\",:\\0123456789-+.eE \nabcdefx_=/\xc3\xa9\x1b";
    uint64_t draws = 0;
    int refused = 0;
    for (int round = 0; round < 2000; round++) {
        struct read r;
        char text[sizeof sample];
        uint32_t words[4];
        memcpy(text, sample, sizeof sample);
        kb_philox(0xedc5, 1, draws++, words);
        for (uint32_t edit = 0; edit <= words[3] % 3; edit++) {
            uint32_t more[4];
            kb_philox(0xedc5, 2, draws++, more);
            text[more[0] % (sizeof sample - 1)] =
                more[1] % 4 ? alphabet[more[2] % (sizeof alphabet - 1)] : (char)more[2];
        }
        read_bytes(&r, text, sizeof sample - 1);
        refused += r.c.count > 0;
        assert_true(r.c.count || r.groups.count >= 2);
        assert_true(r.groups.count <= KB_MAX_CASES);
        for (size_t g = 0; g < kb_groups_len(&r.groups); g++)
            for (int64_t i = 0; i < kb_group_count(kb_groups_at(&r.groups, g)); i++) {
                struct kb_case c;
                struct kb_problem p;
                struct kb_err err = {0};
                kb_group_case(kb_groups_at(&r.groups, g), i, &c);
                assert_true(kb_case_resolve(&c, &p, &err));
            }
        free_read(&r);
    }
    assert_in_range(refused, 1000, 1990); /* most damage is seen, a digit's is not */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_multiply_the_last_fastest),
        cmocka_unit_test(a_group_needs_why_ops_and_shapes_and_defaults_to_bf16),
        cmocka_unit_test(axes_multiply_into_shapes),
        cmocka_unit_test(a_setting_may_be_one_value),
        cmocka_unit_test(tolerances_come_from_the_group_or_the_peers),
        cmocka_unit_test(a_hundred_thousand_cases_are_taken_and_not_one_more),
        cmocka_unit_test(an_empty_list_does_not_hide_an_explosion),
        cmocka_unit_test(a_group_with_a_complaint_gives_no_cases),
        cmocka_unit_test(a_product_past_64_bits_is_counted_roughly),
        cmocka_unit_test(every_part_of_a_file_but_the_whole_is_refused),
        cmocka_unit_test(a_damaged_file_is_refused_or_read_like_any_other),
    };
    return cmocka_run_group_tests_name("casefile", tests, NULL, NULL);
}
