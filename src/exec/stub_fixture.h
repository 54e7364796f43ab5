/* stub_fixture.h - tests of the cuda backend over tools/stub/cuda.c, a driver without a
 * GPU: errors as scripted, times as counted. NVRTC is the real one. */
#ifndef KB_EXEC_STUB_FIXTURE_H
#define KB_EXEC_STUB_FIXTURE_H

#include "cuda_timer.h"

#include <elf.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char source[] __attribute__((unused)) =
    "template <int N> __global__ void bump(unsigned char *p) { p[0] += N; }\n"
    "struct map { alignas(64) unsigned char *p[16]; };\n"
    "template <int N> __global__ void bump_map(const __grid_constant__ map m)\n"
    "{ m.p[0][0] += N; }\n"
    "template <int N> __global__ void two(unsigned char *p, int n) { p[n] += N; }\n"
    "template <int N> __global__ void other(unsigned char *p) { p[0] *= N; }\n"
    "template <int N> __global__ void keep(unsigned char *p) { p[0] *= N; }\n"
    "template <int N> __global__ void long_one(unsigned char *p) { p[0] *= N; }\n"
    "__global__ void plain(float *p) { p[0] = __expf(p[0]); }\n";

/* ---- one of everything for each test ---------------------------------------------------
 */

struct fixture {
    struct kb_arena arena;
    struct kb_kernel kernel;
    struct kb_build build;
    struct kb_plan *plan;
    struct kb_slab slab;
    struct kb_exec_options options;
    struct kb_device *device;
    struct kb_code *code;
    struct kb_code_info info;
    struct kb_err err;
};

static inline int setup(void **state) {
    struct fixture *f = test_calloc(1, sizeof *f);
    *state = f;
    unsetenv("KB_STUB");
    f->slab.fd = -1;
    f->kernel = (struct kb_kernel){.path = "mine.cu", .name = "mine.cu", .user = true};
    f->kernel.text = source;
    f->kernel.size = strlen(source);
    f->build.name = "precise";
    kb_strings_add(&f->build.flags, &f->arena, "-std=c++17");
    f->plan = kb_arena_alloc(&f->arena, sizeof *f->plan);
    f->plan->kernel = &f->kernel;
    return 0;
}

static inline int teardown(void **state) {
    struct fixture *f = *state;
    if (f->device) {
        kb_cuda.unload(f->device, f->code);
        kb_cuda.close(f->device);
    }
    kb_slab_free(&f->slab);
    kb_arena_free(&f->arena);
    test_free(f);
    return 0;
}

static inline struct kb_launch *add_launch(struct fixture *f, const char *entry,
                                           int tensor) {
    struct kb_launch *launch = &f->plan->launches[f->plan->n_launches++];
    *launch = (struct kb_launch){
        .entry = entry,
        .grid = {2, 1, 1},
        .block = {32, 1, 1},
        .cluster = {1, 1, 1},
        .n_args = 1,
        .args = {{.kind = KB_ARG_TENSOR, .index = tensor}},
    };
    return launch;
}

static inline void open_device(struct fixture *f) {
    if (!kb_cuda.open(0, &f->options, &f->device, &f->err))
        fail_msg("%s", f->err.msg);
}

static inline void build(struct fixture *f) {
    if (!kb_cuda.build(f->device, f->plan, &f->build, &f->code, &f->info, &f->err))
        fail_msg("%s", f->err.msg);
}

/* A slab of one or two tensors of these sizes, poisoned. */
static inline void make_slab(struct fixture *f, size_t first, size_t second) {
    size_t bytes[] = {first, second};
    assert_true(kb_slab_make(&f->slab, KB_SLAB_SHARED, 2, bytes, 0, &f->err));
    for (int i = 0; i < 2; i++)
        if (bytes[i])
            kb_poison(kb_slab_at(&f->slab, i), bytes[i], 0);
}

