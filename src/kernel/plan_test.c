/* plan_test.c - what contract, case and device come to: launches, and the entries to
 * compile. */
#include "kernel/plan_fixture.h"

/* ---- our kernels -----------------------------------------------------------------------
 */

static void a_row_is_spread_over_blocks_without_a_rest(void **state) {
    static const struct {
        const char *id, *variant;
        int64_t grid[3], block[3];
    } table[] = {
        {"silu/83x1024/bf16", "vec16", {21, 1, 1}, {256, 1, 1}},
        {"silu/83x1024/bf16", "small", {42, 1, 1}, {256, 1, 1}},
        {"silu/4x65536/bf16", "small", {256, 1, 1}, {128, 1, 1}},
        {"silu/4x2048/bf16", "tiny", {16, 1, 1}, {128, 1, 1}},
        {"silu/1x65536/fp32", "vec16", {32, 1, 1}, {256, 1, 1}},
        {"silu/7x4112/bf16", "vec16", {8, 1, 1}, {256, 1, 1}}, /* 257 vectors */
        {"silu/33554432x16/bf16", "vec16", {131072, 1, 1}, {256, 1, 1}},
        {"silu/33554432x16/bf16", "scalar", {1, 52429, 5}, {2, 128, 1}},
        {"silu/5x34/bf16", "scalar", {1, 1, 1}, {5, 51, 1}},
        {"silu/5x34/bf16", "odd", {1, 1, 1}, {256, 1, 1}},
        {"silu/83x1028/bf16", "vec4", {42, 1, 1}, {256, 1, 1}},
        {"silu/3x16386/bf16", "scalar", {9, 3, 1}, {228, 1, 1}}, /* 8193 elements */
    };
    (void)state;
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        struct fixture f;
        built_in(&f, table[i].id);
        if (!kb_plan_make(&f.kernel, kb_kernel_variant(&f.kernel, table[i].variant),
                          &f.problem, "cuda", &h200, &f.arena, &f.plan, &f.err))
            fail_msg("%s", f.err.msg);
        dims_are(f.plan.launches[0].grid, table[i].grid[0], table[i].grid[1],
                 table[i].grid[2]);
        dims_are(f.plan.launches[0].block, table[i].block[0], table[i].block[1],
                 table[i].block[2]);
        kb_arena_free(&f.arena);
    }
}

static void a_problem_takes_the_variant_for_its_size_and_width(void **state) {
    static const struct {
        const char *id, *backend, *variant;
    } table[] = {
        {"silu/83x1024/bf16", "cuda", "small"},    {"silu/83x1024/bf16", "host", "vec16"},
        {"gelu/1024x2048/fp16", "cuda", "small"},  {"silu/83x1024/fp32", "cuda", "vec16"},
        {"silu/4x2048/bf16", "cuda", "tiny"},      {"silu/16x2048/fp32", "cuda", "tiny"},
        {"silu/16384x2048/bf16", "cuda", "vec16"}, {"silu/16x65536/bf16", "cuda", "small"},
        {"silu/5x34/bf16", "cuda", "odd"},         {"silu/83x1028/bf16", "cuda", "vec4"},
        {"silu/83x1032/bf16", "host", "vec8"},     {"silu/5x6/bf16", "cuda", "scalar"},
    };
    (void)state;
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        struct fixture f;
        built_in(&f, table[i].id);
        if (!kb_plan_default(&f.kernel, &f.problem, table[i].backend, &h200, &f.arena,
                             &f.plan, &f.err))
            fail_msg("%s", f.err.msg);
        assert_string_equal(f.plan.variant->name, table[i].variant);
        kb_arena_free(&f.arena);
    }
}

