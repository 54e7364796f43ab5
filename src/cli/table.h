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
    X(KB_G_COMPARE, "compare")                                                             \
    X(KB_G_HELP, "")
enum kb_option_group {
#define X(id, word) id,
    KB_OPTION_GROUPS(X)
#undef X
        KB_OPTION_GROUP_COUNT
};

/* The words that kbench list takes. */
#define KB_LISTS(X)                                                                        \
    X("ops", "ops, with their shapes, dtypes and variants, and how many cases there are")  \
    X("variants", "of each kernel file, or of those that --op or --kernel name: dtypes, "  \
                  "when they take a case, what is good about them")                        \
    X("cases", "ids of the cases that case files and options select, as for kbench run, "  \
               "or of all of kbench's own; -v: their tags, places and why")                \
    X("devices", "GPUs and the host; for each thing that is missing what would mend it")   \
    X("builds", "the builds and their flags")

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
kb_take kb_take_slowdown, kb_take_growth, kb_take_by, kb_take_duty;
kb_take kb_take_seed, kb_take_mode, kb_take_methods, kb_take_format, kb_take_output,
    kb_take_kernel, kb_take_devices, kb_take_columns, kb_take_sort, kb_take_builds,
    kb_take_defines, kb_take_sanitize;

/* Adds the words that a completion offers for a value. */
typedef void kb_offer(struct kb_arena *arena, struct kb_strings *out);
kb_offer kb_offer_pivots;
kb_offer kb_offer_ops, kb_offer_dtypes, kb_offer_set, kb_offer_fills, kb_offer_tags,
    kb_offer_seeds, kb_offer_devices, kb_offer_builds, kb_offer_defines, kb_offer_variants,
    kb_offer_modes, kb_offer_tolerances, kb_offer_sanitizers, kb_offer_methods,
    kb_offer_formats, kb_offer_columns, kb_offer_sort_keys;

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
    kb_take *take;      /* OWN */
    kb_offer *offer;    /* where a completion knows words and `words` is NULL */
    const char *files;  /* where its value is a file: which, "*.cu" */
    const char *listed; /* where its values are what kbench list WORD prints */
    const char *help;
};
/* All of them, in the order of the help. */
size_t kb_option_count(void);
const struct kb_option *kb_option_at(size_t i);
/* Complaints of options that do not go together, or of a command that takes them not. */
void kb_options_check(const struct kb_options *options, struct kb_complaints *c);
/* Its two parts: what is run, and what is made of its rows. */
struct kb_option_rows {
    const struct kb_option *rows;
    size_t count;
};
extern const struct kb_option_rows kb_run_options, kb_report_options;
const char *kb_option_group_word(enum kb_option_group group);

/* What kbench is to have, and this version has not: said so by name. */
bool kb_is_later(const char *word);

#endif
