/* words.c - what is wrong with a row, and where, in words. */
#include "screen.h"

#include <math.h>
#include <string.h>

void kb_device_words(const struct kb_device_info *device, struct kb_buf *out) {
    if (kb_streq(device->backend, "host"))
        kb_buf_printf(out, "host, %d cores, %s", device->cores, device->compiler);
    else
        kb_buf_printf(out, "%s sm_%lld", device->name, (long long)device->limits.sm);
}

/* One line of facts that all rows share, joined by bars; it may be broken at a bar. */
static void add_fact(struct kb_buf *line, const char *fact) {
    if (!*fact)
        return;
    if (line->len)
        kb_buf_puts(line, " | ");
    kb_escape(line, fact, strlen(fact));
}

static void device_facts(const struct kb_facts *facts, struct kb_buf *line) {
    struct kb_buf text = {0};
    const struct kb_device_info *gpu = NULL;
    for (int i = 0; i < facts->n_devices; i++) {
        const struct kb_device_info *device = &facts->devices[i];
        bool cuda = kb_streq(device->backend, "cuda");
        kb_buf_clear(&text);
        if (facts->n_devices > 1 && cuda)
            kb_buf_printf(&text, "%s ", device->id);
        kb_device_words(device, &text);
        add_fact(line, kb_buf_text(&text));
        gpu = cuda ? device : gpu;
    }
    kb_buf_clear(&text);
    if (gpu && *gpu->driver)
        kb_buf_printf(&text, "driver %s", gpu->driver);
    if (gpu && *gpu->nvrtc)
        kb_buf_printf(&text, "%sNVRTC %s", text.len ? ", " : "", gpu->nvrtc);
    add_fact(line, kb_buf_text(&text));
    kb_buf_free(&text);
}

static void clock_facts(const struct kb_facts *facts, struct kb_buf *line) {
    int locked = 0, gpus = 0;
    for (int i = 0; i < facts->n_devices; i++) {
        gpus += kb_streq(facts->devices[i].backend, "cuda");
        locked += facts->devices[i].clocks_locked;
    }
    if (gpus)
        add_fact(line, locked == gpus ? "clocks locked"
                       : locked       ? "clocks locked on some"
                                      : "clocks not locked");
}

void kb_facts_words(const struct kb_facts *facts, enum kb_layout layout, const char *shared,
                    struct kb_buf *out) {
    static const char *const ends[] = {
        [KB_LAYOUT_BUILD] = "built, not run",
        [KB_LAYOUT_CHECK] = "checked, not timed",
        [KB_LAYOUT_BENCH] = "",
    };
    struct kb_buf builds = {0};
    device_facts(facts, out);
    kb_buf_puts(&builds, facts->n_builds > 1 ? "builds" : "build");
    for (int i = 0; i < facts->n_builds; i++)
        kb_buf_printf(&builds, "%s %s", i ? "," : "", facts->builds[i].name);
    add_fact(out, kb_buf_text(&builds));
    add_fact(out, shared);
    add_fact(out, ends[layout]);
    if (layout == KB_LAYOUT_BENCH)
        clock_facts(facts, out);
    kb_buf_free(&builds);
}

void kb_variant_words(const struct kb_row *row, struct kb_buf *out) {
    bool own = row->kernel && !kb_starts_with(row->kernel, "kernels/");
    if (own) {
        const char *slash = strrchr(row->kernel, '/');
        kb_buf_puts(out, slash ? slash + 1 : row->kernel);
    }
    if (row->variant && *row->variant)
        kb_buf_printf(out, "%s%s", own ? ":" : "", row->variant);
    else if (!own)
        kb_buf_putc(out, '-');
}

/* ---- rows ------------------------------------------------------------------------------
 */

bool kb_row_is_repeated(const struct kb_row *row) {
    enum kb_verdict verdict = kb_reason_verdict(row->reason);
    return verdict != KB_PASS && verdict != KB_SKIP;
}

static double worst_of(const struct kb_row *row, bool ulp) {
    double worst = NAN;
    if (!row->checked || row->unwritten > 0)
        return NAN;
    for (int i = 0; i < row->n_outputs; i++) {
        const struct kb_output_report *o = &row->outputs[i];
        double value = ulp ? o->ulp_max : o->err_over_bound;
        if (o->elements > 0 && !o->exact)
            worst = fmax(worst, value); /* of those that are there */
    }
    return worst;
}

