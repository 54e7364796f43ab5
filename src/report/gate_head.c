/* gate_head.c - the head of a gate's screen: both reports, the limits, in what they differ.
 */
#include "report/compare_words.h"

#include <math.h>

static void limit_words(const struct kb_limits_of_gate *limits, bool timed,
                        struct kb_buf *out) {
    kb_buf_puts(out, "limits ");
    if (timed)
        kb_buf_printf(out, "slower than +%s %%, ",
                      kb_cell_number(100 * limits->slowdown).text);
    kb_buf_printf(out, "error over %sx, %s%s\n", kb_cell_number(limits->error_growth).text,
                  limits->allow_missing ? "missing cases allowed" : "no case missing",
                  timed ? "" : "; there are no times to compare");
}

static void mismatch_words(const struct kb_gate *gate, bool all, struct kb_buf *out) {
    for (size_t i = 0; i < gate->mismatches.n; i++) {
        const struct kb_mismatch *m = &gate->mismatches.items[i];
        struct kb_buf line = {0};
        if (!m->refused && !all && kb_streq(m->field, "card"))
            continue; /* another one of the same kind */
        kb_buf_printf(&line, "%-6s %s: %s -> %s", m->refused ? "other" : "note", m->field,
                      m->a, m->b);
        kb_escape(out, kb_buf_text(&line), line.len);
        kb_buf_putc(out, '\n');
        kb_buf_free(&line);
    }
}

static bool is_timed_at_all(const struct kb_gate *gate) {
    for (size_t i = 0; i < gate->pairs.n; i++)
        if (kb_pair_is_timed(&gate->pairs.items[i]))
            return true;
    return false;
}

/* Rows with other inputs, or of which more or fewer were checked: no error of them can be
 * said to have grown. */
static void uncompared_errors(const struct kb_gate *gate, struct kb_buf *out) {
    size_t seeds = 0, samples = 0;
    for (size_t i = 0; i < gate->pairs.n; i++) {
        const struct kb_pair *pair = &gate->pairs.items[i];
        bool both = pair->a && pair->b && !isnan(pair->a->error) && !isnan(pair->b->error);
        if (!both || kb_pair_has_errors(pair))
            continue;
        if (kb_streq(pair->a->seed, pair->b->seed))
            samples++;
        else
            seeds++;
    }
    if (seeds)
        kb_buf_printf(
            out, "note   the seed%s of %zu row%s differ%s: errors are not compared\n",
            seeds == 1 ? "" : "s", seeds, seeds == 1 ? "" : "s", seeds == 1 ? "s" : "");
    if (samples)
        kb_buf_printf(
            out,
            "note   of %zu row%s more was checked in one report than in the other "
            "(--sample): errors are not compared\n",
            samples, samples == 1 ? "" : "s");
}

void kb_gate_head(const struct kb_gate *gate, bool all, struct kb_buf *out) {
    static const char *const words[] = {"new  ", "base "};
    bool timed = is_timed_at_all(gate);
    kb_heads_print(gate->fresh, gate->base, words,
                   timed ? kb_method_word(gate->pairs.method) : "", false, out);
    limit_words(&gate->limits, timed, out);
    mismatch_words(gate, all, out);
    if (timed && gate->base->n_runs < 3)
        kb_buf_printf(out,
                      "note   the baseline is of %d process run%s: how much runs differ is "
                      "%s; kbench merge --runs joins three\n",
                      gate->base->n_runs, gate->base->n_runs == 1 ? "" : "s",
                      gate->base->n_runs == 1 ? "assumed" : "hardly known");
    if (gate->pairs.far_apart)
        kb_buf_printf(out,
                      "note   the baseline's runs of %zu row%s lie far apart: nothing is "
                      "learned from them of the others\n",
                      gate->pairs.far_apart, gate->pairs.far_apart == 1 ? "" : "s");
    uncompared_errors(gate, out);
    if (!gate->fresh->complete)
        kb_buf_puts(out, "note   the new report's run did not get to its end\n");
    if (gate->fresh->note.len || gate->base->note.len) {
        kb_buf_puts(out, "note   ");
        kb_escape(out, kb_buf_text(&gate->fresh->note), gate->fresh->note.len);
        kb_buf_puts(out, gate->fresh->note.len && gate->base->note.len ? "; " : "");
        kb_escape(out, kb_buf_text(&gate->base->note), gate->base->note.len);
        kb_buf_putc(out, '\n');
    }
}
