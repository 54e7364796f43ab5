/* exec.c - names of the backends, of the methods and of what throttles. */
#include "exec.h"

static const char *const method_words[] = {
#define X(id, word, help) word,
    KB_METHODS(X)
#undef X
};

const char *kb_method_word(enum kb_method method) {
    return method_words[method];
}

bool kb_method_parse(const char *word, enum kb_method *out) {
    for (int i = 0; i < KB_METHOD_COUNT; i++) {
        if (!kb_streq(method_words[i], word))
            continue;
        *out = (enum kb_method)i;
        return true;
    }
    return false;
}

/* NVML's bits; several can mean the same to who reads them. */
static const struct {
    uint64_t bits;
    const char *word;
} throttles[] = {
    {0x04, "power"},       /* the software's power cap */
    {0x80, "power-brake"}, /* a signal from the power supply */
    {0x60, "thermal"},     /* software or hardware */
    {0x08, "slowdown"},    /* hardware, cause not told */
    {0x10, "sync-boost"},  /* another GPU of the group is slower */
    {KB_THROTTLE_UNKNOWN, "unknown"},
};

void kb_throttle_words(uint64_t reasons, struct kb_buf *out) {
    const char *comma = "";
    for (size_t i = 0; i < KB_COUNT(throttles); i++) {
        if (!(reasons & throttles[i].bits))
            continue;
        kb_buf_printf(out, "%s%s", comma, throttles[i].word);
        comma = ",";
        reasons &= ~throttles[i].bits;
    }
    if (reasons)
        kb_buf_printf(out, "%s0x%llx", comma, (unsigned long long)reasons);
}

const struct kb_backend *kb_backend_find(const char *name) {
    const struct kb_backend *const backends[] = {&kb_cuda, &kb_host};
    for (size_t i = 0; i < KB_COUNT(backends); i++)
        if (kb_streq(backends[i]->name, name))
            return backends[i];
    return NULL;
}
