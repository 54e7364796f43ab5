/* host_key_test.c - what the host's compiled kernels depend on is in their cache key. Told
 * not to compile, a build names the key that it misses. */
#include "exec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct kb_temp temp;
    struct kb_arena arena;
    const char *text, *define, *flag;
    char last[128];
};

static void put(struct fixture *f, const char *name, const char *text, mode_t mode) {
    char *path = kb_arena_printf(&f->arena, "%s/%s", f->temp.path, name);
    struct kb_err err = {0};

    assert_true(kb_file_replace(path, text, strlen(text), &err));
    assert_int_equal(chmod(path, mode), 0);
}

static const char *in(struct fixture *f, const char *name) {
    return kb_arena_printf(&f->arena, "%s/%s", f->temp.path, name);
}

/* The key of a build of f->text, in a device opened afresh. */
static const char *key_of(struct fixture *f) {
    const struct kb_exec_options options = {.no_compile = true};
    struct kb_kernel kernel = {
        .path = in(f, "own.cu"),
        .name = "own.cu",
        .text = f->text,
        .size = strlen(f->text),
        .user = true,
    };
    struct kb_plan plan = {.kernel = &kernel, .n_launches = 1};
    struct kb_build build = {.name = "precise"};
    struct kb_device *device;
    struct kb_code *code;
    struct kb_code_info info;
    struct kb_err err = {0};

    kb_strings_add(&build.flags, &f->arena, "-std=c++17");
    if (f->flag)
        kb_strings_add(&build.flags, &f->arena, f->flag);
    plan.launches[0] = (struct kb_launch){
        .entry = "k", .grid = {1, 1, 1}, .block = {1, 1, 1}, .cluster = {1, 1, 1}};
    kb_strings_add(&plan.all_entries, &f->arena, "k");
    if (f->define)
        kb_strings_add(&plan.defines, &f->arena, f->define);
    if (!kb_host.open(0, &options, &device, &err))
        fail_msg("%s", err.msg);
    assert_false(kb_host.build(device, &plan, &build, &code, &info, &err));
    kb_host.close(device);
    const char *key = strstr(err.msg, "the cache has no ");
    if (!key)
        fail_msg("%s", err.msg);
    return kb_arena_strdup(&f->arena, key);
}

static void assert_other(struct fixture *f, const char *what) {
    const char *key = key_of(f);

    if (kb_streq(key, f->last))
        fail_msg("%s is not in the key", what);
    kb_text_copy(f->last, sizeof f->last, key);
    assert_string_equal(key_of(f), key); /* and it is the same again */
}

static void whatever_the_code_depends_on_is_in_the_key(void **state) {
    struct fixture *f = *state;
    f->text = "#include \"a.cuh\"\n__global__ void k() {}\n";
    put(f, "a.cuh", "#include \"b.cuh\"\n", 0600);
    put(f, "b.cuh", "#define B 1\n", 0600);
    assert_other(f, "nothing");
    put(f, "b.cuh", "#define B 1\n", 0600); /* the time alone is no change */
    assert_string_equal(key_of(f), f->last);
    put(f, "b.cuh", "#define B 2\n", 0600);
    assert_other(f, "a header's header");
    f->text = "#include \"a.cuh\"\n__global__ void k() { X; }\n"; /* macros count if used */
    assert_other(f, "the source");
    f->define = "X=1";
    assert_other(f, "a macro");
    f->flag = "-DY=1";
    assert_other(f, "a flag");
}

/* Compilers that say what the real one says. */
static void another_compiler_is_another_key(void **state) {
    struct fixture *f = *state;
    f->text = "__global__ void k() {}\n";
    put(f, "one", "#!/bin/sh\nexec g++ \"$@\"\n", 0700);
    put(f, "two", "#!/bin/sh\nexec g++ \"$@\"\n", 0700);
    assert_int_equal(setenv("CXX", in(f, "one"), 1), 0);
    assert_other(f, "nothing");
    assert_int_equal(setenv("CXX", in(f, "two"), 1), 0);
    assert_other(f, "the compiler's path");
    put(f, "two", "#!/bin/sh\nexec g++  \"$@\"\n", 0700);
    assert_other(f, "the compiler's size");
    assert_int_equal(setenv("CXX", kb_arena_printf(&f->arena, "%s -g0", in(f, "two")), 1),
                     0);
    assert_other(f, "the compiler's words");
    unsetenv("CXX");
}

static int open_folder(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    struct kb_err err = {0};

    *state = f;
    return !kb_temp_make(&f->temp, &err) || mkdir(in(f, "cache"), 0700) ||
           setenv("KBENCH_CACHE", in(f, "cache"), 1);
}

static int remove_folder(void **state) {
    struct fixture *f = *state;

    kb_temp_free(&f->temp);
    kb_arena_free(&f->arena);
    free(f);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_folder, remove_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(whatever_the_code_depends_on_is_in_the_key),
        TEST(another_compiler_is_another_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
