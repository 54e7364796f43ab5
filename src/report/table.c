/* table.c - the table of a suite, row by row as they finish; its widths come from the plan.
 */
#include "screen.h"

#include <math.h>
#include <string.h>

enum {
    VERDICT_WIDTH = 4, /* longer verdicts eat into the room of their id */
    QUALITY_ROOM = 11, /* of "  throttled", which follows the columns of a bad timing */
};

enum kind {
    C_DEVICE,
    C_BUILD,
    C_VARIANT,
    C_ERROR,
    C_ULP,
    C_TIME,
    C_RATE,
    C_CEILING,
    C_REGISTERS,
    C_SPILLED,
    C_SHARED,
    C_CODE,
    C_COMPILED,
};

static const struct {
    const char *head;
    int width;
    bool left;
    int leaves;
} kinds[] = {
    [C_DEVICE] = {"device", 6, true, 0},        [C_BUILD] = {"build", 7, true, 0},
    [C_VARIANT] = {"variant", 7, true, 3},      [C_ERROR] = {"err/bound", 9, false, 6},
    [C_ULP] = {"max ulp", 7, false, 1},         [C_TIME] = {"us", 8, false, 0},
    [C_RATE] = {"GB/s", 6, false, 2},           [C_CEILING] = {"ceiling", 7, false, 5},
    [C_REGISTERS] = {"registers", 9, false, 4}, [C_SPILLED] = {"spilled", 7, false, 3},
    [C_SHARED] = {"shared", 7, false, 2},       [C_CODE] = {"code", 7, false, 1},
    [C_COMPILED] = {"compiled", 8, false, 0},
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

static void add_column(struct kb_table *table, enum kind kind, const char *head, int width,
                       int method, int leaves) {
    struct kb_column *column = &table->columns[table->n_columns++];
    *column = (struct kb_column){
        .kind = (int)kind,
        .method = method,
        .leaves = leaves,
        .width = width > kinds[kind].width ? width : kinds[kind].width,
    };
    struct kb_buf text = {0};
    kb_buf_puts(&text, head);
    size_t len = text.len < sizeof column->head - 1 ? text.len : sizeof column->head - 1;
    memcpy(column->head, kb_buf_text(&text), len);
    kb_buf_free(&text);
}

static void add(struct kb_table *table, enum kind kind) {
    add_column(table, kind, kinds[kind].head, 0, 0, kinds[kind].leaves);
}

static int build_width(const struct kb_facts *facts) {
    int width = 0;
    for (int i = 0; i < facts->n_builds; i++)
        if (kb_columns(facts->builds[i].name) > width)
            width = kb_columns(facts->builds[i].name);
    return width;
}

static void add_times(struct kb_table *table) {
    const struct kb_table_plan *plan = &table->plan;
    for (int i = 0; i < plan->n_methods; i++) {
        struct kb_buf head = {0};
        kb_buf_printf(&head, "%s us", kb_method_word(plan->methods[i]));
        add_column(table, C_TIME, kb_buf_text(&head), 0, (int)plan->methods[i],
                   i > 0 ? 4 : 0);
        kb_buf_free(&head);
        if (i > 0)
            continue; /* rate and ceiling are the first method's */
        add(table, C_RATE);
        add(table, C_CEILING);
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

void kb_table_make(struct kb_table *table, const struct kb_table_plan *plan,
                   const struct kb_look *look) {
    *table = (struct kb_table){
        .plan = *plan,
        .look = *look,
        .case_width = VERDICT_WIDTH + 2 + plan->id_width,
    };
    if (plan->many_devices)
        add(table, C_DEVICE);
    if (plan->many_builds)
        add_column(table, C_BUILD, "build", build_width(plan->facts), 0, 0);
    add_column(table, C_VARIANT, "variant", plan->variant_width, 0,
               plan->many_variants ? 0 : kinds[C_VARIANT].leaves);
    if (plan->layout == KB_LAYOUT_BUILD) {
        for (enum kind k = C_REGISTERS; k <= C_COMPILED; k++)
            add(table, k);
    } else {
        add_column(table, C_ERROR, "err/bound", 0, 0,
                   plan->layout == KB_LAYOUT_BENCH ? kinds[C_ERROR].leaves : 0);
        add(table, C_ULP);
        if (plan->layout == KB_LAYOUT_BENCH)
            add_times(table);
    }
    while (look->width > 0 && table_width(table) > look->width && drop_column(table))
        continue;
}

/* ---- rows ------------------------------------------------------------------------------
 */

static struct kb_cell count_cell(int64_t value) {
    return kb_cell_number(value < 0 ? (double)NAN : (double)value);
}

static struct kb_cell bytes_cell(int64_t bytes) {
    return kb_cell_bytes(bytes < 0 ? (double)NAN : (double)bytes);
}

static struct kb_cell number_cell(const struct kb_column *column,
                                  const struct kb_row *row) {
    const struct kb_time *t = &row->times[column->method];
    const struct kb_code_info *code = &row->code;
    switch ((enum kind)column->kind) {
    case C_ERROR:
        return kb_cell_ratio(kb_row_error(row));
    case C_ULP:
        return kb_cell_ratio(kb_row_ulp(row));
    case C_TIME:
        return kb_cell_us(t->there ? t->median_ns : (double)NAN);
    case C_RATE:
        return kb_cell_rate(t->there ? t->gb_per_s : (double)NAN);
    case C_CEILING:
        return kb_cell_percent(t->there && isfinite(t->ceiling_ns) ? t->ceiling
                                                                   : (double)NAN);
    case C_REGISTERS:
        return count_cell(row->built ? code->registers : -1);
    case C_SPILLED:
        return bytes_cell(row->built ? code->spill_bytes : -1);
    case C_SHARED:
        return bytes_cell(row->built ? code->shared_bytes : -1);
    case C_CODE:
        return bytes_cell(row->built ? code->code_bytes : -1);
    case C_COMPILED:
    default:
        return kb_cell_ms(row->built && !code->cached ? code->compile_ms : (double)NAN);
    }
}

/* A grid with a 0 in it: there is nothing to run, and no variant did. */
static bool launches_nothing(const struct kb_row *row) {
    return row->built && row->n_launches == 1 &&
           (!row->grid[0] || !row->grid[1] || !row->grid[2]);
}

static void text_cell(const struct kb_column *column, bool many_variants,
                      const struct kb_row *row, struct kb_buf *out) {
    struct kb_buf text = {0};
    if (column->kind == C_DEVICE)
        kb_buf_puts(&text, row->device);
    else if (column->kind == C_BUILD)
        kb_buf_puts(&text, row->build);
    else if (launches_nothing(row) && !many_variants)
        kb_buf_putc(&text, '-');
    else
        kb_variant_words(row, &text);
    kb_escape(out, kb_buf_text(&text), text.len);
    kb_buf_free(&text);
}

static void add_cells(const struct kb_table *table, const struct kb_row *row,
                      struct kb_buf *out) {
    for (int i = 0; i < table->n_columns; i++) {
        const struct kb_column *column = &table->columns[i];
        struct kb_buf text = {0};
        if (kinds[column->kind].left)
            text_cell(column, table->plan.many_variants, row, &text);
        else
            kb_buf_puts(&text, number_cell(column, row).text);
        int pad = column->width - kb_columns(kb_buf_text(&text));
        pad = pad > 0 ? pad : 0;
        if (kinds[column->kind].left)
            kb_buf_printf(out, "  %s%*s", kb_buf_text(&text),
                          i + 1 < table->n_columns ? pad : 0, "");
        else
            kb_buf_printf(out, "  %*s%s", pad, "", kb_buf_text(&text));
        kb_buf_free(&text);
    }
}

static void add_quality(const struct kb_table *table, const struct kb_row *row,
                        struct kb_buf *out) {
    for (int i = 0; i < table->plan.n_methods; i++) {
        const struct kb_time *t = &row->times[table->plan.methods[i]];
        if (!t->there || t->quality == KB_Q_OK)
            continue;
        kb_buf_printf(out, "  %s", kb_quality_word(t->quality));
        return;
    }
}

/* Behind the columns, or where they leave no room, on a line below. */
static void add_sampled(const struct kb_table *table, const struct kb_row *row,
                        size_t start, struct kb_buf *out) {
    struct kb_buf text = {0}, line = {0};
    kb_sampled_words(row, &text);
    kb_buf_add(&line, out->data + start, out->len - start);
    int used = kb_columns(kb_buf_text(&line)), room = table->look.width;
    if (text.len && room > 0 && used + 2 + kb_columns(kb_buf_text(&text)) > room)
        kb_buf_printf(out, "\n%*s%s", VERDICT_WIDTH + 2, "", kb_buf_text(&text));
    else if (text.len)
        kb_buf_printf(out, "  %s", kb_buf_text(&text));
    kb_buf_free(&text);
    kb_buf_free(&line);
}

/* `text` on one line of at most `room` columns (0: any), escaped. */
static void add_short(const char *text, int room, struct kb_buf *out) {
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

/* Verdict and id, padded to `width` columns. */
static void add_case(const struct kb_row *row, bool color, int width, struct kb_buf *out) {
    enum kb_verdict verdict = kb_reason_verdict(row->reason);
    struct kb_buf id = {0};
    kb_escape(&id, row->case_id, strlen(row->case_id));
    int columns = kb_columns(kb_verdict_word(verdict)) + 2 + kb_columns(kb_buf_text(&id));
    kb_verdict_words(verdict, color, out);
    kb_buf_printf(out, "  %s%*s", kb_buf_text(&id), columns < width ? width - columns : 0,
                  "");
    kb_buf_free(&id);
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
    add_case(row, table->look.color, table->case_width, out);
    if (verdict == KB_PASS || verdict == KB_FAIL) {
        add_cells(table, row, out);
        add_quality(table, row, out);
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
        int used = kb_columns(kb_verdict_word(verdict)) + 2 + kb_columns(row->case_id);
        used = used > table->case_width ? used : table->case_width;
        int room = table->look.width > 0 ? table->look.width - used - 2 : 0;
        kb_buf_puts(out, "  ");
        add_short(kb_buf_text(&text), table->look.width > 0 && room < 8 ? 8 : room, out);
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
        int width = kinds[column->kind].left ? -column->width : column->width;
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
                      struct kb_buf *out) {
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

void kb_table_summary(const struct kb_table *table, const struct kb_tally *tally,
                      double seconds, struct kb_buf *out) {
    const struct kb_table_plan *plan = &table->plan;
    const struct kb_facts *facts = plan->facts;
    struct kb_buf line = {0};
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
