/* gate_words.c - what a gate found: its screen, its last line, its JSON. */
#include "report/compare_words.h"

#include <math.h>
#include <string.h>

enum { WORD = 8, INDENT = WORD + 1, SHOWN_MAX = 20 };

static enum kb_tone tone_of(enum kb_gate_verdict verdict) {
    switch (verdict) {
    case KB_GATE_WRONG:
    case KB_GATE_MISSING:
    case KB_GATE_SLOWER:
    case KB_GATE_COARSER:
        return KB_TONE_BAD;
    case KB_GATE_MISTRUSTED:
    case KB_GATE_INVALID:
    case KB_GATE_UNCLEAR:
        return KB_TONE_DOUBT;
    case KB_GATE_FASTER:
        return KB_TONE_GOOD;
    default:
        return KB_TONE_NONE;
    }
}

/* ---- rows ------------------------------------------------------------------------------
 */

/* What clocks had to do with it. */
static void clock_words(const struct kb_pair *pair, struct kb_buf *out) {
    double a = (double)pair->ta->sm_mhz, b = (double)pair->tb->sm_mhz;
    if (a > 0 && b > 0)
        kb_buf_printf(out,
                      fabs(a - b) <= 0.01 * a ? "same GPU clocks"
                                              : "GPU clocks %.0f -> %.0f MHz",
                      a, b);
}

/* What stands behind the numbers. */
static void after_words(const struct kb_pair *pair, enum kb_gate_verdict verdict,
                        const char *text, struct kb_buf *out) {
    if (verdict == KB_GATE_UNCLEAR && *text)
        kb_buf_puts(out, text);
    else if (verdict == KB_GATE_UNCLEAR)
        kb_wants_words(pair, out);
    else
        clock_words(pair, out);
    if (pair->same_code && (verdict == KB_GATE_SLOWER || verdict == KB_GATE_FASTER))
        kb_buf_printf(out, "%sthe same machine code", out->len ? ", " : "");
    if (*pair->differs)
        kb_buf_printf(out, "%s%s", out->len ? ", " : "", pair->differs);
}

/* The smallest slowdown that 95 of 100 such gates would find. */
static void detectable_words(const struct kb_pair *pair, struct kb_buf *out) {
    if (isfinite(pair->shift.detectable))
        kb_buf_printf(out, "%swould find %s", out->len ? ", " : "",
                      kb_cell_change(pair->shift.detectable).text);
}

static bool has_numbers(const struct kb_pair *pair, enum kb_gate_verdict verdict) {
    return kb_pair_is_timed(pair) &&
           (verdict == KB_GATE_SLOWER || verdict == KB_GATE_UNCLEAR ||
            verdict == KB_GATE_FASTER || verdict == KB_GATE_SAME);
}

struct widths {
    int word, id, times, change;
    struct kb_row_tags tags;
    bool all; /* rows tell what would have been found in them */
};

static void cells_of(const struct kb_pair *pair, const struct widths *w,
                     struct kb_buf cells[3]) {
    for (int i = 0; i < 3; i++)
        kb_buf_clear(&cells[i]);
    kb_pair_words(pair, &w->tags, &cells[0]);
    if (!kb_pair_is_timed(pair))
        return;
    kb_buf_printf(&cells[1], "%s -> %s us", kb_cell_us(pair->shift.a_ns).text,
                  kb_cell_us(pair->shift.b_ns).text);
    kb_change_words(&pair->shift, &cells[2]);
}

static void widen(int *width, const struct kb_buf *cell) {
    int columns = kb_columns(kb_buf_text(cell));
    *width = columns > *width ? columns : *width;
}

static void row_words(const struct kb_gate *gate, size_t i, const struct widths *w,
                      bool color, struct kb_buf *out) {
    const struct kb_pair *pair = &gate->pairs.items[i];
    enum kb_gate_verdict verdict = gate->verdicts[i];
    const char *word = kb_gate_word(verdict);
    struct kb_buf cells[3] = {{0}}, after = {0};
    size_t start = out->len;
    cells_of(pair, w, cells);
    kb_tone_words(word, tone_of(verdict), color, out);
    kb_buf_printf(out, "%*s", w->word - (int)strlen(word) + 1, "");
    kb_padded(kb_buf_text(&cells[0]), w->id, out);
    kb_buf_puts(out, "   ");
    if (has_numbers(pair, verdict)) {
        kb_padded(kb_buf_text(&cells[1]), w->times, out);
        kb_buf_puts(out, "   ");
        kb_padded(kb_buf_text(&cells[2]), w->change, out);
        after_words(pair, verdict, gate->texts[i], &after);
        if (w->all)
            detectable_words(pair, &after);
        kb_buf_puts(out, after.len ? "   " : "");
    } else {
        kb_buf_puts(&after, gate->texts[i]);
    }
    kb_escape(out, kb_buf_text(&after), after.len);
    while (out->len > start && out->data[out->len - 1] == ' ')
        kb_buf_cut(out, out->len - 1);
    kb_buf_putc(out, '\n');
    for (int k = 0; k < 3; k++)
        kb_buf_free(&cells[k]);
    kb_buf_free(&after);
}

