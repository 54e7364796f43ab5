/* json_in.c - JSON documents that are read: parse, look up, point at places. */
#include "sys/json_scan.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Give each mark its node: both are in document order. Depth is bounded by the scan. A node
 * other than a number has no use for valueint: it keeps the way back, or a file of 100000
 * groups that each ask for their line would be searched as often. */
static void attach(struct kb_json *doc, cJSON *node, size_t *next) {
    assert(*next < doc->n_marks);
    if (!cJSON_IsNumber(node))
        node->valueint = (int)*next;
    doc->marks[(*next)++].node = node;
    for (cJSON *child = node->child; child; child = child->next)
        attach(doc, child, next);
}

bool kb_json_parse(struct kb_json *doc, const char *name, const char *text, size_t size,
                   struct kb_err *err) {
    size_t attached = 0;
    *doc = (struct kb_json){
        .name = strdup(name),
        .line_offset = doc->line_offset,
        .col_offset = doc->col_offset,
    };
    if (!doc->name)
        kb_out_of_memory();
    if (!kb_json_scan(doc, text, size, err))
        goto fail;
    doc->root = cJSON_ParseWithLengthOpts(text, size, NULL, false);
    if (!doc->root) { /* what passed the scan is refused only for want of memory */
        kb_fail(err, KB_MEMORY, "%s: no memory for %zu values", name, doc->n_marks);
        goto fail;
    }
    attach(doc, doc->root, &attached);
    assert(attached == doc->n_marks);
    return true;
fail:
    kb_json_free(doc);
    return false;
}

void kb_json_free(struct kb_json *doc) {
    cJSON_Delete(doc->root);
    free(doc->name);
    free(doc->marks);
    *doc = (struct kb_json){0};
}

/* ---- places ------------------------------------------------------------------------ */

static const struct kb_json_mark *find_mark(const struct kb_json *doc, const cJSON *node) {
    size_t at = node && node->valueint > 0 ? (size_t)node->valueint : 0;
    if (at < doc->n_marks && doc->marks[at].node == node)
        return &doc->marks[at];
    for (size_t i = 0; node && i < doc->n_marks; i++)
        if (doc->marks[i].node == node)
            return &doc->marks[i];
    return NULL;
}

static void place_of(const struct kb_json_mark *mark, bool of_key, int *line, int *col) {
    bool key = mark && of_key && mark->key_line;
    *line = key ? mark->key_line : mark ? mark->line : 0;
    *col = key ? mark->key_col : mark ? mark->col : 0;
}

void kb_json_where(const struct kb_json *doc, const cJSON *node, bool of_key, int *line,
                   int *col) {
    place_of(find_mark(doc, node), of_key, line, col);
}

static bool is_plain_name(const char *name) {
    for (const char *p = name; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
              (*p >= '0' && *p <= '9') || *p == '_' || *p == '-'))
            return false;
    return *name;
}

static void put_step(const cJSON *parent, const cJSON *node, struct kb_buf *out) {
    if (cJSON_IsArray(parent)) {
        size_t index = 0;
        for (const cJSON *item = parent->child; item != node; item = item->next)
            index++;
        kb_buf_printf(out, "[%zu]", index);
    } else if (is_plain_name(node->string)) {
        kb_buf_printf(out, out->len ? ".%s" : "%s", node->string);
    } else {
        kb_buf_puts(out, "[\"");
        kb_escape(out, node->string, strlen(node->string));
        kb_buf_puts(out, "\"]");
    }
}

static void put_path(const struct kb_json *doc, const struct kb_json_mark *mark,
                     struct kb_buf *out) {
    const struct kb_json_mark *chain[KB_JSON_DEPTH_MAX + 1];
    struct kb_buf path = {0}; /* apart from `out`, which may hold text already */
    size_t n = 0;
    for (; mark && mark->parent >= 0; mark = &doc->marks[mark->parent])
        chain[n++] = mark;
    while (n--)
        put_step(doc->marks[chain[n]->parent].node, chain[n]->node, &path);
    kb_buf_puts(out, kb_buf_text(&path));
    kb_buf_free(&path);
}

void kb_json_path(const struct kb_json *doc, const cJSON *node, struct kb_buf *out) {
    put_path(doc, find_mark(doc, node), out);
}

/* The place of `at`, the path of `of`. */
static void complain(const struct kb_json *doc, const cJSON *at, const cJSON *of,
                     bool of_key, struct kb_complaints *c, const char *what) {
    struct kb_buf path = {0};
    int line = 0, col = 0;
    if (!kb_complaints_full(c)) { /* places and paths cost a walk over the document */
        const struct kb_json_mark *mark = find_mark(doc, at);
        place_of(mark, of_key, &line, &col);
        put_path(doc, of == at ? mark : find_mark(doc, of), &path);
    }
    kb_complain(c, doc->name, line, col, kb_buf_text(&path), "%s", what);
    kb_buf_free(&path);
}

void kb_json_complain(const struct kb_json *doc, const cJSON *node, bool of_key,
                      struct kb_complaints *c, const char *fmt, ...) {
    struct kb_buf what = {0};
    va_list args;
    va_start(args, fmt);
    kb_buf_vprintf(&what, fmt, args);
    va_end(args);
    complain(doc, node, node, of_key, c, kb_buf_text(&what));
    kb_buf_free(&what);
}

static bool is_known(const char *name, const char *const *known, size_t n_known) {
    for (size_t i = 0; i < n_known; i++)
        if (kb_streq(known[i], name))
            return true;
    return false;
}

void kb_json_check_keys(const struct kb_json *doc, const cJSON *object,
                        const char *const *known, size_t n_known, struct kb_complaints *c) {
    const cJSON *item;
    struct kb_buf what = {0};
    if (!cJSON_IsObject(object))
        return;
    cJSON_ArrayForEach(item, object) {
        if (is_known(item->string, known, n_known))
            continue;
        const char *near = kb_suggest(item->string, known, n_known);
        kb_buf_clear(&what);
        kb_buf_printf(&what, "unknown key \"%.64s%s\"", item->string,
                      strlen(item->string) > 64 ? "..." : "");
        if (near)
            kb_buf_printf(&what, ", did you mean \"%s\"?", near);
        complain(doc, item, object, true, c, kb_buf_text(&what));
    }
    kb_buf_free(&what);
}

bool kb_json_misspells(const cJSON *object, const char *name, const char *const *known,
                       size_t n_known) {
    const cJSON *item;
    if (!cJSON_IsObject(object))
        return false;
    cJSON_ArrayForEach(item, object) {
        if (is_known(item->string, known, n_known))
            continue;
        const char *near = kb_suggest(item->string, known, n_known);
        if (near && kb_streq(near, name))
            return true;
    }
    return false;
}

/* ---- values ------------------------------------------------------------------------ */

const cJSON *kb_json_get(const cJSON *object, const char *name) {
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

bool kb_json_i64(const cJSON *node, int64_t *out) {
    if (!cJSON_IsNumber(node))
        return false;
    double value = node->valuedouble;
    if (!(fabs(value) <= 0x1p53) || value != trunc(value) || (value == 0 && signbit(value)))
        return false;
    *out = (int64_t)value;
    return true;
}
