/* expr.c - the expressions of contracts, read in one pass that checks names and types and,
 * where the value is wanted, computes. What a decided && || or ?: skips is checked all the
 * same: a misspelt name shows in whatever case comes first. */
#include "kernel/expr.h"

#include <ctype.h>
#include <string.h>

enum { MAX_NUMBER = 64, SHOWN = 200 };

static bool parse_choice(struct kb_expr_parser *p, bool live, struct kb_expr_operand *out);

/* ---- messages --------------------------------------------------------------------------
 */

bool kb_expr_fail(struct kb_expr_parser *p, size_t at, const char *fmt, ...) {
    struct kb_buf msg = {0}, shown = {0};
    size_t len = strlen(p->text);
    va_list args;
    va_start(args, fmt);
    kb_buf_vprintf(&msg, fmt, args);
    va_end(args);
    kb_escape(&shown, p->text, len < SHOWN ? len : SHOWN);
    kb_fail(p->err, KB_INPUT, "`%s%s`, column %zu: %s", kb_buf_text(&shown),
            len < SHOWN ? "" : "...", at + 1, kb_buf_text(&msg));
    kb_buf_free(&msg);
    kb_buf_free(&shown);
    return false;
}

static bool unexpected(struct kb_expr_parser *p, const char *wanted) {
    struct kb_buf seen = {0};
    size_t n = 1;
    if (!p->text[p->at])
        return kb_expr_fail(p, p->at, "ends where %s is wanted", wanted);
    while (((unsigned char)p->text[p->at + n] & 0xc0) == 0x80) /* the rest of its UTF-8 */
        n++;
    kb_escape(&seen, p->text + p->at, n);
    kb_expr_fail(p, p->at, "unexpected `%s`, wanted %s", kb_buf_text(&seen), wanted);
    kb_buf_free(&seen);
    return false;
}

/* ---- grammar ---------------------------------------------------------------------------
 */

static char peek(struct kb_expr_parser *p) {
    while (p->text[p->at] && strchr(" \t\r\n", p->text[p->at]))
        p->at++;
    return p->text[p->at];
}

static size_t digits(const char *text) {
    size_t n = 0;
    while (kb_is_digit(text[n]))
        n++;
    return n;
}

/* How long the number is that starts here, and whether it has a fraction or exponent. */
size_t kb_expr_number_length(const char *text, bool *is_float) {
    size_t n = digits(text), more;
    *is_float = false;
    if (text[n] == '.' && (more = digits(text + n + 1))) {
        n += 1 + more;
        *is_float = true;
    }
    size_t sign = text[n] && (text[n + 1] == '+' || text[n + 1] == '-');
    if ((text[n] == 'e' || text[n] == 'E') && (more = digits(text + n + 1 + sign))) {
        n += 1 + sign + more;
        *is_float = true;
    }
    return n;
}

static bool parse_number(struct kb_expr_parser *p, struct kb_expr_operand *out) {
    char number[MAX_NUMBER];
    const char *text = p->text + p->at;
    bool is_float;
    size_t n = kb_expr_number_length(text, &is_float);
    if (n >= sizeof number)
        return kb_expr_fail(p, p->at, "a number of %zu characters, at most %d are read", n,
                            MAX_NUMBER - 1);
    if (text[0] == '0' && kb_is_digit(text[1]))
        return kb_expr_fail(p, p->at, "numbers are decimal, without leading zeros");
    memcpy(number, text, n);
    number[n] = 0;
    out->type = is_float ? KB_EXPR_FLOAT : KB_EXPR_INT;
    if (is_float ? !kb_parse_f64(number, &out->f) : !kb_parse_i64(number, &out->i))
        return kb_expr_fail(p, p->at, "%s does not fit in %s", number,
                            is_float ? "a double" : "64 bits");
    p->at += n;
    if (kb_is_letter(p->text[p->at]) || p->text[p->at] == '.')
        return unexpected(p, "an operator");
    return true;
}

static bool parse_call(struct kb_expr_parser *p, bool live, struct kb_expr_operand *out) {
    struct kb_expr_operand args[KB_EXPR_CALL_ARGS];
    int n = 0, function = kb_expr_function(p->text + out->at, out->len);
    if (function < 0)
        return kb_expr_unknown(p, out);
    p->at++; /* ( */
    bool more = peek(p) != ')';
    while (more) {
        if (n == KB_EXPR_CALL_ARGS)
            return kb_expr_fail(p, p->at, "more than %d arguments", KB_EXPR_CALL_ARGS);
        if (!parse_choice(p, live, &args[n++]))
            return false;
        more = peek(p) == ',';
        p->at += more;
    }
    if (peek(p) != ')')
        return unexpected(p, "`,` or `)`");
    p->at++;
    return kb_expr_call(p, function, live, args, n, out);
}

static bool parse_primary(struct kb_expr_parser *p, bool live,
                          struct kb_expr_operand *out) {
    char c = peek(p);
    *out = (struct kb_expr_operand){.at = p->at};
    if (kb_is_digit(c))
        return parse_number(p, out);
    if (kb_is_letter(c)) {
        while (kb_is_letter(p->text[p->at]) || kb_is_digit(p->text[p->at]))
            p->at++;
        out->len = p->at - out->at;
        if (peek(p) == '(')
            return parse_call(p, live, out);
        out->bare = true;
        return kb_expr_look_up(p, live, out);
    }
    if (c != '(')
        return unexpected(p, "a number, a name or `(`");
    p->at++;
    if (!parse_choice(p, live, out))
        return false;
    if (peek(p) != ')')
        return unexpected(p, "`)`");
    p->at++;
    return true;
}

