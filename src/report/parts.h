/* parts.h - between the files of the report layer. */
#ifndef KB_REPORT_PARTS_H
#define KB_REPORT_PARTS_H

#include "screen.h"

/* The first method that a row was timed by, in the order of the methods; NULL: none. */
const struct kb_time *kb_row_time(const struct kb_row *row);
int kb_journal_fd(const struct kb_journal *journal);
/* {"pass": 1, "fail": 0, ...} */
cJSON *kb_tally_counts(const struct kb_tally *tally);

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
void kb_single_next(const struct kb_row *row, struct kb_buf *out);

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
kb_writer kb_write_json, kb_write_jsonl, kb_write_csv, kb_write_markdown;

#endif
