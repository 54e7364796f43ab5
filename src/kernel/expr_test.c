/* expr_test.c - the expressions of contracts: values, types, and what they say when wrong.
 */
#include "kernel/parts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const int64_t lengths[] = {3, 9, 4};

/* What the tests compute with: axes, a word, a float, a list, a let. */
struct fixture {
    struct kb_case c;
    struct kb_problem problem;
    struct kb_expr_let lets[2];
    struct kb_expr_env env;
};

static void set_up(struct fixture *f) {
    *f = (struct fixture){
        .c = {.dtype = KB_BF16},
        .problem = {.c = &f->c,
                    .n_names = 6,
                    .names = {{.name = "tokens", .value = 83},
                              {.name = "hidden", .value = 512},
                              {.name = "layout", .value = 1, .words = "gate_up,up_gate"},
                              {.name = "eps", .value = 0.25, .is_float = true},
                              {.name = "q_len", .list = lengths, .n_list = 3},
                              {.name = "none", .list = lengths, .n_list = 0}}},
        .lets = {{.name = "vecs", .value = {.i = 64}},
                 {.name = "broken", .error = "`1 / 0`, column 3: division by zero"}},
        .env = {.sm = 90, .sm_count = 132, .smem_per_block = 232448, .n_lets = 2},
    };
    f->env.problem = &f->problem;
    f->env.lets = f->lets;
}

static void is_int(const char *text, int64_t want) {
    struct fixture f;
    struct kb_expr_value v;
    struct kb_err err = {0};
    set_up(&f);
    if (!kb_expr_eval(text, &f.env, &v, &err))
        fail_msg("%s", err.msg);
    if (v.is_float || v.i != want)
        fail_msg("%s is %lld, wanted %lld", text, (long long)v.i, (long long)want);
}

static void is_float(const char *text, double want) {
    struct fixture f;
    struct kb_expr_value v;
    struct kb_err err = {0};
    set_up(&f);
    if (!kb_expr_eval(text, &f.env, &v, &err))
        fail_msg("%s", err.msg);
    if (!v.is_float || fabs(v.f - want) > 0)
        fail_msg("%s is %g, wanted %g", text, v.f, want);
}

static void says(const char *text, const char *want) {
    struct fixture f;
    struct kb_expr_value v;
    struct kb_err err = {0};
    set_up(&f);
    assert_false(kb_expr_eval(text, &f.env, &v, &err));
    assert_int_equal(err.kind, KB_INPUT);
    assert_string_equal(err.msg, want);
}

static void operators_bind_as_in_c(void **state) {
    (void)state;
    is_int("1 + 2 * 3", 7);
    is_int("(1 + 2) * 3", 9);
    is_int("10 - 4 - 3", 3);
    is_int("100 / 10 / 5", 2);
    is_int("7 % 4 * 2", 6);
    is_int("-7 / 2", -3);
    is_int("-7 % 2", -1);
    is_int("- - 5", 5);
    is_int("!0 + !7", 1);
    is_int("1 + 1 == 2 && 3 < 4", 1);
    is_int("0 || 0 && 1", 0);
    is_int("1 || 0 && 0", 1);
    is_int("1 < 2 == 1", 1);
    is_int("2 < 1 ? 10 : 1 < 2 ? 20 : 30", 20);
    is_int("1 ? 0 ? 1 : 2 : 3", 2);
    is_int(" \t1\n+1 ", 2);
}

static void comparisons_are_0_or_1(void **state) {
    (void)state;
    is_int("3 <= 3", 1);
    is_int("3 >= 4", 0);
    is_int("3 != 3", 0);
    is_int("0.5 < 1", 1);
    is_int("eps == 0.25", 1);
    is_int("9223372036854775807 > 9223372036854775806", 1);
}

static void names_are_the_problem_s_the_device_s_and_the_variant_s(void **state) {
    (void)state;
    is_int("tokens * hidden * dtype_bytes", 83 * 512 * 2);
    is_int("sm + sm_count + smem_per_block", 90 + 132 + 232448);
    is_int("vecs", 64);
    is_float("eps", 0.25);
}

static void functions_have_the_values_their_names_promise(void **state) {
    (void)state;
    is_int("ceil_div(83, 16)", 6);
    is_int("ceil_div(80, 16)", 5);
    is_int("ceil_div(0, 16)", 0);
    is_int("ceil_div(-1, 2)", 0);
    is_int("ceil_div(9223372036854775807, 2)", 4611686018427387904);
    is_int("align_up(83, 16)", 96);
    is_int("align_up(96, 16)", 96);
    is_int("next_pow2(83)", 128);
    is_int("next_pow2(64)", 64);
    is_int("next_pow2(0) + next_pow2(-5)", 2);
    is_int("min(3, 1, 2)", 1);
    is_int("max(3, 1, 2)", 3);
    is_float("min(1, 0.5)", 0.5);
    is_float("max(1, 0.5)", 1);
    is_int("max(min(2, 8), min(4, 3))", 3);
}