double kb_row_error(const struct kb_row *row) {
    return worst_of(row, false);
}

double kb_row_ulp(const struct kb_row *row) {
    return worst_of(row, true);
}

/* ---- where -----------------------------------------------------------------------------
 */

static int64_t row_length(const struct kb_output_report *o) {
    return o->rank > 0 ? o->shape[o->rank - 1] : 1;
}

static int digits_of(int64_t n) {
    int digits = 1;
    for (; n >= 10; n /= 10)
        digits++;
    return digits;
}

void kb_index_words(const struct kb_output_report *output, int64_t flat, bool padded,
                    struct kb_buf *out) {
    int64_t index[KB_MAX_RANK] = {0};
    for (int i = output->rank - 1; i >= 0; i--) {
        int64_t size = output->shape[i] > 0 ? output->shape[i] : 1;
        index[i] = flat % size;
        flat /= size;
    }
    kb_buf_putc(out, '[');
    for (int i = 0; i < output->rank; i++)
        kb_buf_printf(out, "%s%*lld", i ? ", " : "",
                      padded ? digits_of(output->shape[i] - 1) : 0, (long long)index[i]);
    kb_buf_putc(out, ']');
}

/* Wrong elements without a gap that are whole rows. */
static bool are_whole_rows(const struct kb_output_report *o, int64_t *first,
                           int64_t *last) {
    int64_t length = row_length(o);
    if (o->rank < 2 || length < 1 || o->first_bad < 0 ||
        o->over != o->last_bad - o->first_bad + 1 || o->first_bad % length != 0 ||
        (o->last_bad + 1) % length != 0)
        return false;
    *first = o->first_bad / length;
    *last = o->last_bad / length;
    return true;
}

static void range_words(const char *one, int64_t first, int64_t last, struct kb_buf *out) {
    if (first == last)
        kb_buf_printf(out, "%s %lld", one, (long long)first);
    else
        kb_buf_printf(out, "%ss %lld..%lld", one, (long long)first, (long long)last);
}

void kb_where_words(const struct kb_output_report *output, struct kb_buf *out) {
    int64_t length = row_length(output), first, last;
    int64_t from = output->first_bad, to = output->last_bad;
    if (from < 0)
        return;
    if (are_whole_rows(output, &first, &last)) {
        int64_t rows = output->elements / length;
        range_words("row", first, last, out);
        if (last == rows - 1 && first > 0)
            kb_buf_printf(out, ", the last of %lld", (long long)rows);
        return;
    }
    if (from == to) {
        kb_index_words(output, from, false, out);
        return;
    }
    bool solid = output->over == to - from + 1;
    if (solid && output->rank == 1) {
        range_words("element", from, to, out);
    } else if (solid && from / length == to / length) {
        range_words("column", from % length, to % length, out);
        kb_buf_printf(out, " of row %lld", (long long)(from / length));
    } else {
        kb_buf_puts(out, solid ? "" : "between ");
        kb_index_words(output, from, false, out);
        kb_buf_puts(out, solid ? " to " : " and ");
        kb_index_words(output, to, false, out);
        kb_buf_puts(out, solid ? " without a gap" : "");
    }
}

void kb_sampled_words(const struct kb_row *row, struct kb_buf *out) {
    for (int i = 0; row->checked && i < row->n_outputs; i++) {
        const struct kb_output_report *o = &row->outputs[i];
        int64_t length = row_length(o);
        if (o->checked >= o->elements || length < 1)
            continue;
        kb_buf_printf(out, "checked %lld of %lld rows", (long long)(o->checked / length),
                      (long long)(o->elements / length));
        return;
    }
}

/* "1536 of 42496 elements"; of those that were checked. */
static void count_words(const struct kb_output_report *o, int64_t n, struct kb_buf *out) {
    kb_buf_printf(out, "%lld of %lld %selements", (long long)n, (long long)o->checked,
                  o->checked < o->elements ? "checked " : "");
}

/* ---- what ------------------------------------------------------------------------------
 */

const struct kb_output_report *kb_row_worst(const struct kb_row *row) {
    for (int i = 0; i < row->n_outputs; i++) {
        const struct kb_output_report *o = &row->outputs[i];
        if ((row->reason == KB_R_UNWRITTEN && o->unwritten > 0) ||
            (row->reason == KB_R_TOUCHED && o->touched > 0) ||
            (row->reason == KB_R_MISMATCH && o->over > 0))
            return o;
    }
    return NULL;
}

