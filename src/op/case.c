/* case.c - a case and its words: ids, shapes, parameter values, tolerances. */
#include "op/group.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- shapes ----------------------------------------------------------------------------
 */

bool kb_shape_parse(const char *text, int64_t shape[KB_MAX_RANK], int *rank) {
    int64_t sizes[KB_MAX_RANK];
    int n = 0;
    for (;; text++) {
        size_t len = strspn(text, "0123456789");
        char digits[20];
        if (!len || len >= sizeof digits || (*text == '0' && len > 1) || n == KB_MAX_RANK)
            return false;
        memcpy(digits, text, len);
        digits[len] = '\0';
        if (!kb_parse_i64(digits, &sizes[n]) || sizes[n++] > KB_MAX_SIZE)
            return false;
        text += len;
        if (*text != 'x')
            break;
    }
    if (*text)
        return false;
    memcpy(shape, sizes, (size_t)n * sizeof *sizes);
    *rank = n;
    return true;
}

/* Ids are much of what listing cases takes: numbers in them are printed by hand. */
static void print_size(int64_t size, struct kb_buf *out) {
    char text[24];
    size_t at = sizeof text;
    if (size < 0) { /* none of a case: in a message */
        kb_buf_printf(out, "%lld", (long long)size);
        return;
    }
    do
        text[--at] = (char)('0' + size % 10);
    while ((size /= 10) > 0);
    kb_buf_add(out, text + at, sizeof text - at);
}

void kb_shape_print(const int64_t *shape, int rank, struct kb_buf *out) {
    for (int i = 0; i < rank; i++) {
        if (i)
            kb_buf_putc(out, 'x');
        print_size(shape[i], out);
    }
}

/* ---- parameter values ------------------------------------------------------------------
 */

