/* github.c - what GitHub Actions shows of a run: annotations, and the summary of the job.
 */
#include "report/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* GitHub drops a summary that is larger than 1 MiB as a whole. */
enum { SUMMARY_MAX = 900 << 10 };

/* ---- annotations -----------------------------------------------------------------------
 */

/* Of a workflow command: what would end it, or begin another one, is encoded. */
static void add_data(const char *text, bool property, struct kb_buf *out) {
    struct kb_buf safe = {0};
    kb_escape_lines(&safe, text, strlen(text));
    for (const char *p = kb_buf_text(&safe); *p; p++) {
        if (strchr("%\r\n", (unsigned char)*p) ||
            (property && strchr(":,", (unsigned char)*p)))
            kb_buf_printf(out, "%%%02X", (unsigned char)*p);
        else
            kb_buf_putc(out, *p);
    }
    kb_buf_free(&safe);
}

void kb_github_error(const char *title, const char *text, struct kb_buf *out) {
    kb_buf_puts(out, "::error title=");
    add_data(title, true, out);
    kb_buf_puts(out, "::");
    add_data(text, false, out);
    kb_buf_putc(out, '\n');
}

/* The runner trims lines, of more than ASCII blanks, and finds its older commands anywhere
 * in them: indentation does not hide either. */
void kb_github_plain(const char *text, size_t len, struct kb_buf *out) {
    bool first = true; /* nothing but space in this line yet */
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool more = i + 1 < len;
        kb_buf_putc(out, text[i]);
        if (more && ((first && c == ':' && text[i + 1] == ':') ||
                     (c == '#' && text[i + 1] == '#' && i + 2 < len && text[i + 2] == '[')))
            kb_buf_putc(out, ' ');
        first = c == '\n' || c == '\r' || (first && (c <= ' ' || c >= 0x7f));
    }
}

struct annotations {
    struct kb_buf *out;
    int64_t n, shown, max;
};

static void annotate(void *context, const struct kb_row *row) {
    struct annotations *a = context;
    struct kb_buf title = {0}, text = {0};
    /* The last place is kept for those that have none. */
    if (!kb_row_is_repeated(row) || (a->n > a->max && a->shown + 1 >= a->max))
        return;
    a->shown++;
    kb_buf_printf(&title, "%s %s", kb_verdict_word(kb_reason_verdict(row->reason)),
                  row->case_id);
    kb_row_words(row, &text);
    kb_buf_printf(&text, "\n%s", row->repeat);
    kb_github_error(kb_buf_text(&title), kb_buf_text(&text), a->out);
    kb_buf_free(&title);
    kb_buf_free(&text);
}

bool kb_github_annotations(struct kb_rows *rows, int max, struct kb_buf *out,
                           struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_survey *s = kb_arena_alloc(&arena, sizeof *s);
    struct annotations a = {.out = out, .max = max};
    bool ok = kb_survey_rows(rows, s, err);
    a.n = ok ? kb_survey_repeated(s) : 0;
    ok = ok && (!a.n || kb_rows_visit(rows, NULL, annotate, &a, err));
    if (ok && a.shown < a.n)
        kb_github_error("kbench",
                        kb_arena_printf(&arena,
                                        "and %lld more rows, in the log and the summary",
                                        (long long)(a.n - a.shown)),
                        out);
    kb_arena_free(&arena);
    return ok;
}

/* ---- the summary -----------------------------------------------------------------------
 */

bool kb_github_append(const char *path, const struct kb_buf *text, struct kb_err *err) {
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return kb_fail(err, KB_IO, "%s: cannot open: %s", path, strerror(errno));
    struct kb_buf plain = {0}; /* who prints the file would print commands */
    kb_github_plain(kb_buf_text(text), text->len, &plain);
    bool ok = kb_write_all(fd, kb_buf_text(&plain), plain.len);
    if (!ok)
        kb_fail(err, KB_IO, "%s: cannot write: %s", path, strerror(errno));
    close(fd);
    kb_buf_free(&plain);
    return ok;
}

bool kb_github_summary(const char *path, struct kb_rows *rows, struct kb_err *err) {
    struct kb_buf text = {0};
    bool ok = kb_markdown_text(rows, SUMMARY_MAX, &text, err);
    if (ok && text.len)
        kb_buf_putc(&text, '\n');
    ok = ok && kb_github_append(path, &text, err);
    kb_buf_free(&text);
    return ok;
}
