/* activation_filter_test.c - activations with a filter: which rows are kept, by which ids.
 */
#include "ops/activation_fixture.h"

static bool kept(const struct run *r, int64_t row) {
    int64_t hidden = r->p.tensors[0].shape[1] / 2;
    int64_t n = 0;
    for (int64_t i = 0; i < hidden; i++)
        n += r->bound[row * hidden + i] == KB_KEEP;
    assert_true(n == 0 || n == hidden);
    return n > 0;
}

static void rows_whose_expert_is_minus_one_are_kept(void **state) {
    (void)state;
    struct run r, plain;
    run_make(&r, "silu/83x1024/bf16/filter=ids/step=16");
    run_make(&plain, "silu/83x1024/bf16");
    const int32_t *ids = r.data[2];
    int64_t n = 0;
    assert_int_equal(r.p.tensors[2].elements, 6);
    for (int64_t row = 0; row < 83; row++) {
        bool skipped = ids[row / 16] == -1;
        assert_int_equal(kept(&r, row), skipped);
        n += skipped;
        for (int64_t i = row * 512; i < (row + 1) * 512 && !skipped; i++)
            assert_true(r.want[i] == plain.want[i] && r.bound[i] == plain.bound[i]);
    }
    assert_true(n > 0 && n < 83);
    run_free(&r);
    run_free(&plain);
}

static void as_many_groups_are_skipped_as_asked_whatever_the_seed(void **state) {
    (void)state;
    static const struct {
        const char *id;
        int64_t groups, skipped;
    } cases[] = {
        {"gelu/1000x4/bf16/filter=ids", 1000, 400},
        {"gelu/1000x4/bf16/filter=ids/skip=0.25", 1000, 250},
        {"gelu/1000x4/bf16/filter=ids/skip=0", 1000, 0},
        {"gelu/1000x4/bf16/filter=ids/skip=1", 1000, 1000},
        {"gelu/1000x4/bf16/filter=ids/step=16", 63, 25},
        {"gelu/2x4/bf16/filter=ids/skip=0.01", 2, 1}, /* some and not all */
        {"gelu/2x4/bf16/filter=ids/skip=0.99", 2, 1},
        {"gelu/0x4/bf16/filter=ids", 0, 0},
        {"gelu/1x4/bf16/filter=ids", 1, 0},
    };
    for (size_t i = 0; i < KB_COUNT(cases); i++)
        for (uint64_t seed = 1; seed < 4; seed++) {
            struct run r;
            int64_t skipped = 0, zero = 0;
            run_make(&r, cases[i].id);
            r.c.op->fill(&r.p, 2, seed, 0, r.p.tensors[2].elements, r.data[2]);
            assert_int_equal(r.p.tensors[2].elements, cases[i].groups);
            for (int64_t g = 0; g < cases[i].groups; g++) {
                int32_t id = ((int32_t *)r.data[2])[g];
                assert_true(id >= -1);
                skipped += id == -1;
                zero += id == 0;
            }
            /* Expert 0 is computed: there a kernel that tests for <= 0 shows. */
            assert_int_equal(zero > 0, cases[i].skipped < cases[i].groups);
            assert_int_equal(skipped, cases[i].skipped);
            run_free(&r);
        }
}

static void which_groups_are_skipped_is_the_seeds(void **state) {
    (void)state;
    struct run r;
    int32_t other[1000];
    int differ = 0;
    run_make(&r, "silu/1000x4/bf16/filter=ids");
    r.c.op->fill(&r.p, 2, SEED + 1, 0, 1000, other);
    for (int i = 0; i < 1000; i++)
        differ += (other[i] == -1) != (((int32_t *)r.data[2])[i] == -1);
    assert_in_range(differ, 350, 600);
    run_free(&r);
}

