/* text.c - strings: numbers from them, the nearest word, and text made safe to show. */
#include "base.h"

#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool kb_streq(const char *a, const char *b) {
    return strcmp(a, b) == 0;
}

bool kb_starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool kb_ends_with(const char *text, const char *suffix) {
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && memcmp(text + n - m, suffix, m) == 0;
}

void kb_split(struct kb_arena *arena, const char *text, char sep, struct kb_strings *out) {
    for (;;) {
        const char *end = strchr(text, sep);
        size_t len = end ? (size_t)(end - text) : strlen(text);
        kb_strings_add(out, arena, kb_arena_strndup(arena, text, len));
        if (!end)
            return;
        text = end + 1;
    }
}

/* ---- numbers ----------------------------------------------------------------------- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* strtoll and strtoull take spaces, signs and trailing text that we do not. */
static bool all_digits(const char *text) {
    if (!*text)
        return false;
    for (; *text; text++)
        if (!is_digit(*text))
            return false;
    return true;
}

bool kb_parse_i64(const char *text, int64_t *out) {
    if (!all_digits(*text == '-' ? text + 1 : text))
        return false;
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    if (errno)
        return false;
    *out = value;
    return true;
}

bool kb_parse_u64(const char *text, uint64_t *out) {
    if (!all_digits(text))
        return false;
    errno = 0;
    unsigned long long value = strtoull(text, NULL, 10);
    if (errno)
        return false;
    *out = value;
    return true;
}

/* -?digits[.digits][e[+-]digits], a digit before or after the point: no hex, inf or nan. */
static bool looks_like_f64(const char *p) {
    int digits = 0;
    if (*p == '-')
        p++;
    for (; is_digit(*p); p++)
        digits++;
    if (*p == '.')
        for (p++; is_digit(*p); p++)
            digits++;
    if (!digits)
        return false;
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '+' || *p == '-')
            p++;
        return all_digits(p);
    }
    return !*p;
}

bool kb_parse_f64(const char *text, double *out) {
    if (!looks_like_f64(text))
        return false;
    errno = 0;
    double value = strtod(text, NULL);
    /* ERANGE is also set for subnormals, which are fine; not for a value lost to 0. */
    if (!isfinite(value) || (errno == ERANGE && value == 0))
        return false;
    *out = value;
    return true;
}

bool kb_glob(const char *pattern, const char *text) {
    return fnmatch(pattern, text, FNM_NOESCAPE) == 0;
}

/* ---- the nearest word -------------------------------------------------------------- */

static int min_int(int a, int b) {
    return a < b ? a : b;
}

static int lower(char c) {
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static bool same(char a, char b, bool fold) {
    return fold ? lower(a) == lower(b) : a == b;
}

/* Restricted Damerau distance with three rows; `fold`: letters match in either case. */
static int distance(const char *a, const char *b, bool fold) {
    size_t n = strlen(a), m = strlen(b), bytes;
    if (!kb_mul_size(3 * sizeof(int), m + 1, &bytes))
        kb_out_of_memory();
    int *rows = malloc(bytes);
    if (!rows)
        kb_out_of_memory();
    int *before = rows, *last = rows + m + 1, *now = rows + 2 * (m + 1);
    for (size_t j = 0; j <= m; j++)
        last[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        now[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int cost = !same(a[i - 1], b[j - 1], fold);
            now[j] = min_int(min_int(last[j], now[j - 1]) + 1, last[j - 1] + cost);
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2], fold) &&
                same(a[i - 2], b[j - 1], fold))
                now[j] = min_int(now[j], before[j - 2] + cost);
        }
        int *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    int result = last[m];
    free(rows);
    return result;
}

int kb_edit_distance(const char *a, const char *b) {
    return distance(a, b, false);
}

/* "fast" of "fast-math": the first that begins with the word, if that is no mere letter. */
static const char *begun(const char *word, const char *const *candidates, size_t count) {
    enum { LEAST = 3 };
    for (size_t i = 0; i < count && strlen(word) >= LEAST; i++)
        if (kb_starts_with(candidates[i], word))
            return candidates[i];
    return NULL;
}

const char *kb_suggest(const char *word, const char *const *candidates, size_t count) {
    enum {
        LONGEST = 64
    }; /* no name of ours is longer; a key from a file may be megabytes */
    size_t len = strnlen(word, LONGEST + 1);
    if (len > LONGEST)
        return NULL;
    int best = len / 3 > 2 ? (int)(len / 3) : 2;
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t other = strnlen(candidates[i], LONGEST + 1);
        size_t longer = other > len ? other : len, shorter = other > len ? len : other;
        if (other > LONGEST || longer - shorter > (size_t)best)
            continue;
        int d = distance(word, candidates[i], true);
        /* Half of the letters must be right, however short the words are. */
        if (2 * (size_t)d > longer || d > best || (nearest && d == best))
            continue;
        best = d;
        nearest = candidates[i];
    }
    const char *whole = !nearest || best > 1 ? begun(word, candidates, count) : NULL;
    return whole ? whole : nearest;
}

