/* cache.h - inside of the JIT cache: its folder (cache.c) and its entries
 * (cache_entry.c). */
#ifndef KB_JIT_CACHE_H
#define KB_JIT_CACHE_H

#include "jit.h"

#include <limits.h>

struct kb_cache {
    int fd; /* the folder; everything is reached through it */
    int64_t wait_ms, max_bytes;
    bool write_noted;      /* one note of a failed write is enough */
    int64_t written_bytes; /* since the last look at the folder's size */
    char folder[PATH_MAX];
};

enum { KB_CACHE_NAME = 64, KB_CACHE_PAYLOAD_MAX = 256 << 20 };

/* File names of a key: "HEX.bin", "HEX.lock". */
void kb_cache_entry_name(const struct kb_hash *key, const char *suffix,
                         char out[KB_CACHE_NAME]);
bool kb_cache_name_key(const char *name, struct kb_hash *key); /* of "HEX.bin" */

/* Read and verify one entry. ABSENT says nothing, DAMAGED says why in `why`. */
enum kb_cache_state { KB_CACHE_ABSENT, KB_CACHE_DAMAGED, KB_CACHE_GOOD };
enum kb_cache_state kb_cache_entry_read(int folder_fd, const struct kb_hash *key,
                                        bool touch, struct kb_buf *payload,
                                        struct kb_buf *why);
/* Write to a temporary name, sync, rename. False with errno set; nothing is left then. */
bool kb_cache_entry_write(int folder_fd, const struct kb_hash *key, const void *payload,
                          size_t size);

#endif