/* Those that fail are listed whole, others up to a screenful. */
static size_t shown_of(const struct kb_gate *gate, enum kb_gate_verdict verdict, bool all) {
    if (all || verdict == KB_GATE_WRONG || verdict == KB_GATE_SLOWER ||
        verdict == KB_GATE_COARSER)
        return gate->pairs.n;
    bool dull = verdict == KB_GATE_SAME || verdict == KB_GATE_FASTER ||
                verdict == KB_GATE_APART || verdict == KB_GATE_EXTRA;
    return dull ? 0 : SHOWN_MAX;
}

static void rows_of(const struct kb_gate *gate, enum kb_gate_verdict verdict, bool all,
                    const struct widths *w, bool color, struct kb_buf *out) {
    size_t shown = shown_of(gate, verdict, all), n = 0;
    for (size_t i = 0; i < gate->pairs.n && n < shown; i++) {
        if (gate->verdicts[i] != verdict)
            continue;
        row_words(gate, i, w, color, out);
        n++;
    }
    if (n && n < gate->count[verdict])
        kb_buf_printf(out, "and %zu more %s: --all lists them\n", gate->count[verdict] - n,
                      kb_gate_word(verdict));
}

static struct widths widths_of(const struct kb_gate *gate, bool all) {
    struct widths w = {
        .word = WORD, .tags = kb_row_tags_of(&gate->pairs, false), .all = all};
    struct kb_buf cells[3] = {{0}};
    for (size_t i = 0; i < gate->pairs.n; i++) {
        if (!shown_of(gate, gate->verdicts[i], all))
            continue;
        int columns = (int)strlen(kb_gate_word(gate->verdicts[i]));
        w.word = columns > w.word ? columns : w.word;
        cells_of(&gate->pairs.items[i], &w, cells);
        widen(&w.id, &cells[0]);
        if (!has_numbers(&gate->pairs.items[i], gate->verdicts[i]))
            continue;
        widen(&w.times, &cells[1]);
        widen(&w.change, &cells[2]);
    }
    for (int k = 0; k < 3; k++)
        kb_buf_free(&cells[k]);
    return w;
}

/* "144 cases: 1 wrong, 2 slower, 2 unclear, 1 faster, 138 same, 0 missing" */
static void summary(const struct kb_gate *gate, struct kb_buf *out) {
    static const enum kb_gate_verdict order[] = {
        KB_GATE_WRONG,   KB_GATE_SLOWER,  KB_GATE_UNCLEAR, KB_GATE_FASTER,
        KB_GATE_SAME,    KB_GATE_MISSING, KB_GATE_COARSER, KB_GATE_MISTRUSTED,
        KB_GATE_INVALID, KB_GATE_APART,   KB_GATE_EXTRA};
    enum { ALWAYS = 6 };
    kb_buf_printf(out, "%zu case%s:", gate->n, gate->n == 1 ? "" : "s");
    for (size_t i = 0; i < KB_COUNT(order); i++)
        if (i < ALWAYS || gate->count[order[i]])
            kb_buf_printf(out, "%s %zu %s", i ? "," : "", gate->count[order[i]],
                          kb_gate_count_word(order[i]));
    kb_buf_putc(out, '\n');
}

void kb_gate_print(const struct kb_gate *gate, const struct kb_look *look, bool all,
                   struct kb_buf *out) {
    struct widths w = widths_of(gate, all);
    struct kb_buf text = {0};
    kb_gate_head(gate, all, &text);
    kb_buf_putc(&text, '\n');
    size_t before = text.len;
    for (int v = 0; v < KB_GATE_COUNT; v++)
        rows_of(gate, (enum kb_gate_verdict)v, all, &w, look->color, &text);
    kb_buf_puts(&text, text.len > before ? "\n" : "");
    summary(gate, &text);
    kb_fold(kb_buf_text(&text), INDENT, look->width, out);
    kb_buf_free(&text);
}

