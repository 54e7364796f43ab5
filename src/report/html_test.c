/* html_test.c - the page made from a journal: what it holds, and what no name can add. */
#include "report/html.h"
#include "report/sample_journal.h"

/* No gnuplot is found: what is drawn has tests of its own. */
static int make_bare_place(void **state) {
    setenv("PATH", "/nonexistent", 1);
    return make_place(state);
}

#define BARE(name) cmocka_unit_test_setup_teardown(name, make_bare_place, free_place)

static int count(const char *text, const char *what) {
    int n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
        n++;
    return n;
}

static void the_page_has_summary_environment_failures_and_rows(void **state) {
    struct place *p = *state;
    const char *text = report_of(p, three_rows(p, true), KB_FORMAT_HTML);
    assert_non_null(strstr(text, "<title>kbench: 1 pass, 1 FAIL, 1 ERROR</title>"));
    assert_non_null(strstr(text, "<li class=\"fail\"><b>1</b> FAIL</li>"));
    assert_non_null(strstr(text,
                           "<dt>device 0</dt><dd>NVIDIA H200 sm_90, 132 SMs, L2 63 MB, "
                           "driver 580.159.04, NVRTC 13.0, clocks not locked</dd>"));
    assert_non_null(strstr(text, "repeat    kbench --case gelu_tanh/83x1024/bf16"));
    assert_int_equal(count(text, "<tr data-verdict="), 3);
    assert_int_equal(count(text, "<article "), 2);
    assert_non_null(strstr(text, "<td class=\"n\" data-v=\"1220.1\">1.22</td>"));
    assert_non_null(strstr(text, "<td class=\"n\" data-v=\"\">-</td>"));
}

static void the_page_of_a_run_that_was_broken_off_says_so(void **state) {
    struct place *p = *state;
    const char *text = report_of(p, three_rows(p, false), KB_FORMAT_HTML);
    assert_non_null(strstr(text, "Not complete: the run did not get to its end (SIGINT)"));
    text = report_of(p, three_rows(p, true), KB_FORMAT_HTML);
    assert_null(strstr(text, "Not complete"));
}

static void names_are_text_and_nothing_is_fetched(void **state) {
    struct place *p = *state;
    const char *text = report_of(p, hostile_rows(p), KB_FORMAT_HTML);
    assert_int_equal(count(text, "<script"), 1);
    assert_null(strstr(text, "<img"));
    assert_null(strstr(text, "\033"));
    assert_null(strstr(text, "\xe2\x80\xae"));
    assert_null(strstr(text, "http:"));
    assert_null(strstr(text, "https:"));
    assert_non_null(strstr(text, "&#60;script&#62;alert(1)&#60;/script&#62;"));
    assert_non_null(strstr(text, "&#34;&#62;&#60;img src=x onerror=alert(1)&#62;"));
}

static void the_script_alone_may_run(void **state) {
    struct place *p = *state;
    char nonce[2][64];
    for (int i = 0; i < 2; i++) {
        const char *text = report_of(p, three_rows(p, true), KB_FORMAT_HTML);
        const char *policy = strstr(text, "script-src 'nonce-");
        const char *script = strstr(text, "<script nonce=\"");
        assert_non_null(strstr(text, "default-src 'none';"));
        assert_true(policy && script);
        policy += strlen("script-src 'nonce-");
        script += strlen("<script nonce=\"");
        assert_int_equal(strcspn(policy, "'"), 32);
        assert_memory_equal(policy, script, 33 - 1);
        kb_text_copy(nonce[i], 33, script);
    }
    assert_string_not_equal(nonce[0], nonce[1]);
}

static void without_gnuplot_a_line_says_so(void **state) {
    struct place *p = *state;
    const char *text = report_of(p, three_rows(p, true), KB_FORMAT_HTML);
    const char *line = strstr(text, "<p class=\"note\">No plots: ");
    assert_non_null(line);
    assert_non_null(strstr(line, "gnuplot"));
    assert_null(strstr(text, "<svg"));
}

/* Three cases, B's time at 1.1, 0.8 and 1.0 of A's. */
static struct kb_journal *compared_rows(struct place *p) {
    static const double ratios[] = {1.1, 0.8, 1.0};
    struct kb_journal *journal = open_journal(p);
    struct kb_tally *tally = kb_arena_alloc(&p->arena, sizeof *tally);
    struct kb_err err = {0};
    for (size_t i = 0; i < 2 * KB_COUNT(ratios); i++) {
        struct kb_row row = sample_row();
        double r = ratios[i / 2];
        struct kb_against against = {
            .build = "precise", .variant = "vec16", .elements = -1};
        against.speeds[KB_GRAPH] =
            (struct kb_speed){true,
                              r,
                              r - 0.01,
                              r + 0.01,
                              1e-5,
                              40,
                              r < 1 ? KB_FASTER : r > 1 ? KB_SLOWER : KB_SAME};
        sample_time(&row, KB_GRAPH, 1000 * (i % 2 ? r : 1));
        row.build = i % 2 ? "fast-math" : "precise";
        row.against = i % 2 ? &against : NULL;
        assert_true(kb_journal_add(journal, &row, &err));
        kb_tally_add(tally, &row);
    }
    assert_true(kb_journal_finish(journal, tally, true, NULL, 0.83, &err));
    return journal;
}

