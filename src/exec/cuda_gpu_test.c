/* cuda_gpu_test.c - the cuda backend on a real GPU; skipped where there is no driver.
 *
 * `cuda_gpu_test --table` prints what this device and this timer come to as well. */
#include "cuda_timer.h"

#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char source[] =
    "template <int N> __global__ void silu(const float *x, float *y, int n) {\n"
    "    int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
    "    asm volatile(\"griddepcontrol.launch_dependents;\");\n"
    "    asm volatile(\"griddepcontrol.wait;\" ::: \"memory\");\n"
    "    if (i < n) y[i] = N * x[i] / (1.0f + expf(-x[i]));\n"
    "}\n"
    "__global__ void __launch_bounds__(256) copy(const uint4 *x, uint4 *y, long long n) {\n"
    "    long long i = blockIdx.x * 256ll + threadIdx.x;\n"
    "    asm volatile(\"griddepcontrol.launch_dependents;\");\n"
    "    asm volatile(\"griddepcontrol.wait;\" ::: \"memory\");\n"
    "    if (i < n) y[i] = x[i];\n"
    "}\n"
    "__global__ void bump(float *y) { y[0] += 1.0f; }\n"
    "__global__ void count(unsigned *c, float *y) { y[0] = (float)atomicAdd(c, 1u); }\n"
    "__global__ void wild(float *y) { y[1ll << 40] = 1.0f; }\n"
    "__global__ void odd(char *y) { *(float *)(y + 1) = 1.0f; }\n"
    "__global__ void trap(float *y) { y[0] = 1; __trap(); }\n"
    "__global__ void spin(volatile float *y) { while (!(y[0] < -1e30f)) y[1] += 1; }\n"
    "__global__ void large(float *y) {\n"
    "    extern __shared__ float s[];\n"
    "    s[threadIdx.x * 999] = threadIdx.x;\n"
    "    __syncthreads();\n"
    "    y[threadIdx.x] = s[(31 - threadIdx.x) * 999];\n"
    "}\n"
    "__global__ void cluster(unsigned *y) {\n"
    "    unsigned rank, size;\n"
    "    asm(\"mov.u32 %0, %%cluster_ctarank;\" : \"=r\"(rank));\n"
    "    asm(\"mov.u32 %0, %%cluster_nctarank;\" : \"=r\"(size));\n"
    "    if (threadIdx.x == 0) y[blockIdx.x] = 100 * size + rank;\n"
    "}\n"
    "struct alignas(64) map { char bytes[128]; };\n"
    "__global__ void tile(const __grid_constant__ map m, float *y) {\n"
    "    __shared__ alignas(128) float box[8 * 32];\n"
    "    __shared__ alignas(8) unsigned long long bar;\n"
    "    unsigned b = (unsigned)__cvta_generic_to_shared(&bar);\n"
    "    unsigned d = (unsigned)__cvta_generic_to_shared(box);\n"
    "    if (threadIdx.x == 0) {\n"
    "        asm volatile(\"mbarrier.init.shared.b64 [%0], 1;\" :: \"r\"(b));\n"
    "        asm volatile(\"fence.proxy.async.shared::cta;\");\n"
    "        asm volatile(\"mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;\"\n"
    "                     :: \"r\"(b), \"r\"(8 * 32 * 4));\n"
    "        asm volatile(\"cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::\"\n"
    "                     \"complete_tx::bytes [%0], [%1, {%2, %3}], [%4];\"\n"
    "                     :: \"r\"(d), \"l\"(&m), \"r\"(32), \"r\"(8), \"r\"(b) : "
    "\"memory\");\n"
    "    }\n"
    "    __syncthreads();\n"
    "    asm volatile(\"{ .reg .pred p; w: mbarrier.try_wait.parity.shared.b64 p, [%0], "
    "0;\"\n"
    "                 \" @p bra d; bra w; d: }\" :: \"r\"(b) : \"memory\");\n"
    "    for (int i = threadIdx.x; i < 8 * 32; i += blockDim.x) y[i] = box[i];\n"
    "}\n";

static bool with_table;

/* ---- a device, and plans by hand -------------------------------------------------------
 */

struct fixture {
    struct kb_arena arena;
    struct kb_kernel kernel;
    struct kb_build build;
    struct kb_exec_options options;
    struct kb_device *device;
    struct kb_code *codes[64];
    int n_codes;
    struct kb_err err;
};

