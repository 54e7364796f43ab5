/* localise_life_test.c - what was never written is told apart from what is wrong and looks
 * like the poison, by a second run; and a failed row says where. */
#include "script_fixture.h"

/* An element of a copy whose bits are the poison's but for the last: spoilt it is poison.
 */
static int64_t near_poison;

static void find_near_poison(const char *case_id) {
    struct kb_arena arena = {0};
    struct kb_complaints c = {0};
    struct kb_err err = {0};
    struct kb_case *k = kb_arena_alloc(&arena, sizeof *k);
    struct kb_problem *p = kb_arena_alloc(&arena, sizeof *p);
    assert_true(kb_case_parse(case_id, &arena, k, &c) && kb_case_resolve(k, p, &err));
    int64_t n = p->tensors[0].elements;
    uint16_t *data = kb_arena_array(&arena, (size_t)n, sizeof *data);
    k->op->fill(p, 0, 1, 0, n, data);
    for (near_poison = 0; near_poison < n && data[near_poison] != (0x7fb3 ^ 1);)
        near_poison++;
    assert_true(near_poison < n);
    kb_arena_free(&arena);
}
static bool spoils_to_poison(int run, int64_t i) {
    (void)run;
    return i == near_poison;
}
static bool skips_four(int run, int64_t i) {
    (void)run;
    return i >= 4092 && i < 4096;
}

static void wrong_bits_that_are_the_poisons_are_not_unwritten(void **state) {
    (void)state;
    static const char id[] = "stream/262144/bf16/pattern=copy";
    const struct fake_script script = {.ns = constant, .spoils = spoils_to_poison};
    struct fake f;
    find_near_poison(id);
    check_script(&f, &script, id);
    assert_int_equal(f.row.reason, KB_R_MISMATCH);
    assert_int_equal(f.row.unwritten, 0);
    assert_int_equal(f.row.outputs[0].over, 1);
    assert_int_equal(f.row.outputs[0].unwritten, 0);
    assert_false(f.row.outputs[0].first[0].poison);
    assert_int_equal(f.device.runs, 2);
    fake_free(&f);
}

static void what_either_poison_is_left_in_is_unwritten(void **state) {
    (void)state;
    static const char id[] = "stream/262144/bf16/pattern=copy";
    const struct fake_script script = {
        .ns = constant, .spoils = spoils_to_poison, .skips = skips_four};
    struct fake f;
    find_near_poison(id);
    check_script(&f, &script, id);
    assert_int_equal(f.row.reason, KB_R_UNWRITTEN);
    assert_int_equal(f.row.unwritten, 4);
    assert_int_equal(f.row.outputs[0].over, 5);
    for (int i = 0; i < f.row.outputs[0].n_first; i++)
        assert_true(f.row.outputs[0].first[i].poison ==
                    (f.row.outputs[0].first[i].index != near_poison));
    fake_free(&f);
}

static bool skips_tail(int run, int64_t i) {
    (void)run;
    return i % 500 >= 496;
}

static void a_failed_row_says_where_and_what_of_the_rest_is_right(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .skips = skips_tail};
    struct fake f;
    check_script(&f, &script, "silu/83x1000/bf16");
    const struct kb_local *local = f.row.outputs[0].local;
    assert_int_equal(f.row.reason, KB_R_UNWRITTEN);
    assert_non_null(local);
    assert_int_equal(local->pattern, KB_P_COLUMNS);
    assert_string_equal(local->where, "columns 496..499 of every row");
    assert_string_equal(local->why, "500 = 62 * 8 + 4, the tail after the last full 8");
    assert_int_equal(local->right, 41168);
    assert_true(local->right_share < 0.3 && local->right_ulp <= 0.51);
    assert_null(local->holds);
    fake_free(&f);
}

static void of_a_sample_the_checked_rows_alone_are_told(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .skips = skips_tail};
    struct fake f;
    fake_open(&f, &script);
    f.job.case_id = "silu/83x1000/bf16";
    f.job.mode = KB_CHECK;
    f.job.sample_rows = 10;
    assert_true(fake_go(&f));
    const struct kb_local *local = f.row.outputs[0].local;
    assert_string_equal(local->where, "columns 496..499 of every row");
    assert_int_equal(local->named, 40);
    assert_int_equal(local->right, 4960);
    fake_free(&f);
}

static bool spoils_row_4_later(int run, int64_t i) {
    return run > 0 && i / 32 == 4;
}

static void runs_that_differ_are_told_where(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .spoils = spoils_row_4_later};
    struct fake f;
    check_script(&f, &script, "silu/83x64/fp32");
    assert_int_equal(f.row.reason, KB_R_ORDER);
    assert_int_equal(f.row.outputs[0].over, 0);
    const struct kb_local *local = f.row.outputs[0].local;
    assert_non_null(local);
    assert_string_equal(local->where, "row 4");
    assert_int_equal(local->right, 82 * 32);
    fake_free(&f);
}

static void a_right_row_has_no_place_of_a_fault(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant};
    struct fake f;
    check_script(&f, &script, "silu/83x64/bf16");
    assert_int_equal(f.row.reason, KB_R_NONE);
    assert_null(f.row.outputs[0].local);
    fake_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_bits_that_are_the_poisons_are_not_unwritten),
        cmocka_unit_test(what_either_poison_is_left_in_is_unwritten),
        cmocka_unit_test(a_failed_row_says_where_and_what_of_the_rest_is_right),
        cmocka_unit_test(of_a_sample_the_checked_rows_alone_are_told),
        cmocka_unit_test(runs_that_differ_are_told_where),
        cmocka_unit_test(a_right_row_has_no_place_of_a_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
