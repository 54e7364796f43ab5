/* pair_screen.c - builds and variants against the first of them: the lines of each case.
 * Devices side by side are in devices.c. */
#include "report/devices.h"
#include "report/parts.h"

#include <string.h>

static void add_id(const struct kb_versus *v, const char *id, struct kb_buf *out) {
    const char *slash = strchr(id, '/');
    slash = slash ? strchr(slash + 1, '/') : NULL;
    size_t len = v->plan.dtype ? strlen(v->plan.dtype) : 0;
    if (!len || !slash || strncmp(slash + 1, v->plan.dtype, len) != 0) {
        kb_escape(out, id, strlen(id));
        return;
    }
    kb_escape(out, id, (size_t)(slash - id));
    kb_escape(out, slash + 1 + len, strlen(slash + 1 + len));
}

void kb_versus_case(const struct kb_versus *v, const struct kb_row *row,
                    const char *verdict, const char *colored, const char *by,
                    struct kb_buf *out) {
    struct kb_buf id = {0};
    int width = v->verdict_width + 2 + v->id_width, at = kb_columns(verdict);
    add_id(v, row->case_id, &id);
    kb_buf_puts(out, colored);
    int pad = v->verdict_width - at;
    kb_buf_printf(out, "%*s  %s", pad > 0 ? pad : 0, "", kb_buf_text(&id));
    at = (at > v->verdict_width ? at : v->verdict_width) + 2 + kb_columns(kb_buf_text(&id));
    kb_buf_printf(out, "%*s", at < width ? width - at : 0, "");
    if (v->plan.n_methods > 1)
        kb_buf_printf(out, "  %-*s", kb_versus_margin(v) - width - 2, by);
    kb_buf_free(&id);
}

bool kb_versus_has_line(const struct kb_versus *v, const struct kb_row *rows, int n,
                        int m) {
    bool has = m == 0;
    for (int i = 0; i < n; i++)
        has |= rows[i].times[v->plan.methods[m]].there;
    return has;
}

void kb_versus_trim(struct kb_buf *out, size_t start) {
    while (out->len > start && out->data[out->len - 1] == ' ')
        kb_buf_cut(out, out->len - 1);
}

/* Why there are no numbers: the row's whose verdict the line has. */
static const struct kb_row *told_of(const struct kb_row *a, const struct kb_row *b) {
    enum kb_verdict va = kb_reason_verdict(a->reason), vb = kb_reason_verdict(b->reason);
    const struct kb_row *row =
        vb == KB_PASS || (vb == KB_SKIP && va > KB_PASS && va != KB_SKIP) ? a : b;
    enum kb_verdict verdict = kb_reason_verdict(row->reason);
    return verdict == KB_SKIP || verdict == KB_ERROR || verdict == KB_MISTRUSTED ? row
                                                                                 : NULL;
}

static void add_reason(const struct kb_versus *v, const struct kb_row *row, int used,
                       struct kb_buf *out) {
    struct kb_buf text = {0};
    int room = v->look.width - used - 2;
    kb_row_words(row, &text);
    kb_buf_puts(out, "  ");
    kb_short_text(kb_buf_text(&text), v->look.width > 0 ? room < 8 ? 8 : room : 0, out);
    kb_buf_free(&text);
}

/* Of what lies from `start` on; colours take none. */
static int columns_since(const struct kb_buf *out, size_t start) {
    struct kb_buf line = {0};
    for (size_t i = start; i < out->len; i++) {
        if (out->data[i] == '\033')
            while (i + 1 < out->len && out->data[i] != 'm')
                i++;
        else
            kb_buf_putc(&line, out->data[i]);
    }
    int columns = kb_columns(kb_buf_text(&line));
    kb_buf_free(&line);
    return columns;
}

void kb_versus_remark(const struct kb_versus *v, const char *text, size_t start,
                      struct kb_buf *out) {
    int used = columns_since(out, start) + 2 + kb_columns(text);
    if (*text && v->look.width > 0 && used > v->look.width)
        kb_buf_printf(out, "\n%*s%s", v->verdict_width + 2, "", text);
    else if (*text)
        kb_buf_printf(out, "  %s", text);
}

