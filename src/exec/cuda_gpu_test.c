/* cuda_gpu_test.c - the cuda backend on a real GPU: right results, and wrong kernels that
 * cost their own process only. */
#include "gpu_fixture.h"

static bool with_table;

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

int main(int argc, char **argv) {
    bool table = argc == 2 && kb_streq(argv[1], "--table");
    int rc = begin_tests(argc, argv);
    if (rc >= 0)
        return rc;
    with_table = table;
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
    };
    return cmocka_run_group_tests_name("cuda on a GPU", tests, NULL, NULL);
}
