/* rows.c - a journal read line by line; torn ends are dropped, damage is named. */
#include "report/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 64 << 10 };

struct kb_rows {
    int fd;
    bool ours; /* to close */
    char *name;
    off_t at;           /* of the next chunk: pread, so that readers share a descriptor */
    struct kb_buf text; /* read and not yet taken; `line` and `rest` point into it */
    size_t taken;       /* bytes of `text` that were lines before */
    bool no_more;       /* the file's end is in `text` */
    bool ended;         /* nothing comes after this */
    int line_number;    /* of the line last taken, from 1 */
    struct kb_buf line; /* the line last taken */
    bool line_is_torn;  /* it had no newline */
    struct kb_json header, end;
    char *note;
};

const char *kb_rows_line(const struct kb_rows *rows) {
    return kb_buf_text(&rows->line);
}

const cJSON *kb_rows_header(const struct kb_rows *rows) {
    return rows->header.root;
}

const cJSON *kb_rows_end(const struct kb_rows *rows) {
    return rows->end.root;
}

const char *kb_rows_note(const struct kb_rows *rows) {
    return rows->note;
}

/* ---- lines -----------------------------------------------------------------------------
 */

static bool read_more(struct kb_rows *rows, struct kb_err *err) {
    struct kb_buf *text = &rows->text;
    if (rows->taken) {
        memmove(text->data, text->data + rows->taken, text->len - rows->taken);
        kb_buf_cut(text, text->len - rows->taken);
        rows->taken = 0;
    }
    if (text->len > KB_FILE_MAX)
        return kb_fail(err, KB_INPUT, "%s:%d: a line of more than %d bytes", rows->name,
                       rows->line_number + 1, KB_FILE_MAX);
    ssize_t n;
    do
        n = pread(rows->fd, kb_buf_reserve(text, CHUNK), CHUNK, rows->at);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return kb_fail(err, KB_IO, "%s: cannot read: %s", rows->name, strerror(errno));
    text->len += (size_t)n;
    text->data[text->len] = '\0';
    rows->at += n;
    rows->no_more = n == 0;
    return true;
}

/* The next line into rows->line. False at the end, or with `err` set. */
static bool next_line(struct kb_rows *rows, struct kb_err *err) {
    for (;;) {
        const char *start = kb_buf_text(&rows->text) + rows->taken;
        size_t left = rows->text.len - rows->taken;
        const char *newline = left ? memchr(start, '\n', left) : NULL;
        if (newline || (rows->no_more && left)) {
            size_t len = newline ? (size_t)(newline - start) : left;
            kb_buf_clear(&rows->line);
            kb_buf_add(&rows->line, start, len);
            rows->taken += len + (newline ? 1 : 0);
            rows->line_is_torn = !newline;
            rows->line_number++;
            return true;
        }
        if (rows->no_more || !read_more(rows, err))
            return false;
    }
}

/* ---- the header ------------------------------------------------------------------------
 */

/* "kbench-report/1" of a newer kbench is told from what is no report at all. */
static bool check_schema(struct kb_rows *rows, struct kb_err *err) {
    static const char prefix[] = "kbench-report/";
    const cJSON *schema = kb_json_get(rows->header.root, "schema");
    const char *text = cJSON_IsString(schema) ? schema->valuestring : NULL;
    if (text && kb_streq(text, KB_REPORT_SCHEMA))
        return true;
    if (text && kb_starts_with(text, prefix))
        return kb_fail(err, KB_INPUT,
                       "%s: schema \"%.32s\" is newer than this kbench, which "
                       "reads \"%s\"",
                       rows->name, text, KB_REPORT_SCHEMA);
    return kb_fail(err, KB_INPUT, "%s:1: is no kbench journal: it lacks \"schema\": \"%s\"",
                   rows->name, KB_REPORT_SCHEMA);
}

static bool parse_line(struct kb_rows *rows, struct kb_json *out, struct kb_err *err) {
    struct kb_err why = {0};
    if (kb_json_parse(out, "line", kb_rows_line(rows), rows->line.len, &why) &&
        cJSON_IsObject(out->root))
        return true;
    kb_json_free(out);
    return kb_fail(err, KB_INPUT, "%s:%d: damaged: %s", rows->name, rows->line_number,
                   why.kind ? why.msg : "is no JSON object");
}

