/* mla_prefill_test.c - problem, fills and reference of mla_prefill;
 * mla_prefill_bound_test.c has the bound. */
#include "ops/mla_prefill_fixture.h"

static void assert_refused(const char *shape, const char *set, const char *message) {
    struct kb_case c = case_of(shape, KB_BF16, set);
    assert_case_refused(&c, message);
}

/* ---- the problem -----------------------------------------------------------------------
 */

static void what_is_wrong_is_refused(void **state) {
    (void)state;
    assert_refused("3x4", "", "Q_LENxKV_LENxHEADS, got 2 axes");
    assert_refused("3x4x0", "", "HEADS must be from 1 to 65535");
    assert_refused("0x0x3", "kv_heads=2", "HEADS 3 is no multiple of kv_heads 2");
    assert_refused("3x4x2", "q_lens=1+1", "q_lens come to 2, Q_LEN is 3");
    assert_refused("3x4x2", "q_lens=1+2,kv_lens=1+1+2",
                   "q_lens has 2 sequences, kv_lens 3");
    assert_refused("3x4x2", "q_lens=1+2,kv_lens=1+2", "kv_lens come to 3, KV_LEN is 4");
    assert_refused("3x4x2", "kv_lens=2+2", "q_lens come to 4, Q_LEN is 3");
    assert_refused("3x4x2", "q_pitch=383", "q_pitch 383 is less than a token's 384");
    assert_refused("0x4x2", "kv_heads=1,k_pitch=191", "k_pitch 191 is less than");
}

static void flops_count_the_pairs_that_are_seen(void **state) {
    (void)state;
    static const struct {
        const char *shape, *set;
        int64_t pairs; /* of all heads */
    } golden[] = {{"4x4x1", "causal=no", 16},
                  {"4x4x1", "", 10},
                  {"2x5x3", "", 3 * 9},
                  {"5x2x1", "", 3},
                  {"6x6x2", "q_lens=2+4", 2 * (3 + 10)}};
    for (size_t i = 0; i < KB_COUNT(golden); i++) {
        struct kb_problem p;
        struct kb_case c = case_of(golden[i].shape, KB_E4M3, golden[i].set);
        resolve(&c, &p);
        assert_int_equal(p.flops, golden[i].pairs * 640);
    }
}

static void sequences_are_found_by_their_tokens_also_past_empty_ones(void **state) {
    (void)state;
    const int64_t lens[] = {1, 0, 3, 2};
    static const int wanted[] = {0, 2, 2, 2, 3, 3};
    int64_t start;
    for (int token = 0; token < 6; token++)
        assert_int_equal(kb_mla_sequence(lens, 4, token, &start), wanted[token]);
    assert_int_equal(start, 4);
}

/* ---- data ------------------------------------------------------------------------------
 */

static void one_key_gives_its_value_and_its_score(void **state) {
    (void)state;
    struct data d;
    data_make(&d, "1x1x1", KB_E4M3, "lse=e", KB_FILL_NORMAL, 1);
    double score = 0;
    for (int i = 0; i < KB_MLA_QK; i++)
        score += at(&d, KB_MLA_QUERY, i) * at(&d, KB_MLA_KEY, i);
    assert_true(fabs(d.lse[0] - score / sqrt(192)) < 1e-6);
    for (int i = 0; i < KB_MLA_V; i++)
        assert_true(d.out[i] == at(&d, KB_MLA_VALUE, i));
    data_free(&d);
}

static void equal_scores_give_the_mean_of_the_values_seen(void **state) {
    (void)state;
    struct data d;
    data_make(&d, "3x5x1", KB_BF16, "lse=2", KB_FILL_ZEROS, 1);
    for (int i = 0; i < 3; i++) {
        assert_true(fabs(d.lse[i] - log2(3 + i)) < 1e-12);
        for (int v = 0; v < KB_MLA_V; v++) {
            double mean = 0;
            for (int j = 0; j < 3 + i; j++)
                mean += at(&d, KB_MLA_VALUE, j * KB_MLA_V + v) / (3 + i);
            assert_true(fabs(d.out[i * KB_MLA_V + v] - mean) < 1e-12);
        }
    }
    data_free(&d);
}