static void begin(struct fixture *f) {
    *f = (struct fixture){.build.name = "precise"};
    f->kernel = (struct kb_kernel){.path = "gpu.cu", .name = "gpu.cu", .text = source};
    f->kernel.size = strlen(source);
    kb_strings_add(&f->build.flags, &f->arena, "-std=c++17");
}

static int setup(void **state) {
    static struct fixture f;
    begin(&f);
    *state = &f;
    if (!kb_cuda.open(0, &f.options, &f.device, &f.err))
        fail_msg("%s", f.err.msg);
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < f->n_codes; i++)
        kb_cuda.unload(f->device, f->codes[i]);
    kb_cuda.close(f->device);
    kb_arena_free(&f->arena);
    return 0;
}

static struct kb_plan *plan_of(struct fixture *f, const char *entry, int64_t grid,
                               int64_t block, int n_tensors) {
    struct kb_plan *plan = kb_arena_alloc(&f->arena, sizeof *plan);
    plan->kernel = &f->kernel;
    plan->n_launches = 1;
    plan->launches[0] = (struct kb_launch){
        .entry = entry,
        .grid = {grid, 1, 1},
        .block = {block, 1, 1},
        .cluster = {1, 1, 1},
        .pdl = true,
        .n_args = n_tensors,
    };
    for (int i = 0; i < n_tensors; i++)
        plan->launches[0].args[i] = (struct kb_arg){.kind = KB_ARG_TENSOR, .index = i};
    return plan;
}

static void add_scalar(struct kb_plan *plan, const void *value, size_t bytes) {
    struct kb_launch *launch = &plan->launches[0];
    struct kb_arg *arg = &launch->args[launch->n_args++];
    *arg = (struct kb_arg){.kind = KB_ARG_SCALAR, .bytes = bytes};
    memcpy(arg->value, value, bytes);
}

static struct kb_code *build(struct fixture *f, const struct kb_plan *plan) {
    struct kb_code_info info;
    struct kb_code *code = NULL;
    if (!kb_cuda.build(f->device, plan, &f->build, &code, &info, &f->err))
        fail_msg("%s", f->err.msg);
    f->codes[f->n_codes++] = code;
    return code;
}

static bool run(struct fixture *f, struct kb_code *code, const struct kb_plan *plan,
                struct kb_slab *slab) {
    struct kb_run_options options = {0};
    struct kb_run_result result;
    return kb_cuda.run(f->device, code, plan, slab, &options, &result, &f->err);
}

static void make_slab(struct fixture *f, struct kb_slab *slab, int n, const size_t *bytes) {
    if (!kb_slab_make(slab, n, bytes, 0, &f->err))
        fail_msg("%s", f->err.msg);
    for (int i = 0; i < n; i++)
        kb_poison(kb_slab_at(slab, i), bytes[i], 0);
}

/* "copy" of so many bytes in all, half of them read; tensor 0 is filled. */
static struct kb_plan *copy_plan(struct fixture *f, size_t bytes, struct kb_slab *slab) {
    size_t half[] = {bytes / 2, bytes / 2};
    int64_t vecs = (int64_t)(bytes / 32);
    struct kb_plan *plan = plan_of(f, "copy", (vecs + 255) / 256, 256, 2);
    uint32_t *x;
    add_scalar(plan, &vecs, sizeof vecs);
    make_slab(f, slab, 2, half);
    x = kb_slab_at(slab, 0);
    for (size_t i = 0; i < half[0] / 4; i++)
        x[i] = (uint32_t)i * 2654435761u;
    return plan;
}

/* ---- right -----------------------------------------------------------------------------
 */

static void plain_silu_is_right(void **state) {
    struct fixture *f = *state;
    int n = 1000;
    size_t bytes[] = {4000, 4000};
    struct kb_slab slab;
    struct kb_guard_hit hit;
    struct kb_plan *plan = plan_of(f, "silu<2>", 8, 128, 2);
    add_scalar(plan, &n, sizeof n);
    make_slab(f, &slab, 2, bytes);
    float *x = kb_slab_at(&slab, 0), *y = kb_slab_at(&slab, 1);
    for (int i = 0; i < n; i++)
        x[i] = (float)(i - 500) / 64;
    assert_true(run(f, build(f, plan), plan, &slab));
    for (int i = 0; i < n; i++) {
        double want = 2.0 * x[i] / (1 + exp(-(double)x[i]));
        assert_true(fabs(y[i] - want) <= 1e-6 * fabs(want) + 1e-9);
    }
    assert_int_equal(kb_slab_guards(&slab, &hit, 1), 0);
    kb_slab_free(&slab);
}

