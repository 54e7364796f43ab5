/* localise_fixture.h - a case with the output of a perfect kernel, to be spoilt, and what
 * is then told of it. */
#ifndef KB_LOCALISE_FIXTURE_H
#define KB_LOCALISE_FIXTURE_H

#include "localise.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct run {
    struct kb_arena arena;
    struct kb_case c;
    struct kb_problem p;
    void *initial[KB_MAX_TENSORS], *got;
    int64_t n, columns;
    const struct kb_tensor_spec *spec;
    struct kb_compare_args args;
    struct kb_output_report report;
    const struct kb_local *local;
};

/* What is right at `flat`, as bits. */
static inline uint32_t right_bits(const struct run *r, int64_t flat) {
    double want, bound;
    r->c.op->reference(&r->p, r->args.in, NULL, r->args.tensor, flat, 1, &want, &bound);
    if (bound == KB_KEEP)
        return kb_bits_at(r->spec->dtype, r->initial[r->args.tensor], flat);
    return r->spec->rule == KB_RULE_EXACT ? (uint32_t)want
                                          : kb_encode(r->spec->dtype, want);
}

static inline void run_setup(struct run *r, const char *id) {
    struct kb_complaints complaints = {0};
    struct kb_err err = {0};
    *r = (struct run){0};
    if (!kb_case_parse(id, &r->arena, &r->c, &complaints))
        fail_msg("%s", kb_buf_text(&complaints.text));
    if (!kb_case_resolve(&r->c, &r->p, &err))
        fail_msg("%s", err.msg);
    for (int t = 0; t < r->p.n_tensors; t++) {
        const struct kb_tensor_spec *spec = &r->p.tensors[t];
        size_t bytes = (size_t)spec->elements * kb_dtype_bytes(spec->dtype);
        if (spec->absent)
            continue;
        r->initial[t] = calloc(1, bytes + 8);
        if (spec->role == KB_OUT)
            kb_poison(r->initial[t], bytes, 0);
        else
            r->c.op->fill(&r->p, t, 1, 0, spec->elements, r->initial[t]);
        if (spec->role != KB_IN)
            r->args.tensor = t;
    }
    r->spec = &r->p.tensors[r->args.tensor];
    r->n = r->spec->elements;
    r->columns = r->spec->shape[r->spec->rank - 1];
    r->got = calloc(1, (size_t)r->n * kb_dtype_bytes(r->spec->dtype) + 8);
    r->args.problem = &r->p;
    r->args.in = (const void *const *)r->initial;
    r->args.got = r->got;
    r->args.bound_factor = 1;
    for (int64_t i = 0; i < r->n; i++)
        kb_bits_put(r->spec->dtype, r->got, i, right_bits(r, i));
}

static inline void run_teardown(struct run *r) {
    for (int t = 0; t < r->p.n_tensors; t++)
        free(r->initial[t]);
    free(r->got);
    kb_arena_free(&r->arena);
}

static inline double value_at(const struct run *r, int64_t flat) {
    return kb_decode(r->spec->dtype, kb_bits_at(r->spec->dtype, r->got, flat));
}

static inline void put(struct run *r, int64_t flat, double value) {
    kb_bits_put(r->spec->dtype, r->got, flat, kb_encode(r->spec->dtype, value));
}

/* r->local, where anything is wrong, else NULL. */
static inline void localise(struct run *r) {
    struct kb_mask mask;
    struct kb_rest rest;
    kb_compare(&r->args, &r->report);
    assert_true(kb_mask_make(&r->args, &mask, &rest));
    assert_int_equal(mask.wrong, r->report.over);
    assert_int_equal(rest.right, r->report.checked - r->report.over);
    r->local = mask.wrong ? kb_localise(&r->args, &mask, &rest, true, &r->arena) : NULL;
    kb_mask_free(&mask);
}

#endif
