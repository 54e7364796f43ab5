/* words.c - what to say of a word that no op knows, or that an op does not have. */
#include "op/group.h"

#include <string.h>
#include <strings.h>

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

static void put_dtypes(struct kb_buf *out, const struct kb_op *op) {
    for (int i = 0; i < op->n_dtypes; i++)
        kb_buf_printf(out, "%s%s", i ? ", " : "", kb_dtype_name(op->dtypes[i]));
}

/* fp8, f8, float8, e5m2, e4m3fnuz, ... */
static bool is_8_bit_word(const char *word) {
    static const char *const starts[] = {"fp8", "f8", "float8", "e4m3", "e5m2"};
    for (size_t i = 0; i < KB_COUNT(starts); i++)
        if (strncasecmp(word, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

static void unknown_8_bit(struct kb_buf *out, const char *word,
                          const struct kb_op *const *ops, int n_ops) {
    bool has = !n_ops;
    for (int i = 0; i < n_ops; i++)
        has = has || kb_op_has_dtype(ops[i], KB_E4M3);
    kb_buf_printf(out, "unknown dtype \"%.64s\"; ", word);
    if (!has) {
        kb_buf_printf(out, "%s has none of 8 bits; it has ", ops[0]->name);
        put_dtypes(out, ops[0]);
    } else if (n_ops == 1) {
        kb_buf_printf(out, "of 8 bits %s has %s", ops[0]->name, kb_dtype_name(KB_E4M3));
    } else {
        kb_buf_printf(out, "of 8 bits there is %s", kb_dtype_name(KB_E4M3));
    }
}

void kb_unknown_dtype(struct kb_buf *out, const char *word, const struct kb_op *const *ops,
                      int n_ops) {
    const char *names[KB_DTYPE_COUNT];
    if (is_8_bit_word(word)) {
        unknown_8_bit(out, word, ops, n_ops);
        return;
    }
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
    put_dtypes(&has, op);
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
