/* table.c - the table of a suite, row by row as they finish; its widths come from the plan.
 */
#include "report/columns.h"

#include <math.h>
#include <string.h>

enum {
    VERDICT_WIDTH = 4, /* ERROR takes one of the blanks behind it, MISTRUSTED more */
    QUALITY_ROOM = 11, /* of "  throttled" or "  duty 50 %", which follow the columns */
};

static const char *const colors[] = {
    [KB_PASS] = "32", [KB_FAIL] = "31",  [KB_MISTRUSTED] = "35",
    [KB_SKIP] = "36", [KB_ERROR] = "31",
};

void kb_verdict_words(enum kb_verdict verdict, bool color, struct kb_buf *out) {
    if (color)
        kb_buf_printf(out, "\033[1;%sm%s\033[0m", colors[verdict],
                      kb_verdict_word(verdict));
    else
        kb_buf_puts(out, kb_verdict_word(verdict));
}

/* ---- the plan --------------------------------------------------------------------------
 */

static void add_column(struct kb_table *table, enum kb_column_kind kind, const char *head,
                       int width, int method, int leaves) {
    struct kb_column *column = &table->columns[table->n_columns++];
    *column = (struct kb_column){
        .kind = (int)kind,
        .method = method,
        .leaves = leaves,
        .width = width > kb_column_info(kind)->width ? width : kb_column_info(kind)->width,
    };
    struct kb_buf text = {0};
    kb_buf_puts(&text, head);
    size_t len = text.len < sizeof column->head - 1 ? text.len : sizeof column->head - 1;
    memcpy(column->head, kb_buf_text(&text), len);
    kb_buf_free(&text);
}

static void add(struct kb_table *table, enum kb_column_kind kind) {
    const struct kb_column_info *info = kb_column_info(kind);
    /* Rate and ceiling are those of the first method. */
    int method = table->plan.n_methods ? (int)table->plan.methods[0] : 0;
    add_column(table, kind, info->head, 0, method, info->leaves);
}

static int build_width(const struct kb_facts *facts) {
    int width = 0;
    for (int i = 0; i < facts->n_builds; i++)
        if (kb_columns(facts->builds[i].name) > width)
            width = kb_columns(facts->builds[i].name);
    return width;
}

static void add_time(struct kb_table *table, enum kb_method method, int leaves) {
    struct kb_buf head = {0};
    kb_buf_printf(&head, "%s us", kb_method_word(method));
    add_column(table, KB_C_TIME, kb_buf_text(&head), 0, (int)method, leaves);
    kb_buf_free(&head);
}

static void add_times(struct kb_table *table) {
    const struct kb_table_plan *plan = &table->plan;
    for (int i = 0; i < plan->n_methods; i++) {
        add_time(table, plan->methods[i], i > 0 ? 4 : 0);
        if (i > 0)
            continue;
        add(table, KB_C_RATE);
        add(table, KB_C_CEILING);
    }
}

static int table_width(const struct kb_table *table) {
    int width = table->case_width;
    for (int i = 0; i < table->n_columns; i++)
        width += 2 + table->columns[i].width;
    return width + (table->plan.layout == KB_LAYOUT_BENCH ? QUALITY_ROOM : 0);
}

/* Take out the column that goes first; false when none is left that may. */
static bool drop_column(struct kb_table *table) {
    int first = -1;
    for (int i = 0; i < table->n_columns; i++) {
        int leaves = table->columns[i].leaves;
        if (leaves && (first < 0 || leaves < table->columns[first].leaves))
            first = i;
    }
    if (first < 0)
        return false;
    table->n_columns--;
    memmove(&table->columns[first], &table->columns[first + 1],
            (size_t)(table->n_columns - first) * sizeof *table->columns);
    return true;
}

