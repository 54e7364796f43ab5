/* suite_test.c - what a query of files comes to: selected, listed once, or refused. */
#include "op/suite_fixture.h"

static const char *const mine[] = {
    "\"why\": \"first\", \"ops\": [\"silu\", \"gelu\"], \"dtypes\": [\"bf16\", \"fp32\"], "
    "\"shapes\": [[7, 16], [83, 1024]], \"tags\": [\"ci\"]",
    "\"why\": \"second\", \"ops\": [\"silu\"], \"shapes\": [[7, 16]], "
    "\"set\": {\"round\": [\"once\", \"act\"]}, \"fills\": [\"normal\", \"nan\"], "
    "\"tags\": [\"full\"]",
    "\"why\": \"third\", \"ops\": [\"stream\"], \"shapes\": [[64]], \"tags\": [\"ci\", "
    "\"full\"]",
};

static void lists_beside_files_select(void **state) {
    struct room *room = *state;
    struct kb_arena *a = &room->arena;
    write_groups("mine.json", mine, KB_COUNT(mine));
    assert_cases(a, "mine.json",
                 "silu/7x16/bf16\nsilu/7x16/fp32\nsilu/83x1024/bf16\nsilu/83x1024/fp32\n"
                 "gelu/7x16/bf16\ngelu/7x16/fp32\ngelu/83x1024/bf16\ngelu/83x1024/fp32\n"
                 "silu/7x16/bf16/fill=nan\nsilu/7x16/bf16/round=act\n"
                 "silu/7x16/bf16/fill=nan/round=act\nstream/64/bf16\n");
    assert_cases(a, "mine.json --op gelu,stream --dtype bfloat16",
                 "gelu/7x16/bf16\ngelu/83x1024/bf16\nstream/64/bf16\n");
    assert_cases(a, "mine.json --shape 83x1024,64 --dtype bf16",
                 "silu/83x1024/bf16\ngelu/83x1024/bf16\nstream/64/bf16\n");
    assert_cases(a, "mine.json --fill nan",
                 "silu/7x16/bf16/fill=nan\n"
                 "silu/7x16/bf16/fill=nan/round=act\n");
    assert_cases(a, "mine.json --set round=act --set fill=normal",
                 "silu/7x16/bf16/round=act\n");
    assert_cases(a, "mine.json --set round=once --shape 7x16 --dtype bf16 --fill normal",
                 "silu/7x16/bf16\ngelu/7x16/bf16\n");
    assert_cases(a, "mine.json --tag full --match *x16/bf16 --match stream/*",
                 "silu/7x16/bf16\nstream/64/bf16\n");
    assert_cases(
        a, "mine.json --case silu/7x16/bf16/round=act/fill=nan --case gelu/7x16/float",
        "gelu/7x16/fp32\nsilu/7x16/bf16/fill=nan/round=act\n");
}

static void tags_of_all_groups_that_give_a_case_are_joined(void **state) {
    struct room *room = *state;
    struct kb_case c;
    write_groups("mine.json", mine, KB_COUNT(mine));
    struct kb_suite *suite = open_suite(&room->arena, "mine.json --tag full --op silu");
    assert_int_equal(kb_suite_count(suite), 4);
    assert_true(kb_suite_next(suite, &room->arena, &c));
    assert_string_equal(c.id, "silu/7x16/bf16");
    assert_string_equal(c.tags, "ci,full");
    assert_string_equal(c.origin, "mine.json:3");
    assert_string_equal(c.why, "first");
    assert_true(kb_suite_next(suite, &room->arena, &c));
    assert_string_equal(c.tags, "full");
    assert_string_equal(c.origin, "mine.json:4");
    assert_int_equal(kb_suite_id_width(suite), strlen("silu/7x16/bf16/fill=nan/round=act"));
    kb_suite_rewind(suite);
    assert_true(kb_suite_next(suite, &room->arena, &c));
    kb_suite_free(suite);
    assert_string_equal(c.id, "silu/7x16/bf16"); /* the arena's, not the suite's */
    assert_string_equal(c.why, "first");
}

