/* caselists.c - the lists of a group in a case file: what is right of them is kept, what is
 * wrong is complained about at its place. */
#include "op/casefile.h"

#include <math.h>
#include <string.h>

/* ---- complaining -----------------------------------------------------------------------
 * Words are named by the message, so the path is the list's and the place the word's. */

void kb_read_complain(struct kb_reader *r, const cJSON *place, bool of_key,
                      const cJSON *path, const char *fmt, ...) {
    struct kb_buf where = {0}, what = {0};
    va_list args;
    int line = 0, col = 0;
    if (!kb_complaints_full(r->c)) { /* a path costs a walk over the lists that it is in */
        kb_json_where(&r->doc, place, of_key, &line, &col);
        kb_json_path(&r->doc, path, &where);
    }
    va_start(args, fmt);
    kb_buf_vprintf(&what, fmt, args);
    va_end(args);
    kb_complain(r->c, r->doc.name, line, col, kb_buf_text(&where), "%s",
                kb_buf_text(&what));
    kb_buf_free(&where);
    kb_buf_free(&what);
}

void kb_read_wanted(struct kb_reader *r, const cJSON *node, const cJSON *path,
                    const char *wanted) {
    if (cJSON_IsString(node))
        kb_read_complain(r, node, false, path, "wants %s, got \"%.64s\"", wanted,
                         node->valuestring);
    else if (cJSON_IsNumber(node))
        kb_read_complain(r, node, false, path, "wants %s, got %.15g", wanted,
                         node->valuedouble);
    else
        kb_read_complain(r, node, false, path, "wants %s, got %s", wanted,
                         cJSON_IsObject(node)  ? "an object"
                         : cJSON_IsArray(node) ? "a list"
                         : cJSON_IsNull(node)  ? "null"
                         : cJSON_IsTrue(node)  ? "true"
                                               : "false");
}

/* ---- lists -----------------------------------------------------------------------------
 */

/* Length of a list that must have something in it; 0 after a complaint. */
int kb_read_length(struct kb_reader *r, const cJSON *list, const char *wanted) {
    int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (!cJSON_IsArray(list))
        kb_read_wanted(r, list, list, wanted);
    else if (!n)
        kb_read_complain(r, list, false, list, "is empty, wanted %s", wanted);
    return n;
}

bool kb_read_is_word(struct kb_reader *r, const cJSON *list, const cJSON *item,
                     const char *wanted) {
    if (cJSON_IsString(item))
        return true;
    kb_read_wanted(r, item, list, wanted);
    return false;
}

/* An op that is not there is read on as the one that was meant. */
void kb_read_ops(struct kb_reader *r, struct kb_draft *d) {
    const cJSON *list = d->op_list, *item;
    int n = list ? kb_read_length(r, list, "a list of ops") : 0;
    d->ops = kb_arena_array(r->groups->arena, (size_t)n, sizeof *d->ops);
    if (!n)
        return;
    cJSON_ArrayForEach(item, list) {
        struct kb_buf what = {0};
        if (!kb_read_is_word(r, list, item, "the name of an op"))
            continue;
        const struct kb_op *op = kb_op_find(item->valuestring);
        if (!op) {
            op = kb_unknown_op(&what, item->valuestring);
            kb_read_complain(r, item, false, list, "%s", kb_buf_text(&what));
            kb_buf_free(&what);
        }
        if (op)
            d->ops[d->n_ops++] = op;
    }
}

