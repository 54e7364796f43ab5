/* match_test.c - which rows stand beside each other. */
#include "report/compare_fixture.h"

struct made {
    struct kb_loaded a, b;
    struct kb_arena arena;
    struct kb_pairs pairs;
};

static void match_rows(struct made *m, const struct made_row *a, int n_a,
                       const struct made_row *b, int n_b, enum kb_relax relax) {
    *m = (struct made){0};
    make_report("NVIDIA H200", 1, a, n_a, &m->a);
    make_report("NVIDIA H200", 1, b, n_b, &m->b);
    const struct kb_side x = {.report = &m->a}, y = {.report = &m->b};
    kb_pairs_make(&x, &y, NULL, 0, relax, &m->arena, &m->pairs);
}

static void made_free(struct made *m) {
    kb_loaded_free(&m->a);
    kb_loaded_free(&m->b);
    kb_arena_free(&m->arena);
}

static const struct kb_pair *pair_of(const struct made *m, const char *id,
                                     const char *variant) {
    for (size_t i = 0; i < m->pairs.n; i++) {
        const struct kb_pair *p = &m->pairs.items[i];
        const struct kb_entry *e = p->a ? p->a : p->b;
        if (kb_streq(e->case_id, id) && (!variant || kb_streq(e->variant, variant)))
            return p;
    }
    fail_msg("no pair of %s", id);
    return NULL;
}

static void rows_are_paired_whatever_their_order(void **state) {
    (void)state;
    const struct made_row a[] = {{.case_id = "s/1/b", .ns = 1},
                                 {.case_id = "s/2/b", .ns = 2},
                                 {.case_id = "s/3/b", .ns = 3}};
    const struct made_row b[] = {{.case_id = "s/3/b", .ns = 30},
                                 {.case_id = "s/1/b", .ns = 10},
                                 {.case_id = "s/4/b", .ns = 40}};
    struct made m;
    match_rows(&m, a, 3, b, 3, KB_RELAX_BUILD);
    assert_int_equal(m.pairs.n, 4);
    assert_int_equal(m.pairs.only_a, 1);
    assert_int_equal(m.pairs.only_b, 1);
    assert_true(pair_of(&m, "s/3/b", NULL)->tb->median_ns == 30);
    assert_true(pair_of(&m, "s/1/b", NULL)->tb->median_ns == 10);
    assert_null(pair_of(&m, "s/2/b", NULL)->b);
    assert_null(pair_of(&m, "s/4/b", NULL)->a);
    made_free(&m);
}

static void variants_are_paired_by_name_and_one_that_is_left_by_its_case(void **state) {
    (void)state;
    const struct made_row a[] = {{.case_id = "s/1/b", .ns = 1, .variant = "x"},
                                 {.case_id = "s/1/b", .ns = 2, .variant = "y"}};
    const struct made_row b[] = {{.case_id = "s/1/b", .ns = 3, .variant = "z"},
                                 {.case_id = "s/1/b", .ns = 4, .variant = "x"}};
    const struct made_row c[] = {{.case_id = "s/1/b", .ns = 3, .variant = "z"},
                                 {.case_id = "s/1/b", .ns = 4, .variant = "v"}};
    struct made m;
    match_rows(&m, a, 2, b, 2, KB_RELAX_VARIANT);
    assert_int_equal(m.pairs.n, 2);
    assert_true(pair_of(&m, "s/1/b", "x")->tb->median_ns == 4);
    assert_true(pair_of(&m, "s/1/b", "y")->tb->median_ns == 3);
    assert_string_equal(pair_of(&m, "s/1/b", "y")->differs, "variant y -> z");
    made_free(&m);
    match_rows(&m, a, 2, b, 2, KB_RELAX_NONE);
    assert_null(pair_of(&m, "s/1/b", "y")->b);
    made_free(&m);
    match_rows(&m, a, 2, c, 2, KB_RELAX_BUILD); /* which of two is not known */
    assert_int_equal(m.pairs.only_a, 2);
    assert_int_equal(m.pairs.only_b, 2);
    made_free(&m);
}

