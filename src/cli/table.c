/* table.c - all options in the order of the help, and the words that they share. */
#include "cli/table.h"

#include <string.h>

static const char *const later[] = {
    "new", "cache", "--resume", "--shard", "--trust", "--schedule-seed",
};

bool kb_is_later(const char *word) {
    for (size_t i = 0; i < KB_COUNT(later); i++)
        if (kb_streq(later[i], word))
            return true;
    return false;
}

static const char *const groups[] = {
#define X(id, word) [id] = word,
    KB_OPTION_GROUPS(X)
#undef X
};

const char *kb_option_group_word(enum kb_option_group group) {
    return groups[group];
}

size_t kb_option_count(void) {
    return kb_run_options.count + kb_report_options.count;
}

const struct kb_option *kb_option_at(size_t i) {
    const struct kb_option_rows *run = &kb_run_options;
    return i < run->count ? &run->rows[i] : &kb_report_options.rows[i - run->count];
}
