/* run_rows.c - the rows of a run: batches are compiled ahead, a case's jobs run on each
 * device, what comes back goes into the journal and to whoever looks. */
#include "cli/early.h"
#include "cli/run_parts.h"

#include <string.h>

enum {
    BATCH = 256,
    SIEVE = 8192,
    BUILD_BATCH = 4096, /* of distinct code: a batch's end leaves compilers idle */
    PROGRESS_AFTER_MS = 200,
    SHRINK_MS = 2000,
    SHRUNK_MAX = 3,
};

static void print_single(struct kb_run *run, const struct kb_row *row, int device,
                         struct kb_buf *out) {
    const struct kb_options *o = run->options;
    struct kb_single single = {
        .device = &run->facts.devices[device],
        .mode = run->modes[device],
        .no_cache = o->no_cache,
        .look = run->terminal.look,
    };
    run->not_timed = run->modes[device] == KB_BENCH && !o->time_failing;
    if (o->quiet && row->reason == KB_R_NONE)
        kb_single_verdict(&single, row, out);
    else
        kb_single_print(&single, row, out);
}

static void print_line(const struct kb_row *row, struct kb_buf *out) {
    kb_row_print(row, out);
    kb_buf_putc(out, '\n');
}

/* Into the tally and the journal, and to whoever looks. False where that cannot go on. */
static bool emit(struct kb_run *run, struct kb_row *row, int device) {
    struct kb_buf text = {0};
    /* What was compiled ahead was in the cache when the row's worker looked. */
    if (row->built && row->code.cached &&
        kb_strings_has(&run->compiles.keys, row->code.key))
        row->code.cached = false;
    kb_tally_add(&run->tally, row);
    if (!kb_journal_add(run->journal, row, &run->err))
        return false;
    if (run->screens && run->single)
        print_single(run, row, device, &text);
    else if (run->screens && !run->options->quiet && !run->side_by_side)
        kb_table_row(&run->table, row, &text);
    else if (run->options->format == KB_FORMAT_JSONL)
        print_line(row, &text);
    if (text.len && run->options->sorted && !run->single)
        kb_sorter_add(&run->sorter, row, kb_buf_text(&text));
    else if (text.len)
        kb_terminal_print(&run->terminal, &text);
    kb_buf_free(&text);
    if (run->terminal.failed)
        return kb_fail(&run->err, KB_IO, "%s", run->terminal.err.msg);
    return true;
}

static void show_progress(struct kb_run *run, const char *id) {
    int64_t total = run->plan.jobs, done = run->tally.rows / run->fleet.n;
    double spent = kb_run_seconds(run);
    struct kb_buf text = {0}, width = {0};
    if (!run->terminal.progress_width || spent * 1e3 < PROGRESS_AFTER_MS)
        return;
    kb_buf_printf(&width, "%lld", (long long)total);
    kb_buf_printf(&text, "[%*lld/%lld] %s", (int)width.len, (long long)done + 1,
                  (long long)total, id);
    if (done >= 3)
        kb_buf_printf(&text, "  %.0f s left",
                      spent / (double)done * (double)(total - done));
    kb_terminal_progress(&run->terminal, kb_buf_text(&text));
    kb_buf_free(&text);
    kb_buf_free(&width);
}

/* What a device makes of a job: its mode, methods, and the words that find it again. */
static struct kb_job job_on(const struct kb_run *run, const struct kb_job *job, int device,
                            struct kb_arena *arena) {
    struct kb_job own = *job;
    const struct kb_options *o = run->options;
    own.mode = run->modes[device];
    own.single = run->single;
    own.one_run = o->profile; /* who looks at one launch wants no others around it */
    own.compared = (run->plan.jobs - kb_suite_count(run->plan.suite)) * run->fleet.n;
    if (own.compared < 0) /* ops that are left out have cases, and no jobs */
        own.compared = 0;
    for (int i = 0; i < o->n_methods; i++)
        own.methods |= 1u << o->methods[i];
    if (!o->n_methods)
        own.methods =
            run->single ? (1u << KB_METHOD_COUNT) - 1 : 1u << KB_GRAPH | 1u << KB_COLD;
    if (o->devices.count)
        own.repeat_options =
            kb_arena_printf(arena, "%s%s--device %s", job->repeat_options,
                            *job->repeat_options ? " " : "", run->facts.devices[device].id);
    return own;
}

