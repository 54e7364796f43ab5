/* cuda_gpu_time_test.c - the cuda backend's times on a real GPU.
 *
 * `cuda_gpu_time_test --table` prints what this device and this timer come to. */
#include "gpu_fixture.h"

static bool with_table;

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

int main(int argc, char **argv) {
    bool table = argc == 2 && kb_streq(argv[1], "--table");
    if (table)
        print_start(); /* before anything else has woken the driver */
    int rc = begin_tests(argc, argv);
    if (rc >= 0)
        return rc;
    with_table = table;
    const struct CMUnitTest tests[] = {
        TEST(times_are_what_a_gpu_takes),
    };
    return cmocka_run_group_tests_name("times on a GPU", tests, NULL, NULL);
}
