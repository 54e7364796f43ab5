/* table.h - the options of kbench as rows, for the parser and the help. */
#ifndef KB_CLI_TABLE_H
#define KB_CLI_TABLE_H

#include "cli.h"

/* id, its word in the help */
#define KB_OPTION_GROUPS(X)                                                                \
    X(KB_G_CASES, "cases")                                                                 \
    X(KB_G_WHERE, "where")                                                                 \
    X(KB_G_WHAT, "what")                                                                   \
    X(KB_G_CHECK, "check")                                                                 \
    X(KB_G_TIME, "time")                                                                   \
    X(KB_G_RUN, "run")                                                                     \
    X(KB_G_REPORT, "report")                                                               \
    X(KB_G_HELP, "")
enum kb_option_group {
#define X(id, word) id,
    KB_OPTION_GROUPS(X)
#undef X
        KB_OPTION_GROUP_COUNT
};

enum kb_option_type {
    KB_O_FLAG,     /* bool */
    KB_O_LIST,     /* kb_strings, split at commas; given again: added */
    KB_O_ITEMS,    /* kb_strings, not split; given again: added */
    KB_O_TEXT,     /* const char * */
    KB_O_WORD,     /* int, index in `words` */
    KB_O_COUNT,    /* int64_t, from min to max */
    KB_O_DURATION, /* double, ms */
    KB_O_SIZE,     /* size_t */
    KB_O_PERCENT,  /* double, a ratio */
    KB_O_OWN,      /* `take` does it */
};

/* A value into `out`; false, with what is wrong with it in `what`. */
typedef bool kb_take(const char *value, struct kb_arena *arena, struct kb_options *out,
                     struct kb_buf *what);
kb_take kb_take_seed, kb_take_mode, kb_take_methods, kb_take_format, kb_take_output,
    kb_take_kernel, kb_take_devices, kb_take_builds, kb_take_sanitize;

struct kb_option {
    const char *name;  /* "--op" */
    char letter;       /* -o, or 0 */
    const char *arg;   /* how its argument is written in the help; NULL: it takes none */
    const char *brief; /* in `kbench --help`; NULL: its name and argument, "": not there */
    bool close;        /* one blank before it there, not two */
    enum kb_option_group group;
    enum kb_option_type type;
    size_t at; /* of its field in struct kb_options */
    const char *const *words;
    int64_t min, max;
    kb_take *take; /* OWN */
    const char *help;
};
extern const struct kb_option kb_options[];
extern const size_t kb_option_count;
const char *kb_option_group_word(enum kb_option_group group);

/* What kbench is to have, and this version has not: said so by name. */
bool kb_is_later(const char *word);

#endif