static bool enter(struct kb_expr_parser *p) {
    if (p->depth == KB_EXPR_DEPTH)
        return kb_expr_fail(p, p->at, "nested deeper than %d", KB_EXPR_DEPTH);
    p->depth++;
    return true;
}

static bool parse_unary(struct kb_expr_parser *p, bool live, struct kb_expr_operand *out) {
    char c = peek(p);
    size_t at = p->at;
    if (c != '-' && c != '!')
        return parse_primary(p, live, out);
    p->at++;
    if (!enter(p) || !parse_unary(p, live, out))
        return false;
    p->depth--;
    if (c == '-')
        return kb_expr_negate(p, at, live, out);
    if (!kb_expr_need_number(p, out))
        return false;
    kb_expr_set_int(out, !kb_expr_is_true(out));
    return true;
}

static enum kb_expr_op peek_operator(struct kb_expr_parser *p) {
    char first = peek(p);
    for (enum kb_expr_op op = KB_OP_OR; op <= KB_OP_MOD; op++)
        if (first == kb_expr_ops[op].text[0] &&
            kb_starts_with(p->text + p->at, kb_expr_ops[op].text))
            return op;
    return KB_OP_NONE;
}

static bool parse_binary(struct kb_expr_parser *p, int weakest, bool live,
                         struct kb_expr_operand *out);

/* && and ||: the right side counts only where the left one does not decide. */
static bool finish_logic(struct kb_expr_parser *p, enum kb_expr_op op, bool live,
                         struct kb_expr_operand *a) {
    struct kb_expr_operand b;
    if (!kb_expr_need_number(p, a))
        return false;
    bool left = kb_expr_is_true(a), decided = left == (op == KB_OP_OR);
    if (!parse_binary(p, kb_expr_ops[op].strength + 1, live && !decided, &b) ||
        !kb_expr_need_number(p, &b))
        return false;
    kb_expr_set_int(a, decided ? left : kb_expr_is_true(&b));
    return true;
}

static bool parse_binary(struct kb_expr_parser *p, int weakest, bool live,
                         struct kb_expr_operand *out) {
    struct kb_expr_operand right;
    enum kb_expr_op op, before = KB_OP_NONE;
    if (!parse_unary(p, live, out))
        return false;
    while ((op = peek_operator(p)) != KB_OP_NONE && kb_expr_ops[op].strength >= weakest) {
        size_t at = p->at;
        int strength = kb_expr_ops[op].strength;
        if (kb_expr_ops[op].comparison && kb_expr_ops[before].strength == strength)
            return kb_expr_fail(p, at, "comparisons do not chain: join them by &&");
        before = op;
        p->at += strlen(kb_expr_ops[op].text);
        if (op == KB_OP_AND || op == KB_OP_OR) {
            if (!finish_logic(p, op, live, out))
                return false;
        } else if (!parse_binary(p, strength + 1, live, &right) ||
                   !kb_expr_apply(p, op, at, live, out, &right)) {
            return false;
        }
    }
    return true;
}

/* a ? b : c, the whole grammar. */
static bool parse_choice(struct kb_expr_parser *p, bool live, struct kb_expr_operand *out) {
    struct kb_expr_operand yes, no;
    if (!enter(p) || !parse_binary(p, 1, live, out))
        return false;
    if (peek(p) == '?') {
        p->at++;
        if (!kb_expr_need_number(p, out))
            return false;
        bool choice = kb_expr_is_true(out);
        if (!parse_choice(p, live && choice, &yes) || !kb_expr_need_number(p, &yes))
            return false;
        if (peek(p) != ':')
            return unexpected(p, "`:`");
        p->at++;
        if (!parse_choice(p, live && !choice, &no) || !kb_expr_need_number(p, &no))
            return false;
        bool whole = yes.type == KB_EXPR_INT && no.type == KB_EXPR_INT;
        *out = choice ? yes : no;
        out->f = kb_expr_as_float(out);
        out->type = whole ? KB_EXPR_INT : KB_EXPR_FLOAT;
        out->bare = false;
    }
    p->depth--;
    return true;
}

/* ---- whole expressions -----------------------------------------------------------------
 */

static bool run(const char *text, const struct kb_expr_env *env, bool live,
                struct kb_expr_operand *out, struct kb_err *err) {
    struct kb_expr_parser p = {.text = text, .env = env, .err = err};
    if (strlen(text) > KB_EXPR_LENGTH)
        return kb_expr_fail(&p, KB_EXPR_LENGTH, "longer than %d characters",
                            KB_EXPR_LENGTH);
    if (!parse_choice(&p, live, out))
        return false;
    if (peek(&p))
        return unexpected(&p, "an operator");
    return kb_expr_need_number(&p, out);
}

bool kb_expr_check_env(const char *text, const struct kb_expr_env *env, bool *is_float,
                       struct kb_err *err) {
    struct kb_expr_operand value;
    if (!run(text, env, false, &value, err))
        return false;
    *is_float = value.type == KB_EXPR_FLOAT;
    return true;
}

bool kb_expr_eval(const char *text, const struct kb_expr_env *env,
                  struct kb_expr_value *out, struct kb_err *err) {
    struct kb_expr_operand value;
    if (!run(text, env, true, &value, err))
        return false;
    *out = (struct kb_expr_value){.is_float = value.type == KB_EXPR_FLOAT};
    if (out->is_float)
        out->f = value.f;
    else
        out->i = value.i;
    return true;
}
