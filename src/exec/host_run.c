/* host_run.c - one run of a plan in a process of its own.
 *
 * The kernel is native code that may do anything to that process, so that nothing counts
 * but a reply with this run's nonce and checksum and an orderly end after it. The runner is
 * compiled on the user's machine without our libraries, hence a text protocol of its own
 * (kernels/host/README.md) and not kb_frame_write's. */
#include "host.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LAUNCH_MS = 60000,
    END_MS = 10000, /* from the reply to the process's end */
    TICK_MS = 20,
    REPLY_MAX = 64 << 10,
    LOG_HEAD = 16 << 10, /* of what it prints: the first and the last, a report is last */
    LOG_TAIL = 64 << 10,
};

/* ---- talk -------------------------------------------------------------------------- */

struct talk {
    struct kb_child child;
    struct kb_buf reply, log;
    bool out_ended;
    int status; /* of waitpid; valid once `ended` */
    bool ended;
};

/* Keep the first and the last of the log. */
static void trim_log(struct kb_buf *log) {
    size_t keep = LOG_HEAD + LOG_TAIL;
    if (log->len < 2 * keep)
        return;
    memmove(log->data + LOG_HEAD, log->data + log->len - LOG_TAIL, LOG_TAIL);
    log->len = keep;
    log->data[keep] = '\0';
}

/* Read what is there; false at the end of the stream. NUL bytes become blanks. */
static bool drain(int fd, struct kb_buf *out) {
    char chunk[16 << 10];
    for (int i = 0; i < 64; i++) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        if (n == 0)
            return false;
        for (ssize_t k = 0; k < n; k++)
            if (!chunk[k])
                chunk[k] = ' ';
        kb_buf_add(out, chunk, (size_t)n);
        if (n < (ssize_t)sizeof chunk)
            break;
    }
    return true;
}

static void drain_both(struct talk *t) {
    drain(t->child.errors, &t->log);
    trim_log(&t->log);
    if (!t->out_ended && t->reply.len <= REPLY_MAX)
        t->out_ended = !drain(t->child.out, &t->reply);
}

/* Whether the reply's last line is there: nothing may follow it. */
static bool is_complete(const struct kb_buf *reply) {
    if (reply->len < 22 || reply->data[reply->len - 1] != '\n')
        return false;
    return memcmp(reply->data + reply->len - 22, "\nend ", 5) == 0;
}

/* Until a reply, the process's end or the deadline; false at the deadline. */
static bool listen_to(struct talk *t, int64_t deadline_ns) {
    for (;;) {
        struct pollfd ready[] = {
            {.fd = t->child.errors, .events = POLLIN},
            {.fd = t->out_ended ? -1 : t->child.out, .events = POLLIN}};
        poll(ready, KB_COUNT(ready), TICK_MS);
        bool ended = kb_child_has_ended(&t->child);
        drain_both(t);
        if (is_complete(&t->reply) || t->reply.len > REPLY_MAX || ended)
            return true;
        if (t->out_ended) /* it closed the pipe: it has no more to say */
            return true;
        if (kb_now_ns() >= deadline_ns)
            return false;
    }
}

static bool start(struct kb_device *device, const struct kb_code *code,
                  const struct kb_slab *slab, struct talk *t, struct kb_err *err) {
    char *const argv[] = {code->binary->path, NULL};
    const char *path = getenv("PATH");
    struct kb_buf path_word = {0};
    kb_buf_printf(&path_word, "PATH=%s", path ? path : "/usr/bin:/bin");
    char lang[] = "LANG=C";
    char *const env[] = {path_word.data, lang, NULL};
    /* The sanitizers' shadow memory lies at fixed addresses, which a strongly randomized
     * layout may have taken ("unexpected memory mapping"). */
    int before = device->sanitizers ? personality(0xffffffff) : -1;
    if (before != -1)
        personality((unsigned long)before | ADDR_NO_RANDOMIZE);
    bool ok = kb_child_start(&t->child, argv, env, slab->bytes ? slab->fd : -1, err);
    if (before != -1)
        personality((unsigned long)before);
    kb_buf_free(&path_word);
    return ok;
}

