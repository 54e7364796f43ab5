/* pair_screen.c - builds and variants against the first of them: what they are, a line for
 * each case, what it comes to. Devices side by side are in devices.c. */
#include "report/devices.h"
#include "report/parts.h"

#include <math.h>
#include <string.h>

/* ---- what A, B, ... are ---------------------------------------------------------------
 */

const char *kb_versus_label(struct kb_versus *v, const struct kb_row *row) {
    const char *variant = row->variant ? row->variant : "-";
    if (v->plan.many_builds && v->plan.many_variants)
        return kb_arena_printf(&v->arena, "%s %s", row->build, variant);
    return kb_arena_strdup(&v->arena, v->plan.many_variants ? variant : row->build);
}

/* Whether they are those of the group before. A variant that was not asked for by name may
 * change from case to case. */
static bool same_members(struct kb_versus *v, const struct kb_row *rows, int n) {
    if (v->members.count != (size_t)n)
        return false;
    for (int k = 0; k < n; k++)
        if (!kb_streq(v->members.items[k], kb_versus_label(v, &rows[k])))
            return false;
    return true;
}

/* How far past the bound a fast-math build may go. */
static double limit_of(const struct kb_row *row) {
    double limit = 1;
    for (int i = 0; i < row->n_outputs; i++)
        limit = fmax(limit, row->outputs[i].limit);
    return limit;
}

static void add_flags(const struct kb_versus *v, const struct kb_row *row,
                      struct kb_buf *out) {
    for (size_t i = 0; v->plan.many_builds && i < row->flags.count; i++)
        kb_buf_printf(out, "%s%s", i ? " " : "", row->flags.items[i]);
}

/* Facts by comma, each on one line, as many to a line as there is room for. */
static void add_facts(const struct kb_versus *v, const char *text, struct kb_buf *out) {
    int at = 0;
    for (const char *end; *text; text = end) {
        const char *comma = strstr(text, ", ");
        end = comma ? comma + 2 : text + strlen(text);
        struct kb_buf part = {0};
        kb_buf_add(&part, text, (size_t)(end - text) - (comma ? 1 : 0));
        int columns = kb_columns(kb_buf_text(&part));
        if (at > 0 && v->look.width > 0 && at + 1 + columns > v->look.width) {
            kb_buf_puts(out, "\n    ");
            at = 4;
        } else if (at > 0) {
            kb_buf_putc(out, ' ');
            at++;
        }
        kb_buf_puts(out, kb_buf_text(&part));
        at += columns;
        kb_buf_free(&part);
    }
}

/* "B fast-math   -std=c++17 --use_fast_math   24 registers, 0 spilled, 4.4 kB" */
static void add_member(const struct kb_versus *v, const struct kb_row *row, int k,
                       const int widths[2], struct kb_buf *out) {
    struct kb_buf text = {0}, safe = {0}, flags = {0};
    double limit = limit_of(row);
    add_flags(v, row, &flags);
    kb_buf_printf(&text, "%c %-*s", 'A' + k, widths[0], v->members.items[k]);
    if (widths[1])
        kb_buf_printf(&text, "   %-*s", widths[1], kb_buf_text(&flags));
    size_t before = text.len;
    kb_buf_puts(&text, "   ");
    kb_code_words(row, &text);
    if (limit > 1)
        kb_buf_printf(&text, "%smay use %gx the bound", text.len > before + 3 ? ", " : "",
                      limit);
    while (text.len && text.data[text.len - 1] == ' ')
        kb_buf_cut(&text, text.len - 1);
    kb_escape(&safe, kb_buf_text(&text), text.len);
    add_facts(v, kb_buf_text(&safe), out);
    kb_buf_putc(out, '\n');
    kb_buf_free(&text);
    kb_buf_free(&safe);
    kb_buf_free(&flags);
}

static bool has_code(const struct kb_row *rows, int n) {
    struct kb_buf text = {0};
    for (int k = 0; k < n; k++)
        kb_code_words(&rows[k], &text);
    bool has = text.len > 0;
    kb_buf_free(&text);
    return has;
}

/* Shapes and dtypes may come to other code, and fill the device in other ways. */
static void add_members(struct kb_versus *v, const struct kb_row *rows, int n,
                        struct kb_buf *out) {
    int widths[2] = {0};
    for (int k = 0; k < n; k++) {
        struct kb_buf flags = {0};
        add_flags(v, &rows[k], &flags);
        int label = kb_columns(v->members.items[k]);
        int columns = kb_columns(kb_buf_text(&flags));
        widths[0] = label > widths[0] ? label : widths[0];
        widths[1] = columns > widths[1] ? columns : widths[1];
        kb_buf_free(&flags);
    }
    for (int k = 0; k < n; k++)
        add_member(v, &rows[k], k, widths, out);
    if (v->plan.n_cases < 2 || v->look.verbose || !has_code(rows, n))
        return;
    struct kb_buf id = {0};
    kb_escape(&id, rows[0].case_id, strlen(rows[0].case_id));
    kb_buf_printf(out, "  the code is that of %s; -v shows each case's\n",
                  kb_buf_text(&id));
    kb_buf_free(&id);
}

