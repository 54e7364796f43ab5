/* convention_test.c - elements that must stay as they were, and wrong outputs that follow
 * another convention. */
#include "measure.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SEED = 5 };

/* A case, its tensors as filled and poisoned, and what a perfect kernel leaves of its
 * output. */
struct run {
    struct kb_arena arena;
    struct kb_case c;
    struct kb_problem p;
    void *initial[KB_MAX_TENSORS], *got;
    int out;
    struct kb_compare_args args;
};

static size_t bytes_of(const struct kb_tensor_spec *spec) {
    return (size_t)spec->elements * kb_dtype_bytes(spec->dtype);
}

/* What a perfect kernel of `p` leaves, begun from `before`. */
static void compute(const struct kb_problem *p, const struct run *r, const void *before,
                    void *got) {
    const struct kb_tensor_spec *spec = &p->tensors[r->out];
    size_t n = (size_t)spec->elements;
    double *want = calloc(n, sizeof *want), *bound = calloc(n, sizeof *bound);
    p->c->op->reference(p, (const void *const *)r->initial, NULL, r->out, 0, spec->elements,
                        want, bound);
    memcpy(got, before, bytes_of(spec));
    for (int64_t i = 0; i < spec->elements; i++)
        if (bound[i] != KB_KEEP)
            kb_bits_put(spec->dtype, got, i, kb_encode(spec->dtype, want[i]));
    free(want);
    free(bound);
}

static void resolve(struct run *r, const char *id, struct kb_case *c,
                    struct kb_problem *p) {
    struct kb_complaints complaints = {0};
    struct kb_err err = {0};
    if (!kb_case_parse(id, &r->arena, c, &complaints))
        fail_msg("%s", kb_buf_text(&complaints.text));
    if (!kb_case_resolve(c, p, &err))
        fail_msg("%s", err.msg);
}

static void setup(struct run *r, const char *id) {
    *r = (struct run){.out = -1};
    resolve(r, id, &r->c, &r->p);
    for (int t = 0; t < r->p.n_tensors; t++) {
        const struct kb_tensor_spec *spec = &r->p.tensors[t];
        if (spec->absent)
            continue;
        r->initial[t] = calloc(1, bytes_of(spec) + 8);
        if (spec->role == KB_OUT)
            kb_poison(r->initial[t], bytes_of(spec), 0);
        else
            r->c.op->fill(&r->p, t, SEED, 0, spec->elements, r->initial[t]);
        if (spec->role != KB_IN)
            r->out = t;
    }
    r->got = calloc(1, bytes_of(&r->p.tensors[r->out]) + 8);
    compute(&r->p, r, r->initial[r->out], r->got);
    r->args = (struct kb_compare_args){
        .problem = &r->p,
        .tensor = r->out,
        .in = (const void *const *)r->initial,
        .got = r->got,
        .bound_factor = 1,
        .tolerance = r->c.tolerance,
    };
}

static void teardown(struct run *r) {
    for (int t = 0; t < r->p.n_tensors; t++)
        free(r->initial[t]);
    free(r->got);
    kb_arena_free(&r->arena);
}

static struct kb_output_report report_of(const struct run *r) {
    struct kb_output_report out;
    kb_compare(&r->args, &out);
    return out;
}

/* The first element that may not, or may, be written. */
static int64_t find(const struct run *r, bool kept) {
    for (int64_t i = 0; i < r->p.tensors[r->out].elements; i++) {
        double want, bound;
        r->c.op->reference(&r->p, r->args.in, NULL, r->out, i, 1, &want, &bound);
        if ((bound == KB_KEEP) == kept)
            return i;
    }
    fail_msg("no such element");
    return -1;
}

/* ---- what must stay --------------------------------------------------------------------
 */

static const char *const filtered[] = {
    "silu/83x1024/bf16/filter=ids/step=16",
    "gelu/83x1024/fp32/filter=sorted",
    "silu/83x1024/fp16/inplace=yes",
    "silu/32x512/bf16/filter=ids/skip=1",
};

static void what_must_stay_and_does_is_right(void **state) {
    (void)state;
    for (size_t i = 0; i < KB_COUNT(filtered); i++) {
        struct run r;
        setup(&r, filtered[i]);
        struct kb_output_report o = report_of(&r);
        assert_true(o.kept > 0 && o.kept <= o.elements);
        assert_int_equal(o.touched, 0);
        assert_int_equal(o.over, 0);
        assert_int_equal(o.unwritten, 0);
        assert_int_equal(o.differing, 0);
        assert_true(o.err_over_bound == 0 && o.tolerance_used <= 1);
        teardown(&r);
    }
}

