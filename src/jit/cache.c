/* cache.c - the JIT cache: key -> entry, one compile per key, bounded size.
 *
 * Whatever goes wrong here costs time, never a run: it is noted and the work is done. */
#include "cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    WAIT_MS = 150000,      /* for another process's compile; longer than one may take */
    STALE_TMP_S = 3600,    /* a temporary file of a process that was killed */
    LOOK_EVERY = 16 << 20, /* bytes written between two looks at the folder's size */
    DEFAULT_MAX_MIB = 1024,
};

static void add_note(struct kb_buf *note, const char *fmt, ...) KB_PRINTF(2, 3);
static void add_note(struct kb_buf *note, const char *fmt, ...) {
    va_list args;
    if (note->len)
        kb_buf_putc(note, '\n');
    va_start(args, fmt);
    kb_buf_vprintf(note, fmt, args);
    va_end(args);
}

/* ---- the folder ------------------------------------------------------------------------
 */

static bool choose_folder(char out[PATH_MAX]) {
    static const struct {
        const char *variable, *below;
        bool absolute; /* what is not is to be ignored, says the XDG specification */
    } places[] = {
        {"KBENCH_CACHE", "", false},
        {"XDG_CACHE_HOME", "/kbench", true},
        {"HOME", "/.cache/kbench", true},
    };
    for (size_t i = 0; i < KB_COUNT(places); i++) {
        const char *value = getenv(places[i].variable);
        if (!value || !*value || (places[i].absolute && *value != '/'))
            continue;
        int n = snprintf(out, PATH_MAX, "%s%s", value, places[i].below);
        if (n <= 0 || n >= PATH_MAX)
            return false;
        while (n > 1 && out[n - 1] == '/') /* "link/" would be followed */
            out[--n] = '\0';
        return true;
    }
    return false;
}

/* Entries are machine code that we load: nobody else may be able to put one there. */
static int open_folder(const char *path, struct kb_buf *note) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        bool link = lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
        add_note(note, "%s: %s: running without a cache", path,
                 link ? "is a symbolic link" : strerror(errno));
        return -1;
    }
    const char *wrong = NULL;
    if (fstat(fd, &st))
        wrong = strerror(errno);
    else if (st.st_uid != geteuid())
        wrong = "belongs to another user";
    else if (st.st_mode & 022)
        wrong = "others may write to it (chmod go-w)";
    if (!wrong)
        return fd;
    add_note(note, "%s: %s: running without a cache", path, wrong);
    close(fd);
    return -1;
}

/* KBENCH_CACHE_MAX: bytes, or with K, M or G behind. */
static int64_t max_bytes_wanted(struct kb_buf *note) {
    const int64_t standard = (int64_t)DEFAULT_MAX_MIB << 20;
    const char *text = getenv("KBENCH_CACHE_MAX");
    if (!text || !*text)
        return standard;
    char digits[24];
    size_t len = strlen(text);
    const char *units = "KMG", *unit = strchr(units, text[len - 1]);
    int64_t value, bytes;
    if (unit)
        len--;
    int64_t scale = unit ? (int64_t)1 << (10 * (unit - units + 1)) : 1;
    if (len < sizeof digits) {
        memcpy(digits, text, len);
        digits[len] = '\0';
        if (kb_parse_i64(digits, &value) && value >= 0 && kb_mul_i64(value, scale, &bytes))
            return bytes;
    }
    add_note(note, "KBENCH_CACHE_MAX: got \"%.40s\", wanted bytes such as 512M: using 1G",
             text);
    return standard;
}

