/* json_scan.h - within sys only: the strict scan that every JSON text passes before cJSON.
 */
#ifndef KB_SYS_JSON_SCAN_H
#define KB_SYS_JSON_SCAN_H

#include "sys.h"

/* Where a value stands. Marks are in document order, a parent before its children, which is
 * the order of a walk over the cJSON tree. */
struct kb_json_mark {
    const cJSON *node; /* set after cJSON has parsed */
    int32_t
        parent; /* index of the mark of the object or array around it, -1 for the root */
    int line, col;
    int key_line, key_col; /* 0 in an array and for the root */
};

/* Check all of `text` and fill doc->marks. doc->name and the offsets are used. */
bool kb_json_scan(struct kb_json *doc, const char *text, size_t size, struct kb_err *err);

#endif
