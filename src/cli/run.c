/* run.c - kbench run: plan, workers, journal, a row for each job, the ending. */
#include "cli/dumps.h"
#include "cli/ending.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BATCH = 256,
    BUILD_BATCH = 4096, /* of distinct code: a batch's end leaves compilers idle */
    TIMEOUT_MS = 60000,
    PROGRESS_AFTER_MS = 200,
    SHRINK_MS = 2000,
    SHRUNK_MAX = 3,
};

double kb_run_seconds(const struct kb_run *run) {
    return (double)(kb_now_ns() - run->start_ns) / 1e9;
}

/* ---- before the first row --------------------------------------------------------------
 */

static bool check_output(const char *path, struct kb_arena *arena, struct kb_err *err) {
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    const char *folder = len ? kb_arena_strndup(arena, path, len) : slash ? "/" : ".";
    if (!kb_is_folder(folder))
        return kb_fail(err, KB_IO, "%s: there is no folder %s", path, folder);
    if (access(folder, W_OK))
        return kb_fail(err, KB_IO, "%s: the folder %s cannot be written to", path, folder);
    if (kb_is_folder(path))
        return kb_fail(err, KB_IO, "%s: is a folder, a file was wanted", path);
    return true;
}

/* What is missing for a report is told before anything runs, not after. */
static bool check_outputs(const struct kb_options *o, struct kb_arena *arena,
                          struct kb_err *err) {
    for (size_t i = 0; i < o->outputs.count; i++)
        if (!check_output(o->outputs.items[i], arena, err))
            return false;
    return kb_dumps_ready(o, err) && (!o->samples || kb_samples_begin(o->samples, err));
}

static void gather_facts(struct kb_run *run, int argc, char *const argv[]) {
    struct kb_facts *facts = &run->facts;
    kb_facts_of_host(facts, &run->arena);
    facts->kbench = kb_version();
    kb_strings_add(&facts->command, &run->arena, "kbench"); /* wherever it lies */
    for (int i = 1; i < argc; i++)
        kb_strings_add(&facts->command, &run->arena, argv[i]);
    facts->n_devices = run->fleet.n;
    for (int i = 0; i < run->fleet.n; i++)
        facts->devices[i] = *kb_worker_device(run->fleet.workers[i]);
    facts->n_builds = run->plan.n_builds;
    for (int i = 0; i < run->plan.n_builds; i++) {
        facts->builds[i] = run->plan.builds[i];
        kb_build_resolve(&facts->builds[i], facts->devices[0].limits.sm, &run->arena);
    }
}

static void choose_modes(struct kb_run *run) {
    for (int i = 0; i < run->fleet.n; i++) {
        bool gpu = kb_streq(kb_worker_device(run->fleet.workers[i])->backend, "cuda");
        if (run->options->mode >= 0)
            run->modes[i] = (enum kb_mode)run->options->mode;
        else
            run->modes[i] = gpu && !run->options->profile ? KB_BENCH : KB_CHECK;
    }
}

/* What all rows share beside devices and builds. */
static const char *shared_words(struct kb_run *run) {
    const struct kb_options *o = run->options;
    struct kb_buf text = {0};
    if (o->kernel)
        kb_buf_printf(&text, " | kernel %s", o->kernel);
    if (o->query.tolerance)
        kb_buf_printf(&text, " | tolerance %s", o->query.tolerance);
    if (o->sample_rows)
        kb_buf_printf(&text, " | sample %lld rows", (long long)o->sample_rows);
    if (o->load)
        kb_buf_printf(&text, " | inputs of %s", o->load);
    if (o->sanitize)
        kb_buf_printf(&text, " | sanitize %s", o->sanitize);
    if (o->query.fuzz)
        kb_buf_printf(&text, " | %lld random cases of each op", (long long)o->query.fuzz);
    if (o->seed != 1)
        kb_buf_printf(&text, " | seed %llu", (unsigned long long)o->seed);
    const char *copy =
        kb_arena_strdup(&run->arena, text.len ? text.data + strlen(" | ") : "");
    kb_buf_free(&text);
    return copy;
}

