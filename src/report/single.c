/* single.c - the screen of one case: verdict, error, times and code; or what is wrong. */
#include "report/parts.h"
#include "screen.h"

#include <math.h>
#include <string.h>

enum { VERDICT_LINE = 89, LABEL = KB_LABEL, TIMES_WIDTH = 66 };

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

/* Why a time has not the precision that was asked for. */
static const struct {
    const char *word, *text;
} stops[] = {
    {"time", "not that precise in the time there was"},
    {"samples", "not that precise in the samples there were"},
    {"tick", "the timer's tick is too coarse for the precision"},
};

/* What the numbers of a timing line leave out. */
static void time_notes(enum kb_method method, const struct kb_time *t, struct kb_buf *out) {
    static const char *const floors[KB_METHOD_COUNT] = {
        [KB_GRAPH] = "an empty node",   [KB_PDL] = "an empty node",
        [KB_COLD] = "the event pair",   [KB_HOT] = "the event pair",
        [KB_CUPTI] = "an empty kernel",
    };
    const char *separator = "   ";
    if (isnan(t->gb_per_s) && floors[method] && isfinite(t->floor_ns) && t->floor_ns > 0) {
        kb_buf_printf(out, "%s%s of it is %s", separator, kb_cell_us(t->floor_ns).text,
                      floors[method]);
        separator = ", ";
    } else if (method == KB_LAUNCH) {
        kb_buf_printf(out, "%sof the host", separator);
        separator = ", ";
    }
    if (t->quality != KB_Q_OK || t->duty > 0) {
        kb_buf_puts(out, separator);
        kb_time_words(t, out);
        separator = ", ";
    }
    for (size_t i = 0; i < KB_COUNT(stops) && t->stopped; i++)
        if (kb_streq(stops[i].word, t->stopped))
            kb_buf_printf(out, "%s%s", separator, stops[i].text);
}

/* What an empty kernel takes by the same methods in the same run, and events alone. */
static void floor_line(const struct kb_single *single, const struct kb_row *row,
                       struct kb_buf *out) {
    struct kb_buf text = {0};
    double timer_ns = NAN;
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const struct kb_time *t = &row->times[m];
        bool known = t->there && isfinite(t->floor_ns) && t->floor_ns > 0;
        if (known)
            kb_buf_printf(&text, "%s %s %s", text.len ? "," : "an empty kernel:",
                          kb_method_word((enum kb_method)m), kb_cell_us(t->floor_ns).text);
        if (t->there && (m == KB_COLD || m == KB_HOT))
            timer_ns = t->timer_ns;
    }
    if (text.len)
        kb_buf_puts(&text, " us");
    if (text.len && timer_ns > 0)
        kb_buf_printf(&text, "; two events and nothing between them: %s us",
                      kb_cell_us(timer_ns).text);
    if (text.len)
        kb_single_paragraph(single, "floor", kb_buf_text(&text), out);
    kb_buf_free(&text);
}

/* What is odd about a time, in words; where several say the same, once. */
static void quality_lines(const struct kb_single *single, const struct kb_row *row,
                          struct kb_buf *out) {
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const struct kb_time *t = &row->times[m];
        struct kb_buf text = {0};
        if (!t->there || !t->why)
            continue;
        kb_buf_printf(&text, "%s is %s: %s", kb_method_word((enum kb_method)m),
                      kb_quality_word(t->quality), t->why);
        kb_single_paragraph(single, "quality", kb_buf_text(&text), out);
        kb_buf_free(&text);
    }
}

static void energy_line(const struct kb_row *row, struct kb_buf *out) {
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const struct kb_time *t = &row->times[m];
        if (!t->there || !(t->energy_uj > 0))
            continue;
        kb_single_label("energy", out);
        kb_buf_printf(out, "%s uJ a launch, %.0f W, by %s\n",
                      kb_cell_ratio(t->energy_uj).text, t->energy_uj / t->median_ns * 1e3,
                      kb_method_word((enum kb_method)m));
    }
}

