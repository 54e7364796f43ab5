/* single.c - the screen of one case: verdict, error, times and code; or what is wrong. */
#include "report/parts.h"
#include "screen.h"

#include <math.h>
#include <string.h>

enum { VERDICT_LINE = 89, LABEL = KB_LABEL };

void kb_single_label(const char *text, struct kb_buf *out) {
    kb_buf_printf(out, "%-*s", LABEL, text);
}

void kb_single_paragraph(const struct kb_single *single, const char *name, const char *text,
                         struct kb_buf *out) {
    struct kb_buf safe = {0};
    int width = single->look.width;
    kb_escape_lines(&safe, text, strlen(text));
    kb_single_label(name, out);
    kb_wrap(kb_buf_text(&safe), LABEL, LABEL,
            width > 0 && width < KB_SENTENCE_WIDTH ? width : KB_SENTENCE_WIDTH, out);
    kb_buf_putc(out, '\n');
    kb_buf_free(&safe);
}

void kb_single_verdict(const struct kb_single *single, const struct kb_row *row,
                       struct kb_buf *out) {
    enum kb_verdict verdict = kb_reason_verdict(row->reason);
    int line = single->look.width > 0 && single->look.width < VERDICT_LINE
                   ? single->look.width
                   : VERDICT_LINE;
    struct kb_buf middle = {0}, device = {0}, safe = {0};
    kb_buf_printf(&middle, "  %s   %s   ", row->case_id, row->build);
    kb_variant_words(row, &middle);
    kb_escape(&safe, kb_buf_text(&middle), middle.len);
    kb_buf_clear(&middle);
    kb_device_words(single->device, &middle);
    kb_escape(&device, kb_buf_text(&middle), middle.len);
    kb_verdict_words(verdict, single->look.color, out);
    kb_buf_puts(out, kb_buf_text(&safe));
    int used = kb_columns(kb_verdict_word(verdict)) + kb_columns(kb_buf_text(&safe));
    int pad = line - used - kb_columns(kb_buf_text(&device));
    if (pad < 3 && single->look.width > 0) /* no room beside it */
        kb_buf_printf(out, "\n%*s%s\n", LABEL, "", kb_buf_text(&device));
    else
        kb_buf_printf(out, "%*s%s\n", pad < 3 ? 3 : pad, "", kb_buf_text(&device));
    kb_buf_free(&middle);
    kb_buf_free(&device);
    kb_buf_free(&safe);
}

/* ---- right -----------------------------------------------------------------------------
 */

static void tolerance_line(const struct kb_output_report *o, struct kb_buf *out) {
    kb_buf_printf(out, "%*s", LABEL, "");
    kb_tolerance_words(&o->tolerance, out);
    kb_buf_printf(out, ": %lld of %lld over, the worst uses %s of it",
                  (long long)o->tolerance_over, (long long)o->checked,
                  kb_cell_ratio(o->tolerance_used).text);
    if (o->tolerance.rule != KB_TOL_BOUND)
        kb_buf_puts(out, "; this rule decides");
    kb_buf_putc(out, '\n');
}

static void more_error_line(const struct kb_output_report *o, struct kb_buf *out) {
    kb_buf_printf(out, "%*sp50 %s ulp    bias %s ulp    NMSE %s\n", LABEL, "",
                  kb_cell_ratio(o->ulp_p50).text, kb_cell_error(o->bias_ulp).text,
                  kb_cell_error(o->nmse).text);
}

static void error_lines(const struct kb_single *single, const struct kb_row *row,
                        struct kb_buf *out) {
    for (int i = 0; i < row->n_outputs; i++) {
        const struct kb_output_report *o = &row->outputs[i];
        kb_single_label(i ? "" : "error", out);
        if (row->n_outputs > 1)
            kb_buf_printf(out, "%s: ", o->name);
        if (o->elements == 0) {
            kb_buf_puts(out, "no elements, nothing to compare\n");
        } else if (o->exact) {
            kb_buf_printf(out, "%lld of %lld differ, equal bits are wanted\n",
                          (long long)o->over, (long long)o->checked);
        } else {
            kb_buf_printf(out,
                          "%s of bound    max %s ulp    p99 %s ulp    abs %s    rel %s\n",
                          kb_cell_ratio(o->err_over_bound).text,
                          kb_cell_ratio(o->ulp_max).text, kb_cell_ratio(o->ulp_p99).text,
                          kb_cell_error(o->abs_max).text, kb_cell_error(o->rel_max).text);
            tolerance_line(o, out);
            if (single->look.verbose)
                more_error_line(o, out);
        }
    }
}

