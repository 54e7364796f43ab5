/* run_begin.c - the beginning of a run: outputs that can be written, devices, facts,
 * journal, and what stands above the rows. */
#include "cli/dumps.h"
#include "cli/run_parts.h"

#include <string.h>
#include <unistd.h>

/* ---- what rows need --------------------------------------------------------------------
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
    for (int i = 0; i < run->fleet.n; i++) {
        struct kb_ceilings kept;
        facts->devices[i] = *kb_worker_device(run->fleet.workers[i]);
        if (!run->options->no_cache && kb_ceilings_find(&facts->devices[i], &kept))
            facts->stream_gb_per_s[i] = kept.gb_per_s[0];
    }
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

bool kb_run_open(struct kb_run *run, int argc, char *const argv[], struct kb_err *err) {
    const struct kb_options *o = run->options;
    const char *target = o->outputs.count ? o->outputs.items[0] : NULL;
    struct kb_buf note = {0};
    bool ok = check_outputs(o, &run->arena, err) &&
              kb_baseline_open(o, &run->baseline, err) &&
              (!o->dump || kb_folder_make(o->dump, err)) &&
              kb_fleet_open(o, &run->fleet, &note, err);
    if (ok && note.len)
        kb_terminal_note(&run->terminal, "%s: %s", note.data,
                         o->mode == KB_BUILD_ONLY ? "built for the CPU, nothing run"
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

/* ---- what is shown ---------------------------------------------------------------------
 */

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
        .energy = o->energy,
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
        .methods = {KB_GRAPH},
        .n_methods = 1,
        .energy = o->energy,
        .n_cases = kb_suite_count(run->plan.suite),
        .shared = shared_words(run),
    };
    if (o->n_methods) {
        plan.n_methods = o->n_methods;
        memcpy(plan.methods, o->methods, sizeof plan.methods);
    }
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

/* What stands above the rows. */
static void print_head(struct kb_run *run) {
    const struct kb_options *o = run->options;
    struct kb_buf head = {0};
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
}

void kb_run_tell_head(struct kb_run *run) {
    const struct kb_options *o = run->options;
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
    print_head(run);
}
