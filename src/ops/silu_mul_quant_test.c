/* silu_mul_quant_test.c - the page of silu_mul_quant: what a case comes to, what is
 * refused, where scales lie. */
#include "ops/silu_mul_quant_fixture.h"

/* ---- the problem -----------------------------------------------------------------------
 */

static double value_of(const struct kb_problem *p, const char *name) {
    for (int i = 0; i < p->n_names; i++)
        if (!strcmp(p->names[i].name, name))
            return p->names[i].value;
    fail_msg("no name %s", name);
    return 0;
}

static void assert_tensor(const struct kb_problem *p, int t, const char *name,
                          enum kb_dtype dtype, const char *shape) {
    const struct kb_tensor_spec *spec = &p->tensors[t];
    struct kb_buf got = {0};
    kb_shape_print(spec->shape, spec->rank, &got);
    assert_string_equal(spec->name, name);
    assert_string_equal(kb_buf_text(&got), shape);
    assert_int_equal(spec->dtype, dtype);
    kb_buf_free(&got);
}

static void a_shape_gives_groups_tensors_and_cost(void **state) {
    (void)state;
    struct kb_case c = case_of("83x1536", KB_BF16, "");
    struct kb_problem p;
    resolve(&c, &p);
    assert_int_equal(p.n_tensors, 4);
    assert_tensor(&p, KB_SMQ_INPUT, "input", KB_BF16, "83x1536");
    assert_tensor(&p, KB_SMQ_CODES, "y_q", KB_E4M3, "83x768");
    assert_tensor(&p, KB_SMQ_SCALES, "y_s", KB_FP32, "83x6");
    assert_true(p.tensors[KB_SMQ_COUNTS].absent);
    assert_true(value_of(&p, "tokens") == 83 && value_of(&p, "rows") == 83);
    assert_true(value_of(&p, "hidden") == 768 && value_of(&p, "groups") == 6);
    assert_true(value_of(&p, "scale_rows") == 83);
    assert_int_equal(p.bytes, 83 * (5 * 768 + 4 * 6));
    assert_int_equal(p.flops, 83 * 768 * 9);
    assert_string_equal(p.ceiling_pattern, "r2w05");
    assert_true(p.ceiling_elements % 32 == 0);
    assert_true(llabs(p.ceiling_elements * 5 / 2 - p.bytes) <= 80);
}

static void each_layout_of_the_scales_has_its_shape(void **state) {
    (void)state;
    static const struct {
        const char *set, *shape;
        enum kb_dtype dtype;
    } layouts[] = {
        {"scale_layout=row", "83x5", KB_FP32},
        {"scale_layout=col", "5x83", KB_FP32},
        {"scale_layout=col_tma", "5x84", KB_FP32},
        {"scale_layout=packed,ue8m0=yes", "2x84x4", KB_U8},
        {"scale_layout=row,mask=full,experts=1", "1x83x5", KB_FP32},
        {"scale_layout=packed,ue8m0=yes,mask=full,experts=1", "1x2x84x4", KB_U8},
    };
    for (size_t i = 0; i < KB_COUNT(layouts); i++) {
        struct kb_case c = case_of("83x1280", KB_FP16, layouts[i].set);
        struct kb_problem p;
        resolve(&c, &p);
        assert_tensor(&p, KB_SMQ_SCALES, "y_s", layouts[i].dtype, layouts[i].shape);
    }
}

static void with_a_mask_rows_are_by_experts(void **state) {
    (void)state;
    struct kb_case c = case_of("40x768", KB_BF16, "mask=balanced,experts=8");
    struct kb_problem p;
    resolve(&c, &p);
    assert_tensor(&p, KB_SMQ_INPUT, "input", KB_BF16, "8x5x768");
    assert_tensor(&p, KB_SMQ_COUNTS, "masked_m", KB_I32, "8");
    assert_tensor(&p, KB_SMQ_CODES, "y_q", KB_E4M3, "8x5x384");
    assert_tensor(&p, KB_SMQ_SCALES, "y_s", KB_FP32, "8x5x3");
    assert_false(p.tensors[KB_SMQ_COUNTS].absent);
    assert_true(value_of(&p, "tokens") == 40 && value_of(&p, "rows") == 5);
    assert_int_equal(p.bytes, 20 * (5 * 384 + 4 * 3) + 4 * 8);
}

