/* devices_test.c - several GPUs side by side, and below each other where there is no room.
 */
#include "report/pair_fixture.h"

static void two_cases(struct pairs *p, int members) {
    p->facts.n_devices = 2;
    kb_versus_head(&p->versus, &p->text);
    for (int c = 0; c < 2; c++) {
        const char *id = c ? "gelu/16384x2048/bf16" : "gelu/83x1024/bf16";
        for (int d = 0; d < 2; d++) {
            int a = d * members;
            pairs_row(p, a, id, "precise", d ? 2310 : 1230)->device = d ? "1" : "0";
            if (members < 2)
                continue;
            pairs_row(p, a + 1, id, "fast-math", d ? 2240 : 1220)->device = d ? "1" : "0";
            pairs_against(p, a, a + 1, d ? 0.97 : 0.995, d ? 0.96 : 0.99, d ? 0.98 : 1.0,
                          d ? KB_FASTER : KB_SAME);
        }
        if (c && members > 1) {
            pairs_fail(p, 3);
            pairs_against(p, 2, 3, 0, 0, 0, KB_NOT_COMPARED);
        }
        kb_versus_group(&p->versus, p->rows, members, &p->text);
    }
    kb_versus_summary(&p->versus, &p->text);
}

static void each_device_has_columns_of_its_own(void **state) {
    struct pairs p;
    (void)state;
    pairs_open(&p, KB_LAYOUT_BENCH, 2);
    p.facts.n_devices = 2;
    assert_true(pairs_make(&p, 120));
    two_cases(&p, 2);
    assert_string_equal(
        p.text.data,
        "0 NVIDIA H200 sm_90 | 1 NVIDIA L40S sm_89 | driver 580.159.04 | bf16 | kernel "
        "act.cu\n"
        "graph us, in turns over the same buffers | against A only within one device\n"
        "A precise     -std=c++17                   32 registers, 0 spilled, 6.1 kB\n"
        "B fast-math   -std=c++17 --use_fast_math   24 registers, 0 spilled, 4.4 kB, may "
        "use 8x the bound\n"
        "\n"
        "                               ------------ 0 NVIDIA H200 ------------  "
        "------------ 1 NVIDIA L40S ------------\n"
        "                                us A   ceil    us B  B against A         us A   "
        "ceil    us B  B against A\n"
        "PASS    gelu/83x1024            1.23   97 %    1.22  SAME       -0.5 %   2.31   "
        "97 "
        "%    2.24  FASTER     -3.0 %\n"
        "FAIL    gelu/16384x2048         1.23   97 %    1.22  SAME       -0.5 %   2.31   "
        "97 "
        "%       -  B FAIL\n"
        "B against A, 0 NVIDIA H200: 2 SAME; gelu -0.5 % (geomean of 2)\n"
        "B against A, 1 NVIDIA L40S: 1 FASTER; gelu -3.0 % (geomean of 1), wrong in 1 of "
        "2\n");
    pairs_close(&p);
}

static void what_a_selftest_kept_of_a_device_stands_in_the_head(void **state) {
    struct pairs p;
    (void)state;
    pairs_open(&p, KB_LAYOUT_BENCH, 2);
    p.facts.n_devices = 2;
    p.facts.stream_gb_per_s[0] = 4284.2;
    assert_true(pairs_make(&p, 0));
    two_cases(&p, 2);
    const char *head = "0 NVIDIA H200 sm_90, stream 4284 GB/s | 1 NVIDIA L40S sm_89 | ";
    assert_true(kb_starts_with(p.text.data, head));
    p.versus.plan.layout = KB_LAYOUT_CHECK; /* it says nothing of what is only checked */
    kb_buf_clear(&p.text);
    kb_versus_head(&p.versus, &p.text);
    assert_null(strstr(p.text.data, "stream"));
    pairs_close(&p);
}

