/* diff_groups.c - what a diff comes to by op, dtype and size. */
#include "report/diff_groups.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct group {
    const char *by, *name; /* "op", "silu" */
    size_t n, timed, ceilings, speeds[KB_SPEED_COUNT];
    double logs, a_ceilings, b_ceilings; /* sums of logarithms */
    double a_error, b_error;             /* the worst; NAN: none */
};
struct groups {
    struct group *items;
    size_t n, cap;
};

static struct group *group_of(struct groups *groups, const char *by, const char *name) {
    for (size_t i = 0; i < groups->n; i++)
        if (kb_streq(groups->items[i].by, by) && kb_streq(groups->items[i].name, name))
            return &groups->items[i];
    if (groups->n == groups->cap) {
        groups->cap = groups->cap ? 2 * groups->cap : 16;
        groups->items = realloc(groups->items, groups->cap * sizeof *groups->items);
        if (!groups->items)
            kb_out_of_memory();
    }
    groups->items[groups->n] =
        (struct group){.by = by, .name = name, .a_error = NAN, .b_error = NAN};
    return &groups->items[groups->n++];
}

double kb_ceiling_of(const struct kb_timing *t) {
    return t->ceiling_ns / t->median_ns;
}

static void add_to(struct group *group, const struct kb_pair *pair) {
    group->n++;
    group->speeds[pair->invalid ? KB_NOT_COMPARED : pair->speed]++;
    group->a_error = fmax(group->a_error, pair->a->error);
    group->b_error = fmax(group->b_error, pair->b->error);
    if (!kb_pair_is_timed(pair))
        return;
    group->timed++;
    group->logs += log1p(pair->shift.ratio);
    double a = kb_ceiling_of(pair->ta), b = kb_ceiling_of(pair->tb);
    if (!(a > 0 && b > 0 && isfinite(a) && isfinite(b)))
        return;
    group->ceilings++;
    group->a_ceilings += log(a);
    group->b_ceilings += log(b);
}

static const char *size_word(const struct kb_pair *pair) {
    double bytes = isnan(pair->a->bytes) ? pair->b->bytes : pair->a->bytes;
    if (isnan(bytes))
        return NULL;
    return bytes < 1e6 ? "under 1 MB" : bytes < 32e6 ? "1 to 32 MB" : "over 32 MB";
}

static struct groups groups_of(const struct kb_pairs *pairs) {
    struct groups groups = {0};
    for (size_t i = 0; i < pairs->n; i++) {
        const struct kb_pair *pair = &pairs->items[i];
        if (!pair->a || !pair->b)
            continue;
        add_to(group_of(&groups, "op", pair->a->op), pair);
        add_to(group_of(&groups, "all", "all"), pair);
        add_to(group_of(&groups, "dtype", pair->a->dtype), pair);
        if (size_word(pair))
            add_to(group_of(&groups, "size", size_word(pair)), pair);
    }
    return groups;
}

static double mean_of(double logs, size_t n) {
    return n ? exp(logs / (double)n) : NAN;
}

void kb_error_words(double a, double b, struct kb_buf *out) {
    if (isnan(a) && isnan(b))
        kb_buf_putc(out, '-');
    else
        kb_buf_printf(out, "%s -> %s", kb_cell_ratio(a).text, kb_cell_ratio(b).text);
}

bool kb_is_crossed(const struct kb_pairs *pairs) {
    for (size_t i = 0; i < pairs->n; i++)
        if (pairs->items[i].cross)
            return true;
    return false;
}

void kb_ceilings_change(double a, double b, struct kb_buf *out) {
    if (!isfinite(a) && !isfinite(b))
        kb_buf_putc(out, '-');
    else
        kb_buf_printf(out, "%s -> %s", kb_cell_percent(a).text, kb_cell_percent(b).text);
}

/* ---- the table -------------------------------------------------------------------------
 */

static const enum kb_speed_verdict order[] = {KB_FASTER, KB_SLOWER, KB_SAME, KB_UNCLEAR,
                                              KB_IDENTICAL};
static const char *const heads[] = {"faster", "slower", "same", "unclear", "identical"};
enum { ORDER = KB_COUNT(order), NAME = 10, ERRORS = 18 };

/* Columns: how wide, 0 for those that are left out. */
struct layout {
    int name, n, mean, speeds[ORDER], errors, ceilings;
    const char *mean_head;
};

static bool is_zero(const struct groups *groups, enum kb_speed_verdict verdict) {
    for (size_t i = 0; i < groups->n; i++)
        if (groups->items[i].speeds[verdict])
            return false;
    return true;
}

static int width_of(const struct layout *l) {
    int width = l->name + l->n + l->mean + l->errors + l->ceilings;
    for (int i = 0; i < ORDER; i++)
        width += l->speeds[i];
    return width;
}

