/* diff_words.c - what changed between two reports: sums by op, dtype and size, then the
 * rows that changed most. */
#include "report/diff_groups.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    WORD = 8,
    INDENT = WORD + 1,
    CHANGED_MAX = 10,
    WRONG_MAX = 20,
    ONLY_MAX = 3,
    WIDE = 94
};

/* ---- rows ------------------------------------------------------------------------------
 */

/* What rows are listed as, in this order. */
enum kind {
    K_WORSE,
    K_MENDED,
    K_ONLY_A,
    K_ONLY_B,
    K_INVALID,
    K_SLOWER,
    K_FASTER,
    K_UNCLEAR,
    K_SAME,
    K_IDENTICAL,
    K_UNTIMED,
    KINDS
};

static enum kind kind_of(const struct kb_pair *pair) {
    if (!pair->a || !pair->b)
        return pair->a ? K_ONLY_A : K_ONLY_B;
    if (pair->a->verdict != pair->b->verdict)
        return pair->b->verdict == KB_PASS ? K_MENDED : K_WORSE;
    if (pair->invalid)
        return K_INVALID;
    switch (pair->speed) {
    case KB_SLOWER:
        return K_SLOWER;
    case KB_FASTER:
        return K_FASTER;
    case KB_UNCLEAR:
        return K_UNCLEAR;
    case KB_SAME:
        return K_SAME;
    case KB_IDENTICAL:
        return K_IDENTICAL;
    default:
        return K_UNTIMED;
    }
}

static bool is_only(enum kind kind) {
    return kind == K_ONLY_A || kind == K_ONLY_B;
}

static const char *word_of(const struct kb_pair *pair, enum kind kind) {
    if (is_only(kind))
        return kind == K_ONLY_A ? "ONLY A" : "ONLY B";
    if (kind == K_WORSE || kind == K_MENDED || kind == K_UNTIMED)
        return kb_verdict_word(pair->b->verdict);
    return kind == K_INVALID ? "INVALID" : kb_speed_word(pair->speed);
}

static enum kb_tone tone_of(enum kind kind) {
    return kind == K_WORSE || kind == K_SLOWER      ? KB_TONE_BAD
           : kind == K_MENDED || kind == K_FASTER   ? KB_TONE_GOOD
           : kind == K_INVALID || kind == K_UNCLEAR ? KB_TONE_DOUBT
                                                    : KB_TONE_NONE;
}

/* Same code that takes another time: the machines differ, not the kernel. */
static bool is_moved(const struct kb_pair *pair) {
    return pair->speed == KB_IDENTICAL && kb_pair_is_timed(pair) &&
           fabs(log1p(pair->shift.ratio)) > log1p(0.03) &&
           (pair->shift.low > 0 || pair->shift.high < 0);
}

struct listing {
    const struct kb_pairs *pairs;
    const struct kb_pair **rows; /* sorted */
    enum kind *kinds;
    size_t n, count[KINDS], shown[KINDS];
    int word, width;                    /* of verdicts, of ids */
    struct kb_row_tags tags, only_tags; /* of pairs; of rows that are none */
    bool cross, color, narrow;          /* narrow: errors are left out */
};

static double size_of(const struct kb_pair *pair) {
    return kb_pair_is_timed(pair) ? fabs(log1p(pair->shift.ratio)) : 0;
}

static int by_kind_and_size(const void *a, const void *b) {
    const struct kb_pair *x = *(const struct kb_pair *const *)a;
    const struct kb_pair *y = *(const struct kb_pair *const *)b;
    int i = (int)kind_of(x), k = (int)kind_of(y);
    if (i != k)
        return i < k ? -1 : 1;
    bool sized = i == K_SLOWER || i == K_FASTER || i == K_IDENTICAL;
    if (sized && size_of(x) != size_of(y))
        return size_of(x) > size_of(y) ? -1 : 1;
    return x < y ? -1 : x > y;
}

static size_t limit_of(enum kind kind, bool all) {
    if (all)
        return SIZE_MAX;
    if (is_only(kind))
        return ONLY_MAX;
    return kind <= K_INVALID ? WRONG_MAX : kind <= K_FASTER ? CHANGED_MAX : 0;
}

