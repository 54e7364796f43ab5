/* ending.c - the end of a run: failures again, the summary, the reports, the last line. */
#include "cli/run_parts.h"

#include <string.h>
#include <unistd.h>

/* ---- why the status is not 0 -----------------------------------------------------------
 */

/* Rows by exit status, in words: one of them, more, and beside others. */
static const struct {
    int status;
    const char *one, *more, *beside;
} ends[] = {
    {7, "a case could not have a file or memory", "rows could not have a file or memory",
     "without a file or memory"},
    {6, "a case ended in a device error, crash or timeout",
     "rows ended in a device error, crash or timeout",
     "ended in a device error, crash or timeout"},
    {5, "a case did not build", "rows did not build", "did not build"},
    {1, "a case failed", "rows failed", "failed"},
    {3, "a case is mistrusted: its rule would let a wrong output pass",
     "rows are mistrusted: their rule would let a wrong output pass", "mistrusted"},
};

static int64_t rows_of_status(const struct kb_tally *tally, int status) {
    int64_t n = 0;
    for (int r = 0; r < KB_REASON_COUNT; r++)
        if (kb_reason_status((enum kb_reason)r) == status)
            n += tally->reasons[r];
    return n;
}

static int64_t rows_planned(const struct kb_run *run) {
    return run->plan.jobs * run->fleet.n;
}

/* Rows that --fail-fast did not get to. */
static int64_t left_out(const struct kb_run *run) {
    return run->stopped ? rows_planned(run) - run->tally.rows : 0;
}

static void status_words(const struct kb_run *run, int status, struct kb_buf *out) {
    const struct kb_tally *tally = &run->tally;
    const char *before = " (and ";
    if (tally->rows && tally->count[KB_SKIP] == tally->rows) {
        kb_buf_puts(out, "nothing was checked: ");
        if (tally->rows == 1)
            kb_buf_puts(out, "the case was skipped");
        else
            kb_buf_printf(out, "all %lld rows were skipped", (long long)tally->rows);
        return;
    }
    for (size_t i = 0; i < KB_COUNT(ends); i++) {
        int64_t n = rows_of_status(tally, ends[i].status);
        if (n == 1 && ends[i].status == status)
            kb_buf_puts(out, ends[i].one);
        else if (n && ends[i].status == status)
            kb_buf_printf(out, "%lld %s", (long long)n, ends[i].more);
    }
    for (size_t i = 0; i < KB_COUNT(ends); i++) {
        int64_t n = rows_of_status(tally, ends[i].status);
        if (!n || ends[i].status == status)
            continue;
        kb_buf_printf(out, "%s%lld %s", before, (long long)n, ends[i].beside);
        before = ", ";
    }
    if (*before == ',')
        kb_buf_putc(out, ')');
    if (left_out(run) > 0)
        kb_buf_printf(out, "; --fail-fast: %lld of %lld rows were not run",
                      (long long)left_out(run), (long long)rows_planned(run));
    if (status == 1 && run->single && run->not_timed)
        kb_buf_puts(out, "; it was not timed, only a kernel that passed is");
}

/* What the journal's end line says beside the counts. */
struct ending {
    bool complete;
    const char *interrupted;
    double seconds;
};

/* ---- what is printed -------------------------------------------------------------------
 */

/* How many rows each reason is that of: it is told with the first of them. */
static bool count_told(struct kb_rows *rows, struct kb_told *told, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_row row;
    kb_rows_rewind(rows);
    while (kb_rows_next(rows, &arena, &row, err)) {
        kb_told_count(told, &row);
        kb_arena_reset(&arena);
    }
    kb_arena_free(&arena);
    return !err->kind;
}

static bool print_failures(struct kb_run *run, struct kb_rows *rows, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_buf text = {0};
    struct kb_told told = {0};
    struct kb_row row;
    const char *gap = run->options->quiet ? "" : "\n";
    if (!count_told(rows, &told, err))
        return false;
    kb_rows_rewind(rows);
    while (!run->terminal.failed && kb_rows_next(rows, &arena, &row, err)) {
        int64_t others = kb_row_is_repeated(&row) ? kb_told_others(&told, &row) : -1;
        if (others >= 0) {
            kb_buf_puts(&text, gap);
            kb_table_failure(&run->table, &row, others, &text);
            kb_terminal_print(&run->terminal, &text);
            gap = "";
        }
        kb_arena_reset(&arena);
    }
    kb_buf_free(&text);
    kb_arena_free(&arena);
    return !err->kind;
}

/* How long code took to make and to load. */
static void build_words(const struct kb_run *run, struct kb_buf *out) {
    const struct kb_compiles *c = &run->compiles;
    const struct kb_tally *tally = &run->tally;
    long long compiled = (long long)(tally->built - tally->cached);
    kb_buf_printf(out, "%lld compiled", compiled);
    if (compiled && c->processes)
        kb_buf_printf(out, " in %s, %d at a time, %s in all", kb_cell_ms(c->wall_ms).text,
                      c->processes, kb_cell_ms(c->compile_ms).text);
    kb_buf_printf(out, "; %lld from the cache", (long long)tally->cached);
    if (tally->load_ms > 0)
        kb_buf_printf(out, "; loaded in %s", kb_cell_ms(tally->load_ms).text);
    kb_buf_putc(out, '\n');
}

static void print_sorted(struct kb_run *run) {
    struct kb_buf text = {0};
    kb_sorter_print(&run->sorter, &text);
    if (text.len)
        kb_terminal_print(&run->terminal, &text);
    kb_buf_free(&text);
}