static void leading_axes_are_rows(void **state) {
    (void)state;
    struct kb_case c = case_of("2x3x768", KB_BF16, "scale_layout=col_tma");
    struct kb_problem p;
    resolve(&c, &p);
    assert_tensor(&p, KB_SMQ_CODES, "y_q", KB_E4M3, "2x3x384");
    assert_tensor(&p, KB_SMQ_SCALES, "y_s", KB_FP32, "3x8");
}

static void what_cannot_be_is_refused_with_and_without_rows(void **state) {
    (void)state;
    static const struct {
        const char *shape, *set, *why;
    } bad[] = {
        {"0x257", "", "0x257: the last axis is 2*HIDDEN, 257 is odd"},
        {"3x0", "", "3x0: the last axis is 2*HIDDEN, HIDDEN must be at least 1, got 0"},
        {"0x320", "", "0x320: HIDDEN must be a multiple of the group, 160 is none of 128"},
        {"3x384", "group=48", "3x384: group must be a power of two, got 48"},
        {"0x256", "scale_layout=packed",
         "0x256: scale_layout=packed holds exponents and no more; it goes with ue8m0=yes "
         "only"},
        {"3x256", "clamp=1e-60", "3x256: clamp: 1e-60 is 0 in bf16, no limit"},
        {"3x256", "experts=4", "3x256: experts is for a mask, mask=none has no experts"},
        {"9x256", "mask=full",
         "9x256: the experts have as many rows each, 9 rows are none for 8"},
        {"2x4x256", "mask=full",
         "2x4x256: with a mask a shape is TOKENSx2*HIDDEN, TOKENS being the rows of all "
         "experts, got 3 axes"},
        {"34359738368x256", "mask=full,experts=1",
         "34359738368x256: masked_m holds 32-bit counts, 34359738368 rows are too many"},
        {"9007199254740992x9007199254740992x0x256", "",
         "9007199254740992x9007199254740992x0x256: input: the elements overflow, a tensor "
         "has at most 2^53 bytes"},
    };
    for (size_t i = 0; i < KB_COUNT(bad); i++) {
        struct kb_case c = case_of(bad[i].shape, KB_BF16, bad[i].set);
        assert_case_refused_as(&c, bad[i].why);
    }
}

static void macros_are_the_dtype_and_numbers(void **state) {
    (void)state;
    static const char *const expected[] = {
        "KB_T",     "__half", "KB_ROUND", "2", "KB_LAYOUT", "1", "KB_SCALE_LAYOUT", "3",
        "KB_UE8M0", "1",      "KB_CLAMP", "1", "KB_MASK",   "4",
    };
    struct kb_case c = case_of("8x256", KB_FP16,
                               "round=product,layout=up_gate,scale_layout=packed,ue8m0=yes,"
                               "clamp=10,mask=extreme");
    struct kb_arena arena = {0};
    struct kb_strings got = {0};
    c.op->macros(&c, &arena, &got);
    assert_int_equal(got.count, KB_COUNT(expected));
    for (size_t i = 0; i < got.count; i++)
        assert_string_equal(got.items[i], expected[i]);
    kb_arena_free(&arena);
}

/* ---- places ----------------------------------------------------------------------------
 */

static void every_scale_has_one_place(void **state) {
    (void)state;
    static const char *const sets[] = {
        "scale_layout=row,mask=full,experts=3",
        "scale_layout=col,mask=full,experts=3",
        "scale_layout=col_tma,mask=full,experts=3",
        "scale_layout=packed,ue8m0=yes,mask=full,experts=3",
    };
    for (size_t i = 0; i < KB_COUNT(sets); i++) {
        struct kb_case c = case_of("15x1280", KB_BF16, sets[i]);
        struct kb_problem p;
        resolve(&c, &p);
        struct kb_smq q = kb_smq_of(&c);
        int64_t n = p.tensors[KB_SMQ_SCALES].elements, inside = 0;
        for (int64_t at = 0; at < n; at++) {
            struct kb_smq_place place = kb_smq_place_of(&q, at);
            assert_int_equal(kb_smq_element_of(&q, place), at);
            inside += place.row < 5 && place.group < 5;
        }
        assert_int_equal(inside, 3 * 5 * 5);
    }
}

