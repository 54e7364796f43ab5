/* silu_mul_quant_fill_test.c - inputs of silu_mul_quant are what they are said to be, and
 * neither they nor the reference depend on how they are split. */
#include "ops/silu_mul_quant_fixture.h"

static const enum kb_dtype dtypes[] = {KB_BF16, KB_FP16};

static void assert_same(const double *a, const double *b, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        assert_true(a[i] == b[i] || (isnan(a[i]) && isnan(b[i])));
}

static void any_split_gives_the_same_and_so_does_the_table(void **state) {
    (void)state;
    static const char *const sets[] = {"", "round=both,scale_layout=packed,ue8m0=yes",
                                       "round=product,scale_layout=col"};
    for (size_t i = 0; i < KB_COUNT(sets); i++) {
        struct run r;
        run_make(&r, "67x2048", dtypes[i % 2], sets[i]);
        run_fill(&r, i ? KB_FILL_BITS : KB_FILL_NORMAL, 7);
        void *table = r.c.op->prepare(&r.p, r.in);
        assert_true(table);
        for (int t = KB_SMQ_CODES; t <= KB_SMQ_SCALES; t++) {
            int64_t n = r.p.tensors[t].elements, part = 331;
            double *want = calloc((size_t)n, sizeof *want);
            double *bound = calloc((size_t)n, sizeof *bound);
            run_ask(&r, t);
            for (int64_t at = 0; at < n; at += part)
                r.c.op->reference(&r.p, r.in, table, t, at, n - at < part ? n - at : part,
                                  want + at, bound + at);
            assert_same(want, r.want, n);
            assert_same(bound, r.bound, n);
            free(want);
            free(bound);
        }
        free(table);
        run_free(&r);
    }
}

static void every_fill_is_the_same_in_parts(void **state) {
    (void)state;
    const struct kb_op *op = kb_op_find("silu_mul_quant");
    for (int f = 0; f < op->n_fills; f++)
        for (size_t d = 0; d < KB_COUNT(dtypes); d++) {
            struct run r;
            unsigned char parts[10 * 768 * 2];
            int64_t n = 10 * 768;
            run_make(&r, "10x768", dtypes[d], "");
            run_fill(&r, op->fills[f], 9);
            for (int64_t at = 0; at < n; at += 97)
                op->fill(&r.p, 0, 9, at, n - at < 97 ? n - at : 97, parts + 2 * at);
            assert_memory_equal(parts, r.data[0], sizeof parts);
            run_free(&r);
        }
}

/* amax of a group from what its scale would be, floor and all. */
static double amax_of(struct run *r, int64_t row, int64_t group) {
    struct kb_smq_place place = {0, row, group};
    return r->want[kb_smq_element_of(&r->q, place)] * 448;
}

static void sparse_groups_are_of_four_kinds(void **state) {
    (void)state;
    struct run r;
    int below[2] = {0}, above = 0;
    run_make(&r, "64x1024", KB_BF16, "eps=1e-30");
    run_fill(&r, KB_FILL_SPARSE, 1);
    run_ask(&r, KB_SMQ_SCALES);
    for (int64_t row = 0; row < 64; row++)
        for (int64_t g = 0; g < 4; g++) {
            double amax = amax_of(&r, row, g);
            switch ((row + g) % 4) {
            case 1: /* zeros, up to what silu(-200) leaves */
                assert_true(amax < 1e-29);
                break;
            case 3:
                below[0] += amax < 1e-10;
                below[1] += amax < 4.48e-8;
                above += amax > 4.48e-8;
                assert_true(amax > 1e-14 && amax < 2e-3);
                break;
            default:
                assert_true(amax > 0.3);
            }
        }
    assert_true(below[0] > 5 && below[1] > below[0] + 5 && above > 5);
    run_free(&r);
}

static double distance_from_edge(double amax) {
    int exponent;
    double q = frexp(amax / 448, &exponent) * 2;
    return q < 1.5 ? q - 1 : q / 2 - 1;
}

