/* tried.c - what a case was tried with besides its first run, in words. */
#include "report/parts.h"

/* "2 and 16" */
static void list_words(const int64_t *numbers, int n, struct kb_buf *out) {
    for (int i = 0; i < n; i++)
        kb_buf_printf(out, "%s%lld", i ? " and " : "", (long long)numbers[i]);
}

static void separate(const struct kb_buf *out, size_t start, struct kb_buf *to) {
    kb_buf_puts(to, out->len > start ? ", " : " with ");
}

static void batch_words(const struct kb_row *row, struct kb_buf *out) {
    kb_buf_puts(out, "only ");
    list_words(row->batch, row->n_batch, out);
    kb_buf_puts(out, row->n_batch == 1 && row->batch[0] == 1 ? " row" : " rows");
}

void kb_tried_words(const struct kb_row *row, struct kb_buf *out) {
    bool host = kb_streq(row->backend, "host");

    kb_buf_puts(out, "same bits");
    size_t start = out->len;
    if (host && row->orders >= 3) {
        kb_buf_puts(out, " with blocks forward, reversed and shuffled");
        if (row->repeats > 4)
            kb_buf_printf(out, ", in %d launches", row->repeats);
    } else {
        kb_buf_printf(out, " in %d launches",
                      row->repeats > 0 ? row->repeats : row->orders);
        start = out->len;
    }
    if (row->n_shifts > 0) {
        separate(out, start, out);
        kb_buf_puts(out, "tensors shifted by ");
        list_words(row->shifts, row->n_shifts, out);
        kb_buf_puts(out, " bytes");
    }
    if (row->late_producer) {
        separate(out, start, out);
        kb_buf_puts(out, "inputs written late");
    }
    if (row->other_inputs) {
        separate(out, start, out);
        kb_buf_puts(out, "other inputs before");
    }
    if (row->n_batch > 0) {
        separate(out, start, out);
        batch_words(row, out);
    }
    kb_buf_puts(out, "; guards and inputs untouched");
}