static const char *const big[] = {
    "\"why\": \"small\", \"ops\": [\"silu\"], \"shapes\": [[7, 16]], \"tags\": [\"ci\"]",
    "\"why\": \"big\", \"ops\": [\"silu\", \"gelu\"], \"shapes\": [[9, 16]], "
    "\"sample\": 5, \"tags\": [\"big\", \"act.big\"], \"only_by_tag\": true",
};

static void what_runs_only_by_tag_runs_by_tag_or_id(void **state) {
    struct room *room = *state;
    struct kb_arena *a = &room->arena;
    write_groups("big.json", big, KB_COUNT(big));
    assert_cases(a, "big.json", "silu/7x16/bf16\n");
    assert_cases(a, "big.json --op silu", "silu/7x16/bf16\n");
    assert_cases(a, "big.json --match silu*", "silu/7x16/bf16\n");
    assert_cases(a, "big.json --tag ci", "silu/7x16/bf16\n");
    assert_cases(a, "big.json --tag big", "silu/9x16/bf16\ngelu/9x16/bf16\n");
    assert_cases(a, "big.json --tag act.big --op gelu", "gelu/9x16/bf16\n");
    assert_cases(a, "big.json --case silu/9x16/bf16", "silu/9x16/bf16\n");
    assert_refused(a, "big.json --op gelu",
                   "kbench: error: no case selected: none of 3 has --op gelu; 2 of them "
                   "run only by --tag big,act.big; near: gelu/9x16/bf16, silu/7x16/bf16, "
                   "silu/9x16/bf16\n");
    write_groups("only.json", big + 1, 1);
    assert_refused(a, "only.json",
                   "kbench: error: no case selected: none of 2; 2 of them run only by "
                   "--tag big,act.big\n");
}

static void a_case_of_an_ordinary_group_as_well_runs_unasked(void **state) {
    struct room *room = *state;
    static const char *const both[] = {
        "\"why\": \"a\", \"ops\": [\"silu\"], \"shapes\": [[9, 16]], \"tags\": [\"x\"], "
        "\"only_by_tag\": true",
        "\"why\": \"b\", \"ops\": [\"silu\"], \"shapes\": [[9, 16]]",
    };
    write_groups("both.json", both, KB_COUNT(both));
    assert_cases(&room->arena, "both.json", "silu/9x16/bf16\n");
}

static void a_sample_is_of_its_group_and_no_two_groups_differ_in_it(void **state) {
    struct room *room = *state;
    struct kb_case c;
    static const char *const two[] = {
        "\"why\": \"a\", \"ops\": [\"silu\"], \"shapes\": [[9, 16]], \"sample\": 5",
        "\"why\": \"b\", \"ops\": [\"silu\"], \"shapes\": [[7, 16], [9, 16]]",
    };
    write_groups("big.json", big, KB_COUNT(big));
    struct kb_suite *suite = open_suite(&room->arena, "big.json --tag big,ci");
    assert_true(kb_suite_next(suite, &room->arena, &c));
    assert_int_equal(c.sample_rows, 0);
    assert_true(kb_suite_next(suite, &room->arena, &c));
    assert_int_equal(c.sample_rows, 5);
    kb_suite_free(suite);
    write_groups("two.json", two, KB_COUNT(two));
    assert_refused(
        &room->arena, "two.json",
        "two.json:4:5: error: groups[1]: silu/9x16/bf16 has sample all rows here "
        "and 5 rows in two.json:3\n");
}

