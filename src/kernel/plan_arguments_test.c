/* plan_arguments_test.c - what launches are given: scalars, entries' numbers, descriptors.
 */
#include "kernel/plan_fixture.h"

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
