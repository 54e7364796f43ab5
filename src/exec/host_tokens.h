/* host_tokens.h - C++ text as tokens, for host_rewrite.c. */
#ifndef KB_EXEC_HOST_TOKENS_H
#define KB_EXEC_HOST_TOKENS_H

#include "base.h"

/* MARKER: a whole line that begins with #. */
enum token_kind { TOKEN_WORD, TOKEN_STRING, TOKEN_OTHER, TOKEN_MARKER };

struct token {
    const char *text;
    size_t len;
    enum token_kind kind;
    bool user;   /* of a kernel's own file */
    bool inside; /* of a function (or a class) */
};

struct tokens {
    struct token *items; /* malloc'd */
    size_t count, cap;
};

/* Preprocessed text, whose line markers say whose text it is. */
void host_tokens_make(const char *text, size_t size, struct tokens *out);
/* Whether a token is this text, and no literal. */
bool host_token_is(const struct token *t, const char *text);

#endif
