/* selftest_test.c - the probes of a selftest on a device that is made up: what is asked of
 * it, what is made of its answers, and what is kept for later. */
#include "noise_fixture.h"
#include "selftest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BLOCKS = 24 };

/* 1 us and 4000 bytes a ns, or 800 TFLOP/s; pairs with noise. */
struct device {
    const char *wrong;  /* cases with this in their id fail */
    int64_t most_bytes; /* of memory; 0: no limit */
    double slower;      /* of the second of a pair */
    int lost_at;        /* job from which on nothing can be run; 0: none */
    bool no_pairs;      /* they are not timed side by side */
    int64_t each;       /* blocks with the same instances, half a percent apart; 0: none */
    int jobs, told, pairs;
    uint64_t seeds; /* those of pairs, summed up */
};

static void time_row(const struct device *d, const struct kb_problem *p, unsigned methods,
                     struct kb_row *row) {
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        if (methods >> m & 1)
            row->times[m] = (struct kb_time){
                .there = m != KB_CUPTI,
                .median_ns =
                    p->flops ? (double)p->flops / 800e3 : 1000 + (double)p->bytes / 4000,
                .floor_ns = 400 + m,
                .timer_ns = 100,
                .quality = KB_Q_OK,
            };
    row->bytes = p->bytes;
    row->flops = p->flops;
    (void)d;
}

static void fill_row(const struct device *d, const struct kb_job *job,
                     struct kb_arena *arena, struct kb_row *row) {
    struct kb_case *c = kb_arena_alloc(arena, sizeof *c);
    struct kb_problem *p = kb_arena_alloc(arena, sizeof *p);
    struct kb_complaints complaints = {0};
    struct kb_err err = {0};

    *row = (struct kb_row){.case_id = job->case_id};
    if (!kb_case_parse(job->case_id, arena, c, &complaints) || !kb_case_resolve(c, p, &err))
        fail_msg("%s: %s%s", job->case_id, kb_buf_text(&complaints.text), err.msg);
    assert_int_equal(job->mode, KB_BENCH);
    if (d->wrong && strstr(job->case_id, d->wrong)) {
        row->reason = KB_R_MISMATCH;
        row->text = "elements past the bound";
    } else if (d->most_bytes && p->bytes > d->most_bytes) {
        row->reason = KB_R_MEMORY;
        row->text = "needs more";
    } else {
        time_row(d, p, job->methods, row);
    }
}

static bool run(void *context, const struct kb_job *jobs, int n, struct kb_arena *arena,
                struct kb_row *rows, struct kb_err *err) {
    struct device *d = context;
    double a[BLOCKS], b[BLOCKS];

    if (d->lost_at && ++d->jobs >= d->lost_at)
        return kb_fail(err, KB_DEVICE, "the device is lost");
    for (int i = 0; i < n; i++)
        fill_row(d, &jobs[i], arena, &rows[i]);
    if (n == 1)
        return true;
    assert_int_equal(n, 2);
    assert_string_not_equal(jobs[0].build, jobs[1].build);
    assert_int_equal(jobs[0].seed, jobs[1].seed);
    d->pairs++;
    d->seeds += jobs[0].seed;
    struct kb_against *against = kb_arena_alloc(arena, sizeof *against);
    struct kb_speed *speed = &against->speeds[KB_GRAPH];
    rows[1].against = against;
    if (rows[0].reason || d->no_pairs)
        return true;
    double slower = d->slower > 0 ? d->slower : 1;
    if (d->each)
        measure_instances(&quiet_noise, jobs[0].seed, slower, BLOCKS, d->each, 0.005, a, b);
    else
        measure(&noises[0], jobs[0].seed, slower, BLOCKS, a, b);
    kb_speed_paired(a, b, BLOCKS, jobs[0].seed, speed);
    speed->verdict = KB_IDENTICAL; /* as of equal code */
    against->detectable[KB_GRAPH] = 0.05;
    return true;
}

static void tell(void *context, const char *what) {
    struct device *d = context;
    d->told += *what != '\0';
}

static const struct kb_device_info info = {
    .backend = "cuda",
    .id = "0",
    .name = "Stub",
    .uuid = "GPU-1",
    .driver = "580.1",
    .limits = {.sm = 90, .sm_count = 132},
};

static bool test(struct device *d, struct kb_arena *arena, struct kb_selftest *out,
                 struct kb_err *err) {
    const struct kb_selftest_how how = {.run = run, .tell = tell, .context = d, .seed = 1};
    return kb_selftest_run(&how, &info, arena, out, err);
}