static void lists_have_a_sum_a_max_and_a_count(void **state) {
    (void)state;
    is_int("sum(q_len)", 16);
    is_int("max(q_len)", 9);
    is_int("count(q_len)", 3);
    is_int("sum(none) + count(none)", 0);
    says("max(none)", "`max(none)`, column 5: max of an empty list");
    says("q_len + 1",
         "`q_len + 1`, column 1: `q_len` is a list: take its sum, max or count");
    says("sum(tokens)", "`sum(tokens)`, column 1: sum takes one list axis");
    says("min(q_len, 1)",
         "`min(q_len, 1)`, column 5: `q_len` is a list: take its sum, max or count");
}

static void a_float_makes_floats_and_nothing_else_does(void **state) {
    (void)state;
    is_int("7 / 2", 3);
    is_float("7 / 2.0", 3.5);
    is_float("1e-6", 1e-6);
    is_float("2 * 1.5e2", 300);
    is_float("1 ? 2 : 0.5", 2);
    is_float("-eps", -0.25);
    says("5 % 2.0", "`5 % 2.0`, column 5: % needs whole numbers, got a float");
    says("ceil_div(eps, 2)",
         "`ceil_div(eps, 2)`, column 10: ceil_div needs whole numbers, got a float");
    says("1e308 * 10", "`1e308 * 10`, column 7: the result is not finite");
    says("1e999", "`1e999`, column 1: 1e999 does not fit in a double");
    says("1 / 0.0", "`1 / 0.0`, column 3: division by zero");
    /* a float of a whole number whose negative is none */
    is_float("-min(-9223372036854775807 - 1, 0.5)", 0x1p63);
    is_float("-(1 ? -9223372036854775807 - 1 : 0.5)", 0x1p63);
}

static void integers_never_wrap(void **state) {
    (void)state;
    is_int("9223372036854775807", INT64_MAX);
    is_int("-9223372036854775807 - 1", INT64_MIN);
    says("9223372036854775808",
         "`9223372036854775808`, column 1: 9223372036854775808 does not fit in 64 bits");
    says("9223372036854775807 + 1", "`9223372036854775807 + 1`, column 21: "
                                    "9223372036854775807 + 1 does not fit in 64 bits");
    says("-9223372036854775807 - 2", "`-9223372036854775807 - 2`, column 22: "
                                     "-9223372036854775807 - 2 does not fit in 64 bits");
    says("4294967296 * 4294967296", "`4294967296 * 4294967296`, column 12: "
                                    "4294967296 * 4294967296 does not fit in 64 bits");
    says("(-9223372036854775807 - 1) / -1",
         "`(-9223372036854775807 - 1) / -1`, column 28: "
         "-9223372036854775808 / -1 does not fit in 64 bits");
    says("-(-9223372036854775807 - 1)", "`-(-9223372036854775807 - 1)`, column 1: "
                                        "-(-9223372036854775808) does not fit in 64 bits");
    is_int("(-9223372036854775807 - 1) % -1", 0);
    says("align_up(9223372036854775807, 2)",
         "`align_up(9223372036854775807, 2)`, column 1: "
         "align_up(9223372036854775807, 2) does not fit in 64 bits");
    says("next_pow2(4611686018427387905)",
         "`next_pow2(4611686018427387905)`, column 1: "
         "next_pow2(4611686018427387905) does not fit in 64 bits");
}

static void division_by_zero_names_the_expression(void **state) {
    (void)state;
    says("hidden / 0", "`hidden / 0`, column 8: division by zero");
    says("hidden % (tokens - 83)", "`hidden % (tokens - 83)`, column 8: division by zero");
    says("ceil_div(1, 0)", "`ceil_div(1, 0)`, column 1: division by zero");
    says("align_up(1, -2)",
         "`align_up(1, -2)`, column 1: align_up needs a positive divisor, got -2");
}

static void what_is_decided_is_checked_but_not_computed(void **state) {
    (void)state;
    is_int("0 && 1 / 0", 0);
    is_int("1 || 1 / 0", 1);
    is_int("1 ? 2 : 1 / 0", 2);
    is_int("0 ? broken : 3", 3);
    says("broken + 1",
         "`broken + 1`, column 1: broken: `1 / 0`, column 3: division by zero");
    says("0 && hiden",
         "`0 && hiden`, column 6: unknown name `hiden`, did you mean `hidden`?");
    says("1 ? 2 : layout",
         "`1 ? 2 : layout`, column 9: `layout` is a word (gate_up,up_gate): "
         "compare it by == or !=");
}

