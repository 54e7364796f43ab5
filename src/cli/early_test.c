/* early_test.c - rows that are run as jobs are told of. */
#include "cli/early.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { JOBS = 8, DEVICES = 2 };

/* A run that says of each job that it was run, and refuses one. */
struct fixture {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int ran[JOBS], n_ran, refused;
    struct kb_early *early;
};

static bool run(void *context, int job, struct kb_arena *arenas, struct kb_row *rows) {
    struct fixture *f = context;
    for (int i = 0; i < DEVICES; i++)
        rows[i] = (struct kb_row){.case_id =
                                      kb_arena_printf(&arenas[i], "case %d on %d", job, i)};
    pthread_mutex_lock(&f->lock);
    f->ran[f->n_ran++] = job;
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
    return job != f->refused;
}

static void await_run(struct fixture *f, int n) {
    pthread_mutex_lock(&f->lock);
    while (f->n_ran < n)
        pthread_cond_wait(&f->changed, &f->lock);
    pthread_mutex_unlock(&f->lock);
}

static void tell(struct fixture *f, const int *jobs, int n) {
    for (int i = 0; i < n; i++)
        kb_early_tell(f->early, jobs[i]);
}

static void jobs_are_run_in_the_order_in_which_they_are_told_of(void **state) {
    static const int jobs[] = {5, 0, 7};
    struct fixture *f = *state;
    struct kb_row rows[DEVICES];
    tell(f, jobs, 3);
    await_run(f, 3);
    kb_early_end(f->early);
    assert_memory_equal(f->ran, jobs, sizeof jobs);
    assert_true(kb_early_take(f->early, 7, rows));
    assert_string_equal(rows[0].case_id, "case 7 on 0");
    assert_string_equal(rows[1].case_id, "case 7 on 1");
    assert_true(kb_early_take(f->early, 0, rows));
    assert_string_equal(rows[1].case_id, "case 0 on 1");
    assert_false(kb_early_take(f->early, 1, rows));
}

static void nothing_is_run_behind_the_end_or_a_run_that_refuses(void **state) {
    static const int jobs[] = {1, 2, 3, 4};
    struct fixture *f = *state;
    struct kb_row rows[DEVICES];
    f->refused = 2;
    tell(f, jobs, 3);
    await_run(f, 2);
    kb_early_end(f->early);
    tell(f, &jobs[3], 1);
    assert_int_equal(f->n_ran, 2);
    assert_true(kb_early_take(f->early, 1, rows));
    for (int job = 2; job <= 4; job++)
        assert_false(kb_early_take(f->early, job, rows));
}

static void it_ends_where_nothing_was_told_of(void **state) {
    struct fixture *f = *state;
    struct kb_row rows[DEVICES];
    kb_early_end(f->early);
    assert_int_equal(f->n_ran, 0);
    assert_false(kb_early_take(f->early, 0, rows));
}

static int set_up(void **state) {
    struct fixture *f = test_calloc(1, sizeof *f);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    f->refused = -1;
    f->early = kb_early_open(run, f, JOBS, DEVICES);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    kb_early_close(f->early);
    test_free(f);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(jobs_are_run_in_the_order_in_which_they_are_told_of,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_run_behind_the_end_or_a_run_that_refuses,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_ends_where_nothing_was_told_of, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
