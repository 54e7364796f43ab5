/* problem.c - a case becomes a problem: what all ops check and name alike, and the helpers
 * that their pages build a problem with. */
#include "op/group.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static void add_name(struct kb_problem *p, struct kb_name name) {
    assert(p->n_names < KB_MAX_NAMES);
    assert(name.is_float || fabs(name.value) <= (double)KB_MAX_SIZE);
    p->names[p->n_names++] = name;
}

void kb_problem_name(struct kb_problem *p, const char *name, int64_t value) {
    add_name(p, (struct kb_name){.name = name, .value = (double)value});
}

void kb_problem_float(struct kb_problem *p, const char *name, double value) {
    add_name(p, (struct kb_name){.name = name, .value = value, .is_float = true});
}

/* What the axes other than zero come to is counted, so that no rows at all do not hide a
 * row that nobody could store. */
bool kb_problem_tensor(struct kb_problem *p, const char *name, enum kb_role role,
                       enum kb_dtype dtype, int rank, const int64_t *shape,
                       enum kb_rule rule, struct kb_err *err) {
    assert(p->n_tensors < KB_MAX_TENSORS && rank >= 1 && rank <= KB_MAX_RANK);
    struct kb_tensor_spec *spec = &p->tensors[p->n_tensors];
    *spec = (struct kb_tensor_spec){
        .name = name, .role = role, .dtype = dtype, .rank = rank, .rule = rule};
    int64_t bytes = (int64_t)kb_dtype_bytes(dtype), elements = 1;
    bool empty = false;
    for (int i = 0; i < rank; i++) {
        assert(shape[i] >= 0);
        spec->shape[i] = shape[i];
        empty |= shape[i] == 0;
        if (shape[i] && (!kb_mul_i64(bytes, shape[i], &bytes) || bytes > KB_MAX_SIZE))
            return kb_fail(err, KB_INPUT,
                           "%s: the elements overflow, a tensor has at most 2^53 bytes",
                           name);
        elements *= shape[i] ? shape[i] : 1; /* fewer than bytes */
    }
    spec->elements = empty ? 0 : elements;
    p->n_tensors++;
    return true;
}

void kb_problem_absent(struct kb_problem *p) {
    struct kb_tensor_spec *spec = &p->tensors[p->n_tensors - 1];
    spec->absent = true;
    spec->elements = 0;
}

void kb_problem_derived(struct kb_problem *p) {
    p->tensors[p->n_tensors - 1].derived = true;
}

void kb_problem_means(struct kb_problem *p, const char *param, int64_t value) {
    for (int i = 0; i < p->n_names; i++)
        if (*p->names[i].name == *param && !strcmp(p->names[i].name, param))
            p->names[i].value = (double)value;
}

int kb_problem_find(const struct kb_problem *p, const char *tensor) {
    for (int i = 0; i < p->n_tensors; i++)
        if (!strcmp(p->tensors[i].name, tensor))
            return i;
    return -1;
}

void kb_macros_add(const struct kb_case *c, const struct kb_macro *macros, size_t n,
                   struct kb_arena *arena, struct kb_strings *out) {
    kb_strings_add(out, arena, "KB_T");
    kb_strings_add(out, arena, kb_dtype_cxx(c->dtype));
    for (size_t i = 0; i < n; i++) {
        kb_strings_add(out, arena, macros[i].name);
        kb_strings_add(out, arena,
                       macros[i].type ? macros[i].type
                                      : kb_arena_printf(arena, "%d", macros[i].value));
    }
}

void kb_problem_fill(const struct kb_problem *p, int t, enum kb_fill fill, uint64_t seed,
                     int64_t first, int64_t count, void *data) {
    const struct kb_tensor_spec *spec = &p->tensors[t];
    const struct kb_fill_key key = {
        .seed = seed,
        .tensor = spec->name,
        .fill = fill,
        .row = spec->shape[spec->rank - 1],
    };
    kb_fill_range(&key, spec->dtype, first, count, data);
}

/* ---- ceilings --------------------------------------------------------------------------
 * A GPU's memory is the slowest where it turns from reads to writes all the time: an H200
 * copies 4.28 TB/s, 2 reads to a write are 4.36, 4 are 4.42, reads alone 4.51 and writes
 * alone 4.56. So the ceiling has the next mix that is as uneven as the kernel's or more, a
 * tenth not counted. Its time is not too long, then, and less than 2 % too short, 6 % where
 * more is written than read.
 *
 * Where bytes are few, the joining of what was read takes longer than the mix saves. */

enum { READ_ALONE_FROM = 32 << 20, SUM_BYTES = 4096 };

static const struct {
    const char *pattern;
    double written; /* of all bytes */
    int parts;      /* elements read for one written */
} streams[] = {{"copy", 1 / 2.0, 1}, {"r2w1", 1 / 3.0, 2}, {"r2w05", 1 / 5.0, 4}};

