/* safetensors_test.c - what is written is read again; every kind of bad file is refused
 * with a message that says what is wrong, where, and what was wanted. */
#include "safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* A file in memory: the length, this header, so many bytes of data. */
static struct kb_buf file_of(const char *header, size_t data_bytes) {
    struct kb_buf out = {0};
    uint64_t length = strlen(header);

    for (int i = 0; i < 8; i++)
        kb_buf_putc(&out, (char)(length >> 8 * i & 0xff));
    kb_buf_puts(&out, header);
    for (size_t i = 0; i < data_bytes; i++)
        kb_buf_putc(&out, (char)i);
    return out;
}

static bool parse(const char *header, size_t data_bytes, struct kb_st_file *file,
                  struct kb_err *err) {
    struct kb_buf bytes = file_of(header, data_bytes);
    *err = (struct kb_err){0};
    bool ok = kb_st_parse("x", bytes.data, bytes.len, bytes.len, file, err);

    kb_buf_free(&bytes);
    return ok;
}

static void expect_refused(const char *header, size_t data_bytes, const char *message) {
    struct kb_st_file file;
    struct kb_err err;

    assert_false(parse(header, data_bytes, &file, &err));
    assert_int_equal(err.kind, KB_INPUT);
    assert_string_equal(err.msg, message);
}

static void a_header_says_what_lies_where(void **state) {
    struct kb_st_file file;
    struct kb_err err;
    (void)state;
    assert_true(
        parse("{\"__metadata__\":{\"case\":\"silu/7x16/bf16\"},"
              "\"b\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[24,27]},"
              "\"none\":{\"dtype\":\"F64\",\"shape\":[2,0],\"data_offsets\":[24,24]},"
              "\"a\":{\"dtype\":\"BF16\",\"shape\":[3,4],\"data_offsets\":[0,24]}}  ",
              27, &file, &err));
    assert_int_equal(file.n_tensors, 3);
    assert_string_equal(kb_st_text_of(&file, "case"), "silu/7x16/bf16");
    assert_null(kb_st_text_of(&file, "seed"));
    const struct kb_st_tensor *a = kb_st_find(&file, "a"), *b = kb_st_find(&file, "b");
    assert_int_equal(a->type, kb_st_type_of(KB_BF16));
    assert_int_equal(a->rank, 2);
    assert_int_equal(a->shape[1], 4);
    assert_int_equal(b->offset, 24);
    assert_int_equal(b->bytes, 3);
    assert_int_equal(kb_st_find(&file, "none")->bytes, 0);
    assert_null(kb_st_find(&file, "c"));
    kb_st_close(&file);
}

static void a_file_without_tensors_is_one(void **state) {
    struct kb_st_file file;
    struct kb_err err;
    (void)state;
    assert_true(parse("{}", 0, &file, &err));
    assert_int_equal(file.n_tensors, 0);
    kb_st_close(&file);
}

static void a_wrong_length_of_the_header_is_refused(void **state) {
    struct kb_st_file file;
    struct kb_err err = {0};
    unsigned char start[16] = {9, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    (void)state;
    assert_false(kb_st_parse("x", start, 7, 7, &file, &err));
    assert_string_equal(err.msg, "x: has 7 bytes, a safetensors file begins with 8 for the "
                                 "length of its header");
    assert_false(kb_st_parse("x", start, 16, 16, &file, &err));
    assert_string_equal(err.msg,
                        "x: its header is said to have 9 bytes, 8 are left of the file");
    memset(start, 0xff, 8);
    assert_false(kb_st_parse("x", start, 16, 16, &file, &err));
    assert_non_null(strstr(err.msg, "18446744073709551615 bytes, 8 are left"));
    memset(start, 0, 8);
    start[3] = 2;
    assert_false(kb_st_parse("x", start, 16, UINT64_C(1) << 40, &file, &err));
    assert_string_equal(err.msg,
                        "x: its header has 33554432 bytes, at most 16777216 are read");
    start[3] = 0;
    assert_false(kb_st_parse("x", start, 16, 16, &file, &err));
    assert_string_equal(err.msg, "x: its header must begin with {");
}

static void a_header_that_is_no_json_is_refused_with_its_place(void **state) {
    (void)state;
    expect_refused(" {}", 0, "x: its header must begin with {");
    expect_refused("{\"a\":}", 0, "x:1:6: error: unexpected \"}\", a value was expected");
    expect_refused("{} {}", 0,
                   "x:1:4: error: unexpected \"{\", the end of the text was expected");
}

static void a_tensor_that_is_not_told_whole_is_refused(void **state) {
    (void)state;
    expect_refused("{\"a\":3}", 0, "x: tensor \"a\": must be an object");
    expect_refused("{\"\":{}}", 0, "x: a tensor has no name");
    expect_refused("{\"a\":{}}", 0,
                   "x: tensor \"a\": \"dtype\" must be a text such as \"BF16\"");
    expect_refused("{\"a\":{\"dtype\":\"F\\u001b4\"}}", 0,
                   "x: tensor \"a\": unknown dtype \"F^[4\"");
    expect_refused("{\"a\":{\"dtype\":\"F32\"}}", 0,
                   "x: tensor \"a\": \"shape\" must be a list of sizes");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 0,
                   "x: tensor \"a\": \"data_offsets\" must be two whole numbers from 0 to "
                   "2^53");
    expect_refused(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4],\"q\":1}}", 4,
        "x: tensor \"a\": has another key beside dtype, shape and data_offsets");
    expect_refused("{\"__metadata__\":{\"a\":1}}", 0,
                   "x: __metadata__ must hold nothing but texts");
    expect_refused("{\"__metadata__\":[]}", 0,
                   "x: __metadata__ must be an object of texts");
}

