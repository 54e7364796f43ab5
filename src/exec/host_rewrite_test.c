/* host_rewrite_test.c - preprocessed text before and after. */
#include "host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* As the preprocessor names the kernel's own file. */
#define OWN "# 1 \"mine.cu\"\n"

static void assert_rewritten(const char *from, const char *to) {
    struct kb_buf out = {0};
    host_rewrite(from, strlen(from), &out);
    assert_string_equal(kb_buf_text(&out), to);
    kb_buf_free(&out);
}

static void text_without_shared_memory_stays_as_it_is(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "int x;",
        OWN "void f() {\n    const char *s = \"__shared__ int x;\"; // \\\n}\n",
        OWN "auto s = R\"end(\n__shared__ \" )\" int)end\"; char c = '\"', d = '\\'';\n",
        OWN "int million = 1'000'000; int hex = 0xff'ff;\n#pragma unroll 4\n",
        OWN "void f() { \"unfinished\n",
        OWN "void f(__shared__ int x; int y);",
        OWN "int x[sizeof __shared__ int; 1];",
        OWN "void f() { __shared__ int x __shared__ int y }",
        OWN "void f() { __shared__ int x[2; }",
    };
    for (size_t i = 0; i < KB_COUNT(texts); i++)
        assert_rewritten(texts[i], texts[i]);
}

static void gcc_is_told_to_unroll_what_has_a_number_for_its_bound(void **state) {
    (void)state;
    assert_rewritten(OWN "void f() {\n#pragma unroll\n    for (int i = 8; i >= 0; i--)\n}",
                     OWN "void f() {\n#pragma unroll\n    KBH_UNROLL for (int i = 8; i >= "
                         "0; i--)\n}");
    static const char *const texts[] = {
        OWN "void f() {\n#pragma unroll\n for (int i = 0; i < kN; i++) g(i, 8);\n}",
        OWN "void f() {\n#pragma unroll\n for (int x : {1, 2; 3}) g(x);\n}",
        OWN "void f() {\n#pragma unroll\n",
        OWN "void f() {\n#pragma unroll\n for",
        OWN "void f() {\n#pragma unroll 1\n for (int i = 0; i < 8; i++) g(i);\n}",
        "void f() {\n#pragma unroll\n for (int i = 0; i < 8; i++) g(i);\n}",
    };
    for (size_t i = 0; i < KB_COUNT(texts); i++)
        assert_rewritten(texts[i], texts[i]);
}

static void a_shared_array_becomes_a_typedef_and_a_macro(void **state) {
    (void)state;
    assert_rewritten(OWN "void f() { __shared__ float x[N + (a, b)]; x[0] = 1; }", OWN
                     "void f() { typedef  float kbh_type_x[N + (a, b)]; KBH_SHARED(x, ) "
                     "x[0] = 1; }");
    assert_rewritten(OWN "void f() { static __shared__ volatile int *p; }", OWN
                     "void f() { typedef   volatile int *kbh_type_p; KBH_SHARED(p, ) }");
}

static void several_declarators_and_template_types_are_told_apart(void **state) {
    (void)state;
    assert_rewritten(OWN "void f() { __shared__ pair<int, T> a[2][3], b, *c; }",
                     OWN "void f() { typedef  pair<int, T> kbh_type_a[2][3], kbh_type_b, "
                         "*kbh_type_c; KBH_SHARED(a, ) KBH_SHARED(b, ) KBH_SHARED(c, ) }");
    assert_rewritten(OWN "void f() { __shared__ typename S<T>::storage s; }",
                     OWN "void f() { typedef  typename S<T>::storage kbh_type_s; "
                         "KBH_SHARED(s, ) }");
    assert_rewritten(OWN "void f() { __shared__ union { int i; float f; } u; }",
                     OWN "void f() { typedef  union { int i; float f; } kbh_type_u; "
                         "KBH_SHARED(u, ) }");
}

