/* case_test.c - ids, shapes, parameter values and tolerances as text. */
#include "op/group.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* An op with parameters of all kinds, in an order that is not that of their names. */
static const struct kb_param toy_params[] = {
    {.name = "style", .kind = KB_PARAM_WORD, .words = "neox,pairs,both", .def = 1},
    {.name = "eps", .kind = KB_PARAM_FLOAT, .min = 0, .max = 1, .def = 1e-6},
    {.name = "step", .kind = KB_PARAM_INT, .min = 1, .max = 64, .def = 1},
    {.name = "beta", .kind = KB_PARAM_FLOAT, .min = -1e300, .max = 1e300, .def = 0},
    {.name = "lens", .kind = KB_PARAM_LIST, .min = 0, .max = 4096},
};
static const enum kb_fill toy_fills[] = {KB_FILL_NORMAL, KB_FILL_NAN, KB_FILL_ZEROS};
static const struct kb_op toy = {
    .name = "toy",
    .shape_form = "ROWSxCOLS",
    .dtypes = {KB_FP32, KB_FP16},
    .n_dtypes = 2,
    .params = toy_params,
    .n_params = KB_COUNT(toy_params),
    .fills = toy_fills,
    .n_fills = KB_COUNT(toy_fills),
};

static struct kb_case toy_case(void) {
    struct kb_case c;
    kb_case_start(&c, &toy);
    c.shape[0] = 83;
    c.shape[1] = 1024;
    c.rank = 2;
    return c;
}

static void a_list_is_numbers_joined_by_plus(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    struct kb_err err = {0};
    struct kb_case c = toy_case(), other;
    assert_true(kb_case_set(&c, "lens", "64+0+4096", &err));
    assert_true(c.set[4].v == 3 && c.set[4].items[0] == 64 && c.set[4].items[2] == 4096);
    assert_string_equal(kb_case_id(&c, &arena), "toy/83x1024/fp32/lens=64+0+4096");
    other = c;
    assert_true(kb_value_same(&c.set[4], &other.set[4]));
    assert_true(kb_case_set(&other, "lens", "64+1+4096", &err));
    assert_false(kb_value_same(&c.set[4], &other.set[4]));
    assert_true(kb_case_set(&other, "lens", "", &err));
    assert_string_equal(kb_case_id(&other, &arena), "toy/83x1024/fp32");
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"64+4097", "lens: wants 0 to 4096, got 4097"},
        {"64+x", "lens: wants up to 16 whole numbers joined by +, got \"64+x\""},
        {"1+2+3+4+5+6+7+8+9+10+11+12+13+14+15+16+17",
         "lens: wants up to 16 whole numbers joined by +, got "
         "\"1+2+3+4+5+6+7+8+9+10+11+12+13+14+15+16+17\""},
    };
    for (size_t i = 0; i < KB_COUNT(bad); i++) {
        struct kb_err told = {0};
        assert_false(kb_case_set(&c, "lens", bad[i].text, &told));
        assert_string_equal(told.msg, bad[i].says);
    }
    assert_true(c.set[4].v == 3);
    kb_arena_free(&arena);
}

/* ---- shapes ----------------------------------------------------------------------------
 */

static void shapes_are_sizes_joined_by_x(void **state) {
    (void)state;
    static const char *const good[] = {
        "0", "7", "83x1024", "0x0", "1x2x3x4x5x6x7x8", "9007199254740992",
    };
    for (size_t i = 0; i < KB_COUNT(good); i++) {
        int64_t shape[KB_MAX_RANK];
        int rank;
        struct kb_buf text = {0};
        assert_true(kb_shape_parse(good[i], shape, &rank));
        kb_shape_print(shape, rank, &text);
        assert_string_equal(kb_buf_text(&text), good[i]);
        kb_buf_free(&text);
    }
}

