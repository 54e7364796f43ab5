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

/* All that the rows to be run need and that a report does not give by itself. */
struct needs {
    const char *kernel;        /* theirs; NULL: kbench's own */
    bool is_there, is_changed; /* its file; it is not what the rows were made by */
    bool is_hashed;            /* some row says by what it was made */
    struct kb_buf text;        /* of the file */
    struct kb_strings builds;  /* as --build takes them */
    bool has_flags;            /* one of them is NAME=FLAGS */
};

/* Its name says all of it, macros with it. */
static bool is_builtin_build(const char *name, struct kb_arena *arena) {
    struct kb_build build;
    struct kb_err err = {0};
    return !name[kb_build_label(name)] && kb_build_parse(name, false, arena, &build, &err);
}

static void need_build(struct needs *needs, const struct kb_entry *entry,
                       struct kb_arena *arena) {
    struct kb_buf text = {0};
    bool own = !is_builtin_build(entry->build, arena);
    kb_buf_puts(&text, entry->build);
    for (size_t i = 0; own && i < entry->flags.count; i++)
        kb_buf_printf(&text, "%s%s", i ? " " : "=", entry->flags.items[i]);
    if (!kb_strings_has(&needs->builds, kb_buf_text(&text)))
        kb_strings_add(&needs->builds, arena, kb_arena_strdup(arena, kb_buf_text(&text)));
    needs->has_flags |= own;
    kb_buf_free(&text);
}

/* The row's own words on its source, "" where it was not built. */
static void hash_of(const struct kb_loaded *report, const struct kb_entry *entry,
                    char hex[KB_HASH_HEX]) {
    struct kb_json doc = {0};
    struct kb_err err = {0};
    if (kb_json_parse(&doc, report->name, report->text.data + entry->at, entry->size,
                      &err)) {
        const cJSON *code = kb_json_get(doc.root, "code");
        const char *hash = cJSON_GetStringValue(kb_json_get(code, "source_hash"));
        kb_text_copy(hex, KB_HASH_HEX, hash ? hash : "");
    } else {
        *hex = '\0';
    }
    kb_json_free(&doc);
}

static void need_kernel(struct needs *needs, const struct kb_loaded *report,
                        const struct kb_entry *entry, struct kb_arena *arena) {
    char hex[KB_HASH_HEX], now[KB_HASH_HEX];
    struct kb_err err = {0};
    if (!needs->kernel) {
        needs->kernel = kb_arena_strdup(arena, entry->kernel);
        needs->is_there = kb_file_read(needs->kernel, KB_FILE_MAX, &needs->text, &err);
    }
    hash_of(report, entry, hex);
    if (!*hex || !needs->is_there)
        return;
    struct kb_hash hash = kb_hash_of(kb_buf_text(&needs->text), needs->text.len);
    kb_hash_hex(&hash, now);
    needs->is_hashed = true;
    needs->is_changed |= !kb_streq(hex, now);
}

static void check_row(const struct kb_options *asked, const struct kb_loaded *report,
                      const struct kb_entry *entry, struct kb_arena *arena,
                      struct needs *needs, struct kb_complaints *c) {
    bool builtin = !*entry->kernel || kb_asset_find(entry->kernel);
    if (builtin && *entry->kernel && asked->kernel)
        kb_complain_option(c, "--rerun", "%s is of %s, not of --kernel", entry->case_id,
                           entry->kernel);
    if (!builtin && !asked->kernel && needs->kernel &&
        !kb_streq(needs->kernel, entry->kernel))
        kb_complain_option(c, "--rerun",
                           "rows are of %.256s and of %.256s: one kernel at a "
                           "time, by --kernel",
                           needs->kernel, entry->kernel);
    else if (!builtin && !asked->kernel)
        need_kernel(needs, report, entry, arena);
    need_build(needs, entry, arena);
}

/* The line that does it. */
static void put_command(const struct kb_options *asked, const struct needs *needs,
                        struct kb_buf *out) {
    const char *kernel = asked->kernel                       ? asked->kernel
                         : needs->kernel && !needs->is_there ? "FILE.cu"
                                                             : needs->kernel;
    kb_buf_puts(out, "kbench --rerun ");
    kb_shell_word(out, asked->rerun);
    if (asked->backend)
        kb_buf_printf(out, " --backend %s", kb_backend_words[asked->backend]);
    if (kernel) {
        kb_buf_puts(out, " --kernel ");
        kb_shell_word(out, kernel);
    }
    for (size_t i = 0; needs->has_flags && i < needs->builds.count; i++) {
        kb_buf_puts(out, " --build ");
        kb_shell_word(out, needs->builds.items[i]);
    }
}

/* What must be asked for, with the command; complains where that was not done. */
static void check_needs(const struct kb_options *asked, const struct needs *needs,
                        struct kb_complaints *c) {
    struct kb_buf why = {0};
    bool flags = needs->has_flags && !asked->builds.count && !asked->defines.count;
    if (needs->kernel && !needs->is_there)
        kb_buf_printf(&why, "the rows' kernel %.256s is not here", needs->kernel);
    else if (needs->kernel && needs->is_changed)
        kb_buf_printf(&why, "%.256s has changed since", needs->kernel);
    else if (needs->kernel && !needs->is_hashed)
        kb_buf_printf(&why, "%.256s did not compile there", needs->kernel);
    if (flags)
        kb_buf_printf(&why, "%sflags are not taken from a report", why.len ? ", and " : "");
    if (why.len) {
        kb_buf_puts(&why, ": ");
        put_command(asked, needs, &why);
        kb_complain_option(c, "--rerun", "%s", kb_buf_text(&why));
    }
    kb_buf_free(&why);
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
    struct needs needs = {0};
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
        check_row(asked, report, &report->rows[i], arena, &needs, c);
        add_row(report, &report->rows[i], arena, rerun);
    }
    if (!rerun->n && c->count == before)
        kb_complain_option(c, "--rerun", "%s: no case selected: nothing failed in it",
                           asked->rerun);
    if (c->count == before)
        check_needs(asked, &needs, c);
    kb_buf_free(&needs.text);
    kb_loaded_free(report);
    if (c->count > before)
        return false;
    add_options(asked, rerun, arena, out);
    if (needs.kernel) /* and not asked->kernel */
        out->kernel = needs.kernel;
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
