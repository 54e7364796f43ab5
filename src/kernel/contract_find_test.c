/* contract_find_test.c - contracts and kernels in the text of a .cu: where they stand, and
 * what is said of a text that has none or is broken. */
#include "kernel/contract_fixture.h"
#include "kernel/parts.h"

#include <stdio.h>
#include <stdlib.h>

static void a_contract_is_the_first_comment_that_starts_with_kbench(void **state) {
    static const struct {
        const char *text, *want; /* of a contract with nothing in it */
    } table[] = {
        {"/* kbench {} */", "1:11"},
        {"/*kbench{}*/", "1:9"},
        {"\xef\xbb\xbf// a\n/* b */ /* kbench\n  {} */", "3:3"},
        {"// a \\\n int x;\n/*\n kbench\n{} */", "5:1"},
        {"/* kbenches */ /* kbench {} */", "1:26"},
    };
    (void)state;
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        struct fixture f;
        char want[200];
        assert_false(parse(&f, table[i].text));
        snprintf(want, sizeof want,
                 "mine.cu:%s: error: \"ops\" is missing\n"
                 "mine.cu:%s: error: \"variants\" is missing\n",
                 table[i].want, table[i].want);
        assert_string_equal(kb_buf_text(&f.c.text), want);
        drop(&f);
    }
}

static void a_missing_contract_is_said_where_it_was_looked_for(void **state) {
    static const struct {
        const char *text, *want;
    } table[] = {
        {"", "mine.cu:1:1: error: no contract: a kernel starts with a comment `/* kbench "
             "{...} */`, see kernels/README.md\n"},
        {"// a\n\n#include \"kb.cuh\"\n",
         "mine.cu:3:1: error: no contract: a kernel starts with a comment `/* kbench {...} "
         "*/`, see kernels/README.md\n"},
        {"int x;\n  /* kbench {} */",
         "mine.cu:2:3: error: the contract must stand before any code and any #include\n"},
        {"\n/* kbench {}", "mine.cu:2:1: error: the contract's comment has no end\n"},
    };
    (void)state;
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        struct fixture f;
        assert_false(parse(&f, table[i].text));
        assert_string_equal(kb_buf_text(&f.c.text), table[i].want);
        drop(&f);
    }
}

static void a_syntax_error_has_its_place_in_the_cu(void **state) {
    static const struct {
        const char *from, *to, *place;
    } table[] = {
        {"\"block\": 256,", "\"block\" 256,", "mine.cu:5:13: error: "},
        {"} } }\n*/", "} }\n*/", "mine.cu:6:1: error: "},
        {"\"block\": 256,", "\"block\": 256, \"block\": 1,", "mine.cu:5:19: error: "},
    };
    (void)state;
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        struct fixture f;
        char *text = with(plain, table[i].from, table[i].to);
        assert_false(parse(&f, text));
        assert_int_equal(f.c.count, 1);
        assert_true(kb_starts_with(kb_buf_text(&f.c.text), table[i].place));
        assert_null(strstr(kb_buf_text(&f.c.text) + 1, "mine.cu"));
        drop(&f);
        free(text);
    }
}

static void no_prefix_of_a_contract_crashes(void **state) {
    struct kb_arena arena = {0};
    struct kb_kernel kernel;
    (void)state;
    for (size_t n = 0; n < strlen(plain); n++) {
        struct kb_complaints c = {0};
        char *text = kb_arena_strndup(&arena, plain, n);
        bool ok = kb_kernel_parse("mine.cu", text, n, "given", &arena, &kernel, &c);
        assert_int_equal(ok, !c.count);
        kb_complaints_free(&c);
        for (size_t i = 0; i < n; i += 3) { /* and with a character of it changed */
            char was = text[i];
            text[i] = "{}[]\",:*/\0 1x"[(n + i) % 13];
            kb_kernel_parse("mine.cu", text, n, "given", &arena, &kernel, &c);
            kb_complaints_free(&c);
            text[i] = was;
        }
        kb_arena_reset(&arena);
    }
    kb_arena_free(&arena);
}

static void a_nul_is_refused(void **state) {
    static const char text[] = "/* kbench {} */\0";
    struct fixture f = {0};
    (void)state;
    assert_false(kb_kernel_parse("mine.cu", text, sizeof text - 1, "given", &f.arena,
                                 &f.kernel, &f.c));
    assert_string_equal(kb_buf_text(&f.c.text), "mine.cu: error: holds a NUL at byte 15\n");
    drop(&f);
}

