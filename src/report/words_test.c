/* words_test.c - what is wrong with a row, and where, in words. */
#include "report/sample_view.h"

static void scattered_unwritten_elements_are_counted(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_unwritten(&row);
    row.outputs[0].first_bad = 496;
    kb_row_words(&row, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "1536 of 42496 elements were never written: the poison is still in "
                        "them; the rest is right");
    kb_buf_clear(&v->text);
    row.outputs[0].over = 1540;
    kb_row_words(&row, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "1536 of 42496 elements were never written: the poison is still in "
                        "them; 4 others are wrong");
    kb_buf_clear(&v->text);
    row.outputs[0].unwritten = row.outputs[0].over = 42496;
    kb_row_words(&row, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "nothing was written, none of 42496 elements");
}

static void a_sampled_failure_counts_what_was_checked_and_says_so(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    struct kb_output_report *o = &row.outputs[0];
    kb_sampled_words(&row, &v->text);
    assert_string_equal(kb_buf_text(&v->text), "");
    o->checked = 10 * 512;
    kb_row_words(&row, &v->text);
    assert_string_equal(kb_buf_text(&v->text), "");
    sample_unwritten(&row);
    kb_row_words(&row, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "rows 80..82 never written, 1536 of 5120 checked elements; the "
                        "rest is right; checked 10 of 83 rows");
    kb_buf_clear(&v->text);
    kb_row_rest(&row, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "right: 3584 elements; guards and inputs untouched");
    kb_buf_clear(&v->text);
    o->unwritten = o->over = 5120;
    kb_row_words(&row, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "nothing was written, none of 5120 checked elements; checked 10 of "
                        "83 rows");
    kb_buf_clear(&v->text);
    o->unwritten = 0;
    sample_mismatch(&row);
    kb_row_what(&row, &v->text);
    assert_true(
        kb_starts_with(kb_buf_text(&v->text), "1841 of 5120 checked past the bound"));
}

static void lines_are_folded_between_columns_and_colours_take_none(void **state) {
    struct view *v = *state;
    kb_fold("SLOWER   silu/1   1.00 -> 1.20 us   +20.0 %\nshort\n", 9, 36, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "SLOWER   silu/1   1.00 -> 1.20 us\n         +20.0 %\nshort\n");
    kb_buf_clear(&v->text);
    kb_fold("\033[31mSLOWER\033[0m   silu/1   1.00 -> 1.20 us   +20.0 %", 9, 43, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "\033[31mSLOWER\033[0m   silu/1   1.00 -> 1.20 us   +20.0 %\n");
    kb_buf_clear(&v->text);
    kb_fold("a sentence of words alone", 2, 14, &v->text);
    assert_string_equal(kb_buf_text(&v->text), "a sentence of\n  words alone\n");
    kb_buf_clear(&v->text);
    kb_fold("nothing_to_break_at_here", 2, 10, &v->text);
    assert_string_equal(kb_buf_text(&v->text), "nothing_to_break_at_here\n");
    kb_buf_clear(&v->text);
    kb_fold("a   b", 2, 0, &v->text);
    assert_string_equal(kb_buf_text(&v->text), "a   b\n");
}

static void
what_must_stay_and_did_not_is_told_with_the_rest_and_the_convention(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    struct kb_output_report *o = &row.outputs[0];
    sample_mismatch(&row);
    row.reason = KB_R_TOUCHED;
    o->touched = 1841;
    o->follows = "without the filter";
    kb_row_words(&row, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "1841 of 42496 elements were written to, though they must stay as "
                        "they were; matches without the filter");
    kb_buf_clear(&v->text);
    o->touched = 1800;
    o->follows_over = 3;
    kb_row_words(&row, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "1800 of 42496 elements were written to, though they must stay as "
        "they were; 41 others are wrong; matches without the filter but for "
        "3 elements");
    kb_buf_clear(&v->text);
    o->follows = NULL;
    o->unwritten = 41;
    kb_row_words(&row, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "1800 of 42496 elements were written to, though they must stay as "
                        "they were; 41 others were never written");
}

