/* pull.h - JSON taken from a text piece by piece, without a tree: reports of 10 000 rows
 * are read in a tenth of a second. As strict as json.h, but that the same key may stand
 * twice among those that are skipped. Internal to the report layer. */
#ifndef KB_REPORT_PULL_H
#define KB_REPORT_PULL_H

#include "sys.h"

enum kb_pull_kind {
    KB_PULL_NONE, /* no value begins here */
    KB_PULL_NULL,
    KB_PULL_BOOL,
    KB_PULL_NUMBER,
    KB_PULL_TEXT,
    KB_PULL_ARRAY,
    KB_PULL_OBJECT
};

/* Zero but for name, text, size and err. After a failure every call fails, and `err` has
 * the first: "name:line:col: error: what". */
struct kb_pull {
    const char *name, *text;
    size_t size, pos;
    int depth;
    bool fresh; /* an array or object was just opened */
    bool failed;
    struct kb_buf scratch; /* a key or text that had escapes */
    struct kb_err *err;
};
void kb_pull_free(struct kb_pull *p);

struct kb_slice {
    const char *text; /* not ended by a NUL */
    size_t len;
};
bool kb_slice_is(const struct kb_slice *slice, const char *word);

/* What the next value is; it is not taken. */
enum kb_pull_kind kb_pull_peek(struct kb_pull *p);
/* Open the object or array that comes next. */
bool kb_pull_open(struct kb_pull *p, enum kb_pull_kind kind);
/* Before each member of the object, or item of the array, that is open: false where it
 * ends, which closes it. Its value must be taken or skipped then. A key lives until the
 * next call. */
bool kb_pull_member(struct kb_pull *p, struct kb_slice *key);
bool kb_pull_item(struct kb_pull *p);
/* A text: decoded into the arena. */
bool kb_pull_text(struct kb_pull *p, struct kb_arena *arena, const char **out);
bool kb_pull_number(struct kb_pull *p, double *out);
/* Any value, checked; its text, where that is asked for. */
bool kb_pull_skip(struct kb_pull *p, struct kb_slice *text);
/* Only blanks are left. */
bool kb_pull_ends(struct kb_pull *p);
/* Fail at `pos`. */
bool kb_pull_fail(struct kb_pull *p, size_t pos, const char *fmt, ...) KB_PRINTF(3, 4);

#endif
