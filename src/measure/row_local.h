/* row_local.h - between the files that write and read rows: where an output is wrong, and
 * the smallest case that still fails. Internal to the measure layer. */
#ifndef KB_ROW_LOCAL_H
#define KB_ROW_LOCAL_H

#include "fields.h"
#include "measure.h"

cJSON *kb_local_item(const struct kb_local *local);
const struct kb_local *kb_local_of(struct kb_fields *f, const cJSON *object);

cJSON *kb_against_item(const struct kb_against *against);
const struct kb_against *kb_against_of(struct kb_fields *f, const cJSON *object);

cJSON *kb_smallest_item(const struct kb_smallest *smallest);
const struct kb_smallest *kb_smallest_of(struct kb_fields *f, const cJSON *object);

#endif
