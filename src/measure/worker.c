/* worker.c - the parent's side: start a worker, give it jobs, survive what happens to it.
 */
#include "brood.h"
#include "hello.h"
#include "session.h"
#include "workplace.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { HELLO_MS = 120000, END_MS = 2000, REAP_MS = 1000, SAID_MAX = 200 };

struct kb_worker {
    struct kb_arena arena; /* of the options' texts */
    struct kb_worker_options options;
    struct kb_device_info device; /* as the first worker found it */
    struct kb_workplace place;
    struct kb_child child;
    atomic_int killed;    /* by kb_worker_kill, in a handler: nothing is to be run again */
    volatile pid_t alive; /* whom a signal handler may end; 0: nobody */
    uint64_t nonce;
    int restarts;
    bool up;
};

/* The last line that a child wrote to its stderr, if it wrote any: "out of memory", say. */
static void put_last_words(const struct kb_buf *log, struct kb_buf *out) {
    size_t end = log->len, start;

    while (end > 0 && log->data[end - 1] == '\n')
        end--;
    for (start = end; start > 0 && log->data[start - 1] != '\n';)
        start--;
    if (start == end)
        return;
    kb_buf_puts(out, "; it said: ");
    kb_escape(out, log->data + start, end - start < SAID_MAX ? end - start : SAID_MAX);
}

/* From here on its number is nobody's to kill: it may be reaped at any moment. */
static void forget(struct kb_worker *w) {
    w->alive = 0;
    w->up = false;
}

/* ---- end --------------------------------------------------------------------------- */

/* Stopped first, it starts no more while its children are killed. */
static void drop(struct kb_worker *w) {
    pid_t pid = w->child.pid;

    forget(w);
    if (pid > 1 && !kb_child_has_ended(&w->child)) {
        kill(pid, SIGSTOP);
        kb_brood_kill(pid);
    }
    kb_child_end(&w->child);
    kb_workplace_free(&w->place);
}

/* ---- start ------------------------------------------------------------------------- */

static bool greet(struct kb_worker *w, struct kb_device_info *device, struct kb_err *err) {
    struct kb_buf text = {0}, hello = {0}, log = {0}, said = {0};
    bool ok = false;

    w->nonce = kb_random_u64();
    kb_worker_options_print(&w->options, &text);
    if (!kb_write_all(w->child.in, &w->nonce, sizeof w->nonce) ||
        !kb_frame_write(w->child.in, w->nonce, text.data, text.len, err))
        kb_fail(err, KB_CRASH, "the worker ended before it was ready");
    else if (!kb_child_reply(&w->child, w->nonce, HELLO_MS, &hello, &log, err))
        kb_at(err, "the worker did not start");
    else
        ok = true;
    if (!ok) {
        put_last_words(&log, &said);
        kb_fail(err, err->kind, "%s%s", err->msg, kb_buf_text(&said));
    }
    ok = ok && kb_hello_parse(hello.data, hello.len, device, err);
    kb_buf_free(&text);
    kb_buf_free(&hello);
    kb_buf_free(&log);
    kb_buf_free(&said);
    return ok;
}

static bool begin(struct kb_worker *w, struct kb_device_info *device, struct kb_err *err) {
    char path[] = "/proc/self/exe", role[] = "--worker", kind[] = "case";
    char *argv[] = {path, role, kind, NULL};

    /* Without a folder of its own it has ours: who needs files there will say so. */
    kb_workplace_make(&w->place);
    bool started = kb_child_start(&w->child, argv, w->place.env, -1, err);
    if (started)
        w->alive = w->child.pid;
    w->up = started && greet(w, device, err);
    if (!w->up)
        drop(w);
    return w->up;
}

bool kb_worker_start(const struct kb_worker_options *options, struct kb_worker **out,
                     struct kb_err *err) {
    struct kb_worker *w = calloc(1, sizeof *w);
    if (!w)
        kb_out_of_memory();
    w->options = *options;
    struct kb_exec_options *exec = &w->options.exec;
    const char **texts[] = {&exec->sanitize, &exec->dump_ptx, &exec->dump_sass,
                            &exec->keep};
    for (size_t i = 0; i < KB_COUNT(texts); i++)
        *texts[i] = *texts[i] ? kb_arena_strdup(&w->arena, *texts[i]) : NULL;
    if (!begin(w, &w->device, err)) {
        kb_arena_free(&w->arena);
        free(w);
        return false;
    }
    /* A restart must come back on the same backend, whatever auto would say then. */
    w->options.backend = w->device.backend;
    *out = w;
    return true;
}

