/* ceilings_kept_test.c - what a selftest found, kept for later: for whom it is there, and
 * that nothing else is taken for it. */
#include "selftest.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct kb_device_info gpu = {.uuid = "GPU-1", .driver = "580.1"};
static const struct kb_ceilings ceilings = {
    "2026-11-26", {4284.25, 4360, 4420, 4510.5, NAN}, {790.5, 781, NAN}};

static int in_a_folder(void **state) {
    static struct kb_temp temp;
    struct kb_err err = {0};
    assert_true(kb_temp_make(&temp, &err));
    assert_int_equal(setenv("KBENCH_CACHE", temp.path, 1), 0);
    *state = &temp;
    return 0;
}

static int gone(void **state) {
    kb_temp_free(*state);
    return unsetenv("KBENCH_CACHE");
}

static void ceilings_come_back_for_the_same_gpu_driver_and_clocks_alone(void **state) {
    struct kb_device_info other[4] = {gpu, gpu, gpu, gpu};
    struct kb_ceilings c;
    struct kb_buf note = {0};
    (void)state;
    assert_false(kb_ceilings_find(&gpu, &c));
    assert_true(kb_ceilings_keep(&gpu, &ceilings, &note));
    assert_int_equal(note.len, 0);
    assert_true(kb_ceilings_find(&gpu, &c));
    assert_string_equal(c.date, "2026-11-26");
    assert_true(c.gb_per_s[0] == 4284.25);
    assert_true(c.gb_per_s[3] == 4510.5);
    assert_true(isnan(c.gb_per_s[4]));
    assert_true(c.mma_tflop_per_s[0] == 790.5);
    assert_true(isnan(c.mma_tflop_per_s[2]));
    kb_text_copy(other[0].uuid, sizeof other[0].uuid, "GPU-2");
    kb_text_copy(other[1].driver, sizeof other[1].driver, "580.2");
    other[2].clocks_locked = true;
    kb_text_copy(other[3].uuid, sizeof other[3].uuid, "");
    for (int i = 0; i < 4; i++)
        assert_false(kb_ceilings_find(&other[i], &c));
    assert_false(kb_ceilings_keep(&other[3], &ceilings, &note));
    kb_buf_free(&note);
}

static void later_ones_take_the_place_of_earlier_ones(void **state) {
    struct kb_ceilings later = ceilings, c;
    struct kb_buf note = {0};
    (void)state;
    later.gb_per_s[0] = 4000;
    assert_true(kb_ceilings_keep(&gpu, &ceilings, &note));
    assert_true(kb_ceilings_keep(&gpu, &later, &note));
    assert_true(kb_ceilings_find(&gpu, &c));
    assert_true(c.gb_per_s[0] == 4000);
    kb_buf_free(&note);
}

static void damaged_ones_are_none(void **state) {
    const struct kb_temp *temp = *state;
    struct kb_arena arena = {0};
    struct kb_strings names = {0};
    struct kb_ceilings c;
    struct kb_buf note = {0}, text = {0}, path = {0};
    struct kb_err err = {0};
    assert_true(kb_ceilings_keep(&gpu, &ceilings, &note));
    assert_true(kb_folder_list(temp->path, ".bin", &arena, &names, &err));
    assert_int_equal(names.count, 1);
    kb_buf_printf(&path, "%s/%s", temp->path, names.items[0]);
    assert_true(kb_file_read(path.data, 1 << 20, &text, &err));
    text.data[text.len - 5] ^= 1;
    assert_true(kb_file_replace(path.data, text.data, text.len, &err));
    assert_false(kb_ceilings_find(&gpu, &c));
    kb_buf_free(&note);
    kb_buf_free(&text);
    kb_buf_free(&path);
    kb_arena_free(&arena);
}

static void what_cannot_be_written_is_said(void **state) {
    struct kb_buf note = {0};
    struct kb_ceilings c;
    (void)state;
    assert_int_equal(setenv("KBENCH_CACHE", "/proc/kbench", 1), 0);
    assert_false(kb_ceilings_keep(&gpu, &ceilings, &note));
    assert_non_null(strstr(kb_buf_text(&note), "/proc/kbench"));
    assert_false(kb_ceilings_find(&gpu, &c));
    kb_buf_free(&note);
}

/* An entry that is whole and says something else, as a later version might. */
static void dates_that_are_none_are_not_shown(void **state) {
    static const char *const dates[] = {"", "2026-11-2", "2026-11-26\x1b", "2026-11-260"};
    struct kb_buf note = {0};
    (void)state;
    for (size_t i = 0; i < KB_COUNT(dates); i++) {
        struct kb_ceilings bad = ceilings, c;
        kb_text_copy(bad.date, sizeof bad.date, dates[i]);
        assert_true(kb_ceilings_keep(&gpu, &bad, &note));
        assert_false(kb_ceilings_find(&gpu, &c));
    }
    kb_buf_free(&note);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, in_a_folder, gone)
    const struct CMUnitTest tests[] = {
        TEST(ceilings_come_back_for_the_same_gpu_driver_and_clocks_alone),
        TEST(later_ones_take_the_place_of_earlier_ones),
        TEST(damaged_ones_are_none),
        TEST(what_cannot_be_written_is_said),
        TEST(dates_that_are_none_are_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
