/* host_test.c - what a kernel may use gives what CUDA says, in every order of threads. */
#include "host_fixture.h"

#include <math.h>

/* ---- what is covered --------------------------------------------------------------- */

static void every_thread_of_a_3d_launch_runs_once(void **state) {
    (void)state;
    const int64_t n = (5 * 4 * 3) * (7 * 3 * 2);
    struct kb_slab slab = slab_of(8, (size_t)n * 4, 0);
    struct kb_plan plan = plan_for("indices", 5, 7);
    memcpy(plan.launches[0].grid, (int64_t[]){5, 4, 3}, sizeof plan.launches[0].grid);
    memcpy(plan.launches[0].block, (int64_t[]){7, 3, 2}, sizeof plan.launches[0].block);
    add_tensor(&plan, 0);
    add_tensor(&plan, 1);
    check_kernel(&plain, &plan, &slab);
    const int *seen = kb_slab_at(&slab, 1);
    for (int64_t i = 0; i < n; i++)
        assert_int_equal(seen[i], 4); /* runs */
    kb_slab_free(&slab);
}

static void collectives_give_what_cuda_says(void **state) {
    (void)state;
    check_simple(&plain, "collectives", 96);
}

static void a_last_warp_may_be_short(void **state) {
    (void)state;
    check_simple(&plain, "short_warp", 40);
}

static void maths_and_bits_are_right(void **state) {
    (void)state;
    struct kb_slab slab = slab_of(8, 0, 0);
    struct kb_plan plan = plan_for("maths", 1, 1);
    float one = 1;
    add_tensor(&plan, 0);
    add_scalar(&plan, &one, sizeof one);
    check_kernel(&plain, &plan, &slab);
    kb_slab_free(&slab);
}

static void half_functions_round_once(void **state) {
    (void)state;
    check_simple(&plain, "halves", 1);
}

static void hooks_gather_copy_late_and_meet_at_named_barriers(void **state) {
    (void)state;
    struct kb_slab slab = slab_of(8, 256, 0);
    struct kb_plan plan = plan_for("hooks", 3, 64);
    int *in = kb_slab_at(&slab, 1);
    for (int i = 0; i < 64; i++)
        in[i] = 1000 + i;
    add_tensor(&plan, 0);
    add_tensor(&plan, 1);
    check_kernel(&plain, &plan, &slab);
    kb_slab_free(&slab);
}

static void a_warp_multiplies_and_loads_matrices(void **state) {
    (void)state;
    struct kb_slab slab = slab_of(8, 0, 0);
    struct kb_plan plan = plan_for("matrices", 2, 64);
    float one = 1;
    add_tensor(&plan, 0);
    add_scalar(&plan, &one, sizeof one);
    check_kernel(&plain, &plan, &slab);
    kb_slab_free(&slab);
}

static void shared_memory_works_in_all_its_forms(void **state) {
    (void)state;
    struct kb_slab slab = slab_of(8, 0, 0);
    struct kb_plan plan = plan_for("shared", 5, 64);
    plan.launches[0].smem_bytes = 100 << 10;
    add_tensor(&plan, 0);
    add_int(&plan, (100 << 10) / 4);
    check_kernel(&plain, &plan, &slab);
    kb_slab_free(&slab);
}

static void shared_memory_starts_poisoned_in_every_block(void **state) {
    (void)state;
    struct kb_slab slab = slab_of(256, 0, 0);
    struct kb_plan plan = plan_for("poisoned", 3, 32);
    plan.launches[0].smem_bytes = 128;
    add_tensor(&plan, 0);
    struct outcome o = run(&plain, &plan, &slab);
    assert_clean(&o);
    const uint32_t *out = kb_slab_at(&slab, 0);
    for (int i = 0; i < 64; i++)
        assert_true(kb_is_poison(KB_FP32, out[i], 0));
    kb_slab_free(&slab);
}

struct totals { /* as in simt.cu */
    int add_int, min_int, max_int;
    unsigned add, sub, inc, dec, bits_or, bits_and, bits_xor, cas;
    unsigned long long add_long, max_long;
    float add_float;
    double add_double;
    uint16_t add_half2[2], add_bf16[2];
    unsigned exchanged;
};

