/* json_scan.c - strict RFC 8259, in one pass, and the place of every value.
 *
 * cJSON takes text that other readers refuse or read otherwise, and it
 * knows no lines. So all of the text is judged here, and cJSON sees only what passed. */
#include "sys/json_scan.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
    NUMBER_CHARS = 63, /* what cJSON 1.7.15 can hold; a double never needs as many */
    SNIPPET = 24,      /* characters of the text that a message shows */
};

struct place {
    int line, col;
};

/* Keys seen, of all objects: 128-bit hashes under a secret seed, open addressing. Linear in
 * the text, where comparing keys would be quadratic. */
struct seen {
    XXH128_hash_t *slots; /* 0,0: free */
    size_t count, cap;
    uint64_t seed;
};

struct scan {
    const char *text;
    size_t size, pos;
    size_t at; /* the place of this offset is known: */
    struct place place;
    struct kb_json *doc;
    size_t marks_cap;
    struct seen seen;
    struct kb_buf key; /* the last key, decoded */
    struct kb_err *err;
};

static bool scan_value(struct scan *s, int32_t parent, struct place key, int depth);

/* Line and column of `pos`, which never goes back: the whole scan counts each byte once. */
static struct place place_of(struct scan *s, size_t pos) {
    for (; s->at < pos; s->at++) {
        unsigned char c = (unsigned char)s->text[s->at];
        if (c == '\n') {
            s->place.line++;
            s->place.col = 1;
        } else if ((c & 0xc0) != 0x80) {
            s->place.col++;
        }
    }
    return s->place;
}

static bool fail_at(struct scan *s, struct place place, const char *fmt, ...)
    KB_PRINTF(3, 4);
static bool fail_at(struct scan *s, struct place place, const char *fmt, ...) {
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
    kb_buf_putc(out, '"');
    kb_escape(out, text, n);
    kb_buf_puts(out, n < len ? "...\"" : "\"");
    return out->data;
}

/* What stands at `pos`, as a word for a message: a letter run as a whole, else a character.
 */
static bool fail_unexpected(struct scan *s, const char *wanted) {
    struct kb_buf what = {0};
    struct place place = place_of(s, s->pos);
    if (s->pos >= s->size)
        return fail_at(s, place, "the text ends here, %s was expected", wanted);
    size_t n = 0, left = s->size - s->pos;
    const char *p = s->text + s->pos;
    while (n < left && ((p[n] >= 'a' && p[n] <= 'z') || (p[n] >= 'A' && p[n] <= 'Z')))
        n++;
    if (!n) {
        uint32_t code;
        int bytes = kb_utf8_next(p, left, &code);
        n = bytes ? (size_t)bytes : 1;
    }
    fail_at(s, place, "unexpected %s, %s was expected", quoted(&what, p, n), wanted);
    kb_buf_free(&what);
    return false;
}

static void skip_space(struct scan *s) {
    while (s->pos < s->size && strchr(" \t\r\n", s->text[s->pos]) && s->text[s->pos])
        s->pos++;
}

/* The character at `pos`, 0 at the end (a NUL in the text is no token either). */
static char peek(const struct scan *s) {
    return s->pos < s->size ? s->text[s->pos] : '\0';
}

