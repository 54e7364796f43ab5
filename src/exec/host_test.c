/* host_test.c - the host backend as others see it: the kernels of
 * kernels/host/tests/simt.cu through build and run. Lines that a report must name are found
 * by their `@name`. Built runners stay in a cache beside this executable, so that only a
 * change compiles. */
#include "exec.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char source_path[] = "kernels/host/tests/simt.cu";

static const char *const entries[] = {
    "indices",
    "collectives",
    "short_warp",
    "shuffle_from_nobody",
    "mask_without_me",
    "atomics",
    "spin",
    "shared",
    "poisoned",
    "too_much_shared",
    "hooks",
    "maths",
    "halves",
    "orders",
    "silu_like",
    "read_at",
    "write_at",
    "shared_at",
    "shift",
    "misaligned",
    "missing_barrier",
    "warp_barrier",
    "handed_over",
    "divergent",
    "half_a_warp",
    "early_exit",
    "null_write",
    "overflow",
    "divide",
    "forever",
    "trapped",
    "asserted",
    "prints",
    "ptx",
    "three_arguments",
    "exits",
    "floods",
    "floods_forever",
    "forks",
    "closes",
    "writes_everywhere",
    "writes_reply",
};

/* ---- the rig ----------------------------------------------------------------------- */

struct rig {
    const char *sanitize;
    struct kb_device *device;
    struct kb_code *code;
};
static struct rig plain, address = {.sanitize = "address,undefined"},
                         thread = {.sanitize = "thread"};
static struct kb_buf source;
static struct kb_arena arena;
static struct kb_kernel kernel;
static const struct kb_build precise = {.name = "precise"};

static struct kb_strings build_flags(void) {
    struct kb_strings flags = {0};
    kb_strings_add(&flags, &arena, "-std=c++17");
    return flags;
}

/* A plan of one launch; arguments are added by the functions below. */
static struct kb_plan plan_for(const char *entry, int64_t grid, int64_t block) {
    struct kb_plan plan = {.kernel = &kernel, .n_launches = 1};
    for (size_t i = 0; i < KB_COUNT(entries); i++)
        kb_strings_add(&plan.all_entries, &arena, entries[i]);
    plan.launches[0] = (struct kb_launch){
        .entry = entry,
        .grid = {grid, 1, 1},
        .block = {block, 1, 1},
        .cluster = {1, 1, 1},
    };
    return plan;
}

static void add_tensor(struct kb_plan *plan, int index) {
    struct kb_launch *l = &plan->launches[0];
    l->args[l->n_args++] = (struct kb_arg){.kind = KB_ARG_TENSOR, .index = index};
}

static void add_scalar(struct kb_plan *plan, const void *value, size_t bytes) {
    struct kb_launch *l = &plan->launches[0];
    struct kb_arg *arg = &l->args[l->n_args++];
    *arg = (struct kb_arg){.kind = KB_ARG_SCALAR, .bytes = bytes};
    memcpy(arg->value, value, bytes);
}

static void add_int(struct kb_plan *plan, int value) {
    add_scalar(plan, &value, sizeof value);
}

static struct rig *opened(struct rig *r) {
    if (r->device)
        return r;
    struct kb_exec_options options = {.sanitize = r->sanitize, .launch_ms = 20000};
    struct kb_plan plan = plan_for("indices", 1, 1);
    struct kb_build build = precise;
    struct kb_code_info info;
    struct kb_err err = {0};
    build.flags = build_flags();
    if (!kb_host.open(0, &options, &r->device, &err) ||
        !kb_host.build(r->device, &plan, &build, &r->code, &info, &err))
        fail_msg("%s", err.msg);
    return r;
}

/* A slab of up to four tensors, zeroed. */
static struct kb_slab slab_of(size_t a, size_t b, size_t c) {
    struct kb_slab slab = {0};
    struct kb_err err = {0};
    const size_t bytes[] = {a, b, c};
    assert_true(kb_slab_make(&slab, 3, bytes, 0, &err));
    for (int i = 0; i < 3; i++)
        memset(kb_slab_at(&slab, i), 0, bytes[i]);
    return slab;
}

struct outcome {
    bool ok;
    struct kb_run_result result;
    struct kb_err err;
};