static void atomics_are_atomic_across_blocks(void **state) {
    (void)state;
    enum { N = 128 * 200 };
    struct kb_slab slab = slab_of(sizeof(struct totals), 0, 0);
    struct kb_plan plan = plan_for("atomics", 200, 128);
    struct totals *t = kb_slab_at(&slab, 0);
    t->bits_and = ~0u;
    add_tensor(&plan, 0);
    struct outcome o = run(&plain, &plan, &slab);
    assert_clean(&o);
    assert_int_equal(t->add_int, N * (N - 1) / 2 + N - 1);
    assert_int_equal(t->min_int, -(N - 1));
    assert_int_equal(t->max_int, N - 1);
    assert_int_equal(t->add, N);
    assert_int_equal(t->sub, (unsigned)-N);
    assert_int_equal(t->inc, 0);
    assert_int_equal(t->dec, 0);
    assert_int_equal(t->bits_or, ~0u);
    assert_int_equal(t->bits_and, 0xffff0000u);
    assert_int_equal(t->bits_xor, 0);
    assert_int_equal(t->cas, 2 * N);
    assert_true(t->add_long == (unsigned long long)N << 32);
    assert_true(t->max_long == (unsigned long long)(N - 1) << 33);
    assert_true(t->add_float == N / 2.0f && t->add_double == N / 4.0);
    assert_true(kb_decode(KB_FP16, t->add_half2[0]) == 64);
    assert_true(kb_decode(KB_FP16, t->add_half2[1]) == 128);
    assert_true(kb_decode(KB_BF16, t->add_bf16[1]) == 128 && t->add_bf16[0] == 0);
    kb_slab_free(&slab);
}

static void a_thread_that_spins_lets_others_run(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 3; seed++) {
        struct kb_slab slab = slab_of(8, 0, 0);
        struct kb_plan plan = plan_for("spin", 1, 256);
        const struct kb_run_options options = {.schedule_seed = seed};
        add_tensor(&plan, 0);
        struct outcome o = run_with(&plain, &plan, &slab, &options);
        assert_clean(&o);
        assert_int_equal(((int *)kb_slab_at(&slab, 0))[1], 256);
        kb_slab_free(&slab);
    }
}

/* The order of 50 blocks and of the first block's 64 threads. */
static void record_orders(int order, uint64_t seed, int blocks[50], int threads[64]) {
    struct kb_slab slab = slab_of(8, 50 * 4, 64 * 4);
    struct kb_plan plan = plan_for("orders", 50, 64);
    struct kb_run_options options = {.schedule_seed = seed};
    options.order = order == 0   ? KB_ORDER_FORWARD
                    : order == 1 ? KB_ORDER_REVERSED
                                 : KB_ORDER_SHUFFLED;
    for (int i = 0; i < 3; i++)
        add_tensor(&plan, i);
    struct outcome o = run_with(&plain, &plan, &slab, &options);
    assert_clean(&o);
    memcpy(blocks, kb_slab_at(&slab, 1), 50 * sizeof *blocks);
    memcpy(threads, kb_slab_at(&slab, 2), 64 * sizeof *threads);
    kb_slab_free(&slab);
}

static int out_of_order(const int *list, int n) {
    bool seen[64] = {false};
    int count = 0;
    for (int i = 0; i < n; i++) {
        assert_true(list[i] >= 0 && list[i] < n && !seen[list[i]]);
        seen[list[i]] = true;
        count += list[i] != i;
    }
    return count;
}

static void orders_of_blocks_and_threads_follow_the_options(void **state) {
    (void)state;
    int blocks[50], threads[64], again[50], other[64];
    record_orders(0, 0, blocks, threads);
    assert_int_equal(out_of_order(blocks, 50), 0);
    assert_int_equal(out_of_order(threads, 64), 0);
    record_orders(1, 1, blocks, threads);
    for (int i = 0; i < 64; i++)
        assert_int_equal(threads[i], 63 - i);
    for (int i = 0; i < 50; i++)
        assert_int_equal(blocks[i], 49 - i);
    record_orders(2, 7, blocks, threads);
    assert_true(out_of_order(blocks, 50) > 30);
    assert_true(out_of_order(threads, 64) > 30);
    record_orders(2, 7, again, other);
    assert_memory_equal(blocks, again, sizeof blocks);
    assert_memory_equal(threads, other, sizeof threads);
    record_orders(2, 8, again, other);
    assert_memory_not_equal(threads, other, sizeof threads);
}

