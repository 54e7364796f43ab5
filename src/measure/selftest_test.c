/* selftest_test.c - the probes of a selftest on a device that is made up: what is asked of
 * it, and what is made of its answers. */
#include "noise_fixture.h"
#include "selftest.h"

#include <setjmp.h>
#include <stdarg.h>
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

struct fixture {
    struct device d;
    struct kb_arena arena;
    struct kb_selftest t;
    struct kb_err err;
};

static int setup(void **state) {
    *state = test_calloc(1, sizeof(struct fixture));
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    kb_arena_free(&f->arena);
    test_free(f);
    return 0;
}

static bool test(struct fixture *f) {
    const struct kb_selftest_how how = {
        .run = run, .tell = tell, .context = &f->d, .seed = 1};
    return kb_selftest_run(&how, &info, &f->arena, &f->t, &f->err);
}

static void assert_near(double got, double want, double within) {
    if (!(fabs(got - want) <= within))
        fail_msg("got %.17g, wanted %.17g", got, want);
}

/* ---- tests ----------------------------------------------------------------------------
 */

static void every_number_is_the_probes(void **state) {
    /* Of what is read; 4096 bytes of it come to one element. */
    static const double moved[] = {2, 1.5, 1.25, 1 + 2 / 4096.0, 1};
    struct fixture *f = *state;
    assert_true(test(f));
    assert_int_equal(f->t.status, 0);
    assert_int_equal(f->t.notes.count, 0);
    assert_near(f->t.floors[KB_PDL].null_ns, 401, 1e-9);
    assert_near(f->t.floors[KB_PDL].timer_ns, 100, 1e-9);
    assert_true(isnan(f->t.floors[KB_CUPTI].null_ns)); /* it could not be had */
    for (int g = 0; g < KB_ST_GRIDS; g++) {
        assert_int_equal(f->t.grids[g].blocks, g ? 1056 : 132);
        assert_near(f->t.grids[g].ns[KB_GRAPH], 1000, 1e-9);
        assert_true(isnan(f->t.grids[g].ns[KB_CUPTI]));
    }
    for (int p = 0; p < KB_ST_PATTERNS; p++)
        for (int s = 0; s < KB_ST_SIZES; s++) {
            double bytes = kb_selftest_mib[s] * 1048576.0 * moved[p];
            assert_near(f->t.gb_per_s[p][s], bytes / (1000 + bytes / 4000), 5);
        }
    for (int i = 0; i < KB_ST_DTYPES; i++)
        assert_near(f->t.tflop_per_s[i], 800, 1e-6);
}

static void
kernels_are_as_long_as_is_wanted_and_pairs_have_seeds_of_their_own(void **state) {
    struct fixture *f = *state;
    int pairs = 0;
    assert_true(test(f));
    for (int k = 0; k < KB_ST_KERNELS; k++) {
        int n = f->t.kernels[k].twins.pairs;
        pairs += n;
        f->d.seeds -= (uint64_t)(n * (n + 1) / 2); /* 1, 2, .. n */
        assert_near(f->t.kernels[k].median_ns, f->t.kernels[k].target_ns, 1300);
        assert_int_equal(f->t.kernels[k].twins.alarms, 0);
        assert_true(f->t.kernels[k].twins.smallest >= 0.05);
    }
    assert_int_equal(pairs, 100);
    assert_int_equal(f->d.pairs, 100);
    assert_int_equal(f->d.seeds, 0);
    assert_true(f->d.told >= 100);
}

/* The rows say IDENTICAL: what they would say of other code is what counts. */
static void a_difference_between_equal_builds_is_an_alarm(void **state) {
    struct fixture *f = *state;
    f->d.slower = 1.2;
    assert_true(test(f));
    for (int k = 0; k < KB_ST_KERNELS; k++)
        assert_int_equal(f->t.kernels[k].twins.alarms, f->t.kernels[k].twins.pairs);
}

