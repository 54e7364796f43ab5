/* host_tools.c - the C++ compiler, and private folders to compile in. */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- compiler ---------------------------------------------------------------------- */

/* The file that a command's first word is, by PATH where it has no slash. */
static bool find_command(const char *word, char path[PATH_MAX]) {
    if (strchr(word, '/')) {
        int n = snprintf(path, PATH_MAX, "%s", word);
        return n > 0 && n < PATH_MAX && access(path, X_OK) == 0;
    }
    const char *list = getenv("PATH");
    for (const char *at = list ? list : "/usr/local/bin:/usr/bin:/bin"; *at;) {
        size_t len = strcspn(at, ":");
        int n = snprintf(path, PATH_MAX, "%.*s/%s", (int)len, at, word);
        if (len && n > 0 && n < PATH_MAX && access(path, X_OK) == 0 && kb_is_file(path))
            return true;
        at += len + (at[len] == ':');
    }
    return false;
}

/* "g++ (Debian 12.2.0-14) 12.2.0" -> "12.2": of the first line, the last word that begins
 * with a number and a dot. */
static char *short_version(const char *text, struct kb_arena *arena) {
    const char *end = text + strcspn(text, "\n"), *best = "";
    size_t len = 0;
    for (const char *p = text; p < end; p++) {
        if (*p < '0' || *p > '9' || (p > text && p[-1] != ' '))
            continue;
        size_t major = strspn(p, "0123456789");
        if (p[major] != '.')
            continue;
        best = p;
        len = major + 1 + strspn(p + major + 1, "0123456789");
    }
    return kb_arena_strndup(arena, best, len);
}

static struct kb_hash compiler_hash(const char *path, const char *version) {
    struct kb_hasher *hasher = kb_hasher_make();
    struct stat st = {0};
    int64_t facts[3] = {0};
    if (stat(path, &st) == 0) {
        facts[0] = (int64_t)st.st_size;
        facts[1] = (int64_t)st.st_mtim.tv_sec;
        facts[2] = (int64_t)st.st_mtim.tv_nsec;
    }
    kb_hasher_text(hasher, path);
    kb_hasher_text(hasher, version);
    kb_hasher_add(hasher, facts, sizeof facts);
    return kb_hasher_end(hasher);
}

static bool identify(struct kb_arena *arena, struct host_compiler *c, const char *path,
                     struct kb_err *err) {
    const struct kb_limits limits = {.wall_ms = 20000, .cpu_s = 20};
    char *argv[KB_COUNT(c->argv) + 2] = {NULL};
    struct kb_buf text = {0};
    int status = 0;
    for (int i = 0; i < c->n_words; i++)
        argv[i] = kb_arena_strdup(arena, c->argv[i]);
    argv[c->n_words] = kb_arena_strdup(arena, "--version");
    bool ok = kb_run_command(argv, NULL, &limits, &text, &status, err);
    if (ok && (status != 0 || text.len == 0))
        ok = kb_fail(err, KB_DEVICE, "%s --version: exit status %d", path, status);
    if (ok) {
        const char *last = c->argv[0];
        for (int i = 0; i < c->n_words; i++) /* "ccache g++ -m64" is g++ */
            last = c->argv[i][0] == '-' ? last : c->argv[i];
        const char *slash = strrchr(last, '/');
        c->name = kb_arena_printf(arena, "%s %s", slash ? slash + 1 : last,
                                  short_version(text.data, arena));
        c->is_gcc = strstr(text.data, "Free Software Foundation") != NULL;
        c->identity = compiler_hash(path, text.data);
    } else if (err->kind != KB_DEVICE) {
        err->kind = KB_DEVICE; /* what cannot be asked its version cannot compile */
    }
    kb_buf_free(&text);
    return ok;
}

