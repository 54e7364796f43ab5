/* frame_test.c - a reply is what the child wrote for us, whole and in time, or an error. */
#include "sys.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { NONCE = 0x1234567, HEADER = 32 };

/* ---- one frame in memory, sent through a pipe ---------------------------------------- */

struct writer {
    int fd;
    const void *data;
    size_t size;
    bool ok;
};

static void *write_frame(void *arg) {
    struct writer *w = arg;
    struct kb_err err = {0};
    w->ok = kb_frame_write(w->fd, NONCE, w->data, w->size, &err);
    return NULL;
}

/* The bytes of a frame, as a reader would get them. */
static struct kb_buf frame_of(const void *data, size_t size) {
    int ends[2];
    char chunk[4096];
    ssize_t n;
    pthread_t thread;
    struct kb_buf bytes = {0};
    struct writer w = {.data = data, .size = size};
    assert_int_equal(pipe(ends), 0);
    w.fd = ends[1];
    assert_int_equal(pthread_create(&thread, NULL, write_frame, &w), 0);
    while (bytes.len < HEADER + size && (n = read(ends[0], chunk, sizeof chunk)) > 0)
        kb_buf_add(&bytes, chunk, (size_t)n);
    pthread_join(thread, NULL);
    assert_true(w.ok);
    close(ends[0]);
    close(ends[1]);
    return bytes;
}

/* What a reader makes of these bytes, after which the pipe is closed. */
static bool read_back(const void *bytes, size_t size, struct kb_buf *out,
                      struct kb_err *err) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_true(size <= 4096); /* fits the pipe */
    assert_true(kb_write_all(ends[1], bytes, size));
    close(ends[1]);
    bool ok = kb_frame_read(ends[0], NONCE, 5000, out, err);
    close(ends[0]);
    return ok;
}

static void frames_of_any_size_arrive_whole_and_in_order(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 4095, 65536, 65537, 3000000};
    char *data = malloc(3000000);
    for (size_t i = 0; i < 3000000; i++)
        data[i] = (char)(i * 31 + i / 256);
    for (size_t i = 0; i < KB_COUNT(sizes); i++) {
        int ends[2];
        pthread_t thread;
        struct kb_buf out = {0};
        struct kb_err err = {0};
        assert_int_equal(pipe(ends), 0);
        struct writer w = {.fd = ends[1], .data = data, .size = sizes[i]};
        assert_int_equal(pthread_create(&thread, NULL, write_frame, &w), 0);
        kb_buf_puts(&out, "ab");
        assert_true(kb_frame_read(ends[0], NONCE, 10000, &out, &err));
        pthread_join(thread, NULL);
        assert_true(w.ok);
        assert_int_equal(out.len, 2 + sizes[i]);
        assert_memory_equal(out.data, "ab", 2);
        assert_memory_equal(out.data + 2, data, sizes[i]);
        kb_buf_free(&out);
        close(ends[0]);
        close(ends[1]);
    }
    free(data);
}

static void two_frames_in_a_pipe_are_read_one_by_one(void **state) {
    (void)state;
    int ends[2];
    struct kb_buf out = {0};
    struct kb_err err = {0};
    assert_int_equal(pipe(ends), 0);
    assert_true(kb_frame_write(ends[1], NONCE, "one", 3, &err));
    assert_true(kb_frame_write(ends[1], NONCE, "two", 3, &err));
    assert_true(kb_frame_read(ends[0], NONCE, 0, &out, &err));
    assert_string_equal(kb_buf_text(&out), "one");
    assert_true(kb_frame_read(ends[0], NONCE, 0, &out, &err));
    assert_string_equal(kb_buf_text(&out), "onetwo");
    kb_buf_free(&out);
    close(ends[0]);
    close(ends[1]);
}

static void a_frame_with_another_nonce_is_no_reply(void **state) {
    (void)state;
    int ends[2];
    struct kb_buf out = {0};
    struct kb_err err = {0};
    assert_int_equal(pipe(ends), 0);
    assert_true(kb_frame_write(ends[1], NONCE + 1, "PASS", 4, &err));
    assert_false(kb_frame_read(ends[0], NONCE, 1000, &out, &err));
    assert_int_equal(err.kind, KB_CRASH);
    assert_true(kb_starts_with(err.msg, "broken reply"));
    assert_int_equal(out.len, 0);
    kb_buf_free(&out);
    close(ends[0]);
    close(ends[1]);
}

static void an_empty_pipe_that_closes_is_no_reply(void **state) {
    (void)state;
    struct kb_buf out = {0};
    struct kb_err err = {0};
    assert_false(read_back("", 0, &out, &err));
    assert_int_equal(err.kind, KB_CRASH);
    assert_string_equal(err.msg, "ended without a reply");
    assert_false(kb_frame_read(-1, NONCE, 0, &out, &err));
    kb_buf_free(&out);
}