static void print_summary(struct kb_run *run, double seconds) {
    struct kb_buf text = {0};
    bool first = run->options->quiet &&
                 run->tally.rows == run->tally.count[KB_PASS] + run->tally.count[KB_SKIP];
    kb_buf_puts(&text, first ? "" : "\n");
    if (run->options->mode == KB_BUILD_ONLY)
        build_words(run, &text);
    if (run->side_by_side) {
        kb_versus_summary(&run->versus, &text);
        kb_versus_streams(&run->versus, &run->tally, &text);
    }
    kb_table_summary(&run->table, &run->tally, seconds, &text);
    kb_terminal_print(&run->terminal, &text);
    kb_buf_free(&text);
}

/* The rows of a journal on standard output were printed as they finished. */
static void print_end_line(struct kb_run *run, const struct ending *end) {
    struct kb_buf text = {0};
    kb_tally_print(&run->tally, end->complete, end->interrupted, end->seconds, &text);
    kb_buf_putc(&text, '\n');
    kb_terminal_print(&run->terminal, &text);
    kb_buf_free(&text);
}

/* The table's end, or the report that --format asks for. */
static bool print_end(struct kb_run *run, const struct ending *end, struct kb_rows *rows,
                      struct kb_err *err) {
    bool ok = true;
    if (run->terminal.failed || (run->screens && run->single))
        return true;
    if (run->options->format == KB_FORMAT_JSONL) {
        print_end_line(run, end);
    } else if (!run->screens) {
        ok = kb_report_print((enum kb_format)run->options->format, STDOUT_FILENO,
                             "standard output", rows, err);
    } else {
        print_sorted(run);
        ok = print_failures(run, rows, err);
        print_summary(run, end->seconds);
    }
    return ok;
}

/* ---- the reports -----------------------------------------------------------------------
 */

/* Every report that can be written is; the first that cannot is the error. */
static bool write_reports(struct kb_run *run, struct kb_rows *rows, struct kb_buf *wrote,
                          struct kb_err *err) {
    const struct kb_strings *outputs = &run->options->outputs;
    bool ok = true;
    for (size_t i = 0; i < outputs->count; i++) {
        const char *path = outputs->items[i];
        enum kb_format format = KB_FORMAT_JSON;
        struct kb_err why = {0};
        kb_format_of_file(path, &format);
        if (kb_report_write(format, path, rows, &why))
            kb_buf_printf(wrote, "%s%s", wrote->len ? ", " : "wrote ", path);
        else if (ok)
            ok = kb_fail(err, why.kind, "%s", why.msg);
    }
    return ok;
}

/* Against the baseline: the screen behind the summary. */
static void gate(struct kb_run *run, struct kb_rows *rows, struct kb_err *err) {
    struct kb_gated *gated = &run->gated;
    if (!kb_baseline_gate(&run->baseline, run->options, rows, &run->terminal.look, gated,
                          err)) {
        gated->status = kb_err_status(err);
    } else if (run->screens) {
        struct kb_buf text = {0};
        kb_buf_printf(&text, "\n%s", kb_buf_text(&gated->screen));
        kb_terminal_print(&run->terminal, &text);
        kb_buf_free(&text);
    }
    kb_buf_free(&gated->screen);
}

/* The journal's end, the reports, what is printed. False if what was measured is in the
 * journal alone. The first error is run->err. */
static bool finish(struct kb_run *run, struct kb_buf *wrote) {
    struct kb_rows *rows = NULL;
    struct kb_err err = {0}, shown = {0};
    int signal = kb_interrupted();
    const struct ending end = {
        .complete = !signal && !run->err.kind && !left_out(run),
        .interrupted = signal ? kb_interrupt_name(signal) : NULL,
        .seconds = kb_run_seconds(run),
    };
    bool ok = kb_journal_finish(run->journal, &run->tally, end.complete, end.interrupted,
                                end.seconds, &err) &&
              kb_rows_of_journal(run->journal, &rows, &err);
    if (ok) {
        print_end(run, &end, rows, &shown);
        ok = write_reports(run, rows, wrote, &err);
        if (ok && run->baseline.there && !signal)
            gate(run, rows, &shown);
        kb_run_tell_github(run, rows);
    }
    kb_rows_close(rows);
    if (!run->err.kind)
        run->err = !ok ? err : shown.kind ? shown : run->terminal.err;
    return ok;
}

int kb_run_end(struct kb_run *run) {
    struct kb_buf wrote = {0}, why = {0};
    int signal = kb_interrupted();
    int status = kb_tally_status(&run->tally);
    bool ok = finish(run, &wrote);
    const char *kept = ok ? NULL : kb_journal_path(run->journal);
    if (signal) {
        status = 128 + signal;
        kb_buf_printf(&why, "%s after %lld of %lld rows", kb_interrupt_name(signal),
                      (long long)run->tally.rows, (long long)rows_planned(run));
    } else if (run->err.kind) {
        status = kb_status_worse(status, kb_err_status(&run->err));
        kb_buf_puts(&why, run->err.msg);
    } else if (run->gated.status) { /* it counts what is wrong as well */
        status = kb_status_worse(status, run->gated.status);
        kb_buf_puts(&why, kb_buf_text(&run->gated.why));
    } else {
        status_words(run, status, &why);
        if (!status)
            kb_buf_puts(&why, kb_buf_text(&run->gated.why));
    }
    kb_buf_free(&run->gated.why);
    if (kept) /* what was measured is not lost with its report */
        kb_buf_printf(&why, "; the rows so far are in %s", kept);
    kb_terminal_progress_end(&run->terminal);
    kb_last_line_of_gate(&wrote, status, &why);
    kb_journal_close(run->journal, !ok);
    kb_buf_free(&wrote);
    kb_buf_free(&why);
    return status;
}