/* By every rule, a fast-math build's factor and a generous tolerance included. */
static void one_bit_of_what_must_stay_is_touched(void **state) {
    (void)state;
    for (size_t i = 0; i < KB_COUNT(filtered); i++)
        for (int rule = KB_TOL_BOUND; rule <= KB_TOL_GIVEN; rule++) {
            struct run r;
            setup(&r, filtered[i]);
            enum kb_dtype dtype = r.p.tensors[r.out].dtype;
            int64_t at = find(&r, true);
            r.args.tolerance = (struct kb_tolerance){(enum kb_tolerance_rule)rule, 1e30, 1};
            r.args.bound_factor = 8;
            kb_bits_put(dtype, r.got, at, kb_bits_at(dtype, r.got, at) ^ 1);
            struct kb_output_report o = report_of(&r);
            assert_int_equal(o.touched, 1);
            assert_int_equal(o.over, 1);
            assert_int_equal(o.unwritten, 0);
            assert_int_equal(o.worst.index, at);
            assert_int_equal(o.first[0].index, at);
            double before = kb_decode(dtype, kb_bits_at(dtype, r.initial[r.out], at));
            assert_true(o.worst.want == before || (isnan(o.worst.want) && isnan(before)));
            teardown(&r);
        }
}

static void poison_where_a_result_belongs_is_unwritten_beside_what_must_stay(void **state) {
    (void)state;
    struct run r;
    setup(&r, filtered[0]);
    int64_t at = find(&r, false);
    kb_bits_put(KB_BF16, r.got, at, kb_bits_at(KB_BF16, r.initial[1], at));
    struct kb_output_report o = report_of(&r);
    assert_int_equal(o.unwritten, 1);
    assert_int_equal(o.touched, 0);
    teardown(&r);
}

static void ranges_of_elements_can_be_judged(void **state) {
    (void)state;
    struct run r;
    setup(&r, filtered[0]);
    int64_t n = r.p.tensors[1].elements, at = find(&r, true);
    assert_int_equal(kb_compare_over(&r.args, 0, n), 0);
    kb_bits_put(KB_BF16, r.got, at, 0);
    assert_int_equal(kb_compare_over(&r.args, 0, n), 1);
    assert_int_equal(kb_compare_over(&r.args, at, 1), 1);
    assert_int_equal(kb_compare_over(&r.args, at + 1, n - at - 1), 0);
    assert_int_equal(kb_compare_over(&r.args, 0, 0), 0);
    teardown(&r);
}

/* ---- two runs --------------------------------------------------------------------------
 */

/* What a perfect kernel leaves of the other poison. */
static void *second_of(const struct run *r) {
    const struct kb_tensor_spec *spec = &r->p.tensors[r->out];
    void *before = malloc(bytes_of(spec) + 8), *got = malloc(bytes_of(spec) + 8);
    if (spec->role == KB_OUT)
        kb_poison(before, bytes_of(spec), 1);
    else
        memcpy(before, r->initial[r->out], bytes_of(spec));
    compute(&r->p, r, before, got);
    free(before);
    return got;
}

static void runs_that_left_their_own_poison_where_it_must_stay_are_the_same(void **state) {
    (void)state;
    for (size_t i = 0; i < KB_COUNT(filtered); i++) {
        struct run r;
        struct kb_runs_report runs;
        setup(&r, filtered[i]);
        void *second = second_of(&r);
        kb_compare_runs(&r.args, second, &runs);
        assert_int_equal(runs.unwritten, 0);
        assert_int_equal(runs.differing, 0);
        free(second);
        teardown(&r);
    }
}

static void what_only_the_second_run_wrote_to_differs(void **state) {
    (void)state;
    for (size_t i = 0; i < KB_COUNT(filtered); i++) {
        struct run r;
        struct kb_runs_report runs;
        setup(&r, filtered[i]);
        enum kb_dtype dtype = r.p.tensors[r.out].dtype;
        void *second = second_of(&r);
        kb_bits_put(dtype, second, find(&r, true), 0);
        kb_compare_runs(&r.args, second, &runs);
        assert_int_equal(runs.unwritten, 0);
        assert_int_equal(runs.differing, 1);
        free(second);
        teardown(&r);
    }
}

static void both_poisons_where_a_result_belongs_are_unwritten(void **state) {
    (void)state;
    struct run r;
    struct kb_runs_report runs;
    setup(&r, filtered[0]);
    void *second = second_of(&r);
    uint16_t poison[2];
    int64_t at = find(&r, false);
    kb_poison(&poison[0], 2, 0);
    kb_poison(&poison[1], 2, 1);
    kb_bits_put(KB_BF16, r.got, at, poison[0]);
    kb_bits_put(KB_BF16, second, at, poison[1]);
    kb_compare_runs(&r.args, second, &runs);
    assert_int_equal(runs.unwritten, 1);
    assert_int_equal(runs.differing, 0);
    free(second);
    teardown(&r);
}

/* ---- conventions -----------------------------------------------------------------------
 */

