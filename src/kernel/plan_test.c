/* plan_test.c - contract, case and device come to launches: values, limits, reasons. */
#include "kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct kb_device_limits h200 = {
    .sm = 90,
    .sm_count = 132,
    .smem_per_block = 232448,
    .max_threads = 1024,
    .max_grid = {2147483647, 65535, 65535},
    .max_block = {1024, 1024, 64},
};

struct fixture {
    struct kb_arena arena;
    struct kb_case c;
    struct kb_problem problem;
    struct kb_kernel kernel;
    struct kb_plan plan;
    struct kb_err err;
};

static void set_case(struct fixture *f, const char *id) {
    struct kb_complaints c = {0};
    if (!kb_case_parse(id, &f->arena, &f->c, &c))
        fail_msg("%s", kb_buf_text(&c.text));
    if (!kb_case_resolve(&f->c, &f->problem, &f->err))
        fail_msg("%s", f->err.msg);
}

static void built_in(struct fixture *f, const char *id) {
    struct kb_complaints c = {0};
    *f = (struct fixture){0};
    set_case(f, id);
    if (!kb_kernel_builtin(f->c.op, &f->arena, &f->kernel, &c))
        fail_msg("%s", kb_buf_text(&c.text));
}

/* A file with one variant "v" of silu: these fields, and what else a variant needs. */
static void own(struct fixture *f, const char *id, const char *fields) {
    struct kb_complaints c = {0};
    char *text;
    *f = (struct fixture){0};
    set_case(f, id);
    text = kb_arena_printf(&f->arena,
                           "/* kbench { \"ops\": [\"silu\"], \"variants\": { \"v\": { %s } "
                           "} } */ __global__ void k();",
                           fields);
    if (!kb_kernel_parse("mine.cu", text, strlen(text), "given", &f->arena, &f->kernel, &c))
        fail_msg("%s", kb_buf_text(&c.text));
}

static bool plan(struct fixture *f, const char *variant) {
    int v = kb_kernel_variant(&f->kernel, variant);
    assert_true(v >= 0);
    return kb_plan_make(&f->kernel, v, &f->problem, "cuda", &h200, &f->arena, &f->plan,
                        &f->err);
}

#define SIMPLE "\"entry\": \"k\", \"args\": [\"input\", \"out\"], "

/* `own` fails with this message. */
static void says(const char *id, const char *fields, enum kb_err_kind kind,
                 const char *want) {
    struct fixture f;
    own(&f, id, fields);
    assert_false(plan(&f, "v"));
    assert_string_equal(f.err.msg, want);
    assert_int_equal(f.err.kind, kind);
    kb_arena_free(&f.arena);
}

static int64_t scalar(const struct kb_arg *arg) {
    int32_t narrow;
    int64_t wide;
    assert_int_equal(arg->kind, KB_ARG_SCALAR);
    memcpy(&narrow, arg->value, sizeof narrow);
    memcpy(&wide, arg->value, sizeof wide);
    return arg->bytes == 4 ? narrow : wide;
}

static void dims_are(const int64_t got[3], int64_t x, int64_t y, int64_t z) {
    if (got[0] != x || got[1] != y || got[2] != z)
        fail_msg("%lld %lld %lld, wanted %lld %lld %lld", (long long)got[0],
                 (long long)got[1], (long long)got[2], (long long)x, (long long)y,
                 (long long)z);
}

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

/* ---- a device's limits -----------------------------------------------------------------
 */

static void sizes_past_the_device_are_errors_with_the_numbers(void **state) {
    static const struct {
        const char *fields, *want;
    } table[] = {
        {"\"grid\": [1, 70000], \"block\": 1", "grid y is 70000, the device allows 65535"},
        {"\"grid\": \"2147483647 + 1\", \"block\": 1",
         "grid x is 2147483648, the device allows 2147483647"},
        {"\"grid\": \"-1\", \"block\": 1", "grid x is -1, it must be at least 0"},
        {"\"grid\": 1, \"block\": 0", "block x is 0, it must be at least 1"},
        {"\"grid\": 1, \"block\": [1, 1, 65]", "block z is 65, the device allows 64"},
        {"\"grid\": 1, \"block\": [32, 64]",
         "block 32x64x1 has 2048 threads, the device allows 1024"},
        {"\"grid\": 1, \"block\": 1, \"smem\": 232449",
         "smem is 232449 bytes, the device allows 232448"},
        {"\"grid\": 7, \"block\": 1, \"cluster\": 2",
         "grid x is 7, no multiple of cluster 2"},
        {"\"grid\": 68, \"block\": 1, \"cluster\": [1, 17]",
         "cluster y is 17, the device allows 16"},
        {"\"grid\": [8, 8], \"block\": 1, \"cluster\": [8, 4]",
         "cluster has 32 blocks, the most is 16"},
        {"\"grid\": \"tokens / (hidden - 8)\", \"block\": 1",
         "grid: `tokens / (hidden - 8)`, column 8: division by zero"},
        {"\"let\": {\"a\": \"1 / (hidden - 8)\"}, \"grid\": \"a\", \"block\": 1",
         "grid: `a`, column 1: a: `1 / (hidden - 8)`, column 3: division by zero"},
        {"\"scratch\": {\"s\": {\"bytes\": \"hidden - 9\"}}, \"grid\": 1, \"block\": 1",
         "scratch s is -1 bytes"},
    };
    (void)state;
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        char fields[400], want[400];
        snprintf(fields, sizeof fields, SIMPLE "%s", table[i].fields);
        snprintf(want, sizeof want, "mine.cu: v: %s", table[i].want);
        says("silu/7x16/bf16", fields, KB_INPUT, want);
    }
}

