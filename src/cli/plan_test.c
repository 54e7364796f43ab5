/* plan_test.c - a command line into jobs, and which of them stand side by side. */
#include "cli/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { MOST_WORDS = 32 };

struct planned {
    struct kb_arena arena;
    struct kb_options options;
    struct kb_run_plan plan;
    struct kb_complaints c;
};

/* Words by blanks. */
static void plan_of(struct planned *p, const char *line) {
    char *argv[MOST_WORDS + 1] = {NULL};
    struct kb_strings words = {0};
    int argc = 0;
    *p = (struct planned){0};
    kb_split(&p->arena, line, ' ', &words);
    for (size_t i = 0; i < words.count && argc < MOST_WORDS; i++)
        argv[argc++] = kb_arena_strdup(&p->arena, words.items[i]);
    kb_options_parse(argc, argv, &p->arena, &p->options, &p->c);
    kb_run_plan_make(&p->options, &p->plan, &p->c);
}

static void close_plan(struct planned *p) {
    kb_run_plan_free(&p->plan);
    kb_complaints_free(&p->c);
    kb_arena_free(&p->arena);
}

static void a_case_has_its_variants_and_builds_in_the_order_asked_for(void **state) {
    static const char *const wanted[][3] = {
        {"silu/7x16/bf16", "vec16", "precise"},  {"silu/7x16/bf16", "vec16", "fast-math"},
        {"silu/7x16/bf16", "scalar", "precise"}, {"silu/7x16/bf16", "scalar", "fast-math"},
        {"silu/3x34/bf16", "vec16", "precise"},  {"silu/3x34/bf16", "vec16", "fast-math"},
        {"silu/3x34/bf16", "scalar", "precise"}, {"silu/3x34/bf16", "scalar", "fast-math"},
    };
    struct planned p;
    struct kb_job jobs[KB_COUNT(wanted)], more;
    (void)state;
    plan_of(&p, "kbench --op silu --shape 7x16,3x34 --variant vec16,scalar --build "
                "precise,fast-math");
    assert_int_equal(p.c.count, 0);
    assert_int_equal(p.plan.jobs, 8);
    assert_int_equal(p.plan.group, 4);
    assert_string_equal(p.plan.dtype, "bf16");
    for (int i = 0; i < 8; i++) {
        assert_int_equal(kb_run_plan_is_between(&p.plan), i % 4 == 0);
        assert_true(kb_run_plan_next(&p.plan, &p.arena, &jobs[i]));
        assert_string_equal(jobs[i].case_id, wanted[i][0]);
        assert_string_equal(jobs[i].variant, wanted[i][1]);
        assert_string_equal(jobs[i].build, wanted[i][2]);
    }
    assert_false(kb_run_plan_next(&p.plan, &p.arena, &more));
    assert_int_equal(kb_jobs_of_case(jobs, 8), 4);
    assert_int_equal(kb_jobs_of_case(jobs, 3), 3);
    assert_int_equal(kb_jobs_of_case(jobs + 6, 2), 2);
    close_plan(&p);
}

static void how_to_time_goes_with_each_job(void **state) {
    struct planned p;
    struct kb_job job;
    (void)state;
    plan_of(&p, "kbench --op silu --shape 7x16,3x34 --precision 2% --max-time 300ms "
                "--sets 5 --duty 50%");
    assert_int_equal(p.c.count, 0);
    for (int i = 0; i < 2; i++) {
        assert_true(kb_run_plan_next(&p.plan, &p.arena, &job));
        assert_true(job.precision == 0.02 && job.max_time_s == 0.3);
        assert_true(job.sets == 5 && job.duty == 0.5);
    }
    close_plan(&p);
}

static void a_case_that_is_there_twice_is_not_beside_itself(void **state) {
    const struct kb_job jobs[] = {
        {.case_id = "silu/7x16/bf16", .build = "precise"},
        {.case_id = "silu/7x16/bf16", .build = "fast-math"},
        {.case_id = "silu/7x16/bf16", .build = "precise"},
        {.case_id = "silu/7x16/bf16", .build = "fast-math"},
    };
    (void)state;
    assert_int_equal(kb_jobs_of_case(jobs, 4), 2);
}

static void dtypes_that_differ_are_shown_in_ids(void **state) {
    struct planned p;
    (void)state;
    plan_of(&p, "kbench --op silu --shape 7x16 --dtype bf16,fp32");
    assert_null(p.plan.dtype);
    assert_int_equal(p.plan.group, 1);
    close_plan(&p);
}

static void more_than_are_compared_at_once_are_complained_of(void **state) {
    struct planned p;
    struct kb_buf line = {0};
    (void)state;
    kb_buf_puts(&line, "kbench --op silu --shape 7x16 --variant vec16,scalar,tiny --build "
                       "precise");
    for (int i = 0; i < 30; i++)
        kb_buf_printf(&line, ",b%d=-DX=%d", i, i);
    plan_of(&p, line.data);
    assert_int_equal(p.c.count, 1);
    assert_non_null(strstr(p.c.text.data, "93 builds and variants of a case, at most 64"));
    close_plan(&p);
    kb_buf_free(&line);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_case_has_its_variants_and_builds_in_the_order_asked_for),
        cmocka_unit_test(how_to_time_goes_with_each_job),
        cmocka_unit_test(a_case_that_is_there_twice_is_not_beside_itself),
        cmocka_unit_test(dtypes_that_differ_are_shown_in_ids),
        cmocka_unit_test(more_than_are_compared_at_once_are_complained_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