void kb_tolerance_words(const struct kb_tolerance *tolerance, struct kb_buf *out) {
    if (tolerance->rule != KB_TOL_GIVEN)
        kb_buf_puts(out, "peers' ");
    kb_buf_printf(out, "%s + %s*|want|", kb_cell_number(tolerance->atol).text,
                  kb_cell_number(tolerance->rtol).text);
}

static void element_words(const struct kb_output_report *o, const char *which,
                          const struct kb_element *e, struct kb_buf *out) {
    kb_buf_printf(out, "; %s ", which);
    kb_index_words(o, e->index, false, out);
    kb_buf_printf(out, ": got %s, want %s", kb_cell_value(e->got).text,
                  kb_cell_value(e->want).text);
    if (!o->exact && kb_dtype_is_float(o->dtype) && isfinite(e->got) && isfinite(e->want))
        kb_buf_printf(
            out, ", %s ulp",
            kb_cell_ratio(fabs(e->got - e->want) / kb_ulp(o->dtype, e->want)).text);
}

static void mismatch_words(const struct kb_output_report *o, struct kb_buf *out) {
    if (o->exact) {
        count_words(o, o->over, out);
        kb_buf_puts(out, " differ, where equal bits are wanted");
        if (o->n_first > 0)
            element_words(o, "the first", &o->first[0], out);
        kb_follows_words(o, out);
        return;
    }
    kb_buf_printf(out, "%lld of %lld %s", (long long)o->over, (long long)o->checked,
                  o->checked < o->elements ? "checked " : "");
    if (o->tolerance.rule == KB_TOL_BOUND) {
        kb_buf_puts(out, "past the bound");
    } else {
        kb_buf_printf(out, "past %s", o->tolerance.rule == KB_TOL_PEER ? "the " : "");
        kb_tolerance_words(&o->tolerance, out);
    }
    if (o->kind_mismatches > 0)
        kb_buf_printf(out, ", %lld where one of got and want is NaN or infinite",
                      (long long)o->kind_mismatches);
    if (o->worst.index >= 0)
        element_words(o, "worst", &o->worst, out);
    kb_follows_words(o, out);
    if (o->tolerance.rule == KB_TOL_BOUND && o->tolerance_over == 0) {
        kb_buf_puts(out, "; the ");
        kb_tolerance_words(&o->tolerance, out);
        kb_buf_puts(out, " would pass it");
    }
}

static void touched_words(const struct kb_output_report *o, struct kb_buf *out) {
    count_words(o, o->touched, out);
    kb_buf_puts(out, " were written to, though they must stay as they were");
    if (o->over > o->touched)
        kb_buf_printf(out, "; %lld others %s", (long long)(o->over - o->touched),
                      o->over - o->touched == o->unwritten ? "were never written"
                                                           : "are wrong");
    kb_follows_words(o, out);
}

static void unwritten_words(const struct kb_output_report *o, struct kb_buf *out) {
    count_words(o, o->unwritten, out);
    kb_buf_puts(out, " were never written: the poison is still in them");
}

/* Reasons whose word stands before their text: it says what kind of thing it was. */
static bool reason_is_shown(enum kb_reason reason) {
    return kb_reason_verdict(reason) == KB_ERROR || reason == KB_R_MEMORY ||
           reason == KB_R_BUILD_HERE || reason == KB_R_DEADLOCK || reason == KB_R_SANITIZER;
}

static void text_words(const struct kb_row *row, struct kb_buf *out) {
    const char *text = row->text && *row->text ? row->text : kb_reason_help(row->reason);
    const char *word = kb_reason_word(row->reason);
    if (reason_is_shown(row->reason) && !kb_starts_with(text, word))
        kb_buf_printf(out, "%s: ", word);
    kb_buf_puts(out, text);
}

void kb_row_what(const struct kb_row *row, struct kb_buf *out) {
    const struct kb_output_report *o = kb_row_worst(row);
    if (row->reason == KB_R_NONE)
        return;
    if (o && row->n_outputs > 1)
        kb_buf_printf(out, "%s: ", o->name);
    if (o && row->reason == KB_R_UNWRITTEN)
        unwritten_words(o, out);
    else if (o && row->reason == KB_R_TOUCHED)
        touched_words(o, out);
    else if (o)
        mismatch_words(o, out);
    else
        text_words(row, out);
}

