/* selftest_test.c - what a selftest is told as: tables that hold their numbers, dashes and
 * nulls for what is not known. */
#include "screen.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct kb_device_info device = {
    .backend = "cuda",
    .id = "0",
    .name = "NVIDIA H200",
    .uuid = "GPU-1",
    .driver = "580.1",
    .nvrtc = "13.0",
    .limits = {.sm = 90, .sm_count = 132},
};

static struct kb_selftest sample(void) {
    struct kb_selftest t = {.device = &device, .status = 0};
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        t.floors[m].null_ns = m == KB_CUPTI ? (double)NAN : 490 + 100 * m;
        t.floors[m].timer_ns = NAN;
    }
    for (int g = 0; g < KB_ST_GRIDS; g++) {
        t.grids[g].blocks = 132 * (1 + 7 * g);
        for (int m = 0; m < KB_METHOD_COUNT; m++)
            t.grids[g].ns[m] = m == KB_CUPTI ? (double)NAN : 560 + 1000 * g + 10 * m;
    }
    for (int p = 0; p < KB_ST_PATTERNS; p++)
        for (int s = 0; s < KB_ST_SIZES; s++)
            t.gb_per_s[p][s] = s == 5 && p == 2 ? (double)NAN : 3000 + 100 * p + 10 * s;
    t.tflop_per_s[0] = 790.25;
    t.tflop_per_s[1] = 781;
    t.tflop_per_s[2] = NAN;
    for (int k = 0; k < KB_ST_KERNELS; k++) {
        t.kernels[k].case_id = k ? "stream/4096/bf16" : NULL;
        t.kernels[k].target_ns = 1000 * (1 + k);
        t.kernels[k].median_ns = 1020 * (1 + k);
        t.kernels[k].twins = (struct kb_twins){10 + k, k == 3, 2, 24, 0.0012, 0.0132};
    }
    t.kernels[0].twins = (struct kb_twins){0, 0, 0, NAN, NAN, NAN};
    t.kernels[0].median_ns = NAN;
    return t;
}

static void has(const char *text, const char *line) {
    if (!strstr(text, line))
        fail_msg("not there: %s\nin: %s", line, text);
}

/* ---- tests ----------------------------------------------------------------------------
 */

static void tables_hold_each_number_and_dashes(void **state) {
    struct kb_selftest t = sample();
    struct kb_buf out = {0};
    (void)state;
    kb_selftest_print(&t, &out);
    has(out.data,
        "NVIDIA H200 sm_90 | driver 580.1, NVRTC 13.0 | clocks not locked\n\nfloor us");
    has(out.data,
        "an empty kernel     0.490    0.590    0.690    0.790        -    0.990\n");
    has(out.data,
        "in 132 blocks       0.560    0.570    0.580    0.590        -    0.610\n"
        "in 1056 blocks       1.56     1.57     1.58     1.59        -     1.61\n");
    has(out.data,
        "\nstream GB/s         8 MiB   16 MiB   32 MiB   64 MiB  128 MiB  256 MiB  "
        "512 MiB\n");
    has(out.data,
        "\ncopy                 3000     3010     3020     3030     3040     3050     "
        "3060\n");
    has(out.data,
        "\nr2w05                3200     3210     3220     3230     3240        -     "
        "3260\n");
    has(out.data, "\n                      790      781        -\n");
    has(out.data, "about 1 us              -        0        0        0        -        -"
                  "        -\n");
    has(out.data, "about 4 us           4.08       13        1        2       24   0.12 %"
                  "   1.32 %\n");
    has(out.data, "false alarms: 1 of 36 pairs of the same build");
    for (const char *line = out.data; *line; line = strchr(line, '\n') + 1)
        assert_true(strcspn(line, "\n") <= 92);
    kb_buf_free(&out);
}

static void notes_stand_below_and_are_escaped(void **state) {
    struct kb_selftest t = sample();
    struct kb_arena arena = {0};
    struct kb_buf out = {0};
    (void)state;
    kb_strings_add(&t.notes, &arena, "mma/1x1/bf16: FAIL: \x1b[31m");
    kb_selftest_print(&t, &out);
    has(out.data, "\n\nmma/1x1/bf16: FAIL: ^[[31m\n");
    kb_buf_free(&out);
    kb_arena_free(&arena);
}

static void what_is_not_known_is_null(void **state) {
    struct kb_selftest t = sample();
    struct kb_buf out = {0};
    (void)state;
    cJSON *item = kb_selftest_item(&t);
    kb_json_print(item, &out);
    has(out.data, "\"graph\":{\"empty_kernel_ns\":490,\"nothing_ns\":null}");
    has(out.data, "\"empty_grids\":[{\"blocks\":132,\"graph_ns\":560,\"pdl_ns\":570,"
                  "\"cold_ns\":580,\"hot_ns\":590,\"cupti_ns\":null,\"launch_ns\":610},"
                  "{\"blocks\":1056,\"graph_ns\":1560,");
    has(out.data, "{\"pattern\":\"r2w1\",\"mib\":16,\"gb_per_s\":3110}");
    has(out.data, "{\"pattern\":\"r2w05\",\"mib\":256,\"gb_per_s\":null}");
    has(out.data, "\"mma_tflop_per_s\":{\"bf16\":790.25,\"fp16\":781,\"e4m3\":null}");
    has(out.data, "{\"case\":null,\"target_ns\":1000,\"median_ns\":null,\"pairs\":0");
    has(out.data, "\"pairs\":13,\"false_alarms\":1,\"p_at_most_5_percent\":2,\"blocks\":24,"
                  "\"noise\":0.0012,\"detectable\":0.0132}");
    has(out.data, "\"notes\":[]");
    cJSON_Delete(item);
    kb_buf_free(&out);
}

static void ceilings_are_a_line_with_their_date(void **state) {
    struct kb_ceilings c = {
        "2026-11-26", {4284.2, 4360, 4420, 4510, 4560}, {790.25, 781, NAN}};
    struct kb_buf out = {0};
    (void)state;
    kb_ceilings_words(&c, &out);
    assert_string_equal(out.data, "stream 4284 GB/s, read 4510, write 4560, mma bf16 790 "
                                  "TFLOP/s (selftest of 2026-11-26)");
    kb_buf_clear(&out);
    c.mma_tflop_per_s[0] = c.gb_per_s[3] = c.gb_per_s[4] = NAN;
    kb_ceilings_words(&c, &out);
    assert_string_equal(out.data, "stream 4284 GB/s (selftest of 2026-11-26)");
    kb_buf_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_hold_each_number_and_dashes),
        cmocka_unit_test(notes_stand_below_and_are_escaped),
        cmocka_unit_test(what_is_not_known_is_null),
        cmocka_unit_test(ceilings_are_a_line_with_their_date),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
