/* join.c - reports into one: parts of a run, or several runs as a baseline. */
#include "report/join.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A report while it is written. */
struct joining {
    struct kb_new_file file;
    struct kb_buf text; /* of the rows */
    bool lines;         /* .jsonl */
    size_t n_rows;
    int64_t count[KB_VERDICT_COUNT];
};

/* ---- rows ------------------------------------------------------------------------------
 */

static void put_row(struct joining *j, const char *text, size_t size) {
    const char *before = j->lines ? "" : j->n_rows ? ",\n    " : "\n    ";
    kb_buf_puts(&j->text, before);
    for (size_t i = 0; i < size; i++) /* a row is a line, however it was written */
        kb_buf_putc(&j->text, text[i] == '\n' || text[i] == '\r' ? ' ' : text[i]);
    kb_buf_puts(&j->text, j->lines ? "\n" : "");
    j->n_rows++;
}

/* The same row in each run that has it. */
struct same_row {
    const struct kb_entry **entries; /* by run; NULL: not in it */
};
struct run_rows {
    struct same_row *rows;
    size_t n;
};

/* How bad a verdict is for a baseline. */
static int badness(enum kb_verdict verdict) {
    static const int order[KB_VERDICT_COUNT] = {
        [KB_PASS] = 0, [KB_SKIP] = 1, [KB_MISTRUSTED] = 2, [KB_ERROR] = 3, [KB_FAIL] = 4};
    return order[verdict];
}

static int worst_run(const struct same_row *row, int n) {
    int worst = -1;
    for (int r = 0; r < n; r++)
        if (row->entries[r] && (worst < 0 || badness(row->entries[r]->verdict) >
                                                 badness(row->entries[worst]->verdict)))
            worst = r;
    return worst;
}

static bool same_code(const struct kb_loaded *reports, const struct same_row *row, int n,
                      struct kb_err *err) {
    const char *code = "";
    for (int r = 0; r < n; r++) {
        const struct kb_entry *e = row->entries[r];
        if (!e || !*e->code)
            continue;
        if (*code && !kb_streq(code, e->code))
            return kb_fail(err, KB_UNSUPPORTED,
                           "%s: %s has other machine code than in the runs before: no run "
                           "of the same kernel",
                           reports[r].name, e->case_id);
        code = e->code;
    }
    return true;
}

static bool rotate_alike(const struct kb_loaded *reports, const struct same_row *row, int a,
                         const struct kb_timing *ta, int b, const struct kb_timing *tb) {
    const struct kb_machine *ma = kb_loaded_machine(&reports[a], row->entries[a]);
    const struct kb_machine *mb = kb_loaded_machine(&reports[b], row->entries[b]);
    return kb_timings_rotate_alike(ta, ma ? ma->l2_bytes : (double)NAN, tb,
                                   mb ? mb->l2_bytes : (double)NAN);
}

/* One time of a row, by one method, over the runs that have it. */
static bool join_time(const struct kb_loaded *reports, const struct same_row *row, int n,
                      const struct kb_json *docs, cJSON *time, enum kb_method method,
                      struct kb_err *err) {
    const cJSON *items[KB_MAX_RUNS];
    const struct kb_timing *times[KB_MAX_RUNS];
    double bytes = NAN, bad;
    int got = 0, from = 0;
    for (int r = 0; r < n; r++) {
        const struct kb_entry *e = row->entries[r];
        const struct kb_timing *t = e ? kb_entry_time(e, method) : NULL;
        if (!t)
            continue;
        if (!kb_timing_is_valid(t, &bad))
            return kb_fail(err, KB_INPUT, "%s: %s: its %s time is %s", reports[r].name,
                           e->case_id, kb_method_word(method),
                           isnan(bad) ? "null" : kb_cell_number(bad).text);
        if (got && !rotate_alike(reports, row, from, times[0], r, t))
            return kb_fail(err, KB_UNSUPPORTED,
                           "%s: timed over %lld buffer sets and over %lld", e->case_id,
                           (long long)times[0]->sets, (long long)t->sets);
        from = got ? from : r;
        bytes = e->bytes;
        items[got] =
            kb_json_get(kb_json_get(docs[r].root, "times"), kb_method_word(method));
        times[got++] = t;
    }
    if (!kb_join_times(time, items, times, got, bytes, err))
        return kb_at(err, "%s", row->entries[0] ? row->entries[0]->case_id : "a row");
    return true;
}

