/* load.c - a report read back: one file, or a journal; what is wrong with it in one line.
 */
#include "report/load.h"

#include <math.h>
#include <string.h>

static const char schema_prefix[] = "kbench-report/";

void kb_loaded_free(struct kb_loaded *report) {
    kb_buf_free(&report->text);
    kb_buf_free(&report->note);
    kb_json_free(&report->head);
    kb_json_free(&report->end);
    kb_arena_free(&report->arena);
    *report = (struct kb_loaded){0};
}

bool kb_timing_is_valid(const struct kb_timing *time, double *bad) {
    *bad = time->median_ns;
    if (!(isfinite(*bad) && *bad > 0))
        return false;
    for (int i = 0; i < 2; i++) { /* there is none of a time that was taken once */
        *bad = i ? time->high_ns : time->low_ns;
        if (!isnan(*bad) && !(isfinite(*bad) && *bad > 0))
            return false;
    }
    for (int i = 0; i < time->n_samples + time->n_runs; i++) {
        *bad =
            i < time->n_samples ? time->samples_ns[i] : time->runs_ns[i - time->n_samples];
        if (!(isfinite(*bad) && *bad > 0))
            return false;
    }
    return true;
}

const struct kb_timing *kb_entry_time(const struct kb_entry *entry, enum kb_method method) {
    for (int i = 0; i < entry->n_times; i++)
        if (entry->times[i].method == method)
            return &entry->times[i];
    return NULL;
}

const struct kb_machine *kb_loaded_machine(const struct kb_loaded *report,
                                           const struct kb_entry *entry) {
    for (int i = 0; i < report->n_machines; i++)
        if (kb_streq(report->machines[i].id, entry->device))
            return &report->machines[i];
    return NULL;
}

const char *kb_loaded_commit(const struct kb_loaded *report) {
    const char *space = strchr(report->kbench, ' ');
    return space && space[1] ? space + 1 : report->kbench;
}

/* ---- what stands beside the rows -------------------------------------------------------
 */

static const char *text_at(const cJSON *object, const char *name) {
    const char *text = cJSON_GetStringValue(kb_json_get(object, name));
    return text ? text : "";
}

