/* csv.c - a line per row for spreadsheets (RFC 4180), names that would be formulas made
 * text. */
#include "report/parts.h"

#include <math.h>
#include <string.h>

/* A field that a program would run as a formula gets an apostrophe; quotes are doubled. */
static void text_field(const char *text, struct kb_buf *out) {
    struct kb_buf safe = {0};
    text = text ? text : "";
    if (*text && strchr("=+-@\t\r", *text))
        kb_buf_putc(&safe, '\'');
    kb_escape(&safe, text, strlen(text));
    const char *p = kb_buf_text(&safe);
    if (strpbrk(p, "\",;") || *p == ' ') {
        kb_buf_putc(out, '"');
        for (; *p; p++) {
            if (*p == '"')
                kb_buf_putc(out, '"');
            kb_buf_putc(out, *p);
        }
        kb_buf_putc(out, '"');
    } else {
        kb_buf_puts(out, p);
    }
    kb_buf_free(&safe);
}

static void add_text(const char *text, struct kb_buf *out) {
    kb_buf_putc(out, ',');
    text_field(text, out);
}

static void add_whole(bool known, int64_t value, struct kb_buf *out) {
    kb_buf_putc(out, ',');
    if (known)
        kb_buf_printf(out, "%lld", (long long)value);
}

/* What is not known or is no number is an empty field, never 0. */
static void add_number(bool known, double value, struct kb_buf *out) {
    kb_buf_putc(out, ',');
    if (known && isfinite(value))
        kb_buf_printf(out, "%.8g", value);
}

static void add_heads(struct kb_buf *out) {
    kb_buf_puts(out,
                "case,op,shape,dtype,fill,seed,device,backend,build,kernel,variant,"
                "verdict,reason_kind,reason,elements,checked,over,unwritten,out_of_bounds,"
                "inputs_changed,err_over_bound,ulp_max,ulp_p99,abs_max,rel_max,ulp_p50,"
                "bias_ulp,nmse,bytes,flops");
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        static const char *const fields[] = {"median_ns", "low_ns",     "high_ns", "min_ns",
                                             "gb_per_s",  "ceiling_ns", "quality"};
        for (size_t i = 0; i < KB_COUNT(fields); i++)
            kb_buf_printf(out, ",%s_%s", kb_method_word((enum kb_method)m), fields[i]);
    }
    kb_buf_puts(out, ",registers,spill_bytes,shared_bytes,code_bytes,where,inputs,holds,"
                     "smallest,repeat,blocks_per_sm,occupancy,waves,against_build,"
                     "against_variant,same_code,bits_differ");
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        static const char *const fields[] = {"ratio", "ratio_low", "ratio_high", "speed"};
        for (size_t i = 0; i < KB_COUNT(fields); i++)
            kb_buf_printf(out, ",%s_%s", kb_method_word((enum kb_method)m), fields[i]);
    }
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        kb_buf_printf(out, ",%s_duty", kb_method_word((enum kb_method)m));
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        kb_buf_printf(out, ",%s_p99_ns,%s_stopped", kb_method_word((enum kb_method)m),
                      kb_method_word((enum kb_method)m));
    kb_buf_puts(out, ",compile_ms,load_ms,cached,energy_uj\n");
}

enum { METRICS = 8 };

/* The one further from 0, of those that are there; a bias has a sign. */
static double worse(double a, double b) {
    return isnan(a) || fabs(b) > fabs(a) ? b : a;
}

/* Sums and worst values over a row's outputs. */
static void add_outputs(const struct kb_row *row, struct kb_buf *out) {
    int64_t elements = 0, checked = 0, over = 0;
    double worst[METRICS];
    for (int k = 0; k < METRICS; k++)
        worst[k] = NAN;
    for (int i = 0; i < row->n_outputs; i++) {
        const struct kb_output_report *o = &row->outputs[i];
        const double values[METRICS] = {o->err_over_bound, o->ulp_max, o->ulp_p99,
                                        o->abs_max,        o->rel_max, o->ulp_p50,
                                        o->bias_ulp,       o->nmse};
        elements += o->elements;
        checked += o->checked;
        over += o->over;
        for (int k = 0; k < METRICS && !o->exact && o->elements; k++)
            worst[k] = worse(worst[k], values[k]);
    }
    add_whole(row->checked, elements, out);
    add_whole(row->checked, checked, out);
    add_whole(row->checked, over, out);
    add_whole(row->checked, row->unwritten, out);
    add_whole(row->checked, row->out_of_bounds, out);
    add_whole(row->checked, row->inputs_changed, out);
    for (int k = 0; k < METRICS; k++)
        add_number(row->checked, worst[k], out);
}