static void a_peer_is_held_against_the_build_that_is_the_default(void **state) {
    (void)state;
    const struct made_row peer[] = {
        {.case_id = "s/1/b", .ns = 1, .variant = "torch", .build = "peer"}};
    const struct made_row ours[] = {
        {.case_id = "s/1/b", .ns = 2, .build = "fast-math"},
        {.case_id = "s/1/b", .ns = 3, .build = "precise"},
        {.case_id = "s/1/b", .ns = 4, .build = "precise", .variant = "scalar"}};
    struct made m;
    match_rows(&m, peer, 1, ours, 2, KB_RELAX_BUILD);
    assert_int_equal(m.pairs.n, 2);
    assert_string_equal(m.pairs.items[0].b->build, "precise");
    assert_string_equal(m.pairs.items[0].differs,
                        "variant torch -> vec16, build peer -> precise");
    made_free(&m);
    match_rows(&m, ours, 2, peer, 1, KB_RELAX_BUILD);
    assert_int_equal(m.pairs.only_a, 1);
    assert_string_equal(m.pairs.items[1].a->build, "precise");
    assert_string_equal(m.pairs.items[1].b->build, "peer");
    made_free(&m);
    match_rows(&m, peer, 1, ours, 3, KB_RELAX_BUILD); /* which of the two? */
    assert_int_equal(m.pairs.only_a, 1);
    made_free(&m);
    match_rows(&m, peer, 1, ours, 2, KB_RELAX_KERNEL);
    assert_int_equal(m.pairs.only_a, 1);
    made_free(&m);
}

static void every_field_that_differs_is_named(void **state) {
    (void)state;
    struct kb_loaded a, b;
    struct kb_err err = {0};
    struct kb_arena arena = {0};
    struct kb_buf text = {0};
    struct kb_mismatches m;
    static const char form[] =
        "{\"schema\":\"kbench-report/"
        "1\",\"host\":{\"cpu\":\"%s\",\"cores\":%d,\"os\":\"%s\"},"
        "\"devices\":[{\"id\":\"0\",\"backend\":\"%s\",\"name\":\"%s\",\"uuid\":\"%s\","
        "\"sm\":%d,\"sm_count\":%d,\"l2_bytes\":%d,\"memory_bytes\":%d,\"driver\":\"%s\","
        "\"nvrtc\":\"%s\",\"compiler\":\"%s\",\"clocks_locked\":%s}],"
        "\"builds\":{\"precise\":[\"%s\"]},\"rows\":[]}";
    static const char *const fields[] = {
        "backend", "GPU",   "sm",       "SMs",    "L2 bytes", "memory bytes",
        "driver",  "NVRTC", "compiler", "clocks", "card",     "flags of precise",
        "CPU",     "cores", "OS"};
    kb_buf_printf(&text, form, "c1", 1, "o1", "cuda", "G1", "u1", 90, 132, 7, 9, "d1", "n1",
                  "g1", "true", "-a");
    assert_true(kb_loaded_of_text("a", &text, &a, &err));
    kb_buf_printf(&text, form, "c2", 2, "o2", "host", "G2", "u2", 89, 142, 8, 10, "d2",
                  "n2", "g2", "false", "-b");
    assert_true(kb_loaded_of_text("b", &text, &b, &err));
    kb_mismatches_of(&a, &b, &arena, &m);
    assert_int_equal(m.n, KB_COUNT(fields));
    for (size_t i = 0; i < KB_COUNT(fields); i++)
        assert_string_equal(m.items[i].field, fields[i]);
    assert_int_equal(m.refused, 5);
    kb_mismatches_of(&a, &a, &arena, &m);
    assert_int_equal(m.n, 0);
    kb_loaded_free(&a);
    kb_loaded_free(&b);
    kb_arena_free(&arena);
}

