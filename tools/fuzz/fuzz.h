/* fuzz.h - what fuzz targets share. A target is one file with LLVMFuzzerTestOneInput: built
 * with libFuzzer by `make fuzz`, with replay.c by `make check`, which feeds it its corpus.
 *
 * A target does more than survive: it holds what it is given against a second opinion, and
 * DISAGREEs where the two differ. */
#ifndef KB_FUZZ_H
#define KB_FUZZ_H

#include "base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DISAGREE(...)                                                                      \
    (fprintf(stderr, "%s:%d: disagrees: ", __FILE__, __LINE__),                            \
     fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), abort())

/* In place of kb_out_of_memory, whose _exit a fuzzer does not see: see the Makefile. */
_Noreturn void __wrap_kb_out_of_memory(void);
__attribute__((weak)) void __wrap_kb_out_of_memory(void) {
    DISAGREE("out of memory");
}

/* What goes to a sink that is no JSON: UTF-8 without controls; newlines and tabs in text of
 * `lines`. */
static inline void want_clean(const char *text, size_t len, bool lines) {
    for (size_t i = 0; i < len;) {
        uint32_t code = 0;
        int n = kb_utf8_next(text + i, len - i, &code);
        if (!n)
            DISAGREE("byte %02x at %zu is not UTF-8 in: %s", (unsigned char)text[i], i,
                     text);
        if (kb_code_is_unsafe(code) && !(lines && (code == '\n' || code == '\t')))
            DISAGREE("U+%04X at %zu could fool a terminal in: %s", code, i, text);
        i += (size_t)n;
    }
}

/* There is a message; sinks escape it. */
static inline void want_message(const struct kb_err *err) {
    if (err->kind == KB_NO_ERROR || !*err->msg)
        DISAGREE("failed without a message");
}

static inline void want_same(const struct kb_buf *a, const struct kb_buf *b,
                             const char *what) {
    if (a->len != b->len || (a->len && memcmp(a->data, b->data, a->len) != 0))
        DISAGREE("%s:\n%s\n%s", what, kb_buf_text(a), kb_buf_text(b));
}

/* A copy that ends in a NUL and not a byte later; free it. */
static inline char *text_of(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    if (!text)
        abort();
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

/* A file of these bytes that has no name but this path; -1 is never returned. */
static inline int file_of(const void *data, size_t size, char path[32]) {
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || (size && write(fd, data, size) != (ssize_t)size))
        abort();
    snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

#endif
