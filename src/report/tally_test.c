/* tally_test.c - what rows add up to: an exit status that is a kind, whatever the count. */
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

/* The time of matrix work says nothing of the memory. */
static void a_ceiling_counts_for_what_it_is_of(void **state) {
    struct view *v = *state;
    struct kb_tally *tally = kb_arena_alloc(&v->arena, sizeof *tally);
    struct kb_row row = sample_row();
    sample_time(&row, KB_GRAPH, 1000);
    row.times[KB_GRAPH].ceiling_ns = 500;
    row.times[KB_GRAPH].ceiling_op = "stream";
    kb_tally_add(tally, &row);
    row.times[KB_GRAPH].ceiling_op = "mma";
    row.times[KB_GRAPH].ceiling_ns = 1;
    kb_tally_add(tally, &row);
    assert_true(fabs(tally->devices[0].stream_gb_per_s - 254976 / 500.0) < 1e-9);
    assert_true(fabs(tally->devices[0].mma_gflop_per_s - 424960) < 1e-6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(any_number_of_failures_is_status_1),
        TEST(a_ceiling_counts_for_what_it_is_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
