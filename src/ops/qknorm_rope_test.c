/* qknorm_rope_test.c - problem, YaRN, fills, reference and bound of qknorm_rope. */
#include "ops/qknorm_rope.h"
#include "ops/op_fixture.h"

static struct kb_case case_of(const char *shape, enum kb_dtype dtype, const char *set) {
    return op_case("qknorm_rope", shape, dtype, set);
}

static void assert_refused(const char *shape, const char *set, const char *message) {
    struct kb_case c = case_of(shape, KB_BF16, set);
    assert_case_refused(&c, message);
}

/* ---- the problem -----------------------------------------------------------------------
 */

static void a_shape_gives_a_packed_buffer_weights_positions_and_cost(void **state) {
    (void)state;
    struct kb_problem p;
    struct kb_case c = case_of("16x32x4x128", KB_BF16, "");
    resolve(&c, &p);
    assert_int_equal(p.n_tensors, 4);
    assert_int_equal(p.tensors[KB_QKR_QKV].role, KB_INOUT);
    assert_int_equal(p.tensors[KB_QKR_QKV].shape[0], 16);
    assert_int_equal(p.tensors[KB_QKR_QKV].shape[1], 40 * 128);
    assert_int_equal(p.tensors[KB_QKR_Q_WEIGHT].elements, 128);
    assert_int_equal(p.tensors[KB_QKR_POSITIONS].elements, 16);
    assert_int_equal(p.ceiling_elements, 16 * 36 * 128);
    assert_int_equal(p.bytes, 16 * 36 * 128 * 4 + 4 * 16 + 4 * 128);
    assert_string_equal(p.ceiling_pattern, "copy");
}

static void what_is_wrong_is_refused_with_and_without_tokens(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        const char *good = i ? "0x4x2x64" : "3x4x2x64";
        assert_refused(i ? "0x4x2x96" : "3x4x2x96", "", "HEAD_DIM must be 64, 128 or 256");
        assert_refused(i ? "0x0x2x64" : "3x0x2x64", "", "HEADS must be from 1 to 65535");
        assert_refused(i ? "0x4x0x64" : "3x4x0x64", "", "KV_HEADS must be from 1 to 65535");
        assert_refused(good, "rotary_dim=7", "rotary_dim counts pairs, 7 is odd");
        assert_refused(good, "rotary_dim=66", "rotary_dim 66 is more than HEAD_DIM 64");
        assert_refused(good, "base=1", "base must be above 1");
        assert_refused(good, "factor=0", "factor must be above 0");
        assert_refused(good, "low=3", "low is for a factor other than 1");
        assert_refused(good, "beta_fast=16", "derived from original, not set");
        assert_refused(good, "original=4096,low=3", "low is derived");
        assert_refused(good, "original=4096,max_position=8192,factor=4", "give one");
        assert_refused(good, "in_pitch=511", "in_pitch 511 is less than a token's 512");
        assert_refused(good, "positions=powers,position=3", "position is for");
    }
    assert_refused("3x4x64", "", "TOKENSxHEADSxKV_HEADSxHEAD_DIM, got 3 axes");
    assert_refused("3x4x2x64", "position=2147483646", "do not fit 32 bits");
}

/* ---- YaRN ------------------------------------------------------------------------------
 */

static void assert_yarn(const char *shape, const char *set, double low, double high,
                        double scale) {
    struct kb_case c = case_of(shape, KB_BF16, set);
    struct kb_qkr q = kb_qkr_of(&c);
    assert_true(fabs(q.low - low) < 5e-5 && fabs(q.high - high) < 5e-5);
    assert_true(fabs(q.scale - scale) < 1e-6);
}