struct kb_cache *kb_cache_open(struct kb_buf *note) {
    char path[PATH_MAX];
    struct kb_err err = {0};
    if (!choose_folder(path)) {
        add_note(note, "no folder for a cache: none of KBENCH_CACHE, XDG_CACHE_HOME and "
                       "HOME names one");
        return NULL;
    }
    if (!kb_is_folder(path) && !kb_folder_make(path, &err)) {
        add_note(note, "%s: running without a cache", err.msg);
        return NULL;
    }
    int fd = open_folder(path, note);
    if (fd < 0)
        return NULL;
    struct kb_cache *cache = malloc(sizeof *cache);
    if (!cache)
        kb_out_of_memory();
    *cache = (struct kb_cache){
        .fd = fd,
        .wait_ms = WAIT_MS,
        .max_bytes = max_bytes_wanted(note),
        .written_bytes = LOOK_EVERY, /* the first write looks */
    };
    memcpy(cache->folder, path, sizeof path);
    return cache;
}

void kb_cache_close(struct kb_cache *cache) {
    if (!cache)
        return;
    close(cache->fd);
    free(cache);
}

const char *kb_cache_folder(const struct kb_cache *cache) {
    return cache->folder;
}

void kb_cache_wait(struct kb_cache *cache, int64_t ms) {
    cache->wait_ms = ms;
}

/* ---- size ------------------------------------------------------------------------------
 */

struct seen {
    struct kb_hash key;
    struct timespec used;
    int64_t bytes;
};
struct listing {
    struct seen *items;
    size_t count, cap;
    int64_t bytes;
};

static void listing_add(struct listing *list, const struct seen *item) {
    if (list->count == list->cap) {
        list->cap = list->cap ? 2 * list->cap : 64;
        list->items = realloc(list->items, list->cap * sizeof *list->items);
        if (!list->items)
            kb_out_of_memory();
    }
    list->items[list->count++] = *item;
    list->bytes += item->bytes;
}