static bool is_shown(const struct listing *l, const struct kb_pair *pair, bool all) {
    enum kind kind = kind_of(pair);
    return l->shown[kind] < limit_of(kind, all) ||
           (is_moved(pair) && l->shown[kind] < CHANGED_MAX);
}

static void numbers(const struct listing *l, const struct kb_pair *pair,
                    struct kb_buf *out) {
    struct kb_buf change = {0}, errors = {0};
    if (kb_pair_is_timed(pair))
        kb_change_words(&pair->shift, &change);
    kb_error_words(pair->a->error, pair->b->error, &errors);
    kb_buf_printf(out, "  %7s %7s   ",
                  kb_cell_us(pair->ta ? pair->ta->median_ns : NAN).text,
                  kb_cell_us(pair->tb ? pair->tb->median_ns : NAN).text);
    kb_padded(kb_buf_text(&change), 22, out);
    if (!l->narrow)
        kb_buf_printf(out, " %14s", kb_buf_text(&errors));
    if (l->cross) {
        kb_buf_clear(&errors);
        if (pair->ta && pair->tb)
            kb_ceilings_change(kb_ceiling_of(pair->ta), kb_ceiling_of(pair->tb), &errors);
        kb_buf_printf(out, "   %14s", kb_buf_text(&errors));
    }
    kb_buf_free(&change);
    kb_buf_free(&errors);
}

/* What words say of a row beside its numbers. */
static void remark(const struct listing *l, const struct kb_pair *pair, enum kind kind,
                   struct kb_buf *out) {
    if (kind == K_WORSE || kind == K_MENDED) {
        kb_buf_printf(out, "was %s", kb_verdict_word(pair->a->verdict));
        if (kind == K_WORSE)
            kb_buf_puts(out, ": ");
        if (kind == K_WORSE)
            kb_entry_words(l->pairs->b.report, pair->b, out);
    } else if (kind == K_INVALID || *pair->why) {
        kb_buf_puts(out, pair->why);
    } else if (kind == K_UNCLEAR) {
        kb_wants_words(pair, out);
    } else if (is_moved(pair)) {
        kb_buf_puts(out, "the machine differs, not the code");
    }
    if (*pair->differs)
        kb_buf_printf(out, "%s%s", out->len ? ", " : "", pair->differs);
}

static void row_line(const struct listing *l, const struct kb_pair *pair,
                     struct kb_buf *out) {
    enum kind kind = kind_of(pair);
    const char *word = word_of(pair, kind);
    struct kb_buf id = {0}, words = {0};
    size_t start = out->len;
    kb_pair_words(pair, is_only(kind) ? &l->only_tags : &l->tags, &id);
    kb_tone_words(word, tone_of(kind), l->color, out);
    kb_buf_printf(out, "%*s", l->word - (int)strlen(word) + 1, "");
    kb_padded(kb_buf_text(&id), l->width, out);
    if (!is_only(kind) && kind != K_WORSE && kind != K_MENDED)
        numbers(l, pair, out);
    remark(l, pair, kind, &words);
    kb_buf_puts(out, words.len ? "   " : "");
    kb_escape(out, kb_buf_text(&words), words.len);
    while (out->len > start && out->data[out->len - 1] == ' ')
        kb_buf_cut(out, out->len - 1);
    kb_buf_putc(out, '\n');
    kb_buf_free(&id);
    kb_buf_free(&words);
}

/* "and 18 more FASTER, 45 SAME, 6 UNCLEAR, 72 IDENTICAL: --all lists them" */
static void rest_line(const struct listing *l, struct kb_buf *out) {
    static const struct {
        enum kind kind;
        const char *words;
    } order[] = {
        {K_WORSE, "worse"},         {K_MENDED, "mended"},     {K_ONLY_A, "only in A"},
        {K_ONLY_B, "only in B"},    {K_INVALID, "INVALID"},   {K_SLOWER, "SLOWER"},
        {K_FASTER, "FASTER"},       {K_SAME, "SAME"},         {K_UNCLEAR, "UNCLEAR"},
        {K_IDENTICAL, "IDENTICAL"}, {K_UNTIMED, "not timed"},
    };
    const char *gap = "and ";
    size_t left = 0;
    for (size_t i = 0; i < KB_COUNT(order); i++) {
        enum kind kind = order[i].kind;
        size_t n = l->count[kind] - l->shown[kind];
        if (!n)
            continue;
        kb_buf_printf(out, "%s%zu %s%s", gap, n, l->shown[kind] ? "more " : "",
                      order[i].words);
        gap = ", ";
        left += n;
    }
    kb_buf_puts(out, left ? ": --all lists them\n" : "");
}

