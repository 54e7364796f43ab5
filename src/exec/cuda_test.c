/* cuda_test.c - the cuda backend over tools/stub/cuda.c, a driver without a GPU: errors as
 * scripted, times as counted. NVRTC is the real one. */
#include "cuda_timer.h"

#include <elf.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char source[] =
    "template <int N> __global__ void bump(unsigned char *p) { p[0] += N; }\n"
    "template <int N> __global__ void other(unsigned char *p) { p[0] *= N; }\n"
    "__global__ void plain(float *p) { p[0] = __expf(p[0]); }\n";

/* ---- one of everything for each test ---------------------------------------------------
 */

struct fixture {
    struct kb_arena arena;
    struct kb_kernel kernel;
    struct kb_build build;
    struct kb_plan *plan;
    struct kb_slab slab;
    struct kb_exec_options options;
    struct kb_device *device;
    struct kb_code *code;
    struct kb_code_info info;
    struct kb_err err;
};

static int setup(void **state) {
    struct fixture *f = test_calloc(1, sizeof *f);
    *state = f;
    unsetenv("KB_STUB");
    f->slab.fd = -1;
    f->kernel = (struct kb_kernel){.path = "mine.cu", .name = "mine.cu", .user = true};
    f->kernel.text = source;
    f->kernel.size = strlen(source);
    f->build.name = "precise";
    kb_strings_add(&f->build.flags, &f->arena, "-std=c++17");
    f->plan = kb_arena_alloc(&f->arena, sizeof *f->plan);
    f->plan->kernel = &f->kernel;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    if (f->device) {
        kb_cuda.unload(f->device, f->code);
        kb_cuda.close(f->device);
    }
    kb_slab_free(&f->slab);
    kb_arena_free(&f->arena);
    test_free(f);
    return 0;
}

static struct kb_launch *add_launch(struct fixture *f, const char *entry, int tensor) {
    struct kb_launch *launch = &f->plan->launches[f->plan->n_launches++];
    *launch = (struct kb_launch){
        .entry = entry,
        .grid = {2, 1, 1},
        .block = {32, 1, 1},
        .cluster = {1, 1, 1},
        .n_args = 1,
        .args = {{.kind = KB_ARG_TENSOR, .index = tensor}},
    };
    return launch;
}

static void open_device(struct fixture *f) {
    if (!kb_cuda.open(0, &f->options, &f->device, &f->err))
        fail_msg("%s", f->err.msg);
}

static void build(struct fixture *f) {
    if (!kb_cuda.build(f->device, f->plan, &f->build, &f->code, &f->info, &f->err))
        fail_msg("%s", f->err.msg);
}

/* A slab of one or two tensors of these sizes, poisoned. */
static void make_slab(struct fixture *f, size_t first, size_t second) {
    size_t bytes[] = {first, second};
    assert_true(kb_slab_make(&f->slab, 2, bytes, 0, &f->err));
    for (int i = 0; i < 2; i++)
        if (bytes[i])
            kb_poison(kb_slab_at(&f->slab, i), bytes[i], 0);
}

static unsigned char byte_of(const struct kb_slab *slab, int slot) {
    return *(const unsigned char *)kb_slab_at(slab, slot);
}

static bool run(struct fixture *f) {
    struct kb_run_options options = {0};
    struct kb_run_result result;
    return kb_cuda.run(f->device, f->code, f->plan, &f->slab, &options, &result, &f->err);
}

static void expect_error(const struct fixture *f, enum kb_err_kind kind, const char *want) {
    if (f->err.kind != kind || !strstr(f->err.msg, want))
        fail_msg("got %s \"%s\", wanted %s \"%s\"", kb_err_word(f->err.kind), f->err.msg,
                 kb_err_word(kind), want);
}

/* Device, one "bump" over tensor 0 of `bytes`, built. */
static void ready(struct fixture *f, size_t bytes) {
    open_device(f);
    add_launch(f, "bump<1>", 0);
    build(f);
    make_slab(f, bytes, 0);
}

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
    assert_string_equal(kb_buf_text(&output),
                        "0 no NVIDIA driver (libcuda.so.1 not found)\n");
    kb_buf_free(&output);
}

