/* merge_state_test.c - problem, reference and bound of merge_state. */
#include "ops/op_fixture.h"

enum { V_A, S_A, V_B, S_B, V, S };

static struct kb_case case_of(const char *shape, const char *set) {
    return op_case("merge_state", shape, KB_FP32, set);
}

static void assert_refused(const char *shape, const char *set, const char *message) {
    struct kb_case c = case_of(shape, set);
    assert_case_refused(&c, message);
}

static void shapes_have_three_axes(void **state) {
    (void)state;
    assert_refused("3x4", "", "TOKENSxHEADSxV_DIM, got 2 axes");
    assert_refused("3x0x4", "", "HEADS must be from 1 to 65535, got 0");
    assert_refused("0x4x0", "", "V_DIM must be from 1 to 65535, got 0");
}

static void in_place_there_is_no_output_of_its_own(void **state) {
    (void)state;
    struct kb_problem p;
    struct kb_case c = case_of("3x4x64", "inplace=yes");
    resolve(&c, &p);
    assert_true(p.tensors[V].absent && p.tensors[S].absent);
    assert_int_equal(p.tensors[V_A].role, KB_INOUT);
    assert_int_equal(p.tensors[S_A].role, KB_INOUT);
    assert_int_equal(p.tensors[V_B].role, KB_IN);
}

/* One row of one element. */
static void merge(const char *set, float a, float s_a, float b, float s_b, double *v,
                  double *s, double bound[2]) {
    struct kb_problem p;
    struct kb_case c = case_of("1x1x1", set);
    resolve(&c, &p);
    const void *in[KB_MAX_TENSORS] = {&a, &s_a, &b, &s_b};
    c.op->reference(&p, in, NULL, V, 0, 1, v, &bound[0]);
    c.op->reference(&p, in, NULL, S, 0, 1, s, &bound[1]);
}

static void the_golden_pair_merges_by_its_base(void **state) {
    (void)state;
    double v, s, bound[2];
    merge("lse_base=e", 1, 2, 0, 1, &v, &s, bound);
    assert_true(fabs(v - 0.731058579) < 1e-9 && fabs(s - 2.31326169) < 1e-8);
    merge("lse_base=2", 1, 2, 0, 1, &v, &s, bound);
    assert_true(fabs(v - 2.0 / 3) < 1e-9 && fabs(s - log2(6)) < 1e-9);
    assert_true(bound[0] > 0 && bound[0] < 1e-5 && bound[1] > 0 && bound[1] < 1e-5);
}

static void an_empty_side_leaves_the_other_and_two_leave_nothing(void **state) {
    (void)state;
    const float none = -INFINITY;
    double v, s, bound[2];
    merge("lse_base=e", 7, none, 3, 0.5f, &v, &s, bound);
    assert_true(v == 3 && s == 0.5 && bound[0] == 0 && bound[1] == 0);
    merge("lse_base=2", 7, 0.25f, NAN, none, &v, &s, bound);
    assert_true(v == 7 && s == 0.25 && bound[0] == 0 && bound[1] == 0);
    merge("lse_base=e", 7, none, 3, none, &v, &s, bound);
    assert_true(v == 0 && s == -INFINITY && bound[0] == 0 && bound[1] == 0);
}

static void a_failure_is_told_by_both_sides_of_its_row(void **state) {
    (void)state;
    static const char *const names[] = {"v_a", "s_a", "v_b", "s_b"};
    struct kb_problem p;
    struct kb_source s[KB_MAX_SOURCES];
    struct kb_case c = case_of("1x2x2", "");
    resolve(&c, &p);
    const float v_a[] = {1, 2, 3, 4}, s_a[] = {5, 6}, v_b[] = {7, 8, 9, 10},
                s_b[] = {11, 12};
    const void *in[KB_MAX_TENSORS] = {v_a, s_a, v_b, s_b};
    assert_int_equal(c.op->sources(&p, in, V, 3, s), 4);
    for (int i = 0; i < 4; i++)
        assert_string_equal(s[i].name, names[i]);
    assert_true(s[0].value == 4 && s[1].value == 6 && s[2].value == 10 && s[3].value == 12);
    assert_int_equal(c.op->sources(&p, in, S, 1, s), 2);
    assert_true(s[0].value == 6 && s[1].value == 12);
}

/* The formula in float, by natural exponents, without any care. */
static double worst_share(uint64_t seed, enum kb_fill fill) {
    struct kb_problem p;
    struct kb_case c = case_of("16x4x8", "");
    c.fill = fill;
    resolve(&c, &p);
    float data[4][512];
    const void *in[KB_MAX_TENSORS];
    double want[512], bound[512], worst = 0;
    for (int t = 0; t < 4; t++) {
        c.op->fill(&p, t, seed, 0, p.tensors[t].elements, data[t]);
        in[t] = data[t];
    }
    c.op->reference(&p, in, NULL, V, 0, 512, want, bound);
    for (int i = 0; i < 512; i++) {
        float s_a = data[S_A][i / 8], s_b = data[S_B][i / 8], m = fmaxf(s_a, s_b);
        float a = expf(s_a - m), b = expf(s_b - m);
        float v = (a * data[V_A][i] + b * data[V_B][i]) / (a + b);
        worst = fmax(worst, fabs(v - want[i]) / bound[i]);
    }
    return worst;
}

static void a_plain_float_merge_is_inside_the_bound(void **state) {
    (void)state;
    double worst = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        worst = fmax(worst, worst_share(seed, KB_FILL_NORMAL));
        worst = fmax(worst, worst_share(seed, KB_FILL_OUTLIERS));
    }
    assert_true(worst < 0.5);
    assert_true(worst > 0.05); /* a bound that is never neared finds nothing */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_have_three_axes),
        cmocka_unit_test(in_place_there_is_no_output_of_its_own),
        cmocka_unit_test(the_golden_pair_merges_by_its_base),
        cmocka_unit_test(an_empty_side_leaves_the_other_and_two_leave_nothing),
        cmocka_unit_test(a_failure_is_told_by_both_sides_of_its_row),
        cmocka_unit_test(a_plain_float_merge_is_inside_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
