/* query.c - the lists of the command line: alone they make cases, beside files they select.
 */
#include "op/group.h"

#include <string.h>

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

/* ---- reading the lists -----------------------------------------------------------------
 */

static void read_ops(struct lists *l, const struct kb_strings *words) {
    l->ops = kb_arena_array(l->arena, words->count, sizeof *l->ops);
    for (size_t i = 0; i < words->count; i++) {
        struct kb_buf what = {0};
        const struct kb_op *op = kb_op_find(words->items[i]);
        if (!op) {
            op = kb_unknown_op(&what, words->items[i]); /* goes on as the one meant */
            kb_complain_option(l->c, "--op", "%s", kb_buf_text(&what));
            kb_buf_free(&what);
        }
        if (op)
            l->ops[l->n_ops++] = op;
    }
}

static void read_shapes(struct lists *l, const struct kb_strings *words) {
    l->shapes = kb_arena_array(l->arena, words->count, sizeof *l->shapes);
    for (size_t i = 0; i < words->count; i++) {
        struct kb_shape *shape = &l->shapes[l->n_shapes];
        if (kb_shape_parse(words->items[i], shape->sizes, &shape->rank))
            l->n_shapes++;
        else
            kb_complain_option(l->c, "--shape", "\"%.64s\" is no shape, wanted %s",
                               words->items[i],
                               l->n_ops ? l->ops[0]->shape_form : "sizes joined by x");
    }
}

static void read_dtypes(struct lists *l, const struct kb_strings *words) {
    l->dtypes = kb_arena_array(l->arena, words->count, sizeof *l->dtypes);
    for (size_t i = 0; i < words->count; i++) {
        struct kb_buf what = {0};
        if (kb_dtype_parse(words->items[i], &l->dtypes[l->n_dtypes])) {
            l->n_dtypes++;
            continue;
        }
        kb_unknown_dtype(&what, words->items[i], l->ops, l->n_ops);
        kb_complain_option(l->c, "--dtype", "%s", kb_buf_text(&what));
        kb_buf_free(&what);
    }
}

static void read_fills(struct lists *l, const struct kb_strings *words,
                       const char *option) {
    enum kb_fill *fills =
        kb_arena_array(l->arena, (size_t)l->n_fills + words->count, sizeof *fills);
    if (l->n_fills)
        memcpy(fills, l->fills, (size_t)l->n_fills * sizeof *fills);
    l->fills = fills;
    for (size_t i = 0; i < words->count; i++) {
        struct kb_buf what = {0};
        if (kb_streq(words->items[i], "all")) {
            l->all_fills = true;
            continue;
        }
        if (kb_fill_parse(words->items[i], &fills[l->n_fills])) {
            l->n_fills++;
            continue;
        }
        kb_unknown_fill(&what, words->items[i]);
        kb_complain_option(l->c, option, "%s", kb_buf_text(&what));
        kb_buf_free(&what);
    }
    if (l->all_fills && l->n_fills)
        kb_complain_option(l->c, option, "all stands alone");
}

/* The values of a key that was named before, or of a new one. */
static struct kb_strings *values_of(struct lists *l, const char *key) {
    int at = 0;
    while (at < l->n_settings && !kb_streq(l->settings[at].key, key))
        at++;
    if (at == l->n_settings)
        l->settings[l->n_settings++].key = key;
    return &l->settings[at].values;
}

/* KEY=V1,V2 to the key's values; a part with a key of its own goes on with that one; --set
 * fill=... is --fill. */
static void read_setting(struct lists *l, const char *item) {
    struct kb_strings parts = {0};
    const char *key = NULL;
    kb_split(l->arena, item, ',', &parts);
    for (size_t i = 0; i < parts.count; i++) {
        const char *value = parts.items[i], *equals = strchr(value, '=');
        if (equals == value || (!key && !equals)) {
            kb_complain_option(l->c, "--set", "\"%.64s\" is not KEY=VALUE", item);
            return;
        }
        if (equals) {
            key = kb_arena_strndup(l->arena, value, (size_t)(equals - value));
            value = equals + 1;
        }
        struct kb_strings one = {.items = &value, .count = 1};
        if (kb_streq(key, "fill"))
            read_fills(l, &one, "--set");
        else
            kb_strings_add(values_of(l, key), l->arena, value);
    }
}

/* Every comma may begin a key. */
static void read_settings(struct lists *l, const struct kb_strings *items) {
    size_t most = items->count;
    for (size_t i = 0; i < items->count; i++)
        for (const char *at = items->items[i]; *at; at++)
            most += *at == ',';
    l->settings = kb_arena_array(l->arena, most, sizeof *l->settings);
    for (size_t i = 0; i < items->count; i++)
        read_setting(l, items->items[i]);
}

