/* localise_holds.c - what wrong elements hold instead of what they should: one number, an
 * input, what was there before, what belongs elsewhere, the right number times a factor,
 * cut, or without its last bits.
 *
 * Guesses are made from a few elements. The first that nearly all of those follow is held
 * against as many as the reference's cost allows, and told if nearly all of these do, too.
 * Of guesses that a number may follow by accident it must be so many that it is none: how
 * often two elements that have nothing to do with each other agree is counted. */
#include "localise_guess.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TRIED = 64, LOOK = 8, PAIRS = 512, VERIFIED = 4096 };
#define GUESS_BITS 7.0 /* there are about so many guesses, as a power of two */

struct holder {
    struct kb_guesser g;
    const struct kb_mask *mask;
    struct kb_seen *seen; /* of wrong elements */
    int64_t n;
    double bits; /* that one element's agreement is worth */
};

/* Wrong elements with something written to them. */
static void see_wrong(struct holder *h, int64_t max) {
    const struct kb_tensor_spec *spec = h->g.spec;
    int64_t *places = calloc((size_t)max, sizeof *places);

    h->n = 0;
    h->seen = calloc((size_t)max, sizeof *h->seen);
    if (!places || !h->seen)
        kb_out_of_memory();
    int64_t n = kb_set_sample(&h->mask->set, true, h->mask->wrong, max, places);
    for (int64_t i = 0; i < n; i++) {
        int64_t flat = kb_mask_flat(h->mask, places[i]);
        uint32_t bits = kb_bits_at(spec->dtype, h->g.args->got, flat);
        if (spec->role == KB_INOUT || !kb_is_poison(spec->dtype, bits, h->g.args->poison))
            h->seen[h->n++] = kb_see(h->g.args, flat);
    }
    free(places);
}

static void weigh(struct holder *h) {
    int64_t agree = 0, pairs = 0;
    uint32_t drawn[4];

    for (int64_t i = 0; i < PAIRS && h->n > 0; i++) {
        kb_philox(1, 0, (uint64_t)i, drawn);
        int64_t other = (int64_t)(drawn[0] % (uint64_t)(h->g.rows * h->g.columns));
        struct kb_seen there = kb_see(h->g.args, other);
        agree += kb_seen_agrees(h->g.spec, &h->seen[i % h->n], &there);
        pairs++;
    }
    h->bits = -log2((double)(agree + 1) / (double)(pairs + 2));
}

/* Of the first `n` elements those that follow the guess; *known: those that can tell. */
static int64_t count(const struct holder *h, const struct kb_guess *guess, int64_t n,
                     int64_t *known) {
    int64_t follow = 0;

    *known = 0;
    for (int64_t i = 0; i < n; i++) {
        bool tells;
        follow += kb_guess_holds(&h->g, guess, &h->seen[i], &tells);
        *known += tells;
    }
    return follow;
}

/* What an element tells for the guess, in bits. Of kinds that are what they are it needs no
 * more than to be seen. */
static double worth(const struct holder *h, const struct kb_guess *guess) {
    switch (guess->kind) {
    case KB_G_SAME:
    case KB_G_NEGATED:
    case KB_G_ELSEWHERE:
    case KB_G_FACTOR:
        return h->bits;
    case KB_G_LAST_BITS:
        return __builtin_popcount(guess->bits);
    case KB_G_TOWARDS:
    case KB_G_AWAY:
    case KB_G_DOWN:
    case KB_G_UP:
        return 1;
    default:
        return 100;
    }
}

static bool fits(const struct holder *h, const struct kb_guess *guess) {
    int64_t look = h->n < LOOK ? h->n : LOOK, known;

    if (count(h, guess, look, &known) < known - 1)
        return false;
    int64_t follow = count(h, guess, h->n, &known);
    int64_t spare = guess->kind == KB_G_SAME || guess->kind == KB_G_FACTOR;
    return (double)known >= KB_PURE * (double)h->n &&
           (double)follow >= KB_COVER * (double)known && follow > spare &&
           (double)(follow - spare) * worth(h, guess) - GUESS_BITS >= KB_EVIDENCE;
}

/* ---- making guesses --------------------------------------------------------------------
 */

/* One number of the grid is below 0, another above, or "towards 0" would be "down". */
static bool has_both_signs(const struct holder *h) {
    bool below = false, above = false;

    for (int64_t i = 0; i < h->n; i++) {
        below |= h->seen[i].want < 0;
        above |= h->seen[i].want > 0;
    }
    return below && above;
}

/* With as few digits as the grid tells apart. */
static double short_factor(double factor, double grid) {
    for (int digits = 1; digits < 7; digits++) {
        double scale = pow(10, digits - 1 - floor(log10(fabs(factor))));
        double number = round(factor * scale) / scale;
        if (fabs(number - factor) <= fabs(factor) * grid / 4)
            return number;
    }
    return factor;
}

/* The median of the ratios: each is rounded, in the middle that comes to little. */
static bool find_factor(const struct holder *h, struct kb_guess *guess) {
    double ratios[TRIED];
    size_t n = 0;

    for (int64_t i = 0; i < h->n; i++)
        if (isfinite(h->seen[i].got) && isfinite(h->seen[i].want) && h->seen[i].want != 0)
            ratios[n++] = h->seen[i].got / h->seen[i].want;
    if (n == 0)
        return false;
    kb_sort(ratios, n);
    double factor = ratios[n / 2], grid = kb_ulp(h->g.spec->dtype, 1);
    if (factor == 0 || !isfinite(factor) || fabs(factor - 1) <= 4 * grid)
        return false;
    guess->factor = short_factor(factor, grid);
    return true;
}

