/* disassemble_test.c - of disassembled code the kernels that are asked for. */
#include "jit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SECTION(name, entry)                                                               \
    "//--------------------- .text." name " ---\n"                                         \
    "\t.section\t.text." name "\n" entry "        /*0000*/  " name " ;\n"
#define ENTRY "\t.other\tx,@\"STO_CUDA_ENTRY STV_DEFAULT\"\n"

static void keep(const char *text, const char *const *kernels, size_t n, const char *want) {
    struct kb_arena arena = {0};
    struct kb_strings list = {0};
    struct kb_buf got = {0};
    for (size_t i = 0; i < n; i++)
        kb_strings_add(&list, &arena, kernels[i]);
    kb_sass_keep(text, strlen(text), &list, &got);
    assert_string_equal(kb_buf_text(&got), want);
    kb_buf_free(&got);
    kb_arena_free(&arena);
}

static void other_kernels_go_and_functions_stay(void **state) {
    static const char *const ours[] = {"_Z1bv"};
    (void)state;
    keep("\t.target\tsm_90a\n\n" SECTION("_Z1av", ENTRY) SECTION("_Z1bv", ENTRY)
             SECTION("helper", "") SECTION("_Z1bvx", ENTRY),
         ours, 1, "\t.target\tsm_90a\n\n" SECTION("_Z1bv", ENTRY) SECTION("helper", ""));
}

static void each_of_several_is_kept_in_its_place(void **state) {
    static const char *const ours[] = {"c", "a"};
    (void)state;
    keep(SECTION("a", ENTRY) SECTION("b", ENTRY) SECTION("c", ENTRY), ours, 2,
         SECTION("a", ENTRY) SECTION("c", ENTRY));
}

static void cuobjdump_s_functions_are_told_by_their_line(void **state) {
    static const char *const ours[] = {"b"};
    (void)state;
    keep("Fatbin\n\t\tFunction : a\n\tnop\n\t\tFunction : b\n\tadd\n", ours, 1,
         "Fatbin\n\t\tFunction : b\n\tadd\n");
}

static void text_that_is_neither_stays_as_it_is(void **state) {
    static const char *const ours[] = {"b"};
    (void)state;
    keep("", ours, 1, "");
    keep("one\ntwo", ours, 1, "one\ntwo");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_kernels_go_and_functions_stay),
        cmocka_unit_test(each_of_several_is_kept_in_its_place),
        cmocka_unit_test(cuobjdump_s_functions_are_told_by_their_line),
        cmocka_unit_test(text_that_is_neither_stays_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