static void yarn_is_derived_from_the_words_of_a_model(void **state) {
    (void)state;
    assert_yarn("1x1x1x128", "original=32768,factor=4", 23, 40, 1.1386294);
    assert_yarn("1x1x1x128", "original=32768,factor=4,truncate=no", 23.5959, 39.6509,
                1.1386294);
    assert_yarn("1x1x1x64", "original=4096,base=10000,factor=40", 10, 23, 1.3688879);
    assert_yarn("1x1x1x128", "original=4096,base=10000,factor=40", 20, 46, 1.3688879);
    assert_yarn("1x1x1x256", "original=131072,factor=1", 60, 93, 1);
    /* 40960 over 32768, as the peers have it for Qwen3 */
    assert_yarn("1x1x1x128", "original=32768,max_position=40960", 23, 40, 1.0223144);
    assert_yarn("1x1x1x128", "original=4096,factor=40,base=10000,mscale=1,mscale_all_dim=1",
                20, 46, 1);
    assert_yarn("1x1x1x128", "original=32768,factor=4,attention_factor=0.5", 23, 40, 0.5);
}

static void frequencies_are_blended_between_low_and_high(void **state) {
    (void)state;
    struct kb_case c = case_of("1x1x1x128", KB_BF16, "original=32768,factor=4");
    struct kb_qkr q = kb_qkr_of(&c);
    static const struct {
        int k;
        double frequency;
    } golden[] = {{0, 1},
                  {23, 0.00697830585},
                  {24, 0.00537532149},
                  {31, 8.02959728e-4},
                  {39, 6.49039432e-5}};
    for (size_t i = 0; i < KB_COUNT(golden); i++)
        assert_true(fabs(kb_qkr_frequency(&q, golden[i].k) / golden[i].frequency - 1) <
                    1e-8);
    for (int k = 40; k < 64; k++)
        assert_true(fabs(kb_qkr_frequency(&q, k) * 4 / pow(1e6, -k / 64.0) - 1) < 1e-12);
}

/* ---- data ------------------------------------------------------------------------------
 */

struct data {
    struct kb_case c;
    struct kb_problem p;
    void *in[KB_MAX_TENSORS];
    double *want, *bound;
};

static void data_make(struct data *d, const char *shape, enum kb_dtype dtype,
                      const char *set, enum kb_fill fill, uint64_t seed) {
    *d = (struct data){.c = case_of(shape, dtype, set)};
    d->c.fill = fill;
    resolve(&d->c, &d->p);
    for (int t = 0; t < d->p.n_tensors; t++) {
        const struct kb_tensor_spec *s = &d->p.tensors[t];
        d->in[t] = malloc((size_t)s->elements * kb_dtype_bytes(s->dtype) + 1);
        d->c.op->fill(&d->p, t, seed, 0, s->elements, d->in[t]);
    }
    int64_t n = d->p.tensors[0].elements;
    d->want = malloc((size_t)n * sizeof *d->want);
    d->bound = malloc((size_t)n * sizeof *d->bound);
    d->c.op->reference(&d->p, (const void *const *)d->in, NULL, 0, 0, n, d->want, d->bound);
}

static void data_free(struct data *d) {
    for (int t = 0; t < d->p.n_tensors; t++)
        free(d->in[t]);
    free(d->want);
    free(d->bound);
}

static double at(const struct data *d, int t, int64_t i) {
    enum kb_dtype dtype = d->p.tensors[t].dtype;
    return kb_decode(dtype, kb_bits_at(dtype, d->in[t], i));
}

static void any_split_of_fill_and_reference_gives_the_same(void **state) {
    (void)state;
    struct data d;
    data_make(&d, "5x3x2x64", KB_BF16, "rotary_dim=32", KB_FILL_NAN, 3);
    int64_t n = d.p.tensors[0].elements;
    void *prepared = d.c.op->prepare(&d.p, (const void *const *)d.in);
    for (int64_t first = 0, count = 1; first < n; first += count, count = count * 2 % 97) {
        double want[97], bound[97];
        uint16_t part[97];
        count = count < n - first ? count : n - first;
        d.c.op->fill(&d.p, 0, 3, first, count, part);
        assert_memory_equal(part, (uint16_t *)d.in[0] + first, 2 * (size_t)count);
        d.c.op->reference(&d.p, (const void *const *)d.in, prepared, 0, first, count, want,
                          bound);
        assert_memory_equal(want, d.want + first, 8 * (size_t)count);
        assert_memory_equal(bound, d.bound + first, 8 * (size_t)count);
    }
    free(prepared);
    data_free(&d);
}