static double number_at(const cJSON *object, const char *name) {
    const cJSON *item = kb_json_get(object, name);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static void machines_of(struct kb_loaded *out) {
    const cJSON *item;
    cJSON_ArrayForEach(item, kb_json_get(out->head.root, "devices")) {
        const cJSON *locked = kb_json_get(item, "clocks_locked");
        if (out->n_machines == KB_MAX_DEVICES)
            return;
        out->machines[out->n_machines++] = (struct kb_machine){
            .id = text_at(item, "id"),
            .backend = text_at(item, "backend"),
            .name = text_at(item, "name"),
            .uuid = text_at(item, "uuid"),
            .driver = text_at(item, "driver"),
            .nvrtc = text_at(item, "nvrtc"),
            .compiler = text_at(item, "compiler"),
            .sm = number_at(item, "sm"),
            .sm_count = number_at(item, "sm_count"),
            .l2_bytes = number_at(item, "l2_bytes"),
            .memory_bytes = number_at(item, "memory_bytes"),
            .clocks_locked = cJSON_IsBool(locked) ? cJSON_IsTrue(locked) : -1,
        };
    }
}

/* Ours, or older ones: there are none yet. */
static bool check_schema(const struct kb_loaded *out, struct kb_err *err) {
    const char *schema = text_at(out->head.root, "schema");
    int64_t version = 0, ours = 0;
    kb_parse_i64(&KB_REPORT_SCHEMA[sizeof schema_prefix - 1], &ours);
    if (!kb_starts_with(schema, schema_prefix))
        return kb_fail(err, KB_INPUT,
                       "%s: is no kbench report: it lacks \"schema\": \"%s\"", out->name,
                       KB_REPORT_SCHEMA);
    if (kb_parse_i64(schema + strlen(schema_prefix), &version) && version >= 1 &&
        version <= ours)
        return true;
    return kb_fail(err, KB_INPUT,
                   "%s: schema \"%.32s\" is newer than this kbench, which reads \"%s\"",
                   out->name, schema, KB_REPORT_SCHEMA);
}

static bool are_objects(const cJSON *array) {
    const cJSON *item;
    cJSON_ArrayForEach(item, array) if (!cJSON_IsObject(item)) return false;
    return true;
}

/* What is there is of its kind. */
static bool check_kinds(const struct kb_loaded *out, const cJSON *root,
                        struct kb_err *err) {
    static const char *const texts[] = {"kbench", "started"};
    static const char *const lists[] = {"devices", "parts", "updates"};
    static const char *const objects[] = {"host", "builds", "count"};
    const char *wrong = NULL;
    for (size_t i = 0; i < KB_COUNT(texts); i++)
        if (kb_json_get(root, texts[i]) && !cJSON_IsString(kb_json_get(root, texts[i])))
            wrong = texts[i];
    for (size_t i = 0; i < KB_COUNT(lists); i++) {
        const cJSON *item = kb_json_get(root, lists[i]);
        if (item && !(cJSON_IsArray(item) && are_objects(item)))
            wrong = lists[i];
    }
    for (size_t i = 0; i < KB_COUNT(objects); i++)
        if (kb_json_get(root, objects[i]) && !cJSON_IsObject(kb_json_get(root, objects[i])))
            wrong = objects[i];
    return !wrong ||
           kb_fail(err, KB_INPUT, "%s: no right \"%s\" in the report", out->name, wrong);
}

static bool take_head(struct kb_loaded *out, const struct kb_buf *text,
                      struct kb_err *err) {
    if (!kb_json_parse(&out->head, out->name, kb_buf_text(text), text->len, err))
        return false;
    const cJSON *head = out->head.root, *end = out->end.root ? out->end.root : head;
    double runs = number_at(head, "runs");
    if (!check_schema(out, err) || !check_kinds(out, head, err) ||
        !check_kinds(out, end, err))
        return false;
    out->kbench = text_at(head, "kbench");
    out->started = text_at(head, "started");
    out->complete = cJSON_IsTrue(kb_json_get(end, "complete"));
    out->n_runs = runs >= 1 && runs <= KB_MAX_RUNS ? (int)runs : 1;
    machines_of(out);
    return true;
}

/* ---- rows ------------------------------------------------------------------------------
 */

struct loading {
    struct kb_loaded *out;
    struct kb_pull pull;
    struct kb_buf head;   /* the object without its rows */
    size_t wrong_at;      /* of the first row that is none */
    const char *wrong;    /* its field; told after the schema was looked at */
    struct kb_err pulled; /* of the pull */
};

static struct kb_entry *new_entry(struct kb_loaded *out) {
    if (out->n_rows == out->rows_cap) {
        size_t cap = out->rows_cap ? 2 * out->rows_cap : 256;
        struct kb_entry *rows = kb_arena_array(&out->arena, cap, sizeof *rows);
        if (out->n_rows)
            memcpy(rows, out->rows, out->n_rows * sizeof *rows);
        out->rows = rows;
        out->rows_cap = cap;
    }
    return &out->rows[out->n_rows++];
}

/* An object where a row stands; `line` says if it was none. */
static bool take_row(struct loading *l, struct kb_line *line) {
    struct kb_entry *entry = new_entry(l->out);
    if (!kb_entry_pull(&l->pull, &l->out->arena, entry, line)) {
        l->out->n_rows--;
        return false;
    }
    return true;
}

static void keep_wrong(struct loading *l, const struct kb_line *line) {
    if (line->wrong && !l->wrong) {
        l->wrong = line->wrong;
        l->wrong_at = l->out->rows[l->out->n_rows - 1].at;
    }
}

static bool take_rows(struct loading *l) {
    struct kb_line line;
    if (!kb_pull_open(&l->pull, KB_PULL_ARRAY))
        return false;
    while (kb_pull_item(&l->pull)) {
        if (!take_row(l, &line))
            return false;
        keep_wrong(l, &line);
    }
    return !l->pull.failed;
}

/* The first value: all of a report, or a journal's header. */
static bool take_object(struct loading *l, bool *has_rows) {
    struct kb_slice key, value;
    *has_rows = false;
    if (!kb_pull_open(&l->pull, KB_PULL_OBJECT))
        return false;
    kb_buf_putc(&l->head, '{');
    while (kb_pull_member(&l->pull, &key)) {
        if (kb_slice_is(&key, "rows")) {
            if (*has_rows)
                return kb_pull_fail(&l->pull, l->pull.pos,
                                    "\"rows\" stands here for the second time");
            *has_rows = true;
            if (!take_rows(l))
                return false;
            continue;
        }
        cJSON *name = NULL;
        struct kb_buf copy = {0};
        kb_buf_add(&copy, key.text, key.len);
        name = kb_json_text_item(kb_buf_text(&copy));
        kb_buf_puts(&l->head, l->head.len > 1 ? "," : "");
        kb_json_print(name, &l->head);
        cJSON_Delete(name);
        kb_buf_free(&copy);
        if (!kb_pull_skip(&l->pull, &value))
            return false;
        kb_buf_putc(&l->head, ':');
        kb_buf_add(&l->head, value.text, value.len);
    }
    kb_buf_putc(&l->head, '}');
    return !l->pull.failed;
}

/* ---- journals --------------------------------------------------------------------------
 */

/* A last line without a newline that is no JSON was torn when its writer died. */
static bool take_line(struct loading *l, size_t end, bool torn, bool *ended) {
    struct kb_pull *p = &l->pull;
    struct kb_line line;
    size_t whole = p->size, from = p->pos, n_rows = l->out->n_rows;
    p->size = end;
    if (kb_pull_ends(p)) {
        p->size = whole;
        return true;
    }
    bool ok = take_row(l, &line) &&
              (kb_pull_ends(p) || kb_pull_fail(p, p->pos, "text after the row"));
    p->size = whole;
    if (!ok && torn) {
        kb_buf_printf(&l->out->note, "%s: the last line is torn, and left out",
                      l->out->name);
        l->out->n_rows = n_rows;
        p->failed = false;
        p->depth = 0;
        p->pos = whole;
        *p->err = (struct kb_err){0};
        return true;
    }
    if (!ok)
        return false;
    if (*ended)
        return kb_pull_fail(p, from, "a line after the end of the report");
    if (!line.is_end) {
        keep_wrong(l, &line);
        return true;
    }
    *ended = true;
    l->out->n_rows--;
    return kb_json_parse(&l->out->end, l->out->name, p->text + from, end - from, p->err);
}

static bool take_journal(struct loading *l) {
    struct kb_pull *p = &l->pull;
    bool ended = false;
    while (p->pos < p->size) {
        const char *newline = memchr(p->text + p->pos, '\n', p->size - p->pos);
        size_t end = newline ? (size_t)(newline - p->text) : p->size;
        if (!take_line(l, end, !newline, &ended))
            return false;
        p->pos = newline && p->pos < p->size ? end + 1 : p->size;
    }
    return true;
}

/* ---- all of it -------------------------------------------------------------------------
 */

static bool take_all(struct loading *l, struct kb_err *err) {
    bool has_rows = false;
    bool ok = take_object(l, &has_rows);
    if (ok && has_rows && !kb_pull_ends(&l->pull))
        ok = kb_pull_fail(&l->pull, l->pull.pos, "text after the report");
    else if (ok && !has_rows)
        ok = take_journal(l);
    if (!ok)
        return kb_fail(err, KB_INPUT, "%s", l->pulled.msg);
    if (!take_head(l->out, &l->head, err))
        return false;
    if (!l->wrong)
        return true;
    kb_pull_fail(&l->pull, l->wrong_at, "no right \"%s\" in the row", l->wrong);
    return kb_fail(err, KB_INPUT, "%s", l->pulled.msg);
}

bool kb_loaded_of_text(const char *name, struct kb_buf *text, struct kb_loaded *out,
                       struct kb_err *err) {
    struct loading l = {.out = out};
    *out = (struct kb_loaded){.text = *text};
    *text = (struct kb_buf){0};
    out->name = kb_arena_strdup(&out->arena, name);
    out->kbench = out->started = "";
    l.pull = (struct kb_pull){
        .name = out->name,
        .text = kb_buf_text(&out->text),
        .size = out->text.len,
        .err = &l.pulled,
    };
    bool ok = !kb_pull_ends(&l.pull)
                  ? take_all(&l, err)
                  : kb_fail(err, KB_INPUT, "%s: is empty, wanted a kbench report", name);
    kb_pull_free(&l.pull);
    kb_buf_free(&l.head);
    if (ok)
        kb_loaded_mark_twice(out);
    else
        kb_loaded_free(out);
    return ok;
}

bool kb_loaded_read(const char *path, struct kb_loaded *out, struct kb_err *err) {
    struct kb_buf text = {0};
    if (!kb_file_read(path, KB_REPORT_BYTES_MAX, &text, err)) {
        kb_buf_free(&text);
        return false;
    }
    return kb_loaded_of_text(path, &text, out, err);
}

bool kb_loaded_of_rows(struct kb_rows *rows, const char *name, struct kb_loaded *out,
                       struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_buf text = {0};
    struct kb_row row;
    struct kb_err why = {0};
    kb_rows_rewind(rows);
    kb_json_print(kb_rows_header(rows), &text);
    kb_buf_putc(&text, '\n');
    while (kb_rows_next(rows, &arena, &row, &why)) {
        kb_buf_printf(&text, "%s\n", kb_rows_line(rows));
        kb_arena_reset(&arena);
    }
    kb_arena_free(&arena);
    if (why.kind) {
        kb_buf_free(&text);
        return kb_fail(err, why.kind, "%s", why.msg);
    }
    if (kb_rows_end(rows))
        kb_json_print(kb_rows_end(rows), &text);
    return kb_loaded_of_text(name, &text, out, err);
}

/* ---- words -----------------------------------------------------------------------------
 */

void kb_entry_words(const struct kb_loaded *report, const struct kb_entry *entry,
                    struct kb_buf *out) {
    struct kb_arena arena = {0};
    struct kb_row row;
    struct kb_err err = {0};
    /* Only our own rows have all that the sentence is made of. */
    if (kb_row_parse(report->name, report->text.data + entry->at, entry->size, &arena, &row,
                     &err))
        kb_row_words(&row, out);
    else
        kb_buf_puts(out, entry->reason_text);
    kb_arena_free(&arena);
}
