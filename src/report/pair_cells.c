/* pair_cells.c - the columns of A beside B: which there is room for, heads, cells. */
#include "versus.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *head, *many; /* many: where several are held against A */
    int width;
    int leaves; /* order in which it goes where there is no room; 0: it stays */
} kinds[KB_V_KINDS] = {
    [KB_V_DEVICE] = {"device", "device", 6, 0},
    [KB_V_LETTER] = {"", "", 1, 0},
    [KB_V_ERROR_A] = {"err/bound A", "err/bound A", 11, 4},
    [KB_V_ERROR_B] = {"B", "own", 5, 4},
    [KB_V_ULP_A] = {"max ulp A", "max ulp A", 9, 1},
    [KB_V_ULP_B] = {"B", "own", 6, 1},
    [KB_V_TIME_A] = {"us A", "us A", 5, 0},
    [KB_V_CEILING] = {"ceil", "ceil", 5, 3},
    [KB_V_TIME_B] = {"us B", "us own", 6, 0},
    [KB_V_ENERGY_A] = {"uJ A", "uJ A", 6, 0},
    [KB_V_ENERGY_B] = {"uJ B", "uJ own", 6, 0},
    [KB_V_SPEED] = {"B against A, 95 %", "against A, 95 %", 22, 0},
    [KB_V_BITS] = {"bits differ", "bits differ", 11, 2},
};

enum {
    VERDICT_WIDTH = 6,
    WIDEST_VERDICT = 9,
    SHORT_SPEED = 17, /* word and ratio */
    SPEED_WORD = 9,
    RATIO_ALONE = 8,
    MOST_LEAVES = 4,
    METHOD_WIDTH = 6,
};

static int width_of(const struct kb_versus *v, int kind) {
    bool first = kind == KB_V_TIME_A || (kind == KB_V_ERROR_A && !v->has[KB_V_TIME_A]);
    if (kind == KB_V_SPEED && v->devices)
        return SHORT_SPEED;
    if (kind == KB_V_SPEED && v->ratios_alone)
        return RATIO_ALONE;
    return kinds[kind].width + (first ? v->extra : 0);
}

int kb_versus_cells_width(const struct kb_versus *v) {
    int width = 0;
    for (int k = 0; k < KB_V_KINDS; k++)
        width += v->has[k] ? 2 + width_of(v, k) : 0;
    return width;
}

int kb_versus_margin(const struct kb_versus *v) {
    return v->verdict_width + 2 + v->id_width +
           (v->plan.n_methods > 1 ? 2 + METHOD_WIDTH : 0);
}

/* The name of a device stands over its columns, " 0 NVIDIA H200 ". */
static void make_room_for_names(struct kb_versus *v) {
    v->extra = 0;
    for (int i = 0; v->devices && i < v->plan.facts->n_devices; i++) {
        const struct kb_device_info *device = &v->plan.facts->devices[i];
        int name = kb_columns(device->id) + kb_columns(device->name) + 3;
        int room = kb_versus_cells_width(v) - 2;
        v->extra += name > room ? name - room : 0;
    }
}

/* Take out what goes first, until the lines fit; false where they do not. */
static bool fit(struct kb_versus *v, int groups) {
    int most = v->look.width;
    v->verdict_width = VERDICT_WIDTH; /* longer ones eat into the room of their id */
    for (int leaves = 1;; leaves++) {
        make_room_for_names(v);
        if (most <= 0 || kb_versus_margin(v) + groups * kb_versus_cells_width(v) <= most)
            return true;
        if (leaves > MOST_LEAVES)
            return false;
        for (int k = 0; k < KB_V_KINDS; k++)
            v->has[k] = v->has[k] && kinds[k].leaves != leaves;
    }
}

static bool choose_devices(struct kb_versus *v, bool bench, bool pairs) {
    memset(v->has, 0, sizeof v->has);
    v->devices = true;
    v->has[KB_V_LETTER] = false;
    v->has[KB_V_TIME_A] = v->has[KB_V_CEILING] = bench;
    v->has[KB_V_TIME_B] = bench && pairs;
    v->has[KB_V_ENERGY_A] = bench && v->plan.energy;
    v->has[KB_V_ENERGY_B] = bench && v->plan.energy && pairs;
    v->has[KB_V_SPEED] = bench && pairs;
    v->has[KB_V_ERROR_A] = !bench;
    v->has[KB_V_ERROR_B] = v->has[KB_V_BITS] = !bench && pairs;
    return fit(v, v->plan.facts->n_devices);
}

