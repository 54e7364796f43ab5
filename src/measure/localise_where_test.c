/* localise_where_test.c - each pattern is told in words that are true, and what only nearly
 * has its form is not called by it. */
#include "mask_fixture.h"

/* A number below 1000 that looks drawn, of each flat index. */
static int drawn(int64_t i) {
    uint32_t words[4];
    kb_philox(7, 0, (uint64_t)i, words);
    return (int)(words[0] % 1000);
}

struct expected {
    struct output output;
    is_wrong *wrong;
    enum kb_pattern pattern;
    const char *where, *why;
};

/* The bits of a case, through the search; returns whether the words are the ones wanted. */
static bool is_told(const struct expected *e) {
    struct kb_arena arena = {0};
    struct kb_local local = {0};
    struct kb_mask mask = mask_of(&e->output, e->wrong);
    kb_mask_where(&mask, &arena, &local);
    bool same = local.pattern == e->pattern && kb_streq(local.where, e->where) &&
                kb_streq(local.why ? local.why : "", e->why ? e->why : "");
    if (!same)
        print_message("got  %s \"%s\" (%s)\nwant %s \"%s\" (%s)\n",
                      kb_pattern_word(local.pattern), local.where, local.why,
                      kb_pattern_word(e->pattern), e->where, e->why);
    assert_true(local.inside <= local.named && local.inside <= mask.wrong);
    kb_set_free(&mask.set);
    kb_arena_free(&arena);
    return same;
}

static void check_all(const struct expected *list, size_t n) {
    bool all = true;
    for (size_t i = 0; i < n; i++)
        all &= is_told(&list[i]);
    assert_true(all);
}

/* ---- rows ------------------------------------------------------------------------------
 */

static bool last_row(struct place at) {
    return at.row == 82;
}
static bool all_but_first_row(struct place at) {
    return at.row > 0;
}
static bool all_but_row_five(struct place at) {
    return at.row != 5;
}
static bool odd_rows(struct place at) {
    return at.row % 2 == 1;
}
static bool rows_mod_16(struct place at) {
    return at.row % 16 == 3;
}
static bool two_rows(struct place at) {
    return at.row == 3 || at.row == 44;
}
static bool drawn_rows(struct place at) {
    return drawn(at.row) < 300;
}
static bool last_three_rows_nearly(struct place at) {
    return at.row >= 80 && drawn(at.flat) >= 20;
}
static bool last_three_rows_and_some(struct place at) {
    return at.row >= 80 || at.flat % 1500 == 7;
}
static bool one_head(struct place at) {
    return at.row % 4 == 2;
}
static bool one_token(struct place at) {
    return at.row / 4 == 5;
}

static void whole_rows_are_told_as_a_range_a_residue_or_a_list(void **state) {
    (void)state;
    static const struct output o = {2, {83, 512}};
    const struct expected list[] = {
        {o, last_three_rows, KB_P_ROWS, "rows 80..82",
         "83 = 20 * 4 + 3, the tail after the last full 4"},
        {o, last_row, KB_P_ROWS, "row 82", "the last of 83"},
        {o, all_but_first_row, KB_P_ROWS, "rows 1..82", "all but the first"},
        {o, all_but_row_five, KB_P_ROWS, "all rows but 5", NULL},
        {o, odd_rows, KB_P_ROWS, "odd rows", NULL},
        {o, rows_mod_16, KB_P_ROWS, "rows 3, 19, 35, ...", "row mod 16 = 3"},
        {o, two_rows, KB_P_ROWS, "rows 3, 44", NULL},
        {o, drawn_rows, KB_P_ROWS, "15 of 83 rows (3, 11, 14, 22, ...)", NULL},
        {o, last_three_rows_nearly, KB_P_ROWS, "rows 80..82, 1500 of 1536 there",
         "83 = 20 * 4 + 3, the tail after the last full 4"},
        {o, last_three_rows_and_some, KB_P_ROWS, "rows 80..82, and 28 elsewhere",
         "83 = 20 * 4 + 3, the tail after the last full 4"},
        {{3, {16, 4, 64}}, one_head, KB_P_ROWS, "slice 2 of axis 1", NULL},
        {{3, {16, 4, 64}}, one_token, KB_P_ROWS, "slice 5 of axis 0", NULL},
    };
    check_all(list, KB_COUNT(list));
}

/* ---- columns ---------------------------------------------------------------------------
 */

