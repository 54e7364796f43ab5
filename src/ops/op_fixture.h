/* op_fixture.h - cases and problems of an op in its tests. */
#ifndef KB_OPS_OP_FIXTURE_H
#define KB_OPS_OP_FIXTURE_H

#include "op.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* set: "key=value,key=value" or "" */
static inline struct kb_case op_case(const char *op, const char *shape, enum kb_dtype dtype,
                                     const char *set) {
    struct kb_case c;
    struct kb_err err = {0};
    kb_case_start(&c, kb_op_find(op));
    c.dtype = dtype;
    assert_true(kb_shape_parse(shape, c.shape, &c.rank));
    if (*set && !kb_case_set_all(&c, set, &err))
        fail_msg("%s", err.msg);
    return c;
}

static inline void resolve(const struct kb_case *c, struct kb_problem *p) {
    struct kb_err err = {0};
    if (!kb_case_resolve(c, p, &err))
        fail_msg("%s", err.msg);
}

/* With KB_INPUT and a message that has `message` in it. */
static inline void assert_case_refused(const struct kb_case *c, const char *message) {
    struct kb_problem p;
    struct kb_err err = {0};
    assert_false(kb_case_resolve(c, &p, &err));
    assert_int_equal(err.kind, KB_INPUT);
    if (!strstr(err.msg, message))
        fail_msg("\"%s\" lacks \"%s\"", err.msg, message);
}

/* The same with all of the message. */
static inline void assert_case_refused_as(const struct kb_case *c, const char *message) {
    struct kb_problem p;
    struct kb_err err = {0};
    assert_false(kb_case_resolve(c, &p, &err));
    assert_int_equal(err.kind, KB_INPUT);
    assert_string_equal(err.msg, message);
}

/* What a contract knows the name as. */
static inline double name_value(const struct kb_problem *p, const char *name) {
    for (int i = 0; i < p->n_names; i++)
        if (!strcmp(p->names[i].name, name))
            return p->names[i].value;
    fail_msg("no name %s", name);
    return NAN;
}

#endif
