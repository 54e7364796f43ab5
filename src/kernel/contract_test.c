/* contract_test.c - what is read from a contract, and every mistake with its place in the
 * file.
 */
#include "kernel/contract_fixture.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* All that a changed `plain` is complained of. */
static void says(const char *from, const char *to, const char *want) {
    struct fixture f;
    char *text = with(plain, from, to);
    assert_false(parse(&f, text));
    assert_string_equal(kb_buf_text(&f.c.text), want);
    drop(&f);
    free(text);
}

static void accepts(const char *from, const char *to) {
    struct fixture f;
    char *text = with(plain, from, to);
    if (!parse(&f, text))
        fail_msg("%s", kb_buf_text(&f.c.text));
    drop(&f);
    free(text);
}

static void six_lines_are_a_contract(void **state) {
    struct fixture f;
    (void)state;
    assert_true(parse(&f, plain));
    assert_string_equal(f.kernel.path, "mine.cu");
    assert_true(kb_kernel_has_op(&f.kernel, "silu"));
    assert_false(kb_kernel_has_op(&f.kernel, "gelu"));
    assert_int_equal(f.kernel.n_variants, 1);
    assert_int_equal(kb_kernel_variant(&f.kernel, "plain"), 0);
    assert_int_equal(kb_kernel_variant(&f.kernel, "other"), -1);
    const struct kb_variant *v = &f.kernel.variants[0];
    assert_null(v->why);
    assert_null(v->when);
    assert_int_equal(v->n_launches, 1);
    assert_string_equal(v->launches[0].entry, "my_silu<KB_T>");
    assert_string_equal(v->launches[0].grid[0], "ceil_div(tokens * hidden, 256)");
    assert_null(v->launches[0].grid[1]);
    assert_string_equal(v->launches[0].block[0], "256");
    assert_int_equal(v->launches[0].n_args, 4);
    assert_string_equal(v->launches[0].args[3], "i32 hidden");
    assert_false(v->launches[0].pdl);
    drop(&f);
}

static void every_field_is_read(void **state) {
    static const char text[] =
        "/* kbench { \"why\": \"w\", \"ops\": [\"silu\", \"gelu\"], \"dtypes\": "
        "[\"half\"],\n"
        "\"defines\": {\"KB_N\": 4, \"KB_M\": \"KB_N\"}, \"let\": {\"half\": \"own / "
        "2\"},\n"
        "\"variants\": { \"a-1\": { \"why\": \"idea\", \"when\": \"hidden > 1\",\n"
        "  \"let\": {\"own\": \"hidden\"}, \"arch\": \"90a\", \"align\": 32,\n"
        "  \"backends\": [\"cuda\"], \"defines\": {\"KB_N\": 8},\n"
        "  \"scratch\": {\"s\": {\"bytes\": \"hidden * 4\", \"start\": \"zero\"},\n"
        "               \"p\": {\"bytes\": 64}, \"k\": {\"bytes\": 4, \"start\": "
        "\"keep\"}},\n"
        "  \"launches\": [\n"
        "    {\"entry\": \"first\", \"grid\": [1, 2, \"half\"], \"block\": [32, 4],\n"
        "     \"smem\": \"4 * half\", \"cluster\": [2], \"cooperative\": true, \"pdl\": "
        "true,\n"
        "     \"args\": [\"s\", {\"tma\": \"input\", \"dims\": [\"hidden * 2\", "
        "\"tokens\"],\n"
        "       \"strides\": [\"hidden * 2 * dtype_bytes\"], \"box\": [64, 8], "
        "\"swizzle\": "
        "128,\n"
        "       \"l2\": 256, \"oob\": \"nan\"}]},\n"
        "    {\"entry\": \"second\", \"grid\": 1, \"block\": 1, \"args\": [\"p\", \"k\", "
        "\"out\"]}]\n"
        "} } } */ __global__ void first(); __global__ void second();";
    struct fixture f;
    (void)state;
    if (!parse(&f, text))
        fail_msg("%s", kb_buf_text(&f.c.text));
    const struct kb_variant *v = &f.kernel.variants[0];
    assert_string_equal(v->why, "idea");
    assert_string_equal(v->when, "hidden > 1");
    assert_int_equal(v->n_lets, 2);
    assert_string_equal(v->let_names[0], "own");
    assert_string_equal(v->let_texts[1], "own / 2");
    assert_string_equal(v->dtypes.items[0], "fp16");
    assert_string_equal(v->backends.items[0], "cuda");
    assert_string_equal(v->arch, "90a");
    assert_int_equal(v->align, 32);
    assert_int_equal(v->defines.count, 2);
    assert_string_equal(v->defines.items[0], "KB_N=8");
    assert_string_equal(v->defines.items[1], "KB_M=KB_N");
    assert_int_equal(v->n_scratch, 3);
    assert_int_equal(v->scratch[0].start, KB_SCRATCH_ZERO);
    assert_int_equal(v->scratch[1].start, KB_SCRATCH_POISON);
    assert_int_equal(v->scratch[2].start, KB_SCRATCH_KEEP);
    assert_int_equal(v->n_launches, 2);
    const struct kb_launch_text *first = &v->launches[0];
    assert_true(first->cooperative && first->pdl);
    assert_string_equal(first->grid[2], "half");
    assert_string_equal(first->cluster[0], "2");
    assert_string_equal(first->smem, "4 * half");
    assert_string_equal(first->args[1],
                        "tma {\"tma\":\"input\",\"dims\":[\"hidden * 2\",\"tokens\"],"
                        "\"strides\":[\"hidden * 2 * dtype_bytes\"],\"box\":[64,8],"
                        "\"swizzle\":128,\"l2\":256,\"oob\":\"nan\"}");
    drop(&f);
}