static bool tail_columns(struct place at) {
    return at.column >= 496;
}
static bool first_column(struct place at) {
    return at.column == 0;
}
static bool column_seven(struct place at) {
    return at.column == 7;
}
static bool second_half(struct place at) {
    return at.column >= 256;
}
static bool block_of_columns(struct place at) {
    return at.column / 64 == 3;
}
static bool even_columns(struct place at) {
    return at.column % 2 == 0;
}
static bool upper_lanes(struct place at) {
    return at.column % 32 >= 16;
}
static bool lanes_of_eight(struct place at) {
    return at.column % 8 == 1 || at.column % 8 == 4;
}
static bool mod_96(struct place at) {
    return at.column % 96 == 5;
}
static bool lane_nearly(struct place at) {
    return at.column % 8 == 3 && drawn(at.flat) >= 15;
}
static bool all_but_lane_three(struct place at) {
    return at.column % 4 != 3;
}

static void columns_of_every_row_are_told_with_the_arithmetic_of_a_tail(void **state) {
    (void)state;
    static const struct output o = {2, {83, 500}}, p = {2, {83, 512}};
    const struct expected list[] = {
        {o, tail_columns, KB_P_COLUMNS, "columns 496..499 of every row",
         "500 = 62 * 8 + 4, the tail after the last full 8"},
        {p, tail_columns, KB_P_COLUMNS, "columns 496..511 of every row",
         "the last 16 of 512"},
        {o, first_column, KB_P_COLUMNS, "column 0 of every row", "the first of 500"},
        {o, column_seven, KB_P_COLUMNS, "column 7 of every row", NULL},
        {p, second_half, KB_P_COLUMNS, "columns 256..511 of every row", "the second half"},
        {p, block_of_columns, KB_P_COLUMNS, "columns 192..255 of every row",
         "one block of 64, from 3 * 64 on"},
        {p, even_columns, KB_P_COLUMNS, "even columns of every row", NULL},
        {p, upper_lanes, KB_P_COLUMNS, "columns with column mod 32 = 16..31 of every row",
         "the upper half of each 32"},
        {o, lanes_of_eight, KB_P_COLUMNS, "columns with column mod 8 = 1, 4 of every row",
         NULL},
        {p, mod_96, KB_P_COLUMNS, "columns 5, 101, 197, ... of every row",
         "column mod 96 = 5"},
        {p, lane_nearly, KB_P_COLUMNS,
         "columns 3, 11, 19, ... of every row, 5225 of 5312 there", "column mod 8 = 3"},
        {p, all_but_lane_three, KB_P_COLUMNS,
         "columns with column mod 4 = 0..2 of every row", NULL},
        {{2, {1, 500}},
         tail_columns,
         KB_P_COLUMNS,
         "columns 496..499",
         "500 = 62 * 8 + 4, the tail after the last full 8"},
        {{1, {500}},
         tail_columns,
         KB_P_COLUMNS,
         "elements 496..499",
         "500 = 62 * 8 + 4, the tail after the last full 8"},
    };
    check_all(list, KB_COUNT(list));
}

/* ---- tiles, elements, all
 * -----------------------------------------------------------------
 */

static bool a_tile(struct place at) {
    return at.row / 16 == 2 && at.column / 64 == 7;
}
static bool a_lane_of_odd_rows(struct place at) {
    return at.row % 2 && at.column % 8 == 5;
}
static bool one_element(struct place at) {
    return at.flat == 27 * 512 + 137;
}
static bool last_of_nine(struct place at) {
    return at.column == 8;
}
static bool nearly_every(struct place at) {
    return drawn(at.flat) >= 30;
}

static void tiles_single_elements_and_all_of_them_are_told(void **state) {
    (void)state;
    static const struct output o = {2, {83, 512}}, p = {2, {83, 500}};
    const struct expected list[] = {
        {o, a_tile, KB_P_TILE, "columns 448..511 of rows 32..47",
         "the last 64 of 512; rows: one block of 16, from 2 * 16 on"},
        {p, tails_of_last_rows, KB_P_TILE, "columns 496..499 of rows 80..82",
         "500 = 62 * 8 + 4, the tail after the last full 8; rows: 83 = 20 * 4 + 3, the "
         "tail after the last full 4"},
        {o, a_lane_of_odd_rows, KB_P_TILE, "columns 5, 13, 21, ... of odd rows",
         "column mod 8 = 5"},
        {o, one_element, KB_P_ELEMENT, "[27, 137]", NULL},
        {{2, {1, 9}}, last_of_nine, KB_P_ELEMENT, "column 8 of 9", "the last element"},
        {{2, {1, 9}}, every, KB_P_EVERYWHERE, "every element", NULL},
        {o, every, KB_P_EVERYWHERE, "every element", NULL},
        {o, nearly_every, KB_P_EVERYWHERE, "everywhere but in 1306 elements", NULL},
    };
    check_all(list, KB_COUNT(list));
}