static enum kb_layout layout_of(const struct kb_run *run) {
    enum kb_layout layout = KB_LAYOUT_CHECK;
    for (int i = 0; i < run->fleet.n; i++) {
        if (run->modes[i] == KB_BENCH)
            layout = KB_LAYOUT_BENCH;
        else if (run->modes[i] == KB_BUILD_ONLY)
            layout = KB_LAYOUT_BUILD;
    }
    return layout;
}

static void plan_table(struct kb_run *run) {
    const struct kb_options *o = run->options;
    struct kb_table_plan plan = {
        .facts = &run->facts,
        .layout = layout_of(run),
        .id_width = kb_suite_id_width(run->plan.suite),
        .variant_width = run->plan.variant_width,
        .many_variants = run->plan.many_variants,
        .n_variants = run->plan.n_variants,
        .many_builds = run->plan.n_builds > 1,
        .many_devices = run->fleet.n > 1,
        .methods = {KB_GRAPH},
        .n_methods = 1,
        .shared = shared_words(run),
        .n_cases = kb_suite_count(run->plan.suite),
    };
    if (o->n_methods) {
        plan.n_methods = o->n_methods;
        memcpy(plan.methods, o->methods, sizeof plan.methods);
    }
    plan.n_columns = o->n_columns;
    memcpy(plan.columns, o->columns, sizeof plan.columns);
    kb_table_make(&run->table, &plan, &run->terminal.look);
    run->sorter.by = o->sort;
}

/* Clocks that come and go make times that do, too: how to lock them, once. */
static void tell_locks(struct kb_run *run) {
    for (int i = 0; i < run->fleet.n; i++) {
        const struct kb_device_info *device = &run->facts.devices[i];
        if (run->modes[i] == KB_BENCH && !device->clocks_locked && *device->lock)
            kb_terminal_note(&run->terminal,
                             "clocks are not locked: %s locks them, -rgc in place of it "
                             "sets them free",
                             device->lock);
    }
}

/* Builds, variants or devices beside each other, unless a table was asked for. */
static void plan_versus(struct kb_run *run) {
    const struct kb_options *o = run->options;
    struct kb_versus_plan plan = {
        .facts = &run->facts,
        .layout = layout_of(run),
        .id_width = kb_suite_id_width(run->plan.suite),
        .dtype = run->plan.dtype,
        .many_builds = run->plan.n_builds > 1,
        .many_variants = run->plan.many_variants,
        .n_members = run->plan.group,
        .method = o->n_methods ? o->methods[0] : KB_GRAPH,
        .shared = shared_words(run),
    };
    if (plan.layout != KB_LAYOUT_BUILD && !o->n_columns && !o->sorted)
        run->side_by_side = kb_versus_make(&run->versus, &plan, &run->terminal.look);
}

/* Which files of the tool itself were used, for -v. */
static void tell_files(struct kb_run *run) {
    for (int i = 0; i < run->plan.n_ops && !run->options->kernel; i++) {
        const struct kb_op *op = run->plan.ops[i].op;
        const char *path = kb_arena_printf(&run->arena, "kernels/%s.cu", op->family);
        const struct kb_asset *asset = kb_asset_find(path);
        if (asset)
            kb_terminal_note(&run->terminal, "%s for %s: %s", path, op->name, asset->from);
    }
}

/* ---- rows ------------------------------------------------------------------------------
 */

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
           kb_worker_run(fresh, job, timeout_ms ? timeout_ms : TIMEOUT_MS, arena, row,
                         &run->err) &&
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

