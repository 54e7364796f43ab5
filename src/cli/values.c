/* values.c - numbers with units, as options take them. */
#include "cli.h"

#include <math.h>
#include <string.h>

/* A number and the unit after it: the unit's factor in `factors`. */
struct unit {
    const char *word;
    double factor;
};

static bool with_unit(const char *text, const struct unit *units, size_t n_units,
                      double *out) {
    char number[64];
    size_t digits = strspn(text, "0123456789.");
    double value;
    if (digits == 0 || digits >= sizeof number)
        return false;
    memcpy(number, text, digits);
    number[digits] = '\0';
    if (!kb_parse_f64(number, &value))
        return false;
    for (size_t i = 0; i < n_units; i++) {
        if (kb_streq(text + digits, units[i].word)) {
            *out = value * units[i].factor;
            return true;
        }
    }
    return false;
}

bool kb_parse_duration(const char *text, double *ms, struct kb_buf *what) {
    static const struct unit units[] = {
        {"ms", 1}, {"s", 1e3}, {"min", 60e3}, {"m", 60e3}, {"h", 3600e3}};
    double value;
    if (!with_unit(text, units, KB_COUNT(units), &value) ||
        !(value > 0 && value <= 864e5)) {
        kb_buf_printf(what, "\"%.64s\" is no time, wanted one such as 60s or 500ms", text);
        return false;
    }
    *ms = value;
    return true;
}

bool kb_parse_size(const char *text, size_t *bytes, struct kb_buf *what) {
    static const struct unit units[] = {{"", 1},         {"K", 0x1p10},   {"M", 0x1p20},
                                        {"G", 0x1p30},   {"T", 0x1p40},   {"KiB", 0x1p10},
                                        {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}};
    double value;
    if (!with_unit(text, units, KB_COUNT(units), &value) ||
        !(value >= 1 && value < 0x1p53)) {
        kb_buf_printf(what, "\"%.64s\" is no size, wanted one such as 8G or 512M", text);
        return false;
    }
    *bytes = (size_t)value;
    return true;
}

bool kb_parse_percent(const char *text, double *ratio, struct kb_buf *what) {
    static const struct unit units[] = {{"%", 0.01}};
    double value;
    if (!with_unit(text, units, KB_COUNT(units), &value) || !(value > 0 && value <= 0.5)) {
        kb_buf_printf(what,
                      "\"%.64s\" is no precision, wanted one such as 1%% or 0.5%%, "
                      "at most 50%%",
                      text);
        return false;
    }
    *ratio = value;
    return true;
}

bool kb_parse_duty(const char *text, double *ratio, struct kb_buf *what) {
    static const struct unit units[] = {{"%", 0.01}};
    double value;
    if (!with_unit(text, units, KB_COUNT(units), &value) ||
        !(value >= 0.01 && value <= 1)) {
        kb_buf_printf(what, "\"%.64s\" is no duty, wanted one such as 50%%, 1%% to 100%%",
                      text);
        return false;
    }
    *ratio = value < 1 ? value : 0;
    return true;
}

bool kb_parse_slowdown(const char *text, double *ratio, struct kb_buf *what) {
    static const struct unit units[] = {{"%", 0.01}};
    double value;
    if (!with_unit(text, units, KB_COUNT(units), &value) || !(value <= 10)) {
        kb_buf_printf(what, "\"%.64s\" is no slowdown, wanted one such as 3%% or 0.5%%",
                      text);
        return false;
    }
    *ratio = value;
    return true;
}

bool kb_parse_growth(const char *text, double *ratio, struct kb_buf *what) {
    static const struct unit units[] = {{"x", 1}, {"", 1}};
    double value;
    if (!with_unit(text, units, KB_COUNT(units), &value) || !(value >= 1 && value <= 1e6)) {
        kb_buf_printf(what, "\"%.64s\" is no growth, wanted one such as 2x or 1.5x", text);
        return false;
    }
    *ratio = value;
    return true;
}
