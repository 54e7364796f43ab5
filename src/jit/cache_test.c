/* cache_test.c - hits and misses of the JIT cache, its size, the folders that it trusts. */
#include "cache_fixture.h"

/* ---- hits and misses -------------------------------------------------------------------
 */

static void second_fetch_is_a_hit_in_another_process_too(void **state) {
    (void)state;
    struct maker maker = {.text = "code"};
    struct kb_buf note = {0};
    struct kb_cache *cache = open_cache();
    assert_false(fetch(cache, "a", &maker, "code", &note));
    kb_cache_close(cache);
    cache = open_cache();
    assert_true(fetch(cache, "a", &maker, "code", &note));
    assert_false(fetch(cache, "b", &maker, "code", &note));
    assert_int_equal(maker.calls, 2);
    assert_string_equal(kb_buf_text(&note), "");
    kb_cache_close(cache);
}

static void payload_is_appended_and_may_be_empty(void **state) {
    (void)state;
    struct maker maker = {.text = ""};
    struct kb_hash key = key_of("empty");
    struct kb_buf payload = {0}, note = {0};
    struct kb_err err = {0};
    struct kb_cache *cache = open_cache();
    for (int i = 0; i < 2; i++) {
        bool hit;
        kb_buf_puts(&payload, "kept");
        assert_true(
            kb_cache_fetch(cache, &key, false, make, &maker, &payload, &hit, &note, &err));
        assert_int_equal(hit, i);
    }
    assert_string_equal(kb_buf_text(&payload), "keptkept");
    assert_int_equal(maker.calls, 1);
    kb_buf_free(&payload);
    kb_cache_close(cache);
}

/* Who deletes it lets two others each hold one of that name. */
static void lock_of_a_key_stays_when_it_is_let_go(void **state) {
    const struct place *place = *state;
    struct maker maker = {.text = "code"};
    struct kb_buf note = {0};
    char lock[PATH_MAX], entry[PATH_MAX];
    struct stat first, second;
    struct kb_cache *cache = open_cache();
    path_of(place, "a", ".lock", lock);
    path_of(place, "a", ".bin", entry);
    assert_false(fetch(cache, "a", &maker, "code", &note));
    assert_int_equal(stat(lock, &first), 0);
    assert_int_equal(unlink(entry), 0);
    assert_false(fetch(cache, "a", &maker, "code", &note));
    assert_int_equal(stat(lock, &second), 0);
    assert_true(first.st_ino == second.st_ino);
    kb_cache_close(cache);
}

static void failed_make_stores_nothing(void **state) {
    (void)state;
    struct maker maker = {.text = "code", .fail = true};
    struct kb_hash key = key_of("a");
    struct kb_buf payload = {0}, note = {0};
    struct kb_err err = {0};
    bool hit;
    struct kb_cache *cache = open_cache();
    assert_false(
        kb_cache_fetch(cache, &key, false, make, &maker, &payload, &hit, &note, &err));
    assert_string_equal(err.msg, "no such luck");
    maker.fail = false;
    assert_false(fetch(cache, "a", &maker, "code", &note));
    kb_cache_close(cache);
}

static void no_compile_fails_by_key_on_a_miss_and_not_on_a_hit(void **state) {
    (void)state;
    struct maker maker = {.text = "code"};
    struct kb_hash key = key_of("a");
    struct kb_buf payload = {0}, note = {0};
    struct kb_err err = {0};
    char hex[KB_HASH_HEX];
    bool hit;
    struct kb_cache *cache = open_cache();
    assert_false(
        kb_cache_fetch(cache, &key, true, make, &maker, &payload, &hit, &note, &err));
    kb_hash_hex(&key, hex);
    assert_int_equal(err.kind, KB_BUILD);
    assert_non_null(strstr(err.msg, hex));
    assert_int_equal(maker.calls, 0);
    fetch(cache, "a", &maker, "code", &note);
    assert_true(
        kb_cache_fetch(cache, &key, true, make, &maker, &payload, &hit, &note, &err));
    kb_buf_free(&payload);
    kb_cache_close(cache);
}

static void without_a_cache_everything_is_made(void **state) {
    (void)state;
    struct maker maker = {.text = "code"};
    struct kb_buf note = {0};
    assert_false(fetch(NULL, "a", &maker, "code", &note));
    assert_false(fetch(NULL, "a", &maker, "code", &note));
    assert_int_equal(maker.calls, 2);
}

/* ---- size ------------------------------------------------------------------------------
 */

