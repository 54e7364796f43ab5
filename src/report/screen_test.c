/* screen_test.c - the table and the single case, as people see them. */
#include "report/sample.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct view {
    struct kb_arena arena;
    struct kb_facts facts;
    struct kb_table_plan plan;
    struct kb_table table;
    struct kb_single single;
    struct kb_buf text;
};

static int make_view(void **state) {
    struct kb_arena arena = {0};
    struct view *v = kb_arena_alloc(&arena, sizeof *v);
    v->arena = arena;
    sample_facts(&v->facts, &v->arena);
    v->plan = (struct kb_table_plan){
        .facts = &v->facts,
        .layout = KB_LAYOUT_BENCH,
        .id_width = 32,
        .variant_width = 6,
        .methods = {KB_GRAPH},
        .n_methods = 1,
        .shared = "",
        .n_cases = 11,
    };
    v->single = (struct kb_single){.device = &v->facts.devices[0], .mode = KB_BENCH};
    *state = v;
    return 0;
}

static int free_view(void **state) {
    struct view *v = *state;
    struct kb_arena arena = v->arena;
    kb_buf_free(&v->text);
    kb_arena_free(&arena);
    return 0;
}

static void make_table(struct view *v, int width) {
    const struct kb_look look = {.width = width};
    kb_table_make(&v->table, &v->plan, &look);
    kb_buf_clear(&v->text);
}

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
                        "ERROR  gelu_tanh/83x1024/bf16           launch: illegal address "
                        "(700); went on with a new worker\n"
                        "SKIP  gelu_tanh/83x1024/bf16            vec32: its `when`, sm >= "
                        "100, is false on sm_90\n"
                        "SKIP  gelu_tanh/83x1024/bf16            memory: needs 206 GB, 149 "
                        "GB are free\n");
}

static void a_row_of_many_lines_shows_the_first_and_its_repeat_all(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_end(&row, KB_R_COMPILE, "mine.cu:3: error: no \033[1m\n  int x = y;\n");
    make_table(v, 0);
    kb_table_row(&v->table, &row, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "ERROR  gelu_tanh/83x1024/bf16           compile: mine.cu:3: error: "
        "no ^[[1m\n");
    kb_buf_clear(&v->text);
    kb_table_failure(&v->table, &row, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "ERROR  gelu_tanh/83x1024/bf16: compile: mine.cu:3: error: no ^[[1m\n"
        "         int x = y;\n"
        "       kbench --case gelu_tanh/83x1024/bf16 --build precise --variant vec16 "
        "--seed 1\n");
}

static void whole_rows_unwritten_are_told_as_rows(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_unwritten(&row);
    make_table(v, 0);
    kb_table_row(&v->table, &row, &v->text);
    kb_table_failure(&v->table, &row, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "FAIL  gelu_tanh/83x1024/bf16            vec16            -        -         -     "
        "  -        -\n"
        "FAIL  gelu_tanh/83x1024/bf16: rows 80..82 never written, 1536 of 42496 elements; "
        "the rest is right\n"
        "      kbench --case gelu_tanh/83x1024/bf16 --build precise --variant vec16 "
        "--seed 1\n");
}

static void scattered_unwritten_elements_are_counted(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_unwritten(&row);
    row.outputs[0].first_bad = 496;
    kb_row_words(&row, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "1536 of 42496 elements were never written: the poison is still in "
                        "them; the rest is right");
    kb_buf_clear(&v->text);
    row.outputs[0].over = 1540;
    kb_row_words(&row, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "1536 of 42496 elements were never written: the poison is still in "
                        "them; 4 others are wrong");
}

static void
what_must_stay_and_did_not_is_told_with_the_rest_and_the_convention(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    struct kb_output_report *o = &row.outputs[0];
    sample_mismatch(&row);
    row.reason = KB_R_TOUCHED;
    o->touched = 1841;
    o->follows = "without the filter";
    kb_row_words(&row, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "1841 of 42496 elements were written to, though they must stay as "
                        "they were; matches without the filter");
    kb_buf_clear(&v->text);
    o->touched = 1800;
    o->follows_over = 3;
    kb_row_words(&row, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "1800 of 42496 elements were written to, though they must stay as "
        "they were; 41 others are wrong; matches without the filter but for "
        "3 elements");
    kb_buf_clear(&v->text);
    o->follows = NULL;
    o->unwritten = 41;
    kb_row_words(&row, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "1800 of 42496 elements were written to, though they must stay as "
                        "they were; 41 others were never written");
}

