/* nvrtc_test.c - jobs for NVRTC in its own process, and the keys that they have in the
 * cache. Needs the CUDA Toolkit, no driver and no GPU. */
#include "nvrtc_fixture.h"

/* ---- jobs ------------------------------------------------------------------------------
 */

static void entries_are_instantiated_and_named_in_their_order(void **state) {
    struct fixture *f = *state;
    add_entry(f, "scale<__nv_bfloat16, 4>");
    add_entry(f, "plain");
    add_entry(f, "scale<__nv_bfloat16, 4>"); /* a chain may launch one twice */
    expect_compiles(f);
    assert_int_equal(f->result.lowered.count, 3);
    assert_string_equal(f->result.lowered.items[0], "_Z5scaleI13__nv_bfloat16Li4EEvPT_");
    assert_string_equal(f->result.lowered.items[1], "_Z5plainPi");
    assert_string_equal(f->result.lowered.items[2], f->result.lowered.items[0]);
    assert_int_equal(f->result.spill_bytes, 0);
    assert_true(f->result.compile_ms > 0);
    assert_int_equal(strncmp(kb_nvrtc_version(f->nvrtc), "1", 1), 0);
}

static void version_read_off_a_file_name_is_the_librarys_own(void **state) {
    struct fixture *f = *state;
    char guessed[16];
    assert_false(f->nvrtc->running); /* it was found without starting anything */
    snprintf(guessed, sizeof guessed, "%s", kb_nvrtc_version(f->nvrtc));
    add_entry(f, "plain");
    expect_compiles(f);
    assert_string_equal(kb_nvrtc_version(f->nvrtc), guessed);
}

static void one_process_serves_many_jobs(void **state) {
    struct fixture *f = *state;
    add_entry(f, "plain");
    expect_compiles(f);
    pid_t pid = f->nvrtc->child.pid;
    f->job.arch = "sm_80";
    expect_compiles(f);
    assert_int_equal(f->nvrtc->child.pid, pid);
}

static void compile_error_keeps_the_users_file_and_line(void **state) {
    struct fixture *f = *state;
    set_source(f, "__global__ void plain(int *p) {\n    *p = nothing;\n    *q = 1;\n}\n");
    add_entry(f, "plain");
    expect_error(f, "mine.cu(2): error: identifier \"nothing\" is undefined");
    assert_non_null(strstr(f->err.msg, "; "));
    assert_non_null(strstr(f->err.msg, "mine.cu(3): error"));
    assert_non_null(strstr(kb_buf_text(&f->result.log), "*p = nothing;\n"));
    set_source(f, source);
    expect_compiles(f); /* an error costs nothing but itself */
}

/* Ours have none: --minimal leaves their declarations out. */
static void users_kernel_may_sample_a_texture(void **state) {
    struct fixture *f = *state;
    set_source(f, "__global__ void sample(cudaTextureObject_t from, float *to) {\n"
                  "    *to = tex1Dfetch<float>(from, 0);\n"
                  "}\n");
    add_entry(f, "sample");
    expect_compiles(f);
    f->kernel.user = false;
    expect_error(f, "cudaTextureObject_t");
}

static void misspelt_entry_is_our_message(void **state) {
    struct fixture *f = *state;
    add_entry(f, "plain");
    add_entry(f, "scael<float, 4>");
    expect_error(f, "mine.cu: entry \"scael<float, 4>\" names no kernel of the file: "
                    "identifier \"scael\" is undefined");
}

static void log_cannot_fool_a_terminal(void **state) {
    struct fixture *f = *state;
    set_source(f, "#error \"\033[2Jgone\"\n__global__ void plain() {}\n");
    add_entry(f, "plain");
    expect_error(f, "gone");
    assert_null(strchr(f->err.msg, '\033'));
    assert_null(strchr(kb_buf_text(&f->result.log), '\033'));
}

