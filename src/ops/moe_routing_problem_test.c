/* moe_routing_problem_test.c - op moe_routing: what a case comes to, and what is refused.
 */
#include "ops/moe_routing_fixture.h"

static void assert_refused(const char *shape, const char *set, const char *message) {
    struct kb_case c = case_of(shape, KB_BF16, set);
    assert_case_refused_as(&c, message);
}

static void a_shape_gives_tokens_experts_tensors_and_cost(void **state) {
    (void)state;
    struct kb_problem p;
    struct kb_case c = case_of("83x128", KB_BF16, "");
    resolve(&c, &p);
    assert_true(name_value(&p, "tokens") == 83);
    assert_true(name_value(&p, "experts") == 128);
    assert_true(name_value(&p, "topk") == 8);
    assert_int_equal(p.n_tensors, 4);
    const struct kb_tensor_spec *t = p.tensors;
    assert_int_equal(t[LOGITS].elements, 83 * 128);
    assert_int_equal(t[SCALE].elements, 128);
    assert_int_equal(t[SCALE].dtype, KB_BF16);
    assert_int_equal(t[WEIGHTS].dtype, KB_FP32);
    assert_int_equal(t[WEIGHTS].rule, KB_RULE_BOUND);
    assert_int_equal(t[WEIGHTS].elements, 83 * 8);
    assert_int_equal(t[IDS].dtype, KB_I32);
    assert_int_equal(t[IDS].rule, KB_RULE_EXACT);
    assert_int_equal(t[IDS].elements, 83 * 8);
    assert_int_equal(p.bytes, 83 * (256 + 64) + 256);
    assert_int_equal(p.flops, 83 * (128 * 49 / 2 + 48));
}

/* The op's reads and writes as one of the stream's mixes, of about as many bytes: sums of
 * what is read alone are one for 1024 elements of fp32. */
static void the_ceiling_moves_as_many_bytes(void **state) {
    (void)state;
    static const struct {
        const char *shape, *set, *pattern;
        enum kb_dtype dtype;
        int parts;
    } cases[] = {
        {"65536x128", "", "r2w05", KB_BF16, 4},
        {"65536x128", "", "read", KB_FP32, 1024},
        {"65536x64", "", "r2w1", KB_BF16, 2},
        {"65536x32", "", "copy", KB_BF16, 1},
        {"1024x128", "topk=16", "r2w1", KB_BF16, 2},
        {"1x8", "topk=2", "r2w1", KB_BF16, 2},
    };
    for (size_t i = 0; i < KB_COUNT(cases); i++) {
        struct kb_problem p;
        struct kb_case c = case_of(cases[i].shape, cases[i].dtype, cases[i].set);
        resolve(&c, &p);
        assert_string_equal(p.ceiling_pattern, cases[i].pattern);
        int parts = cases[i].parts, bytes = (int)kb_dtype_bytes(c.dtype);
        int64_t moved = (p.ceiling_elements + p.ceiling_elements / parts) * bytes;
        assert_true(moved <= p.bytes && p.bytes - moved < 8 * (parts + 1) * bytes);
    }
}

static void no_tokens_cost_nothing_and_are_checked_all_the_same(void **state) {
    (void)state;
    struct kb_problem p;
    struct kb_case c = case_of("0x128", KB_BF16, "");
    resolve(&c, &p);
    assert_int_equal(p.bytes, 0);
    assert_int_equal(p.flops, 0);
    assert_int_equal(p.ceiling_elements, 0);
    assert_refused("0x0", "", "0x0: EXPERTS must be 1 to 1024, got 0");
    assert_refused("0x4", "", "0x4: topk=8 of 4 experts: at most all of them");
}

static void shapes_of_no_router_are_refused(void **state) {
    (void)state;
    assert_refused("128", "", "128: the shape is TOKENSxEXPERTS, two axes, got 1");
    assert_refused("2x3x128", "", "2x3x128: the shape is TOKENSxEXPERTS, two axes, got 3");
    assert_refused("7x0", "", "7x0: EXPERTS must be 1 to 1024, got 0");
    assert_refused("7x1025", "", "7x1025: EXPERTS must be 1 to 1024, got 1025");
    assert_refused("7x31", "topk=32", "7x31: topk=32 of 31 experts: at most all of them");
    struct kb_case c = case_of("7x128", KB_BF16, "");
    struct kb_err err = {0};
    assert_false(kb_case_set(&c, "topk", "0", &err));
    assert_false(kb_case_set(&c, "topk", "33", &err));
}

