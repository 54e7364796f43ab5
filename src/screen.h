/* screen.h - what people see at a terminal: words, numbers, the table, the single case.
 *
 * Part of the report layer. Nothing here prints: text is appended to a kb_buf. */
#ifndef KB_SCREEN_H
#define KB_SCREEN_H

#include "report.h"
#include "selftest.h"

/* ---- words and numbers ----------------------------------------------------------------
 */

/* A number as tables show it; "-" where it is not known (NAN). */
struct kb_cell {
    char text[32];
};
struct kb_cell kb_cell_us(double ns);       /* 3 digits: "0.490" "1.22" "24.8" "142" */
struct kb_cell kb_cell_ratio(double value); /* err/bound, ulp: "0.02" "84.7" "13190" */
struct kb_cell kb_cell_rate(double gb_per_s);
struct kb_cell kb_cell_percent(double ratio); /* "97 %" */
struct kb_cell kb_cell_waves(double waves);   /* "0.0156" "2" "12.4" */
struct kb_cell kb_cell_spread(double ratio);  /* a half-width: "0.3 %" */
struct kb_cell kb_cell_bytes(double bytes);   /* "0 B" "5.3 kB" "63 MB" */
struct kb_cell kb_cell_ms(double ms);         /* "47 ms" "0.9 s" */
struct kb_cell kb_cell_error(double value);   /* "1.6e-2" "0" */
struct kb_cell kb_cell_number(double value);  /* shortest: "1e-2" "0.25" */
struct kb_cell kb_cell_value(double value);   /* an element: "0.00104523" "nan" */
/* "NVIDIA H200 sm_90", "host, 8 cores, g++ 12.2" */
void kb_device_words(const struct kb_device_info *device, struct kb_buf *out);
/* What all rows of a run share, escaped: "NVIDIA H200 sm_90 | driver 580.159.04, NVRTC 13.0
 * | build precise | clocks not locked". `shared`: more of it, "" if none. */
enum kb_layout { KB_LAYOUT_BUILD, KB_LAYOUT_CHECK, KB_LAYOUT_BENCH };
void kb_facts_words(const struct kb_facts *facts, enum kb_layout layout, const char *shared,
                    struct kb_buf *out);
/* "PASS", in its colour if that is asked for. */
void kb_verdict_words(enum kb_verdict verdict, bool color, struct kb_buf *out);
/* "vec16" or "mine.cu:vec8": the variant, with its file where that is a user's. */
void kb_variant_words(const struct kb_row *row, struct kb_buf *out);
/* What is to be known of a time beside its number: "throttled, duty 50 %", "" if nothing.
 */
void kb_time_words(const struct kb_time *time, struct kb_buf *out);
/* FAIL, ERROR and MISTRUSTED: told again at the end. */
bool kb_row_is_repeated(const struct kb_row *row);
/* The worst err/bound and ulp over a row's outputs; NAN where there is nothing to say: no
 * elements, or parts that were never written. */
double kb_row_error(const struct kb_row *row);
double kb_row_ulp(const struct kb_row *row);
/* What is wrong, in words, unescaped, with where and what is not: "rows 80..82 never
 * written, 1536 of 42496 elements; the rest is right". "" for PASS. */
void kb_row_words(const struct kb_row *row, struct kb_buf *out);
/* Of that, what alone. */
void kb_row_what(const struct kb_row *row, struct kb_buf *out);
/* Where an output is wrong, and why there: "columns 496..499 of every row: 500 = 62 * 8 +
 * 4, the tail after the last full 8". */
void kb_where_words(const struct kb_output_report *output, struct kb_buf *out);
/* "[27, 137]"; `padded`: every axis as wide as its largest index. */
void kb_index_words(const struct kb_output_report *output, int64_t flat, bool padded,
                    struct kb_buf *out);
/* What is right all the same: "right: 41168 elements; guards and inputs untouched". */
void kb_row_rest(const struct kb_row *row, struct kb_buf *out);
/* "1x18 fails (column 8 of 9), 1x16 passes"; nothing where none was looked for. */
void kb_smallest_words(const struct kb_row *row, struct kb_buf *out);
/* "checked 1000 of 1048577 rows"; nothing where all of them were, or none. */
void kb_sampled_words(const struct kb_row *row, struct kb_buf *out);
/* "peers' 1e-2 + 1e-2*|want|" */
void kb_tolerance_words(const struct kb_tolerance *tolerance, struct kb_buf *out);
/* The output that a row's sentence is about; NULL if there is none. */
const struct kb_output_report *kb_row_worst(const struct kb_row *row);
/* That, or the one whose bits differ between runs. */
const struct kb_output_report *kb_row_placed(const struct kb_row *row);
enum { KB_SENTENCE_WIDTH = 100 }; /* of sentences, however wide the terminal is */
/* Text broken at spaces so that no line is longer than `width` columns (0: never broken);
 * `at`: the column where it starts; lines after the first start with `indent` spaces. */
