/* table_test.c - the table of a suite, as people see it. */
#include "report/sample_view.h"

static void a_suite_on_a_gpu_has_all_columns(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_time(&row, KB_GRAPH, 1240);
    make_table(v, 0);
    kb_table_head(&v->table, &v->text);
    kb_table_row(&v->table, &row, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "NVIDIA H200 sm_90 | driver 580.159.04, NVRTC 13.0 | build precise | "
        "clocks not locked\n\n"
        "                                        variant  err/bound  max ulp  graph us    "
        "GB/s  ceiling\n"
        "PASS  gelu_tanh/83x1024/bf16            vec16         0.02     0.50      1.24     "
        "206     97 %\n");
}

static void a_suite_on_the_host_has_no_time_columns(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_host(&v->facts);
    v->plan.layout = KB_LAYOUT_CHECK;
    make_table(v, 0);
    kb_table_head(&v->table, &v->text);
    kb_table_row(&v->table, &row, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "host, 8 cores, g++ 12.2 | build precise | checked, not timed\n\n"
        "                                        variant  err/bound  max ulp\n"
        "PASS  gelu_tanh/83x1024/bf16            vec16         0.02     0.50\n");
}

static void a_sampled_row_says_so_beside_it_or_below(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    row.sample_rows = 10;
    row.outputs[0].checked = 10 * 512;
    v->plan.layout = KB_LAYOUT_CHECK;
    make_table(v, 0);
    kb_table_row(&v->table, &row, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "PASS  gelu_tanh/83x1024/bf16            vec16         0.02     "
                        "0.50  checked 10 of 83 rows\n");
    make_table(v, 70);
    kb_table_row(&v->table, &row, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "PASS  gelu_tanh/83x1024/bf16            vec16         0.02     "
                        "0.50\n      checked 10 of 83 rows\n");
}

static void columns_leave_in_their_order_where_there_is_no_room(void **state) {
    struct view *v = *state;
    static const struct {
        int width;
        const char *kept;
    } steps[] = {
        {200, "variant err/bound max ulp graph us GB/s ceiling"},
        {105, "variant err/bound max ulp graph us GB/s ceiling"},
        {104, "variant err/bound graph us GB/s ceiling"},
        {95, "variant err/bound graph us ceiling"},
        {87, "err/bound graph us ceiling"},
        {80, "err/bound graph us ceiling"},
        {78, "err/bound graph us"},
        {60, "graph us"},
    };
    for (size_t i = 0; i < KB_COUNT(steps); i++) {
        struct kb_buf kept = {0};
        make_table(v, steps[i].width);
        for (int k = 0; k < v->table.n_columns; k++)
            kb_buf_printf(&kept, "%s%s", k ? " " : "", v->table.columns[k].head);
        assert_string_equal(kb_buf_text(&kept), steps[i].kept);
        kb_buf_free(&kept);
    }
}

static void no_line_of_a_table_is_wider_than_the_terminal(void **state) {
    struct view *v = *state;
    struct kb_row rows[4] = {sample_row(), sample_row(), sample_row(), sample_row()};
    struct kb_tally *tally = kb_arena_alloc(&v->arena, sizeof *tally);
    sample_time(&rows[0], KB_GRAPH, 1240);
    rows[0].times[KB_GRAPH].quality = KB_Q_THROTTLED;
    rows[0].times[KB_GRAPH].duty = 0.5;
    sample_unwritten(&rows[1]);
    sample_end(&rows[2], KB_R_CRASH, "the worker ended without a result: signal 11");
    sample_end(&rows[3], KB_R_VARIANT, "vec32: its `when`, sm >= 100, is false on sm_90");
    for (int width = 60; width <= 200; width++) {
        make_table(v, width);
        kb_table_head(&v->table, &v->text);
        for (size_t i = 0; i < KB_COUNT(rows); i++) {
            kb_table_row(&v->table, &rows[i], &v->text);
            kb_tally_add(tally, &rows[i]);
        }
        kb_table_summary(&v->table, tally, 2.9, &v->text);
        for (const char *line = v->text.data; *line; line += strcspn(line, "\n") + 1)
            assert_true((int)strcspn(line, "\n") <= width);
    }
}

static void what_is_to_be_known_of_a_time_stands_behind_its_columns(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_time(&row, KB_GRAPH, 1240);
    row.times[KB_GRAPH].duty = 0.5;
    make_table(v, 0);
    kb_table_row(&v->table, &row, &v->text);
    assert_true(kb_ends_with(v->text.data, " %  duty 50 %\n"));
    row.times[KB_GRAPH].quality = KB_Q_THROTTLED;
    kb_table_row(&v->table, &row, &v->text);
    assert_true(kb_ends_with(v->text.data, " %  throttled, duty 50 %\n"));
    row.times[KB_GRAPH] = (struct kb_time){.duty = 0.5};
    kb_table_row(&v->table, &row, &v->text);
    assert_false(kb_ends_with(v->text.data, "duty 50 %\n"));
}

