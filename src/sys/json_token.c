/* json_token.c - strings and numbers of the strict JSON scan. */
#include "sys/json_scan.h"

#include <math.h>
#include <string.h>

enum {
    NUMBER_CHARS = 63, /* what cJSON 1.7.15 can hold; a double never needs as many */
    SAFE_DIGITS = 15,  /* a whole number of so many is less than 2^53 */
};

/* ---- strings ----------------------------------------------------------------------- */

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
static bool scan_unicode(struct kb_scan *s, struct kb_buf *out) {
    size_t start = s->pos;
    uint32_t code, low;
    if (!hex4(s->text + start + 2, s->size - start - 2, &code))
        return kb_scan_fail(s, kb_scan_place(s, start),
                            "\\u wants four hexadecimal digits");
    s->pos = start + 6;
    if (code == 0)
        return kb_scan_fail(s, kb_scan_place(s, start), "\\u0000 is not taken in a string");
    if (code >= 0xd800 && code <= 0xdfff) {
        const char *next = s->text + s->pos;
        size_t left = s->size - s->pos;
        if (code >= 0xdc00 || left < 6 || next[0] != '\\' || next[1] != 'u' ||
            !hex4(next + 2, left - 2, &low) || low < 0xdc00 || low > 0xdfff)
            return kb_scan_fail(s, kb_scan_place(s, start),
                                "\\u%04x is half of a surrogate pair", code);
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        s->pos += 6;
    }
    if (out)
        put_utf8(out, code);
    return true;
}

static bool scan_escape(struct kb_scan *s, struct kb_buf *out) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    size_t start = s->pos;
    char c = start + 1 < s->size ? s->text[start + 1] : '\0';
    if (c == 'u')
        return scan_unicode(s, out);
    const char *name = c ? strchr(names, c) : NULL;
    if (!name)
        return kb_scan_fail(
            s, kb_scan_place(s, start),
            "a backslash in a string stands before one of \" \\ / b f n r t u");
    if (out)
        kb_buf_putc(out, values[name - names]);
    s->pos = start + 2;
    return true;
}

/* How many bytes of the string are characters of their own: most are. */
static size_t plain_length(const struct kb_scan *s) {
    size_t n = s->pos;
    while (n < s->size && s->text[n] >= 0x20 && s->text[n] < 0x7f && s->text[n] != '"' &&
           s->text[n] != '\\')
        n++;
    return n - s->pos;
}

bool kb_scan_string(struct kb_scan *s, struct kb_buf *out) {
    struct kb_place opened = kb_scan_place(s, s->pos);
    s->pos++;
    while (s->pos < s->size) {
        size_t plain = plain_length(s);
        if (plain) {
            if (out)
                kb_buf_add(out, s->text + s->pos, plain);
            s->pos += plain;
            continue;
        }
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
            return kb_scan_fail(s, opened, "this string is not closed on its line");
        if (c < 0x20)
            return kb_scan_fail(s, kb_scan_place(s, s->pos),
                                "raw control character in a string, write \\u%04x", c);
        if (n == 0)
            return kb_scan_fail(s, kb_scan_place(s, s->pos), "byte %02x is not UTF-8", c);
        if (out)
            kb_buf_add(out, s->text + s->pos, (size_t)n);
        s->pos += (size_t)n;
    }
    return kb_scan_fail(s, opened, "this string is not closed");
}

/* ---- numbers ----------------------------------------------------------------------- */

static size_t digits(const struct kb_scan *s, size_t pos) {
    size_t start = pos;
    while (pos < s->size && s->text[pos] >= '0' && s->text[pos] <= '9')
        pos++;
    return pos - start;
}

/* Length of the number at `pos` by the grammar, 0 and a message if it is none. */
static size_t number_length(struct kb_scan *s) {
    size_t p = s->pos, n;
    const char *t = s->text;
    if (t[p] == '-')
        p++;
    n = digits(s, p);
    if (!n)
        return kb_scan_fail(s, kb_scan_place(s, s->pos), "a digit must follow -");
    if (t[p] == '0' && n > 1)
        return kb_scan_fail(s, kb_scan_place(s, s->pos), "a number must not start with 0");
    p += n;
    if (p < s->size && t[p] == '.') {
        n = digits(s, p + 1);
        if (!n)
            return kb_scan_fail(s, kb_scan_place(s, s->pos),
                                "a digit must follow the point");
        p += 1 + n;
    }
    if (p < s->size && (t[p] == 'e' || t[p] == 'E')) {
        p++;
        if (p < s->size && (t[p] == '+' || t[p] == '-'))
            p++;
        n = digits(s, p);
        if (!n)
            return kb_scan_fail(s, kb_scan_place(s, s->pos), "a digit must follow the e");
        p += n;
    }
    return p - s->pos;
}

bool kb_scan_number(struct kb_scan *s) {
    char text[NUMBER_CHARS + 1];
    double value;
    size_t len = number_length(s);
    if (!len)
        return false;
    if (len <= SAFE_DIGITS && digits(s, s->pos) == len) {
        s->pos += len;
        return true;
    }
    struct kb_place place = kb_scan_place(s, s->pos);
    if (len > NUMBER_CHARS)
        return kb_scan_fail(s, place, "a number of %zu characters, at most %d are read",
                            len, NUMBER_CHARS);
    memcpy(text, s->text + s->pos, len);
    text[len] = '\0';
    if (!kb_parse_f64(text, &value))
        return kb_scan_fail(s, place, "%s does not fit a double", text);
    /* 2^53+1 reads as 2^53, which kb_json_i64 takes for exact. */
    if (fabs(value) == 0x1p53 && !strpbrk(text, ".eE") && !strstr(text, "9007199254740992"))
        return kb_scan_fail(s, place, "%s is not exact in a double, write it as a string",
                            text);
    s->pos += len;
    return true;
}