static void a_query_without_keys_is_nothing_exactly(void **state) {
    (void)state;
    struct data d;
    data_make(&d, "5x3x2", KB_E4M3, "lse=e", KB_FILL_NORMAL, 1);
    for (int row = 0; row < 10; row++) {
        bool none = row / 2 < 2; /* 5 queries, 3 keys */
        assert_int_equal(none, d.lse[row] == -INFINITY);
        assert_int_equal(none, d.lse_bound[row] == 0);
        assert_int_equal(none, d.bound[row * KB_MLA_V] == 0);
        assert_int_equal(none, d.out[row * KB_MLA_V] == 0);
    }
    data_free(&d);
}

static void nan_stays_in_its_sequence(void **state) {
    (void)state;
    struct data d;
    data_make(&d, "6x6x1", KB_E4M3, "q_lens=2+3+1,lse=e,causal=no", KB_FILL_NAN, 1);
    for (int row = 0; row < 6; row++) {
        bool nan = row >= 2 && row < 5;
        assert_int_equal(nan, isnan(d.lse[row]));
        assert_int_equal(nan, isnan(d.out[row * KB_MLA_V + 7]));
    }
    data_free(&d);
}

/* Keys 0, 1 and 5 before the last one are hit, in 8 columns each. */
static void what_is_masked_reaches_who_sees_it_in_its_columns_alone(void **state) {
    (void)state;
    for (size_t t = 0; t < KB_COUNT(dtypes); t++) {
        static const int wanted[] = {8, 8, 16, 24};
        struct data d;
        data_make(&d, "4x6x2", dtypes[t], "lse=e,value=slice", KB_FILL_MASKED, 1);
        for (int row = 0; row < 8; row++) {
            int hit = 0;
            for (int i = 0; i < KB_MLA_V; i++)
                hit += !isfinite(d.out[row * KB_MLA_V + i]);
            assert_int_equal(hit, wanted[row / 2]);
            assert_true(isfinite(d.lse[row]));
        }
        assert_int_equal(isinf(d.out[4 * KB_MLA_V + 1]) != 0, dtypes[t] != KB_E4M3);
        data_free(&d);
    }
}

static void a_masked_key_makes_the_last_query_nan(void **state) {
    (void)state;
    struct data d;
    data_make(&d, "6x6x1", KB_BF16, "q_lens=3+3,lse=e", KB_FILL_MASKED, 1);
    for (int row = 0; row < 6; row++) {
        assert_int_equal(isnan(d.lse[row]), row == 5);
        assert_int_equal(isnan(d.out[row * KB_MLA_V + 3]), row == 5);
    }
    data_free(&d);
}

/* Of keys 1 and 33 before the last one the value is infinite in 8 columns each, the score
 * of the first is -inf. */
static void infinities_that_weigh_nothing_are_nan_and_others_are_not(void **state) {
    (void)state;
    static const enum kb_dtype wide[] = {KB_BF16, KB_FP16};
    for (size_t t = 0; t < KB_COUNT(wide); t++) {
        struct data d;
        data_make(&d, "3x36x1", wide[t], "lse=e", KB_FILL_FADED, 1);
        for (int row = 0; row < 3; row++) {
            bool seen = row >= 1;
            assert_true(isfinite(d.lse[row]));
            assert_int_equal(isnan(d.out[row * KB_MLA_V + 2]), seen);
            assert_int_equal(isfinite(d.out[row * KB_MLA_V + 2]), !seen);
            assert_true(d.out[row * KB_MLA_V + 6] == -INFINITY);
            assert_true(isfinite(d.out[row * KB_MLA_V + 3]));
        }
        data_free(&d);
        data_make(&d, "1x2x1", wide[t], "lse=e", KB_FILL_FADED, 1);
        assert_true(isinf(d.out[2]) &&
                    isfinite(d.lse[0])); /* the first key does not fade */
        data_free(&d);
    }
}

