/* cache_damage_test.c - the JIT cache never gives back what was not put in, and no other
 * process can make it wait for ever. */
#include "cache_fixture.h"

/* ---- damage ----------------------------------------------------------------------------
 */

struct damage {
    struct kb_cache *cache;
    struct kb_hash key;
    char path[PATH_MAX];
    struct kb_buf good;
};

static void damage_begin(struct damage *d, const struct place *place) {
    char text[4000];
    struct kb_err err = {0};
    for (size_t i = 0; i < sizeof text - 1; i++)
        text[i] = (char)('a' + i * 7 % 23);
    text[sizeof text - 1] = '\0';
    struct maker maker = {.text = text};
    struct kb_buf note = {0};
    *d = (struct damage){.cache = open_cache(), .key = key_of("a")};
    fetch(d->cache, "a", &maker, text, &note);
    path_of(place, "a", ".bin", d->path);
    assert_true(kb_file_read(d->path, 1 << 20, &d->good, &err));
    assert_true(d->good.len > sizeof text);
}

static void damage_end(struct damage *d) {
    kb_buf_free(&d->good);
    kb_cache_close(d->cache);
}

static enum kb_cache_state read_state(struct damage *d) {
    struct kb_buf payload = {0}, why = {0};
    enum kb_cache_state state =
        kb_cache_entry_read(d->cache->fd, &d->key, false, &payload, &why);
    assert_int_equal(payload.len > 0, state == KB_CACHE_GOOD);
    assert_int_equal(why.len > 0, state == KB_CACHE_DAMAGED);
    kb_buf_free(&payload);
    kb_buf_free(&why);
    return state;
}

static void no_truncated_entry_is_loaded(void **state) {
    struct damage d;
    damage_begin(&d, *state);
    assert_int_equal(read_state(&d), KB_CACHE_GOOD);
    for (size_t i = 0; i < 500; i++) {
        size_t size = i < 100 ? i : i * d.good.len / 500;
        put(d.path, d.good.data, size);
        assert_int_equal(read_state(&d), KB_CACHE_DAMAGED);
    }
    put(d.path, d.good.data, d.good.len);
    assert_int_equal(read_state(&d), KB_CACHE_GOOD);
    damage_end(&d);
}

static void no_entry_with_a_flipped_bit_is_loaded(void **state) {
    struct damage d;
    damage_begin(&d, *state);
    for (size_t i = 0; i < 2000; i++) {
        /* every bit of the header, then bits all over */
        size_t bit = i < 56 * 8 ? i : (i * 7919) % (d.good.len * 8);
        d.good.data[bit / 8] = (char)(d.good.data[bit / 8] ^ (1 << bit % 8));
        put(d.path, d.good.data, d.good.len);
        assert_int_equal(read_state(&d), KB_CACHE_DAMAGED);
        d.good.data[bit / 8] = (char)(d.good.data[bit / 8] ^ (1 << bit % 8));
    }
    damage_end(&d);
}

static void longer_and_swapped_entries_are_not_loaded(void **state) {
    struct damage d;
    damage_begin(&d, *state);
    char other[PATH_MAX];
    path_of(*state, "b", ".bin", other);
    put(other, d.good.data, d.good.len);
    d.key = key_of("b");
    assert_int_equal(read_state(&d), KB_CACHE_DAMAGED);
    d.key = key_of("a");
    kb_buf_putc(&d.good, 'x');
    put(d.path, d.good.data, d.good.len);
    assert_int_equal(read_state(&d), KB_CACHE_DAMAGED);
    damage_end(&d);
}

static void fifo_link_or_folder_in_an_entrys_place_is_not_read(void **state) {
    struct damage d;
    damage_begin(&d, *state);
    char other[PATH_MAX];
    path_of(*state, "elsewhere", ".bin", other);
    assert_int_equal(rename(d.path, other), 0);
    assert_int_equal(symlink(other, d.path), 0);
    assert_int_equal(read_state(&d), KB_CACHE_DAMAGED);
    assert_int_equal(unlink(d.path), 0);
    assert_int_equal(mkfifo(d.path, 0600), 0);
    assert_int_equal(read_state(&d), KB_CACHE_DAMAGED);
    assert_int_equal(unlink(d.path), 0);
    assert_int_equal(mkdir(d.path, 0700), 0);
    assert_int_equal(read_state(&d), KB_CACHE_DAMAGED);
    damage_end(&d);
}