/* ---- the last line ---------------------------------------------------------------------
 */

static void refusal_words(const struct kb_gate *gate, struct kb_buf *out) {
    const char *gap = "not comparable: ";
    for (size_t i = 0; i < gate->mismatches.n; i++) {
        const struct kb_mismatch *m = &gate->mismatches.items[i];
        if (!m->refused)
            continue;
        kb_buf_printf(out, "%s%s %s != %s", gap, m->field, m->a, m->b);
        gap = ", ";
    }
}

/* How each count reads, alone and beside others: "1 case went wrong", "2 are slower than +3
 * %". */
static void count_words(const struct kb_gate *gate, enum kb_gate_verdict verdict,
                        bool beside, struct kb_buf *out) {
    size_t n = gate->count[verdict];
    const char *be = n == 1 ? "is" : "are";
    struct kb_cell slow = kb_cell_number(100 * gate->limits.slowdown);
    kb_buf_printf(out, "%zu %s", n, beside ? "" : n == 1 ? "case " : "cases ");
    switch (verdict) {
    case KB_GATE_WRONG:
        kb_buf_puts(out, "went wrong");
        break;
    case KB_GATE_SLOWER:
        kb_buf_printf(out, "%s slower than +%s %%", be, slow.text);
        break;
    case KB_GATE_COARSER:
        kb_buf_printf(out, "%s an error over %sx the baseline's", n == 1 ? "has" : "have",
                      kb_cell_number(gate->limits.error_growth).text);
        break;
    case KB_GATE_INVALID:
        kb_buf_printf(out, "%s no time that can be compared", n == 1 ? "has" : "have");
        break;
    default:
        kb_buf_printf(out, "%s %s", be, kb_gate_count_word(verdict));
    }
}

static bool counts(const struct kb_gate *gate, enum kb_gate_verdict verdict) {
    if (!gate->count[verdict])
        return false;
    switch (verdict) {
    case KB_GATE_UNCLEAR:
        return gate->limits.strict;
    case KB_GATE_MISSING:
        return !gate->limits.allow_missing;
    case KB_GATE_FASTER:
    case KB_GATE_SAME:
    case KB_GATE_APART: /* which the fields that differ say */
    case KB_GATE_EXTRA:
        return false;
    default:
        return true;
    }
}

/* What passes, and should not be overlooked. */
static void unclear_words(const struct kb_gate *gate, struct kb_buf *out) {
    size_t n = gate->limits.strict ? 0 : gate->unclear_past;
    if (n)
        kb_buf_printf(out, "%s%zu unclear %s past +%s %%: --strict fails on %s",
                      out->len ? "; " : "", n, n == 1 ? "case is" : "cases are",
                      kb_cell_number(100 * gate->limits.slowdown).text,
                      n == 1 ? "it" : "them");
}

void kb_gate_words(const struct kb_gate *gate, struct kb_buf *out) {
    size_t said = 0;
    struct kb_buf more = {0};
    for (int v = 0; v < KB_GATE_COUNT; v++) {
        enum kb_gate_verdict verdict = (enum kb_gate_verdict)v;
        if (!counts(gate, verdict))
            continue;
        if (said > 1)
            kb_buf_puts(&more, ", ");
        count_words(gate, verdict, said > 0, said ? &more : out);
        said++;
    }
    if (more.len)
        kb_buf_printf(out, " (and %s)", kb_buf_text(&more));
    kb_buf_free(&more);
    if (!gate->comparable) {
        kb_buf_puts(out, said ? "; " : "");
        refusal_words(gate, out);
    } else if (!said && kb_gate_status(gate)) {
        bool common = gate->pairs.only_a + gate->pairs.only_b < gate->pairs.n;
        kb_buf_puts(out, common ? "nothing was checked: what both reports have was skipped"
                                : "nothing to compare: the reports have no case in common");
    }
    unclear_words(gate, out);
}

/* ---- annotations -----------------------------------------------------------------------
 */

