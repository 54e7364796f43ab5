/* keys.c - cases told apart as their ids tell them, without a text being made.
 *
 * A key is a sum: of a hash for each word that the id has. So the keys of a group are sums
 * over its lists, of which each item is hashed once. */
#include "op/entries.h"

#include <assert.h>
#include <string.h>

/* What a hash is of; parameter i is PARAM + i. */
enum word { OP, SHAPE, DTYPE, FILL, PARAM };

static unsigned __int128 hash_of(int word, const void *data, size_t size) {
    unsigned char bytes[sizeof word + sizeof(struct kb_value)];
    unsigned __int128 sum;
    assert(size <= sizeof(struct kb_value));
    memcpy(bytes, &word, sizeof word);
    memcpy(bytes + sizeof word, data, size);
    struct kb_hash hash = kb_hash_of(bytes, sizeof word + size);
    memcpy(&sum, hash.bytes, sizeof sum);
    return sum;
}

static unsigned __int128 key_of_shape(const int64_t *shape, int rank) {
    return hash_of(SHAPE, shape, (size_t)rank * sizeof *shape);
}

static unsigned __int128 key_of_dtype(enum kb_dtype dtype) {
    return hash_of(DTYPE, &dtype, sizeof dtype);
}

static unsigned __int128 key_of_fill(enum kb_fill fill) {
    return hash_of(FILL, &fill, sizeof fill);
}

/* A default is no word of an id. */
static unsigned __int128 key_of_value(const struct kb_op *op, int param,
                                      const struct kb_value *value) {
    size_t items = op->params[param].kind == KB_PARAM_LIST ? (size_t)value->v : 0;
    if (value->v == op->params[param].def)
        return 0;
    return hash_of(PARAM + param, value,
                   offsetof(struct kb_value, items) + items * sizeof *value->items);
}

unsigned __int128 kb_case_key(const struct kb_case *c) {
    unsigned __int128 key = hash_of(OP, &c->op, sizeof c->op) + key_of_dtype(c->dtype) +
                            key_of_fill(c->fill) + key_of_shape(c->shape, c->rank);
    for (int i = 0; i < c->op->n_params; i++)
        key += key_of_value(c->op, i, &c->set[i]);
    return key;
}

/* ---- of a group ------------------------------------------------------------------------
 */

static bool is_chosen(const struct kb_group *g, int param) {
    for (int i = 0; i < g->n_choices; i++)
        if (g->choices[i].param == param)
            return true;
    return false;
}

static unsigned __int128 *room(struct kb_arena *arena, int n) {
    return kb_arena_array(arena, (size_t)n, sizeof(unsigned __int128));
}

struct kb_keys kb_keys_make(const struct kb_group *g, struct kb_arena *arena) {
    const struct kb_op *op = g->base->op;
    struct kb_keys keys = {
        .group = g,
        .rest = hash_of(OP, &op, sizeof op),
        .shapes = room(arena, g->n_shapes),
        .dtypes = room(arena, g->n_dtypes),
        .fills = room(arena, g->n_fills),
    };
    for (int i = 0; i < op->n_params; i++)
        if (!is_chosen(g, i))
            keys.rest += key_of_value(op, i, &g->base->set[i]);
    for (int i = 0; i < g->n_shapes; i++) {
        int64_t shape[KB_MAX_RANK];
        int rank = 0;
        kb_group_shape(g, i, shape, &rank); /* kb_groups_resolve has seen it succeed */
        keys.shapes[i] = key_of_shape(shape, rank);
    }
    for (int i = 0; i < g->n_dtypes; i++)
        keys.dtypes[i] = key_of_dtype(g->dtypes[i]);
    for (int i = 0; i < g->n_fills; i++)
        keys.fills[i] = key_of_fill(g->fills[i]);
    assert(g->n_choices <= KB_MAX_PARAMS);
    for (int c = 0; c < g->n_choices; c++) {
        const struct kb_choice *choice = &g->choices[c];
        keys.choices[c] = room(arena, choice->n);
        for (int i = 0; i < choice->n; i++)
            keys.choices[c][i] = key_of_value(op, choice->param, &choice->values[i]);
    }
    return keys;
}

/* In the order of kb_group_case. */
unsigned __int128 kb_keys_at(const struct kb_keys *keys, int64_t index) {
    const struct kb_group *g = keys->group;
    unsigned __int128 key = keys->rest + keys->fills[index % g->n_fills];
    index /= g->n_fills;
    for (int i = g->n_choices - 1; i >= 0; i--) {
        key += keys->choices[i][index % g->choices[i].n];
        index /= g->choices[i].n;
    }
    return key + keys->dtypes[index % g->n_dtypes] + keys->shapes[index / g->n_dtypes];
}
