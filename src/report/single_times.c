/* single_times.c - the times of one case: by method, what limits the kernel, what an empty
 * one takes, what is odd about them, the clocks. */
#include "report/parts.h"
#include "screen.h"

#include <math.h>
#include <string.h>

enum { LABEL = KB_LABEL, TIMES_WIDTH = 66 };

/* Why a time has not the precision that was asked for. */
static const struct {
    const char *word, *text;
} stops[] = {
    {"time", "not that precise in the time there was"},
    {"samples", "not that precise in the samples there were"},
    {"tick", "the timer's tick is too coarse for the precision"},
};

/* What the numbers of a timing line leave out. */
static void time_notes(enum kb_method method, const struct kb_time *t, struct kb_buf *out) {
    static const char *const floors[KB_METHOD_COUNT] = {
        [KB_GRAPH] = "an empty node",   [KB_PDL] = "an empty node",
        [KB_COLD] = "the event pair",   [KB_HOT] = "the event pair",
        [KB_CUPTI] = "an empty kernel",
    };
    const char *separator = "   ";
    if (isnan(t->gb_per_s) && floors[method] && isfinite(t->floor_ns) && t->floor_ns > 0) {
        kb_buf_printf(out, "%s%s of it is %s", separator, kb_cell_us(t->floor_ns).text,
                      floors[method]);
        separator = ", ";
    } else if (method == KB_LAUNCH) {
        kb_buf_printf(out, "%sof the host", separator);
        separator = ", ";
    }
    if (t->quality != KB_Q_OK || t->duty > 0) {
        kb_buf_puts(out, separator);
        kb_time_words(t, out);
        separator = ", ";
    }
    for (size_t i = 0; i < KB_COUNT(stops) && t->stopped; i++)
        if (kb_streq(stops[i].word, t->stopped))
            kb_buf_printf(out, "%s%s", separator, stops[i].text);
}

/* What an empty kernel takes by the same methods in the same run, and events alone. */
static void floor_line(const struct kb_single *single, const struct kb_row *row,
                       struct kb_buf *out) {
    struct kb_buf text = {0};
    double timer_ns = NAN;
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const struct kb_time *t = &row->times[m];
        bool known = t->there && isfinite(t->floor_ns) && t->floor_ns > 0;
        if (known)
            kb_buf_printf(&text, "%s %s %s", text.len ? "," : "an empty kernel:",
                          kb_method_word((enum kb_method)m), kb_cell_us(t->floor_ns).text);
        if (t->there && (m == KB_COLD || m == KB_HOT))
            timer_ns = t->timer_ns;
    }
    if (text.len)
        kb_buf_puts(&text, " us");
    if (text.len && timer_ns > 0)
        kb_buf_printf(&text, "; two events and nothing between them: %s us",
                      kb_cell_us(timer_ns).text);
    if (text.len)
        kb_single_paragraph(single, "floor", kb_buf_text(&text), out);
    kb_buf_free(&text);
}

static bool same_oddity(const struct kb_time *a, const struct kb_time *b) {
    return a->there && b->there && a->why && b->why && a->quality == b->quality &&
           kb_streq(a->why, b->why);
}

/* What is odd about a time, in words; where several say the same, once. */
static void quality_lines(const struct kb_single *single, const struct kb_row *row,
                          struct kb_buf *out) {
    unsigned told = 0;
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const struct kb_time *t = &row->times[m];
        struct kb_buf text = {0};
        int n = 0;
        if (told & 1u << m)
            continue;
        for (int k = m; k < KB_METHOD_COUNT; k++) {
            if (!same_oddity(t, &row->times[k]))
                continue;
            kb_buf_printf(&text, "%s%s", n++ ? ", " : "",
                          kb_method_word((enum kb_method)k));
            told |= 1u << k;
        }
        if (n) {
            kb_buf_printf(&text, " %s %s: %s", n > 1 ? "are" : "is",
                          kb_quality_word(t->quality), t->why);
            kb_single_paragraph(single, "quality", kb_buf_text(&text), out);
        }
        kb_buf_free(&text);
    }
}

static void energy_line(const struct kb_row *row, struct kb_buf *out) {
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const struct kb_time *t = &row->times[m];
        if (!t->there || !(t->energy_uj > 0))
            continue;
        kb_single_label("energy", out);
        kb_buf_printf(out, "%s uJ a launch, %.0f W, by %s\n",
                      kb_cell_ratio(t->energy_uj).text, t->energy_uj / t->median_ns * 1e3,
                      kb_method_word((enum kb_method)m));
    }
}