static void a_mismatch_names_its_rule_and_its_worst_element(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_mismatch(&row);
    kb_row_words(&row, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "1841 of 42496 past the bound; worst [27, 137]: got 0.00104523, want "
        "0.00014077, 948 ulp; the peers' 1e-2 + 1e-2*|want| would pass it");
    kb_buf_clear(&v->text);
    row.outputs[0].tolerance = (struct kb_tolerance){KB_TOL_GIVEN, 1e-5, 0};
    row.outputs[0].kind_mismatches = 2;
    kb_row_words(&row, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "1841 of 42496 past 1e-5 + 0*|want|, 2 where one of got and want is "
        "NaN or infinite; worst [27, 137]: got 0.00104523, want 0.00014077, "
        "948 ulp");
    kb_buf_clear(&v->text);
    row.outputs[0].follows = "round=act";
    kb_row_words(&row, &v->text);
    assert_non_null(strstr(kb_buf_text(&v->text), ", 948 ulp; matches round=act"));
}

static void where_is_told_as_far_as_the_ends_tell(void **state) {
    struct view *v = *state;
    static const struct {
        int64_t first, last, over;
        const char *words;
    } places[] = {
        {137, 137, 1, "[0, 137]"},
        {0, 511, 512, "row 0"},
        {512, 2047, 1536, "rows 1..3"},
        {82 * 512, 83 * 512 - 1, 512, "row 82, the last of 83"},
        {496, 499, 4, "columns 496..499 of row 0"},
        {500, 600, 101, "[0, 500] to [1, 88] without a gap"},
        {496, 83 * 512 - 13, 332, "between [0, 496] and [82, 499]"},
        {-1, -1, 0, ""},
    };
    for (size_t i = 0; i < KB_COUNT(places); i++) {
        struct kb_row row = sample_row();
        row.outputs[0].first_bad = places[i].first;
        row.outputs[0].last_bad = places[i].last;
        row.outputs[0].over = places[i].over;
        kb_buf_clear(&v->text);
        kb_where_words(&row.outputs[0], &v->text);
        assert_string_equal(kb_buf_text(&v->text), places[i].words);
    }
}

static void a_single_case_on_a_gpu_shows_every_method(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_time(&row, KB_GRAPH, 1220.1);
    sample_time(&row, KB_COLD, 4810);
    sample_code(&row);
    kb_single_print(&v->single, &row, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "PASS  gelu_tanh/83x1024/bf16   precise   vec16                          NVIDIA "
        "H200 "
        "sm_90\n\n"
        "error     0.02 of bound    max 0.50 ulp    p99 0.49 ulp    abs 1.6e-2    rel "
        "3.9e-3\n"
        "          peers' 1e-2 + 1e-2*|want|: 0 of 42496 over, the worst uses 0.30 of "
        "it\n\n"
        "time us   median      \302\261     min     p99      n    GB/s   ceiling\n"
        "graph       1.22  0.3 %    1.20    1.32   2960     209      97 %\n"
        "cold        4.81  0.3 %    4.71    5.19   2960       -         -   3.65 of it is "
        "the event pair\n\n"
        "limited by latency: 255 kB, 21 blocks on 132 SMs; inputs rotate over 741 sets "
        "(189 MB, L2 63 MB)\n"
        "code      22 registers, 0 spilled, 0 B shared, 5.3 kB; compiled in 47 ms, now "
        "cached\n"
        "clocks    not locked, SM 1965 to 1980 MHz while timed, no throttling\n");
}

static void a_single_case_on_the_host_has_no_time_and_says_why(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_host(&v->facts);
    v->single.mode = KB_CHECK;
    row.backend = "host";
    sample_code(&row);
    row.code.compile_ms = 900;
    kb_single_print(&v->single, &row, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "PASS  gelu_tanh/83x1024/bf16   precise   vec16                    host, 8 cores, "
        "g++ "
        "12.2\n\n"
        "error     0.02 of bound    max 0.50 ulp    p99 0.49 ulp    abs 1.6e-2    rel "
        "3.9e-3\n"
        "          peers' 1e-2 + 1e-2*|want|: 0 of 42496 over, the worst uses 0.30 of it\n"
        "orders    same bits with blocks forward, reversed and shuffled; guards and inputs "
        "untouched\n"
        "code      the same kernels/activation.cu through g++ in 0.9 s, now cached\n"
        "time      none: CPU fibers stand in for GPU threads, so their time is no GPU "
        "time\n");
}