static uint32_t rounded_to(enum kb_dtype dtype, uint32_t bits) {
    double x = kb_decode(KB_FP32, bits);
    return isnan(x) ? 0x7fff : kb_encode(dtype, x); /* there is one NaN on a GPU */
}

/* Bits of all kinds, and all of fp16 and the ties beside them. */
static void fill_floats(uint32_t *in, int n) {
    const struct kb_fill_key key = {1, "floats", KB_FILL_BITS, 0};
    kb_fill_range(&key, KB_FP32, 0, n, in);
    for (int i = 0; i < 1 << 16; i++) {
        in[2 * i] = kb_encode(KB_FP32, kb_decode(KB_FP16, (uint32_t)i));
        in[2 * i + 1] = in[2 * i] + 0x1000; /* half an ulp of a normal one */
    }
}

static void conversions_round_as_this_side_does(void **state) {
    (void)state;
    enum { N = 1 << 19 };
    struct kb_slab slab = slab_of(N * 4, N * 24, 0);
    struct kb_plan plan = plan_for("conversions", N / 256, 256);
    add_tensor(&plan, 0);
    add_tensor(&plan, 1);
    const uint32_t *in = kb_slab_at(&slab, 0), *out = kb_slab_at(&slab, 1);
    fill_floats(kb_slab_at(&slab, 0), N);
    struct outcome o = run(&plain, &plan, &slab);
    assert_clean(&o);
    for (int i = 0; i < N; i++, out += 6) {
        uint32_t half = rounded_to(KB_FP16, in[i]);
        uint32_t words = half | rounded_to(KB_BF16, in[i]) << 16;
        uint32_t back =
            half == 0x7fff ? 0x7fffffff : kb_encode(KB_FP32, kb_decode(KB_FP16, half));
        for (int k = 0; k < 3; k++)
            assert_true(out[k] == words && out[3 + k] == back);
    }
    kb_slab_free(&slab);
}

static void a_chain_runs_in_order_and_an_empty_grid_not_at_all(void **state) {
    (void)state;
    struct kb_slab slab = slab_of(8, 0, 0);
    struct kb_plan plan = plan_for("write_at", 1, 1);
    add_tensor(&plan, 0);
    add_int(&plan, 0);
    plan.launches[1] = plan.launches[0];
    plan.launches[1].entry = "atomics"; /* would need more than 8 bytes */
    plan.launches[1].grid[1] = 0;
    plan.launches[2] = plan.launches[0];
    plan.launches[2].args[1].value[0] = 1;
    plan.n_launches = 3;
    struct outcome o = run(&plain, &plan, &slab);
    assert_clean(&o);
    const float *out = kb_slab_at(&slab, 0);
    assert_true(out[0] == 1 && out[1] == 1);
    plan = plan_for("null_write", 0, 1);
    add_tensor(&plan, 0);
    o = run(&plain, &plan, &slab);
    assert_clean(&o);
    kb_slab_free(&slab);
}

static void what_a_kernel_prints_is_kept(void **state) {
    (void)state;
    struct outcome o = run_small(&plain, "prints", 3, 0);
    assert_true(o.ok);
    assert_has(o.result.warning, "kernel printed: thread 0 sees 0 (and more");
}

/* Large enough for several OS threads. */
static void a_kernel_without_barriers_gives_the_reference(void **state) {
    (void)state;
    enum { ROWS = 128, HIDDEN = 512, N = ROWS * HIDDEN };
    struct kb_slab slab = slab_of(N * 4, N * 2, 0);
    struct kb_plan plan = plan_for("silu_like", N / 8 / 64, 64);
    const struct kb_fill_key key = {1, "input", KB_FILL_NORMAL, 2 * HIDDEN};
    kb_fill_range(&key, KB_BF16, 0, 2 * N, kb_slab_at(&slab, 0));
    add_tensor(&plan, 0);
    add_tensor(&plan, 1);
    add_int(&plan, HIDDEN);
    struct outcome o = run(&plain, &plan, &slab);
    assert_clean(&o);
    const void *in = kb_slab_at(&slab, 0), *out = kb_slab_at(&slab, 1);
    for (int64_t i = 0; i < N; i++) {
        int64_t at = i / HIDDEN * 2 * HIDDEN + i % HIDDEN;
        double x = kb_decode(KB_BF16, kb_bits_at(KB_BF16, in, at));
        double up = kb_decode(KB_BF16, kb_bits_at(KB_BF16, in, at + HIDDEN));
        double want = x / (1 + exp(-x)) * up;
        double got = kb_decode(KB_BF16, kb_bits_at(KB_BF16, out, i));
        assert_true(fabs(got - want) <= 0.51 * kb_ulp(KB_BF16, want));
    }
    kb_slab_free(&slab);
}