void kb_read_dtypes(struct kb_reader *r, struct kb_draft *d) {
    const cJSON *list = d->dtype_list, *item;
    int n = list ? kb_read_length(r, list, "a list of dtypes") : 0;
    d->dtypes = kb_arena_array(r->groups->arena, (size_t)n, sizeof *d->dtypes);
    if (!n)
        return;
    cJSON_ArrayForEach(item, list) {
        enum kb_dtype dtype;
        struct kb_buf what = {0};
        struct kb_err err = {0};
        if (!kb_read_is_word(r, list, item, "the name of a dtype"))
            continue;
        if (!kb_dtype_parse(item->valuestring, &dtype))
            kb_unknown_dtype(&what, item->valuestring, d->ops, d->n_ops);
        for (int i = 0; i < d->n_ops && !what.len; i++)
            if (!kb_op_takes_dtype(d->ops[i], dtype, &err))
                kb_buf_puts(&what, err.msg);
        if (what.len)
            kb_read_complain(r, item, false, list, "%s", kb_buf_text(&what));
        else
            d->dtypes[d->n_dtypes++] = dtype;
        kb_buf_free(&what);
    }
}

void kb_read_fills(struct kb_reader *r, struct kb_draft *d) {
    const cJSON *list = d->fill_list, *item;
    int n = list ? kb_read_length(r, list, "a list of fills") : 0;
    d->fills = kb_arena_array(r->groups->arena, (size_t)n, sizeof *d->fills);
    if (!n)
        return;
    cJSON_ArrayForEach(item, list) {
        enum kb_fill fill;
        struct kb_buf what = {0};
        struct kb_err err = {0};
        if (!kb_read_is_word(r, list, item, "the name of a fill"))
            continue;
        if (!kb_fill_parse(item->valuestring, &fill))
            kb_unknown_fill(&what, item->valuestring);
        for (int i = 0; i < d->n_ops && !what.len; i++)
            if (!kb_op_takes_fill(d->ops[i], fill, &err))
                kb_buf_puts(&what, err.msg);
        if (what.len)
            kb_read_complain(r, item, false, list, "%s", kb_buf_text(&what));
        else
            d->fills[d->n_fills++] = fill;
        kb_buf_free(&what);
    }
}

/* ---- shapes and axes -------------------------------------------------------------------
 */

static bool read_size(struct kb_reader *r, const cJSON *node, int64_t *out) {
    if (cJSON_IsNumber(node) && !signbit(node->valuedouble) && kb_json_i64(node, out))
        return true;
    kb_read_wanted(r, node, node, "a whole number from 0 to 2^53");
    return false;
}

void kb_read_shapes(struct kb_reader *r, struct kb_draft *d) {
    const cJSON *list = d->lists[0], *item, *size;
    int n = kb_read_length(r, list, "a list of shapes, [[83, 1024]]");
    d->shapes = kb_arena_array(r->groups->arena, (size_t)n, sizeof *d->shapes);
    d->shape_nodes = kb_arena_array(r->groups->arena, (size_t)n, sizeof *d->shape_nodes);
    if (!n)
        return;
    cJSON_ArrayForEach(item, list) {
        struct kb_shape *shape = &d->shapes[d->n_shapes];
        int rank = kb_read_length(r, item, "a list of sizes, [83, 1024]");
        if (rank > KB_MAX_RANK)
            kb_read_complain(r, item, false, item, "has %d sizes, at most %d are taken",
                             rank, KB_MAX_RANK);
        if (rank < 1 || rank > KB_MAX_RANK)
            continue;
        shape->rank = 0; /* a bad one may have been here before */
        cJSON_ArrayForEach(size, item) {
            if (read_size(r, size, &shape->sizes[shape->rank]))
                shape->rank++;
        }
        if (shape->rank == rank)
            d->shape_nodes[d->n_shapes++] = item;
    }
}

/* The values of one axis: a list, or one number. */
static void read_axis(struct kb_reader *r, const cJSON *node, struct kb_axis_values *out) {
    const cJSON *item;
    if (!cJSON_IsArray(node)) {
        int64_t *one = kb_arena_alloc(r->groups->arena, sizeof *one);
        out->n = read_size(r, node, one);
        out->values = one;
        return;
    }
    int n = kb_read_length(r, node, "a list of sizes");
    int64_t *values = kb_arena_array(r->groups->arena, (size_t)n, sizeof *values);
    out->values = values;
    if (!n)
        return;
    cJSON_ArrayForEach(item, node) {
        if (read_size(r, item, &values[out->n]))
            out->n++;
    }
}