/* ---- flat indices
 * -------------------------------------------------------------------------
 */

static bool from_the_middle_to_the_end(struct place at) {
    return at.flat >= 41148;
}
static bool from_20_times_2048(struct place at) {
    return at.flat >= 40960;
}
static bool a_flat_block(struct place at) {
    return at.flat / 256 == 37;
}
static bool flat_third(struct place at) {
    return at.flat % 3 == 1;
}
static bool flat_lanes(struct place at) {
    return at.flat % 32 >= 16;
}
static bool some_blocks(struct place at) {
    return drawn(at.row / 16 * 100 + at.column / 64) < 300;
}
static bool some_flat_blocks(struct place at) {
    return drawn(at.flat / 256) < 300;
}

static void what_rows_do_not_tell_is_told_by_flat_index(void **state) {
    (void)state;
    static const struct output o = {2, {83, 512}}, p = {2, {83, 511}}, q = {2, {80, 512}};
    const struct expected list[] = {
        {o, from_the_middle_to_the_end, KB_P_RUN, "from [80, 188] to the end without a gap",
         "the last 1348 of 42496 elements"},
        {p, from_20_times_2048, KB_P_RUN, "from [80, 80] to the end without a gap",
         "42413 = 20 * 2048 + 1453, the tail after the last full 2048"},
        {p, a_flat_block, KB_P_RUN, "from [18, 274] to [19, 18] without a gap",
         "one block of 256 elements, from 37 * 256 on"},
        {p, flat_third, KB_P_RESIDUE, "flat index mod 3 = 1", NULL},
        {p, flat_lanes, KB_P_RESIDUE, "flat index mod 32 = 16..31", NULL},
        {q, some_blocks, KB_P_BLOCKS,
         "12 of 40 blocks of 16 rows x 64 columns, the first at [0, 192]", NULL},
        {p, some_flat_blocks, KB_P_BLOCKS,
         "41 of 166 blocks of 256 elements by flat index, the first at [1, 257]", NULL},
    };
    check_all(list, KB_COUNT(list));
}

/* ---- no pattern
 * ---------------------------------------------------------------------------
 */

static bool a_third(struct place at) {
    return drawn(at.flat) < 333;
}
static bool five_of_all(struct place at) {
    return at.flat % 8501 == 77;
}
static bool some_of_last_rows(struct place at) {
    return at.row >= 80 && drawn(at.flat) < 300;
}
static bool some_of_even_columns(struct place at) {
    return at.column % 2 == 0 && drawn(at.flat) < 300;
}
static bool three_of_a_row(struct place at) {
    return at.row == 3 && (at.column == 1 || at.column == 4 || at.column == 6);
}
static bool half_of_a_tile(struct place at) {
    return at.row / 16 == 2 && at.column / 64 == 7 && drawn(at.flat) < 500;
}

static void what_has_no_pattern_is_scattered(void **state) {
    (void)state;
    static const struct output o = {2, {83, 512}}, small = {2, {7, 8}};
    const struct expected list[] = {
        {o, a_third, KB_P_SCATTERED, "scattered", NULL},
        {o, five_of_all, KB_P_SCATTERED, "scattered", NULL},
        {o, some_of_last_rows, KB_P_SCATTERED,
         "scattered over rows 80..82, 501 of 1536 there",
         "83 = 20 * 4 + 3, the tail after the last full 4"},
        {o, some_of_even_columns, KB_P_SCATTERED,
         "scattered over even columns of all rows, 6386 of 21248 there", NULL},
        {o, half_of_a_tile, KB_P_SCATTERED,
         "scattered over columns 448..511 of rows 32..47, 514 of 1024 there",
         "the last 64 of 512; rows: one block of 16, from 2 * 16 on"},
        {small, a_third, KB_P_SCATTERED, "scattered", NULL},
        {small, three_of_a_row, KB_P_TILE, "columns 1, 4, 6 of row 3", NULL},
    };
    check_all(list, KB_COUNT(list));
}

