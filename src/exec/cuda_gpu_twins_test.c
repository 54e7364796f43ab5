/* cuda_gpu_twins_test.c - on a real GPU: a kernel takes what it took before, and the same
 * kernel, loaded and captured again, takes as long. */
#include "gpu_fixture.h"

enum { SAMPLES = 31, TWINS = 8, BLOCKS = 24 };

static struct kb_timer *open_timer(struct fixture *f, struct kb_code *code,
                                   const struct kb_plan *plan, const struct kb_slab *slab,
                                   enum kb_method method) {
    struct kb_timer *timer;
    struct kb_timer_facts facts;
    double ns[SAMPLES];
    if (!kb_cuda.timer_open(f->device, code, plan, slab, method, 0, &timer, &facts,
                            &f->err) ||
        !kb_cuda.timer_sample(timer, SAMPLES, ns, &f->err)) /* it warms up */
        fail_msg("%s", f->err.msg);
    return timer;
}

static double median(struct fixture *f, struct kb_timer *timer) {
    double ns[SAMPLES];
    if (!kb_cuda.timer_sample(timer, SAMPLES, ns, &f->err))
        fail_msg("%s", f->err.msg);
    kb_sort(ns, SAMPLES);
    return ns[SAMPLES / 2];
}

/* What a context does once may cost all its kernels time till its end: cold times did. */
static void no_method_makes_graphs_slower(void **state) {
    struct fixture *f = *state;
    struct kb_slab slab;
    struct kb_plan *plan = copy_plan(f, 256 << 10, &slab);
    struct kb_code *code = build(f, plan);
    struct kb_timer *graph = open_timer(f, code, plan, &slab, KB_GRAPH);
    double before = median(f, graph);
    printf("copy 256 kB, graph %.4f us", before / 1e3);
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        struct kb_timer *timer = open_timer(f, code, plan, &slab, (enum kb_method)m);
        median(f, timer);
        kb_cuda.timer_close(timer);
        double after = median(f, graph);
        printf(", after %s %.4f", kb_method_word((enum kb_method)m), after / 1e3);
        assert_true(fabs(after / before - 1) < 0.02);
    }
    printf("\n");
    kb_cuda.timer_close(graph);
    kb_slab_free(&slab);
}

/* ln of B over A, each visited twice in a block, in turns. */
static double compare(struct fixture *f, struct kb_timer *const timers[2]) {
    double sum = 0, ns;
    for (int block = 0; block < BLOCKS; block++) {
        int first = block & 1;
        int order[] = {first, !first, !first, first};
        double both[2] = {0};
        for (int v = 0; v < 4; v++) {
            assert_true(kb_cuda.timer_sample(timers[order[v]], 1, &ns, &f->err));
            both[order[v]] += ns;
        }
        sum += log(both[1] / both[0]);
    }
    return sum / BLOCKS;
}

static void a_kernel_that_is_loaded_twice_takes_as_long(void **state) {
    struct fixture *f = *state;
    struct kb_slab slab;
    struct kb_plan *plan = copy_plan(f, 256 << 10, &slab);
    kb_cuda.timer_close(open_timer(f, build(f, plan), plan, &slab, KB_COLD));
    printf("copy 256 kB twice, B/A %%:");
    for (int i = 0; i < TWINS; i++) {
        struct kb_timer *timers[2];
        for (int k = 0; k < 2; k++)
            timers[k] = open_timer(f, build(f, plan), plan, &slab, KB_GRAPH);
        double off = compare(f, timers);
        printf(" %+.3f", 100 * off);
        assert_true(fabs(off) < 0.003);
        for (int k = 0; k < 2; k++)
            kb_cuda.timer_close(timers[k]);
    }
    printf("\n");
    kb_slab_free(&slab);
}

static void a_graph_that_is_made_anew_takes_as_long(void **state) {
    struct fixture *f = *state;
    struct kb_slab slab;
    struct kb_plan *plan = copy_plan(f, 256 << 10, &slab);
    struct kb_code *code = build(f, plan);
    struct kb_timer *timers[] = {open_timer(f, code, plan, &slab, KB_GRAPH),
                                 open_timer(f, code, plan, &slab, KB_GRAPH)};
    int64_t spent_ns = 0;
    printf("copy 256 kB anew, %%:");
    for (int i = 0; i < TWINS; i++) {
        int64_t start = kb_now_ns();
        assert_true(kb_cuda.timer_renew(timers[1], &f->err));
        spent_ns += kb_now_ns() - start;
        double off = compare(f, timers);
        printf(" %+.3f", 100 * off);
        assert_true(fabs(off) < 0.003);
    }
    printf("; made in %.1f ms\n", (double)spent_ns / 1e6 / TWINS);
    for (int k = 0; k < 2; k++)
        kb_cuda.timer_close(timers[k]);
    kb_slab_free(&slab);
}

/* 4096 sets of 32 kB are a rotation in parts that each fit the L2 with what they left. */
static void in_turns_buffers_are_as_cold_as_alone(void **state) {
    struct fixture *f = *state;
    struct kb_slab slab;
    struct kb_plan *plan = copy_plan(f, 32 << 10, &slab);
    struct kb_code *code = build(f, plan);
    struct kb_timer *timers[] = {open_timer(f, code, plan, &slab, KB_GRAPH),
                                 open_timer(f, code, plan, &slab, KB_GRAPH)};
    double alone = median(f, timers[0]), ns[2][SAMPLES];
    for (int i = 0; i < SAMPLES; i++)
        for (int k = 0; k < 2; k++)
            assert_true(kb_cuda.timer_sample(timers[k], 1, &ns[k][i], &f->err));
    printf("copy 32 kB in %d parts: alone %.4f us, in turns", timers[0]->n_graphs,
           alone / 1e3);
    for (int k = 0; k < 2; k++) {
        kb_sort(ns[k], SAMPLES);
        printf(" %.4f", ns[k][SAMPLES / 2] / 1e3);
        assert_true(fabs(ns[k][SAMPLES / 2] / alone - 1) < 0.03);
        kb_cuda.timer_close(timers[k]);
    }
    printf("\n");
    kb_slab_free(&slab);
}

int main(int argc, char **argv) {
    int rc = begin_tests(argc, argv);
    if (rc >= 0)
        return rc;
    const struct CMUnitTest tests[] = {
        TEST(no_method_makes_graphs_slower),
        TEST(a_kernel_that_is_loaded_twice_takes_as_long),
        TEST(a_graph_that_is_made_anew_takes_as_long),
        TEST(in_turns_buffers_are_as_cold_as_alone),
    };
    return cmocka_run_group_tests_name("twins on a GPU", tests, NULL, NULL);
}
