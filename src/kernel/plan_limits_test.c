/* plan_limits_test.c - where there is no plan: a device's limits, and the reasons. */
#include "kernel/plan_fixture.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_past_the_device_are_errors_with_the_numbers),
        cmocka_unit_test(a_let_that_fails_does_not_keep_when_from_its_say),
        cmocka_unit_test(architectures_backends_and_dtypes_rule_out),
        cmocka_unit_test(an_older_architecture_takes_what_names_it),
        cmocka_unit_test(where_no_variant_fits_each_one_s_reason_is_given),
        cmocka_unit_test(a_contract_that_is_wrong_for_a_case_is_not_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
