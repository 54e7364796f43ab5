/* query_pick.c - the lists of the command line as a selection of the cases of files. */
#include "op/query.h"

#include <string.h>

static bool is_asked(const struct lists *l, const struct kb_op *op) {
    for (int i = 0; i < l->n_ops; i++)
        if (l->ops[i] == op)
            return true;
    return !l->n_ops;
}

/* A key that no op has. */
static void complain_of_key(struct lists *l, const char *key) {
    struct kb_strings known = {0};
    struct kb_buf what = {0};
    kb_strings_add(&known, l->arena, "fill");
    for (int i = 0; i < kb_op_count; i++)
        for (int k = 0; k < kb_ops[i]->n_params; k++)
            if (is_asked(l, kb_ops[i]) &&
                !kb_strings_has(&known, kb_ops[i]->params[k].name))
                kb_strings_add(&known, l->arena, kb_ops[i]->params[k].name);
    kb_unknown(&what, "key", key, known.items, known.count);
    kb_complain_option(l->c, "--set", "%s", kb_buf_text(&what));
    kb_buf_free(&what);
}

/* What each op makes of one key. A value must mean something to one of them. */
static void read_key(struct lists *l, const struct setting *s, struct kb_choice *out) {
    size_t n = s->values.count;
    bool *taken = kb_arena_array(l->arena, n, sizeof *taken);
    struct kb_err *errs = kb_arena_array(l->arena, n, sizeof *errs);
    bool known = false;
    for (int i = 0; i < kb_op_count; i++) {
        struct kb_value *values = kb_arena_array(l->arena, n, sizeof *values);
        const struct kb_param *param = kb_op_param(kb_ops[i], s->key, &out[i].param);
        out[i].values = values;
        if (!param || !is_asked(l, kb_ops[i])) {
            out[i].param = -1;
            continue;
        }
        known = true;
        for (size_t k = 0; k < n; k++) {
            bool ok =
                kb_value_parse(param, s->values.items[k], &values[out[i].n], &errs[k]);
            out[i].n += ok;
            taken[k] |= ok;
        }
    }
    if (!known)
        complain_of_key(l, s->key);
    for (size_t k = 0; k < n && known; k++)
        if (!taken[k])
            kb_complain_option(l->c, "--set", "%s", errs[k].msg);
}

static void read_tags(const struct kb_strings *tags, struct kb_groups *groups,
                      struct kb_pick *pick, struct kb_complaints *c) {
    for (size_t i = 0; i < tags->count; i++) {
        int at = 0;
        while (at < groups->n_tags && !kb_streq(groups->tags[at], tags->items[i]))
            at++;
        if (at < groups->n_tags) {
            pick->tags |= (unsigned __int128)1 << at;
            continue;
        }
        struct kb_buf what = {0};
        kb_unknown(&what, "tag", tags->items[i], groups->tags, (size_t)groups->n_tags);
        kb_complain_option(c, "--tag", "%s", kb_buf_text(&what));
        kb_buf_free(&what);
    }
}

void kb_query_select(const struct kb_query *query, struct kb_groups *groups,
                     bool files_are_right, struct kb_pick *pick, struct kb_complaints *c) {
    struct kb_arena *arena = groups->arena;
    struct lists l = kb_lists_read(query, arena, c);
    *pick = (struct kb_pick){
        .ops = l.ops,
        .n_ops = (size_t)l.n_ops,
        .shapes = l.shapes,
        .n_shapes = (size_t)l.n_shapes,
        .any_dtype = !l.n_dtypes,
        .any_fill = !l.n_fills || l.all_fills,
        .any_tag = !query->tags.count,
        .by_tag_too = query->tags.count || query->ids.count || query->by_tag_too,
        .n_keys = (size_t)l.n_settings,
    };
    for (int i = 0; i < l.n_dtypes; i++)
        pick->dtype[l.dtypes[i]] = true;
    for (int i = 0; i < l.n_fills; i++)
        pick->fill[l.fills[i]] = true;
    pick->choices =
        kb_arena_array(arena, pick->n_keys * (size_t)kb_op_count, sizeof *pick->choices);
    for (int i = 0; i < l.n_settings; i++)
        read_key(&l, &l.settings[i], &pick->choices[i * kb_op_count]);
    for (size_t i = 0; i < query->match.count && !kb_strings_has(&query->match, "*"); i++)
        kb_strings_add(&pick->match, arena, kb_arena_strdup(arena, query->match.items[i]));
    pick->keys = kb_arena_array(arena, query->ids.count, sizeof *pick->keys);
    for (size_t i = 0; i < query->ids.count; i++) {
        struct kb_case of_id;
        if (!kb_case_parse(query->ids.items[i], arena, &of_id, c))
            continue;
        pick->keys[pick->ids.count] = kb_case_key(&of_id);
        kb_strings_add(&pick->ids, arena, of_id.id);
    }
    if (files_are_right)
        read_tags(&query->tags, groups, pick, c);
}

static bool picks_op(const struct kb_pick *pick, const struct kb_op *op) {
    for (size_t i = 0; i < pick->n_ops; i++)
        if (pick->ops[i] == op)
            return true;
    return !pick->n_ops;
}

static bool picks_shape(const struct kb_pick *pick, const struct kb_case *c) {
    for (size_t i = 0; i < pick->n_shapes; i++)
        if (pick->shapes[i].rank == c->rank &&
            !memcmp(pick->shapes[i].sizes, c->shape, (size_t)c->rank * sizeof *c->shape))
            return true;
    return !pick->n_shapes;
}

static bool picks_settings(const struct kb_pick *pick, const struct kb_case *c) {
    size_t op = 0;
    while (kb_ops[op] != c->op)
        op++;
    for (size_t key = 0; key < pick->n_keys; key++) {
        const struct kb_choice *choice = &pick->choices[key * (size_t)kb_op_count + op];
        bool found = false;
        for (int i = 0; i < choice->n && !found; i++)
            found = kb_value_same(&c->set[choice->param], &choice->values[i]);
        if (!found)
            return false;
    }
    return true;
}

bool kb_pick_entry(const struct kb_pick *pick, unsigned __int128 key,
                   unsigned __int128 tags, bool only_by_tag) {
    bool found = !pick->ids.count;
    for (size_t i = 0; i < pick->ids.count && !found; i++)
        found = pick->keys[i] == key;
    return found && (pick->any_tag || (pick->tags & tags)) &&
           (pick->by_tag_too || !only_by_tag);
}

bool kb_pick_asks_case(const struct kb_pick *pick) {
    return !pick->any_dtype || !pick->any_fill || pick->n_ops || pick->n_shapes ||
           pick->n_keys;
}

bool kb_pick_case(const struct kb_pick *pick, const struct kb_case *c) {
    return (pick->any_dtype || pick->dtype[c->dtype]) &&
           (pick->any_fill || pick->fill[c->fill]) && picks_op(pick, c->op) &&
           picks_shape(pick, c) && picks_settings(pick, c);
}

bool kb_pick_asks_id(const struct kb_pick *pick) {
    return pick->match.count;
}

bool kb_pick_id(const struct kb_pick *pick, const char *id) {
    for (size_t i = 0; i < pick->match.count; i++)
        if (kb_glob(pick->match.items[i], id))
            return true;
    return !pick->match.count;
}
