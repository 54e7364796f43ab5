/* list.c - kbench list: ops, variants, cases, devices and builds that there are. */
#include "cli/page.h"
#include "cli/table.h"
#include "cli/terminal.h"

#include <string.h>

enum { LABEL = 14, MAX_COLUMNS = 8, MAX_PROBED = 64 };

/* ---- columns as wide as their widest cell ----------------------------------------------
 */

struct sheet {
    struct kb_arena arena;
    struct kb_strings cells; /* row by row */
    int n_columns;
    unsigned right; /* bit per column that is right-aligned */
};

static void cell(struct sheet *sheet, const char *text) {
    struct kb_buf safe = {0};
    kb_escape(&safe, text, strlen(text));
    kb_strings_add(&sheet->cells, &sheet->arena,
                   kb_arena_strdup(&sheet->arena, kb_buf_text(&safe)));
    kb_buf_free(&safe);
}

static void cell_of(struct sheet *sheet, struct kb_buf *text) {
    cell(sheet, kb_buf_text(text));
    kb_buf_clear(text);
}

static void sheet_print(struct sheet *sheet, struct kb_buf *out) {
    int width[MAX_COLUMNS] = {0}, n = sheet->n_columns;
    for (size_t i = 0; i < sheet->cells.count; i++) {
        int columns = kb_columns(sheet->cells.items[i]);
        int *widest = &width[i % (size_t)n];
        *widest = columns > *widest ? columns : *widest;
    }
    for (size_t i = 0; i < sheet->cells.count; i++) {
        int at = (int)(i % (size_t)n);
        const char *text = sheet->cells.items[i];
        int pad = width[at] - kb_columns(text);
        bool right = sheet->right >> at & 1u, last = at == n - 1;
        kb_buf_printf(out, "%s%*s%s%*s%s", at ? "  " : "", right ? pad : 0, "", text,
                      right || last ? 0 : pad, "", last ? "\n" : "");
    }
    kb_arena_free(&sheet->arena);
}

/* ---- ops and tags ----------------------------------------------------------------------
 */

struct count {
    const char *name;
    int64_t n;
};
/* All of kbench's own cases, counted by op and by tag, tags in the order they appear. */
struct counts {
    struct kb_arena arena;
    int64_t *of_op; /* in the order of kb_ops */
    struct count tags[64];
    size_t n_tags;
};

static void count_tag(struct counts *counts, const char *tag, size_t len) {
    size_t t = 0;
    while (t < counts->n_tags && (strncmp(counts->tags[t].name, tag, len) != 0 ||
                                  counts->tags[t].name[len] != '\0'))
        t++;
    if (t == KB_COUNT(counts->tags))
        return;
    if (t == counts->n_tags)
        counts->tags[counts->n_tags++].name = kb_arena_strndup(&counts->arena, tag, len);
    counts->tags[t].n++;
}

static void count_tags(struct counts *counts, const char *tags) {
    while (*tags) {
        size_t len = strcspn(tags, ",");
        count_tag(counts, tags, len);
        tags += len + (tags[len] == ',');
    }
}

static bool count_cases(struct counts *counts, struct kb_complaints *c) {
    struct kb_query query = {0};
    struct kb_suite *suite = NULL;
    struct kb_arena arena = {0};
    struct kb_case one;
    kb_strings_add(&query.match, &counts->arena, "*");
    query.by_tag_too = true;
    counts->of_op =
        kb_arena_array(&counts->arena, (size_t)kb_op_count, sizeof *counts->of_op);
    if (!kb_suite_open(&suite, &query, c))
        return false;
    while (kb_suite_next(suite, &arena, &one)) {
        for (int i = 0; i < kb_op_count; i++)
            counts->of_op[i] += kb_ops[i] == one.op;
        count_tags(counts, one.tags);
        kb_arena_reset(&arena);
    }
    kb_arena_free(&arena);
    kb_suite_free(suite);
    return true;
}

static void add_dtypes(const struct kb_op *op, struct kb_buf *out) {
    for (int i = 0; i < op->n_dtypes; i++)
        kb_buf_printf(out, "%s%s", i ? " " : "", kb_dtype_name(op->dtypes[i]));
}

/* The kernel file of an op's family; NULL where there is none, after a complaint if it is
 * wrong. */
static const struct kb_kernel *kernel_of(const struct kb_op *op, struct kb_arena *arena,
                                         struct kb_complaints *c) {
    struct kb_kernel *kernel = kb_arena_alloc(arena, sizeof *kernel);
    return kb_kernel_builtin(op, arena, kernel, c) ? kernel : NULL;
}

