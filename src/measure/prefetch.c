/* prefetch.c - compile ahead: the distinct builds of many jobs, several processes at once.
 *
 * The cache's locks see to it that one key is compiled once, and the run that follows finds
 * everything there. What is distinct is decided by plans made here, which need no device.
 * For a GPU compile.c does the rest; on host each process is an ordinary worker that runs
 * the jobs in --mode build. */
#include "prefetch.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMPILE_MS = 120000, SPARE_MS = 60000, MAX_LANES = 256 };

/* What a signal handler can reach: the workers of the prefetch that is running. A worker is
 * freed only after it was taken out and no handler may still hold it. */
static _Atomic(struct kb_worker *) running[MAX_LANES];
static atomic_int killed, in_handler;

bool kb_prefetch_killed(void) {
    return atomic_load(&killed) != 0;
}

void kb_prefetch_kill(void) {
    atomic_fetch_add(&in_handler, 1);
    atomic_store(&killed, 1);
    for (int i = 0; i < MAX_LANES; i++) {
        struct kb_worker *worker = atomic_load(&running[i]);
        if (worker)
            kb_worker_kill(worker);
    }
    atomic_fetch_sub(&in_handler, 1);
}

static void end_worker(int lane, struct kb_worker *worker) {
    atomic_store(&running[lane], NULL);
    while (atomic_load(&in_handler))
        sched_yield();
    kb_worker_end(worker);
}

struct lane {
    const struct kb_worker_options *options;
    const struct kb_job *jobs;
    const int *picked;
    int n_picked, number;
    atomic_int *next; /* of picked, for whichever lane is free */
    struct kb_compiles *made;
};

static void *run_lane(void *context) {
    const struct lane *lane = context;
    struct kb_worker *worker = NULL;
    struct kb_arena arena = {0};
    struct kb_err err = {0};
    int64_t compile_ms = lane->options->exec.compile_ms;

    if (!kb_worker_start(lane->options, &worker, &err))
        return NULL; /* the run itself will say so */
    /* A compile, which may wait for another process's of the same key, and the ceiling's.
     */
    int64_t timeout_ms = 3 * (compile_ms > 0 ? compile_ms : COMPILE_MS) + SPARE_MS;
    atomic_store(&running[lane->number], worker);
    for (int i;
         !atomic_load(&killed) && (i = atomic_fetch_add(lane->next, 1)) < lane->n_picked;) {
        struct kb_job job = lane->jobs[lane->picked[i]];
        struct kb_row row;
        job.mode = KB_BUILD_ONLY;
        if (!kb_worker_run(worker, &job, timeout_ms, &arena, &row, &err))
            break;
        if (row.built && !row.code.cached)
            kb_compiles_add(lane->made, row.code.key, row.code.compile_ms);
        kb_arena_reset(&arena);
    }
    end_worker(lane->number, worker);
    kb_arena_free(&arena);
    return NULL;
}

/* ---- what is distinct -------------------------------------------------------------- */

struct pick {
    struct kb_hash code;
    int job;
};

static int by_code(const void *a, const void *b) {
    const struct pick *x = a, *y = b;
    int order = memcmp(&x->code, &y->code, sizeof x->code);

    return order ? order : (x->job > y->job) - (x->job < y->job);
}

static int by_number(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;

    return (x > y) - (x < y);
}

/* Those of `jobs` that come to a plan, each with its code. */
static int pick_planned(const struct kb_device_info *device, const struct kb_job *jobs,
                        int n_jobs, struct pick *picks) {
    struct kb_session session = {0};
    struct kb_asked *asked = kb_arena_alloc(&session.arena, sizeof *asked);
    struct kb_arena arena = {0};
    struct kb_buf code = {0};
    int n = 0;

    for (int i = 0; i < n_jobs; i++) {
        struct kb_err err = {0};
        kb_arena_reset(&arena);
        if (!kb_session_plan(&session, device->backend, &device->limits, &jobs[i], &arena,
                             asked, &err))
            continue; /* what does not come to a plan says so in the run */
        kb_buf_clear(&code);
        kb_code_key(device->backend, &asked->plan, &asked->build, &code);
        picks[n++] = (struct pick){kb_hash_of(code.data, code.len), i};
    }
    kb_buf_free(&code);
    kb_arena_free(&arena);
    kb_session_free(&session);
    return n;
}