static void groups_that_disagree_of_a_case_are_refused_at_the_second(void **state) {
    struct room *room = *state;
    static const char *const one[] = {
        "\"why\": \"w\", \"ops\": [\"silu\"], \"shapes\": [[7, 16], [1, 2]], "
        "\"tolerance\": {\"rule\": \"peer\"}",
    };
    static const char *const other[] = {
        "\"why\": \"w\", \"ops\": [\"silu\"], \"shapes\": [[3, 4], [7, 16], [1, 2]], "
        "\"tolerance\": {\"rule\": \"given\", \"atol\": 0.5, \"rtol\": 1e-2}",
        "\"why\": \"w\", \"ops\": [\"silu\"], \"shapes\": [[3, 4]]",
        "\"why\": \"w\", \"ops\": [\"silu\"], \"shapes\": [[7, 16]], "
        "\"tolerance\": {\"rule\": \"peer\", \"atol\": 1e-2, \"rtol\": 1e-2}",
    };
    write_groups("a.json", one, 1);
    write_groups("b.json", other, KB_COUNT(other));
    assert_refused(
        &room->arena, "a.json b.json",
        "b.json:3:5: error: groups[0]: silu/7x16/bf16 has tolerance given 0.5,0.01 "
        "here and peer 0.01,0.01 in a.json:3\n"
        "b.json:4:5: error: groups[1]: silu/3x4/bf16 has tolerance bound here and "
        "given 0.5,0.01 in b.json:3\n");
    assert_int_equal(count_of(&room->arena, "a.json a.json"), 2);
}

static void a_tolerance_that_is_given_decides_over_the_files(void **state) {
    struct room *room = *state;
    struct kb_case c;
    write_groups("mine.json", mine, KB_COUNT(mine));
    struct kb_suite *suite =
        open_suite(&room->arena, "mine.json --op silu --shape 7x16 --tolerance peer");
    assert_true(kb_suite_next(suite, &room->arena, &c));
    assert_int_equal(c.tolerance.rule, KB_TOL_PEER);
    assert_true(c.tolerance.atol == 1e-2 && c.tolerance.rtol == 1e-2);
    assert_true(kb_suite_next(suite, &room->arena, &c));
    assert_int_equal(c.dtype, KB_FP32);
    assert_true(c.tolerance.atol == 1e-4);
    kb_suite_free(suite);
    suite = open_suite(&room->arena, "mine.json --tolerance 3,4");
    assert_true(kb_suite_next(suite, &room->arena, &c));
    assert_int_equal(c.tolerance.rule, KB_TOL_GIVEN);
    assert_true(c.tolerance.atol == 3 && c.tolerance.rtol == 4);
    kb_suite_free(suite);
}

static void what_selects_nothing_is_refused_with_what_is_near(void **state) {
    struct room *room = *state;
    struct kb_arena *a = &room->arena;
    write_groups("mine.json", mine, KB_COUNT(mine));
    assert_refused(a, "mine.json --op gelu --fill nan",
                   "kbench: error: no case selected: none of 12 has --op gelu and "
                   "--fill nan; near: gelu/7x16/bf16, gelu/7x16/fp32, gelu/83x1024/bf16\n");
    assert_refused(a, "mine.json --shape 7x18,7x20 --dtype bf16",
                   "kbench: error: no case selected: none of 12 has --shape "
                   "7x18,7x20 and --dtype bf16; near: silu/7x16/bf16, gelu/7x16/bf16, "
                   "silu/7x16/bf16/fill=nan\n");
    assert_refused(a, "mine.json --case gelu/7x16/fp16 --case silu/7x16/bf16",
                   "kbench: error: --case: gelu/7x16/fp16: no such case among 12; near: "
                   "gelu/7x16/bf16, gelu/7x16/fp32, gelu/83x1024/bf16\n");
    assert_refused(
        a, "mine.json --tag smok,ci,cii --set pettern=copy --set round=copy",
        "kbench: error: --set: unknown key \"pettern\", did you mean \"pattern\"?\n"
        "kbench: error: --set: round: unknown value \"copy\"; there are once, norm, "
        "scaled\n"
        "kbench: error: --tag: unknown tag \"smok\"; there are ci, full\n"
        "kbench: error: --tag: unknown tag \"cii\", did you mean \"ci\"?\n");
    assert_refused(a, "mine.json --case silu/7x16/bf61",
                   "kbench: error: --case: silu/7x16/bf61: unknown dtype \"bf61\", did you "
                   "mean \"bf16\"?\n");
}