static void alignments_move_to_the_variable(void **state) {
    (void)state;
    assert_rewritten(OWN "void f() { alignas(16) __shared__ char x[4]; }",
                     OWN "void f() { typedef   char kbh_type_x[4]; "
                         "KBH_SHARED(x, alignas(16) ) }");
    assert_rewritten(OWN
                     "void f() { __shared__ __attribute__((aligned(K * 2))) char x[4]; }",
                     OWN "void f() { typedef   char kbh_type_x[4]; "
                         "KBH_SHARED(x, alignas(K * 2) ) }");
    assert_rewritten(OWN "void f() { __shared__ char x[4] __attribute__((aligned(8))); }",
                     OWN "void f() { typedef  char kbh_type_x[4] ; "
                         "KBH_SHARED(x, alignas(8) ) }");
}

static void dynamic_shared_memory_has_a_macro_of_its_own(void **state) {
    (void)state;
    assert_rewritten(OWN "extern __shared__ float s[];",
                     OWN "typedef   float kbh_type_s[]; KBH_DYNAMIC(s)");
    assert_rewritten(OWN "void f() { extern volatile __shared__ int s[]; }", OWN
                     "void f() { typedef  volatile  int kbh_type_s[]; KBH_DYNAMIC(s) }");
}

static void a_variable_outside_of_functions_is_told_apart(void **state) {
    (void)state;
    assert_rewritten(OWN "namespace a { extern \"C\" { __shared__ int n; } }",
                     OWN "namespace a { extern \"C\" { typedef  int kbh_type_n; "
                         "KBH_SHARED_GLOBAL(n, ) } }");
    assert_rewritten(OWN "extern \"C\" void f() { __shared__ int n; }",
                     OWN "extern \"C\" void f() { typedef  int kbh_type_n; "
                         "KBH_SHARED(n, ) }");
}

static void lines_and_markers_survive(void **state) {
    (void)state;
    assert_rewritten(OWN "void f() {\n"
                         "# 7 \"mine.cu\" 2\n"
                         "    __shared__\n        alignas(\n 16) float x[\n4];\n}\n",
                     OWN "void f() {\n"
                         "# 7 \"mine.cu\" 2\n"
                         "    typedef \n        \n float kbh_type_x[\n4]; KBH_SHARED(x, "
                         "alignas( 16) )\n}\n");
}

static void launch_bounds_move_into_the_body(void **state) {
    (void)state;
    assert_rewritten(OWN "void __launch_bounds__(N * 2, 1) k(int x) {\n}",
                     OWN "void  k(int x) { KBH_BOUNDS( N * 2 , 1 ) \n}");
    assert_rewritten(OWN "void __launch_bounds__(256) k(int x);\nvoid k(int x) { }",
                     OWN "void  k(int x);\nvoid k(int x) { }");
}

static void inline_assembly_of_the_kernel_ends_the_run(void **state) {
    (void)state;
    assert_rewritten(OWN "void f() { asm volatile(\"x;\"\n : \"=f\"(y)); g(); }",
                     OWN "void f() { kbh_no_ptx(__FILE__, __LINE__)\n; g(); }");
    assert_rewritten(OWN "void f() { asm(R\"(a\nb)\"); }",
                     OWN "void f() { kbh_no_ptx(__FILE__, __LINE__)\n; }");
    /* no C++, which the compiler is to say */
    assert_rewritten(OWN "void f() { asm(\"x\") __shared__ int y; }", OWN
                     "void f() { kbh_no_ptx(__FILE__, __LINE__) typedef  int kbh_type_y; "
                     "KBH_SHARED(y, ) }");
    assert_rewritten(OWN "void f() { if (a) __asm__(\"x\"); else asm(\"y\"); }",
                     OWN "void f() { if (a) kbh_no_ptx(__FILE__, __LINE__); else "
                         "kbh_no_ptx(__FILE__, __LINE__); }");
}

