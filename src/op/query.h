/* query.h - the lists of the command line as values: query.c reads them and makes cases,
 * query_pick.c selects. Private to src/op. */
#ifndef KB_OP_QUERY_H
#define KB_OP_QUERY_H

#include "op/group.h"

/* One --set key with the values of all --set items that name it. */
struct setting {
    const char *key;
    struct kb_strings values;
};

/* The lists as values. What is wrong in them was complained about and is left out. */
struct lists {
    struct kb_arena *arena;
    struct kb_complaints *c;
    const struct kb_op **ops;
    struct kb_shape *shapes;
    enum kb_dtype *dtypes;
    enum kb_fill *fills;
    struct setting *settings;
    int n_ops, n_shapes, n_dtypes, n_fills, n_settings;
    bool all_fills; /* each op's own, in place of `fills` */
};
struct lists kb_lists_read(const struct kb_query *query, struct kb_arena *arena,
                           struct kb_complaints *c);

#endif