void kb_wrap(const char *text, int at, int indent, int width, struct kb_buf *out);

/* Lines that are longer than `width` columns (0: none is) broken at blanks, where there is
 * a choice at two or more, which stand between columns; what follows is indented. Colours
 * take no column. */
void kb_fold(const char *text, int indent, int width, struct kb_buf *out);

/* Text broken only at separators such as " | ". */
void kb_wrap_at(const char *text, const char *separator, int width, struct kb_buf *out);

/* What kbench selftest found of a device: tables, and an object of JSON. */
void kb_selftest_print(const struct kb_selftest *selftest, struct kb_buf *out);
cJSON *kb_selftest_item(const struct kb_selftest *selftest);
/* "stream 4284 GB/s, read 4510, write 4560, mma bf16 790 TFLOP/s (selftest of
 * 2026-11-26)" */
void kb_ceilings_words(const struct kb_ceilings *ceilings, struct kb_buf *out);

/* ---- at the terminal ------------------------------------------------------------------
 */

struct kb_look {
    int width;  /* columns; 0: no limit */
    bool color; /* repeats the verdict, nothing else */
    bool verbose;
};

/* A column by the word that --columns takes, or what --sort takes: "case" and "verdict" as
 * well. A method's word is its time. */
struct kb_column_choice {
    int kind, method;
};
bool kb_column_parse(const char *word, bool to_sort, struct kb_column_choice *out);
void kb_column_words(bool to_sort, struct kb_arena *arena, struct kb_strings *out);
enum { KB_MAX_COLUMNS = 24 };

/* The table of a suite. Rows are printed as they finish, so all widths come from the plan.
 */
struct kb_table_plan {
    const struct kb_facts *facts;
    enum kb_layout layout;
    int id_width, variant_width;                   /* of the longest */
    bool many_variants, many_builds, many_devices; /* rows differ in it: a column */
    enum kb_method methods[KB_METHOD_COUNT];       /* time columns, BENCH */
    int n_methods;
    bool energy;        /* a column of it, too */
    int n_variants;     /* of each case; 0: ops differ in it */
    const char *shared; /* more of what all rows share: "kernel act.cu"; "" */
    int n_columns;      /* those that were asked for; 0: by default */
    struct kb_column_choice columns[KB_MAX_COLUMNS];
    int64_t n_cases;
};
struct kb_column {
    int kind, method, width;
    int leaves; /* order in which it goes where there is no room; 0: it stays */
    char head[16];
};
struct kb_table {
    struct kb_table_plan plan;
    struct kb_look look;
    int n_columns, case_width; /* case_width: verdict and id together */
    struct kb_column columns[KB_MAX_COLUMNS];
};
void kb_table_make(struct kb_table *table, const struct kb_table_plan *plan,
                   const struct kb_look *look);
void kb_table_head(const struct kb_table *table, struct kb_buf *out);
void kb_table_row(const struct kb_table *table, const struct kb_row *row,
                  struct kb_buf *out);
/* Of rows that are repeated, at the end: what, in how many `others` it is the same, and the
 * command that repeats it. */
void kb_table_failure(const struct kb_table *table, const struct kb_row *row,
                      int64_t others, struct kb_buf *out);
void kb_table_summary(const struct kb_table *table, const struct kb_tally *tally,
                      double seconds, struct kb_buf *out);

/* Rows that did not build for the same reason, a compiler's text of many lines as a rule:
 * counted first, then told once. Zero is empty; of texts past the last that has room each
 * row is told. */
enum { KB_TOLD_MAX = 64 };
struct kb_told {
    int n;
    struct kb_told_text {
        enum kb_reason reason;
        struct kb_hash hash;
        int64_t rows;
        bool is_told;
    } texts[KB_TOLD_MAX];
};
void kb_told_count(struct kb_told *told, const struct kb_row *row);
/* How many other rows have the reason of this one, which is to be told now; -1: it has been
 * told. */
int64_t kb_told_others(struct kb_told *told, const struct kb_row *row);

/* Lines of the table in the order of a column, the worst first: errors and times from the
 * largest, rates and ceilings from the smallest, names by their letters; those that have
 * nothing there last, equal ones as they came. */
struct kb_sorter {
    struct kb_arena arena;
    struct kb_column_choice by;
    struct kb_sorted *items;
    size_t n, cap;
};
void kb_sorter_add(struct kb_sorter *sorter, const struct kb_row *row, const char *line);
void kb_sorter_print(struct kb_sorter *sorter, struct kb_buf *out);
void kb_sorter_free(struct kb_sorter *sorter);

/* The screen of a single case. */
struct kb_single {
    const struct kb_device_info *device;
    enum kb_mode mode;
    bool no_cache;
    struct kb_look look;
};
/* The first line alone, and all of it. */
void kb_single_verdict(const struct kb_single *single, const struct kb_row *row,
                       struct kb_buf *out);
void kb_single_print(const struct kb_single *single, const struct kb_row *row,
                     struct kb_buf *out);

#endif
