/* compare_words.h - between the files that show what was compared: cells, heads, JSON. */
#ifndef KB_COMPARE_WORDS_H
#define KB_COMPARE_WORDS_H

#include "gate.h"

/* "+5.7 %"; "-" for NAN. */
struct kb_cell kb_cell_change(double ratio);
/* "+5.7 % [+5.3 +6.0]" */
void kb_change_words(const struct kb_shift *shift, struct kb_buf *out);
/* A word in its colour: what is worse red, what is better green, what is not known yellow.
 */
enum kb_tone { KB_TONE_NONE, KB_TONE_BAD, KB_TONE_GOOD, KB_TONE_DOUBT };
void kb_tone_words(const char *text, enum kb_tone tone, bool color, struct kb_buf *out);
/* Escaped, and blanks up to `width` columns. */
void kb_padded(const char *text, int width, struct kb_buf *out);
/* "n 40, wants about 160"; "wants about 5 runs". */
void kb_wants_words(const struct kb_pair *pair, struct kb_buf *out);
/* What tells rows of one case apart, where there are several: build, variant, device,
 * method. */
struct kb_row_tags {
    bool builds, variants, devices, methods;
};
/* Of pairs alone, or of rows that are in one report, too. */
struct kb_row_tags kb_row_tags_of(const struct kb_pairs *pairs, bool whole);
/* "silu/83x1024/bf16 fast-math vec16" */
void kb_pair_words(const struct kb_pair *pair, const struct kb_row_tags *tags,
                   struct kb_buf *out);
/* The heads of both reports, aligned: name, date, kbench, GPU, driver. `words`: what the
 * two are called. */
void kb_heads_print(const struct kb_loaded *a, const struct kb_loaded *b,
                    const char *const words[2], const char *method, bool dates,
                    struct kb_buf *out);
/* Which reports a gate holds against each other, by which limits, and in what they differ.
 */
void kb_gate_head(const struct kb_gate *gate, bool all, struct kb_buf *out);
/* Whether errors of the two may be told apart: of the same inputs and as many rows. */
bool kb_pair_has_errors(const struct kb_pair *pair);
/* A pair as JSON, but for its verdict. */
cJSON *kb_pair_item(const struct kb_pair *pair);
cJSON *kb_loaded_item(const struct kb_loaded *report);
cJSON *kb_mismatches_item(const struct kb_mismatches *mismatches);

#endif