static void variants_that_rows_differ_in_never_leave(void **state) {
    struct view *v = *state;
    v->plan.many_variants = true;
    make_table(v, 60);
    assert_string_equal(v->table.columns[0].head, "variant");
}

static void other_methods_have_columns_of_their_own(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_time(&row, KB_COLD, 4810);
    sample_time(&row, KB_HOT, 4430);
    v->plan.methods[0] = KB_COLD;
    v->plan.methods[1] = KB_HOT;
    v->plan.n_methods = 2;
    make_table(v, 0);
    kb_table_row(&v->table, &row, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "PASS  gelu_tanh/83x1024/bf16            vec16         0.02     0.50      4.81     "
        "  -        -      4.43\n");
}

/* Graph heads the table: a note without a name is of it. */
static void a_note_of_another_method_names_it(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_time(&row, KB_GRAPH, 1220);
    sample_time(&row, KB_COLD, 4810);
    row.times[KB_COLD].quality = KB_Q_NOISY;
    v->plan.methods[0] = KB_GRAPH;
    v->plan.methods[1] = KB_COLD;
    v->plan.n_methods = 2;
    make_table(v, 0);
    kb_table_row(&v->table, &row, &v->text);
    assert_true(kb_ends_with(v->text.data, "  4.81  cold noisy\n"));
    row.times[KB_GRAPH].quality = KB_Q_THROTTLED;
    kb_table_row(&v->table, &row, &v->text);
    assert_true(kb_ends_with(v->text.data, "  4.81  throttled\n"));
}

static void occupancy_and_waves_are_columns_for_those_who_ask(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    static const char *const words[] = {"occupancy", "waves"};
    row.occupancy = (struct kb_occupancy){8, 0.75, 2.5};
    for (size_t i = 0; i < KB_COUNT(words); i++)
        assert_true(kb_column_parse(words[i], false, &v->plan.columns[i]));
    v->plan.n_columns = 2;
    make_table(v, 0);
    kb_table_row(&v->table, &row, &v->text);
    assert_true(kb_ends_with(v->text.data, "       75 %     2.5\n"));
    row.occupancy.blocks_per_sm = 0;
    kb_table_row(&v->table, &row, &v->text);
    assert_true(kb_ends_with(v->text.data, "          -       -\n"));
}

static void energy_has_a_column_where_it_was_asked_for(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_time(&row, KB_GRAPH, 1220);
    v->plan.energy = true;
    make_table(v, 0);
    kb_table_head(&v->table, &v->text);
    assert_true(kb_ends_with(v->text.data, "  ceiling      uJ\n"));
    kb_table_row(&v->table, &row, &v->text);
    assert_true(kb_ends_with(v->text.data, "     97 %       -\n"));
    row.times[KB_GRAPH].energy_uj = 612.5;
    kb_table_row(&v->table, &row, &v->text);
    assert_true(kb_ends_with(v->text.data, "     97 %     612\n"));
}

static void verdicts_without_numbers_give_their_reason(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    make_table(v, 0);
    sample_end(&row, KB_R_LAUNCH, "illegal address (700); went on with a new worker");
    kb_table_row(&v->table, &row, &v->text);
    sample_end(&row, KB_R_VARIANT, "vec32: its `when`, sm >= 100, is false on sm_90");
    kb_table_row(&v->table, &row, &v->text);
    sample_end(&row, KB_R_MEMORY, "needs 206 GB, 149 GB are free");
    kb_table_row(&v->table, &row, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "ERROR gelu_tanh/83x1024/bf16            launch: illegal address "
                        "(700); went on with a new worker\n"
                        "SKIP  gelu_tanh/83x1024/bf16            vec32: its `when`, sm >= "
                        "100, is false on sm_90\n"
                        "SKIP  gelu_tanh/83x1024/bf16            memory: needs 206 GB, 149 "
                        "GB are free\n");
}