static struct outcome run_with(struct rig *r, const struct kb_plan *plan,
                               struct kb_slab *slab, const struct kb_run_options *options) {
    struct outcome o = {0};
    opened(r);
    o.ok = kb_host.run(r->device, r->code, plan, slab, options, &o.result, &o.err);
    return o;
}

static struct outcome run(struct rig *r, const struct kb_plan *plan, struct kb_slab *slab) {
    const struct kb_run_options options = {0};
    return run_with(r, plan, slab, &options);
}

/* One tensor of 4 KiB and some ints; the usual shape of the small ones below. */
static struct outcome run_small(struct rig *r, const char *entry, int64_t block, int n_ints,
                                ...) {
    struct kb_slab slab = slab_of(4096, 0, 0);
    struct kb_plan plan = plan_for(entry, 1, block);
    va_list ints;
    add_tensor(&plan, 0);
    va_start(ints, n_ints);
    for (int i = 0; i < n_ints; i++)
        add_int(&plan, va_arg(ints, int));
    va_end(ints);
    struct outcome o = run(r, &plan, &slab);
    kb_slab_free(&slab);
    return o;
}

static bool by_clang(struct rig *r) {
    return strstr(kb_host.info(opened(r)->device)->compiler, "clang") != NULL;
}

/* "simt.cu:LINE" of the line with "@mark". */
static const char *place(const char *mark) {
    const char *at = strstr(source.data, kb_arena_printf(&arena, "@%s\n", mark));
    int line = 1;
    assert_non_null(at);
    for (const char *p = source.data; p < at; p++)
        line += *p == '\n';
    return kb_arena_printf(&arena, "simt.cu:%d", line);
}

static void assert_has(const char *text, const char *wanted) {
    if (!strstr(text, wanted))
        fail_msg("\"%s\" is not in \"%s\"", wanted, text);
}

static void assert_clean(const struct outcome *o) {
    if (!o->ok)
        fail_msg("%s: %s", kb_err_word(o->err.kind), o->err.msg);
    if (o->result.finding != KB_FOUND_NOTHING || *o->result.warning)
        fail_msg("finding \"%s\", warning \"%s\"", o->result.text, o->result.warning);
}

static void assert_crash(const struct outcome *o, const char *wanted) {
    assert_false(o->ok);
    assert_has(o->err.msg, wanted);
    assert_int_equal(o->err.kind, KB_CRASH);
}

/* A kernel that counts its errors in tensor 0, through all thread orders. */
static void check_kernel(struct rig *r, struct kb_plan *plan, struct kb_slab *slab) {
    for (uint64_t seed = 0; seed < 4; seed++) {
        const struct kb_run_options options = {.schedule_seed = seed};
        const int *errors = kb_slab_at(slab, 0);
        struct outcome o = run_with(r, plan, slab, &options);
        assert_clean(&o);
        if (errors[0])
            fail_msg("%s, seed %d: %d errors, the first at simt.cu:%d",
                     plan->launches[0].entry, (int)seed, errors[0], errors[1]);
        struct kb_guard_hit hit;
        assert_int_equal(kb_slab_guards(slab, &hit, 1), 0);
    }
}

