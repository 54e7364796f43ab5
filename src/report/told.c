/* told.c - rows that did not build for one and the same reason, which is told once. */
#include "screen.h"

#include <string.h>

/* The reason lies in the kernel file or the toolchain, and not in the case. */
static bool is_of_the_build(const struct kb_row *row) {
    return kb_reason_verdict(row->reason) == KB_ERROR && kb_reason_status(row->reason) == 5;
}

static struct kb_told_text *find(struct kb_told *told, const struct kb_row *row) {
    const char *text = row->text ? row->text : "";
    struct kb_hash hash = kb_hash_of(text, strlen(text));
    for (int i = 0; i < told->n; i++)
        if (told->texts[i].reason == row->reason &&
            !memcmp(&told->texts[i].hash, &hash, sizeof hash))
            return &told->texts[i];
    if (told->n == KB_TOLD_MAX)
        return NULL;
    told->texts[told->n] = (struct kb_told_text){.reason = row->reason, .hash = hash};
    return &told->texts[told->n++];
}

void kb_told_count(struct kb_told *told, const struct kb_row *row) {
    struct kb_told_text *text = is_of_the_build(row) ? find(told, row) : NULL;
    if (text)
        text->rows++;
}

int64_t kb_told_others(struct kb_told *told, const struct kb_row *row) {
    struct kb_told_text *text = is_of_the_build(row) ? find(told, row) : NULL;
    if (!text)
        return 0;
    bool first = !text->is_told;
    text->is_told = true;
    return first ? text->rows - 1 : -1;
}
