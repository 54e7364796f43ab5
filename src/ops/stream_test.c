/* stream_test.c - op stream: shapes, the exclusive or of bits, and what is refused. */
#include "ops/op_fixture.h"

enum { COPY, R2W1, R2W05, READ, WRITE, NONE };

static struct kb_case case_of(const char *shape, enum kb_dtype dtype, int pattern) {
    struct kb_case c = {.op = kb_op_find("stream"), .dtype = dtype, .fill = KB_FILL_BITS};
    assert_true(kb_shape_parse(shape, c.shape, &c.rank));
    c.set[0].v = pattern;
    return c;
}

static void assert_refused(const char *shape, int pattern, const char *message) {
    struct kb_case c = case_of(shape, KB_BF16, pattern);
    assert_case_refused_as(&c, message);
}

static void the_output_has_a_part_of_the_last_axis(void **state) {
    (void)state;
    static const int parts[] = {1, 2, 4};
    static const char *const words[] = {"copy", "r2w1", "r2w05"};
    for (int pattern = COPY; pattern <= R2W05; pattern++) {
        struct kb_problem p;
        struct kb_case c = case_of("3x5x8", KB_FP32, pattern);
        resolve(&c, &p);
        assert_int_equal(p.tensors[1].rank, 3);
        assert_int_equal(p.tensors[1].shape[1], 5);
        assert_int_equal(p.tensors[1].shape[2], 8 / parts[pattern]);
        assert_int_equal(p.tensors[1].rule, KB_RULE_EXACT);
        assert_int_equal(p.bytes, 4 * (120 + 120 / parts[pattern]));
        assert_int_equal(p.flops, 0);
        assert_string_equal(p.ceiling_pattern, words[pattern]);
        assert_int_equal(p.ceiling_elements, 120);
        assert_string_equal(p.names[1].name, "elements");
        assert_true(p.names[1].value == 120);
        assert_string_equal(p.names[2].name, "out_elements");
        assert_true(p.names[2].value == 120 / parts[pattern]);
    }
}

static void the_default_reads_two_and_writes_one(void **state) {
    (void)state;
    const struct kb_param *pattern = kb_op_param(kb_op_find("stream"), "pattern", NULL);
    assert_true(pattern->def == R2W1);
    assert_int_equal(kb_op_find("stream")->fills[0], KB_FILL_BITS);
}

static void no_rows_are_fine_and_a_last_axis_that_does_not_divide_is_not(void **state) {
    (void)state;
    struct kb_problem p;
    struct kb_case c = case_of("0x8", KB_BF16, R2W05);
    resolve(&c, &p);
    assert_int_equal(p.tensors[1].elements, 0);
    assert_refused("0x7", R2W1,
                   "0x7: pattern r2w1 halves the last axis, 7 is no multiple of 2");
    assert_refused("4x6", R2W05,
                   "4x6: pattern r2w05 quarters the last axis, 6 is no multiple of 4");
    assert_refused("4x0", COPY, "4x0: the last axis must be at least 1, got 0");
}

/* In a matrix, too, the parts are those of the flat input. */
static void outputs_are_the_exclusive_or_of_flat_parts(void **state) {
    (void)state;
    uint16_t in16[16];
    uint32_t in32[16];
    for (uint32_t i = 0; i < 16; i++) {
        in16[i] = (uint16_t)(0x7f81 + 0x1357 * i);
        in32[i] = 0x7f800001 + 0x13579bdf * i;
    }
    double want[16], bound[16];
    struct kb_problem p;
    struct kb_case c = case_of("2x8", KB_BF16, R2W1);
    const struct kb_op *op = c.op;
    resolve(&c, &p);
    op->reference(&p, (const void *const[]){in16, NULL}, NULL, 1, 0, 8, want, bound);
    for (int i = 0; i < 8; i++)
        assert_true(want[i] == (in16[i] ^ in16[8 + i]) && bound[i] == 0);

    c = case_of("2x8", KB_FP32, R2W05);
    resolve(&c, &p);
    op->reference(&p, (const void *const[]){in32, NULL}, NULL, 1, 0, 4, want, bound);
    for (int i = 0; i < 4; i++)
        assert_true(want[i] == (in32[i] ^ in32[4 + i] ^ in32[8 + i] ^ in32[12 + i]));

    c = case_of("2x8", KB_FP16, COPY);
    resolve(&c, &p);
    op->reference(&p, (const void *const[]){in16, NULL}, NULL, 1, 3, 13, want, bound);
    for (int i = 0; i < 13; i++)
        assert_true(want[i] == in16[3 + i]);
}

static void any_split_gives_the_same(void **state) {
    (void)state;
    uint32_t whole[64], parts[64];
    double want[32], again[32], bound[32];
    struct kb_problem p;
    struct kb_case c = case_of("4x16", KB_FP32, R2W1);
    const struct kb_op *op = c.op;
    resolve(&c, &p);
    op->fill(&p, 0, 3, 0, 64, whole);
    op->fill(&p, 0, 3, 0, 29, parts);
    op->fill(&p, 0, 3, 29, 35, parts + 29);
    assert_memory_equal(whole, parts, sizeof whole);
    const void *in[] = {whole, NULL};
    op->reference(&p, in, NULL, 1, 0, 32, want, bound);
    op->reference(&p, in, NULL, 1, 0, 5, again, bound);
    op->reference(&p, in, NULL, 1, 5, 27, again + 5, bound);
    assert_memory_equal(want, again, sizeof want);
}

