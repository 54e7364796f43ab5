/* nvrtc_find.c - which libnvrtc, which headers, which version, without loading any of it:
 * its pages alone take longer to map than a cached kernel takes to load. */
#include "nvrtc.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const sonames[] = {"libnvrtc.so.13", "libnvrtc.so.12"};
/* Below CUDA_HOME and the like. */
static const char *const below[] = {
    "/lib64",
    "/targets/x86_64-linux/lib",
    "/targets/sbsa-linux/lib",
    "/lib",
};

static bool join(char out[PATH_MAX], const char *folder, const char *name) {
    int n = snprintf(out, PATH_MAX, "%s/%s", folder, name);
    return n > 0 && n < PATH_MAX;
}

static bool in_folder(const char *folder, char library[PATH_MAX]) {
    for (size_t i = 0; i < KB_COUNT(sonames); i++)
        if (join(library, folder, sonames[i]) && kb_is_file(library))
            return true;
    return false;
}

static bool in_home(const char *home, char library[PATH_MAX]) {
    char folder[PATH_MAX];
    for (size_t i = 0; home && i < KB_COUNT(below); i++)
        if (join(folder, home, below[i] + 1) && in_folder(folder, library))
            return true;
    return false;
}

static bool on_loader_path(char library[PATH_MAX]) {
    const char *path = getenv("LD_LIBRARY_PATH");
    for (const char *at = path ? path : ""; *at;) {
        size_t len = strcspn(at, ":");
        char folder[PATH_MAX];
        int n = snprintf(folder, sizeof folder, "%.*s", (int)len, at);
        if (*at == '/' && n > 0 && n < PATH_MAX && in_folder(folder, library))
            return true;
        at += len + (at[len] == ':');
    }
    return false;
}

/* Where distributions put it when it is no toolkit of NVIDIA's own. */
static bool in_system(char library[PATH_MAX]) {
    static const char *const folders[] = {
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
    };
    for (size_t i = 0; i < KB_COUNT(folders); i++)
        if (in_folder(folders[i], library))
            return true;
    return false;
}

static bool has_headers(const char *folder) {
    char path[PATH_MAX];
    return join(path, folder, "cuda_fp16.h") && kb_is_file(path);
}

static bool find_headers(const char *library, char out[PATH_MAX]) {
    const char *home = kb_cuda_home();
    if (home && join(out, home, "include") && has_headers(out))
        return true;
    /* Beside the library: .../lib64 has ../include; packages of single libraries have
     * .../cuda_nvrtc/lib beside .../cuda_runtime/include. */
    static const char *const beside[] = {"../include", "../../cuda_runtime/include"};
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", library);
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    for (size_t i = 0; i < KB_COUNT(beside); i++)
        if (join(out, folder, beside[i]) && has_headers(out))
            return true;
    snprintf(out, PATH_MAX, "/usr/include");
    return has_headers(out);
}

void kb_file_identity(const char *folder, const char *name, char *out, size_t size) {
    char path[PATH_MAX];
    struct stat st;
    size_t used = strlen(out);
    if (join(path, folder, name) && stat(path, &st) == 0)
        snprintf(out + used, size - used, "%s %jd %jd.%09ld;", name, (intmax_t)st.st_size,
                 (intmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

/* libnvrtc.so.13 finds its built-in headers by full version in the name of the library that
 * holds them: libnvrtc-builtins.so.13.0. That name tells us the version too. */
static void look_beside(struct kb_nvrtc_place *place) {
    static const char stem[] = "libnvrtc-builtins.so.";
    char folder[PATH_MAX], builtins[128] = "";
    const char *name = strrchr(place->library, '/') + 1;
    snprintf(folder, sizeof folder, "%.*s", (int)(name - place->library - 1),
             place->library);
    kb_file_identity(folder, name, place->identity, sizeof place->identity);
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir)) != NULL) {
        int major, minor, wanted, end = 0;
        if (!kb_starts_with(entry->d_name, stem) ||
            sscanf(entry->d_name + strlen(stem), "%d.%d%n", &major, &minor, &end) != 2 ||
            entry->d_name[strlen(stem) + (size_t)end] != '\0' ||
            sscanf(name, "libnvrtc.so.%d", &wanted) != 1 || major != wanted)
            continue;
        /* Two of them: only the library itself knows which it takes. */
        bool second = builtins[0] != '\0';
        snprintf(builtins, sizeof builtins, "%.100s", entry->d_name);
        snprintf(place->version, sizeof place->version, "%d.%d", major, minor);
        if (second)
            place->version[0] = '\0';
        kb_file_identity(folder, builtins, place->identity, sizeof place->identity);
    }
    if (dir)
        closedir(dir);
}

bool kb_nvrtc_find(struct kb_nvrtc_place *out, struct kb_err *err) {
    *out = (struct kb_nvrtc_place){0};
    const char *named = getenv("CUDA_HOME");
    if (!in_home(kb_cuda_home(), out->library) && !on_loader_path(out->library) &&
        !in_system(out->library))
        return kb_fail(err, KB_DEVICE,
                       "no libnvrtc.so.13 or .12 in %s, on LD_LIBRARY_PATH or in the "
                       "system's folders: install the CUDA Toolkit or set CUDA_HOME",
                       named && *named ? named : "/usr/local/cuda");
    if (!find_headers(out->library, out->headers))
        return kb_fail(err, KB_DEVICE,
                       "%s is there, its headers (cuda_fp16.h) are not: install the CUDA "
                       "Toolkit or set CUDA_HOME",
                       out->library);
    look_beside(out);
    static const char *const made_of[] = {"cuda_fp16.h", "cuda_fp16.hpp", "cuda_bf16.h",
                                          "cuda_bf16.hpp", "cuda_fp8.h"};
    for (size_t i = 0; i < KB_COUNT(made_of); i++)
        kb_file_identity(out->headers, made_of[i], out->identity, sizeof out->identity);
    return true;
}
