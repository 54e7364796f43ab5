/* casefile_fixture.h - one case file as text, read, and what is said of it, in tests. */
#ifndef KB_CASEFILE_FIXTURE_H
#define KB_CASEFILE_FIXTURE_H

#include "op/group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct read {
    struct kb_arena arena;
    struct kb_groups groups;
    struct kb_complaints c;
};

static inline void read_bytes(struct read *r, const char *text, size_t size) {
    *r = (struct read){.c = {.count = 0}};
    r->groups.arena = &r->arena;
    kb_casefile_read("cases/mine.json", text, size, &r->groups, &r->c);
}

static inline void free_read(struct read *r) {
    kb_buf_free(&r->groups.list);
    kb_arena_free(&r->arena);
    kb_complaints_free(&r->c);
}

/* The complaints of a file, without "cases/mine.json:" in front of each. */
static inline void assert_complaints(const char *text, const char *wanted) {
    struct read r;
    struct kb_buf want = {0};
    read_bytes(&r, text, strlen(text));
    for (; *wanted; wanted = strchr(wanted, '\n') + 1)
        kb_buf_printf(&want, "cases/mine.json:%.*s\n", (int)strcspn(wanted, "\n"), wanted);
    assert_string_equal(kb_buf_text(&r.c.text), kb_buf_text(&want));
    kb_buf_free(&want);
    free_read(&r);
}

/* The same for a file with one group, the members of which are `group`: they start at 3:1.
 */
static inline void assert_group(const char *group, const char *wanted) {
    struct kb_buf text = {0};
    kb_buf_printf(&text, "{ \"schema\": \"kbench-cases/1\", \"groups\": [\n{\n%s } ] }",
                  group);
    assert_complaints(text.data, wanted);
    kb_buf_free(&text);
}

/* Members that every group has. */
#define GOOD "\"why\": \"w\", \"ops\": [\"silu\"], \"shapes\": [[1, 2]],\n"

#endif