/* `n` jobs of one case on all devices. False where the run cannot go on. */
static bool run_jobs(struct kb_run *run, const struct kb_job *jobs, int n,
                     struct kb_arena *arenas, struct kb_row *rows) {
    int64_t timeout_ms = (int64_t)run->options->timeout_ms;
    struct kb_arena arena = {0};
    struct kb_job *own = kb_arena_array(&arena, (size_t)(run->fleet.n * n), sizeof *own);
    show_progress(run, jobs[0].case_id);
    for (int i = 0; i < run->fleet.n * n; i++)
        own[i] = job_on(run, &jobs[i % n], i / n, &arenas[i / n]);
    bool ok = kb_fleet_run(&run->fleet, own, n, timeout_ms ? timeout_ms : TIMEOUT_MS,
                           arenas, rows, &run->err);
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

/* Compile what a batch needs, once for each kind of device. */
static void prefetch(struct kb_run *run, const struct kb_job *jobs, int n) {
    const struct kb_options *o = run->options;
    if (run->single || o->no_cache || o->no_compile)
        return;
    for (int i = 0; i < run->fleet.n; i++) {
        const struct kb_device_info *device = &run->facts.devices[i];
        bool seen = false;
        for (int k = 0; k < i; k++)
            seen |= kb_streq(run->facts.devices[k].backend, device->backend) &&
                    run->facts.devices[k].limits.sm == device->limits.sm;
        if (!seen)
            kb_prefetch(&run->fleet.options[i], device, jobs, n,
                        o->jobs ? (int)o->jobs : kb_cores(), &run->compiles);
    }
}

/* Is it the first job of its code, on any device? */
static bool is_new(struct kb_run *run, struct kb_distinct *distinct,
                   const struct kb_job *job) {
    bool taken = false;
    for (int i = 0; i < run->fleet.n; i++)
        taken |= kb_distinct_take(distinct, &run->facts.devices[i], job);
    return taken;
}

/* The next job; of a build (`distinct` is there) the next whose code is new, and at the end
 * what came to none. */
static bool next_job(struct kb_run *run, struct kb_distinct *distinct,
                     struct kb_arena *arena, struct kb_job *job) {
    struct kb_arena passed = {0};
    bool more;
    if (!distinct)
        return kb_run_plan_next(&run->plan, arena, job);
    while ((more = kb_run_plan_next(&run->plan, &passed, job)) &&
           !is_new(run, distinct, job))
        kb_arena_reset(&passed);
    more = more || kb_distinct_left(distinct, job);
    if (more) {
        job->case_id = kb_arena_strdup(arena, job->case_id);
        job->tags = kb_arena_strdup(arena, job->tags);
        job->origin = kb_arena_strdup(arena, job->origin);
        job->repeat_options = kb_arena_strdup(arena, job->repeat_options);
    }
    kb_arena_free(&passed);
    return more;
}

static void run_all(struct kb_run *run) {
    struct kb_arena batch = {0}, arenas[KB_MAX_DEVICES] = {{0}};
    bool builds = run->options->mode == KB_BUILD_ONLY && !run->single;
    struct kb_distinct *distinct = builds ? kb_distinct_open() : NULL;
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
               (more = next_job(run, distinct, &batch, &jobs[n])))
            n++;
        if (builds) /* of which there are no more than are new */
            run->plan.jobs = run->tally.rows / run->fleet.n + n;
        if (n)
            prefetch(run, jobs, n);
        for (int i = 0; ok && i < n;) {
            int size = builds ? 1 : kb_jobs_of_case(&jobs[i], n - i);
            ok = !kb_interrupted() && run_jobs(run, &jobs[i], size, arenas, rows);
            i += size;
        }
    }
    kb_distinct_close(distinct);
    kb_terminal_progress_end(&run->terminal);
    for (int i = 0; i < KB_MAX_DEVICES; i++)
        kb_arena_free(&arenas[i]);
    kb_arena_free(&batch);
}

/* ---- the command -----------------------------------------------------------------------
 */