static void a_single_failure_tells_what_where_and_the_rest(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_unwritten(&row);
    kb_single_print(&v->single, &row, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "FAIL  gelu_tanh/83x1024/bf16   precise   vec16                          NVIDIA "
        "H200 "
        "sm_90\n\n"
        "what      1536 of 42496 elements were never written: the poison is still in them\n"
        "where     rows 80..82, the last of 83\n"
        "the rest  right: 40960 elements; guards and inputs untouched\n\n"
        "index                got          want        index                got          "
        "want\n"
        "[80,   0]    7fb3 poison    -0.0317993        [80,   1]    7fb3 poison      "
        "0.214844\n\n"
        "repeat    kbench --case gelu_tanh/83x1024/bf16 --build precise --variant vec16 "
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
    kb_table_failure(&v->table, &row, &v->text);
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

static void the_status_of_a_run_is_its_worst_and_3_where_all_was_skipped(void **state) {
    struct view *v = *state;
    static const struct {
        enum kb_reason reasons[3];
        int n, status;
    } runs[] = {
        {{KB_R_NONE}, 0, 0},
        {{KB_R_NONE, KB_R_VARIANT}, 2, 0},
        {{KB_R_VARIANT, KB_R_MEMORY}, 2, 3},
        {{KB_R_NONE, KB_R_IMPOSTOR}, 2, 3},
        {{KB_R_IMPOSTOR, KB_R_MISMATCH}, 2, 1},
        {{KB_R_MISMATCH, KB_R_COMPILE}, 2, 5},
        {{KB_R_COMPILE, KB_R_CRASH, KB_R_MISMATCH}, 3, 6},
        {{KB_R_CRASH, KB_R_IO, KB_R_NONE}, 3, 7},
    };
    for (size_t i = 0; i < KB_COUNT(runs); i++) {
        struct kb_tally *tally = kb_arena_alloc(&v->arena, sizeof *tally);
        for (int k = 0; k < runs[i].n; k++) {
            struct kb_row row = sample_row();
            row.reason = runs[i].reasons[k];
            kb_tally_add(tally, &row);
        }
        assert_int_equal(kb_tally_status(tally), runs[i].status);
    }
}

static void lines_break_at_spaces_and_keep_their_own_breaks(void **state) {
    struct view *v = *state;
    kb_wrap("one two three\n  four averyverylongword", 4, 2, 12, &v->text);
    assert_string_equal(kb_buf_text(&v->text),
                        "one two\n  three\n    four\n  averyverylongword");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_view, free_view)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_suite_on_a_gpu_has_all_columns),
        TEST(a_suite_on_the_host_has_no_time_columns),
        TEST(columns_leave_in_their_order_where_there_is_no_room),
        TEST(no_line_of_a_table_is_wider_than_the_terminal),
        TEST(variants_that_rows_differ_in_never_leave),
        TEST(other_methods_have_columns_of_their_own),
        TEST(verdicts_without_numbers_give_their_reason),
        TEST(a_row_of_many_lines_shows_the_first_and_its_repeat_all),
        TEST(whole_rows_unwritten_are_told_as_rows),
        TEST(scattered_unwritten_elements_are_counted),
        TEST(what_must_stay_and_did_not_is_told_with_the_rest_and_the_convention),
        TEST(a_mismatch_names_its_rule_and_its_worst_element),
        TEST(where_is_told_as_far_as_the_ends_tell),
        TEST(a_single_case_on_a_gpu_shows_every_method),
        TEST(a_single_case_on_the_host_has_no_time_and_says_why),
        TEST(a_single_failure_tells_what_where_and_the_rest),
        TEST(colour_only_repeats_the_verdict),
        TEST(names_cannot_write_to_the_terminal),
        TEST(a_summary_counts_each_verdict_and_shouts_the_bad),
        TEST(the_status_of_a_run_is_its_worst_and_3_where_all_was_skipped),
        TEST(lines_break_at_spaces_and_keep_their_own_breaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