/* ---- near misses
 * --------------------------------------------------------------------------
 */

static bool three_apart(struct place at) {
    return at.row == 10 || at.row == 30 || at.row == 50;
}
static bool a_lane_but_once(struct place at) {
    return at.column % 8 == 3 && at.column != 131;
}
static bool tail_and_one_more(struct place at) {
    return at.column >= 495;
}
static bool all_but_one(struct place at) {
    return at.flat != 777;
}
static bool two_neighbours(struct place at) {
    return at.flat == 511 || at.flat == 512;
}

/* Four of forty-eight columns are right, by accident. */
static bool some_columns_with_gaps(struct place at) {
    return at.column >= 16 && at.column < 64 && at.column != 20 && at.column != 33 &&
           at.column != 45 && at.column != 55;
}
static bool half_of_the_columns(struct place at) {
    return at.column < 64 && drawn(at.column) < 500;
}

static void gaps_in_a_range_are_no_list(void **state) {
    (void)state;
    static const struct output o = {2, {3, 512}};
    const struct expected list[] = {
        {o, some_columns_with_gaps, KB_P_COLUMNS,
         "columns 16..63 of every row, 132 of 144 there", NULL},
        {o, half_of_the_columns, KB_P_COLUMNS,
         "30 of 512 columns (0, 2..3, 6..8, 11, ...) of every row", NULL},
    };
    check_all(list, KB_COUNT(list));
}

static void what_only_nearly_has_a_form_is_not_called_by_it(void **state) {
    (void)state;
    static const struct output o = {2, {83, 512}}, p = {2, {83, 500}};
    const struct expected list[] = {
        /* Every 20th row, but not before 10 and after 50. */
        {o, three_apart, KB_P_ROWS, "rows 10, 30, 50", NULL},
        {o, a_lane_but_once, KB_P_COLUMNS,
         "63 of 512 columns (3, 11, 19, 27, ...) of every row", NULL},
        {p, tail_and_one_more, KB_P_COLUMNS, "columns 495..499 of every row",
         "the last 5 of 500"},
        {p, all_but_one, KB_P_EVERYWHERE, "everywhere but in 1 element", NULL},
        {o, two_neighbours, KB_P_RUN, "from [0, 511] to [1, 0] without a gap", NULL},
    };
    check_all(list, KB_COUNT(list));
}

/* ---- rows that are not all checked ------------------------------------------------------
 */

static void of_rows_that_were_not_checked_nothing_is_said(void **state) {
    (void)state;
    static const int64_t numbers[] = {0, 1, 7, 15, 65535, 65536, 65537, 70000, 131071};
    static const struct {
        int64_t first, end;
        const char *where;
    } list[] = {
        {5, 9, "rows 65536..131071 (all 4 of them that were checked)"},
        {8, 9, "row 131071"},
        {1, 3, "rows 1..7 (all 2 of them that were checked)"},
    };
    for (size_t i = 0; i < KB_COUNT(list); i++) {
        struct kb_arena arena = {0};
        struct kb_local local = {0};
        struct kb_mask mask = {.rows = KB_COUNT(numbers), .columns = 6, .rank = 2};
        mask.numbers = numbers;
        mask.all_rows = mask.shape[0] = 131072;
        mask.shape[1] = 6;
        assert_true(kb_set_make(&mask.set, mask.rows * mask.columns));
        for (int64_t at = list[i].first * 6; at < list[i].end * 6; at++)
            kb_set_add(&mask.set, at);
        mask.wrong = (list[i].end - list[i].first) * 6;
        kb_mask_where(&mask, &arena, &local);
        assert_string_equal(local.where, list[i].where);
        assert_int_equal(local.pattern, KB_P_ROWS);
        kb_set_free(&mask.set);
        kb_arena_free(&arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_rows_are_told_as_a_range_a_residue_or_a_list),
        cmocka_unit_test(columns_of_every_row_are_told_with_the_arithmetic_of_a_tail),
        cmocka_unit_test(tiles_single_elements_and_all_of_them_are_told),
        cmocka_unit_test(what_rows_do_not_tell_is_told_by_flat_index),
        cmocka_unit_test(what_has_no_pattern_is_scattered),
        cmocka_unit_test(gaps_in_a_range_are_no_list),
        cmocka_unit_test(what_only_nearly_has_a_form_is_not_called_by_it),
        cmocka_unit_test(of_rows_that_were_not_checked_nothing_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