static void add_by_default(struct kb_table *table) {
    const struct kb_table_plan *plan = &table->plan;
    if (plan->many_devices)
        add(table, KB_C_DEVICE);
    if (plan->many_builds)
        add_column(table, KB_C_BUILD, "build", build_width(plan->facts), 0, 0);
    add_column(table, KB_C_VARIANT, "variant", plan->variant_width, 0,
               plan->many_variants ? 0 : kb_column_info(KB_C_VARIANT)->leaves);
    if (plan->layout == KB_LAYOUT_BUILD) {
        for (enum kb_column_kind k = KB_C_REGISTERS; k <= KB_C_LOADED; k++)
            add(table, k);
        return;
    }
    add_column(table, KB_C_ERROR, "err/bound", 0, 0,
               plan->layout == KB_LAYOUT_BENCH ? kb_column_info(KB_C_ERROR)->leaves : 0);
    add(table, KB_C_ULP);
    if (plan->layout == KB_LAYOUT_BENCH)
        add_times(table);
    if (plan->layout == KB_LAYOUT_BENCH && plan->energy)
        add(table, KB_C_ENERGY);
}

static bool is_asked(const struct kb_table_plan *plan, int kind) {
    for (int i = 0; i < plan->n_columns; i++)
        if (plan->columns[i].kind == kind)
            return true;
    return false;
}

static void add_text(struct kb_table *table, int kind) {
    const struct kb_table_plan *plan = &table->plan;
    int width = kind == KB_C_BUILD     ? build_width(plan->facts)
                : kind == KB_C_VARIANT ? plan->variant_width
                                       : 0;
    add_column(table, (enum kb_column_kind)kind,
               kb_column_info((enum kb_column_kind)kind)->head, width, 0, 0);
}

/* Those that were asked for stay, however narrow the terminal is. What rows differ in is
 * in front where it was not asked for, or they could not be told apart. */
static void add_asked(struct kb_table *table) {
    const struct kb_table_plan *plan = &table->plan;
    const bool differ[] = {[KB_C_DEVICE] = plan->many_devices,
                           [KB_C_BUILD] = plan->many_builds,
                           [KB_C_VARIANT] = plan->many_variants};
    for (int kind = 0; kind < (int)KB_COUNT(differ); kind++)
        if (differ[kind] && !is_asked(plan, kind))
            add_text(table, kind);
    for (int i = 0; i < plan->n_columns; i++) {
        const struct kb_column_choice *choice = &plan->columns[i];
        if (choice->kind == KB_C_TIME)
            add_time(table, (enum kb_method)choice->method, 0);
        else if (kb_column_info((enum kb_column_kind)choice->kind)->left)
            add_text(table, choice->kind);
        else
            add(table, (enum kb_column_kind)choice->kind);
        table->columns[table->n_columns - 1].leaves = 0;
    }
}

void kb_table_make(struct kb_table *table, const struct kb_table_plan *plan,
                   const struct kb_look *look) {
    *table = (struct kb_table){
        .plan = *plan,
        .look = *look,
        .case_width = VERDICT_WIDTH + 2 + plan->id_width,
    };
    if (plan->n_columns)
        add_asked(table);
    else
        add_by_default(table);
    while (look->width > 0 && table_width(table) > look->width && drop_column(table))
        continue;
}

/* ---- rows ------------------------------------------------------------------------------
 */

static void add_cells(const struct kb_table *table, const struct kb_row *row,
                      struct kb_buf *out) {
    for (int i = 0; i < table->n_columns; i++) {
        const struct kb_column *column = &table->columns[i];
        struct kb_buf text = {0};
        bool left = kb_column_info((enum kb_column_kind)column->kind)->left;
        if (left)
            kb_column_text(column, table->plan.many_variants, row, &text);
        else
            kb_buf_puts(&text, kb_column_cell(column, row).text);
        int pad = column->width - kb_columns(kb_buf_text(&text));
        pad = pad > 0 ? pad : 0;
        if (left)
            kb_buf_printf(out, "  %s%*s", kb_buf_text(&text),
                          i + 1 < table->n_columns ? pad : 0, "");
        else
            kb_buf_printf(out, "  %*s%s", pad, "", kb_buf_text(&text));
        kb_buf_free(&text);
    }
}

