/* expr_ops.c - operators and functions of contract expressions: types, then values. */
#include "kernel/expr.h"

#include <math.h>
#include <string.h>

const struct kb_expr_op_row kb_expr_ops[KB_OP_MOD + 1] = {
    [KB_OP_NONE] = {"", 0, false},  [KB_OP_OR] = {"||", 1, false},
    [KB_OP_AND] = {"&&", 2, false}, [KB_OP_EQ] = {"==", 3, true},
    [KB_OP_NE] = {"!=", 3, true},   [KB_OP_LE] = {"<=", 4, true},
    [KB_OP_GE] = {">=", 4, true},   [KB_OP_LT] = {"<", 4, true},
    [KB_OP_GT] = {">", 4, true},    [KB_OP_ADD] = {"+", 5, false},
    [KB_OP_SUB] = {"-", 5, false},  [KB_OP_MUL] = {"*", 6, false},
    [KB_OP_DIV] = {"/", 6, false},  [KB_OP_MOD] = {"%", 6, false},
};

/* ---- values ----------------------------------------------------------------------------
 */

bool kb_expr_need_number(struct kb_expr_parser *p, const struct kb_expr_operand *v) {
    switch (v->type) {
    case KB_EXPR_INT:
    case KB_EXPR_FLOAT:
        return true;
    case KB_EXPR_WORD:
        return kb_expr_fail(p, v->at,
                            "`%s` is a word (%s): compare it by == or !=", v->name->name,
                            v->name->words);
    case KB_EXPR_LIST:
        return kb_expr_fail(p, v->at, "`%s` is a list: take its sum, max or count",
                            v->name->name);
    case KB_EXPR_UNKNOWN:
        break;
    }
    return kb_expr_unknown(p, v);
}

bool kb_expr_need_int(struct kb_expr_parser *p, const struct kb_expr_operand *v,
                      const char *who) {
    if (!kb_expr_need_number(p, v))
        return false;
    return v->type == KB_EXPR_INT ||
           kb_expr_fail(p, v->at, "%s needs whole numbers, got a float", who);
}

double kb_expr_as_float(const struct kb_expr_operand *v) {
    return v->type == KB_EXPR_FLOAT ? v->f : (double)v->i;
}

bool kb_expr_is_true(const struct kb_expr_operand *v) {
    return v->type == KB_EXPR_FLOAT ? v->f != 0 : v->i != 0;
}

void kb_expr_set_int(struct kb_expr_operand *v, int64_t i) {
    v->type = KB_EXPR_INT;
    v->i = i;
    v->bare = false;
}

static bool set_float(struct kb_expr_parser *p, size_t at, struct kb_expr_operand *v,
                      double f) {
    v->type = KB_EXPR_FLOAT;
    v->f = f;
    v->bare = false;
    return isfinite(f) || kb_expr_fail(p, at, "the result is not finite");
}

bool kb_expr_negate(struct kb_expr_parser *p, size_t at, bool live,
                    struct kb_expr_operand *v) {
    if (!kb_expr_need_number(p, v))
        return false;
    v->bare = false;
    if (v->type == KB_EXPR_FLOAT)
        v->f = -v->f;
    else if (live && __builtin_sub_overflow(0, v->i, &v->i))
        return kb_expr_fail(p, at, "-(%lld) does not fit in 64 bits", (long long)INT64_MIN);
    return true;
}

/* ---- operators -------------------------------------------------------------------------
 */

static int word_index(const char *words, const char *text, size_t len) {
    int index = 0;
    for (const char *at = words; at; index++) {
        const char *end = strchr(at, ',');
        size_t n = end ? (size_t)(end - at) : strlen(at);
        if (n == len && !memcmp(at, text, n))
            return index;
        at = end ? end + 1 : NULL;
    }
    return -1;
}

static bool no_such_word(struct kb_expr_parser *p, const struct kb_name *param,
                         const struct kb_expr_operand *word) {
    struct kb_arena arena = {0};
    struct kb_strings words = {0};
    if (!word->bare)
        return kb_expr_fail(p, word->at, "`%s` compares with one of its words: %s",
                            param->name, param->words);
    char *given = kb_arena_strndup(&arena, p->text + word->at, word->len);
    kb_split(&arena, param->words, ',', &words);
    const char *near = kb_suggest(given, words.items, words.count);
    if (near)
        kb_expr_fail(p, word->at, "`%s` has no word `%s`, did you mean `%s`?", param->name,
                     given, near);
    else
        kb_expr_fail(p, word->at, "`%s` has no word `%s`, it has %s", param->name, given,
                     param->words);
    kb_arena_free(&arena);
    return false;
}

