/* cuda_graph_test.c - samples that are graphs: what they rotate over, in which parts, from
 * where, and graphs that are made anew. */
#include "timer_fixture.h"

static void graph_rotates_over_three_times_the_l2(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    ready(f, 100000);
    struct kb_timer *timer = open_timer(f, KB_GRAPH, 0, &facts);
    assert_int_equal(facts.sets, 32); /* 3 MiB / 100 kB, rounded up */
    assert_int_equal(facts.footprint_bytes, 3200000);
    assert_string_equal(facts.cache, "rotated");
    assert_int_equal(facts.launches_per_sample % 32, 0);
    assert_in_range(facts.launches_per_sample, 750, 1024);
    expect_samples(f, timer, 1000 + 3000.0 / facts.launches_per_sample);
    kb_cuda.timer_close(timer);
}

static void sets_are_as_asked_up_to_4096_and_one_where_one_is_enough(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    ready(f, 64);
    kb_cuda.timer_close(open_timer(f, KB_GRAPH, 7, &facts));
    assert_int_equal(facts.sets, 7);
    kb_cuda.timer_close(open_timer(f, KB_GRAPH, 0, &facts));
    assert_int_equal(facts.sets, 4096);
    kb_slab_free(&f->slab);
    make_slab(f, 4 << 20, 0);
    kb_cuda.timer_close(open_timer(f, KB_GRAPH, 0, &facts));
    assert_int_equal(facts.sets, 1);
}

static void of_long_launches_a_sample_is_longer(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    open_device(f);
    add_launch(f, "long_one<1>", 0);
    build(f);
    make_slab(f, 4 << 20, 0);
    struct kb_timer *timer = open_timer(f, KB_GRAPH, 0, &facts);
    assert_int_equal(facts.sets, 1);
    assert_in_range(facts.launches_per_sample, 36, 40); /* 50 us each: 2 ms */
    expect_samples(f, timer, 50000 + 3000.0 / facts.launches_per_sample);
    kb_cuda.timer_close(timer);
}

/* 4096 sets take 4.1 ms: four samples' worth, of which each has a quarter. */
static void long_rotation_is_sampled_in_parts(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    struct kb_slab out = {.fd = -1};
    double ns[6];
    ready(f, 64);
    unsigned char before = byte_of(&f->slab, 0);
    assert_true(kb_slab_copy(&out, &f->slab, &f->err));
    struct kb_timer *timer = open_timer(f, KB_GRAPH, 0, &facts);
    assert_int_equal(timer->n_graphs, 4);
    assert_int_equal(facts.launches_per_sample, 1024);
    int launches = 0;
    for (int i = 0; i < timer->n_graphs; i++)
        launches += kb_timer_launches(timer, i);
    assert_int_equal(launches, 4096);
    expect_samples(f, timer, 1000 + 3000.0 / 1024);
    /* 6 samples: parts 2, 3, 0, 1, 2, 3 after the 70 above */
    assert_true(kb_sets_reset(f->device, timer->tensors, 4096, &f->err));
    assert_true(kb_cuda.timer_sample(timer, 6, ns, &f->err));
    assert_true(kb_sets_read(f->device, timer->tensors, 1023, 0, &out, &f->err));
    assert_int_equal(byte_of(&out, 0), (unsigned char)(before + 1));
    assert_true(kb_sets_read(f->device, timer->tensors, 4095, 0, &out, &f->err));
    assert_int_equal(byte_of(&out, 0), (unsigned char)(before + 2));
    for (int set = 0; set < 4096; set += 819) {
        assert_true(kb_cuda.timer_result(timer, set, &out, &f->err));
        assert_int_equal(byte_of(&out, 0), (unsigned char)(before + 1));
    }
    kb_cuda.timer_close(timer);
    kb_slab_free(&out);
}

static int bumps_of(struct fixture *f, const struct kb_timer *timer, int set) {
    struct kb_slab out;
    assert_true(kb_slab_copy(&out, &f->slab, &f->err));
    assert_true(kb_sets_read(f->device, timer->tensors, set, 0, &out, &f->err));
    int bumps = (unsigned char)(byte_of(&out, 0) - byte_of(&f->slab, 0));
    kb_slab_free(&out);
    return bumps;
}