static void assert_near(double got, double want, double within) {
    if (!(fabs(got - want) <= within))
        fail_msg("got %.17g, wanted %.17g", got, want);
}

/* ---- tests ----------------------------------------------------------------------------
 */

static void every_number_is_the_probes(void **state) {
    struct device d = {0};
    struct kb_arena arena = {0};
    struct kb_selftest t;
    struct kb_err err = {0};
    (void)state;
    assert_true(test(&d, &arena, &t, &err));
    assert_int_equal(t.status, 0);
    assert_int_equal(t.notes.count, 0);
    assert_near(t.floors[KB_PDL].null_ns, 401, 1e-9);
    assert_near(t.floors[KB_PDL].timer_ns, 100, 1e-9);
    assert_true(isnan(t.floors[KB_CUPTI].null_ns)); /* it could not be had */
    for (int p = 0; p < KB_ST_PATTERNS; p++)
        for (int s = 0; s < KB_ST_SIZES; s++) {
            double bytes = kb_selftest_mib[s] * 1048576.0;
            assert_near(t.gb_per_s[p][s], bytes / (1000 + bytes / 4000), 5);
        }
    for (int i = 0; i < KB_ST_DTYPES; i++)
        assert_near(t.tflop_per_s[i], 800, 1e-6);
    kb_arena_free(&arena);
}

static void
kernels_are_as_long_as_is_wanted_and_pairs_have_seeds_of_their_own(void **state) {
    struct device d = {0};
    struct kb_arena arena = {0};
    struct kb_selftest t;
    struct kb_err err = {0};
    int pairs = 0;
    (void)state;
    assert_true(test(&d, &arena, &t, &err));
    for (int k = 0; k < KB_ST_KERNELS; k++) {
        int n = t.kernels[k].twins.pairs;
        pairs += n;
        d.seeds -= (uint64_t)(n * (n + 1) / 2); /* 1, 2, .. n */
        assert_near(t.kernels[k].median_ns, t.kernels[k].target_ns, 1300);
        assert_int_equal(t.kernels[k].twins.alarms, 0);
        assert_true(t.kernels[k].twins.smallest >= 0.05);
    }
    assert_int_equal(pairs, 100);
    assert_int_equal(d.pairs, 100);
    assert_int_equal(d.seeds, 0);
    assert_true(d.told >= 100);
    kb_arena_free(&arena);
}

/* The rows say IDENTICAL: what they would say of other code is what counts. */
static void a_difference_between_equal_builds_is_an_alarm(void **state) {
    struct device d = {.slower = 1.2};
    struct kb_arena arena = {0};
    struct kb_selftest t;
    struct kb_err err = {0};
    (void)state;
    assert_true(test(&d, &arena, &t, &err));
    for (int k = 0; k < KB_ST_KERNELS; k++)
        assert_int_equal(t.kernels[k].twins.alarms, t.kernels[k].twins.pairs);
    kb_arena_free(&arena);
}

static void instances_are_alarms_unless_each_block_has_its_own(void **state) {
    struct device one = {.each = BLOCKS}, own = {.each = 1};
    struct kb_arena arena = {0};
    struct kb_selftest t;
    struct kb_err err = {0};
    int alarms = 0, at_5 = 0, own_at_5 = 0;
    (void)state;
    assert_true(test(&one, &arena, &t, &err));
    for (int k = 0; k < KB_ST_KERNELS; k++) {
        alarms += t.kernels[k].twins.alarms;
        at_5 += t.kernels[k].twins.at_5;
        assert_true(t.kernels[k].twins.noise > 0.003);
    }
    assert_in_range(alarms, 5, 40); /* of 100 pairs */
    assert_true(at_5 > 70);
    assert_true(test(&own, &arena, &t, &err));
    for (int k = 0; k < KB_ST_KERNELS; k++) {
        assert_int_equal(t.kernels[k].twins.alarms, 0);
        own_at_5 += t.kernels[k].twins.at_5;
        assert_true(t.kernels[k].twins.smallest < 0.06);
    }
    assert_in_range(own_at_5, 0, 12);
    kb_arena_free(&arena);
}