static void age(const struct place *place, const char *name, time_t seconds) {
    char path[PATH_MAX];
    struct timespec when = {.tv_sec = time(NULL) - seconds};
    struct timespec times[2] = {when, when};
    path_of(place, name, ".bin", path);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void what_was_used_longest_ago_goes_first(void **state) {
    struct maker maker = {.text = "0123456789"};
    struct kb_buf note = {0};
    struct kb_cache_stats stats;
    struct kb_err err = {0};
    struct kb_cache *cache = open_cache();
    const char *names[] = {"a", "b", "c"};
    for (size_t i = 0; i < 3; i++)
        fetch(cache, names[i], &maker, "0123456789", &note);
    age(*state, "a", 90000);
    age(*state, "b", 80000);
    age(*state, "c", 70000);
    assert_true(
        fetch(cache, "a", &maker, "0123456789", &note)); /* used: the youngest now */
    assert_true(kb_cache_trim(cache, 140, &stats, &err));
    assert_int_equal(stats.removed, 1);
    assert_int_equal(stats.entries, 2);
    assert_true(fetch(cache, "a", &maker, "0123456789", &note));
    assert_true(fetch(cache, "c", &maker, "0123456789", &note));
    assert_false(fetch(cache, "b", &maker, "0123456789", &note));
    assert_true(kb_cache_trim(cache, 0, &stats, &err));
    assert_int_equal(stats.entries, 0);
    kb_cache_close(cache);
}

static void writes_keep_the_folder_below_its_limit(void **state) {
    (void)state;
    char text[1001];
    struct kb_buf note = {0};
    struct kb_cache_stats stats;
    struct kb_err err = {0};
    memset(text, 'x', 1000);
    text[1000] = '\0';
    struct maker maker = {.text = text};
    setenv("KBENCH_CACHE_MAX", "4K", 1);
    struct kb_cache *cache = open_cache();
    for (int i = 0; i < 10; i++) {
        char name[] = {(char)('a' + i), '\0'};
        assert_false(fetch(cache, name, &maker, text, &note));
    }
    assert_true(kb_cache_trim(cache, INT64_MAX, &stats, &err));
    assert_true(stats.bytes <= 4096);
    assert_int_equal(stats.entries, 3);
    kb_cache_close(cache);
}

static void limit_that_is_no_size_is_noted_and_not_used(void **state) {
    (void)state;
    static const char *const wrong[] = {"lots", "-1", "1T", "9223372036854775807G", "M"};
    for (size_t i = 0; i < KB_COUNT(wrong); i++) {
        struct kb_buf note = {0};
        setenv("KBENCH_CACHE_MAX", wrong[i], 1);
        struct kb_cache *cache = kb_cache_open(&note);
        assert_non_null(cache);
        assert_int_equal(cache->max_bytes, INT64_C(1) << 30);
        assert_non_null(strstr(kb_buf_text(&note), wrong[i]));
        kb_buf_free(&note);
        kb_cache_close(cache);
    }
}

static void temporary_file_of_a_killed_process_is_removed_in_time(void **state) {
    struct place *place = *state;
    char fresh[160], stale[160];
    struct kb_cache_stats stats;
    struct kb_err err = {0};
    struct timespec old = {.tv_sec = time(NULL) - 7200};
    struct timespec times[2] = {old, old};
    struct kb_cache *cache = open_cache();
    snprintf(fresh, sizeof fresh, "%s/x.1.tmp", place->folder);
    snprintf(stale, sizeof stale, "%s/x.2.tmp", place->folder);
    put(fresh, "x", 1);
    put(stale, "x", 1);
    assert_int_equal(utimensat(AT_FDCWD, stale, times, 0), 0);
    assert_true(kb_cache_trim(cache, INT64_MAX, &stats, &err));
    assert_int_equal(access(fresh, F_OK), 0);
    assert_int_equal(access(stale, F_OK), -1);
    kb_cache_close(cache);
}

/* ---- folders that cannot be trusted ----------------------------------------------------
 */

static void expect_no_cache(const char *why) {
    struct kb_buf note = {0};
    assert_null(kb_cache_open(&note));
    if (!strstr(kb_buf_text(&note), why))
        fail_msg("note is \"%s\", wanted \"%s\"", kb_buf_text(&note), why);
    kb_buf_free(&note);
}

static void folder_that_others_could_fill_is_refused(void **state) {
    struct place *place = *state;
    char link[96];
    assert_int_equal(mkdir(place->folder, 0700), 0);
    snprintf(link, sizeof link, "%s/link", place->root);
    assert_int_equal(symlink(place->folder, link), 0);
    setenv("KBENCH_CACHE", link, 1);
    expect_no_cache("is a symbolic link");
    strcat(link, "/");
    setenv("KBENCH_CACHE", link, 1);
    expect_no_cache("is a symbolic link");
    setenv("KBENCH_CACHE", place->folder, 1);
    assert_int_equal(chmod(place->folder, 0720), 0);
    expect_no_cache("others may write to it");
    assert_int_equal(chmod(place->folder, 0702), 0);
    expect_no_cache("others may write to it");
    assert_int_equal(chmod(place->folder, 0755), 0);
    kb_cache_close(open_cache());
    if (geteuid() == 0) {
        assert_int_equal(chown(place->folder, 65534, 65534), 0);
        expect_no_cache("belongs to another user");
    }
}

static void file_in_the_folders_place_is_noted(void **state) {
    struct place *place = *state;
    put(place->folder, "x", 1);
    expect_no_cache("running without a cache");
}

static void folder_comes_from_the_environment_in_order(void **state) {
    struct place *place = *state;
    char want[128];
    struct kb_buf note = {0};
    unsetenv("KBENCH_CACHE");
    setenv("XDG_CACHE_HOME", place->root, 1);
    struct kb_cache *cache = kb_cache_open(&note);
    snprintf(want, sizeof want, "%s/kbench", place->root);
    assert_string_equal(kb_cache_folder(cache), want);
    kb_cache_close(cache);
    setenv("XDG_CACHE_HOME", "relative", 1);
    setenv("HOME", place->root, 1);
    cache = kb_cache_open(&note);
    snprintf(want, sizeof want, "%s/.cache/kbench", place->root);
    assert_string_equal(kb_cache_folder(cache), want);
    kb_cache_close(cache);
    struct stat st;
    assert_int_equal(stat(want, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    expect_no_cache("none of KBENCH_CACHE, XDG_CACHE_HOME and HOME");
}

/* In a process of its own, since it gives up being root. */
static int run_in_read_only_folder(void) {
    struct maker maker = {.text = "code"};
    struct kb_buf note = {0}, payload = {0};
    struct kb_err err = {0};
    struct kb_hash a = key_of("a"), b = key_of("b");
    bool hit;
    struct kb_cache *cache = kb_cache_open(&note);
    if (!cache || note.len)
        return 1;
    if (!kb_cache_fetch(cache, &a, false, make, &maker, &payload, &hit, &note, &err) ||
        !hit || note.len)
        return 2;
    for (int i = 0; i < 2; i++)
        if (!kb_cache_fetch(cache, &b, false, make, &maker, &payload, &hit, &note, &err) ||
            hit)
            return 3;
    if (!kb_streq(kb_buf_text(&payload), "codecodecode") || maker.calls != 2)
        return 4;
    const char *said = strstr(kb_buf_text(&note), "cannot write to the cache");
    return said && !strstr(said + 1, "cannot write") ? 0 : 5; /* once */
}

static void read_only_folder_gives_hits_and_one_note(void **state) {
    struct place *place = *state;
    struct maker maker = {.text = "code"};
    struct kb_buf note = {0};
    char path[PATH_MAX];
    int status;
    struct kb_cache *cache = open_cache();
    fetch(cache, "a", &maker, "code", &note);
    kb_cache_close(cache);
    path_of(place, "a", ".bin", path);
    if (geteuid() == 0) {
        assert_int_equal(chmod(place->root, 0755), 0);
        assert_int_equal(chown(place->folder, 65534, 65534), 0);
        assert_int_equal(chown(path, 65534, 65534), 0);
    }
    assert_int_equal(chmod(place->folder, 0500), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(geteuid() == 0 && setuid(65534) ? 9 : run_in_read_only_folder());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(chmod(place->folder, 0700), 0);
}

static void full_disk_is_one_note_and_leaves_no_part(void **state) {
    struct place *place = *state;
    (void)place;
    int status;
    struct kb_cache_stats stats;
    struct kb_err err = {0};
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) { /* a limit on file sizes is the nearest to a full disk */
        char text[5001];
        memset(text, 'x', 5000);
        text[5000] = '\0';
        struct maker maker = {.text = text};
        struct kb_buf note = {0}, payload = {0};
        struct kb_hash key = key_of("a");
        bool hit;
        signal(SIGXFSZ, SIG_IGN);
        struct kb_cache *cache = kb_cache_open(&note);
        if (!cache || setrlimit(RLIMIT_FSIZE, &(struct rlimit){1000, 1000}))
            _exit(1);
        bool ok =
            kb_cache_fetch(cache, &key, false, make, &maker, &payload, &hit, &note, &err) &&
            payload.len == 5000 && strstr(kb_buf_text(&note), "cannot write to the cache");
        _exit(ok ? 0 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    struct kb_cache *cache = open_cache();
    assert_true(kb_cache_trim(cache, INT64_MAX, &stats, &err));
    assert_int_equal(stats.entries, 0);
    kb_cache_close(cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(second_fetch_is_a_hit_in_another_process_too),
        TEST(payload_is_appended_and_may_be_empty),
        TEST(lock_of_a_key_stays_when_it_is_let_go),
        TEST(failed_make_stores_nothing),
        TEST(no_compile_fails_by_key_on_a_miss_and_not_on_a_hit),
        TEST(without_a_cache_everything_is_made),
        TEST(what_was_used_longest_ago_goes_first),
        TEST(writes_keep_the_folder_below_its_limit),
        TEST(limit_that_is_no_size_is_noted_and_not_used),
        TEST(temporary_file_of_a_killed_process_is_removed_in_time),
        TEST(folder_that_others_could_fill_is_refused),
        TEST(file_in_the_folders_place_is_noted),
        TEST(folder_comes_from_the_environment_in_order),
        TEST(read_only_folder_gives_hits_and_one_note),
        TEST(full_disk_is_one_note_and_leaves_no_part),
    };
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