static void every_truncated_frame_is_broken(void **state) {
    (void)state;
    struct kb_buf frame = frame_of("a payload of some bytes", 23), out = {0};
    assert_int_equal(frame.len, HEADER + 23);
    for (size_t size = 1; size < frame.len; size++) {
        struct kb_err err = {0};
        assert_false(read_back(frame.data, size, &out, &err));
        assert_int_equal(err.kind, KB_CRASH);
        assert_true(kb_starts_with(err.msg, "broken reply"));
        assert_int_equal(out.len, 0);
    }
    struct kb_err err = {0};
    assert_true(read_back(frame.data, frame.len, &out, &err));
    kb_buf_free(&frame);
    kb_buf_free(&out);
}

static void every_flipped_bit_is_noticed(void **state) {
    (void)state;
    struct kb_buf frame = frame_of("payload", 7), out = {0};
    for (size_t bit = 0; bit < 8 * frame.len; bit++) {
        struct kb_err err = {0};
        frame.data[bit / 8] = (char)(frame.data[bit / 8] ^ 1 << bit % 8);
        assert_false(read_back(frame.data, frame.len, &out, &err));
        assert_int_equal(err.kind, KB_CRASH);
        assert_int_equal(out.len, 0);
        frame.data[bit / 8] = (char)(frame.data[bit / 8] ^ 1 << bit % 8);
    }
    kb_buf_free(&frame);
    kb_buf_free(&out);
}

static void a_frame_that_claims_too_much_is_refused_before_memory_is_taken(void **state) {
    (void)state;
    struct kb_buf frame = frame_of("x", 1), out = {0};
    struct kb_err err = {0};
    memset(frame.data + 16, 0xff, 7);
    assert_false(read_back(frame.data, frame.len, &out, &err));
    assert_non_null(strstr(err.msg, "it claims"));
    assert_int_equal(out.cap, 0);
    memset(frame.data + 16, 0, 8);
    frame.data[16 + 3] = 0x0f; /* 251 MB, of which one byte comes */
    assert_false(read_back(frame.data, frame.len, &out, &err));
    assert_true(out.cap < 1 << 20);
    kb_buf_free(&frame);
    kb_buf_free(&out);
}

static void a_message_too_large_is_not_sent(void **state) {
    (void)state;
    struct kb_err err = {0};
    assert_false(kb_frame_write(-1, NONCE, "", ((size_t)256 << 20) + 1, &err));
    assert_int_equal(err.kind, KB_IO);
}

static void silence_and_a_trickle_both_end_at_the_deadline(void **state) {
    (void)state;
    int ends[2];
    struct kb_buf frame = frame_of("payload", 7), out = {0};
    for (size_t sent = 0; sent < frame.len; sent += 19) {
        struct kb_err err = {0};
        assert_int_equal(pipe(ends), 0);
        assert_true(kb_write_all(ends[1], frame.data, sent));
        int64_t start_ns = kb_now_ns();
        assert_false(kb_frame_read(ends[0], NONCE, 20, &out, &err));
        int64_t took_ms = (kb_now_ns() - start_ns) / 1000000;
        assert_int_equal(err.kind, KB_TIMEOUT);
        assert_true(took_ms >= 20 && took_ms < 3000);
        assert_int_equal(out.len, 0);
        close(ends[0]);
        close(ends[1]);
    }
    kb_buf_free(&frame);
    kb_buf_free(&out);
}

static void a_reader_that_is_gone_is_a_crash(void **state) {
    (void)state;
    int ends[2];
    struct kb_err err = {0};
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    assert_false(kb_frame_write(ends[1], NONCE, "x", 1, &err));
    assert_int_equal(err.kind, KB_CRASH);
    close(ends[1]);
}

/* ---- with a child: this executable again -------------------------------------------- */

static int child_main(const char *what) {
    struct kb_buf in = {0};
    struct kb_err err = {0};
    if (!kb_frame_read(3, NONCE, 10000, &in, &err))
        return 99;
    if (kb_streq(what, "die"))
        abort();
    if (kb_streq(what, "fork-and-die") && fork() > 0)
        _exit(7);
    if (kb_streq(what, "fork-and-die")) /* the pipes stay open in here */
        for (;;)
            pause();
    if (kb_streq(what, "hang"))
        for (;;)
            pause();
    if (kb_streq(what, "flood")) {
        static char line[1 << 16];
        memset(line, 'x', sizeof line);
        for (int i = 0; i < 40; i++)
            kb_write_all(2, line, sizeof line);
        kb_write_all(1, "end", 3);
    }
    if (kb_streq(what, "garbage")) /* a kernel that writes to every fd it finds */
        for (int fd = 1; fd < 10; fd++)
            kb_write_all(fd, "PASS PASS PASS PASS PASS PASS PASS PASS", 39);
    kb_write_all(2, "said", 4);
    if (!kb_frame_write(4, NONCE, in.data, in.len, &err))
        return 98;
    kb_buf_free(&in);
    return 0;
}

