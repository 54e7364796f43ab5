/* file_close_test.c - a file that cannot be synced or closed never takes the place of the
 * one that is there. close and fsync of the C library are replaced by ones that fail when
 * told to, as they do where a network's disk is full. */
#include "sys.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

/* Of regular files alone: a folder's sync may be missing. */
static struct { bool close_fails, fsync_fails; } told;

static bool is_regular(int fd) {
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

int close(int fd) {
    bool fails = told.close_fails && is_regular(fd);

    if (syscall(SYS_close, fd) || !fails)
        return fails ? -1 : 0;
    errno = EDQUOT;
    return -1;
}

int fsync(int fd) {
    if (!told.fsync_fails || !is_regular(fd))
        return (int)syscall(SYS_fsync, fd);
    errno = EIO;
    return -1;
}

static void expect_text(const char *path, const char *text) {
    struct kb_buf buf = {0};
    struct kb_err err = {0};

    if (!kb_file_read(path, KB_FILE_MAX, &buf, &err))
        fail_msg("%s", err.msg);
    assert_string_equal(kb_buf_text(&buf), text);
    kb_buf_free(&buf);
}

static void assert_keeps_old(const char *folder, const char *cause) {
    struct kb_arena arena = {0};
    struct kb_strings names = {0};
    struct kb_err err = {0}, none = {0};
    const char *path = kb_arena_printf(&arena, "%s/report.json", folder);

    assert_false(kb_file_replace(path, "new", 3, &err));
    told.close_fails = told.fsync_fails = false;
    assert_int_equal(err.kind, KB_IO);
    assert_non_null(strstr(err.msg, cause));
    expect_text(path, "old");
    assert_true(kb_folder_list(folder, "", &arena, &names, &none));
    assert_int_equal(names.count, 1); /* and no temporary file */
    kb_arena_free(&arena);
}

static void what_cannot_be_closed_or_synced_replaces_nothing(void **state) {
    (void)state;
    struct kb_temp temp;
    char path[PATH_MAX];
    struct kb_err err = {0};
    assert_true(kb_temp_make(&temp, &err));
    snprintf(path, sizeof path, "%s/report.json", temp.path);
    assert_true(kb_file_replace(path, "old", 3, &err));
    told.close_fails = true;
    assert_keeps_old(temp.path, strerror(EDQUOT));
    told.fsync_fails = true;
    assert_keeps_old(temp.path, strerror(EIO));
    assert_true(kb_file_replace(path, "new", 3, &err));
    expect_text(path, "new");
    kb_temp_free(&temp);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_closed_or_synced_replaces_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