static bool join_row(struct joining *j, const struct kb_loaded *reports,
                     const struct same_row *row, int n, struct kb_err *err) {
    struct kb_json docs[KB_MAX_RUNS] = {{0}};
    struct kb_buf text = {0};
    int worst = worst_run(row, n);
    bool ok = same_code(reports, row, n, err);
    for (int r = 0; ok && r < n; r++)
        if (row->entries[r])
            ok = kb_json_parse(&docs[r], reports[r].name,
                               reports[r].text.data + row->entries[r]->at,
                               row->entries[r]->size, err);
    const struct kb_entry *entry = row->entries[worst];
    cJSON *times = ok ? kb_join_copy(docs[worst].root) : NULL, *root = times;
    for (int i = 0; ok && i < entry->n_times; i++) {
        enum kb_method method = entry->times[i].method;
        times = cJSON_GetObjectItemCaseSensitive(root, "times");
        cJSON *time = cJSON_GetObjectItemCaseSensitive(times, kb_method_word(method));
        ok = join_time(reports, row, n, docs, time, method, err);
    }
    if (ok) {
        kb_json_print(root, &text);
        put_row(j, kb_buf_text(&text), text.len);
        j->count[entry->verdict]++;
    }
    cJSON_Delete(root);
    kb_buf_free(&text);
    for (int r = 0; r < n; r++)
        kb_json_free(&docs[r]);
    return ok;
}

/* ---- runs ------------------------------------------------------------------------------
 */

static void refusal(const struct kb_mismatches *m, struct kb_buf *out) {
    for (size_t i = 0; i < m->n; i++)
        if (m->items[i].refused)
            kb_buf_printf(out, "%s%s %s != %s", out->len ? ", " : "", m->items[i].field,
                          m->items[i].a, m->items[i].b);
}

static bool is_same_place(const struct kb_loaded *a, const struct kb_loaded *b,
                          struct kb_arena *arena, struct kb_err *err) {
    struct kb_mismatches m;
    struct kb_buf why = {0};
    kb_mismatches_of(a, b, arena, &m);
    refusal(&m, &why);
    if (why.len)
        kb_fail(err, KB_UNSUPPORTED, "%s and %s cannot be joined: %s", a->name, b->name,
                kb_buf_text(&why));
    bool ok = why.len == 0;
    kb_buf_free(&why);
    return ok;
}

static bool has_no_twice(const struct kb_loaded *report, struct kb_err *err) {
    for (size_t i = 0; i < report->n_rows; i++)
        if (report->rows[i].twice)
            return kb_fail(err, KB_INPUT, "%s: %s stands in it twice", report->name,
                           report->rows[i].case_id);
    return true;
}

