/* cuda_test.c - devices, code and runs of the cuda backend, without a GPU. */
#include "stub_fixture.h"

/* ---- devices ---------------------------------------------------------------------------
 */

static void open_device_is_described(void **state) {
    struct fixture *f = *state;
    open_device(f);
    const struct kb_device_info *info = kb_cuda.info(f->device);
    assert_string_equal(info->backend, "cuda");
    assert_string_equal(info->id, "0");
    assert_string_equal(info->name, "Stub 0");
    assert_string_equal(info->uuid, "GPU-a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf");
    assert_int_equal(info->limits.sm, 90);
    assert_int_equal(info->limits.sm_count, 4);
    assert_int_equal(info->limits.smem_per_block, 227 << 10);
    assert_int_equal(info->l2_bytes, 1 << 20);
    assert_int_equal(info->memory_bytes, 1 << 30);
    assert_int_equal(info->free_bytes, 1 << 30);
    assert_int_not_equal(info->driver[0], 0);
    assert_int_not_equal(info->nvrtc[0], 0);
}

static void probe_lists_every_device_and_what_is_missing(void **state) {
    (void)state;
    struct kb_device_info devices[4];
    struct kb_buf gaps = {0};
    assert_int_equal(kb_cuda.probe(devices, 4, &gaps), 2);
    assert_string_equal(devices[1].id, "1");
    assert_string_equal(kb_buf_text(&gaps), "");
    assert_int_equal(kb_cuda.probe(devices, 1, &gaps), 1);
    setenv("KB_STUB", "init=803", 1);
    assert_int_equal(kb_cuda.probe(devices, 4, &gaps), 0);
    assert_string_equal(kb_buf_text(&gaps),
                        "NVIDIA driver: driver and its library differ in version (803): "
                        "reboot, or reload the driver\n");
    kb_buf_free(&gaps);
}

