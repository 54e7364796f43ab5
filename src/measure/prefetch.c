/* prefetch.c - compile ahead: the distinct builds of many jobs, several processes at once.
 *
 * Each process is an ordinary worker that runs the jobs in --mode build; the cache's locks
 * see to it that one key is compiled once, and the run that follows finds everything there.
 */
#include "run.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct lane {
    const struct kb_worker_options *options;
    const struct kb_job *jobs;
    const int *picked;
    int n_picked, first, step;
};

/* What decides the code: op, dtype, parameters, variant and build; not shape and fill. */
static struct kb_hash code_key(const struct kb_job *job) {
    struct kb_arena arena = {0};
    struct kb_strings parts = {0};
    struct kb_hasher *h = kb_hasher_make();

    kb_split(&arena, job->case_id, '/', &parts);
    for (size_t i = 0; i < parts.count; i++) {
        if (i != 1 && !kb_starts_with(parts.items[i], "fill="))
            kb_hasher_text(h, parts.items[i]);
    }
    kb_hasher_text(h, job->variant ? job->variant : "");
    kb_hasher_text(h, job->build);
    kb_arena_free(&arena);
    return kb_hasher_end(h);
}

static void *run_lane(void *context) {
    const struct lane *lane = context;
    struct kb_worker *worker = NULL;
    struct kb_arena arena = {0};
    struct kb_err err = {0};

    if (!kb_worker_start(lane->options, &worker, &err))
        return NULL; /* the run itself will say so */
    for (int i = lane->first; i < lane->n_picked; i += lane->step) {
        struct kb_job job = lane->jobs[lane->picked[i]];
        struct kb_row row;
        job.mode = KB_BUILD_ONLY;
        if (!kb_worker_run(worker, &job, 0, &arena, &row, &err))
            break;
        kb_arena_reset(&arena);
    }
    kb_worker_end(worker);
    kb_arena_free(&arena);
    return NULL;
}

static int pick_distinct(const struct kb_job *jobs, int n_jobs, int *picked) {
    struct kb_hash *seen = calloc((size_t)n_jobs + 1, sizeof *seen);
    int n = 0;

    if (!seen)
        kb_out_of_memory();
    for (int i = 0; i < n_jobs; i++) {
        struct kb_hash key = code_key(&jobs[i]);
        int k = 0;
        while (k < n && memcmp(&seen[k], &key, sizeof key) != 0)
            k++;
        if (k == n) {
            seen[n] = key;
            picked[n++] = i;
        }
    }
    free(seen);
    return n;
}

void kb_prefetch(const struct kb_worker_options *options,
                 const struct kb_device_info *device, const struct kb_job *jobs, int n_jobs,
                 int processes) {
    struct kb_worker_options same = *options;
    int *picked = calloc((size_t)n_jobs + 1, sizeof *picked);

    if (!picked)
        kb_out_of_memory();
    same.backend = device->backend;
    int n = pick_distinct(jobs, n_jobs, picked);
    int lanes = processes < n ? processes : n;
    struct lane *lane = calloc((size_t)lanes + 1, sizeof *lane);
    pthread_t *threads = calloc((size_t)lanes + 1, sizeof *threads);
    if (!lane || !threads)
        kb_out_of_memory();
    int started = 0;
    for (int i = 0; i < lanes; i++) {
        lane[i] = (struct lane){&same, jobs, picked, n, i, lanes};
        if (pthread_create(&threads[started], NULL, run_lane, &lane[i]) == 0)
            started++;
    }
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    free(lane);
    free(picked);
}

bool kb_job_variants(const struct kb_job *job, struct kb_arena *arena,
                     struct kb_strings *out, struct kb_complaints *c) {
    struct kb_kernel *kernel = kb_arena_alloc(arena, sizeof *kernel);
    struct kb_case case_of_job = {0};

    if (!kb_case_parse(job->case_id, arena, &case_of_job, c))
        return false;
    bool ok = job->kernel ? kb_kernel_load(job->kernel, arena, kernel, c)
                          : kb_kernel_builtin(case_of_job.op, arena, kernel, c);
    for (int v = 0; ok && v < kernel->n_variants; v++)
        kb_strings_add(out, arena, kernel->variants[v].name);
    return ok;
}