static void words_of_programmatic_launches_have_bodies(void **state) {
    (void)state;
    assert_rewritten(OWN
                     "void f() { asm volatile(\"griddepcontrol.wait;\" ::: \"memory\"); }",
                     OWN "void f() { kb_host_wait_inputs(); }");
    assert_rewritten(OWN "void f() { asm(\"griddepcontrol.launch_dependents;\"); }",
                     OWN "void f() { ((void)0); }");
    assert_rewritten(OWN "void f() { asm(\"griddepcontrol.waits;\"); }",
                     OWN "void f() { kbh_no_ptx(__FILE__, __LINE__); }");
    assert_rewritten(OWN "void f() { asm(); }",
                     OWN "void f() { kbh_no_ptx(__FILE__, __LINE__); }");
}

static void other_assembly_is_left_alone(void **state) {
    (void)state;
    static const char *const texts[] = {
        "# 1 \"/usr/include/x.h\" 1 3\nvoid f() { asm(\"nop\"); }",
        "# 1 \"kbh/warp.h\" 1\nvoid f() { asm(\"nop\"); }",
        OWN "extern int f(int) __asm__(\"g\");",
        OWN "void f() { int asm_count = 1; register float x asm(\"r0\"); }",
    };
    for (size_t i = 0; i < KB_COUNT(texts); i++)
        assert_rewritten(texts[i], texts[i]);
}

static void files_lose_the_dot_that_clang_gives_them(void **state) {
    (void)state;
    assert_rewritten("# 1 \"./mine.cu\" 1\nint x;", "# 1 \"mine.cu\" 1\nint x;");
}

/* Broken text must not be read past its end: the compiler complains of it afterwards. */
static void every_prefix_of_a_text_can_be_rewritten(void **state) {
    (void)state;
    static const char text[] =
        OWN "extern \"C\" { template <class T> void __launch_bounds__(4) f() { __shared__ "
            "alignas(16) S<T, 2> x[3], y; extern __shared__ __attribute__((aligned(128))) "
            "char s[]; asm volatile(\"a\" : R\"q(b)q\" : 'c'); } }";
    for (size_t n = 0; n < sizeof text; n++) {
        struct kb_buf out = {0};
        struct kb_arena arena = {0};
        char *copy = kb_arena_strndup(&arena, text, n);
        host_rewrite(copy, n, &out);
        kb_arena_free(&arena);
        kb_buf_free(&out);
    }
}

static void a_word_is_used_outside_of_comments_and_literals_only(void **state) {
    (void)state;
    static const char text[] = "/* KB_T */ // KB_ACT\nint x = \"KB_T\"[0]; KB_ACT2 'K'; "
                               "#if KB_ROUND == 1\n";
    assert_false(host_uses(text, strlen(text), "KB_T"));
    assert_false(host_uses(text, strlen(text), "KB_ACT"));
    assert_true(host_uses(text, strlen(text), "KB_ACT2"));
    assert_true(host_uses(text, strlen(text), "KB_ROUND"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_without_shared_memory_stays_as_it_is),
        cmocka_unit_test(gcc_is_told_to_unroll_what_has_a_number_for_its_bound),
        cmocka_unit_test(a_shared_array_becomes_a_typedef_and_a_macro),
        cmocka_unit_test(several_declarators_and_template_types_are_told_apart),
        cmocka_unit_test(alignments_move_to_the_variable),
        cmocka_unit_test(dynamic_shared_memory_has_a_macro_of_its_own),
        cmocka_unit_test(a_variable_outside_of_functions_is_told_apart),
        cmocka_unit_test(lines_and_markers_survive),
        cmocka_unit_test(launch_bounds_move_into_the_body),
        cmocka_unit_test(inline_assembly_of_the_kernel_ends_the_run),
        cmocka_unit_test(words_of_programmatic_launches_have_bodies),
        cmocka_unit_test(other_assembly_is_left_alone),
        cmocka_unit_test(files_lose_the_dot_that_clang_gives_them),
        cmocka_unit_test(every_prefix_of_a_text_can_be_rewritten),
        cmocka_unit_test(a_word_is_used_outside_of_comments_and_literals_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
