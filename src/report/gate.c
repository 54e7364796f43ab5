/* gate.c - whether a new report is wrong, slower or less exact than a baseline. */
#include "report/compare_words.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *word, *count, *help;
    int status;
} gates[] = {
#define X(id, word, count, status, help) [id] = {word, count, help, status},
    KB_GATES(X)
#undef X
};

const char *kb_gate_word(enum kb_gate_verdict verdict) {
    return gates[verdict].word;
}

const char *kb_gate_count_word(enum kb_gate_verdict verdict) {
    return gates[verdict].count;
}

const char *kb_gate_help(enum kb_gate_verdict verdict) {
    return gates[verdict].help;
}

/* The share of gates of equal code in which a row may be called SLOWER. */
static const double false_gates = 0.0005;
/* A slowdown lies further off than any run did in the class, by this factor. */
static const double beyond_worst = 1.5;
/* Errors below a hundredth of the bound are as good as none: nothing grows from them. */
static const double least_error = 0.01;

bool kb_is_past(double base_ns, double ns, double limit) {
    return ns > base_ns * (1 + limit) * (1 + 1e-12);
}

/* ---- one row ---------------------------------------------------------------------------
 */

static const char *words_of(const struct kb_gate *gate, const struct kb_pair *pair,
                            struct kb_arena *arena) {
    enum kb_verdict now = pair->b->verdict;
    struct kb_buf text = {0}, why = {0};
    kb_entry_words(gate->fresh, pair->b, &why);
    const char *word = kb_verdict_word(now), *gap = why.len ? ": " : "";
    if (!pair->a)
        kb_buf_printf(&text, "not in the baseline, %s%s%s", word, gap, kb_buf_text(&why));
    else if (pair->a->verdict == now)
        kb_buf_printf(&text, "%s as before%s%s", word, gap, kb_buf_text(&why));
    else
        kb_buf_printf(&text, "was %s, now %s%s%s", kb_verdict_word(pair->a->verdict), word,
                      gap, kb_buf_text(&why));
    const char *copy = kb_arena_strdup(arena, kb_buf_text(&text));
    kb_buf_free(&text);
    kb_buf_free(&why);
    return copy;
}

static bool has_grown(const struct kb_pair *pair, double growth) {
    double before = fmax(pair->a->error, least_error), now = pair->b->error;
    return kb_pair_has_errors(pair) && !(now <= before * growth * (1 + 1e-12));
}

static enum kb_gate_verdict speed_of(const struct kb_gate *gate, struct kb_pair *pair,
                                     double significant_p, struct kb_arena *arena) {
    const struct kb_shift *s = &pair->shift;
    double limit = gate->limits.slowdown;
    bool beyond = fabs(log1p(s->ratio)) >= beyond_worst * s->worst * s->sd;
    bool clear_slow = s->low > 0 && s->slower_p <= significant_p && beyond;
    bool clear_fast = s->high < 0 && s->differ_p / 2 <= significant_p && beyond;
    if (kb_is_past(s->a_ns, s->b_ns, limit) && clear_slow)
        return kb_pair_is_disturbed(pair, arena, &gate->pairs) ? KB_GATE_UNCLEAR
                                                               : KB_GATE_SLOWER;
    if (kb_is_past(s->b_ns, s->a_ns, limit) && clear_fast)
        return KB_GATE_FASTER;
    return kb_is_past(s->a_ns, s->b_ns, limit) || s->high > limit ? KB_GATE_UNCLEAR
                                                                  : KB_GATE_SAME;
}

/* Of a row that is right in both. */
static enum kb_gate_verdict right_of(const struct kb_gate *gate, struct kb_pair *pair,
                                     double significant_p, const char **text,
                                     struct kb_arena *arena) {
    enum kb_gate_verdict verdict = KB_GATE_SAME;
    if (pair->invalid) {
        *text = pair->why;
        return KB_GATE_INVALID;
    }
    if (!isnan(pair->a->error) && isnan(pair->b->error) && pair->b->verdict == KB_PASS) {
        *text = kb_arena_printf(arena, "its error is not told, it was %s of the bound",
                                kb_cell_ratio(pair->a->error).text);
        return KB_GATE_INVALID;
    }
    if (gate->comparable && pair->ta && !pair->tb) {
        *text =
            kb_arena_printf(arena, "no longer timed by %s", kb_method_word(pair->method));
        return KB_GATE_MISSING;
    }
    if (gate->comparable && kb_pair_is_timed(pair)) {
        verdict = speed_of(gate, pair, significant_p, arena);
        *text = pair->why;
    } else if (gate->comparable && pair->tb && pair->a->verdict == KB_PASS) {
        verdict = KB_GATE_UNCLEAR;
        *text = kb_arena_printf(arena, "the baseline has no time of it by %s",
                                kb_method_word(pair->method));
    } else if (!gate->comparable && pair->a->n_times) {
        verdict = KB_GATE_APART;
    }
    if (verdict != KB_GATE_SLOWER && has_grown(pair, gate->limits.error_growth)) {
        *text = kb_arena_printf(arena, "error %s -> %s of the bound",
                                kb_cell_ratio(pair->a->error).text,
                                kb_cell_ratio(pair->b->error).text);
        verdict = KB_GATE_COARSER;
    }
    return verdict;
}

