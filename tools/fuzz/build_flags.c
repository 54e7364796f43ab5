/* build_flags.c - a build as a case file may name it, NAME=FLAGS: every flag that is taken
 * is one of the allow-list, here a regular expression. */
#include "fuzz.h"
#include "kernel.h"

#include <regex.h>

static const char allowed[] =
    "^(--?use_fast_math|-lineinfo|--generate-line-info|--?std=c\\+\\+(14|17|20)"
    "|--?(ftz|fmad|prec-div|prec-sqrt)=(true|false)"
    "|--?maxrregcount=0*([0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])"
    "|-D[A-Za-z_][A-Za-z0-9_]*(=[^\\\"'`$\n\r\t]*)?|-U[A-Za-z_][A-Za-z0-9_]*"
    "|-I[^/~,][^,]*)$";
static const char upwards[] = "^-I(.*/)?\\.\\.(/.*)?$";

static bool matches(const char *pattern, const char *text) {
    regex_t compiled;
    if (regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB))
        abort();
    bool found = regexec(&compiled, text, 0, NULL, 0) == 0;
    regfree(&compiled);
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = text_of(data, size);
    struct kb_arena arena = {0};
    struct kb_build build, trusted;
    struct kb_err err = {0};
    bool taken = kb_build_parse(text, false, &arena, &build, &err);
    if (!taken)
        want_message(&err);
    else if (!kb_build_parse(text, true, &arena, &trusted, &err))
        DISAGREE("taken from a file, and not from the command line: %s", err.msg);
    for (size_t i = 0; taken && i < build.flags.count && i < 16; i++) {
        const char *flag = build.flags.items[i];
        if (!matches(allowed, flag) || matches(upwards, flag))
            DISAGREE("%s is taken from a file", flag);
    }
    if (taken) {
        want_clean(build.name, strlen(build.name), false);
        kb_build_resolve(&build, 90, &arena);
    }
    kb_arena_free(&arena);
    free(text);
    return 0;
}