static void a_plan_has_what_a_launch_needs(void **state) {
    struct fixture f;
    (void)state;
    built_in(&f, "gelu/83x1024/bf16/layout=up_gate/round=act");
    assert_true(plan(&f, "vec16"));
    const struct kb_launch *l = &f.plan.launches[0];
    assert_string_equal(l->entry, "act_and_mul<__nv_bfloat16, 1, 1, 0, 16, 1, 256>");
    assert_int_equal(f.plan.n_launches, 1);
    assert_true(l->pdl);
    assert_int_equal(l->smem_bytes, 0);
    dims_are(l->cluster, 1, 1, 1);
    assert_int_equal(l->args[0].kind, KB_ARG_TENSOR);
    assert_int_equal(l->args[0].index, 0);
    assert_int_equal(l->args[1].index, 1);
    assert_int_equal(l->args[2].bytes, 4);
    assert_int_equal(scalar(&l->args[2]), 83 * 64);
    assert_int_equal(scalar(&l->args[3]), 64);
    assert_int_equal(l->args[4].bytes, 8);
    assert_int_equal(scalar(&l->args[4]), INT64_MAX / 64);
    assert_int_equal(scalar(&l->args[5]), 64); /* gate behind up */
    assert_int_equal(scalar(&l->args[6]), 0);
    assert_int_equal(f.plan.defines.count, 0); /* its code knows templates, no macros */
    kb_arena_free(&f.arena);
}

static void no_rows_launch_nothing(void **state) {
    struct fixture f;
    (void)state;
    built_in(&f, "silu/0x1024/bf16");
    assert_true(plan(&f, "vec16"));
    dims_are(f.plan.launches[0].grid, 0, 1, 1);
    kb_arena_free(&f.arena);
}

static void a_chain_has_launches_and_memory_between_them(void **state) {
    struct fixture f;
    (void)state;
    built_in(&f, "silu/83x1024/fp16/round=act");
    assert_true(plan(&f, "chain"));
    assert_int_equal(f.plan.n_launches, 2);
    assert_string_equal(f.plan.launches[0].entry, "act_only<__half, 0>");
    assert_string_equal(f.plan.launches[1].entry, "mul_up<__half>");
    assert_int_equal(f.plan.n_scratch, 1);
    assert_int_equal(f.plan.scratch[0].bytes, 83 * 512 * 2);
    assert_int_equal(f.plan.scratch[0].start, KB_SCRATCH_POISON);
    assert_int_equal(f.plan.launches[0].args[1].kind, KB_ARG_SCRATCH);
    assert_int_equal(f.plan.launches[0].args[1].index, 0);
    kb_arena_free(&f.arena);
}

static void what_a_variant_does_not_take_is_said_in_words(void **state) {
    static const struct {
        const char *id, *variant, *want;
    } table[] = {
        {"silu/83x1024/bf16", "vec32", "vec32: its `when`, sm >= 100, is false on sm_90"},
        {"silu/83x1022/bf16", "vec16",
         "vec16: its `when`, hidden * dtype_bytes % 16 == 0, is false for hidden 511, "
         "dtype_bytes 2"},
        {"silu/83x1024/bf16", "chain",
         "chain: its `when`, round == act, is false for round once"},
        {"silu/83x1024/bf16/clamp=1", "vec8",
         "vec8: its `when`, !extras, is false for extras 1"},
    };
    (void)state;
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        struct fixture f;
        built_in(&f, table[i].id);
        assert_false(plan(&f, table[i].variant));
        assert_int_equal(f.err.kind, KB_UNSUPPORTED);
        assert_string_equal(f.err.msg, table[i].want);
        kb_arena_free(&f.arena);
    }
}

/* An H200 runs 1056 blocks of 256 threads at once. */
static void
a_copy_has_two_vectors_to_a_thread_where_its_blocks_are_then_at_once(void **state) {
    static const struct {
        const char *id, *variant;
        int64_t blocks;
    } rows[] = {
        {"stream/2162688/bf16/pattern=copy", "vec16", 1056},
        {"stream/3604480/bf16/pattern=copy", "vec16", 1760},
        {"stream/3604488/bf16/pattern=copy", "vec16x2", 881},
        {"stream/4325376/bf16/pattern=copy", "vec16x2", 1056},
        {"stream/4325384/bf16/pattern=copy", "vec16", 2113},
        {"stream/8650752/bf16", "vec16", 2112},
        {"stream/4194304/bf16/pattern=read", "vec16x4", 512},
        {"stream/4194304/bf16/pattern=none", "vec16", 2048},
    };
    (void)state;
    for (size_t i = 0; i < KB_COUNT(rows); i++) {
        struct fixture f;
        built_in(&f, rows[i].id);
        assert_true(kb_plan_default(&f.kernel, &f.problem, "cuda", &h200, &f.arena, &f.plan,
                                    &f.err));
        assert_string_equal(f.plan.variant->name, rows[i].variant);
        assert_int_equal(f.plan.launches[0].grid[0], rows[i].blocks);
        kb_arena_free(&f.arena);
    }
}

