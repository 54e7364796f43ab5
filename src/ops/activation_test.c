/* activation_test.c - silu, gelu and gelu_tanh: problem and reference values. */
#include "ops/op_fixture.h"

static const char *const ops[] = {"silu", "gelu", "gelu_tanh"};
static const enum kb_dtype dtypes[] = {KB_BF16, KB_FP16, KB_FP32};

static void assert_refused(const char *shape, const char *message) {
    for (size_t o = 0; o < KB_COUNT(ops); o++) {
        struct kb_case c = op_case(ops[o], shape, KB_BF16, "");
        assert_case_refused_as(&c, message);
    }
}

/* ---- the problem -----------------------------------------------------------------------
 */

static void a_shape_gives_tokens_hidden_tensors_and_cost(void **state) {
    (void)state;
    struct kb_problem p;
    struct kb_case c = op_case("gelu_tanh", "83x1024", KB_BF16, "");
    resolve(&c, &p);
    assert_true(name_value(&p, "tokens") == 83);
    assert_true(name_value(&p, "hidden") == 512);
    assert_int_equal(p.bytes, 254976);
    assert_int_equal(p.flops, 424960);
    assert_string_equal(p.ceiling_pattern, "r2w1");
    assert_int_equal(p.ceiling_elements, 83 * 1024);
    assert_int_equal(p.n_tensors, 5);
    for (int t = 2; t < 5; t++)
        assert_true(p.tensors[t].absent);
    assert_int_equal(p.tensors[0].role, KB_IN);
    const struct kb_tensor_spec *out = &p.tensors[kb_problem_find(&p, "out")];
    assert_int_equal(out->role, KB_OUT);
    assert_int_equal(out->rule, KB_RULE_BOUND);
    assert_int_equal(out->rank, 2);
    assert_int_equal(out->shape[0], 83);
    assert_int_equal(out->shape[1], 512);
    assert_int_equal(out->elements, 42496);
}

static void leading_axes_of_any_number_are_tokens(void **state) {
    (void)state;
    static const struct {
        const char *shape;
        int tokens;
    } cases[] = {
        {"16", 1}, {"2x3x16", 6}, {"1x2x1x3x1x2x1x16", 12}, {"0x16", 0}, {"3x0x16", 0}};
    for (size_t i = 0; i < KB_COUNT(cases); i++) {
        struct kb_problem p;
        struct kb_case c = op_case("silu", cases[i].shape, KB_FP32, "");
        resolve(&c, &p);
        assert_true(name_value(&p, "tokens") == cases[i].tokens);
        assert_true(name_value(&p, "hidden") == 8);
        assert_int_equal(p.tensors[1].rank, c.rank);
        assert_int_equal(p.bytes, 3 * 8 * 4 * cases[i].tokens);
    }
}

static void a_bad_last_axis_is_refused_with_and_without_rows(void **state) {
    (void)state;
    assert_refused("83x1023", "83x1023: the last axis is 2*HIDDEN, 1023 is odd");
    assert_refused("0x1023", "0x1023: the last axis is 2*HIDDEN, 1023 is odd");
    assert_refused("0x0",
                   "0x0: the last axis is 2*HIDDEN, HIDDEN must be at least 1, got 0");
}

static void elements_that_overflow_are_refused_with_and_without_rows(void **state) {
    (void)state;
    assert_refused("4294967296x4294967296",
                   "4294967296x4294967296: input: the elements overflow, a tensor has at "
                   "most 2^53 bytes");
    assert_refused("0x4294967296x4294967296",
                   "0x4294967296x4294967296: input: the elements overflow, a tensor has at "
                   "most 2^53 bytes");
    assert_refused("2251799813685249x2",
                   "2251799813685249x2: input: the elements overflow, "
                   "a tensor has at most 2^53 bytes");
    struct kb_problem p;
    struct kb_case c = op_case("silu", "2251799813685248x2", KB_BF16, "");
    resolve(&c, &p);
    assert_int_equal(p.bytes, 3 * ((int64_t)1 << 52));
}

static void axes_make_the_shape_of_a_matrix(void **state) {
    (void)state;
    int64_t shape[KB_MAX_RANK];
    int rank = 0;
    const struct kb_op *op = kb_op_find("gelu");
    assert_int_equal(op->n_axes, 2);
    assert_true(op->shape_of_axes((const int64_t[]){83, 512}, shape, &rank));
    assert_int_equal(rank, 2);
    assert_int_equal(shape[0], 83);
    assert_int_equal(shape[1], 1024);
    assert_false(op->shape_of_axes((const int64_t[]){1, INT64_MAX}, shape, &rank));
}

