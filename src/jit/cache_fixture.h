/* cache_fixture.h - a cache of its own for each test, and makers that are counted. */
#ifndef KB_JIT_CACHE_FIXTURE_H
#define KB_JIT_CACHE_FIXTURE_H

#include "cache.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a folder of its own for each test -------------------------------------------------
 */

struct place {
    struct kb_temp temp;
    const char *root;
    char folder[96];
};

static inline int setup(void **state) {
    struct place *place = test_calloc(1, sizeof *place);
    struct kb_err err = {0};
    if (!kb_temp_make(&place->temp, &err))
        return -1;
    place->root = place->temp.path;
    if ((size_t)snprintf(place->folder, sizeof place->folder, "%s/cache", place->root) >=
        sizeof place->folder)
        return -1;
    setenv("KBENCH_CACHE", place->folder, 1);
    unsetenv("KBENCH_CACHE_MAX");
    *state = place;
    return 0;
}

static inline int teardown(void **state) {
    struct place *place = *state;
    kb_temp_free(&place->temp);
    test_free(place);
    return 0;
}

/* ---- makers ----------------------------------------------------------------------------
 */

struct maker {
    const char *text, *count_file;
    int calls, say_fd;
    bool fail, hang;
};

static inline bool make(void *context, struct kb_buf *payload, struct kb_err *err) {
    struct maker *maker = context;
    maker->calls++;
    if (maker->count_file) {
        int fd = open(maker->count_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, "x", 1), 1);
        close(fd);
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* a short compile */
    }
    if (maker->hang) {
        assert_int_equal(write(maker->say_fd, "x", 1), 1);
        for (;;)
            pause();
    }
    if (maker->fail)
        return kb_fail(err, KB_BUILD, "no such luck");
    kb_buf_puts(payload, maker->text);
    return true;
}

static inline struct kb_hash key_of(const char *text) {
    return kb_hash_of(text, strlen(text));
}

static inline struct kb_cache *open_cache(void) {
    struct kb_buf note = {0};
    struct kb_cache *cache = kb_cache_open(&note);
    assert_string_equal(kb_buf_text(&note), "");
    assert_non_null(cache);
    kb_buf_free(&note);
    return cache;
}

/* Fetch and check what came; returns whether it was a hit. */
static inline bool fetch(struct kb_cache *cache, const char *name, struct maker *maker,
                         const char *want, struct kb_buf *note) {
    struct kb_hash key = key_of(name);
    struct kb_buf payload = {0};
    struct kb_err err = {0};
    bool hit;
    assert_true(
        kb_cache_fetch(cache, &key, false, make, maker, &payload, &hit, note, &err));
    assert_string_equal(kb_buf_text(&payload), want);
    kb_buf_free(&payload);
    return hit;
}

static inline void path_of(const struct place *place, const char *name, const char *suffix,
                           char out[PATH_MAX]) {
    struct kb_hash key = key_of(name);
    char file[KB_CACHE_NAME];
    kb_cache_entry_name(&key, suffix, file);
    snprintf(out, PATH_MAX, "%s/%s", place->folder, file);
}

static inline void put(const char *path, const void *data, size_t size) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_true(kb_write_all(fd, data, size));
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
