/* complain.c - all errors of a file at once, in the form that editors and CI pick up. */
#include "sys.h"

#include <stdio.h>
#include <string.h>

enum { KEPT = 50 };

bool kb_complaints_full(const struct kb_complaints *c) {
    return c->count >= KEPT;
}

void kb_complain(struct kb_complaints *c, const char *file, int line, int col,
                 const char *path, const char *fmt, ...) {
    bool full = kb_complaints_full(c);
    c->count++;
    if (full)
        return;
    struct kb_buf text = {0};
    va_list args;
    if (file && line > 0)
        kb_buf_printf(&text, "%s:%d:%d: ", file, line, col);
    else if (file)
        kb_buf_printf(&text, "%s: ", file);
    kb_buf_puts(&text, "error: ");
    if (path && *path)
        kb_buf_printf(&text, "%s: ", path);
    va_start(args, fmt);
    kb_buf_vprintf(&text, fmt, args);
    va_end(args);
    /* One complaint is one line, whatever a name in it holds. */
    kb_escape(&c->text, kb_buf_text(&text), text.len);
    kb_buf_putc(&c->text, '\n');
    kb_buf_free(&text);
}

void kb_complain_option(struct kb_complaints *c, const char *option, const char *fmt, ...) {
    struct kb_buf what = {0};
    va_list args;
    va_start(args, fmt);
    kb_buf_vprintf(&what, fmt, args);
    va_end(args);
    kb_complain(c, "kbench", 0, 0, option, "%s", kb_buf_text(&what));
    kb_buf_free(&what);
}

/* ---- in the order of the file ----------------------------------------------------------
 */

struct place {
    const char *text; /* the complaint */
    size_t len, file; /* of the line, and of the file's name; 0: without a place */
    long line, col;
};

/* "FILE:LINE:COL" in front of ": error: ". */
static struct place place_of(const char *text, size_t len) {
    struct place p = {.text = text, .len = len};
    const char *end = strstr(text, ": error: ");
    if (!end || end >= text + len)
        return p;
    const char *col = end, *line;
    while (col > text && col[-1] != ':')
        col--;
    line = col > text ? col - 1 : text;
    while (line > text && line[-1] != ':')
        line--;
    if (line == text || sscanf(line, "%ld:%ld", &p.line, &p.col) != 2)
        return p;
    p.file = (size_t)(line - text);
    return p;
}

static bool stands_behind(const struct place *a, const struct place *b) {
    return a->file && a->file == b->file && !strncmp(a->text, b->text, a->file) &&
           (a->line > b->line || (a->line == b->line && a->col > b->col));
}

void kb_complaints_sort(struct kb_complaints *c) {
    struct place places[KEPT];
    struct kb_buf sorted = {0};
    size_t n = 0;
    for (const char *text = kb_buf_text(&c->text); *text && n < KEPT;) {
        size_t len = strcspn(text, "\n") + 1;
        struct place p = place_of(text, len);
        size_t at = n++;
        for (; at > 0 && stands_behind(&places[at - 1], &p); at--)
            places[at] = places[at - 1];
        places[at] = p;
        text += len;
    }
    for (size_t i = 0; i < n; i++)
        kb_buf_add(&sorted, places[i].text, places[i].len);
    kb_buf_free(&c->text);
    c->text = sorted;
}

void kb_complaints_free(struct kb_complaints *c) {
    kb_buf_free(&c->text);
    *c = (struct kb_complaints){0};
}