static void unknown_words_have_a_suggestion(void **state) {
    (void)state;
    says("[\"silu\"]", "[\"silo\"]",
         "mine.cu:3:11: error: ops[0]: unknown op \"silo\", did you mean \"silu\"?\n");
    says("\"block\":", "\"blok\": 1, \"block\":",
         "mine.cu:5:5: error: variants.plain: unknown key \"blok\", did you mean "
         "\"block\"?\n");
    says(
        "\"grid\": \"ceil_div(tokens", "\"grid\": \"ceil_div(tokns",
        "mine.cu:4:39: error: variants.plain.grid: `ceil_div(tokns * hidden, 256)`, column "
        "10: unknown name `tokns`, did you mean `tokens`?\n");
    says(
        "\"input\", \"out\"", "\"inputs\", \"out\"",
        "mine.cu:5:28: error: variants.plain.args[0]: silu has no tensor `inputs`, did you "
        "mean `input`?\n");
    says("my_silu<KB_T>", "my_sulu<KB_T>",
         "mine.cu:4:14: error: variants.plain.entry: no `my_sulu` in mine.cu, did you mean "
         "`my_silu`?\n");
    says("my_silu<KB_T>", "my_silu<KB_TT>",
         "mine.cu:4:14: error: variants.plain.entry: unknown macro `KB_TT`, did you mean "
         "`KB_T`?\n");
}

static void arguments_are_tensors_scratch_or_typed_numbers(void **state) {
    (void)state;
    says("\"i32 hidden\"", "\"hidden\"",
         "mine.cu:5:67: error: variants.plain.args[3]: a number needs a type: \"i32 "
         "hidden\"\n");
    says("\"i32 hidden\"", "\"int hidden\"",
         "mine.cu:5:67: error: variants.plain.args[3]: no type in front: i32 i64 u32 u64 "
         "f32 f64\n");
    says("\"i32 hidden\"", "\"i32 0.5\"",
         "mine.cu:5:67: error: variants.plain.args[3]: `0.5` is a float, a whole number is "
         "wanted\n");
    accepts("\"i32 hidden\"", "\"f32 hidden / 2.0\"");
    says("\"i32 hidden\"", "7",
         "mine.cu:5:67: error: variants.plain.args[3]: must be a tensor, a typed scalar or "
         "a TMA descriptor\n");
    says("\"input\", \"out\"", "\"input\"",
         "mine.cu:3:34: error: variants.plain: `out`, an output of silu, is no argument of "
         "any launch\n");
}

