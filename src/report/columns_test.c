/* columns_test.c - the columns that --columns names, and rows in the order of one. */
#include "report/sample_view.h"

static void choose(struct view *v, const char *const *words, int n) {
    for (int i = 0; i < n; i++)
        assert_true(kb_column_parse(words[i], false, &v->plan.columns[i]));
    v->plan.n_columns = n;
}

static void columns_asked_for_stand_in_their_order(void **state) {
    struct view *v = *state;
    static const char *const words[] = {"ceiling", "cold", "registers", "graph", "build"};
    struct kb_row row = sample_row();
    sample_time(&row, KB_GRAPH, 1220.1);
    sample_time(&row, KB_COLD, 4810);
    sample_code(&row);
    choose(v, words, 5);
    make_table(v, 0);
    kb_table_head(&v->table, &v->text);
    assert_non_null(strstr(kb_buf_text(&v->text),
                           "   ceiling   cold us  registers  graph us  build\n"));
    kb_buf_clear(&v->text);
    kb_table_row(&v->table, &row, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "PASS  gelu_tanh/83x1024/bf16               97 %      4.81         22  "
        "    1.22  precise\n");
}

static void columns_asked_for_stay_where_there_is_no_room(void **state) {
    struct view *v = *state;
    static const char *const words[] = {"ulp", "gb_per_s", "ceiling", "error"};
    choose(v, words, 4);
    make_table(v, 40);
    assert_int_equal(v->table.n_columns, 4);
}

static void rows_can_be_told_apart_whatever_is_asked_for(void **state) {
    struct view *v = *state;
    static const char *const words[] = {"ulp", "build"};
    v->plan.many_variants = v->plan.many_builds = true;
    choose(v, words, 2);
    make_table(v, 0);
    assert_int_equal(v->table.n_columns, 3);
    assert_string_equal(v->table.columns[0].head, "variant");
    assert_string_equal(v->table.columns[2].head, "build");
}

/* Rate and ceiling are those of the method whose time is in the table. */
static void the_rate_is_of_the_first_method(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_time(&row, KB_COLD, 4810);
    row.times[KB_COLD].gb_per_s = 53;
    v->plan.methods[0] = KB_COLD;
    make_table(v, 0);
    kb_table_row(&v->table, &row, &v->text);
    assert_non_null(strstr(kb_buf_text(&v->text), "4.81    53.0"));
}

static void a_build_shows_what_it_took_or_that_the_cache_had_it(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_code(&row);
    row.code.compile_ms = 47.1;
    row.code.load_ms = 0.21;
    v->plan.layout = KB_LAYOUT_BUILD;
    make_table(v, 0);
    kb_table_head(&v->table, &v->text);
    assert_non_null(strstr(kb_buf_text(&v->text), "  compiled  loaded\n"));
    kb_buf_clear(&v->text);
    kb_table_row(&v->table, &row, &v->text);
    assert_non_null(strstr(kb_buf_text(&v->text), "     47 ms  0.2 ms\n"));
    row.code.cached = true;
    row.code.load_ms = 0; /* of the host, which loads nothing */
    kb_table_row(&v->table, &row, &v->text);
    assert_non_null(strstr(kb_buf_text(&v->text), "    cached       -\n"));
}

static void every_word_is_a_column_and_no_other_is(void **state) {
    struct view *v = *state;
    struct kb_strings words = {0}, keys = {0};
    struct kb_column_choice choice;
    kb_column_words(false, &v->arena, &words);
    kb_column_words(true, &v->arena, &keys);
    assert_int_equal(keys.count, words.count + 2);
    for (size_t i = 0; i < keys.count; i++) {
        assert_true(kb_column_parse(keys.items[i], true, &choice));
        assert_true(kb_column_parse(keys.items[i], false, &choice) ==
                    kb_strings_has(&words, keys.items[i]));
    }
    assert_false(kb_column_parse("us", true, &choice));
    assert_false(kb_column_parse("", true, &choice));
}

/* ---- order -----------------------------------------------------------------------------
 */

static const char *sorted(struct view *v, const char *key, const struct kb_row *rows,
                          int n) {
    struct kb_sorter sorter = {0};
    kb_buf_clear(&v->text);
    assert_true(kb_column_parse(key, true, &sorter.by));
    for (int i = 0; i < n; i++) {
        const char line[] = {(char)('a' + i), '\0'};
        kb_sorter_add(&sorter, &rows[i], line);
    }
    kb_sorter_print(&sorter, &v->text);
    kb_sorter_free(&sorter);
    return kb_buf_text(&v->text);
}

static void the_worst_comes_first_and_what_has_no_number_last(void **state) {
    struct view *v = *state;
    struct kb_row rows[4] = {sample_row(), sample_row(), sample_row(), sample_row()};
    sample_time(&rows[1], KB_GRAPH, 1000);
    sample_time(&rows[2], KB_GRAPH, 2000);
    sample_time(&rows[3], KB_GRAPH, 1000);
    rows[1].times[KB_GRAPH].ceiling = 0.5;
    rows[2].times[KB_GRAPH].ceiling = 0.4;
    assert_string_equal(sorted(v, "graph", rows, 4), "cbda");
    assert_string_equal(sorted(v, "ceiling", rows, 4), "cbda");
    rows[0].outputs[0].err_over_bound = 0.01;
    rows[2].outputs[0].err_over_bound = INFINITY;
    assert_string_equal(sorted(v, "error", rows, 4), "cbda");
}

static void names_are_in_order_with_their_numbers(void **state) {
    struct view *v = *state;
    struct kb_row rows[3] = {sample_row(), sample_row(), sample_row()};
    rows[0].case_id = "silu/83x1024/bf16";
    rows[1].case_id = "silu/7x16/bf16";
    rows[2].case_id = "gelu/83x1024/bf16";
    assert_string_equal(sorted(v, "case", rows, 3), "cba");
}

static void failures_come_before_what_passed(void **state) {
    struct view *v = *state;
    struct kb_row rows[4] = {sample_row(), sample_row(), sample_row(), sample_row()};
    sample_end(&rows[1], KB_R_MEMORY, "needs 206 GB");
    sample_unwritten(&rows[2]);
    sample_end(&rows[3], KB_R_COMPILE, "no");
    assert_string_equal(sorted(v, "verdict", rows, 4), "cdba");
}

static void many_rows_keep_their_order_where_they_are_equal(void **state) {
    struct view *v = *state;
    struct kb_sorter sorter = {0};
    struct kb_row row = sample_row();
    assert_true(kb_column_parse("build", true, &sorter.by));
    for (int i = 0; i < 1000; i++) {
        const char line[] = {(char)('0' + i / 100), '\0'};
        kb_sorter_add(&sorter, &row, line);
    }
    kb_sorter_print(&sorter, &v->text);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(v->text.data[i], '0' + i / 100);
    kb_sorter_free(&sorter);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(columns_asked_for_stand_in_their_order),
        TEST(columns_asked_for_stay_where_there_is_no_room),
        TEST(rows_can_be_told_apart_whatever_is_asked_for),
        TEST(the_rate_is_of_the_first_method),
        TEST(a_build_shows_what_it_took_or_that_the_cache_had_it),
        TEST(every_word_is_a_column_and_no_other_is),
        TEST(the_worst_comes_first_and_what_has_no_number_last),
        TEST(names_are_in_order_with_their_numbers),
        TEST(failures_come_before_what_passed),
        TEST(many_rows_keep_their_order_where_they_are_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
