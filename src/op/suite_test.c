/* suite_test.c - what a query comes to: made, selected, listed once, or refused. */
#include "op/group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Every test runs in an empty folder of its own: the tool's own files are the embedded. */
struct room {
    struct kb_arena arena;
    struct kb_temp temp;
};

static int enter_room(void **state) {
    struct room *room = calloc(1, sizeof *room);
    if (!room)
        return -1;
    struct kb_err err = {0};
    *state = room;
    return !kb_temp_make(&room->temp, &err) || chdir(room->temp.path);
}

static int leave_room(void **state) {
    struct room *room = *state;
    if (chdir("/"))
        return -1;
    kb_temp_free(&room->temp);
    kb_arena_free(&room->arena);
    free(room);
    return 0;
}

static void write_file(const char *path, const char *text) {
    struct kb_err err = {0};
    if (!kb_file_replace(path, text, strlen(text), &err))
        fail_msg("%s", err.msg);
}

/* A case file with these groups' members. */
static void write_groups(const char *path, const char *const *groups, size_t n) {
    struct kb_buf text = {0};
    kb_buf_puts(&text, "{ \"schema\": \"kbench-cases/1\",\n  \"groups\": [");
    for (size_t i = 0; i < n; i++)
        kb_buf_printf(&text, "%s\n    { %s }", i ? "," : "", groups[i]);
    kb_buf_puts(&text, " ] }\n");
    write_file(path, text.data);
    kb_buf_free(&text);
}

/* "--op silu,gelu --shape 7x16 FILE": words as on a command line. */
static struct kb_query ask(struct kb_arena *arena, const char *line) {
    struct kb_query q = {.tolerance = NULL};
    const struct {
        const char *option;
        struct kb_strings *list;
        bool whole; /* not split at commas */
    } options[] = {
        {"--op", &q.ops, false},       {"--shape", &q.shapes, false},
        {"--dtype", &q.dtypes, false}, {"--fill", &q.fills, false},
        {"--tag", &q.tags, false},     {"--match", &q.match, true},
        {"--case", &q.ids, true},      {"--set", &q.set, true},
    };
    struct kb_strings words = {0};
    kb_split(arena, line, ' ', &words);
    for (size_t i = 0; i < words.count && *line; i++) {
        size_t k = 0;
        while (k < KB_COUNT(options) && !kb_streq(options[k].option, words.items[i]))
            k++;
        if (kb_streq(words.items[i], "--tolerance"))
            q.tolerance = words.items[++i];
        else if (k == KB_COUNT(options))
            kb_strings_add(&q.files, arena, words.items[i]);
        else if (options[k].whole)
            kb_strings_add(options[k].list, arena, words.items[++i]);
        else
            kb_split(arena, words.items[++i], ',', options[k].list);
    }
    return q;
}

static struct kb_suite *open_suite(struct kb_arena *arena, const char *line) {
    struct kb_query q = ask(arena, line);
    struct kb_complaints c = {0};
    struct kb_suite *suite = NULL;
    if (!kb_suite_open(&suite, &q, &c))
        fail_msg("%s:\n%s", line, kb_buf_text(&c.text));
    assert_int_equal(c.count, 0);
    return suite;
}

static void assert_cases(struct kb_arena *arena, const char *line, const char *wanted) {
    struct kb_suite *suite = open_suite(arena, line);
    struct kb_case c;
    struct kb_buf ids = {0};
    int64_t n = 0;
    for (; kb_suite_next(suite, arena, &c); n++)
        kb_buf_printf(&ids, "%s\n", c.id);
    assert_string_equal(kb_buf_text(&ids), wanted);
    assert_int_equal(kb_suite_count(suite), n);
    kb_buf_free(&ids);
    kb_suite_free(suite);
}

static int64_t count_of(struct kb_arena *arena, const char *line) {
    struct kb_suite *suite = open_suite(arena, line);
    int64_t n = kb_suite_count(suite);
    kb_suite_free(suite);
    return n;
}