static void sentence(const struct kb_row *row, struct kb_buf *out) {
    const struct kb_output_report *o = kb_row_worst(row);
    int64_t first, last;
    if (!o || row->reason != KB_R_UNWRITTEN) {
        kb_row_what(row, out);
        return;
    }
    bool rest_is_right = o->over <= o->unwritten;
    if (o->unwritten == o->checked) {
        kb_buf_printf(out, "%s%snothing was written, none of %lld %selements",
                      row->n_outputs > 1 ? o->name : "", row->n_outputs > 1 ? ": " : "",
                      (long long)o->checked, o->checked < o->elements ? "checked " : "");
        return;
    }
    if (rest_is_right && are_whole_rows(o, &first, &last)) {
        if (row->n_outputs > 1)
            kb_buf_printf(out, "%s: ", o->name);
        range_words("row", first, last, out);
        kb_buf_puts(out, " never written, ");
        count_words(o, o->unwritten, out);
    } else {
        kb_row_what(row, out);
    }
    if (rest_is_right)
        kb_buf_puts(out, "; the rest is right");
    else
        kb_buf_printf(out, "; %lld others are wrong", (long long)(o->over - o->unwritten));
}

void kb_row_words(const struct kb_row *row, struct kb_buf *out) {
    struct kb_buf sampled = {0};
    sentence(row, out);
    if (row->reason != KB_R_NONE)
        kb_sampled_words(row, &sampled);
    if (sampled.len)
        kb_buf_printf(out, "; %s", kb_buf_text(&sampled));
    kb_buf_free(&sampled);
}

void kb_row_rest(const struct kb_row *row, struct kb_buf *out) {
    const struct kb_output_report *o = kb_row_worst(row);
    if (o) {
        int64_t wrong = o->over > o->unwritten ? o->over : o->unwritten;
        if (wrong < o->checked)
            kb_buf_printf(out, "right: %lld elements; ", (long long)(o->checked - wrong));
        else
            kb_buf_puts(out, "no element is right; ");
    }
    if (row->out_of_bounds > 0)
        kb_buf_printf(out, "%lld bytes of guard zones overwritten, ",
                      (long long)row->out_of_bounds);
    if (row->inputs_changed > 0)
        kb_buf_printf(out, "%lld bytes of inputs changed", (long long)row->inputs_changed);
    else if (row->out_of_bounds > 0)
        kb_buf_puts(out, "inputs untouched");
    else
        kb_buf_puts(out, "guards and inputs untouched");
}

/* ---- lines ------------------------------------------------------------------------------
 */

static void new_line(int indent, int *at, struct kb_buf *out) {
    kb_buf_printf(out, "\n%*s", indent, "");
    *at = indent;
}

void kb_wrap(const char *text, int at, int indent, int width, struct kb_buf *out) {
    bool first = true; /* of its line: never moved, however long it is */
    while (*text) {
        size_t len = strcspn(text, " \n");
        struct kb_buf word = {0};
        kb_buf_add(&word, text, len);
        int columns = kb_columns(kb_buf_text(&word));
        if (!first && width > 0 && at + 1 + columns > width) {
            new_line(indent, &at, out);
            first = true;
        }
        if (!first)
            kb_buf_putc(out, ' ');
        kb_buf_add(out, word.data, word.len);
        at += columns + !first;
        first = false;
        kb_buf_free(&word);
        text += len;
        if (*text == '\n' && text[1]) {
            new_line(indent, &at, out);
            first = true;
        }
        text += *text != '\0';
    }
}

void kb_wrap_at(const char *text, const char *separator, int width, struct kb_buf *out) {
    size_t len = strlen(separator);
    int at = 0;
    while (*text) {
        const char *end = strstr(text, separator);
        size_t n = end ? (size_t)(end - text) : strlen(text);
        struct kb_buf part = {0};
        kb_buf_add(&part, text, n);
        int columns = kb_columns(kb_buf_text(&part));
        if (at && width > 0 && at + (int)len + columns > width) {
            kb_buf_putc(out, '\n');
            at = 0;
        }
        kb_buf_printf(out, "%s%s", at ? separator : "", kb_buf_text(&part));
        at += columns + (at ? (int)len : 0);
        kb_buf_free(&part);
        text += n + (end ? len : 0);
    }
}