/* Behind the columns, or where they leave no room, on a line below. */
static void add_remark(const struct kb_table *table, const char *text, size_t start,
                       struct kb_buf *out) {
    struct kb_buf line = {0};
    kb_buf_add(&line, out->data + start, out->len - start);
    int used = kb_columns(kb_buf_text(&line)), room = table->look.width;
    if (*text && room > 0 && used + 2 + kb_columns(text) > room)
        kb_buf_printf(out, "\n%*s%s", VERDICT_WIDTH + 2, "", text);
    else if (*text)
        kb_buf_printf(out, "  %s", text);
    kb_buf_free(&line);
}

/* Of the first method of which there is something to be known; named where it is not the
 * one that heads the table. */
static void add_quality(const struct kb_table *table, const struct kb_row *row,
                        size_t start, struct kb_buf *out) {
    struct kb_buf text = {0};
    for (int i = 0; i < table->plan.n_methods && !text.len; i++) {
        struct kb_buf words = {0};
        kb_time_words(&row->times[table->plan.methods[i]], &words);
        if (i > 0 && words.len)
            kb_buf_printf(&text, "%s ", kb_method_word(table->plan.methods[i]));
        kb_buf_puts(&text, kb_buf_text(&words));
        kb_buf_free(&words);
    }
    add_remark(table, kb_buf_text(&text), start, out);
    kb_buf_free(&text);
}

static void add_sampled(const struct kb_table *table, const struct kb_row *row,
                        size_t start, struct kb_buf *out) {
    struct kb_buf text = {0};
    kb_sampled_words(row, &text);
    add_remark(table, kb_buf_text(&text), start, out);
    kb_buf_free(&text);
}

void kb_short_text(const char *text, int room, struct kb_buf *out) {
    struct kb_buf safe = {0};
    size_t len = strcspn(text, "\n");
    kb_escape(&safe, text, len);
    if (room > 3 && kb_columns(kb_buf_text(&safe)) > room) {
        size_t end = 0;
        for (int columns = 0; columns < room - 3; columns++)
            while (((unsigned char)safe.data[++end] & 0xc0) == 0x80)
                continue;
        kb_buf_cut(&safe, end);
        kb_buf_puts(&safe, "...");
    }
    kb_buf_puts(out, kb_buf_text(&safe));
    kb_buf_free(&safe);
}

/* Verdict and id, padded to `width` columns; returns how many they took. */
static int add_case(const struct kb_row *row, bool color, int width, struct kb_buf *out) {
    enum kb_verdict verdict = kb_reason_verdict(row->reason);
    struct kb_buf id = {0};
    kb_escape(&id, row->case_id, strlen(row->case_id));
    int word = kb_columns(kb_verdict_word(verdict));
    int gap = word < VERDICT_WIDTH + 2 ? VERDICT_WIDTH + 2 - word : 2;
    int columns = word + gap + kb_columns(kb_buf_text(&id));
    int pad = columns < width ? width - columns : 0;
    kb_verdict_words(verdict, color, out);
    kb_buf_printf(out, "%*s%s%*s", gap, "", kb_buf_text(&id), pad, "");
    kb_buf_free(&id);
    return columns + pad;
}

/* Device, build and variant, where the rows of this table differ in them. */
static void add_which(const struct kb_table *table, const struct kb_row *row,
                      struct kb_buf *out) {
    const struct kb_table_plan *plan = &table->plan;
    size_t start = out->len;
    if (plan->many_devices)
        kb_buf_printf(out, "device %s", row->device);
    if (plan->many_builds)
        kb_buf_printf(out, "%s%s", out->len > start ? " " : "", row->build);
    bool named = row->variant && row->text && kb_starts_with(row->text, row->variant);
    if (plan->many_variants && row->variant && !named) {
        kb_buf_puts(out, out->len > start ? " " : "");
        kb_variant_words(row, out);
    }
}

