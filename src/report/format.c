/* format.c - the forms of a report, and where they are written to. */
#include "report/parts.h"

#include <errno.h>
#include <string.h>

enum { SINK_BYTES = 256 << 10 };

static const struct {
    const char *word, *help;
    kb_writer *write;
} formats[] = {
#define X(id, word, help, writer) [id] = {word, help, writer},
    KB_FORMATS(X)
#undef X
};

const char *kb_format_word(enum kb_format format) {
    return formats[format].word;
}

const char *kb_format_help(enum kb_format format) {
    return formats[format].help;
}

bool kb_format_parse(const char *word, enum kb_format *out) {
    for (size_t i = 0; i < KB_COUNT(formats); i++) {
        if (kb_streq(formats[i].word, word)) {
            *out = (enum kb_format)i;
            return true;
        }
    }
    return false;
}

bool kb_format_of_file(const char *path, enum kb_format *out) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    return dot && dot != name && kb_format_parse(dot + 1, out);
}

/* ---- sinks -----------------------------------------------------------------------------
 */

void kb_sink_flush(struct kb_sink *sink) {
    if (!sink->failed && sink->text.len) {
        bool ok = true;
        if (sink->fd < 0)
            ok = kb_file_add(&sink->file, sink->text.data, sink->text.len, &sink->err);
        else if (!kb_write_all(sink->fd, sink->text.data, sink->text.len))
            ok = kb_fail(&sink->err, KB_IO, "%s: cannot write: %s", sink->name,
                         strerror(errno));
        sink->failed = !ok;
    }
    kb_buf_clear(&sink->text);
}

void kb_sink_room(struct kb_sink *sink) {
    if (sink->text.len >= SINK_BYTES)
        kb_sink_flush(sink);
}

/* Everything from the first row on; an error of the sink is told where there is no other.
 */
static bool write_rows(enum kb_format format, struct kb_sink *sink, struct kb_rows *rows,
                       struct kb_err *err) {
    kb_rows_rewind(rows);
    bool ok = formats[format].write(rows, sink, err);
    kb_sink_flush(sink);
    if (ok && sink->failed)
        ok = kb_fail(err, sink->err.kind, "%s", sink->err.msg);
    kb_buf_free(&sink->text);
    return ok;
}

bool kb_report_write(enum kb_format format, const char *path, struct kb_rows *rows,
                     struct kb_err *err) {
    struct kb_sink sink = {.fd = -1, .name = path};
    if (!kb_file_begin(path, &sink.file, err))
        return false;
    if (write_rows(format, &sink, rows, err))
        return kb_file_commit(&sink.file, err);
    kb_file_abandon(&sink.file);
    return false;
}

bool kb_report_print(enum kb_format format, int fd, const char *name, struct kb_rows *rows,
                     struct kb_err *err) {
    struct kb_sink sink = {.fd = fd, .name = name};
    return write_rows(format, &sink, rows, err);
}
