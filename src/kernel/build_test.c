/* build_test.c - named sets of flags, and which flags a file may ask for. */
#include "kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static char *joined(const struct kb_build *build, struct kb_arena *arena) {
    struct kb_buf text = {0};
    for (size_t i = 0; i < build->flags.count; i++)
        kb_buf_printf(&text, "%s%s", i ? " " : "", build->flags.items[i]);
    char *copy = kb_arena_strdup(arena, kb_buf_text(&text));
    kb_buf_free(&text);
    return copy;
}

static void builds_have_these_flags(void **state) {
    static const struct {
        const char *text, *name, *flags;
        bool fast_math, from_nvcc;
    } table[] = {
        {"precise", "precise", "-std=c++17", false, false},
        {"fast-math", "fast-math", "-std=c++17 --use_fast_math", true, false},
        {"aot", "aot", "-std=c++17", false, true},
        {"aot-fast-math", "aot-fast-math", "-std=c++17 --use_fast_math", true, true},
        {"mine=-DX=1  --fmad=false", "mine", "-std=c++17 -DX=1 --fmad=false", false, false},
        {"m-2=-std=c++20 -use_fast_math", "m-2", "-std=c++20 -use_fast_math", true, false},
        {"ftz=--ftz=true", "ftz", "-std=c++17 --ftz=true", true, false},
        {"div=--prec-div=false", "div", "-std=c++17 --prec-div=false", true, false},
        {"e=", "e", "-std=c++17", false, false},
        {"any=--time=x", "any", "-std=c++17 --time=x", false, false}, /* the user's own */
        {"precise+KB_N=64", "precise+KB_N=64", "-std=c++17 -DKB_N=64", false, false},
        {"aot-fast-math+A=1+B=x_2", "aot-fast-math+A=1+B=x_2",
         "-std=c++17 --use_fast_math -DA=1 -DB=x_2", true, true},
        {"auto+A=-1", "auto+A=-1", "-std=c++17 --use_fast_math -DA=-1", true, false},
        {"mine+A=1=-DX=a+b -g", "mine+A=1", "-std=c++17 -DX=a+b -g -DA=1", false, false},
    };
    (void)state;
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        struct kb_arena arena = {0};
        struct kb_build build;
        struct kb_err err = {0};
        if (!kb_build_parse(table[i].text, true, &arena, &build, &err))
            fail_msg("%s", err.msg);
        kb_build_resolve(&build, 90, &arena);
        assert_string_equal(build.name, table[i].name);
        assert_string_equal(joined(&build, &arena), table[i].flags);
        assert_int_equal(build.fast_math, table[i].fast_math);
        assert_int_equal(build.from_nvcc, table[i].from_nvcc);
        kb_arena_free(&arena);
    }
}

static void auto_is_fast_below_sm_100(void **state) {
    struct kb_arena arena = {0};
    struct kb_build build;
    struct kb_err err = {0};
    (void)state;
    assert_true(kb_build_parse("auto", false, &arena, &build, &err));
    kb_build_resolve(&build, 90, &arena);
    assert_string_equal(joined(&build, &arena), "-std=c++17 --use_fast_math");
    assert_true(build.fast_math);
    kb_build_resolve(&build, 100, &arena);
    assert_string_equal(joined(&build, &arena), "-std=c++17");
    assert_false(build.fast_math);
    kb_arena_free(&arena);
}

static void names_are_known_or_have_flags(void **state) {
    static const struct {
        const char *text, *want;
    } table[] = {
        {"fastmath", "unknown build \"fastmath\", did you mean \"fast-math\"?"},
        {"zzz", "unknown build \"zzz\"; there are precise, fast-math, auto, aot, "
                "aot-fast-math and NAME=FLAGS"},
        {"precise=-DX", "build precise has its flags already"},
        {"Mine=-DX", "build \"Mine\": a name has up to 32 of a-z, 0-9 and -"},
        {"=-DX", "build \"\": a name has up to 32 of a-z, 0-9 and -"},
        {"-x=-DX", "build \"-x\": a name has up to 32 of a-z, 0-9 and -"},
    };
    (void)state;
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        struct kb_arena arena = {0};
        struct kb_build build;
        struct kb_err err = {0};
        assert_false(kb_build_parse(table[i].text, true, &arena, &build, &err));
        assert_int_equal(err.kind, KB_INPUT);
        assert_string_equal(err.msg, table[i].want);
        kb_arena_free(&arena);
    }
}

static void files_may_ask_for_harmless_flags_only(void **state) {
    static const char *const fine[] = {"-DX",
                                       "-DX=1",
                                       "-DKB_N=a<b>",
                                       "-UX",
                                       "-Iinclude/a",
                                       "-I./a/..b",
                                       "-std=c++20",
                                       "--use_fast_math",
                                       "-lineinfo",
                                       "--ftz=true",
                                       "--fmad=false",
                                       "--maxrregcount=64",
                                       "-maxrregcount=255"};
    static const char *const refused[] = {"--time=x",
                                          "--create-pch=x",
                                          "-include",
                                          "-include=/etc/passwd",
                                          "-I/etc",
                                          "-I../a",
                                          "-Ia,/etc",
                                          "-Ia/../../b",
                                          "-I~/x",
                                          "-I",
                                          "-D",
                                          "-D1=2",
                                          "-DX=$(ls)",
                                          "-DX=`ls`",
                                          "-DX=\"a\"",
                                          "-UX=1",
                                          "@file",
                                          "-o",
                                          "-ofile",
                                          "-fplugin=x",
                                          "-wrapper",
                                          "-specs=x",
                                          "-B.",
                                          "-ccbin=x",
                                          "--maxrregcount=999",
                                          "--maxrregcount=-0",
                                          "-Xptxas=-v",
                                          "--options-file",
                                          "--maxrregcount=",
                                          "-std=c++98",
                                          "--ftz=maybe",
                                          "x",
                                          "-DX\n-include"};
    (void)state;
    for (size_t i = 0; i < KB_COUNT(fine) + KB_COUNT(refused); i++) {
        struct kb_arena arena = {0};
        struct kb_build build;
        struct kb_err err = {0};
        bool ok = i < KB_COUNT(fine);
        const char *flag = ok ? fine[i] : refused[i - KB_COUNT(fine)];
        char *text = kb_arena_printf(&arena, "mine=%s", flag);
        if (kb_build_parse(text, false, &arena, &build, &err) != ok)
            fail_msg("%s is %s", flag, ok ? "refused" : "allowed");
        if (!ok)
            assert_non_null(
                strstr(err.msg, "is not allowed in a file; allowed are -DNAME"));
        kb_arena_free(&arena);
    }
}

static void the_list_of_names_is_what_parses(void **state) {
    (void)state;
    for (size_t i = 0; kb_build_names[i]; i++) {
        struct kb_arena arena = {0};
        struct kb_build build;
        struct kb_err err = {0};
        assert_true(kb_build_parse(kb_build_names[i], false, &arena, &build, &err));
        assert_string_equal(build.name, kb_build_names[i]);
        kb_arena_free(&arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builds_have_these_flags),
        cmocka_unit_test(auto_is_fast_below_sm_100),
        cmocka_unit_test(names_are_known_or_have_flags),
        cmocka_unit_test(files_may_ask_for_harmless_flags_only),
        cmocka_unit_test(the_list_of_names_is_what_parses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
