/* completion_test.c - what completions offer is what options take. */
#include "cli/page.h"
#include "cli/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void words_of(const struct kb_option *option, struct kb_arena *arena,
                     struct kb_strings *out) {
    if (option->offer)
        option->offer(arena, out);
    for (int i = 0; option->words && option->words[i]; i++)
        kb_strings_add(out, arena, option->words[i]);
}

/* Of kbench OPTION WORD. */
static int complaints_of(const struct kb_option *option, const char *word) {
    struct kb_arena arena = {0};
    struct kb_options options;
    struct kb_complaints c = {0};
    const char *command = option->group == KB_G_COMPARE ? "diff" : "run";
    char *argv[] = {kb_arena_strdup(&arena, "kbench"), kb_arena_strdup(&arena, command),
                    kb_arena_strdup(&arena, option->name), kb_arena_strdup(&arena, word),
                    NULL};
    kb_options_parse(4, argv, &arena, &options, &c);
    int n = c.count;
    kb_complaints_free(&c);
    kb_arena_free(&arena);
    return n;
}

static void every_word_that_is_offered_is_taken(void **state) {
    (void)state;
    int offered = 0;
    for (size_t i = 0; i < kb_option_count(); i++) {
        struct kb_arena arena = {0};
        struct kb_strings words = {0};
        words_of(kb_option_at(i), &arena, &words);
        for (size_t w = 0; w < words.count; w++, offered++)
            if (!kb_ends_with(words.items[w], "=")) /* else it goes on */
                assert_int_equal(complaints_of(kb_option_at(i), words.items[w]), 0);
        kb_arena_free(&arena);
    }
    assert_true(offered > 60);
}

/* No shell may find anything in them but letters. */
static void words_that_are_offered_need_no_quotes(void **state) {
    (void)state;
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_-.=";
    for (size_t i = 0; i < kb_option_count(); i++) {
        struct kb_arena arena = {0};
        struct kb_strings words = {0};
        words_of(kb_option_at(i), &arena, &words);
        for (size_t w = 0; w < words.count; w++) {
            const char *word = words.items[w];
            assert_int_equal(strspn(word, plain), strlen(word));
            for (size_t k = 0; k < w; k++)
                assert_string_not_equal(words.items[k], word);
        }
        kb_arena_free(&arena);
    }
}

static void an_option_offers_in_one_way_and_only_if_it_takes_a_value(void **state) {
    (void)state;
    for (size_t i = 0; i < kb_option_count(); i++) {
        const struct kb_option *o = kb_option_at(i);
        int ways = (o->offer != NULL) + (o->words != NULL) + (o->files != NULL) +
                   (o->listed != NULL);
        assert_true(ways <= 1);
        assert_true(!ways || o->arg);
    }
}

static void both_shells_know_every_option_command_list_and_topic(void **state) {
    (void)state;
    struct kb_buf bash = {0}, zsh = {0};
    kb_completion_bash(&bash);
    kb_completion_zsh(&zsh);
    for (size_t i = 0; i < kb_option_count(); i++) {
        assert_non_null(strstr(bash.data, kb_option_at(i)->name));
        assert_non_null(strstr(zsh.data, kb_option_at(i)->name));
    }
    for (int i = 0; i < KB_COMMAND_COUNT; i++) {
        const char *word = kb_command_word((enum kb_command)i);
        assert_non_null(strstr(bash.data, word));
        assert_non_null(strstr(zsh.data, word));
    }
#define X(word, help)                                                                      \
    assert_non_null(strstr(bash.data, word));                                              \
    assert_non_null(strstr(zsh.data, "'" word ":"));
    KB_LISTS(X)
#undef X
    for (size_t i = 0; i < kb_topic_count; i++)
        assert_non_null(strstr(zsh.data, kb_topics[i].word));
    kb_buf_free(&bash);
    kb_buf_free(&zsh);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_word_that_is_offered_is_taken),
        cmocka_unit_test(words_that_are_offered_need_no_quotes),
        cmocka_unit_test(an_option_offers_in_one_way_and_only_if_it_takes_a_value),
        cmocka_unit_test(both_shells_know_every_option_command_list_and_topic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