static void write_past_the_end_comes_back_in_the_guard(void **state) {
    struct fixture *f = *state;
    int n = 128;
    size_t bytes[] = {512, 400};
    struct kb_slab slab;
    struct kb_guard_hit hit;
    struct kb_plan *plan = plan_of(f, "silu<1>", 1, 128, 2);
    add_scalar(plan, &n, sizeof n);
    make_slab(f, &slab, 2, bytes);
    memset(kb_slab_at(&slab, 0), 0, 512);
    assert_true(run(f, build(f, plan), plan, &slab));
    assert_int_equal(kb_slab_guards(&slab, &hit, 1), 1);
    assert_int_equal(hit.slot, 1);
    assert_true(hit.after);
    kb_slab_free(&slab);
}

static void build_by_nvcc_runs_the_same(void **state) {
    struct fixture *f = *state;
    int n = 128;
    size_t bytes[] = {512, 512};
    struct kb_slab slab;
    char nvcc[PATH_MAX];
    snprintf(nvcc, sizeof nvcc, "%s/bin/nvcc", kb_cuda_home() ? kb_cuda_home() : "");
    if (access(nvcc, X_OK))
        skip();
    struct kb_plan *plan = plan_of(f, "silu<1>", 1, 128, 2);
    add_scalar(plan, &n, sizeof n);
    make_slab(f, &slab, 2, bytes);
    float *x = kb_slab_at(&slab, 0), *y = kb_slab_at(&slab, 1);
    for (int i = 0; i < n; i++)
        x[i] = 1.0f;
    f->build.from_nvcc = true;
    assert_true(run(f, build(f, plan), plan, &slab));
    assert_true(fabsf(y[127] - 0.731058579f) < 1e-6f);
    kb_slab_free(&slab);
}

static void large_shared_memory_clusters_and_cooperative_launches_work(void **state) {
    struct fixture *f = *state;
    size_t bytes[] = {4096};
    struct kb_slab slab;
    make_slab(f, &slab, 1, bytes);
    struct kb_plan *plan = plan_of(f, "large", 1, 32, 1);
    plan->launches[0].smem_bytes = 32 * 999 * 4;
    plan->launches[0].cooperative = true;
    assert_true(run(f, build(f, plan), plan, &slab));
    assert_true(((float *)kb_slab_at(&slab, 0))[5] == 26.0f);
    if (f->device->info.limits.sm >= 90) {
        plan = plan_of(f, "cluster", 16, 32, 1);
        plan->launches[0].cluster[0] = 16; /* more than every device has */
        if (!run(f, build(f, plan), plan, &slab))
            fail_msg("%s", f->err.msg);
        assert_int_equal(((unsigned *)kb_slab_at(&slab, 0))[13], 1613);
    }
    plan = plan_of(f, "large", 1, 32, 1);
    plan->launches[0].smem_bytes = 1 << 20;
    assert_false(run(f, build(f, plan), plan, &slab));
    assert_int_equal(f->err.kind, KB_INPUT);
    kb_slab_free(&slab);
}

static void tensor_map_moves_the_box_it_says(void **state) {
    struct fixture *f = *state;
    size_t bytes[] = {64 * 32 * 4, 8 * 32 * 4};
    struct kb_slab slab;
    if (f->device->info.limits.sm < 90)
        skip();
    make_slab(f, &slab, 2, bytes);
    float *x = kb_slab_at(&slab, 0), *y = kb_slab_at(&slab, 1);
    for (int i = 0; i < 64 * 32; i++)
        x[i] = (float)i;
    struct kb_plan *plan = plan_of(f, "tile", 1, 128, 2);
    plan->launches[0].args[0] = (struct kb_arg){
        .kind = KB_ARG_TMA,
        .index = 0,
        .tma = {.rank = 2, .dims = {64, 32}, .strides_bytes = {4, 256}, .box = {32, 8}},
    };
    if (!run(f, build(f, plan), plan, &slab))
        fail_msg("%s", f->err.msg);
    for (int r = 0; r < 8; r++)
        for (int c = 0; c < 32; c++)
            assert_true(y[r * 32 + c] == (float)((r + 8) * 64 + c + 32));
    kb_slab_free(&slab);
}