static void words_compare_with_their_words(void **state) {
    (void)state;
    is_int("layout == up_gate", 1);
    is_int("layout != up_gate", 0);
    is_int("up_gate == layout && layout != gate_up", 1);
    says("layout == upgate",
         "`layout == upgate`, column 11: `layout` has no word `upgate`, did you mean "
         "`up_gate`?");
    says("layout == tokens",
         "`layout == tokens`, column 11: `layout` has no word `tokens`, it has "
         "gate_up,up_gate");
    says("layout == 1",
         "`layout == 1`, column 11: `layout` compares with one of its words: "
         "gate_up,up_gate");
    says("layout < up_gate",
         "`layout < up_gate`, column 1: `layout` is a word (gate_up,up_gate): "
         "compare it by == or !=");
    says("layout", "`layout`, column 1: `layout` is a word (gate_up,up_gate): "
                   "compare it by == or !=");
    says("up_gate", "`up_gate`, column 1: unknown name `up_gate`");
}

static void wrong_syntax_is_pointed_at(void **state) {
    (void)state;
    says("", "``, column 1: ends where a number, a name or `(` is wanted");
    says("1 +", "`1 +`, column 4: ends where a number, a name or `(` is wanted");
    says("1 2", "`1 2`, column 3: unexpected `2`, wanted an operator");
    says("1)", "`1)`, column 2: unexpected `)`, wanted an operator");
    says("(1", "`(1`, column 3: ends where `)` is wanted");
    says("1 ? 2", "`1 ? 2`, column 6: ends where `:` is wanted");
    says("max(1, )",
         "`max(1, )`, column 8: unexpected `)`, wanted a number, a name or `(`");
    says("max(1", "`max(1`, column 6: ends where `,` or `)` is wanted");
    says("max(1)", "`max(1)`, column 1: max takes 2 or more arguments, got 1");
    says("ceil_div(1, 2, 3)",
         "`ceil_div(1, 2, 3)`, column 1: ceil_div takes 2 arguments, got 3");
    says("next_pow2()", "`next_pow2()`, column 1: next_pow2 takes 1 argument, got 0");
    says("cieldiv(1, 2)", "`cieldiv(1, 2)`, column 1: unknown name `cieldiv`, did you mean "
                          "`ceil_div`?");
    says("0 < tokens < 9",
         "`0 < tokens < 9`, column 12: comparisons do not chain: join them by &&");
    says("010", "`010`, column 1: numbers are decimal, without leading zeros");
    says("0x10", "`0x10`, column 2: unexpected `x`, wanted an operator");
    says("1.5.2", "`1.5.2`, column 4: unexpected `.`, wanted an operator");
    says("a\x1b", "`a^[`, column 2: unexpected `^[`, wanted an operator");
    says("\xc3\xa4", "`\xc3\xa4`, column 1: unexpected `\xc3\xa4`, wanted a number, a name "
                     "or `(`");
    says("tokens & 1", "`tokens & 1`, column 8: unexpected `&`, wanted an operator");
}

static char *repeated(const char *text, size_t n) {
    struct kb_buf buf = {0};
    while (n--)
        kb_buf_puts(&buf, text);
    return buf.data;
}

static void depth_and_length_are_limited(void **state) {
    struct fixture f;
    struct kb_expr_value v;
    struct kb_err err = {0};
    char *minus = repeated("-", 63), *deep = repeated("(", 500),
         *deeper = repeated("-", 64);
    char *wide = repeated("1+", 500), *text;
    struct kb_arena arena = {0};
    (void)state;
    set_up(&f);
    assert_true(kb_expr_eval(kb_arena_printf(&arena, "%s1", minus), &f.env, &v, &err));
    assert_int_equal(v.i, -1);
    assert_false(kb_expr_eval(kb_arena_printf(&arena, "%s1", deeper), &f.env, &v, &err));
    assert_non_null(strstr(err.msg, "nested deeper than 64"));
    assert_false(kb_expr_eval(deep, &f.env, &v, &err));
    assert_non_null(strstr(err.msg, "nested deeper than 64"));
    text = kb_arena_printf(&arena, "%s1", wide);
    assert_int_equal(strlen(text), 1001);
    assert_false(kb_expr_eval(text, &f.env, &v, &err));
    assert_non_null(strstr(err.msg, "longer than 1000 characters"));
    assert_true(kb_expr_eval(text + 2, &f.env, &v, &err));
    assert_int_equal(v.i, 500);
    kb_arena_free(&arena);
    free(minus);
    free(deep);
    free(deeper);
    free(wide);
}