static void instances_are_alarms_unless_each_block_has_its_own(void **state) {
    struct fixture *f = *state;
    int alarms = 0, at_5 = 0, own_at_5 = 0;
    f->d.each = BLOCKS;
    assert_true(test(f));
    for (int k = 0; k < KB_ST_KERNELS; k++) {
        alarms += f->t.kernels[k].twins.alarms;
        at_5 += f->t.kernels[k].twins.at_5;
        assert_true(f->t.kernels[k].twins.noise > 0.003);
    }
    assert_in_range(alarms, 5, 40); /* of 100 pairs */
    assert_true(at_5 > 70);
    f->d.each = 1;
    assert_true(test(f));
    for (int k = 0; k < KB_ST_KERNELS; k++) {
        assert_int_equal(f->t.kernels[k].twins.alarms, 0);
        own_at_5 += f->t.kernels[k].twins.at_5;
        assert_true(f->t.kernels[k].twins.smallest < 0.06);
    }
    assert_in_range(own_at_5, 0, 12);
}

static void a_wrong_probe_costs_its_number_and_the_status(void **state) {
    struct fixture *f = *state;
    struct kb_ceilings c;
    f->d.wrong = "fp16";
    assert_true(test(f));
    assert_int_equal(f->t.status, 1);
    assert_true(isfinite(f->t.tflop_per_s[0]) && isnan(f->t.tflop_per_s[1]));
    assert_int_equal(f->t.notes.count, 1);
    assert_string_equal(f->t.notes.items[0],
                        "mma/132x1024/fp16: FAIL: elements past the bound");
    assert_false(kb_selftest_ceilings(&f->t, &c));
}

static void what_does_not_fit_is_left_out_and_the_rest_goes_by_what_does(void **state) {
    struct fixture *f = *state;
    struct kb_ceilings c;
    f->d.most_bytes = 32 << 20; /* a copy of 16 MiB */
    assert_true(test(f));
    assert_int_equal(f->t.status, 0);
    assert_true(isfinite(f->t.gb_per_s[2][1]) && isnan(f->t.gb_per_s[2][2]));
    assert_int_equal(f->t.kernels[1].twins.pairs, 30);
    assert_int_equal(f->t.kernels[3].twins.pairs, 0); /* 150 us of it are too much */
    assert_true(isnan(f->t.kernels[3].median_ns));
    assert_true(kb_selftest_ceilings(&f->t, &c));
    for (int p = 0; p < KB_ST_PATTERNS; p++)
        assert_near(c.gb_per_s[p], f->t.gb_per_s[p][1], 1e-9);
}

static void nothing_streams_then_only_the_shortest_is_paired(void **state) {
    struct fixture *f = *state;
    struct kb_ceilings c;
    f->d.wrong = "stream/";
    assert_true(test(f));
    assert_int_equal(f->d.pairs, 1); /* and it is not tried 40 times */
    assert_null(f->t.kernels[1].case_id);
    assert_true(isnan(f->t.kernels[0].twins.noise));
    assert_false(kb_selftest_ceilings(&f->t, &c));
}

static void pairs_that_are_not_side_by_side_are_none(void **state) {
    struct fixture *f = *state;
    f->d.no_pairs = true;
    assert_true(test(f));
    assert_int_equal(f->d.pairs, KB_ST_KERNELS);
    assert_int_equal(f->t.kernels[0].twins.pairs, 0);
}

static void a_lost_device_ends_it(void **state) {
    struct fixture *f = *state;
    for (int at = 1; at < 40; at += 19) {
        f->d = (struct device){.lost_at = at};
        assert_false(test(f));
        assert_string_equal(f->err.msg, "the device is lost");
        assert_int_equal(f->d.jobs, at);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_number_is_the_probes),
        TEST(kernels_are_as_long_as_is_wanted_and_pairs_have_seeds_of_their_own),
        TEST(a_difference_between_equal_builds_is_an_alarm),
        TEST(instances_are_alarms_unless_each_block_has_its_own),
        TEST(a_wrong_probe_costs_its_number_and_the_status),
        TEST(what_does_not_fit_is_left_out_and_the_rest_goes_by_what_does),
        TEST(nothing_streams_then_only_the_shortest_is_paired),
        TEST(pairs_that_are_not_side_by_side_are_none),
        TEST(a_lost_device_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
