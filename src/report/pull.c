/* pull.c - strict JSON in one pass over the text; what is not asked for is checked and
 * stepped over. */
#include "report/pull.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_MAX = 63 }; /* characters, as the other reader takes */

void kb_pull_free(struct kb_pull *p) {
    kb_buf_free(&p->scratch);
}

bool kb_slice_is(const struct kb_slice *slice, const char *word) {
    return strlen(word) == slice->len && memcmp(slice->text, word, slice->len) == 0;
}

/* ---- errors ----------------------------------------------------------------------------
 */

bool kb_pull_fail(struct kb_pull *p, size_t pos, const char *fmt, ...) {
    struct kb_buf what = {0};
    int line = 1, col = 1;
    va_list args;
    if (p->failed)
        return false;
    p->failed = true;
    for (size_t i = 0; i < pos && i < p->size; i++) {
        unsigned char c = (unsigned char)p->text[i];
        line += c == '\n';
        col = c == '\n' ? 1 : col + ((c & 0xc0) != 0x80);
    }
    va_start(args, fmt);
    kb_buf_vprintf(&what, fmt, args);
    va_end(args);
    kb_fail(p->err, KB_INPUT, "%s:%d:%d: error: %s", p->name, line, col,
            kb_buf_text(&what));
    kb_buf_free(&what);
    return false;
}

static bool fail_unexpected(struct kb_pull *p, const char *wanted) {
    struct kb_buf shown = {0};
    uint32_t code;
    if (p->pos >= p->size)
        return kb_pull_fail(p, p->pos, "the text ends here, %s was expected", wanted);
    int bytes = kb_utf8_next(p->text + p->pos, p->size - p->pos, &code);
    kb_escape(&shown, p->text + p->pos, bytes ? (size_t)bytes : 1);
    kb_pull_fail(p, p->pos, "unexpected %s, %s was expected", kb_buf_text(&shown), wanted);
    kb_buf_free(&shown);
    return false;
}

/* ---- tokens ----------------------------------------------------------------------------
 */

static char skip_blanks(struct kb_pull *p) {
    for (; p->pos < p->size; p->pos++) {
        char c = p->text[p->pos];
        if (c != ' ' && c != '\n' && c != '\t' && c != '\r')
            return c;
    }
    return '\0';
}

static bool is_digit(const struct kb_pull *p, size_t at) {
    return at < p->size && p->text[at] >= '0' && p->text[at] <= '9';
}

static int hex4(const struct kb_pull *p, size_t at) {
    int value = 0;
    for (size_t i = at; i < at + 4; i++) {
        char c = i < p->size ? p->text[i] : '\0';
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = 16 * value + digit;
    }
    return value;
}

static void add_code(struct kb_buf *out, uint32_t code) {
    if (code < 0x80) {
        kb_buf_putc(out, (char)code);
    } else if (code < 0x800) {
        kb_buf_putc(out, (char)(0xc0 | code >> 6));
        kb_buf_putc(out, (char)(0x80 | (code & 0x3f)));
    } else if (code < 0x10000) {
        kb_buf_putc(out, (char)(0xe0 | code >> 12));
        kb_buf_putc(out, (char)(0x80 | (code >> 6 & 0x3f)));
        kb_buf_putc(out, (char)(0x80 | (code & 0x3f)));
    } else {
        kb_buf_putc(out, (char)(0xf0 | code >> 18));
        kb_buf_putc(out, (char)(0x80 | (code >> 12 & 0x3f)));
        kb_buf_putc(out, (char)(0x80 | (code >> 6 & 0x3f)));
        kb_buf_putc(out, (char)(0x80 | (code & 0x3f)));
    }
}

/* \uXXXX at `pos`, or two of them that are a pair. */
static bool unicode_escape(struct kb_pull *p) {
    int high = hex4(p, p->pos + 2), low = 0;
    if (high < 0)
        return kb_pull_fail(p, p->pos, "\\u wants four hexadecimal digits");
    if (high == 0)
        return kb_pull_fail(p, p->pos, "\\u0000 in a text");
    if (high >= 0xdc00 && high <= 0xdfff)
        return kb_pull_fail(p, p->pos, "the second half of a surrogate pair alone");
    if (high < 0xd800 || high > 0xdbff) {
        add_code(&p->scratch, (uint32_t)high);
        p->pos += 6;
        return true;
    }
    if (p->pos + 8 <= p->size && p->text[p->pos + 6] == '\\' && p->text[p->pos + 7] == 'u')
        low = hex4(p, p->pos + 8);
    if (low < 0xdc00 || low > 0xdfff)
        return kb_pull_fail(p, p->pos, "the first half of a surrogate pair alone");
    add_code(&p->scratch,
             0x10000 + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00));
    p->pos += 12;
    return true;
}

static bool escape(struct kb_pull *p) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = p->pos + 1 < p->size ? p->text[p->pos + 1] : '\0';
    const char *found = c ? strchr(from, c) : NULL;
    if (c == 'u')
        return unicode_escape(p);
    if (!found)
        return kb_pull_fail(p, p->pos, "no such escape in a text");
    kb_buf_putc(&p->scratch, to[found - from]);
    p->pos += 2;
    return true;
}

