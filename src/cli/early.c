/* early.c - rows of a build while it still compiles: a worker loads what is there already.
 *
 * Compilers keep all cores busy but one process is not lost among them, and what loading
 * takes does not come behind the last of them. */
#include "cli/early.h"

#include <pthread.h>
#include <stdlib.h>

struct kb_early {
    kb_early_run *run;
    void *context;
    struct kb_arena arenas[KB_MAX_DEVICES], arena; /* of rows; of all else */
    struct kb_row **rows;                          /* of each job, NULL: not run */
    int n_devices;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    int *told, n_told;
    bool ended;
};

/* The next job that is told of; -1 at the end. */
static int await_job(struct kb_early *early, int n_run) {
    int job = -1;
    pthread_mutex_lock(&early->lock);
    while (early->n_told == n_run && !early->ended)
        pthread_cond_wait(&early->changed, &early->lock);
    if (!early->ended)
        job = early->told[n_run];
    pthread_mutex_unlock(&early->lock);
    return job;
}

static void *run_told(void *context) {
    struct kb_early *early = context;
    int job;
    for (int n = 0; (job = await_job(early, n)) >= 0; n++) {
        struct kb_row *rows =
            kb_arena_array(&early->arena, (size_t)early->n_devices, sizeof *rows);
        if (!early->run(early->context, job, early->arenas, rows))
            break; /* the run will come to it, and say why */
        early->rows[job] = rows;
    }
    return NULL;
}

struct kb_early *kb_early_open(kb_early_run *run, void *context, int n_jobs,
                               int n_devices) {
    struct kb_early *early = calloc(1, sizeof *early);
    if (!early)
        kb_out_of_memory();
    early->run = run;
    early->context = context;
    early->n_devices = n_devices;
    early->rows = kb_arena_array(&early->arena, (size_t)n_jobs, sizeof *early->rows);
    early->told = kb_arena_array(&early->arena, (size_t)n_jobs, sizeof *early->told);
    pthread_mutex_init(&early->lock, NULL);
    pthread_cond_init(&early->changed, NULL);
    early->has_thread = pthread_create(&early->thread, NULL, run_told, early) == 0;
    return early;
}

void kb_early_tell(void *context, int job) {
    struct kb_early *early = context;
    pthread_mutex_lock(&early->lock);
    early->told[early->n_told++] = job;
    pthread_cond_signal(&early->changed);
    pthread_mutex_unlock(&early->lock);
}

void kb_early_end(struct kb_early *early) {
    pthread_mutex_lock(&early->lock);
    early->ended = true;
    pthread_cond_signal(&early->changed);
    pthread_mutex_unlock(&early->lock);
    if (early->has_thread)
        pthread_join(early->thread, NULL);
    early->has_thread = false;
}

bool kb_early_take(const struct kb_early *early, int job, struct kb_row *rows) {
    if (!early->rows[job])
        return false;
    for (int i = 0; i < early->n_devices; i++)
        rows[i] = early->rows[job][i];
    return true;
}

void kb_early_close(struct kb_early *early) {
    if (!early)
        return;
    kb_early_end(early);
    for (int i = 0; i < KB_MAX_DEVICES; i++)
        kb_arena_free(&early->arenas[i]);
    kb_arena_free(&early->arena);
    pthread_cond_destroy(&early->changed);
    pthread_mutex_destroy(&early->lock);
    free(early);
}