static void unknown_architecture_names_the_remedy(void **state) {
    struct fixture *f = *state;
    add_entry(f, "plain");
    f->job.arch = "sm_999";
    expect_error(f, "does not know sm_999: a newer CUDA Toolkit is wanted");
}

static void refused_option_is_named(void **state) {
    struct fixture *f = *state;
    add_entry(f, "plain");
    kb_strings_add(&f->job.flags, &f->arena, "--no-such-option");
    expect_error(f, "--no-such-option");
}

static void compile_that_does_not_end_is_killed_and_the_next_one_works(void **state) {
    struct fixture *f = *state;
    add_entry(f, "plain");
    set_source(f, "template <int N> struct tree { enum { v = tree<N - 1>::v + "
                  "tree<N - 1 + 0 * sizeof(tree<N - 1>)>::v }; };\n"
                  "template <> struct tree<0> { enum { v = 1 }; };\n"
                  "template <int D, int I> struct walk { static const int v = "
                  "walk<D - 1, 2 * I>::v + walk<D - 1, 2 * I + 1>::v; };\n"
                  "template <int I> struct walk<0, I> { static const int v = I; };\n"
                  "__global__ void plain(int *p) { *p = walk<30, 0>::v; }\n");
    f->nvrtc->compile_ms = 250;
    expect_error(f, "still running after 0.25 s, killed");
    f->nvrtc->compile_ms = 20000;
    set_source(f, source);
    expect_compiles(f);
}

static void compiler_that_died_between_jobs_is_started_again(void **state) {
    struct fixture *f = *state;
    add_entry(f, "plain");
    expect_compiles(f);
    kill(f->nvrtc->child.pid, SIGKILL);
    siginfo_t info;
    waitid(P_PID, (id_t)f->nvrtc->child.pid, &info, WEXITED | WNOWAIT);
    expect_compiles(f);
}

static void compiler_that_dies_at_work_is_a_build_error(void **state) {
    struct fixture *f = *state;
    add_entry(f, "plain");
    expect_compiles(f);
    /* stopped, it takes the job; killed by the clock's alarm it never answers */
    kill(f->nvrtc->child.pid, SIGSTOP);
    pid_t killer = fork();
    assert_true(killer >= 0);
    if (killer == 0) {
        usleep(30000);
        kill(f->nvrtc->child.pid, SIGKILL);
        _exit(0);
    }
    expect_error(f, "the compiler's process ended: signal 9 (Killed)");
    waitpid(killer, NULL, 0);
    expect_compiles(f);
}

static void source_with_a_nul_byte_is_refused(void **state) {
    struct fixture *f = *state;
    f->kernel.text = "__global__ void plain() {}\0junk";
    f->kernel.size = 31;
    assert_false(compile(f));
    assert_int_equal(f->err.kind, KB_INPUT);
}

/* ---- through the cache -----------------------------------------------------------------
 */

/* Whether it was a hit. */
static bool build(struct fixture *f) {
    struct kb_buf note = {0};
    struct kb_cache *cache = kb_cache_open(&note);
    assert_non_null(cache);
    kb_nvrtc_result_free(&f->result);
    if (!kb_nvrtc_build(f->nvrtc, cache, false, &f->job, &f->arena, &f->result, &note,
                        &f->err))
        fail_msg("%s", f->err.msg);
    assert_string_equal(kb_buf_text(&note), "");
    kb_cache_close(cache);
    return f->result.cached;
}

static void hit_gives_the_same_and_starts_no_compiler(void **state) {
    struct fixture *f = *state;
    add_entry(f, "plain");
    assert_false(build(f));
    struct kb_buf first = {0};
    kb_buf_add(&first, f->result.cubin.data, f->result.cubin.len);
    double ms = f->result.compile_ms;
    kb_nvrtc_close(f->nvrtc);
    assert_true(kb_nvrtc_open(0, &f->nvrtc, &f->err));
    assert_true(build(f));
    assert_false(f->nvrtc->running);
    assert_int_equal(f->result.cubin.len, first.len);
    assert_memory_equal(f->result.cubin.data, first.data, first.len);
    assert_string_equal(f->result.lowered.items[0], "_Z5plainPi");
    assert_int_equal(f->result.spill_bytes, 0);
    assert_true(f->result.compile_ms > ms - 0.001 && f->result.compile_ms < ms + 0.001);
    kb_buf_free(&first);
}