/* Bytes of a text from `pos` to what ends or escapes it; UTF-8 is checked where there are
 * bytes past ASCII. */
static bool plain_run(struct kb_pull *p, struct kb_slice *run) {
    const unsigned char *text = (const unsigned char *)p->text;
    unsigned char any = 0;
    size_t at = p->pos;
    for (; at < p->size && text[at] >= 0x20 && text[at] != '"' && text[at] != '\\'; at++)
        any |= text[at];
    *run = (struct kb_slice){p->text + p->pos, at - p->pos};
    if (any >= 0x80 && !kb_utf8_valid(run->text, run->len))
        return kb_pull_fail(p, p->pos, "a text that is not UTF-8");
    p->pos = at;
    if (at >= p->size)
        return kb_pull_fail(p, at, "the text ends inside of a \"");
    if (text[at] < 0x20)
        return kb_pull_fail(p, at, "a control character in a text");
    return true;
}

/* From the opening quote to past the closing one. Without escapes `out` is of the text
 * itself, else of the scratch buffer. */
static bool take_text(struct kb_pull *p, struct kb_slice *out) {
    p->pos++;
    if (!plain_run(p, out))
        return false;
    if (p->text[p->pos] == '"') {
        p->pos++;
        return true;
    }
    kb_buf_clear(&p->scratch);
    kb_buf_add(&p->scratch, out->text, out->len);
    while (p->text[p->pos] != '"') {
        if (!escape(p) || !plain_run(p, out))
            return false;
        kb_buf_add(&p->scratch, out->text, out->len);
    }
    p->pos++;
    *out = (struct kb_slice){kb_buf_text(&p->scratch), p->scratch.len};
    return true;
}

/* ---- numbers ---------------------------------------------------------------------------
 */

struct number {
    size_t from, to;
    uint64_t digits; /* all of them, while there are no more than 18 */
    int n_digits, scale;
    bool negative;
};

static void take_digits(struct kb_pull *p, struct number *n, bool fraction) {
    for (; is_digit(p, p->pos); p->pos++) {
        if (n->n_digits < 18)
            n->digits = 10 * n->digits + (uint64_t)(p->text[p->pos] - '0');
        n->n_digits += n->digits != 0 || n->n_digits > 0;
        n->scale -= fraction;
    }
}

static bool take_exponent(struct kb_pull *p, struct number *n) {
    int value = 0;
    p->pos++;
    bool minus = p->pos < p->size && p->text[p->pos] == '-';
    p->pos += minus || (p->pos < p->size && p->text[p->pos] == '+');
    if (!is_digit(p, p->pos))
        return fail_unexpected(p, "a digit");
    for (; is_digit(p, p->pos); p->pos++)
        value = value < 100000 ? 10 * value + (p->text[p->pos] - '0') : value;
    n->scale += minus ? -value : value;
    return true;
}

static bool take_number(struct kb_pull *p, struct number *n) {
    *n = (struct number){.from = p->pos};
    n->negative = p->text[p->pos] == '-';
    p->pos += n->negative;
    if (!is_digit(p, p->pos))
        return fail_unexpected(p, "a digit");
    bool zero = p->text[p->pos] == '0';
    if (zero && is_digit(p, p->pos + 1))
        return kb_pull_fail(p, p->pos, "a number with a 0 in front");
    take_digits(p, n, false);
    if (p->pos < p->size && p->text[p->pos] == '.') {
        p->pos++;
        if (!is_digit(p, p->pos))
            return fail_unexpected(p, "a digit");
        take_digits(p, n, true);
    }
    if (p->pos < p->size && (p->text[p->pos] == 'e' || p->text[p->pos] == 'E'))
        if (!take_exponent(p, n))
            return false;
    n->to = p->pos;
    return n->to - n->from <= NUMBER_MAX ||
           kb_pull_fail(p, n->from, "a number of %zu characters, at most %d are read",
                        n->to - n->from, NUMBER_MAX);
}

/* Exact where digits and power of ten are doubles without rounding, which is nearly always;
 * else by strtod. */
static bool value_of(struct kb_pull *p, const struct number *n, double *out) {
    static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                  1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                  1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    double value = (double)n->digits;
    char copy[NUMBER_MAX + 1];
    if (n->n_digits <= 15 && n->scale >= -22 && n->scale <= 22) {
        value = n->scale < 0 ? value / tens[-n->scale] : value * tens[n->scale];
        *out = n->negative ? -value : value;
        return true;
    }
    memcpy(copy, p->text + n->from, n->to - n->from);
    copy[n->to - n->from] = '\0';
    value = strtod(copy, NULL);
    if (!isfinite(value))
        return kb_pull_fail(p, n->from, "a number past what a double holds");
    *out = value;
    return true;
}

/* ---- values ----------------------------------------------------------------------------
 */

