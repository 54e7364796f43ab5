/* takes.c - options whose values have rules of their own. */
#include "cli/table.h"

#include <string.h>

bool kb_take_seed(const char *value, struct kb_arena *arena, struct kb_options *out,
                  struct kb_buf *what) {
    (void)arena;
    if (kb_streq(value, "random")) {
        out->seed = kb_random_u64() >> 32; /* short enough to be typed again */
        return true;
    }
    if (kb_parse_u64(value, &out->seed))
        return true;
    kb_buf_printf(what, "\"%.64s\" is no seed, wanted a whole number or random", value);
    return false;
}

static void know(const char *const *words, size_t n, const char *kind, const char *value,
                 struct kb_buf *what) {
    if (!kb_is_later(value)) {
        kb_unknown(what, kind, value, words, n);
        return;
    }
    kb_buf_printf(what, "%s \"%s\" is not in this version; there are", kind, value);
    for (size_t i = 0; i < n; i++)
        kb_buf_printf(what, "%s %s", i ? "," : "", words[i]);
}

bool kb_take_mode(const char *value, struct kb_arena *arena, struct kb_options *out,
                  struct kb_buf *what) {
    static const char *const words[] = {
#define X(id, word) word,
        KB_MODES(X)
#undef X
    };
    enum kb_mode mode;
    (void)arena;
    if (!kb_mode_parse(value, &mode)) {
        know(words, KB_COUNT(words), "mode", value, what);
        return false;
    }
    out->mode = (int)mode;
    return true;
}

static void add_method(struct kb_options *out, enum kb_method method) {
    for (int i = 0; i < out->n_methods; i++)
        if (out->methods[i] == method)
            return;
    out->methods[out->n_methods++] = method;
}

bool kb_take_methods(const char *value, struct kb_arena *arena, struct kb_options *out,
                     struct kb_buf *what) {
    static const char *const words[] = {
#define X(id, word, help) word,
        KB_METHODS(X)
#undef X
    };
    struct kb_strings list = {0};
    enum kb_method method;
    kb_split(arena, value, ',', &list);
    for (size_t i = 0; i < list.count; i++) {
        if (!kb_method_parse(list.items[i], &method)) {
            know(words, KB_COUNT(words), "method", list.items[i], what);
            return false;
        }
        add_method(out, method);
    }
    return true;
}

/* The last is no file's. */
static void know_formats(const char *kind, const char *value, struct kb_buf *what) {
    static const char *const words[] = {
#define X(id, word, help, writer) word,
        KB_FORMATS(X)
#undef X
            "table",
    };
    know(words, KB_COUNT(words) - kb_streq(kind, "extension"), kind, value, what);
}

bool kb_take_format(const char *value, struct kb_arena *arena, struct kb_options *out,
                    struct kb_buf *what) {
    enum kb_format format = KB_FORMAT_TABLE;
    (void)arena;
    if (!kb_streq(value, "table") && !kb_format_parse(value, &format)) {
        know_formats("format", value, what);
        return false;
    }
    out->format = (int)format;
    return true;
}

static void know_columns(const char *value, bool to_sort, struct kb_arena *arena,
                         struct kb_buf *what) {
    struct kb_strings words = {0};
    kb_column_words(to_sort, arena, &words);
    know(words.items, words.count, "column", value, what);
}

bool kb_take_columns(const char *value, struct kb_arena *arena, struct kb_options *out,
                     struct kb_buf *what) {
    struct kb_strings list = {0};
    struct kb_column_choice choice;
    kb_split(arena, value, ',', &list);
    for (size_t i = 0; i < list.count; i++) {
        bool twice = false;
        if (!kb_column_parse(list.items[i], false, &choice)) {
            know_columns(list.items[i], false, arena, what);
            return false;
        }
        for (int k = 0; k < out->n_columns; k++)
            twice |= out->columns[k].kind == choice.kind &&
                     out->columns[k].method == choice.method;
        if (!twice)
            out->columns[out->n_columns++] = choice;
    }
    return true;
}

bool kb_take_sort(const char *value, struct kb_arena *arena, struct kb_options *out,
                  struct kb_buf *what) {
    out->sorted = kb_column_parse(value, true, &out->sort);
    if (!out->sorted)
        know_columns(value, true, arena, what);
    return out->sorted;
}

