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

static void print_gate(const struct gated *g, int width, bool all, struct kb_buf *out) {
    const struct kb_look look = {.width = width};
    kb_buf_clear(out);
    kb_gate_print(&g->gate, &look, all, out);
}

static void want_line(const struct kb_buf *screen, const char *line) {
    struct kb_buf wanted = {0};
    kb_buf_printf(&wanted, "\n%s\n", line);
    if (!strstr(kb_buf_text(screen), kb_buf_text(&wanted)))
        fail_msg("no line \"%s\" in:\n%s", line, kb_buf_text(screen));
    kb_buf_free(&wanted);
}

static void no_line_is_wider_than_the_terminal_and_words_stand_in_one_column(void **state) {
    (void)state;
    const struct made_row base[] = {
        {.case_id = "silu/16384x2048/bf16/fill=outliers", .ns = 24700},
        {.case_id = "silu/83x1024/bf16", .ns = 1000}};
    const struct made_row fresh[] = {
        {.case_id = "silu/16384x2048/bf16/fill=outliers", .ns = 26100},
        {.case_id = "silu/83x1024/bf16",
         .verdict = "MISTRUSTED",
         .reason = "zeros would pass",
         .reason_kind = "impostor",
         .untimed = true}};
    struct kb_buf screen = {0};
    struct gated g;
    gate_rows(&g, base, 2, 3, fresh, 2, &usual);
    print_gate(&g, 0, false, &screen);
    want_line(&screen,
              "SLOWER     silu/16384x2048/bf16/fill=outliers   24.7 -> 26.1 us   +5.7 "
              "% [+4.9 +6.4]");
    want_line(&screen,
              "MISTRUSTED silu/83x1024/bf16                    was PASS, now MISTRUSTED: "
              "zeros would pass");
    for (int width = 60; width <= 100; width++) {
        print_gate(&g, width, false, &screen);
        for (const char *at = kb_buf_text(&screen); *at; at += strcspn(at, "\n") + 1)
            assert_true(strcspn(at, "\n") <= (size_t)width);
    }
    print_gate(&g, 70, false, &screen);
    want_line(&screen, "SLOWER     silu/16384x2048/bf16/fill=outliers   24.7 -> 26.1 us\n"
                       "         +5.7 % [+4.9 +6.4]");
    kb_buf_free(&screen);
    gated_free(&g);
}

static void
each_row_tells_the_slowdown_that_would_be_found_where_all_are_listed(void **state) {
    (void)state;
    const struct made_row base = {.case_id = "s/1/b", .ns = 1000};
    struct kb_buf screen = {0}, wanted = {0};
    struct gated g;
    gate_rows(&g, &base, 1, 3, &base, 1, &usual);
    print_gate(&g, 0, false, &screen);
    assert_null(strstr(kb_buf_text(&screen), "would find"));
    print_gate(&g, 0, true, &screen);
    kb_buf_printf(&wanted, "would find +%.1f %%\n",
                  100 * g.gate.pairs.items[0].shift.detectable);
    assert_non_null(strstr(kb_buf_text(&screen), kb_buf_text(&wanted)));
    kb_buf_free(&screen);
    kb_buf_free(&wanted);
    gated_free(&g);
}

static void times_that_are_not_compared_are_not_counted_as_the_same(void **state) {
    (void)state;
    const struct made_row rows[] = {{.case_id = "s/1/b", .ns = 1000},
                                    {.case_id = "s/2/b", .ns = 1000, .untimed = true}};
    struct kb_buf screen = {0};
    struct gated g;
    gate_rows(&g, rows, 2, 3, rows, 2, &usual);
    kb_loaded_free(&g.fresh);
    make_report("NVIDIA L40S", 1, rows, 2, &g.fresh);
    kb_gate_make(&g.base, &g.fresh, &usual, NULL, 0, NULL, NULL, &g.arena, &g.gate);
    assert_int_equal(kb_gate_status(&g.gate), 3);
    want_words(&g, "not comparable: GPU NVIDIA H200 != NVIDIA L40S");
    print_gate(&g, 0, false, &screen);
    want_line(&screen,
              "2 cases: 0 wrong, 0 slower, 0 unclear, 0 faster, 1 same, 0 missing, "
              "1 not compared");
    kb_buf_free(&screen);
    gated_free(&g);
}

static void without_times_no_limit_of_them_is_promised(void **state) {
    (void)state;
    struct made_row rows[] = {{.case_id = "s/1/b", .untimed = true},
                              {.case_id = "s/2/b", .untimed = true}};
    struct kb_buf screen = {0};
    struct gated g;
    gate_rows(&g, rows, 2, 3, rows, 2, &usual);
    print_gate(&g, 0, false, &screen);
    want_line(&screen,
              "limits error over 2x, no case missing; there are no times to compare");
    kb_buf_free(&screen);
    gated_free(&g);
    rows[1].untimed = false;
    rows[1].ns = 1000;
    gate_rows(&g, rows, 2, 3, rows, 2, &usual);
    print_gate(&g, 0, false, &screen);
    want_line(&screen, "limits slower than +3 %, error over 2x, no case missing");
    kb_buf_free(&screen);
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
        cmocka_unit_test(no_line_is_wider_than_the_terminal_and_words_stand_in_one_column),
        cmocka_unit_test(
            each_row_tells_the_slowdown_that_would_be_found_where_all_are_listed),
        cmocka_unit_test(times_that_are_not_compared_are_not_counted_as_the_same),
        cmocka_unit_test(without_times_no_limit_of_them_is_promised),
        cmocka_unit_test(a_run_that_annotates_what_is_wrong_leaves_the_rest_to_its_gate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
