/* single_test.c - the screen of a single case. */
#include "report/parts.h"
#include "report/sample_view.h"

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
        "it\n"
        "impostors 7 wrong outputs tried, none would pass\n\n"
        "time us   median      \302\261     min     p99      n    GB/s   ceiling\n"
        "graph       1.22  0.3 %    1.20    1.32   2960     209      97 %\n"
        "cold        4.81  0.3 %    4.71    5.19   2960       -         -   3.65 of it is "
        "the event pair\n\n"
        "limited by latency: 255 kB, 21 blocks on 132 SMs; inputs rotate over 741 sets "
        "(189 MB, L2 63 MB)\n"
        "floor     an empty kernel: graph 0.490, cold 3.65 us; two events and nothing "
        "between "
        "them: 1.85 us\n"
        "code      22 registers, 0 spilled, 0 B shared, 5.3 kB; NVRTC 47 ms, now cached\n"
        "clocks    not locked, SM 1965 to 1980 MHz while timed, no throttling\n");
}

static void a_time_that_is_odd_says_why_and_energy_has_its_line(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_time(&row, KB_GRAPH, 1000);
    sample_time(&row, KB_COLD, 4810);
    sample_time(&row, KB_LAUNCH, 2100);
    row.times[KB_GRAPH].quality = KB_Q_THROTTLED;
    row.times[KB_GRAPH].why = "clocks held back (power) for 12 of 40 samples, which count";
    row.times[KB_COLD].quality = KB_Q_SUSPECT;
    row.times[KB_COLD].why = "an empty kernel takes longer: 5 us";
    sample_time(&row, KB_HOT, 2000);
    row.times[KB_HOT].duty = 0.5;
    row.times[KB_HOT].why = "busy for at most 50 % of the time";
    row.times[KB_GRAPH].energy_uj = 612.5;
    kb_text_copy(v->facts.devices[0].lock, sizeof v->facts.devices[0].lock,
                 "nvidia-smi -i 0 -lgc 1980");
    kb_single_print(&v->single, &row, &v->text);
    const char *text = kb_buf_text(&v->text);
    assert_non_null(strstr(text,
                           "\nlaunch      2.10  0.3 %    2.06    2.27   2960       -  "
                           "       -   of the host\n"));
    assert_non_null(strstr(text, "\nquality   graph is throttled: clocks held back (power) "
                                 "for 12 of 40 samples, which count\n"
                                 "quality   cold is suspect: an empty kernel takes longer: "
                                 "5 us\n"
                                 "quality   hot is ok: busy for at most 50 % of the time\n"
                                 "energy    612 uJ a launch, 612 W, by graph\n"));
    assert_non_null(strstr(text, "no throttling\n          nvidia-smi -i 0 -lgc 1980 locks "
                                 "them, -rgc in place of it sets them free\n"));
    kb_buf_clear(&v->text);
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        row.times[m].sm_mhz_min = row.times[m].sm_mhz_max;
    v->facts.devices[0].clocks_locked = true;
    kb_single_print(&v->single, &row, &v->text);
    assert_null(strstr(kb_buf_text(&v->text), "nvidia-smi"));
    assert_non_null(strstr(kb_buf_text(&v->text),
                           "\nclocks    locked, SM 1980 MHz while timed, no throttling\n"));
}

static void clocks_that_nobody_told_are_not_said_to_be_free(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_time(&row, KB_GRAPH, 1220.1);
    row.times[KB_GRAPH].sm_mhz_min = row.times[KB_GRAPH].sm_mhz_max = 0;
    kb_single_print(&v->single, &row, &v->text);
    const char *line = strstr(kb_buf_text(&v->text), "\nclocks ");
    assert_non_null(line);
    assert_string_equal(line + 1, "clocks    not known, nor throttling: NVML tells none\n");
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
        "impostors 7 wrong outputs tried, none would pass\n"
        "orders    same bits with blocks forward, reversed and shuffled; guards and inputs "
        "untouched\n"
        "code      the same kernels/activation.cu through g++ in 0.9 s, now cached\n"
        "time      none: CPU fibers stand in for GPU threads, so their time is no GPU "
        "time\n");
}

