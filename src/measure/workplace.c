/* workplace.c - a worker's folder for temporary files, and its environment. */
#include "workplace.h"

#include <stdlib.h>
#include <unistd.h>

static char *text_of(const char *before, const char *after) {
    struct kb_buf text = {0};

    kb_buf_printf(&text, "%s%s", before, after);
    return text.data;
}

/* Turns that an idle thread of GNU OpenMP takes before it sleeps: 0.1 ms. Left alone it is
 * several ms, and between two pieces of work there is most often more: a fifth of the
 * host's time was that, where a kernel runs meanwhile in a process of its own. */
static const char spins[] = "GOMP_SPINCOUNT=20000";

static char **env_with(const char *folder) {
    size_t n = 0, out = 0;

    while (environ[n])
        n++;
    char **env = calloc(n + 3, sizeof *env);
    if (!env)
        kb_out_of_memory();
    for (size_t i = 0; i < n; i++) {
        if (!kb_starts_with(environ[i], "TMPDIR="))
            env[out++] = text_of(environ[i], "");
    }
    env[out++] = text_of("TMPDIR=", folder);
    if (!getenv("GOMP_SPINCOUNT") && !getenv("OMP_WAIT_POLICY"))
        env[out] = text_of(spins, "");
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
