/* file_test.c - files are read whole or refused, replaced whole or left alone. */
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct kb_temp temp;
    struct kb_arena arena;
};

static int make_folder(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    struct kb_err err = {0};
    *state = f;
    return !kb_temp_make(&f->temp, &err);
}

static const char *in(struct fixture *f, const char *name) {
    return kb_arena_printf(&f->arena, "%s/%s", f->temp.path, name);
}

static int remove_folder(void **state) {
    struct fixture *f = *state;
    kb_temp_free(&f->temp);
    kb_arena_free(&f->arena);
    free(f);
    return 0;
}

static void put(const char *path, const char *text) {
    struct kb_err err = {0};
    assert_true(kb_file_replace(path, text, strlen(text), &err));
}

static void expect_text(const char *path, const char *text) {
    struct kb_buf buf = {0};
    struct kb_err err = {0};
    if (!kb_file_read(path, KB_FILE_MAX, &buf, &err))
        fail_msg("%s", err.msg);
    assert_string_equal(kb_buf_text(&buf), text);
    kb_buf_free(&buf);
}

static size_t count_entries(struct fixture *f) {
    struct kb_strings names = {0};
    struct kb_err err = {0};
    assert_true(kb_folder_list(f->temp.path, "", &f->arena, &names, &err));
    return names.count;
}

static void what_was_written_is_read_back(void **state) {
    struct fixture *f = *state;
    const char *path = in(f, "a");
    struct kb_buf buf = {0};
    struct kb_err err = {0};
    char *data = kb_arena_alloc(&f->arena, 300000);
    for (size_t i = 0; i < 300000; i++)
        data[i] = (char)(i * 7 + i / 256);
    assert_true(kb_file_replace(path, data, 300000, &err));
    kb_buf_puts(&buf, "before");
    assert_true(kb_file_read(path, 300000, &buf, &err));
    assert_int_equal(buf.len, 300006);
    assert_memory_equal(buf.data, "before", 6);
    assert_memory_equal(buf.data + 6, data, 300000);
    kb_buf_free(&buf);
    assert_true(kb_file_replace(path, NULL, 0, &err));
    expect_text(path, "");
    assert_int_equal(count_entries(f), 1);
}

static void refuses(const char *path, size_t max, enum kb_err_kind kind, const char *what) {
    struct kb_buf buf = {0};
    struct kb_err err = {0};
    kb_buf_puts(&buf, "kept");
    assert_false(kb_file_read(path, max, &buf, &err));
    assert_int_equal(err.kind, kind);
    assert_true(kb_starts_with(err.msg, path));
    assert_non_null(strstr(err.msg, what));
    assert_string_equal(kb_buf_text(&buf), "kept");
    kb_buf_free(&buf);
}

static void what_is_no_file_is_refused_at_once(void **state) {
    struct fixture *f = *state;
    const char *fifo = in(f, "fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    refuses(fifo, 100, KB_INPUT, "not a regular file");
    refuses(f->temp.path, 100, KB_INPUT, "is a folder");
    refuses("/dev/zero", 100, KB_INPUT, "not a regular file");
    refuses(in(f, "absent"), 100, KB_INPUT, "No such file");
    put(in(f, "file"), "x");
    refuses(in(f, "file/below"), 100, KB_INPUT, "Not a directory");
}

static void a_file_over_the_cap_is_refused_before_it_is_read(void **state) {
    struct fixture *f = *state;
    const char *path = in(f, "sparse");
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, INT64_C(10) << 30), 0);
    close(fd);
    int64_t start_ns = kb_now_ns();
    refuses(path, KB_FILE_MAX, KB_INPUT, "10737418240");
    assert_true(kb_now_ns() - start_ns < 1000000000);
    put(in(f, "ten"), "0123456789");
    refuses(in(f, "ten"), 9, KB_INPUT, "10");
    refuses("/proc/self/maps", 10, KB_INPUT,
            "more than the 10 bytes"); /* claims to be empty */
    expect_text(in(f, "ten"), "0123456789");
}

