/* sampled_test.c - which rows a sample is of, and what the comparison makes of them. The
 * problems with more than 2^31 elements are only resolved: nothing of them is allocated. */
#include "measure.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct chosen {
    struct kb_arena arena;
    struct kb_case c;
    struct kb_problem p;
    struct kb_sampled s;
    bool made;
};

static void choose(struct chosen *x, const char *id, int64_t max, uint64_t seed) {
    struct kb_complaints complaints = {0};
    struct kb_err err = {0};

    *x = (struct chosen){0};
    assert_true(kb_case_parse(id, &x->arena, &x->c, &complaints));
    if (!kb_case_resolve(&x->c, &x->p, &err))
        fail_msg("%s", err.msg);
    int out = x->p.tensors[0].role == KB_INOUT ? 0 : 1;
    x->made = kb_sampled_make(&x->p, out, max, seed, &x->arena, &x->s);
    kb_complaints_free(&complaints);
}

static bool has_row(const struct kb_sampled *s, int64_t row) {
    for (int64_t i = 0; i < s->n; i++)
        if (s->items[i] == row)
            return true;
    return false;
}

static void assert_has_around(const struct kb_sampled *s, int64_t row) {
    for (int64_t r = row - 1; r <= row + 1; r++)
        if (!has_row(s, r))
            fail_msg("row %lld is not among them", (long long)r);
}

/* ---- which rows -------------------------------------------------------------------- */

static void a_sample_has_as_many_rows_as_asked_in_order_and_once(void **state) {
    (void)state;
    static const struct {
        const char *id;
        int64_t rows;
    } cases[] = {
        {"silu/83x16/bf16", 83},
        {"silu/1048577x2048/bf16", 1048577},
        {"silu/70000x16/fp32", 70000},
        {"silu/8388608x8192/bf16", 8388608},
        {"silu/2251799813685248x2/bf16", INT64_C(1) << 51},
        {"silu/3x5x7x16/fp16", 105},
    };
    const int64_t sizes[] = {2, 3, 7, 50, 82, 83, 1000};
    for (size_t i = 0; i < KB_COUNT(cases); i++) {
        for (size_t k = 0; k < KB_COUNT(sizes); k++) {
            struct chosen x;
            choose(&x, cases[i].id, sizes[k], 1);
            assert_int_equal(x.made, sizes[k] < cases[i].rows);
            assert_true(x.s.n == (x.made ? sizes[k] : 0));
            for (int64_t r = 0; r < x.s.n; r++) {
                assert_true(x.s.items[r] >= 0 && x.s.items[r] < cases[i].rows);
                assert_true(r == 0 || x.s.items[r] > x.s.items[r - 1]);
            }
            if (x.made) {
                assert_true(x.s.items[0] == 0);
                assert_true(x.s.items[x.s.n - 1] == cases[i].rows - 1);
                assert_true(x.s.length == x.p.tensors[1].shape[x.p.tensors[1].rank - 1]);
            }
            kb_arena_free(&x.arena);
        }
    }
}

static void rows_around_2_to_the_31_elements_are_in_it(void **state) {
    (void)state;
    struct chosen x;
    choose(&x, "silu/2097153x2048/bf16", 100, 1);
    assert_has_around(&x.s, 1048576);    /* of the input: 2048 elements a row */
    assert_true(has_row(&x.s, 2097151)); /* of the output, and twice that of the input */
    assert_true(has_row(&x.s, 2097152));
    kb_arena_free(&x.arena);
    choose(&x, "silu/4194304x2050/bf16", 100, 1);
    assert_has_around(&x.s, (INT64_C(1) << 31) / 2050);
    assert_has_around(&x.s, (INT64_C(1) << 32) / 2050);
    assert_has_around(&x.s, (INT64_C(1) << 31) / 1025);
    kb_arena_free(&x.arena);
}

static void rows_around_4_gib_are_in_it_whatever_the_dtype(void **state) {
    (void)state;
    struct chosen x;
    choose(&x, "silu/600000x2048/fp32", 50, 1);
    assert_has_around(&x.s, 524288); /* 2^30 elements of the input */
    kb_arena_free(&x.arena);
    choose(&x, "silu/600000x2048/bf16", 50, 1);
    assert_false(has_row(&x.s, 524289) && has_row(&x.s, 524287));
    kb_arena_free(&x.arena);
}

static void rows_around_65536_and_its_multiples_are_in_it(void **state) {
    (void)state;
    struct chosen x;
    choose(&x, "silu/400000x16/bf16", 200, 1);
    for (int64_t k = 1; k <= 6; k++)
        assert_has_around(&x.s, k * 65536);
    kb_arena_free(&x.arena);
}

