/* list_ops.c - sheets of columns; kbench list ops: a line for each op, and tags with their
 * cases. */
#include "cli/list.h"
#include "cli/page.h"

#include <string.h>

/* ---- sheets ----------------------------------------------------------------------------
 */

enum { MAX_COLUMNS = 8 };

void kb_sheet_cell(struct kb_sheet *sheet, const char *text) {
    struct kb_buf safe = {0};
    kb_escape(&safe, text, strlen(text));
    kb_strings_add(&sheet->cells, &sheet->arena,
                   kb_arena_strdup(&sheet->arena, kb_buf_text(&safe)));
    kb_buf_free(&safe);
}

void kb_sheet_cell_of(struct kb_sheet *sheet, struct kb_buf *text) {
    kb_sheet_cell(sheet, kb_buf_text(text));
    kb_buf_clear(text);
}

void kb_sheet_print(struct kb_sheet *sheet, struct kb_buf *out) {
    int width[MAX_COLUMNS] = {0}, n = sheet->n_columns;
    for (size_t i = 0; i < sheet->cells.count; i++) {
        int columns = kb_columns(sheet->cells.items[i]);
        int *widest = &width[i % (size_t)n];
        *widest = columns > *widest ? columns : *widest;
    }
    for (size_t i = 0; i < sheet->cells.count; i++) {
        int at = (int)(i % (size_t)n);
        const char *text = sheet->cells.items[i];
        int pad = width[at] - kb_columns(text);
        bool right = sheet->right >> at & 1u, last = at == n - 1;
        kb_buf_printf(out, "%s%*s%s%*s%s", at ? "  " : "", right ? pad : 0, "", text,
                      right || last ? 0 : pad, "", last ? "\n" : "");
    }
    kb_arena_free(&sheet->arena);
}

/* ---- ops ------------------------------------------------------------------------------
 */

static bool count_cases(struct kb_counts *counts, struct kb_complaints *c) {
    struct kb_query query = {.by_tag_too = true};
    struct kb_suite *suite = NULL;
    kb_strings_add(&query.match, &counts->arena, "*");
    if (!kb_suite_open(&suite, &query, c))
        return false;
    kb_suite_counts(suite, &counts->arena, &counts->cases);
    kb_suite_free(suite);
    return true;
}

static void add_dtypes(const struct kb_op *op, struct kb_buf *out) {
    for (int i = 0; i < op->n_dtypes; i++)
        kb_buf_printf(out, "%s%s", i ? " " : "", kb_dtype_name(op->dtypes[i]));
}

const struct kb_kernel *kb_list_kernel(const struct kb_op *op, struct kb_arena *arena,
                                       struct kb_complaints *c) {
    struct kb_kernel *kernel = kb_arena_alloc(arena, sizeof *kernel);
    return kb_kernel_builtin(op, arena, kernel, c) ? kernel : NULL;
}

void kb_list_check_ops(const struct kb_strings *asked, struct kb_complaints *c) {
    struct kb_buf what = {0};
    for (size_t i = 0; i < asked->count; i++) {
        if (kb_op_find(asked->items[i]))
            continue;
        kb_buf_clear(&what);
        kb_unknown_op(&what, asked->items[i]);
        kb_complain_option(c, "--op", "%s", kb_buf_text(&what));
    }
    kb_buf_free(&what);
}

bool kb_list_wants(const struct kb_strings *asked, const struct kb_op *op) {
    return !asked->count || kb_strings_has(asked, op->name);
}

/* Their names, as many as have room and how many more there are: "tiny small +8". */
static void add_variants(const struct kb_kernel *kernel, int room, struct kb_buf *out) {
    int n = kernel ? kernel->n_variants : 0;
    for (int v = 0; v < n; v++) {
        struct kb_buf more = {0};
        if (v + 1 < n)
            kb_buf_printf(&more, " +%d", n - v - 1);
        int wanted =
            (int)(out->len + strlen(kernel->variants[v].name) + more.len) + (v > 0);
        kb_buf_free(&more);
        if (room > 0 && v > 0 && wanted > room) {
            kb_buf_printf(out, " +%d", n - v);
            return;
        }
        kb_buf_printf(out, "%s%s", v ? " " : "", kernel->variants[v].name);
    }
}

/* Columns of the table of ops. On a narrow terminal variants go first, then dtypes. */
enum { C_OP, C_SHAPE, C_DTYPES, C_VARIANTS, C_CASES, C_COUNT };
struct ops_layout {
    bool shown[C_COUNT];
    int room; /* for variants; 0: no limit */
};