static void no_prefix_of_an_expression_crashes(void **state) {
    static const char text[] =
        "layout == up_gate ? ceil_div(tokens * -hidden, max(sum(q_len), 2)) % 7 : "
        "!(1e3 < eps || sm >= 90 && vecs != 3) + min(1.5, align_up(9, 4))";
    struct fixture f;
    (void)state;
    set_up(&f);
    for (size_t n = 0; n < sizeof text; n++) {
        char part[sizeof text] = {0};
        struct kb_expr_value v;
        struct kb_err err = {0};
        memcpy(part, text, n);
        if (!kb_expr_eval(part, &f.env, &v, &err))
            assert_int_equal(err.kind, KB_INPUT);
        for (size_t i = 0; i < n; i++) {
            char other[sizeof text];
            memcpy(other, part, sizeof text);
            other[i] = "(){}?:&|=1a. "[(n + i) % 13];
            kb_expr_eval(other, &f.env, &v, &err);
        }
    }
}

static bool checks(const char *text, const char *op, struct kb_err *err) {
    struct kb_sample sample;
    bool is_float;
    kb_sample_make(&sample, kb_op_find(op));
    const struct kb_expr_env env = {.problem = &sample.problem};
    return kb_expr_check_env(text, &env, &is_float, err);
}

static void an_expression_is_checked_against_an_op_without_a_case(void **state) {
    struct kb_err err = {0};
    (void)state;
    assert_true(checks("ceil_div(tokens * hidden, 0)", "silu", &err));
    assert_true(checks("round == act", "silu", &err));
    assert_false(checks("elements", "silu", &err));
    assert_string_equal(err.msg, "`elements`, column 1: unknown name `elements`");
    assert_true(checks("elements / out_elements", "stream", &err));
}

static void the_names_that_a_value_came_from_are_told(void **state) {
    struct fixture f;
    struct kb_buf out = {0};
    (void)state;
    set_up(&f);
    kb_expr_uses("max(hidden, 8e2) % 16 == 0 && layout != gate_up && hidden", &f.env, &out);
    assert_string_equal(kb_buf_text(&out), " for hidden 512, layout up_gate");
    kb_buf_clear(&out);
    kb_expr_uses("sm >= 100 && vecs", &f.env, &out);
    assert_string_equal(kb_buf_text(&out), " for vecs 64 on sm_90");
    kb_buf_free(&out);
}

static void a_condition_has_the_parts_that_all_must_hold(void **state) {
    static const struct {
        const char *text, *want;
    } table[] = {
        {"a", "a"},
        {"a && b<1&&(c && d)", "a|b<1|(c && d)"},
        {"a && b || c", "a && b || c"},
        {"a ? b && c : d", "a ? b && c : d"},
        {"(a || b) && c", "(a || b)|c"},
    };
    (void)state;
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        struct kb_arena arena = {0};
        struct kb_strings parts = {0};
        struct kb_buf got = {0};
        kb_expr_parts(table[i].text, &arena, &parts);
        for (size_t k = 0; k < parts.count; k++)
            kb_buf_printf(&got, "%s%s", k ? "|" : "", parts.items[k]);
        assert_string_equal(kb_buf_text(&got), table[i].want);
        kb_buf_free(&got);
        kb_arena_free(&arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operators_bind_as_in_c),
        cmocka_unit_test(comparisons_are_0_or_1),
        cmocka_unit_test(names_are_the_problem_s_the_device_s_and_the_variant_s),
        cmocka_unit_test(functions_have_the_values_their_names_promise),
        cmocka_unit_test(lists_have_a_sum_a_max_and_a_count),
        cmocka_unit_test(a_float_makes_floats_and_nothing_else_does),
        cmocka_unit_test(integers_never_wrap),
        cmocka_unit_test(division_by_zero_names_the_expression),
        cmocka_unit_test(what_is_decided_is_checked_but_not_computed),
        cmocka_unit_test(words_compare_with_their_words),
        cmocka_unit_test(wrong_syntax_is_pointed_at),
        cmocka_unit_test(depth_and_length_are_limited),
        cmocka_unit_test(no_prefix_of_an_expression_crashes),
        cmocka_unit_test(an_expression_is_checked_against_an_op_without_a_case),
        cmocka_unit_test(the_names_that_a_value_came_from_are_told),
        cmocka_unit_test(a_condition_has_the_parts_that_all_must_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