static void builds_that_are_compared_have_a_column_with_the_interval(void **state) {
    struct place *p = *state;
    const char *text = report_of(p, compared_rows(p), KB_FORMAT_HTML);
    assert_non_null(strstr(text, "<th scope=\"col\" class=\"n\">B against A, 95 %</th>"));
    assert_non_null(strstr(text, "<td>precise</td><td class=\"n\" data-v=\"-0.2\">-20.0 % "
                                 "[-21.0 -19.0]</td><td>FASTER</td>"));
    assert_int_equal(count(text, "<td>SLOWER</td>"), 1);
    text = report_of(p, three_rows(p, true), KB_FORMAT_HTML);
    assert_null(strstr(text, "B against A"));
}

/* Two builds by two methods, with their code, their bits and what A takes of energy. */
static struct kb_journal *two_builds(struct place *p) {
    struct kb_journal *journal = open_journal(p);
    struct kb_tally *tally = kb_arena_alloc(&p->arena, sizeof *tally);
    struct kb_against against = {
        .build = "precise", .variant = "vec16", .elements = 200, .differing = 1};
    struct kb_err err = {0};
    against.speeds[KB_GRAPH] =
        (struct kb_speed){true, 0.8, 0.79, 0.81, 1e-5, 40, KB_FASTER};
    against.speeds[KB_COLD] = (struct kb_speed){true, 1, 0.99, 1.01, 0.5, 40, KB_SAME};
    for (int i = 0; i < 2; i++) {
        struct kb_row row = sample_row();
        sample_time(&row, KB_GRAPH, 1000);
        sample_time(&row, KB_COLD, 4000);
        row.times[KB_GRAPH].energy_uj = i ? NAN : 250;
        row.build = i ? "fast-math" : "precise";
        row.against = i ? &against : NULL;
        row.built = true;
        row.code = (struct kb_code_info){
            .registers = 32, .spill_bytes = 8, .shared_bytes = 1024, .code_bytes = 6100};
        row.occupancy = (struct kb_occupancy){4, 0.5, 1.31};
        assert_true(kb_journal_add(journal, &row, &err));
        kb_tally_add(tally, &row);
    }
    assert_true(kb_journal_finish(journal, tally, true, NULL, 0.83, &err));
    return journal;
}

static void
builds_have_their_code_bits_and_energy_and_each_method_its_verdict(void **state) {
    struct place *p = *state;
    const char *text = report_of(p, two_builds(p), KB_FORMAT_HTML);
    assert_non_null(strstr(
        text, "<th scope=\"col\" class=\"n\">uJ</th><th scope=\"col\">A</th>"
              "<th scope=\"col\" class=\"n\">B against A, 95 %</th><th scope=\"col\">"
              "speed</th><th scope=\"col\" class=\"n\">cold B against A, 95 %</th>"
              "<th scope=\"col\">cold speed</th><th scope=\"col\" class=\"n\">bits differ"
              "</th><th scope=\"col\" class=\"n\">registers</th><th scope=\"col\" "
              "class=\"n\">spilled</th><th scope=\"col\" class=\"n\">shared</th>"
              "<th scope=\"col\" class=\"n\">code</th><th scope=\"col\" class=\"n\">"
              "occupancy</th><th scope=\"col\" class=\"n\">waves</th></tr>"));
    assert_non_null(
        strstr(text, "<td class=\"n\" data-v=\"250\">250</td><td></td><td class=\"n\" "
                     "data-v=\"\">-</td>"));
    assert_non_null(strstr(
        text, "<td class=\"n\" data-v=\"\">-</td><td>precise</td><td class=\"n\" "
              "data-v=\"-0.2\">-20.0 % [-21.0 -19.0]</td><td>FASTER</td><td class=\"n\" "
              "data-v=\"0\">+0.0 % [ -1.0  +1.0]</td><td>SAME</td><td class=\"n\" "
              "data-v=\"0.005\">0.50 %</td><td class=\"n\" data-v=\"32\">32</td>"
              "<td class=\"n\" data-v=\"8\">8 B</td><td class=\"n\" data-v=\"1024\">1.0 kB"
              "</td><td class=\"n\" data-v=\"6100\">6.1 kB</td><td class=\"n\" "
              "data-v=\"0.5\">50 %</td><td class=\"n\" data-v=\"1.31\">1.31</td></tr>"));
    text = report_of(p, two_builds(p), KB_FORMAT_MD);
    assert_non_null(strstr(
        text, " cold us | uJ | against A, 95 % | cold against A, 95 % | bits differ | "
              "registers | spilled | shared | code | occupancy | waves |\n"));
    assert_non_null(strstr(
        text, " 4.00 | 250 | A | A | - | 32 | 8 B | 1.0 kB | 6.1 kB | 50 % | 1.31 |\n"));
    assert_non_null(
        strstr(text, " 4.00 | - | FASTER -20.0 % \\[-21.0 -19.0\\] | SAME +0.0 % \\[ -1.0  "
                     "+1.0\\] | 0.50 % | 32 | 8 B | 1.0 kB | 6.1 kB | 50 % | 1.31 |\n"));
}