static void a_right_case_says_what_it_was_tried_with(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    row.repeats = 22;
    row.n_shifts = row.n_batch = 2;
    row.shifts[0] = 2;
    row.shifts[1] = 16;
    row.batch[0] = 41;
    row.batch[1] = 1;
    row.late_producer = row.other_inputs = true;
    sample_host(&v->facts);
    v->single.mode = KB_CHECK;
    row.backend = "host";
    kb_single_print(&v->single, &row, &v->text);
    assert_non_null(strstr(
        kb_buf_text(&v->text),
        "orders    same bits with blocks forward, reversed and shuffled, in 22 launches, "
        "tensors shifted by 2\n"
        "          and 16 bytes, inputs written late, other inputs before, only 41 and 1 "
        "rows; guards and\n"
        "          inputs untouched\n"));
    kb_buf_clear(&v->text);
    row.backend = "cuda";
    row.repeats = 3;
    row.late_producer = row.other_inputs = false;
    row.n_shifts = row.n_batch = 1;
    row.batch[0] = 1;
    kb_single_print(&v->single, &row, &v->text);
    assert_non_null(strstr(kb_buf_text(&v->text),
                           "repeats   same bits in 3 launches with tensors shifted by 2 "
                           "bytes, only 1 row; guards and inputs\n"
                           "          untouched\n"));
}

static void a_sampled_case_says_what_is_known_of_the_other_rows(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    row.outputs[0].checked = 10 * 512;
    kb_single_print(&v->single, &row, &v->text);
    assert_non_null(strstr(kb_buf_text(&v->text),
                           "sample    checked 10 of 83 rows; of the others, that each "
                           "launch leaves the same bits\n"));
    kb_buf_clear(&v->text);
    row.orders = 1;
    kb_single_print(&v->single, &row, &v->text);
    assert_non_null(strstr(kb_buf_text(&v->text),
                           "sample    checked 10 of 83 rows; nothing is known of the "
                           "others\n"));
}

static void impostors_that_would_pass_are_named(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    struct kb_arena arena = {0};
    row.reason = KB_R_IMPOSTOR;
    row.text =
        "\"all zeros\" and \"one wrong element\" would pass: atol 1 is 3 x rms(want)";
    row.impostors.tried = 9;
    kb_strings_add(&row.impostors.let_through, &arena, "all zeros");
    kb_strings_add(&row.impostors.let_through, &arena, "one wrong element");
    kb_single_print(&v->single, &row, &v->text);
    const char *text = kb_buf_text(&v->text);
    assert_true(kb_starts_with(text, "MISTRUSTED  gelu_tanh/83x1024/bf16 "));
    assert_non_null(strstr(text,
                           "\nwhat      \"all zeros\" and \"one wrong element\" would "
                           "pass: atol 1 is 3 x rms(want)\n"));
    assert_non_null(strstr(text, "\nerror     0.02 of bound"));
    assert_non_null(strstr(text, "\nimpostors 2 of 9 wrong outputs would pass: all zeros, "
                                 "one wrong element\n"));
    kb_arena_free(&arena);
}

static void a_verbose_screen_has_more_of_the_errors(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    v->single.look.verbose = true;
    kb_single_print(&v->single, &row, &v->text);
    assert_non_null(strstr(kb_buf_text(&v->text),
                           "\n          p50 0.25 ulp    bias 7e-4 ulp    NMSE 2.7e-6\n"));
}

static void what_is_odd_about_several_methods_alike_is_said_once(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    static const enum kb_method methods[] = {KB_GRAPH, KB_COLD, KB_HOT};
    for (size_t i = 0; i < KB_COUNT(methods); i++) {
        sample_time(&row, methods[i], 1220);
        row.times[methods[i]].quality = KB_Q_CONTENDED;
        row.times[methods[i]].why = "somebody else computes on this GPU: pid 7";
    }
    row.times[KB_COLD].why = "somebody else computes on this GPU: pid 8";
    kb_single_print(&v->single, &row, &v->text);
    assert_non_null(
        strstr(kb_buf_text(&v->text),
               "\nquality   graph, hot are contended: somebody else computes on "
               "this GPU: pid 7\n"
               "quality   cold is contended: somebody else computes on this GPU: "
               "pid 8\n"));
}