static void what_is_no_shape_is_refused_and_changes_nothing(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "x",
        "7x",
        "x7",
        "7xx7",
        "7 x7",
        " 7",
        "7 ",
        "-1",
        "+1",
        "7x-2",
        "7X16",
        "7,16",
        "1e3",
        "0x10h",
        "07",
        "00",
        "7x016",
        "7.0",
        "1x2x3x4x5x6x7x8x9",
        "9007199254740993",
        "18446744073709551616",
        "99999999999999999999999999999999",
    };
    for (size_t i = 0; i < KB_COUNT(bad); i++) {
        int64_t shape[KB_MAX_RANK] = {42};
        int rank = 17;
        if (kb_shape_parse(bad[i], shape, &rank))
            fail_msg("\"%s\" was taken for a shape", bad[i]);
        assert_int_equal(shape[0], 42);
        assert_int_equal(rank, 17);
    }
}

/* ---- values ----------------------------------------------------------------------------
 */

static void values_print_as_the_shortest_text_that_reads_back(void **state) {
    (void)state;
    static const struct {
        int param;
        const char *text, *printed;
    } table[] = {
        {0, "neox", "neox"},
        {0, "both", "both"},
        {1, "0.5", "0.5"},
        {1, "5e-1", "0.5"},
        {1, "1e-6", "1e-06"},
        {1, "0.10", "0.1"},
        {1, "-0", "0"},
        {1, "0.30000000000000004", "0.30000000000000004"},
        {2, "7", "7"},
        {2, "64", "64"},
        {3, "-1e300", "-1e+300"},
        {3, "1234567", "1234567"},
        {3, "10", "10"},
        {3, "-2e3", "-2000"},
        {3, "1e14", "100000000000000"},
    };
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        struct kb_value v;
        struct kb_err err = {0};
        struct kb_buf text = {0};
        const struct kb_param *param = &toy_params[table[i].param];
        assert_true(kb_value_parse(param, table[i].text, &v, &err));
        kb_value_print(param, v, &text);
        assert_string_equal(kb_buf_text(&text), table[i].printed);
        kb_buf_free(&text);
    }
}

static void a_bad_setting_says_what_was_wanted_and_changes_nothing(void **state) {
    (void)state;
    static const struct {
        const char *key, *value, *message;
    } table[] = {
        {"style", "neo", "style: unknown value \"neo\", did you mean \"neox\"?"},
        {"style", "", "style: unknown value \"\"; there are neox, pairs, both"},
        {"style", "1", "style: unknown value \"1\"; there are neox, pairs, both"},
        {"step", "0", "step: wants 1 to 64, got 0"},
        {"step", "65", "step: wants 1 to 64, got 65"},
        {"step", "1.5", "step: wants a whole number up to 2^53, got \"1.5\""},
        {"step", "9007199254740993",
         "step: wants a whole number up to 2^53, got \"9007199254740993\""},
        {"step", "", "step: wants a whole number up to 2^53, got \"\""},
        {"eps", "1.0000001", "eps: wants 0 to 1, got 1.0000001"},
        {"eps", "-1e-9", "eps: wants 0 to 1, got -1e-09"},
        {"eps", "nan", "eps: wants a number, got \"nan\""},
        {"eps", "1e999", "eps: wants a number, got \"1e999\""},
        {"stile", "neox", "toy: unknown key \"stile\", did you mean \"style\"?"},
        {"Step", "2", "toy: unknown key \"Step\", did you mean \"step\"?"},
        {"zzz", "1",
         "toy: unknown key \"zzz\"; there are fill, style, eps, step, beta, lens"},
        {"fill", "nam", "unknown fill \"nam\", did you mean \"nan\"?"},
        {"fill", "large", "toy has no fill large; it has normal, nan, zeros"},
    };
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        struct kb_case c = toy_case(), before = c;
        struct kb_err err = {0};
        assert_false(kb_case_set(&c, table[i].key, table[i].value, &err));
        assert_string_equal(err.msg, table[i].message);
        assert_int_equal(err.kind, KB_INPUT);
        assert_memory_equal(&c, &before, sizeof c);
    }
}

