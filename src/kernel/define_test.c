/* define_test.c - macros of a contract: names in its expressions, and what a build makes of
 * them. */
#include "kernel/h200_fixture.h"
#include "kernel/parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char swept[] =
    "/* kbench\n"
    "{ \"ops\": [\"silu\"], \"variants\": {\n"
    "  \"wide\": { \"defines\": { \"KB_N\": 256, \"KB_WORD\": \"fast\" },\n"
    "    \"let\": { \"blocks\": \"ceil_div(tokens * hidden, KB_N)\" },\n"
    "    \"when\": \"KB_N <= 512\",\n"
    "    \"entry\": \"k<KB_T, KB_N, {KB_N / 32}>\", \"grid\": \"blocks\", \"block\": "
    "\"KB_N\",\n"
    "    \"args\": [\"input\", \"out\"] },\n"
    "  \"plain\": { \"entry\": \"k<KB_T, 64, 2>\", \"grid\": 1, \"block\": 64,\n"
    "    \"args\": [\"input\", \"out\"] } } }\n"
    "*/\n"
    "template <class T, int n, int m> __global__ void k(const T *in, T *out) { KB_N; }\n";

struct fixture {
    struct kb_arena arena;
    struct kb_case c;
    struct kb_problem problem;
    struct kb_kernel kernel;
    struct kb_build build;
    const struct kb_kernel *with;
    struct kb_plan plan;
    struct kb_err err;
};

static void start(struct fixture *f, const char *build) {
    struct kb_complaints c = {0};
    *f = (struct fixture){0};
    if (!kb_case_parse("silu/8x128/bf16", &f->arena, &f->c, &c) ||
        !kb_case_resolve(&f->c, &f->problem, &f->err) ||
        !kb_kernel_parse("mine.cu", swept, strlen(swept), "given", &f->arena, &f->kernel,
                         &c) ||
        !kb_build_parse(build, true, &f->arena, &f->build, &f->err))
        fail_msg("%s%s", kb_buf_text(&c.text), f->err.msg);
    f->with = kb_kernel_with(&f->kernel, &f->build, &f->arena);
}

static bool plan(struct fixture *f, int variant) {
    return kb_plan_make(f->with, variant, &f->problem, "cuda", &h200, &f->arena, &f->plan,
                        &f->err);
}

static void expressions_and_entries_have_the_contract_s_value(void **state) {
    struct fixture f;
    (void)state;
    start(&f, "precise");
    assert_ptr_equal(f.with, &f.kernel);
    assert_true(plan(&f, 0));
    assert_string_equal(f.plan.launches[0].entry, "k<__nv_bfloat16, 256, 8>");
    assert_int_equal(f.plan.launches[0].grid[0], 2);
    assert_int_equal(f.plan.launches[0].block[0], 256);
    assert_true(kb_strings_has(&f.plan.defines, "KB_N=256"));
    kb_arena_free(&f.arena);
}

static void a_build_gives_a_macro_another_value(void **state) {
    static const char *const builds[] = {"precise+KB_N=128", "mine=-DKB_N=128 -lineinfo"};
    (void)state;
    for (size_t i = 0; i < KB_COUNT(builds); i++) {
        struct fixture f;
        start(&f, builds[i]);
        assert_true(plan(&f, 0));
        assert_string_equal(f.plan.launches[0].entry, "k<__nv_bfloat16, 128, 4>");
        assert_int_equal(f.plan.launches[0].grid[0], 4);
        assert_int_equal(f.plan.launches[0].block[0], 128);
        assert_true(kb_strings_has(&f.plan.defines, "KB_N=128"));
        f.with = &f.kernel; /* which is as it was */
        assert_true(plan(&f, 0));
        assert_int_equal(f.plan.launches[0].block[0], 256);
        kb_arena_free(&f.arena);
    }
}

static void a_variant_without_the_macro_is_not_for_the_build(void **state) {
    struct fixture f;
    (void)state;
    start(&f, "precise+KB_N=64");
    assert_false(plan(&f, 1));
    assert_int_equal(f.err.kind, KB_UNSUPPORTED);
    assert_string_equal(f.err.msg, "plain: its `defines` have no KB_N");
    kb_arena_free(&f.arena);
    start(&f, "precise");
    assert_true(plan(&f, 1));
    kb_arena_free(&f.arena);
}

static void when_sees_the_build_s_value(void **state) {
    struct fixture f;
    (void)state;
    start(&f, "precise+KB_N=1024");
    assert_false(plan(&f, 0));
    assert_string_equal(f.err.msg, "wide: its `when`, KB_N <= 512, is false for KB_N 1024");
    kb_arena_free(&f.arena);
}

static void a_flag_for_the_source_alone_changes_no_contract(void **state) {
    struct fixture f;
    (void)state;
    start(&f, "mine=-DKB_OTHER=3");
    assert_ptr_equal(f.with, &f.kernel);
    kb_arena_free(&f.arena);
}

static void a_macro_that_is_no_whole_number_is_no_name(void **state) {
    struct fixture f;
    (void)state;
    start(&f, "precise+KB_N=x");
    assert_false(plan(&f, 0));
    assert_int_equal(f.err.kind, KB_INPUT);
    assert_non_null(strstr(f.err.msg, "unknown name `KB_N`"));
    kb_arena_free(&f.arena);
}

static void macros_are_listed_once(void **state) {
    struct fixture f;
    struct kb_strings names = {0};
    (void)state;
    start(&f, "precise");
    kb_kernel_macros(&f.kernel, &f.arena, &names);
    assert_int_equal(names.count, 2);
    assert_string_equal(names.items[0], "KB_N");
    assert_string_equal(names.items[1], "KB_WORD");
    kb_arena_free(&f.arena);
}