static void check_simple(struct rig *r, const char *entry, int64_t block) {
    struct kb_slab slab = slab_of(8, 0, 0);
    struct kb_plan plan = plan_for(entry, 3, block);
    add_tensor(&plan, 0);
    check_kernel(r, &plan, &slab);
    kb_slab_free(&slab);
}

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
static void record_orders(enum kb_fill unused, int order, uint64_t seed, int blocks[50],
                          int threads[64]) {
    (void)unused;
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
    record_orders(0, 0, 0, blocks, threads);
    assert_int_equal(out_of_order(blocks, 50), 0);
    assert_int_equal(out_of_order(threads, 64), 0);
    record_orders(0, 1, 1, blocks, threads);
    for (int i = 0; i < 64; i++)
        assert_int_equal(threads[i], 63 - i);
    for (int i = 0; i < 50; i++)
        assert_int_equal(blocks[i], 49 - i);
    record_orders(0, 2, 7, blocks, threads);
    assert_true(out_of_order(blocks, 50) > 30);
    assert_true(out_of_order(threads, 64) > 30);
    record_orders(0, 2, 7, again, other);
    assert_memory_equal(blocks, again, sizeof blocks);
    assert_memory_equal(threads, other, sizeof threads);
    record_orders(0, 2, 8, again, other);
    assert_memory_not_equal(threads, other, sizeof threads);
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

/* ---- mistakes that are named --------------------------------------------------------- */

static void assert_finding(const struct outcome *o, enum kb_finding finding,
                           const char *const *wanted) {
    if (!o->ok)
        fail_msg("%s: %s", kb_err_word(o->err.kind), o->err.msg);
    for (; *wanted; wanted++)
        assert_has(o->result.text, *wanted);
    assert_int_equal(o->result.finding, finding);
}
#define WANTED(...) ((const char *const[]){__VA_ARGS__, NULL})

static void a_divergent_barrier_is_a_deadlock_with_both_lines(void **state) {
    (void)state;
    struct outcome o = run_small(&plain, "divergent", 64, 1, 40);
    assert_finding(&o, KB_FOUND_DEADLOCK,
                   WANTED("40 threads at __syncthreads", place("barrier-a"),
                          "24 threads at __syncthreads", place("barrier-b")));
    o = run_small(&plain, "divergent", 64, 1, 64);
    assert_clean(&o);
}

static void a_collective_without_its_lanes_is_a_deadlock(void **state) {
    (void)state;
    struct outcome o = run_small(&plain, "half_a_warp", 64, 0);
    assert_finding(&o, KB_FOUND_DEADLOCK,
                   WANTED("lanes 0-19 of warp 0 at __shfl_xor_sync(0xffffffff)",
                          place("half-warp"), "without lanes 20-31",
                          "44 threads at __syncthreads", place("rest-waits")));
}

static void an_early_exit_before_a_barrier_is_a_warning(void **state) {
    (void)state;
    struct outcome o = run_small(&plain, "early_exit", 64, 1, 50);
    assert_true(o.ok);
    assert_int_equal(o.result.finding, KB_FOUND_NOTHING);
    assert_has(o.result.warning, place("early-exit"));
    assert_has(o.result.warning, "14 of 64 threads had left the kernel");
    o = run_small(&plain, "early_exit", 64, 1, 64);
    assert_clean(&o);
}

static void a_shuffle_from_nobody_reads_poison_and_warns(void **state) {
    (void)state;
    struct kb_slab slab = slab_of(4096, 0, 0);
    struct kb_plan plan = plan_for("shuffle_from_nobody", 1, 64);
    add_tensor(&plan, 0);
    struct outcome o = run(&plain, &plan, &slab);
    const uint32_t *out = kb_slab_at(&slab, 0);
    assert_true(o.ok);
    assert_has(o.result.warning, place("absent-lane"));
    assert_has(o.result.warning, "reads from lane 7");
    assert_int_equal(out[3], 0x7fb37fb3);
    assert_int_equal(out[40], 39);
    kb_slab_free(&slab);
}

static void a_mask_that_leaves_the_caller_out_warns(void **state) {
    (void)state;
    struct outcome o = run_small(&plain, "mask_without_me", 32, 0);
    assert_true(o.ok);
    assert_has(o.result.warning, place("own-bit"));
    assert_has(o.result.warning, "lane 3");
}

static void wrong_arguments_are_told_in_words(void **state) {
    (void)state;
    struct kb_slab slab = slab_of(64, 0, 0);
    struct kb_plan plan = plan_for("three_arguments", 1, 1);
    float scale = 2;
    long long n = 21;
    add_tensor(&plan, 0);
    add_scalar(&plan, &scale, sizeof scale);
    struct outcome o = run(&plain, &plan, &slab);
    assert_false(o.ok);
    assert_int_equal(o.err.kind, KB_BUILD);
    assert_string_equal(
        o.err.msg, "three_arguments has 3 parameters, the contract passes 2 arguments");
    add_int(&plan, 21);
    o = run(&plain, &plan, &slab);
    assert_has(o.err.msg,
               "argument 3 of three_arguments is a value of 8 bytes, the contract "
               "passes a value of 4");
    plan.launches[0].n_args = 2;
    add_tensor(&plan, 0);
    o = run(&plain, &plan, &slab);
    assert_has(o.err.msg,
               "argument 3 of three_arguments is a value of 8 bytes, the contract "
               "passes a pointer");
    plan.launches[0].n_args = 2;
    add_scalar(&plan, &n, sizeof n);
    o = run(&plain, &plan, &slab);
    assert_clean(&o);
    assert_int_equal(*(int *)kb_slab_at(&slab, 0), 42);
    kb_slab_free(&slab);
}

static void inline_ptx_is_unsupported_with_its_line(void **state) {
    (void)state;
    struct outcome o = run_small(&plain, "ptx", 1, 0);
    assert_false(o.ok);
    assert_int_equal(o.err.kind, KB_UNSUPPORTED);
    assert_has(o.err.msg, place("ptx"));
}

static void too_much_shared_memory_is_refused(void **state) {
    (void)state;
    struct outcome o = run_small(&plain, "too_much_shared", 32, 0);
    assert_false(o.ok);
    assert_has(o.err.msg, "\"more\" brings static shared memory to 49300 bytes");
}

static void launch_bounds_are_held(void **state) {
    (void)state;
    struct outcome o = run_small(&plain, "collectives", 128, 0);
    assert_false(o.ok);
    assert_has(o.err.msg, "a block of 128 threads, and __launch_bounds__(96) at line");
    assert_int_equal(o.err.kind, KB_DEVICE);
}

static void a_slab_over_the_memory_limit_is_refused(void **state) {
    (void)state;
    struct kb_exec_options options = {.memory_limit = 5000};
    struct kb_device *device;
    struct kb_err err = {0};
    struct kb_run_options run_options = {0};
    struct kb_run_result result;
    struct kb_slab slab = slab_of(4096, 0, 0);
    struct kb_plan plan = plan_for("forever", 1, 1);
    opened(&plain);
    assert_true(kb_host.open(0, &options, &device, &err));
    assert_int_equal(kb_host.info(device)->memory_bytes, 5000);
    assert_false(
        kb_host.run(device, plain.code, &plan, &slab, &run_options, &result, &err));
    assert_int_equal(err.kind, KB_MEMORY);
    kb_host.close(device);
    kb_slab_free(&slab);
}

/* ---- crashes and malice -------------------------------------------------------------- */

static void a_crash_names_signal_address_and_thread(void **state) {
    (void)state;
    struct outcome o = run_small(&plain, "null_write", 1, 0);
    assert_crash(&o, "kernel died of signal 11 (Segmentation fault) at address 0x8 (a null "
                     "pointer), block (0,0,0) thread (0,0,0)");
    o = run_small(&plain, "write_at", 1, 1, 10000);
    assert_crash(&o, ", 35904 bytes past the end of \"tensor 0\" (4096 bytes), block");
    o = run_small(&plain, "divide", 1, 1, 0);
    assert_crash(&o, "kernel died of signal 8 (");
    o = run_small(&plain, "overflow", 1, 1, 100000);
    assert_crash(&o, "stack overflow");
    o = run_small(&plain, "overflow", 1, 1, 20);
    assert_clean(&o);
}

static void a_trap_and_an_assertion_name_their_line(void **state) {
    (void)state;
    struct outcome o = run_small(&plain, "trapped", 1, 0);
    assert_crash(&o, "__trap()");
    assert_has(o.err.msg, place("trap"));
    o = run_small(&plain, "asserted", 1, 0);
    assert_crash(&o, "`out[0] == 1`");
    assert_has(o.err.msg, place("assert"));
}

static void an_endless_kernel_is_killed(void **state) {
    (void)state;
    struct rig r = plain;
    struct kb_exec_options options = {.launch_ms = 300};
    struct kb_err err = {0};
    r.code = opened(&plain)->code;
    assert_true(kb_host.open(0, &options, &r.device, &err));
    struct outcome o = run_small(&r, "forever", 1, 0);
    assert_false(o.ok);
    assert_int_equal(o.err.kind, KB_TIMEOUT);
    assert_has(o.err.msg, "still running after 0.3 s");
    o = run_small(&r, "floods_forever", 1, 0);
    assert_false(o.ok);
    assert_int_equal(o.err.kind, KB_TIMEOUT);
    kb_host.close(r.device);
}

static void exit_and_closed_pipes_are_no_result(void **state) {
    (void)state;
    struct outcome o = run_small(&plain, "exits", 1, 0);
    assert_crash(&o, "kernel ended the process (exit status 0) without a result");
    o = run_small(&plain, "closes", 1, 0);
    assert_crash(&o, "(close)");
}

static void forks_and_foreign_writes_are_no_result(void **state) {
    (void)state;
    struct outcome o = run_small(&plain, "forks", 1, 0);
    assert_crash(&o, "fork)");
    o = run_small(&address, "forks", 1, 0);
    if (!by_clang(&address)) /* whose sanitizers start programs themselves */
        assert_crash(&o, "Bad system call");
    o = run_small(&plain, "writes_everywhere", 1, 0);
    assert_false(o.ok);
    assert_int_equal(o.err.kind, KB_CRASH);
    o = run_small(&plain, "writes_reply", 1, 0);
    assert_crash(&o, "broken reply");
}

static void a_flood_of_output_does_not_block(void **state) {
    (void)state;
    struct kb_slab slab = slab_of(4, 0, 0);
    struct kb_plan plan = plan_for("floods", 1, 1);
    *(int *)kb_slab_at(&slab, 0) = 50000;
    add_tensor(&plan, 0);
    struct outcome o = run(&plain, &plan, &slab);
    assert_true(o.ok);
    assert_has(o.result.warning, "kernel printed: what a kernel may say");
    kb_slab_free(&slab);
}

/* ---- sanitizers ---------------------------------------------------------------------- */

static void a_read_past_the_end_is_found_with_its_line(void **state) {
    (void)state;
    struct kb_slab slab = slab_of(100, 64, 0);
    struct kb_plan plan = plan_for("read_at", 1, 1);
    add_tensor(&plan, 0);
    add_tensor(&plan, 1);
    add_int(&plan, 24);
    struct outcome o = run(&address, &plan, &slab);
    assert_clean(&o);
    plan.launches[0].args[2].value[0] = 25;
    o = run(&address, &plan, &slab);
    assert_finding(
        &o, KB_FOUND_SANITIZER,
        WANTED("out-of-bounds read of 4 bytes, 0 bytes past the end of \"tensor 0\" "
               "(100 bytes)",
               place("read"), "block (0,0,0) thread (0,0,0)"));
    kb_slab_free(&slab);
}

static void a_write_outside_is_found_with_its_line(void **state) {
    (void)state;
    struct outcome o = run_small(&address, "write_at", 1, 1, 1024 + 3);
    assert_finding(
        &o, KB_FOUND_SANITIZER,
        WANTED("out-of-bounds write of 4 bytes, 12 bytes past the end of", place("write")));
    o = run_small(&address, "write_at", 1, 1, -2);
    assert_finding(&o, KB_FOUND_SANITIZER,
                   WANTED("8 bytes before the start of \"tensor 0\"", place("write")));
}

static struct outcome run_shared_at(int i, int j) {
    struct kb_slab slab = slab_of(4096, 0, 0);
    struct kb_plan plan = plan_for("shared_at", 1, 32);
    plan.launches[0].smem_bytes = 40;
    add_tensor(&plan, 0);
    add_int(&plan, i);
    add_int(&plan, j);
    struct outcome o = run(&address, &plan, &slab);
    kb_slab_free(&slab);
    return o;
}

static void shared_memory_has_bounds(void **state) {
    (void)state;
    struct outcome o = run_shared_at(7, 9);
    assert_clean(&o);
    o = run_shared_at(8, 9);
    assert_finding(&o, KB_FOUND_SANITIZER,
                   WANTED("write of 4 bytes, 0 bytes past the end of \"first\" (32 bytes)",
                          place("shared")));
    o = run_shared_at(7, 10);
    assert_finding(
        &o, KB_FOUND_SANITIZER,
        WANTED("past the end of \"dynamic shared memory\" (40 bytes)", place("dynamic")));
}

static void undefined_arithmetic_is_found_with_its_line(void **state) {
    (void)state;
    struct outcome o = run_small(&address, "shift", 1, 1, 31);
    assert_clean(&o);
    o = run_small(&address, "shift", 1, 1, 32);
    assert_finding(&o, KB_FOUND_SANITIZER,
                   WANTED("shift exponent 32 is too large", place("shift")));
    if (by_clang(&address))
        return; /* looks at the alignment of scalars only */
    o = run_small(&address, "misaligned", 1, 1, 2);
    assert_finding(&o, KB_FOUND_SANITIZER,
                   WANTED("misaligned address", place("misaligned")));
}

static void the_address_sanitizer_is_quiet_about_right_kernels(void **state) {
    (void)state;
    struct kb_slab slab = slab_of(8, 0, 0);
    struct kb_plan plan = plan_for("shared", 2, 64);
    check_simple(&address, "collectives", 96);
    check_simple(&address, "halves", 1);
    plan.launches[0].smem_bytes = 1024;
    add_tensor(&plan, 0);
    add_int(&plan, 256);
    check_kernel(&address, &plan, &slab);
    kb_slab_free(&slab);
}

static void a_missing_barrier_is_a_race_with_both_lines(void **state) {
    (void)state;
    struct outcome o = run_small(&thread, "missing_barrier", 64, 1, 0);
    assert_finding(&o, KB_FOUND_SANITIZER,
                   WANTED("data race: ", place("race-write"), place("race-read"),
                          "of \"line\" (256 bytes)"));
    o = run_small(&thread, "missing_barrier", 64, 1, 1);
    assert_clean(&o);
}

static void a_shuffle_orders_no_memory_and_syncwarp_does(void **state) {
    (void)state;
    struct outcome o = run_small(&thread, "warp_barrier", 64, 1, 0);
    assert_finding(&o, KB_FOUND_SANITIZER, WANTED("data race: ", place("race-warp")));
    o = run_small(&thread, "warp_barrier", 64, 1, 1);
    assert_clean(&o);
}

static void the_thread_sanitizer_is_quiet_about_right_kernels(void **state) {
    (void)state;
    struct kb_slab slab = slab_of(4096, 4, 0);
    struct kb_plan plan = plan_for("handed_over", 1, 64);
    check_simple(&thread, "collectives", 96);
    add_tensor(&plan, 0);
    add_tensor(&plan, 1);
    struct outcome o = run(&thread, &plan, &slab);
    assert_clean(&o);
    assert_true(((float *)kb_slab_at(&slab, 0))[1] == 3);
    kb_slab_free(&slab);
    slab = slab_of(8, 0, 0);
    plan = plan_for("shared", 2, 64);
    plan.launches[0].smem_bytes = 1024;
    add_tensor(&plan, 0);
    add_int(&plan, 256);
    check_kernel(&thread, &plan, &slab);
    kb_slab_free(&slab);
}

/* ---- builds -------------------------------------------------------------------------- */

static void assert_unsupported(const struct kb_plan *plan, const struct kb_build *build,
                               const char *wanted) {
    struct kb_code *code;
    struct kb_code_info info;
    struct kb_err err = {0};
    assert_false(kb_host.build(opened(&plain)->device, plan, build, &code, &info, &err));
    assert_has(err.msg, wanted);
    assert_int_equal(err.kind, KB_UNSUPPORTED);
}

static void what_only_a_gpu_has_is_unsupported(void **state) {
    (void)state;
    struct kb_plan plan = plan_for("indices", 1, 1);
    struct kb_build fast = {.name = "fast-math"};
    assert_unsupported(&plan, &fast, "builds other than precise exist on a GPU only");
    plan.launches[0].cooperative = true;
    assert_unsupported(&plan, &precise, "a cooperative launch");
    plan.launches[0].cooperative = false;
    plan.launches[0].cluster[0] = 2;
    assert_unsupported(&plan, &precise, "a cluster of 2 blocks");
    plan.launches[0].cluster[0] = 1;
    plan.launches[0].args[0].kind = KB_ARG_TMA;
    plan.launches[0].n_args = 1;
    assert_unsupported(&plan, &precise, "TMA");
}

/* Build a source of its own with the entry "k". */
static bool build_text(struct kb_device *device, const char *text, struct kb_code **code,
                       struct kb_code_info *info, struct kb_err *err) {
    struct kb_kernel own = {.path = "own.cu",
                            .name = "own.cu",
                            .text = text,
                            .size = strlen(text),
                            .user = true};
    struct kb_plan plan = {.kernel = &own, .n_launches = 1};
    struct kb_build build = precise;
    build.flags = build_flags();
    plan.launches[0] = (struct kb_launch){
        .entry = "k", .grid = {1, 1, 1}, .block = {1, 1, 1}, .cluster = {1, 1, 1}};
    kb_strings_add(&plan.all_entries, &arena, "k");
    return kb_host.build(device, &plan, &build, code, info, err);
}

static void compile_errors_name_the_line_of_the_source(void **state) {
    (void)state;
    struct kb_code *code;
    struct kb_code_info info;
    struct kb_err err = {0};
    struct kb_device *device = opened(&plain)->device;
    assert_false(build_text(device, "\n__global__ void k(int *x) {\n  x[0] = y;\n}\n",
                            &code, &info, &err));
    assert_int_equal(err.kind, KB_BUILD);
    assert_true(kb_starts_with(err.msg, "own.cu:3:"));
    assert_has(err.msg, "x[0] = y;");
    assert_false(build_text(device, "__global__ void other() {}\n", &code, &info, &err));
    assert_has(err.msg, "entry k:1");
    assert_false(
        build_text(device, "#include <cooperative_groups.h>\n", &code, &info, &err));
    assert_has(err.msg, "cooperative_groups.h is not there on the host backend");
}

static void builds_are_cached_and_no_compile_says_so(void **state) {
    (void)state;
    struct kb_exec_options options = {.no_compile = true};
    struct kb_device *device;
    struct kb_plan plan = plan_for("indices", 1, 1);
    struct kb_build build = precise;
    struct kb_code *code;
    struct kb_code_info info;
    struct kb_err err = {0};
    opened(&plain);
    build.flags = build_flags();
    assert_true(kb_host.open(0, &options, &device, &err));
    assert_true(kb_host.build(device, &plan, &build, &code, &info, &err));
    assert_true(info.cached);
    kb_host.unload(device, code);
    const char *text = kb_arena_printf(&arena, "// %llx\n__global__ void k() {}\n",
                                       (unsigned long long)kb_random_u64());
    assert_false(build_text(device, text, &code, &info, &err));
    assert_int_equal(err.kind, KB_BUILD);
    kb_host.close(device);
}

static void a_missing_compiler_is_told_with_the_remedy(void **state) {
    (void)state;
    struct kb_device_info info;
    struct kb_buf gaps = {0};
    char *path = kb_arena_strdup(&arena, getenv("PATH"));
    char *named = getenv("CXX") ? kb_arena_strdup(&arena, getenv("CXX")) : NULL;
    assert_int_equal(kb_host.probe(&info, 1, &gaps), 1);
    assert_int_equal(gaps.len, 0);
    assert_string_equal(info.backend, "host");
    assert_true(info.cores > 0 && strlen(info.compiler) > 4);
    assert_int_equal(info.limits.smem_per_block, 232448);
    setenv("PATH", "/nonexistent", 1);
    unsetenv("CXX");
    assert_int_equal(kb_host.probe(&info, 1, &gaps), 0);
    assert_has(gaps.data, "apt install g++");
    setenv("CXX", "no-such-compiler -x", 1);
    assert_int_equal(kb_host.probe(&info, 1, &gaps), 0);
    assert_has(gaps.data, "CXX=no-such-compiler -x: no such compiler");
    setenv("PATH", path, 1);
    if (named)
        setenv("CXX", named, 1);
    else
        unsetenv("CXX");
    kb_buf_free(&gaps);
}

static void unknown_sanitizers_are_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"adress", "address,thread", "address,"};
    for (size_t i = 0; i < KB_COUNT(wrong); i++) {
        struct kb_exec_options options = {.sanitize = wrong[i]};
        struct kb_device *device = NULL;
        struct kb_err err = {0};
        assert_false(kb_host.open(0, &options, &device, &err));
        assert_int_equal(err.kind, KB_INPUT);
    }
}

