/* load.h - between load.c and load_row.c: a report's rows, read without a tree. */
#ifndef KB_REPORT_LOAD_H
#define KB_REPORT_LOAD_H

#include "diff.h"
#include "report/pull.h"

/* What stands where a row may stand. */
struct kb_line {
    bool is_end;       /* a journal's end line */
    const char *wrong; /* the field that a row must have and has not, or has otherwise */
};
/* The object that comes next, as a row. False where it is no JSON, with the pull's error.
 */
bool kb_entry_pull(struct kb_pull *p, struct kb_arena *arena, struct kb_entry *out,
                   struct kb_line *line);

#endif