static void a_let_that_fails_does_not_keep_when_from_its_say(void **state) {
    (void)state;
    says("silu/7x16/bf16",
         SIMPLE
         "\"let\": {\"a\": \"1 / (hidden - 8)\"}, \"when\": \"hidden > 8\", \"grid\": "
         "\"a\", \"block\": 1",
         KB_UNSUPPORTED, "v: its `when`, hidden > 8, is false for hidden 8");
}

static void architectures_backends_and_dtypes_rule_out(void **state) {
    (void)state;
    says("silu/7x16/bf16", SIMPLE "\"grid\": 1, \"block\": 1, \"arch\": \"100a\"",
         KB_UNSUPPORTED, "v: its `arch`, 100a, is not for sm_90");
    says("silu/7x16/bf16", SIMPLE "\"grid\": 1, \"block\": 1, \"arch\": \"80a\"",
         KB_UNSUPPORTED, "v: its `arch`, 80a, is not for sm_90");
    says("silu/7x16/bf16", SIMPLE "\"grid\": 1, \"block\": 1, \"arch\": \"100f\"",
         KB_UNSUPPORTED, "v: its `arch`, 100f, is not for sm_90");
    says("silu/7x16/bf16", SIMPLE "\"grid\": 1, \"block\": 1, \"backends\": [\"host\"]",
         KB_UNSUPPORTED, "v: its `backends` are host, not cuda");
    says("silu/7x16/bf16",
         SIMPLE "\"grid\": 1, \"block\": 1, \"dtypes\": [\"fp16\", \"fp32\"]",
         KB_UNSUPPORTED, "v: its `dtypes` are fp16, fp32, not bf16");
    says("gelu/7x16/bf16", SIMPLE "\"grid\": 1, \"block\": 1", KB_UNSUPPORTED,
         "mine.cu: its `ops` are silu, not gelu");
}

static void an_older_architecture_takes_what_names_it(void **state) {
    static const char *const fine[] = {"90", "80", "90a", "90f"};
    (void)state;
    for (size_t i = 0; i < KB_COUNT(fine); i++) {
        struct fixture f;
        char fields[200];
        snprintf(fields, sizeof fields,
                 SIMPLE "\"grid\": 1, \"block\": 1, \"arch\": \"%s\"", fine[i]);
        own(&f, "silu/7x16/bf16", fields);
        assert_true(plan(&f, "v"));
        kb_arena_free(&f.arena);
    }
}

static void where_no_variant_fits_each_one_s_reason_is_given(void **state) {
    struct fixture f;
    (void)state;
    own(&f, "silu/7x16/bf16",
        SIMPLE "\"grid\": 1, \"block\": 1, \"when\": \"0\" }, \"w\": { " SIMPLE
               "\"grid\": 1, \"block\": 1, \"arch\": \"80a\"");
    assert_false(
        kb_plan_default(&f.kernel, &f.problem, "cuda", &h200, &f.arena, &f.plan, &f.err));
    assert_int_equal(f.err.kind, KB_UNSUPPORTED);
    assert_string_equal(f.err.msg,
                        "v: its `when`, 0, is false; w: its `arch`, 80a, is not for sm_90");
    kb_arena_free(&f.arena);
}

static void a_contract_that_is_wrong_for_a_case_is_not_passed_over(void **state) {
    struct fixture f;
    (void)state;
    own(&f, "silu/7x16/bf16",
        SIMPLE "\"grid\": \"1 / 0\", \"block\": 1 }, \"w\": { " SIMPLE
               "\"grid\": 1, \"block\": 1");
    assert_false(
        kb_plan_default(&f.kernel, &f.problem, "cuda", &h200, &f.arena, &f.plan, &f.err));
    assert_int_equal(f.err.kind, KB_INPUT);
    kb_arena_free(&f.arena);
}

