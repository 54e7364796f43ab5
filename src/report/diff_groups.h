/* diff_groups.h - between diff_words.c and diff_groups.c. */
#ifndef KB_DIFF_GROUPS_H
#define KB_DIFF_GROUPS_H

#include "report/compare_words.h"

/* Counts and geometric means: by op and of all, with `all` by dtype and size as well. Of a
 * narrow terminal (`columns`; 0: any) errors go first, then what is 0 everywhere. */
void kb_groups_print(const struct kb_pairs *pairs, bool all, int columns,
                     struct kb_buf *out);
cJSON *kb_groups_item(const struct kb_pairs *pairs);
/* Whether GPUs differ. */
bool kb_is_crossed(const struct kb_pairs *pairs);
double kb_ceiling_of(const struct kb_timing *t);
/* "99 % -> 98 %", "-" where neither is known */
void kb_ceilings_change(double a, double b, struct kb_buf *out);
/* "0.14 -> 0.14" */
void kb_error_words(double a, double b, struct kb_buf *out);

#endif
