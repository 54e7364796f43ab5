/* host_report.c - sanitizers' reports and signals in one line, with the line of the .cu.
 *
 * The text is the runner's and the kernel's own output, so that a kernel can make up a
 * report: it fails by it, nothing more. Lines that begin with "kbench-" are the runner's.
 */
#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* ---- lines ------------------------------------------------------------------------- */

static const char *next_line(const char *line) {
    line += strcspn(line, "\n");
    return *line ? line + 1 : line;
}

static bool line_has(const char *line, const char *word) {
    size_t len = strcspn(line, "\n");
    return memmem(line, len, word, strlen(word)) != NULL;
}

/* The last line that begins with `head`: what follows it, or NULL. */
static const char *last_line(const char *log, const char *head) {
    const char *found = NULL;
    for (const char *line = log; *line; line = next_line(line))
        if (kb_starts_with(line, head))
            found = line + strlen(head);
    return found;
}

/* Field `n` of a line whose fields are divided by |. */
static void add_field(const char *line, int n, struct kb_buf *out) {
    for (; n > 0; n--) {
        line += strcspn(line, "|\n");
        if (*line != '|')
            return;
        line++;
    }
    kb_buf_add(out, line, strcspn(line, "|\n"));
}

/* ---- places ------------------------------------------------------------------------ */

/* The "mine.cu:41" of a line that holds ".../mine.cu:41:7", if it is one of the files. */
static bool add_place(const char *line, const struct kb_strings *files,
                      struct kb_buf *out) {
    size_t len = strcspn(line, "\n");
    for (size_t i = 0; i < files->count; i++) {
        const char *slash = strrchr(files->items[i], '/');
        const char *name = slash ? slash + 1 : files->items[i];
        size_t n = strlen(name);
        for (const char *at = line; (at = memmem(at, len - (size_t)(at - line), name, n));
             at++) {
            size_t digits = at[n] == ':' ? strspn(at + n + 1, "0123456789") : 0;
            if (digits == 0 || (at > line && at[-1] != '/' && at[-1] != ' '))
                continue;
            kb_buf_add(out, at, n + 1 + digits);
            return true;
        }
    }
    return false;
}

/* Whether the place that `out` ends in since `from` lies in the .cu itself. */
static bool is_in_source(const struct kb_buf *out, size_t from,
                         const struct kb_strings *files) {
    return kb_starts_with(out->data + from, files->items[0]);
}

/* Of the stack after `line` the innermost frame in the kernel's own files, and if that is a
 * header, the innermost one in the .cu: "kb.cuh:24 from mine.cu:63". */
static bool add_frame(const char *line, const struct kb_strings *files,
                      struct kb_buf *out) {
    const struct kb_strings source = {.items = files->items, .count = 1};
    bool begun = false, found = false;
    size_t from = out->len;
    for (line = next_line(line); *line; line = next_line(line)) {
        const char *text = line + strspn(line, " ");
        struct kb_buf place = {0};
        if (*text != '#') {
            if (begun)
                break;
            continue;
        }
        begun = true;
        if (add_place(text, found ? &source : files, &place)) {
            kb_buf_printf(out, "%s%s", found ? " from " : "", place.data);
            kb_buf_free(&place);
            if (found || is_in_source(out, from, files))
                return true;
            found = true;
        }
    }
    return found;
}

static void add_thread(const char *log, struct kb_buf *out) {
    const char *where = last_line(log, "kbench-where: ");
    if (!where)
        return;
    kb_buf_puts(out, ", ");
    add_field(where, 0, out);
}

/* ---- address ----------------------------------------------------------------------- */

static bool is_poison_kind(const char *report) {
    return line_has(report, "use-after-poison") || line_has(report, "unknown-crash");
}

