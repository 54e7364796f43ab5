/* localise_guess.c - one guess at what wrong elements hold, and whether an element follows
 * it. */
#include "localise_guess.h"

#include <math.h>

#define ROW_FLOPS_MAX 4e9 /* of all calls of the reference together */

/* ---- elements --------------------------------------------------------------------------
 */

struct kb_seen kb_see(const struct kb_compare_args *args, int64_t flat) {
    const struct kb_problem *p = args->problem;
    const struct kb_tensor_spec *spec = &p->tensors[args->tensor];
    struct kb_seen s = {.flat = flat, .bits = kb_bits_at(spec->dtype, args->got, flat)};

    p->c->op->reference(p, args->in, args->prepared, args->tensor, flat, 1, &s.want,
                        &s.bound);
    s.bound *= s.bound > 0 ? args->bound_factor : 1;
    s.got = kb_decode(spec->dtype, s.bits);
    if (s.bound == KB_KEEP)
        s.want_bits = kb_bits_at(spec->dtype, args->in[args->tensor], flat);
    else if (spec->rule == KB_RULE_EXACT)
        s.want_bits = (uint32_t)s.want;
    if (s.bound == KB_KEEP || spec->rule == KB_RULE_EXACT)
        s.want = kb_decode(spec->dtype, s.want_bits);
    return s;
}

int64_t kb_see_max(const struct kb_compare_args *args) {
    const struct kb_problem *p = args->problem;
    const struct kb_tensor_spec *spec = &p->tensors[args->tensor];
    int64_t columns = spec->shape[spec->rank - 1];
    double rows = (double)spec->elements / (double)columns;

    /* Where a row shares its work, one element costs all of it. */
    return (int64_t)(ROW_FLOPS_MAX / fmax(1e3, (double)p->flops / rows));
}

bool kb_seen_agrees(const struct kb_tensor_spec *spec, const struct kb_seen *got,
                    const struct kb_seen *want) {
    if (spec->rule == KB_RULE_EXACT || want->bound == KB_KEEP)
        return got->bits == want->want_bits;
    if (isinf(want->bound))
        return false;
    if (isnan(got->got) || isnan(want->want))
        return isnan(got->got) && isnan(want->want);
    if (isinf(got->got) || isinf(want->want))
        return got->got == kb_decode(spec->dtype, kb_encode(spec->dtype, want->want));
    return fabs(got->got - want->want) <=
           want->bound + 0.5000001 * kb_ulp(spec->dtype, want->want);
}

/* ---- guesses ---------------------------------------------------------------------------
 */

/* In units of the grid where the wanted number lies; 0 where one of them is no number. */
static double error_of(const struct kb_tensor_spec *spec, const struct kb_seen *s) {
    if (!kb_dtype_is_float(spec->dtype) || !isfinite(s->got) || !isfinite(s->want))
        return 0;
    return (s->got - s->want) / kb_ulp(spec->dtype, s->want);
}

static bool is_next(const struct kb_tensor_spec *spec, const struct kb_seen *s,
                    enum kb_guess_kind kind) {
    double error = error_of(spec, s);
    bool up = error > 0, away = up == (s->want > 0);

    if (error == 0 || fabs(error) > 1.001)
        return false;
    return kind == KB_G_UP     ? up
           : kind == KB_G_DOWN ? !up
           : kind == KB_G_AWAY ? away
                               : !away;
}

bool kb_guess_is_side(const struct kb_guesser *g, enum kb_guess_kind kind,
                      const struct kb_seen *s) {
    return error_of(g->spec, s) == 0 || is_next(g->spec, s, kind);
}

static bool is_input(const struct kb_guesser *g, const struct kb_seen *s, int source) {
    struct kb_source sources[KB_MAX_SOURCES];
    const struct kb_compare_args *a = g->args;
    int n = kb_problem_sources(a->problem, a->in, a->tensor, s->flat, sources);

    return source < n && !isnan(s->got) &&
           s->bits == kb_encode(g->spec->dtype, sources[source].value);
}

static bool is_scaled(const struct kb_tensor_spec *spec, const struct kb_seen *s,
                      double factor) {
    double want = factor * s->want;

    return isfinite(s->got) && isfinite(want) && s->want != 0 &&
           fabs(s->got - want) <= 1.5 * kb_ulp(spec->dtype, want) + fabs(factor) * s->bound;
}

/* The number itself is not looked at, only what kind of number it is. */
static bool is_of_kind(const struct kb_tensor_spec *spec, const struct kb_seen *s,
                       enum kb_guess_kind kind) {
    double largest = kb_max_finite(spec->dtype), ulp_of_1 = kb_ulp(spec->dtype, 1);
    double smallest_normal = kb_ulp(spec->dtype, 0) / ulp_of_1;

    if (s->bound == KB_KEEP) /* no number was wanted there */
        return false;
    switch (kind) {
    case KB_G_FLUSHED:
        return s->got == 0 && s->want != 0 && fabs(s->want) < smallest_normal;
    case KB_G_NAN:
        return isnan(s->got) && !isnan(s->want);
    case KB_G_NO_NAN:
        return !isnan(s->got) && isnan(s->want);
    case KB_G_INFINITY:
        return isinf(s->got) && fabs(s->want) <= largest;
    case KB_G_NO_INFINITY:
        return isfinite(s->got) && fabs(s->want) > largest;
    default:
        return false;
    }
}

