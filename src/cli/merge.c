/* merge.c - kbench merge: parts of a run into one report, or runs into a baseline. */
#include "cli/compare.h"

static void check(const struct kb_options *o, struct kb_complaints *c) {
    size_t n = o->words.count;
    if (n < 2)
        kb_complain(c, "kbench", 0, 0, NULL, "merge wants two reports or more, got %zu", n);
    if (o->runs && n > KB_MAX_RUNS)
        kb_complain(c, "kbench", 0, 0, NULL, "merge --runs joins at most %d runs, got %zu",
                    KB_MAX_RUNS, n);
    if (o->outputs.count != 1)
        kb_complain_option(c, "-o", "one file is wanted to write to, got %zu",
                           o->outputs.count);
    else if (!kb_ends_with(o->outputs.items[0], ".json") &&
             !kb_ends_with(o->outputs.items[0], ".jsonl"))
        kb_complain_option(c, "-o", "%s: what is joined is written as .json or .jsonl",
                           o->outputs.items[0]);
}

int kb_command_merge(const struct kb_options *options, struct kb_complaints *c) {
    struct kb_terminal terminal;
    struct kb_reports reports = {0};
    struct kb_buf note = {0}, wrote = {0};
    struct kb_err err = {0};
    size_t n_rows = 0;
    check(options, c);
    if (c->count)
        return kb_exit_complaints(c);
    kb_terminal_open(options, &terminal);
    if (!kb_reports_read(&options->words, &reports, &err))
        return kb_exit(kb_err_status(&err), "%s", err.msg);
    const char *path = options->outputs.items[0];
    bool ok = kb_join_write(options->runs ? KB_JOIN_RUNS : KB_JOIN_PARTS, reports.items,
                            reports.n, path, &n_rows, &note, &err);
    for (int i = 0; i < reports.n; i++)
        if (reports.items[i].note.len)
            kb_terminal_note(&terminal, "%s", kb_buf_text(&reports.items[i].note));
    if (note.len)
        kb_terminal_note(&terminal, "%s", kb_buf_text(&note));
    if (ok)
        kb_buf_printf(&wrote, "wrote %s: %zu rows of %d %s", path, n_rows, reports.n,
                      options->runs ? "runs" : "parts");
    int status = kb_last_line(kb_buf_text(&wrote), ok ? 0 : kb_err_status(&err), err.msg);
    kb_buf_free(&note);
    kb_buf_free(&wrote);
    kb_reports_free(&reports);
    return status;
}
