/* suite_lists_test.c - what the lists of a command line come to without a file. */
#include "op/suite_fixture.h"

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
    };
    return cmocka_run_group_tests_name("suite lists", tests, NULL, NULL);
}
