/* pair_methods_test.c - builds against builds by several methods, and in energy. */
#include "report/pair_fixture.h"

#include <math.h>

/* A case in two builds by graph and cold, and in energy. */
static void two_methods(struct pairs *p, int width) {
    pairs_open(p, KB_LAYOUT_BENCH, 2);
    p->plan.methods[1] = KB_COLD;
    p->plan.methods[2] = KB_CUPTI;
    p->plan.n_methods = 3;
    p->plan.energy = true;
    pairs_make(p, width);
    kb_versus_head(&p->versus, &p->text);
    pairs_row(p, 0, "silu/83x1024/bf16", "precise", 1660);
    pairs_row(p, 1, "silu/83x1024/bf16", "fast-math", 1320);
    for (int i = 0; i < 2; i++) {
        sample_time(&p->rows[i], KB_COLD, i ? 3700 : 4000);
        p->rows[i].times[KB_GRAPH].energy_uj = i ? 120 : 150;
        p->rows[i].times[KB_COLD].energy_uj = NAN;
    }
    p->rows[1].times[KB_COLD].quality = KB_Q_NOISY;
    struct kb_against *against = pairs_against(p, 0, 1, 0.795, 0.791, 0.8, KB_FASTER);
    against->speeds[KB_COLD] =
        (struct kb_speed){true, 0.925, 0.9, 0.95, 0.2, 24, KB_UNCLEAR};
    kb_versus_group(&p->versus, p->rows, 2, &p->text);
    pairs_row(p, 1, "silu/83x1024/bf16", "fast-math", 0);
    pairs_against(p, 0, 1, 0, 0, 0, KB_NOT_COMPARED)->elements = -1;
    p->rows[1].reason = KB_R_CRASH; /* is told once */
    p->rows[1].text = "signal 11";
    kb_versus_group(&p->versus, p->rows, 2, &p->text);
    kb_versus_summary(&p->versus, &p->text);
}

static void each_method_that_was_asked_for_has_a_line(void **state) {
    struct pairs p;
    (void)state;
    two_methods(&p, 0);
    const char *lines =
        "\n"
        "                                  by      err/bound A      B  max ulp A       B   "
        "us "
        "A    us B    uJ A    uJ B  B against A, 95 %       bits differ\n"
        "FASTER     silu/83x1024           graph          0.02   0.03       0.50    0.50   "
        "1.66    1.32     150     120   -20.5 % [-20.9 -20.0]       0.00 %\n"
        "UNCLEAR    silu/83x1024           cold           0.02   0.03       0.50    0.50   "
        "4.00    3.70       -       -    -7.5 % [-10.0  -5.0]       0.00 %  B noisy\n"
        "B ERROR    silu/83x1024                   crash: signal 11\n"
        "B against A by graph: 1 FASTER; silu -20.5 % (geomean of 1), ERROR in 1 of 2\n"
        "B against A by cold: 1 UNCLEAR; silu -7.5 % (geomean of 1)\n";
    assert_non_null(
        strstr(p.text.data, " | graph, cold, cupti us, in turns over the same "));
    if (!kb_ends_with(p.text.data, lines))
        fail_msg("%s", p.text.data);
    pairs_close(&p);
}

/* What was asked for stays; intervals go. */
static void at_80_columns_methods_and_energy_stay(void **state) {
    struct pairs p;
    (void)state;
    two_methods(&p, 80);
    assert_non_null(strstr(
        p.text.data,
        "                               by       us A    us B    uJ A    uJ B  against A\n"
        "FASTER  silu/83x1024           graph    1.66    1.32     150     120   -20.5 %\n"
        "UNCLEAR  silu/83x1024          cold     4.00    3.70       -       -    -7.5 %\n"
        "        B noisy\n"));
    pairs_close(&p);
}

/* Of so many builds, by graph and by another method. */
static void open_for_two(struct pairs *p, int n, enum kb_method second) {
    pairs_open(p, KB_LAYOUT_BENCH, n);
    p->plan.methods[1] = second;
    p->plan.n_methods = 2;
    pairs_make(p, 0);
}

static void one_with_nothing_beside_it_has_a_line_by_each_method(void **state) {
    struct pairs p;
    (void)state;
    open_for_two(&p, 2, KB_HOT);
    sample_time(pairs_row(&p, 0, "silu/83x1024/bf16", "precise", 1660), KB_HOT, 3000);
    p.rows[0].times[KB_HOT].quality = KB_Q_SUSPECT;
    kb_versus_group(&p.versus, p.rows, 1, &p.text);
    assert_non_null(strstr(p.text.data, "\nPASS       silu/83x1024           graph  "));
    assert_non_null(strstr(p.text.data, "\nPASS       silu/83x1024           hot    "));
    assert_non_null(strstr(p.text.data, "  suspect\n"));
    pairs_close(&p);
}

/* Of three the first was not run: what the others took is shown by each method. */
static void where_the_first_was_skipped_others_have_a_line_by_each_method(void **state) {
    struct pairs p;
    (void)state;
    open_for_two(&p, 3, KB_COLD);
    pairs_row(&p, 0, "silu/83x1024/bf16", "precise", 0);
    p.rows[0].reason = KB_R_VARIANT;
    p.rows[0].text = "no such build here";
    sample_time(pairs_row(&p, 1, "silu/83x1024/bf16", "fast-math", 1320), KB_COLD, 3700);
    sample_time(pairs_row(&p, 2, "silu/83x1024/bf16", "aot", 1330), KB_COLD, 3800);
    kb_versus_group(&p.versus, p.rows, 3, &p.text);
    const char *const lines[] = {"graph   B ", "cold    B ", "graph   C ", "cold    C "};
    for (size_t i = 0; i < KB_COUNT(lines); i++)
        assert_non_null(strstr(p.text.data, lines[i]));
    pairs_close(&p);
}

/* It may be timed all the same, by --time-failing. */
static void why_one_alone_has_no_numbers_is_told_once(void **state) {
    struct pairs p;
    (void)state;
    open_for_two(&p, 2, KB_HOT);
    sample_time(pairs_row(&p, 0, "silu/83x1024/bf16", "precise", 1660), KB_HOT, 3000);
    p.rows[0].reason = KB_R_IMPOSTOR;
    p.rows[0].text = "an impostor passes";
    kb_versus_group(&p.versus, p.rows, 1, &p.text);
    const char *first = strstr(p.text.data, "an impostor passes");
    assert_non_null(first);
    assert_null(strstr(first + 1, "an impostor passes"));
    pairs_close(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_method_that_was_asked_for_has_a_line),
        cmocka_unit_test(at_80_columns_methods_and_energy_stay),
        cmocka_unit_test(one_with_nothing_beside_it_has_a_line_by_each_method),
        cmocka_unit_test(where_the_first_was_skipped_others_have_a_line_by_each_method),
        cmocka_unit_test(why_one_alone_has_no_numbers_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
