/* problem_test.c - the list of ops, and what resolving a case checks for all of them. */
#include "op/group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct kb_case silu_case(void) {
    struct kb_case c;
    kb_case_start(&c, kb_op_find("silu"));
    c.rank = 2;
    c.shape[0] = 7;
    c.shape[1] = 16;
    return c;
}

static void assert_refused(const struct kb_case *c, const char *message) {
    struct kb_problem p;
    struct kb_err err = {0};
    assert_false(kb_case_resolve(c, &p, &err));
    assert_int_equal(err.kind, KB_INPUT);
    assert_string_equal(err.msg, message);
}

static void every_op_is_found_by_its_name_and_resolves_its_sample(void **state) {
    (void)state;
    assert_true(kb_op_count >= 4);
    for (int i = 0; i < kb_op_count; i++) {
        struct kb_problem p;
        struct kb_err err = {0};
        const struct kb_op *op = kb_ops[i];
        struct kb_case c = {.op = op, .dtype = op->dtypes[0], .fill = op->fills[0]};
        assert_ptr_equal(kb_op_find(op->name), op);
        assert_true(kb_shape_parse(op->sample, c.shape, &c.rank));
        for (int k = 0; k < op->n_params; k++)
            c.set[k].v = op->params[k].def;
        if (!kb_case_resolve(&c, &p, &err))
            fail_msg("%s: %s", op->name, err.msg);
        assert_ptr_equal(p.c, &c);
        assert_true(p.n_tensors > 0);
        assert_true(p.bytes > 0);
    }
    assert_null(kb_op_find("gelutanh"));
    assert_null(kb_op_find(""));
}

/* kb_case_resolve takes a default without a look. */
static void every_default_is_a_value_that_can_be_asked_for(void **state) {
    (void)state;
    for (int i = 0; i < kb_op_count; i++)
        for (int k = 0; k < kb_ops[i]->n_params; k++) {
            const struct kb_param *param = &kb_ops[i]->params[k];
            struct kb_buf text = {0};
            struct kb_value value;
            struct kb_err err = {0};
            kb_value_print(param, (struct kb_value){.v = param->def}, &text);
            if (!kb_value_parse(param, kb_buf_text(&text), &value, &err))
                fail_msg("%s: %s", kb_ops[i]->name, err.msg);
            assert_true(value.v == param->def);
            kb_buf_free(&text);
        }
}

static void every_op_says_what_it_is(void **state) {
    (void)state;
    for (int i = 0; i < kb_op_count; i++) {
        const struct kb_op *op = kb_ops[i];
        assert_true(op->family && op->shape_form && op->formula && op->catches);
        assert_true(op->n_dtypes > 0 && op->n_fills > 0);
        assert_true(op->fast_math_factor >= 1);
        assert_true(op->resolve && op->macros && op->fill && op->reference &&
                    op->peer_tolerance);
        for (int k = 0; k < op->n_params; k++)
            assert_true(op->params[k].name && op->params[k].help);
    }
}

static void a_parameter_is_found_with_its_index(void **state) {
    (void)state;
    int index = -1;
    const struct kb_op *op = kb_op_find("gelu");
    const struct kb_param *param = kb_op_param(op, "round", &index);
    assert_non_null(param);
    assert_ptr_equal(param, &op->params[index]);
    assert_null(kb_op_param(op, "rounds", &index));
}

static void dtypes_and_fills_that_an_op_lacks_are_refused(void **state) {
    (void)state;
    assert_true(kb_op_has_dtype(kb_op_find("silu"), KB_FP32));
    assert_false(kb_op_has_dtype(kb_op_find("silu"), KB_E4M3));
    struct kb_case c = silu_case();
    c.dtype = KB_E4M3;
    assert_refused(&c, "silu has no dtype e4m3; it has bf16, fp16, fp32");
    c = silu_case();
    c.op = kb_op_find("stream");
    c.fill = KB_FILL_TINY;
    assert_refused(&c, "stream has no fill tiny; it has bits, normal, nan");
}

static void parameters_out_of_range_and_bad_shapes_are_refused(void **state) {
    (void)state;
    struct kb_case c = silu_case();
    c.set[0].v = 2;
    assert_refused(&c, "round: there is no word 2 of once,act");
    c = silu_case();
    c.rank = 0;
    assert_refused(&c, "a shape has 1 to 8 axes, got 0");
    c = silu_case();
    c.rank = KB_MAX_RANK + 1;
    assert_refused(&c, "a shape has 1 to 8 axes, got 9");
    c = silu_case();
    c.shape[0] = -1;
    assert_refused(&c, "-1x16: axis 0 must be from 0 to 2^53, got -1");
}

