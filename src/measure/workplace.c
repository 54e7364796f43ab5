/* workplace.c - a worker's folder for temporary files. */
#include "workplace.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { OPEN_FOLDERS = 16 };

static char *text_of(const char *before, const char *after) {
    struct kb_buf text = {0};

    kb_buf_printf(&text, "%s%s", before, after);
    return text.data;
}

static char **env_with(const char *folder) {
    size_t n = 0, out = 0;

    while (environ[n])
        n++;
    char **env = calloc(n + 2, sizeof *env);
    if (!env)
        kb_out_of_memory();
    for (size_t i = 0; i < n; i++) {
        if (!kb_starts_with(environ[i], "TMPDIR="))
            env[out++] = text_of(environ[i], "");
    }
    env[out] = text_of("TMPDIR=", folder);
    return env;
}

void kb_workplace_make(struct kb_workplace *place) {
    const char *tmp = getenv("TMPDIR");

    *place = (struct kb_workplace){0};
    place->folder = text_of(tmp && *tmp ? tmp : "/tmp", "/kbench-XXXXXX");
    if (mkdtemp(place->folder)) {
        place->env = env_with(place->folder);
        return;
    }
    free(place->folder);
    place->folder = NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st, (void)type, (void)at;
    remove(path); /* what cannot be removed stays: nothing depends on it */
    return 0;
}

void kb_workplace_free(struct kb_workplace *place) {
    if (place->folder)
        nftw(place->folder, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
    for (char **entry = place->env; entry && *entry; entry++)
        free(*entry);
    free(place->env);
    free(place->folder);
    *place = (struct kb_workplace){0};
}
