/* localise_map.c - the picture of a wrong output: a cell is right, in part wrong, or all
 * wrong. */
#include "localise.h"

/* A size of cells so that `max` of them are enough: one that divides, if there is one that
 * is not much larger. */
static int64_t cell_size(int64_t n, int64_t max) {
    int64_t least = (n + max - 1) / max;

    for (int64_t size = least; size < 2 * least; size++)
        if (n % size == 0)
            return size;
    return least > 0 ? least : 1;
}

static char cell_of(const struct kb_mask *mask, int64_t row, int64_t column,
                    const struct kb_map *map) {
    int64_t rows = 0, wrong = 0, width = mask->columns - column;

    width = width < map->cell_columns ? width : map->cell_columns;
    for (; rows < map->cell_rows && row + rows < mask->rows; rows++) {
        int64_t start = (row + rows) * mask->columns + column;
        wrong += kb_set_count(&mask->set, start, start + width);
    }
    return wrong == 0 ? '.' : wrong == rows * width ? '#' : '+';
}

void kb_mask_map(const struct kb_mask *mask, struct kb_map *out) {
    *out = (struct kb_map){
        .cell_rows = cell_size(mask->rows, KB_MAP_LINES),
        .cell_columns = cell_size(mask->columns, KB_MAP_CELLS),
    };
    for (int64_t row = 0; row < mask->rows; row += out->cell_rows) {
        char *line = out->lines[out->n_lines];
        out->first_rows[out->n_lines++] = mask->numbers ? mask->numbers[row] : row;
        for (int64_t column = 0; column < mask->columns; column += out->cell_columns)
            *line++ = cell_of(mask, row, column, out);
    }
}
