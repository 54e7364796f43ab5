/* baseline_test.c - what looks slower than the baseline is measured again before it is. */
#include "cli/baseline.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

static const struct kb_device_info device = {.backend = "cuda", .id = "0", .name = "G"};

/* A baseline of one row that takes 1000 ns. */
static void make_base(struct kb_baseline *baseline, const char *path) {
    static const char text[] =
        "{\"schema\":\"kbench-report/1\",\"complete\":true,\"devices\":[{\"id\":\"0\","
        "\"backend\":\"cuda\",\"name\":\"G\"}],\"rows\":[{\"case\":\"s/1/"
        "b\",\"device\":\"0\","
        "\"backend\":\"cuda\",\"build\":\"precise\",\"variant\":\"v\",\"kernel\":\"k\","
        "\"verdict\":\"PASS\",\"times\":{\"graph\":{\"median_ns\":1000,\"ci95_ns\":[999,"
        "1001],"
        "\"n\":9,\"quality\":\"ok\",\"samples_ns\":[1000]}}}]}";
    struct kb_options options = {.baseline = path};
    struct kb_err err = {0};
    assert_true(kb_file_replace(path, text, sizeof text - 1, &err));
    *baseline = (struct kb_baseline){0};
    if (!kb_baseline_open(&options, baseline, &err))
        fail_msg("%s", err.msg);
}

static struct kb_row row_of(double ns) {
    struct kb_row row = {
        .case_id = "s/1/b", .build = "precise", .variant = "v", .kernel = "k"};
    row.times[KB_GRAPH] = (struct kb_time){
        .there = true,
        .median_ns = ns,
        .low_ns = ns - 1,
        .high_ns = ns + 1,
        .min_ns = ns - 2,
        .p99_ns = NAN,
        .n = 10,
        .gb_per_s = 100,
        .ceiling_ns = 900,
        .samples_ns = {ns, ns},
        .n_samples = 2,
    };
    return row;
}

/* What further runs give. */
struct script {
    struct kb_row rows[4];
    int n, asked;
};

static bool play(void *context, const struct kb_job *job, struct kb_arena *arena,
                 struct kb_row *row) {
    struct script *s = context;
    (void)job, (void)arena;
    if (s->asked++ >= s->n)
        return false;
    *row = s->rows[s->asked - 1];
    return true;
}

static bool look_in(struct kb_arena *arena, struct script *script, struct kb_row *row) {
    struct kb_baseline baseline;
    const struct kb_options options = {.limits = {.slowdown = 0.03}};
    const struct kb_job job = {.case_id = "s/1/b"};
    const struct kb_again again = {play, script};
    struct kb_temp temp;
    struct kb_err err = {0};
    assert_true(kb_temp_make(&temp, &err));
    make_base(&baseline, kb_arena_printf(arena, "%s/base.json", temp.path));
    bool looked = kb_baseline_look(&baseline, &options, &device, &job, &again, arena, row);
    kb_baseline_free(&baseline);
    kb_temp_free(&temp);
    return looked;
}

static bool look(struct script *script, struct kb_row *row) {
    struct kb_arena arena = {0};
    bool looked = look_in(&arena, script, row);
    kb_arena_free(&arena);
    return looked;
}

static void a_time_within_the_limit_is_not_measured_again(void **state) {
    (void)state;
    struct script script = {.n = 0};
    struct kb_row row = row_of(1030);
    assert_false(look(&script, &row));
    assert_int_equal(script.asked, 0);
    assert_int_equal(row.times[KB_GRAPH].n_runs, 0);
}

static void a_slow_run_among_three_does_not_count(void **state) {
    (void)state;
    struct script script = {.rows = {row_of(1001), row_of(999)}, .n = 2};
    struct kb_row row = row_of(1100);
    assert_true(look(&script, &row));
    const struct kb_time *t = &row.times[KB_GRAPH];
    assert_int_equal(script.asked, 2);
    assert_int_equal(t->n_runs, 3);
    assert_true(t->median_ns == 1001);
    assert_true(t->runs_ns[0] == 1100 && t->runs_ns[1] == 1001 && t->runs_ns[2] == 999);
    assert_true(t->low_ns == 998 && t->high_ns == 1101 && t->min_ns == 997);
    assert_int_equal(t->n, 30);
    assert_int_equal(t->n_samples, 6);
    assert_true(fabs(t->ceiling - 900.0 / 1001) < 1e-12);
    assert_true(fabs(t->gb_per_s - 100 * 1100.0 / 1001) < 1e-9);
}

static void a_slowdown_that_stays_is_one(void **state) {
    (void)state;
    struct script script = {.rows = {row_of(1099), row_of(1098)}, .n = 2};
    struct kb_row row = row_of(1100);
    assert_true(look(&script, &row));
    assert_true(row.times[KB_GRAPH].median_ns == 1099);
}