static void time_lines(const struct kb_single *single, const struct kb_row *row,
                       struct kb_buf *out) {
    bool narrow = single->look.width > 0 && single->look.width < TIMES_WIDTH;
    kb_buf_printf(out, "\n%-8s%8s  %6s  %6s", "time us", "median", " \302\261", "min");
    if (!narrow)
        kb_buf_printf(out, "  %6s  %5s", "p99", "n");
    kb_buf_printf(out, "  %6s  %8s\n", "GB/s", "ceiling");
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const struct kb_time *t = &row->times[m];
        if (!t->there)
            continue;
        double half = (t->high_ns - t->low_ns) / 2 / t->median_ns;
        kb_buf_printf(out, "%-8s%8s  %5s  %6s", kb_method_word((enum kb_method)m),
                      kb_cell_us(t->median_ns).text, kb_cell_spread(half).text,
                      kb_cell_us(t->min_ns).text);
        if (!narrow)
            kb_buf_printf(out, "  %6s  %5lld", kb_cell_us(t->p99_ns).text, (long long)t->n);
        kb_buf_printf(
            out, "  %6s  %8s", kb_cell_rate(t->gb_per_s).text,
            kb_cell_percent(isfinite(t->ceiling_ns) ? t->ceiling : (double)NAN).text);
        time_notes((enum kb_method)m, t, out);
        kb_buf_putc(out, '\n');
    }
    kb_buf_putc(out, '\n');
}

/* A report that is read may hold any numbers. */
static int64_t blocks_of(const struct kb_row *row) {
    int64_t blocks = row->grid[0];
    if (!kb_mul_i64(blocks, row->grid[1], &blocks) ||
        !kb_mul_i64(blocks, row->grid[2], &blocks))
        return INT64_MAX;
    return blocks;
}

static void limit_line(const struct kb_single *single, const struct kb_row *row,
                       struct kb_buf *out) {
    const struct kb_time *t = kb_row_time(row);
    if (!row->limited_by)
        return;
    kb_buf_printf(out, "limited by %s: %s, %lld blocks on %lld SMs", row->limited_by,
                  kb_cell_bytes((double)row->bytes).text, (long long)blocks_of(row),
                  (long long)single->device->limits.sm_count);
    if (t && t->sets > 0)
        kb_buf_printf(out, "; inputs rotate over %d sets (%s, L2 %s)", t->sets,
                      kb_cell_bytes((double)t->footprint_bytes).text,
                      kb_cell_bytes((double)single->device->l2_bytes).text);
    kb_buf_putc(out, '\n');
}

static void clock_line(const struct kb_single *single, const struct kb_row *row,
                       struct kb_buf *out) {
    int low = 0, high = 0;
    const char *throttle = "";
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const struct kb_time *t = &row->times[m];
        if (!t->there || t->sm_mhz_max <= 0)
            continue;
        low = !low || t->sm_mhz_min < low ? t->sm_mhz_min : low;
        high = t->sm_mhz_max > high ? t->sm_mhz_max : high;
        throttle = t->throttle && *t->throttle ? t->throttle : throttle;
    }
    kb_single_label("clocks", out);
    if (!high) { /* and so nothing of locks, throttling and other processes either */
        kb_buf_puts(out, "not known, nor throttling: NVML tells none\n");
        return;
    }
    kb_buf_puts(out, single->device->clocks_locked ? "locked" : "not locked");
    if (low == high)
        kb_buf_printf(out, ", SM %d MHz while timed, ", high);
    else
        kb_buf_printf(out, ", SM %d to %d MHz while timed, ", low, high);
    if (kb_streq(throttle, "unknown"))
        kb_buf_puts(out, "throttling not known: NVML does not tell");
    else
        kb_buf_printf(out, "%s%s", *throttle ? "throttled: " : "no throttling", throttle);
    kb_buf_putc(out, '\n');
    if (!single->device->clocks_locked && *single->device->lock)
        kb_buf_printf(out, "%*s%s locks them, -rgc in place of it sets them free\n", LABEL,
                      "", single->device->lock);
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
        time_lines(single, row, out);
    if (timed)
        limit_line(single, row, out);
    if (timed)
        floor_line(single, row, out);
    quality_lines(single, row, out);
    energy_line(row, out);
    if (!host && right && row->checked && !timed && row->repeats + row->orders > 1)
        tried_line(single, "repeats", row, out);
    if (host && right)
        host_lines(single, row, out);
    else if (row->built && !(host && row->checked))
        code_line(single, row, out);
    if (timed)
        clock_line(single, row, out);
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