static enum kb_gate_verdict judge(struct kb_gate *gate, struct kb_pair *pair,
                                  double significant_p, const char **text,
                                  struct kb_arena *arena) {
    const struct kb_entry *a = pair->a, *b = pair->b;
    *text = "";
    if ((a && a->twice) || (b && b->twice)) {
        *text = kb_arena_printf(arena, "stands twice in the %s",
                                b && b->twice ? "new report" : "baseline");
        return KB_GATE_INVALID;
    }
    if (!b) {
        *text = kb_arena_printf(arena, "was %s", kb_verdict_word(a->verdict));
        return KB_GATE_MISSING;
    }
    if (b->verdict == KB_FAIL || b->verdict == KB_ERROR) {
        if (b->verdict == KB_ERROR)
            gate->error_status = kb_status_worse(
                gate->error_status, b->reason ? kb_reason_status(b->reason) : 6);
        *text = words_of(gate, pair, arena);
        return KB_GATE_WRONG;
    }
    if (b->verdict == KB_MISTRUSTED) {
        *text = words_of(gate, pair, arena);
        return KB_GATE_MISTRUSTED;
    }
    if (!a)
        return KB_GATE_EXTRA;
    if (b->verdict == KB_SKIP && a->verdict != KB_SKIP) {
        *text = words_of(gate, pair, arena);
        return KB_GATE_MISSING;
    }
    if (a->verdict != KB_PASS && b->verdict == KB_PASS) /* mended: there was no time */
        *text = words_of(gate, pair, arena);
    return right_of(gate, pair, significant_p, text, arena);
}

/* ---- all of them -----------------------------------------------------------------------
 */

/* The methods of a report's rows, "graph, cold". */
static const char *methods_of(const struct kb_loaded *report, struct kb_arena *arena) {
    bool there[KB_METHOD_COUNT] = {false};
    struct kb_buf text = {0};
    for (size_t i = 0; i < report->n_rows; i++)
        for (int k = 0; k < report->rows[i].n_times; k++)
            there[report->rows[i].times[k].method] = true;
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        if (there[m])
            kb_buf_printf(&text, "%s%s", text.len ? ", " : "",
                          kb_method_word((enum kb_method)m));
    const char *copy = kb_arena_strdup(arena, text.len ? kb_buf_text(&text) : "none");
    kb_buf_free(&text);
    return copy;
}

static void refuse(struct kb_gate *gate, const char *field, const char *a, const char *b,
                   struct kb_arena *arena) {
    struct kb_mismatches *m = &gate->mismatches;
    struct kb_mismatch *items = kb_arena_array(arena, m->n + 1, sizeof *items);
    if (m->n)
        memcpy(items + 1, m->items, m->n * sizeof *items);
    items[0] = (struct kb_mismatch){field, a, b, true};
    m->items = items;
    m->n++;
    m->refused++;
}

/* Where the base has times, and no row of both was timed by a method that is to be
 * compared, that is no gate. */
static void check_method(struct kb_gate *gate, enum kb_method method, bool asked_for,
                         struct kb_arena *arena) {
    bool base_timed = false;
    for (size_t i = 0; i < gate->pairs.n; i++) {
        const struct kb_pair *pair = &gate->pairs.items[i];
        if (pair->method == method && pair->ta && pair->tb)
            return;
        base_timed |= pair->a && pair->a->n_times && pair->b && pair->b->verdict == KB_PASS;
    }
    if (!base_timed)
        return;
    const char *in_base = methods_of(gate->base, arena);
    const char *in_new = methods_of(gate->fresh, arena), *word = kb_method_word(method);
    if (asked_for)
        in_base = kb_arena_printf(arena, "%s (of %s)", word, in_base);
    refuse(gate, "method", in_base, in_new, arena);
}

/* The first method of the base's rows that are in both: a new report without it must not
 * pass by those that are left. */
static enum kb_method first_in_base(const struct kb_gate *gate) {
    enum kb_method first = gate->pairs.method;
    for (size_t i = 0; i < gate->pairs.n; i++) {
        const struct kb_pair *pair = &gate->pairs.items[i];
        for (int k = 0; pair->a && pair->b && k < pair->a->n_times; k++)
            if (pair->a->times[k].method < first)
                first = pair->a->times[k].method;
    }
    return first;
}

static const char *gpu_of(const struct kb_loaded *report, const struct kb_entry *entry) {
    const struct kb_machine *m = kb_loaded_machine(report, entry);
    return m && *m->name ? m->name : NULL;
}

