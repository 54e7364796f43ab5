/* cuda_profile_test.c - the launch that profilers see, and files of code, without a GPU. */
#include "stub_fixture.h"

#include <dlfcn.h>

/* Launches that the stub driver saw between start and stop. */
static int profiled(void) {
    int (*count)(void);
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    assert_non_null(driver);
    void *address = dlsym(driver, "stub_profiled");
    assert_non_null(address);
    memcpy(&count, &address, sizeof count);
    return count();
}

static void a_profiler_sees_each_launch_of_the_plan_once(void **state) {
    struct fixture *f = *state;
    open_device(f);
    add_launch(f, "bump<1>", 0);
    add_launch(f, "bump<1>", 0);
    f->plan->label = "silu/7x16/bf16";
    build(f);
    make_slab(f, 64, 0);
    int before = profiled();
    if (!kb_cuda.profile(f->device, f->code, f->plan, &f->slab, &f->err))
        fail_msg("%s", f->err.msg);
    assert_int_equal(profiled(), before + 2);
    f->plan->launches[0].grid[0] = f->plan->launches[1].grid[0] = 0;
    assert_true(kb_cuda.profile(f->device, f->code, f->plan, &f->slab, &f->err));
    assert_int_equal(profiled(), before + 2);
}

static void a_launch_that_fails_under_a_profiler_says_so(void **state) {
    struct fixture *f = *state;
    ready(f, 64);
    setenv("KB_STUB", "launch=700", 1);
    assert_false(kb_cuda.profile(f->device, f->code, f->plan, &f->slab, &f->err));
    expect_error(f, KB_DEVICE, "illegal address (700)");
}

static void stem_is(const char *label, const char *build, const char *want) {
    static const struct kb_variant variant = {.name = "vec16"};
    struct kb_plan *plan = test_calloc(1, sizeof *plan);
    struct kb_build of = {.name = build};
    struct kb_buf got = {0};
    plan->label = label;
    plan->variant = &variant;
    kb_plan_stem(plan, &of, &got);
    assert_string_equal(kb_buf_text(&got), want);
    kb_buf_free(&got);
    test_free(plan);
}

static void names_of_files_hold_nothing_that_a_path_or_a_shell_knows(void **state) {
    (void)state;
    stem_is("silu/83x1024/bf16", "precise", "silu.83x1024.bf16_vec16_precise");
    stem_is("silu/83x1024/bf16/fill=nan/round=act", "precise+KB_N=64",
            "silu.83x1024.bf16.fill-nan.round-act_vec16_precise+KB_N-64");
    stem_is("silu/../x y;$(z)", "mine", "silu....x_y___z__vec16_mine_fffa9f7c");
}

static void names_that_would_be_the_same_or_too_long_have_a_hash(void **state) {
    struct kb_variant variant = {.name = "v"};
    struct kb_plan *plan = test_calloc(1, sizeof *plan);
    struct kb_build build = {.name = "precise"};
    struct kb_buf a = {0}, b = {0};
    char label[600];
    (void)state;
    memset(label, 'x', sizeof label);
    label[sizeof label - 1] = '\0';
    plan->variant = &variant;
    plan->label = label;
    kb_plan_stem(plan, &build, &a);
    label[598] = 'y';
    kb_plan_stem(plan, &build, &b);
    assert_true(a.len < 200);
    assert_string_not_equal(a.data, b.data);
    kb_buf_free(&a);
    kb_buf_free(&b);
    test_free(plan);
}

/* A folder of the fixture's for what is left. */
static const char *folder(struct fixture *f, const char *name) {
    const char *path = kb_arena_printf(&f->arena, "%s/%s", getenv("KB_STUB_FOLDER"), name);
    assert_true(kb_folder_make(path, &f->err));
    return path;
}

static void has(struct fixture *f, const char *path, const char *want) {
    struct kb_buf text = {0};
    if (!kb_file_read(path, 1 << 20, &text, &f->err))
        fail_msg("%s", f->err.msg);
    if (!strstr(kb_buf_text(&text), want))
        fail_msg("%s has no \"%s\"", path, want);
    kb_buf_free(&text);
}

static void code_leaves_what_was_asked_for(void **state) {
    static const struct kb_variant variant = {.name = "v"};
    struct fixture *f = *state;
    const char *at = folder(f, "left");
    f->options.dump_ptx = f->options.keep = at;
    open_device(f);
    add_launch(f, "bump<3>", 0);
    f->plan->variant = &variant;
    f->plan->label = "silu/7x16/bf16";
    build(f);
    has(f, kb_arena_printf(&f->arena, "%s/silu.7x16.bf16_v_precise.ptx", at),
        ".visible .entry");
    has(f, kb_arena_printf(&f->arena, "%s/silu.7x16.bf16_v_precise.cu", at),
        "(void *)&(bump<3>)");
    has(f, kb_arena_printf(&f->arena, "%s/silu.7x16.bf16_v_precise.sh", at),
        " -gencode=arch=compute_90a,code=sm_90a");
}

/* A contract may break a line where C++ does not mind, and a comment of sh would end. */
static void an_entry_of_two_lines_is_one_comment_in_the_script(void **state) {
    static const struct kb_variant variant = {.name = "v"};
    struct fixture *f = *state;
    const char *at = folder(f, "lines");
    f->options.keep = at;
    open_device(f);
    add_launch(f, "bump<6 /*\ntouch pwned\n*/>", 0);
    f->plan->variant = &variant;
    f->plan->label = "silu/7x16/bf16";
    build(f);
    has(f, kb_arena_printf(&f->arena, "%s/silu.7x16.bf16_v_precise.sh", at),
        "bump<6 /*^Jtouch pwned^J*/>\n");
}

static void code_of_no_case_leaves_nothing(void **state) {
    struct fixture *f = *state;
    f->options.dump_ptx = "/nowhere";
    open_device(f);
    add_launch(f, "bump<4>", 0);
    build(f);
    assert_non_null(f->code);
}

static void a_folder_that_is_gone_is_an_error(void **state) {
    static const struct kb_variant variant = {.name = "v"};
    struct fixture *f = *state;
    f->options.keep = "/nowhere/at/all";
    open_device(f);
    add_launch(f, "bump<5>", 0);
    f->plan->variant = &variant;
    f->plan->label = "silu/7x16/bf16";
    assert_false(kb_cuda.build(f->device, f->plan, &f->build, &f->code, &f->info, &f->err));
    expect_error(f, KB_IO, "/nowhere/at/all");
}

int main(int argc, char **argv) {
    int status = begin_tests(argc, argv);
    if (status >= 0)
        return status;
    const struct CMUnitTest tests[] = {
        TEST(a_profiler_sees_each_launch_of_the_plan_once),
        TEST(a_launch_that_fails_under_a_profiler_says_so),
        TEST(names_of_files_hold_nothing_that_a_path_or_a_shell_knows),
        TEST(names_that_would_be_the_same_or_too_long_have_a_hash),
        TEST(code_leaves_what_was_asked_for),
        TEST(an_entry_of_two_lines_is_one_comment_in_the_script),
        TEST(code_of_no_case_leaves_nothing),
        TEST(a_folder_that_is_gone_is_an_error),
    };
    return end_tests(cmocka_run_group_tests_name("cuda profile", tests, NULL, NULL));
}
