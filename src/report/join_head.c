/* join_head.c - the head of a report that is joined: of the first, with what others add. */
#include "report/join.h"

cJSON *kb_join_copy(const cJSON *item) {
    cJSON *copy = cJSON_Duplicate(item, true);
    if (!copy)
        kb_out_of_memory();
    return copy;
}

static const char *text_at(const cJSON *object, const char *name) {
    const char *text = cJSON_GetStringValue(kb_json_get(object, name));
    return text ? text : "";
}

/* What a head has, as it has it. */
static void add_known(cJSON *head, const cJSON *from, const char *name) {
    if (kb_json_get(from, name))
        kb_json_add(head, name, kb_join_copy(kb_json_get(from, name)));
}

/* A fact of a run, which a journal may have at its end. */
static const cJSON *fact(const struct kb_loaded *r, const char *name) {
    const cJSON *item = kb_json_get(r->end.root, name);
    return item ? item : kb_json_get(r->head.root, name);
}

/* Devices of all, by id; what a journal's end knows of them as well. */
static void add_devices(const struct kb_loaded *r, cJSON *devices) {
    const cJSON *item, *member;
    for (int pass = 0; pass < 2; pass++) {
        const cJSON *root = pass ? r->end.root : r->head.root;
        cJSON_ArrayForEach(item, kb_json_get(root, "devices")) {
            cJSON *there = NULL, *device;
            cJSON_ArrayForEach(
                device, devices) if (kb_streq(text_at(device, "id"), text_at(item, "id")))
                there = device;
            if (!there && pass == 0)
                kb_json_push(devices, kb_join_copy(item));
            if (!there)
                continue;
            cJSON_ArrayForEach(member, item) if (!kb_json_get(there, member->string))
                kb_json_add(there, member->string, kb_join_copy(member));
        }
    }
}

static void add_builds(const struct kb_loaded *r, cJSON *builds) {
    const cJSON *item;
    cJSON_ArrayForEach(
        item, kb_json_get(r->head.root, "builds")) if (!kb_json_get(builds, item->string))
        kb_json_add(builds, item->string, kb_join_copy(item));
}

/* What a report is of: those that it was joined of, if it was. */
static void add_parts(const struct kb_loaded *r, cJSON *parts) {
    static const char *const names[] = {"kbench", "started", "seconds", "command"};
    const cJSON *own = kb_json_get(r->head.root, "parts"), *item;
    cJSON_ArrayForEach(item, own) kb_json_push(parts, kb_join_copy(item));
    if (own)
        return;
    cJSON *part = kb_json_object();
    kb_json_add_text(part, "file", r->name);
    for (size_t i = 0; i < KB_COUNT(names); i++)
        if (fact(r, names[i]))
            kb_json_add(part, names[i], kb_join_copy(fact(r, names[i])));
    kb_json_push(parts, part);
}

static cJSON *count_item(const int64_t count_of[KB_VERDICT_COUNT]) {
    cJSON *count = kb_json_object();
    for (int v = 0; v < KB_VERDICT_COUNT; v++)
        kb_json_add_i64(count, kb_verdict_key((enum kb_verdict)v), count_of[v]);
    return count;
}

cJSON *kb_join_head(enum kb_join how, const struct kb_loaded *reports, int n,
                    const int64_t count[KB_VERDICT_COUNT]) {
    cJSON *head = kb_json_object(), *devices = kb_json_array(), *builds = kb_json_object(),
          *parts = kb_json_array();
    const cJSON *first = reports[0].head.root;
    double seconds = 0;
    bool complete = true;
    int runs = 0;
    for (int i = 0; i < n; i++) {
        const cJSON *spent = fact(&reports[i], "seconds");
        seconds += cJSON_IsNumber(spent) ? spent->valuedouble : 0;
        complete = complete && reports[i].complete;
        runs += reports[i].n_runs;
        add_devices(&reports[i], devices);
        add_builds(&reports[i], builds);
        add_parts(&reports[i], parts);
    }
    kb_json_add_text(head, "schema", KB_REPORT_SCHEMA);
    add_known(head, first, "kbench");
    kb_json_add_bool(head, "complete", complete);
    add_known(head, first, "command");
    add_known(head, first, "started");
    kb_json_add_f64(head, "seconds", seconds, 6);
    kb_json_add(head, "count", count_item(count));
    add_known(head, first, "host");
    kb_json_add(head, "devices", devices);
    kb_json_add(head, "builds", builds);
    kb_json_add(head, "parts", parts);
    if (how == KB_JOIN_RUNS || reports[0].n_runs > 1)
        kb_json_add_i64(head, "runs", how == KB_JOIN_RUNS ? runs : reports[0].n_runs);
    add_known(head, first, "updates");
    return head;
}