/* Wrong outputs that the rule was tried on. */
static void impostor_line(const struct kb_single *single, const struct kb_row *row,
                          struct kb_buf *out) {
    const struct kb_impostors *i = &row->impostors;
    struct kb_buf text = {0};
    bool said = row->reason == KB_R_NONE || row->reason == KB_R_IMPOSTOR;
    if (!row->proved || !said || i->tried + i->left_out == 0)
        return;
    if (i->tried == 0)
        kb_buf_puts(&text, "none to try");
    else if (i->let_through.count == 0)
        kb_buf_printf(&text, "%d wrong outputs tried, none would pass", i->tried);
    else
        kb_buf_printf(&text, "%zu of %d wrong outputs would pass", i->let_through.count,
                      i->tried);
    for (size_t k = 0; k < i->let_through.count; k++)
        kb_buf_printf(&text, "%s%s", k ? ", " : ": ", i->let_through.items[k]);
    if (i->left_out > 0)
        kb_buf_printf(&text, "; %d left out that %s right here", i->left_out,
                      i->left_out == 1 ? "is" : "are");
    kb_single_paragraph(single, "impostors", kb_buf_text(&text), out);
    kb_buf_free(&text);
}

static void load_line(const struct kb_single *single, const struct kb_row *row,
                      struct kb_buf *out) {
    struct kb_buf text = {0};
    if (!row->load)
        return;
    kb_buf_printf(&text, "those of %s, not the fill's", row->load);
    kb_single_paragraph(single, "inputs", kb_buf_text(&text), out);
    kb_buf_free(&text);
}

static void sample_line(const struct kb_single *single, const struct kb_row *row,
                        struct kb_buf *out) {
    struct kb_buf text = {0};
    kb_sampled_words(row, &text);
    if (text.len && row->orders > 1)
        kb_buf_puts(&text, "; of the others, that each launch leaves the same bits");
    else if (text.len)
        kb_buf_puts(&text, "; nothing is known of the others");
    if (text.len)
        kb_single_paragraph(single, "sample", kb_buf_text(&text), out);
    kb_buf_free(&text);
}

/* Where the machine code came from and went to. */
static void compile_words(const struct kb_single *single, const struct kb_row *row,
                          const char *compiler, struct kb_buf *out) {
    if (row->code.cached) {
        kb_buf_puts(out, "from the cache");
        return;
    }
    kb_buf_printf(out, "%s %s, %s", compiler, kb_cell_ms(row->code.compile_ms).text,
                  single->no_cache ? "not cached" : "now cached");
}

static void code_line(const struct kb_single *single, const struct kb_row *row,
                      struct kb_buf *out) {
    const struct kb_code_info *code = &row->code;
    struct kb_buf text = {0};
    if (kb_streq(row->backend, "host")) {
        const char *name = single->device->compiler;
        kb_buf_printf(&text, "the same %s through %.*s%s", row->kernel,
                      (int)strcspn(name, " "), name, code->cached ? ", " : "");
        compile_words(single, row, " in", &text);
    } else {
        if (code->registers >= 0)
            kb_buf_printf(&text, "%d registers, ", code->registers);
        if (code->spill_bytes >= 0)
            kb_buf_printf(&text, "%lld spilled, ", (long long)code->spill_bytes);
        if (code->shared_bytes >= 0)
            kb_buf_printf(&text, "%lld B shared, ", (long long)code->shared_bytes);
        if (code->code_bytes >= 0)
            kb_buf_printf(&text, "%s, ", kb_cell_bytes((double)code->code_bytes).text);
        if (row->n_launches > 1)
            kb_buf_printf(&text, "%d launches, ", row->n_launches);
        if (text.len)
            kb_buf_cut(&text, text.len - 2);
        kb_buf_puts(&text, text.len ? "; " : "");
        compile_words(single, row, kb_starts_with(row->build, "aot") ? "nvcc" : "NVRTC",
                      &text);
        if (single->look.verbose && code->load_ms > 0)
            kb_buf_printf(&text, ", loaded in %s", kb_cell_ms(code->load_ms).text);
        if (single->look.verbose && row->occupancy.blocks_per_sm > 0)
            kb_buf_printf(&text, "; %d blocks per SM (%.0f %%), %s waves",
                          row->occupancy.blocks_per_sm, 100 * row->occupancy.share,
                          kb_cell_waves(row->occupancy.waves).text);
    }
    kb_single_paragraph(single, "code", kb_buf_text(&text), out);
    kb_buf_free(&text);
}