static void timed_launches_leave_what_one_run_leaves(void **state) {
    struct fixture *f = *state;
    struct kb_slab slab, out;
    struct kb_timer_facts facts;
    double ns[4];
    struct kb_plan *plan = copy_plan(f, 1 << 20, &slab);
    struct kb_code *code = build(f, plan);
    assert_true(kb_slab_copy(&out, &slab, &f->err));
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        struct kb_timer *timer;
        if (!kb_cuda.timer_open(f->device, code, plan, &slab, (enum kb_method)m, 0, &timer,
                                &facts, &f->err) ||
            !kb_cuda.timer_sample(timer, 4, ns, &f->err))
            fail_msg("%s", f->err.msg);
        for (int set = 0; set < facts.sets; set += 37) {
            memset(kb_slab_at(&out, 1), 0, 1 << 19);
            assert_true(kb_cuda.timer_result(timer, set, &out, &f->err));
            assert_memory_equal(kb_slab_at(&out, 1), kb_slab_at(&slab, 0), 1 << 19);
        }
        kb_cuda.timer_close(timer);
    }
    kb_slab_free(&slab);
    kb_slab_free(&out);
}

static void in_place_and_zeroed_scratch_are_fresh_in_every_set(void **state) {
    struct fixture *f = *state;
    size_t bytes[] = {64, 64};
    struct kb_slab slab, out;
    struct kb_timer_facts facts;
    double ns[4];
    make_slab(f, &slab, 2, bytes);
    ((float *)kb_slab_at(&slab, 0))[0] = 5.0f;
    assert_true(kb_slab_copy(&out, &slab, &f->err));
    struct kb_plan *plan = plan_of(f, "count", 1, 1, 2);
    plan->n_scratch = 1;
    plan->scratch[0] = (struct kb_scratch){64, KB_SCRATCH_ZERO};
    plan->launches[0].args[0] = (struct kb_arg){.kind = KB_ARG_SCRATCH, .index = 0};
    plan->launches[0].args[1] = (struct kb_arg){.kind = KB_ARG_TENSOR, .index = 0};
    plan->n_launches = 2;
    plan->launches[1] = plan_of(f, "bump", 1, 1, 1)->launches[0];
    plan->launches[1].pdl = false; /* it does not wait for what it reads */
    struct kb_code *code = build(f, plan);
    for (int m = 0; m < 2; m++) { /* 0 counted, 1 added: 1, however often it was launched */
        struct kb_timer *timer;
        if (!kb_cuda.timer_open(f->device, code, plan, &slab, (enum kb_method)m, 9, &timer,
                                &facts, &f->err) ||
            !kb_cuda.timer_sample(timer, 4, ns, &f->err) ||
            !kb_cuda.timer_result(timer, 8, &out, &f->err))
            fail_msg("%s", f->err.msg);
        assert_true(((float *)kb_slab_at(&out, 0))[0] == 1.0f);
        assert_int_equal(((unsigned *)kb_slab_at(&out, 1))[0], 1);
        kb_cuda.timer_close(timer);
    }
    kb_slab_free(&slab);
    kb_slab_free(&out);
}

static void what_does_not_fit_says_so_and_leaves_the_device_whole(void **state) {
    struct fixture *f = *state;
    CUdeviceptr memory;
    size_t bytes[] = {64};
    struct kb_slab slab;
    assert_false(kb_cuda_alloc(f->device, (size_t)1 << 42, &memory, &f->err));
    assert_int_equal(f->err.kind, KB_MEMORY);
    assert_non_null(strstr(f->err.msg, "needs 4.4 TB"));
    make_slab(f, &slab, 1, bytes);
    struct kb_plan *plan = plan_of(f, "bump", 1, 1, 1);
    assert_true(run(f, build(f, plan), plan, &slab));
    kb_slab_free(&slab);
}

/* ---- wrong, each in a process of its own -----------------------------------------------
 */

