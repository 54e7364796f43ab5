/* json_scan.c - strict RFC 8259, in one pass, and the place of every value.
 *
 * cJSON takes text that other readers refuse or read otherwise, and it knows no lines. So
 * all of the text is judged here, and cJSON sees only what passed. */
#include "sys/json_scan.h"

#include <stdlib.h>
#include <string.h>

enum { SNIPPET = 24 }; /* characters of the text that a message shows */

static bool scan_value(struct kb_scan *s, int32_t parent, struct kb_place key, int depth);

struct kb_place kb_scan_place(struct kb_scan *s, size_t pos) {
    struct kb_place place = s->place;
    for (size_t i = s->at; i < pos; i++) {
        place.col += ((unsigned char)s->text[i] & 0xc0) != 0x80;
        if (s->text[i] == '\n') {
            place.line++;
            place.col = 1;
        }
    }
    s->at = pos > s->at ? pos : s->at;
    return s->place = place;
}

bool kb_scan_fail(struct kb_scan *s, struct kb_place place, const char *fmt, ...) {
    struct kb_buf text = {0};
    va_list args;
    va_start(args, fmt);
    kb_buf_vprintf(&text, fmt, args);
    va_end(args);
    kb_fail(s->err, KB_INPUT, "%s:%d:%d: error: %s", s->doc->name, place.line, place.col,
            kb_buf_text(&text));
    kb_buf_free(&text);
    return false;
}

/* Up to SNIPPET characters of `text`, escaped and in quotes. */
static char *quoted(struct kb_buf *out, const char *text, size_t len) {
    size_t n = 0;
    for (int chars = 0; n < len && chars < SNIPPET; chars++) {
        uint32_t code;
        int bytes = kb_utf8_next(text + n, len - n, &code);
        n += bytes ? (size_t)bytes : 1;
    }
    const char *mark = n == 1 && *text == '"' ? "'" : "\""; /* """ says nothing */
    kb_buf_puts(out, mark);
    kb_escape(out, text, n);
    kb_buf_puts(out, n < len ? "..." : "");
    kb_buf_puts(out, mark);
    return out->data;
}

/* What stands at `pos`, for a message: a run of letters as a whole, else one character. */
static bool fail_unexpected(struct kb_scan *s, const char *wanted) {
    struct kb_buf what = {0};
    struct kb_place place = kb_scan_place(s, s->pos);
    if (s->pos >= s->size)
        return kb_scan_fail(s, place, "the text ends here, %s was expected", wanted);
    size_t n = 0, left = s->size - s->pos;
    const char *p = s->text + s->pos;
    while (n < left && ((p[n] >= 'a' && p[n] <= 'z') || (p[n] >= 'A' && p[n] <= 'Z')))
        n++;
    if (!n) {
        uint32_t code;
        int bytes = kb_utf8_next(p, left, &code);
        n = bytes ? (size_t)bytes : 1;
    }
    kb_scan_fail(s, place, "unexpected %s, %s was expected", quoted(&what, p, n), wanted);
    kb_buf_free(&what);
    return false;
}

static void skip_space(struct kb_scan *s) {
    while (s->pos < s->size && (s->text[s->pos] == ' ' || s->text[s->pos] == '\n' ||
                                s->text[s->pos] == '\t' || s->text[s->pos] == '\r'))
        s->pos++;
}

/* The character at `pos`, 0 at the end (a NUL in the text is no token either). */
static char peek(const struct kb_scan *s) {
    return s->pos < s->size ? s->text[s->pos] : '\0';
}

static bool add_mark(struct kb_scan *s, int32_t parent, struct kb_place key,
                     int32_t *index) {
    struct kb_json *doc = s->doc;
    struct kb_place place = kb_scan_place(s, s->pos);
    if (doc->n_marks >= KB_JSON_VALUES_MAX)
        return kb_scan_fail(s, place, "more than %d values", KB_JSON_VALUES_MAX);
    if (doc->n_marks == s->marks_cap) {
        s->marks_cap = s->marks_cap ? 2 * s->marks_cap : 64;
        struct kb_json_mark *marks = realloc(doc->marks, s->marks_cap * sizeof *marks);
        if (!marks)
            kb_out_of_memory();
        doc->marks = marks;
    }
    *index = (int32_t)doc->n_marks;
    doc->marks[doc->n_marks++] = (struct kb_json_mark){
        .parent = parent,
        .line = place.line,
        .col = place.col,
        .key_line = key.line,
        .key_col = key.col,
    };
    return true;
}

/* ---- keys -------------------------------------------------------------------------- */

static void put_slot(XXH128_hash_t *slots, size_t cap, XXH128_hash_t hash) {
    size_t i = hash.low64 & (cap - 1);
    while (slots[i].low64 || slots[i].high64)
        i = (i + 1) & (cap - 1);
    slots[i] = hash;
}

static void seen_grow(struct kb_seen *seen) {
    size_t cap = seen->cap ? 2 * seen->cap : 128;
    XXH128_hash_t *slots = calloc(cap, sizeof *slots);
    if (!slots)
        kb_out_of_memory();
    for (size_t i = 0; i < seen->cap; i++)
        if (seen->slots[i].low64 || seen->slots[i].high64)
            put_slot(slots, cap, seen->slots[i]);
    free(seen->slots);
    seen->slots = slots;
    seen->cap = cap;
}