/* A device that was just lost may need a moment: twice. */
static bool restart(struct kb_worker *w, struct kb_err *err) {
    struct kb_device_info again;
    struct kb_err first = {0};

    w->restarts++;
    return begin(w, &again, &first) || begin(w, &again, err);
}

const struct kb_device_info *kb_worker_device(const struct kb_worker *worker) {
    return &worker->device;
}

int kb_worker_restarts(const struct kb_worker *worker) {
    return worker->restarts;
}

/* ---- jobs -------------------------------------------------------------------------- */

/* How a worker ended, or what it did, that gave no row. */
static void explain(struct kb_worker *w, int64_t timeout_ms, const struct kb_err *err,
                    const struct kb_buf *log, struct kb_arena *arena, struct kb_row *row) {
    struct kb_buf text = {0};
    int status = 0;

    if (err->kind == KB_TIMEOUT && timeout_ms > 0) {
        row->reason = KB_R_TIMEOUT;
        kb_buf_printf(&text, "still running after %.3g s, worker killed",
                      (double)timeout_ms / 1e3);
    } else {
        row->reason = KB_R_CRASH;
        forget(w);
        if (err->kind == KB_CRASH && kb_child_wait(&w->child, REAP_MS, &status)) {
            kb_buf_puts(&text, "the worker ended without a result: ");
            kb_status_text(status, &text);
        } else {
            kb_buf_printf(&text, "the worker gave no result: %s", err->msg);
        }
        put_last_words(log, &text);
        kb_buf_puts(&text, "; went on with a new worker");
    }
    row->text = kb_arena_strdup(arena, text.data);
    kb_buf_free(&text);
}

/* Whether a worker that is gone left all of a message of that size unread. */
static bool left_unread(const struct kb_worker *w, size_t size) {
    int unread = 0;

    return ioctl(w->child.in, FIONREAD, &unread) == 0 && unread > 0 &&
           (size_t)unread > size; /* more than that: its header, too */
}

/* *taken: the worker had the job, or a part of it, before it ended. */
static bool exchange(struct kb_worker *w, const struct kb_buf *job, int64_t timeout_ms,
                     struct kb_buf *reply, struct kb_buf *log, bool *taken,
                     struct kb_err *err) {
    *taken = kb_frame_write(w->child.in, w->nonce, job->data, job->len, err);
    if (!*taken)
        return false;
    bool ok = kb_child_reply(&w->child, w->nonce, timeout_ms, reply, log, err);
    *taken = ok || err->kind != KB_CRASH || !left_unread(w, job->len);
    return ok;
}

/* One frame to a worker that lives, one back. False where it gave none: `why`; *up: there
 * is a worker at all, else `err`. */
static bool ask(struct kb_worker *w, const struct kb_buf *text, int64_t timeout_ms,
                struct kb_buf *reply, struct kb_buf *log, bool *up, struct kb_err *why,
                struct kb_err *err) {
    bool ok = false, taken = false;

    *up = true;
    /* One that died before it took the job is no case's fault: once more. */
    for (int i = 0; i < 2 && *up && !taken; i++) {
        if (w->up && (i > 0 || kb_child_has_ended(&w->child)))
            drop(w);
        *up = w->up || restart(w, err);
        ok = *up && exchange(w, text, timeout_ms, reply, log, &taken, why);
    }
    return ok;
}

static int64_t limit_of(const struct kb_worker *w, const struct kb_job *job,
                        int64_t timeout_ms) {
    return timeout_ms > 0 ? timeout_ms : kb_job_limit_ms(w->device.backend, job);
}

