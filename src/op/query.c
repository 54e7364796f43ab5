/* query.c - the lists of the command line: alone they make cases, beside files they select
 * (query_pick.c). */
#include "op/query.h"

#include <string.h>

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

struct lists kb_lists_read(const struct kb_query *query, struct kb_arena *arena,
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
    struct kb_case *own = kb_arena_alloc(l->arena, sizeof *own); /* lives as groups do */
    struct kb_shape *shape = kb_arena_alloc(l->arena, sizeof *shape);
    const struct kb_choice *choices = choices_of(l, base->op);
    if (!takes_lists(l, base->op) || !choices)
        return false;
    *own = *base;
    memcpy(shape->sizes, base->shape, sizeof shape->sizes);
    shape->rank = base->rank;
    *g = (struct kb_group){
        .origin = origin,
        .base = own,
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
    struct lists l = kb_lists_read(query, groups->arena, c);
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
