/* source.c - what must be known of a .cu file's text: where its contract is, and which
 * identifiers its code uses. A scanner for comments and literals, no parser. */
#include "kernel/parts.h"

#include <string.h>

struct scan {
    const char *text;
    size_t size, at;
};

static char ahead(const struct scan *s, size_t n) {
    return s->at + n < s->size ? s->text[s->at + n] : 0;
}

static bool at_text(const struct scan *s, const char *text) {
    size_t len = strlen(text);
    return s->size - s->at >= len && !memcmp(s->text + s->at, text, len);
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_' || c == '$';
}

/* To the end of the line that the comment ends on: one with \ before it ends nothing. */
static void skip_line(struct scan *s) {
    const char *end;
    do {
        end = memchr(s->text + s->at, '\n', s->size - s->at);
        s->at = end ? (size_t)(end - s->text) + 1 : s->size;
    } while (end && end[-1] == '\\');
    if (end)
        s->at--;
}

/* Past the block comment that starts here; false if it has no end. */
static bool skip_block(struct scan *s) {
    const char *from = s->text + s->at + 2;
    const char *end = memmem(from, s->size - s->at - 2, "*/", 2);
    s->at = end ? (size_t)(end - s->text) + 2 : s->size;
    return end;
}

static bool skip_comment(struct scan *s) {
    if (at_text(s, "//"))
        skip_line(s);
    else if (at_text(s, "/*"))
        skip_block(s);
    else
        return false;
    return true;
}

/* Past a string or character literal, or to the end of its line if it has no end. */
static void skip_literal(struct scan *s) {
    char quote = s->text[s->at++];
    while (s->at < s->size && s->text[s->at] != '\n') {
        char c = s->text[s->at++];
        if (c == quote)
            return;
        if (c == '\\' && s->at < s->size)
            s->at++;
    }
}

/* R"mark( ... )mark", standing at the quote. */
static void skip_raw(struct scan *s) {
    size_t mark = s->at + 1, len = 0;
    while (mark + len < s->size && s->text[mark + len] != '(')
        len++;
    for (s->at = mark + len; s->at < s->size; s->at++)
        if (s->text[s->at] == ')' && s->size - s->at > len + 1 &&
            !memcmp(s->text + s->at + 1, s->text + mark, len) &&
            s->text[s->at + 1 + len] == '"') {
            s->at += len + 2;
            return;
        }
}

/* Past the literal that starts here, if one does. */
static bool skip_quoted(struct scan *s) {
    char c = ahead(s, 0);
    if (c != '"' && c != '\'')
        return false;
    if (c == '"' && s->at > 0 && s->text[s->at - 1] == 'R')
        skip_raw(s);
    else
        skip_literal(s);
    return true;
}

/* 0x1p-3f, 1'000: the ' is no literal there. */
static void skip_number(struct scan *s) {
    while (is_word(ahead(s, 0)) || ahead(s, 0) == '.' ||
           (ahead(s, 0) == '\'' && is_word(ahead(s, 1))))
        s->at++;
}

bool kb_source_next(const char *text, size_t size, size_t *at, size_t *begin) {
    struct scan s = {text, size, *at};
    while (s.at < size) {
        char c = s.text[s.at];
        if (kb_is_digit(c)) {
            skip_number(&s);
        } else if (is_word(c)) {
            *begin = s.at;
            while (is_word(ahead(&s, 0)))
                s.at++;
            *at = s.at;
            return true;
        } else if (!(c == '/' && skip_comment(&s)) && !skip_quoted(&s)) {
            s.at++;
        }
    }
    *at = size;
    return false;
}

bool kb_source_uses(const char *text, size_t size, const char *identifier) {
    size_t at = 0, begin, len = strlen(identifier);
    while (kb_source_next(text, size, &at, &begin))
        if (at - begin == len && !memcmp(text + begin, identifier, len))
            return true;
    return false;
}

/* ---- all of them -----------------------------------------------------------------------
 */

static uint32_t hash_of(const char *word, size_t len) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)word[i]) * 16777619u;
    return hash;
}

/* The slot of a word, or the free one where it belongs. */
static struct kb_word *slot_of(const struct kb_words *words, const char *word, size_t len) {
    for (size_t i = hash_of(word, len) & words->mask;; i = (i + 1) & words->mask) {
        struct kb_word *slot = &words->slots[i];
        if (!slot->at || (slot->len == len && !memcmp(slot->at, word, len)))
            return slot;
    }
}

/* At most half full. */
static void grow(struct kb_words *words, struct kb_arena *arena) {
    enum { FEWEST = 256 };
    struct kb_words wider = {.n = words->n};
    size_t size = words->slots ? 2 * (words->mask + 1) : FEWEST;
    wider.slots = kb_arena_array(arena, size, sizeof *wider.slots);
    wider.mask = size - 1;
    for (size_t i = 0; words->slots && i <= words->mask; i++)
        if (words->slots[i].at)
            *slot_of(&wider, words->slots[i].at, words->slots[i].len) = words->slots[i];
    *words = wider;
}

