/* casefile.c - one case file into groups: strict, and everything wrong in it at once.
 *
 * The schema is cases/README.md. A group is read into a draft, list by list, which keeps
 * what is right of them; the cases of that are tried, so that a wrong word hides no wrong
 * shape. */
#include "op/casefile.h"

#include <stdio.h>
#include <string.h>

static const char schema[] = "kbench-cases/1";

static const char *const root_keys[] = {"schema", "groups"};
static const char *const group_keys[] = {"why",    "ops",  "dtypes",     "shapes",
                                         "axes",   "set",  "fills",      "tolerance",
                                         "sample", "tags", "only_by_tag"};
static const char *const tolerance_keys[] = {"rule", "atol", "rtol"};

#define MISSPELLS(object, name, keys) kb_json_misspells(object, name, keys, KB_COUNT(keys))

/* ---- what a group's cases share --------------------------------------------------------
 */

/* One of the two numbers, 0 after a complaint. */
static double read_limit(struct kb_reader *r, const cJSON *tolerance, const char *name) {
    const cJSON *node = kb_json_get(tolerance, name);
    if (!node && !MISSPELLS(tolerance, name, tolerance_keys))
        kb_read_complain(r, tolerance, false, tolerance, "lacks \"%s\"", name);
    else if (!node)
        return 0;
    else if (!cJSON_IsNumber(node) || !(node->valuedouble >= 0))
        kb_read_wanted(r, node, node, "a number from 0");
    else
        return node->valuedouble == 0 ? 0 : node->valuedouble; /* no -0 */
    return 0;
}

/* The rule as a word; false after a complaint. */
static bool read_rule(struct kb_reader *r, const cJSON *tolerance,
                      enum kb_tolerance_rule *out) {
    static const char *const words[] = {
        [KB_TOL_BOUND] = "bound", [KB_TOL_PEER] = "peer", [KB_TOL_GIVEN] = "given"};
    const cJSON *node = kb_json_get(tolerance, "rule");
    struct kb_buf what = {0};
    if (!node) {
        if (!MISSPELLS(tolerance, "rule", tolerance_keys))
            kb_read_complain(r, tolerance, false, tolerance,
                             "lacks \"rule\": bound, peer or given");
        return false;
    }
    if (!kb_read_is_word(r, node, node, "bound, peer or given"))
        return false;
    for (size_t i = 0; i < KB_COUNT(words); i++)
        if (kb_streq(words[i], node->valuestring)) {
            *out = (enum kb_tolerance_rule)i;
            return true;
        }
    kb_unknown(&what, "rule", node->valuestring, words, KB_COUNT(words));
    kb_read_complain(r, node, false, node, "%s", kb_buf_text(&what));
    kb_buf_free(&what);
    return false;
}

/* bound takes no numbers, given both, peer both or (the op's for the dtype) none. */
static void read_tolerance(struct kb_reader *r, const cJSON *node,
                           struct kb_origin *origin) {
    struct kb_tolerance *t = &origin->tolerance;
    if (!cJSON_IsObject(node)) {
        kb_read_wanted(r, node, node, "an object, {\"rule\": \"peer\"}");
        return;
    }
    kb_json_check_keys(&r->doc, node, tolerance_keys, KB_COUNT(tolerance_keys), r->c);
    if (!read_rule(r, node, &t->rule))
        return;
    bool numbers = kb_json_get(node, "atol") || kb_json_get(node, "rtol");
    origin->peer_numbers = numbers && t->rule == KB_TOL_PEER;
    if (t->rule == KB_TOL_BOUND && numbers)
        kb_read_complain(r, node, false, node,
                         "rule bound takes no atol and rtol: the op's bound decides");
    if (t->rule == KB_TOL_GIVEN || origin->peer_numbers) {
        t->atol = read_limit(r, node, "atol");
        t->rtol = read_limit(r, node, "rtol");
    }
}

static bool is_tag(const char *text) {
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "0123456789_-.");
    return len > 0 && len <= 32 && !text[len];
}

