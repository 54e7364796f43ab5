/* toolkit.c - where the CUDA Toolkit lies. */
#include "jit.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool has_toolkit(const char *home) {
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/include/cuda.h", home);
    return n > 0 && n < (int)sizeof path && kb_is_file(path);
}

/* The folder above bin/nvcc of the first nvcc on PATH, its links followed. */
static bool beside_nvcc(char home[PATH_MAX]) {
    const char *path = getenv("PATH");
    for (const char *at = path ? path : ""; *at;) {
        size_t len = strcspn(at, ":");
        char nvcc[PATH_MAX];
        int n = snprintf(nvcc, sizeof nvcc, "%.*s/nvcc", (int)len, at);
        if (len && n > 0 && n < (int)sizeof nvcc && access(nvcc, X_OK) == 0 &&
            realpath(nvcc, home)) {
            for (int up = 0; up < 2; up++) {
                char *slash = strrchr(home, '/');
                if (slash)
                    *slash = '\0';
            }
            return has_toolkit(home);
        }
        at += len + (at[len] == ':');
    }
    return false;
}

/* Like our own executable's folder, it is found once: the environment does not change. */
static pthread_once_t home_once = PTHREAD_ONCE_INIT;
static char home_path[PATH_MAX];

static void find_home(void) {
    const char *named = getenv("CUDA_HOME");
    if (named && *named) {
        /* A CUDA_HOME that is wrong must not be replaced by something else. */
        if (has_toolkit(named))
            snprintf(home_path, sizeof home_path, "%s", named);
        return;
    }
    if (has_toolkit("/usr/local/cuda"))
        snprintf(home_path, sizeof home_path, "/usr/local/cuda");
    else if (!beside_nvcc(home_path))
        home_path[0] = '\0';
}

const char *kb_cuda_home(void) {
    pthread_once(&home_once, find_home);
    return home_path[0] ? home_path : NULL;
}
