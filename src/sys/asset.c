/* asset.c - the tool's own kernels and cases: on disk in a checkout, else in the
 * executable. */
#include "sys.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Written by tools/embed.sh into build/gen/assets.c; the bytes are followed by a NUL. */
struct kb_embedded {
    const char *path;
    const char *begin, *end;
};
extern const struct kb_embedded kb_embedded_files[];
extern const size_t kb_embedded_count;

/* What the Makefile embeds; the same is listed from disk. */
static const struct {
    const char *folder, *suffix;
} kinds[] = {
    {"kernels", ".cu"},      {"kernels", ".cuh"}, {"kernels/host", ".h"},
    {"kernels/host", ".cc"}, {"cases", ".json"},
};

/* Files that were asked for, kept to the end of the process: a run sees one version of a
 * file however often it asks and whoever edits it. */
struct loaded {
    struct loaded *next;
    struct kb_asset asset;
};
static pthread_mutex_t loaded_lock = PTHREAD_MUTEX_INITIALIZER;
static struct loaded *loaded;

static bool in_exe_folder(const char *path, char out[PATH_MAX]) {
    int n = snprintf(out, PATH_MAX, "%s/%s", kb_exe_folder(), path);
    return n > 0 && n < PATH_MAX;
}

/* A folder named kernels beside an installed kbench may be anybody's. */
static bool is_checkout(void) {
    char path[PATH_MAX];
    if (!in_exe_folder("kernels", path) || !kb_is_folder(path))
        return false;
    return (in_exe_folder("kernels/kb.cuh", path) && kb_is_file(path)) ||
           (in_exe_folder("Makefile", path) && kb_is_file(path));
}

/* kernels/... or cases/..., and no way out of there. */
static bool is_asset_path(const char *path) {
    if (!kb_starts_with(path, "kernels/") && !kb_starts_with(path, "cases/"))
        return false;
    for (const char *p = path; (p = strstr(p, "..")) != NULL; p++)
        if (p[-1] == '/' && (p[2] == '/' || !p[2]))
            return false;
    return true;
}

static char *copy_text(const char *text, size_t size) {
    char *copy = malloc(size + 1);
    if (!copy)
        kb_out_of_memory();
    memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

/* A file that is there but cannot be read is missing, not replaced by the embedded one. */
static bool from_disk(const char *path, struct kb_asset *out, bool *there) {
    char full[PATH_MAX];
    struct kb_err err = {0};
    struct kb_buf buf = {0};
    *there = is_checkout() && in_exe_folder(path, full) && kb_is_file(full);
    if (!*there)
        return false;
    bool ok = kb_file_read(full, KB_FILE_MAX, &buf, &err);
    if (ok)
        *out = (struct kb_asset){
            .text = copy_text(kb_buf_text(&buf), buf.len),
            .size = buf.len,
            .from = "disk",
        };
    kb_buf_free(&buf);
    return ok;
}

static bool from_executable(const char *path, struct kb_asset *out) {
    for (size_t i = 0; i < kb_embedded_count; i++) {
        const struct kb_embedded *file = &kb_embedded_files[i];
        if (!kb_streq(file->path, path))
            continue;
        *out = (struct kb_asset){
            .text = file->begin,
            .size = (size_t)(file->end - file->begin),
            .from = "embedded",
        };
        return true;
    }
    return false;
}

static const struct kb_asset *find_locked(const char *path) {
    for (const struct loaded *item = loaded; item; item = item->next)
        if (kb_streq(item->asset.path, path))
            return &item->asset;
    struct kb_asset asset;
    bool there;
    if (!from_disk(path, &asset, &there) && (there || !from_executable(path, &asset)))
        return NULL;
    struct loaded *item = malloc(sizeof *item);
    if (!item)
        kb_out_of_memory();
    asset.path = copy_text(path, strlen(path));
    *item = (struct loaded){.next = loaded, .asset = asset};
    loaded = item;
    return &item->asset; // cppcheck-suppress memleak ; kept for the life of the process
}

const struct kb_asset *kb_asset_find(const char *path) {
    if (!is_asset_path(path))
        return NULL;
    pthread_mutex_lock(&loaded_lock);
    const struct kb_asset *asset = find_locked(path);
    pthread_mutex_unlock(&loaded_lock);
    return asset;
}

static void list_disk(const char *prefix, struct kb_arena *arena, struct kb_strings *out) {
    for (size_t k = 0; k < KB_COUNT(kinds); k++) {
        char folder[PATH_MAX];
        struct kb_strings names = {0};
        struct kb_err absent = {
            0}; /* a checkout without one of the folders lists nothing */
        if (!in_exe_folder(kinds[k].folder, folder) ||
            !kb_folder_list(folder, kinds[k].suffix, arena, &names, &absent))
            continue;
        for (size_t i = 0; i < names.count; i++) {
            const char *path =
                kb_arena_printf(arena, "%s/%s", kinds[k].folder, names.items[i]);
            if (kb_starts_with(path, prefix))
                kb_strings_add(out, arena, path);
        }
    }
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void kb_asset_list(const char *prefix, struct kb_arena *arena, struct kb_strings *out) {
    size_t first = out->count;
    if (is_checkout())
        list_disk(prefix, arena, out);
    for (size_t i = 0; i < kb_embedded_count; i++) {
        const char *path = kb_embedded_files[i].path;
        if (kb_starts_with(path, prefix) && !kb_strings_has(out, path))
            kb_strings_add(out, arena, path);
    }
    if (out->count > first)
        qsort(out->items + first, out->count - first, sizeof *out->items, by_text);
}
