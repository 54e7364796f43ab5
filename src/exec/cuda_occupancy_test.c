/* cuda_occupancy_test.c - how launches fill a device of four multiprocessors, of 2048
 * threads each. */
#include "stub_fixture.h"

static struct kb_occupancy occupancy_of(struct fixture *f) {
    struct kb_occupancy o = {.blocks_per_sm = -1};
    kb_cuda.occupancy(f->device, f->code, f->plan, &o);
    return o;
}

static void assert_occupancy(struct kb_occupancy o, int blocks, double share,
                             double waves) {
    if (o.blocks_per_sm != blocks || !kb_same(&o.share, &share, sizeof share) ||
        !kb_same(&o.waves, &waves, sizeof waves))
        fail_msg("%d blocks, share %g, %g waves", o.blocks_per_sm, o.share, o.waves);
}

static void a_grid_fills_the_device_in_waves(void **state) {
    struct fixture *f = *state;
    ready(f, 64);
    f->plan->launches[0].block[0] = 768; /* two of them in 2048 threads */
    f->plan->launches[0].grid[0] = 20;
    assert_occupancy(occupancy_of(f), 2, 0.75, 2.5);
}

static void the_largest_grid_has_its_waves(void **state) {
    struct fixture *f = *state;
    ready(f, 64);
    const int64_t grid[] = {INT32_MAX, UINT16_MAX, UINT16_MAX};
    f->plan->launches[0].block[0] = 1024;
    memcpy(f->plan->launches[0].grid, grid, sizeof grid);
    assert_occupancy(occupancy_of(f), 2, 1,
                     0x1p31 * 65535.0 * 65535.0 / 8 - 65535.0 * 65535.0 / 8);
}

static void of_a_chain_the_launch_with_most_threads_counts(void **state) {
    struct fixture *f = *state;
    open_device(f);
    add_launch(f, "bump<1>", 0);
    add_launch(f, "bump<2>", 0);
    build(f);
    f->plan->launches[1].block[0] = 1024;
    f->plan->launches[1].grid[0] = 4;
    assert_occupancy(occupancy_of(f), 2, 1, 0.5);
}

static void clusters_count_as_a_whole(void **state) {
    struct fixture *f = *state;
    ready(f, 64);
    f->plan->launches[0].block[0] = 1024;
    f->plan->launches[0].cluster[0] = 2;
    f->plan->launches[0].grid[0] = 8;
    assert_occupancy(occupancy_of(f), 1, 0.5, 2);
}

static void nothing_to_launch_fills_nothing(void **state) {
    struct fixture *f = *state;
    ready(f, 64);
    f->plan->launches[0].grid[0] = 0;
    assert_occupancy(occupancy_of(f), 0, 0, 0);
}

static void what_the_driver_does_not_tell_is_not_known(void **state) {
    struct fixture *f = *state;
    setenv("KB_STUB", "occupancy=1", 1);
    ready(f, 64);
    assert_occupancy(occupancy_of(f), 0, 0, 0);
    unsetenv("KB_STUB");
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(a_grid_fills_the_device_in_waves),
        TEST(the_largest_grid_has_its_waves),
        TEST(of_a_chain_the_launch_with_most_threads_counts),
        TEST(clusters_count_as_a_whole),
        TEST(nothing_to_launch_fills_nothing),
        TEST(what_the_driver_does_not_tell_is_not_known),
    };
    int rc = begin_tests(argc, argv);
    return rc >= 0 ? rc : end_tests(cmocka_run_group_tests(tests, NULL, NULL));
}
