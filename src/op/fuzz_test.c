/* fuzz_test.c - random cases are legal, small, different, the same for the same seed, and
 * have the sizes at which kernels go wrong. */
#include "op/group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct room {
    struct kb_arena arena;
    struct kb_query query;
    struct kb_complaints complaints;
    struct kb_suite *suite;
};

static void add(struct room *r, struct kb_strings *list, const char *text) {
    if (text)
        kb_strings_add(list, &r->arena, text);
}

/* Random cases around one. */
static void open_room(struct room *r, const char *op, const char *shape, const char *set,
                      const char *fill, int64_t n, uint64_t seed) {
    *r = (struct room){.query = {.fuzz = n, .fuzz_seed = seed}};
    kb_split(&r->arena, op, ',', &r->query.ops);
    add(r, &r->query.shapes, shape);
    add(r, &r->query.set, set);
    add(r, &r->query.fills, fill);
    if (!kb_suite_open(&r->suite, &r->query, &r->complaints))
        fail_msg("%s", kb_buf_text(&r->complaints.text));
}

static void close_room(struct room *r) {
    kb_suite_free(r->suite);
    kb_complaints_free(&r->complaints);
    kb_arena_free(&r->arena);
}

static bool next(struct room *r, struct kb_case *c) {
    return kb_suite_next(r->suite, &r->arena, c);
}

static void random_cases_are_legal_and_each_comes_once(void **state) {
    (void)state;
    struct room r;
    struct kb_case c;
    struct kb_strings ids = {0};
    struct kb_problem *p = malloc(sizeof *p);
    struct kb_err err = {0};
    int64_t n = 0;
    open_room(&r, "silu", "83x1024", NULL, NULL, 300, 1);
    assert_int_equal(kb_suite_count(r.suite), 300);
    for (; next(&r, &c); n++) {
        assert_true(kb_case_resolve(&c, p, &err));
        assert_false(kb_strings_has(&ids, c.id));
        kb_strings_add(&ids, &r.arena, c.id);
        assert_in_range(strlen(c.id), 1, kb_suite_id_width(r.suite));
        assert_string_equal(c.origin, "--fuzz");
        int64_t elements = 0;
        for (int t = 0; t < p->n_tensors; t++)
            elements += p->tensors[t].elements;
        assert_in_range(elements, 0, 1 << 20);
    }
    assert_int_equal(n, 300);
    free(p);
    close_room(&r);
}

static void numbers_have_three_digits(void **state) {
    (void)state;
    struct room r;
    struct kb_case c;
    int drawn = 0;
    open_room(&r, "silu", "83x1024", NULL, NULL, 600, 1);
    while (next(&r, &c)) {
        const char *clamp = strstr(c.id, "/clamp=");
        size_t len = clamp ? strcspn(clamp + 7, "/") : 0;
        drawn += len > 0;
        assert_in_range(len, 0, strlen("0.0999"));
    }
    assert_in_range(drawn, 50, 600);
    close_room(&r);
}

static char *all_ids(uint64_t seed) {
    struct room r;
    struct kb_case c;
    struct kb_buf text = {0};
    open_room(&r, "silu,gelu", "83x1024", NULL, NULL, 40, seed);
    while (next(&r, &c))
        kb_buf_printf(&text, "%s\n", c.id);
    close_room(&r);
    return text.data;
}

static void the_same_seed_draws_the_same_cases_and_another_one_others(void **state) {
    (void)state;
    char *a = all_ids(1), *b = all_ids(1), *other = all_ids(2);
    assert_string_equal(a, b);
    assert_string_not_equal(a, other);
    free(a);
    free(b);
    free(other);
}

/* A second reading gives them again: the run counts them first. */
static void cases_are_the_same_when_they_are_read_again(void **state) {
    (void)state;
    struct room r;
    struct kb_case first, again;
    open_room(&r, "gelu", "7x16", NULL, NULL, 10, 3);
    assert_true(next(&r, &first));
    while (next(&r, &again))
        continue;
    kb_suite_rewind(r.suite);
    assert_true(next(&r, &again));
    assert_string_equal(first.id, again.id);
    close_room(&r);
}

static bool is_prime(int64_t n) {
    for (int64_t d = 2; d * d <= n; d++)
        if (n % d == 0)
            return false;
    return n > 1;
}

static void sizes_are_those_at_which_kernels_go_wrong(void **state) {
    (void)state;
    struct room r;
    struct kb_case c;
    int zero = 0, one = 0, primes = 0, powers = 0, beside = 0, ranks = 0, given = 0;
    int past_grid = 0;
    open_room(&r, "silu", "83x1024", NULL, NULL, 2000, 1);
    while (next(&r, &c)) {
        int64_t rows = c.shape[0], half = c.shape[c.rank - 1] / 2;
        zero += rows == 0;
        one += rows == 1;
        primes += is_prime(rows) && rows != 83;
        powers += rows > 1 && (rows & (rows - 1)) == 0;
        beside += rows > 2 && ((rows & (rows + 1)) == 0 || ((rows - 1) & (rows - 2)) == 0);
        ranks += c.rank != 2;
        given += rows == 83;
        past_grid += rows > 65535;
        assert_true(half >= 1);
    }
    assert_true(zero > 10 && one > 100 && primes > 50 && powers > 50 && beside > 50);
    assert_true(ranks > 50 && given > 200 && past_grid > 3);
    close_room(&r);
}

