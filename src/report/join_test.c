/* join_test.c - several reports as one, and a baseline in another's place. */
#include "report/compare_fixture.h"
#include "report/join.h"

#include <stdlib.h>
#include <unistd.h>

/* A folder of its own for each test. */
struct room {
    struct kb_temp temp;
    struct kb_arena arena;
};

static int enter_room(void **state) {
    struct room *room = calloc(1, sizeof *room);
    struct kb_err err = {0};
    *state = room;
    return !room || !kb_temp_make(&room->temp, &err);
}

static int leave_room(void **state) {
    struct room *room = *state;
    kb_temp_free(&room->temp);
    kb_arena_free(&room->arena);
    free(room);
    return 0;
}

static const char *in_room(void **state, const char *name) {
    struct room *room = *state;
    return kb_arena_printf(&room->arena, "%s/%s", room->temp.path, name);
}

/* Three runs of one row. */
static void three_runs(struct kb_loaded reports[3]) {
    static const double samples[] = {1000, 1001, 1002};
    for (int i = 0; i < 3; i++) {
        const struct made_row row = {.case_id = "s/1/b",
                                     .ns = 1000 + 10 * ((i + 1) % 3),
                                     .half = 0.01,
                                     .samples = samples,
                                     .n_samples = 3,
                                     .quality = i == 1 ? "noisy" : "ok"};
        make_report("NVIDIA H200", 1, &row, 1, &reports[i]);
    }
}

static void free_all(struct kb_loaded *reports, int n) {
    for (int i = 0; i < n; i++)
        kb_loaded_free(&reports[i]);
}

static void runs_become_one_row_with_the_median_of_their_medians(void **state) {
    (void)state;
    struct kb_loaded runs[3], base;
    struct kb_buf note = {0};
    struct kb_err err = {0};
    size_t n = 0;
    const char *path = in_room(state, "joined.json");
    three_runs(runs); /* 1010, 1020, 1000 */
    assert_true(kb_join_write(KB_JOIN_RUNS, runs, 3, path, &n, &note, &err));
    assert_int_equal(n, 1);
    assert_int_equal(note.len, 0);
    assert_true(kb_loaded_read(path, &base, &err));
    const struct kb_timing *t = kb_entry_time(&base.rows[0], KB_GRAPH);
    assert_int_equal(base.n_runs, 3);
    assert_true(t->median_ns == 1010);
    assert_int_equal(t->n_runs, 3);
    assert_true(t->runs_ns[0] == 1010 && t->runs_ns[1] == 1020 && t->runs_ns[2] == 1000);
    assert_true(t->low_ns == 990 && fabs(t->high_ns - 1030.2) < 1e-9);
    assert_int_equal(t->n, 120);
    assert_int_equal(t->n_samples, 9);
    assert_int_equal(t->quality, KB_Q_NOISY);
    assert_int_equal(cJSON_GetArraySize(kb_json_get(base.head.root, "parts")), 3);
    /* Joined once more, it has all six. */
    struct kb_loaded more[2] = {base, runs[0]};
    const char *again = in_room(state, "again.json");
    struct kb_loaded six;
    assert_true(kb_join_write(KB_JOIN_RUNS, more, 2, again, &n, &note, &err));
    assert_true(kb_loaded_read(again, &six, &err));
    assert_int_equal(six.n_runs, 4);
    assert_int_equal(kb_entry_time(&six.rows[0], KB_GRAPH)->n_runs, 4);
    kb_loaded_free(&six);
    kb_loaded_free(&base);
    free_all(runs, 3);
}

static void want_refused(void **state, enum kb_join how, const struct kb_loaded *reports,
                         int n, enum kb_err_kind kind, const char *words) {
    struct kb_buf note = {0};
    struct kb_err err = {0};
    size_t rows = 0;
    const char *path = in_room(state, "refused.json");
    assert_false(kb_join_write(how, reports, n, path, &rows, &note, &err));
    assert_int_equal(err.kind, kind);
    if (!strstr(err.msg, words))
        fail_msg("%s\nis not: %s", err.msg, words);
    assert_int_equal(access(path, F_OK), -1);
    kb_buf_free(&note);
}

