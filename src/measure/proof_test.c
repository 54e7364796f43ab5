/* proof_test.c - the cases that come with the tool prove what they say: none has a rule by
 * which a wrong output passes. */
#include "measure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Of a case; larger ones are tried where they run, or here by `proof_test BYTES [SEED]`. */
static int64_t most_bytes = 1 << 14, seed = 1;

struct scene {
    struct kb_problem problem;
    void *data[KB_MAX_TENSORS];
    const void *in[KB_MAX_OUTPUTS][KB_MAX_TENSORS];
    struct kb_compare_args args[KB_MAX_OUTPUTS];
    int n;
    void *prepared;
};

static size_t bytes_of(const struct kb_tensor_spec *spec) {
    return (size_t)spec->elements * kb_dtype_bytes(spec->dtype);
}

static bool is_output(const struct kb_tensor_spec *spec) {
    return spec->role != KB_IN && !spec->absent;
}

static double *doubles(int64_t n) {
    double *data = calloc((size_t)n + 1, sizeof *data);

    assert_non_null(data);
    return data;
}

/* As a perfect kernel leaves it, which sees what outputs before it hold. */
static void put_perfect(struct scene *s, int t, const void *const *in, void *out) {
    const struct kb_tensor_spec *spec = &s->problem.tensors[t];
    double *want = doubles(spec->elements), *bound = doubles(spec->elements);

    s->problem.c->op->reference(&s->problem, in, s->prepared, t, 0, spec->elements, want,
                                bound);
    for (int64_t i = 0; i < spec->elements; i++) {
        if (bound[i] != KB_KEEP)
            kb_bits_put(spec->dtype, out, i,
                        spec->rule == KB_RULE_EXACT ? (uint32_t)want[i]
                                                    : kb_encode(spec->dtype, want[i]));
    }
    free(bound);
    free(want);
}

/* Inputs filled; in[] of each output has the other outputs as a kernel leaves them. */
static void set_up(struct scene *s, const struct kb_case *c) {
    const struct kb_problem *p = &s->problem;
    const void *first[KB_MAX_TENSORS] = {0};
    void *left[KB_MAX_TENSORS] = {0};

    for (int t = 0; t < p->n_tensors; t++) {
        const struct kb_tensor_spec *spec = &p->tensors[t];
        s->data[t] = malloc(bytes_of(spec) + 1);
        assert_non_null(s->data[t]);
        kb_poison(s->data[t], bytes_of(spec), 0);
        if (spec->role != KB_OUT && spec->elements > 0)
            c->op->fill(p, t, (uint64_t)seed, 0, spec->elements, s->data[t]);
        first[t] = spec->role != KB_OUT && spec->elements > 0 ? s->data[t] : NULL;
    }
    s->prepared = c->op->prepare ? c->op->prepare(p, first) : NULL;
    for (int t = 0; t < p->n_tensors; t++) {
        left[t] = malloc(bytes_of(&p->tensors[t]) + 1);
        assert_non_null(left[t]);
        memcpy(left[t], s->data[t], bytes_of(&p->tensors[t]));
        if (!is_output(&p->tensors[t]))
            continue;
        put_perfect(s, t, first, left[t]);
        if (p->tensors[t].role == KB_OUT)
            first[t] = left[t];
    }
    for (int t = 0; t < p->n_tensors; t++) {
        if (!is_output(&p->tensors[t]))
            continue;
        struct kb_compare_args *args = &s->args[s->n];
        /* An output that leaves a choice has no one perfect answer for the others to go by.
         */
        for (int k = 0; k < p->n_tensors; k++)
            s->in[s->n][k] = p->tensors[k].role == KB_OUT && k != t ? NULL : s->data[k];
        *args = (struct kb_compare_args){
            .problem = p,
            .tensor = t,
            .in = s->in[s->n],
            .prepared = s->prepared,
            .got = left[t],
            .bound_factor = 1,
            .tolerance = c->tolerance,
        };
        s->n++;
    }
    for (int t = 0; t < p->n_tensors; t++)
        if (!is_output(&p->tensors[t]))
            free(left[t]);
}

static void tear_down(struct scene *s) {
    for (int i = 0; i < s->n; i++)
        free((void *)(uintptr_t)s->args[i].got);
    for (int t = 0; t < s->problem.n_tensors; t++)
        free(s->data[t]);
    free(s->prepared);
}

static int64_t size_of(const struct kb_problem *p) {
    int64_t bytes = 0;

    for (int t = 0; t < p->n_tensors; t++)
        bytes += (int64_t)bytes_of(&p->tensors[t]);
    return bytes;
}

/* Where several answers are right, the reference alone may make none of them. */
static bool is_right(const struct scene *s) {
    struct kb_output_report report;

    for (int i = 0; i < s->n; i++) {
        kb_compare(&s->args[i], &report);
        if (report.over > 0)
            return false;
    }
    return true;
}

/* False where there is no right output to start from. */
static bool prove(const struct kb_case *c, struct scene *s, struct kb_arena *arena) {
    struct kb_impostors found = {0};

    set_up(s, c);
    bool right = is_right(s);
    for (int i = 0; i < s->n && right; i++)
        kb_impostors_try(s->args, s->n, i, (uint64_t)seed, arena, &found);
    for (size_t k = 0; k < found.let_through.count; k++)
        print_error("%s: \"%s\" would pass\n", c->id, found.let_through.items[k]);
    assert_int_equal(found.let_through.count, 0);
    tear_down(s);
    return right;
}

static void no_case_that_comes_with_the_tool_lets_an_impostor_pass(void **state) {
    (void)state;
    struct kb_arena arena = {0}, strings = {0};
    struct kb_complaints complaints = {0};
    struct kb_query query = {.by_tag_too = true};
    struct kb_suite *suite;
    struct kb_case c;
    int proved = 0, passed_over = 0;

    kb_strings_add(&query.files, &arena, "cases");
    if (!kb_suite_open(&suite, &query, &complaints))
        fail_msg("%s", kb_buf_text(&complaints.text));
    while (kb_suite_next(suite, &strings, &c)) {
        struct scene *s = kb_arena_alloc(&strings, sizeof *s);
        struct kb_err err = {0};
        assert_true(kb_case_resolve(&c, &s->problem, &err));
        if (size_of(&s->problem) <= most_bytes) {
            bool right = prove(&c, s, &strings);
            proved += right;
            passed_over += !right;
        }
        kb_arena_reset(&strings);
    }
    print_message("%d of %lld cases, %d have no one right output\n", proved,
                  (long long)kb_suite_count(suite), passed_over);
    assert_true(proved > 300 && passed_over < proved / 50);
    kb_suite_free(suite);
    kb_arena_free(&strings);
    kb_arena_free(&arena);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_case_that_comes_with_the_tool_lets_an_impostor_pass),
    };
    if ((argc > 1 && !kb_parse_i64(argv[1], &most_bytes)) ||
        (argc > 2 && !kb_parse_i64(argv[2], &seed)))
        return 4;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
