/* cuda_run_test.c - what a run of the cuda backend leaves and refuses, without a GPU. */
#include "stub_fixture.h"

static void run_gives_back_what_the_launches_left(void **state) {
    struct fixture *f = *state;
    struct kb_guard_hit hit;
    ready(f, 5000);
    unsigned char before = byte_of(&f->slab, 0);
    assert_true(run(f));
    assert_int_equal(byte_of(&f->slab, 0), (unsigned char)(before + 1));
    assert_int_equal(kb_slab_guards(&f->slab, &hit, 1), 0);
}

/* Larger than the page-locked buffers, and no multiple of them: the kernel changes one
 * byte. */
static void slabs_of_all_sizes_go_both_ways_whole(void **state) {
    struct fixture *f = *state;
    static const size_t sizes[] = {1,
                                   (128 << 10) - 8192,
                                   128 << 10,
                                   (4 << 20) - 8192 - 256,
                                   (4 << 20) - 8192,
                                   4 << 20,
                                   (8 << 20) - 8192 + 1,
                                   (67 << 20) + 12345};
    ready(f, 1);
    for (size_t i = 0; i < KB_COUNT(sizes); i++) {
        struct kb_slab before = {0};
        kb_slab_free(&f->slab);
        assert_true(kb_slab_make(&f->slab, KB_SLAB_PRIVATE, 1, &sizes[i], 0, &f->err));
        unsigned char *data = kb_slab_at(&f->slab, 0);
        for (size_t k = 0; k < sizes[i]; k++)
            data[k] = (unsigned char)(k * 2654435761u >> 24);
        assert_true(kb_slab_copy(&before, &f->slab, &f->err));
        assert_true(run(f));
        data[0]--;
        assert_memory_equal(f->slab.data, before.data, before.bytes);
        kb_slab_free(&before);
    }
}

static void run_begins_with_what_another_slab_holds_where_it_is_told_to(void **state) {
    struct fixture *f = *state;
    struct kb_slab out = {0};
    struct kb_run_result result;
    ready(f, 5 << 20);
    kb_poison(kb_slab_at(&f->slab, 0), 5 << 20, 1);
    const struct kb_run_options options = {.from = &f->slab};
    for (int nothing = 0; nothing < 2; nothing++) {
        assert_true(kb_slab_like(&out, &f->slab, 0, &f->err));
        memset(out.data, 0xee, out.bytes);
        if (nothing)
            f->plan->launches[0].grid[0] = 0;
        assert_true(
            kb_cuda.run(f->device, f->code, f->plan, &out, &options, &result, &f->err));
        *(unsigned char *)kb_slab_at(&out, 0) ^= nothing ? 0 : 0x4c ^ 0x4d;
        assert_memory_equal(out.data, f->slab.data, out.bytes); /* guards as well */
    }
    kb_slab_free(&out);
}

/* Tensor 0 is launched on, 1 is taken from a slab where it lies 16 bytes further on. */
static void
slots_that_are_taken_hold_what_another_slab_has_and_the_rest_stays(void **state) {
    struct fixture *f = *state;
    const size_t bytes[] = {64, 5 << 20}, shifts[] = {0, 16};
    struct kb_slab out = {.fd = -1}, wanted = {.fd = -1}, from = {.fd = -1};
    struct kb_run_result result;
    ready(f, 64);
    assert_true(kb_slab_make(&from, KB_SLAB_PRIVATE, 2, bytes, 0, &f->err));
    assert_true(kb_slab_place(&from, 2, bytes, shifts, &f->err));
    kb_poison(kb_slab_at(&from, 1), bytes[1], 1);
    const struct kb_run_options options = {.inputs = &from, .taken = 2};
    for (int nothing = 0; nothing < 2; nothing++) {
        assert_true(kb_slab_make(&out, KB_SLAB_PRIVATE, 2, bytes, 0, &f->err));
        kb_poison(kb_slab_at(&out, 0), bytes[0], 0);
        assert_true(kb_slab_copy(&wanted, &out, &f->err));
        kb_poison(kb_slab_at(&wanted, 1), bytes[1], 1);
        if (nothing)
            f->plan->launches[0].grid[0] = 0;
        assert_true(
            kb_cuda.run(f->device, f->code, f->plan, &out, &options, &result, &f->err));
        if (!nothing)
            ++*(unsigned char *)kb_slab_at(&wanted, 0);
        assert_memory_equal(out.data, wanted.data, out.bytes); /* guards as well */
        kb_slab_free(&out);
        kb_slab_free(&wanted);
    }
    kb_slab_free(&from);
}