static void runs_of_other_things_are_refused(void **state) {
    (void)state;
    const struct made_row row = {.case_id = "s/1/b", .ns = 1000, .code = "abc"};
    struct made_row other = row;
    struct kb_loaded reports[2];
    make_report("NVIDIA H200", 1, &row, 1, &reports[0]);
    make_report("NVIDIA L40S", 1, &row, 1, &reports[1]);
    want_refused(state, KB_JOIN_RUNS, reports, 2, KB_UNSUPPORTED,
                 "GPU NVIDIA H200 != NVIDIA L40S");
    kb_loaded_free(&reports[1]);
    other.code = "abd";
    make_report("NVIDIA H200", 1, &other, 1, &reports[1]);
    want_refused(state, KB_JOIN_RUNS, reports, 2, KB_UNSUPPORTED, "other machine code");
    kb_loaded_free(&reports[1]);
    other = row;
    other.median = "null";
    make_report("NVIDIA H200", 1, &other, 1, &reports[1]);
    want_refused(state, KB_JOIN_RUNS, reports, 2, KB_INPUT, "its graph time is null");
    kb_loaded_free(&reports[1]);
    other = row;
    other.duty = 0.5;
    make_report("NVIDIA H200", 1, &other, 1, &reports[1]);
    want_refused(state, KB_JOIN_RUNS, reports, 2, KB_UNSUPPORTED,
                 "s/1/b: timed at a duty of 100 % and of 50 %");
    struct made_row past = row;
    past.sets = 30;
    past.footprint = 3000;
    other = past;
    other.sets = 10;
    other.footprint = 1000;
    free_all(reports, 2);
    make_report("NVIDIA H200", 1, &past, 1, &reports[0]);
    make_report("NVIDIA H200", 1, &other, 1, &reports[1]);
    want_refused(state, KB_JOIN_RUNS, reports, 2, KB_UNSUPPORTED,
                 "s/1/b: timed over 30 buffer sets and over 10");
    free_all(reports, 2);
}

static struct kb_timing over(int64_t sets, int64_t footprint) {
    return (struct kb_timing){.sets = sets, .footprint_bytes = footprint};
}

/* As the default has it on GPUs whose L2 differs: 3x L2, or as many sets as there may be.
 */
static void full_rotations_are_alike_whatever_they_come_to(void **state) {
    const struct kb_timing whole = over(3000, 150), most = over(4096, 205);
    const struct kb_timing other = over(12, 300), few = over(10, 100);
    (void)state;
    assert_true(kb_timings_rotate_alike(&whole, 50, &most, 96));
    assert_true(kb_timings_rotate_alike(&most, 96, &whole, 50));
    assert_true(kb_timings_rotate_alike(&whole, 50, &other, 96));
    assert_false(kb_timings_rotate_alike(&whole, 50, &few, 50));
    assert_false(kb_timings_rotate_alike(&few, 96, &most, 96));
    assert_false(kb_timings_rotate_alike(&whole, (double)NAN, &other, 96));
}

static void runs_of_one_duty_keep_it(void **state) {
    const struct made_row row = {.case_id = "s/1/b", .ns = 1000, .duty = 0.5};
    struct kb_loaded reports[2], joined;
    struct kb_buf note = {0};
    struct kb_err err = {0};
    size_t n = 0;
    const char *path = in_room(state, "paced.json");
    for (int i = 0; i < 2; i++)
        make_report("NVIDIA H200", 1, &row, 1, &reports[i]);
    assert_true(kb_join_write(KB_JOIN_RUNS, reports, 2, path, &n, &note, &err));
    assert_true(kb_loaded_read(path, &joined, &err));
    assert_true(kb_entry_time(&joined.rows[0], KB_GRAPH)->duty == 0.5);
    kb_loaded_free(&joined);
    free_all(reports, 2);
}

