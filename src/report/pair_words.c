/* pair_words.c - A and B in words: their verdict, the ratio of their times, their bits,
 * their code. */
#include "versus.h"

#include <math.h>
#include <string.h>

void kb_speed_words(const struct kb_speed *speed, bool interval, struct kb_buf *out) {
    if (!speed->there) {
        kb_buf_putc(out, '-');
        return;
    }
    kb_buf_printf(out, "%+.1f %%", 100 * (speed->ratio - 1));
    if (interval && isfinite(speed->low) && isfinite(speed->high))
        kb_buf_printf(out, " [%+5.1f %+5.1f]", 100 * (speed->low - 1),
                      100 * (speed->high - 1));
}

struct kb_cell kb_cell_differing(const struct kb_against *against) {
    struct kb_cell cell = {"-"};
    struct kb_buf text = {0};
    if (!against || against->elements < 0)
        return cell;
    double share = against->elements
                       ? 100.0 * (double)against->differing / (double)against->elements
                       : 0;
    if (share > 0 && share < 0.005)
        kb_buf_puts(&text, "<0.01 %");
    else
        kb_buf_printf(&text, share >= 10 ? "%.1f %%" : "%.2f %%", share);
    kb_text_copy(cell.text, sizeof cell.text, kb_buf_text(&text));
    kb_buf_free(&text);
    return cell;
}

/* ---- verdicts -------------------------------------------------------------------------
 */

static bool is_bad(enum kb_verdict verdict) {
    return verdict != KB_PASS && verdict != KB_SKIP;
}

/* Whose verdict is the pair's: B's, unless A alone is to be told of. */
static bool tells_a(enum kb_verdict a, enum kb_verdict b) {
    return b == KB_PASS || (b == KB_SKIP && is_bad(a));
}

static void add_colored(const char *text, const char *code, bool color,
                        struct kb_buf *out) {
    if (color && *code)
        kb_buf_printf(out, "\033[1;%sm%s\033[0m", code, text);
    else
        kb_buf_puts(out, text);
}

static void add_speed(enum kb_speed_verdict verdict, bool color, struct kb_buf *out) {
    static const char *const colors[KB_SPEED_COUNT] = {
        [KB_NOT_COMPARED] = "", [KB_FASTER] = "32",  [KB_SLOWER] = "31",
        [KB_SAME] = "",         [KB_UNCLEAR] = "33", [KB_IDENTICAL] = "36",
    };
    add_colored(kb_speed_word(verdict), colors[verdict], color, out);
}

void kb_versus_verdict(const struct kb_row *a, const struct kb_row *b, char letter,
                       enum kb_method method, bool color, struct kb_buf *out) {
    enum kb_verdict va = kb_reason_verdict(a->reason), vb = kb_reason_verdict(b->reason);
    const struct kb_against *against = b->against;
    if (va == KB_PASS && vb == KB_PASS) {
        if (against && against->speeds[method].there)
            add_speed(against->speeds[method].verdict, color, out);
        else if (against && against->same_code == 1)
            add_speed(KB_IDENTICAL, color, out);
        else
            kb_verdict_words(KB_PASS, color, out);
        return;
    }
    if (va != vb)
        kb_buf_printf(out, "%c ", tells_a(va, vb) ? 'A' : letter);
    kb_verdict_words(tells_a(va, vb) ? va : vb, color, out);
}

/* ---- code -----------------------------------------------------------------------------
 */

static void add_part(struct kb_buf *out, size_t start, const char *text) {
    kb_buf_printf(out, "%s%s", out->len > start ? ", " : "", text);
}

static void add_bytes(struct kb_buf *out, size_t start, int64_t bytes, const char *what) {
    struct kb_buf text = {0};
    kb_buf_printf(&text, "%s%s", kb_cell_bytes((double)bytes).text, what);
    add_part(out, start, kb_buf_text(&text));
    kb_buf_free(&text);
}

void kb_code_words(const struct kb_row *row, struct kb_buf *out) {
    const struct kb_code_info *code = &row->code;
    const struct kb_occupancy *o = &row->occupancy;
    size_t start = out->len;
    if (!row->built)
        return;
    if (code->registers >= 0)
        kb_buf_printf(out, "%d registers", code->registers);
    if (code->spill_bytes == 0)
        add_part(out, start, "0 spilled");
    else if (code->spill_bytes > 0)
        add_bytes(out, start, code->spill_bytes, " spilled");
    if (code->shared_bytes > 0)
        add_bytes(out, start, code->shared_bytes, " shared");
    if (code->code_bytes >= 0)
        add_bytes(out, start, code->code_bytes, "");
    if (o->blocks_per_sm > 0)
        kb_buf_printf(out, ", %d block%s per SM (%.0f %%), %s waves", o->blocks_per_sm,
                      o->blocks_per_sm == 1 ? "" : "s", 100 * o->share,
                      kb_cell_waves(o->waves).text);
}