static bool compare_words(struct kb_expr_parser *p, enum kb_expr_op op,
                          struct kb_expr_operand *a, const struct kb_expr_operand *b) {
    const struct kb_expr_operand *param = a->type == KB_EXPR_WORD ? a : b;
    const struct kb_expr_operand *word = param == a ? b : a;
    int index =
        word->bare ? word_index(param->name->words, p->text + word->at, word->len) : -1;
    if (index < 0)
        return no_such_word(p, param->name, word);
    kb_expr_set_int(a, (param->i == index) == (op == KB_OP_EQ));
    return true;
}

static bool compare(enum kb_expr_op op, const struct kb_expr_operand *a,
                    const struct kb_expr_operand *b) {
    int order;
    if (a->type == KB_EXPR_INT && b->type == KB_EXPR_INT) {
        order = (a->i > b->i) - (a->i < b->i);
    } else { /* always finite */
        double x = kb_expr_as_float(a), y = kb_expr_as_float(b);
        order = (x > y) - (x < y);
    }
    switch (op) {
    case KB_OP_EQ:
        return order == 0;
    case KB_OP_NE:
        return order != 0;
    case KB_OP_LE:
        return order <= 0;
    case KB_OP_GE:
        return order >= 0;
    case KB_OP_LT:
        return order < 0;
    default:
        return order > 0;
    }
}

static bool compute_int(struct kb_expr_parser *p, enum kb_expr_op op, size_t at,
                        struct kb_expr_operand *a, int64_t right) {
    int64_t left = a->i;
    bool over = false;
    if ((op == KB_OP_DIV || op == KB_OP_MOD) && !right)
        return kb_expr_fail(p, at, "division by zero");
    switch (op) {
    case KB_OP_ADD:
        over = __builtin_add_overflow(left, right, &a->i);
        break;
    case KB_OP_SUB:
        over = __builtin_sub_overflow(left, right, &a->i);
        break;
    case KB_OP_MUL:
        over = __builtin_mul_overflow(left, right, &a->i);
        break;
    case KB_OP_DIV:
        over = left == INT64_MIN && right == -1;
        a->i = over ? 0 : left / right;
        break;
    default:
        a->i = right == -1 ? 0 : left % right; /* INT64_MIN % -1 traps */
    }
    return !over || kb_expr_fail(p, at, "%lld %s %lld does not fit in 64 bits",
                                 (long long)left, kb_expr_ops[op].text, (long long)right);
}

static bool compute_float(struct kb_expr_parser *p, enum kb_expr_op op, size_t at,
                          struct kb_expr_operand *a, double y) {
    double x = kb_expr_as_float(a);
    switch (op) {
    case KB_OP_ADD:
        return set_float(p, at, a, x + y);
    case KB_OP_SUB:
        return set_float(p, at, a, x - y);
    case KB_OP_MUL:
        return set_float(p, at, a, x * y);
    default:
        return y != 0 ? set_float(p, at, a, x / y)
                      : kb_expr_fail(p, at, "division by zero");
    }
}

bool kb_expr_apply(struct kb_expr_parser *p, enum kb_expr_op op, size_t at, bool live,
                   struct kb_expr_operand *a, const struct kb_expr_operand *b) {
    if ((op == KB_OP_EQ || op == KB_OP_NE) &&
        (a->type == KB_EXPR_WORD || b->type == KB_EXPR_WORD))
        return compare_words(p, op, a, b);
    if (!kb_expr_need_number(p, a) || !kb_expr_need_number(p, b))
        return false;
    if (op == KB_OP_MOD && (!kb_expr_need_int(p, a, "%") || !kb_expr_need_int(p, b, "%")))
        return false;
    if (kb_expr_ops[op].comparison) {
        kb_expr_set_int(a, compare(op, a, b));
        return true;
    }
    bool whole = a->type == KB_EXPR_INT && b->type == KB_EXPR_INT;
    a->bare = false;
    if (!live) {
        a->type = whole ? KB_EXPR_INT : KB_EXPR_FLOAT;
        return true;
    }
    return whole ? compute_int(p, op, at, a, b->i)
                 : compute_float(p, op, at, a, kb_expr_as_float(b));
}

/* ---- functions -------------------------------------------------------------------------
 */

enum function { CEIL_DIV, ALIGN_UP, NEXT_POW2, MIN, MAX, SUM, COUNT };

const char *const kb_expr_functions[] = {"ceil_div", "align_up", "next_pow2", "min",
                                         "max",      "sum",      "count"};
