/* verdict.c - the words and statuses of verdicts and reasons. */
#include "measure.h"

#include <string.h>

static const struct {
    const char *word, *help;
    enum kb_verdict verdict;
    int status;
} reasons[] = {
#define X(id, word, verdict, status, help) {word, help, verdict, status},
    KB_REASONS(X)
#undef X
};

static const struct {
    const char *word, *key;
} verdicts[] = {
#define X(id, word, key) {word, key},
    KB_VERDICTS(X)
#undef X
};

static const char *const qualities[] = {
#define X(id, word) word,
    KB_QUALITIES(X)
#undef X
};

const char *kb_verdict_word(enum kb_verdict verdict) {
    return verdicts[verdict].word;
}

const char *kb_verdict_key(enum kb_verdict verdict) {
    return verdicts[verdict].key;
}

const char *kb_reason_word(enum kb_reason reason) {
    return reasons[reason].word;
}

const char *kb_reason_help(enum kb_reason reason) {
    return reasons[reason].help;
}

enum kb_verdict kb_reason_verdict(enum kb_reason reason) {
    return reasons[reason].verdict;
}

int kb_reason_status(enum kb_reason reason) {
    return reasons[reason].status;
}

bool kb_reason_parse(const char *word, enum kb_reason *out) {
    for (size_t i = 0; i < KB_COUNT(reasons); i++) {
        if (kb_streq(reasons[i].word, word)) {
            *out = (enum kb_reason)i;
            return true;
        }
    }
    return false;
}

const char *kb_quality_word(enum kb_quality quality) {
    return qualities[quality];
}

int kb_status_worse(int a, int b) {
    static const int order[] = {7, 4, 6, 5, 1, 2, 3};

    for (size_t i = 0; i < KB_COUNT(order); i++) {
        if (a == order[i] || b == order[i])
            return order[i];
    }
    return 0;
}
