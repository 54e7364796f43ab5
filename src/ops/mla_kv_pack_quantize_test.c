/* mla_kv_pack_quantize_test.c - problem and reference of mla_kv_pack_quantize. */
#include "ops/op_fixture.h"

enum { K_NOPE, V_IN, KV, K_PE, K_FP8, V_FP8 };

static struct kb_case case_of(const char *shape, const char *set) {
    return op_case("mla_kv_pack_quantize", shape, KB_BF16, set);
}

static void assert_refused(const char *shape, const char *set, const char *message) {
    struct kb_case c = case_of(shape, set);
    assert_case_refused(&c, message);
}

static void what_is_wrong_is_refused(void **state) {
    (void)state;
    assert_refused("3x4x5", "", "TOKENSxHEADS, got 3 axes");
    assert_refused("0x0", "", "HEADS must be from 1 to 65535, got 0");
    assert_refused("0x4", "scale=0", "scale must be above 0 and finite in fp32, got 0");
}

static void a_packed_buffer_takes_the_place_of_two_tensors(void **state) {
    (void)state;
    struct kb_problem p;
    struct kb_case c = case_of("3x2", "source=packed");
    resolve(&c, &p);
    assert_true(p.tensors[K_NOPE].absent && p.tensors[V_IN].absent);
    assert_int_equal(p.tensors[KV].elements, 3 * 2 * 256);
    assert_int_equal(p.tensors[K_PE].elements, 3 * 64);
    assert_int_equal(p.tensors[K_FP8].elements, 3 * 2 * 192);
    c = case_of("3x2", "");
    resolve(&c, &p);
    assert_true(p.tensors[KV].absent && !p.tensors[K_NOPE].absent);
}

/* The code of one element of k_nope. */
static uint32_t code(uint32_t bf16, const char *set) {
    struct kb_problem p;
    struct kb_case c = case_of("1x1", set);
    resolve(&c, &p);
    uint16_t nope[128] = {(uint16_t)bf16}, v[128] = {0}, pe[64] = {0};
    const void *in[KB_MAX_TENSORS] = {nope, v, NULL, pe};
    double want, bound;
    c.op->reference(&p, in, NULL, K_FP8, 0, 1, &want, &bound);
    assert_true(bound == 0);
    return (uint32_t)want;
}

static void codes_round_to_even_saturate_and_keep_nan(void **state) {
    (void)state;
    static const struct {
        double x;
        uint32_t code;
    } golden[] = {{0x1p-10, 0x00}, {0x1p-9, 0x01},    {1.5 * 0x1p-9, 0x02}, {0x1p-6, 0x08},
                  {1, 0x38},       {1.0625, 0x38},    {1.1875, 0x3a},       {100, 0x6c},
                  {240, 0x77},     {432, 0x7e},       {448, 0x7e},          {1e9, 0x7e},
                  {-1, 0xb8},      {-INFINITY, 0xfe}, {-0.0, 0x80}};
    for (size_t i = 0; i < KB_COUNT(golden); i++)
        assert_int_equal(code(kb_encode(KB_BF16, golden[i].x), "scale=1"), golden[i].code);
    assert_int_equal(code(0x7fc0, "scale=1"), 0x7f);
    assert_int_equal(code(0xffc0, "scale=1"), 0x7f);
    assert_int_equal(code(kb_encode(KB_BF16, 4), "scale=0.25"), 0x38);
}

static void the_rope_part_of_a_token_goes_to_all_its_heads(void **state) {
    (void)state;
    struct kb_problem p;
    struct kb_case c = case_of("2x3", "source=packed");
    resolve(&c, &p);
    uint16_t kv[2 * 3 * 256] = {0}, pe[2 * 64];
    double want[192], bound[192];
    for (int i = 0; i < 128; i++)
        pe[i] = (uint16_t)kb_encode(KB_BF16, i < 64 ? 1 : 2);
    for (int i = 0; i < 2 * 3 * 256; i++)
        kv[i] = (uint16_t)kb_encode(KB_BF16, i % 256 < 128 ? 4 : 8);
    const void *in[KB_MAX_TENSORS] = {NULL, NULL, kv, pe};
    for (int row = 0; row < 6; row++) {
        c.op->reference(&p, in, NULL, K_FP8, row * 192, 192, want, bound);
        for (int i = 0; i < 192; i++)
            assert_true(kb_decode(KB_E4M3, (uint32_t)want[i]) == (i < 128   ? 4
                                                                  : row < 3 ? 1
                                                                            : 2));
        c.op->reference(&p, in, NULL, V_FP8, row * 128, 128, want, bound);
        for (int i = 0; i < 128; i++)
            assert_true(kb_decode(KB_E4M3, (uint32_t)want[i]) == 8);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(a_packed_buffer_takes_the_place_of_two_tensors),
        cmocka_unit_test(codes_round_to_even_saturate_and_keep_nan),
        cmocka_unit_test(the_rope_part_of_a_token_goes_to_all_its_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