static void one_that_is_wrong_the_second_time_is_wrong(void **state) {
    (void)state;
    struct script script = {.rows = {row_of(1000)}, .n = 1};
    struct kb_row row = row_of(1100);
    script.rows[0].reason = KB_R_MISMATCH;
    assert_true(look(&script, &row));
    assert_int_equal(row.reason, KB_R_MISMATCH);
}

static void one_that_crashes_the_second_time_is_no_right_one(void **state) {
    (void)state;
    struct script script = {.rows = {row_of(1000)}, .n = 1};
    struct kb_row row = row_of(1100);
    script.rows[0].reason = KB_R_CRASH;
    assert_true(look(&script, &row));
    assert_int_equal(row.reason, KB_R_CRASH);
}

static void a_disturbed_run_excuses_none_of_the_others(void **state) {
    (void)state;
    struct script script = {.rows = {row_of(1100), row_of(1101)}, .n = 2};
    struct kb_row row = row_of(1500);
    row.times[KB_GRAPH].quality = KB_Q_CONTENDED;
    assert_true(look(&script, &row));
    assert_int_equal(row.times[KB_GRAPH].quality, KB_Q_OK);
    struct script suspect = {.rows = {row_of(500), row_of(1101)}, .n = 2};
    suspect.rows[0].times[KB_GRAPH].quality = KB_Q_SUSPECT;
    row = row_of(1100);
    assert_true(look(&suspect, &row));
    assert_int_equal(row.times[KB_GRAPH].quality, KB_Q_SUSPECT);
}

static void what_was_seen_of_each_run_is_told_of_all(void **state) {
    (void)state;
    struct script script = {.rows = {row_of(1100), row_of(1101)}, .n = 2};
    struct kb_row row = row_of(1500);
    struct kb_time *t = &row.times[KB_GRAPH], *second = &script.rows[0].times[KB_GRAPH];
    struct kb_arena arena = {0};
    t->quality = KB_Q_THROTTLED;
    t->why = "clocks held back";
    t->stopped = "time";
    t->throttle = "power";
    t->n_taken = 10;
    t->throttled = 9;
    t->sm_mhz_min = t->sm_mhz_max = 1500;
    script.rows[1].times[KB_GRAPH].stopped = second->stopped = "precision";
    script.rows[1].times[KB_GRAPH].throttle = second->throttle = "";
    second->n_taken = 20;
    second->sm_mhz_min = 1400;
    second->sm_mhz_max = 1980;
    assert_true(look_in(&arena, &script, &row));
    assert_int_equal(t->quality, KB_Q_OK);
    assert_string_equal(t->why, "another of the 3 runs was throttled");
    assert_string_equal(t->stopped, "precision");
    assert_string_equal(t->throttle, "power");
    assert_int_equal(t->n_taken, 30);
    assert_int_equal(t->throttled, 9);
    assert_int_equal(t->sm_mhz_min, 1400);
    assert_int_equal(t->sm_mhz_max, 1980);
    /* where the disturbed ones are the median, that is what they are */
    script = (struct script){.rows = {row_of(1102), row_of(900)}, .n = 2};
    row = row_of(1100);
    t->quality = KB_Q_THROTTLED;
    t->why = "clocks held back";
    script.rows[0].times[KB_GRAPH].quality = KB_Q_CONTENDED;
    script.rows[0].times[KB_GRAPH].why = "who";
    assert_true(look_in(&arena, &script, &row));
    assert_int_equal(t->quality, KB_Q_THROTTLED);
    assert_string_equal(t->why, "clocks held back; another of the 3 runs was contended");
    kb_arena_free(&arena);
}

static void where_no_process_can_be_had_the_first_run_stays(void **state) {
    (void)state;
    struct script script = {.n = 0};
    struct kb_row row = row_of(1100);
    assert_true(look(&script, &row));
    assert_true(row.times[KB_GRAPH].median_ns == 1100);
    assert_int_equal(row.times[KB_GRAPH].n_runs, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_within_the_limit_is_not_measured_again),
        cmocka_unit_test(a_slow_run_among_three_does_not_count),
        cmocka_unit_test(a_slowdown_that_stays_is_one),
        cmocka_unit_test(one_that_is_wrong_the_second_time_is_wrong),
        cmocka_unit_test(one_that_crashes_the_second_time_is_no_right_one),
        cmocka_unit_test(a_disturbed_run_excuses_none_of_the_others),
        cmocka_unit_test(what_was_seen_of_each_run_is_told_of_all),
        cmocka_unit_test(where_no_process_can_be_had_the_first_run_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
