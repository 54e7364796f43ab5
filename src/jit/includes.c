/* includes.c - what a kernel includes by quotes, and what those include.
 *
 * The texts go to the compilers in memory and into the cache's key. Conditions are not
 * evaluated: a header that only one architecture includes is collected too, which costs a
 * rebuild too many at worst. What is found nowhere is left for the compiler to find or to
 * complain of. */
#include "jit.h"

#include <string.h>

/* Where an item came from, for what it includes in turn. */
struct origin {
    const char *folder;
    bool asset;
};

/* Past blanks, comments and newlines that end a comment; `*fresh` turns true at a line's
 * start. */
static const char *skip_blank(const char *at, const char *end, bool *fresh) {
    while (at < end) {
        if (*at == '\n') {
            *fresh = true;
            at++;
        } else if (*at == ' ' || *at == '\t' || *at == '\r') {
            at++;
        } else if (end - at > 1 && at[0] == '/' && at[1] == '/') {
            const char *line = memchr(at, '\n', (size_t)(end - at));
            at = line ? line : end;
        } else if (end - at > 1 && at[0] == '/' && at[1] == '*') {
            const char *close = memmem(at + 2, (size_t)(end - at) - 2, "*/", 2);
            at = close ? close + 2 : end;
        } else {
            break;
        }
    }
    return at;
}

/* Past a string or character literal, so that "//" and "#include" in one do not count. */
static const char *skip_literal(const char *at, const char *end) {
    char quote = *at++;
    while (at < end && *at != quote && *at != '\n')
        at += *at == '\\' && end - at > 1 ? 2 : 1;
    return at < end && *at == quote ? at + 1 : at;
}

/* After a `#` that opens a line: the name of an include by quotes, or NULL. */
static const char *quoted_name(const char *at, const char *end, size_t *len) {
    bool fresh = false;
    at = skip_blank(at, end, &fresh);
    if (fresh || end - at < 7 || strncmp(at, "include", 7) != 0)
        return NULL;
    at = skip_blank(at + 7, end, &fresh);
    if (fresh || at == end || *at != '"')
        return NULL;
    const char *close = memchr(at + 1, '"', (size_t)(end - at) - 1);
    if (!close || memchr(at, '\n', (size_t)(close - at)))
        return NULL;
    *len = (size_t)(close - at) - 1;
    return at + 1;
}

/* The next include at or after *at; false at the end. */
static bool next_include(const char **at, const char *end, const char **name, size_t *len) {
    bool fresh = false;
    const char *p = *at;
    while ((p = skip_blank(p, end, &fresh)) < end) {
        if (*p == '#' && fresh) {
            fresh = false;
            *name = quoted_name(++p, end, len);
            if (*name) {
                *at = *name + *len + 1;
                return true;
            }
        } else if (*p == '"' || *p == '\'') {
            /* 1'000'000 opens no literal that matters: it ends with its line at most */
            p = skip_literal(p, end);
            fresh = false;
        } else { /* what means nothing here, at once */
            p += 1 + strcspn(p + 1, "\n/\"'#");
            fresh = false;
        }
    }
    return false;
}

static const char *folder_of(struct kb_arena *arena, const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? kb_arena_strndup(arena, path, (size_t)(slash - path + 1)) : "";
}

static bool from_disk(const char *path, struct kb_arena *arena, struct kb_include *out,
                      struct kb_err *err) {
    struct kb_buf text = {0};
    bool ok = kb_file_read(path, KB_FILE_MAX, &text, err);
    if (ok) {
        char *copy = kb_arena_alloc(arena, text.len + 1);
        memcpy(copy, kb_buf_text(&text), text.len);
        out->size = text.len;
        out->text = copy;
    }
    kb_buf_free(&text);
    return ok;
}

/* Find `out->name`; out->text stays NULL where there is no such file. */
static bool find(const struct origin *from, struct kb_arena *arena, struct kb_include *out,
                 struct origin *origin, struct kb_err *err) {
    const char *path = out->name[0] == '/'
                           ? out->name
                           : kb_arena_printf(arena, "%s%s", from->folder, out->name);
    if (!from->asset && kb_is_file(path)) {
        *origin = (struct origin){.folder = folder_of(arena, path)};
        return from_disk(path, arena, out, err);
    }
    const struct kb_asset *asset = from->asset ? kb_asset_find(path) : NULL;
    if (!asset)
        asset = kb_asset_find(kb_arena_printf(arena, "kernels/%s", out->name));
    if (asset) {
        *origin = (struct origin){.folder = folder_of(arena, asset->path), .asset = true};
        out->text = asset->text;
        out->size = asset->size;
    }
    return true;
}

/* Add one if it is new. Compilers are given headers by the name between the quotes, so two
 * files behind one name cannot both be had. */
static bool add(const struct origin *from, struct kb_arena *arena, const char *name,
                struct kb_includes *out, struct origin *origins, struct kb_err *err) {
    struct kb_include item = {.name = name};
    struct origin origin = {0};
    if (!find(from, arena, &item, &origin, err))
        return false;
    if (!item.text)
        return true;
    if (memchr(item.text, '\0', item.size))
        return kb_fail(err, KB_INPUT, "%s: holds a NUL byte", name);
    for (int i = 0; i < out->count; i++) {
        if (!kb_streq(out->items[i].name, name))
            continue;
        if (out->items[i].size == item.size &&
            memcmp(out->items[i].text, item.text, item.size) == 0)
            return true;
        return kb_fail(err, KB_INPUT, "\"%s\" is two different files for two includes",
                       name);
    }
    if (out->count == (int)KB_COUNT(out->items))
        return kb_fail(err, KB_INPUT, "includes more than %d headers",
                       (int)KB_COUNT(out->items));
    origins[out->count] = origin;
    out->items[out->count++] = item;
    return true;
}

static bool scan(const char *text, size_t size, const struct origin *from,
                 struct kb_arena *arena, struct kb_includes *out, struct origin *origins,
                 struct kb_err *err) {
    /* The first line is fresh too. */
    struct kb_buf lines = {0};
    kb_buf_putc(&lines, '\n');
    kb_buf_add(&lines, text, size);
    const char *at = lines.data, *end = lines.data + lines.len, *name;
    size_t len;
    bool ok = true;
    while (ok && next_include(&at, end, &name, &len))
        ok = add(from, arena, kb_arena_strndup(arena, name, len), out, origins, err);
    kb_buf_free(&lines);
    return ok;
}

bool kb_includes_collect(const struct kb_kernel *kernel, struct kb_arena *arena,
                         struct kb_includes *out, struct kb_err *err) {
    struct origin origins[KB_COUNT(out->items)];
    struct origin self = {.folder = folder_of(arena, kernel->path), .asset = !kernel->user};
    out->count = 0;
    if (!scan(kernel->text, kernel->size, &self, arena, out, origins, err))
        return kb_at(err, "%s", kernel->path);
    for (int i = 0; i < out->count; i++) {
        struct kb_include *item = &out->items[i];
        if (!scan(item->text, item->size, &origins[i], arena, out, origins, err))
            return kb_at(err, "%s: %s", kernel->path, item->name);
    }
    return true;
}
