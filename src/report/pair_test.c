/* pair_test.c - builds against builds as people see them, in all widths. */
#include "report/pair_fixture.h"

static void four_cases(struct pairs *p) {
    kb_versus_head(&p->versus, &p->text);
    pairs_row(p, 0, "silu/83x1024/bf16", "precise", 1660);
    pairs_row(p, 1, "silu/83x1024/bf16", "fast-math", 1320);
    pairs_against(p, 0, 1, 0.795, 0.791, 0.8, KB_FASTER);
    kb_versus_group(&p->versus, p->rows, 2, &p->text);
    pairs_row(p, 0, "silu/16384x2048/bf16", "precise", 25400);
    pairs_row(p, 1, "silu/16384x2048/bf16", "fast-math", 24500);
    pairs_against(p, 0, 1, 0.965, 0.963, 0.966, KB_FASTER)->differing = 1;
    kb_versus_group(&p->versus, p->rows, 2, &p->text);
    pairs_row(p, 0, "gelu_tanh/83x1024/bf16", "precise", 1690);
    pairs_row(p, 1, "gelu_tanh/83x1024/bf16", "fast-math", 0);
    pairs_against(p, 0, 1, 0, 0, 0, KB_NOT_COMPARED)->differing = 1870;
    pairs_fail(p, 1);
    kb_versus_group(&p->versus, p->rows, 2, &p->text);
    pairs_row(p, 0, "gelu_tanh/7x16/bf16", "precise", 1690);
    pairs_row(p, 1, "gelu_tanh/7x16/bf16", "fast-math", 1690);
    pairs_against(p, 0, 1, 1.0003, 0.999, 1.001, KB_IDENTICAL);
    kb_versus_group(&p->versus, p->rows, 2, &p->text);
    kb_buf_putc(&p->text, '\n');
    kb_versus_summary(&p->versus, &p->text);
}

static void a_wide_terminal_has_all_columns(void **state) {
    struct pairs p;
    (void)state;
    pairs_open(&p, KB_LAYOUT_BENCH, 2);
    assert_true(pairs_make(&p, 0));
    four_cases(&p);
    assert_string_equal(
        p.text.data,
        "NVIDIA H200 sm_90 | driver 580.159.04 | bf16 | kernel act.cu | graph us, in turns "
        "over the same buffers\n"
        "A precise     -std=c++17                   32 registers, 0 spilled, 6.1 kB\n"
        "B fast-math   -std=c++17 --use_fast_math   24 registers, 0 spilled, 4.4 kB, may "
        "use 8x the bound\n"
        "\n"
        "                                  err/bound A      B  max ulp A       B   us A    "
        "us B  B against A, 95 %       bits differ\n"
        "FASTER     silu/83x1024                  0.02   0.03       0.50    0.50   1.66    "
        "1.32   -20.5 % [-20.9 -20.0]       0.00 %\n"
        "FASTER     silu/16384x2048               0.02   0.03       0.50    0.50   25.4    "
        "24.5    -3.5 % [ -3.7  -3.4]      <0.01 %\n"
        "B FAIL     gelu_tanh/83x1024             0.02   84.7       0.50     948   1.69    "
        "   -  -                            4.40 %\n"
        "IDENTICAL  gelu_tanh/7x16                0.02   0.03       0.50    0.50   1.69    "
        "1.69    +0.0 % [ -0.1  +0.1]       0.00 %\n"
        "\n"
        "B against A: 2 FASTER, 1 IDENTICAL; silu -12.4 % (geomean of 2); gelu_tanh +0.0 % "
        "(geomean of 1), wrong in 1 of 2\n");
    pairs_close(&p);
}

static void the_legend_says_whose_code_it_has_where_there_are_more(void **state) {
    struct pairs p;
    (void)state;
    for (int verbose = 0; verbose < 2; verbose++) {
        pairs_open(&p, KB_LAYOUT_BENCH, 2);
        p.plan.n_cases = 4;
        pairs_make(&p, 0);
        p.versus.look.verbose = verbose;
        four_cases(&p);
        const char *at = strstr(p.text.data, "may use 8x the bound\n  the code is that of "
                                             "silu/83x1024/bf16; -v shows each case's\n\n");
        assert_int_equal(at != NULL, !verbose);
        assert_int_equal(strstr(p.text.data, " A 32 registers, 0 sp") != NULL, verbose);
        pairs_close(&p);
    }
}

