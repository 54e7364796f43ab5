/* define.c - the macros of a contract, and a kernel with the values that a build gives
 * them. */
#include "kernel/parts.h"

#include <stdio.h>
#include <string.h>

/* Is `define`, "NAME=VALUE", of this name? */
static bool is_of(const char *define, const char *name, size_t len) {
    return !strncmp(define, name, len) && define[len] == '=';
}

static bool has_macro(const struct kb_variant *v, const char *name, size_t len) {
    for (size_t i = 0; i < v->defines.count; i++)
        if (is_of(v->defines.items[i], name, len))
            return true;
    return false;
}

void kb_kernel_macros(const struct kb_kernel *kernel, struct kb_arena *arena,
                      struct kb_strings *out) {
    for (int v = 0; v < kernel->n_variants; v++) {
        const struct kb_strings *defines = &kernel->variants[v].defines;
        for (size_t i = 0; i < defines->count; i++) {
            const char *define = defines->items[i];
            const char *name = kb_arena_strndup(arena, define, strcspn(define, "="));
            if (!kb_strings_has(out, name))
                kb_strings_add(out, arena, name);
        }
    }
}

/* ---- which of them the code can see ----------------------------------------------------
 * Those that entries alone use are replaced there; without them dtypes and words that come
 * to the same entries come to the same code, which is compiled once. */

/* A file of kernels/ that others read, as it stands behind "include". */
static bool is_ours(const char *name) {
    char path[64];
    const char *end = *name == '"' ? strchr(name + 1, '"') : NULL;
    if (!end || end - name > 40)
        return false;
    snprintf(path, sizeof path, "kernels/%.*s", (int)(end - name - 1), name + 1);
    return kb_ends_with(path, ".cuh") && kb_asset_find(path);
}

/* Another file, or a name put together of two, may be any macro's. Our own and CUDA's know
 * none of them. */
static bool hides_names(const struct kb_kernel *kernel) {
    for (const char *at = strstr(kernel->text, "include"); at;
         at = strstr(at + 1, "include")) {
        const char *name = at + strlen("include");
        name += strspn(name, " \t");
        if (!kb_starts_with(name, "<cuda") && !is_ours(name))
            return true;
    }
    return strstr(kernel->text, "##") != NULL;
}

void kb_unused_macros(const struct kb_kernel *kernel, const struct kb_words *words,
                      const struct kb_sample *samples, int n_samples,
                      struct kb_arena *arena, struct kb_strings *out) {
    struct kb_strings names = {0};
    if (hides_names(kernel))
        return;
    kb_kernel_macros(kernel, arena, &names);
    for (int i = 0; i < n_samples; i++) {
        struct kb_strings pairs = {0};
        samples[i].c.op->macros(&samples[i].c, arena, &pairs);
        for (size_t k = 0; k < pairs.count; k += 2)
            if (!kb_strings_has(&names, pairs.items[k]))
                kb_strings_add(&names, arena, pairs.items[k]);
    }
    for (size_t i = 0; i < names.count; i++)
        if (!kb_words_has(words, names.items[i]))
            kb_strings_add(out, arena, names.items[i]);
}

/* ---- as a build sets them --------------------------------------------------------------
 */

/* The list is the variant's own from then on. */
static void set_macro(struct kb_variant *v, const char *name, size_t len, const char *value,
                      struct kb_arena *arena) {
    struct kb_strings before = v->defines;
    if (!has_macro(v, name, len)) {
        v->lacks = kb_arena_strndup(arena, name, len);
        return;
    }
    v->defines = (struct kb_strings){0};
    for (size_t i = 0; i < before.count; i++)
        kb_strings_add(&v->defines, arena,
                       is_of(before.items[i], name, len)
                           ? kb_arena_printf(arena, "%.*s=%s", (int)len, name, value)
                           : before.items[i]);
}

const struct kb_kernel *kb_kernel_with(const struct kb_kernel *kernel,
                                       const struct kb_build *build,
                                       struct kb_arena *arena) {
    struct kb_kernel *own = NULL;
    for (size_t i = 0; i < build->flags.count; i++) {
        const char *flag = build->flags.items[i];
        if (!kb_starts_with(flag, "-D"))
            continue;
        const char *name = flag + strlen("-D");
        size_t len = strcspn(name, "=");
        const char *value = name[len] ? name + len + 1 : "1";
        bool known = false;
        for (int v = 0; v < kernel->n_variants; v++)
            known = known || has_macro(&kernel->variants[v], name, len);
        if (!known) /* a macro of the source alone */
            continue;
        if (!own) {
            own = kb_arena_alloc(arena, sizeof *own);
            *own = *kernel;
            own->variants =
                kb_arena_array(arena, (size_t)own->n_variants, sizeof *own->variants);
            memcpy(own->variants, kernel->variants,
                   (size_t)own->n_variants * sizeof *own->variants);
            own->entries = kb_entries_make(arena);
        }
        for (int v = 0; v < own->n_variants; v++)
            set_macro(&own->variants[v], name, len, value, arena);
    }
    return own ? own : kernel;
}