static void equal_code_is_identical_and_no_code_is_not(void **state) {
    (void)state;
    const struct made_row a[] = {{.case_id = "s/1/b", .ns = 1000, .code = "abc"},
                                 {.case_id = "s/2/b", .ns = 1000, .code = "abc"},
                                 {.case_id = "s/3/b", .ns = 1000}};
    const struct made_row b[] = {{.case_id = "s/1/b", .ns = 1000, .code = "abc"},
                                 {.case_id = "s/2/b", .ns = 1000, .code = "abd"},
                                 {.case_id = "s/3/b", .ns = 1000}};
    struct made m;
    match_rows(&m, a, 3, b, 3, KB_RELAX_BUILD);
    kb_pairs_shift(&m.pairs, &m.arena);
    kb_pairs_judge(&m.pairs, &m.arena);
    assert_int_equal(m.pairs.items[0].speed, KB_IDENTICAL);
    assert_int_equal(m.pairs.items[1].speed, KB_SAME);
    assert_int_equal(m.pairs.items[2].speed, KB_SAME);
    made_free(&m);
}

/* ---- verdicts --------------------------------------------------------------------------
 */

static enum kb_speed_verdict verdict_of(double a_ns, double b_ns, double half) {
    const struct made_row a = {.case_id = "s/1/b", .ns = a_ns, .half = half};
    const struct made_row b = {.case_id = "s/1/b", .ns = b_ns, .half = half};
    struct made m;
    match_rows(&m, &a, 1, &b, 1, KB_RELAX_BUILD);
    kb_pairs_shift(&m.pairs, &m.arena);
    kb_pairs_judge(&m.pairs, &m.arena);
    enum kb_speed_verdict verdict = m.pairs.items[0].speed;
    made_free(&m);
    return verdict;
}

static void verdicts_are_the_same_from_both_sides(void **state) {
    (void)state;
    static const double changes[] = {1, 1.004, 1.012, 1.02, 1.03, 1.2, 4};
    static const double halves[] = {0, 0.01, 0.05};
    for (size_t i = 0; i < KB_COUNT(changes); i++)
        for (size_t k = 0; k < KB_COUNT(halves); k++) {
            enum kb_speed_verdict there = verdict_of(30000, 30000 * changes[i], halves[k]);
            enum kb_speed_verdict back = verdict_of(30000 * changes[i], 30000, halves[k]);
            assert_int_not_equal(there, KB_FASTER);
            assert_int_equal(back, there == KB_SLOWER ? KB_FASTER : there);
        }
    assert_int_equal(verdict_of(30000, 30000, 0), KB_SAME);
    assert_int_equal(verdict_of(30000, 30240, 0), KB_SAME);
    assert_int_equal(verdict_of(30000, 30700, 0), KB_SLOWER);
    assert_int_equal(verdict_of(30000, 30700, 0.05), KB_UNCLEAR);
}

static void equal_reports_are_seldom_told_apart(void **state) {
    (void)state;
    enum { N = 100 };
    static struct made_row a[N], b[N];
    static char ids[N][16];
    struct random r = {5};
    int told = 0, clear = 0;
    for (int round = 0; round < 50; round++) {
        struct made m;
        for (int i = 0; i < N; i++) {
            snprintf(ids[i], sizeof ids[i], "s/%d/b", i);
            a[i] = (struct made_row){
                .case_id = ids[i], .ns = 30000 * exp(0.0025 * normal(&r)), .half = 5e-4};
            b[i] = (struct made_row){
                .case_id = ids[i], .ns = 30000 * exp(0.0025 * normal(&r)), .half = 5e-4};
        }
        match_rows(&m, a, N, b, N, KB_RELAX_BUILD);
        kb_pairs_shift(&m.pairs, &m.arena);
        kb_pairs_judge(&m.pairs, &m.arena);
        int wrong = 0;
        for (size_t i = 0; i < m.pairs.n; i++) {
            wrong +=
                m.pairs.items[i].speed == KB_SLOWER || m.pairs.items[i].speed == KB_FASTER;
            clear += m.pairs.items[i].speed == KB_SAME;
        }
        told += wrong > 0;
        made_free(&m);
    }
    assert_in_range(told, 0, 8); /* 5 % of 50 expected */
    assert_true(clear > 50 * N * 0.95);
}

