/* help_op.c - kbench help OP: what an op computes, of what, within which limits. */
#include "cli/page.h"

#include <assert.h>
#include <string.h>

enum { LABEL = 10 };

/* Texts of the op pages are broken where their source is; here they flow. */
static void line(const char *label, const char *text, struct kb_page *page) {
    struct kb_buf flowing = {0};
    kb_buf_puts(&flowing, text);
    for (size_t i = 0; i < flowing.len; i++)
        if (flowing.data[i] == '\n')
            flowing.data[i] = ' ';
    int start = kb_columns(label) + 2; /* an op's name may be longer than a label */
    start = start > LABEL ? start : LABEL;
    kb_buf_printf(page->out, "%-*s", start, label);
    kb_wrap(kb_buf_text(&flowing), start, LABEL, page->width, page->out);
    kb_buf_putc(page->out, '\n');
    kb_buf_free(&flowing);
}

static void shape_line(const struct kb_op *op, struct kb_page *page) {
    struct kb_buf text = {0};
    kb_buf_puts(&text, op->shape_form);
    for (int i = 0; i < op->n_axes; i++)
        kb_buf_printf(&text, "%s%s", i ? ", " : "; axes of case files: ", op->axes[i]);
    line("shape", kb_buf_text(&text), page);
    kb_buf_free(&text);
}

static void dtype_line(const struct kb_op *op, struct kb_page *page) {
    struct kb_buf text = {0};
    for (int i = 0; i < op->n_dtypes; i++)
        kb_buf_printf(&text, "%s%s", i ? " " : "", kb_dtype_name(op->dtypes[i]));
    line("dtypes", kb_buf_text(&text), page);
    kb_buf_free(&text);
}

/* What a contract's expressions may use beside the parameters. */
static void name_line(const struct kb_op *op, const struct kb_problem *problem,
                      struct kb_page *page) {
    struct kb_buf text = {0};
    for (int i = 0; i < problem->n_names; i++) {
        int index;
        if (!kb_op_param(op, problem->names[i].name, &index))
            kb_buf_printf(&text, "%s%s", text.len ? ", " : "", problem->names[i].name);
    }
    if (text.len) {
        kb_buf_puts(&text, ": in expressions of a contract, beside the parameters");
        line("names", kb_buf_text(&text), page);
    }
    kb_buf_free(&text);
}

static bool is_exact(const struct kb_problem *problem) {
    bool exact = true;
    for (int i = 0; i < problem->n_tensors; i++)
        exact &=
            problem->tensors[i].role == KB_IN || problem->tensors[i].rule == KB_RULE_EXACT;
    return exact;
}

/* The tensors of the op's sample shape, as its resolve makes them. */
static void tensor_lines(const char *id, const struct kb_problem *problem,
                         struct kb_page *page) {
    static const char *const roles[] = {
        [KB_IN] = "in", [KB_OUT] = "out", [KB_INOUT] = "in and out"};
    int width = 0;
    kb_buf_printf(page->out, "%-*sof %s\n", LABEL, "tensors", id);
    for (int i = 0; i < problem->n_tensors; i++) {
        int columns = kb_columns(problem->tensors[i].name);
        width = columns > width ? columns : width;
    }
    for (int i = 0; i < problem->n_tensors; i++) {
        const struct kb_tensor_spec *t = &problem->tensors[i];
        struct kb_buf shape = {0};
        kb_shape_print(t->shape, t->rank, &shape);
        kb_buf_printf(page->out, "%-*s%-*s  %-10s  %s %s%s%s\n", LABEL, "", width, t->name,
                      roles[t->role], kb_buf_text(&shape), kb_dtype_name(t->dtype),
                      t->absent ? ", absent by default" : "",
                      t->role != KB_IN && t->rule == KB_RULE_EXACT ? ", exact" : "");
        kb_buf_free(&shape);
    }
}

static void param_range(const struct kb_param *param, struct kb_buf *out) {
    struct kb_buf text = {0};
    if (param->kind == KB_PARAM_WORD) {
        struct kb_arena arena = {0};
        struct kb_strings words = {0};
        kb_split(&arena, param->words, ',', &words);
        for (size_t i = 0; i < words.count; i++)
            kb_buf_printf(out, "%s%s", i ? "|" : "", words.items[i]);
        kb_arena_free(&arena);
    } else if (param->kind == KB_PARAM_LIST) {
        kb_buf_printf(out, "N+N+..., each %.0f to %.0f", param->min, param->max);
    } else {
        kb_value_print(param, (struct kb_value){.v = param->min}, out);
        kb_buf_puts(out, " to ");
        kb_value_print(param, (struct kb_value){.v = param->max}, out);
    }
    kb_value_print(param, (struct kb_value){.v = param->def}, &text);
    kb_buf_printf(out, " (%s)", text.len ? kb_buf_text(&text) : "none");
    kb_buf_free(&text);
}

