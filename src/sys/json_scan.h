/* json_scan.h - within sys only: the strict scan that every JSON text passes before cJSON.
 */
#ifndef KB_SYS_JSON_SCAN_H
#define KB_SYS_JSON_SCAN_H

#include "sys.h"

#include <xxhash.h>

/* Where a value stands. Marks are in document order, a parent before its children, which is
 * the order of a walk over the cJSON tree. */
struct kb_json_mark {
    const cJSON *node; /* set after cJSON has parsed */
    int32_t parent; /* index of the mark of the object or array around it, -1: the root */
    int line, col;
    int key_line, key_col; /* 0 in an array and for the root */
};

/* Check all of `text` and fill doc->marks. doc->name and the offsets are used. */
bool kb_json_scan(struct kb_json *doc, const char *text, size_t size, struct kb_err *err);

/* ---- between json_scan.c and json_token.c ------------------------------------------ */

struct kb_place {
    int line, col;
};

/* Keys seen, of all objects: 128-bit hashes under a secret seed, open addressing. Linear in
 * the text, where comparing keys would be quadratic. */
struct kb_seen {
    XXH128_hash_t *slots; /* 0,0: free */
    size_t count, cap;
    uint64_t seed;
};

struct kb_scan {
    const char *text;
    size_t size, pos;
    size_t at; /* the place of this offset is known: */
    struct kb_place place;
    struct kb_json *doc;
    size_t marks_cap;
    struct kb_seen seen;
    struct kb_buf key; /* the last key, decoded */
    struct kb_err *err;
};

/* Line and column of `pos`, which never goes back: the whole scan counts each byte once. */
struct kb_place kb_scan_place(struct kb_scan *s, size_t pos);
/* "name:line:col: error: ..." to s->err; false. */
bool kb_scan_fail(struct kb_scan *s, struct kb_place place, const char *fmt, ...)
    KB_PRINTF(3, 4);
/* From the opening quote to past the closing one; decoded into `out` unless that is NULL.
 */
bool kb_scan_string(struct kb_scan *s, struct kb_buf *out);
bool kb_scan_number(struct kb_scan *s);

#endif
