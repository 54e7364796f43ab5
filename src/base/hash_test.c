/* hash_test.c - keys of the cache: stable, and fields cannot merge. */
#include "base.h"

#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

static struct kb_hash of_two(const char *a, const char *b) {
    struct kb_hasher *hasher = kb_hasher_make();
    kb_hasher_text(hasher, a);
    kb_hasher_text(hasher, b);
    return kb_hasher_end(hasher);
}

static bool same(struct kb_hash a, struct kb_hash b) {
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

static void the_same_fields_give_the_same_hash(void **state) {
    (void)state;
    assert_true(same(of_two("ab", "c"), of_two("ab", "c")));
}

static void moving_a_byte_between_fields_changes_the_hash(void **state) {
    (void)state;
    assert_false(same(of_two("ab", "c"), of_two("a", "bc")));
    assert_false(same(of_two("abc", ""), of_two("", "abc")));
    assert_false(same(of_two("", "abc"), of_two("abc", "")));
    assert_false(same(of_two("-O2 -g", ""), of_two("-O2", " -g")));
}

static void an_empty_field_counts(void **state) {
    (void)state;
    struct kb_hasher *hasher = kb_hasher_make();
    struct kb_hash none = kb_hasher_end(hasher);
    hasher = kb_hasher_make();
    kb_hasher_add(hasher, NULL, 0);
    assert_false(same(none, kb_hasher_end(hasher)));
}

static void every_flipped_bit_changes_the_hash(void **state) {
    (void)state;
    unsigned char data[64];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 37);
    struct kb_hash whole = kb_hash_of(data, sizeof data);
    for (size_t bit = 0; bit < 8 * sizeof data; bit++) {
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        assert_false(same(whole, kb_hash_of(data, sizeof data)));
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    assert_true(same(whole, kb_hash_of(data, sizeof data)));
}

static void the_hash_of_nothing_is_the_published_one(void **state) {
    (void)state;
    char hex[KB_HASH_HEX];
    struct kb_hash hash = kb_hash_of("", 0);
    kb_hash_hex(&hash, hex);
    assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_fields_give_the_same_hash),
        cmocka_unit_test(moving_a_byte_between_fields_changes_the_hash),
        cmocka_unit_test(an_empty_field_counts),
        cmocka_unit_test(every_flipped_bit_changes_the_hash),
        cmocka_unit_test(the_hash_of_nothing_is_the_published_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