/* Start, say the command, listen, see it end. False with KB_IO or KB_TIMEOUT. */
static bool hold_talk(struct kb_device *device, const struct kb_code *code,
                      const struct kb_slab *slab, const struct kb_buf *command,
                      int64_t limit_ms, struct talk *t, struct kb_err *err) {
    int64_t ms = device->options.launch_ms > 0 ? device->options.launch_ms : limit_ms;
    ms = ms > 0 ? ms : LAUNCH_MS;
    int64_t deadline_ns = kb_now_ns() + ms * 1000000;
    if (!start(device, code, slab, t, err))
        return false;
    /* What is not taken shows as no reply. */
    bool sent = kb_write_all(t->child.in, command->data, command->len);
    int cause = errno;
    if (!listen_to(t, deadline_ns)) {
        kb_child_end(&t->child);
        return kb_fail(err, KB_TIMEOUT, "kernel still running after %.3g s, killed",
                       (double)ms / 1e3);
    }
    t->ended = kb_child_wait(&t->child, END_MS, &t->status);
    drain_both(t);
    kb_child_end(&t->child);
    if (!sent && t->reply.len == 0 && t->log.len == 0)
        return kb_fail(err, KB_IO, "cannot give the runner its command: %s",
                       strerror(cause));
    return true;
}

/* ---- reply ------------------------------------------------------------------------- */

struct reply {
    char status[16];
    double wall_ns;
    int runs;
    char *text, *warning; /* inside of the talk's buffer */
};

static uint64_t checksum(const char *data, size_t bytes) {
    uint64_t hash = 0xcbf29ce484222325ull; /* FNV-1a, as the runner computes it */
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ (unsigned char)data[i]) * 0x100000001b3ull;
    return hash;
}

/* The whole of what came must be one reply to this nonce. */
static bool parse_reply(struct kb_buf *in, const char *nonce, struct reply *out) {
    char head[64], end[24];
    long long wall_ns = 0;
    int n = snprintf(head, sizeof head, "kbench-reply %s ", nonce);
    if (!is_complete(in) || strncmp(in->data, head, (size_t)n) != 0)
        return false;
    size_t body = in->len - 21;
    snprintf(end, sizeof end, "end %016llx\n",
             (unsigned long long)checksum(in->data, body));
    if (strcmp(in->data + body, end) != 0 ||
        sscanf(in->data + n, "%15s %lld %d", out->status, &wall_ns, &out->runs) != 3)
        return false;
    char *line = strchr(in->data, '\n');
    char *second = line ? strchr(line + 1, '\n') : NULL;
    char *third = second ? strchr(second + 1, '\n') : NULL;
    if (!third || third + 1 != in->data + body)
        return false;
    *second = *third = '\0';
    out->text = line + 1;
    out->warning = second + 1;
    out->wall_ns = (double)wall_ns;
    return true;
}

/* ---- verdict ----------------------------------------------------------------------- */

static void escaped(char *to, size_t size, const char *text) {
    struct kb_buf clean = {0};
    kb_escape(&clean, text, strlen(text));
    kb_text_copy(to, size, kb_buf_text(&clean));
    kb_buf_free(&clean);
}

/* It ended without a reply: a sanitizer's report, a signal, or an exit. */
static bool judge_silence(const struct talk *t, const struct kb_code *code,
                          struct kb_run_result *result, struct kb_err *err) {
    const char *log = kb_buf_text(&t->log);
    const char *fatal = strstr(log, "FATAL: ");
    struct kb_buf text = {0};
    bool found = false;
    if (t->ended && host_sanitizer_line(log, &code->files, &text)) {
        result->finding = KB_FOUND_SANITIZER;
        escaped(result->text, sizeof result->text, text.data);
        found = true;
    } else if (fatal && strstr(fatal, "Sanitizer")) {
        kb_buf_add(&text, fatal, strcspn(fatal, "\n"));
        kb_fail(err, KB_DEVICE, "the sanitizer cannot run here: %s", text.data);
    } else if (t->reply.len > 0) {
        kb_fail(err, KB_CRASH, "kernel wrote to the result pipe: broken reply");
    } else if (!t->ended) {
        kb_fail(err, KB_CRASH, "kernel closed the result pipe and went on");
    } else {
        host_crash_line(t->status, log, &text);
        kb_fail(err, KB_CRASH, "%s", text.data);
    }
    kb_buf_free(&text);
    return found;
}