/* Legend and heads, where the rows are not of the members that were there before. */
static void begin_block(struct kb_versus *v, const struct kb_row *rows, int n,
                        struct kb_buf *out) {
    if (v->members.count)
        kb_buf_putc(out, '\n');
    v->members = (struct kb_strings){0};
    for (int k = 0; k < n; k++)
        kb_strings_add(&v->members, &v->arena, kb_versus_label(v, &rows[k]));
    if (n > 1)
        add_members(v, rows, n, out);
    kb_buf_putc(out, '\n');
    if (v->devices)
        kb_devices_names(v, out);
    kb_buf_printf(out, "%*s", v->verdict_width + 2 + v->id_width, "");
    for (int i = 0; i < (v->devices ? v->plan.facts->n_devices : 1); i++)
        kb_versus_heads(v, n, out);
    while (out->len && out->data[out->len - 1] == ' ')
        kb_buf_cut(out, out->len - 1);
    kb_buf_putc(out, '\n');
}

/* ---- above ----------------------------------------------------------------------------
 */

static void add_fact(struct kb_buf *line, const char *fact) {
    if (!*fact)
        return;
    kb_buf_puts(line, line->len ? " | " : "");
    kb_escape(line, fact, strlen(fact));
}

static void add_devices(const struct kb_versus_plan *plan, struct kb_buf *line) {
    const struct kb_facts *facts = plan->facts;
    const char *driver = "";
    for (int i = 0; i < facts->n_devices; i++) {
        struct kb_buf text = {0};
        kb_facts_device(facts, i, plan->layout == KB_LAYOUT_BENCH, &text);
        add_fact(line, kb_buf_text(&text));
        kb_buf_free(&text);
        driver = *facts->devices[i].driver ? facts->devices[i].driver : driver;
    }
    if (*driver) {
        struct kb_buf text = {0};
        kb_buf_printf(&text, "driver %s", driver);
        add_fact(line, kb_buf_text(&text));
        kb_buf_free(&text);
    }
}

void kb_versus_head(const struct kb_versus *v, struct kb_buf *out) {
    const struct kb_versus_plan *plan = &v->plan;
    struct kb_buf line = {0}, text = {0};
    add_devices(plan, &line);
    if (plan->n_members < 2 && plan->facts->n_builds == 1) {
        kb_buf_printf(&text, "build %s", plan->facts->builds[0].name);
        add_fact(&line, kb_buf_text(&text));
        kb_buf_clear(&text);
    }
    add_fact(&line, plan->dtype ? plan->dtype : "");
    add_fact(&line, plan->shared);
    if (plan->layout == KB_LAYOUT_BENCH)
        kb_buf_printf(&text, "%s us%s", kb_method_word(plan->method),
                      plan->n_members > 1 ? ", in turns over the same buffers" : "");
    else
        kb_buf_puts(&text, "checked, not timed");
    add_fact(&line, kb_buf_text(&text));
    if (plan->facts->n_devices > 1 && plan->n_members > 1)
        add_fact(&line, "against A only within one device");
    kb_wrap_at(kb_buf_text(&line), " | ", v->look.width, out);
    kb_buf_putc(out, '\n');
    kb_buf_free(&line);
    kb_buf_free(&text);
}

