/* json.c - the report as JSON: streamed from the journal, a line per row; and the journal.
 */
#include "report/parts.h"

#include <string.h>

static void member(struct kb_sink *sink, const char *name, const cJSON *item,
                   const char *after) {
    kb_buf_printf(&sink->text, "\"%s\": ", name);
    kb_json_print(item, &sink->text);
    kb_buf_puts(&sink->text, after);
}

/* What the end line knows of a device joins what the header says of it. */
static cJSON *joined_devices(const cJSON *header, const cJSON *end) {
    cJSON *devices = cJSON_Duplicate(kb_json_get(header, "devices"), true);
    cJSON *device;
    const cJSON *measured, *fact;
    if (!devices)
        return kb_json_array();
    cJSON_ArrayForEach(device, devices) {
        const char *id = cJSON_GetStringValue(kb_json_get(device, "id"));
        cJSON_ArrayForEach(measured, kb_json_get(end, "devices")) {
            const char *other = cJSON_GetStringValue(kb_json_get(measured, "id"));
            if (!id || !other || !kb_streq(id, other))
                continue;
            cJSON_ArrayForEach(fact, measured) {
                cJSON *copy = cJSON_Duplicate(fact, true);
                if (!copy)
                    kb_out_of_memory();
                kb_json_add(device, fact->string, copy);
            }
        }
    }
    return devices;
}

/* A first pass: every row can be read, what is at the end, and the counts where nothing is.
 */
static bool survey(struct kb_rows *rows, struct kb_tally *tally, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_row row;
    struct kb_err why = {0};
    while (kb_rows_next(rows, &arena, &row, &why)) {
        kb_tally_add(tally, &row);
        kb_arena_reset(&arena);
    }
    kb_arena_free(&arena);
    kb_rows_rewind(rows);
    return !why.kind || kb_fail(err, why.kind, "%s", why.msg);
}

static void write_head(struct kb_sink *sink, const cJSON *header, const cJSON *end,
                       const struct kb_tally *tally) {
    cJSON *devices = joined_devices(header, end), *counts = NULL;
    kb_buf_puts(&sink->text, "{ ");
    member(sink, "schema", kb_json_get(header, "schema"), ", ");
    member(sink, "kbench", kb_json_get(header, "kbench"), ", ");
    kb_buf_printf(&sink->text, "\"complete\": %s,\n  ",
                  cJSON_IsTrue(kb_json_get(end, "complete")) ? "true" : "false");
    if (kb_json_get(end, "interrupted"))
        member(sink, "interrupted", kb_json_get(end, "interrupted"), ",\n  ");
    member(sink, "command", kb_json_get(header, "command"), ",\n  ");
    member(sink, "started", kb_json_get(header, "started"), ", ");
    if (kb_json_get(end, "seconds"))
        member(sink, "seconds", kb_json_get(end, "seconds"), ",\n  ");
    if (!kb_json_get(end, "count"))
        counts = kb_tally_counts(tally);
    member(sink, "count", counts ? counts : kb_json_get(end, "count"), ",\n  ");
    member(sink, "host", kb_json_get(header, "host"), ",\n  ");
    member(sink, "devices", devices, ",\n  ");
    member(sink, "builds", kb_json_get(header, "builds"), ",\n  ");
    kb_buf_puts(&sink->text, "\"rows\": [");
    cJSON_Delete(devices);
    cJSON_Delete(counts);
}

bool kb_write_json(struct kb_rows *rows, struct kb_sink *sink, struct kb_err *err) {
    struct kb_tally *tally = NULL;
    struct kb_arena run = {0}, arena = {0};
    struct kb_row row;
    struct kb_err why = {0};
    const char *separator = "\n    ";
    tally = kb_arena_alloc(&run, sizeof *tally);
    bool ok = survey(rows, tally, err);
    if (ok)
        write_head(sink, kb_rows_header(rows), kb_rows_end(rows), tally);
    while (ok && kb_rows_next(rows, &arena, &row, &why)) {
        kb_buf_puts(&sink->text, separator);
        kb_buf_puts(&sink->text, kb_rows_line(rows));
        separator = ",\n    ";
        kb_arena_reset(&arena);
        kb_sink_room(sink);
    }
    kb_buf_puts(&sink->text, " ] }\n");
    kb_arena_free(&arena);
    kb_arena_free(&run);
    if (why.kind)
        ok = kb_fail(err, why.kind, "%s", why.msg);
    return ok;
}

bool kb_write_jsonl(struct kb_rows *rows, struct kb_sink *sink, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_row row;
    struct kb_err why = {0};
    kb_json_print(kb_rows_header(rows), &sink->text);
    kb_buf_putc(&sink->text, '\n');
    while (kb_rows_next(rows, &arena, &row, &why)) {
        kb_buf_printf(&sink->text, "%s\n", kb_rows_line(rows));
        kb_arena_reset(&arena);
        kb_sink_room(sink);
    }
    if (kb_rows_end(rows)) {
        kb_json_print(kb_rows_end(rows), &sink->text);
        kb_buf_putc(&sink->text, '\n');
    }
    kb_arena_free(&arena);
    return !why.kind || kb_fail(err, why.kind, "%s", why.msg);
}
