/* workplace.c - a worker's folder for temporary files. */
#include "workplace.h"

#include <stdlib.h>
#include <unistd.h>

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
    struct kb_err err = {0};

    *place = (struct kb_workplace){0};
    if (kb_temp_make(&place->folder, &err))
        place->env = env_with(place->folder.path);
}

void kb_workplace_free(struct kb_workplace *place) {
    kb_temp_free(&place->folder);
    for (char **entry = place->env; entry && *entry; entry++)
        free(*entry);
    free(place->env);
    *place = (struct kb_workplace){0};
}