/* What a row comes to, in one line. */
static void sentence(const struct kb_gate *gate, size_t i, struct kb_buf *out) {
    const struct kb_pair *pair = &gate->pairs.items[i];
    struct kb_buf after = {0};
    if (has_numbers(pair, gate->verdicts[i])) {
        kb_buf_printf(out, "%s -> %s us ", kb_cell_us(pair->shift.a_ns).text,
                      kb_cell_us(pair->shift.b_ns).text);
        kb_change_words(&pair->shift, out);
        after_words(pair, gate->verdicts[i], gate->texts[i], &after);
        kb_buf_puts(out, after.len ? ", " : "");
    } else {
        kb_buf_puts(&after, gate->texts[i]);
    }
    kb_buf_add(out, kb_buf_text(&after), after.len);
    kb_buf_free(&after);
}

static bool is_annotated(const struct kb_gate *gate, enum kb_gate_verdict verdict,
                         bool of_run) {
    bool told = of_run && (verdict == KB_GATE_WRONG || verdict == KB_GATE_MISTRUSTED);
    return counts(gate, verdict) && !told;
}

void kb_gate_annotations(const struct kb_gate *gate, int max, bool of_run,
                         struct kb_buf *out) {
    struct kb_buf title = {0}, text = {0};
    size_t n = 0, shown = 0;
    for (int v = 0; v < KB_GATE_COUNT; v++)
        n += is_annotated(gate, (enum kb_gate_verdict)v, of_run) ? gate->count[v] : 0;
    for (int v = 0; v < KB_GATE_COUNT; v++)
        for (size_t i = 0; i < gate->pairs.n; i++) {
            bool fits = n <= (size_t)max || shown + 1 < (size_t)max;
            if ((int)gate->verdicts[i] != v || !fits ||
                !is_annotated(gate, gate->verdicts[i], of_run))
                continue;
            kb_buf_clear(&title);
            kb_buf_clear(&text);
            kb_buf_printf(&title, "%s ", kb_gate_word(gate->verdicts[i]));
            const struct kb_row_tags tags = {.builds = true};
            kb_pair_words(&gate->pairs.items[i], &tags, &title);
            sentence(gate, i, &text);
            kb_github_error(kb_buf_text(&title), kb_buf_text(&text), out);
            shown++;
        }
    kb_buf_clear(&text);
    if (shown < n)
        kb_buf_printf(&text, "and %zu more rows", n - shown);
    else if (!gate->comparable)
        refusal_words(gate, &text);
    if (text.len)
        kb_github_error("kbench gate", kb_buf_text(&text), out);
    kb_buf_free(&title);
    kb_buf_free(&text);
}

/* ---- JSON ------------------------------------------------------------------------------
 */

void kb_gate_json(const struct kb_gate *gate, struct kb_buf *out) {
    cJSON *root = kb_json_object(), *counted = kb_json_object(), *rows = kb_json_array(),
          *limits = kb_json_object();
    kb_json_add_text(root, "schema", "kbench-gate/1");
    kb_json_add_i64(root, "status", kb_gate_status(gate));
    kb_json_add(root, "base", kb_loaded_item(gate->base));
    kb_json_add(root, "new", kb_loaded_item(gate->fresh));
    kb_json_add_f64(limits, "slowdown", gate->limits.slowdown, 6);
    kb_json_add_f64(limits, "error_growth", gate->limits.error_growth, 6);
    kb_json_add_bool(limits, "allow_missing", gate->limits.allow_missing);
    kb_json_add_bool(limits, "cross", gate->limits.cross);
    kb_json_add_bool(limits, "strict", gate->limits.strict);
    kb_json_add(root, "limits", limits);
    kb_json_add_bool(root, "comparable", gate->comparable);
    kb_json_add(root, "mismatches", kb_mismatches_item(&gate->mismatches));
    for (int v = 0; v < KB_GATE_COUNT; v++)
        kb_json_add_i64(counted, kb_gate_count_word((enum kb_gate_verdict)v),
                        (int64_t)gate->count[v]);
    kb_json_add(root, "count", counted);
    kb_json_add_i64(root, "unclear_past_limit", (int64_t)gate->unclear_past);
    for (size_t i = 0; i < gate->pairs.n; i++) {
        cJSON *item = kb_pair_item(&gate->pairs.items[i]);
        kb_json_add_text(item, "verdict", kb_gate_word(gate->verdicts[i]));
        if (*gate->texts[i])
            kb_json_add_text(item, "text", gate->texts[i]);
        kb_json_push(rows, item);
    }
    kb_json_add(root, "rows", rows);
    kb_json_print(root, out);
    kb_buf_putc(out, '\n');
    cJSON_Delete(root);
}
