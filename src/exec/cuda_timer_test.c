/* cuda_timer_test.c - what the cuda backend's timers time, by a clock that counts. */
#include "timer_fixture.h"

#include <math.h>
#include <stddef.h>

#if __has_include(<cupti.h>)
#include <cupti.h>
#endif

/* ---- timers ----------------------------------------------------------------------------
 */

static void cold_and_hot_time_the_launch_and_not_the_flush(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    ready(f, 64);
    struct kb_timer *cold = open_timer(f, KB_COLD, 0, &facts);
    assert_int_equal(facts.sets, 1);
    assert_int_equal(facts.launches_per_sample, 1);
    assert_string_equal(facts.cache, "flushed");
    expect_samples(f, cold, 1000);
    struct kb_timer *hot = open_timer(f, KB_HOT, 0, &facts);
    assert_string_equal(facts.cache, "warm");
    expect_samples(f, hot, 1000);
    kb_cuda.timer_close(cold);
    kb_cuda.timer_close(hot);
}

static void what_a_kernel_has_the_l2_keep_is_gone_before_each_cold_launch(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    open_device(f);
    add_launch(f, "keep<1>", 0);
    build(f);
    make_slab(f, 64, 0);
    struct kb_timer *cold = open_timer(f, KB_COLD, 0, &facts);
    expect_samples(f, cold, 1000);
    struct kb_timer *hot = open_timer(f, KB_HOT, 0, &facts);
    expect_samples(f, hot, 500);
    kb_cuda.timer_close(cold);
    kb_cuda.timer_close(hot);
}

#if __has_include(<cupti.h>)
#define SAME(ours, theirs, ours_field, theirs_field)                                       \
    _Static_assert(offsetof(struct ours, ours_field) == offsetof(theirs, theirs_field),    \
                   "as cupti.h has it")
_Static_assert((int)KB_CUPTI_KERNEL == (int)CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, "kind");
_Static_assert((int)KB_CUPTI_MEMSET == (int)CUPTI_ACTIVITY_KIND_MEMSET, "kind");
SAME(kb_cupti_kernel, CUpti_ActivityKernel10, start_ns, start);
SAME(kb_cupti_kernel, CUpti_ActivityKernel10, end_ns, end);
SAME(kb_cupti_memset, CUpti_ActivityMemset4, start_ns, start);
SAME(kb_cupti_memset, CUpti_ActivityMemset4, end_ns, end);
#endif

static void cupti_times_kernels_by_their_own_stamps(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    ready(f, 100000);
    struct kb_timer *timer = open_timer(f, KB_CUPTI, 0, &facts);
    assert_int_equal(facts.sets, 32);
    assert_int_equal(facts.launches_per_sample, 1);
    assert_string_equal(facts.cache, "rotated");
    assert_true(facts.tick_ns > 0 && isnan(facts.timer_ns));
    expect_samples(f, timer, 900); /* 50 ns at both ends are not the kernel's */
    kb_cuda.timer_close(timer);
    timer = open_timer(f, KB_CUPTI, 3, &facts); /* traced again, and other sets */
    expect_samples(f, timer, 900);
    kb_cuda.timer_close(timer);
}

static void cupti_times_a_chain_from_its_first_start_to_its_last_end(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    size_t bytes[] = {64, 64};
    open_device(f);
    add_launch(f, "bump<1>", 0);
    add_launch(f, "other<1>", 0);
    build(f);
    f->plan->n_scratch = 1;
    f->plan->scratch[0] = (struct kb_scratch){64, KB_SCRATCH_ZERO};
    assert_true(kb_slab_make(&f->slab, KB_SLAB_SHARED, 2, bytes, 0, &f->err));
    struct kb_timer *timer = open_timer(f, KB_CUPTI, 2, &facts);
    expect_samples(f, timer, 2000); /* of 2100, with the zeroes in front */
    kb_cuda.timer_close(timer);
}

static void cupti_that_lost_kernels_gives_no_number(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    double ns[32];
    ready(f, 64);
    struct kb_timer *timer = open_timer(f, KB_CUPTI, 1, &facts);
    setenv("KB_STUB", "dropped=1", 1);
    assert_false(kb_cuda.timer_sample(timer, 32, ns, &f->err));
    expect_error(f, KB_UNSUPPORTED, "kernels where 33 ran");
    setenv("KB_STUB", "", 1);
    assert_true(kb_cuda.timer_sample(timer, 32, ns, &f->err));
    kb_cuda.timer_close(timer);
}

