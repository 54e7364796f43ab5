/* cuda_gpu_time_test.c - the cuda backend's times on a real GPU.
 *
 * `cuda_gpu_time_test --table` prints what this device and this timer come to. */
#include "gpu_fixture.h"

static bool with_table;

/* ---- times -----------------------------------------------------------------------------
 */

/* Median of `n` samples, and their spread from the first to the third quarter. */
static double median(struct fixture *f, struct kb_timer *timer, int n, double *spread) {
    double *ns = kb_arena_array(&f->arena, (size_t)n, sizeof *ns);
    if (!kb_cuda.timer_sample(timer, n, ns, &f->err))
        fail_msg("%s", f->err.msg);
    kb_sort(ns, (size_t)n);
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

/* TARGETS' empty kernels: nodes of 1, 132 and 1056 blocks. */
static void print_empty(struct fixture *f) {
    static const int64_t grids[] = {1, 132, 1056};
    struct kb_slab nothing = {.fd = -1};
    struct kb_code code = {.n_launches = 1};
    code.functions[0] = f->device->clockwork->code->functions[KB_EMPTY];
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        printf("empty kernel by %s, us:", kb_method_word((enum kb_method)m));
        for (size_t i = 0; i < KB_COUNT(grids); i++) {
            struct kb_plan *plan = plan_of(f, "empty", grids[i], 32, 0);
            struct kb_timer_facts facts;
            struct kb_timer *timer;
            double spread;
            if (!kb_cuda.timer_open(f->device, &code, plan, &nothing, (enum kb_method)m, 0,
                                    &timer, &facts, &f->err))
                fail_msg("%s", f->err.msg);
            median(f, timer, 20, &spread);
            printf("  %d blocks %.3f", (int)grids[i], median(f, timer, 40, &spread) / 1e3);
            if (i == 0)
                printf(" (tick %.2f ns, around nothing %.3f us)", facts.tick_ns,
                       facts.timer_ns / 1e3);
            kb_cuda.timer_close(timer);
        }
        printf("\n");
    }
}