const size_t kb_expr_n_functions = KB_COUNT(kb_expr_functions);

int kb_expr_function(const char *name, size_t len) {
    for (size_t i = 0; i < kb_expr_n_functions; i++)
        if (strlen(kb_expr_functions[i]) == len && !memcmp(kb_expr_functions[i], name, len))
            return (int)i;
    return -1;
}

static bool arity(struct kb_expr_parser *p, size_t at, enum function f, int n) {
    bool open = f == MIN || f == MAX;
    int least = f == NEXT_POW2 ? 1 : 2;
    if (open ? n >= least : n == least)
        return true;
    return kb_expr_fail(p, at, "%s takes %d%s argument%s, got %d", kb_expr_functions[f],
                        least, open ? " or more" : "", least == 1 ? "" : "s", n);
}

static bool aggregate(struct kb_expr_parser *p, enum function f, bool live,
                      const struct kb_expr_operand *arg, struct kb_expr_operand *out) {
    const struct kb_name *name = arg->name;
    int64_t sum = 0, max = 0;
    for (int64_t i = 0; live && i < name->n_list; i++) {
        if (__builtin_add_overflow(sum, name->list[i], &sum))
            return kb_expr_fail(p, arg->at, "the sum does not fit in 64 bits");
        if (!i || name->list[i] > max)
            max = name->list[i];
    }
    if (live && f == MAX && !name->n_list)
        return kb_expr_fail(p, arg->at, "max of an empty list");
    kb_expr_set_int(out, f == SUM ? sum : f == MAX ? max : name->n_list);
    return true;
}

static bool extreme(struct kb_expr_parser *p, enum function f,
                    const struct kb_expr_operand *args, int n,
                    struct kb_expr_operand *out) {
    const struct kb_expr_operand *best = args;
    bool whole = true;
    for (int i = 0; i < n; i++) {
        if (!kb_expr_need_number(p, &args[i]))
            return false;
        whole = whole && args[i].type == KB_EXPR_INT;
        if (compare(f == MIN ? KB_OP_LT : KB_OP_GT, &args[i], best))
            best = &args[i];
    }
    out->type = whole ? KB_EXPR_INT : KB_EXPR_FLOAT;
    out->i = best->i;
    out->f = kb_expr_as_float(best);
    return true;
}

static bool ceil_div(struct kb_expr_parser *p, size_t at, enum function f, int64_t a,
                     int64_t b, int64_t *out) {
    if (!b)
        return kb_expr_fail(p, at, "division by zero");
    if (b < 0)
        return kb_expr_fail(p, at, "%s needs a positive divisor, got %lld",
                            kb_expr_functions[f], (long long)b);
    *out = a / b + (a % b > 0);
    if (f == ALIGN_UP && __builtin_mul_overflow(*out, b, out))
        return kb_expr_fail(p, at, "align_up(%lld, %lld) does not fit in 64 bits",
                            (long long)a, (long long)b);
    return true;
}

static bool next_pow2(struct kb_expr_parser *p, size_t at, int64_t a, int64_t *out) {
    int64_t power = 1;
    while (power < a) {
        if (power > INT64_MAX / 2)
            return kb_expr_fail(p, at, "next_pow2(%lld) does not fit in 64 bits",
                                (long long)a);
        power *= 2;
    }
    *out = power;
    return true;
}

bool kb_expr_call(struct kb_expr_parser *p, int function, bool live,
                  struct kb_expr_operand *args, int n, struct kb_expr_operand *out) {
    enum function f = (enum function)function;
    bool takes_list = f == SUM || f == MAX || f == COUNT;
    if (takes_list && n == 1 && args[0].type == KB_EXPR_LIST)
        return aggregate(p, f, live, &args[0], out);
    if (f == SUM || f == COUNT) {
        if (n && args[0].type == KB_EXPR_UNKNOWN)
            return kb_expr_unknown(p, &args[0]);
        return kb_expr_fail(p, out->at, "%s takes one list axis", kb_expr_functions[f]);
    }
    if (!arity(p, out->at, f, n))
        return false;
    if (f == MIN || f == MAX)
        return extreme(p, f, args, n, out);
    for (int i = 0; i < n; i++)
        if (!kb_expr_need_int(p, &args[i], kb_expr_functions[f]))
            return false;
    kb_expr_set_int(out, 0);
    if (!live)
        return true;
    return f == NEXT_POW2 ? next_pow2(p, out->at, args[0].i, &out->i)
                          : ceil_div(p, out->at, f, args[0].i, args[1].i, &out->i);
}