static void whatever_the_code_depends_on_is_in_the_key(void **state) {
    struct fixture *f = *state;
    write_file(f, "fill.h", "#include \"more.h\"\n#define FILLING 1\n");
    write_file(f, "more.h", "#define MORE 1\n");
    set_source(f, "#include \"fill.h\"\n__global__ void plain(int *p) { *p = FILL + MORE "
                  "+ FILLING; }\n");
    add_entry(f, "plain");
    assert_false(build(f));
    assert_true(build(f));
    write_file(f, "more.h", "#define MORE 1\n"); /* the time alone is no change */
    assert_true(build(f));
    write_file(f, "more.h", "#define MORE 2\n");
    assert_false(build(f));
    kb_strings_add(&f->job.defines, &f->arena, "X=1");
    assert_false(build(f));
    kb_strings_add(&f->job.flags, &f->arena, "--use_fast_math");
    assert_false(build(f));
    f->job.arch = "sm_80";
    assert_false(build(f));
    f->job.entries.count = 0;
    assert_false(build(f));
    strcat(f->nvrtc->place.identity, "x"); /* another compiler */
    assert_false(build(f));
    assert_true(build(f));
}

static void no_compile_fails_where_a_compiler_would_be_wanted(void **state) {
    struct fixture *f = *state;
    struct kb_buf note = {0};
    add_entry(f, "plain");
    assert_false(kb_nvrtc_build(f->nvrtc, NULL, true, &f->job, &f->arena, &f->result, &note,
                                &f->err));
    assert_int_equal(f->err.kind, KB_BUILD);
    assert_false(f->nvrtc->running);
}

/* ---- nvcc ------------------------------------------------------------------------------
 */

static void build_by_nvcc_has_the_same_names_and_the_header_beside(void **state) {
    struct fixture *f = *state;
    char nvcc[PATH_MAX];
    snprintf(nvcc, sizeof nvcc, "%s/bin/nvcc", kb_cuda_home());
    if (access(nvcc, X_OK))
        skip();
    write_file(f, "fill.h", "#define FILLING 1\n");
    set_source(f,
               "#include \"fill.h\"\ntemplate <int N> __global__ void plain(int *p) { *p "
               "= FILL + FILLING + N; }\n");
    add_entry(f, "plain<3>");
    f->job.from_nvcc = true;
    expect_compiles(f);
    const char *name = f->result.lowered.items[0];
    assert_string_equal(name, "_Z5plainILi3EEvPi");
    assert_non_null(memmem(f->result.cubin.data, f->result.cubin.len, name, strlen(name)));
    assert_int_equal(f->result.spill_bytes, 0);
}

/* ---- logs ------------------------------------------------------------------------------
 */

static void spills_are_summed_over_our_functions_only(void **state) {
    struct fixture *f = *state;
    struct kb_strings names = {0};
    const char *log =
        "ptxas info    : Function properties for _Z1av\n"
        "ptxas         .     8 bytes stack frame, 16 bytes spill stores, 24 bytes spill "
        "loads\n"
        "ptxas info    : Function properties for _Z1avv\n"
        "    0 bytes stack frame, 100 bytes spill stores, 100 bytes spill loads\n"
        "ptxas info    : Function properties for _Z1b\n"
        "    0 bytes stack frame, 1 bytes spill stores, 2 bytes spill loads\n";
    assert_int_equal(kb_log_spills(log, &names), -1);
    kb_strings_add(&names, &f->arena, "_Z1av");
    assert_int_equal(kb_log_spills(log, &names), 40);
    kb_strings_add(&names, &f->arena, "_Z1b");
    assert_int_equal(kb_log_spills(log, &names), 43);
    assert_int_equal(kb_log_spills("", &names), -1);
}