static void cupti_that_is_taken_or_not_there_says_so(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    struct kb_timer *timer;
    struct kb_cupti cupti;
    static const char *const nowhere[] = {"libcupti-of-nobody.so", NULL};
    static const char *const another[] = {"libc.so.6", NULL};
    setenv("KB_STUB", "cupti=39", 1);
    ready(f, 64);
    assert_false(kb_cuda.timer_open(f->device, f->code, f->plan, &f->slab, KB_CUPTI, 0,
                                    &timer, &facts, &f->err));
    expect_error(f, KB_UNSUPPORTED,
                 "CUPTI: CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED (39)");
    double ns;
    assert_false(kb_cuda.floor(f->device, KB_CUPTI, &ns, &f->err));
    assert_true(kb_starts_with(f->err.msg, "CUPTI: "));
    assert_false(kb_cupti_load_from(nowhere, &cupti, &f->err));
    expect_error(f, KB_UNSUPPORTED, "libcupti.so not found");
    assert_false(cupti.there);
    assert_false(kb_cupti_load_from(another, &cupti, &f->err));
    expect_error(f, KB_UNSUPPORTED, "it has no cupti");
}

/* Only while a timer of its is open: it costs others time as long as it is there. */
static void cupti_traces_only_for_its_own_timers(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    ready(f, 64);
    struct kb_timer *graph = open_timer(f, KB_GRAPH, 1, &facts);
    double alone = 1000 + 3000.0 / facts.launches_per_sample;
    struct kb_timer *a = open_timer(f, KB_CUPTI, 1, &facts);
    struct kb_timer *b = open_timer(f, KB_CUPTI, 1, &facts);
    kb_cuda.timer_close(a);
    expect_samples(f, b, 900);
    assert_true(f->device->clockwork->cupti.traced);
    expect_samples(f, graph, alone + 200);
    kb_cuda.timer_close(b);
    assert_false(f->device->clockwork->cupti.traced);
    expect_samples(f, graph, alone);
    kb_cuda.timer_close(graph);
}

static void launch_times_what_the_host_takes(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    double ns[20];
    ready(f, 64);
    struct kb_timer *timer = open_timer(f, KB_LAUNCH, 0, &facts);
    assert_int_equal(facts.launches_per_sample, 32); /* 1 us each: far below 2 ms */
    assert_string_equal(facts.cache, "none");
    assert_true(facts.timer_ns > 0 && facts.tick_ns == 1.0 / 32);
    unsigned char before = *(unsigned char *)(uintptr_t)kb_sets_at(timer->tensors, 0, 0);
    assert_true(kb_cuda.timer_sample(timer, 20, ns, &f->err));
    unsigned char after = *(unsigned char *)(uintptr_t)kb_sets_at(timer->tensors, 0, 0);
    assert_int_equal((unsigned char)(after - before), (unsigned char)(20 * 32));
    for (int i = 0; i < 20; i++) /* by the host's clock: the stub's says 1000 */
        assert_true(ns[i] > 0 && ns[i] < 1e6 && fabs(ns[i] - 1000) > 1e-6);
    kb_cuda.timer_close(timer);
}

static void what_events_read_around_nothing_is_told(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    ready(f, 64);
    kb_cuda.timer_close(open_timer(f, KB_HOT, 0, &facts));
    assert_true(facts.timer_ns == 0); /* events take nothing here */
    f->device->clockwork->pair_ns = 1800;
    f->device->clockwork->tick_ns = 32;
    kb_cuda.timer_close(open_timer(f, KB_COLD, 0, &facts));
    assert_true(facts.timer_ns == 1800 && facts.tick_ns == 32);
    kb_cuda.timer_close(open_timer(f, KB_GRAPH, 0, &facts));
    assert_true(facts.timer_ns == 1800.0 / facts.launches_per_sample);
    assert_true(facts.tick_ns == 32.0 / facts.launches_per_sample);
}