/* ---- arguments -------------------------------------------------------------------------
 */

static void scalars_hold_what_fits_their_type(void **state) {
    static const struct {
        const char *arg, *want; /* NULL: it fits */
    } table[] = {
        {"i32 2147483647", NULL},
        {"i32 2147483648", "i32 2147483648: 2147483648 does not fit"},
        {"i32 -2147483648", NULL},
        {"i32 -2147483649", "i32 -2147483649: -2147483649 does not fit"},
        {"u32 4294967295", NULL},
        {"u32 4294967296", "u32 4294967296: 4294967296 does not fit"},
        {"u32 -1", "u32 -1: -1 does not fit"},
        {"u64 -1", "u64 -1: -1 does not fit"},
        {"i64 -9223372036854775807", NULL},
        {"f32 3.4e38", NULL},
        {"f32 3.5e38", "f32 3.5e38: 3.5e+38 does not fit"},
        {"f64 1e300", NULL},
        {"f32 hidden", NULL},
        {"i32 hidden * 536870912", "i32 hidden * 536870912: 4294967296 does not fit"},
    };
    (void)state;
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        struct fixture f;
        char fields[300], want[300];
        snprintf(fields, sizeof fields,
                 "\"entry\": \"k\", \"grid\": 1, \"block\": 1, \"args\": [\"out\", \"%s\"]",
                 table[i].arg);
        own(&f, "silu/7x16/bf16", fields);
        snprintf(want, sizeof want, "mine.cu: v: %s", table[i].want ? table[i].want : "");
        assert_int_equal(plan(&f, "v"), !table[i].want);
        if (table[i].want)
            assert_string_equal(f.err.msg, want);
        kb_arena_free(&f.arena);
    }
}

static void floats_are_passed_as_floats(void **state) {
    struct fixture f;
    float narrow;
    double wide;
    (void)state;
    own(&f, "silu/7x16/bf16",
        "\"entry\": \"k\", \"grid\": 1, \"block\": 1, \"args\": [\"out\", \"f32 hidden / "
        "3.0\", \"f64 hidden\"]");
    assert_true(plan(&f, "v"));
    memcpy(&narrow, f.plan.launches[0].args[1].value, sizeof narrow);
    memcpy(&wide, f.plan.launches[0].args[2].value, sizeof wide);
    assert_true(narrow == 8.0f / 3.0f);
    assert_true(wide == 8.0);
    assert_int_equal(f.plan.launches[0].args[1].bytes, 4);
    assert_int_equal(f.plan.launches[0].args[2].bytes, 8);
    kb_arena_free(&f.arena);
}

static void entries_take_numbers_in_braces(void **state) {
    struct fixture f;
    (void)state;
    own(&f, "silu/7x16/bf16",
        "\"entry\": \"k<KB_T, {hidden * 2}, {round == once}, -{hidden}>\", \"grid\": 1, "
        "\"block\": 1, \"args\": [\"out\"]");
    assert_true(plan(&f, "v"));
    assert_string_equal(f.plan.launches[0].entry, "k<__nv_bfloat16, 16, 1, -8>");
    kb_arena_free(&f.arena);
}

/* ---- TMA -------------------------------------------------------------------------------
 */

#define TMA(json)                                                                          \
    "\"entry\": \"k\", \"grid\": 1, \"block\": 1, \"args\": [\"out\", " json "]"

static void a_descriptor_has_all_that_the_driver_asks_for(void **state) {
    struct fixture f;
    (void)state;
    own(&f, "silu/7x128/bf16",
        TMA("{\"tma\": \"input\", \"dims\": [\"hidden\", 2, \"tokens\"], \"strides\": "
            "[\"hidden * dtype_bytes\", \"hidden * 2 * dtype_bytes\"], \"box\": [64, 1, "
            "4], "
            "\"swizzle\": 128, \"l2\": 256, \"oob\": \"nan\"}"));
    assert_true(plan(&f, "v"));
    const struct kb_arg *arg = &f.plan.launches[0].args[1];
    assert_int_equal(arg->kind, KB_ARG_TMA);
    assert_int_equal(arg->index, 0);
    assert_int_equal(arg->tma.rank, 3);
    dims_are(arg->tma.dims, 64, 2, 7);
    dims_are(arg->tma.strides_bytes, 2, 128, 256);
    dims_are(arg->tma.box, 64, 1, 4);
    assert_int_equal(arg->tma.swizzle_bytes, 128);
    assert_int_equal(arg->tma.l2_bytes, 256);
    assert_true(arg->tma.nan_fill);
    kb_arena_free(&f.arena);
}