/* The rows of the first run, and where the others have them. */
static bool gather_runs(const struct kb_loaded *reports, int n, struct kb_arena *arena,
                        struct run_rows *out, struct kb_buf *note, struct kb_err *err) {
    const struct kb_side first = {.report = &reports[0]};
    out->n = reports[0].n_rows;
    out->rows = kb_arena_array(arena, out->n + 1, sizeof *out->rows);
    for (size_t i = 0; i < out->n; i++) {
        out->rows[i].entries = kb_arena_array(arena, (size_t)n, sizeof *out->rows->entries);
        out->rows[i].entries[0] = &reports[0].rows[i];
    }
    for (int r = 1; r < n; r++) {
        const struct kb_side side = {.report = &reports[r]};
        struct kb_pairs pairs;
        if (!is_same_place(&reports[0], &reports[r], arena, err))
            return false;
        kb_pairs_make(&first, &side, NULL, 0, KB_RELAX_NONE, arena, &pairs);
        for (size_t i = 0; i < pairs.n; i++)
            if (pairs.items[i].a)
                out->rows[pairs.items[i].a - reports[0].rows].entries[r] = pairs.items[i].b;
        if (pairs.only_a)
            kb_buf_printf(note, "%s%zu rows are not in %s", note->len ? "; " : "",
                          pairs.only_a, reports[r].name);
        if (pairs.only_b)
            kb_buf_printf(note, "%s%zu rows are in %s and not in %s: left out",
                          note->len ? "; " : "", pairs.only_b, reports[r].name,
                          reports[0].name);
    }
    return true;
}

/* ---- parts -----------------------------------------------------------------------------
 */

/* A device of one name, on every part that has it. */
static bool is_same_device(const struct kb_loaded *a, const struct kb_loaded *b,
                           struct kb_err *err) {
    for (int i = 0; i < a->n_machines; i++)
        for (int k = 0; k < b->n_machines; k++) {
            const struct kb_machine *x = &a->machines[i], *y = &b->machines[k];
            if (kb_streq(x->id, y->id) && !kb_streq(x->name, y->name))
                return kb_fail(err, KB_UNSUPPORTED,
                               "%s and %s cannot be joined: device %s is %s in one, %s in "
                               "the other",
                               a->name, b->name, x->id, x->name, y->name);
        }
    return true;
}

static bool share_no_row(const struct kb_loaded *a, const struct kb_loaded *b,
                         struct kb_arena *arena, struct kb_err *err) {
    const struct kb_side side_a = {.report = a}, side_b = {.report = b};
    struct kb_pairs pairs;
    kb_pairs_make(&side_a, &side_b, NULL, 0, KB_RELAX_NONE, arena, &pairs);
    for (size_t p = 0; p < pairs.n; p++)
        if (pairs.items[p].a && pairs.items[p].b)
            return kb_fail(err, KB_INPUT,
                           "%s stands in %s and in %s: kbench merge --runs joins runs of "
                           "the same cases",
                           pairs.items[p].a->case_id, a->name, b->name);
    return true;
}

static bool are_apart(const struct kb_loaded *reports, int n, struct kb_err *err) {
    struct kb_arena arena = {0}; /* of two parts at a time, of which there are n^2 */
    bool ok = true;
    for (int i = 0; ok && i < n; i++)
        for (int k = i + 1; ok && k < n; k++) {
            ok = is_same_device(&reports[i], &reports[k], err) &&
                 share_no_row(&reports[i], &reports[k], &arena, err);
            kb_arena_reset(&arena);
        }
    kb_arena_free(&arena);
    return ok;
}

static void put_parts(struct joining *j, const struct kb_loaded *reports, int n) {
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < reports[i].n_rows; k++) {
            const struct kb_entry *entry = &reports[i].rows[k];
            j->count[entry->verdict]++;
            put_row(j, reports[i].text.data + entry->at, entry->size);
        }
}

/* ---- files -----------------------------------------------------------------------------
 */

/* A head that is taken over has the keys that its writer gave it. */
static void put_key(const char *key, struct kb_buf *out) {
    cJSON *name = kb_json_text_item(key);
    kb_json_print(name, out);
    kb_buf_puts(out, ": ");
    cJSON_Delete(name);
}