/* The child: run one kernel, print the error and the time from start to there. */
static int run_alone(const char *entry) {
    struct fixture f;
    size_t bytes[] = {64};
    struct kb_slab slab;
    struct kb_code_info info;
    struct kb_code *code;
    int64_t start = kb_now_ns();
    begin(&f);
    struct kb_plan *plan = plan_of(&f, entry, 1, 1, 1);
    if (!kb_cuda.open(0, &f.options, &f.device, &f.err) ||
        !kb_cuda.build(f.device, plan, &f.build, &code, &info, &f.err) ||
        !kb_slab_make(&slab, 1, bytes, 0, &f.err)) {
        printf("before the launch: %s\n", f.err.msg);
        return 1;
    }
    bool ok = run(&f, code, plan, &slab);
    printf("%s, %s after %.0f ms\n", ok ? "none" : f.err.msg, kb_err_word(f.err.kind),
           (double)(kb_now_ns() - start) / 1e6);
    kb_cuda.unload(f.device, code);
    kb_cuda.close(f.device); /* over a broken context */
    return 0;
}

static void expect_alone(const char *entry, const char *want) {
    struct kb_buf output = {0};
    struct kb_limits limits = {.wall_ms = 60000};
    struct kb_err err = {0};
    int status = 1;
    struct kb_arena arena = {0};
    /* Commands get a clean environment; these two say where libraries lie. */
    const char *path = getenv("LD_LIBRARY_PATH"), *home = kb_cuda_home();
    const char *argv[] = {
        "env",
        kb_arena_printf(&arena, "LD_LIBRARY_PATH=%s", path ? path : ""),
        kb_arena_printf(&arena, "CUDA_HOME=%s", home ? home : ""),
        kb_exe_path(),
        "--alone",
        entry,
        NULL,
    };
    if (!kb_run_command((char *const *)argv, NULL, &limits, &output, &status, &err))
        fail_msg("%s", err.msg);
    if (with_table)
        printf("  %-8s %s", entry, kb_buf_text(&output));
    if (!strstr(kb_buf_text(&output), want))
        fail_msg("%s: got \"%s\", wanted \"%s\"", entry, kb_buf_text(&output), want);
    kb_arena_free(&arena);
    kb_buf_free(&output);
}

static void sticky_errors_are_named_and_others_run_on(void **state) {
    struct fixture *f = *state;
    size_t bytes[] = {64};
    struct kb_slab slab;
    struct kb_plan *plan = plan_of(f, "bump", 1, 1, 1);
    struct kb_code *code = build(f, plan);
    make_slab(f, &slab, 1, bytes);
    expect_alone("bump", "none");
    expect_alone("wild", "launch: illegal address (700), device");
    expect_alone("odd", "launch: misaligned address (716), device");
    expect_alone("trap", "launch: launch failure (719), device");
    assert_true(run(f, code, plan, &slab));
    kb_slab_free(&slab);
}

static void kernel_that_never_ends_dies_with_its_process(void **state) {
    struct fixture *f = *state;
    char worker[] = "--alone", entry[] = "spin", exe[PATH_MAX];
    char *argv[] = {exe, worker, entry, NULL};
    struct kb_child child;
    int status;
    size_t bytes[] = {64};
    struct kb_slab slab;
    snprintf(exe, sizeof exe, "%s", kb_exe_path());
    assert_true(kb_child_start(&child, argv, NULL, -1, &f->err));
    assert_false(kb_child_wait(&child, 3000, &status)); /* it spins */
    int64_t start = kb_now_ns();
    assert_true(kb_child_end(&child));
    double kill_ms = (double)(kb_now_ns() - start) / 1e6;
    struct kb_plan *plan = plan_of(f, "bump", 1, 1, 1);
    make_slab(f, &slab, 1, bytes);
    start = kb_now_ns();
    assert_true(run(f, build(f, plan), plan, &slab));
    if (with_table)
        printf("  spin     killed in %.0f ms, then a run in %.1f ms\n", kill_ms,
               (double)(kb_now_ns() - start) / 1e6);
    kb_slab_free(&slab);
}

/* ---- times -----------------------------------------------------------------------------
 */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median of `n` samples, and their spread from the first to the third quarter. */
