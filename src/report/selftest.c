/* selftest.c - what kbench found of itself, in tables and as JSON. */
#include "screen.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { HEAD = 16, CELL = 9, DIGITS = 6 };

static void add_cell(struct kb_buf *out, const char *text) {
    kb_buf_printf(out, "%*s", CELL, text);
}

static void add_share(struct kb_buf *out, double ratio) {
    char text[32] = "-";

    if (isfinite(ratio))
        snprintf(text, sizeof text, "%.2f %%", 100 * ratio);
    add_cell(out, text);
}

/* ---- tables ---------------------------------------------------------------------------
 */

static void print_floors(const struct kb_selftest *t, struct kb_buf *out) {
    kb_buf_printf(out, "%-*s", HEAD, "floor us");
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        add_cell(out, kb_method_word((enum kb_method)m));
    kb_buf_printf(out, "\n%-*s", HEAD, "an empty kernel");
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        add_cell(out, kb_cell_us(t->floors[m].null_ns).text);
    for (int g = 0; g < KB_ST_GRIDS; g++) {
        char text[HEAD];
        snprintf(text, sizeof text, "in %lld blocks", (long long)t->grids[g].blocks);
        kb_buf_printf(out, "\n%-*s", HEAD, text);
        for (int m = 0; m < KB_METHOD_COUNT; m++)
            add_cell(out, kb_cell_us(t->grids[g].ns[m]).text);
    }
    kb_buf_printf(out, "\n%-*s", HEAD, "nothing at all");
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        add_cell(out, kb_cell_us(t->floors[m].timer_ns).text);
    kb_buf_puts(out, "\n\n");
}

static void print_streams(const struct kb_selftest *t, struct kb_buf *out) {
    kb_buf_printf(out, "%-*s", HEAD, "stream GB/s");
    for (int s = 0; s < KB_ST_SIZES; s++)
        kb_buf_printf(out, "%*d MiB", CELL - 4, kb_selftest_mib[s]);
    for (int p = 0; p < KB_ST_PATTERNS; p++) {
        kb_buf_printf(out, "\n%-*s", HEAD, kb_selftest_patterns[p]);
        for (int s = 0; s < KB_ST_SIZES; s++)
            add_cell(out, kb_cell_rate(t->gb_per_s[p][s]).text);
    }
    kb_buf_puts(out, "\n\n");
}

static void print_mma(const struct kb_selftest *t, struct kb_buf *out) {
    kb_buf_printf(out, "%-*s", HEAD, "mma TFLOP/s");
    for (int d = 0; d < KB_ST_DTYPES; d++)
        add_cell(out, kb_selftest_dtypes[d]);
    kb_buf_printf(out, "\n%-*s", HEAD, "");
    for (int d = 0; d < KB_ST_DTYPES; d++)
        add_cell(out, kb_cell_rate(t->tflop_per_s[d]).text);
    kb_buf_puts(out, "\n\n");
}

static void print_kernel(const struct kb_selftest *t, int k, struct kb_buf *out) {
    const struct kb_twins *a = &t->kernels[k].twins;
    char text[32];

    snprintf(text, sizeof text, "about %g us", t->kernels[k].target_ns / 1e3);
    kb_buf_printf(out, "\n%-*s", HEAD, text);
    add_cell(out, kb_cell_us(t->kernels[k].median_ns).text);
    snprintf(text, sizeof text, "%d", a->pairs);
    add_cell(out, text);
    snprintf(text, sizeof text, "%d", a->alarms);
    add_cell(out, text);
    snprintf(text, sizeof text, "%d", a->at_5);
    add_cell(out, text);
    add_cell(out, isfinite(a->blocks) ? kb_cell_number(a->blocks).text : "-");
    add_share(out, a->noise);
    add_share(out, a->smallest);
}

static void print_kernels(const struct kb_selftest *t, struct kb_buf *out) {
    static const char *const heads[] = {"us",     "pairs", "alarms",  "p < 5 %",
                                        "blocks", "noise", "smallest"};
    int pairs = 0, alarms = 0, at_5 = 0;

    kb_buf_printf(out, "%-*s", HEAD, "A against A");
    for (size_t i = 0; i < KB_COUNT(heads); i++)
        add_cell(out, heads[i]);
    for (int k = 0; k < KB_ST_KERNELS; k++) {
        print_kernel(t, k, out);
        pairs += t->kernels[k].twins.pairs;
        alarms += t->kernels[k].twins.alarms;
        at_5 += t->kernels[k].twins.at_5;
    }
    kb_buf_printf(out,
                  "\n\nfalse alarms: %d of %d pairs of the same build were called FASTER "
                  "or SLOWER, p was\nat most 5 %% in %d. smallest: a difference that is "
                  "found 95 times in 100, builds side by side\n",
                  alarms, pairs, at_5);
}

void kb_selftest_print(const struct kb_selftest *t, struct kb_buf *out) {
    const struct kb_device_info *device = t->device;
    struct kb_buf head = {0};

    kb_device_words(device, &head);
    kb_buf_printf(&head, " | driver %s", *device->driver ? device->driver : "-");
    if (*device->nvrtc)
        kb_buf_printf(&head, ", NVRTC %s", device->nvrtc);
    kb_buf_printf(&head, " | clocks %slocked", device->clocks_locked ? "" : "not ");
    kb_escape(out, head.data, head.len);
    kb_buf_puts(out, "\n\n");
    kb_buf_free(&head);
    print_floors(t, out);
    print_streams(t, out);
    print_mma(t, out);
    print_kernels(t, out);
    for (size_t i = 0; i < t->notes.count; i++) {
        kb_buf_puts(out, i ? "" : "\n");
        kb_escape(out, t->notes.items[i], strlen(t->notes.items[i]));
        kb_buf_putc(out, '\n');
    }
}

