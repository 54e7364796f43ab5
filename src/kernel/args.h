/* args.h - arguments of a launch, before and after they have values. Private to
 * src/kernel. */
#ifndef KB_KERNEL_ARGS_H
#define KB_KERNEL_ARGS_H

#include "kernel/parts.h"

/* An expression's text from JSON: a string, or a whole number. NULL if it is neither. */
char *kb_expr_text(const cJSON *node, struct kb_arena *arena);

/* ---- scalars ---------------------------------------------------------------------------
 */

enum kb_scalar {
    KB_SCALAR_I32,
    KB_SCALAR_I64,
    KB_SCALAR_U32,
    KB_SCALAR_U64,
    KB_SCALAR_F32,
    KB_SCALAR_F64,
    KB_SCALAR_COUNT
};

/* "i32 hidden * 2" -> KB_SCALAR_I32 and the expression behind it; false if the first word
 * is no type. */
bool kb_scalar_split(const char *arg, enum kb_scalar *type, const char **expression);
bool kb_scalar_is_float(enum kb_scalar type);
bool kb_scalar_plan(enum kb_scalar type, const char *expression,
                    const struct kb_expr_env *env, struct kb_arg *out, struct kb_err *err);

/* ---- TMA descriptors -------------------------------------------------------------------
 */

enum { KB_TMA_RANK = 5 };
/* A launch keeps the JSON of a descriptor as text behind this word. */
#define KB_TMA_PREFIX "tma "

struct kb_tma_text {
    char *tensor;
    char *dims[KB_TMA_RANK], *box[KB_TMA_RANK];
    char *strides[KB_TMA_RANK]; /* [0] is NULL; all NULL: packed */
    int rank, swizzle_bytes, l2_bytes;
    bool nan_fill;
};
/* From the JSON of an argument; strings in `arena`. On failure *at is the node that is
 * wrong and `what` says how. */
bool kb_tma_read(const cJSON *node, struct kb_arena *arena, struct kb_tma_text *out,
                 const cJSON **at, struct kb_err *what);
bool kb_tma_reread(const char *arg, struct kb_arena *arena, struct kb_tma_text *out,
                   struct kb_err *err);
bool kb_tma_plan(const struct kb_tma_text *text, const struct kb_expr_env *env,
                 struct kb_arg *out, struct kb_err *err);

#endif