/* In the run itself they come with the rows, which the head is above. */
static void what_a_run_finds_of_other_devices_stands_below(void **state) {
    struct pairs p;
    (void)state;
    pairs_open(&p, KB_LAYOUT_BENCH, 2);
    struct kb_tally *tally = kb_arena_alloc(&p.arena, sizeof *tally);
    p.facts.n_devices = 2;
    assert_true(pairs_make(&p, 0));
    tally->n_devices = 2;
    kb_text_copy(tally->devices[0].id, sizeof tally->devices[0].id, "1");
    kb_text_copy(tally->devices[1].id, sizeof tally->devices[1].id, "0");
    tally->devices[0].stream_gb_per_s = 718.3;
    kb_versus_streams(&p.versus, tally, &p.text);
    assert_string_equal(p.text.data,
                        "stream of this run, at most: 1 NVIDIA L40S 718 GB/s\n");
    kb_buf_clear(&p.text);
    tally->devices[1].stream_gb_per_s = 4284.2;
    kb_versus_streams(&p.versus, tally, &p.text);
    assert_string_equal(
        p.text.data,
        "stream of this run, at most: 0 NVIDIA H200 4284 GB/s | 1 NVIDIA L40S 718 GB/s\n");
    kb_buf_clear(&p.text);
    p.facts.stream_gb_per_s[0] = p.facts.stream_gb_per_s[1] = 700;
    kb_versus_streams(&p.versus, tally, &p.text);
    p.facts.stream_gb_per_s[0] = 0;
    p.facts.n_devices = 1;
    kb_versus_streams(&p.versus, tally, &p.text);
    assert_int_equal(p.text.len, 0);
    pairs_close(&p);
}

static void a_line_by_each_method_has_all_devices_and_what_is_odd_of_which(void **state) {
    struct pairs p;
    (void)state;
    pairs_open(&p, KB_LAYOUT_BENCH, 2);
    p.facts.n_devices = 2;
    p.plan.methods[1] = KB_COLD;
    p.plan.n_methods = 2;
    p.plan.energy = true;
    assert_true(pairs_make(&p, 0));
    for (int i = 0; i < 4; i++) {
        struct kb_row *row =
            pairs_row(&p, i, "gelu/83x1024/bf16", i % 2 ? "fast-math" : "precise", 1230);
        row->device = i < 2 ? "0" : "1";
        row->times[KB_GRAPH].energy_uj = 100 + i;
        sample_time(row, KB_COLD, 4000);
        row->times[KB_COLD].energy_uj = NAN;
        row->times[KB_COLD].quality = KB_Q_THROTTLED;
        if (i % 2)
            pairs_against(&p, i - 1, i, 0.97, 0.96, 0.98, KB_FASTER)->speeds[KB_COLD] =
                (struct kb_speed){true, 1, 0.999, 1.001, 0.5, 24, KB_SAME};
    }
    p.rows[2].times[KB_GRAPH].quality = KB_Q_NOISY;
    kb_versus_group(&p.versus, p.rows, 2, &p.text);
    kb_versus_summary(&p.versus, &p.text);
    const char *lines =
        "                               by       us A   ceil    us B    uJ A    uJ B  B "
        "against A         us A   ceil    us B    uJ A    uJ B  B against A\n"
        "PASS    gelu/83x1024           graph    1.23   97 %    1.23     100     101  "
        "FASTER "
        "    -3.0 %   1.23   97 %    1.23     102     103  FASTER     -3.0 %  1 A noisy\n"
        "PASS    gelu/83x1024           cold     4.00      -    4.00       -       -  SAME "
        "  "
        "    +0.0 %   4.00      -    4.00       -       -  SAME       +0.0 %  all "
        "throttled\n"
        "B against A by graph, 0 NVIDIA H200: 1 FASTER; gelu -3.0 % (geomean of 1)\n"
        "B against A by cold, 0 NVIDIA H200: 1 SAME; gelu +0.0 % (geomean of 1)\n"
        "B against A by graph, 1 NVIDIA L40S: 1 FASTER; gelu -3.0 % (geomean of 1)\n"
        "B against A by cold, 1 NVIDIA L40S: 1 SAME; gelu +0.0 % (geomean of 1)\n";
    if (!kb_ends_with(p.text.data, lines))
        fail_msg("%s", p.text.data);
    pairs_close(&p);
}

