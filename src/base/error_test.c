/* error_test.c - errors keep cause and context, and a whole message. */
#include "base.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void error_keeps_cause_and_gains_context(void **state) {
    (void)state;
    struct kb_err err = {0};
    assert_false(kb_fail(&err, KB_INPUT, "\"rows\" must be at least %d, got %d", 1, 0));
    assert_false(kb_at(&err, "cases/activation.json:%d", 7));
    assert_string_equal(err.msg,
                        "cases/activation.json:7: \"rows\" must be at least 1, got 0");
    assert_int_equal(err.kind, KB_INPUT);
    assert_int_equal(kb_err_status(&err), 4);
}

static void every_kind_has_its_word_and_exit_status(void **state) {
    (void)state;
    static const struct {
        enum kb_err_kind kind;
        const char *word;
        int status;
    } want[] = {
        {KB_NO_ERROR, "none", 0},   {KB_UNSUPPORTED, "unsupported", 3},
        {KB_INPUT, "input", 4},     {KB_BUILD, "build", 5},
        {KB_DEVICE, "device", 6},   {KB_CRASH, "crash", 6},
        {KB_TIMEOUT, "timeout", 6}, {KB_IO, "io", 7},
        {KB_MEMORY, "memory", 7},
    };
    for (size_t i = 0; i < KB_COUNT(want); i++) {
        struct kb_err err = {.kind = want[i].kind};
        assert_string_equal(kb_err_word(want[i].kind), want[i].word);
        assert_int_equal(kb_err_status(&err), want[i].status);
    }
}

static void a_message_may_hold_the_old_message(void **state) {
    (void)state;
    struct kb_err err = {0};
    kb_fail(&err, KB_IO, "inner");
    kb_fail(&err, KB_BUILD, "outer (%s)", err.msg);
    assert_string_equal(err.msg, "outer (inner)");
    assert_int_equal(err.kind, KB_BUILD);
}

static void a_long_message_is_cut_between_characters_and_says_so(void **state) {
    (void)state;
    struct kb_err err = {0};
    char text[2 * KB_ERR_MAX + 3];
    for (int shift = 0; shift < 2; shift++) { /* two-byte characters at both alignments */
        struct kb_buf buf = {0};
        kb_buf_puts(&buf, shift ? "x" : "");
        for (int i = 0; i < KB_ERR_MAX; i++)
            kb_buf_puts(&buf, "\xc3\xa9");
        snprintf(text, sizeof text, "%s", buf.data);
        kb_buf_free(&buf);
        kb_fail(&err, KB_IO, "%s", text);
        assert_true(strlen(err.msg) < KB_ERR_MAX);
        assert_true(strlen(err.msg) > KB_ERR_MAX - 8);
        assert_true(kb_ends_with(err.msg, "..."));
        assert_true(kb_utf8_valid(err.msg, strlen(err.msg)));
        kb_at(&err, "context");
        assert_true(kb_starts_with(err.msg, "context: "));
        assert_true(kb_ends_with(err.msg, "..."));
        assert_true(kb_utf8_valid(err.msg, strlen(err.msg)));
    }
}

static void context_longer_than_all_room_is_cut(void **state) {
    (void)state;
    struct kb_err err = {0};
    char text[KB_ERR_MAX + 10];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    kb_fail(&err, KB_IO, "cause");
    kb_at(&err, "%s", text);
    assert_int_equal(strlen(err.msg), KB_ERR_MAX - 1);
    assert_true(kb_ends_with(err.msg, "..."));
}

static void out_of_memory_says_so_and_exits_7(void **state) {
    (void)state;
    int ends[2], status;
    char text[64] = "";
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        kb_out_of_memory();
    }
    close(ends[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    close(ends[0]);
    assert_string_equal(text, "kbench: out of memory\n");
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_keeps_cause_and_gains_context),
        cmocka_unit_test(every_kind_has_its_word_and_exit_status),
        cmocka_unit_test(a_message_may_hold_the_old_message),
        cmocka_unit_test(a_long_message_is_cut_between_characters_and_says_so),
        cmocka_unit_test(context_longer_than_all_room_is_cut),
        cmocka_unit_test(out_of_memory_says_so_and_exits_7),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
