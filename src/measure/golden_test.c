/* golden_test.c - the references against reports/golden/vectors/: inputs and answers that
 * tools/oracle.py made without this code. tools/truth/golden.py says what a file holds. */
#include "run.h"
#include "safetensors.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define FOLDER "reports/golden/vectors"

/* A file and its case, with the inputs in place. */
struct vector {
    const char *path;
    struct kb_arena arena;
    struct kb_st_file file;
    struct kb_case c;
    struct kb_problem p;
    struct kb_slab slab;
    const void *in[KB_MAX_TENSORS];
    void *prepared;
    int64_t compared, differ;
    char first[512]; /* difference */
};

static void *read_tensor(struct vector *v, const struct kb_st_tensor *tensor) {
    struct kb_err err = {0};
    void *data = kb_arena_alloc(&v->arena, (size_t)tensor->bytes + 1);

    if (!kb_st_read(&v->file, tensor, data, &err))
        fail_msg("%s", err.msg);
    return data;
}

/* "want." + name + suffix, if it is there. */
static void *maybe(struct vector *v, const char *name, const char *suffix,
                   enum kb_st_type type) {
    const struct kb_st_tensor *tensor =
        kb_st_find(&v->file, kb_arena_printf(&v->arena, "want.%s%s", name, suffix));

    if (tensor && tensor->type != type)
        fail_msg("%s: %s is no %s", v->path, tensor->name, kb_st_type_name(type));
    return tensor ? read_tensor(v, tensor) : NULL;
}

/* Of an output, a number that the texts have: NAN where they have none. */
static double text_number(const struct vector *v, const char *what, const char *name) {
    char key[64];
    double value = NAN;

    snprintf(key, sizeof key, "%s.%s", what, name);
    const char *text = kb_st_text_of(&v->file, key);
    if (text && !kb_parse_f64(text, &value))
        fail_msg("%s: %s is \"%s\", no number", v->path, key, text);
    return value;
}

static void open_vector(struct vector *v, const char *path) {
    struct kb_complaints complaints = {0};
    struct kb_err err = {0};
    size_t bytes[KB_MAX_TENSORS];

    *v = (struct vector){.path = path};
    if (!kb_st_open(path, &v->file, &err))
        fail_msg("%s", err.msg);
    const char *id = kb_st_text_of(&v->file, "case");
    if (!id || !kb_case_parse(id, &v->arena, &v->c, &complaints) ||
        !kb_case_resolve(&v->c, &v->p, &err))
        fail_msg("%s: %s%s", path, kb_buf_text(&complaints.text), err.msg);
    for (int t = 0; t < v->p.n_tensors; t++)
        bytes[t] = (size_t)v->p.tensors[t].elements * kb_dtype_bytes(v->p.tensors[t].dtype);
    if (!kb_slab_make(&v->slab, KB_SLAB_PRIVATE, v->p.n_tensors, bytes, 0, &err) ||
        !kb_load_inputs(path, &v->p, &v->slab, &err))
        fail_msg("%s", err.msg);
    for (int t = 0; t < v->p.n_tensors; t++) {
        const struct kb_tensor_spec *spec = &v->p.tensors[t];
        const struct kb_st_tensor *out =
            kb_st_find(&v->file, kb_arena_printf(&v->arena, "out.%s", spec->name));
        v->in[t] = v->slab.slots[t].bytes ? kb_slab_at(&v->slab, t) : NULL;
        if (spec->role == KB_OUT && !spec->absent)
            v->in[t] = out && out->bytes == bytes[t] ? read_tensor(v, out) : NULL;
        if (spec->role == KB_OUT && bytes[t] && !v->in[t])
            fail_msg("%s: has no out.%s of the case", path, spec->name);
    }
    v->prepared = v->c.op->prepare ? v->c.op->prepare(&v->p, v->in) : NULL;
}

static void close_vector(struct vector *v) {
    free(v->prepared);
    kb_slab_free(&v->slab);
    kb_st_close(&v->file);
    kb_arena_free(&v->arena);
}

/* What an output's element may be off by, and whether it may lie in want +- bound. */
struct allowed {
    double slack, near; /* NAN: no interval */
};

static double ulp_of(double x) {
    int exponent;

    if (x == 0)
        return 0x1p-149;
    frexp(x, &exponent);
    return ldexp(1, exponent - FLT_MANT_DIG < -149 ? -149 : exponent - FLT_MANT_DIG);
}

static bool agrees(double want, double bound, double answer, bool exact,
                   const struct allowed *a) {
    if (isinf(bound)) /* any value is right */
        return true;
    if (exact)
        return want == answer;
    if (isnan(want) || isnan(answer))
        return isnan(want) && isnan(answer);
    if (isinf(want) || isinf(answer))
        return want == answer;
    if (want == 0 && answer == 0 && isnan(a->near))
        return signbit(want) == signbit(answer);
    double allowed = ulp_of(answer) + a->slack;
    return fabs(want - answer) <=
           (isnan(a->near) ? allowed : fmax(allowed, bound + a->near));
}