static void a_failed_write_leaves_the_old_file_and_no_litter(void **state) {
    struct fixture *f = *state;
    const char *path = in(f, "report.json");
    struct rlimit old, low = {0};
    struct kb_err err = {0};
    static char large[200000];
    put(path, "old");
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    for (rlim_t limit = 0; limit < sizeof large; limit = limit * 3 + 1) {
        low = (struct rlimit){.rlim_cur = limit, .rlim_max = old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
        bool ok = kb_file_replace(path, large, sizeof large, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_false(ok);
        assert_int_equal(err.kind, KB_IO);
        assert_true(kb_starts_with(err.msg, path));
        assert_non_null(strstr(err.msg, strerror(EFBIG)));
        expect_text(path, "old");
        assert_int_equal(count_entries(f), 1);
    }
}

static void pieces_appear_as_one_file_at_the_commit_and_not_before(void **state) {
    struct fixture *f = *state;
    const char *path = in(f, "report.json");
    struct kb_new_file file = {0};
    struct kb_err err = {0};
    kb_file_abandon(&file); /* a zeroed one: stdin stays open */
    put(path, "old");
    assert_true(kb_file_begin(path, &file, &err));
    assert_true(kb_file_add(&file, "first ", 6, &err));
    assert_true(kb_file_add(&file, "second", 6, &err));
    expect_text(path, "old");
    assert_true(kb_file_commit(&file, &err));
    expect_text(path, "first second");
    kb_file_abandon(&file);
    assert_true(kb_file_begin(path, &file, &err));
    assert_true(kb_file_add(&file, "third", 5, &err));
    kb_file_abandon(&file);
    kb_file_abandon(&file);
    expect_text(path, "first second");
    assert_int_equal(count_entries(f), 1);
    assert_false(kb_file_begin(in(f, "no/such"), &file, &err));
    kb_file_abandon(&file);
}

static void a_commit_whose_folder_is_gone_is_an_error(void **state) {
    struct fixture *f = *state;
    struct kb_new_file file = {0};
    struct kb_err err = {0};
    assert_true(kb_folder_make(in(f, "sub"), &err));
    assert_true(kb_file_begin(in(f, "sub/file"), &file, &err));
    assert_int_equal(rename(in(f, "sub"), in(f, "moved")), 0);
    assert_false(kb_file_commit(&file, &err));
    assert_int_equal(err.kind, KB_IO);
    assert_non_null(strstr(err.msg, "cannot rename"));
}

/* A device of our own where we may make one: root could replace those in /dev by files. */
static const char *device(struct fixture *f, const char *name, unsigned minor_number) {
    const char *path = in(f, name);
    if (mknod(path, S_IFCHR | 0600, makedev(1, minor_number)) == 0) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd >= 0) {
            close(fd);
            return path;
        }
    }
    if (geteuid() == 0) /* no device may be made here */
        skip();
    return kb_arena_printf(&f->arena, "/dev/%s", name);
}

static void a_full_device_is_an_error_with_its_cause(void **state) {
    struct fixture *f = *state;
    struct kb_err err = {0};
    const char *full = device(f, "full", 7);
    assert_false(kb_file_replace(full, "text", 4, &err));
    assert_int_equal(err.kind, KB_IO);
    assert_string_equal(
        err.msg, kb_arena_printf(
                     &f->arena, "%s: cannot write 4 bytes: No space left on device", full));
}

static void a_device_is_written_to_and_stays_a_device(void **state) {
    struct fixture *f = *state;
    struct kb_err err = {0};
    struct stat st;
    const char *null = device(f, "null", 3);
    assert_true(kb_file_replace(null, "text", 4, &err));
    assert_int_equal(stat(null, &st), 0);
    assert_true(S_ISCHR(st.st_mode));
}

static void a_fifo_without_a_reader_does_not_hold_us(void **state) {
    struct fixture *f = *state;
    const char *fifo = in(f, "fifo");
    struct kb_err err = {0};
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_false(kb_file_replace(fifo, "text", 4, &err));
    assert_int_equal(err.kind, KB_IO);
}

static void folders_and_unreachable_places_are_refused(void **state) {
    struct fixture *f = *state;
    struct kb_err err = {0};
    assert_false(kb_file_replace(f->temp.path, "x", 1, &err));
    assert_non_null(strstr(err.msg, "is a folder"));
    assert_false(kb_file_replace(in(f, "no/such/place"), "x", 1, &err));
    assert_int_equal(err.kind, KB_IO);
    assert_non_null(strstr(err.msg, "No such file"));
    assert_int_equal(symlink("nowhere", in(f, "dangling")), 0);
    assert_false(kb_file_replace(in(f, "dangling"), "x", 1, &err));
    assert_non_null(strstr(err.msg, "leads nowhere"));
}