/* Devices, facts, journal: what rows need. */
static bool open_run(struct kb_run *run, int argc, char *const argv[], struct kb_err *err) {
    const struct kb_options *o = run->options;
    const char *target = o->outputs.count ? o->outputs.items[0] : NULL;
    struct kb_buf note = {0};
    bool ok = check_outputs(o, &run->arena, err) &&
              kb_baseline_open(o, &run->baseline, err) &&
              (!o->dump || kb_folder_make(o->dump, err)) &&
              kb_fleet_open(o, &run->fleet, &note, err);
    if (ok && note.len)
        kb_terminal_note(&run->terminal, "%s: %s", note.data,
                         o->mode == KB_BUILD ? "built for the CPU, nothing run"
                                             : "checked on the CPU, nothing timed");
    kb_buf_clear(&note);
    if (ok) {
        choose_modes(run);
        gather_facts(run, argc, argv);
        ok = kb_journal_open(target, &run->facts, &note, &run->journal, err);
    }
    if (ok && note.len)
        kb_terminal_note(&run->terminal, "%s", note.data);
    kb_buf_free(&note);
    return ok;
}

static int run_cases(struct kb_run *run, int argc, char *const argv[]) {
    const struct kb_options *o = run->options;
    struct kb_err err = {0};
    struct kb_buf head = {0};
    if (!open_run(run, argc, argv, &err)) {
        bool no_gpu = err.kind == KB_DEVICE && !o->sanitize && o->mode != KB_BENCH &&
                      !kb_streq(kb_backend_words[o->backend], "host");
        return kb_exit(kb_err_status(&err), "%s%s", err.msg,
                       no_gpu ? "; --backend host checks without a GPU" : "");
    }
    plan_table(run);
    plan_versus(run);
    run->single = run->plan.jobs * run->fleet.n == 1;
    run->screens = o->format == KB_FORMAT_TABLE;
    if (run->single && run->screens && o->seed != 1) /* a table's head has it */
        kb_terminal_note(&run->terminal, "seed %llu", (unsigned long long)o->seed);
    if (run->screens && !run->single) /* whose screen has it */
        tell_locks(run);
    if (o->profile)
        kb_terminal_note(&run->terminal,
                         "profiling: one launch of each case between cuProfilerStart and "
                         "cuProfilerStop%s; nothing is timed",
                         kb_has_nvtx ? ", in an NVTX range of its id"
                                     : ", without NVTX, which was not there to build with");
    if (o->verbose)
        tell_files(run);
    if (run->screens && !run->single && !o->quiet) {
        if (run->side_by_side)
            kb_versus_head(&run->versus, &head);
        else
            kb_table_head(&run->table, &head);
    }
    if (o->format == KB_FORMAT_JSONL) {
        kb_facts_print(&run->facts, &head);
        kb_buf_putc(&head, '\n');
    }
    if (head.len)
        kb_terminal_print(&run->terminal, &head);
    kb_buf_free(&head);
    kb_interrupt_watch(&run->fleet);
    run_all(run);
    kb_interrupt_end();
    return kb_run_end(run);
}

int kb_command_run(const struct kb_options *options, int argc, char *const argv[],
                   struct kb_complaints *c) {
    struct kb_arena arena = {0};
    struct kb_run *run = kb_arena_alloc(&arena, sizeof *run);
    int status;
    run->options = options;
    pthread_mutex_init(&run->compiles.lock, NULL);
    run->start_ns = kb_now_ns();
    kb_terminal_open(options, &run->terminal);
    kb_run_plan_make(options, &run->plan, c);
    if (argc < 2) {
        status = kb_exit(4, "no case selected: name case files, or --op and --shape; "
                            "kbench --help says more");
    } else if (c->count) {
        status = kb_exit_complaints(c);
    } else {
        for (size_t i = 0; i < run->plan.notes.count; i++)
            kb_terminal_note(&run->terminal, "%s", run->plan.notes.items[i]);
        status = options->mode == KB_LIST
                     ? kb_list_cases(run->plan.suite, &run->terminal, options->format)
                     : run_cases(run, argc, argv);
    }
    kb_fleet_close(&run->fleet);
    kb_run_plan_free(&run->plan);
    kb_baseline_free(&run->baseline);
    kb_versus_free(&run->versus);
    kb_compiles_free(&run->compiles);
    kb_sorter_free(&run->sorter);
    kb_arena_free(&run->arena);
    kb_arena_free(&arena);
    return status;
}