static void a_label_is_all_but_the_flags(void **state) {
    static const struct {
        const char *text, *label, *with;
    } table[] = {
        {"precise", "precise", "precise+X=1"},
        {"precise+A=1", "precise+A=1", "precise+A=1+X=1"},
        {"mine=-DA=1+2 -g", "mine", "mine+X=1=-DA=1+2 -g"},
        {"mine+A=1=-g", "mine+A=1", "mine+A=1+X=1=-g"},
    };
    struct kb_arena arena = {0};
    (void)state;
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        const char *text = table[i].text;
        assert_string_equal(kb_arena_strndup(&arena, text, kb_build_label(text)),
                            table[i].label);
        assert_string_equal(kb_build_with(text, "X=1", &arena), table[i].with);
        assert_true(kb_build_is(table[i].label, text[0] == 'p' ? "precise" : "mine"));
    }
    assert_false(kb_build_is("precise+A=1", "precis"));
    kb_arena_free(&arena);
}

static void a_macro_in_a_label_is_a_name_and_a_word(void **state) {
    static const char *const wrong[] = {
        "precise+",     "precise+X",  "precise+X=", "precise+1=2", "precise+X=a b",
        "precise+X=$y", "precise+=1", "auto+X=1+",  "precise++X=1"};
    (void)state;
    for (size_t i = 0; i < KB_COUNT(wrong); i++) {
        struct kb_arena arena = {0};
        struct kb_build build;
        struct kb_err err = {0};
        if (kb_build_parse(wrong[i], true, &arena, &build, &err))
            fail_msg("%s is taken", wrong[i]);
        assert_int_equal(err.kind, KB_INPUT);
        kb_arena_free(&arena);
    }
}

/* What the code of a file comes to, of the macros that there are. */
static size_t defines_of(const char *code) {
    struct fixture f = {0};
    struct kb_complaints c = {0};
    const char *text = kb_arena_printf(
        &f.arena,
        "/* kbench { \"ops\": [\"silu\"], \"variants\": { \"v\": { \"defines\": { "
        "\"KB_N\": 2 "
        "}, \"entry\": \"k<KB_T, KB_N>\", \"grid\": 1, \"block\": 1, \"args\": [\"input\", "
        "\"out\"] } } } */ %s template <class T, int n> __global__ void k(T *a, T *b) {}",
        code);
    assert_true(kb_case_parse("silu/8x128/bf16", &f.arena, &f.c, &c));
    assert_true(kb_case_resolve(&f.c, &f.problem, &f.err));
    assert_true(
        kb_kernel_parse("mine.cu", text, strlen(text), "given", &f.arena, &f.kernel, &c));
    f.with = &f.kernel;
    assert_true(plan(&f, 0));
    size_t count = f.plan.defines.count;
    kb_arena_free(&f.arena);
    return count;
}

static void macros_that_entries_alone_use_are_no_flags(void **state) {
    size_t all = defines_of("#include \"mine.h\"\n");
    (void)state;
    assert_int_equal(defines_of(""), 0);
    assert_int_equal(defines_of("// KB_N\n"), 0);
    assert_int_equal(defines_of("#include \"kb.cuh\"\n#include <cuda_fp16.h>\n"), 0);
    assert_int_equal(defines_of("#include \"kb_sm90.cuh\"\n"), 0);
    assert_int_equal(defines_of("#include \"kb_mine.cuh\"\n"), all);
    assert_int_equal(defines_of("#if KB_N > 1\n#endif\n"), 1);
    assert_int_equal(defines_of("int a = KB_N + KB_ACT;\n"), 2);
    assert_true(all > 4);
    assert_int_equal(defines_of("#include <mine.h>\n"), all);
    assert_int_equal(defines_of("#define X(a) KB_##a\n"), all);
}

static void a_let_cannot_have_the_name_of_a_macro(void **state) {
    struct kb_arena arena = {0};
    struct kb_kernel kernel;
    struct kb_complaints c = {0};
    static const char text[] =
        "/* kbench { \"ops\": [\"silu\"], \"variants\": { \"v\": { \"defines\": { "
        "\"KB_N\": "
        "1 }, \"let\": { \"KB_N\": 2 }, \"entry\": \"k\", \"grid\": 1, \"block\": 1, "
        "\"args\": [\"input\", \"out\"] } } } */ __global__ void k();";
    (void)state;
    assert_false(
        kb_kernel_parse("mine.cu", text, strlen(text), "given", &arena, &kernel, &c));
    assert_non_null(strstr(kb_buf_text(&c.text), "the name is taken"));
    kb_complaints_free(&c);
    kb_arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions_and_entries_have_the_contract_s_value),
        cmocka_unit_test(a_build_gives_a_macro_another_value),
        cmocka_unit_test(a_variant_without_the_macro_is_not_for_the_build),
        cmocka_unit_test(when_sees_the_build_s_value),
        cmocka_unit_test(a_flag_for_the_source_alone_changes_no_contract),
        cmocka_unit_test(a_macro_that_is_no_whole_number_is_no_name),
        cmocka_unit_test(macros_are_listed_once),
        cmocka_unit_test(a_label_is_all_but_the_flags),
        cmocka_unit_test(a_macro_in_a_label_is_a_name_and_a_word),
        cmocka_unit_test(macros_that_entries_alone_use_are_no_flags),
        cmocka_unit_test(a_let_cannot_have_the_name_of_a_macro),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