static void chain_launches_in_order_and_an_empty_grid_not_at_all(void **state) {
    struct fixture *f = *state;
    open_device(f);
    add_launch(f, "bump<1>", 0);
    add_launch(f, "bump<2>", 0)->grid[1] = 0;
    add_launch(f, "bump<1>", 0);
    build(f);
    make_slab(f, 64, 0);
    unsigned char before = byte_of(&f->slab, 0);
    assert_true(run(f));
    assert_int_equal(byte_of(&f->slab, 0), (unsigned char)(before + 2));
    f->plan->launches[0].grid[0] = f->plan->launches[2].grid[2] = 0;
    assert_true(run(f));
    assert_int_equal(byte_of(&f->slab, 0), (unsigned char)(before + 2));
}

static void scratch_starts_as_the_contract_says(void **state) {
    struct fixture *f = *state;
    size_t bytes[] = {64, 64, 64, 64};
    open_device(f);
    add_launch(f, "bump<1>", 0)->args[0] =
        (struct kb_arg){.kind = KB_ARG_SCRATCH, .index = 0};
    build(f);
    f->plan->n_scratch = 3;
    f->plan->scratch[0] = (struct kb_scratch){64, KB_SCRATCH_ZERO};
    f->plan->scratch[1] = (struct kb_scratch){64, KB_SCRATCH_POISON};
    f->plan->scratch[2] = (struct kb_scratch){64, KB_SCRATCH_KEEP};
    assert_true(kb_slab_make(&f->slab, KB_SLAB_SHARED, 4, bytes, 0, &f->err));
    for (int i = 0; i < 4; i++)
        memset(kb_slab_at(&f->slab, i), 5, 64);
    assert_true(run(f));
    assert_int_equal(byte_of(&f->slab, 0), 5);
    assert_int_equal(byte_of(&f->slab, 1), 1);
    assert_int_equal(byte_of(&f->slab, 2), 0xb3);
    assert_int_equal(byte_of(&f->slab, 3), 5);
}

/* The stub has room for the tensors and not for a slab with its guard zones. */
static void under_a_memory_checker_each_tensor_is_an_allocation_of_its_own(void **state) {
    struct fixture *f = *state;
    size_t bytes[] = {64, 0, 64, 64};
    setenv("NV_SANITIZER_INJECTION_PORT_BASE", "1", 1);
    setenv("KB_STUB", "memory=192", 1);
    open_device(f);
    unsetenv("NV_SANITIZER_INJECTION_PORT_BASE");
    add_launch(f, "bump<1>", 0);
    add_launch(f, "bump<1>", 0)->args[0] =
        (struct kb_arg){.kind = KB_ARG_SCRATCH, .index = 1};
    build(f);
    f->plan->n_scratch = 2;
    f->plan->scratch[0] = (struct kb_scratch){64, KB_SCRATCH_POISON};
    f->plan->scratch[1] = (struct kb_scratch){64, KB_SCRATCH_ZERO};
    assert_true(kb_slab_make(&f->slab, KB_SLAB_SHARED, 4, bytes, 0, &f->err));
    memset(kb_slab_at(&f->slab, 0), 5, 64);
    for (int i = 0; i < 2; i++) { /* what was allocated is given back */
        if (!run(f))
            fail_msg("%s", f->err.msg);
        assert_int_equal(byte_of(&f->slab, 0), 6 + i);
        assert_int_equal(byte_of(&f->slab, 3), 1);
    }
}

static void absent_tensor_is_a_null_pointer(void **state) {
    struct fixture *f = *state;
    open_device(f);
    add_launch(f, "bump<1>", 1);
    build(f);
    make_slab(f, 64, 0);
    assert_true(run(f)); /* the stub would have written to any other address */
}

static void descriptor_points_to_its_tensor(void **state) {
    struct fixture *f = *state;
    open_device(f);
    struct kb_launch *launch = add_launch(f, "bump_map<1>", 0);
    launch->args[0] = (struct kb_arg){
        .kind = KB_ARG_TMA,
        .index = 1,
        .tma = {.rank = 1, .dims = {32}, .strides_bytes = {2}, .box = {32}},
    };
    build(f);
    make_slab(f, 64, 64);
    unsigned char before = byte_of(&f->slab, 1);
    assert_true(run(f));
    assert_int_equal(byte_of(&f->slab, 1), (unsigned char)(before + 1));
    launch->args[0].tma.box[0] = 0;
    assert_false(run(f));
    expect_error(f, KB_INPUT, "TMA descriptor: invalid value (1)");
}

