/* expression.c - an expression of a contract as text, held against a second evaluator: a
 * tree first, then its types (expression_tree.h), then its values in 128 bits. */
#include "expression_tree.h"

#include <math.h>

/* ---- values ----------------------------------------------------------------------------
 */

struct value {
    bool real;
    __int128 i;
    double f;
};

static bool eval(const struct node *node, struct value *out);

static double as_real(const struct value *v) {
    return v->real ? v->f : (double)(int64_t)v->i;
}

static bool is_true(const struct value *v) {
    return v->real ? v->f != 0 : v->i != 0;
}

static bool give(__int128 i, struct value *out) {
    *out = (struct value){.i = i};
    return i >= INT64_MIN && i <= INT64_MAX;
}

static bool give_real(double f, struct value *out) {
    *out = (struct value){.real = true, .f = f};
    return isfinite(f);
}

static int order(const struct value *a, const struct value *b) {
    if (!a->real && !b->real)
        return (a->i > b->i) - (a->i < b->i);
    return (as_real(a) > as_real(b)) - (as_real(a) < as_real(b));
}

static bool eval_list(const struct node *node, struct value *out) {
    const struct kb_name *name = node->child[0]->name;
    __int128 sum = 0, most = INT64_MIN;
    for (int64_t i = 0; i < name->n_list; i++) {
        sum += name->list[i];
        most = name->list[i] > most ? name->list[i] : most;
    }
    if (says(node, "max"))
        return name->n_list && give(most, out);
    return give(says(node, "sum") ? sum : name->n_list, out);
}

static bool eval_call(const struct node *node, struct value *out) {
    struct value args[CHILDREN], best;
    if (node->child[0]->type == LIST)
        return eval_list(node, out);
    for (int i = 0; i < node->n; i++)
        if (!eval(node->child[i], &args[i]))
            return false;
    if (says(node, "next_pow2")) {
        __int128 power = 1;
        while (power < args[0].i)
            power *= 2;
        return give(power, out);
    }
    if (says(node, "ceil_div") || says(node, "align_up")) {
        __int128 a = args[0].i, b = args[1].i;
        if (b <= 0)
            return false;
        __int128 quotient = a > 0 ? (a + b - 1) / b : -(-a / b);
        return give(says(node, "ceil_div") ? quotient : quotient * b, out);
    }
    best = args[0];
    for (int i = 1; i < node->n; i++)
        if (says(node, "min") ? order(&args[i], &best) < 0 : order(&args[i], &best) > 0)
            best = args[i];
    return node->type == INT ? give(best.i, out) : give_real(as_real(&best), out);
}

static bool eval_binary(const struct node *node, struct value *out) {
    struct value a, b;
    if (!eval(node->child[0], &a))
        return false;
    if (node->kind == AND || node->kind == OR) {
        if (is_true(&a) == (node->kind == OR))
            return give(node->kind == OR, out);
        return eval(node->child[1], &b) && give(is_true(&b), out);
    }
    if (!eval(node->child[1], &b))
        return false;
    int compared = order(&a, &b);
    bool zero = !is_true(&b);
    switch (node->kind) {
    case EQ:
        return give(compared == 0, out);
    case NE:
        return give(compared != 0, out);
    case LE:
        return give(compared <= 0, out);
    case GE:
        return give(compared >= 0, out);
    case LT:
        return give(compared < 0, out);
    case GT:
        return give(compared > 0, out);
    case ADD:
        return node->type == INT ? give(a.i + b.i, out)
                                 : give_real(as_real(&a) + as_real(&b), out);
    case SUB:
        return node->type == INT ? give(a.i - b.i, out)
                                 : give_real(as_real(&a) - as_real(&b), out);
    case MUL:
        return node->type == INT ? give(a.i * b.i, out)
                                 : give_real(as_real(&a) * as_real(&b), out);
    case MOD:
        return !zero && give(a.i % b.i, out);
    default:
        return !zero && (node->type == INT ? give(a.i / b.i, out)
                                           : give_real(as_real(&a) / as_real(&b), out));
    }
}