static void v_heads_must_stay(void **state) {
    (void)state;
    struct data d;
    data_make(&d, "2x3x2x64", KB_BF16, "", KB_FILL_NORMAL, 1);
    for (int64_t i = 0; i < d.p.tensors[0].elements; i++)
        assert_int_equal(d.bound[i] == KB_KEEP, i % (7 * 64) >= 5 * 64);
    data_free(&d);
}

static void rows_of_a_wider_buffer_hold_the_same_and_end_in_nan_that_stays(void **state) {
    (void)state;
    struct data wide, packed;
    const int width = 7 * 64, pitch = 475;
    data_make(&wide, "5x3x2x64", KB_BF16, "in_pitch=475,positions=random", KB_FILL_NAN, 3);
    data_make(&packed, "5x3x2x64", KB_BF16, "positions=random", KB_FILL_NAN, 3);
    assert_int_equal(wide.p.tensors[0].shape[1], pitch);
    assert_int_equal(wide.p.bytes, packed.p.bytes);
    for (int i = 0; i < 5 * pitch; i++) {
        int token = i / pitch, col = i % pitch, there = token * width + col;
        if (col >= width) {
            assert_true(isnan(at(&wide, KB_QKR_QKV, i)) && wide.bound[i] == KB_KEEP);
            continue;
        }
        assert_int_equal(((uint16_t *)wide.in[0])[i], ((uint16_t *)packed.in[0])[there]);
        assert_memory_equal(&wide.want[i], &packed.want[there], sizeof *wide.want);
        assert_memory_equal(&wide.bound[i], &packed.bound[there], sizeof *wide.bound);
    }
    for (int64_t first = 0, count = 1; first < 5 * pitch;
         first += count, count = count * 2 % 97) {
        uint16_t part[97];
        count = count < 5 * pitch - first ? count : 5 * pitch - first;
        wide.c.op->fill(&wide.p, 0, 3, first, count, part);
        assert_memory_equal(part, (uint16_t *)wide.in[0] + first, 2 * (size_t)count);
    }
    data_free(&wide);
    data_free(&packed);
}

static void squares_summed_up_in_bf16_show(void **state) {
    (void)state;
    static const enum kb_dtype dtypes[] = {KB_BF16, KB_FP16};
    for (int k = 0; k < 2; k++) {
        struct data d;
        int moved = 0, seen = 0;
        data_make(&d, "8x4x2x128", dtypes[k], "", KB_FILL_NORMAL, 1);
        int64_t n = d.p.tensors[0].elements;
        double *got = malloc((size_t)n * sizeof *got);
        assert_true(
            d.c.op->low_precision(&d.p, (const void *const *)d.in, NULL, 0, 0, n, got));
        for (int64_t i = 0; i < n; i++) {
            if (d.bound[i] == KB_KEEP || got[i] == d.want[i])
                continue;
            double stored = kb_round(dtypes[k], got[i]);
            moved++;
            seen +=
                fabs(stored - d.want[i]) > d.bound[i] + kb_ulp(dtypes[k], d.want[i]) / 2;
        }
        assert_true(moved > 500 && 4 * seen > moved);
        free(got);
        data_free(&d);
    }
}

static void subnormals_that_eps_outweighs_are_none_the_worse_for_bf16(void **state) {
    (void)state;
    struct data d;
    double got[6 * 64];
    data_make(&d, "1x2x2x64", KB_BF16, "", KB_FILL_TINY, 1);
    assert_true(
        d.c.op->low_precision(&d.p, (const void *const *)d.in, NULL, 0, 0, 6 * 64, got));
    assert_memory_equal(got, d.want, 4 * 64 * sizeof *got);
    data_free(&d);
}