/* `id`, by a kernel that computes `other` from the same inputs. */
static struct kb_output_report computed_as(const char *id, const char *other) {
    struct run r;
    struct kb_case c;
    struct kb_problem p;
    setup(&r, id);
    resolve(&r, other, &c, &p);
    compute(&p, &r, r.initial[r.out], r.got);
    struct kb_output_report o = report_of(&r);
    kb_compare_conventions(&r.args, &o);
    teardown(&r);
    return o;
}

static void a_wrong_output_is_told_by_the_convention_it_follows(void **state) {
    (void)state;
    static const struct {
        const char *id, *other, *words;
    } table[] = {
        {"silu/83x1024/bf16", "silu/83x1024/bf16/round=act", "round=act"},
        {"silu/83x1024/bf16/round=act", "silu/83x1024/bf16", "round=once"},
        {"gelu/7x16/fp32", "gelu/7x16/fp32/layout=up_gate", "with the halves swapped"},
        {"gelu/7x34/fp16/layout=up_gate", "gelu/7x34/fp16", "with the halves swapped"},
        {"gelu/83x1024/fp32", "gelu_tanh/83x1024/fp32", "gelu_tanh"},
        {"gelu_tanh/83x1024/bf16", "gelu/83x1024/bf16", "gelu"},
        {"gelu_tanh/83x1024/bf16", "silu/83x1024/bf16", "silu"},
        {"silu/83x1024/bf16/clamp=3", "silu/83x1024/bf16", "without the clamp"},
        {"silu/83x1024/bf16/filter=ids/step=16", "silu/83x1024/bf16", "without the filter"},
        {"silu/83x1024/bf16/filter=sorted", "silu/83x1024/bf16/filter=ids", "filter=ids"},
    };
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        struct kb_output_report o = computed_as(table[i].id, table[i].other);
        struct kb_buf text = {0}, wanted = {0};
        assert_true(o.over > 0);
        kb_follows_words(&o, &text);
        kb_buf_printf(&wanted, "; matches %s", table[i].words);
        assert_string_equal(kb_buf_text(&text), kb_buf_text(&wanted));
        assert_int_equal(o.follows_over, 0);
        kb_buf_free(&text);
        kb_buf_free(&wanted);
    }
}

static void a_right_output_follows_nothing_else(void **state) {
    (void)state;
    struct kb_output_report o = computed_as("silu/83x1024/bf16", "silu/83x1024/bf16");
    struct kb_buf text = {0};
    kb_follows_words(&o, &text);
    assert_int_equal(text.len, 0);
    assert_null(o.follows);
}

/* Twenty times fewer elements are wrong by the convention, or it explains nothing. */
static void a_few_elements_may_be_wrong_by_the_convention_too(void **state) {
    (void)state;
    struct run r;
    struct kb_case c;
    struct kb_problem p;
    struct kb_buf text = {0};
    setup(&r, "silu/83x1024/bf16");
    resolve(&r, "silu/83x1024/bf16/layout=up_gate", &c, &p);
    compute(&p, &r, r.initial[r.out], r.got);
    for (int64_t i = 0; i < 3; i++)
        kb_bits_put(KB_BF16, r.got, 42000 + i, 0x7f00);
    struct kb_output_report o = report_of(&r);
    kb_compare_conventions(&r.args, &o);
    kb_follows_words(&o, &text);
    assert_string_equal(kb_buf_text(&text),
                        "; matches with the halves swapped but for 3 elements");
    for (int64_t i = 0; i < r.p.tensors[1].elements; i += 9)
        kb_bits_put(KB_BF16, r.got, i, 0x7f00);
    o = report_of(&r);
    kb_compare_conventions(&r.args, &o);
    assert_null(o.follows);
    kb_buf_free(&text);
    teardown(&r);
}

static void one_wrong_element_of_a_right_kernel_follows_nothing(void **state) {
    (void)state;
    struct run r;
    setup(&r, "gelu/83x1024/fp16");
    kb_bits_put(KB_FP16, r.got, 77, 0);
    struct kb_output_report o = report_of(&r);
    assert_int_equal(o.over, 1);
    kb_compare_conventions(&r.args, &o);
    assert_null(o.follows);
    teardown(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_must_stay_and_does_is_right),
        cmocka_unit_test(one_bit_of_what_must_stay_is_touched),
        cmocka_unit_test(poison_where_a_result_belongs_is_unwritten_beside_what_must_stay),
        cmocka_unit_test(ranges_of_elements_can_be_judged),
        cmocka_unit_test(runs_that_left_their_own_poison_where_it_must_stay_are_the_same),
        cmocka_unit_test(what_only_the_second_run_wrote_to_differs),
        cmocka_unit_test(both_poisons_where_a_result_belongs_are_unwritten),
        cmocka_unit_test(a_wrong_output_is_told_by_the_convention_it_follows),
        cmocka_unit_test(a_right_output_follows_nothing_else),
        cmocka_unit_test(a_few_elements_may_be_wrong_by_the_convention_too),
        cmocka_unit_test(one_wrong_element_of_a_right_kernel_follows_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
