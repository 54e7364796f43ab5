/* expression.c - an expression of a contract as text, held against a second evaluator: a
 * tree first, then its types, then its values in 128 bits. */
#include "fuzz.h"
#include "kernel/parts.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>

/* ---- names -----------------------------------------------------------------------------
 */

static const int64_t three[] = {3, 1, 4};
static const struct kb_case fuzz_case = {.dtype = KB_BF16};
static const struct kb_problem problem = {
    .c = &fuzz_case,
    .n_names = 9,
    .names = {{.name = "a", .value = 7},
              {.name = "b", .value = -3},
              {.name = "zero", .value = 0},
              {.name = "hidden", .value = 511},
              {.name = "big", .value = 0x1p53},
              {.name = "eps", .value = 0.5, .is_float = true},
              {.name = "layout", .value = 1, .words = "gate_up,up_gate,a"},
              {.name = "q_len", .list = three, .n_list = 3},
              {.name = "empty", .list = three, .n_list = 0}},
};
static const struct kb_expr_let lets[] = {
    {.name = "least", .value = {.i = INT64_MIN}},
    {.name = "most", .value = {.i = INT64_MAX}},
    {.name = "half", .value = {.is_float = true, .f = -0.25}},
    {.name = "broken", .value = {.i = 5}, .error = "no value"},
};
static const struct kb_expr_env env = {
    .problem = &problem,
    .sm = 90,
    .sm_count = 132,
    .smem_per_block = 232448,
    .lets = lets,
    .n_lets = KB_COUNT(lets),
};
static const struct {
    const char *name;
    int64_t value;
} device[] = {
    {"dtype_bytes", 2}, {"sm", 90}, {"sm_count", 132}, {"smem_per_block", 232448}};

/* ---- the tree --------------------------------------------------------------------------
 */

enum kind {
    WHOLE,
    REAL,
    NAME,
    NOT,
    MINUS,
    CHOICE,
    CALL,
    AND,
    OR,
    EQ,
    NE,
    LE,
    GE,
    LT,
    GT,
    ADD,
    SUB,
    MUL,
    DIV,
    MOD
};
enum type { WRONG, INT, FLOAT, WORD, LIST, UNKNOWN };
enum { CHILDREN = 16, NODES = 2048 };

struct node {
    enum kind kind;
    enum type type;
    int64_t whole;
    double real;
    const char *text; /* NAME, CALL */
    int len;
    const struct kb_name *name; /* NAME: of the problem */
    const char *error;          /* NAME: a let's */
    int n;
    struct node *child[CHILDREN];
};

static struct {
    struct node nodes[NODES];
    int n;
    const char *at;
} tree;

static struct node *choice(void);

static struct node *make(enum kind kind) {
    if (tree.n == NODES)
        return NULL;
    struct node *node = &tree.nodes[tree.n++];
    *node = (struct node){.kind = kind};
    return node;
}

static void blanks(void) {
    tree.at += strspn(tree.at, " \t\r\n");
}

static bool take(const char *word) {
    blanks();
    if (strncmp(tree.at, word, strlen(word)) != 0)
        return false;
    tree.at += strlen(word);
    return true;
}

static bool is_letter(char c) {
    return isalpha((unsigned char)c) || c == '_';
}

static struct node *number(void) {
    static const char digits[] = "0123456789";
    const char *start = tree.at, *end = start + strspn(start, digits);
    char text[64];
    bool real = false;
    if (*end == '.' && strspn(end + 1, digits)) {
        end += 1 + strspn(end + 1, digits);
        real = true;
    }
    if (*end == 'e' || *end == 'E') {
        const char *power = end + 1 + (end[1] == '+' || end[1] == '-');
        if (strspn(power, digits)) {
            end = power + strspn(power, digits);
            real = true;
        }
    }
    size_t n = (size_t)(end - start);
    if (n > 63 || (n > 1 && start[0] == '0' && isdigit((unsigned char)start[1])) ||
        is_letter(*end) || *end == '.')
        return NULL;
    memcpy(text, start, n);
    text[n] = '\0';
    tree.at = end;
    struct node *node = make(real ? REAL : WHOLE);
    if (!node)
        return NULL;
    errno = 0;
    if (real) {
        node->real = strtod(text, NULL);
        bool lost = node->real == 0 && errno == ERANGE;
        return isfinite(node->real) && !lost ? node : NULL;
    }
    node->whole = strtoll(text, NULL, 10);
    return errno ? NULL : node;
}

static bool arguments(struct node *call) {
    if (take(")"))
        return true;
    do {
        if (call->n == CHILDREN || !(call->child[call->n++] = choice()))
            return false;
    } while (take(","));
    return take(")");
}

static struct node *primary(void) {
    blanks();
    if (isdigit((unsigned char)*tree.at))
        return number();
    if (take("(")) {
        struct node *inner = choice();
        return inner && take(")") ? inner : NULL;
    }
    if (!is_letter(*tree.at))
        return NULL;
    const char *start = tree.at;
    while (is_letter(*tree.at) || isdigit((unsigned char)*tree.at))
        tree.at++;
    int len = (int)(tree.at - start);
    struct node *node = make(take("(") ? CALL : NAME);
    if (!node)
        return NULL;
    node->text = start;
    node->len = len;
    return node->kind == NAME || arguments(node) ? node : NULL;
}

static struct node *unary(void) {
    blanks();
    bool minus = *tree.at == '-';
    if (!minus && *tree.at != '!')
        return primary();
    tree.at++;
    struct node *node = make(minus ? MINUS : NOT), *child = unary();
    if (!node || !child)
        return NULL;
    node->child[node->n++] = child;
    return node;
}