static void assembly_times_are_summed_over_our_entries_only(void **state) {
    struct fixture *f = *state;
    struct kb_strings names = {0};
    const char *log = "ptxas info    : Compiling entry function '_Z1av' for 'sm_90a'\n"
                      "ptxas info    : Function properties for _Z1b\n"
                      "ptxas info    : Compile time = 24.250 ms\n"
                      "ptxas info    : Compiling entry function '_Z1avv' for 'sm_90a'\n"
                      "ptxas info    : Compile time = 100.000 ms\n"
                      "ptxas info    : Compiling entry function '_Z1c' for 'sm_90a'\n"
                      "ptxas info    : Compile time = 0.500 ms\n";
    assert_true(kb_log_assembly_ms(log, &names) == 0);
    kb_strings_add(&names, &f->arena, "_Z1av");
    assert_true(kb_log_assembly_ms(log, &names) == 24.25);
    kb_strings_add(&names, &f->arena, "_Z1c");
    assert_true(kb_log_assembly_ms(log, &names) == 24.75);
    assert_true(kb_log_assembly_ms("", &names) == 0);
}

/* First, in a process of its own: where the toolkit lies is looked up once. */
static void toolkit_that_is_missing_is_a_device_error_with_the_remedy(void **state) {
    (void)state;
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct kb_nvrtc *nvrtc;
        struct kb_err err = {0};
        setenv("CUDA_HOME", "/nowhere", 1);
        unsetenv("LD_LIBRARY_PATH");
        bool ok = kb_nvrtc_open(0, &nvrtc, &err);
        _exit(ok ? 7 /* a system's own */
              : err.kind == KB_DEVICE && strstr(err.msg, "/nowhere") &&
                      strstr(err.msg, "set CUDA_HOME")
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WEXITSTATUS(status) == 7)
        skip();
    assert_int_equal(status, 0);
}

/* ---- PTX -------------------------------------------------------------------------------
 */

static void ptx_is_text_for_a_virtual_architecture(void **state) {
    struct fixture *f = *state;
    add_entry(f, "plain");
    f->job.ptx = true;
    assert_true(compile(f));
    assert_non_null(strstr(f->result.cubin.data, ".target sm_90a"));
    assert_non_null(strstr(f->result.cubin.data, ".visible .entry _Z5plainPi"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv) {
    if (argc == 3 && kb_streq(argv[1], "--worker") && kb_streq(argv[2], "nvrtc"))
        return kb_nvrtc_worker_main();
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(toolkit_that_is_missing_is_a_device_error_with_the_remedy),
        TEST(entries_are_instantiated_and_named_in_their_order),
        TEST(version_read_off_a_file_name_is_the_librarys_own),
        TEST(one_process_serves_many_jobs),
        TEST(compile_error_keeps_the_users_file_and_line),
        TEST(users_kernel_may_sample_a_texture),
        TEST(misspelt_entry_is_our_message),
        TEST(log_cannot_fool_a_terminal),
        TEST(unknown_architecture_names_the_remedy),
        TEST(refused_option_is_named),
        TEST(compile_that_does_not_end_is_killed_and_the_next_one_works),
        TEST(compiler_that_died_between_jobs_is_started_again),
        TEST(compiler_that_dies_at_work_is_a_build_error),
        TEST(source_with_a_nul_byte_is_refused),
        TEST(hit_gives_the_same_and_starts_no_compiler),
        TEST(whatever_the_code_depends_on_is_in_the_key),
        TEST(no_compile_fails_where_a_compiler_would_be_wanted),
        TEST(build_by_nvcc_has_the_same_names_and_the_header_beside),
        TEST(spills_are_summed_over_our_functions_only),
        TEST(assembly_times_are_summed_over_our_entries_only),
        TEST(ptx_is_text_for_a_virtual_architecture),
    };
    return cmocka_run_group_tests_name("nvrtc", tests, NULL, NULL);
}
