/* host_rewrite.c - what the C++ compiler cannot take, in preprocessed text.
 *
 * `__shared__` declarations become typedefs and macros of kernels/host/shared.h, inline PTX
 * becomes a call that ends the run. It works on what the preprocessor put out, so that
 * macros make no difference, and keeps every newline, so that lines stay true. Only text of
 * the kernel's own files is touched: line markers say whose it is. */
#include "host.h"
#include "host_tokens.h"

#include <stdlib.h>
#include <string.h>

static bool is(const struct token *t, const char *text) {
    return host_token_is(t, text);
}

struct rewrite {
    const struct tokens *list;
    struct kb_buf *out;
    const char *copied; /* up to here the text is in `out` */
};

static void copy_to(struct rewrite *r, const char *at) {
    kb_buf_add(r->out, r->copied, (size_t)(at - r->copied));
    r->copied = at;
}

static void keep_newlines(struct rewrite *r, const char *at, const char *end) {
    for (; at < end; at++)
        if (*at == '\n')
            kb_buf_putc(r->out, '\n');
}

/* Leave tokens [i, end) out, but for newlines (also those in a raw string) and line
 * markers. */
static void leave_out(struct rewrite *r, size_t i, size_t end) {
    const char *at = r->list->items[i].text;
    copy_to(r, at);
    for (; i < end; i++) {
        const struct token *t = &r->list->items[i];
        keep_newlines(r, at, t->text);
        at = t->text + t->len;
        if (t->kind == TOKEN_MARKER)
            kb_buf_add(r->out, t->text, t->len);
        else
            keep_newlines(r, t->text, at);
    }
    r->copied = at;
}

/* A token whose newlines were kept in its place, said again elsewhere. */
static void put_again(struct kb_buf *out, const struct token *t) {
    for (size_t i = 0; i < t->len; i++)
        kb_buf_putc(out, t->text[i] == '\n' ? ' ' : t->text[i]);
}

/* The token after the group that opens at i: ( [ {. */
static size_t after_group(const struct tokens *list, size_t i) {
    int depth = 0;
    for (; i < list->count; i++) {
        const struct token *t = &list->items[i];
        depth += is(t, "(") || is(t, "[") || is(t, "{");
        depth -= is(t, ")") || is(t, "]") || is(t, "}");
        if (depth <= 0)
            return i + 1;
    }
    return list->count;
}

/* The declaration around the __shared__ at `i`: its first token, and its semicolon. One
 * that has brackets without their other half, or a second __shared__, is none: the compiler
 * will say so. Neither way is longer than to the next __shared__. */
static bool find_declaration(const struct tokens *list, size_t i, size_t *first,
                             size_t *semicolon) {
    int depth = 0;
    for (*first = i; *first > 0; --*first) {
        const struct token *t = &list->items[*first - 1];
        if (is(t, ";") || is(t, "{") || is(t, "}") || is(t, ":") || is(t, "__shared__"))
            break;
        depth += is(t, ")") || is(t, "]");
        depth -= is(t, "(") || is(t, "[");
        if (depth < 0)
            return false;
    }
    while (list->items[*first].kind == TOKEN_MARKER)
        ++*first;
    depth = 0;
    for (size_t k = i + 1; k < list->count && depth >= 0; k++) {
        const struct token *t = &list->items[k];
        if (is(t, "__shared__"))
            return false;
        if (is(t, ";") && depth == 0) {
            *semicolon = k;
            return true;
        }
        depth += is(t, "(") || is(t, "[") || is(t, "{");
        depth -= is(t, ")") || is(t, "]") || is(t, "}");
    }
    return false;
}

/* `alignas(X)` or `__attribute__((aligned(X)))` at i: its end and what is inside; 0 if it
 * is neither. */
static size_t alignment(const struct tokens *list, size_t i, struct kb_buf *inside) {
    const struct token *t = list->items;
    size_t open = i + 1;
    if (i + 2 >= list->count || !is(&t[open], "("))
        return 0;
    size_t end = after_group(list, open);
    if (is(&t[i], "__attribute__") || is(&t[i], "__attribute")) {
        if (i + 4 >= list->count ||
            (!is(&t[i + 3], "aligned") && !is(&t[i + 3], "__aligned__")))
            return 0;
        open = i + 4;
        if (!is(&t[open], "(")) { /* the largest that the target uses */
            kb_buf_puts(inside, "alignas(16) ");
            return end;
        }
    } else if (!is(&t[i], "alignas")) {
        return 0;
    }
    size_t after = after_group(list, open);
    kb_buf_puts(inside, "alignas");
    for (size_t k = open; k < after; k++) {
        bool apart = k > open && t[k].text > t[k - 1].text + t[k - 1].len;
        if (apart)
            kb_buf_putc(inside, ' ');
        if (t[k].kind != TOKEN_MARKER)
            put_again(inside, &t[k]);
    }
    kb_buf_putc(inside, ' ');
    return end;
}