static void none_has_the_blocks_of_a_copy_and_nothing_to_move(void **state) {
    (void)state;
    struct kb_problem p;
    struct kb_case c = case_of("3x4096", KB_BF16, NONE);
    resolve(&c, &p);
    assert_true(p.tensors[0].absent);
    assert_int_equal(p.tensors[1].elements, 0);
    assert_int_equal(p.bytes, 0);
    assert_null(p.ceiling_pattern);
    assert_string_equal(p.names[1].name, "elements");
    assert_true(p.names[1].value == 12288 && p.names[2].value == 0);
    c = case_of("0x8", KB_BF16, NONE);
    resolve(&c, &p);
    assert_true(p.names[1].value == 0);
    c = case_of("3037000500x3037000500", KB_BF16, NONE);
    assert_case_refused_as(&c, "3037000500x3037000500: input: the elements overflow, a "
                               "tensor has at most 2^53 bytes");
}

static void read_joins_each_4096_bytes(void **state) {
    (void)state;
    static uint16_t in[5000];
    double want[3], bound[3];
    struct kb_problem p;
    struct kb_case c = case_of("2x2500", KB_FP16, READ);
    resolve(&c, &p);
    assert_int_equal(p.tensors[1].rank, 1);
    assert_int_equal(p.tensors[1].elements, 3);
    assert_int_equal(p.bytes, 2 * 5003);
    assert_true(p.names[1].value == 5000 && p.names[2].value == 3);
    assert_int_equal(p.ceiling_elements, 5000);
    c.op->fill(&p, 0, 1, 0, 5000, in);
    c.op->reference(&p, (const void *const[]){in, NULL}, NULL, 1, 0, 3, want, bound);
    for (int j = 0; j < 3; j++) {
        uint16_t bits = 0;
        for (int i = 2048 * j; i < 2048 * (j + 1) && i < 5000; i++)
            bits ^= in[i];
        assert_true(want[j] == bits && bound[j] == 0);
    }
    c = case_of("1025", KB_FP32, READ);
    resolve(&c, &p);
    assert_int_equal(p.tensors[1].elements, 2);
    c = case_of("0x8", KB_FP32, READ);
    resolve(&c, &p);
    assert_int_equal(p.tensors[1].elements, 0);
}

/* Whatever its place, an element is told from its neighbours, and from those 2^16 and, of
 * 32 bits, 2^32 on: no stretch is like another that memory may be mixed up with. */
static void write_gives_each_element_a_number(void **state) {
    (void)state;
    static const int64_t at[] = {0, 1, 7, 65535, 65536, (1LL << 32) + 5, 5LL << 48 | 77};
    const uint16_t seed = 0x7fc1;
    const uint32_t wide = 0x7fc00001;
    double want[2], bound[2];
    struct kb_problem p;
    struct kb_case c = case_of("3x40", KB_BF16, WRITE);
    resolve(&c, &p);
    assert_int_equal(p.tensors[0].elements, 1);
    assert_int_equal(p.tensors[1].rank, 2);
    assert_int_equal(p.tensors[1].elements, 120);
    assert_int_equal(p.bytes, 2 * 121);
    assert_true(p.names[1].value == 120 && p.names[2].value == 120);
    assert_int_equal(p.ceiling_elements, 120);
    for (size_t i = 0; i < KB_COUNT(at); i++) {
        uint64_t n = (uint64_t)at[i];
        uint16_t folded = (uint16_t)(n ^ n >> 16 ^ n >> 32 ^ n >> 48);
        c.op->reference(&p, (const void *const[]){&seed, NULL}, NULL, 1, at[i], 2, want,
                        bound);
        assert_true(want[0] == (seed ^ folded) && want[1] != want[0] && bound[1] == 0);
    }
    c = case_of("3x40", KB_FP32, WRITE);
    resolve(&c, &p);
    for (size_t i = 0; i < KB_COUNT(at); i++) {
        c.op->reference(&p, (const void *const[]){&wide, NULL}, NULL, 1, at[i], 1, want,
                        bound);
        assert_true(want[0] == (wide ^ (uint32_t)at[i] ^ (uint32_t)(at[i] >> 32)));
    }
}

static void macros_are_the_dtype_and_the_pattern(void **state) {
    (void)state;
    static const char *const expected[] = {"KB_T", "float", "KB_PATTERN", "4"};
    struct kb_arena arena = {0};
    struct kb_strings macros = {0};
    struct kb_case c = case_of("8", KB_FP32, WRITE);
    c.op->macros(&c, &arena, &macros);
    assert_int_equal(macros.count, KB_COUNT(expected));
    for (size_t i = 0; i < macros.count; i++)
        assert_string_equal(macros.items[i], expected[i]);
    kb_arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_output_has_a_part_of_the_last_axis),
        cmocka_unit_test(the_default_reads_two_and_writes_one),
        cmocka_unit_test(no_rows_are_fine_and_a_last_axis_that_does_not_divide_is_not),
        cmocka_unit_test(outputs_are_the_exclusive_or_of_flat_parts),
        cmocka_unit_test(any_split_gives_the_same),
        cmocka_unit_test(none_has_the_blocks_of_a_copy_and_nothing_to_move),
        cmocka_unit_test(read_joins_each_4096_bytes),
        cmocka_unit_test(write_gives_each_element_a_number),
        cmocka_unit_test(macros_are_the_dtype_and_the_pattern),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
