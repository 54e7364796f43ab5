/* entries.h - what a suite keeps of its cases, between suite.c, which selects and reads
 * them, and random.c, which puts random ones in their place. Private to src/op. */
#ifndef KB_OP_ENTRIES_H
#define KB_OP_ENTRIES_H

#include "op/group.h"

struct kb_entry {
    unsigned __int128 key;
    unsigned __int128 tags; /* of all groups that give it */
    uint32_t group;         /* the first of them */
    uint32_t index;         /* in that group */
    bool only_by_tag;       /* all of those groups are */
};

/* The cases of an op that random ones are around. */
struct kb_around {
    const struct kb_op *op;
    struct kb_entry *given;
    size_t n;
};

struct kb_suite {
    struct kb_arena arena;
    struct kb_groups groups;
    /* Random cases: `group` of an entry is an index of `around`, `index` the attempt. */
    struct kb_around *around;
    size_t n_around;
    struct kb_fuzz fuzz;
    struct kb_entry *entries;
    size_t n, at;
    int id_width;
    bool known_width;
    bool has_tolerance;
    struct kb_tolerance tolerance;
};

/* Open addressing over entries; 0 is free, else an index + 1. At most half full. */
struct kb_finder {
    uint32_t *slots;
    size_t mask;
};
struct kb_finder kb_finder_make(struct kb_arena *arena, int64_t count);
/* The slot of a key: of the entry that has it, or a free one. */
uint32_t *kb_finder_slot(const struct kb_finder *f, const struct kb_entry *entries,
                         unsigned __int128 key);

/* The keys of a group's cases, each item of its lists hashed once. */
struct kb_keys {
    const struct kb_group *group;
    unsigned __int128 rest; /* the op, and values that no list varies */
    unsigned __int128 *shapes, *dtypes, *fills, *choices[KB_MAX_PARAMS];
};
struct kb_keys kb_keys_make(const struct kb_group *group, struct kb_arena *arena);
/* kb_case_key of case `index`. */
unsigned __int128 kb_keys_at(const struct kb_keys *keys, int64_t index);

/* The case of an entry, without id, tags, why and origin. */
void kb_entry_case(const struct kb_suite *s, const struct kb_entry *e, struct kb_case *out);
/* In place of the entries, random ones around them. */
void kb_suite_fuzz(struct kb_suite *s, const struct kb_query *query,
                   struct kb_complaints *c);

#endif
