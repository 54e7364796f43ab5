/* entry.c - from the entry of a contract to the C++ name of an instantiation: macros of the
 * op and the contract, {expressions}. */
#include "kernel/parts.h"

#include <string.h>

enum { MAX_NESTING = 16, MAX_TEXT = 8192 };

/* The word (identifier or number) at the start of `text`. */
static size_t word_length(const char *text) {
    size_t n = 0;
    while (kb_is_letter(text[n]) || kb_is_digit(text[n]))
        n++;
    return n;
}

static const char *value_of(const struct kb_strings *pairs, const char *name, size_t len) {
    for (size_t i = 0; i + 1 < pairs->count; i += 2)
        if (strlen(pairs->items[i]) == len && !memcmp(pairs->items[i], name, len))
            return pairs->items[i + 1];
    return NULL;
}

/* ---- macros ----------------------------------------------------------------------------
 */

/* `text` with macros replaced, and those in what replaces them; false if that has no end.
 */
static bool expand(const char *text, const struct kb_strings *pairs, int depth,
                   struct kb_buf *out) {
    if (depth == MAX_NESTING || out->len > MAX_TEXT)
        return false;
    while (*text) {
        size_t n = word_length(text);
        const char *value = kb_is_letter(*text) ? value_of(pairs, text, n) : NULL;
        if (value && !expand(value, pairs, depth + 1, out))
            return false;
        if (!value)
            kb_buf_add(out, text, n ? n : 1);
        text += n ? n : 1;
    }
    return true;
}

bool kb_macros_make(const struct kb_variant *variant, const struct kb_case *c,
                    struct kb_arena *arena, struct kb_strings *pairs, struct kb_err *err) {
    size_t own;
    c->op->macros(c, arena, pairs);
    own = pairs->count;
    for (size_t i = 0; i < variant->defines.count; i++) {
        const char *define = variant->defines.items[i];
        size_t len = strcspn(define, "=");
        if (value_of(pairs, define, len))
            return kb_fail(err, KB_INPUT, "defines: %.*s is %s's own macro", (int)len,
                           define, c->op->name);
        kb_strings_add(pairs, arena, kb_arena_strndup(arena, define, len));
        kb_strings_add(pairs, arena, define + len + 1);
    }
    for (size_t i = own + 1; i < pairs->count; i += 2) {
        struct kb_buf value = {0};
        bool ok = expand(pairs->items[i], pairs, 0, &value);
        if (ok)
            pairs->items[i] = kb_arena_strdup(arena, kb_buf_text(&value));
        kb_buf_free(&value);
        if (!ok)
            return kb_fail(err, KB_INPUT, "defines: %s goes round in circles",
                           pairs->items[i - 1]);
    }
    return true;
}

/* ---- entries ---------------------------------------------------------------------------
 */

/* {expression}, standing at the brace; returns how long it is, 0 on failure. */
static size_t put_number(const char *text, const struct kb_expr_env *env,
                         struct kb_buf *out, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_expr_value v;
    size_t len = strcspn(text, "}");
    bool ok = false;
    if (!text[len])
        kb_fail(err, KB_INPUT, "a { without }");
    else if (kb_expr_eval(kb_arena_strndup(&arena, text + 1, len - 1), env, &v, err))
        ok = !v.is_float ||
             kb_fail(err, KB_INPUT, "%.*s is a float, a whole number is wanted",
                     (int)len + 1, text);
    if (ok)
        kb_buf_printf(out, "%lld", (long long)v.i);
    kb_arena_free(&arena);
    return ok ? len + 1 : 0;
}

bool kb_entry_make(const char *entry, const struct kb_strings *pairs,
                   const struct kb_expr_env *env, struct kb_arena *arena, const char **out,
                   struct kb_err *err) {
    struct kb_buf text = {0};
    size_t n = 1;
    for (const char *at = entry; n && *at; at += n) {
        n = word_length(at);
        const char *value = kb_is_letter(*at) ? value_of(pairs, at, n) : NULL;
        if (value)
            kb_buf_puts(&text, value);
        else if (*at == '{' && env)
            n = put_number(at, env, &text, err);
        else
            kb_buf_add(&text, at, n ? n : (n = 1));
    }
    if (n)
        *out = kb_arena_strdup(arena, kb_buf_text(&text));
    kb_buf_free(&text);
    return n;
}

char *kb_entry_function(const char *entry, struct kb_arena *arena) {
    const char *last = NULL;
    size_t len = 0;
    for (const char *at = entry; *at && *at != '<' && *at != '(';) {
        size_t n = word_length(at);
        if (n && kb_is_letter(*at)) {
            last = at;
            len = n;
        }
        at += n ? n : 1;
    }
    return last ? kb_arena_strndup(arena, last, len) : NULL;
}
