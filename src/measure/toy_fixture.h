/* toy_fixture.h - an op made of tables, for tests of the comparison: what is wanted and how
 * near, element by element, is what the test says. */
#ifndef KB_TOY_FIXTURE_H
#define KB_TOY_FIXTURE_H

#include "measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOY_IN, TOY_OUT, TOY_OTHER, TOY_TENSORS }; /* OTHER: an output beside it */

struct toy {
    struct kb_op op;
    struct kb_case c;
    struct kb_problem p;
    int64_t n;            /* elements of the output that is judged */
    double *want, *bound; /* of it */
    void *data[TOY_TENSORS];
    const void *in[KB_MAX_TENSORS];
    struct kb_compare_args
        args; /* of TOY_OUT, which begins as a perfect kernel leaves it */
};

static inline void toy_reference(const struct kb_problem *p, const void *const *in,
                                 const void *prepared, int t, int64_t first, int64_t count,
                                 double *want, double *bound) {
    const struct toy *toy = prepared;

    (void)p, (void)in;
    for (int64_t i = 0; i < count; i++) {
        want[i] = t == TOY_OUT ? toy->want[first + i] : 0;
        bound[i] = t == TOY_OUT ? toy->bound[first + i] : 0;
    }
}

static inline void toy_peers(enum kb_dtype dtype, enum kb_dtype out, double *atol,
                             double *rtol) {
    (void)dtype;
    *atol = out == KB_FP32 ? 1e-4 : 1e-2;
    *rtol = *atol;
}

static inline void toy_tensor(struct toy *toy, int t, const char *name, enum kb_role role,
                              enum kb_dtype dtype, int64_t rows, int64_t columns) {
    struct kb_tensor_spec *spec = &toy->p.tensors[t];

    *spec = (struct kb_tensor_spec){
        .name = name,
        .role = role,
        .dtype = dtype,
        .rank = 2,
        .shape = {rows, columns},
        .elements = rows * columns,
    };
    toy->data[t] = calloc((size_t)spec->elements + 1, kb_dtype_bytes(dtype));
    toy->in[t] = toy->data[t];
}

/* rows x columns of `dtype` out, twice as many columns of bf16 in, and i32 beside it. Wants
 * are 1, 2, 3 ... 7, 1 ... and bounds 0. */
static inline void toy_make(struct toy *toy, enum kb_dtype dtype, int64_t rows,
                            int64_t columns) {
    *toy = (struct toy){.n = rows * columns};
    toy->op = (struct kb_op){
        .name = "toy",
        .reference = toy_reference,
        .peer_tolerance = toy_peers,
        .fast_math_factor = 1,
    };
    toy->c.op = &toy->op;
    toy->c.id = "toy";
    toy->p.c = &toy->c;
    toy->p.n_tensors = TOY_TENSORS;
    toy_tensor(toy, TOY_IN, "input", KB_IN, KB_BF16, rows, 2 * columns);
    toy_tensor(toy, TOY_OUT, "out", KB_OUT, dtype, rows, columns);
    toy_tensor(toy, TOY_OTHER, "other", KB_OUT, KB_I32, rows, 1);
    toy->want = calloc((size_t)toy->n + 1, sizeof *toy->want);
    toy->bound = calloc((size_t)toy->n + 1, sizeof *toy->bound);
    for (int64_t i = 0; i < toy->n; i++)
        toy->want[i] = (double)(i % 7 + 1);
    toy->args = (struct kb_compare_args){
        .problem = &toy->p,
        .tensor = TOY_OUT,
        .in = toy->in,
        .prepared = toy,
        .got = toy->data[TOY_OUT],
        .bound_factor = 1,
    };
}

/* What was wanted, rounded, and what was there where nothing may be written. */
static inline void toy_perfect(struct toy *toy) {
    const struct kb_tensor_spec *spec = &toy->p.tensors[TOY_OUT];

    for (int64_t i = 0; i < toy->n; i++) {
        uint32_t bits = toy->bound[i] == KB_KEEP ? kb_bits_at(spec->dtype, toy->in[1], i)
                        : spec->rule == KB_RULE_EXACT
                            ? (uint32_t)toy->want[i]
                            : kb_encode(spec->dtype, toy->want[i]);
        kb_bits_put(spec->dtype, toy->data[TOY_OUT], i, bits);
    }
}

static inline void toy_put(struct toy *toy, int64_t i, double got) {
    enum kb_dtype dtype = toy->p.tensors[TOY_OUT].dtype;

    kb_bits_put(dtype, toy->data[TOY_OUT], i, kb_encode(dtype, got));
}

static inline struct kb_output_report toy_report(struct toy *toy) {
    struct kb_output_report report;

    kb_compare(&toy->args, &report);
    return report;
}

static inline void toy_free(struct toy *toy) {
    for (int t = 0; t < TOY_TENSORS; t++)
        free(toy->data[t]);
    free(toy->want);
    free(toy->bound);
}

#endif