/* Else the second of two in turns finds what the first has left in the L2. */
static void timers_over_the_same_sets_go_on_from_each_other(void **state) {
    static const enum kb_method methods[] = {KB_GRAPH, KB_CUPTI};
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    double ns[2];
    ready(f, 64);
    for (size_t m = 0; m < KB_COUNT(methods); m++) {
        struct kb_timer *a = open_timer(f, methods[m], 0, &facts);
        struct kb_timer *b = open_timer(f, methods[m], 0, &facts);
        int step = methods[m] == KB_GRAPH ? 1024 : 1; /* sets that a sample is over */
        assert_ptr_equal(a->tensors, b->tensors);
        a->tensors->at = 0;
        assert_true(kb_sets_reset(f->device, a->tensors, 4096, &f->err));
        assert_true(kb_cuda.timer_sample(a, 1, ns, &f->err));
        assert_true(kb_cuda.timer_sample(b, 2, ns, &f->err));
        for (int i = 0; i < 4; i++)
            assert_int_equal(bumps_of(f, a, step * i), i < 3);
        assert_true(kb_cuda.timer_sample(a, 1, ns, &f->err));
        assert_int_equal(bumps_of(f, a, 0), 1);
        assert_int_equal(bumps_of(f, a, step * 3), 1);
        kb_cuda.timer_close(a);
        kb_cuda.timer_close(b);
    }
}

/* One that goes on in the middle of a part begins with the next part, and last with the
 * first one. */
static void parts_are_found_from_any_set(void **state) {
    static const struct {
        int at, part;
    } cases[] = {{0, 0}, {1, 1}, {1024, 1}, {2049, 3}, {3072, 3}, {3073, 0}};
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    double ns;
    ready(f, 64);
    struct kb_timer *timer = open_timer(f, KB_GRAPH, 0, &facts);
    for (size_t i = 0; i < KB_COUNT(cases); i++) {
        timer->tensors->at = cases[i].at;
        assert_true(kb_sets_reset(f->device, timer->tensors, 4096, &f->err));
        assert_true(kb_cuda.timer_sample(timer, 1, &ns, &f->err));
        for (int k = 0; k < 4; k++)
            assert_int_equal(bumps_of(f, timer, 1024 * k), k == cases[i].part);
        assert_int_equal(timer->tensors->at, (cases[i].part + 1) % 4 * 1024);
    }
    kb_cuda.timer_close(timer);
}

/* A rotation leaves its last sets in the L2: what another timer goes on from is the first.
 */
static void after_a_rotation_samples_go_on_from_the_first_set(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    struct kb_slab out;
    ready(f, 100000);
    struct kb_timer *timer = open_timer(f, KB_GRAPH, 0, &facts);
    assert_int_equal(timer->n_graphs, 1);
    timer->tensors->at = 20;
    assert_true(kb_cuda.timer_renew(timer, &f->err));
    assert_int_equal(timer->tensors->at, 0);
    timer->tensors->at = 20;
    kb_cuda.timer_close(open_timer(f, KB_GRAPH, 0, &facts));
    assert_int_equal(timer->tensors->at, 0);
    timer->tensors->at = 20;
    assert_true(kb_slab_copy(&out, &f->slab, &f->err));
    assert_true(kb_cuda.timer_result(timer, 3, &out, &f->err));
    assert_int_equal(timer->tensors->at, 0);
    kb_slab_free(&out);
    kb_cuda.timer_close(timer);
}