static void heads_share_a_key_head_by_groups_and_values_may_be_a_slice(void **state) {
    (void)state;
    struct data d;
    data_make(&d, "1x1x4", KB_BF16, "kv_heads=2,value=slice", KB_FILL_NORMAL, 1);
    for (int head = 0; head < 4; head++)
        for (int v = 0; v < KB_MLA_V; v++)
            assert_true(d.out[head * KB_MLA_V + v] ==
                        at(&d, KB_MLA_VALUE, head / 2 * 2 * KB_MLA_V + KB_MLA_V + v));
    data_free(&d);
}

static void any_split_of_fill_and_reference_gives_the_same(void **state) {
    (void)state;
    struct data d;
    data_make(&d, "5x6x2", KB_E4M3, "q_lens=2+3,kv_lens=4+2,lse=e", KB_FILL_EDGES, 3);
    int64_t n = d.p.tensors[KB_MLA_OUT].elements;
    for (int64_t first = 0, count = 1; first < n; first += count, count = count * 2 % 97) {
        double want[97], bound[97];
        count = count < n - first ? count : n - first;
        d.c.op->reference(&d.p, (const void *const *)d.in, NULL, KB_MLA_OUT, first, count,
                          want, bound);
        assert_memory_equal(want, d.out + first, 8 * (size_t)count);
        assert_memory_equal(bound, d.bound + first, 8 * (size_t)count);
    }
    n = d.p.tensors[KB_MLA_KEY].elements;
    for (int64_t first = 0, count = 1; first < n; first += count, count = count * 2 % 97) {
        unsigned char part[97];
        count = count < n - first ? count : n - first;
        d.c.op->fill(&d.p, KB_MLA_KEY, 3, first, count, part);
        assert_memory_equal(part, (unsigned char *)d.in[KB_MLA_KEY] + first, (size_t)count);
    }
    data_free(&d);
}

/* Of tensor `t`, rows of `pitch` elements without what lies behind the first `width`. */
static void *packed(const struct data *d, int t, int64_t pitch, int64_t width) {
    const struct kb_tensor_spec *spec = &d->p.tensors[t];
    size_t size = kb_dtype_bytes(spec->dtype);
    char *out = malloc((size_t)(spec->elements / pitch * width) * size + 1);
    for (int64_t row = 0; row < spec->elements / pitch; row++)
        memcpy(out + (size_t)(row * width) * size,
               (char *)d->in[t] + (size_t)(row * pitch) * size, (size_t)width * size);
    return out;
}

static void rows_may_be_slices_of_wider_ones_whose_rest_is_nan(void **state) {
    (void)state;
    struct data d;
    double want[3 * 2 * KB_MLA_V], bound[3 * 2 * KB_MLA_V];
    data_make(&d, "3x5x2", KB_BF16, "q_pitch=390,k_pitch=401", KB_FILL_STEPS, 4);
    for (int i = 0; i < 3 * 390; i++)
        assert_int_equal(isnan(at(&d, KB_MLA_QUERY, i)), i % 390 >= 384);
    for (int i = 0; i < 5 * 401; i++)
        assert_int_equal(isnan(at(&d, KB_MLA_KEY, i)), i % 401 >= 384);
    struct kb_problem p;
    struct kb_case c = case_of("3x5x2", KB_BF16, "");
    resolve(&c, &p);
    assert_int_equal(d.p.bytes, p.bytes);
    const void *in[KB_MAX_TENSORS] = {packed(&d, KB_MLA_QUERY, 390, 384),
                                      packed(&d, KB_MLA_KEY, 401, 384), d.in[KB_MLA_VALUE]};
    c.op->reference(&p, in, NULL, KB_MLA_OUT, 0, p.tensors[KB_MLA_OUT].elements, want,
                    bound);
    assert_memory_equal(want, d.out, sizeof want);
    assert_memory_equal(bound, d.bound, sizeof bound);
    free((void *)in[KB_MLA_QUERY]);
    free((void *)in[KB_MLA_KEY]);
    data_free(&d);
}

