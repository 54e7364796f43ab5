/* merge.c - kbench merge: parts of a run into one report, runs into a baseline, or a report
 * in another form. */
#include "cli/compare.h"

static bool is_json(const char *path) {
    return kb_ends_with(path, ".json") || kb_ends_with(path, ".jsonl");
}

static void check(const struct kb_options *o, struct kb_complaints *c) {
    size_t n = o->words.count;
    bool other_form = o->outputs.count > 0 && !o->runs;
    for (size_t i = 0; i < o->outputs.count; i++)
        other_form = other_form && !is_json(o->outputs.items[i]);
    if (n < (other_form ? 1 : 2))
        kb_complain(c, "kbench", 0, 0, NULL, "merge wants two reports or more, got %zu%s",
                    n, n == 1 ? "; of one it makes other forms, such as .html" : "");
    if (o->runs && n > KB_MAX_RUNS)
        kb_complain(c, "kbench", 0, 0, NULL, "merge --runs joins at most %d runs, got %zu",
                    KB_MAX_RUNS, n);
    for (size_t i = 1; o->runs && i < n; i++) {
        int before = 0;
        for (size_t k = 0; k < i; k++)
            before += kb_streq(o->words.items[i], o->words.items[k]);
        if (before == 1) /* told once, however often it is named */
            kb_complain(c, "kbench", 0, 0, NULL,
                        "merge --runs: %s is named twice, and would differ from itself "
                        "by nothing",
                        o->words.items[i]);
    }
    if (!o->outputs.count)
        kb_complain_option(c, "-o", "is missing: the file to write to");
}

/* ---- files -----------------------------------------------------------------------------
 */

struct merge {
    enum kb_join how;
    const struct kb_reports *reports;
    size_t n_rows;
    struct kb_buf note;
};

static bool join(struct merge *m, const char *path, struct kb_err *err) {
    kb_buf_clear(&m->note); /* the same for each file */
    return kb_join_write(m->how, m->reports->items, m->reports->n, path, &m->n_rows,
                         &m->note, err);
}

/* Other forms are made from a journal, as those of a run are. */
static bool write_form(struct merge *m, enum kb_format format, const char *path,
                       struct kb_err *err) {
    struct kb_temp temp = {0};
    struct kb_rows *rows = NULL;
    struct kb_buf journal = {0};
    bool ok = kb_temp_make(&temp, err);
    if (ok)
        kb_buf_printf(&journal, "%s/joined.jsonl", temp.path);
    ok = ok && join(m, kb_buf_text(&journal), err) &&
         kb_rows_open(kb_buf_text(&journal), &rows, err) &&
         kb_report_write(format, path, rows, err);
    kb_rows_close(rows);
    kb_buf_free(&journal);
    kb_temp_free(&temp);
    return ok;
}

/* Process runs: a baseline that is joined again has several. */
static int runs_of(const struct kb_reports *reports) {
    int n = 0;
    for (int i = 0; i < reports->n; i++)
        n += reports->items[i].n_runs > 1 ? reports->items[i].n_runs : 1;
    return n;
}

static bool write_files(struct merge *m, const struct kb_strings *paths,
                        struct kb_buf *wrote, struct kb_err *err) {
    for (size_t i = 0; i < paths->count; i++) {
        const char *path = paths->items[i];
        enum kb_format format = KB_FORMAT_JSON;
        kb_format_of_file(path, &format);
        if (is_json(path) ? !join(m, path, err) : !write_form(m, format, path, err))
            return false;
        kb_buf_printf(wrote, "%s%s", wrote->len ? ", " : "wrote ", path);
    }
    int n = m->how == KB_JOIN_RUNS ? runs_of(m->reports) : m->reports->n;
    kb_buf_printf(wrote, ": %zu rows of %d %s%s", m->n_rows, n,
                  m->how == KB_JOIN_RUNS ? "run"
                  : n > 1                ? "part"
                                         : "report",
                  n > 1 ? "s" : "");
    return true;
}

int kb_command_merge(const struct kb_options *options, struct kb_complaints *c) {
    struct kb_terminal terminal;
    struct kb_reports reports = {0};
    struct merge m = {.how = options->runs ? KB_JOIN_RUNS : KB_JOIN_PARTS,
                      .reports = &reports};
    struct kb_buf wrote = {0};
    struct kb_err err = {0};
    check(options, c);
    if (c->count)
        return kb_exit_complaints(c);
    kb_terminal_open(options, &terminal);
    if (!kb_reports_read(&options->words, &reports, &err))
        return kb_exit(kb_err_status(&err), "%s", err.msg);
    bool ok = write_files(&m, &options->outputs, &wrote, &err);
    for (int i = 0; i < reports.n; i++)
        if (reports.items[i].note.len)
            kb_terminal_note(&terminal, "%s", kb_buf_text(&reports.items[i].note));
    if (m.note.len)
        kb_terminal_note(&terminal, "%s", kb_buf_text(&m.note));
    int status = kb_last_line(kb_buf_text(&wrote), ok ? 0 : kb_err_status(&err), err.msg);
    kb_buf_free(&m.note);
    kb_buf_free(&wrote);
    kb_reports_free(&reports);
    return status;
}