/* ---- the distributions behind them -----------------------------------------------------
 */

static void student_has_the_values_of_tables(void **state) {
    (void)state;
    static const struct {
        double t, df, tail;
    } known[] = {{12.7062, 1, 0.025},
                 {2.228139, 10, 0.025},
                 {4.143700, 10, 0.001},
                 {2.042272, 30, 0.025},
                 {1.959964, 1e9, 0.025},
                 {3.090232, 1e9, 0.001},
                 {0, 5, 0.5}};
    for (size_t i = 0; i < KB_COUNT(known); i++) {
        double tail = kb_student_tail(known[i].t, known[i].df);
        assert_true(fabs(tail - known[i].tail) < 1e-5 * known[i].tail + 1e-7);
        double t = kb_student_quantile(known[i].tail, known[i].df);
        assert_true(fabs(t - known[i].t) < 1e-4 * (1 + known[i].t));
        assert_true(fabs(kb_student_tail(-known[i].t, known[i].df) - (1 - tail)) < 1e-12);
    }
    assert_true(isnan(kb_student_tail(NAN, 3)));
    assert_true(kb_student_tail(INFINITY, 3) == 0);
}

static void ranks_tell_shifted_samples_apart_and_equal_ones_not(void **state) {
    (void)state;
    const double a[] = {1, 2, 3, 4, 5, 6, 7, 8}, b[] = {11, 12, 13, 14, 15, 16, 17, 18};
    const double same[] = {4, 4, 4, 4, 4, 4, 4, 4};
    assert_true(kb_rank_test(a, 8, b, 8) < 0.001);
    assert_true(kb_rank_test(a, 8, b, 8) == kb_rank_test(b, 8, a, 8));
    assert_true(kb_rank_test(a, 8, a, 8) == 1);
    assert_true(kb_rank_test(same, 8, same, 8) == 1);
    assert_true(isnan(kb_rank_test(a, 5, b, 8)));
    /* U = 10 of 64: z = 2.258 */
    const double half[] = {4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.5, 11.5};
    assert_true(fabs(kb_rank_test(a, 8, half, 8) - 0.0239487) < 1e-6);
}

static void significance_is_over_the_suite(void **state) {
    (void)state;
    double one[] = {0.2, 0.0004, 0.5, 0.9}, none[] = {0.2, 0.5, 0.04, 0.9};
    double more[] = {0.03, 0.01, 0.02, 0.9};
    assert_true(kb_significant_p(one, 4, 0.05) == 0.05 / 4);
    assert_true(kb_significant_p(none, 4, 0.05) == 0.05 / 4);
    assert_true(fabs(kb_significant_p(more, 4, 0.05) - 0.05 * 3 / 4) < 1e-15);
    assert_true(kb_significant_p(more, 0, 0.05) == 0.05);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_paired_whatever_their_order),
        cmocka_unit_test(variants_are_paired_by_name_and_one_that_is_left_by_its_case),
        cmocka_unit_test(a_peer_is_held_against_the_build_that_is_the_default),
        cmocka_unit_test(every_field_that_differs_is_named),
        cmocka_unit_test(equal_code_is_identical_and_no_code_is_not),
        cmocka_unit_test(verdicts_are_the_same_from_both_sides),
        cmocka_unit_test(equal_reports_are_seldom_told_apart),
        cmocka_unit_test(student_has_the_values_of_tables),
        cmocka_unit_test(ranks_tell_shifted_samples_apart_and_equal_ones_not),
        cmocka_unit_test(significance_is_over_the_suite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