/* Whether the word at i is a declared name: outside of all brackets, before [ , = or the
 * end. `angles` counts the open < of template arguments. */
static bool is_declared_name(const struct tokens *list, size_t i, size_t semicolon,
                             int angles) {
    const struct token *t = &list->items[i];
    size_t next = i + 1;
    if (t->kind != TOKEN_WORD || angles > 0 || (*t->text >= '0' && *t->text <= '9'))
        return false;
    while (next < semicolon && (list->items[next].kind == TOKEN_MARKER))
        next++;
    const struct token *n = &list->items[next];
    return next == semicolon || is(n, "[") || is(n, ",") || is(n, "=") ||
           is(n, "__attribute__");
}

struct declaration {
    bool dynamic, inside;
    struct kb_buf names; /* NUL-separated */
    struct kb_buf align;
};

/* One token of a declaration, or a group of them, into the typedef; returns the next. */
static size_t rewrite_token(struct rewrite *r, size_t i, size_t semicolon, int *angles,
                            struct declaration *d) {
    const struct token *t = &r->list->items[i];
    copy_to(r, t->text); /* the blanks and newlines before it */
    size_t next = alignment(r->list, i, &d->align);
    if (next) {
        leave_out(r, i, next);
        return next;
    }
    if (is(t, "__shared__") || is(t, "static") || is(t, "extern") || is(t, "inline")) {
        d->dynamic = d->dynamic || is(t, "extern");
        r->copied = t->text + t->len;
        return i + 1;
    }
    if (is(t, "(") || is(t, "[") || is(t, "{")) {
        next = after_group(r->list, i);
        const struct token *last = &r->list->items[next - 1];
        copy_to(r, last->text + last->len);
        return next;
    }
    *angles += is(t, "<");
    *angles -= is(t, ">") && *angles > 0;
    if (is_declared_name(r->list, i, semicolon, *angles)) {
        kb_buf_puts(r->out, "kbh_type_");
        kb_buf_add(&d->names, t->text, t->len);
        kb_buf_putc(&d->names, '\0');
    }
    copy_to(r, t->text + t->len);
    return i + 1;
}

static size_t rewrite_shared(struct rewrite *r, size_t i) {
    struct declaration d = {.inside = r->list->items[i].inside};
    size_t first = i, semicolon = 0;
    int angles = 0;
    if (!find_declaration(r->list, i, &first, &semicolon))
        return i + 1;
    while (r->list->items[first].text < r->copied)
        first++; /* past assembly that lacks its semicolon */
    copy_to(r, r->list->items[first].text);
    kb_buf_puts(r->out, "typedef ");
    for (size_t k = first; k < semicolon;)
        k = rewrite_token(r, k, semicolon, &angles, &d);
    copy_to(r, r->list->items[semicolon].text + 1);
    for (size_t at = 0; at < d.names.len; at += strlen(d.names.data + at) + 1) {
        const char *name = d.names.data + at;
        if (d.dynamic)
            kb_buf_printf(r->out, " KBH_DYNAMIC(%s)", name);
        else
            kb_buf_printf(r->out, " %s(%s, %s)",
                          d.inside ? "KBH_SHARED" : "KBH_SHARED_GLOBAL", name,
                          kb_buf_text(&d.align));
    }
    kb_buf_free(&d.names);
    kb_buf_free(&d.align);
    return semicolon + 1;
}

/* `void __launch_bounds__(N) k(...) {` with the bounds as the body's first statement; of a
 * declaration without a body they are left out. */
static size_t rewrite_bounds(struct rewrite *r, size_t i) {
    const struct tokens *list = r->list;
    if (i + 1 >= list->count || !is(&list->items[i + 1], "("))
        return i + 1;
    size_t end = after_group(list, i + 1), k = end;
    leave_out(r, i, end);
    while (k < list->count && !is(&list->items[k], "{") && !is(&list->items[k], ";"))
        k = is(&list->items[k], "(") ? after_group(list, k) : k + 1;
    if (k < list->count && is(&list->items[k], "{")) {
        copy_to(r, list->items[k].text + 1);
        kb_buf_puts(r->out, " KBH_BOUNDS");
        for (size_t b = i + 1; b < end; b++) {
            const struct token *t = &list->items[b];
            if (t->kind == TOKEN_MARKER)
                continue;
            put_again(r->out, t);
            kb_buf_putc(r->out, ' ');
        }
    }
    return k < list->count ? k + 1 : k;
}