static bool is_interrupted(void) {
    return kb_interrupted() != 0;
}

/* Of one case, and of random ones the first few that fail in each way: the others most
 * likely have the same fault. */
static bool is_to_shrink(struct kb_run *run, const struct kb_row *row) {
    if (run->single)
        return true;
    return run->options->query.fuzz && kb_row_is_repeated(row) &&
           run->shrunk[row->reason]++ < SHRUNK_MAX;
}

/* The smallest case that fails like a row that did. */
static const struct kb_smallest *shrink(const struct kb_run *run, int device,
                                        const struct kb_job *job, const struct kb_row *row,
                                        struct kb_arena *arena) {
    const struct kb_shrink how = {
        .run = kb_shrink_run_in_worker,
        .context = run->fleet.workers[device],
        .stop = is_interrupted,
        .budget_ms = SHRINK_MS,
        .loaded_only = kb_streq(run->facts.devices[device].backend, "host"),
    };
    return kb_shrink(&how, job, row, arena);
}

/* A job in a new process, which takes the place of the one before: two of them on a GPU
 * would disturb each other. Where none can be had, run->err says why. */
struct again {
    struct kb_run *run;
    int device;
};

static bool run_again(void *context, const struct kb_job *job, struct kb_arena *arena,
                      struct kb_row *row) {
    const struct again *again = context;
    struct kb_run *run = again->run;
    struct kb_worker **place = &run->fleet.workers[again->device], *before = *place;
    int64_t timeout_ms = (int64_t)run->options->timeout_ms;
    *place = NULL; /* Ctrl-C looks here at any time */
    kb_worker_end(before);
    struct kb_worker *fresh = NULL;
    if (!kb_worker_start(&run->fleet.options[again->device], &fresh, &run->err))
        return false;
    *place = fresh;
    return !kb_interrupted() &&
           kb_worker_run(fresh, job, timeout_ms, arena, row, &run->err) &&
           !kb_interrupted();
}

/* What looks slower than the baseline is measured again. */
static void look_again(struct kb_run *run, const struct kb_job *jobs, int n,
                       struct kb_arena *arenas, struct kb_row *rows) {
    for (int i = 0; run->baseline.there && !run->err.kind && i < run->fleet.n * n; i++) {
        struct again context = {run, i / n};
        const struct kb_again again = {run_again, &context};
        kb_baseline_look(&run->baseline, run->options, &run->facts.devices[i / n], &jobs[i],
                         &again, &arenas[i / n], &rows[i]);
    }
}

/* Rows as they came, case by case: each build and variant, on each device. */
static bool emit_rows(struct kb_run *run, struct kb_row *rows, int n) {
    bool ok = true;
    for (int k = 0; ok && k < n; k++)
        for (int i = 0; ok && i < run->fleet.n; i++) {
            struct kb_row *row = &rows[i * n + k];
            /* A worker that our own signal killed says nothing about its case. */
            if (!kb_interrupted() || row->reason != KB_R_CRASH)
                ok = emit(run, row, i);
            run->stopped |= ok && run->options->fail_fast && kb_row_is_repeated(row);
        }
    return ok;
}

static void show_versus(struct kb_run *run, const struct kb_row *rows, int n) {
    struct kb_buf text = {0};
    if (run->options->quiet)
        kb_versus_count(&run->versus, rows, n);
    else
        kb_versus_group(&run->versus, rows, n, &text);
    if (text.len)
        kb_terminal_print(&run->terminal, &text);
    kb_buf_free(&text);
}

