/* tally.c - what the rows of a run add up to: counts, exit status, ceilings, floors. */
#include "diff.h"
#include "report/parts.h"

#include <math.h>
#include <string.h>

const struct kb_time *kb_row_time(const struct kb_row *row) {
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        if (row->times[m].there)
            return &row->times[m];
    return NULL;
}

double kb_row_energy(const struct kb_row *row) {
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        if (row->times[m].there && row->times[m].energy_uj > 0)
            return row->times[m].energy_uj;
    return NAN;
}

static struct kb_tally_device *device_of(struct kb_tally *tally, const char *id) {
    for (int i = 0; i < tally->n_devices; i++)
        if (kb_streq(tally->devices[i].id, id))
            return &tally->devices[i];
    if (tally->n_devices == KB_MAX_DEVICES)
        return NULL;
    struct kb_tally_device *device = &tally->devices[tally->n_devices++];
    kb_text_copy(device->id, sizeof device->id, id);
    return device;
}

/* What a ceiling says of the device: bytes, or flops, over its time. */
static void add_ceiling(struct kb_tally_device *device, const struct kb_row *row,
                        const struct kb_time *t) {
    bool moves = !kb_time_of_mma(t);
    double *best = moves ? &device->stream_gb_per_s : &device->mma_gflop_per_s;
    double rate = (double)(moves ? row->bytes : row->flops) / t->ceiling_ns;
    if (isfinite(rate) && rate > *best)
        *best = rate;
}

static void add_device(struct kb_tally *tally, const struct kb_row *row) {
    struct kb_tally_device *device = device_of(tally, row->device);
    if (!device)
        return;
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const struct kb_time *t = &row->times[m];
        if (!t->there)
            continue;
        if (isfinite(t->floor_ns) && device->n_floors[m] < KB_FLOORS_KEPT)
            device->floors_ns[m][device->n_floors[m]++] = t->floor_ns;
        if (m == KB_GRAPH)
            add_ceiling(device, row, t);
    }
}

/* Each row once for a quality, whatever methods have it. */
static void add_qualities(struct kb_tally *tally, const struct kb_row *row) {
    unsigned seen = 0;
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const struct kb_time *t = &row->times[m];
        struct kb_tally_quality *q = &tally->qualities[t->quality];
        struct kb_buf text = {0};
        if (!t->there || t->quality == KB_Q_OK || seen & 1u << t->quality)
            continue;
        seen |= 1u << t->quality;
        if (q->rows++)
            continue;
        kb_buf_printf(&text, "%s by %s: %s", row->case_id,
                      kb_method_word((enum kb_method)m),
                      t->why ? t->why : "less precise than was asked for");
        kb_text_copy(q->first, sizeof q->first, kb_buf_text(&text));
        kb_buf_free(&text);
    }
}

/* A number that was asked for and could not be had: the row's warning says why. */
static void add_lacking(struct kb_tally *tally, const struct kb_row *row) {
    static const char *const lacks[] = {"not timed", "no energy", "samples not kept"};
    struct kb_tally_quality *q = &tally->lacking;
    const char *at = NULL;
    for (size_t i = 0; i < KB_COUNT(lacks) && row->warning && !at; i++)
        at = strstr(row->warning, lacks[i]);
    if (!at || q->rows++)
        return;
    struct kb_buf text = {0};
    kb_buf_printf(&text, "%s: %s", row->case_id, at);
    kb_text_copy(q->first, sizeof q->first, kb_buf_text(&text));
    kb_buf_free(&text);
}

void kb_tally_add(struct kb_tally *tally, const struct kb_row *row) {
    const struct kb_time *t = kb_row_time(row);
    tally->rows++;
    tally->count[kb_reason_verdict(row->reason)]++;
    tally->reasons[row->reason]++;
    add_lacking(tally, row);
    if (row->built) {
        tally->built++;
        tally->cached += row->code.cached;
        tally->load_ms += row->code.load_ms;
    }
    if (!t)
        return;
    add_qualities(tally, row);
    if (row->reason == KB_R_NONE && isfinite(t->ceiling_ns) && t->ceiling > 0) {
        tally->ceiling_logs += log(t->ceiling);
        tally->ceilings++;
    }
    add_device(tally, row);
}

int kb_tally_status(const struct kb_tally *tally) {
    int status = 0;
    for (int r = 0; r < KB_REASON_COUNT; r++)
        if (tally->reasons[r])
            status = kb_status_worse(status, kb_reason_status((enum kb_reason)r));
    if (tally->rows && tally->count[KB_SKIP] == tally->rows)
        status = kb_status_worse(status, 3);
    return status;
}

/* ---- the end line ----------------------------------------------------------------------
 */

cJSON *kb_tally_counts(const struct kb_tally *tally) {
    cJSON *counts = kb_json_object();
    for (int v = 0; v < KB_VERDICT_COUNT; v++)
        kb_json_add_i64(counts, kb_verdict_key((enum kb_verdict)v), tally->count[v]);
    return counts;
}

static double median_of(const double *values, int n) {
    double sorted[KB_FLOORS_KEPT];
    memcpy(sorted, values, (size_t)n * sizeof *sorted);
    return kb_middle_of(sorted, n);
}

static cJSON *device_item(const struct kb_tally_device *device) {
    cJSON *item = kb_json_object(), *floors = kb_json_object();
    kb_json_add_text(item, "id", device->id);
    if (device->stream_gb_per_s > 0)
        kb_json_add_f64(item, "stream_gb_per_s", device->stream_gb_per_s, 4);
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        if (device->n_floors[m] > 0)
            kb_json_add_f64(floors, kb_method_word((enum kb_method)m),
                            median_of(device->floors_ns[m], device->n_floors[m]), 6);
    kb_json_add(item, "floor_ns", floors);
    return item;
}

void kb_tally_print(const struct kb_tally *tally, bool complete, const char *interrupted,
                    double seconds, struct kb_buf *out) {
    cJSON *root = kb_json_object(), *devices = kb_json_array();
    kb_json_add_bool(root, "complete", complete);
    if (interrupted)
        kb_json_add_text(root, "interrupted", interrupted);
    kb_json_add_f64(root, "seconds", seconds, 4);
    kb_json_add(root, "count", kb_tally_counts(tally));
    for (int i = 0; i < tally->n_devices; i++)
        kb_json_push(devices, device_item(&tally->devices[i]));
    kb_json_add(root, "devices", devices);
    kb_json_print(root, out);
    cJSON_Delete(root);
}
