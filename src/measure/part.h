/* part.h - problems that run beside a case's own: its first rows alone, and all of it with
 * inputs of another seed. Internal to the measure layer. */
#ifndef KB_PART_H
#define KB_PART_H

#include "session.h"

struct life;

struct kb_part {
    int64_t rows;  /* of the case's, from the first on; 0: all of it, of another seed */
    uint64_t seed; /* of its inputs */
    struct kb_case c;
    struct kb_problem problem;
    struct kb_plan plan;
    struct kb_built *built;
};

/* What a part may cost. */
struct kb_part_limits {
    int64_t batch_bytes;    /* tensors of the first rows */
    int64_t fresh_elements; /* of all outputs; the reference is computed for them */
    bool build;             /* code that only the part needs may be compiled */
};

enum { KB_MAX_PARTS = 3 };

/* The parts that there are: about half of the rows, one row, other inputs. Those that the
 * variant does not take are left out. Strings and plans are the case's arena's. */
int kb_parts_make(struct life *l, const struct kb_part_limits *limits,
                  struct kb_part *parts);
/* Sizes of its tensors, then of its scratch. */
void kb_part_bytes(const struct kb_part *part, size_t *bytes);
/* What the launches begin with, into slots at these addresses (NULL: of no bytes). */
void kb_part_fill(struct life *l, const struct kb_part *part, void *const *at);
/* What they left there: the rows must have the bits of l->first, an output of other inputs
 * is held against their reference. False with the row's verdict. */
bool kb_part_judge(struct life *l, const struct kb_part *part, void *const *at);

/* Tensors of `a`, a case, that `b`, its first rows, has in common with it, as `outer` times
 * `units` of `unit` bytes, of `a_units` and `b_units` that there are. False where the
 * shapes are not those of a batch. */
struct kb_common {
    int64_t outer, units, a_units, b_units;
    int64_t units_of_row; /* 0: the tensor does not know of rows */
    size_t unit;
};
bool kb_common_of(const struct kb_tensor_spec *a, const struct kb_tensor_spec *b,
                  int64_t a_rows, int64_t b_rows, struct kb_common *out);

#endif