static void folders_give_their_case_files_in_order_of_name(void **state) {
    struct room *room = *state;
    struct kb_arena *a = &room->arena;
    static const char *const one[] = {
        "\"why\": \"w\", \"ops\": [\"silu\"], \"shapes\": [[1, 2]]"};
    static const char *const two[] = {
        "\"why\": \"w\", \"ops\": [\"gelu\"], \"shapes\": [[1, 2]]"};
    assert_int_equal(mkdir("sub", 0700), 0);
    assert_refused(a, "sub", "sub: error: no case file (*.json) is in this folder\n");
    write_groups("sub/b.json", one, 1);
    write_groups("sub/a.json", two, 1);
    write_file("sub/c.txt", "no case file");
    assert_cases(a, "sub", "gelu/1x2/bf16\nsilu/1x2/bf16\n");
    assert_cases(a, "sub/b.json sub/", "silu/1x2/bf16\ngelu/1x2/bf16\n");
    write_file("sub/b.json", "{\n");
    assert_refused(a, "sub/",
                   "sub/b.json:2:1: error: the text ends here, a key in double quotes was "
                   "expected\n");
}

static void what_is_no_file_is_refused_at_once(void **state) {
    struct room *room = *state;
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_refused(&room->arena, "fifo /dev/zero nowhere.json cases/nowhere.json",
                   "fifo: error: is not a regular file\n"
                   "/dev/zero: error: is not a regular file\n"
                   "nowhere.json: error: cannot open: No such file or directory\n"
                   "cases/nowhere.json: error: cannot open: No such file or directory\n");
    unlink("fifo");
}

static void every_file_is_read_before_the_run_is_refused(void **state) {
    struct room *room = *state;
    write_file("a.json", "[1, 2");
    write_file("b.json", "{ \"schema\": \"kbench-cases/1\", \"groups\": 3 }");
    assert_refused(&room->arena, "a.json b.json --tag ci --op sliu",
                   "a.json:1:6: error: the text ends here, [ of 1:1 is not closed\n"
                   "b.json:1:41: error: groups: wants a list of groups, got 3\n"
                   "kbench: error: --op: unknown op \"sliu\", did you mean \"silu\"?\n");
}

static void standard_input_is_a_case_file_once(void **state) {
    struct room *room = *state;
    write_groups("mine.json", mine, KB_COUNT(mine));
    assert_non_null(freopen("mine.json", "r", stdin));
    struct kb_case c;
    struct kb_suite *suite = open_suite(&room->arena, "- --op stream");
    assert_true(kb_suite_next(suite, &room->arena, &c));
    assert_string_equal(c.id, "stream/64/bf16");
    assert_string_equal(c.origin, "<stdin>:5");
    kb_suite_free(suite);
    assert_non_null(freopen("/dev/null", "r", stdin));
    assert_refused(&room->arena, "- -",
                   "<stdin>:1:1: error: the text ends here, a value was expected\n"
                   "kbench: error: standard input (-) is given twice\n");
}

static void earlier_complaints_are_not_the_suites(void **state) {
    struct room *room = *state;
    struct kb_query q = ask(&room->arena, "--op silu --shape 7x16");
    struct kb_complaints c = {0};
    struct kb_suite *suite = NULL;
    kb_complain(&c, "kbench", 0, 0, "--jobs", "not a number");
    assert_true(kb_suite_open(&suite, &q, &c));
    assert_int_equal(c.count, 1);
    kb_suite_free(suite);
    kb_suite_free(NULL);
    kb_complaints_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(lists_beside_files_select),
        TEST(tags_of_all_groups_that_give_a_case_are_joined),
        TEST(what_runs_only_by_tag_runs_by_tag_or_id),
        TEST(a_case_of_an_ordinary_group_as_well_runs_unasked),
        TEST(a_sample_is_of_its_group_and_no_two_groups_differ_in_it),
        TEST(groups_that_disagree_of_a_case_are_refused_at_the_second),
        TEST(a_tolerance_that_is_given_decides_over_the_files),
        TEST(what_selects_nothing_is_refused_with_what_is_near),
        TEST(folders_give_their_case_files_in_order_of_name),
        TEST(what_is_no_file_is_refused_at_once),
        TEST(every_file_is_read_before_the_run_is_refused),
        TEST(standard_input_is_a_case_file_once),
        TEST(earlier_complaints_are_not_the_suites),
    };
    return cmocka_run_group_tests_name("suite", tests, NULL, NULL);
}