static void add_time(const struct kb_time *t, struct kb_buf *out) {
    add_number(t->there, t->median_ns, out);
    add_number(t->there, t->low_ns, out);
    add_number(t->there, t->high_ns, out);
    add_number(t->there, t->min_ns, out);
    add_number(t->there, t->gb_per_s, out);
    add_number(t->there, t->ceiling_ns, out);
    add_text(t->there ? kb_quality_word(t->quality) : "", out);
}

/* Of the first output that is wrong. */
static void add_local(const struct kb_row *row, struct kb_buf *out) {
    const struct kb_local *local = NULL;
    for (int i = 0; i < row->n_outputs && !local; i++)
        local = row->outputs[i].local;
    add_text(local ? local->where : NULL, out);
    add_text(local ? local->inputs : NULL, out);
    add_text(local ? local->holds : NULL, out);
}

static void add_occupancy(const struct kb_occupancy *o, struct kb_buf *out) {
    bool known = o->blocks_per_sm > 0;
    add_whole(known, o->blocks_per_sm, out);
    add_number(known, o->share, out);
    add_number(known, o->waves, out);
}

/* Beside the first build or variant of its case. */
static void add_against(const struct kb_against *a, struct kb_buf *out) {
    static const struct kb_against none = {.same_code = -1, .elements = -1};
    a = a ? a : &none;
    add_text(a->build, out);
    add_text(a->variant, out);
    add_whole(a->same_code >= 0, a->same_code, out);
    add_whole(a->elements >= 0, a->differing, out);
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const struct kb_speed *s = &a->speeds[m];
        add_number(s->there, s->ratio, out);
        add_number(s->there, s->low, out);
        add_number(s->there, s->high, out);
        add_text(s->there ? kb_speed_word(s->verdict) : "", out);
    }
}

static void add_row(const struct kb_row *row, struct kb_buf *out) {
    struct kb_buf shape = {0}, seed = {0};
    const struct kb_code_info *code = &row->code;
    kb_shape_print(row->shape, row->rank, &shape);
    kb_buf_printf(&seed, "%llu", (unsigned long long)row->seed);
    text_field(row->case_id, out);
    const char *const texts[] = {
        row->op,
        kb_buf_text(&shape),
        kb_dtype_name(row->dtype),
        row->fill,
        kb_buf_text(&seed),
        row->device,
        row->backend,
        row->build,
        row->kernel,
        row->variant,
        kb_verdict_word(kb_reason_verdict(row->reason)),
        kb_reason_word(row->reason),
        row->text,
    };
    for (size_t i = 0; i < KB_COUNT(texts); i++)
        add_text(texts[i], out);
    add_outputs(row, out);
    add_whole(row->bytes > 0, row->bytes, out);
    add_whole(row->flops > 0, row->flops, out);
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        add_time(&row->times[m], out);
    add_whole(row->built && code->registers >= 0, code->registers, out);
    add_whole(row->built && code->spill_bytes >= 0, code->spill_bytes, out);
    add_whole(row->built && code->shared_bytes >= 0, code->shared_bytes, out);
    add_whole(row->built && code->code_bytes >= 0, code->code_bytes, out);
    add_local(row, out);
    add_text(row->smallest ? row->smallest->case_id : NULL, out);
    add_text(row->repeat, out);
    add_occupancy(&row->occupancy, out);
    add_against(row->against, out);
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const struct kb_time *t = &row->times[m];
        add_number(t->there, t->duty > 0 ? t->duty : 1, out);
    }
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const struct kb_time *t = &row->times[m];
        add_number(t->there, t->p99_ns, out);
        add_text(t->there ? t->stopped : "", out);
    }
    add_number(row->built, code->compile_ms, out);
    add_number(row->built && code->load_ms > 0, code->load_ms, out);
    add_whole(row->built, code->cached, out);
    add_number(true, kb_row_energy(row), out);
    kb_buf_putc(out, '\n');
    kb_buf_free(&shape);
    kb_buf_free(&seed);
}

bool kb_write_csv(struct kb_rows *rows, struct kb_sink *sink, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_row row;
    struct kb_err why = {0};
    add_heads(&sink->text);
    while (kb_rows_next(rows, &arena, &row, &why)) {
        add_row(&row, &sink->text);
        kb_arena_reset(&arena);
        kb_sink_room(sink);
    }
    kb_arena_free(&arena);
    return !why.kind || kb_fail(err, why.kind, "%s", why.msg);
}