/* All entries; on the way, temporary files that nobody writes any more are removed. */
static bool list_entries(int folder_fd, struct listing *list) {
    int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    time_t now = time(NULL);
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        struct stat st;
        struct seen item;
        bool is_entry = kb_cache_name_key(entry->d_name, &item.key);
        if (!is_entry && !kb_ends_with(entry->d_name, ".tmp"))
            continue;
        if (fstatat(folder_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
            continue;
        if (is_entry) {
            item.used = st.st_mtim;
            item.bytes = st.st_size;
            listing_add(list, &item);
        } else if (now - st.st_mtime > STALE_TMP_S) {
            unlinkat(folder_fd, entry->d_name, 0);
        }
    }
    closedir(dir);
    return true;
}

static bool remove_entry(int folder_fd, const struct kb_hash *key) {
    char name[KB_CACHE_NAME];
    kb_cache_entry_name(key, ".bin", name);
    return unlinkat(folder_fd, name, 0) == 0 || errno == ENOENT;
}

static int by_use(const void *a, const void *b) {
    const struct timespec *x = &((const struct seen *)a)->used;
    const struct timespec *y = &((const struct seen *)b)->used;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

bool kb_cache_trim(struct kb_cache *cache, int64_t max_bytes, struct kb_cache_stats *out,
                   struct kb_err *err) {
    struct listing list = {0};
    *out = (struct kb_cache_stats){0};
    if (!list_entries(cache->fd, &list))
        return kb_fail(err, KB_IO, "%s: cannot list the folder: %s", cache->folder,
                       strerror(errno));
    if (list.count)
        qsort(list.items, list.count, sizeof *list.items, by_use);
    out->entries = (int64_t)list.count;
    out->bytes = list.bytes;
    for (size_t i = 0; i < list.count && out->bytes > max_bytes; i++) {
        if (!remove_entry(cache->fd, &list.items[i].key))
            continue;
        out->removed++;
        out->entries--;
        out->bytes -= list.items[i].bytes;
    }
    free(list.items);
    return true;
}

/* ---- fetch -----------------------------------------------------------------------------
 */

static bool look(struct kb_cache *cache, const struct kb_hash *key, struct kb_buf *payload,
                 struct kb_buf *note) {
    struct kb_buf why = {0};
    enum kb_cache_state state = kb_cache_entry_read(cache->fd, key, true, payload, &why);
    if (state == KB_CACHE_DAMAGED && note) {
        char name[KB_CACHE_NAME];
        kb_cache_entry_name(key, ".bin", name);
        add_note(note, "cache entry %s was damaged (%s): made again", name,
                 kb_buf_text(&why));
    }
    kb_buf_free(&why);
    return state == KB_CACHE_GOOD;
}

static void note_unwritable(struct kb_cache *cache, int cause, struct kb_buf *note) {
    if (!cache->write_noted)
        add_note(note, "%s: cannot write to the cache: %s", cache->folder, strerror(cause));
    cache->write_noted = true;
}

/* The key's lock, -1 if it could not be had: then the work is done without. The file is
 * never deleted: who holds an unlinked one would exclude nobody. The kernel lets go of the
 * lock of a process that dies. */
static int lock_key(struct kb_cache *cache, const struct kb_hash *key,
                    struct kb_buf *note) {
    char name[KB_CACHE_NAME];
    kb_cache_entry_name(key, ".lock", name);
    int fd = openat(cache->fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
                    0600);
    if (fd < 0) {
        note_unwritable(cache, errno, note);
        return -1;
    }
    int64_t deadline = kb_now_ns() + cache->wait_ms * 1000000;
    struct timespec pause = {.tv_nsec = 500000};
    while (flock(fd, LOCK_EX | LOCK_NB)) {
        if (errno != EWOULDBLOCK && errno != EINTR) /* a file system without locks */
            return fd;
        if (kb_now_ns() >= deadline) {
            add_note(note,
                     "cache: another process has held %s for %.3g s: compiled without it",
                     name, (double)cache->wait_ms / 1000);
            close(fd);
            return -1;
        }
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < 20000000)
            pause.tv_nsec *= 2;
    }
    return fd;
}

bool kb_cache_put(struct kb_cache *cache, const struct kb_hash *key, const void *payload,
                  size_t size, struct kb_buf *note) {
    if (size > KB_CACHE_PAYLOAD_MAX)
        return false;
    if (!kb_cache_entry_write(cache->fd, key, payload, size)) {
        note_unwritable(cache, errno, note);
        return false;
    }
    int64_t look_every = cache->max_bytes / 8;
    if (look_every > LOOK_EVERY)
        look_every = LOOK_EVERY;
    cache->written_bytes += (int64_t)size;
    if (cache->written_bytes >= look_every) {
        struct kb_cache_stats stats;
        struct kb_err err = {0};
        cache->written_bytes = 0;
        if (!kb_cache_trim(cache, cache->max_bytes, &stats, &err))
            add_note(note, "%s", err.msg);
    }
    return true;
}

bool kb_cache_get(struct kb_cache *cache, const struct kb_hash *key,
                  struct kb_buf *payload) {
    return look(cache, key, payload, NULL);
}

bool kb_cache_fetch(struct kb_cache *cache, const struct kb_hash *key, bool no_compile,
                    bool (*make)(void *context, struct kb_buf *payload, struct kb_err *err),
                    void *context, struct kb_buf *payload, bool *hit, struct kb_buf *note,
                    struct kb_err *err) {
    *hit = cache && look(cache, key, payload, note);
    if (*hit)
        return true;
    if (no_compile) {
        char hex[KB_HASH_HEX];
        kb_hash_hex(key, hex);
        return kb_fail(err, KB_BUILD, "would have to compile, and is told not to: %s%s",
                       cache ? "the cache has no " : "there is no cache to hold ", hex);
    }
    if (!cache)
        return make(context, payload, err);
    int lock = lock_key(cache, key, note);
    /* Somebody may have made it while we waited. */
    *hit = look(cache, key, payload, NULL);
    size_t start = payload->len;
    bool ok = *hit || make(context, payload, err);
    if (ok && !*hit)
        kb_cache_put(cache, key, kb_buf_text(payload) + start, payload->len - start, note);
    if (lock >= 0)
        close(lock);
    return ok;
}
