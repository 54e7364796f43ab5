/* suite_fixture.h - queries as on a command line, and what suites they come to, in tests.
 */
#ifndef KB_SUITE_FIXTURE_H
#define KB_SUITE_FIXTURE_H

#include "op/group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Every test runs in an empty folder of its own: the tool's own files are the embedded. */
struct room {
    struct kb_arena arena;
    struct kb_temp temp;
};

static inline int enter_room(void **state) {
    struct room *room = calloc(1, sizeof *room);
    if (!room)
        return -1;
    struct kb_err err = {0};
    *state = room;
    return !kb_temp_make(&room->temp, &err) || chdir(room->temp.path);
}

static inline int leave_room(void **state) {
    struct room *room = *state;
    if (chdir("/"))
        return -1;
    kb_temp_free(&room->temp);
    kb_arena_free(&room->arena);
    free(room);
    return 0;
}

static inline void write_file(const char *path, const char *text) {
    struct kb_err err = {0};
    if (!kb_file_replace(path, text, strlen(text), &err))
        fail_msg("%s", err.msg);
}

/* A case file with these groups' members. */
static inline void write_groups(const char *path, const char *const *groups, size_t n) {
    struct kb_buf text = {0};
    kb_buf_puts(&text, "{ \"schema\": \"kbench-cases/1\",\n  \"groups\": [");
    for (size_t i = 0; i < n; i++)
        kb_buf_printf(&text, "%s\n    { %s }", i ? "," : "", groups[i]);
    kb_buf_puts(&text, " ] }\n");
    write_file(path, text.data);
    kb_buf_free(&text);
}

/* "--op silu,gelu --shape 7x16 FILE": words as on a command line. */
static inline struct kb_query ask(struct kb_arena *arena, const char *line) {
    struct kb_query q = {.tolerance = NULL};
    const struct {
        const char *option;
        struct kb_strings *list;
        bool whole; /* not split at commas */
    } options[] = {
        {"--op", &q.ops, false},       {"--shape", &q.shapes, false},
        {"--dtype", &q.dtypes, false}, {"--fill", &q.fills, false},
        {"--tag", &q.tags, false},     {"--match", &q.match, true},
        {"--case", &q.ids, true},      {"--set", &q.set, true},
    };
    struct kb_strings words = {0};
    kb_split(arena, line, ' ', &words);
    for (size_t i = 0; i < words.count && *line; i++) {
        size_t k = 0;
        while (k < KB_COUNT(options) && !kb_streq(options[k].option, words.items[i]))
            k++;
        if (kb_streq(words.items[i], "--tolerance"))
            q.tolerance = words.items[++i];
        else if (k == KB_COUNT(options))
            kb_strings_add(&q.files, arena, words.items[i]);
        else if (options[k].whole)
            kb_strings_add(options[k].list, arena, words.items[++i]);
        else
            kb_split(arena, words.items[++i], ',', options[k].list);
    }
    return q;
}

static inline struct kb_suite *open_suite(struct kb_arena *arena, const char *line) {
    struct kb_query q = ask(arena, line);
    struct kb_complaints c = {0};
    struct kb_suite *suite = NULL;
    if (!kb_suite_open(&suite, &q, &c))
        fail_msg("%s:\n%s", line, kb_buf_text(&c.text));
    assert_int_equal(c.count, 0);
    return suite;
}

static inline void assert_cases(struct kb_arena *arena, const char *line,
                                const char *wanted) {
    struct kb_suite *suite = open_suite(arena, line);
    struct kb_case c;
    struct kb_buf ids = {0};
    int64_t n = 0;
    for (; kb_suite_next(suite, arena, &c); n++)
        kb_buf_printf(&ids, "%s\n", c.id);
    assert_string_equal(kb_buf_text(&ids), wanted);
    assert_int_equal(kb_suite_count(suite), n);
    kb_buf_free(&ids);
    kb_suite_free(suite);
}

static inline int64_t count_of(struct kb_arena *arena, const char *line) {
    struct kb_suite *suite = open_suite(arena, line);
    int64_t n = kb_suite_count(suite);
    kb_suite_free(suite);
    return n;
}

static inline void assert_refused(struct kb_arena *arena, const char *line,
                                  const char *wanted) {
    struct kb_query q = ask(arena, line);
    struct kb_complaints c = {0};
    struct kb_suite *suite = NULL;
    assert_false(kb_suite_open(&suite, &q, &c));
    assert_null(suite);
    assert_string_equal(kb_buf_text(&c.text), wanted);
    kb_complaints_free(&c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter_room, leave_room)

#endif