static void assert_refused(struct kb_arena *arena, const char *line, const char *wanted) {
    struct kb_query q = ask(arena, line);
    struct kb_complaints c = {0};
    struct kb_suite *suite = NULL;
    assert_false(kb_suite_open(&suite, &q, &c));
    assert_null(suite);
    assert_string_equal(kb_buf_text(&c.text), wanted);
    kb_complaints_free(&c);
}

/* ---- lists that make cases -------------------------------------------------------------
 */

static void lists_alone_make_cases_and_multiply(void **state) {
    struct room *room = *state;
    assert_cases(&room->arena, "--op silu --shape 83x1024", "silu/83x1024/bf16\n");
    assert_cases(&room->arena,
                 "--op silu,gelu --shape 7x16,2x3x512 --dtype half,fp32 --set "
                 "round=once,act --fill nan",
                 "silu/7x16/fp16/fill=nan\n"
                 "silu/7x16/fp16/fill=nan/round=act\n"
                 "silu/7x16/fp32/fill=nan\n"
                 "silu/7x16/fp32/fill=nan/round=act\n"
                 "silu/2x3x512/fp16/fill=nan\n"
                 "silu/2x3x512/fp16/fill=nan/round=act\n"
                 "silu/2x3x512/fp32/fill=nan\n"
                 "silu/2x3x512/fp32/fill=nan/round=act\n"
                 "gelu/7x16/fp16/fill=nan\n"
                 "gelu/7x16/fp16/fill=nan/round=act\n"
                 "gelu/7x16/fp32/fill=nan\n"
                 "gelu/7x16/fp32/fill=nan/round=act\n"
                 "gelu/2x3x512/fp16/fill=nan\n"
                 "gelu/2x3x512/fp16/fill=nan/round=act\n"
                 "gelu/2x3x512/fp32/fill=nan\n"
                 "gelu/2x3x512/fp32/fill=nan/round=act\n");
}

static void a_case_that_is_asked_for_twice_is_listed_once(void **state) {
    struct room *room = *state;
    assert_cases(&room->arena,
                 "--case gelu/7x16/bf16 --op silu,gelu,silu --shape 7x16,7x16 --dtype "
                 "bf16,bfloat16",
                 "gelu/7x16/bf16\nsilu/7x16/bf16\n");
}

static void fill_may_be_set_like_a_parameter(void **state) {
    struct room *room = *state;
    assert_cases(&room->arena,
                 "--op silu --shape 7x16 --set fill=nan,zeros --set round=act",
                 "silu/7x16/bf16/fill=nan/round=act\n"
                 "silu/7x16/bf16/fill=zeros/round=act\n");
    assert_cases(&room->arena, "--op silu --shape 7x16 --set round=act --set round=once",
                 "silu/7x16/bf16/round=act\nsilu/7x16/bf16\n");
}

static void ids_make_their_case_and_lists_take_the_place_of_its_values(void **state) {
    struct room *room = *state;
    assert_cases(&room->arena, "--case silu/7x16/fp32/round=act/fill=nan",
                 "silu/7x16/fp32/fill=nan/round=act\n");
    assert_cases(&room->arena,
                 "--case silu/7x16/fp32/round=act --case gelu/1x2/bf16/fill=nan --dtype "
                 "fp16,bf16",
                 "silu/7x16/fp16/round=act\n"
                 "silu/7x16/bf16/round=act\n"
                 "gelu/1x2/fp16/fill=nan\n"
                 "gelu/1x2/bf16/fill=nan\n");
    assert_cases(&room->arena,
                 "--case silu/7x16/fp32/round=act --shape 1x2 --set round=once",
                 "silu/1x2/fp32\n");
    assert_cases(&room->arena,
                 "--case silu/7x16/fp32/round=act --op gelu --shape 1x2 --dtype fp16",
                 "silu/7x16/fp32/round=act\ngelu/1x2/fp16\n");
}

static void a_glob_picks_among_the_cases_made(void **state) {
    struct room *room = *state;
    assert_cases(&room->arena, "--op silu,gelu --shape 7x16,1x2 --match gelu/*",
                 "gelu/7x16/bf16\ngelu/1x2/bf16\n");
    assert_refused(&room->arena, "--op silu --shape 7x16 --match gelu*",
                   "kbench: error: no case selected: none of 1 has --op silu and "
                   "--shape 7x16 and --match gelu*; near: silu/7x16/bf16\n");
}

