/* offers.c - the words that completions offer for the values of options. */
#include "cli/table.h"

static void add(const char *word, struct kb_arena *arena, struct kb_strings *out) {
    if (!kb_strings_has(out, word))
        kb_strings_add(out, arena, word);
}

/* "a,b,c" */
static void add_list(const char *list, const char *before, struct kb_arena *arena,
                     struct kb_strings *out) {
    struct kb_strings parts = {0};
    kb_split(arena, list, ',', &parts);
    for (size_t i = 0; i < parts.count; i++)
        if (*parts.items[i])
            add(kb_arena_printf(arena, "%s%s", before, parts.items[i]), arena, out);
}

void kb_offer_ops(struct kb_arena *arena, struct kb_strings *out) {
    for (int i = 0; i < kb_op_count; i++)
        add(kb_ops[i]->name, arena, out);
}

/* Those that an op has; others are of no use here. */
void kb_offer_dtypes(struct kb_arena *arena, struct kb_strings *out) {
    for (int i = 0; i < kb_op_count; i++)
        for (int d = 0; d < kb_ops[i]->n_dtypes; d++)
            add(kb_dtype_name(kb_ops[i]->dtypes[d]), arena, out);
}

/* A parameter of words with each of them, others up to their value. */
void kb_offer_set(struct kb_arena *arena, struct kb_strings *out) {
    for (int i = 0; i < kb_op_count; i++) {
        for (int p = 0; p < kb_ops[i]->n_params; p++) {
            const struct kb_param *param = &kb_ops[i]->params[p];
            const char *key = kb_arena_printf(arena, "%s=", param->name);
            if (param->kind == KB_PARAM_WORD)
                add_list(param->words, key, arena, out);
            else
                add(key, arena, out);
        }
    }
}

void kb_offer_fills(struct kb_arena *arena, struct kb_strings *out) {
    add("all", arena, out);
    for (int i = 0; i < KB_FILL_COUNT; i++)
        add(kb_fill_word((enum kb_fill)i), arena, out);
}

/* Of kbench's own cases; what is wrong with those is for kbench list to say. */
void kb_offer_tags(struct kb_arena *arena, struct kb_strings *out) {
    struct kb_query query = {0};
    struct kb_complaints c = {0};
    struct kb_suite *suite = NULL;
    struct kb_arena one_arena = {0};
    struct kb_case one;
    const char *last = "";
    kb_strings_add(&query.match, arena, "*");
    query.by_tag_too = true;
    if (kb_suite_open(&suite, &query, &c)) {
        while (kb_suite_next(suite, &one_arena, &one)) {
            if (!kb_streq(one.tags, last)) { /* cases of a group stand together */
                last = kb_arena_strdup(arena, one.tags);
                add_list(last, "", arena, out);
            }
            kb_arena_reset(&one_arena);
        }
    }
    kb_suite_free(suite);
    kb_arena_free(&one_arena);
    kb_complaints_free(&c);
}

void kb_offer_seeds(struct kb_arena *arena, struct kb_strings *out) {
    add("random", arena, out);
}

/* GPUs are not asked for: a driver takes too long to start. */
void kb_offer_devices(struct kb_arena *arena, struct kb_strings *out) {
    add_list("all,host,0", "", arena, out);
}

void kb_offer_builds(struct kb_arena *arena, struct kb_strings *out) {
    for (int i = 0; kb_build_names[i]; i++)
        add(kb_build_names[i], arena, out);
}

/* A macro up to its values, of kernels that have one. */
void kb_offer_defines(struct kb_arena *arena, struct kb_strings *out) {
    for (int i = 0; i < kb_op_count; i++) {
        struct kb_kernel *kernel = kb_arena_alloc(arena, sizeof *kernel);
        struct kb_complaints c = {0};
        struct kb_strings macros = {0};
        if (kb_kernel_builtin(kb_ops[i], arena, kernel, &c))
            kb_kernel_macros(kernel, arena, &macros);
        for (size_t m = 0; m < macros.count; m++)
            add(kb_arena_printf(arena, "%s=", macros.items[m]), arena, out);
        kb_complaints_free(&c);
    }
}

void kb_offer_variants(struct kb_arena *arena, struct kb_strings *out) {
    add("all", arena, out);
    for (int i = 0; i < kb_op_count; i++) {
        struct kb_kernel *kernel = kb_arena_alloc(arena, sizeof *kernel);
        struct kb_complaints c = {0};
        bool same = i && kb_streq(kb_ops[i]->family, kb_ops[i - 1]->family);
        if (!same && kb_kernel_builtin(kb_ops[i], arena, kernel, &c))
            for (int v = 0; v < kernel->n_variants; v++)
                add(kernel->variants[v].name, arena, out);
        kb_complaints_free(&c);
    }
}

void kb_offer_modes(struct kb_arena *arena, struct kb_strings *out) {
#define X(id, word) add(word, arena, out);
    KB_MODES(X)
#undef X
}

void kb_offer_tolerances(struct kb_arena *arena, struct kb_strings *out) {
    add_list("bound,peer", "", arena, out);
}

void kb_offer_methods(struct kb_arena *arena, struct kb_strings *out) {
#define X(id, word, help) add(word, arena, out);
    KB_METHODS(X)
#undef X
}

void kb_offer_columns(struct kb_arena *arena, struct kb_strings *out) {
    kb_column_words(false, arena, out);
}

void kb_offer_sort_keys(struct kb_arena *arena, struct kb_strings *out) {
    kb_column_words(true, arena, out);
}

void kb_offer_formats(struct kb_arena *arena, struct kb_strings *out) {
    add("table", arena, out);
#define X(id, word, help, writer) add(word, arena, out);
    KB_FORMATS(X)
#undef X
}