static void the_stream_kernels_take_every_size(void **state) {
    struct fixture f;
    (void)state;
    built_in(&f, "stream/4096/bf16/pattern=r2w05");
    assert_true(plan(&f, "vec16"));
    assert_string_equal(f.plan.launches[0].entry, "stream<__nv_bfloat16, 2, 16, 1>");
    assert_int_equal(scalar(&f.plan.launches[0].args[2]), 128);
    kb_arena_free(&f.arena);
    built_in(&f, "stream/6/fp32");
    assert_true(
        kb_plan_default(&f.kernel, &f.problem, "host", &h200, &f.arena, &f.plan, &f.err));
    assert_string_equal(f.plan.variant->name, "scalar");
    kb_arena_free(&f.arena);
}

/* ---- all entries -----------------------------------------------------------------------
 */

static void the_host_compiles_a_file_once_for_all_cases(void **state) {
    static const char *const ids[] = {"silu/83x1024/bf16", "gelu/5x34/fp32/round=act",
                                      "silu/7x16/fp16/filter=ids/inplace=yes",
                                      "silu/7x16/bf16/clamp=7"};
    struct kb_buf first = {0};
    (void)state;
    for (size_t i = 0; i < KB_COUNT(ids); i++) {
        struct fixture f;
        struct kb_buf all = {0};
        built_in(&f, ids[i]);
        assert_true(kb_plan_default(&f.kernel, &f.problem, "host", &h200, &f.arena, &f.plan,
                                    &f.err));
        assert_true(kb_strings_has(&f.plan.all_entries, f.plan.launches[0].entry));
        for (size_t k = 0; k < f.plan.all_entries.count; k++)
            kb_buf_printf(&all, "%s\n", f.plan.all_entries.items[k]);
        if (!i)
            kb_buf_puts(&first, kb_buf_text(&all));
        assert_string_equal(kb_buf_text(&all), kb_buf_text(&first));
        kb_buf_free(&all);
        kb_arena_free(&f.arena);
    }
    assert_non_null(strstr(kb_buf_text(&first),
                           "act_and_mul<float, 2, 0, false, 4, sizeof(float), 256>\n"));
    assert_non_null(
        strstr(kb_buf_text(&first), "act_and_mul<__half, 1, 1, 1, 16, 1, 256>\n"));
    assert_null(
        strstr(kb_buf_text(&first), "act_and_mul<float, 2, 1, ")); /* rounds nothing */
    assert_null(strstr(kb_buf_text(&first), ", 32, 1, 256>"));     /* sm_100's */
    kb_buf_free(&first);
}