static void a_list_that_lacks_the_rest_says_what_is_wanted(void **state) {
    struct room *room = *state;
    assert_refused(
        &room->arena, "",
        "kbench: error: no case is asked for, wanted one of: case files, --op with "
        "--shape, --case ID or --tag\n");
    assert_refused(&room->arena, "--op silu,stream",
                   "kbench: error: --op: silu needs --shape TOKENSx2*HIDDEN\n"
                   "kbench: error: --op: stream needs --shape ELEMENTS\n");
    assert_refused(&room->arena, "--shape 7x16",
                   "kbench: error: --shape: makes no case alone, it goes with one of: case "
                   "files, --op with --shape, --case ID or --tag\n");
    assert_refused(&room->arena, "--fill nan",
                   "kbench: error: --fill: makes no case alone, it goes with one of: case "
                   "files, --op with --shape, --case ID or --tag\n");
}

/* As people write them, and as ids have them. */
static void one_set_may_name_several_keys(void **state) {
    struct room *room = *state;
    assert_cases(&room->arena,
                 "--op silu --shape 83x1024 --set filter=ids,step=1,16,skip=0.25,fill=nan",
                 "silu/83x1024/bf16/fill=nan/filter=ids/skip=0.25\n"
                 "silu/83x1024/bf16/fill=nan/filter=ids/skip=0.25/step=16\n");
    assert_refused(&room->arena, "--op silu --shape 7x16 --set filter=ids,=16,skip=1",
                   "kbench: error: --set: \"filter=ids,=16,skip=1\" is not KEY=VALUE\n");
    assert_refused(&room->arena, "--op silu --shape 7x16 --set ids,step=16",
                   "kbench: error: --set: \"ids,step=16\" is not KEY=VALUE\n");
}

static void every_error_of_the_lists_is_told_by_its_option(void **state) {
    struct room *room = *state;
    assert_refused(
        &room->arena,
        "--op gelutanh --shape 83x1023,7y16 --dtype bf61 --fill nam --set round=atc "
        "--set ruond=act --set =act --tolerance 1e-2",
        "kbench: error: --tolerance: \"1e-2\" is none of bound, peer and ATOL,RTOL\n"
        "kbench: error: --op: unknown op \"gelutanh\", did you mean "
        "\"gelu_tanh\"?\n"
        "kbench: error: --shape: \"7y16\" is no shape, wanted TOKENSx2*HIDDEN\n"
        "kbench: error: --dtype: unknown dtype \"bf61\", did you mean \"bf16\"?\n"
        "kbench: error: --fill: unknown fill \"nam\", did you mean \"nan\"?\n"
        "kbench: error: --set: \"=act\" is not KEY=VALUE\n"
        "kbench: error: --set: round: unknown value \"atc\", did you mean \"act\"?\n"
        "kbench: error: --set: gelu_tanh: unknown key \"ruond\", did you mean "
        "\"round\"?\n");
    assert_refused(
        &room->arena, "--op silu,gelu --shape 83x1023",
        "kbench: error: --shape: 83x1023: the last axis is 2*HIDDEN, 1023 is odd\n");
    assert_refused(
        &room->arena, "--op stream --shape 64,66 --set pattern=copy,r2w05",
        "kbench: error: --set: stream/66/bf16/pattern=r2w05: pattern r2w05 quarters "
        "the last axis, 66 is no multiple of 4\n");
    assert_refused(
        &room->arena, "--op silu,stream --shape 64 --dtype e4m3 --fill tiny",
        "kbench: error: --dtype: silu has no dtype e4m3; it has bf16, fp16, fp32\n"
        "kbench: error: --dtype: stream has no dtype e4m3; it has bf16, fp16, "
        "fp32\n"
        "kbench: error: --fill: stream has no fill tiny; it has bits, normal, "
        "nan\n");
    static const struct {
        const char *line, *what;
    } of_8_bits[] = {
        {"--op mla_prefill --shape 7x7x1 --dtype fp8",
         "fp8\"; of 8 bits mla_prefill has e4m3"},
        {"--op mla_prefill,mla_prefill --shape 7x7x1 --dtype E5M2",
         "E5M2\"; of 8 bits there is e4m3"},
        {"--op silu_mul_quant --shape 7x256 --dtype float8",
         "float8\"; silu_mul_quant has none of 8 bits; it has bf16, fp16"},
    };
    for (size_t i = 0; i < KB_COUNT(of_8_bits); i++) {
        struct kb_buf wanted = {0};
        kb_buf_printf(&wanted, "kbench: error: --dtype: unknown dtype \"%s\n",
                      of_8_bits[i].what);
        assert_refused(&room->arena, of_8_bits[i].line, kb_buf_text(&wanted));
        kb_buf_free(&wanted);
    }
    assert_refused(
        &room->arena, "--case silu/83x1023/bf16 --case silu/7x16",
        "kbench: error: --case: 83x1023: the last axis is 2*HIDDEN, 1023 is odd\n"
        "kbench: error: --case: \"silu/7x16\" is no id, wanted "
        "op/shape/dtype[/key=value...]\n");
}

