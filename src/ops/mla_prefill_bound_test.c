/* mla_prefill_bound_test.c - how far from the reference of mla_prefill a right kernel may
 * be, and what is past that. */
#include "ops/mla_prefill_fixture.h"

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
        cmocka_unit_test(sums_in_bf16_show_where_keys_are_many),
        cmocka_unit_test(a_kernel_that_rounds_p_is_inside_the_bound),
        cmocka_unit_test(a_key_far_above_all_others_wins_whatever_scores_are_off_by),
        cmocka_unit_test(a_score_of_minus_infinity_weighs_nothing_and_leaves_a_bound),
        cmocka_unit_test(scores_next_to_each_other_leave_nothing_to_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
