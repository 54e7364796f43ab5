/* nvrtc_log.c - what a compiler's log comes to in one line. */
#include "nvrtc.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN = 3 };

/* NVRTC asks for the entries in a file of its own, one a line from the second on. */
static const char name_map[] = "__nv_name_map(";

static bool has(const char *line, size_t len, const char *word) {
    return memmem(line, len, word, strlen(word)) != NULL;
}

/* An error, and not the count of errors at the end. */
static bool is_error(const char *line, size_t len) {
    return (has(line, len, "error:") || has(line, len, "error   :") ||
            has(line, len, "fatal   :") || has(line, len, "fatal :")) &&
           !has(line, len, "detected in the compilation");
}

/* The next line of *at; false at the end. */
static bool next_line(const char **at, const char **line, size_t *len) {
    if (!**at)
        return false;
    *line = *at;
    *len = strcspn(*at, "\n");
    *at += *len + ((*at)[*len] == '\n');
    return true;
}

static int summarise_errors(const char *log, struct kb_buf *out) {
    const char *line;
    size_t len;
    int count = 0;
    for (const char *at = log; next_line(&at, &line, &len);) {
        if (!is_error(line, len) ||
            (len > strlen(name_map) && memcmp(line, name_map, strlen(name_map)) == 0))
            continue;
        if (count++ >= SHOWN)
            continue;
        if (count > 1)
            kb_buf_puts(out, "; ");
        kb_escape(out, line, len < 400 ? len : 400);
    }
    if (count > SHOWN)
        kb_buf_printf(out, "; and %d more", count - SHOWN);
    return count;
}

/* The entry that is no kernel of the file, and why the compiler thinks so. */
static bool summarise_entry(const struct kb_nvrtc_job *job, const char *log,
                            struct kb_buf *out) {
    const char *found = strstr(log, name_map);
    size_t number = 0;
    int end = 0;
    if (!found || sscanf(found + strlen(name_map), "%zu): error: %n", &number, &end) != 1 ||
        !end)
        return false;
    const char *cause = found + strlen(name_map) + end;
    bool known = number >= 2 && number - 2 < job->entries.count;
    kb_escape(out, job->kernel->path, strlen(job->kernel->path));
    kb_buf_puts(out, ": entry \"");
    if (known)
        kb_escape(out, job->entries.items[number - 2],
                  strlen(job->entries.items[number - 2]));
    kb_buf_puts(out, "\" names no kernel of the file: ");
    kb_escape(out, cause, strcspn(cause, "\n"));
    return true;
}

void kb_log_summary(const struct kb_nvrtc_job *job, const char *log, struct kb_buf *out) {
    if (summarise_errors(log, out) > 0 || summarise_entry(job, log, out))
        return;
    size_t len = strcspn(log, "\n");
    if (len)
        kb_escape(out, log, len < 400 ? len : 400);
    else
        kb_buf_puts(out, "it failed without a word");
}

void kb_log_escape(const char *log, size_t size, struct kb_buf *out) {
    const char *end = log + size;
    while (log < end) {
        const char *stop = memchr(log, '\n', (size_t)(end - log));
        size_t len = (size_t)((stop ? stop : end) - log);
        kb_escape(out, log, len);
        kb_buf_putc(out, '\n');
        log += len + (stop != NULL);
    }
}

/* ---- what ptxas says of each function ---------------------------------------------------
 * "Compiling entry function 'NAME' for 'sm_90a'", "Function properties for NAME", and on
 * lines below "N bytes stack frame, N bytes spill stores, N bytes spill loads" and "Compile
 * time = N ms". */

static bool is_among(const struct kb_strings *functions, const char *name, size_t len) {
    for (size_t i = 0; i < functions->count; i++)
        if (strlen(functions->items[i]) == len && !memcmp(functions->items[i], name, len))
            return true;
    return false;
}

/* What stands behind `word` in the line, NULL if it has none. */
static const char *behind(const char *line, size_t len, const char *word) {
    const char *at = memmem(line, len, word, strlen(word));
    return at ? at + strlen(word) : NULL;
}

int64_t kb_log_spills(const char *log, const struct kb_strings *functions) {
    int64_t total = -1;
    const char *line;
    size_t len;
    bool ours = false;
    for (const char *at = log; next_line(&at, &line, &len);) {
        const char *name = behind(line, len, "Function properties for ");
        if (name) {
            ours = is_among(functions, name, (size_t)(line + len - name));
            continue;
        }
        const char *frame = ours ? behind(line, len, "bytes stack frame, ") : NULL;
        long long stores, loads;
        if (frame && sscanf(frame, "%lld bytes spill stores, %lld bytes spill loads",
                            &stores, &loads) == 2) {
            total = (total < 0 ? 0 : total) + stores + loads;
            ours = false;
        }
    }
    return total;
}

double kb_log_assembly_ms(const char *log, const struct kb_strings *functions) {
    double total = 0, ms;
    const char *line;
    size_t len;
    bool ours = false;
    for (const char *at = log; next_line(&at, &line, &len);) {
        const char *name = behind(line, len, "Compiling entry function '");
        const char *time = ours ? behind(line, len, "Compile time = ") : NULL;
        if (name) {
            ours = is_among(functions, name, strcspn(name, "'\n"));
        } else if (time && sscanf(time, "%lf ms", &ms) == 1 && ms > 0) {
            total += ms;
            ours = false;
        }
    }
    return total;
}