static bool is_elsewhere(const struct kb_guesser *g, const struct kb_guess *guess,
                         const struct kb_seen *s, bool *known) {
    int64_t to = kb_order_of(&guess->order, g->rows, g->columns, s->flat);

    *known = to >= 0;
    if (to < 0)
        return false;
    struct kb_seen there = kb_see(g->args, to);
    return kb_seen_agrees(g->spec, s, &there);
}

bool kb_guess_holds(const struct kb_guesser *g, const struct kb_guess *guess,
                    const struct kb_seen *s, bool *known) {
    struct kb_seen minus = *s;

    *known = true;
    switch (guess->kind) {
    case KB_G_BEFORE:
        return s->bits == kb_bits_at(g->spec->dtype, g->args->in[g->args->tensor], s->flat);
    case KB_G_SAME:
        return s->bits == guess->bits ||
               (s->got == 0 && kb_decode(g->spec->dtype, guess->bits) == 0);
    case KB_G_INPUT:
        return is_input(g, s, guess->source);
    case KB_G_NEGATED:
        minus.want = -s->want;
        return s->want != 0 && kb_seen_agrees(g->spec, s, &minus);
    case KB_G_ELSEWHERE:
        return is_elsewhere(g, guess, s, known);
    case KB_G_FACTOR:
        return is_scaled(g->spec, s, guess->factor);
    case KB_G_LAST_BITS:
        return (s->bits & guess->bits) == 0;
    case KB_G_TOWARDS:
    case KB_G_AWAY:
    case KB_G_DOWN:
    case KB_G_UP:
        return is_next(g->spec, s, guess->kind);
    default:
        return is_of_kind(g->spec, s, guess->kind);
    }
}

/* ---- words -----------------------------------------------------------------------------
 */

static void value_words(const struct kb_guesser *g, const struct kb_seen *s,
                        struct kb_buf *out) {
    if (g->spec->rule == KB_RULE_EXACT && !kb_dtype_is_float(g->spec->dtype))
        kb_buf_printf(out, "%.0f", s->got);
    else
        kb_buf_printf(out, "%.6g", s->got == 0 ? 0 : s->got);
}

void kb_guess_words(const struct kb_guesser *g, const struct kb_guess *guess,
                    const struct kb_seen *first, struct kb_buf *out) {
    static const char *const words[] = {
        [KB_G_FLUSHED] = "0, where the result is subnormal",
        [KB_G_NAN] = "NaN, where a number is wanted",
        [KB_G_NO_NAN] = "a number, where NaN is wanted",
        [KB_G_INFINITY] = "an infinity, where a number is wanted",
        [KB_G_NO_INFINITY] = "a finite number, where infinity is wanted",
        [KB_G_BEFORE] = "what was there before the launch",
        [KB_G_NEGATED] = "the right number with the other sign",
        [KB_G_TOWARDS] = "the next number towards 0",
        [KB_G_AWAY] = "the next number away from 0",
        [KB_G_DOWN] = "the next number below",
        [KB_G_UP] = "the next number above",
    };
    static const char *const roundings[] = {
        [KB_G_TOWARDS] = ": results are cut, not rounded",
        [KB_G_AWAY] = ": results are rounded away from 0",
        [KB_G_DOWN] = ": results are rounded down",
        [KB_G_UP] = ": results are rounded up",
    };

    switch (guess->kind) {
    case KB_G_SAME:
        value_words(g, first, out);
        break;
    case KB_G_INPUT:
        kb_buf_printf(out, "a copy of %s", guess->name);
        break;
    case KB_G_ELSEWHERE:
        kb_order_words(&guess->order, guess->both, out);
        break;
    case KB_G_FACTOR:
        kb_buf_printf(out, "%.7g times the right number", guess->factor);
        break;
    case KB_G_LAST_BITS:
        kb_buf_printf(out, "a number whose last %d bits are 0",
                      __builtin_popcount(guess->bits));
        break;
    case KB_G_NO_NAN:
        if (guess->one_value)
            value_words(g, first, out);
        kb_buf_puts(out, guess->one_value ? ", where NaN is wanted" : words[guess->kind]);
        break;
    case KB_G_NO_INFINITY:
        kb_buf_puts(out, fabs(first->got) == kb_max_finite(g->spec->dtype)
                             ? "the largest finite number, where infinity is wanted"
                             : words[guess->kind]);
        break;
    default:
        kb_buf_puts(out, words[guess->kind]);
        if (guess->of_all)
            kb_buf_puts(out, roundings[guess->kind]);
        break;
    }
}
