/* group.h - between the files that make cases: a group is lists that multiply, counted
 * before it is made and then read by index. Private to src/op. */
#ifndef KB_OP_GROUP_H
#define KB_OP_GROUP_H

#include "op.h"

/* ---- words and values ------------------------------------------------------------------
 */

/* kb_unknown of a dtype, a fill, a key. Those of 8 bits have many names: of one of them it
 * says which the ops have, or any op where `n_ops` is 0. */
void kb_unknown_dtype(struct kb_buf *out, const char *word, const struct kb_op *const *ops,
                      int n_ops);
void kb_unknown_fill(struct kb_buf *out, const char *word);
void kb_unknown_key(struct kb_buf *out, const struct kb_op *op, const char *word);
/* Messages of what an op cannot do: "silu has no dtype i32; it has bf16, fp16, fp32". */
bool kb_op_takes_dtype(const struct kb_op *op, enum kb_dtype dtype, struct kb_err *err);
bool kb_op_takes_fill(const struct kb_op *op, enum kb_fill fill, struct kb_err *err);

/* A parameter's value from text, or from a number; KB_INPUT says "KEY: ...". */
bool kb_value_parse(const struct kb_param *param, const char *text, struct kb_value *out,
                    struct kb_err *err);
bool kb_value_of(const struct kb_param *param, double number, struct kb_value *out,
                 struct kb_err *err);
/* The items of a LIST are in their range. */
bool kb_value_list(const struct kb_param *param, const struct kb_value *value,
                   struct kb_err *err);

/* ---- groups ----------------------------------------------------------------------------
 */

/* Sizes are at most 2^53, so that every reader of JSON keeps them. */
#define KB_MAX_SIZE ((int64_t)1 << 53)

struct kb_shape {
    int64_t sizes[KB_MAX_RANK];
    int rank;
};

/* A list of parameter values: one of the factors of a group. param -1: the op has none. */
struct kb_choice {
    int param, n;
    const struct kb_value *values;
};

struct kb_axis_values {
    const int64_t *values;
    int n;
};

/* Where groups stand and what their cases share. */
struct kb_origin {
    const char *file, *path; /* "kbench" and NULL for the command line */
    int line, col;
    const char *text; /* "cases/activation.json:12", "command line" */
    const char *why;  /* NULL on the command line */
    struct kb_tolerance tolerance;
    bool peer_numbers;      /* rule PEER with atol and rtol of its own, not the op's */
    int64_t sample_rows;    /* of struct kb_case */
    unsigned __int128 tags; /* bits of struct kb_groups.tags */
    bool only_by_tag;       /* asked for by a tag or an id, or passed over */
    bool disagreed;         /* complained about already */
};

/* The cases of one op: shapes (or the product of axes) x dtypes x choices x fills, the last
 * varying fastest. */
struct kb_group {
    struct kb_origin *origin;
    const struct kb_case *base; /* the op, and values that no list varies */
    const struct kb_shape *shapes;
    const struct kb_axis_values *axes; /* op->n_axes of them, where shapes is NULL */
    const enum kb_dtype *dtypes;
    const enum kb_fill *fills;
    const struct kb_choice *choices;
    int n_shapes, n_dtypes, n_fills, n_choices; /* n_shapes: of the axes' product too */
};

enum { KB_MAX_TAGS = 128 };

/* The groups of all files, in order. */
struct kb_groups {
    struct kb_arena *arena; /* of all that groups point to */
    struct kb_buf list;     /* of struct kb_group */
    int64_t count;          /* cases in all, repeats too; at most KB_MAX_CASES */
    const char *tags[KB_MAX_TAGS];
    int n_tags;
    const struct kb_case **starts; /* of kb_groups_start, in the order of kb_ops */
};

/* kb_case_start of an op, made once: a case is 3 KB. */
const struct kb_case *kb_groups_start(struct kb_groups *groups, const struct kb_op *op);
size_t kb_groups_len(const struct kb_groups *groups);
const struct kb_group *kb_groups_at(const struct kb_groups *groups, size_t i);
void kb_groups_add(struct kb_groups *groups, const struct kb_group *group);
/* The bit of a tag, added if it is new; 0 when there are KB_MAX_TAGS others. */
unsigned __int128 kb_groups_tag(struct kb_groups *groups, const char *tag);
/* The tags of a mask, "ci,full". */
const char *kb_groups_tags(const struct kb_groups *groups, unsigned __int128 mask,
                           struct kb_arena *arena);

