/* local.h - where a wrong output is wrong, what stands there, and how small a case still
 * fails. Part of the measure layer, included by measure.h. */
#ifndef KB_LOCAL_H
#define KB_LOCAL_H

#include "exec.h"

/* id, word in reports, what it is */
#define KB_PATTERNS(X)                                                                     \
    X(KB_P_ELEMENT, "element", "one element alone")                                        \
    X(KB_P_EVERYWHERE, "everywhere", "every element, or nearly")                           \
    X(KB_P_ROWS, "rows", "whole rows, or slices of a leading axis")                        \
    X(KB_P_COLUMNS, "columns", "the same columns of every row")                            \
    X(KB_P_TILE, "tile", "some columns of some rows")                                      \
    X(KB_P_RUN, "run", "neighbours without a gap, across rows")                            \
    X(KB_P_RESIDUE, "residue", "a residue of the flat index")                              \
    X(KB_P_BLOCKS, "blocks", "whole blocks of rows and columns, or of the flat index")     \
    X(KB_P_SCATTERED, "scattered", "none of these")
enum kb_pattern {
#define X(id, word, help) id,
    KB_PATTERNS(X)
#undef X
        KB_PATTERN_COUNT
};
const char *kb_pattern_word(enum kb_pattern pattern);
bool kb_pattern_parse(const char *word, enum kb_pattern *out);

/* A picture: a cell is right '.', in part wrong '+' or all wrong '#'. */
enum { KB_MAP_LINES = 5, KB_MAP_CELLS = 50 };
struct kb_map {
    int64_t cell_rows, cell_columns; /* of those that are checked; the last may be less */
    int n_lines;
    int64_t first_rows[KB_MAP_LINES]; /* of each line */
    char lines[KB_MAP_LINES][KB_MAP_CELLS + 1];
};

/* Of an output with wrong elements. Words that are not there are NULL. */
struct kb_local {
    enum kb_pattern pattern;
    const char *where;     /* "columns 496..499 of every row" */
    const char *why;       /* "500 = 62 * 8 + 4, the tail after the last full 8" */
    const char *inputs;    /* "93 % of them where gate < 0" */
    const char *holds;     /* what wrong elements hold: "what belongs one row further on" */
    int64_t named, inside; /* elements that `where` names, and the wrong ones of them */
    /* Of elements that are right by the rule; NAN where there is no number. */
    int64_t right;
    double right_share, right_ulp;
    struct kb_map map;
};

/* The smallest case found that still fails. */
struct kb_smallest {
    const char *case_id, *where; /* where: "column 8 of 9" or NULL */
    const char *passes;          /* a case next to it that passes, or NULL */
    const char *whole;  /* one that is smaller and fails in all elements, or NULL */
    const char *repeat; /* the command that repeats it */
    int tried;          /* cases that were run */
    bool done;          /* none was left to try when the time was over */
};

#endif
