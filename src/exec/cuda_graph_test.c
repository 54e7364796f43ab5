/* cuda_graph_test.c - samples that are graphs: what they rotate over, in which parts, from
 * where, and graphs that are made anew. */
#include "timer_fixture.h"

static int bumps_of(struct fixture *f, const struct kb_timer *timer, int set) {
    struct kb_slab out;
    assert_true(kb_slab_copy(&out, &f->slab, &f->err));
    assert_true(kb_sets_read(f->device, timer->tensors, set, 0, &out, &f->err));
    int bumps = (unsigned char)(byte_of(&out, 0) - byte_of(&f->slab, 0));
    kb_slab_free(&out);
    return bumps;
}

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
    struct kb_timer *timer = open_timer(f, KB_GRAPH, 1, &facts);
    assert_int_equal(facts.sets, 1);
    assert_in_range(facts.launches_per_sample, 36, 40); /* 50 us each: 2 ms */
    expect_samples(f, timer, 50000 + 3000.0 / facts.launches_per_sample);
    kb_cuda.timer_close(timer);
}

enum { MIB = 1 << 20 }; /* as the L2 */

static void ready_in_us(struct fixture *f, int us, size_t bytes) {
    open_device(f);
    add_launch(f, "bump<1>", 0);
    for (int i = 0; i < us / 50; i++)
        add_launch(f, "long_one<1>", 0);
    build(f);
    make_slab(f, bytes, 0);
}

static void long_launches_rotate_over_many_places(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    struct kb_slab out;
    ready_in_us(f, 101, MIB);
    struct kb_timer *timer = open_timer(f, KB_GRAPH, 0, &facts);
    assert_int_equal(facts.sets, 64);
    assert_int_equal(facts.footprint_bytes, 64 * MIB);
    assert_int_equal(timer->n_graphs, 3); /* 6.5 ms, in samples of 2 ms */
    expect_samples(f, timer, 101000 + 3000.0 / 21);
    for (int set = 0; set < 64; set += 21) {
        assert_true(kb_slab_copy(&out, &f->slab, &f->err));
        assert_true(kb_cuda.timer_result(timer, set, &out, &f->err));
        assert_int_equal(byte_of(&out, 0), (unsigned char)(byte_of(&f->slab, 0) + 1));
        assert_memory_equal((char *)kb_slab_at(&out, 0) + 1,
                            (char *)kb_slab_at(&f->slab, 0) + 1, MIB - 1);
        kb_slab_free(&out);
    }
    kb_cuda.timer_close(timer);
    kb_cuda.timer_close(open_timer(f, KB_GRAPH, 5, &facts));
    assert_int_equal(facts.sets, 5);
}

/* Whether it is long or not, what comes after another is over the same sets; where that has
 * graphs over them they stay. */
static void timers_rotate_over_as_many_sets_as_the_first_one(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    ready_in_us(f, 51, MIB);
    struct kb_timer *first = open_timer(f, KB_GRAPH, 0, &facts);
    assert_int_equal(facts.sets, 64);
    f->plan->n_launches = 1; /* 1 us */
    struct kb_timer *second = open_timer(f, KB_GRAPH, 0, &facts);
    assert_ptr_equal(second->tensors, first->tensors);
    assert_int_equal(facts.sets, 64);
    kb_cuda.timer_close(second);
    kb_cuda.timer_close(first);
    kb_cuda.timer_close(open_timer(f, KB_CUPTI, 0, &facts));
    assert_int_equal(facts.sets, 64);
}

static void a_long_one_after_a_short_one_rotates_over_its_sets(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    ready_in_us(f, 51, MIB);
    f->plan->n_launches = 1;
    struct kb_timer *first = open_timer(f, KB_GRAPH, 0, &facts);
    assert_int_equal(facts.sets, 3);
    CUdeviceptr memory = first->tensors->memory;
    f->plan->n_launches = 2;
    struct kb_timer *second = open_timer(f, KB_GRAPH, 0, &facts);
    assert_ptr_equal(second->tensors, first->tensors);
    assert_int_equal(facts.sets, 3);
    assert_int_equal(second->tensors->memory, memory);
    kb_cuda.timer_close(second);
    kb_cuda.timer_close(first);
    kb_cuda.timer_close(open_timer(f, KB_GRAPH, 0, &facts));
    assert_int_equal(facts.sets, 3);
}

/* Each graph's sets are 3x L2: what the other timer was just over is not there any more. */
static void timers_over_many_places_are_over_the_same_ones_in_turns(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    double ns;
    ready_in_us(f, 101, MIB);
    struct kb_timer *a = open_timer(f, KB_GRAPH, 0, &facts);
    struct kb_timer *b = open_timer(f, KB_GRAPH, 0, &facts);
    assert_ptr_equal(a->tensors, b->tensors);
    for (int part = 0; part < 4; part++) {
        int set = kb_timer_first(a, part % 3);
        assert_true(kb_sets_reset(f->device, a->tensors, 64, &f->err));
        assert_true(kb_cuda.timer_sample(a, 1, &ns, &f->err));
        assert_int_equal(bumps_of(f, a, set), 1);
        assert_true(kb_cuda.timer_sample(b, 1, &ns, &f->err));
        assert_int_equal(bumps_of(f, a, set), 2);
    }
    kb_cuda.timer_close(a);
    kb_cuda.timer_close(b);
}

static void parts_of_many_places_are_three_times_the_l2(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    ready_in_us(f, 301, MIB / 8);
    struct kb_timer *timer = open_timer(f, KB_GRAPH, 0, &facts);
    assert_int_equal(facts.sets, 64);
    assert_int_equal(timer->n_graphs, 2); /* 19 ms, in samples of 24 sets at least */
    assert_int_equal(facts.launches_per_sample, 32);
    kb_cuda.timer_close(timer);
}

static void many_places_are_no_more_than_memory_and_time_allow(void **state) {
    struct fixture *f = *state;
    struct kb_slot slot = {.bytes = MIB};
    struct kb_slab slab = {.n_slots = 1, .slots = &slot};
    setenv("KB_STUB", "memory=17179869184", 1);
    open_device(f);
    assert_int_equal(kb_sets_for_places(f->device, &slab, 30e3), 64);
    assert_int_equal(kb_sets_for_places(f->device, &slab, 2e6), 25); /* 50 ms */
    assert_int_equal(kb_sets_for_places(f->device, &slab, 60e6), 1);
    slot.bytes = 100 * MIB;
    assert_int_equal(kb_sets_for_places(f->device, &slab, 30e3), 40); /* 4 GiB */
    assert_int_equal(kb_sets_for_places(f->device, &slab, 2e6), 25);
    int64_t all = kb_cuda_free_bytes(f->device);
    slot.bytes = (size_t)all / 30;
    assert_int_equal(kb_sets_for_places(f->device, &slab, 30e3), 7);
    slot.bytes = 0;
    assert_int_equal(kb_sets_for_places(f->device, &slab, 30e3), 1);
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
        TEST(long_launches_rotate_over_many_places),
        TEST(timers_rotate_over_as_many_sets_as_the_first_one),
        TEST(a_long_one_after_a_short_one_rotates_over_its_sets),
        TEST(timers_over_many_places_are_over_the_same_ones_in_turns),
        TEST(parts_of_many_places_are_three_times_the_l2),
        TEST(many_places_are_no_more_than_memory_and_time_allow),
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
