/* list.c - kbench list: variants, cases, devices and builds that there are, and all in
 * short. */
#include "cli/list.h"
#include "cli/page.h"
#include "cli/table.h"

#include <string.h>

enum { MAX_PROBED = 64 };

/* ---- variants --------------------------------------------------------------------------
 */

static void add_list(const struct kb_strings *list, const char *otherwise,
                     struct kb_buf *out) {
    for (size_t i = 0; i < list->count; i++)
        kb_buf_printf(out, "%s%s", i ? " " : "", list->items[i]);
    if (!list->count)
        kb_buf_puts(out, otherwise);
}

static void add_targets(const struct kb_variant *v, struct kb_buf *out) {
    add_list(&v->dtypes, "all dtypes", out);
    kb_buf_puts(out, v->backends.count ? ", " : "");
    add_list(&v->backends, "", out);
}

/* From `column` on: behind the `at` columns that the line has already, or below them. */
static void text_at(int column, int at, const char *text, int width, struct kb_buf *out) {
    struct kb_buf safe = {0};
    kb_escape(&safe, text, strlen(text));
    if (at > column) {
        kb_buf_putc(out, '\n');
        at = 0;
    }
    kb_buf_printf(out, "%*s", column - at, "");
    kb_wrap(kb_buf_text(&safe), column, column, width, out);
    kb_buf_putc(out, '\n');
    kb_buf_free(&safe);
}

/* What is good about it and when it takes a case, each in lines of its own. */
static void list_variant(const struct kb_variant *v, int name_width, int column, int width,
                         struct kb_buf *out) {
    struct kb_buf line = {0}, when = {0};
    kb_buf_printf(&line, "  %-*s  ", name_width, v->name);
    add_targets(v, &line);
    kb_buf_puts(out, kb_buf_text(&line));
    int at = kb_columns(kb_buf_text(&line));
    if (v->why)
        text_at(column, at, v->why, width, out);
    if (v->when) {
        kb_buf_printf(&when, "when %s", v->when);
        text_at(column, v->why ? 0 : at, kb_buf_text(&when), width, out);
    }
    if (!v->why && !v->when)
        kb_buf_putc(out, '\n');
    kb_buf_free(&when);
    kb_buf_free(&line);
}

static void list_kernel(const struct kb_kernel *kernel, struct kb_buf *out) {
    enum { ROOM = 40 }; /* for texts beside dtypes; where it is less they stand below */
    int width = kb_terminal_width(), name_width = 0, targets_width = 0;
    kb_buf_printf(out, "%s (%s), for", kernel->path, kernel->from);
    for (size_t i = 0; i < kernel->ops.count; i++)
        kb_buf_printf(out, " %s", kernel->ops.items[i]);
    kb_buf_putc(out, '\n');
    for (int i = 0; i < kernel->n_variants; i++) {
        struct kb_buf targets = {0};
        add_targets(&kernel->variants[i], &targets);
        int name = (int)strlen(kernel->variants[i].name), target = (int)targets.len;
        name_width = name > name_width ? name : name_width;
        targets_width = target > targets_width ? target : targets_width;
        kb_buf_free(&targets);
    }
    int below = 2 + name_width + 2, beside = below + targets_width + 2;
    bool narrow = width > 0 && width - beside < ROOM;
    for (int i = 0; i < kernel->n_variants; i++)
        list_variant(&kernel->variants[i], name_width, narrow ? below : beside, width, out);
}