static void max_ulp_goes_first(void **state) {
    struct pairs p;
    (void)state;
    pairs_open(&p, KB_LAYOUT_BENCH, 2);
    assert_true(pairs_make(&p, 101));
    four_cases(&p);
    assert_non_null(strstr(
        p.text.data,
        "                               err/bound A      B   us A    us B  B against A, 95 "
        "%       bits differ\n"
        "FASTER  silu/83x1024                  0.02   0.03   1.66    1.32   -20.5 % [-20.9 "
        "-20.0]       0.00 %\n"));
    /* the longest verdict takes the room of its id's blanks */
    assert_non_null(strstr(p.text.data, "\nIDENTICAL  gelu_tanh/7x16             0.02 "));
    pairs_close(&p);
}

static void no_line_of_cases_is_wider_than_the_terminal(void **state) {
    (void)state;
    for (int width = 56; width < 130; width++) {
        struct pairs p;
        pairs_open(&p, KB_LAYOUT_BENCH, 2);
        pairs_make(&p, width);
        four_cases(&p);
        for (const char *line = p.text.data; *line;) {
            int len = (int)strcspn(line, "\n");
            bool is_case = !strncmp(line, "FASTER", 6) || !strncmp(line, "  ", 2);
            if (is_case && strncmp(line, "    ", 4) != 0 && len > width)
                fail_msg("%d columns: %.*s", width, len, line);
            line += len + 1;
        }
        pairs_close(&p);
    }
}

static void where_even_80_columns_are_few_ratios_stand_alone(void **state) {
    struct pairs p;
    (void)state;
    pairs_open(&p, KB_LAYOUT_BENCH, 2);
    pairs_make(&p, 60);
    four_cases(&p);
    assert_non_null(strstr(p.text.data,
                           "                                   us A    us B  against A\n"
                           "FASTER     silu/83x1024            1.66    1.32   -20.5 %\n"));
    pairs_close(&p);
}

static void on_the_host_errors_and_bits_are_compared(void **state) {
    struct pairs p;
    (void)state;
    pairs_open(&p, KB_LAYOUT_CHECK, 2);
    p.plan.many_builds = false;
    p.plan.many_variants = true;
    p.plan.dtype = NULL;
    p.plan.shared = "";
    pairs_make(&p, 0);
    kb_versus_head(&p.versus, &p.text);
    for (int i = 0; i < 2; i++) {
        struct kb_row *row = pairs_row(&p, i, "silu/83x1024/bf16", "precise", 0);
        row->variant = i ? "scalar" : "vec16";
        row->code.registers = -1;
        row->code.spill_bytes = row->code.code_bytes = -1;
    }
    pairs_against(&p, 0, 1, 0, 0, 0, KB_NOT_COMPARED)->differing = 4250;
    kb_versus_group(&p.versus, p.rows, 2, &p.text);
    kb_versus_summary(&p.versus, &p.text);
    assert_string_equal(
        p.text.data,
        "NVIDIA H200 sm_90 | driver 580.159.04 | checked, not timed\n"
        "A vec16\n"
        "B scalar\n"
        "\n"
        "                                    err/bound A      B  max ulp A       B  bits "
        "differ\n"
        "PASS    silu/83x1024/bf16                  0.02   0.02       0.50    0.50       "
        "10.0 %\n"
        "B against A: silu has other bits in 1 of 1\n");
    pairs_close(&p);
}

static void what_ended_in_an_error_is_not_called_wrong(void **state) {
    struct pairs p;
    (void)state;
    pairs_open(&p, KB_LAYOUT_BENCH, 2);
    pairs_make(&p, 0);
    pairs_row(&p, 0, "silu/83x1024/bf16", "precise", 1660);
    pairs_row(&p, 1, "silu/83x1024/bf16", "fast-math", 0)->reason = KB_R_CRASH;
    pairs_against(&p, 0, 1, 0, 0, 0, KB_NOT_COMPARED)->elements = -1;
    kb_versus_count(&p.versus, p.rows, 2);
    pairs_fail(&p, 1);
    kb_versus_count(&p.versus, p.rows, 2);
    kb_versus_summary(&p.versus, &p.text);
    assert_string_equal(p.text.data,
                        "B against A: silu wrong in 1 of 2, ERROR in 1 of 2\n");
    pairs_close(&p);
}

static void what_kept_them_from_being_side_by_side_stands_below(void **state) {
    struct pairs p;
    (void)state;
    pairs_open(&p, KB_LAYOUT_BENCH, 2);
    pairs_make(&p, 0);
    pairs_row(&p, 0, "silu/83x1024/bf16", "precise", 1660);
    pairs_row(&p, 1, "silu/83x1024/bf16", "fast-math", 1660);
    pairs_against(&p, 0, 1, 0, 0, 0, KB_NOT_COMPARED)->why =
        "not side by side: the worker ended";
    kb_versus_group(&p.versus, p.rows, 2, &p.text);
    assert_non_null(
        strstr(p.text.data, "\n           not side by side: the worker ended\n"));
    pairs_close(&p);
}