/* `n` jobs as each device has them: of device i those from i * n on. */
static struct kb_job *jobs_on_all(const struct kb_run *run, const struct kb_job *jobs,
                                  int n, struct kb_arena *arenas, struct kb_arena *arena) {
    struct kb_job *own = kb_arena_array(arena, (size_t)(run->fleet.n * n), sizeof *own);
    for (int i = 0; i < run->fleet.n * n; i++)
        own[i] = job_on(run, &jobs[i % n], i / n, &arenas[i / n]);
    return own;
}

/* `n` jobs of one case on all devices, whose rows may be `there`. False where the run
 * cannot go on. */
static bool run_jobs(struct kb_run *run, const struct kb_job *jobs, int n, bool there,
                     struct kb_arena *arenas, struct kb_row *rows) {
    int64_t timeout_ms = (int64_t)run->options->timeout_ms;
    struct kb_arena arena = {0};
    show_progress(run, jobs[0].case_id);
    const struct kb_job *own = jobs_on_all(run, jobs, n, arenas, &arena);
    bool ok =
        there || kb_fleet_run(&run->fleet, own, n, timeout_ms, arenas, rows, &run->err);
    if (ok)
        look_again(run, own, n, arenas, rows);
    for (int i = 0; ok && i < run->fleet.n * n; i++)
        if (run->fleet.workers[i / n] && is_to_shrink(run, &rows[i]))
            rows[i].smallest = shrink(run, i / n, &own[i], &rows[i], &arenas[i / n]);
    ok = ok && emit_rows(run, rows, n);
    if (ok && run->side_by_side && run->screens && !run->single && !kb_interrupted())
        show_versus(run, rows, n);
    for (int i = 0; i < run->fleet.n; i++)
        kb_arena_reset(&arenas[i]);
    kb_arena_free(&arena);
    return ok && !run->err.kind && !run->stopped && !kb_interrupted();
}

/* Whether a device before it has the same code. */
static bool is_alike(const struct kb_run *run, int device) {
    const struct kb_device_info *devices = run->facts.devices;
    for (int i = 0; i < device; i++)
        if (kb_streq(devices[i].backend, devices[device].backend) &&
            devices[i].limits.sm == devices[device].limits.sm)
            return true;
    return false;
}

/* Compile what a batch needs, once for each kind of device. Where there are several, code
 * for one is not code for all. */
static void prefetch(struct kb_run *run, const struct kb_job *jobs, int n,
                     const struct kb_ready *ready) {
    const struct kb_options *o = run->options;
    int kinds = 0;
    if (run->single || o->no_cache || o->no_compile)
        return;
    for (int i = 0; i < run->fleet.n; i++)
        kinds += !is_alike(run, i);
    for (int i = 0; i < run->fleet.n; i++)
        if (!is_alike(run, i))
            kb_prefetch(&run->fleet.options[i], &run->facts.devices[i], jobs, n,
                        o->jobs ? (int)o->jobs : kb_cores(), &run->compiles,
                        kinds == 1 ? ready : NULL);
}

struct batch {
    struct kb_run *run;
    const struct kb_job *jobs;
};

static bool run_early(void *context, int job, struct kb_arena *arenas,
                      struct kb_row *rows) {
    const struct batch *batch = context;
    struct kb_run *run = batch->run;
    struct kb_arena arena = {0};
    struct kb_err none = {0};
    const struct kb_job *own = jobs_on_all(run, &batch->jobs[job], 1, arenas, &arena);
    bool ok = !kb_interrupted() &&
              kb_fleet_run(&run->fleet, own, 1, (int64_t)run->options->timeout_ms, arenas,
                           rows, &none);
    kb_arena_free(&arena);
    return ok && !kb_interrupted();
}

/* The same for a build, whose jobs are rows by the time that they are compiled. */
static struct kb_early *prefetch_and_run(struct kb_run *run, const struct kb_job *jobs,
                                         int n) {
    struct batch batch = {run, jobs};
    struct kb_early *early = kb_early_open(run_early, &batch, n, run->fleet.n);
    const struct kb_ready ready = {kb_early_tell, early};
    prefetch(run, jobs, n, &ready);
    kb_early_end(early);
    return early;
}

