/* counts_test.c - what many elements come to: the comparison, which does not look at each,
 * finds what the rule says of each. */
#include "judge.h"
#include "toy_fixture.h"

#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- counts and extremes ------------------------------------------------------------ */

static double random_of(uint64_t seed, int64_t i) {
    uint32_t words[4];

    kb_philox(seed, 7, (uint64_t)i, words);
    return (double)words[0] / 4294967296.0;
}

/* Wants over many binades, wrong ones, special ones, and ones that stay, by turns. */
static void make_mixed(struct toy *toy, uint64_t seed, double wrong) {
    const double specials[] = {0, -0.0, NAN, INFINITY, -INFINITY, 3.5e38, 65520, 460};
    enum kb_dtype dtype = toy->p.tensors[TOY_OUT].dtype;

    for (int64_t i = 0; i < toy->n; i++) {
        double sign = random_of(seed, 8 * i) < 0.5 ? -1 : 1;
        double kind = random_of(seed, 8 * i + 1), size = random_of(seed, 8 * i + 2);
        toy->want[i] = sign * exp2(30 * size - 20);
        toy->bound[i] = fabs(toy->want[i]) * 0x1p-10;
        if (kind < 0.05)
            toy->want[i] = specials[(int)(8 * size)];
        else if (kind < 0.1)
            toy->bound[i] = size < 0.5 ? KB_KEEP : INFINITY;
        else if (kind < 0.15)
            toy->want[i] = kb_decode(dtype, kb_encode(dtype, toy->want[i]));
        double by = random_of(seed, 8 * i + 3) < wrong ? 0x1p-5 : 0x1p-12;
        double got = toy->want[i] * (1 + by * (2 * random_of(seed, 8 * i + 4) - 1));
        if (random_of(seed, 8 * i + 5) < wrong / 4)
            got = specials[(int)(8 * size)];
        toy_put(toy, i, got);
    }
    kb_poison(toy->data[TOY_OUT], kb_dtype_bytes(dtype) * 3, 0);
}

/* The same by the definition alone, one element after the other. */
static struct kb_output_report by_definition(const struct toy *toy) {
    struct kb_judge judge = kb_judge_of(&toy->args);
    struct kb_chunk *chunk = malloc(sizeof *chunk);
    struct kb_output_report r = {.first_bad = -1, .last_bad = -1};

    for (int64_t i = 0; i < toy->n; i++) {
        uint32_t bits = kb_bits_at(judge.spec->dtype, toy->args.got, i);
        kb_judge_load(&judge, i, 1, chunk);
        double want = chunk->want[0], bound = chunk->bound[0];
        struct kb_judged j = kb_judge_bits(&judge, i, bits, want, bound);
        r.over += j.bad;
        r.over_bound += !(j.share <= 1);
        r.tolerance_over += !(j.tol <= 1);
        r.kind_mismatches += j.kind_bad;
        r.kept += bound == KB_KEEP;
        r.touched += bound == KB_KEEP && j.bad;
        r.unwritten += j.bad && kb_judge_unwritten(&judge, bits);
        r.differing += bits != kb_judge_right(&judge, i, want, bound);
        r.first_bad = j.bad && r.first_bad < 0 ? i : r.first_bad;
        r.last_bad = j.bad ? i : r.last_bad;
        r.err_over_bound = fmax(r.err_over_bound, j.share);
        r.tolerance_used = fmax(r.tolerance_used, j.tol);
        r.rel_max = fmax(r.rel_max, j.rel);
        if (!j.finite)
            continue;
        double off = kb_decode(judge.spec->dtype, bits) - want;
        r.ulp_max = fmax(r.ulp_max, fabs(off) / kb_ulp(judge.spec->dtype, want));
        r.abs_max = fmax(r.abs_max, fabs(off));
        r.bias_ulp += off / kb_ulp(judge.spec->dtype, want);
        r.nmse += off * off;
        r.want_rms += want * want;
        r.checked++; /* pairs of numbers, here */
    }
    r.nmse /= r.want_rms;
    r.want_rms = sqrt(r.want_rms / (double)r.checked);
    r.bias_ulp /= (double)r.checked;
    free(chunk);
    return r;
}

static void assert_near(double got, double want) {
    if (!(fabs(got - want) <= 1e-9 * fabs(want)))
        fail_msg("%.17g is not %.17g", got, want);
}

static void assert_as_defined(struct toy *toy) {
    struct kb_output_report r = toy_report(toy), d = by_definition(toy);

    assert_int_equal(r.over, d.over);
    assert_int_equal(r.over_bound, d.over_bound);
    assert_int_equal(r.tolerance_over, d.tolerance_over);
    assert_int_equal(r.kind_mismatches, d.kind_mismatches);
    assert_int_equal(r.kept, d.kept);
    assert_int_equal(r.touched, d.touched);
    assert_int_equal(r.unwritten, d.unwritten);
    assert_int_equal(r.differing, d.differing);
    assert_int_equal(r.first_bad, d.first_bad);
    assert_int_equal(r.last_bad, d.last_bad);
    assert_true(r.err_over_bound == d.err_over_bound);
    assert_true(r.tolerance_used == d.tolerance_used);
    assert_true(r.rel_max == d.rel_max);
    assert_true(r.ulp_max == d.ulp_max && r.abs_max == d.abs_max);
    assert_near(r.bias_ulp, d.bias_ulp);
    assert_near(r.nmse, d.nmse);
    assert_near(r.want_rms, d.want_rms);
}

