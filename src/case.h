/* case.h - cases: their ids, the queries that ask for them, suites. Part of the op layer,
 * included by op.h. */
#ifndef KB_CASE_H
#define KB_CASE_H

#include "op.h"

/* ---- cases ----------------------------------------------------------------------------
 */

enum { KB_MAX_LIST = 16 };

struct kb_value {
    double v; /* WORD: index; INT: whole; FLOAT; LIST: number of items */
    int64_t items[KB_MAX_LIST];
};

struct kb_case {
    const struct kb_op *op;
    enum kb_dtype dtype;
    int rank;
    int64_t shape[KB_MAX_RANK];
    struct kb_value set[KB_MAX_PARAMS]; /* in op->params order, defaults filled in */
    enum kb_fill fill;
    struct kb_tolerance tolerance;
    int64_t sample_rows; /* rows of each output that are checked, from 2; 0: all */
    const char *id;      /* op/shape/dtype[/key=value...], see kb_case_id */
    const char *tags;    /* comma list, "" if none */
    const char *origin;  /* "cases/activation.json:12" or "command line" */
    const char *why;     /* the group's, or NULL */
};

/* A case of `op` with its defaults: bf16 (or the op's first dtype), first fill, parameters'
 * defaults, rule BOUND, no shape, no id. */
void kb_case_start(struct kb_case *c, const struct kb_op *op);
/* The canonical id: only values that are not the default, keys sorted, fill among them. */
const char *kb_case_id(const struct kb_case *c, struct kb_arena *arena);
/* An id back into a case, key=value parts in any order; resolves nothing. out->id is the
 * canonical one. Every error of it is complained about, as "kbench: error: --case: ...". */
bool kb_case_parse(const char *id, struct kb_arena *arena, struct kb_case *out,
                   struct kb_complaints *complaints);
/* "83x1024" -> shape. False if it is no shape: decimal sizes from 0 to 2^53, without
 * leading zeros, joined by x. */
bool kb_shape_parse(const char *text, int64_t shape[KB_MAX_RANK], int *rank);
void kb_shape_print(const int64_t *shape, int rank, struct kb_buf *out);
/* The problem of a case: what all ops check (dtype, fill, parameters and sizes in range),
 * the parameters as names, then the op's own resolve, whose message gets the shape in
 * front. `p` keeps `c`. */
bool kb_case_resolve(const struct kb_case *c, struct kb_problem *p, struct kb_err *err);
/* KEY and VALUE text into c->set (or c->fill for "fill"); message without place. */
bool kb_case_set(struct kb_case *c, const char *key, const char *value, struct kb_err *err);
/* "KEY=VALUE,KEY=VALUE" of those, not empty. */
bool kb_case_set_all(struct kb_case *c, const char *pairs, struct kb_err *err);
/* `c` by another convention of its op's, without an id. False where that is the same case
 * or none that resolves; `p` is its problem. */
bool kb_case_by_convention(const struct kb_case *c, const struct kb_convention *other,
                           struct kb_case *out, struct kb_problem *p);
/* The value of parameter i as text, "act", "7", "0.5", "64+128". */
void kb_value_print(const struct kb_param *param, struct kb_value v, struct kb_buf *out);
bool kb_value_same(const struct kb_value *a, const struct kb_value *b);
/* A list into c->set; axes of the shape that were what the old one comes to follow. */
void kb_case_put_list(struct kb_case *c, int param, const struct kb_value *value);
/* "bound", "peer" or "ATOL,RTOL". The numbers of "peer" are the op's for a dtype: 0 here.
 */
bool kb_tolerance_parse(const char *text, struct kb_tolerance *out, struct kb_err *err);

/* What is asked for. Items are single words: comma lists are split before.
 *
 * Without case files the lists make cases. `ops` go with `shapes` and multiply with dtypes,
 * fills and set; an empty list is the default (bf16, first fill, parameters' defaults).
 * Each of `ids` makes its case; where there are no ops, the other lists take the place of
 * its own values. `match` picks among what was made. Beside case files the lists select,
 * and all of them must hold; an empty one selects all. So they do, among the tool's own
 * case files, where no files are given but tags, or match without ids and shapes. */
struct kb_query {
    struct kb_strings files; /* CASES.json, folders, or "-" for standard input */
    struct kb_strings ids;   /* --case */
    struct kb_strings ops, shapes, dtypes, fills, tags, match; /* fills: "all" is each */
    /* KEY=V1,V2[,KEY=V1,...]: one item per --set; "fill" is a key too */
    struct kb_strings set;
    const char *tolerance; /* overrides the cases' own; NULL: do not */
    /* Above 0: in place of the cases, so many random ones of each op, around them. Fills
     * and parameters are drawn, too, but for those that are asked for. */
    int64_t fuzz;
    uint64_t fuzz_seed;
    /* Groups that are only_by_tag give their cases where tags or ids are asked for, or
     * here: to count what there is. */
    bool by_tag_too;
};

/* Refused with the count computed, before anything is built. */
enum { KB_MAX_CASES = 100000 };

/* The cases that a query comes to, in file order, then as the lists multiply, without
 * repeats. Every one of them resolves. A case is made when it is read: 48 bytes are kept of
 * each, to find repeats and to make it. No case selected is a complaint as well, so that a
 * suite has at least one. */
struct kb_suite;
bool kb_suite_open(struct kb_suite **suite, const struct kb_query *query,
                   struct kb_complaints *complaints);
/* The next case, its strings in `arena`. False at the end. */
bool kb_suite_next(struct kb_suite *suite, struct kb_arena *arena, struct kb_case *out);
void kb_suite_rewind(struct kb_suite *suite);
int64_t kb_suite_count(const struct kb_suite *suite); /* after selection */
int kb_suite_id_width(struct kb_suite *suite);        /* of the longest id, for tables */
/* The cases that kb_suite_next comes to, counted. None of them is made. */
struct kb_case_counts {
    int64_t *of_op;    /* in the order of kb_ops */
    const char **tags; /* as cases come to them */
    int64_t *of_tag;
    int n_tags;
};
void kb_suite_counts(const struct kb_suite *suite, struct kb_arena *arena,
                     struct kb_case_counts *out);
void kb_suite_free(struct kb_suite *suite);

#endif
