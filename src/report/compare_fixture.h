/* compare_fixture.h - reports that tests make up: times with a spread between runs, as text
 * that is then read like any other. */
#ifndef KB_COMPARE_FIXTURE_H
#define KB_COMPARE_FIXTURE_H

#include "gate.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Numbers that look random, the same ones in every run of a test. */
struct random {
    uint64_t state;
};

static inline double uniform(struct random *r) {
    r->state = r->state * 6364136223846793005u + 1442695040888963407u;
    uint64_t x = r->state ^ r->state >> 33;
    x *= 0xff51afd7ed558ccdu;
    x ^= x >> 33;
    return ((double)(x >> 11) + 0.5) * 0x1p-53;
}

static inline double normal(struct random *r) {
    return sqrt(-2 * log(uniform(r))) * cos(6.283185307179586 * uniform(r));
}

/* One row: what is not said is as in a right row that was timed by graph. */
struct made_row {
    const char *case_id, *variant, *build, *verdict, *reason_kind, *reason, *code, *quality;
    double error;          /* err/bound; 0: 0.1 */
    int checked;           /* elements; 0: not told */
    double ns, half;       /* median, relative half-width of its interval */
    const double *samples; /* NULL: ns alone, 12 times */
    const double *runs;
    int n_samples, n_runs;
    const char *median; /* written in place of ns: "null", "-5" */
    bool untimed;
    double duty;             /* 0: without pauses */
    int64_t sets, footprint; /* 0: not told */
};

static inline void add_numbers(const char *name, const double *values, int n,
                               struct kb_buf *out) {
    kb_buf_printf(out, ",\"%s\":[", name);
    for (int i = 0; i < n; i++)
        kb_buf_printf(out, "%s%.9g", i ? "," : "", values[i]);
    kb_buf_putc(out, ']');
}

static inline void add_time(const struct made_row *row, struct kb_buf *out) {
    double samples[12];
    for (int i = 0; i < 12; i++)
        samples[i] = row->ns;
    kb_buf_puts(out, ",\"times\":{\"graph\":{\"median_ns\":");
    if (row->median)
        kb_buf_puts(out, row->median);
    else
        kb_buf_printf(out, "%.17g", row->ns);
    kb_buf_printf(out, ",\"ci95_ns\":[%.9g,%.9g],\"n\":40,\"quality\":\"%s\"",
                  row->ns * (1 - row->half), row->ns * (1 + row->half),
                  row->quality ? row->quality : "ok");
    if (row->duty > 0)
        kb_buf_printf(out, ",\"duty\":%.9g", row->duty);
    if (row->sets)
        kb_buf_printf(out, ",\"sets\":%lld,\"footprint_bytes\":%lld", (long long)row->sets,
                      (long long)row->footprint);
    add_numbers("samples_ns", row->samples ? row->samples : samples,
                row->samples ? row->n_samples : 12, out);
    if (row->n_runs)
        add_numbers("runs_ns", row->runs, row->n_runs, out);
    kb_buf_puts(out, "}}");
}

static inline void add_made_row(const struct made_row *row, struct kb_buf *out) {
    const char *verdict = row->verdict ? row->verdict : "PASS";
    kb_buf_printf(out,
                  "{\"case\":\"%s\",\"device\":\"0\",\"backend\":\"cuda\",\"build\":"
                  "\"%s\",\"variant\":\"%s\",\"kernel\":\"k.cu\",\"seed\":1,"
                  "\"verdict\":\"%s\",\"reason\":",
                  row->case_id, row->build ? row->build : "precise",
                  row->variant ? row->variant : "vec16", verdict);
    if (row->reason)
        kb_buf_printf(out, "\"%s\",\"reason_kind\":\"%s\"", row->reason, row->reason_kind);
    else
        kb_buf_puts(out, "null");
    kb_buf_printf(out, ",\"outputs\":{\"out\":{\"err_over_bound\":%.9g",
                  row->error > 0 ? row->error : 0.1);
    if (row->checked)
        kb_buf_printf(out, ",\"checked\":%d", row->checked);
    kb_buf_puts(out, "}}");
    if (row->code)
        kb_buf_printf(out, ",\"code\":{\"code_hash\":\"%s\",\"arch\":\"sm_90a\"}",
                      row->code);
    if (!row->untimed)
        add_time(row, out);
    kb_buf_putc(out, '}');
}

static inline void made_head(const char *gpu, int runs, struct kb_buf *out) {
    kb_buf_printf(out,
                  "{\"schema\":\"kbench-report/1\",\"kbench\":\"0.1.0 abc1234\","
                  "\"complete\":true,\"command\":[\"kbench\"],\"started\":"
                  "\"2026-11-21T09:14:03Z\",\"seconds\":1,\"host\":{\"cores\":1},"
                  "\"devices\":[{\"id\":\"0\",\"backend\":\"cuda\",\"name\":\"%s\","
                  "\"l2_bytes\":1000}],"
                  "\"builds\":{\"precise\":[]}",
                  gpu);
    if (runs > 1)
        kb_buf_printf(out, ",\"runs\":%d", runs);
    kb_buf_puts(out, ",\"rows\":[");
}

/* A report of these rows, read back. */
static inline void make_report(const char *gpu, int runs, const struct made_row *rows,
                               int n, struct kb_loaded *out) {
    struct kb_buf text = {0};
    struct kb_err err = {0};
    made_head(gpu, runs, &text);
    for (int i = 0; i < n; i++) {
        kb_buf_puts(&text, i ? "," : "");
        add_made_row(&rows[i], &text);
    }
    kb_buf_puts(&text, "]}");
    if (!kb_loaded_of_text("made.json", &text, out, &err))
        fail_msg("%s", err.msg);
}

/* Gate reports of these rows; the gate lives as long as the fixture. */
struct gated {
    struct kb_loaded base, fresh;
    struct kb_arena arena;
    struct kb_gate gate;
};

static inline void gate_rows(struct gated *g, const struct made_row *base, int n_base,
                             int runs, const struct made_row *fresh, int n_fresh,
                             const struct kb_limits_of_gate *limits) {
    *g = (struct gated){0};
    make_report("NVIDIA H200", runs, base, n_base, &g->base);
    make_report("NVIDIA H200", 1, fresh, n_fresh, &g->fresh);
    kb_gate_make(&g->base, &g->fresh, limits, NULL, 0, NULL, NULL, &g->arena, &g->gate);
}

static inline void gated_free(struct gated *g) {
    kb_loaded_free(&g->base);
    kb_loaded_free(&g->fresh);
    kb_arena_free(&g->arena);
}

#endif
