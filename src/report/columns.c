/* columns.c - the columns of the table: their words, and what they show of a row. */
#include "report/columns.h"

#include <math.h>
#include <string.h>

static const struct kb_column_info columns[KB_C_COUNT] = {
    [KB_C_DEVICE] = {"device", "device", 6, true, 0, KB_WORST_BY_NAME},
    [KB_C_BUILD] = {"build", "build", 7, true, 0, KB_WORST_BY_NAME},
    [KB_C_VARIANT] = {"variant", "variant", 7, true, 3, KB_WORST_BY_NAME},
    [KB_C_ERROR] = {"error", "err/bound", 9, false, 6, KB_WORST_LARGEST},
    [KB_C_ULP] = {"ulp", "max ulp", 7, false, 1, KB_WORST_LARGEST},
    [KB_C_TIME] = {NULL, "us", 8, false, 0, KB_WORST_LARGEST}, /* by its method's word */
    [KB_C_RATE] = {"gb_per_s", "GB/s", 6, false, 2, KB_WORST_SMALLEST},
    [KB_C_CEILING] = {"ceiling", "ceiling", 7, false, 5, KB_WORST_SMALLEST},
    [KB_C_REGISTERS] = {"registers", "registers", 9, false, 4, KB_WORST_LARGEST},
    [KB_C_SPILLED] = {"spilled", "spilled", 7, false, 3, KB_WORST_LARGEST},
    [KB_C_SHARED] = {"shared", "shared", 7, false, 2, KB_WORST_LARGEST},
    [KB_C_CODE] = {"code", "code", 7, false, 1, KB_WORST_LARGEST},
    [KB_C_COMPILED] = {"compiled", "compiled", 8, false, 0, KB_WORST_LARGEST},
    [KB_C_LOADED] = {"loaded", "loaded", 6, false, 4, KB_WORST_LARGEST},
    [KB_C_OCCUPANCY] = {"occupancy", "occupancy", 9, false, 0, KB_WORST_SMALLEST},
    [KB_C_WAVES] = {"waves", "waves", 6, false, 0, KB_WORST_SMALLEST},
    [KB_C_ENERGY] = {"energy", "uJ", 6, false, 0, KB_WORST_LARGEST},
    [KB_C_CASE] = {"case", "case", 0, true, 0, KB_WORST_BY_NAME},
    [KB_C_VERDICT] = {"verdict", "", 0, false, 0, KB_WORST_LARGEST},
};

const struct kb_column kb_code_columns[KB_CODE_COLUMNS] = {
    {.kind = KB_C_REGISTERS}, {.kind = KB_C_SPILLED},   {.kind = KB_C_SHARED},
    {.kind = KB_C_CODE},      {.kind = KB_C_OCCUPANCY}, {.kind = KB_C_WAVES},
};
const struct kb_column kb_energy_column = {.kind = KB_C_ENERGY};

const struct kb_column_info *kb_column_info(enum kb_column_kind kind) {
    return &columns[kind];
}

bool kb_column_parse(const char *word, bool to_sort, struct kb_column_choice *out) {
    enum kb_method method;
    int n = to_sort ? KB_C_COUNT : KB_C_CASE;
    if (kb_method_parse(word, &method)) {
        *out = (struct kb_column_choice){KB_C_TIME, (int)method};
        return true;
    }
    for (int k = 0; k < n; k++) {
        if (columns[k].word && kb_streq(columns[k].word, word)) {
            *out = (struct kb_column_choice){k, 0};
            return true;
        }
    }
    return false;
}

void kb_column_words(bool to_sort, struct kb_arena *arena, struct kb_strings *out) {
    for (int k = 0; k < (to_sort ? KB_C_COUNT : KB_C_CASE); k++) {
        if (columns[k].word)
            kb_strings_add(out, arena, columns[k].word);
        for (int m = 0; k == KB_C_TIME && m < KB_METHOD_COUNT; m++)
            kb_strings_add(out, arena, kb_method_word((enum kb_method)m));
    }
}

/* ---- numbers ---------------------------------------------------------------------------
 */

static double known(bool is_known, double value) {
    return is_known ? value : (double)NAN;
}