/* False if `key` was already seen in that object. */
static bool seen_add(struct kb_seen *seen, int32_t object, const char *key, size_t len) {
    uint64_t seed = seen->seed ^ ((uint64_t)object + 1) * 0x9e3779b97f4a7c15u;
    XXH128_hash_t hash = XXH3_128bits_withSeed(key, len, seed);
    if (!hash.low64 && !hash.high64)
        hash.low64 = 1;
    if (seen->count >= seen->cap / 2)
        seen_grow(seen);
    for (size_t i = hash.low64 & (seen->cap - 1);
         seen->slots[i].low64 || seen->slots[i].high64; i = (i + 1) & (seen->cap - 1))
        if (XXH128_isEqual(seen->slots[i], hash))
            return false;
    put_slot(seen->slots, seen->cap, hash);
    seen->count++;
    return true;
}

/* ---- values ------------------------------------------------------------------------ */

static bool scan_word(struct kb_scan *s) {
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < KB_COUNT(words); i++) {
        size_t n = strlen(words[i]);
        char after = s->pos + n < s->size ? s->text[s->pos + n] : '\0';
        bool ends = !((after >= 'a' && after <= 'z') || (after >= 'A' && after <= 'Z'));
        if (s->size - s->pos >= n && !memcmp(s->text + s->pos, words[i], n) && ends) {
            s->pos += n;
            return true;
        }
    }
    return fail_unexpected(s, "a value");
}

/* After a member: true at a comma (passed) or at `close` (passed, *ended). */
static bool scan_next(struct kb_scan *s, char close, struct kb_place opened, bool *ended) {
    skip_space(s);
    char c = peek(s);
    *ended = c == close;
    if (c == ',' || c == close) {
        s->pos++;
        return true;
    }
    if (s->pos >= s->size)
        return kb_scan_fail(s, kb_scan_place(s, s->pos),
                            "the text ends here, %c of %d:%d is not closed",
                            close == ']' ? '[' : '{', opened.line, opened.col);
    return fail_unexpected(s, close == ']' ? "a comma or ]" : "a comma or }");
}

static bool scan_array(struct kb_scan *s, int32_t self, struct kb_place opened, int depth) {
    static const struct kb_place no_key = {0};
    s->pos++;
    skip_space(s);
    if (peek(s) == ']') {
        s->pos++;
        return true;
    }
    for (bool ended = false; !ended;)
        if (!scan_value(s, self, no_key, depth) || !scan_next(s, ']', opened, &ended))
            return false;
    return true;
}

static bool scan_member(struct kb_scan *s, int32_t self, int depth) {
    skip_space(s);
    if (peek(s) != '"')
        return fail_unexpected(s, "a key in double quotes");
    struct kb_place key = kb_scan_place(s, s->pos);
    kb_buf_clear(&s->key);
    if (!kb_scan_string(s, &s->key))
        return false;
    if (!seen_add(&s->seen, self, kb_buf_text(&s->key), s->key.len)) {
        struct kb_buf shown = {0};
        kb_scan_fail(s, key, "the key %s stands here for the second time",
                     quoted(&shown, kb_buf_text(&s->key), s->key.len));
        kb_buf_free(&shown);
        return false;
    }
    skip_space(s);
    if (peek(s) != ':')
        return fail_unexpected(s, "a colon");
    s->pos++;
    return scan_value(s, self, key, depth);
}

static bool scan_object(struct kb_scan *s, int32_t self, struct kb_place opened,
                        int depth) {
    s->pos++;
    skip_space(s);
    if (peek(s) == '}') {
        s->pos++;
        return true;
    }
    for (bool ended = false; !ended;)
        if (!scan_member(s, self, depth) || !scan_next(s, '}', opened, &ended))
            return false;
    return true;
}

static bool scan_value(struct kb_scan *s, int32_t parent, struct kb_place key, int depth) {
    int32_t self = -1;
    skip_space(s);
    if (s->pos >= s->size)
        return fail_unexpected(s, "a value");
    if (!add_mark(s, parent, key, &self))
        return false;
    struct kb_place place = kb_scan_place(s, s->pos);
    char c = peek(s);
    if (c == '"')
        return kb_scan_string(s, NULL);
    if (c == '-' || (c >= '0' && c <= '9'))
        return kb_scan_number(s);
    if (c != '[' && c != '{')
        return scan_word(s);
    if (depth == KB_JSON_DEPTH_MAX)
        return kb_scan_fail(s, place, "nested deeper than %d", KB_JSON_DEPTH_MAX);
    return c == '[' ? scan_array(s, self, place, depth + 1)
                    : scan_object(s, self, place, depth + 1);
}

static bool scan_document(struct kb_scan *s) {
    static const struct kb_place no_key = {0};
    if (s->size >= 3 && !memcmp(s->text, "\xef\xbb\xbf", 3))
        return kb_scan_fail(s, s->place,
                            "starts with a byte order mark, plain UTF-8 was wanted");
    if (s->size > KB_JSON_BYTES_MAX)
        return kb_scan_fail(s, s->place, "has %zu bytes, at most %d are read", s->size,
                            KB_JSON_BYTES_MAX);
    if (!scan_value(s, -1, no_key, 0))
        return false;
    skip_space(s);
    return s->pos == s->size || fail_unexpected(s, "the end of the text");
}

bool kb_json_scan(struct kb_json *doc, const char *text, size_t size, struct kb_err *err) {
    struct kb_scan s = {
        .text = text,
        .size = size,
        .place = {.line = 1 + doc->line_offset, .col = 1 + doc->col_offset},
        .doc = doc,
        .seen = {.seed = kb_random_u64()},
        .err = err,
    };
    bool ok = scan_document(&s);
    free(s.seen.slots);
    kb_buf_free(&s.key);
    return ok;
}