static void assert_element(const char *set, int64_t row, int64_t group, int64_t element) {
    struct kb_case c = case_of("6x1280", KB_BF16, set);
    struct kb_smq q = kb_smq_of(&c);
    struct kb_smq_place place = {0, row, group};
    assert_int_equal(kb_smq_element_of(&q, place), element);
}

/* Six rows, eight with padding, and five groups. */
static void scales_lie_by_rows_by_columns_and_in_bytes(void **state) {
    (void)state;
    assert_element("scale_layout=row", 2, 3, 2 * 5 + 3);
    assert_element("scale_layout=col", 2, 3, 3 * 6 + 2);
    assert_element("scale_layout=col_tma", 2, 3, 3 * 8 + 2);
    assert_element("scale_layout=packed,ue8m0=yes", 2, 3, 4 * 2 + 3);
    assert_element("scale_layout=packed,ue8m0=yes", 2, 4, 4 * (8 + 2));
}

/* Second expert, its first row, column 130: the second group. */
static void a_code_is_made_of_its_gate_its_up_and_its_scale(void **state) {
    (void)state;
    struct run r;
    struct kb_source sources[KB_MAX_SOURCES];
    float scales[2 * 5 * 3] = {[5 * 3 + 1] = 0.25f};
    int64_t row = 5, col = 130;
    run_make(&r, "10x768", KB_BF16, "layout=up_gate,mask=full,experts=2");
    r.in[KB_SMQ_SCALES] = scales;
    put(&r, row, col, 3, -7);
    ((int32_t *)(void *)r.data[KB_SMQ_COUNTS])[1] = 4;
    assert_int_equal(r.c.op->sources(&r.p, r.in, KB_SMQ_CODES, row * 384 + col, sources),
                     4);
    assert_string_equal(sources[0].name, "gate");
    assert_true(sources[0].value == 3 && sources[1].value == -7);
    assert_true(sources[2].value == 0.25 && sources[3].value == 4);
    run_free(&r);
}

/* The fill's numbers are less than 8 times 8; of the padding there is no gate. */
static void a_scale_is_made_of_what_makes_its_largest(void **state) {
    (void)state;
    struct run r;
    struct kb_source sources[KB_MAX_SOURCES];
    run_make(&r, "10x768", KB_BF16, "scale_layout=col_tma,mask=full,experts=2");
    put(&r, 5, 130, 9, -8);
    ((int32_t *)(void *)r.data[KB_SMQ_COUNTS])[1] = 4;
    int64_t second_expert = 3 * 8, second_group = 8;
    assert_int_equal(
        r.c.op->sources(&r.p, r.in, KB_SMQ_SCALES, second_expert + second_group, sources),
        3);
    assert_true(sources[0].value == 9 && sources[1].value == -8 && sources[2].value == 4);
    put(&r, 5, 140, NAN, 1);
    r.c.op->sources(&r.p, r.in, KB_SMQ_SCALES, second_expert + second_group, sources);
    assert_true(isnan(sources[0].value) && sources[1].value == 1);
    assert_int_equal(r.c.op->sources(&r.p, r.in, KB_SMQ_SCALES, 5, sources),
                     0); /* padding */
    run_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shape_gives_groups_tensors_and_cost),
        cmocka_unit_test(each_layout_of_the_scales_has_its_shape),
        cmocka_unit_test(with_a_mask_rows_are_by_experts),
        cmocka_unit_test(leading_axes_are_rows),
        cmocka_unit_test(what_cannot_be_is_refused_with_and_without_rows),
        cmocka_unit_test(macros_are_the_dtype_and_numbers),
        cmocka_unit_test(every_scale_has_one_place),
        cmocka_unit_test(scales_lie_by_rows_by_columns_and_in_bytes),
        cmocka_unit_test(a_code_is_made_of_its_gate_its_up_and_its_scale),
        cmocka_unit_test(a_scale_is_made_of_what_makes_its_largest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