static void graph_that_is_made_anew_times_and_leaves_the_same(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    struct kb_slab out = {.fd = -1};
    ready(f, 100000);
    unsigned char before = byte_of(&f->slab, 0);
    assert_true(kb_slab_copy(&out, &f->slab, &f->err));
    struct kb_timer *timer = open_timer(f, KB_GRAPH, 0, &facts);
    assert_int_equal(timer->n_graphs, 1);
    assert_true(kb_cuda.timer_result(timer, 3, &out, &f->err));
    CUgraphExec old = timer->graphs[0];
    assert_true(kb_cuda.timer_renew(timer, &f->err));
    assert_ptr_not_equal(timer->graphs[0], old);
    assert_true(kb_sets_read(f->device, timer->tensors, 31, 0, &out, &f->err));
    int turns = facts.launches_per_sample / 32; /* the new one was replayed once */
    assert_int_equal(byte_of(&out, 0), (unsigned char)(before + 1 + turns));
    expect_samples(f, timer, 1000 + 3000.0 / facts.launches_per_sample);
    assert_true(kb_cuda.timer_renew(timer, &f->err));
    assert_true(kb_cuda.timer_result(timer, 3, &out, &f->err));
    assert_int_equal(byte_of(&out, 0), (unsigned char)(before + 1));
    kb_cuda.timer_close(timer);
    kb_slab_free(&out);
}

static void what_is_no_single_graph_is_not_made_anew(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    CUgraphExec old[4];
    ready(f, 64);
    struct kb_timer *timer = open_timer(f, KB_GRAPH, 0, &facts);
    assert_int_equal(timer->n_graphs, 4);
    memcpy(old, timer->graphs, sizeof old);
    assert_true(kb_cuda.timer_renew(timer, &f->err));
    assert_memory_equal(old, timer->graphs, sizeof old);
    kb_cuda.timer_close(timer);
    timer = open_timer(f, KB_HOT, 0, &facts);
    assert_true(kb_cuda.timer_renew(timer, &f->err));
    expect_samples(f, timer, 1000);
    kb_cuda.timer_close(timer);
}

static void pdl_has_programmatic_edges_and_graph_has_none(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    ready(f, 100000);
    f->plan->launches[0].pdl = true;
    struct kb_timer *graph = open_timer(f, KB_GRAPH, 0, &facts);
    expect_samples(f, graph, 1000 + 3000.0 / facts.launches_per_sample);
    struct kb_timer *pdl = open_timer(f, KB_PDL, 0, &facts);
    expect_samples(f, pdl, 800 + 3000.0 / facts.launches_per_sample);
    kb_cuda.timer_close(graph);
    kb_cuda.timer_close(pdl);
}

static void pdl_is_unsupported_where_plan_or_device_have_none(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    struct kb_timer *timer;
    ready(f, 64);
    assert_false(kb_cuda.timer_open(f->device, f->code, f->plan, &f->slab, KB_PDL, 0,
                                    &timer, &facts, &f->err));
    expect_error(f, KB_UNSUPPORTED, "the variant has no \"pdl\"");
    f->plan->launches[0].pdl = true;
    f->device->info.limits.sm = 80;
    assert_false(kb_cuda.timer_open(f->device, f->code, f->plan, &f->slab, KB_PDL, 0,
                                    &timer, &facts, &f->err));
    expect_error(f, KB_UNSUPPORTED, "sm_90 or later");
}

int main(int argc, char **argv) {
    int rc = begin_tests(argc, argv);
    if (rc >= 0)
        return rc;
    const struct CMUnitTest tests[] = {
        TEST(graph_rotates_over_three_times_the_l2),
        TEST(sets_are_as_asked_up_to_4096_and_one_where_one_is_enough),
        TEST(of_long_launches_a_sample_is_longer),
        TEST(long_rotation_is_sampled_in_parts),
        TEST(timers_over_the_same_sets_go_on_from_each_other),
        TEST(parts_are_found_from_any_set),
        TEST(after_a_rotation_samples_go_on_from_the_first_set),
        TEST(graph_that_is_made_anew_times_and_leaves_the_same),
        TEST(what_is_no_single_graph_is_not_made_anew),
        TEST(pdl_has_programmatic_edges_and_graph_has_none),
        TEST(pdl_is_unsupported_where_plan_or_device_have_none),
    };
    return end_tests(cmocka_run_group_tests_name("cuda graphs", tests, NULL, NULL));
}