static struct lists read_lists(const struct kb_query *query, struct kb_arena *arena,
                               struct kb_complaints *c) {
    struct lists l = {.arena = arena, .c = c};
    read_ops(&l, &query->ops);
    read_shapes(&l, &query->shapes);
    read_dtypes(&l, &query->dtypes);
    read_fills(&l, &query->fills, "--fill");
    read_settings(&l, &query->set);
    return l;
}

/* ---- lists that make cases -------------------------------------------------------------
 */

static void refused(void *context, int shape, const char *what) {
    struct lists *l = context;
    kb_complain_option(l->c, shape < 0 && l->n_settings ? "--set" : "--shape", "%s", what);
}

static void refused_id(void *context, int shape, const char *what) {
    struct lists *l = context;
    (void)shape;
    kb_complain_option(l->c, "--case", "%s", what);
}

/* False after a complaint. */
static bool takes_lists(struct lists *l, const struct kb_op *op) {
    int before = l->c->count;
    struct kb_err err = {0};
    for (int i = 0; i < l->n_dtypes; i++)
        if (!kb_op_takes_dtype(op, l->dtypes[i], &err))
            kb_complain_option(l->c, "--dtype", "%s", err.msg);
    for (int i = 0; i < l->n_fills; i++)
        if (!kb_op_takes_fill(op, l->fills[i], &err))
            kb_complain_option(l->c, "--fill", "%s", err.msg);
    return l->c->count == before;
}

/* The settings as choices of `op`; NULL after a complaint. */
static const struct kb_choice *choices_of(struct lists *l, const struct kb_op *op) {
    int before = l->c->count;
    struct kb_choice *choices =
        kb_arena_array(l->arena, (size_t)l->n_settings, sizeof *choices);
    for (int i = 0; i < l->n_settings; i++) {
        const struct setting *s = &l->settings[i];
        struct kb_value *values = kb_arena_array(l->arena, s->values.count, sizeof *values);
        const struct kb_param *param = kb_op_param(op, s->key, &choices[i].param);
        struct kb_buf what = {0};
        choices[i].values = values;
        choices[i].n = (int)s->values.count;
        if (!param)
            kb_unknown_key(&what, op, s->key);
        for (size_t k = 0; param && k < s->values.count; k++) {
            struct kb_err err = {0};
            if (!kb_value_parse(param, s->values.items[k], &values[k], &err))
                kb_complain_option(l->c, "--set", "%s", err.msg);
        }
        if (what.len)
            kb_complain_option(l->c, "--set", "%s", kb_buf_text(&what));
        kb_buf_free(&what);
    }
    return l->c->count == before ? choices : NULL;
}

/* A group of `base`, with lists in the place of its own values. False after a complaint. */
static bool make_group(struct lists *l, const struct kb_case *base,
                       struct kb_origin *origin, struct kb_group *g) {
    struct kb_case *own = kb_arena_alloc(l->arena, sizeof *own);
    struct kb_shape *shape = kb_arena_alloc(l->arena, sizeof *shape);
    const struct kb_choice *choices = choices_of(l, base->op);
    if (!takes_lists(l, base->op) || !choices)
        return false;
    *own = *base;
    memcpy(shape->sizes, base->shape, sizeof shape->sizes);
    shape->rank = base->rank;
    *g = (struct kb_group){
        .origin = origin,
        .base = *base,
        .shapes = l->n_shapes ? l->shapes : shape,
        .n_shapes = l->n_shapes ? l->n_shapes : 1,
        .dtypes = l->n_dtypes ? l->dtypes : &own->dtype,
        .n_dtypes = l->n_dtypes ? l->n_dtypes : 1,
        .fills = l->all_fills ? base->op->fills
                 : l->n_fills ? l->fills
                              : &own->fill,
        .n_fills = l->all_fills ? base->op->n_fills
                   : l->n_fills ? l->n_fills
                                : 1,
        .choices = choices,
        .n_choices = l->n_settings,
    };
    return true;
}

/* Room for `n_bases` groups of the lists, counted before any is made. */
static bool has_room(struct lists *l, const struct kb_groups *groups, size_t n_bases,
                     const char *option) {
    size_t n = 4 + (size_t)l->n_settings;
    size_t *lengths = kb_arena_array(l->arena, n, sizeof *lengths);
    struct kb_err err = {0};
    int64_t count;
    int sizes[] = {l->n_shapes, l->n_dtypes, l->all_fills ? KB_FILL_COUNT : l->n_fills};
    lengths[0] = n_bases;
    for (size_t i = 0; i < KB_COUNT(sizes); i++)
        lengths[1 + i] = sizes[i] ? (size_t)sizes[i] : 1;
    for (int i = 0; i < l->n_settings; i++)
        lengths[4 + i] = l->settings[i].values.count;
    if (kb_groups_room(groups, lengths, n, &count, &err))
        return true;
    kb_complain_option(l->c, option, "%s", err.msg);
    return false;
}