bool kb_take_output(const char *value, struct kb_arena *arena, struct kb_options *out,
                    struct kb_buf *what) {
    const char *slash = strrchr(value, '/'), *dot = strrchr(slash ? slash : value, '.');
    enum kb_format format;
    if (kb_strings_has(&out->outputs, value)) {
        kb_buf_printf(what, "%.256s is given twice", value);
        return false;
    }
    if (kb_format_of_file(value, &format)) {
        kb_strings_add(&out->outputs, arena, value);
        return true;
    }
    kb_buf_printf(what, "%.256s: ", value);
    if (dot && dot[1] && dot != value)
        know_formats("extension", dot + 1, what);
    else
        kb_buf_puts(what,
                    "has no extension, wanted .json, .jsonl, .csv, .md, .xml or .html");
    return false;
}

/* FILE.cu or FILE.cu:VARIANT; a colon in the name of a file that is there is its own. */
bool kb_take_kernel(const char *value, struct kb_arena *arena, struct kb_options *out,
                    struct kb_buf *what) {
    const char *colon = strrchr(value, ':');
    if (!*value) {
        kb_buf_puts(what, "wants a kernel file, got nothing");
        return false;
    }
    if (!colon || kb_is_file(value) || strchr(colon, '/')) {
        out->kernel = value;
        return true;
    }
    if (colon == value || !colon[1]) {
        kb_buf_printf(what, "\"%.256s\" wants FILE.cu:VARIANT", value);
        return false;
    }
    out->kernel = kb_arena_strndup(arena, value, (size_t)(colon - value));
    if (!kb_strings_has(&out->variants, colon + 1))
        kb_strings_add(&out->variants, arena, kb_arena_strdup(arena, colon + 1));
    return true;
}

bool kb_take_devices(const char *value, struct kb_arena *arena, struct kb_options *out,
                     struct kb_buf *what) {
    struct kb_strings list = {0};
    int64_t ordinal;
    kb_split(arena, value, ',', &list);
    for (size_t i = 0; i < list.count; i++) {
        const char *item = list.items[i];
        bool is_word = kb_streq(item, "all") || kb_streq(item, "host");
        if (!is_word && (!kb_parse_i64(item, &ordinal) || ordinal < 0 || ordinal > 999)) {
            kb_buf_printf(
                what, "\"%.64s\" is no device, wanted a GPU's number, all or host", item);
            return false;
        }
        if (!kb_strings_has(&out->devices, item))
            kb_strings_add(&out->devices, arena, item);
    }
    if (out->devices.count > KB_MAX_DEVICES) {
        kb_buf_printf(what, "%zu devices, at most %d are taken", out->devices.count,
                      KB_MAX_DEVICES);
        return false;
    }
    return true;
}

/* -Xptxas, -Xcompiler, -Wl and --ptxas-options hand a list of other flags on. */
static bool hands_on(const char *flag) {
    static const char *const starts[] = {"-X", "-Wa,", "-Wl,", "-Wp,"};
    for (size_t i = 0; i < KB_COUNT(starts); i++)
        if (kb_starts_with(flag, starts[i]))
            return true;
    return kb_starts_with(flag, "--") && strstr(flag, "-options");
}

/* Does what stands behind a comma belong to the last flag of NAME=FLAGS? A flag does where
 * that one, or "-Xptxas -v" by its first word, hands flags on; a number where it has a
 * list, --diag-suppress=177,550. */
static bool goes_on(const char *build, const char *part, struct kb_arena *arena) {
    struct kb_strings flags = {0};
    size_t label = kb_build_label(build);
    if (!build[label])
        return false;
    kb_split(arena, build + label + 1, ' ', &flags);
    const char *last = flags.items[flags.count - 1];
    const char *before = flags.count > 1 ? flags.items[flags.count - 2] : "";
    if (*part == '-')
        return hands_on(last) || (hands_on(before) && !strchr(before, '='));
    return *part && !part[strspn(part, "0123456789")] && strchr(last, '=');
}

static void complain_of_flag(const char *before, const char *flag, struct kb_buf *what) {
    if (before[kb_build_label(before)])
        kb_buf_printf(what,
                      "\"%.64s\" behind a comma is no build; blanks separate the flags of "
                      "one: --build '%.128s %.64s'",
                      flag, before, flag);
    else
        kb_buf_printf(what, "\"%.64s\" is a flag; a build has a name: --build 'mine=%.64s'",
                      flag, flag);
}

/* Names and NAME=FLAGS by comma. */
static bool split_builds(const char *value, struct kb_arena *arena, struct kb_strings *list,
                         struct kb_buf *what) {
    struct kb_strings parts = {0};
    kb_split(arena, value, ',', &parts);
    for (size_t i = 0; i < parts.count; i++) {
        const char *part = parts.items[i];
        const char *before = list->count ? list->items[list->count - 1] : "";
        if (goes_on(before, part, arena)) {
            list->items[list->count - 1] = kb_arena_printf(arena, "%s,%s", before, part);
        } else if (*part == '-') {
            complain_of_flag(before, part, what);
            return false;
        } else {
            kb_strings_add(list, arena, part);
        }
    }
    return true;
}