static void many_elements_are_what_each_is_by_definition(void **state) {
    (void)state;
    const enum kb_dtype dtypes[] = {KB_BF16, KB_FP16, KB_FP32, KB_E4M3};
    const double wrong[] = {0, 0.001, 0.3};
    for (size_t i = 0; i < KB_COUNT(dtypes); i++) {
        for (size_t k = 0; k < KB_COUNT(wrong); k++) {
            for (int rule = KB_TOL_BOUND; rule <= KB_TOL_PEER; rule++) {
                struct toy toy;
                toy_make(&toy, dtypes[i], 17, 521 + (int64_t)k);
                make_mixed(&toy, 3 * i + k, wrong[k]);
                toy.args.tolerance.rule = (enum kb_tolerance_rule)rule;
                assert_as_defined(&toy);
                toy_free(&toy);
            }
        }
    }
}

static void the_worst_is_the_first_of_those_that_are_worst(void **state) {
    (void)state;
    struct toy toy;
    toy_make(&toy, KB_FP32, 40, 8192);
    toy_perfect(&toy);
    assert_int_equal(toy_report(&toy).worst.index, 0);
    toy_put(&toy, 300007, toy.want[300007] + 0x1p-20);
    for (int64_t i = 100000; i < 300000; i += 1000) {
        toy.want[i] = 2;
        toy_put(&toy, i, 2 + 0x1p-10);
    }
    for (int threads = 1; threads <= 3; threads++) {
        omp_set_num_threads(threads);
        struct kb_output_report r = toy_report(&toy);
        assert_int_equal(r.over, 201);
        assert_int_equal(r.worst.index, 100000);
        assert_int_equal(r.first[1].index, 101000);
        assert_int_equal(r.last_bad, 300007);
    }
    toy_free(&toy);
}

/* ---- distances --------------------------------------------------------------------- */

/* Of 1000 errors of 0.001 to 1 ulp, in steps; signs by turns. */
static void percentiles_bias_and_nmse_are_those_of_the_errors(void **state) {
    (void)state;
    struct toy toy;
    const double ulp = 0x1p-7;
    toy_make(&toy, KB_BF16, 10, 100);
    for (int64_t i = 0; i < toy.n; i++) {
        double off = (double)(i + 1) / 1000 * ulp;
        toy.want[i] = i % 2 ? 1.5 - off : 1.5 + off;
        toy.bound[i] = ulp;
        toy_put(&toy, i, 1.5);
    }
    struct kb_output_report r = toy_report(&toy);
    assert_int_equal(r.over, 0);
    assert_true(fabs(r.ulp_p50 - 0.5) < 0.0015);
    assert_true(fabs(r.ulp_p99 - 0.99) < 0.0015);
    assert_true(fabs(r.ulp_max - 1) < 1e-12);
    assert_true(fabs(r.bias_ulp - 0.0005) < 1e-9);
    /* The mean of off^2 is ulp^2 / 3, within 1 in 600, and want is 1.5 all but off. */
    assert_true(fabs(r.nmse / (ulp * ulp / 3 / 2.25) - 1) < 0.003);
    assert_true(fabs(r.want_rms - 1.5) < 1e-4);
    assert_true(fabs(r.abs_max - ulp) < 1e-12);
    toy_free(&toy);
}

static void large_errors_have_percentiles_to_one_in_64(void **state) {
    (void)state;
    struct toy toy;
    toy_make(&toy, KB_FP32, 1, 200);
    for (int64_t i = 0; i < toy.n; i++) {
        toy.want[i] = 1;
        toy_put(&toy, i, 1 + (double)(i + 1) * 1000 * 0x1p-23);
    }
    struct kb_output_report r = toy_report(&toy);
    assert_true(r.ulp_p50 >= 100000 && r.ulp_p50 <= 100000 * (1 + 1.0 / 64));
    assert_true(r.ulp_p99 >= 198000 && r.ulp_p99 <= 200000);
    assert_true(r.ulp_max == 200000);
    for (int64_t i = 0; i < toy.n; i++)
        toy_put(&toy, i, 1e30); /* past the last bin */
    r = toy_report(&toy);
    assert_true(r.ulp_p50 == r.ulp_max && r.ulp_max > 1e36);
    toy_free(&toy);
}

static void nmse_of_zeros_is_not_known(void **state) {
    (void)state;
    struct toy toy;
    toy_make(&toy, KB_BF16, 1, 9);
    memset(toy.want, 0, 9 * sizeof *toy.want);
    toy_perfect(&toy);
    struct kb_output_report r = toy_report(&toy);
    assert_true(isnan(r.nmse) && r.want_rms == 0 && r.ulp_p50 == 0);
    toy_free(&toy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_elements_are_what_each_is_by_definition),
        cmocka_unit_test(the_worst_is_the_first_of_those_that_are_worst),
        cmocka_unit_test(percentiles_bias_and_nmse_are_those_of_the_errors),
        cmocka_unit_test(large_errors_have_percentiles_to_one_in_64),
        cmocka_unit_test(nmse_of_zeros_is_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
