/* mla_prefill_test.c - problem, fills, reference and bound of mla_prefill. */
#include "ops/mla_prefill.h"
#include "ops/op_fixture.h"

static const enum kb_dtype dtypes[] = {KB_E4M3, KB_BF16, KB_FP16};

static struct kb_case case_of(const char *shape, enum kb_dtype dtype, const char *set) {
    return op_case("mla_prefill", shape, dtype, set);
}

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

struct data {
    struct kb_case c;
    struct kb_problem p;
    struct kb_mla m;
    void *in[KB_MAX_TENSORS];
    double *out, *bound, *lse, *lse_bound;
};

static void data_make(struct data *d, const char *shape, enum kb_dtype dtype,
                      const char *set, enum kb_fill fill, uint64_t seed) {
    *d = (struct data){.c = case_of(shape, dtype, set)};
    d->c.fill = fill;
    resolve(&d->c, &d->p);
    d->m = kb_mla_of(&d->c);
    for (int t = 0; t <= KB_MLA_CUM_KV; t++) {
        const struct kb_tensor_spec *s = &d->p.tensors[t];
        d->in[t] = malloc((size_t)s->elements * kb_dtype_bytes(s->dtype) + 1);
        d->c.op->fill(&d->p, t, seed, 0, s->elements, d->in[t]);
    }
    int64_t n = d->p.tensors[KB_MLA_OUT].elements;
    d->out = malloc((size_t)n * sizeof *d->out);
    d->bound = malloc((size_t)n * sizeof *d->bound);
    d->lse = malloc((size_t)n * sizeof *d->lse);
    d->lse_bound = malloc((size_t)n * sizeof *d->lse_bound);
    const void *const *in = (const void *const *)d->in;
    void *prepared = d->c.op->prepare(&d->p, in);
    d->c.op->reference(&d->p, in, prepared, KB_MLA_OUT, 0, n, d->out, d->bound);
    d->c.op->reference(&d->p, in, prepared, KB_MLA_LSE, 0, n / KB_MLA_V, d->lse,
                       d->lse_bound);
    free(prepared);
}

static void data_free(struct data *d) {
    for (int t = 0; t <= KB_MLA_CUM_KV; t++)
        free(d->in[t]);
    free(d->out);
    free(d->bound);
    free(d->lse);
    free(d->lse_bound);
}

static double at(const struct data *d, int t, int64_t i) {
    enum kb_dtype dtype = d->p.tensors[t].dtype;
    return kb_decode(dtype, kb_bits_at(dtype, d->in[t], i));
}

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

/* ---- sums in bf16 ----------------------------------------------------------------------
 */

/* Elements of the two outputs that sums in bf16 move; all of them past the bound. */
static int moved_by_low_sums(enum kb_dtype dtype, const char *shape, enum kb_fill fill) {
    struct data d;
    int moved = 0;
    data_make(&d, shape, dtype, "lse=e", fill, 5);
    for (int t = KB_MLA_OUT; t <= KB_MLA_LSE; t++) {
        const struct kb_tensor_spec *spec = &d.p.tensors[t];
        const double *want = t == KB_MLA_OUT ? d.out : d.lse;
        const double *bound = t == KB_MLA_OUT ? d.bound : d.lse_bound;
        double *got = malloc((size_t)spec->elements * sizeof *got);
        bool some = d.c.op->low_precision(&d.p, (const void *const *)d.in, NULL, t, 0,
                                          spec->elements, got);
        for (int64_t i = 0; some && i < spec->elements; i++) {
            moved += got[i] != want[i];
            assert_true(got[i] == want[i] || fabs(got[i] - want[i]) > bound[i]);
        }
        free(got);
    }
    data_free(&d);
    return moved;
}

static void sums_in_bf16_show_where_keys_are_many(void **state) {
    (void)state;
    assert_true(moved_by_low_sums(KB_FP16, "4x300x1", KB_FILL_NORMAL) > 100);
    assert_true(moved_by_low_sums(KB_BF16, "4x300x1", KB_FILL_NORMAL) > 10);
    assert_true(moved_by_low_sums(KB_E4M3, "2x4000x1", KB_FILL_NORMAL) > 10);
    /* in e4m3 lse alone tells, where keys are few */
    assert_in_range(moved_by_low_sums(KB_E4M3, "2x200x1", KB_FILL_NORMAL), 1, 2);
    assert_int_equal(moved_by_low_sums(KB_FP16, "4x20x1", KB_FILL_NORMAL), 0);
    assert_int_equal(moved_by_low_sums(KB_BF16, "4x300x1", KB_FILL_LARGE), 0);
}

/* ---- the bound: P rounded to the dtype, in float, from the last key to the first --------
 */