/* What the calls between samples cost the host. */
static void print_calls(struct fixture *f) {
    enum { N = 50 };
    struct kb_clocks clocks;
    int64_t t0 = kb_now_ns();
    for (int i = 0; i < N; i++)
        assert_true(kb_clockwork_forget(f->device, &f->err));
    int64_t t1 = kb_now_ns();
    assert_true(kb_cuda_sync(f->device, &f->err));
    int64_t t2 = kb_now_ns();
    for (int i = 0; i < N; i++)
        kb_cuda.clocks(f->device, &clocks);
    printf(
        "host us: queueing of what the L2 is to forget %.1f, clocks %.1f (others %d: %s)\n",
        (double)(t1 - t0) / 1e3 / N, (double)(kb_now_ns() - t2) / 1e3 / N,
        clocks.other_processes, clocks.others);
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

/* Median by a method, with a timer of its own. */
static double time_by(struct fixture *f, struct kb_code *code, const struct kb_plan *plan,
                      const struct kb_slab *slab, enum kb_method method) {
    struct kb_timer *timer;
    struct kb_timer_facts facts;
    double spread;
    if (!kb_cuda.timer_open(f->device, code, plan, slab, method, 0, &timer, &facts,
                            &f->err))
        fail_msg("%s", f->err.msg);
    median(f, timer, 20, &spread);
    double ns = median(f, timer, 40, &spread);
    kb_cuda.timer_close(timer);
    return ns;
}

/* By the GPU's own clock a kernel takes what it takes in a graph; and a trace that is over
 * leaves nothing behind. */
static void cupti_and_graph_agree(void **state) {
    static const size_t sizes[] = {16 << 20, 64 << 20, 256 << 20};
    struct fixture *f = *state;
    for (size_t i = 0; i < KB_COUNT(sizes); i++) {
        struct kb_slab slab;
        struct kb_plan *plan = copy_plan(f, sizes[i], &slab);
        struct kb_code *code = build(f, plan);
        double before = time_by(f, code, plan, &slab, KB_GRAPH);
        double called = time_by(f, code, plan, &slab, KB_LAUNCH);
        double traced = time_by(f, code, plan, &slab, KB_CUPTI);
        double after = time_by(f, code, plan, &slab, KB_GRAPH);
        double called_after = time_by(f, code, plan, &slab, KB_LAUNCH);
        printf("copy %zu MiB: graph %.3f us, cupti %.3f (%+.2f %%), graph after it %.3f; "
               "launch %.3f, after it %.3f\n",
               sizes[i] >> 20, before / 1e3, traced / 1e3, 100 * (traced / before - 1),
               after / 1e3, called / 1e3, called_after / 1e3);
        assert_true(fabs(traced / before - 1) < 0.05);
        assert_true(fabs(after / before - 1) < 0.02);
        kb_slab_free(&slab);
    }
}

static double empty_by(struct fixture *f, enum kb_method method) {
    struct kb_slab nothing = {.fd = -1};
    struct kb_plan *plan = plan_of(f, "empty", 1, 32, 0);
    struct kb_clockwork *c;
    assert_true(kb_clockwork_get(f->device, &c, &f->err));
    struct kb_code code = {.n_launches = 1, .functions = {c->code->functions[KB_EMPTY]}};
    return time_by(f, &code, plan, &nothing, method);
}

static int leaves_nothing(void) {
    return 0;
}

/* Without leaving, CUPTI costs each node of a graph time that nobody traces. */
static void a_trace_that_is_over_costs_nothing(void **state) {
    struct fixture *f = *state;
    double before = empty_by(f, KB_GRAPH), launch = empty_by(f, KB_LAUNCH);
    double traced = empty_by(f, KB_CUPTI), after = empty_by(f, KB_GRAPH);
    double launch_after = empty_by(f, KB_LAUNCH);
    double again = empty_by(f, KB_CUPTI), after_again = empty_by(f, KB_GRAPH);
    int (*leave)(void) = f->device->clockwork->cupti.Finalize;
    f->device->clockwork->cupti.Finalize = leaves_nothing;
    empty_by(f, KB_CUPTI);
    double stayed = empty_by(f, KB_GRAPH), launch_stayed = empty_by(f, KB_LAUNCH);
    f->device->clockwork->cupti.Finalize = leave;
    empty_by(f, KB_CUPTI);
    printf(
        "empty kernel: graph %.3f us, cupti %.3f, graph after it %.3f; again %.3f, %.3f; "
        "where it stays %.3f, and gone at last %.3f; launch %.3f, after it %.3f, where it "
        "stays %.3f\n",
        before / 1e3, traced / 1e3, after / 1e3, again / 1e3, after_again / 1e3,
        stayed / 1e3, empty_by(f, KB_GRAPH) / 1e3, launch / 1e3, launch_after / 1e3,
        launch_stayed / 1e3);
    assert_true(fabs(after / before - 1) < 0.03);
    assert_true(fabs(after_again / before - 1) < 0.03);
}

static void launch_is_the_hosts_and_not_the_gpus_time(void **state) {
    struct fixture *f = *state;
    struct kb_slab slab;
    struct kb_plan *plan = copy_plan(f, 256 << 20, &slab); /* takes 63 us on an H200 */
    double ns = time_by(f, build(f, plan), plan, &slab, KB_LAUNCH);
    assert_true(ns > 300 && ns < 30000);
    kb_slab_free(&slab);
}

/* Threads that each go from line to line of 128 bytes, through all of tensor 0 together: a
 * load begins when the one before has come, so what the L2 holds is twice as fast. */
static struct kb_plan *chase_plan(struct fixture *f, bool keep, struct kb_slab *slab) {
    enum { LINES = 8192, STEPS = 32, THREADS = LINES / STEPS };
    const size_t bytes[] = {128 * LINES, sizeof(uint32_t) * THREADS};
    const int32_t steps = STEPS;
    struct kb_plan *plan =
        plan_of(f, keep ? "chase<true>" : "chase<false>", THREADS / 32, 32, 2);
    add_scalar(plan, &steps, sizeof steps);
    make_slab(f, slab, 2, bytes);
    uint32_t *x = kb_slab_at(slab, 0);
    for (uint32_t i = 0; i < LINES; i++)
        x[32 * i] = (i + THREADS) % LINES * 32;
    return plan;
}

/* Lines that a kernel asks the L2 to evict last outlive a flush that only reads: on an H200
 * four of five in 1 MiB of them. */
static void what_a_kernel_pins_in_the_l2_is_cold_all_the_same(void **state) {
    struct fixture *f = *state;
    struct kb_slab slab, kept_slab;
    struct kb_plan *plan = chase_plan(f, false, &slab);
    struct kb_plan *keeps = chase_plan(f, true, &kept_slab);
    struct kb_code *code = build(f, keeps);
    double plain = time_by(f, build(f, plan), plan, &slab, KB_COLD);
    double pinned = time_by(f, code, keeps, &kept_slab, KB_COLD);
    double hot = time_by(f, code, keeps, &kept_slab, KB_HOT);
    CUfunction *helpers = f->device->clockwork->code->functions;
    helpers[KB_FLUSH_LAST] = helpers[KB_FLUSH_NORMAL] = helpers[KB_FLUSH_READ];
    double only_read = time_by(f, code, keeps, &kept_slab, KB_COLD);
    printf("1 MiB, line by line: cold %.3f us, with its lines pinned %.3f, where the flush "
           "only reads %.3f, hot %.3f\n",
           plain / 1e3, pinned / 1e3, only_read / 1e3, hot / 1e3);
    assert_true(fabs(pinned / plain - 1) < 0.05);
    assert_true(only_read < 0.8 * plain); /* or a flush that leaves them is not seen here */
    assert_true(hot < 0.8 * plain);
    kb_slab_free(&slab);
    kb_slab_free(&kept_slab);
}

static void energy_is_power_times_time(void **state) {
    struct fixture *f = *state;
    struct kb_slab slab;
    struct kb_plan *plan = copy_plan(f, 64 << 20, &slab);
    struct kb_timer *timer;
    struct kb_timer_facts facts;
    double joules, spread;
    int64_t mj;
    if (!kb_nvml_energy(&f->device->nvml, &mj))
        skip();
    assert_true(kb_cuda.timer_open(f->device, build(f, plan), plan, &slab, KB_GRAPH, 0,
                                   &timer, &facts, &f->err));
    double ns = median(f, timer, 30, &spread);
    if (!kb_cuda.timer_energy(timer, 1, &joules, &f->err))
        fail_msg("%s", f->err.msg);
    printf("copy 64 MiB: %.1f uJ a launch of %.2f us, %.0f W\n", joules * 1e6, ns / 1e3,
           joules / ns * 1e9);
    assert_true(joules / ns * 1e9 > 50 && joules / ns * 1e9 < 1500);
    kb_cuda.timer_close(timer);
    kb_slab_free(&slab);
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
        print_empty(f);
        print_calls(f);
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
        TEST(a_trace_that_is_over_costs_nothing), /* first: nothing was traced before */
        TEST(times_are_what_a_gpu_takes),
        TEST(cupti_and_graph_agree),
        TEST(launch_is_the_hosts_and_not_the_gpus_time),
        TEST(what_a_kernel_pins_in_the_l2_is_cold_all_the_same),
        TEST(energy_is_power_times_time),
    };
    return cmocka_run_group_tests_name("times on a GPU", tests, NULL, NULL);
}
