/* buf_test.c - buffers grow, end in NUL, and can be taken back. */
#include "base.h"

#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

static void an_empty_buffer_reads_as_empty_text(void **state) {
    (void)state;
    struct kb_buf buf = {0};
    assert_string_equal(kb_buf_text(&buf), "");
    kb_buf_clear(&buf);
    kb_buf_cut(&buf, 0);
    kb_buf_free(&buf);
    kb_buf_add(&buf, NULL, 0);
    assert_string_equal(buf.data, "");
    kb_buf_free(&buf);
    assert_null(buf.data);
}

static void what_is_added_stands_in_order_before_a_nul(void **state) {
    (void)state;
    struct kb_buf buf = {0};
    for (int i = 0; i < 1000; i++) {
        kb_buf_printf(&buf, "%d", i % 10);
        kb_buf_putc(&buf, ',');
        kb_buf_puts(&buf, "ab");
        kb_buf_add(&buf, "\0z", 2);
        assert_int_equal(buf.len, (size_t)(i + 1) * 6);
        assert_int_equal(buf.data[buf.len], 0);
    }
    for (size_t i = 0; i < 1000; i++) {
        const char *p = buf.data + 6 * i;
        assert_int_equal(p[0], '0' + (int)(i % 10));
        assert_memory_equal(p + 1, ",ab\0z", 5);
    }
    kb_buf_free(&buf);
}

static void long_formatted_text_is_whole(void **state) {
    (void)state;
    struct kb_buf buf = {0};
    kb_buf_printf(&buf, "%*d|%s", 5000, 7, "end");
    assert_int_equal(buf.len, 5004);
    assert_string_equal(buf.data + 4999, "7|end");
    kb_buf_free(&buf);
}

static void reserved_room_may_be_filled_in_place(void **state) {
    (void)state;
    struct kb_buf buf = {0};
    kb_buf_puts(&buf, "ab");
    char *end = kb_buf_reserve(&buf, 3);
    assert_ptr_equal(end, buf.data + 2);
    memcpy(end, "cde", 4);
    buf.len += 3;
    assert_string_equal(kb_buf_text(&buf), "abcde");
    kb_buf_cut(&buf, 9);
    assert_string_equal(kb_buf_text(&buf), "abcde");
    kb_buf_cut(&buf, 1);
    assert_string_equal(kb_buf_text(&buf), "a");
    kb_buf_clear(&buf);
    assert_string_equal(kb_buf_text(&buf), "");
    assert_int_equal(buf.len, 0);
    kb_buf_free(&buf);
}

static void a_list_keeps_its_strings_in_order(void **state) {
    (void)state;
    struct kb_arena arena = {0};
    struct kb_strings list = {0};
    assert_false(kb_strings_has(&list, ""));
    for (int i = 0; i < 100; i++)
        kb_strings_add(&list, &arena, kb_arena_printf(&arena, "item%d", i));
    assert_int_equal(list.count, 100);
    for (size_t i = 0; i < 100; i++)
        assert_string_equal(list.items[i], kb_arena_printf(&arena, "item%zu", i));
    assert_true(kb_strings_has(&list, "item57"));
    assert_false(kb_strings_has(&list, "item"));
    kb_arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_buffer_reads_as_empty_text),
        cmocka_unit_test(what_is_added_stands_in_order_before_a_nul),
        cmocka_unit_test(long_formatted_text_is_whole),
        cmocka_unit_test(reserved_room_may_be_filled_in_place),
        cmocka_unit_test(a_list_keeps_its_strings_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
