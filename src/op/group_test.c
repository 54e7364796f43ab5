/* group_test.c - cases that do not resolve: told by shape, by op, and once. */
#include "op/group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Two ops that take one parameter: `even` refuses an odd last axis and, where the parameter
 * is 2, rows past 100; `any` takes everything. */
static bool resolve_even(const struct kb_case *c, struct kb_problem *p,
                         struct kb_err *err) {
    (void)p;
    if (c->shape[c->rank - 1] % 2)
        return kb_fail(err, KB_INPUT, "the last axis is odd");
    if (c->set[0].v == 2 && c->shape[0] > 100)
        return kb_fail(err, KB_INPUT, "too many rows for mode 2");
    return true;
}

static bool resolve_any(const struct kb_case *c, struct kb_problem *p, struct kb_err *err) {
    (void)c;
    (void)p;
    (void)err;
    return true;
}

static bool shape_of_axes(const int64_t *values, int64_t shape[KB_MAX_RANK], int *rank) {
    shape[0] = values[0];
    *rank = 2;
    return kb_mul_i64(values[1], (int64_t)1 << 40, &shape[1]);
}

static const struct kb_param params[] = {
    {.name = "mode", .kind = KB_PARAM_INT, .min = 1, .max = 2, .def = 1},
};
static const enum kb_fill fills[] = {KB_FILL_NORMAL};
static const char *const axes[] = {"rows", "width"};

#define OP(text, function)                                                                 \
    {                                                                                      \
        .name = text, .shape_form = "ROWSxWIDTH", .dtypes = {KB_FP32}, .n_dtypes = 1,      \
        .params = params, .n_params = 1, .fills = fills, .n_fills = 1, .axes = axes,       \
        .n_axes = 2, .shape_of_axes = shape_of_axes, .resolve = function,                  \
    }
static const struct kb_op even = OP("even", resolve_even), any = OP("any", resolve_any);

static const struct kb_value modes[] = {{.v = 1}, {.v = 2}};
static const struct kb_choice choices[] = {{.param = 0, .n = 2, .values = modes}};
static const enum kb_dtype dtypes[] = {KB_FP32};
static struct kb_origin origin = {.file = "kbench", .text = "test"};

static struct kb_group group_of(const struct kb_op *op, const struct kb_shape *shapes,
                                int n_shapes) {
    static struct kb_case starts[2];
    struct kb_case *start = &starts[op == &even];
    kb_case_start(start, op);
    return (struct kb_group){
        .origin = &origin,
        .base = start,
        .shapes = shapes,
        .n_shapes = n_shapes,
        .dtypes = dtypes,
        .n_dtypes = 1,
        .fills = fills,
        .n_fills = 1,
        .choices = choices,
        .n_choices = 1,
    };
}

static void note(void *context, int shape, const char *what) {
    kb_buf_printf(context, "%d %s\n", shape, what);
}

static void assert_refused(const struct kb_group *groups, size_t n, const char *wanted) {
    struct kb_buf told = {0};
    kb_groups_resolve(groups, n, note, &told);
    assert_string_equal(kb_buf_text(&told), wanted);
    kb_buf_free(&told);
}

static const struct kb_shape shapes[] = {
    {.sizes = {4, 6}, .rank = 2},
    {.sizes = {5, 7}, .rank = 2},
    {.sizes = {101, 2}, .rank = 2},
    {.sizes = {102, 2}, .rank = 2},
};

static void a_shape_that_all_ops_refuse_is_told_without_their_names(void **state) {
    (void)state;
    const struct kb_group groups[] = {group_of(&even, shapes, 2),
                                      group_of(&even, shapes, 2)};
    assert_refused(groups, 1, "1 5x7: the last axis is odd\n");
    assert_refused(groups, 2, "1 5x7: the last axis is odd\n");
}

static void a_shape_that_another_op_takes_is_told_with_the_name(void **state) {
    (void)state;
    const struct kb_group groups[] = {group_of(&any, shapes, 2),
                                      group_of(&even, shapes, 2)};
    assert_refused(groups, 2, "1 5x7: even: the last axis is odd\n");
}

static void a_shape_that_is_fine_with_other_values_is_told_once_by_its_case(void **state) {
    (void)state;
    const struct kb_group group = group_of(&even, shapes, 4);
    assert_refused(&group, 1,
                   "1 5x7: the last axis is odd\n"
                   "-1 even/101x2/fp32/mode=2: too many rows for mode 2\n");
}

static void axes_whose_shape_overflows_are_told_by_their_values(void **state) {
    (void)state;
    static const int64_t rows[] = {3, 4}, widths[] = {1, 1 << 30};
    const struct kb_axis_values values[] = {{rows, 2}, {widths, 2}};
    struct kb_group group = group_of(&any, NULL, 4);
    group.axes = values;
    assert_refused(&group, 1,
                   "1 rows 3, width 1073741824: the shape's sizes overflow\n"
                   "3 rows 4, width 1073741824: the shape's sizes overflow\n");
}

static void tags_are_bits_in_order_of_appearance(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    struct kb_groups groups = {.arena = &arena};
    assert_int_equal(kb_groups_tag(&groups, "ci"), 1);
    assert_int_equal(kb_groups_tag(&groups, "full"), 2);
    assert_int_equal(kb_groups_tag(&groups, "ci"), 1);
    assert_string_equal(kb_groups_tags(&groups, 3, &arena), "ci,full");
    assert_string_equal(kb_groups_tags(&groups, 2, &arena), "full");
    assert_string_equal(kb_groups_tags(&groups, 0, &arena), "");
    kb_arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shape_that_all_ops_refuse_is_told_without_their_names),
        cmocka_unit_test(a_shape_that_another_op_takes_is_told_with_the_name),
        cmocka_unit_test(a_shape_that_is_fine_with_other_values_is_told_once_by_its_case),
        cmocka_unit_test(axes_whose_shape_overflows_are_told_by_their_values),
        cmocka_unit_test(tags_are_bits_in_order_of_appearance),
    };
    return cmocka_run_group_tests_name("group", tests, NULL, NULL);
}
