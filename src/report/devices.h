/* devices.h - between the files that show members of a case side by side. Internal to the
 * report layer. */
#ifndef KB_REPORT_DEVICES_H
#define KB_REPORT_DEVICES_H

#include "versus.h"

/* What a member is called: its build, its variant, or both. In versus->arena. */
const char *kb_versus_label(struct kb_versus *versus, const struct kb_row *row);
/* Verdict and id, padded to where the cells begin. `colored`: the verdict as it is shown.
 */
void kb_versus_case(const struct kb_versus *versus, const struct kb_row *row,
                    const char *verdict, const char *colored, struct kb_buf *out);
/* No blanks at a line's end, back to `start`. */
void kb_versus_trim(struct kb_buf *out, size_t start);
/* A row that has nothing beside it. */
void kb_versus_alone(const struct kb_versus *versus, const struct kb_row *row,
                     struct kb_buf *out);
/* devices.c: names over their columns; the line of a case. */
void kb_devices_names(const struct kb_versus *versus, struct kb_buf *out);
void kb_devices_line(const struct kb_versus *versus, const struct kb_row *rows, int n,
                     struct kb_buf *out);

#endif