static double median(struct fixture *f, struct kb_timer *timer, int n, double *spread) {
    double *ns = kb_arena_array(&f->arena, (size_t)n, sizeof *ns);
    if (!kb_cuda.timer_sample(timer, n, ns, &f->err))
        fail_msg("%s", f->err.msg);
    qsort(ns, (size_t)n, sizeof *ns, by_value);
    *spread = (ns[3 * n / 4] - ns[n / 4]) / ns[n / 2];
    return ns[n / 2];
}

static void print_start(void) {
    struct fixture f;
    struct kb_cuda cu;
    struct kb_nvml nvml;
    struct kb_err err = {0};
    CUcontext context;
    begin(&f);
    int64_t t0 = kb_now_ns();
    if (!kb_cuda_load(&cu, &err))
        return;
    int64_t t1 = kb_now_ns();
    assert_int_equal(cu.DevicePrimaryCtxRetain(&context, 0), 0);
    int64_t t2 = kb_now_ns();
    kb_nvml_load(&nvml);
    int64_t t3 = kb_now_ns();
    printf("start ms: cuInit %.1f, context %.1f, nvml %.1f", (double)(t1 - t0) / 1e6,
           (double)(t2 - t1) / 1e6, (double)(t3 - t2) / 1e6);
    kb_nvml_close(&nvml);
    cu.DevicePrimaryCtxRelease(0);
    t0 = kb_now_ns();
    assert_true(kb_cuda.open(0, &f.options, &f.device, &err));
    printf(", open again %.1f", (double)(kb_now_ns() - t0) / 1e6);
    t0 = kb_now_ns();
    kb_cuda.info(f.device);
    t1 = kb_now_ns();
    struct kb_clocks clocks;
    kb_cuda.clocks(f.device, &clocks);
    printf(", info %.3f, clocks %.2f\n", (double)(t1 - t0) / 1e6,
           (double)(kb_now_ns() - t1) / 1e6);
    for (int i = 0; i < 2; i++) {
        struct kb_plan *plan = plan_of(&f, i ? "silu<77>" : "silu<76>", 1, 32, 2);
        struct kb_code *code;
        struct kb_code_info info;
        for (int k = 0; k < 2; k++) {
            t0 = kb_now_ns();
            assert_true(kb_cuda.build(f.device, plan, &f.build, &code, &info, &f.err));
            printf("build %d ms: %.2f whole, compile %.1f, load %.3f, cached %d\n", i,
                   (double)(kb_now_ns() - t0) / 1e6, info.compile_ms, info.load_ms,
                   info.cached);
            kb_cuda.unload(f.device, code);
        }
    }
    const struct kb_device_info *d = kb_cuda.info(f.device);
    printf("%s sm_%d, %d SMs, L2 %lld, %s, driver %s, NVRTC %s, locked %d, free %.1f GB\n",
           d->name, (int)d->limits.sm, (int)d->limits.sm_count, (long long)d->l2_bytes,
           d->uuid, d->driver, d->nvrtc, d->clocks_locked, (double)d->free_bytes / 1e9);
    kb_cuda.close(f.device);
    kb_arena_free(&f.arena);
}

/* What a graph of n empty kernels takes between two events: the cost of its start. */
static void print_graph_start(struct fixture *f) {
    struct kb_slab nothing = {.fd = -1};
    struct kb_plan *plan = plan_of(f, "empty", 1, 32, 0);
    struct kb_timer_facts facts;
    struct kb_timer *timer;
    static const int nodes[] = {1, 2, 4, 16, 64, 256, 1024, 4096, 8192};
    struct kb_clockwork *c;
    assert_true(kb_clockwork_get(f->device, &c, &f->err));
    struct kb_code code = {.n_launches = 1, .functions = {c->code->functions[KB_EMPTY]}};
    for (int m = 0; m < 2; m++) {
        printf("%s of n empty kernels, us:", kb_method_word((enum kb_method)m));
        assert_true(kb_cuda.timer_open(f->device, &code, plan, &nothing, (enum kb_method)m,
                                       0, &timer, &facts, &f->err));
        CUgraphExec own = timer->graphs[0];
        int turns = timer->turns;
        for (size_t i = 0; i < KB_COUNT(nodes); i++) {
            double spread;
            int64_t t0 = kb_now_ns();
            assert_true(kb_timer_capture(timer, 0, nodes[i], &timer->graphs[0], &f->err));
            double capture_ms = (double)(kb_now_ns() - t0) / 1e6;
            timer->turns = 1;
            median(f, timer, 8, &spread);
            printf("  %d: %.2f (made in %.1f ms)", nodes[i],
                   median(f, timer, 15, &spread) / 1e3, capture_ms);
            f->device->cu.GraphExecDestroy(timer->graphs[0]);
        }
        printf("\n");
        timer->graphs[0] = own;
        timer->turns = turns;
        kb_cuda.timer_close(timer);
    }
}