/* The id where all ids stand, and behind the longest one the first column or the reason. */
static void every_verdict_but_the_longest_has_its_id_and_reason_in_line(void **state) {
    struct view *v = *state;
    static const int widths[] = {60, 80, 100, 140, 200, 0};
    static const enum kb_reason reasons[] = {KB_R_NONE, KB_R_MISMATCH, KB_R_VARIANT,
                                             KB_R_LAUNCH};
    for (size_t w = 0; w < KB_COUNT(widths); w++)
        for (size_t i = 0; i < KB_COUNT(reasons); i++) {
            struct kb_row row = sample_row();
            v->plan.id_width = kb_columns(row.case_id);
            make_table(v, widths[w]);
            if (reasons[i] != KB_R_NONE)
                sample_end(&row, reasons[i], "vec16: why");
            kb_table_row(&v->table, &row, &v->text);
            const char *id = strstr(v->text.data, row.case_id);
            const char *rest = id + strlen(row.case_id);
            assert_int_equal(id - v->text.data, 6);
            assert_true(kb_starts_with(rest, "  "));
            enum kb_verdict verdict = kb_reason_verdict(row.reason);
            if (verdict == KB_SKIP || verdict == KB_ERROR)
                assert_true(rest[2] != ' ');
        }
}

static void a_row_of_many_lines_shows_the_first_and_its_repeat_all(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_end(&row, KB_R_COMPILE, "mine.cu:3: error: no \033[1m\n  int x = y;\n");
    make_table(v, 0);
    kb_table_row(&v->table, &row, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "ERROR gelu_tanh/83x1024/bf16            compile: mine.cu:3: error: "
        "no ^[[1m\n");
    kb_buf_clear(&v->text);
    kb_table_failure(&v->table, &row, 0, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "ERROR  gelu_tanh/83x1024/bf16: compile: mine.cu:3: error: no ^[[1m\n"
        "         int x = y;\n"
        "       kbench --case gelu_tanh/83x1024/bf16 --build precise --variant vec16 "
        "--seed 1\n");
}

static void a_reason_of_the_build_is_told_once_with_how_many_others(void **state) {
    struct view *v = *state;
    struct kb_told told = {0};
    struct kb_row row = sample_row(), other = sample_row();
    sample_end(&row, KB_R_COMPILE, "mine.cu:3: error: no\n  int x = y;");
    sample_end(&other, KB_R_COMPILE, "mine.cu:4: error: no");
    for (int i = 0; i < 3; i++)
        kb_told_count(&told, &row);
    kb_told_count(&told, &other);
    assert_int_equal(kb_told_others(&told, &row), 2);
    assert_int_equal(kb_told_others(&told, &other), 0);
    assert_int_equal(kb_told_others(&told, &row), -1);
    make_table(v, 0);
    kb_table_failure(&v->table, &row, 2, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "ERROR  gelu_tanh/83x1024/bf16: compile: mine.cu:3: error: no\n"
        "         int x = y;\n"
        "       the same in 2 others\n"
        "       kbench --case gelu_tanh/83x1024/bf16 --build precise --variant vec16 "
        "--seed 1\n");
}

/* Its text says nothing of the case, which may be what matters. */
static void rows_that_ran_are_told_each(void **state) {
    (void)state;
    struct kb_told told = {0};
    struct kb_row row = sample_row();
    sample_end(&row, KB_R_TIMEOUT, "still running after 60 s, worker killed");
    kb_told_count(&told, &row);
    kb_told_count(&told, &row);
    assert_int_equal(kb_told_others(&told, &row), 0);
    assert_int_equal(kb_told_others(&told, &row), 0);
}

static void whole_rows_unwritten_are_told_as_rows(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_unwritten(&row);
    make_table(v, 0);
    kb_table_row(&v->table, &row, &v->text);
    kb_table_failure(&v->table, &row, 0, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "FAIL  gelu_tanh/83x1024/bf16            vec16            -        -         -     "
        "  -        -\n"
        "FAIL  gelu_tanh/83x1024/bf16: rows 80..82 never written, 1536 of 42496 elements; "
        "the rest is right\n"
        "      kbench --case gelu_tanh/83x1024/bf16 --build precise --variant vec16 "
        "--seed 1\n");
}

static void colour_only_repeats_the_verdict(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    struct kb_buf plain = {0};
    make_table(v, 0);
    kb_table_row(&v->table, &row, &plain);
    v->table.look.color = true;
    kb_table_row(&v->table, &row, &v->text);
    assert_true(kb_starts_with(v->text.data, "\033[1;32mPASS\033[0m"));
    assert_string_equal(strstr(v->text.data, "\033[0m") + 4, strstr(plain.data, "  gelu"));
    kb_buf_free(&plain);
}

static void names_cannot_write_to_the_terminal(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    row.case_id = "a\033]0;b\007/1/bf16";
    row.variant = "v\r\xe2\x80\xae";
    row.repeat = "kbench \033[2J";
    sample_mismatch(&row);
    kb_text_copy(v->facts.devices[0].name, sizeof v->facts.devices[0].name, "GPU\033c");
    make_table(v, 0);
    kb_table_head(&v->table, &v->text);
    kb_table_row(&v->table, &row, &v->text);
    kb_table_failure(&v->table, &row, 0, &v->text);
    kb_single_print(&v->single, &row, &v->text);
    for (const char *p = v->text.data; *p; p++)
        assert_true(*p == '\n' || (unsigned char)*p >= 0x20);
    assert_null(strstr(v->text.data, "\xe2\x80\xae"));
}