void kb_table_row(const struct kb_table *table, const struct kb_row *row,
                  struct kb_buf *out) {
    enum kb_verdict verdict = kb_reason_verdict(row->reason);
    size_t start = out->len;
    int used = add_case(row, table->look.color, table->case_width, out);
    if (verdict == KB_PASS || verdict == KB_FAIL) {
        add_cells(table, row, out);
        add_quality(table, row, start, out);
        /* Trailing blanks of a left column would be copied along. */
        while (out->len > start && out->data[out->len - 1] == ' ')
            kb_buf_cut(out, out->len - 1);
        add_sampled(table, row, start, out);
    } else {
        struct kb_buf text = {0};
        add_which(table, row, &text);
        if (text.len)
            kb_buf_puts(&text, ": ");
        kb_row_words(row, &text);
        int room = table->look.width > 0 ? table->look.width - used - 2 : 0;
        kb_buf_puts(out, "  ");
        kb_short_text(kb_buf_text(&text), table->look.width > 0 && room < 8 ? 8 : room,
                      out);
        kb_buf_free(&text);
    }
    kb_buf_putc(out, '\n');
}

/* ---- above and below -------------------------------------------------------------------
 */

void kb_table_head(const struct kb_table *table, struct kb_buf *out) {
    const struct kb_table_plan *plan = &table->plan;
    struct kb_buf line = {0};
    kb_facts_words(plan->facts, plan->layout, plan->shared, &line);
    kb_wrap_at(kb_buf_text(&line), " | ", table->look.width, out);
    kb_buf_free(&line);
    kb_buf_printf(out, "\n\n%*s", table->case_width, "");
    for (int i = 0; i < table->n_columns; i++) {
        const struct kb_column *column = &table->columns[i];
        int width = kb_column_info((enum kb_column_kind)column->kind)->left ? -column->width
                                                                            : column->width;
        if (i + 1 == table->n_columns && width < 0)
            width = 0;
        kb_buf_printf(out, "  %*s", width, column->head);
    }
    kb_buf_putc(out, '\n');
}

/* What it comes to when it is made smaller, and the command for that. */
static void add_smallest(const struct kb_row *row, int indent, int width,
                         struct kb_buf *out) {
    struct kb_buf text = {0}, safe = {0};
    kb_buf_puts(&text, "smallest: ");
    kb_smallest_words(row, &text);
    kb_escape(&safe, kb_buf_text(&text), text.len);
    kb_buf_printf(out, "%*s", indent, "");
    kb_wrap(kb_buf_text(&safe), indent, indent, width, out);
    kb_buf_putc(out, '\n');
    if (!kb_streq(row->smallest->case_id, row->case_id)) {
        kb_buf_printf(out, "%*s", indent, "");
        kb_escape(out, row->smallest->repeat, strlen(row->smallest->repeat));
        kb_buf_putc(out, '\n');
    }
    kb_buf_free(&text);
    kb_buf_free(&safe);
}

void kb_table_failure(const struct kb_table *table, const struct kb_row *row,
                      int64_t others, struct kb_buf *out) {
    enum kb_verdict verdict = kb_reason_verdict(row->reason);
    int indent = kb_columns(kb_verdict_word(verdict)) + 2;
    int width = table->look.width > 0 && table->look.width < KB_SENTENCE_WIDTH
                    ? table->look.width
                    : KB_SENTENCE_WIDTH;
    struct kb_buf text = {0}, safe = {0};
    kb_verdict_words(verdict, table->look.color, out);
    kb_buf_puts(out, "  ");
    kb_buf_printf(&text, "%s, ", row->case_id);
    size_t named = text.len;
    add_which(table, row, &text);
    if (text.len == named)
        kb_buf_cut(&text, named - 2);
    kb_buf_puts(&text, ": ");
    kb_row_words(row, &text);
    kb_escape_lines(&safe, kb_buf_text(&text), text.len);
    kb_wrap(kb_buf_text(&safe), indent, indent, width, out);
    kb_buf_clear(&safe);
    if (others > 0)
        kb_buf_printf(out, "\n%*sthe same in %lld other%s", indent, "", (long long)others,
                      others == 1 ? "" : "s");
    kb_escape(&safe, row->repeat, strlen(row->repeat));
    kb_buf_printf(out, "\n%*s%s\n", indent, "", kb_buf_text(&safe));
    if (row->smallest)
        add_smallest(row, indent, width, out);
    kb_buf_free(&text);
    kb_buf_free(&safe);
}