/* Each kernel file once: ops of one family share it. */
static bool list_variants(const struct kb_options *options, struct kb_buf *out,
                          struct kb_complaints *c) {
    struct kb_arena arena = {0};
    struct kb_strings seen = {0};
    kb_list_check_ops(&options->query.ops, c);
    if (options->kernel) {
        struct kb_kernel *kernel = kb_arena_alloc(&arena, sizeof *kernel);
        if (kb_kernel_load(options->kernel, &arena, kernel, c))
            list_kernel(kernel, out);
    }
    for (int i = 0; !options->kernel && i < kb_op_count; i++) {
        const struct kb_op *op = kb_ops[i];
        if (kb_strings_has(&seen, op->family) || !kb_list_wants(&options->query.ops, op))
            continue;
        kb_strings_add(&seen, &arena, op->family);
        const struct kb_kernel *kernel = kb_list_kernel(op, &arena, c);
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
    kb_buf_printf(out, "%-*s", KB_LIST_LABEL, kb_buf_text(&text));
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
    kb_buf_printf(out, "%-*s", KB_LIST_LABEL, "");
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
            kb_buf_printf(out, "device %-*snone: kbench list devices says why\n",
                          KB_LIST_LABEL - 7, backends[b]->name);
    }
    if (with_gaps && gaps.len)
        kb_split(&arena, kb_buf_text(&gaps), '\n', &lines);
    for (size_t i = 0; i < lines.count; i++)
        if (*lines.items[i])
            kb_buf_printf(out, "%-*s%s\n", KB_LIST_LABEL, "missing", lines.items[i]);
    kb_buf_free(&gaps);
    kb_arena_free(&arena);
}

/* ---- cases and builds ------------------------------------------------------------------
 */

int kb_list_cases(struct kb_suite *suite, struct kb_terminal *terminal, int format) {
    struct kb_arena arena = {0};
    struct kb_buf text = {0};
    struct kb_case one;
    bool in_columns = format != KB_FORMAT_JSONL && terminal->look.verbose;
    int width = in_columns ? kb_suite_id_width(suite) : 0;
    while (!terminal->failed && kb_suite_next(suite, &arena, &one)) {
        if (format == KB_FORMAT_JSONL) {
            kb_case_line(&one, &text);
        } else if (in_columns) {
            kb_buf_printf(&text, "%-*s  %s  %s%s", width, one.id, one.tags, one.origin,
                          one.why ? "  " : "");
            kb_escape(&text, one.why ? one.why : "", one.why ? strlen(one.why) : 0);
            kb_buf_putc(&text, '\n');
        } else {
            kb_buf_puts(&text, one.id);
            kb_buf_putc(&text, '\n');
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
    struct kb_sheet sheet = {.n_columns = 2};
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
        kb_sheet_cell(&sheet, kb_build_names[i]);
        kb_sheet_cell_of(&sheet, &flags);
        kb_buf_free(&flags);
    }
    kb_sheet_cell(&sheet, "NAME=FLAGS");
    kb_sheet_cell(&sheet, "any other; flags are separated by blanks");
    kb_sheet_print(&sheet, out);
    kb_arena_free(&arena);
}

static void build_line(struct kb_buf *out) {
    kb_buf_printf(out, "%-*s", KB_LIST_LABEL, "builds");
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
    struct kb_counts counts = {0};
    bool ok = true;
    if (kb_streq(topic, "ops"))
        ok = kb_list_ops(options, &counts, out, c);
    else if (kb_streq(topic, "variants"))
        ok = list_variants(options, out, c);
    else if (kb_streq(topic, "devices"))
        list_devices(true, out);
    else if (kb_streq(topic, "builds"))
        list_builds(out);
    else { /* all in short */
        ok = kb_list_ops(options, &counts, out, c);
        kb_buf_putc(out, '\n');
        list_devices(false, out);
        build_line(out);
        kb_list_tags(&counts, kb_page_width_here(), out);
        kb_wrap_at("kbench help OP: formula, tensors, limits | kbench list "
                   "ops|variants|cases|devices|builds",
                   " | ", kb_page_width_here(), out);
        kb_buf_putc(out, '\n');
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
    struct kb_buf folded = {0};
    bool ok = !c->count && list_topic(options, topic, &text, c);
    kb_fold(kb_buf_text(&text), KB_LIST_LABEL, kb_terminal_width(), &folded);
    int status = ok ? kb_print_all(&folded) : kb_exit_complaints(c);
    kb_buf_free(&folded);
    kb_buf_free(&text);
    return status;
}
