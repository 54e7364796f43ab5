/* run.c - kbench run: plan, the beginning, the rows, the ending. */
#include "cli/run_parts.h"

double kb_run_seconds(const struct kb_run *run) {
    return (double)(kb_now_ns() - run->start_ns) / 1e9;
}

/* What to do where there is no GPU. */
static const char *hint_of(const struct kb_options *o, const struct kb_err *err) {
    bool host = kb_streq(kb_backend_words[o->backend], "host");
    if (err->kind != KB_DEVICE || o->sanitize || host)
        return "";
    return kb_options_want_times(o)
               ? "; times come from a GPU alone: --mode check needs none, "
                 "kbench list devices says what is missing"
               : "; --backend host checks without a GPU, kbench list devices "
                 "says what is missing";
}

static int run_cases(struct kb_run *run, int argc, char *const argv[]) {
    struct kb_err err = {0};
    if (!kb_run_open(run, argc, argv, &err))
        return kb_exit(kb_err_status(&err), "%s%s", err.msg, hint_of(run->options, &err));
    kb_run_tell_head(run);
    kb_interrupt_watch(&run->fleet);
    kb_run_rows(run);
    kb_interrupt_end();
    kb_fleet_leave(&run->fleet);
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