/* Of "keeps_count": what the slab held before it, launches before it in this process. */
static void assert_count(const struct kb_slab *slab, int held, int launches) {
    const int *out = kb_slab_at(slab, 0);
    assert_int_equal(out[0], held);
    assert_int_equal(out[1], launches);
}

static void passes_begin_from_the_same_contents_in_one_process(void **state) {
    (void)state;
    for (int repeats = 0; repeats < 4; repeats++) {
        struct kb_slab slab = slab_of(8, 0, 0);
        struct kb_plan plan = plan_for("keeps_count", 1, 1);
        const struct kb_run_options options = {.repeats = repeats, .repeat_ns = 1000000000};
        add_tensor(&plan, 0);
        struct outcome o = run_with(&plain, &plan, &slab, &options);
        assert_clean(&o);
        assert_count(&slab, 1, repeats);
        assert_int_equal(o.result.runs, repeats + 1);
        kb_slab_free(&slab);
    }
}

static void the_first_pass_with_other_bytes_is_the_last(void **state) {
    (void)state;
    struct kb_slab slab = slab_of(8, 0, 0);
    struct kb_plan plan = plan_for("keeps_count", 1, 1);
    const struct kb_run_options options = {
        .repeats = 20, .repeat_ns = 1000000000, .compared = 1};
    add_tensor(&plan, 0);
    struct outcome o = run_with(&plain, &plan, &slab, &options);
    assert_clean(&o);
    assert_count(&slab, 1, 1);
    assert_int_equal(o.result.runs, 2);
    kb_slab_free(&slab);
}

static void a_run_ahead_leaves_what_nothing_takes_the_place_of(void **state) {
    (void)state;
    for (int stale = 0; stale < 2; stale++) {
        const size_t bytes[] = {8, 4, stale ? 0 : 8, 0};
        struct kb_slab slab;
        struct kb_err err = {0};
        struct kb_plan plan = plan_for("keeps_count", 1, 1);
        const struct kb_run_options options = {.ahead = true, .twice = true};
        assert_true(kb_slab_make(&slab, KB_SLAB_SHARED, 4, bytes, 0, &err));
        memset(kb_slab_at(&slab, 0), 0, 8);
        if (!stale)
            *(int *)kb_slab_at(&slab, 2) = 70;
        add_tensor(&plan, 0);
        struct outcome o = run_with(&plain, &plan, &slab, &options);
        assert_clean(&o);
        assert_count(&slab, stale ? 2 : 71, 1);
        kb_slab_free(&slab);
    }
}

static void patches_are_made_behind_the_run_ahead(void **state) {
    (void)state;
    struct kb_slab slab = slab_of(8, 0, 0);
    struct kb_plan plan = plan_for("keeps_count", 1, 1);
    const struct kb_patch patches[] = {
        {slab.slots[0].offset, 2, {0x34, 0x12}},
        {slab.slots[0].offset + 2, 1, {0x05}},
    };
    const struct kb_run_options options = {
        .ahead = true, .patches = patches, .n_patches = KB_COUNT(patches)};
    *(int *)kb_slab_at(&slab, 0) = -5;
    add_tensor(&plan, 0);
    struct outcome o = run_with(&plain, &plan, &slab, &options);
    assert_clean(&o);
    assert_count(&slab, (int)0xff051235u, 1);
    kb_slab_free(&slab);
}

/* out[0]: what a thread read of in[0] before its wait, out[1] after it; out[2] and out[3]
 * were written before and after. */