static void packed_strides_need_not_be_written(void **state) {
    struct fixture f;
    (void)state;
    own(&f, "silu/7x128/bf16",
        TMA("{\"tma\": \"input\", \"dims\": [128, 7], \"box\": [8, 1]}"));
    assert_true(plan(&f, "v"));
    dims_are(f.plan.launches[0].args[1].tma.strides_bytes, 2, 256, 0);
    kb_arena_free(&f.arena);
}

static void descriptors_that_the_driver_would_refuse_say_why(void **state) {
    static const struct {
        const char *fields, *want;
    } table[] = {
        {TMA("{\"tma\": \"input\", \"dims\": [0], \"box\": [8]}"),
         "dims 0 is 0, allowed is 1 to 4294967296"},
        {TMA("{\"tma\": \"input\", \"dims\": [16], \"box\": [257]}"),
         "box 257 is 257, allowed is 1 to 256"},
        {TMA("{\"tma\": \"input\", \"dims\": [16], \"box\": [4]}"),
         "box[0] is 8 bytes, no multiple of 16"},
        {TMA("{\"tma\": \"input\", \"dims\": [16], \"box\": [32], \"swizzle\": 32}"),
         "box[0] is 64 bytes, swizzle 32 takes no more"},
        {TMA("{\"tma\": \"input\", \"dims\": [8, 7], \"strides\": [24], \"box\": [8, 1]}"),
         "stride 1 is 24 bytes, no multiple of 16"},
        {TMA("{\"tma\": \"input\", \"dims\": [16, 8], \"box\": [8, 1]}"),
         "dims and strides reach past the 224 bytes of input"},
        {TMA("{\"tma\": \"expert_ids\", \"dims\": [7], \"box\": [4]}"),
         "there is no expert_ids"},
    };
    (void)state;
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        char want[300];
        const char *tensor = strstr(table[i].fields, "expert_ids") ? "expert_ids" : "input";
        snprintf(want, sizeof want, "mine.cu: v: TMA of %s: %s", tensor, table[i].want);
        says("silu/7x16/bf16", table[i].fields, KB_INPUT, want);
    }
}

static void tma_and_clusters_need_sm_90(void **state) {
    static const char *const fields[] = {
        TMA("{\"tma\": \"input\", \"dims\": [16], \"box\": [8]}"),
        SIMPLE "\"grid\": 2, \"block\": 1, \"cluster\": 2"};
    static const char *const want[] = {"v: TMA needs sm_90, not sm_80",
                                       "v: its `cluster` needs sm_90, not sm_80"};
    struct kb_device_limits a100 = h200;
    (void)state;
    a100.sm = 80;
    for (size_t i = 0; i < KB_COUNT(fields); i++) {
        struct fixture f;
        own(&f, "silu/7x16/bf16", fields[i]);
        assert_false(kb_plan_make(&f.kernel, 0, &f.problem, "cuda", &a100, &f.arena,
                                  &f.plan, &f.err));
        assert_int_equal(f.err.kind, KB_UNSUPPORTED);
        assert_string_equal(f.err.msg, want[i]);
        kb_arena_free(&f.arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_spread_over_blocks_without_a_rest),
        cmocka_unit_test(a_problem_takes_the_variant_for_its_size_and_width),
        cmocka_unit_test(a_plan_has_what_a_launch_needs),
        cmocka_unit_test(no_rows_launch_nothing),
        cmocka_unit_test(a_chain_has_launches_and_memory_between_them),
        cmocka_unit_test(what_a_variant_does_not_take_is_said_in_words),
        cmocka_unit_test(the_stream_kernels_take_every_size),
        cmocka_unit_test(the_host_compiles_a_file_once_for_all_cases),
        cmocka_unit_test(a_gpu_compiles_what_it_launches),
        cmocka_unit_test(a_source_that_uses_a_macro_is_compiled_for_each_case),
        cmocka_unit_test(sizes_past_the_device_are_errors_with_the_numbers),
        cmocka_unit_test(a_let_that_fails_does_not_keep_when_from_its_say),
        cmocka_unit_test(architectures_backends_and_dtypes_rule_out),
        cmocka_unit_test(an_older_architecture_takes_what_names_it),
        cmocka_unit_test(where_no_variant_fits_each_one_s_reason_is_given),
        cmocka_unit_test(a_contract_that_is_wrong_for_a_case_is_not_passed_over),
        cmocka_unit_test(scalars_hold_what_fits_their_type),
        cmocka_unit_test(floats_are_passed_as_floats),
        cmocka_unit_test(entries_take_numbers_in_braces),
        cmocka_unit_test(a_descriptor_has_all_that_the_driver_asks_for),
        cmocka_unit_test(packed_strides_need_not_be_written),
        cmocka_unit_test(descriptors_that_the_driver_would_refuse_say_why),
        cmocka_unit_test(tma_and_clusters_need_sm_90),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
