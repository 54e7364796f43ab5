/* localise_map_test.c - the map of an output shows where it is wrong. */
#include "mask_fixture.h"

static void a_cell_of_the_map_is_right_in_part_wrong_or_all_wrong(void **state) {
    (void)state;
    const struct output o = {2, {83, 500}};
    struct kb_mask mask = mask_of(&o, tails_of_last_rows);
    struct kb_map map;
    kb_mask_map(&mask, &map);
    assert_int_equal(map.cell_rows, 17);
    assert_int_equal(map.cell_columns, 10);
    assert_int_equal(map.n_lines, 5);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(map.first_rows[i], 17 * i);
        assert_int_equal(strlen(map.lines[i]), 50);
        assert_int_equal(strspn(map.lines[i], "."), i == 4 ? 49 : 50);
    }
    assert_string_equal(map.lines[4] + 49, "+");
    kb_set_free(&mask.set);
    mask = mask_of(&o, last_three_rows);
    kb_mask_map(&mask, &map);
    assert_int_equal(strspn(map.lines[4], "+"), 50);
    kb_set_free(&mask.set);
}

/* Five lines of fifty at most, whatever the shape; the last cells may be cut short. */
static void a_map_fits_whatever_the_shape(void **state) {
    (void)state;
    static const struct output list[] = {
        {1, {1}},    {1, {4096}},      {2, {1, 9}},   {2, {100000, 1}}, {2, {64, 512}},
        {2, {7, 8}}, {3, {2, 3, 512}}, {2, {11, 53}}, {2, {6, 51}},
    };
    for (size_t i = 0; i < KB_COUNT(list); i++) {
        struct kb_mask mask = mask_of(&list[i], every);
        struct kb_map map;
        kb_mask_map(&mask, &map);
        assert_in_range(map.n_lines, 1, KB_MAP_LINES);
        assert_true(map.cell_rows * map.n_lines >= mask.rows);
        for (int k = 0; k < map.n_lines; k++) {
            size_t n = strlen(map.lines[k]);
            assert_in_range(n, 1, KB_MAP_CELLS);
            assert_true((int64_t)n * map.cell_columns >= mask.columns);
            assert_int_equal(strspn(map.lines[k], "#"), n);
        }
        kb_set_free(&mask.set);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cell_of_the_map_is_right_in_part_wrong_or_all_wrong),
        cmocka_unit_test(a_map_fits_whatever_the_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