static inline unsigned char byte_of(const struct kb_slab *slab, int slot) {
    return *(const unsigned char *)kb_slab_at(slab, slot);
}

static inline bool run(struct fixture *f) {
    struct kb_run_options options = {0};
    struct kb_run_result result;
    return kb_cuda.run(f->device, f->code, f->plan, &f->slab, &options, &result, &f->err);
}

static inline void expect_error(const struct fixture *f, enum kb_err_kind kind,
                                const char *want) {
    if (f->err.kind != kind || !strstr(f->err.msg, want))
        fail_msg("got %s \"%s\", wanted %s \"%s\"", kb_err_word(f->err.kind), f->err.msg,
                 kb_err_word(kind), want);
}

/* Device, one "bump" over tensor 0 of `bytes`, built. */
static inline void ready(struct fixture *f, size_t bytes) {
    open_device(f);
    add_launch(f, "bump<1>", 0);
    build(f);
    make_slab(f, bytes, 0);
}

/* ---- start-up: a driver of our own on the library path ---------------------------------
 */

static inline void make_stub(const char *folder) {
    char include[PATH_MAX], library[PATH_MAX], cupti[PATH_MAX];
    struct kb_buf output = {0};
    struct kb_limits limits = {.wall_ms = 60000};
    struct kb_err err = {0};
    int status = 1;
    snprintf(include, sizeof include, "-I%s/include", kb_cuda_home());
    snprintf(library, sizeof library, "%s/libcuda.so.1", folder);
    snprintf(cupti, sizeof cupti, "%s/libcupti.so.13", folder);
    const char *argv[] = {"cc",
                          "-shared",
                          "-fPIC",
                          "-D_GNU_SOURCE",
                          include,
                          "-o",
                          library,
                          "tools/stub/cuda.c",
                          "tools/stub/cuda_work.c",
                          "tools/stub/cupti.c",
                          NULL};
    if (!kb_run_command((char *const *)argv, NULL, &limits, &output, &status, &err) ||
        status) {
        fprintf(stderr, "cannot build the stub driver: %s%s\n", err.msg,
                kb_buf_text(&output));
        exit(1);
    }
    if (symlink("libcuda.so.1", cupti)) /* one library: they share the clock */
        exit(1);
    kb_buf_free(&output);
}

/* The library path is read when a process starts: make it and start again. */
static inline void start_again(char **argv) {
    struct kb_temp folder;
    struct kb_buf cache = {0};
    struct kb_err err = {0};
    if (!kb_temp_make(&folder, &err))
        exit(1);
    make_stub(folder.path);
    kb_buf_printf(&cache, "%s/cache", folder.path);
    setenv("KBENCH_CACHE", cache.data, 1);
    setenv("LD_LIBRARY_PATH", folder.path, 1);
    setenv("KB_STUB_FOLDER", folder.path, 1);
    execv("/proc/self/exe", argv);
    exit(1);
}

static inline int print_probe(void) {
    struct kb_device_info device;
    struct kb_buf gaps = {0};
    printf("%d ", kb_cuda.probe(&device, 1, &gaps));
    printf("%s", kb_buf_text(&gaps));
    kb_buf_free(&gaps);
    return 0;
}

/* What main() does in front of the tests, and behind them. */
static inline int begin_tests(int argc, char **argv) {
    if (argc == 3 && kb_streq(argv[1], "--worker") && kb_streq(argv[2], "nvrtc"))
        return kb_nvrtc_worker_main();
    if (argc == 2 && kb_streq(argv[1], "--probe"))
        return print_probe();
    if (!getenv("KB_STUB_FOLDER"))
        start_again(argv);
    signal(SIGPIPE, SIG_IGN);
    return -1;
}

static inline int end_tests(int failed) {
    struct kb_temp folder = {.path = strdup(getenv("KB_STUB_FOLDER"))};
    kb_temp_free(&folder);
    return failed;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
