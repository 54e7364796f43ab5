/* compare_words.c - what reports that are compared are shown with. */
#include "report/compare_words.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- cells -----------------------------------------------------------------------------
 */

static void change_digits(double ratio, char *out, size_t size) {
    double percent = 100 * ratio;
    if (fabs(percent) < 0.05)
        percent = 0; /* no -0.0 */
    snprintf(out, size, fabs(percent) < 99.95 ? "%+.1f" : "%+.0f", percent);
}

struct kb_cell kb_cell_change(double ratio) {
    struct kb_cell cell = {"-"};
    char digits[24];
    if (!isfinite(ratio))
        return cell;
    change_digits(ratio, digits, sizeof digits);
    snprintf(cell.text, sizeof cell.text, "%s %%", digits);
    return cell;
}

void kb_change_words(const struct kb_shift *shift, struct kb_buf *out) {
    char low[24], high[24];
    change_digits(shift->low, low, sizeof low);
    change_digits(shift->high, high, sizeof high);
    kb_buf_printf(out, "%s [%s %s]", kb_cell_change(shift->ratio).text, low, high);
}

void kb_tone_words(const char *text, enum kb_tone tone, bool color, struct kb_buf *out) {
    static const char *const codes[] = {"", "31", "32", "33"};
    if (color && tone)
        kb_buf_printf(out, "\033[%sm%s\033[0m", codes[tone], text);
    else
        kb_buf_puts(out, text);
}

void kb_padded(const char *text, int width, struct kb_buf *out) {
    struct kb_buf clean = {0};
    kb_escape(&clean, text, strlen(text));
    int columns = kb_columns(kb_buf_text(&clean));
    kb_buf_puts(out, kb_buf_text(&clean));
    kb_buf_printf(out, "%*s", columns < width ? width - columns : 0, "");
    kb_buf_free(&clean);
}

/* Two digits: what is wanted is an estimate. */
static long long about(int64_t n) {
    int64_t unit = 1;
    while (n / unit >= 100)
        unit *= 10;
    return (long long)((n + unit - 1) / unit * unit);
}

void kb_wants_words(const struct kb_pair *pair, struct kb_buf *out) {
    const struct kb_shift *s = &pair->shift;
    int runs = pair->tb->n_runs > 1 ? pair->tb->n_runs : 1;
    if (s->wants_n)
        kb_buf_printf(out, "n %lld, wants about %lld", (long long)pair->tb->n,
                      about(s->wants_n));
    else if (s->wants_runs > runs)
        kb_buf_printf(out, "%d run%s, wants about %d", runs, runs == 1 ? "" : "s",
                      s->wants_runs);
}

/* ---- rows ------------------------------------------------------------------------------
 */

static const struct kb_entry *either(const struct kb_pair *pair) {
    return pair->b ? pair->b : pair->a;
}

struct kb_row_tags kb_row_tags_of(const struct kb_pairs *pairs, bool whole) {
    struct kb_row_tags tags = {0};
    const struct kb_entry *last = NULL;
    for (size_t i = 0; i < pairs->n; i++) {
        const struct kb_entry *e = either(&pairs->items[i]);
        if (whole && !(pairs->items[i].a && pairs->items[i].b))
            continue;
        tags.methods |= pairs->items[i].method != pairs->method;
        if (last) {
            tags.builds |= !kb_streq(last->build, e->build);
            tags.devices |= !kb_streq(last->device, e->device);
            tags.variants |=
                kb_streq(last->case_id, e->case_id) && kb_streq(last->build, e->build) &&
                kb_streq(last->device, e->device) && !kb_streq(last->variant, e->variant);
        }
        last = e;
    }
    return tags;
}

static void add_word(const char *word, bool wanted, struct kb_buf *out) {
    if (wanted && *word)
        kb_buf_printf(out, " %s", word);
}

void kb_pair_words(const struct kb_pair *pair, const struct kb_row_tags *tags,
                   struct kb_buf *out) {
    const struct kb_entry *e = either(pair);
    kb_buf_puts(out, e->case_id);
    add_word(e->build, tags->builds, out);
    add_word(e->variant, tags->variants, out);
    if (tags->devices && *e->device) /* a number alone would be no one's */
        kb_buf_printf(out, " %s%s", kb_streq(e->device, "host") ? "" : "device ",
                      e->device);
    add_word(kb_method_word(pair->method), tags->methods, out);
}

bool kb_pair_has_errors(const struct kb_pair *pair) {
    const struct kb_entry *a = pair->a, *b = pair->b;
    return a && b && !isnan(a->error) && !isnan(b->error) && kb_streq(a->seed, b->seed) &&
           a->checked == b->checked;
}

/* ---- heads -----------------------------------------------------------------------------
 */

enum { HEAD_CELLS = 6 };

/* "NVIDIA H200", or how many: "2 GPUs". */
static void gpu_words(const struct kb_loaded *report, struct kb_buf *out) {
    const struct kb_machine *m = report->machines;
    bool same = report->n_machines > 0;
    for (int i = 1; i < report->n_machines; i++)
        same &= kb_streq(m[i].name, m[0].name);
    if (report->n_machines > 1 && same)
        kb_buf_printf(out, "%d x %s", report->n_machines, m[0].name);
    for (int i = 0; i < report->n_machines && !(same && report->n_machines > 1); i++)
        kb_buf_printf(out, "%s%s", i ? ", " : "", m[i].name);
}