static void print_floors(struct fixture *f) {
    struct kb_clocks clocks;
    printf("floor us:");
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        double ns;
        int64_t t0 = kb_now_ns();
        if (!kb_cuda.floor(f->device, (enum kb_method)m, &ns, &f->err))
            fail_msg("%s", f->err.msg);
        printf("  %s %.3f (%.0f ms)", kb_method_word((enum kb_method)m), ns / 1e3,
               (double)(kb_now_ns() - t0) / 1e6);
    }
    kb_cuda.clocks(f->device, &clocks);
    struct kb_buf words = {0};
    kb_throttle_words(clocks.throttle, &words);
    printf("\ntick %.2f ns, SM %d MHz, memory %d MHz, throttle \"%s\", others %d\n",
           f->device->clockwork->tick_ns, clocks.sm_mhz, clocks.memory_mhz,
           kb_buf_text(&words), clocks.other_processes);
    kb_buf_free(&words);
}

static void print_copies(struct fixture *f) {
    static const size_t sizes[] = {16384,    262144,   1 << 20,   8 << 20,   16 << 20,
                                   32 << 20, 64 << 20, 128 << 20, 256 << 20, 512 << 20};
    for (size_t i = 0; i < KB_COUNT(sizes); i++) {
        struct kb_slab slab;
        struct kb_plan *plan = copy_plan(f, sizes[i], &slab);
        struct kb_code *code = build(f, plan);
        printf("copy %8zu kB us:", sizes[i] >> 10);
        for (int m = 0; m < KB_METHOD_COUNT; m++) {
            struct kb_timer *timer;
            struct kb_timer_facts facts;
            double spread;
            int64_t t0 = kb_now_ns();
            if (!kb_cuda.timer_open(f->device, code, plan, &slab, (enum kb_method)m, 0,
                                    &timer, &facts, &f->err))
                fail_msg("%s", f->err.msg);
            double open_ms = (double)(kb_now_ns() - t0) / 1e6;
            t0 = kb_now_ns();
            median(f, timer, 20, &spread);
            double ns = median(f, timer, 40, &spread);
            printf("  %s %.3f %.1f %% %.0f GB/s", kb_method_word((enum kb_method)m),
                   ns / 1e3, 100 * spread, (double)sizes[i] / ns);
            if (m == 0)
                printf(" [%d sets, %d a sample, open %.0f ms, 60 in %.0f ms]", facts.sets,
                       facts.launches_per_sample, open_ms,
                       (double)(kb_now_ns() - t0) / 1e6);
            kb_cuda.timer_close(timer);
        }
        printf("\n");
        kb_slab_free(&slab);
    }
    printf("holds that ran out: %u\n", f->device->clockwork->lates);
}

