/* page.c - blocks of a help page, on a terminal and in troff's man macros. */
#include "cli/page.h"
#include "cli/terminal.h"

#include <string.h>

enum { NAME_WIDTH = 15, TROFF_WIDTH = 70 };

int kb_page_width_here(void) {
    int width = kb_terminal_width();
    return width > 0 && width < KB_PAGE_WIDTH ? width : KB_PAGE_WIDTH;
}

static int width_of(const struct kb_page *page) {
    return page->width ? page->width : KB_PAGE_WIDTH;
}

static bool is_troff(const struct kb_page *page) {
    return page->form == KB_PAGE_TROFF;
}

/* A block of its own: on a terminal a blank line lies before it. */
static void block(struct kb_page *page) {
    if (!is_troff(page) && page->begun)
        kb_buf_putc(page->out, '\n');
    page->begun = true;
    page->n_entries = 0;
}

/* ---- troff -----------------------------------------------------------------------------
 */

/* What troff would read as something else, or show as another character than that which
 * is typed. */
static const char *troff_char(char c) {
    switch (c) {
    case '\\':
        return "\\e";
    case '-':
        return "\\-";
    case '\'':
        return "\\(aq";
    case '`':
        return "\\(ga";
    case '^':
        return "\\(ha";
    case '~':
        return "\\(ti";
    case '"':
        return "\\(dq";
    default:
        return NULL;
    }
}

void kb_troff_text(const char *text, struct kb_buf *out) {
    for (const char *at = text; *at; at++) {
        const char *instead = troff_char(*at);
        bool starts = at == text || at[-1] == '\n';
        if (starts && *at == '.')
            kb_buf_puts(out, "\\&");
        if (instead)
            kb_buf_puts(out, instead);
        else
            kb_buf_putc(out, *at);
    }
}

/* Flowing text: lines as short as troff's own readers like them. */
static void troff_flow(const char *before, const char *text, struct kb_buf *out) {
    struct kb_buf lines = {0};
    kb_wrap(text, 0, 0, TROFF_WIDTH, &lines);
    kb_buf_puts(out, before);
    kb_troff_text(kb_buf_text(&lines), out);
    kb_buf_putc(out, '\n');
    kb_buf_free(&lines);
}

static void troff_line(const char *before, const char *text, const char *after,
                       struct kb_buf *out) {
    kb_buf_puts(out, before);
    kb_troff_text(text, out);
    kb_buf_puts(out, after);
}

/* ---- blocks ----------------------------------------------------------------------------
 */

void kb_page_section(struct kb_page *page, const char *title) {
    if (is_troff(page))
        troff_line(".SH \"", title, "\"\n", page->out);
    page->begun = false; /* a paragraph of its own already */
    page->n_entries = 0;
}

void kb_page_usage(struct kb_page *page, const char *command) {
    if (page->no_usage)
        return;
    bool begun = page->begun;
    block(page);
    if (is_troff(page))
        troff_line(begun ? ".PP\n\\fB" : "\\fB", command, "\\fR\n", page->out);
    else
        kb_buf_printf(page->out, "%s\n", command);
}

void kb_page_heading(struct kb_page *page, const char *text) {
    block(page);
    if (is_troff(page))
        troff_line(".SS \"", *text ? text : "other", "\"\n", page->out);
    else if (*text)
        kb_buf_printf(page->out, "%s\n", text);
    page->begun = !is_troff(page);
    page->n_entries = 1; /* entries follow a heading closely */
}

void kb_page_text(struct kb_page *page, const char *text) {
    bool begun = page->begun;
    block(page);
    if (is_troff(page)) {
        troff_flow(begun ? ".PP\n" : "", text, page->out);
        return;
    }
    kb_wrap(text, 0, 0, width_of(page), page->out);
    kb_buf_putc(page->out, '\n');
}

static void indented(const char *lines, struct kb_buf *out) {
    for (const char *line = lines; *line;) {
        size_t len = strcspn(line, "\n");
        kb_buf_puts(out, len ? "  " : "");
        kb_buf_add(out, line, len);
        kb_buf_putc(out, '\n');
        line += len + (line[len] == '\n');
    }
}

void kb_page_example(struct kb_page *page, const char *lines) {
    bool begun = page->begun;
    block(page);
    if (is_troff(page))
        troff_line(begun ? ".PP\n.RS 2\n.nf\n" : ".RS 2\n.nf\n", lines, ".fi\n.RE\n",
                   page->out);
    else
        indented(lines, page->out);
}

static void troff_entry(const struct kb_page *page, const char *name, const char *arg,
                        const char *help) {
    troff_line(".TP\n\\fB", name, "\\fR", page->out);
    if (*arg)
        troff_line(" \\fI", arg, "\\fR", page->out);
    troff_flow("\n", help, page->out);
}

void kb_page_entry(struct kb_page *page, const char *name, const char *arg,
                   const char *help) {
    int width = page->name_width ? page->name_width : NAME_WIDTH;
    if (!page->n_entries)
        block(page);
    page->begun = true;
    page->n_entries++;
    if (is_troff(page)) {
        troff_entry(page, name, arg, help);
        return;
    }
    if (2 * width > width_of(page)) /* a narrow terminal: the help below the names */
        width = 6;
    int columns = kb_columns(name) + (*arg ? 1 + kb_columns(arg) : 0);
    bool fits = columns < width - 1;
    kb_buf_printf(page->out, "  %s%s%s%*s", name, *arg ? " " : "", arg,
                  fits ? width - columns : 0, "");
    if (!fits)
        kb_buf_printf(page->out, "\n  %*s", width, "");
    kb_wrap(help, width + 2, width + 2, width_of(page), page->out);
    kb_buf_putc(page->out, '\n');
}
