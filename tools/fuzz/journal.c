/* journal.c - a journal as a file, read: again after a rewind, cut short at some byte, and
 * as every form of report that is made of it. */
#include "fuzz.h"
#include "report.h"

/* What a journal comes to: its rows as text, how it ended. */
struct reading {
    struct kb_buf rows;
    size_t n;
    bool ended, torn;
    struct kb_err err; /* kind KB_NO_ERROR: it was read to its end */
};

static void reading_free(struct reading *r) {
    kb_buf_free(&r->rows);
    *r = (struct reading){0};
}

static void read_rows(struct kb_rows *rows, struct reading *out) {
    struct kb_arena arena = {0};
    struct kb_row row;
    *out = (struct reading){0};
    while (kb_rows_next(rows, &arena, &row, &out->err)) {
        kb_row_print(&row, &out->rows);
        kb_buf_putc(&out->rows, '\n');
        kb_arena_reset(&arena);
        out->n++;
    }
    out->ended = kb_rows_end(rows) != NULL && !out->err.kind;
    out->torn = kb_rows_note(rows) != NULL;
    kb_arena_free(&arena);
}

/* One that is cut short holds no row that the whole does not, and is told from a whole one
 * unless it lacks no more than the last newline. */
static void want_prefix(const void *data, size_t size, const struct reading *whole) {
    char path[32];
    struct kb_err err = {0};
    struct kb_rows *rows;
    struct reading part;
    int fd = file_of(data, size, path);
    if (kb_rows_open(path, &rows, &err)) {
        read_rows(rows, &part);
        if (part.n > whole->n ||
            (part.rows.len && memcmp(part.rows.data, whole->rows.data, part.rows.len) != 0))
            DISAGREE("the first %zu bytes have %zu rows, the whole has %zu", size, part.n,
                     whole->n);
        if (part.ended && !whole->ended && !whole->err.kind)
            DISAGREE("the first %zu bytes have an end, the whole has none", size);
        reading_free(&part);
        kb_rows_close(rows);
    } else {
        want_message(&err);
    }
    close(fd);
}

static size_t count_lines(const struct kb_buf *text) {
    size_t n = 0;
    for (size_t i = 0; i < text->len; i++)
        n += text->data[i] == '\n';
    return n;
}

static void print(enum kb_format format, struct kb_rows *rows, struct kb_buf *out) {
    char path[32];
    struct kb_err err = {0};
    int fd = file_of(NULL, 0, path);
    kb_rows_rewind(rows);
    if (!kb_report_print(format, fd, "fuzz", rows, &err))
        DISAGREE("as %s: %s", kb_format_word(format), err.msg);
    if (!kb_file_read(path, 256 << 20, out, &err))
        DISAGREE("%s", err.msg);
    close(fd);
}

static void want_json(const struct kb_buf *text, size_t n) {
    struct kb_json doc = {0};
    struct kb_err err = {0};
    if (!kb_json_parse(&doc, "report", kb_buf_text(text), text->len, &err))
        DISAGREE("the report is no JSON: %s", err.msg);
    const cJSON *rows = kb_json_get(doc.root, "rows");
    if (!cJSON_IsArray(rows) || cJSON_GetArraySize(rows) != (int)n)
        DISAGREE("the report has %d rows, the journal %zu", cJSON_GetArraySize(rows), n);
    kb_json_free(&doc);
}

/* The journal that is made of a journal is the same one when it is made of itself. */
static void want_journal(const struct kb_buf *text, const struct reading *whole) {
    char path[32];
    struct kb_err err = {0};
    struct kb_rows *rows;
    struct reading again;
    struct kb_buf printed = {0};
    int fd = file_of(text->data, text->len, path);
    if (!kb_rows_open(path, &rows, &err))
        DISAGREE("the journal of the journal: %s", err.msg);
    read_rows(rows, &again);
    if (again.err.kind || again.torn || again.ended != whole->ended)
        DISAGREE("the journal of the journal ends otherwise: %s", again.err.msg);
    want_same(&whole->rows, &again.rows, "rows of the journal of the journal");
    print(KB_FORMAT_JSONL, rows, &printed);
    want_same(text, &printed, "a journal of itself");
    kb_buf_free(&printed);
    reading_free(&again);
    kb_rows_close(rows);
    close(fd);
}

static void want_reports(struct kb_rows *rows, const struct reading *whole) {
    for (int format = 0; format < KB_FORMAT_COUNT; format++) {
        struct kb_buf text = {0};
        print((enum kb_format)format, rows, &text);
        if (format == KB_FORMAT_JSON)
            want_json(&text, whole->n);
        else if (format == KB_FORMAT_JSONL)
            want_journal(&text, whole);
        else
            want_clean(kb_buf_text(&text), text.len, true);
        if (format == KB_FORMAT_CSV && count_lines(&text) != whole->n + 1)
            DISAGREE("%zu lines of CSV for %zu rows", count_lines(&text), whole->n);
        kb_buf_free(&text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[32];
    struct kb_err err = {0};
    struct kb_rows *rows;
    struct reading whole, again;
    int fd = file_of(data, size, path);
    if (!kb_rows_open(path, &rows, &err)) {
        want_message(&err);
        close(fd);
        return 0;
    }
    read_rows(rows, &whole);
    kb_rows_rewind(rows);
    read_rows(rows, &again);
    want_same(&whole.rows, &again.rows, "rows, and rows after a rewind");
    if (whole.err.kind != again.err.kind || whole.ended != again.ended)
        DISAGREE("ends otherwise after a rewind: %s, %s", whole.err.msg, again.err.msg);
    struct kb_hash hash = kb_hash_of(data, size);
    want_prefix(data, (hash.bytes[0] | (size_t)hash.bytes[1] << 8) % (size + 1), &whole);
    want_prefix(data, size - 1 - hash.bytes[2] % size, &whole);
    if (!whole.err.kind)
        want_reports(rows, &whole);
    else
        want_message(&whole.err);
    reading_free(&whole);
    reading_free(&again);
    kb_rows_close(rows);
    close(fd);
    return 0;
}
