/* localise.h - where a wrong output is wrong, and what stands there instead: the files
 * localise*.c. Internal to the measure layer.
 *
 * A failed output gives a bit for each element that is checked. Rows are what the last axis
 * counts off; the bits are laid out row after row. A pattern is named only where it holds
 * for at least KB_COVER of the wrong elements and at least KB_PURE of the elements that it
 * names are wrong; where it is not exact the words say by how many. */
#ifndef KB_LOCALISE_H
#define KB_LOCALISE_H

#include "measure.h"

#define KB_COVER 0.95
#define KB_PURE 0.9

/* ---- sets of indices, a bit each ---------------------------------------------------- */

struct kb_set {
    int64_t n; /* indices are 0 .. n-1 */
    uint64_t *bits;
};
bool kb_set_make(struct kb_set *set, int64_t n); /* empty; false without memory */
void kb_set_free(struct kb_set *set);
bool kb_set_has(const struct kb_set *set, int64_t i);
void kb_set_add(struct kb_set *set, int64_t i);
/* How many of [from, to) are in it. */
int64_t kb_set_count(const struct kb_set *set, int64_t from, int64_t to);
/* The first index from `from` on that is in the set (or is not, where `in` is false); n if
 * there is none. */
int64_t kb_set_next(const struct kb_set *set, int64_t from, bool in);

/* Up to `max` of the `count` that are in it (or are not), all over it, but not evenly: a
 * step of our own would be a pattern. Returns how many. */
int64_t kb_set_sample(const struct kb_set *set, bool in, int64_t count, int64_t max,
                      int64_t *out);

/* What a set of rows or columns is called. */
struct kb_named {
    const char *one;        /* "row", "column", "element" */
    const int64_t *numbers; /* of index i, ascending; NULL: i itself */
    int64_t total;          /* how many there are, the unchecked ones too */
};
/* "rows 80..82", and why that may be: "the last 3 of 83". A set that has no form but a list
 * is "17 of 83 rows (3, 9, 12, ...)". Of one that has every index nothing is said. */
enum kb_form { KB_FORM_ALL, KB_FORM_LIST, KB_FORM };
enum kb_form kb_set_words(const struct kb_set *set, const struct kb_named *named,
                          struct kb_buf *where, struct kb_buf *why);
/* "500 = 62 * 8 + 4, the tail after the last full 8": elements from `start` on, if they are
 * a tail. */
bool kb_tail_words(int64_t total, int64_t start, struct kb_buf *why);
/* How surprising a set would be that was drawn at random, in bits, once a description that
 * takes `bits` to write is taken off. From KB_EVIDENCE on it is no accident. */
double kb_set_evidence(int64_t n, int64_t count, double bits);
int64_t kb_gcd(int64_t a, int64_t b);
#define KB_EVIDENCE 8.0

/* ---- which elements are wrong ------------------------------------------------------- */

struct kb_mask {
    struct kb_set set; /* of places */
    int64_t wrong;     /* how many are in it */
    int64_t rows, columns;
    const int64_t *numbers; /* of the rows that are checked; NULL: all are */
    int64_t all_rows;
    int rank;
    int64_t shape[KB_MAX_RANK];
};
/* Of an output's wrong elements; *rest is what is said of the right ones. False without
 * memory for it. */
bool kb_mask_make(const struct kb_compare_args *args, struct kb_mask *mask,
                  struct kb_rest *rest);
/* Of the checked elements whose bits differ between two outputs of the tensor. */
bool kb_mask_differing(const struct kb_compare_args *args, const void *other,
                       struct kb_mask *mask);
void kb_mask_free(struct kb_mask *mask);
/* The flat index of a place. */
int64_t kb_mask_flat(const struct kb_mask *mask, int64_t place);
void kb_mask_index_words(const struct kb_mask *mask, int64_t place, struct kb_buf *out);

/* Where they are: pattern, where, why, named and inside of `out`. At least one is wrong. */
void kb_mask_where(const struct kb_mask *mask, struct kb_arena *arena,
                   struct kb_local *out);
/* What is not a matter of rows and columns: runs, residues and blocks of the flat index,
 * and tiles. False if it is none of them. */
bool kb_mask_flat_where(const struct kb_mask *mask, struct kb_local *out,
                        struct kb_buf *where, struct kb_buf *why);
void kb_mask_map(const struct kb_mask *mask, struct kb_map *out);

/* ---- what wrong elements hold, and what they are made of ---------------------------- */

/* An element as it is and as it was wanted. */
struct kb_seen {
    int64_t flat;
    uint32_t bits;
    double got, want, bound; /* want: of exact outputs the value of its bits, too */
    uint32_t want_bits;      /* exact outputs only */
};
struct kb_seen kb_see(const struct kb_compare_args *args, int64_t flat);
/* Calls of the reference that a case may cost beyond the comparison: fewer where each is a
 * whole row of a large product. */
int64_t kb_see_max(const struct kb_compare_args *args);

/* Where wanted elements are, by another order: what a wrong element may hold instead. */
struct kb_order {
    int kind;
    int64_t k;
};
int kb_order_count(void);
struct kb_order kb_order_at(int i);
/* The flat index of what belongs elsewhere; -1: there is none, or it is `flat` itself. */
int64_t kb_order_of(const struct kb_order *order, int64_t rows, int64_t columns,
                    int64_t flat);
/* both: the element there is wrong as well. */
void kb_order_words(const struct kb_order *order, bool both, struct kb_buf *out);

/* "what belongs to the row before", of nearly all wrong elements; out->holds. */
void kb_mask_holds(const struct kb_compare_args *args, const struct kb_mask *mask,
                   struct kb_arena *arena, struct kb_local *out);
/* "93 % of them where gate < 0", or nothing; out->inputs. */
void kb_mask_inputs(const struct kb_compare_args *args, const struct kb_mask *mask,
                    struct kb_arena *arena, struct kb_local *out);

/* All of it about an output that is wrong. What its elements hold is left out
 * where `holds` is false. */
const struct kb_local *kb_localise(const struct kb_compare_args *args,
                                   const struct kb_mask *mask, const struct kb_rest *rest,
                                   bool holds, struct kb_arena *arena);

#endif
