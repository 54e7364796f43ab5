/* problem.h - what op pages are written with: problems, macros, fills and roundings that
 * are the same for all. Part of the op layer, included by op.h. */
#ifndef KB_PROBLEM_H
#define KB_PROBLEM_H

#include "op.h"

void kb_problem_name(struct kb_problem *p, const char *name, int64_t value);
void kb_problem_float(struct kb_problem *p, const char *name, double value);
/* Adds a tensor; shape product checked (KB_INPUT "... elements overflow"). */
bool kb_problem_tensor(struct kb_problem *p, const char *name, enum kb_role role,
                       enum kb_dtype dtype, int rank, const int64_t *shape,
                       enum kb_rule rule, struct kb_err *err);
/* The tensor added last is not there in this problem: its name and shape stay for contracts
 * and help, its elements are none. */
void kb_problem_absent(struct kb_problem *p);
/* The input added last follows from the problem alone. */
void kb_problem_derived(struct kb_problem *p);
/* A parameter's name stands for `value` here: what its default comes to. */
void kb_problem_means(struct kb_problem *p, const char *param, int64_t value);
int kb_problem_find(const struct kb_problem *p, const char *tensor); /* -1 if none */
/* The stream that is the ceiling of a kernel that must read and write so many bytes: at
 * most as many of them, in a mix that memory is no slower with. */
void kb_problem_moves(struct kb_problem *p, int64_t read, int64_t written);
/* op->sources, or what stands for it. */
int kb_problem_sources(const struct kb_problem *p, const void *const *in, int t, int64_t i,
                       struct kb_source *out);

/* A macro of an op's entries beside KB_T, which is the C++ type of the case's dtype: a
 * number, or the C++ type of a dtype. */
struct kb_macro {
    const char *name;
    int value;
    const char *type; /* NULL: the number */
};
void kb_macros_add(const struct kb_case *c, const struct kb_macro *macros, size_t n,
                   struct kb_arena *arena, struct kb_strings *out);

/* Elements [first, first + count) of tensor `t` by `fill`, keyed by its name; rows are what
 * the last axis counts off. */
void kb_problem_fill(const struct kb_problem *p, int t, enum kb_fill fill, uint64_t seed,
                     int64_t first, int64_t count, void *data);

/* How far R(v) may move where v is off by `err`: to the neighbour, if a midpoint of the
 * dtype's grid is within that, else not at all. A bound is multiplied by `factor` in a
 * fast-math build, after the fact: where only the larger error reaches a midpoint, the step
 * divided by the factor counts. */
double kb_rounding_step(enum kb_dtype dtype, double v, double err, double factor);

#endif
