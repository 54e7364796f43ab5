/* suite.c - the cases that a query comes to: found once, each listed once, made when read.
 *
 * What is kept of a case is an entry: where it is in which group, and the hash of its id to
 * find repeats. The case itself is made again from the group's lists when it is read. */
#include "op/entries.h"

#include <stdlib.h>
#include <string.h>

/* ---- finding repeats -------------------------------------------------------------------
 */

static void print_tolerance(const struct kb_case *c, struct kb_buf *out) {
    static const char *const words[] = {
        [KB_TOL_BOUND] = "bound", [KB_TOL_PEER] = "peer", [KB_TOL_GIVEN] = "given"};
    const struct kb_tolerance *t = &c->tolerance;
    kb_buf_puts(out, words[t->rule]);
    if (t->rule != KB_TOL_BOUND)
        kb_buf_printf(out, " %g,%g", t->atol, t->rtol);
}

static void print_sample(const struct kb_case *c, struct kb_buf *out) {
    if (c->sample_rows)
        kb_buf_printf(out, "%lld rows", (long long)c->sample_rows);
    else
        kb_buf_puts(out, "all rows");
}

/* The second group of a pair that gives one case with two tolerances or samples is told,
 * once. */
static void complain_of_two(const struct kb_group *first, const struct kb_case *a,
                            const struct kb_group *second, const struct kb_case *b,
                            struct kb_complaints *c) {
    struct kb_buf one = {0}, other = {0};
    struct kb_arena arena = {0};
    struct kb_origin *origin = second->origin;
    bool tolerance = !kb_tolerance_same(&a->tolerance, &b->tolerance);
    if (origin->disagreed || (!tolerance && a->sample_rows == b->sample_rows))
        return;
    origin->disagreed = true;
    (tolerance ? print_tolerance : print_sample)(a, &one);
    (tolerance ? print_tolerance : print_sample)(b, &other);
    kb_complain(c, origin->file, origin->line, origin->col, origin->path,
                "%s has %s %s here and %s in %s", kb_case_id(b, &arena),
                tolerance ? "tolerance" : "sample", kb_buf_text(&other), kb_buf_text(&one),
                first->origin->text);
    kb_arena_free(&arena);
    kb_buf_free(&one);
    kb_buf_free(&other);
}

/* A case that is new gets an entry; one that is not must agree, and adds its tags. */
static void enter(struct kb_suite *s, const struct kb_finder *finder, size_t g, int64_t i,
                  unsigned __int128 key, struct kb_complaints *c) {
    const struct kb_group *group = kb_groups_at(&s->groups, g);
    uint32_t *slot = kb_finder_slot(finder, s->entries, key);
    if (!*slot) {
        s->entries[s->n++] = (struct kb_entry){
            .key = key,
            .tags = group->origin->tags,
            .group = (uint32_t)g,
            .index = (uint32_t)i,
            .only_by_tag = group->origin->only_by_tag,
        };
        *slot = (uint32_t)s->n;
        return;
    }
    struct kb_case now, before;
    struct kb_entry *entry = &s->entries[*slot - 1];
    const struct kb_group *first = kb_groups_at(&s->groups, entry->group);
    kb_group_case(group, i, &now);
    kb_group_case(first, entry->index, &before);
    entry->tags |= group->origin->tags;
    entry->only_by_tag &= group->origin->only_by_tag;
    complain_of_two(first, &before, group, &now, c);
}

static void enter_all(struct kb_suite *s, const struct kb_finder *finder,
                      struct kb_complaints *c) {
    struct kb_arena arena = {0};
    s->entries = kb_arena_array(&s->arena, (size_t)s->groups.count, sizeof *s->entries);
    for (size_t g = 0; g < kb_groups_len(&s->groups); g++) {
        const struct kb_group *group = kb_groups_at(&s->groups, g);
        const struct kb_keys keys = kb_keys_make(group, &arena);
        int64_t count = kb_group_count(group);
        for (int64_t i = 0; i < count; i++)
            enter(s, finder, g, i, kb_keys_at(&keys, i), c);
        kb_arena_reset(&arena);
    }
    kb_arena_free(&arena);
}

/* ---- what is near ----------------------------------------------------------------------
 * For the complaint that a selection came to nothing, or that an id is not there. */

enum { NEAR = 3 };

