/* journal_test.c - rows on disk and back, whatever happens to the file. */
#include "report/sample_journal.h"

/* ---- the journal -----------------------------------------------------------------------
 */

static void rows_come_back_as_they_were(void **state) {
    struct place *p = *state;
    struct kb_journal *journal = three_rows(p, true);
    struct kb_rows *rows = NULL;
    struct kb_row row;
    struct kb_err err = {0};
    assert_true(kb_rows_of_journal(journal, &rows, &err));
    assert_true(kb_rows_next(rows, &p->arena, &row, &err));
    assert_string_equal(row.case_id, "gelu_tanh/83x1024/bf16");
    assert_true(row.times[KB_GRAPH].median_ns == 1220.1);
    assert_null(kb_rows_end(rows));
    assert_true(kb_rows_next(rows, &p->arena, &row, &err));
    assert_int_equal(row.reason, KB_R_UNWRITTEN);
    assert_true(row.outputs[0].first[0].poison);
    assert_true(kb_rows_next(rows, &p->arena, &row, &err));
    assert_string_equal(row.text, "x.cu:1: error: \"y\" | @z\n  ^");
    assert_false(kb_rows_next(rows, &p->arena, &row, &err));
    assert_int_equal(err.kind, KB_NO_ERROR);
    assert_true(cJSON_IsTrue(kb_json_get(kb_rows_end(rows), "complete")));
    assert_null(kb_rows_note(rows));
    kb_rows_close(rows);
    kb_journal_close(journal, false);
    assert_false(kb_is_file(p->part));
}

static void a_kept_journal_stays_beside_its_target(void **state) {
    struct place *p = *state;
    struct kb_rows *rows = NULL;
    struct kb_err err = {0};
    kb_journal_close(three_rows(p, true), true);
    assert_true(kb_is_file(p->part));
    assert_true(kb_rows_open(p->part, &rows, &err));
    assert_int_equal(count_rows(rows, &err), 3);
    kb_rows_close(rows);
}

static void two_runs_cannot_share_a_target(void **state) {
    struct place *p = *state;
    struct kb_journal *first = three_rows(p, true), *second = NULL;
    struct kb_buf note = {0};
    struct kb_err err = {0};
    assert_false(kb_journal_open(p->target, &p->facts, &note, &second, &err));
    assert_int_equal(err.kind, KB_IO);
    assert_non_null(strstr(err.msg, "another run of kbench"));
    assert_true(kb_is_file(p->part));
    kb_journal_close(first, false);
}

static void what_a_killed_run_left_is_overwritten_and_told(void **state) {
    struct place *p = *state;
    struct kb_journal *journal = NULL;
    struct kb_buf note = {0};
    struct kb_err err = {0};
    struct kb_rows *rows = NULL;
    kb_journal_close(three_rows(p, true), true);
    assert_true(kb_journal_open(p->target, &p->facts, &note, &journal, &err));
    assert_non_null(strstr(note.data, "did not end"));
    assert_true(kb_rows_of_journal(journal, &rows, &err));
    assert_int_equal(count_rows(rows, &err), 0);
    kb_rows_close(rows);
    kb_journal_close(journal, false);
    kb_buf_free(&note);
}