const struct kb_axis_values *kb_read_axes(struct kb_reader *r, const struct kb_draft *d,
                                          const struct kb_op *op) {
    const cJSON *axes = d->lists[1];
    struct kb_axis_values *out =
        kb_arena_array(r->groups->arena, (size_t)op->n_axes, sizeof *out);
    if (!op->n_axes) {
        kb_read_complain(r, axes, true, d->node, "%s has no named axes, give shapes: %s",
                         op->name, op->shape_form);
        return out;
    }
    kb_json_check_keys(&r->doc, axes, op->axes, (size_t)op->n_axes, r->c);
    for (int a = 0; a < op->n_axes; a++) {
        const cJSON *node = kb_json_get(axes, op->axes[a]);
        if (node)
            read_axis(r, node, &out[a]);
        else if (!kb_json_misspells(axes, op->axes[a], op->axes, (size_t)op->n_axes))
            kb_read_complain(r, axes, false, axes, "lacks \"%s\", an axis of %s",
                             op->axes[a], op->name);
    }
    return out;
}

/* ---- set -------------------------------------------------------------------------------
 */

static bool read_value(struct kb_reader *r, const cJSON *node, const cJSON *key,
                       const struct kb_param *param, struct kb_value *out) {
    struct kb_err err = {0};
    bool list = param->kind == KB_PARAM_LIST;
    bool word = param->kind == KB_PARAM_WORD || list;
    if (word ? !cJSON_IsString(node) : !cJSON_IsNumber(node)) {
        kb_read_wanted(r, node, key,
                       list   ? "whole numbers joined by + in a string"
                       : word ? "a word"
                              : "a number");
        return false;
    }
    if (word ? kb_value_parse(param, node->valuestring, out, &err)
             : kb_value_of(param, node->valuedouble, out, &err))
        return true;
    const char *what = err.msg + strlen(param->name) + 2; /* "KEY: " is in the path */
    kb_read_complain(r, node, false, key, "%s", what);
    return false;
}

static void read_choice(struct kb_reader *r, const cJSON *set, const cJSON *key,
                        const struct kb_op *op, struct kb_choice *out) {
    struct kb_buf what = {0};
    const cJSON *item;
    const struct kb_param *param = kb_op_param(op, key->string, &out->param);
    if (!param) {
        kb_unknown_key(&what, op, key->string);
        kb_read_complain(r, key, true, set, "%s", kb_buf_text(&what));
        kb_buf_free(&what);
        return;
    }
    int n = cJSON_IsArray(key) ? kb_read_length(r, key, "a value or a list of values") : 1;
    struct kb_value *values = kb_arena_array(r->groups->arena, (size_t)n, sizeof *values);
    out->values = values;
    if (!cJSON_IsArray(key)) {
        out->n = read_value(r, key, key, param, values);
        return;
    }
    if (!n)
        return;
    cJSON_ArrayForEach(item, key) {
        if (read_value(r, item, key, param, &values[out->n]))
            out->n++;
    }
}

/* "fills" has a list of its own, so that ids have one word for it and files one place. */
void kb_read_set(struct kb_reader *r, const cJSON *set, struct kb_group *g) {
    const cJSON *key;
    struct kb_choice *choices =
        kb_arena_array(r->groups->arena, (size_t)cJSON_GetArraySize(set), sizeof *choices);
    g->choices = choices;
    if (!cJSON_IsObject(set)) {
        kb_read_wanted(r, set, set, "an object, {\"KEY\": VALUE}");
        return;
    }
    cJSON_ArrayForEach(key, set) {
        if (kb_streq(key->string, "fill") || kb_streq(key->string, "fills")) {
            kb_read_complain(r, key, true, set,
                             "%s is not set here: use \"fills\" of the group", key->string);
            continue;
        }
        struct kb_choice choice = {0};
        read_choice(r, set, key, g->base->op, &choice);
        if (choice.n)
            choices[g->n_choices++] = choice;
    }
}