static void damaged_entry_is_made_again_with_a_note(void **state) {
    struct maker maker = {.text = "code"};
    struct kb_buf note = {0};
    char path[PATH_MAX];
    struct kb_cache *cache = open_cache();
    fetch(cache, "a", &maker, "code", &note);
    path_of(*state, "a", ".bin", path);
    assert_int_equal(truncate(path, 58), 0);
    assert_false(fetch(cache, "a", &maker, "code", &note));
    assert_non_null(strstr(kb_buf_text(&note), "was damaged (its length is wrong)"));
    assert_true(fetch(cache, "a", &maker, "code", &note));
    assert_int_equal(maker.calls, 2);
    kb_buf_free(&note);
    kb_cache_close(cache);
}

/* ---- many processes --------------------------------------------------------------------
 */

static void sixteen_cold_processes_make_one_entry(void **state) {
    struct place *place = *state;
    char count_file[128];
    int gate[2];
    pid_t pids[16];
    struct stat st;
    snprintf(count_file, sizeof count_file, "%s/count", place->root);
    assert_int_equal(pipe(gate), 0);
    for (size_t i = 0; i < KB_COUNT(pids); i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] > 0)
            continue;
        char go;
        struct maker maker = {.text = "code", .count_file = count_file};
        struct kb_buf note = {0}, payload = {0};
        struct kb_err err = {0};
        struct kb_hash key = key_of("a");
        bool hit, ok;
        close(gate[1]);
        ok = read(gate[0], &go, 1) == 0; /* opens when the parent closes it */
        struct kb_cache *cache = kb_cache_open(&note);
        ok =
            ok && cache &&
            kb_cache_fetch(cache, &key, false, make, &maker, &payload, &hit, &note, &err) &&
            kb_streq(kb_buf_text(&payload), "code") && note.len == 0;
        _exit(ok ? 0 : 1);
    }
    close(gate[0]);
    close(gate[1]);
    for (size_t i = 0; i < KB_COUNT(pids); i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(stat(count_file, &st), 0);
    assert_int_equal(st.st_size, 1);
}

/* A process that holds the lock of key "a" in the middle of its compile. */
static pid_t start_holder(void) {
    int said[2];
    char byte;
    assert_int_equal(pipe(said), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct maker maker = {.text = "code", .hang = true, .say_fd = said[1]};
        struct kb_buf note = {0}, payload = {0};
        struct kb_err err = {0};
        struct kb_hash key = key_of("a");
        bool hit;
        struct kb_cache *cache = kb_cache_open(&note);
        kb_cache_fetch(cache, &key, false, make, &maker, &payload, &hit, &note, &err);
        _exit(1);
    }
    close(said[1]);
    assert_int_equal(read(said[0], &byte, 1), 1);
    close(said[0]);
    return pid;
}

static void killed_lock_holder_stops_nobody(void **state) {
    (void)state;
    struct maker maker = {.text = "code"};
    struct kb_buf note = {0};
    pid_t pid = start_holder();
    struct kb_cache *cache = open_cache();
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_false(fetch(cache, "a", &maker, "code", &note));
    assert_string_equal(kb_buf_text(&note), "");
    assert_true(fetch(cache, "a", &maker, "code", &note));
    kb_cache_close(cache);
}

static void stopped_lock_holder_is_waited_for_only_so_long(void **state) {
    (void)state;
    struct maker maker = {.text = "code"};
    struct kb_buf note = {0};
    pid_t pid = start_holder();
    struct kb_cache *cache = open_cache();
    kill(pid, SIGSTOP);
    kb_cache_wait(cache, 30);
    assert_false(fetch(cache, "b", &maker, "code", &note)); /* its own lock */
    assert_string_equal(kb_buf_text(&note), "");
    assert_false(fetch(cache, "a", &maker, "code", &note));
    assert_non_null(strstr(kb_buf_text(&note), "compiled without it"));
    assert_true(fetch(cache, "a", &maker, "code", &note)); /* it was stored all the same */
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    kb_buf_free(&note);
    kb_cache_close(cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(no_truncated_entry_is_loaded),
        TEST(no_entry_with_a_flipped_bit_is_loaded),
        TEST(longer_and_swapped_entries_are_not_loaded),
        TEST(fifo_link_or_folder_in_an_entrys_place_is_not_read),
        TEST(damaged_entry_is_made_again_with_a_note),
        TEST(sixteen_cold_processes_make_one_entry),
        TEST(killed_lock_holder_stops_nobody),
        TEST(stopped_lock_holder_is_waited_for_only_so_long),
    };
    return cmocka_run_group_tests_name("cache damage", tests, NULL, NULL);
}