static void a_wrong_probe_costs_its_number_and_the_status(void **state) {
    struct device d = {.wrong = "fp16"};
    struct kb_arena arena = {0};
    struct kb_selftest t;
    struct kb_ceilings c;
    struct kb_err err = {0};
    (void)state;
    assert_true(test(&d, &arena, &t, &err));
    assert_int_equal(t.status, 1);
    assert_true(isfinite(t.tflop_per_s[0]) && isnan(t.tflop_per_s[1]));
    assert_int_equal(t.notes.count, 1);
    assert_string_equal(t.notes.items[0],
                        "mma/132x1024/fp16: FAIL: elements past the bound");
    assert_false(kb_selftest_ceilings(&t, &c));
    kb_arena_free(&arena);
}

static void what_does_not_fit_is_left_out_and_the_rest_goes_by_what_does(void **state) {
    struct device d = {.most_bytes = 20 << 20};
    struct kb_arena arena = {0};
    struct kb_selftest t;
    struct kb_ceilings c;
    struct kb_err err = {0};
    (void)state;
    assert_true(test(&d, &arena, &t, &err));
    assert_int_equal(t.status, 0);
    assert_true(isfinite(t.gb_per_s[2][1]) && isnan(t.gb_per_s[2][2]));
    assert_int_equal(t.kernels[1].twins.pairs, 30);
    assert_int_equal(t.kernels[3].twins.pairs, 0); /* 150 us of it are too much */
    assert_true(isnan(t.kernels[3].median_ns));
    assert_true(kb_selftest_ceilings(&t, &c));
    for (int p = 0; p < KB_ST_PATTERNS; p++)
        assert_near(c.gb_per_s[p], t.gb_per_s[p][1], 1e-9);
    kb_arena_free(&arena);
}

static void nothing_streams_then_only_the_shortest_is_paired(void **state) {
    struct device d = {.wrong = "stream/"};
    struct kb_arena arena = {0};
    struct kb_selftest t;
    struct kb_ceilings c;
    struct kb_err err = {0};
    (void)state;
    assert_true(test(&d, &arena, &t, &err));
    assert_int_equal(d.pairs, 1); /* and it is not tried 40 times */
    assert_null(t.kernels[1].case_id);
    assert_true(isnan(t.kernels[0].twins.noise));
    assert_false(kb_selftest_ceilings(&t, &c));
    kb_arena_free(&arena);
}

static void pairs_that_are_not_side_by_side_are_none(void **state) {
    struct device d = {.no_pairs = true};
    struct kb_arena arena = {0};
    struct kb_selftest t;
    struct kb_err err = {0};
    (void)state;
    assert_true(test(&d, &arena, &t, &err));
    assert_int_equal(d.pairs, KB_ST_KERNELS);
    assert_int_equal(t.kernels[0].twins.pairs, 0);
    kb_arena_free(&arena);
}

static void a_lost_device_ends_it(void **state) {
    (void)state;
    for (int at = 1; at < 40; at += 19) {
        struct device d = {.lost_at = at};
        struct kb_arena arena = {0};
        struct kb_selftest t;
        struct kb_err err = {0};
        assert_false(test(&d, &arena, &t, &err));
        assert_string_equal(err.msg, "the device is lost");
        assert_int_equal(d.jobs, at);
        kb_arena_free(&arena);
    }
}

/* ---- what is kept ---------------------------------------------------------------------
 */

static const struct kb_ceilings ceilings = {
    "2026-11-26", {4284.25, 4360, 4420, 4510.5, NAN}, {790.5, 781, NAN}};

static int in_a_folder(void **state) {
    static struct kb_temp temp;
    struct kb_err err = {0};
    assert_true(kb_temp_make(&temp, &err));
    assert_int_equal(setenv("KBENCH_CACHE", temp.path, 1), 0);
    *state = &temp;
    return 0;
}

static int gone(void **state) {
    kb_temp_free(*state);
    return unsetenv("KBENCH_CACHE");
}

static void ceilings_come_back_for_the_same_gpu_driver_and_clocks_alone(void **state) {
    struct kb_device_info other[4] = {info, info, info, info};
    struct kb_ceilings c;
    struct kb_buf note = {0};
    (void)state;
    assert_false(kb_ceilings_find(&info, &c));
    assert_true(kb_ceilings_keep(&info, &ceilings, &note));
    assert_int_equal(note.len, 0);
    assert_true(kb_ceilings_find(&info, &c));
    assert_string_equal(c.date, "2026-11-26");
    assert_near(c.gb_per_s[0], 4284.25, 0);
    assert_near(c.gb_per_s[3], 4510.5, 0);
    assert_true(isnan(c.gb_per_s[4]));
    assert_near(c.mma_tflop_per_s[0], 790.5, 0);
    assert_true(isnan(c.mma_tflop_per_s[2]));
    kb_text_copy(other[0].uuid, sizeof other[0].uuid, "GPU-2");
    kb_text_copy(other[1].driver, sizeof other[1].driver, "580.2");
    other[2].clocks_locked = true;
    kb_text_copy(other[3].uuid, sizeof other[3].uuid, "");
    for (int i = 0; i < 4; i++)
        assert_false(kb_ceilings_find(&other[i], &c));
    assert_false(kb_ceilings_keep(&other[3], &ceilings, &note));
    kb_buf_free(&note);
}

