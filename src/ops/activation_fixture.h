/* activation_fixture.h - a case of silu, gelu or gelu_tanh by its id, filled, with what the
 * reference makes of it, for the tests of the ops. */
#ifndef KB_OPS_ACTIVATION_FIXTURE_H
#define KB_OPS_ACTIVATION_FIXTURE_H

#include "ops/op_fixture.h"

enum { SEED = 7 };

/* An id that is none, by a message with `message` in it, or a case that is none, by all of
 * it. */
static inline void assert_refused(const char *id, const char *message) {
    struct kb_arena arena = {0};
    struct kb_complaints complaints = {0};
    struct kb_case c;
    if (kb_case_parse(id, &arena, &c, &complaints))
        assert_case_refused_as(&c, message);
    else if (!strstr(complaints.text.data, message))
        fail_msg("%s: %s", id, complaints.text.data);
    kb_complaints_free(&complaints);
    kb_arena_free(&arena);
}

/* A case by its id, all its tensors filled, its output's reference. */
struct run {
    struct kb_arena arena;
    struct kb_case c;
    struct kb_problem p;
    void *data[KB_MAX_TENSORS];
    int out; /* the tensor that is compared */
    double *want, *bound;
};

static inline void run_make(struct run *r, const char *id) {
    struct kb_complaints complaints = {0};
    struct kb_err err = {0};
    *r = (struct run){.out = -1};
    if (!kb_case_parse(id, &r->arena, &r->c, &complaints))
        fail_msg("%s", kb_buf_text(&complaints.text));
    if (!kb_case_resolve(&r->c, &r->p, &err))
        fail_msg("%s", err.msg);
    for (int t = 0; t < r->p.n_tensors; t++) {
        const struct kb_tensor_spec *spec = &r->p.tensors[t];
        if (spec->absent)
            continue;
        r->data[t] = calloc((size_t)spec->elements + 1, kb_dtype_bytes(spec->dtype));
        if (spec->role != KB_OUT)
            r->c.op->fill(&r->p, t, SEED, 0, spec->elements, r->data[t]);
        if (spec->role != KB_IN)
            r->out = t;
    }
    int64_t n = r->p.tensors[r->out].elements;
    r->want = calloc((size_t)n + 1, sizeof *r->want);
    r->bound = calloc((size_t)n + 1, sizeof *r->bound);
    r->c.op->reference(&r->p, (const void *const *)r->data, NULL, r->out, 0, n, r->want,
                       r->bound);
}

static inline void run_free(struct run *r) {
    for (int t = 0; t < r->p.n_tensors; t++)
        free(r->data[t]);
    free(r->want);
    free(r->bound);
    kb_arena_free(&r->arena);
}

static inline double input_at(const struct run *r, int64_t i) {
    return kb_decode(r->c.dtype, kb_bits_at(r->c.dtype, r->data[0], i));
}

#endif
