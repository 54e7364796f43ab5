/* plan_fixture.h - plans of a kernel file, the tool's own or one of a few fields, in tests.
 */
#ifndef KB_PLAN_FIXTURE_H
#define KB_PLAN_FIXTURE_H

#include "kernel/h200_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct kb_arena arena;
    struct kb_case c;
    struct kb_problem problem;
    struct kb_kernel kernel;
    struct kb_plan plan;
    struct kb_err err;
};

static inline void set_case(struct fixture *f, const char *id) {
    struct kb_complaints c = {0};
    if (!kb_case_parse(id, &f->arena, &f->c, &c))
        fail_msg("%s", kb_buf_text(&c.text));
    if (!kb_case_resolve(&f->c, &f->problem, &f->err))
        fail_msg("%s", f->err.msg);
}

static inline void built_in(struct fixture *f, const char *id) {
    struct kb_complaints c = {0};
    *f = (struct fixture){0};
    set_case(f, id);
    if (!kb_kernel_builtin(f->c.op, &f->arena, &f->kernel, &c))
        fail_msg("%s", kb_buf_text(&c.text));
}

/* A file with one variant "v" of silu: these fields, and what else a variant needs. */
static inline void own(struct fixture *f, const char *id, const char *fields) {
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

static inline bool plan(struct fixture *f, const char *variant) {
    int v = kb_kernel_variant(&f->kernel, variant);
    assert_true(v >= 0);
    return kb_plan_make(&f->kernel, v, &f->problem, "cuda", &h200, &f->arena, &f->plan,
                        &f->err);
}

#define SIMPLE "\"entry\": \"k\", \"args\": [\"input\", \"out\"], "

/* `own` fails with this message. */
static inline void says(const char *id, const char *fields, enum kb_err_kind kind,
                        const char *want) {
    struct fixture f;
    own(&f, id, fields);
    assert_false(plan(&f, "v"));
    assert_string_equal(f.err.msg, want);
    assert_int_equal(f.err.kind, kind);
    kb_arena_free(&f.arena);
}

static inline int64_t scalar(const struct kb_arg *arg) {
    int32_t narrow;
    int64_t wide;
    assert_int_equal(arg->kind, KB_ARG_SCALAR);
    memcpy(&narrow, arg->value, sizeof narrow);
    memcpy(&wide, arg->value, sizeof wide);
    return arg->bytes == 4 ? narrow : wide;
}

static inline void dims_are(const int64_t got[3], int64_t x, int64_t y, int64_t z) {
    if (got[0] != x || got[1] != y || got[2] != z)
        fail_msg("%lld %lld %lld, wanted %lld %lld %lld", (long long)got[0],
                 (long long)got[1], (long long)got[2], (long long)x, (long long)y,
                 (long long)z);
}

#endif