static void later_ones_take_the_place_of_earlier_ones(void **state) {
    struct kb_ceilings later = ceilings, c;
    struct kb_buf note = {0};
    (void)state;
    later.gb_per_s[0] = 4000;
    assert_true(kb_ceilings_keep(&info, &ceilings, &note));
    assert_true(kb_ceilings_keep(&info, &later, &note));
    assert_true(kb_ceilings_find(&info, &c));
    assert_near(c.gb_per_s[0], 4000, 0);
    kb_buf_free(&note);
}

static void damaged_ones_are_none(void **state) {
    const struct kb_temp *temp = *state;
    struct kb_arena arena = {0};
    struct kb_strings names = {0};
    struct kb_ceilings c;
    struct kb_buf note = {0}, text = {0}, path = {0};
    struct kb_err err = {0};
    assert_true(kb_ceilings_keep(&info, &ceilings, &note));
    assert_true(kb_folder_list(temp->path, ".bin", &arena, &names, &err));
    assert_int_equal(names.count, 1);
    kb_buf_printf(&path, "%s/%s", temp->path, names.items[0]);
    assert_true(kb_file_read(path.data, 1 << 20, &text, &err));
    text.data[text.len - 5] ^= 1;
    assert_true(kb_file_replace(path.data, text.data, text.len, &err));
    assert_false(kb_ceilings_find(&info, &c));
    kb_buf_free(&note);
    kb_buf_free(&text);
    kb_buf_free(&path);
    kb_arena_free(&arena);
}

static void what_cannot_be_written_is_said(void **state) {
    struct kb_buf note = {0};
    struct kb_ceilings c;
    (void)state;
    assert_int_equal(setenv("KBENCH_CACHE", "/proc/kbench", 1), 0);
    assert_false(kb_ceilings_keep(&info, &ceilings, &note));
    assert_non_null(strstr(kb_buf_text(&note), "/proc/kbench"));
    assert_false(kb_ceilings_find(&info, &c));
    kb_buf_free(&note);
}

/* An entry that is whole and says something else, as a later version might. */
static void dates_that_are_none_are_not_shown(void **state) {
    static const char *const dates[] = {"", "2026-11-2", "2026-11-26\x1b", "2026-11-260"};
    struct kb_buf note = {0};
    (void)state;
    for (size_t i = 0; i < KB_COUNT(dates); i++) {
        struct kb_ceilings bad = ceilings, c;
        kb_text_copy(bad.date, sizeof bad.date, dates[i]);
        assert_true(kb_ceilings_keep(&info, &bad, &note));
        assert_false(kb_ceilings_find(&info, &c));
    }
    kb_buf_free(&note);
}

int main(void) {
#define KEPT(name) cmocka_unit_test_setup_teardown(name, in_a_folder, gone)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_is_the_probes),
        cmocka_unit_test(
            kernels_are_as_long_as_is_wanted_and_pairs_have_seeds_of_their_own),
        cmocka_unit_test(a_difference_between_equal_builds_is_an_alarm),
        cmocka_unit_test(instances_are_alarms_unless_each_block_has_its_own),
        cmocka_unit_test(a_wrong_probe_costs_its_number_and_the_status),
        cmocka_unit_test(what_does_not_fit_is_left_out_and_the_rest_goes_by_what_does),
        cmocka_unit_test(nothing_streams_then_only_the_shortest_is_paired),
        cmocka_unit_test(pairs_that_are_not_side_by_side_are_none),
        cmocka_unit_test(a_lost_device_ends_it),
        KEPT(ceilings_come_back_for_the_same_gpu_driver_and_clocks_alone),
        KEPT(later_ones_take_the_place_of_earlier_ones),
        KEPT(damaged_ones_are_none),
        KEPT(what_cannot_be_written_is_said),
        KEPT(dates_that_are_none_are_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