static void an_explosion_is_counted_and_refused(void **state) {
    struct room *room = *state;
    struct kb_buf line = {0};
    kb_buf_puts(&line, "--op silu --shape 1x2");
    for (int i = 2; i <= 50001; i++)
        kb_buf_printf(&line, ",%dx2", i);
    size_t shapes = line.len;
    kb_buf_puts(&line, " --dtype bf16,fp16");
    assert_refused(&room->arena, line.data,
                   "kbench: error: --op: 100002 cases, at most 100000 are allowed\n");
    kb_buf_cut(&line, shapes - strlen(",50001x2"));
    kb_buf_puts(&line, " --dtype bf16,fp16");
    assert_int_equal(count_of(&room->arena, line.data), KB_MAX_CASES);
    kb_buf_puts(&line, " --case silu/1x2/bf16");
    assert_refused(
        &room->arena, line.data,
        "kbench: error: --op: 100001 cases with those before, at most 100000 are "
        "allowed\n");
    kb_buf_free(&line);
}

/* ---- files -----------------------------------------------------------------------------
 */

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

/* ---- the tool's own files --------------------------------------------------------------
 */

/* "cases/activation.json cases/stream.json": one for each family of ops. */
static const char *files_of_all_families(struct kb_arena *a) {
    const char *files = "";
    for (int i = 0; i < kb_op_count; i++) {
        const char *file = kb_arena_printf(a, "cases/%s.json", kb_ops[i]->family);
        if (!strstr(files, file))
            files = kb_arena_printf(a, "%s%s%s", files, *files ? " " : "", file);
    }
    return files;
}

static void own_files_are_meant_where_they_are_not_on_disk(void **state) {
    struct room *room = *state;
    struct kb_arena *a = &room->arena;
    int64_t all = count_of(a, "cases/");
    assert_int_equal(count_of(a, "cases"), all);
    assert_int_equal(count_of(a, "./cases"), all);
    assert_int_equal(count_of(a, "--match *"), all);
    assert_int_equal(count_of(a, files_of_all_families(a)), all);
    assert_int_equal(count_of(a, "--tag full"), all);
    assert_int_equal(count_of(a, "--tag smoke --op stream"),
                     count_of(a, "cases/stream.json --tag smoke"));
    assert_int_equal(count_of(a, "--match gelu/* --op gelu"),
                     count_of(a, "cases/activation.json --op gelu"));
    assert_int_equal(
        count_of(a, "--tag ci --shape 83x1024 --op silu --fill normal "
                    "--set round=once,layout=gate_up,filter=none,clamp=0,inplace=no,"
                    "in_pitch=0,out_pitch=0"),
        3);
}

