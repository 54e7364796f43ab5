/* host_build_test.c - builds: what is refused, compile errors, the cache, compilers that
 * misbehave. */
#include "host_fixture.h"

#include <sys/stat.h>

/* ---- builds -------------------------------------------------------------------------- */

static void assert_unsupported(const struct kb_plan *plan, const struct kb_build *build,
                               const char *wanted) {
    struct kb_code *code;
    struct kb_code_info info;
    struct kb_err err = {0};
    assert_false(kb_host.build(opened(&plain)->device, plan, build, &code, &info, &err));
    assert_has(err.msg, wanted);
    assert_int_equal(err.kind, KB_UNSUPPORTED);
}

static void what_only_a_gpu_has_is_unsupported(void **state) {
    (void)state;
    struct kb_plan plan = plan_for("indices", 1, 1);
    struct kb_build fast = {.name = "fast-math"};
    assert_unsupported(&plan, &fast, "builds other than precise exist on a GPU only");
    plan.launches[0].cooperative = true;
    assert_unsupported(&plan, &precise, "a cooperative launch");
    plan.launches[0].cooperative = false;
    plan.launches[0].cluster[0] = 2;
    assert_unsupported(&plan, &precise, "a cluster of 2 blocks");
    plan.launches[0].cluster[0] = 1;
    plan.launches[0].args[0].kind = KB_ARG_TMA;
    plan.launches[0].n_args = 1;
    assert_unsupported(&plan, &precise, "TMA");
}

/* A source of its own with the entry "k"; `path` NULL: "own.cu". */
struct own {
    const char *path, *text, *define;
    const char *also; /* another entry of the file that plans list */
    bool alone;
    struct kb_code *code;
    struct kb_code_info info;
    struct kb_err err;
};

static bool build_own(struct kb_device *device, struct own *own) {
    const char *path = own->path ? own->path : "own.cu", *slash = strrchr(path, '/');
    struct kb_kernel k = {
        .path = path,
        .name = slash ? slash + 1 : path,
        .text = own->text,
        .size = strlen(own->text),
        .user = true,
    };
    struct kb_plan plan = {.kernel = &k, .n_launches = 1};
    struct kb_build build = precise;
    build.flags = build_flags();
    plan.launches[0] = (struct kb_launch){
        .entry = "k", .grid = {1, 1, 1}, .block = {1, 1, 1}, .cluster = {1, 1, 1}};
    kb_strings_add(&plan.all_entries, &arena, "k");
    if (own->also)
        kb_strings_add(&plan.all_entries, &arena, own->also);
    plan.alone = own->alone;
    if (own->define)
        kb_strings_add(&plan.defines, &arena, own->define);
    return kb_host.build(device, &plan, &build, &own->code, &own->info, &own->err);
}

static void assert_build_error(struct kb_device *device, const char *text,
                               const char *wanted) {
    struct own own = {.text = text};
    assert_false(build_own(device, &own));
    assert_has(own.err.msg, wanted);
    assert_int_equal(own.err.kind, KB_BUILD);
}

static void compile_errors_name_the_line_of_the_source(void **state) {
    (void)state;
    struct kb_device *device = opened(&plain)->device;
    struct own own = {.text = "\n__global__ void k(int *x) {\n  x[0] = y;\n}\n"};
    assert_false(build_own(device, &own));
    assert_int_equal(own.err.kind, KB_BUILD);
    assert_true(kb_starts_with(own.err.msg, "own.cu:3:"));
    assert_has(own.err.msg, "x[0] = y;");
    assert_build_error(device, "__global__ void other() {}\n", "entry k:1");
    assert_build_error(device, "#include <cooperative_groups.h>\n",
                       "cooperative_groups.h is not there on the host backend");
}