static void tried_line(const struct kb_single *single, const char *name,
                       const struct kb_row *row, struct kb_buf *out) {
    struct kb_buf text = {0};
    kb_tried_words(row, &text);
    kb_single_paragraph(single, name, kb_buf_text(&text), out);
    kb_buf_free(&text);
}

static void host_lines(const struct kb_single *single, const struct kb_row *row,
                       struct kb_buf *out) {
    if (row->checked && row->orders >= 3)
        tried_line(single, "orders", row, out);
    else if (row->checked)
        kb_single_paragraph(single, "memory", "guards and inputs untouched", out);
    if (row->built)
        code_line(single, row, out);
    if (row->checked)
        kb_single_paragraph(
            single, "time",
            "none: CPU fibers stand in for GPU threads, so their time is no GPU time", out);
}

/* ---- the screen ------------------------------------------------------------------------
 */

static void spent_line(const struct kb_single *single, const struct kb_row *row,
                       struct kb_buf *out) {
    struct kb_buf text = {0};
    kb_buf_printf(&text, "build %s, ", kb_cell_ms(row->ms_build).text);
    kb_buf_printf(&text, "check %s, ", kb_cell_ms(row->ms_check).text);
    kb_buf_printf(&text, "time %s, ", kb_cell_ms(row->ms_time).text);
    kb_buf_printf(&text, "%s in all", kb_cell_ms(row->ms_total).text);
    kb_single_paragraph(single, "spent", kb_buf_text(&text), out);
    kb_buf_free(&text);
}

static void print_rest(const struct kb_single *single, const struct kb_row *row,
                       struct kb_buf *out) {
    bool timed = kb_row_time(row) != NULL;
    bool right = row->reason == KB_R_NONE;
    bool host = kb_streq(row->backend, "host");
    if (!right)
        kb_single_wrong(single, row, out);
    if (row->checked && !kb_row_worst(row))
        error_lines(single, row, out);
    impostor_line(single, row, out);
    load_line(single, row, out);
    sample_line(single, row, out);
    if (timed)
        kb_single_times(single, row, out);
    if (!host && right && row->checked && !timed && row->repeats + row->orders > 1)
        tried_line(single, "repeats", row, out);
    if (host && right)
        host_lines(single, row, out);
    else if (row->built && !(host && row->checked))
        code_line(single, row, out);
    if (timed)
        kb_single_clocks(single, row, out);
    if (row->warning)
        kb_single_paragraph(single, "warning", row->warning, out);
    if (single->look.verbose)
        spent_line(single, row, out);
    if (!right)
        kb_single_next(row, out);
}

void kb_single_print(const struct kb_single *single, const struct kb_row *row,
                     struct kb_buf *out) {
    struct kb_buf rest = {0};
    kb_single_verdict(single, row, out);
    kb_buf_putc(out, '\n');
    print_rest(single, row, &rest);
    if (single->look.width > 0)
        kb_single_fold(kb_buf_text(&rest), single->look.width, out);
    else
        kb_buf_puts(out, kb_buf_text(&rest));
    kb_buf_free(&rest);
}
