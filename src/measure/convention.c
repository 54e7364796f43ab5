/* convention.c - a wrong output held against what other kernels of the same op compute: the
 * halves the other way round, another rounding, another activation. It costs as much as
 * the comparison for each convention that is not ruled out by the first wrong elements. */
#include "measure.h"

#include <stdlib.h>

enum { EXPLAINED = 20 }; /* a convention leaves at most one in so many wrong */

/* Inputs that are there, whole or without what lies behind rows, and an output of the same
 * kind? */
static bool has_tensors(const struct kb_problem *other,
                        const struct kb_compare_args *args) {
    const struct kb_problem *mine = args->problem;

    if (other->n_tensors != mine->n_tensors)
        return false;
    for (int t = 0; t < mine->n_tensors; t++) {
        const struct kb_tensor_spec *a = &mine->tensors[t], *b = &other->tensors[t];
        if (b->absent ? t == args->tensor
                      : a->absent || a->role != b->role || a->dtype != b->dtype ||
                            b->elements > a->elements || a->rule != b->rule ||
                            (b->role != KB_IN && b->elements != a->elements))
            return false;
    }
    return true;
}

/* Of the first wrong elements, most must be right by the convention. */
static bool is_possible(const struct kb_compare_args *args,
                        const struct kb_output_report *out) {
    struct kb_compare_args anywhere = *args;
    int64_t over = 0;

    anywhere.sample = NULL;
    for (int i = 0; i < out->n_first; i++)
        over += kb_compare_over(&anywhere, out->first[i].index, 1);
    return 2 * over < out->n_first;
}

static int64_t count_over(struct kb_compare_args *args, int64_t elements) {
    const struct kb_op *op = args->problem->c->op;
    void *prepared = op->prepare ? op->prepare(args->problem, args->in) : NULL;

    args->prepared = prepared;
    int64_t over = kb_compare_over(args, 0, elements);
    free(prepared);
    return over;
}

void kb_compare_conventions(const struct kb_compare_args *args,
                            struct kb_output_report *out) {
    const struct kb_case *c = args->problem->c;
    int64_t least = out->over / EXPLAINED;
    struct kb_problem *problem = malloc(sizeof *problem);

    if (!problem)
        kb_out_of_memory();
    for (int i = 0; i < c->op->n_conventions; i++) {
        const struct kb_convention *other = &c->op->conventions[i];
        struct kb_case by;
        struct kb_compare_args theirs = *args;
        if (!kb_case_by_convention(c, other, &by, problem) || !has_tensors(problem, args))
            continue;
        theirs.problem = problem;
        theirs.prepared = NULL;
        if (!is_possible(&theirs, out))
            continue;
        int64_t over = count_over(&theirs, out->checked);
        if (over > least || (over == least && out->follows))
            continue;
        out->follows = other->words;
        out->follows_over = least = over;
    }
    free(problem);
}

void kb_follows_words(const struct kb_output_report *output, struct kb_buf *out) {
    if (!output->follows)
        return;
    kb_buf_printf(out, "; matches %s", output->follows);
    if (output->follows_over > 0)
        kb_buf_printf(out, " but for %lld elements", (long long)output->follows_over);
}
