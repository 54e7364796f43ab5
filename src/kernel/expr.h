/* expr.h - between expr.c, which reads expressions, expr_names.c, which knows their names,
 * and expr_ops.c, which computes. Private to src/kernel. */
#ifndef KB_KERNEL_EXPR_H
#define KB_KERNEL_EXPR_H

#include "kernel/parts.h"

enum kb_expr_type {
    KB_EXPR_INT,
    KB_EXPR_FLOAT,
    KB_EXPR_WORD,   /* a parameter of words; i is the index */
    KB_EXPR_LIST,   /* a list axis */
    KB_EXPR_UNKNOWN /* an identifier that is no name: a word, or an error */
};

struct kb_expr_operand {
    enum kb_expr_type type;
    int64_t i;
    double f;
    const struct kb_name *name; /* WORD, LIST */
    size_t at, len;             /* its place in the text */
    bool bare;                  /* nothing but an identifier */
};

struct kb_expr_parser {
    const char *text;
    size_t at;
    int depth;
    const struct kb_expr_env *env;
    struct kb_err *err;
};

/* `live` false, here and below: the value is not wanted, only its type. */

/* "`TEXT`, column N: ...", false. */
bool kb_expr_fail(struct kb_expr_parser *p, size_t at, const char *fmt, ...)
    KB_PRINTF(3, 4);
/* The identifier at v->at. One that is no name is UNKNOWN and no error yet: it may be a
 * word. */
bool kb_expr_look_up(struct kb_expr_parser *p, bool live, struct kb_expr_operand *v);
bool kb_expr_unknown(struct kb_expr_parser *p, const struct kb_expr_operand *v);
/* How long the number is that starts here (0: none does), and whether it has a fraction or
 * an exponent. */
size_t kb_expr_number_length(const char *text, bool *is_float);
bool kb_expr_need_number(struct kb_expr_parser *p, const struct kb_expr_operand *v);
bool kb_expr_need_int(struct kb_expr_parser *p, const struct kb_expr_operand *v,
                      const char *who);
bool kb_expr_is_true(const struct kb_expr_operand *v);
void kb_expr_set_int(struct kb_expr_operand *v, int64_t i);
/* Negate, at `at`. */
bool kb_expr_negate(struct kb_expr_parser *p, size_t at, bool live,
                    struct kb_expr_operand *v);
double kb_expr_as_float(const struct kb_expr_operand *v);

enum kb_expr_op {
    KB_OP_NONE,
    KB_OP_OR,
    KB_OP_AND,
    KB_OP_EQ,
    KB_OP_NE,
    KB_OP_LE,
    KB_OP_GE,
    KB_OP_LT,
    KB_OP_GT,
    KB_OP_ADD,
    KB_OP_SUB,
    KB_OP_MUL,
    KB_OP_DIV,
    KB_OP_MOD,
};
struct kb_expr_op_row {
    const char *text;
    int strength; /* binds tighter the larger it is */
    bool comparison;
};
extern const struct kb_expr_op_row kb_expr_ops[KB_OP_MOD + 1];

/* a = a op b, for all but && and ||. */
bool kb_expr_apply(struct kb_expr_parser *p, enum kb_expr_op op, size_t at, bool live,
                   struct kb_expr_operand *a, const struct kb_expr_operand *b);

enum { KB_EXPR_CALL_ARGS = 16 };
extern const char *const kb_expr_functions[];
extern const size_t kb_expr_n_functions;
/* The function of that name, -1 if there is none. */
int kb_expr_function(const char *name, size_t len);
/* out->at is where the call stands. */
bool kb_expr_call(struct kb_expr_parser *p, int function, bool live,
                  struct kb_expr_operand *args, int n, struct kb_expr_operand *out);

#endif