static void ratios_are_drawn_from_the_fastest(void **state) {
    struct place *p = *state;
    struct kb_journal *journal = compared_rows(p);
    struct kb_survey *survey = kb_arena_alloc(&p->arena, sizeof *survey);
    struct kb_html_against against = {0};
    struct kb_drawing drawing;
    struct kb_rows *rows = NULL;
    struct kb_err err = {0};
    char path[512];
    size_t size;
    assert_true(kb_rows_of_journal(journal, &rows, &err));
    assert_true(kb_survey_rows(rows, survey, &err));
    assert_int_equal(survey->against, 3);
    assert_true(kb_html_against_read(survey, rows, &against, &err));
    assert_true(kb_draw_begin(&drawing, &err));
    kb_html_against_draw(&against, &drawing);
    assert_int_equal(drawing.n_figures, 1);
    assert_true(kb_starts_with(drawing.captions.items[0], "fast-math against precise: "));
    snprintf(path, sizeof path, "%s/0.dat", drawing.temp.path);
    assert_string_equal(whole_file(p, path, &size), "1 -20 -21 -19\n2 0 -1 1\n3 10 9 11\n");
    kb_draw_end(&drawing);
    kb_arena_free(&against.arena);
    kb_rows_close(rows);
    kb_journal_close(journal, false);
}

/* ---- drawing ---------------------------------------------------------------------------
 */

static void a_name_in_data_is_no_command(void **state) {
    (void)state;
    struct kb_buf out = {0};
    kb_draw_name("a\"`b`$(c)<d>\n\xe2\x80\xae\\", &out);
    assert_string_equal(kb_buf_text(&out), "\"a?"
                                           "?b?"
                                           "?(c)?d?"
                                           "?"
                                           "?"
                                           "?"
                                           "?"
                                           "?\"");
    kb_buf_free(&out);
}

static void figures_come_back_with_ids_of_their_own(void **state) {
    (void)state;
    struct kb_drawing drawing;
    struct kb_buf svg = {0};
    struct kb_err err = {0};
    assert_true(kb_draw_begin(&drawing, &err));
    char path[512];
    static const char text[] =
        "<?xml version=\"1.0\"?>\n<svg><title>f3</title><path id='gpPt1'/>"
        "<use xlink:href='#gpPt1' clip-path='url(#gpPt1)'/></svg>\n";
    snprintf(path, sizeof path, "%s/3.svg", drawing.temp.path);
    write_file(path, text, strlen(text));
    assert_true(kb_draw_svg(&drawing, 3, &svg, &err));
    assert_string_equal(kb_buf_text(&svg), "<svg><path id='f3-gpPt1'/><use xlink:href='#f3-"
                                           "gpPt1' clip-path='url(#f3-gpPt1)'/></svg>\n");
    write_file(path, text, strlen(text) - 9); /* cut off */
    assert_false(kb_draw_svg(&drawing, 3, &svg, &err));
    assert_int_equal(err.kind, KB_IO);
    kb_buf_free(&svg);
    kb_draw_end(&drawing);
    assert_false(kb_is_folder(path));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BARE(the_page_has_summary_environment_failures_and_rows),
        BARE(the_page_of_a_run_that_was_broken_off_says_so),
        BARE(names_are_text_and_nothing_is_fetched),
        BARE(the_script_alone_may_run),
        BARE(without_gnuplot_a_line_says_so),
        BARE(builds_that_are_compared_have_a_column_with_the_interval),
        BARE(builds_have_their_code_bits_and_energy_and_each_method_its_verdict),
        BARE(ratios_are_drawn_from_the_fastest),
        cmocka_unit_test(a_name_in_data_is_no_command),
        cmocka_unit_test(figures_come_back_with_ids_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