static void run_late(const char *entry, bool pdl, bool late, int out[4]) {
    struct kb_slab slab = slab_of(4, 16, 0);
    struct kb_plan plan = plan_for(entry, 1, 1);
    const struct kb_run_options options = {.late = late, .late_bytes = 1 << 20};
    *(int *)kb_slab_at(&slab, 0) = 5;
    plan.launches[0].pdl = pdl;
    add_tensor(&plan, 0);
    add_tensor(&plan, 1);
    struct outcome o = run_with(&plain, &plan, &slab, &options);
    assert_clean(&o);
    memcpy(out, kb_slab_at(&slab, 1), 4 * sizeof *out);
    assert_int_equal(*(int *)kb_slab_at(&slab, 0), 5);
    kb_slab_free(&slab);
}

static void inputs_come_late_at_the_first_wait(void **state) {
    (void)state;
    static const char *const waits[] = {"waits", "waits_by_ptx", "waits_by_runtime"};
    enum { POISON = 0x7fb37fb3 };
    int out[4];
    for (size_t i = 0; i < KB_COUNT(waits); i++) {
        run_late(waits[i], true, false, out);
        assert_true(out[0] == 5 && out[1] == 5 && out[2] == 1 && out[3] == 1);
        run_late(waits[i], true, true, out);
        assert_true(out[0] == POISON && out[1] == 5 && out[2] == 0 && out[3] == 1);
        run_late(waits[i], false, true, out); /* which may not start early */
        assert_true(out[0] == 5 && out[2] == 1);
    }
    run_late("never_waits", true, true, out);
    assert_true(out[0] == 0 && out[1] == 0 && out[2] == 0 && out[3] == 0);
}

/* Turns of the first block's 64 threads before a barrier and after it. */
static void lanes_are_permuted_from_barrier_to_barrier(void **state) {
    (void)state;
    struct kb_slab slab = slab_of(4, 64 * 4, 64 * 4);
    struct kb_plan plan = plan_for("turns", 1, 64);
    const struct kb_run_options options = {.schedule_seed = 3};
    for (int i = 0; i < 3; i++)
        add_tensor(&plan, i);
    struct outcome o = run_with(&plain, &plan, &slab, &options);
    assert_clean(&o);
    const int *before = kb_slab_at(&slab, 1), *after = kb_slab_at(&slab, 2);
    assert_true(out_of_order(before, 64) > 30);
    assert_true(out_of_order(after, 64) > 30);
    int moved = 0;
    for (int i = 0; i < 64; i++)
        moved += before[i] != after[i];
    assert_true(moved > 30);
    kb_slab_free(&slab);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_thread_of_a_3d_launch_runs_once),
        cmocka_unit_test(collectives_give_what_cuda_says),
        cmocka_unit_test(a_last_warp_may_be_short),
        cmocka_unit_test(maths_and_bits_are_right),
        cmocka_unit_test(half_functions_round_once),
        cmocka_unit_test(conversions_round_as_this_side_does),
        cmocka_unit_test(hooks_gather_copy_late_and_meet_at_named_barriers),
        cmocka_unit_test(a_warp_multiplies_and_loads_matrices),
        cmocka_unit_test(shared_memory_works_in_all_its_forms),
        cmocka_unit_test(shared_memory_starts_poisoned_in_every_block),
        cmocka_unit_test(atomics_are_atomic_across_blocks),
        cmocka_unit_test(a_thread_that_spins_lets_others_run),
        cmocka_unit_test(orders_of_blocks_and_threads_follow_the_options),
        cmocka_unit_test(a_kernel_without_barriers_gives_the_reference),
        cmocka_unit_test(a_chain_runs_in_order_and_an_empty_grid_not_at_all),
        cmocka_unit_test(what_a_kernel_prints_is_kept),
        cmocka_unit_test(passes_begin_from_the_same_contents_in_one_process),
        cmocka_unit_test(the_first_pass_with_other_bytes_is_the_last),
        cmocka_unit_test(a_run_ahead_leaves_what_nothing_takes_the_place_of),
        cmocka_unit_test(patches_are_made_behind_the_run_ahead),
        cmocka_unit_test(inputs_come_late_at_the_first_wait),
        cmocka_unit_test(lanes_are_permuted_from_barrier_to_barrier),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
