/* child_test.c - children are started clean, limited, and ended with all they started. */
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct result {
    bool ok;
    int status;
    struct kb_buf output;
    struct kb_err err;
    int64_t took_ms;
};

static struct result sh(const char *script, const struct kb_limits *limits) {
    struct result r = {.status = -1};
    struct kb_arena arena = {0};
    char *argv[] = {kb_arena_strdup(&arena, "sh"), kb_arena_strdup(&arena, "-c"),
                    kb_arena_strdup(&arena, script), NULL};
    int64_t start_ns = kb_now_ns();
    r.ok = kb_run_command(argv, NULL, limits, &r.output, &r.status, &r.err);
    r.took_ms = (kb_now_ns() - start_ns) / 1000000;
    kb_arena_free(&arena);
    return r;
}

static const struct kb_limits ten_s = {.wall_ms = 10000};

static bool is_alive(pid_t pid) {
    char path[64], state = 'Z';
    struct kb_buf text = {0};
    struct kb_err err = {0};
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (kb_file_read(path, 4096, &text, &err))
        state = *(strrchr(text.data, ')') + 2);
    kb_buf_free(&text);
    return state != 'Z' && state != 'X';
}

/* A killed process may take a moment to go. */
static bool dies(pid_t pid) {
    for (int i = 0; i < 200 && is_alive(pid); i++)
        usleep(10000);
    return !is_alive(pid);
}

static void a_command_gives_output_and_exit_status(void **state) {
    (void)state;
    struct result r = sh("echo out; echo err >&2; exit 3", &ten_s);
    assert_true(r.ok);
    assert_int_equal(r.status, 3);
    assert_string_equal(kb_buf_text(&r.output), "out\nerr\n");
    kb_buf_free(&r.output);
}

static void a_command_that_is_not_there_could_not_be_started(void **state) {
    (void)state;
    char name[] = "kb-no-such-command", *argv[] = {name, NULL};
    struct kb_buf output = {0};
    struct kb_err err = {0};
    int status = 77;
    assert_false(kb_run_command(argv, NULL, &ten_s, &output, &status, &err));
    assert_int_equal(err.kind, KB_IO);
    assert_string_equal(err.msg,
                        "kb-no-such-command: cannot start: No such file or directory");
    assert_int_equal(status, 77);
    struct result r = {0};
    char sh_name[] = "sh", *sh_argv[] = {sh_name, NULL};
    assert_false(
        kb_run_command(sh_argv, "/no/such/folder", &ten_s, &output, &status, &r.err));
    assert_int_equal(r.err.kind, KB_IO);
}

static void a_command_killed_by_a_signal_crashed(void **state) {
    (void)state;
    struct result r = sh("kill -SEGV $$", &ten_s);
    assert_false(r.ok);
    assert_int_equal(r.err.kind, KB_CRASH);
    assert_string_equal(r.err.msg, "sh: signal 11 (Segmentation fault)");
}

static void the_environment_is_clean_and_nothing_is_inherited(void **state) {
    (void)state;
    int fd = open("/dev/null", O_RDONLY); /* without O_CLOEXEC, as a library would */
    setenv("LD_PRELOAD_NOT", "1", 1);
    setenv("CPATH", "/evil", 1);
    struct result r =
        sh("env | sed 's/=.*//' | grep -v '^PWD$\\|^SHLVL$\\|^_$\\|^OLDPWD$' |"
           "sort | tr '\\n' ' '; echo $LANG $LC_ALL; ls /proc/$$/fd;"
           "readlink /proc/$$/fd/0",
           &ten_s);
    unsetenv("LD_PRELOAD_NOT");
    unsetenv("CPATH");
    close(fd);
    assert_true(r.ok);
    assert_string_equal(kb_buf_text(&r.output),
                        "HOME LANG LC_ALL PATH TMPDIR C C\n0\n1\n2\n/dev/null\n");
    kb_buf_free(&r.output);
}

static void signals_that_we_ignore_are_not_ignored_by_a_child(void **state) {
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    struct result r = sh("kill -PIPE $$; echo survived", &ten_s);
    signal(SIGPIPE, SIG_DFL);
    assert_false(r.ok);
    assert_string_equal(r.err.msg, "sh: signal 13 (Broken pipe)");
    kb_buf_free(&r.output);
}