bool kb_worker_run(struct kb_worker *worker, const struct kb_job *job, int64_t timeout_ms,
                   struct kb_arena *arena, struct kb_row *row, struct kb_err *err) {
    struct kb_buf text = {0}, reply = {0}, log = {0};
    struct kb_err why = {0};
    bool up;

    timeout_ms = limit_of(worker, job, timeout_ms);
    kb_job_print(job, &text);
    bool ok = ask(worker, &text, timeout_ms, &reply, &log, &up, &why, err) &&
              kb_row_parse("row", reply.data, reply.len, arena, row, &why);
    if (up && !ok) {
        kb_row_begin(job, &worker->device, arena, row);
        explain(worker, timeout_ms, &why, &log, arena, row);
        drop(worker);
    } else if (ok && row->reason == KB_R_LAUNCH) {
        /* Its context is spoiled: it ends itself, we do not wait for that. */
        row->text = kb_arena_printf(arena, "%s; went on with a new worker", row->text);
        drop(worker);
    }
    kb_buf_free(&text);
    kb_buf_free(&reply);
    kb_buf_free(&log);
    return up;
}

/* ---- several jobs of one case ---------------------------------------------------------
 */

static bool parse_rows(const struct kb_buf *reply, struct kb_arena *arena,
                       struct kb_row *rows, int n, struct kb_err *err) {
    size_t at = 0;
    int i = 0;

    for (; i < n && at < reply->len; i++) {
        const char *line = reply->data + at, *end = memchr(line, '\n', reply->len - at);
        size_t len = end ? (size_t)(end - line) : reply->len - at;
        if (!kb_row_parse("row", line, len, arena, &rows[i], err))
            return false;
        at += len + 1;
    }
    return i == n || kb_fail(err, KB_CRASH, "%d rows of %d", i, n);
}

/* Which of them the worker could not bear is found by running them alone. */
static bool run_alone(struct kb_worker *w, const struct kb_job *jobs, int n,
                      int64_t timeout_ms, const char *why, struct kb_arena *arena,
                      struct kb_row *rows, struct kb_err *err) {
    for (int i = 0; i < n; i++) {
        if (w->killed) {
            kb_row_begin(&jobs[i], &w->device, arena, &rows[i]);
            rows[i].reason = KB_R_CRASH;
            rows[i].text = why;
        } else if (!kb_worker_run(w, &jobs[i], timeout_ms, arena, &rows[i], err)) {
            return false;
        }
        if (i == 0)
            continue;
        struct kb_against *against = kb_arena_alloc(arena, sizeof *against);
        *against = (struct kb_against){
            .build = rows[0].build,
            .variant = rows[0].variant,
            .same_code = -1,
            .elements = -1,
            .why = why,
        };
        rows[i].against = against;
    }
    return true;
}

bool kb_worker_run_group(struct kb_worker *worker, const struct kb_job *jobs, int n,
                         int64_t timeout_ms, struct kb_arena *arena, struct kb_row *rows,
                         struct kb_err *err) {
    struct kb_buf text = {0}, reply = {0}, log = {0};
    struct kb_err why = {0};
    bool up;

    if (n == 1)
        return kb_worker_run(worker, jobs, timeout_ms, arena, rows, err);
    timeout_ms = limit_of(worker, jobs, timeout_ms);
    for (int i = 0; i < n; i++) {
        kb_buf_puts(&text, i ? "\n" : "");
        kb_job_print(&jobs[i], &text);
    }
    bool ok = ask(worker, &text, timeout_ms * n, &reply, &log, &up, &why, err) &&
              parse_rows(&reply, arena, rows, n, &why);
    if (up && !ok) {
        struct kb_row end = {0};
        explain(worker, timeout_ms * n, &why, &log, arena, &end);
        drop(worker);
        up = run_alone(worker, jobs, n, timeout_ms,
                       kb_arena_printf(arena, "not side by side: %s", end.text), arena,
                       rows, err);
    }
    kb_buf_free(&text);
    kb_buf_free(&reply);
    kb_buf_free(&log);
    return up;
}

void kb_worker_leave(struct kb_worker *worker) {
    if (!worker || !worker->up || worker->child.in < 0)
        return;
    close(worker->child.in); /* the worker's sign to go */
    worker->child.in = -1;
}

void kb_worker_end(struct kb_worker *worker) {
    if (!worker)
        return;
    if (worker->up) {
        int status;
        kb_worker_leave(worker);
        forget(worker);
        kb_child_wait(&worker->child, END_MS, &status);
    }
    drop(worker);
    kb_arena_free(&worker->arena);
    free(worker);
}

void kb_worker_kill(struct kb_worker *worker) {
    pid_t pid = worker ? worker->alive : 0;

    if (worker)
        worker->killed = 1;
    if (pid > 1)
        kill(pid, SIGTERM); /* which it obeys whatever it does: see worker_main.c */
}
