/* options_fixture.h - for tests of command lines: one by blanks, and what is said of it. */
#ifndef KB_CLI_OPTIONS_FIXTURE_H
#define KB_CLI_OPTIONS_FIXTURE_H

#include "cli/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_ARGS = 32 };

/* A command line by blanks, parsed. */
struct line {
    struct kb_arena arena;
    struct kb_options options;
    struct kb_complaints c;
};

static void parse(struct line *line, const char *text) {
    struct kb_strings words = {0};
    char *argv[MAX_ARGS + 2] = {NULL};
    int argc = 0;
    *line = (struct line){.options = {.seed = 0}};
    argv[argc++] = kb_arena_strdup(&line->arena, "kbench");
    kb_split(&line->arena, text, ' ', &words);
    for (size_t i = 0; i < words.count && *text; i++)
        argv[argc++] = kb_arena_strdup(&line->arena, words.items[i]);
    kb_options_parse(argc, argv, &line->arena, &line->options, &line->c);
}

static void done(struct line *line) {
    kb_complaints_free(&line->c);
    kb_arena_free(&line->arena);
}

/* A line, and what is said of it; NULL: something or other. */
struct mistake {
    const char *line, *complaint;
};

static void assert_mistake(const struct mistake *mistake) {
    struct line line;
    struct kb_buf want = {0};
    parse(&line, mistake->line);
    if (mistake->complaint) {
        kb_buf_printf(&want, "kbench: error: %s\n", mistake->complaint);
        assert_string_equal(kb_buf_text(&line.c.text), kb_buf_text(&want));
        assert_int_equal(line.c.count, 1);
    }
    assert_true(line.c.count > 0);
    kb_buf_free(&want);
    done(&line);
}

#endif