static void parameters_are_names_with_their_words(void **state) {
    (void)state;
    struct kb_problem p;
    struct kb_err err = {0};
    struct kb_case c = silu_case();
    c.set[0].v = 1;
    assert_true(kb_case_resolve(&c, &p, &err));
    assert_string_equal(p.names[0].name, "round");
    assert_string_equal(p.names[0].words, "once,act");
    assert_true(p.names[0].value == 1);
    assert_false(p.names[0].is_float);
}

static void a_tensor_counts_its_elements_and_may_have_none(void **state) {
    (void)state;
    struct kb_problem p = {0};
    struct kb_err err = {0};
    const int64_t shape[] = {3, 0, 5}, most[] = {(int64_t)1 << 53},
                  over[] = {1, most[0], 2};
    assert_true(kb_problem_tensor(&p, "a", KB_IN, KB_FP32, 3, shape, KB_RULE_BOUND, &err));
    assert_int_equal(p.tensors[0].elements, 0);
    assert_true(kb_problem_tensor(&p, "b", KB_OUT, KB_U8, 1, most, KB_RULE_EXACT, &err));
    assert_int_equal(p.tensors[1].elements, most[0]);
    assert_int_equal(kb_problem_find(&p, "b"), 1);
    assert_int_equal(kb_problem_find(&p, "c"), -1);
    assert_int_equal(err.kind, KB_NO_ERROR);
    assert_false(kb_problem_tensor(&p, "c", KB_IN, KB_U8, 3, over, KB_RULE_BOUND, &err));
    assert_string_equal(err.msg,
                        "c: the elements overflow, a tensor has at most 2^53 bytes");
    assert_int_equal(p.n_tensors, 2);
}

static void a_tensor_that_is_absent_keeps_its_name_and_has_no_elements(void **state) {
    (void)state;
    struct kb_problem p = {0};
    struct kb_err err = {0};
    const int64_t shape[] = {3, 5};
    assert_true(kb_problem_tensor(&p, "a", KB_IN, KB_I32, 2, shape, KB_RULE_EXACT, &err));
    assert_true(kb_problem_tensor(&p, "b", KB_OUT, KB_I32, 2, shape, KB_RULE_EXACT, &err));
    kb_problem_absent(&p);
    assert_false(p.tensors[0].absent);
    assert_true(p.tensors[1].absent);
    assert_int_equal(p.tensors[1].elements, 0);
    assert_int_equal(kb_problem_find(&p, "b"), 1);
}

static void a_parameter_may_stand_for_what_its_default_comes_to(void **state) {
    (void)state;
    struct kb_problem p = {0};
    kb_problem_name(&p, "rows", 3);
    kb_problem_name(&p, "num_valid", -1);
    kb_problem_means(&p, "num_valid", 40);
    assert_true(p.names[0].value == 3 && p.names[1].value == 40);
    assert_int_equal(p.n_names, 2);
}

/* An output is held against it with the same inputs and parameters. */
static void every_convention_names_an_op_or_values_there_are(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    int n = 0;
    for (int i = 0; i < kb_op_count; i++)
        for (int k = 0; k < kb_ops[i]->n_conventions; k++, n++) {
            const struct kb_convention *other = &kb_ops[i]->conventions[k];
            const struct kb_op *op = other->op ? kb_op_find(other->op) : kb_ops[i];
            struct kb_strings items = {0};
            struct kb_case c;
            struct kb_err err = {0};
            assert_true(op && other->words && (other->op || other->set));
            assert_ptr_equal(op->params, kb_ops[i]->params);
            kb_case_start(&c, op);
            if (other->set)
                kb_split(&arena, other->set, ',', &items);
            for (size_t j = 0; j < items.count; j++) {
                struct kb_strings pair = {0};
                kb_split(&arena, items.items[j], '=', &pair);
                assert_int_equal(pair.count, 2);
                if (!kb_case_set(&c, pair.items[0], pair.items[1], &err))
                    fail_msg("%s: %s", op->name, err.msg);
            }
        }
    assert_true(n > 0);
    kb_arena_free(&arena);
}