static bool read_header(struct kb_rows *rows, struct kb_err *err) {
    struct kb_err why = {0};
    if (!next_line(rows, &why)) {
        if (why.kind)
            return kb_fail(err, why.kind, "%s", why.msg);
        return kb_fail(err, KB_INPUT, "%s: is empty, wanted a kbench journal", rows->name);
    }
    return parse_line(rows, &rows->header, err) && check_schema(rows, err);
}

static bool start(struct kb_rows *rows, struct kb_rows **out, struct kb_err *err) {
    if (!read_header(rows, err)) {
        kb_rows_close(rows);
        return false;
    }
    *out = rows;
    return true;
}

static struct kb_rows *rows_make(int fd, bool ours, const char *name) {
    struct kb_rows *rows = calloc(1, sizeof *rows);
    if (!rows)
        kb_out_of_memory();
    rows->fd = fd;
    rows->ours = ours;
    rows->name = strdup(name);
    if (!rows->name)
        kb_out_of_memory();
    return rows;
}

bool kb_rows_of_journal(struct kb_journal *journal, struct kb_rows **out,
                        struct kb_err *err) {
    const char *path = kb_journal_path(journal);
    return start(rows_make(kb_journal_fd(journal), false, path ? path : "the journal"), out,
                 err);
}

bool kb_rows_open(const char *path, struct kb_rows **out, struct kb_err *err) {
    if (!kb_is_file(path))
        return kb_fail(err, KB_INPUT, "%s: no such regular file", path);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return kb_fail(err, KB_IO, "%s: cannot open: %s", path, strerror(errno));
    return start(rows_make(fd, true, path), out, err);
}

/* ---- rows ------------------------------------------------------------------------------
 */

static void set_note(struct kb_rows *rows) {
    struct kb_buf text = {0};
    kb_buf_printf(&text, "%s:%d: the last line is torn, and left out", rows->name,
                  rows->line_number);
    free(rows->note);
    rows->note = text.data;
}

/* The line that ends a journal; anything after it is damage. */
static bool take_end(struct kb_rows *rows, struct kb_err *err) {
    rows->ended = true;
    kb_json_free(&rows->end);
    if (!parse_line(rows, &rows->end, err))
        return false;
    int number = rows->line_number;
    struct kb_err why = {0};
    if (next_line(rows, &why))
        return kb_fail(err, KB_INPUT, "%s:%d: a line after the end of the report",
                       rows->name, number + 1);
    if (why.kind)
        kb_fail(err, why.kind, "%s", why.msg);
    return false; /* no row */
}

bool kb_rows_next(struct kb_rows *rows, struct kb_arena *arena, struct kb_row *row,
                  struct kb_err *err) {
    struct kb_err why = {0};
    if (rows->ended || !next_line(rows, err))
        return false;
    if (kb_row_parse("row", kb_rows_line(rows), rows->line.len, arena, row, &why))
        return true;
    rows->ended = true;
    struct kb_json doc = {0};
    struct kb_err ignored = {0};
    bool is_json =
        kb_json_parse(&doc, "line", kb_rows_line(rows), rows->line.len, &ignored);
    bool is_end = is_json && kb_json_get(doc.root, "complete");
    kb_json_free(&doc);
    if (is_end)
        return take_end(rows, err);
    if (rows->line_is_torn && !is_json) {
        set_note(rows);
        return false;
    }
    return kb_fail(err, KB_INPUT, "%s:%d: damaged: %s", rows->name, rows->line_number,
                   why.msg);
}

void kb_rows_rewind(struct kb_rows *rows) {
    struct kb_err err = {0};
    rows->at = 0;
    rows->taken = 0;
    kb_buf_clear(&rows->text);
    rows->no_more = rows->ended = false;
    rows->line_number = 0;
    next_line(rows,
              &err); /* the header, which was read before; an error comes back in next */
}

void kb_rows_close(struct kb_rows *rows) {
    if (!rows)
        return;
    if (rows->ours)
        close(rows->fd);
    kb_json_free(&rows->header);
    kb_json_free(&rows->end);
    kb_buf_free(&rows->text);
    kb_buf_free(&rows->line);
    free(rows->name);
    free(rows->note);
    free(rows);
}
