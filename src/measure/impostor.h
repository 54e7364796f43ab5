/* impostor.h - wrong outputs made of the right one: their elements. Internal to impostor.c
 * and impostor_make.c. */
#ifndef KB_IMPOSTOR_H
#define KB_IMPOSTOR_H

#include "judge.h"

enum { KB_WINDOW = 256 };

enum kb_impostor_kind {
    KB_I_ZEROS,
    KB_I_COPY,
    KB_I_ROW_MEAN,
    KB_I_MEAN,
    KB_I_SHIFT_ELEMENT,
    KB_I_SHIFT_ROW,
    KB_I_LAST, /* zeros from `index` on */
    KB_I_ONE,  /* `bits` at `index`, the first of many places where it passes */
    KB_I_LOW,
};

struct kb_impostor {
    enum kb_impostor_kind kind;
    const char *name;
    int input; /* of COPY */
    int64_t index;
    uint32_t bits;
    bool caught, differs; /* an element fails; one is other than the right one */
};

/* A stretch of the right output. */
struct kb_window {
    int64_t first, count;
    double want[KB_WINDOW], bound[KB_WINDOW], value[KB_WINDOW];
    uint32_t bits[KB_WINDOW];
    bool judged[KB_WINDOW]; /* not so where any value passes, or none may be written */
    bool any_judged;
};
/* Up to the end of the tensor, then on from its start. */
void kb_window_load(const struct kb_judge *judge, int64_t first, int64_t count,
                    struct kb_chunk *chunk, struct kb_window *out);

struct kb_stage {
    struct kb_chunk chunk;
    struct kb_window here, there; /* what is judged, and where an impostor has it from */
    uint32_t got[KB_WINDOW];
    bool same[KB_WINDOW]; /* the impostor has the right element there */
};
/* The impostor's elements in the window `here`: `got` and `same`. */
void kb_impostor_make(const struct kb_judge *judge, const struct kb_impostor *impostor,
                      struct kb_stage *stage);
/* For ONE: what is wrong in place of element `i` of the window, by as much as numbers
 * around it are large. */
uint32_t kb_impostor_wrong(const struct kb_judge *judge, const struct kb_window *window,
                           int64_t i);
/* Could a kernel copy the tensor to the output: element by element, or the first ones of
 * each row? */
bool kb_impostor_can_copy(const struct kb_judge *judge, int tensor);
/* The same code; the same number, whatever its sign if it is 0; NaN both. */
bool kb_same_value(const struct kb_judge *judge, uint32_t a, uint32_t b);

#endif