/* $CXX may hold words before the compiler: "ccache g++". */
static bool from_environment(const char *named, struct kb_arena *arena,
                             struct host_compiler *out, char *path, struct kb_err *err) {
    struct kb_strings words = {0};
    kb_split(arena, named, ' ', &words);
    for (size_t i = 0; i < words.count && out->n_words < (int)KB_COUNT(out->argv); i++)
        if (*words.items[i])
            out->argv[out->n_words++] = words.items[i];
    if (out->n_words == 0 || !find_command(out->argv[0], path))
        return kb_fail(err, KB_DEVICE, "CXX=%s: no such compiler", named);
    return true;
}

bool host_compiler_find(struct kb_arena *arena, struct host_compiler *out,
                        struct kb_err *err) {
    static const char *const usual[] = {"g++", "clang++", "c++"};
    const char *named = getenv("CXX");
    char path[PATH_MAX];
    *out = (struct host_compiler){0};
    if (named && *named) {
        if (!from_environment(named, arena, out, path, err))
            return false;
    } else {
        for (size_t i = 0; i < KB_COUNT(usual) && !out->n_words; i++)
            if (find_command(usual[i], path))
                out->argv[out->n_words++] = usual[i];
        if (!out->n_words)
            return kb_fail(err, KB_DEVICE,
                           "no C++ compiler (g++ or clang++ on PATH): apt install g++");
    }
    return identify(arena, out, path, err);
}

/* ---- folders ----------------------------------------------------------------------- */

/* Sources lie this deep, so that an include by "../" stays within the private folder. */
static const char depth[] = "/s/s/s/s/s/s";
enum { LEVELS = 6 };

static char *joined(const char *a, const char *b) {
    size_t n = strlen(a) + strlen(b) + 1;
    char *text = malloc(n);
    if (!text)
        kb_out_of_memory();
    snprintf(text, n, "%s%s", a, b);
    return text;
}

bool host_folder_make(struct host_folder *folder, struct kb_err *err) {
    *folder = (struct host_folder){0};
    if (!kb_temp_make(&folder->temp, err))
        return false;
    folder->inner = joined(folder->temp.path, depth);
    if (kb_folder_make(folder->inner, err))
        return true;
    host_folder_remove(folder);
    return false;
}

void host_folder_remove(struct host_folder *folder) {
    kb_temp_free(&folder->temp);
    free(folder->inner);
    *folder = (struct host_folder){0};
}

/* Whether a relative name stays below the private folder. */
static bool stays_inside(const char *name) {
    int level = LEVELS;
    if (*name == '/')
        return false;
    for (const char *at = name; *at;) {
        size_t len = strcspn(at, "/");
        if (len == 2 && at[0] == '.' && at[1] == '.')
            level--;
        else if (len > 0 && !(len == 1 && at[0] == '.'))
            level++;
        if (level <= 0)
            return false;
        at += len + (at[len] == '/');
    }
    return true;
}

static bool write_file(const char *path, const void *data, size_t size,
                       struct kb_err *err) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0700);
    if (fd < 0)
        return kb_fail(err, KB_IO, "%s: cannot create: %s", path, strerror(errno));
    bool ok = kb_write_all(fd, data, size);
    int cause = errno;
    if (close(fd) && ok) {
        ok = false;
        cause = errno;
    }
    return ok || kb_fail(err, KB_IO, "%s: cannot write %zu bytes: %s", path, size,
                         strerror(cause));
}

bool host_folder_write(const struct host_folder *folder, const char *name, const void *data,
                       size_t size, struct kb_err *err) {
    struct kb_buf path = {0};
    if (!stays_inside(name))
        return kb_fail(err, KB_INPUT, "\"%s\": an include must lie near the kernel's file",
                       name);
    kb_buf_printf(&path, "%s/%s", folder->inner, name);
    char *slash = strrchr(path.data, '/');
    *slash = '\0';
    bool ok = kb_folder_make(path.data, err);
    *slash = '/';
    ok = ok && write_file(path.data, data, size, err);
    kb_buf_free(&path);
    return ok;
}