static void add_counts(const struct kb_tally *tally, struct kb_buf *out) {
    for (int v = 0; v < KB_VERDICT_COUNT; v++) {
        int64_t n = tally->count[v];
        bool bad = v == KB_FAIL || v == KB_MISTRUSTED || v == KB_ERROR;
        kb_buf_printf(out, "%s%lld %s", v ? ", " : "", (long long)n,
                      bad && n ? kb_verdict_word((enum kb_verdict)v)
                               : kb_verdict_key((enum kb_verdict)v));
    }
}

/* "2 rows contended, the first silu/7x16/bf16 by cold: ..." */
static void add_rows(const struct kb_table *table, const struct kb_tally_quality *rows,
                     const char *what, struct kb_buf *out) {
    int width = table->look.width > 0 && table->look.width < KB_SENTENCE_WIDTH
                    ? table->look.width
                    : KB_SENTENCE_WIDTH;
    struct kb_buf text = {0};
    kb_buf_printf(&text, "%lld row%s %s, %s", (long long)rows->rows,
                  rows->rows == 1 ? "" : "s", what, rows->rows == 1 ? "" : "the first ");
    kb_escape(&text, rows->first, strlen(rows->first));
    kb_wrap(kb_buf_text(&text), 0, 2, width, out);
    kb_buf_putc(out, '\n');
    kb_buf_free(&text);
}

/* Times that are missing or odd: how many, and why that of the first is. */
static void add_oddities(const struct kb_table *table, const struct kb_tally *tally,
                         struct kb_buf *out) {
    if (tally->lacking.rows)
        add_rows(table, &tally->lacking, "without what was asked for", out);
    for (int q = KB_Q_OK + 1; q < KB_QUALITY_COUNT; q++)
        if (tally->qualities[q].rows)
            add_rows(table, &tally->qualities[q], kb_quality_word((enum kb_quality)q), out);
}

void kb_table_summary(const struct kb_table *table, const struct kb_tally *tally,
                      double seconds, struct kb_buf *out) {
    const struct kb_table_plan *plan = &table->plan;
    const struct kb_facts *facts = plan->facts;
    struct kb_buf line = {0};
    add_oddities(table, tally, out);
    kb_buf_printf(&line, "%lld case%s", (long long)plan->n_cases,
                  plan->n_cases == 1 ? "" : "s");
    if (plan->many_variants && plan->n_variants)
        kb_buf_printf(&line, " x %d variants", plan->n_variants);
    else if (plan->many_variants)
        kb_buf_puts(&line, " x variants");
    if (plan->many_builds)
        kb_buf_printf(&line, " x %d builds", facts->n_builds);
    if (plan->many_devices)
        kb_buf_printf(&line, " x %d devices", facts->n_devices);
    if (plan->layout == KB_LAYOUT_BUILD)
        kb_buf_printf(&line, ", %lld distinct", (long long)tally->rows);
    kb_buf_puts(&line, ": ");
    add_counts(tally, &line);
    if (tally->ceilings > 0)
        kb_buf_printf(
            &line, "   ceiling %s (geomean of %lld)",
            kb_cell_percent(exp(tally->ceiling_logs / (double)tally->ceilings)).text,
            (long long)tally->ceilings);
    kb_buf_printf(&line, "   %.1f s", seconds);
    kb_wrap_at(kb_buf_text(&line), "   ", table->look.width, out);
    kb_buf_putc(out, '\n');
    kb_buf_free(&line);
}
