/* diff.c - kbench diff: what changed between reports, or within them. */
#include "cli/compare.h"

#include <string.h>

struct diff {
    const struct kb_options *options;
    struct kb_terminal terminal;
    struct kb_arena arena;
    struct kb_buf screen, json;
    int n; /* comparisons */
};

static void compare(struct diff *d, const struct kb_side *a, const struct kb_side *b) {
    const struct kb_options *o = d->options;
    struct kb_pairs pairs;
    kb_pairs_make(a, b, o->methods, o->n_methods, KB_RELAX_BUILD, &d->arena, &pairs);
    kb_pairs_shift(&pairs, &d->arena);
    kb_pairs_judge(&pairs, &d->arena);
    kb_buf_puts(&d->screen, d->n ? "\n" : "");
    kb_diff_print(&pairs, &d->terminal.look, o->all, &d->screen);
    if (o->format == KB_FORMAT_JSON || o->outputs.count) {
        kb_buf_puts(&d->json, d->n ? "," : "");
        kb_diff_json(&pairs, &d->json);
    }
    d->n++;
}

/* Sides that are told apart by build, variant or device, within a report or over all. */
static void compare_sides(struct diff *d, const struct kb_side *sides, size_t n) {
    for (size_t i = 1; i < n; i++)
        compare(d, &sides[0], &sides[i]);
}

static size_t add_sides(struct diff *d, const struct kb_loaded *report,
                        struct kb_side **sides, size_t n) {
    struct kb_strings values = {0};
    kb_side_values(report, d->options->by, &d->arena, &values);
    struct kb_side *more = kb_arena_array(&d->arena, n + values.count + 1, sizeof *more);
    if (n)
        memcpy(more, *sides, n * sizeof *more);
    for (size_t i = 0; i < values.count; i++)
        more[n + i] = (struct kb_side){report, d->options->by, values.items[i]};
    *sides = more;
    return n + values.count;
}

static void compare_all(struct diff *d, const struct kb_reports *reports) {
    bool over_all = d->options->by == KB_BY_DEVICE;
    struct kb_side *sides = NULL;
    size_t n = 0;
    for (int i = 0; i < reports->n; i++) {
        if (d->options->by == KB_BY_REPORT) {
            const struct kb_side a = {.report = &reports->items[0]};
            const struct kb_side b = {.report = &reports->items[i]};
            if (i)
                compare(d, &a, &b);
            continue;
        }
        n = add_sides(d, &reports->items[i], &sides, over_all ? n : 0);
        if (!over_all)
            compare_sides(d, sides, n);
    }
    if (over_all)
        compare_sides(d, sides, n);
}

static int show(struct diff *d, const struct kb_reports *reports) {
    struct kb_buf wrote = {0}, list = {0};
    struct kb_err err = {0};
    for (int i = 0; i < reports->n; i++)
        if (reports->items[i].note.len)
            kb_terminal_note(&d->terminal, "%s", kb_buf_text(&reports->items[i].note));
    if (d->n > 1)
        kb_buf_printf(&list, "[%s]\n", kb_buf_text(&d->json));
    bool ok = kb_compare_print(d->options, &d->terminal, &d->screen,
                               d->n > 1 ? &list : &d->json, &wrote, &err);
    int status = kb_last_line(kb_buf_text(&wrote), ok ? 0 : kb_err_status(&err), err.msg);
    kb_buf_free(&list);
    kb_buf_free(&wrote);
    return status;
}

int kb_command_diff(const struct kb_options *options, struct kb_complaints *c) {
    struct diff d = {.options = options};
    struct kb_reports reports = {0};
    struct kb_err err = {0};
    int status;
    kb_compare_check(options, c);
    if (options->words.count < (options->by ? 1 : 2))
        kb_complain(c, "kbench", 0, 0, NULL, "diff wants %s, got %zu",
                    options->by ? "a report or more" : "two reports or more",
                    options->words.count);
    if (c->count)
        return kb_exit_complaints(c);
    kb_terminal_open(options, &d.terminal);
    if (!kb_reports_read(&options->words, &reports, &err))
        return kb_exit(kb_err_status(&err), "%s", err.msg);
    compare_all(&d, &reports);
    if (d.n == 0)
        status = kb_exit(4, "%s: has one %s alone, there is nothing to compare it with",
                         options->words.items[0],
                         options->by == KB_BY_BUILD     ? "build"
                         : options->by == KB_BY_VARIANT ? "variant"
                                                        : "device");
    else
        status = show(&d, &reports);
    kb_buf_free(&d.screen);
    kb_buf_free(&d.json);
    kb_arena_free(&d.arena);
    kb_reports_free(&reports);
    return status;
}