static void a_number_is_a_value_where_it_is_in_range(void **state) {
    (void)state;
    struct kb_value v = {.v = -1};
    struct kb_err err = {0};
    assert_true(kb_value_of(&toy_params[2], 64, &v, &err));
    assert_true(v.v == 64);
    assert_true(kb_value_of(&toy_params[1], -0.0, &v, &err));
    assert_true(v.v == 0 && !signbit(v.v));
    assert_false(kb_value_of(&toy_params[2], 1.5, &v, &err));
    assert_string_equal(err.msg, "step: wants a whole number from 1 to 64, got 1.5");
    assert_false(kb_value_of(&toy_params[1], NAN, &v, &err));
    assert_string_equal(err.msg, "eps: wants 0 to 1, got nan");
    assert_false(kb_value_of(&toy_params[0], 1, &v, &err));
    assert_string_equal(err.msg, "style: wants a word of neox,pairs,both, got a number");
    assert_true(v.v == 0);
}

/* ---- ids -------------------------------------------------------------------------------
 */

static void an_id_shows_what_is_not_the_default_sorted_by_key(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    struct kb_err err = {0};
    struct kb_case c = toy_case();
    assert_string_equal(kb_case_id(&c, &arena), "toy/83x1024/fp32");
    assert_true(kb_case_set(&c, "style", "both", &err));
    assert_true(kb_case_set(&c, "step", "16", &err));
    assert_true(kb_case_set(&c, "fill", "nan", &err));
    assert_true(kb_case_set(&c, "beta", "0.1", &err));
    assert_true(kb_case_set(&c, "eps", "0.000001", &err));
    c.dtype = KB_FP16;
    assert_string_equal(kb_case_id(&c, &arena),
                        "toy/83x1024/fp16/beta=0.1/fill=nan/step=16/style=both");
    kb_arena_free(&arena);
}

static void a_case_starts_with_bf16_or_the_first_dtype(void **state) {
    (void)state;
    struct kb_case c;
    kb_case_start(&c, kb_op_find("silu"));
    assert_int_equal(c.dtype, KB_BF16);
    kb_case_start(&c, &toy);
    assert_int_equal(c.dtype, KB_FP32);
    assert_int_equal(c.fill, KB_FILL_NORMAL);
    assert_true(c.set[0].v == 1 && c.set[2].v == 1);
    assert_int_equal(c.tolerance.rule, KB_TOL_BOUND);
}

static void ids_are_taken_in_any_order_and_become_canonical(void **state) {
    (void)state;
    static const struct {
        const char *id, *canonical;
    } table[] = {
        {"silu/83x1024/bf16", "silu/83x1024/bf16"},
        {"silu/83x1024/bfloat16", "silu/83x1024/bf16"},
        {"gelu/7x16/half", "gelu/7x16/fp16"},
        {"gelu_tanh/64x2048/bf16/round=act/fill=nan",
         "gelu_tanh/64x2048/bf16/fill=nan/round=act"},
        {"gelu/0x16/float32/fill=normal/round=once", "gelu/0x16/fp32"},
        {"stream/64/bf16/pattern=r2w1/fill=bits", "stream/64/bf16"},
        {"stream/1x1x64/fp32/pattern=copy", "stream/1x1x64/fp32/pattern=copy"},
    };
    struct kb_arena arena = {0};
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        struct kb_complaints c = {0};
        struct kb_case out;
        assert_true(kb_case_parse(table[i].id, &arena, &out, &c));
        assert_string_equal(out.id, table[i].canonical);
        assert_string_equal(out.tags, "");
        assert_string_equal(out.origin, "command line");
        assert_int_equal(c.count, 0);
    }
    kb_arena_free(&arena);
}