static void samples_behind_a_hold_that_ran_out_are_taken_again(void **state) {
    struct fixture *f = *state;
    static const enum kb_method methods[] = {KB_GRAPH, KB_COLD, KB_HOT, KB_CUPTI};
    struct kb_timer_facts facts;
    double ns[8];
    ready(f, 64);
    for (size_t i = 0; i < KB_COUNT(methods); i++) {
        struct kb_timer *timer = open_timer(f, methods[i], 1, &facts);
        bool graph = methods[i] == KB_GRAPH;
        unsigned before = f->device->clockwork->lates;
        setenv("KB_STUB", "late=3", 1);
        expect_samples(f, timer,
                       graph                    ? 1000 + 3000.0 / facts.launches_per_sample
                       : methods[i] == KB_CUPTI ? 900
                                                : 1000);
        assert_int_equal(f->device->clockwork->lates, before + 3);
        setenv("KB_STUB", "late=9999", 1);
        assert_false(kb_cuda.timer_sample(timer, 8, ns, &f->err));
        expect_error(f, KB_DEVICE, "this host is too busy to time by ");
        setenv("KB_STUB", "", 1);
        assert_true(kb_cuda.timer_sample(timer, 8, ns, &f->err));
        kb_cuda.timer_close(timer);
    }
}

static void the_timers_own_tick_is_taken_again_behind_a_hold_that_ran_out(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    struct kb_timer *timer;
    ready(f, 64);
    setenv("KB_STUB", "late=9999", 1);
    assert_false(kb_cuda.timer_open(f->device, f->code, f->plan, &f->slab, KB_HOT, 0,
                                    &timer, &facts, &f->err));
    expect_error(f, KB_DEVICE, "this host is too busy to time anything");
    assert_null(f->device->clockwork);
    setenv("KB_STUB", "late=7", 1); /* of which it has had four */
    kb_cuda.timer_close(open_timer(f, KB_HOT, 0, &facts));
    assert_int_equal(f->device->clockwork->lates, 3);
    setenv("KB_STUB", "", 1);
}

static void a_hold_that_ran_out_does_not_make_graphs_shorter(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts, late;
    ready(f, 64);
    kb_cuda.timer_close(open_timer(f, KB_HOT, 1, &facts)); /* whose holds are none of it */
    kb_cuda.timer_close(open_timer(f, KB_GRAPH, 1, &facts));
    setenv("KB_STUB", "late=1", 1);
    kb_cuda.timer_close(open_timer(f, KB_GRAPH, 1, &late));
    setenv("KB_STUB", "", 1);
    assert_int_equal(late.launches_per_sample, facts.launches_per_sample);
}

static void chain_is_timed_as_a_whole_with_its_zeroes(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    size_t bytes[] = {64, 64};
    open_device(f);
    add_launch(f, "bump<1>", 0);
    add_launch(f, "other<1>", 0);
    build(f);
    f->plan->n_scratch = 1;
    f->plan->scratch[0] = (struct kb_scratch){64, KB_SCRATCH_ZERO};
    assert_true(kb_slab_make(&f->slab, KB_SLAB_SHARED, 2, bytes, 0, &f->err));
    struct kb_timer *timer = open_timer(f, KB_COLD, 0, &facts);
    expect_samples(f, timer, 2100);
    assert_int_equal(facts.footprint_bytes, 128);
    kb_cuda.timer_close(timer);
}

static void result_is_one_launch_from_the_initial_state_in_every_set(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    struct kb_slab out = {.fd = -1};
    double ns[20];
    ready(f, 100000);
    unsigned char before = byte_of(&f->slab, 0);
    f->plan->launches[0].pdl = true;
    assert_true(kb_slab_copy(&out, &f->slab, &f->err));
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        struct kb_timer *timer = open_timer(f, (enum kb_method)m, 0, &facts);
        assert_true(kb_cuda.timer_sample(timer, 20, ns, &f->err));
        for (int set = 0; set < facts.sets; set += 5) {
            memset(kb_slab_at(&out, 0), 0, 100000);
            assert_true(kb_cuda.timer_result(timer, set, &out, &f->err));
            assert_int_equal(byte_of(&out, 0), (unsigned char)(before + 1));
            assert_memory_equal((char *)kb_slab_at(&out, 0) + 1,
                                (char *)kb_slab_at(&f->slab, 0) + 1, 99999);
        }
        assert_false(kb_cuda.timer_result(timer, facts.sets, &out, &f->err));
        kb_cuda.timer_close(timer);
    }
    kb_slab_free(&out);
}