static void param_lines(const struct kb_op *op, struct kb_page *page) {
    for (int i = 0; i < op->n_params; i++) {
        const struct kb_param *param = &op->params[i];
        struct kb_buf text = {0};
        kb_buf_printf(&text, "%s ", param->name);
        param_range(param, &text);
        kb_buf_printf(&text, ": %s", param->help);
        line(i ? "" : "set", kb_buf_text(&text), page);
        kb_buf_free(&text);
    }
}

static void fill_lines(const struct kb_op *op, struct kb_page *page) {
    for (int i = 0; i < op->n_fills; i++) {
        struct kb_buf text = {0};
        kb_buf_printf(&text, "%s%s: %s", kb_fill_word(op->fills[i]), i ? "" : " (default)",
                      kb_fill_why(op->fills[i]));
        line(i ? "" : "fills", kb_buf_text(&text), page);
        kb_buf_free(&text);
    }
}

static void peer_line(const struct kb_op *op, struct kb_page *page) {
    struct kb_buf text = {0};
    for (int i = 0; i < op->n_dtypes && op->peer_tolerance; i++) {
        struct kb_tolerance peer = {.rule = KB_TOL_GIVEN};
        op->peer_tolerance(op->dtypes[i], op->dtypes[i], &peer.atol, &peer.rtol);
        kb_buf_printf(&text, "%s%s ", i ? ", " : "", kb_dtype_name(op->dtypes[i]));
        kb_tolerance_words(&peer, &text);
    }
    if (text.len)
        line("peers", kb_buf_text(&text), page);
    kb_buf_free(&text);
}

static void rule_lines(const struct kb_op *op, const struct kb_problem *problem,
                       struct kb_page *page) {
    struct kb_buf text = {0};
    if (is_exact(problem)) {
        line("bound", "none: every bit must be right", page);
        return;
    }
    kb_buf_puts(&text, "the op's own decides, per element beyond half an ulp");
    if (op->fast_math_factor > 1)
        kb_buf_printf(&text, "; fast-math builds may use %s times as much",
                      kb_cell_number(op->fast_math_factor).text);
    line("bound", kb_buf_text(&text), page);
    kb_buf_free(&text);
    peer_line(op, page);
}

static void kernel_lines(const struct kb_op *op, struct kb_page *page) {
    struct kb_arena arena = {0};
    struct kb_kernel *kernel = kb_arena_alloc(&arena, sizeof *kernel);
    struct kb_complaints c = {0};
    struct kb_buf text = {0};
    if (kb_kernel_builtin(op, &arena, kernel, &c)) {
        line("kernel", kernel->path, page);
        for (int i = 0; i < kernel->n_variants; i++) {
            const struct kb_variant *variant = &kernel->variants[i];
            kb_buf_clear(&text);
            kb_buf_printf(&text, "%s: %s", variant->name, variant->why);
            if (variant->when)
                kb_buf_printf(&text, "; when %s", variant->when);
            line("", kb_buf_text(&text), page);
        }
    }
    kb_buf_clear(&text);
    kb_buf_printf(&text, "cases/%s.json", op->family);
    if (kb_asset_find(kb_buf_text(&text)))
        line("cases", kb_buf_text(&text), page);
    kb_buf_free(&text);
    kb_complaints_free(&c);
    kb_arena_free(&arena);
}

/* The op's sample shape with all defaults, which is known to be right. */
static void sample_of(const struct kb_op *op, struct kb_case *sample,
                      struct kb_problem *problem) {
    struct kb_err err = {0};
    kb_case_start(sample, op);
    bool ok = kb_shape_parse(op->sample, sample->shape, &sample->rank) &&
              kb_case_resolve(sample, problem, &err);
    assert(ok);
    (void)ok;
}

void kb_page_op(const struct kb_op *op, struct kb_page *page) {
    struct kb_arena arena = {0};
    struct kb_problem *problem = kb_arena_alloc(&arena, sizeof *problem);
    struct kb_case *sample = kb_arena_alloc(&arena, sizeof *sample);
    struct kb_buf command = {0};
    sample_of(op, sample, problem);
    line(op->name, op->formula, page);
    kb_buf_putc(page->out, '\n');
    shape_line(op, page);
    dtype_line(op, page);
    tensor_lines(kb_case_id(sample, &arena), problem, page);
    name_line(op, problem, page);
    param_lines(op, page);
    fill_lines(op, page);
    rule_lines(op, problem, page);
    if (op->catches)
        line("catches", op->catches, page);
    kernel_lines(op, page);
    kb_buf_printf(&command, "kbench --op %s --shape %s", op->name, op->sample);
    line("try", kb_buf_text(&command), page);
    kb_buf_free(&command);
    kb_arena_free(&arena);
}
