/* gate_words_test.c - what a gate says: its last line, annotations. */
#include "report/compare_fixture.h"

static const struct kb_limits_of_gate usual = {.slowdown = 0.03, .error_growth = 2};

static void want_words(const struct gated *g, const char *wanted) {
    struct kb_buf words = {0};
    kb_gate_words(&g->gate, &words);
    assert_string_equal(kb_buf_text(&words), wanted);
    kb_buf_free(&words);
}

static void what_is_unclear_and_past_the_limit_is_said_though_it_passes(void **state) {
    (void)state;
    const struct made_row base[] = {{.case_id = "s/1/b", .ns = 1000},
                                    {.case_id = "s/2/b", .ns = 1000, .half = 0.2},
                                    {.case_id = "s/3/b", .ns = 1000, .half = 0.2}};
    struct made_row fresh[] = {{.case_id = "s/1/b", .ns = 1000},
                               {.case_id = "s/2/b", .ns = 1050, .half = 0.2},
                               {.case_id = "s/3/b", .ns = 1000, .half = 0.2}};
    struct kb_limits_of_gate limits = usual;
    struct gated g;
    gate_rows(&g, base, 3, 3, fresh, 3, &limits);
    assert_int_equal(g.gate.count[KB_GATE_UNCLEAR], 2);
    assert_int_equal(kb_gate_status(&g.gate), 0);
    want_words(&g, "1 unclear case is past +3 %: --strict fails on it");
    gated_free(&g);
    fresh[2].ns = 1060;
    fresh[0].verdict = "FAIL";
    fresh[0].reason = "no";
    fresh[0].reason_kind = "mismatch";
    gate_rows(&g, base, 3, 3, fresh, 3, &limits);
    want_words(&g,
               "1 case went wrong; 2 unclear cases are past +3 %: --strict fails on them");
    gated_free(&g);
    limits.strict = true;
    gate_rows(&g, base, 3, 3, fresh, 3, &limits);
    want_words(&g, "1 case went wrong (and 2 are unclear)");
    gated_free(&g);
}

static void a_run_that_annotates_what_is_wrong_leaves_the_rest_to_its_gate(void **state) {
    (void)state;
    const struct made_row base[] = {{.case_id = "s/1/b", .ns = 1000},
                                    {.case_id = "s/2/b", .ns = 1000}};
    const struct made_row fresh[] = {{.case_id = "s/1/b",
                                      .verdict = "FAIL",
                                      .reason = "no",
                                      .reason_kind = "mismatch",
                                      .untimed = true},
                                     {.case_id = "s/2/b", .ns = 1200}};
    static const char wrong[] = "::error title=WRONG s/1/b precise::was PASS, now FAIL";
    static const char slower[] = "::error title=SLOWER s/2/b precise::1.00 -> 1.20 us";
    struct kb_buf all = {0}, of_run = {0};
    struct gated g;
    gate_rows(&g, base, 2, 3, fresh, 2, &usual);
    kb_gate_annotations(&g.gate, 10, false, &all);
    kb_gate_annotations(&g.gate, 10, true, &of_run);
    assert_true(kb_starts_with(all.data, wrong));
    assert_non_null(strstr(all.data, slower));
    assert_true(kb_starts_with(of_run.data, slower));
    kb_buf_free(&all);
    kb_buf_free(&of_run);
    gated_free(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_unclear_and_past_the_limit_is_said_though_it_passes),
        cmocka_unit_test(a_run_that_annotates_what_is_wrong_leaves_the_rest_to_its_gate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