/* Behind the numbers, or where they leave no room on a line below. */
static void a_time_that_is_not_good_says_so(void **state) {
    (void)state;
    for (int width = 0; width <= 80; width += 80) {
        struct pairs p;
        const char *before = width ? "\n           " : "  ";
        pairs_open(&p, KB_LAYOUT_BENCH, 2);
        pairs_make(&p, width);
        p.versus.look.color = true; /* which takes no room */
        pairs_row(&p, 0, "silu/83x1024/bf16", "precise", 1660);
        pairs_row(&p, 1, "silu/83x1024/bf16", "fast-math", 1320);
        pairs_against(&p, 0, 1, 0.795, 0.791, 0.8, KB_FASTER);
        static const struct {
            enum kb_quality a, b;
            double duty;
            const char *words;
        } cases[] = {
            {KB_Q_OK, KB_Q_THROTTLED, 0, "B throttled"},
            {KB_Q_OK, KB_Q_THROTTLED, 0.5, "B throttled, duty 50 %"},
            {KB_Q_SUSPECT, KB_Q_NOISY, 0, "A suspect  B noisy"},
            {KB_Q_NOISY, KB_Q_NOISY, 0, "A and B noisy"},
        };
        for (size_t i = 0; i < KB_COUNT(cases); i++) {
            p.rows[0].times[KB_GRAPH].quality = cases[i].a;
            p.rows[1].times[KB_GRAPH].quality = cases[i].b;
            p.rows[1].times[KB_GRAPH].duty = cases[i].duty;
            kb_buf_clear(&p.text);
            kb_versus_group(&p.versus, p.rows, 2, &p.text);
            kb_buf_clear(&p.text);
            kb_versus_group(&p.versus, p.rows, 2, &p.text); /* without the legend */
            const char *line = kb_arena_printf(&p.arena, "%s%s\n", before, cases[i].words);
            if (!kb_ends_with(p.text.data, line))
                fail_msg("%d columns:\n%snot:%s", width, p.text.data, line);
        }
        pairs_close(&p);
    }
}

static void facts_of_code_are_not_broken_in_two(void **state) {
    struct pairs p;
    (void)state;
    pairs_open(&p, KB_LAYOUT_BENCH, 2);
    pairs_make(&p, 80);
    four_cases(&p);
    assert_non_null(strstr(p.text.data,
                           "B fast-math   -std=c++17 --use_fast_math   24 registers, 0 "
                           "spilled, 4.4 kB,\n    may use 8x the bound\n"));
    pairs_close(&p);
}

static void three_have_letters_and_new_members_new_heads(void **state) {
    struct pairs p;
    (void)state;
    pairs_open(&p, KB_LAYOUT_BENCH, 2);
    p.plan.many_variants = true;
    p.plan.n_members = 3;
    pairs_make(&p, 0);
    for (int i = 0; i < 3; i++) {
        static const char *const variants[] = {"vec16", "tiny", "chain"};
        pairs_row(&p, i, "silu/83x1024/bf16", "precise", 1660)->variant = variants[i];
        if (i)
            pairs_against(&p, 0, i, i == 1 ? 1.02 : 0, 1.01, 1.03, KB_SLOWER)->elements =
                i == 1 ? 42496 : -1;
    }
    p.rows[2].reason = KB_R_VARIANT;
    p.rows[2].text = "chain: its `when`, round == act, is false for round once";
    p.rows[2].checked = p.rows[2].built = false;
    kb_versus_group(&p.versus, p.rows, 3, &p.text);
    kb_versus_group(&p.versus, p.rows, 3, &p.text);
    p.rows[1].variant = "small";
    p.rows[0].op = p.rows[1].op = "gelu"; /* where B is another */
    kb_versus_group(&p.versus, p.rows, 2, &p.text);
    const char *heads = strstr(p.text.data, "against A, 95 %");
    assert_non_null(heads);
    assert_non_null(strstr(p.text.data, "SLOWER     silu/83x1024           B  "));
    assert_non_null(strstr(p.text.data, "C SKIP     silu/83x1024           C  chain: its "
                                        "`when`, round == act, is false"));
    const char *second = strstr(heads + 1, "\nA precise vec16");
    assert_non_null(second);
    assert_non_null(strstr(second, "\nB precise small"));
    assert_non_null(strstr(second, "B against A, 95 %"));
    kb_buf_clear(&p.text);
    kb_versus_summary(&p.versus, &p.text);
    assert_string_equal(p.text.data, "precise tiny against precise vec16: 2 SLOWER; silu "
                                     "+2.0 % (geomean of 2)\n"
                                     "precise small against precise vec16: 1 SLOWER; gelu "
                                     "+2.0 % (geomean of 1)\n");
    pairs_close(&p);
}

