/* parts.h - between the files of the report layer. */
#ifndef KB_REPORT_PARTS_H
#define KB_REPORT_PARTS_H

#include "screen.h"

/* A device among those of a run: "0 NVIDIA H200 sm_90, stream 4284 GB/s" where there are
 * several, their rates where something is timed. */
void kb_facts_device(const struct kb_facts *facts, int i, bool timed, struct kb_buf *out);

/* The first method that a row was timed by, in the order of the methods; NULL: none. */
const struct kb_time *kb_row_time(const struct kb_row *row);
/* Microjoules of a launch, by the one method that they are told by; NAN: not known. */
double kb_row_energy(const struct kb_row *row);
int kb_journal_fd(const struct kb_journal *journal);
/* {"pass": 1, "fail": 0, ...} */
cJSON *kb_tally_counts(const struct kb_tally *tally);

/* `text` on one line of at most `room` columns (0: any), escaped. */
void kb_short_text(const char *text, int room, struct kb_buf *out);

/* What a right row was tried with besides its first run. */
void kb_tried_words(const struct kb_row *row, struct kb_buf *out);

/* Of the single case's screen: "label     text", broken where the terminal ends, the text
 * indented under itself; what is wrong; what to run next, and the command that repeats it.
 */
enum { KB_LABEL = 10 };
void kb_single_label(const char *text, struct kb_buf *out);
void kb_single_paragraph(const struct kb_single *single, const char *name, const char *text,
                         struct kb_buf *out);
void kb_single_wrong(const struct kb_single *single, const struct kb_row *row,
                     struct kb_buf *out);
/* Of a row that was timed: the table of its times with what is below it; the clocks. */
void kb_single_times(const struct kb_single *single, const struct kb_row *row,
                     struct kb_buf *out);
void kb_single_clocks(const struct kb_single *single, const struct kb_row *row,
                      struct kb_buf *out);
void kb_single_next(const struct kb_row *row, struct kb_buf *out);
/* Lines that are wider than the terminal go on under their text; commands are to be copied
 * and stay whole. */
void kb_single_fold(const char *text, int width, struct kb_buf *out);

/* Where a report is written to: a new file, or a file descriptor that is there. Small
 * pieces are gathered. After a failure nothing more is written, and kb_sink_end gives it.
 */
struct kb_sink {
    struct kb_new_file file;
    int fd; /* -1: the file */
    const char *name;
    struct kb_buf text;
    bool failed;
    struct kb_err err;
};
void kb_sink_flush(struct kb_sink *sink);
/* Make room in `text`, to which writers append. */
void kb_sink_room(struct kb_sink *sink);

/* A writer: the whole report from the rows, from the first on. False with `err` set where
 * the rows cannot be read; failures of the sink are the sink's. */
typedef bool kb_writer(struct kb_rows *rows, struct kb_sink *sink, struct kb_err *err);
kb_writer kb_write_json, kb_write_jsonl, kb_write_csv, kb_write_markdown, kb_write_junit,
    kb_write_html;

/* The same as kb_write_markdown's, which fits into a comment at GitHub, in at most about
 * `max` bytes: what is left out is said. */
bool kb_markdown_text(struct kb_rows *rows, size_t max, struct kb_buf *out,
                      struct kb_err *err);

/* ---- what writers share, in survey.c and markup.c --------------------------------------
 */

/* Each row from the first on; `sink`, if there is one, is given room after each. False with
 * `err` set where they cannot be read. */
typedef void kb_visit(void *context, const struct kb_row *row);
bool kb_rows_visit(struct kb_rows *rows, struct kb_sink *sink, kb_visit *visit,
                   void *context, struct kb_err *err);

/* What a first pass over the rows finds: sums, and which columns a table of them needs. */
struct kb_survey {
    struct kb_tally tally;
    bool many_builds, many_devices;
    bool many_variants; /* of one case */
    bool has_registers; /* that some row's code has */
    bool has_energy;
    char build[64], device[16], variant[64]; /* the first row's; of a case its first */
    struct kb_hash last;                     /* of the case that came last */
    bool has[KB_METHOD_COUNT];
    int first;       /* the first method that was timed; -1: none */
    int64_t against; /* rows whose time by it is held against another build or variant */
    int64_t compared[KB_METHOD_COUNT];
    int64_t paired;      /* rows that have an A, timed or not */
    double ms_total;     /* of all rows */
    struct kb_told told; /* counted */
};
bool kb_survey_rows(struct kb_rows *rows, struct kb_survey *survey, struct kb_err *err);
/* Rows that a report tells again, with what is wrong. */
int64_t kb_survey_repeated(const struct kb_survey *survey);
/* A text of a header or end line; "" if there is none. */
const char *kb_member_text(const cJSON *object, const char *name);
/* "NVIDIA H200 sm_90", unescaped, of a header's device. */
void kb_member_device(const cJSON *device, struct kb_buf *out);

/* Text as XML and HTML hold it, between tags and in quotes: nothing but text, one line; and
 * of many lines. */
void kb_markup(const char *text, struct kb_buf *out);
void kb_markup_lines(const char *text, struct kb_buf *out);

#endif
