/* pair_head.c - of builds and variants side by side what stands above: devices, what A, B,
 * ... are, the heads of the columns. */
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

void kb_versus_legend(struct kb_versus *v, const struct kb_row *rows, int n,
                      struct kb_buf *out) {
    if (same_members(v, rows, n))
        return;
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
    size_t start = out->len;
    kb_buf_printf(out, "%*s", v->verdict_width + 2 + v->id_width, "");
    if (v->plan.n_methods > 1)
        kb_buf_printf(out, "  %-*s", kb_versus_margin(v) - (int)(out->len - start) - 2,
                      "by");
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
    for (int m = 0; plan->layout == KB_LAYOUT_BENCH && m < plan->n_methods; m++)
        kb_buf_printf(&text, "%s%s", m ? ", " : "", kb_method_word(plan->methods[m]));
    if (plan->layout == KB_LAYOUT_BENCH)
        kb_buf_printf(&text, " us%s",
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