/* Groups of the bases that resolve; ops that share the lists complain together. */
static void make_groups(struct lists *l, const struct kb_case *bases, size_t n,
                        struct kb_origin *origin, struct kb_groups *groups,
                        void (*tell)(void *, int, const char *)) {
    struct kb_group *made = kb_arena_array(l->arena, n, sizeof *made);
    size_t n_made = 0;
    int before = l->c->count;
    for (size_t i = 0; i < n; i++)
        n_made += make_group(l, &bases[i], origin, &made[n_made]);
    kb_groups_resolve(made, n_made, tell, l);
    for (size_t i = 0; i < n_made && l->c->count == before; i++)
        kb_groups_add(groups, &made[i]);
}

static void make_of_ids(struct lists *l, const struct kb_strings *ids,
                        struct kb_origin *origin, struct kb_groups *groups) {
    struct lists none = {.arena = l->arena, .c = l->c};
    struct lists *with = l->n_ops ? &none : l; /* beside --op, lists are its own */
    if (!has_room(with, groups, ids->count, "--case"))
        return;
    for (size_t i = 0; i < ids->count; i++) {
        struct kb_case base;
        if (kb_case_parse(ids->items[i], l->arena, &base, l->c))
            make_groups(with, &base, 1, origin, groups, refused_id);
    }
}

static void make_of_ops(struct lists *l, struct kb_origin *origin,
                        struct kb_groups *groups) {
    struct kb_case *bases = kb_arena_array(l->arena, (size_t)l->n_ops, sizeof *bases);
    if (!has_room(l, groups, (size_t)l->n_ops, "--op"))
        return;
    for (int i = 0; i < l->n_ops; i++)
        kb_case_start(&bases[i], l->ops[i]);
    make_groups(l, bases, (size_t)l->n_ops, origin, groups, refused);
}

void kb_query_make(const struct kb_query *query, struct kb_groups *groups,
                   struct kb_complaints *c) {
    struct lists l = read_lists(query, groups->arena, c);
    struct kb_origin *origin = kb_arena_alloc(groups->arena, sizeof *origin);
    *origin = (struct kb_origin){.file = "kbench", .text = "command line"};
    if (!query->ops.count && !query->ids.count) {
        const char *option = query->shapes.count   ? "--shape"
                             : query->dtypes.count ? "--dtype"
                             : query->set.count    ? "--set"
                             : query->fills.count  ? "--fill"
                                                   : NULL;
        kb_complain_option(c, option,
                           "%s: case files, --op with --shape, --case ID or --tag",
                           option ? "makes no case alone, it goes with one of"
                                  : "no case is asked for, wanted one of");
    }
    if (query->ids.count)
        make_of_ids(&l, &query->ids, origin, groups);
    if (!query->shapes.count)
        for (int i = 0; i < l.n_ops; i++)
            kb_complain_option(c, "--op", "%s needs --shape %s", l.ops[i]->name,
                               l.ops[i]->shape_form);
    else if (l.n_ops && l.n_shapes)
        make_of_ops(&l, origin, groups);
}

/* ---- lists that select -----------------------------------------------------------------
 */

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
    struct lists l = read_lists(query, arena, c);
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
    for (size_t i = 0; i < query->match.count; i++)
        kb_strings_add(&pick->match, arena, kb_arena_strdup(arena, query->match.items[i]));
    for (size_t i = 0; i < query->ids.count; i++) {
        struct kb_case of_id;
        if (kb_case_parse(query->ids.items[i], arena, &of_id, c))
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

static bool picks_id(const struct kb_pick *pick, const char *id) {
    bool found = !pick->match.count;
    for (size_t i = 0; i < pick->match.count && !found; i++)
        found = kb_glob(pick->match.items[i], id);
    return found && (!pick->ids.count || kb_strings_has(&pick->ids, id));
}

bool kb_pick_case(const struct kb_pick *pick, const struct kb_case *c, const char *id,
                  unsigned __int128 tags, bool only_by_tag) {
    return (pick->any_tag || (pick->tags & tags)) && (pick->by_tag_too || !only_by_tag) &&
           (pick->any_dtype || pick->dtype[c->dtype]) &&
           (pick->any_fill || pick->fill[c->fill]) && picks_op(pick, c->op) &&
           picks_shape(pick, c) && picks_settings(pick, c) && picks_id(pick, id);
}
