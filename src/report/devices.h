/* devices.h - between the files that show members of a case side by side. Internal to the
 * report layer. */
#ifndef KB_REPORT_DEVICES_H
#define KB_REPORT_DEVICES_H

#include "versus.h"

/* What a member is called: its build, its variant, or both. In versus->arena. */
const char *kb_versus_label(struct kb_versus *versus, const struct kb_row *row);
/* What A, B, ... are and the heads of the columns, where they are not those that stand
 * there. */
void kb_versus_legend(struct kb_versus *versus, const struct kb_row *rows, int n,
                      struct kb_buf *out);
/* Verdict, id and, where there are several, the method `by` ("": no line of one), padded to
 * where the cells begin. `colored`: the verdict as it is shown. */
void kb_versus_case(const struct kb_versus *versus, const struct kb_row *row,
                    const char *verdict, const char *colored, const char *by,
                    struct kb_buf *out);
/* Of a line that begins at `start`: behind it, or where it leaves no room on one below. */
void kb_versus_remark(const struct kb_versus *versus, const char *text, size_t start,
                      struct kb_buf *out);
/* Whether there is a line by plan.methods[m]: by the first there is, by another where one
 * of these rows was timed by it. */
bool kb_versus_has_line(const struct kb_versus *versus, const struct kb_row *rows, int n,
                        int m);
/* No blanks at a line's end, back to `start`. */
void kb_versus_trim(struct kb_buf *out, size_t start);
/* A row that has nothing beside it. */
void kb_versus_alone(const struct kb_versus *versus, const struct kb_row *row,
                     struct kb_buf *out);
/* devices.c: names over their columns; the lines of a case. */
void kb_devices_names(const struct kb_versus *versus, struct kb_buf *out);
void kb_devices_lines(const struct kb_versus *versus, const struct kb_row *rows, int n,
                      struct kb_buf *out);

#endif
