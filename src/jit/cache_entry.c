/* cache_entry.c - one file of the JIT cache: verified on the way in, renamed into place on
 * the way out.
 *
 * Every byte of the header is compared with what it must be, and the payload with its hash,
 * so that a truncated, flipped or swapped file is never used. */
#include "cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { VERSION = 1, TOUCH_AFTER_S = 3600 };

static const char magic[8] = "kbjit\r\n";

struct header {
    char magic[8];
    uint32_t version, zero;
    struct kb_hash key;
    uint64_t size;
    struct kb_hash hash;
};
_Static_assert(sizeof(struct header) == 56, "the header has no padding");

void kb_cache_entry_name(const struct kb_hash *key, const char *suffix,
                         char out[KB_CACHE_NAME]) {
    char hex[KB_HASH_HEX];
    kb_hash_hex(key, hex);
    snprintf(out, KB_CACHE_NAME, "%s%s", hex, suffix);
}

bool kb_cache_name_key(const char *name, struct kb_hash *key) {
    if (strlen(name) != KB_HASH_HEX - 1 + 4 || !kb_ends_with(name, ".bin"))
        return false;
    for (size_t i = 0; i < sizeof key->bytes; i++) {
        unsigned byte;
        char pair[3] = {name[2 * i], name[2 * i + 1], '\0'};
        if (strspn(pair, "0123456789abcdef") != 2 || sscanf(pair, "%2x", &byte) != 1)
            return false;
        key->bytes[i] = (unsigned char)byte;
    }
    return true;
}

static bool bad(struct kb_buf *why, const char *what) {
    kb_buf_puts(why, what);
    return false;
}

static bool check_header(const struct header *h, const struct kb_hash *key,
                         uint64_t file_size, struct kb_buf *why) {
    if (memcmp(h->magic, magic, sizeof magic) != 0)
        return bad(why, "it does not begin as an entry does");
    if (h->version != VERSION || h->zero != 0)
        return bad(why, "it is of another version");
    if (memcmp(&h->key, key, sizeof *key) != 0)
        return bad(why, "it is another key's entry");
    if (h->size > KB_CACHE_PAYLOAD_MAX || h->size + sizeof *h != file_size)
        return bad(why, "its length is wrong");
    return true;
}

static bool read_verified(int fd, const struct kb_hash *key, struct kb_buf *payload,
                          struct kb_buf *why) {
    struct stat st;
    struct header h;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode))
        return bad(why, "it is no regular file");
    if (!kb_read_exact(fd, &h, sizeof h))
        return bad(why, "it ends in its header");
    if (!check_header(&h, key, (uint64_t)st.st_size, why))
        return false;
    char *at = kb_buf_reserve(payload, h.size);
    if (!kb_read_exact(fd, at, h.size))
        return bad(why, "it cannot be read");
    struct kb_hash hash = kb_hash_of(at, h.size);
    if (memcmp(&hash, &h.hash, sizeof hash) != 0)
        return bad(why, "its checksum is wrong");
    payload->len += h.size;
    payload->data[payload->len] = '\0';
    return true;
}

/* The time of last use is the file's own; written seldom, so that hits stay reads. */
static void touch_entry(int fd) {
    struct stat st;
    if (fstat(fd, &st) == 0 && time(NULL) - st.st_mtime > TOUCH_AFTER_S)
        (void)futimens(fd, NULL); /* a read-only folder keeps its own order */
}

enum kb_cache_state kb_cache_entry_read(int folder_fd, const struct kb_hash *key,
                                        bool touch, struct kb_buf *payload,
                                        struct kb_buf *why) {
    char name[KB_CACHE_NAME];
    size_t start = payload->len;
    kb_cache_entry_name(key, ".bin", name);
    /* Non-blocking, or a FIFO of that name would hold us here. */
    int fd = openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return KB_CACHE_ABSENT;
    if (fd < 0) {
        kb_buf_printf(why, "it cannot be opened: %s", strerror(errno));
        return KB_CACHE_DAMAGED;
    }
    bool good = read_verified(fd, key, payload, why);
    if (good && touch)
        touch_entry(fd);
    if (!good)
        kb_buf_cut(payload, start);
    close(fd);
    return good ? KB_CACHE_GOOD : KB_CACHE_DAMAGED;
}

static bool write_and_sync(int fd, const struct kb_hash *key, const void *payload,
                           size_t size) {
    struct header h = {
        .version = VERSION,
        .key = *key,
        .size = size,
        .hash = kb_hash_of(payload, size),
    };
    memcpy(h.magic, magic, sizeof magic);
    return kb_write_all(fd, &h, sizeof h) && kb_write_all(fd, payload, size) &&
           fsync(fd) == 0;
}

bool kb_cache_entry_write(int folder_fd, const struct kb_hash *key, const void *payload,
                          size_t size) {
    char name[KB_CACHE_NAME], suffix[24], tmp[KB_CACHE_NAME];
    kb_cache_entry_name(key, ".bin", name);
    snprintf(suffix, sizeof suffix, ".%016llx.tmp", (unsigned long long)kb_random_u64());
    kb_cache_entry_name(key, suffix, tmp);
    int fd =
        openat(folder_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool ok = write_and_sync(fd, key, payload, size);
    int cause = errno;
    if (close(fd) && ok) {
        ok = false;
        cause = errno;
    }
    if (ok && renameat(folder_fd, tmp, folder_fd, name)) {
        ok = false;
        cause = errno;
    }
    if (!ok)
        unlinkat(folder_fd, tmp, 0);
    else
        (void)fsync(folder_fd); /* after a crash of the machine the entry may be gone */
    errno = cause;
    return ok;
}
