/* fleet.c - the workers of a run: which devices, and one job on all of them at once. */
#include "cli/dumps.h"
#include "cli/fleet.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct kb_exec_options exec_of(const struct kb_options *o) {
    return (struct kb_exec_options){
        .sanitize = o->sanitize,
        .host_sm = o->host_sm,
        .no_cache = o->no_cache,
        .no_compile = o->no_compile,
        .launch_ms = (int64_t)o->timeout_ms,
        .memory_limit = o->mem_limit_bytes,
        .verbose = o->verbose,
        .dump_ptx = o->dump_ptx,
        .dump_sass = o->dump_sass,
        .keep = o->keep,
        .profile = o->profile,
    };
}

static void add(struct kb_fleet *fleet, const struct kb_options *o, const char *backend,
                int64_t ordinal) {
    fleet->options[fleet->n++] = (struct kb_worker_options){
        .backend = backend, .ordinal = (int)ordinal, .exec = exec_of(o)};
}

/* What must be timed or is for profilers needs a GPU, and says what is missing where there
 * is none. */
static const char *backend_of(const struct kb_options *o) {
    const char *backend = kb_backend_words[o->backend];
    bool must_be_gpu = kb_options_want_times(o) || kb_dumps_want_gpu(o);
    return must_be_gpu && kb_streq(backend, "auto") ? "cuda" : backend;
}

/* --device all: every GPU that can be opened, else what the backend says of none. */
static void add_all(struct kb_fleet *fleet, const struct kb_options *o) {
    struct kb_device_info *found = calloc(KB_MAX_DEVICES, sizeof *found);
    struct kb_buf gaps = {0};
    const char *backend = backend_of(o);
    if (!found)
        kb_out_of_memory();
    int n = kb_streq(backend, "host") || o->sanitize
                ? 0
                : kb_cuda.probe(found, KB_MAX_DEVICES, &gaps);
    for (int i = 0; i < n; i++) {
        int64_t ordinal;
        if (kb_parse_i64(found[i].id, &ordinal))
            add(fleet, o, "cuda", ordinal);
    }
    if (!fleet->n)
        add(fleet, o, backend, 0);
    kb_buf_free(&gaps);
    free(found);
}

static void choose(const struct kb_options *o, struct kb_fleet *fleet) {
    for (size_t i = 0; i < o->devices.count; i++) {
        const char *device = o->devices.items[i];
        int64_t ordinal;
        if (kb_streq(device, "all"))
            add_all(fleet, o);
        else if (kb_streq(device, "host"))
            add(fleet, o, "host", 0);
        else if (kb_parse_i64(device, &ordinal))
            add(fleet, o, "cuda", ordinal);
    }
    if (!o->devices.count)
        add(fleet, o, backend_of(o), 0);
}

bool kb_fleet_open(const struct kb_options *options, struct kb_fleet *fleet,
                   struct kb_buf *note, struct kb_err *err) {
    choose(options, fleet);
    int wanted = fleet->n;
    fleet->n = 0; /* counts those that run, for whoever is interrupted */
    for (int i = 0; i < wanted; i++) {
        if (!kb_worker_start(&fleet->options[i], &fleet->workers[i], err))
            return false;
        fleet->n = i + 1;
        const struct kb_device_info *device = kb_worker_device(fleet->workers[i]);
        if (*device->note && !note->len)
            kb_buf_puts(note, device->note);
    }
    return true;
}

void kb_fleet_leave(struct kb_fleet *fleet) {
    for (int i = 0; i < fleet->n; i++)
        kb_worker_leave(fleet->workers[i]);
}

void kb_fleet_close(struct kb_fleet *fleet) {
    for (int i = 0; i < fleet->n; i++)
        kb_worker_end(fleet->workers[i]);
    fleet->n = 0;
}

/* ---- one job on all --------------------------------------------------------------------
 */

struct lane {
    struct kb_worker *worker;
    const struct kb_job *jobs;
    int n;
    int64_t timeout_ms;
    struct kb_arena *arena;
    struct kb_row *rows;
    struct kb_err err;
    bool ok;
};

static void *run_lane(void *context) {
    struct lane *lane = context;
    lane->ok = kb_worker_run_group(lane->worker, lane->jobs, lane->n, lane->timeout_ms,
                                   lane->arena, lane->rows, &lane->err);
    return NULL;
}

bool kb_fleet_run(struct kb_fleet *fleet, const struct kb_job *jobs, int n,
                  int64_t timeout_ms, struct kb_arena *arenas, struct kb_row *rows,
                  struct kb_err *err) {
    struct lane lanes[KB_MAX_DEVICES] = {{0}};
    pthread_t threads[KB_MAX_DEVICES];
    bool has_thread[KB_MAX_DEVICES] = {false};
    for (int i = 0; i < fleet->n; i++)
        lanes[i] = (struct lane){.worker = fleet->workers[i],
                                 .jobs = &jobs[i * n],
                                 .n = n,
                                 .timeout_ms = timeout_ms,
                                 .arena = &arenas[i],
                                 .rows = &rows[i * n]};
    for (int i = 1; i < fleet->n; i++)
        has_thread[i] = pthread_create(&threads[i], NULL, run_lane, &lanes[i]) == 0;
    run_lane(&lanes[0]);
    for (int i = 1; i < fleet->n; i++) {
        if (has_thread[i])
            pthread_join(threads[i], NULL);
        else
            run_lane(&lanes[i]);
    }
    for (int i = 0; i < fleet->n; i++)
        if (!lanes[i].ok)
            return kb_fail(err, lanes[i].err.kind, "%s", lanes[i].err.msg);
    return true;
}