/* Jobs of a build, some at a time, of which those are taken whose code is new. */
struct sieve {
    struct kb_distinct *distinct;
    struct kb_arena arena;
    struct kb_job *jobs;
    bool *taken; /* on any device */
    int n, at;
};

/* False at the end. */
static bool fill_sieve(struct kb_run *run, struct sieve *s) {
    s->n = s->at = 0;
    kb_arena_reset(&s->arena);
    s->jobs = kb_arena_array(&s->arena, SIEVE, sizeof *s->jobs);
    s->taken = kb_arena_array(&s->arena, SIEVE, sizeof *s->taken);
    while (s->n < SIEVE && kb_run_plan_next(&run->plan, &s->arena, &s->jobs[s->n]))
        s->n++;
    for (int i = 0; i < run->fleet.n && s->n; i++)
        kb_distinct_take_all(s->distinct, &run->facts.devices[i], s->jobs, s->n, kb_cores(),
                             s->taken);
    return s->n > 0;
}

/* The next job whose code is new, and at the end what came to none. */
static bool next_new(struct kb_run *run, struct sieve *s, struct kb_arena *arena,
                     struct kb_job *job) {
    bool more = true;
    do {
        while (s->at < s->n && !s->taken[s->at])
            s->at++;
    } while (s->at == s->n && (more = fill_sieve(run, s)));
    if (more)
        *job = s->jobs[s->at++];
    else if (!kb_distinct_left(s->distinct, job))
        return false;
    job->case_id = kb_arena_strdup(arena, job->case_id);
    job->tags = kb_arena_strdup(arena, job->tags);
    job->origin = kb_arena_strdup(arena, job->origin);
    job->repeat_options = kb_arena_strdup(arena, job->repeat_options);
    return true;
}

/* The next job; of a build, where the sieve has what is distinct, the next that is new. */
static bool next_job(struct kb_run *run, struct sieve *s, struct kb_arena *arena,
                     struct kb_job *job) {
    return s->distinct ? next_new(run, s, arena, job)
                       : kb_run_plan_next(&run->plan, arena, job);
}

void kb_run_rows(struct kb_run *run) {
    struct kb_arena batch = {0}, arenas[KB_MAX_DEVICES] = {{0}};
    bool builds = run->options->mode == KB_BUILD_ONLY && !run->single;
    struct sieve sieve = {.distinct = builds ? kb_distinct_open() : NULL};
    int most = builds ? BUILD_BATCH : BATCH;
    struct kb_job *jobs = kb_arena_array(&run->arena, (size_t)most, sizeof *jobs);
    int group = builds || run->plan.group < 1 ? 1 : run->plan.group;
    struct kb_row *rows =
        kb_arena_array(&run->arena, (size_t)(run->fleet.n * group), sizeof *rows);
    bool ok = true, more = true;
    while (ok && more) {
        int n = 0;
        kb_arena_reset(&batch);
        /* Jobs of one case stay together. */
        while (n < most && (n + group <= most || !kb_run_plan_is_between(&run->plan)) &&
               (more = next_job(run, &sieve, &batch, &jobs[n])))
            n++;
        if (builds) /* of which there are no more than are new */
            run->plan.jobs = run->tally.rows / run->fleet.n + n;
        struct kb_early *early = builds && n ? prefetch_and_run(run, jobs, n) : NULL;
        if (!early && n)
            prefetch(run, jobs, n, NULL);
        for (int i = 0; ok && i < n;) {
            int size = builds ? 1 : kb_jobs_of_case(&jobs[i], n - i);
            bool there = early && kb_early_take(early, i, rows);
            ok = !kb_interrupted() && run_jobs(run, &jobs[i], size, there, arenas, rows);
            i += size;
        }
        kb_early_close(early);
    }
    kb_distinct_close(sieve.distinct);
    kb_arena_free(&sieve.arena);
    kb_terminal_progress_end(&run->terminal);
    for (int i = 0; i < KB_MAX_DEVICES; i++)
        kb_arena_free(&arenas[i]);
    kb_arena_free(&batch);
}