static void timers_over_equal_tensors_share_memory_but_not_results(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    struct kb_slab out = {.fd = -1};
    struct kb_code *code_a;
    double ns[2];
    ready(f, 100000);
    unsigned char before = byte_of(&f->slab, 0);
    assert_true(kb_slab_copy(&out, &f->slab, &f->err));
    struct kb_timer *a = open_timer(f, KB_GRAPH, 0, &facts);
    code_a = f->code;
    f->plan->launches[0].entry = "other<3>"; /* touches nothing, says the stub */
    build(f);
    struct kb_timer *b = open_timer(f, KB_GRAPH, 0, &facts);
    assert_ptr_equal(a->tensors, b->tensors);
    assert_true(kb_cuda.timer_sample(a, 2, ns, &f->err));
    assert_true(kb_cuda.timer_sample(b, 2, ns, &f->err));
    assert_true(kb_cuda.timer_result(a, 3, &out, &f->err));
    assert_int_equal(byte_of(&out, 0), (unsigned char)(before + 1));
    assert_true(kb_cuda.timer_result(b, 3, &out, &f->err));
    assert_int_equal(byte_of(&out, 0), before);
    assert_true(kb_cuda.timer_result(a, 3, &out, &f->err));
    assert_int_equal(byte_of(&out, 0), (unsigned char)(before + 1));
    *(unsigned char *)kb_slab_at(&f->slab, 0) ^= 1; /* other contents, other sets */
    struct kb_timer *c = open_timer(f, KB_GRAPH, 0, &facts);
    assert_ptr_not_equal(a->tensors, c->tensors);
    kb_cuda.timer_close(a);
    kb_cuda.timer_close(b);
    kb_cuda.timer_close(c);
    kb_cuda.unload(f->device, code_a);
    kb_slab_free(&out);
}

static void opening_a_timer_spoils_the_results_on_shared_memory(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    struct kb_slab out = {.fd = -1};
    ready(f, 100000);
    unsigned char before = byte_of(&f->slab, 0);
    assert_true(kb_slab_copy(&out, &f->slab, &f->err));
    struct kb_timer *a = open_timer(f, KB_GRAPH, 4, &facts);
    assert_true(kb_cuda.timer_result(a, 0, &out, &f->err));
    struct kb_timer *b = open_timer(f, KB_GRAPH, 4, &facts);
    assert_ptr_equal(a->tensors, b->tensors);
    assert_true(kb_cuda.timer_result(a, 0, &out, &f->err));
    assert_int_equal(byte_of(&out, 0), (unsigned char)(before + 1));
    kb_cuda.timer_close(a);
    kb_cuda.timer_close(b);
    kb_slab_free(&out);
}

static void timer_with_other_scratch_spoils_the_shared_tensors_too(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    struct kb_slab more = {.fd = -1}, out = {.fd = -1};
    struct kb_timer *b = NULL;
    size_t bytes[] = {100000, 0, 64};
    double ns[2];
    ready(f, 100000);
    unsigned char before = byte_of(&f->slab, 0);
    assert_true(kb_slab_copy(&out, &f->slab, &f->err));
    assert_true(kb_slab_make(&more, KB_SLAB_SHARED, 3, bytes, 0, &f->err));
    memcpy(kb_slab_at(&more, 0), kb_slab_at(&f->slab, 0), 100000);
    struct kb_timer *a = open_timer(f, KB_GRAPH, 3, &facts);
    f->plan->n_scratch = 1;
    f->plan->scratch[0] = (struct kb_scratch){64, KB_SCRATCH_KEEP};
    assert_true(kb_cuda.timer_open(f->device, f->code, f->plan, &more, KB_GRAPH, 3, &b,
                                   &facts, &f->err));
    assert_ptr_equal(a->tensors, b->tensors);
    assert_true(kb_cuda.timer_result(a, 0, &out, &f->err));
    assert_true(kb_cuda.timer_sample(b, 2, ns, &f->err));
    assert_true(kb_cuda.timer_result(a, 0, &out, &f->err));
    assert_int_equal(byte_of(&out, 0), (unsigned char)(before + 1));
    kb_cuda.timer_close(a);
    kb_cuda.timer_close(b);
    kb_slab_free(&more);
    kb_slab_free(&out);
}