static void choose_lines(struct kb_versus *v, bool bench) {
    memset(v->has, 0, sizeof v->has);
    v->devices = false;
    v->has[KB_V_DEVICE] = v->plan.facts->n_devices > 1;
    v->has[KB_V_LETTER] = v->plan.n_members > 2;
    v->has[KB_V_ERROR_A] = v->has[KB_V_ERROR_B] = true;
    v->has[KB_V_ULP_A] = v->has[KB_V_ULP_B] = true;
    v->has[KB_V_TIME_A] = v->has[KB_V_TIME_B] = v->has[KB_V_SPEED] = bench;
    v->has[KB_V_ENERGY_A] = v->has[KB_V_ENERGY_B] = bench && v->plan.energy;
    v->has[KB_V_BITS] = true;
    v->ratios_alone = !fit(v, 1) && bench;
}

/* Room for the longest verdict, where there is some. */
static void widen(struct kb_versus *v) {
    int width =
        WIDEST_VERDICT - v->verdict_width + kb_versus_margin(v) + kb_versus_cells_width(v);
    if (v->plan.layout == KB_LAYOUT_BENCH && !v->devices &&
        (v->look.width <= 0 || width <= v->look.width))
        v->verdict_width = WIDEST_VERDICT;
}

bool kb_versus_make(struct kb_versus *v, const struct kb_versus_plan *plan,
                    const struct kb_look *look) {
    bool bench = plan->layout == KB_LAYOUT_BENCH, pairs = plan->n_members > 1;
    *v = (struct kb_versus){.plan = *plan, .look = *look, .id_width = plan->id_width};
    if (!bench)
        v->plan.n_methods = 1; /* no line has a time */
    if (plan->dtype)
        v->id_width -= (int)strlen(plan->dtype) + 1;
    if (plan->facts->n_devices > 1 && plan->n_members <= 2 &&
        choose_devices(v, bench, pairs))
        return true;
    choose_lines(v, bench);
    widen(v);
    return pairs;
}

void kb_versus_free(struct kb_versus *v) {
    kb_arena_free(&v->arena);
    *v = (struct kb_versus){0};
}

void kb_versus_heads(const struct kb_versus *v, int n, struct kb_buf *out) {
    for (int k = 0; k < KB_V_KINDS; k++) {
        bool left = k == KB_V_SPEED || k == KB_V_DEVICE || k == KB_V_LETTER;
        int width = width_of(v, k);
        if (!v->has[k])
            continue;
        const char *head = n > 2                                ? kinds[k].many
                           : n == 1 && k == KB_V_TIME_A         ? "us"
                           : n == 1 && k == KB_V_ENERGY_A       ? "uJ"
                           : n == 1 && k == KB_V_ERROR_A        ? "err/bound"
                           : k == KB_V_SPEED && v->devices      ? "B against A"
                           : k == KB_V_SPEED && v->ratios_alone ? "against A"
                                                                : kinds[k].head;
        kb_buf_printf(out, "  %*s", left ? -width : width, head);
    }
}

/* ---- cells ----------------------------------------------------------------------------
 */

static double time_of(const struct kb_time *t) {
    return t && t->there ? t->median_ns : (double)NAN;
}

static double ceiling_of(const struct kb_time *t) {
    return t->there && isfinite(t->ceiling_ns) ? t->ceiling : (double)NAN;
}

static double energy_of(const struct kb_time *t) {
    return t && t->there && t->energy_uj > 0 ? t->energy_uj : (double)NAN;
}

