/* casefile.h - between casefile.c and caselists.c: a case file that is being read. */
#ifndef KB_OP_CASEFILE_H
#define KB_OP_CASEFILE_H

#include "op/group.h"

struct kb_reader {
    struct kb_json doc;
    const char *name;
    struct kb_groups *groups; /* what is read goes there, memory comes from its arena */
    struct kb_complaints *c;
};

/* A group in the making. A list that the file lacks, or that has nothing right in it,
 * leaves its array empty. */
struct kb_draft {
    const cJSON *node;
    const cJSON *op_list, *dtype_list, *fill_list, *set;
    const cJSON *lists[2]; /* shapes and axes: one of them in a group that is right */
    const struct kb_op **ops;
    enum kb_dtype *dtypes; /* that all of ops have */
    enum kb_fill *fills;
    struct kb_shape *shapes;
    const cJSON **shape_nodes; /* where each shape stands */
    int n_ops, n_dtypes, n_fills, n_shapes;
    struct kb_origin *origin;
};

/* Complain at the place of one node (or its key) by the path of another: words of a list
 * are named by the message, so the path is the list's. */
void kb_read_complain(struct kb_reader *r, const cJSON *place, bool of_key,
                      const cJSON *path, const char *fmt, ...) KB_PRINTF(5, 6);
/* "wants WANTED, got NODE". */
void kb_read_wanted(struct kb_reader *r, const cJSON *node, const cJSON *path,
                    const char *wanted);
/* Length of a list that must have something in it; 0 after a complaint. */
int kb_read_length(struct kb_reader *r, const cJSON *list, const char *wanted);
bool kb_read_is_word(struct kb_reader *r, const cJSON *list, const cJSON *item,
                     const char *wanted);

/* An op that is not there is read on as the one that was meant. */
void kb_read_ops(struct kb_reader *r, struct kb_draft *d);
void kb_read_dtypes(struct kb_reader *r, struct kb_draft *d);
void kb_read_fills(struct kb_reader *r, struct kb_draft *d);
void kb_read_shapes(struct kb_reader *r, struct kb_draft *d);
/* The values of all axes of `op`; an array of op->n_axes. */
const struct kb_axis_values *kb_read_axes(struct kb_reader *r, const struct kb_draft *d,
                                          const struct kb_op *op);
/* The choices of group `g` for its op. */
void kb_read_set(struct kb_reader *r, const cJSON *set, struct kb_group *g);

#endif
