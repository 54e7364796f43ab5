/* error.c - errors as values: kind, whole message, context added on the way up. */
#include "base.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct error_kind {
    const char *word;
    int status;
};

static const struct error_kind kinds[] = {
#define X(id, word, status) [id] = {word, status},
    KB_ERRORS(X)
#undef X
};

/* A message that had to be cut says so, and is not cut inside a UTF-8 character. */
static void mark_cut(char *msg, size_t size) {
    static const char dots[] = "...";
    size_t end = size - sizeof dots;
    while (end > 0 && ((unsigned char)msg[end] & 0xc0) == 0x80)
        end--;
    memcpy(msg + end, dots, sizeof dots);
}

static void format(char *msg, size_t size, const char *fmt, va_list args) {
    int n = vsnprintf(msg, size, fmt, args);
    if (n < 0)
        snprintf(msg, size, "error without a message");
    else if ((size_t)n >= size)
        mark_cut(msg, size);
}

bool kb_fail(struct kb_err *err, enum kb_err_kind kind, const char *fmt, ...) {
    char msg[KB_ERR_MAX]; /* apart from err->msg, which may be among the arguments */
    va_list args;
    va_start(args, fmt);
    format(msg, sizeof msg, fmt, args);
    va_end(args);
    err->kind = kind;
    memcpy(err->msg, msg, strlen(msg) + 1);
    return false;
}

bool kb_at(struct kb_err *err, const char *fmt, ...) {
    char context[KB_ERR_MAX], msg[KB_ERR_MAX];
    va_list args;
    va_start(args, fmt);
    format(context, sizeof context, fmt, args);
    va_end(args);
    size_t len = strlen(context), room = sizeof msg - len;
    memcpy(msg, context, len);
    int n = snprintf(msg + len, room, ": %s", err->msg);
    if (n < 0 || (size_t)n >= room)
        mark_cut(msg, sizeof msg);
    memcpy(err->msg, msg, strlen(msg) + 1);
    return false;
}

int kb_err_status(const struct kb_err *err) {
    return kinds[err->kind].status;
}

const char *kb_err_word(enum kb_err_kind kind) {
    return kinds[kind].word;
}

void kb_out_of_memory(void) {
    static const char msg[] = "kbench: out of memory\n";
    /* Nothing is left to try when this fails as well. */
    ssize_t n = write(STDERR_FILENO, msg, sizeof msg - 1);
    (void)n;
    _exit(kinds[KB_MEMORY].status);
}