static void a_failure_is_told_by_element_partner_weight_and_position(void **state) {
    (void)state;
    static const struct {
        const char *set;
        int partner; /* of element 5 */
    } golden[] = {{"", 37},
                  {"style=interleaved", 4},
                  {"rotary_dim=32", 21},
                  {"rotary_dim=4", 5},
                  {"in_pitch=475", 37}};
    for (size_t k = 0; k < KB_COUNT(golden); k++) {
        struct data d;
        struct kb_source s[KB_MAX_SOURCES];
        data_make(&d, "2x3x2x64", KB_BF16, golden[k].set, KB_FILL_NORMAL, 1);
        int64_t head = kb_qkr_of(&d.c).row + 4 * 64; /* of token 1: the second of k */
        const void *const *in = (const void *const *)d.in;
        assert_int_equal(d.c.op->sources(&d.p, in, 0, head + 5, s), 4);
        assert_true(s[0].value == at(&d, KB_QKR_QKV, head + 5));
        assert_true(s[1].value == at(&d, KB_QKR_QKV, head + golden[k].partner));
        assert_true(s[2].value == at(&d, KB_QKR_K_WEIGHT, 5) && s[3].value == 1);
        assert_int_equal(d.c.op->sources(&d.p, in, 0, head + 64 + 5, s), 4); /* v */
        assert_true(s[0].value == s[1].value && s[2].value == 1);
        data_free(&d);
    }
}

static void at_position_zero_it_is_the_norm_times_the_scale(void **state) {
    (void)state;
    struct data d;
    data_make(&d, "1x2x1x64", KB_FP16, "attention_factor=0.5,eps=0", KB_FILL_NORMAL, 1);
    for (int h = 0; h < 3; h++) {
        double sum = 0;
        for (int i = 0; i < 64; i++)
            sum += pow(at(&d, KB_QKR_QKV, h * 64 + i), 2);
        for (int i = 0; i < 64; i++) {
            double w = at(&d, h < 2 ? KB_QKR_Q_WEIGHT : KB_QKR_K_WEIGHT, i);
            double y = at(&d, KB_QKR_QKV, h * 64 + i) / sqrt(sum / 64) * w * 0.5;
            assert_true(fabs(d.want[h * 64 + i] - y) <= 1e-12);
        }
    }
    data_free(&d);
}

static void a_rotation_keeps_the_length_of_pairs_and_adds_up(void **state) {
    (void)state;
    struct data zero, one, two;
    const char *set =
        "positions=constant,style=interleaved,rotary_dim=32,eps=0,position=%d";
    char text[3][96];
    for (int i = 0; i < 3; i++)
        snprintf(text[i], sizeof text[i], set, i);
    data_make(&zero, "1x1x1x64", KB_BF16, text[0], KB_FILL_NORMAL, 1);
    data_make(&one, "1x1x1x64", KB_BF16, text[1], KB_FILL_NORMAL, 1);
    data_make(&two, "1x1x1x64", KB_BF16, text[2], KB_FILL_NORMAL, 1);
    for (int k = 0; k < 16; k++) {
        double a0 = zero.want[2 * k], b0 = zero.want[2 * k + 1], a1 = one.want[2 * k],
               b1 = one.want[2 * k + 1], a2 = two.want[2 * k], b2 = two.want[2 * k + 1];
        double square = a0 * a0 + b0 * b0;
        /* by the same angle from 0 to 1 as from 1 to 2, which is the pair's frequency */
        assert_true(fabs(a1 * a1 + b1 * b1 - square) < 1e-12);
        assert_true(fabs((a0 * a1 + b0 * b1) - (a1 * a2 + b1 * b2)) < 1e-12);
        double angle = atan2(a0 * b1 - b0 * a1, a0 * a1 + b0 * b1);
        assert_true(fabs(angle / pow(1e6, -2.0 * k / 32) - 1) < 1e-6);
    }
    for (int i = 32; i < 64; i++)
        assert_true(zero.want[i] == one.want[i]);
    data_free(&zero);
    data_free(&one);
    data_free(&two);
}

static void special_heads_are_nan_or_zero_and_leak_nowhere(void **state) {
    (void)state;
    struct data d;
    data_make(&d, "1x2x1x64", KB_BF16, "eps=0", KB_FILL_NORMAL, 1);
    uint16_t *x = d.in[KB_QKR_QKV];
    x[3] = 0x7fc0;                      /* NaN in head 0 */
    x[64 + 5] = 0x7f80;                 /* inf in head 1 */
    memset(x + 128, 0, 64 * sizeof *x); /* head 2 is zero, eps too */
    d.c.op->reference(&d.p, (const void *const *)d.in, NULL, 0, 0, 192, d.want, d.bound);
    for (int i = 0; i < 64; i++) {
        assert_true(isnan(d.want[i]) && d.bound[i] == 0);
        bool pair = i == 5 || i == 37;
        assert_true(pair ? isnan(d.want[64 + i]) : d.want[64 + i] == 0);
        assert_true(isnan(d.want[128 + i]));
    }
    data_free(&d);
}