static void edges_are_powers_and_their_neighbours(void **state) {
    (void)state;
    for (size_t d = 0; d < KB_COUNT(dtypes); d++) {
        struct run r;
        double near = dtypes[d] == KB_FP16 ? 1.3e-6 : 1e-4;
        run_make(&r, "64x1024", dtypes[d], "");
        run_fill(&r, KB_FILL_EDGES, 1);
        run_ask(&r, KB_SMQ_SCALES);
        for (int64_t row = 0; row < 64; row++)
            for (int64_t g = 0; g < 4; g++) {
                double off = distance_from_edge(amax_of(&r, row, g));
                switch ((row + g) % 4) {
                case 0:
                    assert_true(fabs(off) < 1e-10);
                    break;
                case 1:
                    assert_true(off > 9e-7 && off < near);
                    break;
                case 2:
                    assert_true(off < -8e-7 && off > -1.3e-6);
                    break;
                default:
                    assert_true(fabs(off) > 2e-4 && fabs(off) < 1e-2);
                }
            }
        run_free(&r);
    }
}

/* What log2f of a float takes for a whole number, the power above is due for. */
static void edges_reach_what_log2f_takes_for_whole(void **state) {
    (void)state;
    struct run r;
    int reached = 0;
    run_make(&r, "64x1024", KB_FP16, "");
    run_fill(&r, KB_FILL_EDGES, 1);
    run_ask(&r, KB_SMQ_SCALES);
    for (int64_t i = 0; i < r.p.tensors[KB_SMQ_SCALES].elements; i++) {
        double scale = r.want[i];
        int right = (int)ceil(log2(scale)), wrong = (int)ceilf(log2f((float)scale));
        reached += wrong < right && distance_from_edge(448 * scale) > 9e-7;
    }
    assert_true(reached > 20);
    run_free(&r);
}

static void a_ramp_tells_rows_and_groups_apart(void **state) {
    (void)state;
    struct run r;
    run_make(&r, "16x2048", KB_FP16, "");
    run_fill(&r, KB_FILL_RAMP, 1);
    run_ask(&r, KB_SMQ_SCALES);
    for (int64_t row = 0; row < 16; row++)
        for (int64_t g = 0; g < 8; g++) {
            double expected = ldexp(4, (int)(row + g) - 12);
            double amax = amax_of(&r, row, g);
            assert_true(amax > expected / 6 && amax < expected * 6);
        }
    run_free(&r);
}

/* Else a kernel that writes zeros would be right. */
static void zeros_and_tiny_numbers_leave_codes_that_are_not_zero(void **state) {
    (void)state;
    static const enum kb_fill fills[] = {KB_FILL_ZEROS, KB_FILL_TINY};
    for (size_t f = 0; f < KB_COUNT(fills); f++)
        for (size_t d = 0; d < KB_COUNT(dtypes); d++) {
            struct run r;
            int64_t visible = 0;
            run_make(&r, "16x512", dtypes[d], "");
            run_fill(&r, fills[f], 1);
            run_ask(&r, KB_SMQ_CODES);
            for (int i = 0; i < 16 * 256; i++)
                visible += fabs(r.want[i]) > 0.01;
            assert_true(visible > 16 * 256 / 8);
            run_free(&r);
        }
}

static void counts_are_those_of_their_mask(void **state) {
    (void)state;
    static const char *const masks[] = {"full", "balanced", "imbalanced", "extreme"};
    for (int m = 0; m < 4; m++)
        for (uint64_t seed = 1; seed < 20; seed++) {
            struct run r;
            char set[64];
            int64_t full = 0, empty = 0;
            snprintf(set, sizeof set, "mask=%s,experts=9", masks[m]);
            run_make(&r, "360x256", KB_BF16, set);
            run_fill(&r, KB_FILL_NORMAL, seed);
            const int32_t *counts = (const void *)r.data[KB_SMQ_COUNTS];
            for (int e = 0; e < 9; e++) {
                assert_true(counts[e] >= 0 && counts[e] <= 40);
                assert_true(m != 1 || (counts[e] >= 15 && counts[e] <= 26));
                full += counts[e] == 40;
                empty += counts[e] == 0;
            }
            assert_true(m != 0 || full == 9);
            assert_true(m != 1 || full + empty == 0);
            assert_true(m != 2 || (full > 0 && empty > 0));
            assert_true(m != 3 || (full == 1 && empty == 8));
            run_free(&r);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_split_gives_the_same_and_so_does_the_table),
        cmocka_unit_test(every_fill_is_the_same_in_parts),
        cmocka_unit_test(sparse_groups_are_of_four_kinds),
        cmocka_unit_test(edges_are_powers_and_their_neighbours),
        cmocka_unit_test(edges_reach_what_log2f_takes_for_whole),
        cmocka_unit_test(a_ramp_tells_rows_and_groups_apart),
        cmocka_unit_test(zeros_and_tiny_numbers_leave_codes_that_are_not_zero),
        cmocka_unit_test(counts_are_those_of_their_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