static void add_alone(const struct kb_versus *v, const struct kb_row *row,
                      enum kb_method method, struct kb_buf *out) {
    enum kb_verdict verdict = kb_reason_verdict(row->reason);
    bool has_cells = verdict == KB_PASS || verdict == KB_FAIL;
    struct kb_buf colored = {0}, words = {0};
    size_t start = out->len;
    kb_verdict_words(verdict, v->look.color, &colored);
    kb_versus_case(v, row, kb_verdict_word(verdict), kb_buf_text(&colored),
                   has_cells ? kb_method_word(method) : "", out);
    if (has_cells)
        kb_versus_cells(v, row, NULL, 0, method, out);
    else
        add_reason(v, row, kb_versus_margin(v), out);
    kb_versus_trim(out, start);
    kb_time_words(&row->times[method], &words);
    kb_versus_remark(v, kb_buf_text(&words), start, out);
    kb_buf_putc(out, '\n');
    kb_buf_free(&colored);
    kb_buf_free(&words);
}

void kb_versus_alone(const struct kb_versus *v, const struct kb_row *row,
                     struct kb_buf *out) {
    for (int m = 0; m < v->plan.n_methods; m++)
        if (kb_versus_has_line(v, row, 1, m) && !(m > 0 && told_of(row, row)))
            add_alone(v, row, v->plan.methods[m], out);
}

/* "B noisy", "A and B throttled", where times are not as good as they should be, or of
 * pauses. */
static void add_quality(const struct kb_versus *v, const struct kb_row *a,
                        const struct kb_row *b, char letter, enum kb_method method,
                        size_t start, struct kb_buf *out) {
    struct kb_buf text = {0}, of_a = {0}, of_b = {0};
    kb_time_words(&a->times[method], &of_a);
    kb_time_words(&b->times[method], &of_b);
    bool same = of_a.len && kb_streq(kb_buf_text(&of_a), kb_buf_text(&of_b));
    if (same)
        kb_buf_printf(&text, "A and %c %s", letter, of_a.data);
    else if (of_a.len)
        kb_buf_printf(&text, "A %s", of_a.data);
    if (of_b.len && !same)
        kb_buf_printf(&text, "%s%c %s", text.len ? "  " : "", letter, of_b.data);
    kb_versus_remark(v, kb_buf_text(&text), start, out);
    kb_buf_free(&text);
    kb_buf_free(&of_a);
    kb_buf_free(&of_b);
}

/* Why a line of A and B has no numbers, in their place. */
static void add_why(const struct kb_versus *v, const struct kb_row *why, char letter,
                    size_t start, struct kb_buf *out) {
    if (v->has[KB_V_DEVICE])
        kb_buf_printf(out, "  %-6s", why->device);
    if (v->has[KB_V_LETTER])
        kb_buf_printf(out, "  %c", letter);
    add_reason(v, why, columns_since(out, start), out);
}

/* That A was not run is no reason to hide what others came to. */
static bool stands_alone(const struct kb_versus *v, const struct kb_row *a,
                         const struct kb_row *b) {
    return v->has[KB_V_LETTER] && told_of(a, b) == a &&
           kb_reason_verdict(a->reason) == KB_SKIP;
}

static void add_line(const struct kb_versus *v, const struct kb_row *a,
                     const struct kb_row *b, int member, enum kb_method method,
                     struct kb_buf *out) {
    struct kb_buf plain = {0}, colored = {0};
    char letter = (char)('A' + member);
    size_t start = out->len;
    const struct kb_row *why = told_of(a, b);
    if (stands_alone(v, a, b)) {
        why = NULL;
        kb_verdict_words(KB_PASS, false, &plain);
        kb_verdict_words(KB_PASS, v->look.color, &colored);
    } else {
        kb_versus_verdict(a, b, letter, method, false, &plain);
        kb_versus_verdict(a, b, letter, method, v->look.color, &colored);
    }
    kb_versus_case(v, b, kb_buf_text(&plain), kb_buf_text(&colored),
                   why ? "" : kb_method_word(method), out);
    if (why) {
        add_why(v, why, letter, start, out);
    } else {
        kb_versus_cells(v, a, b, member, method, out);
        kb_versus_trim(out, start);
        add_quality(v, a, b, letter, method, start, out);
    }
    kb_buf_putc(out, '\n');
    kb_buf_free(&plain);
    kb_buf_free(&colored);
}

