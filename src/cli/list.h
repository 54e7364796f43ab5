/* list.h - between list.c and list_ops.c: sheets of columns, and what ops and cases there
 * are. */
#ifndef KB_CLI_LIST_H
#define KB_CLI_LIST_H

#include "cli/terminal.h"

enum { KB_LIST_LABEL = 14 };

/* Columns as wide as their widest cell. */
struct kb_sheet {
    struct kb_arena arena;
    struct kb_strings cells; /* row by row */
    int n_columns;           /* at most 8 */
    unsigned right;          /* bit per column that is right-aligned */
};
void kb_sheet_cell(struct kb_sheet *sheet, const char *text);
/* The same; clears the text. */
void kb_sheet_cell_of(struct kb_sheet *sheet, struct kb_buf *text);
/* And frees it. */
void kb_sheet_print(struct kb_sheet *sheet, struct kb_buf *out);

/* All of kbench's own cases. */
struct kb_counts {
    struct kb_arena arena;
    struct kb_case_counts cases;
};
/* The table of ops, and counts for what follows it; false after a complaint. */
bool kb_list_ops(const struct kb_options *options, struct kb_counts *counts,
                 struct kb_buf *out, struct kb_complaints *c);
/* Lines of at most `width` columns. */
void kb_list_tags(const struct kb_counts *counts, int width, struct kb_buf *out);

/* Of --op: no word of it may be unknown, and none means all. */
void kb_list_check_ops(const struct kb_strings *asked, struct kb_complaints *c);
bool kb_list_wants(const struct kb_strings *asked, const struct kb_op *op);
/* The kernel file of an op's family; NULL where there is none, after a complaint if it is
 * wrong. */
const struct kb_kernel *kb_list_kernel(const struct kb_op *op, struct kb_arena *arena,
                                       struct kb_complaints *c);

#endif
