/* proof.c - does the case prove anything? Its rule let a kernel's output pass; were it to
 * let wrong ones pass as well, the case is MISTRUSTED. */
#include "life.h"

#include <math.h>
#include <string.h>

/* An output as it is compared, with tensors of its own: what kb_life_compare_args gives
 * lives until the next call. */
struct compared {
    const void *in[KB_MAX_OUTPUTS][KB_MAX_TENSORS];
    struct kb_compare_args args[KB_MAX_OUTPUTS];
    int n;
};

static void gather(struct life *l, struct compared *c) {
    const struct kb_problem *problem = &l->asked.problem;

    for (int t = 0; t < problem->n_tensors; t++) {
        if (problem->tensors[t].role == KB_IN || problem->tensors[t].absent)
            continue;
        c->args[c->n] = kb_life_compare_args(l, t);
        memcpy(c->in[c->n], l->in, sizeof l->in);
        c->args[c->n].in = c->in[c->n];
        c->n++;
    }
}

/* Of the first output whose impostor passes: what makes the rule so wide. */
static void why(const struct kb_output_report *o, struct kb_buf *out) {
    const struct kb_tolerance *tolerance = &o->tolerance;

    if (o->exact || tolerance->rule == KB_TOL_BOUND)
        kb_buf_puts(out, "the op's bound is that wide here");
    else if (tolerance->atol > o->want_rms / 8)
        kb_buf_printf(out, "atol %.3g is %.2g x rms(want)", tolerance->atol,
                      tolerance->atol / o->want_rms);
    else
        kb_buf_printf(out, "rtol is %.3g", tolerance->rtol);
}

const struct kb_output_report *kb_life_prove(struct life *l) {
    struct kb_impostors *impostors = &l->row->impostors;
    const struct kb_output_report *wide = NULL;
    struct compared c = {0};

    gather(l, &c);
    for (int i = 0; i < c.n; i++) {
        kb_impostors_try(c.args, c.n, i, l->job->seed, l->arena, impostors);
        if (impostors->let_through.count > 0 && !wide)
            wide = &l->row->outputs[i];
    }
    l->row->proved = true;
    return wide;
}

bool kb_life_trust(struct life *l, const struct kb_output_report *wide) {
    const struct kb_strings *names = &l->row->impostors.let_through;
    struct kb_buf text = {0};

    if (!wide)
        return true;
    kb_buf_printf(&text, "\"%s\"", names->items[0]);
    if (names->count == 2)
        kb_buf_printf(&text, " and \"%s\"", names->items[1]);
    else if (names->count > 2)
        kb_buf_printf(&text, " and %zu others", names->count - 1);
    kb_buf_puts(&text, " would pass: ");
    why(wide, &text);
    kb_life_stop(l, KB_R_IMPOSTOR, "%s", kb_buf_text(&text));
    kb_buf_free(&text);
    return false;
}