static void buffers_that_the_l2_may_keep_are_said_to_be_such(void **state) {
    static const struct {
        int64_t bytes;
        const char *words;
    } all[] = {{1376256, "(1.4 MB, L2 63 MB: it has them all)\n"},
               {125829120, "(126 MB, L2 63 MB: less than 3 times that)\n"},
               {188937216, "(189 MB, L2 63 MB)\n"}};
    struct view *v = *state;
    for (size_t i = 0; i < KB_COUNT(all); i++) {
        struct kb_row row = sample_row();
        sample_time(&row, KB_GRAPH, 1220);
        row.times[KB_GRAPH].footprint_bytes = all[i].bytes;
        row.limited_by = i ? row.limited_by : NULL; /* mma has no ceiling to tell it by */
        kb_buf_clear(&v->text);
        kb_single_print(&v->single, &row, &v->text);
        const char *at = strstr(kb_buf_text(&v->text), "inputs rotate over 741 sets ");
        assert_non_null(at);
        assert_true(
            kb_starts_with(at + strlen("inputs rotate over 741 sets "), all[i].words));
    }
}

static void what_code_fills_and_its_loading_are_for_those_who_ask(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_time(&row, KB_GRAPH, 1220);
    sample_code(&row);
    row.code.load_ms = 0.088;
    row.occupancy = (struct kb_occupancy){8, 1, 2.5};
    v->single.look.verbose = true;
    kb_single_print(&v->single, &row, &v->text);
    const char *text = kb_buf_text(&v->text);
    assert_non_null(strstr(text, "NVRTC 47 ms, now cached, loaded in 0.1 ms; "));
    assert_non_null(
        strstr(text, " per SM (100 %), 2.5 waves\n")); /* the 8 is a line above */
}

static void the_reasons_of_all_methods_are_the_clocks(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_time(&row, KB_GRAPH, 1220);
    sample_time(&row, KB_COLD, 1220);
    sample_time(&row, KB_HOT, 1220);
    row.times[KB_GRAPH].throttle = "power";
    row.times[KB_COLD].throttle = "power,thermal";
    row.times[KB_HOT].throttle = "unknown";
    kb_single_print(&v->single, &row, &v->text);
    assert_non_null(strstr(kb_buf_text(&v->text), ", throttled: power,thermal\n"));
}

static void throttling_that_nobody_told_is_not_said_to_be_none(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_time(&row, KB_GRAPH, 1220);
    row.times[KB_GRAPH].throttle = "unknown";
    kb_single_print(&v->single, &row, &v->text);
    assert_non_null(strstr(kb_buf_text(&v->text), "throttling not known"));
    assert_null(strstr(kb_buf_text(&v->text), "no throttling"));
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
        "next      kbench --case gelu_tanh/83x1024/bf16 --backend host --sanitize "
        "address,undefined\n"
        "repeat    kbench --case gelu_tanh/83x1024/bf16 --build precise --variant vec16 "
        "--seed 1\n");
}

static void a_single_failure_that_has_a_place_shows_a_map_and_the_smallest(void **state) {
    static const struct kb_smallest smallest = {
        .case_id = "gelu_tanh/1x18/bf16",
        .where = "column 8 of 9",
        .passes = "gelu_tanh/1x16/bf16",
        .repeat = "kbench --case gelu_tanh/1x18/bf16 --build precise --variant vec16 "
                  "--seed 1",
        .done = true,
    };
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_unwritten(&row);
    sample_local(&row, "columns 4..7 of every row", "the last 4 of 8");
    row.smallest = &smallest;
    kb_single_print(&v->single, &row, &v->text);
    const char *text = strstr(kb_buf_text(&v->text), "where ");
    assert_non_null(text);
    assert_string_equal(
        text,
        "where     columns 4..7 of every row: the last 4 of 8\n"
        "the rest  right: 0.02 of bound, max 0.50 ulp over 40960 elements; guards and "
        "inputs untouched\n"
        "smallest  1x18 fails (column 8 of 9), 1x16 passes\n\n"
        "index                got          want        index                got          "
        "want\n"
        "[80,   0]    7fb3 poison    -0.0317993        [80,   1]    7fb3 poison      "
        "0.214844\n\n"
        "map       . right  + some wrong  # all wrong   (a cell is 17 rows x 256 columns)\n"
        "row  0    .+\n"
        "    17    #.   column 511\n\n"
        "next      kbench --case gelu_tanh/1x18/bf16 --backend host --sanitize "
        "address,undefined\n"
        "repeat    kbench --case gelu_tanh/83x1024/bf16 --build precise --variant vec16 "
        "--seed 1\n");
    /* A kind of fault that no sanitizer knows: the smallest case as it is. */
    kb_buf_clear(&v->text);
    row.reason = KB_R_MISMATCH;
    kb_single_print(&v->single, &row, &v->text);
    assert_non_null(strstr(kb_buf_text(&v->text),
                           "next      kbench --case gelu_tanh/1x18/bf16 --build precise "
                           "--variant vec16 --seed 1\n"));
}

