/* tally_test.c - a run's exit status is a kind, whatever the count. */
#include "report/sample_view.h"

static void any_number_of_failures_is_status_1(void **state) {
    struct view *v = *state;
    const int counts[] = {0, 1, 2, 3, 7, 127, 255, 256, 257, 512, 65536};
    for (size_t i = 0; i < KB_COUNT(counts); i++) {
        struct kb_tally *tally = kb_arena_alloc(&v->arena, sizeof *tally);
        struct kb_row row = sample_row();
        kb_tally_add(tally, &row);
        row.reason = KB_R_MISMATCH;
        for (int k = 0; k < counts[i]; k++)
            kb_tally_add(tally, &row);
        assert_int_equal(kb_tally_status(tally), counts[i] > 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(any_number_of_failures_is_status_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
