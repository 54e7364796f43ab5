/* gate.c - kbench gate: a report against a baseline. */
#include "cli/compare.h"
#include "cli/github.h"

#include <string.h>

static struct kb_strings two_paths(const struct kb_options *o, struct kb_arena *arena) {
    struct kb_strings paths = {0};
    kb_strings_add(&paths, arena, o->words.items[0]);
    kb_strings_add(&paths, arena, o->baseline);
    return paths;
}

static bool is_right(const struct kb_loaded *report) {
    for (size_t i = 0; i < report->n_rows; i++)
        if (report->rows[i].verdict != KB_PASS && report->rows[i].verdict != KB_SKIP)
            return false;
    return report->n_rows > 0;
}

/* Rows that stand twice, or whose time is none, could not be compared with anything. */
static bool is_sound(const struct kb_loaded *report) {
    double bad;
    for (size_t i = 0; i < report->n_rows; i++) {
        const struct kb_entry *entry = &report->rows[i];
        if (entry->twice)
            return false;
        for (int k = 0; k < entry->n_times; k++)
            if (!kb_timing_is_valid(&entry->times[k], &bad))
                return false;
    }
    return true;
}

/* What keeps the new report from being a baseline, and the status for it; 0: nothing does.
 */
static int refuse(const struct kb_gate *gate, struct kb_buf *why) {
    size_t missing = gate->limits.allow_missing ? 0 : gate->count[KB_GATE_MISSING];
    const char *words = NULL;
    int status = 0;
    if (!gate->fresh->complete) {
        words = "the new report's run did not get to its end";
        status = 3;
    } else if (!is_right(gate->fresh)) {
        words = "the new report has rows that are not right";
        status = 1;
    } else if (!is_sound(gate->fresh)) {
        words = "the new report has rows that cannot be compared";
        status = 3;
    } else if (missing) {
        kb_buf_printf(
            why, "%zu row%s of the baseline %s missing, which --allow-missing leaves out",
            missing, missing == 1 ? "" : "s", missing == 1 ? "is" : "are");
        words = "";
        status = 1;
    }
    if (status)
        kb_buf_printf(why, "%s; the baseline is as it was", words);
    return status;
}

/* A baseline of another GPU would be none, either. */
static int update(const struct kb_options *o, const struct kb_gate *gate,
                  struct kb_buf *wrote, struct kb_buf *why) {
    struct kb_err err = {0};
    if (!gate->comparable) {
        kb_gate_words(gate, why);
        kb_buf_puts(why, "; the baseline is as it was (--cross rewrites it all the same)");
        return 3;
    }
    int refused = refuse(gate, why);
    if (refused)
        return refused;
    if (!kb_baseline_update(gate->base, gate->fresh, o->update, o->baseline, &err)) {
        kb_buf_puts(why, err.msg);
        return kb_err_status(&err);
    }
    kb_buf_printf(wrote, "%s%s", wrote->len ? ", " : "wrote ", o->baseline);
    if (gate->fresh->n_runs < 3 && gate->base->n_runs >= 3)
        kb_buf_printf(wrote,
                      ", which held %d process runs and holds %d: kbench merge --runs "
                      "joins three",
                      gate->base->n_runs,
                      gate->fresh->n_runs > 1 ? gate->fresh->n_runs : 1);
    return 0;
}

/* Screen, JSON, the last line. */
static int end(const struct kb_options *o, struct kb_terminal *terminal,
               const struct kb_gate *gate) {
    struct kb_buf screen = {0}, json = {0}, wrote = {0}, why = {0};
    struct kb_github_text github = {0};
    struct kb_err err = {0};
    int status = kb_gate_status(gate);
    kb_gate_print(gate, &terminal->look, o->all, &screen);
    if (o->format == KB_FORMAT_JSON || o->outputs.count)
        kb_gate_json(gate, &json);
    kb_gate_words(gate, &why);
    if (!kb_compare_print(o, terminal, &screen, &json, &wrote, &err)) {
        status = kb_status_worse(status, kb_err_status(&err));
        kb_buf_clear(&why);
        kb_buf_puts(&why, err.msg);
    } else if (o->update) {
        kb_buf_clear(&why);
        status = update(o, gate, &wrote, &why);
    }
    kb_github_of_gate(gate, KB_GITHUB_ANNOTATIONS, false, &github);
    kb_github_tell(terminal, &github);
    kb_last_line_of_gate(&wrote, status, &why);
    kb_buf_free(&screen);
    kb_buf_free(&json);
    kb_buf_free(&wrote);
    kb_buf_free(&why);
    return status;
}

int kb_command_gate(const struct kb_options *options, struct kb_complaints *c) {
    struct kb_terminal terminal;
    struct kb_arena arena = {0};
    struct kb_reports reports = {0};
    struct kb_gate gate;
    struct kb_err err = {0};
    kb_compare_check(options, c);
    if (options->words.count != 1)
        kb_complain(c, "kbench", 0, 0, NULL, "gate wants one new report, got %zu",
                    options->words.count);
    if (!options->baseline)
        kb_complain_option(c, "--baseline", "is missing: the report to gate against");
    if (c->count)
        return kb_exit_complaints(c);
    kb_terminal_open(options, &terminal);
    struct kb_strings paths = two_paths(options, &arena);
    if (!kb_reports_read(&paths, &reports, &err)) {
        kb_arena_free(&arena);
        return kb_exit(kb_err_status(&err), "%s", err.msg);
    }
    kb_gate_make(&reports.items[1], &reports.items[0], &options->limits, options->methods,
                 options->n_methods, NULL, NULL, &arena, &gate);
    int status = end(options, &terminal, &gate);
    kb_reports_free(&reports);
    kb_arena_free(&arena);
    return status;
}