struct near {
    int distance[NEAR];
    const char *id[NEAR];
    int n;
};

static void near_offer(struct near *near, int distance, const char *id,
                       struct kb_arena *arena) {
    if (near->n == NEAR && near->distance[NEAR - 1] <= distance)
        return;
    int at = near->n < NEAR ? near->n++ : NEAR - 1;
    for (; at > 0 && near->distance[at - 1] > distance; at--) {
        near->distance[at] = near->distance[at - 1];
        near->id[at] = near->id[at - 1];
    }
    near->distance[at] = distance;
    near->id[at] = kb_arena_strdup(arena, id);
}

static const char *first_of(const struct kb_strings *list, const char *otherwise) {
    return list->count ? list->items[0] : otherwise;
}

/* What the query wants, told by case `c`: the first word of each list it has, and the
 * case's own words for the others. */
static const char *wanted_id(const struct kb_query *query, const struct kb_case *c,
                             const char *id, struct kb_arena *arena) {
    struct kb_buf shape = {0};
    kb_shape_print(c->shape, c->rank, &shape);
    const char *rest = strchr(strchr(strchr(id, '/') + 1, '/') + 1, '/');
    if (query->fills.count)
        rest = kb_arena_printf(arena, "/fill=%s", query->fills.items[0]);
    const char *wanted = kb_arena_printf(
        arena, "%s/%s/%s%s", first_of(&query->ops, c->op->name),
        first_of(&query->shapes, kb_buf_text(&shape)),
        first_of(&query->dtypes, kb_dtype_name(c->dtype)), rest ? rest : "");
    kb_buf_free(&shape);
    return first_of(&query->match, wanted);
}

/* Append "; near: A, B, C". `wanted` NULL: by the query. Cases of another op come last. */
static void add_near(const struct kb_suite *s, const struct kb_query *query,
                     const char *wanted, struct kb_buf *out) {
    struct kb_arena ids = {0}, kept = {0};
    struct near near = {.n = 0};
    for (size_t i = 0; i < s->n; i++) {
        struct kb_case c;
        kb_entry_case(s, &s->entries[i], &c);
        const char *id = kb_case_id(&c, &ids);
        const char *want = wanted ? wanted : wanted_id(query, &c, id, &ids);
        int distance = kb_edit_distance(want, id);
        if (strncmp(want, id, strlen(c.op->name) + 1))
            distance += 1000;
        near_offer(&near, distance, id, &kept);
        kb_arena_reset(&ids);
    }
    for (int i = 0; i < near.n; i++)
        kb_buf_printf(out, "%s%s", i ? ", " : "; near: ", near.id[i]);
    kb_arena_free(&ids);
    kb_arena_free(&kept);
}

/* ---- selecting -------------------------------------------------------------------------
 */

static void complain_of_missing(const struct kb_suite *s, const struct kb_finder *finder,
                                const struct kb_query *query, const struct kb_pick *pick,
                                struct kb_complaints *c) {
    for (size_t i = 0; i < pick->ids.count; i++) {
        const char *id = pick->ids.items[i];
        struct kb_buf near = {0};
        if (*kb_finder_slot(finder, s->entries, pick->keys[i]))
            continue;
        add_near(s, query, id, &near);
        kb_complain_option(c, "--case", "%s: no such case among %zu%s", id, s->n,
                           kb_buf_text(&near));
        kb_buf_free(&near);
    }
}

/* Append "; 3 of them run only by --tag big,act.big_offset", if there are any. */
static void add_only_by_tag(const struct kb_suite *s, struct kb_buf *out) {
    struct kb_arena arena = {0};
    size_t n = 0;
    unsigned __int128 tags = 0;
    for (size_t i = 0; i < s->n; i++) {
        n += s->entries[i].only_by_tag;
        tags |= s->entries[i].only_by_tag ? s->entries[i].tags : 0;
    }
    if (n)
        kb_buf_printf(out, "; %zu of them run%s only by --tag %s", n, n == 1 ? "s" : "",
                      kb_groups_tags(&s->groups, tags, &arena));
    kb_arena_free(&arena);
}