static void driver_that_cannot_be_used_says_why_and_what_helps(void **state) {
    static const struct {
        const char *script, *message;
    } rows[] = {
        {"init=100", "no CUDA device (100): is one fitted, and does CUDA_VISIBLE_DEVICES"},
        {"count=0", "no CUDA device (100)"},
        {"init=802", "system not ready (802): is nvidia-fabricmanager running?"},
        {"init=999", "unknown error (999): the GPU may be lost"},
        {"context=214", "context: uncorrectable ECC error (214): the GPU wants a reset"},
        {"context=46", "context: device busy or unavailable (46)"},
        {"context=401", "context: CUDA_ERROR_ILLEGAL_STATE (401)"},
        {"context=12345", "context: unknown to the driver (12345)"},
        {"version=11080", "the NVIDIA driver is too old (CUDA 11.8): 525 or newer"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < KB_COUNT(rows); i++) {
        setenv("KB_STUB", rows[i].script, 1);
        assert_false(kb_cuda.open(0, &f->options, &f->device, &f->err));
        expect_error(f, KB_DEVICE, rows[i].message);
        assert_null(f->device);
    }
    unsetenv("KB_STUB");
    assert_false(kb_cuda.open(2, &f->options, &f->device, &f->err));
    expect_error(f, KB_DEVICE, "no GPU 2: there are 2, numbered from 0");
}

/* A command's environment has no library path, so that it finds what the machine has. */
static void without_a_driver_the_missing_library_is_named(void **state) {
    struct kb_buf output = {0};
    struct kb_limits limits = {.wall_ms = 60000};
    struct kb_err err = {0};
    int status = 1;
    const char *argv[] = {kb_exe_path(), "--probe", NULL};
    (void)state;
    assert_true(kb_run_command((char *const *)argv, NULL, &limits, &output, &status, &err));
    assert_int_equal(status, 0);
    if (kb_starts_with(kb_buf_text(&output), "1 "))
        skip(); /* a machine with a GPU */
    assert_string_equal(
        kb_buf_text(&output),
        "0 no NVIDIA driver (libcuda.so.1 not found): a GPU's driver package "
        "brings it; without one kernels are checked on the CPU\n");
    kb_buf_free(&output);
}

/* ---- code ------------------------------------------------------------------------------
 */

static void build_tells_what_it_came_to_and_is_cached(void **state) {
    struct fixture *f = *state;
    open_device(f);
    add_launch(f, "bump<41>", 0)->smem_bytes = 64;
    build(f);
    assert_false(f->info.cached);
    assert_int_equal(f->info.registers, 22);
    assert_int_equal(f->info.spill_bytes, 0);
    assert_int_equal(f->info.shared_bytes, 64);
    assert_true(f->info.code_bytes > 0);
    assert_true(f->info.compile_ms > 0);
    assert_string_equal(f->info.arch, "sm_90a");
    assert_string_equal(f->info.note, "");
    kb_cuda.unload(f->device, f->code);
    build(f);
    assert_true(f->info.cached);
}

static void hash_of(struct fixture *f, const char *entry, const char *flag, char *out) {
    struct kb_compiler *compiler;
    struct kb_code_info info;
    struct kb_build build = f->build;
    f->plan->n_launches = 0;
    add_launch(f, entry, 0);
    if (flag)
        kb_strings_add(&build.flags, &f->arena, flag);
    assert_true(kb_compiler_open(&f->options, &compiler, &f->err));
    if (!kb_compiler_build(compiler, 90, f->plan, &build, &info, &f->err))
        fail_msg("%s", f->err.msg);
    assert_int_equal(info.registers, -1);
    kb_text_copy(out, KB_HASH_HEX, info.code_hash);
    kb_compiler_close(compiler);
}

static void code_hash_is_of_the_machine_code_alone(void **state) {
    struct fixture *f = *state;
    char a[KB_HASH_HEX], b[KB_HASH_HEX];
    /* fast-math changes `plain`, which stands in the same cubin and is not of the plan */
    hash_of(f, "bump<1>", NULL, a);
    hash_of(f, "bump<1>", "--use_fast_math", b);
    assert_string_equal(a, b);
    hash_of(f, "bump<2>", NULL, b);
    assert_string_not_equal(a, b);
    hash_of(f, "plain", NULL, a);
    hash_of(f, "plain", "--use_fast_math", b);
    assert_string_not_equal(a, b);
}

static void broken_cubin_has_no_hash(void **state) {
    struct fixture *f = *state;
    struct kb_strings none = {0};
    struct kb_nvrtc_result result;
    struct kb_compiler *compiler;
    struct kb_hash hash;
    int64_t bytes;
    add_launch(f, "bump<1>", 0);
    assert_true(kb_compiler_open(&f->options, &compiler, &f->err));
    assert_true(kb_compiler_code(compiler, 90, f->plan, &f->build, &f->arena, &result,
                                 &f->info, &f->err));
    Elf64_Ehdr header;
    memcpy(&header, result.cubin.data, sizeof header);
    for (size_t size = 0; size < header.e_shoff + header.e_shnum * 64; size += 37)
        assert_false(kb_cubin_digest(result.cubin.data, size, &none, &hash, &bytes));
    for (size_t i = 0; i < 64; i++) { /* whatever the header claims, nothing is overrun */
        result.cubin.data[i] = (char)~result.cubin.data[i];
        kb_cubin_digest(result.cubin.data, result.cubin.len, &none, &hash, &bytes);
        result.cubin.data[i] = (char)~result.cubin.data[i];
    }
    kb_nvrtc_result_free(&result);
    kb_compiler_close(compiler);
}

static void code_that_the_driver_refuses_names_the_remedy(void **state) {
    struct fixture *f = *state;
    add_launch(f, "bump<1>", 0);
    setenv("KB_STUB", "load=218,version=12040", 1);
    open_device(f);
    assert_false(kb_cuda.build(f->device, f->plan, &f->build, &f->code, &f->info, &f->err));
    f->code = NULL;
    if (strncmp(kb_cuda.info(f->device)->nvrtc, "12", 2) == 0)
        skip();
    expect_error(f, KB_DEVICE, "the driver has CUDA 12.4");
    expect_error(f, KB_DEVICE, "set CUDA_HOME to a CUDA 12 Toolkit");
}

static void misspelt_entry_is_a_build_error(void **state) {
    struct fixture *f = *state;
    open_device(f);
    add_launch(f, "bumb<1>", 0);
    assert_false(kb_cuda.build(f->device, f->plan, &f->build, &f->code, &f->info, &f->err));
    f->code = NULL;
    expect_error(f, KB_BUILD, "mine.cu: entry \"bumb<1>\" names no kernel");
}

static void architecture_has_the_devices_own_instructions(void **state) {
    static const struct {
        int sm;
        const char *arch;
    } rows[] = {{80, "sm_80"},    {86, "sm_86"},    {89, "sm_89"},    {90, "sm_90a"},
                {100, "sm_100a"}, {103, "sm_103a"}, {120, "sm_120a"}, {150, "sm_150"}};
    (void)state;
    for (size_t i = 0; i < KB_COUNT(rows); i++) {
        char arch[16];
        kb_cuda_arch(rows[i].sm, arch);
        assert_string_equal(arch, rows[i].arch);
    }
}

/* ---- runs ------------------------------------------------------------------------------
 */

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
        TEST(open_device_is_described),
        TEST(probe_lists_every_device_and_what_is_missing),
        TEST(driver_that_cannot_be_used_says_why_and_what_helps),
        cmocka_unit_test(without_a_driver_the_missing_library_is_named),
        TEST(build_tells_what_it_came_to_and_is_cached),
        TEST(code_hash_is_of_the_machine_code_alone),
        TEST(broken_cubin_has_no_hash),
        TEST(code_that_the_driver_refuses_names_the_remedy),
        TEST(misspelt_entry_is_a_build_error),
        TEST(architecture_has_the_devices_own_instructions),
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
    return end_tests(cmocka_run_group_tests_name("cuda", tests, NULL, NULL));
}
