/* kept_group_test.c - rows of builds side by side say the same whether numbers of the
 * reference are kept from one to the next or computed for each. */
#include "group_fixture.h"

static double steady(int64_t i) {
    return 1000 + (double)(i % 7);
}

static void run_keeping(struct group *g, const struct fake_script *script,
                        const char *case_id, double least_ns) {
    static const char *const builds[] = {"precise", "fast-math", "other=-DOTHER=1"};

    make_group(g, script, builds, 3);
    g->f.session.kept.least_ns = least_ns;
    for (int i = 0; i < 3; i++) {
        g->jobs[i].case_id = case_id;
        g->jobs[i].mode = KB_CHECK;
    }
    assert_true(run_group(g));
    assert_null(g->f.session.kept.first);
    assert_false(g->f.session.kept.on);
}

static void print_rows(struct group *g, struct kb_buf *out) {
    for (int i = 0; i < 3; i++) {
        struct kb_row *row = &g->rows[i];
        row->ms_total = row->ms_build = row->ms_check = row->ms_time = 0;
        kb_row_print(row, out);
        kb_buf_puts(out, "\n");
    }
}

static void rows_are_the_same_with_and_without(void **state) {
    static const char *const cases[] = {"silu/83x64/bf16", "silu_mul_quant/83x256/bf16",
                                        "moe_routing/33x64/bf16/ties=any",
                                        "mla_prefill/9x20x2/bf16/lse=e"};
    static const char *const wrong[] = {NULL, "fast-math", "other"};
    (void)state;
    for (size_t i = 0; i < KB_COUNT(cases) * KB_COUNT(wrong); i++) {
        const struct fake_script script = {.ns = steady,
                                           .wrong_build = wrong[i / KB_COUNT(cases)]};
        const char *case_id = cases[i % KB_COUNT(cases)];
        struct group with, without;
        struct kb_buf a = {0}, b = {0};
        run_keeping(&with, &script, case_id, 1e-6);
        run_keeping(&without, &script, case_id, 1e12);
        for (int k = 0; k < 3; k++) {
            bool is_wrong =
                script.wrong_build && kb_streq(with.rows[k].build, script.wrong_build);
            if (i % KB_COUNT(cases) < 2 || is_wrong)
                assert_int_equal(with.rows[k].reason != KB_R_NONE, is_wrong);
        }
        assert_true(with.f.session.kept.used >= 2); /* by the second and the third */
        assert_int_equal(without.f.session.kept.used, 0);
        print_rows(&with, &a);
        print_rows(&without, &b);
        assert_string_equal(a.data, b.data);
        kb_buf_free(&a);
        kb_buf_free(&b);
        fake_free(&with.f);
        fake_free(&without.f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_the_same_with_and_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
