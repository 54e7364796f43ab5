/* devices.c - several devices side by side: a case a line, the columns of each device under
 * its name. */
#include "report/devices.h"
#include "report/parts.h"

#include <string.h>

/* "---------- 0 NVIDIA H200 ----------" */
static void add_name(const struct kb_device_info *device, int width, struct kb_buf *out) {
    struct kb_buf name = {0}, safe = {0};
    if (kb_streq(device->backend, "cuda"))
        kb_buf_printf(&name, " %s %s ", device->id, device->name);
    else
        kb_buf_puts(&name, " host ");
    kb_short_text(kb_buf_text(&name), width, &safe);
    int dashes = width - kb_columns(kb_buf_text(&safe));
    for (int i = 0; i < dashes / 2; i++)
        kb_buf_putc(out, '-');
    kb_buf_puts(out, kb_buf_text(&safe));
    for (int i = dashes / 2; i < dashes; i++)
        kb_buf_putc(out, '-');
    kb_buf_free(&name);
    kb_buf_free(&safe);
}

void kb_devices_names(const struct kb_versus *v, struct kb_buf *out) {
    int width = kb_versus_cells_width(v) - 2;
    size_t start = out->len;
    kb_buf_printf(out, "%*s", v->verdict_width + 2 + v->id_width, "");
    for (int i = 0; i < v->plan.facts->n_devices; i++) {
        kb_buf_puts(out, "  ");
        add_name(&v->plan.facts->devices[i], width, out);
    }
    kb_versus_trim(out, start);
    kb_buf_putc(out, '\n');
}

/* What the ceilings of a run say of a device; 0 where there was none. */
static double rate_of(const struct kb_tally *tally, const struct kb_device_info *device) {
    for (int i = 0; i < tally->n_devices; i++)
        if (kb_streq(tally->devices[i].id, device->id))
            return tally->devices[i].stream_gb_per_s;
    return 0;
}

void kb_versus_streams(const struct kb_versus *v, const struct kb_tally *tally,
                       struct kb_buf *out) {
    const struct kb_facts *facts = v->plan.facts;
    struct kb_buf line = {0};
    for (int i = 0; facts->n_devices > 1 && i < facts->n_devices; i++) {
        const struct kb_device_info *device = &facts->devices[i];
        double rate = facts->stream_gb_per_s[i] > 0 ? 0 : rate_of(tally, device);
        if (!(rate > 0))
            continue;
        kb_buf_printf(&line, "%s%s ",
                      line.len ? " | " : "stream of this run, at most: ", device->id);
        kb_escape(&line, device->name, strlen(device->name));
        kb_buf_printf(&line, " %s GB/s", kb_cell_rate(rate).text);
    }
    if (line.len) {
        kb_wrap_at(kb_buf_text(&line), " | ", v->look.width, out);
        kb_buf_putc(out, '\n');
    }
    kb_buf_free(&line);
}

/* What all of them come to: the worst is told, a SKIP where none did more. */
static enum kb_verdict worst_of(const struct kb_row *rows, int n) {
    static const int ranks[] = {
        [KB_SKIP] = 0, [KB_PASS] = 1, [KB_MISTRUSTED] = 2, [KB_ERROR] = 3, [KB_FAIL] = 4,
    };
    enum kb_verdict worst = KB_SKIP;
    for (int i = 0; i < n; i++) {
        enum kb_verdict verdict = kb_reason_verdict(rows[i].reason);
        worst = ranks[verdict] > ranks[worst] ? verdict : worst;
    }
    return worst;
}

void kb_devices_line(const struct kb_versus *v, const struct kb_row *rows, int n,
                     struct kb_buf *out) {
    int devices = v->plan.facts->n_devices;
    enum kb_verdict verdict = worst_of(rows, devices * n);
    struct kb_buf colored = {0};
    size_t start = out->len;
    kb_verdict_words(verdict, v->look.color, &colored);
    kb_versus_case(v, rows, kb_verdict_word(verdict), kb_buf_text(&colored), out);
    for (int i = 0; i < devices; i++)
        kb_versus_cells(v, &rows[i * n], n > 1 ? &rows[i * n + 1] : NULL, 1, out);
    kb_versus_trim(out, start);
    kb_buf_putc(out, '\n');
    kb_buf_free(&colored);
}