/* The shortest decimal that reads back as `v`; 10 and not 1e+01. */
static void print_double(double v, struct kb_buf *out) {
    char text[40];
    if (v == floor(v) && fabs(v) < 1e15) {
        if (signbit(v))
            kb_buf_printf(out, "%.0f", v);
        else
            print_size((int64_t)v, out);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    kb_buf_puts(out, text);
}

static const char *word_at(const char *words, int index, size_t *len) {
    for (; index > 0 && words; index--) {
        words = strchr(words, ',');
        words = words ? words + 1 : NULL;
    }
    *len = words ? strcspn(words, ",") : 0;
    return words;
}

void kb_value_print(const struct kb_param *param, struct kb_value v, struct kb_buf *out) {
    size_t len;
    switch (param->kind) {
    case KB_PARAM_WORD: {
        const char *word = word_at(param->words, (int)v.v, &len);
        kb_buf_add(out, word ? word : "", len);
        break;
    }
    case KB_PARAM_INT:
        print_size((int64_t)v.v, out);
        break;
    case KB_PARAM_FLOAT:
        print_double(v.v, out);
        break;
    case KB_PARAM_LIST:
        for (int i = 0; i < (int)v.v; i++)
            kb_buf_printf(out, "%s%lld", i ? "+" : "", (long long)v.items[i]);
        break;
    }
}

bool kb_value_same(const struct kb_value *a, const struct kb_value *b) {
    return a->v == b->v && !memcmp(a->items, b->items, sizeof a->items);
}

static bool fail_value(const struct kb_param *param, double number, struct kb_err *err) {
    struct kb_buf got = {0}, range = {0};
    bool whole = param->kind != KB_PARAM_FLOAT && number != floor(number);
    print_double(number, &got);
    print_double(param->min, &range);
    kb_buf_puts(&range, " to ");
    print_double(param->max, &range);
    kb_fail(err, KB_INPUT, "%s: wants %s%s, got %s", param->name,
            whole ? "a whole number from " : "", range.data, got.data);
    kb_buf_free(&got);
    kb_buf_free(&range);
    return false;
}

/* Every resolve holds every parameter against its range: text only where it is needed. */
bool kb_value_of(const struct kb_param *param, double number, struct kb_value *out,
                 struct kb_err *err) {
    if (param->kind == KB_PARAM_WORD)
        return kb_fail(err, KB_INPUT, "%s: wants a word of %s, got a number", param->name,
                       param->words);
    if (param->kind == KB_PARAM_LIST)
        return kb_fail(err, KB_INPUT, "%s: wants whole numbers joined by +, got a number",
                       param->name);
    if ((param->kind == KB_PARAM_INT && number != floor(number)) ||
        !(number >= param->min && number <= param->max))
        return fail_value(param, number, err);
    *out = (struct kb_value){.v = number == 0 ? 0 : number}; /* -0 would be another id */
    return true;
}

bool kb_value_list(const struct kb_param *param, const struct kb_value *value,
                   struct kb_err *err) {
    for (int i = 0; i < (int)value->v; i++)
        if ((double)value->items[i] < param->min || (double)value->items[i] > param->max)
            return fail_value(param, (double)value->items[i], err);
    return true;
}

/* 64+128+32; nothing is a list of none. */
static bool parse_list(const struct kb_param *param, const char *text, struct kb_value *out,
                       struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_strings items = {0};
    struct kb_value list = {0};
    bool ok = true;
    if (*text)
        kb_split(&arena, text, '+', &items);
    for (size_t i = 0; ok && i < items.count; i++)
        ok = i < KB_MAX_LIST && kb_parse_i64(items.items[i], &list.items[i]);
    list.v = (double)items.count;
    kb_arena_free(&arena);
    if (!ok)
        return kb_fail(err, KB_INPUT,
                       "%s: wants up to %d whole numbers joined by +, got \"%.64s\"",
                       param->name, KB_MAX_LIST, text);
    if (!kb_value_list(param, &list, err))
        return false;
    *out = list;
    return true;
}

static bool fail_word(const struct kb_param *param, const char *text, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_strings words = {0};
    struct kb_buf what = {0};
    kb_split(&arena, param->words, ',', &words);
    kb_unknown(&what, "value", text, words.items, words.count);
    kb_fail(err, KB_INPUT, "%s: %s", param->name, kb_buf_text(&what));
    kb_buf_free(&what);
    kb_arena_free(&arena);
    return false;
}

static bool parse_word(const struct kb_param *param, const char *text, struct kb_value *out,
                       struct kb_err *err) {
    size_t wanted = strlen(text), len;
    const char *word;
    for (int i = 0; (word = word_at(param->words, i, &len)) != NULL; i++) {
        if (len == wanted && !memcmp(word, text, len)) {
            *out = (struct kb_value){.v = i};
            return true;
        }
    }
    return fail_word(param, text, err);
}

bool kb_value_parse(const struct kb_param *param, const char *text, struct kb_value *out,
                    struct kb_err *err) {
    double number;
    int64_t whole;
    if (param->kind == KB_PARAM_WORD)
        return parse_word(param, text, out, err);
    if (param->kind == KB_PARAM_LIST)
        return parse_list(param, text, out, err);
    if (param->kind == KB_PARAM_FLOAT) {
        if (!kb_parse_f64(text, &number))
            return kb_fail(err, KB_INPUT, "%s: wants a number, got \"%.64s\"", param->name,
                           text);
        return kb_value_of(param, number, out, err);
    }
    if (!kb_parse_i64(text, &whole) || whole < -KB_MAX_SIZE || whole > KB_MAX_SIZE)
        return kb_fail(err, KB_INPUT, "%s: wants a whole number up to 2^53, got \"%.64s\"",
                       param->name, text);
    return kb_value_of(param, (double)whole, out, err);
}

static bool set_fill(struct kb_case *c, const char *word, struct kb_err *err) {
    enum kb_fill fill;
    if (kb_fill_parse(word, &fill)) {
        if (!kb_op_takes_fill(c->op, fill, err))
            return false;
        c->fill = fill;
        return true;
    }
    struct kb_buf what = {0};
    kb_unknown_fill(&what, word);
    kb_fail(err, KB_INPUT, "%s", kb_buf_text(&what));
    kb_buf_free(&what);
    return false;
}

bool kb_case_set(struct kb_case *c, const char *key, const char *value,
                 struct kb_err *err) {
    int index;
    if (kb_streq(key, "fill"))
        return set_fill(c, value, err);
    const struct kb_param *param = kb_op_param(c->op, key, &index);
    if (param)
        return kb_value_parse(param, value, &c->set[index], err);
    struct kb_buf what = {0};
    kb_unknown_key(&what, c->op, key);
    kb_fail(err, KB_INPUT, "%s", kb_buf_text(&what));
    kb_buf_free(&what);
    return false;
}

bool kb_case_set_all(struct kb_case *c, const char *pairs, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_strings items = {0};
    bool ok = true;
    kb_split(&arena, pairs, ',', &items);
    for (size_t i = 0; ok && i < items.count; i++) {
        const char *item = items.items[i], *equals = strchr(item, '=');
        ok = (equals || kb_fail(err, KB_INPUT, "\"%.64s\" is not KEY=VALUE", item)) &&
             kb_case_set(c, kb_arena_strndup(&arena, item, (size_t)(equals - item)),
                         equals + 1, err);
    }
    kb_arena_free(&arena);
    return ok;
}

bool kb_case_by_convention(const struct kb_case *c, const struct kb_convention *other,
                           struct kb_case *out, struct kb_problem *p) {
    struct kb_err err = {0};
    bool same = true;
    *out = *c;
    out->id = NULL;
    out->op = other->op ? kb_op_find(other->op) : c->op;
    if (!out->op || (other->set && !kb_case_set_all(out, other->set, &err)))
        return false;
    for (int i = 0; i < c->op->n_params; i++)
        same = same && kb_value_same(&c->set[i], &out->set[i]);
    return !(same && out->op == c->op) && kb_case_resolve(out, p, &err);
}

/* ---- ids -------------------------------------------------------------------------------
 */

void kb_case_start(struct kb_case *c, const struct kb_op *op) {
    *c = (struct kb_case){
        .op = op,
        .dtype = kb_op_has_dtype(op, KB_BF16) ? KB_BF16 : op->dtypes[0],
        .fill = op->fills[0],
        .tags = "",
        .origin = "command line",
    };
    for (int i = 0; i < op->n_params; i++)
        c->set[i].v = op->params[i].def;
}

/* Where an id mentions fill among the op's parameters. */
enum { FILL_KEY = -1 };

static const char *key_name(const struct kb_op *op, int key) {
    return key == FILL_KEY ? "fill" : op->params[key].name;
}

/* Keys whose value is not the default, sorted by name. */
static int keys_shown(const struct kb_case *c, int keys[KB_MAX_PARAMS + 1]) {
    int n = 0;
    for (int key = FILL_KEY; key < c->op->n_params; key++) {
        if (key == FILL_KEY ? c->fill == c->op->fills[0]
                            : c->set[key].v == c->op->params[key].def)
            continue;
        int at = n++;
        for (; at > 0 && strcmp(key_name(c->op, keys[at - 1]), key_name(c->op, key)) > 0;
             at--)
            keys[at] = keys[at - 1];
        keys[at] = key;
    }
    return n;
}

const char *kb_case_id(const struct kb_case *c, struct kb_arena *arena) {
    int keys[KB_MAX_PARAMS + 1];
    int n = keys_shown(c, keys);
    struct kb_buf id = {0};
    kb_buf_puts(&id, c->op->name);
    kb_buf_putc(&id, '/');
    kb_shape_print(c->shape, c->rank, &id);
    kb_buf_putc(&id, '/');
    kb_buf_puts(&id, kb_dtype_name(c->dtype));
    for (int i = 0; i < n; i++) {
        kb_buf_putc(&id, '/');
        kb_buf_puts(&id, key_name(c->op, keys[i]));
        kb_buf_putc(&id, '=');
        if (keys[i] == FILL_KEY)
            kb_buf_puts(&id, kb_fill_word(c->fill));
        else
            kb_value_print(&c->op->params[keys[i]], c->set[keys[i]], &id);
    }
    const char *text = kb_arena_strndup(arena, id.data, id.len);
    kb_buf_free(&id);
    return text;
}

/* The parts of an id that is being read; complaints start with the whole id. */
struct id_reader {
    const char *id;
    struct kb_strings parts;
    struct kb_complaints *complaints;
};

static void complain_of_id(const struct id_reader *r, const struct kb_buf *what) {
    kb_complain_option(r->complaints, "--case", "%.200s: %s", r->id, kb_buf_text(what));
}

static void read_dtype(const struct id_reader *r, struct kb_case *c) {
    struct kb_buf what = {0};
    struct kb_err err = {0};
    if (!kb_dtype_parse(r->parts.items[2], &c->dtype))
        kb_unknown_dtype(&what, r->parts.items[2], &c->op, c->op != NULL);
    else if (c->op && !kb_op_takes_dtype(c->op, c->dtype, &err))
        kb_buf_puts(&what, err.msg);
    if (what.len)
        complain_of_id(r, &what);
    kb_buf_free(&what);
}

/* Part `i` is "key=value"; a key comes once. Keys of an unknown op are not judged. */
static void read_setting(const struct id_reader *r, size_t i, struct kb_case *c,
                         struct kb_arena *arena) {
    const char *part = r->parts.items[i];
    const char *equals = strchr(part, '=');
    struct kb_buf what = {0};
    struct kb_err err = {0};
    size_t len = equals ? (size_t)(equals - part) + 1 : 0;
    if (!len)
        kb_buf_printf(&what, "\"%.64s\" is not KEY=VALUE", part);
    for (size_t k = 3; k < i && len; k++)
        if (!strncmp(r->parts.items[k], part, len))
            kb_buf_printf(&what, "%.*s is given twice", (int)len - 1, part);
    if (!what.len && c->op &&
        !kb_case_set(c, kb_arena_strndup(arena, part, len - 1), equals + 1, &err))
        kb_buf_puts(&what, err.msg);
    if (what.len)
        complain_of_id(r, &what);
    kb_buf_free(&what);
}

static void read_id(const struct id_reader *r, struct kb_arena *arena, struct kb_case *c) {
    struct kb_buf what = {0};
    const struct kb_op *op = kb_op_find(r->parts.items[0]);
    if (op) {
        kb_case_start(c, op);
    } else {
        *c = (struct kb_case){0};
        kb_unknown_op(&what, r->parts.items[0]);
        complain_of_id(r, &what);
    }
    kb_buf_clear(&what);
    if (!kb_shape_parse(r->parts.items[1], c->shape, &c->rank)) {
        kb_buf_printf(&what, "\"%.64s\" is no shape, wanted %s", r->parts.items[1],
                      op ? op->shape_form : "sizes joined by x");
        complain_of_id(r, &what);
    }
    kb_buf_free(&what);
    read_dtype(r, c);
    for (size_t i = 3; i < r->parts.count; i++)
        read_setting(r, i, c, arena);
}

bool kb_case_parse(const char *id, struct kb_arena *arena, struct kb_case *out,
                   struct kb_complaints *complaints) {
    struct id_reader r = {.id = id, .complaints = complaints};
    int before = complaints->count;
    struct kb_case c;
    kb_split(arena, id, '/', &r.parts);
    if (r.parts.count < 3 || r.parts.count > 3 + KB_MAX_PARAMS + 1)
        kb_complain_option(complaints, "--case",
                           "\"%.200s\" is no id, wanted op/shape/dtype[/key=value...]", id);
    else
        read_id(&r, arena, &c);
    if (complaints->count != before)
        return false;
    *out = c;
    out->id = kb_case_id(out, arena);
    return true;
}

/* ---- tolerances ------------------------------------------------------------------------
 */

bool kb_tolerance_parse(const char *text, struct kb_tolerance *out, struct kb_err *err) {
    struct kb_tolerance t = {.rule = KB_TOL_BOUND};
    if (kb_streq(text, "bound") || kb_streq(text, "peer")) {
        t.rule = kb_streq(text, "peer") ? KB_TOL_PEER : KB_TOL_BOUND;
        *out = t;
        return true;
    }
    struct kb_arena arena = {0};
    struct kb_strings parts = {0};
    kb_split(&arena, text, ',', &parts);
    t.rule = KB_TOL_GIVEN;
    bool ok = parts.count == 2 && kb_parse_f64(parts.items[0], &t.atol) &&
              kb_parse_f64(parts.items[1], &t.rtol) && t.atol >= 0 && t.rtol >= 0;
    kb_arena_free(&arena);
    if (!ok)
        return kb_fail(err, KB_INPUT, "\"%.64s\" is none of bound, peer and ATOL,RTOL",
                       text);
    *out = t;
    return true;
}

bool kb_tolerance_same(const struct kb_tolerance *a, const struct kb_tolerance *b) {
    return a->rule == b->rule && a->atol == b->atol && a->rtol == b->rtol;
}