static void sizes_are_checked_before_they_are_multiplied(void **state) {
    (void)state;
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,0]}}", 0,
                   "x: tensor \"a\": shape[0] must be a whole number from 0 to 2^53");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2,1.5],\"data_offsets\":[0,0]}}",
                   0, "x: tensor \"a\": shape[1] must be a whole number from 0 to 2^53");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,1073741824],"
                   "\"data_offsets\":[0,0]}}",
                   0, "x: tensor \"a\": its size in bytes overflows");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],"
                   "\"data_offsets\":[0,4]}}",
                   4, "x: tensor \"a\": has more than 8 axes");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4,
                   "x: tensor \"a\": data_offsets [0, 4] hold 4 bytes, its shape and dtype "
                   "want 8");
}

static void an_empty_tensor_is_empty_however_large_its_other_axes(void **state) {
    struct kb_st_file file;
    struct kb_err err;
    (void)state;
    assert_true(parse("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,1073741824,0],"
                      "\"data_offsets\":[0,0]}}",
                      0, &file, &err));
    assert_int_equal(file.tensors[0].bytes, 0);
    kb_st_close(&file);
}

#define U8(name, from, to, size)                                                           \
    "\"" name "\":{\"dtype\":\"U8\",\"shape\":[" size "],\"data_offsets\":[" from "," to   \
    "]}"

static void ranges_that_do_not_fill_the_data_are_refused(void **state) {
    (void)state;
    expect_refused("{" U8("a", "0", "5", "5") "}", 4,
                   "x: tensor \"a\": data_offsets [0, 5] do not lie in order within the 4 "
                   "bytes of data");
    expect_refused("{" U8("a", "3", "1", "2") "}", 4,
                   "x: tensor \"a\": data_offsets [3, 1] do not lie in order within the 4 "
                   "bytes of data");
    expect_refused("{" U8("a", "0", "2", "2") "," U8("b", "1", "4", "3") "}", 4,
                   "x: tensor \"b\" begins at byte 1 of the data, where the one before it "
                   "ends at 2");
    expect_refused("{" U8("a", "0", "2", "2") "," U8("b", "3", "4", "1") "}", 4,
                   "x: bytes 2 to 3 of the data belong to no tensor");
    expect_refused("{" U8("a", "1", "4", "3") "}", 4,
                   "x: bytes 0 to 1 of the data belong to no tensor");
    expect_refused("{" U8("a", "0", "3", "3") "}", 4,
                   "x: bytes 3 to 4 of the data belong to no tensor");
    expect_refused("{" U8("a", "0", "4", "4") "," U8("b", "2", "2", "0") "}", 4,
                   "x: tensor \"b\" begins at byte 2 of the data, where the one before it "
                   "ends at 4");
}

/* ---- files --------------------------------------------------------------------------- */

static void what_is_written_is_read_again(void **state) {
    static const double want[3] = {1.5, -0.0, 1e300};
    static const uint16_t input[4] = {0x3f80, 0x8000, 0x7fc0, 1};
    struct kb_st_tensor tensors[] = {
        {.name = "want.out", .type = KB_ST_F64, .rank = 1, .shape = {3}},
        {.name = "in\"put", .type = KB_ST_BF16, .rank = 2, .shape = {2, 2}},
        {.name = "none", .type = KB_ST_I64, .rank = 1, .shape = {0}},
    };
    static const struct kb_st_text texts[] = {{"case", "silu/2x2/bf16"}, {"seed", "1"}};
    struct kb_temp temp = {0};
    struct kb_arena arena = {0};
    struct kb_st_writer writer;
    struct kb_st_file file;
    struct kb_err err = {0};
    double got[3];
    uint16_t got_input[4];
    (void)state;
    assert_true(kb_temp_make(&temp, &err));
    const char *path = kb_arena_printf(&arena, "%s/x.safetensors", temp.path);
    assert_true(kb_st_begin(path, tensors, 3, texts, 2, &writer, &err));
    assert_true(kb_st_add(&writer, want, 8, &err)); /* in parts */
    assert_true(kb_st_add(&writer, want + 1, 16, &err));
    assert_true(kb_st_add(&writer, input, sizeof input, &err));
    assert_true(kb_st_commit(&writer, &err));
    assert_true(kb_st_open(path, &file, &err));
    assert_int_equal(file.data_at % 8, 0);
    assert_string_equal(kb_st_text_of(&file, "seed"), "1");
    assert_true(kb_st_read(&file, kb_st_find(&file, "want.out"), got, &err));
    assert_memory_equal(got, want, sizeof want);
    assert_true(kb_st_read(&file, kb_st_find(&file, "in\"put"), got_input, &err));
    assert_memory_equal(got_input, input, sizeof input);
    assert_int_equal(truncate(path, (off_t)file.data_at + 3), 0);
    assert_false(kb_st_read(&file, kb_st_find(&file, "want.out"), got, &err));
    assert_int_equal(err.kind, KB_IO);
    kb_st_close(&file);
    assert_false(kb_st_open(path, &file, &err)); /* shorter than its header says */
    assert_int_equal(err.kind, KB_INPUT);
    kb_temp_free(&temp);
    kb_arena_free(&arena);
}