/* ---- the bound: a right kernel in float, another order of sums --------------------------
 */

static double worst_of_a_float_kernel(const struct data *d, const struct kb_qkr *q) {
    double worst = 0;
    for (int64_t row = 0; row < q->tokens * (q->heads + q->kv_heads); row++) {
        int64_t token = row / (q->heads + q->kv_heads),
                head = row % (q->heads + q->kv_heads);
        int64_t start = token * q->row + head * q->head_dim;
        float y[KB_QKR_MAX_HEAD], sum = 0;
        for (int i = q->head_dim - 1; i >= 0; i--) {
            y[i] = (float)at(d, KB_QKR_QKV, start + i);
            sum += y[i] * y[i];
        }
        float r = 1.0f / sqrtf(sum / (float)q->head_dim + (float)q->eps);
        for (int i = 0; i < q->head_dim; i++)
            y[i] *=
                r * (float)at(d, head < q->heads ? KB_QKR_Q_WEIGHT : KB_QKR_K_WEIGHT, i);
        float position = (float)at(d, KB_QKR_POSITIONS, token);
        for (int k = 0; k < q->rotary_dim / 2; k++) {
            float t =
                position * powf((float)q->base, -2.0f * (float)k / (float)q->rotary_dim);
            int a = q->style == KB_NEOX ? k : 2 * k;
            int b = q->style == KB_NEOX ? k + q->rotary_dim / 2 : 2 * k + 1;
            float c = cosf(t), s = sinf(t), turned = y[a] * c - y[b] * s;
            y[b] = y[b] * c + y[a] * s;
            y[a] = turned;
        }
        for (int i = 0; i < q->head_dim; i++) {
            double err = fabs(y[i] - d->want[start + i]);
            worst = fmax(worst, err / d->bound[start + i]);
        }
    }
    return worst;
}

static void a_plain_float_kernel_is_well_inside_the_bound(void **state) {
    (void)state;
    static const char *const sets[] = {
        "", "style=interleaved,rotary_dim=32", "positions=random,position=131072",
        "positions=reverse,position=100000,rotary_dim=48", "positions=random,base=10000"};
    double worst = 0;
    for (size_t i = 0; i < KB_COUNT(sets); i++)
        for (uint64_t seed = 1; seed <= 20; seed++) {
            struct data d;
            data_make(&d, "32x2x1x128", KB_BF16, sets[i], KB_FILL_NORMAL, seed);
            struct kb_qkr q = kb_qkr_of(&d.c);
            worst = fmax(worst, worst_of_a_float_kernel(&d, &q));
            data_free(&d);
        }
    assert_true(worst < 0.5);
    assert_true(worst > 0.01); /* a bound that is never neared finds nothing */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shape_gives_a_packed_buffer_weights_positions_and_cost),
        cmocka_unit_test(what_is_wrong_is_refused_with_and_without_tokens),
        cmocka_unit_test(yarn_is_derived_from_the_words_of_a_model),
        cmocka_unit_test(frequencies_are_blended_between_low_and_high),
        cmocka_unit_test(any_split_of_fill_and_reference_gives_the_same),
        cmocka_unit_test(v_heads_must_stay),
        cmocka_unit_test(rows_of_a_wider_buffer_hold_the_same_and_end_in_nan_that_stays),
        cmocka_unit_test(squares_summed_up_in_bf16_show),
        cmocka_unit_test(subnormals_that_eps_outweighs_are_none_the_worse_for_bf16),
        cmocka_unit_test(a_failure_is_told_by_element_partner_weight_and_position),
        cmocka_unit_test(at_position_zero_it_is_the_norm_times_the_scale),
        cmocka_unit_test(a_rotation_keeps_the_length_of_pairs_and_adds_up),
        cmocka_unit_test(special_heads_are_nan_or_zero_and_leak_nowhere),
        cmocka_unit_test(a_plain_float_kernel_is_well_inside_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
