/* parts.h - between the files of the kernel layer. Private to src/kernel. */
#ifndef KB_KERNEL_PARTS_H
#define KB_KERNEL_PARTS_H

#include "kernel.h"

static inline bool kb_is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static inline bool kb_is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* ---- an op without a case ---------------------------------------------------------------
 */

/* The problem of the op's sample shape: its names and tensors stand for those of any case.
 * Not to be moved: problem.c points to c. */
struct kb_sample {
    struct kb_case c;
    struct kb_problem problem;
};
void kb_sample_make(struct kb_sample *sample, const struct kb_op *op);

/* ---- expressions ------------------------------------------------------------------------
 */

/* Syntax, names and types, without values; says what type the value has. */
bool kb_expr_check_env(const char *text, const struct kb_expr_env *env, bool *is_float,
                       struct kb_err *err);
/* The parts of "a && b && c", all of which must hold; the whole text where it is not one.
 */
void kb_expr_parts(const char *text, struct kb_arena *arena, struct kb_strings *out);
/* Is it true, and not 0? */
bool kb_expr_holds(const char *text, const struct kb_expr_env *env, bool *holds,
                   struct kb_err *err);
/* Why `text` came out as it did: append " for hidden 511, dtype_bytes 2" and " on sm_90",
 * the names that it uses and their values. */
void kb_expr_uses(const char *text, const struct kb_expr_env *env, struct kb_buf *out);
/* The lets of a variant, into env->lets, which has room for all. */
void kb_lets_make(const struct kb_variant *variant, struct kb_expr_env *env,
                  struct kb_expr_let *lets, struct kb_arena *arena);
bool kb_is_function(const char *name);    /* ceil_div, ... */
bool kb_is_device_name(const char *name); /* dtype_bytes, sm, ... */

struct kb_words;
/* Macros of the ops and the variants that the code of a file does not use. None where other
 * files than kb.cuh are included. */
void kb_unused_macros(const struct kb_kernel *kernel, const struct kb_words *words,
                      const struct kb_sample *samples, int n_samples,
                      struct kb_arena *arena, struct kb_strings *out);

/* ---- source text ------------------------------------------------------------------------
 */

/* The JSON of the contract inside a .cu file, from `begin` to `end`. Where there is none,
 * `problem` says why and line and col where. */
struct kb_contract_span {
    size_t begin, end;
    int line, col;
    const char *problem;
};
struct kb_contract_span kb_contract_find(const char *text, size_t size);

/* The next identifier at or after *at that is neither in a comment nor in a literal. Moves
 * *at past it. False at the end. */
bool kb_source_next(const char *text, size_t size, size_t *at, size_t *begin);
bool kb_source_uses(const char *text, size_t size, const char *identifier);
/* All of them, for whoever asks for many. They lie in the text, the table in `arena`. */
struct kb_words {
    struct kb_word {
        const char *at; /* NULL: free */
        size_t len;
    } * slots;
    size_t mask, n;
};
struct kb_words kb_words_make(const char *text, size_t size, struct kb_arena *arena);
bool kb_words_has(const struct kb_words *words, const char *word);
/* Names of the __global__ functions, arena copies. */
void kb_source_kernels(const char *text, size_t size, struct kb_arena *arena,
                       struct kb_strings *out);

/* ---- entries ----------------------------------------------------------------------------
 */

enum { KB_MAX_ENTRIES = 512 };

/* All macros of a case: the op's (name, value pairs), then the contract's with the op's
 * and each other's replaced. KB_INPUT when the contract redefines an op's macro or its
 * defines go round in circles. */
bool kb_macros_make(const struct kb_variant *variant, const struct kb_case *c,
                    struct kb_arena *arena, struct kb_strings *pairs, struct kb_err *err);
/* `entry` with macros and {expressions} replaced. Without `env` braces stay. */
bool kb_entry_make(const char *entry, const struct kb_strings *pairs,
                   const struct kb_expr_env *env, struct kb_arena *arena, const char **out,
                   struct kb_err *err);
/* The function that an entry names: the last identifier before its < or end, arena copy;
 * NULL if it names none. */
char *kb_entry_function(const char *entry, struct kb_arena *arena);
/* Adds the instantiations that other cases of the kernel need on the host: every dtype and
 * word, no sizes and numbers, KB_MAX_ENTRIES at most. The kernel keeps those of the device
 * that was asked for last: they take 2 ms to find for some. */
void kb_entries_all(const struct kb_kernel *kernel, const struct kb_expr_env *device,
                    struct kb_arena *arena, struct kb_strings *out);
/* Where a kernel keeps them, which lives in `arena` as it does. */
struct kb_entries *kb_entries_make(struct kb_arena *arena);
/* Does the source itself use a macro of this variant's? */
bool kb_entries_fixed(const struct kb_kernel *kernel, const struct kb_strings *pairs);

/* "90a" takes sm 90; see kernels/README.md. */
bool kb_arch_takes(const char *arch, int64_t sm);

#endif