/* What is said of runs that are joined is true of all of them together. */
static void what_was_seen_of_any_run_is_seen_of_all(void **state) {
    static const char *const texts[] = {
        "{\"stopped\":\"precision\",\"quality_why\":\"fine\",\"samples\":10,"
        "\"samples_throttled\":0,\"throttle\":[],\"floor_ns\":500}",
        "{\"stopped\":\"precision\",\"quality_why\":\"held back\",\"samples\":12,"
        "\"samples_throttled\":4,\"throttle\":[\"power\"],\"floor_ns\":520}",
        "{\"stopped\":\"time\",\"samples\":30,\"samples_throttled\":1,"
        "\"throttle\":[\"thermal\",\"power\"],\"floor_ns\":510}",
    };
    static const enum kb_quality qualities[] = {KB_Q_OK, KB_Q_CONTENDED, KB_Q_THROTTLED};
    struct kb_json docs[3];
    struct kb_timing timings[3] = {0};
    const struct kb_timing *times[3];
    const cJSON *items[3];
    struct kb_err err = {0};
    (void)state;
    for (int r = 0; r < 3; r++) {
        assert_true(kb_json_parse(&docs[r], "t", texts[r], strlen(texts[r]), &err));
        timings[r] = (struct kb_timing){.median_ns = 1000, .quality = qualities[r]};
        times[r] = &timings[r];
        items[r] = docs[r].root;
    }
    struct kb_buf text = {0};
    for (int n = 2; n <= 3; n++) {
        cJSON *time = kb_join_copy(items[0]);
        assert_true(kb_join_times(time, items, times, n, NAN, &err));
        kb_buf_clear(&text);
        kb_json_print(time, &text);
        const char *facts =
            n == 2 ? "{\"stopped\":\"precision\",\"samples\":22,\"samples_throttled\":4,"
                     "\"throttle\":[\"power\"],\"floor_ns\":510,"
                   : "{\"stopped\":\"time\",\"samples\":52,\"samples_throttled\":5,"
                     "\"throttle\":[\"power\",\"thermal\"],\"floor_ns\":510,";
        if (!kb_starts_with(text.data, facts) ||
            !strstr(text.data, "\"quality\":\"contended\"") ||
            !strstr(text.data, "\"quality_why\":\"in one of the runs: held back\""))
            fail_msg("%s", text.data);
        cJSON_Delete(time);
    }
    /* Joined once more it is still one of the runs; one that was told less tells nothing.
     */
    cJSON *before = kb_join_copy(items[1]), *time = kb_join_copy(items[1]);
    kb_json_add_text(before, "quality_why", "in one of the runs: held back");
    cJSON_DeleteItemFromObjectCaseSensitive(before, "samples");
    items[0] = before;
    assert_true(kb_join_times(time, items, (const struct kb_timing *[]){times[1], times[0]},
                              2, NAN, &err));
    assert_string_equal(kb_json_get(time, "quality_why")->valuestring,
                        "in one of the runs: held back");
    assert_null(kb_json_get(time, "samples"));
    cJSON_Delete(time);
    cJSON_Delete(before);
    kb_buf_free(&text);
    for (int r = 0; r < 3; r++)
        kb_json_free(&docs[r]);
}

static void parts_are_joined_and_a_row_in_two_of_them_is_refused(void **state) {
    (void)state;
    const struct made_row rows[] = {{.case_id = "s/1/b", .ns = 1000},
                                    {.case_id = "s/2/b", .ns = 2000, .untimed = true},
                                    {.case_id = "s/3/b", .ns = 3000}};
    struct kb_loaded parts[3], whole;
    struct kb_buf note = {0};
    struct kb_err err = {0};
    size_t n = 0;
    const char *path = in_room(state, "joined.json");
    make_report("NVIDIA H200", 1, rows, 2, &parts[0]);
    make_report("NVIDIA H200", 1, rows + 2, 1, &parts[1]);
    make_report("NVIDIA H200", 1, rows + 1, 1, &parts[2]);
    assert_true(kb_join_write(KB_JOIN_PARTS, parts, 2, path, &n, &note, &err));
    assert_int_equal(n, 3);
    assert_true(kb_loaded_read(path, &whole, &err));
    assert_int_equal(whole.n_rows, 3);
    assert_int_equal(whole.n_runs, 1);
    assert_string_equal(whole.rows[2].case_id, "s/3/b");
    kb_loaded_free(&whole);
    want_refused(state, KB_JOIN_PARTS, parts, 3, KB_INPUT, "s/2/b stands in made.json");
    free_all(parts, 3);
}

