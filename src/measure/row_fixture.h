/* row_fixture.h - a row that no field of is at its default, for the tests of rows. */
#ifndef KB_ROW_FIXTURE_H
#define KB_ROW_FIXTURE_H

#include "measure.h"

#include <math.h>
#include <string.h>

static const struct kb_local local = {
    .pattern = KB_P_COLUMNS,
    .where = "columns 496..499 of every row",
    .why = "500 = 62 * 8 + 4, the tail after the last full 8",
    .inputs = "93 % of them where gate < 0",
    .holds = "each holds what belongs to the row before",
    .named = 332,
    .inside = 331,
    .right = 42483,
    .right_share = 0.25,
    .right_ulp = 0.5,
    .map = {17, 10, 2, {0, 17}, {".....+", "..#..."}},
};

static const struct kb_smallest smallest = {
    .case_id = "silu/1x18/bf16/round=act",
    .where = "column 8 of 9",
    .passes = "silu/1x16/bf16/round=act",
    .whole = "silu/1x2/bf16/round=act",
    .repeat = "kbench --case silu/1x18/bf16/round=act --seed 1",
    .tried = 17,
    .done = true,
};

static const struct kb_against against = {
    .build = "precise",
    .variant = "vec8",
    .same_code = 0,
    .elements = 42496,
    .differing = 11,
    .why = "the worker ended",
    .speeds = {{true, 0.975, 0.97, 0.98, 1.25e-7, 24, KB_FASTER},
               {true, 1.5, NAN, NAN, NAN, 5, KB_UNCLEAR}},
    .detectable = {0.0125, 0},
};

static struct kb_output_report bound_output(void) {
    return (struct kb_output_report){
        .name = "out",
        .dtype = KB_BF16,
        .rank = 2,
        .shape = {83, 512},
        .elements = 42496,
        .checked = 42490,
        .err_over_bound = 3.25,
        .limit = 1,
        .over = 7,
        .over_bound = 8,
        .kind_mismatches = 2,
        .unwritten = 3,
        .differing = 11,
        .kept = 512,
        .touched = 1,
        .follows = "round=act",
        .follows_over = 2,
        .ulp_max = 948.5,
        .ulp_p99 = 0.4951,
        .ulp_p50 = 0.2505,
        .bias_ulp = -0.0007,
        .abs_max = 0.0164,
        .rel_max = 0.0039,
        .nmse = 2.75e-6,
        .want_rms = 0.75,
        .tolerance = {KB_TOL_PEER, 1e-2, 2e-2},
        .tolerance_used = 0.301,
        .tolerance_over = 1,
        .worst = {.index = 27 * 512 + 137, .got = 0.00104523, .want = 1.40770001e-4},
        .first = {{.index = 5, .got = NAN, .want = 1, .poison = true},
                  {.index = 6, .got = INFINITY, .want = -INFINITY},
                  {.index = 7, .got = -0.0, .want = NAN}},
        .n_first = 3,
        .first_bad = 5,
        .last_bad = 42495,
        .local = &local,
    };
}

static struct kb_output_report exact_output(void) {
    return (struct kb_output_report){
        .name = "codes",
        .dtype = KB_I32,
        .rank = 1,
        .shape = {64},
        .elements = 64,
        .checked = 64,
        .over = 1,
        .differing = 1,
        .limit = 1,
        .worst = {.index = 63, .got = 4294967295.0, .want = 4294967294.0},
        .first_bad = -1,
        .last_bad = -1,
        .exact = true,
    };
}

