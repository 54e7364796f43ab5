/* sample.h - rows and facts made by hand, for the tests of this layer. */
#ifndef KB_REPORT_SAMPLE_H
#define KB_REPORT_SAMPLE_H

#include "screen.h"

#include <math.h>
#include <string.h>

static inline struct kb_row sample_row(void) {
    struct kb_row row = {
        .case_id = "gelu_tanh/83x1024/bf16",
        .device = "0",
        .backend = "cuda",
        .build = "precise",
        .variant = "vec16",
        .kernel = "kernels/activation.cu",
        .op = "gelu_tanh",
        .fill = "normal",
        .tags = "ci,full",
        .origin = "command line",
        .dtype = KB_BF16,
        .rank = 2,
        .shape = {83, 1024},
        .seed = 1,
        .n_outputs = 1,
        .checked = true,
        .proved = true,
        .impostors = {.tried = 7},
        .orders = 3,
        .bytes = 254976,
        .flops = 424960,
        .repeat = "kbench --case gelu_tanh/83x1024/bf16 --build precise --variant vec16 "
                  "--seed 1",
    };
    row.outputs[0] = (struct kb_output_report){
        .name = "out",
        .dtype = KB_BF16,
        .rank = 2,
        .shape = {83, 512},
        .elements = 42496,
        .checked = 42496,
        .err_over_bound = 0.02,
        .limit = 1,
        .ulp_max = 0.5,
        .ulp_p99 = 0.495,
        .ulp_p50 = 0.25,
        .bias_ulp = 0.0007,
        .abs_max = 0.0164,
        .rel_max = 0.0039,
        .nmse = 2.7e-6,
        .want_rms = 0.75,
        .tolerance = {KB_TOL_BOUND, 1e-2, 1e-2},
        .tolerance_used = 0.3,
        .worst = {.index = 27183, .got = 0.0444336, .want = 0.0445557},
        .first_bad = -1,
        .last_bad = -1,
    };
    return row;
}

static inline void sample_time(struct kb_row *row, enum kb_method method, double ns) {
    row->limited_by = "latency";
    row->times[method] = (struct kb_time){
        .there = true,
        .median_ns = ns,
        .low_ns = ns * 0.997,
        .high_ns = ns * 1.003,
        .min_ns = ns * 0.98,
        .p99_ns = ns * 1.08,
        .n = 2960,
        .stopped = "precision",
        .quality = KB_Q_OK,
        .cache = "rotated",
        .sets = 741,
        .footprint_bytes = 188937216,
        .gb_per_s = method == KB_GRAPH ? 254976 / ns : NAN,
        .ceiling_op = method == KB_GRAPH ? "stream" : NULL,
        .ceiling_ns = method == KB_GRAPH ? ns * 0.97 : NAN,
        .ceiling = method == KB_GRAPH ? 0.97 : NAN,
        .floor_ns = method == KB_GRAPH ? 490 : 3650,
        .timer_ns = 1850,
        .energy_uj = NAN,
        .sm_mhz_min = 1965,
        .sm_mhz_max = 1980,
        .throttle = "",
        .samples_ns = {ns, ns + 1},
        .n_samples = 2,
    };
}

static inline void sample_code(struct kb_row *row) {
    row->built = true;
    row->n_launches = 1;
    row->grid[0] = 21;
    row->grid[1] = row->grid[2] = 1;
    row->block[0] = 256;
    row->block[1] = row->block[2] = 1;
    row->code = (struct kb_code_info){.source_hash = "5c1e",
                                      .code_hash = "e07a",
                                      .registers = 22,
                                      .code_bytes = 5312,
                                      .compile_ms = 47.1,
                                      .arch = "sm_90"};
}

/* The last three rows were never written; all else is right. */
static inline void sample_unwritten(struct kb_row *row) {
    struct kb_output_report *o = &row->outputs[0];
    row->reason = KB_R_UNWRITTEN;
    row->text = "out: 1536 of 42496 elements were never written";
    row->unwritten = o->unwritten = o->over = o->kind_mismatches = 1536;
    o->first_bad = 80 * 512;
    o->last_bad = 83 * 512 - 1;
    o->n_first = 2;
    o->first[0] = (struct kb_element){80 * 512, NAN, -0.0317993, true};
    o->first[1] = (struct kb_element){80 * 512 + 1, NAN, 0.214844, true};
    o->worst = o->first[0];
    o->err_over_bound = INFINITY;
}

static inline void sample_mismatch(struct kb_row *row) {
    struct kb_output_report *o = &row->outputs[0];
    row->reason = KB_R_MISMATCH;
    row->text = "out: 1841 of 42496 elements are past the bound";
    o->over = o->over_bound = 1841;
    o->err_over_bound = 84.7;
    o->ulp_max = 948;
    o->first_bad = 100;
    o->last_bad = 40000;
    o->worst = (struct kb_element){27 * 512 + 137, 0.00104523, 0.00014077, false};
}

static inline void sample_end(struct kb_row *row, enum kb_reason reason, const char *text) {
    row->reason = reason;
    row->text = text;
    row->checked = false;
    row->n_outputs = 0;
}

static inline void sample_facts(struct kb_facts *facts, struct kb_arena *arena) {
    *facts = (struct kb_facts){
        .kbench = "0.1.0 9ab2c1f",
        .started = "2026-11-21T09:14:03Z",
        .cpu = "a CPU",
        .os = "Debian GNU/Linux 12 (bookworm)",
        .cores = 16,
        .n_devices = 1,
        .n_builds = 1,
    };
    struct kb_device_info *device = &facts->devices[0];
    kb_text_copy(device->backend, sizeof device->backend, "cuda");
    kb_text_copy(device->id, sizeof device->id, "0");
    kb_text_copy(device->name, sizeof device->name, "NVIDIA H200");
    kb_text_copy(device->driver, sizeof device->driver, "580.159.04");
    kb_text_copy(device->nvrtc, sizeof device->nvrtc, "13.0");
    device->limits.sm = 90;
    device->limits.sm_count = 132;
    device->l2_bytes = 62914560;
    facts->builds[0].name = "precise";
    kb_strings_add(&facts->builds[0].flags, arena, "-std=c++17");
    kb_strings_add(&facts->command, arena, "kbench");
}

static inline void sample_host(struct kb_facts *facts) {
    struct kb_device_info *device = &facts->devices[0];
    *device = (struct kb_device_info){.cores = 8, .limits = {.sm = 90}};
    kb_text_copy(device->backend, sizeof device->backend, "host");
    kb_text_copy(device->id, sizeof device->id, "host");
    kb_text_copy(device->name, sizeof device->name, "host");
    kb_text_copy(device->compiler, sizeof device->compiler, "g++ 12.2");
}

/* The first output's wrong elements have a place. */
static inline void sample_local(struct kb_row *row, const char *where, const char *why) {
    static struct kb_local local;
    local = (struct kb_local){
        .pattern = KB_P_COLUMNS,
        .where = where,
        .why = why,
        .named = row->outputs[0].over,
        .inside = row->outputs[0].over,
        .right = row->outputs[0].checked - row->outputs[0].over,
        .right_share = 0.02,
        .right_ulp = 0.5,
        .map = {17, 256, 2, {0, 17}, {".+", "#."}},
    };
    row->outputs[0].local = &local;
}

#endif