static void macros_are_the_dtype_and_numbers(void **state) {
    (void)state;
    static const char *const expected[] = {
        "KB_T", "__half",   "KB_ACT", "2",         "KB_ROUND", "1",          "KB_LAYOUT",
        "0",    "KB_CLAMP", "0",      "KB_FILTER", "0",        "KB_INPLACE", "0",
    };
    struct kb_arena arena = {0};
    struct kb_strings macros = {0};
    struct kb_case c = op_case("gelu_tanh", "7x16", KB_FP16, "");
    c.set[0].v = 1;
    c.op->macros(&c, &arena, &macros);
    assert_int_equal(macros.count, KB_COUNT(expected));
    for (size_t i = 0; i < macros.count; i++)
        assert_string_equal(macros.items[i], expected[i]);
    kb_arena_free(&arena);
}

static void the_peers_compare_at_1e_2_and_fp32_at_1e_4(void **state) {
    (void)state;
    for (size_t d = 0; d < KB_COUNT(dtypes); d++) {
        double atol, rtol;
        kb_op_find("silu")->peer_tolerance(dtypes[d], dtypes[d], &atol, &rtol);
        assert_true(atol == (dtypes[d] == KB_FP32 ? 1e-4 : 1e-2) && rtol == atol);
    }
}

/* ---- the reference ---------------------------------------------------------------------
 */

struct answer {
    double want, bound;
};

/* One gate and one up, which must be numbers of the dtype. */
static struct answer ask(const char *op, enum kb_dtype dtype, int round, double x,
                         double u) {
    struct kb_problem p;
    struct kb_case c = op_case(op, "2", dtype, "");
    struct answer a;
    uint32_t input[2];
    const void *in[] = {input, NULL};
    c.set[0].v = round;
    resolve(&c, &p);
    kb_bits_put(dtype, input, 0, kb_encode(dtype, x));
    kb_bits_put(dtype, input, 1, kb_encode(dtype, u));
    c.op->reference(&p, in, NULL, 1, 0, 1, &a.want, &a.bound);
    return a;
}

static void assert_value(const char *op, double x, double value) {
    double want = ask(op, KB_FP32, 0, x, 1).want;
    if (!(fabs(want - value) <= 1e-12 * fabs(value)))
        fail_msg("%s(%g) is %.12g, not %.12g", op, x, want, value);
}

static void golden_values_hold(void **state) {
    (void)state;
    assert_value("silu", 1, 0.73105857863000);
    assert_value("silu", -1, -0.26894142137000);
    assert_value("silu", -20, -4.1223072363804e-8);
    assert_value("silu", -88, -5.328049667953e-37);
    assert_value("silu", -100, -3.7200759760208e-42);
    assert_value("gelu", 1, 0.84134474606854);
    assert_value("gelu", -1, -0.15865525393146);
    assert_value("gelu", 0.5, 0.34573123063701);
    assert_value("gelu", -5, -1.433257859396e-6);
    assert_value("gelu_tanh", 1, 0.84119199060828);
    assert_value("gelu_tanh", 0.5, 0.34571400982514);
    assert_value("gelu_tanh", -5, -2.2917961966295e-7);
}

/* The textbook forms in long double, where their cancellation costs 2^-64 of x. */
static long double textbook(size_t op, long double x) {
    long double z = sqrtl(2 / acosl(-1)) * (x + 0.044715L * x * x * x);
    if (op == 0)
        return x / (1 + expl(-x));
    return x / 2 * (1 + (op == 1 ? erfl(x / sqrtl(2)) : tanhl(z)));
}

static void the_reference_is_the_textbook_form_where_that_does_not_cancel(void **state) {
    (void)state;
    for (size_t o = 0; o < KB_COUNT(ops); o++)
        for (double x = -3; x < 12; x += 0.0625) {
            long double expected = textbook(o, (long double)x);
            long double want = (long double)ask(ops[o], KB_FP32, 0, x, 1).want;
            assert_true(fabsl(want - expected) <= 1e-14L * fabsl(expected));
        }
}

static void zeros_infinities_and_nan_are_those_of_the_formula(void **state) {
    (void)state;
    for (size_t o = 0; o < KB_COUNT(ops); o++)
        for (size_t d = 0; d < KB_COUNT(dtypes); d++)
            for (int round = 0; round < 2; round++) {
#define WANT(x, u) ask(ops[o], dtypes[d], round, x, u).want
                assert_true(WANT(0.0, 1) == 0 && !signbit(WANT(0.0, 1)));
                assert_true(WANT(-0.0, 1) == 0 && signbit(WANT(-0.0, 1)));
                assert_true(isinf(WANT(INFINITY, 1)) && WANT(INFINITY, 1) > 0);
                assert_true(isinf(WANT(INFINITY, -1)) && WANT(INFINITY, -1) < 0);
                assert_true(isnan(WANT(-INFINITY, 1)));
                assert_true(isnan(WANT(NAN, 1)));
                assert_true(isnan(WANT(1, NAN)));
                assert_true(isnan(WANT(INFINITY, 0)));
                assert_true(isnan(WANT(0, INFINITY)));
                assert_true(isinf(WANT(1, -INFINITY)) && WANT(1, -INFINITY) < 0);
                assert_true(ask(ops[o], dtypes[d], round, NAN, 1).bound == 0);
#undef WANT
            }
}

