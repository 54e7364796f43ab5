/* contract_fixture.h - contracts of one kernel file, parsed, in tests. */
#ifndef KB_CONTRACT_FIXTURE_H
#define KB_CONTRACT_FIXTURE_H

#include "kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct kb_arena arena;
    struct kb_kernel kernel;
    struct kb_complaints c;
};

static inline bool parse(struct fixture *f, const char *text) {
    *f = (struct fixture){.c.count = 0};
    return kb_kernel_parse("mine.cu", text, strlen(text), "given", &f->arena, &f->kernel,
                           &f->c);
}

static inline void drop(struct fixture *f) {
    kb_complaints_free(&f->c);
    kb_arena_free(&f->arena);
}

/* A contract of silu, to be changed. */
static const char plain[] =
    "// silu, plain\n"
    "/* kbench\n"
    "{ \"ops\": [\"silu\"], \"variants\": { \"plain\": {\n"
    "    \"entry\": \"my_silu<KB_T>\", \"grid\": \"ceil_div(tokens * hidden, 256)\",\n"
    "    \"block\": 256, \"args\": [\"input\", \"out\", \"i64 tokens * hidden\", \"i32 "
    "hidden\"] } } }\n"
    "*/\n"
    "template <class T> __global__ void my_silu(const T *in, T *out, long long n, int h) "
    "{}\n";

/* `text` with `from` (there exactly once) replaced. */
static inline char *with(const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    struct kb_buf buf = {0};
    assert_non_null(at);
    assert_null(strstr(at + 1, from));
    kb_buf_add(&buf, text, (size_t)(at - text));
    kb_buf_puts(&buf, to);
    kb_buf_puts(&buf, at + strlen(from));
    return buf.data;
}

#endif