static bool judge_reply(const struct talk *t, const struct reply *reply,
                        struct kb_run_result *result, struct kb_err *err) {
    char text[1024];
    escaped(text, sizeof text, reply->text);
    if (!t->ended)
        return kb_fail(err, KB_CRASH, "kernel's process did not end after its result");
    if (!WIFEXITED(t->status) || WEXITSTATUS(t->status) != 0) {
        struct kb_buf how = {0};
        kb_status_text(t->status, &how);
        kb_fail(err, KB_CRASH, "kernel's process died after its result: %s", how.data);
        kb_buf_free(&how);
        return false;
    }
    if (kb_streq(reply->status, "trap"))
        return kb_fail(err, KB_CRASH, "%s", text);
    if (kb_streq(reply->status, "no-ptx"))
        return kb_fail(err, KB_UNSUPPORTED, "%s", text);
    if (kb_streq(reply->status, "arguments"))
        return kb_fail(err, KB_BUILD, "%s", text);
    if (kb_streq(reply->status, "limit"))
        return kb_fail(err, KB_DEVICE, "%s", text);
    bool deadlock = kb_streq(reply->status, "deadlock");
    if (deadlock || kb_streq(reply->status, "misaligned")) {
        result->finding = deadlock ? KB_FOUND_DEADLOCK : KB_FOUND_MISALIGNED;
        kb_text_copy(result->text, sizeof result->text, text);
    } else if (!kb_streq(reply->status, "ok")) {
        return kb_fail(err, KB_CRASH, "the runner replied \"%s\"", reply->status);
    }
    result->wall_ns = reply->wall_ns;
    result->runs = reply->runs;
    return true;
}

static void collect_warning(const struct talk *t, const char *warning,
                            struct kb_run_result *result) {
    struct kb_buf text = {0};
    struct kb_buf printed = {0};
    kb_escape(&text, warning, strlen(warning));
    host_printed_line(kb_buf_text(&t->log), &printed);
    if (printed.len > 0)
        kb_buf_printf(&text, "%s%s", text.len > 0 ? "; " : "", printed.data);
    kb_text_copy(result->warning, sizeof result->warning, kb_buf_text(&text));
    kb_buf_free(&text);
    kb_buf_free(&printed);
}

bool host_run(struct kb_device *device, struct kb_code *code, const struct kb_plan *plan,
              struct kb_slab *slab, const struct kb_run_options *options,
              struct kb_run_result *result, struct kb_err *err) {
    struct kb_buf command = {0};
    struct talk t = {0};
    struct reply reply = {0};
    char nonce[20];
    *result = (struct kb_run_result){0};
    if (!host_is_sound(device, plan, slab, options, err))
        return false;
    if (host_launches_nothing(plan))
        return true;
    snprintf(nonce, sizeof nonce, "%016llx", (unsigned long long)kb_random_u64());
    host_command(device, plan, slab, options, nonce, &command);
    bool ok = hold_talk(device, code, slab, &command, options->limit_ms, &t, err);
    if (ok && parse_reply(&t.reply, nonce, &reply)) {
        ok = judge_reply(&t, &reply, result, err);
        result->late = options->late && host_starts_early(plan) && !device->sanitizers;
        if (ok)
            collect_warning(&t, reply.warning, result);
    } else if (ok) {
        ok = judge_silence(&t, code, result, err);
    }
    kb_buf_free(&command);
    kb_buf_free(&t.reply);
    kb_buf_free(&t.log);
    return ok;
}
