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

#endif