static void a_command_runs_in_the_folder_asked_for(void **state) {
    (void)state;
    char name[] = "pwd", *argv[] = {name, NULL};
    struct kb_buf output = {0};
    struct kb_err err = {0};
    int status;
    assert_true(kb_run_command(argv, "/", &ten_s, &output, &status, &err));
    assert_string_equal(kb_buf_text(&output), "/\n");
    kb_buf_free(&output);
}

static void a_hang_is_killed_at_the_wall_limit_with_its_children(void **state) {
    (void)state;
    struct kb_limits limits = {.wall_ms = 100};
    struct result r =
        sh("trap '' TERM INT HUP; sleep 100 & echo $!; wait; sleep 100", &limits);
    assert_false(r.ok);
    assert_int_equal(r.err.kind, KB_TIMEOUT);
    assert_true(kb_starts_with(r.err.msg, "sh: still running after 0."));
    assert_true(r.took_ms >= 100 && r.took_ms < 5000);
    pid_t grandchild = atoi(kb_buf_text(&r.output));
    assert_true(grandchild > 1);
    assert_true(dies(grandchild));
    kb_buf_free(&r.output);
}

static void a_hang_with_closed_output_is_killed_too(void **state) {
    (void)state;
    struct kb_limits limits = {.wall_ms = 100};
    struct result r = sh("exec >&- 2>&-; sleep 100", &limits);
    assert_false(r.ok);
    assert_int_equal(r.err.kind, KB_TIMEOUT);
    assert_true(r.took_ms >= 100 && r.took_ms < 5000);
}

static void a_grandchild_that_keeps_the_output_open_does_not_hold_us(void **state) {
    (void)state;
    struct result r = sh("sleep 100 & echo $!; exit 5", &ten_s);
    assert_true(r.ok);
    assert_int_equal(r.status, 5);
    assert_true(r.took_ms < 5000);
    assert_true(dies(atoi(kb_buf_text(&r.output))));
    kb_buf_free(&r.output);
}

static void a_grandchild_that_left_the_group_and_floods_does_not_hold_us(void **state) {
    (void)state;
    struct result r =
        sh("setsid sh -c 'echo $$; exec timeout 3 yes' & sleep 0.1; exit 6", &ten_s);
    assert_true(r.ok);
    assert_int_equal(r.status, 6);
    assert_true(r.took_ms < 2500);
    kb_buf_free(&r.output);
}

static void a_flood_is_read_to_its_end_and_kept_up_to_64_KiB(void **state) {
    (void)state;
    struct result r =
        sh("echo first; head -c 8000000 /dev/zero | tr '\\0' x; exit 4", &ten_s);
    assert_true(r.ok);
    assert_int_equal(r.status, 4);
    assert_int_equal(r.output.len, 64 << 10);
    assert_true(kb_starts_with(r.output.data, "first\nxxx"));
    kb_buf_free(&r.output);
    struct kb_limits limits = {.wall_ms = 100};
    r = sh("yes", &limits);
    assert_int_equal(r.err.kind, KB_TIMEOUT);
    assert_int_equal(r.output.len, 64 << 10);
    assert_true(r.took_ms < 5000);
    kb_buf_free(&r.output);
}

static void a_command_past_its_cpu_time_is_a_timeout(void **state) {
    (void)state;
    struct kb_limits limits = {.wall_ms = 20000, .cpu_s = 1};
    struct result r =
        sh("kill -XCPU $$", &limits); /* as the kernel does, without the wait */
    assert_false(r.ok);
    assert_int_equal(r.err.kind, KB_TIMEOUT);
    assert_string_equal(r.err.msg, "sh: used up its 1 s of CPU time");
}

static void limits_of_memory_and_time_reach_the_command(void **state) {
    (void)state;
    struct kb_limits limits = {
        .wall_ms = 10000, .cpu_s = 77, .address_bytes = (size_t)1 << 30};
    struct result r = sh("sleep 0.05; ulimit -v; ulimit -t", &limits);
    assert_true(r.ok);
    assert_string_equal(kb_buf_text(&r.output), "1048576\n77\n");
    kb_buf_free(&r.output);
}

/* ---- workers ----------------------------------------------------------------------- */

static struct kb_child start(const char *script, int pass_fd) {
    struct kb_child child;
    struct kb_err err = {0};
    struct kb_arena arena = {0};
    char *argv[] = {kb_arena_strdup(&arena, "sh"), kb_arena_strdup(&arena, "-c"),
                    kb_arena_strdup(&arena, script), NULL};
    if (!kb_child_start(&child, argv, NULL, pass_fd, &err))
        fail_msg("%s", err.msg);
    kb_arena_free(&arena);
    return child;
}