static void a_case_by_another_convention_is_another_case_that_resolves(void **state) {
    (void)state;
    static const struct kb_convention act = {.words = "round=act", .set = "round=act"},
                                      gelu = {.words = "gelu", .op = "gelu"},
                                      no_clamp = {.words = "", .set = "clamp=0"};
    struct kb_case c = silu_case(), other;
    struct kb_problem p;
    assert_true(kb_case_by_convention(&c, &act, &other, &p));
    assert_true(other.set[0].v == 1 && other.op == c.op);
    assert_ptr_equal(p.c, &other);
    assert_true(kb_case_by_convention(&c, &gelu, &other, &p));
    assert_string_equal(other.op->name, "gelu");
    c.set[0].v = 1;
    assert_false(kb_case_by_convention(&c, &act, &other, &p)); /* it is that */
    assert_false(kb_case_by_convention(&c, &no_clamp, &other, &p));
    int clamp;
    assert_non_null(kb_op_param(c.op, "clamp", &clamp));
    c.set[clamp].v = 7;
    assert_false(kb_case_by_convention(&c, &gelu, &other, &p)); /* gelu takes no clamp */
    assert_true(kb_case_by_convention(&c, &no_clamp, &other, &p));
}

static void a_ceiling_moves_as_many_bytes_in_a_mix_that_is_no_slower(void **state) {
    (void)state;
    static const struct {
        double read, written; /* MB */
        const char *pattern;
        int64_t of_16_bits, of_32_bits; /* bytes of the pattern's 4096 elements */
    } rows[] = {
        {64, 64, "copy", 16384, 32768},    {64, 60, "copy", 16384, 32768},
        {64, 50, "r2w1", 12288, 24576},    {64, 32, "r2w1", 12288, 24576},
        {66, 32, "r2w1", 12288, 24576},    {64, 24, "r2w05", 10240, 20480},
        {64, 16, "r2w05", 10240, 20480},   {64, 15, "r2w05", 10240, 20480},
        {64, 8, "read", 8196, 16400},      {64, 0, "read", 8196, 16400},
        {16, 2, "r2w05", 10240, 20480},    {16, 0, "r2w05", 10240, 20480},
        {0.008, 0, "r2w05", 10240, 20480}, {20, 64, "write", 8192, 16384},
        {0, 64, "write", 8192, 16384},
    };
    for (size_t i = 0; i < 2 * KB_COUNT(rows); i++) {
        struct kb_case c = silu_case();
        struct kb_problem p = {.c = &c};
        bool wide = i % 2;
        int64_t read = (int64_t)(rows[i / 2].read * 1e6);
        int64_t written = (int64_t)(rows[i / 2].written * 1e6);
        c.dtype = wide ? KB_FP32 : KB_FP16;
        kb_problem_moves(&p, read, written);
        assert_string_equal(p.ceiling_pattern, rows[i / 2].pattern);
        double moved = (double)(wide ? rows[i / 2].of_32_bits : rows[i / 2].of_16_bits) /
                       4096 * (double)p.ceiling_elements;
        double left = (double)(read + written) - moved;
        assert_true(left >= 0 && left < 100);
        assert_true(p.ceiling_elements % 4 == 0);
    }
}

static void no_bytes_have_no_ceiling_and_few_have_the_least(void **state) {
    (void)state;
    struct kb_case c = silu_case();
    struct kb_problem p = {.c = &c};
    c.dtype = KB_BF16;
    kb_problem_moves(&p, 0, 0);
    assert_null(p.ceiling_pattern);
    kb_problem_moves(&p, 2, 2);
    assert_string_equal(p.ceiling_pattern, "copy");
    assert_int_equal(p.ceiling_elements, 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_is_found_by_its_name_and_resolves_its_sample),
        cmocka_unit_test(every_default_is_a_value_that_can_be_asked_for),
        cmocka_unit_test(every_op_says_what_it_is),
        cmocka_unit_test(a_parameter_is_found_with_its_index),
        cmocka_unit_test(dtypes_and_fills_that_an_op_lacks_are_refused),
        cmocka_unit_test(parameters_out_of_range_and_bad_shapes_are_refused),
        cmocka_unit_test(parameters_are_names_with_their_words),
        cmocka_unit_test(a_tensor_counts_its_elements_and_may_have_none),
        cmocka_unit_test(a_tensor_that_is_absent_keeps_its_name_and_has_no_elements),
        cmocka_unit_test(a_parameter_may_stand_for_what_its_default_comes_to),
        cmocka_unit_test(every_convention_names_an_op_or_values_there_are),
        cmocka_unit_test(a_case_by_another_convention_is_another_case_that_resolves),
        cmocka_unit_test(a_ceiling_moves_as_many_bytes_in_a_mix_that_is_no_slower),
        cmocka_unit_test(no_bytes_have_no_ceiling_and_few_have_the_least),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