static void fields_have_their_types(void **state) {
    static const struct {
        const char *field, *want; /* put in front of "block" */
    } table[] = {
        {"\"why\": 1,", "5:12: error: variants.plain.why: must be text"},
        {"\"pdl\": 1,", "5:12: error: variants.plain.pdl: must be true or false"},
        {"\"smem\": [],", "5:13: error: variants.plain.smem: must be an expression (text) "
                          "or a whole number"},
        {"\"smem\": 1.5,", "5:13: error: variants.plain.smem: must be an expression (text) "
                           "or a whole number"},
        {"\"smem\": \"1.5\",",
         "5:13: error: variants.plain.smem: `1.5` is a float, a whole "
         "number is wanted"},
        {"\"cluster\": [],",
         "5:16: error: variants.plain.cluster: must have 1 to 3 items, got 0"},
        {"\"cluster\": [1,1,1,1],",
         "5:16: error: variants.plain.cluster: must have 1 to 3 items, got 4"},
        {"\"dtypes\": [\"e4m3\"],",
         "5:16: error: variants.plain.dtypes[0]: silu has no dtype e4m3"},
        {"\"dtypes\": [\"f8\"],", "5:16: error: variants.plain.dtypes[0]: unknown dtype, "
                                  "there are bf16 fp16 fp32 e4m3 i32 u8"},
        {"\"backends\": [\"gpu\"],",
         "5:18: error: variants.plain.backends[0]: must be \"cuda\" or \"host\""},
        {"\"arch\": \"sm_90\",",
         "5:13: error: variants.plain.arch: must be an architecture "
         "like \"90\", \"90a\" or \"100f\""},
        {"\"align\": 24,",
         "5:14: error: variants.plain.align: must be a power of two from 1 to 256"},
        {"\"let\": {\"tokens\": 1},",
         "5:13: error: variants.plain.let.tokens: the name is taken"},
        {"\"let\": {\"a b\": 1},", "5:13: error: variants.plain.let[\"a b\"]: is no name: "
                                   "letters, digits and _"},
        {"\"let\": {\"b\": \"c\", \"c\": 1},",
         "5:18: error: variants.plain.let.b: `c`, column 1: unknown name `c`"},
        {"\"scratch\": {\"s\": {\"bytes\": 4, \"start\": \"one\"}},",
         "5:44: error: variants.plain.scratch.s.start: must be \"zero\", \"poison\" or "
         "\"keep\""},
        {"\"scratch\": {\"out\": {\"bytes\": 4}},",
         "5:17: error: variants.plain.scratch.out: the name is taken"},
        {"\"defines\": {\"KB-X\": 1},",
         "5:17: error: variants.plain.defines.KB-X: is no macro name"},
        {"\"defines\": {\"KB_X\": \"$(ls)\"},",
         "5:25: error: variants.plain.defines.KB_X: no quotes, $ or \\ in a macro"},
        {"\"defines\": {\"KB_T\": \"int\"},",
         "3:34: error: variants.plain: defines: KB_T is silu's own macro"},
        {"\"defines\": {\"KB_X\": \"KB_Y\", \"KB_Y\": \"KB_X\"},",
         "3:34: error: variants.plain: defines: KB_X goes round in circles"},
    };
    (void)state;
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        struct fixture f;
        char *field = NULL, want[300];
        struct kb_buf to = {0};
        kb_buf_printf(&to, "%s \"block\":", table[i].field);
        field = with(plain, "\"block\":", kb_buf_text(&to));
        snprintf(want, sizeof want, "mine.cu:%s\n", table[i].want);
        assert_false(parse(&f, field));
        assert_string_equal(kb_buf_text(&f.c.text), want);
        drop(&f);
        kb_buf_free(&to);
        free(field);
    }
}