static void what_a_lacks_is_told_once_or_does_not_hide_the_rest(void **state) {
    struct pairs p;
    (void)state;
    for (int members = 2; members <= 3; members++) {
        pairs_open(&p, KB_LAYOUT_BENCH, 2);
        p.plan.n_members = members;
        pairs_make(&p, 0);
        pairs_row(&p, 0, "silu/83x1024/bf16", "precise", 0)->reason = KB_R_VARIANT;
        p.rows[0].text = "no variant takes it";
        p.rows[0].checked = false;
        pairs_row(&p, 1, "silu/83x1024/bf16", "fast-math", 1320);
        pairs_row(&p, 2, "silu/83x1024/bf16", "auto", 1320);
        pairs_against(&p, 0, 1, 0, 0, 0, KB_NOT_COMPARED)->elements = -1;
        pairs_against(&p, 0, 2, 0, 0, 0, KB_NOT_COMPARED)->elements = -1;
        kb_versus_group(&p.versus, p.rows, members, &p.text);
        if (members == 2)
            assert_non_null(strstr(p.text.data, "A SKIP     silu/83x1024           no "
                                                "variant takes it\n"));
        else
            assert_non_null(strstr(p.text.data,
                                   "PASS       silu/83x1024           B         "
                                   "   -   0.03"));
        pairs_close(&p);
    }
}

static void verdicts_of_two(void **state) {
    static const struct {
        enum kb_reason a, b;
        const char *words;
    } cases[] = {
        {KB_R_NONE, KB_R_NONE, "PASS"},
        {KB_R_NONE, KB_R_MISMATCH, "B FAIL"},
        {KB_R_MISMATCH, KB_R_NONE, "A FAIL"},
        {KB_R_MISMATCH, KB_R_MISMATCH, "FAIL"},
        {KB_R_VARIANT, KB_R_NONE, "A SKIP"},
        {KB_R_VARIANT, KB_R_CRASH, "B ERROR"},
        {KB_R_CRASH, KB_R_VARIANT, "A ERROR"},
        {KB_R_VARIANT, KB_R_VARIANT, "SKIP"},
        {KB_R_IMPOSTOR, KB_R_NONE, "A MISTRUSTED"},
    };
    (void)state;
    for (size_t i = 0; i < KB_COUNT(cases); i++) {
        struct kb_row a = {.reason = cases[i].a}, b = {.reason = cases[i].b};
        struct kb_buf text = {0};
        kb_versus_verdict(&a, &b, 'B', KB_GRAPH, false, &text);
        assert_string_equal(text.data, cases[i].words);
        kb_buf_free(&text);
    }
}

static void code_is_told_as_far_as_it_is_known(void **state) {
    struct kb_row row = {.built = true,
                         .code = {.registers = 40,
                                  .spill_bytes = 16,
                                  .shared_bytes = 2048,
                                  .code_bytes = 6100},
                         .occupancy = {1, 0.5, 0.16}};
    struct kb_buf text = {0};
    (void)state;
    kb_code_words(&row, &text);
    assert_string_equal(text.data, "40 registers, 16 B spilled, 2.0 kB shared, 6.1 kB, 1 "
                                   "block per SM (50 %), 0.16 waves");
    kb_buf_clear(&text);
    row.built = false;
    kb_code_words(&row, &text);
    assert_int_equal(text.len, 0);
    kb_buf_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wide_terminal_has_all_columns),
        cmocka_unit_test(the_legend_says_whose_code_it_has_where_there_are_more),
        cmocka_unit_test(max_ulp_goes_first),
        cmocka_unit_test(no_line_of_cases_is_wider_than_the_terminal),
        cmocka_unit_test(where_even_80_columns_are_few_ratios_stand_alone),
        cmocka_unit_test(on_the_host_errors_and_bits_are_compared),
        cmocka_unit_test(what_ended_in_an_error_is_not_called_wrong),
        cmocka_unit_test(what_kept_them_from_being_side_by_side_stands_below),
        cmocka_unit_test(a_time_that_is_not_good_says_so),
        cmocka_unit_test(facts_of_code_are_not_broken_in_two),
        cmocka_unit_test(three_have_letters_and_new_members_new_heads),
        cmocka_unit_test(what_a_lacks_is_told_once_or_does_not_hide_the_rest),
        cmocka_unit_test(verdicts_of_two),
        cmocka_unit_test(code_is_told_as_far_as_it_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
