/* again_test.c - what only a second run shows, what a lower layer's error makes of a case,
 * on a device that does what a script says. */
#include "script_fixture.h"

/* ---- unwritten, order -------------------------------------------------------------- */

static void poison_is_no_nan_where_nan_is_wanted(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .skips_nan = true};
    static const char *const ids[] = {"silu/64x2048/bf16/fill=nan",
                                      "silu/64x2048/fp16/fill=nan",
                                      "silu/64x2048/fp32/fill=nan"};
    for (size_t i = 0; i < KB_COUNT(ids); i++) {
        struct fake f;
        check_script(&f, &script, ids[i]);
        assert_reason(&f, KB_R_UNWRITTEN, "they hold whatever was there before the launch");
        assert_int_equal(f.row.outputs[0].over, 0); /* by itself the first run is right */
        assert_true(f.row.unwritten > 100);
        fake_free(&f);
    }
}

static bool skips_three(int run, int64_t i) {
    (void)run;
    return i >= 5 && i < 8;
}

static void poison_elsewhere_is_found_by_the_first_run(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .skips = skips_three};
    struct fake f;
    check_script(&f, &script, "silu/83x64/fp32");
    assert_reason(&f, KB_R_UNWRITTEN, "3 of 2656 elements were never written: the poison");
    assert_int_equal(f.row.unwritten, 3);
    assert_int_equal(f.device.runs, 2); /* the second confirms it */
    fake_free(&f);
}

static bool skips_all(int run, int64_t i) {
    (void)run, (void)i;
    return true;
}

static void where_nothing_was_written_no_rest_is_called_right(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .skips = skips_all};
    struct fake f;
    check_script(&f, &script, "silu/83x64/fp32");
    assert_int_equal(f.row.reason, KB_R_UNWRITTEN);
    assert_string_equal(f.row.text, "out: 2656 of 2656 elements were never written: the "
                                    "poison is still in them");
    fake_free(&f);
}

static bool spoils_later(int run, int64_t i) {
    return run > 0 && (i == 7 || i == 9);
}

static void other_bits_from_a_second_launch_are_found(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .spoils = spoils_later};
    struct fake f;
    check_script(&f, &script, "silu/83x64/fp32");
    assert_reason(&f, KB_R_ORDER,
                  "out: other bits in 2 of 2656 elements when launched again");
    assert_int_equal(f.row.outputs[0].over, 0);
    assert_int_equal(f.row.unwritten, 0);
    fake_free(&f);
}

/* ---- a sample of rows -------------------------------------------------------------- */

enum { SAMPLE = 5, LENGTH = 32 };

static bool is_sampled(int64_t i) {
    struct kb_arena arena = {0};
    struct kb_complaints complaints = {0};
    struct kb_case c;
    struct kb_problem p;
    struct kb_sampled rows;
    struct kb_err err = {0};
    bool found = false;
    assert_true(kb_case_parse("silu/83x64/fp32", &arena, &c, &complaints));
    assert_true(kb_case_resolve(&c, &p, &err));
    assert_true(kb_sampled_make(&p, 1, SAMPLE, 1, &arena, &rows));
    for (int64_t k = 0; k < rows.n; k++)
        found |= rows.items[k] == i / LENGTH;
    kb_arena_free(&arena);
    return found;
}

/* A row that the sample has not. */
enum { ELSEWHERE = 3 * LENGTH };

static bool spoils_it(int run, int64_t i) {
    (void)run;
    return i == ELSEWHERE;
}

static bool spoils_it_later(int run, int64_t i) {
    return run > 0 && i == ELSEWHERE;
}

static void check_sample(struct fake *f, const struct fake_script *script) {
    fake_open(f, script);
    f->job.case_id = "silu/83x64/fp32";
    f->job.mode = KB_CHECK;
    f->job.sample_rows = SAMPLE;
    assert_true(fake_go(f));
    if (f->row.checked)
        assert_int_equal(f->row.outputs[0].checked, SAMPLE * LENGTH);
    assert_int_equal(f->row.sample_rows, SAMPLE);
    assert_non_null(strstr(f->row.repeat, " --sample 5"));
}

/* Bit 0 is no error by the bound, but is other bits. */
static void a_row_that_is_not_sampled_is_compared_between_runs_alone(void **state) {
    (void)state;
    const struct fake_script always = {.ns = constant, .skips = spoils_it},
                             later = {.ns = constant, .spoils = spoils_it_later},
                             same = {.ns = constant, .spoils = spoils_it};
    struct fake f;
    assert_false(is_sampled(ELSEWHERE));
    check_sample(&f, &same);
    assert_reason(&f, KB_R_NONE, NULL);
    fake_free(&f);
    check_sample(&f, &later);
    assert_reason(&f, KB_R_ORDER, "other bits in 1 of 2656 elements when launched again");
    fake_free(&f);
    check_sample(&f, &always);
    assert_reason(&f, KB_R_UNWRITTEN, "1 of 2656 elements were never written");
    assert_int_equal(f.row.outputs[0].unwritten, 0);
    assert_int_equal(f.row.unwritten, 1);
    fake_free(&f);
}

static bool skips_last_row(int run, int64_t i) {
    (void)run;
    return i == 82 * LENGTH;
}

static void a_sampled_row_is_judged(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .skips = skips_last_row};
    struct fake f;
    check_sample(&f, &script);
    assert_reason(&f, KB_R_UNWRITTEN,
                  "1 of 160 checked elements were never written: the poison");
    fake_free(&f);
}

/* ---- elements that must stay as they are ------------------------------------------- */

