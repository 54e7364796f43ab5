/* base.h - ground: errors, memory, text.
 *
 * The lowest layer. Nothing here prints; nothing here exits except kb_out_of_memory(),
 * which is what a small allocation that fails ends in (big buffers are tensors and fail as
 * errors). */
#ifndef KB_BASE_H
#define KB_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KB_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define KB_COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- errors ---------------------------------------------------------------------------
 * kind, the word a report uses for it, the exit status if it ends the run.
 * UNSUPPORTED becomes a SKIP row; BUILD, DEVICE, TIMEOUT and MEMORY an ERROR row or, where
 * a tensor does not fit, a SKIP row; INPUT and IO end the run. */
#define KB_ERRORS(X)                                                                       \
    X(KB_NO_ERROR, "none", 0)                                                              \
    X(KB_UNSUPPORTED, "unsupported", 3)                                                    \
    X(KB_INPUT, "input", 4)                                                                \
    X(KB_BUILD, "build", 5)                                                                \
    X(KB_DEVICE, "device", 6)                                                              \
    X(KB_CRASH, "crash", 6)                                                                \
    X(KB_TIMEOUT, "timeout", 6)                                                            \
    X(KB_IO, "io", 7)                                                                      \
    X(KB_MEMORY, "memory", 7)

enum kb_err_kind {
#define X(id, word, status) id,
    KB_ERRORS(X)
#undef X
};

enum { KB_ERR_MAX = 2048 };

/* Zero is "no error". A function that can fail returns bool and takes one of these last; on
 * success it leaves it untouched. `msg` is whole: subject, value got, what was wanted;
 * lower case, no full stop, no newline. */
struct kb_err {
    enum kb_err_kind kind;
    char msg[KB_ERR_MAX];
};

/* Set `err` and return false, so that `return kb_fail(err, ...)` is the idiom. */
bool kb_fail(struct kb_err *err, enum kb_err_kind kind, const char *fmt, ...)
    KB_PRINTF(3, 4);
/* Put "context: " in front of the message on the way up; returns false. */
bool kb_at(struct kb_err *err, const char *fmt, ...) KB_PRINTF(2, 3);
int kb_err_status(const struct kb_err *err);
const char *kb_err_word(enum kb_err_kind kind);

/* ---- memory ---------------------------------------------------------------------------
 */

/* "kbench: out of memory" on stderr, then _exit(7). */
_Noreturn void kb_out_of_memory(void);

/* Overflow-checked arithmetic for sizes: false, and *out untouched, when it does not fit.
 */
bool kb_mul_size(size_t a, size_t b, size_t *out);
bool kb_add_size(size_t a, size_t b, size_t *out);
bool kb_mul_i64(int64_t a, int64_t b, int64_t *out);

/* An arena: everything allocated from it lives until kb_arena_free or _reset. Zeroed
 * memory, aligned for any type, never NULL. Two lifetimes exist: the run's and the case's.
 */
struct kb_arena {
    struct kb_arena_block *head;
};
void *kb_arena_alloc(struct kb_arena *arena, size_t bytes);
void *kb_arena_array(struct kb_arena *arena, size_t count, size_t size);
char *kb_arena_strdup(struct kb_arena *arena, const char *text);
char *kb_arena_strndup(struct kb_arena *arena, const char *text, size_t len);
char *kb_arena_printf(struct kb_arena *arena, const char *fmt, ...) KB_PRINTF(2, 3);
void kb_arena_reset(struct kb_arena *arena);
void kb_arena_free(struct kb_arena *arena);

/* A growing byte string, always NUL-terminated once anything was added (data is NULL
 * before). */
struct kb_buf {
    char *data;
    size_t len, cap;
};
void kb_buf_add(struct kb_buf *buf, const void *data, size_t len);
void kb_buf_puts(struct kb_buf *buf, const char *text);
void kb_buf_putc(struct kb_buf *buf, char c);
void kb_buf_printf(struct kb_buf *buf, const char *fmt, ...) KB_PRINTF(2, 3);
void kb_buf_vprintf(struct kb_buf *buf, const char *fmt, va_list args);
/* Room for `more` bytes and a NUL at the end of the text; returns where they go. The caller
 * adds what it wrote to `len` and ends it with a NUL. */
