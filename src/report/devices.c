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
    kb_buf_printf(out, "%*s", kb_versus_margin(v), "");
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

/* Whether all of them are said the same of, which is something. */
static bool are_alike(const struct kb_row *rows, int n, enum kb_method method,
                      struct kb_buf *out) {
    struct kb_buf words = {0};
    bool alike = true;
    kb_time_words(&rows[0].times[method], out);
    for (int i = 1; i < n && alike; i++) {
        kb_buf_clear(&words);
        kb_time_words(&rows[i].times[method], &words);
        alike = kb_streq(kb_buf_text(&words), kb_buf_text(out));
    }
    kb_buf_free(&words);
    return alike && out->len;
}

/* "1 B noisy": of which device, and of several which of them, there is something to be
 * known; "all throttled". */
static void add_qualities(const struct kb_versus *v, const struct kb_row *rows, int n,
                          enum kb_method method, size_t start, struct kb_buf *out) {
    struct kb_buf text = {0}, words = {0};
    int n_rows = v->plan.facts->n_devices * n;
    bool alike = are_alike(rows, n_rows, method, &words);
    if (alike)
        kb_buf_printf(&text, "all %s", words.data);
    for (int i = 0; i < n_rows && !alike; i++) {
        kb_buf_clear(&words);
        kb_time_words(&rows[i].times[method], &words);
        if (!words.len)
            continue;
        kb_buf_puts(&text, text.len ? ", " : "");
        kb_escape(&text, rows[i].device, strlen(rows[i].device));
        if (n > 1)
            kb_buf_printf(&text, " %c", 'A' + i % n);
        kb_buf_printf(&text, " %s", words.data);
    }
    kb_versus_remark(v, kb_buf_text(&text), start, out);
    kb_buf_free(&text);
    kb_buf_free(&words);
}

static void add_line(const struct kb_versus *v, const struct kb_row *rows, int n,
                     enum kb_method method, struct kb_buf *out) {
    int devices = v->plan.facts->n_devices;
    enum kb_verdict verdict = worst_of(rows, devices * n);
    struct kb_buf colored = {0};
    size_t start = out->len;
    kb_verdict_words(verdict, v->look.color, &colored);
    kb_versus_case(v, rows, kb_verdict_word(verdict), kb_buf_text(&colored),
                   kb_method_word(method), out);
    for (int i = 0; i < devices; i++)
        kb_versus_cells(v, &rows[i * n], n > 1 ? &rows[i * n + 1] : NULL, 1, method, out);
    kb_versus_trim(out, start);
    add_qualities(v, rows, n, method, start, out);
    kb_buf_putc(out, '\n');
    kb_buf_free(&colored);
}

void kb_devices_lines(const struct kb_versus *v, const struct kb_row *rows, int n,
                      struct kb_buf *out) {
    for (int m = 0; m < v->plan.n_methods; m++)
        if (kb_versus_has_line(v, rows, v->plan.facts->n_devices * n, m))
            add_line(v, rows, n, v->plan.methods[m], out);
}
