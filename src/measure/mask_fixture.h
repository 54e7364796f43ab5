/* mask_fixture.h - outputs of any shape with wrong elements where a test says, as masks. */
#ifndef KB_MASK_FIXTURE_H
#define KB_MASK_FIXTURE_H

#include "localise.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct place {
    int64_t row, column, flat;
};
typedef bool is_wrong(struct place at);

struct output {
    int rank;
    int64_t shape[KB_MAX_RANK];
};

static inline struct kb_mask mask_of(const struct output *o, is_wrong *wrong) {
    struct kb_mask mask = {.rows = 1, .columns = o->shape[o->rank - 1], .rank = o->rank};
    for (int i = 0; i < o->rank - 1; i++)
        mask.rows *= o->shape[i];
    mask.all_rows = mask.rows;
    memcpy(mask.shape, o->shape, sizeof mask.shape);
    assert_true(kb_set_make(&mask.set, mask.rows * mask.columns));
    for (int64_t i = 0; i < mask.set.n; i++)
        if (wrong((struct place){i / mask.columns, i % mask.columns, i})) {
            kb_set_add(&mask.set, i);
            mask.wrong++;
        }
    return mask;
}

static inline bool tails_of_last_rows(struct place at) {
    return at.row >= 80 && at.column >= 496;
}
static inline bool last_three_rows(struct place at) {
    return at.row >= 80;
}
static inline bool every(struct place at) {
    (void)at;
    return true;
}

#endif