static void assert_first_rows_see_the_same(const char *set) {
    struct data d;
    data_make(&d, "10x16x2", KB_E4M3, set, KB_FILL_NORMAL, 2);
    for (int64_t rows = 1; rows <= 10; rows++) {
        struct kb_problem p;
        struct kb_case c = d.c;
        double want[10 * 2 * KB_MLA_V], bound[10 * 2 * KB_MLA_V];
        assert_true(c.op->first_rows(&d.p, rows, &c));
        resolve(&c, &p);
        assert_int_equal(p.tensors[KB_MLA_OUT].shape[0], rows);
        assert_true(p.tensors[KB_MLA_CUM_Q].derived && p.tensors[KB_MLA_CUM_KV].derived);
        int64_t n = p.tensors[KB_MLA_OUT].elements;
        c.op->reference(&p, (const void *const *)d.in, NULL, KB_MLA_OUT, 0, n, want, bound);
        assert_memory_equal(want, d.out, (size_t)n * sizeof *want);
    }
    data_free(&d);
}

static void the_first_queries_alone_see_the_keys_that_they_saw(void **state) {
    (void)state;
    assert_first_rows_see_the_same("");
    assert_first_rows_see_the_same("causal=no");
    assert_first_rows_see_the_same("q_lens=2+0+5+3,kv_lens=4+1+9+2");
    assert_first_rows_see_the_same("q_lens=2+0+5+3,kv_lens=4+1+9+2,causal=no");
    assert_first_rows_see_the_same("q_lens=8+2,kv_lens=3+13");
}

static void a_failure_is_told_by_sequence_place_keys_and_head(void **state) {
    (void)state;
    struct data d;
    struct kb_source s[KB_MAX_SOURCES];
    data_make(&d, "10x16x2", KB_E4M3, "q_lens=4+6,kv_lens=6+10,lse=e", KB_FILL_NORMAL, 2);
    int64_t row = 5 * 2 + 1; /* token 5: place 1 of sequence 1, 6 of 10 keys; head 1 */
    assert_int_equal(d.c.op->sources(&d.p, NULL, KB_MLA_OUT, row * KB_MLA_V + 3, s), 4);
    assert_true(s[0].value == 6 && s[1].value == 1 && s[2].value == 1 && s[3].value == 1);
    d.c.op->sources(&d.p, NULL, KB_MLA_LSE, row, s);
    assert_true(s[0].value == 6 && s[1].value == 1 && s[2].value == 1 && s[3].value == 1);
    data_free(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(flops_count_the_pairs_that_are_seen),
        cmocka_unit_test(sequences_are_found_by_their_tokens_also_past_empty_ones),
        cmocka_unit_test(one_key_gives_its_value_and_its_score),
        cmocka_unit_test(equal_scores_give_the_mean_of_the_values_seen),
        cmocka_unit_test(a_query_without_keys_is_nothing_exactly),
        cmocka_unit_test(nan_stays_in_its_sequence),
        cmocka_unit_test(what_is_masked_reaches_who_sees_it_in_its_columns_alone),
        cmocka_unit_test(a_masked_key_makes_the_last_query_nan),
        cmocka_unit_test(infinities_that_weigh_nothing_are_nan_and_others_are_not),
        cmocka_unit_test(heads_share_a_key_head_by_groups_and_values_may_be_a_slice),
        cmocka_unit_test(any_split_of_fill_and_reference_gives_the_same),
        cmocka_unit_test(rows_may_be_slices_of_wider_ones_whose_rest_is_nan),
        cmocka_unit_test(the_first_queries_alone_see_the_keys_that_they_saw),
        cmocka_unit_test(a_failure_is_told_by_sequence_place_keys_and_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