static void read_tags(struct kb_reader *r, const cJSON *list, struct kb_origin *origin) {
    const cJSON *item;
    if (!kb_read_length(r, list, "a list of tags"))
        return;
    cJSON_ArrayForEach(item, list) {
        if (!cJSON_IsString(item) || !is_tag(item->valuestring)) {
            kb_read_wanted(r, item, list, "1 to 32 letters, digits, _ - .");
            continue;
        }
        unsigned __int128 bit = kb_groups_tag(r->groups, item->valuestring);
        origin->tags |= bit;
        if (!bit)
            kb_read_complain(r, item, false, list,
                             "\"%s\" is one more than the %d tags that all files "
                             "may have",
                             item->valuestring, KB_MAX_TAGS);
    }
}

static void read_sample(struct kb_reader *r, const cJSON *node, struct kb_origin *origin) {
    int64_t rows;
    if (kb_json_i64(node, &rows) && rows >= 2 && rows <= KB_MAX_SIZE)
        origin->sample_rows = rows;
    else
        kb_read_wanted(r, node, node, "a whole number from 2 to 2^53");
}

static void read_only_by_tag(struct kb_reader *r, const cJSON *node,
                             struct kb_origin *origin) {
    origin->only_by_tag = cJSON_IsTrue(node);
    if (!cJSON_IsBool(node))
        kb_read_wanted(r, node, node, "true or false");
    else if (origin->only_by_tag && !origin->tags)
        kb_read_complain(r, node, false, node, "without tags its cases are never run");
}

/* What is optional and not a list that multiplies; tags stand before what needs them. */
static void read_options(struct kb_reader *r, const cJSON *group,
                         struct kb_origin *origin) {
    static const struct {
        const char *key;
        void (*read)(struct kb_reader *, const cJSON *, struct kb_origin *);
    } options[] = {
        {"tolerance", read_tolerance},
        {"sample", read_sample},
        {"tags", read_tags},
        {"only_by_tag", read_only_by_tag},
    };
    for (size_t i = 0; i < KB_COUNT(options); i++) {
        const cJSON *node = kb_json_get(group, options[i].key);
        if (node)
            options[i].read(r, node, origin);
    }
}

static void read_why(struct kb_reader *r, const struct kb_draft *d) {
    const cJSON *why = kb_json_get(d->node, "why");
    if (!why && MISSPELLS(d->node, "why", group_keys))
        return;
    if (!why)
        kb_read_complain(r, d->node, false, d->node,
                         "lacks \"why\": what these cases are to catch");
    else if (!cJSON_IsString(why))
        kb_read_wanted(r, why, why, "a sentence");
    else if (!why->valuestring[strspn(why->valuestring, " \t\n\r")])
        kb_read_complain(r, why, false, why,
                         "is empty, wanted what these cases are to catch");
    else
        d->origin->why = kb_arena_strdup(r->groups->arena, why->valuestring);
}

/* Of groups[index]: kb_json_path would count its way through all groups before it. */
static struct kb_origin *origin_of(struct kb_reader *r, const cJSON *node, int index) {
    struct kb_arena *arena = r->groups->arena;
    struct kb_origin *origin = kb_arena_alloc(arena, sizeof *origin);
    kb_json_where(&r->doc, node, false, &origin->line, &origin->col);
    origin->file = r->name;
    origin->path = kb_arena_printf(arena, "groups[%d]", index);
    origin->text = kb_arena_printf(arena, "%s:%d", r->name, origin->line);
    return origin;
}

/* ---- groups ----------------------------------------------------------------------------
 */

/* What a list multiplies by; an empty one, which is an error of its own, by 1, so that the
 * product bounds that of any of the lists. */
static size_t factor(const cJSON *node) {
    int n = cJSON_IsArray(node) ? cJSON_GetArraySize(node) : 1;
    return n > 0 ? (size_t)n : 1;
}