static double worst_share(const struct data *d) {
    const struct kb_mla *m = &d->m;
    double worst = 0;
    for (int64_t row = 0; row < m->q_tokens; row++) {
        int64_t n = row + m->kv_tokens - m->q_tokens + 1;
        float s[256] = {0}, top = -INFINITY, sum = 0, o[KB_MLA_V] = {0};
        for (int64_t j = n - 1; j >= 0; j--) {
            s[j] = 0;
            for (int i = 0; i < KB_MLA_QK; i++)
                s[j] += (float)at(d, KB_MLA_QUERY, row * KB_MLA_QK + i) *
                        (float)at(d, KB_MLA_KEY, j * KB_MLA_QK + i);
            s[j] *= (float)m->scale;
            top = fmaxf(top, s[j]);
        }
        for (int64_t j = n - 1; j >= 0; j--) {
            float p = expf(s[j] - top);
            sum += p;
            p = (float)kb_decode(m->dtype, kb_encode(m->dtype, p));
            for (int v = 0; v < KB_MLA_V; v++)
                o[v] += p * (float)at(d, KB_MLA_VALUE, j * KB_MLA_V + v);
        }
        for (int v = 0; v < KB_MLA_V; v++) {
            int64_t i = row * KB_MLA_V + v;
            worst = fmax(worst, fabs(o[v] / sum - d->out[i]) / d->bound[i]);
        }
        float lse = sum > 0 ? top + logf(sum) : -INFINITY;
        worst = fmax(worst, fabs(lse - d->lse[row]) / d->lse_bound[row]);
    }
    return worst;
}

static void a_kernel_that_rounds_p_is_inside_the_bound(void **state) {
    (void)state;
    static const enum kb_fill fills[] = {KB_FILL_NORMAL, KB_FILL_STEPS, KB_FILL_EDGES,
                                         KB_FILL_TIES,   KB_FILL_LARGE, KB_FILL_CONSTANT};
    for (size_t t = 0; t < KB_COUNT(dtypes); t++) {
        double worst = 0;
        for (size_t f = 0; f < KB_COUNT(fills); f++)
            for (uint64_t seed = 1; seed <= 2; seed++) {
                struct data d;
                data_make(&d, "6x150x1", dtypes[t], "lse=e", fills[f], seed);
                worst = fmax(worst, worst_share(&d));
                data_free(&d);
            }
        assert_true(worst < 0.85);
        assert_true(worst > 0.1); /* a bound that is never neared finds nothing */
    }
}

/* Scores to 400 that tensor cores may miss by 0.5 and more. */
static void a_key_far_above_all_others_wins_whatever_scores_are_off_by(void **state) {
    (void)state;
    struct data d;
    data_make(&d, "1x14x1", KB_E4M3, "lse=e,scale=1", KB_FILL_LARGE, 1);
    assert_true(d.lse_bound[0] > 0x1p-4);
    for (int i = 0; i < KB_MLA_V; i++)
        assert_true(d.bound[i] < 1.26 / 16 * fabs(d.out[i]) + 1e-9);
    data_free(&d);
}

/* As inputs from a file may have it. */
static void a_score_of_minus_infinity_weighs_nothing_and_leaves_a_bound(void **state) {
    (void)state;
    struct data d;
    data_make(&d, "1x3x1", KB_BF16, "causal=no,lse=e", KB_FILL_NORMAL, 1);
    const void *const *in = (const void *const *)d.in;
    double want[KB_MLA_V], bound[KB_MLA_V], lse, lse_bound;
    kb_bits_put(KB_BF16, d.in[KB_MLA_QUERY], 0, kb_encode(KB_BF16, 1));
    kb_bits_put(KB_BF16, d.in[KB_MLA_KEY], KB_MLA_QK, kb_encode(KB_BF16, -INFINITY));
    d.c.op->reference(&d.p, in, NULL, KB_MLA_OUT, 0, KB_MLA_V, want, bound);
    d.c.op->reference(&d.p, in, NULL, KB_MLA_LSE, 0, 1, &lse, &lse_bound);
    for (int i = 0; i < KB_MLA_V; i++)
        assert_true(isfinite(want[i]) && bound[i] > 0 && bound[i] < 0.1);
    assert_true(isfinite(lse) && lse_bound > 0 && lse_bound < 1e-3);
    data_free(&d);
}

static void scores_next_to_each_other_leave_nothing_to_round(void **state) {
    (void)state;
    struct data d;
    data_make(&d, "1x100x1", KB_E4M3, "scale=1e-6", KB_FILL_NORMAL, 1);
    for (int i = 0; i < KB_MLA_V; i++)
        assert_true(d.bound[i] < 2e-3);
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
        cmocka_unit_test(heads_share_a_key_head_by_groups_and_values_may_be_a_slice),
        cmocka_unit_test(any_split_of_fill_and_reference_gives_the_same),
        cmocka_unit_test(rows_may_be_slices_of_wider_ones_whose_rest_is_nan),
        cmocka_unit_test(the_first_queries_alone_see_the_keys_that_they_saw),
        cmocka_unit_test(a_failure_is_told_by_sequence_place_keys_and_head),
        cmocka_unit_test(sums_in_bf16_show_where_keys_are_many),
        cmocka_unit_test(a_kernel_that_rounds_p_is_inside_the_bound),
        cmocka_unit_test(a_key_far_above_all_others_wins_whatever_scores_are_off_by),
        cmocka_unit_test(a_score_of_minus_infinity_weighs_nothing_and_leaves_a_bound),
        cmocka_unit_test(scores_next_to_each_other_leave_nothing_to_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