static void every_error_of_an_id_is_complained_about(void **state) {
    (void)state;
    static const struct {
        const char *id, *complaints;
    } table[] = {
        {"silu/83x1024",
         "\"silu/83x1024\" is no id, wanted op/shape/dtype[/key=value...]\n"},
        {"", "\"\" is no id, wanted op/shape/dtype[/key=value...]\n"},
        {"silu//",
         "silu//: \"\" is no shape, wanted TOKENSx2*HIDDEN\n"
         "silu//: unknown dtype \"\"; there are bf16, fp16, fp32, e4m3, i32, u8\n"},
        {"gelutanh/7x16/bf16",
         "gelutanh/7x16/bf16: unknown op \"gelutanh\", did you mean \"gelu_tanh\"?\n"},
        {"silu/7y16/bf61",
         "silu/7y16/bf61: \"7y16\" is no shape, wanted TOKENSx2*HIDDEN\n"
         "silu/7y16/bf61: unknown dtype \"bf61\", did you mean \"bf16\"?\n"},
        {"silu/7x16/i32",
         "silu/7x16/i32: silu has no dtype i32; it has bf16, fp16, fp32\n"},
        {"silu/7x16/bf16/", "silu/7x16/bf16/: \"\" is not KEY=VALUE\n"},
        {"silu/7x16/bf16/act", "silu/7x16/bf16/act: \"act\" is not KEY=VALUE\n"},
        {"silu/7x16/bf16/round=act/round=once",
         "silu/7x16/bf16/round=act/round=once: round is given twice\n"},
        {"silu/7x16/bf16/ruond=act/fill=nam",
         "silu/7x16/bf16/ruond=act/fill=nam: silu: unknown key \"ruond\", did you mean "
         "\"round\"?\n"
         "silu/7x16/bf16/ruond=act/fill=nam: unknown fill \"nam\", did you mean "
         "\"nan\"?\n"},
    };
    struct kb_arena arena = {0};
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        struct kb_complaints c = {0};
        struct kb_case out = {.rank = 99};
        struct kb_buf want = {0};
        assert_false(kb_case_parse(table[i].id, &arena, &out, &c));
        assert_int_equal(out.rank, 99);
        for (const char *line = table[i].complaints; *line; line = strchr(line, '\n') + 1)
            kb_buf_printf(&want, "kbench: error: --case: %.*s\n", (int)strcspn(line, "\n"),
                          line);
        assert_string_equal(kb_buf_text(&c.text), kb_buf_text(&want));
        kb_buf_free(&want);
        kb_complaints_free(&c);
    }
    kb_arena_free(&arena);
}

static void a_word_that_is_near_none_gets_the_list_of_all(void **state) {
    (void)state;
    struct kb_buf want = {0}, got = {0};
    kb_buf_puts(&want, "unknown op \"zz\"; there are");
    for (int i = 0; i < kb_op_count; i++)
        kb_buf_printf(&want, "%s %s", i ? "," : "", kb_ops[i]->name);
    assert_null(kb_unknown_op(&got, "zz"));
    assert_string_equal(kb_buf_text(&got), kb_buf_text(&want));
    kb_buf_clear(&got);
    assert_ptr_equal(kb_unknown_op(&got, "sliu"), kb_op_find("silu"));
    assert_string_equal(kb_buf_text(&got), "unknown op \"sliu\", did you mean \"silu\"?");
    kb_buf_free(&got);
    kb_buf_free(&want);
}

static void too_many_settings_are_no_id(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    struct kb_complaints c = {0};
    struct kb_case out;
    struct kb_buf id = {0};
    kb_buf_puts(&id, "silu/7x16/bf16");
    for (int i = 0; i < 100000; i++)
        kb_buf_printf(&id, "/k%d=1", i);
    assert_false(kb_case_parse(id.data, &arena, &out, &c));
    assert_int_equal(c.count, 1);
    kb_buf_free(&id);
    kb_complaints_free(&c);
    kb_arena_free(&arena);
}

/* A stream of numbers that is the same on every run. */
static uint32_t draw(uint64_t *counter, uint32_t below) {
    uint32_t words[4];
    kb_philox(0x5eed, 0, (*counter)++, words);
    return words[0] % below;
}