/* Low bits that are 0 in all, and would not be if they were right. */
static bool find_last_bits(const struct holder *h, struct kb_guess *guess) {
    uint32_t got = 0, want = 0;

    for (int64_t i = 0; i < h->n; i++) {
        got |= h->seen[i].bits;
        want |= kb_encode(h->g.spec->dtype, h->seen[i].want);
    }
    if (!got || !(want & 7))
        return false;
    guess->bits = (got & -got) - 1;
    return guess->bits >= 7;
}

static bool is_number(const struct kb_tensor_spec *spec) {
    return kb_dtype_is_float(spec->dtype);
}

/* The next guess of a kind, from *i on; false where there is none. */
static bool next_guess(const struct holder *h, enum kb_guess_kind kind, int *i,
                       struct kb_guess *guess) {
    const struct kb_compare_args *a = h->g.args;
    struct kb_source sources[KB_MAX_SOURCES];
    bool first = (*i)++ == 0;

    *guess = (struct kb_guess){.kind = kind};
    switch (kind) {
    case KB_G_BEFORE:
        return first && h->g.spec->role == KB_INOUT;
    case KB_G_SAME:
        guess->bits = h->seen[0].bits;
        return first;
    case KB_G_INPUT:
        guess->source = *i - 1;
        if (guess->source >=
            kb_problem_sources(a->problem, a->in, a->tensor, h->seen[0].flat, sources))
            return false;
        guess->name = sources[guess->source].name;
        return true;
    case KB_G_ELSEWHERE:
        if (*i > kb_order_count())
            return false;
        guess->order = kb_order_at(*i - 1);
        return true;
    case KB_G_NEGATED:
        return first && is_number(h->g.spec);
    case KB_G_FACTOR:
        return first && is_number(h->g.spec) && find_factor(h, guess);
    case KB_G_LAST_BITS:
        return first && is_number(h->g.spec) && find_last_bits(h, guess);
    case KB_G_TOWARDS:
    case KB_G_AWAY:
        return first && has_both_signs(h);
    default:
        return first && is_number(h->g.spec);
    }
}

static bool find(const struct holder *h, struct kb_guess *guess) {
    for (int kind = 0; kind < KB_G_COUNT; kind++)
        for (int i = 0; next_guess(h, (enum kb_guess_kind)kind, &i, guess);)
            if (fits(h, guess))
                return true;
    return false;
}

/* Whether the elements whose numbers are held are wrong as well: then they are exchanged,
 * and not copied. */
static bool are_both_wrong(const struct holder *h, const struct kb_guess *guess) {
    if (guess->kind != KB_G_ELSEWHERE || h->mask->numbers)
        return false;
    for (int64_t i = 0; i < h->n; i++) {
        int64_t to = kb_order_of(&guess->order, h->g.rows, h->g.columns, h->seen[i].flat);
        if (to >= 0 && !kb_set_has(&h->mask->set, to))
            return false;
    }
    return true;
}

static bool is_one_value(const struct holder *h) {
    for (int64_t i = 1; i < h->n; i++)
        if (h->seen[i].got != h->seen[0].got)
            return false;
    return h->n > 1;
}

/* Right elements are where that rounding puts them, too. */
static bool is_rounding(const struct holder *h, enum kb_guess_kind kind) {
    int64_t places[TRIED], n, right = h->mask->set.n - h->mask->wrong, on_side = 0;

    if (kind < KB_G_TOWARDS)
        return false;
    n = kb_set_sample(&h->mask->set, false, right, TRIED, places);
    for (int64_t i = 0; i < n; i++) {
        struct kb_seen s = kb_see(h->g.args, kb_mask_flat(h->mask, places[i]));
        on_side += kb_guess_is_side(&h->g, kind, &s);
    }
    return n >= TRIED / 2 && on_side == n;
}

/* ---- words -----------------------------------------------------------------------------
 */

static void put_words(const struct holder *h, const struct kb_guess *guess, int64_t follow,
                      int64_t known, struct kb_buf *out) {
    if (h->mask->wrong == 1)
        kb_buf_puts(out, "it holds ");
    else if (follow == known && known == h->mask->wrong)
        kb_buf_puts(out, "each holds ");
    else if (follow == known)
        kb_buf_printf(out, "each of %lld looked at holds ", (long long)known);
    else
        kb_buf_printf(out, "%.0f %% of them hold ",
                      floor(100 * (double)follow / (double)known));
    kb_guess_words(&h->g, guess, &h->seen[0], out);
}

void kb_mask_holds(const struct kb_compare_args *args, const struct kb_mask *mask,
                   struct kb_arena *arena, struct kb_local *out) {
    const struct kb_tensor_spec *spec = &args->problem->tensors[args->tensor];
    struct holder h = {.g = {args, spec, mask->all_rows, mask->columns}, .mask = mask};
    int64_t most = kb_see_max(args), known = 0;
    struct kb_guess guess;
    struct kb_buf text = {0};

    if (most < PAIRS + TRIED + LOOK * kb_order_count())
        return;
    see_wrong(&h, TRIED);
    weigh(&h);
    bool found = h.n > 0 && find(&h, &guess);
    free(h.seen);
    if (!found)
        return;
    see_wrong(&h, most / 4 < VERIFIED ? most / 4 : VERIFIED);
    int64_t follow = count(&h, &guess, h.n, &known);
    if ((double)follow >= KB_COVER * (double)known) {
        guess.of_all = is_rounding(&h, guess.kind);
        guess.one_value = is_one_value(&h);
        guess.both = are_both_wrong(&h, &guess);
        put_words(&h, &guess, follow, known, &text);
        out->holds = kb_arena_strdup(arena, kb_buf_text(&text));
    }
    free(h.seen);
    kb_buf_free(&text);
}
