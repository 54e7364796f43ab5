/* selftest.c - kbench selftest: the tool measured on each GPU that is asked for. */
#include "cli/fleet.h"

#include <string.h>

struct selftest {
    const struct kb_options *options;
    struct kb_options gpu; /* the same, where only a GPU will do */
    struct kb_terminal terminal;
    struct kb_arena arena;
    struct kb_fleet fleet;
    int device; /* in the fleet, at work */
    cJSON *items;
    int status;
};

/* ---- what it takes --------------------------------------------------------------------
 */

static void check_words(const struct kb_options *o, struct kb_complaints *c) {
    const struct kb_query *q = &o->query;
    const struct {
        const char *name;
        bool given;
    } others[] = {
        {"--op", q->ops.count > 0},         {"--shape", q->shapes.count > 0},
        {"--dtype", q->dtypes.count > 0},   {"--set", q->set.count > 0},
        {"--fill", q->fills.count > 0},     {"--case", q->ids.count > 0},
        {"--tag", q->tags.count > 0},       {"--match", q->match.count > 0},
        {"--build", o->builds.count > 0},   {"--variant", o->variants.count > 0},
        {"--define", o->defines.count > 0}, {"--kernel", o->kernel != NULL},
        {"--method", o->n_methods > 0},     {"--output", o->outputs.count > 0},
        {"--mode", o->mode >= 0},
    };
    bool host = kb_streq(kb_backend_words[o->backend], "host") ||
                kb_strings_has(&o->devices, "host");

    if (o->words.count)
        kb_complain(c, "kbench", 0, 0, NULL, "selftest takes no words, got \"%s\"",
                    o->words.items[0]);
    for (size_t i = 0; i < KB_COUNT(others); i++)
        if (others[i].given)
            kb_complain_option(c, others[i].name, "selftest has cases of its own");
    if (host)
        kb_complain_option(c, "--device", "selftest is of a GPU, the host has no times");
    if (o->format != KB_FORMAT_TABLE && o->format != KB_FORMAT_JSON)
        kb_complain_option(c, "--format", "selftest has table and json");
}

/* ---- one device -----------------------------------------------------------------------
 */

static bool run(void *context, const struct kb_job *jobs, int n, struct kb_arena *arena,
                struct kb_row *rows, struct kb_err *err) {
    struct selftest *s = context;
    int64_t timeout_ms = (int64_t)s->options->timeout_ms;
    bool ok = !kb_interrupted() && kb_worker_run_group(s->fleet.workers[s->device], jobs, n,
                                                       timeout_ms, arena, rows, err);

    if (kb_interrupted()) /* rows of a worker that was killed say nothing */
        return kb_fail(err, KB_DEVICE, "interrupted");
    return ok;
}

static void tell(void *context, const char *what) {
    struct selftest *s = context;

    if (s->terminal.progress_width)
        kb_terminal_progress(&s->terminal, what);
}

static void keep(struct selftest *s, const struct kb_selftest *t) {
    struct kb_ceilings ceilings;
    struct kb_buf note = {0};

    if (s->options->no_cache || !kb_selftest_ceilings(t, &ceilings))
        return;
    if (!kb_ceilings_keep(t->device, &ceilings, &note))
        kb_terminal_note(&s->terminal, "ceilings are not kept: %s", kb_buf_text(&note));
    kb_buf_free(&note);
}

static void show(struct selftest *s, const struct kb_selftest *t) {
    struct kb_buf text = {0};

    if (s->options->format == KB_FORMAT_JSON) {
        kb_json_push(s->items, kb_selftest_item(t));
        return;
    }
    kb_buf_puts(&text, s->device ? "\n" : "");
    kb_selftest_print(t, &text);
    kb_terminal_print(&s->terminal, &text);
    kb_buf_free(&text);
}

static bool test_device(struct selftest *s, struct kb_err *err) {
    const struct kb_options *o = s->options;
    struct kb_selftest *t = kb_arena_alloc(&s->arena, sizeof *t);
    const struct kb_selftest_how how = {
        .run = run,
        .tell = tell,
        .context = s,
        .seed = o->seed,
        .precision = o->precision,
        .max_time_s = o->max_time_ms / 1e3,
        .time_failing = o->time_failing,
    };
    bool ok = kb_selftest_run(&how, kb_worker_device(s->fleet.workers[s->device]),
                              &s->arena, t, err);

    kb_terminal_progress_end(&s->terminal);
    if (!ok)
        return false;
    keep(s, t);
    show(s, t);
    s->status = kb_status_worse(s->status, t->status);
    return true;
}

/* ---- the command ----------------------------------------------------------------------
 */

static void print_json(struct selftest *s) {
    cJSON *root = kb_json_object();
    struct kb_buf text = {0};

    kb_json_add_text(root, "schema", "kbench-selftest/2");
    kb_json_add_text(root, "kbench", kb_version());
    kb_json_add(root, "devices", s->items);
    kb_json_print(root, &text);
    kb_buf_putc(&text, '\n');
    kb_terminal_print(&s->terminal, &text);
    kb_buf_free(&text);
    cJSON_Delete(root);
}

/* A table is shown device by device, JSON where all is done. */
static int test_all(struct selftest *s) {
    struct kb_err err = {0};
    bool ok = true;

    s->items = kb_json_array();
    kb_interrupt_watch(&s->fleet);
    for (s->device = 0; ok && s->device < s->fleet.n; s->device++)
        ok = test_device(s, &err);
    kb_interrupt_end();
    int signal = kb_interrupted();
    if (ok && s->options->format == KB_FORMAT_JSON)
        print_json(s); /* takes the items */
    else
        cJSON_Delete(s->items);
    if (signal)
        return kb_exit(128 + signal, "%s: the selftest was not finished",
                       kb_interrupt_name(signal));
    if (!ok)
        return kb_exit(kb_err_status(&err), "%s", err.msg);
    if (s->terminal.failed)
        return kb_exit(7, "%s", s->terminal.err.msg);
    return kb_last_line("", s->status, "a probe is not right, or could not be run");
}

int kb_command_selftest(const struct kb_options *options, struct kb_complaints *c) {
    struct selftest s = {.options = options, .gpu = *options};
    struct kb_buf note = {0};
    struct kb_err err = {0};
    int status;

    check_words(options, c);
    if (c->count)
        return kb_exit_complaints(c);
    s.gpu.mode = KB_BENCH; /* no host in place of a GPU */
    if (kb_strings_has(&options->devices, "all"))
        s.gpu.backend = 1;
    kb_terminal_open(options, &s.terminal);
    if (kb_fleet_open(&s.gpu, &s.fleet, &note, &err))
        status = test_all(&s);
    else
        status = kb_exit(
            kb_err_status(&err), "%s%s", err.msg,
            err.kind == KB_DEVICE ? "; kbench list devices says what is missing" : "");
    kb_fleet_close(&s.fleet);
    kb_buf_free(&note);
    kb_arena_free(&s.arena);
    return status;
}
