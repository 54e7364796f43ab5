/* arena_test.c - arenas give zeroed, aligned, separate memory, and sizes do not overflow.
 */
#include "base.h"

#include <setjmp.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static bool all_zero(const unsigned char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

static void memory_is_aligned_zeroed_and_does_not_overlap(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    enum { N = 400 };
    unsigned char *parts[N];
    size_t sizes[N];
    for (size_t i = 0; i < N; i++) {
        sizes[i] =
            i % 7 == 6 ? 30000 + i : (i * 37) % 501; /* small, large and empty ones */
        parts[i] = kb_arena_alloc(&arena, sizes[i]);
        assert_non_null(parts[i]);
        assert_int_equal((uintptr_t)parts[i] % _Alignof(max_align_t), 0);
        assert_true(all_zero(parts[i], sizes[i]));
        memset(parts[i], (int)(i % 255 + 1), sizes[i]);
    }
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(parts[i][k], i % 255 + 1);
    kb_arena_free(&arena);
    assert_null(arena.head);
    kb_arena_free(&arena);
}

static void empty_allocations_are_distinct(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    assert_ptr_not_equal(kb_arena_alloc(&arena, 0), kb_arena_alloc(&arena, 0));
    kb_arena_free(&arena);
}

static void a_block_larger_than_usual_leaves_the_small_ones_together(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    char *first = kb_arena_alloc(&arena, 16);
    memset(kb_arena_alloc(&arena, 1 << 20), 1, 1 << 20);
    char *second = kb_arena_alloc(&arena, 16);
    assert_ptr_equal(second, first + 16);
    kb_arena_free(&arena);
}

static void after_a_reset_the_same_memory_is_zero_again(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    kb_arena_reset(&arena);
    unsigned char *before = kb_arena_alloc(&arena, 1000);
    memset(before, 0xff, 1000);
    memset(kb_arena_alloc(&arena, 1 << 20), 0xff, 1 << 20);
    kb_arena_reset(&arena);
    unsigned char *after = kb_arena_alloc(&arena, 1000);
    assert_ptr_equal(before, after);
    assert_true(all_zero(after, 1000));
    kb_arena_free(&arena);
}

static void a_reset_without_an_ordinary_block_frees_all(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    kb_arena_alloc(&arena, 1 << 20);
    kb_arena_reset(&arena);
    assert_null(arena.head);
}

static void strings_are_copied(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    char text[] = "silu/83x1024";
    char *whole = kb_arena_strdup(&arena, text);
    char *part = kb_arena_strndup(&arena, text, 4);
    char *past = kb_arena_strndup(&arena, text, 1000);
    char *made = kb_arena_printf(&arena, "%s-%d", text, 7);
    memset(text, '#', sizeof text - 1);
    assert_string_equal(whole, "silu/83x1024");
    assert_string_equal(part, "silu");
    assert_string_equal(past, "silu/83x1024");
    assert_string_equal(made, "silu/83x1024-7");
    assert_string_equal(kb_arena_printf(&arena, "%s", ""), "");
    kb_arena_free(&arena);
}

static void products_and_sums_that_do_not_fit_are_refused(void **state) {
    (void)state;
    size_t size = 5;
    int64_t wide = 5;
    assert_true(kb_mul_size(SIZE_MAX / 2, 2, &size));
    assert_int_equal(size, SIZE_MAX - 1);
    assert_false(kb_mul_size(SIZE_MAX / 2 + 1, 2, &size));
    assert_false(kb_add_size(SIZE_MAX, 1, &size));
    assert_int_equal(size, SIZE_MAX - 1);
    assert_true(kb_add_size(SIZE_MAX - 1, 1, &size));
    assert_int_equal(size, SIZE_MAX);
    assert_false(kb_mul_i64(INT64_MAX / 2 + 1, 2, &wide));
    assert_false(kb_mul_i64(INT64_MIN, -1, &wide));
    assert_int_equal(wide, 5);
    assert_true(kb_mul_i64(INT64_MIN, 1, &wide));
    assert_true(wide == INT64_MIN);
}

static void an_array_is_as_large_as_asked_and_never_less(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    unsigned char *array = kb_arena_array(&arena, 1000, 24);
    assert_true(all_zero(array, 24000));
    assert_true((unsigned char *)kb_arena_alloc(&arena, 1) >= array + 24000);
    kb_arena_free(&arena);
    static const size_t too_many[][2] = {
        {SIZE_MAX / 2 + 2, 2}, {SIZE_MAX, 1}, {SIZE_MAX - 20, 1}};
    for (size_t i = 0; i < KB_COUNT(too_many); i++) {
        int status;
        pid_t pid = fork();
        if (pid == 0) {
            close(STDERR_FILENO);
            kb_arena_array(&arena, too_many[i][0], too_many[i][1]);
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_aligned_zeroed_and_does_not_overlap),
        cmocka_unit_test(empty_allocations_are_distinct),
        cmocka_unit_test(a_block_larger_than_usual_leaves_the_small_ones_together),
        cmocka_unit_test(after_a_reset_the_same_memory_is_zero_again),
        cmocka_unit_test(a_reset_without_an_ordinary_block_frees_all),
        cmocka_unit_test(an_array_is_as_large_as_asked_and_never_less),
        cmocka_unit_test(strings_are_copied),
        cmocka_unit_test(products_and_sums_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