bool kb_take_builds(const char *value, struct kb_arena *arena, struct kb_options *out,
                    struct kb_buf *what) {
    struct kb_strings list = {0};
    if (!split_builds(value, arena, &list, what))
        return false;
    for (size_t i = 0; i < list.count; i++)
        if (!kb_strings_has(&out->builds, list.items[i]))
            kb_strings_add(&out->builds, arena, list.items[i]);
    if (out->builds.count > KB_MAX_BUILDS) {
        kb_buf_printf(what, "%zu builds, at most %d are taken", out->builds.count,
                      KB_MAX_BUILDS);
        return false;
    }
    return true;
}

/* Each value must do in a build's name, where it stands behind the macro's. */
static bool are_values(const char *macro, const struct kb_strings *values,
                       struct kb_arena *arena, struct kb_buf *what) {
    for (size_t i = 0; i < values->count; i++) {
        const char *define = kb_arena_printf(arena, "%s=%s", macro, values->items[i]);
        if (kb_build_is_define(define))
            continue;
        kb_buf_printf(what, "\"%.64s\" is no MACRO=VALUE: letters, digits, _ . and -",
                      define);
        return false;
    }
    return true;
}

bool kb_take_defines(const char *value, struct kb_arena *arena, struct kb_options *out,
                     struct kb_buf *what) {
    size_t len = strcspn(value, "=");
    const char *macro = kb_arena_strndup(arena, value, len);
    struct kb_strings values = {0};
    if (!value[len]) {
        kb_buf_printf(what, "\"%.64s\" has no values, wanted MACRO=A,B,...", value);
        return false;
    }
    for (size_t i = 0; i < out->defines.count; i++)
        if (!strncmp(out->defines.items[i], value, len + 1)) {
            kb_buf_printf(what, "%.64s is given twice: its values go into one list", macro);
            return false;
        }
    kb_split(arena, value + len + 1, ',', &values);
    if (!are_values(macro, &values, arena, what))
        return false;
    kb_strings_add(&out->defines, arena, value);
    return true;
}

static const char *const sanitizers[] = {"address", "undefined", "thread"};

void kb_offer_sanitizers(struct kb_arena *arena, struct kb_strings *out) {
    for (size_t i = 0; i < KB_COUNT(sanitizers); i++)
        kb_strings_add(out, arena, sanitizers[i]);
}

bool kb_take_sanitize(const char *value, struct kb_arena *arena, struct kb_options *out,
                      struct kb_buf *what) {
    struct kb_strings list = {0};
    kb_split(arena, value, ',', &list);
    for (size_t i = 0; i < list.count; i++) {
        bool known = false;
        for (size_t k = 0; k < KB_COUNT(sanitizers); k++)
            known |= kb_streq(sanitizers[k], list.items[i]);
        if (!known) {
            kb_unknown(what, "sanitizer", list.items[i], sanitizers, KB_COUNT(sanitizers));
            return false;
        }
    }
    if (kb_strings_has(&list, "thread") && list.count > 1) {
        kb_buf_puts(what, "thread stands alone: compilers do not mix it with others");
        return false;
    }
    out->sanitize = value;
    return true;
}

bool kb_take_slowdown(const char *value, struct kb_arena *arena, struct kb_options *out,
                      struct kb_buf *what) {
    (void)arena;
    return kb_parse_slowdown(value, &out->limits.slowdown, what);
}

bool kb_take_duty(const char *value, struct kb_arena *arena, struct kb_options *out,
                  struct kb_buf *what) {
    (void)arena;
    return kb_parse_duty(value, &out->duty, what);
}

bool kb_take_growth(const char *value, struct kb_arena *arena, struct kb_options *out,
                    struct kb_buf *what) {
    (void)arena;
    return kb_parse_growth(value, &out->limits.error_growth, what);
}

/* By the values of enum kb_pivot, of which the first is none. */
static const char *const pivots[] = {"build", "variant", "device"};

void kb_offer_pivots(struct kb_arena *arena, struct kb_strings *out) {
    for (size_t i = 0; i < KB_COUNT(pivots); i++)
        kb_strings_add(out, arena, pivots[i]);
}

bool kb_take_by(const char *value, struct kb_arena *arena, struct kb_options *out,
                struct kb_buf *what) {
    (void)arena;
    for (size_t i = 0; i < KB_COUNT(pivots); i++) {
        if (!kb_streq(pivots[i], value))
            continue;
        out->by = (enum kb_pivot)(i + 1);
        return true;
    }
    kb_unknown(what, "value", value, pivots, KB_COUNT(pivots));
    return false;
}