static void without_room_each_device_has_a_line(void **state) {
    struct pairs p;
    (void)state;
    pairs_open(&p, KB_LAYOUT_BENCH, 2);
    p.facts.n_devices = 2;
    assert_true(pairs_make(&p, 80));
    two_cases(&p, 2);
    assert_non_null(strstr(
        p.text.data,
        "                                  device   us A    us B  B against A, 95 %\n"
        "SAME       gelu/83x1024           0        1.23    1.22    -0.5 % [ -1.0  "
        "+0.0]\n"
        "FASTER     gelu/83x1024           1        2.31    2.24    -3.0 % [ -4.0  "
        "-2.0]\n"));
    pairs_close(&p);
}

static void one_build_on_two_devices_is_times_and_ceilings(void **state) {
    struct pairs p;
    (void)state;
    pairs_open(&p, KB_LAYOUT_BENCH, 1);
    p.facts.n_devices = 2;
    assert_true(pairs_make(&p, 100));
    two_cases(&p, 1);
    assert_string_equal(
        p.text.data,
        "0 NVIDIA H200 sm_90 | 1 NVIDIA L40S sm_89 | driver 580.159.04 | build precise | "
        "bf16 | kernel act.cu\n"
        "graph us\n"
        "\n"
        "                                0 NVIDIA H200    1 NVIDIA L40S\n"
        "                                     us   ceil        us   ceil\n"
        "PASS    gelu/83x1024               1.23   97 %      2.31   97 %\n"
        "PASS    gelu/16384x2048            1.23   97 %      2.31   97 %\n");
    pairs_close(&p);
}

static void the_host_beside_a_gpu_has_no_number(void **state) {
    struct pairs p;
    (void)state;
    pairs_open(&p, KB_LAYOUT_BENCH, 2);
    p.facts.n_devices = 2;
    p.facts.devices[1] = (struct kb_device_info){.backend = "host",
                                                 .id = "host",
                                                 .name = "host",
                                                 .compiler = "g++ 12.2",
                                                 .cores = 8};
    assert_true(pairs_make(&p, 0));
    two_cases(&p, 2);
    assert_non_null(
        strstr(p.text.data, "0 NVIDIA H200 sm_90 | host, 8 cores, g++ 12.2 | "));
    assert_non_null(strstr(p.text.data, "---- host ----"));
    assert_non_null(strstr(p.text.data, "\nB against A, host: "));
    pairs_close(&p);
}

static void one_build_on_one_device_is_for_the_table(void **state) {
    struct pairs p;
    (void)state;
    pairs_open(&p, KB_LAYOUT_BENCH, 1);
    assert_false(pairs_make(&p, 100));
    p.facts.n_devices = 2;
    assert_false(pairs_make(&p, 30));
    pairs_close(&p);
}

static void checks_alone_compare_errors_and_bits(void **state) {
    struct pairs p;
    (void)state;
    pairs_open(&p, KB_LAYOUT_CHECK, 2);
    p.facts.n_devices = 2;
    assert_true(pairs_make(&p, 100));
    two_cases(&p, 2);
    assert_non_null(strstr(p.text.data, "err/bound A      B  bits differ  err/bound A      "
                                        "B  bits differ\n"));
    pairs_close(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_device_has_columns_of_its_own),
        cmocka_unit_test(what_a_selftest_kept_of_a_device_stands_in_the_head),
        cmocka_unit_test(what_a_run_finds_of_other_devices_stands_below),
        cmocka_unit_test(a_line_by_each_method_has_all_devices_and_what_is_odd_of_which),
        cmocka_unit_test(without_room_each_device_has_a_line),
        cmocka_unit_test(one_build_on_two_devices_is_times_and_ceilings),
        cmocka_unit_test(the_host_beside_a_gpu_has_no_number),
        cmocka_unit_test(one_build_on_one_device_is_for_the_table),
        cmocka_unit_test(checks_alone_compare_errors_and_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