/* Of --op: no word of it may be unknown, and none means all. */
static void check_ops(const struct kb_strings *asked, struct kb_complaints *c) {
    struct kb_buf what = {0};
    for (size_t i = 0; i < asked->count; i++) {
        if (kb_op_find(asked->items[i]))
            continue;
        kb_buf_clear(&what);
        kb_unknown_op(&what, asked->items[i]);
        kb_complain_option(c, "--op", "%s", kb_buf_text(&what));
    }
    kb_buf_free(&what);
}

static bool is_asked(const struct kb_strings *asked, const struct kb_op *op) {
    return !asked->count || kb_strings_has(asked, op->name);
}

static bool list_ops(const struct kb_strings *asked, struct counts *counts,
                     struct kb_buf *out, struct kb_complaints *c) {
    struct sheet sheet = {.n_columns = 5, .right = 1u << 4};
    const struct kb_kernel *kernel = NULL; /* of the family of ops that stand together */
    struct kb_buf text = {0};
    static const char *const heads[] = {"op", "--shape", "dtypes", "variants", "cases"};
    for (size_t i = 0; i < KB_COUNT(heads); i++)
        cell(&sheet, heads[i]);
    check_ops(asked, c);
    bool ok = !c->count && count_cases(counts, c);
    for (int i = 0; ok && i < kb_op_count; i++) {
        const struct kb_op *op = kb_ops[i];
        if (!i || !kb_streq(op->family, kb_ops[i - 1]->family))
            kernel = kernel_of(op, &counts->arena, c);
        if (!is_asked(asked, op))
            continue;
        cell(&sheet, op->name);
        cell(&sheet, op->shape_form);
        add_dtypes(op, &text);
        cell_of(&sheet, &text);
        for (int v = 0; kernel && v < kernel->n_variants; v++)
            kb_buf_printf(&text, "%s%s", v ? " " : "", kernel->variants[v].name);
        cell_of(&sheet, &text);
        kb_buf_printf(&text, "%lld", (long long)counts->of_op[i]);
        cell_of(&sheet, &text);
    }
    sheet_print(&sheet, out);
    kb_buf_free(&text);
    return !c->count;
}

/* Tags with a dot are names of single traps; the suites are those without. Lines are as
 * long as those of help. */
static void list_tags(const struct counts *counts, struct kb_buf *out) {
    struct kb_buf text = {0};
    int others = 0, at = LABEL;
    kb_buf_printf(out, "%-*s", LABEL, "tags");
    for (size_t t = 0; t <= counts->n_tags; t++) {
        bool last = t == counts->n_tags;
        kb_buf_clear(&text);
        if (!last && strchr(counts->tags[t].name, '.'))
            others++;
        else if (!last)
            kb_buf_printf(&text, "%s %lld", counts->tags[t].name,
                          (long long)counts->tags[t].n);
        else if (others)
            kb_buf_printf(&text, "and %d others: kbench list cases -v", others);
        if (!text.len)
            continue;
        if (at > LABEL && at + 2 + (int)text.len > KB_PAGE_WIDTH) {
            kb_buf_printf(out, "\n%*s", LABEL, "");
            at = LABEL;
        }
        kb_buf_printf(out, "%s%s", at > LABEL ? "  " : "", kb_buf_text(&text));
        at += (at > LABEL ? 2 : 0) + (int)text.len;
    }
    kb_buf_putc(out, '\n');
    kb_buf_free(&text);
}

/* ---- variants --------------------------------------------------------------------------
 */

static void add_list(const struct kb_strings *list, const char *otherwise,
                     struct kb_buf *out) {
    for (size_t i = 0; i < list->count; i++)
        kb_buf_printf(out, "%s%s", i ? " " : "", list->items[i]);
    if (!list->count)
        kb_buf_puts(out, otherwise);
}

static void list_kernel(const struct kb_kernel *kernel, struct kb_buf *out) {
    struct sheet sheet = {.n_columns = 3};
    struct kb_buf text = {0};
    kb_buf_printf(out, "%s (%s), for", kernel->path, kernel->from);
    for (size_t i = 0; i < kernel->ops.count; i++)
        kb_buf_printf(out, " %s", kernel->ops.items[i]);
    kb_buf_putc(out, '\n');
    for (int i = 0; i < kernel->n_variants; i++) {
        const struct kb_variant *v = &kernel->variants[i];
        kb_buf_printf(&text, "  %s", v->name);
        cell_of(&sheet, &text);
        add_list(&v->dtypes, "all dtypes", &text);
        kb_buf_puts(&text, v->backends.count ? ", " : "");
        add_list(&v->backends, "", &text);
        cell_of(&sheet, &text);
        cell(&sheet, v->why ? v->why : "");
        if (v->when) { /* on a line of its own: neither is short */
            cell(&sheet, "");
            cell(&sheet, "");
            kb_buf_printf(&text, "when %s", v->when);
            cell_of(&sheet, &text);
        }
    }
    sheet_print(&sheet, out);
    kb_buf_free(&text);
}