/* Times of a GPU that a report does not name may be of any. */
static void check_gpus(struct kb_gate *gate, struct kb_arena *arena) {
    for (size_t i = 0; i < gate->pairs.n; i++) {
        const struct kb_pair *pair = &gate->pairs.items[i];
        if (!pair->ta || !pair->tb)
            continue;
        const char *a = gpu_of(gate->base, pair->a), *b = gpu_of(gate->fresh, pair->b);
        if (a && b)
            continue;
        refuse(gate, "GPU", a ? a : "not named", b ? b : "not named", arena);
        return;
    }
}

/* Rows that are no part of what was asked for are no part of the gate. */
static void leave_out(struct kb_pairs *pairs, kb_gate_scope *scope, const void *context) {
    size_t kept = 0;
    for (size_t i = 0; scope && i < pairs->n; i++) {
        const struct kb_pair *pair = &pairs->items[i];
        if (pair->b || scope(context, pair->a))
            pairs->items[kept++] = *pair;
        else
            pairs->only_a--;
    }
    pairs->n = scope ? kept : pairs->n;
}

/* The p that counts, over all rows that are compared. */
static double significant_of(const struct kb_pairs *pairs, struct kb_arena *arena) {
    double *p = kb_arena_array(arena, pairs->n + 1, sizeof *p);
    size_t n = 0;
    for (size_t i = 0; i < pairs->n; i++)
        if (kb_pair_is_timed(&pairs->items[i]))
            p[n++] = pairs->items[i].shift.slower_p;
    return kb_significant_p(p, n, false_gates);
}

static bool is_unclear_past(const struct kb_gate *gate, size_t i) {
    const struct kb_pair *pair = &gate->pairs.items[i];
    return gate->verdicts[i] == KB_GATE_UNCLEAR && kb_pair_is_timed(pair) &&
           kb_is_past(pair->shift.a_ns, pair->shift.b_ns, gate->limits.slowdown);
}

void kb_gate_make(const struct kb_loaded *base, const struct kb_loaded *fresh,
                  const struct kb_limits_of_gate *limits, const enum kb_method *methods,
                  int n_methods, kb_gate_scope *scope, const void *context,
                  struct kb_arena *arena, struct kb_gate *out) {
    const struct kb_side a = {.report = base}, b = {.report = fresh};
    *out = (struct kb_gate){.limits = *limits, .base = base, .fresh = fresh};
    kb_pairs_make(&a, &b, methods, n_methods, KB_RELAX_VARIANT, arena, &out->pairs);
    leave_out(&out->pairs, scope, context);
    out->pairs.a_word = "baseline's";
    out->pairs.b_word = "new";
    out->pairs.spread_of_a = true;
    kb_mismatches_of(base, fresh, arena, &out->mismatches);
    for (int i = 0; i < n_methods; i++)
        check_method(out, methods[i], true, arena);
    if (n_methods == 0)
        check_method(out, first_in_base(out), false, arena);
    check_gpus(out, arena);
    out->comparable = !out->mismatches.refused || limits->cross;
    kb_pairs_shift(&out->pairs, arena);
    double significant = significant_of(&out->pairs, arena);
    struct kb_power power = {.limit = limits->slowdown,
                             .significant_p = significant,
                             .worst_factor = beyond_worst};
    out->verdicts = kb_arena_array(arena, out->pairs.n + 1, sizeof *out->verdicts);
    out->texts = kb_arena_array(arena, out->pairs.n + 1, sizeof *out->texts);
    for (size_t i = 0; i < out->pairs.n; i++) {
        struct kb_pair *pair = &out->pairs.items[i];
        if (kb_pair_is_timed(pair))
            kb_shift_plan(&power, pair->tb, &pair->shift);
        out->verdicts[i] = judge(out, pair, significant, &out->texts[i], arena);
        out->count[out->verdicts[i]]++;
        out->unclear_past += is_unclear_past(out, i);
    }
    out->n = out->pairs.n - out->count[KB_GATE_EXTRA];
}

bool kb_gate_has_checked(const struct kb_gate *gate) {
    for (size_t i = 0; i < gate->pairs.n; i++) {
        const struct kb_pair *pair = &gate->pairs.items[i];
        if (pair->a && pair->b && pair->b->verdict != KB_SKIP)
            return true;
    }
    return false;
}

int kb_gate_status(const struct kb_gate *gate) {
    int status = gate->error_status;
    for (int v = 0; v < KB_GATE_COUNT; v++) {
        if (!gate->count[v] || (v == KB_GATE_MISSING && gate->limits.allow_missing))
            continue;
        if (v != KB_GATE_WRONG)
            status = kb_status_worse(status, gates[v].status);
    }
    /* Rows that are ERROR have a status of their own. */
    for (size_t i = 0; i < gate->pairs.n; i++)
        if (gate->verdicts[i] == KB_GATE_WRONG &&
            gate->pairs.items[i].b->verdict == KB_FAIL)
            status = kb_status_worse(status, 1);
    if (gate->limits.strict && gate->count[KB_GATE_UNCLEAR])
        status = kb_status_worse(status, 3);
    if (!gate->comparable || !kb_gate_has_checked(gate))
        status = kb_status_worse(status, 3);
    return status;
}
