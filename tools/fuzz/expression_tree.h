/* expression_tree.h - of the second evaluator of expressions: the names that there are, the
 * text as a tree, the types of its nodes. A part of expression.c, which gives the values.
 */
#ifndef KB_FUZZ_EXPRESSION_TREE_H
#define KB_FUZZ_EXPRESSION_TREE_H

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

#endif