/* Each kernel file once: ops of one family share it. */
static bool list_variants(const struct kb_options *options, struct kb_buf *out,
                          struct kb_complaints *c) {
    struct kb_arena arena = {0};
    struct kb_strings seen = {0};
    check_ops(&options->query.ops, c);
    if (options->kernel) {
        struct kb_kernel *kernel = kb_arena_alloc(&arena, sizeof *kernel);
        if (kb_kernel_load(options->kernel, &arena, kernel, c))
            list_kernel(kernel, out);
    }
    for (int i = 0; !options->kernel && i < kb_op_count; i++) {
        const struct kb_op *op = kb_ops[i];
        if (kb_strings_has(&seen, op->family) || !is_asked(&options->query.ops, op))
            continue;
        kb_strings_add(&seen, &arena, op->family);
        const struct kb_kernel *kernel = kernel_of(op, &arena, c);
        if (kernel)
            list_kernel(kernel, out);
    }
    kb_arena_free(&arena);
    return !c->count;
}

/* ---- devices ---------------------------------------------------------------------------
 */

void kb_list_device(const struct kb_device_info *device, struct kb_buf *out) {
    struct kb_buf text = {0};
    struct kb_ceilings ceilings;
    kb_buf_printf(&text, "device %s", device->id);
    kb_buf_printf(out, "%-*s", LABEL, kb_buf_text(&text));
    kb_buf_free(&text);
    if (kb_streq(device->backend, "host")) {
        kb_buf_printf(out, "%d cores, %s\n", device->cores, device->compiler);
        return;
    }
    kb_buf_printf(out, "%s sm_%lld, %lld SMs, %.0f of %.0f GB free", device->name,
                  (long long)device->limits.sm, (long long)device->limits.sm_count,
                  (double)device->free_bytes / 1e9, (double)device->memory_bytes / 1e9);
    if (*device->driver)
        kb_buf_printf(out, ", driver %s", device->driver);
    if (*device->nvrtc)
        kb_buf_printf(out, ", NVRTC %s", device->nvrtc);
    kb_buf_putc(out, '\n');
    if (!kb_ceilings_find(device, &ceilings))
        return;
    kb_buf_printf(out, "%-*s", LABEL, "");
    kb_ceilings_words(&ceilings, out);
    kb_buf_putc(out, '\n');
}

static void list_devices(bool with_gaps, struct kb_buf *out) {
    const struct kb_backend *const backends[] = {&kb_cuda, &kb_host};
    struct kb_arena arena = {0};
    struct kb_device_info *found = kb_arena_array(&arena, MAX_PROBED, sizeof *found);
    struct kb_buf gaps = {0};
    struct kb_strings lines = {0};
    for (size_t b = 0; b < KB_COUNT(backends); b++) {
        int n = backends[b]->probe(found, MAX_PROBED, &gaps);
        for (int i = 0; i < n; i++)
            kb_list_device(&found[i], out);
        if (n == 0 && !with_gaps)
            kb_buf_printf(out, "device %-*snone: kbench list devices says why\n", LABEL - 7,
                          backends[b]->name);
    }
    if (with_gaps && gaps.len)
        kb_split(&arena, kb_buf_text(&gaps), '\n', &lines);
    for (size_t i = 0; i < lines.count; i++)
        if (*lines.items[i])
            kb_buf_printf(out, "%-*s%s\n", LABEL, "missing", lines.items[i]);
    kb_buf_free(&gaps);
    kb_arena_free(&arena);
}

/* ---- cases and builds ------------------------------------------------------------------
 */

int kb_list_cases(struct kb_suite *suite, struct kb_terminal *terminal, int format) {
    struct kb_arena arena = {0};
    struct kb_buf text = {0};
    struct kb_case one;
    int width = kb_suite_id_width(suite);
    while (!terminal->failed && kb_suite_next(suite, &arena, &one)) {
        if (format == KB_FORMAT_JSONL) {
            kb_case_line(&one, &text);
        } else if (terminal->look.verbose) {
            kb_buf_printf(&text, "%-*s  %s  %s%s", width, one.id, one.tags, one.origin,
                          one.why ? "  " : "");
            kb_escape(&text, one.why ? one.why : "", one.why ? strlen(one.why) : 0);
            kb_buf_putc(&text, '\n');
        } else {
            kb_buf_printf(&text, "%s\n", one.id);
        }
        if (text.len > (64 << 10))
            kb_terminal_print(terminal, &text);
        kb_arena_reset(&arena);
    }
    kb_terminal_print(terminal, &text);
    kb_buf_free(&text);
    kb_arena_free(&arena);
    return terminal->failed ? kb_exit(7, "%s", terminal->err.msg) : 0;
}