static void address_line(const char *log, const char *report,
                         const struct kb_strings *files, struct kb_buf *out) {
    const char *kind = strstr(report, "AddressSanitizer: ") + strlen("AddressSanitizer: ");
    const char *access = strstr(report, "\nREAD of size ");
    const char *write = strstr(report, "\nWRITE of size ");
    const char *stack = report, *where = last_line(log, "kbench-where: ");
    bool writes = write && (!access || write < access);
    if (line_has(report, "SEGV")) {
        const char *cause = strstr(report, "caused by a "), *at = strstr(report, " 0x");
        kb_buf_printf(out, "wild %s",
                      cause && kb_starts_with(cause + 12, "WRITE") ? "write" : "read");
        if (at && at < next_line(report))
            kb_buf_printf(out, " at address 0x%llx", strtoull(at, NULL, 16));
    } else if (access || write) {
        access = (writes ? write : access) + 1;
        stack = access;
        kb_buf_puts(out, "out-of-bounds ");
        if (!is_poison_kind(report)) { /* "stack-buffer-overflow": of a local array */
            kb_buf_add(out, kind, strcspn(kind, " \n"));
            kb_buf_putc(out, ' ');
        }
        const char *size = strstr(access, "size ") + 5;
        kb_buf_printf(out, "%s of %.*s bytes", writes ? "write" : "read",
                      (int)strspn(size, "0123456789"), size);
    } else {
        kb_buf_add(out, kind, strcspn(kind, "\n"));
    }
    if (where && is_poison_kind(report)) {
        kb_buf_puts(out, ", ");
        add_field(where, 1, out);
    }
    kb_buf_puts(out, ", at ");
    if (!add_frame(stack, files, out))
        kb_buf_puts(out, "no line of the kernel");
    add_thread(log, out);
}

/* ---- undefined --------------------------------------------------------------------- */

static void undefined_line(const char *log, const char *report,
                           const struct kb_strings *files, struct kb_buf *out) {
    const char *line = report;
    while (line > log && line[-1] != '\n')
        line--;
    const char *text = report + strlen("runtime error: ");
    kb_buf_add(out, text, strcspn(text, "\n"));
    kb_buf_puts(out, ", at ");
    if (!add_place(line, files, out) && !add_frame(line, files, out))
        kb_buf_add(out, line, (size_t)(report - line));
    add_thread(log, out);
}

/* ---- thread ------------------------------------------------------------------------ */

/* "kbench-memory: 0xADDRESS BYTES NAME": which of them holds `address`. */
static void add_memory(const char *log, unsigned long long address, struct kb_buf *out) {
    static const char head[] = "kbench-memory: ";
    for (const char *line = log; *line; line = next_line(line)) {
        if (!kb_starts_with(line, head))
            continue;
        char *end;
        unsigned long long begin = strtoull(line + strlen(head), &end, 16);
        unsigned long long bytes = strtoull(end, &end, 10);
        if (address < begin || address - begin >= bytes)
            continue;
        end += *end == ' ';
        kb_buf_printf(out, ", byte %llu of \"%.*s\" (%llu bytes)", address - begin,
                      (int)strcspn(end, "\n"), end, bytes);
        return;
    }
}

/* "  Previous atomic write of size 4 at 0x7b00 by thread T2:" -> "atomic write of 4 bytes
 * at mine.cu:20", behind `before`. */
static bool add_access(const char *line, const char *before, const struct kb_strings *files,
                       struct kb_buf *out) {
    static const char sized[] = " of size ";
    const char *end = line + strcspn(line, "\n"), *text = line + strspn(line, " ");
    if (kb_starts_with(text, "Previous "))
        text += strlen("Previous ");
    const char *size = memmem(text, (size_t)(end - text), sized, strlen(sized));
    if (!size)
        return false;
    size_t word = (size_t)(size - text);
    char lower[32];
    snprintf(lower, sizeof lower, "%.*s", word < 31 ? (int)word : 31, text);
    lower[0] = (char)(lower[0] >= 'A' && lower[0] <= 'Z' ? lower[0] + 32 : lower[0]);
    size += strlen(sized);
    kb_buf_printf(out, "%s%s of %.*s bytes at ", before, lower,
                  (int)strspn(size, "0123456789"), size);
    if (!add_frame(line, files, out))
        kb_buf_puts(out, "no line of the kernel");
    return true;
}

static void thread_line(const char *log, const char *report, const struct kb_strings *files,
                        struct kb_buf *out) {
    static const char placed[] = " at 0x";
    const char *kind = report + strlen("ThreadSanitizer: ");
    kb_buf_add(out, kind, strcspn(kind, "(\n"));
    while (out->len > 0 && out->data[out->len - 1] == ' ')
        out->data[--out->len] = '\0';
    int accesses = 0;
    unsigned long long address = 0;
    for (const char *line = next_line(report); *line && accesses < 2;
         line = next_line(line)) {
        const char *at = memmem(line, strcspn(line, "\n"), placed, strlen(placed));
        if (at && add_access(line, accesses ? " and " : ": ", files, out) &&
            accesses++ == 0)
            address = strtoull(at + 4, NULL, 16);
    }
    if (accesses == 2)
        kb_buf_puts(out, ", nothing orders them");
    add_memory(log, address, out);
}