static bool add_mark(struct scan *s, int32_t parent, struct place key, int32_t *index) {
    struct kb_json *doc = s->doc;
    struct place place = place_of(s, s->pos);
    if (doc->n_marks >= KB_JSON_VALUES_MAX)
        return fail_at(s, place, "more than %d values", KB_JSON_VALUES_MAX);
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

/* ---- keys ------------------------------------------------------------------------------
 */

static void put_slot(XXH128_hash_t *slots, size_t cap, XXH128_hash_t hash) {
    size_t i = hash.low64 & (cap - 1);
    while (slots[i].low64 || slots[i].high64)
        i = (i + 1) & (cap - 1);
    slots[i] = hash;
}

static void seen_grow(struct seen *seen) {
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
static bool seen_add(struct seen *seen, int32_t object, const char *key, size_t len) {
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

/* ---- strings ---------------------------------------------------------------------------
 */

static bool hex4(const char *p, size_t left, uint32_t *out) {
    uint32_t value = 0;
    if (left < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return false;
        value = value << 4 | (uint32_t)digit;
    }
    *out = value;
    return true;
}

static void put_utf8(struct kb_buf *out, uint32_t code) {
    char bytes[4];
    size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint32_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--) {
        bytes[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    bytes[0] = (char)(lead[n] | code);
    kb_buf_add(out, bytes, n);
}

/* At the backslash of \uXXXX, or of a pair of them. */
static bool scan_unicode(struct scan *s, struct kb_buf *out) {
    size_t start = s->pos;
    uint32_t code, low;
    if (!hex4(s->text + start + 2, s->size - start - 2, &code))
        return fail_at(s, place_of(s, start), "\\u wants four hexadecimal digits");
    s->pos = start + 6;
    if (code == 0)
        return fail_at(s, place_of(s, start), "\\u0000 is not taken in a string");
    if (code >= 0xd800 && code <= 0xdfff) {
        const char *next = s->text + s->pos;
        size_t left = s->size - s->pos;
        if (code >= 0xdc00 || left < 6 || next[0] != '\\' || next[1] != 'u' ||
            !hex4(next + 2, left - 2, &low) || low < 0xdc00 || low > 0xdfff)
            return fail_at(s, place_of(s, start), "\\u%04x is half of a surrogate pair",
                           code);
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        s->pos += 6;
    }
    if (out)
        put_utf8(out, code);
    return true;
}

static bool scan_escape(struct scan *s, struct kb_buf *out) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    size_t start = s->pos;
    char c = start + 1 < s->size ? s->text[start + 1] : '\0';
    if (c == 'u')
        return scan_unicode(s, out);
    const char *name = c ? strchr(names, c) : NULL;
    if (!name)
        return fail_at(s, place_of(s, start),
                       "a backslash in a string stands before one of \" \\ / b f n r t u");
    if (out)
        kb_buf_putc(out, values[name - names]);
    s->pos = start + 2;
    return true;
}

/* At the opening quote; decoded into `out` unless that is NULL. */
static bool scan_string(struct scan *s, struct kb_buf *out) {
    struct place opened = place_of(s, s->pos);
    s->pos++;
    while (s->pos < s->size) {
        unsigned char c = (unsigned char)s->text[s->pos];
        uint32_t code;
        int n = kb_utf8_next(s->text + s->pos, s->size - s->pos, &code);
        if (c == '"') {
            s->pos++;
            return true;
        }
        if (c == '\\') {
            if (!scan_escape(s, out))
                return false;
            continue;
        }
        if (c == '\n')
            return fail_at(s, opened, "this string is not closed on its line");
        if (c < 0x20)
            return fail_at(s, place_of(s, s->pos),
                           "raw control character in a string, write \\u%04x", c);
        if (n == 0)
            return fail_at(s, place_of(s, s->pos), "byte %02x is not UTF-8", c);
        if (out)
            kb_buf_add(out, s->text + s->pos, (size_t)n);
        s->pos += (size_t)n;
    }
    return fail_at(s, opened, "this string is not closed");
}

/* ---- numbers and words ------------------------------------------------------------------
 */

static size_t digits(const struct scan *s, size_t pos) {
    size_t start = pos;
    while (pos < s->size && s->text[pos] >= '0' && s->text[pos] <= '9')
        pos++;
    return pos - start;
}

/* Length of the number at `pos` by the grammar, 0 and a message if it is none. */
static size_t number_length(struct scan *s) {
    size_t p = s->pos, n;
    const char *t = s->text;
    if (t[p] == '-')
        p++;
    n = digits(s, p);
    if (!n)
        return fail_at(s, place_of(s, s->pos), "a digit must follow -");
    if (t[p] == '0' && n > 1)
        return fail_at(s, place_of(s, s->pos), "a number must not start with 0");
    p += n;
    if (p < s->size && t[p] == '.') {
        n = digits(s, p + 1);
        if (!n)
            return fail_at(s, place_of(s, s->pos), "a digit must follow the point");
        p += 1 + n;
    }
    if (p < s->size && (t[p] == 'e' || t[p] == 'E')) {
        p++;
        if (p < s->size && (t[p] == '+' || t[p] == '-'))
            p++;
        n = digits(s, p);
        if (!n)
            return fail_at(s, place_of(s, s->pos), "a digit must follow the e");
        p += n;
    }
    return p - s->pos;
}

static bool scan_number(struct scan *s) {
    char text[NUMBER_CHARS + 1];
    double value;
    size_t len = number_length(s);
    if (!len)
        return false;
    struct place place = place_of(s, s->pos);
    if (len > NUMBER_CHARS)
        return fail_at(s, place, "a number of %zu characters, at most %d are read", len,
                       NUMBER_CHARS);
    memcpy(text, s->text + s->pos, len);
    text[len] = '\0';
    if (!kb_parse_f64(text, &value))
        return fail_at(s, place, "%s does not fit a double", text);
    /* Past 2^53 neighbours read the same: 2^53+1 would pass for 2^53 and be taken as exact.
     */
    if (fabs(value) == 0x1p53 && !kb_streq(text + (text[0] == '-'), "9007199254740992"))
        return fail_at(s, place, "%s is not exact in a double, write it as a string", text);
    s->pos += len;
    return true;
}

static bool scan_word(struct scan *s) {
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

/* ---- arrays and objects -----------------------------------------------------------------
 */

/* After a member: true at a comma (passed) or at `close` (passed, *ended). */
static bool scan_next(struct scan *s, char close, struct place opened, bool *ended) {
    skip_space(s);
    char c = peek(s);
    *ended = c == close;
    if (c == ',' || c == close) {
        s->pos++;
        return true;
    }
    if (s->pos >= s->size)
        return fail_at(s, place_of(s, s->pos),
                       "the text ends here, %c of %d:%d is not closed",
                       close == ']' ? '[' : '{', opened.line, opened.col);
    return fail_unexpected(s, close == ']' ? ", or ]" : ", or }");
}

static bool scan_array(struct scan *s, int32_t self, struct place opened, int depth) {
    static const struct place no_key = {0};
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

static bool scan_member(struct scan *s, int32_t self, int depth) {
    skip_space(s);
    if (peek(s) != '"')
        return fail_unexpected(s, "a key in double quotes");
    struct place key = place_of(s, s->pos);
    kb_buf_clear(&s->key);
    if (!scan_string(s, &s->key))
        return false;
    if (!seen_add(&s->seen, self, kb_buf_text(&s->key), s->key.len)) {
        struct kb_buf shown = {0};
        fail_at(s, key, "the key %s stands here for the second time",
                quoted(&shown, kb_buf_text(&s->key), s->key.len));
        kb_buf_free(&shown);
        return false;
    }
    skip_space(s);
    if (peek(s) != ':')
        return fail_unexpected(s, ":");
    s->pos++;
    return scan_value(s, self, key, depth);
}

static bool scan_object(struct scan *s, int32_t self, struct place opened, int depth) {
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

static bool scan_value(struct scan *s, int32_t parent, struct place key, int depth) {
    int32_t self = -1;
    skip_space(s);
    if (s->pos >= s->size)
        return fail_unexpected(s, "a value");
    if (!add_mark(s, parent, key, &self))
        return false;
    struct place place = place_of(s, s->pos);
    char c = peek(s);
    if (c == '"')
        return scan_string(s, NULL);
    if (c == '-' || (c >= '0' && c <= '9'))
        return scan_number(s);
    if (c != '[' && c != '{')
        return scan_word(s);
    if (depth == KB_JSON_DEPTH_MAX)
        return fail_at(s, place, "nested deeper than %d", KB_JSON_DEPTH_MAX);
    return c == '[' ? scan_array(s, self, place, depth + 1)
                    : scan_object(s, self, place, depth + 1);
}

static bool scan_document(struct scan *s) {
    static const struct place no_key = {0};
    if (s->size >= 3 && !memcmp(s->text, "\xef\xbb\xbf", 3))
        return fail_at(s, s->place,
                       "starts with a byte order mark, plain UTF-8 was wanted");
    if (s->size > KB_JSON_BYTES_MAX)
        return fail_at(s, s->place, "has %zu bytes, at most %d are read", s->size,
                       KB_JSON_BYTES_MAX);
    if (!scan_value(s, -1, no_key, 0))
        return false;
    skip_space(s);
    return s->pos == s->size || fail_unexpected(s, "the end of the text");
}

bool kb_json_scan(struct kb_json *doc, const char *text, size_t size, struct kb_err *err) {
    struct scan s = {
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