void kb_ceilings_words(const struct kb_ceilings *c, struct kb_buf *out) {
    kb_buf_printf(out, "stream %s GB/s", kb_cell_rate(c->gb_per_s[0]).text);
    for (int p = 1; p < KB_ST_PATTERNS; p++) {
        const char *word = kb_selftest_patterns[p];
        bool alone = kb_streq(word, "read") || kb_streq(word, "write");
        if (alone && isfinite(c->gb_per_s[p]))
            kb_buf_printf(out, ", %s %s", word, kb_cell_rate(c->gb_per_s[p]).text);
    }
    if (isfinite(c->mma_tflop_per_s[0]))
        kb_buf_printf(out, ", mma %s %s TFLOP/s", kb_selftest_dtypes[0],
                      kb_cell_rate(c->mma_tflop_per_s[0]).text);
    kb_buf_printf(out, " (selftest of %s)", c->date);
}

/* ---- JSON -----------------------------------------------------------------------------
 */

/* What is not known is null, with a note beside it. */
static void add_f64(cJSON *object, const char *name, double value) {
    kb_json_add_f64(object, name, value, DIGITS);
}

static cJSON *floors_item(const struct kb_selftest *t) {
    cJSON *object = kb_json_object();

    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        cJSON *item = kb_json_object();
        add_f64(item, "empty_kernel_ns", t->floors[m].null_ns);
        add_f64(item, "nothing_ns", t->floors[m].timer_ns);
        kb_json_add(object, kb_method_word((enum kb_method)m), item);
    }
    return object;
}

static cJSON *grids_item(const struct kb_selftest *t) {
    cJSON *array = kb_json_array();

    for (int g = 0; g < KB_ST_GRIDS; g++) {
        cJSON *item = kb_json_object();
        kb_json_add_i64(item, "blocks", t->grids[g].blocks);
        for (int m = 0; m < KB_METHOD_COUNT; m++) {
            char name[32];
            snprintf(name, sizeof name, "%s_ns", kb_method_word((enum kb_method)m));
            add_f64(item, name, t->grids[g].ns[m]);
        }
        kb_json_push(array, item);
    }
    return array;
}

static cJSON *streams_item(const struct kb_selftest *t) {
    cJSON *array = kb_json_array();

    for (int p = 0; p < KB_ST_PATTERNS; p++) {
        for (int s = 0; s < KB_ST_SIZES; s++) {
            cJSON *item = kb_json_object();
            kb_json_add_text(item, "pattern", kb_selftest_patterns[p]);
            kb_json_add_i64(item, "mib", kb_selftest_mib[s]);
            add_f64(item, "gb_per_s", t->gb_per_s[p][s]);
            kb_json_push(array, item);
        }
    }
    return array;
}

static cJSON *mma_item(const struct kb_selftest *t) {
    cJSON *object = kb_json_object();

    for (int d = 0; d < KB_ST_DTYPES; d++)
        add_f64(object, kb_selftest_dtypes[d], t->tflop_per_s[d]);
    return object;
}

static cJSON *kernels_item(const struct kb_selftest *t) {
    cJSON *array = kb_json_array();

    for (int k = 0; k < KB_ST_KERNELS; k++) {
        const struct kb_twins *a = &t->kernels[k].twins;
        cJSON *item = kb_json_object();
        kb_json_add_text(item, "case", t->kernels[k].case_id);
        add_f64(item, "target_ns", t->kernels[k].target_ns);
        add_f64(item, "median_ns", t->kernels[k].median_ns);
        kb_json_add_i64(item, "pairs", a->pairs);
        kb_json_add_i64(item, "false_alarms", a->alarms);
        kb_json_add_i64(item, "p_at_most_5_percent", a->at_5);
        add_f64(item, "blocks", a->blocks);
        add_f64(item, "noise", a->noise);
        add_f64(item, "detectable", a->smallest);
        kb_json_push(array, item);
    }
    return array;
}

cJSON *kb_selftest_item(const struct kb_selftest *t) {
    cJSON *object = kb_json_object(), *notes = kb_json_array();

    kb_json_add_text(object, "device", t->device->id);
    kb_json_add_text(object, "name", t->device->name);
    kb_json_add_text(object, "uuid", t->device->uuid);
    kb_json_add_text(object, "driver", t->device->driver);
    kb_json_add_text(object, "nvrtc", t->device->nvrtc);
    kb_json_add_bool(object, "clocks_locked", t->device->clocks_locked);
    kb_json_add(object, "floors", floors_item(t));
    kb_json_add(object, "empty_grids", grids_item(t));
    kb_json_add(object, "stream", streams_item(t));
    kb_json_add(object, "mma_tflop_per_s", mma_item(t));
    kb_json_add(object, "same_against_same", kernels_item(t));
    for (size_t i = 0; i < t->notes.count; i++)
        kb_json_push(notes, kb_json_text_item(t->notes.items[i]));
    kb_json_add(object, "notes", notes);
    return object;
}