static void a_kernel_s_name_stands_behind_its_attributes(void **state) {
    (void)state;
    static const char text[] =
        "__global__ void __launch_bounds__(1'024 /* (of 32 warps */) first(int);\n"
        "__global__ __attribute__((annotate(\")\"))) void second /* ( */ (int *p) {}\n"
        "extern \"C\" __global__ void alignas(16) third // (\n();"
        "__global__ __attribute__((annotate(R\"(\n)) x()\"))) void fourth();";
    static const char *const names[] = {"first", "second", "third", "fourth"};
    struct kb_arena arena = {0};
    struct kb_strings kernels = {0};
    kb_source_kernels(text, sizeof text - 1, &arena, &kernels);
    assert_int_equal(kernels.count, KB_COUNT(names));
    for (size_t i = 0; i < kernels.count; i++)
        assert_string_equal(kernels.items[i], names[i]);
    kb_arena_free(&arena);
}

static void words_are_those_of_the_code_alone(void **state) {
    (void)state;
    static const char text[] =
        "code // not, here \\\\\n nor_here \\\n\\\n nor_there\n"
        "after /* not */ all/*/ inside */ \"no \\\" no\" 'n' 0x1f // end";
    static const char *const words[] = {"code", "after", "all"};
    static const char *const none[] = {"not",    "here", "nor_here", "nor_there",
                                       "inside", "no",   "n",        "x1f",
                                       "end",    "cod",  "codee"};
    struct kb_arena arena = {0};
    const struct kb_words all = kb_words_make(text, sizeof text - 1, &arena);
    assert_int_equal(all.n, KB_COUNT(words));
    for (size_t i = 0; i < KB_COUNT(words); i++) {
        assert_true(kb_words_has(&all, words[i]));
        assert_true(kb_source_uses(text, sizeof text - 1, words[i]));
    }
    for (size_t i = 0; i < KB_COUNT(none); i++) {
        assert_false(kb_words_has(&all, none[i]));
        assert_false(kb_source_uses(text, sizeof text - 1, none[i]));
    }
    kb_arena_free(&arena);
}

static void every_word_of_our_kernels_is_found_again(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    struct kb_strings files = {0};
    size_t most = 0;
    kb_asset_list("kernels/", &arena, &files);
    for (size_t f = 0; f < files.count; f++) {
        const struct kb_asset *file = kb_asset_find(files.items[f]);
        const struct kb_words words = kb_words_make(file->text, file->size, &arena);
        size_t at = 0, begin;
        while (kb_source_next(file->text, file->size, &at, &begin))
            assert_true(kb_words_has(
                &words, kb_arena_strndup(&arena, file->text + begin, at - begin)));
        assert_false(kb_words_has(&words, "no_word_of_a_kernel"));
        most = words.n > most ? words.n : most;
    }
    assert_true(most > 128); /* so that a table has grown */
    kb_arena_free(&arena);
}

static void a_file_that_is_not_there_is_said_once(void **state) {
    struct fixture f = {0};
    (void)state;
    assert_false(kb_kernel_load("no/such.cu", &f.arena, &f.kernel, &f.c));
    assert_string_equal(kb_buf_text(&f.c.text),
                        "no/such.cu: error: cannot open: No such file or directory\n");
    drop(&f);
}

static void every_op_has_a_kernel_file_that_names_it(void **state) {
    (void)state;
    for (int i = 0; i < kb_op_count; i++) {
        struct fixture f = {0};
        if (!kb_kernel_builtin(kb_ops[i], &f.arena, &f.kernel, &f.c))
            fail_msg("%s", kb_buf_text(&f.c.text));
        assert_true(kb_kernel_has_op(&f.kernel, kb_ops[i]->name));
        for (int v = 0; v < f.kernel.n_variants; v++)
            assert_non_null(f.kernel.variants[v].why);
        drop(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_contract_is_the_first_comment_that_starts_with_kbench),
        cmocka_unit_test(a_missing_contract_is_said_where_it_was_looked_for),
        cmocka_unit_test(a_syntax_error_has_its_place_in_the_cu),
        cmocka_unit_test(no_prefix_of_a_contract_crashes),
        cmocka_unit_test(a_nul_is_refused),
        cmocka_unit_test(a_kernel_s_name_stands_behind_its_attributes),
        cmocka_unit_test(words_are_those_of_the_code_alone),
        cmocka_unit_test(every_word_of_our_kernels_is_found_again),
        cmocka_unit_test(a_file_that_is_not_there_is_said_once),
        cmocka_unit_test(every_op_has_a_kernel_file_that_names_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
