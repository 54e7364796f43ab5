/* localise_guess.h - guesses at what wrong elements hold, between localise_guess.c, which
 * holds one against an element, and localise_holds.c, which makes them. */
#ifndef KB_LOCALISE_GUESS_H
#define KB_LOCALISE_GUESS_H

#include "localise.h"

enum kb_guess_kind {
    KB_G_FLUSHED,     /* 0 for a subnormal */
    KB_G_NAN,         /* for a number */
    KB_G_NO_NAN,      /* but a number */
    KB_G_INFINITY,    /* for a number */
    KB_G_NO_INFINITY, /* but a number */
    KB_G_BEFORE,      /* what was there before */
    KB_G_SAME,        /* one number in all */
    KB_G_INPUT,       /* a copy */
    KB_G_NEGATED,
    KB_G_ELSEWHERE, /* what belongs elsewhere */
    KB_G_FACTOR,
    KB_G_LAST_BITS, /* are 0 */
    KB_G_TOWARDS,   /* 0: the next number of the grid */
    KB_G_AWAY,
    KB_G_DOWN,
    KB_G_UP,
    KB_G_COUNT
};
struct kb_guess {
    enum kb_guess_kind kind;
    uint32_t bits;         /* SAME; the mask of LAST_BITS */
    int source;            /* INPUT */
    const char *name;      /* of it */
    struct kb_order order; /* ELSEWHERE */
    bool both;             /* ELSEWHERE: what is there is wrong, too */
    double factor;
    bool one_value; /* NO_NAN: in all */
    bool of_all;    /* TOWARDS to UP: right elements are on that side, too */
};
struct kb_guesser {
    const struct kb_compare_args *args;
    const struct kb_tensor_spec *spec;
    int64_t rows, columns;
};
/* *known false: it cannot tell of this element. */
bool kb_guess_holds(const struct kb_guesser *g, const struct kb_guess *guess,
                    const struct kb_seen *s, bool *known);
/* Of TOWARDS to UP: whether an element, be it right, is on that side of what is wanted, and
 * next to it. */
bool kb_guess_is_side(const struct kb_guesser *g, enum kb_guess_kind kind,
                      const struct kb_seen *s);
/* What they hold; `first` is one of them. */
void kb_guess_words(const struct kb_guesser *g, const struct kb_guess *guess,
                    const struct kb_seen *first, struct kb_buf *out);
/* Whether the number of `got` would be right where that of `want` is wanted. */
bool kb_seen_agrees(const struct kb_tensor_spec *spec, const struct kb_seen *got,
                    const struct kb_seen *want);

#endif