/* ---- set-up -------------------------------------------------------------------------- */

static int set_up(void **state) {
    (void)state;
    struct kb_err err = {0};
    signal(SIGPIPE, SIG_IGN);
    setenv("KBENCH_CACHE", kb_arena_printf(&arena, "%s/host-test-cache", kb_exe_folder()),
           1);
    if (!kb_file_read(source_path, KB_FILE_MAX, &source, &err)) {
        print_error("%s (tests run in the checkout)\n", err.msg);
        return -1;
    }
    kernel = (struct kb_kernel){
        .path = source_path,
        .name = "simt.cu",
        .text = source.data,
        .size = source.len,
        .user = true,
        .source_hash = kb_hash_of(source.data, source.len),
    };
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    struct rig *const rigs[] = {&plain, &address, &thread};
    for (size_t i = 0; i < KB_COUNT(rigs); i++) {
        if (!rigs[i]->device)
            continue;
        kb_host.unload(rigs[i]->device, rigs[i]->code);
        kb_host.close(rigs[i]->device);
    }
    kb_buf_free(&source);
    kb_arena_free(&arena);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_thread_of_a_3d_launch_runs_once),
        cmocka_unit_test(collectives_give_what_cuda_says),
        cmocka_unit_test(a_last_warp_may_be_short),
        cmocka_unit_test(maths_and_bits_are_right),
        cmocka_unit_test(half_functions_round_once),
        cmocka_unit_test(hooks_gather_copy_late_and_meet_at_named_barriers),
        cmocka_unit_test(shared_memory_works_in_all_its_forms),
        cmocka_unit_test(shared_memory_starts_poisoned_in_every_block),
        cmocka_unit_test(atomics_are_atomic_across_blocks),
        cmocka_unit_test(a_thread_that_spins_lets_others_run),
        cmocka_unit_test(orders_of_blocks_and_threads_follow_the_options),
        cmocka_unit_test(a_chain_runs_in_order_and_an_empty_grid_not_at_all),
        cmocka_unit_test(what_a_kernel_prints_is_kept),
        cmocka_unit_test(a_divergent_barrier_is_a_deadlock_with_both_lines),
        cmocka_unit_test(a_collective_without_its_lanes_is_a_deadlock),
        cmocka_unit_test(an_early_exit_before_a_barrier_is_a_warning),
        cmocka_unit_test(a_shuffle_from_nobody_reads_poison_and_warns),
        cmocka_unit_test(a_mask_that_leaves_the_caller_out_warns),
        cmocka_unit_test(wrong_arguments_are_told_in_words),
        cmocka_unit_test(inline_ptx_is_unsupported_with_its_line),
        cmocka_unit_test(too_much_shared_memory_is_refused),
        cmocka_unit_test(launch_bounds_are_held),
        cmocka_unit_test(a_slab_over_the_memory_limit_is_refused),
        cmocka_unit_test(a_crash_names_signal_address_and_thread),
        cmocka_unit_test(a_trap_and_an_assertion_name_their_line),
        cmocka_unit_test(an_endless_kernel_is_killed),
        cmocka_unit_test(exit_and_closed_pipes_are_no_result),
        cmocka_unit_test(forks_and_foreign_writes_are_no_result),
        cmocka_unit_test(a_flood_of_output_does_not_block),
        cmocka_unit_test(a_read_past_the_end_is_found_with_its_line),
        cmocka_unit_test(a_write_outside_is_found_with_its_line),
        cmocka_unit_test(shared_memory_has_bounds),
        cmocka_unit_test(undefined_arithmetic_is_found_with_its_line),
        cmocka_unit_test(the_address_sanitizer_is_quiet_about_right_kernels),
        cmocka_unit_test(a_missing_barrier_is_a_race_with_both_lines),
        cmocka_unit_test(a_shuffle_orders_no_memory_and_syncwarp_does),
        cmocka_unit_test(the_thread_sanitizer_is_quiet_about_right_kernels),
        cmocka_unit_test(what_only_a_gpu_has_is_unsupported),
        cmocka_unit_test(compile_errors_name_the_line_of_the_source),
        cmocka_unit_test(builds_are_cached_and_no_compile_says_so),
        cmocka_unit_test(a_missing_compiler_is_told_with_the_remedy),
        cmocka_unit_test(unknown_sanitizers_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