static struct layout layout_of(const struct groups *groups, bool cross, int columns) {
    struct layout l = {.n = 5,
                       .mean = 15,
                       .speeds = {9, 8, 7, 9, 11},
                       .errors = ERRORS,
                       .ceilings = cross ? ERRORS : 0,
                       .mean_head = "time, geomean"};
    for (size_t i = 0; i < groups->n; i++) {
        int name = kb_columns(groups->items[i].name);
        l.name = name > l.name ? name : l.name;
    }
    int longest = l.name;
    l.name = longest > NAME ? longest : NAME;
    if (columns <= 0 || width_of(&l) <= columns)
        return l;
    l.errors = 0;
    if (width_of(&l) <= columns)
        return l;
    l.name = longest;
    l.mean = 9;
    l.mean_head = "geomean";
    for (int i = 0; i < ORDER; i++)
        l.speeds[i] = is_zero(groups, order[i]) && width_of(&l) > columns
                          ? 0
                          : (int)strlen(heads[i]) + 2;
    return l;
}

static void group_line(const struct group *g, const struct layout *l, struct kb_buf *out) {
    struct kb_buf text = {0};
    kb_padded(g->name, l->name, out);
    kb_buf_printf(out, "%*zu%*s", l->n, g->n, l->mean,
                  kb_cell_change(mean_of(g->logs, g->timed) - 1).text);
    for (int i = 0; i < ORDER; i++)
        if (l->speeds[i])
            kb_buf_printf(out, "%*zu", l->speeds[i], g->speeds[order[i]]);
    kb_error_words(g->a_error, g->b_error, &text);
    if (l->errors)
        kb_buf_printf(out, "%*s", l->errors, kb_buf_text(&text));
    kb_buf_clear(&text);
    kb_ceilings_change(mean_of(g->a_ceilings, g->ceilings),
                       mean_of(g->b_ceilings, g->ceilings), &text);
    if (l->ceilings)
        kb_buf_printf(out, "%*s", l->ceilings, kb_buf_text(&text));
    kb_buf_putc(out, '\n');
    kb_buf_free(&text);
}

static void group_lines(const struct groups *groups, const char *by, const struct layout *l,
                        struct kb_buf *out) {
    for (size_t i = 0; i < groups->n; i++)
        if (kb_streq(groups->items[i].by, by))
            group_line(&groups->items[i], l, out);
}

void kb_groups_print(const struct kb_pairs *pairs, bool all, int columns,
                     struct kb_buf *out) {
    static const char *const more[] = {"dtype", "size"};
    struct groups groups = groups_of(pairs);
    struct layout l = layout_of(&groups, kb_is_crossed(pairs), columns);
    kb_buf_printf(out, "%*s%*s%*s", l.name, "", l.n, "n", l.mean, l.mean_head);
    for (int i = 0; i < ORDER; i++)
        if (l.speeds[i])
            kb_buf_printf(out, "%*s", l.speeds[i], heads[i]);
    kb_buf_printf(out, "%s%s\n", l.errors ? "   worst err/bound" : "",
                  l.ceilings ? "     ceil, geomean" : "");
    group_lines(&groups, "op", &l, out);
    group_lines(&groups, "all", &l, out);
    for (size_t i = 0; all && i < KB_COUNT(more); i++) {
        kb_buf_putc(out, '\n');
        group_lines(&groups, more[i], &l, out);
    }
    free(groups.items);
}

static cJSON *group_item(const struct group *g) {
    cJSON *item = kb_json_object(), *counted = kb_json_object();
    kb_json_add_text(item, "by", g->by);
    kb_json_add_text(item, "name", g->name);
    kb_json_add_i64(item, "n", (int64_t)g->n);
    kb_json_add_f64(item, "change", mean_of(g->logs, g->timed) - 1, 6);
    for (int v = 0; v < KB_SPEED_COUNT; v++)
        if (*kb_speed_word((enum kb_speed_verdict)v))
            kb_json_add_i64(counted, kb_speed_word((enum kb_speed_verdict)v),
                            (int64_t)g->speeds[v]);
    kb_json_add(item, "count", counted);
    kb_json_add_f64(item, "a_err_over_bound", g->a_error, 6);
    kb_json_add_f64(item, "b_err_over_bound", g->b_error, 6);
    kb_json_add_f64(item, "a_ceiling", mean_of(g->a_ceilings, g->ceilings), 6);
    kb_json_add_f64(item, "b_ceiling", mean_of(g->b_ceilings, g->ceilings), 6);
    return item;
}

cJSON *kb_groups_item(const struct kb_pairs *pairs) {
    cJSON *list = kb_json_array();
    struct groups groups = groups_of(pairs);
    for (size_t i = 0; i < groups.n; i++)
        kb_json_push(list, group_item(&groups.items[i]));
    free(groups.items);
    return list;
}
