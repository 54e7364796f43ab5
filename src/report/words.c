/* words.c - devices, facts and variants in words, and words on lines; what is wrong is in
 * failure.c. */
#include "report/parts.h"

#include <math.h>
#include <string.h>

void kb_device_words(const struct kb_device_info *device, struct kb_buf *out) {
    if (kb_streq(device->backend, "host"))
        kb_buf_printf(out, "host, %d cores, %s", device->cores, device->compiler);
    else
        kb_buf_printf(out, "%s sm_%lld", device->name, (long long)device->limits.sm);
}

void kb_facts_device(const struct kb_facts *facts, int i, bool timed, struct kb_buf *out) {
    bool several = facts->n_devices > 1;
    if (several && kb_streq(facts->devices[i].backend, "cuda"))
        kb_buf_printf(out, "%s ", facts->devices[i].id);
    kb_device_words(&facts->devices[i], out);
    if (several && timed && facts->stream_gb_per_s[i] > 0)
        kb_buf_printf(out, ", stream %s GB/s",
                      kb_cell_rate(facts->stream_gb_per_s[i]).text);
}

/* One line of facts that all rows share, joined by bars; it may be broken at a bar. */
static void add_fact(struct kb_buf *line, const char *fact) {
    if (!*fact)
        return;
    if (line->len)
        kb_buf_puts(line, " | ");
    kb_escape(line, fact, strlen(fact));
}

static void device_facts(const struct kb_facts *facts, bool timed, struct kb_buf *line) {
    struct kb_buf text = {0};
    const struct kb_device_info *gpu = NULL;
    for (int i = 0; i < facts->n_devices; i++) {
        const struct kb_device_info *device = &facts->devices[i];
        kb_buf_clear(&text);
        kb_facts_device(facts, i, timed, &text);
        add_fact(line, kb_buf_text(&text));
        gpu = kb_streq(device->backend, "cuda") ? device : gpu;
    }
    kb_buf_clear(&text);
    if (gpu && *gpu->driver)
        kb_buf_printf(&text, "driver %s", gpu->driver);
    if (gpu && *gpu->nvrtc)
        kb_buf_printf(&text, "%sNVRTC %s", text.len ? ", " : "", gpu->nvrtc);
    add_fact(line, kb_buf_text(&text));
    kb_buf_free(&text);
}

static void clock_facts(const struct kb_facts *facts, struct kb_buf *line) {
    int locked = 0, gpus = 0;
    for (int i = 0; i < facts->n_devices; i++) {
        gpus += kb_streq(facts->devices[i].backend, "cuda");
        locked += facts->devices[i].clocks_locked;
    }
    if (gpus)
        add_fact(line, locked == gpus ? "clocks locked"
                       : locked       ? "clocks locked on some"
                                      : "clocks not locked");
}

void kb_facts_words(const struct kb_facts *facts, enum kb_layout layout, const char *shared,
                    struct kb_buf *out) {
    static const char *const ends[] = {
        [KB_LAYOUT_BUILD] = "built, not run",
        [KB_LAYOUT_CHECK] = "checked, not timed",
        [KB_LAYOUT_BENCH] = "",
    };
    struct kb_buf builds = {0};
    device_facts(facts, layout == KB_LAYOUT_BENCH, out);
    kb_buf_puts(&builds, facts->n_builds > 1 ? "builds" : "build");
    for (int i = 0; i < facts->n_builds; i++)
        kb_buf_printf(&builds, "%s %s", i ? "," : "", facts->builds[i].name);
    add_fact(out, kb_buf_text(&builds));
    add_fact(out, shared);
    add_fact(out, ends[layout]);
    if (layout == KB_LAYOUT_BENCH)
        clock_facts(facts, out);
    kb_buf_free(&builds);
}

void kb_variant_words(const struct kb_row *row, struct kb_buf *out) {
    bool own = row->kernel && !kb_starts_with(row->kernel, "kernels/");
    if (own) {
        const char *slash = strrchr(row->kernel, '/');
        kb_buf_puts(out, slash ? slash + 1 : row->kernel);
    }
    if (row->variant && *row->variant)
        kb_buf_printf(out, "%s%s", own ? ":" : "", row->variant);
    else if (!own)
        kb_buf_putc(out, '-');
}

void kb_time_words(const struct kb_time *time, struct kb_buf *out) {
    bool odd = time->there && time->quality != KB_Q_OK;
    if (odd)
        kb_buf_puts(out, kb_quality_word(time->quality));
    if (time->there && time->duty > 0)
        kb_buf_printf(out, "%sduty %.3g %%", odd ? ", " : "", 100 * time->duty);
}

/* ---- rows ------------------------------------------------------------------------------
 */

bool kb_row_is_repeated(const struct kb_row *row) {
    enum kb_verdict verdict = kb_reason_verdict(row->reason);
    return verdict != KB_PASS && verdict != KB_SKIP;
}

static double worst_of(const struct kb_row *row, bool ulp) {
    double worst = NAN;
    if (!row->checked || row->unwritten > 0)
        return NAN;
    for (int i = 0; i < row->n_outputs; i++) {
        const struct kb_output_report *o = &row->outputs[i];
        double value = ulp ? o->ulp_max : o->err_over_bound;
        if (o->elements > 0 && !o->exact)
            worst = fmax(worst, value); /* of those that are there */
    }
    return worst;
}