static void parameters_and_fills_are_drawn_but_for_those_asked_for(void **state) {
    (void)state;
    struct room r;
    struct kb_case c;
    int layout = 0, filter = 0, fills = 0, layouts = 0, filters = 0;
    open_room(&r, "silu", "83x1024", NULL, NULL, 400, 1);
    while (next(&r, &c)) {
        kb_op_param(c.op, "layout", &layout);
        kb_op_param(c.op, "filter", &filter);
        fills += c.fill != c.op->fills[0];
        layouts += c.set[layout].v != 0;
        filters += c.set[filter].v != 0;
    }
    assert_true(fills > 50 && layouts > 10 && filters > 10);
    close_room(&r);
    open_room(&r, "silu", "83x1024", "layout=up_gate,filter=none", "nan", 400, 1);
    while (next(&r, &c)) {
        assert_int_equal(c.fill, KB_FILL_NAN);
        assert_true(c.set[layout].v == 1 && c.set[filter].v == 0);
    }
    close_room(&r);
}

static void each_op_has_its_own_random_cases(void **state) {
    (void)state;
    struct room r;
    struct kb_case c;
    int silu = 0, stream = 0;
    open_room(&r, "silu,stream", "4x1024", NULL, NULL, 25, 1);
    while (next(&r, &c)) {
        silu += kb_streq(c.op->name, "silu");
        stream += kb_streq(c.op->name, "stream");
    }
    assert_int_equal(silu, 25);
    assert_int_equal(stream, 25);
    close_room(&r);
}

static void too_many_are_refused(void **state) {
    (void)state;
    struct room r = {.query = {.fuzz = 60000}};
    add(&r, &r.query.ops, "silu");
    add(&r, &r.query.ops, "gelu");
    add(&r, &r.query.shapes, "7x16");
    assert_false(kb_suite_open(&r.suite, &r.query, &r.complaints));
    assert_string_equal(
        kb_buf_text(&r.complaints.text),
        "kbench: error: --fuzz: 120000 cases, at most 100000 are allowed\n");
    close_room(&r);
}

/* ---- lists ------------------------------------------------------------------------------
 */

static void axes_follow_the_list_whose_sum_they_are(void **state) {
    (void)state;
    struct kb_case c = {.rank = 3, .shape = {24, 24, 8}};
    const struct kb_value value = {.v = 3, .items = {1, 2, 4}};
    c.set[1] = (struct kb_value){.v = 2, .items = {16, 8}};
    kb_case_put_list(&c, 1, &value);
    assert_int_equal(c.shape[0], 7);
    assert_int_equal(c.shape[1], 7);
    assert_int_equal(c.shape[2], 8);
    assert_true(kb_value_same(&c.set[1], &value));
    kb_case_put_list(&c, 2, &value); /* where there was none, no axis is known to be it */
    assert_int_equal(c.shape[0], 7);
}

/* ---- all fills --------------------------------------------------------------------------
 */

static void all_fills_are_those_of_each_op(void **state) {
    (void)state;
    struct room r = {.suite = NULL};
    struct kb_case c;
    const struct kb_op *silu = kb_op_find("silu"), *stream = kb_op_find("stream");
    int n[2] = {0};
    add(&r, &r.query.ops, "silu");
    add(&r, &r.query.ops, "stream");
    add(&r, &r.query.shapes, "4x16");
    add(&r, &r.query.fills, "all");
    assert_true(kb_suite_open(&r.suite, &r.query, &r.complaints));
    while (next(&r, &c)) {
        bool is_silu = c.op == silu;
        assert_int_equal(c.fill, c.op->fills[n[is_silu]++]);
    }
    assert_int_equal(n[1], silu->n_fills);
    assert_int_equal(n[0], stream->n_fills);
    close_room(&r);
}

static void all_fills_stand_alone(void **state) {
    (void)state;
    struct room r = {.suite = NULL};
    add(&r, &r.query.ops, "silu");
    add(&r, &r.query.shapes, "4x16");
    add(&r, &r.query.fills, "nan");
    add(&r, &r.query.fills, "all");
    assert_false(kb_suite_open(&r.suite, &r.query, &r.complaints));
    assert_string_equal(kb_buf_text(&r.complaints.text),
                        "kbench: error: --fill: all stands alone\n");
    close_room(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_cases_are_legal_and_each_comes_once),
        cmocka_unit_test(numbers_have_three_digits),
        cmocka_unit_test(the_same_seed_draws_the_same_cases_and_another_one_others),
        cmocka_unit_test(cases_are_the_same_when_they_are_read_again),
        cmocka_unit_test(sizes_are_those_at_which_kernels_go_wrong),
        cmocka_unit_test(parameters_and_fills_are_drawn_but_for_those_asked_for),
        cmocka_unit_test(each_op_has_its_own_random_cases),
        cmocka_unit_test(too_many_are_refused),
        cmocka_unit_test(axes_follow_the_list_whose_sum_they_are),
        cmocka_unit_test(all_fills_are_those_of_each_op),
        cmocka_unit_test(all_fills_stand_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
