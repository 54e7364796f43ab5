/* markup.c - text for XML and HTML: whatever a name holds, it stays text. */
#include "report/parts.h"

#include <string.h>

/* U+FFFE and U+FFFF, which no XML may hold. */
static bool is_no_character(const char *p) {
    return memcmp(p, "\xef\xbf\xbe", 3) == 0 || memcmp(p, "\xef\xbf\xbf", 3) == 0;
}

/* `text` is free of control characters and valid UTF-8. */
static void add(const char *text, struct kb_buf *out) {
    for (const char *p = text; *p; p++) {
        if (strchr("&<>\"'", (unsigned char)*p)) {
            kb_buf_printf(out, "&#%d;", *p);
        } else if (*p == '\xef' && is_no_character(p)) {
            kb_buf_printf(out, "\\xef\\xbf\\x%02x", (unsigned char)p[2]);
            p += 2;
        } else {
            kb_buf_putc(out, *p);
        }
    }
}

void kb_markup(const char *text, struct kb_buf *out) {
    struct kb_buf safe = {0};
    kb_escape(&safe, text, strlen(text));
    add(kb_buf_text(&safe), out);
    kb_buf_free(&safe);
}

void kb_markup_lines(const char *text, struct kb_buf *out) {
    struct kb_buf safe = {0};
    kb_escape_lines(&safe, text, strlen(text));
    add(kb_buf_text(&safe), out);
    kb_buf_free(&safe);
}
