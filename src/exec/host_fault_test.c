/* host_fault_test.c - kernels that are wrong, crash, never end or mean harm. */
#include "host_fixture.h"

/* ---- mistakes that are named --------------------------------------------------------- */

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

static void an_access_that_is_not_aligned_is_found_without_a_sanitizer(void **state) {
    (void)state;
    struct outcome o = run_small(&plain, "misaligned", 1, 1, 4);
    assert_clean(&o);
    o = run_small(&plain, "misaligned", 1, 1, 2);
    if (by_clang(&plain)) { /* looks at the alignment of scalars only */
        assert_crash(&o, "misaligned 16-byte access");
        return;
    }
    assert_finding(&o, KB_FOUND_MISALIGNED,
                   WANTED(place("misaligned"), "float4", "wants a multiple of 16 bytes",
                          "the address is one of 8", "byte 8 of \"tensor 0\"",
                          "block (0,0,0) thread (0,0,0)"));
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

static void a_run_has_its_own_limit_where_the_device_has_none(void **state) {
    (void)state;
    const struct kb_run_options soon = {.limit_ms = 300};
    struct rig r = plain;
    struct kb_exec_options none = {0};
    struct kb_err err = {0};
    struct kb_slab slab = slab_of(4096, 0, 0);
    struct kb_plan plan = plan_for("forever", 1, 1);
    add_tensor(&plan, 0);
    r.code = opened(&plain)->code;
    assert_true(kb_host.open(0, &none, &r.device, &err));
    struct outcome o = run_with(&r, &plan, &slab, &soon);
    assert_false(o.ok);
    assert_int_equal(o.err.kind, KB_TIMEOUT);
    assert_has(o.err.msg, "still running after 0.3 s");
    kb_host.close(r.device);
    kb_slab_free(&slab);
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

int main(void) {
    const struct CMUnitTest tests[] = {
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
        cmocka_unit_test(an_access_that_is_not_aligned_is_found_without_a_sanitizer),
        cmocka_unit_test(an_endless_kernel_is_killed),
        cmocka_unit_test(a_run_has_its_own_limit_where_the_device_has_none),
        cmocka_unit_test(exit_and_closed_pipes_are_no_result),
        cmocka_unit_test(forks_and_foreign_writes_are_no_result),
        cmocka_unit_test(a_flood_of_output_does_not_block),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