static void a_grid_past_64_bits_is_shown_as_the_largest_number(void **state) {
    struct view *v = *state;
    struct kb_row row = sample_row();
    sample_time(&row, KB_GRAPH, 1220.1);
    for (int i = 0; i < 3; i++)
        row.grid[i] = INT64_C(1) << 40;
    kb_single_print(&v->single, &row, &v->text);
    assert_non_null(strstr(kb_buf_text(&v->text), "9223372036854775807 blocks"));
}

static void no_line_is_wider_than_the_terminal_but_commands(void **state) {
    struct view *v = *state;
    struct kb_row timed = sample_row(), wrong = sample_row();
    sample_time(&timed, KB_GRAPH, 1220.1);
    sample_time(&timed, KB_COLD, 4810);
    timed.times[KB_COLD].stopped = "samples";
    sample_code(&timed);
    sample_unwritten(&wrong);
    sample_local(&wrong, "columns 496..499 of every row", "500 = 62 * 8 + 4, the tail");
    for (int width = 60; width <= 200; width += 4) {
        v->single.look.width = width;
        kb_buf_clear(&v->text);
        kb_single_print(&v->single, &timed, &v->text);
        kb_single_print(&v->single, &wrong, &v->text);
        struct kb_strings lines = {0};
        kb_split(&v->arena, kb_buf_text(&v->text), '\n', &lines);
        for (size_t i = 0; i < lines.count; i++)
            if (!strstr(lines.items[i], "kbench --"))
                assert_in_range(kb_columns(lines.items[i]), 0, width);
    }
    assert_non_null(strstr(kb_buf_text(&v->text), "kbench --case"));
}

static void a_line_goes_on_where_things_end(void **state) {
    struct view *v = *state;
    kb_single_fold(
        "error     0.04 of bound    max 0.50 ulp    p99 0.50 ulp    abs 3.7e-1\n"
        "clocks    not locked, SM 1980 MHz while timed, no throttling of it\n"
        "next      kbench --case a/b/c --build precise --variant vec16 --seed 1\n",
        60, &v->text);
    assert_string_equal(
        kb_buf_text(&v->text),
        "error     0.04 of bound    max 0.50 ulp    p99 0.50 ulp\n"
        "          abs 3.7e-1\n"
        "clocks    not locked, SM 1980 MHz while timed, no throttling\n"
        "          of it\n"
        "next      kbench --case a/b/c --build precise --variant vec16 --seed 1\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_single_case_on_a_gpu_shows_every_method),
        TEST(a_time_that_is_odd_says_why_and_energy_has_its_line),
        TEST(what_is_odd_about_several_methods_alike_is_said_once),
        TEST(buffers_that_the_l2_may_keep_are_said_to_be_such),
        TEST(what_code_fills_and_its_loading_are_for_those_who_ask),
        TEST(the_reasons_of_all_methods_are_the_clocks),
        TEST(throttling_that_nobody_told_is_not_said_to_be_none),
        TEST(clocks_that_nobody_told_are_not_said_to_be_free),
        TEST(a_single_case_on_the_host_has_no_time_and_says_why),
        TEST(a_right_case_says_what_it_was_tried_with),
        TEST(a_sampled_case_says_what_is_known_of_the_other_rows),
        TEST(impostors_that_would_pass_are_named),
        TEST(a_verbose_screen_has_more_of_the_errors),
        TEST(a_single_failure_tells_what_where_and_the_rest),
        TEST(a_single_failure_that_has_a_place_shows_a_map_and_the_smallest),
        TEST(a_grid_past_64_bits_is_shown_as_the_largest_number),
        TEST(no_line_is_wider_than_the_terminal_but_commands),
        TEST(a_line_goes_on_where_things_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