static void complain_of_none(const struct kb_suite *s, const struct kb_query *query,
                             const struct kb_pick *pick, struct kb_complaints *c) {
    const struct {
        const char *option;
        const struct kb_strings *list;
    } lists[] = {
        {"--case", &query->ids},     {"--op", &query->ops},
        {"--shape", &query->shapes}, {"--dtype", &query->dtypes},
        {"--set", &query->set},      {"--fill", &query->fills},
        {"--tag", &query->tags},     {"--match", &query->match},
    };
    struct kb_buf what = {0};
    kb_buf_printf(&what, "no case selected: none of %zu", s->n);
    int shown = 0;
    for (size_t i = 0; i < KB_COUNT(lists); i++)
        for (size_t k = 0; k < lists[i].list->count; k++) {
            const char *before = k ? "," : shown++ ? " and " : " has ";
            kb_buf_printf(&what, "%s%s%s%s", before, k ? "" : lists[i].option, k ? "" : " ",
                          lists[i].list->items[k]);
        }
    if (!pick->by_tag_too)
        add_only_by_tag(s, &what);
    if (shown)
        add_near(s, query, NULL, &what);
    kb_complain(c, "kbench", 0, 0, NULL, "%s", kb_buf_text(&what));
    kb_buf_free(&what);
}

static bool picks(const struct kb_suite *s, const struct kb_pick *pick,
                  const struct kb_entry *e, struct kb_arena *ids) {
    struct kb_case c;
    if (!kb_pick_entry(pick, e->key, e->tags, e->only_by_tag))
        return false;
    if (!kb_pick_asks_case(pick) && !kb_pick_asks_id(pick))
        return true;
    kb_entry_case(s, e, &c);
    return kb_pick_case(pick, &c) &&
           (!kb_pick_asks_id(pick) || kb_pick_id(pick, kb_case_id(&c, ids)));
}

/* Keep the entries that are picked; false, and all are kept, if none is. */
static bool pick_entries(struct kb_suite *s, const struct kb_pick *pick) {
    struct kb_arena ids = {0};
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++) {
        struct kb_entry e = s->entries[i];
        if (picks(s, pick, &e, &ids))
            s->entries[kept++] = e;
        kb_arena_reset(&ids);
    }
    s->n = kept ? kept : s->n;
    kb_arena_free(&ids);
    return kept;
}

static void select_cases(struct kb_suite *s, const struct kb_query *query,
                         const struct kb_pick *pick, struct kb_complaints *c) {
    struct kb_arena table = {0};
    struct kb_finder finder = kb_finder_make(&table, s->groups.count);
    int before = c->count;
    enter_all(s, &finder, c);
    complain_of_missing(s, &finder, query, pick, c);
    if (c->count == before && !pick_entries(s, pick))
        complain_of_none(s, query, pick, c);
    kb_arena_free(&table);
}

/* ---- the suite -------------------------------------------------------------------------
 */

static void read_tolerance(struct kb_suite *s, const char *text, struct kb_complaints *c) {
    struct kb_err err = {0};
    s->has_tolerance = text != NULL;
    if (text && !kb_tolerance_parse(text, &s->tolerance, &err))
        kb_complain_option(c, "--tolerance", "%s", err.msg);
}

/* Without files: tags, or a glob and nothing that makes cases, mean the tool's own files.
 */
static bool wants_own_files(const struct kb_query *query) {
    return query->tags.count ||
           (query->match.count && !query->ids.count && !query->shapes.count);
}

/* Groups of the query, and what of them is picked. */
static void read_query(struct kb_suite *s, const struct kb_query *query,
                       struct kb_pick *pick, struct kb_complaints *c) {
    const struct kb_query match_only = {.match = query->match};
    int before = c->count;
    read_tolerance(s, query->tolerance, c);
    if (!query->files.count && !wants_own_files(query)) {
        kb_query_make(query, &s->groups, c);
        kb_query_select(&match_only, &s->groups, true, pick, c);
        return;
    }
    if (query->files.count)
        kb_casefiles_load(&query->files, &s->groups, c);
    else
        kb_casefiles_load_own(&s->groups, c);
    kb_query_select(query, &s->groups, c->count == before, pick, c);
}

bool kb_suite_open(struct kb_suite **suite, const struct kb_query *query,
                   struct kb_complaints *complaints) {
    struct kb_suite *s = calloc(1, sizeof *s);
    struct kb_pick pick;
    int before = complaints->count;
    if (!s)
        kb_out_of_memory();
    s->groups.arena = &s->arena;
    read_query(s, query, &pick, complaints);
    if (complaints->count == before)
        select_cases(s, query, &pick, complaints);
    if (complaints->count == before && query->fuzz > 0)
        kb_suite_fuzz(s, query, complaints);
    if (complaints->count != before) {
        kb_suite_free(s);
        return false;
    }
    *suite = s;
    return true;
}