static void list(struct listing *l, bool all, struct kb_buf *out) {
    struct kb_buf id = {0}, rows = {0};
    bool *shown = calloc(l->n + 1, sizeof *shown);
    if (!shown)
        kb_out_of_memory();
    for (size_t i = 0; i < l->n; i++) {
        enum kind kind = kind_of(l->rows[i]);
        l->count[kind]++;
        shown[i] = is_shown(l, l->rows[i], all);
        l->shown[kind] += shown[i];
        if (!shown[i])
            continue;
        kb_buf_clear(&id);
        kb_pair_words(l->rows[i], is_only(kind) ? &l->only_tags : &l->tags, &id);
        int columns = kb_columns(kb_buf_text(&id)),
            word = (int)strlen(word_of(l->rows[i], kind));
        l->width = columns > l->width ? columns : l->width;
        l->word = word > l->word ? word : l->word;
    }
    for (size_t i = 0; i < l->n; i++)
        if (shown[i])
            row_line(l, l->rows[i], &rows);
    if (rows.len)
        kb_buf_printf(out, "\n%*s  %7s %7s   B against A, 95 %%%s%s\n%s",
                      l->word + 1 + l->width, "", "A us", "B us",
                      l->narrow ? "" : "           err/bound",
                      l->cross ? "             ceil" : "", kb_buf_text(&rows));
    else
        kb_buf_putc(out, '\n');
    rest_line(l, out);
    free(shown);
    kb_buf_free(&id);
    kb_buf_free(&rows);
}

/* ---- all of it -------------------------------------------------------------------------
 */

/* "(driver differs)", "(GPU, driver differ)", at the end of the second head. */
static void differing(const struct kb_pairs *pairs, struct kb_buf *out) {
    struct kb_arena arena = {0};
    struct kb_mismatches m;
    const char *gap = "   (";
    int n = 0;
    kb_mismatches_of(pairs->a.report, pairs->b.report, &arena, &m);
    kb_buf_cut(out, out->len - 1);
    for (size_t i = 0; i < m.n; i++) {
        bool dull = kb_streq(m.items[i].field, "card") ||
                    kb_streq(m.items[i].field, "memory bytes");
        bool seen = dull;
        for (size_t k = 0; k < i; k++)
            seen |= kb_streq(m.items[i].field, m.items[k].field);
        if (seen)
            continue;
        kb_buf_puts(out, gap);
        kb_escape(out, m.items[i].field, strlen(m.items[i].field));
        gap = ", ";
        n++;
    }
    kb_buf_puts(out, !n ? "\n" : n == 1 ? " differs)\n" : " differ)\n");
    kb_arena_free(&arena);
}

static void head(const struct kb_pairs *pairs, struct kb_buf *out) {
    static const char *const words[] = {"A", "B"};
    const struct kb_side *a = &pairs->a, *b = &pairs->b;
    if (a->by == KB_BY_REPORT) {
        kb_heads_print(a->report, b->report, words, "", true, out);
        differing(pairs, out);
        return;
    }
    struct kb_buf lines[2] = {{0}};
    for (int i = 0; i < 2; i++) {
        const struct kb_side *side = i ? b : a;
        kb_buf_printf(&lines[i], "%s  %s", words[i], side->value);
        for (int k = 0; side->by == KB_BY_DEVICE && k < side->report->n_machines; k++)
            if (kb_streq(side->report->machines[k].id, side->value))
                kb_buf_printf(&lines[i], " %s", side->report->machines[k].name);
    }
    int x = kb_columns(lines[0].data), y = kb_columns(lines[1].data);
    for (int i = 0; i < 2; i++) {
        const struct kb_side *side = i ? b : a;
        kb_padded(lines[i].data, x > y ? x : y, out);
        kb_buf_puts(out, "  ");
        kb_escape(out, side->report->name, strlen(side->report->name));
        kb_buf_putc(out, '\n');
        kb_buf_free(&lines[i]);
    }
}