static void an_abandoned_file_leaves_nothing(void **state) {
    struct kb_st_tensor tensor = {.name = "a", .type = KB_ST_U8, .rank = 1, .shape = {9}};
    struct kb_temp temp = {0};
    struct kb_arena arena = {0};
    struct kb_strings left = {0};
    struct kb_st_writer writer;
    struct kb_err err = {0};
    (void)state;
    assert_true(kb_temp_make(&temp, &err));
    const char *path = kb_arena_printf(&arena, "%s/x.safetensors", temp.path);
    assert_true(kb_st_begin(path, &tensor, 1, NULL, 0, &writer, &err));
    assert_true(kb_st_add(&writer, "abc", 3, &err));
    kb_st_abandon(&writer);
    assert_true(kb_folder_list(temp.path, "", &arena, &left, &err));
    assert_int_equal(left.count, 0);
    kb_temp_free(&temp);
    kb_arena_free(&arena);
}

static void a_name_twice_and_a_size_past_2_to_the_53_are_not_written(void **state) {
    struct kb_st_tensor twice[] = {
        {.name = "a", .type = KB_ST_U8, .rank = 1, .shape = {1}},
        {.name = "a", .type = KB_ST_U8, .rank = 1, .shape = {1}},
    };
    struct kb_st_tensor large = {
        .name = "a", .type = KB_ST_F64, .rank = 2, .shape = {1 << 30, 1 << 30}};
    struct kb_buf out = {0};
    struct kb_err err = {0};
    (void)state;
    assert_false(kb_st_header(twice, 2, NULL, 0, &out, &err));
    assert_string_equal(err.msg, "tensor \"a\": no such name, or one that is taken");
    twice[0].name = "__metadata__";
    assert_false(kb_st_header(twice, 1, NULL, 0, &out, &err));
    assert_false(kb_st_header(&large, 1, NULL, 0, &out, &err));
    assert_string_equal(err.msg, "a: its size in bytes overflows");
    assert_int_equal(out.len, 0);
    kb_buf_free(&out);
}

static void what_is_no_regular_file_is_refused_at_once(void **state) {
    struct kb_st_file file;
    struct kb_err err = {0};
    (void)state;
    assert_false(kb_st_open("/dev/zero", &file, &err));
    assert_string_equal(err.msg, "/dev/zero: is not a regular file");
    assert_false(kb_st_open("/tmp", &file, &err));
    assert_int_equal(err.kind, KB_INPUT);
    assert_false(kb_st_open("/nowhere/x", &file, &err));
    assert_int_equal(err.kind, KB_INPUT);
}

static void every_dtype_of_ours_has_a_type_of_its_size(void **state) {
    (void)state;
    for (int d = 0; d < KB_DTYPE_COUNT; d++) {
        enum kb_st_type type = kb_st_type_of((enum kb_dtype)d);
        assert_true(type < KB_ST_TYPE_COUNT);
        assert_int_equal(kb_st_type_bytes(type), kb_dtype_bytes((enum kb_dtype)d));
    }
    assert_string_equal(kb_st_type_name(kb_st_type_of(KB_E4M3)), "F8_E4M3");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_says_what_lies_where),
        cmocka_unit_test(a_file_without_tensors_is_one),
        cmocka_unit_test(a_wrong_length_of_the_header_is_refused),
        cmocka_unit_test(a_header_that_is_no_json_is_refused_with_its_place),
        cmocka_unit_test(a_tensor_that_is_not_told_whole_is_refused),
        cmocka_unit_test(sizes_are_checked_before_they_are_multiplied),
        cmocka_unit_test(an_empty_tensor_is_empty_however_large_its_other_axes),
        cmocka_unit_test(ranges_that_do_not_fill_the_data_are_refused),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(an_abandoned_file_leaves_nothing),
        cmocka_unit_test(a_name_twice_and_a_size_past_2_to_the_53_are_not_written),
        cmocka_unit_test(what_is_no_regular_file_is_refused_at_once),
        cmocka_unit_test(every_dtype_of_ours_has_a_type_of_its_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