static bool eval_words(const struct node *node, struct value *out) {
    const struct node *a = node->child[0], *b = node->child[1];
    const struct node *param = a->type == WORD ? a : b;
    bool same = word_of(param, param == a ? b : a) == (int)param->name->value;
    return give(same == (node->kind == EQ), out);
}

static bool eval(const struct node *node, struct value *out) {
    struct value v;
    switch (node->kind) {
    case WHOLE:
        return give(node->whole, out);
    case REAL:
        return give_real(node->real, out);
    case NAME:
        if (node->error)
            return false;
        return node->type == FLOAT ? give_real(node->real, out) : give(node->whole, out);
    case NOT:
        return eval(node->child[0], &v) && give(!is_true(&v), out);
    case MINUS:
        return eval(node->child[0], &v) &&
               (v.real ? give_real(-v.f, out) : give(-v.i, out));
    case CHOICE:
        if (!eval(node->child[0], &v) || !eval(node->child[is_true(&v) ? 1 : 2], out))
            return false;
        return node->type == INT || give_real(as_real(out), out);
    case CALL:
        return eval_call(node, out);
    case EQ:
    case NE:
        if (node->child[0]->type == WORD || node->child[1]->type == WORD)
            return eval_words(node, out);
        return eval_binary(node, out);
    default:
        return eval_binary(node, out);
    }
}

/* ---- both ------------------------------------------------------------------------------
 */

/* All parts hold where the whole does. */
static void want_parts(const char *text, bool is_true_here) {
    struct kb_arena arena = {0};
    struct kb_strings parts = {0};
    struct kb_err err = {0};
    bool holds = true;
    kb_expr_parts(text, &arena, &parts);
    for (size_t i = 0; i < parts.count && holds; i++)
        if (!kb_expr_holds(parts.items[i], &env, &holds, &err))
            DISAGREE("a part of `%s`: %s", text, err.msg);
    if (holds != is_true_here)
        DISAGREE("`%s` is %d by its parts", text, holds);
    kb_arena_free(&arena);
}

static void want_value(const char *text, const struct kb_expr_value *got,
                       const struct value *want) {
    if (got->is_float != want->real ||
        (want->real ? got->f != want->f : got->i != (int64_t)want->i))
        DISAGREE("`%s` is %lld, %g and not %lld, %g", text, (long long)got->i, got->f,
                 (long long)want->i, want->f);
    want_parts(text, is_true(want));
}

static void want_uses(const char *text) {
    struct kb_buf uses = {0};
    kb_expr_uses(text, &env, &uses);
    want_clean(kb_buf_text(&uses), uses.len, false);
    kb_buf_free(&uses);
}

static void compare(const char *text) {
    struct kb_expr_value got;
    struct kb_err check = {0}, err = {0};
    struct value want;
    bool is_float;
    tree.n = 0;
    tree.at = text;
    struct node *root = choice();
    blanks();
    bool parsed = root && !*tree.at;
    enum type type = parsed ? type_node(root) : WRONG;
    bool typed = type == INT || type == FLOAT;
    bool is_right = kb_expr_check_env(text, &env, &is_float, &check);
    if (!is_right && strstr(check.msg, "nested deeper than"))
        return;
    if (is_right != typed || (typed && is_float != (type == FLOAT)))
        DISAGREE("`%s`: %s, and not %s", text, is_right ? "right" : check.msg,
                 type == FLOAT ? "a float"
                 : typed       ? "whole"
                               : "wrong");
    bool has_value = kb_expr_eval(text, &env, &got, &err);
    if (has_value != (typed && eval(root, &want)))
        DISAGREE("`%s`: %s", text, has_value ? "has a value" : err.msg);
    if (has_value)
        want_value(text, &got, &want);
    else
        want_clean(err.msg, strlen(err.msg), false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = text_of(data, size);
    struct kb_expr_value value;
    struct kb_err err = {0};
    want_uses(text);
    if (strlen(text) <= KB_EXPR_LENGTH)
        compare(text);
    else if (kb_expr_eval(text, &env, &value, &err))
        DISAGREE("%zu characters are taken", strlen(text));
    free(text);
    return 0;
}