static void body(const struct kb_pairs *pairs, const struct kb_look *look, bool all,
                 struct kb_buf *out) {
    struct listing l = {.pairs = pairs,
                        .n = pairs->n,
                        .word = WORD,
                        .color = look->color,
                        .narrow = look->width > 0 && look->width < WIDE,
                        .cross = kb_is_crossed(pairs),
                        .tags = kb_row_tags_of(pairs, true),
                        .only_tags = kb_row_tags_of(pairs, false)};
    kb_groups_print(pairs, all, look->width, out);
    l.rows = calloc(pairs->n + 1, sizeof *l.rows);
    if (!l.rows)
        kb_out_of_memory();
    for (size_t i = 0; i < pairs->n; i++)
        l.rows[i] = &pairs->items[i];
    qsort(l.rows, l.n, sizeof *l.rows, by_kind_and_size);
    list(&l, all, out);
    free(l.rows);
}

/* Where nothing is in both, sums and rows would be empty. */
static void nothing_in_both(const struct kb_pairs *pairs, struct kb_buf *out) {
    static const char *const what[] = {[KB_BY_REPORT] =
                                           "no row has its like in the other report",
                                       [KB_BY_BUILD] = "no case is of both builds",
                                       [KB_BY_VARIANT] = "no case is of both variants",
                                       [KB_BY_DEVICE] = "no case is of both devices"};
    kb_buf_printf(out, "%s: %zu row%s only in A, %zu only in B\n", what[pairs->a.by],
                  pairs->only_a, pairs->only_a == 1 ? "" : "s", pairs->only_b);
}

void kb_diff_print(const struct kb_pairs *pairs, const struct kb_look *look, bool all,
                   struct kb_buf *out) {
    struct kb_buf text = {0};
    head(pairs, &text);
    kb_buf_putc(&text, '\n');
    if (!all && pairs->n && pairs->only_a + pairs->only_b == pairs->n)
        nothing_in_both(pairs, &text);
    else
        body(pairs, look, all, &text);
    kb_fold(kb_buf_text(&text), INDENT, look->width, out);
    kb_buf_free(&text);
}

/* ---- JSON ------------------------------------------------------------------------------
 */

static cJSON *side_item(const struct kb_side *side) {
    cJSON *item = kb_loaded_item(side->report);
    if (side->by != KB_BY_REPORT)
        kb_json_add_text(item, "only", side->value);
    return item;
}

void kb_diff_json(const struct kb_pairs *pairs, struct kb_buf *out) {
    cJSON *root = kb_json_object(), *rows = kb_json_array();
    struct kb_arena arena = {0};
    struct kb_mismatches mismatches;
    kb_mismatches_of(pairs->a.report, pairs->b.report, &arena, &mismatches);
    kb_json_add_text(root, "schema", "kbench-diff/1");
    kb_json_add(root, "a", side_item(&pairs->a));
    kb_json_add(root, "b", side_item(&pairs->b));
    kb_json_add(root, "mismatches", kb_mismatches_item(&mismatches));
    kb_json_add(root, "groups", kb_groups_item(pairs));
    for (size_t i = 0; i < pairs->n; i++) {
        const struct kb_pair *pair = &pairs->items[i];
        cJSON *item = kb_pair_item(pair);
        kb_json_add_text(item, "verdict", word_of(pair, kind_of(pair)));
        if (*pair->why)
            kb_json_add_text(item, "text", pair->why);
        kb_json_push(rows, item);
    }
    kb_json_add(root, "rows", rows);
    kb_json_print(root, out);
    kb_buf_putc(out, '\n');
    cJSON_Delete(root);
    kb_arena_free(&arena);
}