static void make_blocking(int fd) {
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
}

static void expect_from(int fd, const char *text) {
    char got[256] = "";
    make_blocking(fd);
    for (size_t n = 0; n < sizeof got - 1;) {
        ssize_t k = read(fd, got + n, sizeof got - 1 - n);
        if (k <= 0)
            break;
        n += (size_t)k;
    }
    assert_string_equal(got, text);
}

static void a_child_reads_fd_3_and_writes_fd_4_and_stderr(void **state) {
    (void)state;
    int status;
    struct kb_child child =
        start("read line <&3; echo \"reply $line\" >&4; echo out; echo err >&2;"
              "readlink /proc/$$/fd/0; exit 9",
              -1);
    assert_true(kb_write_all(child.in, "hello\n", 6));
    expect_from(child.out, "reply hello\n");
    expect_from(child.errors, "out\nerr\n/dev/null\n");
    assert_true(kb_child_wait(&child, 10000, &status));
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 9);
    assert_false(kb_child_wait(&child, 0, &status)); /* it is reaped */
    assert_true(kb_child_end(&child));
    assert_int_equal(child.in, -1);
}

static void a_file_is_passed_as_fd_5_whatever_its_number(void **state) {
    (void)state;
    static const int numbers[] = {3, 4, 5, 6, 20};
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_true(kb_write_all(fileno(file), "shared\n", 7));
    for (size_t i = 0; i < KB_COUNT(numbers); i++) {
        int saved = fcntl(numbers[i], F_DUPFD_CLOEXEC, 50); /* -1 where it is not in use */
        int status, fd = dup3(fileno(file), numbers[i], O_CLOEXEC);
        if (fd < 0)
            fd = fileno(file); /* it has that very number */
        lseek(fd, 0, SEEK_SET);
        struct kb_child child = start("cat <&5 >&4; ls /proc/$$/fd", fd);
        if (fd != fileno(file))
            close(fd);
        if (saved >= 0 && fd != fileno(file))
            dup3(saved, numbers[i], O_CLOEXEC);
        if (saved >= 0)
            close(saved);
        expect_from(child.out, "shared\n");
        expect_from(child.errors, "0\n1\n2\n3\n4\n5\n");
        assert_true(kb_child_wait(&child, 10000, &status));
        kb_child_end(&child);
    }
    fclose(file);
}

static void a_child_without_a_passed_file_has_no_fd_5(void **state) {
    (void)state;
    struct kb_child child = start("ls /proc/$$/fd", -1);
    expect_from(child.errors, "0\n1\n2\n3\n4\n");
    kb_child_end(&child);
}

static void ending_a_child_kills_its_group_and_closes_our_ends(void **state) {
    (void)state;
    char line[32] = "";
    struct kb_child child = start("trap '' TERM; sleep 100 & echo $! >&4; sleep 100", -1);
    pid_t pid = child.pid;
    int in = child.in;
    make_blocking(child.out);
    assert_true(read(child.out, line, sizeof line - 1) > 0);
    assert_false(kb_child_has_ended(&child));
    assert_true(kb_child_end(&child));
    assert_false(is_alive(pid));
    assert_true(dies(atoi(line)));
    assert_int_equal(fcntl(in, F_GETFD), -1);
    assert_int_equal(child.pid, 0);
    assert_true(kb_child_end(&child));
    struct kb_child zero = {0};
    assert_true(kb_child_end(&zero));
    assert_true(fcntl(STDIN_FILENO, F_GETFD) >= 0 || errno == EBADF);
}

static void waiting_ends_at_its_limit_and_leaves_the_child(void **state) {
    (void)state;
    int status = 77;
    struct kb_child child = start("sleep 100", -1);
    int64_t start_ns = kb_now_ns();
    assert_false(kb_child_wait(&child, 100, &status));
    int64_t took_ms = (kb_now_ns() - start_ns) / 1000000;
    assert_true(took_ms >= 100 && took_ms < 3000);
    assert_true(is_alive(child.pid));
    assert_int_equal(status, 77);
    kb_child_end(&child);
}

static void what_a_child_leaves_behind_ends_when_it_is_reaped(void **state) {
    (void)state;
    char line[32] = "";
    int status;
    struct kb_child child = start("sleep 100 & echo $! >&4", -1);
    assert_true(kb_child_wait(&child, 10000, &status));
    assert_true(read(child.out, line, sizeof line - 1) > 0);
    assert_true(dies(atoi(line)));
    kb_child_end(&child);
}