/* A kernel keeps its entries; those for one device are none for another. */
static void entries_are_those_that_the_device_can_have(void **state) {
    static const char text[] =
        "/* kbench { \"ops\": [\"silu\"], \"grid\": 1, \"block\": 1,\n"
        "\"args\": [\"input\", \"out\"], \"variants\": {\n"
        "\"sm\": { \"when\": \"sm >= 100\", \"entry\": \"k<KB_T, 1>\" },\n"
        "\"count\": { \"when\": \"sm_count < 100\", \"entry\": \"k<KB_T, 2>\" },\n"
        "\"smem\": { \"when\": \"smem_per_block < 200000\", \"entry\": \"k<KB_T, 3>\" },\n"
        "\"any\": { \"entry\": \"k<KB_T, 0>\" } } } */\n"
        "template <class T, int n> __global__ void k(T *a, T *b);";
    struct kb_device_limits devices[] = {h200, h200, h200, h200};
    static const char *const others[] = {NULL, "k<float, 1>", "k<float, 2>", "k<float, 3>"};
    struct kb_complaints c = {0};
    struct fixture f = {0};
    (void)state;
    devices[1].sm = 100;
    devices[2].sm_count = 99;
    devices[3].smem_per_block = 100000;
    set_case(&f, "silu/7x16/fp32");
    assert_true(
        kb_kernel_parse("mine.cu", text, strlen(text), "given", &f.arena, &f.kernel, &c));
    int any = kb_kernel_variant(&f.kernel, "any");
    for (size_t turn = 0; turn < 2 * KB_COUNT(devices); turn++) {
        size_t i = turn % 2 ? turn / 2 : 0; /* from the first one to each, and back */
        f.plan = (struct kb_plan){0};
        if (!kb_plan_make(&f.kernel, any, &f.problem, "host", &devices[i], &f.arena,
                          &f.plan, &f.err))
            fail_msg("%s", f.err.msg);
        assert_true(kb_strings_has(&f.plan.all_entries, "k<float, 0>"));
        for (size_t k = 1; k < KB_COUNT(others); k++)
            assert_int_equal(kb_strings_has(&f.plan.all_entries, others[k]), k == i);
    }
    kb_arena_free(&f.arena);
}

static void a_gpu_compiles_what_it_launches(void **state) {
    struct fixture f;
    (void)state;
    built_in(&f, "silu/83x1024/bf16");
    assert_true(plan(&f, "vec16"));
    assert_int_equal(f.plan.all_entries.count, 1);
    kb_arena_free(&f.arena);
}

static void a_source_that_uses_a_macro_is_compiled_for_each_case(void **state) {
    struct kb_complaints c = {0};
    struct fixture f = {0};
    static const char text[] =
        "/* kbench { \"ops\": [\"silu\"], \"defines\": {\"KB_N\": \"sizeof(KB_T)\"},\n"
        "\"variants\": { \"v\": { \"grid\": 1, \"block\": 1, \"entry\": \"k<KB_T, "
        "KB_N>\",\n"
        "\"args\": [\"input\", \"out\"] } } } */\n"
        "template <class T, int n> __global__ void k(T *a, T *b) { KB_T x; }";
    (void)state;
    set_case(&f, "silu/7x16/bf16");
    assert_true(
        kb_kernel_parse("mine.cu", text, strlen(text), "given", &f.arena, &f.kernel, &c));
    assert_true(
        kb_plan_make(&f.kernel, 0, &f.problem, "host", &h200, &f.arena, &f.plan, &f.err));
    assert_int_equal(f.plan.all_entries.count, 1);
    assert_string_equal(f.plan.launches[0].entry,
                        "k<__nv_bfloat16, sizeof(__nv_bfloat16)>");
    assert_int_equal(f.plan.defines.count, 1); /* KB_N stands in the entry alone */
    assert_string_equal(f.plan.defines.items[0], "KB_T=__nv_bfloat16");
    kb_arena_free(&f.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_spread_over_blocks_without_a_rest),
        cmocka_unit_test(a_problem_takes_the_variant_for_its_size_and_width),
        cmocka_unit_test(a_plan_has_what_a_launch_needs),
        cmocka_unit_test(no_rows_launch_nothing),
        cmocka_unit_test(a_chain_has_launches_and_memory_between_them),
        cmocka_unit_test(what_a_variant_does_not_take_is_said_in_words),
        cmocka_unit_test(
            a_copy_has_two_vectors_to_a_thread_where_its_blocks_are_then_at_once),
        cmocka_unit_test(the_stream_kernels_take_every_size),
        cmocka_unit_test(the_host_compiles_a_file_once_for_all_cases),
        cmocka_unit_test(entries_are_those_that_the_device_can_have),
        cmocka_unit_test(a_gpu_compiles_what_it_launches),
        cmocka_unit_test(a_source_that_uses_a_macro_is_compiled_for_each_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
