/* sample_view.h - facts, a plan and a place for text, for the tests of what people see. */
#ifndef KB_REPORT_SAMPLE_VIEW_H
#define KB_REPORT_SAMPLE_VIEW_H

#include "report/sample.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct view {
    struct kb_arena arena;
    struct kb_facts facts;
    struct kb_table_plan plan;
    struct kb_table table;
    struct kb_single single;
    struct kb_buf text;
};

static inline int make_view(void **state) {
    struct kb_arena arena = {0};
    struct view *v = kb_arena_alloc(&arena, sizeof *v);
    v->arena = arena;
    sample_facts(&v->facts, &v->arena);
    v->plan = (struct kb_table_plan){
        .facts = &v->facts,
        .layout = KB_LAYOUT_BENCH,
        .id_width = 32,
        .variant_width = 6,
        .methods = {KB_GRAPH},
        .n_methods = 1,
        .shared = "",
        .n_cases = 11,
    };
    v->single = (struct kb_single){.device = &v->facts.devices[0], .mode = KB_BENCH};
    *state = v;
    return 0;
}

static inline int free_view(void **state) {
    struct view *v = *state;
    struct kb_arena arena = v->arena;
    kb_buf_free(&v->text);
    kb_arena_free(&arena);
    return 0;
}

static inline void make_table(struct view *v, int width) {
    const struct kb_look look = {.width = width};
    kb_table_make(&v->table, &v->plan, &look);
    kb_buf_clear(&v->text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_view, free_view)

#endif