char *kb_buf_reserve(struct kb_buf *buf, size_t more);
void kb_buf_cut(struct kb_buf *buf, size_t len); /* back to `len` bytes, if it is longer */
void kb_buf_clear(struct kb_buf *buf);
void kb_buf_free(struct kb_buf *buf);
/* "206 GB", "24.6 GB", "12 kB": three digits of a size, in a unit of its own. */
struct kb_size_text {
    char text[24];
};
struct kb_size_text kb_size_text(double bytes);
/* Copy `from` (NULL: "") into a fixed field, cut to fit between UTF-8 characters; always
 * NUL-terminated. */
void kb_text_copy(char *to, size_t size, const char *from);
/* The text, or "" when nothing was added. */
const char *kb_buf_text(const struct kb_buf *buf);

/* A list of borrowed or arena-owned strings. */
struct kb_strings {
    const char **items;
    size_t count, cap;
};
void kb_strings_add(struct kb_strings *list, struct kb_arena *arena, const char *text);
bool kb_strings_has(const struct kb_strings *list, const char *text);

/* ---- text -----------------------------------------------------------------------------
 */

bool kb_streq(const char *a, const char *b);
bool kb_starts_with(const char *text, const char *prefix);
bool kb_ends_with(const char *text, const char *suffix);
/* Split at `sep`, trimming nothing; an empty part is kept. Parts are arena copies. */
void kb_split(struct kb_arena *arena, const char *text, char sep, struct kb_strings *out);
/* Whole-string numbers: decimal only, no spaces, no + in front, no overflow, no trailing
 * text, finite, and 0 only where it says 0. *out is untouched on failure. */
bool kb_parse_i64(const char *text, int64_t *out);
bool kb_parse_u64(const char *text, uint64_t *out);
bool kb_parse_f64(const char *text, double *out);
/* Shell-style * ? and [..] over the whole text; / is an ordinary character. */
bool kb_glob(const char *pattern, const char *text);

/* The candidate nearest to `word` by edit distance with transpositions (Damerau,
 * restricted); one that begins with it, where none is but a letter away; or NULL where none
 * is near (more than a third of the letters, at least 2 but no more than half, differ). */
const char *kb_suggest(const char *word, const char *const *candidates, size_t count);
int kb_edit_distance(const char *a, const char *b);
/* Append: unknown WHAT "word", did you mean "near"? Where none is near: the known ones. */
void kb_unknown(struct kb_buf *out, const char *what, const char *word,
                const char *const *known, size_t n_known);

/* Append `text` so that no sink can be fooled by it: C0 (newline and tab too) and DEL
 * become ^[, C1, bidi controls, line separators and invalid UTF-8 \xNN, byte by byte. For
 * every sink but JSON. */
void kb_escape(struct kb_buf *out, const char *text, size_t len);
/* The same for text of many lines (a compiler's log): newline and tab stay. */
void kb_escape_lines(struct kb_buf *out, const char *text, size_t len);
/* Append one word of a command line, quoted where a shell would not take it as it stands.
 */
void kb_shell_word(struct kb_buf *out, const char *word);
/* Whether kb_escape would write this code point as something else. */
bool kb_code_is_unsafe(uint32_t code);
bool kb_utf8_valid(const char *text, size_t len);
/* Bytes of the UTF-8 character at the start of `text`, 0 if it is not a valid one. */
int kb_utf8_next(const char *text, size_t len, uint32_t *code);
/* Columns that `text` takes at a terminal (code points, combining marks not told apart). */
int kb_columns(const char *text);

/* Numbers in ascending order; none of them NaN. */
void kb_sort(double *values, size_t n);

/* ---- hashing --------------------------------------------------------------------------
 * XXH3-128 (libxxhash). Not cryptographic: keys of a private cache. */
struct kb_hash {
    unsigned char bytes[16];
};
struct kb_hasher; /* streaming; every field is added with its length, so fields cannot merge
                   */
struct kb_hasher *kb_hasher_make(void);
void kb_hasher_add(struct kb_hasher *hasher, const void *data, size_t len);
void kb_hasher_text(struct kb_hasher *hasher, const char *text);
struct kb_hash kb_hasher_end(struct kb_hasher *hasher); /* frees it */
struct kb_hash kb_hash_of(const void *data, size_t len);
enum { KB_HASH_HEX = 33 };
void kb_hash_hex(const struct kb_hash *hash, char out[KB_HASH_HEX]);

#endif
