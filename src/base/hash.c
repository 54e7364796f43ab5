/* hash.c - XXH3-128 as bytes that are the same on any machine. */
#include "base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct kb_hasher {
    XXH3_state_t *state; /* by pointer: it wants 64-byte alignment */
};

static struct kb_hash canonical(XXH128_hash_t value) {
    struct kb_hash hash;
    XXH128_canonical_t bytes;
    XXH128_canonicalFromHash(&bytes, value);
    _Static_assert(sizeof bytes.digest == sizeof hash.bytes, "XXH3-128 has 16 bytes");
    memcpy(hash.bytes, bytes.digest, sizeof hash.bytes);
    return hash;
}

struct kb_hasher *kb_hasher_make(void) {
    struct kb_hasher *hasher = malloc(sizeof *hasher);
    if (!hasher)
        kb_out_of_memory();
    hasher->state = XXH3_createState();
    if (!hasher->state)
        kb_out_of_memory();
    XXH3_128bits_reset(hasher->state);
    return hasher;
}

void kb_hasher_add(struct kb_hasher *hasher, const void *data, size_t len) {
    unsigned char size[8]; /* little endian, so that a key is the same everywhere */
    for (size_t i = 0; i < sizeof size; i++)
        size[i] = (unsigned char)((uint64_t)len >> (8 * i));
    XXH3_128bits_update(hasher->state, size, sizeof size);
    if (len)
        XXH3_128bits_update(hasher->state, data, len);
}

void kb_hasher_text(struct kb_hasher *hasher, const char *text) {
    kb_hasher_add(hasher, text, strlen(text));
}

struct kb_hash kb_hasher_end(struct kb_hasher *hasher) {
    struct kb_hash hash = canonical(XXH3_128bits_digest(hasher->state));
    XXH3_freeState(hasher->state);
    free(hasher);
    return hash;
}

struct kb_hash kb_hash_of(const void *data, size_t len) {
    return canonical(XXH3_128bits(data, len));
}

void kb_hash_hex(const struct kb_hash *hash, char out[KB_HASH_HEX]) {
    for (size_t i = 0; i < sizeof hash->bytes; i++)
        snprintf(out + 2 * i, 3, "%02x", hash->bytes[i]);
}
