/* numbers.c - numbers as tables and screens show them: three digits, units, "-" for none.
 */
#include "screen.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "1.60e-05" -> "1.6e-5": trailing zeros of the mantissa, signs and zeros of the exponent
 * that say nothing. */
static void tidy_exponent(char *text) {
    char *e = strchr(text, 'e'), *end = e;
    int exponent = (int)strtol(e + 1, NULL, 10);
    if (memchr(text, '.', (size_t)(e - text))) {
        while (end[-1] == '0')
            end--;
        if (end[-1] == '.')
            end--;
    }
    if (exponent == 0)
        *end = '\0';
    else
        snprintf(end, 8, "e%d", exponent);
}

/* Words for what is no number; false for what is one. */
static bool no_number(struct kb_cell *cell, double value) {
    if (isfinite(value))
        return false;
    snprintf(cell->text, sizeof cell->text, "%s",
             isnan(value) ? "-"
             : value > 0  ? "inf"
                          : "-inf");
    return true;
}

/* Three significant digits with at most `decimals` of them after the point; the exponent
 * counts after rounding, so that 9.996 is 10.0. */
static struct kb_cell three_digits(double value, int decimals) {
    struct kb_cell cell;
    char text[32];
    if (no_number(&cell, value))
        return cell;
    snprintf(text, sizeof text, "%.2e", value);
    int exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    int after = value == 0 || 2 - exponent > decimals ? decimals : 2 - exponent;
    if (exponent >= 6) {
        tidy_exponent(text);
        memcpy(cell.text, text, sizeof cell.text);
        return cell;
    }
    snprintf(cell.text, sizeof cell.text, "%.*f", after > 0 ? after : 0, value);
    return cell;
}

struct kb_cell kb_cell_us(double ns) {
    return three_digits(ns / 1e3, 3);
}

struct kb_cell kb_cell_ratio(double value) {
    return three_digits(value, 2);
}

struct kb_cell kb_cell_rate(double gb_per_s) {
    /* A rate that was measured is never shown as 0. */
    return three_digits(gb_per_s, gb_per_s < 0.05 ? 3 : 1);
}

struct kb_cell kb_cell_percent(double ratio) {
    struct kb_cell cell;
    if (!no_number(&cell, ratio))
        snprintf(cell.text, sizeof cell.text, "%.0f %%", 100 * ratio);
    return cell;
}

struct kb_cell kb_cell_waves(double waves) {
    struct kb_cell cell;
    if (!no_number(&cell, waves))
        snprintf(cell.text, sizeof cell.text, waves < 999.5 ? "%.3g" : "%.0f", waves);
    return cell;
}

struct kb_cell kb_cell_spread(double ratio) {
    struct kb_cell cell;
    if (!no_number(&cell, ratio))
        snprintf(cell.text, sizeof cell.text, ratio < 0.0995 ? "%.1f %%" : "%.0f %%",
                 100 * ratio);
    return cell;
}

struct kb_cell kb_cell_bytes(double bytes) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    struct kb_cell cell;
    size_t unit = 0;
    if (no_number(&cell, bytes))
        return cell;
    while (bytes >= 999.5 && unit + 1 < KB_COUNT(units)) {
        bytes /= 1000;
        unit++;
    }
    snprintf(cell.text, sizeof cell.text, unit && bytes < 9.95 ? "%.1f %s" : "%.0f %s",
             bytes, units[unit]);
    return cell;
}

struct kb_cell kb_cell_ms(double ms) {
    struct kb_cell cell;
    if (no_number(&cell, ms))
        return cell;
    if (ms < 500)
        snprintf(cell.text, sizeof cell.text, ms < 9.95 ? "%.1f ms" : "%.0f ms", ms);
    else
        snprintf(cell.text, sizeof cell.text, ms < 99950 ? "%.1f s" : "%.0f s", ms / 1e3);
    return cell;
}

struct kb_cell kb_cell_error(double value) {
    struct kb_cell cell;
    if (no_number(&cell, value))
        return cell;
    snprintf(cell.text, sizeof cell.text, "%.1e", value);
    if (value == 0)
        snprintf(cell.text, sizeof cell.text, "0");
    else
        tidy_exponent(cell.text);
    return cell;
}

struct kb_cell kb_cell_number(double value) {
    struct kb_cell cell;
    if (no_number(&cell, value))
        return cell;
    for (int digits = 0; digits < 17; digits++) {
        snprintf(cell.text, sizeof cell.text, "%.*e", digits, value);
        if (strtod(cell.text, NULL) == value)
            break;
    }
    if (fabs(value) >= 0.1 && fabs(value) < 1e6)
        snprintf(cell.text, sizeof cell.text, "%.15g", value);
    else if (value == 0)
        snprintf(cell.text, sizeof cell.text, "0");
    else
        tidy_exponent(cell.text);
    return cell;
}

struct kb_cell kb_cell_value(double value) {
    struct kb_cell cell;
    if (isnan(value))
        snprintf(cell.text, sizeof cell.text, "nan");
    else
        snprintf(cell.text, sizeof cell.text, "%.6g", value);
    return cell;
}
