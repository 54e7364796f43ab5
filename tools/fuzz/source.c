/* source.c - text that a kernel's author or a compiler wrote, as the host backend reads it:
 * preprocessed C++ that is rewritten keeps its lines, and what is found in a sanitizer's
 * report is one clean line. */
#include "exec/host.h"
#include "fuzz.h"
#include "kernel/parts.h"

#include <signal.h>

static size_t newlines(const char *text, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++)
        n += text[i] == '\n';
    return n;
}

static void want_lines(const char *text, size_t size) {
    struct kb_buf out = {0};
    host_rewrite(text, size, &out);
    size_t before = newlines(text, size), after = newlines(kb_buf_text(&out), out.len);
    if (before != after)
        DISAGREE("%zu lines become %zu: %s", before, after, kb_buf_text(&out));
    kb_buf_free(&out);
}

/* Identifiers come in order, each in its place, and each is found again by name. */
static void want_identifiers(const char *text, size_t size) {
    struct kb_arena arena = {0};
    const struct kb_words words = kb_words_make(text, size, &arena);
    size_t at = 0, begin = 0, last = 0;
    for (int n = 0; kb_source_next(text, size, &at, &begin); n++) {
        if (begin < last || at <= begin || at > size)
            DISAGREE("an identifier from %zu to %zu after one that ends at %zu", begin, at,
                     last);
        last = at;
        char name[64];
        if (n >= 8 || at - begin >= sizeof name)
            continue;
        memcpy(name, text + begin, at - begin);
        name[at - begin] = '\0';
        if (!kb_source_uses(text, size, name))
            DISAGREE("%s is not used", name);
        if (!kb_words_has(&words, name))
            DISAGREE("%s is no word of all", name);
    }
    kb_arena_free(&arena);
}

static void want_kernels(const char *text, size_t size) {
    struct kb_arena arena = {0};
    struct kb_strings names = {0};
    kb_source_kernels(text, size, &arena, &names);
    for (size_t i = 0; i < names.count; i++)
        if (!kb_source_uses(text, size, names.items[i]))
            DISAGREE("the kernel %s is not in the source", names.items[i]);
    kb_arena_free(&arena);
}

static void want_line(const struct kb_buf *out) {
    if (out->len && memchr(out->data, '\n', out->len))
        DISAGREE("more than a line: %s", out->data);
}

static void want_reports(const char *text) {
    const char *items[] = {"kernels/activation.cu", "mine.cu"};
    const struct kb_strings files = {items, 2, 2};
    struct kb_buf out = {0};
    if (host_sanitizer_line(text, &files, &out) && !out.data)
        DISAGREE("a finding without a text");
    want_line(&out);
    kb_buf_clear(&out);
    host_crash_line(SIGSEGV, text, &out);
    want_line(&out);
    kb_buf_clear(&out);
    host_printed_line(text, &out);
    want_line(&out);
    kb_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = text_of(data, size);
    want_lines(text, size);
    if (!memchr(text, 0, size)) {
        want_identifiers(text, size);
        want_kernels(text, size);
        want_reports(text);
    }
    free(text);
    return 0;
}
