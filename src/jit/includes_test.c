/* includes_test.c - which headers a kernel's text names. */
#include "jit.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct kb_arena arena;
    struct kb_kernel kernel;
    struct kb_includes found;
    struct kb_err err;
    struct kb_temp temp;
    const char *root;
};

static void write_file(struct fixture *f, const char *name, const char *text, size_t size) {
    const char *path = kb_arena_printf(&f->arena, "%s/%s", f->root, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && kb_write_all(fd, text, size));
    close(fd);
}

static int setup(void **state) {
    struct fixture *f = test_calloc(1, sizeof *f);
    *state = f;
    if (!kb_temp_make(&f->temp, &f->err))
        return -1;
    f->root = f->temp.path;
    f->kernel.path = kb_arena_printf(&f->arena, "%s/mine.cu", f->root);
    f->kernel.user = true;
    const char *sub = kb_arena_printf(&f->arena, "%s/sub", f->root);
    if (mkdir(sub, 0700))
        return -1;
    write_file(f, "a.h", "// a\n", 5);
    write_file(f, "b.h", "// b\n", 5);
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    kb_temp_free(&f->temp);
    kb_arena_free(&f->arena);
    test_free(f);
    return 0;
}

static bool collect(struct fixture *f, const char *text) {
    f->kernel.text = text;
    f->kernel.size = strlen(text);
    return kb_includes_collect(&f->kernel, &f->arena, &f->found, &f->err);
}

/* The names found, joined by blanks. */
static void expect(struct fixture *f, const char *text, const char *want) {
    struct kb_buf got = {0};
    if (!collect(f, text))
        fail_msg("%s", f->err.msg);
    for (int i = 0; i < f->found.count; i++)
        kb_buf_printf(&got, "%s%s", i ? " " : "", f->found.items[i].name);
    assert_string_equal(kb_buf_text(&got), want);
    kb_buf_free(&got);
}

static void directives_are_found_as_a_compiler_sees_them(void **state) {
    struct fixture *f = *state;
    expect(f, "#include \"a.h\"", "a.h");
    expect(f, "\n  #  include /* why */ \"a.h\" // more\n#include<b.h>\n", "a.h");
    expect(f, "/* head */ #include \"a.h\"\n#include \"b.h\"\n#include \"a.h\"\n",
           "a.h b.h");
    expect(f, "int x; #include \"a.h\"\n", "");
    expect(f, "#include \"a.h\n#include \"b.h\"\n", "b.h");
    expect(f, "#include\n\"a.h\"\n", "");
    expect(f, "", "");
    expect(f, "#", "");
}

static void comments_and_literals_hide_directives(void **state) {
    struct fixture *f = *state;
    expect(f, "// #include \"a.h\"\n", "");
    expect(f, "/*\n#include \"a.h\"\n*/\n", "");
    expect(f, "/* kbench\n{ \"ops\": [] }\n*/\n#include \"b.h\"\n", "b.h");
    expect(f, "const char *s = \"/*\";\n#include \"a.h\"\n", "a.h");
    expect(f, "char q = '\"';\n#include \"a.h\"\n", "a.h");
    expect(f, "const char *s = \"\\\"//\\\\\";\n#include \"a.h\"\n/*", "a.h");
    expect(f, "int n = 1'000'000;\n#include \"a.h\"\n", "a.h");
}

static void headers_of_headers_are_found_beside_them(void **state) {
    struct fixture *f = *state;
    write_file(f, "sub/c.h", "#include \"d.h\"\n", 15);
    write_file(f, "sub/d.h", "#include \"sub/c.h\"\n", 19); /* round in circles */
    expect(f, "#include \"sub/c.h\"\n", "sub/c.h d.h");
    assert_string_equal(f->found.items[1].text, "#include \"sub/c.h\"\n");
}

static void what_is_nowhere_is_left_to_the_compiler(void **state) {
    expect(*state, "#include \"cuda_bf16.h\"\n#include \"nowhere.h\"\n", "");
}

static void two_files_of_one_name_are_refused(void **state) {
    struct fixture *f = *state;
    write_file(f, "sub/c.h", "#include \"a.h\"\n", 15);
    write_file(f, "sub/a.h", "// another\n", 11);
    assert_false(collect(f, "#include \"a.h\"\n#include \"sub/c.h\"\n"));
    assert_int_equal(f->err.kind, KB_INPUT);
    assert_non_null(strstr(f->err.msg, "\"a.h\" is two different files"));
}

static void header_with_a_nul_byte_is_refused(void **state) {
    struct fixture *f = *state;
    write_file(f, "a.h", "int\0x;", 6);
    assert_false(collect(f, "#include \"a.h\"\n"));
    assert_non_null(strstr(f->err.msg, "a.h: holds a NUL byte"));
}

static void too_many_headers_are_refused(void **state) {
    struct fixture *f = *state;
    struct kb_buf text = {0};
    for (int i = 0; i < 65; i++) {
        const char *name = kb_arena_printf(&f->arena, "sub/%d.h", i);
        write_file(f, name, "", 0);
        kb_buf_printf(&text, "#include \"%s\"\n", name);
    }
    assert_false(collect(f, text.data));
    assert_non_null(strstr(f->err.msg, "more than 64 headers"));
    kb_buf_free(&text);
}

static void built_in_kernel_sees_the_tools_own_files_only(void **state) {
    struct fixture *f = *state;
    f->kernel.user = false;
    expect(f, "#include \"a.h\"\n", "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(directives_are_found_as_a_compiler_sees_them),
        TEST(comments_and_literals_hide_directives),
        TEST(headers_of_headers_are_found_beside_them),
        TEST(what_is_nowhere_is_left_to_the_compiler),
        TEST(two_files_of_one_name_are_refused),
        TEST(header_with_a_nul_byte_is_refused),
        TEST(too_many_headers_are_refused),
        TEST(built_in_kernel_sees_the_tools_own_files_only),
    };
    return cmocka_run_group_tests_name("includes", tests, NULL, NULL);
}