static void arguments_that_the_kernel_does_not_have_are_a_build_error(void **state) {
    static const struct {
        const char *entry;
        int n_args;
        size_t second_bytes;
        const char *message; /* NULL: it runs */
    } rows[] = {
        {"two<1>", 2, 4, NULL},
        {"two<1>", 2, 8, "argument 2 of two<1> is of 4 bytes, the contract passes 8"},
        {"two<1>", 1, 0, "two<1> has 2 parameters, the contract passes 1 argument"},
        {"bump<1>", 2, 4, "bump<1> has 1 parameter, the contract passes 2 arguments"},
        {"bump_map<1>", 1, 0,
         "argument 1 of bump_map<1> is of 128 bytes, the contract "
         "passes 8"},
    };
    struct fixture *f = *state;
    open_device(f);
    make_slab(f, 64, 0);
    for (size_t i = 0; i < KB_COUNT(rows); i++) {
        f->plan->n_launches = 0;
        struct kb_launch *launch = add_launch(f, rows[i].entry, 0);
        launch->n_args = rows[i].n_args;
        launch->args[1] =
            (struct kb_arg){.kind = KB_ARG_SCALAR, .bytes = rows[i].second_bytes};
        build(f);
        assert_int_equal(run(f), !rows[i].message);
        if (rows[i].message)
            expect_error(f, KB_BUILD, rows[i].message);
        kb_cuda.unload(f->device, f->code);
        f->code = NULL;
    }
}

static void shared_memory_is_opted_into_up_to_the_devices_limit(void **state) {
    struct fixture *f = *state;
    ready(f, 64);
    f->plan->launches[0].smem_bytes = 100 << 10;
    assert_true(run(f));
    f->plan->launches[0].smem_bytes = 228 << 10;
    assert_false(run(f));
    expect_error(f, KB_INPUT, "233472 bytes of dynamic shared memory");
}

static void sticky_error_is_named_and_the_next_device_is_whole(void **state) {
    static const struct {
        const char *script, *message;
    } rows[] = {
        {"launch=700", "launch: illegal address (700)"},
        {"launch=716", "launch: misaligned address (716)"},
        {"launch=719", "launch: launch failure (719)"},
        {"launch=710", "launch: assertion in the kernel (710)"},
    };
    struct fixture *f = *state;
    ready(f, 64);
    for (size_t i = 0; i < KB_COUNT(rows); i++) {
        setenv("KB_STUB", rows[i].script, 1);
        assert_false(run(f));
        expect_error(f, KB_DEVICE, rows[i].message);
        assert_false(run(f)); /* still */
        unsetenv("KB_STUB");
        kb_cuda.unload(f->device, f->code);
        kb_cuda.close(f->device);
        open_device(f);
        build(f);
        assert_true(run(f));
    }
}

static void slab_that_does_not_fit_is_told_with_both_sizes(void **state) {
    struct fixture *f = *state;
    setenv("KB_STUB", "memory=1000000", 1);
    ready(f, 3000000);
    assert_false(run(f));
    expect_error(f, KB_MEMORY, "needs 3.0");
    expect_error(f, KB_MEMORY, "MB, 1 MB are free");
}

int main(int argc, char **argv) {
    int rc = begin_tests(argc, argv);
    if (rc >= 0)
        return rc;
    const struct CMUnitTest tests[] = {
        TEST(run_gives_back_what_the_launches_left),
        TEST(slabs_of_all_sizes_go_both_ways_whole),
        TEST(run_begins_with_what_another_slab_holds_where_it_is_told_to),
        TEST(slots_that_are_taken_hold_what_another_slab_has_and_the_rest_stays),
        TEST(chain_launches_in_order_and_an_empty_grid_not_at_all),
        TEST(scratch_starts_as_the_contract_says),
        TEST(under_a_memory_checker_each_tensor_is_an_allocation_of_its_own),
        TEST(absent_tensor_is_a_null_pointer),
        TEST(descriptor_points_to_its_tensor),
        TEST(arguments_that_the_kernel_does_not_have_are_a_build_error),
        TEST(shared_memory_is_opted_into_up_to_the_devices_limit),
        TEST(sticky_error_is_named_and_the_next_device_is_whole),
        TEST(slab_that_does_not_fit_is_told_with_both_sizes),
    };
    return end_tests(cmocka_run_group_tests_name("cuda_run", tests, NULL, NULL));
}