static void a_link_stays_and_what_it_names_is_replaced(void **state) {
    struct fixture *f = *state;
    struct stat st;
    put(in(f, "real"), "old");
    assert_int_equal(symlink("real", in(f, "link")), 0);
    put(in(f, "link"), "new");
    assert_int_equal(lstat(in(f, "link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    expect_text(in(f, "real"), "new");
}

static void a_new_file_obeys_the_umask_and_a_replaced_one_keeps_its_mode(void **state) {
    struct fixture *f = *state;
    struct stat st;
    mode_t mask = umask(027);
    put(in(f, "new"), "x");
    assert_int_equal(stat(in(f, "new"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(chmod(in(f, "new"), 0604), 0);
    put(in(f, "new"), "y");
    umask(mask);
    assert_int_equal(stat(in(f, "new"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0604);
}

static void a_bare_name_is_written_in_the_current_folder(void **state) {
    struct fixture *f = *state;
    char old[PATH_MAX];
    assert_non_null(getcwd(old, sizeof old));
    assert_int_equal(chdir(f->temp.path), 0);
    put("bare", "text");
    assert_int_equal(chdir(old), 0);
    expect_text(in(f, "bare"), "text");
}

static void a_path_too_long_is_an_error(void **state) {
    struct fixture *f = *state;
    struct kb_err err = {0};
    char *path = kb_arena_alloc(&f->arena, 2 * PATH_MAX);
    memset(path, 'a', 2 * PATH_MAX - 1);
    assert_false(kb_file_replace(path, "x", 1, &err));
    assert_int_equal(err.kind, KB_IO);
    assert_false(kb_folder_make(path, &err));
    assert_int_equal(err.kind, KB_IO);
}

static void folders_are_made_with_all_above_them(void **state) {
    struct fixture *f = *state;
    struct kb_err err = {0};
    struct stat st;
    assert_true(kb_folder_make(in(f, "a/b//c/"), &err));
    assert_true(kb_is_folder(in(f, "a/b/c")));
    assert_int_equal(stat(in(f, "a/b"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_true(kb_folder_make(in(f, "a/b/c"), &err));
    put(in(f, "file"), "x");
    assert_true(kb_is_file(in(f, "file")));
    assert_false(kb_is_file(in(f, "a")));
    assert_false(kb_is_folder(in(f, "file")));
    assert_false(kb_folder_make(in(f, "file/x"), &err));
    assert_int_equal(err.kind, KB_IO);
    assert_false(kb_folder_make(in(f, "file"), &err));
    assert_false(kb_folder_make("", &err));
}

static void a_listing_is_sorted_and_holds_only_files(void **state) {
    struct fixture *f = *state;
    struct kb_strings names = {0};
    struct kb_err err = {0};
    static const char *const files[] = {"b.json", "a.json", "c.txt", ".hidden.json"};
    for (size_t i = 0; i < KB_COUNT(files); i++)
        put(in(f, files[i]), "");
    assert_true(kb_folder_make(in(f, "d.json"), &err));
    assert_int_equal(mkfifo(in(f, "e.json"), 0600), 0);
    assert_true(kb_folder_list(f->temp.path, ".json", &f->arena, &names, &err));
    assert_int_equal(names.count, 2);
    assert_string_equal(names.items[0], "a.json");
    assert_string_equal(names.items[1], "b.json");
    assert_false(kb_folder_list(in(f, "absent"), "", &f->arena, &names, &err));
    assert_int_equal(err.kind, KB_INPUT);
    assert_int_equal(names.count, 2);
}

static void a_closed_pipe_is_a_failed_write_and_a_short_read(void **state) {
    (void)state;
    int ends[2];
    char got[4];
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(ends), 0);
    assert_true(kb_write_all(ends[1], "abc", 3));
    close(ends[1]);
    assert_false(kb_read_exact(ends[0], got, 4));
    close(ends[0]);
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    assert_false(kb_write_all(ends[1], "abc", 3));
    assert_int_equal(errno, EPIPE);
    close(ends[1]);
}

static void this_executable_is_found(void **state) {
    (void)state;
    assert_true(kb_is_file(kb_exe_path()));
    assert_true(kb_is_folder(kb_exe_folder()));
    assert_true(kb_starts_with(kb_exe_path(), kb_exe_folder()));
    assert_true(kb_ends_with(kb_exe_path(), "/file_test"));
}

static void the_machine_has_a_clock_random_numbers_and_cores(void **state) {
    (void)state;
    int64_t before_ns = kb_now_ns();
    assert_true(kb_random_u64() != kb_random_u64());
    assert_true(kb_cores() >= 1);
    assert_true(kb_now_ns() >= before_ns);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_was_written_is_read_back),
        IN_FOLDER(what_is_no_file_is_refused_at_once),
        IN_FOLDER(a_file_over_the_cap_is_refused_before_it_is_read),
        IN_FOLDER(a_failed_write_leaves_the_old_file_and_no_litter),
        IN_FOLDER(pieces_appear_as_one_file_at_the_commit_and_not_before),
        IN_FOLDER(a_commit_whose_folder_is_gone_is_an_error),
        IN_FOLDER(a_full_device_is_an_error_with_its_cause),
        IN_FOLDER(a_device_is_written_to_and_stays_a_device),
        IN_FOLDER(a_fifo_without_a_reader_does_not_hold_us),
        IN_FOLDER(folders_and_unreachable_places_are_refused),
        IN_FOLDER(a_link_stays_and_what_it_names_is_replaced),
        IN_FOLDER(a_new_file_obeys_the_umask_and_a_replaced_one_keeps_its_mode),
        IN_FOLDER(a_bare_name_is_written_in_the_current_folder),
        IN_FOLDER(a_path_too_long_is_an_error),
        IN_FOLDER(folders_are_made_with_all_above_them),
        IN_FOLDER(a_listing_is_sorted_and_holds_only_files),
        cmocka_unit_test(a_closed_pipe_is_a_failed_write_and_a_short_read),
        cmocka_unit_test(this_executable_is_found),
        cmocka_unit_test(the_machine_has_a_clock_random_numbers_and_cores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
