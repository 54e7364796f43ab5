/* dumps.c - what profilers and readers of code want: checked before anything runs. */
#include "cli/dumps.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct folder {
    const char *option, *path;
};

enum { N_FOLDERS = 3 };

static void folders_of(const struct kb_options *o, struct folder out[N_FOLDERS]) {
    out[0] = (struct folder){"--dump-ptx", o->dump_ptx};
    out[1] = (struct folder){"--dump-sass", o->dump_sass};
    out[2] = (struct folder){"--keep", o->keep};
}

bool kb_dumps_want_gpu(const struct kb_options *options) {
    return options->profile || options->dump_ptx || options->dump_sass || options->keep;
}

static void check_option(const struct kb_options *o, const char *option,
                         struct kb_complaints *c) {
    bool host = kb_streq(kb_backend_words[o->backend], "host") ||
                kb_strings_has(&o->devices, "host");
    if (host || o->sanitize)
        kb_complain_option(c, option, "is for a GPU, the host has no code of one");
    else if (o->mode == KB_LIST)
        kb_complain_option(c, option, "nothing is built by --mode list");
}

void kb_dumps_check(const struct kb_options *options, struct kb_complaints *c) {
    struct folder folders[N_FOLDERS];
    folders_of(options, folders);
    for (int i = 0; i < N_FOLDERS; i++) {
        if (folders[i].path)
            check_option(options, folders[i].option, c);
        if (folders[i].path && !*folders[i].path)
            kb_complain_option(c, folders[i].option, "wants a folder, got nothing");
    }
    if (!options->profile)
        return;
    check_option(options, "--profile", c);
    if (options->mode == KB_BENCH || options->n_methods || options->energy ||
        options->samples)
        kb_complain_option(c, "--profile", "nothing is timed under a profiler");
    if (options->mode == KB_BUILD_ONLY)
        kb_complain_option(c, "--profile", "nothing is run by --mode build");
}

static bool make_folder(const struct folder *folder, struct kb_err *err) {
    if (!folder->path)
        return true;
    if (mkdir(folder->path, 0777) && errno != EEXIST)
        return kb_fail(err, KB_IO, "%s: cannot make the folder: %s", folder->path,
                       strerror(errno));
    if (!kb_is_folder(folder->path))
        return kb_fail(err, KB_IO, "%s: is no folder, %s wants one", folder->path,
                       folder->option);
    if (access(folder->path, W_OK))
        return kb_fail(err, KB_IO, "%s: the folder cannot be written to", folder->path);
    return true;
}

bool kb_dumps_ready(const struct kb_options *options, struct kb_err *err) {
    struct folder folders[N_FOLDERS];
    struct kb_arena arena = {0};
    folders_of(options, folders);
    bool ok = !options->dump_sass || kb_disassembler(&arena) ||
              kb_fail(err, KB_INPUT,
                      "--dump-sass: neither nvdisasm nor cuobjdump is in the CUDA Toolkit "
                      "(CUDA_HOME) or on PATH");
    for (int i = 0; ok && i < N_FOLDERS; i++)
        ok = make_folder(&folders[i], err);
    kb_arena_free(&arena);
    return ok;
}
