/* host_tokens.c - just enough of C++'s lexing to find declarations in preprocessed text. */
#include "host.h"
#include "host_tokens.h"

#include <stdlib.h>
#include <string.h>

/* ---- lexing ------------------------------------------------------------------------ */

static bool is_word_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_' || c == '$' || (c & 0x80);
}

static const char *end_of_literal(const char *at, const char *end) {
    char quote = *at++;
    while (at < end && *at != quote && *at != '\n')
        at += *at == '\\' && at + 1 < end ? 2 : 1;
    return at < end && *at == quote ? at + 1 : at;
}

/* After R: "delimiter( ... )delimiter". */
static const char *end_of_raw(const char *at, const char *end) {
    char close[20] = ")";
    const char *open = memchr(at, '(', (size_t)(end - at));
    size_t n = open ? (size_t)(open - at) - 1 : sizeof close;
    if (n > 16)
        return end_of_literal(at, end);
    memcpy(close + 1, at + 1, n);
    close[n + 1] = '"';
    const char *found = memmem(open, (size_t)(end - open), close, n + 2);
    return found ? found + n + 2 : end;
}

/* `# 12 "file" flags`: flag 3 marks a system header. */
static bool marker_is_user(const char *at, size_t len) {
    const char *name = memchr(at, '"', len);
    if (!name)
        return false;
    const char *close = end_of_literal(name, at + len);
    if (kb_starts_with(name, "\"<") || kb_starts_with(name, "\"kbh/"))
        return false;
    return !memchr(close, '3', (size_t)(at + len - close));
}

static void push(struct tokens *list, struct token token) {
    if (list->count == list->cap) {
        list->cap = list->cap ? 2 * list->cap : 4096;
        list->items = realloc(list->items, list->cap * sizeof *list->items);
        if (!list->items)
            kb_out_of_memory();
    }
    list->items[list->count++] = token;
}

static const char *end_of_line(const char *at, const char *end) {
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    return newline ? newline : end;
}

/* End of a word, number or prefixed literal that begins at `at`. */
static const char *end_of_word(const char *at, const char *end, enum token_kind *kind) {
    bool number = *at >= '0' && *at <= '9';
    const char *p = at;
    while (p < end && (is_word_char(*p) || (number && (*p == '.' || *p == '\''))))
        p++;
    *kind = TOKEN_WORD;
    if (p < end && (*p == '"' || *p == '\'') && p - at <= 3) {
        *kind = TOKEN_STRING;
        return p[-1] == 'R' && *p == '"' ? end_of_raw(p, end) : end_of_literal(p, end);
    }
    return p;
}

static void lex(const char *text, size_t size, struct tokens *out) {
    const char *at = text, *end = text + size;
    bool user = false, fresh = true;
    while (at < end) {
        const char *stop = at + 1;
        enum token_kind kind = TOKEN_OTHER;
        if (*at == '\n' || *at == ' ' || *at == '\t') {
            fresh = fresh || *at == '\n';
            at++;
            continue;
        }
        if (*at == '#' && fresh) {
            kind = TOKEN_MARKER;
            stop = end_of_line(at, end);
            if (at + 2 < stop && at[1] == ' ' && at[2] >= '0' && at[2] <= '9')
                user = marker_is_user(at, (size_t)(stop - at));
        } else if (*at == '"' || *at == '\'') {
            kind = TOKEN_STRING;
            stop = end_of_literal(at, end);
        } else if (is_word_char(*at)) {
            stop = end_of_word(at, end, &kind);
        } else if (*at == ':' && at + 1 < end && at[1] == ':') {
            stop = at + 2;
        }
        push(out, (struct token){at, (size_t)(stop - at), kind, user, false});
        fresh = false;
        at = stop;
    }
}

bool host_token_is(const struct token *t, const char *text) {
    return t->kind != TOKEN_STRING && t->len == strlen(text) &&
           memcmp(t->text, text, t->len) == 0;
}

/* ---- scopes ------------------------------------------------------------------------ */

/* Whether the brace at `i` opens a namespace or an extern "C" block. */
static bool opens_namespace(const struct tokens *list, size_t i) {
    for (size_t k = i; k-- > 0;) {
        const struct token *t = &list->items[k];
        if (host_token_is(t, ";") || host_token_is(t, "{") || host_token_is(t, "}") ||
            host_token_is(t, ")"))
            return false;
        if (host_token_is(t, "namespace"))
            return true;
        if (host_token_is(t, "extern"))
            return k + 1 < i && list->items[k + 1].kind == TOKEN_STRING;
    }
    return false;
}

static void mark_scopes(struct tokens *list) {
    struct kb_buf scopes = {0}; /* a letter per open brace: n or f */
    size_t functions = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct token *t = &list->items[i];
        if (host_token_is(t, "{")) {
            char scope = functions == 0 && opens_namespace(list, i) ? 'n' : 'f';
            functions += scope == 'f';
            kb_buf_putc(&scopes, scope);
        } else if (host_token_is(t, "}") && scopes.len > 0) {
            functions -= scopes.data[--scopes.len] == 'f';
        }
        t->inside = functions > 0;
    }
    kb_buf_free(&scopes);
}

void host_tokens_make(const char *text, size_t size, struct tokens *out) {
    *out = (struct tokens){0};
    lex(text, size, out);
    mark_scopes(out);
}

/* ---- macros ------------------------------------------------------------------------ */

/* Past blanks and a comment at `at`, or `at` itself. */
static const char *after_comment(const char *at, const char *end) {
    if (end - at > 1 && at[0] == '/' && at[1] == '/')
        return end_of_line(at, end);
    if (end - at > 1 && at[0] == '/' && at[1] == '*') {
        const char *close = memmem(at + 2, (size_t)(end - at) - 2, "*/", 2);
        return close ? close + 2 : end;
    }
    return at;
}

bool host_uses(const char *text, size_t size, const char *word) {
    const char *at = text, *end = text + size;
    size_t len = strlen(word);
    while (at < end) {
        const char *past = after_comment(at, end);
        enum token_kind kind = TOKEN_OTHER;
        if (past != at) {
            at = past;
        } else if (*at == '"' || *at == '\'') {
            at = end_of_literal(at, end);
        } else if (is_word_char(*at)) {
            past = end_of_word(at, end, &kind);
            if ((size_t)(past - at) == len && memcmp(at, word, len) == 0)
                return true;
            at = past;
        } else {
            at++;
        }
    }
    return false;
}