bool host_sanitizer_line(const char *log, const struct kb_strings *files,
                         struct kb_buf *out) {
    const char *address = strstr(log, "ERROR: AddressSanitizer: ");
    const char *thread = strstr(log, "WARNING: ThreadSanitizer: ");
    const char *undefined = strstr(log, "runtime error: ");
    if (address)
        address_line(log, address, files, out);
    else if (thread)
        thread_line(log, thread + strlen("WARNING: "), files, out);
    else if (undefined)
        undefined_line(log, undefined, files, out);
    return address || thread || undefined;
}

/* ---- signals ----------------------------------------------------------------------- */

/* Names of the system calls that a kernel is most likely to try. */
static const char *system_call(unsigned long long number) {
    static const struct {
        int x86_64, aarch64;
        const char *name;
    } calls[] = {
        {1, 64, "write to a file"}, {3, 57, "close"},          {41, 198, "socket"},
        {56, 220, "clone: fork"},   {57, -1, "fork"},          {58, -1, "vfork"},
        {59, 221, "execve"},        {62, 129, "kill"},         {33, -1, "dup2"},
        {292, 24, "dup3"},          {436, 436, "close_range"},
    };
    for (size_t i = 0; i < KB_COUNT(calls); i++) {
#if defined(__aarch64__)
        bool same = calls[i].aarch64 >= 0 && number == (unsigned)calls[i].aarch64;
#else
        bool same = number == (unsigned)calls[i].x86_64;
#endif
        if (same)
            return calls[i].name;
    }
    return "none that device code has";
}

/* "NUMBER|what|ADDRESS|block and thread" as the runner's handler wrote it. */
static void add_signal(const char *line, struct kb_buf *out) {
    struct kb_buf what = {0}, address = {0};
    add_field(line, 1, &what);
    add_field(line, 2, &address);
    unsigned long long value = strtoull(kb_buf_text(&address), NULL, 0);
    if (kb_streq(kb_buf_text(&what), "system call"))
        kb_buf_printf(out, ": it made system call %llu (%s)", value, system_call(value));
    else if (kb_streq(kb_buf_text(&what), "address"))
        kb_buf_printf(out, " at address 0x%llx%s", value,
                      value < 4096 ? " (a null pointer)" : "");
    else if (what.len > 0)
        kb_buf_printf(out, ": %s", what.data);
    size_t before = out->len;
    kb_buf_puts(out, ", ");
    add_field(line, 4, out); /* the tensor nearby */
    if (out->len > before + 2)
        kb_buf_puts(out, ", ");
    add_field(line, 3, out);
    kb_buf_free(&what);
    kb_buf_free(&address);
}

/* The last line that is not the runner's. */
static const char *last_words(const char *log) {
    const char *found = NULL;
    for (const char *line = log; *line; line = next_line(line))
        if (!kb_starts_with(line, "kbench-") && *line != '\n')
            found = line;
    return found;
}

void host_crash_line(int status, const char *log, struct kb_buf *out) {
    const char *signal_line = last_line(log, "kbench-signal: ");
    const char *words = last_words(log);
    if (WIFSIGNALED(status)) {
        kb_buf_puts(out, "kernel died of ");
        kb_status_text(status, out);
        if (signal_line && strtol(signal_line, NULL, 10) == WTERMSIG(status))
            add_signal(signal_line, out);
    } else {
        kb_buf_printf(out, "kernel ended the process (exit status %d) without a result",
                      WEXITSTATUS(status));
    }
    if (words) {
        size_t len = strcspn(words, "\n");
        kb_buf_puts(out, "; it said: ");
        kb_escape(out, words, len < 300 ? len : 300);
    }
}

void host_printed_line(const char *log, struct kb_buf *out) {
    size_t bytes = 0;
    const char *first = NULL;
    for (const char *line = log; *line; line = next_line(line)) {
        if (kb_starts_with(line, "kbench-") || kb_starts_with(line, "=="))
            continue; /* the runner's, and notes of sanitizers */
        first = first ? first : line;
        bytes += (size_t)(next_line(line) - line);
    }
    if (!first)
        return;
    size_t len = strcspn(first, "\n");
    kb_buf_puts(out, "kernel printed: ");
    kb_escape(out, first, len < 200 ? len : 200);
    if (bytes > len + 1)
        kb_buf_printf(out, " (and more, %zu bytes kept)", bytes);
}