static void the_worst_verdict_of_the_runs_is_the_row_s(void **state) {
    (void)state;
    const struct made_row right = {.case_id = "s/1/b", .ns = 1000};
    const struct made_row wrong = {.case_id = "s/1/b",
                                   .verdict = "FAIL",
                                   .reason = "once",
                                   .reason_kind = "mismatch",
                                   .untimed = true};
    struct kb_loaded runs[3], base;
    struct kb_buf note = {0};
    struct kb_err err = {0};
    size_t n = 0;
    const char *path = in_room(state, "joined.json");
    make_report("NVIDIA H200", 1, &right, 1, &runs[0]);
    make_report("NVIDIA H200", 1, &wrong, 1, &runs[1]);
    make_report("NVIDIA H200", 1, &right, 1, &runs[2]);
    assert_true(kb_join_write(KB_JOIN_RUNS, runs, 3, path, &n, &note, &err));
    assert_true(kb_loaded_read(path, &base, &err));
    assert_int_equal(base.rows[0].verdict, KB_FAIL);
    assert_string_equal(base.rows[0].reason_text, "once");
    kb_loaded_free(&base);
    free_all(runs, 3);
}

static void a_baseline_keeps_the_reason_of_every_update(void **state) {
    (void)state;
    const struct made_row row = {.case_id = "s/1/b", .ns = 1000};
    struct kb_loaded base, fresh;
    struct kb_err err = {0};
    const char *path = in_room(state, "joined.json");
    make_report("NVIDIA H200", 1, &row, 1, &base);
    make_report("NVIDIA H200", 1, &row, 1, &fresh);
    assert_true(kb_baseline_update(&base, &fresh, "new tiles", path, &err));
    kb_loaded_free(&base);
    assert_true(kb_loaded_read(path, &base, &err));
    assert_true(kb_baseline_update(&base, &fresh, "a \"driver\"", path, &err));
    kb_loaded_free(&base);
    assert_true(kb_loaded_read(path, &base, &err));
    const cJSON *updates = kb_json_get(base.head.root, "updates");
    assert_int_equal(cJSON_GetArraySize(updates), 2);
    assert_string_equal(kb_json_get(cJSON_GetArrayItem(updates, 0), "reason")->valuestring,
                        "new tiles");
    assert_string_equal(kb_json_get(cJSON_GetArrayItem(updates, 1), "reason")->valuestring,
                        "a \"driver\"");
    kb_loaded_free(&base);
    kb_loaded_free(&fresh);
}

static void a_baseline_can_be_read_whatever_the_head_of_the_new_report_holds(void **state) {
    (void)state;
    static const char text[] =
        "{\"schema\":\"kbench-report/1\",\"a\\\"b\\\\\":1,"
        "\"updates\":[{\"reason\":\"of another baseline\"}]}\n"
        "{\"case\":\"s/1/b\",\"device\":\"0\",\"verdict\":\"PASS\"}\n"
        "{\"complete\":true,\"schema\":\"kbench-report/1\"}\n";
    const struct made_row row = {.case_id = "s/1/b", .ns = 1000};
    struct kb_loaded base, fresh;
    struct kb_err err = {0};
    struct kb_buf copy = {0};
    const char *path = in_room(state, "joined.json");
    make_report("NVIDIA H200", 1, &row, 1, &base);
    kb_buf_puts(&copy, text);
    assert_true(kb_loaded_of_text("fresh.jsonl", &copy, &fresh, &err));
    assert_true(kb_baseline_update(&base, &fresh, "why", path, &err));
    kb_loaded_free(&base);
    if (!kb_loaded_read(path, &base, &err))
        fail_msg("%s", err.msg);
    assert_non_null(kb_json_get(base.head.root, "a\"b\\"));
    const cJSON *updates = kb_json_get(base.head.root, "updates");
    assert_int_equal(cJSON_GetArraySize(updates), 1);
    assert_string_equal(kb_json_get(cJSON_GetArrayItem(updates, 0), "reason")->valuestring,
                        "why");
    kb_loaded_free(&base);
    kb_loaded_free(&fresh);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter_room, leave_room)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(runs_become_one_row_with_the_median_of_their_medians),
        TEST(runs_of_other_things_are_refused),
        TEST(full_rotations_are_alike_whatever_they_come_to),
        TEST(runs_of_one_duty_keep_it),
        TEST(what_was_seen_of_any_run_is_seen_of_all),
        TEST(parts_are_joined_and_a_row_in_two_of_them_is_refused),
        TEST(the_worst_verdict_of_the_runs_is_the_row_s),
        TEST(a_baseline_keeps_the_reason_of_every_update),
        TEST(a_baseline_can_be_read_whatever_the_head_of_the_new_report_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