static void the_peers_matrix_is_144_cases(void **state) {
    struct room *room = *state;
    struct kb_arena *a = &room->arena;
    static const char *const ops[] = {"silu", "gelu", "gelu_tanh"};
    static const char *const dtypes[] = {"bf16", "fp16", "fp32"};
    static const char *const shapes[] = {
        "7x16",       "83x1024", "3x5x16",  "2x3x512",  "1x17x4096", "1x2048",
        "4x2048",     "16x2048", "64x2048", "256x2048", "1024x2048", "4096x2048",
        "16384x2048", "1x65536", "4x65536", "16x65536",
    };
    struct kb_buf wanted = {0};
    for (size_t o = 0; o < 3; o++)
        for (size_t s = 0; s < KB_COUNT(shapes); s++)
            for (size_t d = 0; d < 3; d++) {
                kb_buf_printf(&wanted, "%s/%s/%s", ops[o], shapes[s], dtypes[d]);
                kb_buf_putc(&wanted, '\n');
            }
    assert_int_equal(count_of(a, "cases/activation.json --tag matrix"), 144);
    struct kb_suite *suite = open_suite(a, "cases/activation.json --tag matrix");
    struct kb_case c;
    while (kb_suite_next(suite, a, &c)) {
        const char *line = kb_arena_printf(a, "%s\n", c.id);
        char *at = strstr(wanted.data, line);
        assert_non_null(at);
        memset(at, '.', strlen(line) - 1); /* each once */
    }
    kb_suite_free(suite);
    kb_buf_free(&wanted);
}

static void tags_of_own_files_are_nested_and_smoke_is_small(void **state) {
    struct room *room = *state;
    struct kb_case c;
    int64_t elements = 0;
    bool seen[3][3] = {{false}}, act = false, empty = false, stream = false;
    struct kb_suite *suite = open_suite(&room->arena, "cases");
    while (kb_suite_next(suite, &room->arena, &c)) {
        struct kb_strings tags = {0};
        struct kb_problem p;
        struct kb_err err = {0};
        kb_split(&room->arena, c.tags, ',', &tags);
        assert_true(kb_strings_has(&tags, "full"));
        assert_true(kb_case_resolve(&c, &p, &err));
        assert_non_null(c.why);
        assert_int_equal(c.tolerance.rule, KB_TOL_BOUND);
        if (!kb_strings_has(&tags, "smoke"))
            continue;
        assert_true(kb_strings_has(&tags, "ci"));
        elements += p.tensors[0].elements;
        stream |= kb_streq(c.op->name, "stream");
        empty |= p.tensors[0].elements == 0;
        if (!kb_streq(c.op->family, "activation"))
            continue;
        seen[c.op->variant][c.dtype] = true;
        act |= c.set[0].v == 1;
    }
    kb_suite_free(suite);
    for (int i = 0; i < 9; i++)
        assert_true(seen[i / 3][i % 3]);
    assert_true(act && empty && stream);
    assert_true(elements < 400000);
}

static void own_ids_are_canonical(void **state) {
    struct room *room = *state;
    struct kb_case c, back;
    struct kb_complaints complaints = {0};
    struct kb_suite *suite = open_suite(&room->arena, "cases");
    while (kb_suite_next(suite, &room->arena, &c)) {
        assert_true(kb_case_parse(c.id, &room->arena, &back, &complaints));
        assert_string_equal(back.id, c.id);
    }
    kb_suite_free(suite);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter_room, leave_room)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(lists_alone_make_cases_and_multiply),
        TEST(a_case_that_is_asked_for_twice_is_listed_once),
        TEST(fill_may_be_set_like_a_parameter),
        TEST(ids_make_their_case_and_lists_take_the_place_of_its_values),
        TEST(a_glob_picks_among_the_cases_made),
        TEST(a_list_that_lacks_the_rest_says_what_is_wanted),
        TEST(one_set_may_name_several_keys),
        TEST(every_error_of_the_lists_is_told_by_its_option),
        TEST(an_explosion_is_counted_and_refused),
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
        TEST(own_files_are_meant_where_they_are_not_on_disk),
        TEST(the_peers_matrix_is_144_cases),
        TEST(tags_of_own_files_are_nested_and_smoke_is_small),
        TEST(own_ids_are_canonical),
    };
    return cmocka_run_group_tests_name("suite", tests, NULL, NULL);
}