/* Multiply n list lengths into a number of cases, and check that so many may be added:
 * otherwise KB_INPUT with the number. Nothing is made yet. */
bool kb_groups_room(const struct kb_groups *groups, const size_t *lengths, size_t n,
                    int64_t *count, struct kb_err *err);

int64_t kb_group_count(const struct kb_group *group);
/* Case `index` of the group, without id, tags, why and origin: nothing is allocated. */
void kb_group_case(const struct kb_group *group, int64_t index, struct kb_case *out);
/* The same in place of another case of that group: only what lists vary is written. */
void kb_group_turn(const struct kb_group *group, int64_t index, struct kb_case *out);
/* Shape `i` of the group; false where its sizes overflow. */
bool kb_group_shape(const struct kb_group *group, int64_t i, int64_t shape[KB_MAX_RANK],
                    int *rank);
/* The same of cases whose ids are the same, and (all but surely) of no others. */
unsigned __int128 kb_case_key(const struct kb_case *c);

/* Resolve every case of `n` groups that share their shapes: with one of the fills, which
 * are the op's and nothing to resolve. `refused` is told of each shape
 * that no list entry makes acceptable (once, whatever the number of ops; `what` starts with
 * the shape), and for each op at most once, with shape -1, of a case whose shape is fine
 * with other values. */
void kb_groups_resolve(const struct kb_group *groups, size_t n,
                       void (*refused)(void *context, int shape, const char *what),
                       void *context);

/* ---- sources of groups ------------------------------------------------------------------
 */

/* The groups of one case file. `name` is for messages. Everything wrong in it is complained
 * about; groups without a complaint are added. */
void kb_casefile_read(const char *name, const char *text, size_t size,
                      struct kb_groups *groups, struct kb_complaints *c);

/* Files, folders, standard input ("-") and the tool's own files of a query, in order. A
 * path that is not on disk may be one of those: "cases/activation.json", "cases". */
void kb_casefiles_load(const struct kb_strings *files, struct kb_groups *groups,
                       struct kb_complaints *c);

void kb_casefiles_load_own(struct kb_groups *groups, struct kb_complaints *c);

/* What the lists of a query select. */
struct kb_pick {
    struct kb_strings ids;   /* canonical */
    unsigned __int128 *keys; /* of the ids */
    struct kb_strings match; /* none: all, as by * */
    const struct kb_op **ops;
    struct kb_shape *shapes;
    bool dtype[KB_DTYPE_COUNT], fill[KB_FILL_COUNT];
    bool any_dtype, any_fill; /* no list was given */
    size_t n_ops, n_shapes;
    unsigned __int128 tags;
    bool any_tag;
    bool by_tag_too;           /* cases of groups that are only_by_tag */
    struct kb_choice *choices; /* n_keys x kb_op_count: what each op makes of a --set key */
    size_t n_keys;
};

/* The lists of a query as groups (they make cases), or as a selection. Tags are looked up
 * only where files_are_right: else not all of them are known. */
void kb_query_make(const struct kb_query *query, struct kb_groups *groups,
                   struct kb_complaints *c);
void kb_query_select(const struct kb_query *query, struct kb_groups *groups,
                     bool files_are_right, struct kb_pick *pick, struct kb_complaints *c);
/* All three must hold, the latter two of them only where they are asked for. */
bool kb_pick_entry(const struct kb_pick *pick, unsigned __int128 key,
                   unsigned __int128 tags, bool only_by_tag);
bool kb_pick_asks_case(const struct kb_pick *pick);
bool kb_pick_case(const struct kb_pick *pick, const struct kb_case *c);
bool kb_pick_asks_id(const struct kb_pick *pick);
bool kb_pick_id(const struct kb_pick *pick, const char *id);

/* ---- random cases ------------------------------------------------------------------
 */

struct kb_fuzz {
    uint64_t seed;
    bool any_fill;          /* one of the op's fills, too */
    struct kb_strings kept; /* names of parameters that are not drawn */
    struct kb_problem *problem;
};
/* Attempt `attempt` at a case around `given`, without an id; fuzz->problem is its problem.
 * False where it is no legal case, or one that takes long on a CPU. */
bool kb_fuzz_case(const struct kb_fuzz *fuzz, uint64_t attempt, const struct kb_case *given,
                  struct kb_case *out);
/* Which of `n` given cases of an op the attempt is around. */
size_t kb_fuzz_pick(uint64_t seed, uint64_t attempt, const struct kb_op *op, size_t n);

bool kb_tolerance_same(const struct kb_tolerance *a, const struct kb_tolerance *b);

#endif