static bool is_empty(const struct kb_query *q) {
    return !q->files.count && !q->ids.count && !q->ops.count && !q->shapes.count &&
           !q->dtypes.count && !q->fills.count && !q->tags.count && !q->match.count &&
           !q->set.count;
}

/* The cases that the query selects; without one, or by op alone, of kbench's own files. */
static int list_cases(const struct kb_options *options, struct kb_complaints *c) {
    struct kb_query query = options->query;
    struct kb_arena arena = {0};
    struct kb_suite *suite = NULL;
    struct kb_terminal terminal;
    for (size_t i = 1; i < options->words.count; i++)
        kb_strings_add(&query.files, &arena, options->words.items[i]);
    if (is_empty(&query) || (!query.files.count && !query.ids.count && !query.shapes.count))
        kb_strings_add(&query.match, &arena, "*");
    kb_terminal_open(options, &terminal);
    int status = kb_suite_open(&suite, &query, c)
                     ? kb_list_cases(suite, &terminal, options->format)
                     : kb_exit_complaints(c);
    kb_suite_free(suite);
    kb_arena_free(&arena);
    return status;
}

static void list_builds(struct kb_buf *out) {
    struct kb_arena arena = {0};
    struct sheet sheet = {.n_columns = 2};
    for (int i = 0; kb_build_names[i]; i++) {
        struct kb_build build;
        struct kb_err err = {0};
        struct kb_buf flags = {0};
        if (!kb_build_parse(kb_build_names[i], true, &arena, &build, &err))
            continue;
        kb_build_resolve(&build, 90, &arena);
        add_list(&build.flags, "", &flags);
        if (build.from_nvcc)
            kb_buf_puts(&flags, "  (compiled ahead of time by nvcc)");
        if (i == 0)
            kb_buf_puts(&flags, "  (default)");
        cell(&sheet, kb_build_names[i]);
        cell_of(&sheet, &flags);
        kb_buf_free(&flags);
    }
    cell(&sheet, "NAME=FLAGS");
    cell(&sheet, "any other; flags are separated by blanks");
    sheet_print(&sheet, out);
    kb_arena_free(&arena);
}

static void build_line(struct kb_buf *out) {
    kb_buf_printf(out, "%-*s", LABEL, "builds");
    for (int i = 0; kb_build_names[i]; i++)
        kb_buf_printf(out, "%s%s  ", kb_build_names[i], i ? "" : " (default)");
    kb_buf_puts(out, "NAME=FLAGS\n");
}

/* ---- the command -----------------------------------------------------------------------
 */

static const char *const topics[] = {
#define X(word, help) word,
    KB_LISTS(X)
#undef X
};

static bool list_topic(const struct kb_options *options, const char *topic,
                       struct kb_buf *out, struct kb_complaints *c) {
    struct counts counts = {0};
    bool ok = true;
    if (kb_streq(topic, "ops"))
        ok = list_ops(&options->query.ops, &counts, out, c);
    else if (kb_streq(topic, "variants"))
        ok = list_variants(options, out, c);
    else if (kb_streq(topic, "devices"))
        list_devices(true, out);
    else if (kb_streq(topic, "builds"))
        list_builds(out);
    else { /* all in short */
        ok = list_ops(&options->query.ops, &counts, out, c);
        kb_buf_putc(out, '\n');
        list_devices(false, out);
        build_line(out);
        list_tags(&counts, out);
        kb_buf_puts(out, "kbench help OP: formula, tensors, limits | kbench list "
                         "ops|variants|cases|devices|builds\n");
    }
    kb_arena_free(&counts.arena);
    return ok;
}

int kb_command_list(const struct kb_options *options, struct kb_complaints *c) {
    const char *topic = options->words.count ? options->words.items[0] : "";
    struct kb_buf text = {0};
    bool known = !*topic;
    for (size_t i = 0; i < KB_COUNT(topics); i++)
        known |= kb_streq(topics[i], topic);
    if (!known) {
        kb_unknown(&text, "list", topic, topics, KB_COUNT(topics));
        kb_complain(c, "kbench", 0, 0, NULL, "%s", kb_buf_text(&text));
    } else if (options->words.count > 1 && !kb_streq(topic, "cases")) {
        kb_complain(c, "kbench", 0, 0, NULL, "list %s takes no more words, got \"%s\"",
                    topic, options->words.items[1]);
    }
    if (!c->count && kb_streq(topic, "cases")) {
        kb_buf_free(&text);
        return list_cases(options, c);
    }
    int status = !c->count && list_topic(options, topic, &text, c) ? kb_print_all(&text)
                                                                   : kb_exit_complaints(c);
    kb_buf_free(&text);
    return status;
}