enum kb_pull_kind kb_pull_peek(struct kb_pull *p) {
    char c = p->failed ? '\0' : skip_blanks(p);
    switch (c) {
    case '{':
        return KB_PULL_OBJECT;
    case '[':
        return KB_PULL_ARRAY;
    case '"':
        return KB_PULL_TEXT;
    case 'n':
        return KB_PULL_NULL;
    case 't':
    case 'f':
        return KB_PULL_BOOL;
    default:
        return c == '-' || (c >= '0' && c <= '9') ? KB_PULL_NUMBER : KB_PULL_NONE;
    }
}

static bool want(struct kb_pull *p, enum kb_pull_kind kind) {
    static const char *const words[] = {
        [KB_PULL_NONE] = "a value",       [KB_PULL_NULL] = "null",
        [KB_PULL_BOOL] = "true or false", [KB_PULL_NUMBER] = "a number",
        [KB_PULL_TEXT] = "a text",        [KB_PULL_ARRAY] = "an array",
        [KB_PULL_OBJECT] = "an object",
    };
    if (p->failed)
        return false;
    return kb_pull_peek(p) == kind || fail_unexpected(p, words[kind]);
}

bool kb_pull_open(struct kb_pull *p, enum kb_pull_kind kind) {
    if (!want(p, kind))
        return false;
    if (p->depth == KB_JSON_DEPTH_MAX)
        return kb_pull_fail(p, p->pos, "nested deeper than %d", KB_JSON_DEPTH_MAX);
    p->depth++;
    p->pos++;
    p->fresh = true;
    return true;
}

/* True before another member; false at `close`, which is taken, or where it fails. */
static bool goes_on(struct kb_pull *p, char close) {
    if (p->failed)
        return false;
    char c = skip_blanks(p);
    bool fresh = p->fresh;
    p->fresh = false;
    if (c == close && c) {
        p->pos++;
        p->depth--;
        return false;
    }
    if (fresh)
        return true;
    if (c != ',')
        return fail_unexpected(p, close == ']' ? "a comma or ]" : "a comma or }");
    p->pos++;
    return true;
}

bool kb_pull_member(struct kb_pull *p, struct kb_slice *key) {
    if (!goes_on(p, '}'))
        return false;
    if (skip_blanks(p) != '"')
        return fail_unexpected(p, "a key in double quotes");
    if (!take_text(p, key))
        return false;
    if (skip_blanks(p) != ':')
        return fail_unexpected(p, "a colon");
    p->pos++;
    return true;
}

bool kb_pull_item(struct kb_pull *p) {
    return goes_on(p, ']');
}

bool kb_pull_text(struct kb_pull *p, struct kb_arena *arena, const char **out) {
    struct kb_slice text;
    if (!want(p, KB_PULL_TEXT) || !take_text(p, &text))
        return false;
    *out = kb_arena_strndup(arena, text.text, text.len);
    return true;
}

bool kb_pull_number(struct kb_pull *p, double *out) {
    struct number n;
    return want(p, KB_PULL_NUMBER) && take_number(p, &n) && value_of(p, &n, out);
}

static bool word(struct kb_pull *p, const char *text) {
    size_t len = strlen(text);
    char after = p->pos + len < p->size ? p->text[p->pos + len] : '\0';
    if (p->size - p->pos < len || memcmp(p->text + p->pos, text, len) != 0 ||
        (after >= 'a' && after <= 'z') || (after >= 'A' && after <= 'Z'))
        return fail_unexpected(p, "a value");
    p->pos += len;
    return true;
}

static bool skip_list(struct kb_pull *p, enum kb_pull_kind kind) {
    struct kb_slice key;
    if (!kb_pull_open(p, kind))
        return false;
    while (kind == KB_PULL_OBJECT ? kb_pull_member(p, &key) : kb_pull_item(p))
        if (!kb_pull_skip(p, NULL))
            return false;
    return !p->failed;
}

bool kb_pull_skip(struct kb_pull *p, struct kb_slice *text) {
    enum kb_pull_kind kind = kb_pull_peek(p);
    size_t from = p->pos;
    struct kb_slice ignored;
    struct number n;
    double value;
    bool ok = false;
    if (kind == KB_PULL_OBJECT || kind == KB_PULL_ARRAY)
        ok = skip_list(p, kind);
    else if (kind == KB_PULL_TEXT)
        ok = take_text(p, &ignored);
    else if (kind == KB_PULL_NUMBER)
        ok = take_number(p, &n) &&
             (n.n_digits + abs(n.scale) < 300 || value_of(p, &n, &value));
    else if (kind == KB_PULL_BOOL || kind == KB_PULL_NULL)
        ok = word(p, kind == KB_PULL_NULL     ? "null"
                     : p->text[p->pos] == 't' ? "true"
                                              : "false");
    else
        ok = !p->failed && fail_unexpected(p, "a value");
    if (ok && text)
        *text = (struct kb_slice){p->text + from, p->pos - from};
    return ok;
}

bool kb_pull_ends(struct kb_pull *p) {
    skip_blanks(p);
    return p->pos >= p->size;
}