/* A statement of inline assembly; what follows a declarator (asm("name")) is none. */
static bool is_asm(const struct tokens *list, size_t i) {
    const struct token *t = &list->items[i];
    if (!t->user || !t->inside || i == 0)
        return false;
    if (!is(t, "asm") && !is(t, "__asm__") && !is(t, "__asm"))
        return false;
    static const char *const before[] = {";", "{", "}", ")", ":", "else", "do"};
    for (size_t k = i; k-- > 0;) {
        const struct token *p = &list->items[k];
        if (p->kind == TOKEN_MARKER)
            continue;
        for (size_t b = 0; b < KB_COUNT(before); b++)
            if (is(p, before[b]))
                return true;
        return false;
    }
    return false;
}

/* What the shim has for a statement whose code begins with this. */
static const struct {
    const char *ptx, *body;
} bodies[] = {
    {"\"griddepcontrol.wait", "kb_host_wait_inputs()"},
    {"\"griddepcontrol.launch_dependents", "((void)0)"},
};

static const char *body_of(const struct token *code) {
    for (size_t i = 0; i < KB_COUNT(bodies); i++) {
        size_t n = strlen(bodies[i].ptx);
        if (code->len > n && memcmp(code->text, bodies[i].ptx, n) == 0 &&
            (code->text[n] == ';' || code->text[n] == '"'))
            return bodies[i].body;
    }
    return "kbh_no_ptx(__FILE__, __LINE__)";
}

static size_t rewrite_asm(struct rewrite *r, size_t i) {
    const struct tokens *list = r->list;
    size_t open = i + 1;
    while (open < list->count && list->items[open].kind == TOKEN_WORD)
        open++; /* volatile, goto, inline */
    if (open + 1 >= list->count || !is(&list->items[open], "("))
        return i + 1;
    size_t end = after_group(list, open);
    copy_to(r, list->items[i].text);
    kb_buf_puts(r->out, body_of(&list->items[open + 1]));
    leave_out(r, i, end);
    return end;
}

/* clang calls a file that was found beside another "./mine.cu". */
static void shorten_name(struct rewrite *r, const struct token *t) {
    const char *name = memmem(t->text, t->len, "\"./", 3);
    if (!name)
        return;
    copy_to(r, name + 1);
    r->copied = name + 3;
}

/* `#pragma unroll` before a loop with a number for its bound. GCC knows the word by another
 * name; it is told of such loops alone, since what goes over the elements of a vector is
 * better left a loop, of which it makes vector instructions. */
static bool is_unrolled(const struct tokens *list, size_t i) {
    static const char word[] = "#pragma unroll";
    const struct token *t = &list->items[i];
    int semicolons = 0;
    if (!t->user || t->len != sizeof word - 1 || memcmp(t->text, word, t->len) != 0 ||
        i + 2 >= list->count || !is(&t[1], "for") || !is(&t[2], "("))
        return false;
    size_t end = after_group(list, i + 2);
    for (size_t k = i + 2; k < end && semicolons < 2; k++) {
        const struct token *bound = &list->items[k - 1];
        semicolons += is(&list->items[k], ";");
        if (semicolons == 2)
            return *bound->text >= '0' && *bound->text <= '9';
    }
    return false;
}

static size_t rewrite_unroll(struct rewrite *r, size_t i) {
    copy_to(r, r->list->items[i + 1].text);
    kb_buf_puts(r->out, "KBH_UNROLL ");
    return i + 1;
}

void host_rewrite(const char *text, size_t size, struct kb_buf *out) {
    struct tokens list = {0};
    struct rewrite r = {.list = &list, .out = out, .copied = text};
    host_tokens_make(text, size, &list);
    for (size_t i = 0; i < list.count;) {
        if (list.items[i].kind == TOKEN_MARKER)
            shorten_name(&r, &list.items[i]);
        if (is(&list.items[i], "__shared__"))
            i = rewrite_shared(&r, i);
        else if (is(&list.items[i], "__launch_bounds__"))
            i = rewrite_bounds(&r, i);
        else if (is_unrolled(&list, i))
            i = rewrite_unroll(&r, i);
        else
            i = is_asm(&list, i) ? rewrite_asm(&r, i) : i + 1;
    }
    copy_to(&r, text + size);
    free(list.items);
}
