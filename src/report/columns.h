/* columns.h - between the files that make the table: what a column shows of a row. */
#ifndef KB_REPORT_COLUMNS_H
#define KB_REPORT_COLUMNS_H

#include "report/parts.h"

enum kb_column_kind {
    KB_C_DEVICE,
    KB_C_BUILD,
    KB_C_VARIANT,
    KB_C_ERROR,
    KB_C_ULP,
    KB_C_TIME,
    KB_C_RATE,
    KB_C_CEILING,
    KB_C_REGISTERS,
    KB_C_SPILLED,
    KB_C_SHARED,
    KB_C_CODE,
    KB_C_COMPILED,
    KB_C_LOADED,
    KB_C_OCCUPANCY,
    KB_C_WAVES,
    KB_C_ENERGY,
    KB_C_CASE, /* the last two are always there; they are to sort by */
    KB_C_VERDICT,
    KB_C_COUNT
};

enum kb_worst { KB_WORST_BY_NAME, KB_WORST_LARGEST, KB_WORST_SMALLEST };

struct kb_column_info {
    const char *word, *head;
    int width;
    bool left;
    int leaves; /* as in struct kb_column */
    enum kb_worst worst;
};
const struct kb_column_info *kb_column_info(enum kb_column_kind kind);
/* What the code of a row came to: registers and the rest. */
enum { KB_CODE_COLUMNS = 6 };
extern const struct kb_column kb_code_columns[KB_CODE_COLUMNS], kb_energy_column;
/* Of a column that is no text; NAN: nothing to show. */
double kb_column_number(const struct kb_column *column, const struct kb_row *row);
struct kb_cell kb_column_cell(const struct kb_column *column, const struct kb_row *row);
/* Of one that is, escaped. */
void kb_column_text(const struct kb_column *column, bool many_variants,
                    const struct kb_row *row, struct kb_buf *out);

#endif
