/* complain.c - all errors of a file at once, in the form that editors and CI pick up. */
#include "sys.h"

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

void kb_complaints_free(struct kb_complaints *c) {
    kb_buf_free(&c->text);
    *c = (struct kb_complaints){0};
}