static void kept_sets_make_room_for_a_case_that_needs_it(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    setenv("KB_STUB", "memory=100000000", 1);
    ready(f, 20 << 20);
    kb_cuda.timer_close(open_timer(f, KB_GRAPH, 0, &facts));
    kb_slab_free(&f->slab);
    make_slab(f, 60 << 20, 0);
    assert_true(kb_cuda.info(f->device)->free_bytes > 60 << 20);
    assert_true(run(f));
    struct kb_timer *timer;
    assert_false(kb_cuda.timer_open(f->device, f->code, f->plan, &f->slab, KB_GRAPH, 0,
                                    &timer, &facts, &f->err));
    expect_error(f, KB_MEMORY, "needs 126 MB");
}

static void floor_is_an_empty_kernel_by_the_same_method(void **state) {
    static const double want[] = {[KB_GRAPH] = 500,
                                  [KB_PDL] = 400,
                                  [KB_COLD] = 500,
                                  [KB_HOT] = 500,
                                  [KB_CUPTI] = 400};
    struct fixture *f = *state;
    open_device(f);
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        double ns = 0;
        assert_true(kb_cuda.floor(f->device, (enum kb_method)m, &ns, &f->err));
        if (m == KB_LAUNCH)
            assert_true(ns > 0); /* the host's time is real here, too */
        else
            assert_true(ns >= want[m] - 0.01 && ns < want[m] + 3000.0 / 1000 + 0.01);
    }
}

static void nothing_to_launch_is_nothing_to_time(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    struct kb_timer *timer;
    ready(f, 64);
    f->plan->launches[0].grid[0] = 0;
    assert_false(kb_cuda.timer_open(f->device, f->code, f->plan, &f->slab, KB_GRAPH, 0,
                                    &timer, &facts, &f->err));
    assert_int_equal(f->err.kind, KB_UNSUPPORTED);
}

static void error_while_timing_is_named(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    double ns;
    ready(f, 64);
    struct kb_timer *timer = open_timer(f, KB_HOT, 0, &facts);
    setenv("KB_STUB", "launch=700", 1);
    assert_false(kb_cuda.timer_sample(timer, 1, &ns, &f->err));
    expect_error(f, KB_DEVICE, "illegal address (700)");
    kb_cuda.timer_close(timer);
}

int main(int argc, char **argv) {
    int rc = begin_tests(argc, argv);
    if (rc >= 0)
        return rc;
    const struct CMUnitTest tests[] = {
        TEST(cold_and_hot_time_the_launch_and_not_the_flush),
        TEST(what_a_kernel_has_the_l2_keep_is_gone_before_each_cold_launch),
        TEST(cupti_times_kernels_by_their_own_stamps),
        TEST(cupti_times_a_chain_from_its_first_start_to_its_last_end),
        TEST(cupti_that_lost_kernels_gives_no_number),
        TEST(cupti_that_is_taken_or_not_there_says_so),
        TEST(cupti_traces_only_for_its_own_timers),
        TEST(launch_times_what_the_host_takes),
        TEST(what_events_read_around_nothing_is_told),
        TEST(samples_behind_a_hold_that_ran_out_are_taken_again),
        TEST(the_timers_own_tick_is_taken_again_behind_a_hold_that_ran_out),
        TEST(a_hold_that_ran_out_does_not_make_graphs_shorter),
        TEST(chain_is_timed_as_a_whole_with_its_zeroes),
        TEST(result_is_one_launch_from_the_initial_state_in_every_set),
        TEST(timers_over_equal_tensors_share_memory_but_not_results),
        TEST(opening_a_timer_spoils_the_results_on_shared_memory),
        TEST(timer_with_other_scratch_spoils_the_shared_tensors_too),
        TEST(kept_sets_make_room_for_a_case_that_needs_it),
        TEST(floor_is_an_empty_kernel_by_the_same_method),
        TEST(nothing_to_launch_is_nothing_to_time),
        TEST(error_while_timing_is_named),
    };
    return end_tests(cmocka_run_group_tests_name("cuda timers", tests, NULL, NULL));
}
