/* before_test.c - what a kernel is held against is what was there before the launch, not
 * what it left of it. */
#include "life.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct life l;
    struct kb_row row;
    struct kb_job job;
    struct kb_arena arena;
};

/* A case with its buffers before and after a launch that put zeros everywhere. */
static void open_case(struct fixture *f, const char *id) {
    struct kb_complaints complaints = {0};
    struct kb_err err = {0};
    struct kb_problem *p = &f->l.asked.problem;
    size_t bytes[KB_MAX_TENSORS] = {0};

    assert_true(kb_case_parse(id, &f->arena, &f->l.asked.c, &complaints));
    assert_true(kb_case_resolve(&f->l.asked.c, p, &err));
    for (int t = 0; t < p->n_tensors; t++)
        bytes[t] = (size_t)p->tensors[t].elements * kb_dtype_bytes(p->tensors[t].dtype);
    assert_true(kb_slab_make(&f->l.initial, KB_SLAB_PRIVATE, p->n_tensors, bytes, 0, &err));
    for (int t = 0; t < p->n_tensors; t++)
        if (p->tensors[t].role != KB_OUT && bytes[t] > 0)
            f->l.asked.c.op->fill(p, t, 1, 0, p->tensors[t].elements,
                                  kb_slab_at(&f->l.initial, t));
    kb_poison_outputs(p, &f->l.initial, 0);
    assert_true(kb_slab_copy(&f->l.work, &f->l.initial, &err));
    for (int t = 0; t < p->n_tensors; t++)
        memset(kb_slab_at(&f->l.work, t), 0, bytes[t]);
    f->l.row = &f->row;
    f->l.job = &f->job;
    f->l.arena = &f->arena;
}

static void close_case(struct fixture *f) {
    kb_slab_free(&f->l.work);
    kb_slab_free(&f->l.initial);
    kb_arena_free(&f->arena);
}

/* silu of zeros times zeros is zero: by its own inputs the output would be right. */
static void the_reference_is_of_inputs_as_they_were(void **state) {
    (void)state;
    static const struct {
        const char *id;
        int output;
    } cases[] = {{"silu/7x16/bf16", 1}, {"silu/7x16/fp32/inplace=yes", 0}};
    for (size_t i = 0; i < KB_COUNT(cases); i++) {
        struct fixture f = {0};
        struct kb_output_report report;
        open_case(&f, cases[i].id);
        struct kb_compare_args args = kb_life_compare_args(&f.l, cases[i].output);
        assert_ptr_equal(args.in[0], kb_slab_at(&f.l.initial, 0));
        assert_ptr_equal(args.got, kb_slab_at(&f.l.work, cases[i].output));
        kb_compare(&args, &report);
        assert_true(report.over >= 50);
        assert_int_equal(report.unwritten, 0);
        close_case(&f);
    }
}

static void an_input_is_held_against_what_it_was(void **state) {
    (void)state;
    struct fixture f = {0};
    open_case(&f, "silu/7x16/bf16");
    assert_false(kb_life_guards(&f.l, &f.l.work));
    assert_int_equal(f.row.reason, KB_R_INPUT_CHANGED);
    assert_true(f.row.inputs_changed > 200); /* of 224 bytes, some of them 0 before */
    assert_int_equal(f.row.out_of_bounds, 0);
    close_case(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_is_of_inputs_as_they_were),
        cmocka_unit_test(an_input_is_held_against_what_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