static void add_lines(const struct kb_versus *v, const struct kb_row *a,
                      const struct kb_row *b, int member, struct kb_buf *out) {
    for (int m = 0; m < v->plan.n_methods; m++) {
        bool told = m > 0 && told_of(a, b) && !stands_alone(v, a, b);
        if (!told && (kb_versus_has_line(v, a, 1, m) || kb_versus_has_line(v, b, 1, m)))
            add_line(v, a, b, member, v->plan.methods[m], out);
    }
}

/* Why nothing is beside A: a line of its own where the others' lines do not say it. */
static void add_first(const struct kb_versus *v, const struct kb_row *a,
                      struct kb_buf *out) {
    struct kb_buf colored = {0};
    size_t start = out->len;
    if (!v->has[KB_V_LETTER] || kb_reason_verdict(a->reason) != KB_SKIP)
        return;
    kb_verdict_words(KB_SKIP, v->look.color, &colored);
    kb_versus_case(v, a, kb_verdict_word(KB_SKIP), kb_buf_text(&colored), "", out);
    add_why(v, a, 'A', start, out);
    kb_buf_putc(out, '\n');
    kb_buf_free(&colored);
}

/* With -v: what the code of each is. */
static void add_codes(const struct kb_versus *v, const struct kb_row *rows, int n,
                      struct kb_buf *out) {
    for (int k = 0; v->look.verbose && k < n; k++) {
        struct kb_buf text = {0};
        kb_code_words(&rows[k], &text);
        if (text.len)
            kb_buf_printf(out, "%*s%c %s\n", v->verdict_width + 2, "", 'A' + k,
                          kb_buf_text(&text));
        kb_buf_free(&text);
    }
}

/* Why rows that could have been compared were not: of a group all, or none. */
static void add_whys(const struct kb_versus *v, const struct kb_row *rows, int n,
                     struct kb_buf *out) {
    int indent = v->verdict_width + 2;
    for (int i = 0; n > 1 && i < v->plan.facts->n_devices; i++) {
        const struct kb_against *against = rows[i * n + 1].against;
        struct kb_buf text = {0}, safe = {0};
        if (!against || !against->why)
            continue;
        if (v->plan.facts->n_devices > 1)
            kb_buf_printf(&text, "device %s: ", rows[i * n].device);
        kb_buf_puts(&text, against->why);
        kb_escape(&safe, kb_buf_text(&text), text.len);
        kb_buf_printf(out, "%*s", indent, "");
        kb_wrap(kb_buf_text(&safe), indent, indent, v->look.width, out);
        kb_buf_putc(out, '\n');
        kb_buf_free(&text);
        kb_buf_free(&safe);
    }
}

void kb_versus_group(struct kb_versus *v, const struct kb_row *rows, int n,
                     struct kb_buf *out) {
    int devices = v->plan.facts->n_devices;
    kb_versus_legend(v, rows, n, out);
    kb_versus_count(v, rows, n);
    if (v->devices)
        kb_devices_lines(v, rows, n, out);
    for (int i = 0; !v->devices && n > 1 && i < devices; i++)
        add_first(v, &rows[i * n], out);
    for (int k = 1; !v->devices && k < n; k++)
        for (int i = 0; i < devices; i++)
            add_lines(v, &rows[i * n], &rows[i * n + k], k, out);
    /* An op that has one of the variants: there is nothing beside it. */
    for (int i = 0; !v->devices && n == 1 && i < devices; i++)
        kb_versus_alone(v, &rows[i], out);
    add_whys(v, rows, n, out);
    add_codes(v, rows, n, out);
}
