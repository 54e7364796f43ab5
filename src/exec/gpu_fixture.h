/* gpu_fixture.h - tests of the cuda backend on a real GPU; skipped where there is none.
 * --table: print what this device comes to as well. */
#ifndef KB_EXEC_GPU_FIXTURE_H
#define KB_EXEC_GPU_FIXTURE_H

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

static const char source[] __attribute__((unused)) =
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
    "template <bool Keep> __global__ void __launch_bounds__(32)\n"
    "chase(const unsigned *x, unsigned *y, int steps) {\n"
    "    unsigned t = blockIdx.x * 32 + threadIdx.x, at = 32 * t;\n"
    "    unsigned long long keep;\n"
    "    asm(\"createpolicy.fractional.L2::evict_last.b64 %0, 1.0;\" : \"=l\"(keep));\n"
    "    for (int i = 0; i < steps; i++)\n"
    "        if (Keep)\n"
    "            asm volatile(\"ld.global.L2::cache_hint.u32 %0, [%1], %2;\"\n"
    "                : \"=r\"(at) : \"l\"(x + at), \"l\"(keep));\n"
    "        else\n"
    "            asm volatile(\"ld.global.u32 %0, [%1];\" : \"=r\"(at) : \"l\"(x + at));\n"
    "    y[t] = at;\n"
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

static inline void begin(struct fixture *f) {
    *f = (struct fixture){.build.name = "precise"};
    f->kernel = (struct kb_kernel){.path = "gpu.cu", .name = "gpu.cu", .text = source};
    f->kernel.size = strlen(source);
    kb_strings_add(&f->build.flags, &f->arena, "-std=c++17");
}

static inline int setup(void **state) {
    static struct fixture f;
    begin(&f);
    *state = &f;
    if (!kb_cuda.open(0, &f.options, &f.device, &f.err))
        fail_msg("%s", f.err.msg);
    return 0;
}

static inline int teardown(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < f->n_codes; i++)
        kb_cuda.unload(f->device, f->codes[i]);
    kb_cuda.close(f->device);
    kb_arena_free(&f->arena);
    return 0;
}

static inline struct kb_plan *plan_of(struct fixture *f, const char *entry, int64_t grid,
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

static inline void add_scalar(struct kb_plan *plan, const void *value, size_t bytes) {
    struct kb_launch *launch = &plan->launches[0];
    struct kb_arg *arg = &launch->args[launch->n_args++];
    *arg = (struct kb_arg){.kind = KB_ARG_SCALAR, .bytes = bytes};
    memcpy(arg->value, value, bytes);
}

static inline struct kb_code *build(struct fixture *f, const struct kb_plan *plan) {
    struct kb_code_info info;
    struct kb_code *code = NULL;
    if (!kb_cuda.build(f->device, plan, &f->build, &code, &info, &f->err))
        fail_msg("%s", f->err.msg);
    f->codes[f->n_codes++] = code;
    return code;
}

static inline bool run(struct fixture *f, struct kb_code *code, const struct kb_plan *plan,
                       struct kb_slab *slab) {
    struct kb_run_options options = {0};
    struct kb_run_result result;
    return kb_cuda.run(f->device, code, plan, slab, &options, &result, &f->err);
}

static inline void make_slab(struct fixture *f, struct kb_slab *slab, int n,
                             const size_t *bytes) {
    if (!kb_slab_make(slab, KB_SLAB_SHARED, n, bytes, 0, &f->err))
        fail_msg("%s", f->err.msg);
    for (int i = 0; i < n; i++)
        kb_poison(kb_slab_at(slab, i), bytes[i], 0);
}

/* "copy" of so many bytes in all, half of them read; tensor 0 is filled. */
static inline struct kb_plan *copy_plan(struct fixture *f, size_t bytes,
                                        struct kb_slab *slab) {
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

/* The child: run one kernel, print the error and the time from start to there. */
static inline int run_alone(const char *entry) {
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
        !kb_slab_make(&slab, KB_SLAB_SHARED, 1, bytes, 0, &f.err)) {
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

/* What main() does in front of the tests: an exit status, or -1 to go on. */
static inline int begin_tests(int argc, char **argv) {
    if (argc == 3 && kb_streq(argv[1], "--worker") && kb_streq(argv[2], "nvrtc"))
        return kb_nvrtc_worker_main();
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 3 && kb_streq(argv[1], "--alone"))
        return run_alone(argv[2]);
    struct kb_device_info device;
    struct kb_buf gaps = {0};
    bool ready = kb_cuda.probe(&device, 1, &gaps) == 1 && !gaps.len;
    if (!ready)
        printf("skipped: %s", kb_buf_text(&gaps));
    kb_buf_free(&gaps);
    return ready ? -1 : 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