static int print_probe(void) {
    struct kb_device_info device;
    struct kb_buf gaps = {0};
    printf("%d ", kb_cuda.probe(&device, 1, &gaps));
    printf("%s", kb_buf_text(&gaps));
    kb_buf_free(&gaps);
    return 0;
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
    assert_true(kb_slab_make(&f->slab, 4, bytes, 0, &f->err));
    for (int i = 0; i < 4; i++)
        memset(kb_slab_at(&f->slab, i), 5, 64);
    assert_true(run(f));
    assert_int_equal(byte_of(&f->slab, 0), 5);
    assert_int_equal(byte_of(&f->slab, 1), 1);
    assert_int_equal(byte_of(&f->slab, 2), 0xb3);
    assert_int_equal(byte_of(&f->slab, 3), 5);
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
    struct kb_launch *launch = add_launch(f, "bump<1>", 0);
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

/* ---- timers ----------------------------------------------------------------------------
 */

static struct kb_timer *open_timer(struct fixture *f, enum kb_method method, int sets,
                                   struct kb_timer_facts *facts) {
    struct kb_timer *timer = NULL;
    if (!kb_cuda.timer_open(f->device, f->code, f->plan, &f->slab, method, sets, &timer,
                            facts, &f->err))
        fail_msg("%s", f->err.msg);
    return timer;
}

static void expect_samples(struct fixture *f, struct kb_timer *timer, double want) {
    double ns[70];
    if (!kb_cuda.timer_sample(timer, 70, ns, &f->err))
        fail_msg("%s", f->err.msg);
    for (int i = 0; i < 70; i++)
        if (!(ns[i] > want * 0.9999 && ns[i] < want * 1.0001))
            fail_msg("sample %d is %g ns, wanted %g", i, ns[i], want);
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
    assert_true(kb_slab_make(&f->slab, 2, bytes, 0, &f->err));
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
    static const double want[] = {
        [KB_GRAPH] = 500, [KB_PDL] = 400, [KB_COLD] = 500, [KB_HOT] = 500};
    struct fixture *f = *state;
    open_device(f);
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        double ns = 0;
        assert_true(kb_cuda.floor(f->device, (enum kb_method)m, &ns, &f->err));
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

/* ---- start-up: a driver of our own on the library path ---------------------------------
 */

static void make_stub(const char *folder) {
    char include[PATH_MAX], library[PATH_MAX];
    struct kb_buf output = {0};
    struct kb_limits limits = {.wall_ms = 60000};
    struct kb_err err = {0};
    int status = 1;
    snprintf(include, sizeof include, "-I%s/include", kb_cuda_home());
    snprintf(library, sizeof library, "%s/libcuda.so.1", folder);
    const char *argv[] = {"cc",    "-shared", "-fPIC", "-D_GNU_SOURCE",
                          include, "-o",      library, "tools/stub/cuda.c",
                          NULL};
    if (!kb_run_command((char *const *)argv, NULL, &limits, &output, &status, &err) ||
        status) {
        fprintf(stderr, "cannot build the stub driver: %s%s\n", err.msg,
                kb_buf_text(&output));
        exit(1);
    }
    kb_buf_free(&output);
}

/* The library path is read when a process starts: make it and start again. */
static void start_again(char **argv) {
    char folder[] = "/tmp/kb-stub-XXXXXX", cache[64];
    if (!mkdtemp(folder))
        exit(1);
    make_stub(folder);
    snprintf(cache, sizeof cache, "%s/cache", folder);
    setenv("KBENCH_CACHE", cache, 1);
    setenv("LD_LIBRARY_PATH", folder, 1);
    setenv("KB_STUB_FOLDER", folder, 1);
    execv("/proc/self/exe", argv);
    exit(1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv) {
    if (argc == 3 && kb_streq(argv[1], "--worker") && kb_streq(argv[2], "nvrtc"))
        return kb_nvrtc_worker_main();
    if (argc == 2 && kb_streq(argv[1], "--probe"))
        return print_probe();
    if (!getenv("KB_STUB_FOLDER"))
        start_again(argv);
    signal(SIGPIPE, SIG_IGN);
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
        TEST(chain_launches_in_order_and_an_empty_grid_not_at_all),
        TEST(scratch_starts_as_the_contract_says),
        TEST(absent_tensor_is_a_null_pointer),
        TEST(descriptor_points_to_its_tensor),
        TEST(shared_memory_is_opted_into_up_to_the_devices_limit),
        TEST(sticky_error_is_named_and_the_next_device_is_whole),
        TEST(slab_that_does_not_fit_is_told_with_both_sizes),
        TEST(graph_rotates_over_three_times_the_l2),
        TEST(sets_are_as_asked_up_to_4096_and_one_where_one_is_enough),
        TEST(long_rotation_is_sampled_in_parts),
        TEST(pdl_has_programmatic_edges_and_graph_has_none),
        TEST(pdl_is_unsupported_where_plan_or_device_have_none),
        TEST(cold_and_hot_time_the_launch_and_not_the_flush),
        TEST(chain_is_timed_as_a_whole_with_its_zeroes),
        TEST(result_is_one_launch_from_the_initial_state_in_every_set),
        TEST(timers_over_equal_tensors_share_memory_but_not_results),
        TEST(kept_sets_make_room_for_a_case_that_needs_it),
        TEST(floor_is_an_empty_kernel_by_the_same_method),
        TEST(nothing_to_launch_is_nothing_to_time),
        TEST(error_while_timing_is_named),
    };
    int failed = cmocka_run_group_tests_name("cuda", tests, NULL, NULL);
    struct kb_buf command = {0};
    kb_buf_printf(&command, "rm -rf '%s'", getenv("KB_STUB_FOLDER"));
    int rc = system(command.data);
    kb_buf_free(&command);
    return failed ? failed : rc;
}