static void a_mismatch_names_its_rule_and_its_worst_element(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_mismatch(&row);
    kb_row_words(&row, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "1841 of 42496 past the bound; worst [27, 137]: got 0.00104523, want "
        "0.00014077, 948 ulp; the peers' 1e-2 + 1e-2*|want| would pass it");
    kb_buf_clear(&v->text);
    row.outputs[0].tolerance = (struct kb_tolerance){KB_TOL_GIVEN, 1e-5, 0};
    row.outputs[0].kind_mismatches = 2;
    kb_row_words(&row, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "1841 of 42496 past 1e-5 + 0*|want|, 2 where one of got and want is "
        "NaN or infinite; worst [27, 137]: got 0.00104523, want 0.00014077, "
        "948 ulp");
    kb_buf_clear(&v->text);
    row.outputs[0].follows = "round=act";
    kb_row_words(&row, &v->text);
    assert_non_null(strstr(kb_buf_text(&v->text), ", 948 ulp; matches round=act"));
}

static void where_is_told_as_far_as_the_ends_tell(void **state) {
    struct view *v = *state;
    static const struct {
        int64_t first, last, over;
        const char *words;
    } places[] = {
        {137, 137, 1, "[0, 137]"},
        {0, 511, 512, "row 0"},
        {512, 2047, 1536, "rows 1..3"},
        {82 * 512, 83 * 512 - 1, 512, "row 82, the last of 83"},
        {496, 499, 4, "columns 496..499 of row 0"},
        {500, 600, 101, "[0, 500] to [1, 88] without a gap"},
        {496, 83 * 512 - 13, 332, "between [0, 496] and [82, 499]"},
        {-1, -1, 0, ""},
    };
    for (size_t i = 0; i < KB_COUNT(places); i++) {
        struct kb_row row = sample_row();
        row.outputs[0].first_bad = places[i].first;
        row.outputs[0].last_bad = places[i].last;
        row.outputs[0].over = places[i].over;
        kb_buf_clear(&v->text);
        kb_where_words(&row.outputs[0], &v->text);
        assert_string_equal(kb_buf_text(&v->text), places[i].words);
    }
}

static void a_place_with_a_form_begins_the_sentence(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_unwritten(&row);
    sample_local(&row, "columns 4..7 of every row", "8 = 1 * 4 + 4");
    kb_row_words(&row, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "columns 4..7 of every row never written, 1536 of 42496 elements; "
                        "the rest is right");
    kb_buf_clear(&v->text);
    kb_where_words(&row.outputs[0], &v->text);
    assert_string_equal(kb_buf_text(&v->text), "columns 4..7 of every row: 8 = 1 * 4 + 4");
    kb_buf_clear(&v->text);
    kb_row_rest(&row, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "right: 0.02 of bound, max 0.50 ulp over 40960 elements; guards "
                        "and inputs untouched");
    /* Others are wrong: the words are not of what was not written alone. */
    kb_buf_clear(&v->text);
    row.outputs[0].over = 1540;
    kb_row_words(&row, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "1536 of 42496 elements were never written: the poison is still in "
                        "them; 4 others are wrong");
}

static void a_mismatch_tells_where_what_of_and_what_it_holds(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_mismatch(&row);
    sample_local(&row, "columns 4..7 of every row", NULL);
    struct kb_local local = *row.outputs[0].local;
    row.outputs[0].local = &local;
    local.inputs = "93 % of them where gate < 0";
    local.holds = "each holds 0";
    kb_row_words(&row, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "1841 of 42496 past the bound, columns 4..7 of every row, 93 % of them where gate "
        "< 0; worst [27, 137]: got 0.00104523, want 0.00014077, 948 ulp; each holds 0; the "
        "peers' 1e-2 + 1e-2*|want| would pass it");
    /* The screen has a line for where. */
    kb_buf_clear(&v->text);
    kb_row_what(&row, &v->text);
    assert_true(
        kb_starts_with(kb_buf_text(&v->text), "1841 of 42496 past the bound; worst"));
    /* What says nothing is not said. */
    local = (struct kb_local){.pattern = KB_P_SCATTERED, .where = "scattered"};
    kb_buf_clear(&v->text);
    kb_row_words(&row, &v->text);
    assert_true(
        kb_starts_with(kb_buf_text(&v->text), "1841 of 42496 past the bound; worst"));
}