/* The same kernel as A and B: on one memory, and on two. */
static void print_twins(struct fixture *f) {
    static const size_t sizes[] = {262144, 16 << 20, 128 << 20};
    for (size_t i = 0; i < KB_COUNT(sizes); i++) {
        struct kb_slab slab, other;
        struct kb_plan *plan = copy_plan(f, sizes[i], &slab);
        struct kb_code *code = build(f, plan);
        struct kb_timer *timers[3];
        struct kb_timer_facts facts;
        double sum[3] = {0}, spread;
        assert_true(kb_slab_copy(&other, &slab, &f->err));
        ((uint32_t *)kb_slab_at(&other, 0))[0] ^= 1;
        for (int k = 0; k < 3; k++)
            assert_true(kb_cuda.timer_open(f->device, code, plan, k == 2 ? &other : &slab,
                                           KB_GRAPH, 0, &timers[k], &facts, &f->err));
        for (int round = 0; round < 21; round++)
            for (int k = 0; k < 3; k++) {
                int which = round % 2 ? 2 - k : k;
                double ns = median(f, timers[which], 8, &spread);
                sum[which] += round ? ns : 0; /* the first warms up */
            }
        printf("copy %zu kB twice: B/A on one memory %+.3f %%, on another %+.3f %%\n",
               sizes[i] >> 10, 100 * (sum[1] / sum[0] - 1), 100 * (sum[2] / sum[0] - 1));
        for (int k = 0; k < 3; k++)
            kb_cuda.timer_close(timers[k]);
        for (int again = 0; again < 4; again++) {
            assert_true(kb_cuda.timer_open(f->device, code, plan, &slab, KB_GRAPH, 0,
                                           &timers[0], &facts, &f->err));
            printf("  %.3f us", median(f, timers[0], 30, &spread) / 1e3);
            kb_cuda.timer_close(timers[0]);
            if (again % 2)
                kb_sets_drop_idle(f->device);
        }
        printf("  opened again\n");
        kb_slab_free(&slab);
        kb_slab_free(&other);
    }
}

static void times_are_what_a_gpu_takes(void **state) {
    struct fixture *f = *state;
    if (with_table) {
        print_floors(f);
        print_graph_start(f);
        print_copies(f);
        print_twins(f);
    }
    struct kb_slab slab;
    struct kb_plan *plan = copy_plan(f, 64 << 20, &slab);
    struct kb_code *code = build(f, plan);
    double ns[KB_METHOD_COUNT], floor_ns, spread;
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        struct kb_timer *timer;
        struct kb_timer_facts facts;
        assert_true(kb_cuda.timer_open(f->device, code, plan, &slab, (enum kb_method)m, 0,
                                       &timer, &facts, &f->err));
        median(f, timer, 20, &spread);
        ns[m] = median(f, timer, 20, &spread);
        assert_true(facts.tick_ns > 0 && facts.tick_ns < ns[m]);
        kb_cuda.timer_close(timer);
    }
    assert_true(kb_cuda.floor(f->device, KB_GRAPH, &floor_ns, &f->err));
    assert_true(floor_ns > 100 && floor_ns < 5000);
    assert_true(kb_cuda.floor(f->device, KB_COLD, &floor_ns, &f->err));
    /* one launch with its events is what the graph says and a floor, within a fifth */
    assert_true(ns[KB_COLD] > 0.8 * ns[KB_GRAPH]);
    assert_true(ns[KB_COLD] < 1.2 * ns[KB_GRAPH] + 1.5 * floor_ns);
    /* hot may be slower: what the launch before has left dirty in the L2 is written back */
    assert_true(ns[KB_HOT] > 0.3 * ns[KB_COLD] && ns[KB_HOT] < 1.3 * ns[KB_COLD]);
    kb_slab_free(&slab);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv) {
    if (argc == 3 && kb_streq(argv[1], "--worker") && kb_streq(argv[2], "nvrtc"))
        return kb_nvrtc_worker_main();
    signal(SIGPIPE, SIG_IGN);
    if (argc == 3 && kb_streq(argv[1], "--alone"))
        return run_alone(argv[2]);
    struct kb_device_info device;
    struct kb_buf gaps = {0};
    with_table = argc == 2 && kb_streq(argv[1], "--table");
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (with_table)
        print_start();
    if (kb_cuda.probe(&device, 1, &gaps) == 0 || gaps.len) {
        printf("skipped: %s", kb_buf_text(&gaps));
        kb_buf_free(&gaps);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        TEST(plain_silu_is_right),
        TEST(write_past_the_end_comes_back_in_the_guard),
        TEST(build_by_nvcc_runs_the_same),
        TEST(large_shared_memory_clusters_and_cooperative_launches_work),
        TEST(tensor_map_moves_the_box_it_says),
        TEST(timed_launches_leave_what_one_run_leaves),
        TEST(in_place_and_zeroed_scratch_are_fresh_in_every_set),
        TEST(what_does_not_fit_says_so_and_leaves_the_device_whole),
        TEST(sticky_errors_are_named_and_others_run_on),
        TEST(kernel_that_never_ends_dies_with_its_process),
        TEST(times_are_what_a_gpu_takes),
    };
    return cmocka_run_group_tests_name("cuda on a GPU", tests, NULL, NULL);
}