static struct kb_time full_time(double median_ns) {
    return (struct kb_time){
        .there = true,
        .median_ns = median_ns,
        .low_ns = median_ns - 3.7,
        .high_ns = median_ns + 3.8,
        .min_ns = median_ns - 17,
        .p99_ns = median_ns + 91,
        .n = 2960,
        .stopped = "precision",
        .quality = KB_Q_THROTTLED,
        .why = "power,thermal: 12 of 40 samples",
        .n_taken = 40,
        .throttled = 12,
        .duty = 0.35,
        .cache = "rotated",
        .sets = 741,
        .footprint_bytes = 188943104,
        .gb_per_s = 209.25,
        .ceiling_op = "mma",
        .ceiling_ns = median_ns / 2,
        .ceiling = 0.5,
        .floor_ns = 490.5,
        .timer_ns = 1850.25,
        .energy_uj = 612.5,
        .sm_mhz_min = 1965,
        .sm_mhz_max = 1980,
        .throttle = "power,thermal",
        .samples_ns = {median_ns, median_ns + 1.5, median_ns - 1.25},
        .runs_ns = {median_ns, median_ns + 2.5},
        .n_runs = 2,
        .n_samples = 3,
    };
}

static const struct kb_code_info code = {
    .source_hash = "5c1e0000000000000000000000000001",
    .code_hash = "e07a0000000000000000000000000002",
    .key = "aaaa0000000000000000000000000003",
    .registers = 22,
    .spill_bytes = 8,
    .shared_bytes = 1024,
    .code_bytes = 5312,
    .compile_ms = 47.12,
    .load_ms = 0.5,
    .cached = true,
    .arch = "sm_90a",
};

/* A row that no field of is at its default. */
static struct kb_row full_row(struct kb_arena *arena) {
    struct kb_row row = {
        .case_id = "silu/83x1024/bf16/round=act",
        .device = "0",
        .backend = "cuda",
        .build = "fast-math",
        .variant = "vec16",
        .kernel = "kernels/activation.cu",
        .op = "silu",
        .fill = "normal",
        .tags = "ci,full",
        .origin = "cases/activation.json:12",
        .dtype = KB_BF16,
        .rank = 2,
        .shape = {83, 1024},
        .seed = UINT64_MAX,
        .load = "case.safetensors",
        .sample_rows = 82,
        .reason = KB_R_MISMATCH,
        .text = "out: 7 of 42496 elements are past the bound",
        .warning = "a thread left before a barrier",
        .n_outputs = 2,
        .outputs = {bound_output(), exact_output()},
        .checked = true,
        .unwritten = 3,
        .out_of_bounds = 4,
        .inputs_changed = 5,
        .proved = true,
        .impostors = {.tried = 7, .left_out = 2},
        .orders = 3,
        .repeats = 22,
        .shifts = {2, 16},
        .n_shifts = 2,
        .batch = {41, 1},
        .n_batch = 2,
        .late_producer = true,
        .other_inputs = true,
        .bytes = (INT64_C(1) << 53) + 1,
        .flops = INT64_MAX,
        .limited_by = "latency",
        .built = true,
        .code = code,
        .grid = {21, 2, 3},
        .block = {256, 4, 5},
        .n_launches = 2,
        .ms_total = 830.5,
        .ms_build = 47.5,
        .ms_check = 12.25,
        .ms_time = 700.5,
        .occupancy = {6, 0.75, 1.625},
        .against = &against,
        .smallest = &smallest,
        .repeat = "kbench --case silu/83x1024/bf16/round=act --seed 1",
    };
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        row.times[m] = full_time(1220.125 + m);
    kb_strings_add(&row.set, arena, "round=act");
    kb_strings_add(&row.set, arena, "eps=1e-06");
    kb_strings_add(&row.axes, arena, "tokens=83");
    kb_strings_add(&row.axes, arena, "hidden=512");
    kb_strings_add(&row.flags, arena, "-std=c++17");
    kb_strings_add(&row.flags, arena, "--use_fast_math");
    kb_strings_add(&row.impostors.let_through, arena, "all zeros");
    kb_strings_add(&row.impostors.let_through, arena, "a copy of \"input\"");
    return row;
}

static char *line_of(const struct kb_row *row) {
    struct kb_buf out = {0};

    kb_row_print(row, &out);
    return out.data;
}

static bool parse(const char *line, struct kb_arena *arena, struct kb_row *row,
                  struct kb_err *err) {
    return kb_row_parse("row", line, strlen(line), arena, row, err);
}

#endif