static struct ops_layout layout_of(const struct kb_strings *asked, int width) {
    enum { CASES = 5, GAP = 2, LEAST = 16 };
    struct ops_layout layout = {.shown = {true, true, true, true, true}};
    int op = 0, shape = 0, dtypes = 0;
    for (int i = 0; i < kb_op_count; i++) {
        struct kb_buf text = {0};
        if (!kb_list_wants(asked, kb_ops[i]))
            continue;
        add_dtypes(kb_ops[i], &text);
        int columns[] = {kb_columns(kb_ops[i]->name), kb_columns(kb_ops[i]->shape_form),
                         (int)text.len};
        op = columns[0] > op ? columns[0] : op;
        shape = columns[1] > shape ? columns[1] : shape;
        dtypes = columns[2] > dtypes ? columns[2] : dtypes;
        kb_buf_free(&text);
    }
    if (width <= 0)
        return layout;
    int left = width - (op + GAP + shape + GAP + CASES);
    layout.room = left - dtypes - 2 * GAP;
    layout.shown[C_VARIANTS] = layout.room >= LEAST;
    layout.shown[C_DTYPES] = left >= dtypes + GAP;
    return layout;
}

static void op_cell(const struct kb_op *op, int column, const struct kb_kernel *kernel,
                    int64_t cases, int room, struct kb_buf *out) {
    switch (column) {
    case C_OP:
        kb_buf_puts(out, op->name);
        break;
    case C_SHAPE:
        kb_buf_puts(out, op->shape_form);
        break;
    case C_DTYPES:
        add_dtypes(op, out);
        break;
    case C_VARIANTS:
        add_variants(kernel, room, out);
        break;
    default:
        kb_buf_printf(out, "%lld", (long long)cases);
    }
}

bool kb_list_ops(const struct kb_options *options, struct kb_counts *counts,
                 struct kb_buf *out, struct kb_complaints *c) {
    static const char *const heads[] = {"op", "--shape", "dtypes", "variants", "cases"};
    const struct kb_strings *asked = &options->query.ops;
    struct ops_layout layout = layout_of(asked, kb_terminal_width());
    struct kb_sheet sheet = {0};
    const struct kb_kernel *kernel = NULL; /* of the family of ops that stand together */
    struct kb_buf text = {0};
    for (int k = 0; k < C_COUNT; k++) {
        if (!layout.shown[k])
            continue;
        kb_sheet_cell(&sheet, heads[k]);
        sheet.right = k == C_CASES ? 1u << sheet.n_columns : 0;
        sheet.n_columns++;
    }
    kb_list_check_ops(asked, c);
    bool ok = !c->count && count_cases(counts, c);
    for (int i = 0; ok && i < kb_op_count; i++) {
        const struct kb_op *op = kb_ops[i];
        if (layout.shown[C_VARIANTS] && kb_list_wants(asked, op) &&
            (!kernel || !kb_kernel_has_op(kernel, op->name)))
            kernel = kb_list_kernel(op, &counts->arena, c);
        for (int k = 0; k < C_COUNT && kb_list_wants(asked, op); k++) {
            if (!layout.shown[k])
                continue;
            op_cell(op, k, kernel, counts->cases.of_op[i], layout.room, &text);
            kb_sheet_cell_of(&sheet, &text);
        }
    }
    kb_sheet_print(&sheet, out);
    kb_buf_free(&text);
    return !c->count;
}

/* Tags with a dot before a letter are names of single traps, act.pitch; the suites are
 * those without, and models such as kimi-k2.5. */
static bool is_trap(const char *tag) {
    const char *dot = strchr(tag, '.');
    return dot && !(dot[1] >= '0' && dot[1] <= '9');
}

/* Lines are as long as those of help. */
void kb_list_tags(const struct kb_counts *counts, int width, struct kb_buf *out) {
    struct kb_buf text = {0};
    int others = 0, at = KB_LIST_LABEL;
    kb_buf_printf(out, "%-*s", KB_LIST_LABEL, "tags");
    for (int t = 0; t <= counts->cases.n_tags; t++) {
        bool last = t == counts->cases.n_tags;
        kb_buf_clear(&text);
        if (!last && is_trap(counts->cases.tags[t]))
            others++;
        else if (!last)
            kb_buf_printf(&text, "%s %lld", counts->cases.tags[t],
                          (long long)counts->cases.of_tag[t]);
        else if (others)
            kb_buf_printf(&text, "and %d others: kbench list cases -v", others);
        if (!text.len)
            continue;
        if (at > KB_LIST_LABEL && at + 2 + (int)text.len > width) {
            kb_buf_printf(out, "\n%*s", KB_LIST_LABEL, "");
            at = KB_LIST_LABEL;
        }
        kb_buf_printf(out, "%s%s", at > KB_LIST_LABEL ? "  " : "", kb_buf_text(&text));
        at += (at > KB_LIST_LABEL ? 2 : 0) + (int)text.len;
    }
    kb_buf_putc(out, '\n');
    kb_buf_free(&text);
}