static void rows_that_are_skipped_and_halves_that_stay_pass(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant};
    static const char *const ids[] = {
        "silu/83x64/bf16/filter=ids", "silu/83x64/fp32/filter=sorted",
        "silu/83x64/bf16/inplace=yes", "silu/83x64/fp16/filter=ids/inplace=yes"};
    for (size_t i = 0; i < KB_COUNT(ids); i++) {
        struct fake f;
        check_script(&f, &script, ids[i]);
        assert_reason(&f, KB_R_NONE, NULL);
        assert_int_equal(f.row.orders, 2);
        assert_int_equal(f.row.unwritten, 0);
        fake_free(&f);
    }
}

static bool spoils_all(int run, int64_t i) {
    (void)run, (void)i;
    return true;
}

static void what_must_stay_and_was_written_to_fails(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .spoils = spoils_all};
    static const char *const ids[] = {"silu/83x64/fp32/filter=ids/skip=1",
                                      "silu/83x64/bf16/filter=ids/skip=1"};
    for (size_t i = 0; i < KB_COUNT(ids); i++) {
        struct fake f;
        check_script(&f, &script, ids[i]);
        assert_int_equal(kb_reason_verdict(f.row.reason), KB_FAIL);
        assert_int_equal(f.row.outputs[0].over, 83 * 32);
        fake_free(&f);
    }
}

static void timed_output_of_a_case_with_rows_that_stay_is_right(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant};
    struct fake f;
    fake_open(&f, &script);
    f.job.case_id = "silu/83x64/bf16/filter=ids";
    assert_true(fake_go(&f));
    assert_reason(&f, KB_R_NONE, NULL);
    assert_true(f.row.times[KB_GRAPH].there);
    fake_free(&f);
}

/* ---- errors ------------------------------------------------------------------------ */

static void errors_of_a_run_have_their_reasons(void **state) {
    (void)state;
    const struct {
        enum kb_err_kind kind;
        enum kb_reason reason;
        bool dead;
    } cases[] = {
        {KB_UNSUPPORTED, KB_R_VARIANT, false},
        {KB_INPUT, KB_R_CONTRACT, false},
        {KB_BUILD, KB_R_COMPILE, false},
        {KB_DEVICE, KB_R_LAUNCH, true},
        {KB_CRASH, KB_R_CRASH, false},
        {KB_TIMEOUT, KB_R_TIMEOUT, false},
        {KB_IO, KB_R_IO, false},
        {KB_MEMORY, KB_R_MEMORY, false},
    };
    for (size_t i = 0; i < KB_COUNT(cases); i++) {
        const struct fake_script script = {.ns = constant, .run_err = cases[i].kind};
        struct fake f;
        check_script(&f, &script, "silu/83x64/bf16");
        assert_reason(&f, cases[i].reason, "the fake run fails");
        assert_int_equal(f.session.dead, cases[i].dead);
        assert_true(f.row.built && !f.row.checked);
        fake_free(&f);
    }
}

static void would_have_to_compile_is_told_from_what_does_not(void **state) {
    (void)state;
    struct kb_err err = {0};
    kb_fail(&err, KB_BUILD, "ceiling: would have to compile, and is told not to: 12");
    assert_int_equal(kb_reason_of(&err, KB_R_VARIANT, true), KB_R_NO_COMPILE);
    /* A compiler's log may hold the words. */
    assert_int_equal(kb_reason_of(&err, KB_R_VARIANT, false), KB_R_COMPILE);
    err = (struct kb_err){0};
    kb_fail(&err, KB_BUILD, "mine.cu:7: error");
    assert_int_equal(kb_reason_of(&err, KB_R_VARIANT, true), KB_R_COMPILE);
}

static void what_the_cache_said_is_the_warning_of_one_case(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant, .note = "a damaged entry"};
    struct fake f;
    check_script(&f, &script, "silu/83x64/bf16");
    assert_string_equal(f.row.warning, "a damaged entry");
    assert_true(fake_go(&f));
    assert_null(f.row.warning);
    fake_free(&f);
}

static void a_case_does_not_grow_the_session(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant};
    struct fake f;
    fake_open(&f, &script);
    for (int i = 0; i < 3; i++) {
        assert_true(fake_go(&f));
        kb_arena_reset(&f.arena);
    }
    const struct kb_arena_block *head = f.session.arena.head;
    char *end = kb_arena_alloc(&f.session.arena, 1);
    for (int i = 0; i < 5; i++) {
        assert_true(fake_go(&f));
        kb_arena_reset(&f.arena);
    }
    assert_ptr_equal(f.session.arena.head, head);
    assert_true((char *)kb_arena_alloc(&f.session.arena, 1) - end < 64);
    fake_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(poison_is_no_nan_where_nan_is_wanted),
        cmocka_unit_test(poison_elsewhere_is_found_by_the_first_run),
        cmocka_unit_test(where_nothing_was_written_no_rest_is_called_right),
        cmocka_unit_test(other_bits_from_a_second_launch_are_found),
        cmocka_unit_test(a_row_that_is_not_sampled_is_compared_between_runs_alone),
        cmocka_unit_test(a_sampled_row_is_judged),
        cmocka_unit_test(rows_that_are_skipped_and_halves_that_stay_pass),
        cmocka_unit_test(what_must_stay_and_was_written_to_fails),
        cmocka_unit_test(timed_output_of_a_case_with_rows_that_stay_is_right),
        cmocka_unit_test(errors_of_a_run_have_their_reasons),
        cmocka_unit_test(would_have_to_compile_is_told_from_what_does_not),
        cmocka_unit_test(what_the_cache_said_is_the_warning_of_one_case),
        cmocka_unit_test(a_case_does_not_grow_the_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