static void a_summary_counts_each_verdict_and_shouts_the_bad(void **state) {
    struct view *v = *state;
    struct kb_tally *tally = kb_arena_alloc(&v->arena, sizeof *tally);
    struct kb_row row = sample_row();
    sample_time(&row, KB_GRAPH, 1220);
    kb_tally_add(tally, &row);
    sample_unwritten(&row);
    kb_tally_add(tally, &row);
    make_table(v, 0);
    kb_table_summary(&v->table, tally, 2.91, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "11 cases: 1 pass, 1 FAIL, 0 mistrusted, 0 skip, 0 error   ceiling "
                        "97 % (geomean of 1)   2.9 s\n");
}

static void a_summary_says_what_is_odd_about_times_and_whose(void **state) {
    struct view *v = *state;
    struct kb_tally *tally = kb_arena_alloc(&v->arena, sizeof *tally);
    struct kb_row row = sample_row();
    sample_time(&row, KB_GRAPH, 1220);
    sample_time(&row, KB_COLD, 1220);
    row.times[KB_COLD].quality = KB_Q_NOISY;
    row.warning = "timed in place; not timed by pdl: it has no pdl";
    kb_tally_add(tally, &row);
    row.warning = NULL;
    row.times[KB_GRAPH].quality = row.times[KB_COLD].quality = KB_Q_CONTENDED;
    row.times[KB_GRAPH].why = row.times[KB_COLD].why = "somebody else: pid 7";
    kb_tally_add(tally, &row);
    kb_tally_add(tally, &row);
    make_table(v, 0);
    kb_table_summary(&v->table, tally, 2.91, &v->text);
    assert_ptr_equal(
        strstr(
            kb_buf_text(&v->text),
            "1 row without what was asked for, gelu_tanh/83x1024/bf16: not timed by pdl: "
            "it has no pdl\n"
            "1 row noisy, gelu_tanh/83x1024/bf16 by cold: less precise than was asked for\n"
            "2 rows contended, the first gelu_tanh/83x1024/bf16 by graph: somebody else: "
            "pid 7\n11 cases: "),
        kb_buf_text(&v->text));
}

static void a_failure_that_was_made_smaller_has_the_smallest_and_its_command(void **state) {
    static const struct kb_smallest smallest = {
        .case_id = "gelu_tanh/1x18/bf16",
        .where = "column 8 of 9",
        .passes = "gelu_tanh/1x16/bf16",
        .repeat = "kbench --case gelu_tanh/1x18/bf16 --seed 1",
        .done = true,
    };
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_unwritten(&row);
    row.smallest = &smallest;
    kb_table_failure(&v->table, &row, 0, &v->text);
    const char *end = strstr(kb_buf_text(&v->text), "--seed 1\n");
    assert_non_null(end);
    assert_string_equal(end, "--seed 1\n"
                             "      smallest: 1x18 fails (column 8 of 9), 1x16 passes\n"
                             "      kbench --case gelu_tanh/1x18/bf16 --seed 1\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_failure_that_was_made_smaller_has_the_smallest_and_its_command),
        TEST(a_suite_on_a_gpu_has_all_columns),
        TEST(a_suite_on_the_host_has_no_time_columns),
        TEST(a_sampled_row_says_so_beside_it_or_below),
        TEST(columns_leave_in_their_order_where_there_is_no_room),
        TEST(what_is_to_be_known_of_a_time_stands_behind_its_columns),
        TEST(no_line_of_a_table_is_wider_than_the_terminal),
        TEST(variants_that_rows_differ_in_never_leave),
        TEST(other_methods_have_columns_of_their_own),
        TEST(a_note_of_another_method_names_it),
        TEST(occupancy_and_waves_are_columns_for_those_who_ask),
        TEST(energy_has_a_column_where_it_was_asked_for),
        TEST(verdicts_without_numbers_give_their_reason),
        TEST(every_verdict_but_the_longest_has_its_id_and_reason_in_line),
        TEST(a_row_of_many_lines_shows_the_first_and_its_repeat_all),
        TEST(a_reason_of_the_build_is_told_once_with_how_many_others),
        TEST(rows_that_ran_are_told_each),
        TEST(whole_rows_unwritten_are_told_as_rows),
        TEST(colour_only_repeats_the_verdict),
        TEST(names_cannot_write_to_the_terminal),
        TEST(a_summary_counts_each_verdict_and_shouts_the_bad),
        TEST(a_summary_says_what_is_odd_about_times_and_whose),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