/* Or a problem with many borders would never be looked at between them. */
static void borders_take_half_of_the_sample_at_most(void **state) {
    (void)state;
    struct chosen x;
    int64_t near = 0;
    choose(&x, "silu/1073741824x2/bf16", 1000, 1);
    for (int64_t i = 0; i < x.s.n; i++)
        near += (x.s.items[i] + 1) % 65536 <= 2;
    assert_true(near >= 490 && near <= 510);
    assert_has_around(&x.s, 65536); /* the nearest come first */
    kb_arena_free(&x.arena);
}

static void every_stretch_of_rows_is_looked_at(void **state) {
    (void)state;
    struct chosen x;
    choose(&x, "silu/1048577x2048/bf16", 1000, 1);
    for (int64_t i = 1; i < x.s.n; i++)
        assert_true(x.s.items[i] - x.s.items[i - 1] < 2 * 1048577 / 900);
    kb_arena_free(&x.arena);
}

static void the_same_rows_come_again_and_others_by_another_seed_or_case(void **state) {
    (void)state;
    struct chosen a, b;
    static const struct {
        const char *id;
        uint64_t seed;
        bool same;
    } others[] = {
        {"silu/100000x64/bf16", 1, true},
        {"silu/100000x64/bf16", 2, false},
        {"gelu/100000x64/bf16", 1, false},
    };
    choose(&a, "silu/100000x64/bf16", 500, 1);
    for (size_t i = 0; i < KB_COUNT(others); i++) {
        int64_t shared = 0;
        choose(&b, others[i].id, 500, others[i].seed);
        for (int64_t r = 0; r < b.s.n; r++)
            shared += has_row(&a.s, b.s.items[r]);
        if (others[i].same)
            assert_true(shared == 500);
        else
            assert_true(shared < 50);
        kb_arena_free(&b.arena);
    }
    kb_arena_free(&a.arena);
}

static void rows_of_a_tensor_in_place_are_its_own(void **state) {
    (void)state;
    struct chosen x;
    choose(&x, "silu/1048580x2048/bf16/inplace=yes", 100, 1);
    assert_true(x.made);
    assert_true(x.s.length == 2048);
    assert_has_around(&x.s, 1048576);
    kb_arena_free(&x.arena);
}

static void one_row_or_none_is_no_sample(void **state) {
    (void)state;
    struct chosen x;
    choose(&x, "silu/0x16/bf16", 2, 1);
    assert_false(x.made);
    kb_arena_free(&x.arena);
    choose(&x, "stream/64/bf16", 2, 1);
    assert_false(x.made);
    kb_arena_free(&x.arena);
}

/* ---- what the comparison makes of it ----------------------------------------------- */

/* silu over a shape, its output the reference rounded: a perfect kernel. */
struct fixture {
    struct chosen x;
    void *data[KB_MAX_TENSORS];
    struct kb_compare_args args;
};

static void setup(struct fixture *f, const char *id, int64_t max) {
    *f = (struct fixture){0};
    choose(&f->x, id, max, 1);
    struct kb_problem *p = &f->x.p;
    for (int t = 0; t < p->n_tensors; t++) {
        const struct kb_tensor_spec *spec = &p->tensors[t];
        f->data[t] = calloc((size_t)spec->elements + 1, kb_dtype_bytes(spec->dtype));
        assert_non_null(f->data[t]);
        if (spec->role == KB_IN)
            p->c->op->fill(p, t, 1, 0, spec->elements, f->data[t]);
    }
    f->args = (struct kb_compare_args){
        .problem = p,
        .tensor = 1,
        .in = (const void *const *)f->data,
        .got = f->data[1],
        .bound_factor = 1,
        .tolerance = f->x.c.tolerance,
        .sample = f->x.made ? &f->x.s : NULL,
    };
    for (int64_t i = 0; i < p->tensors[1].elements; i++) {
        double want, bound;
        p->c->op->reference(p, f->args.in, NULL, 1, i, 1, &want, &bound);
        kb_bits_put(p->tensors[1].dtype, f->data[1], i,
                    kb_encode(p->tensors[1].dtype, want));
    }
}

static void teardown(struct fixture *f) {
    for (int t = 0; t < f->x.p.n_tensors; t++)
        free(f->data[t]);
    kb_arena_free(&f->x.arena);
}

static struct kb_output_report report_of(const struct fixture *f) {
    struct kb_output_report r;

    kb_compare(&f->args, &r);
    return r;
}

static void spoil(struct fixture *f, int64_t i) {
    enum kb_dtype dtype = f->x.p.tensors[1].dtype;

    kb_bits_put(dtype, f->data[1], i, kb_bits_at(dtype, f->data[1], i) ^ 0x40);
}