static void other_outputs_are_told_with_the_rest(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_mismatch(&row);
    row.outputs[1] = row.outputs[2] = row.outputs[0];
    row.outputs[1].name = "scales";
    row.outputs[2].name = "ids";
    row.outputs[2].over = 0;
    row.n_outputs = 3;
    sample_local(&row, "row 7", NULL);
    row.outputs[1].local = row.outputs[0].local;
    kb_row_rest(&row, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "right: 0.02 of bound, max 0.50 ulp over 40655 elements; scales: "
                        "1841 of 42496 wrong, row 7; ids: right; guards and inputs "
                        "untouched");
}

static void the_smallest_case_is_told_by_what_differs(void **state) {
    struct view *v = *state;
    static const struct {
        struct kb_smallest smallest;
        const char *words;
    } list[] = {
        {{.case_id = "gelu_tanh/1x18/bf16",
          .where = "column 8 of 9",
          .passes = "gelu_tanh/1x16/bf16",
          .whole = "gelu_tanh/1x2/bf16",
          .done = true},
         "1x18 fails (column 8 of 9), 1x16 passes; 1x2 fails as a whole"},
        {{.case_id = "gelu_tanh/1x18/bf16/fill=nan", .done = true},
         "gelu_tanh/1x18/bf16/fill=nan fails"},
        {{.case_id = "gelu_tanh/83x1024/bf16",
          .passes = "gelu_tanh/83x1022/bf16",
          .done = true},
         "no smaller case was found to fail, 83x1022 passes"},
        {{.case_id = "gelu_tanh/1x18/bf16", .tried = 40},
         "1x18 fails; after 40 cases the time was over"},
    };
    for (size_t i = 0; i < KB_COUNT(list); i++) {
        struct kb_row row = sample_row();
        row.smallest = &list[i].smallest;
        kb_buf_clear(&v->text);
        kb_smallest_words(&row, &v->text);
        assert_string_equal(kb_buf_text(&v->text), list[i].words);
    }
}

static void the_status_of_a_run_is_its_worst_and_3_where_all_was_skipped(void **state) {
    struct view *v = *state;
    static const struct {
        enum kb_reason reasons[3];
        int n, status;
    } runs[] = {
        {{KB_R_NONE}, 0, 0},
        {{KB_R_NONE, KB_R_VARIANT}, 2, 0},
        {{KB_R_VARIANT, KB_R_MEMORY}, 2, 3},
        {{KB_R_NONE, KB_R_IMPOSTOR}, 2, 3},
        {{KB_R_IMPOSTOR, KB_R_MISMATCH}, 2, 1},
        {{KB_R_MISMATCH, KB_R_COMPILE}, 2, 5},
        {{KB_R_COMPILE, KB_R_CRASH, KB_R_MISMATCH}, 3, 6},
        {{KB_R_CRASH, KB_R_IO, KB_R_NONE}, 3, 7},
    };
    for (size_t i = 0; i < KB_COUNT(runs); i++) {
        struct kb_tally *tally = kb_arena_alloc(&v->arena, sizeof *tally);
        for (int k = 0; k < runs[i].n; k++) {
            struct kb_row row = sample_row();
            row.reason = runs[i].reasons[k];
            kb_tally_add(tally, &row);
        }
        assert_int_equal(kb_tally_status(tally), runs[i].status);
    }
}

static void lines_break_at_spaces_and_keep_their_own_breaks(void **state) {
    struct view *v = *state;
    kb_wrap("one two three\n  four averyverylongword", 4, 2, 12, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "one two\n  three\n    four\n  averyverylongword");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(scattered_unwritten_elements_are_counted),
        TEST(a_sampled_failure_counts_what_was_checked_and_says_so),
        TEST(lines_are_folded_between_columns_and_colours_take_none),
        TEST(what_must_stay_and_did_not_is_told_with_the_rest_and_the_convention),
        TEST(a_mismatch_names_its_rule_and_its_worst_element),
        TEST(where_is_told_as_far_as_the_ends_tell),
        TEST(a_place_with_a_form_begins_the_sentence),
        TEST(a_mismatch_tells_where_what_of_and_what_it_holds),
        TEST(other_outputs_are_told_with_the_rest),
        TEST(the_smallest_case_is_told_by_what_differs),
        TEST(the_status_of_a_run_is_its_worst_and_3_where_all_was_skipped),
        TEST(lines_break_at_spaces_and_keep_their_own_breaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
