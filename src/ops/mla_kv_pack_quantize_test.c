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
    assert_refused("0x4", "in_pitch=511", "in_pitch 511 is less than a token's 512");
    assert_refused("0x4", "in_pitch=1023,source=packed", "in_pitch 1023 is less than");
    assert_refused("0x4", "pe_pitch=63", "pe_pitch 63 is less than a token's 64");
    assert_refused("0x4", "out_pitch=767", "out_pitch 767 is less than a token's 768");
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
    } golden[] = {{0x1p-10, 0x00},      {0x1p-9, 0x01},    {1.5 * 0x1p-9, 0x02},
                  {0x1p-6, 0x08},       {0.00099, 0x01},   {0.013, 0x07},
                  {2.5 * 0x1p-9, 0x02}, {1.07, 0x39},      {464, 0x7e},
                  {INFINITY, 0x7e},     {1, 0x38},         {1.0625, 0x38},
                  {1.1875, 0x3a},       {100, 0x6c},       {240, 0x77},
                  {432, 0x7e},          {448, 0x7e},       {1e9, 0x7e},
                  {-1, 0xb8},           {-INFINITY, 0xfe}, {-0.0, 0x80}};
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

static void assert_slices(const char *set, int64_t in_pitch, int64_t v_start) {
    struct kb_problem p;
    struct kb_case c = case_of("3x2", set);
    uint16_t x[3 * 700], pe[3 * 576];
    double want[3 * 400], bound[3 * 400];
    bool packed = v_start > 0;
    c.fill = KB_FILL_NORMAL;
    resolve(&c, &p);
    const void *in[KB_MAX_TENSORS] = {[K_PE] = pe};
    in[packed ? KV : K_NOPE] = x;
    in[packed ? KV : V_IN] = x;
    c.op->fill(&p, packed ? KV : V_IN, 1, 0, 3 * in_pitch, x);
    c.op->fill(&p, K_PE, 1, 0, 3 * 576, pe);
    int64_t width = packed ? 256 : 128;
    for (int64_t i = 0; i < 3 * in_pitch; i++)
        assert_int_equal(isnan(kb_decode(KB_BF16, x[i])), i % in_pitch >= 2 * width);
    for (int i = 0; i < 3 * 576; i++)
        assert_int_equal(isnan(kb_decode(KB_BF16, pe[i])), i % 576 < 512);
    for (int t = K_FP8; t <= V_FP8; t++) {
        int part = t == K_FP8 ? 192 : 128;
        c.op->reference(&p, in, NULL, t, 0, 3 * 400, want, bound);
        for (int i = 0; i < 3 * 400; i++) {
            int token = i / 400, head = i % 400 / part, d = i % 400 % part;
            struct kb_source s[KB_MAX_SOURCES];
            assert_int_equal(bound[i] == KB_KEEP, head >= 2);
            assert_int_equal(c.op->sources(&p, in, t, i, s), head < 2);
            if (head >= 2)
                continue;
            uint16_t bits = t == V_FP8 ? x[token * in_pitch + head * width + v_start + d]
                            : d < 128  ? x[token * in_pitch + head * width + d]
                                       : pe[token * 576 + 512 + d - 128];
            double value = kb_decode(KB_BF16, bits);
            assert_true(want[i] == (double)kb_encode(KB_E4M3, value));
            assert_true(s[0].value == value);
        }
    }
}

static void rows_may_be_slices_of_wider_ones(void **state) {
    (void)state;
    assert_slices("in_pitch=301,pe_pitch=576,out_pitch=400", 301, 0);
    assert_slices("in_pitch=555,pe_pitch=576,out_pitch=400,source=packed", 555, 128);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(a_packed_buffer_takes_the_place_of_two_tensors),
        cmocka_unit_test(codes_round_to_even_saturate_and_keep_nan),
        cmocka_unit_test(rows_may_be_slices_of_wider_ones),
        cmocka_unit_test(the_rope_part_of_a_token_goes_to_all_its_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