double kb_row_error(const struct kb_row *row) {
    return worst_of(row, false);
}

double kb_row_ulp(const struct kb_row *row) {
    return worst_of(row, true);
}

/* ---- lines ------------------------------------------------------------------------------
 */

static void new_line(int indent, int *at, struct kb_buf *out) {
    kb_buf_printf(out, "\n%*s", indent, "");
    *at = indent;
}

void kb_wrap(const char *text, int at, int indent, int width, struct kb_buf *out) {
    bool first = true; /* of its line: never moved, however long it is */
    while (*text) {
        size_t len = strcspn(text, " \n");
        struct kb_buf word = {0};
        kb_buf_add(&word, text, len);
        int columns = kb_columns(kb_buf_text(&word));
        if (!first && width > 0 && at + 1 + columns > width) {
            new_line(indent, &at, out);
            first = true;
        }
        if (!first)
            kb_buf_putc(out, ' ');
        kb_buf_add(out, word.data, word.len);
        at += columns + !first;
        first = false;
        kb_buf_free(&word);
        text += len;
        if (*text == '\n' && text[1]) {
            new_line(indent, &at, out);
            first = true;
        }
        text += *text != '\0';
    }
}

void kb_wrap_at(const char *text, const char *separator, int width, struct kb_buf *out) {
    size_t len = strlen(separator);
    int at = 0;
    while (*text) {
        const char *end = strstr(text, separator);
        size_t n = end ? (size_t)(end - text) : strlen(text);
        struct kb_buf part = {0};
        kb_buf_add(&part, text, n);
        int columns = kb_columns(kb_buf_text(&part));
        if (at && width > 0 && at + (int)len + columns > width) {
            kb_buf_putc(out, '\n');
            at = 0;
        }
        kb_buf_printf(out, "%s%s", at ? separator : "", kb_buf_text(&part));
        at += columns + (at ? (int)len : 0);
        kb_buf_free(&part);
        text += n + (end ? len : 0);
    }
}

/* How a line is broken: no sooner than behind `label` bytes, best at blanks as wide as
 * `gap`. */
struct folding {
    int width, label;
    const char *gap;
};

/* Bytes of `line` that take at most `width` columns and end before blanks: wide ones, which
 * stand between things, if there are any behind the label. 0: no such place. */
static size_t fitting(const char *line, int width, const struct folding *f) {
    size_t narrow = 0, wide = 0;
    int columns = 0;
    for (size_t i = 0; line[i] && columns <= width; i++) {
        if (line[i] == '\033') { /* a colour takes no column */
            i += strcspn(line + i, "m");
            continue;
        }
        if (i > (size_t)f->label && line[i] == ' ' && line[i - 1] != ' ') {
            narrow = i;
            wide = kb_starts_with(line + i, f->gap) ? i : wide;
        }
        columns += ((unsigned char)line[i] & 0xc0) != 0x80;
    }
    return wide ? wide : narrow;
}

static int shown_columns(const char *line) {
    int columns = kb_columns(line);
    for (const char *at = strchr(line, '\033'); at; at = strchr(at + 1, '\033'))
        columns -= (int)strcspn(at, "m") + 1;
    return columns;
}

static void fold_line(const char *rest, const struct folding *f, struct kb_buf *out) {
    int indent = 0;
    for (size_t n; shown_columns(rest) + indent > f->width &&
                   (n = fitting(rest, f->width - indent, f)) > 0;) {
        kb_buf_printf(out, "%*s", indent, "");
        kb_buf_add(out, rest, n);
        kb_buf_putc(out, '\n');
        rest += n + strspn(rest + n, " ");
        indent = f->label;
    }
    kb_buf_printf(out, "%*s%s\n", indent, "", rest);
}

void kb_fold(const char *text, int indent, int width, struct kb_buf *out) {
    const struct folding f = {.width = width, .label = indent, .gap = "  "};
    while (*text) {
        size_t len = strcspn(text, "\n");
        struct kb_buf line = {0};
        kb_buf_add(&line, text, len);
        if (width > 0)
            fold_line(kb_buf_text(&line), &f, out);
        else
            kb_buf_printf(out, "%s\n", kb_buf_text(&line));
        kb_buf_free(&line);
        text += len + (text[len] == '\n');
    }
}

void kb_single_fold(const char *text, int width, struct kb_buf *out) {
    const struct folding f = {.width = width, .label = KB_LABEL, .gap = "   "};
    while (*text) {
        size_t len = strcspn(text, "\n");
        struct kb_buf line = {0};
        kb_buf_add(&line, text, len);
        const char *whole = kb_buf_text(&line);
        if (kb_starts_with(whole, "next ") || kb_starts_with(whole, "repeat "))
            kb_buf_printf(out, "%s\n", whole); /* a command, to be copied */
        else
            fold_line(whole, &f, out);
        kb_buf_free(&line);
        text += len + (text[len] == '\n');
    }
}