static void only_the_rows_of_the_sample_are_checked(void **state) {
    (void)state;
    struct fixture f;
    setup(&f, "silu/500x514/bf16", 40);
    struct kb_output_report r = report_of(&f);
    assert_int_equal(r.elements, 500 * 257);
    assert_int_equal(r.checked, 40 * 257);
    assert_int_equal(r.over, 0);
    assert_true(r.ulp_max > 0.4 && r.ulp_max <= 0.5);
    for (int64_t row = 0; row < 500; row++) {
        spoil(&f, row * 257 + 100);
        r = report_of(&f);
        bool in = has_row(&f.x.s, row);
        assert_int_equal(r.over, in);
        if (in) {
            assert_int_equal(r.worst.index, row * 257 + 100);
            assert_int_equal(r.first[0].index, row * 257 + 100);
            assert_int_equal(r.first_bad, row * 257 + 100);
            assert_int_equal(r.last_bad, row * 257 + 100);
            assert_true(r.worst.got != r.worst.want);
        }
        spoil(&f, row * 257 + 100);
    }
    teardown(&f);
}

/* A row of more than one chunk, many rows to a chunk, and rows side by side. */
static void a_sample_says_of_its_rows_what_the_whole_says_of_them(void **state) {
    (void)state;
    static const char *const ids[] = {"silu/6x40000/fp32", "silu/4000x4/fp16",
                                      "gelu/90x1030/bf16"};
    const int64_t sizes[] = {4, 3000, 85};
    for (size_t k = 0; k < KB_COUNT(ids); k++) {
        struct fixture f;
        int64_t bad = 0, last = -1;
        setup(&f, ids[k], sizes[k]);
        assert_true(f.x.made);
        for (int64_t i = 0; i < f.x.p.tensors[1].elements; i += 13)
            spoil(&f, i);
        for (int64_t i = 0; i < f.x.p.tensors[1].elements; i++) {
            if (!has_row(&f.x.s, i / f.x.s.length))
                continue;
            struct kb_compare_args all = f.args;
            all.sample = NULL;
            bool over = i % 13 == 0 && kb_compare_over(&all, i, 1);
            bad += over;
            last = over ? i : last;
        }
        struct kb_output_report r = report_of(&f);
        assert_true(bad > 10);
        assert_true(r.over == bad && r.last_bad == last);
        assert_true(r.checked == f.x.s.n * f.x.s.length);
        assert_true(kb_compare_over(&f.args, 0, r.checked) == bad);
        assert_int_equal(r.n_first, KB_SHOWN);
        for (int i = 0; i < r.n_first; i++)
            assert_true(has_row(&f.x.s, r.first[i].index / f.x.s.length));
        teardown(&f);
    }
}

static void a_sample_is_the_same_for_any_number_of_threads(void **state) {
    (void)state;
    struct fixture f;
    setup(&f, "gelu/1500x1024/fp32", 1400);
    for (int64_t i = 0; i < f.x.p.tensors[1].elements; i += 7)
        spoil(&f, i);
    omp_set_num_threads(1);
    struct kb_output_report one = report_of(&f);
    omp_set_num_threads(5);
    assert_int_equal(kb_threads(one.checked), 5);
    struct kb_output_report five = report_of(&f);
    assert_memory_equal(&one.bias_ulp, &five.bias_ulp, sizeof one.bias_ulp);
    assert_true(one.ulp_p99 == five.ulp_p99 && one.over == five.over);
    assert_int_equal(one.worst.index, five.worst.index);
    teardown(&f);
}

static void a_convention_is_found_by_the_rows_of_the_sample(void **state) {
    (void)state;
    struct fixture f;
    setup(&f, "silu/300x64/bf16", 20);
    const int64_t half = 32;
    for (int64_t row = 0; row < 300; row++) { /* the halves swapped before the kernel */
        uint16_t *in = (uint16_t *)f.data[0] + row * 64;
        for (int64_t i = 0; i < half; i++) {
            uint16_t gate = in[i];
            in[i] = in[i + half];
            in[i + half] = gate;
        }
    }
    struct kb_output_report r = report_of(&f);
    assert_true(r.over > 20 * half / 2 && r.over <= 20 * half);
    kb_compare_conventions(&f.args, &r);
    assert_non_null(r.follows);
    assert_string_equal(r.follows, "with the halves swapped");
    assert_int_equal(r.follows_over, 0);
    teardown(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sample_has_as_many_rows_as_asked_in_order_and_once),
        cmocka_unit_test(rows_around_2_to_the_31_elements_are_in_it),
        cmocka_unit_test(rows_around_4_gib_are_in_it_whatever_the_dtype),
        cmocka_unit_test(rows_around_65536_and_its_multiples_are_in_it),
        cmocka_unit_test(borders_take_half_of_the_sample_at_most),
        cmocka_unit_test(every_stretch_of_rows_is_looked_at),
        cmocka_unit_test(the_same_rows_come_again_and_others_by_another_seed_or_case),
        cmocka_unit_test(rows_of_a_tensor_in_place_are_its_own),
        cmocka_unit_test(one_row_or_none_is_no_sample),
        cmocka_unit_test(only_the_rows_of_the_sample_are_checked),
        cmocka_unit_test(a_sample_says_of_its_rows_what_the_whole_says_of_them),
        cmocka_unit_test(a_sample_is_the_same_for_any_number_of_threads),
        cmocka_unit_test(a_convention_is_found_by_the_rows_of_the_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
