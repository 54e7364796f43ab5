/* arena.c - memory that is freed all at once, and sizes that cannot overflow unseen. */
#include "base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Blocks double up to the ordinary size: most arenas hold little, and a block is cleared.
 */
enum {
    FIRST_BYTES = 1 << 10,
    BLOCK_BYTES = 64 << 10,
    ALIGN = _Alignof(max_align_t),
};

struct kb_arena_block {
    struct kb_arena_block *next;
    size_t size, used;
    _Alignas(max_align_t) unsigned char data[]; /* zero from `used` on */
};

bool kb_mul_size(size_t a, size_t b, size_t *out) {
    size_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

bool kb_add_size(size_t a, size_t b, size_t *out) {
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

bool kb_mul_i64(int64_t a, int64_t b, int64_t *out) {
    int64_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

static struct kb_arena_block *block_make(size_t size) {
    size_t total;
    if (!kb_add_size(sizeof(struct kb_arena_block), size, &total))
        kb_out_of_memory();
    struct kb_arena_block *block = calloc(1, total);
    if (!block)
        kb_out_of_memory();
    block->size = size;
    return block;
}

static size_t next_size(const struct kb_arena_block *head) {
    if (!head)
        return FIRST_BYTES;
    return head->size < BLOCK_BYTES / 2 ? 2 * head->size : BLOCK_BYTES;
}

static void *take(struct kb_arena_block *block, size_t bytes) {
    void *p = block->data + block->used;
    block->used += bytes;
    return p;
}

void *kb_arena_alloc(struct kb_arena *arena, size_t bytes) {
    struct kb_arena_block *head = arena->head;
    size_t rounded;
    if (!kb_add_size(bytes ? bytes : 1, ALIGN - 1, &rounded))
        kb_out_of_memory();
    rounded -= rounded % ALIGN;
    if (head && head->size - head->used >= rounded)
        return take(head, rounded);
    if (head && rounded > BLOCK_BYTES / 4) {
        /* A block of its own behind the head, which keeps its room for small ones. */
        struct kb_arena_block *own = block_make(rounded);
        own->next = head->next;
        head->next = own;
        return take(own, rounded);
    }
    size_t size = next_size(head);
    struct kb_arena_block *block = block_make(rounded > size ? rounded : size);
    block->next = head;
    arena->head = block;
    return take(block, rounded);
}

void *kb_arena_array(struct kb_arena *arena, size_t count, size_t size) {
    size_t bytes;
    if (!kb_mul_size(count, size, &bytes))
        kb_out_of_memory();
    return kb_arena_alloc(arena, bytes);
}

char *kb_arena_strndup(struct kb_arena *arena, const char *text, size_t len) {
    len = strnlen(text, len);
    char *copy = kb_arena_alloc(arena, len + 1);
    memcpy(copy, text, len);
    return copy;
}

char *kb_arena_strdup(struct kb_arena *arena, const char *text) {
    return kb_arena_strndup(arena, text, strlen(text));
}

char *kb_arena_printf(struct kb_arena *arena, const char *fmt, ...) {
    struct kb_buf buf = {0};
    va_list args;
    va_start(args, fmt);
    kb_buf_vprintf(&buf, fmt, args);
    va_end(args);
    char *text = kb_arena_strndup(arena, kb_buf_text(&buf), buf.len);
    kb_buf_free(&buf);
    return text;
}

/* The largest ordinary block stays, so that the next case starts without malloc. */
void kb_arena_reset(struct kb_arena *arena) {
    struct kb_arena_block *kept = NULL;
    for (struct kb_arena_block *block = arena->head, *next; block; block = next) {
        bool larger = block->size <= BLOCK_BYTES && (!kept || block->size > kept->size);
        next = block->next;
        free(larger ? kept : block);
        kept = larger ? block : kept;
    }
    if (kept) {
        memset(kept->data, 0, kept->used);
        kept->used = 0;
        kept->next = NULL;
    }
    arena->head = kept;
}

void kb_arena_free(struct kb_arena *arena) {
    for (struct kb_arena_block *block = arena->head, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    arena->head = NULL;
}