static void what_is_no_file_is_not_touched(void **state) {
    struct place *p = *state;
    struct kb_journal *journal = NULL;
    struct kb_buf note = {0};
    struct kb_err err = {0};
    assert_int_equal(mkfifo(p->part, 0600), 0);
    assert_false(kb_journal_open(p->target, &p->facts, &note, &journal, &err));
    assert_int_equal(err.kind, KB_IO);
    struct stat st;
    assert_int_equal(stat(p->part, &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    assert_false(kb_journal_open("/nowhere/at/all.json", &p->facts, &note, &journal, &err));
    assert_int_equal(kb_err_status(&err), 7);
}

static void a_temporary_journal_has_no_name(void **state) {
    struct place *p = *state;
    struct kb_journal *journal = NULL;
    struct kb_buf note = {0};
    struct kb_err err = {0};
    struct kb_rows *rows = NULL;
    struct kb_row row = sample_row();
    assert_true(kb_journal_open(NULL, &p->facts, &note, &journal, &err));
    assert_null(kb_journal_path(journal));
    assert_true(kb_journal_add(journal, &row, &err));
    assert_true(kb_rows_of_journal(journal, &rows, &err));
    assert_int_equal(count_rows(rows, &err), 1);
    kb_rows_close(rows);
    kb_journal_close(journal, false);
}

/* Where it cannot be had, that is told by the folder's name, and no other one is taken. */
static void a_folder_that_cannot_hold_the_temporary_journal_is_named(void **state) {
    struct place *p = *state;
    struct kb_journal *journal = NULL;
    struct kb_buf note = {0};
    struct kb_err err = {0};
    const char *missing = kb_arena_printf(&p->arena, "%s/missing", p->temp.path);
    const char *before = getenv("TMPDIR");
    char *kept = before ? strdup(before) : NULL;
    setenv("TMPDIR", missing, 1);
    assert_false(kb_journal_open(NULL, &p->facts, &note, &journal, &err));
    assert_int_equal(err.kind, KB_IO);
    assert_ptr_equal(strstr(err.msg, missing), err.msg);
    if (kept)
        setenv("TMPDIR", kept, 1);
    else
        unsetenv("TMPDIR");
    free(kept);
}

/* ---- damage ----------------------------------------------------------------------------
 */

/* A journal cut anywhere gives the rows that are whole, or says that it has no header. */
static void every_truncation_keeps_whole_rows(void **state) {
    struct place *p = *state;
    size_t size;
    int newlines = 0;
    kb_journal_close(three_rows(p, true), true);
    char *text = whole_file(p, p->part, &size);
    for (size_t cut = 0; cut <= size; cut++) {
        struct kb_rows *rows = NULL;
        struct kb_err err = {0};
        write_file(p->part, text, cut);
        bool whole =
            cut == size || text[cut] == '\n'; /* of its last line, but its newline */
        int lines = newlines + (whole && cut && text[cut - 1] != '\n');
        if (kb_rows_open(p->part, &rows, &err)) {
            assert_true(lines >= 1);
            int wanted = lines - 1 < 3 ? lines - 1 : 3;
            assert_int_equal(count_rows(rows, &err), wanted);
            bool torn = cut && text[cut - 1] != '\n' && !whole;
            assert_true((kb_rows_note(rows) != NULL) == torn);
        } else {
            assert_int_equal(lines, 0);
            assert_int_equal(err.kind, KB_INPUT);
        }
        kb_rows_close(rows);
        newlines += cut < size && text[cut] == '\n';
    }
}

/* Any bit may flip: rows are read or a line is named, and nothing else happens. */
static void every_flip_is_read_or_named(void **state) {
    struct place *p = *state;
    size_t size;
    int named = 0;
    kb_journal_close(three_rows(p, true), true);
    char *text = whole_file(p, p->part, &size);
    for (size_t i = 0; i < size; i += 11) {
        struct kb_rows *rows = NULL;
        struct kb_err err = {0};
        char was = text[i];
        text[i] = (char)(text[i] ^ (1 << (i % 8)));
        write_file(p->part, text, size);
        text[i] = was;
        if (kb_rows_open(p->part, &rows, &err))
            count_rows(rows, &err);
        if (err.kind) {
            assert_int_equal(err.kind, KB_INPUT);
            assert_true(kb_starts_with(err.msg, p->part));
            named++;
        }
        kb_rows_close(rows);
    }
    assert_true(named > 30);
}

static void a_damaged_line_in_the_middle_is_named(void **state) {
    struct place *p = *state;
    size_t size;
    struct kb_rows *rows = NULL;
    struct kb_err err = {0};
    struct kb_buf want = {0};
    kb_journal_close(three_rows(p, true), true);
    char *text = whole_file(p, p->part, &size);
    char *second = strchr(strchr(text, '\n') + 1, '\n') + 1;
    memcpy(second, "#@!", 3);
    write_file(p->part, text, size);
    assert_true(kb_rows_open(p->part, &rows, &err));
    assert_int_equal(count_rows(rows, &err), -1);
    kb_buf_printf(&want, "%s:3: damaged: ", p->part);
    assert_true(kb_starts_with(err.msg, want.data));
    assert_int_equal(kb_err_status(&err), 4);
    kb_rows_close(rows);
    kb_buf_free(&want);
}

static void a_newer_schema_is_refused_by_name(void **state) {
    struct place *p = *state;
    static const char *const heads[] = {
        "{\"schema\":\"kbench-report/2\"}\n",
        "{\"schema\":\"kbench-cases/1\"}\n",
        "[]\n",
        "",
    };
    static const char *const words[] = {"kbench-report/2", "is no kbench journal",
                                        "is no JSON object", "is empty"};
    for (size_t i = 0; i < KB_COUNT(heads); i++) {
        struct kb_rows *rows = NULL;
        struct kb_err err = {0};
        write_file(p->part, heads[i], strlen(heads[i]));
        assert_false(kb_rows_open(p->part, &rows, &err));
        assert_int_equal(err.kind, KB_INPUT);
        assert_non_null(strstr(err.msg, words[i]));
    }
}

static void nothing_follows_the_end(void **state) {
    struct place *p = *state;
    size_t size;
    struct kb_rows *rows = NULL;
    struct kb_err err = {0};
    kb_journal_close(three_rows(p, true), true);
    char *text = whole_file(p, p->part, &size);
    struct kb_buf more = {0};
    kb_buf_add(&more, text, size);
    kb_buf_puts(&more, "{}\n");
    write_file(p->part, more.data, more.len);
    assert_true(kb_rows_open(p->part, &rows, &err));
    assert_int_equal(count_rows(rows, &err), -1);
    assert_non_null(strstr(err.msg, ":6: a line after the end"));
    kb_rows_close(rows);
    kb_buf_free(&more);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(rows_come_back_as_they_were),
        TEST(a_kept_journal_stays_beside_its_target),
        TEST(two_runs_cannot_share_a_target),
        TEST(what_a_killed_run_left_is_overwritten_and_told),
        TEST(what_is_no_file_is_not_touched),
        TEST(a_temporary_journal_has_no_name),
        TEST(a_folder_that_cannot_hold_the_temporary_journal_is_named),
        TEST(every_truncation_keeps_whole_rows),
        TEST(every_flip_is_read_or_named),
        TEST(a_damaged_line_in_the_middle_is_named),
        TEST(a_newer_schema_is_refused_by_name),
        TEST(nothing_follows_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