static void tma_descriptors_are_checked(void **state) {
    static const struct {
        const char *json, *want;
    } table[] = {
        {"{\"tma\": \"inpt\", \"dims\": [8], \"box\": [8]}",
         "67: error: variants.plain.args[3].tma: silu has no tensor `inpt`, did you mean "
         "`input`?"},
        {"{\"tma\": \"input\", \"box\": [8]}",
         "67: error: variants.plain.args[3]: \"dims\" is missing"},
        {"{\"tma\": \"input\", \"dims\": [8, 8], \"box\": [8]}",
         "67: error: variants.plain.args[3].box: must be a list of 2 expressions"},
        {"{\"tma\": \"input\", \"dims\": [1,2,3,4,5,6], \"box\": [8]}",
         "67: error: variants.plain.args[3].dims: must be a list of 1 to 5 expressions"},
        {"{\"tma\": \"input\", \"dims\": [\"hiden\"], \"box\": [8]}",
         "67: error: variants.plain.args[3].dims[0]: `hiden`, column 1: unknown name "
         "`hiden`, did you mean `hidden`?"},
        {"{\"tma\": \"input\", \"dims\": [8], \"box\": [8], \"swizzle\": 96}",
         "67: error: variants.plain.args[3].swizzle: must be one of 0, 32, 64, 128"},
        {"{\"tma\": \"input\", \"dims\": [8], \"box\": [8], \"oob\": \"one\"}",
         "67: error: variants.plain.args[3].oob: must be \"zero\" or \"nan\""},
        {"{\"dims\": [8]}",
         "67: error: variants.plain.args[3]: \"tma\" must name a tensor"},
    };
    (void)state;
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        struct fixture f;
        char *text = with(plain, "\"i32 hidden\"", table[i].json);
        const char *want = strchr(table[i].want, ' '), *got;
        assert_false(parse(&f, text));
        got = strstr(kb_buf_text(&f.c.text), " error:");
        assert_non_null(got);
        assert_int_equal(strncmp(got, want, strlen(want)), 0);
        assert_int_equal(f.c.count, 1);
        drop(&f);
        free(text);
    }
}

static void all_mistakes_of_a_file_are_said_at_once(void **state) {
    struct fixture f;
    char *text = with(plain, "\"block\": 256, \"args\": [\"input\"",
                      "\"block\": \"hiden\", \"smem\": true, \"args\": [\"inptu\"");
    (void)state;
    assert_false(parse(&f, text));
    assert_int_equal(f.c.count, 3);
    drop(&f);
    free(text);
}

static void a_name_in_a_comment_or_a_string_is_no_kernel(void **state) {
    (void)state;
    says("__global__ void my_silu(",
         "/* my_silu */ const char *s = \"my_silu\"; void other(",
         "mine.cu:4:14: error: variants.plain.entry: no `my_silu` in mine.cu\n");
}

static void
what_the_first_variant_is_told_of_the_file_s_names_is_not_repeated(void **state) {
    struct fixture f;
    char *text = with(plain, "\"variants\": {",
                      "\"let\": {\"a\": \"b\"}, \"variants\": { \"other\": { \"entry\": "
                      "\"my_silu<float>\", \"grid\": \"a\", \"block\": 1, \"args\": "
                      "[\"input\", \"out\", \"i64 a\", \"i32 1\"] }, ");
    (void)state;
    assert_false(parse(&f, text));
    assert_string_equal(kb_buf_text(&f.c.text),
                        "mine.cu:3:33: error: let.a: `b`, column 1: unknown name `b` (for "
                        "other)\n");
    drop(&f);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(six_lines_are_a_contract),
        cmocka_unit_test(every_field_is_read),
        cmocka_unit_test(unknown_words_have_a_suggestion),
        cmocka_unit_test(arguments_are_tensors_scratch_or_typed_numbers),
        cmocka_unit_test(fields_have_their_types),
        cmocka_unit_test(tma_descriptors_are_checked),
        cmocka_unit_test(all_mistakes_of_a_file_are_said_at_once),
        cmocka_unit_test(a_name_in_a_comment_or_a_string_is_no_kernel),
        cmocka_unit_test(
            what_the_first_variant_is_told_of_the_file_s_names_is_not_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