/* The counts come before the rows in a report, so that it is begun when they are known. */
static bool finish(struct joining *j, const cJSON *head, const char *path,
                   struct kb_err *err) {
    struct kb_buf text = {0};
    const cJSON *item;
    bool ok = kb_file_begin(path, &j->file, err);
    if (!ok)
        return false;
    if (j->lines) {
        kb_json_print(head, &text);
        kb_buf_putc(&text, '\n');
    } else {
        kb_buf_puts(&text, "{ ");
        cJSON_ArrayForEach(item, head) {
            put_key(item->string, &text);
            kb_json_print(item, &text);
            kb_buf_puts(&text, ",\n  ");
        }
        kb_buf_puts(&text, "\"rows\": [");
    }
    ok = kb_file_add(&j->file, text.data, text.len, err) &&
         (!j->text.len || kb_file_add(&j->file, j->text.data, j->text.len, err));
    kb_buf_clear(&text);
    if (j->lines)
        kb_buf_printf(&text, "{\"complete\":%s}\n",
                      cJSON_IsTrue(kb_json_get(head, "complete")) ? "true" : "false");
    else
        kb_buf_puts(&text, " ] }\n");
    ok = ok && kb_file_add(&j->file, text.data, text.len, err);
    kb_buf_free(&text);
    if (ok)
        return kb_file_commit(&j->file, err);
    kb_file_abandon(&j->file);
    return false;
}

bool kb_join_write(enum kb_join how, const struct kb_loaded *reports, int n,
                   const char *path, size_t *n_rows, struct kb_buf *note,
                   struct kb_err *err) {
    struct joining j = {.lines = kb_ends_with(path, ".jsonl")};
    struct kb_arena arena = {0};
    struct run_rows rows = {0};
    bool ok = true;
    for (int i = 0; ok && i < n; i++)
        ok = has_no_twice(&reports[i], err);
    if (how == KB_JOIN_PARTS)
        ok = ok && are_apart(reports, n, err);
    else
        ok = ok && gather_runs(reports, n, &arena, &rows, note, err);
    if (ok && how == KB_JOIN_PARTS)
        put_parts(&j, reports, n);
    for (size_t i = 0; ok && i < rows.n; i++)
        ok = join_row(&j, reports, &rows.rows[i], n, err);
    if (ok) {
        cJSON *head = kb_join_head(how, reports, n, j.count);
        ok = finish(&j, head, path, err);
        cJSON_Delete(head);
    }
    *n_rows = j.n_rows;
    kb_buf_free(&j.text);
    kb_arena_free(&arena);
    return ok;
}

/* ---- a baseline in another's place -----------------------------------------------------
 */

/* In place of what has that name: a report with a key twice could not be read. */
static void put_member(cJSON *head, const char *name, cJSON *item) {
    cJSON_DeleteItemFromObjectCaseSensitive(head, name);
    kb_json_add(head, name, item);
}

static void add_update(cJSON *updates, const struct kb_loaded *fresh, const char *reason) {
    struct kb_arena arena = {0};
    struct kb_facts *facts = kb_arena_alloc(&arena, sizeof *facts);
    cJSON *update = kb_json_object();
    kb_facts_of_host(facts, &arena);
    kb_json_add_text(update, "reason", reason);
    kb_json_add_text(update, "when", facts->started); /* now, as of any run */
    kb_json_add_text(update, "kbench", fresh->kbench);
    kb_json_push(updates, update);
    kb_arena_free(&arena);
}

bool kb_baseline_update(const struct kb_loaded *base, const struct kb_loaded *fresh,
                        const char *reason, const char *path, struct kb_err *err) {
    struct joining j = {.lines = kb_ends_with(path, ".jsonl")};
    cJSON *head = kb_join_copy(fresh->head.root);
    const cJSON *before = kb_json_get(base->head.root, "updates"), *item;
    cJSON *updates = before ? kb_join_copy(before) : kb_json_array();
    add_update(updates, fresh, reason);
    cJSON_ArrayForEach(item, fresh->end.root) { /* of a journal; devices stay the head's */
        if (!kb_streq(item->string, "devices"))
            put_member(head, item->string, kb_join_copy(item));
    }
    put_member(head, "updates", updates);
    put_parts(&j, fresh, 1);
    bool ok = finish(&j, head, path, err);
    cJSON_Delete(head);
    kb_buf_free(&j.text);
    return ok;
}
