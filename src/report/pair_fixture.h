/* pair_fixture.h - a case in several builds on one or two GPUs, for the tests of screens.
 */
#ifndef KB_REPORT_PAIR_FIXTURE_H
#define KB_REPORT_PAIR_FIXTURE_H

#include "report/sample.h"
#include "versus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MOST_ROWS = 8 };

struct pairs {
    struct kb_facts facts;
    struct kb_versus_plan plan;
    struct kb_versus versus;
    struct kb_arena arena;
    struct kb_buf text;
    struct kb_row rows[MOST_ROWS];
};

static const struct kb_build pair_builds[] = {{.name = "precise"}, {.name = "fast-math"}};

static inline void pairs_open(struct pairs *p, enum kb_layout layout, int members) {
    static const char *const names[] = {"NVIDIA H200", "NVIDIA L40S"};
    *p = (struct pairs){0};
    p->facts.n_devices = 1;
    p->facts.n_builds = members;
    for (int i = 0; i < 2; i++) {
        p->facts.builds[i] = pair_builds[i];
        p->facts.devices[i] =
            (struct kb_device_info){.backend = "cuda", .driver = "580.159.04"};
        p->facts.devices[i].limits.sm = i ? 89 : 90;
        p->facts.devices[i].id[0] = (char)('0' + i);
        kb_text_copy(p->facts.devices[i].name, sizeof p->facts.devices[i].name, names[i]);
    }
    p->plan = (struct kb_versus_plan){
        .facts = &p->facts,
        .layout = layout,
        .id_width = 26,
        .dtype = "bf16",
        .many_builds = members > 1,
        .n_members = members,
        .methods = {KB_GRAPH},
        .n_methods = 1,
        .shared = "kernel act.cu",
    };
}

static inline bool pairs_make(struct pairs *p, int width) {
    const struct kb_look look = {.width = width};
    kb_versus_free(&p->versus);
    kb_buf_clear(&p->text);
    return kb_versus_make(&p->versus, &p->plan, &look);
}

static inline void pairs_close(struct pairs *p) {
    kb_versus_free(&p->versus);
    kb_buf_free(&p->text);
    kb_arena_free(&p->arena);
}

/* Row i: right, with this build's code and, if it is timed, this time. */
static inline struct kb_row *pairs_row(struct pairs *p, int i, const char *id,
                                       const char *build, double ns) {
    struct kb_row *row = &p->rows[i];
    *row = sample_row();
    row->case_id = id;
    row->op = kb_arena_strndup(&p->arena, id, strcspn(id, "/"));
    row->build = build;
    row->variant = "vec";
    row->built = true;
    row->code = (struct kb_code_info){
        .registers = 32, .shared_bytes = 0, .code_bytes = 6100, .code_hash = "aa"};
    kb_strings_add(&row->flags, &p->arena, "-std=c++17");
    if (kb_streq(build, "fast-math")) {
        kb_strings_add(&row->flags, &p->arena, "--use_fast_math");
        row->code.registers = 24;
        row->code.code_bytes = 4400;
        row->outputs[0].limit = 8;
        row->outputs[0].err_over_bound = 0.03;
    }
    if (ns > 0)
        sample_time(row, KB_GRAPH, ns);
    return row;
}

/* What row `b` is beside row `a`; a ratio of 0: there is none. */
static inline struct kb_against *pairs_against(struct pairs *p, int a, int b, double ratio,
                                               double low, double high,
                                               enum kb_speed_verdict verdict) {
    struct kb_against *against = kb_arena_alloc(&p->arena, sizeof *against);
    *against = (struct kb_against){
        .build = p->rows[a].build,
        .variant = p->rows[a].variant,
        .same_code = verdict == KB_IDENTICAL,
        .elements = 42496,
    };
    if (ratio > 0)
        against->speeds[KB_GRAPH] =
            (struct kb_speed){true, ratio, low, high, 1e-7, 24, verdict};
    p->rows[b].against = against;
    return against;
}

/* Row `i` is wrong in 4.4 % of its elements, and was not timed. */
static inline void pairs_fail(struct pairs *p, int i) {
    p->rows[i].reason = KB_R_MISMATCH;
    p->rows[i].text = "out: 1841 of 42496 elements are past the bound";
    p->rows[i].outputs[0].over = 1841;
    p->rows[i].outputs[0].err_over_bound = 84.7;
    p->rows[i].outputs[0].ulp_max = 948;
    memset(p->rows[i].times, 0, sizeof p->rows[i].times);
}

#endif
