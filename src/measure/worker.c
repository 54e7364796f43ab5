/* worker.c - the parent's side: start a worker, give it jobs, survive what happens to it.
 */
#include "hello.h"
#include "session.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HELLO_MS = 120000 };

struct kb_worker {
    struct kb_arena arena;
    struct kb_worker_options options;
    struct kb_device_info device;
    struct kb_child child;
    volatile pid_t group; /* what a signal handler may kill; 0: none */
    uint64_t nonce;
    int restarts;
    bool up;
};

static bool begin(struct kb_worker *w, struct kb_err *err) {
    char role[] = "--worker", kind[] = "case";
    char *path = kb_arena_strdup(&w->arena, kb_exe_path());
    char *argv[] = {path, role, kind, NULL};
    struct kb_buf text = {0}, hello = {0}, log = {0};
    bool ok = false;

    w->nonce = kb_random_u64();
    if (!kb_child_start(&w->child, argv, NULL, -1, err))
        return false;
    w->group = w->child.pid;
    kb_worker_options_print(&w->options, &text);
    if (!kb_write_all(w->child.in, &w->nonce, sizeof w->nonce) ||
        !kb_frame_write(w->child.in, w->nonce, text.data, text.len, err)) {
        kb_fail(err, KB_CRASH, "the worker ended before it was ready");
        goto out;
    }
    if (!kb_child_reply(&w->child, w->nonce, HELLO_MS, &hello, &log, err)) {
        kb_at(err, "worker");
        goto out;
    }
    ok = kb_hello_parse(hello.data, hello.len, &w->device, err);
out:
    kb_buf_free(&text);
    kb_buf_free(&hello);
    kb_buf_free(&log);
    w->up = ok;
    if (!ok) {
        kb_child_end(&w->child);
        w->group = 0;
    }
    return ok;
}

bool kb_worker_start(const struct kb_worker_options *options, struct kb_worker **out,
                     struct kb_err *err) {
    struct kb_worker *w = calloc(1, sizeof *w);

    if (!w)
        kb_out_of_memory();
    w->options = *options;
    if (!begin(w, err)) {
        kb_arena_free(&w->arena);
        free(w);
        return false;
    }
    /* A restart must come back on the same backend, whatever auto would say then. */
    w->options.backend = kb_arena_strdup(&w->arena, w->device.backend);
    *out = w;
    return true;
}

const struct kb_device_info *kb_worker_device(const struct kb_worker *worker) {
    return &worker->device;
}

int kb_worker_restarts(const struct kb_worker *worker) {
    return worker->restarts;
}

static void drop(struct kb_worker *w) {
    w->group = 0;
    kb_child_end(&w->child);
    w->up = false;
}

/* How a worker ended that gave no row. */
static void explain(struct kb_worker *w, int64_t timeout_ms, const struct kb_err *err,
                    struct kb_arena *arena, struct kb_row *row) {
    struct kb_buf text = {0};
    int status = 0;

    if (err->kind == KB_TIMEOUT) {
        row->reason = KB_R_TIMEOUT;
        kb_buf_printf(&text, "still running after %.3g s, worker killed",
                      (double)timeout_ms / 1e3);
    } else {
        row->reason = KB_R_CRASH;
        kb_buf_puts(&text, "the worker ended without a result");
        if (kb_child_wait(&w->child, 1000, &status)) {
            kb_buf_puts(&text, ": ");
            kb_status_text(status, &text);
        } else {
            kb_buf_printf(&text, ": %s", err->msg);
        }
        kb_buf_puts(&text, "; went on with a new worker");
    }
    row->text = kb_arena_strdup(arena, text.data);
    kb_buf_free(&text);
}

bool kb_worker_run(struct kb_worker *worker, const struct kb_job *job, int64_t timeout_ms,
                   struct kb_arena *arena, struct kb_row *row, struct kb_err *err) {
    struct kb_buf text = {0}, reply = {0}, log = {0};
    struct kb_err why = {0};

    if (!worker->up) {
        worker->restarts++;
        if (!begin(worker, err))
            return false;
    }
    kb_job_print(job, &text);
    bool ok =
        kb_frame_write(worker->child.in, worker->nonce, text.data, text.len, &why) &&
        kb_child_reply(&worker->child, worker->nonce, timeout_ms, &reply, &log, &why) &&
        kb_row_parse("row", reply.data, reply.len, arena, row, &why);
    kb_buf_free(&text);
    kb_buf_free(&reply);
    kb_buf_free(&log);
    if (!ok) {
        kb_row_begin(job, &worker->device, arena, row);
        explain(worker, timeout_ms, &why, arena, row);
        drop(worker);
    } else if (row->reason == KB_R_LAUNCH) {
        drop(worker); /* its context is spoiled: it ends itself, we do not wait for that */
    }
    return true;
}

void kb_worker_end(struct kb_worker *worker) {
    if (!worker)
        return;
    if (worker->up) {
        int status;
        close(worker->child.in); /* the worker's sign to go */
        worker->child.in = -1;
        kb_child_wait(&worker->child, 2000, &status);
    }
    drop(worker);
    kb_arena_free(&worker->arena);
    free(worker);
}

void kb_worker_kill(struct kb_worker *worker) {
    pid_t group = worker ? worker->group : 0;

    if (group > 0)
        kill(-group, SIGKILL);
}
