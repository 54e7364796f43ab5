/* list.c - the ops there are: one line each, in the order that lists show them. */
#include "op.h"

#include <string.h>

#define OPS(X)                                                                             \
    X(silu)                                                                                \
    X(gelu)                                                                                \
    X(gelu_tanh)                                                                           \
    X(silu_mul_quant)                                                                      \
    X(qknorm_rope)                                                                         \
    X(moe_routing)                                                                         \
    X(mla_prefill)                                                                         \
    X(mla_kv_pack_quantize)                                                                \
    X(merge_state)                                                                         \
    X(mma)                                                                                 \
    X(stream)

#define X(name) extern const struct kb_op kb_op_##name;
OPS(X)
#undef X

const struct kb_op *const kb_ops[] = {
#define X(name) &kb_op_##name,
    OPS(X)
#undef X
};

const int kb_op_count = KB_COUNT(kb_ops);

const struct kb_op *kb_op_find(const char *name) {
    for (int i = 0; i < kb_op_count; i++)
        if (!strcmp(kb_ops[i]->name, name))
            return kb_ops[i];
    return NULL;
}

bool kb_op_has_dtype(const struct kb_op *op, enum kb_dtype dtype) {
    for (int i = 0; i < op->n_dtypes; i++)
        if (op->dtypes[i] == dtype)
            return true;
    return false;
}

bool kb_op_shape(const struct kb_op *op, const int64_t *values, int64_t shape[KB_MAX_RANK],
                 int *rank) {
    if (op->shape_of_axes)
        return op->shape_of_axes(values, shape, rank);
    *rank = op->n_axes;
    memcpy(shape, values, (size_t)op->n_axes * sizeof *values);
    return true;
}

const struct kb_param *kb_op_param(const struct kb_op *op, const char *name, int *index) {
    for (int i = 0; i < op->n_params; i++) {
        if (strcmp(op->params[i].name, name))
            continue;
        if (index)
            *index = i;
        return &op->params[i];
    }
    return NULL;
}
