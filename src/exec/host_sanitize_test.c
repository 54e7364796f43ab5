/* host_sanitize_test.c - what the sanitizers find, with its line, and what they are quiet
 * about. */
#include "host_fixture.h"

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

static void check_matrices(struct rig *r) {
    struct kb_slab slab = slab_of(8, 0, 0);
    struct kb_plan plan = plan_for("matrices", 2, 64);
    float one = 1;
    add_tensor(&plan, 0);
    add_scalar(&plan, &one, sizeof one);
    check_kernel(r, &plan, &slab);
    kb_slab_free(&slab);
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
    check_matrices(&address);
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
    slab = slab_of(8, 256, 0);
    plan = plan_for("hooks", 1, 64);
    int *in = kb_slab_at(&slab, 1);
    for (int i = 0; i < 64; i++)
        in[i] = 1000 + i;
    add_tensor(&plan, 0);
    add_tensor(&plan, 1);
    check_kernel(&thread, &plan, &slab);
    kb_slab_free(&slab);
    check_matrices(&thread);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_past_the_end_is_found_with_its_line),
        cmocka_unit_test(a_write_outside_is_found_with_its_line),
        cmocka_unit_test(shared_memory_has_bounds),
        cmocka_unit_test(undefined_arithmetic_is_found_with_its_line),
        cmocka_unit_test(the_address_sanitizer_is_quiet_about_right_kernels),
        cmocka_unit_test(a_missing_barrier_is_a_race_with_both_lines),
        cmocka_unit_test(a_shuffle_orders_no_memory_and_syncwarp_does),
        cmocka_unit_test(the_thread_sanitizer_is_quiet_about_right_kernels),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