static void time_lines(const struct kb_single *single, const struct kb_row *row,
                       struct kb_buf *out) {
    bool narrow = single->look.width > 0 && single->look.width < TIMES_WIDTH;
    kb_buf_printf(out, "\n%-8s%8s  %6s  %6s", "time us", "median", " \302\261", "min");
    if (!narrow)
        kb_buf_printf(out, "  %6s  %5s", "p99", "n");
    kb_buf_printf(out, "  %6s  %8s\n", "GB/s", "ceiling");
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const struct kb_time *t = &row->times[m];
        if (!t->there)
            continue;
        double half = (t->high_ns - t->low_ns) / 2 / t->median_ns;
        kb_buf_printf(out, "%-8s%8s  %5s  %6s", kb_method_word((enum kb_method)m),
                      kb_cell_us(t->median_ns).text, kb_cell_spread(half).text,
                      kb_cell_us(t->min_ns).text);
        if (!narrow)
            kb_buf_printf(out, "  %6s  %5lld", kb_cell_us(t->p99_ns).text, (long long)t->n);
        kb_buf_printf(
            out, "  %6s  %8s", kb_cell_rate(t->gb_per_s).text,
            kb_cell_percent(isfinite(t->ceiling_ns) ? t->ceiling : (double)NAN).text);
        time_notes((enum kb_method)m, t, out);
        kb_buf_putc(out, '\n');
    }
    kb_buf_putc(out, '\n');
}

/* A report that is read may hold any numbers. */
static int64_t blocks_of(const struct kb_row *row) {
    int64_t blocks = row->grid[0];
    if (!kb_mul_i64(blocks, row->grid[1], &blocks) ||
        !kb_mul_i64(blocks, row->grid[2], &blocks))
        return INT64_MAX;
    return blocks;
}

/* How far the buffers go past the L2: of few or small ones it keeps some, or all. */
static const char *cold_words(const struct kb_time *t, int64_t l2_bytes) {
    if (l2_bytes <= 0 || t->footprint_bytes >= KB_ROTATE_TIMES_L2 * l2_bytes)
        return "";
    return t->footprint_bytes > l2_bytes ? ": less than 3 times that" : ": it has them all";
}

static void limit_line(const struct kb_single *single, const struct kb_row *row,
                       struct kb_buf *out) {
    const struct kb_time *t = kb_row_time(row);
    const char *separator = "";
    if (row->limited_by) {
        kb_buf_printf(out, "limited by %s: %s, %lld blocks on %lld SMs", row->limited_by,
                      kb_cell_bytes((double)row->bytes).text, (long long)blocks_of(row),
                      (long long)single->device->limits.sm_count);
        separator = "; ";
    }
    if (t && t->sets > 0 && kb_streq(t->cache, "rotated")) {
        kb_buf_printf(out, "%sinputs rotate over %d set%s (%s, L2 %s%s)", separator,
                      t->sets, t->sets == 1 ? "" : "s",
                      kb_cell_bytes((double)t->footprint_bytes).text,
                      kb_cell_bytes((double)single->device->l2_bytes).text,
                      cold_words(t, single->device->l2_bytes));
        separator = "; ";
    }
    kb_buf_puts(out, *separator ? "\n" : "");
}

/* Reasons for throttling that any method saw, each once. What NVML did not tell of one
 * says nothing beside what it told of another. */
static void throttle_words(const struct kb_row *row, struct kb_buf *out) {
    struct kb_arena arena = {0};
    struct kb_strings told = {0}, reasons = {0};
    bool unknown = false;
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        if (row->times[m].there && row->times[m].throttle)
            kb_split(&arena, row->times[m].throttle, ',', &told);
    for (size_t i = 0; i < told.count; i++) {
        bool is_unknown = kb_streq(told.items[i], "unknown");
        unknown |= is_unknown;
        if (*told.items[i] && !is_unknown && !kb_strings_has(&reasons, told.items[i]))
            kb_strings_add(&reasons, &arena, told.items[i]);
    }
    if (reasons.count)
        kb_buf_puts(out, "throttled: ");
    else
        kb_buf_puts(out,
                    unknown ? "throttling not known: NVML does not tell" : "no throttling");
    for (size_t i = 0; i < reasons.count; i++)
        kb_buf_printf(out, "%s%s", i ? "," : "", reasons.items[i]);
    kb_arena_free(&arena);
}

void kb_single_clocks(const struct kb_single *single, const struct kb_row *row,
                      struct kb_buf *out) {
    int low = 0, high = 0;
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const struct kb_time *t = &row->times[m];
        if (!t->there || t->sm_mhz_max <= 0)
            continue;
        low = !low || t->sm_mhz_min < low ? t->sm_mhz_min : low;
        high = t->sm_mhz_max > high ? t->sm_mhz_max : high;
    }
    kb_single_label("clocks", out);
    if (!high) { /* and so nothing of locks, throttling and other processes either */
        kb_buf_puts(out, "not known, nor throttling: NVML tells none\n");
        return;
    }
    kb_buf_puts(out, single->device->clocks_locked ? "locked" : "not locked");
    if (low == high)
        kb_buf_printf(out, ", SM %d MHz while timed, ", high);
    else
        kb_buf_printf(out, ", SM %d to %d MHz while timed, ", low, high);
    throttle_words(row, out);
    kb_buf_putc(out, '\n');
    if (!single->device->clocks_locked && *single->device->lock)
        kb_buf_printf(out, "%*s%s locks them, -rgc in place of it sets them free\n", LABEL,
                      "", single->device->lock);
}

void kb_single_times(const struct kb_single *single, const struct kb_row *row,
                     struct kb_buf *out) {
    time_lines(single, row, out);
    limit_line(single, row, out);
    floor_line(single, row, out);
    quality_lines(single, row, out);
    energy_line(row, out);
}
