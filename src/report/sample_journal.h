/* sample_journal.h - a journal of three rows in a folder of its own, for the tests. */
#ifndef KB_REPORT_SAMPLE_JOURNAL_H
#define KB_REPORT_SAMPLE_JOURNAL_H

#include "report/parts.h"
#include "report/sample.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A folder of its own, facts and a journal of three rows in it. */
struct place {
    struct kb_arena arena;
    struct kb_facts facts;
    struct kb_temp temp;
    const char *target, *part;
};

static inline int make_place(void **state) {
    struct kb_arena arena = {0};
    struct place *p = kb_arena_alloc(&arena, sizeof *p);
    p->arena = arena;
    sample_facts(&p->facts, &p->arena);
    struct kb_err err = {0};
    *state = p;
    if (!kb_temp_make(&p->temp, &err))
        return -1;
    p->target = kb_arena_printf(&p->arena, "%s/r.json", p->temp.path);
    p->part = kb_arena_printf(&p->arena, "%s.part", p->target);
    return 0;
}

static inline int free_place(void **state) {
    struct place *p = *state;
    struct kb_arena arena = p->arena;
    unlink(p->target);
    unlink(p->part);
    int status = rmdir(p->temp.path); /* fails where a test left anything */
    kb_temp_free(&p->temp);
    kb_arena_free(&arena);
    return status;
}

static inline struct kb_journal *open_journal(struct place *p) {
    struct kb_journal *journal = NULL;
    struct kb_buf note = {0};
    struct kb_err err = {0};
    assert_true(kb_journal_open(p->target, &p->facts, &note, &journal, &err));
    assert_int_equal(note.len, 0);
    return journal;
}

/* PASS with times and code, FAIL, ERROR with text of many lines; and the end line. */
static inline struct kb_journal *three_rows(struct place *p, bool complete) {
    struct kb_journal *journal = open_journal(p);
    struct kb_tally *tally = kb_arena_alloc(&p->arena, sizeof *tally);
    struct kb_row rows[3] = {sample_row(), sample_row(), sample_row()};
    struct kb_err err = {0};
    sample_time(&rows[0], KB_GRAPH, 1220.1);
    sample_code(&rows[0]);
    sample_unwritten(&rows[1]);
    rows[1].case_id = "silu/83x1024/bf16";
    sample_end(&rows[2], KB_R_COMPILE, "x.cu:1: error: \"y\" | @z\n  ^");
    rows[2].case_id = "=cmd/83x1024/bf16";
    for (int i = 0; i < 3; i++) {
        assert_true(kb_journal_add(journal, &rows[i], &err));
        kb_tally_add(tally, &rows[i]);
    }
    assert_true(kb_journal_finish(journal, tally, complete, complete ? NULL : "SIGINT",
                                  0.83, &err));
    return journal;
}

static inline char *whole_file(struct place *p, const char *path, size_t *size) {
    struct kb_buf text = {0};
    struct kb_err err = {0};
    assert_true(kb_file_read(path, 1 << 20, &text, &err));
    char *copy = kb_arena_alloc(&p->arena, text.len + 1);
    memcpy(copy, text.data, text.len);
    *size = text.len;
    kb_buf_free(&text);
    return copy;
}

static inline void write_file(const char *path, const char *data, size_t size) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_true(kb_write_all(fd, data, size));
    close(fd);
}

/* A report made of a journal, which is closed, in one form. */
static inline const char *report_of(struct place *p, struct kb_journal *journal,
                                    enum kb_format format) {
    struct kb_rows *rows = NULL;
    struct kb_err err = {0};
    size_t size;
    assert_true(kb_rows_of_journal(journal, &rows, &err));
    assert_true(kb_report_write(format, p->target, rows, &err));
    kb_rows_close(rows);
    kb_journal_close(journal, false);
    return whole_file(p, p->target, &size);
}

/* Names that try to be markup, formulas, cells, commands of a terminal or of a CI system.
 */
static inline struct kb_journal *hostile_rows(struct place *p) {
    static const char *const names[] = {
        "<script>alert(1)</script>/1x2/bf16",
        "\"><img src=x onerror=alert(1)>/1x2/bf16",
        "\x1b[31m|x|\r\n::error::y/1x2/bf16",
        "=cmd|' /C calc'!A0/1x2/bf16",
        "]]>&lt;\xef\xbf\xbf%0A\xe2\x80\xae/1x2/bf16",
    };
    struct kb_journal *journal = open_journal(p);
    struct kb_tally *tally = kb_arena_alloc(&p->arena, sizeof *tally);
    struct kb_err err = {0};
    for (size_t i = 0; i < KB_COUNT(names); i++) {
        struct kb_row row = sample_row();
        row.case_id = row.build = row.variant = row.op = row.repeat = names[i];
        sample_time(&row, KB_GRAPH, 1220.1 + (double)i);
        if (i % 2)
            sample_end(&row, KB_R_COMPILE, names[i]);
        assert_true(kb_journal_add(journal, &row, &err));
        kb_tally_add(tally, &row);
    }
    assert_true(kb_journal_finish(journal, tally, true, NULL, 0.83, &err));
    return journal;
}

/* Rows read to the end; -1 where an error ends them. */
static inline int count_rows(struct kb_rows *rows, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_row row;
    int n = 0;
    while (kb_rows_next(rows, &arena, &row, err))
        n++;
    kb_arena_free(&arena);
    return err->kind ? -1 : n;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_place, free_place)

#endif
