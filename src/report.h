/* report.h - what a run leaves: the journal, and the reports streamed from it.
 *
 * Rows leave a run through the journal (JSON Lines, the canonical form of a report): they
 * are written as they finish and never all held in memory. Every other form is made from
 * it. All names are escaped for the form that they go to. What people see at a terminal is
 * screen.h, of the same layer. */
#ifndef KB_REPORT_H
#define KB_REPORT_H

#include "run.h"

/* ---- facts of a run, and what its rows add up to --------------------------------------
 */

#define KB_REPORT_SCHEMA "kbench-report/1"

enum { KB_MAX_DEVICES = 32, KB_MAX_BUILDS = 32, KB_FLOORS_KEPT = 256 };
enum { KB_QUALITY_COUNT = KB_Q_CONTENDED + 1 };

struct kb_facts {
    const char *kbench; /* version and commit: "0.1.0 9ab2c1f" */
    struct kb_strings command;
    const char *started; /* UTC: "2026-11-21T09:14:03Z" */
    const char *cpu, *os;
    int cores;
    struct kb_strings instrumented; /* variables that load foreign code, where set */
    int n_devices, n_builds;
    struct kb_device_info devices[KB_MAX_DEVICES];
    double
        stream_gb_per_s[KB_MAX_DEVICES];   /* as a selftest found it before; 0: not known */
    struct kb_build builds[KB_MAX_BUILDS]; /* flags as resolved for the first device */
};
/* CPU, OS, cores, time of start and instrumented; the rest is the caller's. */
void kb_facts_of_host(struct kb_facts *facts, struct kb_arena *arena);

/* Sums over rows; zero is empty. */
struct kb_tally {
    int64_t rows, count[KB_VERDICT_COUNT], reasons[KB_REASON_COUNT];
    double ceiling_logs; /* of the first timed method's ceilings */
    int64_t ceilings;
    int64_t built, cached;    /* rows with code, and those whose code was in the cache */
    double load_ms;           /* of all of them */
    struct kb_tally_quality { /* by enum kb_quality, of rows with such a time */
        int64_t rows;
        char first[512]; /* the first of them, and why: "silu/7x16/bf16 by cold: ..." */
    } qualities[KB_QUALITY_COUNT],
        lacking; /* lacking: a time or energy that was asked for */
    int n_devices;
    struct kb_tally_device {
        char id[16];
        double stream_gb_per_s; /* the best of the streams behind ceilings; 0: none */
        double mma_gflop_per_s; /* the best of tensor cores behind ceilings; 0: none */
        int n_floors[KB_METHOD_COUNT];
        double floors_ns[KB_METHOD_COUNT][KB_FLOORS_KEPT];
    } devices[KB_MAX_DEVICES];
};
void kb_tally_add(struct kb_tally *tally, const struct kb_row *row);
/* The run's exit status by its rows; 3 where all were skipped, 0 where there are none. */
int kb_tally_status(const struct kb_tally *tally);

/* ---- the journal ------------------------------------------------------------------------
 * A header line (schema and facts), a line per row, an end line (complete, seconds, count,
 * measured facts of the devices). Each row is one write(2). */

/* The header line and the end line, without their newline. `interrupted`: the signal's
 * name, or NULL. */
void kb_facts_print(const struct kb_facts *facts, struct kb_buf *out);
void kb_tally_print(const struct kb_tally *tally, bool complete, const char *interrupted,
                    double seconds, struct kb_buf *out);

struct kb_journal;
/* `target`: the report that the journal is for; it is then TARGET.part, locked, so that two
 * runs cannot mix. NULL: an unlinked temporary file. KB_IO if it cannot be had. What a
 * killed run left there is overwritten, and `note` says so. */
bool kb_journal_open(const char *target, const struct kb_facts *facts, struct kb_buf *note,
                     struct kb_journal **out, struct kb_err *err);
bool kb_journal_add(struct kb_journal *journal, const struct kb_row *row,
                    struct kb_err *err);
/* The end line, on disk. */
bool kb_journal_finish(struct kb_journal *journal, const struct kb_tally *tally,
                       bool complete, const char *interrupted, double seconds,
                       struct kb_err *err);
