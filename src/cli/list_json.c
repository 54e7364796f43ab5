/* list_json.c - a case as a line of JSON, for scripts: all that its id leaves to defaults.
 */
#include "cli/terminal.h"

static cJSON *shape_item(const struct kb_case *c) {
    cJSON *array = kb_json_array();
    for (int i = 0; i < c->rank; i++)
        kb_json_push(array, kb_json_i64_item(c->shape[i]));
    return array;
}

static void add_number(cJSON *object, const char *key, const char *text) {
    int64_t whole;
    double number;
    if (kb_parse_i64(text, &whole))
        kb_json_add_i64(object, key, whole);
    else if (kb_parse_f64(text, &number))
        kb_json_add_f64(object, key, number, 17);
    else
        kb_json_add_text(object, key, text);
}

/* Every parameter with its value. */
static cJSON *set_item(const struct kb_case *c) {
    cJSON *object = kb_json_object();
    for (int i = 0; i < c->op->n_params; i++) {
        struct kb_buf text = {0};
        kb_value_print(&c->op->params[i], c->set[i], &text);
        add_number(object, c->op->params[i].name, kb_buf_text(&text));
        kb_buf_free(&text);
    }
    return object;
}

/* Axes and what is derived from them. */
static cJSON *axes_item(const struct kb_problem *problem) {
    cJSON *object = kb_json_object();
    for (int i = 0; i < problem->n_names; i++) {
        const struct kb_name *name = &problem->names[i];
        int index;
        if (name->words || name->list || kb_op_param(problem->c->op, name->name, &index))
            continue;
        if (name->is_float)
            kb_json_add_f64(object, name->name, name->value, 17);
        else
            kb_json_add_i64(object, name->name, (int64_t)name->value);
    }
    return object;
}

static cJSON *tensors_item(const struct kb_problem *problem) {
    static const char *const roles[] = {
        [KB_IN] = "in", [KB_OUT] = "out", [KB_INOUT] = "in and out"};
    cJSON *object = kb_json_object();
    for (int t = 0; t < problem->n_tensors; t++) {
        const struct kb_tensor_spec *spec = &problem->tensors[t];
        if (spec->absent)
            continue;
        cJSON *item = kb_json_object(), *shape = kb_json_array();
        for (int i = 0; i < spec->rank; i++)
            kb_json_push(shape, kb_json_i64_item(spec->shape[i]));
        kb_json_add_text(item, "role", roles[spec->role]);
        kb_json_add_text(item, "dtype", kb_dtype_name(spec->dtype));
        kb_json_add(item, "shape", shape);
        kb_json_add(object, spec->name, item);
    }
    return object;
}

static void add_problem(cJSON *object, const struct kb_case *c) {
    struct kb_arena arena = {0};
    struct kb_problem *problem = kb_arena_alloc(&arena, sizeof *problem);
    struct kb_err err = {0};
    if (kb_case_resolve(c, problem, &err)) {
        kb_json_add(object, "axes", axes_item(problem));
        kb_json_add(object, "tensors", tensors_item(problem));
        kb_json_add_i64(object, "bytes", problem->bytes);
        kb_json_add_i64(object, "flops", problem->flops);
    }
    kb_arena_free(&arena);
}

void kb_case_line(const struct kb_case *c, struct kb_buf *out) {
    cJSON *object = kb_json_object();
    double atol, rtol;
    kb_json_add_text(object, "case", c->id);
    kb_json_add_text(object, "op", c->op->name);
    kb_json_add(object, "shape", shape_item(c));
    kb_json_add_text(object, "dtype", kb_dtype_name(c->dtype));
    kb_json_add_text(object, "fill", kb_fill_word(c->fill));
    kb_json_add(object, "set", set_item(c));
    add_problem(object, c);
    if (c->op->peer_tolerance) {
        c->op->peer_tolerance(c->dtype, c->dtype, &atol, &rtol);
        kb_json_add_f64(object, "atol", atol, 17);
        kb_json_add_f64(object, "rtol", rtol, 17);
    }
    kb_json_add_text(object, "tags", c->tags);
    kb_json_add_text(object, "origin", c->origin);
    kb_json_print(object, out);
    kb_buf_putc(out, '\n');
    cJSON_Delete(object);
}
