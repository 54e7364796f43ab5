/* localise_order.c - other places that a wrong element's value may belong to: another row,
 * a neighbour, the other half, the other of a pair. */
#include "localise.h"

enum kind {
    ROWS_ON,       /* k rows on */
    ELEMENTS_ON,   /* k elements on */
    COLUMNS_SWAP,  /* column ^ k */
    ROWS_SWAP,     /* row ^ k */
    LOWER_OF_PAIR, /* column & ~1 */
    UPPER_OF_PAIR,
    COLUMN_HALVES,
    ROW_HALVES,
    COLUMNS_BACK, /* the last first */
    ROWS_BACK,
    FIRST_ROW,
    FIRST_COLUMN,
    TRANSPOSED,
    INTERLEAVED, /* the halves of a row by turns */
    SPLIT,       /* the other way round */
};

/* Those that are likelier by far stand first: of several that fit the first is told. */
static const struct kb_order orders[] = {
    {ROWS_ON, -1},      {ROWS_ON, 1},        {ELEMENTS_ON, -1},  {ELEMENTS_ON, 1},
    {COLUMNS_SWAP, 1},  {LOWER_OF_PAIR, 0},  {UPPER_OF_PAIR, 0}, {ROWS_SWAP, 1},
    {COLUMN_HALVES, 0}, {ROW_HALVES, 0},     {COLUMNS_BACK, 0},  {ROWS_BACK, 0},
    {TRANSPOSED, 0},    {INTERLEAVED, 0},    {SPLIT, 0},         {FIRST_ROW, 0},
    {FIRST_COLUMN, 0},  {COLUMNS_SWAP, 2},   {COLUMNS_SWAP, 3},  {COLUMNS_SWAP, 4},
    {COLUMNS_SWAP, 7},  {COLUMNS_SWAP, 8},   {COLUMNS_SWAP, 15}, {COLUMNS_SWAP, 16},
    {COLUMNS_SWAP, 31}, {COLUMNS_SWAP, 32},  {COLUMNS_SWAP, 64}, {ROWS_SWAP, 2},
    {ROWS_SWAP, 4},     {ROWS_SWAP, 8},      {ROWS_SWAP, 16},    {ROWS_ON, -2},
    {ROWS_ON, 2},       {ROWS_ON, -4},       {ROWS_ON, 4},       {ROWS_ON, -8},
    {ROWS_ON, 8},       {ROWS_ON, -16},      {ROWS_ON, 16},      {ROWS_ON, -32},
    {ROWS_ON, 32},      {ROWS_ON, -64},      {ROWS_ON, 64},      {ELEMENTS_ON, -2},
    {ELEMENTS_ON, 2},   {ELEMENTS_ON, -3},   {ELEMENTS_ON, 3},   {ELEMENTS_ON, -4},
    {ELEMENTS_ON, 4},   {ELEMENTS_ON, -8},   {ELEMENTS_ON, 8},   {ELEMENTS_ON, -16},
    {ELEMENTS_ON, 16},  {ELEMENTS_ON, -32},  {ELEMENTS_ON, 32},  {ELEMENTS_ON, -64},
    {ELEMENTS_ON, 64},  {ELEMENTS_ON, -128}, {ELEMENTS_ON, 128}, {ELEMENTS_ON, -256},
    {ELEMENTS_ON, 256},
};

int kb_order_count(void) {
    return (int)KB_COUNT(orders);
}

struct kb_order kb_order_at(int i) {
    return orders[i];
}

/* The other half of `n`, or -1 where there are none. */
static int64_t other_half(int64_t i, int64_t n) {
    return n % 2 ? -1 : (i + n / 2) % n;
}

static int64_t column_of(const struct kb_order *order, int64_t columns, int64_t column) {
    switch ((enum kind)order->kind) {
    case COLUMNS_SWAP:
        return column ^ order->k;
    case LOWER_OF_PAIR:
        return column & ~INT64_C(1);
    case UPPER_OF_PAIR:
        return column | 1;
    case COLUMN_HALVES:
        return other_half(column, columns);
    case COLUMNS_BACK:
        return columns - 1 - column;
    case FIRST_COLUMN:
        return 0;
    case INTERLEAVED:
        return columns % 2 ? -1 : column % 2 * (columns / 2) + column / 2;
    case SPLIT:
        return columns % 2 ? -1 : column % (columns / 2) * 2 + column / (columns / 2);
    default:
        return column;
    }
}

static int64_t row_of(const struct kb_order *order, int64_t rows, int64_t row) {
    switch ((enum kind)order->kind) {
    case ROWS_ON:
        return row + order->k;
    case ROWS_SWAP:
        return row ^ order->k;
    case ROW_HALVES:
        return other_half(row, rows);
    case ROWS_BACK:
        return rows - 1 - row;
    case FIRST_ROW:
        return 0;
    default:
        return row;
    }
}

int64_t kb_order_of(const struct kb_order *order, int64_t rows, int64_t columns,
                    int64_t flat) {
    int64_t row = flat / columns, column = flat % columns, to;

    if (order->kind == ELEMENTS_ON) {
        to = flat + order->k;
        return to < 0 || to >= rows * columns ? -1 : to;
    }
    if (order->kind == TRANSPOSED) {
        to = column * rows + row;
        return to == flat ? -1 : to;
    }
    row = row_of(order, rows, row);
    column = column_of(order, columns, column);
    if (row < 0 || row >= rows || column < 0 || column >= columns)
        return -1;
    to = row * columns + column;
    return to == flat ? -1 : to;
}

static void distance_words(const char *one, int64_t k, struct kb_buf *out) {
    int64_t n = k < 0 ? -k : k;

    kb_buf_printf(out, "what belongs %lld %s%s %s", (long long)n, one, n == 1 ? "" : "s",
                  k < 0 ? "before" : "after");
}

void kb_order_words(const struct kb_order *order, bool both, struct kb_buf *out) {
    static const char *const words[] = {
        [LOWER_OF_PAIR] = "what belongs to the first of each pair of columns",
        [UPPER_OF_PAIR] = "what belongs to the second of each pair of columns",
        [COLUMN_HALVES] = "what belongs to the other half of the row",
        [ROW_HALVES] = "what belongs to the other half of the rows",
        [COLUMNS_BACK] = "what belongs to the row read backwards",
        [ROWS_BACK] = "what belongs to the rows in reversed order",
        [FIRST_ROW] = "what belongs to row 0",
        [FIRST_COLUMN] = "what belongs to column 0",
        [TRANSPOSED] = "what belongs to the transposed index",
        [INTERLEAVED] = "what belongs to the halves of the row, by turns",
        [SPLIT] = "what belongs to even columns, then to odd ones",
    };
    long long k = order->k;

    switch ((enum kind)order->kind) {
    case ROWS_ON:
        if (k == 1 || k == -1)
            kb_buf_printf(out, "what belongs to the row %s", k < 0 ? "before" : "after");
        else
            distance_words("row", k, out);
        break;
    case ELEMENTS_ON:
        distance_words("element", k, out);
        break;
    case COLUMNS_SWAP:
    case ROWS_SWAP:
        kb_buf_printf(out, "what belongs to %s ^ %lld",
                      order->kind == ROWS_SWAP ? "row" : "column", k);
        if (k == 1 && both)
            kb_buf_puts(out, ": pairs are swapped");
        else if ((k & (k + 1)) == 0 && both)
            kb_buf_printf(out, ": groups of %lld are reversed", k + 1);
        break;
    default:
        kb_buf_puts(out, words[order->kind]);
        break;
    }
}