static char *scratch_file(const char *folder, const char *name, const char *text,
                          mode_t mode) {
    struct kb_err err = {0};
    char *path = kb_arena_printf(&arena, "%s/%s", folder, name);
    assert_true(kb_file_replace(path, text, strlen(text), &err));
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

static char *scratch_folder(void) {
    char *folder = kb_arena_printf(&arena, "%s/scratch-XXXXXX", kb_exe_folder());
    assert_non_null(mkdtemp(folder));
    return folder;
}

static void includes_come_from_beside_the_source_and_above(void **state) {
    (void)state;
    struct kb_device *device = opened(&plain)->device;
    char *folder = scratch_folder();
    char *above = scratch_file(kb_exe_folder(), "above.cuh", "#define ABOVE 1\n", 0600);
    char *beside = scratch_file(folder, "beside.cuh", "#include \"../above.cuh\"\n", 0600);
    struct own own = {
        .path = kb_arena_printf(&arena, "%s/a kernel'\".cu", folder),
        .text = "#include \"beside.cuh\"\n__global__ void k() { static_assert(ABOVE); }\n",
    };
    if (!build_own(device, &own))
        fail_msg("%s", own.err.msg);
    kb_host.unload(device, own.code);
    own.text = "#include \"../../../../../../../../../../../../../etc/hostname\"\n";
    assert_false(build_own(device, &own));
    unlink(above);
    unlink(beside);
    rmdir(folder);
}

static void macros_that_the_source_uses_are_defined(void **state) {
    (void)state;
    struct kb_device *device = opened(&plain)->device;
    struct own uses = {.text = "__global__ void k() { static_assert(KB_N == 3); }",
                       .define = "KB_N=3"};
    struct own does_not = {.text = "/* KB_N */ __global__ void k() {}", .define = "KB_N=3"};
    struct own other = {.text = does_not.text, .define = "KB_N=4"};
    if (!build_own(device, &uses) || !build_own(device, &does_not) ||
        !build_own(device, &other))
        fail_msg("%s%s%s", uses.err.msg, does_not.err.msg, other.err.msg);
    assert_string_equal(does_not.info.key, other.info.key);
    kb_host.unload(device, uses.code);
    kb_host.unload(device, does_not.code);
    kb_host.unload(device, other.code);
    uses.define = "KB_N=4";
    assert_false(build_own(device, &uses));
}

static void builds_are_cached_and_no_compile_says_so(void **state) {
    (void)state;
    struct kb_exec_options options = {.no_compile = true};
    struct kb_device *device;
    struct kb_plan plan = plan_for("indices", 1, 1);
    struct kb_build build = precise;
    struct kb_code *code;
    struct kb_code_info info;
    struct kb_err err = {0};
    struct own own = {0};
    opened(&plain);
    build.flags = build_flags();
    assert_true(kb_host.open(0, &options, &device, &err));
    assert_true(kb_host.build(device, &plan, &build, &code, &info, &err));
    assert_true(info.cached);
    kb_host.unload(device, code);
    own.text = kb_arena_printf(&arena, "// %llx\n__global__ void k() {}\n",
                               (unsigned long long)kb_random_u64());
    assert_false(build_own(device, &own));
    assert_int_equal(own.err.kind, KB_BUILD);
    kb_host.close(device);
}

/* The other entry does not compile, which only a build of the whole file notices. */
static void a_case_alone_compiles_its_own_entries_unless_the_file_is_there(void **state) {
    (void)state;
    struct kb_device *device = opened(&plain)->device;
    struct own own = {.text = "__global__ void k() {}\n", .also = "missing", .alone = true};
    if (!build_own(device, &own))
        fail_msg("%s", own.err.msg);
    kb_host.unload(device, own.code);
    own.alone = false;
    assert_false(build_own(device, &own));
    assert_int_equal(own.err.kind, KB_BUILD);

    struct own whole = {.text = "__global__ void k() {}\n__global__ void both() {}\n",
                        .also = "both"};
    assert_true(build_own(device, &whole));
    struct own alone = {.text = whole.text, .also = "both", .alone = true};
    assert_true(build_own(device, &alone));
    assert_string_equal(alone.info.key, whole.info.key);
    kb_host.unload(device, alone.code);
    kb_host.unload(device, whole.code);
}

static void a_missing_compiler_is_told_with_the_remedy(void **state) {
    (void)state;
    struct kb_device_info info;
    struct kb_buf gaps = {0};
    char *path = kb_arena_strdup(&arena, getenv("PATH"));
    char *named = getenv("CXX") ? kb_arena_strdup(&arena, getenv("CXX")) : NULL;
    assert_int_equal(kb_host.probe(&info, 1, &gaps), 1);
    assert_int_equal(gaps.len, 0);
    assert_string_equal(info.backend, "host");
    assert_true(info.cores > 0 && strlen(info.compiler) > 4);
    assert_int_equal(info.limits.smem_per_block, 232448);
    setenv("PATH", "/nonexistent", 1);
    unsetenv("CXX");
    assert_int_equal(kb_host.probe(&info, 1, &gaps), 0);
    assert_has(gaps.data, "apt install g++");
    setenv("CXX", "no-such-compiler -x", 1);
    assert_int_equal(kb_host.probe(&info, 1, &gaps), 0);
    assert_has(gaps.data, "CXX=no-such-compiler -x: no such compiler");
    setenv("PATH", path, 1);
    if (named)
        setenv("CXX", named, 1);
    else
        unsetenv("CXX");
    kb_buf_free(&gaps);
}

/* Compilers that answer --version and then do this. */
static void a_compiler_that_misbehaves_is_a_build_error(void **state) {
    (void)state;
    static const struct {
        const char *does, *said;
    } fakes[] = {
        {"sleep 100", "still running after 0.3"},
        {"exec yes", "still running after 0.3"},
        {"kill -9 $$", "signal 9 (Killed)"},
        {"exit 0", "succeeded and left no output"},
        {"exit 3", "exit status 3"},
        {"echo 'own.cu:1:1: error: bad \033[31mword'; exit 1", "error: bad ^[[31mword"},
    };
    char *folder = scratch_folder();
    char *named = getenv("CXX") ? kb_arena_strdup(&arena, getenv("CXX")) : NULL;
    for (size_t i = 0; i < KB_COUNT(fakes); i++) {
        const char *script = kb_arena_printf(
            &arena, "#!/bin/sh\ncase $1 in --version) echo fake 1.2.3; exit;; esac\n%s\n",
            fakes[i].does);
        char *path = scratch_file(folder, "fake", script, 0700);
        struct kb_exec_options options = {.no_cache = true, .compile_ms = 300};
        struct kb_device *device;
        struct kb_err err = {0};
        setenv("CXX", path, 1);
        assert_true(kb_host.open(0, &options, &device, &err));
        assert_string_equal(kb_host.info(device)->compiler, "fake 1.2");
        assert_build_error(device, "__global__ void k() {}\n", fakes[i].said);
        kb_host.close(device);
        unlink(path);
    }
    rmdir(folder);
    if (named)
        setenv("CXX", named, 1);
    else
        unsetenv("CXX");
}

static void unknown_sanitizers_are_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"adress", "address,thread", "address,"};
    for (size_t i = 0; i < KB_COUNT(wrong); i++) {
        struct kb_exec_options options = {.sanitize = wrong[i]};
        struct kb_device *device = NULL;
        struct kb_err err = {0};
        assert_false(kb_host.open(0, &options, &device, &err));
        assert_int_equal(err.kind, KB_INPUT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_only_a_gpu_has_is_unsupported),
        cmocka_unit_test(compile_errors_name_the_line_of_the_source),
        cmocka_unit_test(includes_come_from_beside_the_source_and_above),
        cmocka_unit_test(macros_that_the_source_uses_are_defined),
        cmocka_unit_test(builds_are_cached_and_no_compile_says_so),
        cmocka_unit_test(a_case_alone_compiles_its_own_entries_unless_the_file_is_there),
        cmocka_unit_test(a_missing_compiler_is_told_with_the_remedy),
        cmocka_unit_test(a_compiler_that_misbehaves_is_a_build_error),
        cmocka_unit_test(unknown_sanitizers_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