static void tell(struct vector *v, const char *name, int64_t i, double want,
                 double answer) {
    if (v->differ++ == 0)
        snprintf(v->first, sizeof v->first, "%s[%lld]: reference %.17g, vector %.17g", name,
                 (long long)i, want, answer);
}

static void hold_output(struct vector *v, int t) {
    const struct kb_tensor_spec *spec = &v->p.tensors[t];
    size_t n = (size_t)spec->elements;
    const double *answers = maybe(v, spec->name, "", KB_ST_F64),
                 *slacks = maybe(v, spec->name, ".slack", KB_ST_F64);
    const unsigned char *keep = maybe(v, spec->name, ".keep", KB_ST_U8);
    double *want = kb_arena_array(&v->arena, n + 1, sizeof *want),
           *bound = kb_arena_array(&v->arena, n + 1, sizeof *bound);
    double slack = text_number(v, "slack", spec->name);
    struct allowed a = {.near = text_number(v, "near", spec->name)};

    if (!answers)
        fail_msg("%s: has no want.%s", v->path, spec->name);
    v->c.op->reference(&v->p, v->in, v->prepared, t, 0, spec->elements, want, bound);
    for (size_t i = 0; i < n; i++) {
        bool kept = keep && keep[i];
        a.slack = slacks ? slacks[i] : isnan(slack) ? 0 : slack;
        if (kept != (bound[i] == KB_KEEP) ||
            (!kept &&
             !agrees(want[i], bound[i], answers[i], spec->rule == KB_RULE_EXACT, &a)))
            tell(v, spec->name, (int64_t)i, want[i], answers[i]);
        v->compared++;
    }
}

static void hold(struct vector *v) {
    for (int t = 0; t < v->p.n_tensors; t++)
        if (v->p.tensors[t].role != KB_IN && !v->p.tensors[t].absent)
            hold_output(v, t);
}

/* ---- tests --------------------------------------------------------------------------- */

static struct kb_strings paths(struct kb_arena *arena) {
    struct kb_strings names = {0};
    struct kb_err err = {0};

    if (!kb_folder_list(FOLDER, ".safetensors", arena, &names, &err))
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < names.count; i++)
        names.items[i] = kb_arena_printf(arena, FOLDER "/%s", names.items[i]);
    return names;
}

static void every_reference_agrees_with_answers_that_are_not_of_this_code(void **state) {
    struct kb_arena arena = {0};
    struct kb_strings names = paths(&arena);
    int64_t compared = 0;
    int wrong = 0;
    (void)state;
    for (size_t i = 0; i < names.count; i++) {
        struct vector v;
        open_vector(&v, names.items[i]);
        hold(&v);
        if (v.differ)
            print_error("%s: %s; %lld of %lld differ\n", v.c.id, v.first,
                        (long long)v.differ, (long long)v.compared);
        wrong += v.differ > 0;
        compared += v.compared;
        close_vector(&v);
    }
    assert_int_equal(wrong, 0);
    assert_true(names.count >= 60 && compared > 10000);
    kb_arena_free(&arena);
}

static void every_op_and_dtype_has_vectors(void **state) {
    struct kb_arena arena = {0};
    struct kb_strings names = paths(&arena);
    (void)state;
    for (int o = 0; o < kb_op_count; o++) {
        for (int d = 0; d < kb_ops[o]->n_dtypes; d++) {
            const char *dtype = kb_dtype_name(kb_ops[o]->dtypes[d]);
            bool there = false;
            for (size_t i = 0; i < names.count; i++)
                there |= kb_glob(
                    kb_arena_printf(&arena, FOLDER "/%s,*,%s[,.]*", kb_ops[o]->name, dtype),
                    names.items[i]);
            if (!there)
                fail_msg("%s has no vector of %s", kb_ops[o]->name, dtype);
        }
    }
    kb_arena_free(&arena);
}

/* What this test takes for right: two fp32 ulp are too many, and so is another zero. */
static void an_answer_two_ulp_away_does_not_agree(void **state) {
    struct allowed none = {.near = NAN}, half = {.near = 0.5};
    (void)state;
    assert_true(agrees(1 + 0x1p-23, 9, 1, false, &none));
    assert_false(agrees(1 + 0x1p-22, 9, 1, false, &none));
    assert_true(agrees(0x1p-149, 9, 0, false, &none));
    assert_false(agrees(0x1p-148, 9, 0, false, &none));
    assert_false(agrees(0.0, 0, -0.0, false, &none));
    assert_false(agrees(NAN, 0, 1, false, &none));
    assert_false(agrees(INFINITY, 0, DBL_MAX, false, &none));
    assert_false(agrees(-INFINITY, 0, INFINITY, false, &none));
    assert_false(agrees(7, 0, 8, true, &none));
    assert_true(agrees(126.5, 0, 127, false, &half));
    assert_false(agrees(126, 0, 127, false, &half));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reference_agrees_with_answers_that_are_not_of_this_code),
        cmocka_unit_test(every_op_and_dtype_has_vectors),
        cmocka_unit_test(an_answer_two_ulp_away_does_not_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