/* ---- rows -----------------------------------------------------------------------------
 */

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
                    const char *verdict, const char *colored, struct kb_buf *out) {
    struct kb_buf id = {0};
    int width = v->verdict_width + 2 + v->id_width, at = kb_columns(verdict);
    add_id(v, row->case_id, &id);
    kb_buf_puts(out, colored);
    int pad = v->verdict_width - at;
    kb_buf_printf(out, "%*s  %s", pad > 0 ? pad : 0, "", kb_buf_text(&id));
    at = (at > v->verdict_width ? at : v->verdict_width) + 2 + kb_columns(kb_buf_text(&id));
    kb_buf_printf(out, "%*s", at < width ? width - at : 0, "");
    kb_buf_free(&id);
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

void kb_versus_alone(const struct kb_versus *v, const struct kb_row *row,
                     struct kb_buf *out) {
    enum kb_verdict verdict = kb_reason_verdict(row->reason);
    struct kb_buf colored = {0};
    size_t start = out->len;
    kb_verdict_words(verdict, v->look.color, &colored);
    kb_versus_case(v, row, kb_verdict_word(verdict), kb_buf_text(&colored), out);
    if (verdict == KB_PASS || verdict == KB_FAIL)
        kb_versus_cells(v, row, NULL, 0, out);
    else
        add_reason(v, row, v->verdict_width + 2 + v->id_width, out);
    kb_versus_trim(out, start);
    kb_buf_putc(out, '\n');
    kb_buf_free(&colored);
}

/* "B noisy", where a time is not as good as it should be, or of pauses, and there is room
 * to say so. */
static void add_quality(const struct kb_versus *v, const struct kb_row *a,
                        const struct kb_row *b, char letter, int used, struct kb_buf *out) {
    const struct kb_row *const rows[] = {a, b};
    for (int i = 0; i < 2; i++) {
        const struct kb_time *t = &rows[i]->times[v->plan.method];
        struct kb_buf words = {0};
        kb_time_words(t, &words);
        used += words.len ? 4 + kb_columns(kb_buf_text(&words)) : 0;
        if (words.len && (v->look.width <= 0 || used <= v->look.width))
            kb_buf_printf(out, "  %c %s", i ? letter : 'A', kb_buf_text(&words));
        kb_buf_free(&words);
    }
}

static int columns_from(const struct kb_buf *out, size_t start, int escapes) {
    struct kb_buf line = {0};
    kb_buf_add(&line, out->data + start, out->len - start);
    int columns = kb_columns(kb_buf_text(&line)) - escapes;
    kb_buf_free(&line);
    return columns;
}

static void add_line(const struct kb_versus *v, const struct kb_row *a,
                     const struct kb_row *b, int member, struct kb_buf *out) {
    struct kb_buf plain = {0}, colored = {0};
    char letter = (char)('A' + member);
    size_t start = out->len;
    const struct kb_row *why = told_of(a, b);
    int escapes;
    if (v->has[KB_V_LETTER] && why == a && kb_reason_verdict(a->reason) == KB_SKIP) {
        why = NULL; /* that A was not run is no reason to hide what others came to */
        kb_verdict_words(KB_PASS, false, &plain);
        kb_verdict_words(KB_PASS, v->look.color, &colored);
    } else {
        kb_versus_verdict(a, b, letter, v->plan.method, false, &plain);
        kb_versus_verdict(a, b, letter, v->plan.method, v->look.color, &colored);
    }
    escapes = (int)(colored.len - plain.len); /* they take no room */
    kb_versus_case(v, b, kb_buf_text(&plain), kb_buf_text(&colored), out);
    if (why) {
        if (v->has[KB_V_DEVICE])
            kb_buf_printf(out, "  %-6s", a->device);
        if (v->has[KB_V_LETTER])
            kb_buf_printf(out, "  %c", letter);
        add_reason(v, why, columns_from(out, start, escapes), out);
    } else {
        kb_versus_cells(v, a, b, member, out);
        kb_versus_trim(out, start);
        add_quality(v, a, b, letter, columns_from(out, start, escapes), out);
    }
    kb_buf_putc(out, '\n');
    kb_buf_free(&plain);
    kb_buf_free(&colored);
}

/* Why nothing is beside A: a line of its own where the others' lines do not say it. */
static void add_first(const struct kb_versus *v, const struct kb_row *a,
                      struct kb_buf *out) {
    struct kb_buf plain = {0}, colored = {0};
    size_t start = out->len;
    if (!v->has[KB_V_LETTER] || kb_reason_verdict(a->reason) != KB_SKIP)
        return;
    kb_verdict_words(KB_SKIP, false, &plain);
    kb_verdict_words(KB_SKIP, v->look.color, &colored);
    int escapes = (int)(colored.len - plain.len);
    kb_versus_case(v, a, kb_buf_text(&plain), kb_buf_text(&colored), out);
    if (v->has[KB_V_DEVICE])
        kb_buf_printf(out, "  %-6s", a->device);
    kb_buf_puts(out, "  A");
    add_reason(v, a, columns_from(out, start, escapes), out);
    kb_buf_putc(out, '\n');
    kb_buf_free(&plain);
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
    if (!same_members(v, rows, n))
        begin_block(v, rows, n, out);
    kb_versus_count(v, rows, n);
    if (v->devices)
        kb_devices_line(v, rows, n, out);
    for (int i = 0; !v->devices && n > 1 && i < devices; i++)
        add_first(v, &rows[i * n], out);
    for (int k = 1; !v->devices && k < n; k++)
        for (int i = 0; i < devices; i++)
            add_line(v, &rows[i * n], &rows[i * n + k], k, out);
    /* An op that has one of the variants: there is nothing beside it. */
    for (int i = 0; !v->devices && n == 1 && i < devices; i++)
        kb_versus_alone(v, &rows[i], out);
    add_whys(v, rows, n, out);
    add_codes(v, rows, n, out);
}
