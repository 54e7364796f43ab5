/* worker_main.c - the worker's side: open a device, say hello, run jobs until the pipe
 * closes.
 *
 * Commands come on fd 3 and replies go to fd 4, in frames that carry the nonce of the
 * first. */
#include "brood.h"
#include "group.h"
#include "hello.h"
#include "session.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { COMMANDS = 3, REPLIES = 4, GRACE_S = 1 };

/* What ends us in the middle of whatever is going on, and all that we have started with us:
 * SIGTERM, and the end of whoever started us, which closes the commands' pipe.
 * PR_SET_PDEATHSIG would kill us with the thread that started us, which may be one of many
 * in a parent that lives on. */
static void *watch(void *context) {
    struct pollfd fds[] = {
        {.fd = COMMANDS},
        {.fd = *(const int *)context, .events = POLLIN},
    };

    while (poll(fds, KB_COUNT(fds), -1) < 0 && errno == EINTR)
        continue;
    if (!fds[1].revents)
        sleep(GRACE_S); /* the ordinary end is through main() */
    kb_brood_kill(getpid());
    _exit(128 + SIGTERM);
}

/* Before any other thread is there, so that no other takes the signal. */
static bool start_watch(int *signals) {
    pthread_t thread;
    sigset_t term;

    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    if (pthread_sigmask(SIG_BLOCK, &term, NULL))
        return false;
    *signals = signalfd(-1, &term, SFD_CLOEXEC);
    return *signals >= 0 && pthread_create(&thread, NULL, watch, signals) == 0 &&
           pthread_detach(thread) == 0;
}

/* auto: a GPU if one opens, else the host, with the reason as a note. */
static bool open_device(const struct kb_worker_options *o, struct kb_session *s,
                        struct kb_device_info *info, struct kb_err *err) {
    struct kb_err why = {0};
    bool automatic = kb_streq(o->backend, "auto");

    s->exec = o->exec;
    s->backend = automatic ? &kb_cuda : kb_backend_find(o->backend);
    if (!s->backend)
        return kb_fail(err, KB_INPUT, "unknown backend \"%s\"", o->backend);
    if (automatic && !o->exec.sanitize &&
        s->backend->open(o->ordinal, &s->exec, &s->device, &why)) {
        *info = *s->backend->info(s->device);
        return true;
    }
    if (automatic)
        s->backend = &kb_host;
    if (!s->backend->open(o->ordinal, &s->exec, &s->device, err))
        return false;
    *info = *s->backend->info(s->device);
    if (automatic) {
        kb_text_copy(info->note, sizeof info->note,
                     o->exec.sanitize ? "sanitizers are the host backend's" : why.msg);
    }
    return true;
}

/* A job a line, and a row a line: one, or those of one case side by side. */
static bool do_jobs(struct kb_session *s, const struct kb_buf *in, struct kb_arena *arena,
                    struct kb_buf *out, struct kb_err *err) {
    size_t lines = 1;
    int n = 0;

    for (size_t i = 0; i < in->len; i++)
        lines += in->data[i] == '\n';
    if (lines > KB_MAX_GROUP)
        return kb_fail(err, KB_INPUT, "%zu jobs at once", lines);
    struct kb_job *jobs = kb_arena_array(arena, lines, sizeof *jobs);
    struct kb_row *rows = kb_arena_array(arena, lines, sizeof *rows);
    for (size_t at = 0; at < in->len;) {
        const char *line = in->data + at, *end = memchr(line, '\n', in->len - at);
        size_t len = end ? (size_t)(end - line) : in->len - at;
        if (!kb_job_parse(line, len, arena, &jobs[n++], err))
            return false;
        at += len + 1;
    }
    if (n == 1)
        kb_session_run(s, jobs, arena, rows);
    else if (!kb_session_run_group(s, jobs, n, arena, rows, err))
        return false;
    for (int i = 0; i < n; i++) {
        kb_row_print(&rows[i], out);
        kb_buf_puts(out, i + 1 < n ? "\n" : "");
    }
    return true;
}

static bool serve(struct kb_session *s, uint64_t nonce, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_buf in = {0}, out = {0};
    bool ok = true;

    while (!s->dead) {
        kb_buf_clear(&in);
        kb_buf_clear(&out);
        kb_arena_reset(&arena);
        if (!kb_frame_read(COMMANDS, nonce, 0, &in, err))
            break; /* the parent is done with us, or gone */
        ok = do_jobs(s, &in, &arena, &out, err);
        if (!ok) { /* a device that was lost under several jobs takes them along */
            kb_write_all(STDERR_FILENO, err->msg, strlen(err->msg)); /* our last words */
            break;
        }
        if (!kb_frame_write(REPLIES, nonce, out.data, out.len, err))
            break;
    }
    kb_buf_free(&in);
    kb_buf_free(&out);
    kb_arena_free(&arena);
    return ok;
}

static bool read_options(struct kb_arena *arena, uint64_t *nonce,
                         struct kb_worker_options *options, struct kb_err *err) {
    struct kb_buf in = {0};
    bool ok = kb_read_exact(COMMANDS, nonce, sizeof *nonce) &&
              kb_frame_read(COMMANDS, *nonce, 0, &in, err) &&
              kb_worker_options_parse(in.data, in.len, arena, options, err);

    kb_buf_free(&in);
    return ok;
}

int kb_case_worker_main(void) {
    struct kb_arena arena = {0};
    struct kb_session session = {0};
    struct kb_worker_options options;
    struct kb_device_info info = {0};
    struct kb_buf hello = {0};
    struct kb_err err = {0};
    uint64_t nonce = 0;
    int signals;

    signal(SIGPIPE, SIG_IGN); /* a parent that is gone is an error like another */
    signal(SIGXFSZ, SIG_IGN); /* so is a file size limit */
    if (!start_watch(&signals) || !read_options(&arena, &nonce, &options, &err)) {
        kb_arena_free(&arena);
        return 2;
    }
    bool open = open_device(&options, &session, &info, &err);
    kb_hello_print(&info, open ? NULL : &err, &hello);
    bool said = kb_frame_write(REPLIES, nonce, hello.data, hello.len, &err);
    kb_buf_free(&hello);
    bool ok = open && said && serve(&session, nonce, &err);
    /* A spoiled context is not worth closing: the driver may hang in it. */
    if (session.dead)
        _exit(0);
    if (session.backend)
        kb_session_free(&session);
    kb_arena_free(&arena);
    return ok ? 0 : 2;
}
