/* rerun.c - --rerun: the rows of a report that failed, as jobs. */
#include "cli/rerun.h"

#include "diff.h"

#include <stdlib.h>
#include <string.h>

static bool is_repeated(const struct kb_entry *entry) {
    return entry->verdict != KB_PASS && entry->verdict != KB_SKIP;
}

/* ---- what a run of the row needs -------------------------------------------------------
 */

/* The word behind an option of the row's command; false where it has none. */
static bool word_after(const char *repeat, const char *option, struct kb_arena *arena,
                       const char **out) {
    const char *at = strstr(repeat, option);
    if (!at)
        return false;
    at += strlen(option);
    *out = kb_arena_strndup(arena, at, strcspn(at, " "));
    return true;
}

/* Seed, sample and tolerance: parts of the verdict that are no part of the row's key. */
static void add_terms(const struct kb_loaded *report, const struct kb_entry *entry,
                      struct kb_arena *arena, struct kb_rerun_row *row) {
    struct kb_json doc = {0};
    struct kb_err err = {0};
    const char *word, *repeat;
    row->seed = 1;
    kb_parse_u64(entry->seed, &row->seed);
    if (!kb_json_parse(&doc, report->name, report->text.data + entry->at, entry->size,
                       &err))
        return;
    repeat = cJSON_GetStringValue(kb_json_get(doc.root, "repeat"));
    kb_json_i64(kb_json_get(doc.root, "sample_rows"), &row->sample_rows);
    if (repeat && word_after(repeat, " --tolerance ", arena, &word))
        row->has_tolerance = kb_tolerance_parse(word, &row->tolerance, &err);
    kb_json_free(&doc);
}

/* ---- what must be asked for ------------------------------------------------------------
 */

static bool is_builtin_build(const char *name) {
    for (int i = 0; kb_build_names[i]; i++)
        if (kb_streq(kb_build_names[i], name))
            return true;
    return false;
}

static void check_row(const struct kb_options *asked, const struct kb_entry *entry,
                      struct kb_complaints *c) {
    bool builtin = !*entry->kernel || kb_asset_find(entry->kernel);
    if (!builtin && !asked->kernel)
        kb_complain_option(c, "--rerun",
                           "%s is of the kernel %.256s: name it with --kernel",
                           entry->case_id, entry->kernel);
    if (builtin && *entry->kernel && asked->kernel)
        kb_complain_option(c, "--rerun", "%s is of %s, not of --kernel", entry->case_id,
                           entry->kernel);
    if (!asked->builds.count && !asked->defines.count && !is_builtin_build(entry->build))
        kb_complain_option(
            c, "--rerun",
            "%s was built as %.64s: give its flags with --build %.64s=FLAGS, "
            "and the other builds",
            entry->case_id, entry->build, entry->build);
}

static void add_row(const struct kb_loaded *report, const struct kb_entry *entry,
                    struct kb_arena *arena, struct kb_rerun *out) {
    struct kb_rerun_row *row = &out->rows[out->n++];
    *row = (struct kb_rerun_row){
        .case_id = kb_arena_strdup(arena, entry->case_id),
        .build = kb_arena_strdup(arena, entry->build),
        .variant = kb_arena_strdup(arena, entry->variant),
    };
    add_terms(report, entry, arena, row);
    out->by_variant &= *row->variant != '\0';
}

static void add_once(struct kb_strings *list, struct kb_arena *arena, const char *text) {
    if (!kb_strings_has(list, text))
        kb_strings_add(list, arena, text);
}

static bool is_of(const struct kb_rerun *rerun, const char *build) {
    size_t len = strcspn(build, "=");
    for (size_t i = 0; i < rerun->n; i++)
        if (strlen(rerun->rows[i].build) == len &&
            !memcmp(rerun->rows[i].build, build, len))
            return true;
    return false;
}

/* Of the builds that were asked for those that failed; all where none did, which is then
 * told by there being no case. */
static void keep_builds(const struct kb_options *asked, const struct kb_rerun *rerun,
                        struct kb_arena *arena, struct kb_options *out) {
    struct kb_strings kept = {0};
    for (size_t i = 0; i < asked->builds.count; i++)
        if (is_of(rerun, asked->builds.items[i]))
            kb_strings_add(&kept, arena, asked->builds.items[i]);
    if (kept.count && !asked->defines.count)
        out->builds = kept;
}

static void add_options(const struct kb_options *asked, const struct kb_rerun *rerun,
                        struct kb_arena *arena, struct kb_options *out) {
    const char *last = "";
    *out = *asked;
    for (size_t i = 0; i < rerun->n; i++) {
        const struct kb_rerun_row *row = &rerun->rows[i];
        if (!kb_streq(row->case_id, last)) /* rows of a case stand together */
            kb_strings_add(&out->query.ids, arena, row->case_id);
        last = row->case_id;
        if (!asked->builds.count && !asked->defines.count)
            add_once(&out->builds, arena, row->build);
        if (!asked->variants.count && rerun->by_variant)
            add_once(&out->variants, arena, row->variant);
    }
    keep_builds(asked, rerun, arena, out);
}

static int by_key(const void *left, const void *right) {
    const struct kb_rerun_row *a = left, *b = right;
    int order = strcmp(a->case_id, b->case_id);
    order = order ? order : strcmp(a->build, b->build);
    return order ? order : strcmp(a->variant, b->variant);
}

static bool asks_for_cases(const struct kb_query *q) {
    return q->fuzz || q->files.count || q->ids.count || q->ops.count || q->tags.count ||
           q->match.count || q->shapes.count || q->dtypes.count || q->set.count ||
           q->fills.count;
}

bool kb_rerun_read(const struct kb_options *asked, struct kb_arena *arena,
                   struct kb_options *out, struct kb_rerun *rerun,
                   struct kb_complaints *c) {
    struct kb_loaded *report = kb_arena_alloc(arena, sizeof *report);
    struct kb_err err = {0};
    int before = c->count;
    *rerun = (struct kb_rerun){.by_variant = true};
    if (asks_for_cases(&asked->query))
        kb_complain_option(c, "--rerun",
                           "the report names the cases, and no other option may");
    else if (!kb_loaded_read(asked->rerun, report, &err))
        kb_complain_option(c, "--rerun", "%s", err.msg);
    if (c->count > before)
        return false;
    rerun->rows = kb_arena_array(arena, report->n_rows + 1, sizeof *rerun->rows);
    for (size_t i = 0; i < report->n_rows && c->count == before; i++) {
        if (!is_repeated(&report->rows[i]))
            continue;
        check_row(asked, &report->rows[i], c);
        add_row(report, &report->rows[i], arena, rerun);
    }
    if (!rerun->n && c->count == before)
        kb_complain_option(c, "--rerun", "%s: no case selected: nothing failed in it",
                           asked->rerun);
    kb_loaded_free(report);
    if (c->count > before)
        return false;
    add_options(asked, rerun, arena, out);
    qsort(rerun->rows, rerun->n, sizeof *rerun->rows, by_key);
    return true;
}

const struct kb_rerun_row *kb_rerun_find(const struct kb_rerun *rerun, const char *case_id,
                                         const char *build, const char *variant) {
    size_t low = 0, high = rerun->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(rerun->rows[middle].case_id, case_id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < rerun->n && kb_streq(rerun->rows[low].case_id, case_id); low++) {
        const struct kb_rerun_row *row = &rerun->rows[low];
        if (kb_streq(row->build, build) &&
            (!rerun->by_variant || !variant || kb_streq(row->variant, variant)))
            return row;
    }
    return NULL;
}