/* Count the group's cases by the lengths of its lists alone. */
static bool has_room(struct kb_reader *r, const struct kb_draft *d) {
    const cJSON *single[] = {d->op_list, d->dtype_list, d->fill_list, d->lists[0]};
    const cJSON *objects[] = {d->lists[1], d->set}, *item;
    struct kb_buf lengths = {0};
    struct kb_err err = {0};
    int64_t count;
    for (size_t i = 0; i < KB_COUNT(single); i++) {
        size_t n = factor(single[i]);
        kb_buf_add(&lengths, &n, sizeof n);
    }
    for (size_t i = 0; i < KB_COUNT(objects); i++) {
        if (!objects[i])
            continue;
        cJSON_ArrayForEach(item, objects[i]) {
            size_t n = factor(item);
            kb_buf_add(&lengths, &n, sizeof n);
        }
    }
    bool ok = kb_groups_room(r->groups, (const size_t *)(const void *)lengths.data,
                             lengths.len / sizeof(size_t), &count, &err);
    if (!ok)
        kb_read_complain(r, d->node, false, d->node, "%s", err.msg);
    kb_buf_free(&lengths);
    return ok;
}

struct refusals {
    struct kb_reader *r;
    const struct kb_draft *d;
    bool axes_told;
};

static void refused(void *context, int shape, const char *what) {
    struct refusals *to = context;
    const struct kb_draft *d = to->d;
    const cJSON *node = d->node;
    if (shape >= 0)
        node = d->lists[0] ? d->shape_nodes[shape] : d->lists[1];
    else if (d->set)
        node = d->set;
    if (shape >= 0 && !d->lists[0]) { /* one is enough: all come from the same lists */
        if (to->axes_told)
            return;
        to->axes_told = true;
    }
    kb_read_complain(to->r, node, false, node, "%s", what);
}

/* The group of one op: the draft's lists, or the op's defaults. */
static void fill_group(struct kb_reader *r, const struct kb_draft *d,
                       const struct kb_op *op, struct kb_group *g) {
    *g = (struct kb_group){
        .origin = d->origin,
        .base = kb_groups_start(r->groups, op),
        .shapes = d->shapes,
        .n_shapes = d->n_shapes,
        .dtypes = d->n_dtypes ? d->dtypes : &kb_groups_start(r->groups, op)->dtype,
        .n_dtypes = d->n_dtypes ? d->n_dtypes : 1,
        .fills = d->n_fills ? d->fills : op->fills,
        .n_fills = d->n_fills ? d->n_fills : 1,
    };
    if (cJSON_IsObject(d->lists[1])) {
        g->axes = kb_read_axes(r, d, op);
        g->n_shapes = op->n_axes > 0;
        for (int a = 0; a < op->n_axes; a++)
            g->n_shapes *= g->axes[a].n;
    }
    if (d->set)
        kb_read_set(r, d->set, g);
}

/* An op's complaints of axes and set are most likely every op's: the first one's are told.
 */
static void make_groups(struct kb_reader *r, const struct kb_draft *d, int before) {
    struct kb_group *made =
        kb_arena_array(r->groups->arena, (size_t)d->n_ops, sizeof *made);
    int start = r->c->count, n = 0;
    while (n < d->n_ops && r->c->count == start) {
        fill_group(r, d, d->ops[n], &made[n]);
        n++;
    }
    struct refusals to = {.r = r, .d = d};
    if (r->c->count == start || d->lists[0])
        kb_groups_resolve(made, (size_t)n, refused, &to);
    for (int i = 0; i < n && r->c->count == before; i++)
        kb_groups_add(r->groups, &made[i]);
}

static void read_group(struct kb_reader *r, const cJSON *node, int index) {
    int before = r->c->count;
    struct kb_draft d = {
        .node = node,
        .lists = {kb_json_get(node, "shapes"), kb_json_get(node, "axes")},
        .op_list = kb_json_get(node, "ops"),
        .dtype_list = kb_json_get(node, "dtypes"),
        .fill_list = kb_json_get(node, "fills"),
        .set = kb_json_get(node, "set"),
    };
    if (!cJSON_IsObject(node)) {
        kb_read_wanted(r, node, node, "an object");
        return;
    }
    kb_json_check_keys(&r->doc, node, group_keys, KB_COUNT(group_keys), r->c);
    d.origin = origin_of(r, node, index);
    read_why(r, &d);
    read_options(r, node, d.origin);
    if (!d.op_list && !MISSPELLS(node, "ops", group_keys))
        kb_read_complain(r, node, false, node, "lacks \"ops\"");
    if (d.lists[0] && d.lists[1])
        kb_read_complain(r, node, false, node, "has shapes and axes, one is wanted");
    if (!d.lists[0] && !d.lists[1] && !MISSPELLS(node, "shapes", group_keys) &&
        !MISSPELLS(node, "axes", group_keys))
        kb_read_complain(r, node, false, node, "lacks \"shapes\" (or \"axes\")");
    if (d.lists[1] && !cJSON_IsObject(d.lists[1]))
        kb_read_wanted(r, d.lists[1], d.lists[1], "an object, {\"AXIS\": [SIZES]}");
    if (!has_room(r, &d))
        return;
    kb_read_ops(r, &d);
    kb_read_dtypes(r, &d);
    kb_read_fills(r, &d);
    if (d.lists[0])
        kb_read_shapes(r, &d);
    if (!d.lists[0] != !d.lists[1])
        make_groups(r, &d, before);
}