void kb_problem_moves(struct kb_problem *p, int64_t read, int64_t written) {
    double bytes = (double)read + (double)written, share = 1.1 * (double)written / bytes;
    double size = (double)kb_dtype_bytes(p->c->dtype), per_element = 0;
    int64_t step = 16 / (int64_t)size; /* whole vectors */
    size_t s = 0;

    if (bytes <= 0)
        return;
    while (s + 1 < KB_COUNT(streams) && streams[s].written > share)
        s++;
    if ((double)written > 0.55 * bytes) {
        p->ceiling_pattern = "write";
        per_element = size;
        bytes -= size; /* the one that it reads */
    } else if (streams[s].written > share && bytes >= READ_ALONE_FROM) {
        p->ceiling_pattern = "read";
        per_element = size * (1 + size / SUM_BYTES);
    } else {
        p->ceiling_pattern = streams[s].pattern;
        per_element = size * (1 + 1.0 / streams[s].parts);
        step *= streams[s].parts;
    }
    p->ceiling_elements = (int64_t)(bytes / per_element) / step * step;
    if (!p->ceiling_elements)
        p->ceiling_elements = step;
}

/* ---- roundings -------------------------------------------------------------------------
 */

static double step_of(enum kb_dtype dtype, double v, double err) {
    double rounded = kb_round(dtype, v);
    return fmax(rounded - kb_round(dtype, v - err), kb_round(dtype, v + err) - rounded);
}

double kb_rounding_step(enum kb_dtype dtype, double v, double err, double factor) {
    double far_step = step_of(dtype, v, err * factor); /* none: no nearer one either */
    return far_step == 0 ? 0 : fmax(step_of(dtype, v, err), far_step / factor);
}

/* ---- what all ops check ----------------------------------------------------------------
 */

static bool check_rank(const struct kb_case *c, struct kb_err *err) {
    if (c->rank >= 1 && c->rank <= KB_MAX_RANK)
        return true;
    return kb_fail(err, KB_INPUT, "a shape has 1 to %d axes, got %d", KB_MAX_RANK, c->rank);
}

static bool check_sizes(const struct kb_case *c, struct kb_err *err) {
    for (int i = 0; i < c->rank; i++)
        if (c->shape[i] < 0 || c->shape[i] > KB_MAX_SIZE)
            return kb_fail(err, KB_INPUT, "axis %d must be from 0 to 2^53, got %lld", i,
                           (long long)c->shape[i]);
    return true;
}

static bool check_word(const struct kb_param *param, double v, struct kb_err *err) {
    int words = 1;
    for (const char *at = strchr(param->words, ','); at; at = strchr(at + 1, ','))
        words++;
    if (v >= 0 && v < words && v == floor(v))
        return true;
    return kb_fail(err, KB_INPUT, "%s: there is no word %g of %s", param->name, v,
                   param->words);
}

/* Most are the default, which needs no look: a test parses every op's. */
static bool check_params(const struct kb_case *c, struct kb_err *err) {
    for (int i = 0; i < c->op->n_params; i++) {
        const struct kb_param *param = &c->op->params[i];
        struct kb_value same;
        if (c->set[i].v == param->def)
            continue;
        if (!(param->kind == KB_PARAM_WORD   ? check_word(param, c->set[i].v, err)
              : param->kind == KB_PARAM_LIST ? kb_value_list(param, &c->set[i], err)
                                             : kb_value_of(param, c->set[i].v, &same, err)))
            return false;
    }
    return true;
}

static void name_params(const struct kb_case *c, struct kb_problem *p) {
    for (int i = 0; i < c->op->n_params; i++) {
        const struct kb_param *param = &c->op->params[i];
        add_name(p, (struct kb_name){
                        .name = param->name,
                        .value = c->set[i].v,
                        .is_float = param->kind == KB_PARAM_FLOAT,
                        .words = param->kind == KB_PARAM_WORD ? param->words : NULL,
                        .list = param->kind == KB_PARAM_LIST ? c->set[i].items : NULL,
                        .n_list = param->kind == KB_PARAM_LIST ? (int64_t)c->set[i].v : 0,
                    });
    }
}

static bool shape_at(const struct kb_case *c, struct kb_err *err) {
    struct kb_buf shape = {0};
    kb_shape_print(c->shape, c->rank, &shape);
    kb_at(err, "%s", kb_buf_text(&shape));
    kb_buf_free(&shape);
    return false;
}

/* Names and tensors are cleared as they are added: all of them are 5 KB. */
static void begin(struct kb_problem *p, const struct kb_case *c) {
    p->c = c;
    p->n_names = p->n_tensors = 0;
    memset(&p->bytes, 0, sizeof *p - offsetof(struct kb_problem, bytes));
}

bool kb_case_resolve(const struct kb_case *c, struct kb_problem *p, struct kb_err *err) {
    assert(c->op->n_params <= KB_MAX_PARAMS);
    begin(p, c);
    if (!check_rank(c, err) || !kb_op_takes_dtype(c->op, c->dtype, err) ||
        !kb_op_takes_fill(c->op, c->fill, err) || !check_params(c, err))
        return false;
    name_params(c, p);
    if (!check_sizes(c, err) || !c->op->resolve(c, p, err))
        return shape_at(c, err);
    return true;
}
