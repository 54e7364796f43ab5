/* buf.c - growing byte strings and lists of strings. */
#include "base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *kb_buf_reserve(struct kb_buf *buf, size_t more) {
    size_t need;
    if (!kb_add_size(buf->len, more, &need) || !kb_add_size(need, 1, &need))
        kb_out_of_memory();
    if (need > buf->cap) {
        size_t cap = buf->cap ? buf->cap : 64;
        while (cap < need)
            if (!kb_mul_size(cap, 2, &cap))
                cap = need;
        char *data = realloc(buf->data, cap);
        if (!data)
            kb_out_of_memory();
        buf->data = data;
        buf->cap = cap;
        buf->data[buf->len] = '\0';
    }
    return buf->data + buf->len;
}

void kb_buf_add(struct kb_buf *buf, const void *data, size_t len) {
    char *end = kb_buf_reserve(buf, len);
    if (len)
        memcpy(end, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void kb_buf_puts(struct kb_buf *buf, const char *text) {
    kb_buf_add(buf, text, strlen(text));
}

void kb_buf_putc(struct kb_buf *buf, char c) {
    kb_buf_add(buf, &c, 1);
}

/* Most texts are short: they are formatted once. */
void kb_buf_vprintf(struct kb_buf *buf, const char *fmt, va_list args) {
    char text[256];
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(text, sizeof text, fmt, args);
    if (n < 0) /* over 2 GB of text, or no memory for a conversion */
        kb_out_of_memory();
    if ((size_t)n < sizeof text) {
        kb_buf_add(buf, text, (size_t)n);
    } else {
        vsnprintf(kb_buf_reserve(buf, (size_t)n), (size_t)n + 1, fmt, again);
        buf->len += (size_t)n;
    }
    va_end(again);
}

void kb_buf_printf(struct kb_buf *buf, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    kb_buf_vprintf(buf, fmt, args);
    va_end(args);
}

void kb_buf_clear(struct kb_buf *buf) {
    kb_buf_cut(buf, 0);
}

void kb_buf_cut(struct kb_buf *buf, size_t len) {
    if (!buf->data || len > buf->len)
        return;
    buf->len = len;
    buf->data[len] = '\0';
}

void kb_buf_free(struct kb_buf *buf) {
    free(buf->data);
    *buf = (struct kb_buf){0};
}

const char *kb_buf_text(const struct kb_buf *buf) {
    return buf->data ? buf->data : "";
}

void kb_strings_add(struct kb_strings *list, struct kb_arena *arena, const char *text) {
    if (list->count == list->cap) {
        size_t cap;
        if (!kb_mul_size(list->cap ? list->cap : 4, 2, &cap))
            kb_out_of_memory();
        const char **items = kb_arena_array(arena, cap, sizeof *items);
        if (list->count)
            memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->cap = cap;
    }
    list->items[list->count++] = text;
}

bool kb_strings_has(const struct kb_strings *list, const char *text) {
    for (size_t i = 0; i < list->count; i++)
        if (kb_streq(list->items[i], text))
            return true;
    return false;
}
