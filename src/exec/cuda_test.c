/* cuda_test.c - devices and code of the cuda backend, without a GPU. */
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
    struct kb_build build = f->build;
    struct kb_compiled code = {.plan = f->plan};
    f->plan->n_launches = 0;
    add_launch(f, entry, 0);
    if (flag)
        kb_strings_add(&build.flags, &f->arena, flag);
    assert_true(kb_compiler_open(&f->options, &compiler, &f->err));
    kb_compiler_build_together(compiler, 90, &build, &code, 1);
    if (!code.ok)
        fail_msg("%s", code.err.msg);
    assert_int_equal(code.info.registers, -1);
    kb_text_copy(out, KB_HASH_HEX, code.info.code_hash);
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
    };
    return end_tests(cmocka_run_group_tests_name("cuda", tests, NULL, NULL));
}