static void words_that_go_with_no_others_are_refused(void **state) {
    (void)state;
    assert_refused("7x128", "scale=none,scale_dtype=fp32",
                   "7x128: scale=none has no scale that scale_dtype could be");
    assert_refused("7x128", "norm=scaled,scale=none",
                   "7x128: norm=scaled goes with scale=after only");
    assert_refused("7x128", "norm=scaled,scale=before",
                   "7x128: norm=scaled goes with scale=after only");
    assert_refused("7x128", "norm=scaled,mode=eager",
                   "7x128: norm=scaled goes with mode=fp32 only");
    assert_refused("7x128", "scale=before,mode=eager",
                   "7x128: scale=before goes with mode=fp32 only");
}

static void the_scale_has_a_dtype_of_its_own_or_is_not_there(void **state) {
    (void)state;
    static const struct {
        const char *set;
        enum kb_dtype dtype;
        int word;
    } cases[] = {{"", KB_FP16, 2},
                 {"scale_dtype=bf16", KB_BF16, 1},
                 {"scale_dtype=fp16", KB_FP16, 2},
                 {"scale_dtype=fp32", KB_FP32, 3}};
    struct kb_problem p;
    for (size_t i = 0; i < KB_COUNT(cases); i++) {
        struct kb_case c = case_of("7x128", KB_FP16, cases[i].set);
        resolve(&c, &p);
        assert_int_equal(p.tensors[SCALE].dtype, cases[i].dtype);
        assert_true(name_value(&p, "scale_dtype") == cases[i].word);
    }
    struct kb_case c = case_of("7x128", KB_FP16, "scale=none");
    resolve(&c, &p);
    assert_true(p.tensors[SCALE].absent);
    assert_int_equal(p.bytes, 7 * (256 + 64));
}

static void macros_are_the_dtypes_and_numbers(void **state) {
    (void)state;
    static const char *const expected[] = {
        "KB_T",    "__half", "KB_SCALE_T", "float", "KB_MODE",  "1",
        "KB_TIES", "2",      "KB_NORM",    "1",     "KB_SCALE", "0",
    };
    struct kb_arena arena = {0};
    struct kb_strings macros = {0};
    struct kb_case c =
        case_of("7x128", KB_FP16, "mode=eager,ties=any,norm=all,scale_dtype=fp32");
    c.op->macros(&c, &arena, &macros);
    assert_int_equal(macros.count, KB_COUNT(expected));
    for (size_t i = 0; i < macros.count; i++)
        assert_string_equal(macros.items[i], expected[i]);
    kb_arena_free(&arena);
}

static void axes_make_the_shape(void **state) {
    (void)state;
    int64_t shape[KB_MAX_RANK];
    int rank = 0;
    const struct kb_op *op = kb_op_find("moe_routing");
    assert_int_equal(op->n_axes, 2);
    assert_true(kb_op_shape(op, (const int64_t[]){83, 128}, shape, &rank));
    assert_int_equal(rank, 2);
    assert_int_equal(shape[0], 83);
    assert_int_equal(shape[1], 128);
}

static void the_peers_tolerance_is_by_the_logits_dtype(void **state) {
    (void)state;
    static const double want[] = {[KB_BF16] = 5e-3, [KB_FP16] = 1e-3, [KB_FP32] = 1e-5};
    for (int dtype = KB_BF16; dtype <= KB_FP32; dtype++) {
        double atol = 0, rtol = 0;
        kb_op_find("moe_routing")
            ->peer_tolerance((enum kb_dtype)dtype, KB_FP32, &atol, &rtol);
        assert_true(atol == want[dtype] && rtol == want[dtype]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shape_gives_tokens_experts_tensors_and_cost),
        cmocka_unit_test(the_ceiling_moves_as_many_bytes),
        cmocka_unit_test(no_tokens_cost_nothing_and_are_checked_all_the_same),
        cmocka_unit_test(shapes_of_no_router_are_refused),
        cmocka_unit_test(words_that_go_with_no_others_are_refused),
        cmocka_unit_test(the_scale_has_a_dtype_of_its_own_or_is_not_there),
        cmocka_unit_test(macros_are_the_dtypes_and_numbers),
        cmocka_unit_test(axes_make_the_shape),
        cmocka_unit_test(the_peers_tolerance_is_by_the_logits_dtype),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
