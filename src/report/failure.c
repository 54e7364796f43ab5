/* failure.c - what is wrong with a row, where, and what is right all the same, in words. */
#include "report/parts.h"
#include "screen.h"

#include <math.h>
#include <string.h>

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

/* As far as the first and the last one tell: of a report from before they were localised.
 */
static void ends_words(const struct kb_output_report *output, struct kb_buf *out) {
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

void kb_where_words(const struct kb_output_report *output, struct kb_buf *out) {
    const struct kb_local *local = output->local;
    if (!local) {
        ends_words(output, out);
        return;
    }
    kb_buf_puts(out, local->where);
    if (local->why)
        kb_buf_printf(out, ": %s", local->why);
    if (local->inputs)
        kb_buf_printf(out, "%s %s", local->why ? ";" : ",", local->inputs);
}

/* Whether where it is wrong has a form, that a sentence can begin with. */
static bool has_form(const struct kb_output_report *o) {
    return o->local && o->local->pattern != KB_P_SCATTERED &&
           o->local->pattern != KB_P_EVERYWHERE;
}

/* The same in the middle of a sentence, without its reasons. */
static void brief_words(const struct kb_output_report *o, struct kb_buf *out) {
    if (o->local && o->local->inside > 1 && o->local->pattern != KB_P_EVERYWHERE &&
        !kb_streq(o->local->where, "scattered"))
        kb_buf_printf(out, ", %s", o->local->where);
    if (o->local && o->local->inputs)
        kb_buf_printf(out, ", %s", o->local->inputs);
}

static void holds_words(const struct kb_output_report *o, struct kb_buf *out) {
    if (o->local && o->local->holds)
        kb_buf_printf(out, "; %s", o->local->holds);
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

const struct kb_output_report *kb_row_placed(const struct kb_row *row) {
    const struct kb_output_report *o = kb_row_worst(row);
    for (int i = 0; i < row->n_outputs && !o && row->reason != KB_R_NONE; i++)
        if (row->outputs[i].local && !row->outputs[i].over)
            o = &row->outputs[i];
    return o;
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

static void exact_words(const struct kb_output_report *o, bool where, struct kb_buf *out) {
    count_words(o, o->over, out);
    kb_buf_puts(out, " differ, where equal bits are wanted");
    if (where)
        brief_words(o, out);
    if (o->n_first > 0)
        element_words(o, "the first", &o->first[0], out);
    kb_follows_words(o, out);
    holds_words(o, out);
}

static void mismatch_words(const struct kb_output_report *o, bool where,
                           struct kb_buf *out) {
    if (o->exact) {
        exact_words(o, where, out);
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
    if (where)
        brief_words(o, out);
    if (o->worst.index >= 0)
        element_words(o, "worst", &o->worst, out);
    kb_follows_words(o, out);
    holds_words(o, out);
    if (o->tolerance.rule == KB_TOL_BOUND && o->tolerance_over == 0) {
        kb_buf_puts(out, "; the ");
        kb_tolerance_words(&o->tolerance, out);
        kb_buf_puts(out, " would pass it");
    }
}

static void touched_words(const struct kb_output_report *o, bool where,
                          struct kb_buf *out) {
    count_words(o, o->touched, out);
    kb_buf_puts(out, " were written to, though they must stay as they were");
    if (where)
        brief_words(o, out);
    if (o->over > o->touched)
        kb_buf_printf(out, "; %lld others %s", (long long)(o->over - o->touched),
                      o->over - o->touched == o->unwritten ? "were never written"
                                                           : "are wrong");
    kb_follows_words(o, out);
    holds_words(o, out);
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

static void what_words(const struct kb_row *row, bool where, struct kb_buf *out) {
    const struct kb_output_report *o = kb_row_worst(row);
    if (row->reason == KB_R_NONE)
        return;
    if (o && row->n_outputs > 1)
        kb_buf_printf(out, "%s: ", o->name);
    if (o && row->reason == KB_R_UNWRITTEN)
        unwritten_words(o, out);
    else if (o && row->reason == KB_R_TOUCHED)
        touched_words(o, where, out);
    else if (o)
        mismatch_words(o, where, out);
    else
        text_words(row, out);
    if (!o && where && kb_row_placed(row))
        brief_words(kb_row_placed(row), out);
}

void kb_row_what(const struct kb_row *row, struct kb_buf *out) {
    what_words(row, false, out);
}

/* "rows 80..82 never written, 1536 of 42496 elements" */
static void unwritten_sentence(const struct kb_row *row, const struct kb_output_report *o,
                               struct kb_buf *out) {
    int64_t first, last;
    bool rest_is_right = o->over <= o->unwritten;
    if (row->n_outputs > 1)
        kb_buf_printf(out, "%s: ", o->name);
    if (o->unwritten == o->checked) {
        kb_buf_printf(out, "nothing was written, none of %lld %selements",
                      (long long)o->checked, o->checked < o->elements ? "checked " : "");
        return;
    }
    if (rest_is_right && has_form(o)) {
        kb_buf_printf(out, "%s never written, ", o->local->where);
        count_words(o, o->unwritten, out);
    } else if (rest_is_right && !o->local && are_whole_rows(o, &first, &last)) {
        range_words("row", first, last, out);
        kb_buf_puts(out, " never written, ");
        count_words(o, o->unwritten, out);
    } else {
        unwritten_words(o, out);
        if (rest_is_right)
            brief_words(o, out);
    }
    if (rest_is_right)
        kb_buf_puts(out, "; the rest is right");
    else
        kb_buf_printf(out, "; %lld others are wrong", (long long)(o->over - o->unwritten));
}

static void sentence(const struct kb_row *row, struct kb_buf *out) {
    const struct kb_output_report *o = kb_row_worst(row);
    if (o && row->reason == KB_R_UNWRITTEN)
        unwritten_sentence(row, o, out);
    else
        what_words(row, true, out);
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

/* "right: 0.02 of bound, max 0.50 ulp over 41168 elements" */
static void right_words(const struct kb_output_report *o, struct kb_buf *out) {
    int64_t wrong = o->over > o->unwritten ? o->over : o->unwritten;
    const struct kb_local *local = o->local;
    if (wrong >= o->checked) {
        kb_buf_puts(out, "no element is right");
        return;
    }
    kb_buf_puts(out, "right: ");
    if (local && !o->exact && isfinite(local->right_share) && isfinite(local->right_ulp))
        kb_buf_printf(out, "%s of bound, max %s ulp over ",
                      kb_cell_ratio(local->right_share).text,
                      kb_cell_ratio(local->right_ulp).text);
    kb_buf_printf(out, "%lld elements", (long long)(o->checked - wrong));
}

/* Of the other outputs: those that are right, and where others are wrong, too. */
static void other_words(const struct kb_row *row, const struct kb_output_report *worst,
                        struct kb_buf *out) {
    for (int i = 0; i < row->n_outputs; i++) {
        const struct kb_output_report *o = &row->outputs[i];
        if (o == worst)
            continue;
        kb_buf_printf(out, "; %s: ", o->name);
        if (!o->over) {
            kb_buf_puts(out, "right");
            continue;
        }
        kb_buf_printf(out, "%lld of %lld wrong", (long long)o->over, (long long)o->checked);
        if (o->local)
            kb_buf_printf(out, ", %s", o->local->where);
    }
}

void kb_row_rest(const struct kb_row *row, struct kb_buf *out) {
    const struct kb_output_report *o = kb_row_worst(row);
    if (o) {
        right_words(o, out);
        other_words(row, o, out);
        kb_buf_puts(out, "; ");
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

/* ---- the smallest ----------------------------------------------------------------------
 */

/* The shape of an id alone where all else is as in `other`, else all of it. */
static void put_id(const char *id, const char *other, struct kb_buf *out) {
    const char *a = strchr(id, '/'), *b = strchr(other, '/');
    size_t op = a ? (size_t)(a - id) : 0;
    const char *rest_a = a ? strchr(a + 1, '/') : NULL;
    const char *rest_b = b ? strchr(b + 1, '/') : NULL;
    bool same = rest_a && rest_b && !strncmp(id, other, op + 1) && kb_streq(rest_a, rest_b);
    if (same)
        kb_buf_add(out, a + 1, (size_t)(rest_a - a - 1));
    else
        kb_buf_puts(out, id);
}

void kb_smallest_words(const struct kb_row *row, struct kb_buf *out) {
    const struct kb_smallest *s = row->smallest;
    if (!s)
        return;
    if (kb_streq(s->case_id, row->case_id))
        kb_buf_puts(out, "no smaller case was found to fail");
    else
        put_id(s->case_id, row->case_id, out);
    if (!kb_streq(s->case_id, row->case_id)) {
        kb_buf_puts(out, " fails");
        if (s->where)
            kb_buf_printf(out, " (%s)", s->where);
    }
    if (s->passes) {
        kb_buf_puts(out, ", ");
        put_id(s->passes, s->case_id, out);
        kb_buf_puts(out, " passes");
    }
    if (s->whole) {
        kb_buf_puts(out, "; ");
        put_id(s->whole, s->case_id, out);
        kb_buf_puts(out, " fails as a whole");
    }
    if (!s->done)
        kb_buf_printf(out, "; after %d cases the time was over", s->tried);
}