/* One job for each distinct code, in order. */
static int pick_distinct(const struct kb_device_info *device, const struct kb_job *jobs,
                         int n_jobs, int *picked) {
    struct kb_arena arena = {0};
    struct pick *picks = kb_arena_array(&arena, (size_t)n_jobs, sizeof *picks);
    int n = pick_planned(device, jobs, n_jobs, picks), n_picked = 0;

    qsort(picks, (size_t)n, sizeof *picks, by_code);
    for (int i = 0; i < n; i++) {
        if (i == 0 || memcmp(&picks[i].code, &picks[i - 1].code, sizeof picks[i].code) != 0)
            picked[n_picked++] = picks[i].job;
    }
    qsort(picked, (size_t)n_picked, sizeof *picked, by_number);
    kb_arena_free(&arena);
    return n_picked;
}

/* ---- on host --------------------------------------------------------------------------
 */

static void compile_on_host(const struct kb_worker_options *options,
                            const struct kb_device_info *device, const struct kb_job *jobs,
                            int n_jobs, int processes, struct kb_compiles *made) {
    struct kb_worker_options same = *options;
    struct kb_arena arena = {0};
    int *picked = kb_arena_array(&arena, (size_t)n_jobs, sizeof *picked);

    same.backend = device->backend;
    int n = pick_distinct(device, jobs, n_jobs, picked);
    int lanes = processes < n ? processes : n, started = 0;
    struct lane *lane = kb_arena_array(&arena, (size_t)lanes, sizeof *lane);
    pthread_t *threads = kb_arena_array(&arena, (size_t)lanes, sizeof *threads);
    atomic_int next = 0;
    for (int i = 0; i < lanes; i++) {
        lane[i] = (struct lane){&same, jobs, picked, n, i, &next, made};
        if (pthread_create(&threads[started], NULL, run_lane, &lane[i]) == 0)
            started++;
        else
            run_lane(&lane[i]); /* no thread to be had: then one after the other */
    }
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    kb_arena_free(&arena);
}

/* ---- both ------------------------------------------------------------------------------
 */

void kb_compiles_add(struct kb_compiles *made, const char *key, double compile_ms) {
    pthread_mutex_lock(&made->lock);
    if (!kb_strings_has(&made->keys, key)) {
        kb_strings_add(&made->keys, &made->arena, kb_arena_strdup(&made->arena, key));
        made->compile_ms += compile_ms;
    }
    pthread_mutex_unlock(&made->lock);
}

void kb_compiles_free(struct kb_compiles *made) {
    kb_arena_free(&made->arena);
    made->keys = (struct kb_strings){0};
}

void kb_prefetch(const struct kb_worker_options *options,
                 const struct kb_device_info *device, const struct kb_job *jobs, int n_jobs,
                 int processes, struct kb_compiles *made, const struct kb_ready *ready) {
    int64_t start_ns = kb_now_ns();
    int lanes = processes < 1 ? 1 : processes < MAX_LANES ? processes : MAX_LANES;

    atomic_store(&killed, 0);
    if (kb_streq(device->backend, "cuda"))
        kb_compile_ahead(&options->exec, device, jobs, n_jobs, lanes, made, ready);
    else
        compile_on_host(options, device, jobs, n_jobs, lanes, made);
    made->wall_ms += (double)(kb_now_ns() - start_ns) / 1e6;
    made->processes = lanes > made->processes ? lanes : made->processes;
}