static void head_cells(const struct kb_loaded *r, const char *word, const char *method,
                       bool dates, struct kb_buf cells[HEAD_CELLS]) {
    kb_buf_puts(&cells[0], word);
    kb_buf_puts(&cells[1], r->name);
    if (dates)
        kb_buf_printf(&cells[2], "%.10s", r->started);
    if (*r->kbench)
        kb_buf_printf(&cells[3], "kbench %s", kb_loaded_commit(r));
    gpu_words(r, &cells[4]);
    if (r->n_machines && *r->machines[0].driver)
        kb_buf_printf(&cells[5], "driver %s", r->machines[0].driver);
    if (*method)
        kb_buf_printf(&cells[5], "%s%s", cells[5].len ? "  " : "", method);
    if (r->n_runs > 1)
        kb_buf_printf(&cells[5], "%s%d runs", cells[5].len ? "  " : "", r->n_runs);
}

void kb_heads_print(const struct kb_loaded *a, const struct kb_loaded *b,
                    const char *const words[2], const char *method, bool dates,
                    struct kb_buf *out) {
    struct kb_buf cells[2][HEAD_CELLS] = {{{0}}};
    head_cells(a, words[0], method, dates, cells[0]);
    head_cells(b, words[1], method, dates, cells[1]);
    for (int row = 0; row < 2; row++) {
        for (int i = 0; i < HEAD_CELLS; i++) {
            int x = kb_columns(kb_buf_text(&cells[0][i]));
            int y = kb_columns(kb_buf_text(&cells[1][i])), width = x > y ? x : y;
            if (!width)
                continue;
            kb_buf_puts(out, i ? "  " : "");
            kb_padded(kb_buf_text(&cells[row][i]), width, out);
        }
        while (out->len && out->data[out->len - 1] == ' ')
            kb_buf_cut(out, out->len - 1);
        kb_buf_putc(out, '\n');
    }
    for (int row = 0; row < 2; row++)
        for (int i = 0; i < HEAD_CELLS; i++)
            kb_buf_free(&cells[row][i]);
}

/* ---- JSON ------------------------------------------------------------------------------
 */

enum { DIGITS = 6 };

static cJSON *interval_item(double low, double high) {
    cJSON *array = kb_json_array();
    kb_json_push(array, kb_json_f64_item(low, DIGITS));
    kb_json_push(array, kb_json_f64_item(high, DIGITS));
    return array;
}

static void add_shift(cJSON *item, const struct kb_pair *pair) {
    const struct kb_shift *s = &pair->shift;
    kb_json_add_f64(item, "a_ns", s->a_ns, 8);
    kb_json_add_f64(item, "b_ns", s->b_ns, 8);
    kb_json_add_f64(item, "change", s->ratio, DIGITS);
    kb_json_add(item, "ci95", interval_item(s->low, s->high));
    kb_json_add_f64(item, "p", s->differ_p, 4);
    if (isfinite(s->rank_p))
        kb_json_add_f64(item, "rank_p", s->rank_p, 4);
    if (isfinite(s->detectable))
        kb_json_add_f64(item, "detectable", s->detectable, DIGITS);
    kb_json_add_i64(item, "n", pair->tb->n);
    if (s->wants_n)
        kb_json_add_i64(item, "wants_n", s->wants_n);
    if (s->wants_runs)
        kb_json_add_i64(item, "wants_runs", s->wants_runs);
}

static void add_verdict(cJSON *item, const char *name, const struct kb_entry *entry) {
    kb_json_add_text(item, name, entry ? kb_verdict_word(entry->verdict) : NULL);
}

cJSON *kb_pair_item(const struct kb_pair *pair) {
    const struct kb_entry *e = either(pair);
    cJSON *item = kb_json_object();
    kb_json_add_text(item, "case", e->case_id);
    kb_json_add_text(item, "kernel", e->kernel);
    kb_json_add_text(item, "variant", e->variant);
    kb_json_add_text(item, "build", e->build);
    kb_json_add_text(item, "backend", e->backend);
    kb_json_add_text(item, "device", e->device);
    kb_json_add_text(item, "method", kb_method_word(pair->method));
    if (*pair->differs)
        kb_json_add_text(item, "differs", pair->differs);
    add_verdict(item, "a_verdict", pair->a);
    add_verdict(item, "b_verdict", pair->b);
    if (pair->a && !isnan(pair->a->error))
        kb_json_add_f64(item, "a_err_over_bound", pair->a->error, DIGITS);
    if (pair->b && !isnan(pair->b->error))
        kb_json_add_f64(item, "b_err_over_bound", pair->b->error, DIGITS);
    kb_json_add_bool(item, "same_code", pair->same_code);
    if (kb_pair_is_timed(pair))
        add_shift(item, pair);
    return item;
}

cJSON *kb_loaded_item(const struct kb_loaded *report) {
    cJSON *item = kb_json_object();
    kb_json_add_text(item, "file", report->name);
    kb_json_add_text(item, "kbench", report->kbench);
    kb_json_add_text(item, "started", report->started);
    kb_json_add_bool(item, "complete", report->complete);
    kb_json_add_i64(item, "runs", report->n_runs);
    return item;
}

cJSON *kb_mismatches_item(const struct kb_mismatches *mismatches) {
    cJSON *array = kb_json_array();
    for (size_t i = 0; i < mismatches->n; i++) {
        const struct kb_mismatch *m = &mismatches->items[i];
        cJSON *item = kb_json_object();
        kb_json_add_text(item, "field", m->field);
        kb_json_add_text(item, "a", m->a);
        kb_json_add_text(item, "b", m->b);
        kb_json_add_bool(item, "refused", m->refused);
        kb_json_push(array, item);
    }
    return array;
}