void kb_unknown(struct kb_buf *out, const char *what, const char *word,
                const char *const *known, size_t n_known) {
    enum { LONGEST_SHOWN = 64, MOST_SHOWN = 32 };
    const char *near = kb_suggest(word, known, n_known);
    kb_buf_printf(out, "unknown %s \"%.*s%s\"", what, LONGEST_SHOWN, word,
                  strnlen(word, LONGEST_SHOWN + 1) > LONGEST_SHOWN ? "..." : "");
    if (near) {
        kb_buf_printf(out, ", did you mean \"%s\"?", near);
        return;
    }
    size_t shown = n_known > MOST_SHOWN + 1 ? MOST_SHOWN : n_known;
    for (size_t i = 0; i < shown; i++)
        kb_buf_printf(out, "%s%s",
                      i             ? ", "
                      : n_known > 1 ? "; there are "
                                    : "; there is ",
                      known[i]);
    if (shown < n_known)
        kb_buf_printf(out, " and %zu others", n_known - shown);
}

void kb_shell_word(struct kb_buf *out, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_-./:=,+@%";
    if (*word && !word[strspn(word, plain)]) {
        kb_buf_puts(out, word);
        return;
    }
    kb_buf_putc(out, '\'');
    for (; *word; word++) {
        if (*word == '\'')
            kb_buf_puts(out, "'\\''");
        else
            kb_buf_putc(out, *word);
    }
    kb_buf_putc(out, '\'');
}

/* ---- UTF-8 and escapes ------------------------------------------------------------- */

int kb_utf8_next(const char *text, size_t len, uint32_t *code) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *p = (const unsigned char *)text;
    if (!len)
        return 0;
    int n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (n == 0 || p[0] > 0xf4 || (size_t)n > len)
        return 0;
    uint32_t value = n == 1 ? p[0] : p[0] & (0x7fu >> n);
    for (int i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (p[i] & 0x3fu);
    }
    if (value < least[n] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *code = value;
    return n;
}

bool kb_utf8_valid(const char *text, size_t len) {
    for (size_t i = 0; i < len;) {
        uint32_t code;
        int n = kb_utf8_next(text + i, len - i, &code);
        if (!n)
            return false;
        i += (size_t)n;
    }
    return true;
}

bool kb_code_is_unsafe(uint32_t code) {
    return code < 0x20 || (code >= 0x7f && code <= 0x9f) ||      /* C0, DEL, C1 */
           code == 0x061c || code == 0x200e || code == 0x200f || /* bidi marks */
           (code >= 0x2028 && code <= 0x202e) || /* line separators, bidi embeddings */
           (code >= 0x2066 && code <= 0x2069);   /* bidi isolates */
}

static void escape(struct kb_buf *out, const char *text, size_t len, bool lines) {
    for (size_t i = 0; i < len;) {
        uint32_t code = 0;
        int n = kb_utf8_next(text + i, len - i, &code);
        if (n && (!kb_code_is_unsafe(code) || (lines && (code == '\n' || code == '\t')))) {
            kb_buf_add(out, text + i, (size_t)n);
        } else if (n == 1) {
            kb_buf_putc(out, '^');
            kb_buf_putc(out, (char)(code ^ 0x40)); /* ESC: ^[   DEL: ^? */
        } else {
            n = n ? n : 1;
            for (int k = 0; k < n; k++)
                kb_buf_printf(out, "\\x%02x", (unsigned char)text[i + (size_t)k]);
        }
        i += (size_t)n;
    }
}

void kb_escape(struct kb_buf *out, const char *text, size_t len) {
    escape(out, text, len, false);
}

void kb_escape_lines(struct kb_buf *out, const char *text, size_t len) {
    escape(out, text, len, true);
}

int kb_columns(const char *text) {
    int columns = 0;
    for (; *text; text++)
        columns += ((unsigned char)*text & 0xc0) != 0x80;
    return columns;
}

void kb_text_copy(char *to, size_t size, const char *from) {
    size_t len = from ? strlen(from) : 0;

    if (len >= size)
        for (len = size - 1; len > 0 && ((unsigned char)from[len] & 0xc0) == 0x80;)
            len--; /* between characters */
    memcpy(to, from ? from : "", len);
    to[len] = '\0';
}

struct kb_size_text kb_size_text(double bytes) {
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB", "EB"};
    struct kb_size_text out;
    size_t unit = 0;

    for (; bytes >= 999.5 && unit + 1 < KB_COUNT(units); unit++)
        bytes /= 1000;
    snprintf(out.text, sizeof out.text, "%.3g %s", bytes, units[unit]);
    return out;
}