struct kb_words kb_words_make(const char *text, size_t size, struct kb_arena *arena) {
    struct kb_words words = {.n = 0};
    size_t at = 0, begin;
    grow(&words, arena);
    while (kb_source_next(text, size, &at, &begin)) {
        struct kb_word *slot = slot_of(&words, text + begin, at - begin);
        if (slot->at)
            continue;
        *slot = (struct kb_word){text + begin, at - begin};
        if (++words.n > words.mask / 2)
            grow(&words, arena);
    }
    return words;
}

bool kb_words_has(const struct kb_words *words, const char *word) {
    return slot_of(words, word, strlen(word))->at;
}

/* ---- kernels ---------------------------------------------------------------------------
 */

static bool is(const char *text, size_t begin, size_t end, const char *word) {
    return end - begin == strlen(word) && !memcmp(text + begin, word, end - begin);
}

/* Past a group in parentheses, literals and comments in it left aside. */
static void skip_parens(struct scan *s) {
    int depth = 0;
    while (s->at < s->size) {
        char c = s->text[s->at];
        if (skip_comment(s) || skip_quoted(s))
            continue;
        if (kb_is_digit(c)) {
            skip_number(s);
            continue;
        }
        do /* a word, as a whole: a number does not begin in it */
            s->at++;
        while (is_word(c) && is_word(ahead(s, 0)));
        depth += (c == '(') - (c == ')');
        if (!depth)
            return;
    }
}

static void skip_blank(struct scan *s) {
    for (;;) {
        if (is_space(ahead(s, 0)))
            s->at++;
        else if (!skip_comment(s))
            return;
    }
}

/* The name of the function that the attributes before *at belong to: the first identifier
 * with a ( behind it that is no attribute. */
static bool function_name(const char *text, size_t size, size_t *at, size_t *begin) {
    while (kb_source_next(text, size, at, begin)) {
        struct scan s = {text, size, *at};
        size_t end = *at;
        skip_blank(&s);
        if (ahead(&s, 0) != '(')
            continue;
        if (!is(text, *begin, end, "alignas") &&
            !(end - *begin > 4 && !memcmp(text + *begin, "__", 2) &&
              !memcmp(text + end - 2, "__", 2)))
            return true;
        skip_parens(&s);
        *at = s.at;
    }
    return false;
}

void kb_source_kernels(const char *text, size_t size, struct kb_arena *arena,
                       struct kb_strings *out) {
    size_t at = 0, begin;
    while (kb_source_next(text, size, &at, &begin)) {
        if (!is(text, begin, at, "__global__") || !function_name(text, size, &at, &begin))
            continue;
        char *name = kb_arena_strndup(arena, text + begin, at - begin);
        if (!kb_strings_has(out, name))
            kb_strings_add(out, arena, name);
    }
}

/* ---- the contract ----------------------------------------------------------------------
 */

static void place(const char *text, size_t at, int *line, int *col) {
    *line = *col = 1;
    for (size_t i = 0; i < at; i++) {
        *col = text[i] == '\n' ? 1 : *col + 1;
        *line += text[i] == '\n';
    }
}

static struct kb_contract_span nothing(const char *text, size_t at, const char *problem) {
    struct kb_contract_span span = {.problem = problem};
    place(text, at, &span.line, &span.col);
    return span;
}

/* Standing at a block comment: does it start with the word kbench? */
static bool is_contract(const struct scan *s) {
    struct scan in = *s;
    in.at += 2;
    while (is_space(ahead(&in, 0)))
        in.at++;
    if (!at_text(&in, "kbench"))
        return false;
    in.at += strlen("kbench");
    return !is_word(ahead(&in, 0));
}

static struct kb_contract_span contract_at(struct scan s) {
    struct kb_contract_span span = {0};
    size_t start = s.at;
    span.begin = (size_t)(strstr(s.text + start, "kbench") - s.text) + strlen("kbench");
    if (!skip_block(&s))
        return nothing(s.text, start, "the contract's comment has no end");
    span.end = s.at - 2;
    place(s.text, span.begin, &span.line, &span.col);
    return span;
}

/* Why there is none: it comes too late, or not at all. */
static struct kb_contract_span missing(struct scan s) {
    size_t code = s.at;
    for (; s.at < s.size; s.at++) {
        if (at_text(&s, "/*") && is_contract(&s))
            return nothing(s.text, s.at,
                           "the contract must stand before any code and any #include");
    }
    return nothing(s.text, code < s.size ? code : 0,
                   "no contract: a kernel starts with a comment `/* kbench {...} */`, see "
                   "kernels/README.md");
}

struct kb_contract_span kb_contract_find(const char *text, size_t size) {
    struct scan s = {text, size, 0};
    if (at_text(&s, "\xef\xbb\xbf"))
        s.at = 3;
    while (s.at < size) {
        if (at_text(&s, "/*") && is_contract(&s))
            return contract_at(s);
        if (is_space(ahead(&s, 0)))
            s.at++;
        else if (!skip_comment(&s))
            break;
    }
    return missing(s);
}
