/* rerun.h - between rerun.c and plan.c: the rows of a report that are run again. */
#ifndef KB_CLI_RERUN_H
#define KB_CLI_RERUN_H

#include "cli.h"

/* A row that failed, ended in an error or was mistrusted. */
struct kb_rerun_row {
    const char *case_id, *build, *variant; /* variant "": none was chosen */
    uint64_t seed;
    int64_t sample_rows;
    bool has_tolerance; /* else the op's bound decided */
    struct kb_tolerance tolerance;
};
struct kb_rerun {
    struct kb_rerun_row *rows; /* in the order of their keys */
    size_t n;
    bool by_variant; /* each row names its variant */
};
/* What failed in the report that asked->rerun names. `out`: the same options with its
 * cases, and its builds and variants where none were asked for. A kernel that is not
 * kbench's own is taken from where the rows have it, if what lies there has the hash that
 * they have; another one, and flags, must be in `asked`: the complaint is the command. */
bool kb_rerun_read(const struct kb_options *asked, struct kb_arena *arena,
                   struct kb_options *out, struct kb_rerun *rerun, struct kb_complaints *c);
/* The row that a job repeats; NULL: it did not fail there. `variant` NULL: any. */
const struct kb_rerun_row *kb_rerun_find(const struct kb_rerun *rerun, const char *case_id,
                                         const char *build, const char *variant);

#endif