static void sorted_rows_are_kept_past_the_end_and_where_the_id_is_none(void **state) {
    (void)state;
    struct run r;
    run_make(&r, "gelu_tanh/256x2048/fp16/filter=sorted/step=16");
    const int32_t *experts = r.data[2], *sorted = r.data[3], *post = r.data[4];
    double num_valid = name_value(&r.p, "num_valid");
    int past = 0, padding = 0, negative = 0, expert = 0, done = 0;
    assert_int_equal(post[0], 224);
    assert_true(num_valid == 224);
    for (int row = 0; row < 256; row++) {
        bool none = (double)(uint32_t)sorted[row] >= num_valid;
        bool skipped = row >= post[0] || none || experts[row / 16] == -1;
        past += row >= post[0] && !none && experts[row / 16] != -1;
        padding += row < post[0] && none && experts[row / 16] != -1;
        negative += row < post[0] && sorted[row] < 0;
        expert += row < post[0] && !none && experts[row / 16] == -1;
        done += !skipped;
        assert_int_equal(kept(&r, row), skipped);
    }
    /* Each of the rules alone keeps some row, or a kernel without it would pass. */
    assert_true(past > 0 && padding > 0 && negative > 0 && expert > 0 && done > 0);
    run_free(&r);
}

static void
sorted_ids_are_tokens_once_each_and_the_first_padding_is_num_valid(void **state) {
    (void)state;
    struct run r;
    bool seen[83] = {false}, limit = false;
    run_make(&r, "silu/83x1024/bf16/filter=sorted/num_valid=60");
    assert_true(name_value(&r.p, "num_valid") == 60);
    for (int row = 0; row < 83; row++) {
        int32_t id = ((int32_t *)r.data[3])[row];
        limit |= id == 60;
        if (id < 0 || id >= 60)
            continue;
        assert_false(seen[id]);
        seen[id] = true;
    }
    for (int id = 0; id < 60; id++)
        assert_true(seen[id]);
    assert_true(limit);
    run_free(&r);
}

static void no_row_is_kept_where_nothing_is_skipped(void **state) {
    (void)state;
    static const char *const ids[] = {"silu/64x512/bf16/filter=ids/skip=0",
                                      "silu/64x512/bf16/filter=sorted/skip=0"};
    struct run plain;
    run_make(&plain, "silu/64x512/bf16");
    for (size_t i = 0; i < KB_COUNT(ids); i++) {
        struct run r;
        run_make(&r, ids[i]);
        size_t bytes = (size_t)r.p.tensors[1].elements * sizeof *r.want;
        assert_memory_equal(r.want, plain.want, bytes);
        assert_memory_equal(r.bound, plain.bound, bytes);
        run_free(&r);
    }
    run_free(&plain);
}

static void every_row_is_kept_where_all_are_skipped(void **state) {
    (void)state;
    static const char *const ids[] = {"silu/32x512/bf16/filter=ids/skip=1",
                                      "silu/32x512/bf16/filter=sorted/skip=1/step=5"};
    for (size_t i = 0; i < KB_COUNT(ids); i++) {
        struct run r;
        run_make(&r, ids[i]);
        for (int row = 0; row < 32; row++)
            assert_true(kept(&r, row));
        assert_int_equal(r.p.flops, 0);
        run_free(&r);
    }
}

static void the_cost_is_that_of_the_rows_that_are_computed_and_of_the_ids(void **state) {
    (void)state;
    struct run r;
    run_make(&r, "silu/1000x1024/bf16/filter=ids/skip=0.25");
    assert_int_equal(r.p.bytes, 750 * 3 * 512 * 2 + 4 * 1000);
    assert_int_equal(r.p.flops, 750 * 512 * 5);
    assert_int_equal(r.p.ceiling_elements, 750 * 1024);
    run_free(&r);
    run_make(&r, "silu/256x1024/bf16/filter=sorted/step=16/skip=0.5/num_valid=128");
    /* 8 of 16 groups, 256 - 40 rows, 128 of 256 ids */
    assert_int_equal(r.p.bytes, 54 * 3 * 512 * 2 + 4 * (16 + 256 + 1));
    run_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_whose_expert_is_minus_one_are_kept),
        cmocka_unit_test(as_many_groups_are_skipped_as_asked_whatever_the_seed),
        cmocka_unit_test(which_groups_are_skipped_is_the_seeds),
        cmocka_unit_test(sorted_rows_are_kept_past_the_end_and_where_the_id_is_none),
        cmocka_unit_test(
            sorted_ids_are_tokens_once_each_and_the_first_padding_is_num_valid),
        cmocka_unit_test(no_row_is_kept_where_nothing_is_skipped),
        cmocka_unit_test(every_row_is_kept_where_all_are_skipped),
        cmocka_unit_test(the_cost_is_that_of_the_rows_that_are_computed_and_of_the_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
