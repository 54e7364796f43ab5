/* outputs_test.c - an op that does not say that it looks at other outputs does not: what
 * the reference says of an output stays, whatever a kernel left in the others. */
#include "op.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct problem {
    struct kb_arena arena;
    struct kb_case c;
    struct kb_problem p;
    void *data[KB_MAX_TENSORS];
};

static void problem_make(struct problem *m, const char *id) {
    struct kb_complaints complaints = {0};
    struct kb_err err = {0};

    *m = (struct problem){0};
    if (!kb_case_parse(id, &m->arena, &m->c, &complaints) ||
        !kb_case_resolve(&m->c, &m->p, &err))
        fail_msg("%s: %s%s", id, kb_buf_text(&complaints.text), err.msg);
    for (int t = 0; t < m->p.n_tensors; t++) {
        const struct kb_tensor_spec *spec = &m->p.tensors[t];
        size_t bytes = (size_t)spec->elements * kb_dtype_bytes(spec->dtype);
        m->data[t] = kb_arena_alloc(&m->arena, bytes + 1);
        if (spec->role != KB_OUT && spec->elements > 0)
            m->c.op->fill(&m->p, t, 1, 0, spec->elements, m->data[t]);
    }
}

/* The answers for output `t`, with the others there or not. */
static double *answers(struct problem *m, int t, bool others) {
    const struct kb_tensor_spec *spec = &m->p.tensors[t];
    double *want = kb_arena_array(&m->arena, (size_t)spec->elements * 2 + 1, sizeof *want);
    const void *in[KB_MAX_TENSORS] = {0};

    for (int k = 0; k < m->p.n_tensors; k++) {
        bool other = m->p.tensors[k].role == KB_OUT && k != t;
        in[k] = m->p.tensors[k].absent || (other && !others) ? NULL : m->data[k];
    }
    void *prepared = m->c.op->prepare ? m->c.op->prepare(&m->p, in) : NULL;
    m->c.op->reference(&m->p, in, prepared, t, 0, spec->elements, want,
                       want + spec->elements);
    free(prepared);
    return want;
}

/* An output that is nearly right: each number by a bit. */
static void leave_output(struct problem *m, int t) {
    const struct kb_tensor_spec *spec = &m->p.tensors[t];
    const double *want = answers(m, t, false);

    for (int64_t i = 0; i < spec->elements; i++) {
        uint32_t bits = spec->rule == KB_RULE_EXACT ? (uint32_t)want[i]
                                                    : kb_encode(spec->dtype, want[i]);
        kb_bits_put(spec->dtype, m->data[t], i, bits ^ 1);
    }
}

static bool looks_at_others(const char *id) {
    struct problem m;
    bool looks = false;

    problem_make(&m, id);
    for (int t = 0; t < m.p.n_tensors; t++)
        if (m.p.tensors[t].role == KB_OUT && !m.p.tensors[t].absent)
            leave_output(&m, t);
    for (int t = 0; t < m.p.n_tensors; t++) {
        const struct kb_tensor_spec *spec = &m.p.tensors[t];
        if (spec->role == KB_IN || spec->absent)
            continue;
        looks |= memcmp(answers(&m, t, false), answers(&m, t, true),
                        (size_t)spec->elements * 2 * sizeof(double)) != 0;
    }
    kb_arena_free(&m.arena);
    return looks;
}

static void who_does_not_say_so_does_not_look_at_other_outputs(void **state) {
    struct kb_arena arena = {0};
    (void)state;
    for (int i = 0; i < kb_op_count; i++) {
        const struct kb_op *op = kb_ops[i];
        const char *dtype = kb_dtype_name(op->dtypes[0]);
        if (!op->reads_outputs)
            assert_false(looks_at_others(
                kb_arena_printf(&arena, "%s/%s/%s", op->name, op->sample, dtype)));
    }
    assert_false(looks_at_others("mla_prefill/9x20x2/bf16/lse=e"));
    kb_arena_free(&arena);
}

static void who_looks_says_so(void **state) {
    (void)state;
    assert_true(looks_at_others("silu_mul_quant/7x256/bf16"));
    assert_true(kb_op_find("silu_mul_quant")->reads_outputs);
    assert_true(looks_at_others("moe_routing/7x128/bf16/ties=any"));
    assert_true(kb_op_find("moe_routing")->reads_outputs);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_does_not_say_so_does_not_look_at_other_outputs),
        cmocka_unit_test(who_looks_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