static struct kb_case random_case(uint64_t *at) {
    struct kb_case c;
    const struct kb_op *op = kb_ops[draw(at, (uint32_t)kb_op_count)];
    kb_case_start(&c, op);
    c.rank = 1 + (int)draw(at, KB_MAX_RANK);
    for (int i = 0; i < c.rank; i++)
        c.shape[i] = draw(at, 2) ? draw(at, 1u << 31) : draw(at, 40);
    c.dtype = op->dtypes[draw(at, (uint32_t)op->n_dtypes)];
    c.fill = op->fills[draw(at, (uint32_t)op->n_fills)];
    for (int i = 0; i < op->n_params; i++)
        if (op->params[i].kind == KB_PARAM_WORD) {
            uint32_t words = 1;
            for (const char *p = op->params[i].words; *p; p++)
                words += *p == ',';
            c.set[i].v = draw(at, words);
        }
    return c;
}

static void printing_and_parsing_undo_each_other(void **state) {
    (void)state;
    uint64_t at = 0;
    struct kb_arena arena = {0};
    for (int i = 0; i < 2000; i++) {
        struct kb_case c = random_case(&at), back;
        struct kb_complaints complaints = {0};
        const char *id = kb_case_id(&c, &arena);
        assert_true(kb_case_parse(id, &arena, &back, &complaints));
        assert_string_equal(back.id, id);
        assert_ptr_equal(back.op, c.op);
        assert_int_equal(back.dtype, c.dtype);
        assert_int_equal(back.fill, c.fill);
        assert_int_equal(back.rank, c.rank);
        assert_memory_equal(back.shape, c.shape, (size_t)c.rank * sizeof *c.shape);
        for (int k = 0; k < c.op->n_params; k++)
            assert_true(back.set[k].v == c.set[k].v);
        kb_arena_reset(&arena);
    }
    kb_arena_free(&arena);
}

/* ---- tolerances ------------------------------------------------------------------------
 */

static void tolerances_are_bound_peer_or_two_numbers(void **state) {
    (void)state;
    struct kb_tolerance t = {.rule = KB_TOL_GIVEN, .atol = 1, .rtol = 2};
    struct kb_err err = {0};
    assert_true(kb_tolerance_parse("bound", &t, &err));
    assert_int_equal(t.rule, KB_TOL_BOUND);
    assert_true(kb_tolerance_parse("peer", &t, &err));
    assert_int_equal(t.rule, KB_TOL_PEER);
    assert_true(t.atol == 0 && t.rtol == 0);
    assert_true(kb_tolerance_parse("1e-2,0", &t, &err));
    assert_int_equal(t.rule, KB_TOL_GIVEN);
    assert_true(t.atol == 1e-2 && t.rtol == 0);
    static const char *const bad[] = {
        "",      "Bound", "peers", "1e-2",  "1e-2,", ",1",
        "1,2,3", "-1,0",  "1,-2",  "nan,0", "1 ,2",
    };
    for (size_t i = 0; i < KB_COUNT(bad); i++) {
        char want[128];
        snprintf(want, sizeof want, "\"%s\" is none of bound, peer and ATOL,RTOL", bad[i]);
        assert_false(kb_tolerance_parse(bad[i], &t, &err));
        assert_string_equal(err.msg, want);
        assert_true(t.atol == 1e-2);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_numbers_joined_by_plus),
        cmocka_unit_test(shapes_are_sizes_joined_by_x),
        cmocka_unit_test(what_is_no_shape_is_refused_and_changes_nothing),
        cmocka_unit_test(values_print_as_the_shortest_text_that_reads_back),
        cmocka_unit_test(a_bad_setting_says_what_was_wanted_and_changes_nothing),
        cmocka_unit_test(a_number_is_a_value_where_it_is_in_range),
        cmocka_unit_test(an_id_shows_what_is_not_the_default_sorted_by_key),
        cmocka_unit_test(a_case_starts_with_bf16_or_the_first_dtype),
        cmocka_unit_test(ids_are_taken_in_any_order_and_become_canonical),
        cmocka_unit_test(every_error_of_an_id_is_complained_about),
        cmocka_unit_test(a_word_that_is_near_none_gets_the_list_of_all),
        cmocka_unit_test(too_many_settings_are_no_id),
        cmocka_unit_test(printing_and_parsing_undo_each_other),
        cmocka_unit_test(tolerances_are_bound_peer_or_two_numbers),
    };
    return cmocka_run_group_tests_name("case", tests, NULL, NULL);
}
