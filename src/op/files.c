/* files.c - where case files come from: disk, folders, standard input, the executable. */
#include "op/group.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char folder[] = "cases/", suffix[] = ".json";

struct loader {
    struct kb_arena *arena;
    struct kb_groups *groups;
    struct kb_complaints *c;
    bool stdin_read;
};

/* Whatever was read, or why not; a message that starts with the name says it once. */
static void read_text(struct loader *l, const char *name, const struct kb_buf *text,
                      const struct kb_err *err) {
    const char *what = err->msg;
    if (!err->kind) {
        kb_casefile_read(name, kb_buf_text(text), text->len, l->groups, l->c);
        return;
    }
    if (kb_starts_with(what, name) && kb_starts_with(what + strlen(name), ": "))
        what += strlen(name) + 2;
    kb_complain(l->c, name, 0, 0, NULL, "%s", what);
}

static void load_file(struct loader *l, const char *path) {
    struct kb_buf text = {0};
    struct kb_err err = {0};
    kb_file_read(path, KB_FILE_MAX, &text, &err);
    read_text(l, path, &text, &err);
    kb_buf_free(&text);
}

static void load_stdin(struct loader *l) {
    enum { CHUNK = 64 << 10 };
    struct kb_buf text = {0};
    struct kb_err err = {0};
    ssize_t n = 1;
    if (l->stdin_read) {
        kb_complain(l->c, "kbench", 0, 0, NULL, "standard input (-) is given twice");
        return;
    }
    l->stdin_read = true;
    while (n && text.len <= KB_FILE_MAX && !err.kind) {
        n = read(STDIN_FILENO, kb_buf_reserve(&text, CHUNK), CHUNK);
        if (n > 0)
            text.data[text.len += (size_t)n] = '\0';
        else if (n < 0 && errno != EINTR)
            kb_fail(&err, KB_IO, "cannot read: %s", strerror(errno));
    }
    if (text.len > KB_FILE_MAX)
        kb_fail(&err, KB_INPUT, "has more than the %d bytes that are read", KB_FILE_MAX);
    read_text(l, "<stdin>", &text, &err);
    kb_buf_free(&text);
}

static void load_folder(struct loader *l, const char *path) {
    struct kb_strings names = {0};
    struct kb_err err = {0};
    const char *slash = kb_ends_with(path, "/") ? "" : "/";
    if (!kb_folder_list(path, suffix, l->arena, &names, &err)) {
        read_text(l, path, NULL, &err);
        return;
    }
    if (!names.count)
        kb_complain(l->c, path, 0, 0, NULL, "no case file (*%s) is in this folder", suffix);
    for (size_t i = 0; i < names.count; i++)
        load_file(l, kb_arena_printf(l->arena, "%s%s%s", path, slash, names.items[i]));
}

/* The tool's own files: "cases/activation.json", or all of "cases". False: no such. */
static bool load_own(struct loader *l, const char *path) {
    struct kb_strings paths = {0};
    while (kb_starts_with(path, "./"))
        path += 2;
    if (kb_streq(path, "cases") || kb_streq(path, folder))
        kb_asset_list(folder, l->arena, &paths);
    else if (kb_starts_with(path, folder))
        kb_strings_add(&paths, l->arena, path);
    bool found = false;
    for (size_t i = 0; i < paths.count; i++) {
        const struct kb_asset *asset =
            kb_ends_with(paths.items[i], suffix) ? kb_asset_find(paths.items[i]) : NULL;
        if (!asset)
            continue;
        found = true;
        kb_casefile_read(asset->path, asset->text, asset->size, l->groups, l->c);
    }
    return found;
}

void kb_casefiles_load(const struct kb_strings *files, struct kb_groups *groups,
                       struct kb_complaints *c) {
    struct loader l = {.arena = groups->arena, .groups = groups, .c = c};
    for (size_t i = 0; i < files->count; i++) {
        const char *path = files->items[i];
        if (kb_streq(path, "-"))
            load_stdin(&l);
        else if (kb_is_folder(path))
            load_folder(&l, path);
        else if (access(path, F_OK) == 0 || !load_own(&l, path))
            load_file(&l, path);
    }
}

void kb_casefiles_load_own(struct kb_groups *groups, struct kb_complaints *c) {
    struct loader l = {.arena = groups->arena, .groups = groups, .c = c};
    if (!load_own(&l, folder))
        kb_complain(c, "kbench", 0, 0, NULL, "this build holds no case files");
}
