/* wire.c - counts and strings in one flat buffer. */
#include "wire.h"

#include <string.h>

void kb_wire_put_u64(struct kb_buf *out, uint64_t value) {
    kb_buf_add(out, &value, sizeof value);
}

void kb_wire_put(struct kb_buf *out, const void *data, size_t size) {
    kb_wire_put_u64(out, size);
    kb_buf_add(out, data, size);
    kb_buf_putc(out, '\0');
}

void kb_wire_put_text(struct kb_buf *out, const char *text) {
    kb_wire_put(out, text, strlen(text));
}

void kb_wire_put_strings(struct kb_buf *out, const struct kb_strings *list) {
    kb_wire_put_u64(out, list->count);
    for (size_t i = 0; i < list->count; i++)
        kb_wire_put_text(out, list->items[i]);
}

static const char *take(struct kb_wire *in, size_t size) {
    if (in->broken || size > in->left) {
        in->broken = true;
        return NULL;
    }
    const char *at = in->at;
    in->at += size;
    in->left -= size;
    return at;
}

uint64_t kb_wire_u64(struct kb_wire *in) {
    uint64_t value = 0;
    const char *at = take(in, sizeof value);
    if (at)
        memcpy(&value, at, sizeof value);
    return value;
}

const char *kb_wire_get(struct kb_wire *in, size_t *size) {
    uint64_t n = kb_wire_u64(in);
    const char *at = n < SIZE_MAX ? take(in, (size_t)n + 1) : take(in, SIZE_MAX);
    if (at && at[n] != '\0')
        in->broken = true;
    bool ok = at && !in->broken;
    if (size)
        *size = ok ? (size_t)n : 0;
    return ok ? at : "";
}

void kb_wire_strings(struct kb_wire *in, struct kb_arena *arena, struct kb_strings *out) {
    uint64_t n = kb_wire_u64(in);
    for (uint64_t i = 0; i < n && !in->broken; i++)
        kb_strings_add(out, arena, kb_arena_strdup(arena, kb_wire_get(in, NULL)));
}