static double code_number(enum kb_column_kind kind, const struct kb_row *row) {
    const struct kb_code_info *code = &row->code;
    switch (kind) {
    case KB_C_REGISTERS:
        return known(row->built && code->registers >= 0, (double)code->registers);
    case KB_C_SPILLED:
        return known(row->built && code->spill_bytes >= 0, (double)code->spill_bytes);
    case KB_C_SHARED:
        return known(row->built && code->shared_bytes >= 0, (double)code->shared_bytes);
    case KB_C_CODE:
        return known(row->built && code->code_bytes >= 0, (double)code->code_bytes);
    case KB_C_OCCUPANCY:
        return known(row->occupancy.blocks_per_sm > 0, row->occupancy.share);
    case KB_C_WAVES:
        return known(row->occupancy.blocks_per_sm > 0, row->occupancy.waves);
    case KB_C_LOADED: /* nothing is on the host */
        return known(row->built && code->load_ms > 0, code->load_ms);
    default:
        return known(row->built && !code->cached, code->compile_ms);
    }
}

/* FAIL first, then what could not be judged, PASS last. */
static double severity(const struct kb_row *row) {
    static const int ranks[KB_VERDICT_COUNT] = {
        [KB_PASS] = 0, [KB_SKIP] = 1, [KB_MISTRUSTED] = 2, [KB_ERROR] = 3, [KB_FAIL] = 4};
    return ranks[kb_reason_verdict(row->reason)];
}

double kb_column_number(const struct kb_column *column, const struct kb_row *row) {
    const struct kb_time *t = &row->times[column->method];
    switch ((enum kb_column_kind)column->kind) {
    case KB_C_ERROR:
        return kb_row_error(row);
    case KB_C_ULP:
        return kb_row_ulp(row);
    case KB_C_TIME:
        return known(t->there, t->median_ns);
    case KB_C_RATE:
        return known(t->there, t->gb_per_s);
    case KB_C_CEILING:
        return known(t->there && isfinite(t->ceiling_ns), t->ceiling);
    case KB_C_ENERGY:
        return kb_row_energy(row);
    case KB_C_VERDICT:
        return severity(row);
    default:
        return code_number((enum kb_column_kind)column->kind, row);
    }
}

struct kb_cell kb_column_cell(const struct kb_column *column, const struct kb_row *row) {
    double value = kb_column_number(column, row);
    switch ((enum kb_column_kind)column->kind) {
    case KB_C_ERROR:
    case KB_C_ULP:
    case KB_C_ENERGY:
        return kb_cell_ratio(value);
    case KB_C_TIME:
        return kb_cell_us(value);
    case KB_C_RATE:
        return kb_cell_rate(value);
    case KB_C_CEILING:
    case KB_C_OCCUPANCY:
        return kb_cell_percent(value);
    case KB_C_WAVES:
        return kb_cell_waves(value);
    case KB_C_REGISTERS:
        return kb_cell_number(value);
    case KB_C_COMPILED:
        if (row->built && row->code.cached)
            return (struct kb_cell){"cached"};
        return kb_cell_ms(value);
    case KB_C_LOADED:
        return kb_cell_ms(value);
    default:
        return kb_cell_bytes(value);
    }
}

/* ---- text ------------------------------------------------------------------------------
 */

/* A grid with a 0 in it: there is nothing to run, and no variant did. */
static bool launches_nothing(const struct kb_row *row) {
    return row->built && row->n_launches == 1 &&
           (!row->grid[0] || !row->grid[1] || !row->grid[2]);
}

void kb_column_text(const struct kb_column *column, bool many_variants,
                    const struct kb_row *row, struct kb_buf *out) {
    struct kb_buf text = {0};
    if (column->kind == KB_C_CASE)
        kb_buf_puts(&text, row->case_id);
    else if (column->kind == KB_C_DEVICE)
        kb_buf_puts(&text, row->device);
    else if (column->kind == KB_C_BUILD)
        kb_buf_puts(&text, row->build);
    else if (launches_nothing(row) && !many_variants)
        kb_buf_putc(&text, '-');
    else
        kb_variant_words(row, &text);
    kb_escape(out, kb_buf_text(&text), text.len);
    kb_buf_free(&text);
}
