/* terminal.c - standard output and error: rows, notes, the progress line, the last line. */
#include "cli/github.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

const struct kb_exit_status kb_exits[] = {
    {0, "fine"},
    {1, "wrong: a case failed"},
    {2, "worse than the baseline: slower, or right with a larger error"},
    {3,
     "no verdict: mistrusted, not comparable, or nothing checked because all was skipped"},
    {4, "bad input, or no case selected"},
    {5, "build: a kernel or its contract"},
    {6, "device error, crash or timeout, or no such device"},
    {7, "file or memory"},
    {130, "interrupted (143: terminated); the report holds what was done"},
};
const size_t kb_exit_count = KB_COUNT(kb_exits);

/* Much of it is others' words: names, what compilers said, what kernels printed. */
static bool write_text(int fd, const char *text, size_t len) {
    struct kb_buf plain = {0};
    if (!kb_in_github())
        return kb_write_all(fd, text, len);
    kb_github_plain(text, len, &plain);
    bool ok = kb_write_all(fd, kb_buf_text(&plain), plain.len);
    kb_buf_free(&plain);
    return ok;
}

/* ---- widths ----------------------------------------------------------------------------
 */

/* COLUMNS, else what the terminal says, else 0: no limit where no terminal reads. */
static int width_of(int fd) {
    const char *columns = getenv("COLUMNS");
    struct winsize size;
    int64_t width;
    if (columns && kb_parse_i64(columns, &width) && width >= 20 && width <= 10000)
        return (int)width;
    if (isatty(fd) && ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
        return size.ws_col;
    return 0;
}

/* ---- standard error --------------------------------------------------------------------
 * Nothing can be said where it fails, so its failures are not looked at. */

static void say(const char *text, size_t len) {
    bool said = write_text(STDERR_FILENO, text, len);
    (void)said;
}

/* Lines of words, broken where a terminal reads them; others get each as one line. */
static void say_lines(const struct kb_buf *text, int indent) {
    struct kb_buf folded = {0};
    kb_fold(kb_buf_text(text), indent, isatty(STDERR_FILENO) ? width_of(STDERR_FILENO) : 0,
            &folded);
    say(kb_buf_text(&folded), folded.len);
    kb_buf_free(&folded);
}

static const char erase[] = "\r\033[K";

void kb_terminal_progress_end(struct kb_terminal *terminal) {
    if (terminal->progress_shown)
        say(erase, sizeof erase - 1);
    terminal->progress_shown = false;
}

void kb_terminal_progress(struct kb_terminal *terminal, const char *text) {
    struct kb_buf line = {0};
    if (!terminal->progress_width)
        return;
    kb_buf_puts(&line, erase);
    kb_escape(&line, text, strlen(text));
    /* Ids are ASCII; where a cut falls into an escape does no harm. */
    kb_buf_cut(&line, sizeof erase - 1 + (size_t)terminal->progress_width - 1);
    say(line.data, line.len);
    terminal->progress_shown = true;
    kb_buf_free(&line);
}

enum { NOTE = 6 }; /* "note: " */

void kb_terminal_note(struct kb_terminal *terminal, const char *fmt, ...) {
    struct kb_buf text = {0}, line = {0};
    va_list args;
    va_start(args, fmt);
    kb_buf_vprintf(&text, fmt, args);
    va_end(args);
    kb_terminal_progress_end(terminal);
    kb_buf_puts(&line, "note: ");
    kb_escape_lines(&line, kb_buf_text(&text), text.len);
    say_lines(&line, NOTE);
    kb_buf_free(&text);
    kb_buf_free(&line);
}

int kb_last_line(const char *before, int status, const char *why) {
    struct kb_buf line = {0};
    kb_escape(&line, before, strlen(before));
    if (status) {
        kb_buf_printf(&line, "%sexit %d: ", line.len ? "; " : "", status);
        kb_escape(&line, why, strlen(why)); /* one line, whatever a report holds */
    }
    say_lines(&line, 0);
    kb_buf_free(&line);
    return status;
}

int kb_last_line_of_gate(const struct kb_buf *before, int status,
                         const struct kb_buf *why) {
    struct kb_buf line = {0};
    kb_buf_puts(&line, kb_buf_text(before));
    if (!status && why->len)
        kb_buf_printf(&line, "%s%s", line.len ? "; " : "", kb_buf_text(why));
    kb_last_line(kb_buf_text(&line), status, kb_buf_text(why));
    kb_buf_free(&line);
    return status;
}

int kb_exit(int status, const char *fmt, ...) {
    struct kb_buf text = {0};
    va_list args;
    va_start(args, fmt);
    kb_buf_vprintf(&text, fmt, args);
    va_end(args);
    kb_last_line("", status, kb_buf_text(&text));
    kb_buf_free(&text);
    return status;
}

int kb_exit_complaints(struct kb_complaints *c) {
    int n = c->count;
    kb_complaints_sort(c);
    say(kb_buf_text(&c->text), c->text.len);
    kb_complaints_free(c);
    return kb_exit(4, "%d error%s, nothing was run", n, n == 1 ? "" : "s");
}

/* ---- standard output -------------------------------------------------------------------
 */

void kb_terminal_print(struct kb_terminal *terminal, struct kb_buf *text) {
    kb_terminal_progress_end(terminal);
    if (!terminal->failed && !write_text(STDOUT_FILENO, kb_buf_text(text), text->len)) {
        terminal->failed = true;
        kb_fail(&terminal->err, KB_IO, "standard output: cannot write: %s",
                strerror(errno));
    }
    kb_buf_clear(text);
}

int kb_print_all(const struct kb_buf *text) {
    if (write_text(STDOUT_FILENO, kb_buf_text(text), text->len))
        return 0;
    return kb_exit(7, "standard output: cannot write: %s", strerror(errno));
}

/* ---- looks -----------------------------------------------------------------------------
 */

int kb_terminal_width(void) {
    return width_of(STDOUT_FILENO);
}

static bool wants_color(const struct kb_options *options) {
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    if (options->color != KB_COLOR_AUTO)
        return options->color == KB_COLOR_ALWAYS;
    return isatty(STDOUT_FILENO) && !(no_color && *no_color) &&
           !(term && kb_streq(term, "dumb"));
}

void kb_terminal_open(const struct kb_options *options, struct kb_terminal *terminal) {
    const char *term = getenv("TERM");
    bool dumb = term && kb_streq(term, "dumb");
    *terminal = (struct kb_terminal){
        .look = {.width = width_of(STDOUT_FILENO),
                 .color = wants_color(options),
                 .verbose = options->verbose},
    };
    if (isatty(STDERR_FILENO) && !options->quiet && !dumb) {
        int width = width_of(STDERR_FILENO);
        terminal->progress_width = width ? width : 80; /* a terminal that does not say */
    }
}
