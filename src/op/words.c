/* words.c - what to say of a word that no op knows, or that an op does not have. */
#include "op/group.h"

#include <string.h>

const struct kb_op *kb_unknown_op(struct kb_buf *out, const char *word) {
    struct kb_arena arena = {0};
    struct kb_strings names = {0};
    for (int i = 0; i < kb_op_count; i++)
        kb_strings_add(&names, &arena, kb_ops[i]->name);
    kb_unknown(out, "op", word, names.items, names.count);
    const char *near = kb_suggest(word, names.items, names.count);
    kb_arena_free(&arena);
    return near ? kb_op_find(near) : NULL;
}

void kb_unknown_dtype(struct kb_buf *out, const char *word) {
    const char *names[KB_DTYPE_COUNT];
    for (int i = 0; i < KB_DTYPE_COUNT; i++)
        names[i] = kb_dtype_name((enum kb_dtype)i);
    kb_unknown(out, "dtype", word, names, KB_DTYPE_COUNT);
}

void kb_unknown_fill(struct kb_buf *out, const char *word) {
    const char *words[KB_FILL_COUNT];
    for (int i = 0; i < KB_FILL_COUNT; i++)
        words[i] = kb_fill_word((enum kb_fill)i);
    kb_unknown(out, "fill", word, words, KB_FILL_COUNT);
}

void kb_unknown_key(struct kb_buf *out, const struct kb_op *op, const char *word) {
    const char *names[KB_MAX_PARAMS + 1] = {"fill"};
    for (int i = 0; i < op->n_params; i++)
        names[i + 1] = op->params[i].name;
    kb_buf_printf(out, "%s: ", op->name);
    kb_unknown(out, "key", word, names, (size_t)op->n_params + 1);
}

bool kb_op_takes_dtype(const struct kb_op *op, enum kb_dtype dtype, struct kb_err *err) {
    if (kb_op_has_dtype(op, dtype))
        return true;
    struct kb_buf has = {0};
    for (int i = 0; i < op->n_dtypes; i++)
        kb_buf_printf(&has, "%s%s", i ? ", " : "", kb_dtype_name(op->dtypes[i]));
    kb_fail(err, KB_INPUT, "%s has no dtype %s; it has %s", op->name, kb_dtype_name(dtype),
            kb_buf_text(&has));
    kb_buf_free(&has);
    return false;
}

bool kb_op_takes_fill(const struct kb_op *op, enum kb_fill fill, struct kb_err *err) {
    for (int i = 0; i < op->n_fills; i++)
        if (op->fills[i] == fill)
            return true;
    struct kb_buf has = {0};
    for (int i = 0; i < op->n_fills; i++)
        kb_buf_printf(&has, "%s%s", i ? ", " : "", kb_fill_word(op->fills[i]));
    kb_fail(err, KB_INPUT, "%s has no fill %s; it has %s", op->name, kb_fill_word(fill),
            kb_buf_text(&has));
    kb_buf_free(&has);
    return false;
}
