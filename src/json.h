/* json.h - text that is read and written as JSON, and the complaints about it. Part of the
 * sys layer, included by sys.h. */
#ifndef KB_JSON_H
#define KB_JSON_H

#include "base.h"

#include <cjson/cJSON.h>

/* ---- complaints: all errors of a file or a command line at once -------------------- */

struct kb_complaints {
    struct kb_buf text; /* whole lines, each ended by \n */
    int count;          /* lines past the first 50 are counted, not kept */
};
/* "file:line:col: error: path: what"; line 0 leaves ":line:col" out, path or file NULL
 * leaves that out. The line is escaped. */
void kb_complain(struct kb_complaints *c, const char *file, int line, int col,
                 const char *path, const char *fmt, ...) KB_PRINTF(6, 7);
/* Whether the next one is only counted. */
bool kb_complaints_full(const struct kb_complaints *c);
/* Of the command line: "kbench: error: --op: what". */
void kb_complain_option(struct kb_complaints *c, const char *option, const char *fmt, ...)
    KB_PRINTF(3, 4);
/* Those of a file that stand together, by line and column: they come as the file is read,
 * lists before what they make. */
void kb_complaints_sort(struct kb_complaints *c);
void kb_complaints_free(struct kb_complaints *c);

/* ---- JSON in --------------------------------------------------------------------------
 * Strict RFC 8259 over cJSON: our own scan of the text comes first and refuses what cJSON
 * lets through (trailing text, BOM, invalid UTF-8, raw control characters, \u0000, leading
 * zeros, numbers past a double, whole numbers that would round to 2^53, duplicate keys,
 * depth over 64). It keeps line and column (in characters) of every value and key, so that
 * errors can point; `valueint` of the nodes serves it and says nothing else. Look-ups are
 * by case-sensitive name only. */
enum {
    KB_JSON_DEPTH_MAX = 64,
    KB_JSON_BYTES_MAX = 64 << 20,
    KB_JSON_VALUES_MAX = 4 << 20, /* cJSON takes 80 bytes and more for each */
};

struct kb_json {
    cJSON *root;
    char *name;                 /* the file's name, for messages */
    struct kb_json_mark *marks; /* one per value, in document order */
    size_t n_marks;
    /* Set before the parse, 0 for a whole file: added to each line, and to each column of
     * the first line, since a contract sits inside a .cu file. */
    int line_offset, col_offset;
};
/* First error only goes to `err` as "name:line:col: error: what", kind KB_INPUT. All of
 * `doc` but the offsets is overwritten; on failure nothing is left to free. */
bool kb_json_parse(struct kb_json *doc, const char *name, const char *text, size_t size,
                   struct kb_err *err);
void kb_json_free(struct kb_json *doc);
/* Where `node` stands (its value; its key with of_key). 1-based; 0,0 if it is not of `doc`.
 */
void kb_json_where(const struct kb_json *doc, const cJSON *node, bool of_key, int *line,
                   int *col);
/* Append "groups[0].shapes[1]": the path of `node` in `doc`; nothing for the root. */
void kb_json_path(const struct kb_json *doc, const cJSON *node, struct kb_buf *out);
/* Complain about `node` with its place and path. */
void kb_json_complain(const struct kb_json *doc, const cJSON *node, bool of_key,
                      struct kb_complaints *c, const char *fmt, ...) KB_PRINTF(5, 6);
/* Complain of every key of `object` that is not in `known`, with "did you mean": at the
 * key, under the object's path. */
void kb_json_check_keys(const struct kb_json *doc, const cJSON *object,
                        const char *const *known, size_t n_known, struct kb_complaints *c);
/* Whether `object` has a key, not in `known`, of which that complains with `name`. Such a
 * name is not missing, and there is no second error to tell. */
bool kb_json_misspells(const cJSON *object, const char *name, const char *const *known,
                       size_t n_known);
/* Member of an object by exact name, or NULL. */
const cJSON *kb_json_get(const cJSON *object, const char *name);
/* Whole number of magnitude up to 2^53, and not -0. */
bool kb_json_i64(const cJSON *node, int64_t *out);

/* ---- JSON out: cJSON items with every addition checked --------------------------------
 * Out of memory ends the process. Numbers that are not finite are written as null; integers
 * over 2^53 as strings; bytes that are not UTF-8 as the text \xNN. */
cJSON *kb_json_object(void);
cJSON *kb_json_array(void);
/* Takes item; a member of that name is replaced. */
void kb_json_add(cJSON *object, const char *name, cJSON *item);
void kb_json_push(cJSON *array, cJSON *item);                             /* takes item */
void kb_json_add_text(cJSON *object, const char *name, const char *text); /* NULL: null */
void kb_json_add_i64(cJSON *object, const char *name, int64_t value);
/* At most `digits` significant digits, shortest that reads back the same at that precision.
 */
void kb_json_add_f64(cJSON *object, const char *name, double value, int digits);
void kb_json_add_bool(cJSON *object, const char *name, bool value);
cJSON *kb_json_i64_item(int64_t value);
cJSON *kb_json_f64_item(double value, int digits);
cJSON *kb_json_text_item(const char *text);
/* One line, no newline in it; appended to `out`. Numbers read back as the same double,
 * whole ones up to 2^53 are written in full, also those of a tree that was read:
 * cJSON_Print would corrupt both. */
void kb_json_print(const cJSON *item, struct kb_buf *out);

#endif