/* ---- files -----------------------------------------------------------------------------
 */

static void read_schema(struct kb_reader *r, const cJSON *root) {
    const cJSON *node = kb_json_get(root, "schema");
    int64_t version;
    if (!node && MISSPELLS(root, "schema", root_keys))
        return;
    if (!node)
        kb_read_complain(r, root, false, root, "lacks \"schema\": \"%s\"", schema);
    else if (!cJSON_IsString(node))
        kb_read_wanted(r, node, node, "\"kbench-cases/1\"");
    else if (kb_starts_with(node->valuestring, "kbench-cases/") &&
             kb_parse_i64(node->valuestring + strlen("kbench-cases/"), &version) &&
             version > 1)
        kb_read_complain(r, node, false, node,
                         "\"%.64s\" is newer than this kbench, which reads \"%s\"",
                         node->valuestring, schema);
    else if (!kb_streq(node->valuestring, schema))
        kb_read_complain(r, node, false, node, "unknown schema \"%.64s\", wanted \"%s\"",
                         node->valuestring, schema);
}

/* One complaint of a report in a case file's place, none of each of its keys. */
static bool is_report(struct kb_reader *r, const cJSON *root) {
    const cJSON *node = kb_json_get(root, "schema");
    if (!cJSON_IsString(node) || !kb_starts_with(node->valuestring, "kbench-report/"))
        return false;
    kb_read_complain(r, node, false, node,
                     "is a report, wanted \"%s\"; reports go after --rerun or --baseline, "
                     "or to diff, gate and merge",
                     schema);
    return true;
}

static void read_root(struct kb_reader *r) {
    const cJSON *root = r->doc.root, *groups, *node;
    int index = 0;
    if (!cJSON_IsObject(root)) {
        kb_read_wanted(r, root, root, "an object with \"schema\" and \"groups\"");
        return;
    }
    if (is_report(r, root))
        return;
    kb_json_check_keys(&r->doc, root, root_keys, KB_COUNT(root_keys), r->c);
    read_schema(r, root);
    groups = kb_json_get(root, "groups");
    if (!groups && !MISSPELLS(root, "groups", root_keys))
        kb_read_complain(r, root, false, root, "lacks \"groups\"");
    else if (!groups)
        return;
    else if (kb_read_length(r, groups, "a list of groups"))
        cJSON_ArrayForEach(node, groups) {
            read_group(r, node, index++);
        }
}

/* A syntax error comes as "NAME:LINE:COL: error: WHAT", only the first of a file. */
static void complain_syntax(const char *name, const struct kb_err *err,
                            struct kb_complaints *c) {
    const char *rest = err->msg;
    int line = 0, col = 0, used = 0;
    if (kb_starts_with(rest, name) &&
        sscanf(rest + strlen(name), ":%d:%d: error: %n", &line, &col, &used) == 2 && used)
        rest += strlen(name) + (size_t)used;
    else
        line = col = 0;
    kb_complain(c, name, line, col, NULL, "%s", rest);
}

void kb_casefile_read(const char *name, const char *text, size_t size,
                      struct kb_groups *groups, struct kb_complaints *c) {
    struct kb_reader r = {
        .name = kb_arena_strdup(groups->arena, name), .groups = groups, .c = c};
    struct kb_err err = {0};
    if (kb_json_parse(&r.doc, name, text, size, &err))
        read_root(&r);
    else
        complain_syntax(name, &err, c);
    kb_json_free(&r.doc);
}