const char *kb_journal_path(const struct kb_journal *journal); /* NULL: temporary */
/* Close; its file is removed unless `keep`. NULL-safe. */
void kb_journal_close(struct kb_journal *journal, bool keep);

/* Reads a journal line by line. `name` is for messages. Several readers of one journal do
 * not disturb each other or the writer. A schema newer than ours is KB_INPUT and named. */
struct kb_rows;
bool kb_rows_of_journal(struct kb_journal *journal, struct kb_rows **out,
                        struct kb_err *err);
bool kb_rows_open(const char *path, struct kb_rows **out, struct kb_err *err);
/* The next row, its strings in `arena`. False at the end, or with `err` set (its kind is
 * not KB_NO_ERROR): a damaged line is KB_INPUT and named, "FILE:LINE: ...". A torn last
 * line is dropped, and kb_rows_note then says so. */
bool kb_rows_next(struct kb_rows *rows, struct kb_arena *arena, struct kb_row *row,
                  struct kb_err *err);
const char *kb_rows_line(const struct kb_rows *rows); /* the row's own JSON text */
const cJSON *kb_rows_header(const struct kb_rows *rows);
const cJSON *kb_rows_end(const struct kb_rows *rows); /* NULL: not met, or none */
const char *kb_rows_note(const struct kb_rows *rows); /* NULL: none */
void kb_rows_rewind(struct kb_rows *rows);
void kb_rows_close(struct kb_rows *rows);

/* ---- reports ----------------------------------------------------------------------------
 */

/* id, word and file extension, what it is, its writer in src/report */
#define KB_FORMATS(X)                                                                      \
    X(KB_FORMAT_JSON, "json", "the report (reports/README.md), one row a line",            \
      kb_write_json)                                                                       \
    X(KB_FORMAT_JSONL, "jsonl", "the journal: header, rows, end, a line each",             \
      kb_write_jsonl)                                                                      \
    X(KB_FORMAT_CSV, "csv", "a line per row, for spreadsheets", kb_write_csv)              \
    X(KB_FORMAT_MD, "md", "Markdown, for a comment on a change", kb_write_markdown)        \
    X(KB_FORMAT_XML, "xml", "JUnit XML, a test case per row, for CI", kb_write_junit)      \
    X(KB_FORMAT_HTML, "html", "a page with plots, which needs nothing beside it",          \
      kb_write_html)

enum kb_format {
#define X(id, word, help, writer) id,
    KB_FORMATS(X)
#undef X
        KB_FORMAT_COUNT,
    KB_FORMAT_TABLE = KB_FORMAT_COUNT /* the terminal's */
};
const char *kb_format_word(enum kb_format format);
const char *kb_format_help(enum kb_format format);
bool kb_format_parse(const char *word, enum kb_format *out);
bool kb_format_of_file(const char *path, enum kb_format *out); /* by extension */

/* The whole report. `path`: replaced atomically, as it was on failure. */
bool kb_report_write(enum kb_format format, const char *path, struct kb_rows *rows,
                     struct kb_err *err);
bool kb_report_print(enum kb_format format, int fd, const char *name, struct kb_rows *rows,
                     struct kb_err *err);

/* ---- GitHub Actions ---------------------------------------------------------------------
 */

/* "::error title=...::...", a line that makes an annotation. */
void kb_github_error(const char *title, const char *text, struct kb_buf *out);
/* Lines as they are, but for a blank in what the runner would take for a command of a
 * workflow, of a compiler's text, say: a "::" with nothing but space before it, a "##[". */
void kb_github_plain(const char *text, size_t len, struct kb_buf *out);
/* One for each row that is told again, at most `max` lines: GitHub shows ten of a step. */
bool kb_github_annotations(struct kb_rows *rows, int max, struct kb_buf *out,
                           struct kb_err *err);
/* Added to the end of a file that others have begun. */
bool kb_github_append(const char *path, const struct kb_buf *text, struct kb_err *err);
/* The report as Markdown, added to the file that GITHUB_STEP_SUMMARY names, no longer than
 * GitHub takes it. */
bool kb_github_summary(const char *path, struct kb_rows *rows, struct kb_err *err);

#endif