bool kb_suite_next(struct kb_suite *s, struct kb_arena *arena, struct kb_case *out) {
    if (s->at == s->n)
        return false;
    const struct kb_entry *e = &s->entries[s->at++];
    static const struct kb_origin random = {.text = "--fuzz"};
    const struct kb_origin *origin =
        s->around ? &random : kb_groups_at(&s->groups, e->group)->origin;
    kb_entry_case(s, e, out);
    if (s->has_tolerance)
        out->tolerance = s->tolerance;
    if (s->has_tolerance && s->tolerance.rule == KB_TOL_PEER)
        out->op->peer_tolerance(out->dtype, out->dtype, &out->tolerance.atol,
                                &out->tolerance.rtol);
    out->id = kb_case_id(out, arena);
    out->tags = kb_groups_tags(&s->groups, e->tags, arena);
    out->origin = kb_arena_strdup(arena, origin->text);
    out->why = origin->why ? kb_arena_strdup(arena, origin->why) : NULL;
    return true;
}

void kb_suite_rewind(struct kb_suite *s) {
    s->at = 0;
}

int64_t kb_suite_count(const struct kb_suite *s) {
    return (int64_t)s->n;
}

int kb_suite_id_width(struct kb_suite *s) {
    struct kb_arena ids = {0};
    for (size_t i = 0; i < s->n && !s->known_width; i++) {
        struct kb_case c;
        kb_entry_case(s, &s->entries[i], &c);
        int width = kb_columns(kb_case_id(&c, &ids));
        s->id_width = width > s->id_width ? width : s->id_width;
        kb_arena_reset(&ids);
    }
    s->known_width = true;
    kb_arena_free(&ids);
    return s->id_width;
}

/* ---- counting --------------------------------------------------------------------------
 */

static const struct kb_op *op_of(const struct kb_suite *s, const struct kb_entry *e) {
    return s->around ? s->around[e->group].op
                     : kb_groups_at(&s->groups, e->group)->base->op;
}

static void count_ops(int64_t n, const struct kb_op *op, struct kb_case_counts *out) {
    for (int i = 0; i < kb_op_count; i++)
        out->of_op[i] += kb_ops[i] == op ? n : 0;
}

/* `place` of a tag of the groups: where it is in `out`, -1 before it is there. */
static void count_tags(const struct kb_suite *s, int64_t n, unsigned __int128 tags,
                       int place[KB_MAX_TAGS], struct kb_arena *arena,
                       struct kb_case_counts *out) {
    for (int t = 0; t < s->groups.n_tags; t++) {
        if (!(tags >> t & 1))
            continue;
        if (place[t] < 0) {
            place[t] = out->n_tags++;
            out->tags[place[t]] = kb_arena_strdup(arena, s->groups.tags[t]);
        }
        out->of_tag[place[t]] += n;
    }
}

/* Cases that stand together are mostly of one op and of the same tags. */
void kb_suite_counts(const struct kb_suite *s, struct kb_arena *arena,
                     struct kb_case_counts *out) {
    int place[KB_MAX_TAGS];
    size_t n_tags = (size_t)s->groups.n_tags, next;
    *out = (struct kb_case_counts){
        .of_op = kb_arena_array(arena, (size_t)kb_op_count, sizeof *out->of_op),
        .tags = kb_arena_array(arena, n_tags, sizeof *out->tags),
        .of_tag = kb_arena_array(arena, n_tags, sizeof *out->of_tag),
    };
    memset(place, -1, sizeof place);
    for (size_t i = 0; i < s->n; i = next) {
        const struct kb_entry *e = &s->entries[i];
        for (next = i + 1; next < s->n && s->entries[next].group == e->group &&
                           s->entries[next].tags == e->tags;)
            next++;
        count_ops((int64_t)(next - i), op_of(s, e), out);
        count_tags(s, (int64_t)(next - i), e->tags, place, arena, out);
    }
}

void kb_suite_free(struct kb_suite *s) {
    if (!s)
        return;
    kb_buf_free(&s->groups.list);
    kb_arena_free(&s->arena);
    free(s);
}
