/* random.c - the cases of a suite behind its entries: those of its groups, or random ones
 * around them, which are drawn anew from the number of the attempt when they are read. */
#include "op/entries.h"

#include <string.h>

/* ---- entries ---------------------------------------------------------------------------
 */

struct kb_finder kb_finder_make(struct kb_arena *arena, int64_t count) {
    size_t size = 16;
    while (size < (size_t)count * 2)
        size *= 2;
    return (struct kb_finder){kb_arena_array(arena, size, sizeof(uint32_t)), size - 1};
}

uint32_t *kb_finder_slot(const struct kb_finder *f, const struct kb_entry *entries,
                         unsigned __int128 key) {
    for (size_t i = (size_t)key & f->mask;; i = (i + 1) & f->mask) {
        uint32_t at = f->slots[i];
        if (!at || entries[at - 1].key == key)
            return &f->slots[i];
    }
}

static void given_case(const struct kb_suite *s, const struct kb_entry *e,
                       struct kb_case *out) {
    kb_group_case(kb_groups_at(&s->groups, e->group), e->index, out);
}

/* False where the attempt comes to no case. */
static bool random_case(const struct kb_suite *s, const struct kb_around *a,
                        uint64_t attempt, struct kb_case *out) {
    struct kb_case given;
    given_case(s, &a->given[kb_fuzz_pick(s->fuzz.seed, attempt, a->op, a->n)], &given);
    return kb_fuzz_case(&s->fuzz, attempt, &given, out);
}

void kb_entry_case(const struct kb_suite *s, const struct kb_entry *e,
                   struct kb_case *out) {
    if (s->around)
        random_case(s, &s->around[e->group], e->index, out);
    else
        given_case(s, e, out);
}

/* ---- random ones -----------------------------------------------------------------------
 */

/* The entries by op, in the order in which ops come. */
static void sort_by_op(struct kb_suite *s) {
    struct kb_entry *sorted = kb_arena_array(&s->arena, s->n, sizeof *sorted);
    size_t n = 0;
    s->around = kb_arena_array(&s->arena, (size_t)kb_op_count, sizeof *s->around);
    for (size_t i = 0; i < s->n; i++) {
        const struct kb_op *op = kb_groups_at(&s->groups, s->entries[i].group)->base->op;
        bool seen = false;
        for (size_t k = 0; k < s->n_around; k++)
            seen |= s->around[k].op == op;
        if (seen)
            continue;
        struct kb_around *a = &s->around[s->n_around++];
        *a = (struct kb_around){.op = op, .given = sorted + n};
        for (size_t k = i; k < s->n; k++)
            if (kb_groups_at(&s->groups, s->entries[k].group)->base->op == op)
                a->given[a->n++] = s->entries[k];
        n += a->n;
    }
}

enum { TRIES = 200 }; /* for each case that is wanted */

/* `wanted` different ones of an op, or as many as there are. */
static void draw_cases(struct kb_suite *s, size_t slot, int64_t wanted,
                       const struct kb_finder *finder) {
    struct kb_case *c = kb_arena_alloc(&s->arena, sizeof *c);
    int64_t n = 0;
    for (int64_t attempt = 0; n < wanted && attempt < TRIES * (wanted + 10); attempt++) {
        if (!random_case(s, &s->around[slot], (uint64_t)attempt, c))
            continue;
        unsigned __int128 key = kb_case_key(c);
        uint32_t *found = kb_finder_slot(finder, s->entries, key);
        if (*found)
            continue;
        s->entries[s->n++] = (struct kb_entry){
            .key = key, .group = (uint32_t)slot, .index = (uint32_t)attempt};
        *found = (uint32_t)s->n;
        n++;
    }
}

/* What --set names has the values that it gives. */
static void keep_named(struct kb_suite *s, const struct kb_query *query) {
    for (size_t i = 0; i < query->set.count; i++) {
        struct kb_strings parts = {0};
        kb_split(&s->arena, query->set.items[i], ',', &parts);
        for (size_t k = 0; k < parts.count; k++) {
            size_t len = strcspn(parts.items[k], "=");
            if (parts.items[k][len])
                kb_strings_add(&s->fuzz.kept, &s->arena,
                               kb_arena_strndup(&s->arena, parts.items[k], len));
        }
    }
}

void kb_suite_fuzz(struct kb_suite *s, const struct kb_query *query,
                   struct kb_complaints *c) {
    struct kb_arena table = {0};
    sort_by_op(s);
    int64_t most = query->fuzz * (int64_t)s->n_around;
    s->fuzz.seed = query->fuzz_seed;
    s->fuzz.problem = kb_arena_alloc(&s->arena, sizeof *s->fuzz.problem);
    keep_named(s, query);
    s->fuzz.any_fill = !query->fills.count && !kb_strings_has(&s->fuzz.kept, "fill");
    s->n = 0;
    if (most > KB_MAX_CASES) {
        kb_complain_option(c, "--fuzz", "%lld cases, at most %d are allowed",
                           (long long)most, KB_MAX_CASES);
        return;
    }
    s->entries = kb_arena_array(&s->arena, (size_t)most, sizeof *s->entries);
    struct kb_finder finder = kb_finder_make(&table, most);
    for (size_t slot = 0; slot < s->n_around; slot++)
        draw_cases(s, slot, query->fuzz, &finder);
    if (!s->n)
        kb_complain_option(c, "--fuzz", "no legal case was drawn around those asked for");
    kb_arena_free(&table);
}