struct talk {
    bool ok;
    struct kb_buf reply, log;
    struct kb_err err;
    int64_t took_ms;
};

static struct talk talk_to(const char *what, const void *data, size_t size,
                           int64_t wall_ms) {
    struct talk t = {0};
    struct kb_child child;
    struct kb_arena arena = {0};
    char *argv[] = {kb_arena_strdup(&arena, "/proc/self/exe"),
                    kb_arena_strdup(&arena, what), NULL};
    assert_true(kb_child_start(&child, argv, NULL, -1, &t.err));
    int64_t start_ns = kb_now_ns();
    assert_true(kb_frame_write(child.in, NONCE, data, size, &t.err));
    t.ok = kb_child_reply(&child, NONCE, wall_ms, &t.reply, &t.log, &t.err);
    t.took_ms = (kb_now_ns() - start_ns) / 1000000;
    assert_true(kb_child_end(&child));
    kb_arena_free(&arena);
    return t;
}

static void talk_free(struct talk *t) {
    kb_buf_free(&t->reply);
    kb_buf_free(&t->log);
}

static void a_child_answers_a_message_larger_than_a_pipe(void **state) {
    (void)state;
    char *data = malloc(1 << 20);
    memset(data, 'd', 1 << 20);
    struct talk t = talk_to("echo", data, 1 << 20, 10000);
    if (!t.ok)
        fail_msg("%s", t.err.msg);
    assert_int_equal(t.reply.len, 1 << 20);
    assert_memory_equal(t.reply.data, data, 1 << 20);
    assert_string_equal(kb_buf_text(&t.log), "said");
    talk_free(&t);
    free(data);
}

static void a_child_that_floods_its_output_still_answers(void **state) {
    (void)state;
    struct talk t = talk_to("flood", "hi", 2, 10000);
    if (!t.ok)
        fail_msg("%s", t.err.msg);
    assert_string_equal(kb_buf_text(&t.reply), "hi");
    assert_int_equal(t.log.len, 64 << 10);
    talk_free(&t);
}

static void a_child_that_writes_to_every_file_gives_no_reply(void **state) {
    (void)state;
    struct talk t = talk_to("garbage", "hi", 2, 10000);
    assert_false(t.ok);
    assert_int_equal(t.err.kind, KB_CRASH);
    assert_true(kb_starts_with(t.err.msg, "broken reply"));
    assert_true(kb_starts_with(kb_buf_text(&t.log), "PASS"));
    talk_free(&t);
}

static void a_child_that_dies_gives_no_reply(void **state) {
    (void)state;
    struct talk t = talk_to("die", "hi", 2, 10000);
    assert_false(t.ok);
    assert_int_equal(t.err.kind, KB_CRASH);
    assert_string_equal(t.err.msg, "ended without a reply");
    talk_free(&t);
}

static void a_child_that_dies_is_noticed_while_its_fork_holds_the_pipe(void **state) {
    (void)state;
    struct talk t = talk_to("fork-and-die", "hi", 2, 10000);
    assert_false(t.ok);
    assert_int_equal(t.err.kind, KB_CRASH);
    assert_true(t.took_ms < 5000);
    talk_free(&t);
}

static void a_child_that_hangs_is_a_timeout(void **state) {
    (void)state;
    struct talk t = talk_to("hang", "hi", 2, 100);
    assert_false(t.ok);
    assert_int_equal(t.err.kind, KB_TIMEOUT);
    assert_true(t.took_ms >= 100 && t.took_ms < 5000);
    talk_free(&t);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_of_any_size_arrive_whole_and_in_order),
        cmocka_unit_test(two_frames_in_a_pipe_are_read_one_by_one),
        cmocka_unit_test(a_frame_with_another_nonce_is_no_reply),
        cmocka_unit_test(an_empty_pipe_that_closes_is_no_reply),
        cmocka_unit_test(every_truncated_frame_is_broken),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(a_frame_that_claims_too_much_is_refused_before_memory_is_taken),
        cmocka_unit_test(a_message_too_large_is_not_sent),
        cmocka_unit_test(silence_and_a_trickle_both_end_at_the_deadline),
        cmocka_unit_test(a_reader_that_is_gone_is_a_crash),
        cmocka_unit_test(a_child_answers_a_message_larger_than_a_pipe),
        cmocka_unit_test(a_child_that_floods_its_output_still_answers),
        cmocka_unit_test(a_child_that_writes_to_every_file_gives_no_reply),
        cmocka_unit_test(a_child_that_dies_gives_no_reply),
        cmocka_unit_test(a_child_that_dies_is_noticed_while_its_fork_holds_the_pipe),
        cmocka_unit_test(a_child_that_hangs_is_a_timeout),
    };
    if (argc > 1)
        return child_main(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