static struct kb_cell number_of(int kind, const struct kb_row *a, const struct kb_row *b,
                                enum kb_method method) {
    const struct kb_time *time_b = b ? &b->times[method] : NULL;
    switch ((enum kb_versus_kind)kind) {
    case KB_V_ERROR_A:
        return kb_cell_ratio(kb_row_error(a));
    case KB_V_ERROR_B:
        return kb_cell_ratio(b ? kb_row_error(b) : (double)NAN);
    case KB_V_ULP_A:
        return kb_cell_ratio(kb_row_ulp(a));
    case KB_V_ULP_B:
        return kb_cell_ratio(b ? kb_row_ulp(b) : (double)NAN);
    case KB_V_TIME_A:
        return kb_cell_us(time_of(&a->times[method]));
    case KB_V_CEILING:
        return kb_cell_percent(ceiling_of(&a->times[method]));
    case KB_V_TIME_B:
        return kb_cell_us(time_of(time_b));
    case KB_V_ENERGY_A:
        return kb_cell_ratio(energy_of(&a->times[method]));
    case KB_V_ENERGY_B:
        return kb_cell_ratio(energy_of(time_b));
    default:
        return kb_cell_differing(b ? b->against : NULL);
    }
}

static const struct kb_speed *speed_of(const struct kb_row *b, enum kb_method method) {
    const struct kb_speed *s = b && b->against ? &b->against->speeds[method] : NULL;
    return s && s->there ? s : NULL;
}

/* "SAME       -0.5 %", or what keeps it from being timed. */
static void add_short_speed(const struct kb_versus *v, const struct kb_row *a,
                            const struct kb_row *b, enum kb_method method,
                            struct kb_buf *out) {
    struct kb_buf word = {0}, plain = {0}, ratio = {0};
    const struct kb_speed *s = speed_of(b, method);
    if (!b) {
        kb_buf_printf(out, "%-*s", SHORT_SPEED, "-");
        return;
    }
    kb_versus_verdict(a, b, 'B', method, v->look.color, &word);
    kb_versus_verdict(a, b, 'B', method, false, &plain);
    if (s)
        kb_speed_words(s, false, &ratio);
    int pad = SPEED_WORD - kb_columns(kb_buf_text(&plain));
    kb_buf_printf(out, "%s%*s%*s", kb_buf_text(&word), pad > 0 ? pad : 0, "",
                  SHORT_SPEED - SPEED_WORD, kb_buf_text(&ratio));
    kb_buf_free(&word);
    kb_buf_free(&plain);
    kb_buf_free(&ratio);
}

static void add_text(const struct kb_versus *v, int kind, const struct kb_row *a,
                     const struct kb_row *b, int member, enum kb_method method,
                     struct kb_buf *out) {
    const struct kb_speed *speed = speed_of(b, method);
    struct kb_buf text = {0};
    if (kind == KB_V_DEVICE)
        kb_escape(&text, a->device, strlen(a->device));
    else if (kind == KB_V_LETTER)
        kb_buf_putc(&text, (char)('A' + member));
    else if (speed)
        kb_speed_words(speed, !v->ratios_alone, &text);
    else
        kb_buf_putc(&text, '-');
    /* Ratios end in one column. */
    const char *percent = strchr(kb_buf_text(&text), '%');
    int indent = kind == KB_V_SPEED && percent ? 7 - (int)(percent - text.data) : 0;
    int pad = width_of(v, kind) - kb_columns(kb_buf_text(&text)) - indent;
    kb_buf_printf(out, "%*s%s%*s", indent > 0 ? indent : 0, "", kb_buf_text(&text),
                  pad > 0 ? pad : 0, "");
    kb_buf_free(&text);
}

void kb_versus_cells(const struct kb_versus *v, const struct kb_row *a,
                     const struct kb_row *b, int member, enum kb_method method,
                     struct kb_buf *out) {
    for (int k = 0; k < KB_V_KINDS; k++) {
        if (!v->has[k])
            continue;
        kb_buf_puts(out, "  ");
        if (k == KB_V_SPEED && v->devices)
            add_short_speed(v, a, b, method, out);
        else if (k == KB_V_DEVICE || k == KB_V_LETTER || k == KB_V_SPEED)
            add_text(v, k, a, b, member, method, out);
        else
            kb_buf_printf(out, "%*s", width_of(v, k), number_of(k, a, b, method).text);
    }
}