static int open_files(void) {
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void a_child_that_cannot_start_leaves_nothing_open(void **state) {
    (void)state;
    char name[] = "/no/such/file", *argv[] = {name, NULL};
    struct kb_child child;
    struct kb_err err = {0};
    int before = open_files();
    assert_false(kb_child_start(&child, argv, NULL, STDERR_FILENO, &err));
    assert_int_equal(err.kind, KB_IO);
    assert_int_equal(child.pid, 0);
    assert_int_equal(child.out, -1);
    assert_int_equal(open_files(), before);
    assert_true(kb_child_end(&child));
}

static void a_child_and_a_command_that_ended_leave_nothing_open(void **state) {
    (void)state;
    int before = open_files();
    struct kb_child child = start("exit 0", STDERR_FILENO);
    assert_int_equal(open_files(), before + 3);
    kb_child_end(&child);
    struct result r = sh("exit 0", &ten_s);
    assert_true(r.ok);
    assert_int_equal(open_files(), before);
}

static void a_child_gets_our_environment_or_the_one_given(void **state) {
    (void)state;
    char name[] = "/usr/bin/env", *argv[] = {name, NULL};
    char one[] = "KB_ONE=1", *env[] = {one, NULL};
    struct kb_child child;
    struct kb_err err = {0};
    assert_true(kb_child_start(&child, argv, env, -1, &err));
    expect_from(child.errors, "KB_ONE=1\n");
    kb_child_end(&child);
    setenv("KB_TWO", "2", 1);
    child = start("echo $KB_TWO", -1);
    expect_from(child.errors, "2\n");
    kb_child_end(&child);
}

static void a_status_is_told_in_words(void **state) {
    (void)state;
    struct kb_buf text = {0};
    kb_status_text(W_EXITCODE(3, 0), &text);
    assert_string_equal(kb_buf_text(&text), "exit status 3");
    kb_buf_clear(&text);
    kb_status_text(W_EXITCODE(0, SIGSEGV), &text);
    assert_string_equal(kb_buf_text(&text), "signal 11 (Segmentation fault)");
    kb_buf_clear(&text);
    kb_status_text(W_EXITCODE(0, 64), &text); /* real-time signals have no name */
    assert_string_equal(kb_buf_text(&text), "signal 64 (unknown)");
    kb_buf_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_gives_output_and_exit_status),
        cmocka_unit_test(a_command_that_is_not_there_could_not_be_started),
        cmocka_unit_test(a_command_killed_by_a_signal_crashed),
        cmocka_unit_test(the_environment_is_clean_and_nothing_is_inherited),
        cmocka_unit_test(signals_that_we_ignore_are_not_ignored_by_a_child),
        cmocka_unit_test(a_command_runs_in_the_folder_asked_for),
        cmocka_unit_test(a_hang_is_killed_at_the_wall_limit_with_its_children),
        cmocka_unit_test(a_hang_with_closed_output_is_killed_too),
        cmocka_unit_test(a_grandchild_that_keeps_the_output_open_does_not_hold_us),
        cmocka_unit_test(a_grandchild_that_left_the_group_and_floods_does_not_hold_us),
        cmocka_unit_test(a_flood_is_read_to_its_end_and_kept_up_to_64_KiB),
        cmocka_unit_test(a_command_past_its_cpu_time_is_a_timeout),
        cmocka_unit_test(limits_of_memory_and_time_reach_the_command),
        cmocka_unit_test(a_child_reads_fd_3_and_writes_fd_4_and_stderr),
        cmocka_unit_test(a_file_is_passed_as_fd_5_whatever_its_number),
        cmocka_unit_test(a_child_without_a_passed_file_has_no_fd_5),
        cmocka_unit_test(ending_a_child_kills_its_group_and_closes_our_ends),
        cmocka_unit_test(waiting_ends_at_its_limit_and_leaves_the_child),
        cmocka_unit_test(what_a_child_leaves_behind_ends_when_it_is_reaped),
        cmocka_unit_test(a_child_that_cannot_start_leaves_nothing_open),
        cmocka_unit_test(a_child_and_a_command_that_ended_leave_nothing_open),
        cmocka_unit_test(a_child_gets_our_environment_or_the_one_given),
        cmocka_unit_test(a_status_is_told_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