static const struct level {
    bool chains;
    struct {
        const char *text;
        enum kind kind;
    } ops[4];
} levels[] = {
    {true, {{"||", OR}}},
    {true, {{"&&", AND}}},
    {false, {{"==", EQ}, {"!=", NE}}},
    {false, {{"<=", LE}, {">=", GE}, {"<", LT}, {">", GT}}},
    {true, {{"+", ADD}, {"-", SUB}}},
    {true, {{"*", MUL}, {"/", DIV}, {"%", MOD}}},
};

static struct node *binary(size_t level) {
    if (level == KB_COUNT(levels))
        return unary();
    struct node *left = binary(level + 1);
    for (int joined = 0; left; joined++) {
        struct node *node = NULL;
        for (int i = 0; i < 4 && levels[level].ops[i].text && !node; i++)
            if (take(levels[level].ops[i].text))
                node = make(levels[level].ops[i].kind);
        if (!node)
            return left;
        struct node *right = binary(level + 1);
        if (!right || (joined && !levels[level].chains))
            return NULL;
        node->child[node->n++] = left;
        node->child[node->n++] = right;
        left = node;
    }
    return NULL;
}

static struct node *choice(void) {
    struct node *test = binary(0);
    if (!test || !take("?"))
        return test;
    struct node *node = make(CHOICE), *yes = choice();
    struct node *no = yes && take(":") ? choice() : NULL;
    if (!node || !no)
        return NULL;
    node->child[node->n++] = test;
    node->child[node->n++] = yes;
    node->child[node->n++] = no;
    return node;
}

/* ---- types -----------------------------------------------------------------------------
 */

static bool says(const struct node *node, const char *word) {
    return (int)strlen(word) == node->len && !memcmp(word, node->text, strlen(word));
}

static enum type type_name(struct node *node) {
    for (int i = 0; i < problem.n_names; i++)
        if (says(node, problem.names[i].name)) {
            const struct kb_name *name = node->name = &problem.names[i];
            node->whole = name->is_float ? 0 : (int64_t)name->value;
            node->real = name->value;
            return name->list ? LIST : name->words ? WORD : name->is_float ? FLOAT : INT;
        }
    for (size_t i = 0; i < KB_COUNT(device); i++)
        if (says(node, device[i].name)) {
            node->whole = device[i].value;
            return INT;
        }
    for (size_t i = 0; i < KB_COUNT(lets); i++)
        if (says(node, lets[i].name)) {
            node->whole = lets[i].value.i;
            node->real = lets[i].value.f;
            node->error = lets[i].error;
            return lets[i].value.is_float ? FLOAT : INT;
        }
    return UNKNOWN;
}

static bool is_number(const struct node *node) {
    return node->type == INT || node->type == FLOAT;
}

/* The index of the word that is compared with a parameter; -1: none of its words. */
static int word_of(const struct node *param, const struct node *word) {
    const char *at = param->name->words;
    for (int i = 0; word->kind == NAME && *at; i++) {
        size_t n = strcspn(at, ",");
        if ((int)n == word->len && !memcmp(at, word->text, n))
            return i;
        at += n + (at[n] == ',');
    }
    return -1;
}

static enum type type_call(const struct node *node) {
    bool list = node->n == 1 && node->child[0]->type == LIST;
    bool ints = true, numbers = true;
    for (int i = 0; i < node->n; i++) {
        ints = ints && node->child[i]->type == INT;
        numbers = numbers && is_number(node->child[i]);
    }
    if (says(node, "sum") || says(node, "count"))
        return list ? INT : WRONG;
    if (says(node, "max") && list)
        return INT;
    if (says(node, "min") || says(node, "max"))
        return node->n < 2 || !numbers ? WRONG : ints ? INT : FLOAT;
    if (says(node, "next_pow2"))
        return node->n == 1 && ints ? INT : WRONG;
    if (says(node, "ceil_div") || says(node, "align_up"))
        return node->n == 2 && ints ? INT : WRONG;
    return WRONG;
}

static enum type type_equal(const struct node *a, const struct node *b) {
    if (a->type == WORD || b->type == WORD)
        return word_of(a->type == WORD ? a : b, a->type == WORD ? b : a) < 0 ? WRONG : INT;
    return is_number(a) && is_number(b) ? INT : WRONG;
}

static enum type type_node(struct node *node) {
    bool numbers = true, ints = true;
    for (int i = 0; i < node->n; i++) {
        if (type_node(node->child[i]) == WRONG)
            return node->type = WRONG;
        numbers = numbers && is_number(node->child[i]);
        ints = ints && node->child[i]->type == INT;
    }
    switch (node->kind) {
    case WHOLE:
        return node->type = INT;
    case REAL:
        return node->type = FLOAT;
    case NAME:
        return node->type = type_name(node);
    case CALL:
        return node->type = type_call(node);
    case EQ:
    case NE:
        return node->type = type_equal(node->child[0], node->child[1]);
    case MOD:
        return node->type = ints ? INT : WRONG;
    case NOT:
    case AND:
    case OR:
    case LE:
    case GE:
    case LT:
    case GT:
        return node->type = numbers ? INT : WRONG;
    case CHOICE:
        if (numbers)
            return node->type = node->child[1]->type == INT && node->child[2]->type == INT
                                    ? INT
                                    : FLOAT;
        return node->type = WRONG;
    default:
        return node->type = !numbers ? WRONG : ints ? INT : FLOAT;
    }
}

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