/* Far down every fp32 kernel holds 0, just below where exp overflows some do not. */
static void an_infinite_up_asks_whether_act_is_zero_in_fp32(void **state) {
    (void)state;
    for (size_t o = 0; o < KB_COUNT(ops); o++) {
        struct answer a = ask(ops[o], KB_FP32, 0, -1000, INFINITY);
        assert_true(isnan(a.want) && a.bound == 0);
        a = ask(ops[o], KB_FP32, 0, -2, INFINITY);
        assert_true(isinf(a.want) && a.want < 0 && a.bound == 0);
    }
    assert_true(isinf(ask("silu", KB_FP32, 0, -95, INFINITY).bound));
    assert_true(isinf(ask("gelu", KB_BF16, 0, -8, INFINITY).bound));
    assert_true(isinf(ask("gelu_tanh", KB_FP16, 0, -8, INFINITY).bound));
    struct answer held = ask("silu", KB_FP16, 1, -30, INFINITY);
    assert_true(isnan(held.want) && held.bound == 0);
}

static void exp_may_overflow_and_a_reciprocal_be_flushed(void **state) {
    (void)state;
    struct answer a = ask("silu", KB_FP32, 0, -89, 0x1p100);
    assert_true(a.want < 0 && a.bound > 3 * -a.want);
    a = ask("silu", KB_FP32, 0, -87, 0x1p100);
    assert_true(a.want < 0 && a.bound < 1e-4 * -a.want);
}

static void round_act_rounds_act_to_the_dtype_first(void **state) {
    (void)state;
    struct answer a = ask("silu", KB_BF16, 1, 1, 3);
    assert_true(a.want == 3 * kb_decode(KB_BF16, kb_encode(KB_BF16, 0.731058578630)));
    a = ask("gelu", KB_FP16, 1, 1, 3);
    assert_true(a.want == 3 * kb_decode(KB_FP16, kb_encode(KB_FP16, 0.841344746069)));
    a = ask("gelu", KB_FP32, 1, 1, 3);
    assert_true(a.want == ask("gelu", KB_FP32, 0, 1, 3).want);
}

/* Silu of 16-bit gates, and how near act(x) lies to a midpoint of the grid. */
static void round_act_allows_the_other_neighbour_only_near_a_midpoint(void **state) {
    (void)state;
    int near = 0, far = 0;
    for (uint32_t bits = 0x2c00; bits < 0x4800; bits++) {
        double x = kb_decode(KB_FP16, bits), a = x / (1 + exp(-x));
        double ulp = kb_ulp(KB_FP16, a), off = fabs(fmod(a, ulp) / ulp - 0.5) * ulp;
        double bound = ask("silu", KB_FP16, 1, x, 1).bound;
        if (off < a * 0x1p-21) {
            near++;
            assert_true(bound >= ulp);
        } else if (off > a * 0x1p-19) {
            assert_true(bound < ulp / 2);
        }
        if (off > a * 0x1p-15) {
            far++;
            assert_true(bound < ulp / 1000);
        }
    }
    assert_true(near > 0);
    assert_true(far > 5000);
}

/* An act(x) that is off by almost as much as a fast-math build may be. */
static void round_act_has_room_for_a_fast_math_build(void **state) {
    (void)state;
    int flips = 0;
    for (uint32_t bits = 0x2c00; bits < 0x4800; bits++) {
        double x = kb_decode(KB_FP16, bits);
        struct answer once = ask("silu", KB_FP16, 0, x, 1);
        struct answer act = ask("silu", KB_FP16, 1, x, 1);
        double off = once.want + (bits & 1 ? 6 : -6) * once.bound;
        double got = kb_decode(KB_FP16, kb_encode(KB_FP16, off));
        flips += got != act.want;
        assert_true(fabs(got - act.want) <=
                    act.bound * kb_op_find("silu")->fast_math_factor);
    }
    assert_true(flips > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shape_gives_tokens_hidden_tensors_and_cost),
        cmocka_unit_test(leading_axes_of_any_number_are_tokens),
        cmocka_unit_test(a_bad_last_axis_is_refused_with_and_without_rows),
        cmocka_unit_test(elements_that_overflow_are_refused_with_and_without_rows),
        cmocka_unit_test(axes_make_the_shape_of_a_matrix),
        cmocka_unit_test(macros_are_the_dtype_and_numbers),
        cmocka_unit_test(the_peers_compare_at_1e_2_and_fp32_at_1e_4),
        cmocka_unit_test(golden_values_hold),
        cmocka_unit_test(the_reference_is_the_textbook_form_where_that_does_not_cancel),
        cmocka_unit_test(zeros_infinities_and_nan_are_those_of_the_formula),
        cmocka_unit_test(an_infinite_up_asks_whether_act_is_zero_in_fp32),
        cmocka_unit_test(exp_may_overflow_and_a_reciprocal_be_flushed),
        cmocka_unit_test(round_act_rounds_act_to_the_dtype_first),
        cmocka_unit_test(round_act_allows_the_other_neighbour_only_near_a_midpoint),
        cmocka_unit_test(round_act_has_room_for_a_fast_math_build),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
