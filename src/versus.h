/* versus.h - builds and variants of a case side by side at a terminal, and devices side by
 * side. Part of the report layer.
 *
 * A group is the rows of one case: of each device `n` members, the first of which is A. */
#ifndef KB_VERSUS_H
#define KB_VERSUS_H

#include "screen.h"

/* ---- words ----------------------------------------------------------------------------
 */

/* "-20.5 % [-20.9 -20.0]", "-20.5 %", "-": time of B against that of A. */
void kb_speed_words(const struct kb_speed *speed, bool interval, struct kb_buf *out);
/* "0.00 %": elements of the outputs with other bits; "<0.01 %", "-" where not compared. */
struct kb_cell kb_cell_differing(const struct kb_against *against);
/* FASTER and so on, or what the two verdicts come to where there is no speed: "B FAIL",
 * "FAIL" for both, "PASS". `letter` is B's. */
void kb_versus_verdict(const struct kb_row *a, const struct kb_row *b, char letter,
                       enum kb_method method, bool color, struct kb_buf *out);
/* "32 registers, 0 spilled, 6.1 kB, 8 blocks per SM (100 %), 0.16 waves". Nothing where
 * nothing is known. */
void kb_code_words(const struct kb_row *row, struct kb_buf *out);

/* ---- the screen -----------------------------------------------------------------------
 */

struct kb_versus_plan {
    const struct kb_facts *facts;
    enum kb_layout layout;           /* CHECK or BENCH */
    int id_width;                    /* of the longest id, with its dtype */
    const char *dtype;               /* of all cases, so that ids need not show it; NULL */
    bool many_builds, many_variants; /* what members differ in */
    int n_members;                   /* at most */
    enum kb_method methods[KB_METHOD_COUNT]; /* whose times are shown, each in a line */
    int n_methods;
    bool energy;        /* columns of it, too */
    int64_t n_cases;    /* of all */
    const char *shared; /* more of what all rows share; "" */
};

enum kb_versus_kind {
    KB_V_DEVICE,
    KB_V_LETTER,
    KB_V_ERROR_A,
    KB_V_ERROR_B,
    KB_V_ULP_A,
    KB_V_ULP_B,
    KB_V_TIME_A,
    KB_V_CEILING,
    KB_V_TIME_B,
    KB_V_ENERGY_A,
    KB_V_ENERGY_B,
    KB_V_SPEED,
    KB_V_BITS,
    KB_V_KINDS
};

struct kb_versus_sum {              /* of one op, letter, device and method */
    const char *op, *label, *first; /* what B and A are */
    int member, device, method;     /* method: in plan.methods; what is no time is with 0 */
    double logs;                    /* of ratios */
    int64_t ratios, wrong, errors, rows, compared, other_bits, verdicts[KB_SPEED_COUNT];
};

struct kb_versus {
    struct kb_versus_plan plan;
    struct kb_look look;
    struct kb_arena arena;
    bool devices; /* in columns of their own; else each has lines of its own */
    bool begun;
    int verdict_width, id_width;
    int extra; /* for the names of devices, in front of the first of their columns */
    bool ratios_alone; /* there is no room for intervals */
    bool has[KB_V_KINDS];
    struct kb_strings members; /* labels of the block under way */
    int n_sums;
    struct kb_versus_sum *sums; /* in `arena` */
};
/* False where it would show no more than the table of a suite does: one build and variant,
 * on one device or on more than there is room for. */
bool kb_versus_make(struct kb_versus *versus, const struct kb_versus_plan *plan,
                    const struct kb_look *look);
/* The rows' cells of the columns that there are, each with two blanks in front, times by
 * `method`. */
void kb_versus_cells(const struct kb_versus *versus, const struct kb_row *a,
                     const struct kb_row *b, int member, enum kb_method method,
                     struct kb_buf *out);
void kb_versus_heads(const struct kb_versus *versus, int n, struct kb_buf *out);
/* Columns that one device's cells take. */
int kb_versus_cells_width(const struct kb_versus *versus);
/* And those in front of them: verdict, id, and the method where there are several. */
int kb_versus_margin(const struct kb_versus *versus);
void kb_versus_free(struct kb_versus *versus);
/* Facts that all share: the first lines. */
void kb_versus_head(const struct kb_versus *versus, struct kb_buf *out);
/* The rows of a case: of device i from rows[i * n] on. Where their builds or variants are
 * not those of the group before, what A, B, ... are and the heads of the columns come
 * first. */
void kb_versus_group(struct kb_versus *versus, const struct kb_row *rows, int n,
                     struct kb_buf *out);
/* Only counted, for what is not shown. */
void kb_versus_count(struct kb_versus *versus, const struct kb_row *rows, int n);
/* "B against A: silu -12.4 % (geomean of 2); gelu_tanh wrong in 2 of 2"; where ops have
 * other variants, so that B is not the same in all of them, "scalar against vec16: ...". Of
 * several methods each has a line, "B against A by cold: ...". */
void kb_versus_summary(const struct kb_versus *versus, struct kb_buf *out);
/* "stream of this run, at most: 0 NVIDIA H200 4284 GB/s | 1 NVIDIA L40S 718 GB/s": of
 * several devices, what the head does not say because no selftest had found it. */
void kb_versus_streams(const struct kb_versus *versus, const struct kb_tally *tally,
                       struct kb_buf *out);

#endif
